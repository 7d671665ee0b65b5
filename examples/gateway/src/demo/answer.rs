//! What the demo is asked, and what it says.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

/// A request, as far as it is read.
#[derive(Debug, Deserialize)]
pub(super) struct Ask {
    pub(super) model: String,
    #[serde(default)]
    max_tokens: u64,
    #[serde(default)]
    messages: Vec<Message>,
    #[serde(default)]
    system: Value,
    #[serde(default)]
    pub(super) stream: bool,
}

#[derive(Debug, Deserialize)]
struct Message {
    content: Value,
}

impl Ask {
    /// What was said last.
    fn last(&self) -> &str {
        self.messages.last().map_or("", |message| texts(&message.content).last().unwrap_or_default())
    }

    /// A word is a token.
    pub(super) fn input_tokens(&self) -> u64 {
        let said = self.messages.iter().map(|message| &message.content).chain([&self.system]).flat_map(texts);
        said.map(|text| u64::try_from(text.split_whitespace().count()).unwrap_or_default()).sum()
    }

    /// `fail 529` is answered so.
    pub(super) fn failure(&self) -> Option<StatusCode> {
        let status: StatusCode = self.last().strip_prefix("fail ")?.trim().parse().ok()?;
        (status.is_client_error() || status.is_server_error()).then_some(status)
    }
}

/// The texts of a content, which is one itself or a list of blocks.
fn texts(content: &Value) -> impl DoubleEndedIterator<Item = &str> {
    let blocks = content.as_array().into_iter().flatten().filter_map(|block| block.get("text")?.as_str());
    content.as_str().into_iter().chain(blocks)
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    model: String,
    pub(super) words: Vec<String>,
    pub(super) input_tokens: u64,
    pub(super) stop_reason: &'static str,
}

impl Answer {
    pub(super) fn to(ask: &Ask) -> Self {
        let said = ask.last();
        let text = format!(
            "You said: {said} That was {} words. I am the demo of this gateway, and say the same to everybody; \
             start it with --upstream to talk to a model.",
            said.split_whitespace().count()
        );
        let mut words: Vec<String> = text.split_inclusive(' ').map(str::to_owned).collect();
        let most = usize::try_from(ask.max_tokens).unwrap_or(usize::MAX);
        let stop_reason = if words.len() > most { "max_tokens" } else { "end_turn" };
        words.truncate(most);
        Self { model: ask.model.clone(), words, input_tokens: ask.input_tokens(), stop_reason }
    }

    pub(super) fn output_tokens(&self) -> usize {
        self.words.len()
    }

    /// In one piece.
    pub(super) fn whole(&self) -> Value {
        let usage = json!({"input_tokens": self.input_tokens, "output_tokens": self.output_tokens()});
        let content = json!([{"type": "text", "text": self.words.concat()}]);
        self.message(content, self.stop_reason.into(), usage)
    }

    pub(super) fn message(&self, content: Value, stop_reason: Value, usage: Value) -> Value {
        json!({
            "id": "msg_demo", "type": "message", "role": "assistant", "model": self.model, "content": content,
            "stop_reason": stop_reason, "stop_sequence": null, "usage": usage,
        })
    }
}
