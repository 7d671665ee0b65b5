//! The demonstration, as somebody finds it who has just started it.

use crate::support::{Start, curl, message};

const HELLO: &str = r#"{"model": "demo-small", "max_tokens": 5, "messages": [{"role": "user", "content": "hello"}]}"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_first_key_works_and_is_nobodys_who_comes_to_look() {
    let program = Start::with_the_demo().run().await;
    let said = program.said();
    let (_, credential) = said.split_once("ANTHROPIC_API_KEY='").unwrap();
    let (credential, _) = credential.split_once('\'').unwrap();
    assert_eq!(message(&program.url, credential, HELLO).await.status, 200);

    let at = |path: &str| format!("{}{path}", program.url);
    for (person, count) in [("ada", 0), ("grace", 0), ("alan", 0), ("demo", 1)] {
        let chosen = format!("organization=acme&person={person}");
        let signed_in = curl(&[&at("/sign-in"), "--data", &chosen], b"").await;
        let session = signed_in.header("set-cookie").split(';').next().unwrap();
        let page = curl(&[&at("/settings/api-keys"), "-H", &format!("cookie: {session}")], b"").await;
        assert!(page.body.contains(&format!("{count} / 2 active keys")), "{person}: {page:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sign_in_has_an_icon_that_its_page_may_load() {
    let program = Start::with_the_demo().run().await;
    let page = curl(&[&format!("{}/sign-in", program.url)], b"").await;
    let (_, icon) = page.body.split_once(r#"<link rel="icon" type="image/svg+xml" href=""#).unwrap();
    assert!(page.header("content-security-policy").contains("img-src 'self'"));
    let icon = curl(&[&format!("{}{}", program.url, icon.split('"').next().unwrap())], b"").await;
    assert_eq!((icon.status.as_u16(), icon.header("content-type")), (200, "image/svg+xml"));
}
