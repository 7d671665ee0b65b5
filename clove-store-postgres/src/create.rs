//! Creations in one round trip: decided by what the owner's row is taken to be, and written where it is so, many at a time.
//!
//! The rules are asked as ever, by facts that this process remembers of the owner, or for a new one. The statement writes only where
//! the row is just that; where it is not, it tells how the row is, and the rules are asked again. Whatever is not a plain creation
//! takes the longer way, in which rows are held before they are read (`transact.rs`).
//!
//! A refusal writes nothing, and so holds nothing: one snapshot that shows the owner full, and no place of it expired, is enough
//! (`sights.rs`).

use crate::{
    error::{DriverError, Failure},
    queue::{Queue, Taker},
    rows::{self, OwnerRow, creation_day, micros, rows_of, scheme_columns, signed},
    session::{Session, late},
    sights::{OwnerAtSight, Sights},
    write::column,
};
use chrono::{DateTime, Utc};
use clove_core::{
    ActiveLimit, Key, Owner, StoreError,
    audit::AuditEvent,
    store::{Changes, Decision, Facts, KeyChange, OrganizationRecord, OwnerRecord, Reads, SecretRecord, Transaction},
};
use sqlx::{Connection, Postgres, pool::PoolConnection, postgres::PgRow};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{sync::oneshot, time};

/// The most creations of one statement: others wait for no more.
const MOST: usize = 128;
/// After so many conflicts the rest of a statement goes the longer way: enough to find one among the most.
const MOST_CONFLICTS: u32 = 8;
/// The most owners that are remembered. They are forgotten all at once: it is only a matter of speed.
const REMEMBERED: usize = 8192;
/// How long a task keeps the connection that it has written by: the pool asks each one that comes back, which costs as much as to write.
const KEPT_FOR: Duration = Duration::from_secs(1);
/// After so many statements, and each time that there have been twice as many, the statement is planned anew.
const PLANNED_ANEW: u64 = 16;
/// How often a creation is tried by what is remembered, before it goes the longer way.
const TRIES: usize = 2;

/// The creations of one store.
pub(crate) struct Creations {
    /// A task each for new owners and for known ones, which are a statement each: one that wrote both would write half as many by each.
    for_new: Arc<Queue<Waiting>>,
    for_known: Arc<Queue<Waiting>>,
    owners: Arc<Owners>,
    sights: Sights,
    timeout: Duration,
}

/// Owners' rows as they were last written or told.
#[derive(Default)]
struct Owners(Mutex<HashMap<Owner, OwnerRow>>);

struct Waiting {
    creation: Creation,
    since: Instant,
    answer: oneshot::Sender<Outcome>,
}

/// A creation as it is to be written, and by what it was decided.
struct Creation {
    /// The owner's row as it is taken to be; `None` where there is none.
    before: Option<OwnerRow>,
    after: OwnerRow,
    key: Key,
    secret: SecretRecord,
    event: AuditEvent,
}

enum Outcome {
    Written,
    /// Nothing was written: the owner's row is this one, if there is one.
    Otherwise(Option<OwnerRow>),
    /// Nothing was written, and the longer way tells why.
    Failed,
    /// Nothing was sent: those before it were not answered in time.
    Late,
    /// The answer was lost.
    Unknown(DriverError),
}

/// What a look at an owner says of a creation.
enum Sight {
    Refused(Decision),
    /// It may be tried by this row.
    Otherwise(OwnerRow),
    /// The longer way tells.
    Unclear,
}

impl Creations {
    /// Starts the tasks on the current runtime.
    pub(crate) fn start(session: &Arc<Session>) -> Self {
        let (for_new, for_known) = (Arc::new(Queue::new()), Arc::new(Queue::new()));
        let owners = Arc::new(Owners::default());
        for queue in [&for_new, &for_known] {
            tokio::spawn(run(Arc::clone(session), Arc::clone(&owners), Taker::of(queue)));
        }
        let sights = Sights::start(session, {
            let owners = Arc::clone(&owners);
            move |row| owners.remember(row.clone())
        });
        Self { for_new, for_known, owners, sights, timeout: session.timeout }
    }

    pub(crate) fn close(&self) {
        let never_sent = [&self.for_new, &self.for_known].into_iter().flat_map(|queue| queue.close());
        never_sent.for_each(|waiting| drop(waiting.answer.send(Outcome::Failed)));
        self.sights.close();
    }

    /// Carries a transaction out, if it is a plain creation and the owner's row is found as it was remembered, or told; or refuses it,
    /// if that is what the rules say by one snapshot.
    pub(crate) async fn try_to_create(&self, transaction: &Transaction) -> Result<Option<Decision>, StoreError> {
        let Reads::Owner { owner, expired_at } = &transaction.reads else { return Ok(None) };
        let mut before = self.owners.get(owner);
        for tried in 0..=TRIES {
            let organization = Some(OrganizationRecord { id: owner.organization.clone(), open: true });
            let owners = before.iter().map(|row| row.record.clone()).collect();
            let outcome = match transaction.decide(&Facts { organization, owners, ..Facts::default() }) {
                Decision::Commit(changes) if expired_at.is_none() && tried < TRIES => {
                    let Some(creation) = Creation::of(before.clone(), owner, &changes) else { return Ok(None) };
                    match self.write(creation).await {
                        Outcome::Written => return Ok(Some(Decision::Commit(changes))),
                        outcome => outcome,
                    }
                }
                Decision::Refuse(_) => Outcome::Otherwise(None),
                _ => return Ok(None),
            };
            before = match outcome {
                Outcome::Otherwise(Some(row)) if before.as_ref() != Some(&row) => Some(row),
                Outcome::Late => return Err(late(self.timeout)),
                Outcome::Unknown(error) => return Err(StoreError::OutcomeUnknown { source: Some(error.into()) }),
                // All that a look could say then is that it is refused.
                Outcome::Failed if !transaction.is_first() => return Ok(None),
                // Or the row has come to be meanwhile, unseen by the statement; or its organization is closed, of which that does not tell.
                seen => match (self.look(transaction, owner, *expired_at).await?, seen) {
                    (Sight::Refused(decision), _) => return Ok(Some(decision)),
                    (Sight::Otherwise(row), Outcome::Otherwise(_)) => Some(row),
                    _ => return Ok(None),
                },
            };
        }
        Ok(None)
    }

    /// Looks at the owner, and refuses, if that is what the rules say by what one snapshot shows, and no earlier run of the command may
    /// be under way.
    async fn look(
        &self,
        transaction: &Transaction,
        owner: &Owner,
        expired_at: Option<DateTime<Utc>>,
    ) -> Result<Sight, StoreError> {
        let Some(OwnerAtSight { organization, row, held_by_expired }) = self.sights.of(owner, expired_at).await? else {
            return Ok(Sight::Unclear);
        };
        if expired_at.is_some() && held_by_expired > 0 {
            return Ok(Sight::Unclear);
        }
        let shown = Facts { organization: Some(organization), owners: vec![row.record.clone()], ..Facts::default() };
        Ok(match transaction.decide(&shown) {
            decision @ Decision::Refuse(_) if transaction.is_first() => Sight::Refused(decision),
            Decision::Commit(_) => Sight::Otherwise(row),
            _ => Sight::Unclear,
        })
    }

    async fn write(&self, creation: Creation) -> Outcome {
        let queue = if creation.is_for_new() { &self.for_new } else { &self.for_known };
        let (answer, answered) = oneshot::channel();
        if queue.push(Waiting { creation, since: Instant::now(), answer }).is_err() {
            return Outcome::Failed;
        }
        // Its task has ended with the runtime, and may have sent it.
        answered.await.unwrap_or(Outcome::Unknown(DriverError::Other("the store was closed, or its runtime has ended")))
    }

    /// Takes note of an owner's row as it was written or told.
    pub(crate) fn remember(&self, row: OwnerRow) {
        self.owners.remember(row);
    }
}

impl Owners {
    fn lock(&self) -> MutexGuard<'_, HashMap<Owner, OwnerRow>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, owner: &Owner) -> Option<OwnerRow> {
        self.lock().get(owner).cloned()
    }

    fn remember(&self, row: OwnerRow) {
        let mut owners = self.lock();
        if owners.len() >= REMEMBERED {
            owners.clear();
        }
        owners.insert(row.record.owner.clone(), row);
    }

    /// What the owner's row is known to be, where a creation goes by another one: it would be sent in vain.
    fn otherwise(&self, creation: &Creation) -> Option<OwnerRow> {
        self.get(&creation.after.record.owner).filter(|known| creation.before.as_ref() != Some(known))
    }
}

impl Drop for Creations {
    fn drop(&mut self) {
        self.close();
    }
}

impl Creation {
    fn is_for_new(&self) -> bool {
        self.before.is_none()
    }

    /// `None` where the changes are more than one new key with one secret, and what that counts.
    fn of(before: Option<OwnerRow>, owner: &Owner, changes: &Changes) -> Option<Self> {
        let Changes { organization: None, owners, owner_flag: None, budget: None, keys, events, outdates } = changes else {
            return None;
        };
        let ([after], [KeyChange::Insert(stored)], [event]) = (owners.as_slice(), keys.as_slice(), events.as_slice()) else {
            return None;
        };
        let ([secret], key) = (stored.secrets.as_slice(), &stored.key) else { return None };
        let counted = OwnerRecord {
            held: after.held,
            records: after.records,
            creation_day: after.creation_day,
            creations: after.creations,
            ..before.as_ref().map_or_else(|| OwnerRecord::new(owner.clone()), |row| row.record.clone())
        };
        let is_plain = *after == counted
            && counted.open
            && key.owner == *owner
            && !key.expiry_latched
            && key.last_used_at.is_none()
            && secret.valid_until.is_none()
            && outdates.is_empty();
        let is_told = event.changed
            && event.organization == owner.organization
            && event.account.as_ref() == Some(&owner.account)
            && event.key.as_ref().is_some_and(|told| told.id == key.id && told.name == key.name && told.from.is_none());
        let after = OwnerRow { record: counted, generation: before.as_ref().map_or(0, |row| row.generation) };
        (is_plain && is_told).then(|| Self { before, after, key: key.clone(), secret: *secret, event: event.clone() })
    }
}

async fn run(session: Arc<Session>, owners: Arc<Owners>, queue: Taker<Waiting>) {
    let (mut connection, mut written) = (None, 0_u64);
    let take = |waiting: &mut VecDeque<Waiting>| take(waiting, &owners, session.timeout);
    while let Some(waiting) = next(&queue, &mut connection, take).await {
        write_all(&session, &mut connection, waiting, &owners).await;
        written = written.saturating_add(1);
        if written >= PLANNED_ANEW && written.is_power_of_two() {
            plan_anew(&mut connection).await;
        }
    }
}

/// A plan is kept as it was made for tables of that day's size: of small ones it reads all rows, and would still when they have grown.
async fn plan_anew(connection: &mut Option<PoolConnection<Postgres>>) {
    let Some(kept) = connection else { return };
    if !matches!(time::timeout(KEPT_FOR, kept.clear_cached_statements()).await, Ok(Ok(_))) {
        kept.close_on_drop();
        *connection = None;
    }
}

/// The next creations. A connection that none comes for in a while goes back to the pool.
async fn next(
    queue: &Taker<Waiting>,
    connection: &mut Option<PoolConnection<Postgres>>,
    take: impl Fn(&mut VecDeque<Waiting>) -> Vec<Waiting>,
) -> Option<Vec<Waiting>> {
    if connection.is_some() {
        if let Ok(next) = time::timeout(KEPT_FOR, queue.next(&take)).await {
            return next;
        }
        *connection = None;
    }
    queue.next(take).await
}

/// In order, and one for an owner: the next one goes by what that leaves. Who has waited for too long is told so: however many wait for a
/// server that does not answer, none waits for all of them.
fn take(waiting: &mut VecDeque<Waiting>, known: &Owners, timeout: Duration) -> Vec<Waiting> {
    let (mut taken, mut left, mut owners) = (Vec::new(), VecDeque::new(), HashSet::new());
    for next in waiting.drain(..) {
        if next.answer.is_closed() {
            continue;
        }
        if next.since.elapsed() > timeout {
            let _ = next.answer.send(Outcome::Late);
            continue;
        }
        if let Some(row) = known.otherwise(&next.creation) {
            // Whoever has gone needs no answer.
            let _ = next.answer.send(Outcome::Otherwise(Some(row)));
            continue;
        }
        if taken.len() < MOST && owners.insert(next.creation.after.record.owner.clone()) {
            taken.push(next);
        } else {
            left.push_back(next);
        }
    }
    *waiting = left;
    // In one order on all nodes, as far as the statement keeps it.
    taken.sort_by(|one, other| one.creation.after.record.owner.cmp(&other.creation.after.record.owner));
    taken
}

/// Writes all by one statement, and answers each. Where one of them is there already, which is to take no other along the longer way, halves
/// are tried by themselves.
async fn write_all(session: &Session, connection: &mut Option<PoolConnection<Postgres>>, waiting: Vec<Waiting>, owners: &Owners) {
    let (mut parts, mut conflicts) = (vec![waiting], 0);
    while let Some(mut part) = parts.pop() {
        let written = write(session, connection, &part).await;
        let is_there = matches!(written, Err(Failure::Store(StoreError::Conflict(_))));
        if is_there && part.len() > 1 && conflicts < MOST_CONFLICTS {
            conflicts += 1;
            let second = part.split_off(part.len() / 2);
            parts.extend([second, part]);
            continue;
        }
        let hangs = matches!(written, Err(Failure::Store(StoreError::OutcomeUnknown { .. })));
        answer(part, written, owners);
        // A server that hangs, or has most of them already, is not asked for each.
        if hangs || conflicts == MOST_CONFLICTS {
            parts.drain(..).flatten().for_each(|waiting| drop(waiting.answer.send(Outcome::Failed)));
        }
    }
}

/// Before the next ones are taken, which go by what they leave.
fn answer(part: Vec<Waiting>, written: Result<Vec<PgRow>, Failure>, owners: &Owners) {
    let outcomes: Vec<Outcome> = match written {
        Ok(found) => outcomes(part.len(), &found),
        Err(Failure::Store(error @ StoreError::OutcomeUnknown { .. })) => {
            let said = DriverError::said(&error);
            part.iter().map(|_| Outcome::Unknown(said.clone())).collect()
        }
        // Which of them lost against others, and what failed, the longer way tells.
        Err(_) => part.iter().map(|_| Outcome::Failed).collect(),
    };
    for (Waiting { creation, answer, .. }, outcome) in part.into_iter().zip(outcomes) {
        match &outcome {
            Outcome::Written => owners.remember(creation.after),
            Outcome::Otherwise(Some(row)) => owners.remember(row.clone()),
            Outcome::Otherwise(None) | Outcome::Failed | Outcome::Late | Outcome::Unknown(_) => {}
        }
        // Whoever has gone may ask again under the operation's id.
        let _ = answer.send(outcome);
    }
}

/// A row for each; they are all for new owners, or all for known ones.
async fn write(
    session: &Session,
    connection: &mut Option<PoolConnection<Postgres>>,
    waiting: &[Waiting],
) -> Result<Vec<PgRow>, Failure> {
    let creations: Vec<&Creation> = waiting.iter().map(|waiting| &waiting.creation).collect();
    session.write_once(connection, || statement(session, &creations)).await
}

fn outcomes(creations: usize, found: &[PgRow]) -> Vec<Outcome> {
    let mut outcomes: Vec<Outcome> = (0..creations).map(|_| Outcome::Failed).collect();
    for row in found {
        let place = rows::int::<usize>(row, 9, "place");
        let Some(outcome) = place.ok().and_then(|place| outcomes.get_mut(place)) else { continue };
        *outcome = match rows::value::<bool>(row, 10, "written") {
            Ok(true) => Outcome::Written,
            Ok(false) => Outcome::Otherwise(OwnerRow::of(row, 11).ok()),
            Err(_) => Outcome::Failed,
        };
    }
    outcomes
}

fn statement<'q>(session: &Session, creations: &[&'q Creation]) -> crate::session::Statement<'q> {
    let places = (0..creations.len()).map(rows_of).collect::<Vec<_>>();
    let schemes = column(creations, |new| scheme_columns(&new.secret.scheme));
    let are_new = creations.first().is_none_or(|new| new.is_for_new());
    let text = if are_new { &session.sql.create_for_new } else { &session.sql.create_for_known };
    let statement = session
        .query(text)
        .bind(places)
        .bind(column(creations, |new| new.after.record.owner.organization.as_str()))
        .bind(column(creations, |new| new.after.record.owner.account.as_str()))
        .bind(column(creations, |new| i64::from(new.after.record.held)))
        .bind(column(creations, |new| i64::from(new.after.record.records)))
        .bind(column(creations, |new| creation_day(&new.after.record)))
        .bind(column(creations, |new| i64::from(new.after.record.creations)))
        .bind(column(creations, |new| new.key.id.as_uuid()))
        .bind(column(creations, |new| new.key.name.as_str()))
        .bind(column(creations, |new| new.key.description.as_str()))
        .bind(column(creations, |new| new.key.capabilities.as_str()))
        .bind(column(creations, |new| new.key.metadata.as_str()))
        .bind(column(creations, |new| new.key.created_at.timestamp_micros()))
        .bind(column(creations, |new| micros(new.key.expires_at)))
        .bind(column(creations, |new| new.key.state.as_str()))
        .bind(column(creations, |new| signed(new.key.revision)))
        .bind(column(creations, |new| new.key.limits.to_stored()))
        .bind(column(creations, |new| new.secret.digest.as_bytes().as_slice()))
        .bind(schemes.iter().map(|(name, ..)| *name).collect::<Vec<_>>())
        .bind(schemes.iter().map(|(_, pepper, ..)| *pepper).collect::<Vec<_>>())
        .bind(schemes.iter().map(|(.., cost, _)| cost.clone()).collect::<Vec<_>>())
        .bind(schemes.into_iter().map(|(.., salt)| salt).collect::<Vec<_>>())
        .bind(column(creations, |new| new.event.id.as_uuid()))
        .bind(column(creations, |new| new.event.operation.as_uuid()))
        .bind(column(creations, |new| new.event.at.timestamp_micros()))
        .bind(column(creations, |new| new.event.actor.as_str()))
        .bind(column(creations, |new| new.event.reason.as_str()))
        .bind(column(creations, |new| new.event.action.as_str()))
        .bind(column(creations, |new| new.event.key.as_ref().and_then(|key| key.to).map(|state| state.as_str())))
        .bind(column(creations, |new| new.event.detail.as_str()))
        .bind(column(creations, |new| new.event.arguments.as_bytes().as_slice()));
    if are_new {
        return statement;
    }
    let before = |of: fn(&OwnerRow) -> i64| column(creations, |new| new.before.as_ref().map(of));
    statement
        .bind(before(|row| i64::from(row.record.held)))
        .bind(before(|row| i64::from(row.record.records)))
        .bind(column(creations, |new| new.before.as_ref().and_then(|row| row.record.limit).map(ActiveLimit::to_stored)))
        .bind(column(creations, |new| new.before.as_ref().and_then(|row| creation_day(&row.record))))
        .bind(before(|row| i64::from(row.record.creations)))
        .bind(column(creations, |new| new.before.as_ref().map(|row| row.record.request_limits.to_stored())))
        .bind(before(|row| row.generation))
}
