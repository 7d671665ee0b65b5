//! Keys and the audit trail, read page by page.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use chrono::TimeDelta;
use clove::{Action, Error, Expiry, KeyId, ListAudit, ListKeys, Owner, Scope, Status};
use std::time::Duration;
use support::{DAY, fixture, invalid, named, trail, unlimited};

#[tokio::test]
async fn pages_pin_the_time_of_their_filter() {
    let fixture = unlimited();
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    for _ in 0..5 {
        clove.create(owner, named("short").expiry(Expiry::Days(30)), by).await.unwrap();
    }
    let first = clove.list(owner, &ListKeys { status: Some(Status::Active), limit: Some(2), after: None }).await.unwrap();
    fixture.clock().advance(Duration::from_secs(40 * 86_400));
    let cursor = first.next.unwrap().to_string().parse().unwrap();
    let rest = clove.list(owner, &ListKeys { status: Some(Status::Active), limit: Some(9), after: Some(cursor) }).await.unwrap();
    assert_eq!((rest.items.len(), rest.next), (3, None));
    assert!(clove.list(owner, &ListKeys { status: Some(Status::Active), ..ListKeys::default() }).await.unwrap().items.is_empty());
    for limit in [0, 201, usize::MAX] {
        assert!(matches!(
            clove.list(owner, &ListKeys { limit: Some(limit), ..ListKeys::default() }).await,
            Err(Error::Invalid(_))
        ));
    }
    assert!("junk".parse::<clove::Cursor>().is_err());
}

#[tokio::test]
async fn keys_that_expire_soon_are_listed() {
    let fixture = unlimited();
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    for days in [365, 30, 60, 30] {
        clove.create(owner, named("a key").expiry(Expiry::Days(days)), by).await.unwrap();
    }
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = clove.expiring(owner, TimeDelta::days(60), Some(2), after.as_ref()).await.unwrap();
        found.extend(page.items.iter().map(|key| (key.expires_at.unwrap() - clove.now()).num_days()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, [30, 30, 60]);
    for within in [TimeDelta::zero(), TimeDelta::days(-1), TimeDelta::MAX] {
        assert!(matches!(clove.expiring(owner, within, None, None).await, Err(Error::Invalid(_))));
    }
}

#[tokio::test]
async fn each_status_lists_its_own_keys_and_together_they_are_all() {
    let fixture = unlimited();
    for status in [Status::Expired, Status::Active, Status::Suspended, Status::Compromised, Status::Revoked] {
        fixture.key_in(status).await.unwrap();
    }
    for scope in [Scope::from(&fixture.owner), Scope::from(&fixture.owner.organization)] {
        for status in Status::ALL {
            let page = fixture.clove.list(&scope, &ListKeys { status: Some(status), ..ListKeys::default() }).await.unwrap();
            let found: Vec<_> = page.items.iter().map(|key| key.status(fixture.clove.now())).collect();
            assert_eq!(found, [status]);
        }
        let all = fixture.clove.list(&scope, &ListKeys::default()).await.unwrap().items;
        assert!(all.len() == 5 && all.is_sorted_by(|a, b| a.id > b.id), "newest first");
    }
    let foreign = Owner::new("acme", "bob").unwrap();
    assert!(fixture.clove.list(&foreign, &ListKeys::default()).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn pages_of_keys_skip_and_repeat_none_while_keys_come_and_go() {
    let fixture = unlimited();
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    let mut ids = Vec::new();
    for _ in 0..7 {
        ids.push(fixture.key_in(Status::Active).await.unwrap().key.id);
    }
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = clove.list(owner, &ListKeys { limit: Some(2), after, ..ListKeys::default() }).await.unwrap();
        found.extend(page.items.iter().map(|key| key.id));
        fixture.key_in(Status::Active).await.unwrap();
        clove.delete(owner, *found.last().unwrap(), by).await.unwrap();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    ids.reverse();
    assert_eq!(found, ids);
}

#[tokio::test]
async fn the_trail_is_read_by_key_action_time_and_page() {
    let fixture = unlimited();
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    let start = clove.now();
    let key = fixture.key_in(Status::Suspended).await.unwrap().key;
    fixture.clock().advance(DAY);
    clove.enable(owner, key.id, by).await.unwrap();
    fixture.key_in(Status::Active).await.unwrap();
    clove.delete(owner, key.id, by).await.unwrap();
    clove.close_organization(&owner.organization, by).await.unwrap();
    let read = async |list: ListAudit| {
        let events = clove.audit(owner, &list).await.unwrap().items;
        events.iter().map(|event| event.action).collect::<Vec<_>>()
    };
    let all = ListAudit::default;
    assert_eq!(
        read(ListAudit { key: Some(key.id), ..all() }).await,
        [Action::Delete, Action::Enable, Action::Disable, Action::Create]
    );
    assert_eq!(read(ListAudit { action: Some(Action::Create), ..all() }).await.len(), 2);
    assert_eq!(read(ListAudit { until: Some(start + TimeDelta::days(1)), ..all() }).await, [Action::Disable, Action::Create]);
    assert_eq!(read(ListAudit { from: Some(start + TimeDelta::days(1)), ..all() }).await.len(), 4, "not the organization's own");
    assert_eq!(read(ListAudit { from: Some(clove.now() + TimeDelta::microseconds(1)), ..all() }).await.len(), 0);
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let page = clove.audit(&owner.organization, &ListAudit { limit: Some(3), after, ..all() }).await.unwrap();
        paged.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(paged, trail(&fixture).await);
    let event = paged.iter().find(|event| event.action == Action::Delete).unwrap();
    let audited = event.key.as_ref().unwrap();
    assert_eq!((audited.id, audited.name.as_str(), audited.to), (key.id, "Suspended key", None), "it outlives its key");
    assert_eq!(
        (event.actor.as_str(), event.reason.as_str(), event.account.as_ref()),
        ("fixture", "set up a test", Some(&owner.account))
    );
}

#[tokio::test]
async fn page_sizes_and_cursors_out_of_range_are_named() {
    let fixture = fixture();
    let (clove, owner) = (&fixture.clove, &fixture.owner);
    for limit in [0, 201, usize::MAX] {
        assert_eq!(invalid(clove.list(owner, &ListKeys { limit: Some(limit), ..ListKeys::default() }).await).field, "limit");
        assert_eq!(invalid(clove.audit(owner, &ListAudit { limit: Some(limit), ..ListAudit::default() }).await).field, "limit");
        assert_eq!(invalid(clove.expiring(owner, TimeDelta::days(1), Some(limit), None).await).field, "limit");
        assert_eq!(invalid(clove.keys_under_pepper(1, None, Some(limit)).await).field, "limit");
    }
    let id = KeyId::new(clove.now());
    for junk in [
        "",
        ".",
        "..",
        "junk",
        "k",
        "k..",
        "é1..",
        &format!("1..{id}"),
        &format!("x1..{id}"),
        &format!("kx..{id}"),
        &format!("k{}..{id}", i64::MAX),
        "k1..",
        "k1..junk",
        &format!("k1.x.{id}"),
        &"1".repeat(1 << 20),
    ] {
        let error = junk.parse::<clove::Cursor>().unwrap_err();
        assert!(error.field == "cursor" && error.to_string().len() < 100);
    }
    let version_4 = "k1..6f9619ff8b864d01b42d00cf4fc964ff".parse().unwrap();
    assert!(matches!(
        clove.list(owner, &ListKeys { after: Some(version_4), ..ListKeys::default() }).await,
        Err(Error::Invalid(_))
    ));
}

#[tokio::test]
async fn a_cursor_of_one_list_begins_no_page_of_another() {
    let fixture = unlimited();
    let (clove, owner) = (&fixture.clove, &fixture.owner);
    for _ in 0..2 {
        fixture.key_in(clove::Status::Active).await.unwrap();
    }
    let (one, soon) = (Some(1), chrono::TimeDelta::days(100));
    let keys = |after| clove::ListKeys { limit: one, after, ..clove::ListKeys::default() };
    let events = |after| clove::ListAudit { limit: one, after, ..clove::ListAudit::default() };
    let of_keys = clove.list(owner, &keys(None)).await.unwrap().next;
    let of_expiring = clove.expiring(owner, soon, one, None).await.unwrap().next;
    let of_events = clove.audit(owner, &events(None)).await.unwrap().next;
    for other in [&of_expiring, &of_events] {
        assert_eq!(invalid(clove.list(owner, &keys(other.clone())).await).field, "cursor");
    }
    for other in [&of_keys, &of_events] {
        assert_eq!(invalid(clove.expiring(owner, soon, one, other.as_ref()).await).field, "cursor");
    }
    for other in [&of_keys, &of_expiring] {
        assert_eq!(invalid(clove.audit(owner, &events(other.clone())).await).field, "cursor");
    }
    for cursor in [of_keys, of_expiring, of_events] {
        let cursor = cursor.unwrap();
        assert_eq!(cursor.to_string().parse::<clove::Cursor>().unwrap(), cursor);
    }
}
