//! A Postgres of a test's own, which it may restart and whose backends it may kill.

#![allow(dead_code, clippy::unwrap_used, clippy::panic, reason = "tests; each file uses its part")]

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// What ends the server and removes its folder once its input, a pipe of ours, is closed: when we drop it, and when we are killed.
const KEEPER: &str = r#"read -r _; "$1" -D "$2/data" -m immediate stop; cd /; rm -rf "$2""#;

/// Two authorities of the same name, and the server's key with a certificate of the first one, for the address that it listens on.
const CERTIFICATES: &str = r#"set -e; cd "$1"
    printf '[req]\ndistinguished_name=name\n[name]\n[ca]\nbasicConstraints=critical,CA:TRUE\n' > tls.cnf
    printf '[server]\nbasicConstraints=critical,CA:FALSE\nsubjectAltName=IP:127.0.0.1\n' >> tls.cnf
    new="openssl req -config tls.cnf -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    for authority in ca other; do
        $new -x509 -extensions ca -days 2 -subj /CN=authority -keyout $authority.key -out $authority.crt
    done
    $new -subj /CN=server -keyout server.key -out server.csr
    openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile tls.cnf -extensions server -out server.crt
    chmod 600 server.key"#;

/// Gone when it is dropped.
pub(crate) struct Cluster {
    folder: String,
    port: u16,
    keeper: Child,
}

fn said(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!(
            "{name} names no programs of a server: run `cargo xtask test`, or one test by `cargo xtask servers -- cargo test ...`"
        )
    })
}

/// A command of the user that servers run as.
fn command(program: &str) -> Command {
    let prefix = said("CLOVE_TEST_AS");
    let mut words = prefix.split(' ').filter(|word| !word.is_empty()).chain([program]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).current_dir("/").stdin(Stdio::null());
    command
}

fn program(name: &str) -> String {
    format!("{}/{name}", said("CLOVE_TEST_POSTGRES_BIN"))
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let folder = command("mktemp").args(["-d", "--tmpdir", "clove-cluster-XXXXXXXX"]).output().unwrap();
        assert!(folder.status.success(), "no folder for a cluster");
        let folder = String::from_utf8(folder.stdout).unwrap().trim().to_owned();
        let mut keeper = command("sh");
        keeper.args(["-c", KEEPER, "sh", &program("pg_ctl"), &folder]).stdin(Stdio::piped());
        // In a process group of its own, which an interrupt of ours does not reach.
        std::os::unix::process::CommandExt::process_group(&mut keeper, 0);
        let keeper = keeper.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let cluster = Self { folder, port, keeper };
        let data = cluster.path("data");
        let made = ["-D", &data, "-U", "clove", "--auth=trust", "--encoding=UTF8", "--no-sync", "--locale=C"];
        cluster.run("initdb", &made);
        cluster.control(&["start"]);
        cluster
    }

    /// In its folder.
    pub(crate) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    /// Not into pipes: the server would hold them open.
    fn run(&self, name: &str, arguments: &[&str]) {
        let mut command = command(&program(name));
        let ran = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(ran.success(), "{name} {arguments:?} failed; {} says why", self.path("log"));
    }

    fn control(&self, words: &[&str]) {
        let (data, log) = (self.path("data"), self.path("log"));
        let options = format!(
            "-p {} -k {} -c listen_addresses=127.0.0.1 -c max_connections=400 -c shared_buffers=64MB -c logging_collector=off",
            self.port, self.folder
        );
        self.run("pg_ctl", &[&["-D", &data, "-l", &log, "-w", "-t", "60", "-o", &options], words].concat());
    }

    /// From now on it takes encrypted connections too: `ca.crt` in its folder vouches for it, and `other.crt` does not.
    pub(crate) async fn encrypt(&self) {
        let made = command("sh").args(["-c", CERTIFICATES, "sh", &self.folder]).output().unwrap();
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "no certificates by the command openssl (Debian: `apt-get install openssl`): {said}");
        for (setting, name) in [("ssl_cert_file", "server.crt"), ("ssl_key_file", "server.key")] {
            self.execute(&format!("ALTER SYSTEM SET {setting} = '{}'", self.path(name))).await;
        }
        self.execute("ALTER SYSTEM SET ssl = on").await;
        self.control(&["restart"]);
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Straight, or through what listens on another port.
    pub(crate) fn url(port: u16) -> String {
        format!("postgres://clove@127.0.0.1:{port}/postgres")
    }

    /// As if the power went: no backend ends in order, and what was committed is read from the log.
    pub(crate) fn restart(&self) {
        self.control(&["-m", "immediate", "restart"]);
    }

    pub(crate) async fn connect(&self) -> PgConnection {
        let mut tries = 0;
        loop {
            match PgConnection::connect(&Self::url(self.port)).await {
                Ok(connection) => return connection,
                Err(error) if tries == 100 => panic!("{error}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
            tries += 1;
        }
    }

    pub(crate) async fn execute(&self, sql: &str) {
        self.connect().await.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
    }

    /// Ends all sessions but the one that asks.
    pub(crate) async fn kill_backends(&self) {
        let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
        self.execute(others).await;
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Closes the pipe, and waits until all is gone.
        let _ = self.keeper.wait();
    }
}
