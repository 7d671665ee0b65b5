//! The limits: the same rows, read and written by bare statements through the driver's own pool.

use super::server::Schema;
use clove_core::{KeyId, Owner};
use sqlx::{AssertSqlSafe, PgPool, Row, SqlSafeStr, SqlStr};
use std::{hint::black_box, sync::Arc};
use uuid::Uuid;

/// For `verify-pg-lone`: a prepared point SELECT of what a verification needs.
#[derive(Clone)]
pub(crate) struct BareRead {
    pool: PgPool,
    sql: SqlStr,
}

impl BareRead {
    pub(crate) fn new(pool: PgPool, schema: &Schema) -> Self {
        let sql = "SELECT k.id, k.org, k.account, k.capabilities, k.state, k.expires_at, k.expiry_latched, k.revision, o.open, g.open, \
                   k.limits, o.request_limits, o.active_limit, s.digest, s.scheme, s.pepper, s.argon2_cost, s.argon2_salt, s.valid_until \
                   FROM ~keys k JOIN ~secrets s ON s.key_id = k.id JOIN ~owners o ON o.org = k.org AND o.account = k.account \
                   JOIN ~organizations g ON g.id = k.org WHERE k.id = $1";
        Self { pool, sql: of_schema(sql, schema) }
    }

    /// The row, and its digest compared.
    pub(crate) async fn verify(&self, id: Uuid, secret: &str) {
        let digest = crate::fixture::sha256(secret);
        let rows = sqlx::query(self.sql.clone()).bind(id).fetch_all(&self.pool).await.expect("a row");
        assert_eq!(black_box(&rows)[0].get_unchecked::<&[u8], _>(13), digest);
    }
}

/// For `create-pg-32`: one statement that writes what a creation writes.
#[derive(Clone)]
pub(crate) struct BareCreate {
    pool: PgPool,
    sql: SqlStr,
}

impl BareCreate {
    pub(crate) fn new(pool: PgPool, schema: &Schema) -> Self {
        let sql = "WITH place AS (INSERT INTO ~owners AS o (org, account, open, held, records, active_limit, creation_day, creations, \
                   request_limits) VALUES ($1, $2, true, 1, 1, NULL, $3, 1, '') ON CONFLICT (org, account) DO UPDATE \
                   SET held = o.held + 1, records = o.records + 1, creations = o.creations + 1 WHERE o.open AND o.held < 2 RETURNING 1), \
                   key AS (INSERT INTO ~keys (id, org, account, name, description, capabilities, metadata, created_at, expires_at, \
                   last_used_at, state, expiry_latched, revision, limits) SELECT $4, $1, $2, 'bench', '', '', '', $5, $5 + 7776000000000, \
                   NULL, 'active', false, 1, '' FROM place), \
                   secret AS (INSERT INTO ~secrets (key_id, digest, scheme, pepper, argon2_cost, argon2_salt, valid_until) \
                   SELECT $4, $6, 'sha256', NULL, NULL, NULL, NULL FROM place), \
                   operation AS (INSERT INTO ~operations (id, event) SELECT $7, $8 FROM place) \
                   INSERT INTO ~audit (id, operation, at, actor, reason, action, org, account, key_id, key_name, from_state, to_state, \
                   changed, detail, arguments) SELECT $8, $7, $5, 'bench', 'measuring', 'create', $1, $2, $4, 'bench', NULL, 'active', \
                   true, 'expires 2027-01-01, may do nothing', '\\x0000000000000000'::bytea FROM place";
        Self { pool, sql: of_schema(sql, schema) }
    }

    pub(crate) async fn create(&self, owner: &Owner, number: u64) {
        const DAY: i64 = 86_400_000_000;
        let now = chrono::Utc::now();
        let id = || KeyId::new(now).as_uuid();
        let create = sqlx::query(self.sql.clone())
            .bind(owner.organization.as_str())
            .bind(owner.account.as_str())
            .bind(now.timestamp_micros() / DAY)
            .bind(id())
            .bind(now.timestamp_micros())
            .bind(crate::fixture::sha256(crate::fixture::secret(number)).to_vec())
            .bind(id())
            .bind(id());
        assert_eq!(create.execute(&self.pool).await.expect("a key").rows_affected(), 1);
    }
}

fn of_schema(sql: &str, schema: &Schema) -> SqlStr {
    AssertSqlSafe(Arc::<str>::from(sql.replace('~', &format!("{}.", schema.name())))).into_sql_str()
}
