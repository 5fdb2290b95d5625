//! SMPP users: the names and passwords by which an account's own systems bind.
//!
//! A system id is unique among all accounts, since a bind names nothing else. Strict clients have eight characters for a
//! password, which is little enough to be guessed by whoever holds its hash; so what is stored is its SHA-256, sealed
//! under the master key. Making, changing and revoking one raises the `access` generation: every process learns of it
//! within a second, and unbinds.

use super::account::{self, AccountId, Status};
use super::change::{self, Kind};
use super::secret::{Place, Secret, Vault, alphanumeric, hash};
use super::{Code, Error, Noun, Result, Scope, Timestamp, Violation};
use std::sync::Arc;
use store::{Column, FromRow, Param, Row, Rx, Tx, Val, sql};
use subtle::ConstantTimeEq;

/// Characters of a password that is made: what strict clients have room for (SMPP 3.4 section 5.2.2).
const PASSWORD_CHARS: usize = 8;
/// A password that a customer brings along: what the field holds on lenient clients.
const IMPORTED_CHARS: std::ops::RangeInclusive<usize> = 6..=64;
/// Characters of a system id (SMPP 3.4 section 5.2.1).
const SYSTEM_ID_CHARS: std::ops::RangeInclusive<usize> = 1..=15;
/// Tries to find a free system id before giving up.
const TRIES: usize = 16;

/// Binds at once in one process, unless said otherwise.
pub const BINDS: i64 = 5;
/// Most binds that may be said.
pub const BINDS_MAX: i64 = 100;
/// Messages each way that one bind may have unanswered, unless said otherwise.
pub const WINDOW: i64 = 100;
/// Most of them that may be said.
pub const WINDOW_MAX: i64 = 1_000;
/// Most messages a second that may be said.
pub const THROUGHPUT_MAX: i64 = 10_000;

/// The name of an SMPP user: letters, digits, `.`, `_` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SystemId(String);

impl SystemId {
    /// Checks a name.
    pub fn parse(text: &str) -> std::result::Result<SystemId, Code> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if SYSTEM_ID_CHARS.contains(&text.len()) && text.bytes().all(fits) {
            Ok(SystemId(text.to_owned()))
        } else {
            Err(Code::Invalid)
        }
    }

    /// As it is bound with.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn place(&self) -> Place {
        Place::SmppPassword(hash(&self.0))
    }
}

impl std::fmt::Display for SystemId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Param for SystemId {
    fn val(&self) -> Val<'_> {
        Val::Text(&self.0)
    }
}

impl Column for SystemId {
    fn col(value: Val<'_>) -> std::result::Result<Self, store::Error> {
        String::col(value).map(SystemId)
    }
}

/// An SMPP user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub system_id: SystemId,
    /// Whose messages it sends and gets.
    pub scope: Scope,
    /// Whether what it sends is only answered, and neither sent, charged nor stored.
    pub is_test: bool,
    /// Binds at once in one process.
    pub binds: i64,
    /// Messages each way that one bind may have unanswered.
    pub window: i64,
    /// Messages a second that it may send, if that was said.
    pub throughput: Option<i64>,
    /// When it was made, or made again.
    pub created: Timestamp,
    /// When it stopped to work, if it did.
    pub revoked: Option<Timestamp>,
}

const COLUMNS: &str = "system_id, root, account, mode, binds, unanswered, throughput, created, revoked";

impl FromRow for User {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(User {
            system_id: row.next()?,
            scope: Scope { root: row.next()?, account: row.next()? },
            is_test: row.next::<String>()? == "test",
            binds: row.next()?,
            window: row.next()?,
            throughput: row.next()?,
            created: row.next()?,
            revoked: row.next()?,
        })
    }
}

impl User {
    /// The word for what it may do.
    pub fn mode(&self) -> &'static str {
        if self.is_test { "test" } else { "live" }
    }
}

/// Asks for a user.
#[derive(Debug, Clone)]
pub struct New {
    /// Whose messages it sends and gets.
    pub account: AccountId,
    /// Its name; `None` makes one of the account's number.
    pub system_id: Option<SystemId>,
    /// What a customer brings along; `None` makes one.
    pub password: Option<Secret>,
    /// See [`User::is_test`].
    pub is_test: bool,
    /// See [`User::binds`].
    pub binds: i64,
    /// See [`User::window`].
    pub window: i64,
    /// See [`User::throughput`].
    pub throughput: Option<i64>,
    /// Seals the password.
    pub vault: Vault,
}

/// Checks a password that a customer brings along: 6 to 64 printable ASCII characters without blanks.
pub fn imported_password(text: &str) -> std::result::Result<Secret, Code> {
    if IMPORTED_CHARS.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(Secret::new(text.to_owned()))
    } else {
        Err(Code::Invalid)
    }
}

fn check(new: &New) -> Result<()> {
    let limits = [
        ("binds", Some(new.binds), BINDS_MAX),
        ("window", Some(new.window), WINDOW_MAX),
        ("throughput", new.throughput, THROUGHPUT_MAX),
    ];
    let wrong =
        limits.iter().filter(|(_, value, most)| value.is_some_and(|value| !(1..=*most).contains(&value)));
    let wrong: Vec<Violation> =
        wrong.map(|(name, _, most)| Violation::new(name, Code::OutOfRange(1, *most))).collect();
    if wrong.is_empty() { Ok(()) } else { Err(Error::Invalid(wrong)) }
}

/// Makes a user, or one that was revoked anew with another password; answers it with the password's text. A name that
/// another account has, or that still works, is refused.
pub async fn create(tx: &mut Tx, new: &New) -> Result<(User, Secret)> {
    check(new)?;
    let owner = account::lock(tx, &new.account).await?;
    if owner.status == Status::Deleted {
        return Err(Error::NotFound(Noun::Account));
    }
    let password = new.password.clone().unwrap_or_else(|| Secret::generate(tx, "", PASSWORD_CHARS));
    let created = tx.now();
    for _ in 0..TRIES {
        let system_id = match &new.system_id {
            Some(system_id) => system_id.clone(),
            None => SystemId(format!("{}-{}", owner.id, alphanumeric(tx, 4))),
        };
        let user = User {
            system_id,
            scope: owner.scope(),
            is_test: new.is_test,
            binds: new.binds,
            window: new.window,
            throughput: new.throughput,
            created,
            revoked: None,
        };
        if insert(tx, &user, &password, &new.vault).await? {
            change::raise(tx, Kind::Access).await?;
            return Ok((user, password));
        }
        if new.system_id.is_some() {
            return Err(Violation::new("system-id", Code::Taken).into());
        }
    }
    Err(Error::Unavailable("no free system id was found; try again".into()))
}

async fn insert(tx: &mut Tx, user: &User, password: &Secret, vault: &Vault) -> Result<bool> {
    let sealed = vault.seal(tx, user.system_id.place(), &password.hash());
    let stored = tx
        .exec(
            sql!(
                "INSERT INTO smpp_user (system_id, root, account, sealed, mode, binds, unanswered, throughput, created)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
                 ON CONFLICT (system_id) DO UPDATE SET sealed = $4, mode = $5, binds = $6, unanswered = $7,
                     throughput = $8, created = $9, revoked = NULL
                 WHERE smpp_user.root = $2 AND smpp_user.account = $3 AND smpp_user.revoked IS NOT NULL"
            ),
            &[
                &user.system_id,
                &user.scope.root,
                &user.scope.account,
                &sealed,
                &user.mode(),
                &user.binds,
                &user.window,
                &user.throughput,
                &user.created,
            ],
        )
        .await?;
    Ok(stored == 1)
}

/// Makes a user void: it is unbound everywhere within a second. False if there is none that works.
pub async fn revoke(tx: &mut Tx, system_id: &SystemId) -> Result<bool> {
    let now: Timestamp = tx.now();
    let revoked = tx
        .exec(
            sql!("UPDATE smpp_user SET revoked = $2 WHERE system_id = $1 AND revoked IS NULL"),
            &[system_id, &now],
        )
        .await?;
    if revoked == 1 {
        change::raise(tx, Kind::Access).await?;
    }
    Ok(revoked == 1)
}

/// The users of an account, revoked ones included, by name.
pub async fn list(rx: &mut Rx, account: &AccountId) -> Result<Vec<User>> {
    Ok(rx
        .all(sql!("SELECT ", COLUMNS, " FROM smpp_user WHERE account = $1 ORDER BY system_id"), &[account])
        .await?)
}

/// How many users work.
pub async fn count(rx: &mut Rx, (): &()) -> Result<i64> {
    Ok(rx.one(sql!("SELECT CAST(count(*) AS BIGINT) FROM smpp_user WHERE revoked IS NULL"), &[]).await?)
}

/// A user as it stands: what a bind is judged by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The user.
    pub user: User,
    /// Whether the account and its partner may act.
    pub status: Status,
    sealed: Vec<u8>,
}

impl FromRow for Standing {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        let user = User::from_row(row)?;
        let sealed = row.next()?;
        let (own, above) = (row.next::<Option<Status>>()?, row.next::<Option<Status>>()?);
        let status = own.zip(above).map_or(Status::Deleted, |(own, above)| own.max(above));
        Ok(Standing { user, status, sealed })
    }
}

impl Standing {
    /// Whether this is its password.
    pub fn has_password(&self, vault: &Vault, password: &str) -> bool {
        vault
            .open(self.user.system_id.place(), &self.sealed)
            .is_ok_and(|stored| bool::from(stored.ct_eq(&hash(password))))
    }
}

/// A user by its name; none if it was revoked.
pub async fn standing(rx: &mut Rx, system_id: &SystemId) -> Result<Option<Standing>> {
    Ok(standings(rx, &Arc::from([system_id.clone()])).await?.pop().flatten())
}

/// The same of some, in their order.
pub async fn standings(rx: &mut Rx, system_ids: &Arc<[SystemId]>) -> Result<Vec<Option<Standing>>> {
    Ok(rx
        .maybe_each(
            sql!(
                "SELECT u.system_id, u.root, u.account, u.mode, u.binds, u.unanswered, u.throughput, u.created, u.revoked,
                 u.sealed, a.status, r.status
                 FROM smpp_user u LEFT JOIN account a ON a.id = u.account LEFT JOIN account r ON r.id = u.root
                 WHERE u.system_id = $1 AND u.revoked IS NULL"
            ),
            system_ids,
            |system_id| [system_id],
        )
        .await?)
}

/// Locks a user: what it sends in parts is decided on by one unit after the other, wherever it is bound.
pub(super) async fn lock(tx: &mut Tx, system_id: &SystemId) -> Result<()> {
    let _: Option<String> = tx
        .maybe(sql!("SELECT system_id FROM smpp_user WHERE system_id = $1 FOR UPDATE"), &[system_id])
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_id_fits_its_field() {
        for good in ["a", "Acme-1.x_", "123456789012345"] {
            assert_eq!(SystemId::parse(good).map(|id| id.0), Ok(good.to_owned()));
        }
        for bad in ["", "1234567890123456", "a b", "a?b", "a:b", "é"] {
            assert_eq!(SystemId::parse(bad), Err(Code::Invalid), "{bad}");
        }
    }
}
