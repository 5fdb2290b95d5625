//! Batches: several messages accepted together, all or none.

use super::ledger::{self, Charge};
use super::limits::Takes;
use super::message::{self, Message, Plan, ROWS_MAX};
use super::money::Amount;
use super::{Error, Result};
use store::Tx;

/// Most messages of one batch (spec 12 section 2).
pub const MESSAGES_MAX: usize = 200;

/// Accepts messages of one account: their price is held as one, so that all are accepted or none.
///
/// Those whose rows one unit may write have them at once, in the order of the request; the recipients of all others
/// are packed, and a sweep gives them their rows.
pub async fn accept(tx: &mut Tx, plans: &Vec<Plan>) -> Result<Vec<Message>> {
    let charges = plans.iter().map(Plan::whole_charge).collect::<Result<Vec<Charge>>>()?;
    let Some(first) = charges.first().copied() else { return Ok(Vec::new()) };
    if charges.iter().any(|charge| (charge.scope, charge.currency) != (first.scope, first.currency)) {
        return Err(Error::Internal("a batch of several accounts".into()));
    }
    let sum = |one: fn(&Charge) -> Amount| charges.iter().map(one).sum();
    let whole = Charge { price: sum(|charge| charge.price), cost: sum(|charge| charge.cost), ..first };
    let takes = plans.iter().fold(Takes::default(), |all, plan| all.and(&plan.takes));
    takes.take(tx, &first.scope).await?;
    ledger::hold(tx, &whole).await?;
    let mut room = ROWS_MAX.saturating_sub(plans.len());
    let mut messages = Vec::with_capacity(plans.len());
    for plan in plans {
        let fits = plan.rows() <= room;
        room -= if fits { plan.rows() } else { 0 };
        messages.push(message::put(tx, plan, fits).await?);
    }
    Ok(messages)
}
