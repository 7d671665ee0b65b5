//! What needs a look: limits near their end, keys that expire soon, and keys of people who left.

use super::{
    members::People,
    near::{self, Found},
    read,
};
use chrono::{DateTime, TimeDelta, Utc};
use clove_core::{AccountId, Clove, Cursor, Error, Key, OrganizationId, Page, Scope, Status};
use std::collections::BTreeMap;

/// Keys that expire within so many days are told.
pub(super) const EXPIRES_WITHIN: i64 = 30;
/// How many expiring keys are listed at a time.
const EXPIRING: usize = 25;
/// How many people who left are listed.
pub(super) const MAX_LEAVERS: usize = 50;

/// All of it.
#[derive(Debug)]
pub(super) struct Attention {
    pub(super) near: Found,
    pub(super) expiring: Page<Key>,
    pub(super) left: Leavers,
    /// How many rows could not be read, in all.
    pub(super) corrupt: usize,
}

/// People who left and have keys that live.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Leavers {
    /// By account.
    pub(super) leavers: Vec<Leaver>,
    /// How many more there are.
    pub(super) more: usize,
    /// Whether all keys of the organization were looked through.
    pub(super) is_whole: bool,
}

/// Someone who left and has keys that live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leaver {
    pub(super) account: AccountId,
    /// How many keys are active, and how many suspended.
    pub(super) active: usize,
    pub(super) suspended: usize,
    pub(super) last_used_at: Option<DateTime<Utc>>,
}

impl Attention {
    /// Reads it; of the keys that expire, those after a cursor.
    pub(super) async fn read(
        clove: &Clove,
        organization: &OrganizationId,
        people: &People,
        after: Option<&Cursor>,
    ) -> Result<Self, Error> {
        let near = near::near(clove, organization).await?;
        let expiring = clove.expiring(organization, TimeDelta::days(EXPIRES_WITHIN), Some(EXPIRING), after).await?;
        let mut corrupt = near.corrupt + expiring.corrupt.len();
        let left =
            if people.are_known() { leavers(clove, organization, people, &mut corrupt).await? } else { Leavers::default() };
        Ok(Self { near, expiring, left, corrupt })
    }
}

async fn leavers(clove: &Clove, organization: &OrganizationId, people: &People, corrupt: &mut usize) -> Result<Leavers, Error> {
    let scope = Scope::from(organization);
    let (mut keys, mut is_whole) = (Vec::new(), true);
    for status in [Status::Active, Status::Suspended] {
        let read = read::keys(clove, &scope, status).await?;
        *corrupt += read.corrupt;
        is_whole &= read.is_whole;
        keys.extend(read.items.into_iter().map(|key| (status, key)));
    }
    let mut leavers = by_account(keys, people);
    let more = leavers.len().saturating_sub(MAX_LEAVERS);
    leavers.truncate(MAX_LEAVERS);
    Ok(Leavers { leavers, more, is_whole })
}

/// Whose keys these are, of those who left.
fn by_account(keys: Vec<(Status, Key)>, people: &People) -> Vec<Leaver> {
    let mut leavers: BTreeMap<AccountId, Leaver> = BTreeMap::new();
    for (status, key) in keys {
        let account = key.owner.account;
        if !people.has_left(&account) {
            continue;
        }
        let new = || Leaver { account: account.clone(), active: 0, suspended: 0, last_used_at: None };
        let leaver = leavers.entry(account.clone()).or_insert_with(new);
        let count = if status == Status::Active { &mut leaver.active } else { &mut leaver.suspended };
        *count += 1;
        leaver.last_used_at = leaver.last_used_at.max(key.last_used_at);
    }
    leavers.into_values().collect()
}
