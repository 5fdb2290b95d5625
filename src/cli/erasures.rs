//! `erase`.

use super::{Failure, Outcome, account_id, say};
use crate::core::erasure::{self, Order, Receipt};
use crate::core::phone::Msisdn;
use crate::core::{AccountId, Error, Scope, Timestamp, account};
use crate::installation::Installation;
use clap::Args;
use serde_json::{Map, Value, json};
use std::io::Read;
use std::time::Duration;

/// Between two looks at what is on its way.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
const DAY_US: i64 = 86_400 * 1_000_000;
/// Days that a backup may be kept for.
const DAYS_MAX: i64 = 36_500;

/// docs/erasure.md says what is removed, what stays, and what happens to messages on their way.
#[derive(Args)]
pub(super) struct Erase {
    /// Account number or partner id
    account_id: String,
    /// In international form; - reads it from standard input, so that no list of processes shows it
    msisdn: String,
    /// Of a partner: from all its children as well
    #[arg(long)]
    children: bool,
    /// Wait for messages that are on their way, rather than refuse
    #[arg(long)]
    wait: bool,
    /// Days for which backups are kept, for the receipt
    #[arg(long, default_value_t = 30)]
    backup_days: i64,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) async fn erase(installation: &Installation, command: Erase) -> Outcome {
    if !(0..=DAYS_MAX).contains(&command.backup_days) {
        return Err(Failure(format!("--backup-days is from 0 to {DAYS_MAX}")));
    }
    let text = if command.msisdn == "-" { from_input()? } else { command.msisdn.clone() };
    let number = Msisdn::parse(&text)
        .map_err(|_| Failure("a number of 7 to 15 digits in international form is needed".into()))?;
    let id = account_id(installation, &command.account_id).await?;
    let mut receipts = Vec::new();
    for scope in accounts(installation, id, command.children).await? {
        let order = Order::new(scope, number, &installation.vault);
        let receipt = loop {
            match erasure::erase(&installation.store, &order).await {
                Ok(erasure::Outcome::Erased(receipt)) => break receipt,
                Ok(erasure::Outcome::UnderWay(_)) if command.wait => tokio::time::sleep(LOOK_AGAIN).await,
                Ok(erasure::Outcome::UnderWay(count)) => {
                    return Err(Failure(format!(
                        "{count} messages to or from the number are on their way in account {}: erase it when they are \
                         final, or let --wait wait for that",
                        scope.account
                    )));
                }
                Err(Error::Invalid(_)) => {
                    return Err(Failure(format!(
                        "the number is account {}'s own: remove it first",
                        scope.account
                    )));
                }
                Err(error) => return Err(error.into()),
            }
        };
        receipts.push(receipt);
    }
    print(&receipts, &command);
    Ok(())
}

fn from_input() -> Result<String, Failure> {
    let mut text = String::new();
    let read = std::io::stdin().take(100).read_to_string(&mut text);
    read.map_err(|error| Failure(format!("standard input: {error}")))?;
    Ok(text.trim().to_owned())
}

/// The account, and its children if they are wanted.
async fn accounts(installation: &Installation, id: AccountId, children: bool) -> Result<Vec<Scope>, Failure> {
    let own = installation.store.read(id, account::find).await?;
    if !children {
        return Ok(vec![own.scope()]);
    }
    if own.root != own.id {
        return Err(Failure("--children is for a partner".into()));
    }
    // Those that are closing may come back, and those that are gone still have what they kept.
    let (mut scopes, mut after) = (Vec::new(), AccountId(0));
    loop {
        let some = installation.store.read((id, after), account::all_of).await?;
        let Some(last) = some.last() else { return Ok(scopes) };
        after = *last;
        scopes.extend(some.iter().map(|account| Scope { root: id, account: *account }));
    }
}

fn print(receipts: &[Receipt], command: &Erase) {
    let until =
        |receipt: &Receipt| Timestamp(receipt.finished.0.saturating_add(command.backup_days * DAY_US));
    if command.json {
        let all = receipts.iter().map(|receipt| {
            let removed: Map<String, Value> =
                receipt.removed.iter().map(|(what, count)| (what.name().to_owned(), (*count).into())).collect();
            json!({"account": receipt.scope.account.0, "subject": receipt.subject,
                "begunDatetime": receipt.begun.rfc3339_offset(), "erasedDatetime": receipt.finished.rfc3339_offset(),
                "removed": removed, "kept": KEPT, "logEmptied": receipt.log_emptied,
                "backupsUntil": until(receipt).rfc3339_offset()})
        });
        say(&Value::Array(all.collect()).to_string());
        return;
    }
    for receipt in receipts {
        say(&format!("account {}: erased at {}", receipt.scope.account, receipt.finished.rfc3339_utc()));
        for (what, count) in &receipt.removed {
            say(&format!("  {count} {}", what.name()));
        }
        for kept in KEPT {
            say(&format!("  kept: {kept}"));
        }
        say(&format!("  backups may still hold it until {}", until(receipt).rfc3339_utc()));
        if !receipt.log_emptied {
            say("  the database's log could not be emptied just now: it will be when the server stops");
        }
    }
}

/// What an erasure leaves.
const KEPT: [&str; 2] = ["totals of the ledger", "an opt-out, as a keyed hash"];
