//! A Postgres: the one that `DATABASE_URL` names, or a private cluster of what is installed.

use super::{
    address::Address,
    kept::{Kept, quoted},
    run_as::RunAs,
};
use crate::{apt, look};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const MISSING: &str = "Postgres is missing: install its server (Debian: `apt-get install postgresql`, Fedora: `dnf install postgresql-server`, \
                       macOS: `brew install postgresql`), or name one for tests by DATABASE_URL";

/// An order of text that is not that of bytes, where the server is new enough and built for it: our own order must hold
/// whatever the cluster's is.
const BY_ICU: [&str; 3] = ["--locale-provider=icu", "--icu-locale=en-US", "--locale=C"];

pub(crate) struct Postgres {
    url: String,
    found: String,
    bin: Option<PathBuf>,
    cluster: Option<Kept>,
}

impl Postgres {
    pub(crate) fn start(database_url: Option<String>, run_as: &RunAs) -> Result<Self, String> {
        if let Some(url) = database_url {
            return Ok(Self { url, found: "Postgres that DATABASE_URL names".to_owned(), bin: installed(), cluster: None });
        }
        let bin = installed_or_install()?;
        look::on_free_port(|port| Self::on_port(port, &bin, run_as))
            .map_err(|error| format!("Postgres of {} did not come up:\n{error}", bin.display()))
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn found(&self) -> &str {
        &self.found
    }

    /// Where its programs are, if there are any.
    pub(crate) fn bin(&self) -> Option<&Path> {
        self.bin.as_deref()
    }

    /// The cluster's folder, if it is ours.
    pub(crate) fn data(&self) -> Option<PathBuf> {
        self.cluster.as_ref().map(|kept| kept.folder().join("data"))
    }

    fn on_port(port: u16, bin: &Path, run_as: &RunAs) -> Result<Self, String> {
        let mut kept = Kept::folder_for("postgres", run_as)?;
        // To be thrown away, hence not stopped in order: each of its processes ends at once.
        kept.start(&lines(&kept, bin, port), "QUIT")?;
        // The last line of this file, which is nobody else's, tells what a server on the port may not: that it is ours.
        kept.wait_until(|kept| kept.read("data/postmaster.pid").lines().last().is_some_and(|line| line.trim() == "ready"))?;
        let (user, database) = ("clove".to_owned(), "postgres".to_owned());
        let url = Address { user, password: None, host: "127.0.0.1".to_owned(), port, database, sslmode: None }.to_string();
        let version = look::version(&bin.join("postgres")).unwrap_or_else(|| "Postgres".to_owned());
        let found = format!("{version} of {}, on port {port}, ordering by {}", bin.display(), kept.read("order").trim());
        Ok(Self { url, found, bin: Some(bin.to_owned()), cluster: Some(kept) })
    }
}

/// Makes the cluster and runs it. Anyone on the machine may connect while it lives: what is tested is not the login, and a
/// password would cost each connection its hashing.
fn lines(kept: &Kept, bin: &Path, port: u16) -> String {
    let run = |program: &str, arguments: &[&str]| {
        let program = bin.join(program).display().to_string();
        let words = [program.as_str(), "-D", "data"].into_iter().chain(arguments.iter().copied());
        words.fold("run".to_owned(), |line, word| format!("{line} {}", quoted(word)))
    };
    let made = |order: &str, locale: &[&str]| {
        let arguments = [&["-U", "clove", "--auth=trust", "--encoding=UTF8", "--no-sync", "--lc-messages=C"], locale].concat();
        format!("{{ {} && echo {} >order; }}", run("initdb", &arguments), quoted(order))
    };
    let locales = said_locales();
    let locale = locale(&locales);
    let port = port.to_string();
    let folder = kept.path("");
    // fsync stays on: that what is told to be durable is so is what is tested.
    let server = [
        "-p",
        &port,
        "-k",
        &folder,
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        "max_connections=300",
        "-c",
        "shared_buffers=128MB",
        "-c",
        "logging_collector=off",
    ];
    let (by_icu, by_locale) = (made("en-US of ICU", &BY_ICU), made(locale, &[&format!("--locale={locale}")]));
    format!("{by_icu} || {by_locale} && {}", run("postgres", &server))
}

fn said_locales() -> String {
    let output = Command::new("locale").arg("-a").output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

/// For a server without ICU, a locale that does not order by bytes either, if the machine has it.
fn locale(all: &str) -> &str {
    let of = |language: &str| {
        let is_utf8 = |name: &&str| matches!(name.strip_prefix(language), Some(".utf8" | ".UTF-8"));
        all.lines().map(str::trim).find(is_utf8)
    };
    of("en_US").or_else(|| of("C")).unwrap_or("C")
}

fn installed_or_install() -> Result<PathBuf, String> {
    if let Some(bin) = installed() {
        return Ok(bin);
    }
    if !apt::can_install() {
        return Err(MISSING.to_owned());
    }
    without_main_cluster(|| apt::install("postgresql"))?;
    installed().ok_or_else(|| MISSING.to_owned())
}

/// Keeps Debian from making and starting a cluster of its own, which nobody has asked for.
fn without_main_cluster(install: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let folder = Path::new("/etc/postgresql-common/createcluster.d");
    let file = folder.join("clove-xtask.conf");
    let said = fs::create_dir_all(folder).and_then(|()| fs::write(&file, "create_main_cluster = false\n"));
    let installed = install();
    if said.is_ok() {
        let _ = fs::remove_file(file);
    }
    installed
}

/// The folder of an installed server's programs.
fn installed() -> Option<PathBuf> {
    let said = Command::new("pg_config").arg("--bindir").output().ok();
    let said = said.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let on_path = look::on_path("initdb").and_then(|initdb| Some(initdb.parent()?.to_owned()));
    let usual =
        [("/usr/lib/postgresql", ""), ("/usr", "pgsql-"), ("/opt/homebrew/opt", "postgresql"), ("/usr/local/opt", "postgresql")];
    let usual = usual.into_iter().flat_map(|(folder, start)| look::newest_first(Path::new(folder), start));
    let mut folders = said.into_iter().chain(on_path).chain(usual.map(|folder| folder.join("bin")));
    // pg_config comes without a server, too.
    folders.find(|bin| ["initdb", "postgres"].iter().all(|program| bin.join(program).is_file()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locale_that_does_not_order_by_bytes_is_taken_before_others() {
        assert_eq!(locale("C\nC.utf8\nPOSIX\nen_US.utf8\n"), "en_US.utf8");
        assert_eq!(locale("C\nC.UTF-8\nen_US.ISO8859-1\n"), "C.UTF-8");
        assert_eq!(locale(""), "C");
    }
}
