//! How fast a carrier is given messages: what was agreed, and slower while it says that it is too much.

/// Microseconds of the first rest after "too fast", and of the longest.
const REST_US: (i64, i64) = (250_000, 30_000_000);
const SECOND_US: i64 = 1_000_000;

/// A carrier's allowance.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Messages a second; none is as many as there is room for.
    per_second: Option<i64>,
    /// Millionths of a message that may be given now.
    allowance: i64,
    counted_at: i64,
    rest_us: i64,
    resting_until: i64,
}

impl Pace {
    pub(crate) fn new(per_second: Option<u32>, now: i64) -> Pace {
        Pace {
            per_second: per_second.map(i64::from),
            allowance: 0,
            counted_at: now,
            rest_us: 0,
            resting_until: i64::MIN,
        }
    }

    /// How many messages may be given now, at most `most`.
    pub(crate) fn room(&mut self, most: usize, now: i64) -> usize {
        if now < self.resting_until {
            return 0;
        }
        let Some(rate) = self.per_second else { return most };
        let passed = now.saturating_sub(self.counted_at).clamp(0, SECOND_US);
        self.counted_at = now;
        // A tenth of a second's worth may come at once, or else waking up late would lose it.
        let burst = (rate * SECOND_US / 10).max(SECOND_US);
        self.allowance = (self.allowance + passed * rate).min(burst);
        most.min(usize::try_from(self.allowance / SECOND_US).unwrap_or(0))
    }

    /// So many were given.
    pub(crate) fn took(&mut self, count: usize) {
        if self.per_second.is_some() {
            self.allowance -= i64::try_from(count).unwrap_or(i64::MAX).saturating_mul(SECOND_US);
        }
    }

    /// The carrier says that it is too much: each time in a row it rests twice as long.
    pub(crate) fn too_fast(&mut self, now: i64) {
        if now >= self.resting_until {
            self.rest_us = (self.rest_us * 2).clamp(REST_US.0, REST_US.1);
            self.resting_until = now.saturating_add(self.rest_us);
        }
    }

    /// The carrier says for how long it wants nothing, in microseconds.
    pub(crate) fn rest(&mut self, now: i64, us: i64) {
        self.resting_until = self.resting_until.max(now.saturating_add(us));
    }

    /// The carrier takes messages.
    pub(crate) fn fine(&mut self, now: i64) {
        if now >= self.resting_until {
            self.rest_us = 0;
        }
    }

    /// When to look again, if nothing else happens.
    pub(crate) fn next_at(&self, now: i64) -> Option<i64> {
        if now < self.resting_until {
            return Some(self.resting_until);
        }
        let rate = self.per_second?;
        let missing = SECOND_US.saturating_sub(self.allowance);
        (missing > 0).then(|| now.saturating_add(missing / rate.max(1)).saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_agreed_is_kept_in_every_second() {
        let mut pace = Pace::new(Some(50), 0);
        let mut given = Vec::new();
        let mut now = 0;
        while now < 3 * SECOND_US {
            let room = pace.room(100, now);
            pace.took(room);
            given.extend(std::iter::repeat_n(now, room));
            now = pace.next_at(now).expect("something is missing: all that there was room for was given");
        }
        pace.room(0, now);
        assert_eq!(pace.next_at(now), None, "it waits for messages, not for its allowance");
        assert!((140..=155).contains(&given.len()), "{} in three seconds", given.len());
        for (first, at) in given.iter().enumerate() {
            let within = given[first..].iter().take_while(|other| **other < at + SECOND_US).count();
            assert!(within <= 55, "{within} in one second");
        }
    }

    #[test]
    fn a_carrier_that_has_too_much_gets_nothing_for_a_while() {
        let mut pace = Pace::new(None, 0);
        assert_eq!(pace.room(100, 0), 100);
        pace.too_fast(0);
        pace.too_fast(1);
        assert_eq!((pace.room(100, 249_999), pace.room(100, 250_000)), (0, 100), "one rest for one window");
        pace.too_fast(250_000);
        assert_eq!(pace.next_at(300_000), Some(750_000));
        pace.fine(750_000);
        pace.too_fast(750_000);
        assert_eq!(pace.next_at(750_001), Some(1_000_000), "what went well is forgotten as a fault");
    }
}
