//! Encrypted connections: to a server whose certificate the right authority has signed, and to no other.

#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "support/cluster.rs"]
mod cluster;

use clove_core::{By, Clove, NewKey, Owner, Policy, StoreError};
use clove_store_postgres::{Options, PostgresStore};
use cluster::Cluster;
use std::error::Error;

async fn open(cluster: &Cluster, host: &str, authority: &str) -> Result<PostgresStore, StoreError> {
    let url = Cluster::url(cluster.port()).replace("127.0.0.1", host);
    let url = format!("{url}?sslmode=verify-full&sslrootcert={}", cluster.path(authority));
    Options::url(&url).unwrap().open().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_takes_the_server_that_its_authority_vouches_for_and_no_other() {
    let cluster = Cluster::start();
    cluster.encrypt().await;
    let clove = Clove::new(open(&cluster, "127.0.0.1", "ca.crt").await.unwrap(), Policy::default());
    let (owner, by) = (Owner::new("acme", "ada").unwrap(), By::new("ada", "a test").unwrap());
    let issued = clove.create(&owner, NewKey::named("a key").unwrap(), &by).await.unwrap();
    let credential = issued.credential.unwrap().reveal().to_string();
    assert!(clove.verify(&credential).await.unwrap().granted().is_some());
    let encrypted = "SELECT count(*) > 0 AND bool_and(s.ssl) FROM pg_stat_ssl s JOIN pg_stat_activity a ON a.pid = s.pid \
                     WHERE a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()";
    assert!(sqlx::query_scalar::<_, bool>(encrypted).fetch_one(&mut cluster.connect().await).await.unwrap());
    // Another authority; and a host that the certificate does not name.
    for (host, authority) in [("127.0.0.1", "other.crt"), ("localhost", "ca.crt")] {
        let refused = open(&cluster, host, authority).await.unwrap_err();
        let source = refused.source().unwrap().to_string();
        assert!(source.contains("encrypted connection"), "{host}, {authority}: {refused}: {source}");
    }
}
