//! Phone numbers.
//!
//! A number is accepted by spec 00 section 8 alone: 7 to 15 digits. What libphonenumber knows about it (country, type,
//! formats) is told beside it and never refuses one: numbering plans change faster than releases.

use super::error::Code;
use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumber, PhoneNumberFormat, Region};
use std::collections::HashMap;

/// A number in international form without plus, as an integer (3GPP 23.003 section 3.3: at most 15 digits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Msisdn(pub i64);
store::int!(Msisdn);

/// Fewest and most digits of a number.
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

impl Msisdn {
    /// Reads a number: one leading plus, blanks, dashes, dots and parentheses are dropped; a leading `00` is not
    /// interpreted; 7 to 15 digits must remain.
    pub fn parse(text: &str) -> Result<Msisdn, Code> {
        let text = text.trim();
        let text = text.strip_prefix('+').unwrap_or(text);
        let mut digits = 0;
        let mut number = 0i64;
        for c in text.chars() {
            match c {
                '0'..='9' if digits < *DIGITS.end() => {
                    digits += 1;
                    number = number * 10 + i64::from(u32::from(c) - u32::from('0'));
                }
                ' ' | '-' | '.' | '(' | ')' | '\u{a0}' => {}
                _ => return Err(Code::Invalid),
            }
        }
        if DIGITS.contains(&digits) { Ok(Msisdn(number)) } else { Err(Code::Invalid) }
    }

    /// What stands under the longest prefix of the number; the empty prefix is every number's.
    pub(super) fn longest_prefix<T>(self, by_prefix: &HashMap<String, T>) -> Option<&T> {
        let digits = self.to_string();
        (0..=digits.len()).rev().find_map(|length| by_prefix.get(digits.get(..length)?))
    }

    /// The number with its middle hidden, for logs: `316*****123`.
    pub fn masked(self) -> String {
        let digits = self.0.to_string();
        let shown = digits.len().saturating_sub(6);
        match (digits.get(..3), digits.get(digits.len().saturating_sub(3)..)) {
            (Some(head), Some(tail)) if shown > 0 => format!("{head}{}{tail}", "*".repeat(shown)),
            _ => "*".repeat(digits.len()),
        }
    }
}

impl std::fmt::Display for Msisdn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Whom a message says it is from (spec 10 section 2.3): a number, a short code, or letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Originator(String);

/// Digits of the longest numeric originator.
const ORIGINATOR_DIGITS_MAX: usize = 17;
/// Characters of an originator with letters (3GPP 23.040 section 9.1.2.5).
const ORIGINATOR_CHARS: std::ops::RangeInclusive<usize> = 3..=11;

impl Originator {
    /// Reads digits with an optional plus, which is dropped, or 3 to 11 printable characters of GSM 03.38.
    pub fn parse(text: &str) -> Result<Originator, Code> {
        let digits = text.strip_prefix('+').unwrap_or(text);
        if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
            let fits = digits.len() <= ORIGINATOR_DIGITS_MAX;
            return if fits { Ok(Originator(digits.to_owned())) } else { Err(Code::Invalid) };
        }
        let printable = !text.contains(char::is_control) && smpp::text::is_gsm7(text);
        let trimmed = text.trim() == text;
        if ORIGINATOR_CHARS.contains(&text.chars().count()) && printable && trimmed {
            Ok(Originator(text.to_owned()))
        } else {
            Err(Code::Invalid)
        }
    }

    /// The same, except for names that nobody may send under, in whatever case.
    pub fn parse_unless(text: &str, reserved: &[String]) -> Result<Originator, Code> {
        let is_reserved = reserved.iter().any(|name| name.eq_ignore_ascii_case(text.trim()));
        if is_reserved { Err(Code::Invalid) } else { Originator::parse(text) }
    }

    /// As it is shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Msisdn> for Originator {
    fn from(number: Msisdn) -> Self {
        Originator(number.to_string())
    }
}

impl store::Param for Originator {
    fn val(&self) -> store::Val<'_> {
        store::Val::Text(&self.0)
    }
}

impl store::Column for Originator {
    fn col(value: store::Val<'_>) -> Result<Self, store::Error> {
        String::col(value).map(Originator)
    }
}

/// What libphonenumber's data says about a number; it says nothing about numbers it does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Two letters, `None` for a number of no country or of none that is known.
    pub country: Option<String>,
    /// The country calling code.
    pub calling_code: Option<i32>,
    /// The kind of line, such as `mobile` or `fixed line`.
    pub kind: &'static str,
    /// Whether the numbering plan, as far as it is known, has such a number.
    pub valid: bool,
    /// `+31655500123`
    pub e164: String,
    /// `+31 6 55500123`
    pub international: String,
    /// `06 55500123`
    pub national: String,
    /// `tel:+31-6-55500123`
    pub rfc3966: String,
}

/// The region of a number, in two letters, and its calling code; for one that no plan of a shared code has, the main
/// region of the code.
pub fn region(msisdn: Msisdn) -> Option<(String, i32)> {
    let digits = msisdn.to_string();
    // No code is the beginning of another. Most are of one country, whatever the plan says about the rest.
    let code = |length: usize| digits.get(..length)?.parse::<i32>().ok();
    let regions = |code| Some((code, PHONE_NUMBER_UTIL.get_regions_for_country_calling_code(code)?));
    let (calling_code, mut regions) = (1..=3).filter_map(code).find_map(regions)?;
    let is_shared = regions.len() > 1;
    let main = regions.next()?;
    let own = || PhoneNumber::parse(format!("+{digits}"), None::<Region>).ok()?.get_region_code();
    let region = if is_shared { own().unwrap_or(main) } else { main };
    let region = region.as_region_str().as_str().to_owned();
    (region.len() == 2).then_some((region, calling_code))
}

/// All regions of countries, in two letters, with their calling codes, and whether each is its code's main one.
pub(super) fn regions() -> impl Iterator<Item = (String, i32, bool)> {
    (1..1_000).flat_map(|code| {
        let of_code = PHONE_NUMBER_UTIL.get_regions_for_country_calling_code(code);
        let named = of_code.into_iter().flatten().enumerate();
        named
            .map(move |(at, region)| (region.as_region_str().as_str().to_owned(), code, at == 0))
            .filter(|(region, ..)| region.len() == 2)
            .collect::<Vec<_>>()
    })
}

/// Describes any number; what is not known is left out.
pub fn describe(msisdn: Msisdn) -> Description {
    let e164 = format!("+{msisdn}");
    let Ok(number) = PhoneNumber::parse(&e164, None::<Region>) else {
        return Description {
            country: None,
            calling_code: None,
            kind: "unknown",
            valid: false,
            international: e164.clone(),
            national: msisdn.to_string(),
            rfc3966: format!("tel:{e164}"),
            e164,
        };
    };
    Description {
        country: number
            .get_region_code()
            .map(|region| region.as_region_str().as_str().to_owned())
            .filter(|code| code.len() == 2),
        calling_code: Some(number.country_code),
        kind: kind(&number),
        valid: number.is_valid(),
        international: number.format_as(PhoneNumberFormat::International).into_owned(),
        national: number.format_as(PhoneNumberFormat::National).into_owned(),
        rfc3966: number.format_as(PhoneNumberFormat::RFC3966).into_owned(),
        e164,
    }
}

fn kind(number: &PhoneNumber) -> &'static str {
    use rlibphonenumber::PhoneNumberType as Type;
    match number.get_type() {
        Type::FixedLine => "fixed line",
        Type::Mobile => "mobile",
        Type::FixedLineOrMobile => "fixed line or mobile",
        Type::TollFree => "toll free",
        Type::PremiumRate => "premium rate",
        Type::SharedCost => "shared cost",
        Type::VoIP => "voip",
        Type::PersonalNumber => "personal number",
        Type::Pager => "pager",
        Type::UAN => "universal access number",
        Type::VoiceMail => "voicemail",
        Type::Unknown => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_the_forms_that_clients_send() {
        for text in ["31655500123", "+31655500123", "+31 6 5550-0123", "(31)6.555.00123", " 31655500123 "] {
            assert_eq!(Msisdn::parse(text), Ok(Msisdn(31_655_500_123)), "{text}");
        }
        assert_eq!(Msisdn::parse("0031655500123"), Ok(Msisdn(31_655_500_123)), "a leading 00 stays digits");
        for bad in ["", "+", "123456", "1234567890123456", "++31655500123", "31655x00123", "٣١٦٥٥٥٠٠١٢٣"]
        {
            assert_eq!(Msisdn::parse(bad), Err(Code::Invalid), "{bad}");
        }
    }

    #[test]
    fn hides_the_middle() {
        assert_eq!(Msisdn(31_655_500_123).masked(), "316*****123");
        assert_eq!(Msisdn(12_345).masked(), "*****");
    }

    #[test]
    fn describes_what_is_known() {
        let known = describe(Msisdn(31_655_500_123));
        assert_eq!((known.country.as_deref(), known.kind, known.valid), (Some("NL"), "mobile", true));
        assert_eq!(known.international, "+31 6 55500123");
        let unknown = describe(Msisdn(999_999_999_999_999));
        assert!(!unknown.valid);
        assert_eq!(unknown.e164, "+999999999999999");
    }

    proptest! {
        #[test]
        fn any_number_of_7_to_15_digits_is_accepted_and_described(digits in "[0-9]{7,15}") {
            let msisdn = Msisdn::parse(&digits).unwrap();
            prop_assert_eq!(msisdn.0, digits.parse::<i64>().unwrap());
            prop_assert!(describe(msisdn).e164.starts_with('+'));
        }

        #[test]
        fn arbitrary_text_does_not_panic(text in any::<String>()) {
            let _ = Msisdn::parse(&text).map(|m| (m.masked(), describe(m)));
        }
    }
}
