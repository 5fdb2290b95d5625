//! Clients: a partner's children as it sees them, with what it knows of each beside the account.
//!
//! A client and a child account are the same account: whichever way it was made, it is found here.

use super::account::{self, Account, AccountId, ChildOf, NewChild};
use super::event::{self, About, Dialect, Kind};
use super::partner;
use super::secret::Vault;
use super::{Code, Error, Noun, Result, Scope, Timestamp, Violation};
use store::{FromRow, Row, Rx, Tx, sql};

/// How many channels a client may have, until its partner says otherwise.
pub const CHANNELS_MAX: i64 = 100;
/// Longest free text of a partner.
pub const PAYLOAD_MAX: usize = 4_096;
/// Clients that are looked through at once; more are refused rather than left out.
const LIST_MAX: i64 = 20_000;

/// Who a client is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// The company.
    pub organisation: Option<String>,
    /// Whom to ask for.
    pub contact_name: Option<String>,
    /// Their number.
    pub phone: Option<String>,
    /// Two letters.
    pub country: Option<String>,
}

/// A client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The child account.
    pub account: Account,
    /// Who they are.
    pub details: Details,
    /// The partner's own text.
    pub payload: Option<String>,
    /// How many channels it may have.
    pub channels_max: i64,
    /// When it was last changed.
    pub modified: Timestamp,
}

pub(super) const COLUMNS: &str =
    "a.id, a.root, a.name, a.email, a.currency, a.status, a.invoice_aggregation, a.created,
    c.organisation, c.contact_name, c.phone, c.country, c.payload, c.channels_max, c.modified, a.updated";
const FROM: &str = " FROM account a LEFT JOIN client c ON c.root = a.root AND c.account = a.id
    WHERE a.root = $1 AND a.id <> a.root AND a.status <> 'deleted'";

impl FromRow for Client {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        let account = Account {
            id: row.next()?,
            root: row.next()?,
            name: row.next()?,
            email: row.next()?,
            currency: row.next()?,
            status: row.next()?,
            invoice_aggregation: row.next()?,
            created: row.next()?,
        };
        let details = Details {
            organisation: row.next()?,
            contact_name: row.next()?,
            phone: row.next()?,
            country: row.next()?,
        };
        let payload = row.next()?;
        let channels_max: Option<i64> = row.next()?;
        let modified: Option<Timestamp> = row.next()?;
        let updated: Timestamp = row.next()?;
        Ok(Client {
            account,
            details,
            payload,
            channels_max: channels_max.unwrap_or(CHANNELS_MAX),
            modified: modified.map_or(updated, |modified| modified.max(updated)),
        })
    }
}

/// A partner's client.
pub async fn find(rx: &mut Rx, of: &ChildOf) -> Result<Client> {
    rx.maybe(sql!("SELECT ", COLUMNS, FROM, " AND a.id = $2"), &[&of.partner, &of.child])
        .await?
        .ok_or(Error::NotFound(Noun::Client))
}

/// All clients of a partner.
pub async fn list(rx: &mut Rx, partner: &AccountId) -> Result<Vec<Client>> {
    let clients: Vec<Client> =
        rx.all(sql!("SELECT ", COLUMNS, FROM, " ORDER BY a.id LIMIT $2"), &[partner, &LIST_MAX]).await?;
    too_many(clients)
}

/// Says so rather than leave something out.
pub(super) fn too_many<T>(found: Vec<T>) -> Result<Vec<T>> {
    if i64::try_from(found.len()).unwrap_or(i64::MAX) >= LIST_MAX {
        return Err(Violation::new("filters", Code::TooBroad).into());
    }
    Ok(found)
}

/// Asks for a client.
#[derive(Debug, Clone)]
pub struct NewClient {
    /// Whose.
    pub partner: AccountId,
    /// Its name.
    pub name: String,
    /// In lower case.
    pub email: String,
    /// Who they are.
    pub details: Details,
    /// The partner's own text.
    pub payload: Option<String>,
    /// Seals its signing key.
    pub vault: Vault,
    /// How what happens is told.
    pub dialect: Dialect,
}

/// Makes a client, unless one has signed up with this address: then that one is answered, and `false`. All or nothing, and
/// the same however often it is asked for.
pub async fn create(tx: &mut Tx, new: &NewClient) -> Result<(Client, bool)> {
    // The partner's row is locked here and below: of requests for the same address one goes first.
    account::lock(tx, &new.partner).await?;
    let by_email = partner::rules(tx, &new.partner).await?.clients_by_email;
    if by_email && let Some(known) = signed_up(tx, new).await? {
        return Ok((known, false));
    }
    let child = NewChild {
        partner: new.partner,
        name: Some(new.name.clone()),
        email: new.email.clone(),
        vault: new.vault.clone(),
    };
    let made = account::create_child(tx, &child).await?.account;
    let now: Timestamp = tx.now();
    let details = &new.details;
    tx.put(
        sql!(
            "INSERT INTO client (root, account, sign_up, organisation, contact_name, phone, country, payload, channels_max,
             modified) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
        ),
        &[
            &made.root,
            &made.id,
            &by_email.then_some(&new.email),
            &details.organisation,
            &details.contact_name,
            &details.phone,
            &details.country,
            &new.payload,
            &CHANNELS_MAX,
            &now,
        ],
    )
    .await?;
    let client = find(tx, &ChildOf { partner: made.root, child: made.id }).await?;
    event::tell_partner(tx, made.root, Kind::ClientCreated, &About::Client(&client), new.dialect).await?;
    Ok((client, true))
}

/// The client that has signed up with an address. The address of a deleted one is free again.
async fn signed_up(tx: &mut Tx, new: &NewClient) -> Result<Option<Client>> {
    let known: Option<AccountId> = tx
        .maybe(
            sql!("SELECT account FROM client WHERE root = $1 AND sign_up = $2"),
            &[&new.partner, &new.email],
        )
        .await?;
    let Some(child) = known else { return Ok(None) };
    match find(tx, &ChildOf { partner: new.partner, child }).await {
        Ok(client) => Ok(Some(client)),
        Err(Error::NotFound(_)) => {
            tx.put(
                sql!("UPDATE client SET sign_up = NULL WHERE root = $1 AND account = $2"),
                &[&new.partner, &child],
            )
            .await?;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Changes what a partner says of a client; `None` leaves as it is.
#[derive(Debug, Clone)]
pub struct Patch {
    /// Which.
    pub client: ChildOf,
    /// See [`Client::payload`].
    pub payload: Option<String>,
    /// See [`Client::channels_max`].
    pub channels_max: Option<i64>,
}

/// Changes a client and answers it whole.
pub async fn update(tx: &mut Tx, patch: &Patch) -> Result<Client> {
    // How many channels it may have is read behind this lock.
    account::lock(tx, &patch.client.child).await.map_err(|error| match error {
        Error::NotFound(_) => Error::NotFound(Noun::Client),
        other => other,
    })?;
    let before = find(tx, &patch.client).await?;
    if patch.payload.is_none() && patch.channels_max.is_none() {
        return Ok(before);
    }
    let now: Timestamp = tx.now();
    tx.put(
        sql!(
            "INSERT INTO client (root, account, payload, channels_max, modified) VALUES ($1, $2, CAST($3 AS TEXT),
             COALESCE(CAST($4 AS BIGINT), $5), $6)
             ON CONFLICT (root, account) DO UPDATE SET payload = COALESCE(CAST($3 AS TEXT), client.payload),
             channels_max = COALESCE(CAST($4 AS BIGINT), client.channels_max), modified = $6"
        ),
        &[&patch.client.partner, &patch.client.child, &patch.payload, &patch.channels_max, &CHANNELS_MAX, &now],
    )
    .await?;
    find(tx, &patch.client).await
}

/// The data of a client.
pub fn scope(client: &ChildOf) -> Scope {
    Scope { root: client.partner, account: client.child }
}
