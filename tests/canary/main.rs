//! A whole life, and everything that was said on the way searched for what must never be said.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[cfg(all(feature = "tracing", feature = "metrics"))]
#[path = "../signals/capture.rs"]
mod capture;
mod ear;
mod life;
mod nosy;
mod sources;

use clove::{Hashing, Status, sqlite};
use clove_testkit::Fixture;
use ear::{Ear, hear};
use std::path::Path;

const PEPPERS: [&[u8; 32]; 2] = [b"canary-pepper-canary-pepper-0000", b"second-pepper-second-pepper-0000"];
const METADATA: &str = r#"{"note":"canary-metadata"}"#;
const IMPORTED: &str = "canary-imported-secret";

/// Without padding: what is said with it holds what is said without.
fn base64(bytes: &[u8], last: &[u8; 2]) -> String {
    let digits: Vec<u8> = (b'A'..=b'Z').chain(b'a'..=b'z').chain(b'0'..=b'9').chain(*last).collect();
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |place| byte >> place & 1)).collect();
    bits.chunks(6)
        .map(|six| (0..6).fold(0, |sum, place| sum << 1 | six.get(place).unwrap_or(&0)))
        .map(|digit: u8| char::from(digits[usize::from(digit)]))
        .collect()
}

#[test]
fn the_search_knows_base64() {
    assert_eq!((base64(b"Man", b"+/"), base64(&[0xfb, 0xff], b"-_")), ("TWFu".into(), "-_8".into()));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The ways in which bytes could be said.
fn spelled(bytes: &[u8]) -> [String; 5] {
    [
        hex(bytes),
        hex(bytes).to_uppercase(),
        base64(bytes, b"+/"),
        base64(bytes, b"-_"),
        format!("{}, {}, {}, {}", bytes[0], bytes[1], bytes[2], bytes[3]),
    ]
}

/// What was said before a canary, where it was said. A part of it would be a leak as well.
fn said_before<'s>(said: &'s str, canary: &str) -> Option<&'s str> {
    let at = said.find(&canary[..canary.len().min(20)])?;
    Some(&said[said.floor_char_boundary(at.saturating_sub(200))..at])
}

#[tokio::test]
async fn nothing_says_a_secret_a_digest_a_salt_a_pepper_or_metadata() {
    let (ear, folder) = (Ear::default(), tempfile::tempdir().unwrap());
    let (panics, usual) = (ear.clone(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |info| {
        let said = info.to_string();
        if !said.contains(nosy::MEANT) {
            usual(info);
        }
        panics.note("", Some(said), None, None);
    }));
    let options = sqlite::Options::new(folder.path().join("keys.db"));
    hear!(ear, options);
    let sqlite = options.open().unwrap();
    hear!(ear, sqlite);
    let store = nosy::Nosy::new(sqlite, ear.clone());
    let mut fixture = Fixture::on(store.clone(), life::policy(Hashing::hmac(life::pepper(1)).readable(life::pepper(2)))).unwrap();
    fixture.clove = life::observed(&fixture, &store, &ear);
    #[cfg(all(feature = "tracing", feature = "metrics"))]
    let (events, series) = (capture::Events::default(), capture::Series::default());
    #[cfg(all(feature = "tracing", feature = "metrics"))]
    let guards = (tracing::subscriber::set_default(events.clone()), metrics::set_default_local_recorder(&series));
    let secrets = life::live(&fixture, &store, &ear).await;
    #[cfg(all(feature = "tracing", feature = "metrics"))]
    {
        drop(guards);
        let said = events.said();
        assert!(said.len() > 20, "{} events", said.len());
        said.into_iter().for_each(|said| ear.note("", Some(said.text), None, None));
        ear.note("", Some(format!("{:?} {:?}", series.counts(), series.described())), None, None);
    }
    let _ = std::panic::take_hook();
    life::fail(&secrets[1], &ear);

    let (kept, heard) = (store.kept(), ear.heard());
    // Those of the first key, of its next secret and of the one that is gone; that of the next pepper; the import's and its salt.
    assert!(kept.len() >= 6 && secrets.len() == 4, "{} digests and salts", kept.len());
    for known in [nosy::MEANT, "not valid", &Status::Compromised.to_string()] {
        assert!(heard.said.contains(known), "{known} was not heard");
    }
    let of_bytes = kept.iter().map(Vec::as_slice).chain(PEPPERS.map(<[u8; 32]>::as_slice)).flat_map(spelled);
    let of_text = secrets.into_iter().chain(PEPPERS.map(|pepper| String::from_utf8(pepper.to_vec()).unwrap()));
    for canary in of_bytes.chain(of_text) {
        for said in [&heard.said, &heard.forms] {
            assert_eq!(said_before(said, &canary), None);
        }
    }
    // It is in the serde form of a key and of itself: a host may show it.
    assert_eq!(said_before(&heard.said, "canary-metadata"), None);

    let mut types = sources::public_types(&sources::all());
    types.retain(|public| cfg!(feature = "tracing") || public.name != "TracingObserver");
    types.retain(|public| cfg!(feature = "metrics") || public.name != "MetricsObserver");
    let missing: Vec<&str> =
        types.iter().map(|public| public.name.as_str()).filter(|name| !heard.names.contains(*name)).collect();
    assert_eq!(missing, [""; 0], "public types that were not heard");
    for errors in ["Error", "Fault", "StoreError", "RecordError", "Refusal", "Unique", "CorruptRow"] {
        let of = types.iter().find(|public| public.name == errors).unwrap();
        let missing = of.variants.iter().find(|variant| !heard.names.contains(&format!("{errors}::{variant}")));
        assert_eq!(missing, None, "a variant of {errors} that was not heard");
    }
    #[cfg(feature = "serde")]
    for public in types.iter().filter(|public| public.serialised) {
        assert!(heard.serialised.contains(&public.name), "{}'s serde form was not heard", public.name);
    }
}

/// Whoever brings events elsewhere, has them heard in the test above.
#[test]
fn only_the_adapter_emits_events_and_nothing_prints() {
    let read = |path: &str| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let optional = [r#"tracing = ["dep:tracing"]"#, "tracing = { workspace = true, optional = true }"];
    for manifest in ["clove-core/Cargo.toml", "clove-store-sqlite/Cargo.toml", "clove-testkit/Cargo.toml"] {
        for line in read(manifest).lines().filter(|line| !(manifest.starts_with("clove-core") && optional.contains(line))) {
            assert!(!["log", "tracing", "slog", "defmt"].iter().any(|name| line.starts_with(name)), "{manifest}: {line}");
        }
    }
    let (all, adapter) = (sources::all(), read("clove-core/src/signal/tracing.rs"));
    assert_eq!(all.matches("event!(").count(), adapter.matches("event!(").count());
    for says in ["println!", "print!", "dbg!", "stderr()", "stdout()"] {
        assert!(!all.contains(says), "{says}");
    }
}
