//! When budgets are told of.

use super::{Novelty, Signals};
use crate::{
    budget::{BudgetOf, BudgetState},
    clock::Timestamp,
    id::{KeyId, Owner},
    service::Inner,
    signal::Signal,
};
use std::{hash::BuildHasher, sync::atomic::Ordering};

/// Used up, in percent.
const ALL: u8 = 100;

impl Inner {
    /// Tells of budgets of which a threshold is passed, of the key that was used now.
    pub(super) fn signal_budgets(&self, signals: &Signals, budgets: &[BudgetState], key: KeyId, owner: &Owner) {
        let near = self.policy.signals.budget_near;
        for budget in budgets {
            for percent in [Some(near), (near < ALL).then_some(ALL)].into_iter().flatten() {
                if budget.percent() < percent.into() {
                    continue;
                }
                let ends = budget.refills_at.map_or(Timestamp::LAST, Timestamp::from);
                let name = (budget.budget, &budget.unit, ends, percent);
                let name = match budget.of {
                    BudgetOf::Key => signals.hasher.hash_one((key, name)),
                    BudgetOf::Account => signals.hasher.hash_one((owner, name)),
                    BudgetOf::Organization => signals.hasher.hash_one((&owner.organization, name)),
                };
                match signals.near.note(name, ends, self.now()) {
                    Novelty::New => signals.raise(&Signal::BudgetThreshold { key, owner, budget, percent }),
                    Novelty::Known => {}
                    Novelty::NoRoom => {
                        signals.lost.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        }
    }
}
