//! How a command ends, and what the shell hears of it.

use clove::{Error, Fault, Invalid};
use std::{error::Error as StdError, fmt, fmt::Display, process::ExitCode};

/// Why a command did not do what was asked.
pub(crate) enum Failure {
    /// 1: the rules, an argument that breaks one, or a denial; the sentence says what to do.
    Refused(String),
    /// 2: the command line.
    Usage(String),
    /// 3: what the service stands on failed, and nothing can be said.
    Fault(Box<dyn StdError>),
}

/// A fault, behind what it is about.
#[derive(Debug)]
struct About {
    what: String,
    error: Box<dyn StdError>,
}

impl Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.error)
    }
}

impl StdError for About {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.source()
    }
}

pub(crate) type Ended<T = ()> = Result<T, Failure>;

pub(crate) fn usage<T>(why: impl Display) -> Ended<T> {
    Err(Failure::Usage(why.to_string()))
}

pub(crate) fn fault<T>(what: impl Display, error: impl Into<Box<dyn StdError>>) -> Ended<T> {
    Err(Failure::Fault(Box::new(About { what: what.to_string(), error: error.into() })))
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(_) | Error::Invalid(_) => Self::Refused(error.to_string()),
            error => Self::Fault(error.into()),
        }
    }
}
impl From<Invalid> for Failure {
    fn from(error: Invalid) -> Self {
        Self::Refused(error.to_string())
    }
}
impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault.into())
    }
}
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Fault(error.into())
    }
}

/// Says why on standard error, and gives the exit code that `help` states.
pub(crate) fn tell(ended: Ended) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Refused(why)) => {
            eprintln!("{why}");
            ExitCode::from(1)
        }
        Err(Failure::Usage(why)) => {
            eprintln!("{why}\nThe commands: cargo run --example quickstart -- help");
            ExitCode::from(2)
        }
        Err(Failure::Fault(fault)) => {
            eprintln!("{fault}");
            causes(&*fault);
            ExitCode::from(3)
        }
    }
}

/// Says on standard error what failed beside the command, which is done: it ends as if that had not been.
pub(crate) fn warn(what: &str, error: &dyn StdError) {
    eprintln!("{what}: {error}");
    causes(error);
}

fn causes(error: &dyn StdError) {
    let mut source = error.source();
    while let Some(cause) = source {
        eprintln!("  because: {cause}");
        source = cause.source();
    }
}
