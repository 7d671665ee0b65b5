//! The form, and the secret that is shown once.

use crate::host::*;
use axum::body::Body;
use chrono::TimeDelta;
use clove_core::{Action, ActiveLimit, Capability, CapabilitySet, Expiry, ExpiryPolicy, ListAudit, Policy, Status};
use clove_http::{
    NotSignedIn, Visitor,
    pages::{Offered, Settings},
};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use std::future::ready;
use tower::ServiceExt;

#[tokio::test]
async fn the_count_and_the_expiries_are_the_policys() {
    let host = Host::of_an_owner(Policy::profile_a());
    host.fixture.key_in(Status::Active).await.unwrap();
    let page = host.get("?create=yes").await;
    assert!(page.body.contains("<p>1 / 2 active keys</p>"));
    let days: Vec<&str> =
        page.body.split(r#"name="expiry" value=""#).skip(1).map(|rest| rest.split('>').next().unwrap()).collect();
    assert_eq!(days, ["30\"", "60\"", "90\" checked", "180\"", "365\""]);

    let expiry = ExpiryPolicy { days: vec![7], default: Expiry::Never, custom: Some((2, 20)), never: true };
    let host = Host::of_an_owner(Policy::builder().active_limit(ActiveLimit::Unlimited).expiry(expiry).build().unwrap());
    let page = host.get("").await;
    assert!(page.body.contains("<p>0 active keys</p>"));
    let choices: Vec<&str> =
        page.body.split(r#"name="expiry" value=""#).skip(1).map(|rest| rest.split('>').next().unwrap()).collect();
    assert_eq!(choices, ["7\"", "never\" checked", "other\""]);
    let now = host.fixture.clove.now();
    for (expiry, days, expires) in [("7", "", Some(7)), ("never", "", None), ("other", "20", Some(20))] {
        assert_eq!(host.create(&[("name", "a"), ("expiry", expiry), ("days", days)]).await.status, StatusCode::OK);
        assert_eq!(host.keys().await[0].expires_at, expires.map(|days| now + TimeDelta::days(days)));
    }
    for (expiry, days) in [("other", "21"), ("other", ""), ("soon", ""), ("", "")] {
        let answer = host.create(&[("name", "a"), ("expiry", expiry), ("days", days)]).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(answer.between(r#"id="expiry-wrong""#, "</fieldset>").contains("Expiry must be 7 days, 2 to 20 days, never."));
    }
}

#[tokio::test]
async fn a_created_key_is_as_the_form_says_and_its_secret_is_shown_with_it() {
    let host = Host::of_an_owner(Policy::profile_a());
    let form = host.get("").await;
    let fields = [
        ("name", " laptop "),
        ("description", "At home.\r\nFor tests."),
        ("expiry", "30"),
        ("operation", form.field("operation")),
    ];
    let answer = host.create(&fields).await;
    assert_eq!(answer.status, StatusCode::OK);
    let key = host.keys().await.remove(0);
    assert_eq!((key.name.as_str(), key.description.as_str()), ("laptop", "At home.\nFor tests."));
    assert_eq!(key.expires_at, Some(host.fixture.clove.now() + TimeDelta::days(30)));
    let (secret, credential) = issued(&answer);
    assert_eq!(credential, format!("{};{secret}", key.id));
    assert_eq!(host.fixture.clove.verify(credential.as_bytes()).await.unwrap().granted().unwrap().key_id(), key.id);
    assert_eq!(answer.body.matches(&secret).count(), 2, "the secret, and in the credential");
    assert!(!answer.body.contains(['\u{1}', '\u{2}']));
    assert!(answer.body.contains("shown only this once") && answer.body.contains("ANTHROPIC_API_KEY"));
    assert!(answer.body.contains("Never used") && answer.body.contains("1 / 2 active keys"));

    let trail = host.fixture.clove.audit(&host.fixture.owner, &ListAudit::default()).await.unwrap().items;
    assert_eq!((trail[0].action, trail[0].actor.as_str()), (Action::Create, "ada"));
}

#[tokio::test]
async fn the_secret_is_in_no_other_answer() {
    let host = Host::of_an_owner(Policy::profile_a());
    let form = host.get("").await;
    let fields = [("name", "laptop"), ("operation", form.field("operation"))];
    let created = host.create(&fields).await;
    let (secret, _) = issued(&created);
    assert!(!created.headers.values().any(|value| value.to_str().unwrap().contains(&secret)));
    let key = host.keys().await[0].id.to_string();
    for answer in [
        host.get("").await,
        host.create(&fields).await,
        host.get(&format!("?confirm=delete&key={key}")).await,
        host.post("", &[("do", "disable"), ("key", &key)]).await,
        host.get(&format!("?done=disable&key={key}")).await,
        host.post("", &[("do", "delete"), ("key", &key)]).await,
        host.create(&[("name", &secret)]).await,
        host.create(&[("name", "a"), ("description", &format!("it is {secret}"))]).await,
    ] {
        assert!(!answer.body.contains(&secret), "{}", answer.body);
        assert!(!answer.header("location").contains(&secret));
    }
}

#[tokio::test]
async fn a_pasted_secret_is_refused_and_not_given_back() {
    let host = Host::of_an_owner(Policy::profile_a());
    let (secret, _) = issued(&host.create(&[("name", "laptop")]).await);
    let answer = host.create(&[("name", "build server"), ("description", &secret)]).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(answer.between(r#"id="description-wrong""#, "</fieldset>").contains("Description must not hold a secret of a key."));
    assert_eq!(answer.field("name"), "build server", "the rest is kept");
    assert!(!answer.body.contains(&secret));
}

#[tokio::test]
async fn a_form_sent_again_creates_nothing_and_says_so() {
    let host = Host::of_an_owner(Policy::profile_a());
    let form = host.get("").await;
    let fields = [("name", "laptop"), ("operation", form.field("operation"))];
    host.create(&fields).await;
    let again = host.create(&fields).await;
    assert_eq!(again.status, StatusCode::OK);
    assert!(
        again.body.contains("was created before") && again.body.contains("may have been shown then, and cannot be shown again")
    );
    assert!(again.body.contains("1 / 2 active keys"), "the card and the count are there");
    assert_eq!(host.keys().await.len(), 1);

    let changed = host.create(&[("name", "phone"), ("operation", form.field("operation"))]).await;
    assert_eq!(changed.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(changed.body.contains("This form was sent before"));
    assert_eq!((changed.field("name"), changed.field("operation") == form.field("operation")), ("phone", false));
    let operation = changed.field("operation");
    assert_eq!(host.create(&[("name", "phone"), ("operation", operation)]).await.status, StatusCode::OK);
    assert_eq!(host.keys().await.len(), 2);
}

#[tokio::test]
async fn at_the_limit_the_page_says_what_to_do() {
    let host = Host::of_an_owner(Policy::profile_a());
    for name in ["laptop", "phone"] {
        host.create(&[("name", name)]).await;
    }
    let sentence = "2 / 2 active keys: disable or delete one before creating or enabling another.";
    for page in [host.get("").await, host.get("?create=yes").await] {
        let part = page.between(r#"<section class="create""#, "</section>");
        let (before, after) = part.split_once(sentence).unwrap();
        assert!(!before.contains("<button") && after.contains("<button"), "the sentence, and below it what can be tried: {part}");
    }
    let refused = host.create(&[("name", "third"), ("description", "kept")]).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.between(r#"id="create-wrong""#, "</form>").contains(sentence));
    assert_eq!(refused.field("name"), "third");
    assert!(refused.body.contains("kept</textarea>"));
    assert_eq!(host.keys().await.len(), 2);

    let key = host.keys().await[0].id;
    host.fixture.clove.disable(&host.fixture.owner, key, &host.fixture.by).await.unwrap();
    assert_eq!(host.create(&[("name", "third")]).await.status, StatusCode::OK);
    let refused = host.post("", &[("do", "enable"), ("key", &key.to_string())]).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    let card = refused.between(&format!(r#"aria-labelledby="key-{key}""#), "</article>");
    assert!(card.contains(sentence), "beside the key that it is about");
}

#[tokio::test]
async fn capabilities_are_offered_to_who_may_grant_them() {
    let owner = Host::of_an_owner(Policy::profile_a());
    owner.fixture.key_in(Status::Active).await.unwrap();
    let page = owner.get("?create=yes").await;
    assert!(page.body.contains("<form") && !page.body.contains("apabilities"), "there is nothing to choose from");

    let may_grant = CapabilitySet::new(["models:*", "messages:create"]).unwrap();
    let host = Host::new(unlimited(), |fixture| Visitor::new(fixture.owner.clone()).may_grant(may_grant.clone()));
    let page = host.get("").await;
    assert!(page.body.contains("All of models") && page.body.contains(r#"value="models:*" checked"#));
    assert!(page.body.contains(r#"value="messages:create" checked"#), "all, where the policy has no default");
    host.create(&[("name", "a"), ("capability", "models:*"), ("capability", "messages:create")]).await;
    assert_eq!(host.keys().await[0].capabilities, may_grant);
    host.create(&[("name", "b")]).await;
    assert!(host.keys().await[0].capabilities.is_empty(), "nothing is chosen, and nothing else");
    assert_eq!(host.get("").await.body.matches("No capabilities").count(), 1, "and the card says so");
    let beyond = host.create(&[("name", "c"), ("capability", "files:write")]).await;
    assert_eq!(beyond.status, StatusCode::FORBIDDEN);
    assert!(beyond.between(r#"id="capabilities-wrong""#, "</fieldset>").contains("You may not grant files:write."));

    let visitor = Visitor::new(host.fixture.owner.clone()).may_grant(may_grant);
    let offered = ["models:read", "files:write"].map(|name| Offered::new(Capability::new(name).unwrap(), format!("To {name}")));
    let app = Settings::new(host.fixture.clove.clone(), move |_| ready(Ok::<_, NotSignedIn>(visitor.clone())))
        .offer(offered)
        .into_router();
    let page = app.oneshot(Request::get("/?create=yes").body(Body::empty()).unwrap()).await.unwrap();
    let page = String::from_utf8(page.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
    let choices: Vec<&str> =
        page.split(r#"name="capability" value=""#).skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(choices, ["models:read"]);
    assert!(page.contains("To models:read"));
}

#[tokio::test]
async fn errors_stand_beside_their_fields_and_the_input_is_kept() {
    let host = Host::of_an_owner(Policy::profile_a());
    let answer = host.create(&[("name", "<b>p\u{430}ypal</b>"), ("description", "a\u{200b}b"), ("expiry", "31")]).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    for (field, sentence) in [
        ("name", "Name must not mix scripts within a word, such as Latin and Cyrillic."),
        ("description", "Description must hold no control, invisible"),
        ("expiry", "Expiry must be 30 days, 60 days, 90 days, 180 days, 365 days."),
    ] {
        let about = answer.between(&format!(r#"id="{field}-wrong""#), "</div></div>");
        assert!(about.contains(sentence), "{about}");
        assert!(answer.body.contains(&format!("{field}-wrong\"")), "{field} is described by it");
    }
    assert!(answer.body.contains("&lt;b&gt;p\u{430}ypal&lt;/b&gt;") && !answer.body.contains("<b>"));
    assert_eq!(answer.body.matches("aria-invalid").count(), 2);
    assert_eq!(answer.body.matches("autofocus").count(), 1, "the first of them has the focus");
    assert!(host.keys().await.is_empty());
}

#[tokio::test]
async fn what_the_policy_has_as_default_is_chosen_alone() {
    let default = CapabilitySet::new(["models:read"]).unwrap();
    let policy = Policy::builder().default_capabilities(default).build().unwrap();
    let may_grant = CapabilitySet::new(["models:read", "messages:create"]).unwrap();
    let host = Host::new(policy, |fixture| Visitor::new(fixture.owner.clone()).may_grant(may_grant.clone()));
    let page = host.get("").await;
    assert!(page.body.contains(r#"value="models:read" checked"#) && page.body.contains(r#"value="messages:create">"#));
}

#[tokio::test]
async fn a_button_opens_the_form_and_nothing_closes_it() {
    let host = Host::of_an_administrator(Policy::profile_a());
    let is_open = |page: &Answer| {
        assert!(!page.body.contains(r#"<details class="create""#));
        let (opener, form) = (page.body.contains("Create API key</button>"), page.body.contains("Create key</button>"));
        assert_ne!(opener, form, "either of them, and under its own name");
        form
    };
    assert!(is_open(&host.get("").await), "without keys it is open from the start");
    host.fixture.key_in(Status::Active).await.unwrap();
    let everyone = host.get("?of=everyone").await;
    assert!(!is_open(&everyone));
    let opener = everyone.between(r#"<form method="get" action="./api-keys">"#, "</form>");
    assert!(opener.contains(r#"name="of" value="everyone""#) && opener.contains(r#"name="create" value="yes""#));
    let opened = host.get("?of=everyone&create=yes").await;
    assert!(is_open(&opened));
    assert!(opened.between(r#"<input id="name""#, ">").contains("autofocus"), "the first field has the focus");
    assert!(opened.body.contains(r#"<body data-address="./api-keys?of=everyone">"#), "a reload closes it");
    assert!(is_open(&host.create(&[("name", "")]).await), "what is wrong is seen");
}

#[tokio::test]
async fn the_choices_of_expiry_are_called_by_their_days_alone() {
    let host = Host::of_an_owner(Policy::profile_a());
    let page = host.get("").await;
    let group = page.between(r#"<fieldset class="field" id="expiry""#, "</fieldset>");
    assert!(group.contains("<legend>Expiry</legend>"));
    let labels = group.split("<label").skip(1).map(|label| label.split_once("</label>").unwrap().0);
    let labels: Vec<&str> = labels.map(|label| label.split("<span>").nth(1).unwrap()).collect();
    assert_eq!(labels, ["30 days</span>", "60 days</span>", "90 days</span>", "180 days</span>", "365 days</span>"]);
    assert!(group.contains(r#"aria-describedby="expiry-default" name="expiry" value="90" checked"#));
    assert!(group.contains(r#"id="expiry-default">(default)<"#));
}

#[tokio::test]
async fn who_is_cut_off_reads_so_in_the_place_of_the_form() {
    let sentence = "Your account is closed. Ask an administrator.";
    let host = Host::of_an_owner(Policy::profile_a());
    assert!(!host.get("").await.body.contains(sentence));
    host.fixture.clove.close_owner(&host.fixture.owner, &host.fixture.by).await.unwrap();
    let refused = host.create(&[("name", "laptop")]).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    for page in [host.get("").await, host.get("?create=yes").await, refused] {
        assert_eq!(page.body.matches(sentence).count(), 1);
        assert!(!page.body.contains("Create key") && !page.body.contains("Create API key"));
    }
    host.fixture.clove.reopen_owner(&host.fixture.owner, &host.fixture.by).await.unwrap();
    assert!(host.get("").await.body.contains("Create key"));
    host.fixture.clove.close_organization(&host.fixture.owner.organization, &host.fixture.by).await.unwrap();
    assert!(host.get("").await.body.contains(sentence), "with everybody else");
}
