//! What is done to keys, and who sees which.

use crate::host::*;
use clove_core::{Action, ActiveLimit, DenialReason, KeyId, NewKey, OperationId, Owner, Policy, Role, Status};
use clove_http::Visitor;
use http::StatusCode;
use std::time::Duration;

#[tokio::test]
async fn a_menu_offers_just_what_the_status_and_the_role_allow() {
    for (status, owner, administrator) in [
        (Status::Active, &["Disable", "Delete"][..], &["Disable", "Revoke", "Flag as compromised", "Delete"][..]),
        (Status::Suspended, &["Enable", "Delete"], &["Enable", "Revoke", "Flag as compromised", "Delete"]),
        (Status::Expired, &["Delete"], &["Revoke", "Flag as compromised", "Delete"]),
        (Status::Compromised, &["Delete"], &["Delete"]),
        (Status::Revoked, &["Delete"], &["Delete"]),
    ] {
        let host = Host::of_an_owner(Policy::profile_a());
        host.fixture.key_in(status).await.unwrap();
        let page = host.get("").await;
        assert_eq!(page.offered(), owner, "{status}");
        assert!(page.body.contains(&format!(">{status}</span>")));
        let host = Host::of_an_administrator(Policy::profile_a());
        host.fixture.key_in(status).await.unwrap();
        let page = host.get("?of=everyone").await;
        assert_eq!(page.offered(), administrator, "{status}");
        assert!(page.body.contains("<dt>Owner</dt><dd>ada</dd>"));
        assert!(!host.get("").await.body.contains("<article"), "not among the administrator's own");
        let host = Host::new(Policy::profile_a(), |fixture| Visitor::new(fixture.owner.clone()).administrator());
        host.fixture.key_in(status).await.unwrap();
        assert_eq!(host.get("").await.offered(), owner, "{status}, of the administrator itself");
        assert_eq!(host.get("?of=everyone").await.offered(), administrator, "{status}");
    }
}

#[tokio::test]
async fn commands_are_done_and_told_once() {
    let host = Host::of_an_administrator(unlimited());
    let credential = |issued: &clove_core::Issued| issued.credential.as_ref().unwrap().reveal();
    for (action, status, told) in [
        (Action::Disable, Status::Suspended, "is disabled"),
        (Action::Revoke, Status::Revoked, "is revoked"),
        (Action::FlagCompromised, Status::Compromised, "is flagged as compromised"),
    ] {
        let issued = host.fixture.key_in(Status::Active).await.unwrap();
        let id = issued.key.id.to_string();
        let answer = host.post("?of=everyone", &[("do", action.as_str()), ("key", &id)]).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER);
        let (_, query) = answer.header("location").split_once('?').unwrap();
        assert!(answer.header("location").starts_with("./api-keys?of=everyone&done="), "the same keys are looked at");
        let page = host.get(&format!("?{query}")).await;
        assert!(page.between(r#"role="status""#, "</div>").contains(told));
        assert!(page.body.contains(r#"<body data-address="./api-keys?of=everyone">"#));
        assert_eq!(
            host.fixture.clove.get(&host.fixture.owner, issued.key.id).await.unwrap().status(host.fixture.clove.now()),
            status
        );
        assert!(host.fixture.clove.verify(credential(&issued).as_bytes()).await.unwrap().granted().is_none());
        let again = host.post("", &[("do", action.as_str()), ("key", &id)]).await;
        assert_eq!(again.status, StatusCode::SEE_OTHER, "what kills is done as often as it is sent");
    }
}

#[tokio::test]
async fn nobody_can_have_the_page_tell_what_is_not_so() {
    let host = Host::of_an_owner(Policy::profile_a());
    let id = host.fixture.key_in(Status::Active).await.unwrap().key.id;
    for query in [
        format!("done=disable&key={id}"),
        format!("done=delete&key={id}"),
        format!("done=delete&key={}", KeyId::new(host.fixture.clove.now())),
        "done=delete&key=x".into(),
        format!("done=x&key={id}"),
    ] {
        assert!(!host.get(&format!("?{query}")).await.body.contains("note good"), "{query}");
    }
}

#[tokio::test]
async fn deleting_asks_first() {
    let host = Host::of_an_owner(Policy::profile_a());
    let id = host.fixture.key_in(Status::Active).await.unwrap().key.id.to_string();
    let page = host.get("").await;
    assert!(page.body.contains(r#"<dialog id="confirm-delete""#));
    assert!(!page.body.contains("confirm-revoke"), "only what some menu offers");
    let question = host.get(&format!("?confirm=delete&key={id}")).await;
    assert!(question.body.contains("Delete this key?") && question.body.contains("Active key"));
    assert_eq!(host.keys().await.len(), 1);
    assert_eq!(host.get(&format!("?confirm=revoke&key={id}")).await.status, StatusCode::NOT_FOUND, "not on the menu");
    let done = host.post("", &[("do", question.field("do")), ("key", question.field("key"))]).await;
    assert!(host.keys().await.is_empty());
    let (_, query) = done.header("location").split_once('?').unwrap();
    let page = host.get(&format!("?{query}")).await;
    assert!(page.between(r#"role="status""#, "</div>").contains("“<bdi>Active key</bdi>” is deleted."));
}

#[tokio::test]
async fn what_is_not_on_the_menu_is_not_done() {
    let host = Host::of_an_owner(Policy::profile_a());
    let id = host.fixture.key_in(Status::Active).await.unwrap().key.id.to_string();
    for action in ["revoke", "flag_compromised", "rotate", "close_owner", "edit", "import", "nothing", ""] {
        assert_eq!(host.post("", &[("do", action), ("key", &id)]).await.status, StatusCode::FORBIDDEN, "{action}");
    }
    let key = host.keys().await.remove(0);
    assert_eq!((key.status(host.fixture.clove.now()), key.revision), (Status::Active, 1));
}

#[tokio::test]
async fn a_foreign_key_looks_like_none() {
    let host = Host::of_an_owner(Policy::profile_a());
    let by = clove_core::By::new("ben", "test").unwrap();
    let ben = Owner::new("acme", "ben").unwrap();
    let foreign = host.fixture.clove.create(&ben, NewKey::named("ben's").unwrap(), &by).await.unwrap().key.id;
    let none = KeyId::new(host.fixture.clove.now());
    for action in ["disable", "enable", "delete"] {
        let [foreign, none] = [foreign, none].map(|id| id.to_string());
        let (foreign_answer, none_answer) =
            (host.post("", &[("do", action), ("key", &foreign)]).await, host.post("", &[("do", action), ("key", &none)]).await);
        assert_eq!(foreign_answer.status, StatusCode::NOT_FOUND);
        assert_eq!((foreign_answer.body, foreign_answer.headers), (none_answer.body, none_answer.headers), "{action}");
    }
    let ask = async |id: KeyId| host.get(&format!("?confirm=delete&key={id}")).await;
    let (foreign_answer, none_answer) = (ask(foreign).await, ask(none).await);
    assert_eq!((foreign_answer.status, foreign_answer.body), (StatusCode::NOT_FOUND, none_answer.body));
    let told = async |id: KeyId| host.get(&format!("?done=delete&key={id}")).await;
    let (foreign_page, none_page) = (told(foreign).await, told(none).await);
    assert!(!foreign_page.body.contains("note good") && !none_page.body.contains("note good"));
    assert!(host.fixture.clove.get(&ben, foreign).await.is_ok());
    host.fixture.clove.delete(&ben, foreign, &by).await.unwrap();
    assert!(!told(foreign).await.body.contains("note good"), "nor where it was, and is deleted");
    assert!(!host.get("?of=everyone").await.body.contains("ben"), "an owner sees its own, whatever it asks for");
}

#[tokio::test]
async fn older_keys_are_on_further_pages() {
    let host = Host::of_an_owner(Policy::builder().active_limit(ActiveLimit::Unlimited).build().unwrap());
    for number in 1..=25 {
        host.fixture
            .clove
            .create(&host.fixture.owner, NewKey::named(format!("key {number}")).unwrap(), &host.fixture.by)
            .await
            .unwrap();
    }
    let first = host.get("").await;
    assert_eq!(first.body.matches("<article").count(), 20);
    assert!(first.body.contains(">key 25<") && first.body.contains(">key 6<") && !first.body.contains(">key 5<"));
    assert!(!first.body.contains("Newest keys"));
    let older = first.between(r#"<a class="button older" href="./api-keys"#, "\"").replace("&amp;", "&");
    let second = host.get(&older).await;
    assert_eq!(second.body.matches("<article").count(), 5);
    assert!(second.body.contains(">key 1<") && second.body.contains("Newest keys") && !second.body.contains("Older keys"));
    let id = host.keys().await[24].id.to_string();
    let done = host.post(&older, &[("do", "disable"), ("key", &id)]).await;
    assert!(done.header("location").contains("after="), "a command leads back to the same keys");
    assert_eq!(host.get("?after=nonsense").await.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn rotating_shows_the_new_secret_once_and_carries_the_revision() {
    let menu = [Action::Rotate, Action::Delete];
    let host = Host::of_an_owner(Policy::builder().menu(Role::Owner, menu).build().unwrap());
    let old = host.fixture.key_in(Status::Active).await.unwrap();
    let (id, old) = (old.key.id.to_string(), old.credential.unwrap().reveal());
    let question = host.get(&format!("?confirm=rotate&key={id}")).await;
    assert_eq!(question.field("revision"), "1");
    let fields = [
        ("do", "rotate"),
        ("key", id.as_str()),
        ("revision", "1"),
        ("grace", "3600"),
        ("operation", question.field("operation")),
    ];
    let rotated = host.post("", &fields).await;
    let (_, credential) = issued(&rotated);
    assert!(rotated.body.contains("has a new secret") && rotated.body.contains("The older secret stays good until"));
    for credential in [credential.as_bytes(), old.as_bytes()] {
        assert!(host.fixture.clove.verify(credential).await.unwrap().granted().is_some());
    }
    host.fixture.clock().advance(Duration::from_secs(3600));
    let denial = host.fixture.clove.verify(old.as_bytes()).await.unwrap().denied().unwrap();
    assert_eq!(denial.reason(), &DenialReason::NotRecognized);

    let again = host.post("", &fields).await;
    assert!(again.body.contains("was given its new secret before") && !again.body.contains(&credential));
    let other = OperationId::new(host.fixture.clove.now()).to_string();
    let stale = host.post("", &[("do", "rotate"), ("key", &id), ("revision", "1"), ("operation", &other)]).await;
    assert_eq!(stale.status, StatusCode::CONFLICT);
    assert!(stale.body.contains("The key has changed since you looked at it."));
}
