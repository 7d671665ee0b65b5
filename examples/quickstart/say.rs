//! Standard output, which may be full, or be closed by whoever read enough.

use std::{
    fmt::Arguments,
    io::{self, ErrorKind, Write},
    sync::OnceLock,
};

/// The first line that could not be written; none is tried after it.
static FAILED: OnceLock<io::Error> = OnceLock::new();

/// `println!`, but without a panic.
macro_rules! say {
    ($($words:tt)*) => { $crate::say::line(format_args!($($words)*)) };
}
pub(crate) use say;

pub(crate) fn line(words: Arguments<'_>) {
    if FAILED.get().is_none()
        && let Err(error) = writeln!(io::stdout(), "{words}")
    {
        FAILED.get_or_init(|| error);
    }
}

/// Whether all was said. A reader who leaves early, as `head` does, has heard what it wanted.
pub(crate) fn all_said() -> io::Result<()> {
    all_heard().or_else(|error| if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
}

/// Whether all was said to somebody who was there: a secret is said once.
pub(crate) fn all_heard() -> io::Result<()> {
    let failed = |error: &io::Error| Err(io::Error::new(error.kind(), format!("standard output: {error}")));
    FAILED.get().map_or(Ok(()), failed)
}

/// Whether standard output is `/dev/null`, as one that was closed is too: Rust opens it in its place.
#[cfg(unix)]
pub(crate) fn goes_nowhere() -> bool {
    use std::{
        fs::{self, File},
        os::{fd::AsFd, unix::fs::MetadataExt},
    };
    let output = io::stdout().as_fd().try_clone_to_owned().and_then(|output| File::from(output).metadata());
    let device = |found: io::Result<fs::Metadata>| found.ok().map(|found| found.rdev());
    device(fs::metadata("/dev/null")).is_some_and(|null| device(output) == Some(null))
}

#[cfg(not(unix))]
pub(crate) fn goes_nowhere() -> bool {
    false
}
