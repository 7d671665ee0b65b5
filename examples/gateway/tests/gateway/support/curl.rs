//! Requests by curl.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use std::process::Stdio;
use tokio::{io::AsyncWriteExt, process::Command};

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The type and the sentence of an error in the form of the Messages API.
    pub(crate) fn error(&self) -> (String, String) {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"));
        assert_eq!(body["type"], "error");
        assert_eq!(body["request_id"].as_str(), Some(self.header("request-id")));
        (body["error"]["type"].as_str().unwrap().to_owned(), body["error"]["message"].as_str().unwrap().to_owned())
    }
}

/// Runs curl with these arguments, and this on its input.
pub(crate) async fn curl(arguments: &[&str], input: &[u8]) -> Answer {
    let mut curl = Command::new("curl")
        .args(["--silent", "--show-error", "--include", "--no-buffer", "--noproxy", "*", "--max-time", "60"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("curl is missing: install it");
    let mut stdin = curl.stdin.take().unwrap();
    // It may have an answer before it has read all.
    let _ = stdin.write_all(input).await;
    drop(stdin);
    let output = String::from_utf8(curl.wait_with_output().await.unwrap().stdout).unwrap();
    let mut rest = &*output;
    loop {
        let (head, body) = rest.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {output:?}"));
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        if status == StatusCode::CONTINUE {
            rest = body;
            continue;
        }
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap())
        };
        return Answer { status, headers: lines.map(header).collect(), body: body.to_owned() };
    }
}

/// `POST /v1/messages` with a credential.
pub(crate) async fn message(url: &str, credential: &str, body: &str) -> Answer {
    let (url, key) = (format!("{url}/v1/messages"), format!("x-api-key: {credential}"));
    curl(&[&url, "-H", &key, "-H", "content-type: application/json", "--data-binary", "@-"], body.as_bytes()).await
}
