//! `pgbench -S -M prepared`: how many point reads a second the server gives to a client that does nothing else.

use super::server;
use crate::programs::on_path;
use std::{
    path::PathBuf,
    process::{Command, Output},
    time::Duration,
};

const DATABASE: &str = "clove_bench_pgbench";
/// A million rows.
const SCALE: &str = "10";

/// Beside the other programs of the server, or in `PATH`.
pub(crate) fn program() -> Result<PathBuf, String> {
    let beside = std::env::var_os("CLOVE_TEST_POSTGRES_BIN").map(|bin| PathBuf::from(bin).join("pgbench"));
    beside.filter(|file| file.is_file()).or_else(|| on_path("pgbench")).ok_or_else(|| {
        "pgbench is missing, which verify-pg-32 is measured beside: it comes with Postgres's server (Debian: postgresql-15, \
         Fedora: postgresql-contrib), and is looked for in CLOVE_TEST_POSTGRES_BIN and PATH"
            .to_owned()
    })
}

/// Its tables, in a database of their own, dropped at the end.
pub(crate) struct Pgbench {
    url: String,
}

impl Pgbench {
    pub(crate) fn new(runtime: &tokio::runtime::Runtime) -> Self {
        runtime.block_on(async {
            let mut connection = server::connect().await;
            server::execute(&mut connection, format!("DROP DATABASE IF EXISTS {DATABASE}")).await;
            server::execute(&mut connection, format!("CREATE DATABASE {DATABASE}")).await;
        });
        let made = Self { url: of_database(&server::url().unwrap_or_default()) };
        made.run(&["--initialize", "--quiet", "--scale", SCALE]);
        made
    }

    /// Point reads a second of so many clients on two threads.
    pub(crate) fn rate(&self, clients: usize, time: Duration) -> f64 {
        let (clients, seconds) = (clients.to_string(), time.as_secs().max(1).to_string());
        let output =
            self.run(&["--no-vacuum", "-S", "--protocol=prepared", "--client", &clients, "--jobs=2", "--time", &seconds]);
        let said = String::from_utf8_lossy(&output.stdout);
        // The last one does not count the time of connecting, in whichever words a version says so.
        let rate = said.lines().rev().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
        rate.unwrap_or_else(|| panic!("pgbench tells no rate:\n{said}"))
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let program = program().unwrap_or_else(|missing| panic!("{missing}"));
        let output = Command::new(program).args(arguments).arg(&self.url).output().expect("pgbench");
        assert!(output.status.success(), "pgbench has failed:\n{}", String::from_utf8_lossy(&output.stderr));
        output
    }
}

impl Drop for Pgbench {
    fn drop(&mut self) {
        let dropping = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                server::execute(&mut server::connect().await, format!("DROP DATABASE IF EXISTS {DATABASE}")).await;
            });
        });
        if dropping.join().is_err() {
            eprintln!("the database {DATABASE} could not be dropped");
        }
    }
}

/// The same server's URL, for another database.
fn of_database(url: &str) -> String {
    let (rest, query) = url.split_once('?').map_or((url, String::new()), |(rest, query)| (rest, format!("?{query}")));
    let authority = rest.find("://").map_or(0, |at| at + 3);
    let end = rest[authority..].find('/').map_or(rest.len(), |at| authority + at);
    format!("{}/{DATABASE}{query}", &rest[..end])
}
