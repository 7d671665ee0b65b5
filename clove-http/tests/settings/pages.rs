//! What holds for every answer, wherever the page is mounted and whoever asks.

use crate::host::*;
use axum::{
    Router,
    body::Body,
    response::{IntoResponse, Redirect},
};
use clove_core::{Policy, Status};
use clove_http::{NotSignedIn, Visitor, pages};
use clove_testkit::Fixture;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use std::future::ready;
use tower::ServiceExt;

#[tokio::test]
async fn a_page_allows_no_script_of_others_no_frame_and_no_cache() {
    let host = Host::of_an_owner(Policy::profile_a());
    let key = host.fixture.key_in(Status::Active).await.unwrap().key.id.to_string();
    let answers = [
        host.get("").await,
        host.get("/nothing").await,
        host.get(&format!("?confirm=delete&key={key}")).await,
        host.create(&[("name", "")]).await,
        host.create(&[("name", "laptop")]).await,
        host.post("", &[("do", "disable"), ("key", &key)]).await,
        host.ask(Request::put(PAGE).header("sec-fetch-site", "same-origin").body(Body::empty()).unwrap()).await,
    ];
    for answer in answers {
        let policy = answer.header("content-security-policy");
        for directive in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ] {
            assert!(policy.split("; ").any(|given| given == directive), "{directive}: {policy}");
        }
        assert!(!policy.contains("unsafe"));
        assert_eq!(answer.header("cache-control"), "no-store", "{}", answer.status);
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "same-origin");
        assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin");
        for inline in ["<style", "style=", "<script>", " onclick", "javascript:"] {
            assert!(!answer.body.contains(inline), "{inline}");
        }
    }
}

#[tokio::test]
async fn assets_are_kept_for_ever_under_their_own_names_alone() {
    let host = Host::of_an_owner(Policy::profile_a());
    let page = host.get("").await;
    let links: Vec<&str> = page.body.split('"').filter(|text| text.contains("/assets/")).collect();
    assert_eq!(links.len(), 4);
    assert!(links.iter().any(|link| page.body.contains(&format!(r#"<link rel="icon" type="image/svg+xml" href="{link}""#))));
    for link in links {
        let name = link.strip_prefix("./api-keys").unwrap();
        let asset = host.get(name).await;
        assert_eq!(asset.status, StatusCode::OK, "{name}");
        assert_eq!(asset.header("cache-control"), "public, max-age=31536000, immutable");
        assert_eq!(asset.header("x-content-type-options"), "nosniff");
        let expected = match name.rsplit_once('.').unwrap().1 {
            "js" => "text/javascript; charset=utf-8",
            "svg" => "image/svg+xml",
            _ => "text/css; charset=utf-8",
        };
        assert_eq!(asset.header("content-type"), expected);
        let (stem, _) = name.split_once('-').unwrap();
        let extension = name.rsplit('.').next().unwrap();
        let other = host.get(&format!("{stem}-0000000000000000.{extension}")).await;
        assert_eq!((other.status, other.header("cache-control")), (StatusCode::OK, "no-store"), "of another version");
    }
    assert_eq!(host.get("/assets/nothing.css").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_page_works_wherever_it_is_mounted() {
    let fixture = Fixture::new(Policy::profile_a()).unwrap();
    let visitor = Visitor::new(fixture.owner.clone());
    let settings = || {
        pages::settings(fixture.clove.clone(), {
            let visitor = visitor.clone();
            move |_| ready(Ok::<_, NotSignedIn>(visitor.clone()))
        })
    };
    let mounts = [
        (Router::new().nest("/keys", settings()), "/keys"),
        (Router::new().nest("/o/{organization}/keys", settings()), "/o/acme/keys"),
        (Router::new().nest("/a", Router::new().nest("/b", settings())), "/a/b"),
        (Router::new().nest("/keys/", settings()), "/keys/"),
        (Router::new().nest_service("/keys", settings()), "/keys"),
        (Router::new().nest_service("/keys", settings()), "/keys/"),
        (settings(), "/"),
    ];
    for (app, at) in mounts {
        let base = url::Url::parse("http://host.example").unwrap().join(at).unwrap();
        let get = |url: url::Url| app.clone().oneshot(Request::get(url.path()).body(Body::empty()).unwrap());
        let page = get(base.clone()).await.unwrap();
        assert_eq!(page.status(), StatusCode::OK, "{at}");
        let page = String::from_utf8(page.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
        for link in page.split('"').filter(|text| text.starts_with("./")) {
            let target = base.join(link).unwrap();
            assert_eq!(get(target.clone()).await.unwrap().status(), StatusCode::OK, "{at}: {link} is {target}");
        }
        let lost = base.join(&format!("{}/nothing/at/all", at.trim_end_matches('/'))).unwrap();
        let lost_page = get(lost.clone()).await.unwrap();
        assert_eq!(lost_page.status(), StatusCode::NOT_FOUND);
        let lost_page = String::from_utf8(lost_page.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
        for link in lost_page.split('"').filter(|text| text.starts_with("./")) {
            let target = lost.join(link).unwrap();
            assert_eq!(get(target.clone()).await.unwrap().status(), StatusCode::OK, "{at}: from a lost page, {link} is {target}");
        }
    }
}

#[tokio::test]
async fn who_is_not_signed_in_gets_the_hosts_own_answer() {
    let fixture = Fixture::new(Policy::profile_a()).unwrap();
    let app = pages::settings(fixture.clove.clone(), |_| ready(Err::<Visitor, _>(Redirect::to("/sign-in").into_response())));
    for request in [Request::get("/").body(Body::empty()).unwrap(), posted("").uri("/").body(body(&[("do", "create")])).unwrap()]
    {
        let response = app.clone().oneshot(request).await.unwrap();
        assert_eq!((response.status(), &response.headers()["location"]), (StatusCode::SEE_OTHER, &"/sign-in".parse().unwrap()));
        assert!(!response.headers().contains_key("content-security-policy"), "it is as the host gave it");
    }
}

#[tokio::test]
async fn what_another_site_has_sent_is_refused_and_nothing_is_done() {
    let host = Host::of_an_owner(Policy::profile_a());
    let key = host.fixture.key_in(Status::Active).await.unwrap().key.id.to_string();
    let fields = [("do", "delete"), ("key", key.as_str())];
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
    ] {
        let request =
            Request::post(PAGE).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").header("host", "keys.example");
        let answer = host.ask(request.header(name, value).body(body(&fields)).unwrap()).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{name}: {value}");
        assert!(answer.body.contains("another site"));
    }
    assert_eq!(host.keys().await.len(), 1);
    assert_eq!(host.post("", &fields).await.status, StatusCode::SEE_OTHER, "or the test would see nothing");
}

#[tokio::test]
async fn what_is_no_form_is_refused() {
    let host = Host::of_an_owner(Policy::profile_a());
    let text = Request::post(PAGE).header(header::CONTENT_TYPE, "text/plain").body(Body::from("do=create&name=a")).unwrap();
    assert_eq!(host.ask(text).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let huge = "x".repeat(70_000);
    assert_eq!(host.create(&[("name", "a"), ("description", &huge)]).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let put = Request::put(PAGE).header("sec-fetch-site", "same-origin").body(Body::empty()).unwrap();
    assert_eq!(host.ask(put).await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(host.keys().await.is_empty());
}
