//! Two ways of sending: the closed loop, in which each connection waits for its answer before it asks again, and the
//! open one, in which messages come when they come.
//!
//! Any answer that does not accept fails the run: a fast server that refuses has no figure.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, ensure};
use tokio::task::JoinSet;

use crate::http::Connection;
use crate::load::Target;
use crate::stats::{Meter, Sample, Window};

/// Connections of the open loop: more than are ever busy unless the server stands still.
const OPEN: u32 = 128;
/// How long an answer may take after the time is up.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) type Write = dyn Fn(u64, &mut String, &mut String) + Send + Sync;

/// Where messages go, and which numbers are taken.
#[derive(Clone)]
pub(crate) struct Sender {
    pub(crate) target: Target,
    /// Writes the request for a message in place of what the first text held; the second is a buffer.
    pub(crate) write: Arc<Write>,
    /// The status that accepts.
    pub(crate) accepts: u16,
    /// The number of the next message; all before it were accepted, once nobody sends.
    pub(crate) next: Arc<AtomicU64>,
}

pub(crate) struct Accepted {
    pub(crate) begin: Instant,
    /// Of what was accepted in the window.
    pub(crate) sample: Sample,
    /// Every message that was accepted, and when.
    pub(crate) messages: Vec<(u64, Instant)>,
}

/// Sends on so many connections until the window closes.
pub(crate) async fn closed(sender: &Sender, connections: u32, window: Window) -> anyhow::Result<Accepted> {
    let one = |sender: Sender| async move {
        let mut client = Client::open(&sender, window).await?;
        loop {
            let n = sender.next.fetch_add(1, Relaxed);
            if !client.send(n, Instant::now()).await? {
                return Ok(client);
            }
        }
    };
    gather(window, (0..connections).map(|_| one(sender.clone()))).await
}

/// Sends so many a second. A message that finds every connection busy waits, and its wait counts.
pub(crate) async fn open(sender: &Sender, rate: u32, length: Duration) -> anyhow::Result<Accepted> {
    let window = Window::unbounded();
    let first = sender.next.load(Relaxed);
    let every = Duration::from_secs(1) / rate;
    let one = |sender: Sender| async move {
        let mut client = Client::open(&sender, window).await?;
        loop {
            let n = sender.next.fetch_add(1, Relaxed);
            let due = window.begin + every * u32::try_from(n - first)?;
            if due >= window.begin + length {
                return Ok(client);
            }
            tokio::time::sleep_until(due.into()).await;
            client.send(n, due).await?;
        }
    };
    let accepted =
        gather(Window { end: window.begin + length, ..window }, (0..OPEN).map(|_| one(sender.clone())));
    let accepted = accepted.await?;
    // Numbers that were taken when the time was up are free again.
    sender.next.store(first + u64::try_from(accepted.messages.len())?, Relaxed);
    Ok(accepted)
}

async fn gather<F>(window: Window, clients: impl Iterator<Item = F>) -> anyhow::Result<Accepted>
where
    F: Future<Output = anyhow::Result<Client>> + Send + 'static,
{
    let mut clients: JoinSet<_> = clients.collect();
    let patience = window.end.saturating_duration_since(Instant::now()) + PATIENCE;
    let all = async {
        let (mut total, mut messages) = (None::<Meter>, Vec::new());
        while let Some(one) = clients.join_next().await {
            let client = one.context("a client task")??;
            messages.extend(client.accepted);
            match &mut total {
                Some(total) => total.add(&client.meter)?,
                None => total = Some(client.meter),
            }
        }
        let sample = total.context("a connection")?.sample();
        Ok(Accepted { begin: window.begin, sample, messages })
    };
    // Dropping the set ends the other clients.
    tokio::time::timeout(patience, all)
        .await
        .unwrap_or_else(|_| Err(anyhow!("no answer for 30 seconds after the time was up")))
}

struct Client {
    connection: Connection,
    write: Arc<Write>,
    accepts: u16,
    request: String,
    body: String,
    meter: Meter,
    accepted: Vec<(u64, Instant)>,
}

impl Client {
    async fn open(sender: &Sender, window: Window) -> anyhow::Result<Self> {
        Ok(Self {
            connection: Connection::open(sender.target.address).await?,
            write: Arc::clone(&sender.write),
            accepts: sender.accepts,
            request: String::with_capacity(1024),
            body: String::with_capacity(512),
            meter: Meter::new(window)?,
            accepted: Vec::new(),
        })
    }

    /// Sends a message that was due at this time; says whether the window is open for another.
    async fn send(&mut self, n: u64, due: Instant) -> anyhow::Result<bool> {
        (self.write)(n, &mut self.request, &mut self.body);
        let response = self.connection.exchange(self.request.as_bytes()).await?;
        ensure!(
            response.status == self.accepts,
            "a message was answered with {} instead of {}: {}",
            response.status,
            self.accepts,
            response.excerpt()
        );
        let now = Instant::now();
        self.accepted.push((n, now));
        Ok(self.meter.record(due, now))
    }
}
