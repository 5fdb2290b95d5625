//! What can go wrong, said once for both engines.
//!
//! Invariant: no text here carries a parameter's value. Values may be secrets, message bodies or
//! telephone numbers, and these texts end in logs. `PostgreSQL`'s `detail`, `hint` and `where` are
//! dropped for that reason, and so is the message of a data exception, which quotes the value.

use std::borrow::Cow;

/// Why a unit or a read failed. `at` is the `file:line` of the [`sql!`](crate::sql!) statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing was applied and the cause is likely to pass: the queue is full, the store is closed,
    /// there is no connection, another process holds the database, the disk is full.
    #[error("the store is unavailable: {why}")]
    Unavailable {
        /// What is missing, for the log.
        why: Cow<'static, str>,
    },
    /// The connection was lost, or the disk failed, while `COMMIT` was under way. Never retried here;
    /// whoever asks again needs an idempotency key.
    #[error(
        "the store is unavailable: the outcome of COMMIT is unknown, the change may or may not have been applied"
    )]
    Unknown,
    /// A read took longer than its limit ([`Options::scan_limit`](crate::Options)) and was stopped.
    #[error("the store is unavailable: the query took too long and was stopped")]
    TooSlow,
    /// A unit or a read awaited something else than its own `Tx` or `Rx`, or called the store again.
    #[error("a unit awaited something else than its own statements")]
    Foreign,
    /// A unit panicked; it was undone.
    #[error("a unit panicked")]
    Panicked,
    /// The number of parameters is not the statement's.
    #[error("{at}: the statement takes {wanted} parameters and was given {given}")]
    Parameters {
        /// The statement.
        at: &'static str,
        /// How many the statement has.
        wanted: usize,
        /// How many came.
        given: usize,
    },
    /// A text with a NUL, which `PostgreSQL` cannot hold and so neither engine is asked about: whoever
    /// looks for one finds nothing.
    #[error("{at}: a text with a NUL")]
    Nul {
        /// The statement.
        at: &'static str,
    },
    /// A column does not have the type or the width that the program reads, or there are more or
    /// fewer columns than it reads.
    #[error("{at}: {why}")]
    Decode {
        /// The statement.
        at: &'static str,
        /// Which column and why.
        why: String,
    },
    /// Integer arithmetic left the 64 bits (`SQLite` would go on with a floating point number).
    #[error("{at}: integer out of range")]
    Overflow {
        /// The statement.
        at: &'static str,
    },
    /// `one` found no row. Where that is possible, ask `maybe`.
    #[error("{at}: no row")]
    Missing {
        /// The statement.
        at: &'static str,
    },
    /// `one` or `maybe` found more than one row.
    #[error("{at}: more than one row")]
    Several {
        /// The statement.
        at: &'static str,
    },
    /// The engine refused the statement.
    #[error("{at}: {message} (code {code})")]
    Sql {
        /// The statement.
        at: &'static str,
        /// `SQLSTATE` on `PostgreSQL`, the extended result code on `SQLite`. Not portable: do not branch on it.
        code: String,
        /// The engine's text, without values.
        message: String,
    },
    /// The database's schema and this program do not fit each other.
    #[error("schema: {0}")]
    Schema(String),
    /// The database cannot be opened, or is set up so that it could lose what it acknowledged.
    #[error("cannot open the database: {0}")]
    Open(String),
}

impl Error {
    /// Whether a unique index refused a row. Guard with `ON CONFLICT` or `NOT EXISTS` where that can be
    /// told before; this is for what a guard cannot see, the same value written at the same moment.
    pub fn is_duplicate(&self) -> bool {
        matches!(self, Self::Sql { code, .. } if matches!(code.as_str(), "23505" | "2067" | "1555"))
    }

    /// Whether the cause is likely to pass, so that the answer is "service unavailable, try again"
    /// ([`Error::Unavailable`], [`Error::TooSlow`], and [`Error::Unknown`], which see).
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Unknown | Self::TooSlow)
    }

    /// For a [`Column`](crate::Column) that cannot be made of what it got; `what` was wanted, in words
    /// that hold no value. The statement's place is added by [`Row::next`](crate::Row::next).
    pub fn decode(what: impl Into<String>) -> Self {
        Self::Decode { at: "", why: what.into() }
    }

    pub(crate) fn unavailable(why: impl Into<Cow<'static, str>>) -> Self {
        Self::Unavailable { why: why.into() }
    }
}
