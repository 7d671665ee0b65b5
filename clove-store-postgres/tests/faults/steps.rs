//! What clients and nemesis do, by a seed: the same seed decides the same.

/// Numbers by a seed (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Seed(pub(crate) u64);

impl Seed {
    pub(crate) fn of(seed: u64, part: u64) -> Self {
        let mut seed = Self(seed ^ part.wrapping_mul(0xd6e8_feb8_6659_fd93));
        seed.next();
        seed
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// What a client does next. `pick` chooses among the keys that are known by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Create { owner: u64 },
    Disable { pick: u64 },
    Enable { pick: u64 },
    Revoke { pick: u64 },
    Delete { pick: u64 },
    Rotate { pick: u64 },
    Edit { pick: u64 },
    Close { owner: u64 },
    Reopen { owner: u64 },
}

/// Owners whose keys come and go; the last of them is closed now and then.
pub(crate) const OWNERS: u64 = 5;

impl Step {
    pub(crate) fn next(seed: &mut Seed) -> Self {
        let (what, owner, pick) = (seed.below(40), seed.below(OWNERS), seed.next());
        match what {
            0..=9 => Self::Create { owner },
            10..=18 => Self::Disable { pick },
            19..=26 => Self::Enable { pick },
            27..=28 => Self::Revoke { pick },
            29..=31 => Self::Delete { pick },
            32..=34 => Self::Rotate { pick },
            35..=37 => Self::Edit { pick },
            38 => Self::Close { owner: OWNERS - 1 },
            _ => Self::Reopen { owner: OWNERS - 1 },
        }
    }
}

/// What a client asks next of the keys that windows and budgets are counted of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Verify {
        pick: u64,
    },
    /// Records what a grant has used.
    Record {
        pick: u64,
        total: u64,
    },
    Reserve {
        pick: u64,
        unit: u64,
        amount: u64,
        used: u64,
    },
    Flush,
}

/// Units with a budget each.
pub(crate) const UNITS: u64 = 12;

impl Request {
    pub(crate) fn next(seed: &mut Seed) -> Self {
        let (what, pick, unit, amount) = (seed.below(20), seed.next(), seed.below(UNITS), 3 + seed.below(6));
        let used = seed.below(amount + 1);
        match what {
            0..=12 => Self::Verify { pick },
            13..=15 => Self::Record { pick, total: amount },
            16..=18 => Self::Reserve { pick, unit, amount, used },
            _ => Self::Flush,
        }
    }
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    Restart,
    KillBackends,
    Cut { node: usize },
    Refuse { node: usize },
    FreezeQuestions { node: usize },
    FreezeAnswers { node: usize },
    Silence { node: usize },
    LoseAnswers { node: usize, commits: usize },
    LoseCommits { node: usize, commits: usize },
    LateCommits { node: usize, commits: usize },
    KillProcess { node: usize },
    StopProcess { node: usize },
}

impl Fault {
    pub(crate) fn next(seed: &mut Seed, nodes: usize) -> Self {
        let what = seed.below(18);
        let node = usize::try_from(seed.below(u64::try_from(nodes).unwrap())).unwrap();
        let commits = 2 + usize::try_from(seed.below(5)).unwrap();
        match what {
            0 => Self::Restart,
            1..=2 => Self::KillBackends,
            3 => Self::Cut { node },
            4 => Self::Refuse { node },
            5..=6 => Self::FreezeQuestions { node },
            7 => Self::FreezeAnswers { node },
            8 => Self::Silence { node },
            9..=11 => Self::LoseAnswers { node, commits },
            12 => Self::LoseCommits { node, commits },
            13..=14 => Self::LateCommits { node, commits },
            15..=16 => Self::KillProcess { node },
            _ => Self::StopProcess { node },
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::KillBackends => "kill backends",
            Self::Cut { .. } => "cut",
            Self::Refuse { .. } => "refuse",
            Self::FreezeQuestions { .. } => "freeze questions",
            Self::FreezeAnswers { .. } => "freeze answers",
            Self::Silence { .. } => "silence",
            Self::LoseAnswers { .. } => "lose answers",
            Self::LoseCommits { .. } => "lose commits",
            Self::LateCommits { .. } => "late commits",
            Self::KillProcess { .. } => "kill process",
            Self::StopProcess { .. } => "stop process",
        }
    }
}

#[test]
fn a_seed_decides_the_same_again() {
    let all = |seed: u64| {
        let mut seed = Seed::of(seed, 3);
        let steps: Vec<_> =
            (0..500).map(|_| (Step::next(&mut seed), Request::next(&mut seed), Fault::next(&mut seed, 4))).collect();
        steps
    };
    assert_eq!(all(7), all(7));
    assert_ne!(all(7), all(8));
}
