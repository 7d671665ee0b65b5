//! Usage, in memory.

use crate::{
    id::{GrantId, NodeId},
    store::{Meter, UsageBatch, UsagePage, UsageQuery, usage::add},
    usage::{Day, Unit},
};
use std::collections::BTreeMap;

/// Sums of usage, and the ledger of what is in them.
#[derive(Default)]
pub(super) struct UsageBook {
    sums: BTreeMap<Meter, u64>,
    /// The largest total that was reported for each grant and unit, and the day that it was used on.
    reported: BTreeMap<(GrantId, Unit), (u64, Day)>,
    /// The last batch of each process that was written, and the day that it was made on.
    written: BTreeMap<NodeId, (u64, Day)>,
}

impl UsageBook {
    pub(super) fn record(&mut self, batch: &UsageBatch) {
        if self.written.get(&batch.node).is_some_and(|(sequence, _)| *sequence >= batch.sequence) {
            return;
        }
        self.written.insert(batch.node, (batch.sequence, Day::of(batch.at)));
        for (meter, amount) in batch.requests.iter().filter(|(_, amount)| *amount > 0) {
            add(self.sums.entry(meter.clone()).or_default(), *amount);
        }
        for report in batch.reports.iter().filter(|report| report.total > 0) {
            let (known, _) = self.reported.entry((report.grant, report.meter.unit.clone())).or_insert((0, report.meter.day));
            add(self.sums.entry(report.meter.clone()).or_default(), report.total.saturating_sub(*known));
            *known = report.total.max(*known);
        }
    }

    pub(super) fn page(&self, query: &UsageQuery) -> UsagePage {
        query.page(self.sums.iter().map(|(meter, amount)| (meter, *amount)))
    }

    pub(super) fn forget(&mut self, before: Day, limit: usize) -> usize {
        let reports: Vec<_> = self.reported.iter().filter(|(_, (_, day))| *day < before).map(|(name, _)| name.clone()).collect();
        let nodes: Vec<_> = self.written.iter().filter(|(_, (_, day))| *day < before).map(|(node, _)| *node).collect();
        let forgotten = (reports.len() + nodes.len()).min(limit);
        for name in reports.iter().take(limit) {
            self.reported.remove(name);
        }
        for node in nodes.iter().take(limit.saturating_sub(reports.len())) {
            self.written.remove(node);
        }
        forgotten
    }
}
