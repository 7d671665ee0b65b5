//! axe-core: what of a page people cannot see, hear or reach.

use super::driver::Browser;
use std::{fs, path::Path};

const FOLDER: &str = "CLOVE_TEST_CLIENTS";

/// Fails where axe finds a violation of any of its rules in what is shown now.
pub(crate) async fn finds_nothing(browser: &Browser, state: &str) {
    let folder = std::env::var(FOLDER)
        .unwrap_or_else(|_| panic!("{FOLDER} names no folder with axe-core: run `cargo xtask test`, which installs it"));
    let path = Path::new(&folder).join("node/node_modules/axe-core/axe.min.js");
    let script = fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}: run `cargo xtask test`, which installs it", path.display()));
    if browser.evaluate("typeof axe").await == "undefined" {
        browser.client.execute(&script, Vec::new()).await.unwrap();
    }
    let run = "const done = arguments[0]; axe.run().then(found => done(found.violations), error => done(String(error)))";
    let found = browser.client.execute_async(run, Vec::new()).await.unwrap();
    assert_eq!(found.as_array().map(Vec::len), Some(0), "{state}: {found:#}");
}

/// The same in light and in dark, each with a picture.
pub(crate) async fn finds_nothing_in_either_light(browser: &Browser, state: &str) {
    for (dark, light) in [(false, "light"), (true, "dark")] {
        browser.set_dark(dark).await;
        finds_nothing(browser, &format!("{state}, {light}")).await;
        for (width, size) in [(1280, "wide"), (320, "narrow")] {
            browser.set_width(width).await;
            let wide = browser.evaluate("document.documentElement.scrollWidth").await;
            assert!(wide.as_u64() <= Some(width), "{state}, {light}: {wide} of {width} pixels");
            browser.shoot(&format!("{state}-{light}-{size}")).await;
        }
        browser.set_width(1280).await;
    }
}
