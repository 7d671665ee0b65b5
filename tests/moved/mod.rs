//! A store that was lived in, and what has to be the same where it is moved to.

use chrono::TimeDelta;
use clove_core::{
    AccessLog, ActiveLimit, Attempt, Budget, BudgetOf, Clove, GuessLimit, LimitChoice, NewKey, Owner, Policy, Refill, Secret,
    Status, Store, Tier, Unit, Verdict, Window,
    limit::Limits,
    store::{CopyPart, CopyRow},
};
use clove_testkit::Fixture;
use std::time::Duration;

/// The service's policy, on either store.
pub(crate) fn policy() -> Policy {
    let windows = [Window::new(3, Duration::from_secs(86_400)), Window::sliding_shared(50, Duration::from_secs(3_600))];
    let tier = Tier { key: Limits::new(windows.map(Result::unwrap)).unwrap(), account: None };
    let budget = Budget::new(1_000, Refill::Monthly).unwrap();
    let policy = Policy::builder().limits(tier).imports(GuessLimit::default()).access_log(AccessLog::BestEffort);
    policy.budget(BudgetOf::Account, Unit::new("tokens").unwrap(), budget).build().unwrap()
}

/// A store in which keys of several owners were used, and what each credential is answered.
pub(crate) struct LivedIn {
    pub(crate) fixture: Fixture,
    credentials: Vec<(String, String)>,
}

/// A verdict, as far as a client and a host can tell it.
async fn answer(clove: &Clove, credential: &str) -> String {
    match clove.verify(Attempt::new(credential).only_checking()).await.unwrap() {
        Verdict::Granted(grant) => {
            let limits: Vec<_> = grant.limits().collect();
            format!("granted {} {} {:?} {limits:?}", grant.key_id(), grant.owner().account, grant.capabilities())
        }
        Verdict::Denied(denial) => format!("{:?}", denial.reason()),
    }
}

impl LivedIn {
    /// Lives in an empty store, and shuts the service down.
    pub(crate) async fn new(store: impl Store) -> Self {
        let fixture = Fixture::on(store, policy()).unwrap();
        let (clove, by, tokens) = (&fixture.clove, &fixture.by, Unit::new("tokens").unwrap());
        let mut credentials = Vec::new();
        clove.set_active_limit(&fixture.owner, Some(ActiveLimit::Unlimited), by).await.unwrap();
        for status in [Status::Active, Status::Suspended, Status::Expired, Status::Compromised, Status::Revoked, Status::Active] {
            let issued = fixture.key_in(status).await.unwrap();
            let credential = issued.credential.unwrap();
            credentials.push(credential.reveal().to_string());
            credentials.push(credential.secret().reveal().to_owned());
        }
        // One whose older secret is still good, one that was imported, one that is gone, and one whose owner is closed.
        let keys = fixture.keys().await.unwrap();
        let active = keys.iter().find(|key| key.state == clove_core::KeyState::Active && key.expires_at > Some(clove.now()));
        let active = active.unwrap();
        let rotated = clove.rotate(&fixture.owner, active.id, active.revision, TimeDelta::hours(9), by).await.unwrap();
        credentials.push(rotated.credential.unwrap().reveal().to_string());
        let foreign = Secret::from_foreign("a-secret-from-elsewhere".into());
        let imported = clove.import(&fixture.owner, NewKey::named("moved in").unwrap(), foreign, by).await.unwrap();
        credentials.push(format!("{};a-secret-from-elsewhere", imported.key.id));
        let gone = clove.create(&fixture.owner, NewKey::named("gone").unwrap(), by).await.unwrap();
        credentials.push(gone.credential.unwrap().reveal().to_string());
        clove.delete(&fixture.owner, gone.key.id, by).await.unwrap();
        let bob = Owner::new("acme", "bob").unwrap();
        let closed = clove.create(&bob, NewKey::named("bob's").unwrap(), by).await.unwrap();
        credentials.push(closed.credential.unwrap().reveal().to_string());
        clove.close_owner(&bob, by).await.unwrap();
        let eve = Owner::new("other", "eve").unwrap();
        let spent = clove.create(&eve, NewKey::named("spent").unwrap().limits(LimitChoice::Default), by).await.unwrap();
        let spent = spent.credential.unwrap().reveal().to_string();
        for _ in 0..4 {
            // The fourth finds the day used up.
            if let Verdict::Granted(grant) = clove.verify(Attempt::new(&*spent).reserving(&tokens, 100)).await.unwrap() {
                clove.record(&grant, &tokens, 40).unwrap();
            }
        }
        credentials.push(spent);
        drop(clove.verify("no credential at all").await.unwrap());
        clove.shut_down().await.unwrap();
        let mut answers = Vec::new();
        for credential in credentials {
            let answered = answer(clove, &credential).await;
            answers.push((credential, answered));
        }
        clove.shut_down().await.unwrap();
        let granted = answers.iter().filter(|(_, answered)| answered.starts_with("granted")).count();
        assert!(4 <= granted && granted + 8 <= answers.len(), "{granted} of {} are granted", answers.len());
        Self { fixture, credentials: answers }
    }

    /// Each credential is answered on another store as it was on this one.
    pub(crate) async fn assert_answered_alike(&self, store: impl Store) {
        let clove = Clove::with_clock(store, policy(), self.fixture.clock().clone());
        for (place, (credential, before)) in self.credentials.iter().enumerate() {
            assert_eq!(answer(&clove, credential).await, *before, "credential {place}");
        }
        clove.shut_down().await.unwrap();
    }
}

/// All rows of a store.
pub(crate) async fn rows(store: &dyn Store) -> Vec<CopyRow> {
    let mut rows = Vec::new();
    for part in CopyPart::ALL {
        let page = store.export(part, None, usize::MAX >> 8).await.unwrap();
        assert!(!page.more && page.unreadable.is_empty());
        assert!(!page.rows.is_empty() || part == CopyPart::Budgets, "the life leaves no {part}");
        rows.extend(page.rows);
    }
    rows
}
