//! The limits of a session.

use std::time::Duration;

/// The limits of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Requests of ours that may be unanswered at a time, at least 1.
    pub window: usize,
    /// Messages of the other side that may be unanswered at a time. More are answered at once with a status that asks to
    /// try again later.
    pub inbound: usize,
    /// How long an answer may take.
    pub response_timeout: Duration,
    /// An SMSC ends a connection on which no bind came for so long.
    pub bind_timeout: Duration,
    /// After so long without a word from the other side it is asked whether it is still there.
    pub enquire_after: Duration,
    /// Questions without any answer, each [`Options::response_timeout`] after the other, that end the connection.
    pub enquire_attempts: u32,
    /// Octets of the longest frame that can be one, at least 16.
    pub largest_frame: u32,
    /// The number of our first request, from 1 to 0x7FFFFFFF.
    pub first_sequence: u32,
    /// Octets that may wait to be written; the connection ends if the other side asks and does not read.
    pub largest_output: usize,
    /// Whether an SMSC tells what became of messages. One that does not refuses every question.
    pub takes_queries: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            window: 10,
            inbound: 1_000,
            response_timeout: Duration::from_secs(10),
            bind_timeout: Duration::from_secs(10),
            enquire_after: Duration::from_secs(30),
            enquire_attempts: 3,
            // A `message_payload` at its longest, and all other fields.
            largest_frame: 70_000,
            first_sequence: 1,
            largest_output: 1 << 22,
            takes_queries: false,
        }
    }
}
