//! Rates: what one message part costs an account, by the longest prefix of the number. Without any rate the price is 0.

use super::account::{self, AccountId};
use super::change::{self, Kind};
use super::money::{Amount, Currency};
use super::{Code, Result, Scope, Timestamp, Violation};
use store::{Rx, Tx, sql};

/// Digits of the longest prefix: a whole number (E.164).
const PREFIX_MAX: usize = 15;
/// Most rates of an account that are imported: every process remembers them.
const RATES_MAX: i64 = 50_000;

/// Sets the price of numbers that begin with a prefix.
#[derive(Debug, Clone)]
pub struct Set {
    /// Whose rate.
    pub account: AccountId,
    /// First digits of the number; empty for all numbers.
    pub prefix: String,
    /// For one message part.
    pub amount: Amount,
    /// If given, it must be the account's own.
    pub currency: Option<Currency>,
}

/// The rates of an account after a prefix, in the order of their prefixes.
pub async fn list(
    rx: &mut Rx,
    (scope, after, limit): &(Scope, Option<String>, i64),
) -> Result<Vec<(String, Amount)>> {
    Ok(rx
        .all(
            sql!(
                "SELECT prefix, amount FROM rate WHERE root = $1 AND account = $2
                 AND (CAST($3 AS TEXT) IS NULL OR prefix > $3) ORDER BY prefix LIMIT $4"
            ),
            &[&scope.root, &scope.account, after, limit],
        )
        .await?)
}

/// What is put on a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Markup {
    /// In millionths: 150,000 is 15 %.
    pub part: i64,
    /// After that.
    pub fixed: Amount,
}

impl Markup {
    /// A price with the markup on it, rounded half up; `None` beyond what fits.
    pub fn on(self, price: Amount) -> Option<Amount> {
        let (price, part) = (i128::from(price.0), i128::from(self.part));
        let marked = (price * (1_000_000 + part) + 500_000).div_euclid(1_000_000) + i128::from(self.fixed.0);
        i64::try_from(marked).ok().map(Amount)
    }
}

/// Rates that one unit of an import sets.
pub const IMPORT: usize = 100;

/// Checks a rate for form.
pub fn check(prefix: &str, amount: Amount) -> std::result::Result<(), Violation> {
    if prefix.len() > PREFIX_MAX || !prefix.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Violation::new("prefix", Code::Invalid));
    }
    if amount < Amount::ZERO { Err(Violation::new("amount", Code::Invalid)) } else { Ok(()) }
}

/// Adds or replaces rates, at most [`IMPORT`]: all or none.
pub async fn set_all(tx: &mut Tx, rates: &Vec<Set>) -> Result<()> {
    for rate in rates {
        set(tx, rate).await?;
    }
    let Some(Set { account, .. }) = rates.first() else { return Ok(()) };
    let count: i64 = tx
        .one(
            // All tenants: an account has one root.
            sql!("SELECT CAST(count(*) AS BIGINT) FROM rate WHERE root = (SELECT root FROM account WHERE id = $1) AND account = $1"),
            &[account],
        )
        .await?;
    if count > RATES_MAX {
        return Err(Violation::new("rates", Code::TooMany(usize::try_from(RATES_MAX).unwrap_or(0))).into());
    }
    Ok(())
}

/// Adds or replaces a rate.
pub async fn set(tx: &mut Tx, rate: &Set) -> Result<()> {
    let owner = account::lock(tx, &rate.account).await?;
    check(&rate.prefix, rate.amount)?;
    if rate.currency.is_some_and(|currency| currency != owner.currency) {
        return Err(Violation::new("currency", Code::Currency).into());
    }
    let (scope, now): (_, Timestamp) = (owner.scope(), tx.now());
    tx.put(
        sql!(
            "INSERT INTO rate (root, account, prefix, amount, updated) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (root, account, prefix) DO UPDATE SET amount = $4, updated = $5"
        ),
        &[&scope.root, &scope.account, &rate.prefix, &rate.amount, &now],
    )
    .await?;
    change::raise(tx, Kind::Terms).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_markup_is_rounded_half_up_once() {
        let on = |price, part, fixed| Markup { part, fixed: Amount(fixed) }.on(Amount(price));
        assert_eq!(on(60_000, 150_000, 0), Some(Amount(69_000)));
        assert_eq!((on(1, 500_000, 0), on(1, 499_999, 0)), (Some(Amount(2)), Some(Amount(1))));
        assert_eq!(
            (on(60_000, 0, 5_000), on(60_000, -100_000, 0)),
            (Some(Amount(65_000)), Some(Amount(54_000)))
        );
        assert_eq!(on(i64::MAX, 1, 0), None);
    }
}
