#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::*;
use crate::meter::{Tokens, Units};
use clove::{Attempt, By, CapabilitySet, Key, ListUsage, MemoryStore, NewKey, Owner, Policy, Scope, UsageBy, UsagePer, Verdict};
use futures_util::FutureExt;
use http_body_util::BodyExt;
use std::sync::Arc;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{advance, timeout},
};

const SILENCE: Duration = Duration::from_secs(60);
const MOST: Tokens = Tokens { input: 121, output: 5000 };
const START: &[u8] = b"data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\n";
const DELTA: &[u8] =
    b"data: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"four bytes are a token, or so it is said\"}}\n\n";
const END: &[u8] = b"data: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":60}}\n\n";
const HALF: &[u8] = b"data: {\"type\":\"content_bl";

/// An upstream's body that the test sends.
struct Pieces(UnboundedReceiver<&'static [u8]>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(Bytes::from_static(piece)))))
    }
}

struct Case {
    clove: Clove,
    owner: Owner,
    key: Key,
    upstream: UnboundedSender<&'static [u8]>,
    answer: Answer<Pieces>,
}

fn by() -> By {
    By::new("test", "a test").unwrap().may_grant(CapabilitySet::all())
}

impl Case {
    async fn of(seen: Seen) -> Self {
        let clove = Clove::new(MemoryStore::new(), Policy::profile_a());
        let owner = Owner::new("acme", "ada").unwrap();
        let issued = clove.create(&owner, NewKey::named("test").unwrap(), &by()).await.unwrap();
        let units = Arc::new(Units::new().unwrap());
        let credential = issued.credential.unwrap().reveal();
        let attempt = Attempt::new(&credential).reserving(&units.tokens, MOST.total());
        let Verdict::Granted(grant) = clove.verify(attempt).await.unwrap() else { panic!("it is refused") };
        let mut meter = Meter::new(clove.clone(), grant, units, MOST);
        meter.seen = seen;
        let (upstream, pieces) = unbounded_channel();
        let answer = Answer::metered(Pieces(pieces), meter, SILENCE);
        Self { clove, owner, key: issued.key, upstream, answer }
    }

    async fn stream() -> Self {
        Self::of(Seen::Stream(Box::default())).await
    }

    fn sends(&self, piece: &'static [u8]) {
        self.upstream.send(piece).unwrap();
    }

    async fn passes(&mut self, piece: &'static [u8]) {
        self.sends(piece);
        assert_eq!(self.next().await.unwrap().unwrap(), piece);
    }

    /// What comes next, within ten minutes.
    async fn next(&mut self) -> Option<Result<Bytes, Ended>> {
        let frame = timeout(Duration::from_secs(600), self.answer.frame()).await.unwrap_or_else(|_| panic!("nothing comes"));
        frame.map(|frame| frame.map(|frame| frame.into_data().unwrap()))
    }

    /// Nothing comes for so long.
    async fn waits(&mut self, seconds: u64) {
        for _ in 0..seconds {
            assert!(self.answer.frame().now_or_never().is_none());
            advance(Duration::from_secs(1)).await;
        }
    }

    /// Ends it; what is on record then of input, output, and tokens.
    async fn used(self) -> [u64; 3] {
        let Self { clove, owner, answer, .. } = self;
        drop(answer);
        clove.flush().await.unwrap();
        let list = ListUsage { by: UsageBy::Organization, per: UsagePer::Total, ..ListUsage::default() };
        let page = clove.usage(Scope::from(&owner), &list).await.unwrap();
        let of = |unit| page.items.iter().find(|sum| sum.unit.as_str() == unit).map_or(0, |sum| sum.amount);
        [of("input_tokens"), of("output_tokens"), of("tokens")]
    }
}

#[tokio::test(start_paused = true)]
async fn a_plain_answer_that_is_long_in_coming_counts_what_it_tells() {
    let mut case = Case::of(Seen::Plain(Vec::new())).await;
    case.waits(3).await;
    case.clove.flush().await.unwrap();
    case.passes(b"{\"usage\":{\"input_tokens\":5,\"output_tokens\":3}}").await;
    assert_eq!(case.used().await, [5, 3, 8]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_runs_for_seconds_counts_what_it_tells_at_its_end() {
    let mut case = Case::stream().await;
    case.waits(2).await;
    case.passes(START).await;
    for _ in 0..30 {
        case.passes(DELTA).await;
        case.waits(1).await;
        case.clove.flush().await.unwrap();
    }
    case.passes(END).await;
    assert_eq!(case.used().await, [9, 60, 69]);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_does_not_end_holds_up_a_denial_for_two_seconds() {
    let mut case = Case::stream().await;
    case.passes(START).await;
    case.passes(HALF).await;
    case.clove.disable(&case.owner, case.key.id, &by()).await.unwrap();
    let since = Instant::now();
    let ended = case.next().await.unwrap().unwrap_err();
    assert!(matches!(ended, Ended::Denied(_)), "{ended:?}");
    assert!(since.elapsed() <= Duration::from_secs(4), "{:?}", since.elapsed());
    assert!(case.upstream.is_closed());
}

#[tokio::test(start_paused = true)]
async fn an_event_that_ends_in_time_is_passed_on_before_a_denial() {
    let mut case = Case::stream().await;
    case.passes(START).await;
    case.passes(HALF).await;
    case.clove.disable(&case.owner, case.key.id, &by()).await.unwrap();
    case.waits(2).await;
    case.sends(b"ock\"}\n\ndata: more");
    assert_eq!(case.next().await.unwrap().unwrap(), b"ock\"}\n\n"[..]);
    let last = case.next().await.unwrap().unwrap();
    assert!(last.starts_with(b"event: error\n"), "{last:?}");
    assert!(case.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_says_nothing_is_given_up_in_an_event_or_between() {
    for (piece, is_between) in [(START, true), (HALF, false)] {
        let mut case = Case::stream().await;
        case.passes(piece).await;
        let since = Instant::now();
        match case.next().await.unwrap() {
            Ok(last) => assert!(is_between && last.starts_with(b"event: error\n"), "{last:?}"),
            Err(ended) => assert!(!is_between && matches!(ended, Ended::Silent), "{ended:?}"),
        }
        assert!((SILENCE..SILENCE + Duration::from_secs(2)).contains(&since.elapsed()), "{:?}", since.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_is_not_taken_for_the_upstreams_silence() {
    let mut case = Case::stream().await;
    case.passes(START).await;
    // The client takes nothing, while more is there.
    case.sends(DELTA);
    advance(2 * SILENCE).await;
    assert_eq!(case.next().await.unwrap().unwrap(), DELTA);
    // Nor where the gateway waited before that.
    case.waits(1).await;
    case.sends(END);
    advance(2 * SILENCE).await;
    assert_eq!(case.next().await.unwrap().unwrap(), END);
    // What it does not take counts against nobody.
    advance(2 * SILENCE).await;
    case.waits(SILENCE.as_secs() - 1).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_uses_no_tokens_ends_with_its_key_or_by_silence() {
    for is_disabled in [false, true] {
        let Case { clove, owner, key, answer, .. } = Case::stream().await;
        let (_upstream, pieces) = unbounded_channel();
        let mut answer = Answer::of(Pieces(pieces), clove.clone(), answer.grant.clone(), SILENCE);
        let since = Instant::now();
        if is_disabled {
            clove.disable(&owner, key.id, &by()).await.unwrap();
        }
        let ended = timeout(Duration::from_secs(600), answer.frame()).await.unwrap().unwrap().unwrap_err();
        assert_eq!(matches!(ended, Ended::Denied(_)), is_disabled, "{ended:?}");
        let limit = if is_disabled { RECHECK } else { SILENCE } + Duration::from_secs(2);
        assert!(since.elapsed() <= limit, "{:?}", since.elapsed());
    }
}
