//! Importing secrets that clove did not generate, and guessing at them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use clove::{
    Action, Attempt, DenialReason, Error, Fault, GuessLimit, Issued, KeyId, MemoryStore, NewKey, OperationId, Policy, Refusal,
    Secret, SecretFormat, Status, Store, digest::Scheme,
};
use clove_testkit::Fixture;
use std::{
    future::Future,
    task::{Context, Poll, Waker},
    time::Duration,
};
use support::{DAY, actions, denied, invalid, is_good, named, refusal};

#[tokio::test]
async fn imported_secrets_are_verified_with_their_id_only_and_guesses_are_bounded() {
    let guesses = GuessLimit { per_minute: 3, per_day: 100 };
    let fixture = Fixture::new(Policy::builder().imports(guesses).build().unwrap()).unwrap();
    let (clove, owner) = (&fixture.clove, &fixture.owner);
    let import =
        |text: &str| clove.import(owner, NewKey::named("moved in").unwrap(), Secret::from_foreign(text.into()), &fixture.by);
    let key = import("hunter2-but-longer").await.unwrap().key;
    let right = format!("{};hunter2-but-longer", key.id);
    let wrong = format!("{};hunter3", key.id);
    assert!(clove.verify("hunter2-but-longer").await.unwrap().denied().is_some(), "never as a bare secret");
    for _ in 0..3 {
        assert!(clove.verify(Attempt::new(&right).from_peer("a")).await.unwrap().granted().is_some());
        assert!(clove.verify(Attempt::new(&wrong).from_peer("a")).await.unwrap().denied().is_some());
    }
    assert_eq!(denied(clove.verify(Attempt::new(&right).from_peer("a")).await), DenialReason::NotRecognized);
    assert!(clove.verify(Attempt::new(&right).from_peer("b")).await.unwrap().granted().is_some(), "others are not locked out");
    fixture.clock().advance(Duration::from_secs(60));
    assert!(clove.verify(Attempt::new(&right).from_peer("a")).await.unwrap().granted().is_some());

    let own = fixture.key_in(Status::Active).await.unwrap().credential.unwrap();
    for refused in [own.secret().reveal(), "", "with space", "ümlaut", &"x".repeat(257)] {
        assert!(matches!(import(refused).await, Err(Error::Invalid(_))), "{} bytes", refused.len());
    }
}

fn importing(per_minute: u32, per_day: u32) -> Fixture {
    Fixture::new(Policy::builder().imports(GuessLimit { per_minute, per_day }).build().unwrap()).unwrap()
}

async fn import(fixture: &Fixture, text: &str) -> Result<Issued, Error> {
    fixture.clove.import(&fixture.owner, named("moved in"), Secret::from_foreign(text.into()), &fixture.by).await
}

#[tokio::test]
async fn imports_are_refused_unless_the_policy_allows_them_and_their_form_is_then_malformed() {
    let fixture = support::fixture();
    assert_eq!(invalid(import(&fixture, "a-secret-from-elsewhere").await).field, "import");
    assert_eq!(
        denied(fixture.clove.verify(&format!("{};a-secret-from-elsewhere", KeyId::new(fixture.clove.now()))).await),
        DenialReason::NotRecognized
    );
}

#[tokio::test]
async fn a_refused_import_states_the_size_and_never_the_secret() {
    let fixture = importing(10, 100);
    for text in ["canary with spaces", "canary\0", "canary\n", "canär", "\u{feff}canary"] {
        let error = invalid(import(&fixture, text).await);
        assert_eq!((error.field, error.size.as_str()), ("imported secret", &*format!("{} bytes", text.len())));
        assert!(!format!("{error} {error:?}").contains("can"));
    }
}

#[tokio::test]
async fn a_secret_in_the_form_of_the_hosts_own_is_not_imported_whatever_its_check_characters() {
    let fixture = importing(10, 100);
    for own in ["clv-00000000000000000000000000000Wt4", "clv-00000000000000000000000000000000"] {
        assert_eq!(invalid(import(&fixture, own).await).field, "imported secret");
    }
    import(&fixture, "clv-0000000000000000000000000000000").await.unwrap();
}

#[tokio::test]
async fn an_imported_secret_of_any_printable_text_is_good_with_its_id() {
    let fixture = Fixture::new(
        Policy::builder().imports(GuessLimit::default()).active_limit(clove::ActiveLimit::Unlimited).build().unwrap(),
    )
    .unwrap();
    for text in ["x", ";", ";;a;b", "!\"#$%&'()*+,-./:<=>?@[]^_`{|}~", &"y".repeat(256)] {
        let issued = import(&fixture, text).await.unwrap();
        let credential = issued.credential.unwrap();
        assert_eq!(&**credential.reveal(), format!("{};{text}", issued.key.id));
        assert!(is_good(&fixture.clove, &credential.reveal()).await, "{} bytes", text.len());
        assert!(!is_good(&fixture.clove, text).await, "never by itself");
    }
}

#[tokio::test]
async fn an_imported_secret_is_stored_under_argon2id_and_its_rotation_is_of_the_hosts_own_form() {
    let store = clove::MemoryStore::new();
    let policy = Policy::builder().imports(GuessLimit::default()).build().unwrap();
    let fixture = Fixture::on(store.clone(), policy).unwrap();
    let issued = import(&fixture, "a-secret-from-elsewhere").await.unwrap();
    let scheme = store.find_by_id(issued.key.id).await.unwrap().unwrap().secrets.to_vec()[0].scheme;
    assert!(matches!(scheme, Scheme::Argon2id { .. }));
    let rotated = fixture.clove.rotate(&fixture.owner, issued.key.id, 1, chrono::TimeDelta::hours(1), &fixture.by).await.unwrap();
    let new = rotated.credential.unwrap();
    assert!(new.secret().reveal().starts_with("clv-") && is_good(&fixture.clove, new.secret().reveal()).await);
    assert!(is_good(&fixture.clove, &format!("{};a-secret-from-elsewhere", issued.key.id)).await, "in its grace");
}

#[tokio::test]
async fn imports_count_as_active_keys_and_as_creations_and_are_audited() {
    let policy = Policy::builder().imports(GuessLimit::default()).max_creations_per_day(Some(2)).build().unwrap();
    let fixture = Fixture::new(policy).unwrap();
    let first = import(&fixture, "first-secret").await.unwrap();
    import(&fixture, "second-secret").await.unwrap();
    assert_eq!(refusal(import(&fixture, "third-secret").await), Refusal::LimitReached { active: 2, limit: 2 });
    fixture.clove.delete(&fixture.owner, first.key.id, &fixture.by).await.unwrap();
    assert!(matches!(refusal(import(&fixture, "third-secret").await), Refusal::TooManyCreations { limit: 2, .. }));
    fixture.clove.close_owner(&fixture.owner, &fixture.by).await.unwrap();
    assert_eq!(refusal(import(&fixture, "fourth-secret").await), Refusal::OwnerClosed);
    assert_eq!(actions(&fixture).await[..3], [(Action::Import, true), (Action::Import, true), (Action::Delete, true)]);
}

#[tokio::test]
async fn an_import_repeated_under_its_operation_id_acts_once_and_is_no_create() {
    let fixture = importing(10, 100);
    let by = fixture.by.clone().operation(OperationId::new(fixture.clove.now()));
    let again = || fixture.clove.import(&fixture.owner, named("moved in"), Secret::from_foreign("elsewhere".into()), &by);
    let (first, second) = (again().await.unwrap(), again().await.unwrap());
    assert_eq!((first.key, second.credential.is_none()), (second.key, true));
    let reused = refusal(fixture.clove.create(&fixture.owner, named("other"), &by).await);
    assert!(matches!(reused, Refusal::OperationReused { .. }));
}

#[tokio::test]
async fn guesses_are_bounded_a_day_as_well() {
    let fixture = importing(2, 3);
    let id = import(&fixture, "a-secret-from-elsewhere").await.unwrap().key.id;
    let (right, wrong) = (format!("{id};a-secret-from-elsewhere"), format!("{id};wrong"));
    for _ in 0..3 {
        assert!(!is_good(&fixture.clove, &wrong).await);
        fixture.clock().advance(Duration::from_secs(60));
    }
    assert!(!is_good(&fixture.clove, &right).await, "shut until the day is over");
    fixture.clock().step(chrono::TimeDelta::days(2));
    assert!(!is_good(&fixture.clove, &right).await, "whatever the time of day steps to");
    fixture.clock().advance(DAY);
    assert!(is_good(&fixture.clove, &right).await);
}

#[tokio::test]
async fn guesses_at_an_unknown_id_are_bounded_alike() {
    let fixture = importing(2, 100);
    let known = import(&fixture, "a-secret-from-elsewhere").await.unwrap().key.id;
    let unknown = KeyId::new(fixture.clove.now());
    let mut answers = Vec::new();
    for id in [known, unknown] {
        let mut said = Vec::new();
        for _ in 0..4 {
            let denial = fixture.clove.verify(&format!("{id};wrong")).await.unwrap().denied().unwrap();
            said.push(format!("{denial:?} {denial}"));
        }
        answers.push(said);
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn a_guess_at_one_key_says_nothing_about_another() {
    let fixture = importing(1, 100);
    let (first, second) = (import(&fixture, "first-secret").await.unwrap(), import(&fixture, "second-secret").await.unwrap());
    assert!(!is_good(&fixture.clove, &format!("{};wrong", first.key.id)).await);
    assert!(!is_good(&fixture.clove, &first.credential.unwrap().reveal()).await, "shut");
    assert!(is_good(&fixture.clove, &second.credential.unwrap().reveal()).await);
}

#[tokio::test]
async fn guesses_in_the_hosts_own_form_at_an_imported_key_are_bounded_too() {
    let fixture = importing(2, 100);
    let issued = import(&fixture, "a-secret-from-elsewhere").await.unwrap();
    let own = format!("{};clv-00000000000000000000000000000Wt4", issued.key.id);
    for _ in 0..2 {
        assert!(!is_good(&fixture.clove, &own).await);
    }
    assert!(!is_good(&fixture.clove, &issued.credential.unwrap().reveal()).await, "shut");
}

#[tokio::test]
async fn an_imported_secret_stays_good_under_a_later_format_that_it_is_a_secret_of() {
    // From another house of clove's, whose format this one adopts later.
    let (theirs, store) = (SecretFormat::new("abc-", 29).unwrap(), MemoryStore::new());
    let other = Fixture::new(Policy::builder().secret_format(theirs.clone()).build().unwrap()).unwrap();
    let secret = other.key_in(Status::Active).await.unwrap().credential.unwrap().secret().reveal().to_owned();
    let policy = Policy::builder().imports(GuessLimit::default());
    let fixture = Fixture::on(store.clone(), policy.clone().build().unwrap()).unwrap();
    let credential = import(&fixture, &secret).await.unwrap().credential.unwrap();
    let later = Fixture::on(store, policy.retired_format(theirs).build().unwrap()).unwrap();
    assert!(is_good(&later.clove, &credential.reveal()).await);
    later.clove.report_leaked(&*credential.reveal(), &later.by).await.unwrap();
    assert!(!is_good(&later.clove, &credential.reveal()).await);
}

#[tokio::test]
async fn an_imported_secret_stays_good_under_a_later_format_of_its_shape() {
    let (store, policy) = (MemoryStore::new(), Policy::builder().imports(GuessLimit::default()));
    let fixture = Fixture::on(store.clone(), policy.clone().build().unwrap()).unwrap();
    let secret = format!("sk-{}", "0123456789".repeat(3));
    let credential = import(&fixture, &secret).await.unwrap().credential.unwrap();
    let later = Fixture::on(store, policy.secret_format(SecretFormat::new("sk-", 27).unwrap()).build().unwrap()).unwrap();
    assert_eq!(invalid(import(&later, &secret).await).field, "imported secret", "it has that shape");
    assert!(is_good(&later.clove, &credential.reveal()).await);
    assert!(!is_good(&later.clove, &secret).await, "never by itself");
}

#[tokio::test]
async fn a_foreign_guess_at_a_fast_key_does_not_shut_its_own_secret_out() {
    let fixture = importing(1, 100);
    let issued = fixture.key_in(Status::Active).await.unwrap();
    for _ in 0..3 {
        assert_eq!(denied(fixture.clove.verify(&format!("{};wrong", issued.key.id)).await), DenialReason::NotRecognized);
    }
    assert!(is_good(&fixture.clove, &issued.credential.unwrap().reveal()).await);
}

#[tokio::test]
async fn the_state_of_an_imported_key_is_told_only_to_who_proves_its_secret() {
    let fixture = importing(10, 100);
    let issued = import(&fixture, "a-secret-from-elsewhere").await.unwrap();
    fixture.clove.disable(&fixture.owner, issued.key.id, &fixture.by).await.unwrap();
    assert_eq!(denied(fixture.clove.verify(&format!("{};wrong", issued.key.id)).await), DenialReason::NotRecognized);
    assert_eq!(denied(fixture.clove.verify(&*issued.credential.unwrap().reveal()).await), DenialReason::Suspended);
}

#[tokio::test]
async fn a_leaked_imported_secret_flags_its_key() {
    let fixture = importing(10, 100);
    let issued = import(&fixture, "a-secret-from-elsewhere").await.unwrap();
    fixture.clove.report_leaked(&*issued.credential.unwrap().reveal(), &fixture.by).await.unwrap();
    let key = fixture.clove.get(&fixture.owner, issued.key.id).await.unwrap();
    assert_eq!(key.status(fixture.clove.now()), Status::Compromised);
}

#[tokio::test]
async fn reports_of_leaks_leave_room_in_the_queue() {
    let fixture = importing(10, 100);
    let credential = import(&fixture, "a-secret-from-elsewhere").await.unwrap().credential.unwrap().reveal();
    let texts: Vec<String> = (0..80).map(|_| format!("{};junk", KeyId::new(fixture.clove.now()))).collect();
    let mut reports: Vec<_> = texts.iter().map(|text| Box::pin(fixture.clove.report_leaked(text, &fixture.by))).collect();
    for report in &mut reports {
        let _ = report.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }
    assert!(fixture.clove.verify(Attempt::new(&*credential).from_peer("198.51.100.1")).await.unwrap().granted().is_some());
}

#[tokio::test]
async fn keys_that_were_imported_stay_good_after_the_last_import() {
    let store = MemoryStore::new();
    let fixture = Fixture::on(store.clone(), Policy::builder().imports(GuessLimit::default()).build().unwrap()).unwrap();
    let credential = import(&fixture, "a-secret-from-elsewhere").await.unwrap().credential.unwrap();
    let policy = Policy::builder().no_new_imports(GuessLimit::default()).build().unwrap();
    let after = Fixture::on(store, policy).unwrap();
    assert!(is_good(&after.clove, &credential.reveal()).await);
    assert_eq!(invalid(import(&after, "another-from-elsewhere").await).field, "import");
}

#[tokio::test]
async fn a_leak_is_reported_though_guesses_have_shut_the_key() {
    let fixture = importing(2, 2);
    let issued = import(&fixture, "a-secret-from-elsewhere").await.unwrap();
    let credential = issued.credential.unwrap().reveal();
    for _ in 0..2 {
        let wrong = format!("{};wrong", issued.key.id);
        assert_eq!(denied(fixture.clove.verify(&wrong).await), DenialReason::NotRecognized);
        // A report that is wrong counts as no guess either.
        fixture.clove.report_leaked(&wrong, &fixture.by).await.unwrap();
    }
    assert_eq!(denied(fixture.clove.verify(&*credential).await), DenialReason::NotRecognized, "shut");
    fixture.clove.report_leaked(&*credential, &fixture.by).await.unwrap();
    let key = fixture.clove.get(&fixture.owner, issued.key.id).await.unwrap();
    assert_eq!(key.status(fixture.clove.now()), Status::Compromised);
}

#[tokio::test]
async fn one_peer_with_many_made_up_ids_leaves_room_in_the_queue() {
    let fixture = importing(10, 100);
    let issued = import(&fixture, "a-secret-from-elsewhere").await.unwrap();
    let texts: Vec<String> = (0..64).map(|_| format!("{};junk", KeyId::new(fixture.clove.now()))).collect();
    let mut flood: Vec<_> = Vec::new();
    let mut turned_away = 0;
    for text in &texts {
        let mut guess = Box::pin(fixture.clove.verify(Attempt::new(text).from_peer("203.0.113.7")));
        match guess.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Err(Fault::Overloaded)) => turned_away += 1,
            Poll::Ready(other) => panic!("not hashed: {other:?}"),
            Poll::Pending => flood.push(guess),
        }
    }
    assert!(turned_away > 0);
    let credential = issued.credential.unwrap().reveal();
    let honest = fixture.clove.verify(Attempt::new(&*credential).from_peer("198.51.100.1")).await;
    assert!(honest.unwrap().granted().is_some());
}
