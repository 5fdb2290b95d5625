//! What stands around every measuring: it ends in time, on a signal or by itself, and leaves nothing behind.

use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;
use tokio::signal::unix::{SignalKind, signal};

use crate::keeper::Keeper;
use crate::progress::Progress;

pub(crate) async fn run<R>(
    scratch: Option<&Path>,
    max_minutes: u32,
    measure: impl AsyncFnOnce(&Keeper, &Progress) -> anyhow::Result<R>,
) -> anyhow::Result<R> {
    let keeper = Keeper::new(scratch)?;
    let progress = Progress::new();
    let patience = Duration::from_mins(u64::from(max_minutes));
    let outcome = tokio::select! {
        outcome = measure(&keeper, &progress) => outcome,
        interrupted = interruption() => Err(interrupted),
        () = tokio::time::sleep(patience) => Err(anyhow!("not done after --max-minutes {max_minutes}")),
    };
    progress.clear();
    keeper.close().await;
    outcome
}

async fn interruption() -> anyhow::Error {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let mut waits = Vec::new();
    for kind in kinds {
        match signal(kind) {
            Ok(mut stream) => waits.push(Box::pin(async move { stream.recv().await })),
            Err(error) => return anyhow::Error::new(error).context("listening for signals"),
        }
    }
    futures_util::future::select_all(waits).await;
    anyhow!("interrupted; everything that was started is ended")
}
