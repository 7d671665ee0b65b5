use crate::host::Host;
use clove_core::{CapabilitySet, NewKey, Policy};
use serde_json::{Value, json};

#[tokio::test]
async fn an_edit_changes_what_it_names_and_nothing_else() {
    let host = Host::new(Policy::profile_a());
    let body = json!({"name": "k", "description": "d", "metadata": 7, "capabilities": ["models:read"]});
    let told = host.ask("POST", "/keys").json(body).send().await.is(201).json();
    let path = format!("/keys/{}", told["api_key_id"].as_str().unwrap());
    let patch = |tag: &'static str, body: Value| host.ask("PATCH", &path).header("if-match", tag).json(body).send();
    let answer = patch("\"1\"", json!({"name": "new"})).await.is(200);
    let mut expected = told["key"].clone();
    (expected["name"], expected["revision"]) = (json!("new"), json!(2));
    assert_eq!(answer.json(), json!({"changed": true, "key": expected}));
    assert_eq!(answer.headers["etag"], "\"2\"");
    let answer = patch("\"2\"", json!({"name": "new"})).await.is(200).json();
    assert_eq!((&answer["changed"], &answer["key"]["revision"]), (&json!(false), &json!(2)));
    let all = json!({"description": "", "metadata": null, "capabilities": []});
    let key = patch("\"2\"", all).await.is(200).json()["key"].clone();
    assert_eq!((&key["description"], &key["metadata"], &key["capabilities"]), (&json!(""), &Value::Null, &json!([])));
}

#[tokio::test]
async fn an_edit_needs_the_revision_that_it_is_based_on() {
    let host = Host::new(Policy::profile_a());
    let id = host.key_of("acme", "ada").await.key.id;
    let patch = |tags: &[&str]| {
        let ask = host.ask("PATCH", &format!("/keys/{id}")).json(json!({"name": "new"}));
        tags.iter().fold(ask, |ask, tag| ask.header("if-match", tag)).send()
    };
    assert_eq!(patch(&[]).await.problem(), (428, "if-match-required".to_owned()));
    for other in ["\"2\"", "\"0\"", "W/\"1\"", "\"01\"", "\"+1\"", "\"\"", "\"a\"", "\"99999999999999999999\""] {
        assert_eq!(patch(&[other]).await.problem(), (412, "revision-conflict".to_owned()), "{other}");
    }
    for bad in ["*", "1", "\"1\", \"2\"", "\"1", "", "\"\u{1}\""] {
        if http::HeaderValue::from_bytes(bad.as_bytes()).is_ok() {
            assert_eq!(patch(&[bad]).await.problem(), (400, "invalid-header".to_owned()), "{bad}");
        }
    }
    assert_eq!(patch(&["\"1\"", "\"1\""]).await.problem(), (400, "invalid-header".to_owned()));
    patch(&["\"1\""]).await.is(200);
    let conflict = patch(&["\"1\""]).await;
    assert_eq!((conflict.problem(), &conflict.json()["revision"]), ((412, "revision-conflict".to_owned()), &json!(2)));
}

#[tokio::test]
async fn an_edit_gives_no_more_than_the_visitor_may() {
    let host = Host::new(Policy::profile_a());
    let id = host.key_of("acme", "ada").await.key.id;
    let patch = |body: Value| host.ask("PATCH", &format!("/keys/{id}")).header("if-match", "\"1\"").json(body).send();
    let answer = patch(json!({"capabilities": ["*:*"]})).await;
    assert_eq!((answer.problem(), &answer.json()["capability"]), ((403, "beyond-authority".to_owned()), &json!("*:*")));
    assert_eq!(patch(json!({"limits": {"tier": "gold"}})).await.problem(), (403, "may-not-set-limits".to_owned()));
}

#[tokio::test]
async fn a_rotation_is_refused_to_who_may_not_grant_what_the_key_may_do() {
    let host = Host::new(Policy::profile_a());
    let new = NewKey::named("k").unwrap().capabilities(CapabilitySet::all());
    let id = host.clove().create(&host.fixture.owner, new, &host.fixture.by).await.unwrap().key.id;
    let answer = host.ask("POST", &format!("/keys/{id}/rotate")).header("if-match", "\"1\"").send().await;
    assert_eq!(answer.problem(), (403, "beyond-authority".to_owned()));
}
