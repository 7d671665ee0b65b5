//! Who may see the team page.

use crate::house::{House, owner};
use axum::body::Body;
use clove_core::{Expiry, ListAudit};
use http::{Request, StatusCode, header};

const PAGES: [&str; 5] = ["", "attention", "audit", "person?account=ben", "cut-off?account=ben"];

async fn house() -> House {
    let mut house = House::new();
    house.key("ben", "bens-laptop", Expiry::Days(10)).await;
    house.uses("bens-laptop", 77, 0).await;
    house
}

#[tokio::test]
async fn administrators_see_it_and_nobody_else_does() {
    let house = house().await;
    for path in PAGES {
        assert_eq!(house.get(path).await.status, StatusCode::OK, "{path}");
        let answer = house.get_as("ben", path).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert!(answer.says(&["only administrators of the organization may see it"]), "{path}");
        assert!(!answer.html.contains("bens-laptop") && !answer.html.contains("Ben Okri"), "{path}");
    }
}

#[tokio::test]
async fn an_owner_neither_cuts_off_nor_reopens_anybody_itself_included() {
    let house = house().await;
    let is_open = || async { house.clove().is_open(&owner("ben")).await.unwrap() };
    let events = || async { house.clove().audit(&owner("ben"), &ListAudit::default()).await.unwrap().items.len() };
    let form = [("account", "ben"), ("reason", "mine"), ("self", "yes")];
    for who in ["ben", "grace"] {
        let before = events().await;
        let answer = house.post_as(who, "same-origin", "cut-off", &form).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{who}");
        assert!(answer.says(&["only administrators of the organization may see it"]), "{who}");
        assert!(is_open().await && house.is_good("bens-laptop").await && events().await == before, "{who}");
    }
    house.post("cut-off", &form).await;
    assert!(!is_open().await);
    for who in ["ben", "grace"] {
        let before = events().await;
        assert_eq!(house.post_as(who, "same-origin", "reopen", &form).await.status, StatusCode::FORBIDDEN, "{who}");
        assert!(!is_open().await && events().await == before, "{who}");
    }
}

#[tokio::test]
async fn the_head_has_the_administrators_links_for_them_alone() {
    let house = house().await;
    let link = r#"<a href="/team">Team</a>"#;
    assert!(house.get("").await.html.contains(link));
    let refused = house.get_as("ben", "").await.html;
    assert!(!refused.contains(link) && refused.contains(r#"<a href="/settings/api-keys">API keys</a>"#));
    for (who, path) in [("ada, administrator", "nothing"), ("ben", "nothing")] {
        assert!(!house.get_as(who, path).await.html.contains(link), "nobody was asked who {who} is");
    }
}

#[tokio::test]
async fn who_is_not_signed_in_gets_the_host_s_own_answer() {
    let house = house().await;
    for path in PAGES {
        let separator = if path.is_empty() { "" } else { "/" };
        let answer = house.ask(Request::get(format!("/team{separator}{path}")).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
        assert!(answer.html.contains("not-signed-in"), "{path}");
    }
}

#[tokio::test]
async fn an_administrator_of_another_organization_sees_nothing_of_this_one() {
    let house = house().await;
    for path in ["", "attention", "audit"] {
        let answer = house.get_as("eve@globex, administrator", path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert!(
            !answer.html.contains("bens-laptop") && !answer.html.contains("77") && !answer.html.contains("Ben Okri"),
            "{path}"
        );
    }
    for path in ["person?account=ben", "cut-off?account=ben"] {
        assert_eq!(house.get_as("eve@globex, administrator", path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let form = "account=ben&reason=mine";
    let request = Request::post("/team/cut-off")
        .header("x-who", "eve@globex, administrator")
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(form));
    assert_eq!(house.ask(request.unwrap()).await.status, StatusCode::NOT_FOUND);
    assert!(house.is_good("bens-laptop").await);
}

#[tokio::test]
async fn every_page_keeps_its_promises_in_headers() {
    let house = house().await;
    for (who, path) in
        PAGES.iter().map(|path| ("ada, administrator", *path)).chain([("ben", ""), ("ada, administrator", "nothing")])
    {
        let headers = house.get_as(who, path).await.headers;
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}");
        assert_eq!(headers[header::CACHE_CONTROL], "no-store", "{path}");
    }
}

#[tokio::test]
async fn nothing_in_the_pages_is_styled_or_scripted_inline() {
    let house = house().await;
    for path in PAGES {
        let html = house.get(path).await.html;
        assert!(
            !html.contains(" style=") && !html.contains("<style") && !html.contains(" onclick") && !html.contains("<script>"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn every_link_and_form_leads_somewhere_from_every_page() {
    let mut house = house().await;
    house.key("mallory", "left behind", Expiry::Days(90)).await;
    for path in PAGES {
        let base = url(&format!("/team{}{path}", if path.is_empty() { "" } else { "/" }));
        let html = house.get(path).await.html;
        let addresses = html.split(['"']).collect::<Vec<_>>();
        let addresses =
            addresses.windows(2).filter(|pair| pair[0].ends_with("href=") || pair[0].ends_with("action=")).map(|pair| pair[1]);
        let mut count = 0;
        for address in addresses.filter(|address| !address.starts_with('#') && !address.starts_with('/')) {
            let target = base.join(&address.replace("&amp;", "&")).unwrap();
            let path_and_query = &target[url::Position::BeforePath..url::Position::AfterQuery];
            let answer =
                house.ask(Request::get(path_and_query).header("x-who", "ada, administrator").body(Body::empty()).unwrap()).await;
            let may_be_post = target.path().ends_with("/reopen") && answer.status == StatusCode::METHOD_NOT_ALLOWED;
            let is_bare = answer.status == StatusCode::NOT_FOUND && target.query().is_none();
            assert!(
                answer.status.is_success()
                    || may_be_post
                    || is_bare && target.path().ends_with("/cut-off")
                    || is_bare && target.path().ends_with("/person"),
                "{path}: {address} is {}",
                answer.status
            );
            count += 1;
        }
        assert!(count > 3, "{path}");
    }
}

fn url(path: &str) -> url::Url {
    url::Url::parse("http://acme.example").unwrap().join(path).unwrap()
}
