//! Onboarding: the links by which a partner's clients come are good for one attempt if they are signed.

use super::account::AccountId;
use super::{Result, Timestamp};
use store::{Tx, sql};

/// A signature is refused as old long before it is forgotten.
const KEPT_US: i64 = 86_400 * 1_000_000;
/// Signatures that one unit forgets.
const FORGOTTEN_MAX: i64 = 200;

/// Uses up a signature; false if it was used before.
pub async fn spend(tx: &mut Tx, (partner, hash): &(AccountId, [u8; 32])) -> Result<bool> {
    let now: Timestamp = tx.now();
    let spent = tx
        .exec(
            sql!(
                "INSERT INTO spent_signature (root, hash, created) VALUES ($1, $2, $3) ON CONFLICT (root, hash) DO NOTHING"
            ),
            &[partner, hash, &now],
        )
        .await?;
    Ok(spent == 1)
}

/// Forgets signatures that are too old to be used; answers whether there may be more.
pub async fn forget(tx: &mut Tx, (): &()) -> Result<bool> {
    // All tenants: the sweep works for everybody.
    let now: Timestamp = tx.now();
    let gone = tx
        .exec(
            sql!(
                "DELETE FROM spent_signature WHERE (root, hash) IN (
                     SELECT root, hash FROM spent_signature WHERE created < $1 ORDER BY created LIMIT $2)"
            ),
            &[&now.0.saturating_sub(KEPT_US), &FORGOTTEN_MAX],
        )
        .await?;
    Ok(gone >= FORGOTTEN_MAX.unsigned_abs())
}
