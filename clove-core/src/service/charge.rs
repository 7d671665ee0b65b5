//! Charging requests to windows: what this process holds of them, and how it gets more.
//!
//! The store counts what is charged to each window's name, and a process takes places there ahead of the requests that spend
//! them. All windows of a request are tested and charged under the locks of its key and its account, so that no other request
//! sees it half done.

use super::{Clove, Inner};
use crate::{
    clock::{Clock, Timestamp},
    error::{Fault, StoreError},
    id::NodeId,
    limit::{Limits, MAX_WINDOWS, Subject, Window},
    store::{Candidate, Lease, Leased, Store, Unspent, Want},
    verdict::{Exhausted, Limited},
};
use futures_util::future::{FutureExt, Shared};
use std::{
    collections::HashMap,
    future::Future,
    hash::BuildHasher,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

const SHARDS: usize = 16;
/// How many tallies a shard holds before those of past windows are looked for.
const MANY: usize = 4096;
/// How long a window is taken to be used up before the store is asked again: other processes may have given places back.
const USED_UP: Duration = Duration::from_secs(1);
/// How many lots of other windows than the present ones a tally holds.
const MAX_RETIRED: usize = 8;
/// In how many rounds of maintenance no request comes for a subject before its places are given back.
const IDLE_ROUNDS: u8 = 10;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What this process holds, by subject.
pub(super) struct Tallies {
    node: NodeId,
    hasher: foldhash::fast::RandomState,
    shards: [Mutex<HashMap<Subject, Arc<Tally>, foldhash::fast::RandomState>>; SHARDS],
    /// What could not be given back.
    unspent: Mutex<Vec<Unspent>>,
    /// The minute, on the monotonic clock, and how many requests were granted in it without being counted.
    uncounted: Mutex<(u64, u32)>,
}

/// What this process holds of one subject's windows.
pub(super) struct Tally {
    subject: Subject,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// One a length: of the present window.
    lots: Vec<Lot>,
    /// Of windows that were present before, for a clock that steps; until they are given back.
    retired: Vec<Lot>,
    /// Places on their way. Kept here and not with who asked for them: whoever gives up waiting leaves them to the next.
    flight: Option<Flight>,
    /// In how many rounds of maintenance no request came.
    idle: u8,
}

/// Places of one window's name.
struct Lot {
    seconds: u32,
    start: Timestamp,
    end: Timestamp,
    left: u64,
    /// How many are charged to the name in the store, those that are left here among them, and when it was asked.
    charged: Option<(u64, Duration)>,
    /// How many were taken the last time: twice as many are wanted the next.
    size: u64,
}

type Flight = Shared<Pin<Box<dyn Future<Output = Result<(), Arc<StoreError>>> + Send>>>;

/// One request's windows.
pub(super) struct Charge {
    now: Timestamp,
    cost: u64,
    /// Whether to charge it, or only to say how it would go.
    charges: bool,
    key: Option<(Arc<Tally>, Limits)>,
    account: Option<(Arc<Tally>, Limits)>,
}

/// Limits, and what is left of each of their windows.
#[derive(Clone)]
pub(crate) struct Left {
    pub(crate) limits: Limits,
    pub(crate) left: [u64; MAX_WINDOWS],
}

/// What is left of a key's windows, and of its account's.
#[derive(Clone, Default)]
pub(crate) struct Lefts {
    pub(crate) of: [Option<Left>; 2],
    /// Whether the request was granted without being counted.
    pub(crate) uncounted: bool,
}

pub(super) enum Step {
    Charged(Lefts),
    Refused(Exhausted),
    Waits(Flight),
}

enum Standing {
    Fits,
    Lacks(Want),
    Exhausted { left: u64, retry_at: Option<Timestamp> },
}

impl Tallies {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            node: NodeId::new(now),
            hasher: foldhash::fast::RandomState::default(),
            shards: Default::default(),
            unspent: Mutex::default(),
            uncounted: Mutex::default(),
        }
    }

    fn of(&self, subject: Subject, now: Timestamp) -> Arc<Tally> {
        let hash =
            usize::try_from(self.hasher.hash_one(&subject) % self.shards.len().try_into().unwrap_or(1)).unwrap_or_default();
        let Some(shard) = self.shards.get(hash) else { return Arc::new(Tally::new(subject)) };
        let mut tallies = lock(shard);
        if let Some(tally) = tallies.get(&subject) {
            return Arc::clone(tally);
        }
        if tallies.len() >= MANY && tallies.len().is_power_of_two() {
            tallies.retain(|_, tally| Arc::strong_count(tally) > 1 || !lock(&tally.state).is_past(now));
        }
        let tally = Arc::new(Tally::new(subject.clone()));
        tallies.insert(subject, Arc::clone(&tally));
        tally
    }

    fn all(&self) -> Vec<Arc<Tally>> {
        self.shards.iter().flat_map(|shard| lock(shard).values().cloned().collect::<Vec<_>>()).collect()
    }
}

impl Tally {
    fn new(subject: Subject) -> Self {
        Self { subject, state: Mutex::default() }
    }
}

impl State {
    fn is_past(&self, now: Timestamp) -> bool {
        self.flight.is_none() && self.lots.iter().all(|lot| lot.end <= now)
    }

    /// The lot of a window's present name. That of another name is retired.
    fn lot(&mut self, window: Window, now: Timestamp) -> Option<&mut Lot> {
        let start = window.start(now);
        let place = self.lots.iter().position(|lot| lot.seconds == window.seconds());
        if place.and_then(|place| self.lots.get(place)).is_none_or(|lot| lot.start != start) {
            self.retired.extend(place.map(|place| self.lots.swap_remove(place)).filter(|lot| lot.left > 0));
            let known = self.retired.iter().position(|lot| lot.seconds == window.seconds() && lot.start == start);
            let lot = known.map_or_else(|| Lot::new(window, start), |known| self.retired.swap_remove(known));
            self.lots.push(lot);
            // What nobody gives back is lost to its windows, but does not add up.
            let over = self.retired.len().saturating_sub(MAX_RETIRED);
            self.retired.drain(..over);
        }
        self.lots.iter_mut().find(|lot| lot.seconds == window.seconds())
    }
}

impl Lot {
    fn new(window: Window, start: Timestamp) -> Self {
        Self { seconds: window.seconds(), start, end: window.end(start), left: 0, charged: None, size: 0 }
    }

    /// How many places the name has left for this process, those that nobody has taken among them. Under a limit that was
    /// lowered they may be fewer than it holds.
    fn remaining(&self, limit: u64) -> u64 {
        self.charged.map_or(0, |(charged, _)| limit.saturating_sub(charged.saturating_sub(self.left)))
    }

    fn standing(&self, window: Window, cost: u64, clock: &dyn Clock) -> Standing {
        let remaining = self.remaining(window.count());
        let spendable = self.left.min(remaining);
        if cost <= spendable && self.charged.is_some() {
            return Standing::Fits;
        }
        if cost > window.count() {
            return Standing::Exhausted { left: remaining, retry_at: None };
        }
        let is_fresh = |(_, at): (u64, Duration)| clock.monotonic().saturating_sub(at) < USED_UP;
        if remaining < cost && self.charged.is_some_and(is_fresh) {
            return Standing::Exhausted { left: remaining, retry_at: Some(self.end) };
        }
        let least = cost - spendable;
        Standing::Lacks(Want { window, start: self.start, least, wanted: least.max(self.size.saturating_mul(2)) })
    }
}

impl Inner {
    /// The windows of a request of this key; `None` if there are none.
    pub(super) fn charge(&self, candidate: &Candidate, now: Timestamp, cost: u64, charges: bool) -> Option<Charge> {
        let (of_key, of_account) = self.policy.limits_of(candidate.limits.as_deref());
        if of_key.windows().is_empty() && of_account.windows().is_empty() {
            return None;
        }
        let tally = |limits: Limits, subject: &dyn Fn() -> Subject| {
            (!limits.windows().is_empty()).then(|| (self.tallies.of(subject(), now), limits))
        };
        let key = tally(of_key, &|| Subject::Key(candidate.id));
        let account = tally(of_account, &|| Subject::Account(candidate.owner.clone()));
        Some(Charge { now, cost, charges, key, account })
    }

    /// Charges all windows or none, if what this process knows suffices to say.
    pub(super) fn try_charge(&self, charge: &Charge) -> Step {
        // The key's before the account's: in one order everywhere.
        let mut states = [&charge.key, &charge.account].map(|side| side.as_ref().map(|(tally, _)| lock(&tally.state)));
        let mut lacking: Option<(usize, Vec<Want>)> = None;
        let mut exhausted: Option<Exhausted> = None;
        let sides = [&charge.key, &charge.account];
        for (place, (side, state)) in sides.iter().zip(&mut states).enumerate() {
            let (Some((_, limits)), Some(state)) = (side, state) else { continue };
            state.idle = 0;
            for &window in limits.windows() {
                let Some(lot) = state.lot(window, charge.now) else { continue };
                match lot.standing(window, charge.cost, &*self.clock) {
                    Standing::Fits => {}
                    Standing::Lacks(want) => match &mut lacking {
                        Some((of, wants)) if *of == place => wants.push(want),
                        Some(_) => {}
                        None => lacking = Some((place, vec![want])),
                    },
                    Standing::Exhausted { left, retry_at } => {
                        let of = if place == 0 { Limited::Key } else { Limited::Account };
                        let new = Exhausted { of, window, left, retry_at: retry_at.map(Into::into) };
                        // Of several the one that lasts longest, and for ever longer than that.
                        let lasts = |one: &Exhausted| (one.retry_at.is_none(), one.retry_at);
                        if exhausted.as_ref().is_none_or(|old| lasts(old) < lasts(&new)) {
                            exhausted = Some(new);
                        }
                    }
                }
            }
        }
        if let Some(exhausted) = exhausted {
            return Step::Refused(exhausted);
        }
        if let Some((place, wants)) = lacking
            && let (Some(Some((tally, _))), Some(Some(state))) = (sides.get(place), states.get_mut(place))
        {
            return Step::Waits(self.flight(tally, state, wants, charge.now));
        }
        let cost = if charge.charges { charge.cost } else { 0 };
        let mut lefts = Lefts::default();
        for ((side, state), out) in sides.iter().zip(&mut states).zip(&mut lefts.of) {
            let (Some((_, limits)), Some(state)) = (side, state) else { continue };
            let mut left = [0; MAX_WINDOWS];
            for (window, left) in limits.windows().iter().zip(&mut left) {
                for lot in state.lots.iter_mut().filter(|lot| lot.seconds == window.seconds()) {
                    lot.left = lot.left.saturating_sub(cost);
                    *left = lot.remaining(window.count());
                }
            }
            *out = Some(Left { limits: limits.clone(), left });
        }
        Step::Charged(lefts)
    }

    /// Waits until what lacks is known, and charges.
    pub(super) async fn charge_when_known(&self, charge: &Charge, mut flight: Flight) -> Result<Result<Lefts, Exhausted>, Fault> {
        loop {
            if let Err(error) = flight.await {
                if self.may_go_uncounted() {
                    return Ok(Ok(Lefts { uncounted: true, ..Lefts::default() }));
                }
                return Err(StoreError::unavailable("taking places of request windows", error).into());
            }
            match self.try_charge(charge) {
                Step::Charged(lefts) => return Ok(Ok(lefts)),
                Step::Refused(exhausted) => return Ok(Err(exhausted)),
                Step::Waits(next) => flight = next,
            }
        }
    }

    fn may_go_uncounted(&self) -> bool {
        let minute = self.clock.monotonic().as_secs() / 60;
        let mut uncounted = lock(&self.tallies.uncounted);
        if uncounted.0 != minute {
            *uncounted = (minute, 0);
        }
        let may = uncounted.1 < self.policy.uncounted_a_minute;
        uncounted.1 += u32::from(may);
        may
    }

    /// Joins the flight on its way, or sends one.
    fn flight(&self, tally: &Arc<Tally>, state: &mut State, wants: Vec<Want>, at: Timestamp) -> Flight {
        if let Some(flight) = &state.flight {
            return flight.clone();
        }
        let lease = Arc::new(Lease { node: self.tallies.node, at, subject: tally.subject.clone(), wants });
        let (store, sent) = (Arc::clone(&self.store), self.clock.monotonic());
        let tally = Arc::downgrade(tally);
        let flight = async move {
            let answer = AssertUnwindSafe(store.lease(Arc::clone(&lease))).catch_unwind().await;
            let panicked = || StoreError::Unavailable { what: "taking places: the store panicked", source: None };
            let answer = answer.unwrap_or_else(|_| Err(panicked()));
            land(&tally, &lease, answer.as_deref().unwrap_or_default(), sent);
            answer.map(drop).map_err(Arc::new)
        };
        let flight = flight.boxed().shared();
        state.flight = Some(flight.clone());
        flight
    }
}

/// What was taken is there to be spent, in its window.
fn land(tally: &Weak<Tally>, lease: &Lease, leased: &[Leased], sent: Duration) {
    let Some(tally) = tally.upgrade() else { return };
    let mut state = lock(&tally.state);
    state.flight = None;
    let State { lots, retired, .. } = &mut *state;
    for (want, leased) in lease.wants.iter().zip(leased) {
        let is_its = |lot: &&mut Lot| lot.seconds == want.window.seconds() && lot.start == want.start;
        let Some(lot) = lots.iter_mut().chain(&mut *retired).find(is_its) else { continue };
        lot.left = lot.left.saturating_add(leased.taken);
        lot.charged = Some((leased.charged, sent));
        lot.size = if leased.taken > 0 { leased.taken } else { lot.size };
    }
}

impl Inner {
    /// Gives back places that are not going to be spent: of past names, and of subjects that no request came for in a while, or,
    /// when stopping, all.
    pub(super) async fn give_back(&self, stopping: bool) -> Result<(), StoreError> {
        let mut unspent = std::mem::take(&mut *lock(&self.tallies.unspent));
        for tally in self.tallies.all() {
            let flight = lock(&tally.state).flight.clone();
            if let Some(flight) = flight.filter(|_| stopping) {
                // What comes of it is told to who waits for it.
                let _ = flight.await;
            }
            let mut state = lock(&tally.state);
            state.idle = state.idle.saturating_add(1);
            let mut lots = std::mem::take(&mut state.retired);
            let is_idle = state.idle >= IDLE_ROUNDS && state.flight.is_none();
            if is_idle || stopping {
                lots.append(&mut state.lots);
            }
            unspent.extend(lots.iter().filter(|lot| lot.left > 0).map(|lot| Unspent {
                subject: tally.subject.clone(),
                seconds: lot.seconds,
                start: lot.start,
                places: lot.left,
            }));
        }
        if unspent.is_empty() {
            return Ok(());
        }
        let result = self.store.give_back(&unspent).await;
        // Only what was certainly not given back may be given back again.
        if let Err(StoreError::Unavailable { .. }) = result {
            lock(&self.tallies.unspent).extend(unspent);
        }
        result
    }
}

impl Clove {
    /// Writes what waits, as [`Clove::flush`], and gives back the places of request windows that this process has taken and not
    /// spent. Hosts call it before they stop; what a process that ends without it holds is lost to its windows.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn shut_down(&self) -> Result<(), StoreError> {
        let flushed = self.flush().await;
        flushed.and(self.inner.give_back(true).await)
    }
}
