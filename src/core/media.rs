//! Files that go with the messages of channels. They are kept for 30 days.

use super::{Error, Noun, Result, Scope, Timestamp};
use sha2::{Digest, Sha256};
use store::{FromRow, Row, Rx, Tx, sql};

/// Digits of an id.
const ID_DIGITS: usize = 15;
/// How long a file is kept.
const KEPT_US: i64 = 30 * 86_400 * 1_000_000;
/// Files that one unit forgets.
const FORGOTTEN_MAX: i64 = 32;

/// A file, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// Digits.
    pub id: String,
    /// Its media type.
    pub kind: String,
    /// The SHA-256 of its bytes.
    pub hash: Vec<u8>,
    /// How many there are.
    pub length: i64,
}

impl FromRow for Media {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Media { id: row.next()?, kind: row.next()?, hash: row.next()?, length: row.next()? })
    }
}

/// Asks to keep a file.
#[derive(Debug, Clone)]
pub struct New {
    /// Whose.
    pub scope: Scope,
    /// Of which channel.
    pub channel: String,
    /// Its media type.
    pub kind: String,
    /// The SHA-256 of its bytes, made before the unit: they may be many.
    pub hash: [u8; 32],
    /// Its bytes.
    pub content: Vec<u8>,
}

impl New {
    /// A file of a channel.
    pub fn of((scope, channel): (Scope, String), kind: String, content: Vec<u8>) -> New {
        New { scope, channel, kind, hash: Sha256::digest(&content).into(), content }
    }
}

/// Keeps a file and answers its id.
pub async fn store(tx: &mut Tx, new: &New) -> Result<String> {
    let now: Timestamp = tx.now();
    let mut bytes = [0; ID_DIGITS];
    tx.random(&mut bytes);
    let id: String = bytes.iter().map(|byte| char::from(b'0' + byte % 10)).collect();
    let length = i64::try_from(new.content.len()).unwrap_or(i64::MAX);
    let kept = tx
        .exec(
            sql!(
                "INSERT INTO channel_media (root, account, id, channel, kind, hash, length, content, created)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (root, account, id) DO NOTHING"
            ),
            &[
                &new.scope.root,
                &new.scope.account,
                &id,
                &new.channel,
                &new.kind,
                &new.hash,
                &length,
                &new.content,
                &now,
            ],
        )
        .await?;
    if kept == 0 { Err(Error::Unavailable("no free id was found; try again".into())) } else { Ok(id) }
}

/// A file of a channel.
pub async fn find(rx: &mut Rx, (scope, channel, id): &(Scope, String, String)) -> Result<Media> {
    rx.maybe(
        sql!(
            "SELECT id, kind, hash, length FROM channel_media WHERE root = $1 AND account = $2 AND id = $3 AND channel = $4"
        ),
        &[&scope.root, &scope.account, id, channel],
    )
    .await?
    .ok_or(Error::NotFound(Noun::Media))
}

/// The media type and bytes of a channel's file.
pub async fn content(
    rx: &mut Rx,
    (scope, channel, id): &(Scope, String, String),
) -> Result<(String, Vec<u8>)> {
    rx.maybe(
        sql!(
            "SELECT kind, content FROM channel_media WHERE root = $1 AND account = $2 AND id = $3 AND channel = $4"
        ),
        &[&scope.root, &scope.account, id, channel],
    )
    .await?
    .ok_or(Error::NotFound(Noun::Media))
}

/// Removes a channel's file.
pub async fn delete(tx: &mut Tx, (scope, channel, id): &(Scope, String, String)) -> Result<()> {
    let gone = tx
        .exec(
            sql!("DELETE FROM channel_media WHERE root = $1 AND account = $2 AND id = $3 AND channel = $4"),
            &[&scope.root, &scope.account, id, channel],
        )
        .await?;
    if gone == 0 { Err(Error::NotFound(Noun::Media)) } else { Ok(()) }
}

/// Removes an account's files that are older than it keeps texts; answers whether there may be more.
pub(super) async fn forget_before(tx: &mut Tx, scope: Scope, before: Timestamp) -> Result<bool> {
    let gone = tx
        .exec(
            sql!(
                "DELETE FROM channel_media WHERE root = $1 AND account = $2 AND id IN (SELECT id FROM channel_media
                     WHERE root = $1 AND account = $2 AND created < $3 ORDER BY created LIMIT $4)"
            ),
            &[&scope.root, &scope.account, &before, &FORGOTTEN_MAX],
        )
        .await?;
    Ok(gone >= FORGOTTEN_MAX.unsigned_abs())
}

/// Removes files that are old; answers whether there may be more.
pub async fn forget(tx: &mut Tx, (): &()) -> Result<bool> {
    // All tenants: the sweep works for everybody, the oldest first.
    let now: Timestamp = tx.now();
    let gone = tx
        .exec(
            sql!(
                "DELETE FROM channel_media WHERE (root, account, id) IN (
                     SELECT root, account, id FROM channel_media WHERE created < $1 ORDER BY created LIMIT $2)"
            ),
            &[&now.0.saturating_sub(KEPT_US), &FORGOTTEN_MAX],
        )
        .await?;
    Ok(gone >= FORGOTTEN_MAX.unsigned_abs())
}
