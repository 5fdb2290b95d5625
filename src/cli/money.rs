//! `credit`, `rate`.

use super::{Failure, Outcome, account_id, say};
use crate::core::ledger::{self, Grant};
use crate::core::money::{Amount, Currency};
use crate::core::rate;
use crate::installation::Installation;
use clap::{Args, Subcommand};
use serde_json::json;

#[derive(Args)]
pub(super) struct Credit {
    /// Account number or partner id
    account_id: String,
    /// Such as 25.50; at most six decimals
    #[arg(allow_negative_numbers = true)]
    amount: String,
    /// Must be the account's own, if given
    currency: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
pub(super) enum RateCommand {
    /// Set the price of one message part to numbers that begin with a prefix
    Set {
        /// Account number or partner id
        account_id: String,
        /// First digits of the number; an empty text for all numbers
        prefix: String,
        /// Such as 0.075; at most six decimals
        amount: String,
        /// Must be the account's own, if given
        currency: Option<String>,
    },
}

fn read(amount: &str, currency: Option<&str>) -> Result<(Amount, Option<Currency>), Failure> {
    let wrong =
        |_| Failure(format!("{amount}: an amount such as 25.50 is needed, with at most six decimals"));
    let amount = Amount::parse(amount).map_err(wrong)?;
    let currency = currency
        .map(|text| {
            Currency::parse(text).map_err(|_| Failure(format!("{text}: a currency such as EUR is needed")))
        })
        .transpose()?;
    Ok((amount, currency))
}

pub(super) async fn credit(installation: &Installation, command: Credit) -> Outcome {
    let Credit { account_id: id, amount, currency, json } = command;
    let account = account_id(installation, &id).await?;
    let (amount, currency) = read(&amount, currency.as_deref())?;
    let balance = installation.store.write(Grant { account, amount, currency }, ledger::grant).await?;
    let (posted, currency) = (balance.posted.to_string(), balance.currency);
    if json {
        say(&json!({"id": account.0, "balance": posted, "currency": currency.as_str()}).to_string());
    } else {
        say(&format!("balance {posted} {currency}"));
    }
    Ok(())
}

pub(super) async fn rate(installation: &Installation, command: RateCommand) -> Outcome {
    let RateCommand::Set { account_id: id, prefix, amount, currency } = command;
    let account = account_id(installation, &id).await?;
    let (amount, currency) = read(&amount, currency.as_deref())?;
    installation.store.write(rate::Set { account, prefix, amount, currency }, rate::set).await?;
    Ok(())
}
