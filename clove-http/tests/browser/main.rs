//! Pages in a browser, as people use them. `cargo xtask test` brings what they need: chromium, its driver, and axe-core.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod axe;
mod driver;
#[path = "../team/house.rs"]
mod house;
mod settings;
mod site;
mod team;
