//! Cases worth keeping, written out: unlike a saved seed they stay what they are when the steps change. The first three are
//! what proptest made of a latch left out, a grace beyond the expiry, and a place that an expired key kept when it was disabled.

use crate::{
    on_a_store_of_ones_own, on_memory, on_sqlite,
    step::{Command, DESK, May, ROOT, Step, What},
};

const ADA: usize = 0;
const BOB: usize = 1;
const DAY: i64 = 86_400;

macro_rules! cases {
    ($($name:ident: [$(($process:literal, $actor:expr, $what:expr)),+ $(,)?]),+ $(,)?) => {$(
        #[test]
        fn $name() {
            let steps = [$(Step { process: $process, actor: $actor, what: $what }),+];
            [on_memory, on_sqlite, on_a_store_of_ones_own].iter().for_each(|on| on(&steps));
        }
    )+};
}

fn create(may: May) -> What {
    What::Create { owner: ADA, may }
}
fn rotate(grace: i64, stale: bool) -> What {
    What::Rotate { key: 0, grace, stale }
}

cases! {
    a_place_given_away_by_a_clock_ahead_is_not_taken_back_by_one_behind: [
        (0, ROOT, create(May::Nothing)),
        (0, ROOT, create(May::Nothing)),
        (1, ADA, What::ToExpiry { key: 0, seconds: 0 }),
        (1, ADA, create(May::Nothing)),
        (0, ADA, What::On(Command::Disable, 0)),
        (0, ADA, What::On(Command::Enable, 0)),
        (1, ADA, What::Pass(-9 * DAY)),
        (1, ADA, What::On(Command::Enable, 0)),
    ],
    a_grace_ends_with_the_key_whatever_clock_gave_it: [
        (1, ADA, What::Pass(-1)),
        (1, ADA, create(May::Nothing)),
        (0, ROOT, rotate(30, false)),
        (1, ROOT, What::ToExpiry { key: 0, seconds: -1 }),
        (1, ROOT, rotate(30, false)),
        (0, ROOT, What::ToExpiry { key: 0, seconds: 0 }),
        (0, ROOT, rotate(5, false)),
    ],
    an_expired_key_that_is_disabled_gives_its_place_back: [
        (0, ADA, create(May::Nothing)),
        (1, ADA, What::Pass(31 * DAY)),
        (1, ADA, What::On(Command::Disable, 0)),
        (0, ADA, What::On(Command::Enable, 0)),
        (1, ADA, What::On(Command::Enable, 0)),
    ],
    nothing_is_revived_by_a_close_that_another_process_opens_again: [
        (0, ADA, create(May::Read)),
        (0, BOB, create(May::Read)),
        (1, ADA, What::On(Command::Disable, 0)),
        (0, ADA, What::Close(Some(ADA))),
        (1, ROOT, What::Close(None)),
        (0, ROOT, What::Reopen(None)),
        (0, ADA, create(May::Read)),
        (1, ROOT, What::Reopen(Some(ADA))),
        (1, ROOT, What::On(Command::Enable, 0)),
        (0, ADA, create(May::Read)),
    ],
    an_actor_gets_no_secret_of_a_key_that_may_more_than_it_may_grant: [
        (0, DESK, create(May::Read)),
        (0, ADA, create(May::Write)),
        (0, ROOT, create(May::Write)),
        (1, ADA, rotate(5, false)),
        (1, ADA, rotate(5, true)),
        (1, DESK, What::Edit { key: 0, may: May::Nothing, stale: false }),
        (0, ADA, rotate(5, false)),
        (0, BOB, rotate(5, false)),
    ],
    a_leak_ends_the_grace_of_an_old_secret_and_the_key_of_a_current_one: [
        (0, ROOT, create(May::Write)),
        (0, ROOT, rotate(30, false)),
        (1, BOB, What::Leak { key: 0, old: true }),
        (1, ROOT, rotate(30, false)),
        (0, BOB, What::Leak { key: 0, old: false }),
        (1, ROOT, What::On(Command::Enable, 0)),
        (1, DESK, What::Leak { key: 0, old: true }),
    ],
    a_lowered_limit_disables_nothing_and_refuses_until_below: [
        (0, ADA, create(May::Nothing)),
        (0, ADA, create(May::Nothing)),
        (1, ROOT, What::Limit { owner: ADA, limit: Some(1) }),
        (1, ADA, create(May::Nothing)),
        (0, ADA, What::On(Command::Disable, 0)),
        (0, ADA, What::On(Command::Enable, 0)),
        (1, ADA, What::On(Command::Delete, 1)),
        (1, ADA, What::On(Command::Enable, 0)),
        (0, ROOT, What::Limit { owner: ADA, limit: None }),
        (0, ROOT, What::Limit { owner: ADA, limit: None }),
    ],
}
