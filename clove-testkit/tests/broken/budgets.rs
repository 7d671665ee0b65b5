//! What can be wrong with how a store keeps budgets.

use super::Fault;
use chrono::DateTime;
use clove_core::{
    Day, GrantId, MemoryStore, Store, StoreError,
    budget::{Budget, Refill},
    store::{BudgetQuery, Reserve, Reserved, Reserving},
    usage::MAX_AMOUNT,
};
use std::{sync::Arc, time::Duration};

/// What a mistaken store does with reservations.
#[derive(Default)]
pub(super) struct Mistakes;

impl Mistakes {
    pub(super) async fn reserve(&self, fault: Fault, inner: &MemoryStore, asked: &Reserve) -> Result<Reserved, StoreError> {
        let mut reserve = asked.clone();
        match fault {
            Fault::ReservesTwice => reserve.grant = GrantId::new(DateTime::UNIX_EPOCH),
            Fault::ReservesForAsking => reserve.holds = true,
            Fault::RacesForBudgets => {
                // Whether there is room is asked first, and it is reserved later whatever has become of that.
                let seen = inner.reserve(Arc::new(Reserve { holds: false, ..asked.clone() })).await?;
                std::thread::sleep(Duration::from_millis(1));
                if seen.outcome == Reserving::Pass {
                    let most = Budget::new(MAX_AMOUNT, Refill::Daily).ok();
                    reserve.defaults = reserve.defaults.map(|budget| budget.and(most));
                }
            }
            Fault::ReservesInHalves => {
                // Each budget by itself.
                for place in 0..3 {
                    let mut one = asked.clone();
                    one.grant = GrantId::new(DateTime::UNIX_EPOCH);
                    one.defaults = [None; 3];
                    one.defaults[place] = asked.defaults[place];
                    inner.reserve(Arc::new(one)).await?;
                }
            }
            _ => {}
        }
        inner.reserve(Arc::new(reserve)).await
    }
}

/// A query as it is understood.
pub(super) fn mistaken(fault: Fault, query: &BudgetQuery) -> BudgetQuery {
    let mut query = query.clone();
    let is_weekly = query.default.is_some_and(|budget| budget.refill() == Refill::Weekly);
    if fault == Fault::MistakesWeeks && is_weekly {
        query.day = Day::from_epoch_days(query.day.epoch_days() - 1).unwrap();
    }
    query
}
