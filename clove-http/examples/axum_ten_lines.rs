//! Protects a route of axum: `cargo run -p clove-http --features axum --example axum_ten_lines`, and paste what it prints.

use axum::{Router, routing::get};
use clove_core::{By, CapabilitySet, Clove, Invalid, MemoryStore, NewKey, Owner, Policy};
use clove_http::{ApiKeyLayer, Edge, Granted};
use std::error::Error;

/// What is behind the layer is reached with a key that may `hello:read`, and with nothing else.
pub(crate) fn app(clove: Clove) -> Result<Router, Invalid> {
    let protected = ApiKeyLayer::new(Edge::new(clove)).require("hello:read")?;
    Ok(Router::new().route("/hello", get(hello)).layer(protected))
}

async fn hello(Granted(grant): Granted) -> String {
    format!("Hello, {}!\n", grant.owner().account)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let clove = Clove::new(MemoryStore::new(), Policy::profile_a());
    let capabilities = CapabilitySet::new(["hello:read"])?;
    let by = By::new("ada", "first steps")?.may_grant(capabilities.clone());
    let new = NewKey::named("laptop")?.capabilities(capabilities);
    let issued = clove.create(&Owner::new("acme", "ada")?, new, &by).await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let credential = issued.credential.ok_or("a new key has a credential")?.reveal();
    println!("curl -i -H 'x-api-key: {}' http://{}/hello", *credential, listener.local_addr()?);
    Ok(axum::serve(listener, app(clove)?).await?)
}
