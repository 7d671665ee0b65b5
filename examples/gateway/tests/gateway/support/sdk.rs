//! Anthropic's SDKs, as the test set-up has installed them.

use serde_json::Value;
use std::{path::PathBuf, process::Stdio};
use tokio::{io::AsyncWriteExt, process::Command};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sdk {
    Python,
    TypeScript,
}

pub(crate) const SDKS: [Sdk; 2] = [Sdk::Python, Sdk::TypeScript];

impl Sdk {
    /// Has it do something, step by step; what came of each.
    pub(crate) async fn does(self, url: &str, steps: Value) -> Vec<Value> {
        let folder = std::env::var_os("CLOVE_TEST_CLIENTS").map(PathBuf::from);
        let folder = folder.expect("the SDKs are missing: run `cargo xtask test`, or name their folder by CLOVE_TEST_CLIENTS");
        let scripts = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
        let mut command = match self {
            Self::Python => {
                let mut python = Command::new(folder.join("venv/bin/python"));
                python.arg(scripts.join("steps.py"));
                python
            }
            Self::TypeScript => {
                let mut node = Command::new("node");
                node.arg(scripts.join("steps.cjs")).env("NODE_PATH", folder.join("node/node_modules"));
                node
            }
        };
        let mut child = command
            .env("BASE_URL", url)
            .env_remove("ANTHROPIC_API_KEY")
            .env_remove("ANTHROPIC_AUTH_TOKEN")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{self:?} is missing: run `cargo xtask test`, which installs it: {error}"));
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(steps.to_string().as_bytes()).await.unwrap();
        drop(stdin);
        let output = child.wait_with_output().await.unwrap();
        assert!(output.status.success(), "{self:?} failed");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}
