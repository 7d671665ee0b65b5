//! Lists: in a stable order, by keyset, within their scope.

use super::{list_cases, tools::*};
use clove_core::{
    KeyId, KeyState, Scope,
    store::{ExpiringKey, ExpiringQuery, ExpiryFilter, KeyQuery, Place},
};
use std::sync::Arc;

list_cases![
    pages_hold_each_key_once_while_others_come_and_go,
    a_page_counts_only_what_matches,
    lists_stay_within_their_scope,
    states_and_expiry_filter_at_their_edges,
    expiring_keys_come_soonest_first,
    keys_of_all_owners_that_expire_soon_come_soonest_first,
];

async fn pages_hold_each_key_once_while_others_come_and_go(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let scope: Scope = (&owner).into();
    let mut ids: Vec<KeyId> = Vec::new();
    for _ in 0..8 {
        let key = key(&owner);
        bench.insert(&key).await;
        ids.push(key.id);
    }
    ids.reverse();
    let first = bench.page(&scope, None, 3).await;
    assert_eq!((first.more, first.last.map(|place| place.id)), (true, Some(ids[2])));
    // What was read goes, something newer comes, and something unread goes: the next page is what is left.
    bench.delete(&scope, ids[1]).await;
    bench.delete(&scope, ids[2]).await;
    bench.delete(&scope, ids[4]).await;
    bench.insert(&key(&owner)).await;
    let second = bench.page(&scope, first.last.map(|place| place.id), 3).await;
    assert_eq!(second.keys.iter().map(|key| key.id).collect::<Vec<_>>(), [ids[3], ids[5], ids[6]]);
    let third = bench.page(&scope, second.last.map(|place| place.id), 1).await;
    assert_eq!((third.more, third.last.map(|place| place.id)), (false, Some(ids[7])));
}

async fn lists_stay_within_their_scope(bench: Arc<Bench>) {
    let owners =
        [bench.owner("acme", "ada"), bench.owner("acme", "bob"), bench.owner("acme2", "ada"), bench.owner("ACME", "ada")];
    for owner in &owners {
        bench.insert(&key(owner)).await;
    }
    for owner in &owners {
        let keys = bench.all(&owner.into()).await;
        assert!(keys.len() == 1 && keys[0].owner == *owner, "{owner:?}");
        let keys = bench.all(&(&owner.organization).into()).await;
        assert!(keys.iter().all(|key| key.owner.organization == owner.organization), "{owner:?}");
        assert_eq!(keys.len(), if owner.organization.as_str() == "acme" { 2 } else { 1 });
    }
}

async fn states_and_expiry_filter_at_their_edges(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let mut add = Vec::new();
    for (state, expires, latched) in [
        (KeyState::Active, Some(0), false),
        (KeyState::Active, Some(1), false),
        (KeyState::Active, None, false),
        (KeyState::Active, Some(9), true),
        (KeyState::Suspended, Some(-1), false),
        (KeyState::Revoked, Some(-1), false),
    ] {
        let mut key = key(&owner);
        (key.state, key.expires_at, key.expiry_latched) = (state, expires.map(after), latched);
        bench.insert(&key).await;
        add.push(key.id);
    }
    for (states, expiry, wanted) in [
        (vec![KeyState::Active], ExpiryFilter::PendingAt(start()), vec![2, 1]),
        (vec![KeyState::Active, KeyState::Suspended], ExpiryFilter::PassedAt(start()), vec![4, 3, 0]),
        (vec![KeyState::Active], ExpiryFilter::Any, vec![3, 2, 1, 0]),
        (vec![KeyState::Revoked, KeyState::Compromised], ExpiryFilter::Any, vec![5]),
        (vec![], ExpiryFilter::Any, vec![]),
    ] {
        let query = KeyQuery { scope: (&owner).into(), states, expiry, before: None, limit: 9 };
        let found: Vec<KeyId> = bench.store.list(&query).await.unwrap().keys.iter().map(|key| key.id).collect();
        assert_eq!(found, wanted.into_iter().map(|place: usize| add[place]).collect::<Vec<_>>(), "{query:?}");
    }
}

async fn expiring_keys_come_soonest_first(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let mut ids = Vec::new();
    for (state, expires) in [
        (KeyState::Active, Some(30)),
        (KeyState::Suspended, Some(10)),
        (KeyState::Active, Some(10)),
        (KeyState::Active, Some(0)),
        (KeyState::Active, Some(31)),
        (KeyState::Revoked, Some(10)),
        (KeyState::Compromised, Some(10)),
        (KeyState::Active, None),
    ] {
        let mut key = key(&owner);
        (key.state, key.expires_at) = (state, expires.map(after));
        bench.insert(&key).await;
        ids.push(key.id);
    }
    let mut latched = key(&owner);
    (latched.expires_at, latched.expiry_latched) = (Some(after(10)), true);
    bench.insert(&latched).await;
    let mut foreign = key(&bench.owner("acme", "bob"));
    foreign.expires_at = Some(after(20));
    bench.insert(&foreign).await;
    for (scope, wanted) in [
        (Scope::from(&owner), vec![ids[1], ids[2], ids[0]]),
        (Scope::from(&owner.organization), vec![ids[1], ids[2], foreign.id, ids[0]]),
    ] {
        // A place before the range begins it, and does not widen it.
        let before = Some((after(-1), ids[3]));
        let mut query = ExpiringQuery { scope, from: start(), until: after(30), after: before, limit: 1 };
        let mut found = Vec::new();
        loop {
            let page = bench.store.expiring(&query).await.unwrap();
            assert_eq!(page.last, page.keys.last().map(Place::of), "a next page begins there");
            query.after = page.last.and_then(|place| Some((place.expires_at?, place.id)));
            found.extend(page.keys.iter().map(|key| key.id));
            if !page.more {
                break;
            }
        }
        assert_eq!(found, wanted, "after from, up to until");
    }
}

async fn keys_of_all_owners_that_expire_soon_come_soonest_first(bench: Arc<Bench>) {
    let owners = [bench.owner("acme", "ada"), bench.owner("acme", "bob"), bench.owner("zenith", "ada")];
    let mut all = Vec::new();
    for (place, state, seconds, latched) in [
        (0, KeyState::Active, Some(30), false),
        (1, KeyState::Suspended, Some(10), false),
        (2, KeyState::Active, Some(10), false),
        (2, KeyState::Active, Some(0), false),
        (0, KeyState::Active, Some(31), false),
        (1, KeyState::Revoked, Some(10), false),
        (2, KeyState::Compromised, Some(10), false),
        (0, KeyState::Active, Some(10), true),
        (1, KeyState::Active, None, false),
        (2, KeyState::Active, Some(20), false),
    ] {
        let mut key = key(&owners[place]);
        (key.state, key.expires_at, key.expiry_latched) = (state, seconds.map(after), latched);
        bench.insert(&key).await;
        all.push(key);
    }
    let wanted: Vec<ExpiringKey> = [1, 2, 9, 0]
        .map(|place: usize| &all[place])
        .map(|key| ExpiringKey { id: key.id, owner: key.owner.clone(), expires_at: key.expires_at.unwrap().into() })
        .to_vec();
    let (from, until) = (start().into(), after(30).into());
    for limit in 1..=5 {
        // A place before the range begins it, and does not widen it.
        let (mut found, mut place): (Vec<ExpiringKey>, _) = (Vec::new(), Some((after(-1).into(), all[3].id)));
        loop {
            let page = bench.store.expiring_soon(from, until, place, limit).await.unwrap();
            assert!(page.len() <= limit, "no more than asked");
            place = page.last().map(|last| (last.expires_at, last.id));
            found.extend(page.clone());
            assert!(found.len() <= wanted.len(), "each once: {found:?}");
            if page.len() < limit {
                break;
            }
        }
        assert_eq!(found, wanted, "after from, up to until");
    }
    assert_eq!(bench.store.expiring_soon(from, until, None, 9).await.unwrap(), wanted);
}

async fn a_page_counts_only_what_matches(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let mut wanted = Vec::new();
    for place in 0..9 {
        let mut key = key(&owner);
        if place % 2 == 0 {
            key.state = KeyState::Suspended;
        } else {
            key.expires_at = Some(after(-1));
            wanted.push(key.id);
        }
        bench.insert(&key).await;
    }
    wanted.reverse();
    let page = |before: Option<KeyId>, limit: usize| {
        let (states, expiry) = (vec![KeyState::Active], ExpiryFilter::PassedAt(start()));
        let query = KeyQuery { scope: (&owner).into(), states, expiry, before, limit };
        let bench = Arc::clone(&bench);
        async move {
            let page = bench.store.list(&query).await.unwrap();
            (page.keys.iter().map(|key| key.id).collect::<Vec<_>>(), page.more, page.last.map(|place| place.id))
        }
    };
    assert_eq!(page(None, 3).await, (wanted[..3].to_vec(), true, Some(wanted[2])));
    assert_eq!(page(Some(wanted[2]), 3).await, (wanted[3..].to_vec(), false, Some(wanted[3])));
    assert_eq!(page(None, 4).await, (wanted.clone(), false, Some(wanted[3])), "no more than the limit, and no less");
    let (keys, more, _) = page(Some(wanted[3]), 3).await;
    assert!(keys.is_empty() && !more, "nothing is left");
}
