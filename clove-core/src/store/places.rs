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
