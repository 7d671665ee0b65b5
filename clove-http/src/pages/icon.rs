//! Pictures beside words, drawn in the colour of the text. They say nothing that the words do not.

use maud::{Markup, html};

/// A picture of 24 by 24 units.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Icon {
    Alert,
    Check,
    Copy,
    Dots,
    Key,
    Plus,
}

impl Icon {
    /// The picture, which a screen reader passes over.
    pub(crate) fn draw(self) -> Markup {
        let path = match self {
            Self::Alert => {
                "M12 8v5M12 16.5v.01M10.3 3.9 2.4 17.6A2 2 0 0 0 4.1 20.6h15.8a2 2 0 0 0 1.7-3L13.7 3.9a2 2 0 0 0-3.4 0Z"
            }
            Self::Check => "M20 6.5 9.5 17.5 4 12",
            Self::Copy => {
                "M9 9h9a2 2 0 0 1 2 2v8a2 2 0 0 1-2 2h-7a2 2 0 0 1-2-2ZM5 15H4a1 1 0 0 1-1-1V5a2 2 0 0 1 2-2h8a1 1 0 0 1 1 1v1"
            }
            Self::Dots => "M5 12h.01M12 12h.01M19 12h.01",
            Self::Key => "M14.5 9.5 21 3M18 6l2 2M15.5 8.5l1.5 1.5M8 21a5 5 0 1 0 0-10 5 5 0 0 0 0 10ZM11.5 12.5l3-3",
            Self::Plus => "M12 5v14M5 12h14",
        };
        html! { svg viewBox="0 0 24 24" aria-hidden="true" focusable="false" { path d=(path) {} } }
    }
}
