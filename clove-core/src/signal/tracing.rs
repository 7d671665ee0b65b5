//! Signals as events of `tracing`.

use super::{Observer, Signal, names};
use crate::{
    error::Fault,
    verdict::{Denial, DenialReason},
};
use std::fmt;
use tracing::{Level, event};

/// Tells signals to the subscriber of `tracing`, as events of the target `clove`; the [module](crate::signal) names them.
///
/// What a client can cause at will is at `TRACE` or `DEBUG`, so that nobody fills a log by asking; what is told once a window, key or
/// minute is at `INFO` or `WARN`; and at `ERROR` are faults that will not pass by themselves.
///
/// Of a failing store the event has clove's own words, and not the driver's: those are in the [`Fault`] that the caller gets.
#[derive(Clone, Copy, Debug, Default)]
pub struct TracingObserver;

impl TracingObserver {
    /// The observer.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Observer for TracingObserver {
    fn signal(&self, signal: &Signal<'_>) {
        match *signal {
            Signal::Granted { grant, .. } => event!(
                name: "clove.granted",
                target: "clove",
                Level::TRACE,
                grant_id = %grant.id(),
                key_id = %grant.key_id(),
                organization = %grant.owner().organization,
                account = %grant.owner().account,
                uncounted = grant.is_uncounted(),
                "an API key was granted a request"
            ),
            Signal::Denied { denial, .. } => denied(denial),
            Signal::Faulted { fault, .. } => faulted(fault),
            Signal::LimitNear { key, owner, limit } => event!(
                name: "clove.limit_near",
                target: "clove",
                Level::INFO,
                key_id = %key,
                organization = %owner.organization,
                account = %owner.account,
                limit = names::side(limit.of),
                window_count = limit.window.count(),
                window_seconds = limit.window.seconds(),
                left = limit.left,
                resets_at = %limit.resets_at.to_rfc3339(),
                "a request limit is near"
            ),
            Signal::BudgetThreshold { key, owner, budget, percent } => event!(
                name: "clove.budget_threshold",
                target: "clove",
                Level::INFO,
                key_id = %key,
                organization = %owner.organization,
                account = %owner.account,
                budget = names::budget(budget.of),
                unit = %budget.unit,
                amount = budget.budget.amount(),
                settled = budget.settled,
                reserved = budget.reserved,
                percent,
                refills_at = budget.refills_at.map(|at| at.to_rfc3339()),
                "a budget has passed a threshold"
            ),
            Signal::KeyExpiring { key, owner, expires_at } => event!(
                name: "clove.key_expiring",
                target: "clove",
                Level::INFO,
                key_id = %key,
                organization = %owner.organization,
                account = %owner.account,
                expires_at = %expires_at.to_rfc3339(),
                "an API key is about to expire"
            ),
            Signal::FlaggedKeyUsed { key, owner } => event!(
                name: "clove.flagged_key_used",
                target: "clove",
                Level::WARN,
                key_id = %key,
                organization = %owner.organization,
                account = %owner.account,
                "an API key that is flagged as compromised was presented"
            ),
            Signal::RefusalBurst { of, key, owner, refusals } => event!(
                name: "clove.refusal_burst",
                target: "clove",
                Level::WARN,
                of = names::side(of),
                key_id = %key,
                organization = %owner.organization,
                account = %owner.account,
                refusals,
                "many requests were refused within a minute"
            ),
            Signal::MaintenanceFailed { error } => event!(
                name: "clove.maintenance_failed",
                target: "clove",
                Level::WARN,
                error = %error,
                "maintenance could not do part of its work, and will try again"
            ),
            Signal::Lost { count } => event!(
                name: "clove.signals_lost",
                target: "clove",
                Level::WARN,
                count,
                "signals were lost"
            ),
        }
    }
}

/// Without a proven secret, denials are noise that anybody can make.
fn denied(denial: &Denial) {
    let reason = names::reason(denial.reason());
    let (Some(key), Some(owner)) = (denial.key_id(), denial.owner()) else {
        event!(name: "clove.not_recognized", target: "clove", Level::TRACE, "a credential was not recognized");
        return;
    };
    let limit = match denial.reason() {
        DenialReason::LimitReached(exhausted) => Some(names::side(exhausted.of)),
        _ => None,
    };
    let budget = match denial.reason() {
        DenialReason::BudgetExhausted(exhausted) => Some(names::budget(exhausted.state.of)),
        _ => None,
    };
    event!(
        name: "clove.denied",
        target: "clove",
        Level::DEBUG,
        reason,
        key_id = %key,
        organization = %owner.organization,
        account = %owner.account,
        limit,
        budget,
        "a request with an API key was denied"
    );
}

/// What a load can cause passes with it; the rest is for an operator.
fn faulted(fault: &Fault) {
    let (name, error) = (names::fault(fault), Own(fault));
    match fault {
        Fault::Overloaded | Fault::DeadlineExceeded { .. } => {
            event!(name: "clove.overloaded", target: "clove", Level::WARN, fault = name, error = %error, "a verification gave up");
        }
        _ => event!(name: "clove.faulted", target: "clove", Level::ERROR, fault = name, error = %error, "a verification failed"),
    }
}

/// A fault in clove's own words.
struct Own<'a>(&'a Fault);

impl fmt::Display for Own<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Fault::Store(error) => write!(f, "{}: {error}", self.0),
            fault => write!(f, "{fault}"),
        }
    }
}
