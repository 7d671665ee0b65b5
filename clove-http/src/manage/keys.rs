//! Looking at keys, and editing them.

use super::{
    answer::{DoneBody, json},
    asked::Asked,
    body::bad_value,
    headers::entity_tag,
    openapi::capabilities,
    routes::{Routes, Told},
    shape::{KeyBody, LimitsBody, StatusName, metadata},
};
use crate::problem::Problem;
use axum::response::Response;
use clove_core::{
    ActiveKeys, ActiveLimit, CapabilitySet, Cursor, Description, Edit, Error, Invalid, ListKeys, Name, Scope, error::CorruptRow,
};
use http::{StatusCode, header};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use utoipa::{
    IntoParams, ToSchema,
    openapi::{HttpMethod, Required},
};

pub(super) fn routes(routes: Routes) -> Routes {
    let page =
        Told::new("list_keys", "Lists keys, newest first", "The pages after the first judge the status at the first one's time.");
    let one = Told::new("get_key", "Shows a key", "A key of another owner is as one that is not there.");
    let edit = Told::new("edit_key", "Changes a key", "What is not named stays. Metadata of null is none.");
    let active = Told::new("get_active_keys", "Counts active keys", "Of the visitor, or, for administrators, of an account.");
    routes
        .on(HttpMethod::Get, "/keys", list, page.query::<ListQuery>().answers::<KeyPage>(200, "A page", &[]))
        .on(HttpMethod::Get, "/keys/{id}", get, one.answers::<KeyBody>(200, "The key", &["ETag"]))
        .on(
            HttpMethod::Patch,
            "/keys/{id}",
            patch,
            edit.based_on_a_revision()
                .audited()
                .body::<EditBody>(Required::True)
                .answers::<DoneBody>(200, "What it did", &["ETag"])
                .refuses(&[409]),
        )
        .on(
            HttpMethod::Get,
            "/active-keys",
            active_keys,
            active.query::<AccountQuery>().answers::<ActiveBody>(200, "How many", &[]),
        )
}

/// Which keys.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// Only keys of this status.
    status: Option<StatusName>,
    /// How many.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<usize>,
    /// The page after the one that gave this as its `next`.
    #[param(min_length = 1)]
    after: Option<String>,
    /// Only keys of this account: for administrators, but for one's own.
    #[param(min_length = 1, max_length = 256)]
    account: Option<String>,
}

/// Keys.
#[derive(Serialize, ToSchema)]
struct KeyPage {
    keys: Vec<KeyBody>,
    /// Where the next page begins; null after the last.
    next: Option<String>,
    /// Ids of keys whose rows cannot be read. They can be revoked and deleted.
    unreadable: Vec<String>,
}

/// A cursor that a query holds.
pub(super) fn cursor(after: Option<&str>) -> Result<Option<Cursor>, Problem> {
    after.map(|after| after.parse().map_err(|_| bad_value("after"))).transpose()
}

/// What the core finds wrong with a page is in the query.
pub(super) fn of_query(error: &Error) -> Problem {
    match error {
        Error::Invalid(invalid) if invalid.field == "limit" => bad_value("limit"),
        Error::Invalid(_) => bad_value("after"),
        error => error.into(),
    }
}

async fn list(asked: Asked) -> Result<Response, Problem> {
    let query: ListQuery = asked.query()?;
    let scope = asked.scope(query.account.as_deref())?;
    let list = ListKeys { status: query.status.map(Into::into), limit: query.limit, after: cursor(query.after.as_deref())? };
    let page = asked.clove.list(scope, &list).await.map_err(|error| of_query(&error))?;
    let unreadable = |row: &CorruptRow| match row {
        CorruptRow::Key(id) => id.to_string(),
        row => row.to_string(),
    };
    json(
        StatusCode::OK,
        &KeyPage {
            keys: page.items.iter().map(|key| asked.told(key)).collect(),
            next: page.next.map(|next| next.to_string()),
            unreadable: page.corrupt.iter().map(unreadable).collect(),
        },
    )
}

async fn get(asked: Asked) -> Result<Response, Problem> {
    let key = asked.clove.get(asked.visitor.scope(), asked.key_id()?).await?;
    let mut response = json(StatusCode::OK, &asked.told(&key))?;
    response.headers_mut().insert(header::ETAG, entity_tag(key.revision));
    Ok(response)
}

/// What to change.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct EditBody {
    #[schema(min_length = 1, max_length = 64, nullable = false)]
    #[serde(default, deserialize_with = "given")]
    name: Option<String>,
    #[schema(max_length = 500, nullable = false)]
    #[serde(default, deserialize_with = "given")]
    description: Option<String>,
    #[schema(schema_with = capabilities)]
    #[serde(default, deserialize_with = "given")]
    capabilities: Option<Vec<String>>,
    /// By who may choose request limits.
    #[schema(nullable = false)]
    #[serde(default, deserialize_with = "given")]
    limits: Option<LimitsBody>,
    /// The host's own data: at most 4 KiB, 8 deep; null is none.
    #[schema(value_type = Option<serde_json::Value>)]
    #[serde(default, deserialize_with = "given")]
    metadata: Option<Box<RawValue>>,
}

/// A field that may be left out, and is not to be null unless its own type says so.
pub(super) fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl TryFrom<EditBody> for Edit {
    type Error = Invalid;
    fn try_from(body: EditBody) -> Result<Self, Invalid> {
        let mut edit = Self::new();
        if let Some(name) = body.name {
            edit = edit.name(Name::new(name)?);
        }
        if let Some(description) = body.description {
            edit = edit.description(Description::new(description)?);
        }
        if let Some(capabilities) = body.capabilities {
            edit = edit.capabilities(CapabilitySet::new(capabilities)?);
        }
        if let Some(limits) = body.limits {
            edit = edit.limits(limits.try_into()?);
        }
        if let Some(given) = body.metadata {
            edit = edit.metadata(metadata(&given)?);
        }
        Ok(edit)
    }
}

async fn patch(mut asked: Asked) -> Result<Response, Problem> {
    let (id, revision, order) = (asked.key_id()?, asked.revision()?, asked.by()?);
    let edit = Edit::try_from(asked.json::<EditBody>().await?)?;
    let (clove, scope) = (&asked.clove, asked.visitor.scope());
    let applied = order
        .give(|by| {
            let (scope, edit) = (scope.clone(), edit.clone());
            async move { clove.edit(scope, id, revision, edit, &by).await }
        })
        .await?;
    let key = Some(asked.told(&applied.key));
    DoneBody { changed: applied.changed, key }.answer()
}

/// Whose.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct AccountQuery {
    /// For administrators, but for one's own; the visitor's own unless sent.
    #[param(min_length = 1, max_length = 256)]
    account: Option<String>,
}

/// How many active keys there are.
#[derive(Serialize, ToSchema)]
pub(super) struct ActiveBody {
    active: u32,
    /// How many there may be; null is any number.
    limit: Option<u32>,
    /// As a person reads it: "1 / 2 active keys".
    text: String,
}

impl From<ActiveKeys> for ActiveBody {
    fn from(keys: ActiveKeys) -> Self {
        let limit = match keys.limit {
            ActiveLimit::AtMost(limit) => Some(limit),
            ActiveLimit::Unlimited => None,
        };
        Self { active: keys.active, limit, text: keys.to_string() }
    }
}

async fn active_keys(asked: Asked) -> Result<Response, Problem> {
    let query: AccountQuery = asked.query()?;
    let own = asked.visitor.owner();
    let owner = match asked.scope(query.account.as_deref())? {
        Scope::Owner(owner) => owner,
        Scope::Organization(_) => own.clone(),
    };
    let keys = asked.clove.active_keys(&owner).await?;
    json(StatusCode::OK, &ActiveBody::from(keys))
}
