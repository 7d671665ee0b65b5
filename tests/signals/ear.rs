//! An observer that writes down what it is told.

use clove::{Clove, DenialReason, KeyId, Limited, Observer, Policy, Signal, Store};
use clove_testkit::Fixture;
use std::sync::{Arc, Mutex};

/// What was heard, in words. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Ear(Arc<Mutex<Vec<String>>>);

impl Ear {
    /// What was heard since this was last asked.
    pub(crate) fn heard(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// The same without verdicts.
    pub(crate) fn alarms(&self) -> Vec<String> {
        let is_verdict = |said: &String| ["granted", "denied"].iter().any(|verdict| said.starts_with(verdict));
        self.heard().into_iter().filter(|said| !is_verdict(said)).collect()
    }
}

impl Observer for Ear {
    fn signal(&self, signal: &Signal<'_>) {
        self.0.lock().unwrap().push(words(signal));
    }
}

/// The last characters of an id are random: enough to tell keys apart.
pub(crate) fn short(id: KeyId) -> String {
    id.to_string()[28..].to_owned()
}

fn words(signal: &Signal<'_>) -> String {
    let side = |of: Limited| if of == Limited::Key { "key" } else { "account" };
    match *signal {
        Signal::Granted { grant, took, .. } => format!("granted {}{}", short(grant.key_id()), took_words(took)),
        Signal::Denied { denial, took, .. } => {
            let reason = match denial.reason() {
                DenialReason::BudgetExhausted(exhausted) => format!("budget of {:?}", exhausted.state.of),
                DenialReason::LimitReached(exhausted) => format!("limit of {}", side(exhausted.of)),
                DenialReason::Expired { .. } => "Expired".to_owned(),
                DenialReason::CapabilityMissing { missing } => format!("without {}", missing[0].as_str()),
                reason => format!("{reason:?}"),
            };
            let whose = denial.owner().map_or(String::new(), |owner| format!(" of {}", owner.account));
            let key = denial.key_id().map_or(String::new(), |id| format!(" {}", short(id)));
            format!("denied{key}{whose}: {reason}{}", took_words(took))
        }
        Signal::Faulted { fault, took, .. } => format!("fault: {fault}{}", took_words(took)),
        Signal::LimitNear { key, owner, limit, .. } => format!(
            "near {} of {}: {} {}/{}, {} left until {}",
            short(key),
            owner.account,
            side(limit.of),
            limit.window.count(),
            limit.window.seconds(),
            limit.left,
            limit.resets_at.format("%H:%M")
        ),
        Signal::BudgetThreshold { key, owner, budget, percent, .. } => format!(
            "budget {percent} % by {} of {}: {:?} {}, {} left until {}",
            short(key),
            owner.account,
            budget.of,
            budget.budget,
            budget.left(),
            budget.refills_at.map_or("never".to_owned(), |at| at.format("%m-%d").to_string())
        ),
        Signal::KeyExpiring { key, owner, expires_at, .. } => {
            format!("expiring {} of {}: {}", short(key), owner.account, expires_at.format("%m-%d"))
        }
        Signal::FlaggedKeyUsed { key, owner, .. } => format!("flagged {} of {}", short(key), owner.account),
        Signal::RefusalBurst { of, key, owner, refusals, .. } => {
            format!("burst of {refusals} on {}: {} of {}", side(of), short(key), owner.account)
        }
        Signal::MaintenanceFailed { error, .. } => format!("maintenance: {error}"),
        Signal::Lost { count, .. } => format!("lost {count}"),
        _ => panic!("a signal that the tests do not know: {signal:?}"),
    }
}

fn took_words(took: Option<std::time::Duration>) -> String {
    took.map_or(String::new(), |took| format!(" in {took:?}"))
}

/// A fixture whose handle an ear listens to.
pub(crate) fn observed_on(store: impl Store + Clone, policy: Policy) -> (Fixture, Ear) {
    let ear = Ear::default();
    (observed_by(store, policy, ear.clone()), ear)
}

/// A fixture whose handle is observed by this one.
pub(crate) fn observed_by(store: impl Store + Clone, policy: Policy, observer: impl Observer) -> Fixture {
    let mut fixture = Fixture::on(store.clone(), policy.clone()).unwrap();
    fixture.clove = Clove::builder(store, policy).clock(fixture.clock().clone()).observed_by(observer).build();
    fixture
}

pub(crate) fn observed(policy: Policy) -> (Fixture, Ear) {
    observed_on(clove::MemoryStore::new(), policy)
}
