use crate::host::Host;
use clove_core::{Expiry, ExpiryPolicy, Policy};
use serde_json::json;

#[tokio::test]
async fn a_key_is_shown_as_what_it_is() {
    let host = Host::new(Policy::profile_a());
    let id = host.key_of("acme", "ada").await.key.id;
    let answer = host.ask("GET", &format!("/keys/{id}")).send().await.is(200);
    assert_eq!(answer.headers["etag"], "\"1\"");
    let key = answer.json();
    assert_eq!(
        key,
        json!({
            "id": id.to_string(), "account": "ada", "name": "laptop", "description": "", "status": "active",
            "created_at": key["created_at"], "expires_at": key["expires_at"], "last_used_at": null, "capabilities": [],
            "limits": "default", "metadata": null, "revision": 1, "offered": ["disable", "delete"],
        })
    );
    let days = |field: &str| key[field].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    assert_eq!((days("expires_at") - days("created_at")).num_days(), 90);
}

#[tokio::test]
async fn the_status_is_that_of_now_and_the_menu_follows_it_and_the_role() {
    let host = Host::new(Policy::profile_a());
    let id = host.fixture.key_in(clove_core::Status::Expired).await.unwrap().key.id;
    let path = format!("/keys/{id}");
    let key = host.ask("GET", &path).send().await.is(200).json();
    assert_eq!((&key["status"], &key["offered"]), (&json!("expired"), &json!(["delete"])));
    let key = host.ask("GET", &path).by("acme/boss/administrator").send().await.is(200).json();
    assert_eq!(key["offered"], json!(["revoke", "flag_compromised", "delete"]));
}

#[tokio::test]
async fn lists_go_by_pages_newest_first_and_by_status() {
    let host = Host::new(Policy::profile_b());
    let mut ids = Vec::new();
    for _ in 0..5 {
        let id =
            host.ask("POST", "/keys").json(json!({"name": "k", "capabilities": []})).send().await.is(201).json()["api_key_id"]
                .clone();
        ids.insert(0, id);
    }
    let mut seen = Vec::new();
    let mut path = "/keys?limit=2".to_owned();
    loop {
        let page = host.ask("GET", &path).send().await.is(200).json();
        assert!(page["keys"].as_array().unwrap().len() <= 2);
        seen.extend(page["keys"].as_array().unwrap().iter().map(|key| key["id"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/keys?limit=2&after={next}");
    }
    assert_eq!(seen, ids);
    let one = ids[0].as_str().unwrap();
    host.ask("POST", &format!("/keys/{one}/disable")).send().await.is(200);
    let page = host.ask("GET", "/keys?status=suspended").send().await.is(200).json();
    assert_eq!((page["keys"].as_array().unwrap().len(), &page["keys"][0]["id"]), (1, &ids[0]));
}

#[tokio::test]
async fn a_bad_query_names_its_parameter_and_not_its_value() {
    let host = Host::new(Policy::profile_a());
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x9x9", "limit"),
        ("status=x9x9", "status"),
        ("after=x9x9", "after"),
        ("account=x9%20x9", "account"),
        ("page=x9x9", "page"),
        ("limit=1&limit=2", "limit"),
    ] {
        let answer = host.ask("GET", &format!("/keys?{query}")).send().await;
        assert_eq!(answer.problem(), (400, "invalid-query".to_owned()), "{query}");
        assert_eq!(answer.json()["field"], field, "{query}");
        assert!(!answer.text().contains("x9"), "{}", answer.text());
    }
}

#[tokio::test]
async fn an_administrator_sees_the_organization_and_may_narrow_it_to_an_account() {
    let host = Host::new(Policy::profile_a());
    for (organization, account) in [("acme", "ada"), ("acme", "bob"), ("globex", "ada")] {
        host.key_of(organization, account).await;
    }
    let accounts = |page: serde_json::Value| {
        page["keys"].as_array().unwrap().iter().map(|key| key["account"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let list = |user, query| host.ask("GET", &format!("/keys{query}")).by(user).send();
    assert_eq!(accounts(list("acme/boss/administrator", "").await.is(200).json()), ["bob", "ada"]);
    assert_eq!(accounts(list("acme/boss/administrator", "?account=ada").await.is(200).json()), ["ada"]);
    assert_eq!(accounts(list("globex/boss/administrator", "").await.is(200).json()), ["ada"]);
    assert_eq!(accounts(list("acme/ada", "").await.is(200).json()), ["ada"]);
    assert_eq!(accounts(list("acme/ada", "?account=ada").await.is(200).json()), ["ada"]);
    assert_eq!(list("acme/ada", "?account=bob").await.problem(), (403, "administrators-only".to_owned()));
}

#[tokio::test]
async fn active_keys_are_told_as_the_settings_page_shows_them() {
    let host = Host::new(Policy::profile_a());
    host.key_of("acme", "ada").await;
    let told = host.ask("GET", "/active-keys").send().await.is(200).json();
    assert_eq!(told, json!({"active": 1, "limit": 2, "text": "1 / 2 active keys"}));
    let told = host.ask("GET", "/active-keys?account=ada").by("acme/boss/administrator").send().await.is(200).json();
    assert_eq!(told["active"], 1);
    let host = Host::new(Policy::profile_b());
    let told = host.ask("GET", "/active-keys").send().await.is(200).json();
    assert_eq!(told, json!({"active": 0, "limit": null, "text": "0 active keys"}));
}

#[tokio::test]
async fn the_choices_are_the_policys_and_the_visitors() {
    let custom = ExpiryPolicy { custom: Some((1, 3650)), never: true, default: Expiry::Never, ..ExpiryPolicy::default() };
    let host = Host::new(Policy::builder().expiry(custom).build().unwrap());
    let told = host.ask("GET", "/choices").send().await.is(200).json();
    assert_eq!(
        told["expiry"],
        json!({"days": [30, 60, 90, 180, 365], "default": "never", "custom": {"first": 1, "last": 3650}, "never": true})
    );
    assert_eq!(told["capabilities"], json!(["messages:*", "models:read"]));
    assert_eq!((&told["role"], &told["may_set_limits"], &told["active_limit"]), (&json!("owner"), &json!(false), &json!(2)));
    let windows = json!({"windows": [
        {"requests": 60, "seconds": 60, "kind": "fixed"}, {"requests": 5000, "seconds": 86400, "kind": "fixed"}]});
    assert_eq!(told["default_limits"], windows);
    let told = host.ask("GET", "/choices").by("acme/boss/administrator").send().await.is(200).json();
    assert_eq!((&told["role"], &told["may_set_limits"]), (&json!("administrator"), &json!(true)));
}
