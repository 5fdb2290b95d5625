//! What the connections share: the pace, the ids, what waits for a receiver, and the figures.

use super::Options;
use super::record::{Fate, Record};
use super::verdict::{Receipts, Taken, Verdict};
use smpp::concatenation::{self, Method};
use smpp::encoding::{Coding, Content, DefaultAlphabet};
use smpp::moment::Moment;
use smpp::receipt::Receipt;
use smpp::session::{Queried, Query};
use smpp::short_message::{Address, MessageState, NetworkError, ShortMessage};
use smpp::status::Status;
use smpp::text;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use store::{Clock, Entropy};
use tokio::sync::watch;

/// Receipts that wait for one receiver at most; more push out the oldest.
const WAITING: usize = 1_000_000;
/// GSM's code for an absent subscriber.
const ABSENT: NetworkError = NetworkError { network: 3, code: 27 };

/// A message for a receiver, and when it is due, in microseconds of the hub's time.
#[derive(Debug, Clone)]
struct Outgoing {
    due: i64,
    message: Arc<ShortMessage>,
}

/// Messages for one receiver, in the order in which they are due.
#[derive(Debug, Default)]
struct Queue(VecDeque<Outgoing>);

impl Queue {
    fn add(&mut self, outgoing: Outgoing) {
        // Mostly at the end.
        let at = self.0.partition_point(|known| known.due <= outgoing.due);
        self.0.insert(at, outgoing);
        if self.0.len() > WAITING {
            self.0.pop_front();
        }
    }
}

#[derive(Debug)]
struct Shared {
    next_id: u64,
    submits: u64,
    /// The next answer's turn, in nanoseconds of the hub's time.
    turn: i64,
    references: u16,
    /// By system id.
    outgoing: HashMap<String, Queue>,
    /// For whoever receives.
    for_anyone: VecDeque<Outgoing>,
    record: Record,
}

/// How a submission is answered, and when.
#[derive(Debug)]
pub(super) enum Answer {
    Taken {
        id: String,
        due: i64,
    },
    NotTaken {
        status: Status,
        due: i64,
    },
    /// Not at all: the connection is cut.
    Cut,
}

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Binds that were taken.
    pub binds: u64,
    /// Connections that are open.
    pub connections: u64,
    /// Submissions that came.
    pub submits: u64,
    /// Submissions answered with an id.
    pub accepted: u64,
    /// Submissions answered with `ESME_RTHROTTLED`.
    pub throttled: u64,
    /// Submissions refused for good.
    pub refused: u64,
    /// Questions about messages.
    pub queries: u64,
    /// Connections cut on purpose.
    pub cut: u64,
    /// Receipts and messages that a receiver acknowledged.
    pub delivered: u64,
    /// Receipts and messages that a receiver did not take.
    pub returned: u64,
    /// Receipts and messages that wait for a receiver, or for their time.
    pub waiting: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) binds: AtomicU64,
    pub(super) connections: AtomicU64,
    pub(super) submits: AtomicU64,
    pub(super) accepted: AtomicU64,
    pub(super) throttled: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) queries: AtomicU64,
    pub(super) cut: AtomicU64,
    pub(super) delivered: AtomicU64,
    pub(super) returned: AtomicU64,
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[derive(Debug)]
pub(super) struct Hub {
    pub(super) options: Options,
    pub(super) counters: Counters,
    clock: Clock,
    begun: Instant,
    chance: Entropy,
    shared: Mutex<Shared>,
    /// Rung when something came for a receiver that does not know of it.
    bell: watch::Sender<u64>,
    /// Rung when every connection is to be cut.
    scissors: watch::Sender<u64>,
}

/// How a message ends.
fn fate(verdict: Verdict) -> (MessageState, Option<NetworkError>) {
    if verdict.is_delivered {
        (MessageState::Delivered, None)
    } else {
        (MessageState::Undeliverable, Some(ABSENT))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl Hub {
    pub(super) fn new(options: Options, clock: Clock) -> Hub {
        // The time in front, so that the ids of one run are not those of the next.
        let next_id = u64::try_from(clock.now_us()).unwrap_or(0);
        Hub {
            chance: Entropy::seeded(options.seed),
            options,
            counters: Counters::default(),
            clock,
            begun: Instant::now(),
            shared: Mutex::new(Shared {
                next_id,
                submits: 0,
                turn: 0,
                references: 0,
                outgoing: HashMap::new(),
                for_anyone: VecDeque::new(),
                record: Record::default(),
            }),
            bell: watch::Sender::new(0),
            scissors: watch::Sender::new(0),
        }
    }

    /// Microseconds since the beginning.
    pub(super) fn now(&self) -> i64 {
        micros(self.begun.elapsed())
    }

    /// When a moment of the hub's time comes.
    pub(super) fn instant(&self, at: i64) -> Instant {
        self.begun + Duration::from_micros(u64::try_from(at).unwrap_or(0))
    }

    pub(super) fn bell(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }

    pub(super) fn scissors(&self) -> watch::Receiver<u64> {
        self.scissors.subscribe()
    }

    pub(super) fn cut_all(&self) {
        self.scissors.send_modify(|times| *times += 1);
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides on a submission. Its receipts begin to wait; `rings` for a connection that cannot bring them itself.
    pub(super) fn submitted(&self, system_id: &str, message: &ShortMessage, now: i64, rings: bool) -> Answer {
        count(&self.counters.submits);
        let mut shared = self.shared();
        let verdict = self.options.mix.draw(&self.chance);
        shared.submits += 1;
        let is_cut = self.options.drop_every.is_some_and(|every| shared.submits.is_multiple_of(every.get()));
        if is_cut && !verdict.survives_cut {
            return Answer::Cut;
        }
        let due = shared.turn(&self.options, now);
        match verdict.taken {
            Taken::Throttled if !is_cut => return Answer::NotTaken { status: Status::THROTTLED, due },
            Taken::Refused if !is_cut => return Answer::NotTaken { status: Status::SUBMIT_FAILED, due },
            Taken::Yes | Taken::Throttled | Taken::Refused => {}
        }
        shared.next_id += 1;
        let number = shared.next_id;
        let after = due.saturating_add(micros(self.options.receipt_delay));
        let (state, code) = fate(verdict);
        let fate = Fate {
            source: message.source.clone(),
            due: after,
            done: self.clock.now_us().saturating_add(after - now),
            state,
            error: u8::try_from(code.map_or(0, |code| code.code)).unwrap_or(0),
        };
        shared.record.add(number, fate);
        if message.registered_delivery.wants(verdict.is_delivered) {
            let receipt = self.receipt(message, number, verdict);
            let (times, due) = match verdict.receipts {
                Receipts::None => (0, after),
                Receipts::One => (1, after),
                Receipts::Twice => (2, after),
                Receipts::Early => (1, now),
            };
            if times > 0 {
                let queue = shared.queue(system_id);
                for _ in 0..times {
                    queue.add(Outgoing { due, message: Arc::clone(&receipt) });
                }
            }
        }
        drop(shared);
        if rings {
            self.bell.send_modify(|times| *times += 1);
        }
        if is_cut { Answer::Cut } else { Answer::Taken { id: self.options.ids.in_answer(number), due } }
    }

    /// What became of a message, for whoever knows where it came from (SMPP 3.4, 4.8.1).
    pub(super) fn queried(&self, query: &Query, now: i64) -> Result<Queried, Status> {
        count(&self.counters.queries);
        let number = self.options.ids.number(&query.id).ok_or(Status::INVALID_MESSAGE_ID)?;
        let shared = self.shared();
        let known = shared.record.of(number).filter(|fate| fate.source == query.source);
        let fate = known.ok_or(Status::QUERY_FAILED)?;
        let id = query.id.clone();
        Ok(if fate.due <= now {
            Queried { id, done: Some(Moment::Absolute(fate.done)), state: fate.state, error: fate.error }
        } else {
            Queried { id, done: None, state: MessageState::Enroute, error: 0 }
        })
    }

    fn receipt(&self, message: &ShortMessage, number: u64, verdict: Verdict) -> Arc<ShortMessage> {
        let (state, network_error) = fate(verdict);
        let now = self.clock.now_us();
        let delays = self.options.delay + self.options.receipt_delay;
        let beginning = match concatenation::content(message, DefaultAlphabet::Gsm7) {
            Content::Text(text) => text.chars().take(20).collect(),
            Content::Binary(_) => String::new(),
        };
        let receipt = Receipt {
            id: self.options.ids.in_receipt(number),
            state,
            error: network_error.map(|error| format!("{:03}", error.code)),
            network_error,
            submitted: Some(now),
            done: Some(now.saturating_add(micros(delays))),
            text: beginning,
        };
        Arc::new(receipt.message(message))
    }

    /// A text from a phone, to whoever receives.
    pub(super) fn inbound(&self, from: &str, to: &str, text: &str) {
        let coding = if text::is_gsm7(text) { Coding::Gsm7 } else { Coding::Ucs2 };
        let address = |value: &str| match value.len() {
            ..=6 => Address::short_code(value),
            _ => Address::international(value.trim_start_matches('+')),
        };
        let template = ShortMessage {
            source: address(from),
            destination: address(to),
            data_coding: coding.data_coding(None, DefaultAlphabet::Gsm7).unwrap_or(0),
            ..ShortMessage::default()
        };
        let mut shared = self.shared();
        shared.references = shared.references.wrapping_add(1);
        let parts = concatenation::segment(&template, text, coding, Method::Header8, shared.references);
        for part in parts.unwrap_or_default() {
            shared.for_anyone.push_back(Outgoing { due: 0, message: Arc::new(part) });
        }
        drop(shared);
        self.bell.send_modify(|times| *times += 1);
    }

    /// At most so many messages that are due for a receiver.
    pub(super) fn due(&self, system_id: &str, most: usize, now: i64) -> Vec<Arc<ShortMessage>> {
        let mut shared = self.shared();
        let mut due = Vec::new();
        while due.len() < most
            && let Some(next) = shared.for_anyone.pop_front()
        {
            due.push(next.message);
        }
        let Some(queue) = shared.outgoing.get_mut(system_id) else { return due };
        while due.len() < most && queue.0.front().is_some_and(|next| next.due <= now) {
            due.extend(queue.0.pop_front().map(|next| next.message));
        }
        due
    }

    /// When there is something for a receiver; none if nothing waits.
    pub(super) fn next_due(&self, system_id: &str) -> Option<i64> {
        let shared = self.shared();
        let anyone = shared.for_anyone.front().map(|next| next.due);
        let own = shared.outgoing.get(system_id).and_then(|queue| queue.0.front()).map(|next| next.due);
        [anyone, own].into_iter().flatten().min()
    }

    /// Takes back what a receiver did not acknowledge, for then.
    pub(super) fn back(&self, system_id: &str, messages: impl Iterator<Item = Arc<ShortMessage>>, due: i64) {
        let mut shared = self.shared();
        let queue = shared.queue(system_id);
        for message in messages {
            queue.add(Outgoing { due, message });
        }
    }

    pub(super) fn figures(&self) -> Figures {
        let shared = self.shared();
        let waiting =
            shared.outgoing.values().map(|queue| queue.0.len()).sum::<usize>() + shared.for_anyone.len();
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Figures {
            binds: get(&self.counters.binds),
            connections: get(&self.counters.connections),
            submits: get(&self.counters.submits),
            accepted: get(&self.counters.accepted),
            throttled: get(&self.counters.throttled),
            refused: get(&self.counters.refused),
            queries: get(&self.counters.queries),
            cut: get(&self.counters.cut),
            delivered: get(&self.counters.delivered),
            returned: get(&self.counters.returned),
            waiting: u64::try_from(waiting).unwrap_or(u64::MAX),
        }
    }
}

impl Shared {
    fn queue(&mut self, system_id: &str) -> &mut Queue {
        self.outgoing.entry(system_id.to_owned()).or_default()
    }

    /// When the next answer is given: after its delay, and not before its turn.
    fn turn(&mut self, options: &Options, now: i64) -> i64 {
        let due = now.saturating_add(micros(options.delay));
        let Some(rate) = options.rate else { return due };
        let between = 1_000_000_000 / i64::try_from(rate.get()).unwrap_or(i64::MAX);
        let turn = self.turn.max(now.saturating_mul(1_000));
        self.turn = turn.saturating_add(between);
        due.max(turn / 1_000)
    }
}
