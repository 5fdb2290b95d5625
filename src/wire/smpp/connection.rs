//! Drives one connection: what its session tells, and the work in between.
//!
//! Messages are worked on side by side, as many as the user's
//! window, so that they share commits; when it is full nothing more is read, and the customer's system waits.

use super::submit::{self, Submission};
use super::{Desk, Heard, NAME, Seat, Server, Stranger};
use ::smpp::session::{Answer, Bind, End, Event, Handle, Options, Session};
use ::smpp::short_message::ShortMessage;
use ::smpp::socket::Socket;
use ::smpp::status::Status;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{oneshot, watch};

/// Octets read at a time, of very many connections.
const READ: usize = 16 * 1024;
/// Octets that may wait to be written before nothing more is read.
const UNWRITTEN: usize = 64 * 1024;
/// Messages of a user that a session itself would turn away: more than fit what is read at a time, so that it is this
/// driver that makes them wait.
const INBOUND: usize = 10_000;
/// A user that may no longer be bound has this long to say goodbye.
const GOODBYE: Duration = Duration::from_millis(300);
/// At a stop everybody has this long for what is under way: a second less than the process gives itself.
const FAREWELL: Duration = Duration::from_secs(9);
/// A customer's system that takes nothing for so long of what it is to read is gone.
const PATIENCE: Duration = Duration::from_mins(1);
/// Waits for ever, in the measure of timers.
const NEVER: Duration = Duration::from_hours(24);

type Done = (Handle, Result<String, Status>);

/// One connection.
struct Driver {
    server: Arc<Server>,
    from: IpAddr,
    session: Session<u64>,
    begun: Instant,
    /// As long as nobody is bound.
    stranger: Option<Stranger>,
    seat: Option<Seat>,
    work: FuturesUnordered<BoxFuture<'static, Done>>,
    /// What came and is not worked on yet.
    waiting: VecDeque<(Handle, Box<ShortMessage>)>,
    told: HashMap<u64, oneshot::Sender<Heard>>,
    tokens: u64,
    /// When the socket is closed, whatever is under way.
    until: Option<tokio::time::Instant>,
}

impl Server {
    /// Serves one connection to its end; after `stop` it unbinds when what is under way has been answered.
    pub async fn serve(
        self: Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Send,
        stranger: Stranger,
        stop: watch::Receiver<bool>,
    ) {
        let options = Options { window: INBOUND, inbound: INBOUND, ..Options::default() };
        let driver = Driver {
            server: self,
            from: stranger.from(),
            session: Session::smsc(options, 0),
            begun: Instant::now(),
            stranger: Some(stranger),
            seat: None,
            work: FuturesUnordered::new(),
            waiting: VecDeque::new(),
            told: HashMap::new(),
            tokens: 0,
            until: None,
        };
        Box::pin(driver.run(stream, stop)).await;
    }
}

/// Waits until a user may no longer be bound; for ever as long as nobody is.
async fn dismissal(desk: Option<Arc<Desk>>) {
    match desk {
        Some(desk) => {
            // The desk holds the sender, so it is there.
            let _ = desk.dismissed.subscribe().wait_for(|dismissed| *dismissed).await;
        }
        None => std::future::pending().await,
    }
}

/// The next message for a user.
async fn next_job(desk: Option<Arc<Desk>>) -> Option<super::Job> {
    match desk {
        Some(desk) => desk.queue.lock().await.recv().await,
        None => std::future::pending().await,
    }
}

fn since(begun: Instant) -> i64 {
    i64::try_from(begun.elapsed().as_micros()).unwrap_or(i64::MAX)
}

impl Driver {
    /// Microseconds since the connection was made.
    fn now(&self) -> i64 {
        since(self.begun)
    }

    async fn run(mut self, stream: impl AsyncRead + AsyncWrite, mut stop: watch::Receiver<bool>) {
        let mut socket = Socket::new(stream, READ, PATIENCE);
        let (begun, mut leaving) = (self.begun, false);
        while !self.events().await {
            self.begin();
            let desk = self.seat.as_ref().map(|seat| Arc::clone(&seat.desk));
            let window = desk.as_ref().map_or(1, |desk| desk.window());
            let late = self.until.unwrap_or_else(|| tokio::time::Instant::now() + NEVER);
            let reads = self.waiting.is_empty() && self.session.output().len() < UNWRITTEN;
            if !reads {
                let now = self.now();
                self.session.deaf(now);
            }
            let takes = self.session.free() > 0 && self.session.in_flight() < window;
            tokio::select! {
                () = socket.turn(&mut self.session, reads, || since(begun)) => {}
                Some(done) = self.work.next(), if !self.work.is_empty() => {
                    self.answer(done);
                    while let Some(Some(done)) = self.work.next().now_or_never() {
                        self.answer(done);
                    }
                }
                Some(job) = next_job(desk.clone()), if takes => self.deliver(job),
                () = dismissal(desk), if !leaving => {
                    leaving = true;
                    self.unbind(GOODBYE);
                }
                _ = stop.wait_for(|stop| *stop), if !leaving => {
                    leaving = true;
                    self.unbind(FAREWELL);
                }
                () = tokio::time::sleep_until(late) => self.session.closed(),
            }
        }
        // What was begun ends, though nobody hears of it any more; what is left is said.
        drop(self.seat.take());
        socket.end(&self.session).await;
        while self.work.next().await.is_some() {}
    }

    fn unbind(&mut self, within: Duration) {
        self.until = Some(tokio::time::Instant::now() + within);
        if let Some(seat) = &mut self.seat {
            seat.receive_no_more();
        }
        let now = self.now();
        self.session.unbind(now);
    }

    /// Deals with all that has happened; whether it is over.
    async fn events(&mut self) -> bool {
        while let Some(event) = self.session.event() {
            match event {
                Event::BindRequested(bind) => self.bind(&bind).await,
                Event::Received { handle, message, .. } => self.waiting.push_back((handle, message)),
                Event::Answered { token, answer, is_late: false } => {
                    self.hear(
                        token,
                        match answer {
                            Answer::Accepted { .. } => Heard::Taken,
                            Answer::Throttled { status } | Answer::Refused { status } => {
                                Heard::Refused(status)
                            }
                        },
                    );
                }
                Event::Overdue { token } => self.hear(token, Heard::Nothing),
                Event::Ended { reason, in_doubt } => {
                    for token in in_doubt {
                        self.hear(token, Heard::Nothing);
                    }
                    if let Some(seat) = &self.seat {
                        let system_id = &seat.desk.user.system_id;
                        tracing::info!(%system_id, from = %self.from, ?reason, "an SMPP user is no longer bound");
                    } else if !matches!(reason, End::BindRefused(_) | End::Closed) {
                        tracing::debug!(from = %self.from, ?reason, "an SMPP connection ended without a bind");
                    }
                    return true;
                }
                // An answer that comes late is of a message that is told again.
                Event::Answered { .. }
                | Event::Malformed { .. }
                | Event::Bound { .. }
                | Event::Queried { .. }
                | Event::QueryRequested { .. } => {}
            }
        }
        false
    }

    async fn bind(&mut self, bind: &Bind) {
        match self.server.admit(bind, self.from).await {
            Ok(seat) => {
                let now = self.now();
                tracing::info!(system_id = %seat.desk.user.system_id, from = %self.from, kind = ?bind.kind, "an SMPP user is bound");
                self.seat = Some(seat);
                self.stranger = None;
                self.session.accept_bind(NAME, now);
            }
            Err(status) => {
                // The name is what a stranger wrote: only its length is safe to log.
                tracing::warn!(from = %self.from, %status, "an SMPP bind was refused");
                self.session.refuse_bind(status);
            }
        }
    }

    /// Begins to work on what waits, as much as the window has room for.
    fn begin(&mut self) {
        let Some(desk) = self.seat.as_ref().map(|seat| Arc::clone(&seat.desk)) else { return };
        while self.work.len() < desk.window()
            && let Some((handle, message)) = self.waiting.pop_front()
        {
            if !self.server.meter(&desk) {
                self.session.refuse(handle, Status::THROTTLED);
                continue;
            }
            let submission =
                Submission { server: Arc::clone(&self.server), user: desk.user.clone(), message };
            self.work.push(Box::pin(async move { (handle, submit::accept(submission).await) }));
        }
    }

    fn answer(&mut self, (handle, answer): Done) {
        match answer {
            Ok(id) => self.session.accept(handle, &id),
            Err(status) => self.session.refuse(handle, status),
        };
    }

    fn deliver(&mut self, job: super::Job) {
        if !job.is_wanted() {
            return;
        }
        let (message, done) = job.take();
        self.tokens += 1;
        let now = self.now();
        match self.session.deliver(self.tokens, &message, now) {
            Ok(()) => _ = self.told.insert(self.tokens, done),
            Err(error) => {
                tracing::error!(%error, "a receipt or message cannot be written as SMPP");
                // Whoever waits for it has gone, at worst.
                let _ = done.send(Heard::Refused(Status::SYSTEM_ERROR));
            }
        }
    }

    fn hear(&mut self, token: u64, heard: Heard) {
        if let Some(done) = self.told.remove(&token) {
            // Whoever waits for it has gone, at worst.
            let _ = done.send(heard);
        }
    }
}
