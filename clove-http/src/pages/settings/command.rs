//! What forms of the page ask for.

use super::{
    App, confirm,
    create::Input,
    errors::{self, Errors},
    failed, issued,
    page::{self, Notices},
    view::View,
};
use crate::{
    pages::{asked::Asked, fields::Fields, respond},
    problem::Problem,
};
use axum::{
    extract::{Form, State, rejection::FormRejection},
    response::Response,
};
use clove_core::{Action, By, Error, Issued, KeyId, OperationId, Refusal};
use http::StatusCode;
use std::sync::Arc;

/// What the audit trail gives as the reason.
const REASON: &str = "on the settings page";

/// POST: one command.
pub(super) async fn run(
    State(app): State<Arc<App>>,
    asked: Asked,
    form: Result<Form<Vec<(String, String)>>, FormRejection>,
) -> Response {
    let fields = match form {
        Ok(Form(fields)) => Fields::from(fields),
        Err(rejection) => {
            let detail = "What was sent is no form of this page.";
            return failed(&asked, &Problem::new(rejection.status(), "no-form", "The form cannot be read", detail));
        }
    };
    let done = match (View::of(&asked.query, &asked.visitor), asked.visitor.by(REASON)) {
        (Ok(view), Ok(by)) => dispatch(&app, &asked, &view, &fields, by).await,
        (Err(invalid), _) => Err(invalid.into()),
        (_, Err(error)) => Err(error),
    };
    done.unwrap_or_else(|error| failed(&asked, &error.into()))
}

async fn dispatch(app: &App, asked: &Asked, view: &View, fields: &Fields, by: By) -> Result<Response, Error> {
    let action = fields.get("do").and_then(Action::parse);
    if action == Some(Action::Create) {
        return Ok(create(app, asked, &view.first(), fields, by).await);
    }
    let id = fields.get("key").and_then(|id| KeyId::parse(id).ok()).ok_or(Refusal::NotFound)?;
    match action.filter(|action| app.offers(asked.visitor.role(), *action)) {
        Some(Action::Rotate) => Ok(rotate(app, asked, view, fields, id, by).await),
        Some(action) => change(app, asked, view, action, id, &by).await,
        None => {
            let detail = "This page does not offer that.";
            Ok(failed(asked, &Problem::new(StatusCode::FORBIDDEN, "not-offered", "That is not offered here", detail)))
        }
    }
}

async fn create(app: &App, asked: &Asked, view: &View, fields: &Fields, by: By) -> Response {
    let mut input = Input::of(app, fields);
    let new = match input.to_new_key(app, asked) {
        Ok(new) => new,
        Err(errors) => return refused(app, asked, view, StatusCode::UNPROCESSABLE_ENTITY, input, errors).await,
    };
    match app.clove.create(asked.visitor.owner(), new, &by.operation(input.operation)).await {
        Ok(issued) => show_issued(app, asked, view, Action::Create, issued).await,
        Err(error) => {
            // Sent again, the form is to create a key: under this id it never could.
            if matches!(error, Error::Refused(Refusal::OperationReused { .. })) {
                input.operation = OperationId::new(app.clove.now());
            }
            let mut errors = Errors::default();
            errors.add_error(&error);
            refused(app, asked, view, errors::to_status(&error), input, errors).await
        }
    }
}

async fn refused(app: &App, asked: &Asked, view: &View, status: StatusCode, input: Input, errors: Errors) -> Response {
    let input = input.without_secrets(app.clove.policy().secret_formats());
    let notices = Notices { form: Some((input, errors)), ..Notices::default() };
    answer(app, asked, view, status, notices).await
}

async fn rotate(app: &App, asked: &Asked, view: &View, fields: &Fields, id: KeyId, by: By) -> Response {
    let by = match fields.get("operation").and_then(|id| OperationId::parse(id).ok()) {
        Some(operation) => by.operation(operation),
        None => by,
    };
    let revision = fields.get("revision").and_then(|revision| revision.parse().ok()).unwrap_or_default();
    let grace = confirm::grace(fields.get("grace"));
    match app.clove.rotate(asked.visitor.scope(), id, revision, grace, &by).await {
        Ok(issued) => show_issued(app, asked, view, Action::Rotate, issued).await,
        Err(error) => not_done(app, asked, view, id, &error).await,
    }
}

/// A command without a secret is answered by the page, asked for anew.
async fn change(app: &App, asked: &Asked, view: &View, action: Action, id: KeyId, by: &By) -> Result<Response, Error> {
    let scope = asked.visitor.scope();
    let done = match action {
        Action::Disable => app.clove.disable(scope, id, by).await.map(drop),
        Action::Enable => app.clove.enable(scope, id, by).await.map(drop),
        Action::Revoke => app.clove.revoke(scope, id, by).await.map(drop),
        Action::FlagCompromised => app.clove.flag_compromised(scope, id, by).await.map(drop),
        Action::Delete => app.clove.delete(scope, id, by).await,
        _ => Err(Refusal::NotFound.into()),
    };
    match done {
        Ok(()) => {
            let done = view.address(&asked.links, &[("done", action.as_str()), ("key", &id.to_string())]);
            Ok(respond::see_other(&done))
        }
        Err(error @ Error::Refused(Refusal::NotFound)) => Err(error),
        Err(error) => Ok(not_done(app, asked, view, id, &error).await),
    }
}

async fn not_done(app: &App, asked: &Asked, view: &View, id: KeyId, error: &Error) -> Response {
    if matches!(error, Error::Refused(Refusal::NotFound)) {
        return failed(asked, &error.into());
    }
    let address = Some(view.address(&asked.links, &[]));
    // An administrator's command may be about somebody else, who is closed.
    let sentence = match error {
        Error::Refused(Refusal::OwnerClosed) if !view.everyone => errors::CUT_OFF.to_owned(),
        error => errors::to_sentence(error),
    };
    let notices = Notices { wrong: Some((id, sentence)), address, ..Notices::default() };
    answer(app, asked, view, errors::to_status(error), notices).await
}

async fn answer(app: &App, asked: &Asked, view: &View, status: StatusCode, notices: Notices) -> Response {
    match page::render(app, asked, view, notices).await {
        Ok(page) => respond::page(status, page),
        Err(error) => failed(asked, &error.into()),
    }
}

/// The only answer with a secret in it.
async fn show_issued(app: &App, asked: &Asked, view: &View, action: Action, issued: Issued) -> Response {
    let address = view.address(&asked.links, &[]);
    let shown = || Notices {
        issued: Some(issued::show(app, &issued, action, view.role(&asked.visitor), &address)),
        is_secret: issued.credential.is_some(),
        address: Some(address.clone()),
        ..Notices::default()
    };
    let page = match page::render(app, asked, view, shown()).await {
        Ok(page) => page,
        Err(error) => page::render_without_keys(asked, &shown(), &error),
    };
    match &issued.credential {
        Some(credential) => respond::page_with_secret(StatusCode::OK, issued::fill(&page.into_string(), credential)),
        None => respond::page(StatusCode::OK, page),
    }
}
