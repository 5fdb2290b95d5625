//! Messages of channels: accepted, handed to the channel's transport, reported on, received.
//!
//! A message is accepted with its price held and a row in its transport's outbox. The row is marked before a byte leaves
//! and goes when the transport has answered: whoever removes it settles or releases. What is told twice counts once.

use super::channel::{self, View};
use super::event::{self, Dialect};
use super::lease::{self, Holder, Lane};
use super::ledger::{self, Charge, Settlement};
use super::limits::{Bounds, Takes};
use super::media;
use super::money::{Amount, Currency};
use super::phone::Msisdn;
use super::smpp_carrier::Doubt;
use super::terms::Terms;
use super::transport::{SIMULATED, TransportId};
use super::usage::{self, Category};
use super::words::words;
use super::{AccountId, Error, Noun, Result, Scope, Timestamp, Violation};
use store::{FromRow, Row, Rx, Tx, sql};

store::id! {
    /// A message's id.
    ChatId
}

words! {
    /// What has become of a message.
    Status {
        /// It waits for its transport.
        Accepted = "accepted",
        /// The transport has it.
        Sent = "sent",
        /// The phone has it.
        Delivered = "delivered",
        /// Somebody has seen it.
        Read = "read",
        /// It will not arrive.
        Failed = "failed",
        /// It came in.
        Received = "received",
    }
}

impl Status {
    /// A later stage never goes back to an earlier one.
    fn stage(self) -> i64 {
        match self {
            Status::Accepted => 0,
            Status::Sent => 1,
            Status::Delivered => 2,
            Status::Read | Status::Failed | Status::Received => 3,
        }
    }
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chat {
    /// Its id.
    pub id: ChatId,
    /// Whose.
    pub scope: Scope,
    /// By which channel.
    pub channel: String,
    /// The other side's number.
    pub peer: Msisdn,
    /// The word by which its content says what it is.
    pub kind: String,
    /// What it is as far as its price goes.
    pub category: Category,
    /// JSON, kept as it came.
    pub content: String,
    /// The network's name for it.
    pub reference: Option<String>,
    /// What has become of it.
    pub status: Status,
    /// The network's code.
    pub error: Option<i64>,
    /// What it costs.
    pub price: Amount,
    /// When it was accepted or received.
    pub created: Timestamp,
    /// When its status changed.
    pub changed: Timestamp,
}

const COLUMNS: &str = "id, root, account, channel, peer, kind, category, content, reference, status, error, price, created, changed";

impl FromRow for Chat {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Chat {
            id: row.next()?,
            scope: Scope { root: row.next()?, account: row.next()? },
            channel: row.next()?,
            peer: row.next()?,
            kind: row.next()?,
            category: row.next()?,
            content: row.next()?,
            reference: row.next()?,
            status: row.next()?,
            error: row.next()?,
            price: row.next()?,
            created: row.next()?,
            changed: row.next()?,
        })
    }
}

/// Asks to send.
#[derive(Debug, Clone)]
pub struct New {
    /// Whose.
    pub scope: Scope,
    /// By which channel.
    pub channel: String,
    /// To whom.
    pub to: Msisdn,
    /// See [`Chat::kind`].
    pub kind: String,
    /// See [`Chat::category`].
    pub category: Category,
    /// See [`Chat::content`].
    pub content: String,
    /// What it costs.
    pub quote: Quote,
    /// What it takes up of limits.
    pub takes: Takes,
}

/// Judges a message by the limits of its account, its partner and its key, and says what it takes up of them.
pub fn within(terms: &Terms, bounds: Option<&Bounds>, to: Msisdn, quote: Quote) -> Result<Takes> {
    let refused = |violation: Violation| Violation::new("to", violation.code);
    let one = std::iter::once((to, quote.price, quote.cost));
    let mut takes = Takes::judge(terms, one).map_err(refused)?;
    takes.judge_key(bounds, std::iter::once((to, quote.price))).map_err(refused)?;
    Ok(takes)
}

/// What a message costs: asked for before the unit that accepts it, and kept from then on.
#[derive(Debug, Clone, Copy)]
pub struct Quote {
    /// The account.
    pub price: Amount,
    /// Its partner.
    pub cost: Amount,
}

/// What a message of a category to a number costs an account and its partner.
pub async fn quote(rx: &mut Rx, (scope, category, to): &(Scope, Category, Msisdn)) -> Result<Quote> {
    let partner = scope.of_root();
    let price = usage::price(rx, *scope, *category, *to).await?;
    Ok(Quote { price, cost: usage::price(rx, partner, *category, *to).await? })
}

/// A message that its transport has not taken is given up after this time.
const EXPIRES_US: i64 = 24 * 3_600 * 1_000_000;

/// Accepts a message: its price is held, and it waits in its transport's outbox.
pub async fn accept(tx: &mut Tx, new: &New) -> Result<ChatId> {
    let view = channel::find(tx, &(new.scope.root, new.channel.clone())).await?;
    if view.channel.scope != new.scope || !view.channel.is_running() {
        return Err(Error::NotFound(Noun::Channel));
    }
    new.takes.take(tx, &new.scope).await?;
    let Quote { price, cost } = new.quote;
    let currency = view.client.account.currency;
    // All tenants: the outbox is the transport's; the row says whose it is.
    let (id, part, now): (ChatId, ChatId, Timestamp) = (tx.id(), tx.id(), tx.now());
    tx.put(
        sql!(
            "INSERT INTO channel_message (root, account, id, channel, direction, peer, kind, category, content, status,
             currency, price, created, changed) VALUES ($1, $2, $3, $4, 'out', $5, $6, $7, $8, $9, $10, $11, $12, $12)"
        ),
        &[
            &new.scope.root,
            &new.scope.account,
            &id,
            &new.channel,
            &new.to,
            &new.kind,
            &new.category,
            &new.content,
            &Status::Accepted,
            &currency,
            &price,
            &now,
        ],
    )
    .await?;
    tx.put(
        sql!(
            "INSERT INTO channel_part (transport, id, message, root, account, channel, currency, price, cost, marked, due,
             attempts, expires) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10, 0, $11)"
        ),
        &[
            &view.channel.transport,
            &part,
            &id,
            &new.scope.root,
            &new.scope.account,
            &new.channel,
            &currency,
            &price,
            &cost,
            &now,
            &now.0.saturating_add(EXPIRES_US),
        ],
    )
    .await?;
    ledger::hold(tx, &Charge { scope: new.scope, currency, price, cost }).await?;
    Ok(id)
}

/// A message of a channel.
pub async fn find(rx: &mut Rx, (scope, channel, id): &(Scope, String, ChatId)) -> Result<Chat> {
    rx.maybe(
        sql!(
            "SELECT ",
            COLUMNS,
            " FROM channel_message WHERE root = $1 AND account = $2 AND id = $3 AND channel = $4"
        ),
        &[&scope.root, &scope.account, id, channel],
    )
    .await?
    .ok_or(Error::NotFound(Noun::Message))
}

/// The message of a channel that the network calls so.
pub async fn by_reference(
    rx: &mut Rx,
    (scope, channel, reference): &(Scope, String, String),
) -> Result<Chat> {
    rx.maybe(
        sql!(
            "SELECT ",
            COLUMNS,
            " FROM channel_message WHERE root = $1 AND account = $2 AND channel = $3 AND reference = $4"
        ),
        &[&scope.root, &scope.account, channel, reference],
    )
    .await?
    .ok_or(Error::NotFound(Noun::Message))
}

/// Notes that a message that came in was read, and has its transport tell the network; `false` if it lives here and tells
/// nobody.
pub async fn mark_read(tx: &mut Tx, (scope, channel, reference): &(Scope, String, String)) -> Result<bool> {
    let chat = by_reference(tx, &(*scope, channel.clone(), reference.clone())).await?;
    let view = channel::find(tx, &(scope.root, channel.clone())).await?;
    if chat.status != Status::Received {
        return Err(Error::NotFound(Noun::Message));
    }
    if view.channel.transport == SIMULATED {
        return Ok(false);
    }
    // All tenants: the outbox is the transport's; the row says whose it is.
    let (part, now): (ChatId, Timestamp) = (tx.id(), tx.now());
    // It costs nothing, and stands in the outbox like a message: what goes out by a transport goes out one way.
    tx.put(
        sql!(
            "INSERT INTO channel_part (transport, id, message, root, account, channel, currency, price, cost, marked, due,
             attempts, expires) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, 0, $8, 0, $9) ON CONFLICT DO NOTHING"
        ),
        &[
            &view.channel.transport,
            &part,
            &chat.id,
            &scope.root,
            &scope.account,
            channel,
            &view.client.account.currency,
            &now,
            &now.0.saturating_add(EXPIRES_US),
        ],
    )
    .await?;
    Ok(true)
}

/// The message that a transport knows by a name and that went out by one of its numbers.
pub async fn sent_as(
    rx: &mut Rx,
    (transport, number, reference): &(TransportId, String, String),
) -> Result<Chat> {
    // All tenants: the network knows numbers and messages by its own names.
    let of: Option<(AccountId, AccountId, String)> = rx
        .maybe(
            sql!(
                "SELECT root, account, id FROM channel WHERE transport = $1 AND external = $2 AND terminated IS NULL"
            ),
            &[transport, number],
        )
        .await?;
    let Some((root, account, channel)) = of else { return Err(Error::NotFound(Noun::Channel)) };
    let found = by_reference(rx, &(Scope { root, account }, channel, reference.clone())).await?;
    if found.status == Status::Received { Err(Error::NotFound(Noun::Message)) } else { Ok(found) }
}

/// What a transport is given.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its id in the outbox.
    pub id: ChatId,
    /// By whom it is carried.
    pub transport: TransportId,
    /// What it costs and brings.
    pub charge: Charge,
    /// The message.
    pub chat: Chat,
    /// The channel's id at the network.
    pub from: String,
    /// Tries so far.
    pub attempts: i64,
    /// When it was handed over.
    pub marked: Timestamp,
}

/// The lane of a transport's outbox. Carriers' lanes begin with zeros, those of callbacks with a one.
pub fn lane(transport: TransportId) -> Lane {
    let mut lane = [0; 16];
    lane[0] = 0x40;
    lane[8..].copy_from_slice(&transport.0.to_be_bytes());
    Lane(lane)
}

/// Parts that one unit hands over or finishes.
pub const BATCH: i64 = 64;

/// Another process has the lane: whoever believed to have it begins anew.
async fn on_shift(tx: &mut Tx, transport: TransportId, holder: Holder) -> Result<()> {
    if lease::take(tx, &(lane(transport), holder)).await? {
        Ok(())
    } else {
        Err(Error::Unavailable("another process has the lane".into()))
    }
}

/// Marks what waits for a transport and hands it over, at most [`BATCH`]. What belongs to a suspended account waits on.
pub async fn claim(tx: &mut Tx, (transport, holder, most): &(TransportId, Holder, i64)) -> Result<Vec<Part>> {
    // All tenants: a transport's lane is everybody's; the row says whose it is.
    on_shift(tx, *transport, *holder).await?;
    let now: Timestamp = tx.now();
    let ids: Vec<ChatId> = tx
        .all(
            sql!(
                "SELECT p.id FROM channel_part p WHERE p.transport = $1 AND p.marked = 0 AND p.due <= $2
                 AND NOT EXISTS (SELECT 1 FROM account a WHERE a.id IN (p.root, p.account) AND a.status = 'suspended')
                 ORDER BY p.due, p.id LIMIT $3"
            ),
            &[transport, &now, most],
        )
        .await?;
    let mut parts = Vec::with_capacity(ids.len());
    for id in ids {
        let marked: Option<PartRow> = tx
            .maybe(
                sql!(
                    "UPDATE channel_part SET marked = $3, attempts = attempts + 1
                     WHERE transport = $1 AND id = $2 AND marked = 0
                     RETURNING message, root, account, channel, currency, price, cost, attempts"
                ),
                &[transport, &id, &now],
            )
            .await?;
        let Some(row) = marked else { continue };
        let chat = find(tx, &(row.scope, row.channel.clone(), row.message)).await?;
        let from: Option<String> = tx
            .maybe(
                sql!("SELECT external FROM channel WHERE root = $1 AND id = $2"),
                &[&row.scope.root, &row.channel],
            )
            .await?;
        let charge = Charge { scope: row.scope, currency: row.currency, price: row.price, cost: row.cost };
        parts.push(Part {
            id,
            transport: *transport,
            charge,
            chat,
            from: from.unwrap_or_default(),
            attempts: row.attempts,
            marked: now,
        });
    }
    Ok(parts)
}

struct PartRow {
    message: ChatId,
    scope: Scope,
    channel: String,
    currency: Currency,
    price: Amount,
    cost: Amount,
    attempts: i64,
}

impl FromRow for PartRow {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(PartRow {
            message: row.next()?,
            scope: Scope { root: row.next()?, account: row.next()? },
            channel: row.next()?,
            currency: row.next()?,
            price: row.next()?,
            cost: row.next()?,
            attempts: row.next()?,
        })
    }
}

/// What a transport says to a part.
#[derive(Debug, Clone)]
pub enum Answer {
    /// It has it, under this name; and what it says right after.
    Accepted(String, Vec<(Status, Option<i64>)>),
    /// It will not have it, for this reason.
    Refused(Option<i64>),
    /// It could not be asked: later again.
    Later,
}

/// Seconds from a failed try to the next; the last one is repeated until the message expires.
const SCHEDULE: [i64; 6] = [1, 5, 30, 120, 600, 1_800];

/// Records what a transport has said: settles, releases, or has it wait again.
pub async fn answered(tx: &mut Tx, (answers, dialect): &(Vec<(Part, Answer)>, Dialect)) -> Result<()> {
    let mut settlement = Settlement::default();
    for (part, answer) in answers {
        let now: Timestamp = tx.now();
        if let Answer::Later = answer {
            let at = usize::try_from(part.attempts.saturating_sub(1)).unwrap_or(0).min(SCHEDULE.len() - 1);
            let due = now.0.saturating_add(SCHEDULE[at] * 1_000_000);
            tx.put(
                // Whoever has taken the lane meanwhile may have handed it over anew.
                sql!(
                    "UPDATE channel_part SET marked = 0, due = $3 WHERE transport = $1 AND id = $2 AND marked = $4"
                ),
                &[&part.transport, &part.id, &due, &part.marked],
            )
            .await?;
            continue;
        }
        if !remove(tx, part).await? {
            continue;
        }
        let of = (&part.chat.scope, part.chat.channel.as_str(), part.chat.id);
        match answer {
            Answer::Accepted(reference, then) => {
                settlement.settle(part.charge);
                if part.chat.status != Status::Received {
                    let Chat { scope, channel, category, .. } = &part.chat;
                    usage::count(tx, *scope, channel, *category, part.charge.price).await?;
                }
                change(tx, of, (Status::Sent, None), Some(reference), *dialect).await?;
                for step in then {
                    change(tx, of, *step, None, *dialect).await?;
                }
            }
            Answer::Refused(error) => {
                settlement.release(part.charge);
                change(tx, of, (Status::Failed, *error), None, *dialect).await?;
            }
            Answer::Later => {}
        }
    }
    settlement.apply(tx).await
}

/// Takes a part out of the outbox; false if somebody else has.
async fn remove(tx: &mut Tx, part: &Part) -> Result<bool> {
    let gone = tx
        .exec(sql!("DELETE FROM channel_part WHERE transport = $1 AND id = $2"), &[&part.transport, &part.id])
        .await?;
    Ok(gone == 1)
}

/// Moves a message to a later stage and tells of it; one that is there already is left alone.
async fn change(
    tx: &mut Tx,
    (scope, channel, id): (&Scope, &str, ChatId),
    (status, error): (Status, Option<i64>),
    reference: Option<&String>,
    dialect: Dialect,
) -> Result<()> {
    let before: Option<(Status,)> = tx
        .maybe(
            sql!(
                "SELECT status FROM channel_message WHERE root = $1 AND account = $2 AND id = $3 FOR UPDATE"
            ),
            &[&scope.root, &scope.account, &id],
        )
        .await?;
    let Some((before,)) = before else { return Ok(()) };
    if before.stage() >= status.stage() {
        return Ok(());
    }
    let now: Timestamp = tx.now();
    tx.put(
        sql!(
            "UPDATE channel_message SET status = $4, error = $5, changed = $6, reference = COALESCE(CAST($7 AS TEXT), reference)
             WHERE root = $1 AND account = $2 AND id = $3"
        ),
        &[&scope.root, &scope.account, &id, &status, &error, &now, &reference],
    )
    .await?;
    tell(tx, &(*scope, channel.to_owned(), id), dialect).await
}

/// Tells a channel's owner of a message, if it wants to be told.
pub(super) async fn tell(tx: &mut Tx, of: &(Scope, String, ChatId), dialect: Dialect) -> Result<()> {
    let view = match channel::find(tx, &(of.0.root, of.1.clone())).await {
        Ok(view) => view,
        Err(Error::NotFound(_)) => return Ok(()),
        Err(error) => return Err(error),
    };
    let url = view.channel.webhook_url.clone().or_else(|| view.business.webhook_url.clone());
    let Some(url) = url else { return Ok(()) };
    let chat = match find(tx, of).await {
        Ok(chat) => chat,
        // Its person was erased meanwhile.
        Err(Error::NotFound(_)) => return Ok(()),
        Err(error) => return Err(error),
    };
    let body = (dialect.chat)(&view, &chat);
    let event = event::Ready {
        id: tx.id(),
        order: event::order(&chat.id.to_string()),
        channel: &view.channel.id,
        name: chat.status.name(),
        url: &url,
        body: &body,
    };
    event::push(tx, of.0, &event).await
}

/// What the network says of a message that it has.
#[derive(Debug, Clone)]
pub struct Report {
    /// By which transport.
    pub transport: TransportId,
    /// The network's name for it.
    pub reference: String,
    /// Our own id, where the network tells it back.
    pub own: Option<ChatId>,
    /// What has become of it.
    pub status: Status,
    /// The network's code.
    pub error: Option<i64>,
}

/// Records what the network says; answers how many reports were about nothing that is known.
pub async fn reported(tx: &mut Tx, (reports, dialect): &(Vec<Report>, Dialect)) -> Result<usize> {
    let mut unknown = 0;
    let mut settlement = Settlement::default();
    for report in reports {
        // All tenants: the network knows messages by its own names.
        let mut known: Option<(AccountId, AccountId, String, ChatId)> = tx
            .maybe(
                sql!(
                    "SELECT m.root, m.account, m.channel, m.id FROM channel_message m
                     JOIN channel h ON h.root = m.root AND h.id = m.channel
                     WHERE h.transport = $1 AND m.reference = $2 AND m.direction = 'out' ORDER BY m.id LIMIT 1"
                ),
                &[&report.transport, &report.reference],
            )
            .await?;
        if known.is_none() && report.own.is_some() {
            known = tx
                .maybe(
                    sql!(
                        "SELECT root, account, channel, message FROM channel_part WHERE message = $2 AND transport = $1"
                    ),
                    &[&report.transport, &report.own],
                )
                .await?;
        }
        let Some((root, account, channel, id)) = known else {
            unknown += 1;
            continue;
        };
        let scope = Scope { root, account };
        let of = (&scope, channel.as_str(), id);
        // One that was handed over without an answer: the network has it, as it shows now.
        let row: Option<PartRow> = tx
            .maybe(
                sql!(
                    "DELETE FROM channel_part WHERE transport = $1 AND message = $2
                     RETURNING message, root, account, channel, currency, price, cost, attempts"
                ),
                &[&report.transport, &id],
            )
            .await?;
        if let Some(row) = row {
            let charge = Charge { scope, currency: row.currency, price: row.price, cost: row.cost };
            if report.status == Status::Failed {
                settlement.release(charge);
            } else {
                settlement.settle(charge);
                let chat = find(tx, &(scope, channel.clone(), id)).await?;
                usage::count(tx, scope, &channel, chat.category, charge.price).await?;
            }
            change(tx, of, (Status::Sent, None), Some(&report.reference), *dialect).await?;
        }
        change(tx, of, (report.status, report.error), None, *dialect).await?;
    }
    settlement.apply(tx).await?;
    Ok(unknown)
}

/// A message from somebody.
#[derive(Debug, Clone)]
pub struct Received {
    /// By which transport.
    pub transport: TransportId,
    /// The channel's id at the network.
    pub to: String,
    /// From whom.
    pub from: Msisdn,
    /// The network's name for it.
    pub reference: String,
    /// See [`Chat::kind`].
    pub kind: String,
    /// See [`Chat::content`].
    pub content: String,
    /// The network's id and the media type of a file that goes with it and is still there.
    pub file: Option<(String, String)>,
}

/// Stores a message that came in and tells of it, or wants its file first; false for one that is known already or for no channel.
pub async fn received(tx: &mut Tx, (received, dialect): &(Received, Dialect)) -> Result<bool> {
    // All tenants: the network knows a channel by its own id.
    let found: Option<(AccountId, AccountId, String)> = tx
        .maybe(
            sql!(
                "SELECT h.root, h.account, h.id FROM channel h JOIN account a ON a.id = h.account
                 WHERE h.transport = $1 AND h.external = $2 AND h.terminated IS NULL AND a.status <> 'deleted'
                 ORDER BY h.created, h.id LIMIT 1"
            ),
            &[&received.transport, &received.to],
        )
        .await?;
    let Some((root, account, channel)) = found else { return Ok(false) };
    let scope = Scope { root, account };
    let view = channel::find(tx, &(root, channel.clone())).await?;
    let (id, now): (ChatId, Timestamp) = (tx.id(), tx.now());
    let new = tx
        .exec(
            sql!(
                "INSERT INTO channel_message (root, account, id, channel, direction, peer, kind, category, content, reference,
                 status, currency, price, created, changed)
                 VALUES ($1, $2, $3, $4, 'in', $5, $6, $7, $8, $9, $10, $11, 0, $12, $12)
                 ON CONFLICT (reference, channel) WHERE reference IS NOT NULL DO NOTHING"
            ),
            &[
                &root,
                &account,
                &id,
                &channel,
                &received.from,
                &received.kind,
                &Category::Service,
                &received.content,
                &received.reference,
                &Status::Received,
                &view.client.account.currency,
                &now,
            ],
        )
        .await?;
    if new == 1 {
        let is_wanted = match &received.file {
            Some((file, kind)) => {
                let wanted = media::NewWanted {
                    scope,
                    channel: &channel,
                    transport: received.transport,
                    message: id,
                    id: file,
                    kind,
                };
                media::want(tx, &wanted).await?
            }
            None => false,
        };
        if !is_wanted {
            tell(tx, &(scope, channel, id), *dialect).await?;
        }
    }
    Ok(new == 1)
}

/// Takes back what a process that is gone had marked for a transport that lives in its process: it never left.
pub async fn take_back(tx: &mut Tx, (transport, holder): &(TransportId, Holder)) -> Result<u64> {
    // All tenants: a transport's lane is everybody's.
    on_shift(tx, *transport, *holder).await?;
    Ok(tx
        .exec(
            sql!(
                "UPDATE channel_part SET marked = 0 WHERE transport = $1 AND id IN (
                     SELECT id FROM channel_part WHERE transport = $1 AND marked > 0 ORDER BY id LIMIT $2)"
            ),
            &[transport, &BATCH],
        )
        .await?)
}

/// What became of a transport's parts that a process which is gone had handed over is in doubt: what the transport's policy
/// says happens to them, at most [`BATCH`] in a unit. Answers how many there were; those that wait for a report stay as they
/// are.
pub async fn resolve(
    tx: &mut Tx,
    (transport, holder, doubt, dialect): &(TransportId, Holder, Doubt, Dialect),
) -> Result<usize> {
    // All tenants: a transport's lane is everybody's.
    on_shift(tx, *transport, *holder).await?;
    match doubt {
        Doubt::Wait => return Ok(0),
        Doubt::Resend => {
            let back = take_back(tx, &(*transport, *holder)).await?;
            return Ok(usize::try_from(back).unwrap_or(usize::MAX));
        }
        Doubt::Fail => {}
    }
    let marked: Vec<ChatId> = tx
        .all(
            sql!("SELECT id FROM channel_part WHERE transport = $1 AND marked > 0 ORDER BY id LIMIT $2"),
            &[transport, &BATCH],
        )
        .await?;
    let gone: Vec<(TransportId, ChatId)> = marked.iter().map(|id| (*transport, *id)).collect();
    give_up(tx, &gone, *dialect).await?;
    Ok(marked.len())
}

/// Gives up what no transport has taken in time, or answered for; whether there may be more.
pub async fn expire(tx: &mut Tx, dialect: &Dialect) -> Result<bool> {
    // All tenants: the sweep works for everybody, the oldest first.
    let now: Timestamp = tx.now();
    let old: Vec<(TransportId, ChatId)> = tx
        .all(
            sql!("SELECT transport, id FROM channel_part WHERE expires < $1 ORDER BY expires, transport, id LIMIT $2"),
            &[&now, &BATCH],
        )
        .await?;
    give_up(tx, &old, *dialect).await?;
    Ok(!old.is_empty())
}

/// Takes parts out of the outbox whose messages have failed.
async fn give_up(tx: &mut Tx, parts: &[(TransportId, ChatId)], dialect: Dialect) -> Result<()> {
    // All tenants: a transport's outbox is everybody's; the row says whose it is.
    let mut settlement = Settlement::default();
    for (transport, id) in parts {
        let row: Option<PartRow> = tx
            .maybe(
                sql!(
                    "DELETE FROM channel_part WHERE transport = $1 AND id = $2
                     RETURNING message, root, account, channel, currency, price, cost, attempts"
                ),
                &[transport, id],
            )
            .await?;
        let Some(row) = row else { continue };
        let charge = Charge { scope: row.scope, currency: row.currency, price: row.price, cost: row.cost };
        settlement.release(charge);
        change(tx, (&row.scope, &row.channel, row.message), (Status::Failed, None), None, dialect).await?;
    }
    settlement.apply(tx).await
}

/// Messages whose content one unit removes.
const FORGOTTEN_MAX: i64 = 200;

/// Removes what an account's messages of a stretch of ids say; answers whether there may be more.
pub(super) async fn forget_contents(
    tx: &mut Tx,
    scope: Scope,
    (begin, end): ([u8; 16], [u8; 16]),
) -> Result<bool> {
    let emptied = tx
        .exec(
            sql!(
                "UPDATE channel_message SET content = '' WHERE root = $1 AND account = $2 AND id IN (
                     SELECT id FROM channel_message WHERE root = $1 AND account = $2 AND id >= $3 AND id < $4
                     AND content <> '' AND status <> 'accepted' ORDER BY id LIMIT $5)"
            ),
            &[&scope.root, &scope.account, &begin, &end, &FORGOTTEN_MAX],
        )
        .await?;
    Ok(emptied >= FORGOTTEN_MAX.unsigned_abs())
}

/// How a channel looks to whoever holds its key.
pub async fn own(rx: &mut Rx, (scope, channel): &(Scope, String)) -> Result<View> {
    let view = channel::find(rx, &(scope.root, channel.clone())).await?;
    if view.channel.scope == *scope { Ok(view) } else { Err(Error::NotFound(Noun::Channel)) }
}
