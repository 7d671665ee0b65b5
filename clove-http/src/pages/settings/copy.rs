//! Buttons that copy.

use crate::pages::icon::Icon;
use maud::{Markup, html};

/// A button that copies the text of an element. Hidden until the script shows it.
pub(super) fn button(element: &str, what: &str) -> Markup {
    html! {
        button .button.small.copy type="button" hidden data-copy=(element) data-what=(what) {
            (Icon::Copy.draw())
            span data-label { "Copy" }
            span .unseen { " " (what) }
        }
    }
}
