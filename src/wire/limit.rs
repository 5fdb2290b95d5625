//! Rate limits: a bucket that fills at a steady rate (the generic cell rate algorithm, ITU-T I.371 annex A), in one
//! integer.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// How fast and how much at once.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// Microseconds that one request takes up.
    each_us: i64,
    /// Requests that may come at once after a rest.
    burst: i64,
}

impl Rate {
    /// So many a second, as many at once.
    pub const fn per_second(count: i64) -> Self {
        Rate { each_us: 1_000_000 / count, burst: count }
    }

    /// So many a minute, as many at once.
    pub const fn per_minute(count: i64) -> Self {
        Rate { each_us: 60_000_000 / count, burst: count }
    }
}

/// A bucket, full at first.
#[derive(Debug, Default)]
pub struct Bucket {
    /// When the bucket will be full again, in microseconds since the epoch.
    full_at_us: AtomicI64,
}

impl Bucket {
    /// Takes one; if there is none, says when there will be.
    pub fn take(&self, rate: Rate, now_us: i64) -> Result<(), Duration> {
        let capacity = rate.each_us.saturating_mul(rate.burst);
        let taken = self.full_at_us.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
            let next = full_at.max(now_us).saturating_add(rate.each_us);
            (next.saturating_sub(now_us) <= capacity).then_some(next)
        });
        taken.map(|_| ()).map_err(|full_at| wait(full_at, rate, now_us, capacity))
    }

    /// Gives one back that was taken.
    pub fn give(&self, rate: Rate) {
        self.full_at_us.fetch_sub(rate.each_us, Ordering::Relaxed);
    }

    /// Whether there is one, without taking it.
    pub fn check(&self, rate: Rate, now_us: i64) -> Result<(), Duration> {
        let capacity = rate.each_us.saturating_mul(rate.burst);
        let full_at = self.full_at_us.load(Ordering::Relaxed);
        let next = full_at.max(now_us).saturating_add(rate.each_us);
        if next.saturating_sub(now_us) <= capacity {
            Ok(())
        } else {
            Err(wait(full_at, rate, now_us, capacity))
        }
    }
}

fn wait(full_at: i64, rate: Rate, now_us: i64, capacity: i64) -> Duration {
    let wait_us = full_at.saturating_add(rate.each_us).saturating_sub(now_us).saturating_sub(capacity);
    Duration::from_micros(wait_us.max(0).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lets_a_burst_through_and_then_the_rate() {
        let (bucket, rate, start) = (Bucket::default(), Rate::per_second(50), 1_000_000_000);
        for _ in 0..50 {
            assert_eq!(bucket.take(rate, start), Ok(()));
        }
        assert_eq!(bucket.take(rate, start), Err(Duration::from_millis(20)));
        assert_eq!(bucket.check(rate, start), Err(Duration::from_millis(20)));
        bucket.give(rate);
        assert_eq!((bucket.take(rate, start), bucket.take(rate, start).is_err()), (Ok(()), true));
        assert_eq!(bucket.take(rate, start + 20_000), Ok(()));
        assert!(bucket.take(rate, start + 20_000).is_err());
        assert_eq!(bucket.check(rate, start + 2_000_000), Ok(()));
    }

    #[test]
    fn a_clock_that_goes_back_does_not_panic() {
        let (bucket, rate) = (Bucket::default(), Rate::per_minute(20));
        assert_eq!(bucket.take(rate, i64::MAX), Ok(()));
        assert!(bucket.take(rate, 0).is_err());
    }
}
