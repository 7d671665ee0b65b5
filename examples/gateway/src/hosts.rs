//! Under which names people reach the gateway. A page of another name that leads here (DNS rebinding) is of its own origin to a browser, and
//! could do all that the gateway's pages can.

use axum::{
    extract::{Request, State},
    middleware::{self, FromFnLayer, Next},
    response::{IntoResponse, Response},
};
use http::{StatusCode, Uri, header, uri::Authority};
use std::{future::Future, net::SocketAddr, pin::Pin, sync::Arc};

const HTTP: u16 = 80;
const HTTPS: u16 = 443;

/// What may stand in `Host`, or as the authority of an absolute address, where a browser is to be served.
#[derive(Clone, Debug)]
pub(crate) struct Hosts(Arc<[Name]>);

#[derive(Debug, PartialEq, Eq)]
struct Name {
    host: String,
    port: u16,
    /// The one that a browser leaves out.
    default: u16,
}

type Answer = Pin<Box<dyn Future<Output = Response> + Send>>;
type Layer = FromFnLayer<fn(State<Hosts>, Request, Next) -> Answer, Hosts, (State<Hosts>, Request)>;

impl Hosts {
    /// Where it listens, this machine's names for itself at that port, and where people are told that it is.
    pub(crate) fn new(listening: SocketAddr, public: Option<&Uri>) -> Self {
        let here = SocketAddr::new(listening.ip(), 0).to_string();
        let here = here.strip_suffix(":0").unwrap_or_default().to_owned();
        let local = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned);
        let local = local.into_iter().chain([here]).map(|host| Name { host, port: listening.port(), default: HTTP });
        let public = public.and_then(|url| {
            let default = if url.scheme_str() == Some("https") { HTTPS } else { HTTP };
            let host = url.host()?.to_ascii_lowercase();
            Some(Name { host, port: url.port_u16().unwrap_or(default), default })
        });
        Self(local.chain(public).collect())
    }

    /// Answers what came under another name with 421 (RFC 9110 section 15.5.20).
    pub(crate) fn layer(self) -> Layer {
        middleware::from_fn_with_state(self, |State(hosts), request, next| Box::pin(check(hosts, request, next)))
    }

    fn has(&self, request: &Request) -> bool {
        let asked = match request.uri().authority() {
            // It counts, and not the header beside it (RFC 9112 section 3.2.2).
            Some(authority) => Some(authority.clone()),
            None => {
                let mut hosts = request.headers().get_all(header::HOST).iter();
                hosts.next().filter(|_| hosts.next().is_none()).and_then(|host| Authority::try_from(host.as_bytes()).ok())
            }
        };
        asked.is_some_and(|asked| self.is_one(&asked))
    }

    fn is_one(&self, asked: &Authority) -> bool {
        // A port that is none, as 99999, is left out by the parser.
        let is_plain = !asked.as_str().contains('@') && (asked.port().is_none() == asked.host().eq(asked.as_str()));
        is_plain
            && self.0.iter().any(|name| {
                asked.host().eq_ignore_ascii_case(&name.host) && asked.port_u16().unwrap_or(name.default) == name.port
            })
    }
}

async fn check(hosts: Hosts, request: Request, next: Next) -> Response {
    if hosts.has(&request) {
        return next.run(request).await;
    }
    let why = "The gateway has no pages under this name. Open it where it listens, or name the address by --public-url.";
    (StatusCode::MISDIRECTED_REQUEST, why).into_response()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn serves(listening: &str, public: Option<&'static str>, asked: &str) -> bool {
        let hosts = Hosts::new(listening.parse().unwrap(), public.map(Uri::from_static).as_ref());
        hosts.has(&Request::get("/").header(header::HOST, asked).body(axum::body::Body::empty()).unwrap())
    }

    #[test]
    fn pages_are_at_the_listening_address_this_machines_names_and_the_public_url() {
        for asked in ["10.0.0.7:8080", "localhost:8080", "LOCALHOST:8080", "127.0.0.1:8080", "[::1]:8080"] {
            assert!(serves("10.0.0.7:8080", None, asked), "{asked}");
        }
        for asked in ["keys.example", "Keys.Example:443", "127.0.0.1:8080"] {
            assert!(serves("127.0.0.1:8080", Some("https://keys.example/"), asked), "{asked}");
        }
        assert!(serves("[fd00::7]:8080", Some("http://keys.example:81"), "[fd00::7]:8080"));
        assert!(serves("[fd00::7]:8080", Some("http://keys.example:81"), "keys.example:81"));
        assert!(serves("127.0.0.1:80", None, "localhost"));
    }

    #[test]
    fn no_other_name_or_port_is_served() {
        let others = [
            "",
            "evil.example",
            "evil.example:8080",
            "localhost",
            "localhost:80",
            "localhost:443",
            "localhost.evil.example:8080",
            "keys.example:80",
            "keys.example:8080",
            "keys.example:99999",
            "keys.example.",
            "ada@keys.example",
            "keys.example/",
            "keys.example, evil.example",
        ];
        for asked in others {
            assert!(!serves("127.0.0.1:8080", Some("https://keys.example"), asked), "{asked}");
        }
    }

    #[test]
    fn what_is_named_twice_or_not_at_all_is_served_nowhere_and_an_absolute_address_counts_before_the_header() {
        let hosts = Hosts::new(SocketAddr::from(([127, 0, 0, 1], 8080)), None);
        let (own, other) = ("localhost:8080", "evil.example:8080");
        let asked = |url: &str, names: &[&str]| {
            let request = names.iter().fold(Request::get(url), |request, name| request.header(header::HOST, *name));
            hosts.has(&request.body(axum::body::Body::empty()).unwrap())
        };
        assert!(asked("/", &[own]));
        assert!(!asked("/", &[]));
        assert!(!asked("/", &[own, own]));
        assert!(asked("http://localhost:8080/", &[other]));
        assert!(!asked("http://evil.example:8080/", &[own]));
    }
}
