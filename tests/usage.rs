//! Usage as it is read: by key, account or all, by day or in total, within a scope.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use clove::{Cursor, Day, Error, KeyId, ListUsage, MemoryStore, Owner, Scope, Store, UsageBy, UsagePer, sqlite::SqliteStore};
use clove_testkit::Fixture;
use support::{
    DAY, named,
    usage::{grant, policy, sums, tokens},
};

/// Two accounts, one with two keys, over three days: tokens by account, key and day.
async fn team(fixture: &Fixture) -> (Owner, [KeyId; 3]) {
    let (clove, by) = (&fixture.clove, &fixture.by);
    let bob = Owner::new("acme", "bob").unwrap();
    let mut issued = Vec::new();
    for owner in [&fixture.owner, &fixture.owner, &bob] {
        let key = clove.create(owner, named("a key"), by).await.unwrap();
        issued.push((key.key.id, key.credential.unwrap().reveal().to_string()));
    }
    for day in 0..3 {
        for ((_, credential), amount) in issued.iter().zip([1, 10, 100]) {
            if (day, amount) != (1, 10) {
                let grant = grant(clove, credential).await;
                clove.record(&grant, &tokens(), amount << day).unwrap();
            }
        }
        fixture.clock().advance(DAY);
    }
    clove.flush().await.unwrap();
    (bob, [issued[0].0, issued[1].0, issued[2].0])
}

#[tokio::test]
async fn usage_is_told_by_key_account_or_all_and_by_day_or_in_total() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = SqliteStore::open(folder.path().join("keys.db")).unwrap();
    for store in [Box::new(MemoryStore::new()) as Box<dyn Store>, Box::new(sqlite)] {
        let fixture = Fixture::on(store, policy()).unwrap();
        let (bob, keys) = team(&fixture).await;
        let (clove, ada) = (&fixture.clove, &fixture.owner);
        let amounts = async |scope: Scope, list: ListUsage| -> Vec<u64> {
            let list = ListUsage { unit: Some(tokens()), limit: Some(2), ..list };
            sums(clove, &scope, &list).await.iter().map(|sum| sum.amount).collect()
        };
        let list = |by, per| ListUsage { by, per, ..ListUsage::default() };
        let acme = || Scope::from(&ada.organization);
        assert_eq!(amounts(acme(), list(UsageBy::Key, UsagePer::Day)).await, [1, 2, 4, 10, 40, 100, 200, 400]);
        assert_eq!(amounts(acme(), list(UsageBy::Key, UsagePer::Total)).await, [7, 50, 700]);
        assert_eq!(amounts(acme(), list(UsageBy::Account, UsagePer::Day)).await, [11, 2, 44, 100, 200, 400]);
        assert_eq!(amounts(acme(), list(UsageBy::Account, UsagePer::Total)).await, [57, 700]);
        assert_eq!(amounts(acme(), list(UsageBy::Organization, UsagePer::Day)).await, [111, 202, 444]);
        assert_eq!(amounts(acme(), list(UsageBy::Organization, UsagePer::Total)).await, [757]);
        assert_eq!(amounts((&bob).into(), list(UsageBy::Organization, UsagePer::Total)).await, [700], "an owner sees its own");
        assert_eq!(amounts(ada.into(), list(UsageBy::Account, UsagePer::Day)).await, [11, 2, 44]);
        let second = |by, per| ListUsage { key: Some(keys[1]), ..list(by, per) };
        assert_eq!(amounts(acme(), second(UsageBy::Account, UsagePer::Day)).await, [10, 40]);
        assert_eq!(amounts(ada.into(), second(UsageBy::Organization, UsagePer::Total)).await, [50]);
        assert_eq!(amounts((&bob).into(), second(UsageBy::Key, UsagePer::Day)).await, [0; 0], "a foreign key is like none");
        let today = Day::of(clove.now());
        let days = ListUsage { first: Some(today.before(2)), last: Some(today.before(1)), ..ListUsage::default() };
        assert_eq!(amounts(acme(), days).await, [202, 444]);
    }
}

#[tokio::test]
async fn pages_of_usage_take_their_own_cursors_and_sizes_only() {
    let fixture = Fixture::new(policy()).unwrap();
    team(&fixture).await;
    let (clove, owner) = (&fixture.clove, &fixture.owner);
    let list = |by, per, after| ListUsage { by, per, after, limit: Some(1), ..ListUsage::default() };
    let kinds =
        [UsageBy::Key, UsageBy::Account, UsageBy::Organization].map(|by| [UsagePer::Day, UsagePer::Total].map(|per| (by, per)));
    let kinds = kinds.concat();
    for &(by, per) in &kinds {
        let cursor = clove.usage(&owner.organization, &list(by, per, None)).await.unwrap().next.unwrap();
        for &(other_by, other_per) in &kinds {
            let page = clove.usage(&owner.organization, &list(other_by, other_per, Some(cursor.clone()))).await;
            let is_own = (by, per) == (other_by, other_per);
            assert_eq!(page.is_ok(), is_own, "{by:?} {per:?} {other_by:?} {other_per:?}");
            assert!(is_own || matches!(page, Err(Error::Invalid(invalid)) if invalid.field == "cursor"));
        }
        let keys = clove::ListKeys { after: Some(cursor), ..clove::ListKeys::default() };
        assert!(matches!(clove.list(owner, &keys).await, Err(Error::Invalid(_))));
    }
    let keys = clove.list(owner, &clove::ListKeys { limit: Some(1), ..clove::ListKeys::default() }).await.unwrap();
    let foreign = list(UsageBy::Key, UsagePer::Day, keys.next);
    assert!(matches!(clove.usage(owner, &foreign).await, Err(Error::Invalid(_))));
    for limit in [0, 201] {
        let list = ListUsage { limit: Some(limit), ..ListUsage::default() };
        assert!(matches!(clove.usage(owner, &list).await, Err(Error::Invalid(invalid)) if invalid.field == "limit"));
    }
    for text in [
        "u",
        "u...",
        "u...Tokens",
        "u1..6.tokens",
        "u1..zz.tokens",
        "ux...tokens",
        "u1.1..tokens",
        "u..00.tokens",
        "u99999999999...t",
    ] {
        assert!(text.parse::<Cursor>().is_err(), "{text}");
    }
}
