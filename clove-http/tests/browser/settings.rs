//! The settings page in a browser.

use crate::{
    axe,
    driver::{Browser, ENTER, ESCAPE},
    site::Site,
};
use axum::{
    Router,
    extract::Request,
    middleware::{self, Next},
    response::Html,
    routing::get,
};
use chrono::TimeDelta;
use clove_core::{Action, ActiveLimit, Capability, CapabilitySet, Description, Expiry, NewKey, Policy, Role, Status};
use clove_http::{
    NotSignedIn, Visitor,
    pages::{Offered, Settings, Site as Host},
};
use clove_testkit::Fixture;
use http::Method;
use std::{future::ready, time::Duration};

const PAGE: &str = "/settings/api-keys";
const SECRET: &str = "#issued-secret";
/// The button that opens the form.
const OPENER: &str = "section.create > form[method=get] button";

/// A host whose visitor is always the same.
async fn serve(fixture: &Fixture, visitor: Visitor) -> Site {
    Site::serve(router(visitor, fixture)).await
}

fn router(visitor: Visitor, fixture: &Fixture) -> Router {
    let offered = [("messages:create", "Send messages"), ("models:read", "List models"), ("files:write", "Upload files")];
    let settings = Settings::new(fixture.clove.clone(), move |_| ready(Ok::<_, NotSignedIn>(visitor.clone())))
        .site(Host::new("Acme gateway", "/").link("Documentation", "/"))
        .offer(offered.map(|(name, label)| Offered::new(Capability::new(name).unwrap(), label)));
    let home = get(|| async { Html("<!doctype html><title>Home</title><link rel=icon href=\"data:,\"><h1>Home</h1>") });
    Router::new().route("/", home).nest(PAGE, settings.into_router())
}

async fn served(policy: Policy) -> (Fixture, Site) {
    let fixture = Fixture::new(policy).unwrap();
    let site = serve(&fixture, Visitor::new(fixture.owner.clone())).await;
    (fixture, site)
}

/// A host that has done what a form asks for well before it answers.
async fn served_slowly(policy: Policy) -> (Fixture, Site) {
    let fixture = Fixture::new(policy).unwrap();
    let slowly = middleware::from_fn(async |request: Request, next: Next| {
        let is_form = request.method() == Method::POST;
        let response = next.run(request).await;
        if is_form {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        response
    });
    let site = Site::serve(router(Visitor::new(fixture.owner.clone()), &fixture).layer(slowly)).await;
    (fixture, site)
}

async fn create(browser: &Browser, name: &str) {
    if browser.count("#create").await == 0 {
        browser.click(OPENER).await;
        browser.wait_for("#create").await;
    }
    browser.fill("#name", name).await;
    browser.click("#create button").await;
}

/// Opens a card's menu and tells what it offers.
async fn menu(browser: &Browser, card: usize) -> Vec<String> {
    let card = format!("li:nth-child({card}) > .card");
    browser.click(&format!("{card} summary")).await;
    browser.texts(&format!("{card} .menu li")).await
}

async fn choose(browser: &Browser, card: usize, action: Action) {
    let item = match action {
        Action::Disable | Action::Enable => format!("form:has([value={action}]) button"),
        _ => format!("a[data-dialog=confirm-{action}]"),
    };
    browser.click(&format!("li:nth-child({card}) .menu {item}")).await;
}

/// Waits for a page that says this was done: the page before may say of something else that it was.
async fn told(browser: &Browser, done: &str) {
    browser.wait_until(&format!("document.querySelector('.note.good')?.textContent.includes({done:?}) ?? false")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_keys_live_through_the_page() {
    let (fixture, site) = served(Policy::profile_a()).await;
    let browser = Browser::start().await;
    browser.open(&site.at(PAGE)).await;
    assert_eq!(browser.text(".count").await, "0 / 2 active keys");
    assert_eq!(browser.find("input[name=expiry]:checked").await.prop("value").await.unwrap().as_deref(), Some("90"));

    create(&browser, "laptop").await;
    let secret = browser.wait_for(SECRET).await.text().await.unwrap();
    let id = browser.text("#issued-id").await;
    let credential = browser.text("#issued-credential").await;
    assert_eq!(credential, format!("{id};{secret}"));
    assert!(fixture.clove.verify(credential.as_bytes()).await.unwrap().granted().is_some());
    assert_eq!(browser.text(".count").await, "1 / 2 active keys");
    assert!(browser.text("#issued").await.contains("shown only this once"));
    assert_eq!(browser.client.current_url().await.unwrap().as_str(), site.at(PAGE), "nothing of it is in the address");
    assert_eq!(browser.evaluate("document.activeElement.id").await, "issued", "the result has the focus");

    browser.client.refresh().await.unwrap();
    assert_eq!(browser.texts(".card h3").await, ["laptop"], "a reload shows the card and creates nothing");
    assert!(!browser.everything().await.contains(&secret));
    assert!(browser.text(".card").await.contains("Never used"));

    // A form that was opened while there was a place, and is sent when there is none.
    let first = browser.client.window().await.unwrap();
    let second = browser.client.new_window(true).await.unwrap();
    browser.client.switch_to_window(second.handle.clone()).await.unwrap();
    browser.open(&site.at(PAGE)).await;
    browser.click(OPENER).await;
    browser.wait_for("#create").await;
    browser.client.switch_to_window(first).await.unwrap();
    create(&browser, "build server").await;
    browser.wait_for(SECRET).await;
    assert_eq!(browser.text(".count").await, "2 / 2 active keys");
    browser.click("#issued a.primary").await;
    assert!(browser.wait_for(".create > .note.warn").await.text().await.unwrap().contains("disable or delete one"));
    assert_eq!(browser.count("#create").await, 0);
    assert_eq!(browser.text(OPENER).await, "Create API key", "the third can be tried");
    create(&browser, "third").await;
    assert!(browser.wait_for("#create [role=alert]").await.text().await.unwrap().starts_with("2 / 2 active keys: "));
    browser.client.switch_to_window(second.handle).await.unwrap();
    create(&browser, "third").await;
    let refused = browser.wait_for("#create [role=alert]").await.text().await.unwrap();
    assert_eq!(refused, "2 / 2 active keys: disable or delete one before creating or enabling another.");
    assert_eq!(browser.find("#name").await.prop("value").await.unwrap().as_deref(), Some("third"), "the input is kept");

    browser.open(&site.at(PAGE)).await;
    assert_eq!(menu(&browser, 2).await, ["Disable", "Delete"]);
    choose(&browser, 2, Action::Disable).await;
    told(&browser, "“laptop” is disabled").await;
    assert_eq!(browser.client.current_url().await.unwrap().as_str(), site.at(PAGE), "a reload does not say it again");
    assert!(fixture.clove.verify(credential.as_bytes()).await.unwrap().granted().is_none());
    assert_eq!(browser.text(".count").await, "1 / 2 active keys");

    assert_eq!(menu(&browser, 2).await, ["Enable", "Delete"]);
    choose(&browser, 2, Action::Enable).await;
    told(&browser, "“laptop” is enabled").await;
    assert!(fixture.clove.verify(credential.as_bytes()).await.unwrap().granted().is_some());

    menu(&browser, 2).await;
    choose(&browser, 2, Action::Delete).await;
    assert!(browser.wait_for("dialog[open]").await.text().await.unwrap().contains("laptop"));
    browser.click("dialog[open] [data-close]").await;
    assert_eq!(browser.count("dialog[open]").await, 0);
    assert_eq!(browser.texts(".card h3").await, ["build server", "laptop"], "cancelled");
    menu(&browser, 2).await;
    choose(&browser, 2, Action::Delete).await;
    browser.click("dialog[open] .danger").await;
    told(&browser, "is deleted").await;
    assert_eq!(browser.texts(".card h3").await, ["build server"]);
    assert!(fixture.clove.verify(credential.as_bytes()).await.unwrap().granted().is_none());

    assert_eq!(browser.complaints(&[409]).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_expired_or_compromised_can_only_be_deleted() {
    let fixture = Fixture::new(Policy::profile_a()).unwrap();
    for status in [Status::Compromised, Status::Expired] {
        fixture.key_in(status).await.unwrap();
    }
    let site = serve(&fixture, Visitor::new(fixture.owner.clone())).await;
    let browser = Browser::start().await;
    browser.open(&site.at(PAGE)).await;
    assert_eq!(browser.texts(".card .badge").await, ["Expired", "Compromised"]);
    for left in [["Compromised key"].as_slice(), &[]] {
        assert_eq!(menu(&browser, 1).await, ["Delete"]);
        choose(&browser, 1, Action::Delete).await;
        browser.wait_for("dialog[open]").await;
        browser.click("dialog[open] .danger").await;
        told(&browser, "is deleted").await;
        assert_eq!(browser.texts(".card h3").await, left);
    }
    assert_eq!(browser.complaints(&[]).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_clicks_twice_gets_the_secret_however_slow_the_answer_is() {
    let menu = [Action::Rotate, Action::Delete];
    let (fixture, site) = served_slowly(Policy::builder().menu(Role::Owner, menu).build().unwrap()).await;
    let browser = Browser::start().await;
    // Neither click waits for the answer.
    let click_twice = async |button: &str| {
        let click = format!("document.querySelector({button:?}).click()");
        browser.evaluate(&format!("{click}, setTimeout(() => {click}, 100), true")).await;
        browser.wait_for(SECRET).await;
        browser.text("#issued-credential").await
    };
    browser.open(&site.at(PAGE)).await;
    browser.fill("#name", "laptop").await;
    let created = click_twice("#create .primary").await;
    assert!(fixture.clove.verify(created.as_bytes()).await.unwrap().granted().is_some());

    browser.open(&site.at(PAGE)).await;
    menu_and_rotate(&browser).await;
    let rotated = click_twice("dialog[open] .primary").await;
    assert!(fixture.clove.verify(rotated.as_bytes()).await.unwrap().granted().is_some());
    assert_eq!(fixture.keys().await.unwrap().len(), 1);
    assert_eq!(browser.complaints(&[]).await, [""; 0]);
}

async fn menu_and_rotate(browser: &Browser) {
    menu(browser, 1).await;
    choose(browser, 1, Action::Rotate).await;
    browser.wait_for("dialog[open]").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn going_back_never_shows_what_is_no_longer_so() {
    let (fixture, site) = served(Policy::profile_a()).await;
    let id = fixture.key_in(Status::Active).await.unwrap().key.id;
    let browser = Browser::start().await;
    browser.open(&site.at(PAGE)).await;
    // What a browser says of a page that it has kept: whether it keeps one is its own affair.
    browser.evaluate("document.body.dataset.kept = 'yes'").await;
    fixture.clove.delete(&fixture.owner, id, &fixture.by).await.unwrap();
    assert_eq!(browser.count(".card").await, 1);
    browser.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))").await;
    browser.wait_until("!document.body.dataset.kept && document.querySelector('.keys .empty') !== null").await;
    assert_eq!(browser.count(".card").await, 0);
    assert_eq!(browser.complaints(&[]).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_told_with_their_zone() {
    let (fixture, site) = served(Policy::profile_a()).await;
    fixture.key_in(Status::Active).await.unwrap();
    let browser = Browser::start().await;
    browser.devtools("Emulation.setTimezoneOverride", serde_json::json!({ "timezoneId": "Asia/Tokyo" })).await;
    browser.open(&site.at(PAGE)).await;
    for time in browser.texts("time").await {
        assert!(time.ends_with(" GMT+9"), "{time}");
    }
    assert!(browser.count("time").await > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn going_back_does_not_bring_the_secret_back() {
    let (_fixture, site) = served(Policy::profile_a()).await;
    let browser = Browser::start().await;
    browser.open(&site.at(PAGE)).await;
    create(&browser, "laptop").await;
    let secret = browser.wait_for(SECRET).await.text().await.unwrap();
    assert!(browser.everything().await.contains(&secret), "or the test would see nothing");

    browser.click(".site .name").await;
    assert_eq!(browser.wait_for("h1").await.text().await.unwrap(), "Home");
    browser.client.back().await.unwrap();
    assert_eq!(browser.wait_for("h1").await.text().await.unwrap(), "API Keys");
    assert!(!browser.everything().await.contains(&secret));
    browser.client.forward().await.unwrap();
    browser.client.back().await.unwrap();
    assert!(!browser.everything().await.contains(&secret));

    browser.open(&site.at(PAGE)).await;
    // A page that was gone back to asks for itself anew, and may still be on its way.
    browser.wait_for(".card h3").await;
    assert_eq!(browser.texts(".card h3").await, ["laptop"]);
    assert!(!browser.everything().await.contains(&secret));
    assert_eq!(browser.complaints(&[]).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_it_is_copied_by_a_button_each() {
    let (_fixture, site) = served(Policy::profile_a()).await;
    let browser = Browser::start().await;
    let permission =
        serde_json::json!({ "origin": site.at(""), "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"] });
    browser.devtools("Browser.grantPermissions", permission).await;
    browser.open(&site.at(PAGE)).await;
    create(&browser, "laptop").await;
    browser.wait_for(SECRET).await;
    for (value, what) in [("id", "API Key ID"), ("secret", "Secret Key"), ("credential", "Credential")] {
        browser.click(&format!("button[data-copy=issued-{value}]")).await;
        browser.wait_for(&format!("button[data-copy=issued-{value}].done")).await;
        let script = "const done = arguments[0]; navigator.clipboard.readText().then(done, error => done(String(error)))";
        let copied = browser.client.execute_async(script, Vec::new()).await.unwrap();
        assert_eq!(copied, browser.text(&format!("#issued-{value}")).await);
        browser.wait_until(&format!("document.getElementById('said').textContent === '{what} copied.'")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_alone_creates_and_disables_a_key() {
    let (fixture, site) = served(Policy::profile_a()).await;
    let browser = Browser::start().await;
    browser.open(&site.at(PAGE)).await;
    browser.tab_to("#name").await;
    browser.press("laptop").await;
    browser.tab_to("input[name=expiry]:checked").await;
    browser.press("\u{e014}").await; // The arrow to the right: 180 days.
    browser.tab_to("#create button").await;
    browser.press(ENTER).await;
    browser.wait_for(SECRET).await;
    assert_eq!(browser.evaluate("document.activeElement.id").await, "issued");
    browser.tab_to("#issued a.primary").await;
    browser.press(ENTER).await;
    browser.wait_for(".keys").await;
    assert_eq!(browser.count(SECRET).await, 0);

    browser.tab_to(".menu summary").await;
    browser.press(ENTER).await;
    browser.wait_for(".menu[open]").await;
    browser.press(ESCAPE).await;
    assert_eq!(browser.count(".menu[open]").await, 0);
    assert_eq!(browser.evaluate("document.activeElement.matches('.menu summary')").await, true);

    browser.press(ENTER).await;
    browser.tab_to("a[data-dialog=confirm-delete]").await;
    browser.press(" ").await;
    browser.wait_for("dialog[open]").await;
    assert_eq!(browser.evaluate("document.activeElement.textContent").await, "Cancel", "what undoes nothing has the focus");
    browser.press(ESCAPE).await;
    assert_eq!(browser.count("dialog[open]").await, 0);
    assert_eq!(browser.evaluate("document.activeElement.matches('.menu summary')").await, true);

    browser.press(ENTER).await;
    browser.tab_to(".menu button").await;
    browser.press(ENTER).await;
    browser.wait_for(".note.good").await;
    assert_eq!(browser.evaluate("document.activeElement.matches('.note.good')").await, true, "what was done has the focus");
    let keys = fixture.keys().await.unwrap();
    assert_eq!(keys[0].status(fixture.clove.now()), Status::Suspended);
    assert_eq!(keys[0].expires_at, Some(fixture.clove.now() + TimeDelta::days(180)));
    assert_eq!(browser.complaints(&[]).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_script_all_but_copying_works() {
    let (fixture, site) = served(Policy::profile_a()).await;
    let browser = Browser::start().await;
    browser.allow_scripts(false).await;
    browser.open(&site.at(PAGE)).await;
    create(&browser, "laptop").await;
    let secret = browser.wait_for(SECRET).await.text().await.unwrap();
    assert!(!browser.find("#issued button").await.is_displayed().await.unwrap());
    browser.click("#issued a.primary").await;
    assert!(!browser.wait_for(".card").await.text().await.unwrap().contains(&secret));

    menu(&browser, 1).await;
    choose(&browser, 1, Action::Disable).await;
    browser.wait_for(".note.good").await;
    menu(&browser, 1).await;
    choose(&browser, 1, Action::Delete).await;
    assert!(browser.wait_for(".question").await.text().await.unwrap().contains("laptop"));
    assert_eq!(browser.text("h1").await, "Delete this key?");
    browser.click(".question a").await;
    menu(&browser, 1).await;
    choose(&browser, 1, Action::Delete).await;
    browser.wait_for(".question").await;
    browser.click(".question .danger").await;
    browser.wait_for(".note.good").await;
    assert!(fixture.keys().await.unwrap().is_empty());
}

/// Keys in each status, with all that a card can show, before an administrator.
async fn served_to_an_administrator() -> (Fixture, Site) {
    let menu = [Action::Disable, Action::Enable, Action::Rotate, Action::Revoke, Action::FlagCompromised, Action::Delete];
    let policy = Policy::builder().active_limit(ActiveLimit::AtMost(5)).menu(Role::Administrator, menu).build().unwrap();
    let fixture = Fixture::new(policy).unwrap();
    for status in [Status::Expired, Status::Revoked, Status::Compromised, Status::Suspended] {
        fixture.key_in(status).await.unwrap();
    }
    let used = NewKey::named("Nightly evaluation of the translation models, on the cluster").unwrap();
    let used = used
        .description(Description::new("Runs at 02:00 UTC.\nAsk Grace before you touch it.").unwrap())
        .capabilities(CapabilitySet::new(["messages:create", "models:read"]).unwrap())
        .expiry(Expiry::Days(30));
    let used = fixture.clove.create(&fixture.owner, used, &fixture.by).await.unwrap().credential.unwrap();
    assert!(fixture.clove.verify(used.reveal().as_bytes()).await.unwrap().granted().is_some());
    fixture.clove.flush().await.unwrap();
    let visitor = Visitor::new(fixture.owner.clone()).administrator().may_grant(CapabilitySet::all());
    let site = serve(&fixture, visitor).await;
    (fixture, site)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_looks_finds_each_state_readable_in_light_and_dark_narrow_and_wide() {
    let (_fixture, site) = served(Policy::profile_a()).await;
    let browser = Browser::start().await;
    browser.set_dark(false).await;
    browser.open(&site.at(PAGE)).await;
    axe::finds_nothing_in_either_light(&browser, "empty").await;
    create(&browser, "p\u{430}ypal").await;
    browser.wait_for("#name-wrong").await;
    axe::finds_nothing_in_either_light(&browser, "wrong").await;
    create(&browser, "laptop").await;
    browser.wait_for(SECRET).await;
    axe::finds_nothing_in_either_light(&browser, "issued").await;
    browser.open(&site.at(PAGE)).await;
    create(&browser, "build server").await;
    browser.wait_for(SECRET).await;
    browser.open(&site.at(PAGE)).await;
    menu(&browser, 1).await;
    choose(&browser, 1, Action::Delete).await;
    axe::finds_nothing_in_either_light(&browser, "dialog").await;
    browser.click("dialog[open] [data-close]").await;
    axe::finds_nothing_in_either_light(&browser, "limit").await;
    browser.click(OPENER).await;
    browser.wait_for("#create").await;
    axe::finds_nothing_in_either_light(&browser, "limit-form").await;
    browser.open(&site.at(&format!("{PAGE}/nothing"))).await;
    axe::finds_nothing_in_either_light(&browser, "nothing").await;
    assert_eq!(browser.complaints(&[404, 422]).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_administrator_sees_is_readable_too() {
    let (_fixture, site) = served_to_an_administrator().await;
    let browser = Browser::start().await;
    browser.set_dark(false).await;
    browser.open(&site.at(&format!("{PAGE}?of=everyone"))).await;
    browser.click(OPENER).await;
    browser.wait_for("#create").await;
    assert_eq!(browser.evaluate("document.activeElement.id").await, "name");
    axe::finds_nothing_in_either_light(&browser, "administrator-form").await;
    browser.client.refresh().await.unwrap();
    assert_eq!(browser.count("#create").await, 0, "a reload closes it");
    assert_eq!(menu(&browser, 1).await, ["Disable", "Rotate secret", "Revoke", "Flag as compromised", "Delete"]);
    axe::finds_nothing_in_either_light(&browser, "administrator").await;
    choose(&browser, 1, Action::Rotate).await;
    axe::finds_nothing_in_either_light(&browser, "rotate").await;
    browser.click("dialog[open] .primary").await;
    browser.wait_for(SECRET).await;
    axe::finds_nothing_in_either_light(&browser, "rotated").await;
    browser.emulate(serde_json::json!([{ "name": "forced-colors", "value": "active" }])).await;
    browser.open(&site.at(PAGE)).await;
    axe::finds_nothing(&browser, "forced colours").await;
    browser.shoot("administrator-forced-colors").await;
    assert_eq!(browser.complaints(&[]).await, [""; 0]);
}
