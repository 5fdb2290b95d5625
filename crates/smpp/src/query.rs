//! Asking what became of a message: `query_sm` and its answer (SMPP 3.4, 4.8).

use crate::moment::Moment;
use crate::short_message::{Address, MessageState};
use crate::status::Status;

/// A question about a message that the SMSC has taken. It knows it by the id that it has given it; where the message came
/// from has to be said as it was said then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// As it stood in the answer to the message, at most 64 ASCII characters.
    pub id: String,
    /// The message's source.
    pub source: Address,
}

/// What the SMSC says about a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queried {
    /// The message's id once more; some leave it out.
    pub id: String,
    /// Since when it is so, if that is final.
    pub done: Option<Moment>,
    /// What became of it.
    pub state: MessageState,
    /// The network's code for why; 0 where nothing is wrong.
    pub error: u8,
}

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryAnswer {
    /// The SMSC knows.
    Known(Queried),
    /// It answers no more questions just now.
    Throttled {
        /// `ESME_RTHROTTLED` or `ESME_RMSGQFUL`.
        status: Status,
    },
    /// It does not know the message, or answers no questions at all.
    Refused {
        /// Why.
        status: Status,
    },
    /// It did not answer in time, or the connection ended before. The same may be asked again.
    Nothing,
}
