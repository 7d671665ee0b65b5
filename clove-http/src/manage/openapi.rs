//! The description of the API, in OpenAPI 3.1.

use super::answer;
use axum::{extract::OriginalUri, response::Response};
use serde::Serialize;
use serde_json::Value;
use std::{collections::BTreeMap, future::Future, pin::Pin};
use utoipa::{
    ToSchema,
    openapi::{
        Array, ArrayBuilder, Components, InfoBuilder, Object, ObjectBuilder, OpenApi, OpenApiBuilder, Paths, RefOr, Schema,
        Server, Type,
    },
};

const FILE: &str = "/openapi.json";

/// A UUIDv7 in its canonical form.
pub(super) fn key_id() -> Object {
    let pattern = "^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$";
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).build()
}

/// The name of what is counted.
pub(super) fn unit() -> Object {
    ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[a-z0-9_.-]{1,64}$")).build()
}

/// Names of what a key may do.
pub(super) fn capabilities() -> Array {
    let segment = r"([a-z0-9_.-]{1,64}|\*)";
    let name = ObjectBuilder::new().schema_type(Type::String).pattern(Some(format!("^{segment}:{segment}$")));
    let about = "`resource:action` names, all within what the visitor may grant.";
    ArrayBuilder::new().items(name).max_items(Some(64)).description(Some(about)).build()
}

/// One of the core's names.
pub(super) fn words(words: impl IntoIterator<Item = &'static str>) -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words)).build()
}

/// What went wrong (RFC 9457). Further members are facts for programs.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemBody {
    /// The kind of problem, a name and no address.
    #[serde(rename = "type")]
    #[schema(pattern = "^urn:clove:problem:[a-z-]+$")]
    kind: String,
    title: String,
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// A sentence for a person.
    detail: String,
    /// The field of the body or the query that it is about, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    field: Option<String>,
}

/// The document, whatever it is served under.
pub(super) fn document(paths: Paths, schemas: BTreeMap<String, RefOr<Schema>>) -> OpenApi {
    let info = InfoBuilder::new()
        .title("clove: API keys")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("API keys of the account that is signed in, and, for administrators, of its organization."))
        .build();
    let mut components = Components::new();
    components.schemas = schemas.into_iter().collect();
    OpenApiBuilder::new().info(info).paths(paths).components(Some(components)).build()
}

type Answer = Pin<Box<dyn Future<Output = Result<Response, crate::Problem>> + Send>>;

/// Tells the document, with the paths as whoever asks sees them: a host may nest the router anywhere.
pub(super) fn answer(document: OpenApi) -> impl Fn(OriginalUri) -> Answer + Clone + Send + Sync + 'static {
    let document = serde_json::to_value(document).unwrap_or(Value::Null);
    move |OriginalUri(uri)| {
        let mut document = document.clone();
        Box::pin(async move {
            let base = uri.path().strip_suffix(FILE).filter(|base| !base.is_empty()).unwrap_or("/");
            if let (Some(document), Ok(server)) = (document.as_object_mut(), serde_json::to_value([Server::new(base)])) {
                document.insert("servers".to_owned(), server);
            }
            answer::json(http::StatusCode::OK, &document)
        })
    }
}
