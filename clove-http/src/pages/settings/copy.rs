//! Buttons that copy.

use crate::pages::icon::Icon;
use maud::{Markup, html};

/// A button that copies the text of an element. Hidden until the script shows it.
pub(super) fn button(element: &str, what: &str) -> Markup {
    of_class("button small copy", element, what)
}

/// The same, less in the way: beside what is seldom copied.
pub(super) fn quiet(element: &str, what: &str) -> Markup {
    of_class("button small copy quiet", element, what)
}

fn of_class(class: &str, element: &str, what: &str) -> Markup {
    html! {
        button class=(class) type="button" hidden data-copy=(element) data-what=(what) {
            (Icon::Copy.draw())
            span data-label { "Copy" }
            span .unseen { " " (what) }
        }
    }
}
