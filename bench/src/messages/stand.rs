//! One server with its accounts, the sink that its reports go to, and the probe of its engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Serialize;

use super::accounts::{Accounts, Books};
use super::journey::{self, Journey};
use super::request::Requests;
use super::send::{self, Accepted, Sender};
use super::sink::{Sink, Tally};
use crate::args::{self, Engine};
use crate::keeper::Keeper;
use crate::memory::Memory;
use crate::postgres::Cluster;
use crate::server::Server;
use crate::stats::{Sample, Window, float};
use crate::yardstick::Yardstick;

/// Contacts in the probe before it is measured.
const PROBE_ROWS: u64 = 10_000;
/// Names of the two databases in a cluster.
const DATABASES: [&str; 2] = ["rookery_messages", "probe_messages"];

pub(crate) struct Stand<'k> {
    pub(crate) engine: Engine,
    pub(crate) probe: Yardstick<'k>,
    server: Server<'k>,
    accounts: Accounts,
    sender: Sender,
    sink: Sink,
    /// Started on nothing and asked nothing.
    memory: Memory,
    bytes: u64,
}

/// What is known when the server has stopped.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Facts {
    pub(crate) memory_before: Memory,
    pub(crate) memory_after: Memory,
    pub(crate) disk_bytes_per_message: f64,
    pub(crate) webhooks: Tally,
    pub(crate) books: Books,
}

impl<'k> Stand<'k> {
    pub(crate) async fn set_up(
        engine: Engine,
        cluster: Option<&Cluster>,
        options: &args::Messages,
        keeper: &'k Keeper,
    ) -> anyhow::Result<Self> {
        let (mut database, mut probe_url) = (None, None);
        if let Some(cluster) = cluster {
            database = Some(cluster.create(DATABASES[0]).await?);
            probe_url = Some(cluster.create(DATABASES[1]).await?);
        }
        let probe = Yardstick::engine(keeper, PROBE_ROWS, probe_url.as_deref())?.ready().await?;
        let server = Server::new(keeper, &options.rookery, database)?;
        server.start().await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let memory = server.memory()?;
        let sink = Sink::start()?;
        let accounts = Accounts::make(&server, options.accounts).await?;
        let bytes = server.database_bytes(cluster, DATABASES[0]).await?;
        let target = accounts.children.first().context("an account")?.target.clone();
        let requests = Requests::new(&accounts.children, &sink.url);
        let sender = Sender {
            target,
            write: Arc::new(move |n, to, body| requests.write(n, to, body)),
            accepts: 201,
            next: Arc::new(AtomicU64::new(0)),
        };
        Ok(Self { engine, probe, server, accounts, sender, sink, memory, bytes })
    }

    /// Acceptance alone is measured; then everything is let come to its end, so that the next cell finds a server at rest.
    pub(crate) async fn accept(&self, connections: u32, length: Duration) -> anyhow::Result<Sample> {
        let accepted = send::closed(&self.sender, connections, Window::opening(length)).await;
        let accepted = self.explained(accepted)?;
        self.all_reported().await?;
        Ok(accepted.sample)
    }

    /// As many messages as so many connections get accepted, to the last report.
    pub(crate) async fn end_to_end(&self, connections: u32, length: Duration) -> anyhow::Result<Journey> {
        let cpu = self.server.cpu()?;
        let begin = Instant::now();
        let window = Window { begin, end: begin + length };
        let accepted = send::closed(&self.sender, connections, window).await;
        self.journey(self.explained(accepted)?, cpu).await
    }

    /// So many messages a second, to the last report.
    pub(crate) async fn open_loop(&self, rate: u32, length: Duration) -> anyhow::Result<Journey> {
        let cpu = self.server.cpu()?;
        let accepted = send::open(&self.sender, rate, length).await;
        self.journey(self.explained(accepted)?, cpu).await
    }

    async fn journey(&self, accepted: Accepted, before: Duration) -> anyhow::Result<Journey> {
        self.all_reported().await?;
        Journey::of(&accepted, &self.sink, self.server.cpu()?.saturating_sub(before))
    }

    /// Waits for both reports on every message.
    async fn all_reported(&self) -> anyhow::Result<()> {
        let expected = self.sender.next.load(Relaxed);
        let told = |tally: &Tally| tally.sent.min(tally.delivered);
        self.explained(journey::reported(&self.sink, expected, told).await)
    }

    /// Stops the server and tells what remains to be told.
    pub(crate) async fn close(&self, cluster: Option<&Cluster>) -> anyhow::Result<Facts> {
        let messages = self.sender.next.load(Relaxed);
        let memory_after = self.server.memory()?;
        let books = self.accounts.audit(&self.server, messages).await?;
        self.server.stop().await?;
        let bytes = self.server.database_bytes(cluster, DATABASES[0]).await?;
        Ok(Facts {
            memory_before: self.memory,
            memory_after,
            disk_bytes_per_message: float(bytes.saturating_sub(self.bytes)) / float(messages.max(1)),
            webhooks: self.sink.tally(),
            books,
        })
    }

    fn explained<T>(&self, outcome: anyhow::Result<T>) -> anyhow::Result<T> {
        outcome.with_context(|| format!("{}, messages\n{}", self.engine.name(), self.server.explain()))
    }
}

impl Facts {
    /// What no figure makes up for.
    pub(crate) fn faults(&self) -> Vec<String> {
        let Tally { unsigned, strange, .. } = self.webhooks;
        let mut faults = self.books.faults.clone();
        if unsigned > 0 {
            faults.push(format!("{unsigned} webhooks had no signature"));
        }
        if strange > 0 {
            faults.push(format!("{strange} webhooks were no reports on messages of this run"));
        }
        faults
    }
}
