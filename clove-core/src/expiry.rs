//! When keys expire, and what there is to choose from.

use crate::error::Invalid;
use chrono::{DateTime, TimeDelta, Utc};

/// The longest life of a key, in days.
pub const MAX_DAYS: u32 = 36_500;

/// When a key is to expire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Expiry {
    /// So many days after its creation.
    Days(u32),
    /// At this time.
    At(DateTime<Utc>),
    /// Never.
    Never,
}

impl Expiry {
    /// In a form that stays, for the fingerprint of a command's arguments.
    pub(crate) fn to_argument(self) -> String {
        match self {
            Self::Days(days) => format!("{days} days"),
            Self::At(at) => format!("at {}", at.timestamp_micros()),
            Self::Never => "never".to_owned(),
        }
    }
}

/// Which expiries may be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpiryPolicy {
    /// The days to choose from, each 1 to 36,500.
    pub days: Vec<u32>,
    /// What is chosen for who chooses nothing.
    pub default: Expiry,
    /// Also any number of whole days, or a time, in this range of days from the creation.
    pub custom: Option<(u32, u32)>,
    /// Also never.
    pub never: bool,
}

impl Default for ExpiryPolicy {
    /// 30, 60, 90, 180 or 365 days, 90 unless chosen.
    fn default() -> Self {
        Self { days: vec![30, 60, 90, 180, 365], default: Expiry::Days(90), custom: None, never: false }
    }
}

impl ExpiryPolicy {
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        let in_range = |days: u32| (1..=MAX_DAYS).contains(&days);
        if !self.days.iter().copied().all(in_range) {
            return Err(Invalid::new("expiry days", "must each be 1 to 36500", format!("{} choices", self.days.len())));
        }
        if self.custom.is_some_and(|(least, most)| !in_range(least) || !in_range(most) || least > most) {
            return Err(Invalid::new("custom expiry", "must be a range within 1 to 36500 days", "a range outside it"));
        }
        if matches!(self.default, Expiry::At(_)) || self.resolve(self.default, DateTime::UNIX_EPOCH).is_err() {
            return Err(Invalid::new("default expiry", "must be one of those allowed, in days or never", "another"));
        }
        Ok(())
    }

    /// The time at which a key created at `now` expires.
    ///
    /// # Errors
    /// If the choice is not allowed.
    pub fn resolve(&self, choice: Expiry, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, Invalid> {
        let days_after = |days: u32| now.checked_add_signed(TimeDelta::days(days.into()));
        let refused = |size: String| Err(Invalid::new("expiry", format!("must be {}", self.choices()), size));
        match choice {
            Expiry::Never if self.never => Ok(None),
            Expiry::Never => refused("never".into()),
            Expiry::Days(days) => {
                let allowed =
                    self.days.contains(&days) || self.custom.is_some_and(|(least, most)| (least..=most).contains(&days));
                match days_after(days).filter(|_| allowed) {
                    Some(at) => Ok(Some(at)),
                    None => refused(format!("{days} days")),
                }
            }
            Expiry::At(at) => match self.custom {
                Some((least, most)) if days_after(least) <= Some(at) && days_after(most).is_some_and(|last| at <= last) => {
                    Ok(Some(at))
                }
                _ => refused(format!("{} seconds from now", (at - now).num_seconds())),
            },
        }
    }

    fn choices(&self) -> String {
        let mut choices: Vec<String> = self.days.iter().map(|days| format!("{days} days")).collect();
        if let Some((least, most)) = self.custom {
            choices.push(format!("{least} to {most} days"));
        }
        if self.never {
            choices.push("never".into());
        }
        choices.join(", ")
    }
}
