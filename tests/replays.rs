//! A command acts once under its operation id, whatever became of its answers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use chrono::TimeDelta;
use clove::{
    Action, ActiveLimit, By, CapabilitySet, Clove, Description, Edit, Error, Expiry, ExpiryPolicy, GuessLimit, Issued, KeyId,
    MemoryStore, Metadata, Name, OperationId, Owner, Policy, Refusal, Secret, Status, Stopped, StoreError,
};
use clove_testkit::Fixture;
use std::time::Duration;
use support::{DAY, Ending, Mode, actions, fixture, is_good, named, poll_and_drop, refusal, spied, unlimited};

#[tokio::test]
async fn a_command_repeated_under_its_operation_id_acts_once() {
    let fixture = fixture();
    let (clove, owner) = (&fixture.clove, &fixture.owner);
    let by = |operation| fixture.by.clone().operation(operation);
    let create = OperationId::new(clove.now());
    let issued = clove.create(owner, named("once"), &by(create)).await.unwrap();
    let again = clove.create(owner, named("once"), &by(create)).await.unwrap();
    assert_eq!(again.key, issued.key);
    assert!(again.credential.is_none(), "a secret is shown once");
    let id = issued.key.id;

    let disable = OperationId::new(clove.now());
    assert!(clove.disable(owner, id, &by(disable)).await.unwrap().changed);
    clove.enable(owner, id, &fixture.by).await.unwrap();
    let late = clove.disable(owner, id, &by(disable)).await.unwrap();
    assert_eq!(late.key.unwrap().status(clove.now()), Status::Active, "a late repetition does not disable again");

    assert_eq!(refusal(clove.enable(owner, id, &by(disable)).await), Refusal::OperationReused { operation: disable });
    assert_eq!(refusal(clove.create(owner, named("x"), &by(disable)).await), Refusal::OperationReused { operation: disable });

    let delete = OperationId::new(clove.now());
    clove.delete(owner, id, &by(delete)).await.unwrap();
    clove.delete(owner, id, &by(delete)).await.unwrap();
    assert_eq!(refusal(clove.delete(owner, id, &fixture.by).await), Refusal::NotFound);
    let stopped = clove.disable(owner, id, &by(disable)).await.unwrap();
    assert_eq!(stopped, Stopped { key: None, changed: true }, "what it did is told after the key is gone");
}

#[tokio::test]
async fn every_command_repeated_under_its_operation_id_writes_one_event() {
    let fixture = unlimited();
    let (clove, owner) = (&fixture.clove, &fixture.owner);
    let by = || fixture.by.clone().operation(OperationId::new(clove.now()));
    let (create, rotate, edit, disable, close, reopen, limit) = (by(), by(), by(), by(), by(), by(), by());
    let id = clove.create(owner, named("a key"), &create).await.unwrap().key.id;
    let rename = || Edit::new().name(Name::new("renamed").unwrap());
    for round in 0..2 {
        let issued = clove.create(owner, named("a key"), &create).await.unwrap();
        assert!(issued.key.id == id && issued.credential.is_none());
        let rotated = clove.rotate(owner, id, 1, TimeDelta::zero(), &rotate).await.unwrap();
        assert_eq!(rotated.credential.is_some(), round == 0, "a secret is shown once");
        assert_eq!(clove.edit(owner, id, 2, rename(), &edit).await.unwrap().key.name.as_str(), "renamed");
        assert!(clove.disable(owner, id, &disable).await.unwrap().changed, "it is told as it was");
        clove.set_active_limit(owner, Some(ActiveLimit::AtMost(9)), &limit).await.unwrap();
    }
    for _ in 0..2 {
        assert!(clove.close_owner(owner, &close).await.unwrap().changed);
    }
    for _ in 0..2 {
        assert!(clove.reopen_owner(owner, &reopen).await.unwrap());
    }
    use Action::{CloseOwner, Create, Disable, Edit as Edited, ReopenOwner, Revoke, Rotate, SetActiveLimit};
    let once = [Create, Rotate, Edited, Disable, SetActiveLimit, CloseOwner, Revoke, ReopenOwner].map(|action| (action, true));
    assert_eq!(actions(&fixture).await, once);
}

#[tokio::test]
async fn an_operation_id_of_another_command_key_or_owner_is_refused() {
    let fixture = unlimited();
    let (clove, owner) = (&fixture.clove, &fixture.owner);
    let operation = OperationId::new(clove.now());
    let by = fixture.by.clone().operation(operation);
    let (first, second) = (fixture.key_in(Status::Active).await.unwrap().key, fixture.key_in(Status::Active).await.unwrap().key);
    clove.disable(owner, first.id, &by).await.unwrap();
    let reused = Refusal::OperationReused { operation };
    let bob = Owner::new("acme", "bob").unwrap();
    assert_eq!(refusal(clove.disable(owner, second.id, &by).await), reused);
    assert_eq!(refusal(clove.delete(owner, first.id, &by).await), reused);
    assert_eq!(refusal(clove.edit(owner, first.id, 2, Edit::new(), &by).await), reused);
    assert_eq!(refusal(clove.rotate(owner, first.id, 2, TimeDelta::zero(), &by).await), reused);
    assert_eq!(refusal(clove.create(&bob, named("x"), &by).await), reused);
    assert_eq!(refusal(clove.close_owner(owner, &by).await), reused);
    assert_eq!(refusal(clove.reopen_organization(&owner.organization, &by).await), reused);
    assert_eq!(refusal(clove.set_active_limit(owner, None, &by).await), reused);
    assert_eq!(clove.get(owner, second.id).await.unwrap(), second);
}

#[tokio::test]
async fn an_operation_id_is_refused_for_the_same_command_with_other_arguments() {
    let fixture = unlimited();
    let (clove, owner) = (&fixture.clove, &fixture.owner);
    let by = || fixture.by.clone().operation(OperationId::new(clove.now()));
    let reused = |result: Result<(), Error>| assert!(matches!(refusal(result), Refusal::OperationReused { .. }));
    let models = || CapabilitySet::new(["models:*"]).unwrap();

    let create = by();
    let wish = || named("laptop").capabilities(models()).description(Description::new("mine").unwrap());
    let id = clove.create(owner, wish(), &create).await.unwrap().key.id;
    reused(clove.create(owner, named("server").capabilities(models()), &create).await.map(drop));
    reused(clove.create(owner, named("laptop").capabilities(CapabilitySet::all()), &create).await.map(drop));
    reused(clove.create(owner, named("laptop"), &create).await.map(drop));
    reused(clove.create(owner, wish().expiry(Expiry::Days(30)), &create).await.map(drop));
    reused(clove.create(owner, wish().description(Description::new("everybody's").unwrap()), &create).await.map(drop));
    reused(clove.create(owner, wish().metadata(Metadata::new(r#"{"team":1}"#).unwrap()), &create).await.map(drop));

    let edit = by();
    let change = || Edit::new().name(Name::new("mine").unwrap()).capabilities(CapabilitySet::all());
    assert!(clove.edit(owner, id, 1, change(), &edit).await.unwrap().changed);
    for other in [
        change().name(Name::new("theirs").unwrap()),
        change().capabilities(models()),
        Edit::new().name(Name::new("mine").unwrap()),
        Edit::new().capabilities(CapabilitySet::all()),
        Edit::new().description(Description::new("other").unwrap()),
    ] {
        reused(clove.edit(owner, id, 1, other, &edit).await.map(drop));
    }

    let rotate = by();
    clove.rotate(owner, id, 2, TimeDelta::hours(1), &rotate).await.unwrap();
    reused(clove.rotate(owner, id, 2, TimeDelta::hours(2), &rotate).await.map(drop));
    reused(clove.rotate(owner, id, 2, TimeDelta::zero(), &rotate).await.map(drop));
    clove.disable(owner, id, &fixture.by).await.unwrap();
    let suspended = by();
    clove.rotate(owner, id, 4, TimeDelta::zero(), &suspended).await.unwrap();
    reused(clove.rotate(owner, id, 4, TimeDelta::hours(1), &suspended).await.map(drop));

    let limit = by();
    clove.set_active_limit(owner, Some(ActiveLimit::AtMost(9)), &limit).await.unwrap();
    reused(clove.set_active_limit(owner, Some(ActiveLimit::AtMost(8)), &limit).await);
    reused(clove.set_active_limit(owner, None, &limit).await);

    // What was asked for is answered as often as it is asked, on another day too, and after an edit of what it made.
    fixture.clock().advance(DAY);
    let again = clove.create(owner, wish(), &create).await.unwrap();
    assert!(again.key.id == id && again.credential.is_none());
    assert!(clove.edit(owner, id, 1, change(), &edit).await.unwrap().changed);
    clove.rotate(owner, id, 2, TimeDelta::hours(1), &rotate).await.unwrap();
    clove.set_active_limit(owner, Some(ActiveLimit::AtMost(9)), &limit).await.unwrap();
}

#[tokio::test]
async fn a_command_that_was_carried_out_is_answered_though_it_would_be_refused_now() {
    let any = ExpiryPolicy { custom: Some((1, 99)), ..ExpiryPolicy::default() };
    let policy = || Policy::builder().expiry(any.clone()).imports(GuessLimit::default());
    let store = MemoryStore::new();
    let before = Fixture::on(store.clone(), policy().build().unwrap()).unwrap();
    let owner = &before.owner;
    let by = || before.by.clone().operation(OperationId::new(before.clove.now())).may_grant(CapabilitySet::all());
    let (create, import, rotate, edit) = (by(), by(), by(), by());
    let tomorrow = Expiry::At(before.clove.now() + TimeDelta::days(1));
    let wish = || named("short").expiry(tomorrow).capabilities(CapabilitySet::all());
    let secret = || Secret::from_foreign("sk-elsewhere".into());
    let change = || Edit::new().capabilities(CapabilitySet::all());
    let id = before.clove.create(owner, wish(), &create).await.unwrap().key.id;
    let imported = before.clove.import(owner, named("moved in"), secret(), &import).await.unwrap().key.id;
    before.clove.rotate(owner, id, 1, TimeDelta::days(20), &rotate).await.unwrap();
    before.clove.edit(owner, imported, 1, change(), &edit).await.unwrap();

    before.clock().advance(Duration::from_secs(1));
    let stricter = policy().max_grace(TimeDelta::days(7)).no_new_imports(GuessLimit::default()).build().unwrap();
    let after = Clove::with_clock(store, stricter, before.clock().clone());
    let nothing = |by: &By| by.clone().may_grant(CapabilitySet::none());
    let again = after.create(owner, wish(), &nothing(&create)).await.unwrap();
    assert!(again.key.id == id && again.credential.is_none());
    assert_eq!(after.import(owner, named("moved in"), secret(), &import).await.unwrap().key.id, imported);
    assert_eq!(after.rotate(owner, id, 1, TimeDelta::days(20), &rotate).await.unwrap().key.id, id);
    assert!(after.edit(owner, imported, 1, change(), &nothing(&edit)).await.unwrap().changed);

    // What was not carried out is refused as ever.
    assert!(matches!(after.create(owner, wish(), &by()).await, Err(Error::Invalid(_))));
    assert!(matches!(after.import(owner, named("late"), secret(), &by()).await, Err(Error::Invalid(_))));
    assert!(matches!(after.rotate(owner, id, 2, TimeDelta::days(20), &by()).await, Err(Error::Invalid(_))));
    assert!(matches!(refusal(after.edit(owner, id, 2, change(), &nothing(&by())).await), Refusal::BeyondAuthority { .. }));
}

#[tokio::test]
async fn a_new_key_is_given_out_though_the_store_is_away_after_its_lost_answer() {
    let (fixture, spy) = spied(Policy::profile_a());
    spy.end([Ending::CommitsThenUnknown]);
    let away = spy.clone();
    spy.before_transact(1, async move { away.set(Mode::Fails) });
    let issued = fixture.clove.create(&fixture.owner, named("a key"), &fixture.by).await.unwrap();
    spy.set(Mode::Works);
    assert!(is_good(&fixture.clove, &issued.credential.unwrap().reveal()).await);
    assert_eq!(fixture.keys().await.unwrap(), [issued.key]);
}

#[tokio::test]
async fn a_rotation_whose_grace_the_expiry_cut_short_is_replayed() {
    let fixture = unlimited();
    let (clove, owner) = (&fixture.clove, &fixture.owner);
    let id = clove.create(owner, named("short").expiry(Expiry::Days(30)), &fixture.by).await.unwrap().key.id;
    fixture.clock().advance(29 * DAY);
    let by = fixture.by.clone().operation(OperationId::new(clove.now()));
    clove.rotate(owner, id, 1, TimeDelta::days(9), &by).await.unwrap();
    assert!(clove.rotate(owner, id, 1, TimeDelta::days(9), &by).await.unwrap().credential.is_none());
    clove.delete(owner, id, &fixture.by).await.unwrap();
    assert_eq!(refusal(clove.rotate(owner, id, 1, TimeDelta::days(9), &by).await), Refusal::NotFound);
}

#[tokio::test]
async fn a_deletion_is_replayed_to_who_could_have_given_it_and_to_no_other() {
    let fixture = fixture();
    let key = fixture.key_in(Status::Active).await.unwrap().key;
    let by = fixture.by.clone().operation(OperationId::new(fixture.clove.now()));
    fixture.clove.delete(&fixture.owner, key.id, &by).await.unwrap();
    let foreign = Owner::new("other", "eve").unwrap();
    assert!(matches!(fixture.clove.delete(&foreign, key.id, &by).await, Err(Error::Refused(_))));
}

/// Each command that is scoped, carried out under an operation id, is given again by another owner of the organization and by
/// a stranger to it. What they hear tells an id that is used up, and is the same for a key that there is and for none.
#[tokio::test]
async fn no_command_is_replayed_to_a_scope_that_could_not_have_given_it() {
    let fixture = unlimited();
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    let id = fixture.key_in(Status::Active).await.unwrap().key.id;
    let used = || OperationId::new(clove.now());
    let given = |operation| by.clone().operation(operation);
    let (create, edit, rotate, disable, enable, limit) = (used(), used(), used(), used(), used(), used());
    let (flag, revoke, delete, close, reopen) = (used(), used(), used(), used(), used());
    let rename = || Edit::new().name(Name::new("renamed").unwrap());
    clove.create(owner, named("a key"), &given(create)).await.unwrap();
    clove.edit(owner, id, 1, rename(), &given(edit)).await.unwrap();
    clove.rotate(owner, id, 2, TimeDelta::zero(), &given(rotate)).await.unwrap();
    clove.disable(owner, id, &given(disable)).await.unwrap();
    clove.enable(owner, id, &given(enable)).await.unwrap();
    clove.set_active_limit(owner, Some(ActiveLimit::AtMost(9)), &given(limit)).await.unwrap();
    clove.flag_compromised(owner, id, &given(flag)).await.unwrap();
    clove.revoke(owner, id, &given(revoke)).await.unwrap();
    clove.close_owner(owner, &given(close)).await.unwrap();
    clove.reopen_owner(owner, &given(reopen)).await.unwrap();
    let before = (fixture.keys().await.unwrap(), actions(&fixture).await);
    let (none, grace) = (KeyId::new(clove.now()), TimeDelta::zero());
    for deleted in [false, true] {
        if deleted {
            clove.delete(owner, id, &given(delete)).await.unwrap();
        }
        for foreign in [&Owner::new("acme", "bob").unwrap(), &Owner::new("other", "ada").unwrap()] {
            let mut heard = Vec::new();
            for id in [id, none] {
                heard.push((edit, refusal(clove.edit(foreign, id, 1, rename(), &given(edit)).await)));
                heard.push((rotate, refusal(clove.rotate(foreign, id, 2, grace, &given(rotate)).await)));
                heard.push((disable, refusal(clove.disable(foreign, id, &given(disable)).await)));
                heard.push((enable, refusal(clove.enable(foreign, id, &given(enable)).await)));
                heard.push((flag, refusal(clove.flag_compromised(foreign, id, &given(flag)).await)));
                heard.push((revoke, refusal(clove.revoke(foreign, id, &given(revoke)).await)));
                if deleted {
                    heard.push((delete, refusal(clove.delete(foreign, id, &given(delete)).await)));
                }
            }
            heard.push((create, refusal(clove.create(foreign, named("a key"), &given(create)).await)));
            heard.push((limit, refusal(clove.set_active_limit(foreign, None, &given(limit)).await)));
            heard.push((close, refusal(clove.close_owner(foreign, &given(close)).await)));
            heard.push((reopen, refusal(clove.reopen_owner(foreign, &given(reopen)).await)));
            for (operation, refused) in heard {
                assert_eq!(refused, Refusal::OperationReused { operation });
            }
        }
        if !deleted {
            assert_eq!((fixture.keys().await.unwrap(), actions(&fixture).await), before);
        }
    }
}

#[tokio::test]
async fn a_replay_is_answered_to_the_organization_that_the_key_lies_in() {
    let fixture = fixture();
    let key = fixture.key_in(Status::Active).await.unwrap().key;
    let by = fixture.by.clone().operation(OperationId::new(fixture.clove.now()));
    fixture.clove.delete(&fixture.owner, key.id, &by).await.unwrap();
    fixture.clove.delete(&fixture.owner.organization, key.id, &by).await.unwrap();
}

#[tokio::test]
async fn a_lost_answer_is_resolved_whether_it_had_committed_or_not() {
    for endings in [
        vec![Ending::CommitsThenUnknown],
        vec![Ending::RollsBackThenUnknown],
        vec![Ending::RollsBackThenUnknown, Ending::CommitsThenUnknown, Ending::RollsBackThenUnknown],
    ] {
        let (fixture, spy) = spied(Policy::profile_a());
        let key = fixture.key_in(Status::Active).await.unwrap().key;
        spy.end(endings.clone());
        let applied = fixture.clove.disable(&fixture.owner, key.id, &fixture.by).await.unwrap();
        assert!(applied.changed && applied.key.unwrap().status(fixture.clove.now()) == Status::Suspended);
        spy.end(endings.clone());
        fixture.clove.create(&fixture.owner, named("another"), &fixture.by).await.unwrap();
        spy.end(endings.clone());
        assert!(fixture.clove.close_owner(&fixture.owner, &fixture.by).await.unwrap().changed);
        spy.end(endings);
        assert!(fixture.clove.reopen_owner(&fixture.owner, &fixture.by).await.unwrap());
        let creations = actions(&fixture).await.iter().filter(|(action, _)| *action == Action::Create).count();
        assert_eq!((fixture.keys().await.unwrap().len(), creations), (2, 2), "each command acted once");
        assert_eq!(fixture.clove.active_keys(&fixture.owner).await.unwrap().active, 0);
    }
}

#[tokio::test]
async fn a_secret_is_shown_though_the_answer_of_its_commit_was_lost() {
    let (fixture, spy) = spied(Policy::builder().imports(GuessLimit::default()).build().unwrap());
    let (clove, owner, by) = (&fixture.clove, &fixture.owner, &fixture.by);
    let lose_the_answer = || spy.end([Ending::CommitsThenUnknown]);
    lose_the_answer();
    let issued = clove.create(owner, named("a key"), by).await.unwrap();
    assert!(is_good(clove, &issued.credential.expect("this call made the key, and holds its secret").reveal()).await);
    lose_the_answer();
    let rotated = clove.rotate(owner, issued.key.id, 1, TimeDelta::hours(1), by).await.unwrap();
    assert!(is_good(clove, &rotated.credential.expect("this call made the secret").reveal()).await);
    assert_eq!(rotated.previous_valid_until, Some(clove.now() + TimeDelta::hours(1)));
    lose_the_answer();
    let secret = Secret::from_foreign("an-older-secret".to_owned());
    let imported = clove.import(owner, named("moved in"), secret, by).await.unwrap();
    assert!(is_good(clove, &imported.credential.expect("this call stored it").reveal()).await);
}

/// Creates a key, or rotates one.
async fn issue(clove: &Clove, owner: &Owner, by: &By, rotated: Option<KeyId>) -> Issued {
    match rotated {
        None => clove.create(owner, named("a key"), by).await.unwrap(),
        Some(id) => clove.rotate(owner, id, 1, TimeDelta::hours(1), by).await.unwrap(),
    }
}

/// Two processes run a command under one operation id, and one of them wins while the other does not know the outcome of its
/// own transaction: what the loser holds was never stored.
#[tokio::test]
async fn a_secret_that_another_run_of_the_command_kept_out_is_never_shown() {
    let (fixture, spy) = spied(Policy::profile_a());
    let (clove, owner) = (&fixture.clove, &fixture.owner);
    let id = fixture.key_in(Status::Active).await.unwrap().key.id;
    for rotated in [None, Some(id)] {
        let by = fixture.by.clone().operation(OperationId::new(clove.now()));
        let other = Clove::with_clock(spy.inner.clone(), Policy::profile_a(), fixture.clock().clone());
        let (told, winner) = std::sync::mpsc::channel();
        let (their_owner, their_by) = (owner.clone(), by.clone());
        spy.end([Ending::RollsBackThenUnknown]);
        spy.before_transact(0, async move {
            told.send(issue(&other, &their_owner, &their_by, rotated).await).unwrap();
        });
        let lost = issue(clove, owner, &by, rotated).await;
        let won = winner.recv().unwrap();
        assert!(lost.credential.is_none(), "this one was not stored");
        assert_eq!(lost.key, won.key);
        assert!(is_good(clove, &won.credential.expect("this one was").reveal()).await);
    }
}

#[tokio::test]
async fn an_outcome_that_stays_unknown_names_the_operation_and_a_retry_tells() {
    for (first, committed) in [(Ending::CommitsThenUnknown, true), (Ending::RollsBackThenUnknown, false)] {
        for then in [Ending::RollsBackThenUnknown, Ending::Unavailable] {
            let (fixture, spy) = spied(Policy::profile_a());
            spy.end([first].into_iter().chain([then; 9]));
            let error = fixture.clove.create(&fixture.owner, named("a key"), &fixture.by).await.unwrap_err();
            let Error::OutcomeUnknown { operation, .. } = error else { panic!("{error:?}") };
            spy.end([]);
            let by = fixture.by.clone().operation(operation);
            let issued = fixture.clove.create(&fixture.owner, named("a key"), &by).await.unwrap();
            assert_eq!(issued.credential.is_none(), committed, "a replay has no secret to show");
            assert_eq!((fixture.keys().await.unwrap(), actions(&fixture).await.len()), (vec![issued.key], 1));
        }
    }
}

#[tokio::test]
async fn a_store_that_is_away_is_an_error_that_changed_nothing() {
    let (fixture, spy) = spied(Policy::profile_a());
    let key = fixture.key_in(Status::Active).await.unwrap().key;
    spy.end([Ending::Unavailable]);
    let error = fixture.clove.disable(&fixture.owner, key.id, &fixture.by).await.unwrap_err();
    assert!(matches!(error, Error::Store(StoreError::Unavailable { .. })));
    assert_eq!(fixture.keys().await.unwrap(), [key]);
}

#[tokio::test]
async fn a_cancelled_command_can_be_given_again() {
    let (fixture, spy) = spied(Policy::profile_a());
    let key = fixture.key_in(Status::Active).await.unwrap().key;
    spy.set(Mode::Hangs);
    let by = fixture.by.clone().operation(OperationId::new(fixture.clove.now()));
    for _ in 0..20 {
        assert!(poll_and_drop(fixture.clove.disable(&fixture.owner, key.id, &by)).is_pending());
        assert!(poll_and_drop(fixture.clove.create(&fixture.owner, named("x"), &fixture.by)).is_pending());
    }
    spy.set(Mode::Works);
    assert!(fixture.clove.disable(&fixture.owner, key.id, &by).await.unwrap().changed);
    assert_eq!(fixture.keys().await.unwrap().len(), 1);
}
