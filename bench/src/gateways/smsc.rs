//! The SMSC that gateways submit to: takes every message at once, notes when it came, and reports it delivered at once,
//! from one thread of its own.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context as _;
use rustix::net::sockopt::set_tcp_quickack;
use smpp::receipt::Receipt;
use smpp::session::{BindKind, Event, Options, Session};
use smpp::short_message::{MessageState, ShortMessage};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::messages::request;

/// Unanswered receipts on a connection: more than any gateway needs to be kept busy.
const WINDOW: usize = 1_000;
/// Nothing of the session's own (its questions whether the other side is there) needs more.
const TICK: std::time::Duration = std::time::Duration::from_secs(1);

pub(crate) struct Smsc {
    pub(crate) address: SocketAddr,
    /// When each message was submitted first, by its number.
    seen: Arc<Mutex<Vec<Option<Instant>>>>,
    /// Dropping it ends the thread.
    _lives: oneshot::Sender<Infallible>,
}

impl Smsc {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("the SMSC's port")?;
        listener.set_nonblocking(true).context("the SMSC's socket")?;
        let address = listener.local_addr().context("the SMSC's address")?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (lives, ended) = oneshot::channel();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().context("a runtime")?;
        let noted = Arc::clone(&seen);
        std::thread::spawn(move || {
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, async {
                tokio::select! {
                    Err(error) = listen(listener, &noted) => eprintln!("rookery-bench: the SMSC: {error:#}"),
                    _ = ended => {}
                }
            });
        });
        Ok(Self { address, seen, _lives: lives })
    }

    /// When these messages were submitted, in their order.
    pub(crate) fn submitted_at(&self, messages: impl Iterator<Item = u64>) -> Vec<Option<Instant>> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        messages.map(|n| seen.get(usize::try_from(n).ok()?).copied().flatten()).collect()
    }
}

async fn listen(
    listener: std::net::TcpListener,
    seen: &Arc<Mutex<Vec<Option<Instant>>>>,
) -> anyhow::Result<Infallible> {
    let listener = TcpListener::from_std(listener).context("listening")?;
    loop {
        let (stream, _) = listener.accept().await.context("accepting")?;
        stream.set_nodelay(true).context("TCP_NODELAY")?;
        let seen = Arc::clone(seen);
        // A gateway that goes away is the gateway's matter; what is missing is missed at the end.
        tokio::task::spawn_local(async move { serve(stream, &seen).await.ok() });
    }
}

async fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Option<Instant>>>) -> anyhow::Result<()> {
    let begun = Instant::now();
    let now = || i64::try_from(begun.elapsed().as_micros()).unwrap_or(i64::MAX);
    let options = Options { window: WINDOW, inbound: 100_000, ..Options::default() };
    let mut session = Session::<()>::smsc(options, now());
    let mut receipts: Vec<ShortMessage> = Vec::new();
    let (mut number, mut buffer) = (0_u64, vec![0; 64 * 1024]);
    loop {
        session.tick(now());
        while let Some(event) = session.event() {
            match event {
                Event::BindRequested(_) => _ = session.accept_bind("bench", now()),
                Event::Received { handle, message, .. } => {
                    note(seen, &message);
                    number += 1;
                    let id = format!("{number:010}");
                    session.accept(handle, &id);
                    if message.registered_delivery.wants(true) {
                        receipts.push(receipt(id, &message));
                    }
                }
                _ => {}
            }
        }
        if session.bound().is_some_and(BindKind::receives) {
            let some = session.free().min(receipts.len());
            for receipt in receipts.drain(..some) {
                session.deliver((), &receipt, now()).ok();
            }
        }
        if !session.output().is_empty() {
            let length = stream.write(session.output()).await.context("writing")?;
            session.written(length);
            continue;
        }
        if session.is_ended() {
            return Ok(());
        }
        tokio::select! {
            read = stream.read(&mut buffer) => {
                let length = read.context("reading")?;
                if length == 0 {
                    return Ok(());
                }
                // A gateway that leaves Nagle's algorithm on would wait 40 ms for each acknowledgement.
                set_tcp_quickack(&stream, true).context("TCP_QUICKACK")?;
                session.received(&buffer[..length], now());
            }
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

fn note(seen: &Mutex<Vec<Option<Instant>>>, message: &ShortMessage) {
    let now = Instant::now();
    let text = String::from_utf8_lossy(&message.octets);
    let number = text.split(' ').find_map(request::number).and_then(|n| usize::try_from(n).ok());
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(n) = number {
        if seen.len() <= n {
            seen.resize(n + 1, None);
        }
        seen[n].get_or_insert(now);
    }
}

#[expect(clippy::disallowed_methods, reason = "no change of data: this is the carrier's clock")]
fn receipt(id: String, message: &ShortMessage) -> ShortMessage {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let at = i64::try_from(now.as_micros()).ok();
    Receipt {
        id,
        state: MessageState::Delivered,
        error: None,
        network_error: None,
        submitted: at,
        done: at,
        text: String::new(),
    }
    .message(message)
}
