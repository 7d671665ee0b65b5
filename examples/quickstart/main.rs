//! Keys from issue to refusal, on a SQLite file.
//!
//! `cargo run --example quickstart` tells the life of a few keys; `cargo run --example quickstart -- help` lists the commands
//! that work on the same file, from as many shells as you like.

mod credential;
mod ended;
mod keys;
mod look;
mod owners;
mod say;
mod shell;
mod show;
mod tour;
mod words;

use clove::{CapabilitySet, Clove, GuessLimit, Policy, sqlite::Options};
use ended::{Ended, fault, warn};
use say::say;
use std::process::ExitCode;
use words::Words;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let ended = run().await;
    ended::tell(ended.and_then(|()| Ok(say::all_said()?)))
}

async fn run() -> Ended {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if words::asks_for_help(&arguments) {
        say!("{}", words::HELP);
        return Ok(());
    }
    let words = if arguments.is_empty() { None } else { Some(Words::read(arguments)?) };
    // Two active keys per owner and 90 days, as is the default; secrets may be taken over, and a new key may write messages
    // unless its capabilities are named.
    let policy =
        Policy::builder().imports(GuessLimit::default()).default_capabilities(CapabilitySet::new(["messages:write"])?).build()?;
    let path = std::env::var_os("CLOVE_QUICKSTART_DB").unwrap_or_else(|| "quickstart.db".into());
    // A new file would deny every credential, as if that were wrong and not the path.
    let create = !words.as_ref().is_some_and(|words| ["verify", "report-leaked"].contains(&words.command));
    let store = Options::new(&path).create(create).open().or_else(|error| fault(path.display(), error))?;
    let clove = Clove::new(store.clone(), policy);
    let ended = match &words {
        Some(words) => shell::run(&clove, words).await,
        None => {
            say!("Keys live in {}, readable by you alone.", path.display());
            tour::run(&clove).await
        }
    };
    // Last uses are written in batches: these are the last ones.
    let flushed = clove.flush().await;
    store.close().await;
    if let Err(error) = flushed {
        warn("The last use of a key could not be written", &error);
    }
    ended
}
