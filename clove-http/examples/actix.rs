//! The same for actix-web, whose HTTP types are its own, of the four functions that any middleware is made of:
//! `cargo run -p clove-http --example actix`.

use actix_web::{
    App, Error, HttpMessage, HttpResponse, HttpServer,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{self as actix_http, header},
    middleware::{Next, from_fn},
    web,
};
use clove_core::{By, CapabilitySet, Clove, Grant, MemoryStore, NewKey, Owner, Policy};
use clove_http::{Asked, Edge};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use std::rc::Rc;

/// What the middleware is told.
#[derive(Clone)]
pub(crate) struct Protected {
    edge: Edge,
    asked: Rc<Asked>,
}

impl Protected {
    pub(crate) fn new(edge: Edge, asked: Asked) -> Self {
        Self { edge, asked: Rc::new(asked) }
    }
}

/// Takes, verifies, and refuses or marks.
pub(crate) async fn protect(
    protected: Protected,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Protected { edge, asked } = protected;
    let mut headers = to_standard(request.headers());
    // What is no address for `http` is none that actix would have routed.
    let uri: Uri = request.uri().to_string().parse().unwrap_or_default();
    let taken = edge.take(&uri, &mut headers);
    *request.headers_mut() = from_standard(&headers);
    let verified = match taken {
        Ok(presented) => edge.verify(&presented, &asked).await,
        Err(refused) => Err(refused),
    };
    match verified {
        Ok(grant) => {
            request.extensions_mut().insert(grant.clone());
            let mut response = next.call(request).await?.map_into_boxed_body();
            let mut headers = to_standard(response.headers());
            edge.granted(&grant, &mut headers);
            *response.headers_mut() = from_standard(&headers);
            Ok(response)
        }
        Err(refused) => {
            let (head, body) = edge.refuse(&refused, &headers).into_parts();
            let status = actix_http::StatusCode::from_u16(head.status.as_u16()).unwrap_or_default();
            let mut response = HttpResponse::new(status).set_body(BoxBody::new(body));
            *response.headers_mut() = from_standard(&head.headers);
            Ok(request.into_response(response))
        }
    }
}

/// Headers by their bytes: both crates hold them to the same rules.
fn to_standard(headers: &header::HeaderMap) -> HeaderMap {
    let pair = |(name, value): (&header::HeaderName, &header::HeaderValue)| {
        Some((HeaderName::from_bytes(name.as_ref()).ok()?, HeaderValue::from_bytes(value.as_bytes()).ok()?))
    };
    let mut standard = HeaderMap::new();
    for (name, value) in headers.iter().filter_map(pair) {
        standard.append(name, value);
    }
    standard
}

fn from_standard(headers: &HeaderMap) -> header::HeaderMap {
    let pair = |(name, value): (&HeaderName, &HeaderValue)| {
        Some((header::HeaderName::from_bytes(name.as_ref()).ok()?, header::HeaderValue::from_bytes(value.as_bytes()).ok()?))
    };
    let mut actix = header::HeaderMap::new();
    for (name, value) in headers.iter().filter_map(pair) {
        actix.append(name, value);
    }
    actix
}

/// Behind the middleware.
pub(crate) async fn hello(grant: web::ReqData<Grant>) -> String {
    format!("Hello, {}!\n", grant.owner().account)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let clove = Clove::new(MemoryStore::new(), Policy::profile_a());
    let capabilities = CapabilitySet::new(["hello:read"])?;
    let by = By::new("ada", "first steps")?.may_grant(capabilities.clone());
    let new = NewKey::named("laptop")?.capabilities(capabilities);
    let issued = clove.create(&Owner::new("acme", "ada")?, new, &by).await?;
    let (edge, asked) = (Edge::new(clove), Asked::new().require("hello:read")?);
    let server = HttpServer::new(move || {
        let protected = Protected::new(edge.clone(), asked.clone());
        let protect = from_fn(move |request, next| protect(protected.clone(), request, next));
        App::new().route("/hello", web::get().to(hello)).wrap(protect)
    });
    let server = server.workers(1).bind("127.0.0.1:0")?;
    let credential = issued.credential.ok_or("a new key has a credential")?.reveal();
    for address in server.addrs() {
        println!("curl -i -H 'x-api-key: {}' http://{address}/hello", *credential);
    }
    Ok(server.run().await?)
}
