//! `verify-cached-instructions`: what the granted path executes, counted by valgrind's callgrind, beside a committed count. Unlike a
//! time it is the same on a busy machine and an idle one, so that no noise hides a regression.
//!
//! Only instructions of this program are compared, and not those of SHA-256 and ChaCha20 (the random bits of a grant's id): the C
//! library and these two choose their code by the processor that they find, and valgrind shows them what it can of the one that it
//! runs on.

use super::{
    BILLION, Bookkeeping, CACHE_BYTES, Counted,
    crowd::{Text, heard_once, limit, texts, verify},
    policy,
    watched::{Answers, Watched},
};
use crate::{
    figure::{Bar, Figure},
    fixture, limits,
    measure::wait_for,
};
use clove_core::{Attempt, Clove, MemoryStore, NewKey, Verdict};
use std::{
    collections::BTreeMap,
    fs,
    hint::black_box,
    path::{Path, PathBuf},
    process::Command,
};

const NAME: &str = "verify-cached-instructions";
/// The same count beside the limit's, stated.
const OF_LIMIT: &str = "verify-cached-instructions-of-limit";
/// The hidden argument: run the granted path, to be counted from outside.
pub(crate) const CHILD: &str = "--child-granted-path";
/// Compares, says what is wrong in a sentence, and fails; for `cargo xtask test`.
pub(crate) const CHECK: &str = "--check-instructions";
/// Commits to the count as it is.
pub(crate) const RENEW: &str = "--renew-instructions";
/// Runs the limit in its place.
const LIMIT: &str = "limit";
const BAR: f64 = 0.03;
const KEYS: u64 = 500;
const ROUNDS: u64 = 4;

pub(crate) fn names() -> Vec<String> {
    [NAME, OF_LIMIT].map(str::to_owned).into()
}

pub(crate) fn run(wanted: &dyn Fn(&str) -> bool, report: &mut dyn FnMut(Figure)) {
    let counted = count(None).and_then(|ours| Ok((ours, if wanted(OF_LIMIT) { Some(count(Some(LIMIT))?) } else { None })));
    let (ours, limit) = match counted {
        Ok(counted) => counted,
        Err(error) => return eprintln!("{NAME}: left out: {error}"),
    };
    if wanted(NAME) {
        report(figure(&ours));
    }
    if let Some(limit) = limit {
        report(Figure { name: OF_LIMIT.to_owned(), value: ours.own, limit: limit.own, unit: "instr", bar: Bar::None });
    }
}

fn figure(counted: &Counts) -> Figure {
    let limit = committed().map_or(f64::NAN, |(count, _)| count);
    Figure { name: NAME.to_owned(), value: counted.own, limit, unit: "instr", bar: Bar::Within(BAR) }
}

/// What `cargo xtask test` asks for: a sentence either way.
pub(crate) fn check() -> Result<String, String> {
    let counted = count(None)?;
    let (before, with) = committed()?;
    let now = counted_with();
    if figure(&counted).holds() == Some(true) {
        return Ok(format!("{:.1} instructions a cached verification; {before} are committed", counted.own));
    }
    let other = if with == now { String::new() } else { format!(" The committed count is of {with}, this one of {now}.") };
    Err(format!(
        "A cached verification takes {:.1} instructions, which is not within {:.0} % of the {before} in {}.{other} If that is meant, \
         commit to it with `cargo xtask bench {RENEW}`. Most of them:\n{}",
        counted.own,
        BAR * 100.0,
        file().display(),
        counted.table(15)
    ))
}

pub(crate) fn renew() -> Result<String, String> {
    let counted = count(None)?;
    let text = format!(
        "# Instructions of one cached verification: `id;secret` to Grant, two windows of the key. Counted by callgrind over {} of them;\n\
         # only this program's own, those of the crates sha2 and chacha20 excepted, which choose their code by the processor. `cargo xtask test` compares within {:.0} %; `cargo xtask bench {RENEW}` renews.\n\
         instructions {:.1}\n\
         with {}\n",
        KEYS * ROUNDS,
        BAR * 100.0,
        counted.own,
        counted_with()
    );
    fs::write(file(), text).map_err(|error| format!("{} cannot be written: {error}", file().display()))?;
    Ok(format!(
        "{:.1} instructions a cached verification, committed to in {}\n{}",
        counted.own,
        file().display(),
        counted.table(40)
    ))
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.txt")
}

/// The committed count, and what it was counted with.
fn committed() -> Result<(f64, String), String> {
    let path = file();
    let text = fs::read_to_string(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let count = line("instructions ").and_then(|count| count.trim().parse().ok());
    let count = count.ok_or_else(|| format!("{} tells no count: renew it with `cargo xtask bench {RENEW}`", path.display()))?;
    Ok((count, line("with ").unwrap_or("an unknown compiler").trim().to_owned()))
}

/// What moves the count though nobody has changed this program.
fn counted_with() -> String {
    let version = |command: &str| {
        let output = Command::new(command).arg("--version").output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).lines().next()?.trim().to_owned())
    };
    let unknown = || "an unknown version".to_owned();
    format!(
        "{}, {}, {}",
        version("rustc").unwrap_or_else(unknown),
        version("valgrind").unwrap_or_else(unknown),
        std::env::consts::ARCH
    )
}

/// Instructions of one verification.
struct Counts {
    /// What is compared.
    own: f64,
    /// Those of each function, what is left out among them.
    by_function: BTreeMap<String, f64>,
}

impl Counts {
    fn table(&self, rows: usize) -> String {
        let mut rows_by_count: Vec<_> = self.by_function.iter().collect();
        rows_by_count.sort_by(|one, other| other.1.total_cmp(one.1));
        rows_by_count.iter().take(rows).map(|(name, count)| format!("  {count:>8.1}  {name}\n")).collect()
    }
}

fn count(of: Option<&str>) -> Result<Counts, String> {
    let program = std::env::current_exe().map_err(|error| format!("this program is not to be found: {error}"))?;
    let folder = tempfile::tempdir().map_err(|error| format!("no folder for callgrind: {error}"))?;
    let out = folder.path().join("callgrind.out");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--compress-strings=no", "--compress-pos=no", "--collect-atstart=no"])
        .args(["--toggle-collect=*_to_be_counted*".to_owned(), format!("--callgrind-out-file={}", out.display())])
        .arg(&program)
        .arg(CHILD)
        .args(of)
        .output();
    let output = output.map_err(|error| {
        format!(
            "valgrind did not start ({error}): it counts instructions; install it, for example with `apt-get install valgrind`"
        )
    })?;
    if !output.status.success() {
        return Err(format!("the granted path failed under valgrind:\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    let text = fs::read_to_string(&out).map_err(|error| format!("callgrind wrote nothing: {error}"))?;
    let counts = sum(&text, &program.display().to_string(), (KEYS * ROUNDS) as f64);
    if counts.own > 0.0 {
        Ok(counts)
    } else {
        Err("callgrind counted nothing: is the granted path a function of its own?".to_owned())
    }
}

/// Adds up a file of callgrind's, each function's own instructions, without what it called.
fn sum(text: &str, program: &str, verifications: f64) -> Counts {
    let (mut object, mut function, mut is_call) = ("", "", false);
    let mut counts = Counts { own: 0.0, by_function: BTreeMap::new() };
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("ob=") {
            object = name;
        } else if let Some(name) = line.strip_prefix("fn=") {
            function = name;
        } else if line.starts_with("calls=") {
            // The next line is what the called function took.
            is_call = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit()) && !std::mem::take(&mut is_call) {
            let count: f64 = line.split(' ').nth(1).and_then(|count| count.parse().ok()).unwrap_or(0.0);
            let count = count / verifications;
            let is_left_out = object != program || function.starts_with("sha2::") || function.starts_with("chacha20::");
            counts.own += if is_left_out { 0.0 } else { count };
            let name = if is_left_out { format!("({function})") } else { function.to_owned() };
            *counts.by_function.entry(name).or_default() += count;
        }
    }
    counts
}

/// What is counted: keys on a store in memory, asked as one that is polled, so that nothing but verification runs.
pub(crate) fn child(arguments: &[String]) {
    if arguments == [LIMIT] {
        let texts = texts(KEYS);
        return limit_to_be_counted(&limit(&texts), &texts);
    }
    let (store, _) = Watched::new(MemoryStore::new(), Answers::AtOnce);
    let clove = Clove::new(store, policy(Counted::ByKey, BILLION, CACHE_BYTES, Bookkeeping::On));
    heard_once(&clove);
    let (owner, by) = (fixture::owner(0), fixture::by());
    let texts: Vec<Text> = (0..KEYS)
        .map(|_| {
            let issued = wait_for(clove.create(&owner, NewKey::named("bench").expect("a name"), &by)).0.expect("a key");
            issued.credential.expect("a new key has a credential").reveal().as_bytes().try_into().expect("73 bytes")
        })
        .collect();
    for text in &texts {
        // Twice as many are taken the next time.
        assert!(matches!(wait_for(clove.verify(Attempt::new(text).costing(1_000))).0, Ok(Verdict::Granted(_))));
        verify(&clove, text);
    }
    granted_path_to_be_counted(&clove, &texts);
}

#[inline(never)]
fn limit_to_be_counted(limit: &limits::Cached, texts: &[Text]) {
    for _ in 0..ROUNDS {
        texts.iter().for_each(|text| assert!(limit.verify(black_box(text))));
    }
}

#[inline(never)]
fn granted_path_to_be_counted(clove: &Clove, texts: &[Text]) {
    for _ in 0..ROUNDS {
        texts.iter().for_each(|text| verify(clove, black_box(text)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_counted_without_what_they_call_and_without_what_the_processor_chooses() {
        let text = "events: Ir\nfl=(?)\nob=/bench\nfn=ours\n0 10\ncob=/libc.so\ncfn=memcmp\ncalls=2 0\n0 500\n0 4\n\nob=/libc.so\n\
                    fn=memcmp\n0 500\n\nob=/bench\nfn=sha2::compress\n0 6000\nfn=chacha20::block\n0 60\ntotals: 6574\n";
        let counts = sum(text, "/bench", 2.0);
        assert_eq!(counts.own, 7.0);
        assert_eq!(counts.by_function["(memcmp)"], 250.0);
        assert_eq!(counts.by_function["(sha2::compress)"], 3_000.0);
    }

    #[test]
    fn a_count_is_committed() {
        let (count, with) = committed().expect("a count");
        assert!(count > 0.0 && !with.is_empty());
    }
}
