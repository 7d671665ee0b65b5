//! What the statements may not hold.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::ALL;

const SCHEMA: &str = include_str!("../schema/v1.sql");

/// Words, and single characters that are none, of a text without comments and quoted parts.
fn tokens(sql: &str) -> Vec<String> {
    let lines = sql.lines().map(|line| line.split("--").next().unwrap_or_default());
    let plain: String = lines.collect::<Vec<_>>().join(" ").split('\'').step_by(2).collect::<Vec<_>>().join("''");
    let mut tokens = vec![String::new()];
    for character in plain.chars() {
        if character.is_alphanumeric() || matches!(character, '_' | '~' | '$') {
            tokens.last_mut().unwrap().push(character.to_ascii_lowercase());
        } else {
            tokens.extend([character.to_string(), String::new()]);
        }
    }
    tokens.retain(|token| !token.trim().is_empty());
    tokens
}

/// All texts there are: statements, and those that make the schema.
fn texts() -> impl Iterator<Item = (&'static str, &'static str)> {
    // Partitions are for who has them: `Options::partitions`.
    let made = [("v1.sql", SCHEMA), ("schema.rs", crate::schema::ROOT)];
    ALL.iter().copied().chain(made)
}

fn tables() -> Vec<&'static str> {
    let names = SCHEMA.split("CREATE TABLE ").skip(1);
    names.map(|rest| rest.split(' ').next().unwrap().trim_start_matches('~')).collect()
}

/// What one of the three does not have, or has in a form of its own; as tokens, and the reason.
const FOREIGN: &[(&str, &str)] = &[
    ("advisory", "locks that a pooler leaves behind, and that the others have not"),
    ("pg_advisory_lock", "as above"),
    ("pg_advisory_xact_lock", "as above"),
    ("listen", "needs a session, and a primary"),
    ("notify", "as above"),
    ("exclude", "exclusion constraints"),
    ("do $", "procedural code"),
    ("language", "as above"),
    ("function", "as above"),
    ("procedure", "as above"),
    ("trigger", "as above"),
    ("rule", "as above"),
    ("call", "as above"),
    ("xmin", "a column of Postgres's own storage"),
    ("xmax", "as above"),
    ("cmin", "as above"),
    ("ctid", "as above"),
    ("tableoid", "as above"),
    ("offset", "pages go by keyset"),
    ("merge", "not before Postgres 15, and not there"),
    ("no key update", "a lock of Postgres's own"),
    ("for key share", "as above"),
    ("lock table", "as above"),
    ("skip locked", "not in older ones"),
    ("nowait", "as above"),
    ("distinct on", "an order of Postgres's own"),
    ("on conflict on constraint", "names of indexes differ"),
    ("tablesample", "not there"),
    ("only", "inheritance"),
    ("inherits", "as above"),
    ("temp", "of a session, which a pooler shares out"),
    ("temporary", "as above"),
    ("unlogged", "not durable"),
    ("deferrable", "not there"),
    ("deferred", "as above"),
    ("cursor", "of a session"),
    ("fetch", "as above"),
    ("copy", "of a protocol of its own"),
    ("returning *", "columns are named"),
    ("serial", "numbers that have gaps elsewhere"),
    ("sequence (", "as above"),
    ("nextval", "as above"),
    ("generated", "as above"),
    ("identity", "as above"),
    ("references", "a check for each write; the transaction holds what belongs together"),
    ("cascade", "as above"),
    ("using gin", "another kind of index"),
    ("using gist", "as above"),
    ("using brin", "as above"),
    ("using hash", "as above"),
    ("include", "as above"),
    ("create extension", "not there"),
    ("create type", "as above"),
    ("create domain", "as above"),
    ("search_path", "a pooler keeps none"),
    ("txid_current", "transactions are not numbered there"),
    ("regclass", "a name of Postgres's own"),
    ("materialized", "not before Postgres 12, and not there"),
    ("unique nulls", "not before Postgres 15"),
    ("max ( id )", "not of a uuid before Postgres 18"),
    ("min ( id )", "as above"),
];

#[test]
fn nothing_is_used_that_another_of_the_databases_lacks() {
    for (name, sql) in texts() {
        let text = format!(" {} ", tokens(sql).join(" "));
        for (foreign, why) in FOREIGN {
            assert!(!text.contains(&format!(" {foreign} ")), "{name}: {foreign}: {why}");
        }
        assert!(!sql.contains("$$"), "{name}: procedural code");
        assert!(!text.contains(" do ") || text.contains(" on conflict "), "{name}: procedural code");
        let named = tokens(sql).into_iter().find(|token| token.starts_with("pg_"));
        assert_eq!(named, None, "{name}: the catalogue, or a function, of Postgres's own");
    }
}

#[test]
fn each_table_stands_behind_the_name_of_the_schema() {
    let tables = tables();
    for (name, sql) in texts() {
        let tokens = tokens(sql);
        for (place, token) in tokens.iter().enumerate() {
            let before = place.checked_sub(1).map(|place| tokens[place].as_str()).unwrap_or_default();
            if let Some(table) = token.strip_prefix('~') {
                let is_made = ["v1.sql", "schema.rs"].contains(&name);
                assert!(is_made || tables.contains(&table), "{name}: there is no table {table}");
                continue;
            }
            // UPDATE behind FOR, DO and THEN names no table; FROM in `extract(epoch FROM ...)` neither.
            let begins = match before {
                "from" => tokens.get(place.wrapping_sub(2)).is_none_or(|before| before != "epoch"),
                "join" | "into" | "using" => true,
                "update" => !["for", "do"].contains(&tokens[place.saturating_sub(2)].as_str()),
                _ => false,
            };
            // What a statement calls itself: `n AS (`, `v(pepper) AS (`.
            let is_named = |at: usize| {
                let next = |more: usize| tokens.get(at + more).map(String::as_str);
                tokens[at] == *token && (next(1) == Some("as") && next(2) == Some("(") || at > 0 && tokens[at - 1] == "recursive")
            };
            let is_own = ["(", "unnest", "lateral"].contains(&token.as_str()) || (0..tokens.len()).any(is_named);
            assert!(!begins || is_own, "{name}: {before} {token}");
        }
    }
}

#[test]
fn text_compares_by_bytes_wherever_it_is_stored() {
    for line in SCHEMA.lines().filter(|line| line.split_whitespace().nth(1) == Some("text")) {
        assert!(line.contains("text COLLATE \"C\""), "{line}");
    }
}

#[test]
fn every_argument_of_a_statement_is_used() {
    for (name, sql) in ALL {
        let numbers: Vec<usize> = tokens(sql).iter().filter_map(|token| token.strip_prefix('$')?.parse().ok()).collect();
        let most = numbers.iter().copied().max().unwrap_or_default();
        assert!((1..=most).all(|number| numbers.contains(&number)), "{name}");
    }
}
