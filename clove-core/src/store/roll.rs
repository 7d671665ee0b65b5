//! The roll: which processes use rows from memory, and by which call of the roll each of them knows what was changed before it.

use crate::id::NodeId;
use std::{collections::BTreeMap, time::Duration};

/// A roll in the memory of one process.
#[derive(Default)]
pub(super) struct Roll {
    pub(super) number: u64,
    nodes: BTreeMap<NodeId, u64>,
    /// The first bound that was noted: the later ones are shorter.
    longest: Option<Duration>,
}

impl Roll {
    pub(super) fn call(&mut self) -> u64 {
        self.number = self.number.saturating_add(1);
        self.number
    }

    pub(super) fn answer(&mut self, node: NodeId, number: u64) {
        let answered = self.nodes.entry(node).or_default();
        *answered = number.max(*answered);
    }

    pub(super) fn dismiss(&mut self, nodes: &[NodeId], number: u64) {
        self.nodes.retain(|node, answered| *answered >= number || !nodes.contains(node));
    }

    /// All who are registered, and what each has answered.
    pub(super) fn nodes(&self) -> Vec<(NodeId, u64)> {
        self.nodes.iter().map(|(node, answered)| (*node, *answered)).collect()
    }

    /// The longest bound, once one is noted.
    pub(super) fn longest(&mut self, noted: Option<Duration>) -> Option<Duration> {
        self.longest = self.longest.or(noted);
        self.longest
    }
}
