use crate::host::Host;
use clove_core::Policy;
use serde_json::{Value, json};

#[tokio::test]
async fn only_json_is_taken() {
    let host = Host::new(Policy::profile_a());
    let body = json!({"name": "k"}).to_string();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "application/problem+json", ""] {
        let answer = host.ask("POST", "/keys").header("content-type", kind).bytes(body.clone()).send().await;
        assert_eq!(answer.problem(), (415, "not-json".to_owned()), "{kind}");
    }
    assert_eq!(host.ask("POST", "/keys").bytes(body.clone()).send().await.problem(), (415, "not-json".to_owned()));
    for kind in ["application/json", "Application/JSON; charset=utf-8"] {
        host.ask("POST", "/keys").header("content-type", kind).bytes(body.clone()).send().await.is(201);
    }
}

#[tokio::test]
async fn a_body_of_more_than_64_kib_is_refused() {
    let host = Host::new(Policy::profile_a());
    let padded = |bytes: usize| {
        let body = json!({"name": "k"}).to_string();
        format!("{body}{}", " ".repeat(bytes - body.len()))
    };
    host.ask("POST", "/keys").text(padded(64 * 1024)).send().await.is(201);
    let answer = host.ask("POST", "/keys").text(padded(64 * 1024 + 1)).send().await;
    assert_eq!(answer.problem(), (413, "body-too-large".to_owned()));
}

#[tokio::test]
async fn what_is_wrong_with_a_body_is_told_by_its_field_and_never_by_its_value() {
    let host = Host::new(Policy::profile_a());
    for (body, field, detail) in [
        (json!({"name": "k", "canary": "x9x9"}), json!("canary"), "canary is not a field here."),
        (json!({}), json!("name"), "name is missing."),
        (json!({"name": ["x9x9"]}), json!("name"), "name is out of range, or of another type."),
        (json!({"name": "k", "expiry": "x9x9"}), json!("expiry"), "expiry is out of range, or of another type."),
        (json!({"name": "k", "expiry": {"days": -99}}), json!("expiry.days"), "expiry.days is out of range, or of another type."),
        (json!({"name": "k", "expiry": null}), json!("expiry"), "expiry is out of range, or of another type."),
        (
            json!({"name": "k", "limits": {"windows": [{"requests": 1, "seconds": 1, "x": 1}]}}),
            json!("x"),
            "x is not a field here.",
        ),
        (json!({"name": "k", "clv-x9x9x9x9x9x9x9x9x9x9x9x9x9x9": 1}), Value::Null, "A field is not a field here."),
        (json!({"name": "k", "a x9x9 `b`": 1}), Value::Null, "A field is not a field here."),
        (json!("x9x9"), Value::Null, "A field is out of range, or of another type."),
    ] {
        let answer = host.ask("POST", "/keys").json(body.clone()).send().await;
        assert_eq!(answer.problem(), (422, "invalid-body".to_owned()), "{body}");
        assert_eq!((&answer.json()["field"], &answer.json()["detail"]), (&field, &json!(detail)), "{body}");
        assert!(!answer.text().contains("x9") && !answer.text().contains("99"), "{}", answer.text());
    }
    let twice = host.ask("POST", "/keys").text(r#"{"name": "k", "name": "x9x9"}"#).send().await;
    assert_eq!((twice.problem(), &twice.json()["detail"]), ((422, "invalid-body".to_owned()), &json!("name is there twice.")));
}

#[tokio::test]
async fn what_is_no_json_is_refused_as_such() {
    let host = Host::new(Policy::profile_a());
    for body in [&b""[..], b"{", b"{\"name\": \"k\"} {}", b"name=k", b"{\"name\": \"\xff\"}", b"\xef\xbb\xbf{\"name\": \"k\"}"] {
        assert_eq!(host.ask("POST", "/keys").text(body).send().await.problem(), (400, "malformed-json".to_owned()), "{body:?}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_told_as_a_problem() {
    let host = Host::new(Policy::profile_a());
    for path in ["/nothing", "/keys/", "/keys/a/b/c", ""] {
        assert_eq!(host.ask("GET", path).send().await.problem(), (404, "no-such-path".to_owned()), "{path}");
    }
    for (method, path, allow) in [
        ("PUT", "/keys", &["GET", "HEAD", "POST"][..]),
        ("PUT", "/keys/x", &["GET", "HEAD", "PATCH", "DELETE"]),
        ("GET", "/keys/x/revoke", &["POST"]),
        ("OPTIONS", "/choices", &["GET", "HEAD"]),
        ("POST", "/openapi.json", &["GET", "HEAD"]),
    ] {
        let answer = host.ask(method, path).send().await;
        assert_eq!(answer.problem(), (405, "method-not-allowed".to_owned()));
        let mut allowed: Vec<&str> = answer.headers["allow"].to_str().unwrap().split(',').collect();
        let mut allow = allow.to_vec();
        allowed.sort_unstable();
        allow.sort_unstable();
        assert_eq!(allowed, allow, "{method} {path}");
    }
}

#[tokio::test]
async fn the_description_names_the_path_that_the_router_is_nested_under() {
    let host = Host::new(Policy::profile_a());
    let document = host.ask("GET", "/openapi.json").by_nobody().send().await.is(200).json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["servers"], json!([{"url": "/api"}]));
    assert!(document["paths"]["/keys/{id}/rotate"]["post"]["responses"]["428"].is_object());
}

#[tokio::test]
async fn a_whole_number_is_one_in_each_of_its_forms() {
    let host = Host::new(Policy::profile_a());
    let create = |days: &str| host.ask("POST", "/keys").text(format!(r#"{{"name": "k", "expiry": {{"days": {days}}}}}"#)).send();
    for days in ["30.0", "3e1"] {
        create(days).await.is(201);
    }
    for days in ["30.5", "-30", "1e300", "4294967326", "\"30\"", "null"] {
        assert_eq!(create(days).await.problem(), (422, "invalid-body".to_owned()), "{days}");
    }
}
