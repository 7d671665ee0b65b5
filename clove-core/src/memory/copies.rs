//! Rows from and for another store.

use super::state::State;
use crate::{
    budget::Holder,
    error::{StoreError, Unique},
    id::{AuditId, GrantId, KeyId},
    store::{
        BudgetRow, Changes, CopyPage, CopyPart, CopyPlace, CopyRow, CountRow, KeyChange, PlaceValue, RecorderRow, ReportRow,
        SumRow, UnrecognizedCount,
    },
    usage::Day,
};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    ops::Bound,
};

impl State {
    pub(super) fn export(&self, part: CopyPart, after: Option<&CopyPlace>, limit: usize) -> CopyPage {
        match part {
            CopyPart::Organizations => {
                CopyPage::of(self.organizations.values().cloned().map(CopyRow::Organization), after, limit)
            }
            CopyPart::Owners => CopyPage::of(self.owners.values().cloned().map(CopyRow::Owner), after, limit),
            CopyPart::Keys => {
                let keys = self.keys.range((id(after, KeyId::from_slice), Bound::Unbounded)).map(|(_, stored)| stored);
                CopyPage::of(keys.take(limit.saturating_add(1)).cloned().map(CopyRow::Key), after, limit)
            }
            CopyPart::Audit => {
                let events = self.events.range((id(after, AuditId::from_slice), Bound::Unbounded)).map(|(_, event)| event);
                CopyPage::of(events.take(limit.saturating_add(1)).cloned().map(CopyRow::Event), after, limit)
            }
            CopyPart::Access => {
                let entries = &self.access.entries;
                let entries = entries.range((id(after, GrantId::from_slice), Bound::Unbounded)).map(|(_, entry)| entry);
                CopyPage::of(entries.take(limit.saturating_add(1)).cloned().map(CopyRow::Access), after, limit)
            }
            _ => CopyPage::of(self.numbers(part), after, limit),
        }
    }

    /// The rows of the parts that are few or small.
    fn numbers(&self, part: CopyPart) -> Vec<CopyRow> {
        match part {
            CopyPart::Sums => {
                let sums = self.usage.held.iter();
                let row = |((holder, unit, day), sums): (&(Holder, _, _), &_)| SumRow {
                    holder: holder.clone(),
                    unit: Clone::clone(unit),
                    day: *day,
                    sums: *sums,
                };
                sums.map(row).map(CopyRow::Sum).collect()
            }
            CopyPart::Reports => {
                let reports = self.usage.reported.iter();
                let row = |((grant, unit), (known, day)): (&(GrantId, _), &(_, Day))| ReportRow {
                    grant: *grant,
                    unit: Clone::clone(unit),
                    day: *day,
                    known: *known,
                };
                reports.map(row).map(CopyRow::Report).collect()
            }
            CopyPart::Recorders => {
                let row =
                    |(node, (sequence, day)): (&_, &(u64, Day))| RecorderRow { node: *node, sequence: *sequence, day: *day };
                self.usage.written.iter().map(row).map(CopyRow::Recorder).collect()
            }
            CopyPart::Budgets => {
                let scope = |holder: &Holder| holder.scope();
                let chosen = self.usage.chosen.iter();
                let rows = chosen.filter_map(|((holder, unit), choice)| {
                    Some(BudgetRow { scope: scope(holder)?, unit: unit.clone(), choice: *choice })
                });
                rows.map(CopyRow::Budget).collect()
            }
            CopyPart::Counts => {
                let row = |((subject, seconds, start), places): (&(_, u32, _), &u64)| CountRow {
                    subject: Clone::clone(subject),
                    seconds: *seconds,
                    start: *start,
                    places: *places,
                };
                self.charged.iter().map(row).map(CopyRow::Count).collect()
            }
            CopyPart::Unrecognized => {
                let row = |((hour, node), count): (&(_, _), &u64)| UnrecognizedCount { node: *node, hour: *hour, count: *count };
                self.access.unrecognized.iter().map(row).map(CopyRow::Unrecognized).collect()
            }
            CopyPart::Organizations | CopyPart::Owners | CopyPart::Keys | CopyPart::Audit | CopyPart::Access => Vec::new(),
        }
    }

    /// Those that are not there yet. None is written where one differs from what is there.
    pub(super) fn unknown<'r>(&self, rows: &'r [CopyRow]) -> Result<Vec<&'r CopyRow>, StoreError> {
        let mut new: BTreeMap<CopyPlaceOfPart, &CopyRow> = BTreeMap::new();
        let differs = StoreError::Conflict(Unique::Row);
        for row in rows {
            let known = self.row(row);
            if known.as_ref().is_some_and(|known| known != row) {
                return Err(differs);
            }
            match (known, new.entry((row.part(), row.place()))) {
                (Some(_), _) => {}
                (None, Entry::Occupied(other)) if *other.get() != row => return Err(differs),
                (None, Entry::Occupied(_)) => {}
                (None, Entry::Vacant(place)) => drop(place.insert(row)),
            }
        }
        let mut changes = Changes::default();
        for row in new.values() {
            match row {
                CopyRow::Key(stored) => changes.keys.push(KeyChange::Insert(stored.clone())),
                CopyRow::Event(event) => changes.events.push(event.clone()),
                _ => {}
            }
        }
        self.check(&changes)?;
        Ok(new.into_values().collect())
    }

    /// The row that stands where this one is to.
    fn row(&self, row: &CopyRow) -> Option<CopyRow> {
        let usage = &self.usage;
        Some(match row {
            CopyRow::Organization(record) => CopyRow::Organization(self.organizations.get(&record.id)?.clone()),
            CopyRow::Owner(record) => CopyRow::Owner(self.owners.get(&record.owner)?.clone()),
            CopyRow::Key(stored) => CopyRow::Key(self.keys.get(&stored.key.id)?.clone()),
            CopyRow::Event(event) => CopyRow::Event(self.events.get(&event.id)?.clone()),
            CopyRow::Sum(row) => {
                let sums = *usage.held.get(&(row.holder.clone(), row.unit.clone(), row.day))?;
                CopyRow::Sum(SumRow { sums, ..row.clone() })
            }
            CopyRow::Report(row) => {
                let (known, day) = *usage.reported.get(&(row.grant, row.unit.clone()))?;
                CopyRow::Report(ReportRow { known, day, ..row.clone() })
            }
            CopyRow::Recorder(row) => {
                let (sequence, day) = *usage.written.get(&row.node)?;
                CopyRow::Recorder(RecorderRow { sequence, day, ..row.clone() })
            }
            CopyRow::Budget(row) => {
                let choice = *usage.chosen.get(&((&row.scope).into(), row.unit.clone()))?;
                CopyRow::Budget(BudgetRow { choice, ..row.clone() })
            }
            CopyRow::Count(row) => {
                let places = *self.charged.get(&(row.subject.clone(), row.seconds, row.start))?;
                CopyRow::Count(CountRow { places, ..row.clone() })
            }
            CopyRow::Access(entry) => CopyRow::Access(self.access.entries.get(&entry.id)?.clone()),
            CopyRow::Unrecognized(row) => {
                let count = *self.access.unrecognized.get(&(row.hour, row.node))?;
                CopyRow::Unrecognized(UnrecognizedCount { count, ..*row })
            }
        })
    }

    /// Writes a row that is not there.
    pub(super) fn adopt_row(&mut self, row: &CopyRow) {
        let mut changes = Changes::default();
        match row {
            CopyRow::Organization(record) => changes.organization = Some(record.clone()),
            CopyRow::Owner(record) => changes.owners.push(record.clone()),
            CopyRow::Key(stored) => changes.keys.push(KeyChange::Insert(stored.clone())),
            CopyRow::Event(event) => changes.events.push(event.clone()),
            CopyRow::Budget(row) => changes.budget = Some(row.clone()),
            CopyRow::Sum(row) => self.usage.adopt_sum(row),
            CopyRow::Report(row) => {
                self.usage.reported.insert((row.grant, row.unit.clone()), (row.known, row.day));
            }
            CopyRow::Recorder(row) => {
                self.usage.written.insert(row.node, (row.sequence, row.day));
            }
            CopyRow::Count(row) => {
                self.charged.insert((row.subject.clone(), row.seconds, row.start), row.places);
            }
            CopyRow::Access(entry) => self.access.log(std::slice::from_ref(entry)),
            CopyRow::Unrecognized(count) => self.access.count(&[*count]),
        }
        self.write(&changes);
    }
}

type CopyPlaceOfPart = (CopyPart, CopyPlace);

/// The lower bound of a page by id.
fn id<I, E>(after: Option<&CopyPlace>, from: impl Fn(&[u8]) -> Result<I, E>) -> Bound<I> {
    match after.map(|after| after.0.as_slice()) {
        Some([PlaceValue::Bytes(bytes)]) => from(bytes).map_or(Bound::Unbounded, Bound::Excluded),
        _ => Bound::Unbounded,
    }
}
