//! Forgetting what is older than the policy keeps, slice by slice, so that no writer waits for long.

use super::Inner;
use crate::{clock::Timestamp, error::StoreError, store::Store};
use chrono::TimeDelta;

/// How many rows are forgotten in one transaction: commands wait for no more than that.
const SLICE: usize = 1024;
/// The most slices of each kind that one round of maintenance forgets.
const SLICES: usize = 32;

impl Inner {
    /// Forgets counts of past windows, and what the logs need not keep any more; whether there may be more of it. What fails is
    /// told, and tried again.
    pub(super) async fn forget(&self, failed: &mut impl FnMut(StoreError)) -> bool {
        let (now, kept) = (self.clock.now(), self.policy.retention);
        let mut more = false;
        let mut told = |result: Result<usize, StoreError>| {
            let forgotten = result.unwrap_or_else(|error| {
                failed(error);
                0
            });
            more |= forgotten >= SLICE;
            forgotten >= SLICE
        };
        told(self.store.forget_counts(now, SLICE).await);
        if let Some(before) = before(now, kept.access_log) {
            for _ in 0..SLICES {
                if !told(self.store.forget_access(before, SLICE).await) || self.log.press.is_pressed() {
                    break;
                }
            }
        }
        if let Some(before) = before(now, kept.audit) {
            for _ in 0..SLICES {
                if !told(self.store.forget_audit(before, SLICE).await) || self.log.press.is_pressed() {
                    break;
                }
            }
        }
        more
    }
}

fn before(now: Timestamp, kept: Option<TimeDelta>) -> Option<Timestamp> {
    Timestamp::from_micros(now.as_micros().checked_sub(kept?.num_microseconds()?)?)
}
