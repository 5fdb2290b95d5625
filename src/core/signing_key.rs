//! What an account's callbacks are signed with, now and from a chosen moment on.
//!
//! A next key is shown when it is made and used from its moment on, by every process and by its own clock; until then the
//! current one signs. Afterwards the old one is void: it signs nothing more, and the sweep removes it.

use super::account::{self, AccountId};
use super::secret::{Place, SIGNING_KEY_CHARS, Secret, Vault};
use super::{Code, Error, Noun, Result, Scope, Timestamp, Violation};
use store::{FromRow, Row, Rx, Tx, sql};

/// A moment that has passed by less than this means now: it was chosen when the command began.
const LATE_US: i64 = 60 * 1_000_000;
/// Rotations that one unit finishes.
const FINISHED_MAX: i64 = 100;

/// The sealed keys of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// What signs now.
    pub current: Vec<u8>,
    /// Since when it stands here.
    pub created: Timestamp,
    /// What will sign, and from when on.
    pub next: Option<(Timestamp, Vec<u8>)>,
}

impl FromRow for Sealed {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        let (current, created) = (row.next()?, row.next()?);
        let next: Option<Vec<u8>> = row.next()?;
        let at: Option<Timestamp> = row.next()?;
        Ok(Sealed { current, created, next: at.zip(next) })
    }
}

impl Default for Sealed {
    fn default() -> Self {
        Sealed { current: Vec::new(), created: Timestamp(0), next: None }
    }
}

impl Sealed {
    /// Since when the one that signs at this moment does, and from when on another will.
    pub fn state(&self, now: Timestamp) -> (Timestamp, Option<Timestamp>) {
        match &self.next {
            Some((from, _)) if *from <= now => (*from, None),
            Some((from, _)) => (self.created, Some(*from)),
            None => (self.created, None),
        }
    }
}

/// The keys of an account, sealed.
pub async fn of(rx: &mut Rx, scope: &Scope) -> Result<Sealed> {
    rx.maybe(
        sql!("SELECT sealed, created, next, next_at FROM signing_key WHERE root = $1 AND account = $2"),
        &[&scope.root, &scope.account],
    )
    .await?
    .ok_or(Error::NotFound(Noun::Key))
}

/// The keys of an account, open: what a call at any moment is signed with.
#[derive(Clone)]
pub struct Open {
    current: Vec<u8>,
    next: Option<(Timestamp, Vec<u8>)>,
}

impl Open {
    /// Opens what was sealed for this account.
    pub fn new(vault: &Vault, account: AccountId, sealed: &Sealed) -> Result<Self> {
        let open = |sealed: &[u8]| {
            let opened = vault.open(Place::SigningKey(account.0), sealed);
            opened.map_err(|_| Error::Internal("a signing key does not open".into()))
        };
        let next = sealed.next.as_ref().map(|(at, next)| Ok::<_, Error>((*at, open(next)?))).transpose()?;
        Ok(Open { current: open(&sealed.current)?, next })
    }

    /// What signs at this moment.
    pub fn at(&self, now: Timestamp) -> &[u8] {
        match &self.next {
            Some((from, next)) if *from <= now => next,
            _ => &self.current,
        }
    }
}

/// Asks for another key.
#[derive(Debug, Clone)]
pub struct Rotation {
    /// Whose.
    pub account: AccountId,
    /// From when on the new one signs.
    pub at: Timestamp,
    /// Seals it.
    pub vault: Vault,
}

/// Makes the next key, in place of one that was to come; its text is shown this once.
pub async fn rotate(tx: &mut Tx, rotation: &Rotation) -> Result<(Secret, Timestamp)> {
    let Rotation { account, at, vault } = rotation;
    let found = account::lock(tx, account).await?;
    if found.status == account::Status::Deleted {
        return Err(Error::NotFound(Noun::Account));
    }
    let (scope, now): (Scope, Timestamp) = (found.scope(), tx.now());
    if at.0 < now.0.saturating_sub(LATE_US) {
        return Err(Violation::new("at", Code::Invalid).into());
    }
    let at = (*at).max(now);
    // One whose moment has come is the current one, whether the sweep has been here or not.
    settle(tx, &scope).await?;
    let text = Secret::generate(tx, "", SIGNING_KEY_CHARS);
    let sealed = vault.seal(tx, Place::SigningKey(account.0), text.reveal().as_bytes());
    tx.put(
        sql!("UPDATE signing_key SET next = $3, next_at = $4 WHERE root = $1 AND account = $2"),
        &[&scope.root, &scope.account, &sealed, &at],
    )
    .await?;
    Ok((text, at))
}

/// Takes the next key back before its moment; the current one stays.
pub async fn cancel(tx: &mut Tx, account: &AccountId) -> Result<()> {
    let (scope, now): (Scope, Timestamp) = (account::lock(tx, account).await?.scope(), tx.now());
    let taken = tx
        .exec(
            sql!(
                "UPDATE signing_key SET next = NULL, next_at = NULL
                 WHERE root = $1 AND account = $2 AND next_at > $3"
            ),
            &[&scope.root, &scope.account, &now],
        )
        .await?;
    if taken == 1 { Ok(()) } else { Err(Error::NotFound(Noun::NextSigningKey)) }
}

async fn settle(tx: &mut Tx, scope: &Scope) -> Result<()> {
    let now: Timestamp = tx.now();
    tx.put(
        sql!(
            "UPDATE signing_key SET sealed = next, created = next_at, next = NULL, next_at = NULL
             WHERE root = $1 AND account = $2 AND next_at <= $3"
        ),
        &[&scope.root, &scope.account, &now],
    )
    .await?;
    Ok(())
}

/// Removes keys whose successors' moments have come; answers whether there may be more.
pub async fn finish(tx: &mut Tx, (): &()) -> Result<bool> {
    // All tenants: the sweep works for everybody.
    let now: Timestamp = tx.now();
    let over: Vec<(AccountId, AccountId)> = tx
        .all(
            sql!("SELECT root, account FROM signing_key WHERE next_at <= $1 ORDER BY root, account LIMIT $2"),
            &[&now, &FINISHED_MAX],
        )
        .await?;
    for (root, account) in &over {
        settle(tx, &Scope { root: *root, account: *account }).await?;
    }
    Ok(i64::try_from(over.len()).is_ok_and(|count| count == FINISHED_MAX))
}
