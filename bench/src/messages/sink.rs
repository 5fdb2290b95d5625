//! The customer's server that reports go to: answers 200 at once, from one thread of its own, and notes what came when.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::Context as _;
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::request;

pub(crate) struct Sink {
    /// Where reports go.
    pub(crate) url: String,
    seen: Arc<Mutex<Seen>>,
    /// Dropping it ends the thread.
    _lives: oneshot::Sender<Infallible>,
}

/// What came, apart from when.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Tally {
    /// Requests, repeated ones included.
    pub(crate) requests: u64,
    /// Connections that they came on.
    pub(crate) connections: u64,
    /// Messages reported as sent.
    pub(crate) sent: u64,
    /// Messages reported as delivered.
    pub(crate) delivered: u64,
    /// Reports that had come before.
    pub(crate) repeated: u64,
    /// Reports of delivery that came before those of sending.
    pub(crate) overtaken: u64,
    /// Requests without a signature.
    pub(crate) unsigned: u64,
    /// Requests that are no report on a message of this run.
    pub(crate) strange: u64,
}

#[derive(Default)]
struct Seen {
    tally: Tally,
    /// When each message was first reported, by its number.
    sent: Vec<Option<Instant>>,
    delivered: Vec<Option<Instant>>,
}

impl Sink {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("the sink's port")?;
        listener.set_nonblocking(true).context("the sink's socket")?;
        let address: SocketAddr = listener.local_addr().context("the sink's address")?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (lives, ended) = oneshot::channel();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().context("a runtime")?;
        let noted = Arc::clone(&seen);
        std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    Err(error) = serve(listener, &noted) => eprintln!("rookery-bench: the sink: {error:#}"),
                    _ = ended => {}
                }
            });
        });
        Ok(Self { url: format!("http://{address}/reports"), seen, _lives: lives })
    }

    pub(crate) fn tally(&self) -> Tally {
        lock(&self.seen).tally
    }

    /// When these messages were reported as delivered, in their order; `None` for one that was not.
    pub(crate) fn delivered_at(&self, messages: impl Iterator<Item = u64>) -> Vec<Option<Instant>> {
        let seen = lock(&self.seen);
        let at = |n: u64| seen.delivered.get(usize::try_from(n).ok()?).copied().flatten();
        messages.map(at).collect()
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(listener: std::net::TcpListener, seen: &Arc<Mutex<Seen>>) -> anyhow::Result<Infallible> {
    let listener = TcpListener::from_std(listener).context("listening")?;
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.context("accepting")?;
        stream.set_nodelay(true).context("TCP_NODELAY")?;
        lock(seen).tally.connections += 1;
        while connections.try_join_next().is_some() {}
        let seen = Arc::clone(seen);
        connections.spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let signed = request.headers().contains_key("messagebird-signature-jwt");
                let query = request.uri().query().unwrap_or_default();
                lock(&seen).note(query, signed, Instant::now());
                std::future::ready(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())))
            });
            // A caller that goes away is the caller's matter; what it did not tell is missed at the end.
            http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
        });
    }
}

impl Seen {
    fn note(&mut self, query: &str, signed: bool, now: Instant) {
        self.tally.requests += 1;
        self.tally.unsigned += u64::from(!signed);
        let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let number = value("reference").and_then(request::number).and_then(|n| usize::try_from(n).ok());
        let is_delivered = value("status") == Some("delivered");
        let (Some(n), true) = (number, is_delivered || value("status") == Some("sent")) else {
            self.tally.strange += 1;
            return;
        };
        for reports in [&mut self.sent, &mut self.delivered] {
            if reports.len() <= n {
                reports.resize(n + 1, None);
            }
        }
        let (reports, count) = if is_delivered {
            (&mut self.delivered, &mut self.tally.delivered)
        } else {
            (&mut self.sent, &mut self.tally.sent)
        };
        if reports[n].is_some() {
            self.tally.repeated += 1;
            return;
        }
        reports[n] = Some(now);
        *count += 1;
        self.tally.overtaken += u64::from(is_delivered && self.sent[n].is_none());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Connection;

    #[tokio::test]
    async fn notes_what_comes_and_answers_at_once() -> anyhow::Result<()> {
        let sink = Sink::start()?;
        let address = sink.url.strip_prefix("http://").and_then(|rest| rest.strip_suffix("/reports"));
        let mut connection = Connection::open(address.context("an address")?.parse()?).await?;
        for (path, header) in [
            ("/reports?id=1&reference=bench-7&status=delivered", "MessageBird-Signature-JWT: x\r\n"),
            ("/reports?id=1&reference=bench-7&status=sent", "MessageBird-Signature-JWT: x\r\n"),
            ("/reports?id=1&reference=bench-7&status=sent", "MessageBird-Signature-JWT: x\r\n"),
            ("/reports?id=1&reference=bench-3&status=sent", ""),
            ("/reports?id=1&reference=other&status=sent", "MessageBird-Signature-JWT: x\r\n"),
            ("/reports?id=1&reference=bench-3&status=expired", "MessageBird-Signature-JWT: x\r\n"),
        ] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: sink\r\n{header}\r\n");
            assert_eq!(connection.exchange(request.as_bytes()).await?.status, 200);
        }
        let expected = Tally {
            requests: 6,
            connections: 1,
            sent: 2,
            delivered: 1,
            repeated: 1,
            overtaken: 1,
            unsigned: 1,
            strange: 2,
        };
        assert_eq!(sink.tally(), expected);
        let at = sink.delivered_at([3, 7, 99].into_iter());
        assert_eq!(at.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, false]);
        Ok(())
    }
}
