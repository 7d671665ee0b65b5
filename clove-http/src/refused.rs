//! Why a request is refused.

mod challenge;
mod headers;
mod problem;

pub use headers::X_SHOULD_RETRY;

use chrono::{DateTime, Utc};
use clove_core::{BudgetExhausted, Denial, DenialReason, Exhausted, Fault, StoreError, Verdict};
use http::StatusCode;
use std::fmt;

/// After how many seconds to try again where nothing could be said of the credential.
const SOON: u64 = 1;

/// A request that does not go on, and why.
#[derive(Debug)]
#[non_exhaustive]
pub enum Refused {
    /// No credential was presented.
    NoCredential,
    /// It cannot be told which credential was meant, or it stands where none belongs.
    Ambiguous(Ambiguity),
    /// The credential was judged, and does not suffice.
    Denied(Denial),
    /// Nothing can be said of the credential. Its cause is for the host's eyes; a client is told only that it failed.
    Failed(Fault),
}

/// Why it cannot be told which credential was meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ambiguity {
    /// `x-api-key` or `Authorization` was sent twice.
    RepeatedHeader,
    /// A header holds several values, joined by a comma.
    JoinedHeader,
    /// `x-api-key` and `Authorization` hold different ones.
    TwoCredentials,
    /// One is in the query string.
    InQuery,
}

impl Refused {
    /// The status of the response.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoCredential => StatusCode::UNAUTHORIZED,
            Self::Ambiguous(_) => StatusCode::BAD_REQUEST,
            Self::Denied(denial) => match denial.reason() {
                DenialReason::CapabilityMissing { .. } => StatusCode::FORBIDDEN,
                DenialReason::LimitReached(_) | DenialReason::BudgetExhausted(_) => StatusCode::TOO_MANY_REQUESTS,
                _ => StatusCode::UNAUTHORIZED,
            },
            Self::Failed(Fault::Store(StoreError::Corrupt { .. })) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Failed(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// In how many seconds to try again, rounded up and at least 1; `None` where that is of no use, or not known.
    #[must_use]
    pub fn retry_after(&self, now: DateTime<Utc>) -> Option<u64> {
        match self {
            Self::Failed(_) => (self.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(SOON),
            _ => self.window().and_then(|window| window.retry_at).map(|at| seconds_until(at, now).max(1)),
        }
    }

    /// Whether the same request may have another answer before long, without anybody doing something about it.
    #[must_use]
    pub fn is_worth_retrying(&self) -> bool {
        match self {
            Self::Failed(_) => true,
            _ => self.window().is_some_and(|window| window.retry_at.is_some()),
        }
    }

    /// The window that has no place left, if that is why.
    #[must_use]
    pub fn window(&self) -> Option<&Exhausted> {
        match self {
            Self::Denied(denial) => match denial.reason() {
                DenialReason::LimitReached(exhausted) => Some(exhausted),
                _ => None,
            },
            _ => None,
        }
    }

    /// The budget that is spent, if that is why.
    #[must_use]
    pub fn budget(&self) -> Option<&BudgetExhausted> {
        match self {
            Self::Denied(denial) => match denial.reason() {
                DenialReason::BudgetExhausted(exhausted) => Some(exhausted),
                _ => None,
            },
            _ => None,
        }
    }

    pub(crate) fn unless_granted(verdict: Verdict) -> Result<clove_core::Grant, Self> {
        match verdict {
            Verdict::Granted(grant) => Ok(grant),
            Verdict::Denied(denial) => Err(Self::Denied(denial)),
        }
    }
}

/// Whole seconds, rounded up.
pub(crate) fn seconds_until(at: DateTime<Utc>, now: DateTime<Utc>) -> u64 {
    let millis = (at - now).num_microseconds().unwrap_or(i64::MAX);
    u64::try_from(millis).unwrap_or(0).div_ceil(1_000_000)
}

impl fmt::Display for Refused {
    /// A sentence for the client: what is wrong and what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCredential => {
                f.write_str("No API key was presented. Send it in the x-api-key header, or as a bearer token in Authorization.")
            }
            Self::Ambiguous(ambiguity) => ambiguity.fmt(f),
            Self::Denied(denial) => denial.fmt(f),
            Self::Failed(_) if self.status() == StatusCode::INTERNAL_SERVER_ERROR => {
                f.write_str("What is stored of this API key cannot be read. Ask an administrator.")
            }
            Self::Failed(_) => f.write_str("The API key could not be checked just now. Try again shortly."),
        }
    }
}

impl fmt::Display for Ambiguity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RepeatedHeader => "A header with an API key was sent twice. Send it once.",
            Self::JoinedHeader => "A header with an API key holds several values. Send one.",
            Self::TwoCredentials => "The x-api-key and Authorization headers hold different API keys. Send one of them.",
            Self::InQuery => "An API key does not belong in the address. Send it in the x-api-key header, and replace this one.",
        })
    }
}

impl std::error::Error for Refused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed(fault) => Some(fault),
            _ => None,
        }
    }
}

impl From<Ambiguity> for Refused {
    fn from(ambiguity: Ambiguity) -> Self {
        Self::Ambiguous(ambiguity)
    }
}

impl From<Denial> for Refused {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}
