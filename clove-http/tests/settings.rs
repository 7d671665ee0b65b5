//! The settings page.
