//! What the statements may not hold, those included that are written out where they are sent.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::ALL;
use std::{collections::BTreeSet, fs};

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

/// All texts there are: statements, what makes the schema, and whatever else is sent, by the file that it stands in.
fn texts() -> Vec<(String, String)> {
    let mut texts: Vec<_> = ALL.iter().map(|(name, sql)| ((*name).to_owned(), (*sql).to_owned())).collect();
    texts.push(("v1.sql".to_owned(), SCHEMA.to_owned()));
    for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        // Those of `sql.rs` are whole in the list above, and what `grants.rs` makes is for people to run.
        if file.ends_with(".rs") && !["sql.rs", "grants.rs"].contains(&file.as_str()) {
            texts.extend(written_out(&fs::read_to_string(&path).unwrap()).map(|sql| (file.clone(), sql)));
        }
    }
    texts
}

/// The literals of a source that begin as statements do.
fn written_out(source: &str) -> impl Iterator<Item = String> {
    let code = source.split("\n#[cfg(test)]").next().unwrap_or_default();
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let code = code.lines().filter(is_code).collect::<Vec<_>>().join("\n").replace("\\\"", "").replace("'\"'", "");
    let literals: Vec<String> = code.split('"').skip(1).step_by(2).map(str::to_owned).collect();
    literals.into_iter().map(|literal| literal.replace("\\n", "\n").replace('\\', "")).filter(|literal| {
        let first = literal.split([' ', ';']).next().unwrap_or_default();
        BEGINNINGS.contains(&first) || first == "{limit}" || first == "{LIMIT}"
    })
}

/// How statements begin.
const BEGINNINGS: [&str; 13] =
    ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "CREATE", "ALTER", "DROP", "BEGIN", "COMMIT", "ROLLBACK", "SET", "LOCK"];

/// What is Postgres's own all the same, where it stands, and why it may.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("open.rs", "pg_backend_pid", "the others have it; asked only where `Options::prepared` does not say"),
    (
        "partitions.rs",
        "pg_catalog",
        "asked only where partitions are wanted, which the others are not to have: `Options::partitions`",
    ),
    ("partitions.rs", "pg_class", "as above"),
    ("partitions.rs", "pg_inherits", "as above"),
    ("partitions.rs", "regclass", "as above"),
];

fn is_excepted(name: &str, token: &str) -> bool {
    EXCEPTIONS.iter().any(|(file, excepted, _)| *file == name && *excepted == token)
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
        let tokens = tokens(&sql);
        let text = format!(" {} ", tokens.join(" "));
        for (foreign, why) in FOREIGN {
            assert!(!text.contains(&format!(" {foreign} ")) || is_excepted(&name, foreign), "{name}: {foreign}: {why}");
        }
        assert!(!sql.contains("$$"), "{name}: procedural code");
        assert!(!text.contains(" do ") || text.contains(" on conflict "), "{name}: procedural code");
        let named = tokens.iter().find(|token| token.starts_with("pg_") && !is_excepted(&name, token));
        assert_eq!(named, None, "{name}: the catalogue, or a function, of Postgres's own");
    }
}

#[test]
fn every_exception_is_made_use_of() {
    let texts = texts();
    for (file, excepted, _) in EXCEPTIONS {
        let is_used = |(name, sql): &(String, String)| name == file && tokens(sql).iter().any(|token| token == excepted);
        assert!(texts.iter().any(is_used), "{file}: {excepted}");
    }
}

/// CockroachDB refuses a statement that writes a table in two places, unless both are inserts without `ON CONFLICT`.
#[test]
fn no_statement_writes_a_table_twice() {
    for (name, sql) in texts() {
        for statement in tokens(&sql).split(|token| token == ";") {
            let writes =
                |words: &[String]| matches!(&*words[..2].join(" "), "insert into" | "delete from") || words[1] == "update";
            let written: Vec<_> = statement.windows(3).filter(|words| writes(words) && words[2].starts_with('~')).collect();
            let tables: BTreeSet<_> = written.iter().map(|words| &words[2]).collect();
            assert_eq!(written.len(), tables.len(), "{name}: {written:?}");
        }
    }
}

#[test]
fn each_table_stands_behind_the_name_of_the_schema() {
    let tables = tables();
    for (name, sql) in texts() {
        let is_listed = ALL.iter().any(|(listed, _)| *listed == name);
        let tokens = tokens(&sql);
        for (place, token) in tokens.iter().enumerate() {
            let before = place.checked_sub(1).map(|place| tokens[place].as_str()).unwrap_or_default();
            if let Some(table) = token.strip_prefix('~') {
                assert!(!is_listed || tables.contains(&table), "{name}: there is no table {table}");
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
            assert!(!begins || is_own || is_excepted(&name, token), "{name}: {before} {token}");
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
