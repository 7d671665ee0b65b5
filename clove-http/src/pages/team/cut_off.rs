//! Cutting off a person at once, and what is known of it afterwards; opening its account again.

mod told;

use super::{
    App,
    administrator::{Administrator, account},
};
use crate::{
    pages::{fields::Fields, icon::Icon},
    problem::Problem,
};
use axum::{
    Form,
    extract::{FromRequest, Request, State, rejection::FormRejection},
    response::Response,
};
use clove_core::{AccountId, By, Error};
use http::StatusCode;
use maud::{Markup, html};
use std::{sync::Arc, time::Duration};

/// How long a person waits for all nodes to have heard of it.
const PATIENCE: Duration = Duration::from_secs(5);
/// The dialog's id.
const DIALOG: &str = "cut-off";

/// What a form says that was sent.
#[derive(Debug)]
pub(super) struct Sent(Fields);

impl<S: Send + Sync> FromRequest<S> for Sent {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let read: Result<Form<Vec<(String, String)>>, FormRejection> = Form::from_request(request, state).await;
        read.map(|Form(pairs)| Self(Fields::from(pairs))).map_err(|_| {
            let detail = "What was sent is not what the form on this page sends. Open the page and send it from there.";
            Problem::new(StatusCode::BAD_REQUEST, "malformed-form", "The form could not be read", detail)
        })
    }
}

/// A link that asks before it cuts off: in a dialog where there is script, else on a page of its own. Who would cut off itself is always
/// asked on the page, which says so.
pub(super) fn button(administrator: &Administrator, account: &AccountId, class: &str) -> Markup {
    let dialog = (!administrator.is_self(account)).then_some(DIALOG);
    let called = administrator.people.called(account.as_str());
    html! {
        a class=(class) href=(administrator.href("cut-off", &[("account", account.as_str())]))
            data-dialog=[dialog] data-account=(account) data-called=(called) {
            "Cut off…" span .unseen { " " (called) }
        }
    }
}

/// The question, for all buttons of a page.
pub(super) fn dialog(administrator: &Administrator) -> Markup {
    html! {
        dialog id=(DIALOG) aria-labelledby="cut-off-title" {
            form .question method="post" action=(administrator.href("cut-off", &[])) {
                h2 #cut-off-title { "Cut off " span data-from="called" {} "?" }
                p .what { code data-from="account" {} }
                input type="hidden" name="account" data-from="account";
                (consequences())
                (reason("cut-off-reason", "No longer in the team", None))
                div .buttons {
                    // Has the focus first: whoever presses a key too often has done nothing.
                    button .button type="button" data-close autofocus { "Cancel" }
                    button .button .danger type="submit" { "Cut off" }
                }
            }
        }
    }
}

fn consequences() -> Markup {
    html! {
        p {
            "No request with this account's keys is granted from then on, all of them are revoked for good, and no new one can be created. "
            "Nobody else's keys are touched."
        }
    }
}

fn reason(id: &str, given: &str, wrong: Option<&str>) -> Markup {
    let described = wrong.map(|_| format!("{id}-wrong"));
    html! {
        div .field {
            label for=(id) { "Reason, for the audit trail" }
            input id=(id) type="text" name="reason" value=(given) required maxlength="500" autocomplete="off"
                aria-invalid=[wrong.map(|_| "true")] aria-describedby=[described.as_deref()];
            @if let (Some(wrong), Some(id)) = (wrong, &described) { p .wrong id=(id) { (wrong) } }
        }
    }
}

/// What is wrong with a form that was sent, and what it said.
#[derive(Default)]
struct Wrong<'a> {
    reason: Option<&'a str>,
    not_told: bool,
    given: Option<&'a str>,
}

/// The question on a page of its own.
pub(super) async fn ask(State(app): State<Arc<App>>, administrator: Administrator) -> Response {
    let Some(account) = administrator.account() else { return administrator.no_such_person() };
    match administrator.knows(&app.clove, &account).await {
        Ok(true) => question(&administrator, &account, StatusCode::OK, &Wrong::default()),
        Ok(false) => administrator.no_such_person(),
        Err(error) => administrator.failed(&error),
    }
}

fn question(administrator: &Administrator, account: &AccountId, status: StatusCode, wrong: &Wrong<'_>) -> Response {
    let title = format!("Cut off {}?", administrator.people.called(account.as_str()));
    let main = html! {
        form .panel .question method="post" action=(administrator.href("cut-off", &[])) {
            h1 { (title) }
            p .what { (administrator.called(account.as_str())) }
            input type="hidden" name="account" value=(account);
            (consequences())
            @if administrator.is_self(account) {
                div .note .bad {
                    (Icon::Alert.draw())
                    div {
                        p { strong { "This is your own account." } " Your own keys stop working; you stay signed in here." }
                        label .check {
                            input type="checkbox" name="self" value="yes" required aria-invalid=[wrong.not_told.then_some("true")];
                            " Cut off my own account"
                        }
                    }
                }
            }
            (reason("reason", wrong.given.unwrap_or("No longer in the team"), wrong.reason))
            div .buttons {
                a .button href=(administrator.href("person", &[("account", account.as_str())])) { "Cancel" }
                button .button .danger type="submit" { "Cut off" }
            }
        }
    };
    administrator.below(status, &title, None, &main)
}

/// Cuts off, waits until it holds on all nodes, and tells what is known.
pub(super) async fn cut_off(State(app): State<Arc<App>>, administrator: Administrator, sent: Result<Sent, Problem>) -> Response {
    let (sent, account) = match whom(&app, &administrator, sent).await {
        Ok(whom) => whom,
        Err(response) => return response,
    };
    let reason = sent.get("reason");
    // A secret that was pasted is not shown again.
    let given = reason.filter(|reason| !app.clove.policy().finds_credential(reason));
    let refused = |wrong: &Wrong<'_>| question(&administrator, &account, StatusCode::UNPROCESSABLE_ENTITY, wrong);
    if administrator.is_self(&account) && sent.get("self") != Some("yes") {
        return refused(&Wrong { not_told: true, given, ..Wrong::default() });
    }
    let by = match by(&administrator, reason) {
        Ok(by) => by,
        Err(wrong) => return refused(&Wrong { reason: Some(&wrong), given, ..Wrong::default() }),
    };
    match app.clove.close_owner(&administrator.owner(&account), &by).await {
        Ok(closed) => {
            let everywhere = app.clove.everywhere(PATIENCE).await;
            told::cut_off(&administrator, &account, &closed, &everywhere)
        }
        Err(Error::OutcomeUnknown { .. }) => told::unknown(&administrator, &account),
        Err(error) => administrator.failed(&error),
    }
}

/// What was sent, and whom it is about: somebody who is known.
async fn whom(app: &App, administrator: &Administrator, sent: Result<Sent, Problem>) -> Result<(Fields, AccountId), Response> {
    let Sent(sent) = sent.map_err(|problem| administrator.problem(&problem))?;
    let account = account(&sent).ok_or_else(|| administrator.no_such_person())?;
    match administrator.knows(&app.clove, &account).await {
        Ok(true) => Ok((sent, account)),
        Ok(false) => Err(administrator.no_such_person()),
        Err(error) => Err(administrator.failed(&error)),
    }
}

/// Who gives the command and why, or what is wrong with the reason.
fn by(administrator: &Administrator, reason: Option<&str>) -> Result<By, String> {
    let Some(reason) = reason else { return Err("Say why: it is kept in the audit trail.".to_owned()) };
    administrator.asked.visitor.by(reason).map_err(|_| "The reason must be 1 to 500 visible characters.".to_owned())
}

/// What it means that somebody is cut off, and the form to open the account again.
pub(super) fn reopen_form(administrator: &Administrator, account: &AccountId) -> Markup {
    html! {
        section .panel aria-labelledby="reopen" {
            h2 #reopen { "This account is cut off" }
            p {
                "None of its keys is granted, and none can be created. Opening the account again revives no key: "
                "what was revoked stays revoked, and new keys have to be created."
            }
            form .reopen method="post" action=(administrator.href("reopen", &[])) {
                input type="hidden" name="account" value=(account);
                (reason("reopen-reason", "Back in the team", None))
                button .button type="submit" { "Open again" }
            }
        }
    }
}

/// Opens an account again.
pub(super) async fn reopen(State(app): State<Arc<App>>, administrator: Administrator, sent: Result<Sent, Problem>) -> Response {
    let (sent, account) = match whom(&app, &administrator, sent).await {
        Ok(whom) => whom,
        Err(response) => return response,
    };
    let by = match by(&administrator, sent.get("reason")) {
        Ok(by) => by,
        Err(wrong) => {
            let title = "An argument breaks a rule";
            return administrator.problem(&Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-argument", title, wrong));
        }
    };
    match app.clove.reopen_owner(&administrator.owner(&account), &by).await {
        Ok(changed) => told::reopened(&administrator, &account, changed),
        Err(Error::OutcomeUnknown { .. }) => told::unknown(&administrator, &account),
        Err(error) => administrator.failed(&error),
    }
}
