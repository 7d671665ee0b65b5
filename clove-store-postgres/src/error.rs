//! What the driver and the server say, as far as it holds no value of a row.

use clove_core::{StoreError, error::Unique};
use sqlx::{
    error::DatabaseError,
    postgres::{PgDatabaseError, PgSeverity},
};
use std::error::Error;

/// Why a statement failed.
pub(crate) enum Failure {
    /// Nothing was written, and the same may succeed: run it again.
    Again(StoreError),
    /// Final.
    Store(StoreError),
}

/// What went wrong between the store and the server. Texts that may quote a row, such as the detail of a violated constraint, are
/// left out: a digest is not to stand in a log.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriverError {
    /// The server refused: SQLSTATE, and what it said where that names no values.
    #[error("SQLSTATE {code}{}{message}", if .message.is_empty() { "" } else { ": " })]
    Server {
        /// Five characters; <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
        code: String,
        /// The server's message, or nothing.
        message: String,
    },
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Connection(std::io::ErrorKind),
    /// The server gave no answer in time.
    #[error("no answer within {0:?}")]
    Timeout(std::time::Duration),
    /// Anything else, by its kind.
    #[error("{0}")]
    Other(&'static str),
}

/// Classes of SQLSTATE whose messages name things and no values: connection, authorization, catalogue, resources, operator.
const NAMES_NO_VALUES: [&str; 9] = ["08", "28", "3D", "3F", "40", "42", "53", "55", "57"];

impl DriverError {
    /// What an error of this store says.
    pub(crate) fn said(error: &StoreError) -> Self {
        let said = error.source().and_then(|source| source.downcast_ref::<Self>());
        said.cloned().unwrap_or(Self::Other("the driver failed"))
    }

    pub(crate) fn of(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => {
                let code = error.code().unwrap_or_default().into_owned();
                let names_no_values = code.get(..2).is_some_and(|class| NAMES_NO_VALUES.contains(&class));
                let message = if names_no_values { error.message().to_owned() } else { String::new() };
                Self::Server { code, message }
            }
            // What rustls refuses comes so.
            sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => Self::Other(
                "the encrypted connection could not be set up: the server's certificate is of no trusted authority, for another name, \
                 or out of date",
            ),
            sqlx::Error::Io(error) => Self::Connection(error.kind()),
            sqlx::Error::PoolTimedOut => Self::Other("no connection of the pool became free in time"),
            sqlx::Error::PoolClosed => Self::Other("the pool is closed"),
            sqlx::Error::Tls(_) => Self::Other("the encrypted connection could not be set up"),
            sqlx::Error::Configuration(_) => Self::Other("the connection's settings cannot be read"),
            sqlx::Error::Protocol(_) => Self::Other("the server's answer could not be understood"),
            sqlx::Error::BeginFailed => Self::Other("no transaction was begun"),
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Self::Other("a column is of another type"),
            _ => Self::Other("the driver failed"),
        }
    }
}

/// A store error with what the driver said.
pub(crate) fn unavailable(what: &'static str, error: &sqlx::Error) -> StoreError {
    StoreError::unavailable(what, DriverError::of(error))
}

/// What the server did not do, or said nothing of, before a commit was sent: nothing was written.
pub(crate) fn failed(error: sqlx::Error) -> Failure {
    let what = "reading or writing the database";
    if let Some(unique) = violated(&error) {
        return Failure::Store(StoreError::Conflict(unique));
    }
    if may_pass(&error) { Failure::Again(unavailable(what, &error)) } else { Failure::Store(unavailable(what, &error)) }
}

/// Whether the same may succeed on another attempt: the transaction lost against another one, or the connection was lost.
pub(crate) fn may_pass(error: &sqlx::Error) -> bool {
    is_undone(error) || was_cut(error)
}

/// Whether nothing of the transaction is done: it lost against another one, or was left alone for too long.
fn is_undone(error: &sqlx::Error) -> bool {
    matches!(code(error).as_deref(), Some("40001" | "40P01" | "25P03"))
}

/// Whether nobody knows what became of the statement: the connection was lost, or the backend told to end.
pub(crate) fn was_cut(error: &sqlx::Error) -> bool {
    match error {
        // A backend that is told to end, a server that comes up or goes down; or what a pooler says of either.
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| code.starts_with("08") || matches!(&*code, "57P01" | "57P02" | "57P03" | "57P05" | "25P04")),
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}

/// Whether the server ended the session by saying so. A commit may be done all the same: that the log could not be flushed is a PANIC,
/// and the server recovers by that log.
pub(crate) fn was_last(error: &sqlx::Error) -> bool {
    let said = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    !is_undone(error) && said.is_some_and(|error| matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic))
}

/// Which of what is to be unique is there already.
fn violated(error: &sqlx::Error) -> Option<Unique> {
    let error = error.as_database_error()?;
    if error.code().as_deref() != Some("23505") {
        return None;
    }
    // A partition's own key is named after it.
    let constraint = error.try_downcast_ref::<PgDatabaseError>()?.constraint()?;
    match constraint {
        "keys_pkey" => Some(Unique::KeyId),
        "secrets_pkey" => Some(Unique::Digest),
        "operations_pkey" => Some(Unique::OperationId),
        _ if constraint.starts_with("audit") => Some(Unique::AuditId),
        _ => None,
    }
}

pub(crate) fn code(error: &sqlx::Error) -> Option<std::borrow::Cow<'_, str>> {
    error.as_database_error().and_then(DatabaseError::code)
}

/// Of the last attempt.
impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Again(error) | Failure::Store(error) => error,
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        failed(error)
    }
}
