//! The checker, on histories in which something is wrong.

use crate::{
    RULES,
    checker::{Looked, check},
    found::{Change, Event, Found},
    history::{Call, NEVER, Told, What},
};

const SECOND: u64 = 1_000_000_000;

fn told(by: usize, what: What, times: (u64, u64), told: Told) -> Call {
    Call { by, what, began: times.0 * SECOND, ended: times.1.checked_mul(SECOND).unwrap_or(NEVER), told }
}

fn command(action: &str, operation: &str, about: &str) -> What {
    let [action, operation, about] = [action, operation, about].map(str::to_owned);
    What::Command { action, operation, about }
}

fn done(with: &str) -> Told {
    Told::Done(with.to_owned())
}

fn granted() -> Told {
    Told::Granted { windows: Vec::new(), used: 0 }
}

/// A history that is right: `ada` has two keys, of which one is disabled and the other rotated.
struct World {
    calls: Vec<Call>,
    found: Found,
}

impl World {
    fn new() -> Self {
        let mut world = Self { calls: Vec::new(), found: Found::default() };
        for (key, operation) in [("k1", "o1"), ("k2", "o2")] {
            world.calls.push(told(0, command("create", operation, "ada"), (1, 2), done(key)));
            world.commit(operation, "create", key, [None, Some("active")], 1);
        }
        world.calls.push(told(0, command("disable", "o3", "k1"), (3, 4), done("")));
        world.commit("o3", "disable", "k1", [Some("active"), Some("suspended")], 2);
        world.calls.push(told(0, command("rotate", "o4", "k2"), (3, 4), done("2")));
        world.commit("o4", "rotate", "k2", [Some("active"), Some("active")], 2);
        world
    }

    /// As the database shows it.
    fn commit(&mut self, operation: &str, action: &str, key: &str, [from, to]: [Option<&str>; 2], revision: u64) {
        let found = &mut self.found;
        let event = Event { action: action.to_owned(), about: "ada".to_owned(), key: Some(key.to_owned()) };
        found.events.entry(operation.to_owned()).or_default().push(event);
        if from == to && action != "rotate" && action != "edit" {
            return;
        }
        let [from, to] = [from, to].map(|state| state.map(str::to_owned));
        let held = found.held.entry("ada".to_owned()).or_default();
        *held = *held + u64::from(to.as_deref() == Some("active")) - u64::from(from.as_deref() == Some("active"));
        match &to {
            Some(to) => found.keys.insert(key.to_owned(), (to.clone(), revision)),
            None => found.keys.remove(key),
        };
        let (owner, key, operation) = ("ada".to_owned(), key.to_owned(), Some(operation.to_owned()));
        let holds = to.as_deref() == Some("active");
        found.changes.push(Change { owner, key, operation, from, to, revision, holds });
    }

    fn checks(&mut self, by: usize, key: &str, revision: u64, times: (u64, u64)) {
        self.calls.push(told(by, What::Check { key: key.to_owned(), revision }, times, granted()));
    }

    fn looked(&self) -> Looked {
        let (breaches, looked) = check(RULES, &self.calls, &self.found);
        assert!(breaches.is_empty(), "{breaches:?}");
        looked
    }

    /// The one thing that is wrong says so.
    #[track_caller]
    fn is_wrong(&self, says: &str) {
        let (breaches, _) = check(RULES, &self.calls, &self.found);
        assert!(breaches.iter().any(|breach| breach.contains(says)), "{says:?} is not among {breaches:?}");
    }
}

#[test]
fn a_history_that_is_right_passes() {
    let mut world = World::new();
    world.checks(1, "k1", 1, (5, 6));
    world.checks(0, "k2", 2, (9, 9));
    let looked = world.looked();
    assert_eq!((looked.acknowledged, looked.stale), (4, 1));
}

#[test]
fn an_acknowledged_write_that_is_lost_is_found() {
    let mut world = World::new();
    world.calls.push(told(0, command("edit", "o5", "k2"), (5, 6), done("2")));
    world.is_wrong("is lost");
}

#[test]
fn a_write_that_was_told_not_to_be_done_and_is_done_is_found() {
    for answer in [Told::Fault, Told::Refused, Told::Gone] {
        let mut world = World::new();
        world.calls.push(told(0, command("disable", "o5", "k2"), (5, 6), answer));
        world.commit("o5", "disable", "k2", [Some("active"), Some("suspended")], 3);
        world.is_wrong("was told not to be done");
    }
}

#[test]
fn a_write_of_unknown_outcome_may_be_done_or_not() {
    let mut world = World::new();
    world.calls.push(told(0, command("disable", "o5", "k2"), (5, NEVER), Told::Unknown));
    world.looked();
    world.commit("o5", "disable", "k2", [Some("active"), Some("suspended")], 3);
    assert_eq!(world.looked().unknown, 1);
}

#[test]
fn a_write_that_was_done_and_is_refused_when_asked_again_is_found() {
    let mut world = World::new();
    world.calls.push(told(0, command("disable", "o5", "k2"), (5, 6), Told::Unknown));
    world.calls.push(told(0, command("disable", "o5", "k2"), (7, 8), Told::Refused));
    world.looked();
    world.commit("o5", "disable", "k2", [Some("active"), Some("suspended")], 3);
    world.is_wrong("was told not to be done");
}

#[test]
fn a_creation_that_makes_two_keys_is_found() {
    let mut world = World::new();
    world.commit("o2", "create", "k3", [None, Some("active")], 1);
    world.is_wrong("has 2 events");
    world.is_wrong("created [\"k2\", \"k3\"]");
}

#[test]
fn a_third_active_key_is_found_even_if_it_goes_again() {
    let mut world = World::new();
    for (operation, key) in [("o5", "k3"), ("o6", "k4")] {
        world.calls.push(told(0, command("create", operation, "ada"), (5, 6), done(key)));
        world.commit(operation, "create", key, [None, Some("active")], 1);
    }
    world.calls.push(told(0, command("delete", "o7", "k4"), (7, 8), done("")));
    world.commit("o7", "delete", "k4", [Some("active"), None], 1);
    world.is_wrong("has 3 active keys");
}

#[test]
fn a_count_of_places_that_is_not_of_the_keys_is_found() {
    let mut world = World::new();
    world.found.held.insert("ada".to_owned(), 2);
    world.is_wrong("counts 2 places as held, and 1 are");
}

#[test]
fn a_revived_key_is_found() {
    for end in [Some("revoked"), None] {
        let mut world = World::new();
        world.commit("o5", "revoke", "k2", [Some("active"), end], 3);
        world.commit("o6", "enable", "k2", [end, Some("active")], 4);
        world.is_wrong("was revived");
    }
}

#[test]
fn a_change_by_a_stale_write_is_found() {
    let mut world = World::new();
    world.commit("o5", "edit", "k1", [Some("active"), Some("active")], 3);
    world.is_wrong("k1 went from Some(\"active\")");
}

#[test]
fn two_edits_of_one_revision_are_found() {
    let mut world = World::new();
    world.calls.push(told(1, command("edit", "o5", "k2"), (3, 4), done("2")));
    world.commit("o5", "edit", "k2", [Some("active"), Some("active")], 2);
    world.is_wrong("both told that k2 is at revision 2");
}

#[test]
fn a_row_that_is_not_as_it_was_last_changed_is_found() {
    let mut world = World::new();
    world.found.keys.insert("k1".to_owned(), ("active".to_owned(), 2));
    world.is_wrong("and its last change was");
}

#[test]
fn a_grant_past_the_bound_is_found() {
    let mut world = World::new();
    world.checks(1, "k1", 1, (7, 8));
    world.is_wrong("by another process 3000000 us after o3");
}

#[test]
fn a_grant_by_who_was_told_is_found_at_once() {
    let mut world = World::new();
    world.checks(0, "k1", 1, (5, 6));
    world.is_wrong("by who was told");
}

#[test]
fn a_grant_after_the_key_may_have_been_enabled_is_none_too_late() {
    let mut world = World::new();
    world.calls.push(told(1, command("enable", "o5", "k1"), (7, 9), done("")));
    world.commit("o5", "enable", "k1", [Some("suspended"), Some("active")], 3);
    world.checks(1, "k1", 1, (8, 8));
    world.looked();
    world.checks(0, "k1", 1, (5, 6));
    world.is_wrong("by who was told");
}

#[test]
fn a_grant_of_a_secret_that_was_rotated_out_is_found() {
    let mut world = World::new();
    world.checks(1, "k2", 2, (9, 9));
    world.looked();
    world.checks(1, "k2", 1, (9, 9));
    world.is_wrong("k2, secret of revision 1, was granted by another process");
}

#[test]
fn a_grant_behind_a_closed_owner_is_found() {
    let mut world = World::new();
    world.calls.push(told(0, command("close_owner", "o5", "ada"), (5, 6), done("")));
    let event = Event { action: "close_owner".to_owned(), about: "ada".to_owned(), key: None };
    world.found.events.insert("o5".to_owned(), vec![event]);
    world.checks(1, "k2", 2, (7, 8));
    world.looked();
    world.checks(1, "k2", 2, (9, 9));
    world.is_wrong("k2, secret of revision 2, was granted by another process");
}

#[test]
fn a_window_that_is_charged_beyond_its_limit_is_found() {
    let mut world = World::new();
    for by in [0, 1, 1] {
        let windows = vec![("k2/60".to_owned(), 2)];
        world.calls.push(told(by, What::Verify { key: "k2".to_owned() }, (5, 6), Told::Granted { windows, used: 0 }));
    }
    world.found.usage.insert("requests".to_owned(), 3);
    world.is_wrong("3 were granted under k2/60, whose limit is 2");
    world.calls.pop();
    world.found.usage.insert("requests".to_owned(), 2);
    assert_eq!(world.looked().full_windows, 1);
}

#[test]
fn usage_that_is_lost_or_counted_twice_is_found() {
    let mut world = World::new();
    world.calls.push(told(0, What::Record { unit: "u".to_owned(), total: 5 }, (5, 6), done("")));
    world.calls.push(told(0, What::Record { unit: "u".to_owned(), total: 7 }, (7, NEVER), Told::Unknown));
    for (found, is_right) in [(0, false), (5, true), (6, false), (7, true), (10, false), (12, false)] {
        world.found.usage.insert("u".to_owned(), found);
        if is_right {
            world.looked();
        } else {
            world.is_wrong(&format!("{found} of u are counted"));
        }
    }
}

#[test]
fn requests_that_are_lost_after_a_flush_or_counted_twice_are_found() {
    let mut world = World::new();
    let verify = || What::Verify { key: "k2".to_owned() };
    world.calls.push(told(0, verify(), (5, 6), granted()));
    world.calls.push(told(0, What::Flush, (7, 8), done("")));
    world.calls.push(told(0, verify(), (9, NEVER), Told::Unknown));
    for (found, is_right) in [(0, false), (1, true), (2, true), (3, false)] {
        world.found.usage.insert("requests".to_owned(), found);
        if is_right {
            world.looked();
        } else {
            world.is_wrong(&format!("{found} requests are counted, of 1 to 2"));
        }
    }
}

#[test]
fn a_budget_that_is_overspent_or_forgets_what_was_spent_is_found() {
    for (used, taken, is_right) in [(10, 12, true), (10, 9, false), (10, RULES.budget + 1, false)] {
        let mut world = World::new();
        let what = What::Reserve { budget: "ada/budget-1".to_owned() };
        world.calls.push(told(0, what, (5, 6), Told::Granted { windows: Vec::new(), used }));
        world.found.budgets.insert("ada/budget-1".to_owned(), taken);
        if is_right {
            world.found.usage.insert("requests".to_owned(), 1);
            world.looked();
        } else {
            world.is_wrong("of ada/budget-1 are spent");
        }
    }
}
