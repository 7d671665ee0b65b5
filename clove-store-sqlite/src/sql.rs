//! The statements. Each is prepared once a connection. Pages have no LIMIT: rows come as they are stepped to, in the order of an
//! index, and those that cannot be read take no place of others.

macro_rules! key_columns {
    () => {
        "SELECT k.id, k.org, k.account, k.name, k.description, k.capabilities, k.metadata, k.created_at, \
         k.expires_at, k.last_used_at, k.state, k.expiry_latched, k.revision, k.limits FROM keys k "
    };
}

macro_rules! candidate_columns {
    () => {
        "SELECT k.id, k.org, k.account, k.capabilities, k.state, k.expires_at, k.expiry_latched, k.revision, o.open, g.open, \
         k.limits <> '' OR o.request_limits <> '' OR o.active_limit IS NOT NULL, \
         k.limits, o.request_limits, o.active_limit, s.digest, s.scheme, s.pepper, s.argon2_cost, s.argon2_salt, s.valid_until "
    };
}

macro_rules! owner_joins {
    () => {
        "LEFT JOIN owners o ON o.org = k.org AND o.account = k.account LEFT JOIN organizations g ON g.id = k.org "
    };
}

/// What a verification reads by key id. A key without a secret has a row too: it is corrupt, and not unknown.
pub const FIND_BY_ID: &str =
    concat!(candidate_columns!(), "FROM keys k LEFT JOIN secrets s ON s.key_id = k.id ", owner_joins!(), "WHERE k.id = ?1");

/// What a verification reads by one digest. One of a slow hash is not one that a bare secret could be looked up by.
pub const FIND_BY_DIGEST: &str = concat!(
    candidate_columns!(),
    "FROM secrets s CROSS JOIN keys k ON k.id = s.key_id ",
    owner_joins!(),
    "WHERE s.digest = ?1 AND s.argon2_salt IS NULL"
);

/// What a verification reads by up to four digests.
pub const FIND_BY_DIGESTS: &str = concat!(
    candidate_columns!(),
    "FROM secrets s CROSS JOIN keys k ON k.id = s.key_id ",
    owner_joins!(),
    "WHERE s.digest IN (?1, ?2, ?3, ?4) AND s.argon2_salt IS NULL"
);

pub(crate) const KEY_BY_ID: &str = concat!(key_columns!(), "WHERE k.id = ?1");

/// What holds a place of its owner's limit, whatever the time.
macro_rules! holds_place {
    () => {
        "state = 'active' AND expiry_latched = 0"
    };
}
/// Of these, the keys of an owner that have expired.
macro_rules! expired_places {
    () => {
        concat!(
            "WHERE k.org = ?1 AND k.account = ?2 AND ",
            holds_place!(),
            " AND k.expires_at IS NOT NULL AND k.expires_at <= ?3"
        )
    };
}
pub(crate) const EXPIRED_PLACES: &str = concat!(key_columns!(), expired_places!());
pub(crate) const COUNT_OTHERS: &str = concat!(
    "SELECT count(*), count(*) FILTER (WHERE ",
    holds_place!(),
    ") FROM keys WHERE org = ?1 AND account = ?2 AND id <> ?3"
);

// The states are a set of flags: 1 active, 2 suspended, 4 compromised, 8 revoked. The expiry filter is 0 any, 1 passed at
// the time, 2 pending at it.
macro_rules! state_filter {
    () => {
        " AND (CASE k.state WHEN 'active' THEN 1 WHEN 'suspended' THEN 2 WHEN 'compromised' THEN 4 WHEN 'revoked' THEN 8 \
         ELSE 15 END & ?3) "
    };
}
macro_rules! expiry_filter {
    () => {
        " AND CASE ?4 WHEN 0 THEN 1 WHEN 1 THEN k.expiry_latched OR k.expires_at <= ?5 \
         ELSE NOT k.expiry_latched AND (k.expires_at IS NULL OR k.expires_at > ?5) END "
    };
}
macro_rules! newest_first {
    () => {
        " AND k.id < ?6 ORDER BY k.id DESC"
    };
}
macro_rules! oldest_first {
    () => {
        " AND k.id > ?4 ORDER BY k.id"
    };
}
pub(crate) const LIST_OF_OWNER: &str =
    concat!(key_columns!(), "WHERE k.org = ?1 AND k.account = ?2", state_filter!(), expiry_filter!(), newest_first!());
pub(crate) const LIST_OF_ORGANIZATION: &str =
    concat!(key_columns!(), "WHERE k.org = ?1 AND ?2 IS NULL", state_filter!(), expiry_filter!(), newest_first!());
pub(crate) const BATCH_OF_OWNER: &str =
    concat!(key_columns!(), "WHERE k.org = ?1 AND k.account = ?2", state_filter!(), oldest_first!());
pub(crate) const BATCH_OF_ORGANIZATION: &str =
    concat!(key_columns!(), "WHERE k.org = ?1 AND ?2 IS NULL", state_filter!(), oldest_first!());
// The place is the only lower bound: beside another, SQLite goes by that one, and each page reads all pages before it. One
// owner's keys are looked for among its organization's that expire in the range: an index more would cost each creation.
pub(crate) const EXPIRING: &str = concat!(
    key_columns!(),
    "WHERE k.org = ?1 AND (?2 IS NULL OR k.account = ?2) AND (k.expires_at, k.id) > (?3, ?4) AND k.expires_at <= ?5 \
     AND k.state IN ('active', 'suspended') AND NOT k.expiry_latched ORDER BY k.expires_at, k.id"
);

/// Of all owners; no more of each key than it takes to tell of it.
pub(crate) const EXPIRING_SOON: &str = "SELECT id, org, account, expires_at FROM keys WHERE (expires_at, id) > (?1, ?2) \
     AND expires_at <= ?3 AND state IN ('active', 'suspended') AND NOT expiry_latched ORDER BY expires_at, id";

pub(crate) const SECRETS_OF_KEY: &str =
    "SELECT digest, scheme, pepper, argon2_cost, argon2_salt, valid_until FROM secrets WHERE key_id = ?1";
macro_rules! owner_columns {
    () => {
        "SELECT org, account, open, held, records, active_limit, creation_day, creations, \
         request_limits"
    };
}
pub(crate) const OWNER: &str = concat!(owner_columns!(), " FROM owners WHERE org = ?1 AND account = ?2");
/// The row, and how many of its places are held by keys that have expired: one statement sees one snapshot.
pub(crate) const OWNER_FACTS: &str = concat!(
    owner_columns!(),
    ", (SELECT count(*) FROM keys k ",
    expired_places!(),
    ") FROM owners WHERE org = ?1 AND account = ?2"
);
pub(crate) const ORGANIZATION: &str = "SELECT id, open FROM organizations WHERE id = ?1";
/// Whether there is a key. Asked only where its owner's row, or its organization's, is not there.
pub(crate) const KEY_OF_OWNER: &str = "SELECT 1 FROM keys WHERE org = ?1 AND account = ?2 LIMIT 1";
pub(crate) const KEY_OF_ORGANIZATION: &str = "SELECT 1 FROM keys WHERE org = ?1 LIMIT 1";

macro_rules! audit_columns {
    () => {
        "SELECT id, operation, at, actor, reason, action, org, account, key_id, key_name, from_state, to_state, changed, detail, arguments \
         FROM audit "
    };
}
macro_rules! audit_filter {
    () => {
        " AND (?4 IS NULL OR action = ?4) AND (?5 IS NULL OR at >= ?5) AND (?6 IS NULL OR at < ?6) AND id >= ?7 AND id < ?8 ORDER BY id DESC"
    };
}
pub(crate) const EVENT_BY_OPERATION: &str = concat!(audit_columns!(), "WHERE operation = ?1");
// The plus keeps the index of a whole organization out of the choice.
pub(crate) const AUDIT_OF_KEY: &str =
    concat!(audit_columns!(), "WHERE key_id = ?3 AND +org = ?1 AND (?2 IS NULL OR account = ?2)", audit_filter!());
pub(crate) const AUDIT_OF_OWNER: &str =
    concat!(audit_columns!(), "WHERE org = ?1 AND account = ?2 AND ?3 IS NULL", audit_filter!());
pub(crate) const AUDIT_OF_ORGANIZATION: &str =
    concat!(audit_columns!(), "WHERE org = ?1 AND ?2 IS NULL AND ?3 IS NULL", audit_filter!());

/// The versions, by steps from one to the next over the index, however many secrets there are.
pub(crate) const PEPPERS: &str = "WITH RECURSIVE v(pepper) AS (SELECT min(pepper) FROM secrets WHERE pepper IS NOT NULL \
     UNION ALL SELECT (SELECT min(pepper) FROM secrets WHERE pepper > v.pepper) FROM v WHERE v.pepper IS NOT NULL) \
     SELECT pepper FROM v WHERE pepper IS NOT NULL";
pub(crate) const KEYS_UNDER_PEPPER: &str =
    "SELECT DISTINCT key_id FROM secrets WHERE pepper = ?1 AND key_id > ?2 ORDER BY key_id";

pub(crate) const PUT_ORGANIZATION: &str =
    "INSERT INTO organizations (id, open) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET open = excluded.open";
pub(crate) const PUT_OWNER: &str = "INSERT INTO owners (org, account, open, held, records, active_limit, creation_day, creations, \
     request_limits) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (org, account) DO UPDATE SET open = excluded.open, held = excluded.held, \
     records = excluded.records, active_limit = excluded.active_limit, creation_day = excluded.creation_day, creations = excluded.creations, \
     request_limits = excluded.request_limits";
pub(crate) const PUT_OWNER_FLAG: &str = concat!(
    "INSERT INTO owners (org, account, open, held, records, creations) SELECT ?1, ?2, ?3, count(*) FILTER (WHERE ",
    holds_place!(),
    "), count(*), 0 FROM keys WHERE org = ?1 AND account = ?2 ON CONFLICT (org, account) DO UPDATE SET open = excluded.open"
);
pub(crate) const INSERT_KEY: &str = "INSERT INTO keys (id, org, account, name, description, capabilities, metadata, created_at, expires_at, \
     last_used_at, state, expiry_latched, revision, limits) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
pub(crate) const UPDATE_KEY: &str = "UPDATE keys SET name = ?2, description = ?3, capabilities = ?4, metadata = ?5, expires_at = ?6, \
     state = ?7, expiry_latched = ?8, revision = ?9, limits = ?10 WHERE id = ?1";
pub(crate) const STOP_KEY: &str = "UPDATE keys SET state = ?2, revision = ?3 WHERE id = ?1";
pub(crate) const DELETE_KEY: &str = "DELETE FROM keys WHERE id = ?1";
pub(crate) const DELETE_SECRETS: &str = "DELETE FROM secrets WHERE key_id = ?1";
pub(crate) const INSERT_SECRET: &str = "INSERT INTO secrets (key_id, digest, scheme, pepper, argon2_cost, argon2_salt, valid_until) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
pub(crate) const INSERT_EVENT: &str = "INSERT INTO audit (id, operation, at, actor, reason, action, org, account, key_id, key_name, \
     from_state, to_state, changed, detail, arguments) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
pub(crate) const REHASH: &str = "UPDATE OR IGNORE secrets SET digest = ?3, scheme = ?4, pepper = ?5, argon2_cost = ?6, argon2_salt = ?7 \
     WHERE key_id = ?1 AND digest = ?2";
pub(crate) const TOUCH: &str = "UPDATE keys SET last_used_at = ?2 WHERE id = ?1 AND (last_used_at IS NULL OR last_used_at < ?2)";

pub(crate) const PLACES: &str = "SELECT places FROM counts WHERE subject = ?1 AND seconds = ?2 AND start = ?3";
pub(crate) const PLACES_SINCE: &str =
    "SELECT start, places FROM counts WHERE subject = ?1 AND seconds = ?2 AND start > ?3 ORDER BY start";
pub(crate) const CHARGE: &str = "INSERT INTO counts (subject, seconds, start, places, ends) VALUES (?1, ?2, ?3, ?4, ?5) \
     ON CONFLICT (subject, seconds, start) DO UPDATE SET places = places + excluded.places";
pub(crate) const GIVE_BACK: &str =
    "UPDATE counts SET places = max(places - ?4, 0) WHERE subject = ?1 AND seconds = ?2 AND start = ?3";
pub(crate) const FORGET_COUNTS: &str = "DELETE FROM counts WHERE (subject, seconds, start) IN \
     (SELECT subject, seconds, start FROM counts WHERE ends <= ?1 LIMIT ?2)";
pub(crate) const COUNT_OTHER_NODES: &str = "SELECT count(*) FROM nodes WHERE seen_at > ?1 AND id <> ?2";
pub(crate) const PUT_NODE: &str =
    "INSERT INTO nodes (id, seen_at) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at";
pub(crate) const FORGET_NODES: &str = "DELETE FROM nodes WHERE seen_at <= ?1";

pub(crate) const LAST_BATCH: &str = "SELECT sequence FROM recorders WHERE node = ?1";
pub(crate) const PUT_BATCH: &str = "INSERT INTO recorders (node, sequence, day) VALUES (?1, ?2, ?3) \
     ON CONFLICT (node) DO UPDATE SET sequence = excluded.sequence, day = excluded.day";
pub(crate) const REPORTED: &str = "SELECT total, reserved FROM reports WHERE grant_id = ?1 AND unit = ?2";
pub(crate) const PUT_REPORT: &str = "INSERT INTO reports (grant_id, unit, total, reserved, day) VALUES (?1, ?2, ?3, ?4, ?5) \
     ON CONFLICT (grant_id, unit) DO UPDATE SET total = excluded.total, reserved = excluded.reserved";
/// A sum is never negative: one that is cannot be read, and is not to become one that can.
pub(crate) const ADD_USAGE: &str = "INSERT INTO usage (org, level, account, key_id, unit, day, total) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
     ON CONFLICT (org, level, account, key_id, unit, day) DO UPDATE SET total = CASE WHEN usage.total < 0 THEN usage.total \
     WHEN usage.total > 9223372036854775807 - excluded.total THEN 9223372036854775807 ELSE usage.total + excluded.total END";
/// As sums are added to.
pub(crate) const ADD_RESERVED: &str = "INSERT INTO usage (org, level, account, key_id, unit, day, total, reserved) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7) ON CONFLICT (org, level, account, key_id, unit, day) DO UPDATE SET reserved = \
     CASE WHEN usage.reserved < 0 THEN usage.reserved WHEN usage.reserved > 9223372036854775807 - excluded.reserved \
     THEN 9223372036854775807 ELSE usage.reserved + excluded.reserved END";
/// What cannot be read stays so, and what is at the largest amount: how much is reserved is not known any more.
pub(crate) const RELEASE: &str = "UPDATE usage SET reserved = max(reserved - ?7, 0) WHERE org = ?1 AND level = ?2 AND account = ?3 \
     AND key_id = ?4 AND unit = ?5 AND day = ?6 AND reserved > 0 AND reserved < 9223372036854775807";
pub(crate) const SUMS_OF_DAYS: &str = "SELECT total, reserved FROM usage WHERE org = ?1 AND level = ?2 AND account = ?3 \
     AND key_id = ?4 AND unit = ?5 AND day >= ?6 AND day <= ?7";
pub(crate) const BUDGET: &str = "SELECT choice FROM budgets WHERE org = ?1 AND account = ?2 AND unit = ?3";
pub(crate) const PUT_BUDGET: &str = "INSERT INTO budgets (org, account, unit, choice) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT (org, account, unit) DO UPDATE SET choice = excluded.choice";
pub(crate) const FORGET_REPORTS: &str = "DELETE FROM reports WHERE (grant_id, unit) IN \
     (SELECT grant_id, unit FROM reports WHERE day < ?1 LIMIT ?2)";
pub(crate) const FORGET_BATCHES: &str =
    "DELETE FROM recorders WHERE node IN (SELECT node FROM recorders WHERE day < ?1 LIMIT ?2)";

// Sums of usage are read series by series, each found by a step from the one before it over the primary key: days out of range
// are not read, nor are the keys of an account where only accounts are told apart.
macro_rules! next_series {
    () => {
        "SELECT account, key_id, unit FROM usage WHERE org = ?1 AND level = ?2"
    };
}
pub(crate) const SERIES_OF_ORGANIZATION: &str =
    concat!(next_series!(), " AND (account, key_id, unit) > (?3, ?4, ?5) ORDER BY account, key_id, unit LIMIT 1");
pub(crate) const SERIES_OF_ACCOUNT: &str =
    concat!(next_series!(), " AND account = ?3 AND (key_id, unit) > (?4, ?5) ORDER BY key_id, unit LIMIT 1");
pub(crate) const SERIES_OF_KEY: &str =
    concat!(next_series!(), " AND account = ?3 AND key_id = ?4 AND unit > ?5 ORDER BY unit LIMIT 1");
pub(crate) const DAYS_OF_SERIES: &str = "SELECT day, total FROM usage WHERE org = ?1 AND level = ?2 AND account = ?3 \
     AND key_id = ?4 AND unit = ?5 AND day >= ?6 AND day <= ?7 AND total <> 0 ORDER BY day";
/// Whose key it is or was, for good.
pub(crate) const ACCOUNT_OF_KEY: &str = "SELECT account FROM usage WHERE level = 2 AND key_id = ?1 AND org = ?2 LIMIT 1";
/// An entry that is there already stays as it is.
pub const LOG_ACCESS: &str = "INSERT INTO access (id, at, key_id, org, account, outcome, limit_of, limit_count, limit_seconds, limit_kind, \
     limit_left, cost, endpoint) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) ON CONFLICT (id) DO NOTHING";
macro_rules! access_columns {
    () => {
        "SELECT id, at, key_id, org, account, outcome, limit_of, limit_count, limit_seconds, limit_kind, limit_left, cost, endpoint \
         FROM access "
    };
}
pub(crate) const ACCESS_OF_ORGANIZATION: &str =
    concat!(access_columns!(), "WHERE org = ?1 AND id >= ?2 AND id < ?3 ORDER BY id DESC");
pub(crate) const FORGET_ACCESS: &str =
    "DELETE FROM access WHERE id IN (SELECT id FROM access WHERE id < ?1 ORDER BY id LIMIT ?2)";
pub(crate) const FORGET_AUDIT: &str = "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE id < ?1 ORDER BY id LIMIT ?2)";
/// A count only grows.
pub(crate) const COUNT_UNRECOGNIZED: &str = "INSERT INTO unrecognized (hour, node, count) VALUES (?1, ?2, ?3) \
     ON CONFLICT (hour, node) DO UPDATE SET count = excluded.count WHERE excluded.count > unrecognized.count";
pub(crate) const UNRECOGNIZED: &str = "SELECT hour, count FROM unrecognized WHERE hour >= ?1 AND hour < ?2 ORDER BY hour";
pub(crate) const FORGET_UNRECOGNIZED: &str = "DELETE FROM unrecognized WHERE (hour, node) IN \
     (SELECT hour, node FROM unrecognized WHERE hour < ?1 ORDER BY hour LIMIT ?2)";

// Pages of whole parts, for moving to another store: from a row's own key on, by the table's key.
pub(crate) const EXPORT_ORGANIZATIONS: &str = "SELECT id, open FROM organizations WHERE id >= ?1 ORDER BY id";
pub(crate) const EXPORT_OWNERS: &str =
    concat!(owner_columns!(), " FROM owners WHERE (org, account) >= (?1, ?2) ORDER BY org, account");
pub(crate) const EXPORT_KEYS: &str = concat!(key_columns!(), "WHERE k.id >= ?1 ORDER BY k.id");
pub(crate) const EXPORT_AUDIT: &str = concat!(audit_columns!(), "WHERE id >= ?1 ORDER BY id");
pub(crate) const EXPORT_SUMS: &str = "SELECT org, level, account, key_id, unit, day, total, reserved FROM usage \
     WHERE (org, level, account, key_id, unit, day) >= (?1, ?2, ?3, ?4, ?5, ?6) ORDER BY org, level, account, key_id, unit, day";
pub(crate) const EXPORT_REPORTS: &str =
    "SELECT grant_id, unit, total, reserved, day FROM reports WHERE (grant_id, unit) >= (?1, ?2) ORDER BY grant_id, unit";
pub(crate) const EXPORT_RECORDERS: &str = "SELECT node, sequence, day FROM recorders WHERE node >= ?1 ORDER BY node";
pub(crate) const EXPORT_BUDGETS: &str =
    "SELECT org, account, unit, choice FROM budgets WHERE (org, account, unit) >= (?1, ?2, ?3) ORDER BY org, account, unit";
pub(crate) const EXPORT_COUNTS: &str = "SELECT subject, seconds, start, places FROM counts WHERE (subject, seconds, start) >= (?1, ?2, ?3) \
     ORDER BY subject, seconds, start";
pub(crate) const EXPORT_ACCESS: &str = concat!(access_columns!(), "WHERE id >= ?1 ORDER BY id");
pub(crate) const EXPORT_UNRECOGNIZED: &str =
    "SELECT hour, node, count FROM unrecognized WHERE (hour, node) >= (?1, ?2) ORDER BY hour, node";
/// Only where there is none.
pub(crate) const IMPORT_SUM: &str = "INSERT INTO usage (org, level, account, key_id, unit, day, total, reserved) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

pub(crate) const DATA_VERSION: &str = "PRAGMA data_version";
pub(crate) const EPOCHS: &str = "SELECT shard, epoch FROM epochs";
pub(crate) const OUTDATE: &str = "INSERT INTO epochs (shard, epoch) VALUES (?1, (1 << 20) + (random() & 1048575)) \
     ON CONFLICT (shard) DO UPDATE SET epoch = (((epoch >> 20) + 1) << 20) + (random() & 1048575)";
pub(crate) const BOUND: &str = "SELECT micros, longest FROM freshness";
pub(crate) const NOTE_BOUND: &str = "INSERT INTO freshness (one, micros, longest) VALUES (1, ?1, ?1) \
     ON CONFLICT (one) DO UPDATE SET micros = excluded.micros WHERE excluded.micros < micros";
pub(crate) const ROLL: &str = "SELECT number FROM roll";
pub(crate) const CALL_ROLL: &str = "INSERT INTO roll (one, number) VALUES (1, 1) \
     ON CONFLICT (one) DO UPDATE SET number = number + 1 RETURNING number";
pub(crate) const ROLL_NODES: &str = "SELECT node, number FROM roll_nodes";
pub(crate) const ANSWER_ROLL: &str = "INSERT INTO roll_nodes (node, number) VALUES (?1, ?2) \
     ON CONFLICT (node) DO UPDATE SET number = excluded.number WHERE excluded.number > number";
pub(crate) const DISMISS: &str = "DELETE FROM roll_nodes WHERE node = ?1 AND number < ?2";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rusqlite::Connection;

    macro_rules! plans {
        ($($name:ident: $plan:literal),* $(,)?) => { [$((stringify!($name), super::$name, $plan)),*] };
    }

    /// Each statement, and the index or key that it must go by; those that only insert go by none.
    const PLANS: [(&str, &str, &str); 90] = plans![
        FIND_BY_ID: "SEARCH k USING PRIMARY KEY (id=?)",
        FIND_BY_DIGEST: "SEARCH s USING INDEX secrets_by_digest (digest=?)",
        FIND_BY_DIGESTS: "SEARCH s USING INDEX secrets_by_digest (digest=?)",
        KEY_BY_ID: "SEARCH k USING PRIMARY KEY (id=?)",
        EXPIRED_PLACES: "SEARCH k USING INDEX places_by_expiry (org=? AND account=? AND expires_at>",
        COUNT_OTHERS: "SEARCH keys USING INDEX keys_by_owner (org=? AND account=?)",
        LIST_OF_OWNER: "SEARCH k USING INDEX keys_by_owner (org=? AND account=? AND id<?)",
        LIST_OF_ORGANIZATION: "SEARCH k USING INDEX keys_by_organization (org=? AND id<?)",
        BATCH_OF_OWNER: "SEARCH k USING INDEX keys_by_owner (org=? AND account=? AND id>?)",
        BATCH_OF_ORGANIZATION: "SEARCH k USING INDEX keys_by_organization (org=? AND id>?)",
        EXPIRING: "SEARCH k USING INDEX keys_by_expiry (org=? AND (expires_at,id)>(?,?) AND expires_at<?)",
        EXPIRING_SOON: "SEARCH keys USING INDEX keys_by_expiry_of_all ((expires_at,id)>(?,?) AND expires_at<?)",
        SECRETS_OF_KEY: "SEARCH secrets USING PRIMARY KEY (key_id=?)",
        OWNER: "SEARCH owners USING PRIMARY KEY (org=? AND account=?)",
        OWNER_FACTS: "SEARCH k USING INDEX places_by_expiry (org=? AND account=? AND expires_at>",
        ORGANIZATION: "SEARCH organizations USING PRIMARY KEY (id=?)",
        KEY_OF_OWNER: "SEARCH keys USING COVERING INDEX keys_by_owner (org=? AND account=?)",
        KEY_OF_ORGANIZATION: "SEARCH keys USING COVERING INDEX keys_by_organization (org=?)",
        EVENT_BY_OPERATION: "SEARCH audit USING INDEX audit_by_operation (operation=?)",
        AUDIT_OF_KEY: "SEARCH audit USING INDEX audit_by_key (key_id=? AND id>? AND id<?)",
        AUDIT_OF_OWNER: "SEARCH audit USING INDEX audit_by_owner (org=? AND account=? AND id>? AND id<?)",
        AUDIT_OF_ORGANIZATION: "SEARCH audit USING INDEX audit_by_organization (org=? AND id>? AND id<?)",
        PEPPERS: "SEARCH secrets USING COVERING INDEX secrets_by_pepper (pepper>?)",
        KEYS_UNDER_PEPPER: "SEARCH secrets USING COVERING INDEX secrets_by_pepper (pepper=? AND key_id>?)",
        PUT_ORGANIZATION: "",
        PUT_OWNER: "",
        PUT_OWNER_FLAG: "SEARCH keys USING INDEX keys_by_owner (org=? AND account=?)",
        INSERT_KEY: "",
        UPDATE_KEY: "SEARCH keys USING PRIMARY KEY (id=?)",
        STOP_KEY: "SEARCH keys USING PRIMARY KEY (id=?)",
        DELETE_KEY: "SEARCH keys USING PRIMARY KEY (id=?)",
        DELETE_SECRETS: "SEARCH secrets USING PRIMARY KEY (key_id=?)",
        INSERT_SECRET: "",
        INSERT_EVENT: "",
        REHASH: "SEARCH secrets USING COVERING INDEX secrets_by_digest (digest=?)",
        TOUCH: "SEARCH keys USING PRIMARY KEY (id=?)",
        PLACES: "SEARCH counts USING PRIMARY KEY (subject=? AND seconds=? AND start=?)",
        PLACES_SINCE: "SEARCH counts USING PRIMARY KEY (subject=? AND seconds=? AND start>?)",
        CHARGE: "",
        GIVE_BACK: "SEARCH counts USING PRIMARY KEY (subject=? AND seconds=? AND start=?)",
        FORGET_COUNTS: "SEARCH counts USING COVERING INDEX counts_by_end (ends<?)",
        COUNT_OTHER_NODES: "SEARCH nodes USING COVERING INDEX nodes_by_time (seen_at>?)",
        PUT_NODE: "",
        FORGET_NODES: "SEARCH nodes USING COVERING INDEX nodes_by_time (seen_at<?)",
        LAST_BATCH: "SEARCH recorders USING PRIMARY KEY (node=?)",
        PUT_BATCH: "",
        REPORTED: "SEARCH reports USING PRIMARY KEY (grant_id=? AND unit=?)",
        PUT_REPORT: "",
        ADD_USAGE: "",
        ADD_RESERVED: "",
        RELEASE: "SEARCH usage USING PRIMARY KEY (org=? AND level=? AND account=? AND key_id=? AND unit=? AND day=?)",
        SUMS_OF_DAYS: "SEARCH usage USING PRIMARY KEY (org=? AND level=? AND account=? AND key_id=? AND unit=? AND day>? AND day<?)",
        BUDGET: "SEARCH budgets USING PRIMARY KEY (org=? AND account=? AND unit=?)",
        PUT_BUDGET: "",
        FORGET_REPORTS: "SEARCH reports USING COVERING INDEX reports_by_day (day<?)",
        FORGET_BATCHES: "SEARCH recorders USING COVERING INDEX recorders_by_day (day<?)",
        SERIES_OF_ORGANIZATION: "SEARCH usage USING PRIMARY KEY (org=? AND level=? AND (account,key_id,unit)>(?,?,?))",
        SERIES_OF_ACCOUNT: "SEARCH usage USING PRIMARY KEY (org=? AND level=? AND account=? AND (key_id,unit)>(?,?))",
        SERIES_OF_KEY: "SEARCH usage USING PRIMARY KEY (org=? AND level=? AND account=? AND key_id=? AND unit>?)",
        DAYS_OF_SERIES: "SEARCH usage USING PRIMARY KEY (org=? AND level=? AND account=? AND key_id=? AND unit=? AND day>? AND day<?)",
        ACCOUNT_OF_KEY: "SEARCH usage USING COVERING INDEX usage_by_key (key_id=? AND org=? AND level=?)",
        LOG_ACCESS: "",
        ACCESS_OF_ORGANIZATION: "SEARCH access USING INDEX access_by_organization (org=? AND id>? AND id<?)",
        FORGET_ACCESS: "SEARCH access USING PRIMARY KEY (id<?)",
        FORGET_AUDIT: "SEARCH audit USING PRIMARY KEY (id<?)",
        COUNT_UNRECOGNIZED: "",
        UNRECOGNIZED: "SEARCH unrecognized USING PRIMARY KEY (hour>? AND hour<?)",
        FORGET_UNRECOGNIZED: "SEARCH unrecognized USING PRIMARY KEY (hour<?)",
        EXPORT_ORGANIZATIONS: "SEARCH organizations USING PRIMARY KEY (id>?)",
        EXPORT_OWNERS: "SEARCH owners USING PRIMARY KEY ((org,account)>(?,?))",
        EXPORT_KEYS: "SEARCH k USING PRIMARY KEY (id>?)",
        EXPORT_AUDIT: "SEARCH audit USING PRIMARY KEY (id>?)",
        EXPORT_SUMS: "SEARCH usage USING PRIMARY KEY ((org,level,account,key_id,unit,day)>(?,?,?,?,?,?))",
        EXPORT_REPORTS: "SEARCH reports USING PRIMARY KEY ((grant_id,unit)>(?,?))",
        EXPORT_RECORDERS: "SEARCH recorders USING PRIMARY KEY (node>?)",
        EXPORT_BUDGETS: "SEARCH budgets USING PRIMARY KEY ((org,account,unit)>(?,?,?))",
        EXPORT_COUNTS: "SEARCH counts USING PRIMARY KEY ((subject,seconds,start)>(?,?,?))",
        EXPORT_ACCESS: "SEARCH access USING PRIMARY KEY (id>?)",
        EXPORT_UNRECOGNIZED: "SEARCH unrecognized USING PRIMARY KEY ((hour,node)>(?,?))",
        IMPORT_SUM: "",
        DATA_VERSION: "",
        EPOCHS: "SCAN epochs",
        OUTDATE: "",
        BOUND: "SCAN freshness",
        NOTE_BOUND: "",
        ROLL: "SCAN roll",
        CALL_ROLL: "",
        ROLL_NODES: "SCAN roll_nodes",
        ANSWER_ROLL: "",
        DISMISS: "SEARCH roll_nodes USING PRIMARY KEY (node=?)",
    ];

    #[test]
    fn each_statement_goes_by_its_index_and_sorts_nothing() {
        let connection = Connection::open_in_memory().unwrap();
        crate::schema::VERSIONS.iter().for_each(|version| connection.execute_batch(version).unwrap());
        for (name, sql, wanted) in PLANS {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            // What a plan is for does not depend on values; unbound ones are NULL.
            let steps = statement.raw_query().mapped(|row| row.get::<_, String>(3)).collect::<Result<Vec<_>, _>>().unwrap();
            assert!(steps.is_empty() == wanted.is_empty(), "{name}\n{steps:#?}");
            assert!(wanted.is_empty() || steps.iter().any(|step| step.starts_with(wanted)), "{name}\n{steps:#?}");
            let tables = [
                "keys",
                "k",
                "secrets",
                "s",
                "owners",
                "o",
                "organizations",
                "g",
                "audit",
                "counts",
                "nodes",
                "usage",
                "reports",
                "recorders",
                "access",
                "unrecognized",
                "budgets",
            ];
            let scans = |step: &&String| tables.iter().any(|table| step.split(' ').take(2).eq(["SCAN", table]));
            assert_eq!(steps.iter().find(scans), None, "{name}");
            assert!(!steps.iter().any(|step| step.contains("TEMP B-TREE")), "{name}\n{steps:#?}");
        }
    }

    #[test]
    fn no_statement_is_left_out_above() {
        let source = include_str!("sql.rs").split("#[cfg(test)]").next().unwrap();
        let names = source.lines().filter_map(|line| line.split_once("const ")?.1.split_once(": &str =").map(|(name, _)| name));
        assert_eq!(names.collect::<Vec<_>>(), PLANS.map(|(name, ..)| name));
    }
}
