//! Receipts: what carriers say has become of the parts that they were given.
//!
//! A final receipt removes the part's row: whoever removes it decides, so that what is told twice counts once. One that comes
//! before the answer which names its part is kept until that is known.

use super::callback;
use super::carrier::CarrierId;
use super::ledger::Settlement;
use super::message::{Reason, Recipient, Status};
use super::money::Amount;
use super::part::{BATCH, COLUMNS, Part};
use super::{Result, Timestamp};
use std::collections::BTreeMap;
use store::{FromRow, Row, Tx, sql};

/// How it ended, or stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// What has become of it; not final if the carrier goes on trying.
    pub status: Status,
    /// Why.
    pub reason: Reason,
    /// The network's code.
    pub error: Option<i64>,
}

/// What a carrier reports about a part that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The carrier's name for the part.
    pub reference: String,
    /// What it says.
    pub outcome: Outcome,
}

/// Records receipts; answers how many were about nothing known: late ones, or told twice.
pub async fn reported(tx: &mut Tx, (carrier, receipts): &(CarrierId, Vec<Receipt>)) -> Result<usize> {
    let mut money = Settlement::default();
    let unknown = report_all(tx, *carrier, receipts, &mut money).await?.len();
    money.apply(tx).await?;
    Ok(unknown)
}

/// Records receipts of a carrier that may report on a part before its answer names it: what is about nothing known is kept
/// until it is; answers how many those were.
pub async fn heard(tx: &mut Tx, (carrier, receipts): &(CarrierId, Vec<Receipt>)) -> Result<usize> {
    // All tenants: a receipt finds its message by the carrier's reference.
    let mut money = Settlement::default();
    let unknown = report_all(tx, *carrier, receipts, &mut money).await?;
    money.apply(tx).await?;
    let now: Timestamp = tx.now();
    for Receipt { reference, outcome } in &unknown {
        tx.put(
            sql!(
                "INSERT INTO early (carrier, reference, status, reason, error, received) VALUES ($1, $2, $3, $4, $5, $6)
                 ON CONFLICT (carrier, reference) DO UPDATE SET status = $3, reason = $4, error = $5, received = $6
                 WHERE early.status NOT IN ('delivered', 'expired', 'failed')"
            ),
            &[carrier, reference, &outcome.status, &outcome.reason, &outcome.error, &now],
        )
        .await?;
    }
    Ok(unknown.len())
}

/// Records receipts; answers those about nothing known.
async fn report_all<'r>(
    tx: &mut Tx,
    carrier: CarrierId,
    receipts: &'r [Receipt],
    money: &mut Settlement,
) -> Result<Vec<&'r Receipt>> {
    // All tenants: a receipt finds its message by the carrier's reference.
    let found: Vec<Option<Part>> = tx
        .maybe_each(
            sql!("SELECT ", COLUMNS, " WHERE p.carrier = $1 AND p.reference = $2"),
            receipts,
            |receipt| [&carrier, &receipt.reference],
        )
        .await?;
    let (mut finished, mut unknown) = (Vec::new(), Vec::new());
    for (found, receipt @ Receipt { outcome, .. }) in found.iter().zip(receipts) {
        match found {
            None => unknown.push(receipt),
            Some(part) if outcome.status.is_final() => finished.push((part, *outcome)),
            Some(part) => buffered(tx, part, *outcome).await?,
        }
    }
    finish(tx, carrier, &finished, money).await?;
    Ok(unknown)
}

impl FromRow for Receipt {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Receipt {
            reference: row.next()?,
            outcome: Outcome { status: row.next()?, reason: row.next()?, error: row.next()? },
        })
    }
}

/// Applies what was said before these references were known.
pub(super) async fn catch_up(
    tx: &mut Tx,
    carrier: CarrierId,
    references: &[&String],
    money: &mut Settlement,
) -> Result<()> {
    // All tenants: a receipt finds its message by the carrier's reference.
    let any: Option<i64> =
        tx.maybe(sql!("SELECT carrier FROM early WHERE carrier = $1 LIMIT 1"), &[&carrier]).await?;
    if any.is_none() {
        return Ok(());
    }
    let early: Vec<Option<Receipt>> = tx
        .maybe_each(
            sql!(
                "DELETE FROM early WHERE carrier = $1 AND reference = $2 RETURNING reference, status, reason, error"
            ),
            references,
            |reference| [&carrier, *reference],
        )
        .await?;
    let early: Vec<Receipt> = early.into_iter().flatten().collect();
    report_all(tx, carrier, &early, money).await.map(drop)
}

/// What was said early is kept for this time.
const EARLY_US: i64 = 86_400 * 1_000_000;
/// A receipt and the answer that names its part may pass each other if their units run at the same time, which they do
/// for less than this; longer while no sweep ran.
const PASSING_US: (i64, i64) = (10 * 1_000_000, 900 * 1_000_000);
/// Early receipts that one look holds against the parts, the latest first.
const LOOKED_AT: i64 = 10_000;

/// Applies receipts that were kept while their part got its reference in a unit beside theirs, far back if `rare`; answers
/// whether there may be more.
pub async fn catch_up_all(tx: &mut Tx, rare: &bool) -> Result<bool> {
    // All tenants: the sweep works for everybody.
    let now: Timestamp = tx.now();
    let some = i64::try_from(BATCH).unwrap_or(i64::MAX);
    let back = if *rare { PASSING_US.1 } else { PASSING_US.0 };
    let known: Vec<(CarrierId, String)> = tx
        .all(
            sql!(
                "SELECT e.carrier, e.reference FROM (SELECT carrier, reference FROM early WHERE received > $1
                     ORDER BY received DESC LIMIT $2) e
                 JOIN part p ON p.carrier = e.carrier AND p.reference = e.reference
                 ORDER BY e.carrier, e.reference LIMIT $3"
            ),
            &[&now.0.saturating_sub(back), &LOOKED_AT, &some],
        )
        .await?;
    let mut by_carrier: BTreeMap<CarrierId, Vec<&String>> = BTreeMap::new();
    for (carrier, reference) in &known {
        by_carrier.entry(*carrier).or_default().push(reference);
    }
    let mut money = Settlement::default();
    for (carrier, references) in by_carrier {
        catch_up(tx, carrier, &references, &mut money).await?;
    }
    money.apply(tx).await?;
    Ok(known.len() == BATCH)
}

/// Forgets receipts about what never got a name; answers whether there may be more.
pub async fn forget_early(tx: &mut Tx, (): &()) -> Result<bool> {
    // All tenants: the sweep works for everybody, the oldest first.
    let now: Timestamp = tx.now();
    let some = i64::try_from(BATCH).unwrap_or(i64::MAX);
    let gone = tx
        .exec(
            sql!(
                "DELETE FROM early WHERE (carrier, reference) IN (
                     SELECT carrier, reference FROM early WHERE received < $1 ORDER BY received LIMIT $2)"
            ),
            &[&now.0.saturating_sub(EARLY_US), &some],
        )
        .await?;
    Ok(gone == some.unsigned_abs())
}

/// Removes parts and tells their recipients. Whoever removes a row first decides; its hold ends with it.
pub(super) async fn finish(
    tx: &mut Tx,
    carrier: CarrierId,
    parts: &[(&Part, Outcome)],
    money: &mut Settlement,
) -> Result<()> {
    // All tenants: a part is found by its carrier and its id.
    let gone: Vec<Option<bool>> = tx
        .maybe_each(
            sql!("DELETE FROM part WHERE carrier = $1 AND id = $2 RETURNING reference IS NOT NULL"),
            parts,
            |(part, _)| [&carrier, &part.id],
        )
        .await?;
    let (mut ending, mut closing) = (Vec::new(), Vec::new());
    for (ended @ (part, outcome), accepted) in parts.iter().zip(gone) {
        let Some(accepted) = accepted else { continue };
        if !accepted {
            money.release(part.charge());
        }
        let ends = outcome.status != Status::Delivered || part.parts == 1;
        if ends { ending.push(*ended) } else { closing.push(*ended) }
    }
    let mut told = Vec::new();
    let mut late = Vec::new();
    for (ended, first) in ending.iter().zip(end(tx, carrier, &ending, 1).await?) {
        if first { told.push(*ended) } else { late.push(*ended) }
    }
    close(tx, &late).await?;
    // The last of several delivered parts delivers the message, if none has failed.
    let open = close(tx, &closing).await?;
    let last: Vec<_> =
        closing.iter().zip(open).filter(|(_, open)| *open == Some(0)).map(|(ended, _)| *ended).collect();
    told.extend(
        last.iter()
            .zip(end(tx, carrier, &last, 0).await?)
            .filter(|(_, first)| *first)
            .map(|(ended, _)| *ended),
    );
    for (part, outcome) in told {
        report(tx, part, outcome).await?;
    }
    Ok(())
}

/// Gives recipients their final status; answers who had none yet. `closed` parts of each are finished with it.
async fn end(tx: &mut Tx, carrier: CarrierId, parts: &[(&Part, Outcome)], closed: i64) -> Result<Vec<bool>> {
    let now: Timestamp = tx.now();
    let ended = tx
        .exec_each(
            sql!(
                "UPDATE recipient SET status = $5, reason = $6, error = $7, changed = $8, open = open - $9,
                 carrier = $10
                 WHERE root = $1 AND account = $2 AND message = $3 AND msisdn = $4 AND status IN ('sent', 'buffered')"
            ),
            parts, |(part, outcome)| {
                [
                    &part.scope.root,
                    &part.scope.account,
                    &part.message,
                    &part.to,
                    &outcome.status,
                    &outcome.reason,
                    &outcome.error,
                    &now,
                    &closed,
                    &carrier,
                ]
            },
        )
        .await?;
    Ok(ended.into_iter().map(|ended| ended == 1).collect())
}

/// Counts finished parts; answers how many of each recipient are still open.
async fn close(tx: &mut Tx, parts: &[(&Part, Outcome)]) -> Result<Vec<Option<i64>>> {
    Ok(tx
        .maybe_each(
            sql!(
                "UPDATE recipient SET open = open - 1
                 WHERE root = $1 AND account = $2 AND message = $3 AND msisdn = $4 RETURNING open"
            ),
            parts,
            |(part, _)| [&part.scope.root, &part.scope.account, &part.message, &part.to],
        )
        .await?)
}

async fn buffered(tx: &mut Tx, part: &Part, outcome: Outcome) -> Result<()> {
    let now: Timestamp = tx.now();
    let changed = tx
        .exec(
            sql!(
                "UPDATE recipient SET status = $5, reason = $6, error = $7, changed = $8
                 WHERE root = $1 AND account = $2 AND message = $3 AND msisdn = $4 AND status = 'sent'"
            ),
            &[
                &part.scope.root,
                &part.scope.account,
                &part.message,
                &part.to,
                &Status::Buffered,
                &outcome.reason,
                &outcome.error,
                &now,
            ],
        )
        .await?;
    if changed == 1 {
        report(tx, part, Outcome { status: Status::Buffered, ..outcome }).await
    } else {
        Ok(())
    }
}

pub(super) async fn report(tx: &mut Tx, part: &Part, outcome: Outcome) -> Result<()> {
    let Some(url) = &part.reports_to else { return Ok(()) };
    let recipient = Recipient {
        msisdn: part.to,
        status: outcome.status,
        reason: Some(outcome.reason),
        error: outcome.error,
        changed: tx.now(),
        price: if outcome.reason == Reason::OptedOut && !part.accepted {
            Amount::ZERO
        } else {
            part.of_all()
        },
    };
    let about = callback::About { message: part.message, recipient };
    callback::push(tx, part.scope, callback::Kind::Status, url, &about).await
}
