//! `wrk`: as many requests as a server answers.

use crate::programs::on_path;
use std::{io::Write, net::SocketAddr, path::PathBuf, process::Command, time::Duration};

/// In `PATH`.
pub(crate) fn program() -> Result<PathBuf, String> {
    on_path("wrk")
        .ok_or_else(|| "wrk is missing, which puts the load on the server: install it, on Debian the package wrk".to_owned())
}

/// Requests with a credential each, in turn.
pub(crate) struct Wrk {
    script: tempfile::NamedTempFile,
}

impl Wrk {
    pub(crate) fn new(credentials: &[String]) -> Self {
        let mut script = tempfile::Builder::new().suffix(".lua").tempfile().expect("a file");
        let quoted: Vec<String> = credentials.iter().map(|credential| format!("'{credential}'")).collect();
        // Made beforehand, so that wrk itself is no slower than it must be.
        let lines = [
            &format!("local presented = {{{}}}", quoted.join(",")),
            "local made, next = {}, 0",
            "function init() for at, one in ipairs(presented) do",
            "  made[at] = wrk.format('GET', '/', {['x-api-key'] = one, ['host'] = 'localhost'}) end end",
            "function request() next = next % #made + 1 return made[next] end",
        ];
        script.write_all(lines.join("\n").as_bytes()).expect("a script");
        Self { script }
    }

    /// Requests a second over so many connections. Each must be answered 200.
    pub(crate) fn rate(&self, server: SocketAddr, connections: usize, time: Duration) -> f64 {
        let arguments =
            ["--threads=1".to_owned(), format!("--connections={connections}"), format!("--duration={}", time.as_secs())];
        let mut wrk = Command::new(program().unwrap_or_else(|missing| panic!("{missing}")));
        let output = wrk.args(arguments).arg("--script").arg(self.script.path()).arg(format!("http://{server}/")).output();
        let output = output.expect("wrk");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "wrk has failed:\n{said}{}", String::from_utf8_lossy(&output.stderr));
        assert!(!said.contains("Non-2xx"), "not every request was granted:\n{said}");
        let rate = said.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:")?.trim().parse().ok());
        rate.unwrap_or_else(|| panic!("wrk tells no rate:\n{said}"))
    }
}
