//! How request windows stand, without a request.

use super::{Clove, tally::Held};
use crate::{
    clock::Timestamp,
    error::{Error, Refusal, StoreError},
    id::{KeyId, Scope},
    limit::{LimitChoice, Limits, Subject, Window},
    store::{Lease, SlidingCharge, Store, Want},
    sync::Arc,
    verdict::{LimitState, Limited},
};
use std::time::Duration;

/// Whose windows to look at.
struct Side {
    of: Limited,
    subject: Subject,
    limits: Limits,
}

impl Clove {
    /// How the windows stand that requests of a key are charged to: the key's, then its account's, each shortest first. Nothing is
    /// charged, and no secret is needed.
    ///
    /// Places that other processes have taken ahead of the requests that spend them count as used, so that a window may have more left
    /// than this tells. A window that slides in one process is told as this process has counted it.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] if the key is not here; otherwise the store's failure.
    pub async fn windows(&self, scope: impl Into<Scope>, id: KeyId) -> Result<Vec<LimitState>, Error> {
        let key = self.inner.store.get(&scope.into(), id).await?.ok_or(Refusal::NotFound)?;
        let account = self.inner.store.owner(&key.owner, self.now()).await?.map(|facts| facts.record);
        let (choice, active) = account.map_or((LimitChoice::Default, None), |record| (record.request_limits, record.limit));
        let policy = &self.inner.policy;
        let of_account = Subject::Account(Arc::new(key.owner));
        let sides = [
            Side { of: Limited::Key, subject: Subject::Key(id), limits: policy.key_limits(&key.limits, &choice) },
            Side { of: Limited::Account, subject: of_account, limits: policy.account_limits(&choice, active) },
        ];
        let now = self.inner.now();
        let mut states = Vec::new();
        for side in &sides {
            let used = self.used(side, id, now).await?;
            states.extend(side.limits.windows().iter().zip(used).map(|(&window, used)| LimitState {
                of: side.of,
                window,
                left: window.count().saturating_sub(used),
                resets_at: window.resets_at(now).into(),
            }));
        }
        Ok(states)
    }

    /// Whether an owner, or an organization, is open: one of which there is no record has never been closed. An owner may be open in an
    /// organization that is not.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn is_open(&self, scope: impl Into<Scope>) -> Result<bool, Error> {
        let store = &self.inner.store;
        Ok(match scope.into() {
            Scope::Owner(owner) => store.owner(&owner, self.now()).await?.is_none_or(|facts| facts.record.open),
            Scope::Organization(id) => store.organization(&id).await?.is_none_or(|record| record.open),
        })
    }

    /// How many places of each window are used.
    async fn used(&self, side: &Side, id: KeyId, now: Timestamp) -> Result<Vec<u64>, StoreError> {
        let (store, windows) = (&self.inner.store, side.limits.windows());
        // A want of nothing takes nothing, and is told what is charged.
        let want = |window: &Window| Want { window: *window, start: window.start(now), least: 0, wanted: 0 };
        let wants: Vec<Want> = windows.iter().filter(|window| !window.slides()).map(want).collect();
        let mut fixed = Vec::new();
        if !wants.is_empty() {
            let lease = Lease { node: self.inner.leases.node, at: now, subject: side.subject.clone(), wants };
            fixed = store.lease(Arc::new(lease)).await?;
        }
        let shared: Vec<_> = side.limits.slide_shared().map(|(_, window)| (side.subject.clone(), window)).collect();
        let mut sliding = Vec::new();
        if !shared.is_empty() {
            let charge = SlidingCharge { at: now, places: 0, charges: false, windows: shared };
            sliding = store.charge_sliding(Arc::new(charge)).await?.windows;
        }
        let (mut fixed, mut sliding) = (fixed.into_iter(), sliding.into_iter());
        let steady = self.inner.clock.monotonic();
        let known = self.inner.keys.peek(id);
        let mut held = known.as_ref().map(|known| if side.of == Limited::Key { &known.tally } else { &known.account }.lock());
        let used = windows.iter().map(|&window| match (window.slides(), window.is_shared()) {
            (false, _) => {
                let unspent = held.as_ref().map_or(0, |held| held.unspent(window, now));
                fixed.next().map_or(0, |leased| leased.charged).saturating_sub(unspent)
            }
            (true, true) => window.count().saturating_sub(sliding.next().map_or(0, |state| state.left)),
            (true, false) => held.as_deref_mut().map_or(0, |held| slid(held, window, steady)),
        });
        Ok(used.collect())
    }
}

/// How much this process has counted in a window that slides in it.
fn slid(held: &mut Held, window: Window, steady: Duration) -> u64 {
    window.count().saturating_sub(held.left_of_slide(window, steady))
}
