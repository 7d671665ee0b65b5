//! Look-ups on their way at the same time: a store may answer many by one statement, and each is answered as if it were alone.

use super::{list_cases, tools::*};
use clove_core::{
    KeyId,
    digest::Digest,
    store::{Candidate, Found, SecretRecord},
};
use std::sync::Arc;

/// How many look-ups meet.
const CROWD: usize = 24;
/// How often, since what meets whom is a matter of luck.
const ROUNDS: usize = 6;

list_cases![look_ups_at_the_same_time_are_each_answered, a_look_up_that_is_given_up_takes_no_other_with_it];

enum Asked {
    Id(KeyId),
    Digests([Digest; 2]),
}

impl Asked {
    async fn of(&self, bench: &Bench) -> Found {
        match self {
            Self::Id(id) => bench.store.find_by_id(*id).await,
            Self::Digests(digests) => bench.store.find_by_digest(digests).await,
        }
    }
}

/// Look-ups, each with what it finds alone: of one key by its id and by each of its digests, several times; of another; and of none.
async fn crowd(bench: &Bench) -> Vec<(Asked, Option<Arc<Candidate>>)> {
    let (wanted, other) = (key(&bench.owner("acme", "ada")), key(&bench.owner("acme", "bob")));
    let (present, previous) = (digest(), digest());
    let in_grace = SecretRecord { valid_until: Some(after(60).into()), ..current(previous) };
    committed(bench.insert_with(&wanted, vec![current(present), in_grace]).await);
    let of_other = bench.insert(&other).await;
    let mut crowd = Vec::new();
    for place in 0..CROWD {
        let (asked, id) = match place % 10 {
            0..=2 => (Asked::Id(wanted.id), Some(wanted.id)),
            3 | 4 => (Asked::Digests([digest(), present]), Some(wanted.id)),
            5 => (Asked::Digests([previous, digest()]), Some(wanted.id)),
            6 => (Asked::Id(other.id), Some(other.id)),
            7 => (Asked::Digests([digest(), of_other]), Some(other.id)),
            8 => (Asked::Id(KeyId::new(start())), None),
            _ => (Asked::Digests([digest(), digest()]), None),
        };
        let found = asked.of(bench).await.unwrap();
        assert_eq!(found.as_ref().map(|found| found.id), id);
        crowd.push((asked, found));
    }
    crowd
}

async fn look_ups_at_the_same_time_are_each_answered(bench: Arc<Bench>) {
    for _ in 0..ROUNDS {
        let crowd = crowd(&bench).await;
        let look_ups = || crowd.iter().map(|(asked, _)| asked.of(&bench)).collect();
        let of_one_task = together(look_ups(), |_| false).await;
        let of_threads = at_once(look_ups()).into_iter().map(Some);
        for (found, (_, wanted)) in of_one_task.into_iter().chain(of_threads).zip(crowd.iter().cycle()) {
            assert_eq!(found.unwrap().unwrap(), *wanted);
        }
    }
}

async fn a_look_up_that_is_given_up_takes_no_other_with_it(bench: Arc<Bench>) {
    for _ in 0..ROUNDS {
        let crowd = crowd(&bench).await;
        // The first is among them, which may be the one that asks for all.
        let is_given_up = |place: usize| place.is_multiple_of(3);
        let found = together(crowd.iter().map(|(asked, _)| asked.of(&bench)).collect(), is_given_up).await;
        for (place, (found, (_, wanted))) in found.into_iter().zip(&crowd).enumerate() {
            // What needs no waiting for is answered before it can be given up.
            assert!(found.is_some() || is_given_up(place), "no answer");
            found.into_iter().for_each(|found| assert_eq!(found.unwrap(), *wanted));
        }
        for (asked, wanted) in &crowd {
            assert_eq!(asked.of(&bench).await.unwrap(), *wanted);
        }
    }
}
