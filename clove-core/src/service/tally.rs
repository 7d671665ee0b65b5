//! What this process holds of one key's windows, or of one account's: places that it has taken from the store and not spent yet.

use super::{buffers::Buffers, charge::Charge, slide::Slide};
use crate::{
    clock::{Clock, Timestamp},
    error::StoreError,
    id::{KeyId, Owner},
    limit::{Limits, MAX_WINDOWS, Subject, Window},
    store::{Lease, Leased, Unspent, Want},
    sync::{Arc, Mutex, MutexGuard, TryLockError, atomic::Ordering, lock, look},
    usage::Day,
};
use futures_util::future::Shared;
use smallvec::SmallVec;
use std::{future::Future, pin::Pin, time::Duration};

/// How long a window is taken to be used up before the store is asked again, in milliseconds: other processes may have given places back.
const USED_UP: u32 = 1000;
/// How many lots of other windows than the present ones are held.
const MAX_RETIRED: usize = 8;

/// One key's or account's. Dropped, it leaves what it holds to be written. What every verification looks at comes last: what is
/// known of the key is made next, and so lies beside it in memory.
#[repr(C)]
pub(super) struct Tally {
    pub(super) subject: Subject,
    pub(super) owner: Arc<Owner>,
    buffers: Arc<Buffers>,
    held: Mutex<Held>,
}

impl Tally {
    pub(super) fn new(subject: Subject, owner: Arc<Owner>, buffers: Arc<Buffers>) -> Self {
        Self { subject, owner, buffers, held: Mutex::default() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Held> {
        lock(&self.held)
    }

    /// Looks at its lock, and leaves it alone.
    #[inline(always)]
    pub(super) fn look(&self) -> bool {
        look(&self.held)
    }

    pub(super) fn try_lock(&self) -> Option<MutexGuard<'_, Held>> {
        match self.held.try_lock() {
            Ok(held) => Some(held),
            Err(TryLockError::Poisoned(held)) => Some(held.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// What was used of a key since this was last asked.
    pub(super) fn take_used(&self) -> Option<Used<'_>> {
        let uses = self.lock().uses.take();
        self.used(uses)
    }

    pub(super) fn used(&self, uses: Option<Uses>) -> Option<Used<'_>> {
        match self.subject {
            Subject::Key(key) => uses.map(|uses| Used { key, owner: &self.owner, uses }),
            Subject::Account(_) => None,
        }
    }

    /// The places of these lots, to be given back.
    pub(super) fn unspent<'a>(&'a self, lots: &'a [Lot]) -> impl Iterator<Item = Unspent> + 'a {
        lots.iter().filter(|lot| lot.left > 0).map(|lot| Unspent {
            subject: self.subject.clone(),
            seconds: lot.seconds,
            start: lot.start,
            places: lot.left,
        })
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        let mut held = std::mem::take(&mut *self.lock());
        self.buffers.add_flight(held.flight.take());
        let retired = held.rest.as_ref().map(|rest| rest.retired.as_slice()).unwrap_or_default();
        let unspent = self.unspent(&held.lots).chain(self.unspent(retired));
        self.buffers.add_unspent(unspent);
        self.buffers.dropped.fetch_add(usize::from(held.is_listed), Ordering::Relaxed);
        if let Some(used) = self.used(held.uses) {
            self.buffers.note([used]);
        }
    }
}

/// Under one lock, so that all windows of a request are tested and charged as one step.
#[derive(Default)]
#[repr(C)]
pub(super) struct Held {
    /// What few have, apart: there is one of these a key.
    rest: Option<Box<Rest>>,
    /// Places on their way. Kept here and not with who asked for them: whoever gives up waiting leaves them to the next.
    pub(super) flight: Option<Box<Flight>>,
    /// One a length: of the present window.
    lots: SmallVec<[Lot; 2]>,
    /// Uses of a key that are yet to be written.
    pub(super) uses: Option<Uses>,
    /// Whether a request came since this was last looked through for idle places.
    pub(super) was_used: bool,
    /// Whether it is among those that are looked through.
    pub(super) is_listed: bool,
    /// Whether it is among those that are kept for what they hold of sliding windows.
    pub(super) is_kept: bool,
}

#[derive(Default)]
struct Rest {
    /// Of windows that were present before, for a clock that steps; until they are given back.
    retired: Vec<Lot>,
    /// One a length, of sliding windows.
    slides: Vec<(u32, Slide)>,
}

/// Uses of a key on one UTC day.
#[derive(Clone, Copy)]
pub(super) struct Uses {
    pub(super) last: Timestamp,
    pub(super) day: Day,
    /// How many requests it was, by what they cost.
    pub(super) requests: u64,
}

/// The same, and of which key.
pub(super) struct Used<'t> {
    pub(super) key: KeyId,
    pub(super) owner: &'t Owner,
    pub(super) uses: Uses,
}

pub(super) type Flight = Shared<Pin<Box<dyn Future<Output = Result<(), Arc<StoreError>>> + Send>>>;

/// Places of one window's name.
pub(super) struct Lot {
    start: Timestamp,
    left: u64,
    /// How many are charged to the name in the store, those that are left here among them, as the store last told.
    charged: u64,
    /// When it was told, on the clock that does not step, in milliseconds that start over every 49 days; `None` before.
    asked: Option<u32>,
    /// How many were taken the last time: twice as many are wanted the next.
    size: u32,
    seconds: u32,
}

/// How a request stands with a window.
pub(super) enum Standing {
    Fits,
    Lacks(Want),
    Exhausted { left: u64, retry_at: Option<Timestamp> },
}

/// One moment on both clocks. Handed on by reference: copied as soon as it is made, it would have the processor wait for it.
pub(super) struct Moment {
    pub(super) now: Timestamp,
    /// On the clock that does not step; asked only where a window slides.
    pub(super) steady: Option<Duration>,
}

impl Held {
    /// Whether each window is known to have room.
    #[inline(always)]
    pub(super) fn suffices(&mut self, limits: &Limits, at: &Moment, cost: u64) -> bool {
        let lots = &*self.lots;
        let has_room = |(place, &window): (usize, &Window)| {
            window.slides() || lot_of(lots, place, window).is_some_and(|lot| lot.holds(at.now) && lot.suffices(window, cost))
        };
        limits.windows().iter().enumerate().all(has_room)
            && at.steady.is_none_or(|steady| self.slides_suffice(limits, steady, cost))
    }

    /// What processes share of sliding windows is the store's to say.
    fn slides_suffice(&mut self, limits: &Limits, steady: Duration, cost: u64) -> bool {
        limits.slide_here_only().all(|(_, window)| self.left_of_slide(window, steady) >= cost)
    }

    /// Charges each window, and tells what remains of each.
    #[inline(always)]
    pub(super) fn spend(&mut self, limits: &Limits, at: &Moment, cost: u64, lefts: &mut [u64; MAX_WINDOWS]) {
        let lots = &mut *self.lots;
        for (place, (&window, remaining)) in limits.windows().iter().zip(&mut *lefts).enumerate() {
            if !window.slides()
                && let Some(lot) = place_of(lots, place, window).and_then(|place| lots.get_mut(place))
            {
                lot.left = lot.left.saturating_sub(cost);
                *remaining = lot.remaining(window.count());
            }
        }
        if let Some(steady) = at.steady {
            self.slide_all(limits, steady, cost, lefts);
        }
    }

    fn slide_all(&mut self, limits: &Limits, steady: Duration, cost: u64, lefts: &mut [u64; MAX_WINDOWS]) {
        for (place, window) in limits.slide_here_only() {
            if let Some(slide) = self.slide(window) {
                slide.charge(cost, steady);
            }
            if let Some(remaining) = lefts.get_mut(place) {
                *remaining = self.left_of_slide(window, steady);
            }
        }
    }

    /// How many places of a window this process has taken and not spent.
    pub(super) fn unspent(&self, window: Window, now: Timestamp) -> u64 {
        self.lots.iter().find(|lot| lot.is_of(window) && lot.holds(now)).map_or(0, |lot| lot.left)
    }

    fn slide(&mut self, window: Window) -> Option<&mut Slide> {
        let slides = &mut self.rest.get_or_insert_default().slides;
        if !slides.iter().any(|(seconds, _)| *seconds == window.seconds()) {
            slides.push((window.seconds(), Slide::default()));
        }
        slides.iter_mut().find(|(seconds, _)| *seconds == window.seconds()).map(|(_, slide)| slide)
    }

    pub(super) fn left_of_slide(&mut self, window: Window, steady: Duration) -> u64 {
        self.slide(window).map_or(0, |slide| slide.left(window.count(), window.length(), steady))
    }

    /// How a request stands with a window.
    pub(super) fn standing(&mut self, window: Window, at: &Moment, charge: Charge, clock: &dyn Clock) -> Option<Standing> {
        if !window.slides() {
            return self.lot(window, at.now).map(|lot| lot.standing(window, charge, clock));
        }
        let cost = charge.cost;
        if window.is_shared() {
            return Some(Standing::Fits);
        }
        let steady = at.steady?;
        let left = self.left_of_slide(window, steady);
        if cost <= left {
            return Some(Standing::Fits);
        }
        let wait = self.slide(window)?.wait(cost, window.count(), window.length(), steady);
        let retry_at = (cost <= window.count()).then(|| at.now.after(wait));
        Some(Standing::Exhausted { left, retry_at })
    }

    /// Forgets what has slid out of each window; whether anything is left, to be kept for.
    pub(super) fn still_slides(&mut self, steady: Duration) -> bool {
        let Some(rest) = &mut self.rest else { return false };
        rest.slides.retain_mut(|(seconds, slide)| {
            slide.left(0, Duration::from_secs((*seconds).into()), steady);
            !slide.is_empty()
        });
        self.is_kept = !rest.slides.is_empty();
        self.is_kept
    }

    /// The lot of a window's present name. That of another name is retired.
    fn lot(&mut self, window: Window, now: Timestamp) -> Option<&mut Lot> {
        let start = window.start(now);
        let place = self.lots.iter().position(|lot| lot.is_of(window));
        if place.and_then(|place| self.lots.get(place)).is_none_or(|lot| lot.start != start) {
            // What is on its way may be for this one.
            let may_hold = |lot: &Lot| lot.left > 0 || self.flight.is_some();
            let past = place.map(|place| self.lots.remove(place)).filter(may_hold);
            let mut lot = Lot::new(window, start);
            if past.is_some() || self.rest.is_some() {
                let retired = &mut self.rest.get_or_insert_default().retired;
                retired.extend(past);
                if let Some(known) = retired.iter().position(|lot| lot.is_of(window) && lot.start == start) {
                    lot = retired.swap_remove(known);
                }
                // What nobody gives back is lost to its windows, but does not add up.
                let over = retired.len().saturating_sub(MAX_RETIRED);
                retired.drain(..over);
            }
            self.lots.insert(place.unwrap_or(self.lots.len()), lot);
        }
        self.lots.iter_mut().find(|lot| lot.is_of(window))
    }

    /// What was told of each window was told for other limits: what is held is spent no further before the store has told anew.
    pub(super) fn ask_again(&mut self) {
        self.lots.iter_mut().for_each(|lot| lot.asked = None);
    }

    /// What was taken is there to be spent, in its window. Gives what is of a window that nobody asks for any more.
    pub(super) fn land(&mut self, lease: &Lease, leased: &[Leased], landed: Duration) -> Vec<Unspent> {
        self.flight = None;
        let mut unspent = Vec::new();
        for (want, leased) in lease.wants.iter().zip(leased) {
            let is_its = |lot: &&mut Lot| lot.is_of(want.window) && lot.start == want.start;
            let retired = self.rest.iter_mut().flat_map(|rest| &mut rest.retired);
            let Some(lot) = self.lots.iter_mut().chain(retired).find(is_its) else {
                unspent.extend(want.unspent(lease, leased.taken));
                continue;
            };
            lot.left = lot.left.saturating_add(leased.taken);
            (lot.charged, lot.asked) = (leased.charged, Some(millis(landed)));
            lot.size = if leased.taken > 0 { u32::try_from(leased.taken).unwrap_or(u32::MAX) } else { lot.size };
        }
        unspent
    }

    /// Takes back places of present windows that were to be given back.
    pub(super) fn reclaim(&mut self, unspent: &Unspent) -> bool {
        let is_its = |lot: &&mut Lot| lot.seconds == unspent.seconds && lot.start == unspent.start;
        let Some(lot) = self.lots.iter_mut().find(is_its) else { return false };
        lot.left = lot.left.saturating_add(unspent.places);
        true
    }

    /// The lots of past windows, and with `all` those of the present ones too.
    pub(super) fn give_up(&mut self, all: bool) -> Vec<Lot> {
        if self.flight.is_some() {
            return Vec::new();
        }
        let mut lots = self.rest.as_mut().map(|rest| std::mem::take(&mut rest.retired)).unwrap_or_default();
        if all {
            lots.extend(self.lots.drain(..));
        }
        self.rest.take_if(|rest| rest.slides.is_empty());
        lots
    }

    pub(super) fn is_empty(&self) -> bool {
        self.flight.is_none() && self.lots.is_empty() && self.rest.as_ref().is_none_or(|rest| rest.retired.is_empty())
    }
}

impl Lot {
    fn new(window: Window, start: Timestamp) -> Self {
        Self { start, left: 0, charged: 0, asked: None, size: 0, seconds: window.seconds() }
    }

    #[inline]
    fn is_of(&self, window: Window) -> bool {
        self.seconds == window.seconds()
    }

    #[inline]
    fn holds(&self, now: Timestamp) -> bool {
        // What is before it comes to more than any window lasts.
        let since = (now.as_micros() - self.start.as_micros()).cast_unsigned();
        since < u64::from(self.seconds) * 1_000_000
    }

    /// How many places the name has left for this process, those that nobody has taken among them. Under a limit that was
    /// lowered they may be fewer than it holds.
    #[inline]
    fn remaining(&self, limit: u64) -> u64 {
        self.asked.map_or(0, |_| limit.saturating_sub(self.charged.saturating_sub(self.left)))
    }

    #[inline]
    fn suffices(&self, window: Window, cost: u64) -> bool {
        self.asked.is_some() && cost <= self.left && cost <= self.remaining(window.count())
    }

    fn standing(&self, window: Window, Charge { cost, charges, .. }: Charge, clock: &dyn Clock) -> Standing {
        if self.suffices(window, cost) {
            return Standing::Fits;
        }
        let remaining = self.remaining(window.count());
        let fits_never = cost > window.count();
        if fits_never && self.asked.is_some() {
            return Standing::Exhausted { left: remaining, retry_at: None };
        }
        let is_fresh = |at| millis(clock.monotonic()).wrapping_sub(at) < USED_UP;
        if self.asked.is_some_and(is_fresh) {
            if remaining < cost {
                return Standing::Exhausted { left: remaining, retry_at: Some(window.end(self.start)) };
            }
            if !charges {
                return Standing::Fits;
            }
        }
        // It is going to take none.
        if fits_never || !charges {
            return Standing::Lacks(Want { window, start: self.start, least: 0, wanted: 0 });
        }
        let least = cost - self.left.min(remaining).min(cost);
        Standing::Lacks(Want { window, start: self.start, least, wanted: least.max(u64::from(self.size) * 2) })
    }
}

/// The lot of a window: nearly always they stand as the windows do.
#[inline(always)]
fn lot_of(lots: &[Lot], place: usize, window: Window) -> Option<&Lot> {
    lots.get(place_of(lots, place, window)?)
}

#[inline(always)]
fn place_of(lots: &[Lot], place: usize, window: Window) -> Option<usize> {
    let is_there = lots.get(place).is_some_and(|lot| lot.is_of(window));
    if is_there { Some(place) } else { lots.iter().position(|lot| lot.is_of(window)) }
}

fn millis(time: Duration) -> u32 {
    // It starts over.
    u32::try_from(time.as_millis() & u128::from(u32::MAX)).unwrap_or_default()
}
