//! Signals as counts of `metrics`.

use super::{Observer, Signal, names};
use crate::verdict::DenialReason;
use metrics::{Counter, Histogram, Unit, counter, describe_counter, describe_histogram, histogram};
use std::{fmt, sync::OnceLock, time::Duration};

const OUTCOMES: &[&str] = &["granted", "denied", "fault"];

/// Counts signals with the recorder of `metrics`; the [module](crate::signal) names the metrics. Labels are words of closed sets, and
/// never an id, so that the number of series is fixed.
///
/// It turns to the recorder at the first signal, and stays with it: install the recorder before the first verification.
#[derive(Default)]
pub struct MetricsObserver {
    series: OnceLock<Series>,
}

impl MetricsObserver {
    /// The observer.
    #[must_use]
    pub const fn new() -> Self {
        Self { series: OnceLock::new() }
    }
}

impl fmt::Debug for MetricsObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsObserver").finish_non_exhaustive()
    }
}

impl Observer for MetricsObserver {
    fn signal(&self, signal: &Signal<'_>) {
        let series = self.series.get_or_init(Series::new);
        match *signal {
            Signal::Granted { grant, took } => {
                series.ended("granted", took);
                if grant.is_uncounted() {
                    series.uncounted.increment(1);
                }
            }
            Signal::Denied { denial, took } => {
                series.ended("denied", took);
                series.denials.increment(names::reason(denial.reason()));
                if let DenialReason::LimitReached(exhausted) = denial.reason() {
                    series.limit_denials.increment(names::side(exhausted.of));
                }
                if let DenialReason::BudgetExhausted(exhausted) = denial.reason() {
                    series.budget_denials.increment(names::budget(exhausted.state.of));
                }
            }
            Signal::Faulted { fault, took } => {
                series.ended("fault", took);
                series.faults.increment(names::fault(fault));
            }
            Signal::LimitNear { limit, .. } => series.limits_near.increment(names::side(limit.of)),
            Signal::BudgetThreshold { budget, .. } => series.budget_thresholds.increment(names::budget(budget.of)),
            Signal::KeyExpiring { .. } => series.keys_expiring.increment(1),
            Signal::FlaggedKeyUsed { .. } => series.flagged_keys_used.increment(1),
            Signal::RefusalBurst { of, .. } => series.refusal_bursts.increment(names::side(of)),
            Signal::MaintenanceFailed { .. } => series.maintenance_failures.increment(1),
            Signal::Lost { count } => series.signals_lost.increment(count),
        }
    }

    fn is_timed(&self) -> bool {
        true
    }
}

/// One metric's series, by the value of its one label.
struct Family<T>(Vec<(&'static str, T)>);

impl<T> Family<T> {
    fn of(values: &[&'static str], series: impl Fn(&'static str) -> T) -> Self {
        Self(values.iter().map(|value| (*value, series(value))).collect())
    }

    fn get(&self, value: &str) -> Option<&T> {
        self.0.iter().find(|(known, _)| *known == value).map(|(_, series)| series)
    }
}

impl Family<Counter> {
    fn increment(&self, value: &str) {
        self.get(value).into_iter().for_each(|counter| counter.increment(1));
    }
}

/// All series there ever are. Looked up once: a recorder's look-up costs as much as a verification.
struct Series {
    verifications: Family<Counter>,
    seconds: Family<Histogram>,
    denials: Family<Counter>,
    limit_denials: Family<Counter>,
    budget_denials: Family<Counter>,
    faults: Family<Counter>,
    uncounted: Counter,
    limits_near: Family<Counter>,
    budget_thresholds: Family<Counter>,
    keys_expiring: Counter,
    flagged_keys_used: Counter,
    refusal_bursts: Family<Counter>,
    maintenance_failures: Counter,
    signals_lost: Counter,
}

fn one(name: &'static str, meaning: &'static str) -> Counter {
    describe_counter!(name, Unit::Count, meaning);
    counter!(name)
}

fn family(name: &'static str, label: &'static str, values: &[&'static str], meaning: &'static str) -> Family<Counter> {
    describe_counter!(name, Unit::Count, meaning);
    Family::of(values, |value| counter!(name, label => value))
}

impl Series {
    fn new() -> Self {
        describe_histogram!("clove_verification_seconds", Unit::Seconds, "how long verifications took");
        Self {
            verifications: family("clove_verifications_total", "outcome", OUTCOMES, "verifications that ended"),
            seconds: Family::of(OUTCOMES, |outcome| histogram!("clove_verification_seconds", "outcome" => outcome)),
            denials: family("clove_denials_total", "reason", names::REASONS, "verifications that were denied"),
            limit_denials: family(
                "clove_limit_denials_total",
                "limit",
                names::SIDES,
                "denials for a request window, by whose it is",
            ),
            budget_denials: family(
                "clove_budget_denials_total",
                "budget",
                names::BUDGETS,
                "denials for a budget, by whose it is",
            ),
            faults: family("clove_faults_total", "fault", names::FAULTS, "verifications of which nothing could be said"),
            uncounted: one("clove_uncounted_grants_total", "grants that no window counted, as the policy allows for"),
            limits_near: family("clove_limits_near_total", "limit", names::SIDES, "request windows that came near their limit"),
            budget_thresholds: family(
                "clove_budget_thresholds_total",
                "budget",
                names::BUDGETS,
                "thresholds that budgets have passed",
            ),
            keys_expiring: one("clove_keys_expiring_total", "keys that were found to expire within the notice"),
            flagged_keys_used: one("clove_flagged_keys_used_total", "minutes in which a compromised key was presented"),
            refusal_bursts: family("clove_refusal_bursts_total", "of", names::SIDES, "bursts of refusals"),
            maintenance_failures: one("clove_maintenance_failures_total", "what maintenance could not do"),
            signals_lost: one("clove_signals_lost_total", "signals that were lost"),
        }
    }

    fn ended(&self, outcome: &'static str, took: Option<Duration>) {
        self.verifications.increment(outcome);
        if let (Some(took), Some(seconds)) = (took, self.seconds.get(outcome)) {
            seconds.record(took);
        }
    }
}
