//! How many tokens an answer of the Messages API has used, as far as it has been seen.

use super::events::Events;
use serde::Deserialize;
use std::borrow::Cow;

/// How many bytes of text are taken for a token where nobody has counted.
const BYTES_A_TOKEN: u64 = 4;
/// The longest plain answer that is read; a longer one counts as what it might have used.
const MAX_PLAIN: usize = 32 << 20;

/// Tokens of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tokens {
    /// Read, from the cache too.
    pub(crate) input: u64,
    /// Written.
    pub(crate) output: u64,
}

impl Tokens {
    pub(crate) fn total(self) -> u64 {
        self.input.saturating_add(self.output)
    }
}

/// What of an answer has passed, and what that says.
#[derive(Debug)]
pub(crate) enum Seen {
    /// Nothing yet: the request is on its way.
    Nothing,
    /// It failed, and costs nothing.
    Failure,
    /// An answer in one piece, kept until it is whole.
    Plain(Vec<u8>),
    /// A stream of events.
    Stream(Box<Stream>),
}

#[derive(Debug, Default)]
pub(crate) struct Stream {
    events: Events,
    input: Option<u64>,
    output: u64,
    /// Whether `output` is the last word, and not just how it began.
    is_final: bool,
    text_bytes: u64,
}

impl Seen {
    /// The tokens; `most` is what the request may use at most, which counts where the answer does not tell.
    pub(crate) fn tokens(&self, most: Tokens) -> Tokens {
        match self {
            Self::Nothing => Tokens { output: 0, ..most },
            Self::Failure => Tokens::default(),
            Self::Plain(body) => match serde_json::from_slice::<Message>(body) {
                Ok(message) => Tokens { input: message.usage.input(), output: message.usage.output_tokens.unwrap_or(0) },
                Err(_) => most,
            },
            Self::Stream(stream) => Tokens {
                input: stream.input.unwrap_or(most.input),
                output: if stream.is_final {
                    stream.output
                } else {
                    stream.output.max(stream.text_bytes.div_ceil(BYTES_A_TOKEN))
                },
            },
        }
    }

    /// Whether it is a stream of events.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self, Self::Stream(_))
    }

    /// Whether an event of ours may be put where it stands.
    pub(crate) fn is_between_events(&self) -> bool {
        matches!(self, Self::Stream(stream) if stream.events.is_between())
    }

    /// Reads what passes; where in it the first event ends, if one does.
    pub(crate) fn read(&mut self, piece: &[u8]) -> Option<usize> {
        match self {
            Self::Nothing | Self::Failure => None,
            Self::Plain(body) => {
                if body.len() + piece.len() <= MAX_PLAIN {
                    body.extend_from_slice(piece);
                }
                None
            }
            Self::Stream(stream) => {
                let Stream { events, input, output, is_final, text_bytes } = &mut **stream;
                events.read(piece, |data| match serde_json::from_slice(data) {
                    Ok(Event::MessageStart { message }) => {
                        *input = Some(message.usage.input());
                        *output = message.usage.output_tokens.unwrap_or(0);
                    }
                    Ok(Event::MessageDelta { usage }) => {
                        // Running totals; tools that the model's side runs add to the input.
                        *input = (*input).max(usage.input_tokens.map(|_| usage.input()));
                        *output = usage.output_tokens.unwrap_or(*output);
                        *is_final = true;
                    }
                    Ok(Event::ContentBlockDelta { delta }) => *text_bytes += delta.bytes(),
                    Ok(Event::Other) | Err(_) => {}
                })
            }
        }
    }
}

#[derive(Deserialize)]
struct Message {
    usage: Usage,
}

#[derive(Deserialize)]
struct Usage {
    input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
}

impl Usage {
    fn input(&self) -> u64 {
        let parts = [self.input_tokens, self.cache_creation_input_tokens, self.cache_read_input_tokens];
        parts.into_iter().flatten().fold(0, u64::saturating_add)
    }
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event<'a> {
    MessageStart {
        message: Message,
    },
    MessageDelta {
        usage: Usage,
    },
    ContentBlockDelta {
        #[serde(borrow)]
        delta: Delta<'a>,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    thinking: Option<Cow<'a, str>>,
    #[serde(borrow)]
    partial_json: Option<Cow<'a, str>>,
}

impl Delta<'_> {
    fn bytes(&self) -> u64 {
        let parts = [&self.text, &self.thinking, &self.partial_json];
        parts.into_iter().flatten().map(|text| u64::try_from(text.len()).unwrap_or(u64::MAX)).fold(0, u64::saturating_add)
    }
}

/// How many tokens a request's body has, about: one that has more counts when the answer tells.
pub(crate) fn estimate(body_bytes: usize) -> u64 {
    /// No model reads more; images are many bytes and few tokens.
    const MOST: u64 = 1_000_000;
    u64::try_from(body_bytes).unwrap_or(u64::MAX).div_ceil(BYTES_A_TOKEN).min(MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Tokens = Tokens { input: 900, output: 4096 };
    const START: &[u8] = br#"event: message_start
data: {"type":"message_start","message":{"id":"msg_1","usage":{"input_tokens":10,"cache_creation_input_tokens":20,"cache_read_input_tokens":300,"output_tokens":1}}}

"#;
    const DELTA: &[u8] = br#"event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"eight by"}}

"#;
    const END: &[u8] = br#"event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7}}

"#;

    fn stream(pieces: &[&[u8]]) -> Tokens {
        let mut seen = Seen::Stream(Box::default());
        for piece in pieces {
            seen.read(piece);
        }
        seen.tokens(MOST)
    }

    #[test]
    fn a_stream_tells_its_input_at_the_start_and_its_output_at_the_end() {
        assert_eq!(stream(&[START, DELTA, DELTA, END]), Tokens { input: 330, output: 7 });
    }

    #[test]
    fn running_totals_replace_each_other() {
        let more: &[u8] =
            b"data: {\"type\":\"message_delta\",\"delta\":{},\"usage\":{\"input_tokens\":400,\"output_tokens\":9}}\n\n";
        assert_eq!(stream(&[START, DELTA, END, more]), Tokens { input: 400, output: 9 });
    }

    #[test]
    fn a_stream_that_is_cut_counts_what_was_written_by_its_length() {
        assert_eq!(stream(&[START]), Tokens { input: 330, output: 1 });
        assert_eq!(stream(&[START, DELTA, DELTA, DELTA]), Tokens { input: 330, output: 6 });
        assert_eq!(stream(&[]), Tokens { input: 900, output: 0 });
    }

    #[test]
    fn a_plain_answer_tells_both() {
        let mut seen = Seen::Plain(Vec::new());
        seen.read(br#"{"id":"msg_1","usage":{"input_tokens":5,"cache_read_input_tokens":null,"#);
        seen.read(br#""output_tokens":3}}"#);
        assert_eq!(seen.tokens(MOST), Tokens { input: 5, output: 3 });
    }

    #[test]
    fn an_answer_that_does_not_tell_counts_as_all_that_it_might_have_used() {
        let mut seen = Seen::Plain(Vec::new());
        seen.read(b"compressed, or broken off");
        assert_eq!(seen.tokens(MOST), MOST);
        assert_eq!(Seen::Failure.tokens(MOST), Tokens::default());
        assert_eq!(Seen::Nothing.tokens(MOST), Tokens { input: 900, output: 0 });
    }
}
