//! Bugs that are planted so that the checkers can show that they find them. Each is what a wrong change of the product
//! would do to the tables; nothing in the product knows of them.

use rookery::core::carrier::CarrierId;
use rookery::core::ledger::{Charge, Settlement};
use rookery::core::money::{Amount, Currency};
use rookery::core::part::PartId;
use rookery::core::{AccountId, Result, Scope};
use store::{Store, Tx, sql};

/// An answer is paid without looking whether it was paid before.
pub async fn settle_again(store: &Store, part: PartId) {
    let done: Result<()> = store
        .write(part, async |tx: &mut Tx, part: &PartId| {
            type Row = (AccountId, AccountId, Currency, Amount, Amount);
            let text = sql!(
                "SELECT root, account, currency, price, cost FROM part WHERE id = $1 AND reference IS NULL"
            );
            let found: Option<Row> = tx.maybe(text, &[part]).await?;
            let Some((root, account, currency, price, cost)) = found else { return Ok(()) };
            let mut money = Settlement::default();
            money.settle(Charge { scope: Scope { root, account }, currency, price, cost });
            money.apply(tx).await
        })
        .await;
    done.expect("a second settlement");
}

/// What is said about a part before its answer is not kept.
pub async fn forget_early(store: &Store) {
    let done: Result<()> =
        store.write((), async |tx: &mut Tx, (): &()| Ok(tx.put(sql!("DELETE FROM early"), &[]).await?)).await;
    done.expect("early receipts are forgotten");
}

/// Parts left before they were marked, and their process died in between.
pub async fn unclaim(store: &Store, carrier: CarrierId) {
    let done: Result<()> = store
        .write(carrier, async |tx: &mut Tx, carrier: &CarrierId| {
            let text =
                sql!("UPDATE part SET marked = 0 WHERE carrier = $1 AND marked > 0 AND reference IS NULL");
            Ok(tx.put(text, &[carrier]).await?)
        })
        .await;
    done.expect("a claim is undone");
}
