//! What administrators do to a person: cut it off, and set its limits.

use super::{
    answer::json,
    asked::Asked,
    body::whole,
    commands::nothing,
    keys::ActiveBody,
    routes::{Routes, Told},
    shape::{LimitsBody, just, word},
};
use crate::problem::Problem;
use axum::response::Response;
use clove_core::{ActiveLimit, Closed, LimitChoice};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{HttpMethod, ObjectBuilder, OneOfBuilder, RefOr, Required, Schema, Type},
};

pub(super) fn routes(routes: Routes) -> Routes {
    let close = Told::new(
        "close_member",
        "Cuts a person off",
        "None of its keys is granted from now on, and none can be created or enabled; they are revoked. Send it again if it ends amidst that.",
    );
    let reopen = Told::new("reopen_member", "Lets a person in again", "It revives no key.");
    let active =
        Told::new("set_active_limit", "Sets how many keys of a person may be active", "A lowered limit disables nothing.");
    let limits = Told::new(
        "set_request_limits",
        "Sets the request limits of a person over all its keys",
        "They count from the next request on.",
    );
    routes
        .on(
            HttpMethod::Post,
            "/members/{account}/close",
            close_member,
            close.audited().answers::<ClosedBody>(200, "What it did", &[]).refuses(&[409]),
        )
        .on(
            HttpMethod::Post,
            "/members/{account}/reopen",
            reopen_member,
            reopen.audited().answers::<ReopenedBody>(200, "What it did", &[]).refuses(&[409]),
        )
        .on(
            HttpMethod::Put,
            "/members/{account}/active-limit",
            set_active_limit,
            active.audited().body::<ActiveLimitBody>(Required::True).answers::<ActiveBody>(200, "How many there are now", &[]),
        )
        .on(
            HttpMethod::Put,
            "/members/{account}/limits",
            set_request_limits,
            limits.audited().body::<RequestLimitsBody>(Required::True).answers_nothing(204, "They are set"),
        )
}

/// What closing did.
#[derive(Serialize, ToSchema)]
struct ClosedBody {
    /// Whether it was open before.
    changed: bool,
    /// How many keys were revoked, at least.
    revoked: usize,
    /// The first key that could not be revoked, since it cannot be read; null if all were. It is granted to nobody meanwhile.
    unreadable: Option<String>,
}

async fn close_member(asked: Asked) -> Result<Response, Problem> {
    let (owner, order, clove) = (&asked.member()?, asked.by()?, &asked.clove);
    let Closed { changed, revoked, unreadable } = order.give(|by| async move { clove.close_owner(owner, &by).await }).await?;
    json(StatusCode::OK, &ClosedBody { changed, revoked, unreadable: unreadable.map(|id| id.to_string()) })
}

/// What reopening did.
#[derive(Serialize, ToSchema)]
struct ReopenedBody {
    /// Whether it was closed before.
    changed: bool,
}

async fn reopen_member(asked: Asked) -> Result<Response, Problem> {
    let (owner, order, clove) = (&asked.member()?, asked.by()?, &asked.clove);
    let changed = order.give(|by| async move { clove.reopen_owner(owner, &by).await }).await?;
    json(StatusCode::OK, &ReopenedBody { changed })
}

/// How many keys may be active.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ActiveLimitBody {
    limit: ActiveLimitChoice,
}

/// The policy's, any number, or so many.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ActiveLimitChoice {
    Default,
    Unlimited,
    AtMost(#[serde(deserialize_with = "whole")] u32),
}

impl PartialSchema for ActiveLimitChoice {
    fn schema() -> RefOr<Schema> {
        let most = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).maximum(Some(u32::MAX));
        let choice = OneOfBuilder::new().description(Some("The policy's, any number, or so many; 0 allows none."));
        choice.item(word(&["default", "unlimited"])).item(just("at_most", most)).into()
    }
}
impl ToSchema for ActiveLimitChoice {
    fn name() -> std::borrow::Cow<'static, str> {
        "ActiveLimit".into()
    }
}

async fn set_active_limit(mut asked: Asked) -> Result<Response, Problem> {
    let (owner, order) = (&asked.member()?, asked.by()?);
    let limit = match asked.json::<ActiveLimitBody>().await?.limit {
        ActiveLimitChoice::Default => None,
        ActiveLimitChoice::Unlimited => Some(ActiveLimit::Unlimited),
        ActiveLimitChoice::AtMost(limit) => Some(ActiveLimit::AtMost(limit)),
    };
    let clove = &asked.clove;
    order.give(|by| async move { clove.set_active_limit(owner, limit, &by).await }).await?;
    let keys = clove.active_keys(owner).await?;
    json(StatusCode::OK, &ActiveBody::from(keys))
}

/// Request limits of an account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RequestLimitsBody {
    limits: LimitsBody,
}

async fn set_request_limits(mut asked: Asked) -> Result<Response, Problem> {
    let (owner, order) = (&asked.member()?, asked.by()?);
    let limits = asked.json::<RequestLimitsBody>().await?.limits;
    let limits = LimitChoice::try_from(limits)?;
    let clove = &asked.clove;
    order
        .give(|by| {
            let limits = limits.clone();
            async move { clove.set_request_limits(owner, limits, &by).await }
        })
        .await?;
    Ok(nothing())
}
