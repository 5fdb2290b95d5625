//! What the figures have to reach. The reasons for the numbers are in the project's performance documentation.
//!
//! Ratios to a yardstick of the same run are the test; times and sizes stand for themselves.

use serde::Serialize;

use crate::table::thousands;

/// Three marks, from "a defect" over "reached" to "better than asked".
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Limits {
    pub(crate) floor: f64,
    pub(crate) target: f64,
    pub(crate) stretch: f64,
    pub(crate) unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Unit {
    /// More is better.
    Percent,
    /// More is better.
    #[serde(rename = "per second")]
    PerSecond,
    /// Less is better, as with everything below.
    Milliseconds,
    MiB,
    Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Verdict {
    #[serde(rename = "below floor")]
    BelowFloor,
    #[serde(rename = "floor")]
    Floor,
    #[serde(rename = "target")]
    Target,
    #[serde(rename = "stretch")]
    Stretch,
}

/// A figure beside its limits.
#[derive(Serialize)]
pub(crate) struct Judged {
    pub(crate) figure: String,
    pub(crate) value: f64,
    #[serde(flatten)]
    pub(crate) limits: Limits,
    pub(crate) verdict: Verdict,
}

const fn limits(unit: Unit, floor: f64, target: f64, stretch: f64) -> Limits {
    Limits { floor, target, stretch, unit }
}

/// `GET /contacts/{id}` of the bare handler.
pub(crate) const VIEW_OF_HELLO: Limits = limits(Unit::Percent, 35.0, 50.0, 65.0);
/// `POST /contacts` of the group-commit probe with as many waiters.
pub(crate) const CREATE_OF_PROBE: Limits = limits(Unit::Percent, 50.0, 75.0, 90.0);
/// `POST /contacts` at 128 connections of full batches with nobody waiting.
pub(crate) const CREATE_OF_CEILING: Limits = limits(Unit::Percent, 40.0, 65.0, 80.0);
/// The larger size's rate of the smaller's: flat within 25 %.
pub(crate) const FLATNESS: Limits = limits(Unit::Percent, 75.0, 75.0, 100.0);
/// Anonymous and file pages of the process, started on nothing and asked nothing.
pub(crate) const MEMORY_IDLE: Limits = limits(Unit::MiB, 40.0, 20.0, 12.0);
/// Anonymous pages after reads at 1,000,000 contacts.
pub(crate) const MEMORY_LOADED: Limits = limits(Unit::MiB, 150.0, 64.0, 32.0);
/// `SQLite` file for a contact of 330 bytes.
pub(crate) const DISK: Limits = limits(Unit::Bytes, 800.0, 550.0, 450.0);
pub(crate) const START_EMPTY: Limits = limits(Unit::Milliseconds, 500.0, 100.0, 50.0);
/// With 1,000,000 contacts.
pub(crate) const START_FULL: Limits = limits(Unit::Milliseconds, 1000.0, 200.0, 100.0);

/// `POST /messages`, durable and under a key of its own, at 32 connections. Rates of messages are for two cores that
/// are idle but for the run: the gateways that they were set by do not run beside it.
pub(crate) const MESSAGES_ACCEPTED: Limits = limits(Unit::PerSecond, 10_000.0, 16_000.0, 22_000.0);
/// From the first accepted to the last reported as delivered.
pub(crate) const MESSAGES_END_TO_END: Limits = limits(Unit::PerSecond, 5_000.0, 7_500.0, 10_000.0);
/// The slowest of a hundred acceptances while messages come at a fixed rate.
pub(crate) const MESSAGES_OPEN_P99: Limits = limits(Unit::Milliseconds, 100.0, 20.0, 10.0);

/// The slowest of a hundred views, where one was set.
pub(crate) fn view_p99(connections: u32) -> Option<Limits> {
    match connections {
        32 => Some(limits(Unit::Milliseconds, 6.0, 3.0, 2.0)),
        128 => Some(limits(Unit::Milliseconds, 12.0, 6.0, 5.0)),
        _ => None,
    }
}

/// The slowest of a hundred creations, where one was set. On a busy disk, twice its slow syncs and 5 ms are allowed.
pub(crate) fn create_p99(connections: u32, sync_p99_ms: f64) -> Option<Limits> {
    let set = match connections {
        32 => limits(Unit::Milliseconds, 15.0, 6.0, 4.0),
        128 => limits(Unit::Milliseconds, 25.0, 10.0, 8.0),
        _ => return None,
    };
    let busy = 2.0 * sync_p99_ms + 5.0;
    Some(Limits { floor: set.floor.max(busy), target: set.target.max(busy), ..set })
}

/// Holds a figure against its limits, where there are both.
pub(crate) fn judge(found: &mut Vec<Judged>, figure: String, value: Option<f64>, limits: Option<Limits>) {
    if let (Some(value), Some(limits)) = (value, limits) {
        found.push(Judged { figure, value, limits, verdict: limits.judge(value) });
    }
}

/// How many figures are defects.
pub(crate) fn below_floor(verdicts: &[Judged]) -> usize {
    verdicts.iter().filter(|judged| judged.verdict == Verdict::BelowFloor).count()
}

impl Limits {
    pub(crate) fn judge(&self, value: f64) -> Verdict {
        let more_is_better = matches!(self.unit, Unit::Percent | Unit::PerSecond);
        let reaches = |mark: f64| if more_is_better { value >= mark } else { value <= mark };
        if reaches(self.stretch) {
            Verdict::Stretch
        } else if reaches(self.target) {
            Verdict::Target
        } else if reaches(self.floor) {
            Verdict::Floor
        } else {
            Verdict::BelowFloor
        }
    }
}

impl Verdict {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::BelowFloor => "below floor",
            Self::Floor => "floor",
            Self::Target => "target",
            Self::Stretch => "stretch",
        }
    }
}

impl Unit {
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::Percent => format!("{value:.0} %"),
            Self::PerSecond => format!("{}/s", thousands(value)),
            Self::Milliseconds if value < 100.0 => format!("{value:.1} ms"),
            Self::Milliseconds => format!("{value:.0} ms"),
            Self::MiB => format!("{value:.1} MiB"),
            Self::Bytes => format!("{value:.0} B"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_in_both_directions() {
        assert_eq!(VIEW_OF_HELLO.judge(34.9), Verdict::BelowFloor);
        assert_eq!(VIEW_OF_HELLO.judge(35.0), Verdict::Floor);
        assert_eq!(VIEW_OF_HELLO.judge(64.0), Verdict::Target);
        assert_eq!(VIEW_OF_HELLO.judge(65.0), Verdict::Stretch);
        assert_eq!(DISK.judge(801.0), Verdict::BelowFloor);
        assert_eq!(DISK.judge(551.0), Verdict::Floor);
        assert_eq!(DISK.judge(550.0), Verdict::Target);
        assert_eq!(DISK.judge(100.0), Verdict::Stretch);
    }

    #[test]
    fn a_busy_disk_is_no_defect() {
        let idle = create_p99(32, 0.5).map(|limits| limits.judge(14.0));
        assert_eq!(idle, Some(Verdict::Floor));
        let busy = create_p99(32, 8.0).map(|limits| limits.judge(20.0));
        assert_eq!(busy, Some(Verdict::Target));
    }
}
