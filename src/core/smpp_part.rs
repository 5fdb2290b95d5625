//! Parts of long messages that customers cut themselves: kept until all of them are there, then one message.
//!
//! A part is answered when it is stored, under an id of its own; the last one's unit makes the message, whose id is what
//! that part is answered with. Each part that wanted a receipt gets its own. What is not complete in time is given up and
//! costs nothing.

use super::callback::{self, About};
use super::message::{self, Message, MessageId, Plan, Reason, Recipient, Status};
use super::money::Amount;
use super::phone::Msisdn;
use super::smpp_outbox::Receipts;
use super::smpp_user::{self, SystemId};
use super::{AccountId, Result, Scope, Timestamp};
use smpp::concatenation::Part;
use smpp::short_message::Place;
use store::{FromRow, Row, Rx, Tx, sql};

/// A part waits for the others this long.
pub const WITHIN_US: i64 = 300 * 1_000_000;
/// Ids of parts are remembered for so long: longer than any message is reported on.
const KEPT_US: i64 = 30 * 86_400 * 1_000_000;
/// Parts that one unit gives up or forgets.
const BATCH: i64 = 64;

/// The parts of one long message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// Whose.
    pub scope: Scope,
    /// Who sends it.
    pub system_id: SystemId,
    /// Whom it says it is from.
    pub source: String,
    /// To whom.
    pub destination: Msisdn,
    /// The sender's number for it.
    pub reference: i64,
    /// How many parts there are.
    pub total: i64,
}

const SERIES: &str = "root = $1 AND account = $2 AND system_id = $3 AND source = $4 AND destination = $5 \
     AND reference = $6 AND total = $7 AND waits";

impl Series {
    /// The series that a part belongs to.
    pub fn of(scope: Scope, system_id: &SystemId, source: &str, destination: Msisdn, place: Place) -> Series {
        Series {
            scope,
            system_id: system_id.clone(),
            source: source.to_owned(),
            destination,
            reference: place.reference.into(),
            total: place.total.into(),
        }
    }
}

/// A part that came.
#[derive(Debug, Clone)]
pub struct Arrived {
    /// Of which message.
    pub series: Series,
    /// The part.
    pub part: Part,
    /// Which receipts it wants.
    pub receipts: Receipts,
}

/// A part that waits.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// What it was answered with.
    pub id: MessageId,
    /// The part.
    pub part: Part,
    /// Which receipts it wants.
    pub receipts: Receipts,
}

impl FromRow for Waiting {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        let small = |number: i64| u8::try_from(number).map_err(|_| store::Error::decode("a part's number"));
        let id = row.next()?;
        let reference = u16::try_from(row.next::<i64>()?).map_err(|_| store::Error::decode("a reference"))?;
        let (total, number) = (small(row.next()?)?, small(row.next()?)?);
        let (data_coding, header) = (small(row.next()?)?, small(row.next()?)?);
        let part =
            Part { place: Place { reference, total, number }, data_coding, header, octets: row.next()? };
        Ok(Waiting { id, part, receipts: row.next()? })
    }
}

/// The parts of a message that wait for the others.
pub async fn waiting(rx: &mut Rx, series: &Series) -> Result<Vec<Waiting>> {
    Ok(rx
        .all(
            sql!(
                "SELECT id, reference, total, number, coding, header, octets, receipts FROM smpp_waiting WHERE ",
                SERIES,
                " ORDER BY number"
            ),
            &[
                &series.scope.root,
                &series.scope.account,
                &series.system_id,
                &series.source,
                &series.destination,
                &series.reference,
                &series.total,
            ],
        )
        .await?)
}

/// Locks what waits of a message and answers its ids, in order.
async fn locked(tx: &mut Tx, series: &Series) -> Result<Vec<MessageId>> {
    smpp_user::lock(tx, &series.system_id).await?;
    let mut ids: Vec<MessageId> = tx
        .all(
            sql!("SELECT id FROM smpp_waiting WHERE ", SERIES, " ORDER BY id FOR UPDATE"),
            &[
                &series.scope.root,
                &series.scope.account,
                &series.system_id,
                &series.source,
                &series.destination,
                &series.reference,
                &series.total,
            ],
        )
        .await?;
    ids.sort();
    Ok(ids)
}

/// Stores a part: one that waits, or the last of a message, whose ids are remembered from its hour on.
async fn insert(
    tx: &mut Tx,
    arrived: &Arrived,
    id: MessageId,
    made: Option<(MessageId, Timestamp)>,
) -> Result<bool> {
    let Arrived { series, part, receipts } = arrived;
    let none: &[u8] = &[];
    let (message, created) = (made.map(|(message, _)| message), made.map_or(tx.now(), |(_, hour)| hour));
    let octets = if message.is_none() { part.octets.clone() } else { none.to_vec() };
    let stored = tx
        .exec(
            sql!(
                "INSERT INTO smpp_waiting (root, account, id, system_id, source, destination, reference, total, number,
                 coding, header, octets, receipts, waits, message, created)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
                 ON CONFLICT (root, account, system_id, source, destination, reference, total, number) WHERE waits
                 DO NOTHING"
            ),
            &[
                &series.scope.root,
                &series.scope.account,
                &id,
                &series.system_id,
                &series.source,
                &series.destination,
                &series.reference,
                &series.total,
                &i64::from(part.place.number),
                &i64::from(part.data_coding),
                &i64::from(part.header),
                &octets,
                receipts,
                &message.is_none(),
                &message,
                &created,
            ],
        )
        .await?;
    Ok(stored == 1)
}

/// Stores a part that others are still missing to; answers its id. `None` if that is no longer so, or if it is there
/// already: look again.
pub async fn keep(tx: &mut Tx, arrived: &Arrived) -> Result<Option<MessageId>> {
    let there = message::count(locked(tx, &arrived.series).await?.len());
    if there + 1 >= arrived.series.total {
        return Ok(None);
    }
    let id = tx.id();
    Ok(insert(tx, arrived, id, None).await?.then_some(id))
}

/// What a part of a test user is answered with. It is not kept: neither waits it for others, nor do others for it.
pub async fn rehearsed(tx: &mut Tx, (): &()) -> Result<MessageId> {
    Ok(tx.id())
}

/// The last part of a message, with what the whole message is.
#[derive(Debug, Clone)]
pub struct Completion {
    /// The last part.
    pub last: Arrived,
    /// The parts that the message was read from.
    pub others: Vec<MessageId>,
    /// The message.
    pub plan: Plan,
}

/// Accepts a message of which the last part is there. `None` if its other parts are not those it was read from: look
/// again.
pub async fn complete(tx: &mut Tx, completion: &Completion) -> Result<Option<Message>> {
    let Completion { last, others, plan } = completion;
    let hour: Timestamp = plan.hour().unwrap_or(tx.now());
    let mut wanted = others.clone();
    wanted.sort();
    if locked(tx, &last.series).await? != wanted {
        return Ok(None);
    }
    let message = message::accept(tx, plan).await?;
    let Scope { root, account } = last.series.scope;
    let nothing: &[u8] = &[];
    for id in others {
        tx.put(
            sql!(
                "UPDATE smpp_waiting SET waits = $5, message = $4, octets = $6, created = $7
                 WHERE root = $1 AND account = $2 AND id = $3"
            ),
            &[&root, &account, id, &message.id, &false, &nothing.to_vec(), &hour],
        )
        .await?;
    }
    insert(tx, last, message.id, Some((message.id, hour))).await?;
    Ok(Some(message))
}

/// What became of a part: under which id it was answered, and what is told of it.
#[derive(Debug, Clone)]
pub struct Piece {
    /// What it was answered with.
    pub id: MessageId,
    /// Which receipts it wants.
    pub receipts: Receipts,
    /// Whom it said it was from.
    pub source: String,
    /// When it came.
    pub created: Timestamp,
}

impl FromRow for Piece {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Piece { id: row.next()?, receipts: row.next()?, source: row.next()?, created: row.next()? })
    }
}

/// The parts that each message came in; or the part itself, for one that was given up.
pub(super) async fn pieces(rx: &mut Rx, messages: &[(Scope, MessageId)]) -> Result<Vec<Vec<Piece>>> {
    Ok(rx
        .all_each(
            sql!(
                "SELECT id, receipts, source, created FROM smpp_waiting
                 WHERE root = $1 AND account = $2 AND message = $3 ORDER BY number"
            ),
            messages,
            |(scope, id)| [&scope.root, &scope.account, id],
        )
        .await?)
}

/// A part to be given up: whose, its id, its user, its number, which receipts it wants.
type Old = (AccountId, AccountId, MessageId, SystemId, Msisdn, Receipts);

async fn end(tx: &mut Tx, old: &[Old]) -> Result<()> {
    let now: Timestamp = tx.now();
    let nothing: &[u8] = &[];
    for (root, account, id, system_id, destination, receipts) in old {
        let scope = Scope { root: *root, account: *account };
        let Some(url) = receipts.url(system_id) else {
            tx.put(
                sql!("DELETE FROM smpp_waiting WHERE root = $1 AND account = $2 AND id = $3"),
                &[&scope.root, &scope.account, id],
            )
            .await?;
            continue;
        };
        // It stands for a message of its own, which what is told of it finds.
        tx.put(
            sql!(
                "UPDATE smpp_waiting SET waits = $4, octets = $5, message = $3
                 WHERE root = $1 AND account = $2 AND id = $3"
            ),
            &[&scope.root, &scope.account, id, &false, &nothing.to_vec()],
        )
        .await?;
        let recipient = Recipient {
            msisdn: *destination,
            status: Status::Expired,
            reason: Some(Reason::Expired),
            error: None,
            changed: now,
            price: Amount::ZERO,
        };
        let about = About { message: *id, recipient };
        callback::push(tx, scope, callback::Kind::Status, &url, &about).await?;
    }
    Ok(())
}

/// Gives up what waits of a message, since another one with the same reference has begun.
pub async fn supersede(tx: &mut Tx, series: &Series) -> Result<()> {
    let mut old: Vec<Old> = Vec::new();
    for id in locked(tx, series).await? {
        let found = tx
            .maybe(
                sql!(
                    "SELECT root, account, id, system_id, destination, receipts FROM smpp_waiting
                     WHERE root = $1 AND account = $2 AND id = $3"
                ),
                &[&series.scope.root, &series.scope.account, &id],
            )
            .await?;
        old.extend(found);
    }
    end(tx, &old).await
}

/// Gives up parts whose others have not come in time; answers whether there may be more.
pub async fn give_up(tx: &mut Tx, (): &()) -> Result<bool> {
    // All tenants: the sweep works for everybody, the oldest first.
    let now: Timestamp = tx.now();
    let old: Vec<Old> = tx
        .all(
            sql!(
                "SELECT root, account, id, system_id, destination, receipts FROM smpp_waiting
                 WHERE waits AND created <= $1 ORDER BY created, id LIMIT $2 FOR UPDATE"
            ),
            &[&now.0.saturating_sub(WITHIN_US), &BATCH],
        )
        .await?;
    end(tx, &old).await?;
    Ok(message::count(old.len()) == BATCH)
}

/// Forgets the ids of parts that nothing is told of any more; answers whether there may be more.
pub async fn forget(tx: &mut Tx, (): &()) -> Result<bool> {
    // All tenants: the sweep works for everybody, the oldest first.
    let now: Timestamp = tx.now();
    let gone = tx
        .exec(
            sql!(
                "DELETE FROM smpp_waiting WHERE (root, account, id) IN (
                     SELECT root, account, id FROM smpp_waiting WHERE NOT waits AND created < $1
                     ORDER BY created LIMIT $2)"
            ),
            &[&now.0.saturating_sub(KEPT_US), &BATCH],
        )
        .await?;
    Ok(gone >= BATCH.unsigned_abs())
}
