//! Points in time: microseconds since the epoch, made by the store's clock only (`tx.now()`).

/// A point in time, in microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);
store::int!(Timestamp);

impl From<i64> for Timestamp {
    fn from(number: i64) -> Self {
        Timestamp(number)
    }
}

impl Timestamp {
    /// Year, month, day, hour, minute, second in UTC. What lies outside of year 1 to 9999 is shown as the nearer end.
    fn civil(self) -> jiff::civil::DateTime {
        let at = jiff::Timestamp::from_microsecond(self.0).unwrap_or(if self.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        });
        jiff::tz::Offset::UTC.to_datetime(at)
    }

    /// Reads RFC 3339 with any offset and an optional fraction; a plus that a query made a blank is forgiven.
    pub fn parse(text: &str) -> Option<Timestamp> {
        let text = text.trim();
        let text = match text.rsplit_once(' ') {
            Some((time, offset)) if time.contains('T') => format!("{time}+{offset}"),
            _ => text.to_owned(),
        };
        text.parse::<jiff::Timestamp>().ok().map(|at| Timestamp(at.as_microsecond()))
    }

    /// Seconds by which the clock that a moment is written in is ahead of UTC; a `+` that was not escaped is a blank.
    pub fn written_offset(text: &str) -> i64 {
        let text = text.trim();
        let Some((_, zone)) = text
            .split_once('T')
            .and_then(|(_, time)| time.rfind(['+', '-', ' ']).map(|at| time.split_at(at)))
        else {
            return 0;
        };
        let sign = if zone.starts_with('-') { -1 } else { 1 };
        let (hours, minutes) = zone.get(1..).and_then(|clock| clock.split_once(':')).unwrap_or_default();
        match (hours.parse::<i64>(), minutes.parse::<i64>()) {
            (Ok(hours), Ok(minutes)) if hours <= 26 => sign * (hours * 3_600 + minutes * 60),
            _ => 0,
        }
    }

    /// How far a zone's clock is ahead of UTC at this moment, in seconds; 0 for a zone that is not known.
    pub fn offset_seconds(self, zone: &str) -> i64 {
        let at = jiff::Timestamp::from_microsecond(self.0);
        let offset = jiff::tz::TimeZone::get(zone).ok().zip(at.ok()).map(|(zone, at)| zone.to_offset(at));
        offset.map_or(0, |offset| i64::from(offset.seconds()))
    }

    /// `20240305081530`.
    pub fn digits(self) -> String {
        let t = self.civil();
        format!(
            "{:04}{:02}{:02}{:02}{:02}{:02}",
            t.year(),
            t.month(),
            t.day(),
            t.hour(),
            t.minute(),
            t.second()
        )
    }

    /// The same, and without an offset as a clock in a zone (an IANA name) shows it. An hour that the zone leaves out is the
    /// one after it; one that it has twice is the first.
    pub fn parse_in(text: &str, zone: &str) -> Option<Timestamp> {
        Timestamp::parse(text).or_else(|| {
            let text = text.trim();
            let has_time = text.contains(':') && !text.ends_with(['Z', 'z', ']']);
            let civil = text.parse::<jiff::civil::DateTime>().ok().filter(|_| has_time)?;
            let at = civil.to_zoned(jiff::tz::TimeZone::get(zone).ok()?).ok()?;
            Some(Timestamp(at.timestamp().as_microsecond()))
        })
    }

    /// `2024-03-05T08:15:30Z`: seconds, in UTC.
    pub fn rfc3339_utc(self) -> String {
        self.rfc3339_offset().replace("+00:00", "Z")
    }

    /// `2024-03-05T08:15:30+00:00`: the form of the rest host (spec 00 section 8): numeric offset, no fraction.
    pub fn rfc3339_offset(self) -> String {
        let t = self.civil();
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}+00:00",
            t.year(),
            t.month(),
            t.day(),
            t.hour(),
            t.minute(),
            t.second()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_seconds_and_a_numeric_offset() {
        assert_eq!(Timestamp(1_709_626_530_999_999).rfc3339_offset(), "2024-03-05T08:15:30+00:00");
        assert_eq!(Timestamp(0).rfc3339_offset(), "1970-01-01T00:00:00+00:00");
    }

    #[test]
    fn reads_what_clients_send() {
        let wanted = Some(Timestamp(1_709_626_530_000_000));
        for text in ["2024-03-05T08:15:30+00:00", "2024-03-05T08:15:30Z", "2024-03-05T09:15:30 01:00"] {
            assert_eq!(Timestamp::parse(text), wanted, "{text}");
        }
        assert_eq!(Timestamp::parse("2024-03-05T08:15:30.5Z"), Some(Timestamp(1_709_626_530_500_000)));
        for bad in ["", "2024-03-05", "2024-03-05T08:15:30", "tomorrow"] {
            assert_eq!(Timestamp::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_zones_clock_is_ahead_by_its_offset_on_that_day() {
        let (winter, summer) = (Timestamp(1_709_626_530_000_000), Timestamp(1_720_000_000_000_000));
        let amsterdam = [winter, summer].map(|at| at.offset_seconds("Europe/Amsterdam"));
        assert_eq!((amsterdam, winter.offset_seconds("Nowhere")), ([3_600, 7_200], 0));
        assert_eq!(winter.digits(), "20240305081530");
    }

    #[test]
    fn tells_the_clock_that_a_moment_is_written_in() {
        for (text, seconds) in [
            ("2024-02-01T10:00:00+01:00", 3_600),
            ("2024-02-01T10:00:00 01:00", 3_600),
            ("2024-02-01T10:00:00-05:30", -19_800),
            ("2024-02-01T10:00:00Z", 0),
            ("2024-02-01", 0),
            ("30d", 0),
        ] {
            assert_eq!(Timestamp::written_offset(text), seconds, "{text}");
        }
    }

    #[test]
    fn reads_an_accounts_own_clock() {
        let wanted = Some(Timestamp(1_709_626_530_000_000));
        for text in [
            "2024-03-05T09:15:30",
            "2024-03-05 09:15:30",
            "2024-03-05T08:15:30Z",
            "2024-03-05T08:15:30+00:00",
        ] {
            assert_eq!(Timestamp::parse_in(text, "Europe/Amsterdam"), wanted, "{text}");
        }
        assert_eq!(
            Timestamp::parse_in("2024-03-05 09:15", "Europe/Amsterdam"),
            Some(Timestamp(1_709_626_500_000_000))
        );
        // On 31 March 2024 clocks there went from two to three.
        let three = Timestamp::parse("2024-03-31T01:30:00Z");
        assert_eq!(Timestamp::parse_in("2024-03-31T02:30:00", "Europe/Amsterdam"), three);
        for bad in ["", "2024-03-05", "09:15:30", "tomorrow", "2024-02-30T08:00:00", "2024-03-05T25:00:00"] {
            assert_eq!(Timestamp::parse_in(bad, "Europe/Amsterdam"), None, "{bad}");
        }
        assert_eq!(Timestamp::parse_in("2024-03-05T09:15:30", "Nowhere/Town"), None);
    }

    #[test]
    fn does_not_panic_at_the_ends() {
        assert!(Timestamp(i64::MAX).rfc3339_offset().starts_with("9999-12-3"));
        assert!(Timestamp(i64::MIN).rfc3339_offset().ends_with("+00:00"));
    }
}
