//! Business accounts: what a client has at the network that its channels and templates belong to.

use super::account::AccountId;
use super::secret;
use super::{Error, Noun, Result, Scope, Timestamp};
use store::{FromRow, Row, Rx, Tx, sql};

/// Random characters of an id, before its ending (spec 30 section 1.1).
pub(super) const ID_CHARS: usize = 6;
/// Tries to find a free id; there are 5.7 × 10¹⁰.
pub(super) const ID_TRIES: usize = 4;

/// A business account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Business {
    /// Its id here.
    pub id: String,
    /// Whose.
    pub scope: Scope,
    /// Its id at the network.
    pub external: String,
    /// The network's id of the company behind it.
    pub owner: Option<String>,
    /// Its name.
    pub name: String,
    /// Under which its templates stand.
    pub namespace: String,
    /// Where its channels' messages go that name no URL of their own.
    pub webhook_url: Option<String>,
    /// When it was made here.
    pub created: Timestamp,
    /// When it was last changed.
    pub modified: Timestamp,
}

pub(super) const COLUMNS: &str =
    "b.id, b.root, b.account, b.external, b.owner, b.name, b.namespace, b.webhook_url, b.created, b.modified";

impl FromRow for Business {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Business {
            id: row.next()?,
            scope: Scope { root: row.next()?, account: row.next()? },
            external: row.next()?,
            owner: row.next()?,
            name: row.next()?,
            namespace: row.next()?,
            webhook_url: row.next()?,
            created: row.next()?,
            modified: row.next()?,
        })
    }
}

/// A partner's business account with an id; one of a deleted client is not found.
pub async fn find(rx: &mut Rx, (partner, id): &(AccountId, String)) -> Result<Business> {
    rx.maybe(
        sql!(
            "SELECT ",
            COLUMNS,
            " FROM business b JOIN account a ON a.id = b.account WHERE b.root = $1 AND b.id = $2 AND a.status <> 'deleted'"
        ),
        &[partner, id],
    )
    .await?
    .ok_or(Error::NotFound(Noun::Business))
}

/// Asks for a business account.
#[derive(Debug, Clone)]
pub(super) struct New<'a> {
    /// Whose.
    pub scope: Scope,
    /// Its id at the network.
    pub external: &'a str,
    /// The network's id of the company behind it.
    pub owner: Option<&'a str>,
    /// Its name.
    pub name: &'a str,
}

/// Makes a business account, or answers the one that has this id at the network.
pub(super) async fn ensure(tx: &mut Tx, new: &New<'_>) -> Result<Business> {
    let now: Timestamp = tx.now();
    for _ in 0..ID_TRIES {
        let id = secret::alphanumeric(tx, ID_CHARS);
        let mut bytes = [0; 16];
        tx.random(&mut bytes);
        let hex = secret::hex(&bytes);
        let namespace =
            format!("{}_{}_{}_{}_{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
        tx.put(
            sql!(
                "INSERT INTO business (root, id, account, external, owner, name, namespace, status, created, modified)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, 'approved', $8, $8) ON CONFLICT DO NOTHING"
            ),
            &[&new.scope.root, &id, &new.scope.account, &new.external, &new.owner, &new.name, &namespace, &now],
        )
        .await?;
        let known = tx
            .maybe(
                sql!("SELECT ", COLUMNS, " FROM business b WHERE b.root = $1 AND b.external = $2 FOR UPDATE"),
                &[&new.scope.root, &new.external],
            )
            .await?;
        if let Some(known) = known {
            return Ok(known);
        }
    }
    Err(Error::Unavailable("no free id was found; try again".into()))
}

/// The client that has shared a business account of this company.
pub(super) async fn owned_by(tx: &mut Tx, partner: AccountId, owner: &str) -> Result<AccountId> {
    tx.maybe(
        sql!(
            "SELECT b.account FROM business b JOIN account a ON a.id = b.account
             WHERE b.root = $1 AND b.owner = $2 AND a.status <> 'deleted' ORDER BY b.created, b.id LIMIT 1"
        ),
        &[&partner, &owner],
    )
    .await?
    .ok_or(Error::NotFound(Noun::Client))
}
