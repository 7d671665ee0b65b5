//! No secret is where none belongs.

use crate::support::{SDKS, Start, Upstream, curl, message, until};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_what_is_logged_or_sent_to_the_upstream() {
    let upstream = Upstream::start().await;
    let program = Start::before(&upstream).logging("trace").run().await;
    let (key, other) = (program.key("acme", "ada").await, program.key("acme", "grace").await);
    let url = &program.url;
    for sdk in SDKS {
        let step = |what, key: &str, bearer| json!({"do": what, "key": key, "bearer": bearer});
        let steps = json!([
            step("plain", &key.credential, false),
            step("plain", key.secret(), true),
            step("stream", &key.credential, false),
            step("models", &key.credential, false),
            step("plain", &format!("{}x", *key.credential), false),
        ]);
        sdk.does(url, steps).await;
    }
    // Where no credential belongs, and beside another.
    let body = r#"{"model": "demo-small", "max_tokens": 5, "messages": []}"#;
    let (messages, header) = (format!("{url}/v1/messages"), format!("x-api-key: {}", *key.credential));
    let bearer = format!("authorization: Bearer {}", other.secret());
    let basic = format!("authorization: Basic {}", other.secret());
    for arguments in [
        vec!["-H", &header, "-H", &bearer],
        vec!["-H", &header, "-H", &header],
        vec!["-H", &header, "-H", &basic],
        vec!["-H", &basic],
    ] {
        curl(&[&[&*messages, "--data-binary", body], &arguments[..]].concat(), b"").await;
    }
    for query in [format!("key={}", key.secret()), format!("x-api-key={}", *key.credential)] {
        let asked = curl(&[&format!("{messages}?{query}"), "-H", &header, "--data-binary", body], b"").await;
        assert_eq!(asked.status, 400, "{asked:?}");
        curl(&[&format!("{url}/v1/models?{query}"), "-H", &header], b"").await;
        curl(&[&format!("{url}/settings/api-keys?{query}")], b"").await;
    }
    message(url, &key.credential, &format!(r#"{{"model": "{}", "max_tokens": 1}}"#, key.secret())).await;
    // A session, and a key made in it.
    let sign_in = ["-d", "organization=acme&person=alan"];
    let signed_in = curl(&[&[&*format!("{url}/sign-in")], &sign_in[..]].concat(), b"").await;
    let cookie = signed_in.header("set-cookie").split(';').next().unwrap().to_owned();
    let with_cookie = format!("cookie: {cookie}");
    curl(&[&messages, "-H", &header, "-H", &with_cookie, "--data-binary", body], b"").await;
    let page = curl(&[&format!("{url}/settings/api-keys"), "-H", &with_cookie], b"").await;
    assert_eq!(page.status, 200, "{page:?}");
    let operation = page.body.split("name=\"operation\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let form = format!("do=create&operation={operation}&name=canary&description=&expiry=90&capability=messages:write");
    let made = curl(&[&format!("{url}/settings/api-keys"), "-H", &with_cookie, "-d", &form], b"").await;
    let shown = made.body.split("clv-").nth(1).unwrap_or_else(|| panic!("no key was made: {made:?}"));
    let made = format!("clv-{}", &shown[..32]);

    until(|| std::future::ready(program.said()), |said| said.contains("TRACE")).await;
    let said = program.said();
    assert!(said.contains("hyper_util"), "the log is not all there is");
    let session = cookie.split_once('=').unwrap().1;
    let secrets = [key.secret(), other.secret(), "sk-ant-the-hosts-own-4e7f", session, &made];
    for (place, secret) in secrets.iter().enumerate() {
        assert!(secret.len() > 20 && !said.contains(secret), "secret {place} is in the log");
    }
    for (_, uri, headers) in upstream.seen() {
        let sent = format!(
            "{uri} {:?}",
            headers.iter().map(|(name, value)| (name, value.as_bytes().escape_ascii().to_string())).collect::<Vec<_>>()
        );
        assert!(sent.contains("sk-ant-the-hosts-own-4e7f"));
        for secret in [key.secret(), other.secret(), session] {
            assert!(!sent.contains(secret), "a secret went to the upstream");
        }
    }
}
