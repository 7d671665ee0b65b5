//! The API is what its OpenAPI document says: schemathesis asks whatever the document allows, and much that it does not, and compares.

use crate::host::who;
use axum::Router;
use clove_core::{
    AccessLog, Budget, BudgetOf, By, CapabilitySet, Clove, MemoryStore, NewKey, Owner, Policy, Refill, Tier, TierName, Unit,
};
use clove_http::{NotSignedIn, Visitor, manage};
use http::request::Parts;
use std::{path::PathBuf, process::Command};

/// The folder of the clients that tests use.
fn clients() -> PathBuf {
    let folder = std::env::var_os("CLOVE_TEST_CLIENTS").map(PathBuf::from);
    folder.filter(|folder| folder.join("venv/bin/st").exists()).expect(
        "schemathesis is needed: run `cargo xtask test`, which installs it, or name the folder that has venv/bin/st by CLOVE_TEST_CLIENTS",
    )
}

/// So that what is created at random seldom fails for that.
async fn who_may_grant_all(parts: Parts) -> Result<Visitor, NotSignedIn> {
    who(parts).await.map(|visitor| visitor.may_grant(CapabilitySet::all()))
}

async fn serve() -> String {
    let units = Policy::profile_b().to_builder().tier(TierName::new("gold").unwrap(), Tier::unlimited());
    let budget = Budget::new(1_000, Refill::Monthly).unwrap();
    let policy = units.budget(BudgetOf::Account, Unit::new("tokens").unwrap(), budget).access_log(AccessLog::BestEffort);
    let clove = Clove::new(MemoryStore::new(), policy.build().unwrap());
    let by = By::new("test", "set up").unwrap();
    for account in ["ada", "boss"] {
        let (owner, new) =
            (Owner::new("acme", account).unwrap(), NewKey::named("laptop").unwrap().capabilities(CapabilitySet::none()));
        let issued = clove.create(&owner, new, &by).await.unwrap();
        assert!(clove.verify(&*issued.credential.unwrap().reveal()).await.unwrap().granted().is_some());
    }
    clove.flush().await.unwrap();
    let app = Router::new().nest("/api/v1", manage::router(clove, who_may_grant_all));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}/api/v1/openapi.json")
}

async fn schemathesis_finds_nothing(user: &str, phases: &str) {
    let url = serve().await;
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(clients().join("venv/bin/st"));
    command
        .current_dir(folder.path())
        .args(["--config-file", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/manage/schemathesis.toml")]);
    command.args([
        "run",
        &url,
        "--checks",
        "all",
        "--seed",
        "7",
        "--max-examples",
        "5",
        "--phases",
        phases,
        "--suppress-health-check",
        "too_slow",
        "--generation-database",
        "none",
    ]);
    command.args(["--no-color", "--continue-on-failure", "--header", &format!("test-user: {user}")]);
    let done = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let told = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_nothing_as_an_owner() {
    schemathesis_finds_nothing("acme/ada", "examples,fuzzing,stateful").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_nothing_as_an_administrator() {
    schemathesis_finds_nothing("acme/boss/administrator", "examples,coverage,fuzzing,stateful").await;
}
