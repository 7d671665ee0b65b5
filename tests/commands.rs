//! Commands on existing keys: scope, authority, kills, edits, rotation, leaks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use chrono::TimeDelta;
use clove::{
    Action, By, CapabilitySet, Clove, Description, Edit, Error, Expiry, Hashing, Issued, KeyId, KeyState, ListAudit, Metadata,
    Name, OperationId, Owner, Refusal, Status,
};
use clove_testkit::Fixture;
use std::{future::Future, time::Duration};
use support::{actions, fixture, hashed, invalid, is_good, named, pepper, refusal, spied, trail, unlimited};

#[tokio::test]
async fn every_command_on_a_foreign_key_finds_none() {
    let fixture = fixture();
    let (clove, by) = (&fixture.clove, &fixture.by);
    let key = fixture.key_in(Status::Active).await.unwrap().key;
    for foreign in [Owner::new("acme", "bob").unwrap(), Owner::new("other", "ada").unwrap()] {
        let grace = TimeDelta::zero();
        assert_eq!(refusal(clove.get(&foreign, key.id).await), Refusal::NotFound);
        assert_eq!(refusal(clove.disable(&foreign, key.id, by).await), Refusal::NotFound);
        assert_eq!(refusal(clove.enable(&foreign, key.id, by).await), Refusal::NotFound);
        assert_eq!(refusal(clove.revoke(&foreign, key.id, by).await), Refusal::NotFound);
        assert_eq!(refusal(clove.flag_compromised(&foreign, key.id, by).await), Refusal::NotFound);
        assert_eq!(refusal(clove.delete(&foreign, key.id, by).await), Refusal::NotFound);
        assert_eq!(refusal(clove.edit(&foreign, key.id, 1, Edit::new(), by).await), Refusal::NotFound);
        assert_eq!(refusal(clove.rotate(&foreign, key.id, 1, grace, by).await), Refusal::NotFound);
        assert!(clove.audit(&foreign, &ListAudit { key: Some(key.id), ..ListAudit::default() }).await.unwrap().items.is_empty());
    }
    assert_eq!(clove.get(&fixture.owner.organization, key.id).await.unwrap(), key);
}

#[tokio::test]
async fn what_an_actor_may_not_grant_is_refused() {
    let fixture = fixture();
    let by = By::new("ada", "test").unwrap().may_grant(CapabilitySet::new(["models:*"]).unwrap());
    let wish = |names: &[&str]| named("a key").capabilities(CapabilitySet::new(names).unwrap());
    let refused = refusal(fixture.clove.create(&fixture.owner, wish(&["models:read", "users:read"]), &by).await);
    assert!(matches!(&refused, Refusal::BeyondAuthority { capability } if capability.as_str() == "users:read"), "{refused:?}");
    assert!(matches!(refusal(fixture.clove.create(&fixture.owner, wish(&["*:*"]), &by).await), Refusal::BeyondAuthority { .. }));
    let key = fixture.clove.create(&fixture.owner, wish(&["models:*"]), &by).await.unwrap().key;
    let edit = Edit::new().capabilities(CapabilitySet::new(["*:read"]).unwrap());
    assert!(matches!(refusal(fixture.clove.edit(&fixture.owner, key.id, 1, edit, &by).await), Refusal::BeyondAuthority { .. }));
}

#[tokio::test]
async fn kills_are_never_refused_and_refusals_say_what_is_offered() {
    let fixture = unlimited();
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    for status in [Status::Active, Status::Suspended, Status::Compromised, Status::Revoked, Status::Expired] {
        let key = fixture.key_in(status).await.unwrap().key;
        for (command, result) in [
            ("enable", clove.enable(owner, key.id, by).await.map(drop)),
            (
                "rotate",
                match clove.get(owner, key.id).await {
                    Ok(key) => clove.rotate(owner, key.id, key.revision, TimeDelta::zero(), by).await.map(drop),
                    Err(error) => Err(error),
                },
            ),
        ] {
            match status {
                Status::Active | Status::Suspended => result.unwrap(),
                status => {
                    let Refusal::NotAllowed { status: said, offered, .. } = refusal(result) else {
                        panic!("{command} on {status}")
                    };
                    assert_eq!((said, offered), (status, vec![Action::Delete]));
                }
            }
        }
        clove.disable(owner, key.id, by).await.unwrap();
        clove.revoke(owner, key.id, by).await.unwrap();
        clove.flag_compromised(owner, key.id, by).await.unwrap();
        clove.delete(owner, key.id, by).await.unwrap();
    }
}

#[tokio::test]
async fn an_edit_of_an_older_revision_is_refused_and_one_that_changes_nothing_says_so() {
    let fixture = fixture();
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    let key = fixture.key_in(Status::Active).await.unwrap().key;
    let edit = || Edit::new().description(Description::new("line 1\nline 2").unwrap());
    let edited = clove.edit(owner, key.id, 1, edit(), by).await.unwrap();
    assert_eq!((edited.changed, edited.key.revision), (true, 2));
    assert_eq!(refusal(clove.edit(owner, key.id, 1, edit(), by).await), Refusal::RevisionConflict { expected: 1, found: 2 });
    let same = clove.edit(owner, key.id, 2, edit(), by).await.unwrap();
    assert_eq!((same.changed, same.key.revision), (false, 2));
    assert_eq!(trail(&fixture).await[1].detail, "description");
}

#[tokio::test]
async fn the_trail_of_an_edit_says_from_what_to_what_but_for_texts_and_metadata() {
    let fixture = fixture();
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    let key = clove.create(owner, named("lap\"top"), by).await.unwrap().key;
    let edit = Edit::new()
        .name(Name::new("server").unwrap())
        .description(Description::new("words of mine").unwrap())
        .metadata(Metadata::new(r#"{"mine":1}"#).unwrap())
        .capabilities(CapabilitySet::all());
    clove.edit(owner, key.id, 1, edit, by).await.unwrap();
    assert_eq!(
        trail(&fixture).await[0].detail,
        r#"description, metadata, capabilities nothing → *:*, name "lap\"top" → "server""#
    );
    let narrower = Edit::new().capabilities(CapabilitySet::new(["a:b", "c:d"]).unwrap());
    clove.edit(owner, key.id, 2, narrower, by).await.unwrap();
    assert_eq!(trail(&fixture).await[0].detail, "capabilities *:* → a:b c:d");
}

#[tokio::test]
async fn the_secret_of_a_key_is_given_only_to_who_may_grant_what_it_may_do() {
    let fixture = fixture();
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    let wish = CapabilitySet::new(["models:read"]).unwrap();
    let key = clove.create(owner, named("a key").capabilities(wish.clone()), by).await.unwrap().key;
    let (weak, grace) = (By::new("intern", "test").unwrap(), TimeDelta::zero());
    let refused = refusal(clove.rotate(owner, key.id, 1, grace, &weak).await);
    assert!(matches!(&refused, Refusal::BeyondAuthority { capability } if capability.as_str() == "models:read"), "{refused:?}");
    assert_eq!(clove.get(owner, key.id).await.unwrap(), key);
    let able = weak.clone().may_grant(wish);
    assert!(clove.rotate(owner, key.id, 1, grace, &able).await.unwrap().credential.is_some());
    clove.disable(owner, key.id, &weak).await.unwrap();
    assert!(clove.enable(owner, key.id, &weak).await.unwrap().changed, "enabling shows no secret");
}

#[tokio::test]
async fn all_capabilities_by_default_are_for_who_may_grant_all() {
    let fixture = Fixture::new(clove::Policy::profile_b()).unwrap();
    let (clove, owner) = (&fixture.clove, &fixture.owner);
    let refused = clove.create(owner, named("a key"), &By::new("ada", "test").unwrap()).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "*:* is beyond what the actor may grant: choose capabilities within that, or have one do it who may grant it"
    );
    let issued = clove.create(owner, named("a key"), &fixture.by).await.unwrap();
    assert_eq!(issued.key.capabilities, CapabilitySet::all());
}

#[tokio::test]
async fn a_secret_pasted_as_a_name_or_description_is_refused_and_not_repeated() {
    let fixture = fixture();
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    let issued = fixture.key_in(Status::Active).await.unwrap();
    let credential = issued.credential.unwrap();
    let events = actions(&fixture).await.len();
    for pasted in [credential.secret().reveal().to_owned(), format!("key {}!", credential.secret().reveal())] {
        for (field, result) in [
            ("name", clove.create(owner, named(&pasted), by).await.map(drop)),
            ("description", clove.create(owner, named("x").description(Description::new(&pasted).unwrap()), by).await.map(drop)),
            ("name", clove.edit(owner, issued.key.id, 1, Edit::new().name(Name::new(&pasted).unwrap()), by).await.map(drop)),
        ] {
            let error = invalid(result);
            assert!(error.field == field && !error.to_string().contains("clv-"), "{error}");
        }
    }
    let description = Edit::new().description(Description::new(&*credential.reveal()).unwrap());
    assert_eq!(invalid(clove.edit(owner, issued.key.id, 1, description, by).await).field, "description");
    assert_eq!(actions(&fixture).await.len(), events);
    clove
        .edit(owner, issued.key.id, 1, Edit::new().name(Name::new("clv-0000000000000000000000000000000x").unwrap()), by)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_leaked_secret_in_a_reason_neither_stops_the_kill_nor_enters_the_trail() {
    let fixture = fixture();
    let issued = fixture.key_in(Status::Active).await.unwrap();
    let credential = issued.credential.unwrap();
    let secret = credential.secret().reveal();
    let by = By::new("ada", format!("saw {secret}, twice: {}", &*credential.reveal())).unwrap();
    fixture.clove.revoke(&fixture.owner, issued.key.id, &by).await.unwrap();
    let event = &trail(&fixture).await[0];
    assert_eq!(event.reason.as_str(), format!("saw [secret], twice: {};[secret]", issued.key.id));
}

#[tokio::test]
async fn a_kill_does_not_need_a_revision_and_ends_a_stale_edit() {
    let fixture = fixture();
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    let key = fixture.key_in(Status::Active).await.unwrap().key;
    clove.revoke(owner, key.id, by).await.unwrap();
    let stale = clove.edit(owner, key.id, key.revision, Edit::new().name(Name::new("x").unwrap()), by).await;
    assert!(matches!(refusal(stale), Refusal::RevisionConflict { .. }));
    assert_eq!(clove.get(owner, key.id).await.unwrap().status(clove.now()), Status::Revoked);
}

#[tokio::test]
async fn a_rotated_out_secret_lives_for_its_grace_and_no_longer_than_the_key() {
    let fixture = fixture();
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    let first = clove.create(owner, named("short").expiry(Expiry::Days(30)), by).await.unwrap();
    let second = clove.rotate(owner, first.key.id, 1, TimeDelta::hours(1), by).await.unwrap();
    let (old, new) = (first.credential.unwrap(), second.credential.unwrap());
    let good = |text: String| async move { clove.verify(&text).await.unwrap().granted().is_some() };
    assert!(good(old.secret().reveal().into()).await && good(new.secret().reveal().into()).await);
    fixture.clock().advance(Duration::from_secs(3600));
    assert!(!good(old.secret().reveal().into()).await && good(new.secret().reveal().into()).await);
    assert!(matches!(
        refusal(clove.rotate(owner, first.key.id, 1, TimeDelta::zero(), by).await),
        Refusal::RevisionConflict { found: 2, .. }
    ));

    fixture.clock().advance(Duration::from_secs(29 * 86_400));
    let third = clove.rotate(owner, first.key.id, 2, TimeDelta::days(30), by).await.unwrap();
    assert_eq!(third.previous_valid_until, first.key.expires_at);
    assert_eq!(third.key.expires_at, first.key.expires_at);
    let fourth = clove.rotate(owner, first.key.id, 3, TimeDelta::hours(1), by).await.unwrap();
    assert!(!good(new.secret().reveal().into()).await, "a second rotation ends the oldest");
    clove.disable(owner, first.key.id, by).await.unwrap();
    let suspended = clove.rotate(owner, first.key.id, 5, TimeDelta::hours(1), by).await.unwrap();
    assert_eq!(suspended.previous_valid_until, None, "no grace for a suspended key");
    drop(fourth);
    assert!(matches!(clove.rotate(owner, first.key.id, 6, TimeDelta::seconds(-1), by).await, Err(Error::Invalid(_))));
    assert!(matches!(clove.rotate(owner, first.key.id, 6, TimeDelta::MAX, by).await, Err(Error::Invalid(_))));
}

#[tokio::test]
async fn a_leaked_secret_flags_its_key_or_ends_its_grace() {
    let fixture = fixture();
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    let first = fixture.key_in(Status::Active).await.unwrap();
    let second = clove.rotate(owner, first.key.id, 1, TimeDelta::hours(1), by).await.unwrap();
    let (old, new) = (first.credential.unwrap(), second.credential.unwrap());
    clove.report_leaked("nonsense", by).await.unwrap();
    clove.report_leaked(old.secret().reveal(), by).await.unwrap();
    assert!(clove.verify(old.secret().reveal()).await.unwrap().denied().is_some());
    assert!(clove.verify(new.secret().reveal()).await.unwrap().granted().is_some());
    clove.report_leaked(&*new.reveal(), by).await.unwrap();
    assert_eq!(clove.get(owner, first.key.id).await.unwrap().status(clove.now()), Status::Compromised);
}

#[tokio::test]
async fn a_report_of_a_leak_answers_alike_and_audits_only_what_is_known() {
    let fixture = unlimited();
    let (clove, by) = (&fixture.clove, &fixture.by);
    let issued = fixture.key_in(Status::Suspended).await.unwrap();
    let events = actions(&fixture).await.len();
    for unknown in [
        "",
        "nonsense",
        "clv-00000000000000000000000000000Wt4",
        &format!("{};clv-00000000000000000000000000000Wt4", issued.key.id),
    ] {
        clove.report_leaked(unknown, by).await.unwrap();
    }
    assert_eq!(actions(&fixture).await.len(), events);
    let credential = issued.credential.unwrap();
    for changed in [true, false] {
        clove.report_leaked(credential.secret().reveal(), by).await.unwrap();
        assert_eq!(actions(&fixture).await.pop(), Some((Action::ReportLeaked, changed)));
    }
}

#[tokio::test]
async fn a_leak_is_reported_by_a_text_with_secrets_in_it() {
    let fixture = unlimited();
    let slow = Fixture::new(hashed(Hashing::argon2id(clove::Argon2Cost::OWASP))).unwrap();
    for text in
        ["{} ", " {}\r\n", "key={}", "\"{}\"", "Bearer {}", "x-api-key: {}, and more", "{}.", "\u{fffd}{}\u{fffd}", "{} {}"]
    {
        for (fixture, with_id) in [(&fixture, false), (&fixture, true), (&slow, true)] {
            let issued = fixture.key_in(Status::Active).await.unwrap();
            let (other, credential) = (fixture.key_in(Status::Active).await.unwrap(), issued.credential.unwrap());
            let presented = if with_id { credential.reveal().to_string() } else { credential.secret().reveal().to_owned() };
            fixture.clove.report_leaked(text.replace("{}", &presented), &fixture.by).await.unwrap();
            let state = async |key: &clove::Key| fixture.clove.get(&fixture.owner, key.id).await.unwrap().state;
            assert_eq!(state(&issued.key).await, KeyState::Compromised, "{text}");
            assert_eq!(state(&other.key).await, KeyState::Active, "{text}");
        }
    }
    let keys = [fixture.key_in(Status::Active).await.unwrap(), fixture.key_in(Status::Active).await.unwrap()];
    let secrets = keys.map(|issued| (issued.key.id, issued.credential.unwrap()));
    // A text that is not looked at is refused, and one secret many times is one.
    let long = format!("{}{}", "x".repeat(65_536), secrets[0].1.secret().reveal());
    assert_eq!(invalid(fixture.clove.report_leaked(&long, &fixture.by).await).field, "report of a leak");
    let last = fixture.key_in(Status::Active).await.unwrap();
    let repeated = format!("{}\n", secrets[0].1.secret().reveal()).repeat(40);
    let text = format!("{repeated}{}", last.credential.unwrap().secret().reveal());
    fixture.clove.report_leaked(&text, &fixture.by).await.unwrap();
    assert_eq!(fixture.clove.get(&fixture.owner, last.key.id).await.unwrap().state, KeyState::Compromised);
    // A secret behind another key's id is one all the same, and each of several is.
    let text = format!("{};{} and {}", secrets[1].0, secrets[0].1.secret().reveal(), secrets[1].1.secret().reveal());
    let by = fixture.by.clone().operation(OperationId::new(fixture.clove.now()));
    for _ in 0..2 {
        fixture.clove.report_leaked(&text, &by).await.unwrap();
    }
    for (id, _) in &secrets {
        assert_eq!(fixture.clove.get(&fixture.owner, *id).await.unwrap().state, KeyState::Compromised);
    }
}

/// The report of a leak proves the secret, and then `meanwhile` another process, with pepper 1 current, does something.
async fn leaked<F: Future<Output = ()> + Send + 'static>(
    readable: bool,
    meanwhile: impl FnOnce(Clove, Issued) -> F,
) -> (Fixture, KeyId, Result<(), Error>) {
    let own = if readable { clove::Hashing::sha256().readable(pepper(1)) } else { clove::Hashing::sha256() };
    let (fixture, spy) = spied(hashed(own));
    let peppered = Clove::with_clock(spy.inner.clone(), hashed(clove::Hashing::hmac(pepper(1))), fixture.clock().clone());
    let issued = fixture.key_in(Status::Active).await.unwrap();
    let (id, credential) = (issued.key.id, issued.credential.as_ref().unwrap().reveal());
    spy.before_transact(0, meanwhile(peppered, issued));
    let reported = fixture.clove.report_leaked(&*credential, &fixture.by).await;
    (fixture, id, reported)
}

/// Another process verifies the secret, and keeps a better digest of it.
async fn rehashes(peppered: Clove, issued: Issued) {
    assert!(is_good(&peppered, issued.credential.unwrap().secret().reveal()).await);
    peppered.flush().await.unwrap();
}

#[tokio::test]
async fn a_leak_is_not_lost_to_a_rehash_that_comes_between() {
    let (fixture, id, reported) = leaked(true, rehashes).await;
    reported.unwrap();
    let key = fixture.clove.get(&fixture.owner, id).await.unwrap();
    assert_eq!(key.status(fixture.clove.now()), Status::Compromised);
}

#[tokio::test]
async fn a_leak_whose_secret_went_under_an_unknown_pepper_is_a_fault_and_not_done() {
    let (fixture, id, reported) = leaked(false, rehashes).await;
    assert!(matches!(reported, Err(Error::Fault(clove::Fault::UnknownPepper { version: 1 }))), "{reported:?}");
    assert_eq!(fixture.clove.get(&fixture.owner, id).await.unwrap().status(fixture.clove.now()), Status::Active);
}

#[tokio::test]
async fn a_leak_of_what_a_rotation_has_just_replaced_ends_its_grace() {
    for grace in [TimeDelta::hours(1), TimeDelta::zero()] {
        let (told, rotated) = std::sync::mpsc::channel();
        let (fixture, id, reported) = leaked(true, move |peppered, issued| async move {
            let (owner, by) = (issued.key.owner.clone(), By::new("ada", "rotate").unwrap());
            told.send(peppered.rotate(&owner, issued.key.id, 1, grace, &by).await.unwrap()).unwrap();
            let old = issued.credential.unwrap();
            assert_eq!(is_good(&peppered, old.secret().reveal()).await, !grace.is_zero());
        })
        .await;
        reported.unwrap();
        let new = rotated.recv().unwrap().credential.unwrap();
        assert!(is_good(&fixture.clove, new.secret().reveal()).await, "the key is not flagged for a secret that it had");
        let reports = actions(&fixture).await.iter().filter(|(action, _)| *action == Action::ReportLeaked).count();
        assert_eq!(reports, usize::from(!grace.is_zero()), "a secret that is gone needs no end");
        assert_eq!(fixture.clove.get(&fixture.owner, id).await.unwrap().revision, 2 + u64::from(!grace.is_zero()));
    }
}
