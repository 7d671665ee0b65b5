//! One step of a longer run: a command, its output shown as it comes, its test results counted.

use std::{
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

/// How a step ended.
pub(crate) struct Ended {
    pub(crate) name: String,
    pub(crate) took: Duration,
    pub(crate) ok: bool,
    pub(crate) count: Count,
}

/// `cargo` at the root of the workspace.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

fn root() -> &'static Path {
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
    let ok = ok.unwrap_or_else(|error| {
        eprintln!("{name} did not run: {error}");
        false
    });
    Ended { name: name.to_owned(), took: began.elapsed(), ok: ok && count.failed == 0, count }
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
fn add(count: &mut Count, line: &str) {
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
