//! `PostgreSQL`'s yardstick: one connection, and for each batch everything in flight at once, `BEGIN` and `COMMIT`
//! included, so that a batch of up to 256 contacts is one round trip and one commit.
//!
//! Reads have a yardstick too: out of process, they cost far more than a bare handler, whatever the product does.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use bytes::BytesMut;
use futures_util::future::{LocalBoxFuture, MaybeDone, maybe_done, poll_immediate, try_join_all};
use futures_util::{FutureExt as _, TryFutureExt as _, TryStreamExt as _};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Row, Statement};

use super::rows::{self, Value, Write};
use super::waiters::{self, Job};
use super::{BATCH, Measure, Task, length, not_mine};
use crate::postgres::connect;
use crate::stats::{Meter, Sample, Window};

pub(super) struct Postgres {
    runtime: Runtime,
    client: Client,
    statements: Vec<Statement>,
    readers: Vec<(Client, Statement)>,
    rows: u64,
}

/// Connections that the readers share; more than this only takes turns on the few cores of a test machine.
const READERS: usize = 4;

impl Postgres {
    pub(super) fn open(url: &str, rows: u64) -> anyhow::Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().context("a runtime")?;
        let (client, statements, readers) = runtime.block_on(async {
            let client = connect(url).await?;
            client.batch_execute(&rows::postgres_schema()).await.context("the schema")?;
            client.batch_execute(rows::BEFORE).await.context("the first rows")?;
            let prepared = rows::STATEMENTS.iter().map(|text| client.prepare(text));
            let statements = try_join_all(prepared).await.context("preparing")?;
            fill(&client, &statements, rows).await?;
            let mut readers = Vec::new();
            for _ in 0..READERS {
                let reader = connect(url).await?;
                let select = reader.prepare(rows::SELECT).await.context("preparing")?;
                readers.push((reader, select));
            }
            anyhow::Ok((client, statements, readers))
        })?;
        Ok(Self { runtime, client, statements, readers, rows })
    }

    async fn group(&self, count: u32, window: Window) -> anyhow::Result<Sample> {
        let (jobs, waiting) = mpsc::unbounded_channel::<Job>();
        let next = Arc::new(AtomicU64::new(self.rows));
        let waiters = waiters::run(count, window, next, move |job| jobs.send(job).is_ok());
        let (written, sample) = tokio::join!(self.write_what_waits(waiting), waiters);
        written?;
        sample
    }

    async fn write_what_waits(&self, mut waiting: mpsc::UnboundedReceiver<Job>) -> anyhow::Result<()> {
        let mut jobs = Vec::with_capacity(BATCH);
        while waiting.recv_many(&mut jobs, BATCH).await > 0 {
            commit(&self.client, &self.statements, jobs.iter().flat_map(|job| &job.writes)).await?;
            for job in jobs.drain(..) {
                // A waiter never leaves before it is told.
                job.done.send(()).ok();
            }
        }
        Ok(())
    }

    /// Point reads, several in flight on each connection.
    async fn select(&self, count: usize, window: Window) -> anyhow::Result<Sample> {
        let one = |(client, select)| async move {
            let mut meter = Meter::new(window)?;
            let mut random = fastrand::Rng::new();
            loop {
                let started = Instant::now();
                let key = rows::key(random.u64(..self.rows));
                let found = Client::query_raw(client, select, &key).await.context("reading a row")?;
                let found: Vec<Row> = found.try_collect().await.context("reading a row")?;
                ensure!(found.len() == 1, "a key found {} rows", found.len());
                if !meter.record(started, Instant::now()) {
                    return Ok(meter);
                }
            }
        };
        let readers = self.readers.iter().map(|(client, select)| (client, select)).cycle().take(count);
        let mut total = Meter::new(window)?;
        for meter in try_join_all(readers.map(one)).await? {
            total.add(&meter)?;
        }
        Ok(total.sample())
    }

    /// Back to the rows it began with, so that every round measures the same table.
    async fn reset(&self) -> anyhow::Result<()> {
        for text in rows::RESET {
            let boundary = rows::boundary(self.rows);
            self.client.execute(text, &[&boundary.as_slice()]).await.context("removing what was measured")?;
        }
        self.client.batch_execute("VACUUM").await.context("VACUUM")
    }
}

impl Measure for Postgres {
    fn engine(&mut self) -> anyhow::Result<String> {
        self.runtime.block_on(async {
            let row = self.client.query_one("SHOW server_version", &[]).await.context("the version")?;
            let version: String = row.try_get(0).context("the version")?;
            let bare = version.split_whitespace().next().unwrap_or_default();
            for name in ["fsync", "synchronous_commit"] {
                let row = self.client.query_one(&format!("SHOW {name}"), &[]).await.context("a setting")?;
                let value: String = row.try_get(0).context("a setting")?;
                ensure!(value == "on", "{name} is {value}: there would be nothing to compare");
            }
            Ok(format!("PostgreSQL {bare}"))
        })
    }

    fn measure(&mut self, task: Task) -> anyhow::Result<Sample> {
        self.runtime.block_on(async {
            match task {
                Task::Group { waiters, seconds } => {
                    let sample = self.group(waiters, Window::opening(length(seconds)?)).await?;
                    self.reset().await?;
                    Ok(sample)
                }
                Task::Select { readers, seconds } => {
                    self.select(usize::try_from(readers)?, Window::opening(length(seconds)?)).await
                }
                Task::Ceiling { .. } | Task::Sync { .. } => not_mine(task),
            }
        })
    }
}

async fn fill(client: &Client, statements: &[Statement], rows: u64) -> anyhow::Result<()> {
    client.batch_execute("SET synchronous_commit = off").await.context("settings")?;
    let mut n = 0;
    while n < rows {
        let end = rows.min(n + 500);
        let writes: Vec<Write> = (n..end).flat_map(rows::writes).collect();
        commit(client, statements, &writes).await?;
        n = end;
    }
    client.batch_execute("RESET synchronous_commit").await.context("settings")?;
    client.batch_execute("VACUUM ANALYZE").await.context("VACUUM")?;
    client.batch_execute("CHECKPOINT").await.context("CHECKPOINT")
}

/// One transaction in one round trip: a request is on its way once its future was polled.
async fn commit<'w>(
    client: &Client,
    statements: &[Statement],
    writes: impl IntoIterator<Item = &'w Write>,
) -> anyhow::Result<()> {
    let mut flying = vec![launch(client.batch_execute("BEGIN")).await];
    for Write { statement, values } in writes {
        let prepared = statements.get(*statement).context("a statement's position")?;
        flying.push(launch(client.execute_raw(prepared, values).map_ok(drop)).await);
    }
    flying.push(launch(client.batch_execute("COMMIT")).await);
    for mut one in flying {
        (&mut one).await;
        Pin::new(&mut one).take_output().context("an answer")?.context("writing a batch")?;
    }
    Ok(())
}

type Answer<'a> = MaybeDone<LocalBoxFuture<'a, Result<(), tokio_postgres::Error>>>;

async fn launch<'a>(request: impl Future<Output = Result<(), tokio_postgres::Error>> + 'a) -> Answer<'a> {
    let mut answer = maybe_done(request.boxed_local());
    // Whether the answer is already there is looked at later; polling is what sends the request.
    poll_immediate(&mut answer).await;
    answer
}

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Int(n) => n.to_sql(ty, out),
            Self::Text(text) => text.to_sql(ty, out),
            Self::Bytes(bytes) => bytes.as_slice().to_sql(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        // A mistake in `rows` shows as the server's complaint.
        true
    }

    to_sql_checked!();
}
