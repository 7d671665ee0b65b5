//! Whom servers run as: initdb, postgres and pgbouncer all refuse to run as root.

use std::{
    fmt,
    process::{Command, Stdio},
};

/// Another user for servers where we are root, and ourselves elsewhere. Displayed as the command's prefix.
#[derive(Clone, Default)]
pub(crate) struct RunAs {
    prefix: Vec<String>,
    owner: Option<(u32, u32)>,
}

impl RunAs {
    pub(crate) fn find() -> Result<Self, String> {
        if !is_root() {
            return Ok(Self::default());
        }
        let of_name = |name: &'static str| Some((name, id(&["-u", name])?, id(&["-g", name])?));
        let (name, user, group) = ["postgres", "nobody"]
            .into_iter()
            .find_map(of_name)
            .ok_or("Postgres does not run as root, and there is neither a user `postgres` nor `nobody`: add one")?;
        let (reuid, regid) = (format!("--reuid={user}"), format!("--regid={group}"));
        // A word each, so that whoever splits the prefix at spaces has it right.
        let ways: [&[&str]; 3] = [
            &["setpriv", &reuid, &regid, "--clear-groups"],
            &["runuser", "-u", name, "--"],
            // env for a shell: it runs its arguments, where a shell would want them as one string.
            &["su", "-s", "/usr/bin/env", name, "--"],
        ];
        ways.into_iter()
            .map(|way| Self { prefix: way.iter().map(|&word| word.to_owned()).collect(), owner: Some((user, group)) })
            .find(Self::works)
            .ok_or_else(|| format!("neither setpriv nor runuser nor su runs a command as `{name}`, and Postgres refuses root"))
    }

    pub(crate) fn command(&self, program: &str) -> Command {
        let mut words = self.prefix.iter().map(String::as_str).chain([program]);
        let mut command = Command::new(words.next().unwrap_or(program));
        command.args(words);
        command
    }

    /// User and group of the other user.
    pub(crate) fn owner(&self) -> Option<(u32, u32)> {
        self.owner
    }

    fn works(&self) -> bool {
        let mut command = self.command("true");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }
}

impl fmt::Display for RunAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.prefix.join(" "))
    }
}

/// Who may install what is missing.
pub(crate) fn is_root() -> bool {
    id(&["-u"]) == Some(0)
}

/// A number that `id` gives, if it gives one.
fn id(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(arguments).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
