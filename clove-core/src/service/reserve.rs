//! Reserving budgets for a request, and settling what it has used.
//!
//! A request that reserves is asked for its windows first, which costs nothing where they refuse; then the store reserves, of all
//! budgets or of none; and then the windows are charged. So a request that a budget refuses is charged to no window, and where the last
//! place of a window was taken in between, what was reserved is given back.

use super::{Clove, charge::Charge, known::Known, metering::Metering};
use crate::{
    budget::BudgetOf,
    clock::Timestamp,
    error::{Fault, RecordError, StoreError},
    id::GrantId,
    store::{Meter, Reserve, Reserved, Reserving, Store, budgets::meter},
    usage::{Day, Unit},
    verdict::{Attempt, BudgetExhausted, DenialReason, Grant, Reservation, Verdict},
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// How often a reservation with an unknown outcome is made again.
const MAX_RERUNS: usize = 3;

/// What a grant has reserved. Until it is given to the caller, dropping it frees that.
pub(crate) struct Hold {
    unsettled: Unsettled,
    reservation: Reservation,
}

impl Hold {
    pub(crate) fn reservation(&self) -> &Reservation {
        &self.reservation
    }
}

/// A reservation that may be in the store, and that nobody is going to settle if this is dropped: then this does.
struct Unsettled {
    metering: Arc<Metering>,
    grant: GrantId,
    meter: Meter,
    is_open: AtomicBool,
}

impl Unsettled {
    fn close(&self) {
        self.is_open.store(false, Ordering::Relaxed);
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        if *self.is_open.get_mut() {
            self.metering.give_up(self.grant, &self.meter);
        }
    }
}

/// A verdict that is about to be given to the caller: from then on it is the caller's to settle what it has reserved.
pub(super) fn hand_over(end: &Result<Verdict, Fault>) {
    if let Ok(Verdict::Granted(Grant { hold: Some(hold), .. })) = end {
        hold.unsettled.close();
    }
}

impl Clove {
    /// Reserves what the attempt asks for, and charges its windows.
    pub(super) async fn reserve_and_charge(
        &self,
        known: Arc<Known>,
        place: usize,
        charge: Charge,
        attempt: Attempt<'_>,
        (unit, amount): (&Unit, u64),
    ) -> Result<Verdict, Fault> {
        let now = charge.now;
        let asked = match self.inner.charge_all(&known, Charge { charges: false, ..charge }).await? {
            Ok(lefts) => lefts,
            Err(exhausted) => return Ok(self.limited(exhausted, known, now, &attempt)),
        };
        let (id, hold) = match self.hold(&known, now, unit, amount, charge.charges).await? {
            Ok(held) => held,
            Err(exhausted) => return Ok(self.denied(DenialReason::BudgetExhausted(exhausted), known, now, &attempt)),
        };
        let charged = if charge.charges { self.inner.charge_all(&known, charge).await? } else { Ok(asked) };
        match charged {
            Ok(lefts) => self.granted(Grant { id, known, at: now, place, lefts, hold: Some(Arc::new(hold)) }, &attempt).await,
            Err(exhausted) => Ok(self.limited(exhausted, known, now, &attempt)),
        }
    }

    async fn hold(
        &self,
        known: &Known,
        now: Timestamp,
        unit: &Unit,
        amount: u64,
        holds: bool,
    ) -> Result<Result<(GrantId, Hold), Box<BudgetExhausted>>, Fault> {
        let (grant, meter) = (GrantId::new(now), meter(&known.row.owner, known.row.id, unit, Day::of(now)));
        let metering = Arc::clone(&self.inner.metering);
        let unsettled = Unsettled { metering, grant, meter: meter.clone(), is_open: AtomicBool::new(false) };
        let mut reservation = Reservation { unit: unit.clone(), amount: 0, budgets: Vec::new() };
        if unit.is_requests() {
            return Ok(Ok((grant, Hold { unsettled, reservation })));
        }
        let defaults = BudgetOf::ALL.map(|of| self.inner.policy.budget(of, unit));
        let reserve = Arc::new(Reserve { grant, meter, amount, holds, defaults });
        unsettled.is_open.store(holds && amount > 0, Ordering::Relaxed);
        let answer = self.reserve_known(&reserve).await;
        // Nothing was reserved. Where that is not known, what comes of dropping this frees it.
        if matches!(answer, Err(StoreError::Unavailable { .. } | StoreError::Corrupt { .. })) {
            unsettled.close();
        }
        let Reserved { outcome, states } = answer?;
        match outcome {
            Reserving::Hold | Reserving::Held => reservation.amount = amount,
            Reserving::Pass => unsettled.close(),
            Reserving::Refuse => {
                unsettled.close();
                let refuses = states.into_iter().filter(|state| !reserve.fits(state));
                // Of several the one that lasts longest, and for ever longer than that.
                let last =
                    refuses.max_by_key(|state| (state.budget.amount() < amount, state.refills_at.is_none(), state.refills_at));
                let what = "reserving: the store refused without a reason";
                let state = last.ok_or(StoreError::Unavailable { what, source: None })?;
                return Ok(Err(Box::new(BudgetExhausted { asked: amount, state })));
            }
        }
        reservation.budgets = states;
        Ok(Ok((grant, Hold { unsettled, reservation })))
    }

    /// Asks again where the answer was lost: the store knows the reservation by its grant.
    async fn reserve_known(&self, reserve: &Arc<Reserve>) -> Result<Reserved, StoreError> {
        let mut unknown = None;
        for _ in 0..=MAX_RERUNS {
            match self.inner.store.reserve(Arc::clone(reserve)).await {
                Err(error @ StoreError::OutcomeUnknown { .. }) => unknown = Some(error),
                // After an unknown outcome, that the store is away now does not tell what happened before.
                Err(error) if unknown.is_some() => return Err(StoreError::OutcomeUnknown { source: Some(error.into()) }),
                answer => return answer,
            }
        }
        Err(unknown.unwrap_or(StoreError::OutcomeUnknown { source: None }))
    }

    /// Says how much a request that [reserved](Attempt::reserving) has used in all, at its end or where it was broken off: it is
    /// recorded as [`Clove::record`] does, and the rest of what was reserved is free again. More than was reserved counts too, and
    /// budgets may be overspent by it. Settled again, the largest amount counts, and nothing is freed twice.
    ///
    /// It waits in memory for the next flush, a second at most where [`Clove::maintenance`] runs; until then all of it is reserved. A
    /// process that is killed before leaves it so until the period ends.
    ///
    /// # Errors
    /// [`RecordError::NotReserved`] where the request said nothing of what it may use; otherwise as [`Clove::record`].
    pub fn settle(&self, grant: &Grant, used: u64) -> Result<(), RecordError> {
        let Reservation { unit, amount, .. } = grant.reservation().ok_or(RecordError::NotReserved)?;
        self.report_total(grant, unit, used, *amount > 0)
    }

    /// Settles as [`Clove::settle`] does, and returns when it is in the store, with all usage that waited before it.
    ///
    /// Dropping the future leaves it to the next flush.
    ///
    /// # Errors
    /// As [`Clove::settle`]; and [`RecordError::Store`] where the store fails: then it waits for the next flush.
    pub async fn settle_durably(&self, grant: &Grant, used: u64) -> Result<(), RecordError> {
        self.settle(grant, used)?;
        self.inner.flush_usage().await.map_err(RecordError::Store)
    }
}
