//! What the response to a granted request says, to the letter.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use clove_core::{Attempt, Budget, BudgetOf, Issued, LimitChoice, Limits, NewKey, Policy, Refill, Unit, Window};
use clove_http::{AnthropicStyle, Asked, Edge};
use clove_testkit::Fixture;
use http::{HeaderMap, Response, Uri};
use std::time::Duration;
use support::*;

async fn granted(keys: &Fixture, edge: &Edge, issued: &Issued, asked: &Asked, said: &[(&'static str, &str)]) -> Response<()> {
    let text = credential(issued);
    let presented = edge.take(&Uri::from_static("/"), &mut headers(&[("x-api-key", &text)])).unwrap();
    let grant = edge.verify(&presented, asked).await.unwrap();
    keys.clock().advance(Duration::from_millis(500));
    let mut response = Response::new(());
    *response.headers_mut() = headers(said);
    edge.granted(&grant, response.headers_mut());
    response
}

#[tokio::test]
async fn a_grant_tells_all_windows_and_keeps_shared_caches_out() {
    let keys = keys(Policy::profile_a());
    let issued = active(&keys).await;
    let response = granted(&keys, &edge(&keys.clove), &issued, &Asked::new(), &[("ratelimit", "\"other\";r=1")]).await;
    let expected = [
        "cache-control: private",
        "ratelimit-policy: \"key-60s\";q=60;w=60, \"key-86400s\";q=5000;w=86400, \"account-60s\";q=120;w=60, \"account-86400s\";q=10000;w=86400",
        "ratelimit: \"key-60s\";r=59;t=60, \"key-86400s\";r=4999;t=43200, \"account-60s\";r=119;t=60, \"account-86400s\";r=9999;t=43200",
        "vary: Authorization, X-Api-Key",
    ];
    assert_eq!(lines(&response), expected);
}

#[tokio::test]
async fn a_grant_without_windows_tells_none() {
    let keys = keys(Policy::builder().limits(clove_core::Tier::unlimited()).build().unwrap());
    let issued = active(&keys).await;
    let response = granted(&keys, &edge(&keys.clove), &issued, &Asked::new(), &[("ratelimit", "\"other\";r=1")]).await;
    assert_eq!(lines(&response), ["cache-control: private", "vary: Authorization, X-Api-Key"]);
}

#[tokio::test]
async fn what_the_host_says_of_caches_only_becomes_stricter() {
    let keys = keys(Policy::builder().limits(clove_core::Tier::unlimited()).build().unwrap());
    let issued = active(&keys).await;
    for (said, becomes) in [
        (&["no-store"][..], "no-store"),
        (&["No-Store, max-age=0"], "No-Store, max-age=0"),
        (&["private, max-age=60"], "private, max-age=60"),
        (&["no-cache"], "private, no-cache"),
        (&["public, max-age=60, s-maxage=600"], "private, max-age=60"),
        (&["public", "S-MaxAge=1", "immutable"], "private, immutable"),
        (&["private=\"set-cookie, x\", max-age=60"], "private, max-age=60"),
        (&["public=x"], "private"),
        (&[""], "private"),
    ] {
        let said: Vec<_> = said.iter().map(|said| ("cache-control", *said)).collect();
        let response = granted(&keys, &edge(&keys.clove), &issued, &Asked::new(), &said).await;
        assert_eq!(response.headers().get_all("cache-control").iter().collect::<Vec<_>>(), [becomes], "{said:?}");
    }
    for (said, becomes) in [
        (&["*"][..], "*"),
        (&["Accept"], "Accept|Authorization, X-Api-Key"),
        (&["accept, authorization"], "accept, authorization|X-Api-Key"),
        (&["X-API-Key"], "X-API-Key|Authorization"),
        (&["Authorization", "X-Api-Key"], "Authorization|X-Api-Key"),
    ] {
        let said: Vec<_> = said.iter().map(|said| ("vary", *said)).collect();
        let response = granted(&keys, &edge(&keys.clove), &issued, &Asked::new(), &said).await;
        let vary: Vec<_> = response.headers().get_all("vary").iter().map(|line| line.to_str().unwrap()).collect();
        assert_eq!(vary.join("|"), becomes, "{said:?}");
    }
}

#[tokio::test]
async fn anthropics_form_tells_the_tightest_window_and_the_reserved_budget() {
    let tokens = Unit::new("output_tokens").unwrap();
    let budget = |amount| Budget::new(amount, Refill::Monthly).unwrap();
    let policy = Policy::builder()
        .budget(BudgetOf::Account, tokens.clone(), budget(1_000))
        .budget(BudgetOf::Organization, tokens.clone(), budget(5_000))
        .build()
        .unwrap();
    let keys = keys(policy);
    let windows = [Window::new(10, Duration::from_secs(3_600)).unwrap(), Window::new(100, Duration::from_secs(86_400)).unwrap()];
    let new = NewKey::named("own").unwrap().limits(LimitChoice::Own(Limits::new(windows).unwrap()));
    let by = keys.by.clone().may_set_limits();
    let issued = keys.clove.create(&keys.owner, new, &by).await.unwrap();
    let edge = edge(&keys.clove).rendered_by(AnthropicStyle);
    let said = [("anthropic-ratelimit-requests-limit", "4000"), ("anthropic-ratelimit-unified-status", "allowed")];
    let response = granted(&keys, &edge, &issued, &Asked::new().reserving(tokens, 400), &said).await;
    let lines: Vec<String> = lines(&response).into_iter().filter(|line| line.starts_with("anthropic")).collect();
    let expected = [
        "anthropic-ratelimit-output-tokens-limit: 1000",
        "anthropic-ratelimit-output-tokens-remaining: 600",
        "anthropic-ratelimit-output-tokens-reset: 2026-02-01T00:00:00Z",
        "anthropic-ratelimit-requests-limit: 10",
        "anthropic-ratelimit-requests-remaining: 9",
        "anthropic-ratelimit-requests-reset: 2026-01-05T13:00:00Z",
    ];
    assert_eq!(lines, expected);
    // The id of the request is that of its line in the access log.
    let text = credential(&issued);
    let grant = keys.clove.verify(Attempt::new(&text)).await.unwrap().granted().unwrap();
    let mut headers = HeaderMap::new();
    edge.granted(&grant, &mut headers);
    assert_eq!(headers["request-id"], format!("req_{}", grant.id().as_uuid().simple()));
    headers.insert("request-id", http::HeaderValue::from_static("req_of_upstream"));
    edge.granted(&grant, &mut headers);
    assert_eq!(headers["request-id"], "req_of_upstream");
}
