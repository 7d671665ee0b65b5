//! A new secret, shown once.

use super::{App, copy};
use crate::pages::{icon::Icon, time};
use clove_core::{Action, Credential, Issued, Role};
use maud::{Markup, html};
use zeroize::Zeroizing;

/// Stand for the secret and the credential while the page is put together, so that neither is copied about in memory that nobody
/// overwrites. No stored text holds control characters.
const SECRET: char = '\u{1}';
const CREDENTIAL: char = '\u{2}';

/// What is shown of a command that made a secret.
pub(super) fn show(app: &App, issued: &Issued, action: Action, role: Role, address: &str) -> Markup {
    let key = &issued.key;
    if issued.credential.is_none() {
        return repeated(app, issued, action, role);
    }
    let title = if action == Action::Rotate { "has a new secret" } else { "is ready" };
    html! {
        section #issued .panel.issued data-once tabindex="-1" autofocus aria-labelledby="issued-title" aria-describedby="issued-once" {
            h2 #issued-title { (Icon::Check.draw()) span { "“" bdi { (key.name) } "” " (title) } }
            div #issued-once .note.warn {
                (Icon::Alert.draw())
                div {
                    p { strong { "Copy the secret now. It is shown only this once." } }
                    p { "Nobody can show it again. Keep it where others cannot read it." }
                }
            }
            dl .values {
                (value("API Key ID", "issued-id", None, &html! { (key.id) }))
                (value("Secret Key", "issued-secret", None, &html! { (SECRET) }))
                (value("Credential", "issued-credential", Some(&app.variable), &html! { (CREDENTIAL) }))
            }
            @if let Some(until) = issued.previous_valid_until {
                p .hint { "The older secret stays good until " (time::time(until)) "." }
            } @else if action == Action::Rotate {
                p .hint { "The older secret is refused from now on." }
            }
            p { a .button.primary href=(address) { "I have copied it" } }
        }
    }
}

fn value(label: &str, id: &str, variable: Option<&str>, text: &Markup) -> Markup {
    html! {
        div {
            dt { (label) @if let Some(variable) = variable { span .hint { " ID and secret in one, for " code { (variable) } } } }
            dd { code id=(id) translate="no" { (text) } (copy::button(id, label)) }
        }
    }
}

/// The same form was sent before.
fn repeated(app: &App, issued: &Issued, action: Action, role: Role) -> Markup {
    let rotates = app.clove.offered(&issued.key, role).contains(&Action::Rotate);
    html! {
        section #issued .note tabindex="-1" autofocus role="status" {
            (Icon::Key.draw())
            div {
                p {
                    strong {
                        "“" bdi { (issued.key.name) } "” "
                        @if action == Action::Rotate { "was given its new secret before." } @else { "was created before." }
                    }
                }
                p {
                    "Its secret may have been shown then, and cannot be shown again. If you have not kept it, "
                    @if rotates { "rotate the secret." } @else { "delete the key and create another one." }
                }
            }
        }
    }
}

/// The page with the secret in its places, in memory that is overwritten.
pub(super) fn fill(page: &str, credential: &Credential) -> Zeroizing<Vec<u8>> {
    let whole = credential.reveal();
    let secret = credential.secret().reveal();
    let marks = page.matches([SECRET, CREDENTIAL]).count();
    // Enough from the start: growing would leave copies behind.
    let mut filled = Zeroizing::new(Vec::with_capacity(page.len() + marks * whole.len()));
    for part in page.split_inclusive([SECRET, CREDENTIAL]) {
        let (text, put) = match (part.strip_suffix(SECRET), part.strip_suffix(CREDENTIAL)) {
            (Some(text), _) => (text, secret),
            (None, Some(text)) => (text, whole.as_str()),
            (None, None) => (part, ""),
        };
        filled.extend_from_slice(text.as_bytes());
        filled.extend_from_slice(put.as_bytes());
    }
    filled
}
