//! Counting: a window of time in which requests count, and medians over rounds.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// For figures that people read: 53 bits are plenty.
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "the standard library has no lossy From"
)]
pub(crate) fn float(n: u64) -> f64 {
    n as f64
}

/// Microseconds of a duration; a day would be the caller's mistake, not an overflow's.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// What completes inside counts; what completes before `begin` was the warm-up.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    pub(crate) begin: Instant,
    pub(crate) end: Instant,
}

impl Window {
    /// Opens after a warm-up of a tenth and stays open for `length`.
    pub(crate) fn opening(length: Duration) -> Self {
        let begin = Instant::now() + length / 10;
        Self { begin, end: begin + length }
    }

    /// Open at once, and for as long as the work lasts.
    pub(crate) fn unbounded() -> Self {
        Self::since(Instant::now())
    }

    /// Open since then, and for as long as the work lasts.
    pub(crate) fn since(begin: Instant) -> Self {
        Self { begin, end: begin + Duration::from_hours(24) }
    }
}

/// Collects what one client sees.
pub(crate) struct Meter {
    window: Window,
    histogram: Histogram<u64>,
}

impl Meter {
    pub(crate) fn new(window: Window) -> anyhow::Result<Self> {
        let histogram =
            Histogram::new_with_bounds(1, 120_000_000, 3).context("a histogram of microseconds")?;
        Ok(Self { window, histogram })
    }

    /// Says whether the window is still open for another request.
    pub(crate) fn record(&mut self, started: Instant, ended: Instant) -> bool {
        if ended >= self.window.begin && ended < self.window.end {
            self.histogram.saturating_record(micros(ended - started).max(1));
        }
        ended < self.window.end
    }

    pub(crate) fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        self.histogram.add(&other.histogram).context("adding histograms of equal shape")
    }

    /// The rate is over the whole window, or up to now when the work ended before it.
    pub(crate) fn sample(&self) -> Sample {
        let open = self.window.end.min(Instant::now()).saturating_duration_since(self.window.begin);
        let count = self.histogram.len();
        Sample {
            count,
            per_s: float(count) / open.as_secs_f64().max(1e-6),
            p50_us: self.histogram.value_at_quantile(0.5),
            p99_us: self.histogram.value_at_quantile(0.99),
            max_us: self.histogram.max(),
        }
    }
}

/// One cell in one round.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) count: u64,
    pub(crate) per_s: f64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) max_us: u64,
}

/// One cell over all rounds: each figure is the median of its own column.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) per_s: f64,
    pub(crate) per_s_lowest: f64,
    pub(crate) per_s_highest: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
    pub(crate) rounds: Vec<Sample>,
}

impl Summary {
    pub(crate) fn of(rounds: Vec<Sample>) -> Option<Self> {
        let rates: Vec<f64> = rounds.iter().map(|s| s.per_s).collect();
        let ms =
            |pick: fn(&Sample) -> u64| rounds.iter().map(|s| float(pick(s)) / 1000.0).collect::<Vec<_>>();
        Some(Self {
            per_s: median(&rates)?,
            per_s_lowest: rates.iter().copied().reduce(f64::min)?,
            per_s_highest: rates.iter().copied().reduce(f64::max)?,
            p50_ms: median(&ms(|s| s.p50_us))?,
            p99_ms: median(&ms(|s| s.p99_us))?,
            max_ms: ms(|s| s.max_us).into_iter().reduce(f64::max)?,
            rounds,
        })
    }
}

/// The middle value, or the mean of the middle two.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *sorted.get(sorted.len() / 2 - 1)?;
    Some(f64::midpoint(lower, upper))
}

/// The median of the ratios of each round, in which both sides saw the same neighbours.
pub(crate) fn percent(rounds: &[Sample], of: &[Sample]) -> Option<f64> {
    let ratios: Vec<f64> =
        rounds.iter().zip(of).map(|(one, other)| 100.0 * one.per_s / other.per_s).collect();
    median(&ratios)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn only_the_window_counts() -> anyhow::Result<()> {
        let begin = Instant::now();
        let ms = Duration::from_millis;
        let window = Window { begin: begin + ms(10), end: begin + ms(20) };
        let mut meter = Meter::new(window)?;
        assert!(meter.record(begin, begin + ms(5)));
        assert!(meter.record(begin + ms(5), begin + ms(12)));
        assert!(!meter.record(begin + ms(12), begin + ms(20)));
        assert_eq!(meter.histogram.len(), 1);
        assert!((6_990..=7_010).contains(&meter.histogram.max()));
        Ok(())
    }
}
