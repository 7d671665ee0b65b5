//! The audit trail.

use crate::house::{House, owner};
use chrono::TimeDelta;
use clove_core::{By, Expiry};
use http::StatusCode;

/// Two keys on one day, one disabled three days later, and a person cut off.
async fn house() -> House {
    let mut house = House::new();
    let ben = house.key("ben", "laptop", Expiry::Days(90)).await;
    house.key("grace", "server", Expiry::Never).await;
    house.advance(TimeDelta::days(3));
    let by = By::new("ben", "lost on the train").unwrap();
    house.clove().disable(&owner("ben"), ben.id, &by).await.unwrap();
    house.advance(TimeDelta::hours(1));
    house.clove().close_owner(&owner("grace"), &By::new("ada", "left").unwrap()).await.unwrap();
    house
}

fn events(text: &str) -> usize {
    text.matches("Reason:").count()
}

#[tokio::test]
async fn events_are_sentences_with_their_actor_reason_and_time_newest_first() {
    let answer = house().await.get("audit").await;
    assert!(answer.says(&[
        "Ben Okri ben disabled the key “laptop” of Ben Okri ben.",
        "8 Jan 2026, 12:00 UTC · Reason: lost on the train ·",
        "Ada Lovelace ada cut off Grace Hopper grace.",
        "Ada Lovelace ada created the key “laptop” of Ben Okri ben.",
        "Ada Lovelace ada revoked the key “server” of Grace Hopper grace.",
        "its owner or organization was closed",
    ]));
    let text = answer.text();
    assert!(text.find("disabled the key").unwrap() < text.find("created the key").unwrap());
    assert_eq!(events(&text), 5);
}

#[tokio::test]
async fn each_filter_finds_its_own() {
    let house = house().await;
    let key = house.clove().list(&owner("ben"), &Default::default()).await.unwrap().items[0].id;
    for (query, expected) in [
        (format!("key={key}"), 2),
        ("action=create".to_owned(), 2),
        ("action=disable".to_owned(), 1),
        ("account=grace".to_owned(), 3),
        ("account=grace&action=create".to_owned(), 1),
        ("from=2026-01-06".to_owned(), 3),
        ("until=2026-01-07".to_owned(), 2),
        ("from=2026-01-08&until=2026-01-08".to_owned(), 3),
        ("from=2026-01-06&until=2026-01-07".to_owned(), 0),
        ("key=&action=&account=&from=&until=".to_owned(), 5),
    ] {
        let answer = house.get(&format!("audit?{query}")).await;
        assert_eq!(events(&answer.text()), expected, "{query}: {}", answer.text());
    }
    let chosen = house.get("audit?action=disable&account=ben&from=2026-01-06").await.html;
    assert!(
        chosen.contains("<option value=\"disable\" selected>")
            && chosen.contains("value=\"ben\"")
            && chosen.contains("value=\"2026-01-06\"")
    );
}

#[tokio::test]
async fn what_cannot_be_looked_for_is_said_and_finds_nothing() {
    let house = house().await;
    for (query, told) in [
        ("key=laptop", "A key id looks like"),
        ("action=sing", "There is no such action."),
        ("account=a+b", "An account has no white space"),
        ("from=yesterday", "A day looks like 2026-01-31."),
        ("until=2026-02-30", "A day looks like 2026-01-31."),
    ] {
        let answer = house.get(&format!("audit?{query}")).await;
        assert_eq!((answer.status, events(&answer.text())), (StatusCode::OK, 0), "{query}");
        assert!(answer.says(&[told]), "{query}");
    }
    assert!(house.get("audit?account=nobody").await.says(&["Nothing was found."]));
}

#[tokio::test]
async fn the_account_is_asked_for_as_whose_keys_since_events_are_not_found_by_who_acted() {
    let house = house().await;
    assert!(house.get("audit").await.says(&["Keys of (account)"]));
    assert!(house.get("person?account=ben").await.says(&["What was done with these keys"]));
    let answer = house.get("audit?account=ada").await;
    assert_eq!(events(&answer.text()), 0, "ada did most of it, and has no keys");
}

#[tokio::test]
async fn a_secret_that_was_pasted_into_a_filter_is_not_shown_again() {
    let mut house = house().await;
    house.key("ben", "leaky", Expiry::Never).await;
    let credential = house.credential("leaky");
    let secret = credential.split(';').nth(1).unwrap();
    for field in ["account", "key", "from", "until", "action"] {
        for text in [secret, &credential.replace(';', "%3B"), &format!("x{secret}")] {
            let answer = house.get(&format!("audit?{field}={text}")).await;
            assert!(!answer.html.contains(secret), "{field}");
            assert!(answer.says(&["This holds a key's secret", "Nothing was looked for"]), "{field}");
        }
    }
}

#[tokio::test]
async fn older_events_follow_page_by_page_with_the_same_filter() {
    let mut house = House::new();
    for key in 0..120 {
        let id = house.key("ben", &format!("key-{key:03}"), Expiry::Never).await.id;
        if key % 4 == 0 {
            house.clove().disable(&owner("ben"), id, &house.by()).await.unwrap();
        }
    }
    house.key("grace", "other", Expiry::Never).await;
    let mut path = "audit?account=ben&action=create".to_owned();
    let mut found = Vec::new();
    for page in 0..3 {
        let answer = house.get(&path).await;
        let text = answer.text();
        found.extend((0..120).rev().filter(|key| text.contains(&format!("“key-{key:03}”"))));
        assert!(!text.contains("“other”") && !text.contains(" disabled the key "), "{path}");
        assert_eq!(answer.link("Newest").is_some(), page > 0);
        match answer.link("Older") {
            Some(older) => path = older,
            None => assert_eq!(page, 2),
        }
    }
    assert_eq!(found, (0..120).rev().collect::<Vec<_>>(), "each once, newest first");
}

#[tokio::test]
async fn a_cursor_of_another_list_begins_anew() {
    let house = house().await;
    for cursor in ["e1.2.0198f3a27c1e7d208b5f3f1e6d9a4c21", "nonsense", "u1...requests"] {
        let answer = house.get(&format!("audit?after={cursor}")).await;
        assert_eq!((answer.status, events(&answer.text())), (StatusCode::OK, 5), "{cursor}");
    }
}
