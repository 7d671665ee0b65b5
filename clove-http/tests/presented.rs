//! Headers to one credential.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use clove_core::{Policy, SecretFormat};
use clove_http::{Ambiguity, Asked, Refused};
use clove_testkit::Fixture;
use http::{HeaderMap, HeaderValue, Uri, header};
use proptest::prelude::*;
use support::*;

/// What is made of a request with these headers.
#[derive(Debug, PartialEq, Clone, Copy)]
enum Taken {
    /// The key's own credential.
    Granted,
    /// A credential, which is not recognized.
    Unknown,
    None,
    Ambiguous(Ambiguity),
}

async fn taken_from(keys: &Fixture, uri: &str, headers: &mut HeaderMap) -> Taken {
    let edge = edge(&keys.clove);
    match edge.take(&uri.parse::<Uri>().unwrap(), headers) {
        Ok(presented) => match edge.verify(&presented, &Asked::new()).await {
            Ok(_) => Taken::Granted,
            Err(Refused::Denied(_)) => Taken::Unknown,
            Err(other) => unreachable!("{other}"),
        },
        Err(Refused::NoCredential) => Taken::None,
        Err(Refused::Ambiguous(ambiguity)) => Taken::Ambiguous(ambiguity),
        Err(other) => unreachable!("{other}"),
    }
}

async fn taken(keys: &Fixture, lines: &[(&'static str, &str)]) -> Taken {
    taken_from(keys, "/", &mut headers(lines)).await
}

#[tokio::test]
async fn a_credential_is_taken_from_either_header_or_the_same_from_both() {
    let keys = keys(Policy::profile_a());
    let issued = active(&keys).await;
    let (whole, bare) = (credential(&issued), secret(&issued));
    for text in [&whole, &bare] {
        for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
            let bearer = format!("{scheme} {text}");
            assert_eq!(taken(&keys, &[("authorization", &bearer)]).await, Taken::Granted);
            assert_eq!(taken(&keys, &[("authorization", &bearer), ("x-api-key", text)]).await, Taken::Granted);
        }
        assert_eq!(taken(&keys, &[("x-api-key", text)]).await, Taken::Granted);
    }
}

#[tokio::test]
async fn what_is_not_exactly_a_credential_is_a_malformed_one() {
    let keys = keys(Policy::profile_a());
    let issued = active(&keys).await;
    let text = credential(&issued);
    let with = |form: &str| form.replace('X', &text);
    for form in [
        "Bearer",
        "Bearer ",
        "Bearer  X",
        "Bearer\tX",
        "Bearer X ",
        "Bearer \tX",
        "Bearer X\t",
        "Bearer=X",
        "Bearer \"X\"",
        "Bearer Bearer X",
        "Bearer:X",
        "Bearer/X",
        "Bearer X X",
        "Bearer \u{a0}X",
    ] {
        assert_eq!(taken(&keys, &[("authorization", &with(form))]).await, Taken::Unknown, "{form:?}");
    }
    for form in ["", " ", " X", "X ", "\tX", "\"X\"", "Bearer X", "X;", "X X", "X\u{e9}"] {
        assert_eq!(taken(&keys, &[("x-api-key", &with(form))]).await, Taken::Unknown, "{form:?}");
    }
}

#[tokio::test]
async fn another_scheme_is_none_of_ours() {
    let keys = keys(Policy::profile_a());
    let issued = active(&keys).await;
    let text = credential(&issued);
    let digest = r#"Digest username="ada", realm="keys", nonce="1""#;
    for other in ["", "Basic YWRhOmxvdmU=", "BearerX", "Bearers X", "Token abc", "Negotiate", digest] {
        assert_eq!(taken(&keys, &[("authorization", other)]).await, Taken::None, "{other}");
        let mut headers = headers(&[("authorization", other), ("x-api-key", &text)]);
        assert_eq!(taken_from(&keys, "/", &mut headers).await, Taken::Granted, "{other}");
        // It may be for what is behind; nobody reads it in a log.
        let left = headers.get(header::AUTHORIZATION).unwrap();
        assert!(left == other && left.is_sensitive());
        assert_eq!(headers.len(), 1);
    }
}

#[tokio::test]
async fn a_credential_of_ours_under_another_scheme_is_taken_away_and_not_used() {
    let keys = keys(Policy::profile_a());
    let issued = active(&keys).await;
    let mut headers = headers(&[("authorization", &format!("Token {}", secret(&issued)))]);
    assert_eq!(taken_from(&keys, "/", &mut headers).await, Taken::None);
    assert!(headers.is_empty());
}

#[tokio::test]
async fn two_credentials_are_ambiguous() {
    use Ambiguity::*;
    let keys = keys(Policy::profile_a());
    let issued = active(&keys).await;
    let text = credential(&issued);
    let (bearer, joined, joined_bearer) = (format!("Bearer {text}"), format!("{text}, {text}"), format!("Bearer {text},x"));
    let (basic_bearer, bare) = (format!("Basic YWRhOmxvdmU=, bearer {text}"), format!("Bearer {}", secret(&issued)));
    for (lines, ambiguity) in [
        (&[("x-api-key", text.as_str()), ("x-api-key", &text)][..], RepeatedHeader),
        (&[("x-api-key", &text), ("x-api-key", "")], RepeatedHeader),
        (&[("authorization", &bearer), ("authorization", &bearer)], RepeatedHeader),
        (&[("authorization", &bearer), ("authorization", "Basic YWRhOmxvdmU=")], RepeatedHeader),
        (&[("authorization", "Basic YWRhOmxvdmU="), ("authorization", "Negotiate"), ("x-api-key", &text)], RepeatedHeader),
        (&[("x-api-key", &joined)], JoinedHeader),
        (&[("x-api-key", ",")], JoinedHeader),
        (&[("authorization", &joined_bearer)], JoinedHeader),
        (&[("authorization", &basic_bearer)], JoinedHeader),
        (&[("authorization", &basic_bearer), ("x-api-key", &text)], JoinedHeader),
        // The same key, and yet two credentials: nothing is looked up before it is known which is meant.
        (&[("authorization", &bare), ("x-api-key", &text)], TwoCredentials),
        (&[("authorization", &bearer), ("x-api-key", "")], TwoCredentials),
        (&[("authorization", "Bearer"), ("x-api-key", &text)], TwoCredentials),
        (&[("authorization", "Bearer other"), ("x-api-key", &text)], TwoCredentials),
    ] {
        let mut headers = headers(lines);
        assert_eq!(taken_from(&keys, "/", &mut headers).await, Taken::Ambiguous(ambiguity), "{lines:?}");
        assert!(headers.is_empty(), "{lines:?}");
    }
}

#[tokio::test]
async fn a_credential_in_the_query_string_is_refused_whatever_the_headers_say() {
    let policy = Policy::builder().secret_format(SecretFormat::new("acme_", 22).unwrap()).build().unwrap();
    let keys = keys(policy);
    let issued = active(&keys).await;
    let (text, bare) = (credential(&issued), secret(&issued));
    let (id, encoded) = (issued.key.id.to_string(), text.replace(';', "%3b"));
    let hex: String = bare.bytes().map(|byte| format!("%{byte:02x}")).collect();
    for query in [
        "access_token=x",
        "a=1&access_token=",
        "ACCESS_TOKEN=x",
        "acce%73s_token=x",
        "api_key=x",
        "apikey",
        "API-Key=x",
        "x-api-key=x",
        "a=b;api_key=x",
        "key=acme_oops",
        "Key=%61cme_oops",
        &bare,
        &hex,
        &format!("q={bare}"),
        &format!("{bare}=1"),
        &format!("q=before{bare}after"),
        &format!("key={bare}"),
        &format!("q={id};foreign"),
        &format!("q={id}%3Bforeign"),
        &format!("q={id}%3bforeign"),
        &text,
        &encoded,
    ] {
        let mut headers = headers(&[("x-api-key", &text)]);
        let uri = format!("/path?{query}");
        assert_eq!(taken_from(&keys, &uri, &mut headers).await, Taken::Ambiguous(Ambiguity::InQuery), "{query}");
        assert!(headers.is_empty());
        assert_eq!(taken_from(&keys, &uri, &mut headers).await, Taken::Ambiguous(Ambiguity::InQuery), "{query}");
    }
    // The id alone is public, and `key` is a word like any other.
    for query in
        ["", "beta=true", "key=name", "key=", "monkey=acme_oops", &format!("key_id={id}"), "q=%zz%", "access=token", "a=%ff;b"]
    {
        let uri = format!("/path?{query}");
        assert_eq!(taken_from(&keys, &uri, &mut headers(&[("x-api-key", &text)])).await, Taken::Granted, "{query}");
    }
}

#[tokio::test]
async fn nobody_sees_what_was_presented() {
    let keys = keys(Policy::profile_a());
    let issued = active(&keys).await;
    let presented = edge(&keys.clove).take(&Uri::from_static("/"), &mut headers(&[("x-api-key", &credential(&issued))])).unwrap();
    assert_eq!(format!("{presented:?}"), "Presented(..)");
}

fn lines() -> impl Strategy<Value = Vec<(bool, Vec<u8>)>> {
    let value = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..80),
        "[Bb]earer[ \t]{0,2}[!-~]{0,60}".prop_map(String::into_bytes),
        "0[0-9a-f]{7}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12};clv-[0-9A-Za-z]{32}".prop_map(String::into_bytes),
    ];
    proptest::collection::vec((any::<bool>(), value), 0..4)
}

proptest! {
    #[test]
    fn arbitrary_bytes_neither_panic_nor_are_granted(lines in lines(), query in "[ -~&&[^#<>\"`{}|\\\\^ ]]{0,60}") {
        let keys = keys(Policy::profile_a());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut headers = HeaderMap::new();
        for (is_key, value) in &lines {
            // What the type of a header's value does not take never comes here.
            if let Ok(value) = HeaderValue::from_bytes(value) {
                headers.append(if *is_key { clove_http::X_API_KEY } else { header::AUTHORIZATION }, value);
            }
        }
        let Ok(uri) = format!("/?{query}").parse::<Uri>() else { return Ok(()) };
        let got = runtime.block_on(async {
            active(&keys).await;
            taken_from(&keys, &uri.to_string(), &mut headers).await
        });
        prop_assert_ne!(got, Taken::Granted);
        prop_assert!(!headers.contains_key("x-api-key"));
    }
}
