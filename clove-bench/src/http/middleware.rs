//! `middleware`: what the layer leaves of a server's requests a second.

use super::wrk::Wrk;
use crate::{
    figure::{Bar, Figure},
    fixture,
    measure::{at_once, in_turn},
};
use axum::{Router, routing::get};
use clove_core::{Clove, MemoryStore, NewKey};
use clove_http::{ApiKeyLayer, Edge};
use std::{net::SocketAddr, time::Duration};
use tokio::{net::TcpListener, runtime::Runtime};

const NAME: &str = "middleware";
const KEYS: usize = 1000;
const CONNECTIONS: usize = 32;
/// Each takes so long, as often as there are rounds.
const SPAN: Duration = Duration::from_secs(1);
const ROUNDS: usize = 21;

pub(crate) fn names() -> Vec<String> {
    vec![NAME.to_owned()]
}

pub(crate) fn run(_: &dyn Fn(&str) -> bool, report: &mut dyn FnMut(Figure)) {
    let clove = Clove::new(MemoryStore::new(), fixture::policy());
    let (owner, by) = (fixture::owner(0), fixture::by());
    let credentials: Vec<String> = (0..KEYS)
        .map(|_| {
            let issued = at_once(clove.create(&owner, NewKey::named("bench").expect("a name"), &by)).expect("a key");
            issued.credential.expect("a new key has a credential").reveal().to_string()
        })
        .collect();
    let runtime = Runtime::new().expect("a runtime");
    let bare = || Router::new().route("/", get(async || "hello"));
    let limit = serve(&runtime, bare());
    let figure = serve(&runtime, bare().layer(ApiKeyLayer::new(Edge::new(clove))));
    let wrk = Wrk::new(&credentials);
    let medians = in_turn(ROUNDS, |_| wrk.rate(limit, CONNECTIONS, SPAN) / 1e3, |_| wrk.rate(figure, CONNECTIONS, SPAN) / 1e3);
    report(Figure { name: NAME.to_owned(), value: medians.figure, limit: medians.limit, unit: "k/s", bar: Bar::AtLeast(0.9) });
}

/// On a free port, until the runtime ends.
fn serve(runtime: &Runtime, router: Router) -> SocketAddr {
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async { axum::serve(listener, router).await.expect("a server") });
        address
    })
}
