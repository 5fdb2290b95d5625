//! One connection of the SMSC to test against: the driver of a session in the server's role.

use super::hub::{Answer, Hub, count};
use smpp::session::{self, End, Event, Handle, Options, Session};
use smpp::short_message::ShortMessage;
use smpp::socket::Socket;
use smpp::status::Status;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;

/// How it introduces itself.
const NAME: &str = "rookery-smsc";
/// Octets read at a time.
const READ: usize = 64 * 1024;
/// Who takes nothing for so long of what is to be read is gone.
const PATIENCE: Duration = Duration::from_mins(1);
/// What a receiver could not take just now is brought again after so long.
const AGAIN_US: i64 = 1_000_000;

/// An answer that waits for its time.
#[derive(Debug)]
struct Owed {
    due: i64,
    handle: Handle,
    answer: Result<String, Status>,
}

struct Connection {
    hub: Arc<Hub>,
    session: Session<Arc<ShortMessage>>,
    system_id: String,
    /// In the order of their times, which is that in which they came.
    owed: VecDeque<Owed>,
    /// Neither answered nor told: the connection is closed as it is.
    is_cut: bool,
    is_bound: bool,
}

/// Serves a connection until it ends.
pub(super) async fn serve(hub: Arc<Hub>, stream: TcpStream, mut stop: watch::Receiver<bool>) {
    // Without it, an answer to a window that is not full waits for the other side's acknowledgement.
    let _ = stream.set_nodelay(true);
    let (mut bell, mut scissors) = (hub.bell(), hub.scissors());
    let options =
        Options { window: hub.options.window, inbound: 100_000, takes_queries: true, ..Options::default() };
    let session = Session::smsc(options, hub.now());
    let owed = VecDeque::new();
    let mut connection = Connection {
        hub: Arc::clone(&hub),
        session,
        system_id: String::new(),
        owed,
        is_cut: false,
        is_bound: false,
    };
    count(&connection.hub.counters.connections);
    let (mut socket, mut stops) = (Socket::new(stream, READ, PATIENCE), true);
    loop {
        let next = connection.step();
        if connection.session.is_ended() {
            socket.end(&connection.session).await;
            break;
        }
        if connection.is_cut {
            break;
        }
        let deadline = next.map(|at| connection.hub.instant(at).into());
        let sleep = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = socket.turn(&mut connection.session, true, || hub.now()) => {}
            () = sleep => {}
            _ = bell.changed() => {}
            _ = scissors.changed() => connection.is_cut = true,
            _ = stop.changed(), if stops => {
                stops = false;
                let now = connection.hub.now();
                connection.session.unbind(now);
            }
        }
    }
    connection.close();
}

impl Connection {
    /// Does all that is to be done now, and says when it is to be called again.
    fn step(&mut self) -> Option<i64> {
        let now = self.hub.now();
        self.session.tick(now);
        while let Some(event) = self.session.event() {
            self.happened(event, now);
        }
        if self.is_cut {
            return None;
        }
        self.answer(now);
        let is_receiver = self.session.bound().is_some_and(session::BindKind::receives);
        let free = self.session.free();
        if is_receiver && free > 0 {
            for message in self.hub.due(&self.system_id, free, now) {
                if self.session.deliver(Arc::clone(&message), &message, now).is_err() {
                    count(&self.hub.counters.returned);
                }
            }
        }
        let receipts = || self.hub.next_due(&self.system_id);
        let next = if self.session.free() > 0 { receipts() } else { None };
        let answers = self.owed.front().map(|owed| owed.due);
        [self.session.deadline(), answers, next].into_iter().flatten().min()
    }

    fn happened(&mut self, event: Event<Arc<ShortMessage>>, now: i64) {
        let hub = Arc::clone(&self.hub);
        match event {
            Event::BindRequested(bind) => {
                let options = &hub.options;
                let refusal = if options.system_id.as_ref().is_some_and(|known| *known != bind.system_id) {
                    Some(Status::INVALID_SYSTEM_ID)
                } else if options.password.as_ref().is_some_and(|known| *known != bind.password) {
                    Some(Status::INVALID_PASSWORD)
                } else {
                    None
                };
                if let Some(status) = refusal {
                    self.session.refuse_bind(status);
                } else if self.session.accept_bind(NAME, now) {
                    count(&hub.counters.binds);
                    self.is_bound = true;
                    self.system_id = bind.system_id;
                }
            }
            Event::Received { handle, message, .. } if !self.is_cut => {
                let rings = !self.session.bound().is_some_and(session::BindKind::receives);
                match hub.submitted(&self.system_id, &message, now, rings) {
                    Answer::Taken { id, due } => self.owed.push_back(Owed { due, handle, answer: Ok(id) }),
                    Answer::NotTaken { status, due } => {
                        self.owed.push_back(Owed { due, handle, answer: Err(status) });
                    }
                    Answer::Cut => {
                        count(&hub.counters.cut);
                        self.is_cut = true;
                    }
                }
            }
            Event::Answered { token, answer, is_late } => match answer {
                session::Answer::Accepted { .. } => count(&hub.counters.delivered),
                // What was overdue waits for its next turn already.
                _ if is_late => {}
                session::Answer::Throttled { .. }
                | session::Answer::Refused {
                    status: Status::RECEIVER_TEMPORARY_ERROR | Status::SYSTEM_ERROR,
                } => {
                    hub.back(&self.system_id, [token].into_iter(), now + AGAIN_US);
                }
                session::Answer::Refused { .. } => count(&hub.counters.returned),
            },
            Event::Overdue { token } => hub.back(&self.system_id, [token].into_iter(), now),
            Event::Ended { reason, in_doubt } => {
                if self.is_bound && reason != End::Stalled {
                    hub.back(&self.system_id, in_doubt.into_iter(), now);
                }
            }
            Event::QueryRequested { handle, query } => {
                match hub.queried(&query, now) {
                    Ok(queried) => self.session.tell(handle, &queried),
                    Err(status) => self.session.refuse(handle, status),
                };
            }
            Event::Bound { .. }
            | Event::Malformed { .. }
            | Event::Received { .. }
            | Event::Queried { .. } => {}
        }
    }

    /// Gives the answers whose time has come.
    fn answer(&mut self, now: i64) {
        while let Some(owed) = self.owed.pop_front_if(|owed| owed.due <= now) {
            let (counter, is_given) = match owed.answer {
                Ok(id) => (&self.hub.counters.accepted, self.session.accept(owed.handle, &id)),
                Err(status @ Status::THROTTLED) => {
                    (&self.hub.counters.throttled, self.session.refuse(owed.handle, status))
                }
                Err(status) => (&self.hub.counters.refused, self.session.refuse(owed.handle, status)),
            };
            if is_given {
                count(counter);
            }
        }
    }

    /// Gives back what was not acknowledged.
    fn close(mut self) {
        self.session.closed();
        let now = self.hub.now();
        self.is_cut = true;
        while let Some(event) = self.session.event() {
            self.happened(event, now);
        }
        self.hub.counters.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
