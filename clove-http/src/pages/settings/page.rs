//! The page itself: how many keys, a form, and the keys.

use super::{
    App, PAGE_SIZE, STYLE, TITLE, card, confirm,
    create::Input,
    errors::{self, Errors},
    failed, flash,
    view::View,
};
use crate::{
    pages::{asked::Asked, icon::Icon, respond, shell::Shell},
    problem::{Problem, sentence},
};
use axum::{extract::State, response::Response};
use clove_core::{Action, ActiveKeys, ActiveLimit, Error, Key, KeyId, ListKeys, Page, Refusal, Role, error::CorruptRow};
use http::StatusCode;
use maud::{Markup, html};
use std::sync::Arc;

/// The part of the query that opens the form.
const OPENED: &str = "create";

/// What a page shows beside the keys.
#[derive(Default)]
pub(super) struct Notices {
    /// What was done.
    pub(super) flash: Option<Markup>,
    /// A new secret, or why there is none.
    pub(super) issued: Option<Markup>,
    /// There is a new secret to copy, and nothing else to do before that.
    pub(super) is_secret: bool,
    /// The form as it was sent, and what is wrong with it.
    pub(super) form: Option<(Input, Errors)>,
    /// Why something was not done to a key.
    pub(super) wrong: Option<(KeyId, String)>,
    /// The address to put in the place of this one.
    pub(super) address: Option<String>,
}

/// GET: the page, or a question of it.
pub(super) async fn show(State(app): State<Arc<App>>, asked: Asked) -> Response {
    let view = match View::of(&asked.query, &asked.visitor) {
        Ok(view) => view,
        Err(invalid) => return failed(&asked, &Problem::from(invalid)),
    };
    if let Some(action) = asked.query.get("confirm").and_then(Action::parse).filter(|action| confirm::asks_first(*action)) {
        return confirm::page(&app, &asked, &view, action).await;
    }
    let flash = flash::sentence(&app, &asked).await;
    let address = (flash.is_some() || is_opened(&asked)).then(|| view.address(&asked.links, &[]));
    match render(&app, &asked, &view, Notices { flash, address, ..Notices::default() }).await {
        Ok(page) => respond::page(StatusCode::OK, page),
        Err(error) => failed(&asked, &error.into()),
    }
}

/// The whole document.
pub(super) async fn render(app: &App, asked: &Asked, view: &View, notices: Notices) -> Result<Markup, Error> {
    let visitor = &asked.visitor;
    let owner = visitor.owner();
    let count = app.clove.active_keys(owner).await?;
    let is_open = visitor.is_open(&app.clove).await?;
    let list = ListKeys { limit: Some(PAGE_SIZE), after: view.after.clone(), ..ListKeys::default() };
    let page = app.clove.list(view.scope(visitor), &list).await?;
    let is_empty = page.items.is_empty() && page.corrupt.is_empty() && view.after.is_none();
    let elsewhere = notices.wrong.as_ref().filter(|(id, _)| page.items.iter().all(|key| key.id != *id));
    let main = html! {
        (title(asked, count))
        @if let Some(flash) = &notices.flash {
            div .note.good role="status" tabindex="-1" autofocus { (Icon::Check.draw()) p { (flash) } }
        }
        @if let Some((_, sentence)) = elsewhere {
            div .note.bad role="alert" tabindex="-1" autofocus { (Icon::Alert.draw()) p { (sentence) } }
        }
        @if let Some(issued) = &notices.issued { (issued) }
        @if !is_open {
            (cut_off())
        } @else if !notices.is_secret {
            (create(app, asked, view, count, &notices, is_empty))
        }
        (keys(app, asked, view, &page, notices.wrong.as_ref()))
    };
    Ok(around(asked, &notices, &main))
}

/// The document where the keys cannot be read: a new secret is shown all the same.
pub(super) fn render_without_keys(asked: &Asked, notices: &Notices, error: &Error) -> Markup {
    let main = html! {
        h1 { (TITLE) }
        @if let Some(issued) = &notices.issued { (issued) }
        div .note.bad role="alert" { (Icon::Alert.draw()) p { (errors::to_sentence(error)) } }
    };
    around(asked, notices, &main)
}

fn around(asked: &Asked, notices: &Notices, main: &Markup) -> Markup {
    let more = [&STYLE];
    // What a screen reader says first.
    let title = if notices.form.is_some() || notices.wrong.is_some() { "Not done: API Keys" } else { TITLE };
    Shell { address: notices.address.as_deref(), more: &more, ..asked.shell(title) }.around(main)
}

fn title(asked: &Asked, count: ActiveKeys) -> Markup {
    let service = asked.site.name().map_or("this service", |(name, _)| name);
    html! {
        div .title {
            div {
                p .eyebrow { "Settings" }
                h1 { (TITLE) }
                p .lead { "With a key, a program uses " (service) " in your name. Give each program a key of its own." }
            }
            div .count {
                p { (count) }
                @if let ActiveLimit::AtMost(limit @ 1..=12) = count.limit {
                    div .places aria-hidden="true" { @for place in 0..limit { span .taken[place < count.active] {} } }
                }
            }
        }
    }
}

/// The form, or the button that opens it; at the limit what to do first, too. A form that was sent says itself what is wrong.
fn create(app: &App, asked: &Asked, view: &View, count: ActiveKeys, notices: &Notices, is_empty: bool) -> Markup {
    let full = match count.limit {
        ActiveLimit::AtMost(limit) if count.active >= limit => Some(Refusal::LimitReached { active: count.active, limit }),
        _ => None,
    };
    html! {
        section .create aria-label="A new key" {
            @if let Some((input, errors)) = &notices.form {
                (input.show(app, asked, view, errors))
            } @else {
                @if let Some(full) = full { div .note.warn { (Icon::Alert.draw()) p { (sentence(full)) } } }
                @if is_empty || is_opened(asked) {
                    (Input::new(app, asked).show(app, asked, view, &Errors::default()))
                } @else {
                    (opener(asked, view))
                }
            }
        }
    }
}

/// A button that opens the form and does nothing else, with script or without.
fn opener(asked: &Asked, view: &View) -> Markup {
    html! {
        form method="get" action=(asked.links.page()) {
            // What the address of the action has in its query, a form by GET leaves out.
            @if view.everyone { input type="hidden" name="of" value="everyone"; }
            input type="hidden" name=(OPENED) value="yes";
            button .button.primary { (Icon::Plus.draw()) "Create API key" }
        }
    }
}

/// Whether the form was asked for.
pub(super) fn is_opened(asked: &Asked) -> bool {
    asked.query.get(OPENED).is_some()
}

/// What is said in the place of the form.
fn cut_off() -> Markup {
    html! { div .note.bad { (Icon::Alert.draw()) p { (errors::CUT_OFF) } } }
}

fn keys(app: &App, asked: &Asked, view: &View, page: &Page<Key>, wrong: Option<&(KeyId, String)>) -> Markup {
    let role = asked.visitor.role();
    let asks = |action: &Action| page.items.iter().any(|key| app.clove.offered(key, view.role(&asked.visitor)).contains(action));
    let asks: Vec<Action> = Action::ALL.into_iter().filter(|action| confirm::asks_first(*action)).filter(asks).collect();
    html! {
        section .keys aria-labelledby="keys-title" {
            div .between {
                h2 #keys-title { @if view.everyone { "All keys" } @else { "Your keys" } }
                @if role == Role::Administrator { (tabs(asked, view)) }
            }
            (unreadable(asked, view, &page.corrupt))
            @if page.items.is_empty() && page.corrupt.is_empty() {
                div .empty {
                    (Icon::Key.draw())
                    p { @if view.after.is_some() { "There are no older keys." } @else { "There are no keys yet." } }
                }
            }
            ul .cards {
                @for key in &page.items {
                    li { (card::card(app, asked, view, key, wrong.filter(|(id, _)| *id == key.id).map(|(_, why)| why.as_str()))) }
                }
            }
            @if view.after.is_some() || page.next.is_some() {
                nav .between aria-label="More keys" {
                    @if view.after.is_some() { a .button href=(view.first().address(&asked.links, &[])) { "Newest keys" } }
                    @if let Some(next) = &page.next {
                        a .button.older href=(View { after: Some(next.clone()), ..view.clone() }.address(&asked.links, &[])) { "Older keys" }
                    }
                }
            }
            @for action in asks { (confirm::dialog(app, asked, view, action)) }
        }
    }
}

fn tabs(asked: &Asked, view: &View) -> Markup {
    let tab = |everyone: bool, label: &str| {
        let here = (view.everyone == everyone).then_some("page");
        html! { a href=(View { everyone, after: None }.address(&asked.links, &[])) aria-current=[here] { (label) } }
    };
    html! { nav .tabs aria-label="Whose keys" { (tab(false, "Yours")) (tab(true, "Everyone’s")) } }
}

/// What cannot be read can be deleted, where at least its id can be.
fn unreadable(asked: &Asked, view: &View, corrupt: &[CorruptRow]) -> Markup {
    html! {
        @if !corrupt.is_empty() {
            div .note.bad {
                (Icon::Alert.draw())
                div {
                    p { "Some of what is stored cannot be read. Delete it, or ask an administrator." }
                    @for row in corrupt {
                        @if let CorruptRow::Key(id) = row {
                            @let id = id.to_string();
                            p { code { (id) } " " a href=(view.address(&asked.links, &[("confirm", "delete"), ("key", &id)])) { "Delete" } }
                        }
                    }
                }
            }
        }
    }
}
