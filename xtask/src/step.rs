//! One step of a longer run: a command, its output shown as it comes, its test results counted.

use serde_json::Value;
use std::{
    fmt,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Tests that ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
}

impl std::ops::Add for Count {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { passed: self.passed + other.passed, failed: self.failed + other.failed, ignored: self.ignored + other.ignored }
    }
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok,
    Failed,
    NotRun,
}

/// How a step ended.
pub(crate) struct Ended {
    pub(crate) name: String,
    pub(crate) took: Duration,
    pub(crate) outcome: Outcome,
    pub(crate) count: Count,
}

impl Ended {
    /// A step that something in its way has kept from running.
    pub(crate) fn not_run(name: &str) -> Self {
        Self { name: name.to_owned(), took: Duration::ZERO, outcome: Outcome::NotRun, count: Count::default() }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome {
            Outcome::Ok => "ok",
            Outcome::Failed => "FAILED",
            Outcome::NotRun => "not run",
        };
        write!(f, "{outcome:7} {:>7.1} s  {:36}", self.took.as_secs_f64(), self.name)?;
        match self.count {
            Count { passed: 0, failed: 0, .. } => Ok(()),
            Count { passed, failed, ignored } => write!(f, " {passed} tests passed, {failed} failed, {ignored} ignored"),
        }
    }
}

/// `cargo` at the root of the workspace.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// What cargo tells of what it has built, message by message. Its complaints are shown.
pub(crate) fn built(arguments: &[&str]) -> Result<Vec<Value>, String> {
    let output = cargo(arguments).args(["--message-format", "json-render-diagnostics"]).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("cargo did not start: {error}"))?;
    if !output.status.success() {
        return Err("not built".to_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

pub(crate) fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

/// Runs a command under a heading, and passes its output on.
pub(crate) fn run(name: &str, command: &mut Command) -> Ended {
    println!("\n== {name}");
    let began = Instant::now();
    let mut count = Count::default();
    let ok = watch(command, |line| {
        println!("{line}");
        add(&mut count, line);
    });
    let wrong = match ok {
        Ok(true) => None,
        Ok(false) => Some(format!("{name} failed")),
        Err(error) => Some(format!("{name} did not run: {error}")),
    };
    ended(name, began, wrong.as_deref(), count)
}

/// A step that is over now, and what was wrong.
pub(crate) fn ended(name: &str, began: Instant, wrong: Option<&str>, count: Count) -> Ended {
    if let Some(wrong) = wrong {
        eprintln!("{wrong}");
    }
    Ended { name: name.to_owned(), took: began.elapsed(), outcome: outcome(wrong.is_none() && count.failed == 0), count }
}

/// Looks at something under a heading, and says what was found.
pub(crate) fn check(name: &str, look: impl FnOnce() -> Result<String, String>) -> Ended {
    println!("\n== {name}");
    let began = Instant::now();
    let found = look();
    if let Ok(found) = &found {
        println!("{found}");
    }
    ended(name, began, found.err().as_deref(), Count::default())
}

fn outcome(ok: bool) -> Outcome {
    if ok { Outcome::Ok } else { Outcome::Failed }
}

fn watch(command: &mut Command, mut each: impl FnMut(&str)) -> std::io::Result<bool> {
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            each(&String::from_utf8_lossy(&line?));
        }
    }
    Ok(child.wait()?.success())
}

/// Adds what a closing line of a test run says: `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
pub(crate) fn add(count: &mut Count, line: &str) {
    let Some(result) = line.strip_prefix("test result: ") else { return };
    let number = |what: &str| {
        let part = result.split([';', '.']).map(str::trim).find_map(|part| part.strip_suffix(what))?;
        part.trim().parse::<u64>().ok()
    };
    count.passed += number("passed").unwrap_or(0);
    count.failed += number("failed").unwrap_or(0);
    count.ignored += number("ignored").unwrap_or(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_added_up_and_other_lines_are_not() {
        let mut count = Count::default();
        add(&mut count, "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s");
        add(&mut count, "test result: FAILED. 2 passed; 5 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s");
        add(&mut count, "9 passed; 9 failed");
        assert_eq!(count, Count { passed: 5, failed: 5, ignored: 1 });
    }
}
