//! What may happen.

use proptest::prelude::*;

/// The owners, who are actors 0 and 1.
pub(crate) const OWNERS: usize = 2;
/// An administrator who may grant everything.
pub(crate) const ROOT: usize = 2;
/// An administrator who may grant nothing.
pub(crate) const DESK: usize = 3;

/// Who does what, in which process.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) process: usize,
    pub(crate) actor: usize,
    pub(crate) what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum May {
    Nothing,
    Read,
    Write,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Command {
    Disable,
    Enable,
    Revoke,
    Flag,
    Delete,
}

/// Keys are named by their place among those there are, whatever their number.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// For the actor itself, if it is an owner.
    Create {
        owner: usize,
        may: May,
    },
    On(Command, usize),
    /// A stale one names the revision before.
    Edit {
        key: usize,
        may: May,
        stale: bool,
    },
    /// Grace is in days.
    Rotate {
        key: usize,
        grace: i64,
        stale: bool,
    },
    /// Of the current secret, or of the rotated-out one.
    Leak {
        key: usize,
        old: bool,
    },
    Limit {
        owner: usize,
        limit: Option<u32>,
    },
    /// One owner, or all.
    Close(Option<usize>),
    Reopen(Option<usize>),
    /// The process's own clock goes on by so many seconds, or steps back.
    Pass(i64),
    /// It is set to a key's expiry and so many seconds.
    ToExpiry {
        key: usize,
        seconds: i64,
    },
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (owner, key) = (|| 0..OWNERS, || 0..8_usize);
    let may = || prop_oneof![2 => Just(May::Nothing), 2 => Just(May::Read), 1 => Just(May::Write)];
    let command = prop_oneof![
        2 => Just(Command::Disable),
        3 => Just(Command::Enable),
        1 => Just(Command::Revoke),
        1 => Just(Command::Flag),
        1 => Just(Command::Delete),
    ];
    let stale = || prop_oneof![4 => Just(false), 1 => Just(true)];
    let some = || proptest::option::of(0..OWNERS);
    let what = prop_oneof![
        6 => (owner(), may()).prop_map(|(owner, may)| What::Create { owner, may }),
        8 => (command, key()).prop_map(|(command, key)| What::On(command, key)),
        1 => (key(), may(), stale()).prop_map(|(key, may, stale)| What::Edit { key, may, stale }),
        3 => (key(), prop_oneof![Just(0), Just(5), Just(30)], stale())
            .prop_map(|(key, grace, stale)| What::Rotate { key, grace, stale }),
        1 => (key(), any::<bool>()).prop_map(|(key, old)| What::Leak { key, old }),
        1 => (owner(), proptest::option::of(0..4_u32)).prop_map(|(owner, limit)| What::Limit { owner, limit }),
        1 => some().prop_map(What::Close),
        2 => some().prop_map(What::Reopen),
        2 => prop_oneof![Just(1), Just(-1), Just(11 * 86_400), Just(31 * 86_400), Just(-9 * 86_400)].prop_map(What::Pass),
        1 => (key(), -1..2_i64).prop_map(|(key, seconds)| What::ToExpiry { key, seconds }),
    ];
    let step = (0..2_usize, 0..4_usize, what).prop_map(|(process, actor, what)| Step { process, actor, what });
    proptest::collection::vec(step, 1..40)
}
