//! Look-ups of verifications: two tasks, each with a connection of its own, take half of all that are there into one statement. So a lone
//! look-up waits for nobody, and of many at a time hundreds share a round trip. An idle task takes at once, unless less waits than the
//! other has under way: then it lets everything that is ready run first ([`Share`]).

use crate::{
    error::{may_pass, unavailable, was_cut},
    queue::Queue,
    rows::{self, CANDIDATE_ASKED},
    session::{Session, jitter, late, pauses},
    share::Share,
};
use clove_core::{
    KeyId, StoreError,
    digest::Digest,
    error::CorruptRow,
    store::{Candidate, Found},
};
use sqlx::{
    Connection, Executor, Postgres, SqlStr,
    pool::PoolConnection,
    postgres::{PgConnection, PgRow},
};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::oneshot, time};
use uuid::Uuid;

/// How many tasks look up.
const LANES: usize = 2;
/// The most look-ups of one statement.
const MOST: usize = 512;
/// How long a look-up may take: a verification waits no longer by default.
const PATIENCE: Duration = Duration::from_secs(1);
/// Behind a pooler, which keeps no session: as long as above, in milliseconds. One statement needs no stricter level, and is tried more
/// often at one.
const BEGIN: SqlStr = SqlStr::from_static("BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = 1000");
const COMMIT: SqlStr = SqlStr::from_static("COMMIT");
/// A connection that was idle for longer is asked whether it lives before it is used.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// What is looked up.
enum Asked {
    Id(KeyId),
    /// At most four.
    Digests(Vec<Digest>),
}

struct Waiting {
    asked: Asked,
    answer: oneshot::Sender<Result<Answer, Failed>>,
}

/// Why a whole statement failed; each look-up of it is told.
#[derive(Clone)]
enum Failed {
    Late,
    Closed,
    Server(Arc<sqlx::Error>),
}

impl From<Failed> for StoreError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Late => late(PATIENCE),
            Failed::Closed => {
                Self::Unavailable { what: "looking a key up: the store is closed, or its runtime has ended", source: None }
            }
            Failed::Server(error) => unavailable("looking a key up", &error),
        }
    }
}

/// The rows of a statement, of which an answer takes its own.
struct Rows {
    rows: Vec<PgRow>,
    /// Places of rows by what was asked for, in order.
    by_id: Vec<(Uuid, usize)>,
    by_digest: Vec<([u8; 32], usize)>,
}

struct Answer {
    asked: Asked,
    rows: Arc<Rows>,
}

/// The look-ups of one store.
pub(crate) struct Lookups {
    queue: Arc<Queue<Waiting>>,
}

impl Lookups {
    /// Starts the tasks on the current runtime.
    pub(crate) fn start(session: &Arc<Session>) -> Self {
        let queue = Arc::new(Queue::new());
        for share in Share::each(&queue, LANES) {
            tokio::spawn(Lane { session: Arc::clone(session), share, connection: None, used_at: Instant::now() }.run());
        }
        Self { queue }
    }

    pub(crate) async fn by_id(&self, id: KeyId) -> Found {
        self.ask(Asked::Id(id)).await?.candidate()
    }

    pub(crate) async fn by_digest(&self, digests: Vec<Digest>) -> Found {
        if digests.is_empty() {
            return Ok(None);
        }
        self.ask(Asked::Digests(digests)).await?.candidate()
    }

    async fn ask(&self, asked: Asked) -> Result<Answer, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.queue.push(Waiting { asked, answer }).map_err(|_| Failed::Closed)?;
        // The task is gone with its runtime.
        Ok(answered.await.unwrap_or(Err(Failed::Closed))?)
    }

    pub(crate) fn close(&self) {
        self.queue.close().into_iter().for_each(|waiting| drop(waiting.answer.send(Err(Failed::Closed))));
    }
}

impl Drop for Lookups {
    fn drop(&mut self) {
        self.close();
    }
}

struct Lane {
    session: Arc<Session>,
    share: Share<Waiting>,
    connection: Option<PoolConnection<Postgres>>,
    used_at: Instant,
}

impl Lane {
    async fn run(mut self) {
        while let Some((waiting, under_way)) = self.share.next(take).await {
            // Whoever gives up meanwhile takes no other with it.
            let outcome = match time::timeout(PATIENCE, self.look_up(&waiting)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(Failed::Late),
            };
            drop(under_way);
            match outcome {
                Ok(rows) => {
                    let rows = Arc::new(rows);
                    for Waiting { asked, answer } in waiting {
                        let _ = answer.send(Ok(Answer { asked, rows: Arc::clone(&rows) }));
                    }
                }
                Err(failed) => {
                    // What is under way on it is of no use to anyone.
                    self.discard();
                    waiting.into_iter().for_each(|waiting| drop(waiting.answer.send(Err(failed.clone()))));
                }
            }
        }
    }

    fn discard(&mut self) {
        self.connection = None;
    }

    /// Asks again where the connection was lost, which a look-up may be: a server that was restarted has ended all of the pool.
    async fn look_up(&mut self, waiting: &[Waiting]) -> Result<Rows, Failed> {
        for pause in pauses() {
            match self.try_to_look_up(waiting).await {
                Err(error) if may_pass(&error) => {
                    if was_cut(&error) {
                        self.session.cuts.met();
                    }
                    self.discard();
                    // All nodes have lost theirs.
                    time::sleep(jitter(pause)).await;
                }
                outcome => return outcome.map_err(|error| Failed::Server(Arc::new(error))),
            }
        }
        self.try_to_look_up(waiting).await.map_err(|error| Failed::Server(Arc::new(error)))
    }

    /// One that has been idle may have been lost meanwhile, and nobody been told.
    async fn discard_if_silent(&mut self) {
        let is_idle = self.used_at.elapsed() > TRUSTED_FOR;
        self.used_at = Instant::now();
        if let Some(connection) = self.connection.as_mut().filter(|_| is_idle)
            && !matches!(time::timeout(PATIENCE / 4, connection.ping()).await, Ok(Ok(())))
        {
            self.discard();
        }
    }

    async fn try_to_look_up(&mut self, waiting: &[Waiting]) -> Result<Rows, sqlx::Error> {
        self.discard_if_silent().await;
        let (mut ids, mut digests): (Vec<Uuid>, Vec<&[u8]>) = (Vec::with_capacity(waiting.len()), Vec::new());
        for waiting in waiting {
            match &waiting.asked {
                Asked::Id(id) => ids.push(id.as_uuid()),
                Asked::Digests(asked) => digests.extend(asked.iter().map(|digest| digest.as_bytes().as_slice())),
            }
        }
        // A key that several ask for has its rows once.
        if ids.len() > 1 {
            ids.sort_unstable();
            ids.dedup();
        }
        digests.sort_unstable();
        digests.dedup();
        let session = Arc::clone(&self.session);
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(session.own_connection(PATIENCE).await?),
        };
        let mut rows = match ids.as_slice() {
            [] => Vec::new(),
            [id] => fetch(&session, connection, &session.sql.find_one_by_id, *id).await?,
            ids => fetch(&session, connection, &session.sql.find_by_id, ids).await?,
        };
        let of_ids = rows.len();
        if !digests.is_empty() {
            rows.extend(fetch(&session, connection, &session.sql.find_by_digest, digests.as_slice()).await?);
        }
        Ok(Rows::new(rows, of_ids))
    }
}

/// So many of all, up to the most, as far as anyone waits for an answer still.
fn take(waiting: &mut VecDeque<Waiting>, many: usize) -> Vec<Waiting> {
    let many = waiting.len().min(many).min(MOST);
    waiting.drain(..many).filter(|waiting| !waiting.answer.is_closed()).collect()
}

/// The rows of one statement with one argument. Given up halfway, the connection is in a transaction, and of no use.
async fn fetch<'q, T>(session: &Session, connection: &mut PgConnection, sql: &SqlStr, asked: T) -> Result<Vec<PgRow>, sqlx::Error>
where
    T: sqlx::Encode<'q, Postgres> + sqlx::Type<Postgres>,
{
    let query = session.query(sql).bind(asked);
    if !session.is_pooled {
        return query.fetch_all(connection).await;
    }
    connection.execute(BEGIN).await?;
    let rows = query.fetch_all(&mut *connection).await?;
    connection.execute(COMMIT).await?;
    Ok(rows)
}

impl Rows {
    /// The first rows are of ids, the others of digests.
    fn new(rows: Vec<PgRow>, of_ids: usize) -> Self {
        let (mut by_id, mut by_digest) = (Vec::with_capacity(of_ids), Vec::new());
        for (place, row) in rows.iter().enumerate() {
            if place < of_ids {
                by_id.extend(rows::uuid(row, CANDIDATE_ASKED, "id").map(|id| (id, place)));
            } else if let Ok(digest) = rows::value::<&[u8]>(row, CANDIDATE_ASKED, "digest") {
                by_digest.extend(digest.try_into().map(|digest: [u8; 32]| (digest, place)));
            }
        }
        by_id.sort_unstable();
        by_digest.sort_unstable();
        Self { rows, by_id, by_digest }
    }
}

/// The places of one that was asked for.
fn places_of<'r, T: Ord>(places: &'r [(T, usize)], asked: &T) -> &'r [(T, usize)] {
    let (_, from) = places.split_at(places.partition_point(|(other, _)| other < asked));
    from.split_at(from.partition_point(|(other, _)| other == asked)).0
}

impl Answer {
    fn candidate(&self) -> Found {
        match &self.asked {
            Asked::Id(id) => self.key_of(places_of(&self.rows.by_id, &id.as_uuid()), &CorruptRow::Key(*id)),
            Asked::Digests(digests) => {
                let mut found = digests.iter().map(|digest| places_of(&self.rows.by_digest, digest.as_bytes()));
                self.key_of(found.find(|places| !places.is_empty()).unwrap_or_default(), &CorruptRow::UnreadableKeyId)
            }
        }
    }

    /// The key of some rows, one a secret.
    fn key_of<T>(&self, places: &[(T, usize)], row: &CorruptRow) -> Found {
        let mut found: Option<Candidate> = None;
        for next in places.iter().filter_map(|(_, place)| self.rows.rows.get(*place)) {
            let named = |what| {
                let row = rows::key_id(next, 0).map_or_else(|_| row.clone(), CorruptRow::Key);
                StoreError::Corrupt { row, what }
            };
            match &mut found {
                None => found = rows::candidate(next).map_err(named)?,
                Some(found) => {
                    let secret = rows::candidate_secret(next).map_err(named)?;
                    found.secrets.add(secret).map_err(|_| named("more than two secrets"))?;
                }
            }
        }
        Ok(found.map(Arc::new))
    }
}
