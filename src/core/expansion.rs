//! Recipients of messages to very many, packed in rows of some hundred until each has a row of its own: accepting stays one
//! small unit, and a sweep gives them their rows.

use super::carrier::CarrierId;
use super::ledger::Charge;
use super::message::{self, MessageId, Plan, Planned};
use super::money::Amount;
use super::phone::Msisdn;
use super::terms::Quote;
use super::{AccountId, Result, Scope};
use store::{Tx, sql};

/// Bytes of one packed recipient: number, price, cost, and the carrier with a bit for whether it takes messages whole.
const PACKED_BYTES: usize = 32;

/// Stores some recipients of a message for later.
pub(super) async fn pack(
    tx: &mut Tx,
    plan: &Plan,
    id: MessageId,
    number: i64,
    some: &[Planned],
) -> Result<()> {
    let Charge { price, cost, .. } = plan.charge(some)?;
    let packed = packed(some);
    let held_by_partner = Amount(cost.0.saturating_sub(price.0));
    tx.put(
        sql!(
            "INSERT INTO expansion (root, account, message, number, price, cost, recipients)
             VALUES ($1, $2, $3, $4, $5, $6, $7)"
        ),
        &[&plan.scope.root, &plan.scope.account, &id, &number, &price, &held_by_partner, &packed],
    )
    .await?;
    Ok(())
}

/// Recipients as bytes.
pub(super) fn packed(some: &[Planned]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(some.len() * PACKED_BYTES);
    for Planned { to, quote } in some {
        let carrier = quote.carrier.0 << 1 | i64::from(quote.is_whole);
        for value in [to.0, quote.price.0, quote.cost.0, carrier] {
            packed.extend_from_slice(&value.to_be_bytes());
        }
    }
    packed
}

/// Recipients from bytes.
pub(super) fn unpack(packed: &[u8]) -> Vec<Planned> {
    let (each, _) = packed.as_chunks::<PACKED_BYTES>();
    let planned = each.iter().map(|bytes| {
        let (values, _) = bytes.as_chunks::<8>();
        let mut values = values.iter().map(|value| i64::from_be_bytes(*value));
        let mut next = || values.next().unwrap_or_default();
        let (to, price, cost, carrier) = (Msisdn(next()), Amount(next()), Amount(next()), next());
        let (carrier, is_whole) = (CarrierId(carrier >> 1), carrier & 1 == 1);
        Planned { to, quote: Quote { price, cost, carrier, is_whole } }
    });
    planned.collect()
}

/// Gives some recipients of a large message their rows; answers whether there was something to do.
pub async fn expand_some(tx: &mut Tx, (): &()) -> Result<bool> {
    // All tenants: the sweep works for everybody, some recipients at a time.
    let next: Option<(AccountId, AccountId, MessageId, i64, Vec<u8>)> = tx
        .maybe(
            sql!(
                "SELECT root, account, message, number, recipients FROM expansion
                 ORDER BY root, account, message, number LIMIT 1 FOR UPDATE"
            ),
            &[],
        )
        .await?;
    let Some((root, account, id, number, packed)) = next else {
        return Ok(false);
    };
    let scope = Scope { root, account };
    let whole = message::header(tx, &scope, id).await?;
    message::expand(tx, &scope, &whole, &unpack(&packed)).await?;
    tx.put(
        sql!("DELETE FROM expansion WHERE root = $1 AND account = $2 AND message = $3 AND number = $4"),
        &[&root, &account, &id, &number],
    )
    .await?;
    Ok(true)
}
