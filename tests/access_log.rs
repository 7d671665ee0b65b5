//! The access log: what is noted of a request, what is promised of it, and what is lost.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use clove::{
    AccessEntry, AccessLimit, AccessLog, AccessOutcome, Attempt, DenialReason, EndpointLabel, Fault, KeyId, Limited, Limits,
    ListAccess, ListUsage, Owner, Policy, Requirement, Status, Tier, Unit, Verdict, Window, policy::PolicyBuilder,
};
use clove_testkit::Fixture;
use std::{
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Duration,
};
use support::{Mode, Spy, denied, is_good, poll_and_drop, spied};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// How many entries wait at most: 128 chunks in the queue, and the one of the thread.
const WAITING: usize = 129 * 1024;

fn logging(log: AccessLog) -> PolicyBuilder {
    Policy::builder().limits(Tier::unlimited()).access_log(log)
}

async fn logged(log: AccessLog) -> (Fixture, Spy, String) {
    let (fixture, spy) = spied(logging(log).build().unwrap());
    let credential = credential(&fixture, Status::Active).await;
    spy.calls();
    (fixture, spy, credential)
}

async fn credential(fixture: &Fixture, status: Status) -> String {
    fixture.key_in(status).await.unwrap().credential.unwrap().reveal().to_string()
}

/// The whole log of the fixture's organization, newest first.
async fn log(fixture: &Fixture) -> Vec<AccessEntry> {
    let (mut entries, mut list) = (Vec::new(), ListAccess { limit: Some(200), ..ListAccess::default() });
    loop {
        let page = fixture.clove.access_log(&fixture.owner.organization, &list).await.unwrap();
        assert!(page.corrupt.is_empty());
        entries.extend(page.items);
        list.after = page.next;
        if list.after.is_none() {
            return entries;
        }
    }
}

fn poll<T>(work: &mut Pin<impl std::ops::DerefMut<Target = impl Future<Output = T>>>) -> Poll<T> {
    work.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// How often the store was asked to write entries since this was last asked.
fn writes(spy: &Spy) -> usize {
    spy.calls().iter().filter(|call| **call == "log_access").count()
}

#[tokio::test]
async fn nothing_is_written_unless_a_host_chooses_it() {
    let (fixture, spy) = spied(Policy::profile_a());
    assert_eq!(fixture.clove.policy().access_log(), AccessLog::Off);
    let credential = credential(&fixture, Status::Active).await;
    assert!(is_good(&fixture.clove, &credential).await && !is_good(&fixture.clove, "clv-nobody").await);
    spy.calls();
    fixture.clove.flush().await.unwrap();
    assert_eq!(writes(&spy), 0);
    assert_eq!((log(&fixture).await.len(), fixture.clove.unrecognized()), (0, 1));
}

#[tokio::test]
async fn an_entry_tells_what_key_was_granted_what_where_and_what_is_left() {
    let window = |count, seconds| Window::new(count, Duration::from_secs(seconds)).unwrap();
    let limits = |windows: &[Window]| Limits::new(windows.iter().copied()).unwrap();
    let tier = Tier { key: limits(&[window(100, 60), window(1_000, 3_600)]), account: Some(limits(&[window(20, 60)])) };
    let fixture = Fixture::new(logging(AccessLog::BestEffort).limits(tier).build().unwrap()).unwrap();
    let issued = fixture.key_in(Status::Active).await.unwrap();
    let (key, credential) = (issued.key.id, issued.credential.unwrap().reveal());
    let label = EndpointLabel::new("POST/v1/messages").unwrap();
    let attempt = Attempt::new(&*credential).costing(3).at_endpoint(&label);
    let grant = fixture.clove.verify(attempt).await.unwrap().granted().unwrap();
    fixture.clove.flush().await.unwrap();
    let limit = AccessLimit { of: Limited::Account, window: window(20, 60), left: 17 };
    let entry = AccessEntry {
        id: grant.id(),
        at: grant.at(),
        key,
        owner: fixture.owner.clone(),
        outcome: AccessOutcome::Granted,
        limit: Some(limit),
        cost: 3,
        endpoint: Some(label),
    };
    assert_eq!(log(&fixture).await, [entry]);
}

#[tokio::test]
async fn a_look_ahead_is_charged_to_nothing_and_only_its_denial_is_an_entry() {
    for log_mode in [AccessLog::BestEffort, AccessLog::Required] {
        let tier = Tier { key: Limits::new([Window::new(1, SECOND).unwrap()]).unwrap(), account: Some(Limits::unlimited()) };
        let fixture = Fixture::new(logging(log_mode).limits(tier).build().unwrap()).unwrap();
        let active = credential(&fixture, Status::Active).await;
        for _ in 0..2 {
            let ahead = fixture.clove.verify(Attempt::new(&active).looking_ahead()).await.unwrap();
            assert!(ahead.granted().is_some(), "a window of one place has it still");
        }
        assert!(is_good(&fixture.clove, &active).await);
        let suspended = credential(&fixture, Status::Suspended).await;
        denied(fixture.clove.verify(Attempt::new(&suspended).looking_ahead()).await);
        fixture.clove.flush().await.unwrap();
        let mut outcomes: Vec<_> = log(&fixture).await.into_iter().map(|entry| (entry.outcome, entry.cost)).collect();
        outcomes.sort_unstable();
        assert_eq!(outcomes, [(AccessOutcome::Granted, 1), (AccessOutcome::Suspended, 0)]);
    }
}

#[tokio::test]
async fn every_denial_of_a_proven_secret_is_an_entry_of_its_own_kind() {
    for log_mode in [AccessLog::BestEffort, AccessLog::Required] {
        let tier = Tier { key: Limits::new([Window::new(1, SECOND).unwrap()]).unwrap(), account: Some(Limits::unlimited()) };
        let fixture = Fixture::new(logging(log_mode).limits(tier).build().unwrap()).unwrap();
        let required = Requirement::all_of(["models:read"]).unwrap();
        let mut wanted = Vec::new();
        for (status, outcome) in [
            (Status::Suspended, AccessOutcome::Suspended),
            (Status::Expired, AccessOutcome::Expired),
            (Status::Compromised, AccessOutcome::Compromised),
            (Status::Revoked, AccessOutcome::Revoked),
        ] {
            denied(fixture.clove.verify(&credential(&fixture, status).await).await);
            wanted.push(outcome);
        }
        let active = credential(&fixture, Status::Active).await;
        denied(fixture.clove.verify(Attempt::new(&active).requiring(&required)).await);
        wanted.push(AccessOutcome::CapabilityMissing);
        let exhausted = denied(fixture.clove.verify(Attempt::new(&active).costing(2)).await);
        wanted.push(AccessOutcome::LimitReached);
        fixture.clove.close_owner(&fixture.owner, &fixture.by).await.unwrap();
        assert_eq!(denied(fixture.clove.verify(&active).await), DenialReason::OwnerClosed);
        wanted.push(AccessOutcome::OwnerClosed);
        fixture.clove.flush().await.unwrap();
        let mut entries = log(&fixture).await;
        // Entries of one moment have no order among them.
        for outcome in &wanted {
            assert_eq!(entries.iter().filter(|entry| entry.outcome == *outcome).count(), 1, "{outcome}");
        }
        assert_eq!(entries.len(), wanted.len());
        entries.retain(|entry| entry.outcome == AccessOutcome::LimitReached);
        let (limit, DenialReason::LimitReached(exhausted)) = (entries[0].limit.unwrap(), exhausted) else { panic!() };
        assert_eq!((limit.of, limit.window, limit.left), (exhausted.of, exhausted.window, exhausted.left));
        assert_eq!(entries[0].cost, 2);
    }
}

#[tokio::test]
async fn a_check_is_an_entry_without_cost_and_one_granted_uncounted_says_so() {
    let tier = Tier { key: Limits::standard(), account: Some(Limits::unlimited()) };
    let policy = logging(AccessLog::BestEffort).limits(tier).danger_uncounted_a_minute(1).build().unwrap();
    let (fixture, spy) = spied(policy);
    let credential = credential(&fixture, Status::Active).await;
    spy.fail_only("lease");
    assert!(is_good(&fixture.clove, &credential).await);
    spy.set(Mode::Works);
    let check = Attempt::new(&credential).costing(5).only_checking();
    assert!(fixture.clove.verify(check).await.unwrap().granted().is_some());
    fixture.clove.flush().await.unwrap();
    let mut found: Vec<_> = log(&fixture).await.iter().map(|entry| (entry.outcome, entry.cost)).collect();
    found.sort_unstable();
    assert_eq!(found, [(AccessOutcome::Granted, 0), (AccessOutcome::GrantedUncounted, 1)]);
}

#[tokio::test]
async fn who_proves_nothing_is_counted_by_the_hour_and_never_written() {
    for log_mode in [AccessLog::BestEffort, AccessLog::Required] {
        let (fixture, _spy, credential) = logged(log_mode).await;
        let clove = &fixture.clove;
        let (id, secret) = credential.split_once(';').unwrap();
        let wrong = format!("{id};{}", self::credential(&fixture, Status::Active).await.split_once(';').unwrap().1);
        let unknown = format!("{};{secret}", KeyId::new(clove.now()));
        let began = clove.now();
        for text in ["", "clv-nobody", &wrong, &unknown] {
            assert_eq!(denied(clove.verify(text).await), DenialReason::NotRecognized);
        }
        assert_eq!(clove.unrecognized(), 4);
        clove.flush().await.unwrap();
        clove.flush().await.unwrap();
        fixture.clock().advance(3_600 * SECOND);
        denied(clove.verify("").await);
        clove.flush().await.unwrap();
        fixture.clock().step_back(3_600 * SECOND);
        denied(clove.verify("").await);
        clove.flush().await.unwrap();
        let hours = clove.unrecognized_by_hour(began - chrono::TimeDelta::hours(1), began + chrono::TimeDelta::hours(2)).await;
        let counts: Vec<u64> = hours.unwrap().into_iter().map(|(_, count)| count).collect();
        assert_eq!((counts, clove.unrecognized()), (vec![5, 1], 6));
        assert!(log(&fixture).await.is_empty());
    }
}

#[tokio::test]
async fn counts_that_could_not_be_written_are_written_later() {
    let (fixture, spy, _) = logged(AccessLog::BestEffort).await;
    let clove = &fixture.clove;
    denied(clove.verify("").await);
    spy.fail_only("count_unrecognized");
    assert!(clove.flush().await.is_err());
    fixture.clock().advance(3_600 * SECOND);
    denied(clove.verify("").await);
    spy.set(Mode::Works);
    clove.flush().await.unwrap();
    let (day, now) = (chrono::TimeDelta::days(1), clove.now());
    let counts: Vec<u64> = clove.unrecognized_by_hour(now - day, now + day).await.unwrap().into_iter().map(|(_, n)| n).collect();
    assert_eq!(counts, [1, 1]);
}

#[tokio::test]
async fn maintenance_writes_each_second_and_at_once_where_half_of_what_may_wait_does() {
    let (fixture, spy, credential) = logged(AccessLog::BestEffort).await;
    let mut work = pin!(fixture.clove.maintenance().run(|error| panic!("{error}")));
    assert!(poll(&mut work).is_pending());
    assert!(is_good(&fixture.clove, &credential).await);
    spy.calls();
    assert!(poll(&mut work).is_pending() && spy.calls().is_empty());
    fixture.clock().advance(SECOND);
    assert!(poll(&mut work).is_pending());
    let but_polls = |calls: Vec<&'static str>| calls.into_iter().filter(|call| *call != "epochs").collect::<Vec<_>>();
    assert_eq!(but_polls(spy.calls()), ["touch", "record", "log_access"]);
    for _ in 0..64 * 1024 {
        assert!(is_good(&fixture.clove, &credential).await);
    }
    spy.calls();
    assert!(poll(&mut work).is_pending() && spy.calls().is_empty());
    for _ in 0..2 {
        assert!(is_good(&fixture.clove, &credential).await);
    }
    spy.calls();
    assert!(poll(&mut work).is_pending());
    assert_eq!(writes(&spy), 65, "64 chunks, and what came after");
    assert_eq!((log(&fixture).await.len(), fixture.clove.access_log_lost()), (64 * 1024 + 3, 0));
}

#[tokio::test]
async fn what_does_not_fit_is_lost_and_counted_and_the_rest_is_written_once() {
    let (fixture, spy, credential) = logged(AccessLog::BestEffort).await;
    let clove = &fixture.clove;
    let made = WAITING + 5_000;
    for round in 0..made {
        assert!(is_good(clove, &credential).await);
        if round % 20_000 == 0 {
            spy.only("log_access", if round % 40_000 == 0 { Mode::Fails } else { Mode::LosesTheAnswer });
            assert!(clove.flush().await.is_err());
        }
    }
    let lost = usize::try_from(clove.access_log_lost()).unwrap();
    assert!((1..=5 * 1024).contains(&lost), "{lost}");
    spy.set(Mode::Works);
    clove.flush().await.unwrap();
    let entries = log(&fixture).await;
    assert_eq!(entries.len() + lost, made);
}

#[tokio::test]
async fn stopping_writes_what_waits_whatever_else_fails() {
    let (fixture, spy, credential) = logged(AccessLog::BestEffort).await;
    assert!(is_good(&fixture.clove, &credential).await);
    spy.fail_only("touch");
    assert!(fixture.clove.shut_down().await.is_err());
    assert_eq!(log(&fixture).await.len(), 1);
}

#[tokio::test]
async fn a_flush_that_is_dropped_or_that_panics_loses_nothing() {
    let (fixture, spy, credential) = logged(AccessLog::BestEffort).await;
    for (round, mode) in [Mode::Yields, Mode::Panics, Mode::LosesTheAnswer].into_iter().enumerate() {
        assert!(is_good(&fixture.clove, &credential).await);
        spy.only("log_access", mode);
        assert!(!matches!(poll_and_drop(fixture.clove.flush()), Poll::Ready(Ok(()))), "{round}");
        spy.set(Mode::Works);
        fixture.clove.flush().await.unwrap();
        assert_eq!((log(&fixture).await.len(), fixture.clove.access_log_lost()), (round + 1, 0));
    }
}

#[tokio::test]
async fn a_call_that_never_ends_is_given_up_after_a_minute() {
    let (fixture, spy, credential) = logged(AccessLog::BestEffort).await;
    assert!(is_good(&fixture.clove, &credential).await);
    spy.only("log_access", Mode::Hangs);
    assert!(poll_and_drop(fixture.clove.flush()).is_pending());
    spy.set(Mode::Works);
    fixture.clock().advance(59 * SECOND);
    assert!(poll_and_drop(fixture.clove.flush()).is_pending());
    fixture.clock().advance(SECOND);
    assert!(fixture.clove.flush().await.is_err());
    fixture.clove.flush().await.unwrap();
    assert_eq!(log(&fixture).await.len(), 1);
}

#[tokio::test]
async fn a_required_entry_is_there_before_its_grant() {
    let (fixture, spy, credential) = logged(AccessLog::Required).await;
    spy.only("log_access", Mode::Yields);
    let mut request = pin!(fixture.clove.verify(&credential));
    assert!(poll(&mut request).is_pending());
    assert!(log(&fixture).await.is_empty());
    let Poll::Ready(Ok(Verdict::Granted(grant))) = poll(&mut request) else { panic!("no grant") };
    assert_eq!(log(&fixture).await.iter().map(|entry| entry.id).collect::<Vec<_>>(), [grant.id()]);
}

#[tokio::test]
async fn a_required_entry_comes_after_windows_that_had_to_be_waited_for() {
    let (fixture, spy) = spied(Policy::builder().access_log(AccessLog::Required).build().unwrap());
    let credential = credential(&fixture, Status::Active).await;
    spy.only("log_access", Mode::Fails);
    assert!(matches!(fixture.clove.verify(&credential).await, Err(Fault::Store(_))), "places are taken, and the log is away");
    assert!(matches!(fixture.clove.verify(&credential).await, Err(Fault::Store(_))), "places are at hand, and the log is away");
    spy.set(Mode::Works);
    let grant = fixture.clove.verify(&credential).await.unwrap().granted().unwrap();
    assert_eq!(log(&fixture).await.iter().map(|entry| entry.id).collect::<Vec<_>>(), [grant.id()]);
    assert_eq!(grant.limits().next().unwrap().left, 59, "what the others were charged was given back");
}

#[tokio::test]
async fn a_required_entry_that_cannot_be_written_is_a_fault() {
    let (fixture, spy, credential) = logged(AccessLog::Required).await;
    for mode in [Mode::Fails, Mode::Panics, Mode::LosesTheAnswer] {
        spy.only("log_access", mode);
        let fault = fixture.clove.verify(&credential).await;
        assert!(matches!(fault, Err(Fault::Store(_))), "{fault:?}");
        spy.set(Mode::Works);
        assert!(is_good(&fixture.clove, &credential).await, "and the next goes on");
    }
}

#[tokio::test]
async fn the_deadline_covers_a_required_entry_and_others_go_on_after_it() {
    let (fixture, spy, credential) = logged(AccessLog::Required).await;
    spy.only("log_access", Mode::Hangs);
    let mut requests: Vec<_> = (0..3).map(|_| Box::pin(fixture.clove.verify(&credential))).collect();
    requests.iter_mut().for_each(|request| assert!(poll(request).is_pending()));
    fixture.clock().advance(SECOND);
    for request in &mut requests {
        let fault = poll(request);
        assert!(matches!(fault, Poll::Ready(Err(Fault::DeadlineExceeded { .. }))), "{fault:?}");
    }
    spy.set(Mode::Works);
    assert!(matches!(poll_and_drop(fixture.clove.verify(&credential)), Poll::Ready(Ok(Verdict::Granted(_)))));
}

#[tokio::test]
async fn concurrent_required_entries_share_one_call() {
    let (fixture, spy, credential) = logged(AccessLog::Required).await;
    spy.only("log_access", Mode::Waits);
    let mut requests: Vec<_> = (0..50).map(|_| Box::pin(fixture.clove.verify(&credential))).collect();
    for request in &mut requests {
        assert!(poll(request).is_pending());
    }
    assert_eq!(writes(&spy), 1, "one is on its way, and the others gather");
    spy.set(Mode::Works);
    for request in requests {
        assert!(request.await.unwrap().granted().is_some());
    }
    assert_eq!((writes(&spy), log(&fixture).await.len()), (1, 50));
}

#[tokio::test]
async fn a_caller_that_goes_away_loses_no_entry_and_holds_nobody_up() {
    let (fixture, spy, credential) = logged(AccessLog::Required).await;
    spy.only("log_access", Mode::Waits);
    // One in the midst of its call, one that gathers; both go.
    assert!(poll_and_drop(fixture.clove.verify(&credential)).is_pending());
    assert!(poll_and_drop(fixture.clove.verify(&credential)).is_pending());
    spy.set(Mode::Works);
    assert!(fixture.clove.verify(&credential).await.unwrap().granted().is_some());
    assert_eq!(log(&fixture).await.len(), 3);
}

#[tokio::test]
async fn a_denial_waits_for_no_log_and_is_never_a_fault() {
    let (fixture, spy, _) = logged(AccessLog::Required).await;
    let suspended = credential(&fixture, Status::Suspended).await;
    for mode in [Mode::Fails, Mode::Hangs, Mode::Panics] {
        spy.only("log_access", mode);
        let verdict = poll_and_drop(fixture.clove.verify(&suspended));
        assert!(matches!(verdict, Poll::Ready(Ok(Verdict::Denied(_)))), "{verdict:?}");
    }
    spy.set(Mode::Works);
    fixture.clove.flush().await.unwrap();
    assert_eq!(log(&fixture).await.len(), 3);
}

#[tokio::test]
async fn the_log_is_read_within_a_scope_filtered_and_by_pages() {
    let (fixture, _spy, credential) = logged(AccessLog::BestEffort).await;
    let (clove, ada) = (&fixture.clove, &fixture.owner);
    let suspended = self::credential(&fixture, Status::Suspended).await;
    let began = clove.now();
    for _ in 0..5 {
        fixture.clock().advance(SECOND);
        assert!(is_good(clove, &credential).await && !is_good(clove, &suspended).await);
    }
    clove.flush().await.unwrap();
    let count = async |list: ListAccess| clove.access_log(ada, &list).await.unwrap().items.len();
    let key = Some(KeyId::parse(suspended.split_once(';').unwrap().0).unwrap());
    assert_eq!(count(ListAccess::default()).await, 10);
    assert_eq!(count(ListAccess { key, ..ListAccess::default() }).await, 5);
    assert_eq!(count(ListAccess { outcome: Some(AccessOutcome::Granted), ..ListAccess::default() }).await, 5);
    let from = Some(began + chrono::TimeDelta::seconds(2));
    let until = Some(began + chrono::TimeDelta::seconds(4));
    assert_eq!(count(ListAccess { from, until, ..ListAccess::default() }).await, 4);
    let bob = Owner::new("acme", "bob").unwrap();
    assert!(clove.access_log(&bob, &ListAccess { key, ..ListAccess::default() }).await.unwrap().items.is_empty());
    let first = clove.access_log(ada, &ListAccess { limit: Some(3), ..ListAccess::default() }).await.unwrap();
    let after = first.next;
    assert!(after.is_some());
    assert!(clove.audit(ada, &clove::ListAudit { after: after.clone(), ..Default::default() }).await.is_err());
    let one = clove::ListAudit { limit: Some(1), ..Default::default() };
    let trail = clove.audit(ada, &one).await.unwrap().next;
    assert!(trail.is_some() && clove.access_log(ada, &ListAccess { after: trail, ..ListAccess::default() }).await.is_err());
    let after = after.map(|cursor| cursor.to_string().parse().unwrap());
    let rest = clove.access_log(ada, &ListAccess { after, ..ListAccess::default() }).await.unwrap();
    assert_eq!((first.items.len(), rest.items.len(), rest.next), (3, 7, None));
    assert!(clove.access_log(ada, &ListAccess { limit: Some(201), ..ListAccess::default() }).await.is_err());
}

#[test]
fn a_label_is_printable_ascii_without_spaces() {
    for good in ["a", "POST/v1/messages", &"x".repeat(64), "~!{id}"] {
        assert_eq!(EndpointLabel::new(good).unwrap().as_str(), good);
    }
    for bad in ["", " ", "a b", "a\n", "é", "\u{7f}", &"x".repeat(65)] {
        assert!(EndpointLabel::new(bad).is_err(), "{bad:?}");
    }
}

/// As many requests as there are places: each ends in a fault, since its grant cannot be written.
async fn failing(fixture: &Fixture, spy: &Spy, credential: &str, places: usize) {
    spy.fail_only("log_access");
    for _ in 0..places {
        assert!(matches!(fixture.clove.verify(credential).await, Err(Fault::Store(_))));
    }
    spy.set(Mode::Works);
}

#[tokio::test]
async fn a_grant_that_cannot_be_written_leaves_the_windows_of_its_key_and_account_as_they_were() {
    for make in [Window::new, Window::sliding_shared] {
        let limits = |count| Limits::new([make(count, MINUTE).unwrap()]).unwrap();
        for tier in [(3, 1_000), (1_000, 3)].map(|(key, account)| Tier { key: limits(key), account: Some(limits(account)) }) {
            let (fixture, spy) = spied(logging(AccessLog::Required).limits(tier).build().unwrap());
            let credential = credential(&fixture, Status::Active).await;
            assert!(is_good(&fixture.clove, &credential).await);
            failing(&fixture, &spy, &credential, 2).await;
            // What was charged in the store goes back to it as places do that nobody spends.
            fixture.clove.shut_down().await.unwrap();
            for left in [1, 0] {
                let grant = fixture.clove.verify(&credential).await.unwrap().granted().unwrap();
                assert_eq!(grant.limits().map(|limit| limit.left).min(), Some(left));
            }
            assert!(!is_good(&fixture.clove, &credential).await);
        }
    }
}

#[tokio::test]
async fn while_the_log_cannot_be_written_no_request_uses_a_window_up() {
    let tier = Tier { key: Limits::new([Window::new(1, MINUTE).unwrap()]).unwrap(), account: Some(Limits::unlimited()) };
    let (fixture, spy) = spied(logging(AccessLog::Required).limits(tier).build().unwrap());
    let credential = credential(&fixture, Status::Active).await;
    failing(&fixture, &spy, &credential, 5).await;
    assert!(is_good(&fixture.clove, &credential).await && !is_good(&fixture.clove, &credential).await);
}

#[tokio::test]
async fn requests_whose_grants_cannot_be_written_are_not_counted() {
    let (fixture, spy, credential) = logged(AccessLog::Required).await;
    assert!(is_good(&fixture.clove, &credential).await);
    failing(&fixture, &spy, &credential, 3).await;
    fixture.clove.flush().await.unwrap();
    let list = ListUsage { unit: Some(Unit::requests()), ..ListUsage::default() };
    let sums = fixture.clove.usage(&fixture.owner.organization, &list).await.unwrap().items;
    assert_eq!(sums.iter().map(|sum| sum.amount).collect::<Vec<_>>(), [1]);
}
