//! For how long keys and secrets were dead for sure, by what clients were told and the order in which keys changed.

use crate::{
    found::{Change, Found},
    history::{Call, NEVER, Told, What},
};
use std::collections::{BTreeMap, BTreeSet};

/// Calls by operation id, in the order in which they were made.
pub(crate) type Commands<'h> = BTreeMap<&'h str, Vec<&'h Call>>;

/// A key, or what it had for secrets, from when a client was told so until a command began that made it live again.
#[derive(Debug)]
pub(crate) struct Dead<'h> {
    pub(crate) key: &'h str,
    pub(crate) told: u64,
    pub(crate) told_to: usize,
    pub(crate) until: u64,
    /// Secrets of earlier revisions than this are.
    pub(crate) before: u64,
    pub(crate) by: &'h str,
}

pub(crate) fn all<'h>(commands: &Commands<'h>, found: &'h Found) -> Vec<Dead<'h>> {
    let mut dead = by_changes(commands, found);
    // Known by its change it is known for longer.
    let known: BTreeSet<(&str, &str)> = dead.iter().map(|dead| (dead.key, dead.by)).collect();
    dead.extend(by_commands(commands, found).into_iter().filter(|dead| !known.contains(&(dead.key, dead.by))));
    dead
}

/// Each change that was told, until the next one that revives.
fn by_changes<'h>(commands: &Commands<'h>, found: &'h Found) -> Vec<Dead<'h>> {
    let begun = |change: &Change| {
        let calls = change.operation.as_deref().and_then(|operation| commands.get(operation));
        calls.and_then(|calls| calls.first()).map_or(0, |call| call.began)
    };
    let lives = |change: &Change| change.to.as_deref() == Some("active");
    let mut of_keys: BTreeMap<&str, Vec<&Change>> = BTreeMap::new();
    found.changes.iter().for_each(|change| of_keys.entry(&change.key).or_default().push(change));
    let mut dead = Vec::new();
    for (key, changes) in of_keys {
        for (place, change) in changes.iter().enumerate() {
            let by = change.operation.as_deref().unwrap_or_default();
            let calls = commands.get(by).map(Vec::as_slice).unwrap_or_default();
            let told = calls.iter().filter(|call| matches!(call.told, Told::Done(_)));
            let Some((told, told_to)) = told.map(|call| (call.ended, call.by)).min() else { continue };
            if !lives(change) {
                let next = changes.iter().skip(place + 1).find(|next| lives(next));
                let until = next.map_or(NEVER, |next| begun(next));
                dead.push(Dead { key, told, told_to, until, before: u64::MAX, by });
            }
            if calls.iter().any(|call| matches!(&call.what, What::Command { action, .. } if action == "rotate")) {
                dead.push(Dead { key, told, told_to, until: NEVER, before: change.revision, by });
            }
        }
    }
    dead
}

/// Each command that kills, also where that held already, until one that may have revived.
fn by_commands<'h>(commands: &Commands<'h>, found: &'h Found) -> Vec<Dead<'h>> {
    let mut keys_of: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let created = found.changes.iter().filter(|change| change.from.is_none());
    created.for_each(|change| keys_of.entry(&change.owner).or_default().push(&change.key));
    let mut revivals: BTreeMap<(&str, &str), Vec<&Vec<&Call>>> = BTreeMap::new();
    for calls in commands.values() {
        if let What::Command { action, about, .. } = &calls[0].what {
            revivals.entry((action, about)).or_default().push(calls);
        }
    }
    let mut dead = Vec::new();
    for (by, calls) in commands {
        let What::Command { action, about, .. } = &calls[0].what else { continue };
        let revival = match action.as_str() {
            "disable" | "revoke" | "delete" => "enable",
            "close_owner" => "reopen_owner",
            _ => continue,
        };
        let told = calls.iter().filter(|call| matches!(call.told, Told::Done(_)));
        let Some((told, told_to)) = told.map(|call| (call.ended, call.by)).min() else { continue };
        let since = calls[0].began;
        let may_come = |calls: &&&Vec<&Call>| calls.iter().any(|call| call.ended >= since);
        let revivals = revivals.get(&(revival, about.as_str())).into_iter().flatten();
        let until = revivals.filter(may_come).map(|calls| calls[0].began).min().unwrap_or(NEVER);
        let of_owner = keys_of.get(about.as_str()).filter(|_| action == "close_owner");
        let keys = of_owner.map_or(std::slice::from_ref(about).iter().map(String::as_str).collect(), Vec::clone);
        dead.extend(keys.into_iter().map(|key| Dead { key, told, told_to, until, before: u64::MAX, by }));
    }
    dead
}
