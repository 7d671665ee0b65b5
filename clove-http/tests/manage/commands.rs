use crate::host::{Answer, Host};
use clove_core::{ListAudit, Policy, Scope, Status, Verdict};
use serde_json::{Value, json};

#[tokio::test]
async fn what_kills_needs_no_revision_and_says_whether_it_changed_anything() {
    for (command, status) in [("disable", "suspended"), ("revoke", "revoked"), ("flag-compromised", "compromised")] {
        let host = Host::new(Policy::profile_a());
        let id = host.key_of("acme", "ada").await.key.id;
        let send = || host.ask("POST", &format!("/keys/{id}/{command}")).send();
        let answer = send().await.is(200);
        assert_eq!((&answer.json()["changed"], &answer.json()["key"]["status"]), (&json!(true), &json!(status)));
        assert_eq!(answer.headers["etag"], "\"2\"");
        assert_eq!(send().await.is(200).json()["changed"], json!(false));
    }
}

#[tokio::test]
async fn what_kills_is_refused_by_no_status() {
    for status in Status::ALL {
        for command in ["disable", "revoke", "flag-compromised", "delete"] {
            let host = Host::new(Policy::profile_a());
            let id = host.fixture.key_in(status).await.unwrap().key.id;
            let path = format!("/keys/{id}");
            match command {
                "delete" => host.ask("DELETE", &path).send().await.is(204),
                command => host.ask("POST", &format!("{path}/{command}")).send().await.is(200),
            };
        }
    }
}

#[tokio::test]
async fn a_deleted_key_is_gone() {
    let host = Host::new(Policy::profile_a());
    let path = format!("/keys/{}", host.key_of("acme", "ada").await.key.id);
    assert!(host.ask("DELETE", &path).send().await.is(204).body.is_empty());
    for method in ["GET", "DELETE"] {
        assert_eq!(host.ask(method, &path).send().await.problem(), (404, "not-found".to_owned()));
    }
}

#[tokio::test]
async fn a_suspended_key_is_switched_on_while_a_place_is_free() {
    let host = Host::new(Policy::profile_a());
    let id = host.fixture.key_in(Status::Suspended).await.unwrap().key.id;
    let enable = || host.ask("POST", &format!("/keys/{id}/enable")).send();
    assert_eq!(enable().await.is(200).json()["key"]["status"], "active");
    assert_eq!(enable().await.is(200).json()["changed"], json!(false));
    host.ask("POST", &format!("/keys/{id}/disable")).send().await.is(200);
    for _ in 0..2 {
        host.key_of("acme", "ada").await;
    }
    assert_eq!(enable().await.problem(), (409, "active-limit".to_owned()));
}

#[tokio::test]
async fn a_foreign_key_answers_byte_for_byte_as_none() {
    let host = Host::new(Policy::profile_a());
    let foreign = [host.key_of("acme", "bob").await.key.id, host.key_of("globex", "ada").await.key.id];
    let none = "01890000-0000-7000-8000-000000000000".to_owned();
    let ids: Vec<String> =
        foreign.iter().map(ToString::to_string).chain([none, "not-an-id".to_owned(), "%FF".to_owned()]).collect();
    let told = |answer: Answer| (answer.status, format!("{:?}", answer.headers), answer.body);
    for (method, end, body) in [
        ("GET", "", None),
        ("PATCH", "", Some(json!({"name": "x"}))),
        ("DELETE", "", None),
        ("POST", "/disable", None),
        ("POST", "/enable", None),
        ("POST", "/revoke", None),
        ("POST", "/flag-compromised", None),
        ("POST", "/rotate", None),
    ] {
        let mut answers = Vec::new();
        for id in &ids {
            let ask = host.ask(method, &format!("/keys/{id}{end}")).header("if-match", "\"1\"");
            let ask = body.iter().fold(ask, |ask, body| ask.json(body.clone()));
            answers.push(told(ask.send().await.is(404)));
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{method} {end}: {answers:?}");
    }
    for (organization, account, id) in [("acme", "bob", foreign[0]), ("globex", "ada", foreign[1])] {
        let owner = clove_core::Owner::new(organization, account).unwrap();
        assert_eq!(host.clove().get(&owner, id).await.unwrap().revision, 1, "nothing has touched it");
    }
}

#[tokio::test]
async fn an_administrator_reaches_its_organization_and_no_other() {
    let host = Host::new(Policy::profile_a());
    let (ours, theirs) = (host.key_of("acme", "ada").await.key.id, host.key_of("globex", "ada").await.key.id);
    let revoke = |id| host.ask("POST", &format!("/keys/{id}/revoke")).by("acme/boss/administrator").send();
    assert_eq!(revoke(ours).await.is(200).json()["key"]["status"], "revoked");
    revoke(theirs).await.is(404);
}

#[tokio::test]
async fn every_command_is_on_record_with_who_and_why() {
    let host = Host::new(Policy::profile_a());
    let id = host.key_of("acme", "ada").await.key.id;
    let path = format!("/keys/{id}/disable");
    host.ask("POST", &path).send().await.is(200);
    host.ask("POST", &path)
        .by("acme/boss/administrator")
        .header("audit-reason", "left%20the team, f%C3%BCr immer: 100%25")
        .send()
        .await
        .is(200);
    let list = ListAudit { key: Some(id), ..ListAudit::default() };
    let events = host.clove().audit(Scope::from(&host.fixture.owner), &list).await.unwrap().items;
    let told: Vec<(&str, &str)> = events.iter().map(|event| (event.actor.as_str(), event.reason.as_str())).collect();
    assert_eq!(told[..2], [("boss", "left the team, für immer: 100%"), ("ada", "management API")]);
}

#[tokio::test]
async fn a_reason_that_is_none_is_refused() {
    let host = Host::new(Policy::profile_a());
    let id = host.key_of("acme", "ada").await.key.id;
    for reason in ["", "%0A", "%FF", "100%", "%4", "%zz", "für", &"x".repeat(501)] {
        let answer = host.ask("POST", &format!("/keys/{id}/disable")).header("audit-reason", reason).send().await;
        assert_eq!(
            (answer.problem(), &answer.json()["header"]),
            ((400, "invalid-header".to_owned()), &json!("audit-reason")),
            "{reason}"
        );
    }
}

#[tokio::test]
async fn a_leak_is_answered_alike_whether_it_is_known_or_not() {
    let host = Host::new(Policy::profile_a());
    let leaked = host.key_of("globex", "eve").await;
    let credential = leaked.credential.unwrap().reveal();
    let report = |text: &str| host.ask("POST", "/leaks").json(json!({"text": text})).send();
    let known = report(&format!("export KEY={}", &*credential)).await.is(204);
    let unknown = report("nothing of ours").await.is(204);
    assert_eq!((known.headers, known.body), (unknown.headers, unknown.body));
    let Verdict::Denied(denial) = host.clove().verify(&*credential).await.unwrap() else { panic!("it was flagged") };
    assert_eq!(*denial.reason(), clove_core::DenialReason::Compromised);
    assert_eq!(host.ask("POST", "/leaks").json(Value::Null).send().await.problem().0, 422);
}
