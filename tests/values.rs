//! Arguments and policies out of range are refused, each by its field and rule.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use chrono::{DateTime, TimeDelta};
use clove::{
    AccountId, By, Description, Expiry, ExpiryPolicy, Metadata, Name, OrganizationId, Owner, Policy, id::Actor, key::Reason,
};
use clove_testkit::Fixture;
use std::time::Duration;
use support::{fixture, invalid, named};

#[test]
fn names_and_metadata_state_their_rules_and_never_the_value() {
    for bad in ["", " x", "x ", "a\nb", "a\u{200b}b", "a\u{202e}b", "pаypal", "a\u{a0}b", &"x".repeat(65), &"x".repeat(1 << 20)]
    {
        let error = Name::new(bad).unwrap_err();
        assert!(error.field == "name" && (bad.trim().len() < 2 || !error.to_string().contains(bad)), "{error}");
    }
    for good in ["laptop", "Ada's laptop (работа)", "日本語 キー", "🔑", &"x".repeat(64)] {
        Name::new(good).unwrap_or_else(|error| panic!("{good}: {error}"));
    }
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let deep_in_objects = |inner: &str| format!("{}{inner}{}", r#"{"a":"#.repeat(8), "}".repeat(8));
    assert!(Metadata::new(deep_in_objects("{}")).is_err() && Metadata::new(deep_in_objects("[]")).is_err());
    assert!(Metadata::new(deep_in_objects("1")).is_ok());
    for bad in ["{", "{}x", r#"{"a":1,"a":2}"#, r#""\u0000""#, &deep(9), &deep(3000), &format!("\"{}\"", "x".repeat(4095))] {
        assert!(Metadata::new(bad).is_err(), "{} bytes", bad.len());
    }
    for good in ["{}", r#" {"a" : [1, null]} "#, &deep(8), &format!("\"{}\"", "x".repeat(4094))] {
        assert_eq!(Metadata::new(good).unwrap().as_str(), good);
    }
}

#[test]
fn what_looks_like_nothing_or_like_something_else_is_no_name() {
    for bad in [
        "\u{301}",
        "a \u{301}b",
        "a\u{1d159}b",
        "a\u{13430}b",
        "a\u{1bca0}b",
        "a\u{16fe4}b",
        "a\u{e000}b",
        "a\u{378}b",
        "a\u{10ffff}b",
        "a\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}",
        "\u{feff}",
        "a\u{200d}b",
        "a\u{3164}b",
    ] {
        assert_eq!(Name::new(bad).unwrap_err().field, "name", "{bad:?}");
    }
    for good in ["Việt Nam", "नमस्ते", "שלום", "x̂", "сосо"] {
        Name::new(good).unwrap_or_else(|error| panic!("{good}: {error}"));
    }
}

#[test]
fn a_name_is_kept_in_the_composed_form_and_other_texts_as_given() {
    assert_eq!(Name::new("Cafe\u{301}").unwrap(), Name::new("Caf\u{e9}").unwrap());
    assert_eq!(Name::new("Cafe\u{301}").unwrap().as_str(), "Caf\u{e9}");
    assert_eq!(Description::new("Cafe\u{301}").unwrap().as_str(), "Cafe\u{301}");
    assert_ne!(Owner::new("cafe\u{301}", "ada").unwrap(), Owner::new("caf\u{e9}", "ada").unwrap());
}

#[test]
fn nobody_is_named_by_what_cannot_be_seen() {
    for bad in ["alice\u{202e}bob", "a\u{200b}b", "\u{feff}", "a\u{ad}b", "a\u{2066}b", "a\u{e0041}b", "a\u{378}b"] {
        assert_eq!(Owner::new(bad, "ada").unwrap_err().field, "organization", "{bad:?}");
        assert_eq!(Owner::new("acme", bad).unwrap_err().field, "account", "{bad:?}");
        assert_eq!(By::new(bad, "why").unwrap_err().field, "actor", "{bad:?}");
    }
}

#[test]
fn stored_metadata_is_bounded_and_its_form_is_not_judged_again() {
    for bad in ["a\0b".to_owned(), "x".repeat(4097), "\0not json".repeat(200_000)] {
        let error = Metadata::from_stored(bad.clone()).unwrap_err();
        assert!(error.field == "metadata" && !error.to_string().contains("not json"), "{error}");
    }
    for good in ["", "not json", &"[".repeat(4096)] {
        assert_eq!(Metadata::from_stored(good).unwrap().as_str(), good);
    }
}

#[test]
fn stored_texts_are_taken_back_though_the_rules_of_today_refuse_them() {
    let old = format!("pаypal \u{202e}{} ", "x".repeat(1000));
    assert!(Name::new(&old).is_err() && Reason::new(&old).is_err() && Description::new(&old).is_err());
    assert_eq!(Name::from_stored(&old).unwrap().as_str(), old);
    assert_eq!(Description::from_stored(&old).unwrap().as_str(), old);
    assert_eq!(Reason::from_stored(&old).unwrap().as_str(), old);
    assert_eq!(Actor::from_stored(&old).unwrap().as_str(), old);
    assert_eq!(OrganizationId::from_stored(&old).unwrap().as_str(), old);
    assert_eq!(AccountId::from_stored(&old).unwrap().as_str(), old);
    for never in ["", "a\0b", "a\u{1b}b", &"x".repeat(4097)] {
        assert!(Name::from_stored(never).is_err() && Reason::from_stored(never).is_err(), "{} bytes", never.len());
        assert!(Actor::from_stored(never).is_err() && AccountId::from_stored(never).is_err(), "{} bytes", never.len());
        assert!(never.is_empty() || Description::from_stored(never).is_err(), "{} bytes", never.len());
    }
}

#[tokio::test]
async fn a_choice_of_expiry_out_of_range_is_refused_and_never_overflows() {
    let policy = Policy::builder()
        .expiry(ExpiryPolicy { custom: Some((1, 3650)), never: true, ..ExpiryPolicy::default() })
        .build()
        .unwrap();
    let fixture = Fixture::new(policy).unwrap();
    let now = fixture.clove.now();
    for wrong in [
        Expiry::Days(0),
        Expiry::Days(3651),
        Expiry::Days(u32::MAX),
        Expiry::At(now),
        Expiry::At(now + TimeDelta::days(1) - TimeDelta::microseconds(1)),
        Expiry::At(now + TimeDelta::days(3650) + TimeDelta::microseconds(1)),
        Expiry::At(DateTime::<chrono::Utc>::MAX_UTC),
        Expiry::At(DateTime::<chrono::Utc>::MIN_UTC),
    ] {
        let error = invalid(fixture.clove.create(&fixture.owner, named("x").expiry(wrong), &fixture.by).await);
        assert_eq!(error.field, "expiry", "{wrong:?}");
    }
    let key = fixture
        .clove
        .create(&fixture.owner, named("x").expiry(Expiry::At(now + TimeDelta::days(1))), &fixture.by)
        .await
        .unwrap()
        .key;
    assert_eq!(key.expires_at, Some(now + TimeDelta::days(1)));
    fixture.clove.create(&fixture.owner, named("x").expiry(Expiry::Never), &fixture.by).await.unwrap();
}

#[tokio::test]
async fn a_clock_at_the_end_of_time_refuses_and_does_not_panic() {
    let fixture = fixture();
    fixture.clock().set(DateTime::<chrono::Utc>::MAX_UTC);
    assert_eq!(invalid(fixture.clove.create(&fixture.owner, named("x"), &fixture.by).await).field, "expiry");
    assert_eq!(invalid(fixture.clove.expiring(&fixture.owner, TimeDelta::days(1), None, None).await).field, "within");
}

#[test]
fn owners_actors_reasons_and_descriptions_state_their_rules() {
    for bad in ["", " ", "a b", "a\tb", "a\0", "a\u{85}", &"x".repeat(257), &"é".repeat(129)] {
        assert!(Owner::new(bad, "ada").is_err() && Owner::new("acme", bad).is_err() && By::new(bad, "why").is_err(), "{bad:?}");
    }
    for bad in ["", "  ", "a\nb", "a\u{202e}", &"x".repeat(501)] {
        assert!(By::new("ada", bad).is_err(), "{bad:?}");
    }
    for bad in ["a\tb", "a\rb", "a\u{200b}", &"é".repeat(501)] {
        assert!(Description::new(bad).is_err(), "{bad:?}");
    }
    assert!(Description::new("").is_ok() && Description::new("é".repeat(500)).is_ok());
    assert!(Owner::new("x".repeat(256), "äö/😀").is_ok());
}

#[test]
fn an_illegal_policy_does_not_build() {
    let expiry = |days, default, custom| ExpiryPolicy { days, default, custom, never: false };
    for bad in [
        Policy::builder().expiry(expiry(vec![0], Expiry::Days(0), None)),
        Policy::builder().expiry(expiry(vec![30], Expiry::Days(90), None)),
        Policy::builder().expiry(expiry(vec![30], Expiry::Never, None)),
        Policy::builder().expiry(expiry(vec![u32::MAX], Expiry::Days(30), None)),
        Policy::builder().expiry(expiry(vec![30], Expiry::Days(30), Some((9, 1)))),
        Policy::builder().deadline(Duration::ZERO),
        Policy::builder().max_grace(TimeDelta::days(-1)),
        Policy::builder().max_records(Some(0)),
        Policy::builder().hashing(clove::Hashing::sha256().without_sha256()),
    ] {
        assert!(bad.build().is_err());
    }
    assert!(clove::SecretFormat::new("clv-", 21).is_err() && clove::SecretFormat::new("", 29).is_err());
    assert!(clove::Pepper::new(0, &[1; 32]).is_err() && clove::Pepper::new(1, &[1; 31]).is_err());
    assert!(clove::Argon2Cost::new(1024, 1, 1).is_err());
}

#[test]
fn a_prefix_begins_with_what_a_scanner_s_word_begins_with() {
    for bad in ["-clv-", "_clv", "-", "_", "clv!", "é"] {
        assert_eq!(clove::SecretFormat::new(bad, 29).unwrap_err().field, "secret prefix", "{bad}");
    }
    for good in ["c", "9", "sk_live_", "clv-"] {
        assert!(clove::SecretFormat::new(good, 29).unwrap().scan_pattern().starts_with(&format!(r"\b{good}")), "{good}");
    }
}

#[test]
fn a_policy_can_be_asked_for_every_setting() {
    let guesses = clove::GuessLimit { per_minute: 3, per_day: 9 };
    let policy = Policy::builder()
        .default_capabilities(clove::CapabilitySet::all())
        .max_records(Some(7))
        .max_creations_per_day(Some(6))
        .max_grace(TimeDelta::days(5))
        .imports(guesses)
        .deadline(Duration::from_secs(4))
        .build()
        .unwrap();
    assert_eq!(policy.default_capabilities(), &clove::CapabilitySet::all());
    assert_eq!((policy.max_records(), policy.max_creations_per_day()), (Some(7), Some(6)));
    assert_eq!((policy.max_grace(), policy.deadline()), (TimeDelta::days(5), Duration::from_secs(4)));
    assert_eq!((policy.imports(), Policy::profile_a().imports()), (Some(guesses), None));
}
