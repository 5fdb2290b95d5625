//! Networks: which one a number is of, as far as the operator's prefix file says. Numbers are carried from one network to
//! another, so this is what the numbering plan meant, not what is known of a phone.

use super::change::{self, Kind};
use super::phone::Msisdn;
use super::{Code, Result, Violation};
use std::collections::HashMap;
use store::{Rx, Store, Tx, sql};

/// Digits of the longest prefix: a whole number (E.164).
const PREFIX_MAX: usize = 15;
/// Longest name of an operator, in characters.
const NAME_MAX: usize = 100;
/// Prefixes that one unit of an import sets, or one unit removes.
pub const IMPORT: usize = 100;
/// Prefixes that one read gives.
const PAGE: i64 = 10_000;

/// A network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Mobile country code, three digits (ITU-T E.212).
    pub mcc: String,
    /// Mobile network code, two or three digits: leading zeros count.
    pub mnc: String,
    /// The operator's name; may be empty.
    pub operator: String,
}

/// The network of numbers that begin with a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix {
    /// First digits of the number, country code included.
    pub digits: String,
    /// Whose they are.
    pub network: Network,
}

fn is_number(text: &str, lengths: std::ops::RangeInclusive<usize>) -> bool {
    lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn invalid(field: &'static str, wrong: bool) -> std::result::Result<(), Violation> {
    if wrong { Err(Violation::new(field, Code::Invalid)) } else { Ok(()) }
}

/// Checks the codes of a network, or of a country's, for form.
pub(super) fn check_codes(mcc: &str, mnc: Option<&str>) -> std::result::Result<(), Violation> {
    invalid("mcc", !is_number(mcc, 3..=3))?;
    invalid("mnc", mnc.is_some_and(|mnc| !is_number(mnc, 2..=3)))
}

/// Checks a prefix for form.
pub fn check(prefix: &Prefix) -> std::result::Result<(), Violation> {
    let Prefix { digits, network: Network { mcc, mnc, operator } } = prefix;
    invalid("prefix", !is_number(digits, 1..=PREFIX_MAX))?;
    check_codes(mcc, Some(mnc))?;
    invalid("operator", operator.chars().any(char::is_control))?;
    if operator.chars().count() > NAME_MAX {
        return Err(Violation::new("operator", Code::TooLong(NAME_MAX)));
    }
    Ok(())
}

/// Adds or replaces prefixes, at most [`IMPORT`]: all or none.
pub async fn set_all(tx: &mut Tx, prefixes: &Vec<Prefix>) -> Result<()> {
    for prefix in prefixes {
        check(prefix)?;
        let Network { mcc, mnc, operator } = &prefix.network;
        tx.put(
            sql!(
                "INSERT INTO network (prefix, mcc, mnc, operator) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (prefix) DO UPDATE SET mcc = $2, mnc = $3, operator = $4"
            ),
            &[&prefix.digits, mcc, mnc, operator],
        )
        .await?;
    }
    change::raise(tx, Kind::Networks).await
}

/// Removes some prefixes; answers how many.
pub async fn clear_some(tx: &mut Tx, (): &()) -> Result<u64> {
    let some = i64::try_from(IMPORT).unwrap_or(i64::MAX);
    let gone = tx
        .exec(
            sql!("DELETE FROM network WHERE prefix IN (SELECT prefix FROM network ORDER BY prefix LIMIT $1)"),
            &[&some],
        )
        .await?;
    change::raise(tx, Kind::Networks).await?;
    Ok(gone)
}

/// All prefixes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(HashMap<String, Network>);

impl Networks {
    /// Each prefix and its network, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Network)> {
        self.0.iter().map(|(prefix, network)| (prefix.as_str(), network))
    }

    /// The network of the longest prefix of a number.
    pub fn of(&self, number: Msisdn) -> Option<&Network> {
        if self.0.is_empty() {
            return None;
        }
        let digits = number.to_string();
        (1..=digits.len()).rev().find_map(|length| self.0.get(digits.get(..length)?))
    }
}

/// The network of a number, as the tables say.
pub(super) async fn of(rx: &mut Rx, number: Msisdn) -> Result<Option<Network>> {
    let digits = number.to_string();
    let prefixes: Vec<&str> = (1..=digits.len()).rev().filter_map(|length| digits.get(..length)).collect();
    let found: Vec<Option<(String, String, String)>> = rx
        .maybe_each(sql!("SELECT mcc, mnc, operator FROM network WHERE prefix = $1"), &prefixes, |prefix| {
            [prefix]
        })
        .await?;
    Ok(found.into_iter().flatten().next().map(|(mcc, mnc, operator)| Network { mcc, mnc, operator }))
}

#[expect(clippy::ptr_arg, reason = "a command is what it was given as")]
async fn page(rx: &mut Rx, after: &String) -> Result<Vec<(String, String, String, String)>> {
    Ok(rx
        .all(
            sql!("SELECT prefix, mcc, mnc, operator FROM network WHERE prefix > $1 ORDER BY prefix LIMIT $2"),
            &[after, &PAGE],
        )
        .await?)
}

/// All prefixes.
pub(super) async fn all(store: &Store) -> Result<Networks> {
    let (mut networks, mut after) = (HashMap::new(), String::new());
    loop {
        let some = store.read(after, page).await?;
        let Some((last, ..)) = some.last().cloned() else { return Ok(Networks(networks)) };
        after = last;
        networks.extend(
            some.into_iter().map(|(prefix, mcc, mnc, operator)| (prefix, Network { mcc, mnc, operator })),
        );
    }
}

/// The codes (mobile country code and mobile network code) of the networks of some numbers.
pub(super) async fn codes(rx: &mut Rx, numbers: &[Msisdn]) -> Result<Vec<Option<String>>> {
    let any: Option<String> = rx.maybe(sql!("SELECT prefix FROM network LIMIT 1"), &[]).await?;
    if any.is_none() || numbers.is_empty() {
        return Ok(vec![None; numbers.len()]);
    }
    let beginnings: Vec<[String; PREFIX_MAX]> = numbers
        .iter()
        .map(|number| {
            let digits = number.to_string();
            std::array::from_fn(|at| digits.get(..=at).unwrap_or(&digits).to_owned())
        })
        .collect();
    // Of two beginnings of one number the longer comes later in order.
    Ok(rx
        .maybe_each(
            sql!(
                "SELECT mcc || mnc FROM network WHERE prefix IN
                 ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ORDER BY prefix DESC LIMIT 1"
            ),
            &beginnings,
            |all| all.each_ref().map(|one| -> &dyn store::Param { one }),
        )
        .await?)
}
