//! Accounts that pay for messages, made by command, and what all accounts have afterwards.

use super::database::Home;
use super::process::{key_of, run};
use rookery::core::Result;
use serde_json::Value;
use std::collections::BTreeMap;
use store::{Store, Tx, sql};

/// An account that can send.
pub struct Payer {
    pub id: i64,
    pub key: String,
}

impl Payer {
    /// What `partner create --json` or `child create --json` printed, with the price of a part to any number.
    pub fn new(home: &Home, made: &Value, rate: &str) -> Self {
        let id = made["id"].as_i64().expect("an id");
        run(home, &["rate", "set", &id.to_string(), "", rate]).ok();
        Payer { id, key: key_of(made, "live").to_owned() }
    }

    /// Gives it credit.
    pub fn with_credit(self, home: &Home, amount: &str) -> Self {
        run(home, &["credit", &self.id.to_string(), amount]).ok();
        self
    }
}

/// What every account has, posted and held, in micro-units; the operator is 0.
pub async fn balances(store: &Store) -> BTreeMap<i64, (i64, i64)> {
    let rows: Result<Vec<(i64, i64, i64)>> = store
        .write((), async |tx: &mut Tx, (): &()| {
            Ok(tx.all(sql!("SELECT account, posted, held FROM balance ORDER BY account"), &[]).await?)
        })
        .await;
    rows.expect("the balances").into_iter().map(|(account, posted, held)| (account, (posted, held))).collect()
}

/// Parts that nobody has reported on and callbacks that are still to be sent.
pub async fn unfinished(store: &Store) -> (i64, i64) {
    let count: Result<(i64, i64)> = store
        .write((), async |tx: &mut Tx, (): &()| {
            Ok(tx
                .one(
                    sql!(
                        "SELECT (SELECT CAST(count(*) AS BIGINT) FROM part),
                         (SELECT CAST(count(*) AS BIGINT) FROM callback WHERE open)"
                    ),
                    &[],
                )
                .await?)
        })
        .await;
    count.expect("the counts")
}
