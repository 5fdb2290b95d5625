//! What happens on a session, and why something does not.

use crate::query::{Query, QueryAnswer};
use crate::session::Bind;
#[cfg(doc)]
use crate::session::Session;
use crate::short_message::{ShortMessage, Unwritable};
use crate::status::Status;

/// A message or question that arrived and waits for its answer. Those of one session mean nothing to any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handle {
    pub(crate) session: u64,
    pub(crate) number: u64,
}

/// How a message came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Arrival {
    /// As `submit_sm`.
    Submit,
    /// As `deliver_sm`.
    Deliver,
    /// As `data_sm`.
    Data,
}

/// What the other side said to a message of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It took the message, under this id (of a `deliver_sm`: mostly empty).
    Accepted {
        /// As it stands in the answer.
        id: String,
    },
    /// It takes no more just now: the same message is welcome later.
    Throttled {
        /// `ESME_RTHROTTLED` or `ESME_RMSGQFUL`.
        status: Status,
    },
    /// It does not take this message.
    Refused {
        /// Why.
        status: Status,
    },
}

/// Why nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// This session cannot send this now: it is not bound, is ending, or is bound the other way.
    #[error("not bound for this")]
    NotBound,
    /// The window is full.
    #[error("the window is full")]
    Full,
    /// The message does not fit the protocol.
    #[error(transparent)]
    Unwritable(#[from] Unwritable),
    /// A field of the bind is too long or has others than ASCII characters.
    #[error("a name, password and type of ASCII characters are needed")]
    Bind,
}

/// What was counted on a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Frames that were read.
    pub frames: u64,
    /// Requests that could not be read.
    pub malformed: u64,
    /// Answers to nothing.
    pub unmatched: u64,
    /// Messages turned away since too many waited for their answers.
    pub turned_away: u64,
    /// Requests that need no answer and mean nothing here.
    pub ignored: u64,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The bind was refused: by the other side, or by us.
    BindRefused(Status),
    /// No bind, or no answer to one, came in time.
    BindTimeout,
    /// We unbound.
    Unbound,
    /// The other side unbound.
    UnboundByPeer,
    /// The other side no longer answers.
    Silent,
    /// A length came that none can have: what follows cannot be read.
    Framing {
        /// The length.
        length: u32,
    },
    /// The other side asks and does not read.
    Stalled,
    /// The connection was closed.
    Closed,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<T> {
    /// An ESME wants to bind: [`Session::accept_bind`] or [`Session::refuse_bind`].
    BindRequested(Bind),
    /// The SMSC took our bind.
    Bound {
        /// Its name.
        system_id: String,
        /// Its version, if it said one.
        interface_version: Option<u8>,
    },
    /// A message came: [`Session::accept`] or [`Session::refuse`], when it is stored.
    Received {
        /// What to answer with.
        handle: Handle,
        /// How it came.
        arrival: Arrival,
        /// The message.
        message: Box<ShortMessage>,
    },
    /// A message of ours was answered.
    Answered {
        /// As given to [`Session::submit`] or [`Session::deliver`].
        token: T,
        /// What was said.
        answer: Answer,
        /// Whether [`Event::Overdue`] came before it.
        is_late: bool,
    },
    /// A message of ours was not answered in time: it is in doubt.
    Overdue {
        /// As given to [`Session::submit`] or [`Session::deliver`].
        token: T,
    },
    /// As ESME: what came of a question, told once for each.
    Queried {
        /// As given to [`Session::query`].
        token: T,
        /// What was said, if anything.
        answer: QueryAnswer,
    },
    /// As SMSC: a question came: [`Session::tell`] or [`Session::refuse`].
    QueryRequested {
        /// What to answer with.
        handle: Handle,
        /// What is asked.
        query: Query,
    },
    /// A request could not be read, and was answered so.
    Malformed {
        /// Its `command_id`.
        command: u32,
        /// What it was answered with.
        status: Status,
    },
    /// It is over: write what is left, and close the connection.
    Ended {
        /// Why.
        reason: End,
        /// Messages of ours that were not answered, in the order in which they were sent: they are in doubt. Of questions
        /// [`Event::Queried`] came before.
        in_doubt: Vec<T>,
    },
}
