//! Countries: which one a number is of, by the numbering plan (ITU-T E.164), and what it is called.

mod table;

use super::phone::{self, Msisdn};

/// A country or an area with numbers of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Country {
    /// Its English name.
    pub name: &'static str,
    /// Its calling code; several countries may share one.
    pub calling_code: i32,
    /// Its mobile country code (ITU-T E.212), the first if it has several.
    pub mcc: Option<&'static str>,
}

/// The country of a number; `None` for numbers of no country and of none that is known.
pub fn of(number: Msisdn) -> Option<Country> {
    let (region, calling_code) = phone::region(number)?;
    let found = table::TABLE.binary_search_by(|(code, ..)| (*code).cmp(region.as_str())).ok()?;
    let (_, name, mcc) = table::TABLE.get(found)?;
    Some(Country { name, calling_code, mcc: *mcc })
}

/// The two letters, the English name and the mobile country code of a region.
pub(super) fn named(region: &str) -> Option<(&'static str, &'static str, Option<&'static str>)> {
    let found = table::TABLE.binary_search_by(|(code, ..)| (*code).cmp(region)).ok()?;
    table::TABLE.get(found).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_its_codes_have_three_digits() {
        assert!(table::TABLE.is_sorted_by(|(one, ..), (next, ..)| one < next));
        for (region, name, mcc) in table::TABLE {
            let digits = |mcc: &str| mcc.len() == 3 && mcc.bytes().all(|byte| byte.is_ascii_digit());
            assert!(region.len() == 2 && !name.is_empty() && mcc.is_none_or(digits), "{region}");
        }
    }

    #[test]
    fn numbers_are_of_their_countries_also_where_several_share_a_code() {
        for (number, name, calling_code, mcc) in [
            (31_655_500_011, "Netherlands", 31, "204"),
            (4_915_550_000_222, "Germany", 49, "262"),
            (12_125_550_123, "United States", 1, "310"),
            (14_165_550_123, "Canada", 1, "302"),
            (18_765_550_123, "Jamaica", 1, "338"),
            (79_161_234_567, "Russia", 7, "250"),
            (77_011_234_567, "Kazakhstan", 7, "401"),
            (447_400_123_456, "United Kingdom", 44, "234"),
            (441_481_234_567, "Guernsey", 44, "234"),
            (393_123_456_789, "Italy", 39, "222"),
            (919_876_543_210, "India", 91, "404"),
            (5_511_961_234_567, "Brazil", 55, "724"),
            (38_344_123_456, "Kosovo", 383, "221"),
        ] {
            let wanted = Country { name, calling_code, mcc: Some(mcc) };
            assert_eq!(of(Msisdn(number)), Some(wanted), "{number}");
        }
        // In no plan, but of a code that has a main country.
        assert_eq!(of(Msisdn(10_000_000_000)).map(|country| country.name), Some("United States"));
        for nobodys in [99_900_001_000, 9_999_999, 882_123_456_789] {
            assert_eq!(of(Msisdn(nobodys)), None, "{nobodys}");
        }
    }
}
