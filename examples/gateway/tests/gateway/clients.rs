//! Anthropic's SDKs and curl as clients.

use crate::support::{Program, SDKS, Start, Upstream, by, curl, message, until};
use clove::{CapabilitySet, KeyId};
use serde_json::{Value, json};

const HELLO: &str = r#"{"model": "demo-small", "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]}"#;

async fn running() -> (Upstream, Program) {
    let upstream = Upstream::start().await;
    let program = Start::before(&upstream).run().await;
    (upstream, program)
}

/// What an SDK raises for a status.
fn class(status: u16) -> &'static str {
    match status {
        400 => "BadRequestError",
        401 => "AuthenticationError",
        403 => "PermissionDeniedError",
        404 => "NotFoundError",
        413 => "ContentTooLargeError",
        429 => "RateLimitError",
        529 => "OverloadedError",
        _ => "InternalServerError",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sdks_get_what_they_ask_for_with_a_key_in_either_header() {
    let (upstream, program) = running().await;
    let key = program.key("acme", "ada").await;
    for sdk in SDKS {
        let credential = &*key.credential;
        let steps = json!([
            {"do": "plain", "key": credential},
            {"do": "plain", "key": key.secret(), "bearer": true},
            {"do": "plain", "key": key.secret()},
            {"do": "beta", "key": credential},
            {"do": "stream", "key": credential},
            {"do": "events", "key": credential, "max_tokens": 2},
            {"do": "count_tokens", "key": credential, "text": "three words here"},
            {"do": "models", "key": credential},
            {"do": "model", "key": credential, "model": "demo-large"},
        ]);
        let [plain, bearer, bare, beta, stream, events, counted, models, model] = &*sdk.does(&program.url, steps).await else {
            panic!("{sdk:?}")
        };
        assert!(plain["text"].as_str().unwrap().starts_with("You said: hello"), "{sdk:?} {plain}");
        assert_eq!((&plain["input"], &plain["stop"]), (&json!(1), &json!("end_turn")), "{sdk:?}");
        for other in [bearer, bare, beta, stream] {
            assert_eq!(other, plain, "{sdk:?}");
        }
        let wanted = [
            "message_start",
            "content_block_start",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ];
        let told: Vec<&str> = events["events"].as_array().unwrap().iter().map(|event| event.as_str().unwrap()).collect();
        // Neither tells of a ping.
        assert_eq!(told, wanted, "{sdk:?}");
        assert_eq!(counted["input"], 3, "{sdk:?}");
        assert_eq!(models["models"], json!(["demo-large", "demo-small", "claude-haiku-demo"]), "{sdk:?}");
        assert_eq!(model["model"], "Demo Large", "{sdk:?}");
    }
    let beta = upstream.seen().into_iter().find(|(_, _, headers)| headers.contains_key("anthropic-beta")).unwrap().2;
    assert!(beta["anthropic-beta"].to_str().unwrap().contains("test-beta-1"));
    assert!(!beta["anthropic-version"].is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_worth_retrying_is_one_request_and_the_gateways_own_sentence() {
    let (upstream, program) = running().await;
    let suspended = program.key("acme", "ada").await;
    let revoked = program.key("acme", "grace").await;
    let may_not = program.key_that_may("globex", "barbara", CapabilitySet::new(["models:read"]).unwrap()).await;
    let good = program.key("globex", "edsger").await;
    let gone = program.key("globex", "barbara").await;
    let by = by();
    program.keys.disable(&suspended.owner, suspended.id, &by).await.unwrap();
    program.keys.revoke(&revoked.owner, revoked.id, &by).await.unwrap();
    program.keys.delete(&gone.owner, gone.id, &by).await.unwrap();
    let unknown = format!("{};{}", KeyId::new(program.keys.now()), good.secret());
    let cases = [
        (json!({"key": "not-a-key"}), 401, "authentication_error", "This API key is not valid."),
        (json!({"key": unknown}), 401, "authentication_error", "This API key is not valid."),
        (json!({"key": *gone.credential}), 401, "authentication_error", "This API key is not valid."),
        (json!({"key": *suspended.credential}), 401, "authentication_error", "This API key is disabled."),
        (json!({"key": *revoked.credential}), 401, "authentication_error", "This API key is revoked."),
        (json!({"key": *may_not.credential}), 403, "permission_error", "it lacks messages:write"),
        (json!({"key": format!("{0},{0}", *good.credential)}), 400, "invalid_request_error", "holds several values"),
        (json!({"key": *good.credential, "model": "demo-large"}), 403, "permission_error", "does not allow the model"),
        (json!({"key": *good.credential, "max_tokens": 8001}), 400, "invalid_request_error", "more than the 8000"),
        (json!({"key": *good.credential, "repeated": 33 << 20, "text": "x"}), 413, "request_too_large", "larger than 32 MiB"),
        (json!({"key": *good.credential, "do": "model", "model": "demo-large"}), 404, "not_found_error", "no model of this name"),
    ];
    // What a file was changed to from beside is known within 100 ms.
    until(|| async { message(&program.url, &suspended.credential, HELLO).await.status.as_u16() }, |status| *status == 401).await;
    for sdk in SDKS {
        for what in ["plain", "stream"] {
            let step = |(step, ..): &(Value, _, _, _)| {
                let mut step = step.clone();
                step.as_object_mut().unwrap().entry("do").or_insert(what.into());
                step
            };
            let outcomes = sdk.does(&program.url, cases.iter().map(step).collect()).await;
            for ((step, status, kind, sentence), outcome) in cases.iter().zip(outcomes) {
                let facts = format!("{sdk:?} {what} {step} {outcome}");
                assert_eq!(outcome["error"], class(*status), "{facts}");
                assert_eq!((&outcome["status"], &outcome["type"]), (&json!(status), &json!(kind)), "{facts}");
                assert!(outcome["message"].as_str().unwrap().contains(sentence), "{facts}");
                assert!(outcome["request_id"].as_str().unwrap().starts_with("req_"), "{facts}");
                assert_eq!(outcome["sent"], 1, "{facts}");
            }
        }
    }
    assert!(upstream.seen().is_empty(), "refused requests never get there");
    assert_eq!(program.log(&suspended, 5).await.iter().filter(|(outcome, ..)| outcome == "suspended").count(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spent_budget_is_told_at_once_and_not_retried() {
    let upstream = Upstream::start().await;
    let organizations = tempfile::NamedTempFile::new().unwrap();
    let json = r#"[{"id": "acme", "name": "Acme", "people": [],
        "usage": {"models": ["*"], "max_tokens": 1000, "budget": {"tokens": 200, "each": "day"}}}]"#;
    std::fs::write(organizations.path(), json).unwrap();
    let program = Start::before(&upstream).with("--organizations", organizations.path().to_str().unwrap()).run().await;
    let key = program.key("acme", "ada").await;
    for sdk in SDKS {
        let [outcome] = &*sdk.does(&program.url, json!([{"do": "plain", "key": *key.credential, "max_tokens": 900}])).await
        else {
            panic!()
        };
        assert_eq!((&outcome["error"], &outcome["sent"]), (&json!("RateLimitError"), &json!(1)), "{sdk:?} {outcome}");
        assert!(outcome["message"].as_str().unwrap().contains("Make the request smaller."), "{outcome}");
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_window_is_waited_for_and_then_answered() {
    let upstream = Upstream::start().await;
    let program = Start::before(&upstream).with("--limit", "1/5").run().await;
    let key = program.key("acme", "ada").await;
    for sdk in SDKS {
        // At most one of three falls into a window, and the SDKs retry twice.
        let steps = json!([{"do": "plain", "key": *key.credential}, {"do": "plain", "key": *key.credential}]);
        let outcomes = sdk.does(&program.url, steps).await;
        assert!(outcomes.iter().all(|outcome| outcome["error"].is_null()), "{sdk:?} {outcomes:?}");
        assert!(outcomes[1]["sent"].as_u64().unwrap() >= 2, "{sdk:?} was not refused: {outcomes:?}");
    }
    let log = program.log(&key, 4).await;
    assert!(log.iter().any(|(outcome, ..)| outcome == "limit_reached"), "{log:?}");
    assert_eq!(upstream.seen().len(), 4, "one for each answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstreams_errors_are_passed_on_as_they_are_and_retried_as_the_sdks_do() {
    let (upstream, program) = running().await;
    let key = program.key("acme", "ada").await;
    for sdk in SDKS {
        let steps = json!([
            {"do": "plain", "key": *key.credential, "text": "fail 400"},
            {"do": "plain", "key": *key.credential, "text": "fail 529"},
            {"do": "stream", "key": *key.credential, "text": "fail 500"},
        ]);
        let outcomes = sdk.does(&program.url, steps).await;
        for (outcome, (status, sent)) in outcomes.iter().zip([(400, 1), (529, 3), (500, 3)]) {
            assert_eq!(outcome["error"], class(status), "{sdk:?} {outcome}");
            assert_eq!((&outcome["status"], &outcome["sent"]), (&json!(status), &json!(sent)), "{sdk:?} {outcome}");
            assert_eq!(outcome["request_id"], "req_demo", "{sdk:?} {outcome}");
        }
    }
    upstream.answers(418, "<h1>not even JSON</h1>");
    upstream.says("retry-after", "7");
    upstream.says("x-should-retry", "false");
    let answer = message(&program.url, &key.credential, HELLO).await;
    assert_eq!((answer.status.as_u16(), &*answer.body), (418, "<h1>not even JSON</h1>"));
    assert_eq!((answer.header("retry-after"), answer.header("x-should-retry")), ("7", "false"));
    assert_eq!(program.used(&key, "requests", |used| used == 15).await, 15);
    assert_eq!(program.used(&key, "tokens", |_| true).await, 0, "failures cost nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_does_not_answer_is_an_error_that_the_sdks_retry() {
    let (upstream, program) = running().await;
    let key = program.key("acme", "ada").await;
    drop(upstream);
    for sdk in SDKS {
        let [outcome] = &*sdk.does(&program.url, json!([{"do": "plain", "key": *key.credential}])).await else { panic!() };
        assert_eq!((&outcome["error"], &outcome["status"]), (&json!("InternalServerError"), &json!(502)), "{sdk:?} {outcome}");
        assert_eq!((&outcome["type"], &outcome["sent"]), (&json!("api_error"), &json!(3)), "{sdk:?} {outcome}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_is_answered_as_the_cli_and_the_pages_expect() {
    let (upstream, program) = running().await;
    let (key, url) = (program.key("acme", "ada").await, &program.url);
    let header = format!("x-api-key: {}", *key.credential);
    let alive = curl(&["--head", url], b"").await;
    assert_eq!((alive.status.as_u16(), &*alive.body), (204, ""));
    assert!(upstream.seen().is_empty());

    let with_query = format!("{url}/v1/messages?beta=true");
    let answer = curl(
        &[&with_query, "-H", &header, "-H", "cookie: theme=dark", "-H", "anthropic-version: 2023-06-01", "--data-binary", HELLO],
        b"",
    )
    .await;
    assert_eq!(answer.status.as_u16(), 200);
    assert_eq!((answer.header("cache-control"), answer.header("vary")), ("private", "Authorization, X-Api-Key"));
    assert_eq!(answer.header("anthropic-ratelimit-requests-limit"), "60", "the key's, not the host's");
    assert!(answer.headers.get("anthropic-organization-id").is_none());
    assert!(answer.header("gateway-request-id").starts_with("req_"));
    let (_, uri, seen) = &upstream.seen()[0];
    assert_eq!(uri, "/v1/messages?beta=true");
    assert_eq!(seen["anthropic-version"], "2023-06-01");
    assert_eq!(
        (seen["x-api-key"].to_str().unwrap(), &seen["accept-encoding"]),
        ("sk-ant-the-hosts-own-4e7f", &"identity".parse().unwrap())
    );
    assert!(!seen.contains_key("cookie") && !seen.contains_key("authorization"));

    for path in
        ["/v1", "/v1/", "/v1/complete", "/v1/messages/batches", "/v1/models/../files", "/v1/models/..%2ffiles", "/v1/models/a/b"]
    {
        let address = format!("{url}{path}");
        let nobody = curl(&[&address, "--path-as-is"], b"").await;
        assert_eq!((nobody.status.as_u16(), nobody.header("www-authenticate")), (401, "Bearer"), "{path}");
        let answer = curl(&[&address, "--path-as-is", "-H", &header], b"").await;
        assert_eq!((answer.status.as_u16(), &*answer.error().0), (404, "not_found_error"), "{path}");
    }
    let put = curl(&[&format!("{url}/v1/messages"), "-X", "PUT", "-H", &header], b"").await;
    assert_eq!((put.status.as_u16(), &*put.error().0), (404, "not_found_error"));
    assert_eq!(upstream.seen().len(), 1);
    let page = curl(&[&format!("{url}/settings/api-keys")], b"").await;
    assert_eq!((page.status.as_u16(), page.header("location")), (303, "/sign-in"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organization_sees_the_models_that_it_may_use() {
    let (_upstream, program) = running().await;
    let key = program.key("globex", "edsger").await;
    for sdk in SDKS {
        let [models] = &*sdk.does(&program.url, json!([{"do": "models", "key": *key.credential}])).await else { panic!() };
        assert_eq!(models["models"], json!(["demo-small", "claude-haiku-demo"]), "{sdk:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_about_models_tells_the_id_that_the_access_log_has() {
    let (upstream, program) = running().await;
    let key = program.key("globex", "edsger").await;
    let header = format!("x-api-key: {}", *key.credential);
    let ask = |path: &str| {
        let (url, header) = (format!("{}{path}", program.url), header.clone());
        async move { curl(&[&url, "-H", &header], b"").await }
    };
    upstream.says("request-id", "req_upstreams");
    for path in ["/v1/models", "/v1/models/demo-small"] {
        let answer = ask(path).await;
        assert_eq!((answer.status.as_u16(), answer.header("request-id")), (200, "req_upstreams"), "{path} {answer:?}");
        let ours = answer.header("gateway-request-id");
        assert!(ours.starts_with("req_") && ours != "req_upstreams", "{path} {answer:?}");
    }
    for path in ["/v1/models/%ff", "/v1/models/no-such-model"] {
        let answer = ask(path).await;
        assert_eq!((answer.status.as_u16(), &*answer.error().0), (404, "not_found_error"), "{path}");
    }
}
