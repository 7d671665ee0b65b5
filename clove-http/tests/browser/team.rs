//! The team page in a browser.

use crate::{
    axe,
    driver::Browser,
    house::{House, owner, policy, tokens},
    site::Site,
};
use chrono::TimeDelta;
use clove_core::{Budget, BudgetChoice, Expiry, MemoryStore, Refill};
use serde_json::json;

const MEMBERS: [(&str, &str); 9] = [
    ("ada", "Ada Lovelace"),
    ("alan", "Alan Turing"),
    ("barbara", "Barbara Liskov"),
    ("edsger", "Edsger Dijkstra"),
    ("grace", "Grace Hopper"),
    ("john", "John Backus"),
    ("ken", "Ken Thompson"),
    ("margaret", "Margaret Hamilton"),
    ("svc-nightly-builds-and-a-very-long-account-name@acme.example", "Nightly builds"),
];

/// A month of a team's life: nobody is like another, and on Sundays few work.
async fn team() -> (House, Site) {
    let mut house = House::on(MemoryStore::new(), policy(), &MEMBERS);
    let mut keys = Vec::new();
    for (place, (account, _)) in MEMBERS.iter().chain([&("mallory", ""), &("trent", "")]).enumerate() {
        for key in 0..=place % 3 {
            let name = format!("{} {}", ["laptop", "build server", "notebook"][key], account.split('@').next().unwrap());
            let expiry = if place % 4 == 0 { Expiry::Days(u32::try_from(35 + place + key).unwrap()) } else { Expiry::Never };
            house.key(account, &name, expiry).await;
            keys.push((place, key, name));
        }
    }
    for day in 0..30_u64 {
        if day > 0 {
            house.advance(TimeDelta::days(1));
        }
        for (place, key, name) in &keys {
            let (place, key) = (u64::try_from(*place).unwrap(), u64::try_from(*key).unwrap());
            let rest = if day % 7 == 6 { 6 } else { 1 };
            let requests = (17 + place * 31 + key * 13 + day * 7) * (11 - place) % 97 * (10 - place.min(9)) / rest;
            if requests > 0 {
                house.uses(name, requests, requests * (150 + place * 20)).await;
            }
        }
    }
    house.uses("laptop alan", 900 - used_today(&house, "alan").await, 0).await;
    let budget = BudgetChoice::Own(Budget::new(2_600_000, Refill::Monthly).unwrap());
    house.clove().set_budget(&owner("ada").organization, &tokens(), budget, &house.by()).await.unwrap();
    let site = Site::serve(house.app.clone().layer(axum::middleware::from_fn(as_ada))).await;
    (house, site)
}

/// The browser's visitor is an administrator.
async fn as_ada(mut request: axum::extract::Request, next: axum::middleware::Next) -> axum::response::Response {
    request.headers_mut().insert("x-who", http::HeaderValue::from_static("ada, administrator"));
    next.run(request).await
}

async fn used_today(house: &House, account: &str) -> u64 {
    let id = house.clove().list(&owner(account), &Default::default()).await.unwrap().items.last().unwrap().id;
    let state = house.clove().windows(&owner(account), id).await.unwrap()[0];
    state.window.count() - state.left
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_for_everybody_in_either_light_and_at_any_width() {
    let (_house, site) = team().await;
    let browser = Browser::start().await;
    for (path, name) in [
        ("/team", "team-usage"),
        ("/team?unit=output_tokens&days=90", "team-tokens"),
        ("/team?unit=output_tokens&days=7", "team-week"),
        ("/team/attention", "team-attention"),
        ("/team/audit", "team-audit"),
        ("/team/audit?key=odd&from=2026-01-06", "team-audit-wrong"),
        ("/team/person?account=barbara", "team-person"),
        ("/team/cut-off?account=ada", "team-cut-off-self"),
    ] {
        browser.open(&site.at(path)).await;
        axe::finds_nothing_in_either_light(&browser, name).await;
    }
    browser.open(&site.at("/team")).await;
    browser.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)").await;
    axe::finds_nothing_in_either_light(&browser, "team-usage-open").await;
    assert_eq!(browser.complaints(&[]).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_left_is_cut_off_in_a_dialog_and_the_page_tells_that_it_holds() {
    let (house, site) = team().await;
    let browser = Browser::start().await;
    browser.open(&site.at("/team/attention")).await;
    browser.click("a[data-account=mallory]").await;
    let dialog = browser.wait_for("dialog[open]").await.text().await.unwrap();
    assert!(dialog.contains("Cut off mallory?") && dialog.contains("Nobody else's keys are touched."), "{dialog}");
    axe::finds_nothing(&browser, "the question").await;
    browser.shoot("team-question").await;
    browser.click("dialog[open] [data-close]").await;
    assert_eq!(browser.count("dialog[open]").await, 0);
    assert!(house.is_good("laptop mallory").await, "cancelled");

    // By the keyboard alone: the focus is back on the link, and the reason is to be confirmed.
    browser.press(" ").await;
    browser.wait_for("dialog[open]").await;
    browser.fill("dialog[open] [name=reason]", "Left on Friday").await;
    browser.press("\u{E007}").await;
    let told = browser.wait_for(".told").await.text().await.unwrap();
    assert!(told.contains("No request with these keys is granted any more, on any node."), "{told}");
    assert!(!house.is_good("laptop mallory").await && house.is_good("laptop ada").await);
    axe::finds_nothing_in_either_light(&browser, "team-cut-off-told").await;

    assert!(
        browser.client.current_url().await.unwrap().as_str().ends_with("/person?account=mallory"),
        "a reload repeats nothing"
    );
    browser.client.refresh().await.unwrap();
    browser.wait_for("#reopen").await;
    axe::finds_nothing_in_either_light(&browser, "team-person-cut-off").await;
    browser.click(".reopen button").await;
    let told = browser.wait_for(".told").await.text().await.unwrap();
    assert!(told.contains("No old key was revived"), "{told}");
    assert!(!house.is_good("laptop mallory").await);
    assert_eq!(browser.complaints(&[]).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_without_script() {
    let (house, site) = team().await;
    let browser = Browser::start().await;
    browser.allow_scripts(false).await;
    browser.open(&site.at("/team")).await;
    browser.click("a[href*=output_tokens]").await;
    assert!(browser.wait_for(".units [aria-current]").await.text().await.unwrap().contains("utput tokens"));
    browser.click(".member summary").await;
    browser.wait_for(".member[open] table").await;
    browser.fill("#find", "trent").await;
    browser.press("\u{E007}").await;
    browser.wait_for("a.button.danger").await.click().await.unwrap();
    browser.wait_for("form.question.panel button.danger").await.click().await.unwrap();
    let told = browser.wait_for(".told").await.text().await.unwrap();
    assert!(told.contains("trent is cut off"), "{told}");
    assert!(!house.is_good("laptop trent").await);
    assert_eq!(browser.complaints(&[]).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_narrow_screen_nothing_of_a_key_is_off_to_the_side() {
    let (_house, site) = team().await;
    let browser = Browser::start().await;
    for path in ["/team", "/team/person?account=barbara"] {
        browser.open(&site.at(path)).await;
        browser.set_width(320).await;
        browser.evaluate("document.querySelectorAll('.member').forEach(member => member.open = true)").await;
        let beyond = "[...document.querySelectorAll('.stacks')].filter(table => table.scrollWidth > table.parentElement.clientWidth).length";
        assert_eq!(browser.evaluate(beyond).await, json!(0), "{path}");
        assert!(browser.count(".stacks").await > 0, "{path}");
        let label = "getComputedStyle(document.querySelector('.stacks td.number, .stacks td'), '::before').content";
        assert_ne!(browser.evaluate(label).await, json!("none"), "{path}: each value has its label");
        axe::finds_nothing(&browser, path).await;
        browser.shoot(if path == "/team" { "team-narrow" } else { "team-person-narrow" }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn colours_of_the_visitor_s_own_choice_leave_everything_to_be_seen() {
    let (_house, site) = team().await;
    let browser = Browser::start().await;
    browser.emulate(json!([{ "name": "forced-colors", "value": "active" }])).await;
    browser.open(&site.at("/team")).await;
    browser.set_width(1280).await;
    browser.shoot("team-forced-colors").await;
    let bar = browser.evaluate("document.querySelectorAll('.bars .day rect:not(.place)').length").await;
    assert!(bar.as_u64() > Some(100), "{bar}");
}
