//! Sliding windows that processes share: charged in the store, once a request.
//!
//! What this process knows is asked first, so that a request which it refuses asks no store; then the store charges the sliding
//! windows of key and account, all or none; and then this process charges its own. Where the last place of one of those was taken in
//! between, what the store charged is given back.

use super::{
    Inner, Lefts,
    buffers::Buffers,
    charge::{Charge, Step},
    known::Known,
};
use crate::{
    error::{Fault, StoreError},
    limit::{Subject, Window},
    store::{SlidingCharge, Store, Unspent},
    sync::Arc,
    verdict::{Exhausted, Limited},
};
use futures_util::future::TryFutureExt;

impl Inner {
    /// Charges all windows of a key and its account or none, whatever has to be waited for.
    pub(super) async fn charge_all(&self, known: &Arc<Known>, charge: Charge) -> Result<Result<Lefts, Exhausted>, Fault> {
        if known.plan.slides_shared { self.charge_shared(known, charge).await } else { self.charge_here(known, charge).await }
    }

    async fn charge_here(&self, known: &Arc<Known>, charge: Charge) -> Result<Result<Lefts, Exhausted>, Fault> {
        let mut lefts = Lefts::default();
        match self.try_charge(known, charge, &mut lefts) {
            Step::Charged { .. } => Ok(Ok(lefts)),
            Step::Refused(exhausted) => Ok(Err(exhausted)),
            Step::Waits(flight) => self.charge_when_known(known, charge, flight).await,
        }
    }

    async fn charge_shared(&self, known: &Arc<Known>, charge: Charge) -> Result<Result<Lefts, Exhausted>, Fault> {
        let asked = match self.charge_here(known, Charge { charges: false, ..charge }).await? {
            Ok(lefts) => lefts,
            Err(exhausted) => return Ok(Err(exhausted)),
        };
        let sliding = sliding_windows(known);
        let asks = SlidingCharge {
            at: charge.now,
            places: charge.cost,
            charges: charge.charges,
            windows: sliding.iter().map(|(subject, _, _, window)| (subject.clone(), *window)).collect(),
        };
        let asks = Arc::new(asks);
        let charged = match self.in_time(self.store.charge_sliding(Arc::clone(&asks)).map_err(Arc::new)).await {
            Ok(charged) => charged,
            Err(_) if self.may_go_uncounted(charge) => return Ok(Ok(self.uncounted(known, charge))),
            Err(error) => return Err(StoreError::unavailable("charging sliding windows", error).into()),
        };
        let taken = Taken { buffers: &self.buffers, asks: &asks, is_open: charged.is_charged };
        let states = || sliding.iter().zip(&charged.windows);
        let exhausted = states().filter(|(_, state)| state.lacks).map(|((_, of, _, window), state)| Exhausted {
            of: *of,
            window: *window,
            left: state.left,
            retry_at: state.again_at.map(Into::into),
        });
        if let Some(exhausted) = exhausted.max_by_key(Exhausted::lasts) {
            return Ok(Err(exhausted));
        }
        let here = if charge.charges { self.charge_here(known, charge).await? } else { Ok(asked) };
        let mut lefts = match here {
            Ok(lefts) => lefts,
            Err(exhausted) => {
                taken.give_back(&*self.store).await;
                return Ok(Err(exhausted));
            }
        };
        taken.keep();
        for ((_, of, place, _), state) in states() {
            let lefts = if *of == Limited::Key { &mut lefts.key } else { &mut lefts.account };
            if let Some(left) = lefts.get_mut(*place) {
                *left = state.left;
            }
        }
        Ok(Ok(lefts))
    }
}

/// The windows of a key and its account that slide for all processes together: whose, and the place of each among its limits.
fn sliding_windows(known: &Known) -> Vec<(Subject, Limited, usize, Window)> {
    let sides =
        [(Limited::Key, &known.tally.subject, &known.plan.key), (Limited::Account, &known.account.subject, &known.plan.account)];
    let mut all = Vec::new();
    for (of, subject, limits) in sides {
        all.extend(limits.slide_shared().map(|(place, window)| (subject.clone(), of, place, window)));
    }
    all
}

/// What the store has charged. Unless it is kept, it is given back: by whoever waits, or later where nobody does.
struct Taken<'a> {
    buffers: &'a Buffers,
    asks: &'a SlidingCharge,
    is_open: bool,
}

impl Taken<'_> {
    fn keep(mut self) {
        self.is_open = false;
    }

    async fn give_back(mut self, store: &dyn Store) {
        // Only what was certainly not given back may be given back again.
        let given = store.give_back(&self.places()).await;
        self.is_open = matches!(given, Err(StoreError::Unavailable { .. }));
    }

    fn places(&self) -> Vec<Unspent> {
        let SlidingCharge { at, places, windows, .. } = self.asks;
        let unspent = |(subject, window): &(Subject, Window)| Unspent {
            subject: subject.clone(),
            seconds: window.seconds(),
            start: *at,
            places: *places,
        };
        windows.iter().filter(|_| self.is_open).map(unspent).collect()
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.buffers.add_unspent(self.places());
    }
}
