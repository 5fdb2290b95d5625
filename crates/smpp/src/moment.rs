//! Times on the wire: `schedule_delivery_time` and `validity_period` (SMPP 3.4, 7.1.1).

use jiff::civil::DateTime;
use jiff::tz::Offset;
use std::fmt::Write;
use std::time::Duration;

const SECOND: u64 = 1;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// A relative time has years and months, and the standard does not say how long they are. These keep every field within
/// its digits, and what is written is read back as it was.
const MONTH: u64 = 30 * DAY;
const YEAR: u64 = 365 * DAY;

/// When a message is to be delivered, or until when it is worth delivering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Moment {
    /// A point in time, in microseconds since 1970 in UTC. On the wire it has tenths of a second.
    Absolute(i64),
    /// As long after the message arrived. On the wire it has whole seconds, and ends before a hundred years.
    Relative(Duration),
    /// Something stands there that is no time. To take it for nothing would be to send at once what was meant for later.
    Unreadable,
}

impl Moment {
    /// The sixteen characters on the wire: `YYMMDDhhmmsstnnp`. Parts of a tenth or of a second are cut off. None for a
    /// year that two digits cannot say: 2000 to 2099, and for what is no time.
    pub fn write(self) -> Option<String> {
        match self {
            Moment::Absolute(micros) => {
                let time = Offset::UTC.to_datetime(jiff::Timestamp::from_microsecond(micros).ok()?);
                let year = time.year().checked_sub(2000).filter(|year| (0..100).contains(year))?;
                let tenth = time.subsec_nanosecond() / 100_000_000;
                let mut text = String::with_capacity(16);
                let (month, day) = (time.month(), time.day());
                let (hour, minute, second) = (time.hour(), time.minute(), time.second());
                write!(text, "{year:02}{month:02}{day:02}{hour:02}{minute:02}{second:02}{tenth}00+").ok()?;
                Some(text)
            }
            Moment::Unreadable => None,
            Moment::Relative(duration) => {
                let mut left = duration.as_secs().min(99 * YEAR + 11 * MONTH + 29 * DAY);
                let mut text = String::with_capacity(16);
                for (unit, most) in
                    [(YEAR, 99), (MONTH, 11), (DAY, 99), (HOUR, 23), (MINUTE, 59), (SECOND, 59)]
                {
                    let count = (left / unit).min(most);
                    left -= count * unit;
                    write!(text, "{count:02}").ok()?;
                }
                text.push_str("000R");
                Some(text)
            }
        }
    }

    /// Reads a field, with any offset to UTC; none if it is empty.
    pub fn of(field: &str) -> Option<Moment> {
        if field.is_empty() { None } else { Some(Moment::read(field).unwrap_or(Moment::Unreadable)) }
    }

    /// Reads what [`Moment::write`] writes, with any offset to UTC. The offset, or the tenths and the offset, may be
    /// missing, as some leave them out: then it is UTC. None for what is no time.
    pub fn read(text: &str) -> Option<Moment> {
        if !matches!(text.len(), 12 | 13 | 16) {
            return None;
        }
        let digits = |from: usize, to: usize| -> Option<u32> {
            let part = text.get(from..to).filter(|part| part.bytes().all(|octet| octet.is_ascii_digit()))?;
            part.parse().ok()
        };
        let [year, month, day, hour, minute, second] =
            [digits(0, 2)?, digits(2, 4)?, digits(4, 6)?, digits(6, 8)?, digits(8, 10)?, digits(10, 12)?];
        let direction = text.get(15..16).unwrap_or("+");
        if direction == "R" {
            let units =
                [(year, YEAR), (month, MONTH), (day, DAY), (hour, HOUR), (minute, MINUTE), (second, SECOND)];
            let seconds = units.iter().map(|(count, unit)| u64::from(*count) * unit).sum();
            return Some(Moment::Relative(Duration::from_secs(seconds)));
        }
        let tenths = if text.len() > 12 { digits(12, 13)? } else { 0 };
        let quarters = if text.len() > 13 { i64::from(digits(13, 15)?) } else { 0 };
        let ahead = match direction {
            "+" => quarters,
            "-" => -quarters,
            _ => return None,
        };
        let local = utc([2000 + year, month, day, hour, minute, second])?;
        let micros = local + i64::from(tenths) * 100_000 - ahead * 15 * 60 * 1_000_000;
        Some(Moment::Absolute(micros))
    }
}

/// Microseconds since 1970 of a date and time in UTC; none if there is no such time.
pub(crate) fn utc([year, month, day, hour, minute, second]: [u32; 6]) -> Option<i64> {
    let small = |number: u32| i8::try_from(number).ok();
    let time = DateTime::new(
        i16::try_from(year).ok()?,
        small(month)?,
        small(day)?,
        small(hour)?,
        small(minute)?,
        small(second)?,
        0,
    );
    Offset::UTC.to_timestamp(time.ok()?).ok().map(jiff::Timestamp::as_microsecond)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2026-11-22T09:05:58Z.
    const THEN: i64 = 1_795_338_358_000_000;

    #[test]
    fn times_stand_as_the_standard_has_them() {
        assert_eq!(Moment::Absolute(THEN).write().as_deref(), Some("261122090558000+"));
        for (text, micros) in [
            ("261122090558000+", THEN),
            ("261122090558300+", THEN + 300_000),
            ("261122100558004+", THEN),
            ("261122040558020-", THEN),
            ("261122090558", THEN),
            ("2611220905580", THEN),
        ] {
            assert_eq!(Moment::read(text), Some(Moment::Absolute(micros)), "{text}");
        }
        // The example of 7.1.1.2: two years, six months, ten days, 23 hours, 34 minutes and 29 seconds.
        let seconds = 2 * YEAR + 6 * MONTH + 10 * DAY + 23 * HOUR + 34 * MINUTE + 29;
        let relative = Moment::Relative(Duration::from_secs(seconds));
        assert_eq!(Moment::read("020610233429000R"), Some(relative));
        assert_eq!(relative.write().as_deref(), Some("020610233429000R"));
        assert_eq!(Moment::Relative(Duration::from_hours(72)).write().as_deref(), Some("000003000000000R"));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "soon",
            "261322090558000+",
            "26112209055800+0",
            "26112209055",
            "-61122090558000+",
            "2611220905580é0+",
            "26112209055800+",
            "26112209055800",
            "261122090558000+0",
            "261122090558x00+",
        ] {
            assert_eq!(Moment::read(text), None, "{text}");
            assert_eq!(Moment::of(text), Some(Moment::Unreadable).filter(|_| !text.is_empty()));
        }
        assert_eq!(Moment::Unreadable.write(), None);
        assert_eq!(Moment::Absolute(-1).write(), None);
        assert_eq!(Moment::Absolute(i64::MAX).write(), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(tenths in 9_466_848_000i64..41_024_447_999, seconds in 0u64..99 * YEAR) {
            let absolute = Moment::Absolute(tenths * 100_000);
            prop_assert_eq!(absolute.write().and_then(|text| Moment::read(&text)), Some(absolute));
            let relative = Moment::Relative(Duration::from_secs(seconds));
            let text = relative.write().unwrap();
            prop_assert_eq!(text.len(), 16);
            prop_assert_eq!(Moment::read(&text), Some(relative));
        }

        #[test]
        fn anything_is_looked_at(text in ".{0,20}") {
            let _ = Moment::read(&text);
        }
    }
}
