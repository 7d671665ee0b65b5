//! What gives out a secret: creating a key, and rotating one.

use super::{
    answer::{CredentialBody, credential},
    asked::Asked,
    body::whole,
    keys::given,
    openapi::capabilities,
    routes::{Routes, Told},
    shape::{ExpiryBody, LimitsBody, metadata},
};
use crate::problem::Problem;
use axum::response::Response;
use chrono::TimeDelta;
use clove_core::{Action, CapabilitySet, Description, Invalid, NewKey, Status};
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::{
    ToSchema,
    openapi::{HttpMethod, Required},
};

pub(super) fn routes(routes: Routes) -> Routes {
    let create = Told::new("create_key", "Creates a key", "The visitor's own. Its secret is in this answer and in no other.");
    let rotate = Told::new(
        "rotate_key",
        "Gives a key a new secret",
        "It is in this answer and in no other. The older one may stay good for a grace. An administrator rotates keys of other people only \
         where the host's policy offers that.",
    );
    let replayed = "It was done before under the same Idempotency-Key: the key, without its secret";
    routes
        .on(
            HttpMethod::Post,
            "/keys",
            create_key,
            create
                .idempotent()
                .audited()
                .body::<NewKeyBody>(Required::True)
                .answers::<CredentialBody<'_>>(201, "The key and its secret", &["ETag", "Location"])
                .leads_to(201, &["get_key", "edit_key", "rotate_key", "disable_key", "enable_key", "revoke_key", "delete_key"])
                .answers::<CredentialBody<'_>>(200, replayed, &["ETag", "Idempotency-Replayed"])
                .refuses(&[404, 409, 429]),
        )
        .on(
            HttpMethod::Post,
            "/keys/{id}/rotate",
            rotate_key,
            rotate
                .based_on_a_revision()
                .idempotent()
                .audited()
                .body::<RotateBody>(Required::False)
                .answers::<CredentialBody<'_>>(
                    200,
                    "The key and its new secret; replayed, without",
                    &["ETag", "Idempotency-Replayed"],
                )
                .refuses(&[409]),
        )
}

/// A key to be created.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"name": "laptop", "expiry": {"days": 90}}))]
#[serde(deny_unknown_fields)]
struct NewKeyBody {
    /// On one line.
    #[schema(min_length = 1, max_length = 64)]
    name: String,
    /// What it is for.
    #[serde(default)]
    #[schema(max_length = 500)]
    description: String,
    /// The policy's default unless sent.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    expiry: Option<ExpiryBody>,
    /// The policy's default unless sent.
    #[serde(default, deserialize_with = "given")]
    #[schema(schema_with = capabilities)]
    capabilities: Option<Vec<String>>,
    /// By who may choose request limits.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    limits: Option<LimitsBody>,
    /// The host's own data: at most 4 KiB, 8 deep; null is none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<serde_json::Value>)]
    metadata: Option<Box<RawValue>>,
}

impl TryFrom<NewKeyBody> for NewKey {
    type Error = Invalid;
    fn try_from(body: NewKeyBody) -> Result<Self, Invalid> {
        let mut new = Self::named(body.name)?.description(Description::new(body.description)?);
        if let Some(expiry) = body.expiry {
            new = new.expiry(expiry.into());
        }
        if let Some(capabilities) = body.capabilities {
            new = new.capabilities(CapabilitySet::new(capabilities)?);
        }
        if let Some(limits) = body.limits {
            new = new.limits(limits.try_into()?);
        }
        if let Some(given) = body.metadata {
            new = new.metadata(metadata(&given)?);
        }
        Ok(new)
    }
}

async fn create_key(mut asked: Asked) -> Result<Response, Problem> {
    let order = asked.by_once("create")?;
    let new = NewKey::try_from(asked.json::<NewKeyBody>().await?)?;
    let (clove, owner) = (&asked.clove, asked.visitor.owner());
    let issued = order
        .give(|by| {
            let new = new.clone();
            async move { clove.create(owner, new, &by).await }
        })
        .await?;
    let key = asked.told(&issued.key);
    let mut response = credential(StatusCode::CREATED, &key, &issued)?;
    // Relative to the address of the list, whatever it is nested under (RFC 9110 section 10.2.2).
    if let Some(place) = HeaderValue::from_str(&format!("keys/{}", key.id)).ok().filter(|_| issued.credential.is_some()) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// How to rotate.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RotateBody {
    /// For how many seconds the older secret stays good: no longer than the policy says, and none for a suspended key.
    #[serde(default, deserialize_with = "whole")]
    #[schema(maximum = 3_153_600_000_u64)]
    grace_seconds: u32,
}

async fn rotate_key(mut asked: Asked) -> Result<Response, Problem> {
    let (id, revision, order) = (asked.key_id()?, asked.revision()?, asked.by_once("rotate")?);
    let grace = TimeDelta::seconds(asked.json_if_any::<RotateBody>().await?.grace_seconds.into());
    let (clove, visitor) = (&asked.clove, &asked.visitor);
    // It shows a secret: another person's key is only rotated where the policy offers that to administrators.
    let offered = clove.policy().offered(visitor.role(), Status::Active);
    let scope = if offered.contains(&Action::Rotate) { visitor.scope() } else { visitor.owner().into() };
    let issued = order
        .give(|by| {
            let scope = scope.clone();
            async move { clove.rotate(scope, id, revision, grace, &by).await }
        })
        .await?;
    credential(StatusCode::OK, &asked.told(&issued.key), &issued)
}
