//! Every line of the table of what is answered, in each form, to the letter.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use bytes::Bytes;
use clove_core::{Budget, BudgetOf, DenialReason, Fault, Issued, Policy, Refill, Status, StoreError, Unit, error::CorruptRow};
use clove_http::{AnthropicStyle, Asked, Refused};
use clove_testkit::Fixture;
use http::{HeaderMap, Response, Uri};
use std::time::Duration;
use support::*;

const JSON: &str = "content-type: application/json";
const PROBLEM: &str = "content-type: application/problem+json";
const NO_STORE: &str = "cache-control: no-store";
const DO_NOT: &str = "x-should-retry: false";
const INVALID: &str = "www-authenticate: Bearer error=\"invalid_token\", error_description=";

/// One line of the table.
struct Line {
    refused: Refused,
    status: u16,
    /// The headers of every form.
    headers: Vec<String>,
    /// The end of the problem's type, its title, and its members beside those that every problem has.
    problem: (&'static str, &'static str, String),
    detail: String,
    anthropic: &'static str,
    /// Whether that form tells not to retry.
    final_there: bool,
    grpc: (&'static str, Option<&'static str>),
}

fn plain(response: &Response<Bytes>) -> String {
    String::from_utf8(response.body().to_vec()).unwrap()
}

fn sorted(lines: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = lines.into_iter().collect();
    lines.sort();
    lines
}

/// All three forms of a line are as it says.
fn check(keys: &Fixture, line: Line) {
    let Line { refused, status, headers, problem: (kind, title, members), detail, anthropic, final_there, grpc } = line;
    let shared = |more: &[&str]| sorted(headers.iter().cloned().chain(more.iter().map(|line| (*line).to_owned())));

    let response = edge(&keys.clove).refuse(&refused, &HeaderMap::new());
    assert_eq!(response.status().as_u16(), status, "{kind}");
    assert_eq!(lines(&response), shared(&[PROBLEM, NO_STORE]), "{kind}");
    let known = [
        format!("\"detail\":\"{detail}\""),
        format!("\"status\":{status}"),
        format!("\"title\":\"{title}\""),
        format!("\"type\":\"urn:clove:problem:{kind}\""),
    ];
    let all = known.into_iter().chain(members.split('|').filter(|member| !member.is_empty()).map(str::to_owned));
    assert_eq!(plain(&response), format!("{{{}}}", sorted(all).join(",")));

    let response = edge(&keys.clove).rendered_by(AnthropicStyle).refuse(&refused, &HeaderMap::new());
    assert_eq!(response.status().as_u16(), status, "{kind}");
    let id = header(&response, "request-id").unwrap().to_owned();
    assert!(id.starts_with("req_") && id.len() == 36, "{id}");
    let id_line = format!("request-id: {id}");
    let mut expected = shared(&[JSON, NO_STORE, &id_line]);
    if final_there && !expected.iter().any(|line| line == DO_NOT) {
        expected = sorted(expected.into_iter().chain([DO_NOT.to_owned()]));
    }
    assert_eq!(lines(&response), expected, "{kind}");
    let body = format!(r#"{{"type":"error","error":{{"type":"{anthropic}","message":"{detail}"}},"request_id":"{id}"}}"#);
    assert_eq!(plain(&response), body);

    let grpc_request = headers_of_grpc("application/grpc+proto");
    let response = edge(&keys.clove).rendered_by(AnthropicStyle).answering_grpc().refuse(&refused, &grpc_request);
    assert_eq!((response.status().as_u16(), plain(&response).as_str()), (200, ""));
    let (code, pushback) = grpc;
    let code = format!("grpc-status: {code}");
    let message = format!("grpc-message: {detail}");
    let pushback = pushback.map(|pushback| format!("grpc-retry-pushback-ms: {pushback}"));
    let mut expected = shared(&["content-type: application/grpc", NO_STORE, &code, &message]);
    expected = sorted(expected.into_iter().chain(pushback));
    assert_eq!(lines(&response), expected, "{kind}");
}

fn headers_of_grpc(content_type: &'static str) -> HeaderMap {
    headers(&[("content-type", content_type)])
}

async fn refused(keys: &Fixture, lines: &[(&'static str, &str)], asked: &Asked) -> Refused {
    refused_at(keys, "/", lines, asked).await
}

async fn refused_at(keys: &Fixture, uri: &'static str, lines: &[(&'static str, &str)], asked: &Asked) -> Refused {
    let edge = edge(&keys.clove);
    match edge.take(&Uri::from_static(uri), &mut headers(lines)) {
        Ok(presented) => edge.verify(&presented, asked).await.unwrap_err(),
        Err(refused) => refused,
    }
}

#[tokio::test]
async fn no_credential_is_401_without_an_error_code() {
    let keys = keys(Policy::profile_a());
    check(
        &keys,
        Line {
            refused: refused(&keys, &[], &Asked::new()).await,
            status: 401,
            headers: vec!["www-authenticate: Bearer".into()],
            problem: ("no-credential", "No API key was presented", String::new()),
            detail: "No API key was presented. Send it in the x-api-key header, or as a bearer token in Authorization.".into(),
            anthropic: "authentication_error",
            final_there: true,
            grpc: ("16", Some("-1")),
        },
    );
}

#[tokio::test]
async fn malformed_unknown_and_wrong_are_one_answer() {
    let keys = keys(Policy::profile_a());
    let (issued, other) = (active(&keys).await, active(&keys).await);
    keys.clove.delete(&keys.owner, other.key.id, &keys.by).await.unwrap();
    let wrong = format!("{};{}", issued.key.id, secret(&other));
    let detail = "This API key is not valid. Check that it was copied whole, or create a new one.";
    let mut answers = Vec::new();
    for text in ["", "nonsense", &"x".repeat(100_000), &wrong, &credential(&other), &secret(&other), &issued.key.id.to_string()] {
        let refused = refused(&keys, &[("x-api-key", text)], &Asked::new()).await;
        let response = edge(&keys.clove).refuse(&refused, &HeaderMap::new());
        answers.push((lines(&response), plain(&response)));
        check(
            &keys,
            Line {
                refused,
                status: 401,
                headers: vec![format!("{INVALID}\"{detail}\"")],
                problem: ("key-not-recognized", "The API key is not valid", String::new()),
                detail: detail.into(),
                anthropic: "authentication_error",
                final_there: true,
                grpc: ("16", Some("-1")),
            },
        );
    }
    answers.dedup();
    assert_eq!(answers.len(), 1);
}

#[tokio::test]
async fn who_has_proven_the_secret_is_told_what_is_wrong_with_the_key() {
    for (status, kind, title, detail) in [
        (
            Status::Suspended,
            "key-suspended",
            "The API key is disabled",
            "This API key is disabled. Enable it, or use another one.",
        ),
        (
            Status::Expired,
            "key-expired",
            "The API key has expired",
            "This API key expired on 2026-02-04 12:00 UTC. Create a new one.",
        ),
        (
            Status::Compromised,
            "key-compromised",
            "The API key is known to others",
            "This API key is known to others and is off for good. Create a new one.",
        ),
        (Status::Revoked, "key-revoked", "The API key is revoked", "This API key is revoked. Create a new one."),
    ] {
        let keys = keys(Policy::profile_a());
        let issued = keys.key_in(status).await.unwrap();
        told(&keys, &issued, kind, title, detail).await;
    }
    let keys = keys(Policy::profile_a());
    let issued = active(&keys).await;
    keys.clove.close_owner(&keys.owner, &keys.by).await.unwrap();
    let detail = "The account of this API key is closed. Ask an administrator.";
    told(&keys, &issued, "key-owner-closed", "The account of the API key is closed", detail).await;
}

async fn told(keys: &Fixture, issued: &Issued, kind: &'static str, title: &'static str, detail: &str) {
    let expired = if kind == "key-expired" { "|\"expired_at\":\"2026-02-04T12:00:00Z\"" } else { "" };
    check(
        keys,
        Line {
            refused: refused(keys, &[("x-api-key", &credential(issued))], &Asked::new()).await,
            status: 401,
            headers: vec![format!("{INVALID}\"{detail}\"")],
            problem: (kind, title, format!("\"key_id\":\"{}\"{expired}", issued.key.id)),
            detail: detail.into(),
            anthropic: "authentication_error",
            final_there: true,
            grpc: ("16", Some("-1")),
        },
    );
}

#[tokio::test]
async fn an_ambiguous_credential_is_400() {
    let keys = keys(Policy::profile_a());
    for (uri, lines, detail) in [
        ("/", &[("x-api-key", "a"), ("x-api-key", "a")][..], "A header with an API key was sent twice. Send it once."),
        ("/", &[("x-api-key", "a, a")], "A header with an API key holds several values. Send one."),
        (
            "/",
            &[("x-api-key", "a"), ("authorization", "Bearer b")],
            "The x-api-key and Authorization headers hold different API keys. Send one of them.",
        ),
        ("/?api_key=a", &[], "An API key does not belong in the address. Send it in the x-api-key header, and replace this one."),
    ] {
        check(
            &keys,
            Line {
                refused: refused_at(&keys, uri, lines, &Asked::new()).await,
                status: 400,
                headers: vec![format!("www-authenticate: Bearer error=\"invalid_request\", error_description=\"{detail}\"")],
                problem: ("ambiguous-credential", "It cannot be told which API key was meant", String::new()),
                detail: detail.into(),
                anthropic: "invalid_request_error",
                final_there: true,
                grpc: ("3", Some("-1")),
            },
        );
    }
}

#[tokio::test]
async fn a_missing_capability_is_403_and_named() {
    let keys = keys(Policy::profile_a());
    let issued = key_with(&keys, &["models:read"]).await;
    let asked = Asked::new().require("models:read").unwrap().require("chat:write").unwrap().require("files:read").unwrap();
    let detail = "This API key may not do this; it lacks chat:write, files:read. Use a key that has it.";
    let challenge = format!(
        "www-authenticate: Bearer error=\"insufficient_scope\", error_description=\"{detail}\", scope=\"chat:write files:read\""
    );
    check(
        &keys,
        Line {
            refused: refused(&keys, &[("x-api-key", &credential(&issued))], &asked).await,
            status: 403,
            headers: vec![challenge],
            problem: (
                "capability-missing",
                "The API key may not do this",
                format!("\"key_id\":\"{}\"|\"missing\":[\"chat:write\",\"files:read\"]", issued.key.id),
            ),
            detail: detail.into(),
            anthropic: "permission_error",
            final_there: true,
            grpc: ("7", Some("-1")),
        },
    );
}

#[tokio::test]
async fn an_exhausted_window_is_429_with_the_time_to_come_back() {
    let keys = keys(Policy::profile_a());
    let issued = active(&keys).await;
    // 12:00:30.4: 29.6 seconds are left of the minute.
    keys.clock().advance(Duration::from_millis(30_400));
    let text = credential(&issued);
    let presented = edge(&keys.clove).take(&Uri::from_static("/"), &mut headers(&[("x-api-key", &text)])).unwrap();
    edge(&keys.clove).verify(&presented, &Asked::new().cost(58)).await.unwrap();
    let detail = "This API key may make 60 requests in 60 seconds. Try again at 2026-01-05 12:01:00 UTC.";
    check(
        &keys,
        Line {
            refused: refused(&keys, &[("x-api-key", &text)], &Asked::new().cost(3)).await,
            status: 429,
            headers: vec![
                "ratelimit: \"key-60s\";r=2;t=30".into(),
                "ratelimit-policy: \"key-60s\";q=60;w=60".into(),
                "retry-after: 30".into(),
            ],
            problem: (
                "window-exhausted",
                "Too many requests",
                format!(
                    "\"key_id\":\"{}\"|\"left\":2|\"retry_at\":\"2026-01-05T12:01:00Z\"|\"violated-policies\":[\"key-60s\"]",
                    issued.key.id
                ),
            ),
            detail: detail.into(),
            anthropic: "rate_limit_error",
            final_there: false,
            grpc: ("8", Some("30000")),
        },
    );
    // As the window ends, at least a second.
    let late = refused(&keys, &[("x-api-key", &text)], &Asked::new().cost(3)).await;
    keys.clock().advance(Duration::from_millis(29_600));
    assert_eq!(header(&edge(&keys.clove).refuse(&late, &HeaderMap::new()), "retry-after"), Some("1"));
}

#[tokio::test]
async fn a_request_that_never_fits_its_window_is_not_sent_again() {
    let keys = keys(Policy::profile_a());
    let issued = active(&keys).await;
    check(
        &keys,
        Line {
            refused: refused(&keys, &[("x-api-key", &credential(&issued))], &Asked::new().cost(61)).await,
            status: 429,
            headers: vec!["ratelimit: \"key-60s\";r=60".into(), "ratelimit-policy: \"key-60s\";q=60;w=60".into(), DO_NOT.into()],
            problem: (
                "window-exhausted",
                "Too many requests",
                format!("\"key_id\":\"{}\"|\"left\":60|\"violated-policies\":[\"key-60s\"]", issued.key.id),
            ),
            detail: "This API key may make 60 requests in 60 seconds. This request counts for more than that; make it smaller."
                .into(),
            anthropic: "rate_limit_error",
            final_there: true,
            grpc: ("8", Some("-1")),
        },
    );
}

#[tokio::test]
async fn a_spent_budget_is_429_and_not_to_be_tried_again() {
    let tokens = Unit::new("tokens").unwrap();
    let budget = Budget::new(100, Refill::Daily).unwrap();
    let keys = keys(Policy::builder().budget(BudgetOf::Account, tokens.clone(), budget).build().unwrap());
    let issued = active(&keys).await;
    let asked = Asked::new().reserving(tokens, 101);
    let detail = "The account of this API key may use 100 tokens a day, 100 are left, and this request may use 101. \
                  Make the request smaller.";
    let refused = refused(&keys, &[("x-api-key", &credential(&issued))], &asked).await;
    check(
        &keys,
        Line {
            detail: detail.into(),
            refused,
            status: 429,
            headers: vec![DO_NOT.into()],
            problem: (
                "budget-exhausted",
                "The budget is spent",
                format!(
                    "\"amount\":100|\"asked\":101|\"key_id\":\"{}\"|\"left\":100|\"of\":\"account\"|\"refills_at\":\"2026-01-06T00:00:00Z\"|\"unit\":\"tokens\"",
                    issued.key.id
                ),
            ),
            anthropic: "billing_error",
            final_there: true,
            grpc: ("8", Some("-1")),
        },
    );
}

#[tokio::test]
async fn a_fault_is_500_for_a_corrupt_row_and_else_503() {
    let keys = keys(Policy::profile_a());
    let id = active(&keys).await.key.id;
    let corrupt = StoreError::Corrupt { row: CorruptRow::Key(id), what: "state" };
    check(
        &keys,
        Line {
            refused: Fault::from(corrupt).into(),
            status: 500,
            headers: Vec::new(),
            problem: ("key-unreadable", "The API key cannot be read", String::new()),
            detail: "What is stored of this API key cannot be read. Ask an administrator.".into(),
            anthropic: "api_error",
            final_there: false,
            grpc: ("13", None),
        },
    );
    let unavailable = StoreError::Unavailable { what: "reading a key at db.internal", source: None };
    let deadline = Duration::from_secs(1);
    for fault in [
        unavailable.into(),
        Fault::Overloaded,
        Fault::DeadlineExceeded { deadline },
        Fault::UnknownPepper { version: 7 },
        Fault::System { what: "a thread" },
        StoreError::OutcomeUnknown { source: None }.into(),
    ] {
        check(
            &keys,
            Line {
                refused: fault.into(),
                status: 503,
                headers: vec!["retry-after: 1".into()],
                problem: ("verification-unavailable", "API keys cannot be checked just now", String::new()),
                detail: "The API key could not be checked just now. Try again shortly.".into(),
                anthropic: "api_error",
                final_there: false,
                grpc: ("14", Some("1000")),
            },
        );
    }
}

#[tokio::test]
async fn a_challenge_has_only_characters_that_it_may() {
    // Of all that a client is told, an imported unit's or capability's name comes closest to free text, and has none either.
    let keys = keys(Policy::profile_a());
    let issued = key_with(&keys, &["models:read"]).await;
    let asked = Asked::new().require("a_b.c-d:0").unwrap();
    let refused = refused(&keys, &[("x-api-key", &credential(&issued))], &asked).await;
    assert!(matches!(&refused, Refused::Denied(denial) if matches!(denial.reason(), DenialReason::CapabilityMissing { .. })));
    let response = edge(&keys.clove).refuse(&refused, &HeaderMap::new());
    let challenge = header(&response, "www-authenticate").unwrap();
    assert!(challenge.ends_with("scope=\"a_b.c-d:0\"") && challenge.is_ascii() && !challenge.contains('\\'));
    assert_eq!(challenge.matches('"').count(), 6);
}

#[test]
fn grpc_is_told_by_the_content_type() {
    let keys = keys(Policy::profile_a());
    for (sent, answered) in [
        ("application/grpc", Some("application/grpc")),
        ("Application/gRPC+proto", Some("application/grpc")),
        ("application/grpc;charset=utf-8", Some("application/grpc")),
        ("application/grpc-web+proto", Some("application/grpc-web+proto")),
        ("application/grpc-web-text", Some("application/grpc-web-text+proto")),
        ("application/grpcx", None),
        ("application/json", None),
        ("text/plain; application/grpc", None),
    ] {
        let response = edge(&keys.clove).answering_grpc().refuse(&Refused::NoCredential, &headers_of_grpc(sent));
        let grpc = header(&response, "grpc-status").map(|_| header(&response, "content-type").unwrap());
        assert_eq!((grpc, response.status().as_u16()), (answered, if answered.is_some() { 200 } else { 401 }), "{sent}");
    }
}

#[test]
fn who_does_not_speak_grpc_refuses_with_the_status_whatever_content_type_a_client_chose() {
    let keys = keys(Policy::profile_a());
    let response = edge(&keys.clove).refuse(&Refused::NoCredential, &headers_of_grpc("application/grpc"));
    assert_eq!((response.status().as_u16(), header(&response, "grpc-status")), (401, None));
}
