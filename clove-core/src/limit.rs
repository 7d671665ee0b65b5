//! Request windows: how many requests a key, and an account over all its keys, may make in a time.
//!
//! A fixed window is aligned to the Unix epoch in UTC and named by its start; what is charged to one name never exceeds its
//! limit.

mod kind;
mod subject;

pub use kind::WindowKind;
pub use subject::Subject;

use crate::{clock::Timestamp, error::Invalid, store::ActiveLimit};
use std::{fmt, sync::Arc, time::Duration};

/// The most windows of one key, and of one account.
pub const MAX_WINDOWS: usize = 4;
/// The most requests of a window.
pub const MAX_COUNT: u64 = 1_000_000_000_000;
/// The most requests of a sliding window, each of which is remembered until it has slid out.
pub const MAX_SLIDING_COUNT: u64 = 100_000;
/// The most requests of a sliding window that processes share: a store reads them all with each request.
pub const MAX_SHARED_SLIDING_COUNT: u64 = 10_000;
/// The longest window, in seconds: 366 days.
pub const MAX_SECONDS: u32 = 366 * 86_400;
/// The longest name of a tier, in bytes.
pub const MAX_TIER_BYTES: usize = 64;

/// So many requests in each so many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Window {
    count: u64,
    seconds: u32,
    slides: bool,
    shared: bool,
}

impl Window {
    /// A window of 1 to 10^12 requests in whole seconds, 1 second to 366 days.
    ///
    /// # Errors
    /// If either is out of range.
    pub fn new(count: u64, length: Duration) -> Result<Self, Invalid> {
        if !(1..=MAX_COUNT).contains(&count) {
            return Err(Invalid::new("requests of a window", "must be 1 to 10^12", count.to_string()));
        }
        let seconds = u32::try_from(length.as_secs()).ok().filter(|seconds| (1..=MAX_SECONDS).contains(seconds));
        match seconds.filter(|_| length.subsec_nanos() == 0) {
            Some(seconds) => Ok(Self { count, seconds, slides: false, shared: false }),
            None => Err(Invalid::new("length of a window", "must be whole seconds, 1 to 31622400", format!("{length:?}"))),
        }
    }

    /// A window that slides: never more than `count` requests within any stretch of this length, of 1 to 100,000 requests. Counted in
    /// the memory of one process, on a clock that does not step: exact within that process, and forgotten when it ends. Each of
    /// several processes allows as many; see [`Window::sliding_shared`].
    ///
    /// # Errors
    /// If either is out of range.
    pub fn sliding(count: u64, length: Duration) -> Result<Self, Invalid> {
        if count > MAX_SLIDING_COUNT {
            return Err(Invalid::new("requests of a sliding window", "must be 1 to 100000", count.to_string()));
        }
        Self::new(count, length).map(|window| Self { slides: true, ..window })
    }

    /// A window that slides, of 1 to 10,000 requests over all processes together: never more than `count` within any stretch of this
    /// length, by the time of day. The store keeps each request's charge for a day beyond its length, and each request of a key, or of
    /// an account, with such a window takes one durable transaction of the store: for few requests that matter.
    ///
    /// # Errors
    /// If either is out of range.
    pub fn sliding_shared(count: u64, length: Duration) -> Result<Self, Invalid> {
        if count > MAX_SHARED_SLIDING_COUNT {
            return Err(Invalid::new("requests of a shared sliding window", "must be 1 to 10000", count.to_string()));
        }
        Self::new(count, length).map(|window| Self { slides: true, shared: true, ..window })
    }

    /// Whether it slides; if not, it is aligned to the Unix epoch.
    #[must_use]
    pub const fn slides(self) -> bool {
        self.slides
    }

    /// Whether processes share what is charged to it: all but a window that slides in one process.
    #[must_use]
    pub const fn is_shared(self) -> bool {
        self.shared || !self.slides
    }

    /// How many requests.
    #[must_use]
    pub const fn count(self) -> u64 {
        self.count
    }

    /// In how many seconds.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        self.seconds
    }

    /// The start of the window that holds `now`, which is its name.
    #[must_use]
    pub fn start(self, now: Timestamp) -> Timestamp {
        let length = self.micros();
        let start = now.as_micros().div_euclid(length).saturating_mul(length);
        // Before the first moment of the calendar there is none to begin at.
        Timestamp::from_micros(start).unwrap_or(now)
    }

    /// When the window that begins at `start` is over.
    #[must_use]
    pub fn end(self, start: Timestamp) -> Timestamp {
        Timestamp::from_micros(start.as_micros().saturating_add(self.micros())).unwrap_or(start)
    }

    /// When all that is charged to it at `now` is gone from it: the end of a fixed window, a length later of a sliding one.
    #[must_use]
    pub fn resets_at(self, now: Timestamp) -> Timestamp {
        self.end(if self.slides { now } else { self.start(now) })
    }

    pub(crate) fn length(self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }

    fn micros(self) -> i64 {
        i64::from(self.seconds) * 1_000_000
    }
}

/// A set of windows, all of which a request must have a place in; or none, which is any number of requests.
#[derive(Clone, PartialEq, Eq)]
pub struct Limits(Option<Arc<[Window]>>);

impl Limits {
    /// Any number of requests.
    #[must_use]
    pub const fn unlimited() -> Self {
        Self(None)
    }

    /// 1 to 4 windows of different lengths.
    ///
    /// # Errors
    /// If there are none, more, or two of one length.
    pub fn new(windows: impl IntoIterator<Item = Window>) -> Result<Self, Invalid> {
        let mut windows: Vec<Window> = windows.into_iter().take(MAX_WINDOWS + 1).collect();
        windows.sort_by_key(|window| window.seconds);
        let doubled = windows.windows(2).any(|pair| matches!(pair, [a, b] if a.seconds == b.seconds));
        if windows.is_empty() || windows.len() > MAX_WINDOWS || doubled {
            let rule = "must be 1 to 4 windows of different lengths; say Limits::unlimited() for no limit";
            return Err(Invalid::new("limits", rule, format!("{} windows", windows.len())));
        }
        Ok(Self(Some(windows.into())))
    }

    /// 60 a minute and 5,000 a day.
    #[must_use]
    pub fn standard() -> Self {
        let [minute, day] =
            [(60, 60), (5_000, 86_400)].map(|(count, seconds)| Window { count, seconds, slides: false, shared: false });
        Self(Some([minute, day].into()))
    }

    /// The windows, shortest first; none for any number of requests.
    #[must_use]
    pub fn windows(&self) -> &[Window] {
        self.0.as_deref().unwrap_or_default()
    }

    /// Whether one of them slides in this process.
    pub(crate) fn slide_here(&self) -> bool {
        self.windows().iter().any(|window| !window.is_shared())
    }

    /// Those that slide in this process, and their places.
    pub(crate) fn slide_here_only(&self) -> impl Iterator<Item = (usize, Window)> + '_ {
        self.windows().iter().copied().enumerate().filter(|(_, window)| window.slides && !window.shared)
    }

    /// Those that slide for all processes together.
    pub(crate) fn slide_shared(&self) -> impl Iterator<Item = (usize, Window)> + '_ {
        self.windows().iter().copied().enumerate().filter(|(_, window)| window.slides && window.shared)
    }

    /// The same windows for `factor` times as many requests, as far as a window may have them.
    #[must_use]
    pub fn times(&self, factor: u32) -> Self {
        let scaled = |window: &Window| {
            let most = match window.kind() {
                WindowKind::Fixed => MAX_COUNT,
                WindowKind::Sliding => MAX_SLIDING_COUNT,
                WindowKind::SlidingShared => MAX_SHARED_SLIDING_COUNT,
            };
            Window { count: window.count.saturating_mul(factor.into()).clamp(1, most), ..*window }
        };
        Self(self.0.as_ref().map(|windows| windows.iter().map(scaled).collect()))
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_stored())
    }
}

const UNLIMITED: &str = "unlimited";
const TIER: &str = "tier:";
/// What stands behind a window's length.
const KINDS: [(&str, WindowKind); 3] = [("s", WindowKind::Sliding), ("S", WindowKind::SlidingShared), ("", WindowKind::Fixed)];

impl Limits {
    fn to_stored(&self) -> String {
        if self.windows().is_empty() {
            return UNLIMITED.to_owned();
        }
        let kind = |window: &Window| KINDS.iter().find(|(_, kind)| *kind == window.kind()).map_or("", |(text, _)| text);
        let window = |window: &Window| format!("{}/{}{}", window.count, window.seconds, kind(window));
        let windows: Vec<String> = self.windows().iter().map(window).collect();
        windows.join(" ")
    }

    fn from_stored(text: &str) -> Result<Self, Invalid> {
        if text == UNLIMITED {
            return Ok(Self::unlimited());
        }
        let window = |text: &str| {
            let (count, length) = text.split_once('/')?;
            let (seconds, kind) = KINDS.into_iter().find_map(|(text, kind)| Some((length.strip_suffix(text)?, kind)))?;
            kind.window(count.parse().ok()?, Duration::from_secs(seconds.parse().ok()?)).ok()
        };
        let windows: Option<Vec<Window>> = text.split(' ').map(window).collect();
        Self::new(windows.unwrap_or_default())
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Limits {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.windows().serialize(serializer)
    }
}

/// The name of a tier: 1 to 64 of `a-z 0-9 _ . -`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct TierName(Box<str>);

impl TierName {
    /// Checks a name.
    ///
    /// # Errors
    /// If it breaks the rule above.
    pub fn new(name: impl AsRef<str>) -> Result<Self, Invalid> {
        let name = name.as_ref();
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-');
        if (1..=MAX_TIER_BYTES).contains(&name.len()) && name.bytes().all(plain) {
            return Ok(Self(name.into()));
        }
        Err(Invalid::new("tier", "must be 1 to 64 of a-z 0-9 _ . -", format!("{} bytes", name.len())))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TierName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// What a tier allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Each key.
    pub key: Limits,
    /// The account over all its keys; `None` is the account's active-key limit, at least 1, times what a key may, and any number
    /// where there is no such limit.
    pub account: Option<Limits>,
}

impl Tier {
    /// Any number of requests.
    #[must_use]
    pub const fn unlimited() -> Self {
        Self { key: Limits::unlimited(), account: Some(Limits::unlimited()) }
    }

    pub(crate) fn of_account(&self, active_keys: ActiveLimit) -> Limits {
        match (&self.account, active_keys) {
            (Some(limits), _) => limits.clone(),
            (None, ActiveLimit::AtMost(keys)) => self.key.times(keys.max(1)),
            (None, ActiveLimit::Unlimited) => Limits::unlimited(),
        }
    }
}

/// The request limits that a key's requests are charged to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) key: Limits,
    pub(crate) account: Limits,
    /// Whether a window slides in this process.
    pub(crate) slides: bool,
    /// Whether one slides for all processes together.
    pub(crate) slides_shared: bool,
}

impl Plan {
    pub(crate) fn new(key: Limits, account: Limits) -> Self {
        let is_any = |slide: fn(&Limits) -> bool| slide(&key) || slide(&account);
        let (slides, slides_shared) = (is_any(Limits::slide_here), is_any(|limits| limits.slide_shared().next().is_some()));
        Self { slides, slides_shared, key, account }
    }
}

/// Which limits are a key's, or an account's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum LimitChoice {
    /// The policy's default. For a key whose account has a tier, the tier's.
    #[default]
    Default,
    /// Those of a tier of the policy. One that the policy does not name is as the default.
    Tier(TierName),
    /// Its own.
    Own(Limits),
}

impl LimitChoice {
    /// The text that stores write.
    #[must_use]
    pub fn to_stored(&self) -> String {
        match self {
            Self::Default => String::new(),
            Self::Tier(tier) => format!("{TIER}{}", tier.as_str()),
            Self::Own(limits) => limits.to_stored(),
        }
    }

    /// Reads [`Self::to_stored`].
    ///
    /// # Errors
    /// If no version can have written it.
    pub fn from_stored(text: &str) -> Result<Self, Invalid> {
        match text.strip_prefix(TIER) {
            Some(tier) => TierName::new(tier).map(Self::Tier),
            None if text.is_empty() => Ok(Self::Default),
            None => Limits::from_stored(text).map(Self::Own),
        }
    }
}

/// How many places to lease where `remaining` of a window's are left in the store, `nodes` processes lease, `least` are needed,
/// and `wanted` would last for a while: at most a half of each node's share, so that no node can take away what others need, and
/// at least what is needed; 0 if that is not left.
#[must_use]
pub fn lease_size(remaining: u64, nodes: u32, least: u64, wanted: u64) -> u64 {
    if remaining < least {
        return 0;
    }
    let share = remaining / (2 * u64::from(nodes.max(1)));
    wanted.min(share).max(least)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros).unwrap()
    }

    #[test]
    fn a_window_is_named_by_its_start_in_utc() {
        let day = Window::new(1, Duration::from_secs(86_400)).unwrap();
        for (now, start) in [(0, 0), (1, 0), (86_399_999_999, 0), (86_400_000_000, 86_400_000_000), (-1, -86_400_000_000)] {
            assert_eq!(day.start(at(now)), at(start));
        }
    }

    #[test]
    fn what_is_out_of_range_is_refused_by_its_name() {
        let second = Duration::from_secs(1);
        for (count, length, field) in [
            (0, second, "requests of a window"),
            (MAX_COUNT + 1, second, "requests of a window"),
            (1, Duration::ZERO, "length of a window"),
            (1, Duration::from_millis(1_500), "length of a window"),
            (1, Duration::from_secs(u64::from(MAX_SECONDS) + 1), "length of a window"),
            (1, Duration::MAX, "length of a window"),
        ] {
            assert_eq!(Window::new(count, length).unwrap_err().field, field);
        }
        assert_eq!(Window::sliding(MAX_SLIDING_COUNT + 1, second).unwrap_err().field, "requests of a sliding window");
        let shared = Window::sliding_shared(MAX_SHARED_SLIDING_COUNT + 1, second);
        assert_eq!(shared.unwrap_err().field, "requests of a shared sliding window");
        let window = Window::new(1, second).unwrap();
        for windows in [
            vec![],
            vec![window, window],
            (1..=5).map(|seconds| Window { count: 1, seconds, slides: false, shared: false }).collect(),
        ] {
            assert_eq!(Limits::new(windows).unwrap_err().field, "limits");
        }
        for name in ["", "Pro", "a b", "é", &"x".repeat(65)] {
            assert_eq!(TierName::new(name).unwrap_err().field, "tier");
        }
    }

    fn windows() -> impl Strategy<Value = Window> {
        (1..=MAX_COUNT, 1..=MAX_SECONDS, 0..3).prop_map(|(count, seconds, kind)| match kind {
            0 => Window { count, seconds, slides: false, shared: false },
            1 => Window { count: count % MAX_SLIDING_COUNT + 1, seconds, slides: true, shared: false },
            _ => Window { count: count % MAX_SHARED_SLIDING_COUNT + 1, seconds, slides: true, shared: true },
        })
    }

    proptest! {
        #[test]
        fn a_moment_lies_in_the_window_that_it_names(window in windows(), now in -10_i64.pow(17)..10_i64.pow(17)) {
            let start = window.start(at(now));
            prop_assert!(start <= at(now) && at(now) < window.end(start));
            prop_assert_eq!(start.as_micros().rem_euclid(window.micros()), 0);
            prop_assert_eq!(window.start(start), start);
        }

        #[test]
        fn choices_are_read_as_they_were_stored(windows in proptest::collection::vec(windows(), 0..=4), tier in "[a-z0-9_.-]{1,64}") {
            let own = Limits::new(windows).unwrap_or(Limits::unlimited());
            for choice in [LimitChoice::Default, LimitChoice::Own(own), LimitChoice::Tier(TierName::new(tier).unwrap())] {
                prop_assert_eq!(LimitChoice::from_stored(&choice.to_stored()).unwrap(), choice);
            }
        }

        #[test]
        fn a_lease_is_what_is_needed_or_at_most_half_a_share(remaining in 0..=MAX_COUNT, nodes in 0_u32..100, least in 0_u64..1000, wanted: u64) {
            let size = lease_size(remaining, nodes, least, wanted);
            prop_assert!(size <= remaining && (size >= least || size == 0 && remaining < least));
            prop_assert!(size <= least.max(remaining / 2 / u64::from(nodes.max(1))));
        }
    }

    #[test]
    fn what_no_version_stored_is_refused() {
        for text in [
            "tier:",
            "tier:A",
            "60",
            "60/",
            "/60",
            "60/60 60/60",
            "0/60",
            "60/60  5/1",
            " ",
            "UNLIMITED",
            "-1/60",
            "60/60ss",
            "60/60sS",
            "10001/60S",
            "60/s",
            "100001/60s",
        ] {
            assert!(LimitChoice::from_stored(text).is_err(), "{text}");
        }
    }
}
