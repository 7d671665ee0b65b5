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
    /// Nothing: the request is on its way, and what the upstream makes of it is not known.
    Nothing,
    /// It failed, or was never sent, and costs nothing.
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
    output: Option<u64>,
    /// Whether `output` is the last word, and not just how it began.
    is_final: bool,
    /// Bytes of what was written, and of what could not be understood.
    bytes: u64,
    /// Whether the upstream said that it failed.
    is_failure: bool,
    /// Whether the upstream has ended it, as one that is whole.
    is_whole: bool,
}

/// What an answer has told of its tokens; neither can be less later on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) input: Option<u64>,
    pub(crate) output: Option<u64>,
}

impl Seen {
    /// The tokens, once nothing more is going to be seen; `most` is what the request may use at most, which counts where the answer does
    /// not tell.
    pub(crate) fn tokens(&self, most: Tokens) -> Tokens {
        match self {
            Self::Nothing => most,
            Self::Failure => Tokens::default(),
            Self::Plain(body) => match serde_json::from_slice::<Message>(body) {
                Ok(Message { usage }) => {
                    Tokens { input: usage.input().unwrap_or(most.input), output: usage.output_tokens.unwrap_or(most.output) }
                }
                Err(_) => most,
            },
            Self::Stream(stream) => stream.tokens(most),
        }
    }

    /// What has been told so far. A plain answer tells only once it is whole.
    pub(crate) fn told(&self) -> Told {
        match self {
            Self::Nothing | Self::Failure | Self::Plain(_) => Told::default(),
            Self::Stream(stream) => Told { input: stream.input, output: stream.output },
        }
    }

    /// Takes notice that the upstream has ended it, and did not break off.
    pub(crate) fn end(&mut self) {
        if let Self::Stream(stream) = self {
            stream.is_whole = true;
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
            Self::Stream(stream) => stream.read(piece),
        }
    }
}

impl Stream {
    fn tokens(&self, most: Tokens) -> Tokens {
        let (input, told) = (self.input.unwrap_or(most.input), self.output.unwrap_or(0));
        let written = self.bytes.div_ceil(BYTES_A_TOKEN).min(most.output);
        let output = match (self.input, self.output) {
            _ if self.is_final => told,
            _ if self.is_failure => told.max(written),
            // What has ended without a count, or told nothing at all, may be anything.
            _ if self.is_whole => told.max(most.output),
            (None, None) => most.output,
            _ => told.max(written),
        };
        Tokens { input, output }
    }

    fn read(&mut self, piece: &[u8]) -> Option<usize> {
        let Self { events, input, output, is_final, bytes, is_failure, .. } = self;
        let unread = events.unread();
        let first_end = events.read(piece, |data| match serde_json::from_slice(data) {
            Ok(Event::MessageStart { message }) => {
                *input = (*input).max(message.usage.input());
                *output = (*output).max(message.usage.output_tokens);
            }
            Ok(Event::MessageDelta { usage }) => {
                // Running totals; tools that the model's side runs add to the input.
                *input = (*input).max(usage.input_tokens.and_then(|_| usage.input()));
                *output = (*output).max(usage.output_tokens);
                *is_final |= usage.output_tokens.is_some();
            }
            Ok(Event::ContentBlockDelta { delta }) => {
                *bytes = bytes.saturating_add(delta.bytes().unwrap_or_else(|| length(data)))
            }
            Ok(Event::Error) => *is_failure = true,
            Ok(Event::Other) => {}
            Err(_) => *bytes = bytes.saturating_add(length(data)),
        });
        *bytes = bytes.saturating_add(events.unread() - unread);
        first_end
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
    fn input(&self) -> Option<u64> {
        let parts = [self.input_tokens, self.cache_creation_input_tokens, self.cache_read_input_tokens];
        parts.into_iter().flatten().reduce(u64::saturating_add)
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
    Error,
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
    /// The bytes of what was written; `None` where it is of a kind that is not known.
    fn bytes(&self) -> Option<u64> {
        let parts = [&self.text, &self.thinking, &self.partial_json];
        parts.into_iter().flatten().map(|text| length(text.as_bytes())).reduce(u64::saturating_add)
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
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
    }

    #[test]
    fn what_is_written_by_its_length_is_never_more_than_was_asked_for() {
        let long = format!("data: {{\"type\":\"content_block_delta\",\"delta\":{{\"text\":\"{}\"}}}}\n\n", "x".repeat(100_000));
        assert_eq!(stream(&[START, long.as_bytes()]), Tokens { input: 330, output: 4096 });
    }

    #[test]
    fn what_of_a_cut_stream_cannot_be_read_counts_by_its_length() {
        let broken = b"data: {\"type\":\"content_block_delta\", or not\n\n";
        let strange = b"data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"new_delta\",\"new\":\"text\"}}\n\n";
        for event in [&broken[..], strange] {
            let data = event.len() - "data: \n\n".len();
            assert_eq!(stream(&[START, event]).output, estimate(data));
        }
        let long = [b"data: ", &[b'x'; 2 << 20][..], b"\n\n"].concat();
        assert_eq!(stream(&[START, &long]).output, 4096);
        let pieces: Vec<&[u8]> = [START].into_iter().chain(long.chunks(1 << 10)).collect();
        assert_eq!(stream(&pieces).output, 4096);
    }

    #[test]
    fn a_stream_that_never_tells_counts_as_all_that_it_might_have_used() {
        assert_eq!(stream(&[]), MOST);
        assert_eq!(stream(&[DELTA, DELTA]), MOST);
        let mut ended = Seen::Stream(Box::default());
        ended.read(START);
        ended.read(DELTA);
        ended.end();
        assert_eq!(ended.tokens(MOST), Tokens { input: 330, output: 4096 });
        ended.read(END);
        assert_eq!(ended.tokens(MOST), Tokens { input: 330, output: 7 });
    }

    #[test]
    fn a_stream_that_fails_counts_what_came_before() {
        let error =
            b"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
        assert_eq!(stream(&[START, DELTA, error]), Tokens { input: 330, output: 2 });
        assert_eq!(stream(&[error]), Tokens { input: 900, output: 0 });
    }

    #[test]
    fn what_is_told_on_the_way_is_never_more_than_the_end() {
        let mut seen = Seen::Stream(Box::default());
        assert_eq!(seen.told(), Told::default());
        seen.read(START);
        seen.read(&DELTA.repeat(100));
        assert_eq!(seen.told(), Told { input: Some(330), output: Some(1) });
        seen.read(END);
        assert_eq!(seen.told(), Told { input: Some(330), output: Some(7) });
        assert_eq!(seen.tokens(MOST), Tokens { input: 330, output: 7 });
        let mut plain = Seen::Plain(Vec::new());
        plain.read(b"{\"usage\": {");
        assert_eq!(plain.told(), Told::default());
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
        assert_eq!(Seen::Nothing.tokens(MOST), MOST);
    }
}
