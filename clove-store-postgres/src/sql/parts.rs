//! What several statements have in common.

macro_rules! candidate_columns {
    () => {
        "SELECT k.id, k.org, k.account, k.capabilities, k.state, k.expires_at, k.expiry_latched, k.revision, o.open, g.open, \
         k.limits, o.request_limits, o.active_limit, s.digest, s.scheme, s.pepper, s.argon2_cost, s.argon2_salt, s.valid_until "
    };
}
/// From ids `i(id)` on.
macro_rules! candidate_of_id {
    () => {
        "LEFT JOIN ~keys k ON k.id = i.id LEFT JOIN ~secrets s ON s.key_id = i.id \
         LEFT JOIN ~owners o ON o.org = COALESCE(k.org, '') AND o.account = COALESCE(k.account, '') \
         LEFT JOIN ~organizations g ON g.id = COALESCE(k.org, '')"
    };
}
macro_rules! key_columns {
    () => {
        "SELECT k.id, k.org, k.account, k.name, k.description, k.capabilities, k.metadata, k.created_at, \
         k.expires_at, k.last_used_at, k.state, k.expiry_latched, k.revision, k.limits FROM ~keys k "
    };
}
macro_rules! owner_columns {
    () => {
        "SELECT o.org, o.account, o.open, o.held, o.records, o.active_limit, o.creation_day, o.creations, o.request_limits"
    };
}
/// What holds a place of its owner's limit, whatever the time.
macro_rules! holds_place {
    () => {
        "k.state = 'active' AND NOT k.expiry_latched"
    };
}
/// Of these, the keys of an owner that have expired.
macro_rules! expired_places {
    () => {
        concat!(
            "WHERE k.org = $1 AND k.account = $2 AND ",
            holds_place!(),
            " AND k.expires_at IS NOT NULL AND k.expires_at <= $3"
        )
    };
}
// One that cannot be read is among them, whatever is asked for: nothing that may live is passed over.
macro_rules! state_filter {
    () => {
        " AND (k.state = ANY($3) OR k.state NOT IN ('active', 'suspended', 'compromised', 'revoked')) "
    };
}
// 0 any, 1 passed at the time, 2 pending at it.
macro_rules! expiry_filter {
    () => {
        " AND CASE $4::int4 WHEN 0 THEN true WHEN 1 THEN k.expiry_latched OR (k.expires_at IS NOT NULL AND k.expires_at <= $5) \
         ELSE NOT k.expiry_latched AND (k.expires_at IS NULL OR k.expires_at > $5) END "
    };
}
macro_rules! audit_columns {
    () => {
        "SELECT a.id, a.operation, a.at, a.actor, a.reason, a.action, a.org, a.account, a.key_id, a.key_name, a.from_state, \
         a.to_state, a.changed, a.detail, a.arguments FROM ~audit a "
    };
}
macro_rules! audit_filter {
    () => {
        " AND ($3::text IS NULL OR a.action = $3) AND ($4::bigint IS NULL OR a.at >= $4) AND ($5::bigint IS NULL OR a.at < $5) "
    };
}
/// Goes from series to series by steps over the primary key, so that days out of range are not read: after `$3, $4, $5`, which is
/// the first place to look at, and before `$6, $7, $8`.
macro_rules! series {
    ($step:expr, $unit:expr) => {
        concat!(
            "WITH RECURSIVE s(account, key_id, unit, n) AS ((SELECT u.account, u.key_id, u.unit, 1::bigint FROM ~usage u \
             WHERE u.org = $1 AND u.level = $2 AND (u.account, u.key_id, u.unit) >= ($3, $4, $5) \
             AND (u.account, u.key_id, u.unit) < ($6, $7, $8) ORDER BY u.account, u.key_id, u.unit LIMIT 1) \
             UNION ALL SELECT x.account, x.key_id, x.unit, s.n + 1 FROM s CROSS JOIN LATERAL (SELECT u.account, u.key_id, u.unit \
             FROM ~usage u WHERE u.org = $1 AND u.level = $2 AND ",
            $step,
            " AND (u.account, u.key_id, u.unit) < ($6, $7, $8) ORDER BY u.account, u.key_id, u.unit LIMIT 1) x WHERE s.n < $11) \
             SELECT s.account, s.key_id, s.unit, d.day, d.total FROM s LEFT JOIN LATERAL (SELECT u.day, u.total FROM ~usage u \
             WHERE u.org = $1 AND u.level = $2 AND u.account = s.account AND u.key_id = s.key_id AND u.unit = ",
            $unit,
            " AND u.day >= $9 AND u.day <= $10 AND u.total <> 0 ORDER BY u.day) d ON true \
             ORDER BY s.account, s.key_id, s.unit, d.day"
        )
    };
}

macro_rules! nil {
    () => {
        "'00000000-0000-0000-0000-000000000000'"
    };
}
/// Deletes the oldest rows before `$1`, at most `$2`, in the order of the index, so that two that forget at once may wait for each
/// other, and never both. From the first of them on: of a range with two ends that it does not know yet, the server expects few rows, and so goes by the index.
macro_rules! forget_range {
    ($table:literal, $id:literal) => {
        concat!(
            "DELETE FROM ~",
            $table,
            " WHERE ",
            $id,
            " < $1 \
             AND ",
            $id,
            " >= (SELECT ",
            $id,
            " FROM ~",
            $table,
            " WHERE ",
            $id,
            " < $1 ORDER BY ",
            $id,
            " LIMIT 1) \
             AND ",
            $id,
            " <= (SELECT x.",
            $id,
            " FROM (SELECT ",
            $id,
            " FROM ~",
            $table,
            " WHERE ",
            $id,
            " < $1 \
             ORDER BY ",
            $id,
            " LIMIT $2) x ORDER BY x.",
            $id,
            " DESC LIMIT 1)"
        )
    };
}
/// [`SLICE`](super::SLICE), for texts.
macro_rules! slice {
    () => {
        1024
    };
}
/// Deletes the rows whose `$by` comes first, where `$when` holds of them, and still does: one that somebody has just written is not an
/// old one. At most `$2` of a slice, whose size the server is told in the text: it would read a large table whole for a number that it
/// does not see when it plans.
macro_rules! forget_rows {
    ($table:literal, $key:literal, $by:literal, $when:literal) => {
        concat!(
            "DELETE FROM ~",
            $table,
            " WHERE (",
            $key,
            ") IN (SELECT ",
            $key,
            " FROM (SELECT ",
            $key,
            ", ",
            $by,
            " AS first FROM ~",
            $table,
            " \
             WHERE ",
            $when,
            " ORDER BY ",
            $by,
            " LIMIT ",
            slice!(),
            ") x ORDER BY first LIMIT $2) AND ",
            $when
        )
    };
}
/// Creations as `n`, with more columns where there are more arguments behind `$31`; and as `g` their organizations that are open, held.
/// How many they are is hidden from the planner as for look-ups: else it makes a plan for each one creation that comes alone, which takes
/// as long as the creation.
macro_rules! creations {
    ($arguments:literal, $columns:literal) => {
        concat!(
            "WITH n AS (SELECT * FROM unnest((SELECT $1::bigint[]), $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], \
             $7::bigint[], $8::uuid[], $9::text[], $10::text[], $11::text[], $12::text[], $13::bigint[], $14::bigint[], $15::text[], \
             $16::bigint[], $17::text[], $18::bytea[], $19::text[], $20::bigint[], $21::text[], $22::bytea[], $23::uuid[], $24::uuid[], \
             $25::bigint[], $26::text[], $27::text[], $28::text[], $29::text[], $30::text[], $31::bytea[]",
            $arguments,
            ") AS n(place, org, account, held, records, creation_day, creations, key_id, name, description, capabilities, metadata, \
             created_at, expires_at, state, revision, limits, digest, scheme, pepper, argon2_cost, argon2_salt, event, operation, at, \
             actor, reason, action, to_state, detail, arguments",
            $columns,
            ") CROSS JOIN (SELECT set_config('synchronous_commit', 'on', true) AS durable, \
             set_config('lock_timeout', '200', true) AS waits) d), \
             g AS (SELECT o.id FROM (SELECT DISTINCT org FROM n ORDER BY org) d CROSS JOIN LATERAL \
             (SELECT id FROM ~organizations WHERE id = d.org AND open FOR SHARE) o), "
        )
    };
}
/// Writes what comes with the owners' rows that were written, as `w`; and shows what became of each creation.
macro_rules! created {
    () => {
        "t AS (SELECT n.* FROM n JOIN w ON w.org = n.org AND w.account = n.account), \
         k AS (INSERT INTO ~keys (id, org, account, name, description, capabilities, metadata, created_at, expires_at, state, \
         expiry_latched, revision, limits) SELECT key_id, org, account, name, description, capabilities, metadata, created_at, \
         expires_at, state, false, revision, limits FROM t), \
         s AS (INSERT INTO ~secrets (key_id, digest, scheme, pepper, argon2_cost, argon2_salt) \
         SELECT key_id, digest, scheme, pepper, argon2_cost, argon2_salt FROM t), \
         p AS (INSERT INTO ~operations (id, event) SELECT operation, event FROM t), \
         a AS (INSERT INTO ~audit (id, operation, at, actor, reason, action, org, account, key_id, key_name, to_state, changed, \
         detail, arguments) SELECT event, operation, at, actor, reason, action, org, account, key_id, name, to_state, true, detail, \
         arguments FROM t) \
         SELECT o.org, o.account, o.open, o.held, o.records, o.active_limit, o.creation_day, o.creations, o.request_limits, \
         n.place, t.place IS NOT NULL, o.generation FROM n LEFT JOIN t ON t.place = n.place \
         LEFT JOIN LATERAL (SELECT * FROM ~owners x \
         WHERE t.place IS NULL AND x.org = n.org AND x.account = n.account ORDER BY x.org, x.account LIMIT 1) o ON true"
    };
}
