//! The yardsticks for storage, each a process that is told what to measure on its standard input.
//!
//! One JSON document a line, both ways. The first line it prints says that its rows are in place; the end of its
//! input ends it.

mod disk;
mod postgres;
mod rows;
mod sqlite;
mod waiters;

use std::io::{BufRead as _, Write as _};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use crate::args;
use crate::stats::Sample;

/// At most this many contacts share a commit, as in the server.
const BATCH: usize = 256;

/// What a probe can be told to measure.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Task {
    /// So many waiters, each of which wants its own contact durable before it goes on.
    Group { waiters: u32, seconds: f64 },
    /// So many readers, each of which wants one contact by its key and then the next.
    Select { readers: u32, seconds: f64 },
    /// One thread, full batches, nobody waiting: the most that the engine can do.
    Ceiling { seconds: f64 },
    /// Append 400 bytes and sync, again and again.
    Sync { seconds: f64 },
}

/// What a probe says first.
#[derive(Serialize, Deserialize)]
pub(crate) struct Ready {
    pub(crate) engine: String,
}

/// One storage engine, bare.
trait Measure {
    fn engine(&mut self) -> anyhow::Result<String>;
    fn measure(&mut self, task: Task) -> anyhow::Result<Sample>;
}

pub(crate) fn run(which: &args::Probe) -> anyhow::Result<()> {
    match &which.what {
        args::ProbeKind::Sqlite { dir, rows } => serve(&mut sqlite::Sqlite::open(dir, *rows)?),
        args::ProbeKind::Postgres { url, rows } => serve(&mut postgres::Postgres::open(url, *rows)?),
        args::ProbeKind::Disk { dir } => serve(&mut disk::Disk::new(dir)),
    }
}

fn serve(probe: &mut impl Measure) -> anyhow::Result<()> {
    say(&Ready { engine: probe.engine()? })?;
    for line in std::io::stdin().lock().lines() {
        let task = serde_json::from_str(&line.context("standard input")?).context("a task")?;
        say(&probe.measure(task)?)?;
    }
    Ok(())
}

fn say(what: &impl Serialize) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, what).context("an answer")?;
    out.write_all(b"\n").and_then(|()| out.flush()).context("standard output")
}

fn length(seconds: f64) -> anyhow::Result<Duration> {
    Duration::try_from_secs_f64(seconds).context("a length of time")
}

fn not_mine<T>(task: Task) -> anyhow::Result<T> {
    bail!("this probe does not measure {task:?}")
}
