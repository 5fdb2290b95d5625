//! Rates: what one message part costs an account, by the longest prefix of the number. Without any rate the price is 0.

use super::account::{self, AccountId};
use super::change::{self, Kind};
use super::money::{Amount, Currency};
use super::{Code, Result, Timestamp, Violation};
use store::{Tx, sql};

/// Digits of the longest prefix: a whole number (E.164).
const PREFIX_MAX: usize = 15;

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
