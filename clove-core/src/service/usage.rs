//! Reading usage, page by page.

use super::{Clove, Cursor, Page, pages::page_size};
use crate::{
    error::{CorruptRow, Error, Invalid, size},
    id::{AccountId, KeyId, Scope},
    store::{UsagePlace, UsageQuery},
    usage::{Day, Unit, Usage, UsageBy, UsagePer},
};
use chrono::NaiveDate;

/// Which usage to read. In the order of account, key, unit and day, as far as they are told apart, oldest day first.
#[derive(Clone, Debug, Default)]
pub struct ListUsage {
    /// Whose sums are told apart; nobody's unless set.
    pub by: UsageBy,
    /// Whether days are told apart; they are unless set.
    pub per: UsagePer,
    /// Only of this key.
    pub key: Option<KeyId>,
    /// Only of this unit.
    pub unit: Option<Unit>,
    /// Only on this day or later.
    pub first: Option<Day>,
    /// Only on this day or earlier.
    pub last: Option<Day>,
    /// How many sums, 1 to 200; 50 unless set.
    pub limit: Option<usize>,
    /// The page after this one.
    pub after: Option<Cursor>,
}

impl Clove {
    /// A page of sums of usage: a series by day, or totals. Days and units of which nothing was used have no sum. Keys that are gone
    /// are among those that are told apart.
    ///
    /// A sum that cannot be read, or that has a part that cannot, is left out and told in [`Page::corrupt`].
    ///
    /// # Errors
    /// [`Invalid`] for a page size or cursor out of range; otherwise the store's failure.
    pub async fn usage(&self, scope: impl Into<Scope>, list: &ListUsage) -> Result<Page<Usage>, Error> {
        let after = list.after.as_ref().map(|cursor| cursor.usage(list)).transpose()?;
        let query = UsageQuery {
            scope: scope.into(),
            by: list.by,
            per: list.per,
            key: list.key,
            unit: list.unit.clone(),
            first: list.first.unwrap_or(NaiveDate::MIN.into()),
            last: list.last.unwrap_or(NaiveDate::MAX.into()),
            after: after.cloned(),
            limit: page_size(list.limit)?,
        };
        let page = self.inner.store.usage(&query).await?;
        let next = page.last.filter(|_| page.more).map(Cursor::of_usage);
        Ok(Page { items: page.sums, next, corrupt: vec![CorruptRow::Usage; page.corrupt] })
    }
}

/// The text of a place: day, key, account in hexadecimal digits, unit; nothing for what is not told apart.
pub(super) fn to_text(place: &UsagePlace) -> String {
    let UsagePlace { account, key, unit, day } = place;
    let day = day.map_or(String::new(), |day| day.epoch_days().to_string());
    let key = key.map_or(String::new(), |key| key.as_uuid().simple().to_string());
    let account = account.as_ref().map_or("", |account| account.as_str());
    let account: String = account.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{day}.{key}.{account}.{unit}")
}

pub(super) fn from_text(text: &str) -> Option<UsagePlace> {
    let mut parts = text.splitn(4, '.');
    let (day, key, account, unit) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let account = bytes(account)?;
    let account = if account.is_empty() { None } else { Some(AccountId::from_stored(String::from_utf8(account).ok()?).ok()?) };
    let key = if key.is_empty() { None } else { Some(KeyId::from_slice(uuid::Uuid::try_parse(key).ok()?.as_bytes()).ok()?) };
    let day = if day.is_empty() { None } else { Some(Day::from_epoch_days(day.parse().ok()?)?) };
    Some(UsagePlace { account, key, unit: Unit::new(unit).ok()?, day })
}

/// The bytes of a text of hexadecimal digits.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
    if rest.is_empty() { bytes.collect() } else { None }
}

impl Cursor {
    /// The place in a list of usage, if it is of one that tells the same apart.
    fn usage(&self, list: &ListUsage) -> Result<&UsagePlace, Invalid> {
        let tells = |place: &&UsagePlace| {
            place.account.is_some() == (list.by != UsageBy::Organization)
                && place.key.is_some() == (list.by == UsageBy::Key)
                && place.day.is_some() == (list.per == UsagePer::Day)
        };
        self.usage_place().filter(tells).ok_or_else(Self::of_another_list)
    }
}

/// Reads the text behind a cursor's first letter.
pub(super) fn parse(text: &str) -> Result<UsagePlace, Invalid> {
    from_text(text).ok_or_else(|| Invalid::new("cursor", "must be one that an earlier page gave", size(text)))
}
