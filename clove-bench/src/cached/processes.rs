//! `two-processes`: two processes that share the windows of one file, beside one that has it for itself.

use super::{Bookkeeping, CACHE_BYTES, Counted, crowd, policy};
use crate::{
    figure::{Bar, Figure},
    fill::{self, Shape},
    measure::in_turn,
};
use clove_core::{Clove, Verdict};
use clove_store_sqlite::SqliteStore;
use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime},
};
use tokio::runtime::Builder;

const NAME: &str = "two-processes";
/// The hidden argument: a file, and from when to when to count, in milliseconds since the Unix epoch.
pub(crate) const CHILD: &str = "--child-verify";
const ROUNDS: usize = 5;
const KEYS: u64 = 1_000;
/// Places of each window.
const PLACES: u64 = 1_000_000;
/// How long they verify before they are counted: what each takes ahead has grown by then.
const WARM_UP: Duration = Duration::from_millis(3_000);
const COUNTED: Duration = Duration::from_millis(3_000);
/// Requests under way at a time: while one waits for places, the others go on.
const TASKS: usize = 50;

pub(crate) fn names() -> Vec<String> {
    vec![NAME.to_owned()]
}

pub(crate) fn run(_: &dyn Fn(&str) -> bool, report: &mut dyn FnMut(Figure)) {
    let slowest_of = |processes: usize| {
        // A file of its own: what one round takes of a window, the next lacks.
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys.db");
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        fill::fill(&runtime, &path, KEYS, &Shape::TYPICAL);
        within_a_minute();
        let from = since_epoch() + WARM_UP;
        let children: Vec<Child> = (0..processes).map(|_| start(&path, from, from + COUNTED)).collect();
        children.into_iter().map(granted).fold(f64::INFINITY, f64::min) / COUNTED.as_secs_f64() / 1e3
    };
    let medians = in_turn(ROUNDS, |_| slowest_of(1), |_| slowest_of(2));
    let (value, limit) = (medians.figure, medians.limit);
    report(Figure { name: NAME.to_owned(), value, limit, unit: "k/s", bar: Bar::AtLeast(0.8) });
}

fn start(path: &Path, from: Duration, to: Duration) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.arg(CHILD).arg(path).args([from, to].map(|time| time.as_millis().to_string()));
    command.stdout(Stdio::piped()).spawn().expect("a process")
}

fn granted(child: Child) -> f64 {
    let output = child.wait_with_output().expect("a process that ends");
    assert!(output.status.success(), "a process that verifies has failed");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number")
}

/// What a process of its own does; it prints how many requests were granted in its time.
pub(crate) fn child(arguments: &[String]) {
    let [path, from, to] = arguments else { panic!("{CHILD} needs a file and two times") };
    let time = |text: &String| Duration::from_millis(text.parse().expect("milliseconds"));
    let until = |time: Duration| Instant::now() + time.saturating_sub(since_epoch());
    let (from, to) = (until(time(from)), until(time(to)));
    let policy = policy(Counted::ByKey, PLACES, CACHE_BYTES, Bookkeeping::Off);
    let clove = Clove::new(SqliteStore::open(Path::new(path)).expect("a store"), policy);
    clove.maintenance().spawn_thread(|error| eprintln!("maintenance: {error}")).expect("a thread");
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let granted: u64 = runtime.block_on(async {
        let tasks: Vec<_> = crowd::texts(KEYS)
            .chunks(KEYS as usize / TASKS)
            .map(|texts| tokio::spawn(verify_until(clove.clone(), texts.to_vec(), from, to)))
            .collect();
        let mut granted = 0;
        for task in tasks {
            granted += task.await.expect("no panic");
        }
        granted
    });
    println!("{granted}");
}

async fn verify_until(clove: Clove, texts: Vec<crowd::Text>, from: Instant, to: Instant) -> u64 {
    let mut granted = 0;
    loop {
        let now = Instant::now();
        if now >= to {
            return granted;
        }
        for text in &texts {
            match clove.verify(text).await {
                Ok(Verdict::Granted(_)) => granted += u64::from(now >= from),
                // A disk that stands still makes faults, which are not granted; there are windows enough for all.
                Err(fault) => eprintln!("{NAME}: {fault}"),
                Ok(verdict) => panic!("{verdict:?}"),
            }
        }
        tokio::task::yield_now().await;
    }
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock after 1970")
}

/// Waits until a round fits into the present minute, so that no window ends in it.
fn within_a_minute() {
    let round = WARM_UP + COUNTED + Duration::from_secs(1);
    let left = Duration::from_secs(60).saturating_sub(Duration::from_millis(since_epoch().as_millis() as u64 % 60_000));
    if left < round {
        std::thread::sleep(left);
    }
}
