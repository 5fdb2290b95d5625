//! Events: what is told to a partner or to a channel's owner in a body of its own.
//!
//! An event is made in the unit that changes what it tells, rendered there by the vendor's functions, and kept: every
//! attempt sends the same bytes. It goes out as a callback does, with the same repetitions, log and lanes.

use super::account::AccountId;
use super::callback::{self, CallbackId};
use super::channel::View;
use super::chat::Chat;
use super::client::Client;
use super::message::{MessageId, Recipient, Status};
use super::money::Amount;
use super::phone::Msisdn;
use super::secret::{self, Place};
use super::template::Template;
use super::words::words;
use super::{Result, Scope, Timestamp, endpoint};
use store::{FromRow, Row, Rx, Tx, sql};

store::id! {
    /// An event's id: the same in every repetition.
    EventId
}

words! {
    /// What has happened.
    Kind {
        /// A client was made.
        ClientCreated = "client-created",
        /// A channel was made.
        ChannelCreated = "channel-created",
        /// It can be registered.
        ChannelReady = "channel-ready",
        /// It is registered: keys can be made.
        ChannelRunning = "channel-running",
        /// It went live.
        ChannelLive = "channel-live",
        /// The client lets the partner make keys.
        PermissionGranted = "permission-granted",
        /// No longer.
        PermissionRevoked = "permission-revoked",
        /// It is to end.
        CancellationRequested = "cancellation-requested",
        /// It is not to end after all.
        CancellationRevoked = "cancellation-revoked",
        /// It has ended.
        CancellationProcessed = "cancellation-processed",
        /// A template was approved, rejected and the like.
        TemplateStatus = "template-status",
    }
}

/// What an event is about.
#[derive(Debug, Clone, Copy)]
pub enum About<'a> {
    /// A client.
    Client(&'a Client),
    /// A channel.
    Channel(&'a View),
    /// A template, with the network's id of its business account.
    Template(&'a Template, &'a str),
}

impl About<'_> {
    /// Events of the same order go out one after another.
    fn order(&self) -> [u8; 16] {
        let id = match self {
            About::Client(client) => client.account.id.to_string(),
            About::Channel(view) => view.channel.id.clone(),
            About::Template(template, _) => template.id.clone(),
        };
        order(&id)
    }
}

/// What goes out in order: a hash of the id of what it is about.
pub(super) fn order(id: &str) -> [u8; 16] {
    let mut order = [0; 16];
    order.copy_from_slice(&secret::hash(id)[..16]);
    order
}

/// How events look on the wire: given by whoever knows the vendor, so that nothing here does.
#[derive(Debug, Clone, Copy)]
pub struct Dialect {
    /// The body of a partner's event.
    pub partner: fn(&EventId, Kind, &About<'_>) -> String,
    /// What a channel's owner is told of a message: what has become of it, or that it came in.
    pub chat: fn(&View, &Chat) -> String,
    /// The headers that prove where a body comes from: by the secret, and whether they name the algorithm.
    pub sign: Sign,
}

/// Signs a body with a secret; whether the signature names its algorithm.
pub type Sign = fn(&[u8], &[u8], bool) -> Vec<(&'static str, String)>;

/// Tells a partner, if it wants to be told.
pub async fn tell_partner(
    tx: &mut Tx,
    partner: AccountId,
    kind: Kind,
    about: &About<'_>,
    dialect: Dialect,
) -> Result<()> {
    let url: Option<Option<String>> =
        tx.maybe(sql!("SELECT webhook_url FROM partner WHERE root = $1"), &[&partner]).await?;
    let Some(url) = url.flatten() else { return Ok(()) };
    let id: EventId = tx.id();
    let body = (dialect.partner)(&id, kind, about);
    let scope = Scope { root: partner, account: partner };
    push(
        tx,
        scope,
        &Ready { id, order: about.order(), channel: "", name: kind.name(), url: &url, body: &body },
    )
    .await
}

/// An event that is ready to go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ready<'a> {
    /// Its id.
    pub id: EventId,
    /// Those of the same order go out one after another.
    pub order: [u8; 16],
    /// The channel whose headers go with it; the partner's if it is empty.
    pub channel: &'a str,
    /// What has happened, for the log.
    pub name: &'a str,
    /// Where it goes.
    pub url: &'a str,
    /// Its bytes.
    pub body: &'a str,
}

/// Puts an event into the outbox of an account.
pub(super) async fn push(tx: &mut Tx, scope: Scope, event: &Ready<'_>) -> Result<()> {
    // Two things that happen to one in the same moment still have an order.
    let last: Option<Timestamp> = tx
        .maybe(
            sql!(
                "SELECT created FROM event WHERE root = $1 AND account = $2 AND about = $3 ORDER BY created DESC LIMIT 1"
            ),
            &[&scope.root, &scope.account, &event.order],
        )
        .await?;
    let now: Timestamp = tx.now();
    let now = last.map_or(now, |last| now.max(Timestamp(last.0.saturating_add(1))));
    tx.put(
        sql!(
            "INSERT INTO event (root, account, id, about, channel, name, body, created)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
        ),
        &[
            &scope.root,
            &scope.account,
            &event.id,
            &event.order,
            &event.channel,
            &event.name,
            &event.body,
            &now,
        ],
    )
    .await?;
    let recipient = Recipient {
        msisdn: Msisdn(0),
        status: Status::Sent,
        reason: None,
        error: None,
        changed: now,
        price: Amount::ZERO,
    };
    let about = callback::About { message: MessageId::from(event.id.0), recipient };
    callback::push(tx, scope, callback::Kind::Event, event.url, &about).await
}

/// An event as it is sent.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Those of the same order go out one after another.
    pub order: [u8; 16],
    /// Its bytes.
    pub body: String,
    /// What the partner's events are signed with, sealed.
    pub secret: Option<Vec<u8>>,
    /// Whether the signature names its algorithm.
    pub prefix: bool,
    /// Headers that go with it, sealed, and where they are kept.
    pub headers: Option<(Place, Vec<u8>)>,
}

struct Found {
    order: [u8; 16],
    channel: String,
    body: String,
    secret: Option<Vec<u8>>,
    prefix: bool,
    url: Option<String>,
    headers: Option<Vec<u8>>,
}

impl FromRow for Found {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Found {
            order: row.next()?,
            channel: row.next()?,
            body: row.next()?,
            secret: row.next()?,
            prefix: row.next()?,
            url: row.next()?,
            headers: row.next()?,
        })
    }
}

/// What a callback of an event is sent with to its URL; `None` if the event is gone. Headers are secrets of whoever gets
/// them: they go nowhere but to where they belong now.
pub(super) async fn outgoing(
    rx: &mut Rx,
    scope: &Scope,
    id: MessageId,
    url: &str,
) -> Result<Option<Outgoing>> {
    let found: Option<Found> = rx
        .maybe(
            sql!(
                "SELECT e.about, e.channel, e.body, p.platform_secret, p.signature_prefix, p.webhook_url, p.webhook_headers
                 FROM event e
                 JOIN partner p ON p.root = e.root WHERE e.root = $1 AND e.account = $2 AND e.id = $3"
            ),
            &[&scope.root, &scope.account, &id],
        )
        .await?;
    let Some(Found { order, channel, body, secret, prefix, url: present, headers }) = found else {
        return Ok(None);
    };
    let headers = if channel.is_empty() {
        let place = Place::Headers(scope.root.0, secret::hash(""));
        present.zip(headers).map(|(present, sealed)| (present, place, sealed))
    } else {
        super::channel::hook_headers(rx, scope, &channel).await?
    };
    let headers = headers
        .filter(|(present, ..)| endpoint::origin(present) == endpoint::origin(url))
        .map(|(_, place, sealed)| (place, sealed));
    Ok(Some(Outgoing { order, body, secret, prefix, headers }))
}

/// What is kept of events, for those who look at the log: name and body.
pub async fn view(rx: &mut Rx, (scope, id): &(Scope, CallbackId)) -> Result<Option<(String, String)>> {
    Ok(rx
        .maybe(
            sql!(
                "SELECT e.name, e.body FROM event e JOIN callback c
                 ON c.root = e.root AND c.account = e.account AND c.message = e.id
                 WHERE c.root = $1 AND c.account = $2 AND c.id = $3"
            ),
            &[&scope.root, &scope.account, id],
        )
        .await?)
}

/// Removes an account's events of a stretch of ids that are not to be sent any more, when it keeps no texts that long;
/// answers whether there may be more.
pub(super) async fn forget_bodies(
    tx: &mut Tx,
    scope: Scope,
    (begin, end): ([u8; 16], [u8; 16]),
) -> Result<bool> {
    let gone = tx
        .exec(
            sql!(
                "DELETE FROM event WHERE root = $1 AND account = $2 AND id IN (SELECT e.id FROM event e
                     WHERE e.root = $1 AND e.account = $2 AND e.id >= $3 AND e.id < $4 AND NOT EXISTS (
                         SELECT 1 FROM callback c WHERE c.root = e.root AND c.account = e.account AND c.message = e.id
                         AND c.kind = 'event' AND c.open)
                     ORDER BY e.id LIMIT $5)"
            ),
            &[&scope.root, &scope.account, &begin, &end, &FORGOTTEN_MAX],
        )
        .await?;
    Ok(gone >= FORGOTTEN_MAX.unsigned_abs())
}

/// Events that one unit forgets.
const FORGOTTEN_MAX: i64 = 128;
/// Callbacks are kept for so long after their last attempt; an event outlives its callback.
const KEPT_US: i64 = 31 * 86_400 * 1_000_000;

/// Removes events whose callbacks are gone; answers whether there may be more.
pub async fn forget(tx: &mut Tx, (): &()) -> Result<bool> {
    // All tenants: the sweep works for everybody, the oldest first.
    let now: Timestamp = tx.now();
    let gone = tx
        .exec(
            sql!(
                "DELETE FROM event WHERE (root, account, id) IN (
                     SELECT e.root, e.account, e.id FROM event e WHERE e.created < $1 AND NOT EXISTS (
                         SELECT 1 FROM callback c WHERE c.root = e.root AND c.account = e.account AND c.message = e.id
                         AND c.kind = 'event')
                     ORDER BY e.created LIMIT $2)"
            ),
            &[&now.0.saturating_sub(KEPT_US), &FORGOTTEN_MAX],
        )
        .await?;
    Ok(gone >= FORGOTTEN_MAX.unsigned_abs())
}
