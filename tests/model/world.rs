//! The model: what the rules say, told again as plainly as possible, and two processes on one store beside it.

use crate::step::{DESK, May, OWNERS, ROOT};
use chrono::{DateTime, Utc};
use clove::{
    Action, AuditEvent, By, CapabilitySet, Clove, Error, KeyId, KeyState, OperationId, Owner, Policy, Refusal, Role, Scope,
    Status, Store,
};
use clove_testkit::TestClock;
use std::collections::BTreeSet;

pub(crate) const LIMIT: u32 = 2;

impl May {
    pub(crate) fn capabilities(self) -> CapabilitySet {
        match self {
            Self::Nothing => CapabilitySet::none(),
            Self::Read => CapabilitySet::new(["models:read"]).unwrap(),
            Self::Write => CapabilitySet::new(["models:write"]).unwrap(),
        }
    }
}

/// What the model knows of a key.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) id: KeyId,
    pub(crate) owner: usize,
    pub(crate) state: KeyState,
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) latched: bool,
    pub(crate) revision: u64,
    pub(crate) secret: String,
    /// The rotated-out secret, and until when it is good.
    pub(crate) old: Option<(String, DateTime<Utc>)>,
    pub(crate) name: String,
    pub(crate) may: May,
}

impl Known {
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.state, KeyState::Active | KeyState::Suspended)
    }
    pub(crate) fn holds_place(&self) -> bool {
        self.state == KeyState::Active && !self.latched
    }
    pub(crate) fn seen(&self, now: DateTime<Utc>) -> Status {
        match self.state {
            KeyState::Compromised => Status::Compromised,
            KeyState::Revoked => Status::Revoked,
            _ if self.latched || now >= self.expires_at => Status::Expired,
            KeyState::Active => Status::Active,
            KeyState::Suspended => Status::Suspended,
        }
    }
}

/// What the trail tells. Events beside a command's own have operation ids that nobody chose.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Told {
    pub(crate) operation: Option<OperationId>,
    action: Action,
    actor: String,
    at: DateTime<Utc>,
    account: Option<String>,
    key: Option<(KeyId, String, Option<KeyState>, Option<KeyState>)>,
    changed: bool,
}

/// A command as it is given.
pub(crate) struct Given {
    pub(crate) clove: Clove,
    pub(crate) by: By,
    pub(crate) actor: usize,
    pub(crate) operation: Option<OperationId>,
    pub(crate) now: DateTime<Utc>,
}

pub(crate) struct World {
    pub(crate) processes: Vec<(Clove, TestClock)>,
    pub(crate) owners: [Owner; OWNERS],
    pub(crate) open: [bool; OWNERS],
    pub(crate) all_open: bool,
    /// Those set for the owners themselves.
    pub(crate) limits: [Option<u32>; OWNERS],
    pub(crate) keys: Vec<Known>,
    pub(crate) trail: Vec<Told>,
    pub(crate) operations: BTreeSet<OperationId>,
    pub(crate) edits: usize,
}

impl World {
    /// A process on each of the stores, which are one.
    pub(crate) fn new(stores: [Box<dyn Store>; 2]) -> Self {
        let process = |store| {
            let clock = TestClock::new();
            let policy =
                Policy::builder().max_records(None).max_creations_per_day(None).limits(clove::Tier::unlimited()).build().unwrap();
            (Clove::with_clock(store, policy, clock.clone()), clock)
        };
        Self {
            processes: stores.into_iter().map(process).collect(),
            owners: ["ada", "bob"].map(|account| Owner::new("acme", account).unwrap()),
            open: [true; OWNERS],
            all_open: true,
            limits: [None; OWNERS],
            keys: Vec::new(),
            trail: Vec::new(),
            operations: BTreeSet::new(),
            edits: 0,
        }
    }

    pub(crate) fn is_open(&self, owner: usize) -> bool {
        self.open[owner] && self.all_open
    }

    pub(crate) fn actor(actor: usize) -> (&'static str, Role, CapabilitySet) {
        match actor {
            ROOT => ("root", Role::Administrator, CapabilitySet::all()),
            DESK => ("desk", Role::Administrator, CapabilitySet::none()),
            owner => (["ada", "bob"][owner], Role::Owner, May::Read.capabilities()),
        }
    }

    pub(crate) fn may_grant(actor: usize, may: May) -> Result<(), Refusal> {
        let most = [May::Read, May::Read, May::Write, May::Nothing][actor];
        let capability = may.capabilities().iter().next();
        capability.filter(|_| may > most).map_or(Ok(()), |capability| Err(Refusal::BeyondAuthority { capability }))
    }

    /// Owners see their own keys, administrators all.
    pub(crate) fn scope(&self, actor: usize) -> Scope {
        self.owners.get(actor).map_or_else(|| Scope::from(&self.owners[0].organization), Scope::from)
    }

    pub(crate) fn tell(&mut self, given: &Given, action: Action, owner: Option<usize>, changed: bool) {
        let account = owner.map(|owner| self.owners[owner].account.to_string());
        let (operation, actor) = (given.operation, Self::actor(given.actor).0.to_owned());
        self.trail.push(Told { operation, action, actor, at: given.now, account, key: None, changed });
    }

    /// Tells of a key as it is now.
    pub(crate) fn tell_of(
        &mut self,
        given: &Given,
        action: Action,
        key: &Known,
        from: Option<KeyState>,
        to: Option<KeyState>,
        changed: bool,
    ) {
        self.tell(given, action, Some(key.owner), changed);
        self.trail.last_mut().unwrap().key = Some((key.id, key.name.clone(), from, to));
    }

    pub(crate) fn read(&self, event: &AuditEvent) -> Told {
        Told {
            operation: Some(event.operation).filter(|operation| self.operations.contains(operation)),
            action: event.action,
            actor: event.actor.to_string(),
            at: event.at,
            account: event.account.as_ref().map(ToString::to_string),
            key: event.key.as_ref().map(|key| (key.id, key.name.to_string(), key.from, key.to)),
            changed: event.changed,
        }
    }

    /// Takes a place, as the rules say; at the limit, expired keys give theirs away.
    pub(crate) fn take_place(&mut self, given: &Given, owner: usize) -> Result<(), Refusal> {
        let holding = || (0..self.keys.len()).filter(|&place| self.keys[place].owner == owner && self.keys[place].holds_place());
        let expired: Vec<usize> = holding().filter(|&place| given.now >= self.keys[place].expires_at).collect();
        let (held, limit) = (u32::try_from(holding().count()).unwrap(), self.limits[owner].unwrap_or(LIMIT));
        let active = held - u32::try_from(expired.len()).unwrap();
        if held < limit {
            return Ok(());
        }
        if active >= limit {
            return Err(Refusal::LimitReached { active, limit });
        }
        for place in expired {
            self.keys[place].latched = true;
            self.keys[place].revision += 1;
            let (key, active) = (self.keys[place].clone(), Some(KeyState::Active));
            self.tell_of(given, Action::LatchExpiry, &key, active, active, true);
            self.trail.last_mut().unwrap().operation = None;
        }
        Ok(())
    }
}

/// A command ended as the rules say, refusals with all that they tell.
pub(crate) fn agree<T>(result: Result<T, Error>, expected: Result<(), Refusal>) {
    let result = match result {
        Ok(_) => Ok(()),
        Err(Error::Refused(refusal)) => Err(refusal),
        Err(other) => panic!("{other:?}"),
    };
    assert_eq!(result, expected);
}
