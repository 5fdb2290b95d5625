//! Transports: who carries channels. The simulated one lives in this process; another is an endpoint that speaks the
//! network's own API, with credentials of the operator's.

use super::secret::{self, Place, Secret, Vault};
use super::words::words;
use super::{Code, Error, Noun, Result, Violation};
use store::{FromRow, Row, Rx, Tx, sql};

/// A transport's number in this installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransportId(pub i64);
store::int!(TransportId);

words! {
    /// How a transport is spoken to.
    Kind {
        /// Not at all: it lives in this process.
        Simulated = "simulated",
        /// By HTTP, in the network's own API.
        Cloud = "cloud",
    }
}

/// A transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transport {
    /// Its number.
    pub id: TransportId,
    /// What the operator calls it.
    pub name: String,
    /// How it is spoken to.
    pub kind: Kind,
    /// Where its API begins.
    pub url: Option<String>,
    /// What it is called with, sealed.
    pub token: Option<Vec<u8>>,
    /// What its calls are signed with, sealed.
    pub app_secret: Option<Vec<u8>>,
    /// The hash of what it says when it asks for the first time.
    pub verify_token: Option<Vec<u8>>,
    /// Whether new channels are its.
    pub preferred: bool,
}

impl FromRow for Transport {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Transport {
            id: row.next()?,
            name: row.next()?,
            kind: row.next()?,
            url: row.next()?,
            token: row.next()?,
            app_secret: row.next()?,
            verify_token: row.next()?,
            preferred: row.next()?,
        })
    }
}

/// Where a transport's secret is kept.
pub fn place(name: &str, what: &str) -> Place {
    Place::Transport(secret::hash(&format!("{what}:{name}")))
}

const COLUMNS: &str = "id, name, kind, url, token, app_secret, verify_token, preferred";

/// All transports.
pub async fn all(rx: &mut Rx, (): &()) -> Result<Vec<Transport>> {
    Ok(rx.all(sql!("SELECT ", COLUMNS, " FROM transport ORDER BY id"), &[]).await?)
}

/// The transport with a name.
#[expect(clippy::ptr_arg, reason = "a read takes its question by reference")]
pub async fn by_name(rx: &mut Rx, name: &String) -> Result<Transport> {
    rx.maybe(sql!("SELECT ", COLUMNS, " FROM transport WHERE name = $1"), &[name])
        .await?
        .ok_or(Error::NotFound(Noun::Transport))
}

/// Who carries new channels.
pub async fn preferred(rx: &mut Rx) -> Result<TransportId> {
    rx.maybe(sql!("SELECT id FROM transport WHERE preferred ORDER BY id DESC LIMIT 1"), &[])
        .await?
        .ok_or(Error::NotFound(Noun::Transport))
}

/// Asks for a transport.
#[derive(Debug, Clone)]
pub struct New {
    /// What to call it.
    pub name: String,
    /// Where its API begins.
    pub url: String,
    /// What it is called with.
    pub token: Secret,
    /// What its calls are signed with.
    pub app_secret: Secret,
    /// What it says when it asks for the first time.
    pub verify_token: Secret,
    /// Whether new channels are its.
    pub preferred: bool,
    /// Seals the secrets.
    pub vault: Vault,
}

/// Adds a transport.
pub async fn add(tx: &mut Tx, new: &New) -> Result<TransportId> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if new.name.is_empty() || new.name.len() > 64 || !new.name.chars().all(fits) {
        return Err(Violation::new("name", Code::Invalid).into());
    }
    let last: i64 = tx.one(sql!("SELECT COALESCE(max(id), 0) FROM transport"), &[]).await?;
    let id = TransportId(last + 1);
    let token = new.vault.seal(tx, place(&new.name, "token"), new.token.reveal().as_bytes());
    let app_secret = new.vault.seal(tx, place(&new.name, "app"), new.app_secret.reveal().as_bytes());
    if new.preferred {
        tx.put(sql!("UPDATE transport SET preferred = $1"), &[&false]).await?;
    }
    let added = tx
        .exec(
            sql!(
                "INSERT INTO transport (id, name, kind, url, token, app_secret, verify_token, preferred)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING"
            ),
            &[
                &id,
                &new.name,
                &Kind::Cloud,
                &new.url,
                &token,
                &app_secret,
                &new.verify_token.hash(),
                &new.preferred,
            ],
        )
        .await?;
    if added == 0 { Err(Violation::new("name", Code::Taken).into()) } else { Ok(id) }
}

/// Removes a transport that carries no channel; the simulated one stays.
#[expect(clippy::ptr_arg, reason = "a unit takes its command by reference")]
pub async fn remove(tx: &mut Tx, name: &String) -> Result<()> {
    // All tenants: a transport is everybody's.
    let known = by_name(tx, name).await?;
    let gone = tx
        .exec(
            sql!(
                "DELETE FROM transport WHERE id = $1 AND kind <> 'simulated'
                 AND NOT EXISTS (SELECT 1 FROM channel c WHERE c.transport = $1)
                 AND NOT EXISTS (SELECT 1 FROM sharing s WHERE s.transport = $1 AND s.open)"
            ),
            &[&known.id],
        )
        .await?;
    if gone == 0 {
        return Err(Violation::new("name", Code::Taken).into());
    }
    tx.put(
        sql!(
            "UPDATE transport SET preferred = $1 WHERE id = 1 AND NOT EXISTS (SELECT 1 FROM transport t WHERE t.preferred)"
        ),
        &[&true],
    )
    .await?;
    Ok(())
}
