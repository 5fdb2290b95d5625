//! One connection between an ESME (who sends messages through a carrier: the client) and an SMSC (the carrier: the
//! server), in either role, without any input or output of its own.
//!
//! Octets that arrived, the time and commands go in; octets to write, events and the next deadline come out. TCP, tests
//! and simulation drive the same code. The README of this crate has a driver in twenty lines.
//!
//! What holds at all times:
//!
//! - At most [`Options::window`] requests are unanswered. [`Session::free`] is the back-pressure: take no more work than
//!   there are free slots.
//! - Every token that went in comes out once as in doubt or answered: by [`Event::Answered`], by [`Event::Overdue`] (after
//!   which a late answer may still come), or in [`Event::Ended`]; that of a question by [`Event::Queried`]. Nothing is sent
//!   twice.
//! - A message that arrived is answered when the caller says so, after its commit, and not before. Of an unbind only those
//!   that came before it are answered, and the unbind last.
//! - A frame of a sane length never ends the connection, whatever is in it. A length that cannot be one does, since
//!   nothing after it can be read.

pub use crate::bind::{Bind, BindKind};
pub use crate::event::{Answer, Arrival, Counters, End, Event, Handle, NotSent};
pub use crate::options::Options;
use crate::pdu::{self, CommandId, HEADER, Header};
pub use crate::query::{Queried, Query, QueryAnswer};
use crate::short_message::ShortMessage;
use crate::status::Status;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Esme,
    Smsc,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nobody has bound. An SMSC waits until then.
    Open {
        until: i64,
    },
    /// Our bind waits for its answer until then.
    Binding {
        sequence: u32,
        until: i64,
    },
    /// An ESME's bind waits for the caller's answer.
    Asked {
        sequence: u32,
        kind: BindKind,
    },
    Bound(BindKind),
    /// No more is sent or taken; what is unanswered may be, until then. Where the other side has asked to unbind, that is
    /// answered last: `leaving` is its number.
    Draining {
        kind: BindKind,
        until: i64,
        leaving: Option<u32>,
    },
    /// Our unbind waits for its answer until then.
    Unbinding {
        until: i64,
    },
    Ended,
}

/// A request of ours without an answer.
#[derive(Debug)]
struct Pending<T> {
    token: T,
    until: i64,
    is_overdue: bool,
    /// Whether it is a question, of which nothing is in doubt.
    is_query: bool,
}

/// A message or question that the caller will answer.
#[derive(Debug, Clone, Copy)]
struct Owed {
    command: CommandId,
    sequence: u32,
}

/// One connection. `T` is the caller's token for a message of ours.
#[derive(Debug)]
pub struct Session<T> {
    id: u64,
    role: Role,
    options: Options,
    state: State,
    /// What arrived and is no whole frame yet.
    input: Vec<u8>,
    output: Vec<u8>,
    /// Octets at the beginning of the output that have been written.
    written: usize,
    events: VecDeque<Event<T>>,
    /// Of our last request.
    sequence: u32,
    pending: HashMap<u32, Pending<T>>,
    /// Of pending that are not overdue.
    in_window: usize,
    /// All that was sent, by time; those answered since are passed over.
    deadlines: VecDeque<(i64, u32)>,
    /// Those whose late answer is still waited for, the oldest first.
    overdue: VecDeque<u32>,
    owed: HashMap<u64, Owed>,
    handles: u64,
    heard: i64,
    /// Questions since then, and when the last was asked.
    enquiries: u32,
    enquired: i64,
    counters: Counters,
}

/// Octets that may be kept although they have been written.
const WRITTEN_KEPT: usize = 64 * 1024;
/// Octets of the longest frame before a bind, which is some ninety itself: nobody knows yet who sends it.
const UNBOUND_FRAME: u32 = 1_024;

/// Tells the handles of one session from those of the next on the same carrier: an answer that comes late must not
/// acknowledge another message.
static SESSIONS: AtomicU64 = AtomicU64::new(0);

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl<T: Clone> Session<T> {
    /// The client's side of a connection that has just been made. All times are in microseconds, of any clock that does
    /// not go back.
    pub fn esme(options: Options, now: i64) -> Session<T> {
        Session::new(Role::Esme, options, now)
    }

    /// The server's side of a connection that has just been made.
    pub fn smsc(options: Options, now: i64) -> Session<T> {
        Session::new(Role::Smsc, options, now)
    }

    fn new(role: Role, options: Options, now: i64) -> Session<T> {
        let until = now.saturating_add(micros(options.bind_timeout));
        Session {
            id: SESSIONS.fetch_add(1, Ordering::Relaxed),
            role,
            sequence: options.first_sequence.saturating_sub(1),
            options,
            state: State::Open { until },
            input: Vec::new(),
            output: Vec::new(),
            written: 0,
            events: VecDeque::new(),
            pending: HashMap::new(),
            in_window: 0,
            deadlines: VecDeque::new(),
            overdue: VecDeque::new(),
            owed: HashMap::new(),
            handles: 0,
            heard: now,
            enquiries: 0,
            enquired: now,
            counters: Counters::default(),
        }
    }

    // ---- What comes out.

    /// What happened next. Ask until there is none, after every call that takes a time.
    pub fn event(&mut self) -> Option<Event<T>> {
        self.events.pop_front()
    }

    /// Octets to write. After that, [`Session::written`].
    pub fn output(&self) -> &[u8] {
        self.output.get(self.written..).unwrap_or_default()
    }

    /// So many octets of the output have been written.
    pub fn written(&mut self, count: usize) {
        self.written = self.output.len().min(self.written + count);
        if self.written == self.output.len() {
            self.output.clear();
            self.output.shrink_to(WRITTEN_KEPT);
            self.written = 0;
        } else if self.written > WRITTEN_KEPT && self.written >= self.output.len() / 2 {
            // Whoever reads late never lets it run empty.
            self.output.drain(..self.written);
            self.written = 0;
        }
    }

    /// When [`Session::tick`] is to be called at the latest, if nothing else happens.
    pub fn deadline(&self) -> Option<i64> {
        let own = match self.state {
            State::Open { until } => (self.role == Role::Smsc).then_some(until),
            // Nothing is left to wait for, so that it is already late.
            State::Draining { .. } if self.is_drained() => Some(self.heard),
            State::Binding { until, .. } | State::Draining { until, .. } | State::Unbinding { until } => {
                Some(until)
            }
            State::Asked { .. } | State::Bound(_) | State::Ended => None,
        };
        let enquiry = matches!(self.state, State::Bound(_)).then(|| self.next_enquiry());
        let answer = self.deadlines.front().map(|(until, _)| *until).filter(|_| self.state != State::Ended);
        [own, enquiry, answer].into_iter().flatten().min()
    }

    fn next_enquiry(&self) -> i64 {
        match self.enquiries {
            0 => self.heard.saturating_add(micros(self.options.enquire_after)),
            _ => self.enquired.saturating_add(micros(self.options.response_timeout)),
        }
    }

    /// How many messages may be sent now: none unless bound for it.
    pub fn free(&self) -> usize {
        let can_send = match (self.role, self.state) {
            (Role::Esme, State::Bound(kind)) => kind.transmits(),
            (Role::Smsc, State::Bound(kind)) => kind.receives(),
            _ => false,
        };
        if can_send { self.options.window.max(1).saturating_sub(self.in_window) } else { 0 }
    }

    /// Messages of ours that are unanswered and not overdue.
    pub fn in_flight(&self) -> usize {
        self.in_window
    }

    /// The kind of bind, while there is one.
    pub fn bound(&self) -> Option<BindKind> {
        match self.state {
            State::Bound(kind) | State::Draining { kind, .. } => Some(kind),
            _ => None,
        }
    }

    /// Whether it is over.
    pub fn is_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    // ---- Commands.

    /// As ESME: asks to be bound.
    pub fn bind(&mut self, bind: &Bind, now: i64) -> Result<(), NotSent> {
        if self.role != Role::Esme || !matches!(self.state, State::Open { .. }) {
            return Err(NotSent::NotBound);
        }
        if !bind.is_writable() {
            return Err(NotSent::Bind);
        }
        let sequence = self.next_sequence();
        pdu::write_bind(bind, sequence, &mut self.output);
        let until = now.saturating_add(micros(self.options.response_timeout));
        self.state = State::Binding { sequence, until };
        Ok(())
    }

    /// Nothing is taken in just now, so that the other side's silence says nothing about it.
    pub fn deaf(&mut self, now: i64) {
        self.heard = self.heard.max(now);
        self.enquiries = 0;
    }

    /// As SMSC: takes the bind of [`Event::BindRequested`], under our name of at most 15 characters. False if none waits.
    pub fn accept_bind(&mut self, system_id: &str, now: i64) -> bool {
        let State::Asked { sequence, kind } = self.state else { return false };
        pdu::write_bound(kind, system_id, sequence, &mut self.output);
        self.state = State::Bound(kind);
        self.heard = self.heard.max(now);
        true
    }

    /// As SMSC: refuses the bind of [`Event::BindRequested`], which ends the session. False if none waits.
    pub fn refuse_bind(&mut self, status: Status) -> bool {
        let State::Asked { sequence, kind } = self.state else { return false };
        pdu::write_bare(kind.command().response(), status, sequence, &mut self.output);
        self.end(End::BindRefused(status));
        true
    }

    /// As ESME: sends a message to the SMSC.
    pub fn submit(&mut self, token: T, message: &ShortMessage, now: i64) -> Result<(), NotSent> {
        if self.role != Role::Esme {
            return Err(NotSent::NotBound);
        }
        self.send(CommandId::SUBMIT_SM, token, message, now)
    }

    /// As SMSC: sends a message or receipt to the ESME.
    pub fn deliver(&mut self, token: T, message: &ShortMessage, now: i64) -> Result<(), NotSent> {
        if self.role != Role::Smsc {
            return Err(NotSent::NotBound);
        }
        self.send(CommandId::DELIVER_SM, token, message, now)
    }

    fn send(
        &mut self,
        command: CommandId,
        token: T,
        message: &ShortMessage,
        now: i64,
    ) -> Result<(), NotSent> {
        let sequence = self.slot()?;
        pdu::write_message(command, message, sequence, &mut self.output)?;
        self.sent(sequence, token, false, now);
        Ok(())
    }

    /// As ESME: asks the SMSC what became of a message that it has taken. A question takes a slot of the window.
    pub fn query(&mut self, token: T, query: &Query, now: i64) -> Result<(), NotSent> {
        if self.role != Role::Esme {
            return Err(NotSent::NotBound);
        }
        let sequence = self.slot()?;
        pdu::write_query(query, sequence, &mut self.output)?;
        self.sent(sequence, token, true, now);
        Ok(())
    }

    /// The number of the next request, if the window has room for it.
    fn slot(&mut self) -> Result<u32, NotSent> {
        if self.free() == 0 {
            let State::Bound(_) = self.state else { return Err(NotSent::NotBound) };
            return Err(if self.in_window == 0 { NotSent::NotBound } else { NotSent::Full });
        }
        Ok(self.next_sequence())
    }

    fn sent(&mut self, sequence: u32, token: T, is_query: bool, now: i64) {
        let until = now.saturating_add(micros(self.options.response_timeout));
        self.pending.insert(sequence, Pending { token, until, is_overdue: false, is_query });
        self.deadlines.push_back((until, sequence));
        self.in_window += 1;
    }

    /// Answers a message: it is taken, under this id (at most 64 ASCII characters; empty for what an ESME received).
    /// False if the session is over or the message has been answered, and for a question.
    pub fn accept(&mut self, handle: Handle, id: &str) -> bool {
        let Some(owed) = self.owed(handle, |command| command != CommandId::QUERY_SM) else { return false };
        pdu::write_taken(owed.command, id, owed.sequence, &mut self.output);
        true
    }

    /// As SMSC: answers the question of [`Event::QueryRequested`]. False if the session is over or it has been answered.
    pub fn tell(&mut self, handle: Handle, queried: &Queried) -> bool {
        let Some(owed) = self.owed(handle, |command| command == CommandId::QUERY_SM) else { return false };
        pdu::write_queried(queried, owed.sequence, &mut self.output);
        true
    }

    /// Answers a message or question: it is not taken. False if the session is over or it has been answered.
    pub fn refuse(&mut self, handle: Handle, status: Status) -> bool {
        let Some(owed) = self.owed(handle, |_| true) else { return false };
        pdu::write_refused(owed.command, status, owed.sequence, &mut self.output);
        true
    }

    fn owed(&mut self, handle: Handle, fits: fn(CommandId) -> bool) -> Option<Owed> {
        if handle.session != self.id || self.state == State::Ended {
            return None;
        }
        let is_meant = self.owed.get(&handle.number).is_some_and(|owed| fits(owed.command));
        if is_meant { self.owed.remove(&handle.number) } else { None }
    }

    /// Asks the other side whether it is still there, before [`Options::enquire_after`] is over. Without a bind nothing is
    /// asked.
    pub fn enquire(&mut self, now: i64) {
        if let State::Bound(_) = self.state {
            self.ask(now);
        }
    }

    /// Ends the session in good order: nothing more is sent or taken, what is unanswered on either side has
    /// [`Options::response_timeout`], and then the other side is told. Without a bind it ends at once.
    pub fn unbind(&mut self, now: i64) {
        match self.state {
            State::Bound(kind) => {
                self.drain(kind, None, now);
                self.tick(now);
            }
            State::Open { .. } | State::Binding { .. } | State::Asked { .. } => self.end(End::Unbound),
            State::Draining { .. } | State::Unbinding { .. } | State::Ended => {}
        }
    }

    /// The connection is gone. Some close it where they should answer an unbind: that is as good as an answer.
    pub fn closed(&mut self) {
        match self.state {
            State::Unbinding { .. } => self.end(End::Unbound),
            State::Draining { leaving: Some(_), .. } => self.end(End::UnboundByPeer),
            _ => self.end(End::Closed),
        }
    }

    fn drain(&mut self, kind: BindKind, leaving: Option<u32>, now: i64) {
        let until = now.saturating_add(micros(self.options.response_timeout));
        self.state = State::Draining { kind, until, leaving };
    }

    // ---- Time.

    /// It is now so late. Call it at [`Session::deadline`]; more often does no harm.
    pub fn tick(&mut self, now: i64) {
        while let Some((until, sequence)) = self.deadlines.front().copied() {
            let is_waiting =
                self.pending.get(&sequence).is_some_and(|it| it.until == until && !it.is_overdue);
            if is_waiting && now < until {
                break;
            }
            self.deadlines.pop_front();
            if is_waiting {
                self.give_up(sequence);
            }
        }
        match self.state {
            State::Open { until } if self.role == Role::Smsc && until <= now => self.end(End::BindTimeout),
            State::Binding { until, .. } if until <= now => self.end(End::BindTimeout),
            State::Unbinding { until } if until <= now => self.end(End::Unbound),
            State::Draining { until, leaving: Some(sequence), .. } if until <= now || self.is_drained() => {
                self.unbound_by_peer(sequence);
            }
            State::Draining { until, .. } if until <= now || self.is_drained() => {
                let sequence = self.next_sequence();
                pdu::write_bare(CommandId::UNBIND, Status::OK, sequence, &mut self.output);
                let until = now.saturating_add(micros(self.options.response_timeout));
                self.state = State::Unbinding { until };
            }
            State::Bound(_) if self.next_enquiry() <= now => self.ask(now),
            _ => {}
        }
    }

    /// Whether nothing is left that is waited for. An ESME that unbinds does not say any more that it has what was
    /// delivered; an SMSC that does has still to say what it took.
    fn is_drained(&self) -> bool {
        let is_left =
            self.role == Role::Smsc && matches!(self.state, State::Draining { leaving: Some(_), .. });
        self.owed.is_empty() && (self.in_window == 0 || is_left)
    }

    fn unbound_by_peer(&mut self, sequence: u32) {
        pdu::write_bare(CommandId::UNBIND.response(), Status::OK, sequence, &mut self.output);
        self.end(End::UnboundByPeer);
    }

    fn give_up(&mut self, sequence: u32) {
        let Some(pending) = self.pending.get_mut(&sequence) else { return };
        pending.is_overdue = true;
        self.in_window -= 1;
        if pending.is_query {
            if let Some(Pending { token, .. }) = self.pending.remove(&sequence) {
                self.events.push_back(Event::Queried { token, answer: QueryAnswer::Nothing });
            }
            return;
        }
        self.events.push_back(Event::Overdue { token: pending.token.clone() });
        self.overdue.push_back(sequence);
        if self.overdue.len() > self.options.window.max(1)
            && let Some(oldest) = self.overdue.pop_front()
            && self.pending.get(&oldest).is_some_and(|pending| pending.is_overdue)
        {
            self.pending.remove(&oldest);
        }
    }

    fn ask(&mut self, now: i64) {
        if self.enquiries >= self.options.enquire_attempts.max(1) {
            return self.end(End::Silent);
        }
        let sequence = self.next_sequence();
        pdu::write_bare(CommandId::ENQUIRE_LINK, Status::OK, sequence, &mut self.output);
        self.enquiries += 1;
        self.enquired = now;
    }

    /// From 1 to 0x7FFFFFFF, and again (SMPP 3.4, 5.1.4); none that still waits for its answer.
    fn next_sequence(&mut self) -> u32 {
        loop {
            self.sequence = if self.sequence >= 0x7FFF_FFFF { 1 } else { self.sequence + 1 };
            if !self.pending.contains_key(&self.sequence) {
                return self.sequence;
            }
        }
    }

    fn end(&mut self, reason: End) {
        if self.state == State::Ended {
            return;
        }
        self.state = State::Ended;
        let mut in_doubt = Vec::with_capacity(self.in_window);
        for (until, sequence) in std::mem::take(&mut self.deadlines) {
            match self.pending.remove(&sequence) {
                Some(pending) if pending.until == until && !pending.is_overdue => {
                    let token = pending.token;
                    if pending.is_query {
                        self.events.push_back(Event::Queried { token, answer: QueryAnswer::Nothing });
                    } else {
                        in_doubt.push(token);
                    }
                }
                // A number that is in use again stands further back.
                Some(pending) => _ = self.pending.insert(sequence, pending),
                None => {}
            }
        }
        self.pending.clear();
        self.overdue.clear();
        self.owed.clear();
        self.input = Vec::new();
        self.in_window = 0;
        self.events.push_back(Event::Ended { reason, in_doubt });
    }

    // ---- What arrives.

    /// Octets that arrived, any number of them, in the order in which they came.
    pub fn received(&mut self, octets: &[u8], now: i64) {
        if self.state == State::Ended {
            return;
        }
        self.input.extend(octets);
        let mut input = std::mem::take(&mut self.input);
        let mut rest = input.as_slice();
        while self.state != State::Ended
            && let Some(header) = Header::of(rest)
        {
            let most = match (self.role, self.state) {
                (Role::Smsc, State::Open { .. }) => self.options.largest_frame.min(UNBOUND_FRAME),
                _ => self.options.largest_frame,
            };
            let sane = u32::try_from(HEADER).unwrap_or(0)..=most;
            if !sane.contains(&header.length) {
                pdu::write_bare(
                    CommandId::GENERIC_NACK,
                    Status::INVALID_COMMAND_LENGTH,
                    header.sequence,
                    &mut self.output,
                );
                self.end(End::Framing { length: header.length });
                break;
            }
            let length = usize::try_from(header.length).unwrap_or(usize::MAX);
            let Some((frame, others)) = rest.split_at_checked(length) else { break };
            rest = others;
            self.counters.frames += 1;
            self.heard = now;
            self.enquiries = 0;
            if header.command.is_response() {
                self.answered(header, frame);
            } else {
                self.requested(header, frame, now);
            }
            if let State::Draining { leaving: Some(sequence), .. } = self.state
                && self.is_drained()
            {
                self.unbound_by_peer(sequence);
            }
            if self.output().len() > self.options.largest_output {
                self.end(End::Stalled);
            }
        }
        if self.state != State::Ended {
            let consumed = input.len() - rest.len();
            input.drain(..consumed);
            self.input = input;
        }
        self.tick(now);
    }

    fn answered(&mut self, header: Header, frame: &[u8]) {
        let body = frame.get(HEADER..).unwrap_or_default();
        if let State::Binding { sequence, .. } = self.state
            && sequence == header.sequence
        {
            return self.bind_answered(header, body);
        }
        if header.command == CommandId::UNBIND.response() {
            return match self.state {
                State::Unbinding { .. } => self.end(End::Unbound),
                _ => self.counters.unmatched += 1,
            };
        }
        if header.command == CommandId::ENQUIRE_LINK.response() {
            return;
        }
        let Some(pending) = self.pending.remove(&header.sequence) else {
            self.counters.unmatched += 1;
            return;
        };
        if pending.is_overdue {
            self.overdue.retain(|overdue| *overdue != header.sequence);
        } else {
            self.in_window -= 1;
        }
        let status = match header.status {
            // A "no" without a reason is no "yes".
            Status::OK if header.command == CommandId::GENERIC_NACK => Status::UNKNOWN_ERROR,
            status => status,
        };
        let (token, is_late) = (pending.token, pending.is_overdue);
        self.events.push_back(if pending.is_query {
            let answer = match status {
                Status::OK => match pdu::read_queried(body) {
                    Some(queried) => QueryAnswer::Known(queried),
                    None => QueryAnswer::Refused { status: Status::UNKNOWN_ERROR },
                },
                status if status.is_throttling() => QueryAnswer::Throttled { status },
                status => QueryAnswer::Refused { status },
            };
            Event::Queried { token, answer }
        } else {
            let answer = match status {
                Status::OK => Answer::Accepted { id: pdu::read_name(body) },
                status if status.is_throttling() => Answer::Throttled { status },
                status => Answer::Refused { status },
            };
            Event::Answered { token, answer, is_late }
        });
        self.forget_answered();
    }

    /// Keeps what is remembered of deadlines within twice the window: answers out of order leave entries behind.
    fn forget_answered(&mut self) {
        let pending = &self.pending;
        let waits = |until: i64, sequence: u32| {
            pending.get(&sequence).is_some_and(|it| it.until == until && !it.is_overdue)
        };
        while self.deadlines.front().is_some_and(|(until, sequence)| !waits(*until, *sequence)) {
            self.deadlines.pop_front();
        }
        if self.deadlines.len() > 2 * self.options.window.max(1) {
            self.deadlines.retain(|(until, sequence)| waits(*until, *sequence));
        }
    }

    fn bind_answered(&mut self, header: Header, body: &[u8]) {
        let State::Binding { .. } = self.state else { return };
        let kind = BindKind::of(CommandId(header.command.0 ^ CommandId::GENERIC_NACK.0));
        match (header.status, kind) {
            (Status::OK, Some(kind)) => {
                self.state = State::Bound(kind);
                let (system_id, interface_version) = (pdu::read_name(body), pdu::read_version(body));
                self.events.push_back(Event::Bound { system_id, interface_version });
            }
            (Status::OK, None) => self.end(End::BindRefused(Status::BIND_FAILED)),
            (status, _) => self.end(End::BindRefused(status)),
        }
    }

    fn requested(&mut self, header: Header, frame: &[u8], now: i64) {
        let answer = header.command.response();
        match header.command {
            CommandId::ENQUIRE_LINK => pdu::write_bare(answer, Status::OK, header.sequence, &mut self.output),
            // What came before it is answered before it.
            CommandId::UNBIND => match self.state {
                State::Bound(kind) | State::Draining { kind, .. } => {
                    self.drain(kind, Some(header.sequence), now);
                }
                _ => self.unbound_by_peer(header.sequence),
            },
            CommandId::BIND_TRANSMITTER | CommandId::BIND_RECEIVER | CommandId::BIND_TRANSCEIVER => {
                self.bind_requested(header, frame);
            }
            CommandId::SUBMIT_SM => self.message(header, frame, Arrival::Submit),
            CommandId::DELIVER_SM => self.message(header, frame, Arrival::Deliver),
            CommandId::DATA_SM => self.message(header, frame, Arrival::Data),
            CommandId::QUERY_SM if self.role == Role::Smsc && self.options.takes_queries => {
                self.queried(header, frame);
            }
            CommandId::QUERY_SM | CommandId::REPLACE_SM | CommandId::CANCEL_SM | CommandId::SUBMIT_MULTI => {
                pdu::write_bare(answer, Status::INVALID_COMMAND_ID, header.sequence, &mut self.output);
                self.counters.ignored += 1;
            }
            // These have no answers.
            CommandId::ALERT_NOTIFICATION | CommandId::OUTBIND => self.counters.ignored += 1,
            unknown => {
                let status = Status::INVALID_COMMAND_ID;
                pdu::write_bare(CommandId::GENERIC_NACK, status, header.sequence, &mut self.output);
                self.malformed(unknown, status);
            }
        }
    }

    fn malformed(&mut self, command: CommandId, status: Status) {
        self.counters.malformed += 1;
        self.events.push_back(Event::Malformed { command: command.0, status });
    }

    fn bind_requested(&mut self, header: Header, frame: &[u8]) {
        let Some(kind) = BindKind::of(header.command) else { return };
        let refusal = match (self.role, self.state) {
            (Role::Esme, _) => Status::INVALID_COMMAND_ID,
            (Role::Smsc, State::Open { .. }) => {
                match pdu::read_bind(kind, frame.get(HEADER..).unwrap_or_default()) {
                    Some(bind) if bind.is_writable() => {
                        self.state = State::Asked { sequence: header.sequence, kind };
                        return self.events.push_back(Event::BindRequested(bind));
                    }
                    Some(_) => Status::INVALID_SYSTEM_ID,
                    None => Status::INVALID_COMMAND_LENGTH,
                }
            }
            (Role::Smsc, _) => Status::ALREADY_BOUND,
        };
        pdu::write_bare(header.command.response(), refusal, header.sequence, &mut self.output);
        self.malformed(header.command, refusal);
    }

    /// What an answer to this request is given with.
    fn owe(&mut self, header: Header) -> Handle {
        self.handles += 1;
        let handle = Handle { session: self.id, number: self.handles };
        self.owed.insert(handle.number, Owed { command: header.command, sequence: header.sequence });
        handle
    }

    fn queried(&mut self, header: Header, frame: &[u8]) {
        let refusal = match self.state {
            State::Bound(kind) if !kind.transmits() => Status::INVALID_BIND_STATE,
            State::Bound(_) if self.owed.len() < self.options.inbound.max(1) => {
                if let Some(query) = pdu::read_query(frame.get(HEADER..).unwrap_or_default()) {
                    let handle = self.owe(header);
                    return self.events.push_back(Event::QueryRequested { handle, query });
                }
                self.malformed(header.command, Status::INVALID_COMMAND_LENGTH);
                Status::INVALID_COMMAND_LENGTH
            }
            State::Bound(_) | State::Draining { .. } | State::Unbinding { .. } => {
                self.counters.turned_away += 1;
                Status::THROTTLED
            }
            _ => Status::INVALID_BIND_STATE,
        };
        pdu::write_refused(header.command, refusal, header.sequence, &mut self.output);
    }

    fn message(&mut self, header: Header, frame: &[u8], arrival: Arrival) {
        let later = match self.role {
            Role::Esme => Status::RECEIVER_TEMPORARY_ERROR,
            Role::Smsc => Status::THROTTLED,
        };
        let refusal = match (self.role, arrival, self.state) {
            (Role::Esme, Arrival::Submit, _) | (Role::Smsc, Arrival::Deliver, _) => {
                Some(Status::INVALID_COMMAND_ID)
            }
            (Role::Smsc, _, State::Bound(kind)) if !kind.transmits() => Some(Status::INVALID_BIND_STATE),
            (_, _, State::Bound(_)) if self.owed.len() < self.options.inbound.max(1) => None,
            (_, _, State::Bound(_) | State::Draining { .. } | State::Unbinding { .. }) => {
                self.counters.turned_away += 1;
                Some(later)
            }
            _ => Some(Status::INVALID_BIND_STATE),
        };
        if let Some(status) = refusal {
            return pdu::write_refused(header.command, status, header.sequence, &mut self.output);
        }
        match pdu::read_message(header, frame) {
            Ok(message) => {
                let handle = self.owe(header);
                self.events.push_back(Event::Received { handle, arrival, message: Box::new(message) });
            }
            Err(status) => {
                pdu::write_refused(header.command, status, header.sequence, &mut self.output);
                self.malformed(header.command, status);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_been_written_is_not_kept_for_a_reader_who_is_late() {
        let mut session: Session<u64> = Session::smsc(Options::default(), 0);
        for _ in 0..100 {
            // Sixty-four KiB come, and all but one octet go: it never runs empty.
            session.output.extend(vec![0; WRITTEN_KEPT]);
            session.written(session.output().len() - 1);
            assert!(session.output.len() <= 2 * WRITTEN_KEPT + 1, "{}", session.output.len());
        }
        assert_eq!(session.output().len(), 1);
    }
}
