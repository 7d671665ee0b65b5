use crate::host::{Answer, Host};
use clove_core::{Policy, Status};
use serde_json::json;

/// Whatever is asked of a key, its secret is told by the answer that gave it, and by no other.
#[tokio::test]
async fn no_answer_but_create_and_rotate_holds_a_secret() {
    let host = Host::new(Policy::profile_a());
    let created = host.ask("POST", "/keys").header("idempotency-key", "c").json(json!({"name": "k"})).send().await.is(201).json();
    let id = created["api_key_id"].as_str().unwrap();
    let path = format!("/keys/{id}");
    let rotated = host
        .ask("POST", &format!("{path}/rotate"))
        .header("if-match", "\"1\"")
        .header("idempotency-key", "r")
        .json(json!({"grace_seconds": 60}))
        .send()
        .await
        .is(200)
        .json();
    let secrets = [&created, &rotated].map(|told| told["secret"].as_str().unwrap().to_owned());
    let mut answers: Vec<Answer> = Vec::new();
    for path in ["/keys", &path, "/choices", "/active-keys", "/openapi.json"] {
        answers.push(host.ask("GET", path).send().await.is(200));
    }
    answers.push(host.ask("POST", "/keys").header("idempotency-key", "c").json(json!({"name": "k"})).send().await.is(200));
    let again = host.ask("POST", &format!("{path}/rotate")).header("if-match", "\"1\"").header("idempotency-key", "r");
    answers.push(again.json(json!({"grace_seconds": 60})).send().await.is(200));
    for secret in &secrets {
        // Wherever a client puts one.
        let patch = |field: &str| host.ask("PATCH", &path).header("if-match", "\"2\"").json(json!({field: secret})).send();
        answers.push(patch("name").await.is(422));
        answers.push(patch("description").await.is(422));
        answers.push(patch("capabilities").await.is(422));
        answers.push(patch(secret).await.is(422));
        answers.push(host.ask("PATCH", &path).header("if-match", secret).json(json!({})).send().await.is(400));
        answers.push(host.ask("GET", &format!("/keys/{secret}")).send().await.is(404));
        answers.push(host.ask("GET", &format!("/{secret}")).send().await.is(404));
        answers.push(host.ask("GET", &format!("/keys?after={secret}")).send().await.is(400));
        answers.push(host.ask("GET", &format!("/keys?{secret}=1")).send().await.is(400));
        answers.push(host.ask("GET", "/keys").header("x-api-key", secret).send().await.is(403));
        answers.push(host.ask("POST", "/keys").header("idempotency-key", secret).json(json!({"name": "l"})).send().await);
        answers.push(host.ask("POST", "/leaks").json(json!({"text": 1, secret: secret})).send().await.is(422));
        answers.push(host.ask("POST", &format!("{path}/disable")).header("audit-reason", secret).send().await.is(200));
        answers.push(host.ask("POST", "/leaks").json(json!({"text": secret})).send().await.is(204));
    }
    for answer in &answers {
        let told = format!("{:?} {}", answer.headers, answer.text());
        assert!(!secrets.iter().any(|secret| told.contains(secret.as_str())), "{told}");
    }
    assert_eq!(
        host.fixture.keys().await.unwrap().iter().filter(|key| key.status(host.clove().now()) == Status::Compromised).count(),
        1
    );
}
