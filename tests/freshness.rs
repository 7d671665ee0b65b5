//! Rows that are remembered: never longer than a command of this process lets them, nor than the bound lets others.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use chrono::TimeDelta;
use clove::{
    ActiveLimit, Attempt, Clove, DenialReason, Fault, Hashing, NewKey, Policy, Status, Store, Tier,
    sqlite::SqliteStore,
    store::{Changes, Decision, KeyChange, Reads, StoredKey, Transaction},
};
use clove_testkit::Fixture;
use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Waker},
    time::Duration,
};
use support::{BOUND, Ending, Mode, Spy, denied, is_good, named, pepper, poll_and_drop};

fn policy() -> clove::policy::PolicyBuilder {
    Policy::builder().limits(Tier::unlimited()).active_limit(ActiveLimit::Unlimited).max_creations_per_day(None).max_records(None)
}

fn poll(work: &mut Pin<&mut (impl Future<Output = ()> + ?Sized)>) {
    assert!(work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

/// A process on a store that others may use too, with its maintenance.
fn process(spy: &Spy, fixture: &Fixture) -> (Clove, Pin<Box<dyn Future<Output = ()>>>) {
    let clove = Clove::with_clock(spy.clone(), fixture.clove.policy().clone(), fixture.clock().clone());
    let work: Pin<Box<dyn Future<Output = ()>>> = Box::pin(clove.maintenance().run(|_| {}));
    (clove, work)
}

/// A store, a process on it that has verified a key, and its maintenance; and the key.
async fn remembered(policy: Policy) -> (Fixture, Spy, Clove, Pin<Box<dyn Future<Output = ()>>>, clove::KeyId, String) {
    let spy = Spy::new();
    let fixture = Fixture::on(spy.inner.clone(), policy).unwrap();
    let issued = fixture.clove.create(&fixture.owner, named("a key"), &fixture.by).await.unwrap();
    let credential = issued.credential.unwrap().reveal().to_string();
    let (clove, mut work) = process(&spy, &fixture);
    poll(&mut work.as_mut());
    assert!(is_good(&clove, &credential).await);
    spy.calls();
    (fixture, spy, clove, work, issued.key.id, credential)
}

fn reads(spy: &Spy) -> usize {
    spy.calls().iter().filter(|call| call.starts_with("find")).count()
}

#[tokio::test]
async fn a_row_that_was_verified_by_is_not_read_again_within_the_bound() {
    let (fixture, spy, clove, mut work, _, credential) = remembered(policy().build().unwrap()).await;
    let secret = credential.split(';').next_back().unwrap();
    assert!(is_good(&clove, secret).await && reads(&spy) == 1, "by its digest it was not found before");
    for _ in 0..10 {
        fixture.clock().advance(BOUND / 2);
        poll(&mut work.as_mut());
        assert!(is_good(&clove, &credential).await && is_good(&clove, secret).await);
    }
    assert_eq!(reads(&spy), 0);
}

#[tokio::test]
async fn without_polls_and_without_a_bound_every_row_is_read() {
    let (fixture, spy, clove, work, _, credential) = remembered(policy().build().unwrap()).await;
    drop(work);
    fixture.clock().advance(BOUND);
    for _ in 0..3 {
        assert!(is_good(&clove, &credential).await);
    }
    assert_eq!(reads(&spy), 3);
    let (fixture, spy, clove, mut work, _, credential) = remembered(policy().freshness(Duration::ZERO).build().unwrap()).await;
    for _ in 0..3 {
        poll(&mut work.as_mut());
        assert!(is_good(&clove, &credential).await);
    }
    assert_eq!(spy.calls(), ["find_by_id"; 3]);
    drop(fixture);
}

#[tokio::test]
async fn a_command_of_this_process_is_obeyed_once_it_has_returned() {
    let (fixture, _spy, clove, _work, id, credential) = remembered(policy().build().unwrap()).await;
    let (owner, by) = (&fixture.owner, &fixture.by);
    clove.disable(owner, id, by).await.unwrap();
    assert_eq!(denied(clove.verify(&credential).await), DenialReason::Suspended);
    clove.enable(&owner.organization, id, by).await.unwrap();
    assert!(is_good(&clove, &credential).await && is_good(&clove, &credential).await);
    clove.close_organization(&owner.organization, by).await.unwrap();
    assert_eq!(denied(clove.verify(&credential).await), DenialReason::OwnerClosed);
    clove.reopen_organization(&owner.organization, by).await.unwrap();
    assert_eq!(denied(clove.verify(&credential).await), DenialReason::Revoked);
}

#[tokio::test]
async fn another_process_is_obeyed_within_the_bound() {
    let (fixture, spy, clove, mut work, id, credential) = remembered(policy().build().unwrap()).await;
    fixture.clove.disable(&fixture.owner, id, &fixture.by).await.unwrap();
    assert!(is_good(&clove, &credential).await, "nobody has told this one yet");
    fixture.clock().advance(BOUND / 4);
    poll(&mut work.as_mut());
    assert_eq!(denied(clove.verify(&credential).await), DenialReason::Suspended);
    fixture.clove.enable(&fixture.owner, id, &fixture.by).await.unwrap();
    fixture.clock().advance(BOUND / 4);
    poll(&mut work.as_mut());
    assert!(is_good(&clove, &credential).await);
    // Nobody polls: past the bound each row is read.
    spy.fail_only("epochs");
    fixture.clove.disable(&fixture.owner, id, &fixture.by).await.unwrap();
    fixture.clock().advance(BOUND);
    poll(&mut work.as_mut());
    assert_eq!(denied(clove.verify(&credential).await), DenialReason::Suspended);
}

#[tokio::test]
async fn a_poll_that_hangs_is_read_through_and_only_where_that_fails_is_it_a_fault() {
    let (fixture, spy, clove, mut work, _, credential) = remembered(policy().build().unwrap()).await;
    spy.only("epochs", Mode::Hangs);
    fixture.clock().advance(BOUND / 4);
    poll(&mut work.as_mut());
    assert!(is_good(&clove, &credential).await && reads(&spy) == 0, "what is known is good for the bound");
    fixture.clock().advance(BOUND);
    assert!(is_good(&clove, &credential).await && reads(&spy) == 1);
    spy.set(Mode::Fails);
    assert!(matches!(clove.verify(&credential).await, Err(Fault::Store(_))));
}

#[tokio::test]
async fn what_is_known_is_as_old_as_the_sending_of_the_poll() {
    let (fixture, spy, clove, mut work, _, credential) = remembered(policy().build().unwrap()).await;
    fixture.clock().advance(BOUND);
    let clock = fixture.clock().clone();
    spy.before_epochs(async move { clock.advance(BOUND) });
    poll(&mut work.as_mut());
    assert!(is_good(&clove, &credential).await);
    assert_eq!(reads(&spy), 1, "the answer came when the question was too old");
}

#[tokio::test]
async fn what_is_known_is_good_for_the_bound_less_what_the_coarse_clock_may_lag() {
    let (fixture, spy, clove, _work, _, credential) = remembered(policy().build().unwrap()).await;
    fixture.clock().advance(BOUND - clove::clock::COARSE_LAG - Duration::from_micros(1));
    assert!(is_good(&clove, &credential).await && reads(&spy) == 0);
    fixture.clock().advance(Duration::from_micros(1));
    assert!(is_good(&clove, &credential).await && reads(&spy) == 1);
}

#[tokio::test]
async fn ticks_of_the_system_that_come_late_by_half_the_bound_let_nothing_past_it() {
    let (fixture, spy, clove, _work, _, credential) = remembered(policy().build().unwrap()).await;
    fixture.clock().lag(BOUND / 2);
    fixture.clock().advance(BOUND);
    assert!(is_good(&clove, &credential).await && reads(&spy) == 1);
}

#[tokio::test]
async fn a_machine_that_slept_knows_nothing_however_its_clock_stood() {
    let (fixture, spy, clove, _work, _, credential) = remembered(policy().build().unwrap()).await;
    fixture.clock().lag(clove::clock::COARSE_LAG);
    fixture.clock().step(TimeDelta::milliseconds(100));
    assert!(is_good(&clove, &credential).await);
    assert_eq!(reads(&spy), 1);
}

#[tokio::test]
async fn the_shortest_bound_of_all_processes_holds_for_each() {
    let (fixture, spy, clove, mut work, _, credential) = remembered(policy().build().unwrap()).await;
    let hasty = Clove::with_clock(spy.inner.clone(), policy().freshness(BOUND / 2).build().unwrap(), fixture.clock().clone());
    spy.inner.epochs(hasty.policy().freshness().unwrap()).await.unwrap();
    fixture.clock().advance(BOUND / 4);
    poll(&mut work.as_mut());
    assert!(is_good(&clove, &credential).await && reads(&spy) == 0);
    fixture.clock().advance(BOUND / 2);
    assert!(is_good(&clove, &credential).await && reads(&spy) == 1);
}

#[tokio::test]
async fn polls_come_as_often_as_the_shortest_bound_wants() {
    let (fixture, spy, _clove, mut work, ..) = remembered(policy().build().unwrap()).await;
    spy.inner.epochs(BOUND / 2).await.unwrap();
    fixture.clock().advance(BOUND / 4);
    poll(&mut work.as_mut());
    spy.calls();
    fixture.clock().advance(BOUND / 8);
    poll(&mut work.as_mut());
    assert!(spy.calls().contains(&"epochs"));
}

#[tokio::test]
async fn a_read_that_a_change_has_overtaken_is_not_remembered() {
    let (fixture, spy, clove, _work, id, credential) = remembered(policy().build().unwrap()).await;
    let (owner, by) = (&fixture.owner, &fixture.by);
    // Its row is stale, and is read again; the answer comes late.
    clove.enable(owner, id, by).await.unwrap();
    spy.hold_next_answer("find_by_id");
    let mut late = Box::pin(clove.verify(&credential));
    assert!(late.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    clove.disable(owner, id, by).await.unwrap();
    spy.give_answers();
    assert!(late.await.unwrap().granted().is_some(), "it started before");
    assert_eq!(denied(clove.verify(&credential).await), DenialReason::Suspended);
}

#[tokio::test]
async fn a_row_read_while_a_command_is_on_its_way_is_not_remembered() {
    let (fixture, spy, clove, _work, id, credential) = remembered(policy().build().unwrap()).await;
    spy.hold_next_answer("transact");
    let disabled = tokio::spawn({
        let (clove, owner, by) = (clove.clone(), fixture.owner.clone(), fixture.by.clone());
        async move { clove.disable(&owner, id, &by).await.unwrap() }
    });
    tokio::task::yield_now().await;
    for _ in 0..3 {
        assert_eq!(denied(clove.verify(&credential).await), DenialReason::Suspended, "it is committed");
    }
    spy.give_answers();
    disabled.await.unwrap();
    assert_eq!(denied(clove.verify(&credential).await), DenialReason::Suspended);
}

#[tokio::test]
async fn a_row_read_behind_a_fence_before_its_command_was_carried_out_is_not_remembered() {
    let (fixture, spy, clove, _work, id, credential) = remembered(policy().build().unwrap()).await;
    let (owner, by) = (&fixture.owner, &fixture.by);
    spy.only("transact", Mode::Waits);
    let mut disabled = Box::pin(clove.disable(owner, id, by));
    assert!(disabled.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(), "it is on its way");
    spy.hold_next_answer("find_by_id");
    let mut late = Box::pin(clove.verify(&credential));
    assert!(late.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    spy.set(Mode::Works);
    disabled.await.unwrap();
    spy.give_answers();
    assert!(late.await.unwrap().granted().is_some(), "it started before");
    assert_eq!(denied(clove.verify(&credential).await), DenialReason::Suspended);
}

#[tokio::test]
async fn what_was_read_before_the_first_poll_is_not_used_after_it() {
    let spy = Spy::new();
    let fixture = Fixture::on(spy.inner.clone(), policy().build().unwrap()).unwrap();
    let issued = fixture.clove.create(&fixture.owner, named("a key"), &fixture.by).await.unwrap();
    let credential = issued.credential.unwrap().reveal().to_string();
    let (clove, mut work) = process(&spy, &fixture);
    assert!(is_good(&clove, &credential).await);
    fixture.clove.disable(&fixture.owner, issued.key.id, &fixture.by).await.unwrap();
    poll(&mut work.as_mut());
    assert_eq!(denied(clove.verify(&credential).await), DenialReason::Suspended);
}

#[tokio::test]
async fn a_command_whose_caller_has_gone_leaves_its_fence() {
    let (fixture, spy, clove, mut work, id, credential) = remembered(policy().build().unwrap()).await;
    for ending in [Ending::CommitsThenUnknown, Ending::RollsBackThenUnknown] {
        spy.hold_next_answer("transact");
        assert!(poll_and_drop(clove.disable(&fixture.owner, id, &fixture.by)).is_pending());
        spy.give_answers();
        fixture.clove.enable(&fixture.owner, id, &fixture.by).await.unwrap();
        spy.calls();
        for _ in 0..3 {
            assert!(is_good(&clove, &credential).await);
        }
        assert_eq!(reads(&spy), 3);
        // So does one whose outcome stays unknown.
        spy.end([ending; 4]);
        clove.disable(&fixture.owner, id, &fixture.by).await.unwrap_err();
        fixture.clove.enable(&fixture.owner, id, &fixture.by).await.unwrap();
        spy.calls();
        assert!(is_good(&clove, &credential).await && is_good(&clove, &credential).await);
        assert_eq!(reads(&spy), 2);
        // After a minute it is as another process's.
        for _ in 0..62 {
            fixture.clock().advance(Duration::from_secs(1));
            poll(&mut work.as_mut());
        }
        assert!(is_good(&clove, &credential).await && is_good(&clove, &credential).await);
        assert_eq!(reads(&spy), 1);
    }
}

#[tokio::test]
async fn a_key_expires_while_it_is_remembered() {
    let fixture = Fixture::new(policy().build().unwrap()).unwrap();
    let credential = fixture.key_in(Status::Active).await.unwrap().credential.unwrap().reveal().to_string();
    assert!(is_good(&fixture.clove, &credential).await);
    fixture.clock().advance(Duration::from_secs(90 * 86_400) - Duration::from_micros(1));
    assert!(is_good(&fixture.clove, &credential).await);
    fixture.clock().advance(Duration::from_micros(1));
    assert!(matches!(denied(fixture.clove.verify(&credential).await), DenialReason::Expired { .. }));
}

#[tokio::test]
async fn a_key_that_comes_to_be_after_a_refusal_is_found_at_once() {
    let (fixture, first, clove, _work, id, credential) = remembered(policy().build().unwrap()).await;
    let spy = Spy::new();
    let (other, mut work) = process(&spy, &fixture);
    poll(&mut work.as_mut());
    let secret = credential.split(';').next_back().unwrap();
    assert!(!is_good(&other, &credential).await && !is_good(&other, secret).await);
    let key = clove.get(&fixture.owner, id).await.unwrap();
    let secrets = first.inner.find_by_id(id).await.unwrap().unwrap().secrets.to_vec();
    let insert = move |_: &_| {
        let keys = vec![KeyChange::Insert(StoredKey { key: key.clone(), secrets: secrets.clone() })];
        Decision::Commit(Changes { keys, ..Changes::default() })
    };
    let reads = Reads::Owner { owner: fixture.owner.clone(), expired_at: None };
    spy.inner.transact(Transaction::new(clove::OperationId::new(clove.now()), reads, insert).into()).await.unwrap();
    assert!(is_good(&other, &credential).await && is_good(&other, secret).await);
}

#[tokio::test]
async fn a_wrong_secret_is_refused_by_the_store_and_not_from_memory() {
    let (_fixture, spy, clove, _work, id, _) = remembered(policy().build().unwrap()).await;
    for _ in 0..3 {
        assert!(!is_good(&clove, &format!("{id};clv-00000000000000000000000000000Wt4")).await);
    }
    assert_eq!(reads(&spy), 3, "as an unknown id is");
}

#[tokio::test]
async fn a_flood_and_a_sweep_push_no_busy_key_out() {
    let spy = Spy::new();
    let fixture = Fixture::on(spy.inner.clone(), policy().cache_bytes(1 << 20).build().unwrap()).unwrap();
    let (clove, mut work) = process(&spy, &fixture);
    poll(&mut work.as_mut());
    let mut credentials = Vec::new();
    for _ in 0..6_000 {
        let issued = fixture.clove.create(&fixture.owner, named("a key"), &fixture.by).await.unwrap();
        credentials.push(issued.credential.unwrap().reveal().to_string());
    }
    let (busy, others) = credentials.split_at(200);
    for _ in 0..5 {
        for credential in busy {
            assert!(is_good(&clove, credential).await);
        }
    }
    spy.calls();
    for (place, credential) in others.iter().enumerate() {
        assert!(is_good(&clove, credential).await);
        assert!(!is_good(&clove, &format!("{};clv-00000000000000000000000000000Wt4", clove::KeyId::new(clove.now()))).await);
        if place % 20 == 0 {
            spy.calls();
            for credential in busy {
                assert!(is_good(&clove, credential).await);
            }
            assert!(reads(&spy) <= busy.len() / 100, "at {place}");
        }
    }
}

#[tokio::test]
async fn a_slow_hash_is_made_once_while_its_row_is_remembered() {
    let hashing = Hashing::argon2id(clove::Argon2Cost::OWASP);
    let (_fixture, _spy, clove, _work, id, credential) = remembered(policy().hashing(hashing).build().unwrap()).await;
    assert!(poll_and_drop(clove.verify(&credential)).is_ready());
    let wrong = format!("{id};clv-00000000000000000000000000000Wt4");
    assert!(poll_and_drop(clove.verify(&wrong)).is_pending(), "it is hashed");
}

#[tokio::test]
async fn a_grant_is_rechecked_as_a_verification_would() {
    let (fixture, spy, clove, _work, id, credential) = remembered(policy().build().unwrap()).await;
    let (owner, by) = (&fixture.owner, &fixture.by);
    let grant = clove.verify(&credential).await.unwrap().granted().unwrap();
    assert!(clove.recheck(&grant).await.unwrap().is_none() && reads(&spy) == 0);
    let why = async |grant| clove.recheck(grant).await.unwrap().map(|denial| denial.reason().clone());
    clove.disable(owner, id, by).await.unwrap();
    assert_eq!(why(&grant).await, Some(DenialReason::Suspended));
    clove.enable(owner, id, by).await.unwrap();
    assert_eq!(why(&grant).await, None);
    let revision = clove.get(owner, id).await.unwrap().revision;
    clove.rotate(owner, id, revision, TimeDelta::hours(1), by).await.unwrap();
    assert_eq!(why(&grant).await, None, "its secret has an hour left");
    fixture.clock().advance(Duration::from_secs(3_600));
    assert_eq!(why(&grant).await, Some(DenialReason::NotRecognized));
    clove.delete(owner, id, by).await.unwrap();
    assert_eq!(why(&grant).await, Some(DenialReason::NotRecognized));
}

#[tokio::test]
async fn a_recheck_survives_a_better_digest_of_the_same_secret() {
    let spy = Spy::new();
    let fixture = Fixture::on(spy.inner.clone(), policy().build().unwrap()).unwrap();
    let credential = fixture.key_in(Status::Active).await.unwrap().credential.unwrap().reveal().to_string();
    let peppered = policy().hashing(Hashing::hmac(pepper(1))).build().unwrap();
    let clove = Clove::with_clock(spy.clone(), peppered, fixture.clock().clone());
    let grant = clove.verify(&credential).await.unwrap().granted().unwrap();
    clove.flush().await.unwrap();
    assert!(spy.calls().contains(&"rehash"));
    assert!(clove.recheck(&grant).await.unwrap().is_none());
}

/// The tables as they were at some moment, put back under a running process.
#[tokio::test]
async fn a_database_that_is_restored_is_read_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (path, backup) = (folder.path().join("keys.db"), folder.path().join("backup.db"));
    let fixture = Fixture::on(SqliteStore::open(&path).unwrap(), policy().build().unwrap()).unwrap();
    let (owner, by) = (&fixture.owner, &fixture.by);
    let mut work = pin!(fixture.clove.maintenance().run(|error| panic!("{error}")));
    let issued = fixture.clove.create(owner, NewKey::named("a key").unwrap(), by).await.unwrap();
    let (id, credential) = (issued.key.id, issued.credential.unwrap().reveal().to_string());
    fixture.clove.disable(owner, id, by).await.unwrap();
    let operator = rusqlite::Connection::open(&path).unwrap();
    operator.execute("VACUUM INTO ?1", [backup.to_str().unwrap()]).unwrap();
    fixture.clove.enable(owner, id, by).await.unwrap();
    let settle = async |work: &mut Pin<&mut _>| {
        for _ in 0..20 {
            fixture.clock().advance(BOUND / 4);
            poll(work);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    settle(&mut work).await;
    assert!(is_good(&fixture.clove, &credential).await);
    let restore = "ATTACH ?1 AS b; BEGIN; DELETE FROM keys; INSERT INTO keys SELECT * FROM b.keys; DELETE FROM epochs; \
                   INSERT INTO epochs SELECT * FROM b.epochs; DELETE FROM audit; INSERT INTO audit SELECT * FROM b.audit; COMMIT";
    operator.execute_batch(&restore.replace("?1", &format!("'{}'", backup.display()))).unwrap();
    settle(&mut work).await;
    assert_eq!(denied(fixture.clove.verify(Attempt::new(&credential)).await), DenialReason::Suspended);
}

#[tokio::test]
async fn a_remembered_row_is_rehashed_once() {
    let spy = Spy::new();
    let fixture = Fixture::on(spy.inner.clone(), policy().build().unwrap()).unwrap();
    let credential = fixture.key_in(Status::Active).await.unwrap().credential.unwrap().reveal().to_string();
    let peppered = policy().hashing(Hashing::hmac(pepper(1))).build().unwrap();
    let clove = Clove::with_clock(spy.clone(), peppered, fixture.clock().clone());
    let mut work = pin!(clove.maintenance().run(|_| {}));
    poll(&mut work);
    for _ in 0..4 {
        assert!(is_good(&clove, &credential).await);
        clove.flush().await.unwrap();
    }
    assert_eq!(spy.calls().into_iter().filter(|call| *call == "rehash").count(), 1);
}

#[tokio::test]
async fn another_tenants_command_on_a_foreign_key_changes_nothing_for_it() {
    let (fixture, spy, clove, _work, id, credential) = remembered(policy().build().unwrap()).await;
    let stranger = clove::Owner::new("other", "tenant").unwrap();
    spy.hold_next_answer("transact");
    assert!(poll_and_drop(clove.disable(&stranger, id, &fixture.by)).is_pending());
    clove.revoke(&stranger.organization, id, &fixture.by).await.unwrap_err();
    spy.calls();
    for _ in 0..3 {
        assert!(is_good(&clove, &credential).await);
    }
    assert_eq!(reads(&spy), 0);
}
