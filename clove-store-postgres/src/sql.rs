//! The statements. `~` before a table stands for the schema's name, since a pooler keeps no search path. Only what Postgres,
//! CockroachDB and YugabyteDB have in common: see the tests below.

#[macro_use]
mod parts;

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};
use std::sync::Arc;

macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident: $sql:expr,)*) => {
        /// All statements, for one schema.
        pub(crate) struct Statements {
            $($(#[$doc])* pub(crate) $name: SqlStr,)*
        }

        impl Statements {
            /// With this before each table: a quoted name and a dot.
            pub(crate) fn new(schema: &str) -> Self {
                Self { $($name: of_schema($sql, schema),)* }
            }
        }

        /// Each statement's name and text.
        pub const ALL: &[(&str, &str)] = &[$((stringify!($name), $sql)),*];
    };
}

/// The most last uses, places to be given back, or rows that are forgotten, of one transaction: others wait for no more than that.
pub(crate) const SLICE: usize = slice!();

/// Tables that a statement may read whole: they hold a row, one for each node, or one for each shard of owners.
pub const READ_WHOLE: [&str; 5] = ["nodes", "freshness", "roll", "roll_nodes", "epochs"];

/// A statement's text for one schema.
pub(crate) fn of_schema(sql: &str, schema: &str) -> SqlStr {
    AssertSqlSafe(Arc::<str>::from(sql.replace('~', schema))).into_sql_str()
}

// Pages go by all columns of their index, compared as one and in its order, and not by an equal organization and the order of ids:
// else a planner may think it quicker to go through everybody's keys by id until enough are the organization's, and where it has few,
// or none, that is the whole table.

statements! {
    /// What verifications read by key id, a row a secret. Each id has a row, and each step is taken for it: whether there is such a
    /// key is not to be told by the time it takes. The list is a query of its own, so that its length is hidden from the planner: a
    /// plan that is made for one id is thought cheaper than the one for any list, and Postgres would make it anew each time,
    /// which costs more than all the reading.
    find_by_id: concat!(candidate_columns!(), ", i.id FROM unnest((SELECT $1::uuid[])) AS i(id) ", candidate_of_id!()),
    /// The same of one id, for a verification that is alone: without a list in between it is the server's shortest way.
    find_one_by_id: concat!(candidate_columns!(), ", i.id FROM (SELECT $1::uuid) AS i(id) ", candidate_of_id!()),
    /// What verifications read by digests, listed in the same way. One of a slow hash is not one that a bare secret could be looked up by.
    find_by_digest: concat!(
        candidate_columns!(),
        ", i.digest FROM unnest((SELECT $1::bytea[])) AS i(digest) JOIN ~secrets s ON s.digest = i.digest AND s.argon2_salt IS NULL \
         JOIN ~keys k ON k.id = s.key_id LEFT JOIN ~owners o ON o.org = k.org AND o.account = k.account \
         LEFT JOIN ~organizations g ON g.id = k.org"
    ),
    key_by_id: concat!(key_columns!(), "WHERE k.id = $1"),
    /// The same, held until the end of the transaction.
    lock_key: concat!(key_columns!(), "WHERE k.id = $1 FOR UPDATE"),
    expired_places: concat!(key_columns!(), expired_places!()),
    count_others: concat!(
        "SELECT count(*), count(*) FILTER (WHERE ",
        holds_place!(),
        ") FROM ~keys k WHERE k.org = $1 AND k.account = $2 AND k.id <> $3"
    ),
    list_of_owner: concat!(
        key_columns!(), "WHERE k.org = $1 AND (k.account, k.id) >= ($2, ", nil!(), ") AND (k.account, k.id) < ($2, $6)",
        state_filter!(), expiry_filter!(), "ORDER BY k.account DESC, k.id DESC LIMIT $7"
    ),
    list_of_organization: concat!(
        key_columns!(), "WHERE (k.org, k.id) >= ($1, ", nil!(), ") AND (k.org, k.id) < ($1, $6) AND $2::text IS NULL",
        state_filter!(), expiry_filter!(), "ORDER BY k.org DESC, k.id DESC LIMIT $7"
    ),
    batch_of_owner: concat!(
        key_columns!(), "WHERE k.org = $1 AND (k.account, k.id) > ($2, $4) AND k.account <= $2", state_filter!(),
        "ORDER BY k.account, k.id LIMIT $5"
    ),
    batch_of_organization: concat!(
        key_columns!(), "WHERE (k.org, k.id) > ($1, $4) AND k.org <= $1 AND $2::text IS NULL", state_filter!(),
        "ORDER BY k.org, k.id LIMIT $5"
    ),
    /// One owner's keys are looked for among its organization's that expire in the range: an index more would cost each creation.
    expiring: concat!(
        key_columns!(),
        "WHERE k.org = $1 AND ($2::text IS NULL OR k.account = $2) AND (k.expires_at, k.id) > ($3, $4) AND k.expires_at <= $5 \
         AND k.state IN ('active', 'suspended') AND NOT k.expiry_latched ORDER BY k.expires_at, k.id LIMIT $6"
    ),
    /// Of all owners; no more of each key than it takes to tell of it.
    expiring_soon:
        "SELECT k.id, k.org, k.account, k.expires_at FROM ~keys k WHERE (k.expires_at, k.id) > ($1, $2) \
         AND k.expires_at <= $3 AND k.state IN ('active', 'suspended') AND NOT k.expiry_latched ORDER BY k.expires_at, k.id LIMIT $4",
    secrets_of_keys:
        "SELECT s.digest, s.scheme, s.pepper, s.argon2_cost, s.argon2_salt, s.valid_until, s.key_id FROM ~secrets s \
         WHERE s.key_id = ANY($1)",
    /// Held until the end of the transaction: whoever changes anything of an owner holds its row.
    lock_owner: concat!(owner_columns!(), ", o.generation FROM ~owners o WHERE o.org = $1 AND o.account = $2 FOR UPDATE"),
    /// In one order, so that no two wait for each other.
    lock_owners: concat!(
        owner_columns!(),
        " FROM ~owners o WHERE o.org = $1 AND o.account = ANY($2) ORDER BY o.account FOR UPDATE"
    ),
    /// A row to hold, where there is none yet.
    claim_owner:
        "INSERT INTO ~owners (org, account, open, held, records, creations, request_limits) VALUES ($1, $2, true, 0, 0, 0, '') \
         ON CONFLICT (org, account) DO NOTHING",
    /// Whoever goes by the row as it was until now, finds another one.
    move_owner: "UPDATE ~owners SET generation = generation + 1 WHERE org = $1 AND account = $2",
    unclaim_owner: "DELETE FROM ~owners WHERE org = $1 AND account = $2",
    /// The row, and how many of its places are held by keys that have expired: one statement sees one snapshot.
    owner_facts: concat!(
        owner_columns!(),
        ", (SELECT count(*) FROM ~keys k ",
        expired_places!(),
        ") FROM ~owners o WHERE o.org = $1 AND o.account = $2"
    ),
    /// The same of many owners, and whether their organizations are open.
    owners_at_sight: concat!(
        owner_columns!(),
        ", (SELECT count(*) FROM ~keys k WHERE k.org = o.org AND k.account = o.account AND ",
        holds_place!(),
        " AND k.expires_at IS NOT NULL AND k.expires_at <= n.latest), (SELECT g.open FROM ~organizations g WHERE g.id = o.org), \
         o.generation FROM unnest((SELECT $1::text[]), (SELECT $2::text[]), (SELECT $3::bigint[])) AS n(org, account, latest) \
         JOIN ~owners o ON o.org = n.org AND o.account = n.account"
    ),
    organization: "SELECT id, open FROM ~organizations WHERE id = $1",
    /// Held together with others who only need it to stay as it is.
    share_organization: "SELECT id, open FROM ~organizations WHERE id = $1 FOR SHARE",
    lock_organization: "SELECT id, open FROM ~organizations WHERE id = $1 FOR UPDATE",
    claim_organization: "INSERT INTO ~organizations (id, open) VALUES ($1, true) ON CONFLICT (id) DO NOTHING",
    unclaim_organization: "DELETE FROM ~organizations WHERE id = $1",
    /// Whether there is a key. Asked only where its owner's row, or its organization's, is not there.
    key_of_owner: "SELECT k.id FROM ~keys k WHERE k.org = $1 AND k.account = $2 LIMIT 1",
    key_of_organization: concat!(
        "SELECT k.id FROM ~keys k WHERE (k.org, k.id) >= ($1, ", nil!(), ") AND k.org <= $1 ORDER BY k.org, k.id LIMIT 1"
    ),

    event_by_operation: concat!(audit_columns!(), "JOIN ~operations p ON p.event = a.id WHERE p.id = $1"),
    audit_of_key: concat!(
        audit_columns!(), "WHERE (a.key_id, a.id) >= ($9, $6) AND (a.key_id, a.id) < ($9, $7) AND a.key_id IS NOT NULL AND a.org = $1 \
         AND ($2::text IS NULL OR a.account = $2)", audit_filter!(), "ORDER BY a.key_id DESC, a.id DESC LIMIT $8"
    ),
    audit_of_owner: concat!(
        audit_columns!(), "WHERE a.org = $1 AND (a.account, a.id) >= ($2, $6) AND (a.account, a.id) < ($2, $7)", audit_filter!(),
        "ORDER BY a.account DESC, a.id DESC LIMIT $8"
    ),
    audit_of_organization: concat!(
        audit_columns!(), "WHERE (a.org, a.id) >= ($1, $6) AND (a.org, a.id) < ($1, $7) AND $2::text IS NULL", audit_filter!(),
        "ORDER BY a.org DESC, a.id DESC LIMIT $8"
    ),

    /// The versions, by steps from one to the next over the index, however many secrets there are.
    peppers:
        "WITH RECURSIVE v(pepper) AS ((SELECT s.pepper FROM ~secrets s WHERE s.pepper IS NOT NULL ORDER BY s.pepper LIMIT 1) \
         UNION ALL SELECT x.pepper FROM v CROSS JOIN LATERAL (SELECT s.pepper FROM ~secrets s WHERE s.pepper IS NOT NULL \
         AND s.pepper > v.pepper ORDER BY s.pepper LIMIT 1) x) SELECT pepper FROM v",
    /// By version and key, so that no other version's secrets are gone through.
    keys_under_pepper:
        "SELECT DISTINCT s.key_id, s.pepper FROM ~secrets s WHERE (s.pepper, s.key_id) > ($1, $2) AND s.pepper <= $1 \
         ORDER BY s.pepper, s.key_id LIMIT $3",

    put_organization:
        "INSERT INTO ~organizations (id, open) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET open = excluded.open",
    put_owners:
        "INSERT INTO ~owners (org, account, open, held, records, active_limit, creation_day, creations, request_limits) \
         SELECT org, account, open, held, records, active_limit, creation_day, creations, request_limits FROM unnest($1::text[], $2::text[], $3::boolean[], \
         $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::text[]) AS n(org, account, open, held, records, \
         active_limit, creation_day, creations, request_limits) ORDER BY org, account \
         ON CONFLICT (org, account) DO UPDATE SET open = excluded.open, held = excluded.held, records = excluded.records, \
         active_limit = excluded.active_limit, creation_day = excluded.creation_day, creations = excluded.creations, \
         request_limits = excluded.request_limits",
    put_owner_flag: concat!(
        "INSERT INTO ~owners (org, account, open, held, records, creations, request_limits) SELECT $1, $2, $3, \
         count(*) FILTER (WHERE ",
        holds_place!(),
        "), count(*), 0, '' FROM ~keys k WHERE k.org = $1 AND k.account = $2 \
         ON CONFLICT (org, account) DO UPDATE SET open = excluded.open"
    ),
    /// Creates keys, each for an owner without a row, where there is none still, and where the organization is open; of the others, the
    /// owner's row as it is. One statement is one transaction, and durable; where a row is held by somebody for longer than 200 ms, it
    /// gives up, since others wait behind it. What it looks for in large tables it looks for row by row, in an order that one index
    /// has, so that a plan made when they were small does not read all of them.
    create_for_new: concat!(
        creations!("", ""),
        "w AS (INSERT INTO ~owners (org, account, open, held, records, creation_day, creations, request_limits) \
         SELECT n.org, n.account, true, n.held, n.records, n.creation_day, n.creations, '' FROM n JOIN g ON g.id = n.org \
         WHERE (SELECT k.account FROM ~keys k WHERE k.org = n.org AND k.account >= n.account ORDER BY k.account, k.id LIMIT 1) \
         IS DISTINCT FROM n.account ORDER BY n.org, n.account \
         ON CONFLICT (org, account) DO NOTHING RETURNING org, account), ",
        created!()
    ),
    /// The same for owners that have a row, each where it is as it was taken to be. Not in one statement with the new ones:
    /// CockroachDB refuses to insert into a table and update it in one.
    create_for_known: concat!(
        creations!(
            ", $32::bigint[], $33::bigint[], $34::bigint[], $35::bigint[], $36::bigint[], $37::text[], $38::bigint[]",
            ", was_held, was_records, was_limit, was_day, was_creations, was_limits, was_generation"
        ),
        "w AS (UPDATE ~owners AS o SET held = n.held, records = n.records, creation_day = n.creation_day, creations = n.creations \
         FROM n JOIN g ON g.id = n.org WHERE o.org = n.org AND o.account = n.account AND o.open \
         AND o.held = n.was_held AND o.records = n.was_records AND o.active_limit IS NOT DISTINCT FROM n.was_limit \
         AND o.creation_day IS NOT DISTINCT FROM n.was_day AND o.creations = n.was_creations AND o.request_limits = n.was_limits \
         AND o.generation = n.was_generation RETURNING o.org, o.account), ",
        created!()
    ),
    insert_keys:
        "INSERT INTO ~keys (id, org, account, name, description, capabilities, metadata, created_at, expires_at, last_used_at, state, \
         expiry_latched, revision, limits) SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], \
         $7::text[], $8::bigint[], $9::bigint[], $10::bigint[], $11::text[], $12::boolean[], $13::bigint[], $14::text[])",
    update_keys:
        "UPDATE ~keys AS k SET name = n.name, description = n.description, capabilities = n.capabilities, metadata = n.metadata, \
         expires_at = n.expires_at, state = n.state, expiry_latched = n.expiry_latched, revision = n.revision, limits = n.limits \
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::boolean[], \
         $9::bigint[], $10::text[]) AS n(id, name, description, capabilities, metadata, expires_at, state, expiry_latched, revision, \
         limits) WHERE k.id = n.id",
    stop_key: "UPDATE ~keys SET state = $2, revision = $3 WHERE id = $1",
    delete_key: "DELETE FROM ~keys WHERE id = $1",
    delete_secrets: "DELETE FROM ~secrets WHERE key_id = $1",
    insert_secrets:
        "INSERT INTO ~secrets (key_id, digest, scheme, pepper, argon2_cost, argon2_salt, valid_until) SELECT * FROM unnest($1::uuid[], \
         $2::bytea[], $3::text[], $4::bigint[], $5::text[], $6::bytea[], $7::bigint[])",
    insert_operations:
        "INSERT INTO ~operations (id, event) SELECT * FROM unnest($1::uuid[], $2::uuid[])",
    insert_events:
        "INSERT INTO ~audit (id, operation, at, actor, reason, action, org, account, key_id, key_name, from_state, to_state, changed, \
         detail, arguments) SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], \
         $8::text[], $9::uuid[], $10::text[], $11::text[], $12::text[], $13::boolean[], $14::text[], $15::bytea[])",
    rehash:
        "UPDATE ~secrets SET digest = $3, scheme = $4, pepper = $5, argon2_cost = $6, argon2_salt = $7 \
         WHERE key_id = $1 AND digest = $2 AND NOT EXISTS (SELECT 1 FROM ~secrets t WHERE t.digest = $3)",
    touch:
        "UPDATE ~keys AS k SET last_used_at = n.at FROM unnest($1::uuid[], $2::bigint[]) AS n(id, at) \
         WHERE k.id = n.id AND (k.last_used_at IS NULL OR k.last_used_at < n.at)",

    /// How many are charged to each name, held until the end of the transaction; a name that is new has none.
    lock_places:
        "INSERT INTO ~counts AS c (subject, seconds, start, places, ends) SELECT $1, n.seconds, n.start, 0, n.ends \
         FROM unnest($2::bigint[], $3::bigint[], $4::bigint[]) AS n(seconds, start, ends) ORDER BY n.seconds, n.start \
         ON CONFLICT (subject, seconds, start) DO UPDATE SET places = c.places RETURNING c.seconds, c.start, c.places",
    charge:
        "INSERT INTO ~counts AS c (subject, seconds, start, places, ends) SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], \
         $4::bigint[], $5::bigint[]) AS n(subject, seconds, start, places, ends) ORDER BY n.subject, n.seconds, n.start \
         ON CONFLICT (subject, seconds, start) DO UPDATE SET places = CASE \
         WHEN c.places > 9223372036854775807 - excluded.places THEN 9223372036854775807 ELSE c.places + excluded.places END",
    /// Whoever charges a window that slides holds its gate until the end of the transaction. It is forgotten as the window is.
    lock_gates:
        "INSERT INTO ~counts AS c (subject, seconds, start, places, ends) SELECT n.subject, n.seconds, (-9223372036854775807), 0, n.ends \
         FROM unnest($1::bytea[], $2::bigint[], $3::bigint[]) AS n(subject, seconds, ends) ORDER BY n.subject, n.seconds \
         ON CONFLICT (subject, seconds, start) DO UPDATE SET ends = CASE WHEN c.ends < excluded.ends THEN excluded.ends ELSE c.ends END",
    places_since:
        "SELECT start, places FROM ~counts WHERE subject = $1 AND seconds = $2 AND start > $3 ORDER BY start",
    give_back:
        "UPDATE ~counts AS c SET places = CASE WHEN c.places > n.places THEN c.places - n.places ELSE 0 END \
         FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[]) AS n(subject, seconds, start, places) \
         WHERE c.subject = n.subject AND c.seconds = n.seconds AND c.start = n.start",
    forget_counts: forget_rows!("counts", "subject, seconds, start", "ends", "ends <= $1"),
    count_other_nodes: "SELECT count(*) FROM ~nodes WHERE seen_at > $1 AND id <> $2",
    put_node:
        "INSERT INTO ~nodes AS n (id, seen_at) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at",
    forget_nodes: "DELETE FROM ~nodes WHERE seen_at <= $1",

    /// The last batch of a node, held until the end of the transaction; a node that is new has 0.
    lock_recorder:
        "INSERT INTO ~recorders AS r (node, sequence, day) VALUES ($1, 0, $2) \
         ON CONFLICT (node) DO UPDATE SET sequence = r.sequence RETURNING r.sequence",
    put_batch: "UPDATE ~recorders SET sequence = $2, day = $3 WHERE node = $1",
    /// What the ledger knows, held until the end of the transaction; of a grant and unit that are new, the smallest number.
    lock_reports:
        "INSERT INTO ~reports AS r (grant_id, unit, total, reserved, day) SELECT n.grant_id, n.unit, -9223372036854775807, 0, n.day \
         FROM unnest($1::uuid[], $2::text[], $3::bigint[]) AS n(grant_id, unit, day) ORDER BY n.grant_id, n.unit \
         ON CONFLICT (grant_id, unit) DO UPDATE SET total = r.total RETURNING r.grant_id, r.unit, r.total, r.reserved",
    put_reports:
        "UPDATE ~reports AS r SET total = n.total, reserved = n.reserved, day = n.day \
         FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[]) AS n(grant_id, unit, total, reserved, day) \
         WHERE r.grant_id = n.grant_id AND r.unit = n.unit",
    /// Those that are new, and not to be known of.
    unlock_reports:
        "DELETE FROM ~reports AS r USING unnest($1::uuid[], $2::text[]) AS n(grant_id, unit) \
         WHERE r.grant_id = n.grant_id AND r.unit = n.unit AND r.total = -9223372036854775807",
    /// A sum is never negative: one that is cannot be read, and is not to become one that can.
    add_usage:
        "INSERT INTO ~usage AS u (org, level, account, key_id, unit, day, total, reserved) SELECT n.org, n.level, n.account, n.key_id, \
         n.unit, n.day, n.total, 0 FROM unnest($1::text[], $2::bigint[], $3::text[], $4::uuid[], $5::text[], $6::bigint[], \
         $7::bigint[]) AS n(org, level, account, key_id, unit, day, total) ORDER BY n.org, n.level, n.account, n.key_id, n.unit, n.day \
         ON CONFLICT (org, level, account, key_id, unit, day) DO UPDATE SET total = CASE WHEN u.total < 0 THEN u.total \
         WHEN u.total > 9223372036854775807 - excluded.total THEN 9223372036854775807 ELSE u.total + excluded.total END",
    /// As sums are added to.
    add_reserved:
        "INSERT INTO ~usage AS u (org, level, account, key_id, unit, day, total, reserved) SELECT n.org, n.level, n.account, n.key_id, \
         n.unit, n.day, 0, n.reserved FROM unnest($1::text[], $2::bigint[], $3::text[], $4::uuid[], $5::text[], $6::bigint[], \
         $7::bigint[]) AS n(org, level, account, key_id, unit, day, reserved) ORDER BY n.org, n.level, n.account, n.key_id, n.unit, n.day \
         ON CONFLICT (org, level, account, key_id, unit, day) DO UPDATE SET reserved = CASE WHEN u.reserved < 0 THEN u.reserved \
         WHEN u.reserved > 9223372036854775807 - excluded.reserved THEN 9223372036854775807 ELSE u.reserved + excluded.reserved END",
    /// What cannot be read stays so, and what is at the largest amount: how much is reserved is not known any more.
    release:
        "UPDATE ~usage AS u SET reserved = CASE WHEN u.reserved > n.reserved THEN u.reserved - n.reserved ELSE 0 END \
         FROM unnest($1::text[], $2::bigint[], $3::text[], $4::uuid[], $5::text[], $6::bigint[], $7::bigint[]) \
         AS n(org, level, account, key_id, unit, day, reserved) WHERE u.org = n.org AND u.level = n.level AND u.account = n.account \
         AND u.key_id = n.key_id AND u.unit = n.unit AND u.day = n.day AND u.reserved > 0 AND u.reserved < 9223372036854775807",
    sums_of_days:
        "SELECT total, reserved FROM ~usage WHERE org = $1 AND level = $2 AND account = $3 AND key_id = $4 AND unit = $5 \
         AND day >= $6 AND day <= $7",
    budget: "SELECT choice FROM ~budgets WHERE org = $1 AND account = $2 AND unit = $3",
    lock_budget: "SELECT choice FROM ~budgets WHERE org = $1 AND account = $2 AND unit = $3 FOR UPDATE",
    claim_budget:
        "INSERT INTO ~budgets (org, account, unit, choice) VALUES ($1, $2, $3, '') ON CONFLICT (org, account, unit) DO NOTHING",
    put_budget:
        "INSERT INTO ~budgets (org, account, unit, choice) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (org, account, unit) DO UPDATE SET choice = excluded.choice",
    lock_budget_gates:
        "INSERT INTO ~gates AS g (org, level, account, key_id, unit) SELECT n.org, n.level, n.account, n.key_id, n.unit \
         FROM unnest($1::text[], $2::bigint[], $3::text[], $4::uuid[], $5::text[]) AS n(org, level, account, key_id, unit) \
         ORDER BY n.org, n.level, n.account, n.key_id, n.unit \
         ON CONFLICT (org, level, account, key_id, unit) DO UPDATE SET unit = excluded.unit",
    forget_reports: forget_rows!("reports", "grant_id, unit", "day", "day < $1"),
    forget_batches: forget_rows!("recorders", "node", "day", "day < $1"),
    series_of_all_units: series!("(u.account, u.key_id, u.unit) > (s.account, s.key_id, s.unit)", "s.unit"),
    series_of_one_unit: series!("(u.account, u.key_id) > (s.account, s.key_id)", "$12"),
    /// Whose key it is or was, for good.
    account_of_key: "SELECT account FROM ~usage WHERE level = 2 AND key_id = $1 AND org = $2 LIMIT 1",

    /// An entry that is there already stays as it is.
    log_access:
        "INSERT INTO ~access (id, at, key_id, org, account, outcome, limit_of, limit_count, limit_seconds, limit_kind, limit_left, \
         cost, endpoint) SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], \
         $8::bigint[], $9::bigint[], $10::text[], $11::bigint[], $12::bigint[], $13::text[]) ON CONFLICT (id) DO NOTHING",
    /// Among the newest 10,000 of an organization, those asked for; and how many those are, and the oldest of them.
    access:
        "WITH l AS (SELECT * FROM ~access WHERE (org, id) >= ($1, $2) AND (org, id) < ($1, $3) \
         ORDER BY org DESC, id DESC LIMIT 10000) \
         SELECT m.id, m.at, m.key_id, m.org, m.account, m.outcome, m.limit_of, m.limit_count, m.limit_seconds, m.limit_kind, \
         m.limit_left, m.cost, m.endpoint, x.looked_at, x.oldest FROM (SELECT (SELECT count(*) FROM l) AS looked_at, \
         (SELECT id FROM l ORDER BY id LIMIT 1) AS oldest) x LEFT JOIN (SELECT * FROM l WHERE ($4::text IS NULL OR account = $4) \
         AND ($5::uuid IS NULL OR key_id = $5) AND ($6::text IS NULL OR outcome = $6) ORDER BY id DESC LIMIT $7) m ON true \
         ORDER BY m.id DESC",
    forget_access: forget_range!("access", "id"),
    /// As far as no operation is left, which another node may be forgetting just now.
    forget_audit: concat!(
        forget_range!("audit", "id"),
        " AND id < COALESCE((SELECT event FROM ~operations ORDER BY event LIMIT 1), $1)"
    ),
    forget_operations: forget_range!("operations", "event"),
    operations_before: "SELECT id FROM ~operations WHERE event < $1 ORDER BY event LIMIT 1",
    /// A count only grows.
    count_unrecognized:
        "INSERT INTO ~unrecognized AS u (hour, node, count) SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::bigint[]) \
         AS n(hour, node, count) ORDER BY n.hour, n.node \
         ON CONFLICT (hour, node) DO UPDATE SET count = excluded.count WHERE excluded.count > u.count",
    unrecognized: "SELECT hour, count FROM ~unrecognized WHERE hour >= $1 AND hour < $2 ORDER BY hour",
    forget_unrecognized: forget_rows!("unrecognized", "hour, node", "hour", "hour < $1"),

    // Pages of whole parts, for moving to another store: from a row's own key on, by the table's key.
    export_organizations: "SELECT id, open FROM ~organizations WHERE id >= $1 ORDER BY id LIMIT $2",
    export_owners: concat!(
        owner_columns!(),
        " FROM ~owners o WHERE (o.org, o.account) >= ($1, $2) ORDER BY o.org, o.account LIMIT $3"
    ),
    export_keys: concat!(key_columns!(), "WHERE k.id >= $1 ORDER BY k.id LIMIT $2"),
    export_audit: concat!(audit_columns!(), "WHERE a.id >= $1 ORDER BY a.id LIMIT $2"),
    export_sums:
        "SELECT org, level, account, key_id, unit, day, total, reserved FROM ~usage \
         WHERE (org, level, account, key_id, unit, day) >= ($1, $2, $3, $4, $5, $6) \
         ORDER BY org, level, account, key_id, unit, day LIMIT $7",
    export_reports:
        "SELECT grant_id, unit, total, reserved, day FROM ~reports WHERE (grant_id, unit) >= ($1, $2) \
         ORDER BY grant_id, unit LIMIT $3",
    export_recorders: "SELECT node, sequence, day FROM ~recorders WHERE node >= $1 ORDER BY node LIMIT $2",
    export_budgets:
        "SELECT org, account, unit, choice FROM ~budgets WHERE (org, account, unit) >= ($1, $2, $3) \
         ORDER BY org, account, unit LIMIT $4",
    /// All but the gates of windows that slide, which are this store's own.
    export_counts:
        "SELECT subject, seconds, start, places FROM ~counts WHERE (subject, seconds, start) >= ($1, $2, $3) \
         AND start <> -9223372036854775807 ORDER BY subject, seconds, start LIMIT $4",
    export_access:
        "SELECT id, at, key_id, org, account, outcome, limit_of, limit_count, limit_seconds, limit_kind, limit_left, cost, endpoint \
         FROM ~access WHERE id >= $1 ORDER BY id LIMIT $2",
    export_unrecognized:
        "SELECT hour, node, count FROM ~unrecognized WHERE (hour, node) >= ($1, $2) ORDER BY hour, node LIMIT $3",
    // Only where there is none: of what another session has written meanwhile, fewer are.
    import_organizations:
        "INSERT INTO ~organizations (id, open) SELECT * FROM unnest($1::text[], $2::boolean[]) AS n(id, open) ORDER BY n.id \
         ON CONFLICT (id) DO NOTHING",
    import_owners:
        "INSERT INTO ~owners (org, account, open, held, records, active_limit, creation_day, creations, request_limits) \
         SELECT * FROM unnest($1::text[], $2::text[], $3::boolean[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], \
         $8::bigint[], $9::text[]) AS n(org, account, open, held, records, active_limit, creation_day, creations, request_limits) \
         ORDER BY n.org, n.account ON CONFLICT (org, account) DO NOTHING",
    import_sums:
        "INSERT INTO ~usage (org, level, account, key_id, unit, day, total, reserved) SELECT * FROM unnest($1::text[], $2::bigint[], \
         $3::text[], $4::uuid[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[]) \
         AS n(org, level, account, key_id, unit, day, total, reserved) \
         ORDER BY n.org, n.level, n.account, n.key_id, n.unit, n.day ON CONFLICT (org, level, account, key_id, unit, day) DO NOTHING",
    import_reports:
        "INSERT INTO ~reports (grant_id, unit, total, reserved, day) SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], \
         $4::bigint[], $5::bigint[]) AS n(grant_id, unit, total, reserved, day) ORDER BY n.grant_id, n.unit \
         ON CONFLICT (grant_id, unit) DO NOTHING",
    import_recorders:
        "INSERT INTO ~recorders (node, sequence, day) SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) \
         AS n(node, sequence, day) ORDER BY n.node ON CONFLICT (node) DO NOTHING",
    import_budgets:
        "INSERT INTO ~budgets (org, account, unit, choice) SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) \
         AS n(org, account, unit, choice) ORDER BY n.org, n.account, n.unit ON CONFLICT (org, account, unit) DO NOTHING",
    import_counts:
        "INSERT INTO ~counts (subject, seconds, start, places, ends) SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], \
         $4::bigint[], $5::bigint[]) AS n(subject, seconds, start, places, ends) ORDER BY n.subject, n.seconds, n.start \
         ON CONFLICT (subject, seconds, start) DO NOTHING",
    import_unrecognized:
        "INSERT INTO ~unrecognized (hour, node, count) SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::bigint[]) \
         AS n(hour, node, count) ORDER BY n.hour, n.node ON CONFLICT (hour, node) DO NOTHING",

    /// All in one snapshot, and whether this is the primary. The server's time is that before the snapshot.
    epochs:
        "SELECT CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS bigint), current_setting('transaction_read_only'), \
         (SELECT f.micros FROM ~freshness f), (SELECT f.longest FROM ~freshness f), \
         ARRAY(SELECT e.shard FROM ~epochs e ORDER BY e.shard), ARRAY(SELECT e.epoch FROM ~epochs e ORDER BY e.shard), \
         (SELECT r.number FROM ~roll r), \
         ARRAY(SELECT n.node FROM ~roll_nodes n ORDER BY n.node), ARRAY(SELECT n.number FROM ~roll_nodes n ORDER BY n.node)",
    /// Each takes a value that it never had: a counter, before random bits that a database which was restored to an earlier count
    /// does not come to again.
    outdate:
        "INSERT INTO ~epochs AS e (shard, epoch) SELECT n.shard, 1048576 + CAST(floor(random() * 1048576) AS bigint) \
         FROM unnest($1::bigint[]) AS n(shard) ORDER BY n.shard \
         ON CONFLICT (shard) DO UPDATE SET epoch = ((e.epoch >> 20) + 1) * 1048576 + CAST(floor(random() * 1048576) AS bigint)",
    note_bound:
        "INSERT INTO ~freshness AS f (one, micros, longest) VALUES (1, $1, $1) \
         ON CONFLICT (one) DO UPDATE SET micros = excluded.micros WHERE excluded.micros < f.micros",
    /// Reads the epochs, so that it comes after whatever has moved one, also where transactions that touch nothing in common have no order.
    call_roll:
        "INSERT INTO ~roll AS r (one, number) SELECT 1, 1 + 0 * count(*) FROM ~epochs ON CONFLICT (one) DO UPDATE SET number = r.number + 1 RETURNING r.number",
    answer_roll:
        "INSERT INTO ~roll_nodes AS n (node, number) VALUES ($1, $2) \
         ON CONFLICT (node) DO UPDATE SET number = excluded.number WHERE excluded.number > n.number",
    dismiss: "DELETE FROM ~roll_nodes WHERE node = ANY($1) AND number < $2",
}

#[cfg(test)]
mod tests;
