//! `cargo xtask test`: everything there is to check, on a bare machine, and what ran.

use crate::{
    binaries,
    clients::Clients,
    servers::Servers,
    step::{self, Count, Ended, Outcome, cargo},
};
use std::process::{Command, ExitCode};

/// What a library without its default features must not pull in, for hosts that want none of it.
const ABSENT_WITHOUT_FEATURES: [&str; 5] = ["tokio", "rusqlite", "libsqlite3-sys", "sqlx", "serde_json"];

/// What a step does.
enum Does {
    /// Runs cargo.
    Cargo(&'static [&'static str]),
    /// Runs cargo, once everything has been built.
    AfterBuild(&'static [&'static str]),
    /// Brings the servers of the tests, once everything has been built: an error of the build is told before.
    Servers,
    /// Brings the clients of the tests, then.
    Clients,
    /// Runs the binaries of `cargo test` with these arguments, once servers and clients are there.
    BesideServers(&'static [&'static str]),
    /// Runs cargo, with shuttle's locks and atomics, in a target folder of its own.
    Schedules(&'static [&'static str]),
    /// Looks for itself, and says what it found.
    Checks(fn() -> Result<String, String>),
}
use Does::{AfterBuild, BesideServers, Cargo, Checks, Schedules};

const BUILD: &str = "build";
const STEPS: [(&str, Does); 17] = [
    ("format", Cargo(&["fmt", "--all", "--check"])),
    ("dependencies of the bare core", Checks(|| is_bare("clove-core"))),
    ("dependencies of the bare facade", Checks(|| is_bare("clove"))),
    (BUILD, Cargo(&["test", "--workspace", "--all-features", "--lib", "--bins", "--tests", "--examples", "--no-run", "--quiet"])),
    ("servers", Does::Servers),
    ("clients", Does::Clients),
    (
        "tests of all crates and examples",
        BesideServers(&["test", "--workspace", "--all-features", "--lib", "--bins", "--tests", "--examples"]),
    ),
    ("doc tests", AfterBuild(&["test", "--workspace", "--all-features", "--doc", "--no-fail-fast"])),
    (
        "schedules of the core",
        Schedules(&[
            "test",
            "--package",
            "clove-core",
            "--test",
            "shuttle",
            "--profile",
            "schedules",
            "--target-dir",
            "target/shuttle",
        ]),
    ),
    ("quickstart", AfterBuild(&["run", "--quiet", "--example", "quickstart"])),
    ("documentation", AfterBuild(&["doc", "--workspace", "--all-features", "--no-deps", "--quiet"])),
    ("lints", AfterBuild(&["clippy", "--workspace", "--all-targets", "--all-features", "--quiet", "--", "-D", "warnings"])),
    (
        "lints of the core without features",
        AfterBuild(&["clippy", "--package", "clove-core", "--no-default-features", "--quiet", "--", "-D", "warnings"]),
    ),
    (
        "lints with `tracing` alone",
        AfterBuild(&[
            "clippy",
            "--package",
            "clove",
            "--no-default-features",
            "--features",
            "tracing",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ]),
    ),
    (
        "lints with `metrics` alone",
        AfterBuild(&[
            "clippy",
            "--package",
            "clove",
            "--no-default-features",
            "--features",
            "metrics",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ]),
    ),
    // Says itself what is wrong: valgrind missing, or a count that is not the committed one.
    (
        "instructions of a cached verification",
        AfterBuild(&["run", "--release", "--quiet", "--package", "clove-bench", "--", "--check-instructions"]),
    ),
    ("the facade without features", AfterBuild(&["check", "--package", "clove", "--no-default-features", "--quiet"])),
];

/// Goes through all steps, whatever becomes of one; only what is not built is not run, or lacks its servers.
fn run_all() -> Vec<Ended> {
    let (mut ended, mut built, mut servers, mut clients) = (Vec::new(), false, None, None);
    for (name, does) in STEPS {
        let step = match does {
            AfterBuild(_) | Does::Servers | Does::Clients if !built => Ended::not_run(name),
            BesideServers(_) if servers.is_none() || clients.is_none() => Ended::not_run(name),
            Cargo(arguments) | AfterBuild(arguments) => run(name, cargo(arguments)),
            BesideServers(arguments) => {
                let of_servers = servers.iter().flat_map(Servers::env).map(|(name, value)| (name, value.to_owned()));
                let env: Vec<(&str, String)> = of_servers.chain(clients.iter().map(Clients::env)).collect();
                binaries::run(name, arguments, &env)
            }
            Schedules(arguments) => {
                let mut command = cargo(arguments);
                command.env("RUSTFLAGS", "--cfg shuttle");
                run(name, command)
            }
            Does::Servers => step::check(name, || Ok(servers.insert(Servers::start()?).found().to_owned())),
            Does::Clients => step::check(name, || Ok(clients.insert(Clients::bring()?).found())),
            Checks(check) => step::check(name, check),
        };
        built |= name == BUILD && step.outcome == Outcome::Ok;
        ended.push(step);
    }
    ended
}

fn run(name: &str, mut command: Command) -> Ended {
    let file = std::env::temp_dir().join(format!("clove-quickstart-{}.db", std::process::id()));
    let step = step::run(name, command.env("RUSTDOCFLAGS", "-D warnings").env("CLOVE_QUICKSTART_DB", &file));
    for rest in ["", "-wal", "-shm"] {
        // Only the quickstart makes these.
        let _ = std::fs::remove_file(format!("{}{rest}", file.display()));
    }
    step
}

/// A library alone names no runtime, no store and no JSON.
fn is_bare(package: &str) -> Result<String, String> {
    let tree = cargo(&["tree", "--package", package, "--no-default-features", "--edges", "normal", "--prefix", "none"]).output();
    let tree = tree.map_err(|error| format!("cargo did not start: {error}"))?;
    if !tree.status.success() {
        return Err(String::from_utf8_lossy(&tree.stderr).into_owned());
    }
    let text = String::from_utf8_lossy(&tree.stdout);
    let names: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    let found: Vec<&str> = ABSENT_WITHOUT_FEATURES.into_iter().filter(|name| names.contains(name)).collect();
    if found.is_empty() { Ok("none of what must be absent".to_owned()) } else { Err(format!("found: {}", found.join(", "))) }
}

pub(crate) fn run_and_tell() -> ExitCode {
    if Command::new("cc").arg("--version").output().is_err() {
        eprintln!(
            "A C compiler is missing, and the bundled SQLite is C: install one, for example with `apt-get install gcc libc6-dev`."
        );
        return ExitCode::FAILURE;
    }
    let ended = run_all();
    println!("\n== what ran");
    ended.iter().for_each(|step| println!("{step}"));
    let count = ended.iter().fold(Count::default(), |sum, step| sum + step.count);
    let steps = |outcome| ended.iter().filter(|step| step.outcome == outcome).count();
    println!("\n{} tests passed, {} failed, {} ignored", count.passed, count.failed, count.ignored);
    println!("{} steps ok, {} failed, {} not run", steps(Outcome::Ok), steps(Outcome::Failed), steps(Outcome::NotRun));
    if steps(Outcome::Ok) == ended.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
