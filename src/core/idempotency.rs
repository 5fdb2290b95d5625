//! Repeated requests: an `Idempotency-Key` makes the same request count once.
//!
//! The key is kept for 24 hours in the unit that does what was asked, with the sealed answer, so that there is never one
//! without the other. What failed is not kept: it may be tried again under the same key.

use super::secret::{Place, Vault};
use super::{AccountId, Code, Error, Result, Scope, Timestamp, Violation};
use sha2::{Digest, Sha256};
use store::{Rx, Tx, sql};

/// The field that violations name.
pub const FIELD: &str = "Idempotency-Key";
/// Longest key, in characters.
pub const KEY_MAX: usize = 255;
/// How long a key is kept.
const KEPT_US: i64 = 24 * 3_600 * 1_000_000;
/// Keys that one unit forgets.
const FORGOTTEN_MAX: i64 = 200;

/// A request under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Claim {
    /// Whose.
    pub scope: Scope,
    /// Method, path and key.
    hash: [u8; 32],
    /// The request's content.
    fingerprint: [u8; 32],
}

impl Claim {
    /// A request: what was asked, under which key, and with which content.
    pub fn new(scope: Scope, method: &str, path: &str, key: &str, content: &[&[u8]]) -> Claim {
        let digest = |pieces: &[&[u8]]| -> [u8; 32] {
            let mut hash = Sha256::new();
            for piece in pieces {
                // The lengths keep two requests apart whose pieces only join to the same bytes.
                hash.update(u64::try_from(piece.len()).unwrap_or(u64::MAX).to_be_bytes());
                hash.update(piece);
            }
            hash.finalize().into()
        };
        let hash = digest(&[method.as_bytes(), path.as_bytes(), key.as_bytes()]);
        Claim { scope, hash, fingerprint: digest(content) }
    }
}

/// What was answered: the status and the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body's bytes.
    pub body: Vec<u8>,
}

/// What is stored is sealed for this place: a value copied to another row does not open.
fn place(claim: &Claim) -> Place {
    Place::Answer(claim.scope.account.0, claim.hash)
}

/// The answer that was given to this request before; an error if the key was another request's.
pub async fn earlier(rx: &mut Rx, (claim, vault): &(Claim, Vault)) -> Result<Option<Answer>> {
    let now: Timestamp = rx.now();
    let found: Option<([u8; 32], i64, Vec<u8>)> = rx
        .maybe(
            sql!(
                "SELECT fingerprint, status, answer FROM idempotency
                 WHERE root = $1 AND account = $2 AND hash = $3 AND expires > $4"
            ),
            &[&claim.scope.root, &claim.scope.account, &claim.hash, &now],
        )
        .await?;
    let Some((fingerprint, status, sealed)) = found else { return Ok(None) };
    if fingerprint != claim.fingerprint {
        return Err(Violation::new(FIELD, Code::OtherRequest).into());
    }
    let body = vault.open(place(claim), &sealed);
    let body = body.map_err(|_| Error::Internal("a kept answer does not open".into()))?;
    Ok(Some(Answer { status: u16::try_from(status).unwrap_or(200), body }))
}

/// Keeps an answer, in the unit of what was done. False if another unit was first.
pub async fn keep(tx: &mut Tx, claim: &Claim, vault: &Vault, answer: &Answer) -> Result<bool> {
    let now: Timestamp = tx.now();
    let sealed = vault.seal(tx, place(claim), &answer.body);
    let status = i64::from(answer.status);
    let kept = tx
        .exec(
            sql!(
                "INSERT INTO idempotency (root, account, hash, fingerprint, status, answer, expires)
                 VALUES ($1, $2, $3, $4, $5, $6, $7)
                 ON CONFLICT (root, account, hash) DO UPDATE SET fingerprint = $4, status = $5, answer = $6, expires = $7
                 WHERE idempotency.expires <= $8"
            ),
            &[
                &claim.scope.root,
                &claim.scope.account,
                &claim.hash,
                &claim.fingerprint,
                &status,
                &sealed,
                &now.0.saturating_add(KEPT_US),
                &now,
            ],
        )
        .await?;
    Ok(kept == 1)
}

/// Forgets what was answered to the requests of one moment, by which something was made that is to be forgotten. That they
/// were done is still known: a repetition is refused as another request would be, and nothing is paid or sent twice.
pub(super) async fn forget_of(tx: &mut Tx, scope: &Scope, made: Timestamp) -> Result<u64> {
    Ok(tx
        .exec(
            sql!(
                "UPDATE idempotency SET fingerprint = $4, answer = $5
                 WHERE root = $1 AND account = $2 AND expires = $3 AND fingerprint <> $4"
            ),
            &[&scope.root, &scope.account, &made.0.saturating_add(KEPT_US), &[0_u8; 32], &Vec::<u8>::new()],
        )
        .await?)
}

/// Forgets old keys; answers whether there may be more.
pub async fn forget(tx: &mut Tx, (): &()) -> Result<bool> {
    // All tenants: the sweep works for everybody, the oldest first.
    let now: Timestamp = tx.now();
    let old: Vec<(AccountId, AccountId, [u8; 32])> = tx
        .all(
            sql!("SELECT root, account, hash FROM idempotency WHERE expires <= $1 ORDER BY expires LIMIT $2"),
            &[&now, &FORGOTTEN_MAX],
        )
        .await?;
    for (root, account, hash) in &old {
        tx.put(
            sql!("DELETE FROM idempotency WHERE root = $1 AND account = $2 AND hash = $3 AND expires <= $4"),
            &[root, account, hash, &now],
        )
        .await?;
    }
    Ok(old.len() >= FORGOTTEN_MAX.unsigned_abs().try_into().unwrap_or(usize::MAX))
}
