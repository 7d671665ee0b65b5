//! What is on record: the audit trail and the access log.

use super::{
    answer::json,
    asked::Asked,
    body::bad_value,
    keys::{cursor, of_query},
    openapi::{key_id, words},
    routes::{Routes, Told},
    shape::WindowBody,
};
use crate::problem::Problem;
use axum::response::Response;
use chrono::{DateTime, Utc};
use clove_core::{AccessEntry, AccessOutcome, Action, AuditEvent, KeyId, ListAccess, ListAudit, Page};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{
    IntoParams, ToSchema,
    openapi::{HttpMethod, Object},
};

pub(super) fn routes(routes: Routes) -> Routes {
    let audit = Told::new(
        "list_audit",
        "Reads the audit trail, newest first",
        "Who did what, when and why. It outlives what it speaks of.",
    );
    let access = Told::new(
        "list_access",
        "Reads the access log, newest first",
        "Requests whose secret was proven, where the host keeps a log. A page may have fewer than asked for, or none, while there is a next one.",
    );
    routes.on(HttpMethod::Get, "/audit", list_audit, audit.query::<AuditQuery>().answers::<AuditPage>(200, "A page", &[])).on(
        HttpMethod::Get,
        "/access-log",
        list_access,
        access.query::<AccessQuery>().answers::<AccessPage>(200, "A page", &[]),
    )
}

fn action_name() -> Object {
    words(Action::ALL.map(Action::as_str))
}

fn outcome_name() -> Object {
    words(AccessOutcome::ALL.map(AccessOutcome::as_str))
}

pub(super) fn key_of(text: Option<&str>) -> Result<Option<KeyId>, Problem> {
    text.map(|text| KeyId::parse(text).map_err(|_| bad_value("key"))).transpose()
}

/// A page in JSON.
pub(super) fn answer<T, B: Serialize>(
    page: Page<T>,
    body: impl Fn(&T) -> B,
    made: impl Fn(Vec<B>, Option<String>, usize) -> Result<Response, Problem>,
) -> Result<Response, Problem> {
    let next = page.next.map(|next| next.to_string());
    made(page.items.iter().map(body).collect(), next, page.corrupt.len())
}

/// Which events.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct AuditQuery {
    /// Only events of this key.
    #[param(schema_with = key_id)]
    key: Option<String>,
    /// Only this action.
    #[param(schema_with = action_name)]
    action: Option<String>,
    /// Only events at this time or later.
    from: Option<DateTime<Utc>>,
    /// Only events before this time.
    until: Option<DateTime<Utc>>,
    /// Only events of this account: for administrators, but for one's own.
    #[param(min_length = 1, max_length = 256)]
    account: Option<String>,
    /// How many.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<usize>,
    /// The page after the one that gave this as its `next`.
    #[param(min_length = 1)]
    after: Option<String>,
}

/// Events.
#[derive(Serialize, ToSchema)]
struct AuditPage {
    events: Vec<EventBody>,
    /// Where the next page begins; null after the last.
    next: Option<String>,
    /// How many could not be read.
    unreadable: usize,
}

/// What was done.
#[derive(Serialize, ToSchema)]
struct EventBody {
    id: String,
    /// The command that it is of.
    operation: String,
    at: DateTime<Utc>,
    actor: String,
    reason: String,
    #[schema(schema_with = action_name)]
    action: &'static str,
    /// Whose; null for what was done to the whole organization.
    account: Option<String>,
    /// To which key; null if to none.
    key: Option<EventKeyBody>,
    changed: bool,
    /// What changed, in words.
    detail: String,
}

/// A key as it was then.
#[derive(Serialize, ToSchema)]
struct EventKeyBody {
    #[schema(schema_with = key_id)]
    id: String,
    name: String,
    /// Its stored state before; null if there was none, or none that could be read.
    from: Option<&'static str>,
    /// Its stored state after; null if it is gone.
    to: Option<&'static str>,
}

impl From<&AuditEvent> for EventBody {
    fn from(event: &AuditEvent) -> Self {
        Self {
            id: event.id.to_string(),
            operation: event.operation.to_string(),
            at: event.at,
            actor: event.actor.as_str().to_owned(),
            reason: event.reason.as_str().to_owned(),
            action: event.action.as_str(),
            account: event.account.as_ref().map(|account| account.as_str().to_owned()),
            key: event.key.as_ref().map(|key| EventKeyBody {
                id: key.id.to_string(),
                name: key.name.as_str().to_owned(),
                from: key.from.map(|state| state.as_str()),
                to: key.to.map(|state| state.as_str()),
            }),
            changed: event.changed,
            detail: event.detail.clone(),
        }
    }
}

async fn list_audit(asked: Asked) -> Result<Response, Problem> {
    let query: AuditQuery = asked.query()?;
    let list = ListAudit {
        key: key_of(query.key.as_deref())?,
        action: query.action.map(|name| Action::parse(&name).ok_or_else(|| bad_value("action"))).transpose()?,
        from: query.from,
        until: query.until,
        limit: query.limit,
        after: cursor(query.after.as_deref())?,
    };
    let scope = asked.scope(query.account.as_deref())?;
    let page = asked.clove.audit(scope, &list).await.map_err(|error| of_query(&error))?;
    answer(
        page,
        |event| EventBody::from(event),
        |events, next, unreadable| json(StatusCode::OK, &AuditPage { events, next, unreadable }),
    )
}

/// Which requests.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct AccessQuery {
    /// Only requests with this key.
    #[param(schema_with = key_id)]
    key: Option<String>,
    /// Only those with this outcome.
    #[param(schema_with = outcome_name)]
    outcome: Option<String>,
    /// Only those at this time or later.
    from: Option<DateTime<Utc>>,
    /// Only those before this time.
    until: Option<DateTime<Utc>>,
    /// Only those with keys of this account: for administrators, but for one's own.
    #[param(min_length = 1, max_length = 256)]
    account: Option<String>,
    /// How many.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<usize>,
    /// The page after the one that gave this as its `next`.
    #[param(min_length = 1)]
    after: Option<String>,
}

/// Requests.
#[derive(Serialize, ToSchema)]
struct AccessPage {
    requests: Vec<RequestBody>,
    /// Where the next page begins; null after the last.
    next: Option<String>,
    /// How many could not be read.
    unreadable: usize,
}

/// A request whose secret was proven.
#[derive(Serialize, ToSchema)]
struct RequestBody {
    id: String,
    at: DateTime<Utc>,
    #[schema(schema_with = key_id)]
    key: String,
    account: String,
    #[schema(schema_with = outcome_name)]
    outcome: &'static str,
    /// The window that refused it, or the one with the smallest share left; null if there is none.
    limit: Option<LeftBody>,
    /// How many places of each window it took, or asked for.
    cost: u64,
    /// The host's label of the endpoint; null if it gave none.
    endpoint: Option<String>,
}

/// A window as a request left it.
#[derive(Serialize, ToSchema)]
struct LeftBody {
    /// `key` or `account`.
    of: &'static str,
    window: WindowBody,
    left: u64,
}

impl From<&AccessEntry> for RequestBody {
    fn from(entry: &AccessEntry) -> Self {
        let left =
            |limit: clove_core::AccessLimit| LeftBody { of: limit.of.as_str(), window: limit.window.into(), left: limit.left };
        Self {
            id: entry.id.to_string(),
            at: entry.at,
            key: entry.key.to_string(),
            account: entry.owner.account.as_str().to_owned(),
            outcome: entry.outcome.as_str(),
            limit: entry.limit.map(left),
            cost: entry.cost,
            endpoint: entry.endpoint.as_ref().map(|label| label.as_str().to_owned()),
        }
    }
}

async fn list_access(asked: Asked) -> Result<Response, Problem> {
    let query: AccessQuery = asked.query()?;
    let list = ListAccess {
        key: key_of(query.key.as_deref())?,
        outcome: query.outcome.map(|name| AccessOutcome::parse(&name).ok_or_else(|| bad_value("outcome"))).transpose()?,
        from: query.from,
        until: query.until,
        limit: query.limit,
        after: cursor(query.after.as_deref())?,
    };
    let scope = asked.scope(query.account.as_deref())?;
    let page = asked.clove.access_log(scope, &list).await.map_err(|error| of_query(&error))?;
    answer(
        page,
        |entry| RequestBody::from(entry),
        |requests, next, unreadable| json(StatusCode::OK, &AccessPage { requests, next, unreadable }),
    )
}
