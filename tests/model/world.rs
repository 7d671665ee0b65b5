//! The model: what the rules say, told again as plainly as possible, and two processes on one store beside it.

use crate::step::{Command, DESK, May, OWNERS, ROOT, Step, What};
use chrono::{DateTime, TimeDelta, Utc};
use clove::{
    Action, ActiveLimit, AuditEvent, By, CapabilitySet, Clove, Edit, Error, Expiry, KeyId, KeyState, Name, NewKey, OperationId,
    Owner, Policy, Refusal, Role, Scope, Status, Store,
};
use clove_testkit::TestClock;
use std::{collections::BTreeSet, time::Duration};

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
    fn is_live(&self) -> bool {
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
    operation: Option<OperationId>,
    action: Action,
    actor: String,
    at: DateTime<Utc>,
    account: Option<String>,
    key: Option<(KeyId, String, Option<KeyState>, Option<KeyState>)>,
    changed: bool,
}

/// A command as it is given.
struct Given {
    clove: Clove,
    by: By,
    actor: usize,
    operation: OperationId,
    now: DateTime<Utc>,
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
    operations: BTreeSet<OperationId>,
    edits: usize,
}

impl World {
    /// A process on each of the stores, which are one.
    pub(crate) fn new(stores: [Box<dyn Store>; 2]) -> Self {
        let process = |store| {
            let clock = TestClock::new();
            let policy = Policy::builder().max_records(None).max_creations_per_day(None).build().unwrap();
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

    fn actor(actor: usize) -> (&'static str, Role, CapabilitySet) {
        match actor {
            ROOT => ("root", Role::Administrator, CapabilitySet::all()),
            DESK => ("desk", Role::Administrator, CapabilitySet::none()),
            owner => (["ada", "bob"][owner], Role::Owner, May::Read.capabilities()),
        }
    }

    fn may_grant(actor: usize, may: May) -> Result<(), Refusal> {
        let most = [May::Read, May::Read, May::Write, May::Nothing][actor];
        let capability = may.capabilities().iter().next();
        capability.filter(|_| may > most).map_or(Ok(()), |capability| Err(Refusal::BeyondAuthority { capability }))
    }

    /// Owners see their own keys, administrators all.
    fn scope(&self, actor: usize) -> Scope {
        self.owners.get(actor).map_or_else(|| Scope::from(&self.owners[0].organization), Scope::from)
    }

    fn tell(&mut self, given: &Given, action: Action, owner: Option<usize>, changed: bool) {
        let account = owner.map(|owner| self.owners[owner].account.to_string());
        let (operation, actor) = (Some(given.operation), Self::actor(given.actor).0.to_owned());
        self.trail.push(Told { operation, action, actor, at: given.now, account, key: None, changed });
    }

    /// Tells of a key as it is now.
    fn tell_of(
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
    fn take_place(&mut self, given: &Given, owner: usize) -> Result<(), Refusal> {
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

    pub(crate) async fn take(&mut self, step: &Step) {
        let (clove, clock) = self.processes[step.process].clone();
        let now = clove.now();
        let operation = OperationId::new(now);
        let (actor, role, may_grant) = Self::actor(step.actor);
        let by = By::new(actor, "random").unwrap().role(role).may_grant(may_grant).operation(operation);
        self.operations.insert(operation);
        let given = Given { clove, by, actor: step.actor, operation, now };
        let among = |key: usize| key % self.keys.len().max(1);
        match step.what {
            What::Pass(seconds) if seconds > 0 => clock.advance(Duration::from_secs(seconds.unsigned_abs())),
            What::Pass(seconds) => clock.step(TimeDelta::seconds(seconds)),
            What::Create { owner, may } => self.create(&given, if step.actor < OWNERS { step.actor } else { owner }, may).await,
            What::Limit { owner, limit } => self.limit(&given, owner, limit).await,
            What::Close(owner) => self.close(&given, owner).await,
            What::Reopen(owner) => self.reopen(&given, owner).await,
            _ if self.keys.is_empty() => {}
            What::ToExpiry { key, seconds } => clock.set(self.keys[among(key)].expires_at + TimeDelta::seconds(seconds)),
            What::On(command, key) => self.command(&given, command, among(key)).await,
            What::Edit { key, may, stale } => self.edit(&given, among(key), may, stale).await,
            What::Rotate { key, grace, stale } => self.rotate(&given, among(key), grace, stale).await,
            What::Leak { key, old } => self.leak(&given, among(key), old).await,
        }
    }

    async fn create(&mut self, given: &Given, owner: usize, may: May) {
        let new = NewKey::named("a key").unwrap().expiry(Expiry::Days(30)).capabilities(may.capabilities());
        let result = given.clove.create(&self.owners[owner], new, &given.by).await;
        let admitted = Self::may_grant(given.actor, may)
            .and_then(|()| if self.is_open(owner) { Ok(()) } else { Err(Refusal::OwnerClosed) })
            .and_then(|()| self.take_place(given, owner));
        let issued = match (result, admitted) {
            (Ok(issued), Ok(())) => issued,
            (result, admitted) => return agree(result, admitted),
        };
        let key = Known {
            id: issued.key.id,
            owner,
            state: KeyState::Active,
            expires_at: given.now + TimeDelta::days(30),
            latched: false,
            revision: 1,
            secret: issued.credential.unwrap().secret().reveal().to_owned(),
            old: None,
            name: "a key".to_owned(),
            may,
        };
        self.tell_of(given, Action::Create, &key, None, Some(KeyState::Active), true);
        self.keys.push(key);
    }

    /// Whether the actor can see the key.
    fn found(&self, given: &Given, place: usize) -> Result<(), Refusal> {
        if given.actor >= OWNERS || self.keys[place].owner == given.actor { Ok(()) } else { Err(Refusal::NotFound) }
    }

    fn not_allowed(given: &Given, command: Action, status: Status) -> Refusal {
        let mut offered = match status {
            Status::Active => vec![Action::Disable],
            Status::Suspended => vec![Action::Enable],
            _ => Vec::new(),
        };
        if given.actor >= OWNERS && !matches!(status, Status::Compromised | Status::Revoked) {
            offered.extend([Action::Revoke, Action::FlagCompromised]);
        }
        offered.push(Action::Delete);
        Refusal::NotAllowed { command, status, offered }
    }

    async fn command(&mut self, given: &Given, command: Command, place: usize) {
        let Given { clove, by, .. } = given;
        let (id, scope) = (self.keys[place].id, self.scope(given.actor));
        let (action, result) = match command {
            Command::Disable => (Action::Disable, clove.disable(scope, id, by).await.map(drop)),
            Command::Enable => (Action::Enable, clove.enable(scope, id, by).await.map(drop)),
            Command::Revoke => (Action::Revoke, clove.revoke(scope, id, by).await.map(drop)),
            Command::Flag => (Action::FlagCompromised, clove.flag_compromised(scope, id, by).await.map(drop)),
            Command::Delete => (Action::Delete, clove.delete(scope, id, by).await),
        };
        let becomes = self.found(given, place).and_then(|()| self.becomes(given, command, place));
        agree(result, becomes.clone().map(drop));
        let Ok(becomes) = becomes else { return };
        let key = self.keys[place].clone();
        let (from, changed) = (key.state, becomes != Some(key.state));
        self.tell_of(given, action, &key, Some(from), becomes, changed);
        match becomes {
            None => drop(self.keys.remove(place)),
            Some(state) => {
                self.keys[place].state = state;
                self.keys[place].revision += u64::from(changed);
            }
        }
    }

    /// The state that a command leads to; `None` is gone.
    fn becomes(&mut self, given: &Given, command: Command, place: usize) -> Result<Option<KeyState>, Refusal> {
        let key = self.keys[place].clone();
        let seen = key.seen(given.now);
        Ok(Some(match command {
            Command::Delete => return Ok(None),
            Command::Disable if key.state == KeyState::Active => KeyState::Suspended,
            Command::Revoke if key.is_live() => KeyState::Revoked,
            Command::Flag if key.is_live() => KeyState::Compromised,
            Command::Enable if seen == Status::Suspended => {
                if !self.is_open(key.owner) {
                    return Err(Refusal::OwnerClosed);
                }
                self.take_place(given, key.owner)?;
                KeyState::Active
            }
            Command::Enable if seen != Status::Active => return Err(Self::not_allowed(given, Action::Enable, seen)),
            _ => key.state,
        }))
    }

    fn at_revision(key: &Known, expected: u64) -> Result<(), Refusal> {
        if key.revision == expected { Ok(()) } else { Err(Refusal::RevisionConflict { expected, found: key.revision }) }
    }

    async fn edit(&mut self, given: &Given, place: usize, may: May, stale: bool) {
        self.edits += 1;
        let (key, name) = (self.keys[place].clone(), format!("name {}", self.edits));
        let edit = Edit::new().name(Name::new(&name).unwrap()).capabilities(may.capabilities());
        let revision = key.revision - u64::from(stale);
        let result = given.clove.edit(self.scope(given.actor), key.id, revision, edit, &given.by).await;
        let allowed = Self::may_grant(given.actor, may)
            .and_then(|()| self.found(given, place))
            .and_then(|()| Self::at_revision(&key, revision));
        agree(result, allowed.clone());
        if allowed.is_ok() {
            let key = Known { name, may, revision: key.revision + 1, ..key };
            self.tell_of(given, Action::Edit, &key, Some(key.state), Some(key.state), true);
            self.keys[place] = key;
        }
    }

    async fn rotate(&mut self, given: &Given, place: usize, grace: i64, stale: bool) {
        let (key, grace) = (self.keys[place].clone(), TimeDelta::days(grace));
        let revision = key.revision - u64::from(stale);
        let result = given.clove.rotate(self.scope(given.actor), key.id, revision, grace, &given.by).await;
        let seen = key.seen(given.now);
        let allowed = self
            .found(given, place)
            .and_then(|()| match seen {
                Status::Active | Status::Suspended => Ok(()),
                _ => Err(Self::not_allowed(given, Action::Rotate, seen)),
            })
            .and_then(|()| if self.is_open(key.owner) { Ok(()) } else { Err(Refusal::OwnerClosed) })
            .and_then(|()| Self::may_grant(given.actor, key.may))
            .and_then(|()| Self::at_revision(&key, revision));
        let issued = match (result, allowed) {
            (Ok(issued), Ok(())) => issued,
            (result, allowed) => return agree(result, allowed),
        };
        let graced = seen == Status::Active && grace > TimeDelta::zero();
        let until = graced.then(|| key.expires_at.min(given.now + grace));
        assert_eq!(issued.previous_valid_until, until);
        self.tell_of(given, Action::Rotate, &key, Some(key.state), Some(key.state), true);
        let secret = issued.credential.unwrap().secret().reveal().to_owned();
        self.keys[place] =
            Known { secret, old: until.map(|until| (key.secret.clone(), until)), revision: key.revision + 1, ..key };
    }

    /// Whoever has a secret may report it, whatever else it may.
    async fn leak(&mut self, given: &Given, place: usize, old: bool) {
        let mut key = self.keys[place].clone();
        let secret = if old { key.old.take().map(|(secret, _)| secret) } else { Some(key.secret.clone()) };
        let Some(secret) = secret else { return };
        given.clove.report_leaked(&secret, &given.by).await.unwrap();
        let (from, changed) = (key.state, old || key.is_live());
        key.state = if changed && !old { KeyState::Compromised } else { from };
        key.revision += u64::from(changed);
        self.tell_of(given, Action::ReportLeaked, &key, Some(from), Some(key.state), changed);
        self.keys[place] = key;
    }

    async fn limit(&mut self, given: &Given, owner: usize, limit: Option<u32>) {
        given.clove.set_active_limit(&self.owners[owner], limit.map(ActiveLimit::AtMost), &given.by).await.unwrap();
        let changed = std::mem::replace(&mut self.limits[owner], limit) != limit;
        self.tell(given, Action::SetActiveLimit, Some(owner), changed);
    }

    async fn close(&mut self, given: &Given, owner: Option<usize>) {
        let closed = match owner {
            Some(owner) => given.clove.close_owner(&self.owners[owner], &given.by).await,
            None => given.clove.close_organization(&self.owners[0].organization, &given.by).await,
        };
        let (flag, action) = match owner {
            Some(owner) => (&mut self.open[owner], Action::CloseOwner),
            None => (&mut self.all_open, Action::CloseOrganization),
        };
        let changed = std::mem::replace(flag, false);
        self.tell(given, action, owner, changed);
        let behind = |key: &Known| owner.is_none_or(|owner| key.owner == owner) && key.is_live();
        let places: Vec<usize> = (0..self.keys.len()).filter(|&place| behind(&self.keys[place])).collect();
        let closed = closed.unwrap();
        assert_eq!((closed.changed, closed.revoked), (changed, places.len()));
        for place in places {
            let key = self.keys[place].clone();
            self.tell_of(given, Action::Revoke, &key, Some(key.state), Some(KeyState::Revoked), true);
            self.trail.last_mut().unwrap().operation = None;
            self.keys[place] = Known { state: KeyState::Revoked, revision: key.revision + 1, ..key };
        }
    }

    async fn reopen(&mut self, given: &Given, owner: Option<usize>) {
        let reopened = match owner {
            Some(owner) => given.clove.reopen_owner(&self.owners[owner], &given.by).await,
            None => given.clove.reopen_organization(&self.owners[0].organization, &given.by).await,
        };
        let (flag, action) = match owner {
            Some(owner) => (&mut self.open[owner], Action::ReopenOwner),
            None => (&mut self.all_open, Action::ReopenOrganization),
        };
        let changed = !std::mem::replace(flag, true);
        assert_eq!(reopened.unwrap(), changed);
        self.tell(given, action, owner, changed);
    }
}

/// A command ended as the rules say, refusals with all that they tell.
fn agree<T>(result: Result<T, Error>, expected: Result<(), Refusal>) {
    let result = match result {
        Ok(_) => Ok(()),
        Err(Error::Refused(refusal)) => Err(refusal),
        Err(other) => panic!("{other:?}"),
    };
    assert_eq!(result, expected);
}
