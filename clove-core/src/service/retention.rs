//! Forgetting what is older than the policy keeps, slice by slice, so that no writer waits for long.

use super::Inner;
use crate::{clock::Timestamp, error::StoreError, store::Store};
use chrono::TimeDelta;

/// How many rows are forgotten in one transaction: commands wait for no more than that.
const SLICE: usize = 1024;
/// The most slices of each kind that one round of maintenance forgets.
const SLICES: usize = 32;

impl Inner {
    /// Forgets counts of past windows, the ledger of old grants, and what the logs need not keep any more; whether there may be more of
    /// it. What fails is told, and tried again.
    pub(super) async fn forget(&self, failed: &mut impl FnMut(StoreError)) -> bool {
        let (now, kept, store) = (self.now(), self.policy.retention, &self.store);
        let mut more =
            self.forget_slices("forgetting counts of windows: no answer", || store.forget_counts(now, SLICE), failed).await;
        more |= self.forget_slices("forgetting what was reported: no answer", || self.forget_reports(SLICE), failed).await;
        if let Some(before) = before(now, kept.access_log) {
            more |=
                self.forget_slices("forgetting the access log: no answer", || store.forget_access(before, SLICE), failed).await;
        }
        if let Some(before) = before(now, kept.audit) {
            more |=
                self.forget_slices("forgetting the audit trail: no answer", || store.forget_audit(before, SLICE), failed).await;
        }
        more
    }

    /// Forgets of one kind while there is more, and time for it; where there is not, the next round goes on. Entries that wait to be
    /// written come first.
    async fn forget_slices<F>(&self, no_answer: &'static str, slice: impl Fn() -> F, failed: &mut impl FnMut(StoreError)) -> bool
    where
        F: Future<Output = Result<usize, StoreError>>,
    {
        for _ in 0..SLICES {
            if self.log.press.is_pressed() {
                return true;
            }
            match self.part(no_answer, slice()).await {
                Ok(rows) if rows >= SLICE => {}
                Ok(_) => return false,
                Err(error) => {
                    failed(error);
                    return false;
                }
            }
        }
        true
    }
}

fn before(now: Timestamp, kept: Option<TimeDelta>) -> Option<Timestamp> {
    Timestamp::from_micros(now.as_micros().checked_sub(kept?.num_microseconds()?)?)
}
