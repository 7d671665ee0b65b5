//! How long logs are kept.

use crate::{error::Invalid, expiry::MAX_DAYS};
use chrono::TimeDelta;

/// How long the access log and the audit trail are kept; `None` is for ever. Each 1 to 36,500 days.
///
/// [`Clove::maintenance`](crate::Clove::maintenance) forgets what is older, within a minute, in slices of 1,024 rows that hold no
/// writer up. It goes by the clock: one that is a year ahead forgets as if the year had passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Retention {
    /// Entries of the access log, and the hourly counts beside it. 90 days by default; kept up also where the log is off, for what
    /// was written before.
    pub access_log: Option<TimeDelta>,
    /// Events of the audit trail. For ever by default.
    ///
    /// An event is what is left of a key that was deleted, and what makes an operation id known: a command that is repeated under
    /// one whose event was forgotten is carried out as a new one. So none is forgotten within a day, and the time should be longer
    /// than any retry of the host's.
    pub audit: Option<TimeDelta>,
}

impl Default for Retention {
    /// 90 days of the access log, and the audit trail for ever.
    fn default() -> Self {
        Self { access_log: Some(TimeDelta::days(90)), audit: None }
    }
}

impl Retention {
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        let range = TimeDelta::days(1)..=TimeDelta::days(MAX_DAYS.into());
        for (field, kept) in [("retention of the access log", self.access_log), ("retention of the audit trail", self.audit)] {
            if let Some(kept) = kept.filter(|kept| !range.contains(kept)) {
                let rule = "must be 1 to 36500 days, or None to keep it for ever";
                return Err(Invalid::new(field, rule, format!("{} seconds", kept.num_seconds())));
            }
        }
        Ok(())
    }
}
