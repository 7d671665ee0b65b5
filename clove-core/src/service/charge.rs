//! Charging requests to windows.
//!
//! The store counts what is charged to each window's name, and a process takes places there ahead of the requests that spend
//! them. All windows of a request are tested and charged under the locks of its key and its account, so that no other request
//! sees it half done.

use super::{
    Clove, Inner,
    known::Known,
    tally::{Flight, Held, Moment, Standing, Tally},
};
use crate::{
    clock::Timestamp,
    error::{Fault, StoreError},
    id::NodeId,
    limit::{Limits, MAX_WINDOWS, Plan},
    store::{Lease, Store, Want},
    sync::{Arc, Mutex, Weak, atomic::Ordering, lock},
    verdict::{Exhausted, Limited},
};
use futures_util::future::{Either, FutureExt, select};
use std::{
    future::{Future, poll_fn},
    panic::AssertUnwindSafe,
    pin::pin,
    task::Poll,
    time::Duration,
};

/// How often a request asks for places before it lets others go on: a key and its account are asked for one after the other.
const ASKED_AT_A_STRETCH: u32 = 8;

/// Who takes places, and what it has yet to give back.
pub(super) struct Leases {
    pub(super) node: NodeId,
    /// Those that hold places.
    holding: Mutex<Vec<Weak<Tally>>>,
    /// Those of sliding windows: what is counted there must outlive the row.
    sliding: Mutex<Vec<Arc<Tally>>>,
    /// The minute, on the monotonic clock, and how many requests were granted in it without being counted.
    uncounted: Mutex<(u64, u64)>,
}

impl Leases {
    pub(super) fn new(now: Timestamp) -> Self {
        let (holding, sliding, uncounted) = Default::default();
        Self { node: NodeId::new(now), holding, sliding, uncounted }
    }
}

/// What one request is to be charged.
#[derive(Clone, Copy)]
pub(super) struct Charge {
    pub(super) now: Timestamp,
    /// Whether that is the time, or may be a moment ago.
    pub(super) is_exact: bool,
    pub(super) cost: u64,
    /// Whether to charge it, or only to say how it would go.
    pub(super) charges: bool,
}

/// What is left of a key's windows, and of its account's.
#[derive(Clone, Copy, Default)]
pub(crate) struct Lefts {
    pub(crate) key: [u64; MAX_WINDOWS],
    pub(crate) account: [u64; MAX_WINDOWS],
    /// Whether the request was granted without being counted.
    pub(crate) uncounted: bool,
}

pub(super) enum Step {
    /// At the request's time, or, at the edge of a window, at the exact one.
    Charged {
        at: Timestamp,
    },
    Refused(Exhausted),
    Waits(Flight),
}

impl Inner {
    /// Charges all windows of a key and its account or none, if what this process knows suffices to say. A charged request is noted as
    /// the key's last use, and `lefts` say what is left. They are written where they stay: to be moved at once would have the processor
    /// wait for them.
    #[inline(always)]
    pub(super) fn try_charge(&self, known: &Arc<Known>, charge: Charge, lefts: &mut Lefts) -> Step {
        let Charge { now, cost, charges, .. } = charge;
        let plan = &*known.plan;
        // The key's before the account's: in one order everywhere.
        let mut key = known.tally.lock();
        let mut account = (!plan.account.windows().is_empty()).then(|| known.account.lock());
        let at = &mut Moment { now, steady: plan.slides.then(|| self.clock.monotonic()) };
        if !suffice(plan, &mut key, account.as_deref_mut(), at, cost)
            && let Some(step) = self.lacks(known, &mut key, account.as_deref_mut(), at, charge)
        {
            return step;
        }
        let taken = if charges { cost } else { 0 };
        key.spend(&plan.key, at, taken, &mut lefts.key);
        key.was_used = true;
        if let Some(account) = &mut account {
            account.spend(&plan.account, at, taken, &mut lefts.account);
            account.was_used = true;
        }
        if let Some(steady) = at.steady {
            self.keep_slides(known, &mut key, account.as_deref_mut(), steady);
        }
        if charges {
            self.buffers.used(&known.tally, &mut key, at.now, cost);
        }
        Step::Charged { at: at.now }
    }

    /// What keeps a request from being charged; `None` if nothing does, once each window has its lot. By the exact time: by another
    /// one a window might be over that is not, or the other way round.
    #[cold]
    fn lacks(
        &self,
        known: &Known,
        key: &mut Held,
        mut account: Option<&mut Held>,
        at: &mut Moment,
        charge: Charge,
    ) -> Option<Step> {
        let (plan, clock) = (&*known.plan, &*self.clock);
        if !charge.is_exact {
            at.now = self.now();
            if suffice(plan, key, account.as_deref_mut(), at, charge.cost) {
                return None;
            }
        }
        let mut exhausted: Option<Exhausted> = None;
        let mut of_side = |of: Limited, held: &mut Held, limits: &Limits| {
            let mut wants = Vec::new();
            for &window in limits.windows() {
                match held.standing(window, at, charge, clock) {
                    None | Some(Standing::Fits) => {}
                    Some(Standing::Lacks(want)) => wants.push(want),
                    Some(Standing::Exhausted { left, retry_at }) => {
                        let new = Exhausted { of, window, left, retry_at: retry_at.map(Into::into) };
                        if exhausted.as_ref().is_none_or(|old| old.lasts() < new.lasts()) {
                            exhausted = Some(new);
                        }
                    }
                }
            }
            wants
        };
        let of_key = of_side(Limited::Key, key, &plan.key);
        let of_account = match account {
            Some(held) => (of_side(Limited::Account, held, &plan.account), Some(held)),
            None => (Vec::new(), None),
        };
        if let Some(exhausted) = exhausted {
            return Some(Step::Refused(exhausted));
        }
        if !of_key.is_empty() {
            return Some(Step::Waits(self.flight(&known.tally, key, of_key, at.now)));
        }
        match of_account {
            (wants, Some(held)) if !wants.is_empty() => Some(Step::Waits(self.flight(&known.account, held, wants, at.now))),
            _ => None,
        }
    }

    /// Keeps what counts requests of sliding windows for as long as it does.
    fn keep_slides(&self, known: &Known, key: &mut Held, account: Option<&mut Held>, steady: Duration) {
        let sides = [(Some(key), &known.plan.key, &known.tally), (account, &known.plan.account, &known.account)];
        for (held, limits, tally) in sides {
            let Some(held) = held.filter(|held| limits.slide_here() && !held.is_kept) else { continue };
            held.is_kept = true;
            let mut sliding = lock(&self.leases.sliding);
            if sliding.len() == sliding.capacity() {
                // Those locked here, or by whoever is at it, are in use.
                sliding.retain(|tally| tally.try_lock().is_none_or(|mut held| held.still_slides(steady)));
                // Not again before there are twice as many.
                let left = sliding.len();
                sliding.reserve(left.max(16));
            }
            sliding.push(Arc::clone(tally));
        }
    }

    /// Waits until what lacks is known, and charges.
    pub(super) async fn charge_when_known(
        &self,
        known: &Arc<Known>,
        charge: Charge,
        mut flight: Flight,
    ) -> Result<Result<Lefts, Exhausted>, Fault> {
        for asked in 1..=u32::MAX {
            if let Err(error) = self.in_time(flight).await {
                if self.may_go_uncounted(charge) {
                    return Ok(Ok(self.uncounted(known, charge)));
                }
                return Err(StoreError::unavailable("taking places of request windows", error).into());
            }
            let mut lefts = Lefts::default();
            match self.try_charge(known, charge, &mut lefts) {
                Step::Charged { .. } => return Ok(Ok(lefts)),
                Step::Refused(exhausted) => return Ok(Err(exhausted)),
                Step::Waits(next) => flight = next,
            }
            // A store that answers at once, and never enough, must not keep the deadline from being looked at.
            if asked > ASKED_AT_A_STRETCH {
                yield_once().await;
            }
        }
        Err(StoreError::Unavailable { what: "taking places of request windows: never enough", source: None }.into())
    }

    /// What a store answers, or that it does not, where the host has some requests granted uncounted then: well before the deadline.
    pub(super) async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, Arc<StoreError>>>,
    ) -> Result<T, Arc<StoreError>> {
        if self.policy.uncounted_a_minute == 0 {
            return answer.await;
        }
        match select(pin!(answer), self.clock.sleep(self.policy.deadline / 2)).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => Err(Arc::new(StoreError::Unavailable { what: "counting: no answer", source: None })),
        }
    }

    /// What is left where nobody counted, of a request that is noted as the key's last use.
    pub(super) fn uncounted(&self, known: &Arc<Known>, charge: Charge) -> Lefts {
        if charge.charges {
            self.buffers.used(&known.tally, &mut known.tally.lock(), charge.now, charge.cost);
        }
        Lefts { uncounted: true, ..Lefts::default() }
    }

    pub(super) fn may_go_uncounted(&self, charge: Charge) -> bool {
        let minute = self.clock.monotonic().as_secs() / 60;
        let mut uncounted = lock(&self.leases.uncounted);
        if uncounted.0 != minute {
            *uncounted = (minute, 0);
        }
        let cost = if charge.charges { charge.cost.max(1) } else { 0 };
        let left = u64::from(self.policy.uncounted_a_minute).saturating_sub(uncounted.1);
        let may = left > 0 && cost <= left;
        uncounted.1 += if may { cost } else { 0 };
        may
    }

    /// Joins the flight on its way, or sends one.
    fn flight(&self, tally: &Arc<Tally>, held: &mut Held, wants: Vec<Want>, at: Timestamp) -> Flight {
        if let Some(flight) = &held.flight {
            return (**flight).clone();
        }
        self.buffers.reclaim(&tally.subject, held);
        if !std::mem::replace(&mut held.is_listed, true) {
            let mut holding = lock(&self.leases.holding);
            if self.buffers.dropped.load(Ordering::Relaxed) > holding.len() / 8 {
                holding.retain(|tally| tally.strong_count() > 0);
                self.buffers.dropped.store(0, Ordering::Relaxed);
            }
            holding.push(Arc::downgrade(tally));
        }
        let lease = Arc::new(Lease { node: self.leases.node, at, subject: tally.subject.clone(), wants });
        let (store, buffers, clock) = (Arc::clone(&self.store), Arc::clone(&self.buffers), Arc::clone(&self.clock));
        let tally = Arc::downgrade(tally);
        let flight = async move {
            let answer = AssertUnwindSafe(store.lease(Arc::clone(&lease))).catch_unwind().await;
            let panicked = || StoreError::Unavailable { what: "taking places: the store panicked", source: None };
            let mut answer = answer.unwrap_or_else(|_| Err(panicked()));
            if answer.as_ref().is_ok_and(|leased| leased.len() != lease.wants.len()) {
                let what = "taking places: the store did not answer each want";
                answer = Err(StoreError::Unavailable { what, source: None });
            }
            let leased = answer.as_deref().unwrap_or_default();
            let unspent = match tally.upgrade() {
                Some(tally) => tally.lock().land(&lease, leased, clock.monotonic()),
                None => lease.wants.iter().zip(leased).filter_map(|(want, leased)| want.unspent(&lease, leased.taken)).collect(),
            };
            buffers.add_unspent(unspent);
            answer.map(drop).map_err(Arc::new)
        };
        let flight = flight.boxed().shared();
        held.flight = Some(Box::new(flight.clone()));
        flight
    }

    /// Gives back places that are not going to be spent: of past names, and of subjects that no request came for since the last
    /// time, or, when stopping, all.
    pub(super) async fn give_back(&self, stopping: bool) -> Result<(), StoreError> {
        let steady = self.clock.monotonic();
        lock(&self.leases.sliding).retain(|tally| tally.try_lock().is_none_or(|mut held| held.still_slides(steady)));
        // A copy: whoever stops waiting leaves the list as it was.
        let holding = lock(&self.leases.holding).clone();
        // What was dropped has given its places back.
        for tally in holding.iter().filter_map(Weak::upgrade) {
            let flight = tally.lock().flight.as_deref().cloned();
            if let Some(flight) = flight {
                bring_in(flight, stopping).await;
            }
            let mut held = tally.lock();
            let is_idle = !std::mem::take(&mut held.was_used) && held.flight.is_none();
            let lots = held.give_up(is_idle || stopping);
            self.buffers.add_unspent(tally.unspent(&lots));
            held.is_listed = !held.is_empty();
        }
        // Whoever lists one holds it: to wait for it here would be for ever. What is listed twice is looked through twice.
        let is_listed = |tally: Arc<Tally>| tally.try_lock().is_none_or(|held| held.is_listed);
        lock(&self.leases.holding).retain(|weak| weak.upgrade().is_some_and(is_listed));
        for flight in self.buffers.take_flights() {
            if !bring_in(flight.clone(), stopping).await {
                self.buffers.add_flight(Some(Box::new(flight)));
            }
        }
        loop {
            let unspent = self.buffers.take_unspent();
            if unspent.is_empty() {
                return Ok(());
            }
            let result = self.store.give_back(&unspent).await;
            // Only what was certainly not given back may be given back again: nothing where this was dropped meanwhile.
            if let Err(StoreError::Unavailable { .. }) = result {
                self.buffers.add_unspent(unspent);
            }
            result?;
        }
    }
}

/// Whether all windows are known to have room.
#[inline(always)]
fn suffice(plan: &Plan, key: &mut Held, account: Option<&mut Held>, at: &Moment, cost: u64) -> bool {
    key.suffices(&plan.key, at, cost) && account.is_none_or(|account| account.suffices(&plan.account, at, cost))
}

/// Has places that nobody may be waiting for any more come in: at once or not now, or, when stopping, whenever they do. Whether they
/// have come. What came of it is told to who does wait.
async fn bring_in(flight: Flight, stopping: bool) -> bool {
    if stopping { Some(flight.await) } else { flight.now_or_never() }.is_some()
}

async fn yield_once() {
    let mut has_yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Clove {
    /// Writes what waits, as [`Clove::flush`], and gives back the places of request windows that this process has taken and not
    /// spent. Hosts call it before they stop; what a process that ends without it holds is lost to its windows.
    ///
    /// From then on nothing is verified from memory, unless the store is in memory itself, and [`Clove::everywhere`] does not wait for this
    /// process.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn shut_down(&self) -> Result<(), StoreError> {
        self.inner.forget_all();
        let flushed = self.flush().await;
        let given_back = self.inner.give_back(true).await;
        flushed.and(given_back).and(self.inner.leave().await)
    }
}
