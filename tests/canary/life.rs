//! A whole life of keys, of which everything is heard.

use crate::{
    IMPORTED, METADATA, PEPPERS,
    ear::{Ear, hear},
    nosy::Nosy,
};
use chrono::TimeDelta;
use clove::{
    AccessLog, Action, ActiveLimit, Attempt, Budget, BudgetChoice, BudgetOf, By, CapabilitySet, Clove, DenialReason, Description,
    Edit, EndpointLabel, Error, Expiry, Fault, GrantId, GuessLimit, Hashing, KeyId, KeyState, LimitChoice, Limits, ListAccess,
    ListAudit, ListKeys, ListUsage, MemoryStore, Metadata, Name, NewKey, OperationId, Pepper, Policy, RecordError, Refill,
    Refusal, Requirement, Retention, Role, Scope, Secret, SecretFormat, Signal, SignalThresholds, Store, StoreError, SystemClock,
    Tier, TierName, Verdict, Window,
    copy::{Pass, StoreCopy},
    error::{CorruptRow, Unique},
    lifecycle,
    store::{CopyPart, CopyPlace, CopyRow, PlaceValue, Remains, UnreadableRow},
    usage::{Unit, UsageBy, UsagePer},
};
use clove_testkit::Fixture;
use std::time::Duration;

pub(crate) fn policy(hashing: Hashing) -> Policy {
    let signals = SignalThresholds { limit_near: 1, budget_near: 1, refusals_a_minute: 1, expiry_notice: TimeDelta::days(366) };
    let windows = [(60, 60), (5_000, 86_400)].map(|(count, seconds)| Window::new(count, Duration::from_secs(seconds)).unwrap());
    let shared = Window::sliding_shared(9_999, Duration::from_secs(3_600)).unwrap();
    let tier = Tier { key: Limits::new(windows.into_iter().chain([shared])).unwrap(), account: None };
    let policy = Policy::builder().limits(tier).hashing(hashing).imports(GuessLimit::default()).access_log(AccessLog::BestEffort);
    let tokens = || Unit::new("tokens").unwrap();
    let budget = |amount| Budget::new(amount, Refill::Daily).unwrap();
    let policy = policy.budget(BudgetOf::Key, tokens(), budget(1_000)).budget(BudgetOf::Account, tokens(), budget(5_000));
    policy.signals(signals).build().unwrap()
}

pub(crate) fn pepper(version: u16) -> Pepper {
    Pepper::new(version, PEPPERS[usize::from(version) - 1]).unwrap()
}

/// A handle on the store and the clock of this one, all of whose signals are heard, in whatever form they are told.
pub(crate) fn observed(fixture: &Fixture, store: &Nosy, ear: &Ear) -> Clove {
    let heard = ear.clone();
    let tells = move |signal: &Signal<'_>| hear!(heard, *signal);
    let builder = Clove::builder(store.clone(), fixture.clove.policy().clone()).clock(fixture.clock().clone());
    let builder = builder.observed_by(tells);
    hear!(ear, builder, fixture.clove.policy().clone().to_builder(), SignalThresholds::default());
    #[cfg(feature = "tracing")]
    let builder = {
        hear!(ear, clove::TracingObserver::new());
        builder.observed_by(clove::TracingObserver::new())
    };
    #[cfg(feature = "metrics")]
    let builder = {
        hear!(ear, clove::MetricsObserver::new());
        builder.observed_by(clove::MetricsObserver::new())
    };
    builder.build()
}

/// The work beside verification, until it has told of a key that expires.
async fn maintain(fixture: &Fixture, ear: &Ear) {
    // While the clock stands: turned by the second as fast as it goes, it leaves a store no time to write.
    fixture.clove.flush().await.unwrap();
    let mut work = std::pin::pin!(fixture.clove.maintenance().run(|error| hear!(ear, error)));
    while !ear.heard().names.contains("Signal::KeyExpiring") {
        tokio::select! {
            biased;
            () = work.as_mut() => unreachable!("the handle is there"),
            () = tokio::task::yield_now() => fixture.clock().advance(Duration::from_secs(1)),
        }
    }
}

/// Lives it, and returns the secrets in it.
pub(crate) async fn live(fixture: &Fixture, store: &Nosy, ear: &Ear) -> Vec<String> {
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    let mut secrets = vec![IMPORTED.to_owned()];
    let description = Description::new("canary").unwrap();
    let new = NewKey::named("canary").unwrap().metadata(Metadata::new(METADATA).unwrap()).description(description);
    let first = clove.create(owner, new.clone(), by).await.unwrap();
    store.epochs(Duration::from_secs(1)).await.unwrap();
    hear!(ear, clove.everywhere(Duration::ZERO).await);
    hear!(ear, first, first.key, new, *by, *owner);
    let credential = first.credential.unwrap();
    hear!(ear, credential, *credential.secret());
    secrets.push(credential.secret().reveal().to_owned());
    let id = first.key.id;
    let rotated = clove.rotate(owner, id, 1, TimeDelta::hours(1), by).await.unwrap();
    hear!(ear, rotated);
    secrets.push(rotated.credential.unwrap().secret().reveal().to_owned());
    let imported = clove.import(owner, NewKey::named("moved in").unwrap(), Secret::from_foreign(IMPORTED.into()), by).await;
    let imported = imported.unwrap();
    hear!(ear, imported);
    let own = Secret::from_foreign(secrets[1].clone());
    hear!(ear, clove.import(owner, NewKey::named("own").unwrap(), own, by).await.unwrap_err());
    refused(ear, clove.create(owner, NewKey::named("third").unwrap(), by).await);
    refused(ear, clove.rotate(owner, id, 1, TimeDelta::zero(), by).await);

    present(clove, &secrets, [id, imported.key.id], ear).await;
    maintain(fixture, ear).await;
    clove.shut_down().await.unwrap();
    rehash_under_the_next_pepper(fixture, store, &secrets, ear).await;
    panic_with_what_was_given(fixture, store, &secrets).await;

    let disabled = clove.disable(owner, id, by).await.unwrap();
    hear!(ear, disabled);
    denied(ear, clove.verify(&secrets[1]).await.unwrap());
    clove.report_leaked(&secrets[2], &By::new("canary", format!("it said {}", secrets[2])).unwrap()).await.unwrap();
    refused(ear, clove.enable(owner, id, by).await);
    refused(ear, clove.get(owner, KeyId::new(clove.now())).await);

    clove.set_active_limit(owner, Some(ActiveLimit::AtMost(9)), by).await.unwrap();
    let gone = clove.create(owner, NewKey::named("gone").unwrap(), by).await.unwrap();
    let edit = Edit::new().metadata(Metadata::new(METADATA).unwrap());
    hear!(ear, edit, clove.edit(owner, gone.key.id, 1, edit.clone(), by).await.unwrap());
    refused(ear, clove.edit(owner, gone.key.id, 1, Edit::new(), by).await);
    clove.delete(owner, gone.key.id, by).await.unwrap();
    secrets.push(gone.credential.unwrap().secret().reveal().to_owned());
    hear!(ear, clove.close_owner(owner, by).await.unwrap());
    refused(ear, clove.create(owner, new.clone(), by).await);
    denied(ear, clove.verify(&secrets[2]).await.unwrap());
    clove.reopen_owner(owner, by).await.unwrap();
    look_at_all(fixture, ear).await;
    move_to_another_store(store, ear).await;
    secrets
}

/// Presents each secret in each form, right and wrong.
async fn present(clove: &Clove, secrets: &[String], ids: [KeyId; 2], ear: &Ear) {
    let required = Requirement::all_of(["models:read"]).unwrap();
    let endpoint = EndpointLabel::new("POST/v1/messages").unwrap();
    hear!(ear, required, endpoint, clove::Capability::new("models:read").unwrap());
    for secret in secrets {
        let with_id = ids.map(|id| format!("{id};{secret}"));
        for text in with_id.into_iter().chain([secret.clone(), format!("{secret}x")]) {
            let attempt = Attempt::new(&text).requiring(&required).from_peer("canary").at_endpoint(&endpoint);
            hear!(ear, attempt, clove.verify(attempt));
            denied(ear, clove.verify(attempt).await.unwrap());
            let verdict = clove.verify(Attempt::new(&text).at_endpoint(&endpoint)).await.unwrap();
            hear!(ear, verdict);
            if let Some(grant) = verdict.granted() {
                hear!(ear, grant, grant.id(), *grant.capabilities());
                grant.limits().for_each(|state| hear!(ear, state, state.of, state.window, state.window.kind()));
                let unit = Unit::new("tokens").unwrap();
                clove.record(&grant, &unit, 7).unwrap();
                hear!(ear, unit, clove.record(&grant, &Unit::requests(), 7).unwrap_err());
            }
            reserve(clove, &text, ear).await;
            let exhausted = clove.verify(Attempt::new(&text).costing(u64::MAX)).await.unwrap().denied();
            if let Some(DenialReason::LimitReached(exhausted)) = exhausted.iter().map(clove::Denial::reason).next() {
                hear!(ear, **exhausted);
            }
        }
    }
}

/// Reserves what there is, and more than that.
async fn reserve(clove: &Clove, text: &str, ear: &Ear) {
    let tokens = Unit::new("tokens").unwrap();
    for amount in [5, 1_001] {
        let attempt = Attempt::new(text).reserving(&tokens, amount);
        hear!(ear, attempt);
        match clove.verify(attempt).await.unwrap() {
            Verdict::Granted(grant) => {
                let reservation = grant.reservation().unwrap();
                hear!(ear, grant, *reservation, reservation.budgets[0], reservation.budgets[0].of, reservation.budgets[0].budget);
                hear!(ear, Refill::Daily);
                clove.settle(&grant, 3).unwrap();
            }
            Verdict::Denied(denial) => {
                hear!(ear, denial, *denial.reason());
                if let DenialReason::BudgetExhausted(exhausted) = denial.reason() {
                    hear!(ear, **exhausted);
                }
            }
        }
    }
}

/// Another process, on the next pepper: a use hashes anew.
async fn rehash_under_the_next_pepper(fixture: &Fixture, store: &Nosy, secrets: &[String], ear: &Ear) {
    let hashing = Hashing::hmac(pepper(2)).readable(pepper(1));
    let next = Clove::with_clock(store.clone(), policy(hashing), fixture.clock().clone());
    for secret in secrets {
        hear!(ear, next.verify(secret).await.unwrap());
    }
    let before = store.kept().len();
    next.flush().await.unwrap();
    assert!(store.kept().len() > before, "nothing was hashed anew");
    // And one without either pepper.
    let bare = Clove::with_clock(store.clone(), policy(Hashing::sha256()), fixture.clock().clone());
    hear!(ear, bare.verify(&secrets[2]).await.unwrap_err());
}

/// A store that tells all that it was given in the message of a panic.
async fn panic_with_what_was_given(fixture: &Fixture, store: &Nosy, secrets: &[String]) {
    store.panic_from_now_on(true);
    let (clove, owner, by, secret) = (fixture.clove.clone(), fixture.owner.clone(), fixture.by.clone(), secrets[2].clone());
    let create = {
        let clove = clove.clone();
        tokio::spawn(async move { clove.create(&owner, NewKey::named("never").unwrap(), &by).await.map(drop) })
    };
    assert!(create.await.unwrap_err().is_panic());
    assert!(tokio::spawn(async move { clove.verify(&secret).await.map(drop) }).await.unwrap_err().is_panic());
    store.panic_from_now_on(false);
}

/// All of it goes to another store, and once more.
async fn move_to_another_store(store: &Nosy, ear: &Ear) {
    let (to, pass) = (MemoryStore::new(), Pass::Compare);
    let copy = StoreCopy::new(store, &to);
    let copied = copy.run(&mut |step| hear!(ear, step, step.pass)).await.unwrap();
    assert!(copied.is_complete() && copied.written() > 0, "{copied}");
    hear!(ear, copy, copied, copied.parts[0], copied.parts[0].differing, pass, CopyPart::Keys);
    // Into the source, which has all of it by now, and one row that differs.
    let back = StoreCopy::new(&to, store).run(&mut |_| {}).await.unwrap();
    assert_eq!(back.written(), 0);
    let CopyRow::Key(stored) = &to.export(CopyPart::Keys, None, 1).await.unwrap().rows[0] else { panic!("a key") };
    to.touch(&[(stored.key.id, chrono::DateTime::<chrono::Utc>::MAX_UTC)]).await.unwrap();
    hear!(ear, copy.run(&mut |_| {}).await.unwrap_err());
    let unreadable = UnreadableRow { place: CopyPlace(vec![PlaceValue::Number(1)]), what: "its state" };
    hear!(ear, unreadable, unreadable.place, unreadable.place.0[0]);
}

/// What is read back, and what a host holds.
async fn look_at_all(fixture: &Fixture, ear: &Ear) {
    let (clove, owner) = (&fixture.clove, &fixture.owner);
    let (one, events) =
        (ListKeys { limit: Some(1), ..ListKeys::default() }, ListAudit { limit: Some(200), ..ListAudit::default() });
    let (keys, trail) = (clove.list(owner, &one).await.unwrap(), clove.audit(owner, &events).await.unwrap());
    hear!(ear, one, events, keys, trail, *keys.next.as_ref().unwrap(), clove.active_keys(owner).await.unwrap());
    hear!(ear, clove.expiring(owner, TimeDelta::days(90), None, None).await.unwrap());
    let usage = ListUsage { by: UsageBy::Key, limit: Some(1), ..ListUsage::default() };
    let sums = clove.usage(owner, &usage).await.unwrap();
    hear!(ear, usage, sums, sums.items[0], sums.items[0].day.unwrap(), *sums.next.as_ref().unwrap(), UsageBy::Key, UsagePer::Day);
    for key in fixture.keys().await.unwrap() {
        hear!(ear, key, key.name, key.description, key.metadata, key.capabilities, key.state, key.status(clove.now()));
    }
    let log = clove.access_log(owner, &ListAccess::default()).await.unwrap();
    assert!(!log.items.is_empty(), "nothing was logged");
    hear!(ear, ListAccess::default(), log, AccessLog::BestEffort, Retention::default());
    for event in trail.items {
        hear!(ear, event, event.id, event.operation, event.actor, event.reason, event.action, event.arguments);
        event.key.iter().for_each(|key| hear!(ear, *key));
    }
    let (id, name) = (keys.items[0].id, Some(keys.items[0].name.clone()));
    hear!(ear, Remains { id, owner: owner.clone(), name, state: None, revision: None, others: 0, others_held: 0 });
    let policy = clove.policy().clone();
    hear!(
        ear,
        policy,
        policy.active_limit(),
        *policy.expiry(),
        Expiry::Days(30),
        policy.clone().to_builder(),
        GuessLimit::default()
    );
    let choice = BudgetChoice::Own(Budget::new(9, Refill::Never).unwrap());
    clove.set_budget(owner, &Unit::new("tokens").unwrap(), choice, &fixture.by.clone().may_set_limits()).await.unwrap();
    hear!(ear, choice, clove.budget(owner, None, &Unit::new("tokens").unwrap()).await.unwrap().unwrap());
    let tier = TierName::new("canary").unwrap();
    hear!(ear, tier, Tier::unlimited(), Limits::standard(), LimitChoice::Tier(tier.clone()));
    hear!(ear, Hashing::hmac(pepper(1)).readable(pepper(2)), pepper(1), SecretFormat::default(), Role::Owner);
    hear!(ear, lifecycle::effect(Action::Revoke, KeyState::Active, false), Scope::from(owner), owner.organization, owner.account);
    hear!(ear, *clove, clove.maintenance(), *fixture, *fixture.clock(), SystemClock, clove::Timestamp::from(clove.now()));
    hear!(ear, MemoryStore::new(), Name::new("canary").unwrap(), CapabilitySet::all());
}

/// Texts that are refused, with a secret in them where there is room for one, and errors that no life meets.
pub(crate) fn fail(secret: &str, ear: &Ear) {
    hear!(ear, Metadata::new(format!("{METADATA}}}")).unwrap_err(), Pepper::new(2, &PEPPERS[0][..31]).unwrap_err());
    hear!(ear, NewKey::named(format!("{secret}\n")).unwrap_err(), NewKey::named(format!("my {secret}")).unwrap());
    hear!(ear, Edit::new().name(Name::new(format!("my {secret}")).unwrap()), By::new("canary", format!("of {secret}")).unwrap());
    hear!(ear, secret.parse::<clove::Cursor>().unwrap_err(), secret.parse::<KeyId>().unwrap_err());
    hear!(ear, By::new(format!("a {secret}"), "why").unwrap_err());
    let (now, source) = (chrono::DateTime::UNIX_EPOCH, || StoreError::unavailable("failing", std::io::Error::other("full")));
    let (id, operation) = (KeyId::new(now), OperationId::new(now));
    hear!(ear, EndpointLabel::new(format!("a {secret}")).unwrap_err());
    hear!(ear, source(), StoreError::OutcomeUnknown { source: None }, StoreError::NewerSchema { found: 2, supported: 1 });
    hear!(ear, StoreError::Foreign { what: "a file" }, StoreError::Conflict(Unique::Digest));
    hear!(ear, Unique::KeyId, Unique::Digest, Unique::OperationId, Unique::AuditId, Unique::Row);
    for row in [
        CorruptRow::Key(id),
        CorruptRow::UnreadableKeyId,
        CorruptRow::Owner,
        CorruptRow::Organization,
        CorruptRow::AuditEvent,
        CorruptRow::Usage,
        CorruptRow::Report(GrantId::new(now)),
        CorruptRow::Node,
        CorruptRow::AccessEntry,
        CorruptRow::Budget,
    ] {
        hear!(ear, row, StoreError::Corrupt { row: row.clone(), what: "its state" });
    }
    let capability = clove::Capability::new("models:read").unwrap();
    for refusal in [
        Refusal::TooManyRecords { records: 1, limit: 1 },
        Refusal::TooManyCreations { limit: 1, resets_at: now },
        Refusal::BeyondAuthority { capability },
        Refusal::Unreadable { id },
        Refusal::FlagUnreadable,
        Refusal::OperationReused { operation },
        Refusal::MayNotSetLimits,
    ] {
        hear!(ear, refusal);
    }
    hear!(ear, Fault::Store(source()), Fault::Overloaded, Fault::DeadlineExceeded { deadline: Duration::from_secs(1) });
    hear!(ear, Fault::System { what: "a thread" }, Error::Fault(Fault::Overloaded), Error::System { what: "a thread" });
    hear!(ear, RecordError::NotReserved);
    hear!(ear, RecordError::TooLate { at: now, days: 1 }, RecordError::Full { waiting: 1 }, RecordError::Store(source()));
    hear!(ear, Error::Store(source()), Error::OutcomeUnknown { operation, source: source() });
}

fn refused<T>(ear: &Ear, outcome: Result<T, Error>) {
    let error = outcome.err().unwrap();
    hear!(ear, error);
    let Error::Refused(refusal) = error else { panic!("not refused") };
    hear!(ear, refusal);
}

fn denied(ear: &Ear, verdict: Verdict) {
    hear!(ear, verdict);
    verdict.denied().iter().for_each(|denial| hear!(ear, *denial, *denial.reason()));
}
