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
    match FAILED.get() {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(io::Error::new(error.kind(), format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}
