//! What lies outside a scope is not there.

use super::{list_cases, tools::*};
use clove_core::{
    KeyId, OperationId, OrganizationId, Owner, Refusal, Scope,
    store::{Decision, OwnerRecord, Reads},
};
use std::sync::Arc;

list_cases![
    a_foreign_key_is_not_read_by_a_command,
    a_foreign_key_reads_like_none,
    identifiers_compare_by_bytes,
    organizations_compare_by_bytes,
    an_unknown_owner_is_read_with_its_organization,
];

async fn a_foreign_key_is_not_read_by_a_command(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let key = key(&owner);
    bench.insert(&key).await;
    let foreign = ["acme/bob", "other/ada", "acme/a", "acme/adaa", "ACME/ada", "acme/Ada", "acm/ada"];
    for (organization, account) in foreign.iter().map(|owner| owner.split_once('/').unwrap()) {
        let scope: Scope = (&Owner::new(organization, account).unwrap()).into();
        let result = bench.update(&scope, key.id, |_| ()).await;
        assert!(matches!(result, Ok(Decision::Refuse(Refusal::NotFound))), "{scope:?}: {result:?}");
        assert!(bench.store.get(&scope, key.id).await.unwrap().is_none(), "{scope:?}");
    }
    for organization in ["other", "ACME", "acm", "acme2", "acm%", "acm_"] {
        let scope: Scope = (&OrganizationId::new(organization).unwrap()).into();
        let result = bench.update(&scope, key.id, |_| ()).await;
        assert!(matches!(result, Ok(Decision::Refuse(Refusal::NotFound))), "{scope:?}: {result:?}");
        assert!(bench.store.get(&scope, key.id).await.unwrap().is_none(), "{scope:?}");
    }
    let organization: Scope = (&owner.organization).into();
    assert!(bench.store.get(&organization, key.id).await.unwrap().is_some());
}

async fn a_foreign_key_reads_like_none(bench: Arc<Bench>) {
    let (owner, stranger) = (bench.owner("acme", "ada"), bench.owner("acme", "bob"));
    let mut expired = key(&owner);
    expired.expires_at = Some(after(-1));
    bench.insert(&expired).await;
    bench.insert(&key(&stranger)).await;
    for scope in [Scope::from(&stranger), Scope::from(&OrganizationId::new("other").unwrap())] {
        let read = |id| {
            let reads = Reads::Key { scope: scope.clone(), id, expired_at: Some(start()) };
            bench.read(OperationId::new(start()), reads)
        };
        let (foreign, none) = (read(expired.id).await, read(KeyId::new(start())).await);
        assert!(foreign.keys.is_empty() && foreign.expired.is_empty(), "{foreign:?}");
        assert_eq!((foreign.organization, foreign.owners), (none.organization, none.owners), "{scope:?}");
    }
}

async fn identifiers_compare_by_bytes(bench: Arc<Bench>) {
    let accounts = ["a", "A", "a%", "a_", "%", "ä", "a\u{308}", "a'", "ａ"];
    let mut keys = Vec::new();
    for account in accounts {
        let key = key(&bench.owner("acme", account));
        bench.insert(&key).await;
        keys.push(key);
    }
    for key in &keys {
        let own = bench.all(&(&key.owner).into()).await;
        assert_eq!(own.iter().map(|key| key.id).collect::<Vec<_>>(), [key.id], "{:?}", key.owner);
        let facts = bench.store.owner(&key.owner, start()).await.unwrap().unwrap();
        assert_eq!((facts.record.owner, facts.record.records), (key.owner.clone(), 1));
    }
}

async fn organizations_compare_by_bytes(bench: Arc<Bench>) {
    // The last two owners differ only in where one id ends and the other begins.
    let owners = [("a", "x"), ("A", "x"), ("a%", "x"), ("a_", "x"), ("ä", "x"), ("a\u{308}", "x"), ("a:x", "y"), ("a", "x:y")];
    let owners = owners.map(|(organization, account)| bench.owner(organization, account));
    for owner in &owners {
        bench.insert(&key(owner)).await;
    }
    for owner in &owners {
        let keys = bench.all(&(&owner.organization).into()).await;
        let wanted = owners.iter().filter(|other| other.organization == owner.organization).count();
        assert_eq!(keys.len(), wanted, "{owner:?}");
        assert!(keys.iter().all(|key| key.owner.organization == owner.organization), "{owner:?}");
    }
    bench.set_organization(&owners[0].organization, false).await;
    for owner in &owners {
        let open = owner.organization != owners[0].organization;
        assert_eq!(bench.store.organization(&owner.organization).await.unwrap().unwrap().open, open, "{owner:?}");
        for key in bench.all(&owner.into()).await {
            assert_eq!(bench.store.find_by_id(key.id).await.unwrap().unwrap().owner_open, open, "{owner:?}");
        }
    }
}

async fn an_unknown_owner_is_read_with_its_organization(bench: Arc<Bench>) {
    bench.insert(&key(&bench.owner("acme", "ada"))).await;
    let read = |owner: Owner| bench.read(OperationId::new(start()), Reads::Owner { owner, expired_at: Some(start()) });
    let (newcomer, outsider) = (bench.owner("acme", "bob"), bench.owner("other", "ada"));
    let facts = read(newcomer.clone()).await;
    assert!(facts.owners.is_empty() && facts.keys.is_empty() && facts.expired.is_empty(), "{facts:?}");
    assert!(facts.organization.is_some_and(|organization| organization.id.as_str() == "acme" && organization.open));
    let facts = read(outsider.clone()).await;
    assert!(facts.owners.is_empty() && facts.organization.is_none(), "{facts:?}");
    let kept = bench.store.owner(&newcomer, start()).await.unwrap();
    assert!(kept.is_none_or(|facts| facts.record == OwnerRecord::new(newcomer)), "what is refused leaves an empty row at most");
    assert!(bench.store.owner(&outsider, start()).await.unwrap().is_none());
    assert!(bench.store.organization(&OrganizationId::new("other").unwrap()).await.unwrap().is_none());
}
