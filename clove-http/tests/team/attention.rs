//! What needs a look.

use crate::house::{House, owner, policy};
use chrono::TimeDelta;
use clove_core::{Budget, BudgetChoice, Expiry, MemoryStore, Refill};

#[tokio::test]
async fn keys_of_people_who_left_are_told_with_what_to_do_about_them() {
    let mut house = House::new();
    for (account, name) in [("ben", "b"), ("mallory", "m1"), ("mallory", "m2"), ("oscar", "o")] {
        house.key(account, name, Expiry::Never).await;
    }
    house.uses("m1", 5, 0).await;
    let suspended = house.key("mallory", "m3", Expiry::Never).await;
    house.clove().disable(&owner("mallory"), suspended.id, &house.by()).await.unwrap();
    let dead = house.key("trent", "t", Expiry::Never).await;
    house.clove().revoke(&owner("trent"), dead.id, &house.by()).await.unwrap();
    house.advance(TimeDelta::hours(2));

    let answer = house.get("attention").await;
    assert!(answer.says(&[
        "mallory 2 active keys, 1 suspended · last used 2 hours ago Cut off mallory…",
        "oscar 1 active key · never used"
    ]));
    assert!(!answer.html.contains("account=ben") && !answer.html.contains("trent"), "ben is there, and trent's keys are dead");
    assert!(answer.html.contains("data-dialog=\"cut-off\" data-account=\"mallory\""));
}

#[tokio::test]
async fn nobody_has_left_where_the_directory_cannot_say() {
    let mut house = House::new().without_members();
    house.key("mallory", "m", Expiry::Never).await;
    let answer = house.get("attention").await;
    assert!(answer.says(&["Who belongs to the team could not be read just now"]));
    assert!(!answer.html.contains("mallory"));
    assert!(house.get("").await.says(&["What the team used"]), "everything else works");
}

#[tokio::test]
async fn a_team_without_leavers_is_told_so() {
    let mut house = House::new();
    house.key("ben", "b", Expiry::Never).await;
    assert!(house.get("attention").await.says(&["All keys that live belong to people in the team."]));
}

#[tokio::test]
async fn a_window_is_told_from_four_fifths_on_and_looking_at_it_charges_nothing() {
    let mut house = House::new();
    house.key("ben", "busy", Expiry::Never).await;
    house.key("grace", "calm", Expiry::Never).await;
    house.uses("busy", 799, 0).await;
    house.uses("calm", 100, 0).await;
    assert!(house.get("attention").await.says(&["No limit is used by 80% or more."]));
    house.uses("busy", 1, 0).await;
    for _ in 0..3 {
        let answer = house.get("attention").await;
        assert!(answer.says(&["Key busy of Ben Okri ben 800 of 1,000 requests a day · full again in 12 hours 80%"]));
        assert!(!answer.text().contains("Key calm"));
    }
    house.uses("busy", 200, 0).await;
    assert!(house.get("attention").await.says(&["100% · used up"]));
    house.advance(TimeDelta::days(1));
    assert!(house.get("attention").await.says(&["No limit is used by 80% or more."]), "a new day");
}

#[tokio::test]
async fn budgets_of_accounts_and_of_the_organization_are_told() {
    let mut house = House::new();
    house.key("ben", "b", Expiry::Never).await;
    house.key("grace", "g", Expiry::Never).await;
    house.uses("b", 1, 900_000).await;
    house.uses("g", 1, 600_000).await;
    let budget = BudgetChoice::Own(Budget::new(1_200_000, Refill::Never).unwrap());
    house.clove().set_budget(&owner("ben").organization, &crate::house::tokens(), budget, &house.by()).await.unwrap();
    let text = house.get("attention").await.text();
    let place = |row: &str| text.find(row).unwrap_or_else(|| panic!("{row} is not in {text}"));
    let organization =
        place("The whole organization 1,500,000 of 1,200,000 output tokens in all · never full again 125% · used up");
    let ben = place("Ben Okri ben, all keys 900,000 of 1,000,000 output tokens a month · full again in 26 days 90%");
    assert!(organization < ben, "the fullest first");
    assert!(!text.contains("Grace Hopper grace, all keys"));
}

#[tokio::test]
async fn keys_that_expire_soon_are_told_soonest_first_page_by_page() {
    let mut house = House::on(MemoryStore::new(), policy(), &[]);
    house.key("ben", "in a month and a day", Expiry::Days(31)).await;
    for day in (1..=30).rev() {
        house.key("ben", &format!("day-{day:02}"), Expiry::Days(day)).await;
    }
    let first = house.get("attention").await;
    assert!(first.says(&["day-01 of ben", "in 1 day", "day-25 of ben"]));
    assert!(!first.html.contains("day-26") && !first.html.contains("in a month and a day"));
    assert!(first.text().find("day-01").unwrap() < first.text().find("day-02").unwrap());
    let second = house.get(&first.link("Later").unwrap()).await;
    assert!(
        second.says(&["day-26 of ben", "day-30 of ben"]) && !second.html.contains("day-25") && second.link("Later").is_none()
    );
    assert_eq!(second.link("Soonest").as_deref(), Some("attention"));
}
