//! Messages from their acceptance to the last report about them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::Serialize;

use super::send::Accepted;
use super::sink::{Sink, Tally};
use crate::stats::{Meter, Sample, Window, float};

/// Reports that have not come are missing when none has come for this long: some retries lie in it.
const SILENCE: Duration = Duration::from_secs(40);

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Journey {
    pub(crate) messages: u64,
    /// Acceptance as the client saw it.
    pub(crate) accepted: Sample,
    /// From acceptance to the report of delivery; the rate is from the first acceptance to the last such report.
    pub(crate) delivered: Sample,
    /// From the last acceptance to the last report.
    pub(crate) drained_ms: f64,
    /// What the server's processes spent on a message, from its request to its last report.
    pub(crate) cpu_us_per_message: f64,
}

impl Journey {
    /// Of messages that were all reported, on which the server spent so much of the processors.
    pub(crate) fn of(accepted: &Accepted, sink: &Sink, cpu: Duration) -> anyhow::Result<Self> {
        let delivered = sink.delivered_at(accepted.messages.iter().map(|(n, _)| *n));
        let (delivered, end) = stretch(accepted, &delivered).context("a report")?;
        let last = accepted.messages.iter().map(|(_, at)| *at).max().context("a message")?;
        let messages = u64::try_from(accepted.messages.len())?;
        Ok(Self {
            messages,
            accepted: accepted.sample.clone(),
            delivered,
            drained_ms: end.saturating_duration_since(last).as_secs_f64() * 1000.0,
            cpu_us_per_message: cpu.as_secs_f64() * 1e6 / float(messages.max(1)),
        })
    }
}

/// From acceptance to another moment of each message, in the same order; the rate is from the first acceptance to the
/// last of these moments, which is told as well.
pub(crate) fn stretch(accepted: &Accepted, ends: &[Option<Instant>]) -> anyhow::Result<(Sample, Instant)> {
    let first = accepted.messages.iter().map(|(_, at)| *at).min().context("a message")?;
    let mut meter = Meter::new(Window::since(accepted.begin))?;
    let mut last = first;
    for ((n, accepted), end) in accepted.messages.iter().zip(ends) {
        let end = end.with_context(|| format!("message {n} never came"))?;
        // Two threads looked at the clock: the end may seem to be before the answer.
        meter.record(*accepted.min(&end), end);
        last = last.max(end);
    }
    let per_s = float(u64::try_from(ends.len())?) / (last - first).as_secs_f64().max(1e-6);
    Ok((Sample { per_s, ..meter.sample() }, last))
}

/// Waits until so many messages were told of.
pub(crate) async fn reported(sink: &Sink, expected: u64, told: impl Fn(&Tally) -> u64) -> anyhow::Result<()> {
    let mut last = sink.tally();
    let mut moved = Instant::now();
    while told(&last) < expected {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let now = sink.tally();
        if now.requests != last.requests {
            moved = Instant::now();
        } else if moved.elapsed() > SILENCE {
            bail!(
                "{} of {expected} messages were told of ({} as sent, {} as delivered); nothing came for {} s",
                told(&now),
                now.sent,
                now.delivered,
                SILENCE.as_secs()
            );
        }
        last = now;
    }
    Ok(())
}
