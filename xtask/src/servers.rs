//! A Postgres for tests, and a PgBouncer in transaction mode before it: found, brought up, and gone with this process.

mod address;
mod kept;
mod pgbouncer;
mod postgres;
pub(crate) mod run_as;

use crate::clients::Clients;
use pgbouncer::PgBouncer;
use postgres::Postgres;
use run_as::RunAs;
use std::process::{Command, ExitCode};

/// Both servers. What was started for them ends when this is dropped, or with the process, however it ends.
pub(crate) struct Servers {
    env: Vec<(&'static str, String)>,
    found: String,
    // Fields are dropped in this order: first what connects to the other.
    _pgbouncer: PgBouncer,
    _postgres: Postgres,
}

impl Servers {
    /// Takes the servers that `DATABASE_URL` and `PGBOUNCER_URL` name, or brings what is installed, or installs it on
    /// Debian as root. The error says what to do.
    pub(crate) fn start() -> Result<Self, String> {
        // An empty variable is how many a CI says that there is none.
        let named = |variable| std::env::var(variable).ok().filter(|url| !url.is_empty());
        let (database_url, pgbouncer_url) = (named("DATABASE_URL"), named("PGBOUNCER_URL"));
        if pgbouncer_url.is_some() && database_url.is_none() {
            return Err("PGBOUNCER_URL needs DATABASE_URL beside it: both must lead to the same server".to_owned());
        }
        let run_as = RunAs::find()?;
        let postgres = Postgres::start(database_url, &run_as)?;
        let pgbouncer = PgBouncer::start(pgbouncer_url, postgres.url(), &run_as)?;

        let mut env =
            vec![("CLOVE_TEST_POSTGRES", postgres.url().to_owned()), ("CLOVE_TEST_PGBOUNCER", pgbouncer.url().to_owned())];
        env.push(("CLOVE_TEST_AS", run_as.to_string()));
        let path = |path: &std::path::Path| path.display().to_string();
        env.extend(postgres.bin().map(|bin| ("CLOVE_TEST_POSTGRES_BIN", path(bin))));
        env.extend(postgres.data().map(|data| ("CLOVE_TEST_POSTGRES_DATA", path(&data))));
        let found = format!("{}\n{}", postgres.found(), pgbouncer.found());
        Ok(Self { env, found, _pgbouncer: pgbouncer, _postgres: postgres })
    }

    /// What tests are told of them.
    pub(crate) fn env(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.env.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// How they were found, for people.
    pub(crate) fn found(&self) -> &str {
        &self.found
    }
}

/// Runs a command beside both servers, and clients if it may want them, and ends as it does.
pub(crate) fn run_beside(command: &mut Command, with_clients: bool) -> ExitCode {
    let start = || Ok((Servers::start()?, if with_clients { Some(Clients::bring()?) } else { None }));
    let (servers, clients) = match start() {
        Ok(started) => started,
        Err::<_, String>(wrong) => {
            eprintln!("{wrong}");
            return ExitCode::FAILURE;
        }
    };
    // Not among the command's own output.
    eprintln!("{}", servers.found());
    if let Some(clients) = &clients {
        eprintln!("{}", clients.found());
        command.envs([clients.env()]);
    }
    match command.envs(servers.env()).status() {
        // One that a signal has ended has no code.
        Ok(status) => status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from),
        Err(error) => {
            eprintln!("{} did not start: {error}", command.get_program().display());
            ExitCode::FAILURE
        }
    }
}
