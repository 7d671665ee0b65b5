//! Copies one store into another, so that every key goes on as it is.
//!
//! ```sh
//! cargo run --example copy_store --features postgres -- sqlite:keys.db postgres://clove@localhost/keys
//! ```
//!
//! Stop the service first. Interrupted, run it again: it goes on. With `--logs` before the stores it copies the audit trail and the access
//! log alone, which may be done while the service runs; the rest takes less time afterwards.
//!
//! It ends with 0 where both sides are equal, with 1 where it failed or they are not, and with 2 where it was not told what to do.

use clove::{
    Store, StoreError,
    copy::{CopyStep, Pass, StoreCopy},
    store::CopyPart,
};
use std::{error::Error, process::ExitCode};

const USAGE: &str = "copy_store [--logs] FROM TO, each of them sqlite:PATH or postgres://...";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let logs_alone = arguments.first().is_some_and(|first| first == "--logs");
    arguments.drain(..usize::from(logs_alone));
    let [from, to] = arguments.as_slice() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match copy(from, to, logs_alone).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            let mut source = error.source();
            while let Some(error) = source {
                eprintln!("  since {error}");
                source = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

async fn copy(from: &str, to: &str, logs_alone: bool) -> Result<bool, Box<dyn Error>> {
    // A source that is not there is a typing error, and no empty store.
    let (from, to) = (open(from, false).await?, open(to, true).await?);
    let copy = StoreCopy::new(&*from, &*to);
    let copy = if logs_alone { copy.only(&CopyPart::LOGS) } else { copy };
    let copied = copy.run(&mut tell).await?;
    println!("{copied}");
    Ok(copied.is_complete())
}

fn tell(step: CopyStep) {
    let CopyStep { part, pass, rows } = step;
    match pass {
        Pass::Survey => println!("{rows} {part} are there from an earlier run"),
        Pass::Write => println!("{rows} {part} copied"),
        Pass::Compare => println!("{rows} {part} compared"),
    }
}

async fn open(name: &str, create: bool) -> Result<Box<dyn Store>, StoreError> {
    let Some(path) = name.strip_prefix("sqlite:") else { return open_postgres(name).await };
    Ok(Box::new(clove::sqlite::Options::new(path).create(create).open()?))
}

#[cfg(feature = "postgres")]
async fn open_postgres(url: &str) -> Result<Box<dyn Store>, StoreError> {
    Ok(Box::new(clove::postgres::PostgresStore::connect(url).await?))
}

#[cfg(not(feature = "postgres"))]
async fn open_postgres(_: &str) -> Result<Box<dyn Store>, StoreError> {
    Err(StoreError::Unavailable { what: "opening a store: neither a file, nor built with the feature `postgres`", source: None })
}
