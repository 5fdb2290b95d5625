//! Time and chance: the two things a unit may not take from anywhere else than its `Tx`, so that the
//! same seed and the same commands give the same rows, bit for bit.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Where "now" comes from. Clones share one clock.
#[derive(Clone, Debug)]
pub struct Clock(Option<Arc<AtomicI64>>);

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock that stands at `start_us` (microseconds since the epoch) until it is advanced.
    pub fn manual(start_us: i64) -> Self {
        Self(Some(Arc::new(AtomicI64::new(start_us))))
    }

    /// Microseconds since the epoch.
    #[expect(clippy::disallowed_methods, reason = "the one door by which time comes in")]
    pub fn now_us(&self) -> i64 {
        match &self.0 {
            Some(manual) => manual.load(Ordering::SeqCst),
            // A clock before 1970 reads as 1970: wrong, but no reason to stop.
            None => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, micros),
        }
    }

    /// Moves a manual clock on. The machine's clock does not listen.
    pub fn advance(&self, by: Duration) {
        if let Some(manual) = &self.0 {
            manual.fetch_add(micros(by), Ordering::SeqCst);
        }
    }
}

fn micros(d: Duration) -> i64 {
    i64::try_from(d.as_micros()).unwrap_or(i64::MAX)
}

/// Where random bytes come from. Clones share one source.
#[derive(Clone)]
pub struct Entropy(Option<Arc<Mutex<StdRng>>>);

impl Entropy {
    /// A generator seeded by the operating system, fit for secrets.
    pub fn system() -> Self {
        Self(None)
    }

    /// The same bytes for the same seed, for tests and simulation only.
    pub fn seeded(seed: u64) -> Self {
        Self(Some(Arc::new(Mutex::new(StdRng::seed_from_u64(seed)))))
    }

    /// Fills `buf` with random bytes.
    #[expect(clippy::disallowed_methods, reason = "the one door by which chance comes in")]
    pub fn fill(&self, buf: &mut [u8]) {
        match &self.0 {
            Some(seeded) => seeded.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(buf),
            None => rand::rng().fill_bytes(buf),
        }
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Entropy(seeded)" } else { "Entropy(system)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = Clock::manual(7);
        let same = clock.clone();
        clock.advance(Duration::from_millis(2));
        assert_eq!(same.now_us(), 2_007);
        assert!(Clock::system().now_us() > 1_700_000_000_000_000);
    }

    #[test]
    fn a_seed_gives_the_same_bytes() {
        let fill = |entropy: &Entropy| {
            let mut buf = [0; 20];
            entropy.fill(&mut buf);
            buf
        };
        assert_eq!(fill(&Entropy::seeded(1)), fill(&Entropy::seeded(1)));
        assert_ne!(fill(&Entropy::seeded(1)), fill(&Entropy::seeded(2)));
        let system = Entropy::system();
        assert_ne!(fill(&system), fill(&system));
    }
}
