//! Contact number `n` is the same person for the server, for the probes and in every round.
//!
//! Numbers are a permutation, so a unique index over them is hit in random order, as in life. Names come from
//! pools that repeat, so that an index over words has both common and rare entries.

use std::fmt::Write as _;

const SYLLABLES: [&str; 32] = [
    "ma", "ri", "ko", "ta", "len", "so", "da", "vi", "jo", "ne", "bra", "ul", "han", "es", "ti", "mo", "gre",
    "wil", "an", "do", "ke", "sa", "por", "li", "ya", "zu", "fen", "ro", "be", "cha", "nu", "per",
];
const FILLER: &str =
    "prefers to be written to in the morning, likes the blue one best, asked for the summer list";

/// A contact as a customer's program would send it.
pub(crate) struct Person {
    pub(crate) msisdn: u64,
    pub(crate) first_name: String,
    pub(crate) last_name: String,
    pub(crate) custom1: String,
    pub(crate) custom2: String,
}

impl Person {
    /// The person behind a number below ten thousand million.
    pub(crate) fn number(n: u64) -> Self {
        // 7,380,421,693 and 10^10 have no common divisor: different n, different number.
        let msisdn = 310_000_000_000 + n % 10_000_000_000 * 7_380_421_693 % 10_000_000_000;
        let mix = scramble(n);
        Self {
            msisdn,
            first_name: name(mix, 2),
            last_name: name(mix >> 20, 3),
            custom1: format!("customer {n}, {FILLER}"),
            custom2: format!("branch {}, {FILLER}", mix % 997),
        }
    }

    /// Appends the body of `POST /contacts`, about 330 bytes. Nothing in it needs escaping.
    pub(crate) fn write_json(&self, to: &mut String) {
        let Self { msisdn, first_name, last_name, custom1, custom2 } = self;
        let written = write!(
            to,
            r#"{{"msisdn":"{msisdn}","firstName":"{first_name}","lastName":"{last_name}","custom1":"{custom1}","custom2":"{custom2}"}}"#
        );
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
    }
}

/// Makes neighbours look unrelated (the last step of Vigna's `splitmix64`).
fn scramble(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn name(mut mix: u64, syllables: usize) -> String {
    let mut name = String::with_capacity(12);
    for _ in 0..syllables {
        let pick = usize::try_from(mix % 32).unwrap_or_default();
        name.push_str(SYLLABLES[pick]);
        mix >>= 5;
    }
    name[..1].make_ascii_uppercase();
    name
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn numbers_are_unique_and_bodies_have_the_size_the_targets_were_set_with() {
        let mut seen = HashSet::new();
        let mut body = String::new();
        for n in 0..20_000 {
            let person = Person::number(n);
            assert!(seen.insert(person.msisdn), "{n}");
            body.clear();
            person.write_json(&mut body);
            assert!((290..=370).contains(&body.len()), "{body}");
            assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok(), "{body}");
        }
    }
}
