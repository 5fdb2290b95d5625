//! Callbacks: what customers' URLs are told, as an outbox and as the log of it.
//!
//! A callback is made in the unit that changes what it tells. Its lane is its account and the origin of its URL, so that one
//! slow party blocks only itself. It is sent at least once: each attempt is recorded after it, failed ones are repeated
//! on a published schedule. How it looks on the wire is rendered once, at the first attempt, and kept, so that repetitions
//! are the same bytes with fresh signatures.

use super::endpoint::{self, Standing};
use super::lease::Lane;
use super::message::{self, Message, MessageId, Reason, Recipient, Status};
use super::network::Networks;
use super::rendered::Rendered;
use super::signing_key::Sealed;
use super::terms::Messaging;
use super::words::words;
use super::{Noun, Result, Scope, Timestamp, alert, callback_log, event, smpp_outbox};
use sha2::{Digest, Sha256};
use store::{FromRow, Row, Rx, Tx, sql};

store::id! {
    /// A callback's id.
    CallbackId
}

words! {
    /// What a callback tells.
    Kind {
        /// What has become of a message to one recipient.
        Status = "status",
        /// That a message was received, by a GET request.
        Inbound = "inbound",
        /// The same by a form.
        InboundForm = "inbound form",
        /// The same by JSON.
        InboundJson = "inbound json",
        /// Something with a body of its own, which stands with the event.
        Event = "event",
        /// That a threshold was crossed.
        Alert = "alert",
    }
}

/// Seconds from a failed attempt to the next, before jitter (spec 11 section 1.2); after the last there is none.
pub const SCHEDULE: [i64; 9] = [1, 5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400];
/// The same for events (docs/spec/32-360-webhooks-onboarding.md section 1): hourly at the end, for a day.
pub const EVENT_SCHEDULE: [i64; 28] = [
    10, 30, 60, 300, 900, 3_600, 3_600, 3_600, 3_600, 3_600, 3_600, 3_600, 3_600, 3_600, 3_600, 3_600, 3_600,
    3_600, 3_600, 3_600, 3_600, 3_600, 3_600, 3_600, 3_600, 3_600, 3_600, 3_600,
];
/// Each wait is longer by up to this part of it, so that what failed together is not repeated together.
const JITTER_PERCENT: i64 = 20;
/// Callbacks that are read at once, and recorded at most by one unit.
pub const BATCH: i64 = 128;
/// What a callback is about.
#[derive(Debug, Clone)]
pub struct About {
    /// The message.
    pub message: MessageId,
    /// The recipient, as it was then.
    pub recipient: Recipient,
}

/// The lane of an account's URL: its first half is the account's, so that an account's lanes stand together.
pub(super) fn lane(scope: Scope, url: &str) -> Lane {
    if let Some(lane) = smpp_outbox::lane_of_url(scope, url) {
        return lane;
    }
    let account = scope.account.0.to_be_bytes();
    let own = Sha256::digest(account);
    let hash = Sha256::new().chain_update(account).chain_update(endpoint::origin(url)).finalize();
    let mut lane = [0; 16];
    lane[..8].copy_from_slice(&own[..8]);
    lane[8..].copy_from_slice(&hash[..8]);
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

/// Makes a callback about no message, whose bytes are known: a test.
pub async fn push_rendered(
    tx: &mut Tx,
    (scope, url, rendered): &(Scope, String, Rendered),
) -> Result<CallbackId> {
    let (id, now): (CallbackId, Timestamp) = (tx.id(), tx.now());
    tx.put(
        sql!(
            "INSERT INTO callback (root, account, id, lane, kind, message, msisdn, status, changed, price, url, due, open,
             attempts, log, target)
             VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8, 0, $9, $8, $10, 0, '', $11)"
        ),
        &[
            &scope.root,
            &scope.account,
            &id,
            &lane(*scope, url).0,
            &Kind::Status,
            &MessageId([0; 16]),
            &Status::Delivered,
            &now,
            url,
            &true,
            &rendered.text(),
        ],
    )
    .await?;
    Ok(id)
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
    /// What was sent at the first attempt, as [`Rendered::text`] has it.
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

/// A lane that has something open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Which.
    pub lane: Lane,
    /// Whether something of it may be sent now.
    pub is_due: bool,
}

impl FromRow for Seen {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Seen { lane: Lane(row.next()?), is_due: row.next()? })
    }
}

/// Lanes that one read looks at.
pub const SEEN: i64 = 128;

/// The next [`SEEN`] lanes that have something open, after a lane, in their order.
pub async fn open_lanes(rx: &mut Rx, after: &Lane) -> Result<Vec<Seen>> {
    // All tenants: lanes are everybody's. One step of the recursion finds the next lane in the index.
    let now: Timestamp = rx.now();
    Ok(rx
        .all(
            sql!(
                "WITH RECURSIVE next (lane, step) AS (
                     SELECT lane, 1 FROM (SELECT lane FROM callback WHERE open AND lane > $1 ORDER BY lane LIMIT 1) first
                     UNION ALL
                     SELECT (SELECT c.lane FROM callback c WHERE c.open AND c.lane > next.lane ORDER BY c.lane LIMIT 1), step + 1
                     FROM next WHERE next.lane IS NOT NULL AND step < $3
                 )
                 SELECT lane,
                     EXISTS (SELECT 1 FROM callback c WHERE c.open AND c.lane = next.lane AND c.due <= $2)
                     AND NOT EXISTS (SELECT 1 FROM endpoint e WHERE e.lane = next.lane AND e.probe > $2)
                 FROM next WHERE lane IS NOT NULL ORDER BY lane"
            ),
            &[&after.0, &now, &SEEN],
        )
        .await?)
}

/// What a lane's callbacks are sent with.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// What is due, in order.
    pub due: Vec<Due>,
    /// The messages that they are about, in the same order: none if it is gone, or if there never was one.
    pub messages: Vec<Option<Message>>,
    /// What those that are events carry, in the same order.
    pub events: Vec<Option<event::Outgoing>>,
    /// The account's signing keys, sealed.
    pub signing_key: Sealed,
    /// Whether the older signature is sent as well.
    pub legacy: bool,
    /// The account's own, an IANA name.
    pub time_zone: String,
    /// How the lane's endpoint stands.
    pub standing: Standing,
    /// Whether the account is suspended: what is due waits until it is not.
    pub is_suspended: bool,
}

/// What is due, its message, and how the endpoint stands.
struct Found {
    due: Due,
    message: Option<Message>,
    standing: Standing,
}

impl FromRow for Found {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        let due = Due::from_row(row)?;
        let (fails, probe) = (row.next()?, row.next()?);
        // One that its account deleted may be gone by now: nothing can be told of it any more.
        let has_message: bool = row.next()?;
        let message = has_message.then(|| Message::from_row(row)).transpose()?;
        if message.is_none() {
            row.skip_rest();
        }
        Ok(Found { due, message, standing: Standing { fails, probe } })
    }
}

/// What the callbacks of an account are sent with.
struct Sender {
    signing_key: Sealed,
    legacy: Option<bool>,
    time_zone: Option<String>,
    is_suspended: bool,
}

impl FromRow for Sender {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Sender {
            signing_key: Sealed::from_row(row)?,
            legacy: row.next()?,
            time_zone: row.next()?,
            is_suspended: row.next()?,
        })
    }
}

/// What is due in a lane: for whoever has its lease. Two statements, and those about events.
pub async fn batch(rx: &mut Rx, lane: &Lane) -> Result<Batch> {
    // All tenants: a lane is one account's; its rows say whose.
    let now: Timestamp = rx.now();
    let mut found: Vec<Found> = rx
        .all(
            sql!(
                "SELECT c.id, c.root, c.account, c.kind, c.message, c.msisdn, c.status, c.reason, c.error, c.changed, c.price,
                 c.url, c.attempts, c.target, e.lane IS NOT NULL, e.probe, m.id IS NOT NULL, ",
                message::COLUMNS,
                " FROM callback c LEFT JOIN endpoint e ON e.lane = c.lane
                 LEFT JOIN message m ON m.root = c.root AND m.account = c.account AND m.id = c.message
                 WHERE c.open AND c.lane = $1 AND c.due <= $2 ORDER BY c.due, c.id LIMIT $3"
            ),
            &[&lane.0, &now, &BATCH],
        )
        .await?;
    let Some(Found { due: Due { scope, .. }, standing, .. }) = found.first() else {
        return Ok(Batch::default());
    };
    let (scope, standing) = (*scope, *standing);
    found.truncate(standing.most(now));
    let sender: Option<Sender> = rx
        .maybe(
            sql!(
                "SELECT k.sealed, k.created, k.next, k.next_at, s.legacy_signature, s.time_zone,
                 EXISTS (SELECT 1 FROM account a WHERE a.id IN ($1, $2) AND a.status = 'suspended')
                 FROM signing_key k LEFT JOIN messaging s ON s.root = k.root AND s.account = k.account
                 WHERE k.root = $1 AND k.account = $2"
            ),
            &[&scope.root, &scope.account],
        )
        .await?;
    let Sender { signing_key, legacy, time_zone, is_suspended } =
        sender.ok_or(super::Error::NotFound(Noun::Key))?;
    if is_suspended {
        return Ok(Batch { is_suspended, ..Batch::default() });
    }
    let mut events = Vec::with_capacity(found.len());
    for Found { due, .. } in &found {
        events.push(match due.kind {
            Kind::Event => event::outgoing(rx, &due.scope, due.message, &due.url).await?,
            _ => None,
        });
    }
    let usual = Messaging::default();
    let (legacy, time_zone) =
        (legacy.unwrap_or(usual.legacy_signature), time_zone.unwrap_or(usual.time_zone));
    let (due, messages) = found.into_iter().map(|one| (one.due, one.message)).unzip();
    Ok(Batch { due, messages, events, signing_key, legacy, time_zone, standing, is_suspended })
}

/// How callbacks look on the wire: given by whoever knows the vendor, so that nothing here does.
#[derive(Debug, Clone, Copy)]
pub struct Dialect {
    /// The request that tells it, with times in the account's time zone where the vendor wants that; `None` for a URL that
    /// cannot be called.
    pub render: fn(&Due, &Message, &Networks, &str) -> Option<Rendered>,
    /// The same for a threshold that was crossed, by the URL.
    pub alert: fn(&str, &alert::Crossing) -> Option<Rendered>,
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
    pub rendered: Rendered,
    /// The names of the headers that were sent with it.
    pub headers: Vec<&'static str>,
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub took_ms: i64,
    /// The status that was answered, or why there was none.
    pub answer: std::result::Result<u16, String>,
    /// The beginning of the answer's body.
    pub said: String,
}

impl Attempt {
    /// Any 2xx is success (spec 11 section 1.2).
    pub fn is_done(&self) -> bool {
        self.answer.as_ref().is_ok_and(|status| (200..300).contains(status))
    }

    /// What was answered, in a word or a sentence.
    pub(super) fn said_in_short(&self) -> String {
        self.answer.as_ref().map_or_else(|why| why.replace(['\n', '\t'], " "), u16::to_string)
    }

    /// A line of the log, as `callback_log` reads it.
    pub(super) fn line(&self) -> String {
        let (answer, headers) = (self.said_in_short(), self.headers.join(","));
        let said = callback_log::escaped(&self.said);
        format!("{} {} {answer}\t{headers}\t{said}\n", self.at.0, self.took_ms)
    }
}

/// Records attempts: done, to be repeated, or given up.
pub async fn attempted(tx: &mut Tx, attempts: &Vec<Attempt>) -> Result<()> {
    let now: Timestamp = tx.now();
    for attempt in attempts {
        let Due { id, scope, kind, attempts: before, .. } = &attempt.callback;
        let schedule = if *kind == Kind::Event { &EVENT_SCHEDULE[..] } else { &SCHEDULE };
        let wait = usize::try_from(*before).ok().and_then(|before| schedule.get(before)).copied();
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
                &attempt.rendered.text(),
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
