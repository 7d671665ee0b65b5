//! What arrives when nobody waits for it any more, and what waits behind a server that does not answer.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use clove_core::{ActiveLimit, By, Clove, Error, KeyId, ListKeys, NewKey, Owner, Policy, Refusal, Scope, StoreError};
use clove_store_postgres::Options;
use std::time::{Duration, Instant};
use support::{Schemas, Way, url, wire::Wire};

const TIMEOUT: Duration = Duration::from_millis(400);
/// A creation whose name is this one is late.
const LATE: &str = "a late one";

fn by() -> By {
    By::new("ada", "a test").unwrap()
}

fn owner(account: &str) -> Owner {
    Owner::new("acme", account).unwrap()
}

async fn create(clove: &Clove, owner: &Owner, name: &str) -> Result<KeyId, Error> {
    clove.create(owner, NewKey::named(name).unwrap(), &by()).await.map(|issued| issued.key.id)
}

async fn names(clove: &Clove, owner: &Owner) -> Vec<String> {
    let keys = clove.list(owner, &ListKeys::default()).await.unwrap().items;
    keys.iter().map(|key| key.name.as_str().to_owned()).collect()
}

/// A node whose creations may be late, and one whose are not.
async fn nodes(schemas: &Schemas) -> (Wire, Clove, Clove) {
    nodes_beside(schemas, Way::Direct, Policy::profile_a()).await
}

/// The same, the other one by this way and policy.
async fn nodes_beside(schemas: &Schemas, way: Way, policy: Policy) -> (Wire, Clove, Clove) {
    let (name, wire) = (schemas.name(), Wire::to(&url(Way::Direct)).await);
    let far = Options::url(&wire.url).unwrap().schema(&name).timeout(TIMEOUT).open().await.unwrap();
    let near = Options::url(&url(way)).unwrap().schema(&name).open().await.unwrap();
    (wire, Clove::new(far, Policy::profile_a()), Clove::new(near, policy))
}

/// A creation that is held up on its way until it was given up; what was told of it.
async fn given_up(wire: &Wire, far: &Clove, meanwhile: impl AsyncFnOnce()) -> Result<KeyId, Error> {
    wire.hold(LATE);
    let creating = tokio::spawn({
        let far = far.clone();
        async move { create(&far, &owner("ada"), LATE).await }
    });
    wire.is_holding().await;
    meanwhile().await;
    creating.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_that_was_refused_as_its_owner_was_full_is_not_carried_out_when_it_arrives_after_all() {
    let (schemas, ada) = (Schemas::new(Way::Direct), owner("ada"));
    let (wire, far, near) = nodes(&schemas).await;
    create(&far, &ada, "one").await.unwrap();
    let other = create(&far, &ada, "other").await.unwrap();
    far.disable(&ada, other, &by()).await.unwrap();
    let told = given_up(&wire, &far, async || drop(near.enable(&ada, other, &by()).await.unwrap())).await;
    assert!(matches!(told, Err(Error::Refused(Refusal::LimitReached { .. }))), "{told:?}");
    // The owner's row is as it was taken to be.
    near.disable(&ada, other, &by()).await.unwrap();
    wire.release().await;
    assert_eq!(names(&near, &ada).await, ["other", "one"]);
    // Nor is anything else amiss.
    create(&far, &ada, "a third").await.unwrap();
}

async fn close(clove: &Clove, scope: &Scope) {
    match scope {
        Scope::Owner(owner) => clove.close_owner(owner, &by()).await.unwrap(),
        Scope::Organization(organization) => clove.close_organization(organization, &by()).await.unwrap(),
    };
}

async fn reopen(clove: &Clove, scope: &Scope) {
    match scope {
        Scope::Owner(owner) => clove.reopen_owner(owner, &by()).await.unwrap(),
        Scope::Organization(organization) => clove.reopen_organization(organization, &by()).await.unwrap(),
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_is_one_that_was_refused_as_its_owner_was_closed() {
    for scope in [Scope::Owner(owner("ada")), Scope::Organization(owner("ada").organization)] {
        let (schemas, ada) = (Schemas::new(Way::Direct), owner("ada"));
        let (wire, far, near) = nodes(&schemas).await;
        let one = create(&far, &ada, "one").await.unwrap();
        // To close takes no place from it, so that its owner's row is the same in the end.
        far.disable(&ada, one, &by()).await.unwrap();
        let told = given_up(&wire, &far, async || close(&near, &scope).await).await;
        assert!(matches!(told, Err(Error::Refused(Refusal::OwnerClosed))), "{told:?}");
        reopen(&near, &scope).await;
        wire.release().await;
        assert_eq!(names(&near, &ada).await, ["one"]);
    }
}

/// An owner that nobody knows has its row and its keys by the first creation alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_is_the_first_of_an_owner() {
    let (schemas, ada) = (Schemas::new(Way::Direct), owner("ada"));
    let (wire, far, near) = nodes(&schemas).await;
    create(&far, &owner("ben"), "of another").await.unwrap();
    let scope = Scope::Organization(ada.organization.clone());
    let told = given_up(&wire, &far, async || close(&near, &scope).await).await;
    assert!(matches!(told, Err(Error::Refused(Refusal::OwnerClosed))), "{told:?}");
    reopen(&near, &scope).await;
    wire.release().await;
    assert!(names(&near, &ada).await.is_empty());
}

/// What it is refused for may be no row's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_is_the_first_of_an_owner_that_another_policy_has_refused() {
    let (schemas, ada) = (Schemas::new(Way::Direct), owner("ada"));
    let none = Policy::builder().active_limit(ActiveLimit::AtMost(0)).build().unwrap();
    let (wire, far, strict) = nodes_beside(&schemas, Way::Direct, none).await;
    create(&far, &owner("ben"), "of another").await.unwrap();
    let by_operation = by().operation(clove_core::OperationId::new(far.now()));
    let again = async |clove: &Clove| clove.create(&ada, NewKey::named(LATE).unwrap(), &by_operation).await.map(drop);
    wire.hold(LATE);
    assert!(tokio::time::timeout(TIMEOUT / 4, again(&far)).await.is_err());
    wire.is_holding().await;
    let told = again(&strict).await;
    assert!(matches!(told, Err(Error::Refused(Refusal::LimitReached { .. }))), "{told:?}");
    wire.release().await;
    assert!(names(&strict, &ada).await.is_empty());
}

/// A host that asks again asks any of its nodes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_is_one_that_was_refused_by_another_node_behind_a_pooler() {
    let (schemas, ada) = (Schemas::new(Way::Direct), owner("ada"));
    let (wire, far, pooled) = nodes_beside(&schemas, Way::Pooled, Policy::profile_a()).await;
    create(&far, &ada, "one").await.unwrap();
    let other = create(&far, &ada, "other").await.unwrap();
    far.disable(&ada, other, &by()).await.unwrap();
    let by_operation = by().operation(clove_core::OperationId::new(far.now()));
    let again = async |clove: &Clove| clove.create(&ada, NewKey::named(LATE).unwrap(), &by_operation).await.map(drop);
    wire.hold(LATE);
    // Its caller goes away.
    let gone = tokio::time::timeout(TIMEOUT / 4, again(&far)).await;
    assert!(gone.is_err());
    wire.is_holding().await;
    pooled.enable(&ada, other, &by()).await.unwrap();
    let told = again(&pooled).await;
    assert!(matches!(told, Err(Error::Refused(Refusal::LimitReached { .. }))), "{told:?}");
    pooled.disable(&ada, other, &by()).await.unwrap();
    wire.release().await;
    assert_eq!(names(&pooled, &ada).await, ["other", "one"]);
    again(&pooled).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_was_refused_may_be_given_again_under_its_operation_and_is_carried_out_once() {
    let (schemas, ada) = (Schemas::new(Way::Direct), owner("ada"));
    let (_wire, far, near) = nodes(&schemas).await;
    let one = create(&far, &ada, "one").await.unwrap();
    let other = create(&far, &ada, "other").await.unwrap();
    let by_operation = || by().operation(clove_core::OperationId::new(far.now()));
    let operation = by_operation();
    let again = async |clove: &Clove| clove.create(&ada, NewKey::named(LATE).unwrap(), &operation).await;
    for clove in [&far, &near, &far] {
        let told = again(clove).await;
        assert!(matches!(told, Err(Error::Refused(Refusal::LimitReached { .. }))), "{told:?}");
    }
    far.delete(&ada, other, &by()).await.unwrap();
    let created = again(&near).await.unwrap().key.id;
    assert_eq!(again(&far).await.unwrap().key.id, created);
    assert_eq!(names(&near, &ada).await, [LATE, "one"]);
    // It has written nothing, so that another command may have it.
    let operation = by_operation();
    let told = far.create(&ada, NewKey::named("a third").unwrap(), &operation).await;
    assert!(matches!(told, Err(Error::Refused(Refusal::LimitReached { .. }))), "{told:?}");
    far.disable(&ada, one, &operation).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_server_that_hangs_many_who_create_wait_no_longer_than_one() {
    let schemas = Schemas::new(Way::Direct);
    let wire = Wire::to(&url(Way::Direct)).await;
    let options = Options::url(&wire.url).unwrap().schema(schemas.name()).timeout(TIMEOUT);
    let policy = Policy::builder().active_limit(ActiveLimit::AtMost(100)).build().unwrap();
    let clove = Clove::new(options.open().await.unwrap(), policy);
    for account in 0..200 {
        create(&clove, &owner(&account.to_string()), "one").await.unwrap();
    }
    let hung = async |account: fn(usize) -> usize, many| {
        wire.stop();
        let began = Instant::now();
        let creating = |number| {
            let clove = clove.clone();
            tokio::spawn(async move { create(&clove, &owner(&account(number).to_string()), "another").await })
        };
        for creating in (0..many).map(creating).collect::<Vec<_>>() {
            let told = creating.await.unwrap();
            assert!(matches!(told, Err(Error::Store(StoreError::Unavailable { .. }) | Error::OutcomeUnknown { .. })), "{told:?}");
        }
        let took = began.elapsed();
        wire.resume();
        while clove.list(&owner("0"), &ListKeys::default()).await.is_err() {}
        took
    };
    let one = hung(|_| 0, 1).await;
    for account in [|_| 0, |number| number] {
        let many = hung(account, 200).await;
        assert!(many < 3 * one, "{many:?}, and one {one:?}");
    }
}
