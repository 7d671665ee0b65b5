//! One key on the page.

use super::{App, choices, confirm, copy, view::View};
use crate::pages::{asked::Asked, icon::Icon, time};
use clove_core::{Action, Key, Role, Status};
use maud::{Markup, html};

/// What a menu calls an action.
pub(super) fn label(action: Action) -> &'static str {
    match action {
        Action::Disable => "Disable",
        Action::Enable => "Enable",
        Action::Rotate => "Rotate secret",
        Action::Revoke => "Revoke",
        Action::FlagCompromised => "Flag as compromised",
        Action::Delete => "Delete",
        // Not on any menu.
        _ => "",
    }
}

/// A card; `wrong` is why what was asked of this key was not done.
pub(super) fn card(app: &App, asked: &Asked, view: &View, key: &Key, wrong: Option<&str>) -> Markup {
    let now = app.clove.now();
    let status = key.status(now);
    let (title, id) = (format!("key-{}", key.id), format!("id-{}", key.id));
    let class = status.to_string().to_lowercase();
    html! {
        article .card aria-labelledby=(title) {
            header {
                div .called {
                    h3 #(title) dir="auto" { (key.name) }
                    span class=(format!("badge {class}")) { (status) }
                }
                (menu(app, asked, view, key))
            }
            @if let Some(wrong) = wrong {
                div .note.bad role="alert" tabindex="-1" autofocus { (Icon::Alert.draw()) p { (wrong) } }
            }
            @if !key.description.as_str().is_empty() { p .description dir="auto" { (key.description) } }
            p .id { code #(id) translate="no" { (key.id) } (copy::quiet(&id, &format!("API Key ID of {}", key.name))) }
            dl .facts {
                @if asked.visitor.role() == Role::Administrator { (fact("Owner", &html! { (key.owner.account) })) }
                (fact("Created", &time::time(key.created_at)))
                (fact(if status == Status::Expired { "Expired" } else { "Expires" }, &html! {
                    @if let Some(at) = key.expires_at {
                        (time::time(at))
                        @if matches!(status, Status::Active | Status::Suspended | Status::Expired) { " " span .distance { (time::distance(at, now)) } }
                    } @else { "Never" }
                }))
                (fact("Last used", &html! {
                    @if let Some(at) = key.last_used_at { (time::time(at)) } @else { "Never used" }
                }))
            }
            @if key.capabilities.is_empty() {
                // Where nobody chooses capabilities, none are missing.
                @if !choices::capabilities(app, &asked.visitor).is_empty() { p .hint { "No capabilities" } }
            } @else {
                ul .capabilities aria-label="Capabilities" {
                    @for capability in key.capabilities.iter() { li { code { (capability) } } }
                }
            }
        }
    }
}

fn fact(name: &str, value: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

/// Just what the key's status and the role in which the visitor looks at it allow.
fn menu(app: &App, asked: &Asked, view: &View, key: &Key) -> Markup {
    let offered = app.clove.offered(key, view.role(&asked.visitor));
    html! {
        @if !offered.is_empty() {
            details .menu name="menu" {
                summary aria-label=(format!("Actions for {}", key.name)) { (Icon::Dots.draw()) }
                ul {
                    @for action in offered {
                        li {
                            @if confirm::asks_first(action) {
                                (confirm::link(asked, view, key, action))
                            } @else {
                                form method="post" action=(view.address(&asked.links, &[])) {
                                    input type="hidden" name="do" value=(action.as_str());
                                    input type="hidden" name="key" value=(key.id);
                                    button { (label(action)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
