//! `cargo xtask test`: everything there is to check, on a bare machine, and what ran.

use crate::step::{self, Ended, cargo};
use std::process::{Command, ExitCode};

/// What the core must not pull in for hosts that want none of it.
const ABSENT_FROM_THE_BARE_CORE: [&str; 4] = ["tokio", "rusqlite", "libsqlite3-sys", "serde_json"];

fn run_all() -> Vec<Ended> {
    let mut ended = Vec::new();
    let steps: [(&str, &[&str]); 9] = [
        ("format", &["fmt", "--all", "--check"]),
        ("lints", &["clippy", "--workspace", "--all-targets", "--all-features", "--quiet", "--", "-D", "warnings"]),
        (
            "lints of the core without features",
            &["clippy", "--package", "clove-core", "--no-default-features", "--quiet", "--", "-D", "warnings"],
        ),
        ("the facade without features", &["check", "--package", "clove", "--no-default-features", "--quiet"]),
        (
            "tests of all crates and examples",
            &["test", "--workspace", "--all-features", "--lib", "--bins", "--tests", "--examples"],
        ),
        ("doc tests", &["test", "--workspace", "--all-features", "--doc"]),
        ("documentation", &["doc", "--workspace", "--all-features", "--no-deps", "--quiet"]),
        ("the lock file is settled", &["fetch", "--locked", "--quiet"]),
        ("quickstart", &["run", "--quiet", "--example", "quickstart"]),
    ];
    for (name, arguments) in steps {
        let mut command = cargo(arguments);
        command.env("RUSTDOCFLAGS", "-D warnings");
        let folder = std::env::temp_dir().join(format!("clove-quickstart-{}.db", std::process::id()));
        command.env("CLOVE_QUICKSTART_DB", &folder);
        let step = step::run(name, &mut command);
        let ok = step.ok;
        ended.push(step);
        for file in ["", "-wal", "-shm"] {
            // Only the last step makes these.
            let _ = std::fs::remove_file(format!("{}{file}", folder.display()));
        }
        if !ok {
            return ended;
        }
    }
    ended.push(bare_core());
    ended
}

/// The core alone names no runtime, no store and no JSON.
fn bare_core() -> Ended {
    let name = "dependencies of the bare core";
    let began = std::time::Instant::now();
    println!("\n== {name}");
    let tree =
        cargo(&["tree", "--package", "clove-core", "--no-default-features", "--edges", "normal", "--prefix", "none"]).output();
    let found: Vec<&str> = match &tree {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout);
            let names: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
            ABSENT_FROM_THE_BARE_CORE.into_iter().filter(|name| names.contains(name)).collect()
        }
        _ => vec!["cargo tree failed"],
    };
    println!(
        "{}",
        if found.is_empty() { "none of what must be absent".to_owned() } else { format!("found: {}", found.join(", ")) }
    );
    Ended { name: name.to_owned(), took: began.elapsed(), ok: found.is_empty(), count: Default::default() }
}

pub(crate) fn run() -> ExitCode {
    if Command::new("cc").arg("--version").output().is_err() {
        eprintln!(
            "A C compiler is missing, and the bundled SQLite is C: install one, for example with `apt-get install gcc libc6-dev`."
        );
        return ExitCode::FAILURE;
    }
    let ended = run_all();
    println!("\n== what ran");
    for step in &ended {
        let tests = step.count.passed + step.count.failed;
        let tests = if tests > 0 { format!("{tests} tests, {} ignored", step.count.ignored) } else { String::new() };
        println!("{:6} {:>7.1} s  {:36} {tests}", if step.ok { "ok" } else { "FAILED" }, step.took.as_secs_f64(), step.name);
    }
    let passed: u64 = ended.iter().map(|step| step.count.passed).sum();
    let failed: u64 = ended.iter().map(|step| step.count.failed).sum();
    println!("\n{passed} passed, {failed} failed");
    if ended.iter().all(|step| step.ok) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
