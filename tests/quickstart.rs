//! The quickstart as people use it: built here, and run as processes on one file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod built;

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};
use tempfile::TempDir;

/// Built once.
fn example() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| built::example("quickstart", &[]))
}

struct Shell {
    folder: TempDir,
}

/// What a process said, and how it ended.
#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    error: String,
}

impl Said {
    /// What stands behind a label.
    fn after(&self, label: &str) -> String {
        let line =
            self.out.lines().find_map(|line| line.trim().strip_prefix(label)).unwrap_or_else(|| panic!("{label}: {self:?}"));
        line.trim().to_owned()
    }
    fn done(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }
}

impl Shell {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(example());
        command.args(arguments).env("CLOVE_QUICKSTART_DB", self.folder.path().join("keys.db"));
        command.env_remove("CLOVE_CREDENTIAL").env_remove("CLOVE_SECRET");
        command
    }

    /// Does something to the file that no command would.
    fn spoil(&self, sql: &str) {
        rusqlite::Connection::open(self.folder.path().join("keys.db")).unwrap().execute_batch(sql).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Said {
        said(self.command(arguments).stdin(Stdio::null()).output().unwrap())
    }

    fn with(&self, variable: &str, value: &str, arguments: &[&str]) -> Said {
        said(self.command(arguments).env(variable, value).stdin(Stdio::null()).output().unwrap())
    }

    fn piped(&self, input: &[u8], arguments: &[&str]) -> Said {
        let mut command = self.command(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        said(child.wait_with_output().unwrap())
    }
}

fn said(output: std::process::Output) -> Said {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code().unwrap(), out: text(output.stdout), error: text(output.stderr) }
}

#[test]
fn the_tour_tells_the_life_of_a_key_and_can_be_taken_again() {
    let shell = Shell::new();
    for _ in 0..2 {
        let tour = shell.run(&[]).done();
        for told in [
            "2 / 2 active keys: disable or delete one before creating",
            "id;secret: granted",
            "bare secret: granted",
            "models:delete: denied",
            "disabled: denied",
            "older secret: granted",
            "Never used",
            "flagged \"laptop\" as compromised",
            "1 / 2 active keys",
            "an owner is offered: disable, delete",
        ] {
            assert!(tour.out.contains(told), "{told}: {}", tour.out);
        }
        assert!(!tour.out.contains("may do nothing"));
        let day = tour.out.lines().find(|line| line.contains("created \"laptop\"")).unwrap().trim();
        assert!(day[..4].parse::<u32>().is_ok() && &day[19..23] == " UTC", "{day}");
    }
}

#[test]
fn the_exit_code_tells_what_a_command_came_to() {
    let shell = Shell::new();
    let id = shell.run(&["create", "laptop"]).done().after("API Key ID");
    for (code, arguments) in [
        (0, &["help"][..]),
        (0, &["list"]),
        (1, &["create", " x"]),
        (1, &["create", "x", "--days", "7"]),
        (1, &["create", "x", "--metadata", "{"]),
        (1, &["create", "x", "--capabilities", "Everything"]),
        (1, &["list", "--owner", "a b/c"]),
        (1, &["list", "--status", "fine"]),
        (1, &["audit", "--action", "fly"]),
        (1, &["audit", "not-an-id"]),
        (1, &["show", "0198c8a0-0000-7000-8000-000000000000"]),
        (1, &["rotate", &id, "--grace", "99999999"]),
        (1, &["rotate", &id, "--grace", "-1"]),
        (1, &["revoke", &id, "--owner", "acme/bob"]),
        (1, &["verify", "--requires", "*:*"]),
        (2, &["fly"]),
        (2, &["--days", "7"]),
        (2, &["create"]),
        (2, &["create", "a", "b"]),
        (2, &["create", "x", "--days"]),
        (2, &["create", "x", "--days", "soon"]),
        (2, &["list", "--days", "7"]),
        (2, &["list", "--status", "active", "--status", "expired"]),
        (2, &["edit", &id]),
        (2, &["limit", "many"]),
        (2, &["count", "--organization", "acme"]),
        (2, &["list", "--organization", "acme", "--owner", "acme/ada"]),
        (2, &["list", "--owner", "acme"]),
        (2, &["list", "--as", "king"]),
        (2, &["audit", "--from", "yesterday"]),
        (2, &["verify", "clv-00000000000000000000000000000Wt4"]),
    ] {
        let said = shell.run(arguments);
        assert_eq!(said.code, code, "{arguments:?}: {said:?}");
        assert_eq!(said.error.is_empty(), code == 0, "{arguments:?}: {said:?}");
        assert!(!said.error.contains("Wt4"), "{said:?}");
    }
    for (place, command) in [("no/such.db", "list"), ("none.db", "verify"), ("none.db", "report-leaked")] {
        let mut elsewhere = shell.command(&[command]);
        let fault = said(elsewhere.env("CLOVE_QUICKSTART_DB", shell.folder.path().join(place)).output().unwrap());
        assert_eq!(fault.code, 3, "{fault:?}");
        assert!(fault.error.contains(place), "{fault:?}");
    }
    assert!(shell.run(&["help"]).out.contains("Exit codes: 0 done; 1 refused, denied"));
}

#[test]
fn a_wrong_command_line_opens_no_file() {
    let shell = Shell::new();
    assert_eq!(shell.run(&["list", "--days", "7"]).code, 2);
    assert_eq!(shell.folder.path().read_dir().unwrap().count(), 0);
}

#[test]
fn a_reader_who_leaves_is_no_fault_and_a_full_disk_is() {
    let shell = Shell::new();
    shell.run(&["create", "laptop"]).done();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let left = said(shell.command(&["audit"]).stdout(writer).output().unwrap());
    assert_eq!((left.code, left.error.as_str()), (0, ""));
    if cfg!(target_os = "linux") {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let full = said(shell.command(&["audit"]).stdout(full).output().unwrap());
        assert_eq!(full.code, 3, "{full:?}");
    }
}

#[test]
fn a_credential_comes_from_the_environment_or_a_pipe_and_is_denied_alike_whatever_is_wrong_with_it() {
    let shell = Shell::new();
    let issued = shell.run(&["create", "laptop"]).done();
    let (credential, secret) = (issued.after("Credential"), issued.after("Secret Key"));
    for good in [&credential, &secret] {
        assert!(shell.with("CLOVE_CREDENTIAL", good, &["verify"]).done().out.starts_with("Granted to acme/ada"));
        for end in ["", "\n", "\r\n"] {
            shell.piped(format!("{good}{end}").as_bytes(), &["verify"]).done();
        }
    }
    let denied = shell.piped(b"clv-00000000000000000000000000000Wt4", &["verify"]);
    assert_eq!(denied.code, 1);
    let twice = format!("{secret}\n\n");
    for malformed in [&b"\xff\xfe\n"[..], b"", b"\0", twice.as_bytes(), &[b'x'; 10_000]] {
        let said = shell.piped(malformed, &["verify"]);
        assert_eq!((said.code, said.error), (1, denied.error.clone()), "{} bytes", malformed.len());
        assert_eq!(shell.piped(malformed, &["report-leaked"]).code, 0);
    }
}

#[test]
fn every_action_works_on_the_same_file_from_process_to_process() {
    let shell = Shell::new();
    let run = |arguments: &[&str]| shell.run(arguments).done().out;
    let new =
        ["create", "laptop", "--description", "mine", "--metadata", r#"{"team":7}"#, "--capabilities", "models:*,users:read"];
    let issued = shell.run(&new).done();
    let (id, credential) = (issued.after("API Key ID"), issued.after("Credential"));
    let verify =
        |credential: &str, requires: &str| shell.with("CLOVE_CREDENTIAL", credential, &["verify", "--requires", requires]).code;
    assert_eq!((verify(&credential, "models:read"), verify(&credential, "messages:write")), (0, 1));
    let card = run(&["show", &id, "--as", "owner"]);
    for shown in ["mine", r#"{"team":7}"#, "models:* users:read", "last used", " UTC", "an owner is offered: disable, delete"] {
        assert!(card.contains(shown), "{shown}: {card}");
    }
    assert!(run(&["show", &id]).contains("an administrator is offered: disable, revoke, flag compromised, delete"));

    for (field, value) in [("name", "server"), ("description", "ours"), ("metadata", "[]"), ("capabilities", "none")] {
        assert!(run(&["edit", &id, &format!("--{field}"), value]).starts_with("Done."), "{field}");
        assert!(run(&["edit", &id, &format!("--{field}"), value]).starts_with("No change"), "{field}");
    }
    assert_eq!((verify(&credential, "models:read"), shell.with("CLOVE_CREDENTIAL", &credential, &["verify"]).code), (1, 0));

    let rotated = shell.run(&["rotate", &id, "--grace", "3600"]).done();
    assert!(rotated.out.contains("The older secret stays good until"));
    let newer = rotated.after("Credential");
    let works = |credential: &str| shell.with("CLOVE_CREDENTIAL", credential, &["verify"]).code == 0;
    assert!(works(&credential) && works(&newer));
    shell.with("CLOVE_CREDENTIAL", &credential, &["report-leaked"]).done();
    assert!(!works(&credential) && works(&newer), "the leak of a rotated-out secret ends that secret");
    run(&["disable", &id]);
    assert!(!works(&newer));
    run(&["enable", &id]);
    assert!(works(&newer));

    let foreign = "an-older-secret";
    let imported = shell.with("CLOVE_SECRET", foreign, &["import", "moved in"]).done();
    let foreign = format!("{}{foreign}", imported.after("Imported. Present it with its id:").trim_end_matches("THE-SECRET"));
    assert!(works(&foreign));
    assert_eq!(run(&["count"]), "2 / 2 active keys\n");
    assert_eq!(shell.run(&["create", "third"]).code, 1);
    assert_eq!(run(&["limit", "3"]), "2 / 3 active keys\n");
    let third = shell.run(&["create", "third", "--days", "30"]).done().after("API Key ID");
    assert!(run(&["expiring"]).contains("1 key expires then."));
    assert!(run(&["expiring", "--within", "90", "--organization", "acme"]).contains("3 keys expire then."));
    run(&["limit", "none"]);
    assert!(run(&["limit", "default"]).contains("3 / 2 active keys"));
    run(&["flag", &third]);
    let compromised = run(&["list", "--organization", "acme", "--status", "compromised"]);
    assert!(compromised.contains(&third) && !compromised.contains(&id), "{compromised}");
    run(&["delete", &third, "--organization", "acme"]);

    run(&["create", "his", "--owner", "acme/bob"]);
    assert!(run(&["close-owner", "--owner", "acme/bob"]).contains("Closed; 1 key revoked."));
    assert!(run(&["close-organization"]).contains("Closed; 2 keys revoked."));
    assert!(run(&["close-organization"]).contains("It was closed already; 0 keys revoked."));
    assert!(!works(&newer) && shell.run(&["create", "late"]).code == 1);
    assert!(run(&["reopen-organization"]).starts_with("Open."));
    assert!(run(&["reopen-owner", "--owner", "acme/bob"]).starts_with("Open."));
    assert!(!works(&newer), "no key comes back");

    let trail = run(&["audit", &third]);
    assert!(trail.contains("flagged \"third\" as compromised: from the shell") && !trail.contains("moved in"), "{trail}");
    let edits = run(&["audit", "--action", "edit"]);
    assert!(
        edits.contains("(capabilities models:* users:read → nothing)") && edits.contains(r#""laptop" → "server""#),
        "{edits}"
    );
    assert_eq!(run(&["audit", "--until", "2020-01-01"]), "Nothing in the audit trail matches.\n");
    assert!(run(&["audit", "--from", "2020-01-01T00:00:00Z", "--organization", "acme"]).contains("closed all of acme"));
    assert!(!run(&["audit", "--organization", "acme"]).contains("clv-"));
}

#[test]
fn a_last_use_that_cannot_be_written_changes_no_verdict() {
    let shell = Shell::new();
    let credential = shell.run(&["create", "laptop"]).done().after("Credential");
    shell.spoil("CREATE TRIGGER no BEFORE UPDATE OF last_used_at ON keys BEGIN SELECT raise(ABORT, 'no'); END");
    let granted = shell.with("CLOVE_CREDENTIAL", &credential, &["verify"]);
    assert!(granted.code == 0 && granted.out.starts_with("Granted"), "{granted:?}");
    assert!(granted.error.starts_with("The last use of a key could not be written:"), "{granted:?}");
}

#[test]
fn a_command_that_is_done_is_so_though_the_keys_cannot_be_counted() {
    let shell = Shell::new();
    for command in ["disable", "flag", "revoke", "delete"] {
        let owner = format!("acme/{command}");
        let id = shell.run(&["create", "laptop", "--owner", &owner]).done().after("API Key ID");
        shell.spoil("UPDATE owners SET creation_day = 9223372036854775807");
        let said = shell.run(&[command, &id, "--owner", &owner]);
        assert!(said.code == 0 && said.error.starts_with("The active keys could not be counted:"), "{command}: {said:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_secret_that_nobody_was_shown_is_a_fault_that_names_its_key() {
    let shell = Shell::new();
    let kept = shell.run(&["create", "kept"]).done().after("API Key ID");
    for arguments in [&["create", "lost", "--owner", "acme/bob"][..], &["rotate", &kept]] {
        let (reader, left) = std::io::pipe().unwrap();
        drop(reader);
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        for output in [Stdio::from(left), Stdio::from(full)] {
            let said = said(shell.command(arguments).stdout(output).output().unwrap());
            assert!(said.code == 3 && said.error.contains("rotate or delete the key"), "{said:?}");
            assert!(!said.error.contains("clv-"), "{said:?}");
            let id = said.error.split_whitespace().nth(1).unwrap();
            assert_eq!(id == kept, arguments[0] == "rotate", "{said:?}");
            shell.run(&["show", id, "--organization", "acme"]).done();
        }
    }
    let before = shell.run(&["list", "--organization", "acme"]).done().out;
    for arguments in [["create", "lost"], ["rotate", &kept]] {
        let nowhere = said(shell.command(&arguments).stdout(Stdio::null()).output().unwrap());
        assert!(nowhere.code == 3 && nowhere.error.starts_with("Nothing was done"), "{nowhere:?}");
    }
    let mut closed = Command::new("/bin/sh");
    let closed = closed
        .args(["-c", r#""$0" create lost >&-"#])
        .arg(example())
        .env("CLOVE_QUICKSTART_DB", shell.folder.path().join("keys.db"));
    let closed = said(closed.output().unwrap());
    assert!(closed.code == 3 && closed.error.starts_with("Nothing was done"), "{closed:?}");
    assert_eq!(shell.run(&["list", "--organization", "acme"]).done().out, before);
}

#[test]
fn a_command_line_that_is_wrong_is_told_what_is_wrong_with_it() {
    let shell = Shell::new();
    let id = shell.run(&["create", "laptop"]).done().after("API Key ID");
    for (arguments, said) in [
        (&["edit", &id, "--name", "--description", "x"][..], "--name needs a value"),
        (&["edit", &id, "--name"], "--name needs a value"),
        (&["edit", &id, "--name=a", "--name", "b"], "--name is there twice"),
    ] {
        let wrong = shell.run(arguments);
        assert!(wrong.code == 2 && wrong.error.starts_with(said), "{wrong:?}");
    }
    shell.run(&["edit", &id, "--description=--not an option"]).done();
    assert!(shell.run(&["show", &id]).done().out.contains("| --not an option"));
    for arguments in [&["create", "--help"][..], &["create", "x", "-h"], &["--help"]] {
        assert!(shell.run(arguments).done().out.contains("Exit codes:"), "{arguments:?}");
    }
    #[cfg(unix)]
    {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
        let bytes = said(shell.command(&["edit", &id, "--name"]).arg(OsStr::from_bytes(b"\xff")).output().unwrap());
        assert!(bytes.code == 2 && bytes.error.starts_with("The value of --name must be UTF-8"), "{bytes:?}");
    }
}
