//! Secrets on their way in: from the environment or standard input, never from the command line.

use std::io::{self, BufRead, IsTerminal, Read};

/// More than any credential has, and than the report of a leak takes, so that what is longer is seen to be so.
const MOST: u64 = 64 * 1024 + 2;

/// The bytes of the variable, or else of standard input. They need not be text: clove judges them as they are.
pub(crate) fn read(variable: &str, what: &str) -> io::Result<Vec<u8>> {
    if let Some(value) = std::env::var_os(variable) {
        return Ok(value.into_encoded_bytes());
    }
    let (input, mut bytes) = (io::stdin().lock(), Vec::new());
    if input.is_terminal() {
        eprint!("{what}, then Enter (it shows as you type; {variable} or a pipe avoids that): ");
        input.take(MOST).read_until(b'\n', &mut bytes)?;
    } else {
        input.take(MOST).read_to_end(&mut bytes)?;
    }
    // A shell's pipe and a terminal's line end in one line break that nobody meant; clove itself trims nothing.
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    Ok(bytes)
}
