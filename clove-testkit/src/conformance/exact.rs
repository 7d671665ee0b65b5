//! What is written reads back as it was: texts, numbers, times.

use super::{list_cases, tools::*};
use chrono::{DateTime, TimeDelta, Utc};
use clove_core::{
    Action, AuditEvent, CapabilitySet, Description, KeyId, KeyState, Metadata, Name, OperationId,
    audit::{Arguments, AuditedKey},
    store::{AuditQuery, Changes, ExpiryFilter, KeyQuery, Reads, SecretRecord},
};
use std::sync::Arc;

list_cases![
    texts_are_kept_as_given,
    times_keep_their_microseconds,
    edges_are_a_microsecond_sharp,
    large_revisions_count_on,
    events_keep_every_field,
];

async fn texts_are_kept_as_given(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let longest = format!("{{\"text\":\"{}\"}}", "x".repeat(4096 - 11));
    for (name, description, metadata, capabilities) in [
        ("x", "", "", CapabilitySet::none()),
        ("a\u{308} is not ä", "two  spaces\n\nand lines ", "{\"a\":1.0, \"b\" : 1e2 }", CapabilitySet::all()),
        ("100% 'quoted' \"twice\" \\ ;--", "NULL", "{\"a\":\"\\u0041\\n\"}", CapabilitySet::new(["a:b", "a:*"]).unwrap()),
        ("0123", "00", " [1,\n 2] ", CapabilitySet::none()),
        ("漢字", "🔑 emoji", &longest, CapabilitySet::all()),
    ] {
        let mut wanted = key(&owner);
        // As stored, since no rule of the core's is at stake: not the composed form of a name either.
        (wanted.name, wanted.description) = (Name::from_stored(name).unwrap(), Description::from_stored(description).unwrap());
        (wanted.metadata, wanted.capabilities) = (Metadata::from_stored(metadata).unwrap(), capabilities);
        bench.insert(&wanted).await;
        assert_eq!(bench.store.get(&(&owner).into(), wanted.id).await.unwrap().as_ref(), Some(&wanted));
        // An update writes them as an insert does.
        let mut other = key(&owner);
        bench.insert(&other).await;
        let copied = wanted.clone();
        let scope = (&owner).into();
        let update = bench.update(&scope, other.id, move |key| {
            (key.name, key.description) = (copied.name.clone(), copied.description.clone());
            (key.metadata, key.capabilities) = (copied.metadata.clone(), copied.capabilities.clone());
        });
        committed(update.await);
        (other.name, other.description, other.revision) = (wanted.name, wanted.description, 2);
        (other.metadata, other.capabilities) = (wanted.metadata, wanted.capabilities);
        assert_eq!(bench.store.get(&(&owner).into(), other.id).await.unwrap(), Some(other));
    }
}

/// The times that a store may round: a microsecond around a second's edge, the epoch, and the far ends of a policy.
fn times() -> Vec<DateTime<Utc>> {
    [0, 1, 999_999, 1_767_614_399_999_999, 1_767_614_400_000_000, 1_767_614_400_000_001, 32_503_680_000_000_007]
        .map(|micros| DateTime::from_timestamp_micros(micros).unwrap())
        .into()
}

async fn times_keep_their_microseconds(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    for time in times() {
        let mut wanted = key(&owner);
        (wanted.created_at, wanted.expires_at) = (time, Some(time));
        let secrets = vec![current(digest()), SecretRecord { valid_until: Some(time.into()), ..current(digest()) }];
        committed(bench.insert_with(&wanted, secrets.clone()).await);
        bench.store.touch(&[(wanted.id, time)]).await.unwrap();
        wanted.last_used_at = Some(time);
        assert_eq!(bench.store.get(&(&owner).into(), wanted.id).await.unwrap().as_ref(), Some(&wanted));
        let found = bench.store.find_by_id(wanted.id).await.unwrap().unwrap();
        assert_eq!((found.expires_at, found.secrets.to_vec()), (Some(time.into()), secrets));
        // A key that was used when it was written keeps that too.
        let used = clove_core::Key { id: KeyId::new(start()), ..wanted };
        bench.insert(&used).await;
        assert_eq!(bench.store.get(&(&owner).into(), used.id).await.unwrap(), Some(used));
    }
}

async fn edges_are_a_microsecond_sharp(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let mut key = key(&owner);
    key.expires_at = Some(start());
    bench.insert(&key).await;
    for (micros, passed) in [(-1, false), (0, true), (1, true)] {
        let now = start() + TimeDelta::microseconds(micros);
        for (expiry, wanted) in [(ExpiryFilter::PassedAt(now), passed), (ExpiryFilter::PendingAt(now), !passed)] {
            let query = KeyQuery { scope: (&owner).into(), states: KeyState::ALL.to_vec(), expiry, before: None, limit: 9 };
            assert_eq!(bench.store.list(&query).await.unwrap().keys.len(), usize::from(wanted), "{query:?}");
        }
        let held = bench.store.owner(&owner, now).await.unwrap().unwrap().held_by_expired;
        assert_eq!(held, u32::from(passed), "{micros} microseconds");
        let reads = Reads::Owner { owner: owner.clone(), expired_at: Some(now) };
        let facts = bench.read(OperationId::new(start()), reads).await;
        assert_eq!(facts.expired.len(), usize::from(passed), "{micros} microseconds");
    }
}

async fn large_revisions_count_on(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let most = i64::MAX as u64;
    for revision in [u64::from(u32::MAX), 1 << 53, most - 1] {
        let mut key = key(&owner);
        key.revision = revision;
        bench.insert(&key).await;
        committed(bench.update(&(&owner).into(), key.id, |_| ()).await);
        let found = bench.store.get(&(&owner).into(), key.id).await.unwrap().unwrap();
        assert_eq!(found.revision, revision + 1);
        assert_eq!(bench.store.find_by_id(key.id).await.unwrap().unwrap().revision, revision + 1);
    }
}

async fn events_keep_every_field(bench: Arc<Bench>) {
    let owner = bench.owner("acme", "ada");
    let subject = key(&owner);
    let transitions = [
        (None, Some(KeyState::Active)),
        (Some(KeyState::Active), Some(KeyState::Suspended)),
        (Some(KeyState::Suspended), Some(KeyState::Compromised)),
        (Some(KeyState::Revoked), None),
    ];
    let mut wanted = Vec::new();
    for (place, action) in Action::ALL.into_iter().enumerate() {
        let mut event = event(OperationId::new(start()), action, &subject);
        let (from, to) = transitions[place % transitions.len()];
        let name = Name::new("a\u{308} is not ä").unwrap();
        event.key = (place % 5 != 4).then_some(AuditedKey { id: subject.id, name, from, to });
        event.account = (place % 7 != 6).then(|| owner.account.clone());
        event.at = times()[place % times().len()];
        event.changed = place % 2 == 0;
        event.detail = ["", "it's 100% \"so\"", "two\nlines, ünïcode 🔑", "NULL"][place % 4].into();
        event.arguments = Arguments::from_bytes([0, b'\'', 0xff, 0x80, 0, 1, 2, u8::try_from(place).unwrap()]);
        wanted.push(event);
    }
    // Several events of one transaction, then the rest one by one.
    let (together, apart) = wanted.split_at(6);
    for events in std::iter::once(together.to_vec()).chain(apart.iter().map(|event| vec![event.clone()])) {
        committed(bench.write(&owner, Changes { events, ..Changes::default() }).await);
    }
    let scope = (&owner.organization).into();
    let query = AuditQuery { scope, key: None, action: None, from: None, until: None, before: None, limit: 100 };
    let mut found: Vec<AuditEvent> = bench.store.audit(&query).await.unwrap().events;
    found.reverse();
    assert_eq!(found, wanted);
}
