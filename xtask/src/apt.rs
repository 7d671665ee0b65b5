//! Installs a package where that needs no question: on Debian, as root.

use crate::{look, servers::run_as};
use std::process::{Command, Stdio};

pub(crate) fn can_install() -> bool {
    run_as::is_root() && look::on_path("apt-get").is_some()
}

/// Fetches the list of packages only if a package is not to be had without.
pub(crate) fn install(package: &str) -> Result<(), String> {
    eprintln!("{package} is missing, and is installed by apt-get");
    let arguments = ["install", "--yes", "--no-install-recommends", package];
    if apt_get(&arguments).is_ok() {
        return Ok(());
    }
    apt_get(&["update"]).and_then(|()| apt_get(&arguments))
}

fn apt_get(arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new("apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    // Our output may be that of the command that the servers are for.
    match command.stdin(Stdio::null()).stdout(std::io::stderr()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(format!("`apt-get {}` failed, and says above why", arguments.join(" "))),
        Err(error) => Err(format!("apt-get did not start: {error}")),
    }
}
