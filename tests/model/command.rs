//! What each command does, in the model and beside it.

use crate::{
    step::{Command, May, OWNERS, Step, What},
    world::{Given, Known, World, agree},
};
use chrono::TimeDelta;
use clove::{Action, ActiveLimit, By, Edit, Expiry, KeyState, Name, NewKey, OperationId, Refusal, Status};
use std::time::Duration;

impl World {
    pub(crate) async fn take(&mut self, step: &Step) {
        let (clove, clock) = self.processes[step.process].clone();
        let now = clove.now();
        // A creation whose caller names no operation may be refused by a shorter way.
        let is_named = !matches!(step.what, What::Create { .. }) || self.trail.len().is_multiple_of(2);
        let operation = is_named.then(|| OperationId::new(now));
        let (actor, role, may_grant) = Self::actor(step.actor);
        let mut by = By::new(actor, "random").unwrap().role(role).may_grant(may_grant);
        if let Some(operation) = operation {
            by = by.operation(operation);
            self.operations.insert(operation);
        }
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
