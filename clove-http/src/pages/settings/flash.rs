//! What was done, told after the page was asked for anew.

use super::App;
use crate::pages::asked::Asked;
use clove_core::{Action, Error, KeyId, ListAudit, Refusal, Status};
use maud::{Markup, html};

/// A sentence for what the query says was done, if it is so: nobody can make the page tell by a link what is not true.
pub(super) async fn sentence(app: &App, asked: &Asked) -> Option<Markup> {
    let action = asked.query.get("done").and_then(Action::parse)?;
    let id = KeyId::parse(asked.query.get("key")?).ok()?;
    let key = match app.clove.get(asked.visitor.scope(), id).await {
        Err(Error::Refused(Refusal::NotFound)) if action == Action::Delete => return deleted(app, asked, id).await,
        key => key.ok()?,
    };
    let (status, told) = match action {
        Action::Disable => (Status::Suspended, "is disabled. Requests with it are refused until you enable it."),
        Action::Enable => (Status::Active, "is enabled."),
        Action::Revoke => (Status::Revoked, "is revoked. Requests with it are refused for good."),
        Action::FlagCompromised => (Status::Compromised, "is flagged as compromised. Requests with it are refused for good."),
        _ => return None,
    };
    (key.status(app.clove.now()) == status).then(|| html! { "“" bdi { (key.name) } "” " (told) })
}

/// What is said of a key that is gone, if the audit trail has its end: there never was one by most ids, and others are not the
/// visitor's to know of.
async fn deleted(app: &App, asked: &Asked, id: KeyId) -> Option<Markup> {
    let list = ListAudit { key: Some(id), action: Some(Action::Delete), limit: Some(1), ..ListAudit::default() };
    let key = app.clove.audit(asked.visitor.scope(), &list).await.ok()?.items.pop()?.key?;
    Some(html! { "“" bdi { (key.name) } "” is deleted." })
}
