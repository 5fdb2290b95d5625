//! `SQLite`'s yardstick: WAL, `synchronous=FULL`, one writer thread that commits what is waiting, 256 at most.
//!
//! No savepoints, no validation, checkpoints left to `SQLite` (on the writer): what the product's store adds or does
//! better shows against this.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use rusqlite::{Connection, Statement, ToSql, types::ToSqlOutput};

use super::rows::{self, Value, Write};
use super::waiters::{self, Job};
use super::{BATCH, Measure, Task, length, not_mine};
use crate::stats::{Meter, Sample, Window};

pub(super) struct Sqlite {
    connection: Connection,
    rows: u64,
}

impl Sqlite {
    pub(super) fn open(folder: &Path, rows: u64) -> anyhow::Result<Self> {
        let file = folder.join("probe.db");
        let connection = Connection::open(&file).with_context(|| format!("opening {}", file.display()))?;
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA cache_size = -65536; PRAGMA synchronous = OFF;")
            .context("settings")?;
        connection.execute_batch(&rows::lite_schema()).context("the schema")?;
        connection.execute_batch(rows::BEFORE).context("the first rows")?;
        let probe = Self { connection, rows };
        probe.fill()?;
        probe.connection.execute_batch("PRAGMA synchronous = FULL;").context("settings")?;
        Ok(probe)
    }

    fn fill(&self) -> anyhow::Result<()> {
        let mut statements = prepare(&self.connection)?;
        let mut n = 0;
        while n < self.rows {
            let end = self.rows.min(n + 10_000);
            transaction(&self.connection, || {
                (n..end).try_for_each(|n| write(&mut statements, &rows::writes(n)))
            })?;
            n = end;
        }
        drop(statements);
        self.checkpoint()
    }

    /// Back to the rows it began with, so that every round measures the same table.
    fn reset(&self) -> anyhow::Result<()> {
        for text in rows::RESET {
            let boundary = rows::boundary(self.rows);
            self.connection
                .execute(&rows::lite(text), [boundary.as_slice()])
                .context("removing what was measured")?;
        }
        self.checkpoint()
    }

    fn checkpoint(&self) -> anyhow::Result<()> {
        self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE);").context("a checkpoint")
    }

    fn group(&self, count: u32, window: Window) -> anyhow::Result<Sample> {
        let (jobs, waiting) = mpsc::channel::<Job>();
        let next = Arc::new(AtomicU64::new(self.rows));
        let callers = std::thread::spawn(move || -> anyhow::Result<Sample> {
            let runtime = tokio::runtime::Builder::new_current_thread().build().context("a runtime")?;
            runtime.block_on(waiters::run(count, window, next, move |job| jobs.send(job).is_ok()))
        });
        let written = self.write_what_waits(&waiting);
        // Without a receiver the waiters fail instead of waiting for ever.
        drop(waiting);
        let sample = callers.join().map_err(|_| anyhow!("the waiters panicked"))?;
        written?;
        sample
    }

    fn write_what_waits(&self, waiting: &mpsc::Receiver<Job>) -> anyhow::Result<()> {
        let mut statements = prepare(&self.connection)?;
        let mut done = Vec::with_capacity(BATCH);
        while let Ok(first) = waiting.recv() {
            transaction(&self.connection, || {
                let mut job = Some(first);
                while let Some(Job { writes, done: tell }) = job {
                    write(&mut statements, &writes)?;
                    done.push(tell);
                    job = if done.len() < BATCH { waiting.try_recv().ok() } else { None };
                }
                Ok(())
            })?;
            for tell in done.drain(..) {
                // A waiter never leaves before it is told.
                tell.send(()).ok();
            }
        }
        Ok(())
    }

    /// A sample of contacts, with the time a whole batch took.
    fn ceiling(&self, window: Window) -> anyhow::Result<Sample> {
        let mut statements = prepare(&self.connection)?;
        let mut meter = Meter::new(window)?;
        let next = AtomicU64::new(self.rows);
        loop {
            let started = Instant::now();
            transaction(&self.connection, || {
                (0..BATCH).try_for_each(|_| write(&mut statements, &rows::writes(next.fetch_add(1, Relaxed))))
            })?;
            let ended = Instant::now();
            if !(0..BATCH).fold(true, |_, _| meter.record(started, ended)) {
                return Ok(meter.sample());
            }
        }
    }
}

impl Measure for Sqlite {
    fn engine(&mut self) -> anyhow::Result<String> {
        Ok(format!("SQLite {}", rusqlite::version()))
    }

    fn measure(&mut self, task: Task) -> anyhow::Result<Sample> {
        let sample = match task {
            Task::Group { waiters, seconds } => self.group(waiters, Window::opening(length(seconds)?)),
            Task::Ceiling { seconds } => self.ceiling(Window::opening(length(seconds)?)),
            Task::Select { .. } | Task::Sync { .. } => not_mine(task),
        }?;
        self.reset()?;
        Ok(sample)
    }
}

fn prepare(connection: &Connection) -> anyhow::Result<Vec<Statement<'_>>> {
    connection.busy_timeout(Duration::from_secs(5)).context("settings")?;
    let one =
        |text: &&str| connection.prepare(&rows::lite(text)).with_context(|| format!("preparing {text}"));
    rows::STATEMENTS.iter().map(one).collect()
}

fn transaction(connection: &Connection, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    connection.execute_batch("BEGIN IMMEDIATE").context("BEGIN")?;
    work()?;
    connection.execute_batch("COMMIT").context("COMMIT")
}

fn write(statements: &mut [Statement<'_>], writes: &[Write]) -> anyhow::Result<()> {
    for Write { statement, values } in writes {
        let prepared = statements.get_mut(*statement).context("a statement's position")?;
        prepared.execute(rusqlite::params_from_iter(values)).context("writing a row")?;
    }
    Ok(())
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Int(n) => n.to_sql(),
            Self::Text(text) => text.to_sql(),
            Self::Bytes(bytes) => bytes.as_slice().to_sql(),
        }
    }
}
