//! A folder of ours, and the server that lives in it: both go with this process, however it ends.

use super::run_as::RunAs;
use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// What a server is given to come up, on a slow machine too.
const PATIENCE: Duration = Duration::from_secs(120);

/// A shell that waits for the end of its input, which is a pipe of ours: it ends when we close it, and when we are killed.
/// `run` ends what it runs then. The signal is sent until it has had its effect, since a program that is only just starting
/// may miss one.
const KEEPER: &str = r#"
folder=$1 signal=$2
exec 3<&0
run() {
    "$@" </dev/null 3<&- &
    running=$!
    { read -r _; while kill -s "$signal" "$running"; do sleep 0.1; done; } <&3 2>/dev/null &
    watching=$!
    wait "$running"
    code=$?
    kill "$watching" 2>/dev/null
    return "$code"
}
"#;

/// The folder stays until we have read what went wrong.
const AT_ITS_END: &str = r#"
echo "$?" >ended
read -r _ <&3
cd / && rm -rf "$folder"
"#;

/// A fresh folder of the server's user, which nobody else can look into.
pub(crate) struct Kept {
    folder: PathBuf,
    run_as: RunAs,
    keeper: Option<Child>,
}

impl Kept {
    pub(crate) fn folder_for(server: &str, run_as: &RunAs) -> Result<Self, String> {
        let folder = fresh(server).map_err(|error| format!("no folder for {server}: {error}"))?;
        let kept = Self { folder, run_as: run_as.clone(), keeper: None };
        kept.give(&kept.folder).map_err(|error| format!("{}: {error}", kept.folder.display()))?;
        Ok(kept)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> Result<(), String> {
        let file = self.folder.join(name);
        let written = self.create(name).and_then(|mut created| created.write_all(text.as_bytes()));
        written.and_then(|()| self.give(&file)).map_err(|error| format!("{}: {error}", file.display()))
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap_or_default()
    }

    /// Goes through lines of shell in the folder, where `run` runs what ends by this signal.
    pub(crate) fn start(&mut self, lines: &str, signal: &str) -> Result<(), String> {
        let cannot = |error: io::Error| format!("sh did not start in {}: {error}", self.folder.display());
        let log = self.create("log").map_err(cannot)?;
        let mut command = self.run_as.command("sh");
        command.args(["-c", &format!("{KEEPER}{lines}{AT_ITS_END}"), "sh"]).arg(&self.folder).arg(signal);
        // Our output is not the server's to hold open: who reads it waits for its end.
        command.stdin(Stdio::piped()).stdout(log.try_clone().map_err(cannot)?).stderr(log).current_dir(&self.folder);
        apart(&mut command);
        self.keeper = Some(command.spawn().map_err(cannot)?);
        Ok(())
    }

    /// Waits until the server is ready. The error says what the server said last.
    pub(crate) fn wait_until(&mut self, ready: impl Fn(&Self) -> bool) -> Result<(), String> {
        let began = Instant::now();
        while !ready(self) {
            let ended = self.folder.join("ended").exists()
                || !self.keeper.as_mut().is_some_and(|keeper| matches!(keeper.try_wait(), Ok(None)));
            if ended {
                return Err(self.last_said());
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("not ready within {} s:\n{}", PATIENCE.as_secs(), self.last_said()));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn last_said(&self) -> String {
        let log = self.read("log");
        let lines: Vec<&str> = log.lines().collect();
        lines.iter().skip(lines.len().saturating_sub(30)).copied().collect::<Vec<_>>().join("\n")
    }

    /// The folder is another user's, and we may be root: nothing is followed there that was laid for us to follow.
    fn create(&self, name: &str) -> io::Result<File> {
        File::create_new(self.folder.join(name))
    }

    fn give(&self, path: &Path) -> io::Result<()> {
        self.run_as.owner().map_or(Ok(()), |(user, group)| own(path, user, group))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(keeper) = &mut self.keeper {
            // Closes the pipe, and waits until all is gone.
            let _ = keeper.wait();
        }
        // The keeper cannot remove it from a folder that only we may write to.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A folder that was not there before: none that somebody else has laid there is ever used.
fn fresh(server: &str) -> io::Result<PathBuf> {
    let mut number = 0_u32;
    loop {
        let folder = std::env::temp_dir().join(format!("clove-{server}-{}-{number}", std::process::id()));
        match private(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(io::Error::new(error.kind(), format!("{}: {error}", folder.display()))),
            Ok(()) => return Ok(folder),
        }
    }
}

#[cfg(unix)]
fn private(folder: &Path) -> io::Result<()> {
    std::os::unix::fs::DirBuilderExt::mode(&mut fs::DirBuilder::new(), 0o700).create(folder)
}

#[cfg(unix)]
fn own(path: &Path, user: u32, group: u32) -> io::Result<()> {
    std::os::unix::fs::lchown(path, Some(user), Some(group))
}

/// In a process group of its own, which an interrupt of ours does not reach: a server is stopped in order by its keeper.
#[cfg(unix)]
fn apart(command: &mut Command) {
    std::os::unix::process::CommandExt::process_group(command, 0);
}

#[cfg(not(unix))]
fn private(_: &Path) -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "servers are brought on Unix alone: name them by DATABASE_URL and PGBOUNCER_URL",
    ))
}

#[cfg(not(unix))]
fn own(_: &Path, _: u32, _: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
fn apart(_: &mut Command) {}

/// A word as the shell takes it for one.
pub(crate) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_quoted_word_is_one_word_to_the_shell() {
        let word = "it's $HOME; `ls`";
        let output = Command::new("sh").args(["-c", &format!("printf %s {}", quoted(word))]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), word);
    }

    #[cfg(unix)]
    #[test]
    fn what_was_started_is_gone_with_its_folder_when_it_is_dropped() {
        let mut kept = Kept::folder_for("test", &RunAs::default()).unwrap();
        kept.start("run sh -c 'echo $$ >pid; exec sleep 600'", "TERM").unwrap();
        kept.wait_until(|kept| kept.read("pid").ends_with('\n')).unwrap();
        let (folder, pid) = (kept.folder().to_owned(), kept.read("pid"));
        let lives = || Command::new("kill").args(["-0", pid.trim()]).stderr(Stdio::null()).status().unwrap().success();
        assert!(lives());
        drop(kept);
        assert!(!lives());
        assert!(!folder.exists());
    }

    #[cfg(unix)]
    #[test]
    fn what_does_not_come_up_tells_what_it_said() {
        let mut kept = Kept::folder_for("test", &RunAs::default()).unwrap();
        kept.start("run sh -c 'echo no disk; exit 1'", "TERM").unwrap();
        assert_eq!(kept.wait_until(|_| false), Err("no disk".to_owned()));
    }
}
