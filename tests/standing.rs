//! How windows stand and who is open, told without a request.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;
#[path = "support/windows.rs"]
mod tools;

use clove::{Clove, KeyId, LimitState, Limited, MemoryStore, OrganizationId, Owner, Refusal, Status, Window};
use clove_testkit::Fixture;
use std::{sync::Arc, time::Duration};
use support::{is_good, refusal};
use tools::{MINUTE, credential, granted, limits, per};

async fn lefts(clove: &Clove, owner: &Owner, id: KeyId) -> Vec<(Limited, u64)> {
    let states: Vec<LimitState> = clove.windows(owner, id).await.unwrap();
    states.into_iter().map(|state| (state.of, state.left)).collect()
}

#[tokio::test]
async fn windows_are_told_as_a_grant_tells_them_and_nothing_is_charged_for_it() {
    let fixture = Fixture::new(limits(&[per(10, MINUTE), per(100, MINUTE * 60)], &[per(50, MINUTE)]).build().unwrap()).unwrap();
    let text = credential(&fixture).await;
    let id = fixture.keys().await.unwrap()[0].id;
    let full = [(Limited::Key, 10), (Limited::Key, 100), (Limited::Account, 50)];
    assert_eq!(lefts(&fixture.clove, &fixture.owner, id).await, full);
    assert_eq!(granted(&fixture.clove, &text, 3).await, 3);
    for _ in 0..20 {
        let expected = [(Limited::Key, 7), (Limited::Key, 97), (Limited::Account, 47)];
        assert_eq!(lefts(&fixture.clove, &fixture.owner, id).await, expected);
    }
    let grant = fixture.clove.verify(&*text).await.unwrap().granted().unwrap();
    let told: Vec<LimitState> = grant.limits().collect();
    assert_eq!(fixture.clove.windows(&fixture.owner, id).await.unwrap(), told);
    assert_eq!(granted(&fixture.clove, &text, 10).await, 6);
    assert_eq!(lefts(&fixture.clove, &fixture.owner, id).await[0], (Limited::Key, 0));
    fixture.clock().advance(MINUTE);
    assert_eq!(lefts(&fixture.clove, &fixture.owner, id).await[0], (Limited::Key, 10));
}

#[tokio::test]
async fn windows_that_slide_are_told_too() {
    let windows = [Window::sliding(5, MINUTE).unwrap(), Window::sliding_shared(6, MINUTE * 2).unwrap()];
    let fixture = Fixture::new(limits(&windows, &[]).build().unwrap()).unwrap();
    let text = credential(&fixture).await;
    let id = fixture.keys().await.unwrap()[0].id;
    assert_eq!(granted(&fixture.clove, &text, 2).await, 2);
    assert_eq!(lefts(&fixture.clove, &fixture.owner, id).await, [(Limited::Key, 3), (Limited::Key, 4)]);
    fixture.clock().advance(MINUTE);
    assert_eq!(lefts(&fixture.clove, &fixture.owner, id).await, [(Limited::Key, 5), (Limited::Key, 4)]);
}

#[tokio::test]
async fn another_process_tells_at_most_what_is_left() {
    let store = Arc::new(MemoryStore::new());
    let policy = limits(&[per(1000, MINUTE)], &[]).build().unwrap();
    let fixture = Fixture::on(Arc::clone(&store), policy.clone()).unwrap();
    let other = Clove::with_clock(store, policy, fixture.clock().clone());
    let text = credential(&fixture).await;
    let id = fixture.keys().await.unwrap()[0].id;
    for _ in 0..10 {
        granted(&fixture.clove, &text, 9).await;
        let (_, left) = lefts(&fixture.clove, &fixture.owner, id).await[0];
        let (_, told) = lefts(&other, &fixture.owner, id).await[0];
        assert!(told <= left, "{told} of {left}");
    }
    assert_eq!(lefts(&fixture.clove, &fixture.owner, id).await, [(Limited::Key, 910)]);
    fixture.clove.shut_down().await.unwrap();
    assert_eq!(lefts(&other, &fixture.owner, id).await, [(Limited::Key, 910)]);
}

#[tokio::test]
async fn a_foreign_key_has_no_windows_to_tell_of() {
    let fixture = support::fixture();
    let id = fixture.key_in(Status::Active).await.unwrap().key.id;
    for foreign in [Owner::new("acme", "eve").unwrap(), Owner::new("globex", "ada").unwrap()] {
        assert_eq!(refusal(fixture.clove.windows(&foreign, id).await), Refusal::NotFound);
    }
}

#[tokio::test]
async fn who_is_closed_is_told_and_who_was_never_heard_of_is_open() {
    let fixture = support::fixture();
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    assert!(clove.is_open(owner).await.unwrap() && clove.is_open(&owner.organization).await.unwrap());
    clove.close_owner(owner, by).await.unwrap();
    assert!(!clove.is_open(owner).await.unwrap() && clove.is_open(&owner.organization).await.unwrap());
    assert!(clove.is_open(&Owner::new("acme", "grace").unwrap()).await.unwrap());
    clove.reopen_owner(owner, by).await.unwrap();
    clove.close_organization(&owner.organization, by).await.unwrap();
    assert!(clove.is_open(owner).await.unwrap() && !clove.is_open(&owner.organization).await.unwrap());
    assert!(clove.is_open(&OrganizationId::new("globex").unwrap()).await.unwrap());
}

#[tokio::test]
async fn a_look_at_the_windows_of_an_unused_key_does_not_use_it() {
    let fixture = Fixture::new(limits(&[per(2, Duration::from_secs(1))], &[]).build().unwrap()).unwrap();
    let text = credential(&fixture).await;
    let id = fixture.keys().await.unwrap()[0].id;
    for _ in 0..5 {
        lefts(&fixture.clove, &fixture.owner, id).await;
    }
    assert_eq!(fixture.clove.get(&fixture.owner, id).await.unwrap().last_used_at, None);
    assert!(is_good(&fixture.clove, &text).await && is_good(&fixture.clove, &text).await);
}
