//! Deleting an account with time to think: it stops at once, is gone for good after some days, and comes back if somebody
//! undoes that meanwhile: as it was, or suspended if that was done to it in the days between.

use super::account::{self, AccountId, Status};
use super::audit::{self, Act, Actor};
use super::change::{self, Kind};
use super::error::Hold;
use super::reach::{self, Sight, View};
use super::suspension;
use super::{Code, Result, Timestamp, Violation};
use store::{Tx, sql};

/// Longest time to think, in days.
pub const DAYS_MAX: i64 = 90;
/// Unless somebody says otherwise.
pub const DAYS: i64 = 30;
const DAY_US: i64 = 86_400 * 1_000_000;

/// Asks for an end.
#[derive(Debug, Clone, Copy)]
pub struct Close {
    /// Who, and which account.
    pub sight: Sight,
    /// After how many days; 0 deletes now.
    pub days: i64,
}

/// Stops an account and deletes it after some days. Doing it again changes the day and nothing else.
pub async fn close(tx: &mut Tx, asked: &Close) -> Result<View> {
    let Close { sight, days } = asked;
    let mut view = reach::lock(tx, sight).await?;
    suspension::may_undo(sight.level(), view.closed_by, Hold::Closing)?;
    // Its end would end the operator's hold for good.
    suspension::may_undo(sight.level(), view.held_by, Hold::Suspended)?;
    if *days == 0 {
        account::delete(tx, &sight.at).await?;
        view.account.status = Status::Deleted;
        return Ok(view);
    }
    let now: Timestamp = tx.now();
    let closes = Timestamp(now.0.saturating_add(days.saturating_mul(DAY_US)));
    tx.put(
        sql!("UPDATE account SET status = $3, closes = $2, closed_by = $5, updated = $4 WHERE id = $1"),
        &[&sight.at, &closes, &Status::Suspended, &now, &sight.level()],
    )
    .await?;
    change::raise(tx, Kind::Access).await?;
    reach::find(tx, sight).await
}

/// Takes the end back: the account acts again, unless somebody has suspended it before or meanwhile.
pub async fn reopen(tx: &mut Tx, sight: &Sight) -> Result<View> {
    let view = reach::lock(tx, sight).await?;
    suspension::may_undo(sight.level(), view.closed_by, Hold::Closing)?;
    let now: Timestamp = tx.now();
    let reopened = tx
        .exec(
            sql!(
                "UPDATE account SET status = CASE WHEN held_by IS NULL THEN 'active' ELSE 'suspended' END,
                 closes = NULL, closed_by = NULL, updated = $2
                 WHERE id = $1 AND closes IS NOT NULL AND status <> 'deleted'"
            ),
            &[&sight.at, &now],
        )
        .await?;
    if reopened == 0 {
        return Err(Violation::new("status", Code::Invalid).into());
    }
    change::raise(tx, Kind::Access).await?;
    reach::find(tx, sight).await
}

/// Deletes one account whose time is over; answers whether there may be more. What a partner wants to end stays as long as
/// the operator holds it.
pub async fn finish(tx: &mut Tx, (): &()) -> Result<bool> {
    let now: Timestamp = tx.now();
    let over: Option<AccountId> = tx
        .maybe(
            sql!(
                "SELECT id FROM account WHERE closes IS NOT NULL AND closes <= $1
                 AND NOT (COALESCE(held_by, '') = 'operator' AND COALESCE(closed_by, '') = 'partner')
                 ORDER BY closes LIMIT 1 FOR UPDATE"
            ),
            &[&now],
        )
        .await?;
    let Some(id) = over else { return Ok(false) };
    tx.put(sql!("UPDATE account SET closes = NULL WHERE id = $1"), &[&id]).await?;
    if account::find(tx, &id).await?.status != Status::Deleted {
        account::delete(tx, &id).await?;
        audit::record(tx, &Actor::system(), &Act::on(id, "account.delete")).await?;
    }
    Ok(true)
}
