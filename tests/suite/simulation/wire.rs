//! A simulated connection and the carrier at its other end: octets that arrive in pieces, answers and receipts that come
//! when they please.

use super::dice::{Dice, Fault};
use super::truth::{Key, Said, Truth};
use rookery::core::carrier::Carrier;
use rookery::core::smpp_carrier::{Doubt, SmppSettings};
use rookery::run::smpp::{Conversation, Way};
use smpp::concatenation;
use smpp::receipt::Receipt;
use smpp::session::{Answer, Event, Handle, Options, Queried, Query, Session};
use smpp::short_message::{Address, MessageState, ShortMessage};
use smpp::status::Status;
use std::collections::BTreeMap;

/// A receipt that a carrier has to bring, and brings again until it is acknowledged.
struct Report {
    reference: String,
    state: MessageState,
    original: ShortMessage,
    at: i64,
    underway: bool,
    /// How often it is still to be acknowledged.
    copies: u32,
}

/// A carrier, whoever is connected to it.
pub struct Smsc {
    pub carrier: Carrier,
    pub settings: SmppSettings,
    /// What its settings say becomes of what is in doubt.
    pub doubt: Doubt,
    pub unreachable_until: i64,
    reports: Vec<Report>,
    /// What becomes of what it has taken, by reference: where that came from, how it ends and when.
    fates: BTreeMap<String, (Address, MessageState, i64)>,
}

/// Which part to whom a message brings.
pub fn key(message: &ShortMessage) -> Key {
    let number = concatenation::place(message).0.map_or(1, |place| i64::from(place.number));
    (message.destination.value.parse().expect("a number"), number)
}

impl Smsc {
    pub fn new(carrier: Carrier, settings: SmppSettings) -> Self {
        let doubt = settings.doubt;
        Smsc { carrier, settings, doubt, unreachable_until: 0, reports: Vec::new(), fates: BTreeMap::new() }
    }

    /// Whether a receipt is still to be brought by this time.
    pub fn owes(&self, until: i64) -> bool {
        self.reports.iter().any(|report| report.copies > 0 && report.at <= until)
    }

    /// Decides about a submission; answers what it says and when.
    fn decide(&mut self, message: &ShortMessage, number: usize, dice: &mut Dice, now: i64) -> (Said, i64) {
        let mut at = if dice.one_in(3) { now } else { now + dice.millis(1, 400) };
        if dice.strikes(Fault::AnsweredLate, 12) {
            at = now + dice.millis(2_500, 9_000);
        }
        if dice.strikes(Fault::Throttled, 12) {
            return (Said::TooMuch, at);
        }
        if dice.strikes(Fault::Refused, 16) {
            return (Said::Refused, at);
        }
        let reference = format!("r{number}");
        let states = [MessageState::Delivered; 4];
        let others = [MessageState::Undeliverable, MessageState::Expired, MessageState::Rejected];
        let state = if dice.one_in(4) { dice.pick(&others) } else { dice.pick(&states) };
        if dice.strikes(Fault::ReceiptNever, 6) {
            let ends = at + dice.millis(20, 30_000);
            self.fates.insert(reference.clone(), (message.source.clone(), state, ends));
            return (Said::Taken(reference), at);
        }
        let mut told = at + dice.millis(20, 1_500);
        if dice.strikes(Fault::ReceiptEarly, 6) {
            (told, at) = (now, at.max(now + dice.millis(50, 800)));
        } else if dice.strikes(Fault::ReceiptLate, 10) {
            told = at + dice.millis(10_000, 200_000);
        }
        self.fates.insert(reference.clone(), (message.source.clone(), state, told));
        let copies = if dice.strikes(Fault::ReceiptTwice, 8) { 2 } else { 1 };
        let original = message.clone();
        if dice.one_in(8) {
            let state = MessageState::Enroute;
            let (reference, original) = (reference.clone(), original.clone());
            self.reports.push(Report { reference, state, original, at: told, underway: false, copies: 1 });
        }
        let report =
            Report { reference: reference.clone(), state, original, at: told, underway: false, copies };
        self.reports.push(report);
        (Said::Taken(reference), at)
    }
}

impl Smsc {
    /// How a message ends that it took.
    pub fn fate(&self, reference: &str) -> Option<MessageState> {
        self.fates.get(reference).map(|(_, state, _)| *state)
    }

    /// Answers a question; the error says that nobody could ask it.
    fn tell(&self, query: &Query, dice: &mut Dice, now: i64) -> Result<Result<Queried, Status>, String> {
        let Some((source, state, ends)) = self.fates.get(&query.id) else {
            return Err(format!("{} is asked about {:?}, which it never took", self.carrier.name, query.id));
        };
        if self.settings.asks_after.is_none() || *source != query.source {
            return Err(format!("{} is asked {query:?} against its settings", self.carrier.name));
        }
        if dice.strikes(Fault::QueryRefused, 3) {
            return Ok(Err(Status::QUERY_FAILED));
        }
        if dice.strikes(Fault::QueryThrottled, 2) {
            return Ok(Err(Status::THROTTLED));
        }
        let state = if *ends <= now { *state } else { MessageState::Enroute };
        Ok(Ok(Queried { id: query.id.clone(), done: None, state, error: 0 }))
    }
}

/// A connection: our side, the carrier's side, and what is between them.
pub struct Wire {
    pub talk: Conversation,
    far: Session<usize>,
    up: Vec<u8>,
    down: Vec<u8>,
    owed: Vec<(i64, Handle, Said)>,
    asked: Vec<(i64, Handle, Result<Queried, Status>)>,
}

/// How many octets arrive of those that are on their way.
fn arriving(waiting: usize, dice: &mut Dice) -> usize {
    if waiting > 1 && dice.strikes(Fault::BytesSplit, 4) { 1 + dice.index(waiting - 1) } else { waiting }
}

impl Wire {
    pub fn new(way: &Way, number: usize, smsc: &Smsc, now: i64) -> Self {
        let response_timeout = smsc.settings.response_timeout;
        let options = Options { response_timeout, takes_queries: true, ..Options::default() };
        let talk = Conversation::begin(way, number).expect("a bind can be written");
        let far = Session::smsc(options, now);
        Wire { talk, far, up: Vec::new(), down: Vec::new(), owed: Vec::new(), asked: Vec::new() }
    }

    /// Moves octets to both sides.
    pub fn carry(&mut self, dice: &mut Dice, now: i64) {
        let near = &mut self.talk.session;
        self.up.extend_from_slice(near.output());
        near.written(near.output().len());
        let some = arriving(self.up.len(), dice);
        self.far.received(&self.up[..some], now);
        self.up.drain(..some);
        self.down.extend_from_slice(self.far.output());
        self.far.written(self.far.output().len());
        let some = arriving(self.down.len(), dice);
        near.received(&self.down[..some], now);
        self.down.drain(..some);
    }

    /// Whether nothing is on its way.
    pub fn is_quiet(&self) -> bool {
        self.up.is_empty() && self.down.is_empty() && self.owed.is_empty() && self.asked.is_empty()
    }

    /// What the carrier does with what it was sent, and what it sends by itself.
    pub fn serve(&mut self, smsc: &mut Smsc, truth: &mut Truth, dice: &mut Dice, now: i64) {
        self.far.tick(now);
        self.listen(smsc, truth, dice, now);
        for (at, handle, said) in std::mem::take(&mut self.owed) {
            if at > now {
                self.owed.push((at, handle, said));
                continue;
            }
            match said {
                Said::Taken(reference) => self.far.accept(handle, &reference),
                Said::TooMuch => self.far.refuse(handle, Status::THROTTLED),
                Said::Refused => self.far.refuse(handle, Status::INVALID_DESTINATION),
            };
        }
        for (at, handle, said) in std::mem::take(&mut self.asked) {
            match said {
                _ if at > now => self.asked.push((at, handle, said)),
                Ok(queried) => _ = self.far.tell(handle, &queried),
                Err(status) => _ = self.far.refuse(handle, status),
            }
        }
        for (token, report) in smsc.reports.iter_mut().enumerate() {
            if self.far.free() == 0 {
                break;
            }
            if report.copies == 0 || report.underway || report.at > now {
                continue;
            }
            let receipt = Receipt {
                id: report.reference.clone(),
                state: report.state,
                error: None,
                network_error: None,
                submitted: None,
                done: None,
                text: String::new(),
            };
            self.far.deliver(token, &receipt.message(&report.original), now).expect("room for a receipt");
            report.underway = true;
        }
    }

    fn listen(&mut self, smsc: &mut Smsc, truth: &mut Truth, dice: &mut Dice, now: i64) {
        while let Some(event) = self.far.event() {
            match event {
                Event::BindRequested(_) => {
                    self.far.accept_bind("carrier", now);
                }
                Event::Received { handle, message, .. } => {
                    let number = usize::from(message.user_message_reference.expect("a submission's number"));
                    let (said, at) = smsc.decide(&message, number, dice, now);
                    dice.note(format!("  {} decides {said:?} about {:?}", smsc.carrier.name, key(&message)));
                    truth.decided(number, said.clone());
                    self.owed.push((at, handle, said));
                }
                Event::QueryRequested { handle, query } => match smsc.tell(&query, dice, now) {
                    Err(wrong) => _ = truth.wrong.get_or_insert(wrong),
                    Ok(_) if dice.strikes(Fault::QueryUnanswered, 2) => {}
                    Ok(said) => {
                        dice.note(format!("  {} tells {said:?}", smsc.carrier.name));
                        self.asked.push((now + dice.millis(0, 400), handle, said));
                    }
                },
                Event::Answered { token, answer: Answer::Accepted { .. }, is_late: false } => {
                    let report = &mut smsc.reports[token];
                    report.copies -= 1;
                    report.underway = false;
                    report.at = now + dice.millis(1, 2_000);
                    if report.state.is_final() {
                        truth.acknowledged.insert((smsc.carrier.id, report.reference.clone()));
                    }
                }
                Event::Answered { token, is_late: false, .. } | Event::Overdue { token } => {
                    smsc.reports[token].underway = false;
                    smsc.reports[token].at = now + 500_000;
                }
                Event::Ended { in_doubt, .. } => {
                    for token in in_doubt {
                        smsc.reports[token].underway = false;
                    }
                }
                Event::Answered { .. }
                | Event::Bound { .. }
                | Event::Malformed { .. }
                | Event::Queried { .. } => {}
            }
        }
    }

    /// The connection breaks: what was on its way is gone, both sides learn of it.
    pub fn cut(&mut self, smsc: &mut Smsc, truth: &mut Truth, dice: &mut Dice, now: i64) {
        (self.up, self.down, self.owed) = (Vec::new(), Vec::new(), Vec::new());
        self.asked.clear();
        self.far.closed();
        self.listen(smsc, truth, dice, now);
        self.talk.session.closed();
    }
}
