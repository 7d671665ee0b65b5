//! What the command line says.

use clove::{AccessLog, Limits, Window};
use http::Uri;
use std::{
    ffi::{OsStr, OsString},
    net::SocketAddr,
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

pub(crate) const HELP: &str = "An AI gateway with API keys: people make keys on a page, and use a Messages API with them.

usage: gateway [OPTION VALUE]...

  --listen ADDRESS          where to listen; 127.0.0.1:8080 unless said, and port 0 is any that is free
  --upstream URL            the Messages API to forward to, with the key in the environment variable UPSTREAM_API_KEY;
                            a demo of our own unless said
  --db FILE                 the SQLite file of the keys; clove-gateway/gateway.db where this user's data is, unless said
  --postgres URL            keep the keys in Postgres instead, which several gateways may share
  --organizations FILE      organizations, their people and usage policies, as JSON; those of the demo unless said
  --limit COUNT/SECONDS     how many requests a key may make in so many seconds; may be repeated; 60/60 and 5000/86400 unless said
  --access-log PROMISE      best-effort, the default, or required: no request goes on before it is on record
  --answer-within SECONDS   how long the upstream may take to begin an answer; 600 unless said
  --silence SECONDS         how long it may be silent within one; 300 unless said
  --stop-within SECONDS     how long running answers may take to end when the gateway is stopped; 30 unless said
  --demo-pace MILLISECONDS  how long the demo takes for a word of a stream; 30 unless said
  --demo-sign-in-for-anybody
                            has no value: serve the demo's sign-in, where anybody may sign in as anybody, to other machines;
                            needed where --listen is no loopback address
  --public-url URL          how people reach the gateway, if not where it listens; with https, cookies are sent over that alone

RUST_LOG says what is logged, as in RUST_LOG=debug or RUST_LOG=info,clove=trace.";

/// The options. Their `Debug` would show the password of a database, so there is none.
pub(crate) struct Options {
    pub(crate) listen: SocketAddr,
    pub(crate) upstream: Option<Uri>,
    pub(crate) db: Option<PathBuf>,
    pub(crate) postgres: Option<String>,
    pub(crate) organizations: Option<PathBuf>,
    pub(crate) limits: Option<Limits>,
    pub(crate) access_log: AccessLog,
    pub(crate) answer_within: Duration,
    pub(crate) silence: Duration,
    pub(crate) stop_within: Duration,
    pub(crate) demo_pace: Duration,
    pub(crate) public_url: Option<Uri>,
    pub(crate) demo_sign_in_for_anybody: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            upstream: None,
            db: None,
            postgres: None,
            organizations: None,
            limits: None,
            access_log: AccessLog::BestEffort,
            answer_within: Duration::from_secs(600),
            silence: Duration::from_secs(300),
            stop_within: Duration::from_secs(30),
            demo_pace: Duration::from_millis(30),
            public_url: None,
            demo_sign_in_for_anybody: false,
        }
    }
}

impl Options {
    /// Reads them; `None` asks for help. What is wrong is said without the value, which may be a password.
    pub(crate) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Option<Self>, String> {
        let mut options = Self::default();
        let mut windows = Vec::new();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            if matches!(argument.to_str(), Some("help" | "--help" | "-h")) {
                return Ok(None);
            }
            if argument == "--demo-sign-in-for-anybody" {
                options.demo_sign_in_for_anybody = true;
                continue;
            }
            let (name, value) = match argument.to_str().and_then(|text| text.split_once('=')) {
                Some((name, value)) => (OsString::from(name), Some(OsString::from(value))),
                None => (argument, None),
            };
            let name = name.to_str().filter(|name| name.starts_with("--")).ok_or("options begin with --; --help lists them")?;
            let value = value.or_else(|| arguments.next()).ok_or_else(|| format!("{name} needs a value"))?;
            match name {
                "--listen" => options.listen = parsed(name, &value)?,
                "--upstream" => options.upstream = Some(parsed(name, &value)?),
                "--db" => options.db = Some(value.into()),
                "--postgres" => options.postgres = Some(parsed(name, &value)?),
                "--organizations" => options.organizations = Some(value.into()),
                "--limit" => windows.push(window(&value)?),
                "--access-log" => {
                    options.access_log = match value.to_str() {
                        Some("best-effort") => AccessLog::BestEffort,
                        Some("required") => AccessLog::Required,
                        _ => return Err("--access-log is best-effort or required".to_owned()),
                    }
                }
                "--answer-within" => options.answer_within = seconds(name, &value)?,
                "--silence" => options.silence = seconds(name, &value)?,
                "--stop-within" => options.stop_within = seconds(name, &value)?,
                "--demo-pace" => options.demo_pace = Duration::from_millis(parsed(name, &value)?),
                "--public-url" => options.public_url = Some(parsed(name, &value)?),
                _ => return Err(format!("there is no option {name}; --help lists them")),
            }
        }
        if options.db.is_some() && options.postgres.is_some() {
            return Err("the keys are either in a file or in Postgres: leave out --db or --postgres".to_owned());
        }
        if !options.listen.ip().is_loopback() && !options.demo_sign_in_for_anybody {
            return Err("--listen is no loopback address, and in the demo's sign-in anybody may sign in as anybody: \
                        listen at 127.0.0.1, or say --demo-sign-in-for-anybody"
                .to_owned());
        }
        if !windows.is_empty() {
            options.limits = Some(Limits::new(windows).map_err(|error| error.to_string())?);
        }
        Ok(Some(options))
    }
}

fn parsed<T: FromStr>(name: &str, value: &OsStr) -> Result<T, String> {
    value.to_str().and_then(|text| text.parse().ok()).ok_or_else(|| format!("the value of {name} cannot be read"))
}

fn seconds(name: &str, value: &OsStr) -> Result<Duration, String> {
    parsed(name, value).map(Duration::from_secs)
}

fn window(value: &OsStr) -> Result<Window, String> {
    let wrong = || "--limit needs a count and seconds, as 60/60".to_owned();
    let (count, length) = value.to_str().and_then(|text| text.split_once('/')).ok_or_else(wrong)?;
    let (count, length) = (count.parse().map_err(|_| wrong())?, length.parse().map_err(|_| wrong())?);
    Window::new(count, Duration::from_secs(length)).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn read(line: &str) -> Result<Option<Options>, String> {
        Options::read(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn options_are_read_with_a_space_or_an_equals_sign() {
        let options = read("--listen=127.0.0.1:0 --upstream http://localhost:9 --limit 2/3 --limit=5/60").unwrap().unwrap();
        assert_eq!((options.listen.port(), options.upstream.unwrap().to_string()), (0, "http://localhost:9/".to_owned()));
        assert_eq!(options.limits.unwrap().windows().len(), 2);
        assert!(read("--help").unwrap().is_none());
        assert!(read("").unwrap().is_some());
    }

    #[test]
    fn other_machines_get_the_demos_sign_in_only_where_that_is_said() {
        for line in ["--listen 127.0.0.1:0", "--listen [::1]:0", "--listen 0.0.0.0:0 --demo-sign-in-for-anybody"] {
            assert!(read(line).is_ok(), "{line}");
        }
        assert!(read("--demo-sign-in-for-anybody --listen [::]:0 --db a").unwrap().unwrap().db.is_some());
        for line in ["--listen 0.0.0.0:0", "--listen [::]:0", "--listen 192.168.1.2:8080"] {
            assert!(read(line).err().unwrap().contains("--demo-sign-in-for-anybody"), "{line}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_its_value() {
        let wrong = [
            "listen",
            "--listen",
            "--listen nowhere",
            "--lissen 1",
            "--limit 5",
            "--limit 0/0",
            "--access-log never",
            "--db a --postgres postgres://user:hunter2@localhost/keys",
            "hunter2",
        ];
        for line in wrong {
            let said = read(line).err().unwrap();
            assert!(!said.contains("hunter2") && !said.contains("nowhere"), "{line}: {said}");
        }
    }
}
