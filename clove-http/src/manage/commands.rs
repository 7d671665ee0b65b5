//! Commands on a key by its id alone: what kills, enabling, and the report of a leak.

use super::{
    answer::DoneBody,
    asked::Asked,
    routes::{Routes, Told},
};
use crate::problem::Problem;
use axum::{body::Body, response::Response};
use clove_core::{Action, Stopped};
use http::StatusCode;
use serde::{Deserialize, Deserializer};
use utoipa::{
    ToSchema,
    openapi::{HttpMethod, Required},
};
use zeroize::Zeroizing;

pub(super) fn routes(routes: Routes) -> Routes {
    let command = |id, summary, description| {
        Told::new(id, summary, description).audited().answers::<DoneBody>(200, "What it did", &["ETag"]).refuses(&[409])
    };
    routes
        .on(
            HttpMethod::Post,
            "/keys/{id}/disable",
            |asked| kill(asked, Action::Disable),
            command("disable_key", "Switches a key off until it is enabled", "No status of the key refuses it."),
        )
        .on(
            HttpMethod::Post,
            "/keys/{id}/revoke",
            |asked| kill(asked, Action::Revoke),
            command("revoke_key", "Switches a key off for good", "Its record stays. No status of the key refuses it."),
        )
        .on(
            HttpMethod::Post,
            "/keys/{id}/flag-compromised",
            |asked| kill(asked, Action::FlagCompromised),
            command(
                "flag_key_compromised",
                "Marks a key as known to others",
                "It is off for good. No status of the key refuses it.",
            ),
        )
        .on(
            HttpMethod::Post,
            "/keys/{id}/enable",
            enable,
            command("enable_key", "Switches a suspended key on", "If a place is free, and its owner open."),
        )
        .on(
            HttpMethod::Delete,
            "/keys/{id}",
            delete,
            Told::new("delete_key", "Removes a key", "The audit trail stays. No status of the key refuses it.")
                .audited()
                .answers_nothing(204, "It is gone"),
        )
        .on(
            HttpMethod::Post,
            "/leaks",
            report,
            Told::new(
                "report_leak",
                "Reports a leak",
                "Keys whose secrets the text holds are flagged, whosever they are. The answer is the same where it holds none.",
            )
            .audited()
            .body::<LeakBody>(Required::True)
            .answers_nothing(204, "It was looked at"),
        )
}

async fn kill(asked: Asked, command: Action) -> Result<Response, Problem> {
    let (id, order) = (asked.key_id()?, asked.by()?);
    let (clove, scope) = (&asked.clove, asked.visitor.scope());
    let Stopped { key, changed } = order
        .give(|by| {
            let scope = scope.clone();
            async move {
                match command {
                    Action::Disable => clove.disable(scope, id, &by).await,
                    Action::FlagCompromised => clove.flag_compromised(scope, id, &by).await,
                    _ => clove.revoke(scope, id, &by).await,
                }
            }
        })
        .await?;
    DoneBody { changed, key: key.map(|key| asked.told(&key)) }.answer()
}

async fn enable(asked: Asked) -> Result<Response, Problem> {
    let (id, order) = (asked.key_id()?, asked.by()?);
    let (clove, scope) = (&asked.clove, asked.visitor.scope());
    let applied = order
        .give(|by| {
            let scope = scope.clone();
            async move { clove.enable(scope, id, &by).await }
        })
        .await?;
    let key = Some(asked.told(&applied.key));
    DoneBody { changed: applied.changed, key }.answer()
}

async fn delete(asked: Asked) -> Result<Response, Problem> {
    let (id, order) = (asked.key_id()?, asked.by()?);
    let (clove, scope) = (&asked.clove, asked.visitor.scope());
    order
        .give(|by| {
            let scope = scope.clone();
            async move { clove.delete(scope, id, &by).await }
        })
        .await?;
    Ok(nothing())
}

/// A text that may hold secrets.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LeakBody {
    /// A credential, or a text with some in it, such as the lines of a log; the first 16 are looked at.
    #[schema(value_type = String)]
    #[serde(deserialize_with = "zeroizing")]
    text: Zeroizing<String>,
}

fn zeroizing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(deserializer).map(Zeroizing::new)
}

async fn report(mut asked: Asked) -> Result<Response, Problem> {
    let order = asked.by()?;
    let LeakBody { text } = asked.json().await?;
    let (clove, text) = (&asked.clove, &text);
    order.give(|by| async move { clove.report_leaked(text.as_bytes(), &by).await }).await?;
    Ok(nothing())
}

pub(super) fn nothing() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
