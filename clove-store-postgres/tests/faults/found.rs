//! What the database holds in the end, and in which order its keys changed: triggers of the test's own write that down in the
//! transactions that change them.

use crate::client::BY_REASON;
use sqlx::{AssertSqlSafe, PgConnection, Row};
use std::collections::BTreeMap;

/// Makes what keeps the order. Whatever an owner's keys go through is written behind the lock of that owner, so that the numbers
/// are in the order of commits.
pub(crate) const WATCH: &str = r"
CREATE TABLE clove.watch (number bigserial PRIMARY KEY, tx text NOT NULL, owner text NOT NULL, key text NOT NULL, from_state text,
    to_state text, revision bigint NOT NULL, holds boolean NOT NULL);
CREATE TABLE clove.watch_operations (tx text NOT NULL, operation text NOT NULL);
CREATE FUNCTION clove.watch_key() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP = 'UPDATE' AND OLD.state = NEW.state AND OLD.revision = NEW.revision AND OLD.expiry_latched = NEW.expiry_latched THEN
        RETURN NULL;
    END IF;
    INSERT INTO clove.watch (tx, owner, key, from_state, to_state, revision, holds) VALUES (
        CAST(txid_current() AS text), CASE TG_OP WHEN 'DELETE' THEN OLD.account ELSE NEW.account END,
        CAST(CASE TG_OP WHEN 'DELETE' THEN OLD.id ELSE NEW.id END AS text),
        CASE TG_OP WHEN 'INSERT' THEN NULL ELSE OLD.state END, CASE TG_OP WHEN 'DELETE' THEN NULL ELSE NEW.state END,
        CASE TG_OP WHEN 'DELETE' THEN OLD.revision ELSE NEW.revision END,
        CASE TG_OP WHEN 'DELETE' THEN false ELSE NEW.state = 'active' AND NOT NEW.expiry_latched END);
    RETURN NULL;
END $$;
CREATE TRIGGER watch AFTER INSERT OR UPDATE OR DELETE ON clove.keys FOR EACH ROW EXECUTE FUNCTION clove.watch_key();
CREATE FUNCTION clove.watch_operation() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO clove.watch_operations VALUES (CAST(txid_current() AS text), CAST(NEW.id AS text));
    RETURN NULL;
END $$;
CREATE TRIGGER watch AFTER INSERT ON clove.operations FOR EACH ROW EXECUTE FUNCTION clove.watch_operation();
";

/// One change of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) owner: String,
    pub(crate) key: String,
    pub(crate) operation: Option<String>,
    /// None before it was created.
    pub(crate) from: Option<String>,
    /// None once it is deleted.
    pub(crate) to: Option<String>,
    pub(crate) revision: u64,
    /// Whether it holds a place since.
    pub(crate) holds: bool,
}

/// An event of the audit trail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) action: String,
    pub(crate) about: String,
    pub(crate) key: Option<String>,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    pub(crate) changes: Vec<Change>,
    /// By operation id.
    pub(crate) events: BTreeMap<String, Vec<Event>>,
    /// State and revision of each key there is.
    pub(crate) keys: BTreeMap<String, (String, u64)>,
    /// How many places each owner's row says are held.
    pub(crate) held: BTreeMap<String, u64>,
    /// What was used of each unit.
    pub(crate) usage: BTreeMap<String, u64>,
    /// What is settled and reserved of each account's budgets.
    pub(crate) budgets: BTreeMap<String, u64>,
}

fn number(value: i64) -> u64 {
    u64::try_from(value).unwrap()
}

impl Found {
    pub(crate) async fn read(connection: &mut PgConnection) -> Self {
        let mut found = Self::default();
        // As it was recorded.
        let named = format!(
            "CASE WHEN a.reason LIKE '{BY_REASON}%' THEN substr(a.reason, {}) ELSE CAST(a.operation AS text) END",
            BY_REASON.len() + 1
        );
        let changes = format!(
            "SELECT w.owner, w.key, {named}, w.from_state, w.to_state, w.revision, w.holds FROM clove.watch w \
             LEFT JOIN (SELECT tx, min(operation) AS operation FROM clove.watch_operations GROUP BY tx) o ON o.tx = w.tx \
             LEFT JOIN clove.audit a ON CAST(a.operation AS text) = o.operation ORDER BY w.number"
        );
        for row in sqlx::query(AssertSqlSafe(changes)).fetch_all(&mut *connection).await.unwrap() {
            let (owner, key, operation, from, to) = (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4));
            found.changes.push(Change { owner, key, operation, from, to, revision: number(row.get(5)), holds: row.get(6) });
        }
        let events = format!("SELECT {named}, a.action, a.account, CAST(a.key_id AS text) FROM clove.audit a");
        for row in sqlx::query(AssertSqlSafe(events)).fetch_all(&mut *connection).await.unwrap() {
            let account: Option<String> = row.get(2);
            let event = Event { action: row.get(1), about: account.unwrap_or_default(), key: row.get(3) };
            found.events.entry(row.get(0)).or_default().push(event);
        }
        let keys = "SELECT CAST(id AS text), state, revision FROM clove.keys";
        for row in sqlx::query(keys).fetch_all(&mut *connection).await.unwrap() {
            found.keys.insert(row.get(0), (row.get(1), number(row.get(2))));
        }
        for row in sqlx::query("SELECT account, held FROM clove.owners").fetch_all(&mut *connection).await.unwrap() {
            found.held.insert(row.get(0), number(row.get(1)));
        }
        let usage = "SELECT unit, CAST(sum(total) AS bigint) FROM clove.usage WHERE level = 0 GROUP BY unit";
        for row in sqlx::query(usage).fetch_all(&mut *connection).await.unwrap() {
            found.usage.insert(row.get(0), number(row.get(1)));
        }
        let budgets = "SELECT account || '/' || unit, CAST(sum(total + reserved) AS bigint) FROM clove.usage WHERE level = 1 \
                       AND unit LIKE 'budget-%' GROUP BY account, unit";
        for row in sqlx::query(budgets).fetch_all(&mut *connection).await.unwrap() {
            found.budgets.insert(row.get(0), number(row.get(1)));
        }
        found
    }
}
