//! Files with very many keys, made in a moment.

use crate::{fixture, limits};
use clove_core::Owner;
use clove_store_sqlite::SqliteStore;
use rusqlite::{Connection, params};
use std::path::Path;

/// What the keys of a file look like.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) capabilities: &'static str,
    /// The owner by its number.
    pub(crate) owner: fn(u64) -> Owner,
    /// How many owners share so many keys.
    pub(crate) owners: fn(u64) -> u64,
}

impl Shape {
    /// Short texts, and a thousand owners.
    pub(crate) const SHORT: Self = Self { name: "bench", capabilities: "", owner: fixture::owner, owners: |_| 1_000 };

    /// What is called a typical key: a name of 20 bytes, an organization of 16, an account of 24 and three capabilities, two keys an
    /// account.
    pub(crate) const TYPICAL: Self = Self {
        name: "production-gateway-1",
        capabilities: "chat:write files:read models:list",
        owner: |number| Owner::new("acme-corporation", format!("account-of-user-{number:08}")).expect("an owner"),
        owners: |keys| keys / 2,
    };
}

/// Makes a file, and writes rows as the store would, in one transaction that need not be safe.
pub(crate) fn fill(runtime: &tokio::runtime::Runtime, path: &Path, keys: u64, shape: &Shape) {
    // Makes the schema; then nothing but the filling has the file open.
    let store = SqliteStore::open(path).expect("a store");
    runtime.block_on(store.close());
    let mut connection = Connection::open(path).expect("a connection");
    connection
        .execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -1000000")
        .expect("pragmas for filling");
    let transaction = connection.transaction().expect("a transaction");
    {
        let prepare = |sql| transaction.prepare(sql).expect("a statement for the store's schema");
        let mut owner = prepare(
            "INSERT INTO owners (org, account, open, held, records, active_limit, creation_day, creations)
             VALUES (?1, ?2, 1, ?3, ?3, NULL, 20454, ?3)",
        );
        let mut key = prepare(
            "INSERT INTO keys (id, org, account, name, description, capabilities, metadata, created_at, expires_at,
                               last_used_at, state, expiry_latched, revision)
             VALUES (?1, ?2, ?3, ?6, '', ?7, '', ?4, ?5, NULL, 'active', 0, 1)",
        );
        let mut secret = prepare(
            "INSERT INTO secrets (key_id, digest, scheme, pepper, argon2_cost, argon2_salt, valid_until)
             VALUES (?1, ?2, 'sha256', NULL, NULL, NULL, NULL)",
        );
        let owners: Vec<_> = (0..(shape.owners)(keys)).map(shape.owner).collect();
        transaction
            .execute("INSERT INTO organizations (id, open) VALUES (?1, 1)", [owners[0].organization.as_str()])
            .expect("a row");
        let each = keys as usize / owners.len();
        for of in &owners {
            owner.execute(params![of.organization.as_str(), of.account.as_str(), each as i64]).expect("a row");
        }
        let now = chrono::Utc::now();
        let (created, expires) = (now.timestamp_micros(), (now + chrono::TimeDelta::days(90)).timestamp_micros());
        for number in 0..keys {
            let (id, of) = (fixture::key_id(number), &owners[number as usize % owners.len()]);
            let (organization, account) = (of.organization.as_str(), of.account.as_str());
            // A microsecond apart, as no two keys of one owner expire together.
            let (created, expires) = (created + number as i64, expires + number as i64);
            key.execute(params![id.as_bytes(), organization, account, created, expires, shape.name, shape.capabilities])
                .expect("a row");
            secret.execute(params![id.as_bytes(), limits::sha256(fixture::secret(number).as_bytes())]).expect("a row");
        }
    }
    transaction.commit().expect("a commit");
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).expect("write-ahead logging");
}
