//! Reading keys and the audit trail, page by page.

use super::{Clove, usage};
use crate::{
    access::{AccessEntry, AccessOutcome},
    audit::{Action, AuditEvent},
    error::{CorruptRow, Error, Invalid, Refusal, size},
    id::{AuditId, GrantId, KeyId, Scope},
    key::{Key, KeyState, Status},
    store::{AccessQuery, AuditQuery, ExpiringQuery, ExpiryFilter, KeyPage, KeyQuery, Place, UsagePlace},
};
use chrono::{DateTime, TimeDelta, Utc};
use std::{fmt, str::FromStr};

/// The largest page.
pub const MAX_PAGE: usize = 200;

/// A page of something, in a stable order.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<Cursor>,
    /// Rows that could not be read, and were passed over.
    pub corrupt: Vec<CorruptRow>,
}

/// Where a page begins. Opaque text to clients; it pins the time that its page's filter was judged at, and grants nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(Begins);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Begins {
    Row(AfterRow),
    Usage(UsagePlace),
}

/// After a row that has an id.
#[derive(Clone, Debug, PartialEq, Eq)]
struct AfterRow {
    of: Pages,
    at: DateTime<Utc>,
    place: Option<DateTime<Utc>>,
    id: uuid::Uuid,
}

/// What a row is of: a cursor of keys begins no page of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pages {
    Keys,
    Expiring,
    Audit,
    AccessLog,
}

impl Pages {
    const ALL: [Self; 4] = [Self::Keys, Self::Expiring, Self::Audit, Self::AccessLog];

    fn letter(self) -> char {
        match self {
            Self::Keys => 'k',
            Self::Expiring => 'e',
            Self::Audit => 'a',
            Self::AccessLog => 'l',
        }
    }
}

/// The letter of a cursor of usage.
const USAGE: char = 'u';

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Begins::Row(AfterRow { of, at, place, id }) => {
                let place = place.map_or(String::new(), |place| place.timestamp_micros().to_string());
                write!(f, "{}{}.{place}.{}", of.letter(), at.timestamp_micros(), id.simple())
            }
            Begins::Usage(place) => write!(f, "{USAGE}{}", usage::to_text(place)),
        }
    }
}

impl FromStr for Cursor {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        if let Some(text) = text.strip_prefix(USAGE) {
            return usage::parse(text).map(Self::of_usage);
        }
        let invalid = || Invalid::new("cursor", "must be one that an earlier page gave", size(text));
        let micros = |text: &str| text.parse().ok().and_then(DateTime::from_timestamp_micros).ok_or_else(invalid);
        let of = Pages::ALL.into_iter().find(|of| text.starts_with(of.letter())).ok_or_else(invalid)?;
        let mut parts = text.split_at_checked(1).ok_or_else(invalid)?.1.splitn(3, '.');
        let (Some(at), Some(place), Some(id)) = (parts.next(), parts.next(), parts.next()) else { return Err(invalid()) };
        let place = if place.is_empty() { None } else { Some(micros(place)?) };
        let id = uuid::Uuid::try_parse(id).map_err(|_| invalid())?;
        Ok(Self(Begins::Row(AfterRow { of, at: micros(at)?, place, id })))
    }
}

impl Cursor {
    fn of_row(of: Pages, at: DateTime<Utc>, place: Option<DateTime<Utc>>, id: uuid::Uuid) -> Self {
        Self(Begins::Row(AfterRow { of, at, place, id }))
    }

    pub(super) fn of_usage(place: UsagePlace) -> Self {
        Self(Begins::Usage(place))
    }

    /// The row that it is after, if it is of these pages.
    fn of(&self, pages: Pages) -> Result<&AfterRow, Invalid> {
        match &self.0 {
            Begins::Row(row) if row.of == pages => Ok(row),
            _ => Err(Self::of_another_list()),
        }
    }

    /// The sum of usage that it is after, if it is of such.
    pub(super) fn usage_place(&self) -> Option<&UsagePlace> {
        match &self.0 {
            Begins::Usage(place) => Some(place),
            Begins::Row(_) => None,
        }
    }

    pub(super) fn of_another_list() -> Invalid {
        Invalid::new("cursor", "must be one that an earlier page of the same list gave", "one of another list")
    }
}

impl AfterRow {
    fn key(&self) -> Result<KeyId, Invalid> {
        KeyId::from_slice(self.id.as_bytes())
    }
}

/// Which keys to list, newest first.
#[derive(Clone, Debug, Default)]
pub struct ListKeys {
    /// Only keys of this status.
    pub status: Option<Status>,
    /// How many, 1 to 200; 50 unless set.
    pub limit: Option<usize>,
    /// The page after this one.
    pub after: Option<Cursor>,
}

/// Which audit events to read, newest first.
#[derive(Clone, Debug, Default)]
pub struct ListAudit {
    /// Only events of this key.
    pub key: Option<KeyId>,
    /// Only this action.
    pub action: Option<Action>,
    /// Only events at this time or later.
    pub from: Option<DateTime<Utc>>,
    /// Only events before this time.
    pub until: Option<DateTime<Utc>>,
    /// How many, 1 to 200; 50 unless set.
    pub limit: Option<usize>,
    /// The page after this one.
    pub after: Option<Cursor>,
}

/// Which entries of the access log to read, newest first.
#[derive(Clone, Debug, Default)]
pub struct ListAccess {
    /// Only requests with this key.
    pub key: Option<KeyId>,
    /// Only those with this outcome.
    pub outcome: Option<AccessOutcome>,
    /// Only those at this time or later.
    pub from: Option<DateTime<Utc>>,
    /// Only those before this time.
    pub until: Option<DateTime<Utc>>,
    /// How many, 1 to 200; 50 unless set.
    pub limit: Option<usize>,
    /// The page after this one.
    pub after: Option<Cursor>,
}

pub(super) fn page_size(limit: Option<usize>) -> Result<usize, Invalid> {
    let limit = limit.unwrap_or(50);
    if (1..=MAX_PAGE).contains(&limit) {
        Ok(limit)
    } else {
        Err(Invalid::new("limit", format!("must be 1 to {MAX_PAGE}"), limit.to_string()))
    }
}

impl Clove {
    /// One key of an owner or an organization.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] if it is not there, or foreign; otherwise the store's failure.
    pub async fn get(&self, scope: impl Into<Scope>, id: KeyId) -> Result<Key, Error> {
        Ok(self.inner.store.get(&scope.into(), id).await?.ok_or(Refusal::NotFound)?)
    }

    /// A page of keys, newest first. The pages after the first judge the status filter at the first one's time.
    ///
    /// # Errors
    /// [`Invalid`] for a page size or cursor out of range; otherwise the store's failure.
    pub async fn list(&self, scope: impl Into<Scope>, list: &ListKeys) -> Result<Page<Key>, Error> {
        let after = list.after.as_ref().map(|cursor| cursor.of(Pages::Keys)).transpose()?;
        let at = after.map_or_else(|| self.now(), |cursor| cursor.at);
        let (states, expiry) = facts_of(list.status, at);
        let before = after.map(AfterRow::key).transpose()?;
        let query = KeyQuery { scope: scope.into(), states, expiry, before, limit: page_size(list.limit)? };
        let page = self.inner.store.list(&query).await?;
        Ok(keys(page, |last| Cursor::of_row(Pages::Keys, at, None, last.id.as_uuid())))
    }

    /// A page of keys, active or suspended, that expire within `within` from now, soonest first.
    ///
    /// # Errors
    /// [`Invalid`] for a time, page size or cursor out of range; otherwise the store's failure.
    pub async fn expiring(
        &self,
        scope: impl Into<Scope>,
        within: TimeDelta,
        limit: Option<usize>,
        after: Option<&Cursor>,
    ) -> Result<Page<Key>, Error> {
        let after = after.map(|cursor| cursor.of(Pages::Expiring)).transpose()?;
        let from = after.map_or_else(|| self.now(), |cursor| cursor.at);
        let until = from.checked_add_signed(within).filter(|_| within > TimeDelta::zero());
        let until = until.ok_or_else(|| {
            Invalid::new("within", "must be above 0 and end in range", format!("{} seconds", within.num_seconds()))
        })?;
        let after = after.map(|cursor| Ok::<_, Invalid>((cursor.place.unwrap_or(from), cursor.key()?))).transpose()?;
        let query = ExpiringQuery { scope: scope.into(), from, until, after, limit: page_size(limit)? };
        let page = self.inner.store.expiring(&query).await?;
        Ok(keys(page, |last| Cursor::of_row(Pages::Expiring, from, last.expires_at, last.id.as_uuid())))
    }

    /// A page of the audit trail, newest first.
    ///
    /// # Errors
    /// [`Invalid`] for a page size or cursor out of range; otherwise the store's failure.
    pub async fn audit(&self, scope: impl Into<Scope>, list: &ListAudit) -> Result<Page<AuditEvent>, Error> {
        let after = list.after.as_ref().map(|cursor| cursor.of(Pages::Audit)).transpose()?;
        let before = after.map(|cursor| AuditId::from_slice(cursor.id.as_bytes())).transpose()?;
        let query = AuditQuery {
            scope: scope.into(),
            key: list.key,
            action: list.action,
            from: list.from,
            until: list.until,
            before,
            limit: page_size(list.limit)?,
        };
        let page = self.inner.store.audit(&query).await?;
        let next = page.last.filter(|_| page.more).map(|id| Cursor::of_row(Pages::Audit, self.now(), None, id.as_uuid()));
        Ok(Page { items: page.events, next, corrupt: vec![CorruptRow::AuditEvent; page.corrupt] })
    }

    /// A page of the access log, newest first: what is written of it, see [`AccessLog`](crate::AccessLog). A page may
    /// have fewer items than asked for, or none, while there is a next one: a store looks at so many entries of an organization for
    /// one page, and a key may have none among them.
    ///
    /// # Errors
    /// [`Invalid`] for a page size or cursor out of range; otherwise the store's failure.
    pub async fn access_log(&self, scope: impl Into<Scope>, list: &ListAccess) -> Result<Page<AccessEntry>, Error> {
        let after = list.after.as_ref().map(|cursor| cursor.of(Pages::AccessLog)).transpose()?;
        let before = after.map(|cursor| GrantId::from_slice(cursor.id.as_bytes())).transpose()?;
        let query = AccessQuery {
            scope: scope.into(),
            key: list.key,
            outcome: list.outcome,
            from: list.from,
            until: list.until,
            before,
            limit: page_size(list.limit)?,
        };
        let page = self.inner.store.access_log(&query).await?;
        let next = page.last.filter(|_| page.more);
        let next = next.map(|id| Cursor::of_row(Pages::AccessLog, self.now(), None, id.as_uuid()));
        Ok(Page { items: page.entries, next, corrupt: vec![CorruptRow::AccessEntry; page.corrupt] })
    }

    /// A page of the ids of keys with a secret under this pepper version: those that dropping it would kill.
    ///
    /// # Errors
    /// [`Invalid`] for a page size out of range; otherwise the store's failure.
    pub async fn keys_under_pepper(&self, version: u16, after: Option<KeyId>, limit: Option<usize>) -> Result<Vec<KeyId>, Error> {
        Ok(self.inner.store.keys_under_pepper(version, after, page_size(limit)?).await?)
    }
}

fn keys(page: KeyPage, cursor: impl Fn(Place) -> Cursor) -> Page<Key> {
    let next = page.last.filter(|_| page.more).map(cursor);
    Page { items: page.keys, next, corrupt: page.corrupt }
}

/// A status in the terms of a store, which knows only states and times.
fn facts_of(status: Option<Status>, at: DateTime<Utc>) -> (Vec<KeyState>, ExpiryFilter) {
    match status {
        None => (KeyState::ALL.to_vec(), ExpiryFilter::Any),
        Some(Status::Active) => (vec![KeyState::Active], ExpiryFilter::PendingAt(at)),
        Some(Status::Suspended) => (vec![KeyState::Suspended], ExpiryFilter::PendingAt(at)),
        Some(Status::Expired) => (vec![KeyState::Active, KeyState::Suspended], ExpiryFilter::PassedAt(at)),
        Some(Status::Compromised) => (vec![KeyState::Compromised], ExpiryFilter::Any),
        Some(Status::Revoked) => (vec![KeyState::Revoked], ExpiryFilter::Any),
    }
}
