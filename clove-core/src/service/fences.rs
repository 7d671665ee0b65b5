//! Fences: what a command may be changing right now, and nobody here is to remember.
//!
//! A command raises one before it is sent to the store, and lifts it when its outcome is known. Where the outcome stays unknown, or its
//! caller has gone, the fence is left standing: the command may be carried out yet.

use super::Inner;
use crate::{
    id::{KeyId, OrganizationId, Owner, Scope},
    store::{Candidate, EpochShard, Reads},
    sync::Mutex,
    sync::lock,
};
use std::{collections::HashMap, hash::Hash, time::Duration};

/// How long a fence is left standing. Then the command is as another process's: obeyed within the bound, whenever it is carried out.
const LEFT_FOR: Duration = Duration::from_secs(60);

/// What one command may change.
#[derive(Clone, Debug, Default)]
pub(super) struct Fence {
    /// A key, where it lies within this scope.
    key: Option<(KeyId, Scope)>,
    scope: Option<Scope>,
}

impl Fence {
    /// What a command that reads this may change, its new keys and what goes by unproven excepted.
    pub(super) fn of(reads: &Reads) -> Self {
        // Places of expired keys are given away, and their expiry latched: a clock that steps back must not revive them. Around a whole
        // organization there would be too many who had nothing to do with it: there their owner's marks tell within the bound.
        let given_away = |scope: Scope, expired: bool| Some(scope).filter(|scope| expired && matches!(scope, Scope::Owner(_)));
        match reads {
            Reads::Owner { owner, expired_at } => Self { key: None, scope: given_away(owner.into(), expired_at.is_some()) },
            Reads::Key { scope, id, expired_at } => {
                Self { key: Some((*id, scope.clone())), scope: given_away(scope.clone(), expired_at.is_some()) }
            }
            Reads::Remains { scope, id } => Self { key: Some((*id, scope.clone())), scope: None },
            Reads::Flag(scope) => Self::around(scope.clone()),
            // It only revokes what lies behind a closed flag.
            Reads::Batch { .. } => Self::default(),
            // Reserving reads it each time.
            Reads::Budget { .. } => Self::default(),
        }
    }

    /// All that a scope names.
    pub(super) fn around(scope: Scope) -> Self {
        Self { key: None, scope: Some(scope) }
    }

    pub(super) fn key(&self) -> Option<&(KeyId, Scope)> {
        self.key.as_ref()
    }

    pub(super) fn shard(&self) -> Option<EpochShard> {
        self.scope.as_ref().map(EpochShard::of_scope)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.key.is_none() && self.scope.is_none()
    }
}

/// How many fences stand around what.
#[derive(Default)]
pub(super) struct Fences(Mutex<Standing>);

#[derive(Default)]
struct Standing {
    keys: HashMap<KeyId, Vec<Scope>>,
    owners: HashMap<Owner, u32>,
    organizations: HashMap<OrganizationId, u32>,
    /// Fences of unknown outcomes, and since when.
    left: Vec<(Duration, Fence)>,
}

impl Fences {
    pub(super) fn raise(&self, fence: &Fence) {
        let mut standing = lock(&self.0);
        if let Some((id, scope)) = &fence.key {
            standing.keys.entry(*id).or_default().push(scope.clone());
        }
        match &fence.scope {
            Some(Scope::Owner(owner)) => *standing.owners.entry(owner.clone()).or_default() += 1,
            Some(Scope::Organization(id)) => *standing.organizations.entry(id.clone()).or_default() += 1,
            None => {}
        }
    }

    pub(super) fn lift(&self, fence: &Fence) {
        lock(&self.0).lift(fence);
    }

    /// Whether one stands around this row's key, owner or organization.
    pub(super) fn holds(&self, row: &Candidate) -> bool {
        let standing = lock(&self.0);
        standing.keys.get(&row.id).is_some_and(|scopes| scopes.iter().any(|scope| scope.holds(&row.owner)))
            || standing.owners.contains_key(&row.owner)
            || standing.organizations.contains_key(&row.owner.organization)
    }

    fn leave(&self, at: Duration, fence: Fence) {
        lock(&self.0).left.push((at, fence));
    }

    /// Those that were left standing for long enough.
    fn long_left(&self, now: Duration) -> Vec<Fence> {
        let is_long = |(at, _): &mut (Duration, Fence)| now.saturating_sub(*at) >= LEFT_FOR;
        lock(&self.0).left.extract_if(.., is_long).map(|(_, fence)| fence).collect()
    }
}

impl Standing {
    fn lift(&mut self, fence: &Fence) {
        if let Some((id, scope)) = &fence.key
            && let Some(scopes) = self.keys.get_mut(id)
        {
            if let Some(place) = scopes.iter().position(|standing| standing == scope) {
                scopes.swap_remove(place);
            }
            if scopes.is_empty() {
                self.keys.remove(id);
            }
        }
        match &fence.scope {
            Some(Scope::Owner(owner)) => one_less(&mut self.owners, owner),
            Some(Scope::Organization(id)) => one_less(&mut self.organizations, id),
            None => {}
        }
    }
}

fn one_less<T: Eq + Hash>(standing: &mut HashMap<T, u32>, what: &T) {
    if let Some(count) = standing.get_mut(what) {
        *count -= 1;
        if *count == 0 {
            standing.remove(what);
        }
    }
}

/// A fence that stands. Dropped before it is lifted, it is left standing.
pub(super) struct Raised<'i> {
    inner: &'i Inner,
    fence: Option<Fence>,
}

impl Raised<'_> {
    pub(super) fn lift(mut self) {
        if let Some(fence) = self.fence.take() {
            self.inner.keys.lift(&fence);
        }
    }
}

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        if let Some(fence) = self.fence.take() {
            self.inner.keys.fences.leave(self.inner.clock.monotonic(), fence);
        }
    }
}

impl Inner {
    pub(super) fn raise(&self, fence: Fence) -> Raised<'_> {
        if fence.is_empty() {
            return Raised { inner: self, fence: None };
        }
        self.lift_long_left();
        self.keys.raise(&fence);
        Raised { inner: self, fence: Some(fence) }
    }

    /// Lifts the fences that were left standing for long enough.
    pub(super) fn lift_long_left(&self) {
        for fence in self.keys.fences.long_left(self.clock.monotonic()) {
            self.keys.lift(&fence);
        }
    }
}
