//! An example as people run it.

use serde_json::Value;
use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

/// Builds an example, so that what runs is what the sources say, and tells where it is.
pub(crate) fn example(name: &str, features: &[&str]) -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--package", "clove", "--example", name, "--message-format", "json-render-diagnostics"]).args(features);
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "the example {name} does not build");
    let said = String::from_utf8(output.stdout).unwrap();
    let artifacts = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let built = artifacts.filter(|said| said["target"]["name"] == name).find_map(|said| {
        let path = said["executable"].as_str()?;
        Some(PathBuf::from(path))
    });
    built.expect("cargo names what it has built")
}
