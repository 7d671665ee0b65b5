//! The settings page, request by request.

use axum::{
    Router,
    body::Body,
    response::{IntoResponse, Redirect},
};
use chrono::TimeDelta;
use clove_core::{
    Action, ActiveLimit, Capability, CapabilitySet, DenialReason, Expiry, ExpiryPolicy, KeyId, ListAudit, NewKey, OperationId,
    Owner, Policy, Role, Status,
};
use clove_http::{
    NotSignedIn, Visitor,
    pages::{self, Offered, Settings},
};
use clove_testkit::Fixture;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use std::{future::ready, time::Duration};
use tower::ServiceExt;

const PAGE: &str = "/settings/api-keys";

/// A host whose visitor is always the same.
struct Host {
    fixture: Fixture,
    app: Router,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The value of a hidden field.
    fn field(&self, name: &str) -> &str {
        self.between(&format!(r#"name="{name}" value=""#), "\"")
    }

    fn between(&self, before: &str, after: &str) -> &str {
        let (_, rest) = self.body.split_once(before).unwrap_or_else(|| panic!("{before} is not in {}", self.body));
        rest.split_once(after).unwrap().0
    }

    /// What the menus offer, in the order of the page.
    fn offered(&self) -> Vec<&str> {
        let menus = self.body.split("<details class=\"menu\"").skip(1).map(|menu| menu.split_once("</details>").unwrap().0);
        let items = menus.flat_map(|menu| menu.split("<li>").skip(1));
        items.map(|item| item.split("</").next().unwrap().rsplit('>').next().unwrap()).collect()
    }
}

impl Host {
    fn new(policy: Policy, visitor: impl Fn(&Fixture) -> Visitor) -> Self {
        let fixture = Fixture::new(policy).unwrap();
        let visitor = visitor(&fixture);
        let settings = pages::settings(fixture.clove.clone(), move |_| ready(Ok::<_, NotSignedIn>(visitor.clone())));
        Self { fixture, app: Router::new().nest(PAGE, settings) }
    }

    fn of_an_owner(policy: Policy) -> Self {
        Self::new(policy, |fixture| Visitor::new(fixture.owner.clone()))
    }

    fn of_an_administrator(policy: Policy) -> Self {
        let root = Owner::new("acme", "root").unwrap();
        Self::new(policy, move |_| Visitor::new(root.clone()).administrator().may_grant(CapabilitySet::all()))
    }

    async fn ask(&self, request: Request<Body>) -> Answer {
        let (parts, body) = self.app.clone().oneshot(request).await.unwrap().into_parts();
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(Request::get(format!("{PAGE}{path}")).body(Body::empty()).unwrap()).await
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.ask(posted(path, fields).body(body(fields)).unwrap()).await
    }

    /// Sends the form of a page, as it stands but for these fields.
    async fn create(&self, fields: &[(&str, &str)]) -> Answer {
        let operation = OperationId::new(self.fixture.clove.now()).to_string();
        let mut all = vec![("do", "create"), ("expiry", "90")];
        if !fields.iter().any(|(name, _)| *name == "operation") {
            all.push(("operation", &operation));
        }
        all.retain(|(name, _)| !fields.iter().any(|(given, _)| given == name));
        all.extend(fields);
        self.post("", &all).await
    }

    async fn keys(&self) -> Vec<clove_core::Key> {
        self.fixture.keys().await.unwrap()
    }
}

fn posted(path: &str, _fields: &[(&str, &str)]) -> http::request::Builder {
    Request::post(format!("{PAGE}{path}"))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header("sec-fetch-site", "same-origin")
}

fn body(fields: &[(&str, &str)]) -> Body {
    Body::from(url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish())
}

/// What the page shows as the secret and the credential.
fn issued(answer: &Answer) -> (String, String) {
    let of = |id: &str| answer.between(&format!(r#"<code id="issued-{id}" translate="no">"#), "<").to_owned();
    (of("secret"), of("credential"))
}

fn unlimited() -> Policy {
    Policy::builder().active_limit(ActiveLimit::Unlimited).build().unwrap()
}

#[tokio::test]
async fn a_page_allows_no_script_of_others_no_frame_and_no_cache() {
    let host = Host::of_an_owner(Policy::profile_a());
    let key = host.fixture.key_in(Status::Active).await.unwrap().key.id.to_string();
    let answers = [
        host.get("").await,
        host.get("/nothing").await,
        host.get(&format!("?confirm=delete&key={key}")).await,
        host.create(&[("name", "")]).await,
        host.create(&[("name", "laptop")]).await,
        host.post("", &[("do", "disable"), ("key", &key)]).await,
        host.ask(Request::put(PAGE).header("sec-fetch-site", "same-origin").body(Body::empty()).unwrap()).await,
    ];
    for answer in answers {
        let policy = answer.header("content-security-policy");
        for directive in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ] {
            assert!(policy.split("; ").any(|given| given == directive), "{directive}: {policy}");
        }
        assert!(!policy.contains("unsafe"));
        assert_eq!(answer.header("cache-control"), "no-store", "{}", answer.status);
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "same-origin");
        assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin");
        for inline in ["<style", "style=", "<script>", " onclick", "javascript:"] {
            assert!(!answer.body.contains(inline), "{inline}");
        }
    }
}

#[tokio::test]
async fn assets_are_kept_for_ever_under_their_own_names_alone() {
    let host = Host::of_an_owner(Policy::profile_a());
    let page = host.get("").await;
    let links: Vec<&str> = page.body.split('"').filter(|text| text.contains("/assets/")).collect();
    assert_eq!(links.len(), 3);
    for link in links {
        let name = link.strip_prefix("./api-keys").unwrap();
        let asset = host.get(name).await;
        assert_eq!(asset.status, StatusCode::OK, "{name}");
        assert_eq!(asset.header("cache-control"), "public, max-age=31536000, immutable");
        assert_eq!(asset.header("x-content-type-options"), "nosniff");
        let expected = if name.ends_with(".js") { "text/javascript; charset=utf-8" } else { "text/css; charset=utf-8" };
        assert_eq!(asset.header("content-type"), expected);
        let (stem, _) = name.split_once('-').unwrap();
        let extension = name.rsplit('.').next().unwrap();
        let other = host.get(&format!("{stem}-0000000000000000.{extension}")).await;
        assert_eq!((other.status, other.header("cache-control")), (StatusCode::OK, "no-store"), "of another version");
    }
    assert_eq!(host.get("/assets/nothing.css").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_page_works_wherever_it_is_mounted() {
    let fixture = Fixture::new(Policy::profile_a()).unwrap();
    let visitor = Visitor::new(fixture.owner.clone());
    let settings = || {
        pages::settings(fixture.clove.clone(), {
            let visitor = visitor.clone();
            move |_| ready(Ok::<_, NotSignedIn>(visitor.clone()))
        })
    };
    let mounts = [
        (Router::new().nest("/keys", settings()), "/keys"),
        (Router::new().nest("/o/{organization}/keys", settings()), "/o/acme/keys"),
        (Router::new().nest("/a", Router::new().nest("/b", settings())), "/a/b"),
        (Router::new().nest("/keys/", settings()), "/keys/"),
        (settings(), "/"),
    ];
    for (app, at) in mounts {
        let base = url::Url::parse("http://host.example").unwrap().join(at).unwrap();
        let get = |url: url::Url| app.clone().oneshot(Request::get(url.path()).body(Body::empty()).unwrap());
        let page = get(base.clone()).await.unwrap();
        assert_eq!(page.status(), StatusCode::OK, "{at}");
        let page = String::from_utf8(page.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
        for link in page.split('"').filter(|text| text.starts_with("./")) {
            let target = base.join(link).unwrap();
            assert_eq!(get(target.clone()).await.unwrap().status(), StatusCode::OK, "{at}: {link} is {target}");
        }
        let lost = base.join(&format!("{}/nothing/at/all", at.trim_end_matches('/'))).unwrap();
        let lost_page = get(lost.clone()).await.unwrap();
        assert_eq!(lost_page.status(), StatusCode::NOT_FOUND);
        let lost_page = String::from_utf8(lost_page.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
        for link in lost_page.split('"').filter(|text| text.starts_with("./")) {
            let target = lost.join(link).unwrap();
            assert_eq!(get(target.clone()).await.unwrap().status(), StatusCode::OK, "{at}: from a lost page, {link} is {target}");
        }
    }
}

#[tokio::test]
async fn who_is_not_signed_in_gets_the_hosts_own_answer() {
    let fixture = Fixture::new(Policy::profile_a()).unwrap();
    let app = pages::settings(fixture.clove.clone(), |_| ready(Err::<Visitor, _>(Redirect::to("/sign-in").into_response())));
    for request in
        [Request::get("/").body(Body::empty()).unwrap(), posted("", &[]).uri("/").body(body(&[("do", "create")])).unwrap()]
    {
        let response = app.clone().oneshot(request).await.unwrap();
        assert_eq!((response.status(), &response.headers()["location"]), (StatusCode::SEE_OTHER, &"/sign-in".parse().unwrap()));
        assert!(!response.headers().contains_key("content-security-policy"), "it is as the host gave it");
    }
}

#[tokio::test]
async fn what_another_site_has_sent_is_refused_and_nothing_is_done() {
    let host = Host::of_an_owner(Policy::profile_a());
    let key = host.fixture.key_in(Status::Active).await.unwrap().key.id.to_string();
    let fields = [("do", "delete"), ("key", key.as_str())];
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
    ] {
        let request =
            Request::post(PAGE).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").header("host", "keys.example");
        let answer = host.ask(request.header(name, value).body(body(&fields)).unwrap()).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{name}: {value}");
        assert!(answer.body.contains("another site"));
    }
    assert_eq!(host.keys().await.len(), 1);
    assert_eq!(host.post("", &fields).await.status, StatusCode::SEE_OTHER, "or the test would see nothing");
}

#[tokio::test]
async fn the_count_and_the_expiries_are_the_policys() {
    let host = Host::of_an_owner(Policy::profile_a());
    host.fixture.key_in(Status::Active).await.unwrap();
    let page = host.get("").await;
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
    assert!(again.body.contains("was created before") && again.body.contains("cannot be shown again"));
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
    let page = host.get("").await;
    assert!(page.body.contains(sentence) && !page.body.contains("Create key"));
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
async fn a_menu_offers_just_what_the_status_and_the_role_allow() {
    for (status, owner, administrator) in [
        (Status::Active, &["Disable", "Delete"][..], &["Disable", "Revoke", "Flag as compromised", "Delete"][..]),
        (Status::Suspended, &["Enable", "Delete"], &["Enable", "Revoke", "Flag as compromised", "Delete"]),
        (Status::Expired, &["Delete"], &["Revoke", "Flag as compromised", "Delete"]),
        (Status::Compromised, &["Delete"], &["Delete"]),
        (Status::Revoked, &["Delete"], &["Delete"]),
    ] {
        let host = Host::of_an_owner(Policy::profile_a());
        host.fixture.key_in(status).await.unwrap();
        let page = host.get("").await;
        assert_eq!(page.offered(), owner, "{status}");
        assert!(page.body.contains(&format!(">{status}</span>")));
        let host = Host::of_an_administrator(Policy::profile_a());
        host.fixture.key_in(status).await.unwrap();
        let page = host.get("?of=everyone").await;
        assert_eq!(page.offered(), administrator, "{status}");
        assert!(page.body.contains("<dt>Owner</dt><dd>ada</dd>"));
        assert!(!host.get("").await.body.contains("<article"), "not among the administrator's own");
    }
}

#[tokio::test]
async fn commands_are_done_and_told_once() {
    let host = Host::of_an_administrator(unlimited());
    let credential = |issued: &clove_core::Issued| issued.credential.as_ref().unwrap().reveal();
    for (action, status, told) in [
        (Action::Disable, Status::Suspended, "is disabled"),
        (Action::Revoke, Status::Revoked, "is revoked"),
        (Action::FlagCompromised, Status::Compromised, "is flagged as compromised"),
    ] {
        let issued = host.fixture.key_in(Status::Active).await.unwrap();
        let id = issued.key.id.to_string();
        let answer = host.post("?of=everyone", &[("do", action.as_str()), ("key", &id)]).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER);
        let (_, query) = answer.header("location").split_once('?').unwrap();
        assert!(answer.header("location").starts_with("./api-keys?of=everyone&done="), "the same keys are looked at");
        let page = host.get(&format!("?{query}")).await;
        assert!(page.between(r#"role="status""#, "</div>").contains(told));
        assert!(page.body.contains(r#"<body data-address="./api-keys?of=everyone">"#));
        assert_eq!(
            host.fixture.clove.get(&host.fixture.owner, issued.key.id).await.unwrap().status(host.fixture.clove.now()),
            status
        );
        assert!(host.fixture.clove.verify(credential(&issued).as_bytes()).await.unwrap().granted().is_none());
        let again = host.post("", &[("do", action.as_str()), ("key", &id)]).await;
        assert_eq!(again.status, StatusCode::SEE_OTHER, "what kills is done as often as it is sent");
    }
}

#[tokio::test]
async fn nobody_can_have_the_page_tell_what_is_not_so() {
    let host = Host::of_an_owner(Policy::profile_a());
    let id = host.fixture.key_in(Status::Active).await.unwrap().key.id;
    for query in [
        format!("done=disable&key={id}"),
        format!("done=delete&key={id}"),
        "done=delete&key=x".into(),
        format!("done=x&key={id}"),
    ] {
        assert!(!host.get(&format!("?{query}")).await.body.contains("note good"), "{query}");
    }
}

#[tokio::test]
async fn deleting_asks_first() {
    let host = Host::of_an_owner(Policy::profile_a());
    let id = host.fixture.key_in(Status::Active).await.unwrap().key.id.to_string();
    let page = host.get("").await;
    assert!(page.body.contains(r#"<dialog id="confirm-delete""#));
    assert!(!page.body.contains("confirm-revoke"), "only what some menu offers");
    let question = host.get(&format!("?confirm=delete&key={id}")).await;
    assert!(question.body.contains("Delete this key?") && question.body.contains("Active key"));
    assert_eq!(host.keys().await.len(), 1);
    assert_eq!(host.get(&format!("?confirm=revoke&key={id}")).await.status, StatusCode::NOT_FOUND, "not on the menu");
    host.post("", &[("do", question.field("do")), ("key", question.field("key"))]).await;
    assert!(host.keys().await.is_empty());
}

#[tokio::test]
async fn what_is_not_on_the_menu_is_not_done() {
    let host = Host::of_an_owner(Policy::profile_a());
    let id = host.fixture.key_in(Status::Active).await.unwrap().key.id.to_string();
    for action in ["revoke", "flag_compromised", "rotate", "close_owner", "edit", "import", "nothing", ""] {
        assert_eq!(host.post("", &[("do", action), ("key", &id)]).await.status, StatusCode::FORBIDDEN, "{action}");
    }
    let key = host.keys().await.remove(0);
    assert_eq!((key.status(host.fixture.clove.now()), key.revision), (Status::Active, 1));
}

#[tokio::test]
async fn a_foreign_key_looks_like_none() {
    let host = Host::of_an_owner(Policy::profile_a());
    let by = clove_core::By::new("ben", "test").unwrap();
    let ben = Owner::new("acme", "ben").unwrap();
    let foreign = host.fixture.clove.create(&ben, NewKey::named("ben's").unwrap(), &by).await.unwrap().key.id;
    let none = KeyId::new(host.fixture.clove.now());
    for action in ["disable", "enable", "delete"] {
        let [foreign, none] = [foreign, none].map(|id| id.to_string());
        let (foreign_answer, none_answer) =
            (host.post("", &[("do", action), ("key", &foreign)]).await, host.post("", &[("do", action), ("key", &none)]).await);
        assert_eq!(foreign_answer.status, StatusCode::NOT_FOUND);
        assert_eq!((foreign_answer.body, foreign_answer.headers), (none_answer.body, none_answer.headers), "{action}");
    }
    let ask = async |id: KeyId| host.get(&format!("?confirm=delete&key={id}")).await;
    let (foreign_answer, none_answer) = (ask(foreign).await, ask(none).await);
    assert_eq!((foreign_answer.status, foreign_answer.body), (StatusCode::NOT_FOUND, none_answer.body));
    let told = async |id: KeyId| host.get(&format!("?done=delete&key={id}")).await;
    let (foreign_page, none_page) = (told(foreign).await, told(none).await);
    let text = |page: &Answer| page.between(r#"class="note good""#, "</div>").to_owned();
    assert_eq!(text(&foreign_page).replace(&foreign.to_string(), ""), text(&none_page).replace(&none.to_string(), ""));
    assert!(!host.get("?of=everyone").await.body.contains("ben"), "an owner sees its own, whatever it asks for");
    assert!(host.fixture.clove.get(&ben, foreign).await.is_ok());
}

#[tokio::test]
async fn older_keys_are_on_further_pages() {
    let host = Host::of_an_owner(Policy::builder().active_limit(ActiveLimit::Unlimited).build().unwrap());
    for number in 1..=25 {
        host.fixture
            .clove
            .create(&host.fixture.owner, NewKey::named(format!("key {number}")).unwrap(), &host.fixture.by)
            .await
            .unwrap();
    }
    let first = host.get("").await;
    assert_eq!(first.body.matches("<article").count(), 20);
    assert!(first.body.contains(">key 25<") && first.body.contains(">key 6<") && !first.body.contains(">key 5<"));
    assert!(!first.body.contains("Newest keys"));
    let older = first.between(r#"<a class="button older" href="./api-keys"#, "\"").replace("&amp;", "&");
    let second = host.get(&older).await;
    assert_eq!(second.body.matches("<article").count(), 5);
    assert!(second.body.contains(">key 1<") && second.body.contains("Newest keys") && !second.body.contains("Older keys"));
    let id = host.keys().await[24].id.to_string();
    let done = host.post(&older, &[("do", "disable"), ("key", &id)]).await;
    assert!(done.header("location").contains("after="), "a command leads back to the same keys");
    assert_eq!(host.get("?after=nonsense").await.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn capabilities_are_offered_to_who_may_grant_them() {
    let owner = Host::of_an_owner(Policy::profile_a());
    assert!(!owner.get("").await.body.contains("Capabilities"), "there is nothing to choose from");

    let may_grant = CapabilitySet::new(["models:*", "messages:create"]).unwrap();
    let host = Host::new(unlimited(), |fixture| Visitor::new(fixture.owner.clone()).may_grant(may_grant.clone()));
    let page = host.get("").await;
    assert!(page.body.contains("All of models") && page.body.contains(r#"value="models:*""#));
    host.create(&[("name", "a"), ("capability", "models:*"), ("capability", "messages:create")]).await;
    assert_eq!(host.keys().await[0].capabilities, may_grant);
    host.create(&[("name", "b")]).await;
    assert!(host.keys().await[0].capabilities.is_empty(), "nothing is chosen, and nothing else");
    let beyond = host.create(&[("name", "c"), ("capability", "files:write")]).await;
    assert_eq!(beyond.status, StatusCode::FORBIDDEN);
    assert!(beyond.between(r#"id="capabilities-wrong""#, "</fieldset>").contains("You may not grant files:write."));

    let visitor = Visitor::new(host.fixture.owner.clone()).may_grant(may_grant);
    let offered = ["models:read", "files:write"].map(|name| Offered::new(Capability::new(name).unwrap(), format!("To {name}")));
    let app = Settings::new(host.fixture.clove.clone(), move |_| ready(Ok::<_, NotSignedIn>(visitor.clone())))
        .offer(offered)
        .into_router();
    let page = app.oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
    let page = String::from_utf8(page.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
    let choices: Vec<&str> =
        page.split(r#"name="capability" value=""#).skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(choices, ["models:read"]);
    assert!(page.contains("To models:read"));
}

#[tokio::test]
async fn rotating_shows_the_new_secret_once_and_carries_the_revision() {
    let menu = [Action::Rotate, Action::Delete];
    let host = Host::of_an_owner(Policy::builder().menu(Role::Owner, menu).build().unwrap());
    let old = host.fixture.key_in(Status::Active).await.unwrap();
    let (id, old) = (old.key.id.to_string(), old.credential.unwrap().reveal());
    let question = host.get(&format!("?confirm=rotate&key={id}")).await;
    assert_eq!(question.field("revision"), "1");
    let fields = [
        ("do", "rotate"),
        ("key", id.as_str()),
        ("revision", "1"),
        ("grace", "3600"),
        ("operation", question.field("operation")),
    ];
    let rotated = host.post("", &fields).await;
    let (_, credential) = issued(&rotated);
    assert!(rotated.body.contains("has a new secret") && rotated.body.contains("The older secret stays good until"));
    for credential in [credential.as_bytes(), old.as_bytes()] {
        assert!(host.fixture.clove.verify(credential).await.unwrap().granted().is_some());
    }
    host.fixture.clock().advance(Duration::from_secs(3600));
    let denial = host.fixture.clove.verify(old.as_bytes()).await.unwrap().denied().unwrap();
    assert_eq!(denial.reason(), &DenialReason::NotRecognized);

    let again = host.post("", &fields).await;
    assert!(again.body.contains("was given its new secret before") && !again.body.contains(&credential));
    let other = OperationId::new(host.fixture.clove.now()).to_string();
    let stale = host.post("", &[("do", "rotate"), ("key", &id), ("revision", "1"), ("operation", &other)]).await;
    assert_eq!(stale.status, StatusCode::CONFLICT);
    assert!(stale.body.contains("The key has changed since you looked at it."));
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
async fn what_is_no_form_is_refused() {
    let host = Host::of_an_owner(Policy::profile_a());
    let text = Request::post(PAGE).header(header::CONTENT_TYPE, "text/plain").body(Body::from("do=create&name=a")).unwrap();
    assert_eq!(host.ask(text).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let huge = "x".repeat(70_000);
    assert_eq!(host.create(&[("name", "a"), ("description", &huge)]).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let put = Request::put(PAGE).header("sec-fetch-site", "same-origin").body(Body::empty()).unwrap();
    assert_eq!(host.ask(put).await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(host.keys().await.is_empty());
}
