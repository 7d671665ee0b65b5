//! Rows that cannot be read, as a host meets them.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use chrono::TimeDelta;
use clove_core::{
    Action, Closed, DenialReason, Edit, Error, Fault, GuessLimit, KeyState, ListAudit, NewKey, OperationId, Owner, Policy,
    Refusal, Secret, Status, Store, StoreError, error::CorruptRow,
};
use support::Damaged;

#[tokio::test]
async fn keys_that_expire_soon_are_told_past_those_of_which_that_cannot_be_read() {
    let file = Damaged::new().await;
    let mut ids = Vec::new();
    for days in 1..=6 {
        ids.push(file.create(days).await.id);
    }
    for (place, sql) in [
        (0, "UPDATE ~keys SET org = '' WHERE id = $1"),
        (1, "UPDATE ~keys SET state = 'Activ' WHERE id = $1"),
        (3, "UPDATE ~keys SET id = '00000000-0000-0000-0000-000000000000' WHERE id = $1"),
    ] {
        file.tamper(sql, ids[place]).await;
    }
    // What nobody is told of may be beyond reading.
    file.tamper("UPDATE ~keys SET name = '', metadata = '', capabilities = 'Not A Set' WHERE id = $1", ids[4]).await;
    let store = file.open().await;
    let now = file.fixture.clove.now();
    for limit in 1..=4 {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = store.expiring_soon(now.into(), (now + TimeDelta::days(9)).into(), after, limit).await.unwrap();
            seen.extend(page.iter().map(|key| key.id));
            after = page.last().map(|last| (last.expires_at, last.id));
            if page.len() < limit {
                break;
            }
        }
        assert_eq!(seen, [ids[2], ids[4], ids[5]]);
    }
}

#[tokio::test]
async fn pages_by_expiry_go_on_after_a_row_that_cannot_be_read_and_name_it_once() {
    let file = Damaged::new().await;
    let mut ids = Vec::new();
    for days in 1..=5 {
        ids.push(file.create(days).await.id);
    }
    for place in [1, 2, 4] {
        file.tamper("UPDATE ~keys SET capabilities = 'Not A Set' WHERE id = $1", ids[place]).await;
    }
    for limit in 1..=6 {
        let (mut seen, mut corrupt, mut after) = (Vec::new(), Vec::new(), None);
        loop {
            let (clove, owner) = (&file.fixture.clove, &file.fixture.owner);
            let page = clove.expiring(owner, TimeDelta::days(9), Some(limit), after.as_ref()).await.unwrap();
            assert!(page.items.len() + page.corrupt.len() <= limit, "{limit} a page");
            seen.extend(page.items.iter().map(|key| key.id));
            corrupt.extend(page.corrupt);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, [ids[0], ids[3]], "{limit} a page");
        assert_eq!(corrupt, [1, 2, 4].map(|place| CorruptRow::Key(ids[place])), "{limit} a page");
    }
}

/// What can be wrong with a row while it still tells whose it is.
const DAMAGES: [&str; 12] = [
    "UPDATE ~keys SET name = chr(7) WHERE id = $1",
    "UPDATE ~keys SET description = chr(7) WHERE id = $1",
    "UPDATE ~keys SET capabilities = 'Not A Set' WHERE id = $1",
    "UPDATE ~keys SET created_at = 9223372036854775807 WHERE id = $1",
    "UPDATE ~keys SET expires_at = 9223372036854775807 WHERE id = $1",
    "UPDATE ~keys SET last_used_at = -9223372036854775808 WHERE id = $1",
    "UPDATE ~keys SET state = 'undead' WHERE id = $1",
    "UPDATE ~keys SET expiry_latched = NULL WHERE id = $1",
    "UPDATE ~keys SET revision = -1 WHERE id = $1",
    "UPDATE ~secrets SET digest = '\\x00' WHERE key_id = $1",
    "UPDATE ~secrets SET scheme = 'rot13' WHERE key_id = $1",
    "UPDATE ~secrets SET valid_until = 9223372036854775807 WHERE key_id = $1",
];

#[tokio::test]
async fn a_row_that_cannot_be_read_is_deleted_with_its_secrets_its_event_and_its_place() {
    for damage in DAMAGES {
        let file = Damaged::new().await;
        let (clove, owner, by) = (&file.fixture.clove, &file.fixture.owner, &file.fixture.by);
        let (broken, sound) = (file.create(9).await, file.create(9).await);
        file.tamper(damage, broken.id).await;
        let read = clove.edit(owner, broken.id, 1, Edit::new(), by).await;
        let named = |row: &CorruptRow| *row == CorruptRow::Key(broken.id);
        assert!(matches!(&read, Err(Error::Store(StoreError::Corrupt { row, .. })) if named(row)), "{damage}: {read:?}");
        let operation = OperationId::new(clove.now());
        let by = by.clone().operation(operation);
        for _ in 0..2 {
            clove.delete(owner, broken.id, &by).await.unwrap_or_else(|error| panic!("{damage}: {error}"));
        }
        assert_eq!(file.fixture.keys().await.unwrap(), std::slice::from_ref(&sound), "{damage}");
        let counts = "SELECT held, records, (SELECT count(*) FROM ~secrets) FROM ~owners";
        assert_eq!(file.rows(counts).await, ["1 1 1"], "{damage}");
        let event = clove.audit(owner, &ListAudit::default()).await.unwrap().items.remove(0);
        let audited = event.key.unwrap();
        assert_eq!((event.action, event.operation, audited.id), (Action::Delete, operation, broken.id), "{damage}");
        let name = if damage.contains("SET name") { "(unreadable)" } else { "a key" };
        assert_eq!((audited.name.as_str(), audited.to), (name, None), "{damage}");
    }
}

/// What can be wrong with an owner's row while it still tells whether the owner is open.
const DAMAGED_OWNERS: [&str; 5] = [
    "UPDATE ~owners SET held = -1 WHERE $1 = $1",
    "UPDATE ~owners SET records = 9223372036854775807 WHERE $1 = $1",
    "UPDATE ~owners SET active_limit = -9 WHERE $1 = $1",
    "UPDATE ~owners SET creation_day = 9223372036854775807 WHERE $1 = $1",
    "UPDATE ~owners SET creations = -1 WHERE $1 = $1",
];

/// What can be wrong where a row is to tell whether an owner, or an organization, is open.
const DAMAGED_FLAGS: [&str; 4] = [
    "UPDATE ~owners SET open = NULL WHERE $1 = $1",
    "DELETE FROM ~owners WHERE $1 = $1",
    "UPDATE ~organizations SET open = NULL WHERE $1 = $1",
    "DELETE FROM ~organizations WHERE $1 = $1",
];

#[tokio::test]
async fn what_cannot_be_read_keeps_no_key_alive() {
    use Action::{Delete, Disable, FlagCompromised, ReportLeaked, Revoke};
    for damage in DAMAGES.into_iter().chain(DAMAGED_OWNERS).chain(DAMAGED_FLAGS) {
        let file = Damaged::new().await;
        for command in [Disable, Revoke, FlagCompromised, ReportLeaked, Delete] {
            file.clear().await;
            let (clove, owner, by) = (&file.fixture.clove, &file.fixture.owner, &file.fixture.by);
            let issued = file.fixture.key_in(Status::Active).await.unwrap();
            let (id, credential) = (issued.key.id, issued.credential.unwrap().reveal().to_string());
            file.tamper(damage, id).await;
            let verified = clove.verify(&credential).await;
            if command == ReportLeaked && verified.is_err() {
                // Where no secret can be proven, a report tells nothing of the key.
                continue;
            }
            let by = by.clone().operation(OperationId::new(clove.now()));
            for _ in 0..2 {
                let result = match command {
                    Disable => clove.disable(owner, id, &by).await.map(|stopped| assert!(stopped.changed)),
                    Revoke => clove.revoke(owner, id, &by).await.map(|stopped| assert!(stopped.changed)),
                    FlagCompromised => clove.flag_compromised(owner, id, &by).await.map(|stopped| assert!(stopped.changed)),
                    ReportLeaked => clove.report_leaked(&credential, &by).await,
                    _ => clove.delete(owner, id, &by).await,
                };
                match result {
                    Err(Error::Refused(Refusal::Unreadable { .. })) => {
                        assert_eq!((command, damage.contains("SET state")), (Disable, true), "{damage}");
                    }
                    result => result.unwrap_or_else(|error| panic!("{command}, {damage}: {error}")),
                }
            }
            let verified = clove.verify(&credential).await;
            assert!(!verified.is_ok_and(|verdict| verdict.granted().is_some()), "{command}, {damage}");
            let trail = clove.audit(owner, &ListAudit::default()).await.unwrap();
            let refused = command == Disable && damage.contains("SET state");
            assert_eq!(trail.items.iter().filter(|event| event.action == command).count(), usize::from(!refused), "{damage}");
        }
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_read_keeps_no_other_leaked_key_alive() {
    let file = Damaged::new().await;
    let (clove, owner, by) = (&file.fixture.clove, &file.fixture.owner, &file.fixture.by);
    let [broken, sound] =
        [file.fixture.key_in(Status::Active).await.unwrap(), file.fixture.key_in(Status::Active).await.unwrap()];
    file.tamper("UPDATE ~keys SET revision = -1 WHERE id = $1", broken.key.id).await;
    let text = [broken, sound].map(|issued| (issued.key.id, issued.credential.unwrap()));
    let log = format!("{} {}", text[0].1.secret().reveal(), text[1].1.secret().reveal());
    let reported = clove.report_leaked(log, by).await;
    assert!(matches!(reported, Err(Error::Fault(Fault::Store(StoreError::Corrupt { .. })))), "{reported:?}");
    assert_eq!(clove.get(owner, text[1].0).await.unwrap().state, KeyState::Compromised);
}

#[tokio::test]
async fn a_cost_that_is_too_low_for_new_secrets_is_good_for_old_ones_and_one_that_no_hash_has_is_corrupt() {
    let file = Damaged::under(Policy::builder().imports(GuessLimit::default()).build().unwrap()).await;
    let fixture = &file.fixture;
    let new = NewKey::named("moved in").unwrap();
    let issued = fixture.clove.import(&fixture.owner, new, Secret::from_foreign("from-elsewhere".into()), &fixture.by).await;
    let credential = issued.unwrap().credential.unwrap().reveal();
    for (cost, is_cost) in [("8192,1,1", true), ("8,1,1", true), ("7,1,1", false), ("0,1,1", false), ("8,1,8", false)] {
        file.execute(&format!("UPDATE ~secrets SET argon2_cost = '{cost}'")).await;
        // Of another cost the digest is another; that it was reckoned is told by the answer.
        let verified = fixture.clove.verify(&*credential).await;
        let is_corrupt = matches!(&verified, Err(Fault::Store(StoreError::Corrupt { .. })));
        assert!(if is_cost { verified.is_ok() } else { is_corrupt }, "{cost}: {verified:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_of_a_stopped_key_is_kept_as_it_is() {
    const REST: &str = "SELECT org, account, name, description, capabilities, metadata, created_at, expires_at, last_used_at, \
                        expiry_latched FROM ~keys";
    for damage in DAMAGES {
        let file = Damaged::new().await;
        let key = file.create(9).await;
        file.tamper(damage, key.id).await;
        let before = file.rows(REST).await;
        file.fixture.clove.revoke(&file.fixture.owner, key.id, &file.fixture.by).await.unwrap();
        let revision = if damage.contains("revision") { 1 } else { 2 };
        assert_eq!(file.rows(REST).await, before, "{damage}");
        assert_eq!(file.rows("SELECT state, revision FROM ~keys").await, [format!("revoked {revision}")], "{damage}");
    }
}

#[tokio::test]
async fn an_owner_whose_row_cannot_be_read_is_closed() {
    for damage in DAMAGED_OWNERS {
        let file = Damaged::new().await;
        let (clove, owner, by) = (&file.fixture.clove, &file.fixture.owner, &file.fixture.by);
        let issued = file.fixture.key_in(Status::Active).await.unwrap();
        let credential = issued.credential.unwrap().reveal().to_string();
        file.tamper(damage, issued.key.id).await;
        // An active limit is read with a key: its account's request limits follow from it.
        let is_granted = async || clove.verify(&credential).await.is_ok_and(|verdict| verdict.granted().is_some());
        assert_eq!(is_granted().await, !damage.contains("active_limit"), "{damage}");
        assert!(clove.close_owner(owner, by).await.unwrap().changed, "{damage}");
        assert!(!is_granted().await, "{damage}");
        assert!(!clove.close_owner(owner, by).await.unwrap().changed, "{damage}");
        let refused = clove.reopen_owner(owner, by).await;
        assert!(matches!(refused, Err(Error::Refused(Refusal::Unreadable { id })) if id == issued.key.id), "{refused:?}");
        clove.revoke(owner, issued.key.id, by).await.unwrap();
        assert!(clove.reopen_owner(owner, by).await.unwrap(), "{damage}");
        assert!(!is_granted().await, "{damage}");
    }
}

fn is_corrupt<T>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::Store(StoreError::Corrupt { row: CorruptRow::Owner | CorruptRow::Organization, .. })))
}

#[tokio::test]
async fn behind_a_flag_that_cannot_be_read_nothing_is_granted_or_comes_to_life() {
    for damage in DAMAGED_FLAGS {
        let file = Damaged::new().await;
        let (clove, owner, by) = (&file.fixture.clove, &file.fixture.owner, &file.fixture.by);
        let issued = file.fixture.key_in(Status::Active).await.unwrap();
        let (id, credential) = (issued.key.id, issued.credential.unwrap().reveal());
        let suspended = file.fixture.key_in(Status::Suspended).await.unwrap().key.id;
        file.tamper_all(damage).await;
        let fault = clove.verify(&*credential).await;
        assert!(matches!(&fault, Err(Fault::Store(StoreError::Corrupt { .. }))), "{damage}: {fault:?}");
        assert!(is_corrupt(clove.create(owner, NewKey::named("new").unwrap(), by).await), "{damage}");
        assert!(is_corrupt(clove.enable(owner, suspended, by).await), "{damage}");
        assert!(is_corrupt(clove.rotate(owner, id, 1, TimeDelta::zero(), by).await), "{damage}");
        assert!(is_corrupt(clove.set_active_limit(owner, None, by).await), "{damage}");
    }
}

#[tokio::test]
async fn what_cannot_be_said_to_be_open_is_closed_before_it_is_reopened() {
    for damage in DAMAGED_FLAGS {
        let file = Damaged::new().await;
        let (clove, owner, by) = (&file.fixture.clove, &file.fixture.owner, &file.fixture.by);
        let credential = file.fixture.key_in(Status::Active).await.unwrap().credential.unwrap().reveal();
        file.tamper_all(damage).await;
        for _ in 0..2 {
            let refused = if damage.contains("owners") {
                clove.reopen_owner(owner, by).await
            } else {
                clove.reopen_organization(&owner.organization, by).await
            };
            assert!(matches!(refused, Err(Error::Refused(Refusal::FlagUnreadable))), "{damage}: {refused:?}");
        }
        let (closed, reopened) = if damage.contains("owners") {
            (clove.close_owner(owner, by).await, clove.reopen_owner(owner, by).await)
        } else {
            let organization = &owner.organization;
            (clove.close_organization(organization, by).await, clove.reopen_organization(organization, by).await)
        };
        assert_eq!(closed.unwrap(), Closed { changed: true, revoked: 1, unreadable: None }, "{damage}");
        assert!(reopened.unwrap(), "{damage}");
        let reason = clove.verify(&*credential).await.unwrap().denied().unwrap().reason().clone();
        assert_eq!(reason, DenialReason::Revoked, "{damage}");
        clove.create(owner, NewKey::named("afterwards").unwrap(), by).await.unwrap();
    }
}

#[tokio::test]
async fn an_owner_is_closed_whatever_has_become_of_its_organization() {
    for damage in &DAMAGED_FLAGS[2..] {
        let file = Damaged::new().await;
        let (clove, owner, by) = (&file.fixture.clove, &file.fixture.owner, &file.fixture.by);
        let credential = file.fixture.key_in(Status::Active).await.unwrap().credential.unwrap().reveal();
        file.tamper_all(damage).await;
        let wanted = Closed { changed: true, revoked: 1, unreadable: None };
        assert_eq!(clove.close_owner(owner, by).await.unwrap(), wanted, "{damage}");
        assert!(clove.verify(&*credential).await.is_err(), "{damage}: what the organization is stays unknown");
    }
}

#[tokio::test]
async fn a_close_names_the_first_key_that_it_could_not_revoke() {
    for damage in [DAMAGES[0], DAMAGES[9]] {
        let file = Damaged::new().await;
        let (clove, owner, by) = (&file.fixture.clove, &file.fixture.owner, &file.fixture.by);
        let keys = [file.create(9).await.id, file.create(9).await.id, file.create(9).await.id];
        file.tamper(damage, keys[1]).await;
        file.tamper(damage.replace("x00", "x01").as_str(), keys[2]).await;
        let closed = clove.close_owner(owner, by).await.unwrap();
        assert_eq!(closed, Closed { changed: true, revoked: 1, unreadable: Some(keys[1]) }, "{damage}");
    }
}

#[tokio::test]
async fn a_close_names_a_key_whose_owner_cannot_be_read() {
    let file = Damaged::new().await;
    let (clove, owner, by) = (&file.fixture.clove, &file.fixture.owner, &file.fixture.by);
    let key = file.create(9).await.id;
    file.tamper_all(DAMAGED_FLAGS[0]).await;
    let closed = clove.close_organization(&owner.organization, by).await.unwrap();
    assert_eq!(closed, Closed { changed: true, revoked: 0, unreadable: Some(key) });
    let refused = clove.reopen_organization(&owner.organization, by).await;
    assert!(matches!(refused, Err(Error::Refused(Refusal::Unreadable { id })) if id == key), "{refused:?}");
    assert_eq!(clove.close_owner(owner, by).await.unwrap().revoked, 1);
    assert!(clove.reopen_organization(&owner.organization, by).await.unwrap());
}

#[tokio::test]
async fn a_foreign_row_that_cannot_be_read_is_none_and_one_that_tells_no_owner_stays() {
    let file = Damaged::new().await;
    let (clove, owner, by) = (&file.fixture.clove, &file.fixture.owner, &file.fixture.by);
    let broken = file.create(9).await;
    file.tamper(DAMAGES[6], broken.id).await;
    let bob = Owner::new("acme", "bob").unwrap();
    let foreign = clove.delete(&bob, broken.id, by).await;
    assert!(matches!(foreign, Err(Error::Refused(Refusal::NotFound))), "{foreign:?}");
    file.tamper("UPDATE ~keys SET account = '' WHERE id = $1", broken.id).await;
    let lost = clove.delete(&owner.organization, broken.id, by).await;
    assert!(matches!(lost, Err(Error::Store(StoreError::Corrupt { row: CorruptRow::Key(id), .. })) if id == broken.id));
}

/// Of the columns that a verification does not read, none keeps a key from being granted: behind a flag alone it is dead.
#[tokio::test]
async fn an_owner_is_not_reopened_over_a_key_that_could_not_be_revoked() {
    for damage in [DAMAGES[0], DAMAGES[4], DAMAGES[6], DAMAGES[9]] {
        let file = Damaged::new().await;
        let (clove, owner, by) = (&file.fixture.clove, &file.fixture.owner, &file.fixture.by);
        let (broken, sound) = (file.create(9).await, file.create(9).await);
        file.tamper(damage, broken.id).await;
        assert_eq!(clove.close_owner(owner, by).await.unwrap().revoked, 1, "{damage}");
        for _ in 0..2 {
            let refused = clove.reopen_owner(owner, by).await;
            let Err(Error::Refused(Refusal::Unreadable { id })) = refused else { panic!("{damage}: {refused:?}") };
            assert_eq!(id, broken.id, "{damage}");
        }
        clove.revoke(owner, broken.id, by).await.unwrap();
        assert!(clove.reopen_owner(owner, by).await.unwrap(), "{damage}");
        assert_eq!(clove.get(owner, sound.id).await.unwrap().state, KeyState::Revoked);
    }
}

#[tokio::test]
async fn a_key_whose_texts_the_rules_of_today_refuse_stays_good() {
    let file = Damaged::new().await;
    let key = file.create(9).await;
    for (column, text) in [("name", "pаypal \u{202e}"), ("description", "a\u{200b}b"), ("metadata", "not json")] {
        file.tamper(&format!("UPDATE ~keys SET {column} = '{text}' WHERE id = $1"), key.id).await;
    }
    let read = file.fixture.clove.get(&file.fixture.owner, key.id).await.unwrap();
    assert_eq!((read.name.as_str(), read.metadata.as_str()), ("pаypal \u{202e}", "not json"));
    file.fixture.clove.revoke(&file.fixture.owner, key.id, &file.fixture.by).await.unwrap();
    let trail = file.fixture.clove.audit(&file.fixture.owner, &clove_core::ListAudit::default()).await.unwrap();
    assert_eq!((trail.items.len(), trail.corrupt.len()), (2, 0));
}

#[tokio::test]
async fn metadata_that_no_version_stored_is_corrupt() {
    let file = Damaged::new().await;
    let key = file.create(9).await;
    file.tamper("UPDATE ~keys SET metadata = repeat('1', 5000) WHERE id = $1", key.id).await;
    let page = file.fixture.clove.list(&file.fixture.owner, &clove_core::ListKeys::default()).await.unwrap();
    assert_eq!(page.corrupt, [CorruptRow::Key(key.id)]);
}

#[tokio::test]
async fn the_trail_names_an_unreadable_key_by_a_name_that_the_rules_of_today_refuse() {
    let file = Damaged::new().await;
    let key = file.create(9).await;
    file.tamper("UPDATE ~keys SET name = 'pаypal \u{202e}', state = 'undead' WHERE id = $1", key.id).await;
    file.fixture.clove.delete(&file.fixture.owner, key.id, &file.fixture.by).await.unwrap();
    let trail = file.fixture.clove.audit(&file.fixture.owner, &ListAudit::default()).await.unwrap();
    assert_eq!(trail.items[0].key.as_ref().unwrap().name.as_str(), "pаypal \u{202e}");
}
