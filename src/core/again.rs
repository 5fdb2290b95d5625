//! Texts of phones that a carrier brings once more, since it never heard that they arrived: its connection broke with the
//! acknowledgement on the way.
//!
//! SMPP has no name for what a phone wrote, so a text is known by all that it says. The same may well be written twice; it
//! is taken for the same only where a carrier has reason to repeat itself: over a new connection, and if the first one came
//! shortly before the connection ended that was there until then.

use super::carrier::CarrierId;
use super::fragment::{self, Fragment};
use super::inbound::{self, Inbound, Taken};
use super::secret::hex;
use super::{Result, Timestamp};
use sha2::{Digest, Sha256};
use store::{Tx, sql};

/// An acknowledgement that was given so long before the end of a connection has arrived.
const ARRIVES_US: i64 = 30 * 1_000_000;
/// When a connection of another process ended nobody knows: it was not longer ago than this.
const UNKNOWN_US: i64 = 300 * 1_000_000;
/// After so long on a new connection nothing is brought again.
const AGAIN_US: i64 = 600 * 1_000_000;

/// What a phone wrote.
#[derive(Debug, Clone)]
pub enum Text {
    /// All of it.
    Whole(Inbound),
    /// A part.
    Part(Box<Fragment>),
}

/// A connection to a carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// Since when it is there.
    pub since: Timestamp,
    /// When the one before it ended, if that is known.
    pub before: Option<Timestamp>,
}

/// A text with how it came.
#[derive(Debug, Clone)]
pub struct Brought {
    /// The text.
    pub text: Text,
    /// By which carrier.
    pub carrier: CarrierId,
    /// What it is known by: [`key`].
    pub key: String,
    /// Over which connection.
    pub over: Connection,
}

/// What a text is known by: a hash of all that it says.
pub fn key(said: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for field in said {
        hash.update(u64::try_from(field.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(field);
    }
    format!("={}", hex(&hash.finalize()))
}

/// Takes a text, unless it is one that was brought before; what became of it, or none for a part of one that is not whole.
pub async fn take(tx: &mut Tx, brought: &Brought) -> Result<Option<Taken>> {
    if is_again(tx, brought).await? {
        return Ok(Some(Taken::Repeated));
    }
    match &brought.text {
        Text::Whole(text) => inbound::receive(tx, text).await.map(Some),
        Text::Part(part) => fragment::gather(tx, part).await,
    }
}

/// Whether a text was brought before, and notes that it is now.
async fn is_again(tx: &mut Tx, brought: &Brought) -> Result<bool> {
    let Brought { carrier, key, over, .. } = brought;
    let now: Timestamp = tx.now();
    let last: Option<i64> = tx
        .maybe(
            sql!("SELECT brought FROM brought WHERE carrier = $1 AND reference = $2 FOR UPDATE"),
            &[carrier, key],
        )
        .await?;
    tx.put(
        sql!(
            "INSERT INTO brought (carrier, reference, brought) VALUES ($1, $2, $3)
             ON CONFLICT (carrier, reference) DO UPDATE SET brought = $3"
        ),
        &[carrier, key, &now],
    )
    .await?;
    let since = over.since.0;
    let from = over.before.map_or(since.saturating_sub(UNKNOWN_US), |end| end.0.saturating_sub(ARRIVES_US));
    let may_repeat = now.0 <= since.saturating_add(AGAIN_US);
    Ok(may_repeat && last.is_some_and(|last| (from..since).contains(&last)))
}
