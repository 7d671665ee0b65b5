//! The gateway of the examples, as a process of its own.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

/// Where it is, as `cargo xtask bench --http` has built it.
const PROGRAM: &str = "CLOVE_BENCH_GATEWAY";

/// What is missing to start it.
pub(crate) fn missing() -> Option<String> {
    let is_there = std::env::var_os(PROGRAM).is_some();
    (!is_there).then(|| format!("{PROGRAM} names no gateway: `cargo xtask bench --http` builds one, and says where"))
}

/// One that runs, with its keys in a file of its own.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    /// Of a key that may use it.
    pub(crate) credential: String,
    running: Running,
    _folder: tempfile::TempDir,
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Gateway {
    /// Before an upstream. With its demo it tells of a first key, and with an upstream of none: so it is started twice.
    pub(crate) fn before(upstream: SocketAddr) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let db = folder.path().join("gateway.db").display().to_string();
        let (demo, _, credential) = start(&["--db", &db]);
        stop(demo);
        let upstream = format!("http://{upstream}");
        let (running, address, _) = start(&["--db", &db, "--upstream", &upstream, "--limit", "1000000000/60"]);
        Self { address, credential, running, _folder: folder }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Before its folder goes.
        let _ = self.running.0.kill();
    }
}

/// It, where it listens, and the credential that it tells to paste.
fn start(arguments: &[&str]) -> (Running, SocketAddr, String) {
    let mut command = Command::new(std::env::var_os(PROGRAM).expect(PROGRAM));
    command.args(["--listen", "127.0.0.1:0"]).args(arguments).env("UPSTREAM_API_KEY", "none").env("RUST_LOG", "error");
    let mut running = Running(command.stdout(Stdio::piped()).spawn().expect("a gateway"));
    let said = BufReader::new(running.0.stdout.take().expect("its output"));
    let mut address = None;
    for line in said.lines().map(|line| line.expect("a line")) {
        if let Some((_, base)) = line.split_once("ANTHROPIC_BASE_URL=http://") {
            address = Some(base.parse().expect("an address"));
        }
        if let (Some(address), Some((_, credential))) = (address, line.split_once("ANTHROPIC_API_KEY=")) {
            return (running, address, credential.trim_matches('\'').to_owned());
        }
    }
    panic!("the gateway ended without saying where it is");
}

/// As its host would, so that it writes what waits.
fn stop(mut gateway: Running) {
    let pid = gateway.0.id().to_string();
    assert!(Command::new("kill").arg(&pid).status().expect("kill").success());
    gateway.0.wait().expect("its end");
}
