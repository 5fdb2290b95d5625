//! Rollups: how many recipients there were, in each quarter of an hour, of each account, country, network, kind, carrier
//! and status, with their parts and prices. What reports are made of, so that none looks at messages.
//!
//! A unit of a message writes nothing for them. The recipient's row says as what it was counted, and an index has just
//! those rows that stand in the rollups otherwise than they are: a sweep takes the oldest of them, moves each from where it
//! was counted to where it belongs, and notes that in the row, all in one unit. So there is no cursor that could pass
//! over what is committed late, what is told twice counts once, and several processes may sweep at the same time.

use super::carrier::CarrierId;
use super::message::{Direction, Format, MessageId, Status};
use super::money::Amount;
use super::network;
use super::phone::{self, Msisdn, Originator};
use super::{Result, Scope, Timestamp};
use std::collections::BTreeMap;
use store::{FromRow, Row, Rx, Store, Tx, sql};

/// A bucket: a quarter of an hour, so that days of every time zone can be summed from them.
pub const QUARTER_US: i64 = 900 * 1_000_000;
/// Recipients that one unit counts: each is a row, and up to two rows of rollups.
const BATCH: i64 = 160;
/// A state is counted when it has stood for this time: most messages are final by then and are counted once.
const STANDS_US: i64 = 5_000_000;

/// The beginning of the quarter of an hour that a moment is in.
pub fn bucket(at: Timestamp) -> Timestamp {
    Timestamp(at.0.div_euclid(QUARTER_US).saturating_mul(QUARTER_US))
}

/// A recipient as it is and as it was counted.
#[derive(Debug, Clone)]
pub struct Seen {
    scope: Scope,
    message: MessageId,
    to: Msisdn,
    direction: Direction,
    format: Format,
    from: Originator,
    parts: i64,
    created: Timestamp,
    status: Status,
    price: Amount,
    carrier: CarrierId,
    network: Option<String>,
    counted: Option<Status>,
    counted_price: Amount,
    country: String,
}

impl FromRow for Seen {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Seen {
            scope: Scope { root: row.next()?, account: row.next()? },
            message: row.next()?,
            to: row.next()?,
            direction: row.next()?,
            format: row.next()?,
            from: row.next()?,
            parts: row.next()?,
            created: row.next()?,
            status: row.next()?,
            price: row.next()?,
            carrier: row.next()?,
            network: row.next()?,
            counted: row.next()?,
            counted_price: row.next()?,
            country: String::new(),
        })
    }
}

/// The columns of a recipient `r` and its message `m`.
const COLUMNS: &str = "r.root, r.account, r.message, r.msisdn, m.direction, m.kind, m.originator, m.parts, m.created, r.status, r.price, \
     r.carrier, r.network, r.counted, r.counted_price";

impl Seen {
    /// Who is at the other end; `None` for a sender that is no number.
    fn remote(&self) -> Option<Msisdn> {
        remote(self.direction, self.to, &self.from)
    }

    /// Where it stands in the rollups with a status.
    fn place(&self, status: Status) -> Place {
        Place {
            scope: (self.scope.root.0, self.scope.account.0),
            bucket: bucket(self.created).0,
            direction: self.direction.name(),
            format: self.format.name(),
            country: self.country.clone(),
            network: self.network.clone().unwrap_or_default(),
            // Known from the end on: until then it may go another way.
            carrier: if status.is_final() { self.carrier.0 } else { 0 },
            status: status.name(),
        }
    }
}

/// Whose number a message went to or came from.
pub(super) fn remote(direction: Direction, to: Msisdn, from: &Originator) -> Option<Msisdn> {
    match direction {
        Direction::Out => Some(to),
        Direction::In => Msisdn::parse(from.as_str()).ok(),
    }
}

/// Two letters of ISO 3166-1, or nothing for a number of no country.
pub(super) fn country_of(number: Option<Msisdn>) -> String {
    number.and_then(phone::region).map(|(code, _)| code).unwrap_or_default()
}

/// A row of the rollups.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    scope: (i64, i64),
    bucket: i64,
    direction: &'static str,
    format: &'static str,
    country: String,
    network: String,
    carrier: i64,
    status: &'static str,
}

/// What is added to rows of the rollups.
#[derive(Debug, Default)]
struct Moves(BTreeMap<Place, (i64, i64, i64)>);

impl Moves {
    /// Counts a recipient (`times` 1) or takes it back (-1). Nothing is paid before the hour of a message for later.
    fn add(&mut self, seen: &Seen, status: Status, price: Amount, times: i64) {
        let price = if status == Status::Scheduled { 0 } else { price.0 };
        let (messages, parts, money) = self.0.entry(seen.place(status)).or_default();
        *messages += times;
        *parts = parts.saturating_add(times.saturating_mul(seen.parts));
        *money = money.saturating_add(times.saturating_mul(price));
    }

    /// Writes them, in the order of the rows.
    async fn apply(self, tx: &mut Tx) -> Result<()> {
        let moves: Vec<_> = self.0.into_iter().filter(|(_, by)| *by != (0, 0, 0)).collect();
        for (place, (messages, parts, price)) in &moves {
            tx.put(
                sql!(
                    "INSERT INTO rollup (root, account, bucket, direction, kind, country, network, carrier, status,
                     messages, parts, price) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
                     ON CONFLICT (root, account, bucket, direction, kind, country, network, carrier, status)
                     DO UPDATE SET messages = rollup.messages + $10, parts = rollup.parts + $11,
                     price = rollup.price + $12"
                ),
                &[
                    &place.scope.0,
                    &place.scope.1,
                    &place.bucket,
                    &place.direction,
                    &place.format,
                    &place.country,
                    &place.network,
                    &place.carrier,
                    &place.status,
                    messages,
                    parts,
                    price,
                ],
            )
            .await?;
        }
        for (place, _) in moves.iter().filter(|(_, (messages, ..))| *messages < 0) {
            tx.put(
                sql!(
                    "DELETE FROM rollup WHERE root = $1 AND account = $2 AND bucket = $3 AND direction = $4 AND kind = $5
                     AND country = $6 AND network = $7 AND carrier = $8 AND status = $9 AND messages = 0"
                ),
                &[
                    &place.scope.0,
                    &place.scope.1,
                    &place.bucket,
                    &place.direction,
                    &place.format,
                    &place.country,
                    &place.network,
                    &place.carrier,
                    &place.status,
                ],
            )
            .await?;
        }
        Ok(())
    }
}

/// What is to be counted, the oldest first.
pub async fn uncounted(rx: &mut Rx, (): &()) -> Result<Vec<Seen>> {
    // All tenants: the sweep works for everybody, in the order of time.
    let now: Timestamp = rx.now();
    let mut found: Vec<Seen> = rx
        .all(
            sql!(
                "SELECT ",
                COLUMNS,
                " FROM (SELECT * FROM recipient
                     WHERE (counted IS NULL OR counted <> status OR counted_price <> price) AND changed <= $1
                     ORDER BY changed LIMIT $2) r
                 JOIN message m ON m.root = r.root AND m.account = r.account AND m.id = r.message"
            ),
            &[&now.0.saturating_sub(STANDS_US), &BATCH],
        )
        .await?;
    let fresh: Vec<Msisdn> =
        found.iter().filter(|one| one.network.is_none()).filter_map(Seen::remote).collect();
    let mut networks = network::codes(rx, &fresh).await?.into_iter();
    for one in &mut found {
        if one.network.is_none() {
            let known = if one.remote().is_some() { networks.next().flatten() } else { None };
            one.network = Some(known.unwrap_or_default());
        }
    }
    Ok(found)
}

/// Counts some recipients; answers whether there may be more.
pub async fn count_some(store: &Store) -> Result<bool> {
    let mut found = store.read((), uncounted).await?;
    if found.is_empty() {
        return Ok(false);
    }
    for one in &mut found {
        one.country = country_of(one.remote());
    }
    // Several processes take the same rows in the same order.
    found.sort_by_key(|one| (one.scope.root, one.scope.account, one.message, one.to));
    let more = i64::try_from(found.len()).is_ok_and(|found| found == BATCH);
    store.bulk(found, count).await?;
    Ok(more)
}

/// Moves recipients from where they were counted to where they belong. One that has changed since it was looked at, or
/// that another process has counted, is left for the next look.
#[expect(clippy::ptr_arg, reason = "a command is what it was given as")]
pub async fn count(tx: &mut Tx, found: &Vec<Seen>) -> Result<()> {
    let noted = tx
        .exec_each(
            sql!(
                "UPDATE recipient SET counted = $5, counted_price = $6, network = $7
                 WHERE root = $1 AND account = $2 AND message = $3 AND msisdn = $4 AND status = $5 AND price = $6
                 AND counted IS NOT DISTINCT FROM CAST($8 AS TEXT) AND counted_price = $9"
            ),
            found,
            |one| {
                [
                    &one.scope.root,
                    &one.scope.account,
                    &one.message,
                    &one.to,
                    &one.status,
                    &one.price,
                    &one.network,
                    &one.counted,
                    &one.counted_price,
                ]
            },
        )
        .await?;
    let mut moves = Moves::default();
    for (one, _) in found.iter().zip(noted).filter(|(_, noted)| *noted == 1) {
        if let Some(before) = one.counted {
            moves.add(one, before, one.counted_price, -1);
        }
        moves.add(one, one.status, one.price, 1);
    }
    moves.apply(tx).await
}

/// Removes recipients of messages that are not on their way, and takes them out of the rollups; answers which there were.
/// At most 100.
pub(super) async fn remove(
    tx: &mut Tx,
    scope: &Scope,
    recipients: &[(MessageId, Msisdn)],
) -> Result<Vec<MessageId>> {
    let found: Vec<Option<Seen>> = tx
        .maybe_each(
            sql!(
                "SELECT ",
                COLUMNS,
                " FROM recipient r JOIN message m ON m.root = r.root AND m.account = r.account AND m.id = r.message
                 WHERE r.root = $1 AND r.account = $2 AND r.message = $3 AND r.msisdn = $4 AND r.open = 0 FOR UPDATE"
            ),
            recipients,
            |(message, to)| [&scope.root, &scope.account, message, to],
        )
        .await?;
    let mut found: Vec<Seen> = found.into_iter().flatten().collect();
    let mut moves = Moves::default();
    for one in &mut found {
        one.country = country_of(one.remote());
        if let Some(before) = one.counted {
            moves.add(one, before, one.counted_price, -1);
        }
    }
    tx.exec_each(
        sql!("DELETE FROM recipient WHERE root = $1 AND account = $2 AND message = $3 AND msisdn = $4"),
        &found,
        |one| [&one.scope.root, &one.scope.account, &one.message, &one.to],
    )
    .await?;
    moves.apply(tx).await?;
    Ok(found.into_iter().map(|one| one.message).collect())
}
