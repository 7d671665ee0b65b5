//! A browser of a test's own: chromium, headless, with an empty profile, by a driver on a port of its own.

use fantoccini::{
    Client, ClientBuilder, Locator,
    actions::{InputSource, KeyAction, KeyActions},
    elements::Element,
    error::CmdError,
    wd::WebDriverCompatibleCommand,
};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use url::{ParseError, Url};

const ARGUMENTS: [&str; 12] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--lang=en-US",
    "--window-size=1280,900",
];
/// How long a page may take to show what is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Keys, as WebDriver writes them.
pub(crate) const TAB: &str = "\u{e004}";
pub(crate) const ENTER: &str = "\u{e007}";
pub(crate) const ESCAPE: &str = "\u{e00c}";

/// Ends the driver, and the browser with it, however the test ends.
struct Driver {
    process: Child,
    port: u16,
    session: String,
}

impl Driver {
    fn start() -> Self {
        let started = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut process = started
            .unwrap_or_else(|error| panic!("chromedriver does not start ({error}): run `cargo xtask test`, which installs it"));
        let said = BufReader::new(process.stdout.take().expect("its output is piped"));
        let port = said
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.split_once("started successfully on port ")?.1.trim_end_matches('.').parse().ok());
        Self { process, port: port.expect("chromedriver says its port"), session: String::new() }
    }

    /// Without the runtime, which may be gone.
    fn ask(&self, request: &str) -> std::io::Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "{request} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nconnection: close\r\n\r\n", self.port)?;
        stream.read_to_end(&mut Vec::new()).map(drop)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.ask(&format!("DELETE /session/{}", self.session));
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One browser with one window.
pub(crate) struct Browser {
    pub(crate) client: Client,
    _driver: Driver,
    _profile: TempDir,
}

impl Browser {
    pub(crate) async fn start() -> Self {
        let mut driver = Driver::start();
        let profile = TempDir::new().unwrap();
        let arguments: Vec<String> =
            ARGUMENTS.into_iter().map(str::to_owned).chain([format!("--user-data-dir={}", profile.path().display())]).collect();
        let capabilities = json!({
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let Value::Object(capabilities) = capabilities else { unreachable!("an object") };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{}", driver.port))
            .await
            .expect("chromium starts: run `cargo xtask test`, which installs it");
        driver.session = client.session_id().await.unwrap().unwrap();
        Self { client, _driver: driver, _profile: profile }
    }

    pub(crate) async fn open(&self, address: &str) {
        self.client.goto(address).await.unwrap();
    }

    /// Waits for an element.
    pub(crate) async fn wait_for(&self, css: &str) -> Element {
        let found = self.client.wait().at_most(PATIENCE).for_element(Locator::Css(css)).await;
        match found {
            Ok(found) => found,
            Err(error) => panic!("{css} is not there ({error}), but:\n{}", self.text("body").await),
        }
    }

    pub(crate) async fn find(&self, css: &str) -> Element {
        self.client.find(Locator::Css(css)).await.unwrap_or_else(|error| panic!("{css}: {error}"))
    }

    pub(crate) async fn click(&self, css: &str) {
        self.find(css).await.click().await.unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    pub(crate) async fn fill(&self, css: &str, text: &str) {
        let field = self.find(css).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// The text that people see.
    pub(crate) async fn text(&self, css: &str) -> String {
        self.find(css).await.text().await.unwrap()
    }

    /// The texts of all elements that match.
    pub(crate) async fn texts(&self, css: &str) -> Vec<String> {
        let mut texts = Vec::new();
        for element in self.client.find_all(Locator::Css(css)).await.unwrap() {
            texts.push(element.text().await.unwrap());
        }
        texts
    }

    pub(crate) async fn count(&self, css: &str) -> usize {
        self.client.find_all(Locator::Css(css)).await.unwrap().len()
    }

    /// The value of an expression in the page.
    pub(crate) async fn evaluate(&self, expression: &str) -> Value {
        self.client.execute(&format!("return {expression}"), Vec::new()).await.unwrap()
    }

    /// Waits until an expression in the page is true.
    pub(crate) async fn wait_until(&self, expression: &str) {
        let begun = Instant::now();
        while self.evaluate(expression).await != true {
            assert!(begun.elapsed() < PATIENCE, "{expression} does not become true");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Presses keys one after another, for whatever has the focus.
    pub(crate) async fn press(&self, keys: &str) {
        let press = |actions: KeyActions, value| actions.then(KeyAction::Down { value }).then(KeyAction::Up { value });
        let actions = keys.chars().fold(KeyActions::new("keyboard".to_owned()), press);
        self.client.perform_actions(actions).await.unwrap();
    }

    /// Presses Tab until an element that matches has the focus, as people do who have no mouse.
    pub(crate) async fn tab_to(&self, css: &str) {
        for _ in 0..60 {
            self.press(TAB).await;
            if self.evaluate(&format!("document.activeElement.matches({})", json!(css))).await == true {
                return;
            }
        }
        panic!("the keyboard does not reach {css}");
    }

    /// What the window has in the place of the whole document: everything that somebody could read out of it.
    pub(crate) async fn everything(&self) -> String {
        let values = "document.documentElement.outerHTML + [...document.querySelectorAll('input, textarea')].map(field => field.value).join(' ') + location.href";
        self.evaluate(values).await.as_str().unwrap().to_owned()
    }

    /// Light or dark, as the visitor's system says.
    pub(crate) async fn set_dark(&self, dark: bool) {
        let scheme = if dark { "dark" } else { "light" };
        self.emulate(json!([{ "name": "prefers-color-scheme", "value": scheme }])).await;
    }

    /// What the visitor's system says, by media features.
    pub(crate) async fn emulate(&self, features: Value) {
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// A window of this width, in CSS pixels, as high as the document.
    pub(crate) async fn set_width(&self, width: u64) {
        let metrics = |height: u64| json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics(800)).await;
        let height = self.evaluate("document.documentElement.scrollHeight").await.as_u64().unwrap();
        self.devtools("Emulation.setDeviceMetricsOverride", metrics(height.max(600))).await;
    }

    /// Whether pages may run scripts.
    pub(crate) async fn allow_scripts(&self, allow: bool) {
        self.devtools("Emulation.setScriptExecutionDisabled", json!({ "value": !allow })).await;
    }

    /// A command of the DevTools protocol.
    pub(crate) async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.issue("goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await.unwrap()
    }

    /// Writes what the window shows to `target/screenshots`, for people to look at.
    pub(crate) async fn shoot(&self, name: &str) {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("screenshots");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{name}.png")), self.client.screenshot().await.unwrap()).unwrap();
    }

    /// What the console has said since it was last asked: errors, warnings, violations of the content security policy. What says
    /// that a page was answered with one of these statuses is no error of the page.
    pub(crate) async fn complaints(&self, statuses: &[u16]) -> Vec<String> {
        let log = self.issue("se/log", json!({ "type": "browser" })).await.unwrap();
        let messages = log.as_array().unwrap().iter().map(|entry| entry["message"].as_str().unwrap().to_owned());
        let is_status =
            |message: &str| statuses.iter().any(|status| message.contains(&format!("responded with a status of {status}")));
        messages.filter(|message| !is_status(message)).collect()
    }

    async fn issue(&self, path: &'static str, body: Value) -> Result<Value, CmdError> {
        self.client.issue_cmd(Post { path, body }).await
    }
}

/// A command of chromedriver's own.
#[derive(Debug)]
struct Post {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Post {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.body.to_string()))
    }
}
