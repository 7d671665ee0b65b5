//! Cutting off a person, and opening its account again.

use crate::house::{House, owner};
use clove_core::{Action, Expiry, ListAudit, NewKey};
use http::StatusCode;

const OBEYED: &str = "No request with these keys is granted any more, on any node.";

async fn house() -> House {
    let mut house = House::new();
    for (account, name) in [("ada", "a"), ("ben", "b1"), ("ben", "b2"), ("grace", "g")] {
        house.key(account, name, Expiry::Never).await;
    }
    house
}

#[tokio::test]
async fn a_person_who_is_cut_off_is_refused_at_once_and_nobody_else_is() {
    let house = house().await;
    let asked = house.get("cut-off?account=ben").await;
    assert!(asked.says(&["Cut off Ben Okri?", "Nobody else's keys are touched."]));
    assert!(house.is_good("b1").await, "asking does nothing");

    let answer = house.post("cut-off", &[("account", "ben"), ("reason", "Left the company")]).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.says(&["Ben Okri is cut off", OBEYED, "The account was closed just now, and 2 keys were revoked for good."]));
    assert!(answer.says(&["Opening the account again revives no key."]));
    assert!(answer.html.contains("data-address=\"./person?account=ben\""), "a reload repeats nothing");
    assert!(!house.is_good("b1").await && !house.is_good("b2").await);
    assert!(house.is_good("a").await && house.is_good("g").await);

    let list = ListAudit { action: Some(Action::CloseOwner), ..ListAudit::default() };
    let events = house.clove().audit(&owner("ben"), &list).await.unwrap().items;
    assert_eq!((events[0].actor.as_str(), events[0].reason.as_str()), ("ada", "Left the company"));
    assert!(house.get("person?account=ben").await.says(&["Cut off", "This account is cut off"]));
}

#[tokio::test]
async fn cutting_off_twice_tells_that_it_was_done_before() {
    let house = house().await;
    let form = [("account", "ben"), ("reason", "Left")];
    house.post("cut-off", &form).await;
    let again = house.post("cut-off", &form).await;
    assert!(again.says(&[OBEYED, "The account was closed before, and no key was left to revoke."]));
}

#[tokio::test]
async fn what_a_page_of_another_site_sends_is_refused_and_changes_nothing() {
    let house = house().await;
    for site in ["cross-site", "same-site"] {
        for path in ["cut-off", "reopen"] {
            let answer = house.post_from(site, path, &[("account", "ben"), ("reason", "forged")]).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} from {site}");
        }
    }
    assert!(house.is_good("b1").await && house.clove().is_open(&owner("ben")).await.unwrap());
}

#[tokio::test]
async fn nobody_cuts_off_itself_without_having_been_told() {
    let house = house().await;
    let person = house.get("person?account=ada").await;
    let button = person.html.split_once("href=\"./cut-off?account=ada\"").unwrap().1.split_once('>').unwrap().0;
    assert!(!button.contains("data-dialog"), "the page that says so, and no dialog: {button}");
    let told = ["This is your own account.", "Your own keys stop working; you stay signed in here.", "Cut off my own account"];
    assert!(house.get("cut-off?account=ada").await.says(&told));
    let answer = house.post("cut-off", &[("account", "ada"), ("reason", "Oops")]).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(answer.says(&told) && answer.html.contains("value=\"Oops\""), "what was typed is kept");
    assert!(house.is_good("a").await);
    let answer = house.post("cut-off", &[("account", "ada"), ("reason", "Really"), ("self", "yes")]).await;
    assert!(answer.says(&[OBEYED]));
    assert!(!house.is_good("a").await);
    assert_eq!(house.get("").await.status, StatusCode::OK, "still signed in");
}

#[tokio::test]
async fn a_reason_is_asked_for() {
    let house = house().await;
    for (reason, told) in
        [("", "Say why: it is kept in the audit trail."), (&"x".repeat(501), "The reason must be 1 to 500 visible characters.")]
    {
        let answer = house.post("cut-off", &[("account", "ben"), ("reason", reason)]).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(answer.says(&[told]));
    }
    assert!(house.is_good("b1").await);
}

#[tokio::test]
async fn a_secret_that_was_pasted_as_the_reason_is_not_shown_again() {
    let house = house().await;
    let secret = house.credential("b1");
    for reason in [secret.clone(), format!("leaked: {secret} {}", "x".repeat(500))] {
        let answer = house.post("cut-off", &[("account", "ada"), ("reason", &reason)]).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(!answer.html.contains(&secret));
    }
    let answer = house.post("cut-off", &[("account", "ada"), ("reason", "Left in May")]).await;
    assert!(answer.html.contains("Left in May"), "what was typed is not lost");
}

#[tokio::test]
async fn an_account_that_was_never_heard_of_is_not_cut_off_by_a_slip_of_the_pen() {
    let house = house().await;
    for account in ["bne", "", "b en", "Ben"] {
        let answer = house.post("cut-off", &[("account", account), ("reason", "Left")]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{account:?}");
        assert_eq!(
            house.get(&format!("person?account={}", account.replace(' ', "+"))).await.status,
            StatusCode::NOT_FOUND,
            "{account:?}"
        );
    }
    assert!(house.clove().is_open(&owner("bne")).await.unwrap());
    assert!(house.get("").await.status.is_success());
}

#[tokio::test]
async fn an_account_that_was_never_heard_of_is_not_opened_either_and_leaves_no_trace() {
    let house = house().await;
    for account in ["bne", "", "b en"] {
        let answer = house.post("reopen", &[("account", account), ("reason", "Back")]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{account:?}");
    }
    let list = ListAudit { action: Some(Action::ReopenOwner), ..ListAudit::default() };
    assert!(house.clove().audit(&owner("bne").organization, &list).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn opening_again_revives_no_key_and_says_so() {
    let house = house().await;
    house.post("cut-off", &[("account", "ben"), ("reason", "Left")]).await;
    let refused = house.clove().create(&owner("ben"), NewKey::named("new").unwrap(), &house.by()).await;
    assert!(refused.is_err());
    assert!(house.get("person?account=ben").await.says(&["Opening the account again revives no key"]));
    assert_eq!(house.post("reopen", &[("account", "ben"), ("reason", "")]).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let answer = house.post("reopen", &[("account", "ben"), ("reason", "Back again")]).await;
    assert!(answer.says(&["Ben Okri is open again", "No old key was revived: what was revoked stays revoked."]));
    assert!(!house.is_good("b1").await && !house.is_good("b2").await);
    house.clove().create(&owner("ben"), NewKey::named("new").unwrap(), &house.by()).await.unwrap();
    assert!(house.post("reopen", &[("account", "ben"), ("reason", "Twice")]).await.says(&["Ben Okri was open before"]));
}

#[tokio::test]
async fn a_form_that_is_none_is_refused_as_a_page() {
    let house = house().await;
    let answer = house.post("cut-off", &[("account", &"x".repeat(20_000))]).await;
    assert!(answer.status.is_client_error() && answer.html.starts_with("<!DOCTYPE html>"), "{}", answer.status);
}
