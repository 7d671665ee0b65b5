//! `scale-*-whole-tables`: how many statements read a table whole that may be large, by the plans that the server keeps for any arguments.
//! Nothing is forced: they are what it thinks best for tables of this size.

use super::server::{connect, execute};
use clove_store_postgres::sql::{ALL, READ_WHOLE};
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection, Row};
use std::collections::BTreeSet;

/// Rows of each table that a crowd of keys leaves empty.
const ROWS: u64 = 100_000;

/// What they hold. Ids are of five months, so that each month's table has some.
const REST: [(&str, &str); 9] = [
    ("organizations", "'org' || n, true"),
    ("counts", "sha256((n % 5000)::text::bytea), 60, n, 1, n"),
    ("usage", "'org' || n % 10, n % 3, 'account' || n % 5000, {n}, 'unit' || n % 2, n / 10000, 1, 0"),
    ("reports", "{n}, 'unit', 1, 0, n / 1000"),
    ("recorders", "{n}, 1, n / 100"),
    ("budgets", "'org' || n % 10, 'account' || n, 'unit', ''"),
    ("unrecognized", "n, {n}, 1"),
    ("access", "{n}, n, {n}, 'org' || n % 10, 'account' || n % 10000, 'granted', NULL, NULL, NULL, NULL, NULL, 1, NULL"),
    (
        "audit",
        "{n}, {n}, n, 'ada', 'a reason', 'create', 'org' || n % 10, 'account' || n % 10000, {n}, 'a key', NULL, NULL, true, '', ''",
    ),
];

/// The id with this number: some two minutes apart, from five days before this month on.
const ID: &str = "(lpad(to_hex((extract(epoch FROM date_trunc('month', now())) * 1000)::bigint - 432000000 + n * 130000::bigint), 12, '0') \
                  || '70008000000000000000')::uuid";

/// How many statements do so, in a schema that holds many keys. People are told which.
pub(crate) async fn reading_whole(schema: String) -> usize {
    let mut connection = connect().await;
    for (table, columns) in REST {
        let columns = columns.replace("{n}", ID);
        let rows =
            format!("INSERT INTO {schema}.{table} SELECT {columns} FROM generate_series(1, {ROWS}) n ON CONFLICT DO NOTHING");
        execute(&mut connection, rows).await;
        execute(&mut connection, format!("VACUUM (ANALYZE) {schema}.{table}")).await;
    }
    // Parts of a table that these arguments would not come to are of the plan as well.
    execute(&mut connection, "SET plan_cache_mode = force_generic_plan; SET enable_partition_pruning = off".to_owned()).await;
    let mut reading = 0;
    for (name, sql) in ALL {
        let mut tables = BTreeSet::new();
        let plan = plan(&mut connection, &schema, sql).await;
        read_whole(&plan["Plan"], false, &mut tables);
        tables.retain(|table| !READ_WHOLE.contains(&table.as_str()));
        if !tables.is_empty() {
            eprintln!("{name} reads whole: {}", tables.into_iter().collect::<Vec<_>>().join(", "));
            reading += 1;
        }
    }
    reading
}

async fn plan(connection: &mut PgConnection, schema: &str, sql: &str) -> Value {
    let arguments = (1..).take_while(|number| sql.contains(&format!("${number}"))).count();
    execute(connection, format!("DEALLOCATE ALL; PREPARE asked AS {}", sql.replace('~', &format!("{schema}.")))).await;
    let arguments = if arguments == 0 { String::new() } else { format!("({})", vec!["NULL"; arguments].join(", ")) };
    let explain = AssertSqlSafe(format!("EXPLAIN (FORMAT JSON) EXECUTE asked{arguments}"));
    let row = sqlx::raw_sql(explain).fetch_one(connection).await.expect("a plan");
    let text: String = row.try_get_unchecked(0).expect("a text");
    serde_json::from_str::<Value>(&text).expect("JSON")[0].take()
}

/// The tables that a plan reads whole: without an index, or without anything that it looks for in one, unless it stops at its first rows.
fn read_whole(step: &Value, is_limited: bool, tables: &mut BTreeSet<String>) {
    let kind = step["Node Type"].as_str();
    let reads_whole = match kind {
        Some("Seq Scan") => true,
        Some("Index Scan" | "Index Only Scan") if is_limited && step["Filter"].is_null() => false,
        Some("Index Scan" | "Index Only Scan" | "Bitmap Index Scan") => step["Index Cond"].is_null(),
        _ => false,
    };
    let name = step["Relation Name"].as_str().or(step["Index Name"].as_str());
    tables.extend(name.filter(|_| reads_whole).map(str::to_owned));
    let steps = step["Plans"].as_array().into_iter().flatten();
    steps.for_each(|step| read_whole(step, kind == Some("Limit"), tables));
}
