//! What a command that did not succeed is answered.

use super::Problem;
use crate::refused::seconds_until;
use clove_core::{Error, Fault, Invalid, Refusal, StoreError};
use http::StatusCode;

/// After how many seconds to try again where the store failed.
const SOON: u64 = 1;

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        match error {
            Error::Invalid(invalid) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-argument", "An argument breaks a rule", sentence(invalid))
                    .with("field", invalid.field)
            }
            Error::Refused(refusal) => refusal.into(),
            Error::Store(StoreError::Corrupt { .. }) | Error::System { .. } => Self::failed(),
            Error::OutcomeUnknown { .. } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "outcome-unknown",
                "Nobody knows whether it was done",
                "The key store did not say whether it was done. Look whether it was, or repeat the same request with the same Idempotency-Key.",
            )
            .retry_after(SOON),
            Error::Fault(Fault::Store(StoreError::Corrupt { .. }) | Fault::System { .. } | Fault::UnknownPepper { .. }) => Self::failed(),
            _ => Self::unavailable(),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        (&error).into()
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        Error::from(invalid).into()
    }
}

impl From<&Refusal> for Problem {
    fn from(refusal: &Refusal) -> Self {
        let (status, kind, title) = match refusal {
            Refusal::NotFound => (StatusCode::NOT_FOUND, "not-found", "There is no such key here"),
            Refusal::LimitReached { .. } => (StatusCode::CONFLICT, "active-limit", "All places for active keys are taken"),
            Refusal::TooManyRecords { .. } => (StatusCode::CONFLICT, "record-limit", "There are too many records of keys"),
            Refusal::TooManyCreations { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "creation-limit", "Too many keys were created today")
            }
            Refusal::OwnerClosed => (StatusCode::CONFLICT, "owner-closed", "The account or its organization is closed"),
            Refusal::NotAllowed { .. } => (StatusCode::CONFLICT, "not-allowed", "The status of the key does not allow this"),
            Refusal::RevisionConflict { .. } => {
                (StatusCode::PRECONDITION_FAILED, "revision-conflict", "The key has changed since it was read")
            }
            Refusal::BeyondAuthority { .. } => (StatusCode::FORBIDDEN, "beyond-authority", "You may not grant this capability"),
            Refusal::MayNotSetLimits => (StatusCode::FORBIDDEN, "may-not-set-limits", "You may not choose request limits"),
            Refusal::OperationReused { .. } => {
                (StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-reused", "The Idempotency-Key was used for another request")
            }
            Refusal::Unreadable { .. } | Refusal::FlagUnreadable => {
                (StatusCode::CONFLICT, "unreadable", "What is stored cannot be read")
            }
            _ => (StatusCode::CONFLICT, "refused", "The request was refused"),
        };
        let detail = match refusal {
            Refusal::OperationReused { .. } => {
                "This Idempotency-Key was sent with another request before. Choose a new one for a new request.".to_owned()
            }
            refusal => sentence(refusal),
        };
        let problem = Self::new(status, kind, title, detail);
        match refusal {
            Refusal::LimitReached { active, limit } => problem.with("active", *active).with("limit", *limit),
            Refusal::TooManyRecords { records, limit } => problem.with("records", *records).with("limit", *limit),
            Refusal::TooManyCreations { limit, resets_at } => {
                problem.with("limit", *limit).retry_after(seconds_until(*resets_at, chrono::Utc::now()))
            }
            Refusal::NotAllowed { status, offered, .. } => {
                let offered: Vec<&str> = offered.iter().map(|action| action.as_str()).collect();
                problem.with("key_status", status.to_string().to_lowercase()).with("offered", offered)
            }
            Refusal::RevisionConflict { found, .. } => problem.with("revision", *found),
            Refusal::BeyondAuthority { capability } => problem.with("capability", capability.as_str()),
            _ => problem,
        }
    }
}

impl Problem {
    fn unavailable() -> Self {
        let detail = "The key store did not answer. Nothing was changed; try again.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "The key store is unavailable", detail).retry_after(SOON)
    }

    fn failed() -> Self {
        let detail = "What is stored cannot be read or made. Ask an administrator.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", "The key store failed", detail)
    }
}

/// A message with a capital letter and a full stop.
pub(crate) fn sentence(message: impl std::fmt::Display) -> String {
    let text = message.to_string();
    let mut chars = text.chars();
    let first: String = chars.next().map(|first| first.to_uppercase().collect()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}
