//! Questions before what cannot be undone: a dialog of the page, and a page of its own where there is no script.

use super::{App, STYLE, card, failed, view::View};
use crate::pages::{asked::Asked, respond, shell::Shell};
use axum::response::Response;
use chrono::TimeDelta;
use clove_core::{Action, Error, Fault, Key, KeyId, OperationId, Refusal, StoreError};
use http::StatusCode;
use maud::{Markup, html};

/// Whether a menu asks before it does this.
pub(super) fn asks_first(action: Action) -> bool {
    matches!(action, Action::Delete | Action::Revoke | Action::FlagCompromised | Action::Rotate)
}

/// The link to the question about a key.
pub(super) fn link(asked: &Asked, view: &View, key: &Key, action: Action) -> Markup {
    let id = key.id.to_string();
    html! {
        a .danger[action != Action::Rotate]
            href=(view.address(&asked.links, &[("confirm", action.as_str()), ("key", &id)]))
            data-dialog=(format!("confirm-{action}").replace(' ', "-"))
            data-key=(id) data-name=(key.name) data-revision=(key.revision)
        { (card::label(action)) }
    }
}

/// What a question is about. Where a dialog serves many keys, the script fills it in.
struct About<'a> {
    id: &'a str,
    name: &'a str,
    revision: u64,
}

/// The question as a dialog, for the script to open.
pub(super) fn dialog(app: &App, asked: &Asked, view: &View, action: Action) -> Markup {
    let id = format!("confirm-{action}").replace(' ', "-");
    let title = format!("{id}-title");
    let about = About { id: "", name: "", revision: 0 };
    html! {
        dialog id=(id) aria-labelledby=(title) {
            h2 id=(title) { (ask(action)) }
            (question(app, asked, view, action, &about))
        }
    }
}

fn ask(action: Action) -> &'static str {
    match action {
        Action::Delete => "Delete this key?",
        Action::Revoke => "Revoke this key?",
        Action::FlagCompromised => "Flag this key as compromised?",
        _ => "Give this key a new secret?",
    }
}

fn question(app: &App, asked: &Asked, view: &View, action: Action, about: &About<'_>) -> Markup {
    let (what, yes) = match action {
        Action::Delete => ("Requests with it are refused at once, and its record goes. This cannot be undone.", "Delete key"),
        Action::Revoke => {
            ("Requests with it are refused at once and for good. Its record stays. This cannot be undone.", "Revoke key")
        }
        Action::FlagCompromised => (
            "Somebody else may know its secret: requests with it are refused at once and for good. This cannot be undone.",
            "Flag key",
        ),
        _ => ("The key keeps its ID, and the new secret is shown once. The older one is refused afterwards.", "Rotate secret"),
    };
    html! {
        form .question method="post" action=(view.address(&asked.links, &[])) {
            input type="hidden" name="do" value=(action.as_str());
            input type="hidden" name="key" value=(about.id) data-from="key";
            p .what {
                strong dir="auto" data-from="name" { (about.name) }
                code data-from="key" { (about.id) }
            }
            p { (what) }
            @if action == Action::Rotate {
                input type="hidden" name="revision" value=(about.revision) data-from="revision";
                input type="hidden" name="operation" value=(OperationId::new(app.clove.now()));
                (graces(app))
            }
            div .buttons {
                @if about.id.is_empty() {
                    button .button type="button" data-close autofocus { "Cancel" }
                } @else {
                    a .button href=(view.address(&asked.links, &[])) { "Cancel" }
                }
                button .button.danger[action != Action::Rotate].primary[action == Action::Rotate] { (yes) }
            }
        }
    }
}

/// For how long the older secret may stay good.
fn graces(app: &App) -> Markup {
    let most = app.clove.policy().max_grace().num_seconds();
    let choices = [(3_600, "For 1 hour"), (86_400, "For 1 day"), (604_800, "For 7 days")];
    html! {
        div .field {
            label for="grace" { "How long the older secret stays good" }
            select #grace name="grace" {
                option value="0" { "Not at all" }
                @for (seconds, label) in choices.into_iter().filter(|(seconds, _)| *seconds <= most) {
                    option value=(seconds) { (label) }
                }
            }
        }
    }
}

/// The grace that a form chose.
pub(super) fn grace(chosen: Option<&str>) -> TimeDelta {
    chosen.and_then(|seconds| seconds.parse().ok()).and_then(TimeDelta::try_seconds).unwrap_or_default()
}

/// The question as a page of its own.
pub(super) async fn page(app: &App, asked: &Asked, view: &View, action: Action) -> Response {
    let id = asked.query.get("key").and_then(|id| KeyId::parse(id).ok());
    let key = match id {
        Some(id) if app.offers(asked.visitor.role(), action) => app.clove.get(asked.visitor.scope(), id).await,
        _ => Err(Refusal::NotFound.into()),
    };
    let (id, name, revision) = match (key, id) {
        (Ok(key), _) => (key.id.to_string(), key.name.to_string(), key.revision),
        // What cannot be read can still be got rid of.
        (Err(error), Some(id)) if action == Action::Delete && is_corrupt(&error) => {
            (id.to_string(), "A key that cannot be read".into(), 0)
        }
        (Err(error), _) => return failed(asked, &error.into()),
    };
    let main = html! {
        section .panel {
            h1 { (ask(action)) }
            (question(app, asked, view, action, &About { id: &id, name: &name, revision }))
        }
    };
    let more = [&STYLE];
    respond::page(StatusCode::OK, Shell { more: &more, ..asked.shell(ask(action)) }.around(&main))
}

fn is_corrupt(error: &Error) -> bool {
    matches!(error, Error::Store(StoreError::Corrupt { .. }) | Error::Fault(Fault::Store(StoreError::Corrupt { .. })))
}
