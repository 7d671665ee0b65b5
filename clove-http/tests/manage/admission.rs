use crate::host::{Host, who};
use axum::Router;
use clove_core::{CapabilitySet, Grant, NewKey, Policy, Verdict};
use clove_http::manage::Management;
use serde_json::json;

async fn grant_of(host: &Host, capabilities: &[&str]) -> Grant {
    let new = NewKey::named("machine").unwrap().capabilities(CapabilitySet::new(capabilities).unwrap());
    let issued = host.clove().create(&host.fixture.owner, new, &host.fixture.by).await.unwrap();
    match host.clove().verify(&*issued.credential.unwrap().reveal()).await.unwrap() {
        Verdict::Granted(grant) => grant,
        Verdict::Denied(denial) => panic!("{:?}", denial.reason()),
    }
}

fn allowing_keys(host: &mut Host) {
    host.app = Router::new().nest("/api", Management::new(host.clove().clone(), who).allow_keys().router());
}

#[tokio::test]
async fn who_is_not_signed_in_gets_the_hosts_answer() {
    let host = Host::new(Policy::profile_a());
    let id = host.key_of("acme", "ada").await.key.id;
    for (method, path) in [("GET", "/keys".to_owned()), ("POST", "/keys".to_owned()), ("DELETE", format!("/keys/{id}"))] {
        assert_eq!(host.ask(method, &path).by_nobody().send().await.problem(), (401, "not-signed-in".to_owned()));
    }
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing() {
    let host = Host::new(Policy::profile_a());
    let id = host.key_of("acme", "ada").await.key.id;
    for (name, value) in [("sec-fetch-site", "cross-site"), ("sec-fetch-site", "same-site"), ("origin", "https://evil.example")] {
        for (method, path) in [
            ("POST", "/keys".to_owned()),
            ("PATCH", format!("/keys/{id}")),
            ("DELETE", format!("/keys/{id}")),
            ("POST", format!("/keys/{id}/revoke")),
            ("POST", format!("/keys/{id}/rotate")),
            ("POST", "/leaks".to_owned()),
        ] {
            let answer = host.ask(method, &path).header(name, value).header("host", "keys.example").json(json!({})).send().await;
            assert_eq!(answer.problem(), (403, "cross-site".to_owned()), "{method} {path} {value}");
        }
        host.ask("GET", "/keys").header(name, value).send().await.is(200);
    }
    let own = host.ask("POST", &format!("/keys/{id}/revoke")).header("sec-fetch-site", "same-origin");
    own.send().await.is(200);
}

#[tokio::test]
async fn a_key_manages_no_keys_and_nobody_is_asked_whose_it_is() {
    let host = Host::new(Policy::profile_a());
    let issued = host.key_of("acme", "ada").await;
    let credential = issued.credential.unwrap();
    let (whole, secret) = (credential.reveal(), credential.secret().reveal());
    let none = "01890000-0000-7000-8000-000000000000;guess";
    for (name, value) in [
        ("x-api-key", whole.to_string()),
        ("x-api-key", "anything".to_owned()),
        ("authorization", format!("Bearer {secret}")),
        ("authorization", format!("bearer {}", &*whole)),
        ("authorization", format!("Bearer {none}")),
        ("authorization", format!("Basic x,Bearer {secret}")),
    ] {
        for path in ["/keys", "/choices"] {
            // Nobody is signed in: had the closure been asked, it would be a 401.
            let answer = host.ask("GET", path).by_nobody().header(name, &value).send().await;
            assert_eq!(answer.problem(), (403, "key-not-allowed".to_owned()), "{value}");
        }
    }
    let grant = grant_of(&host, &[]).await;
    let answer = host.ask("POST", "/keys").extension(grant).json(json!({"name": "k"})).send().await;
    assert_eq!(answer.problem(), (403, "key-not-allowed".to_owned()));
    host.ask("GET", "/keys").header("authorization", "Bearer eyJhbGciOiJub25lIn0.e30.").send().await.is(200);
}

#[tokio::test]
async fn where_keys_are_let_in_one_gives_nothing_beyond_its_own_capabilities() {
    let mut host = Host::new(Policy::profile_b());
    allowing_keys(&mut host);
    let grant = grant_of(&host, &["*:create", "files:read"]).await;
    let create = |capability: &str| {
        host.ask("POST", "/keys").extension(grant.clone()).json(json!({"name": "k", "capabilities": [capability]})).send()
    };
    create("messages:create").await.is(201);
    // What the key may do and the person may not grant, and the other way round.
    for beyond in ["files:read", "models:create", "messages:read", "models:read", "*:create"] {
        let answer = create(beyond).await;
        assert_eq!((answer.problem(), &answer.json()["capability"]), ((403, "beyond-authority".to_owned()), &json!(beyond)));
    }
    let limited = json!({"name": "k", "capabilities": [], "limits": "unlimited"});
    let answer = host.ask("POST", "/keys").by("acme/boss/administrator").extension(grant.clone()).json(limited).send().await;
    assert_eq!(answer.problem(), (403, "may-not-set-limits".to_owned()));
    let told = host.ask("GET", "/choices").extension(grant.clone()).send().await.is(200).json();
    assert_eq!(told["capabilities"], json!(["messages:create"]));
}

#[tokio::test]
async fn where_keys_are_let_in_one_that_nobody_has_verified_is_not() {
    let mut host = Host::new(Policy::profile_a());
    allowing_keys(&mut host);
    let credential = host.key_of("acme", "ada").await.credential.unwrap().reveal();
    let answer = host.ask("GET", "/keys").header("x-api-key", &*credential).send().await;
    assert_eq!(answer.problem(), (403, "key-not-allowed".to_owned()));
    assert!(answer.text().contains("Nobody has verified"));
}
