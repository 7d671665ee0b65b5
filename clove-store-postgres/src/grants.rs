//! What a role needs that serves and may do no more.

use std::fmt::Write;

/// Each table, and what the statements do to it. An audit event is written, read and forgotten, and never changed; nor is a line of
/// the access log.
const NEEDS: &[(&str, &str)] = &[
    ("clove_schema", "SELECT"),
    ("organizations", "SELECT, INSERT, UPDATE, DELETE"),
    ("owners", "SELECT, INSERT, UPDATE, DELETE"),
    ("keys", "SELECT, INSERT, UPDATE, DELETE"),
    ("secrets", "SELECT, INSERT, UPDATE, DELETE"),
    ("audit", "SELECT, INSERT, DELETE"),
    ("operations", "SELECT, INSERT, DELETE"),
    ("counts", "SELECT, INSERT, UPDATE, DELETE"),
    ("nodes", "SELECT, INSERT, UPDATE, DELETE"),
    ("epochs", "SELECT, INSERT, UPDATE"),
    ("freshness", "SELECT, INSERT, UPDATE"),
    ("roll", "SELECT, INSERT, UPDATE"),
    ("roll_nodes", "SELECT, INSERT, UPDATE, DELETE"),
    ("usage", "SELECT, INSERT, UPDATE"),
    ("gates", "SELECT, INSERT, UPDATE"),
    ("reports", "SELECT, INSERT, UPDATE, DELETE"),
    ("recorders", "SELECT, INSERT, UPDATE, DELETE"),
    ("budgets", "SELECT, INSERT, UPDATE"),
    ("access", "SELECT, INSERT, DELETE"),
    ("unrecognized", "SELECT, INSERT, UPDATE, DELETE"),
];

/// The statements; `schema` as it stands before a table's name.
pub(crate) fn script(schema: &str, role: &str) -> String {
    let (name, role) = (schema.trim_end_matches('.'), format!("\"{}\"", role.replace('"', "\"\"")));
    let mut script = format!(
        "BEGIN;\nREVOKE ALL ON SCHEMA {name} FROM {role};\nREVOKE ALL ON ALL TABLES IN SCHEMA {name} FROM {role};\n\
         GRANT USAGE ON SCHEMA {name} TO {role};\n"
    );
    for (table, needed) in NEEDS {
        // A text takes whatever is written to it.
        let _ = writeln!(script, "GRANT {needed} ON {schema}{table} TO {role};");
    }
    script.push_str("COMMIT;\n");
    script
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::ALL;
    use std::collections::{BTreeMap, BTreeSet};

    /// What Postgres asks for, read out of the statements.
    fn used() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
        let mut used: BTreeMap<_, BTreeSet<_>> = BTreeMap::from([("clove_schema", BTreeSet::from(["SELECT"]))]);
        for (_, sql) in ALL {
            let words: Vec<&str> = sql.split([' ', '(', ')', ',']).filter(|word| !word.is_empty()).collect();
            let mut target = None;
            for pair in words.windows(2) {
                let &[before, word] = pair else { continue };
                let Some(table) = word.strip_prefix('~') else { continue };
                let needed = match (before, words.first()) {
                    ("INTO", _) => "INSERT",
                    ("UPDATE", _) => "UPDATE",
                    ("FROM", Some(&"DELETE")) if target.is_none() => "DELETE",
                    _ => "SELECT",
                };
                target = target.or(Some(table));
                used.entry(table).or_default().insert(needed);
            }
            let Some(target) = target else { continue };
            let needed = used.entry(target).or_default();
            // A condition, what is returned, and the columns of a conflict are read.
            if ["WHERE", "RETURNING", "CONFLICT"].iter().any(|word| words.contains(word)) {
                needed.insert("SELECT");
            }
            let text = words.join(" ");
            // Who holds a row could change it.
            if ["DO UPDATE", "FOR UPDATE", "FOR SHARE"].iter().any(|words| text.contains(words)) {
                needed.insert("UPDATE");
            }
        }
        used
    }

    #[test]
    fn a_role_gets_what_the_statements_need_and_no_more() {
        let granted: BTreeMap<_, BTreeSet<_>> =
            NEEDS.iter().map(|(table, needed)| (*table, needed.split(", ").collect())).collect();
        assert_eq!(granted, used());
    }

    #[test]
    fn a_role_is_named_whatever_its_name_is() {
        let script = script("\"keys\".", "the \"app\"; DROP");
        assert!(script.contains("GRANT USAGE ON SCHEMA \"keys\" TO \"the \"\"app\"\"; DROP\";\n"), "{script}");
    }
}
