//! The gateway's pages in a browser: who comes makes a key there, and a client uses it.

#[path = "../../../../clove-http/tests/browser/axe.rs"]
mod axe;
#[allow(dead_code, reason = "the pages' own tests use all of it")]
#[path = "../../../../clove-http/tests/browser/driver.rs"]
mod driver;

use crate::support::{Start, message, until};
use driver::Browser;

const HELLO: &str = r#"{"model": "demo-small", "max_tokens": 5, "messages": [{"role": "user", "content": "hello"}]}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_makes_a_key_and_sees_that_a_client_used_it() {
    let program = Start::with_the_demo().run().await;
    let browser = Browser::start().await;
    browser.open(&format!("{}/", program.url)).await;
    browser.wait_for("button[value=ada]").await;
    axe::finds_nothing_in_either_light(&browser, "gateway-sign-in").await;
    browser.click("button[value=ada]").await;

    browser.wait_for("#create button").await;
    assert_eq!(browser.text(".count").await, "0 / 2 active keys");
    browser.fill("#name", "laptop").await;
    browser.click("#create button").await;
    browser.wait_for("#issued-secret").await;
    let credential = browser.text("#issued-credential").await;
    axe::finds_nothing_in_either_light(&browser, "gateway-issued").await;

    assert_eq!(message(&program.url, &credential, HELLO).await.status, 200);
    let card = async || {
        browser.open(&format!("{}/settings/api-keys", program.url)).await;
        browser.text(".card").await
    };
    until(card, |card| !card.contains("Never used")).await;
    assert!(!browser.everything().await.contains(credential.split(';').nth(1).unwrap()));
    browser.open(&format!("{}/team", program.url)).await;
    assert!(browser.wait_for("main").await.text().await.unwrap().contains("Ada Lovelace"));
    axe::finds_nothing_in_either_light(&browser, "gateway-team").await;

    browser.open(&format!("{}/sign-in", program.url)).await;
    browser.click("form[action='/sign-out'] button").await;
    browser.wait_for("button[value=ada]").await;
    browser.open(&format!("{}/settings/api-keys", program.url)).await;
    assert_eq!(browser.count(".card").await, 0, "signed out");
    assert_eq!(browser.complaints(&[401]).await, [""; 0], "nor was the content security policy broken");
}
