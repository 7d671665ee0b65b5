//! What clients were told, and when, on a clock that all processes of the machine share. A line is written before each call and one
//! after it; what has no second line was not heard of.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::Write,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

/// Nanoseconds on the clock of the machine, which no process sets.
pub(crate) fn clock() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(now.tv_sec * 1_000_000_000 + now.tv_nsec).unwrap()
}

/// What a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A command, by its name in the audit trail, its operation id, and the key or owner it is about.
    Command { action: String, operation: String, about: String },
    /// Whether the secret that a key was given at this revision is good.
    Check { key: String, revision: u64 },
    /// A request that is counted.
    Verify { key: String },
    /// That a grant has used so much of its unit.
    Record { unit: String, total: u64 },
    /// So much of a budget, told before any of it is used.
    Reserve { budget: String },
    /// That what was counted is written.
    Flush,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Done. For a creation the key; for an edit or a rotation the key's revision since.
    Done(String),
    /// Granted: for a counted request each window's limit by its name, for a reservation how much of it is used.
    Granted { windows: Vec<(String, u64)>, used: u64 },
    /// Refused by the rules, or denied.
    Refused,
    /// There is no such key: not any more, where another client has deleted it since.
    Gone,
    /// Nothing was changed, says the store.
    Fault,
    /// Nobody knows, or the client did not live to hear of it.
    Unknown,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// Which `Clove` was asked.
    pub(crate) by: usize,
    pub(crate) what: What,
    pub(crate) began: u64,
    /// When it was told; never, if it was not.
    pub(crate) ended: u64,
    pub(crate) told: Told,
}

pub(crate) const NEVER: u64 = u64::MAX;

/// Writes what one process is told.
pub(crate) struct Recorder {
    file: File,
    next: AtomicU64,
}

impl Recorder {
    pub(crate) fn create(path: &Path) -> Self {
        Self { file: OpenOptions::new().append(true).create_new(true).open(path).unwrap(), next: AtomicU64::new(0) }
    }

    fn write(&self, line: &str) {
        // At once, so that it outlives the process.
        (&self.file).write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    pub(crate) fn begins(&self, what: &What) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let what = match what {
            What::Command { action, operation, about } => format!("command {action} {operation} {about}"),
            What::Check { key, revision } => format!("check {key} {revision}"),
            What::Verify { key } => format!("verify {key}"),
            What::Record { unit, total } => format!("record {unit} {total}"),
            What::Reserve { budget } => format!("reserve {budget}"),
            What::Flush => "flush".to_owned(),
        };
        self.write(&format!("{number} {} begins {what}", clock()));
        number
    }

    pub(crate) fn ends(&self, number: u64, told: &Told) {
        let ended = clock();
        let told = match told {
            Told::Done(with) => format!("done {with}"),
            Told::Granted { windows, used } => {
                let windows = windows.iter().map(|(name, limit)| format!(" {name} {limit}"));
                format!("granted {used}{}", windows.collect::<String>())
            }
            Told::Refused => "refused".to_owned(),
            Told::Gone => "gone".to_owned(),
            Told::Fault => "fault".to_owned(),
            Told::Unknown => "unknown".to_owned(),
        };
        self.write(&format!("{number} {ended} ends {told}"));
    }
}

fn what(words: &[&str]) -> What {
    match words {
        ["command", action, operation, about] => {
            let [action, operation, about] = [action, operation, about].map(|word| (*word).to_owned());
            What::Command { action, operation, about }
        }
        ["check", key, revision] => What::Check { key: (*key).to_owned(), revision: revision.parse().unwrap() },
        ["verify", key] => What::Verify { key: (*key).to_owned() },
        ["record", unit, total] => What::Record { unit: (*unit).to_owned(), total: total.parse().unwrap() },
        ["reserve", budget] => What::Reserve { budget: (*budget).to_owned() },
        ["flush"] => What::Flush,
        other => panic!("not a call: {other:?}"),
    }
}

fn told(words: &[&str]) -> Told {
    match words {
        ["done", with @ ..] => Told::Done(with.join(" ")),
        ["granted", used, windows @ ..] => {
            let windows = windows.chunks(2).map(|window| (window[0].to_owned(), window[1].parse().unwrap()));
            Told::Granted { windows: windows.collect(), used: used.parse().unwrap() }
        }
        ["refused"] => Told::Refused,
        ["gone"] => Told::Gone,
        ["fault"] => Told::Fault,
        ["unknown"] => Told::Unknown,
        other => panic!("not an answer: {other:?}"),
    }
}

/// The calls of one process, by what it has written.
pub(crate) fn read(by: usize, text: &str) -> Vec<Call> {
    let mut calls: BTreeMap<u64, Call> = BTreeMap::new();
    // A line without an end was cut off with its process.
    for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        let [number, at, rest @ ..] = &*words else { panic!("not a line: {line}") };
        let (number, at) = (number.parse().unwrap(), at.parse().unwrap());
        match rest {
            ["begins", rest @ ..] => {
                calls.insert(number, Call { by, what: what(rest), began: at, ended: NEVER, told: Told::Unknown });
            }
            ["ends", rest @ ..] => {
                let call = calls.get_mut(&number).unwrap();
                (call.ended, call.told) = (at, told(rest));
            }
            _ => panic!("not a line: {line}"),
        }
    }
    calls.into_values().collect()
}

#[test]
fn what_is_written_is_read_and_what_never_ended_is_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history");
    let recorder = Recorder::create(&path);
    let verify = What::Verify { key: "key".to_owned() };
    let granted = Told::Granted { windows: vec![("key/5".to_owned(), 30), ("owner/5".to_owned(), 40)], used: 2 };
    let first = recorder.begins(&verify);
    let create = What::Command { action: "create".to_owned(), operation: "o".to_owned(), about: "owner".to_owned() };
    recorder.begins(&create);
    recorder.ends(first, &granted);
    let calls = read(3, &std::fs::read_to_string(&path).unwrap());
    let [one, other] = &*calls else { panic!("{calls:?}") };
    assert_eq!((one.by, &one.what, &one.told), (3, &verify, &granted));
    assert!(one.began <= one.ended && one.ended != NEVER);
    assert_eq!((&other.what, &other.told, other.ended), (&create, &Told::Unknown, NEVER));
}
