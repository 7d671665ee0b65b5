//! The adapters say what their table says, under a number of names that no number of keys changes.

use crate::{
    capture::{Events, Said, Series},
    support::{Mode, Spy, is_good, usage::tokens},
};
use clove::{
    Attempt, Budget, BudgetOf, CapabilitySet, Clove, Limits, MetricsObserver, NewKey, Policy, Refill, Requirement, Signal,
    Status, Tier, TracingObserver, Unit, Window,
};
use clove_testkit::Fixture;
use std::{
    collections::{BTreeMap, BTreeSet},
    panic::resume_unwind,
    task::{Context, Waker},
    time::Duration,
};

const TABLES: &str = include_str!("../../clove-core/src/signal/names.md");

/// The words in backticks.
fn words(cell: &str) -> BTreeSet<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// The rows whose first cell names something that begins so.
fn rows(prefix: &str) -> Vec<Vec<&'static str>> {
    let begins = format!("| `{prefix}");
    let lines = TABLES.lines().filter(|line| line.starts_with(&begins));
    lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

fn bytes() -> Unit {
    Unit::new("bytes").unwrap()
}

fn policy() -> Policy {
    let limits = Tier { key: Limits::new([Window::new(30, Duration::from_secs(60)).unwrap()]).unwrap(), account: None };
    let ten = Budget::new(10, Refill::Daily).unwrap();
    let policy = Policy::profile_b().to_builder().budget(BudgetOf::Key, tokens(), ten);
    let policy = policy.budget(BudgetOf::Organization, bytes(), ten);
    policy.limits(limits).danger_uncounted_a_minute(1).build().unwrap()
}

/// A handle whose observers are the adapters, and one that panics at the first denial.
fn adapted(spy: &Spy, policy: Policy) -> Fixture {
    let mut fixture = Fixture::on(spy.clone(), policy.clone()).unwrap();
    let flaky = |signal: &Signal<'_>| {
        if matches!(signal, Signal::Denied { .. }) {
            resume_unwind(Box::new("an observer that panics, on purpose"));
        }
    };
    let builder = Clove::builder(spy.clone(), policy).clock(fixture.clock().clone());
    fixture.clove = builder.observed_by(TracingObserver::new()).observed_by(MetricsObserver::new()).observed_by(flaky).build();
    fixture
}

/// Has everything happen that is ever told.
async fn all_there_is_to_tell(spy: &Spy, fixture: &Fixture) {
    let clove = &fixture.clove;
    let mut work = Box::pin(clove.maintenance().run(|_| {}));
    let mut turn = || {
        assert!(work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        fixture.clock().advance(Duration::from_secs(1));
        assert!(work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    };
    for status in Status::ALL {
        let credential = fixture.key_in(status).await.unwrap().credential.unwrap().reveal();
        let _ = clove.verify(&*credential).await.unwrap();
    }
    let soon = NewKey::named("soon").unwrap().expiry(clove::Expiry::Days(1)).capabilities(CapabilitySet::none());
    let credential = clove.create(&fixture.owner, soon, &fixture.by).await.unwrap().credential.unwrap().reveal();
    assert!(!is_good(clove, "malformed").await);
    let required = Requirement::all_of(["files:write"]).unwrap();
    let _ = clove.verify(Attempt::new(&*credential).requiring(&required)).await.unwrap();
    for (unit, amount) in [(tokens(), 10), (tokens(), 1), (bytes(), 10), (bytes(), 1)] {
        let _ = clove.verify(Attempt::new(&*credential).reserving(&unit, amount)).await.unwrap();
    }
    for _ in 0..60 {
        let _ = clove.verify(&*credential).await.unwrap();
    }
    turn();
    spy.fail_only("expiring_soon");
    fixture.clock().advance(Duration::from_secs(3_600));
    turn();
    spy.fail_only("lease");
    for _ in 0..2 {
        let _ = clove.verify(&*credential).await;
    }
    spy.set(Mode::Fails);
    let _ = clove.verify(&*credential).await;
    spy.set(Mode::Hangs);
    let mut hanging = Box::pin(clove.verify(&*credential));
    assert!(hanging.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    fixture.clock().advance(Duration::from_secs(1));
    assert!(hanging.await.is_err());
    spy.set(Mode::Works);
    fixture.clove.close_owner(&fixture.owner, &fixture.by).await.unwrap();
    let _ = clove.verify(&*credential).await.unwrap();
}

#[tokio::test]
async fn events_have_the_names_levels_and_fields_of_the_table() {
    let (events, spy) = (Events::default(), Spy::new());
    let guard = events.listen();
    all_there_is_to_tell(&spy, &adapted(&spy, policy())).await;
    drop(guard);
    let said = events.said();
    let emitted: BTreeMap<&str, (&str, &BTreeSet<&str>)> =
        said.iter().map(|Said { name, level, fields, .. }| (*name, (level.as_str(), fields))).collect();
    let table: BTreeMap<&str, (&str, BTreeSet<&str>)> =
        rows("clove.").iter().map(|row| (*words(row[0]).first().unwrap(), (row[1], words(row[2])))).collect();
    let table: BTreeMap<&str, (&str, &BTreeSet<&str>)> =
        table.iter().map(|(name, (level, fields))| (*name, (*level, fields))).collect();
    assert_eq!(emitted, table);
}

#[tokio::test]
async fn metrics_have_the_names_labels_and_units_of_the_table_and_each_is_counted() {
    let (series, spy) = (Series::default(), Spy::new());
    let guard = metrics::set_default_local_recorder(&series);
    all_there_is_to_tell(&spy, &adapted(&spy, policy())).await;
    drop(guard);
    let mut wanted = BTreeSet::new();
    for row in rows("clove_") {
        let name = (*words(row[0]).first().unwrap()).to_owned();
        match row[2].split_once(':') {
            Some((label, values)) => {
                let label = label.trim_matches('`').to_owned();
                wanted.extend(words(values).iter().map(|value| (name.clone(), vec![(label.clone(), (*value).to_owned())])));
            }
            None => drop(wanted.insert((name.clone(), Vec::new()))),
        }
        let described = series.described();
        let (unit, _) = described.get(&name).unwrap_or_else(|| panic!("{name} is not described"));
        let unit = unit.unwrap();
        assert_eq!(unit.as_str() == "seconds", row[3] == "seconds", "{name}");
        assert_eq!(unit.as_str() == "count", row[1] == "counter", "{name}");
    }
    let counts = series.counts();
    assert_eq!(counts.keys().cloned().collect::<BTreeSet<_>>(), wanted);
    // What no test of a healthy system meets: an account's window, a corrupt row, a full queue, an unknown pepper, no thread.
    let unmet = ["account", "corrupt_row", "overloaded", "unknown_pepper", "system"];
    let met = |labels: &[(String, String)]| !labels.iter().any(|(_, value)| unmet.contains(&value.as_str()));
    let uncounted: Vec<_> = counts.iter().filter(|((_, labels), count)| **count == 0 && met(labels)).collect();
    assert!(uncounted.is_empty(), "{uncounted:?}");
}

#[tokio::test]
async fn verdicts_are_counted_one_by_one() {
    let (series, spy) = (Series::default(), Spy::new());
    let guard = metrics::set_default_local_recorder(&series);
    let fixture = adapted(&spy, policy());
    let good = fixture.key_in(Status::Active).await.unwrap().credential.unwrap().reveal();
    let off = fixture.key_in(Status::Suspended).await.unwrap().credential.unwrap().reveal();
    for _ in 0..30 {
        let _ = fixture.clove.verify(&*off).await.unwrap();
        assert!(is_good(&fixture.clove, &good).await && !is_good(&fixture.clove, "malformed").await);
    }
    for _ in 0..3 {
        assert!(!is_good(&fixture.clove, &good).await);
    }
    drop(guard);
    for (name, label, wanted) in [
        ("clove_verifications_total", Some(("outcome", "granted")), 30),
        ("clove_verifications_total", Some(("outcome", "denied")), 63),
        ("clove_verifications_total", Some(("outcome", "fault")), 0),
        ("clove_verification_seconds", Some(("outcome", "granted")), 30),
        ("clove_denials_total", Some(("reason", "suspended")), 30),
        ("clove_denials_total", Some(("reason", "not_recognized")), 30),
        ("clove_denials_total", Some(("reason", "limit_reached")), 3),
        ("clove_limit_denials_total", Some(("limit", "key")), 3),
        ("clove_limits_near_total", Some(("limit", "key")), 1),
        ("clove_refusal_bursts_total", Some(("of", "key")), 1),
        ("clove_uncounted_grants_total", None, 0),
    ] {
        assert_eq!(series.count(name, label), wanted, "{name} {label:?}");
    }
}

#[tokio::test]
async fn seconds_are_those_of_the_handle_s_clock() {
    let (series, spy) = (Series::default(), Spy::new());
    let guard = metrics::set_default_local_recorder(&series);
    let fixture = adapted(&spy, policy());
    let credential = fixture.key_in(Status::Active).await.unwrap().credential.unwrap().reveal();
    spy.set(Mode::Hangs);
    let mut hanging = Box::pin(fixture.clove.verify(&*credential));
    assert!(hanging.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    fixture.clock().advance(Duration::from_millis(1_250));
    assert!(hanging.await.is_err());
    drop(guard);
    assert_eq!(series.seconds(), [1.25]);
}

#[tokio::test]
async fn an_event_names_the_key_and_its_owner_and_neither_its_name_nor_its_secret() {
    let (events, spy) = (Events::default(), Spy::new());
    let guard = events.listen();
    let fixture = adapted(&spy, policy());
    let issued = fixture.key_in(Status::Suspended).await.unwrap();
    let credential = issued.credential.unwrap();
    for _ in 0..20 {
        let _ = fixture.clove.verify(&*credential.reveal()).await.unwrap();
    }
    drop(guard);
    let said = events.said();
    assert_eq!(said.len(), 22);
    for Said { text, .. } in &said {
        assert!(text.contains(&format!("key_id={} organization=acme account=ada", issued.key.id)), "{text}");
        assert!(!text.contains("Suspended key") && !text.contains(&credential.secret().reveal()[4..12]), "{text}");
    }
    assert!(said[0].text.contains("reason=\"suspended\""), "{}", said[0].text);
}

/// Each of them is refused, is flagged and makes a burst.
#[tokio::test]
async fn a_hundred_thousand_keys_make_no_more_series_than_one() {
    const KEYS: usize = 100_000;
    let (series, spy) = (Series::default(), Spy::new());
    let guard = metrics::set_default_local_recorder(&series);
    let signals = clove::SignalThresholds { refusals_a_minute: 1, ..clove::SignalThresholds::default() };
    let fixture = adapted(&spy, policy().to_builder().signals(signals).build().unwrap());
    let issued = fixture.key_in(Status::Compromised).await.unwrap();
    spy.take_every_id_for(issued.key.id);
    let secret = issued.credential.unwrap();
    assert!(!is_good(&fixture.clove, "malformed").await);
    let before = series.counts().len();
    for _ in 0..KEYS {
        let credential = format!("{};{}", clove::KeyId::new(fixture.clove.now()), secret.secret().reveal());
        assert!(!is_good(&fixture.clove, &credential).await);
    }
    drop(guard);
    assert_eq!(series.count("clove_refusal_bursts_total", Some(("of", "key"))), KEYS as u64);
    assert_eq!(series.count("clove_flagged_keys_used_total", None), KEYS as u64);
    assert_eq!(series.counts().len(), before);
}
