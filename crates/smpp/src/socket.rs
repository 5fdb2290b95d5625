//! Moves octets between a session and the stream of its connection, and tells the session the time. What is said means
//! nothing here.
//!
//! What a session has to say goes out in one write; and neither side ever only waits for the other to read, or two that both
//! write would wait for each other.

use crate::session::Session;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// The longest sleep, in the measure of timers.
const LONGEST: Duration = Duration::from_hours(1);
/// What is left to write at the end has this long.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The stream of a connection.
pub struct Socket<S> {
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    buffer: Vec<u8>,
    /// Encrypted octets may wait inside of the stream.
    is_unflushed: bool,
    /// Since when something waits that the other side is to take.
    waits_since: Option<Instant>,
    patience: Duration,
}

/// Writes some octets, or, if there are none, what the stream has kept.
async fn write(writer: &mut (impl AsyncWrite + Unpin), octets: &[u8]) -> io::Result<usize> {
    if octets.is_empty() { writer.flush().await.map(|()| 0) } else { writer.write(octets).await }
}

impl<S: AsyncRead + AsyncWrite> Socket<S> {
    /// So many octets are read at once: the answers to all that is in them go out in one write. The connection ends if the
    /// other side takes nothing for so long of what it is to read.
    pub fn new(stream: S, octets: usize, patience: Duration) -> Socket<S> {
        let (reader, writer) = tokio::io::split(stream);
        Socket { reader, writer, buffer: vec![0; octets], is_unflushed: false, waits_since: None, patience }
    }

    /// Waits until octets have come or gone, or the session's deadline is there; without `reads` nothing is taken in. May be
    /// given up at any time. Then ask the session what has happened.
    pub async fn turn<T: Clone>(&mut self, session: &mut Session<T>, reads: bool, now: impl Fn() -> i64) {
        let waits = !session.output().is_empty() || self.is_unflushed;
        let now_at = Instant::now();
        let since = if waits { *self.waits_since.get_or_insert(now_at) } else { now_at };
        if !waits {
            self.waits_since = None;
        }
        // What is inside of the stream goes first: only what has left it was taken.
        let octets = if self.is_unflushed { &[] } else { session.output() };
        let rest = session.deadline().map_or(i64::MAX, |at| at.saturating_sub(now()).max(0));
        // What has come is taken in before it is asked what is late.
        tokio::select! {
            biased;
            written = write(&mut self.writer, octets), if waits => match written {
                Ok(0) if self.is_unflushed => {
                    self.is_unflushed = false;
                    self.waits_since = None;
                }
                Ok(count) if count > 0 => {
                    session.written(count);
                    self.is_unflushed = true;
                }
                Ok(_) | Err(_) => session.closed(),
            },
            read = self.reader.read(&mut self.buffer), if reads => match read {
                Ok(0) | Err(_) => session.closed(),
                Ok(count) => session.received(self.buffer.get(..count).unwrap_or_default(), now()),
            },
            () = sleep(Duration::from_micros(rest.unsigned_abs()).min(LONGEST)) => session.tick(now()),
            () = sleep_until(since + self.patience), if waits => session.closed(),
        }
    }

    /// Writes what a session that is over has left to say, and closes the connection.
    pub async fn end<T: Clone>(mut self, session: &Session<T>) {
        let last = async {
            // Whoever has closed already is not told.
            if self.writer.write_all(session.output()).await.is_ok() && self.writer.flush().await.is_ok() {
                let _ = self.writer.shutdown().await;
            }
        };
        let _ = timeout(LAST_WORDS, last).await;
    }
}
