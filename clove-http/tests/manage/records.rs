use crate::host::Host;
use clove_core::{AccessLog, Attempt, EndpointLabel, Policy, Unit};
use serde_json::{Value, json};

const BOSS: &str = "acme/boss/administrator";

async fn busy() -> Host {
    let host = Host::new(Policy::profile_a().to_builder().access_log(AccessLog::BestEffort).build().unwrap());
    for (organization, account) in [("acme", "ada"), ("acme", "bob"), ("globex", "eve")] {
        let credential = host.key_of(organization, account).await.credential.unwrap().reveal();
        let label = EndpointLabel::new("messages").unwrap();
        let grant = host.clove().verify(Attempt::new(&*credential).at_endpoint(&label)).await.unwrap().granted().unwrap();
        host.clove().record(&grant, &Unit::new("tokens").unwrap(), 70).unwrap();
    }
    host.clove().flush().await.unwrap();
    host
}

fn all(page: &Value, list: &str, field: &str) -> Vec<String> {
    page[list].as_array().unwrap().iter().map(|item| item[field].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_audit_trail_is_read_by_who_may_and_filtered() {
    let host = busy().await;
    let read = |user, query| host.ask("GET", &format!("/audit{query}")).by(user).send();
    let page = read("acme/ada", "").await.is(200).json();
    assert_eq!(all(&page, "events", "account"), ["ada"]);
    let event = &page["events"][0];
    assert_eq!((&event["action"], &event["actor"], &event["reason"]), (&json!("create"), &json!("test"), &json!("set up")));
    assert_eq!(
        (&event["key"]["name"], &event["key"]["from"], &event["key"]["to"]),
        (&json!("laptop"), &Value::Null, &json!("active"))
    );
    assert_eq!(all(&read(BOSS, "").await.is(200).json(), "events", "account"), ["bob", "ada"]);
    assert_eq!(all(&read(BOSS, "?account=ada").await.is(200).json(), "events", "account"), ["ada"]);
    assert!(all(&read(BOSS, "?action=revoke").await.is(200).json(), "events", "account").is_empty());
    assert_eq!(read("acme/ada", "?account=bob").await.problem(), (403, "administrators-only".to_owned()));
    let key = event["key"]["id"].as_str().unwrap().to_owned();
    assert_eq!(
        all(&host.ask("GET", &format!("/audit?key={key}")).by(BOSS).send().await.is(200).json(), "events", "account"),
        ["ada"]
    );
    let first = read(BOSS, "?limit=1").await.is(200).json();
    let next = host
        .ask("GET", &format!("/audit?limit=1&after={}", first["next"].as_str().unwrap()))
        .by(BOSS)
        .send()
        .await
        .is(200)
        .json();
    assert_eq!((all(&next, "events", "account"), &next["next"]), (vec!["ada".to_owned()], &Value::Null));
    for (query, field) in [("?action=x9x9", "action"), ("?key=x9x9", "key"), ("?from=x9x9", "from"), ("?after=k0", "after")] {
        let answer = read("acme/ada", query).await;
        assert_eq!((answer.problem(), &answer.json()["field"]), ((400, "invalid-query".to_owned()), &json!(field)), "{query}");
        assert!(!answer.text().contains("x9x9"));
    }
}

#[tokio::test]
async fn the_access_log_is_read_by_who_may_and_filtered() {
    let host = busy().await;
    let read = |user, query| host.ask("GET", &format!("/access-log{query}")).by(user).send();
    let page = read("acme/ada", "").await.is(200).json();
    assert_eq!(all(&page, "requests", "account"), ["ada"]);
    let request = &page["requests"][0];
    assert_eq!((&request["outcome"], &request["endpoint"], &request["cost"]), (&json!("granted"), &json!("messages"), &json!(1)));
    let left = json!({"of": "key", "window": {"requests": 60, "seconds": 60, "kind": "fixed"}, "left": 59});
    assert_eq!(request["limit"], left);
    assert_eq!(all(&read(BOSS, "").await.is(200).json(), "requests", "account").len(), 2);
    assert!(all(&read(BOSS, "?outcome=revoked").await.is(200).json(), "requests", "account").is_empty());
    assert_eq!(read(BOSS, "?outcome=x").await.problem(), (400, "invalid-query".to_owned()));
}

#[tokio::test]
async fn usage_is_summed_as_is_asked_and_within_the_visitors_reach() {
    let host = busy().await;
    let read = |user, query| host.ask("GET", &format!("/usage{query}")).by(user).send();
    let page = read(BOSS, "?unit=tokens&per=total").await.is(200).json();
    assert_eq!(page["sums"], json!([{"account": null, "key": null, "unit": "tokens", "day": null, "amount": 140}]));
    let page = read(BOSS, "?unit=tokens&by=account").await.is(200).json();
    assert_eq!(all(&page, "sums", "account"), ["ada", "bob"]);
    assert!(page["sums"][0]["day"].is_string());
    let page = read("acme/ada", "?by=key&per=total").await.is(200).json();
    assert_eq!(all(&page, "sums", "unit"), ["requests", "tokens"]);
    let first = read(BOSS, "?by=account&per=total&limit=1").await.is(200).json();
    let after = format!("/usage?by=account&per=total&limit=200&after={}", first["next"].as_str().unwrap());
    assert_eq!(host.ask("GET", &after).by(BOSS).send().await.is(200).json()["sums"].as_array().unwrap().len(), 3);
    for query in ["?by=x", "?per=x", "?unit=X", "?first=2026-13-01", "?key=x", "?limit=0"] {
        assert_eq!(read("acme/ada", query).await.problem(), (400, "invalid-query".to_owned()), "{query}");
    }
}
