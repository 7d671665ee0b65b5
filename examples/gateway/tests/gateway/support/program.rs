//! The program itself, and its keys from beside it.

use super::{Upstream, until, upstream};
use clove::{
    By, CapabilitySet, Clove, Issued, KeyId, ListAccess, ListUsage, NewKey, Owner, Policy, Scope, UsageBy, UsagePer,
    sqlite::SqliteStore,
};
use std::{
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
};
use zeroize::Zeroizing;

/// How it is to be started.
pub(crate) struct Start {
    arguments: Vec<String>,
    log: &'static str,
}

impl Start {
    pub(crate) fn before(upstream: &Upstream) -> Self {
        Self::before_address(&upstream.url)
    }

    /// Before an upstream of the test's own.
    pub(crate) fn before_address(url: &str) -> Self {
        let arguments = ["--listen", "127.0.0.1:0", "--upstream", url].map(str::to_owned).to_vec();
        Self { arguments, log: "info" }
    }

    /// Before the Messages API that is built in, as it starts without options.
    pub(crate) fn with_the_demo() -> Self {
        Self { arguments: ["--listen", "127.0.0.1:0"].map(str::to_owned).to_vec(), log: "info" }
    }

    pub(crate) fn with(mut self, option: &str, value: &str) -> Self {
        self.arguments.extend([option.to_owned(), value.to_owned()]);
        self
    }

    pub(crate) fn logging(mut self, log: &'static str) -> Self {
        self.log = log;
        self
    }

    /// Starts it on a file of its own.
    pub(crate) async fn run(self) -> Program {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.db");
        let start = self.with("--db", file.to_str().unwrap());
        let (child, url, output) = start.spawn().await;
        // The same file from another process, as an administrator's tool would have it.
        let keys = Clove::new(SqliteStore::open(&file).unwrap(), Policy::profile_a());
        Program { url, keys, child, output, _folder: Some(folder) }
    }

    /// Starts it on keys that others have, too.
    pub(crate) async fn run_on(self, keys: Clove) -> Program {
        let (child, url, output) = self.spawn().await;
        Program { url, keys, child, output, _folder: None }
    }

    async fn spawn(self) -> (Child, String, Arc<Mutex<String>>) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_gateway"))
            .args(&self.arguments)
            .env("UPSTREAM_API_KEY", upstream::KEY)
            .env("RUST_LOG", self.log)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let output = Arc::<Mutex<String>>::default();
        collect(child.stdout.take().unwrap(), &output);
        collect(child.stderr.take().unwrap(), &output);
        let read = || std::future::ready(output.lock().unwrap().clone());
        let said = until(read, |said| said.contains("ANTHROPIC_API_KEY=")).await;
        let (_, after) = said.split_once("ANTHROPIC_BASE_URL=").unwrap();
        let url = after.lines().next().unwrap().to_owned();
        (child, url, output)
    }
}

fn collect(from: impl AsyncRead + Unpin + Send + 'static, output: &Arc<Mutex<String>>) {
    let output = Arc::clone(output);
    tokio::spawn(async move {
        let mut lines = BufReader::new(from).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            output.lock().unwrap().extend([&*line, "\n"]);
        }
    });
}

/// A running gateway; dropping it kills it.
pub(crate) struct Program {
    pub(crate) url: String,
    pub(crate) keys: Clove,
    child: Child,
    output: Arc<Mutex<String>>,
    _folder: Option<TempDir>,
}

/// A key, and its credential in plain text.
pub(crate) struct Made {
    pub(crate) id: KeyId,
    pub(crate) owner: Owner,
    pub(crate) credential: Zeroizing<String>,
}

impl Made {
    pub(crate) fn secret(&self) -> &str {
        self.credential.split_once(';').unwrap().1
    }
}

pub(crate) fn by() -> By {
    By::new("test", "a test").unwrap().may_grant(CapabilitySet::all()).may_set_limits()
}

impl Program {
    /// A key of somebody of the demo's organizations that may do everything.
    pub(crate) async fn key(&self, organization: &str, person: &str) -> Made {
        self.key_that_may(organization, person, CapabilitySet::all()).await
    }

    pub(crate) async fn key_that_may(&self, organization: &str, person: &str, may: CapabilitySet) -> Made {
        let owner = Owner::new(organization, person).unwrap();
        let new = NewKey::named("test").unwrap().capabilities(may);
        let Issued { key, credential, .. } = self.keys.create(&owner, new, &by()).await.unwrap();
        Made { id: key.id, owner, credential: credential.unwrap().reveal() }
    }

    /// What an organization has used of a unit, once that has reached the store.
    pub(crate) async fn used(&self, key: &Made, unit: &str, is_enough: impl Fn(u64) -> bool) -> u64 {
        let list = ListUsage { by: UsageBy::Organization, per: UsagePer::Total, key: Some(key.id), ..ListUsage::default() };
        let look = || async {
            let page = self.keys.usage(Scope::from(&key.owner), &list).await.unwrap();
            page.items.iter().find(|sum| sum.unit.as_str() == unit).map_or(0, |sum| sum.amount)
        };
        until(look, |amount| is_enough(*amount)).await
    }

    /// The entries of the access log of a key: what came of it, at which endpoint, and how many places it took. Newest last.
    pub(crate) async fn log(&self, key: &Made, entries: usize) -> Vec<(String, String, u64)> {
        let list = ListAccess { key: Some(key.id), limit: Some(200), ..ListAccess::default() };
        let look = || async {
            let page = self.keys.access_log(&key.owner.organization, &list).await.unwrap();
            let mut items = page.items;
            items.sort_by_key(|entry| entry.id);
            let entry = |entry: &clove::AccessEntry| {
                let endpoint = entry.endpoint.as_ref().map(ToString::to_string).unwrap_or_default();
                (entry.outcome.as_str().to_owned(), endpoint, entry.cost)
            };
            items.iter().map(entry).collect::<Vec<_>>()
        };
        until(look, |found| found.len() >= entries).await
    }

    /// All that it has said.
    pub(crate) fn said(&self) -> String {
        self.output.lock().unwrap().clone()
    }

    /// Tells it to stop.
    pub(crate) fn stop(&self) {
        let id = self.child.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await.expect("it does not end").unwrap().code()
    }
}
