//! The keys: where they are kept, and under which policy.

use crate::{
    api::{MESSAGES_WRITE, MODELS_READ},
    options::Options,
};
use clove::{
    AccessLog, CapabilitySet, Clove, Invalid, Limits, Policy, StoreError, TracingObserver, limit::Tier, postgres::PostgresStore,
    sqlite::SqliteStore,
};
use std::{env, fs, path::PathBuf};
use tokio::task::JoinHandle;

/// The keys, and the store that is to be closed at the end.
pub(crate) struct Keys {
    pub(crate) clove: Clove,
    store: Kept,
}

enum Kept {
    InFile(PathBuf, SqliteStore),
    InPostgres(PostgresStore),
}

/// What keys may do at this gateway: a new one may do all of it, unless its owner chooses less.
pub(crate) fn capabilities() -> Result<CapabilitySet, Invalid> {
    CapabilitySet::new([MESSAGES_WRITE, MODELS_READ])
}

/// The keys of a settings page (two active ones a person, 90 days unless chosen), every request logged.
fn policy(access_log: AccessLog, limits: Option<Limits>) -> Result<Policy, Invalid> {
    let key = limits.unwrap_or_else(Limits::standard);
    Policy::builder().default_capabilities(capabilities()?).limits(Tier { key, account: None }).access_log(access_log).build()
}

impl Keys {
    /// Opens the store that the options name.
    pub(crate) async fn open(options: &Options) -> Result<Self, String> {
        let policy = policy(options.access_log, options.limits.clone()).map_err(|error| error.to_string())?;
        let observed = |builder: clove::CloveBuilder| builder.observed_by(TracingObserver::new()).build();
        if let Some(url) = &options.postgres {
            let store = PostgresStore::connect(url).await.map_err(|error| told("the Postgres of --postgres", error))?;
            return Ok(Self { clove: observed(Clove::builder(store.clone(), policy)), store: Kept::InPostgres(store) });
        }
        let path = options.db.clone().map_or_else(default_file, Ok)?;
        let store = SqliteStore::open(&path).map_err(|error| told(&path.display().to_string(), error))?;
        Ok(Self { clove: observed(Clove::builder(store.clone(), policy)), store: Kept::InFile(path, store) })
    }

    /// Begins the work beside verification.
    pub(crate) fn maintain(&self) -> JoinHandle<()> {
        let maintenance = self.clove.maintenance();
        tokio::spawn(maintenance.run(|error| tracing::error!(%error, "the key store failed")))
    }

    /// Where they are, for a person.
    pub(crate) fn place(&self) -> String {
        match &self.store {
            Kept::InFile(path, _) => path.display().to_string(),
            Kept::InPostgres(_) => "Postgres".to_owned(),
        }
    }

    /// Ends the work beside verification, writes what waits, gives back what was taken ahead, and closes the store.
    pub(crate) async fn close(self, maintenance: JoinHandle<()>) {
        // It must not go on in a store that is closed. What it has not written yet, shutting down writes.
        maintenance.abort();
        if let Err(error) = maintenance.await
            && error.is_panic()
        {
            tracing::error!(%error, "the work beside verification failed");
        }
        if let Err(error) = self.clove.shut_down().await {
            tracing::error!(%error, "what waited could not be written, or places of windows not be given back");
        }
        match self.store {
            Kept::InFile(_, store) => store.close().await,
            Kept::InPostgres(store) => store.close().await,
        }
    }
}

/// In this user's folder for data (XDG Base Directory Specification), else here.
fn default_file() -> Result<PathBuf, String> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")));
    let folder = data.unwrap_or_default().join("clove-gateway");
    fs::create_dir_all(&folder).map_err(|error| format!("{} cannot be made: {error}", folder.display()))?;
    Ok(folder.join("gateway.db"))
}

fn told(place: &str, error: StoreError) -> String {
    let source = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
    format!("{place} cannot be opened: {error}{source}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[tokio::test]
    async fn closing_ends_the_maintenance_before_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { db: Some(folder.path().join("keys.db")), ..Options::default() };
        let keys = Keys::open(&options).await.unwrap();
        // Others hold handles still, as a connection that is broken off does.
        let _held = keys.clove.clone();
        let maintenance = keys.maintain();
        let watched = maintenance.abort_handle();
        tokio::task::yield_now().await;
        assert!(!watched.is_finished());
        keys.close(maintenance).await;
        assert!(watched.is_finished());
    }
}
