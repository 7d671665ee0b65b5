//! By which indexes each statement goes, on tables large enough that the planner tells indexes apart, with what it would rather do on
//! small ones switched off, and with the plan that it keeps for all arguments.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use clove_store_postgres::{
    Options,
    sql::{ALL, READ_WHOLE},
};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};
use std::collections::{BTreeSet, HashMap};
use support::{Schemas, Way, url};

macro_rules! plans {
    ($($name:ident: $plan:literal),* $(,)?) => { &[$((stringify!($name), $plan)),*] };
}

/// Each statement, and what it must go by: indexes and keys; `sort` where it puts what it was given, or what it found, in order, which
/// is at most a batch, a page or a slice; and the tables that are read whole, since they hold a row, or one for each node that was
/// seen within a minute.
#[rustfmt::skip]
const PLANS: &[(&str, &str)] = plans![
    find_by_id: "keys_pkey organizations_pkey owners_pkey secrets_by_key",
    find_one_by_id: "keys_pkey organizations_pkey owners_pkey secrets_by_key",
    find_by_digest: "keys_pkey organizations_pkey owners_pkey secrets_pkey",
    key_by_id: "keys_pkey",
    lock_key: "keys_pkey",
    expired_places: "places_by_expiry",
    count_others: "keys_by_owner",
    list_of_owner: "keys_by_owner",
    list_of_organization: "keys_by_organization",
    batch_of_owner: "keys_by_owner",
    batch_of_organization: "keys_by_organization",
    expiring: "keys_by_expiry",
    expiring_soon: "keys_by_expiry_of_all",
    secrets_of_keys: "secrets_by_key",
    lock_owner: "owners_pkey",
    lock_owners: "owners_pkey",
    claim_owner: "",
    move_owner: "owners_pkey",
    unclaim_owner: "owners_pkey",
    owner_facts: "owners_pkey places_by_expiry",
    owners_at_sight: "organizations_pkey owners_pkey places_by_expiry",
    organization: "organizations_pkey",
    share_organization: "organizations_pkey",
    lock_organization: "organizations_pkey",
    claim_organization: "",
    unclaim_organization: "organizations_pkey",
    key_of_owner: "keys_by_owner",
    key_of_organization: "keys_by_organization",
    event_by_operation: "audit_pkey operations_pkey",
    audit_of_key: "audit_by_key",
    audit_of_owner: "audit_by_owner",
    audit_of_organization: "audit_by_organization",
    peppers: "secrets_by_pepper",
    keys_under_pepper: "secrets_by_pepper",
    put_organization: "",
    put_owners: "sort",
    put_owner_flag: "keys_by_owner",
    create_for_new: "keys_by_owner organizations_pkey owners_pkey sort",
    create_for_known: "organizations_pkey owners_pkey sort",
    insert_keys: "",
    update_keys: "keys_pkey",
    stop_key: "keys_pkey",
    delete_key: "keys_pkey",
    delete_secrets: "secrets_by_key",
    insert_secrets: "",
    insert_operations: "",
    insert_events: "",
    rehash: "secrets_by_key secrets_pkey",
    touch: "keys_pkey",
    lock_places: "sort",
    charge: "sort",
    lock_gates: "sort",
    places_since: "counts_pkey",
    give_back: "counts_pkey",
    forget_counts: "counts_by_end counts_pkey",
    count_other_nodes: "nodes",
    put_node: "",
    forget_nodes: "nodes",
    lock_recorder: "",
    put_batch: "recorders_pkey",
    lock_reports: "sort",
    put_reports: "reports_pkey",
    unlock_reports: "reports_pkey",
    add_usage: "sort",
    add_reserved: "sort",
    release: "usage_pkey",
    sums_of_days: "usage_pkey",
    budget: "budgets_pkey",
    lock_budget: "budgets_pkey",
    claim_budget: "",
    put_budget: "",
    lock_budget_gates: "sort",
    forget_reports: "reports_by_day reports_pkey",
    forget_batches: "recorders_by_day recorders_pkey",
    series_of_all_units: "usage_pkey sort",
    series_of_one_unit: "usage_pkey sort",
    account_of_key: "usage_by_key",
    log_access: "",
    access: "access_by_organization sort",
    forget_access: "access_pkey sort",
    forget_audit: "audit_pkey operations_by_event sort",
    forget_operations: "operations_by_event sort",
    operations_before: "operations_by_event",
    count_unrecognized: "sort",
    unrecognized: "unrecognized_pkey",
    forget_unrecognized: "unrecognized_pkey",
    export_organizations: "organizations_pkey",
    export_owners: "owners_pkey",
    export_keys: "keys_pkey",
    export_audit: "audit_pkey",
    export_sums: "usage_pkey",
    export_reports: "reports_pkey",
    export_recorders: "recorders_pkey",
    export_budgets: "budgets_pkey",
    export_counts: "counts_pkey",
    export_access: "access_pkey",
    export_unrecognized: "unrecognized_pkey",
    import_organizations: "sort",
    import_owners: "sort",
    import_sums: "sort",
    import_reports: "sort",
    import_recorders: "sort",
    import_budgets: "sort",
    import_counts: "sort",
    import_unrecognized: "sort",
    epochs: "epochs_pkey freshness roll roll_nodes_pkey",
    outdate: "sort",
    note_bound: "",
    call_roll: "epochs_pkey",
    answer_roll: "",
    dismiss: "roll_nodes_pkey",
];

/// 20,000 keys of 10,000 owners in 10 organizations, and what comes with them: ids of five months, so that each partition has some.
const ROWS: &str = "
    INSERT INTO ~organizations SELECT 'org' || n, true FROM generate_series(0, 1000) n;
    INSERT INTO ~owners SELECT 'org' || n % 10, 'account' || n, true, 2, 2, NULL, NULL, 0, '', 0 FROM generate_series(0, 9999) n;
    INSERT INTO ~keys SELECT {n}, 'org' || n % 10, 'account' || n % 10000, 'a key', '', '', '', n,
        CASE WHEN n % 4 > 0 THEN n + 1000000 END, NULL, CASE WHEN n % 5 > 0 THEN 'active' ELSE 'revoked' END, false, 1, ''
        FROM generate_series(1, 20000) n;
    INSERT INTO ~secrets SELECT sha256(n::text::bytea), {n}, 'hmac-sha256', n % 3, NULL, NULL, NULL FROM generate_series(1, 20000) n;
    INSERT INTO ~audit SELECT {n}, {n}, n, 'ada', 'a reason', 'create', 'org' || n % 10, 'account' || n % 10000, {n},
        'a key', NULL, NULL, true, '', '' FROM generate_series(1, 20000) n;
    INSERT INTO ~operations SELECT {n}, {n} FROM generate_series(1, 20000) n;
    INSERT INTO ~counts SELECT sha256((n % 5000)::text::bytea), 60, n, 1, n FROM generate_series(1, 20000) n;
    INSERT INTO ~nodes SELECT {n}, n FROM generate_series(1, 10) n;
    INSERT INTO ~epochs SELECT n, 1 FROM generate_series(0, 1024) n;
    INSERT INTO ~roll_nodes SELECT {n}, n FROM generate_series(1, 10) n;
    INSERT INTO ~usage SELECT 'org' || n % 10, n % 3, 'account' || n % 5000, {n}, 'unit' || n % 2, n / 10000, 1, 0
        FROM generate_series(1, 20000) n;
    INSERT INTO ~gates SELECT 'org' || n % 10, 0, '', {n}, 'unit' FROM generate_series(1, 5000) n;
    INSERT INTO ~reports SELECT {n}, 'unit', 1, 0, n / 1000 FROM generate_series(1, 20000) n;
    INSERT INTO ~recorders SELECT {n}, 1, n / 100 FROM generate_series(1, 5000) n;
    INSERT INTO ~budgets SELECT 'org' || n % 10, 'account' || n, 'unit', '' FROM generate_series(1, 5000) n;
    INSERT INTO ~access SELECT {n}, n, {n}, 'org' || n % 10, 'account' || n % 10000, 'granted', NULL, NULL, NULL, NULL, NULL, 1, NULL
        FROM generate_series(1, 20000) n;
    INSERT INTO ~unrecognized SELECT n, {n}, 1 FROM generate_series(1, 5000) n;
    ANALYZE ~organizations, ~owners, ~keys, ~secrets, ~audit, ~operations, ~counts, ~nodes, ~epochs, ~roll_nodes, ~usage, ~gates,
        ~reports, ~recorders, ~budgets, ~access, ~unrecognized";

/// The id with this number: one every eleven minutes, from five days before this month on.
const ID: &str = "(lpad(to_hex((extract(epoch FROM date_trunc('month', now())) * 1000)::bigint - 432000000 + n * 660000::bigint), 12, '0') \
                  || '70008000000000000000')::uuid";

const FORCED: &str = "SET enable_seqscan = off; SET enable_sort = off; SET enable_hashjoin = off; SET enable_mergejoin = off; \
                      SET jit = off; SET plan_cache_mode = force_generic_plan";

/// With nothing switched off.
const FREE: &str = "SET jit = off; SET plan_cache_mode = force_generic_plan";

struct Server {
    connection: PgConnection,
    prefix: String,
    _schemas: Schemas,
}

impl Server {
    async fn new(partitions: bool, settings: &str, many: Option<u64>) -> Self {
        let schemas = Schemas::new(Way::Direct);
        let name = schemas.name();
        let options = Options::url(&url(Way::Direct)).unwrap().schema(name.as_str()).partitions(partitions);
        options.migrate_now().await.unwrap();
        let mut connection = PgConnection::connect(&url(Way::Direct)).await.unwrap();
        let prefix = format!("{name}.");
        let mut rows = ROWS.replace("{n}", ID).replace('~', &prefix);
        if let Some(many) = many {
            for few in [", 20000)", ", 9999)", ", 5000)", ", 1000)"] {
                rows = rows.replace(few, &format!(", {many})"));
            }
        }
        connection.execute(AssertSqlSafe(rows)).await.unwrap();
        connection.execute(AssertSqlSafe(settings.to_owned())).await.unwrap();
        Self { connection, prefix, _schemas: schemas }
    }

    async fn prepare(&mut self, sql: &str) {
        let prepare = format!("DEALLOCATE ALL; PREPARE asked AS {}", sql.replace('~', &self.prefix));
        self.connection.execute(AssertSqlSafe(prepare)).await.unwrap_or_else(|error| panic!("{error}\n{sql}"));
    }

    /// The steps by which what was prepared would be done with these arguments.
    async fn explain(&mut self, options: &str, arguments: &[String]) -> Vec<String> {
        let arguments = if arguments.is_empty() { String::new() } else { format!("({})", arguments.join(", ")) };
        let explain = AssertSqlSafe(format!("EXPLAIN ({options}) EXECUTE asked{arguments}"));
        let rows = sqlx::raw_sql(explain).fetch_all(&mut self.connection).await.unwrap();
        rows.iter().map(|row| row.get::<String, _>(0)).collect()
    }

    /// The steps of a statement's plan, for any arguments.
    async fn plan(&mut self, sql: &str) -> Vec<String> {
        self.prepare(sql).await;
        // Parts that these arguments would not come to are of the plan as well.
        self.connection.execute("SET enable_partition_pruning = off").await.unwrap();
        let arguments: Vec<String> = numbers(sql).map(|_| "NULL".to_owned()).collect();
        self.explain("COSTS OFF", &arguments).await
    }

    /// The index of the whole table that each partition's belongs to.
    async fn parents(&mut self) -> HashMap<String, String> {
        let sql = "SELECT CAST(c.relname AS text), CAST(p.relname AS text) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
                   JOIN pg_class p ON p.oid = i.inhparent WHERE c.relkind = 'i'";
        let rows = sqlx::raw_sql(sql).fetch_all(&mut self.connection).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }
}

/// Of its arguments.
fn numbers(sql: &str) -> impl Iterator<Item = usize> {
    (1..).take_while(|number| sql.contains(&format!("${number}")))
}

fn word_after<'s>(step: &'s str, before: &str) -> Option<&'s str> {
    step.split_once(before)?.1.split(' ').next()
}

/// Fails where a table is read whole that may be large, or a sort or an index is not the expected one.
async fn assert_plans(mut server: Server) {
    let parents = server.parents().await;
    let mut wrong = Vec::new();
    for ((name, sql), (_, wanted)) in ALL.iter().zip(PLANS) {
        let steps = server.plan(sql).await;
        let mut found = BTreeSet::new();
        for step in &steps {
            if let Some(index) = word_after(step, " using ").or(word_after(step, "Bitmap Index Scan on ")) {
                found.insert(parents.get(index).map_or(index, String::as_str));
            }
            if let Some(table) = word_after(step, "Seq Scan on ") {
                found.insert(if READ_WHOLE.contains(&table) { table } else { "a table read whole" });
            }
            if step.trim().trim_start_matches("->  ") == "Sort" || step.contains("Incremental Sort") {
                found.insert("sort");
            }
        }
        if found != wanted.split(' ').filter(|word| !word.is_empty()).collect() {
            wrong.push(format!("{name}: {found:?} and not {wanted}\n{}", steps.join("\n")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[tokio::test]
async fn each_statement_goes_by_its_indexes_in_plain_tables() {
    assert_plans(Server::new(false, FORCED, None).await).await;
}

#[tokio::test]
async fn each_statement_goes_by_its_indexes_in_partitions() {
    assert_plans(Server::new(true, FORCED, None).await).await;
}

#[tokio::test]
async fn no_large_table_is_read_whole_though_the_planner_is_free_to() {
    for partitions in [false, true] {
        let mut server = Server::new(partitions, FREE, Some(100_000)).await;
        for (name, sql) in ALL {
            let steps = server.plan(sql).await;
            let large: Vec<_> = read_whole(&steps).filter(|table| !READ_WHOLE.contains(table)).collect();
            assert!(large.is_empty(), "{name} reads {large:?} whole\n{}", steps.join("\n"));
        }
    }
}

/// The tables of which these steps read all rows, or all up to a limit that they do not have: one after the other, or by an index.
fn read_whole(steps: &[String]) -> impl Iterator<Item = &str> {
    let depth = |step: &str| step.len() - step.trim_start().len();
    steps.iter().enumerate().filter_map(move |(place, step)| {
        if let Some(table) = word_after(step, "Seq Scan on ") {
            return Some(table);
        }
        let (_, table) = step.split_once(" using ")?.1.split_once(" on ")?;
        let is_limited = place > 0 && steps[place - 1].trim().trim_start_matches("->  ") == "Limit";
        let mut told = steps[place + 1..].iter().take_while(|told| depth(told) > depth(step));
        let has_range = told.any(|told| told.trim().starts_with("Index Cond:"));
        (!has_range && !is_limited).then(|| table.split(' ').next().unwrap_or_default())
    })
}

#[test]
fn what_goes_by_an_index_from_end_to_end_reads_its_table_whole() {
    let read = |steps: &str| {
        let steps: Vec<String> = steps.lines().map(str::to_owned).collect();
        read_whole(&steps).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(read("Sort\n  ->  Seq Scan on keys k"), ["keys"]);
    assert_eq!(read("Append\n  ->  Index Scan using keys_pkey on keys k\n        Filter: (state = $1)"), ["keys"]);
    assert!(read("Index Scan using keys_pkey on keys k\n  Index Cond: (id = $1)").is_empty());
    assert!(read("Limit\n  ->  Index Only Scan using keys_pkey on keys k").is_empty());
}

/// Stands in each argument that is shown where a plan was made for it alone.
const MARK: &str = "6d61726b";

/// An argument of a type as its statement names it.
fn argument(sql: &str, number: usize) -> String {
    let place = format!("${number}::");
    let of = sql.split_once(&place).unwrap_or_else(|| panic!("{place} in {sql}")).1;
    let of: String = of.chars().take_while(|char| char.is_alphanumeric() || "[]".contains(*char)).collect();
    let one = match of.trim_end_matches("[]") {
        "uuid" => format!("01900000-0000-7000-8000-0000{MARK}"),
        "bytea" => format!("\\\\x{MARK}"),
        "bigint" => "1".to_owned(),
        "text" => MARK.to_owned(),
        other => panic!("{other}"),
    };
    let one = if of.ends_with("[]") { format!("{{{one}}}") } else { one };
    format!("'{one}'::{of}")
}

/// To make a plan costs more than to look a key up by it, and as much as to create one.
#[tokio::test]
async fn what_is_waited_for_goes_by_a_plan_that_is_kept_however_few_wait() {
    let mut server = Server::new(false, "SET jit = off", Some(100_000)).await;
    let mut wrong = Vec::new();
    for (name, sql) in ALL {
        if !["find_by_id", "find_one_by_id", "find_by_digest", "owners_at_sight", "create_for_new", "create_for_known"]
            .contains(name)
        {
            continue;
        }
        let arguments: Vec<String> = numbers(sql).map(|number| argument(sql, number)).collect();
        server.prepare(sql).await;
        let mut steps = Vec::new();
        // The first five are made for their arguments, whatever comes of it.
        for _ in 0..6 {
            steps.push(server.explain("VERBOSE, COSTS OFF", &arguments).await.join("\n"));
        }
        assert!(steps[0].contains(MARK), "{name}: the mark is shown\n{}", steps[0]);
        if steps[5].contains(MARK) {
            wrong.push(*name);
        }
    }
    assert!(wrong.is_empty(), "planned anew each time: {wrong:?}");
}

#[test]
fn no_statement_is_left_out_above() {
    let names = |list: &[(&'static str, &str)]| list.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    assert_eq!(names(PLANS), names(ALL));
}
