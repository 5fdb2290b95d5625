//! Who sends: a partner's children, each with credit and a price, so that every message is charged; and what all of
//! them must have when it is over.

use anyhow::{Context as _, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};

use crate::server::{Account, Server};

/// In millionths of a euro, as everything here.
const CREDIT: i64 = 1_000_000_000_000;
/// What a child pays for a message.
pub(crate) const PRICE: i64 = 50_000;
/// What its partner pays for it.
const COST: i64 = 30_000;
/// Commands that run side by side.
const AT_ONCE: usize = 4;

pub(crate) struct Accounts {
    partner: Account,
    pub(crate) children: Vec<Account>,
}

/// What the accounts have, beside what they should.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Books {
    pub(crate) messages: u64,
    /// What the children paid, in millionths.
    pub(crate) paid: i64,
    /// What is still held on all accounts; nothing should be.
    pub(crate) held: i64,
    /// The partner's part: prices less costs.
    pub(crate) earned: i64,
    /// What is not as it should be.
    pub(crate) faults: Vec<String>,
}

#[derive(Deserialize)]
struct Shown {
    balance: String,
    held: String,
}

impl Accounts {
    pub(crate) async fn make(server: &Server<'_>, count: u32) -> anyhow::Result<Self> {
        let partner = server.partner().await?;
        server.tell(&["rate", "set", &partner.id.to_string(), "", &euros(COST)]).await?;
        let child = async |number: u32| -> anyhow::Result<Account> {
            let child = server.child(&partner, &format!("child {number}")).await?;
            let id = child.id.to_string();
            server.tell(&["credit", &id, &euros(CREDIT)]).await?;
            server.tell(&["rate", "set", &id, "31", &euros(PRICE)]).await?;
            Ok(child)
        };
        let children = stream::iter(0..count).map(child).buffered(AT_ONCE).try_collect().await?;
        Ok(Self { partner, children })
    }

    /// Compares every balance with what so many messages must have left of it.
    pub(crate) async fn audit(&self, server: &Server<'_>, messages: u64) -> anyhow::Result<Books> {
        let show = async |account: &Account| -> anyhow::Result<(i64, i64)> {
            let printed = server.tell(&["account", "show", &account.id.to_string(), "--json"]).await?;
            let shown: Shown = serde_json::from_slice(&printed).context("what account show printed")?;
            Ok((micro(&shown.balance)?, micro(&shown.held)?))
        };
        let all = self.children.iter().chain([&self.partner]);
        let shown: Vec<(i64, i64)> = stream::iter(all).map(show).buffered(AT_ONCE).try_collect().await?;
        let mut books = Books { messages, paid: 0, held: 0, earned: 0, faults: Vec::new() };
        let total = i64::try_from(messages)?;
        let senders = i64::try_from(self.children.len())?;
        ensure!(senders > 0 && shown.len() == self.children.len() + 1, "an account is missing");
        for ((turn, account), (balance, held)) in (0..).zip(&self.children).zip(&shown) {
            let sent = (total + senders - 1 - turn) / senders;
            books.paid += CREDIT - balance;
            books.check(account.id, (*balance, CREDIT - sent * PRICE), *held);
        }
        if let Some((balance, held)) = shown.last() {
            books.earned = *balance;
            books.check(self.partner.id, (*balance, total * (PRICE - COST)), *held);
        }
        Ok(books)
    }
}

impl Books {
    fn check(&mut self, account: u64, (balance, expected): (i64, i64), held: i64) {
        self.held += held;
        if balance != expected || held != 0 {
            self.faults.push(format!(
                "account {account} has {} and holds {}; it should have {} and hold nothing",
                euros(balance),
                euros(held),
                euros(expected)
            ));
        }
    }
}

/// `0.050000`.
pub(crate) fn euros(micro: i64) -> String {
    let sign = if micro < 0 { "-" } else { "" };
    let micro = micro.unsigned_abs();
    format!("{sign}{}.{:06}", micro / 1_000_000, micro % 1_000_000)
}

fn micro(text: &str) -> anyhow::Result<i64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    ensure!(decimals.len() <= 6, "{text} is no amount");
    format!("{whole}{decimals:0<6}").parse().with_context(|| format!("{text} is no amount"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() -> anyhow::Result<()> {
        assert_eq!(micro("999999.95")?, 999_999_950_000);
        assert_eq!(micro("-0.000001")?, -1);
        assert_eq!(micro("7")?, 7_000_000);
        assert!(micro("1.0000000").is_err());
        assert_eq!(euros(PRICE), "0.050000");
        assert_eq!(euros(-1), "-0.000001");
        Ok(())
    }

    #[test]
    fn a_missing_cent_and_a_forgotten_hold_are_faults() {
        let mut books = Books { messages: 1, paid: 0, held: 0, earned: 0, faults: Vec::new() };
        books.check(1, (10, 10), 0);
        assert!(books.faults.is_empty());
        books.check(2, (10, 11), 0);
        books.check(3, (10, 10), 5);
        assert_eq!(books.faults.len(), 2);
        assert_eq!(books.held, 5);
    }
}
