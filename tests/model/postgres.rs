//! The store on Postgres, a schema a case.

use crate::step::Step;
use clove::{OperationId, Store};
use clove_store_postgres::Options;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::runtime::Builder;

fn url(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} names no server: run `cargo xtask test`, or one test by `cargo xtask servers -- cargo test ...`, which bring one")
    })
}

/// Opened twice, as by two processes.
pub(crate) fn run(variable: &str, steps: &[Step]) {
    // Of the connections; the steps run on another one.
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let name = format!("clove_model_{}", OperationId::new(chrono::Utc::now()).to_string().replace('-', ""));
    let open = || {
        // Plain tables are sooner made.
        let options = Options::url(&url(variable)).unwrap().schema(&name).partitions(false).connections(8);
        Box::new(runtime.block_on(options.open()).unwrap()) as Box<dyn Store>
    };
    let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| crate::run([open(), open()], steps)));
    runtime.block_on(async {
        let mut connection = PgConnection::connect(&url("CLOVE_TEST_POSTGRES")).await.unwrap();
        connection.execute(AssertSqlSafe(format!("DROP SCHEMA IF EXISTS {name} CASCADE"))).await.unwrap();
    });
    ran.unwrap_or_else(|failed| std::panic::resume_unwind(failed));
}
