use crate::host::Host;
use clove_core::{ActiveLimit, DenialReason, Owner, Policy, Verdict};
use serde_json::{Value, json};

const BOSS: &str = "acme/boss/administrator";

#[tokio::test]
async fn a_person_who_leaves_is_cut_off_and_others_are_not() {
    let host = Host::new(Policy::profile_a());
    let (ada, bob) = (host.key_of("acme", "ada").await, host.key_of("acme", "bob").await);
    let close = || host.ask("POST", "/members/ada/close").by(BOSS).send();
    assert_eq!(close().await.is(200).json(), json!({"changed": true, "revoked": 1, "unreadable": null}));
    assert_eq!(close().await.is(200).json(), json!({"changed": false, "revoked": 0, "unreadable": null}));
    let Verdict::Denied(denial) = host.clove().verify(&*ada.credential.unwrap().reveal()).await.unwrap() else {
        panic!("cut off")
    };
    assert_eq!(*denial.reason(), DenialReason::OwnerClosed);
    assert!(host.clove().verify(&*bob.credential.unwrap().reveal()).await.unwrap().granted().is_some());
    let create = || host.ask("POST", "/keys").json(json!({"name": "k"})).send();
    assert_eq!(create().await.problem(), (409, "owner-closed".to_owned()));
    let reopen = || host.ask("POST", "/members/ada/reopen").by(BOSS).send();
    assert_eq!(reopen().await.is(200).json(), json!({"changed": true}));
    assert_eq!(reopen().await.is(200).json(), json!({"changed": false}));
    let path = format!("/keys/{}", ada.key.id);
    assert_eq!(host.ask("GET", &path).send().await.is(200).json()["status"], "revoked", "reopening revives no key");
    create().await.is(201);
}

#[tokio::test]
async fn a_person_of_another_organization_is_another_person() {
    let host = Host::new(Policy::profile_a());
    let theirs = host.key_of("globex", "ada").await;
    assert_eq!(host.ask("POST", "/members/ada/close").by(BOSS).send().await.is(200).json()["revoked"], 0);
    assert!(host.clove().verify(&*theirs.credential.unwrap().reveal()).await.unwrap().granted().is_some());
}

#[tokio::test]
async fn an_owner_administers_nobody_not_even_itself() {
    let host = Host::new(Policy::profile_a());
    for (method, path, body) in [
        ("POST", "/members/ada/close", json!({})),
        ("POST", "/members/ada/reopen", json!({})),
        ("PUT", "/members/ada/active-limit", json!({"limit": "unlimited"})),
        ("PUT", "/members/ada/limits", json!({"limits": "unlimited"})),
        ("GET", "/members/ada/budgets/tokens", json!({})),
        ("PUT", "/members/ada/budgets/tokens", json!({"budget": "unlimited"})),
        ("PUT", "/budgets/tokens", json!({"budget": "unlimited"})),
    ] {
        let answer = host.ask(method, path).json(body).send().await;
        assert_eq!(answer.problem(), (403, "administrators-only".to_owned()), "{method} {path}");
    }
    for name in ["%20", "a%00b", "%FF"] {
        let answer = host.ask("POST", &format!("/members/{name}/close")).by(BOSS).send().await;
        assert_eq!(answer.problem(), (404, "no-such-path".to_owned()), "{name}");
    }
}

#[tokio::test]
async fn an_active_limit_is_set_and_goes_back_to_the_policys() {
    let host = Host::new(Policy::profile_a());
    host.key_of("acme", "ada").await;
    let set = |limit: Value| host.ask("PUT", "/members/ada/active-limit").by(BOSS).json(json!({"limit": limit})).send();
    for (limit, text) in [
        (json!({"at_most": 1}), "1 / 1 active keys"),
        (json!("unlimited"), "1 active keys"),
        (json!("default"), "1 / 2 active keys"),
    ] {
        assert_eq!(set(limit).await.is(200).json()["text"], text);
    }
    set(json!({"at_most": 1})).await.is(200);
    assert_eq!(host.ask("POST", "/keys").json(json!({"name": "k"})).send().await.problem(), (409, "active-limit".to_owned()));
    let owner = Owner::new("acme", "ada").unwrap();
    assert_eq!(host.clove().active_keys(&owner).await.unwrap().limit, ActiveLimit::AtMost(1));
}

#[tokio::test]
async fn request_limits_of_a_person_count_from_the_next_request() {
    let host = Host::new(Policy::profile_a());
    let credential = host.key_of("acme", "ada").await.credential.unwrap().reveal();
    let limits = json!({"limits": {"windows": [{"requests": 1, "seconds": 60}]}});
    assert!(host.ask("PUT", "/members/ada/limits").by(BOSS).json(limits).send().await.is(204).body.is_empty());
    assert!(host.clove().verify(&*credential).await.unwrap().granted().is_some());
    assert!(host.clove().verify(&*credential).await.unwrap().denied().is_some());
    let twice = json!({"limits": {"windows": [{"requests": 1, "seconds": 60}, {"requests": 2, "seconds": 60}]}});
    let answer = host.ask("PUT", "/members/ada/limits").by(BOSS).json(twice).send().await;
    assert_eq!((answer.problem(), &answer.json()["field"]), ((422, "invalid-argument".to_owned()), &json!("limits")));
}

#[tokio::test]
async fn budgets_are_set_and_told_for_a_person_and_the_organization() {
    let host = Host::new(Policy::profile_a());
    let id = host.key_of("acme", "ada").await.key.id;
    let told = |user, path: &str| host.ask("GET", path).by(user).send();
    assert_eq!(told("acme/ada", "/budgets/tokens").await.is(200).json(), json!({"state": null}));
    let own = json!({"budget": {"own": {"amount": 1000, "refill": "monthly"}}});
    for path in ["/budgets/tokens", "/members/ada/budgets/tokens"] {
        host.ask("PUT", path).by(BOSS).json(own.clone()).send().await.is(204);
    }
    for (user, path) in [("acme/ada", "/budgets/tokens"), (BOSS, "/budgets/tokens"), (BOSS, "/members/ada/budgets/tokens")] {
        let state = told(user, path).await.is(200).json()["state"].clone();
        let expected = json!({
            "unit": "tokens", "amount": 1000, "refill": "monthly", "settled": 0, "reserved": 0, "left": 1000, "percent": 0,
            "refills_at": state["refills_at"],
        });
        assert_eq!(state, expected, "{path}");
    }
    assert_eq!(told("acme/bob", "/budgets/tokens").await.is(200).json(), json!({"state": null}));
    assert_eq!(told("acme/ada", &format!("/keys/{id}/budgets/tokens")).await.is(200).json(), json!({"state": null}));
    told("acme/bob", &format!("/keys/{id}/budgets/tokens")).await.is(404);
    told("acme/ada", "/budgets/Tokens").await.is(404);
    let answer = host.ask("PUT", "/budgets/requests").by(BOSS).json(own).send().await;
    assert_eq!(answer.problem(), (422, "invalid-argument".to_owned()));
    let answer = host.ask("PUT", "/budgets/tokens").by(BOSS).json(json!({"budget": {"own": {"amount": 0, "refill": "daily"}}}));
    assert_eq!(answer.send().await.problem(), (422, "invalid-argument".to_owned()));
}
