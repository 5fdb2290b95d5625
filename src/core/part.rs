//! Parts: what a carrier is given, from the message's accepting until nothing more is expected.
//!
//! A part's row is the outbox of its carrier, the hold of its price and the place where a receipt finds its message
//! (docs/decisions/0002). It is marked before a byte leaves. One that was marked and has no reference is in doubt if its
//! process is gone. Whoever works on a carrier's parts holds its lease; every change is guarded besides, so that what
//! is told twice counts once.

use super::callback;
use super::carrier::CarrierId;
use super::lease::{self, Holder, Lane};
use super::ledger::{Charge, Settlement};
use super::message::{Coding, Format, MessageId, Reason, Recipient, Status};
use super::money::{Amount, Currency};
use super::phone::{Msisdn, Originator};
use super::{AccountId, Error, Result, Scope, Timestamp};
use std::collections::{BTreeMap, HashSet};
use store::{FromRow, Row, Rx, Tx, sql};

store::id! {
    /// A part's id: its first 48 bits are the millisecond of its making, which is the order of a carrier's lane.
    PartId
}

/// Parts that one unit hands over, accepts or finishes.
pub const BATCH: usize = 128;
/// A receipt may come this much later than the validity that was asked for.
const GRACE_US: i64 = 600 * 1_000_000;
/// The mark of a part that waits for its account to be resumed.
const PARKED: i64 = -1;

/// A carrier's lane.
pub fn lane(carrier: CarrierId) -> Lane {
    let mut lane = [0; 16];
    lane[8..].copy_from_slice(&carrier.0.to_be_bytes());
    Lane(lane)
}

/// Puts a part into its carrier's lane.
pub(super) async fn push(
    tx: &mut Tx,
    carrier: CarrierId,
    charge: Charge,
    (message, to, number): (MessageId, Msisdn, i64),
    expires: Timestamp,
) -> Result<()> {
    // All tenants: a carrier's lane is everybody's; the row says whose it is.
    let id: PartId = tx.id();
    let Charge { scope, currency, price, cost } = charge;
    tx.put(
        sql!(
            "INSERT INTO part (carrier, id, root, account, message, msisdn, number, currency, price, cost, marked, expires)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, $11)"
        ),
        &[
            &carrier,
            &id,
            &scope.root,
            &scope.account,
            &message,
            &to,
            &number,
            &currency,
            &price,
            &cost,
            &expires,
        ],
    )
    .await?;
    Ok(())
}

/// A part with what its carrier and its reports need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its id.
    pub id: PartId,
    /// Whose.
    pub scope: Scope,
    /// Of which message.
    pub message: MessageId,
    /// To whom.
    pub to: Msisdn,
    /// From 1.
    pub number: i64,
    /// Of all prices.
    pub currency: Currency,
    /// What the account pays.
    pub price: Amount,
    /// What its partner pays.
    pub cost: Amount,
    /// Whether the carrier has accepted it.
    pub accepted: bool,
    /// Whom it is from.
    pub originator: Originator,
    /// The whole message's text.
    pub body: String,
    /// Its alphabet.
    pub coding: Coding,
    /// Its kind.
    pub format: Format,
    /// The message's number of parts.
    pub parts: i64,
    /// Where its reports go, if it has a reference and somewhere to go.
    pub reports_to: Option<String>,
}

const COLUMNS: &str = "p.id, p.root, p.account, p.message, p.msisdn, p.number, p.currency, p.price, p.cost, p.reference IS NOT NULL, \
     m.originator, m.body, m.coding, m.kind, m.parts, \
     CASE WHEN substr(m.report_url, 1, 5) = 'smpp:' THEN m.report_url \
          WHEN m.reference IS NULL THEN NULL ELSE COALESCE(m.report_url, s.report_url) END \
     FROM part p JOIN message m ON m.root = p.root AND m.account = p.account AND m.id = p.message \
     LEFT JOIN messaging s ON s.root = p.root AND s.account = p.account";

impl FromRow for Part {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Part {
            id: row.next()?,
            scope: Scope { root: row.next()?, account: row.next()? },
            message: row.next()?,
            to: row.next()?,
            number: row.next()?,
            currency: row.next()?,
            price: row.next()?,
            cost: row.next()?,
            accepted: row.next()?,
            originator: row.next()?,
            body: row.next()?,
            coding: row.next()?,
            format: row.next()?,
            parts: row.next()?,
            reports_to: row.next::<Option<String>>()?.filter(|url| !url.is_empty()),
        })
    }
}

impl Part {
    fn charge(&self) -> Charge {
        Charge { scope: self.scope, currency: self.currency, price: self.price, cost: self.cost }
    }
}

/// Who works on which carrier's parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shift {
    /// The carrier.
    pub carrier: CarrierId,
    /// The process.
    pub holder: Holder,
}

/// What a process without the lease is told; another one has it.
fn lost() -> Error {
    Error::Unavailable("another process works on this lane".into())
}

async fn on_shift(tx: &mut Tx, shift: &Shift) -> Result<()> {
    if lease::take(tx, &(lane(shift.carrier), shift.holder)).await? { Ok(()) } else { Err(lost()) }
}

/// Takes the next waiting parts, marked as handed over from now on. Those of suspended accounts are put aside.
pub async fn claim(tx: &mut Tx, (shift, most): &(Shift, usize)) -> Result<Vec<Part>> {
    // All tenants: a carrier's lane is everybody's, in the order of time.
    on_shift(tx, shift).await?;
    let most = i64::try_from(*most).unwrap_or(i64::MAX);
    let now: Timestamp = tx.now();
    let marked: Vec<(PartId, i64)> = tx
        .all(
            sql!(
                "UPDATE part SET marked = CASE WHEN EXISTS (SELECT 1 FROM account a
                     WHERE a.id IN (part.account, part.root) AND a.status = 'suspended') THEN -1 ELSE CAST($3 AS BIGINT) END
                 WHERE carrier = $1 AND marked = 0 AND id IN (
                     SELECT id FROM part WHERE carrier = $1 AND marked = 0 ORDER BY id LIMIT $2)
                 RETURNING id, marked"
            ),
            &[&shift.carrier, &most, &now],
        )
        .await?;
    let taken: HashSet<PartId> =
        marked.iter().filter(|(_, mark)| *mark != PARKED).map(|(id, _)| *id).collect();
    let (Some(first), Some(last)) = (taken.iter().min(), taken.iter().max()) else { return Ok(Vec::new()) };
    let parts: Vec<Part> = tx
        .all(
            sql!(
                "SELECT ",
                COLUMNS,
                " WHERE p.carrier = $1 AND p.id >= $2 AND p.id <= $3 AND p.marked = $4 AND p.reference IS NULL
                 ORDER BY p.id"
            ),
            &[&shift.carrier, first, last, &now],
        )
        .await?;
    // One that an earlier turn of the same microsecond has marked is not this turn's.
    Ok(parts.into_iter().filter(|part| taken.contains(&part.id)).collect())
}

/// Lets parts that were handed over by a process that is gone wait again, for a carrier that takes the same part twice
/// as once; answers whether there may be more. Only with a fresh lease.
pub async fn take_back(tx: &mut Tx, shift: &Shift) -> Result<bool> {
    // All tenants: a carrier's lane is everybody's.
    on_shift(tx, shift).await?;
    let some = i64::try_from(BATCH).unwrap_or(i64::MAX);
    let back = tx
        .exec(
            sql!(
                "UPDATE part SET marked = 0 WHERE carrier = $1 AND id IN (SELECT id FROM part
                     WHERE carrier = $1 AND marked > 0 AND reference IS NULL ORDER BY id LIMIT $2)"
            ),
            &[&shift.carrier, &some],
        )
        .await?;
    Ok(back == BATCH.try_into().unwrap_or(u64::MAX))
}

/// What a carrier said about a part that it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It has it, and will report under this reference.
    Accepted(String),
    /// It does not take it.
    Refused {
        /// Why.
        reason: Reason,
        /// The carrier's code.
        error: Option<i64>,
    },
}

/// Records what a carrier said: what it accepted is paid, what it refused is released.
pub async fn answered(tx: &mut Tx, (shift, answers): &(Shift, Vec<(Part, Answer)>)) -> Result<()> {
    on_shift(tx, shift).await?;
    let mut money = Settlement::default();
    let (mut accepted, mut refused) = (Vec::new(), Vec::new());
    for (part, answer) in answers {
        match answer {
            Answer::Accepted(reference) => accepted.push((part, reference)),
            Answer::Refused { reason, error } => {
                refused.push((part, Outcome { status: Status::Failed, reason: *reason, error: *error }));
            }
        }
    }
    // All tenants: a part is found by its carrier and its id.
    let firsts = tx
        .exec_each(
            sql!(
                "UPDATE part SET reference = $3, expires = expires + $4
                 WHERE carrier = $1 AND id = $2 AND marked > 0 AND reference IS NULL"
            ),
            &accepted,
            |(part, reference)| [&shift.carrier, &part.id, *reference, &GRACE_US],
        )
        .await?;
    for ((part, _), _) in accepted.iter().zip(firsts).filter(|(_, first)| *first == 1) {
        money.settle(part.charge());
        if part.number == 1 {
            report_sent(tx, part).await?;
        }
    }
    finish(tx, shift.carrier, &refused, &mut money).await?;
    money.apply(tx).await
}

async fn report_sent(tx: &mut Tx, part: &Part) -> Result<()> {
    let Some(url) = &part.reports_to else { return Ok(()) };
    let recipient = Recipient {
        msisdn: part.to,
        status: Status::Sent,
        reason: Some(Reason::Pending),
        error: None,
        changed: tx.now(),
        price: part.price.times(part.parts).unwrap_or(part.price),
    };
    let about = callback::About { message: part.message, recipient };
    callback::push(tx, part.scope, callback::Kind::Status, url, &about).await
}

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
    // All tenants: a receipt finds its message by the carrier's reference.
    let mut money = Settlement::default();
    let found: Vec<Option<Part>> = tx
        .maybe_each(
            sql!("SELECT ", COLUMNS, " WHERE p.carrier = $1 AND p.reference = $2"),
            receipts,
            |receipt| [carrier, &receipt.reference],
        )
        .await?;
    let mut finished = Vec::new();
    let mut unknown = 0;
    for (found, Receipt { outcome, .. }) in found.iter().zip(receipts) {
        match found {
            None => unknown += 1,
            Some(part) if outcome.status.is_final() => finished.push((part, *outcome)),
            Some(part) => buffered(tx, part, *outcome).await?,
        }
    }
    finish(tx, *carrier, &finished, &mut money).await?;
    money.apply(tx).await?;
    Ok(unknown)
}

/// Removes parts and tells their recipients. Whoever removes a row first decides; its hold ends with it.
async fn finish(
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
    for (ended, first) in ending.iter().zip(end(tx, &ending, 1).await?) {
        if first { told.push(*ended) } else { late.push(*ended) }
    }
    close(tx, &late).await?;
    // The last of several delivered parts delivers the message, if none has failed.
    let open = close(tx, &closing).await?;
    let last: Vec<_> =
        closing.iter().zip(open).filter(|(_, open)| *open == Some(0)).map(|(ended, _)| *ended).collect();
    told.extend(
        last.iter().zip(end(tx, &last, 0).await?).filter(|(_, first)| *first).map(|(ended, _)| *ended),
    );
    for (part, outcome) in told {
        report(tx, part, outcome).await?;
    }
    Ok(())
}

/// Gives recipients their final status; answers who had none yet. `closed` parts of each are finished with it.
async fn end(tx: &mut Tx, parts: &[(&Part, Outcome)], closed: i64) -> Result<Vec<bool>> {
    let now: Timestamp = tx.now();
    let ended = tx
        .exec_each(
            sql!(
                "UPDATE recipient SET status = $5, reason = $6, error = $7, changed = $8, open = open - $9
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

async fn report(tx: &mut Tx, part: &Part, outcome: Outcome) -> Result<()> {
    let Some(url) = &part.reports_to else { return Ok(()) };
    let recipient = Recipient {
        msisdn: part.to,
        status: outcome.status,
        reason: Some(outcome.reason),
        error: outcome.error,
        changed: tx.now(),
        price: part.price.times(part.parts).unwrap_or(part.price),
    };
    let about = callback::About { message: part.message, recipient };
    callback::push(tx, part.scope, callback::Kind::Status, url, &about).await
}

/// Gives up parts whose time is over: those that wait expire and are released, those that the carrier has not reported on
/// have failed. What is in doubt stays. Answers whether there may be more.
pub async fn expire(tx: &mut Tx, (): &()) -> Result<bool> {
    // All tenants: the sweep works for everybody, the oldest first.
    let now: Timestamp = tx.now();
    let some = i64::try_from(BATCH).unwrap_or(i64::MAX);
    let over: Vec<(CarrierId, PartId)> = tx
        .all(
            sql!(
                "SELECT carrier, id FROM part WHERE expires <= $1 AND (marked <= 0 OR reference IS NOT NULL)
                 ORDER BY expires, carrier, id LIMIT $2 FOR UPDATE"
            ),
            &[&now, &some],
        )
        .await?;
    let parts: Vec<Option<Part>> = tx
        .maybe_each(
            sql!("SELECT ", COLUMNS, " WHERE p.carrier = $1 AND p.id = $2"),
            &over,
            |(carrier, id)| [carrier, id],
        )
        .await?;
    let mut by_carrier: BTreeMap<CarrierId, Vec<(&Part, Outcome)>> = BTreeMap::new();
    for ((carrier, _), part) in over.iter().zip(&parts) {
        let Some(part) = part else { continue };
        let (status, reason) = if part.accepted {
            (Status::Failed, Reason::NoReceipt)
        } else {
            (Status::Expired, Reason::Expired)
        };
        by_carrier.entry(*carrier).or_default().push((part, Outcome { status, reason, error: None }));
    }
    let mut money = Settlement::default();
    for (carrier, parts) in by_carrier {
        finish(tx, carrier, &parts, &mut money).await?;
    }
    money.apply(tx).await?;
    Ok(over.len() == BATCH)
}

/// Lets parts go on whose accounts may act again; answers whether there may be more.
pub async fn unpark(tx: &mut Tx, (): &()) -> Result<bool> {
    // All tenants: the sweep works for everybody.
    let some = i64::try_from(BATCH).unwrap_or(i64::MAX);
    let free: Vec<(CarrierId, PartId)> = tx
        .all(
            sql!(
                "SELECT p.carrier, p.id FROM part p JOIN account a ON a.id = p.account JOIN account r ON r.id = p.root
                 WHERE p.marked = -1 AND a.status <> 'suspended' AND r.status <> 'suspended'
                 ORDER BY p.account, p.id LIMIT $1"
            ),
            &[&some],
        )
        .await?;
    for (carrier, id) in &free {
        tx.put(
            sql!("UPDATE part SET marked = 0 WHERE carrier = $1 AND id = $2 AND marked = -1"),
            &[carrier, id],
        )
        .await?;
    }
    Ok(free.len() == BATCH)
}

/// What a carrier has accepted and not finished, in the order of its lane, after a part: for one that lives in this
/// process and so must be reminded after a start.
pub async fn unreported(
    rx: &mut Rx,
    (carrier, after): &(CarrierId, PartId),
) -> Result<Vec<(PartId, Msisdn, AccountId, String, Timestamp)>> {
    // All tenants: a carrier's lane is everybody's.
    let some = i64::try_from(BATCH).unwrap_or(i64::MAX);
    Ok(rx
        .all(
            sql!(
                "SELECT id, msisdn, account, reference, marked FROM part
                 WHERE carrier = $1 AND id > $2 AND reference IS NOT NULL ORDER BY id LIMIT $3"
            ),
            &[carrier, after, &some],
        )
        .await?)
}
