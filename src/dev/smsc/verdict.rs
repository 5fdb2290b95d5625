//! What becomes of a submission: chosen by chance, in the proportions asked for.

use std::str::FromStr;
use store::Entropy;

/// Shares are counted in millionths.
const WHOLE: u32 = 1_000_000;

/// How often what goes wrong, in millionths of all submissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mix {
    throttled: u32,
    refused: u32,
    undelivered: u32,
    no_receipt: u32,
    twice: u32,
    early: u32,
}

impl FromStr for Mix {
    type Err = String;

    /// Reads `throttled=1%,refused=2.5%`.
    fn from_str(text: &str) -> Result<Mix, String> {
        let mut mix = Mix::default();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (name, share) =
                pair.split_once('=').ok_or_else(|| format!("{pair}: NAME=PERCENT is needed"))?;
            let field = match name.trim() {
                "throttled" => &mut mix.throttled,
                "refused" => &mut mix.refused,
                "undelivered" => &mut mix.undelivered,
                "no-receipt" => &mut mix.no_receipt,
                "twice" => &mut mix.twice,
                "early" => &mut mix.early,
                other => {
                    return Err(format!(
                        "{other} is none of throttled, refused, undelivered, no-receipt, twice, early"
                    ));
                }
            };
            *field = millionths(share)
                .ok_or_else(|| format!("{share}: a percentage from 0% to 100% is needed"))?;
        }
        if mix.throttled + mix.refused > WHOLE || mix.no_receipt + mix.twice + mix.early > WHOLE {
            return Err("together they are more than all".into());
        }
        Ok(mix)
    }
}

/// A percentage with at most four digits behind the point.
fn millionths(text: &str) -> Option<u32> {
    let text = text.trim().trim_end_matches('%');
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|octet| octet.is_ascii_digit());
    if part.len() > 4 || whole.is_empty() || !digits(whole) || !digits(part) {
        return None;
    }
    let share =
        whole.parse::<u32>().ok()?.checked_mul(10_000)? + format!("{part:0<4}").parse::<u32>().ok()?;
    (share <= WHOLE).then_some(share)
}

/// How the carrier says whether it takes a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    Yes,
    Throttled,
    Refused,
}

/// Which receipts come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Receipts {
    One,
    None,
    Twice,
    /// One, before the answer.
    Early,
}

/// What becomes of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) taken: Taken,
    pub(super) is_delivered: bool,
    pub(super) receipts: Receipts,
    /// What a cut connection does with it: the carrier has it, or never saw it.
    pub(super) survives_cut: bool,
}

impl Mix {
    /// The next verdict. Every one takes as much chance as any other, so that one share leaves the others' choices be.
    pub(super) fn draw(self, chance: &Entropy) -> Verdict {
        let mut octets = [0; 16];
        chance.fill(&mut octets);
        let (words, _) = octets.as_chunks::<4>();
        let mut draws = words.iter().map(|word| u32::from_le_bytes(*word) % WHOLE);
        let mut draw = || draws.next().unwrap_or(0);
        let taken = match draw() {
            share if share < self.throttled => Taken::Throttled,
            share if share < self.throttled + self.refused => Taken::Refused,
            _ => Taken::Yes,
        };
        let is_delivered = draw() >= self.undelivered;
        let receipts = match draw() {
            share if share < self.no_receipt => Receipts::None,
            share if share < self.no_receipt + self.twice => Receipts::Twice,
            share if share < self.no_receipt + self.twice + self.early => Receipts::Early,
            _ => Receipts::One,
        };
        Verdict { taken, is_delivered, receipts, survives_cut: draw() % 2 == 0 }
    }
}

/// How ids are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Ids {
    /// Decimal everywhere
    #[default]
    Decimal,
    /// Hexadecimal in answers and decimal in receipts, as some carriers do
    Hex,
}

impl Ids {
    pub(super) fn in_answer(self, number: u64) -> String {
        match self {
            Ids::Decimal => number.to_string(),
            Ids::Hex => format!("{number:X}"),
        }
    }

    /// What an answer's id stands for.
    pub(super) fn number(self, id: &str) -> Option<u64> {
        match self {
            Ids::Decimal => id.parse().ok(),
            Ids::Hex => u64::from_str_radix(id, 16).ok(),
        }
    }

    pub(super) fn in_receipt(self, number: u64) -> String {
        match self {
            Ids::Decimal | Ids::Hex => number.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixes_are_read() {
        let mix: Mix =
            "throttled=1%, refused=2.5%,undelivered=0.0001%,no-receipt=3,twice=0,early=97%".parse().unwrap();
        let expected = Mix {
            throttled: 10_000,
            refused: 25_000,
            undelivered: 1,
            no_receipt: 30_000,
            twice: 0,
            early: 970_000,
        };
        assert_eq!(mix, expected);
        assert_eq!("".parse(), Ok(Mix::default()));
        for wrong in [
            "lost=1%",
            "throttled",
            "throttled=-1%",
            "throttled=101%",
            "early=1.00001%",
            "twice=60%,early=60%",
            "early=%",
        ] {
            assert!(wrong.parse::<Mix>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn shares_come_out_and_a_seed_repeats_them() {
        let mix: Mix =
            "throttled=10%,refused=20%,undelivered=50%,no-receipt=10%,twice=10%,early=10%".parse().unwrap();
        let draw = |seed| {
            let chance = Entropy::seeded(seed);
            (0..20_000).map(|_| mix.draw(&chance)).collect::<Vec<_>>()
        };
        let verdicts = draw(7);
        assert_eq!(verdicts, draw(7));
        assert_ne!(verdicts, draw(8));
        let share = |is: fn(&Verdict) -> bool| verdicts.iter().filter(|verdict| is(verdict)).count();
        for (count, percent) in [
            (share(|it| it.taken == Taken::Throttled), 10),
            (share(|it| it.taken == Taken::Refused), 20),
            (share(|it| !it.is_delivered), 50),
            (share(|it| it.receipts == Receipts::None), 10),
            (share(|it| it.receipts == Receipts::Twice), 10),
            (share(|it| it.receipts == Receipts::Early), 10),
        ] {
            assert!(count.abs_diff(percent * 200) < 300, "{count} of 20000, {percent}%");
        }
    }
}
