//! How a command ends, and what the shell hears of it.

use clove::{Error, Fault, Invalid, StoreError};
use std::{fmt::Display, process::ExitCode};

/// Why a command did not do what was asked.
pub(crate) enum Failure {
    /// 1: the rules, an argument that breaks one, or a denial; the sentence says what to do.
    Refused(String),
    /// 2: the command line.
    Usage(String),
    /// 3: what the service stands on failed, and nothing can be said.
    Fault(Box<dyn std::error::Error>),
}

pub(crate) type Ended<T = ()> = Result<T, Failure>;

pub(crate) fn usage<T>(why: impl Display) -> Ended<T> {
    Err(Failure::Usage(why.to_string()))
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
impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Fault(error.into())
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
            let mut source = fault.source();
            while let Some(cause) = source {
                eprintln!("  because: {cause}");
                source = cause.source();
            }
            ExitCode::from(3)
        }
    }
}
