//! The clients that the HTTP edge is tried with: SDKs, a browser, a reader of its API's description. In `target`, in the versions stated here.

use crate::{apt, look, step};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Packages of Python, and of npm: exact, so that a run is what it was.
const PYTHON: [&str; 2] = ["anthropic==2.14.0", "schemathesis==4.32.5"];
const NODE: [&str; 2] = ["@anthropic-ai/sdk@1.14.0", "axe-core@4.14.1"];
/// Programs, and the packages of Debian that bring them.
const PROGRAMS: [(&str, &str); 5] = [
    ("python3", "python3-venv"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("chromium", "chromium"),
    ("chromedriver", "chromium-driver"),
];
/// What tests are told of them.
const FOLDER: &str = "CLOVE_TEST_CLIENTS";

/// Clients that are ready to use.
pub(crate) struct Clients(PathBuf);

impl Clients {
    /// Takes the folder that `CLOVE_TEST_CLIENTS` names, or brings what is stated here. The error says what to do.
    pub(crate) fn bring() -> Result<Self, String> {
        let named = std::env::var_os(FOLDER).filter(|folder| !folder.is_empty()).map(PathBuf::from);
        for (program, package) in PROGRAMS {
            if look::on_path(program).is_none() {
                require(program, package)?;
            }
        }
        if let Some(folder) = named {
            return Ok(Self(folder));
        }
        let folder = step::root().join("target/clients");
        let stated = [PYTHON, NODE].concat().join("\n");
        let stamp = folder.join("installed");
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == stated) {
            return Ok(Self(folder));
        }
        let unwritten = |error: std::io::Error| format!("{} cannot be written: {error}", folder.display());
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(unwritten)?;
        }
        let node = folder.join("node");
        fs::create_dir_all(&node).map_err(unwritten)?;
        // Else npm would go on to a package of a folder above.
        fs::write(node.join("package.json"), "{\"private\": true}\n").map_err(unwritten)?;
        install_python(&folder.join("venv"))?;
        let arguments = ["install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"];
        run(Command::new("npm").args(arguments).args(NODE).current_dir(&node))?;
        fs::write(&stamp, stated).map_err(unwritten)?;
        Ok(Self(folder))
    }

    /// What tests are told of them.
    pub(crate) fn env(&self) -> (&'static str, String) {
        (FOLDER, self.0.display().to_string())
    }

    /// How they were found, for people.
    pub(crate) fn found(&self) -> String {
        let browser = look::on_path("chromium").and_then(|program| look::version(&program)).unwrap_or_default();
        format!("{}, {} in {}", browser.trim(), [PYTHON, NODE].concat().join(", "), self.0.display())
    }
}

fn install_python(venv: &Path) -> Result<(), String> {
    let make = || run(Command::new("python3").args(["-m", "venv"]).arg(venv));
    if let Err(wrong) = make() {
        // Debian's Python comes without what makes one.
        if !apt::can_install() {
            return Err(format!("{wrong}: install Python's venv, on Debian the package python3-venv"));
        }
        apt::install("python3-venv")?;
        make()?;
    }
    run(Command::new(venv.join("bin/pip")).args(["install", "--quiet", "--disable-pip-version-check"]).args(PYTHON))
}

fn require(program: &str, package: &str) -> Result<(), String> {
    if !apt::can_install() {
        return Err(format!("{program} is missing: install it, on Debian the package {package}"));
    }
    apt::install(package)
}

/// What it prints goes to our errors: our output may be that of another command.
fn run(command: &mut Command) -> Result<(), String> {
    let said = format!("`{} …`", command.get_program().display());
    match command.stdin(Stdio::null()).stdout(std::io::stderr()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(format!("{said} failed, and says above why")),
        Err(error) => Err(format!("{said} did not start: {error}")),
    }
}
