use crate::{
    host::Host,
    support::{Ending, Mode, spied},
};
use clove_core::{KeyState, Policy};
use serde_json::json;

/// As often as the core itself runs a transaction whose outcome is unknown.
const RUNS: usize = 4;

const COMMITTED: [Ending; 2] = [Ending::CommitsThenUnknown, Ending::RollsBackThenUnknown];
const ROLLED_BACK: [Ending; 2] = [Ending::RollsBackThenUnknown; 2];

fn unknown([first, then]: [Ending; 2], runs: usize) -> impl Iterator<Item = Ending> {
    std::iter::once(first).chain(std::iter::repeat_n(then, runs - 1))
}

#[tokio::test]
async fn an_unknown_outcome_is_asked_for_once_more_where_the_client_cannot() {
    let (fixture, spy) = spied(Policy::profile_a());
    let host = Host::on(fixture);
    let create = || host.ask("POST", "/keys").json(json!({"name": "k"})).send();
    spy.end(unknown(ROLLED_BACK, RUNS));
    create().await.is(201);
    spy.end(unknown(COMMITTED, RUNS));
    let told = create().await.is(200).json();
    assert_eq!((&told["replayed"], &told["secret"]), (&json!(true), &json!(null)), "its secret went with the lost answer");
    assert_eq!(host.fixture.keys().await.unwrap().len(), 2);
    let path = format!("/keys/{}", told["api_key_id"].as_str().unwrap());
    spy.end(unknown(COMMITTED, RUNS));
    assert_eq!(host.ask("POST", &format!("{path}/disable")).send().await.is(200).json()["changed"], json!(true));
    spy.end(unknown(COMMITTED, RUNS));
    host.ask("DELETE", &path).send().await.is(204);
}

#[tokio::test]
async fn a_report_of_two_leaks_is_finished_where_the_outcome_of_the_second_was_unknown() {
    let (fixture, spy) = spied(Policy::profile_a());
    let host = Host::on(fixture);
    let mut text = String::new();
    for name in ["one", "other"] {
        let made = host.ask("POST", "/keys").json(json!({"name": name})).send().await.is(201).json();
        text.push_str(&format!("{}\n", made["secret"].as_str().unwrap()));
    }
    spy.end(std::iter::once(Ending::Commits).chain(unknown(COMMITTED, RUNS)));
    host.ask("POST", "/leaks").json(json!({"text": text})).send().await.is(204);
    let keys = host.fixture.keys().await.unwrap();
    assert!(keys.len() == 2 && keys.iter().all(|key| key.state == KeyState::Compromised), "{keys:?}");
}

#[tokio::test]
async fn an_outcome_that_stays_unknown_is_told_as_such() {
    let (fixture, spy) = spied(Policy::profile_a());
    let host = Host::on(fixture);
    spy.end(unknown(ROLLED_BACK, 2 * RUNS));
    let answer = host.ask("POST", "/keys").json(json!({"name": "k"})).send().await;
    assert_eq!((answer.problem(), &answer.headers["retry-after"]), ((503, "outcome-unknown".to_owned()), &"1".parse().unwrap()));
}

#[tokio::test]
async fn the_same_idempotency_key_resolves_an_unknown_outcome() {
    for (endings, resolved) in [(COMMITTED, 200), (ROLLED_BACK, 201)] {
        let (fixture, spy) = spied(Policy::profile_a());
        let host = Host::on(fixture);
        let create = || host.ask("POST", "/keys").header("idempotency-key", "a").json(json!({"name": "k"})).send();
        spy.end(unknown(endings, RUNS));
        assert_eq!(create().await.problem(), (503, "outcome-unknown".to_owned()));
        assert_eq!(create().await.is(resolved).json()["replayed"], json!(resolved == 200));
        assert_eq!(host.fixture.keys().await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_store_that_is_away_is_told_as_such_and_nothing_of_it() {
    let (fixture, spy) = spied(Policy::profile_a());
    let host = Host::on(fixture);
    spy.set(Mode::Fails);
    for (method, path) in [("GET", "/keys"), ("POST", "/keys"), ("GET", "/active-keys")] {
        let answer = host.ask(method, path).json(json!({"name": "k"})).send().await;
        assert_eq!((answer.problem(), &answer.headers["retry-after"]), ((503, "unavailable".to_owned()), &"1".parse().unwrap()));
        assert!(!answer.text().contains("being told to"), "{}", answer.text());
    }
}
