//! `credit`, `rate`.

use super::{Failure, Outcome, account_id, say};
use crate::core::audit::{Act, Actor, audited};
use crate::core::ledger::{self, Balance, Grant};
use crate::core::money::{Amount, Currency};
use crate::core::usage::{self, Category};
use crate::core::{AccountId, account, rate};
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
        /// Of a message of a channel instead: authentication, marketing, service or utility
        #[arg(long)]
        category: Option<String>,
    },
    /// Set many prices from a file with a line PREFIX,AMOUNT for each
    ///
    /// A first line that does not begin with a digit or a comma is passed over. Nothing is set if a line is wrong; prefixes
    /// that the file does not name keep their price.
    #[command(verbatim_doc_comment)]
    Import {
        /// Account number or partner id
        account_id: String,
        /// The file, in UTF-8
        file: std::path::PathBuf,
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
    let about =
        |grant: &Grant, _: &Balance| Act::on(grant.account, "money.top-up").with("amount", grant.amount);
    let unit = audited(Actor::command_line(), ledger::grant, about);
    let balance = installation.store.write(Grant { account, amount, currency }, unit).await?;
    let (posted, currency) = (balance.posted.to_string(), balance.currency);
    if json {
        say(&json!({"id": account.0, "balance": posted, "currency": currency.as_str()}).to_string());
    } else {
        say(&format!("balance {posted} {currency}"));
    }
    Ok(())
}

pub(super) async fn rate(installation: &Installation, command: RateCommand) -> Outcome {
    match command {
        RateCommand::Set { account_id: id, prefix, amount, currency, category } => {
            let account = account_id(installation, &id).await?;
            let (amount, currency) = read(&amount, currency.as_deref())?;
            if let Some(word) = category {
                let category = Category::parse(&word).ok_or_else(|| {
                    Failure(format!("{word}: authentication, marketing, service or utility is needed"))
                })?;
                let owner = installation.store.read(account, account::find).await?;
                if currency.is_some_and(|currency| currency != owner.currency) {
                    return Err(Failure(format!("the account's currency is {}", owner.currency)));
                }
                let rate = usage::Rate { account, category, prefix, amount };
                let about = move |rate: &usage::Rate, (): &()| {
                    let act = Act::on(rate.account, "rates.set").with("prefix", &rate.prefix);
                    act.with("amount", rate.amount).with("category", &word)
                };
                installation
                    .store
                    .write(rate, audited(Actor::command_line(), usage::set_rate, about))
                    .await?;
                return Ok(());
            }
            let about = |set: &rate::Set, (): &()| {
                Act::on(set.account, "rates.set").with("prefix", &set.prefix).with("amount", set.amount)
            };
            let unit = audited(Actor::command_line(), rate::set, about);
            installation.store.write(rate::Set { account, prefix, amount, currency }, unit).await?;
        }
        RateCommand::Import { account_id: id, file } => {
            let account = account_id(installation, &id).await?;
            let text = std::fs::read_to_string(&file);
            let text = text.map_err(|error| Failure(format!("{}: {error}", file.display())))?;
            let rates = deck(account, &text).map_err(|why| Failure(format!("{}: {why}", file.display())))?;
            let count = rates.len();
            for some in rates.chunks(rate::IMPORT) {
                let about = move |some: &Vec<rate::Set>, (): &()| {
                    let first = some.first().map(|rate| rate.prefix.clone()).unwrap_or_default();
                    Act::on(account, "rates.import").with("count", some.len()).with("firstPrefix", first)
                };
                let unit = audited(Actor::command_line(), rate::set_all, about);
                installation.store.write(some.to_vec(), unit).await?;
            }
            say(&format!("{count} rates set"));
        }
    }
    Ok(())
}

/// The rates of a file, or which line is wrong and why.
fn deck(account: AccountId, text: &str) -> Result<Vec<rate::Set>, String> {
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim).enumerate();
    let is_title =
        |at: usize, line: &str| at == 0 && !line.starts_with(|c: char| c.is_ascii_digit() || c == ',');
    let mut rates = Vec::new();
    for (at, line) in lines.filter(|(at, line)| !line.is_empty() && !is_title(*at, line)) {
        let wrong = |why: String| format!("line {}: {why}", at + 1);
        let (prefix, amount) =
            line.split_once(',').ok_or_else(|| wrong("PREFIX,AMOUNT is needed, such as 31,0.061".into()))?;
        let (prefix, amount) = (prefix.trim(), amount.trim());
        let amount = Amount::parse(amount).map_err(|code| wrong(format!("amount {code}")))?;
        rate::check(prefix, amount).map_err(|it| wrong(format!("{} {}", it.field, it.code)))?;
        rates.push(rate::Set { account, prefix: prefix.to_owned(), amount, currency: None });
    }
    Ok(rates)
}
