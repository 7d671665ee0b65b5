//! Runs the test binaries several at a time: many of them wait more than they reckon.

use crate::step::{self, Count, Ended};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, mpsc},
    thread,
    time::Instant,
};

/// A test binary, and where cargo would run it.
struct Binary {
    file: PathBuf,
    folder: PathBuf,
}

/// Runs all test binaries that `cargo test` with these arguments would, one for each core at a time.
pub(crate) fn run(name: &str, arguments: &[&str], env: &[(&str, String)]) -> Ended {
    println!("\n== {name}");
    let began = Instant::now();
    let binaries = match built(arguments) {
        Ok(binaries) => binaries,
        Err(wrong) => return step::ended(name, began, Some(&wrong), Count::default()),
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let (waiting, (tell, told)) = (Mutex::new(binaries.into_iter()), mpsc::channel());
    let next = || waiting.lock().ok()?.next();
    let (mut count, mut failed) = (Count::default(), Vec::new());
    thread::scope(|scope| {
        for tell in vec![tell; threads] {
            scope.spawn(move || {
                while let Some(binary) = next() {
                    // Whoever listens does so to the end.
                    let _ = tell.send((binary.run(env), binary));
                }
            });
        }
        for ((ok, output), binary) in told {
            let shown = binary.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            println!("\n     Running {shown}");
            output.lines().for_each(|line| {
                println!("{line}");
                step::add(&mut count, line);
            });
            if !ok {
                failed.push(shown);
            }
        }
    });
    let wrong = if failed.is_empty() { None } else { Some(format!("failed: {}", failed.join(", "))) };
    step::ended(name, began, wrong.as_deref(), count)
}

/// The test binaries that cargo has built, or builds now.
fn built(arguments: &[&str]) -> Result<Vec<Binary>, String> {
    let messages = step::built(&[arguments, &["--no-run"]].concat())?;
    let binaries: Vec<Binary> = messages.iter().filter_map(Binary::of).collect();
    if binaries.is_empty() { Err("cargo names no test binary".to_owned()) } else { Ok(binaries) }
}

impl Binary {
    /// The one that a message of cargo tells of, if it does.
    fn of(message: &Value) -> Option<Self> {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(PathBuf::from);
        let is_test = message.pointer("/profile/test").and_then(Value::as_bool)?;
        let file = text(message.get("executable")).filter(|_| is_test)?;
        let folder = text(message.get("manifest_path"))?.parent().map(Path::to_owned)?;
        Some(Self { file, folder })
    }

    /// Whether it succeeded, and what it said.
    fn run(&self, env: &[(&str, String)]) -> (bool, String) {
        let mut command = Command::new(&self.file);
        command.current_dir(&self.folder).envs(env.iter().map(|(name, value)| (name, value)));
        match command.stdin(Stdio::null()).output() {
            Ok(output) => {
                let [said, wrong] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
                (output.status.success(), said + &wrong)
            }
            Err(error) => (false, format!("it did not start: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_run_as_a_test_is_a_test_binary() {
        let message = |test: bool, executable: Value| serde_json::json!({"profile": {"test": test}, "executable": executable, "manifest_path": "/house/room/Cargo.toml"});
        let binary = Binary::of(&message(true, "/house/target/room-1".into())).map(|binary| (binary.file, binary.folder));
        assert_eq!(binary, Some((PathBuf::from("/house/target/room-1"), PathBuf::from("/house/room"))));
        assert!(Binary::of(&message(false, "/house/target/room".into())).is_none());
        assert!(Binary::of(&message(true, Value::Null)).is_none());
        assert!(Binary::of(&serde_json::json!({"reason": "build-finished"})).is_none());
    }

    #[test]
    fn what_a_binary_says_and_how_it_ends_is_known() {
        let folder = PathBuf::from("/");
        let (ok, said) = Binary { file: "/bin/pwd".into(), folder: folder.clone() }.run(&[]);
        assert_eq!((ok, said.trim()), (true, "/"));
        assert!(!Binary { file: "/bin/false".into(), folder: folder.clone() }.run(&[]).0);
        assert!(!Binary { file: "/no/such/file".into(), folder }.run(&[]).0);
    }
}
