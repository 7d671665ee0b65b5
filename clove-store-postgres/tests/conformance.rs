//! The contract of a store, straight and through a pooler.

mod support;

use clove_testkit::conformance;
use support::{Schemas, Way};

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
