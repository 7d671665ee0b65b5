//! The life of a key through the service: every command in every status, and what each role is offered.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use chrono::TimeDelta;
use clove::{Action, ActiveLimit, Edit, Error, Expiry, Key, KeyState, Name, Policy, Refusal, Role, Status};
use clove_testkit::Fixture;
use support::{DAY, actions, denied, fixture, is_good, refusal, unlimited};

const COMMANDS: [Action; 8] = [
    Action::Disable,
    Action::Enable,
    Action::Revoke,
    Action::FlagCompromised,
    Action::ReportLeaked,
    Action::Rotate,
    Action::Delete,
    Action::Edit,
];

/// What a command does to a key, as a caller sees it.
#[derive(Debug, PartialEq)]
enum Seen {
    Becomes(Status),
    NoChange,
    Refused,
    Gone,
}

/// The table of DESIGN §3, written out. Columns: Active, Suspended, Expired, Compromised, Revoked.
fn expected(command: Action, status: Status) -> Seen {
    use Seen::{Becomes, Gone, NoChange, Refused};
    use Status::{Active, Compromised, Expired, Revoked, Suspended};
    match (command, status) {
        (Action::Disable, Active) => Becomes(Suspended),
        // Stored Suspended from now on, and still seen as Expired.
        (Action::Disable, Expired) => Becomes(Expired),
        (Action::Disable, _) => NoChange,
        (Action::Enable, Active) => NoChange,
        (Action::Enable, Suspended) => Becomes(Active),
        (Action::Enable | Action::Rotate, Expired | Compromised | Revoked) => Refused,
        (Action::Revoke, Active | Suspended | Expired) => Becomes(Revoked),
        (Action::FlagCompromised | Action::ReportLeaked, Active | Suspended | Expired) => Becomes(Compromised),
        (Action::Revoke | Action::FlagCompromised | Action::ReportLeaked, Compromised | Revoked) => NoChange,
        (Action::Rotate, status) => Becomes(status),
        (Action::Delete, _) => Gone,
        (Action::Edit, status) => Becomes(status),
        (other, _) => panic!("{other} is not in the table"),
    }
}

async fn give(fixture: &Fixture, command: Action, key: &Key, credential: &str, role: Role) -> Result<(), Error> {
    let (clove, owner, id) = (&fixture.clove, &fixture.owner, key.id);
    let by = &fixture.by.clone().role(role);
    match command {
        Action::Disable => clove.disable(owner, id, by).await.map(drop),
        Action::Enable => clove.enable(owner, id, by).await.map(drop),
        Action::Revoke => clove.revoke(owner, id, by).await.map(drop),
        Action::FlagCompromised => clove.flag_compromised(owner, id, by).await.map(drop),
        Action::ReportLeaked => clove.report_leaked(credential, by).await,
        Action::Rotate => clove.rotate(owner, id, key.revision, TimeDelta::zero(), by).await.map(drop),
        Action::Delete => clove.delete(owner, id, by).await,
        Action::Edit => clove.edit(owner, id, key.revision, Edit::new().name(Name::new("new name").unwrap()), by).await.map(drop),
        other => panic!("{other} is not a command on a key"),
    }
}

#[tokio::test]
async fn every_command_does_in_every_status_what_the_table_says() {
    for command in COMMANDS {
        for status in Status::ALL {
            let what = format!("{command} on {status}");
            let fixture = unlimited();
            let issued = fixture.key_in(status).await.unwrap();
            let (before, credential) = (issued.key, issued.credential.unwrap().reveal());
            assert_eq!(before.status(fixture.clove.now()), status);
            let events = actions(&fixture).await.len();
            let result = give(&fixture, command, &before, &credential, Role::Owner).await;
            let after = fixture.clove.get(&fixture.owner, before.id).await;
            let written = actions(&fixture).await.split_off(events);
            match expected(command, status) {
                Seen::Refused => {
                    let offered = fixture.clove.policy().offered(Role::Owner, status);
                    assert_eq!(refusal(result), Refusal::NotAllowed { command, status, offered }, "{what}");
                    assert_eq!(after.unwrap(), before, "{what}: a refusal changes nothing");
                    assert!(written.is_empty(), "{what}: a refusal is not a change to account for");
                }
                Seen::Gone => {
                    result.unwrap();
                    assert_eq!(refusal(after), Refusal::NotFound, "{what}");
                    assert_eq!(written, [(command, true)], "{what}");
                }
                Seen::NoChange => {
                    result.unwrap();
                    assert_eq!(after.unwrap(), before, "{what}");
                    assert_eq!(written, [(command, false)], "{what}");
                }
                Seen::Becomes(then) => {
                    result.unwrap();
                    let after = after.unwrap();
                    assert_eq!(after.status(fixture.clove.now()), then, "{what}");
                    assert_eq!(after.revision, before.revision + 1, "{what}");
                    assert_eq!(after.expires_at, before.expires_at, "{what}: nothing moves the expiry");
                    assert_eq!(written, [(command, true)], "{what}");
                }
            }
        }
    }
}

#[tokio::test]
async fn the_count_of_active_keys_is_right_after_every_command_in_every_status() {
    for command in COMMANDS {
        for status in Status::ALL {
            let fixture = unlimited();
            let issued = fixture.key_in(status).await.unwrap();
            let _ = give(&fixture, command, &issued.key, &issued.credential.unwrap().reveal(), Role::Owner).await;
            let now = fixture.clove.now();
            let active = fixture.keys().await.unwrap().iter().filter(|key| key.status(now) == Status::Active).count();
            assert_eq!(fixture.clove.active_keys(&fixture.owner).await.unwrap().active as usize, active, "{command} on {status}");
        }
    }
}

#[tokio::test]
async fn a_dead_key_stays_as_it_is_after_its_expiry_has_passed() {
    let fixture = unlimited();
    for (status, state) in [(Status::Compromised, KeyState::Compromised), (Status::Revoked, KeyState::Revoked)] {
        let key = fixture.key_in(status).await.unwrap().key;
        fixture.clock().advance(400 * DAY);
        let found = fixture.clove.get(&fixture.owner, key.id).await.unwrap();
        assert_eq!((found.state, found.status(fixture.clove.now())), (state, status));
    }
}

#[tokio::test]
async fn a_refusal_names_the_command_the_status_and_what_the_role_is_offered() {
    let fixture = fixture();
    let issued = fixture.key_in(Status::Expired).await.unwrap();
    for (role, offered) in [(Role::Owner, "delete"), (Role::Administrator, "revoke, flag compromised, delete")] {
        let error = give(&fixture, Action::Enable, &issued.key, "", role).await.unwrap_err();
        assert_eq!(error.to_string(), format!("cannot enable a key that is Expired; offered: {offered}"));
    }
}

#[tokio::test]
async fn what_is_offered_is_never_refused_as_not_allowed() {
    for policy in [Policy::profile_a(), Policy::profile_b()] {
        for role in [Role::Owner, Role::Administrator] {
            for status in Status::ALL {
                for command in policy.offered(role, status) {
                    let fixture = Fixture::new(policy.clone()).unwrap();
                    let issued = fixture.key_in(status).await.unwrap();
                    let key = fixture.clove.get(&fixture.owner, issued.key.id).await.unwrap();
                    assert_eq!(fixture.clove.offered(&key, role), policy.offered(role, status));
                    give(&fixture, command, &key, "", role)
                        .await
                        .unwrap_or_else(|error| panic!("{command} on {status}: {error}"));
                }
            }
        }
    }
}

#[test]
fn profile_a_offers_owners_what_its_page_says_and_administrators_also_revoke_and_flag() {
    use Action::{Delete, Disable, Enable, FlagCompromised, Revoke};
    let policy = Policy::profile_a();
    for (status, owner, administrator) in [
        (Status::Active, vec![Disable, Delete], vec![Disable, Revoke, FlagCompromised, Delete]),
        (Status::Suspended, vec![Enable, Delete], vec![Enable, Revoke, FlagCompromised, Delete]),
        (Status::Expired, vec![Delete], vec![Revoke, FlagCompromised, Delete]),
        (Status::Compromised, vec![Delete], vec![Delete]),
        (Status::Revoked, vec![Delete], vec![Delete]),
    ] {
        assert_eq!(policy.offered(Role::Owner, status), owner, "{status}");
        assert_eq!(policy.offered(Role::Administrator, status), administrator, "{status}");
    }
}

#[test]
fn profile_b_offers_both_roles_the_whole_table() {
    use Action::{Delete, Disable, Enable, FlagCompromised, Revoke, Rotate};
    let policy = Policy::profile_b();
    for (status, offered) in [
        (Status::Active, vec![Disable, Rotate, Revoke, FlagCompromised, Delete]),
        (Status::Suspended, vec![Enable, Rotate, Revoke, FlagCompromised, Delete]),
        (Status::Expired, vec![Revoke, FlagCompromised, Delete]),
        (Status::Compromised, vec![Delete]),
        (Status::Revoked, vec![Delete]),
    ] {
        assert_eq!(policy.offered(Role::Owner, status), offered, "{status}");
        assert_eq!(policy.offered(Role::Administrator, status), offered, "{status}");
    }
}

#[tokio::test]
async fn profile_a_counts_two_active_keys_that_expire_in_ninety_days() {
    let fixture = fixture();
    let key = fixture.key_in(Status::Active).await.unwrap().key;
    assert_eq!(key.expires_at, Some(fixture.clove.now() + TimeDelta::days(90)));
    assert_eq!(fixture.clove.active_keys(&fixture.owner).await.unwrap().to_string(), "1 / 2 active keys");
    for days in [30, 60, 90, 180, 365] {
        fixture.clove.policy().expiry().resolve(Expiry::Days(days), fixture.clove.now()).unwrap();
    }
    for wrong in [Expiry::Days(0), Expiry::Days(31), Expiry::Days(366), Expiry::Days(u32::MAX), Expiry::Never] {
        assert!(fixture.clove.policy().expiry().resolve(wrong, fixture.clove.now()).is_err(), "{wrong:?}");
    }
}

#[tokio::test]
async fn profile_b_has_any_number_of_keys_that_never_expire_and_may_do_all() {
    let fixture = Fixture::new(Policy::profile_b()).unwrap();
    for _ in 0..5 {
        let key = fixture.key_in(Status::Active).await.unwrap().key;
        assert_eq!((key.expires_at, key.capabilities.as_str()), (None, "*:*"));
    }
    assert_eq!(fixture.clove.active_keys(&fixture.owner).await.unwrap().to_string(), "5 active keys");
    fixture.clock().advance(4_000 * DAY);
    assert_eq!(fixture.clove.active_keys(&fixture.owner).await.unwrap().limit, ActiveLimit::Unlimited);
}

#[tokio::test]
async fn an_enabled_key_is_verified_again_and_a_dead_one_never() {
    let fixture = unlimited();
    let issued = fixture.key_in(Status::Suspended).await.unwrap();
    let credential = issued.credential.unwrap().reveal();
    fixture.clove.enable(&fixture.owner, issued.key.id, &fixture.by).await.unwrap();
    assert!(is_good(&fixture.clove, &credential).await);
    fixture.clove.revoke(&fixture.owner, issued.key.id, &fixture.by).await.unwrap();
    fixture.clove.flag_compromised(&fixture.owner, issued.key.id, &fixture.by).await.unwrap();
    assert_eq!(
        denied(fixture.clove.verify(&*credential).await),
        clove::DenialReason::Revoked,
        "flagging a revoked key: no change"
    );
}
