use crate::host::{Answer, Host};
use clove_core::{Action, Policy, Role, Status, Verdict};
use serde_json::{Value, json};

async fn granted(host: &Host, answer: &Answer) -> bool {
    let credential = answer.json()["credential"].as_str().unwrap().to_owned();
    matches!(host.clove().verify(&credential).await.unwrap(), Verdict::Granted(_))
}

#[tokio::test]
async fn a_new_key_is_answered_with_its_secret_and_where_it_is() {
    let host = Host::new(Policy::profile_a());
    let metadata = r#"{"b": 1.50, "a": [null]}"#;
    let body = format!(
        r#"{{"name": "laptop", "description": "two\\nlines", "expiry": {{"days": 30}},
        "capabilities": ["messages:create"], "metadata": {metadata}}}"#
    );
    let answer = host.ask("POST", "/keys").text(body).send().await.is(201);
    let (told, id) = (answer.json(), answer.json()["api_key_id"].as_str().unwrap().to_owned());
    assert_eq!(told["credential"], json!(format!("{id};{}", told["secret"].as_str().unwrap())));
    assert_eq!((&told["replayed"], &told["key"]["account"]), (&json!(false), &json!("ada")));
    assert_eq!(
        (&answer.headers["location"], &answer.headers["etag"]),
        (&format!("keys/{id}").parse().unwrap(), &"\"1\"".parse().unwrap())
    );
    assert!(!answer.headers.contains_key("idempotency-replayed"));
    assert!(granted(&host, &answer).await);
    let shown = host.ask("GET", &format!("/keys/{id}")).send().await.is(200);
    assert_eq!(shown.json(), told["key"]);
    assert!(shown.text().contains(&format!("\"metadata\":{metadata}")), "kept as it was given: {}", shown.text());
}

#[tokio::test]
async fn an_owner_in_the_body_is_no_field() {
    let host = Host::new(Policy::profile_a());
    for field in ["owner", "account", "organization"] {
        let answer = host.ask("POST", "/keys").json(json!({"name": "k", field: "bob"})).send().await;
        assert_eq!((answer.problem(), &answer.json()["field"]), ((422, "invalid-body".to_owned()), &json!(field)));
    }
    assert!(host.fixture.keys().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_administrator_creates_for_itself() {
    let host = Host::new(Policy::profile_a());
    let told = host.ask("POST", "/keys").by("acme/boss/administrator").json(json!({"name": "k"})).send().await.is(201).json();
    assert_eq!(told["key"]["account"], "boss");
}

#[tokio::test]
async fn what_the_policy_or_the_visitor_does_not_allow_is_refused_with_what_to_do() {
    let host = Host::new(Policy::profile_a());
    let create = |body: Value| host.ask("POST", "/keys").json(body).send();
    for (body, problem, field) in [
        (json!({"name": "k", "expiry": "never"}), (422, "invalid-argument"), json!("expiry")),
        (json!({"name": " k"}), (422, "invalid-argument"), json!("name")),
        (json!({"name": "k", "capabilities": ["models:write"]}), (403, "beyond-authority"), Value::Null),
        (json!({"name": "k", "limits": "unlimited"}), (403, "may-not-set-limits"), Value::Null),
        (
            json!({"name": "k", "metadata": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {}}}}}}}}}}),
            (422, "invalid-argument"),
            json!("metadata"),
        ),
    ] {
        let answer = create(body.clone()).await;
        assert_eq!((answer.problem(), &answer.json()["field"]), ((problem.0, problem.1.to_owned()), &field), "{body}");
    }
    for _ in 0..2 {
        create(json!({"name": "k"})).await.is(201);
    }
    let answer = create(json!({"name": "k"})).await;
    assert_eq!((answer.problem(), &answer.json()["limit"]), ((409, "active-limit".to_owned()), &json!(2)));
    assert!(answer.json()["detail"].as_str().unwrap().contains("disable or delete one"));
}

#[tokio::test]
async fn limits_are_chosen_by_who_may() {
    let host = Host::new(Policy::profile_a());
    let windows = json!({"windows": [{"requests": 5, "seconds": 1}, {"requests": 9, "seconds": 60, "kind": "sliding"}]});
    let told = host
        .ask("POST", "/keys")
        .by("acme/boss/administrator")
        .json(json!({"name": "k", "limits": windows}))
        .send()
        .await
        .is(201)
        .json();
    let kept = json!({"windows": [
        {"requests": 5, "seconds": 1, "kind": "fixed"}, {"requests": 9, "seconds": 60, "kind": "sliding"}]});
    assert_eq!(told["key"]["limits"], kept);
}

#[tokio::test]
async fn a_repetition_answers_with_the_key_without_its_secret_and_says_so() {
    let host = Host::new(Policy::profile_a());
    let create = || host.ask("POST", "/keys").header("idempotency-key", "\"a-1\"").json(json!({"name": "k"})).send();
    let (first, second) = (create().await.is(201), create().await.is(200));
    let (told, again) = (first.json(), second.json());
    assert_eq!(again["key"], told["key"]);
    assert_eq!((&again["replayed"], &again["secret"], &again["credential"]), (&json!(true), &Value::Null, &Value::Null));
    assert_eq!(second.headers["idempotency-replayed"], "true");
    assert!(!second.text().contains(told["secret"].as_str().unwrap()));
    assert_eq!(host.fixture.keys().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_repetition_a_day_later_is_still_one() {
    let policy =
        Policy::builder().retention(clove_core::Retention { audit: Some(chrono::TimeDelta::days(1)), ..Default::default() });
    let host = Host::new(policy.build().unwrap());
    let create = || host.ask("POST", "/keys").header("idempotency-key", "a").json(json!({"name": "k"})).send();
    create().await.is(201);
    host.fixture.clock().advance(std::time::Duration::from_secs(86_399));
    create().await.is(200);
}

#[tokio::test]
async fn the_same_idempotency_key_with_other_arguments_is_refused() {
    let host = Host::new(Policy::profile_a());
    let create = |body: Value| host.ask("POST", "/keys").header("idempotency-key", "a").json(body).send();
    create(json!({"name": "k"})).await.is(201);
    for other in [
        json!({"name": "other"}),
        json!({"name": "k", "expiry": {"days": 30}}),
        json!({"name": "k", "capabilities": ["models:read"]}),
    ] {
        assert_eq!(create(other).await.problem(), (422, "idempotency-key-reused".to_owned()));
    }
    assert_eq!(host.fixture.keys().await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_idempotency_key_is_its_owners_own_and_its_commands() {
    let host = Host::new(Policy::profile_a());
    for user in ["acme/ada", "acme/bob", "globex/ada", "ac/mea/da"] {
        host.ask("POST", "/keys").by(user).header("idempotency-key", "a").json(json!({"name": "k"})).send().await.is(201);
    }
    let id = host.fixture.keys().await.unwrap()[0].id;
    host.ask("POST", &format!("/keys/{id}/rotate"))
        .header("idempotency-key", "a")
        .header("if-match", "\"1\"")
        .send()
        .await
        .is(200);
}

#[tokio::test]
async fn an_idempotency_key_that_is_none_is_refused() {
    let host = Host::new(Policy::profile_a());
    for key in ["", "two words", "ü", &"x".repeat(256)] {
        let answer = host.ask("POST", "/keys").header("idempotency-key", key).json(json!({"name": "k"})).send().await;
        assert_eq!(
            (answer.problem(), &answer.json()["header"]),
            ((400, "invalid-header".to_owned()), &json!("idempotency-key")),
            "{key}"
        );
    }
    let twice =
        host.ask("POST", "/keys").header("idempotency-key", "a").header("idempotency-key", "a").json(json!({"name": "k"}));
    assert_eq!(twice.send().await.problem(), (400, "invalid-header".to_owned()));
    host.ask("POST", "/keys").header("idempotency-key", "x".repeat(255)).json(json!({"name": "k"})).send().await.is(201);
}

#[tokio::test]
async fn a_rotation_gives_a_new_secret_and_the_older_one_its_grace() {
    let host = Host::new(Policy::profile_a());
    let old = host.fixture.key_in(Status::Active).await.unwrap();
    let path = format!("/keys/{}/rotate", old.key.id);
    let answer = host.ask("POST", &path).header("if-match", "\"1\"").json(json!({"grace_seconds": 60})).send().await.is(200);
    assert_eq!((&answer.headers["etag"], &answer.json()["replayed"]), (&"\"2\"".parse().unwrap(), &json!(false)));
    assert!(answer.json()["previous_valid_until"].is_string());
    assert!(granted(&host, &answer).await);
    let old = old.credential.unwrap().reveal();
    assert!(matches!(host.clove().verify(&*old).await.unwrap(), Verdict::Granted(_)));
    let answer = host.ask("POST", &path).header("if-match", "\"2\"").send().await.is(200);
    assert!(granted(&host, &answer).await && answer.json()["previous_valid_until"].is_null());
    assert!(matches!(host.clove().verify(&*old).await.unwrap(), Verdict::Denied(_)));
}

#[tokio::test]
async fn an_administrator_is_shown_no_secret_of_another_person_unless_the_policy_offers_it() {
    for (offered, status) in [(None, 404), (Some(Action::Rotate), 200)] {
        let host =
            Host::new(Policy::builder().menu(Role::Administrator, [Action::Revoke].into_iter().chain(offered)).build().unwrap());
        let id = host.key_of("acme", "ada").await.key.id;
        let rotate = host.ask("POST", &format!("/keys/{id}/rotate")).by("acme/boss/administrator").header("if-match", "\"1\"");
        rotate.send().await.is(status);
        let own = host.key_of("acme", "boss").await.key.id;
        let rotate = host.ask("POST", &format!("/keys/{own}/rotate")).by("acme/boss/administrator").header("if-match", "\"1\"");
        rotate.send().await.is(200);
    }
}

#[tokio::test]
async fn a_rotation_is_repeated_without_its_secret() {
    let host = Host::new(Policy::profile_a());
    let id = host.key_of("acme", "ada").await.key.id;
    let rotate =
        || host.ask("POST", &format!("/keys/{id}/rotate")).header("if-match", "\"1\"").header("idempotency-key", "r").send();
    let (first, second) = (rotate().await.is(200), rotate().await.is(200));
    assert!(first.json()["secret"].is_string() && second.json()["secret"].is_null());
    assert_eq!((&second.json()["replayed"], &second.headers["idempotency-replayed"]), (&json!(true), &"true".parse().unwrap()));
    assert!(granted(&host, &first).await);
}

#[tokio::test]
async fn a_rotation_of_what_has_changed_or_of_a_dead_key_is_refused() {
    let host = Host::new(Policy::profile_a());
    let id = host.key_of("acme", "ada").await.key.id;
    let rotate = |tag: &'static str| host.ask("POST", &format!("/keys/{id}/rotate")).header("if-match", tag).send();
    assert_eq!(rotate("\"7\"").await.problem(), (412, "revision-conflict".to_owned()));
    let unsaid = host.ask("POST", &format!("/keys/{id}/rotate")).send().await;
    assert_eq!(unsaid.problem(), (428, "if-match-required".to_owned()));
    host.ask("POST", &format!("/keys/{id}/revoke")).send().await.is(200);
    let answer = rotate("\"2\"").await;
    assert_eq!((answer.problem(), &answer.json()["key_status"]), ((409, "not-allowed".to_owned()), &json!("revoked")));
}
