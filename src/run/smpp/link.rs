//! One connection to an SMPP carrier: connects, binds, brings the desk and the session together, and connects again when it
//! ends. What a message means is the desk's business.

use crate::core::part::PartId;
use crate::core::smpp_carrier::SmppSettings;
use crate::run::Stopped;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use smpp::session::{Answer, Bind, BindKind, End, Event, Handle, Options, Query, QueryAnswer, Session};
use smpp::short_message::ShortMessage;
use smpp::socket::Socket;
use smpp::status::Status;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use store::Clock;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;

/// A connection, its TLS and the bind must be there within this time.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// From a connection that ended to the next, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));
/// A bind that ends sooner is as good as none: the next one waits longer.
const LASTING: Duration = Duration::from_secs(10);
/// At a stop, what is unanswered and the unbind may take this long.
const UNBIND_WITHIN: Duration = Duration::from_secs(5);
/// Octets read at once.
const BUFFER: usize = 64 * 1024;
/// Characters of a carrier's name for itself (SMPP 3.4, 4.1.2: 15), of whatever length it is.
const NAME: usize = 15;

/// What the desk asks of a link.
#[derive(Debug)]
pub enum Command {
    /// Sends a part.
    Submit(PartId, Box<ShortMessage>),
    /// Asks what became of a part.
    Query(PartId, Box<Query>),
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
    /// One that was not answered in time was answered after all.
    Late(PartId, Answer),
    /// What came of the question about a part.
    Told(PartId, QueryAnswer),
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
                None
            }
        };
        pause = next_pause(pause, lasted);
        let again_at = tokio::time::Instant::now() + pause;
        loop {
            let rest = again_at.saturating_duration_since(tokio::time::Instant::now());
            tokio::select! {
                stop = stopped.after(rest) => {
                    if stop {
                        return;
                    }
                    break;
                }
                command = ears.commands.recv() => match command {
                    Some(Command::Submit(part, _)) => {
                        if ears.notes.send(Note::Unsent(part)).await.is_err() {
                            return;
                        }
                    }
                    Some(Command::Query(part, _)) => {
                        if ears.notes.send(Note::Told(part, QueryAnswer::Nothing)).await.is_err() {
                            return;
                        }
                    }
                    Some(Command::Acknowledge(..)) => {}
                    None => return,
                },
            }
        }
    }
}

/// How long to wait for the next connection, after one that was bound for so long.
fn next_pause(last: Duration, bound_for: Option<Duration>) -> Duration {
    if bound_for.is_some_and(|time| time >= LASTING) { AGAIN.0 } else { (last * 2).min(AGAIN.1) }
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
        Some(Conversation { session, carrier, number, ended: None })
    }

    /// What the desk is to be told next.
    pub fn note(&mut self) -> Option<Note> {
        loop {
            let number = self.number;
            return Some(match self.session.event()? {
                Event::Bound { system_id, .. } => {
                    let smsc = printable(&system_id);
                    tracing::info!(carrier = %self.carrier, smsc, link = number, "bound");
                    Note::Up(number)
                }
                Event::Answered { token, answer, is_late: false } => Note::Answered(token, answer),
                Event::Answered { token, answer, is_late: true } => Note::Late(token, answer),
                Event::Overdue { token } => Note::Overdue(token),
                Event::Queried { token, answer } => Note::Told(token, answer),
                Event::Received { handle, message, .. } => Note::Delivered(number, handle, message),
                Event::Malformed { command, status } => {
                    tracing::warn!(carrier = %self.carrier, command, %status, "what a carrier sent cannot be read");
                    continue;
                }
                Event::BindRequested(_) | Event::QueryRequested { .. } => continue,
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
            Command::Query(part, query) => {
                let asked = self.session.query(part, &query, now);
                asked.is_err().then_some(Note::Told(part, QueryAnswer::Nothing))
            }
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

/// What may be logged of what a carrier calls itself.
fn printable(name: &str) -> String {
    name.chars().filter(|each| matches!(each, ' '..='~')).take(NAME).collect()
}

/// One connection from its bind to its end; how long it was bound, if ever.
async fn converse(
    way: &Way,
    stream: Box<dyn Stream>,
    ears: &mut Ears,
    stopped: &mut Stopped,
) -> Option<Duration> {
    let now = || way.clock.now_us();
    let mut talk = Conversation::begin(way, ears.number)?;
    let mut socket = Socket::new(stream, BUFFER, way.settings.response_timeout);
    let (mut up_since, mut leaving) = (None::<tokio::time::Instant>, None);
    loop {
        while let Some(note) = talk.note() {
            if matches!(note, Note::Up(_)) {
                up_since = Some(tokio::time::Instant::now());
            }
            if ears.notes.send(note).await.is_err() {
                return None;
            }
        }
        if let Some(reason) = talk.ended {
            socket.end(&talk.session).await;
            match reason {
                End::Unbound => tracing::info!(carrier = %way.carrier, link = ears.number, "unbound"),
                reason => {
                    tracing::warn!(carrier = %way.carrier, link = ears.number, ?reason, "a carrier's connection ended; connecting again");
                }
            }
            return up_since.map(|since| since.elapsed());
        }
        tokio::select! {
            biased;
            () = socket.turn(&mut talk.session, true, now) => {}
            command = ears.commands.recv() => match command {
                None => talk.session.closed(),
                Some(command) => {
                    let mut next = Some(command);
                    // All that the desk has asked by now goes out in one write.
                    while let Some(command) = next.take() {
                        if let Some(note) = talk.obey(command, now())
                            && ears.notes.send(note).await.is_err()
                        {
                            return None;
                        }
                        next = ears.commands.try_recv().ok();
                    }
                }
            },
            stop = stopped.after(UNBIND_WITHIN), if leaving.is_none() => if stop {
                leaving = Some(tokio::time::Instant::now() + UNBIND_WITHIN);
                talk.session.unbind(now());
            },
            () = sleep_until(leaving), if leaving.is_some() => talk.session.closed(),
        }
    }
}

async fn sleep_until(when: Option<tokio::time::Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::carrier::Settings;
    use std::future::Future;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter, DuplexStream};
    use tokio::sync::watch;

    fn way() -> Way {
        let mut settings = Settings::default();
        settings.set("host", "smsc.example.com");
        settings.set("system-id", "rookery");
        Way {
            carrier: "test".into(),
            settings: Arc::new(SmppSettings::read(&settings).expect("settings")),
            password: "secret".into(),
            kind: BindKind::Transceiver,
            tls: None,
            clock: Clock::system(),
        }
    }

    /// Holds a conversation over a pipe that holds so many octets, until the carrier has done its part.
    async fn with_carrier<F: Future<Output = ()>>(
        pipe: usize,
        wrap: fn(DuplexStream) -> Box<dyn Stream>,
        carrier: impl FnOnce(DuplexStream) -> F,
    ) {
        let (near, far) = tokio::io::duplex(pipe);
        let (_commands, asked) = mpsc::unbounded_channel();
        let (notes, _heard) = mpsc::channel(1_000);
        let (_stop, stopped) = watch::channel(false);
        let mut ears = Ears { number: 0, commands: asked, notes };
        let (way, mut stopped) = (way(), Stopped(stopped));
        tokio::select! {
            _ = converse(&way, wrap(near), &mut ears, &mut stopped) => panic!("it ended"),
            done = tokio::time::timeout(Duration::from_secs(5), carrier(far)) => done.expect("in time"),
        }
    }

    async fn frame(stream: &mut DuplexStream) -> (u32, u32) {
        let mut head = [0; 16];
        stream.read_exact(&mut head).await.expect("a frame");
        let word = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().expect("four octets"));
        stream
            .read_exact(&mut vec![0; usize::try_from(word(0)).expect("a length") - 16])
            .await
            .expect("all of it");
        (word(4), word(12))
    }

    fn bare(command: u32, sequence: u32) -> Vec<u8> {
        [16, command, 0, sequence].iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    async fn bound(stream: &mut DuplexStream) {
        let (command, sequence) = frame(stream).await;
        assert_eq!(command, 9, "a bind");
        stream.write_all(&bare(0x8000_0009, sequence)).await.expect("an answer");
    }

    #[tokio::test]
    async fn what_a_stream_keeps_is_flushed() {
        let buffered = |near| -> Box<dyn Stream> { Box::new(BufWriter::with_capacity(1 << 20, near)) };
        with_carrier(1 << 16, buffered, |mut far| async move {
            bound(&mut far).await;
            far.write_all(&bare(0x15, 77)).await.expect("a question");
            assert_eq!(frame(&mut far).await, (0x8000_0015, 77));
        })
        .await;
    }

    #[tokio::test]
    async fn a_carrier_that_writes_before_it_reads_is_read() {
        with_carrier(
            64,
            |near| Box::new(near),
            |mut far| async move {
                bound(&mut far).await;
                for sequence in 1..=500 {
                    far.write_all(&bare(0x15, sequence)).await.expect("a question");
                }
                for sequence in 1..=500 {
                    assert_eq!(frame(&mut far).await, (0x8000_0015, sequence));
                }
            },
        )
        .await;
    }

    #[test]
    fn a_bind_that_does_not_last_is_as_good_as_none() {
        let second = Duration::from_secs(1);
        assert_eq!(next_pause(second, None), 2 * second);
        assert_eq!(next_pause(second, Some(9 * second)), 2 * second);
        assert_eq!(next_pause(20 * second, Some(second)), AGAIN.1);
        assert_eq!(next_pause(20 * second, Some(10 * second)), AGAIN.0);
    }

    #[test]
    fn a_name_is_logged_as_far_as_it_is_one() {
        assert_eq!(printable("smsc\n\u{1b}[31m of a carrier that says more"), "smsc[31m of a c");
    }
}
