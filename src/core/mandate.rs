//! On whose behalf a unit runs, and what that one may do at this moment.
//!
//! A request is let in by what its key could do when it was looked up, possibly a second ago. What hands out rights, keys or
//! people judges anew in its unit, by the key's row as it is then, locked: somebody who loses a right while a request is under
//! way hands out nothing with it any more. Rows are locked in one order: the account, the person, then keys by their ids.

use super::api_key::Patch;
use super::key::{KeyId, Role, networks};
use super::person::PersonId;
use super::rights::{Right, Rights};
use super::{Error, Result, Scope, Timestamp};
use ipnet::IpNet;
use store::{FromRow, Row, Tx, sql};

/// On whose behalf a unit runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mandate {
    /// Whose key it is; the operator's is account 0.
    pub from: Scope,
    /// The key, or that of a session.
    pub key: KeyId,
}

/// What whoever asks has itself, and so may hand out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Own {
    key: KeyId,
    /// What it may do.
    pub rights: Rights,
    /// From where it opens; empty for everywhere.
    pub networks: Vec<IpNet>,
    /// When what it hands out ends at the latest. A person's session is no bound.
    pub expires: Option<Timestamp>,
    works: bool,
}

impl FromRow for Own {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        let (key, role): (_, Role) = (row.next()?, row.next()?);
        Ok(Own {
            key,
            rights: row.next::<Option<Rights>>()?.unwrap_or(Rights::ALL),
            networks: networks(row.next::<Option<String>>()?.as_deref())?,
            expires: row.next::<Option<Timestamp>>()?.filter(|_| role != Role::SignIn),
            works: row.next()?,
        })
    }
}

/// The first parameter is the present moment.
const KEYS: &str =
    "SELECT id, role, rights, networks, expires, revoked IS NULL AND (expires IS NULL OR expires > $1)
     FROM access_key";

impl Mandate {
    /// What it has now. Its key is locked, and so is the one that the unit is about.
    pub(super) async fn own(&self, tx: &mut Tx, about: Option<KeyId>) -> Result<Own> {
        let now: Timestamp = tx.now();
        let found = tx
            .all(
                // All tenants: a key is found by its id, and says whose it is.
                sql!(KEYS, " WHERE id = $2 OR id = $3 ORDER BY id FOR UPDATE"),
                &[&now, &self.key, &about.unwrap_or(self.key)],
            )
            .await?;
        self.found(found)
    }

    /// What it may do now. Its key is locked, and so is everything that a person has signed in with.
    pub(super) async fn rights(&self, tx: &mut Tx, scope: Scope, person: Option<PersonId>) -> Result<Rights> {
        let now: Timestamp = tx.now();
        let subject = person.map(|person| person.to_string());
        let found = tx
            .all(
                sql!(
                    KEYS,
                    " WHERE id = $2 OR (account = $3 AND subject = CAST($4 AS TEXT) AND revoked IS NULL)
                     ORDER BY id FOR UPDATE"
                ),
                &[&now, &self.key, &scope.account, &subject],
            )
            .await?;
        Ok(self.found(found)?.rights)
    }

    fn found(&self, keys: Vec<Own>) -> Result<Own> {
        keys.into_iter().find(|own| own.key == self.key && own.works).ok_or(Error::Unauthenticated)
    }
}

impl Own {
    /// When something ends that is to end then, or never.
    pub(super) fn ends(&self, ends: Option<Timestamp>) -> Option<Timestamp> {
        self.expires.map_or(ends, |own| Some(ends.map_or(own, |ends| ends.min(own))))
    }

    fn has(&self, networks: &[IpNet]) -> bool {
        let is_within = |network: &IpNet| self.networks.iter().any(|own| own.contains(network));
        self.networks.is_empty() || (!networks.is_empty() && networks.iter().all(is_within))
    }

    /// Insists on a right, which it had when the request came.
    pub(super) fn need(&self, right: Right) -> Result<()> {
        if self.rights.allows(right) { Ok(()) } else { Err(Error::Forbidden) }
    }

    /// Insists on having these rights.
    pub(super) fn covers(&self, rights: Rights) -> Result<()> {
        if self.rights.covers(rights) { Ok(()) } else { Err(Error::Forbidden) }
    }

    /// Bounds what is said about a key, which `is_new` or not: it may do no more than its maker's, ends no later, and opens
    /// from nowhere else.
    pub(super) fn bound(&self, patch: &mut Patch, is_new: bool) -> Result<()> {
        if is_new {
            patch.rights.get_or_insert(self.rights);
            patch.networks.get_or_insert_with(|| self.networks.clone());
        }
        if is_new || patch.expires.is_some() {
            patch.expires = Some(self.ends(patch.expires.flatten()));
        }
        patch.rights.map_or(Ok(()), |rights| self.covers(rights))?;
        if patch.networks.as_ref().is_none_or(|networks| self.has(networks)) {
            Ok(())
        } else {
            Err(Error::Forbidden)
        }
    }
}
