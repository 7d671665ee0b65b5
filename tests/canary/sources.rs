//! The public types, as the sources tell them, so that none is forgotten.

use std::{collections::BTreeSet, fs, path::Path};

const CRATES: [&str; 3] = ["clove-core", "clove-store-sqlite", "clove-testkit"];

fn read(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, text);
        } else {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

pub(crate) fn all() -> String {
    let (root, mut text) = (Path::new(env!("CARGO_MANIFEST_DIR")), String::new());
    CRATES.iter().for_each(|name| read(&root.join(name).join("src"), &mut text));
    text
}

fn ident(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("")
}

/// A public type: its name, whether it has a serde form, and its variants if it is an enum.
pub(crate) struct Public {
    pub(crate) name: String,
    pub(crate) serialised: bool,
    pub(crate) variants: Vec<String>,
}

/// All public types. What a macro makes is found by its calls. (A `pub` type is reachable: a lint sees to that.)
pub(crate) fn public_types(sources: &str) -> Vec<Public> {
    let (mut found, mut serialised, mut in_macro) = (Vec::new(), false, None);
    let mut lines = sources.lines().peekable();
    while let Some(line) = lines.next() {
        let trimmed = line.trim_start();
        if let Some(name) = line.strip_prefix("macro_rules! ") {
            in_macro = Some(ident(name));
        } else if line == "}" {
            in_macro = None;
        }
        serialised |= trimmed.starts_with("#[") && trimmed.contains("serde::Serialize");
        let Some((kind, rest)) = trimmed.strip_prefix("pub ").and_then(|item| item.split_once(' ')) else { continue };
        if !["struct", "enum", "union"].contains(&kind) {
            continue;
        }
        let serialised = std::mem::take(&mut serialised);
        if let (Some(called), true) = (in_macro, rest.starts_with('$')) {
            let call = format!("\n{called}!(");
            let calls = sources.split(&call).skip(1);
            let names = calls.map(|call| call.lines().map(str::trim).find(|line| line.starts_with(char::is_uppercase)).unwrap());
            found.extend(names.map(|name| Public { name: ident(name).to_owned(), serialised, variants: Vec::new() }));
            continue;
        }
        let mut variants = Vec::new();
        while kind == "enum" && lines.peek().is_some_and(|line| *line != "}") {
            let variant =
                lines.next().and_then(|line| line.strip_prefix("    ")).filter(|line| line.starts_with(char::is_uppercase));
            variants.extend(variant.map(|variant| ident(variant).to_owned()));
        }
        found.push(Public { name: ident(rest).to_owned(), serialised, variants });
    }
    found
}

#[test]
fn the_sources_tell_all_public_types() {
    let types = public_types(&all());
    let names: BTreeSet<&str> = types.iter().map(|public| public.name.as_str()).collect();
    for known in ["Key", "KeyId", "AuditId", "OrganizationId", "Actor", "Candidate", "SqliteStore", "TestClock", "Metadata"] {
        assert!(names.contains(known), "{known}");
    }
    let of = |name: &str| types.iter().find(|public| public.name == name).unwrap();
    assert_eq!(of("Unique").variants, ["KeyId", "Digest", "OperationId", "AuditId", "Row"]);
    assert_eq!(of("StoreError").variants.len(), 6);
    assert!(of("KeyId").serialised && of("Actor").serialised && of("Key").serialised);
    assert!(!of("Secret").serialised && !of("Digest").serialised && !of("StoredKey").serialised);
}
