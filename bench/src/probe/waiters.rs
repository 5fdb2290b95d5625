//! The callers of a group commit: each hands over one contact, waits until it is durable, and goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::rows::{self, Write};
use crate::stats::{Meter, Sample, Window};

/// A contact to be written, and whom to tell.
pub(super) struct Job {
    pub(super) writes: [Write; 4],
    pub(super) done: oneshot::Sender<()>,
}

/// Runs waiters until the window closes. `submit` hands a job to the writer and says whether there is still one.
pub(super) async fn run<S>(
    waiters: u32,
    window: Window,
    next: Arc<AtomicU64>,
    submit: S,
) -> anyhow::Result<Sample>
where
    S: Fn(Job) -> bool + Clone + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for _ in 0..waiters {
        tasks.spawn(waiter(window, Arc::clone(&next), submit.clone()));
    }
    drop(submit);
    let mut total = Meter::new(window)?;
    while let Some(one) = tasks.join_next().await {
        total.add(&one.context("a waiter")??)?;
    }
    Ok(total.sample())
}

async fn waiter(window: Window, next: Arc<AtomicU64>, submit: impl Fn(Job) -> bool) -> anyhow::Result<Meter> {
    let mut meter = Meter::new(window)?;
    loop {
        let started = Instant::now();
        let writes = rows::writes(next.fetch_add(1, Relaxed));
        let (done, told) = oneshot::channel();
        ensure!(submit(Job { writes, done }), "the writer has ended");
        told.await.context("the writer gave up")?;
        if !meter.record(started, Instant::now()) {
            return Ok(meter);
        }
    }
}
