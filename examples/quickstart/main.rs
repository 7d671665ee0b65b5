//! Keys from issue to refusal, on a SQLite file.
//!
//! `cargo run --example quickstart` tells the life of a few keys; `cargo run --example quickstart -- help` lists the commands
//! that work on the same file, from as many shells as you like.

mod command;
mod show;
mod tour;

use clove::{Clove, Error, Fault, Policy, sqlite::SqliteStore};
use std::process::ExitCode;

/// How a command ends, for the shell.
enum Outcome {
    /// 0: done.
    Done,
    /// 1: the rules, or a denial; the sentence says what to do.
    Refused(String),
    /// 2: the command line.
    Usage(String),
}

type Ended = Result<Outcome, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Refused(why)) => {
            eprintln!("{why}");
            ExitCode::from(1)
        }
        Ok(Outcome::Usage(why)) => {
            eprintln!("{why}\n\n{}", command::HELP);
            ExitCode::from(2)
        }
        Err(fault) => {
            eprintln!("{fault}");
            let mut source = fault.source();
            while let Some(cause) = source {
                eprintln!("  because: {cause}");
                source = cause.source();
            }
            ExitCode::from(3)
        }
    }
}

async fn run() -> Ended {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if matches!(arguments.first().map(String::as_str), Some("help" | "--help" | "-h")) {
        println!("{}", command::HELP);
        return Ok(Outcome::Done);
    }
    let path = std::env::var_os("CLOVE_QUICKSTART_DB").unwrap_or_else(|| "quickstart.db".into());
    let store = SqliteStore::open(&path)?;
    let clove = Clove::new(store.clone(), Policy::profile_a());
    let ended = if arguments.is_empty() {
        println!("Keys live in {}, readable by you alone.", path.display());
        tour::run(&clove).await
    } else {
        command::run(&clove, &arguments).await
    };
    // Last uses are written in batches: these are the last ones.
    clove.flush().await?;
    store.close().await;
    match ended.map_err(|error| error.downcast::<Error>()) {
        Ok(outcome) => Ok(outcome),
        Err(Ok(error)) => match *error {
            Error::Refused(_) | Error::Invalid(_) => Ok(Outcome::Refused(error.to_string())),
            Error::Fault(fault @ Fault::Overloaded) => Err(fault.into()),
            error => Err(error.into()),
        },
        Err(Err(other)) => Err(other),
    }
}
