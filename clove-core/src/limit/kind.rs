//! How a window moves, and who counts it.

use super::Window;
use crate::error::Invalid;
use std::time::Duration;

/// Which of its constructors a [`Window`] is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowKind {
    /// [`Window::new`]
    Fixed,
    /// [`Window::sliding`]
    Sliding,
    /// [`Window::sliding_shared`]
    SlidingShared,
}

impl WindowKind {
    /// The stable name that stores write.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Sliding => "sliding",
            Self::SlidingShared => "sliding_shared",
        }
    }

    /// Reads it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Fixed, Self::Sliding, Self::SlidingShared].into_iter().find(|kind| kind.as_str() == text)
    }

    /// A window of this kind.
    ///
    /// # Errors
    /// As its constructor.
    pub fn window(self, count: u64, length: Duration) -> Result<Window, Invalid> {
        match self {
            Self::Fixed => Window::new(count, length),
            Self::Sliding => Window::sliding(count, length),
            Self::SlidingShared => Window::sliding_shared(count, length),
        }
    }
}

impl Window {
    /// Its kind.
    #[must_use]
    pub const fn kind(self) -> WindowKind {
        match (self.slides, self.shared) {
            (false, _) => WindowKind::Fixed,
            (true, false) => WindowKind::Sliding,
            (true, true) => WindowKind::SlidingShared,
        }
    }
}
