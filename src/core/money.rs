//! Money: integers of micro-units and the currency they are in. No float, no rounding but where a rule says so.

use super::error::Code;

/// Micro-units in one unit of a currency.
const MICRO: i64 = 1_000_000;

/// An amount in micro-units of some currency: 1.50 is 1,500,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(pub i64);
store::int!(Amount);

impl Amount {
    /// Nothing.
    pub const ZERO: Amount = Amount(0);

    /// Reads `12`, `12.5`, `-0.000001`: at most six decimals, no exponent, no separators.
    pub fn parse(text: &str) -> Result<Amount, Code> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let numeric = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        let dangling = digits.contains('.') && fraction.is_empty();
        if whole.is_empty() || fraction.len() > 6 || dangling || !numeric(whole) || !numeric(fraction) {
            return Err(Code::Invalid);
        }
        let micro = format!("{whole}{fraction:0<6}").parse::<i64>().map_err(|_| Code::Invalid)?;
        Ok(Amount(if negative { -micro } else { micro }))
    }

    /// Cut down to cents, never up: 0.019 shows 0.01 and -0.001 shows -0.01. A JSON number without an exponent.
    pub fn cents(self) -> String {
        let cents = self.0.div_euclid(MICRO / 100);
        let sign = if cents < 0 { "-" } else { "" };
        let (whole, part) = (cents.unsigned_abs() / 100, cents.unsigned_abs() % 100);
        match part {
            0 => format!("{sign}{whole}"),
            p if p % 10 == 0 => format!("{sign}{whole}.{}", p / 10),
            p => format!("{sign}{whole}.{p:02}"),
        }
    }
}

impl Amount {
    /// All decimals that count: `0.061`, `1.5`, `0`. A JSON number.
    pub fn shortest(self) -> String {
        let text = self.to_string();
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }

    /// So many times as much; `None` beyond what fits.
    pub fn times(self, count: i64) -> Option<Amount> {
        self.0.checked_mul(count).map(Amount)
    }
}

impl std::iter::Sum for Amount {
    /// Saturates: a guard that compares it with a balance refuses it.
    fn sum<I: Iterator<Item = Amount>>(amounts: I) -> Amount {
        Amount(amounts.fold(0, |sum, amount| sum.saturating_add(amount.0)))
    }
}

impl std::fmt::Display for Amount {
    /// All decimals that are there, at least two: `84.20`, `0.000001`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, micro) =
            (self.0.unsigned_abs() / MICRO.unsigned_abs(), self.0.unsigned_abs() % MICRO.unsigned_abs());
        let fraction = format!("{micro:06}");
        let shown = fraction.trim_end_matches('0');
        write!(f, "{sign}{whole}.{shown:0<2}")
    }
}

/// An ISO 4217 code: three capital letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency([u8; 3]);

impl Currency {
    /// The default of a new partner.
    pub const EUR: Currency = Currency(*b"EUR");

    /// Reads three letters of any case.
    pub fn parse(text: &str) -> Result<Currency, Code> {
        let bytes: [u8; 3] = text.as_bytes().try_into().map_err(|_| Code::Invalid)?;
        if !bytes.iter().all(u8::is_ascii_alphabetic) {
            return Err(Code::Invalid);
        }
        Ok(Currency(bytes.map(|b| b.to_ascii_uppercase())))
    }

    /// The code.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }
}

impl std::fmt::Display for Currency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl store::Param for Currency {
    fn val(&self) -> store::Val<'_> {
        store::Val::Text(self.as_str())
    }
}

impl store::Column for Currency {
    fn col(value: store::Val<'_>) -> Result<Self, store::Error> {
        let text = String::col(value)?;
        Currency::parse(&text).map_err(|_| store::Error::decode("a currency of three letters"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_only_plain_decimals() {
        assert_eq!(Amount::parse("25.5"), Ok(Amount(25_500_000)));
        assert_eq!(Amount::parse("-0.000001"), Ok(Amount(-1)));
        for bad in ["", "-", ".", "1.", ".5", "1e3", "1,5", "+1", "0.0000001", "9999999999999999999", "١"] {
            assert_eq!(Amount::parse(bad), Err(Code::Invalid), "{bad}");
        }
    }

    #[test]
    fn cuts_to_cents_and_never_up() {
        for (micro, shown) in [
            (84_200_000, "84.2"),
            (0, "0"),
            (19_999, "0.01"),
            (-1, "-0.01"),
            (1_000_000, "1"),
            (1_050_000, "1.05"),
        ] {
            assert_eq!(Amount(micro).cents(), shown);
        }
    }

    #[test]
    fn the_shortest_form_has_no_decimal_too_many() {
        for (micro, shown) in [(61_000, "0.061"), (0, "0"), (-1_500_000, "-1.5"), (20_000_000, "20")] {
            assert_eq!(Amount(micro).shortest(), shown);
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(micro in any::<i64>().prop_filter("has a negative", |m| *m != i64::MIN)) {
            prop_assert_eq!(Amount::parse(&Amount(micro).to_string()), Ok(Amount(micro)));
        }

        #[test]
        fn cents_are_never_above_the_amount(micro in -1_000_000_000_000i64..1_000_000_000_000) {
            let shown = Amount::parse(&Amount(micro).cents()).unwrap();
            prop_assert!(shown.0 <= micro && micro - shown.0 < 10_000);
        }
    }
}
