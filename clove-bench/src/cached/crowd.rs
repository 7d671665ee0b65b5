//! Keys on a file, all of them remembered, with places of their windows in hand: what the figures of cached verification run on.

use super::watched::{Answers, Calls, Watched};
use crate::{
    fill::{self, Shape},
    fixture::{self, Numbers},
    limits,
    measure::wait_for,
};
use clove_core::{Attempt, Clove, Policy, Store, Verdict};
use clove_store_sqlite::SqliteStore;
use std::{
    cell::Cell,
    hint::black_box,
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime},
};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// What each key is asked for at once before it is measured, so that it takes twice as much the next time, and no measurement has to
/// wait for places. A round takes fewer.
const AHEAD: u64 = 4_000_000;
/// How many requests wait for places together: they share commits.
const TOGETHER: usize = 64;
/// After so many rounds is written what they left: well before there is so much that maintenance writes it at once.
const ROUNDS_A_FLUSH: u64 = 32;
/// How near the end of a minute no round begins.
const EDGE: Duration = Duration::from_secs(2);

/// `id;secret`, in line: what a client sends has just been read, and is at hand.
pub(crate) type Text = [u8; 73];

/// Where the secret of a [`Text`] begins.
const SECRET: usize = 37;

pub(crate) fn secret(text: &Text) -> &[u8] {
    &text[SECRET..]
}

/// Keys, their credentials in an order of their own, and who verifies them.
pub(crate) struct Crowd {
    pub(crate) clove: Clove,
    pub(crate) texts: Vec<Text>,
    calls: Arc<Calls>,
    runtime: Runtime,
    /// Whether they are remembered by their secrets too.
    by_secret: bool,
    /// The minute for which places are in hand.
    minute: Cell<u64>,
    rounds: Cell<u64>,
    /// Not at its end before the store.
    _folder: Option<TempDir>,
}

impl Crowd {
    /// So many keys on a new file, not remembered yet. Maintenance has its thread.
    pub(crate) fn new(keys: u64, answers: Answers, policy: Policy) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys.db");
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        fill::fill(&runtime, &path, keys, &Shape::TYPICAL);
        let store = SqliteStore::open(&path).expect("a store");
        Self { _folder: Some(folder), ..Self::on(store, keys, answers, policy) }
    }

    /// On a store that has so many keys.
    pub(crate) fn on(store: impl Store + 'static, keys: u64, answers: Answers, policy: Policy) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (store, calls) = Watched::new(store, answers);
        let clove = Clove::new(store, policy);
        clove.maintenance().spawn_thread(|error| eprintln!("maintenance: {error}")).expect("a thread");
        Self {
            clove,
            texts: texts(keys),
            calls,
            runtime,
            by_secret: false,
            minute: Cell::new(0),
            rounds: Cell::new(0),
            _folder: None,
        }
    }

    /// Remembered by their secrets too, for figures that present those alone.
    pub(crate) fn by_secret_too(self) -> Self {
        Self { by_secret: true, ..self }
    }

    /// What the limit keeps of these keys.
    pub(crate) fn limit(&self) -> limits::Cached {
        limit(&self.texts)
    }

    pub(crate) fn limit_of_bare(&self) -> limits::CachedBare {
        limits::CachedBare::new(self.texts.iter().map(|text| fixture::sha256(secret(text))))
    }

    /// Has all keys remembered, and places in hand for the rest of this minute. To be called before each round; does nothing where that
    /// is so already, but for writing now and then what waits to be written: it would be on another thread while a round is measured.
    pub(crate) fn ready(&self) {
        let (minute, left) = minute();
        if left < EDGE {
            std::thread::sleep(left);
        } else if self.minute.get() == minute {
            self.rounds.set(self.rounds.get() + 1);
            if self.rounds.get().is_multiple_of(ROUNDS_A_FLUSH) {
                self.flush();
            }
            return;
        }
        for _ in 0..10 {
            let minute = self::minute().0;
            self.take_places();
            self.verify_all();
            let finds = self.calls.finds.load(Relaxed);
            self.verify_all();
            // Until the first poll has come nothing is remembered.
            let is_remembered = self.calls.finds.load(Relaxed) - finds <= self.texts.len() as u64 / 1000;
            if is_remembered && self::minute().0 == minute {
                self.flush();
                self.minute.set(minute);
                return;
            }
        }
        panic!("keys are not remembered, or no minute is long enough for them");
    }

    fn flush(&self) {
        self.runtime.block_on(self.clove.flush()).expect("a flush");
    }

    fn verify_all(&self) {
        for text in &self.texts {
            verify(&self.clove, text);
            if self.by_secret {
                verify(&self.clove, secret(text));
            }
        }
    }

    fn take_places(&self) {
        self.runtime.block_on(async {
            let tasks = self.texts.chunks(self.texts.len().div_ceil(TOGETHER)).map(|texts| {
                let (clove, texts) = (self.clove.clone(), texts.to_vec());
                tokio::spawn(async move {
                    for text in &texts {
                        let verdict = clove.verify(Attempt::new(text).costing(AHEAD)).await;
                        assert!(matches!(verdict, Ok(Verdict::Granted(_))), "{verdict:?}");
                        // Twice as many.
                        let verdict = clove.verify(text).await;
                        assert!(matches!(verdict, Ok(Verdict::Granted(_))), "{verdict:?}");
                    }
                })
            });
            for task in tasks.collect::<Vec<_>>() {
                task.await.expect("no panic");
            }
        });
    }

    /// Runs what must be served from memory, and says so where it was not.
    pub(crate) fn remembers<T>(&self, name: &str, work: impl FnOnce() -> T) -> T {
        let finds = self.calls.finds.load(Relaxed);
        let done = work();
        let read = self.calls.finds.load(Relaxed) - finds;
        if read > 0 {
            eprintln!("{name}: {read} rows were read from the store meanwhile");
        }
        done
    }
}

/// What the limit keeps of so many keys as [`texts`] makes.
pub(crate) fn limit(texts: &[Text]) -> limits::Cached {
    let accounts = (Shape::TYPICAL.owners)(texts.len() as u64);
    limits::Cached::new((0..texts.len()).map(|number| {
        let number = number as u64;
        (*fixture::key_id(number).as_bytes(), fixture::sha256(fixture::secret(number)), number % accounts)
    }))
}

/// The credentials of so many keys, shuffled: what lies together in memory does not come together.
pub(crate) fn texts(keys: u64) -> Vec<Text> {
    let text = |number| fixture::credential(number).as_bytes().try_into().expect("73 bytes");
    let mut texts: Vec<Text> = (0..keys).map(text).collect();
    let mut numbers = Numbers(1);
    for end in (1..texts.len()).rev() {
        texts.swap(end, numbers.below(end as u64 + 1) as usize);
    }
    texts
}

/// One request, as the host has it served. The verdict is looked at where it lies, as by a host that matches on it: to move it once more
/// takes as long as a look-up.
#[inline]
pub(crate) fn verify<'a>(clove: &'a Clove, attempt: impl Into<Attempt<'a>>) {
    let mut verification = pin!(clove.verify(attempt));
    let ended = verification.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    if let Poll::Ready(verdict) = &ended {
        return assert!(matches!(black_box(verdict), Ok(Verdict::Granted(_))));
    }
    let (verdict, _) = wait_for(verification);
    assert!(matches!(verdict, Ok(Verdict::Granted(_))));
}

/// The present minute, and how long it lasts yet.
fn minute() -> (u64, Duration) {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock after 1970");
    let minute = since.as_secs() / 60;
    (minute, Duration::from_secs((minute + 1) * 60).saturating_sub(since))
}

/// Has a `Clove` know what it may remember, by one poll and no thread: for as long as its policy allows. Its store must answer at once.
pub(crate) fn heard_once(clove: &Clove) {
    let work = pin!(clove.maintenance().run(|error| panic!("maintenance: {error}")));
    assert!(work.poll(&mut Context::from_waker(Waker::noop())).is_pending());
}
