//! A PgBouncer in transaction mode: the one that `PGBOUNCER_URL` names, or one of ours before the Postgres of the tests.

use super::{address::Address, kept::Kept, kept::quoted, run_as::RunAs};
use crate::{apt, look};
use std::{
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
};

const MISSING: &str = "PgBouncer is missing: install it (Debian: `apt-get install pgbouncer`, Fedora: `dnf install pgbouncer`, \
                       macOS: `brew install pgbouncer`), or name one for tests by PGBOUNCER_URL";

pub(crate) struct PgBouncer {
    url: String,
    found: String,
    _kept: Option<Kept>,
}

impl PgBouncer {
    /// Brings one before the server of this URL.
    pub(crate) fn start(pgbouncer_url: Option<String>, postgres: &str, run_as: &RunAs) -> Result<Self, String> {
        if let Some(url) = pgbouncer_url {
            return Ok(Self { url, found: "PgBouncer that PGBOUNCER_URL names".to_owned(), _kept: None });
        }
        let server = Address::parse(postgres)
            .map_err(|wrong| format!("PgBouncer cannot be pointed at DATABASE_URL: {wrong}. Mend it, or set PGBOUNCER_URL"))?;
        let program = installed_or_install()?;
        let version = look::version(&program).unwrap_or_else(|| "PgBouncer".to_owned());
        look::on_free_port(|port| Self::on_port(port, &program, &version, &server, run_as))
            .map_err(|error| format!("{} did not come up:\n{error}", program.display()))
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn found(&self) -> &str {
        &self.found
    }

    fn on_port(port: u16, program: &Path, version: &str, server: &Address, run_as: &RunAs) -> Result<Self, String> {
        let mut kept = Kept::folder_for("pgbouncer", run_as)?;
        kept.write("users", &users(server))?;
        kept.write("pgbouncer.ini", &ini(server, port, version))?;
        // Each client is a file to it. It holds nothing worth an orderly end, which some versions let clients put off.
        let lines = format!("ulimit -S -n 4096\nrun {} pgbouncer.ini", quoted(&program.display().to_string()));
        kept.start(&lines, "KILL")?;
        let listens = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        // The file comes from ours alone, and the port is open before or after.
        kept.wait_until(|kept| !kept.read("pid").is_empty() && listens())?;
        let host = "127.0.0.1".to_owned();
        let url = Address { host, port, sslmode: None, ..server.clone() }.to_string();
        let found = format!("{version} of {}, on port {port}", program.display());
        Ok(Self { url, found, _kept: Some(kept) })
    }
}

/// Whatever database a client names is that of the server. Nothing is ignored of what a client says at its start, and no
/// statements are prepared for it: it must cope with a PgBouncer that nobody has fitted to it.
fn ini(server: &Address, port: u16, version: &str) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let (host, user) = (quoted(&server.host), &server.user);
    // With a password it is asked for here, too: else anyone on the machine had the server's rows without.
    let auth = if server.password.is_some() { "scram-sha-256" } else { "trust" };
    let mut ini = format!(
        "[databases]\n* = host={host} port={}\n\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
         pidfile = pid\nauth_type = {auth}\nauth_file = users\nadmin_users = {user}\npool_mode = transaction\n\
         max_client_conn = 1000\ndefault_pool_size = 40\nignore_startup_parameters =\n",
        server.port
    );
    // A test may have a database of its own, and leaves it soon.
    ini.push_str("server_idle_timeout = 10\n");
    if let Some(sslmode) = &server.sslmode {
        ini.push_str(&format!("server_tls_sslmode = {sslmode}\n"));
    }
    // Before 1.21 there is no such setting, and from 1.24 on another default.
    if look::numbers(version) >= vec![1, 21] {
        ini.push_str("max_prepared_statements = 0\n");
    }
    ini
}

/// Whom it lets in, and as whom it logs in.
fn users(server: &Address) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    format!("{} {}\n", quoted(&server.user), quoted(server.password.as_deref().unwrap_or_default()))
}

fn installed_or_install() -> Result<PathBuf, String> {
    if let Some(program) = installed() {
        return Ok(program);
    }
    if !apt::can_install() {
        return Err(MISSING.to_owned());
    }
    apt::install("pgbouncer")?;
    installed().ok_or_else(|| MISSING.to_owned())
}

/// Where Debian has it is not in everyone's `PATH`.
fn installed() -> Option<PathBuf> {
    look::on_path("pgbouncer").or_else(|| Some(PathBuf::from("/usr/sbin/pgbouncer")).filter(|file| file.is_file()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn has(ini: &str, line: &str) -> bool {
        ini.lines().any(|has| has.trim_end() == line)
    }

    #[test]
    fn a_server_without_a_password_is_for_its_user_and_no_parameter_is_ignored() {
        let server = Address::parse("postgres://clove@127.0.0.1:6543/postgres").unwrap();
        let ini = ini(&server, 7000, "PgBouncer 1.18.0");
        for line in ["* = host='127.0.0.1' port=6543", "listen_port = 7000", "auth_type = trust", "ignore_startup_parameters ="] {
            assert!(has(&ini, line), "{line}: {ini}");
        }
        assert!(!ini.contains("max_prepared_statements") && !ini.contains("tls"));
        assert_eq!(users(&server), "\"clove\" \"\"\n");
    }

    #[test]
    fn a_password_is_asked_for_and_written_with_its_quotes() {
        let server = Address::parse("postgres://clove:a%22b@db/keys?sslmode=require").unwrap();
        let ini = ini(&server, 7000, "PgBouncer 1.24.1");
        for line in ["auth_type = scram-sha-256", "server_tls_sslmode = require", "max_prepared_statements = 0"] {
            assert!(has(&ini, line), "{line}: {ini}");
        }
        assert_eq!(users(&server), "\"clove\" \"a\"\"b\"\n");
    }
}
