//! An AI gateway: people make API keys on its settings page, and use a Messages API with them, by the CLI and SDKs that they have.
//!
//! `cargo run -p gateway` on a bare machine; `cargo run -p gateway -- --help` lists the options.

mod answer;
mod api;
mod app;
mod asks;
mod body;
mod demo;
mod gateway;
mod headers;
mod hosts;
mod keys;
mod meter;
mod options;
mod organizations;
mod random;
mod serve;
mod sessions;
mod sign_in;
mod start;
mod upstream;
mod welcome;

use options::{HELP, Options};
use std::{io::Write, process::ExitCode};
use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::read(std::env::args_os().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => return said(writeln!(std::io::stdout(), "{HELP}")),
        Err(wrong) => return failed(&wrong),
    };
    let filter: Targets = match std::env::var("RUST_LOG").as_deref().unwrap_or("info").parse() {
        Ok(filter) => filter,
        Err(_) => return failed("RUST_LOG cannot be read: it is a level, or targets with one, as in info,clove=debug"),
    };
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    tracing_subscriber::registry().with(log).with(filter).init();
    match start::run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn said(written: std::io::Result<()>) -> ExitCode {
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn failed(why: &str) -> ExitCode {
    // Where nobody can be told, the exit code tells.
    let _ = writeln!(std::io::stderr(), "gateway: {why}");
    ExitCode::from(2)
}
