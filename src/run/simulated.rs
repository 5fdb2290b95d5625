//! The simulated carrier: takes every part and reports on it, without a phone. Numbers that begin with 99900, which no
//! country has, choose what it does: docs/simulated-carrier.md. Its desk is here too, since it lives in the process.

use super::Stopped;
use super::clerk::{IDLE, Means, OTHERS};
use crate::core::carrier::CarrierId;
use crate::core::inbound::{self, Inbound};
use crate::core::lease;
use crate::core::message::{Reason, Status};
use crate::core::number;
use crate::core::part::{self, Answer, BATCH, Claimed, Part, PartId, Shift};
use crate::core::phone::Msisdn;
use crate::core::receipt::{self, Outcome, Receipt};
use crate::core::{AccountId, Error, Result, Scope, Timestamp};
use std::collections::BTreeMap;
use std::time::Duration;

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

/// Between two renewals of the lease, which lasts three seconds.
const KEEPS_US: i64 = 1_000_000;

/// A simulated carrier's work: gives it parts, and records what it says.
pub struct Desk {
    means: Means,
    shift: Shift,
    carrier: Simulated,
    /// When the lease was renewed, if this process has had the lane since it last lost it.
    kept_at: Option<i64>,
}

impl Desk {
    /// The desk of a simulated carrier.
    pub fn new(means: Means, carrier: CarrierId) -> Self {
        let shift = Shift { carrier, holder: means.holder };
        Desk { means, shift, carrier: Simulated::default(), kept_at: None }
    }

    pub(super) async fn run(mut self, mut stopped: Stopped) {
        loop {
            let pause = match self.turn().await {
                Ok(true) => Duration::ZERO,
                Ok(false) => self.pause(),
                Err(error) => {
                    if self.kept_at.take().is_some() {
                        tracing::warn!(carrier = self.shift.carrier.0, %error, "a carrier's work stopped; trying again");
                    }
                    OTHERS
                }
            };
            let stop = tokio::select! {
                stop = stopped.after(pause) => stop,
                () = self.means.wake.on_parts(), if pause == IDLE => false,
            };
            if stop {
                break;
            }
        }
        let shift = self.shift;
        let given: Result<()> =
            self.means.store.write((part::lane(shift.carrier), shift.holder), lease::give_back).await;
        if let Err(error) = given {
            tracing::debug!(%error, "a lease was not given back; it ends by itself");
        }
    }

    fn pause(&self) -> Duration {
        let now = self.means.clock.now_us();
        let next = self.carrier.next_at().map_or(i64::MAX, |at| at.0.saturating_sub(now).max(1_000));
        Duration::from_micros(next.unsigned_abs()).min(IDLE)
    }

    /// One piece of work; whether there was any.
    pub async fn turn(&mut self) -> Result<bool> {
        self.keep().await?;
        let Claimed { parts, aside } = self.means.store.write((self.shift, BATCH), part::claim).await?;
        let mut did = !parts.is_empty() || aside > 0;
        if !parts.is_empty() {
            let now = Timestamp(self.means.clock.now_us());
            let answers: Vec<(Part, Answer)> = parts
                .into_iter()
                .map(|part| {
                    let answer = self.carrier.submit(&part, now);
                    (part, answer)
                })
                .collect();
            self.means.store.write((self.shift, answers), part::answered).await?;
            self.means.wake.callbacks();
        }
        did |= self.listen().await?;
        Ok(did)
    }

    /// Renews the lease when it is time; takes the lane over if another process has had it since.
    async fn keep(&mut self) -> Result<()> {
        let now = self.means.clock.now_us();
        match self.kept_at {
            Some(kept_at) if now.saturating_sub(kept_at) < KEEPS_US => return Ok(()),
            Some(_) => {
                let lane = (part::lane(self.shift.carrier), self.shift.holder);
                if self.means.store.write(lane, lease::keep).await? {
                    self.kept_at = Some(now);
                    return Ok(());
                }
            }
            None => {}
        }
        self.begin().await
    }

    /// Takes the lane over: what was handed to this carrier by a process that is gone never left, since the carrier lived
    /// in that process; it waits again. What it had accepted it will report on.
    async fn begin(&mut self) -> Result<()> {
        while self.means.store.write(self.shift, part::take_back).await? {}
        self.carrier = Simulated::default();
        let mut after = PartId::from([0; 16]);
        loop {
            let known = self.means.store.read((self.shift.carrier, after), part::unreported).await?;
            for part in &known {
                self.carrier.recall(part);
            }
            match known.last() {
                Some((last, ..)) => after = *last,
                None => break,
            }
        }
        self.kept_at = Some(self.means.clock.now_us());
        Ok(())
    }

    /// Records what the carrier says now.
    async fn listen(&mut self) -> Result<bool> {
        let events = self.carrier.due(Timestamp(self.means.clock.now_us()), BATCH);
        if events.is_empty() {
            return Ok(false);
        }
        let mut receipts: Vec<Receipt> = Vec::new();
        for event in events {
            match event {
                Event::Receipt(receipt) => receipts.push(receipt),
                Event::Reply(reply) => {
                    let Reply { to_whom, from, to, body } = reply;
                    let text = Inbound {
                        carrier: self.shift.carrier,
                        reference: None,
                        from: from.into(),
                        to,
                        body,
                        otherwise: Some(to_whom),
                    };
                    let received: std::result::Result<_, Error> =
                        self.means.store.write(text, inbound::receive).await;
                    received?;
                }
            }
        }
        let unknown = self.means.store.write((self.shift.carrier, receipts), receipt::reported).await?;
        if unknown > 0 {
            tracing::debug!(carrier = self.shift.carrier.0, unknown, "receipts about nothing that is open");
        }
        self.means.wake.callbacks();
        Ok(true)
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
