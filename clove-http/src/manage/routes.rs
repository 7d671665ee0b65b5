//! Routes, each with its description: what a router answers and what its OpenAPI document says are said in one place.

use super::{Management, openapi};
use crate::problem::{MEDIA_TYPE, Problem};
use axum::{
    Router,
    handler::Handler,
    http::StatusCode,
    routing::{MethodFilter, on},
};
use std::{collections::BTreeMap, sync::Arc};
use utoipa::{
    IntoParams, ToSchema,
    openapi::{
        ContentBuilder, HeaderBuilder, HttpMethod, ObjectBuilder, Paths, Ref, RefOr, Required, ResponseBuilder, Schema, Type,
        link::Link,
        path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
        request_body::RequestBodyBuilder,
        response::Response,
    },
};

type State = Arc<Management>;
type Schemas = BTreeMap<String, RefOr<Schema>>;

/// A router, and its description.
#[derive(Default)]
pub(super) struct Routes {
    router: Router<State>,
    paths: Paths,
    schemas: Schemas,
}

impl Routes {
    /// Adds an operation.
    pub(super) fn on<H, T>(mut self, method: HttpMethod, path: &'static str, handler: H, told: Told) -> Self
    where
        H: Handler<T, State>,
        T: 'static,
    {
        let filter = match method {
            HttpMethod::Post => MethodFilter::POST,
            HttpMethod::Put => MethodFilter::PUT,
            HttpMethod::Patch => MethodFilter::PATCH,
            HttpMethod::Delete => MethodFilter::DELETE,
            _ => MethodFilter::GET,
        };
        self.router = self.router.route(path, on(filter, handler));
        let (operation, schemas) = told.finish(path);
        self.paths.add_path_operation(path, vec![method], operation);
        self.schemas.extend(schemas);
        self
    }

    /// The router, which answers everything else with problems, and with its description.
    pub(super) fn finish(self) -> Router<State> {
        let document = openapi::document(self.paths, self.schemas);
        self.router
            .route("/openapi.json", on(MethodFilter::GET, openapi::answer(document)))
            .fallback(|| async {
                let detail = "Nothing is at this path.";
                Problem::new(StatusCode::NOT_FOUND, "no-such-path", "There is no such path", detail)
            })
            .method_not_allowed_fallback(|| async {
                let detail = "This path takes other methods: see Allow.";
                Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "The method is not allowed here", detail)
            })
    }
}

/// The description of an operation.
pub(super) struct Told {
    operation: OperationBuilder,
    statuses: BTreeMap<u16, RefOr<Response>>,
    schemas: Schemas,
}

impl Told {
    /// An operation that anyone may ask for, with its id, one line on it, and more. Its errors are those of all.
    pub(super) fn new(id: &'static str, summary: &'static str, description: &'static str) -> Self {
        let operation = OperationBuilder::new().operation_id(Some(id)).summary(Some(summary)).description(Some(description));
        let told = Self { operation, statuses: BTreeMap::new(), schemas: BTreeMap::new() };
        told.refuses(&[400, 401, 403, 500, 503])
    }

    /// Its query.
    pub(super) fn query<T: IntoParams>(mut self) -> Self {
        for parameter in T::into_params(|| Some(ParameterIn::Query)) {
            self.operation = self.operation.parameter(parameter);
        }
        self
    }

    /// A header that it takes.
    pub(super) fn header(mut self, name: &'static str, about: &'static str, required: Required, schema: ObjectBuilder) -> Self {
        let header = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Header).required(required);
        self.operation = self.operation.parameter(header.description(Some(about)).schema(Some(schema)));
        self
    }

    /// It is on record, with a reason.
    pub(super) fn audited(self) -> Self {
        let reason = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(6000));
        let about = "Why, for the audit trail: 1 to 500 visible characters on one line, as percent-encoded UTF-8.";
        self.header("Audit-Reason", about, Required::False, reason.pattern(Some("^([ -$&-~]|%[0-9A-Fa-f]{2})+$")))
    }

    /// It can be repeated, and is carried out once.
    pub(super) fn idempotent(self) -> Self {
        let key = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[!-~]{1,255}$"));
        let about = "A repetition with the same one changes nothing, and answers with the key without its secret.";
        self.header("Idempotency-Key", about, Required::False, key)
    }

    /// It is based on a revision.
    pub(super) fn based_on_a_revision(self) -> Self {
        let tag = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^(W/)?\"[!#-~]*\"$"));
        let about = "The ETag of the key as it was seen.";
        self.header("If-Match", about, Required::True, tag).refuses(&[412, 428])
    }

    /// Its body.
    pub(super) fn body<T: ToSchema>(mut self, required: Required) -> Self {
        let content = ContentBuilder::new().schema(Some(self.refer::<T>())).build();
        let body = RequestBodyBuilder::new().required(Some(required)).content("application/json", content).build();
        self.operation = self.operation.request_body(Some(body));
        self.refuses(&[413, 415, 422])
    }

    /// What it answers.
    pub(super) fn answers<T: ToSchema>(mut self, status: u16, about: &'static str, headers: &[&'static str]) -> Self {
        let content = ContentBuilder::new().schema(Some(self.refer::<T>())).build();
        let response = ResponseBuilder::new().description(about).content("application/json", content);
        self.status(status, response, headers)
    }

    /// What can be done next with the key of an answer.
    pub(super) fn leads_to(mut self, status: u16, operations: &[&'static str]) -> Self {
        if let Some(RefOr::T(response)) = self.statuses.get_mut(&status) {
            for operation in operations {
                let link = Link::builder().operation_id(*operation).parameter("path.id", "$response.body#/api_key_id");
                let link = match *operation {
                    "edit_key" | "rotate_key" => link.parameter("header.If-Match", "$response.header.ETag"),
                    _ => link,
                };
                response.links.insert((*operation).to_owned(), RefOr::T(link.build()));
            }
        }
        self
    }

    /// It answers with no body.
    pub(super) fn answers_nothing(self, status: u16, about: &'static str) -> Self {
        self.status(status, ResponseBuilder::new().description(about), &[])
    }

    /// Statuses that come with a problem.
    pub(super) fn refuses(mut self, statuses: &[u16]) -> Self {
        let schema = self.refer::<openapi::ProblemBody>();
        for status in statuses {
            let about = StatusCode::from_u16(*status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default();
            let content = ContentBuilder::new().schema(Some(schema.clone())).build();
            let response = ResponseBuilder::new().description(about).content(MEDIA_TYPE, content);
            let headers: &[&str] = if matches!(status, 429 | 503) { &["Retry-After"] } else { &[] };
            self = self.status(*status, response, headers);
        }
        self
    }

    fn status(mut self, status: u16, response: ResponseBuilder, headers: &[&'static str]) -> Self {
        let headers = headers.iter().chain(&["Cache-Control"]);
        let response = headers.fold(response, |response, name| response.header(*name, header(name)));
        self.statuses.insert(status, response.build().into());
        self
    }

    fn refer<T: ToSchema>(&mut self) -> RefOr<Schema> {
        let mut schemas = vec![(T::name().into_owned(), T::schema())];
        T::schemas(&mut schemas);
        self.schemas.extend(schemas);
        Ref::from_schema_name(T::name()).into()
    }

    fn finish(mut self, path: &str) -> (Operation, Schemas) {
        for name in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
            self.operation = self.operation.parameter(in_path(name));
            self = self.refuses(&[404]);
        }
        for (status, response) in std::mem::take(&mut self.statuses) {
            self.operation = self.operation.response(status.to_string(), response);
        }
        (self.operation.build(), self.schemas)
    }
}

fn header(name: &str) -> utoipa::openapi::Header {
    let text = ObjectBuilder::new().schema_type(Type::String);
    let (schema, about) = match name {
        "Cache-Control" => (text.enum_values(Some(["no-store"])), "No cache keeps it."),
        "ETag" => (text.pattern(Some("^\"[0-9]+\"$")), "The key's revision, in quotes."),
        "Location" => (text, "Where the key is, relative to this request's own address."),
        "Retry-After" => {
            (ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)), "After how many seconds to try again.")
        }
        _ => (text.enum_values(Some(["true"])), "The command was carried out before."),
    };
    HeaderBuilder::new().schema(Some(schema)).description(Some(about)).build()
}

fn in_path(name: &str) -> Parameter {
    let text = ObjectBuilder::new().schema_type(Type::String);
    let (schema, about) = match name {
        "id" => (openapi::key_id(), "The key's id."),
        "unit" => (openapi::unit(), "What is counted."),
        _ => (text.min_length(Some(1)).max_length(Some(256)).build(), "The account."),
    };
    let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path).required(Required::True);
    parameter.description(Some(about)).schema(Some(schema)).build()
}
