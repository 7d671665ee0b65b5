//! Pages in a browser, as people use them. `cargo xtask test` brings what they need: chromium, its driver, and axe-core.

mod axe;
mod driver;
mod settings;
mod site;
