//! Usage: what is acknowledged is counted once, whatever fails, and read as it is asked for.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod gate;
mod support;

use chrono::TimeDelta;
use clove::{
    Attempt, Clove, Day, ListUsage, MemoryStore, Policy, RecordError, Status, Store, StoreError, Unit, UsageBy, UsagePer,
    sqlite::SqliteStore, usage::MAX_AMOUNT,
};
use clove_testkit::Fixture;
use gate::{Gate, Interruption};
use std::{
    future::Future,
    pin::pin,
    task::{Context, Waker},
    time::Duration,
};
use support::{
    DAY, Ending, Mode, poll_and_drop, spied,
    usage::{credential, grant, policy, sums, tokens, total},
};

#[tokio::test]
async fn requests_are_counted_as_they_are_granted_by_what_they_take() {
    let fixture = Fixture::new(policy()).unwrap();
    let (clove, owner) = (&fixture.clove, &fixture.owner);
    let (first, second) = (fixture.key_in(Status::Active).await.unwrap(), credential(&fixture).await);
    let (id, first) = (first.key.id, first.credential.unwrap().reveal().to_string());
    for attempt in [Attempt::new(&first), Attempt::new(&first).costing(5), Attempt::new(&first).costing(0), Attempt::new(&second)]
    {
        assert!(clove.verify(attempt).await.unwrap().granted().is_some());
    }
    assert!(clove.verify(Attempt::new(&first).only_checking()).await.unwrap().granted().is_some());
    fixture.clock().advance(DAY);
    grant(clove, &first).await;
    clove.disable(owner, id, &fixture.by).await.unwrap();
    assert!(clove.verify(&first).await.unwrap().denied().is_some());
    clove.flush().await.unwrap();
    let list = ListUsage { by: UsageBy::Key, unit: Some(Unit::requests()), ..ListUsage::default() };
    let mut found: Vec<_> =
        sums(clove, owner, &list).await.into_iter().map(|sum| (sum.key == Some(id), sum.day, sum.amount)).collect();
    found.sort();
    let (yesterday, today) = (Some(Day::of(clove.now()).before(1)), Some(Day::of(clove.now())));
    assert_eq!(found, [(false, yesterday, 1), (true, yesterday, 6), (true, today, 1)]);
    assert_eq!(clove.uncounted_requests(), 0);
}

#[tokio::test]
async fn requests_that_a_window_refuses_are_not_counted() {
    let fixture = Fixture::new(Policy::profile_a()).unwrap();
    let credential = credential(&fixture).await;
    for _ in 0..70 {
        let _ = fixture.clove.verify(&credential).await.unwrap();
    }
    fixture.clove.flush().await.unwrap();
    assert_eq!(total(&fixture.clove, &fixture.owner, &Unit::requests()).await, 60);
}

#[tokio::test]
async fn requests_granted_on_many_threads_are_all_counted() {
    let fixture = Fixture::new(policy()).unwrap();
    let credential = credential(&fixture).await;
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                for request in 0..500 {
                    assert!(poll_and_drop(fixture.clove.verify(&credential)).is_ready());
                    if request % 8 == 0 {
                        // It may find another thread's write on its way, and not wait for it.
                        let _ = poll_and_drop(fixture.clove.flush());
                    }
                }
            });
        }
    });
    fixture.clove.flush().await.unwrap();
    assert_eq!(total(&fixture.clove, &fixture.owner, &Unit::requests()).await, 10_000);
}

#[tokio::test]
async fn of_a_stream_s_running_totals_the_largest_counts() {
    let fixture = Fixture::new(policy()).unwrap();
    let (clove, credential) = (&fixture.clove, credential(&fixture).await);
    let (first, second) = (grant(clove, &credential).await, grant(clove, &credential).await);
    for (grant, so_far, flushes, wanted) in
        [(&first, 10, false, 0), (&first, 7, true, 10), (&second, 7, true, 17), (&first, 9, true, 17), (&first, 12, true, 19)]
    {
        clove.record(grant, &tokens(), so_far).unwrap();
        if flushes {
            clove.flush().await.unwrap();
        }
        assert_eq!(total(clove, &fixture.owner, &tokens()).await, wanted);
    }
    clove.record_durably(&second, &Unit::new("bytes").unwrap(), 5).await.unwrap();
    assert_eq!(total(clove, &fixture.owner, &Unit::new("bytes").unwrap()).await, 5);
    clove.record(&second, &tokens(), 0).unwrap();
    clove.record_durably(&second, &tokens(), u64::MAX).await.unwrap();
    assert_eq!(total(clove, &fixture.owner, &tokens()).await, MAX_AMOUNT);
}

#[tokio::test]
async fn an_amount_counts_on_the_day_of_its_grant_and_is_taken_for_a_week() {
    let fixture = Fixture::new(policy()).unwrap();
    let (clove, credential) = (&fixture.clove, credential(&fixture).await);
    let grant = grant(clove, &credential).await;
    fixture.clock().advance(7 * DAY);
    clove.record_durably(&grant, &tokens(), 3).await.unwrap();
    let found = sums(clove, &fixture.owner, &ListUsage { unit: Some(tokens()), ..ListUsage::default() }).await;
    assert_eq!(found.iter().map(|sum| sum.day).collect::<Vec<_>>(), [Some(Day::of(grant.at()))]);
    fixture.clock().advance(Duration::from_micros(1));
    for total in [0, 4] {
        let late = clove.record(&grant, &tokens(), total).unwrap_err();
        assert!(matches!(late, RecordError::TooLate { at, days: 7 } if at == grant.at()), "{late:?}");
    }
    clove.flush().await.unwrap();
    assert_eq!(total(clove, &fixture.owner, &tokens()).await, 3);
}

#[tokio::test]
async fn nothing_is_recorded_in_the_unit_that_verification_counts_in() {
    let fixture = Fixture::new(policy()).unwrap();
    let grant = grant(&fixture.clove, &credential(&fixture).await).await;
    assert!(matches!(fixture.clove.record(&grant, &Unit::requests(), 1), Err(RecordError::Reserved)));
    let durably = fixture.clove.record_durably(&grant, &Unit::new("requests").unwrap(), 1).await;
    assert!(matches!(durably, Err(RecordError::Reserved)));
}

#[tokio::test]
async fn what_is_reported_is_not_forgotten_while_it_may_still_be_written_again() {
    let (fixture, spy) = spied(policy());
    let (clove, credential) = (&fixture.clove, credential(&fixture).await);
    let (first, noon) = (grant(clove, &credential).await, clove.now());
    clove.record_durably(&first, &tokens(), 5).await.unwrap();
    // Another process looks for what is to be forgotten once a minute.
    let other = Clove::with_clock(spy.clone(), policy(), fixture.clock().clone());
    let mut work = pin!(other.maintenance().run(|error| panic!("{error}")));
    let mut maintain = |days| {
        fixture.clock().set(noon + TimeDelta::days(days));
        for _ in 0..=60 {
            assert!(work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            fixture.clock().advance(Duration::from_secs(1));
        }
        assert!(spy.calls().contains(&"forget_reports"));
    };
    fixture.clock().set(noon + TimeDelta::days(7));
    clove.record(&first, &tokens(), 5).unwrap();
    // This one could not write for a week.
    maintain(14);
    clove.flush().await.unwrap();
    assert_eq!(total(clove, &fixture.owner, &tokens()).await, 5);
    maintain(17);
    assert_eq!(spy.inner.forget_reports(Day::of(noon + TimeDelta::days(1)), 9).await.unwrap(), 0, "it is forgotten then");
    assert_eq!(total(clove, &fixture.owner, &tokens()).await, 5);
}

#[tokio::test]
async fn requests_of_many_keys_are_written_a_thousand_at_a_time() {
    let (fixture, spy) = spied(policy());
    for _ in 0..1_100 {
        let credential = credential(&fixture).await;
        grant(&fixture.clove, &credential).await;
    }
    fixture.clove.flush().await.unwrap();
    let sizes: Vec<usize> = spy.usage_batches().iter().map(|batch| batch.requests.len()).collect();
    assert_eq!(sizes, [1024, 76]);
    assert_eq!(total(&fixture.clove, &fixture.owner, &Unit::requests()).await, 1_100);
}

#[tokio::test]
async fn a_full_buffer_says_so_keeps_what_it_has_and_takes_more_after_a_flush() {
    let (fixture, spy) = spied(policy());
    let (clove, credential) = (&fixture.clove, credential(&fixture).await);
    let first = grant(clove, &credential).await;
    clove.record(&first, &tokens(), 1).unwrap();
    let units: Vec<Unit> = (0..255).map(|number| Unit::new(format!("u{number}")).unwrap()).collect();
    let mut taken = 1;
    let full = 'full: loop {
        let next = grant(clove, &credential).await;
        for unit in &units {
            match clove.record(&next, unit, 1) {
                Ok(()) => taken += 1,
                Err(error) => break 'full error,
            }
        }
    };
    assert!(matches!(full, RecordError::Full { waiting: 65_536 }) && taken == 65_536, "{full:?} after {taken}");
    clove.record(&first, &tokens(), 9).unwrap();
    spy.set(Mode::Fails);
    assert!(clove.flush().await.is_err());
    spy.set(Mode::Works);
    spy.usage_batches();
    clove.flush().await.unwrap();
    let batches = spy.usage_batches();
    assert!(batches.iter().all(|batch| batch.requests.len() + batch.reports.len() <= 1024), "commands wait for no more");
    assert!(batches.iter().map(|batch| batch.sequence).is_sorted());
    let list = ListUsage { per: UsagePer::Total, limit: Some(200), ..ListUsage::default() };
    let all: u64 =
        sums(clove, &fixture.owner, &list).await.iter().filter(|sum| !sum.unit.is_requests()).map(|sum| sum.amount).sum();
    assert_eq!(all, 65_535 + 9);
    clove.record(&grant(clove, &credential).await, &tokens(), 1).unwrap();
}

#[tokio::test]
async fn reservations_that_were_given_up_leave_half_the_room_to_what_was_used() {
    let (fixture, spy) = spied(policy());
    let (clove, credential, unit) = (&fixture.clove, credential(&fixture).await, tokens());
    let reserving = Attempt::new(&credential).reserving(&unit, 1);
    let granted = clove.verify(reserving).await.unwrap().granted().unwrap();
    spy.only("reserve", Mode::Hangs);
    for _ in 0..65_536 {
        assert!(poll_and_drop(clove.verify(reserving)).is_pending());
        // The clock forgets who waited for it.
        fixture.clock().advance(Duration::ZERO);
    }
    clove.settle(&granted, 1).unwrap();
    spy.set(Mode::Works);
    clove.flush().await.unwrap();
    let written: usize = spy.usage_batches().iter().map(|batch| batch.reports.len()).sum();
    assert_eq!(written, 32_768 + 1);
}

#[tokio::test]
async fn what_could_not_be_written_is_sent_again_as_it_was_and_what_came_since_apart_from_it() {
    for ending in [Ending::Unavailable, Ending::CommitsThenUnknown, Ending::RollsBackThenUnknown] {
        let (fixture, spy) = spied(policy());
        let (clove, credential) = (&fixture.clove, credential(&fixture).await);
        let first = grant(clove, &credential).await;
        clove.record(&first, &tokens(), 5).unwrap();
        spy.end_batches([ending, ending]);
        for attempts in 1..=2 {
            let error = clove.flush().await.unwrap_err();
            match ending {
                Ending::Unavailable => assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}"),
                _ => assert!(matches!(error, StoreError::OutcomeUnknown { .. }), "{error:?}"),
            }
            clove.record(&first, &tokens(), 5 + attempts).unwrap();
            grant(clove, &credential).await;
        }
        clove.flush().await.unwrap();
        let sent = spy.usage_batches();
        assert_eq!(sent.iter().map(|batch| batch.sequence).collect::<Vec<_>>(), [1, 1, 1, 2]);
        assert!(sent[0] == sent[1] && sent[1] == sent[2]);
        assert_eq!(total(clove, &fixture.owner, &tokens()).await, 7);
        assert_eq!(total(clove, &fixture.owner, &Unit::requests()).await, 3);
        clove.flush().await.unwrap();
        assert!(spy.usage_batches().is_empty(), "there is nothing left to write");
    }
}

#[tokio::test]
async fn a_durable_report_whose_write_fails_says_so_and_waits() {
    let (fixture, spy) = spied(policy());
    let (clove, credential) = (&fixture.clove, credential(&fixture).await);
    let grant = grant(clove, &credential).await;
    spy.end_batches([Ending::Unavailable]);
    let error = clove.record_durably(&grant, &tokens(), 5).await.unwrap_err();
    assert!(matches!(error, RecordError::Store(StoreError::Unavailable { .. })), "{error:?}");
    assert_eq!(total(clove, &fixture.owner, &tokens()).await, 0);
    clove.shut_down().await.unwrap();
    assert_eq!(total(clove, &fixture.owner, &tokens()).await, 5);
}

#[tokio::test]
async fn last_uses_that_cannot_be_written_keep_no_usage_back() {
    let (fixture, spy) = spied(policy());
    let credential = credential(&fixture).await;
    grant(&fixture.clove, &credential).await;
    spy.fail_only("touch");
    assert!(fixture.clove.flush().await.is_err());
    assert_eq!(total(&fixture.clove, &fixture.owner, &Unit::requests()).await, 1);
}

#[tokio::test]
async fn flushes_at_once_share_one_write_and_each_ends_when_its_own_is_written() {
    let (fixture, spy) = spied(policy());
    let (clove, credential) = (&fixture.clove, credential(&fixture).await);
    let (one, two) = (grant(clove, &credential).await, grant(clove, &credential).await);
    spy.set(Mode::Hangs);
    let poll = |work: std::pin::Pin<&mut dyn Future<Output = Result<(), RecordError>>>| {
        work.poll(&mut Context::from_waker(Waker::noop()))
    };
    let unit = tokens();
    let mut second = Box::pin(clove.record_durably(&two, &unit, 2));
    {
        let mut first = Box::pin(clove.record_durably(&one, &unit, 1));
        assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
        assert_eq!(spy.usage_batches().len(), 1, "one at a time");
    }
    // The first caller has gone; whoever still waits goes on with what hangs, and a later one finds both gone.
    assert!(poll(second.as_mut()).is_pending() && spy.usage_batches().is_empty());
    drop(second);
    spy.set(Mode::Works);
    assert_eq!(total(clove, &fixture.owner, &tokens()).await, 0);
    clove.flush().await.unwrap();
    assert_eq!(total(clove, &fixture.owner, &tokens()).await, 3);
    assert_eq!(spy.usage_batches().iter().map(|batch| batch.sequence).collect::<Vec<_>>(), [1, 2]);
}

async fn interrupted_at_each_point(how: Interruption, make: impl Fn() -> Box<dyn Store>) {
    // Last uses are written first, usage then.
    for point in 0..2 * Gate::POINTS {
        let gate = Gate::new(make());
        let fixture = Fixture::on(gate.clone(), policy()).unwrap();
        let (clove, credential) = (&fixture.clove, credential(&fixture).await);
        let first = grant(clove, &credential).await;
        clove.record(&first, &tokens(), 5).unwrap();
        let reached = gate.interrupt(point, how, clove.flush()).await;
        assert!(reached || how == Interruption::Panic && point >= Gate::POINTS, "what panics while usage is written is an error");
        clove.record(&first, &tokens(), 7).unwrap();
        grant(clove, &credential).await;
        clove.flush().await.unwrap();
        assert_eq!(total(clove, &fixture.owner, &tokens()).await, 7, "{how:?} at {point}");
        assert_eq!(total(clove, &fixture.owner, &Unit::requests()).await, 2, "{how:?} at {point}");
    }
}

#[tokio::test]
async fn a_flush_that_is_dropped_or_panics_at_any_point_counts_nothing_twice_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let files = std::cell::Cell::new(0);
    let file = || {
        files.set(files.get() + 1);
        Box::new(SqliteStore::open(folder.path().join(format!("{}.db", files.get()))).unwrap()) as Box<dyn Store>
    };
    for how in [Interruption::Hang, Interruption::Panic] {
        interrupted_at_each_point(how, || Box::new(MemoryStore::new())).await;
        interrupted_at_each_point(how, file).await;
    }
}
