//! What the server undoes, as it does with a transaction that lost against another, is done again, and not without end.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use clove_core::{By, CapabilitySet, Clove, Error, KeyId, KeyState, NewKey, Owner, Policy, StoreError};
use clove_store_postgres::DriverError;
use std::time::{Duration, Instant};
use support::{Operator, Schemas, Way};

/// Serialization failures and deadlocks.
const CODES: [&str; 2] = ["40001", "40P01"];
/// How often a transaction is begun at most.
const ATTEMPTS: i64 = 8;
/// More than all pauses between attempts, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(5);

/// A store with one key.
struct Bench {
    clove: Clove,
    owner: Owner,
    key: KeyId,
    operator: Operator,
    _schemas: Schemas,
}

fn by() -> By {
    By::new("ada", "a test").unwrap().may_grant(CapabilitySet::all())
}

impl Bench {
    async fn new(way: Way) -> Self {
        let schemas = Schemas::new(way);
        let name = schemas.name();
        let store = schemas.options_of(&name).partitions(false).open().await.unwrap();
        let (clove, owner) = (Clove::new(store, Policy::profile_b()), Owner::new("acme", "ada").unwrap());
        let key = clove.create(&owner, NewKey::named("a key").unwrap(), &by()).await.unwrap().key.id;
        Self { clove, owner, key, operator: Operator::of(&name).await, _schemas: schemas }
    }

    /// Has the server undo what writes a key so many times, by its statement or only by its commit.
    async fn undo(&mut self, times: i64, code: &str, at_commit: bool) {
        let trigger = match at_commit {
            true => "CONSTRAINT TRIGGER undo AFTER INSERT OR UPDATE ON ~keys DEFERRABLE INITIALLY DEFERRED",
            false => "TRIGGER undo BEFORE INSERT OR UPDATE ON ~keys",
        };
        // A sequence counts what is undone, too.
        let undo = format!(
            "DROP SEQUENCE IF EXISTS ~tries; CREATE SEQUENCE ~tries; DROP TRIGGER IF EXISTS undo ON ~keys;
             CREATE OR REPLACE FUNCTION ~undo() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF nextval('~tries') <= {times} THEN RAISE EXCEPTION 'undone' USING ERRCODE = '{code}'; END IF;
                 RETURN NEW;
             END $$;
             CREATE {trigger} FOR EACH ROW EXECUTE FUNCTION ~undo()"
        );
        self.operator.execute(&undo).await;
    }

    async fn tries(&mut self) -> i64 {
        self.operator.number("SELECT last_value FROM ~tries").await
    }

    async fn state(&self) -> KeyState {
        self.clove.get(&self.owner, self.key).await.unwrap().state
    }
}

#[tokio::test]
async fn a_command_that_is_undone_three_times_succeeds() {
    for way in [Way::Direct, Way::Pooled] {
        let mut bench = Bench::new(way).await;
        for (code, at_commit) in CODES.into_iter().flat_map(|code| [(code, false), (code, true)]) {
            bench.undo(3, code, at_commit).await;
            bench.clove.disable(&bench.owner, bench.key, &by()).await.unwrap_or_else(|error| panic!("{way:?} {code}: {error:?}"));
            assert_eq!((bench.state().await, bench.tries().await), (KeyState::Suspended, 4), "{way:?} {code}");
            bench.undo(3, code, at_commit).await;
            bench.clove.create(&bench.owner, NewKey::named("another").unwrap(), &by()).await.unwrap();
            assert_eq!(bench.tries().await, 4, "{way:?} {code}");
            bench.undo(0, code, at_commit).await;
            bench.clove.enable(&bench.owner, bench.key, &by()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_command_that_is_always_undone_ends_in_an_error_in_time() {
    for way in [Way::Direct, Way::Pooled] {
        let mut bench = Bench::new(way).await;
        for (code, at_commit) in CODES.into_iter().flat_map(|code| [(code, false), (code, true)]) {
            bench.undo(i64::MAX, code, at_commit).await;
            let began = Instant::now();
            let failed = bench.clove.disable(&bench.owner, bench.key, &by()).await.unwrap_err();
            assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
            let Error::Store(StoreError::Unavailable { source: Some(source), .. }) = &failed else { panic!("{failed:?}") };
            let said = source.downcast_ref::<DriverError>();
            assert!(matches!(said, Some(DriverError::Server { code: found, .. }) if found == code), "{failed:?}");
            assert_eq!((bench.state().await, bench.tries().await), (KeyState::Active, ATTEMPTS), "{way:?} {code}");
        }
    }
}
