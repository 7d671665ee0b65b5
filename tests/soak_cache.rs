//! A flood of unknown credentials, and many live keys of which some are busy: what is remembered stays within its bound, and the busy
//! keys stay remembered.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "tests"
)]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "tests")]

mod support;

use clove::{ActiveLimit, By, Clove, KeyId, NewKey, Owner, Policy, Tier, sqlite::SqliteStore};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};
use support::counting::{self, Counting};

/// What remembered keys may take.
const CACHE_BYTES: u64 = 16 << 20;
/// What else may grow by, however long the flood and however many the keys: pages that SQLite keeps for each of its connections, what
/// waits to be written (last uses, usage, the access log), and what the allocator keeps to itself.
const FIXED_BYTES: u64 = 96 << 20;
const THREADS: u64 = 2;

/// Live keys, how many of them are busy, unknown credentials, and verifications of live keys.
struct Sizes {
    keys: u64,
    busy: u64,
    unknown: u64,
    live: u64,
}

fn sizes() -> Sizes {
    if std::env::var_os("CLOVE_SOAK").is_some() {
        return Sizes { keys: 100_000, busy: 1_000, unknown: 10_000_000, live: 5_000_000 };
    }
    Sizes { keys: 1_000, busy: 50, unknown: 40_000, live: 40_000 }
}

fn policy() -> Policy {
    Policy::builder()
        .limits(Tier::unlimited())
        .active_limit(ActiveLimit::Unlimited)
        .max_creations_per_day(None)
        .max_records(None)
        // Busy processors may keep maintenance from its polls for a while.
        .freshness(Duration::from_secs(10))
        .cache_bytes(CACHE_BYTES)
        .build()
        .unwrap()
}

/// Resident bytes of this process; `None` where there is no `/proc`.
fn resident() -> Option<u64> {
    let pages: u64 = std::fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()?;
    // Linux has other pages on few machines, and there they are larger: then less growth is seen than there is.
    Some(pages * 4096)
}

/// The keys' credentials, each key of one of a hundred accounts.
async fn create(clove: &Clove, keys: u64) -> Vec<String> {
    let by = By::new("ada", "filling").unwrap();
    let mut credentials = Vec::new();
    while (credentials.len() as u64) < keys {
        let owners = (0..100).map(|account| Owner::new("acme", format!("account-{account}")).unwrap()).collect::<Vec<_>>();
        let created = owners.iter().map(|owner| clove.create(owner, NewKey::named("a key").unwrap(), &by));
        let created = futures_util::future::join_all(created).await;
        credentials.extend(created.into_iter().map(|issued| issued.unwrap().credential.unwrap().reveal().to_string()));
    }
    credentials
}

#[test]
fn a_flood_grows_nothing_beyond_the_bound_and_busy_keys_stay_remembered() {
    let Sizes { keys, busy, unknown, live } = sizes();
    let folder = tempfile::tempdir().unwrap();
    let store = Counting::over(SqliteStore::open(folder.path().join("keys.db")).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (began, filler) = (Instant::now(), Clove::new(store.clone(), policy()));
    let credentials = runtime.block_on(create(&filler, keys));
    drop(filler);
    println!("{keys} keys made in {:.1?}", began.elapsed());
    let clove = Clove::new(store, policy());
    clove.maintenance().spawn_thread(|error| panic!("{error}")).unwrap();
    while counting::polls() == 0 {
        thread::yield_now();
    }
    let (before, began) = (resident(), Instant::now());
    let (of_busy, missed, of_others, read) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let (peak, first_reads) = (AtomicU64::new(before.unwrap_or(0)), busy * THREADS);
    thread::scope(|scope| {
        for seed in 0..THREADS {
            let (clove, credentials) = (&clove, &credentials);
            let (of_busy, missed, of_others, read, peak) = (&of_busy, &missed, &of_others, &read, &peak);
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                let mut random = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let mut next = move || {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (random >> 11) as f64 / (1_u64 << 53) as f64
                };
                // As popular as one over the place: the first of a thousand keys have most of the requests.
                let mut popular = move || (credentials.len() as f64).powf(next()) as usize - 1;
                let is_good = |credential: &str| runtime.block_on(clove.verify(credential)).unwrap().granted().is_some();
                for step in 0..(unknown + live) / THREADS {
                    if step * unknown % (unknown + live) < unknown {
                        let secret = credentials[popular()].split(';').next_back().unwrap();
                        assert!(!is_good(&format!("{};{secret}", KeyId::new(clove.now()))));
                    } else {
                        let (place, reads) = (popular(), counting::reads_of_thread());
                        assert!(is_good(&credentials[place]));
                        let was_read = counting::reads_of_thread() - reads;
                        let (all, missed) = if (place as u64) < busy { (of_busy, missed) } else { (of_others, read) };
                        all.fetch_add(1, Ordering::Relaxed);
                        missed.fetch_add(was_read, Ordering::Relaxed);
                    }
                    if step % 10_000 == 0 {
                        peak.fetch_max(resident().unwrap_or(0), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let number = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let (of_busy, missed, peak) = (number(&of_busy), number(&missed), number(&peak));
    println!("{unknown} unknown and {live} live in {:.1?}", began.elapsed());
    println!("busy keys: {missed} reads in {of_busy}; others: {} in {}", number(&read), number(&of_others));
    assert!(missed.saturating_sub(first_reads) * 100 < of_busy, "{missed} of {of_busy}");
    match before {
        Some(before) => {
            println!("resident: {} MiB before, {} MiB at most", before >> 20, peak >> 20);
            assert!(peak - before < CACHE_BYTES + FIXED_BYTES, "grew by {} MiB", (peak - before) >> 20);
        }
        None => println!("memory cannot be measured here"),
    }
}
