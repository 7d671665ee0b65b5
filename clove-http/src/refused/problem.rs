//! A refusal as problem details.

use super::Refused;
use crate::{
    limits::{self, timestamp},
    problem::Problem,
};
use clove_core::{BudgetOf, Capability, Denial, DenialReason};
use http::StatusCode;

impl From<&Refused> for Problem {
    fn from(refused: &Refused) -> Self {
        let (kind, title) = match refused {
            Refused::NoCredential => ("no-credential", "No API key was presented"),
            Refused::Ambiguous(_) => ("ambiguous-credential", "It cannot be told which API key was meant"),
            Refused::Failed(_) if refused.status() == StatusCode::INTERNAL_SERVER_ERROR => {
                ("key-unreadable", "The API key cannot be read")
            }
            Refused::Failed(_) => ("verification-unavailable", "API keys cannot be checked just now"),
            Refused::Denied(denial) => kind(denial.reason()),
        };
        let problem = Self::new(refused.status(), kind, title, refused.to_string());
        match refused {
            Refused::Denied(denial) => with_facts(problem, denial),
            _ => problem,
        }
    }
}

fn kind(reason: &DenialReason) -> (&'static str, &'static str) {
    match reason {
        DenialReason::NotRecognized => ("key-not-recognized", "The API key is not valid"),
        DenialReason::OwnerClosed => ("key-owner-closed", "The account of the API key is closed"),
        DenialReason::Suspended => ("key-suspended", "The API key is disabled"),
        DenialReason::Expired { .. } => ("key-expired", "The API key has expired"),
        DenialReason::Compromised => ("key-compromised", "The API key is known to others"),
        DenialReason::Revoked => ("key-revoked", "The API key is revoked"),
        DenialReason::CapabilityMissing { .. } => ("capability-missing", "The API key may not do this"),
        DenialReason::LimitReached(_) => ("window-exhausted", "Too many requests"),
        DenialReason::BudgetExhausted(_) => ("budget-exhausted", "The budget is spent"),
        _ => ("key-refused", "The API key is refused"),
    }
}

fn with_facts(problem: Problem, denial: &Denial) -> Problem {
    let problem = match denial.key_id() {
        Some(id) => problem.with("key_id", id.to_string()),
        None => problem,
    };
    match denial.reason() {
        DenialReason::Expired { at: Some(at) } => problem.with("expired_at", timestamp(*at)),
        DenialReason::CapabilityMissing { missing } => {
            problem.with("missing", missing.iter().map(Capability::as_str).collect::<Vec<_>>())
        }
        DenialReason::LimitReached(exhausted) => {
            let name = limits::name(exhausted.of, exhausted.window);
            let problem = problem.with("violated-policies", vec![name]).with("left", exhausted.left);
            match exhausted.retry_at {
                Some(at) => problem.with("retry_at", timestamp(at)),
                None => problem,
            }
        }
        DenialReason::BudgetExhausted(exhausted) => {
            let state = &exhausted.state;
            let problem = problem
                .with("unit", state.unit.as_str())
                .with("of", whose(state.of))
                .with("amount", state.budget.amount())
                .with("left", state.left())
                .with("asked", exhausted.asked);
            match state.refills_at {
                Some(at) => problem.with("refills_at", timestamp(at)),
                None => problem,
            }
        }
        _ => problem,
    }
}

fn whose(of: BudgetOf) -> &'static str {
    match of {
        BudgetOf::Key => "key",
        BudgetOf::Account => "account",
        BudgetOf::Organization => "organization",
    }
}
