//! What the team and a person used.

use crate::house::{House, policy};
use chrono::TimeDelta;
use clove_core::{Expiry, MemoryStore};
use http::StatusCode;

/// Ada, Ben and Grace over two weeks; Grace has two keys.
async fn house() -> House {
    let mut house = House::new();
    for (account, name) in [("ada", "a"), ("ben", "b"), ("grace", "g1"), ("grace", "g2")] {
        house.key(account, name, Expiry::Never).await;
    }
    house.uses("a", 500, 9_000).await;
    house.advance(TimeDelta::days(13));
    house.uses("b", 300, 1_000).await;
    house.advance(TimeDelta::days(1));
    house.uses("g1", 250, 2_500).await;
    house.uses("g2", 150, 4_000).await;
    house
}

#[tokio::test]
async fn the_team_s_requests_are_told_by_member_and_by_key() {
    let answer = house().await.get("").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.says(&["requests 1,200", "output tokens 16,500", "From 21 Dec 2025 to 19 Jan 2026: 1,200 requests in all."]));
    let text = answer.text();
    let members = text.split_once("Members").unwrap().1;
    let place = |name: &str| members.find(name).unwrap_or_else(|| panic!("{name} is not in {members}"));
    assert!(place("Ada Lovelace ada 1 key 500 41%") < place("Grace Hopper grace 2 keys 400 33%"), "the largest first");
    assert!(place("Grace Hopper grace 2 keys 400 33%") < place("Ben Okri ben 1 key 300 25%"));
    assert!(place("g1") < place("g2"), "the larger key first");
    assert!(answer.says(&["Active 250 2,500", "Active 150 4,000"]), "both units of each key");
}

#[tokio::test]
async fn another_unit_and_other_days_can_be_chosen() {
    let house = house().await;
    let answer = house.get("?unit=output_tokens&days=7").await;
    assert!(answer.says(&[
        "requests 700",
        "output tokens 7,500",
        "From 13 Jan 2026 to 19 Jan 2026: 7,500 output tokens in all. The most on one day were 6,500, on 19 Jan 2026."
    ]));
    assert!(answer.html.contains("<td class=\"number\">1,000</td>") && answer.html.contains("<td class=\"number\">6,500</td>"));
    assert!(!answer.text().contains("Ada Lovelace ada 1 key"), "ada used nothing in these days");
    assert!(answer.html.contains("days=7\" aria-current=\"true\""));
    for odd in ["?days=12", "?days=x", "?unit=No+Unit", "?days=7&days=90"] {
        assert_eq!(house.get(odd).await.status, StatusCode::OK, "{odd}");
    }
}

#[tokio::test]
async fn nothing_used_is_told_as_such() {
    let answer = House::new().get("?unit=input_tokens").await;
    assert!(answer.says(&["No input tokens in these 30 days.", "Nobody used any input tokens in these 30 days."]));
    assert!(!answer.html.contains("class=\"chart\""));
}

#[tokio::test]
async fn the_most_of_many_members_are_shown_and_the_others_are_told_together() {
    let mut house = House::on(MemoryStore::new(), policy(), &[]);
    // In the order of accounts the largest come last, after more than one page of sums.
    for member in 0..230_u64 {
        let account = format!("member-{member:03}");
        house.key(&account, &account, Expiry::Never).await;
        house.uses(&account, member + 1, 0).await;
    }
    let answer = house.get("").await;
    assert!(
        answer.says(&["requests 26,565", "These are the 25 who used the most. 205 other members used 21,115 requests together"])
    );
    assert!(answer.says(&["member-229 Left 1 key 230", "member-205 Left 1 key 206"]));
    assert!(!answer.text().contains("member-204 Left"));
    // Six have a band, and the others one: 26,565 - (230 + … + 225).
    assert!(answer.says(&["Everyone else 25K"]));
    assert!(answer.html.contains("<td class=\"number\">25,200</td>"));
}

#[tokio::test]
async fn what_is_too_much_to_be_looked_through_is_told_and_no_number_is_told_as_all() {
    let mut house = House::new();
    house.key("ben", "b", Expiry::Never).await;
    house.uses_units("b", 9).await;
    for path in ["", "person?account=ben", "attention"] {
        assert!(!house.get(path).await.text().contains("more than this page looks through"), "{path}");
    }
    assert!(house.get("attention").await.says(&[
        "No limit that was looked at is used by 80% or more.",
        "but only for the first 8 units by name: 1 more unit had some use."
    ]));

    house.uses_units("b", 10_001).await;
    for path in ["", "person?account=ben", "attention"] {
        let told = "There is more than this page looks through, which is 10,000 rows of a list:";
        assert!(house.get(path).await.says(&[told]), "{path}");
    }
}

#[tokio::test]
async fn a_person_s_page_tells_its_keys_apart_day_by_day() {
    let house = house().await;
    let answer = house.get("person?account=grace").await;
    assert!(answer.says(&[
        "Grace Hopper grace",
        "Open",
        "2 active keys",
        "From 21 Dec 2025 to 19 Jan 2026: 400 requests in all."
    ]));
    assert!(answer.html.contains("<td class=\"number\">250</td>") && answer.html.contains("<td class=\"number\">150</td>"));
    assert!(!answer.html.contains("Ben Okri"));
    let answer = house.get("person?account=grace&unit=output_tokens&days=7").await;
    assert!(answer.says(&["From 13 Jan 2026 to 19 Jan 2026: 6,500 output tokens in all."]));
    assert!(answer.html.contains("account=grace&amp;unit=requests&amp;days=7"), "the choices stay with the person");
}

#[tokio::test]
async fn what_a_deleted_key_used_stays_in_the_figures() {
    let house = house().await;
    let id = house.clove().list(&crate::house::owner("ben"), &Default::default()).await.unwrap().items[0].id;
    house.clove().delete(&crate::house::owner("ben"), id, &house.by()).await.unwrap();
    let answer = house.get("person?account=ben").await;
    assert!(answer.says(&["Deleted key", "300 requests in all", "No keys here."]));
    assert!(house.get("").await.says(&["requests 1,200", "Deleted key"]));
}

#[tokio::test]
async fn deleted_keys_are_told_apart() {
    let mut house = House::new();
    let mut told = Vec::new();
    for name in ["b1", "b2"] {
        let id = house.key("ben", name, Expiry::Never).await.id;
        house.uses(name, 5, 0).await;
        house.clove().delete(&crate::house::owner("ben"), id, &house.by()).await.unwrap();
        told.push(format!("Deleted key …{}", id.to_string().rsplit('-').next().unwrap()));
    }
    let answer = house.get("person?account=ben").await;
    for name in &told {
        assert!(answer.html.contains(&format!("<span class=\"label\">{name}</span>")), "{name} in the legend");
    }
}

#[tokio::test]
async fn members_and_keys_of_one_name_are_told_apart_in_the_legend() {
    let mut house = House::on(MemoryStore::new(), policy(), &[("sam1", "Sam"), ("sam2", "Sam"), ("ben", "Ben")]);
    let mut ids = Vec::new();
    for account in ["sam1", "sam2", "ben"] {
        house.key(account, account, Expiry::Never).await;
        house.uses(account, 5, 0).await;
    }
    for _ in 0..2 {
        ids.push(house.key("ben", "twin", Expiry::Never).await.id.to_string());
        house.uses("twin", 5, 0).await;
    }
    let html = house.get("").await.html;
    for label in ["Sam (sam1)", "Sam (sam2)", "Ben"] {
        assert!(html.contains(&format!("<span class=\"label\">{label}</span>")), "{label}");
    }
    let html = house.get("person?account=ben").await.html;
    for id in &ids {
        let label = format!("twin (…{})", id.rsplit('-').next().unwrap());
        assert!(html.contains(&format!("<span class=\"label\">{label}</span>")), "{label}");
    }
}

#[tokio::test]
async fn members_who_used_nothing_are_listed_last_and_bounded() {
    let answer = house().await.get("?days=7").await;
    assert!(answer.says(&["Members who used no requests Ada Lovelace ada 0"]), "ada used nothing in these days");
    assert!(answer.html.contains("<option value=\"grace\" label=\"Grace Hopper\">"), "everybody is offered by name");

    let accounts: Vec<String> = (0..60).map(|member| format!("member-{member:02}")).collect();
    let members: Vec<(&str, &str)> = accounts.iter().map(|account| (account.as_str(), "Somebody")).collect();
    let answer = House::on(MemoryStore::new(), policy(), &members).get("").await;
    assert!(answer.says(&["Somebody member-49 0 And 10 more members who used none"]));
}

#[tokio::test]
async fn a_person_is_looked_up_by_name_too_and_an_account_comes_first() {
    let mut house =
        House::on(MemoryStore::new(), policy(), &[("ben", "Ben Okri"), ("eve", "mallory"), ("s1", "Sam"), ("s2", "Sam")]);
    house.key("mallory", "m", Expiry::Never).await;
    let answer = house.get("person?account=ben+okri").await;
    assert_eq!((answer.status, &answer.headers["location"]), (StatusCode::SEE_OTHER, &"./person?account=ben".parse().unwrap()));
    let answer = house.get("person?account=mallory").await;
    assert!(answer.status.is_success() && answer.says(&["mallory Open Left the team"]), "who left is not who is called so now");
    assert_eq!(house.get("person?account=Sam").await.status, StatusCode::NOT_FOUND, "which of the two?");
}

#[tokio::test]
async fn many_keys_of_a_person_are_listed_page_by_page() {
    let mut house = House::new();
    for key in 0..60 {
        house.key("ben", &format!("key-{key:02}"), Expiry::Never).await;
    }
    let first = house.get("person?account=ben").await;
    assert!(first.says(&["key-59", "key-10", "Older keys"]) && !first.html.contains("key-09"));
    let second = house.get(&first.link("Older keys").unwrap()).await;
    assert!(second.says(&["key-09", "key-00"]) && !second.html.contains("Older keys"));
}

#[tokio::test]
async fn names_of_people_and_keys_never_become_markup() {
    let mut house = House::on(MemoryStore::new(), policy(), &[("ada", "<script>alert(1)</script>")]);
    house.key("ada", "<img src=x onerror=alert(1)>", Expiry::Days(5)).await;
    house.uses("<img src=x onerror=alert(1)>", 10, 0).await;
    for path in ["", "attention", "audit", "person?account=ada", "cut-off?account=ada", "audit?account=%3Cb%3E"] {
        let html = house.get(path).await.html;
        assert!(!html.contains("<script>") && !html.contains("<img") && !html.contains("<b>"), "{path}");
    }
}
