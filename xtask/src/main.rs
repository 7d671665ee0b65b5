//! The house's own commands: `cargo xtask test`, `bench`, `soak` and `servers`.

mod servers;
mod step;
mod test;

use std::process::{Command, ExitCode};

const USAGE: &str = "usage:
  cargo xtask test                       everything there is to check
  cargo xtask bench [--json] [--only F]  the figures, each beside its limit
  cargo xtask soak                       the long runs of races, crashes, faults and migrations
  cargo xtask servers -- COMMAND...      a command beside the Postgres and PgBouncer of the tests";

/// The tests that run for long when they are told to.
const LONG: [&str; 12] = [
    "budgets_crash",
    "crash",
    "faults",
    "freshness",
    "ledger",
    "migration",
    "model",
    "obedience",
    "places",
    "races",
    "soak_cache",
    "usage_crash",
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first().map(|(command, rest)| (command.as_str(), rest)) {
        Some(("test", [])) => test::run_and_tell(),
        Some(("bench", rest)) => code(step::cargo(&["run", "--release", "--quiet", "--package", "clove-bench", "--"]).args(rest)),
        Some(("soak", [])) => soak(),
        Some(("servers", [dashes, program, rest @ ..])) if dashes == "--" => servers::run_beside(program, rest),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// Runs the long tests, beside the servers that some of them need.
fn soak() -> ExitCode {
    let servers = match servers::Servers::start() {
        Ok(servers) => servers,
        Err(wrong) => {
            eprintln!("{wrong}");
            return ExitCode::FAILURE;
        }
    };
    println!("{}", servers.found());
    let packages = ["clove", "clove-store-sqlite", "clove-store-postgres"].into_iter().flat_map(|name| ["--package", name]);
    let tests = LONG.iter().flat_map(|name| ["--test", name]);
    let mut command = step::cargo(&["test", "--release", "--no-fail-fast"]);
    code(command.args(packages).args(tests).args(["--", "--nocapture"]).envs(servers.env()).env("CLOVE_SOAK", "1"))
}

fn code(command: &mut Command) -> ExitCode {
    match command.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cargo did not start: {error}");
            ExitCode::FAILURE
        }
    }
}
