//! From when on something is worth a signal.

use crate::error::Invalid;
use chrono::TimeDelta;

/// The longest notice of an expiry, in days.
const MAX_NOTICE_DAYS: i64 = 366;

/// From when on something is worth a signal. Given to [`PolicyBuilder::signals`](crate::policy::PolicyBuilder::signals).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalThresholds {
    /// How much of a window's requests are used when its limit is near, in percent, 1 to 100; 80 unless set.
    pub limit_near: u8,
    /// How much of a budget is used or reserved when that is told, in percent, 1 to 100; 80 unless set. That all of it is, is told in
    /// any case.
    pub budget_near: u8,
    /// How many refusals of one key, or of one owner's keys, make a burst where they fall within a minute; at least 1, and 20 unless
    /// set.
    pub refusals_a_minute: u32,
    /// How long before a key expires that is told, 0 to 366 days; 7 days unless set, and 0 is never.
    pub expiry_notice: TimeDelta,
}

impl Default for SignalThresholds {
    fn default() -> Self {
        Self { limit_near: 80, budget_near: 80, refusals_a_minute: 20, expiry_notice: TimeDelta::days(7) }
    }
}

impl SignalThresholds {
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        for (field, percent) in [("limit_near", self.limit_near), ("budget_near", self.budget_near)] {
            if !(1..=100).contains(&percent) {
                return Err(Invalid::new(field, "must be 1 to 100 percent", percent.to_string()));
            }
        }
        if self.refusals_a_minute == 0 {
            return Err(Invalid::new("refusals_a_minute", "must be at least 1", "0"));
        }
        if self.expiry_notice < TimeDelta::zero() || self.expiry_notice > TimeDelta::days(MAX_NOTICE_DAYS) {
            let size = format!("{} days", self.expiry_notice.num_days());
            return Err(Invalid::new("expiry_notice", "must be 0 to 366 days", size));
        }
        Ok(())
    }
}
