//! The house's own commands: `cargo xtask test`, `bench`, `soak` and `servers`.

mod apt;
mod binaries;
mod clients;
mod look;
mod servers;
mod step;
mod test;

use std::process::{Command, ExitCode};

const USAGE: &str = "usage:
  cargo xtask test                       everything there is to check
  cargo xtask bench [--json] [--only F]  the figures, each beside its limit
  cargo xtask bench --http [...]         those of the HTTP edge; wrk puts the load on it
  cargo xtask bench --postgres [...]     those of the store on Postgres, on a server that is brought; also
                                         --scale [--keys N], those of 10,000,000 keys, or N: 16 GB, and half an hour
  cargo xtask soak                       the long runs of races, crashes, faults and migrations
  cargo xtask servers -- COMMAND...      a command beside the Postgres, the PgBouncer and the clients of the tests";

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
        Some(("bench", rest)) => {
            let mut command = step::cargo(&["run", "--release", "--quiet", "--package", "clove-bench"]);
            let set =
                ["postgres", "http"].into_iter().find(|set| rest.iter().any(|argument| argument.strip_prefix("--") == Some(set)));
            command.args(set.into_iter().flat_map(|set| ["--features", set])).arg("--").args(rest);
            match set {
                Some("postgres") => servers::run_beside(&mut command, false),
                Some("http") => match gateway() {
                    Ok(gateway) => code(command.env("CLOVE_BENCH_GATEWAY", gateway)),
                    Err(wrong) => {
                        eprintln!("{wrong}");
                        ExitCode::FAILURE
                    }
                },
                _ => code(&mut command),
            }
        }
        Some(("soak", [])) => {
            let packages =
                ["clove", "clove-store-sqlite", "clove-store-postgres"].into_iter().flat_map(|name| ["--package", name]);
            let tests = LONG.iter().flat_map(|name| ["--test", name]);
            let mut command = step::cargo(&["test", "--release", "--no-fail-fast"]);
            servers::run_beside(command.args(packages).args(tests).args(["--", "--nocapture"]).env("CLOVE_SOAK", "1"), false)
        }
        Some(("servers", [dashes, program, rest @ ..])) if dashes == "--" => {
            servers::run_beside(Command::new(program).args(rest), true)
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// Builds the gateway of the examples, and says where it is.
fn gateway() -> Result<String, String> {
    let messages = step::built(&["build", "--release", "--quiet", "--package", "gateway"])?;
    let mut files = messages.iter().filter_map(|message| message.get("executable")?.as_str());
    files.next_back().map(str::to_owned).ok_or_else(|| "cargo names no gateway".to_owned())
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
