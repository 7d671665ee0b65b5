//! Requests for what no page has.

use super::{
    asked::{Around, Host},
    links::Links,
};
use crate::problem::Problem;
use axum::{
    extract::{Request, State},
    response::Response,
};
use http::StatusCode;

/// The answer where there is no page, to whoever asks.
pub(crate) async fn nothing_here(State(host): State<Host>, request: Request) -> Response {
    refuse(
        &host,
        request,
        &Problem::new(StatusCode::NOT_FOUND, "no-such-page", "There is no such page", "Look at the address again."),
    )
}

/// The answer to a method that the page does not have.
pub(crate) async fn no_such_method(State(host): State<Host>, request: Request) -> Response {
    let detail = "A page is only read, and its forms are sent by POST.";
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "no-such-method", "This cannot be asked of the page", detail);
    refuse(&host, request, &problem)
}

/// Answers who need not be signed in.
fn refuse(host: &Host, request: Request, problem: &Problem) -> Response {
    let links = Links::of(&request.into_parts().0);
    Around { links: &links, site: &host.site }.shell(problem.title()).problem(problem)
}
