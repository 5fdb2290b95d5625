//! Channels: what messages to people go out by and come in by; their life cycle, keys and URLs.
//!
//! A channel goes through its stages by itself: each step is a unit of its own that changes the row and tells the partner,
//! so a step that is taken twice is told once.

use super::account::{self, AccountId, ChildOf};
use super::api_key;
use super::business::{self, Business};
use super::client::{self, Client};
use super::event::{self, About, Dialect, Kind};
use super::hook;
use super::key::{self, KeyId, NewKey, Role};
use super::secret::{Place, Secret};
use super::transport::TransportId;
use super::words::words;
use super::{Code, Error, Noun, Result, Scope, Timestamp, Violation};
use crate::core::phone::Msisdn;
use store::{FromRow, Row, Rx, Tx, sql};

words! {
    /// How far a channel is.
    Stage {
        /// It was made.
        Created = "created",
        /// Its number can be registered.
        Ready = "ready",
        /// Its number is registered: keys can be made.
        Running = "running",
        /// People can be written to.
        Live = "live",
        /// It has ended.
        Terminated = "terminated",
    }
}

words! {
    /// What people think of what a channel sends.
    Quality {
        /// They like it.
        High = "high",
        /// Some do not.
        Medium = "medium",
        /// They complain.
        Low = "low",
    }
}

/// To how many people a day a new channel may write first.
const REACH: i64 = 1_000;

/// A channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Its id here.
    pub id: String,
    /// Whose.
    pub scope: Scope,
    /// Of which business account.
    pub business: String,
    /// Its id at the network.
    pub external: String,
    /// Its number.
    pub msisdn: Msisdn,
    /// What people see.
    pub name: String,
    /// Who carries it.
    pub transport: TransportId,
    /// How far it is.
    pub stage: Stage,
    /// What was ordered.
    pub plan: Option<String>,
    /// The number of the application that it is connected to.
    pub app: i64,
    /// Whether its partner may make keys.
    pub permitted: bool,
    /// What people think of what it sends.
    pub quality: Option<Quality>,
    /// To how many people a day it may write first.
    pub reach: Option<i64>,
    /// Since when it is paid for.
    pub billed: Option<Timestamp>,
    /// When its end was asked for.
    pub cancelled: Option<Timestamp>,
    /// When it ended.
    pub terminated: Option<Timestamp>,
    /// Where its messages go.
    pub webhook_url: Option<String>,
    /// What it says of itself, as JSON that is kept as it is.
    pub profile: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub modified: Timestamp,
}

const COLUMNS: &str = "h.id, h.root, h.account, h.business, h.external, h.msisdn, h.name, h.transport, h.stage, h.plan, h.app,
    h.permitted, h.quality, h.reach, h.billed, h.cancelled, h.terminated, h.webhook_url, h.profile, h.created, h.modified";

impl FromRow for Channel {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Channel {
            id: row.next()?,
            scope: Scope { root: row.next()?, account: row.next()? },
            business: row.next()?,
            external: row.next()?,
            msisdn: row.next()?,
            name: row.next()?,
            transport: row.next()?,
            stage: row.next()?,
            plan: row.next()?,
            app: row.next()?,
            permitted: row.next()?,
            quality: row.next()?,
            reach: row.next()?,
            billed: row.next()?,
            cancelled: row.next()?,
            terminated: row.next()?,
            webhook_url: row.next()?,
            profile: row.next()?,
            created: row.next()?,
            modified: row.next()?,
        })
    }
}

impl Channel {
    /// Whether keys can be made, if its partner may.
    pub fn is_running(&self) -> bool {
        matches!(self.stage, Stage::Running | Stage::Live)
    }
}

/// A channel with what it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The channel.
    pub channel: Channel,
    /// Its business account.
    pub business: Business,
    /// Whose it is.
    pub client: Client,
}

impl FromRow for View {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        let channel = Channel::from_row(row)?;
        let business = Business::from_row(row)?;
        Ok(View { channel, business, client: Client::from_row(row)? })
    }
}

const FROM: &str = " FROM channel h JOIN business b ON b.root = h.root AND b.id = h.business
    JOIN account a ON a.id = h.account LEFT JOIN client c ON c.root = h.root AND c.account = h.account
    WHERE h.root = $1 AND a.status <> 'deleted'";

/// Channels that are looked through at once.
const LIST_MAX: i64 = 20_000;

/// All channels of a partner.
pub async fn list(rx: &mut Rx, partner: &AccountId) -> Result<Vec<View>> {
    let found = rx
        .all(
            sql!(
                "SELECT ",
                COLUMNS,
                ", ",
                business::COLUMNS,
                ", ",
                client::COLUMNS,
                FROM,
                " ORDER BY h.id LIMIT $2"
            ),
            &[partner, &LIST_MAX],
        )
        .await?;
    client::too_many(found)
}

/// All channels of one client.
pub async fn list_of(rx: &mut Rx, scope: &Scope) -> Result<Vec<View>> {
    let found = rx
        .all(
            sql!(
                "SELECT ",
                COLUMNS,
                ", ",
                business::COLUMNS,
                ", ",
                client::COLUMNS,
                FROM,
                " AND h.account = $2 ORDER BY h.id LIMIT $3"
            ),
            &[&scope.root, &scope.account, &LIST_MAX],
        )
        .await?;
    client::too_many(found)
}

/// A partner's channel with an id; one of a deleted client is not found.
pub async fn find(rx: &mut Rx, (partner, id): &(AccountId, String)) -> Result<View> {
    rx.maybe(
        sql!("SELECT ", COLUMNS, ", ", business::COLUMNS, ", ", client::COLUMNS, FROM, " AND h.id = $2"),
        &[partner, id],
    )
    .await?
    .ok_or(Error::NotFound(Noun::Channel))
}

/// A channel of one of a partner's clients.
#[derive(Debug, Clone)]
pub struct Of {
    /// Whose.
    pub client: ChildOf,
    /// Which.
    pub id: String,
}

/// A client's channel; another client's is not found.
pub async fn of_client(rx: &mut Rx, of: &Of) -> Result<View> {
    client::find(rx, &of.client).await?;
    let view = find(rx, &(of.client.partner, of.id.clone())).await?;
    if view.channel.scope.account == of.client.child { Ok(view) } else { Err(Error::NotFound(Noun::Channel)) }
}

/// The channels of a client that its partner may make keys for.
pub async fn permitted(rx: &mut Rx, of: &ChildOf) -> Result<Vec<String>> {
    client::find(rx, of).await?;
    Ok(rx
        .all(
            sql!(
                "SELECT id FROM channel WHERE root = $1 AND account = $2 AND permitted AND terminated IS NULL ORDER BY id"
            ),
            &[&of.partner, &of.child],
        )
        .await?)
}

/// How many channels a client has that have not ended.
pub(super) async fn count(tx: &mut Tx, scope: Scope) -> Result<i64> {
    Ok(tx
        .one(
            sql!(
                "SELECT CAST(count(*) AS BIGINT) FROM channel WHERE root = $1 AND account = $2 AND terminated IS NULL"
            ),
            &[&scope.root, &scope.account],
        )
        .await?)
}

/// Asks for a channel.
#[derive(Debug, Clone)]
pub(super) struct New<'a> {
    /// Of which business account.
    pub business: &'a Business,
    /// Its id at the network.
    pub external: &'a str,
    /// Its number.
    pub msisdn: Msisdn,
    /// What people see.
    pub name: &'a str,
    /// Who carries it.
    pub transport: TransportId,
    /// What was ordered.
    pub plan: Option<&'a str>,
    /// Whether its partner may make keys.
    pub permitted: bool,
}

/// Applications have numbers of five and more digits.
const APPS: i64 = 90_000;

/// What came of asking for a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ensured {
    /// It was made, with this id.
    Made(String),
    /// The business account has it already, with this id.
    Known(String),
    /// Somebody else has the number at this transport.
    Taken,
    /// There is none, and none may be made.
    NoRoom,
}

/// Makes a channel if that is allowed, unless the business account has the one with this id at the network.
pub(super) async fn ensure(tx: &mut Tx, new: &New<'_>, may_make: bool, dialect: Dialect) -> Result<Ensured> {
    let now: Timestamp = tx.now();
    let scope = new.business.scope;
    for _ in 0..business::ID_TRIES {
        let known: Option<String> = tx
            .maybe(
                sql!("SELECT id FROM channel WHERE root = $1 AND business = $2 AND external = $3"),
                &[&scope.root, &new.business.id, &new.external],
            )
            .await?;
        if let Some(known) = known {
            return Ok(Ensured::Known(known));
        }
        if is_taken(tx, new.transport, new.external).await? {
            return Ok(Ensured::Taken);
        }
        if !may_make {
            return Ok(Ensured::NoRoom);
        }
        let id = super::secret::alphanumeric(tx, business::ID_CHARS);
        let mut chance = [0; 8];
        tx.random(&mut chance);
        let app = 10_000 + (i64::from_be_bytes(chance) & i64::MAX) % APPS;
        let made = tx
            .exec(
                sql!(
                    "INSERT INTO channel (root, id, account, business, external, msisdn, name, transport, stage, plan, app,
                     permitted, quality, reach, profile, next, created, modified)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $14, $15, '{}', $13, $13, $13)
                     ON CONFLICT DO NOTHING"
                ),
                &[
                    &scope.root,
                    &id,
                    &scope.account,
                    &new.business.id,
                    &new.external,
                    &new.msisdn,
                    &new.name,
                    &new.transport,
                    &Stage::Created,
                    &new.plan,
                    &app,
                    &new.permitted,
                    &now,
                    &Quality::High,
                    &REACH,
                ],
            )
            .await?;
        if made == 1 {
            tell(tx, scope.root, &id, Kind::ChannelCreated, dialect).await?;
            return Ok(Ensured::Made(id));
        }
    }
    Err(Error::Unavailable("no free id was found; try again".into()))
}

/// Whether a channel that has not ended has this id at the network, whosever it is.
async fn is_taken(tx: &mut Tx, transport: TransportId, external: &str) -> Result<bool> {
    // All tenants: a number is one account's.
    let found: Option<bool> = tx
        .maybe(
            sql!(
                "SELECT permitted FROM channel WHERE transport = $1 AND external = $2 AND terminated IS NULL"
            ),
            &[&transport, &external],
        )
        .await?;
    Ok(found.is_some())
}

/// Tells a channel's partner.
async fn tell(tx: &mut Tx, partner: AccountId, id: &str, kind: Kind, dialect: Dialect) -> Result<()> {
    match find(tx, &(partner, id.to_owned())).await {
        Ok(view) => event::tell_partner(tx, partner, kind, &About::Channel(&view), dialect).await,
        // Of a deleted client nothing is told.
        Err(Error::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Steps that one unit takes.
const STEPS_MAX: i64 = 32;
/// An end that was asked for comes after this time.
const NOTICE_US: i64 = 30 * 86_400 * 1_000_000;

/// Takes the steps that are due, at most one of each channel; whether there may be more.
pub async fn advance(tx: &mut Tx, dialect: &Dialect) -> Result<bool> {
    // All tenants: whoever's turn it is.
    let now: Timestamp = tx.now();
    let due: Vec<(AccountId, AccountId, String, Stage, bool)> = tx
        .all(
            sql!(
                "SELECT root, account, id, stage, permitted FROM channel WHERE next > 0 AND next <= $1 ORDER BY next, root, id
                 LIMIT $2 FOR UPDATE SKIP LOCKED"
            ),
            &[&now, &STEPS_MAX],
        )
        .await?;
    for (root, account, id, stage, permitted) in &due {
        let (after, next) = match stage {
            Stage::Created => (Stage::Ready, now.0),
            Stage::Ready => (Stage::Running, now.0),
            Stage::Running => (Stage::Live, 0),
            Stage::Live | Stage::Terminated => (Stage::Terminated, 0),
        };
        let (billed, terminated) = (after == Stage::Live, after == Stage::Terminated);
        tx.put(
            sql!(
                "UPDATE channel SET stage = $3, modified = $5,
                 next = CASE WHEN $6 AND cancelled IS NOT NULL THEN cancelled + CAST($8 AS BIGINT) ELSE $4 END,
                 billed = CASE WHEN $6 THEN COALESCE(billed, $5) ELSE billed END,
                 terminated = CASE WHEN $7 THEN $5 ELSE terminated END WHERE root = $1 AND id = $2"
            ),
            &[root, id, &after, &next, &now, &billed, &terminated, &NOTICE_US],
        )
        .await?;
        let kind = match after {
            Stage::Created => continue,
            Stage::Ready => Kind::ChannelReady,
            Stage::Running => Kind::ChannelRunning,
            Stage::Live => Kind::ChannelLive,
            Stage::Terminated => Kind::CancellationProcessed,
        };
        tell(tx, *root, id, kind, *dialect).await?;
        if after == Stage::Running && *permitted {
            tell(tx, *root, id, Kind::PermissionGranted, *dialect).await?;
        }
        if terminated {
            key::revoke_for(tx, *account, Role::Channel, Some(id)).await?;
        }
    }
    Ok(!due.is_empty())
}

/// Asks for a channel's end, or takes that back.
#[derive(Debug, Clone)]
pub struct Cancel {
    /// Which.
    pub of: Of,
    /// Whether it is to end.
    pub enabled: bool,
    /// How what happens is told.
    pub dialect: Dialect,
}

/// Asks for a channel's end, or takes that back; asking twice is once.
pub async fn cancel(tx: &mut Tx, cancel: &Cancel) -> Result<View> {
    let of = &cancel.of;
    of_client(tx, of).await?;
    let now: Timestamp = tx.now();
    let root = of.client.partner;
    let (changed, kind) = if cancel.enabled {
        let changed = tx
            .exec(
                sql!(
                    "UPDATE channel SET cancelled = $3, modified = $3, next = CASE WHEN stage = 'live' THEN $4 ELSE next END
                     WHERE root = $1 AND id = $2 AND cancelled IS NULL AND terminated IS NULL"
                ),
                &[&root, &of.id, &now, &now.0.saturating_add(NOTICE_US)],
            )
            .await?;
        (changed, Kind::CancellationRequested)
    } else {
        let changed = tx
            .exec(
                sql!(
                    "UPDATE channel SET cancelled = NULL, modified = $3, next = CASE WHEN stage = 'live' THEN 0 ELSE next END
                     WHERE root = $1 AND id = $2 AND cancelled IS NOT NULL AND terminated IS NULL"
                ),
                &[&root, &of.id, &now],
            )
            .await?;
        (changed, Kind::CancellationRevoked)
    };
    if changed == 1 {
        tell(tx, root, &of.id, kind, cancel.dialect).await?;
    }
    of_client(tx, of).await
}

/// Takes a channel's end back, before it or after; refused if the client has as many channels as it may, or somebody else
/// has the number by now.
pub async fn reactivate(tx: &mut Tx, (of, dialect): &(Of, Dialect)) -> Result<View> {
    // The number of channels is counted behind this lock.
    account::lock(tx, &of.client.child).await.map_err(|error| match error {
        Error::NotFound(_) => Error::NotFound(Noun::Client),
        other => other,
    })?;
    let View { channel, client, .. } = of_client(tx, of).await?;
    if channel.terminated.is_some() {
        if is_taken(tx, channel.transport, &channel.external).await? {
            return Err(Violation::new("number", Code::Taken).into());
        }
        if count(tx, channel.scope).await? >= client.channels_max {
            return Err(Error::Forbidden);
        }
    }
    let now: Timestamp = tx.now();
    let root = of.client.partner;
    let revived = tx
        .exec(
            sql!(
                "UPDATE channel SET stage = $3, cancelled = NULL, terminated = NULL, next = 0, modified = $4
                 WHERE root = $1 AND id = $2 AND terminated IS NOT NULL"
            ),
            &[&root, &of.id, &Stage::Live, &now],
        )
        .await?;
    if revived == 1 {
        tell(tx, root, &of.id, Kind::ChannelLive, *dialect).await?;
        return of_client(tx, of).await;
    }
    cancel(tx, &Cancel { of: of.clone(), enabled: false, dialect: *dialect }).await
}

/// Which channels of a client its partner may make keys for.
#[derive(Debug, Clone)]
pub struct Permit {
    /// Whose.
    pub client: ChildOf,
    /// Those that it may.
    pub granted: Vec<String>,
    /// Those that it may not.
    pub revoked: Vec<String>,
    /// How what happens is told.
    pub dialect: Dialect,
}

/// Grants and withdraws permissions; answers which really changed. What is withdrawn takes the channel's keys with it.
pub async fn permit(tx: &mut Tx, permit: &Permit) -> Result<Vec<String>> {
    let ChildOf { partner, child } = permit.client;
    let now: Timestamp = tx.now();
    let wanted = |ids: &[String], on: bool| ids.iter().map(|id| (id.clone(), on)).collect::<Vec<_>>();
    let mut all = [wanted(&permit.granted, true), wanted(&permit.revoked, false)].concat();
    all.sort();
    let mut changed = Vec::new();
    for (id, on) in all {
        let done = tx
            .maybe::<(Stage,)>(
                sql!(
                    "UPDATE channel SET permitted = $4, modified = $5
                     WHERE root = $1 AND account = $2 AND id = $3 AND permitted <> $4 RETURNING stage"
                ),
                &[&partner, &child, &id, &on, &now],
            )
            .await?;
        let Some((stage,)) = done else { continue };
        if !on {
            key::revoke_for(tx, child, Role::Channel, Some(&id)).await?;
            tell(tx, partner, &id, Kind::PermissionRevoked, permit.dialect).await?;
        } else if matches!(stage, Stage::Running | Stage::Live) {
            // Before that it is told when keys can be made.
            tell(tx, partner, &id, Kind::PermissionGranted, permit.dialect).await?;
        }
        changed.push(id);
    }
    Ok(changed)
}

/// Why a key cannot be made, or the key.
#[derive(Debug, Clone)]
pub enum MadeKey {
    /// The key, shown once, and the channel.
    Made(NewKey, Box<View>),
    /// The channel is not that far yet, or has ended.
    NotRunning,
}

/// Makes a key for a channel; all earlier ones are void (spec 31 section 3.1).
pub async fn make_key(tx: &mut Tx, (partner, id): &(AccountId, String)) -> Result<MadeKey> {
    let locked: Option<String> = tx
        .maybe(sql!("SELECT id FROM channel WHERE root = $1 AND id = $2 FOR UPDATE"), &[partner, id])
        .await?;
    if locked.is_none() {
        return Err(Error::NotFound(Noun::Channel));
    }
    let view = find(tx, &(*partner, id.clone())).await?;
    if !view.channel.is_running() {
        return Ok(MadeKey::NotRunning);
    }
    if !view.channel.permitted {
        return Err(Error::Forbidden);
    }
    let scope = view.channel.scope;
    let bounds = api_key::bounds_of_channel(tx, scope.account, id).await?;
    key::revoke_for(tx, scope.account, Role::Channel, Some(id)).await?;
    let text = Secret::generate(tx, "", KEY_CHARS);
    let made = key::add_for(tx, scope, Role::Channel, "", text, Some(id), None).await?;
    api_key::inherit(tx, made.id, bounds).await?;
    Ok(MadeKey::Made(made, Box::new(view)))
}

/// Characters of a channel's key.
const KEY_CHARS: usize = 36;

/// A channel with the keys of it that work.
pub async fn keys(rx: &mut Rx, of: &(AccountId, String)) -> Result<(View, Vec<KeyId>)> {
    let view = find(rx, of).await?;
    let keys = key::list_for(rx, view.channel.scope.account, Role::Channel, &of.1).await?;
    Ok((view, keys))
}

/// Makes all keys of a channel void; answers whose it is.
pub async fn revoke_keys(tx: &mut Tx, of: &(AccountId, String)) -> Result<Scope> {
    let scope = find(tx, of).await?.channel.scope;
    key::revoke_for(tx, scope.account, Role::Channel, Some(&of.1)).await?;
    Ok(scope)
}

/// The URL of a channel's callbacks and the headers that go with it, sealed: its own if it has a URL of its own, else its
/// business account's.
pub(super) async fn hook_headers(
    rx: &mut Rx,
    scope: &Scope,
    id: &str,
) -> Result<Option<(String, Place, Vec<u8>)>> {
    type Row = (Option<String>, Option<Vec<u8>>, String, Option<String>, Option<Vec<u8>>);
    let found: Option<Row> = rx
        .maybe(
            sql!(
                "SELECT h.webhook_url, h.webhook_headers, b.id, b.webhook_url, b.webhook_headers FROM channel h
                 JOIN business b ON b.root = h.root AND b.id = h.business
                 WHERE h.root = $1 AND h.account = $2 AND h.id = $3"
            ),
            &[&scope.root, &scope.account, &id],
        )
        .await?;
    Ok(found.and_then(|(own, headers, business, its, its_headers)| match own {
        Some(url) => headers.map(|sealed| (url, hook::place(*scope, id), sealed)),
        None => its.zip(its_headers).map(|(url, sealed)| (url, hook::place(*scope, &business), sealed)),
    }))
}

/// Replaces what a channel says of itself.
pub async fn set_profile(tx: &mut Tx, (scope, id, profile): &(Scope, String, String)) -> Result<()> {
    let now: Timestamp = tx.now();
    let changed = tx
        .exec(
            sql!(
                "UPDATE channel SET profile = $4, modified = $5 WHERE root = $1 AND account = $2 AND id = $3"
            ),
            &[&scope.root, &scope.account, id, profile, &now],
        )
        .await?;
    if changed == 0 { Err(Error::NotFound(Noun::Channel)) } else { Ok(()) }
}

/// Keeps the key with which data of a channel's forms is encrypted.
pub async fn set_public_key(tx: &mut Tx, (scope, id, key): &(Scope, String, String)) -> Result<()> {
    let changed = tx
        .exec(
            sql!("UPDATE channel SET public_key = $4 WHERE root = $1 AND account = $2 AND id = $3"),
            &[&scope.root, &scope.account, id, key],
        )
        .await?;
    if changed == 0 { Err(Error::NotFound(Noun::Channel)) } else { Ok(()) }
}

/// The key with which data of a channel's forms is encrypted, if there is one.
pub async fn public_key(rx: &mut Rx, (scope, id): &(Scope, String)) -> Result<Option<String>> {
    let found: Option<Option<String>> = rx
        .maybe(
            sql!("SELECT public_key FROM channel WHERE root = $1 AND account = $2 AND id = $3"),
            &[&scope.root, &scope.account, id],
        )
        .await?;
    Ok(found.flatten())
}
