//! The contract of a store: straight, through a pooler, on plain tables, and as a role that may do what it needs and no more.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use clove_testkit::conformance;
use support::{Role, Schemas, Way};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_conforms() {
    let schemas = Schemas::new(Way::Direct);
    conformance::run(|| schemas.store()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_conforms_through_a_pooler() {
    let schemas = Schemas::new(Way::Pooled);
    conformance::run(|| schemas.store()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_conforms_on_plain_tables() {
    let schemas = Schemas::new(Way::Direct);
    conformance::run(|| async { schemas.options().partitions(false).open().await.unwrap() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_conforms_as_a_role_with_the_grants_alone() {
    let role = Role::new().await;
    conformance::run(|| async { role.store_of(&role.schema().await).await }).await;
}
