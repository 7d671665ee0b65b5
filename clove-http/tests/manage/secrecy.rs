use crate::host::{Answer, Host};
use clove_core::{Clove, MemoryStore, Policy, Status, TracingObserver};
use clove_testkit::Fixture;
use serde_json::json;
use std::{
    fmt::{Debug, Write},
    sync::{Arc, Mutex},
};
use tracing::{Event, Metadata, Subscriber, field, span};

/// Keeps all that is said to `tracing`, at every level.
#[derive(Clone, Default)]
struct Ear(Arc<Mutex<String>>);

impl field::Visit for Ear {
    fn record_debug(&mut self, field: &field::Field, value: &dyn Debug) {
        writeln!(self.0.lock().unwrap(), "{}={value:?}", field.name()).unwrap();
    }
}

impl Subscriber for Ear {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        span.record(&mut self.clone());
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut self.clone());
    }
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// Whatever is asked of a key, its secret is told by the answer that gave it, and by no other; and nothing is logged of it.
#[tokio::test]
async fn no_answer_but_create_and_rotate_holds_a_secret_and_no_log() {
    let ear = Ear::default();
    let _listening = tracing::subscriber::set_default(ear.clone());
    let mut fixture = Fixture::new(Policy::profile_a()).unwrap();
    let observed = Clove::builder(MemoryStore::new(), Policy::profile_a()).observed_by(TracingObserver::new());
    fixture.clove = observed.clock(fixture.clock().clone()).build();
    let host = Host::on(fixture);
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
    let presented = rotated["credential"].as_str().unwrap();
    assert!(host.clove().verify(presented).await.unwrap().granted().is_some());
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
    let heard = ear.0.lock().unwrap().clone();
    assert!(heard.contains(id) && !secrets.iter().any(|secret| heard.contains(secret.as_str())), "{heard}");
    for answer in &answers {
        let told = format!("{:?} {}", answer.headers, answer.text());
        assert!(!secrets.iter().any(|secret| told.contains(secret.as_str())), "{told}");
    }
    assert_eq!(
        host.fixture.keys().await.unwrap().iter().filter(|key| key.status(host.clove().now()) == Status::Compromised).count(),
        1
    );
}
