//! What became of the latest messages, for those who ask.

use smpp::short_message::{Address, MessageState};
use std::collections::VecDeque;

/// Messages that are remembered; of older ones nothing is known.
const REMEMBERED: usize = 200_000;

/// What became of a message.
#[derive(Debug)]
pub(super) struct Fate {
    /// Where it came from, which has to be said by who asks.
    pub(super) source: Address,
    /// When it is so, in microseconds of the hub's time, and in those of the clock.
    pub(super) due: i64,
    pub(super) done: i64,
    pub(super) state: MessageState,
    /// The network's code.
    pub(super) error: u8,
}

/// By number, which go up by one.
#[derive(Debug, Default)]
pub(super) struct Record {
    first: u64,
    fates: VecDeque<Fate>,
}

impl Record {
    /// Remembers the next message.
    pub(super) fn add(&mut self, number: u64, fate: Fate) {
        if self.fates.is_empty() {
            self.first = number;
        }
        self.fates.push_back(fate);
        if self.fates.len() > REMEMBERED {
            self.fates.pop_front();
            self.first += 1;
        }
    }

    /// What became of a message.
    pub(super) fn of(&self, number: u64) -> Option<&Fate> {
        self.fates.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }
}
