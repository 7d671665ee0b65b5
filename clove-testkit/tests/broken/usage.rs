//! What can be wrong with how a store keeps usage.

use super::Fault;
use chrono::DateTime;
use clove_core::{
    Day, GrantId, Scope, Unit,
    id::NodeId,
    store::{UsageBatch, UsagePage, UsagePlace, UsageQuery},
    usage::{MAX_AMOUNT, UsageBy},
};
use std::{collections::HashMap, sync::Mutex, time::Duration};

/// What a mistaken store remembers.
#[derive(Default)]
pub(super) struct Mistakes {
    batches: Mutex<HashMap<NodeId, u64>>,
    renamed: Mutex<HashMap<NodeId, NodeId>>,
    ledgers: Mutex<HashMap<(NodeId, GrantId), GrantId>>,
    units: Mutex<HashMap<GrantId, Unit>>,
}

fn another_node() -> NodeId {
    NodeId::new(DateTime::UNIX_EPOCH)
}

fn another_grant() -> GrantId {
    GrantId::new(DateTime::UNIX_EPOCH)
}

impl Mistakes {
    /// What is written of a batch; `None` for nothing.
    pub(super) fn tamper(&self, fault: Fault, batch: &UsageBatch) -> Option<UsageBatch> {
        let mut batch = batch.clone();
        match fault {
            Fault::KeepsWhatIsSettled => batch.reports.iter_mut().for_each(|report| report.settles = false),
            // What settles nothing is not noted.
            Fault::ForgetsSettlements => batch.reports.retain(|report| report.total > 0),
            Fault::CountsBatchesAgain => batch.node = another_node(),
            Fault::KnowsOneProcess => batch.node = one_node(),
            Fault::ForgetsAllBatches => {
                batch.node = *self.renamed.lock().unwrap().entry(batch.node).or_insert_with(another_node);
            }
            Fault::RacesBatches => {
                // Whether it is written is read first, and noted later whatever has come in between.
                let last = self.batches.lock().unwrap().get(&batch.node).copied();
                if last.is_some_and(|last| last >= batch.sequence) {
                    return None;
                }
                std::thread::sleep(Duration::from_millis(1));
                self.batches.lock().unwrap().insert(batch.node, batch.sequence);
                batch.node = another_node();
            }
            Fault::AddsTotalsUp => batch.reports.iter_mut().for_each(|report| report.grant = another_grant()),
            Fault::KeepsALedgerAProcess => {
                let mut ledgers = self.ledgers.lock().unwrap();
                for report in &mut batch.reports {
                    report.grant = *ledgers.entry((batch.node, report.grant)).or_insert_with(another_grant);
                }
            }
            Fault::KeepsALedgerOfGrantsAlone => {
                let mut units = self.units.lock().unwrap();
                batch.reports.retain(|report| {
                    let unit = &report.meter.unit;
                    units.entry(report.grant).or_insert_with(|| unit.clone()) == unit
                });
            }
            _ => {}
        }
        Some(batch)
    }

    /// What is forgotten: of which days before which one, and how many rows at most.
    pub(super) fn forgets(&self, fault: Fault, before: Day, limit: usize) -> (Day, usize) {
        match fault {
            Fault::KeepsReports => (before.before(10_000), limit),
            Fault::ForgetsReportsADayEarly => (Day::from_epoch_days(before.epoch_days() + 1).unwrap(), limit),
            Fault::ForgetsReportsBeyondTheLimit => (before, usize::MAX),
            _ => {
                if fault == Fault::ForgetsAllBatches {
                    self.renamed.lock().unwrap().clear();
                }
                (before, limit)
            }
        }
    }
}

/// A query as it is understood.
pub(super) fn mistaken(fault: Fault, query: &UsageQuery) -> UsageQuery {
    let mut query = query.clone();
    match (fault, &query.scope) {
        (Fault::LeaksUsage, scope) => query.scope = scope.organization().into(),
        (Fault::TellsTheOrganizationToOwners, Scope::Owner(owner)) if query.by == UsageBy::Organization => {
            query.scope = (&owner.organization).into();
        }
        (Fault::LosesTheLastDay, _) => query.last = query.last.before(1),
        (Fault::IgnoresUnits, _) => query.unit = None,
        (Fault::IgnoresKeysOfUsage, _) => query.key = None,
        // From the first day of the series that the page before ended in.
        (Fault::PagesUsageAnew, _) => query.after = query.after.map(|after| UsagePlace { day: None, ..after }),
        _ => {}
    }
    query
}

/// A page as it is given.
pub(super) fn spoil(fault: Fault, query: &UsageQuery, page: &mut UsagePage) {
    for sum in &mut page.sums {
        match fault {
            Fault::WrapsSums if sum.amount == MAX_AMOUNT => sum.amount = 5,
            Fault::CountsUsageInFloats => sum.amount = sum.amount as f64 as u64,
            _ => {}
        }
    }
    page.more |= fault == Fault::PromisesMoreUsage && page.sums.len() == query.limit;
}

/// The same one for all.
pub(super) fn one_node() -> NodeId {
    NodeId::from_slice(&[7; 6].into_iter().chain([0x70, 0, 0x80]).chain([0; 7]).collect::<Vec<u8>>()).unwrap()
}
