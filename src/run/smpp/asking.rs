//! What a carrier is asked: parts that it has named and not reported on. A few questions at a time, in a share of the room
//! that its windows and its pace leave, so that what waits to leave is not held up.

use crate::core::Result;
use crate::core::carrier::CarrierId;
use crate::core::part::{PartId, Shift};
use crate::core::query::{self, Question};
use crate::core::receipt::{self, Receipt};
use smpp::session::QueryAnswer;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use store::Store;

/// Questions to one carrier that may be unanswered.
pub const MOST_ASKED: usize = 10;
/// Between two looks for parts that are to be asked about.
const LOOKS_US: i64 = 1_000_000;

/// A question that was sent.
pub(super) struct Asked {
    /// Under which the part's receipts come.
    pub(super) reference: String,
    /// The carrier's own name for it.
    pub(super) name: String,
    /// The link that it left over.
    pub(super) link: usize,
}

/// The part of a desk that asks.
pub(super) struct Asking {
    carrier: Arc<str>,
    /// Without a receipt for so long a part is asked about; none where nothing is asked.
    after_us: Option<i64>,
    /// Noted in the tables as asked, and not sent yet.
    waiting: VecDeque<Question>,
    /// Sent, and not answered.
    asked: HashMap<PartId, Asked>,
    /// What was said, to be recorded.
    pub(super) learned: Vec<Receipt>,
    /// When the next look is due.
    looks_at: i64,
    /// Whether a question has the next slot that cannot be shared.
    is_next: bool,
    is_refused: bool,
}

impl Asking {
    pub(super) fn new(carrier: Arc<str>, after: Option<Duration>) -> Asking {
        let after_us = after.map(|after| i64::try_from(after.as_micros()).unwrap_or(i64::MAX));
        Asking {
            carrier,
            after_us,
            waiting: VecDeque::new(),
            asked: HashMap::new(),
            learned: Vec::new(),
            looks_at: i64::MIN,
            is_next: false,
            is_refused: false,
        }
    }

    /// What another process asks from now on.
    pub(super) fn forget(&mut self) {
        self.waiting.clear();
        self.asked.clear();
        self.learned.clear();
        self.looks_at = i64::MIN;
    }

    /// How many questions of those that wait may leave into this room: half of it, so that both go on.
    pub(super) fn share(&mut self, room: usize) -> usize {
        let most = self.waiting.len().min(MOST_ASKED.saturating_sub(self.asked.len()));
        if most == 0 || room == 0 {
            return 0;
        }
        self.is_next = !self.is_next;
        most.min(room / 2 + usize::from(self.is_next && room % 2 == 1))
    }

    /// The next question, which leaves over a link.
    pub(super) fn next(&mut self, link: usize) -> Option<Question> {
        loop {
            let question = self.waiting.pop_front()?;
            // One that is not answered yet: its row says when it is asked again.
            if let Entry::Vacant(place) = self.asked.entry(question.part) {
                place.insert(Asked {
                    reference: question.reference.clone(),
                    name: question.name.clone(),
                    link,
                });
                return Some(question);
            }
        }
    }

    /// The question that is answered now.
    pub(super) fn answered(&mut self, part: PartId, answer: &QueryAnswer) -> Option<Asked> {
        match answer {
            QueryAnswer::Refused { status } if !self.is_refused => {
                self.is_refused = true;
                tracing::warn!(carrier = %self.carrier, %status, "a carrier does not say what became of a message");
            }
            QueryAnswer::Known(_) => self.is_refused = false,
            _ => {}
        }
        self.asked.remove(&part)
    }

    /// Looks for what is to be asked, once in a while and when there is room for it.
    pub(super) async fn look(&mut self, store: &Store, shift: Shift, room: usize, now: i64) -> Result<()> {
        let Some(after_us) = self.after_us.filter(|_| room > 0 && self.waiting.is_empty()) else {
            return Ok(());
        };
        if now < self.looks_at {
            return Ok(());
        }
        let questions: Vec<Question> = store.write((shift, after_us, MOST_ASKED), query::claim).await?;
        if questions.len() < MOST_ASKED {
            self.looks_at = now.saturating_add(LOOKS_US);
        }
        self.waiting.extend(questions);
        Ok(())
    }
}

/// Records what a carrier has said; what could not be recorded comes back.
pub(super) async fn record(
    store: &Store,
    carrier: CarrierId,
    learned: Vec<Receipt>,
) -> (Vec<Receipt>, Result<()>) {
    if learned.is_empty() {
        return (learned, Ok(()));
    }
    match store.write((carrier, learned.clone()), receipt::reported).await {
        Ok(_) => (Vec::new(), Ok(())),
        Err(error) => (learned, Err(error)),
    }
}
