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
macro_rules! forget_slice {
    ($table:literal, $id:literal) => {
        concat!(
            "DELETE FROM ~",
            $table,
            " WHERE ",
            $id,
            " < $1 AND ",
            $id,
            " <= (SELECT x.",
            $id,
            " FROM (SELECT ",
            $id,
            " FROM ~",
            $table,
            " WHERE ",
            $id,
            " < $1 ORDER BY ",
            $id,
            " LIMIT $2) x ORDER BY x.",
            $id,
            " DESC LIMIT 1)"
        )
    };
}
