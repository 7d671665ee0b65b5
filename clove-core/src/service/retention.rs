//! Forgetting what is older than the policy keeps, slice by slice, so that no writer waits for long.

use super::Inner;
use crate::{clock::Timestamp, error::StoreError, store::Store};
use chrono::TimeDelta;

/// How many rows are forgotten in one transaction: commands wait for no more than that.
const SLICE: usize = 1024;
/// The most slices of each kind that one round of maintenance forgets.
const SLICES: usize = 32;

impl Inner {
    /// Forgets counts of past windows, the ledger of old grants, and what the logs need not keep any more; whether there may be more of it. What fails is
    /// told, and tried again.
    pub(super) async fn forget(&self, failed: &mut impl FnMut(StoreError)) -> bool {
        let (now, kept) = (self.clock.now(), self.policy.retention);
        let mut is_more = |forgotten: Result<usize, StoreError>| match forgotten {
            Ok(rows) => rows >= SLICE,
            Err(error) => {
                failed(error);
                false
            }
        };
        let mut more = is_more(self.store.forget_counts(now, SLICE).await);
        more |= is_more(self.forget_reports(SLICE).await);
        if let Some(before) = before(now, kept.access_log) {
            let mut slices = 0;
            while self.may_forget(&mut slices, &mut more) && is_more(self.store.forget_access(before, SLICE).await) {}
        }
        if let Some(before) = before(now, kept.audit) {
            let mut slices = 0;
            while self.may_forget(&mut slices, &mut more) && is_more(self.store.forget_audit(before, SLICE).await) {}
        }
        more
    }

    /// Whether there is time for one more slice; where not, the next round goes on. Entries that wait to be written come first.
    fn may_forget(&self, slices: &mut usize, more: &mut bool) -> bool {
        let may = *slices < SLICES && !self.log.press.is_pressed();
        *slices += 1;
        *more |= !may;
        may
    }
}

fn before(now: Timestamp, kept: Option<TimeDelta>) -> Option<Timestamp> {
    Timestamp::from_micros(now.as_micros().checked_sub(kept?.num_microseconds()?)?)
}
