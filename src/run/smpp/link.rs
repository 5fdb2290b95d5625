//! One connection to an SMPP carrier: connects, binds, moves octets between the socket and the session, and connects
//! again when it ends. What a message means is the desk's business.

use crate::core::part::PartId;
use crate::core::smpp_carrier::SmppSettings;
use crate::run::Stopped;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use smpp::session::{Answer, Bind, BindKind, End, Event, Handle, Options, Session};
use smpp::short_message::ShortMessage;
use smpp::status::Status;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use store::Clock;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;

/// A connection, its TLS and the bind must be there within this time.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// From a connection that ended to the next, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));
/// At a stop, what is unanswered and the unbind may take this long.
const UNBIND_WITHIN: Duration = Duration::from_secs(5);
/// Octets read at once.
const BUFFER: usize = 64 * 1024;

/// What the desk asks of a link.
#[derive(Debug)]
pub enum Command {
    /// Sends a part.
    Submit(PartId, Box<ShortMessage>),
    /// Acknowledges what the carrier delivered: it is stored, or is to come again.
    Acknowledge(Handle, bool),
}

/// What a link tells the desk.
#[derive(Debug)]
pub enum Note {
    /// It is bound.
    Up(usize),
    /// It is no longer bound, and these were not answered.
    Down(usize, Vec<PartId>),
    /// A part was never sent.
    Unsent(PartId),
    /// A part cannot be written.
    Unwritable(PartId),
    /// A part was answered.
    Answered(PartId, Answer),
    /// A part was not answered in time.
    Overdue(PartId),
    /// The carrier delivers something and waits for its acknowledgement.
    Delivered(usize, Handle, Box<ShortMessage>),
}

/// How a link is made.
#[derive(Clone)]
pub struct Way {
    /// The carrier's name, for the log.
    pub(super) carrier: Arc<str>,
    /// Its settings.
    pub(super) settings: Arc<SmppSettings>,
    /// What it knows us by.
    pub(super) password: Arc<str>,
    /// Which way messages go.
    pub(super) kind: BindKind,
    /// For connections with TLS.
    pub(super) tls: Option<Arc<ClientConfig>>,
    /// The time.
    pub(super) clock: Clock,
}

/// The desk's end of a link.
pub struct Ears {
    /// Its number.
    pub number: usize,
    /// What the desk asks.
    pub commands: mpsc::UnboundedReceiver<Command>,
    /// What it is told.
    pub notes: mpsc::Sender<Note>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Keeps a connection until it is time to stop.
pub(super) async fn run(way: Way, mut ears: Ears, mut stopped: Stopped) {
    let mut pause = AGAIN.0;
    loop {
        let connected = tokio::time::timeout(CONNECT_WITHIN, connect(&way));
        let stream = tokio::select! {
            connected = connected => connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
            stop = stopped.after(CONNECT_WITHIN * 2) => if stop { return } else { continue },
        };
        let lasted = match stream {
            Ok(stream) => converse(&way, stream, &mut ears, &mut stopped).await,
            Err(error) => {
                tracing::warn!(carrier = %way.carrier, %error, "a carrier cannot be reached; trying again");
                false
            }
        };
        pause = if lasted { AGAIN.0 } else { (pause * 2).min(AGAIN.1) };
        let again_at = tokio::time::Instant::now() + pause;
        loop {
            tokio::select! {
                           stop = stopped.after(again_at.saturating_duration_since(tokio::time::Instant::now())) => {
                               if stop {
            return;
            }
            break;
                           }
                           command = ears.commands.recv() => match command {
                               Some(Command::Submit(part, _)) => {
                                   if ears.notes.send(Note::Unsent(part)).await.is_err() { return }
                               }
                               Some(Command::Acknowledge(..)) => {}
                               None => return,
                           },
                       }
        }
    }
}

async fn connect(way: &Way) -> io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect((way.settings.host.as_str(), way.settings.port)).await?;
    stream.set_nodelay(true)?;
    let (Some(tls), Some(name)) = (&way.tls, &way.settings.tls) else { return Ok(Box::new(stream)) };
    let name = ServerName::try_from(name.clone()).map_err(io::Error::other)?;
    Ok(Box::new(TlsConnector::from(Arc::clone(tls)).connect(name, stream).await?))
}

/// What is said on one connection, whatever brings the octets there and back: what the desk asks goes in, what it is told
/// comes out.
pub struct Conversation {
    /// Its octets and its time.
    pub session: Session<PartId>,
    carrier: Arc<str>,
    number: usize,
    was_up: bool,
    ended: Option<End>,
}

impl Conversation {
    /// Asks to be bound; none if that cannot be written, which is said.
    pub fn begin(way: &Way, number: usize) -> Option<Conversation> {
        let (settings, now) = (&way.settings, way.clock.now_us());
        let options = Options {
            window: settings.window,
            response_timeout: settings.response_timeout,
            enquire_after: settings.enquire_after,
            ..Options::default()
        };
        let mut session: Session<PartId> = Session::esme(options, now);
        let mut bind = Bind::new(way.kind, settings.system_id.as_str(), &*way.password);
        bind.system_type.clone_from(&settings.system_type);
        if let Err(error) = session.bind(&bind, now) {
            tracing::error!(carrier = %way.carrier, %error, "a bind cannot be written; change the carrier's settings");
            return None;
        }
        let carrier = Arc::clone(&way.carrier);
        Some(Conversation { session, carrier, number, was_up: false, ended: None })
    }

    /// What the desk is to be told next.
    pub fn note(&mut self) -> Option<Note> {
        loop {
            let number = self.number;
            return Some(match self.session.event()? {
                Event::Bound { system_id, .. } => {
                    tracing::info!(carrier = %self.carrier, smsc = %system_id, link = number, "bound");
                    self.was_up = true;
                    Note::Up(number)
                }
                Event::Answered { token, answer, is_late: false } => Note::Answered(token, answer),
                Event::Overdue { token } => Note::Overdue(token),
                Event::Received { handle, message, .. } => Note::Delivered(number, handle, message),
                Event::Malformed { command, status } => {
                    tracing::warn!(carrier = %self.carrier, command, %status, "what a carrier sent cannot be read");
                    continue;
                }
                // A late answer is about a part whose doubt is decided: it may be under way anew, and waits for another.
                Event::BindRequested(_) | Event::Answered { is_late: true, .. } => continue,
                Event::Ended { reason, in_doubt } => {
                    self.ended = Some(reason);
                    Note::Down(number, in_doubt)
                }
            });
        }
    }

    /// Does what the desk asks; what it is to be told about that.
    pub fn obey(&mut self, command: Command, now: i64) -> Option<Note> {
        match command {
            Command::Submit(part, message) => match self.session.submit(part, &message, now) {
                Ok(()) => None,
                Err(smpp::session::NotSent::Unwritable(_)) => Some(Note::Unwritable(part)),
                Err(_) => Some(Note::Unsent(part)),
            },
            Command::Acknowledge(handle, true) => {
                self.session.accept(handle, "");
                None
            }
            Command::Acknowledge(handle, false) => {
                self.session.refuse(handle, Status::RECEIVER_TEMPORARY_ERROR);
                None
            }
        }
    }
}

/// One connection from its bind to its end; whether it was ever bound.
async fn converse(way: &Way, mut stream: Box<dyn Stream>, ears: &mut Ears, stopped: &mut Stopped) -> bool {
    let now = || way.clock.now_us();
    let Some(mut talk) = Conversation::begin(way, ears.number) else { return false };
    let (mut buffer, mut leaving) = (vec![0; BUFFER], None);
    loop {
        while let Some(note) = talk.note() {
            if ears.notes.send(note).await.is_err() {
                return talk.was_up;
            }
        }
        let session = &mut talk.session;
        if !session.output().is_empty() {
            // Everything since the last time in one write.
            let within = way.settings.response_timeout;
            let written = tokio::time::timeout(within, stream.write_all(session.output()));
            let written = written.await.is_ok_and(|written| written.is_ok());
            session.written(session.output().len());
            if !written && talk.ended.is_none() {
                session.closed();
                continue;
            }
        }
        if let Some(reason) = talk.ended {
            match reason {
                End::Unbound => tracing::info!(carrier = %way.carrier, link = ears.number, "unbound"),
                reason => {
                    tracing::warn!(carrier = %way.carrier, link = ears.number, ?reason, "a carrier's connection ended; connecting again");
                }
            }
            return talk.was_up;
        }
        let rest = session.deadline().map_or(i64::MAX, |at| at.saturating_sub(now()).max(0));
        let rest = Duration::from_micros(rest.unsigned_abs()).min(Duration::from_hours(1));
        tokio::select! {
            read = stream.read(&mut buffer) => match read {
                Ok(0) | Err(_) => session.closed(),
                Ok(count) => session.received(&buffer[..count], now()),
            },
            command = ears.commands.recv() => match command {
                None => session.closed(),
                Some(command) => {
                    let mut next = Some(command);
                    // All that the desk has asked by now goes out in one write.
                    while let Some(command) = next.take() {
                        if let Some(note) = talk.obey(command, now())
                            && ears.notes.send(note).await.is_err()
                        {
                            return talk.was_up;
                        }
                        next = ears.commands.try_recv().ok();
                    }
                }
            },
            () = tokio::time::sleep(rest) => session.tick(now()),
            stop = stopped.after(UNBIND_WITHIN), if leaving.is_none() => if stop {
                leaving = Some(tokio::time::Instant::now() + UNBIND_WITHIN);
                session.unbind(now());
            },
            () = sleep_until(leaving), if leaving.is_some() => session.closed(),
        }
    }
}

async fn sleep_until(when: Option<tokio::time::Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}
