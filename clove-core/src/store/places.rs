//! What a store keeps of request windows: how many places are charged to each name. Processes take places ahead of the requests
//! that spend them, so that a request seldom asks the store.

use crate::{
    clock::Timestamp,
    id::NodeId,
    limit::{Subject, Window, lease_size},
};

/// How long a process counts as one that leases, after it last did, in microseconds: a minute.
pub const NODE_LIFETIME_MICROS: i64 = 60_000_000;
/// How long counts outlive their window, in microseconds: a day, so that a clock that steps back finds its old count.
pub const COUNT_LIFETIME_MICROS: i64 = 86_400_000_000;

/// Places of some windows of one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The process that leases.
    pub node: NodeId,
    /// When.
    pub at: Timestamp,
    /// Whose windows.
    pub subject: Subject,
    /// Places of which windows.
    pub wants: Vec<Want>,
}

/// Places of one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// The window.
    pub window: Window,
    /// Its start, which is its name.
    pub start: Timestamp,
    /// How many are needed.
    pub least: u64,
    /// How many would last for a while.
    pub wanted: u64,
}

impl Want {
    /// How many to take, where so many are charged to the name and so many processes lease. The sum of both is never above the
    /// window's limit.
    #[must_use]
    pub fn take(&self, charged: u64, nodes: u32) -> u64 {
        lease_size(self.window.count().saturating_sub(charged), nodes, self.least, self.wanted)
    }

    /// So many places of it, to be given back; `None` if there are none.
    pub(crate) fn unspent(&self, lease: &Lease, places: u64) -> Option<Unspent> {
        let unspent = Unspent { subject: lease.subject.clone(), seconds: self.window.seconds(), start: self.start, places };
        Some(unspent).filter(|unspent| unspent.places > 0)
    }
}

/// What came of a [`Want`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leased {
    /// How many places were taken: charged to the name, for the one process to spend.
    pub taken: u64,
    /// How many are charged to the name now, those among them.
    pub charged: u64,
}

/// Places that were taken and are not going to be spent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unspent {
    /// Whose window.
    pub subject: Subject,
    /// How long the window is, in seconds.
    pub seconds: u32,
    /// Its start.
    pub start: Timestamp,
    /// How many places.
    pub places: u64,
}

/// A request's places of sliding windows that processes share: all of them, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlidingCharge {
    /// When, which is the name of what it charges.
    pub at: Timestamp,
    /// How many places of each window.
    pub places: u64,
    /// Whether to charge them, or only to say how it would go.
    pub charges: bool,
    /// Which windows of whom.
    pub windows: Vec<(Subject, Window)>,
}

/// What came of a [`SlidingCharge`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlidingCharged {
    /// Whether each window was charged.
    pub is_charged: bool,
    /// How each window stands.
    pub windows: Vec<SlidingState>,
}

/// How a sliding window stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlidingState {
    /// How many places are left in it, after what was charged.
    pub left: u64,
    /// Whether the request had no place in it.
    pub lacks: bool,
    /// When the request has one, if it had none and nothing else is charged; `None` where it takes more than the window ever has.
    pub again_at: Option<Timestamp>,
}

impl SlidingCharge {
    /// What is charged to a window under names after this one has not slid out of it. Names that lie ahead, by a clock that stepped
    /// back, have not either.
    #[must_use]
    pub fn since(&self, window: Window) -> Timestamp {
        self.at.before(window.length())
    }

    /// What comes of it where so much is charged to each window: names after [`SlidingCharge::since`], ascending, with how many places.
    #[must_use]
    pub fn decide(&self, charged: &[Vec<(Timestamp, u64)>]) -> SlidingCharged {
        let states = self.windows.iter().zip(charged).map(|((_, window), charged)| self.state(*window, charged));
        let mut windows: Vec<SlidingState> = states.collect();
        let is_charged = self.charges && self.places > 0 && windows.iter().all(|state| !state.lacks);
        if is_charged {
            windows.iter_mut().for_each(|state| state.left = state.left.saturating_sub(self.places));
        }
        SlidingCharged { is_charged, windows }
    }

    fn state(&self, window: Window, charged: &[(Timestamp, u64)]) -> SlidingState {
        let mut sum = charged.iter().fold(0_u64, |sum, (_, places)| sum.saturating_add(*places));
        let left = window.count().saturating_sub(sum);
        let lacks = self.places > left;
        let mut names = charged.iter();
        let again_at = names.find_map(|(name, places)| {
            sum = sum.saturating_sub(*places);
            (self.places <= window.count().saturating_sub(sum)).then(|| window.end(*name))
        });
        SlidingState { left, lacks, again_at: again_at.filter(|_| lacks) }
    }
}
