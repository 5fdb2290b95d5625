//! What stands around every measuring: it ends in time, on a signal or by itself, and leaves nothing behind.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::Session;
use crate::keeper::Keeper;
use crate::progress::Progress;

/// Measures and prints the report.
pub(crate) async fn run<R: Serialize>(
    options: &Session,
    show: impl FnOnce(&R) -> String,
    measure: impl AsyncFnOnce(&Keeper, &Progress) -> anyhow::Result<R>,
) -> anyhow::Result<R> {
    let keeper = Keeper::new(options.scratch.as_deref())?;
    let progress = Progress::new();
    let patience = Duration::from_mins(u64::from(options.max_minutes));
    let outcome = tokio::select! {
        outcome = measure(&keeper, &progress) => outcome,
        interrupted = interruption() => Err(interrupted),
        () = tokio::time::sleep(patience) => Err(anyhow!("not done after --max-minutes {}", options.max_minutes)),
    };
    progress.clear();
    keeper.close().await;
    let report = outcome?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report).context("the report")?);
    } else {
        print!("{}", show(&report));
    }
    Ok(report)
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
