//! Rows as they are carried from one store to another: what each part of a store holds, in the words of no store.

use super::{BudgetRow, BudgetSums, OrganizationRecord, OwnerRecord, Reported, StoredKey, UnrecognizedCount};
use crate::{
    access::AccessEntry,
    audit::AuditEvent,
    budget::Holder,
    clock::Timestamp,
    id::{GrantId, NodeId, Scope},
    limit::Subject,
    usage::{Day, Unit},
};
use std::fmt;

/// A part of what a store holds. All that is not of one: epochs, the roll and the nodes that lease, which are the processes' that use
/// the store and not the service's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CopyPart {
    /// Organizations.
    Organizations,
    /// Owners, with their counts and limits.
    Owners,
    /// Keys with all their secrets, in whatever state, and their last uses.
    Keys,
    /// The audit trail.
    Audit,
    /// Sums of usage, and what is reserved beside them.
    Sums,
    /// The ledger of what was reported, and of what is reserved.
    Reports,
    /// The last batch of usage that each process has written.
    Recorders,
    /// Budgets that accounts and organizations have chosen.
    Budgets,
    /// What is charged to the names of windows.
    Counts,
    /// The access log.
    Access,
    /// Requests that were refused without a proven secret.
    Unrecognized,
}

impl CopyPart {
    /// All, in the order in which they are copied: whoever is closed is so before a key of theirs is there.
    pub const ALL: [Self; 11] = [
        Self::Organizations,
        Self::Owners,
        Self::Keys,
        Self::Audit,
        Self::Sums,
        Self::Reports,
        Self::Recorders,
        Self::Budgets,
        Self::Counts,
        Self::Access,
        Self::Unrecognized,
    ];
    /// Those whose rows never change once they are written: they may be copied while the source is in use.
    pub const LOGS: [Self; 2] = [Self::Audit, Self::Access];

    /// What its rows are called.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Organizations => "organizations",
            Self::Owners => "owners",
            Self::Keys => "keys",
            Self::Audit => "audit events",
            Self::Sums => "sums of usage",
            Self::Reports => "reports of usage",
            Self::Recorders => "recorders of usage",
            Self::Budgets => "budgets",
            Self::Counts => "counts of windows",
            Self::Access => "access log entries",
            Self::Unrecognized => "counts of refusals",
        }
    }
}

impl fmt::Display for CopyPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A row of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyRow {
    /// Of [`CopyPart::Organizations`].
    Organization(OrganizationRecord),
    /// Of [`CopyPart::Owners`].
    Owner(OwnerRecord),
    /// Of [`CopyPart::Keys`].
    Key(StoredKey),
    /// Of [`CopyPart::Audit`].
    Event(AuditEvent),
    /// Of [`CopyPart::Sums`].
    Sum(SumRow),
    /// Of [`CopyPart::Reports`].
    Report(ReportRow),
    /// Of [`CopyPart::Recorders`].
    Recorder(RecorderRow),
    /// Of [`CopyPart::Budgets`].
    Budget(BudgetRow),
    /// Of [`CopyPart::Counts`].
    Count(CountRow),
    /// Of [`CopyPart::Access`].
    Access(AccessEntry),
    /// Of [`CopyPart::Unrecognized`].
    Unrecognized(UnrecognizedCount),
}

/// What was used in all, and what is reserved, by one holder on one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SumRow {
    /// Whose.
    pub holder: Holder,
    /// Of what.
    pub unit: Unit,
    /// When.
    pub day: Day,
    /// How much.
    pub sums: BudgetSums,
}

/// What the ledger knows of a grant and a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportRow {
    /// The grant.
    pub grant: GrantId,
    /// Of what.
    pub unit: Unit,
    /// The day in whose sums it is.
    pub day: Day,
    /// What is known.
    pub known: Reported,
}

/// The last batch of a process that is in the sums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecorderRow {
    /// The process.
    pub node: NodeId,
    /// The batch's number.
    pub sequence: u64,
    /// When it was made.
    pub day: Day,
}

/// How much is charged to one name of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountRow {
    /// Whose window.
    pub subject: Subject,
    /// Its length in seconds.
    pub seconds: u32,
    /// Its name: when it starts, or when a window that slides was charged.
    pub start: Timestamp,
    /// How many places.
    pub places: u64,
}

impl CountRow {
    /// When the window is over.
    #[must_use]
    pub fn ends_micros(&self) -> i64 {
        self.start.as_micros().saturating_add(i64::from(self.seconds) * 1_000_000)
    }
}

impl CopyRow {
    /// The part that it is a row of.
    #[must_use]
    pub fn part(&self) -> CopyPart {
        match self {
            Self::Organization(_) => CopyPart::Organizations,
            Self::Owner(_) => CopyPart::Owners,
            Self::Key(_) => CopyPart::Keys,
            Self::Event(_) => CopyPart::Audit,
            Self::Sum(_) => CopyPart::Sums,
            Self::Report(_) => CopyPart::Reports,
            Self::Recorder(_) => CopyPart::Recorders,
            Self::Budget(_) => CopyPart::Budgets,
            Self::Count(_) => CopyPart::Counts,
            Self::Access(_) => CopyPart::Access,
            Self::Unrecognized(_) => CopyPart::Unrecognized,
        }
    }

    /// Where it stands among the rows of its part.
    #[must_use]
    pub fn place(&self) -> CopyPlace {
        CopyPlace(match self {
            Self::Organization(record) => vec![text(record.id.as_str())],
            Self::Owner(record) => {
                vec![text(record.owner.organization.as_str()), text(record.owner.account.as_str())]
            }
            Self::Key(stored) => vec![bytes(stored.key.id.as_bytes())],
            Self::Event(event) => vec![bytes(event.id.as_bytes())],
            Self::Sum(row) => {
                let [organization, level, account, key] = holder(&row.holder);
                vec![organization, level, account, key, text(row.unit.as_str()), day(row.day)]
            }
            Self::Report(row) => vec![bytes(row.grant.as_bytes()), text(row.unit.as_str())],
            Self::Recorder(row) => vec![bytes(row.node.as_bytes())],
            Self::Budget(row) => {
                let (organization, account) = match &row.scope {
                    Scope::Owner(owner) => (owner.organization.as_str(), owner.account.as_str()),
                    Scope::Organization(organization) => (organization.as_str(), ""),
                };
                vec![text(organization), text(account), text(row.unit.as_str())]
            }
            Self::Count(row) => {
                let (seconds, start) = (i64::from(row.seconds), row.start.as_micros());
                vec![bytes(&row.subject.to_bytes()), PlaceValue::Number(seconds), PlaceValue::Number(start)]
            }
            Self::Access(entry) => vec![bytes(entry.id.as_bytes())],
            Self::Unrecognized(count) => vec![PlaceValue::Number(count.hour.as_micros()), bytes(count.node.as_bytes())],
        })
    }

    /// Whether verifications may remember something that it is a part of.
    #[must_use]
    pub fn is_remembered(&self) -> bool {
        matches!(self, Self::Organization(_) | Self::Owner(_) | Self::Key(_))
    }
}

/// Whose a sum is: organization, level, account and key. The levels are 0, 1 and 2; what a level has not is empty.
fn holder(holder: &Holder) -> [PlaceValue; 4] {
    let (organization, level, account, key): (_, _, _, &[u8]) = match holder {
        Holder::Organization(organization) => (organization, 0, "", &[]),
        Holder::Account(owner) => (&owner.organization, 1, owner.account.as_str(), &[]),
        Holder::Key(owner, key) => (&owner.organization, 2, owner.account.as_str(), key.as_bytes()),
    };
    [text(organization.as_str()), PlaceValue::Number(level), text(account), bytes(key)]
}

fn text(text: &str) -> PlaceValue {
    PlaceValue::Text(text.into())
}

fn bytes(bytes: &[u8]) -> PlaceValue {
    PlaceValue::Bytes(bytes.into())
}

fn day(day: Day) -> PlaceValue {
    PlaceValue::Number(day.epoch_days().into())
}

/// Where a row stands among those of its part, which are in ascending order by it: what names the row, column by column. One that a store
/// gave need not name a row that can be read.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CopyPlace(pub Vec<PlaceValue>);

/// A part of a [`CopyPlace`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PlaceValue {
    /// A number, a time or a day.
    Number(i64),
    /// A text, as far as it is one.
    Text(Vec<u8>),
    /// An id, or other bytes.
    Bytes(Vec<u8>),
}

impl fmt::Display for CopyPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, value) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str(" / ")?;
            }
            write!(f, "{value}")?;
        }
        Ok(())
    }
}

impl fmt::Display for PlaceValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(&String::from_utf8_lossy(text)),
            Self::Bytes(bytes) => match (uuid::Uuid::from_slice(bytes), Subject::from_bytes(bytes)) {
                (Ok(id), _) => write!(f, "{id}"),
                (_, Some(Subject::Key(id))) => write!(f, "key {id}"),
                (_, Some(Subject::Account(owner))) => write!(f, "{} / {}", owner.organization, owner.account),
                _ => write!(f, "{} bytes", bytes.len()),
            },
        }
    }
}

impl fmt::Debug for CopyPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CopyPlace({self})")
    }
}

impl fmt::Debug for PlaceValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlaceValue({self})")
    }
}

/// Rows of a part, ascending by their places. One that cannot be read is named and takes no other down.
#[derive(Clone, Debug, Default)]
pub struct CopyPage {
    /// The readable rows.
    pub rows: Vec<CopyRow>,
    /// Those that cannot be read.
    pub unreadable: Vec<UnreadableRow>,
    /// Whether further rows follow; then the next page begins after `last`.
    pub more: bool,
    /// The place of the last row looked at, readable or not.
    pub last: Option<CopyPlace>,
}

/// A row that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableRow {
    /// Where it stands.
    pub place: CopyPlace,
    /// The column, or what else is wrong with it.
    pub what: &'static str,
}

impl fmt::Display for UnreadableRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.place, self.what)
    }
}

impl CopyPage {
    /// Adds a row that was looked at.
    pub fn add(&mut self, place: CopyPlace, row: Result<CopyRow, &'static str>) {
        match row {
            Ok(row) => self.rows.push(row),
            Err(what) => self.unreadable.push(UnreadableRow { place: place.clone(), what }),
        }
        self.last = Some(place);
    }

    /// How many rows were looked at.
    #[must_use]
    pub fn looked_at(&self) -> usize {
        self.rows.len() + self.unreadable.len()
    }

    /// A page from all rows of a part, in whatever order, for a store that has no index to go by.
    #[must_use]
    pub fn of(rows: impl IntoIterator<Item = CopyRow>, after: Option<&CopyPlace>, limit: usize) -> Self {
        let places = rows.into_iter().map(|row| (row.place(), row));
        let mut found: Vec<_> = places.filter(|(place, _)| after.is_none_or(|after| place > after)).collect();
        found.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let mut page = Self { more: found.len() > limit, ..Self::default() };
        found.into_iter().take(limit).for_each(|(place, row)| page.add(place, Ok(row)));
        page
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::id::{KeyId, OrganizationId, Owner};

    #[test]
    fn places_are_in_the_order_of_the_bytes_of_what_names_a_row() {
        let sum = |holder| {
            let (unit, sums) = (Unit::new("tokens").unwrap(), BudgetSums::default());
            CopyRow::Sum(SumRow { holder, unit, day: Day::from_epoch_days(0).unwrap(), sums }).place()
        };
        let [ada, bob] = ["ada", "bob"].map(|account| Owner::new("acme", account).unwrap());
        let key = KeyId::new(chrono::DateTime::UNIX_EPOCH);
        let ascending = [
            sum(Holder::Organization(OrganizationId::new("Acme").unwrap())),
            sum(Holder::Organization(ada.organization.clone())),
            sum(Holder::Account(ada.clone())),
            sum(Holder::Account(bob)),
            sum(Holder::Key(ada, key)),
        ];
        assert!(ascending.is_sorted(), "{ascending:?}");
    }

    #[test]
    fn a_place_is_told_by_what_an_operator_knows() {
        let owner = Owner::new("acme", "ada").unwrap();
        let subject = Subject::Account(std::sync::Arc::new(owner));
        let count = CountRow { subject, seconds: 60, start: Timestamp::from_micros(5).unwrap(), places: 1 };
        assert_eq!(CopyRow::Count(count).place().to_string(), "acme / ada / 60 / 5");
    }
}
