//! Usage, in memory.

use crate::{
    budget::{BudgetChoice, BudgetState, Holder},
    id::{GrantId, NodeId, Scope},
    store::{
        BudgetQuery, BudgetRow, BudgetSums, Meter, Report, Reported, Reserve, Reserved, Reserving, SumRow, UsageBatch, UsagePage,
        UsageQuery, budgets, usage::add,
    },
    usage::{Day, Unit},
};
use std::collections::BTreeMap;

/// Sums of usage, and the ledger of what is in them.
#[derive(Default)]
pub(super) struct UsageBook {
    pub(super) sums: BTreeMap<Meter, u64>,
    /// The same sums by whose budgets they count toward, with what is reserved.
    pub(super) held: BTreeMap<(Holder, Unit, Day), BudgetSums>,
    /// Budgets that accounts and organizations have chosen.
    pub(super) chosen: BTreeMap<(Holder, Unit), BudgetChoice>,
    /// What is known of each grant and unit, and the day that it was used on.
    pub(super) reported: BTreeMap<(GrantId, Unit), (Reported, Day)>,
    /// The last batch of each process that was written, and the day that it was made on.
    pub(super) written: BTreeMap<NodeId, (u64, Day)>,
}

impl UsageBook {
    pub(super) fn record(&mut self, batch: &UsageBatch) {
        if self.written.get(&batch.node).is_some_and(|(sequence, _)| *sequence >= batch.sequence) {
            return;
        }
        self.written.insert(batch.node, (batch.sequence, Day::of(batch.at)));
        for (meter, amount) in batch.requests.iter().filter(|(_, amount)| *amount > 0) {
            self.use_up(meter, *amount, 0);
        }
        batch.reports.iter().filter(|report| report.total > 0 || report.settles).for_each(|report| self.report(report));
    }

    fn report(&mut self, report: &Report) {
        let meter = &report.meter;
        let entry = self.reported.entry((report.grant, meter.unit.clone()));
        let (known, _) = entry.or_insert((Reported::default(), meter.day));
        let (now, grown, released) = report.moves(*known);
        *known = now;
        self.use_up(meter, grown, released);
    }

    fn use_up(&mut self, meter: &Meter, grown: u64, released: u64) {
        if grown > 0 {
            add(self.sums.entry(meter.clone()).or_default(), grown);
        }
        self.each_sum(meter, |sums| {
            sums.add(grown, 0);
            sums.release(released);
        });
    }

    fn each_sum(&mut self, meter: &Meter, change: impl Fn(&mut BudgetSums)) {
        for holder in Holder::all_of(&meter.owner, meter.key) {
            change(self.held.entry((holder, meter.unit.clone(), meter.day)).or_default());
        }
    }

    pub(super) fn reserve(&mut self, reserve: &Reserve) -> Reserved {
        let (name, meter) = ((reserve.grant, reserve.meter.unit.clone()), &reserve.meter);
        let states: Vec<BudgetState> = reserve.queries().iter().filter_map(|query| self.budget(query)).collect();
        let outcome = reserve.decide(&states, self.reported.get(&name).map(|(known, _)| *known));
        if outcome == Reserving::Hold {
            self.reported.insert(name, (Reported { total: 0, reserved: reserve.amount }, meter.day));
            self.each_sum(meter, |sums| sums.add(0, reserve.amount));
        }
        Reserved::new(reserve, outcome, states)
    }

    pub(super) fn budget(&self, query: &BudgetQuery) -> Option<BudgetState> {
        let BudgetQuery { holder, unit, .. } = query;
        let choice = self.chosen.get(&(holder.clone(), unit.clone())).copied().unwrap_or_default();
        let (budget, first, last) = query.period(choice)?;
        let days = (holder.clone(), unit.clone(), first)..=(holder.clone(), unit.clone(), last);
        let mut sums = BudgetSums::default();
        self.held.range(days).for_each(|(_, day)| sums.add(day.used, day.reserved));
        Some(query.state(budget, sums))
    }

    pub(super) fn chosen(&self, scope: &Scope, unit: &Unit) -> BudgetChoice {
        self.chosen.get(&(scope.into(), unit.clone())).copied().unwrap_or_default()
    }

    pub(super) fn choose(&mut self, row: &BudgetRow) {
        self.chosen.insert(((&row.scope).into(), row.unit.clone()), row.choice);
    }

    /// Takes a sum over as another store has it.
    pub(super) fn adopt_sum(&mut self, row: &SumRow) {
        if let Holder::Key(owner, key) = &row.holder
            && row.sums.used > 0
        {
            self.sums.insert(budgets::meter(owner, *key, &row.unit, row.day), row.sums.used);
        }
        self.held.insert((row.holder.clone(), row.unit.clone(), row.day), row.sums);
    }

    pub(super) fn page(&self, query: &UsageQuery) -> UsagePage {
        query.page(self.sums.iter().map(|(meter, amount)| (meter, *amount)))
    }

    pub(super) fn forget(&mut self, before: Day, limit: usize) -> usize {
        let reports = self.reported.iter().filter(|(_, (_, day))| *day < before).map(|(name, _)| name.clone());
        let reports: Vec<_> = reports.take(limit).collect();
        let nodes = self.written.iter().filter(|(_, (_, day))| *day < before).map(|(node, _)| *node);
        let nodes: Vec<_> = nodes.take(limit.saturating_sub(reports.len())).collect();
        for name in &reports {
            self.reported.remove(name);
        }
        for node in &nodes {
            self.written.remove(node);
        }
        reports.len() + nodes.len()
    }
}
