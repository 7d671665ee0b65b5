//! Keys to test a host with.

use crate::TestClock;
use chrono::TimeDelta;
use clove_core::{By, Clove, Error, Expiry, Issued, Key, ListKeys, MemoryStore, NewKey, Owner, Policy, Status, Store};
use std::time::Duration;

/// A service's keys in memory, on a clock to turn, with one owner.
pub struct Fixture {
    /// The handle, as the host under test would hold it.
    pub clove: Clove,
    /// The owner of the keys.
    pub owner: Owner,
    /// The actor of the fixture's own commands; may grant everything.
    pub by: By,
    clock: TestClock,
}

impl Fixture {
    /// Keys under `policy`, in memory.
    ///
    /// # Errors
    /// Never: its own names are valid.
    pub fn new(policy: Policy) -> Result<Self, Error> {
        Self::on(MemoryStore::new(), policy)
    }

    /// Keys under `policy` in a store of the caller's.
    ///
    /// # Errors
    /// Never: its own names are valid.
    pub fn on(store: impl Store, policy: Policy) -> Result<Self, Error> {
        let clock = TestClock::new();
        Ok(Self {
            clove: Clove::with_clock(store, policy, clock.clone()),
            owner: Owner::new("acme", "ada")?,
            by: By::new("fixture", "set up a test")?.may_grant(clove_core::CapabilitySet::all()),
            clock,
        })
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &TestClock {
        &self.clock
    }

    /// An issued key that is in `status`, with the credential that its owner was shown. For Expired the clock moves past the
    /// policy's shortest expiry.
    ///
    /// # Errors
    /// Where the policy or the store refuses.
    pub async fn key_in(&self, status: Status) -> Result<Issued, Error> {
        let mut new = NewKey::named(format!("{status} key"))?;
        let days = self.clove.policy().expiry().days.iter().copied().min().unwrap_or(1);
        if status == Status::Expired {
            new = new.expiry(Expiry::Days(days));
        }
        let mut issued = self.clove.create(&self.owner, new, &self.by).await?;
        let id = issued.key.id;
        let stopped = match status {
            Status::Active => None,
            Status::Suspended => self.clove.disable(&self.owner, id, &self.by).await?.key,
            Status::Compromised => self.clove.flag_compromised(&self.owner, id, &self.by).await?.key,
            Status::Revoked => self.clove.revoke(&self.owner, id, &self.by).await?.key,
            Status::Expired => {
                self.clock.advance(TimeDelta::days(days.into()).to_std().unwrap_or(Duration::ZERO));
                None
            }
        };
        issued.key = stopped.unwrap_or(issued.key);
        Ok(issued)
    }

    /// All keys of the owner, newest first, up to 200.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn keys(&self) -> Result<Vec<Key>, Error> {
        let list = ListKeys { limit: Some(clove_core::service::MAX_PAGE), ..ListKeys::default() };
        Ok(self.clove.list(&self.owner, &list).await?.items)
    }
}
