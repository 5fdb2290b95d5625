//! Files that go with the messages of channels. They are kept for 30 days.

use super::chat::{self, ChatId};
use super::event::Dialect;
use super::transport::TransportId;
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
        New { scope, channel, kind, hash: hash(&content), content }
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
            "SELECT id, kind, hash, length FROM channel_media WHERE root = $1 AND account = $2 AND id = $3 AND channel = $4
             AND wanted = 0"
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
            "SELECT kind, content FROM channel_media WHERE root = $1 AND account = $2 AND id = $3 AND channel = $4
             AND wanted = 0"
        ),
        &[&scope.root, &scope.account, id, channel],
    )
    .await?
    .ok_or(Error::NotFound(Noun::Media))
}

/// What the network calls a channel's file, if it was sent there before.
pub async fn reference(
    rx: &mut Rx,
    (scope, channel, id): &(Scope, String, String),
) -> Result<Option<String>> {
    rx.maybe(
        sql!("SELECT reference FROM channel_media WHERE root = $1 AND account = $2 AND id = $3 AND channel = $4"),
        &[&scope.root, &scope.account, id, channel],
    )
    .await?
    .ok_or(Error::NotFound(Noun::Media))
}

/// Notes what the network calls a file.
pub async fn named(tx: &mut Tx, (scope, id, reference): &(Scope, String, String)) -> Result<()> {
    tx.put(
        sql!("UPDATE channel_media SET reference = $4 WHERE root = $1 AND account = $2 AND id = $3"),
        &[&scope.root, &scope.account, id, reference],
    )
    .await?;
    Ok(())
}

/// Asks for a file that came in with a message.
pub(super) struct NewWanted<'a> {
    /// Whose.
    pub scope: Scope,
    /// Of which channel.
    pub channel: &'a str,
    /// Who has it.
    pub transport: TransportId,
    /// The message that is told when it is here.
    pub message: ChatId,
    /// What the network calls it; here as well.
    pub id: &'a str,
    /// Its media type.
    pub kind: &'a str,
}

/// Wants a file from now on; false if there is one with this id.
pub(super) async fn want(tx: &mut Tx, new: &NewWanted<'_>) -> Result<bool> {
    let now: Timestamp = tx.now();
    let wanted = tx
        .exec(
            sql!(
                "INSERT INTO channel_media (root, account, id, channel, kind, hash, length, content, created, wanted, transport,
                 message) VALUES ($1, $2, $3, $4, $5, $6, 0, $6, $7, $7, $8, $9)
                 ON CONFLICT (root, account, id) DO NOTHING"
            ),
            &[
                &new.scope.root,
                &new.scope.account,
                &new.id,
                &new.channel,
                &new.kind,
                &Vec::<u8>::new(),
                &now,
                &new.transport,
                &new.message,
            ],
        )
        .await?;
    Ok(wanted == 1)
}

/// A file that is still at a transport.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Whose.
    pub scope: Scope,
    /// Of which channel.
    pub channel: String,
    /// What the network calls it.
    pub id: String,
    /// The message that is told when it is here.
    pub message: ChatId,
}

impl FromRow for Wanted {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Wanted {
            scope: Scope { root: row.next()?, account: row.next()? },
            channel: row.next()?,
            id: row.next()?,
            message: row.next()?,
        })
    }
}

/// The next file that is to be fetched from a transport.
pub async fn wanted(rx: &mut Rx, transport: &TransportId) -> Result<Option<Wanted>> {
    // All tenants: a transport has everybody's.
    let now: Timestamp = rx.now();
    Ok(rx
        .maybe(
            sql!(
                "SELECT root, account, channel, id, message FROM channel_media
                 WHERE transport = $1 AND wanted > 0 AND wanted <= $2 ORDER BY wanted LIMIT 1"
            ),
            &[transport, &now],
        )
        .await?)
}

/// Seconds from a failed try to fetch a file to the next; after the last it is given up.
const SCHEDULE: [i64; 5] = [2, 10, 60, 300, 900];

/// What came of fetching a file.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Which.
    pub wanted: Wanted,
    /// Its media type and bytes, with their hash; `None` if it could not be fetched.
    pub file: Option<(String, [u8; 32], Vec<u8>)>,
    /// How its message is told.
    pub dialect: Dialect,
}

/// Keeps a file that was fetched and tells of its message; one that could not be fetched is tried again, and given up in
/// the end: then its message is told without.
pub async fn fetched(tx: &mut Tx, fetched: &Fetched) -> Result<()> {
    let Wanted { scope, channel, id, message } = &fetched.wanted;
    let now: Timestamp = tx.now();
    let done = if let Some((kind, hash, content)) = &fetched.file {
        let length = i64::try_from(content.len()).unwrap_or(i64::MAX);
        tx.exec(
            sql!(
                "UPDATE channel_media SET kind = $4, hash = $5, length = $6, content = $7, reference = id, wanted = 0
                 WHERE root = $1 AND account = $2 AND id = $3 AND wanted > 0"
            ),
            &[&scope.root, &scope.account, id, kind, hash, &length, content],
        )
        .await?
    } else {
        let tried: Option<i64> = tx
            .maybe(
                sql!(
                    "UPDATE channel_media SET attempts = attempts + 1
                     WHERE root = $1 AND account = $2 AND id = $3 AND wanted > 0 RETURNING attempts"
                ),
                &[&scope.root, &scope.account, id],
            )
            .await?;
        let Some(tried) = tried else { return Ok(()) };
        let wait = usize::try_from(tried - 1).ok().and_then(|tried| SCHEDULE.get(tried));
        if let Some(seconds) = wait {
            tx.put(
                sql!("UPDATE channel_media SET wanted = $4 WHERE root = $1 AND account = $2 AND id = $3"),
                &[&scope.root, &scope.account, id, &now.0.saturating_add(seconds * 1_000_000)],
            )
            .await?;
            return Ok(());
        }
        tx.exec(
            sql!("DELETE FROM channel_media WHERE root = $1 AND account = $2 AND id = $3 AND wanted > 0"),
            &[&scope.root, &scope.account, id],
        )
        .await?
    };
    if done == 1 {
        chat::tell(tx, &(*scope, channel.clone(), *message), fetched.dialect).await?;
    }
    Ok(())
}

/// The hash that is kept of a file.
pub fn hash(content: &[u8]) -> [u8; 32] {
    Sha256::digest(content).into()
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
