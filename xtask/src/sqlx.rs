//! Whether a Postgres store could join: sqlx and rusqlite link the same `sqlite3`, and cargo lets only one version do so.

use crate::step::{cargo, root};
use std::{fs, io, path::Path};

/// What must stay as our lock file has it, when sqlx is beside it.
const KEPT: [&str; 2] = ["rusqlite", "libsqlite3-sys"];

/// Resolves sqlx beside the library, from our lock file on, in a folder of its own. Needs the registry's index.
pub(crate) fn joins() -> Result<String, String> {
    let folder = std::env::temp_dir().join(format!("clove-sqlx-{}", std::process::id()));
    let outcome = joins_in(&folder);
    // It holds three small files, and was made here.
    let _ = fs::remove_dir_all(&folder);
    outcome
}

fn joins_in(folder: &Path) -> Result<String, String> {
    let made = make(folder).map_err(|error| format!("no folder to try it in: {error}"))?;
    let output = cargo(&["update", "--workspace", "--manifest-path"]).arg(folder.join("Cargo.toml")).output();
    let output = output.map_err(|error| format!("cargo did not start: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!(
            "sqlx could not be resolved beside our lock file, or the registry's index was out of reach:\n{said}"
        ));
    }
    let joined = fs::read_to_string(folder.join("Cargo.lock")).map_err(|error| error.to_string())?;
    if versions(&joined, "sqlx").is_empty() {
        return Err("cargo resolved without sqlx".to_owned());
    }
    for name in KEPT {
        let (ours, theirs) = (versions(&made, name), versions(&joined, name));
        if ours != theirs {
            return Err(format!("{name} {} gives way to {} where sqlx joins", ours.join(", "), theirs.join(", ")));
        }
    }
    Ok(format!("sqlx {} joins our lock file", versions(&joined, "sqlx").join(", ")))
}

/// Makes the folder, and gives our lock file.
fn make(folder: &Path) -> io::Result<String> {
    let manifest = format!(
        "[package]\nname = \"sqlx-joins\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\nclove = {{ path = {:?} }}\n\
         sqlx = {{ version = \"0.9\", default-features = false, \
         features = [\"postgres\", \"runtime-tokio\", \"macros\", \"migrate\", \"chrono\", \"uuid\"] }}\n",
        root()
    );
    let lock = fs::read_to_string(root().join("Cargo.lock"))?;
    fs::create_dir_all(folder.join("src"))?;
    fs::write(folder.join("src/lib.rs"), "")?;
    fs::write(folder.join("Cargo.toml"), manifest)?;
    fs::write(folder.join("Cargo.lock"), &lock)?;
    Ok(lock)
}

/// The versions of a package in a lock file.
fn versions<'a>(lock: &'a str, name: &str) -> Vec<&'a str> {
    let of_package = |package: &'a str| {
        let rest = package.trim_start().strip_prefix("name = \"")?.strip_prefix(name)?.strip_prefix("\"\nversion = \"")?;
        rest.split('"').next()
    };
    lock.split("[[package]]").filter_map(of_package).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_file_tells_all_versions_of_a_package_and_of_no_other() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n\n[[package]]\nname = \"a\"\nversion = \"2.0.0\"\n\n\
                    [[package]]\nname = \"ab\"\nversion = \"3.0.0\"\ndependencies = [\n \"a\",\n]\n";
        assert_eq!(versions(lock, "a"), ["1.0.0", "2.0.0"]);
        assert!(versions(lock, "b").is_empty());
    }
}
