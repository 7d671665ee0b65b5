//! The Messages API that the gateway stands before, and the host's own key to it.

use bytes::Bytes;
use clove_http::X_API_KEY;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header, uri::PathAndQuery};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Builder, Client, ResponseFuture, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use std::{fmt, time::Duration};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a connection that nobody uses is kept.
const IDLE: Duration = Duration::from_secs(60);

/// Sends requests to the Messages API. It follows no redirects, uses no proxy, and changes no answer. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Upstream {
    connections: Connections,
    base: Uri,
    key: HeaderValue,
    patience: Duration,
}

#[derive(Clone)]
enum Connections {
    Plain(Client<HttpConnector, Full<Bytes>>),
    Tls(Client<HttpsConnector<HttpConnector>, Full<Bytes>>),
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// It cannot be reached, or the connection broke.
    Unreachable(hyper_util::client::legacy::Error),
    /// It was asked, and has said nothing for so long.
    Late(Duration),
    /// No request can be made of it.
    Unspeakable(http::Error),
    /// It sends elsewhere. A client would follow it, its key in hand.
    Redirect(StatusCode),
}

impl Upstream {
    /// The one at an address, such as `https://api.example.com`, with the host's own key. An answer may be so long in coming: one that
    /// is not streamed comes once it is whole.
    pub(crate) fn new(base: Uri, key: &str, patience: Duration) -> Result<Self, String> {
        let mut key = HeaderValue::try_from(key).map_err(|_| "the upstream's key has characters that no header may have")?;
        // Its Debug does not show it.
        key.set_sensitive(true);
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT));
        let mut client = Client::builder(TokioExecutor::new());
        client.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE);
        let connections = match base.scheme_str() {
            Some("http") if base.query().is_none() => Connections::Plain(client.build(connector)),
            Some("https") if base.query().is_none() => Connections::Tls(over_tls(&client, connector)?),
            _ => return Err("the upstream must be an address such as https://api.example.com".to_owned()),
        };
        Ok(Self { connections, base, key, patience })
    }

    /// Sends a request, and returns as soon as the answer begins. Dropping the future, or the answer's body, breaks the connection off.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, NoAnswer> {
        headers.insert(X_API_KEY, self.key.clone());
        // Compressed, an answer would come in lumps, and could not be read as it passes.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.address(path).map_err(NoAnswer::Unspeakable)?;
        *request.headers_mut() = headers;
        match tokio::time::timeout(self.patience, self.connections.request(request)).await {
            Ok(Ok(answer)) if answer.status().is_redirection() => Err(NoAnswer::Redirect(answer.status())),
            Ok(answer) => answer.map_err(NoAnswer::Unreachable),
            Err(_) => Err(NoAnswer::Late(self.patience)),
        }
    }

    fn address(&self, path: &str) -> Result<Uri, http::Error> {
        let mut parts = self.base.clone().into_parts();
        let path = format!("{}{path}", self.base.path().trim_end_matches('/'));
        parts.path_and_query = Some(PathAndQuery::try_from(path)?);
        Ok(Uri::from_parts(parts)?)
    }
}

fn over_tls(
    client: &Builder,
    mut connector: HttpConnector,
) -> Result<Client<HttpsConnector<HttpConnector>, Full<Bytes>>, String> {
    connector.enforce_http(false);
    let connector = HttpsConnectorBuilder::new()
        .with_native_roots()
        .map_err(|error| format!("this machine has no root certificates, which https needs: {error}"))?
        .https_only()
        .enable_http1()
        .wrap_connector(connector);
    Ok(client.build(connector))
}

impl Connections {
    fn request(&self, request: Request<Full<Bytes>>) -> ResponseFuture {
        match self {
            Self::Plain(client) => client.request(request),
            Self::Tls(client) => client.request(request),
        }
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("base", &self.base).finish_non_exhaustive()
    }
}

impl NoAnswer {
    /// Whether it is known that nothing was done. A request that was sent may be worked on, whatever becomes of its connection.
    pub(crate) fn costs_nothing(&self) -> bool {
        match self {
            Self::Unreachable(error) => error.is_connect(),
            Self::Late(_) => false,
            Self::Unspeakable(_) | Self::Redirect(_) => true,
        }
    }
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(_) => f.write_str("the upstream cannot be reached"),
            Self::Late(patience) => write!(f, "the upstream has not answered within {} seconds", patience.as_secs()),
            Self::Unspeakable(_) => f.write_str("no request can be made of it"),
            Self::Redirect(status) => write!(f, "the upstream redirects ({status}): give the address that it redirects to"),
        }
    }
}

impl std::error::Error for NoAnswer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreachable(error) => Some(error),
            Self::Late(_) | Self::Redirect(_) => None,
            Self::Unspeakable(error) => Some(error),
        }
    }
}
