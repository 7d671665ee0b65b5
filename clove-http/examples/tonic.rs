//! A service of gRPC behind the layer: `cargo run -p clove-http --features tower --example tonic`. Refusals are statuses of gRPC.

use clove_core::{By, CapabilitySet, Clove, Invalid, MemoryStore, NewKey, Owner, Policy};
use clove_http::{ApiKeyLayer, Edge};
use std::{error::Error, net::SocketAddr};
use tonic::transport::{Server, server::TcpIncoming};
use tonic_health::{ServingStatus, server::health_reporter};

/// Serves health checks to keys that may `health:read`, at an address of the system's choice.
pub(crate) fn serve(
    clove: Clove,
) -> Result<(SocketAddr, impl Future<Output = Result<(), tonic::transport::Error>>), Box<dyn Error>> {
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse()?)?;
    let address = incoming.local_addr()?;
    let protected = protected(clove)?;
    let serving = async move {
        let (reporter, health) = health_reporter();
        reporter.set_service_status("keys", ServingStatus::Serving).await;
        Server::builder().layer(protected).add_service(health).serve_with_incoming(incoming).await
    };
    Ok((address, serving))
}

fn protected(clove: Clove) -> Result<ApiKeyLayer, Invalid> {
    ApiKeyLayer::new(Edge::new(clove).answering_grpc()).require("health:read")
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let clove = Clove::new(MemoryStore::new(), Policy::profile_a());
    let capabilities = CapabilitySet::new(["health:read"])?;
    let by = By::new("ada", "first steps")?.may_grant(capabilities.clone());
    let new = NewKey::named("laptop")?.capabilities(capabilities);
    let issued = clove.create(&Owner::new("acme", "ada")?, new, &by).await?;
    let (address, serving) = serve(clove)?;
    let credential = issued.credential.ok_or("a new key has a credential")?.reveal();
    println!("grpcurl -plaintext -H 'x-api-key: {}' {address} grpc.health.v1.Health/Check", *credential);
    Ok(serving.await?)
}
