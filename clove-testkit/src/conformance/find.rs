//! What a verification reads: facts, whatever the state.

use super::{list_cases, tools::*};
use clove_core::{
    Argon2Cost, KeyId, KeyState, LimitChoice,
    digest::Scheme,
    store::{Candidate, CandidateLimits, SecretRecord, Secrets},
};
use std::sync::Arc;

list_cases![
    a_key_is_found_by_id_and_digest_whatever_its_state,
    up_to_four_digests_are_looked_up,
    a_slow_digest_is_not_found_by_digest,
    a_slow_digest_beside_a_fast_one_hides_nothing,
    a_change_is_seen_by_the_next_look_up,
    a_closed_owner_is_seen_with_the_key,
    a_closed_organization_is_seen_with_the_key,
    both_must_be_open,
    peppers_are_listed,
    a_deleted_key_is_under_no_pepper,
];

async fn a_key_is_found_by_id_and_digest_whatever_its_state(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    for (state, latched) in KeyState::ALL.into_iter().zip([false, true, false, true]) {
        let mut key = key(&owner);
        (key.state, key.expiry_latched, key.expires_at) = (state, latched, Some(after(-1)));
        let digest = bench.insert(&key).await;
        let wanted = Candidate {
            id: key.id,
            owner: Arc::new(owner.clone()),
            capabilities: key.capabilities,
            state,
            expires_at: key.expires_at.map(Into::into),
            expiry_latched: latched,
            revision: 1,
            limits: CandidateLimits::unless_default(key.limits, LimitChoice::Default, None),
            owner_open: true,
            secrets: Secrets::one(current(digest)),
        };
        assert_eq!(*bench.store.find_by_id(key.id).await.unwrap().unwrap(), wanted);
        assert_eq!(*bench.store.find_by_digest(&[digest]).await.unwrap().unwrap(), wanted);
    }
    assert!(bench.store.find_by_id(KeyId::new(start())).await.unwrap().is_none());
    assert!(bench.store.find_by_digest(&[digest()]).await.unwrap().is_none());
}

async fn up_to_four_digests_are_looked_up(bench: Arc<Bench>) {
    let key = key(&bench.owner("acme", "ada"));
    let stored = bench.insert(&key).await;
    for place in 0..4 {
        let mut asked = [digest(), digest(), digest(), digest()];
        asked[place] = stored;
        for asked in [&asked[..], &asked[..=place]] {
            assert_eq!(bench.store.find_by_digest(asked).await.unwrap().unwrap().id, key.id, "{} digests", asked.len());
        }
    }
    assert!(bench.store.find_by_digest(&[]).await.unwrap().is_none());
}

async fn a_slow_digest_is_not_found_by_digest(bench: Arc<Bench>) {
    let key = key(&bench.owner("acme", "ada"));
    let scheme = Scheme::Argon2id { cost: Argon2Cost::OWASP, salt: [7; 16], imported: false };
    let secret = SecretRecord { scheme, ..current(digest()) };
    committed(bench.insert_with(&key, vec![secret]).await);
    assert!(bench.store.find_by_digest(&[secret.digest]).await.unwrap().is_none());
    assert_eq!(bench.store.find_by_id(key.id).await.unwrap().unwrap().secrets.to_vec(), [secret]);
}

async fn a_closed_owner_is_seen_with_the_key(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let (key, neighbour) = (key(&owner), key(&bench.owner("acme", "bob")));
    let digest = bench.insert(&key).await;
    bench.insert(&neighbour).await;
    for open in [false, true] {
        bench.set_owner(&owner, move |record| record.open = open).await;
        assert_eq!(bench.store.find_by_id(key.id).await.unwrap().unwrap().owner_open, open);
        assert_eq!(bench.store.find_by_digest(&[digest]).await.unwrap().unwrap().owner_open, open);
        assert!(bench.store.find_by_id(neighbour.id).await.unwrap().unwrap().owner_open);
    }
}

async fn a_closed_organization_is_seen_with_the_key(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let (own, neighbour) = (key(&owner), key(&bench.owner("acm", "ada")));
    bench.insert(&own).await;
    bench.insert(&neighbour).await;
    for open in [false, true] {
        bench.set_organization(&owner.organization, open).await;
        assert_eq!(bench.store.find_by_id(own.id).await.unwrap().unwrap().owner_open, open);
        assert!(bench.store.find_by_id(neighbour.id).await.unwrap().unwrap().owner_open);
    }
}

async fn peppers_are_listed(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let mut under_two = Vec::new();
    for pepper in [2, 65_535, 2, 1] {
        let key = key(&owner);
        let secret = SecretRecord { scheme: Scheme::HmacSha256 { pepper }, ..current(digest()) };
        committed(bench.insert_with(&key, vec![secret]).await);
        if pepper == 2 {
            under_two.push(key.id);
        }
    }
    bench.insert(&key(&owner)).await;
    assert_eq!(bench.store.peppers_in_use().await.unwrap().into_iter().collect::<Vec<_>>(), [1, 2, 65_535]);
    assert_eq!(bench.store.keys_under_pepper(2, None, 9).await.unwrap(), under_two);
    assert_eq!(bench.store.keys_under_pepper(2, None, 1).await.unwrap(), under_two[..1]);
    assert_eq!(bench.store.keys_under_pepper(2, Some(under_two[0]), 9).await.unwrap(), under_two[1..]);
}

async fn a_slow_digest_beside_a_fast_one_hides_nothing(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let (imported, own) = (key(&owner), key(&owner));
    let slow =
        SecretRecord { scheme: Scheme::Argon2id { cost: Argon2Cost::OWASP, salt: [0; 16], imported: true }, ..current(digest()) };
    let fast = SecretRecord { valid_until: Some(after(60).into()), ..current(digest()) };
    committed(bench.insert_with(&imported, vec![slow, fast]).await);
    let of_own = bench.insert(&own).await;
    for (asked, id) in [([slow.digest, of_own], own.id), ([slow.digest, fast.digest], imported.id)] {
        assert_eq!(bench.store.find_by_digest(&asked).await.unwrap().unwrap().id, id);
    }
    let found = bench.store.find_by_digest(&[fast.digest]).await.unwrap().unwrap();
    assert!(found.secrets.iter().any(|secret| *secret == fast), "{found:?}");
    assert_eq!(bench.store.find_by_id(imported.id).await.unwrap().unwrap().secrets.to_vec(), [slow, fast]);
}

async fn a_change_is_seen_by_the_next_look_up(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let scope = (&owner).into();
    let key = key(&owner);
    let secret = bench.insert(&key).await;
    let mut wanted = (*bench.store.find_by_id(key.id).await.unwrap().unwrap()).clone();
    for (state, expires, latched) in [
        (KeyState::Suspended, Some(after(9)), false),
        (KeyState::Active, Some(after(-9)), true),
        (KeyState::Compromised, None, false),
        (KeyState::Revoked, None, true),
    ] {
        let capabilities = clove_core::CapabilitySet::new([format!("models:{}", state.as_str())]).unwrap();
        (wanted.state, wanted.expires_at, wanted.expiry_latched) = (state, expires.map(Into::into), latched);
        (wanted.capabilities, wanted.revision) = (capabilities.clone(), wanted.revision + 1);
        let update = bench.update(&scope, key.id, move |key| {
            (key.state, key.expires_at, key.expiry_latched) = (state, expires, latched);
            key.capabilities = capabilities.clone();
        });
        committed(update.await);
        // A use is no change that a verification looks at.
        bench.store.touch(&[(key.id, after(1))]).await.unwrap();
        assert_eq!(*bench.store.find_by_id(key.id).await.unwrap().unwrap(), wanted);
        assert_eq!(*bench.store.find_by_digest(&[secret]).await.unwrap().unwrap(), wanted);
    }
}

async fn both_must_be_open(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let key = key(&owner);
    let digest = bench.insert(&key).await;
    for (owner_open, organization_open) in [(false, false), (true, false), (false, true), (true, true)] {
        bench.set_owner(&owner, move |record| record.open = owner_open).await;
        bench.set_organization(&owner.organization, organization_open).await;
        let wanted = owner_open && organization_open;
        assert_eq!(bench.store.find_by_id(key.id).await.unwrap().unwrap().owner_open, wanted);
        assert_eq!(bench.store.find_by_digest(&[digest]).await.unwrap().unwrap().owner_open, wanted);
    }
}

async fn a_deleted_key_is_under_no_pepper(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let mut ids = Vec::new();
    for state in KeyState::ALL {
        let mut key = key(&owner);
        key.state = state;
        // The previous secret counts as the current one does.
        let peppered =
            SecretRecord { scheme: Scheme::HmacSha256 { pepper: 7 }, valid_until: Some(after(60).into()), ..current(digest()) };
        committed(bench.insert_with(&key, vec![current(digest()), peppered]).await);
        ids.push(key.id);
    }
    assert_eq!(bench.store.keys_under_pepper(7, None, 9).await.unwrap(), ids);
    for id in ids {
        assert!(bench.store.peppers_in_use().await.unwrap().contains(&7));
        bench.delete(&(&owner).into(), id).await;
    }
    assert!(bench.store.peppers_in_use().await.unwrap().is_empty());
    assert!(bench.store.keys_under_pepper(7, None, 9).await.unwrap().is_empty());
}
