//! The simulated carrier: takes every part and reports on it, without a phone. Numbers that begin with 99900, which no
//! country has, choose what it does: docs/simulated-carrier.md.

use crate::core::message::{Reason, Status};
use crate::core::number;
use crate::core::part::{Answer, Part, PartId};
use crate::core::phone::Msisdn;
use crate::core::receipt::{Outcome, Receipt};
use crate::core::{AccountId, Scope, Timestamp};
use std::collections::BTreeMap;

/// What a number asks for: `99900`, three digits of what, three digits of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wish {
    what: i64,
    delay_us: i64,
}

/// A second between two reports on the same part.
const BETWEEN_US: i64 = 1_000_000;
/// Characters of a text that a reply quotes.
const QUOTED: usize = 100;

fn wish(to: Msisdn) -> Wish {
    let is_magic = to.0 / 1_000_000 == 99_900;
    if !is_magic {
        return Wish { what: 0, delay_us: 0 };
    }
    Wish { what: to.0 / 1_000 % 1_000, delay_us: to.0 % 1_000 * 1_000_000 }
}

/// Something that will come from the carrier.
#[derive(Debug, Clone)]
pub(super) enum Event {
    /// It reports on a part.
    Receipt(Receipt),
    /// The phone answers.
    Reply(Reply),
}

/// What a phone answers.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    /// Who wrote to it.
    pub(super) to_whom: Scope,
    /// The phone.
    pub(super) from: Msisdn,
    /// The number that wrote.
    pub(super) to: Msisdn,
    /// The text.
    pub(super) body: String,
}

/// The carrier's memory: what it will say, and when. What is lost with the process is found again in the parts that it
/// has not reported on.
#[derive(Debug, Default)]
pub(super) struct Simulated {
    coming: BTreeMap<(i64, u64), Event>,
    said: u64,
}

/// The carrier's name for a part.
fn reference(id: PartId) -> String {
    id.to_string()
}

impl Simulated {
    /// What it says at once to a part, noting what it will say later.
    pub(super) fn submit(&mut self, part: &Part, now: Timestamp) -> Answer {
        if wish(part.to).what == 301 {
            return Answer::Refused { reason: Reason::Rejected, error: None };
        }
        let reference = reference(part.id);
        self.remember(part.to, &reference, now);
        if matches!(wish(part.to).what, 501 | 502)
            && part.number == 1
            && let Ok(to) = number::parse(part.originator.as_str())
        {
            let quoted: String = part.body.chars().take(QUOTED).collect();
            let body = if wish(part.to).what == 502 { "STOP".to_owned() } else { format!("Re: {quoted}") };
            let reply = Reply { to_whom: part.scope, from: part.to, to, body };
            self.later(now.0 + wish(part.to).delay_us + BETWEEN_US, Event::Reply(reply));
        }
        Answer::Accepted(reference)
    }

    /// A part that it took before this process began.
    pub(super) fn recall(
        &mut self,
        (_, to, _, reference, marked): &(PartId, Msisdn, AccountId, String, Timestamp),
    ) {
        self.remember(*to, reference, *marked);
    }

    fn remember(&mut self, to: Msisdn, reference: &str, taken: Timestamp) {
        let Wish { what, delay_us } = wish(to);
        let due = taken.0.saturating_add(delay_us);
        let mut report = |due: i64, status: Status, reason: Reason, error: Option<i64>| {
            let outcome = Outcome { status, reason, error };
            self.later(due, Event::Receipt(Receipt { reference: reference.to_owned(), outcome }));
        };
        match what {
            1..=99 | 103 => report(due, Status::Failed, Reason::of_code(what), Some(what)),
            201 => report(due, Status::Failed, Reason::IncorrectNumber, None),
            202 => report(due, Status::Expired, Reason::Expired, None),
            203 => report(due, Status::Failed, Reason::Timeout, None),
            204 => report(due, Status::Failed, Reason::Generic, None),
            401 => {}
            402 => {
                report(due, Status::Delivered, Reason::Delivered, None);
                report(due + BETWEEN_US, Status::Delivered, Reason::Delivered, None);
            }
            403 => {
                report(taken.0, Status::Buffered, Reason::UnavailableSubscriber, Some(27));
                report(due.max(taken.0 + BETWEEN_US), Status::Delivered, Reason::Delivered, None);
            }
            _ => report(due, Status::Delivered, Reason::Delivered, None),
        }
    }

    fn later(&mut self, due: i64, event: Event) {
        self.said += 1;
        self.coming.insert((due, self.said), event);
    }

    /// What it says now, at most `most`.
    pub(super) fn due(&mut self, now: Timestamp, most: usize) -> Vec<Event> {
        let mut events = Vec::new();
        while events.len() < most
            && let Some(entry) = self.coming.first_entry()
            && entry.key().0 <= now.0
        {
            events.push(entry.remove());
        }
        events
    }

    /// When it will say something next.
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        self.coming.first_key_value().map(|((due, _), _)| Timestamp(*due))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_of_no_country_are_magic() {
        assert_eq!(wish(Msisdn(31_612_345_678)), Wish { what: 0, delay_us: 0 });
        assert_eq!(wish(Msisdn(99_900_001_000)), Wish { what: 1, delay_us: 0 });
        assert_eq!(wish(Msisdn(99_900_403_007)), Wish { what: 403, delay_us: 7_000_000 });
        assert_eq!(wish(Msisdn(9_990_040_300)), Wish { what: 0, delay_us: 0 });
    }
}
