//! Sessions of people: a bearer token for what the person's role may do, until it ends, is given up or is made void.

use super::change::{self, Kind};
use super::key::{self, KeyId, NewKey, Role as Opens};
use super::person::{self, Person, PersonId, Role, SignIn};
use super::recovery_code;
use super::rights::Rights;
use super::second_factor::{self, Of, Proof, Try};
use super::secret::{Secret, Vault};
use super::{Error, Noun, Result, Scope, Timestamp, people};
use store::{FromRow, Row, Rx, Tx, sql};

/// How long a session lasts, in seconds: half a day.
pub const LASTS: i64 = 12 * 3_600;

/// Asks for a session of somebody whose password was proved.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Who.
    pub person: Person,
    /// The token's text.
    pub token: Secret,
    /// Of the second factor.
    pub code: Option<String>,
    /// From where.
    pub address: String,
    /// Opens the second factor's seed.
    pub vault: Vault,
}

/// A session that has begun.
#[derive(Debug, Clone)]
pub struct Begun {
    /// Its key.
    pub key: NewKey,
    /// When it ends.
    pub ends: Timestamp,
    /// What the person is.
    pub role: Role,
    /// How many recovery codes are left, if one was used up.
    pub codes_left: Option<i64>,
}

/// Begins a session, or says what the second factor lacks: that is counted, so it is no error.
pub async fn begin(tx: &mut Tx, asked: &Asked) -> Result<std::result::Result<Begun, Proof>> {
    let Asked { person, token, code, address, vault } = asked;
    people::may_come_in(tx, person).await?;
    let tried =
        Try { of: Of { scope: person.scope, person: person.id }, code: code.clone(), vault: vault.clone() };
    let codes_left = match second_factor::prove(tx, &tried, true).await? {
        Proof::Good => None,
        Proof::Recovered => Some(recovery_code::left(tx, &tried.of).await?),
        other => return Ok(Err(other)),
    };
    let sign_in = SignIn { person: person.clone(), token: token.clone(), opens: Opens::SignIn, lasts: LASTS };
    let key = person::issue(tx, &sign_in).await?;
    // The person's row is locked by now: what it may do is what it says, not what was read before.
    let role = person::find(tx, &(person.scope, person.id)).await?.role;
    tx.put(
        sql!("UPDATE access_key SET rights = $2, name = $3 WHERE id = $1"),
        &[&key.id, &Rights::of_role(role), address],
    )
    .await?;
    let now: Timestamp = tx.now();
    Ok(Ok(Begun { key, ends: Timestamp(now.0.saturating_add(LASTS * 1_000_000)), role, codes_left }))
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: KeyId,
    /// From where it began.
    pub address: String,
    /// When it began.
    pub created: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// When it was last used, to the minute.
    pub used: Option<Timestamp>,
}

impl FromRow for Session {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Session {
            id: row.next()?,
            address: row.next()?,
            created: row.next()?,
            expires: row.next()?,
            used: row.next()?,
        })
    }
}

/// The sessions of a person that still open something, oldest first.
pub async fn list(rx: &mut Rx, (scope, person): &(Scope, PersonId)) -> Result<Vec<Session>> {
    let now: Timestamp = rx.now();
    Ok(rx
        .all(
            sql!(
                "SELECT id, name, created, expires, used FROM access_key
                 WHERE account = $1 AND role = 'sign-in' AND subject = $2 AND revoked IS NULL AND expires > $3
                 ORDER BY id"
            ),
            &[&scope.account, &person.to_string(), &now],
        )
        .await?)
}

/// Ends one session of a person.
pub async fn end(tx: &mut Tx, (scope, person, id): &(Scope, PersonId, KeyId)) -> Result<()> {
    let now: Timestamp = tx.now();
    let ended = tx
        .exec(
            sql!(
                "UPDATE access_key SET revoked = $4 WHERE id = $1 AND account = $2 AND role = 'sign-in'
                 AND subject = $3 AND revoked IS NULL"
            ),
            &[id, &scope.account, &person.to_string(), &now],
        )
        .await?;
    if ended == 0 {
        return Err(Error::NotFound(Noun::Session));
    }
    change::raise(tx, Kind::Access).await
}

/// Ends all sessions of a person but one.
pub async fn end_others(tx: &mut Tx, (scope, person, keep): &(Scope, PersonId, Option<KeyId>)) -> Result<()> {
    let now: Timestamp = tx.now();
    tx.put(
        sql!(
            "UPDATE access_key SET revoked = $4 WHERE id IN (SELECT id FROM access_key
                 WHERE account = $1 AND role = 'sign-in' AND subject = $2 AND revoked IS NULL AND id <> $3
                 ORDER BY id FOR UPDATE)"
        ),
        &[&scope.account, &person.to_string(), &keep.unwrap_or(KeyId([0; 16])), &now],
    )
    .await?;
    change::raise(tx, Kind::Access).await
}

/// Has somebody choose another password, whose old one was proved to be `person`'s: if it is still that, and if the session
/// that asks is still good. Another one that was set meanwhile stays.
pub async fn change_password(tx: &mut Tx, (person, password, key): &(Person, String, KeyId)) -> Result<()> {
    people::may_come_in(tx, person).await?;
    let live: Option<KeyId> = tx
        .maybe(sql!("SELECT id FROM access_key WHERE id = $1 AND revoked IS NULL FOR UPDATE"), &[key])
        .await?;
    if live.is_none() {
        return Err(Error::Unauthenticated);
    }
    set_password(tx, &(person.scope, person.id, password.clone(), Some(*key))).await
}

/// Gives a person another password; all its sessions and tokens end but the one that it asks with.
pub async fn set_password(
    tx: &mut Tx,
    (scope, id, password, keep): &(Scope, PersonId, String, Option<KeyId>),
) -> Result<()> {
    let changed = tx
        .exec(
            sql!("UPDATE person SET password = $4 WHERE root = $1 AND account = $2 AND id = $3"),
            &[&scope.root, &scope.account, id, password],
        )
        .await?;
    if changed == 0 {
        return Err(Error::NotFound(Noun::Person));
    }
    key::revoke_of_person(tx, scope.account, &id.to_string(), *keep).await
}
