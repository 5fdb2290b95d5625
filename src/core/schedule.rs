//! Messages for later: accepted, priced and held at once, sent when their hour has come.
//!
//! Until then no carrier can see them, because they have no parts: their recipients stand packed in the `schedule` table,
//! which also is the hold of their price. A sweep makes their parts, some recipients a unit; whoever removes the packed
//! row first decides, the sweep or the one who cancels.

use super::ledger::{self, Charge, Settlement};
use super::message::{self, Message, MessageId, Plan, Planned, ROWS_MAX, Reason, Recipient, Status, count};
use super::money::{Amount, Currency};
use super::phone::Msisdn;
use super::{AccountId, Error, Result, Scope, Timestamp, account, callback, expansion};
use store::{Tx, sql};

/// A message may be for so much later: a year and a day.
pub const AHEAD_MAX_US: i64 = 366 * 86_400 * 1_000_000;
/// An hour that has passed by no more than this is sent for at once: clocks differ, and requests are repeated.
pub const PAST_MAX_US: i64 = 3_600 * 1_000_000;
/// Packed rows that one unit looks at.
const LOOKED_AT: i64 = 128;

/// A recipient as it is until the hour.
pub(super) fn waiting(planned: &Planned, parts: i64, now: Timestamp) -> Recipient {
    let fresh = message::fresh(planned, parts, now);
    // Who has opted out by then is told so at once.
    if planned.has_opted_out() {
        fresh
    } else {
        Recipient { status: Status::Scheduled, reason: None, ..fresh }
    }
}

/// Keeps a message's recipients for later, in packs that one unit can send. As many as one unit may write are in every
/// view at once; the sweep lists those of a larger one.
pub(super) async fn keep(
    tx: &mut Tx,
    plan: &Plan,
    message: &Message,
    at: Timestamp,
    packs: impl Iterator<Item = &[Planned]>,
) -> Result<()> {
    let listed = message.recipients.len() <= ROWS_MAX;
    if listed {
        for recipient in &message.recipients {
            // Nothing of it is under way, so a message that is cancelled can be removed as it is.
            message::insert_recipient(tx, &plan.scope, message.id, recipient, 0).await?;
        }
    }
    let due = if listed { at } else { message.created };
    for (number, pack) in packs.enumerate() {
        let Charge { scope, price, cost, .. } = plan.charge(pack)?;
        let held_by_partner = Amount(cost.0.saturating_sub(price.0));
        tx.put(
            sql!(
                "INSERT INTO schedule (root, account, message, number, due, listed, price, cost, recipients)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
            ),
            &[
                &scope.root,
                &scope.account,
                &message.id,
                &count(number),
                &due,
                &listed,
                &price,
                &held_by_partner,
                &expansion::packed(pack),
            ],
        )
        .await?;
    }
    Ok(())
}

/// The hold of a packed row, from what the account and its partner hold.
fn held(scope: Scope, currency: Currency, price: Amount, by_partner: Amount) -> Charge {
    Charge { scope, currency, price, cost: [price, by_partner].into_iter().sum() }
}

/// Cancels what has not been sent of a message: it never will be, and its price is free again.
pub(super) async fn cancel(tx: &mut Tx, scope: &Scope, id: MessageId, currency: Currency) -> Result<()> {
    let gone: Vec<(Amount, Amount)> = tx
        .all(
            sql!(
                "DELETE FROM schedule WHERE root = $1 AND account = $2 AND message = $3 RETURNING price, cost"
            ),
            &[&scope.root, &scope.account, &id],
        )
        .await?;
    let mut money = Settlement::default();
    for (price, by_partner) in gone {
        money.release(held(*scope, currency, price, by_partner));
    }
    money.apply(tx).await
}

/// Takes a recipient out of a message for later, and releases what was held for it.
pub(super) async fn leave_out(
    tx: &mut Tx,
    scope: &Scope,
    (id, parts, currency): (MessageId, i64, Currency),
    to: Msisdn,
) -> Result<()> {
    let packs: Vec<(i64, Vec<u8>)> = tx
        .all(
            sql!(
                "SELECT number, recipients FROM schedule WHERE root = $1 AND account = $2 AND message = $3
                 ORDER BY number FOR UPDATE"
            ),
            &[&scope.root, &scope.account, &id],
        )
        .await?;
    let mut money = Settlement::default();
    for (number, packed) in packs {
        let (left_out, left): (Vec<Planned>, Vec<Planned>) =
            expansion::unpack(&packed).into_iter().partition(|planned| planned.to == to);
        let Some(planned) = left_out.first() else { continue };
        let (price, cost) = planned.amounts();
        let all = |each: Amount| each.times(parts).ok_or(Error::Balance);
        let own = scope.root == scope.account;
        let above = if own { Amount::ZERO } else { all(Amount(cost.0.saturating_sub(price.0).max(0)))? };
        let price = all(price)?;
        money.release(held(*scope, currency, price, above));
        if left.is_empty() {
            tx.put(
                sql!(
                    "DELETE FROM schedule WHERE root = $1 AND account = $2 AND message = $3 AND number = $4"
                ),
                &[&scope.root, &scope.account, &id, &number],
            )
            .await?;
        } else {
            tx.put(
                sql!(
                    "UPDATE schedule SET price = price - $5, cost = cost - $6, recipients = $7
                     WHERE root = $1 AND account = $2 AND message = $3 AND number = $4"
                ),
                &[&scope.root, &scope.account, &id, &number, &price, &above, &expansion::packed(&left)],
            )
            .await?;
        }
    }
    money.apply(tx).await
}

/// Some recipients whose hour has come, or who are not in the views yet.
struct Pack {
    scope: Scope,
    message: MessageId,
    number: i64,
    listed: bool,
    charge: Charge,
    recipients: Vec<Planned>,
}

/// Sends what is due, some recipients at a time; answers whether there was something to do.
pub async fn release_some(tx: &mut Tx, (): &()) -> Result<bool> {
    // All tenants: the sweep works for everybody, what is longest due first.
    type Row = (AccountId, AccountId, MessageId, i64, bool, Amount, Amount, Vec<u8>);
    let now: Timestamp = tx.now();
    let due: Vec<Row> = tx
        .all(
            sql!(
                "SELECT root, account, message, number, listed, price, cost, recipients FROM schedule WHERE due <= $1
                 ORDER BY due, root, account, message, number LIMIT $2 FOR UPDATE"
            ),
            &[&now, &LOOKED_AT],
        )
        .await?;
    let (mut written, mut money) = (0, Settlement::default());
    for (at, (root, account, id, number, listed, price, by_partner, packed)) in due.iter().enumerate() {
        let scope = Scope { root: *root, account: *account };
        let message = message::header(tx, &scope, *id).await?;
        let recipients = expansion::unpack(packed);
        let rows = 1 + recipients.len() * message::rows_each(message.parts);
        let is_gone = is_deleted(tx, scope).await?;
        // What a deleted account leaves is moved in a unit of its own, for the order of locks.
        if at > 0 && (written + rows > ROWS_MAX || is_gone) {
            break;
        }
        written += rows;
        let charge = held(scope, message.currency, *price, *by_partner);
        let pack = Pack { scope, message: *id, number: *number, listed: *listed, charge, recipients };
        if is_gone {
            drop_pack(tx, pack, money).await?;
            return Ok(true);
        }
        let is_later = message.scheduled.is_some_and(|hour| hour > now);
        if !listed && is_later {
            list(tx, &pack, &message).await?;
        } else if message::expires(&message) <= now {
            end(tx, &pack, &message, (Status::Expired, Reason::Expired)).await?;
            money.release(pack.charge);
        } else {
            send(tx, &pack, &message).await?;
        }
    }
    money.apply(tx).await?;
    Ok(!due.is_empty())
}

async fn is_deleted(tx: &mut Tx, scope: Scope) -> Result<bool> {
    let own = account::find(tx, &scope.account).await?.status;
    let partners = account::find(tx, &scope.root).await?.status;
    Ok([own, partners].contains(&account::Status::Deleted))
}

async fn remove(tx: &mut Tx, pack: &Pack) -> Result<()> {
    tx.put(
        sql!("DELETE FROM schedule WHERE root = $1 AND account = $2 AND message = $3 AND number = $4"),
        &[&pack.scope.root, &pack.scope.account, &pack.message, &pack.number],
    )
    .await?;
    Ok(())
}

/// Puts the recipients of a large message into the views, long before its hour.
async fn list(tx: &mut Tx, pack: &Pack, message: &Message) -> Result<()> {
    for planned in &pack.recipients {
        let recipient = waiting(planned, message.parts, message.created);
        message::insert_recipient(tx, &pack.scope, message.id, &recipient, 0).await?;
    }
    tx.put(
        sql!(
            "UPDATE schedule SET listed = $5, due = $6
             WHERE root = $1 AND account = $2 AND message = $3 AND number = $4"
        ),
        &[&pack.scope.root, &pack.scope.account, &pack.message, &pack.number, &true, &message.scheduled],
    )
    .await?;
    Ok(())
}

/// Gives a recipient another status and so many open parts.
async fn change(tx: &mut Tx, pack: &Pack, recipient: &Recipient, open: i64) -> Result<()> {
    if !pack.listed {
        return message::insert_recipient(tx, &pack.scope, pack.message, recipient, open).await;
    }
    tx.put(
        sql!(
            "UPDATE recipient SET status = $5, reason = $6, changed = $7, open = $8
             WHERE root = $1 AND account = $2 AND message = $3 AND msisdn = $4"
        ),
        &[
            &pack.scope.root,
            &pack.scope.account,
            &pack.message,
            &recipient.msisdn,
            &recipient.status,
            &recipient.reason,
            &recipient.changed,
            &open,
        ],
    )
    .await?;
    Ok(())
}

/// The hour has come: the parts go into their carriers' lanes, and the hold goes with them.
async fn send(tx: &mut Tx, pack: &Pack, message: &Message) -> Result<()> {
    let now = tx.now();
    for planned in &pack.recipients {
        change(tx, pack, &message::fresh(planned, message.parts, now), planned.open(message.parts)).await?;
        message::push_parts(tx, &pack.scope, message, planned).await?;
    }
    remove(tx, pack).await
}

/// Nobody could send it in time: it has ended without a carrier having seen it.
async fn end(tx: &mut Tx, pack: &Pack, message: &Message, (status, reason): (Status, Reason)) -> Result<()> {
    let now: Timestamp = tx.now();
    let url = message::reports_to(tx, &pack.scope, message).await?;
    for planned in &pack.recipients {
        let fresh = message::fresh(planned, message.parts, now);
        let recipient =
            if planned.has_opted_out() { fresh } else { Recipient { status, reason: Some(reason), ..fresh } };
        change(tx, pack, &recipient, 0).await?;
        if let Some(url) = &url {
            let about = callback::About { message: message.id, recipient };
            callback::push(tx, pack.scope, callback::Kind::Status, url, &about).await?;
        }
    }
    remove(tx, pack).await
}

/// Its account is gone: it is not sent, and what was held for it goes where the account's remainder went.
async fn drop_pack(tx: &mut Tx, pack: Pack, mut money: Settlement) -> Result<()> {
    remove(tx, &pack).await?;
    // Both balances are locked by this, in order, before either moves.
    ledger::close(tx, pack.scope).await?;
    money.release(pack.charge);
    money.apply(tx).await?;
    ledger::close(tx, pack.scope).await
}
