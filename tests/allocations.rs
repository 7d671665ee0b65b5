//! What a refusal costs, counted: allocations, calls of the store, slow hashes; and how much is kept of what is remembered. Its
//! allocator counts by thread, and is why this is a binary of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use allocation_counter::measure;
use clove::{
    AccessLog, ActiveLimit, Attempt, By, CapabilitySet, Clove, DenialReason, Edit, EndpointLabel, Fault, GuessLimit, Hashing,
    KeyId, MemoryStore, Policy, Secret, Signal, Status, Tier, Verdict, sqlite::SqliteStore,
};
use clove_testkit::Fixture;
use std::{
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Duration,
};
use support::{Spy, hashed, named, pepper, poll_and_drop, spied};

/// A text in each way in which a credential can be malformed, of some length and of a megabyte where there is room for one.
fn malformed(id: KeyId, secret: &str) -> Vec<(&'static str, Vec<u8>)> {
    let changed = |place: usize, other: &str| format!("{}{other}{}", &secret[..place], &secret[place + other.len()..]);
    let wrong_check = changed(35, if secret.ends_with('0') { "1" } else { "0" });
    let secrets = [
        ("empty", String::new()),
        ("blank", " ".repeat(36)),
        ("truncated", secret[..30].to_owned()),
        ("a suffix", format!("{secret}a")),
        ("a space before", format!(" {secret}")),
        ("a newline behind", format!("{secret}\n")),
        ("a NUL behind", format!("{secret}\0")),
        ("another prefix", changed(0, "clw-")),
        ("another alphabet", changed(20, "_")),
        ("a look-alike", changed(20, "\u{430}")),
        ("upper case", secret.to_uppercase()),
        ("wrong check characters", wrong_check),
        ("a kilobyte", secret.repeat(28)),
        ("a megabyte", secret.repeat(29_128)),
        ("a megabyte of separators", ";".repeat(1 << 20)),
    ];
    let mut texts: Vec<_> = secrets.iter().map(|(what, text)| (*what, text.clone().into_bytes())).collect();
    texts.extend(secrets.iter().map(|(what, text)| (*what, format!("{id};{text}").into_bytes())));
    let upper = id.to_string().to_uppercase();
    texts.extend([
        ("not UTF-8", vec![0xff; 36]),
        ("a megabyte that is not UTF-8", vec![0xff; 1 << 20]),
        ("a separator alone", b";".to_vec()),
        ("an id alone", id.to_string().into_bytes()),
        ("an id in upper case", format!("{upper};{secret}").into_bytes()),
        ("two credentials", format!("{id};{secret};{id};{secret}").into_bytes()),
    ]);
    texts
}

/// The verdict of a verification that does not wait, and what it allocated: how often, and bytes.
fn counted(clove: &Clove, text: &[u8]) -> (Verdict, u64, u64) {
    let mut verdict = None;
    let counted = measure(|| match poll_and_drop(clove.verify(text)) {
        Poll::Ready(done) => verdict = Some(done),
        Poll::Pending => {}
    });
    (verdict.unwrap_or_else(|| panic!("it waits")).unwrap(), counted.count_total, counted.bytes_total)
}

fn is_not_recognized(verdict: Verdict) -> bool {
    verdict.denied().is_some_and(|denial| denial.reason() == &DenialReason::NotRecognized)
}

#[tokio::test]
async fn the_allocator_counts() {
    assert_eq!(measure(|| drop(vec![0_u8; 1 << 20])).bytes_total, 1 << 20);
}

#[tokio::test]
async fn a_malformed_credential_reaches_no_store_and_allocates_nothing_whatever_its_length() {
    for hashing in [Hashing::sha256(), Hashing::hmac(pepper(1)), Hashing::argon2id(clove::Argon2Cost::OWASP)] {
        let (fixture, spy) = spied(hashed(hashing));
        let credential = fixture.key_in(Status::Active).await.unwrap().credential.unwrap();
        spy.calls();
        for (what, text) in malformed(credential.id(), credential.secret().reveal()) {
            let (verdict, times, bytes) = counted(&fixture.clove, &text);
            assert!(is_not_recognized(verdict), "{what}");
            assert_eq!((times, bytes), (0, 0), "{what}, {} bytes", text.len());
        }
        assert!(spy.calls().is_empty());
    }
}

#[tokio::test]
async fn a_malformed_credential_allocates_nothing_where_imports_are_allowed_either() {
    let spy = Spy::new();
    let fixture = Fixture::on(spy.clone(), Policy::builder().imports(GuessLimit::default()).build().unwrap()).unwrap();
    let id = fixture.key_in(Status::Active).await.unwrap().key.id;
    spy.calls();
    for (what, secret) in [
        ("nothing", String::new()),
        ("a space", "two words".to_owned()),
        ("no ASCII", "schlüssel".to_owned()),
        ("257 bytes", "a".repeat(257)),
        ("a megabyte", "a".repeat(1 << 20)),
    ] {
        let (verdict, times, _) = counted(&fixture.clove, format!("{id};{secret}").as_bytes());
        assert!(is_not_recognized(verdict) && times == 0, "{what}");
    }
    let mistyped = format!("clv-{}", "0".repeat(32));
    let (verdict, times, _) = counted(&fixture.clove, mistyped.as_bytes());
    assert!(is_not_recognized(verdict) && times == 0, "wrong check characters");
    assert!(spy.calls().is_empty());
}

#[tokio::test]
async fn an_entry_of_the_access_log_allocates_nothing_once_there_have_been_some() {
    let policy = Policy::builder().limits(Tier::unlimited()).access_log(AccessLog::BestEffort).build().unwrap();
    let fixture = Fixture::new(policy).unwrap();
    let credentials = [(); 2].map(|()| fixture.key_in(Status::Active));
    let [one, two] = futures_util::future::join_all(credentials).await.try_into().unwrap();
    let texts = [one, two].map(|issued| issued.unwrap().credential.unwrap().reveal());
    let label = EndpointLabel::new("POST/v1/messages").unwrap();
    let requests = || {
        for text in texts.iter().cycle().take(5_000) {
            // A check is no use of the key, the note of which is another matter.
            let attempt = Attempt::new(&**text).at_endpoint(&label).only_checking();
            let verdict = poll_and_drop(fixture.clove.verify(attempt));
            assert!(matches!(verdict, Poll::Ready(Ok(Verdict::Granted(_)))));
        }
    };
    for _ in 0..2 {
        requests();
        fixture.clove.flush().await.unwrap();
    }
    assert_eq!(measure(requests).count_total, 0);
}

#[tokio::test]
async fn a_verification_allocates_nothing_where_nobody_observes_it_and_no_more_where_somebody_does() {
    let store = MemoryStore::new();
    let fixture = Fixture::on(store.clone(), hashed(Hashing::sha256())).unwrap();
    let observed =
        Clove::builder(store, hashed(Hashing::sha256())).clock(fixture.clock().clone()).observed_by(|_: &Signal<'_>| {}).build();
    for status in [Status::Active, Status::Suspended, Status::Compromised] {
        let credential = fixture.key_in(status).await.unwrap().credential.unwrap().reveal();
        for clove in [&fixture.clove, &observed] {
            // The log of last uses grows to its size.
            for _ in 0..2_000 {
                let _ = counted(clove, credential.as_bytes());
            }
            let (_, times, bytes) = counted(clove, credential.as_bytes());
            assert_eq!((times, bytes), (0, 0), "{status}");
        }
    }
}

/// A credential with a wrong secret for a key that there is, and the same for one that there is not.
async fn wrong_and_unknown(fixture: &Fixture) -> [String; 2] {
    let key = fixture.key_in(Status::Active).await.unwrap().key.id;
    let gone = fixture.key_in(Status::Active).await.unwrap();
    fixture.clove.delete(&fixture.owner, gone.key.id, &fixture.by).await.unwrap();
    let credential = gone.credential.unwrap();
    [key, gone.key.id].map(|id| format!("{id};{}", credential.secret().reveal()))
}

#[tokio::test]
async fn an_unknown_id_allocates_and_asks_the_store_as_a_wrong_secret_does() {
    for hashing in [Hashing::sha256(), Hashing::hmac(pepper(1))] {
        let memory = MemoryStore::new();
        let fixture = Fixture::on(memory.clone(), hashed(hashing.clone())).unwrap();
        let texts = wrong_and_unknown(&fixture).await;
        let [wrong, unknown] = texts.each_ref().map(|text| counted(&fixture.clove, text.as_bytes()));
        assert_eq!((wrong.1, wrong.2), (unknown.1, unknown.2));
        assert!(is_not_recognized(wrong.0) && is_not_recognized(unknown.0));
        let spy = Spy::over(memory);
        let spied = Clove::with_clock(spy.clone(), hashed(hashing), fixture.clock().clone());
        for text in &texts {
            assert!(is_not_recognized(spied.verify(text).await.unwrap()));
            assert_eq!(spy.calls(), ["find_by_id"]);
        }
    }
}

/// The queue takes eight slow hashes a key: that it is full tells that those before were to be hashed.
#[tokio::test]
async fn an_unknown_id_is_hashed_slowly_where_a_wrong_secret_is() {
    let lenient = GuessLimit { per_minute: 1000, per_day: 1000 };
    let fixture = Fixture::new(Policy::builder().imports(lenient).build().unwrap()).unwrap();
    let imported = Secret::from_foreign("a-secret-of-old".to_owned());
    let key = fixture.clove.import(&fixture.owner, named("moved in"), imported, &fixture.by).await.unwrap().key.id;
    for id in [key, KeyId::new(fixture.clove.now())] {
        let text = format!("{id};a-wrong-one");
        let (mut overloaded, mut waiting) = (0, Vec::new());
        // More than eight, since a thread may be quicker than this one.
        for _ in 0..40 {
            let mut guess = Box::pin(fixture.clove.verify(Attempt::new(&text).from_peer("one")));
            match guess.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Err(Fault::Overloaded)) => overloaded += 1,
                Poll::Ready(other) => assert!(is_not_recognized(other.unwrap())),
                Poll::Pending => waiting.push(guess),
            }
        }
        assert!(overloaded > 0, "{} wait", waiting.len());
    }
}

/// Keys that are presented. What is remembered has room for all of them, but not for the sets that they have.
const KEYS: usize = 600;
/// What remembered keys may take.
const CACHE_BYTES: u64 = 1 << 20;
/// The same, and what waits to be written of keys that were pushed out: 512 bytes a key are more than that.
const MOST_BYTES: i64 = (1 << 20) + 600 * 512;

/// A set that no other key has.
fn own_set(key: usize, names: usize) -> CapabilitySet {
    CapabilitySet::new((0..names).map(|name| format!("{key:0>64}:{name:0>64}"))).unwrap()
}

/// Keys in a file, with sets of their own of so many names; who may grant these, and the keys' credentials.
async fn capable(names: usize) -> (tempfile::TempDir, Fixture, By, Vec<(KeyId, String)>) {
    let folder = tempfile::tempdir().unwrap();
    let policy = Policy::builder().limits(Tier::unlimited()).active_limit(ActiveLimit::Unlimited);
    let policy = policy.max_records(None).max_creations_per_day(None).cache_bytes(CACHE_BYTES).build().unwrap();
    let fixture = Fixture::on(SqliteStore::open(folder.path().join("keys.db")).unwrap(), policy).unwrap();
    let by = fixture.by.clone().may_grant(CapabilitySet::all());
    let wishes = (0..KEYS).map(|key| named("a key").capabilities(own_set(key, names)));
    let created = futures_util::future::join_all(wishes.map(|wish| fixture.clove.create(&fixture.owner, wish, &by))).await;
    let credential = |issued: clove::Issued| (issued.key.id, issued.credential.unwrap().reveal().to_string());
    let keys = created.into_iter().map(|issued| credential(issued.unwrap())).collect();
    (folder, fixture, by, keys)
}

/// Until maintenance has heard from the file, which answers on a thread of its own, nothing is remembered.
async fn hear(work: &mut Pin<&mut impl Future<Output = ()>>) {
    for _ in 0..20 {
        let _ = work.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// What is kept after all were presented, beyond what was kept before.
fn kept(clove: &Clove, keys: &[(KeyId, String)]) -> i64 {
    let present = || keys.iter().for_each(|(_, credential)| assert!(poll_and_drop(clove.verify(credential)).is_ready()));
    measure(present).bytes_current
}

#[tokio::test]
async fn sets_of_capabilities_take_no_more_than_what_is_remembered_may_whatever_their_size() {
    for names in [1, 2, 64] {
        let (_folder, fixture, _, keys) = capable(names).await;
        let mut work = pin!(fixture.clove.maintenance().run(|error| panic!("{error}")));
        hear(&mut work).await;
        let kept = kept(&fixture.clove, &keys);
        assert!((1..MOST_BYTES).contains(&kept), "{names} names: {kept} bytes");
    }
}

#[tokio::test]
async fn a_set_of_a_remembered_key_that_grows_makes_others_leave() {
    let (_folder, fixture, by, keys) = capable(1).await;
    let mut work = pin!(fixture.clove.maintenance().run(|error| panic!("{error}")));
    hear(&mut work).await;
    let before = kept(&fixture.clove, &keys);
    let edits = keys.iter().enumerate().map(|(place, (id, _))| {
        let edit = Edit::new().capabilities(own_set(place, 64));
        fixture.clove.edit(&fixture.owner, *id, 1, edit, &by)
    });
    futures_util::future::join_all(edits).await.into_iter().for_each(|edited| drop(edited.unwrap()));
    let after = before + kept(&fixture.clove, &keys);
    assert!(after < MOST_BYTES, "{before} bytes before, {after} after");
}
