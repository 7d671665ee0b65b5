//! Owners as one snapshot shows them, without holding anything: by that a creation is refused. A task takes all who wait into one
//! statement, and those who wait for the same owner are shown one row: whoever asks again and again for a place that there is not,
//! costs the server little.

use crate::{
    error::DriverError,
    queue::{Queue, Taker},
    rows::{self, Bad, OwnerRow},
    session::Session,
};
use chrono::{DateTime, Utc};
use clove_core::{Owner, StoreError, error::CorruptRow, store::OrganizationRecord};
use sqlx::postgres::PgRow;
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// How many tasks look: beside a statement that hangs, another one goes on.
const TASKS: usize = 2;
/// The most who wait for one statement.
const MOST: usize = 512;

/// An owner and its organization.
#[derive(Clone)]
pub(crate) struct OwnerAtSight {
    pub(crate) organization: OrganizationRecord,
    pub(crate) row: OwnerRow,
    /// Places of keys that have expired by the time asked for, or a later one.
    pub(crate) held_by_expired: u32,
}

/// What is shown of an owner; `None` where it or its organization has no row.
type Shown = Result<Option<OwnerAtSight>, Failed>;

#[derive(Clone)]
enum Failed {
    Corrupt(CorruptRow, Bad),
    Server(DriverError),
}

impl From<Failed> for StoreError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Corrupt(row, what) => Self::Corrupt { row, what },
            Failed::Server(error) => Self::unavailable("reading an owner", error),
        }
    }
}

struct Waiting {
    owner: Owner,
    expired_at: Option<DateTime<Utc>>,
    since: Instant,
    answer: oneshot::Sender<Shown>,
}

/// The sights of one store.
pub(crate) struct Sights(Arc<Queue<Waiting>>);

impl Sights {
    /// Starts the tasks on the current runtime. They tell of each row before those who wait for it.
    pub(crate) fn start(session: &Arc<Session>, tell: impl Fn(&OwnerRow) + Clone + Send + Sync + 'static) -> Self {
        let queue = Arc::new(Queue::new());
        for _ in 0..TASKS {
            tokio::spawn(run(Arc::clone(session), Taker::of(&queue), tell.clone()));
        }
        Self(queue)
    }

    pub(crate) fn close(&self) {
        // Whoever waits is told by the loss of the other end.
        drop(self.0.close());
    }

    /// Of a snapshot that is taken after this was asked.
    pub(crate) async fn of(&self, owner: &Owner, expired_at: Option<DateTime<Utc>>) -> Result<Option<OwnerAtSight>, StoreError> {
        let (answer, answered) = oneshot::channel();
        // A closed queue gives it back, and it tells so by its loss.
        drop(self.0.push(Waiting { owner: owner.clone(), expired_at, since: Instant::now(), answer }));
        let closed = Failed::Server(DriverError::Other("the store is closed, or its runtime has ended"));
        Ok(answered.await.unwrap_or(Err(closed))?)
    }
}

async fn run(session: Arc<Session>, queue: Taker<Waiting>, tell: impl Fn(&OwnerRow)) {
    let take = |waiting: &mut VecDeque<Waiting>| take(waiting, session.timeout);
    while let Some(waiting) = queue.next(take).await {
        let shown = look(&session, &asked(&waiting)).await;
        shown.iter().flatten().filter_map(|(_, shown)| shown.as_ref().ok()?.as_ref()).for_each(|shown| tell(&shown.row));
        for Waiting { owner, answer, .. } in waiting {
            let shown = match &shown {
                Ok(shown) => shown.get(&owner).cloned().unwrap_or(Ok(None)),
                Err(error) => Err(Failed::Server(error.clone())),
            };
            // Whoever has gone needs no answer.
            let _ = answer.send(shown);
        }
    }
}

/// Who has waited for too long is told so, as in [`Creations`](crate::create::Creations).
fn take(waiting: &mut VecDeque<Waiting>, timeout: Duration) -> Vec<Waiting> {
    let many = waiting.len().min(MOST);
    let mut taken = Vec::with_capacity(many);
    for next in waiting.drain(..many).filter(|waiting| !waiting.answer.is_closed()) {
        if next.since.elapsed() > timeout {
            let _ = next.answer.send(Err(Failed::Server(DriverError::Timeout(timeout))));
        } else {
            taken.push(next);
        }
    }
    taken
}

/// Each owner once, and the latest of the times that it is asked for: where none has expired by that, none has by an earlier one.
fn asked(waiting: &[Waiting]) -> BTreeMap<&Owner, Option<DateTime<Utc>>> {
    let mut asked: BTreeMap<&Owner, Option<DateTime<Utc>>> = BTreeMap::new();
    for Waiting { owner, expired_at, .. } in waiting {
        let latest = asked.entry(owner).or_default();
        *latest = (*latest).max(*expired_at);
    }
    asked
}

async fn look(session: &Session, asked: &BTreeMap<&Owner, Option<DateTime<Utc>>>) -> Result<HashMap<Owner, Shown>, DriverError> {
    let query = || {
        session
            .query(&session.sql.owners_at_sight)
            .bind(asked.keys().map(|owner| owner.organization.as_str()).collect::<Vec<_>>())
            .bind(asked.keys().map(|owner| owner.account.as_str()).collect::<Vec<_>>())
            .bind(asked.values().map(|latest| latest.map_or(i64::MIN, |at| at.timestamp_micros())).collect::<Vec<_>>())
    };
    let found = session.read(query).await.map_err(|error| DriverError::said(&error))?;
    Ok(found.iter().filter_map(|row| Some((rows::owner(row, 0).ok()?, shown(row)))).collect())
}

fn shown(row: &PgRow) -> Shown {
    let corrupt = |row: CorruptRow| move |what| Failed::Corrupt(row, what);
    let open = rows::value::<Option<bool>>(row, 10, "open").map_err(corrupt(CorruptRow::Organization))?;
    let held_by_expired = rows::int(row, 9, "held_by_expired").map_err(corrupt(CorruptRow::Owner))?;
    let row = OwnerRow::of(row, 11).map_err(corrupt(CorruptRow::Owner))?;
    let organization = open.map(|open| OrganizationRecord { id: row.record.owner.organization.clone(), open });
    Ok(organization.map(|organization| OwnerAtSight { organization, row, held_by_expired }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn waiting(account: &str, expired_at: Option<i64>) -> Waiting {
        let expired_at = expired_at.map(|at| DateTime::from_timestamp_micros(at).unwrap());
        Waiting { owner: Owner::new("acme", account).unwrap(), expired_at, since: Instant::now(), answer: oneshot::channel().0 }
    }

    #[test]
    fn an_owner_that_several_wait_for_is_asked_for_once_and_at_the_latest_time() {
        for times in [[None, Some(1), Some(2)], [Some(2), None, Some(1)], [Some(1), Some(2), None]] {
            let waiting: Vec<_> = times.map(|time| waiting("ada", time)).into_iter().chain([waiting("ben", None)]).collect();
            let asked: Vec<_> = asked(&waiting).into_iter().map(|(owner, at)| (owner.account.as_str(), at)).collect();
            assert_eq!(asked, [("ada", DateTime::from_timestamp_micros(2)), ("ben", None)]);
        }
    }

    #[test]
    fn who_has_waited_for_too_long_is_told_so() {
        let (answer, mut answered) = oneshot::channel();
        let mut queue: VecDeque<_> = [Waiting { answer, ..waiting("ada", None) }].into();
        assert!(take(&mut queue, Duration::ZERO).is_empty() && queue.is_empty());
        assert!(matches!(answered.try_recv().unwrap(), Err(Failed::Server(DriverError::Timeout(Duration::ZERO)))));
    }

    #[test]
    fn all_who_wait_are_taken_but_those_who_have_gone() {
        let (answer, _stays) = oneshot::channel();
        let mut queue: VecDeque<_> =
            [waiting("gone", None), Waiting { answer, ..waiting("ada", None) }, waiting("gone", None)].into();
        let taken: Vec<_> =
            take(&mut queue, Duration::MAX).into_iter().map(|waiting| waiting.owner.account.as_str().to_owned()).collect();
        assert_eq!((taken, queue.len()), (vec!["ada".to_owned()], 0));
    }
}
