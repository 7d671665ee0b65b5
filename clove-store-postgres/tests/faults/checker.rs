//! What must hold of any history, whatever failed: each breach is a sentence.

use crate::{
    dead::{self, Dead},
    found::{Change, Found},
    history::{Call, Told, What},
};
use std::collections::{BTreeMap, BTreeSet};

/// What clients were promised.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Active keys of an owner, at most.
    pub(crate) limit: u64,
    /// Of each unit of an account, at most.
    pub(crate) budget: u64,
    /// How late another process obeys, at most, in nanoseconds.
    pub(crate) bound: u64,
}

/// How much there was to be wrong.
#[derive(Clone, Debug, Default)]
pub(crate) struct Looked {
    pub(crate) acknowledged: usize,
    pub(crate) unknown: usize,
    /// Unknown at first, and told when asked again.
    pub(crate) resolved: usize,
    pub(crate) changes: usize,
    pub(crate) granted: usize,
    /// Checks of dead keys that began after the kill was told: by the same `Clove`, later than the bound, and those granted within it.
    pub(crate) at_once: usize,
    pub(crate) late: usize,
    pub(crate) stale: usize,
    pub(crate) full_windows: usize,
    pub(crate) records: usize,
    pub(crate) spent: u64,
}

pub(crate) struct Checker<'h> {
    rules: Rules,
    calls: &'h [Call],
    found: &'h Found,
    breaches: Vec<String>,
    looked: Looked,
}

pub(crate) fn check(rules: Rules, calls: &[Call], found: &Found) -> (Vec<String>, Looked) {
    let mut checker = Checker { rules, calls, found, breaches: Vec::new(), looked: Looked::default() };
    checker.writes();
    checker.revisions();
    checker.order();
    checker.windows();
    checker.usage();
    checker.budgets();
    checker.freshness();
    (checker.breaches, checker.looked)
}

impl<'h> Checker<'h> {
    fn must(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.breaches.push(otherwise());
        }
    }

    /// By operation id, in the order in which they were made.
    fn commands(&self) -> BTreeMap<&'h str, Vec<&'h Call>> {
        let mut commands: BTreeMap<&str, Vec<&Call>> = BTreeMap::new();
        for call in self.calls {
            if let What::Command { operation, .. } = &call.what {
                commands.entry(operation).or_default().push(call);
            }
        }
        commands.values_mut().for_each(|calls| calls.sort_by_key(|call| call.began));
        commands
    }

    /// What was acknowledged is there, once, and what was said not to be done is not.
    fn writes(&mut self) {
        let found = self.found;
        for (operation, calls) in self.commands() {
            let What::Command { action, about, .. } = &calls[0].what else { continue };
            let events = found.events.get(operation).map(Vec::as_slice).unwrap_or_default();
            let done = calls.iter().find_map(|call| if let Told::Done(with) = &call.told { Some(with) } else { None });
            let is_unknown = calls.iter().any(|call| call.told == Told::Unknown);
            self.looked.acknowledged += usize::from(done.is_some());
            self.looked.unknown += usize::from(is_unknown);
            self.looked.resolved += usize::from(is_unknown && done.is_some());
            self.must(events.len() <= 1, || format!("{action} {operation} of {about} has {} events", events.len()));
            let event = events.first();
            if let Some(event) = event {
                let is_about = event.about == *about || event.key.as_deref() == Some(about);
                self.must(event.action == *action && is_about, || {
                    format!("{action} {operation} of {about} is {event:?} in the trail")
                });
            }
            let created =
                found.changes.iter().filter(|change| change.from.is_none() && change.operation.as_deref() == Some(operation));
            let created: Vec<&str> = created.map(|change| change.key.as_str()).collect();
            self.must(created.len() <= 1, || format!("{action} {operation} of {about} created {created:?}"));
            if let Some(with) = done {
                self.must(event.is_some(), || format!("{action} {operation} of {about} was acknowledged and is lost"));
                let is_there = action != "create" || created == [with.as_str()];
                self.must(is_there, || format!("{operation} was told to have created {with}, and created {created:?}"));
            }
            // What was done to a key, and asked for again once it is deleted, is of no key.
            let last = calls.last().map(|call| &call.told);
            let is_deleted = || found.changes.iter().any(|change| change.key == *about && change.to.is_none());
            if last == Some(&Told::Gone) && is_deleted() {
                continue;
            }
            let is_refused = matches!(last, Some(Told::Refused | Told::Gone));
            if done.is_none() && (is_refused || !is_unknown) {
                self.must(event.is_none(), || {
                    format!("{action} {operation} of {about} was told not to be done ({:?}), and is done", calls[0].told)
                });
            }
        }
    }

    /// Of two edits or rotations of one revision one is refused, and none is undone.
    fn revisions(&mut self) {
        let mut last: BTreeMap<&str, u64> = BTreeMap::new();
        for change in &self.found.changes {
            last.insert(&change.key, change.revision);
        }
        let mut told: BTreeMap<(&str, &str), &str> = BTreeMap::new();
        for call in self.calls {
            let (What::Command { action, operation, about }, Told::Done(with)) = (&call.what, &call.told) else { continue };
            if action != "edit" && action != "rotate" {
                continue;
            }
            let before = told.insert((about, with), operation);
            self.must(before.is_none_or(|before| before == operation), || {
                format!("{before:?} and {operation} were both told that {about} is at revision {with} since")
            });
            let (last, revision) = (last.get(about.as_str()).copied().unwrap_or_default(), with.parse().unwrap_or(u64::MAX));
            self.must(last >= revision, || format!("{about} is at revision {last}, and {operation} was told {with}"));
        }
    }

    /// Keys go the ways that the lifecycle knows, none comes back, and no owner ever has more of them active than it may.
    fn order(&mut self) {
        let (mut states, mut held): (BTreeMap<&str, &Change>, BTreeMap<&str, BTreeSet<&str>>) = Default::default();
        let found = self.found;
        self.looked.changes = found.changes.len();
        for change in &found.changes {
            let Change { owner, key, operation, from, to, .. } = change;
            let before = states.insert(key, change);
            self.must(before.and_then(|before| before.to.clone()) == *from, || {
                format!("{key} went from {from:?} to {to:?} by {operation:?}, and was {before:?}")
            });
            let is_over = before.is_some_and(|before| matches!(before.to.as_deref(), None | Some("revoked" | "compromised")));
            let comes_back = is_over && matches!(to.as_deref(), Some("active" | "suspended"));
            self.must(!comes_back, || format!("{key} was revived by {operation:?}: {before:?}, then {to:?}"));
            let held = held.entry(owner).or_default();
            if change.holds {
                held.insert(key)
            } else {
                held.remove(key.as_str())
            };
            let (many, limit) = (u64::try_from(held.len()).unwrap_or(u64::MAX), self.rules.limit);
            self.must(many <= limit, || format!("{owner} has {many} active keys after {operation:?}: {held:?}"));
        }
        for (key, change) in &states {
            let row = found.keys.get(*key);
            let is_as_told =
                row.map(|(state, revision)| (state, *revision)) == change.to.as_ref().map(|to| (to, change.revision));
            self.must(is_as_told, || format!("{key} is {row:?}, and its last change was {change:?}"));
        }
        for (owner, many) in &found.held {
            let held = held.get(owner.as_str()).map_or(0, |held| u64::try_from(held.len()).unwrap_or(u64::MAX));
            self.must(held == *many, || format!("{owner} counts {many} places as held, and {held} are"));
        }
    }

    /// Never more is granted under a window's name than its limit.
    fn windows(&mut self) {
        let mut granted: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for call in self.calls {
            let Told::Granted { windows, .. } = &call.told else { continue };
            self.looked.granted += 1;
            for (name, limit) in windows {
                let window = granted.entry(name).or_insert((0, *limit));
                window.0 += 1;
            }
        }
        for (name, (many, limit)) in granted {
            self.looked.full_windows += usize::from(many == limit);
            self.must(many <= limit, || format!("{many} were granted under {name}, whose limit is {limit}"));
        }
    }

    /// What was acknowledged is counted, and counted once.
    fn usage(&mut self) {
        let mut totals: BTreeMap<&str, (u64, BTreeSet<u64>)> = BTreeMap::new();
        let (mut flushed, mut most): (BTreeMap<usize, u64>, u64) = Default::default();
        for call in self.calls {
            match &call.what {
                What::Record { unit, total } => {
                    let (acknowledged, tried) = totals.entry(unit).or_default();
                    tried.insert(*total);
                    if matches!(call.told, Told::Done(_)) {
                        *acknowledged = (*acknowledged).max(*total);
                    }
                }
                What::Flush if matches!(call.told, Told::Done(_)) => {
                    let last = flushed.entry(call.by).or_default();
                    *last = call.began.max(*last);
                }
                What::Verify { .. } | What::Reserve { .. } => most += u64::from(call.told != Told::Refused),
                _ => {}
            }
        }
        let used = |unit: &str| self.found.usage.get(unit).copied().unwrap_or_default();
        self.looked.records = totals.len();
        let wrong = totals.into_iter().filter(|(unit, (acknowledged, tried))| {
            let found = used(unit);
            found < *acknowledged || (found > 0 && !tried.contains(&found))
        });
        let wrong: Vec<_> = wrong.map(|(unit, told)| format!("{} of {unit} are counted, of {told:?}", used(unit))).collect();
        self.breaches.extend(wrong);
        let is_counted = |call: &&Call| {
            let is_request = matches!(call.what, What::Verify { .. } | What::Reserve { .. });
            is_request
                && matches!(call.told, Told::Granted { .. })
                && flushed.get(&call.by).is_some_and(|flushed| call.ended < *flushed)
        };
        let least = u64::try_from(self.calls.iter().filter(is_counted).count()).unwrap_or(u64::MAX);
        let requests = used("requests");
        self.must((least..=most).contains(&requests), || format!("{requests} requests are counted, of {least} to {most}"));
    }

    fn budgets(&mut self) {
        let mut spent: BTreeMap<&str, u64> = BTreeMap::new();
        for call in self.calls {
            if let (What::Reserve { budget }, Told::Granted { used, .. }) = (&call.what, &call.told) {
                *spent.entry(budget).or_default() += used;
            }
        }
        for (budget, spent) in spent {
            let (taken, amount) = (self.found.budgets.get(budget).copied().unwrap_or_default(), self.rules.budget);
            self.looked.spent += spent;
            self.must(spent <= taken && taken <= amount, || {
                format!("{spent} of {budget} are spent, and {taken} of {amount} taken")
            });
        }
    }

    /// Nobody grants later than the bound after a kill was told, and whoever was told it, not at all.
    fn freshness(&mut self) {
        let mut checks: BTreeMap<&str, Vec<(&Call, u64)>> = BTreeMap::new();
        for call in self.calls {
            if let What::Check { key, revision } = &call.what {
                checks.entry(key).or_default().push((call, *revision));
            }
        }
        for Dead { key: about, told, told_to, until, before, by } in dead::all(&self.commands(), self.found) {
            for (call, revision) in checks.get(about).into_iter().flatten().filter(|(_, revision)| *revision < before) {
                // While the check ran, it was dead for sure.
                if told > call.began || call.ended >= until {
                    continue;
                }
                let (late, same) = (call.began - told, told_to == call.by);
                let is_granted = matches!(call.told, Told::Granted { .. });
                self.looked.at_once += usize::from(same);
                self.looked.late += usize::from(!same && late > self.rules.bound);
                self.looked.stale += usize::from(is_granted);
                let bound = if same { 0 } else { self.rules.bound };
                self.must(!is_granted || late <= bound, || {
                    let whom = if same { "by who was told" } else { "by another process" };
                    format!("{about}, secret of revision {revision}, was granted {whom} {} us after {by}", late / 1000)
                });
            }
        }
    }
}
