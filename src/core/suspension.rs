//! Who stopped an account and who may let it go on: what the operator did only the operator undoes, what a partner did the
//! operator may undo too.
//!
//! An account's status is `suspended` as long as somebody holds it or it is about to be deleted (`closing`); of two who
//! hold it the operator counts, and its resuming ends both.

use super::account::{self, AccountId, Status};
use super::change::{self, Kind};
use super::error::Hold;
use super::reach::{self, Sight, View};
use super::words::words;
use super::{Code, Error, Noun, Result, Timestamp, Violation};
use store::{Tx, sql};

words! {
    /// Who is above an account.
    Level {
        /// Whoever runs the installation, by a key or on the command line.
        Operator = "operator",
        /// The account's partner.
        Partner = "partner",
    }
}

/// Refuses to a partner what the operator did.
pub(super) fn may_undo(by: Level, did: Option<Level>, what: Hold) -> Result<()> {
    if by == Level::Partner && did == Some(Level::Operator) { Err(Error::Held(what)) } else { Ok(()) }
}

/// Stops an account within reach; if it is a partner, its children as well. Suspending twice is once. One that is about to
/// be deleted stays suspended if that is undone.
pub async fn suspend(tx: &mut Tx, sight: &Sight) -> Result<View> {
    reach::lock(tx, sight).await?;
    stop(tx, sight.at, sight.level()).await?;
    reach::find(tx, sight).await
}

/// Lets a suspended account within reach act again; its children get the state that each had.
pub async fn resume(tx: &mut Tx, sight: &Sight) -> Result<View> {
    reach::lock(tx, sight).await?;
    go_on(tx, sight.at, sight.level()).await?;
    reach::find(tx, sight).await
}

pub(super) async fn stop(tx: &mut Tx, id: AccountId, by: Level) -> Result<()> {
    let now: Timestamp = tx.now();
    let stopped = tx
        .exec(
            sql!(
                "UPDATE account SET status = 'suspended', updated = $3,
                 held_by = CASE WHEN held_by = 'operator' THEN held_by ELSE CAST($2 AS TEXT) END
                 WHERE id = $1 AND status <> 'deleted'"
            ),
            &[&id, &by, &now],
        )
        .await?;
    if stopped == 0 {
        return Err(Error::NotFound(Noun::Account));
    }
    change::raise(tx, Kind::Access).await
}

pub(super) async fn go_on(tx: &mut Tx, id: AccountId, by: Level) -> Result<()> {
    if account::lock(tx, &id).await?.status == Status::Deleted {
        return Err(Error::NotFound(Noun::Account));
    }
    let (held_by, closes): (Option<Level>, Option<Timestamp>) =
        tx.one(sql!("SELECT held_by, closes FROM account WHERE id = $1"), &[&id]).await?;
    if closes.is_some() {
        return Err(Violation::new("status", Code::Invalid).into());
    }
    may_undo(by, held_by, Hold::Suspended)?;
    let now: Timestamp = tx.now();
    tx.put(
        sql!("UPDATE account SET status = 'active', held_by = NULL, updated = $2 WHERE id = $1"),
        &[&id, &now],
    )
    .await?;
    change::raise(tx, Kind::Access).await
}
