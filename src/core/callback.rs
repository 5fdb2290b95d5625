//! Callbacks: what customers' URLs are told, as an outbox and as the log of it.
//!
//! A callback is made in the unit that changes what it tells. Its lane is its account and the origin of its URL, so that one
//! slow party blocks only itself. It is sent at least once: each attempt is recorded after it, failed ones are repeated
//! on a published schedule. How it looks on the wire is rendered once, at the first attempt, and kept, so that repetitions
//! are the same bytes with fresh signatures.

use super::lease::{Holder, Lane};
use super::message::{self, Message, MessageId, Reason, Recipient, Status};
use super::words::words;
use super::{Error, Result, Scope, Timestamp, account, lease, smpp_outbox};
use sha2::{Digest, Sha256};
use store::{FromRow, Row, Rx, Tx, sql};
use url::Url;

store::id! {
    /// A callback's id.
    CallbackId
}

words! {
    /// What a callback tells.
    Kind {
        /// What has become of a message to one recipient.
        Status = "status",
        /// That a message was received.
        Inbound = "inbound",
    }
}

/// Seconds from a failed attempt to the next, before jitter (spec 11 section 1.2); after the last there is none.
pub const SCHEDULE: [i64; 9] = [1, 5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400];
/// Each wait is longer by up to this part of it, so that what failed together is not repeated together.
const JITTER_PERCENT: i64 = 20;
/// Callbacks that one unit reads or records.
pub const BATCH: i64 = 128;
/// While its account is suspended a callback is looked at again after this time.
const SUSPENDED_US: i64 = 5_000_000;

/// What a callback is about.
#[derive(Debug, Clone)]
pub struct About {
    /// The message.
    pub message: MessageId,
    /// The recipient, as it was then.
    pub recipient: Recipient,
}

/// The lane of an account's URL.
fn lane(scope: Scope, url: &str) -> Lane {
    if let Some(lane) = smpp_outbox::lane_of_url(scope, url) {
        return lane;
    }
    let origin = Url::parse(url).map(|url| url.origin().ascii_serialization()).unwrap_or_default();
    let hash = Sha256::new().chain_update(scope.account.0.to_be_bytes()).chain_update(origin).finalize();
    let mut lane = [0; 16];
    lane.copy_from_slice(&hash[..16]);
    // Never a carrier's: those begin with zeros.
    lane[0] |= 0x80;
    Lane(lane)
}

/// Makes a callback, due now.
pub async fn push(tx: &mut Tx, scope: Scope, kind: Kind, url: &str, about: &About) -> Result<()> {
    if kind == Kind::Status && !smpp_outbox::wants(url, about.recipient.status) {
        return Ok(());
    }
    let (id, now): (CallbackId, Timestamp) = (tx.id(), tx.now());
    let Recipient { msisdn, status, reason, error, changed, price } = &about.recipient;
    tx.put(
        sql!(
            "INSERT INTO callback (root, account, id, lane, kind, message, msisdn, status, reason, error, changed, price, url,
             due, open, attempts, log)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 0, '')"
        ),
        &[
            &scope.root,
            &scope.account,
            &id,
            &lane(scope, url).0,
            &kind,
            &about.message,
            msisdn,
            status,
            reason,
            error,
            changed,
            price,
            &url,
            &now,
            &true,
        ],
    )
    .await?;
    Ok(())
}

/// A callback that is due.
#[derive(Debug, Clone)]
pub struct Due {
    /// Its id.
    pub id: CallbackId,
    /// Whose.
    pub scope: Scope,
    /// What it tells.
    pub kind: Kind,
    /// About which message.
    pub message: MessageId,
    /// About which recipient, as it was then.
    pub recipient: Recipient,
    /// The customer's URL.
    pub url: String,
    /// Attempts so far.
    pub attempts: i64,
    /// What was sent at the first attempt.
    pub rendered: Option<String>,
}

impl FromRow for Due {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Due {
            id: row.next()?,
            scope: Scope { root: row.next()?, account: row.next()? },
            kind: row.next()?,
            message: row.next()?,
            recipient: Recipient {
                msisdn: row.next()?,
                status: row.next::<Status>()?,
                reason: row.next::<Option<Reason>>()?,
                error: row.next()?,
                changed: row.next()?,
                price: row.next()?,
            },
            url: row.next()?,
            attempts: row.next()?,
            rendered: row.next()?,
        })
    }
}

/// Lanes that have something due, after a lane; at most 64.
pub async fn due_lanes(rx: &mut Rx, after: &Lane) -> Result<Vec<Lane>> {
    // All tenants: lanes are everybody's. One step of the recursion finds the next lane in the index.
    let now: Timestamp = rx.now();
    let lanes: Vec<Vec<u8>> = rx
        .all(
            sql!(
                "WITH RECURSIVE next (lane) AS (
                     SELECT * FROM (SELECT lane FROM callback WHERE open AND lane > $1 ORDER BY lane LIMIT 1) first
                     UNION ALL
                     SELECT (SELECT c.lane FROM callback c WHERE c.open AND c.lane > next.lane ORDER BY c.lane LIMIT 1)
                     FROM next WHERE next.lane IS NOT NULL
                 )
                 SELECT lane FROM next WHERE lane IS NOT NULL AND EXISTS (
                     SELECT 1 FROM callback c WHERE c.open AND c.lane = next.lane AND c.due <= $2)
                 LIMIT 64"
            ),
            &[&after.0, &now],
        )
        .await?;
    let known = lanes.into_iter().map(|bytes| bytes.try_into().map(Lane));
    known
        .collect::<std::result::Result<_, _>>()
        .map_err(|_| Error::Internal("a lane of another length".into()))
}

/// What a lane's callbacks are sent with.
#[derive(Debug, Clone)]
pub struct Batch {
    /// What is due, in order.
    pub due: Vec<Due>,
    /// The messages of those that are not rendered yet, in the same order.
    pub messages: Vec<Option<Message>>,
    /// The account's signing key, sealed.
    pub signing_key: Vec<u8>,
    /// Whether the older signature is sent as well.
    pub legacy: bool,
}

/// Takes a lane and reads what is due in it; `None` if another process has the lane. What is due of a suspended account is
/// put off.
pub async fn take(tx: &mut Tx, (lane, holder): &(Lane, Holder)) -> Result<Option<Batch>> {
    // All tenants: a lane is one account's; its rows say whose.
    if !lease::take(tx, &(*lane, *holder)).await? {
        return Ok(None);
    }
    let now: Timestamp = tx.now();
    let due: Vec<Due> = tx
        .all(
            sql!(
                "SELECT id, root, account, kind, message, msisdn, status, reason, error, changed, price, url, attempts, target
                 FROM callback WHERE open AND lane = $1 AND due <= $2 ORDER BY due, id LIMIT $3"
            ),
            &[&lane.0, &now, &BATCH],
        )
        .await?;
    let Some(Due { scope, .. }) = due.first().cloned() else {
        return Ok(Some(Batch { due, messages: Vec::new(), signing_key: Vec::new(), legacy: false }));
    };
    let own = account::find(tx, &scope.account).await?.status;
    let partners = account::find(tx, &scope.root).await?.status;
    if [own, partners].contains(&account::Status::Suspended) {
        tx.put(
            sql!("UPDATE callback SET due = $3 WHERE open AND lane = $1 AND due <= $2"),
            &[&lane.0, &now, &now.0.saturating_add(SUSPENDED_US)],
        )
        .await?;
        return Ok(Some(Batch {
            due: Vec::new(),
            messages: Vec::new(),
            signing_key: Vec::new(),
            legacy: false,
        }));
    }
    let mut messages = Vec::with_capacity(due.len());
    for one in &due {
        messages.push(match one.rendered {
            Some(_) => None,
            // A message that its account deleted may be gone by now: nothing can be told of it any more.
            None => message::for_callback(tx, &scope, one.message).await?,
        });
    }
    let signing_key = account::signing_key(tx, &scope).await?;
    let legacy = super::terms::messaging(tx, &scope).await?.legacy_signature;
    Ok(Some(Batch { due, messages, signing_key, legacy }))
}

/// How callbacks look on the wire: given by whoever knows the vendor, so that nothing here does.
#[derive(Debug, Clone, Copy)]
pub struct Dialect {
    /// The URL to call, with all that is told in its query; `None` for one that cannot be called.
    pub render: fn(&Due, &Message) -> Option<String>,
    /// The headers that prove where a call comes from.
    pub sign: fn(&Signing<'_>) -> Vec<(&'static str, String)>,
}

/// What a signature is made of.
#[derive(Debug, Clone, Copy)]
pub struct Signing<'a> {
    /// The account's signing key.
    pub key: &'a [u8],
    /// Whether the older signature is wanted as well.
    pub legacy: bool,
    /// The URL, as it is called.
    pub url: &'a str,
    /// The body's bytes.
    pub body: &'a [u8],
    /// The moment of sending.
    pub now: Timestamp,
    /// Makes each token another one.
    pub chance: [u8; 16],
}

/// What came of an attempt.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Of which callback.
    pub callback: Due,
    /// What was sent, as the first attempt rendered it.
    pub rendered: String,
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub took_ms: i64,
    /// The status that was answered, or why there was none.
    pub answer: std::result::Result<u16, String>,
}

impl Attempt {
    /// Any 2xx is success (spec 11 section 1.2).
    pub fn is_done(&self) -> bool {
        self.answer.as_ref().is_ok_and(|status| (200..300).contains(status))
    }

    fn line(&self) -> String {
        let answer = self.answer.as_ref().map_or_else(|why| why.replace('\n', " "), u16::to_string);
        format!("{} {} {answer}\n", self.at.0, self.took_ms)
    }
}

/// Records attempts: done, to be repeated, or given up.
pub async fn attempted(tx: &mut Tx, attempts: &Vec<Attempt>) -> Result<()> {
    let now: Timestamp = tx.now();
    for attempt in attempts {
        let Due { id, scope, attempts: before, .. } = &attempt.callback;
        let wait = usize::try_from(*before).ok().and_then(|before| SCHEDULE.get(before)).copied();
        let again = wait.filter(|_| !attempt.is_done());
        let mut chance = [0; 8];
        tx.random(&mut chance);
        let jitter = i64::try_from(u64::from_be_bytes(chance) % 1_000).unwrap_or(0);
        let due = again.map_or(now.0, |seconds| {
            let wait_us = seconds * 1_000_000;
            now.0.saturating_add(wait_us + wait_us * JITTER_PERCENT * jitter / 100_000)
        });
        tx.put(
            sql!(
                "UPDATE callback SET attempts = attempts + 1, log = log || CAST($5 AS TEXT), target = $6, open = $7, due = $8
                 WHERE root = $1 AND account = $2 AND id = $3 AND open AND attempts = $4"
            ),
            &[
                &scope.root,
                &scope.account,
                id,
                before,
                &attempt.line(),
                &attempt.rendered,
                &again.is_some(),
                &due,
            ],
        )
        .await?;
    }
    Ok(())
}

/// The log is kept for this time after the last attempt.
const KEPT_US: i64 = 30 * 86_400 * 1_000_000;

/// Removes what is old and done; answers whether there may be more.
pub async fn forget(tx: &mut Tx, (): &()) -> Result<bool> {
    // All tenants: the sweep works for everybody, the oldest first.
    let now: Timestamp = tx.now();
    let gone = tx
        .exec(
            sql!(
                "DELETE FROM callback WHERE (root, account, id) IN (
                     SELECT root, account, id FROM callback WHERE NOT open AND due < $1 ORDER BY due LIMIT $2)"
            ),
            &[&now.0.saturating_sub(KEPT_US), &BATCH],
        )
        .await?;
    Ok(gone >= BATCH.unsigned_abs())
}
