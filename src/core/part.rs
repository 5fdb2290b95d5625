//! Parts: what a carrier is given, from the message's accepting until nothing more is expected.
//!
//! A part's row is the outbox of its carrier, the hold of its price and the place where a receipt finds its message
//! (docs/decisions/0002). It is marked before a byte leaves. One that was marked and has no reference is in doubt if its
//! process is gone. Whoever works on a carrier's parts holds its lease; every change is guarded besides, so that what
//! is told twice counts once.

use super::carrier::CarrierId;
use super::lease::{self, Holder, Lane};
use super::ledger::{Charge, Settlement};
use super::message::{Coding, Format, MessageId, Reason, Status};
use super::money::{Amount, Currency};
use super::phone::{Msisdn, Originator};
use super::query::Askable;
use super::receipt::{self, Outcome};
use super::route::{self, Way};
use super::smpp_carrier::Doubt;
use super::{AccountId, Error, Result, Scope, Timestamp};
use std::collections::{BTreeMap, HashSet};
use store::{FromRow, Row, Rx, Tx, sql};

store::id! {
    /// A part's id: its first 48 bits are the millisecond of its making, which is the order of a carrier's lane.
    PartId
}

/// Parts that one unit hands over, accepts or finishes.
pub const BATCH: usize = 128;
/// The number of a part that is a whole message of several: its carrier gets it in one piece.
pub const WHOLE: i64 = 0;
/// A receipt may come this much later than the validity that was asked for.
pub(super) const GRACE_US: i64 = 600 * 1_000_000;
/// What a removed carrier was given may still be answered for so long.
const ANSWERS_WITHIN_US: i64 = 60 * 1_000_000;
/// The mark of a part that waits for its account to be resumed.
const PARKED: i64 = -1;

/// A carrier's lane.
pub fn lane(carrier: CarrierId) -> Lane {
    let mut lane = [0; 16];
    lane[8..].copy_from_slice(&carrier.0.to_be_bytes());
    Lane(lane)
}

/// Puts a part into its carrier's lane.
pub(super) async fn push(
    tx: &mut Tx,
    carrier: CarrierId,
    charge: Charge,
    (message, to, number): (MessageId, Msisdn, i64),
    expires: Timestamp,
) -> Result<()> {
    // All tenants: a carrier's lane is everybody's; the row says whose it is.
    let id: PartId = tx.id();
    let Charge { scope, currency, price, cost } = charge;
    tx.put(
        sql!(
            "INSERT INTO part (carrier, id, root, account, message, msisdn, number, currency, price, cost, marked, expires)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, $11)"
        ),
        &[
            &carrier,
            &id,
            &scope.root,
            &scope.account,
            &message,
            &to,
            &number,
            &currency,
            &price,
            &cost,
            &expires,
        ],
    )
    .await?;
    Ok(())
}

/// A part with what its carrier and its reports need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its id.
    pub id: PartId,
    /// Whose.
    pub scope: Scope,
    /// Of which message.
    pub message: MessageId,
    /// To whom.
    pub to: Msisdn,
    /// From 1, or [`WHOLE`].
    pub number: i64,
    /// Of all prices.
    pub currency: Currency,
    /// What the account pays.
    pub price: Amount,
    /// What its partner pays.
    pub cost: Amount,
    /// Whether the carrier has accepted it.
    pub accepted: bool,
    /// Whom it is from.
    pub originator: Originator,
    /// The whole message's text; the hexadecimal digits of a binary one.
    pub body: String,
    /// Its alphabet.
    pub coding: Coding,
    /// Its kind.
    pub format: Format,
    /// The message's number of parts.
    pub parts: i64,
    /// Its class (3GPP 23.038 section 4): 0 is shown at once.
    pub class: i64,
    /// The user data header that a binary message brings along, in hexadecimal digits.
    pub udh: Option<String>,
    /// Seconds for which it may be tried, if the message says so.
    pub validity: Option<i64>,
    /// When it is given up.
    pub expires: Timestamp,
    /// Where its reports go, if it has a reference and somewhere to go.
    pub reports_to: Option<String>,
}

pub(super) const COLUMNS: &str = "p.id, p.root, p.account, p.message, p.msisdn, p.number, p.currency, p.price, p.cost, p.reference IS NOT NULL, \
     m.originator, m.body, m.coding, m.kind, m.parts, m.class, m.udh, m.validity, p.expires, \
     CASE WHEN substr(m.report_url, 1, 5) = 'smpp:' THEN m.report_url \
          WHEN m.reference IS NULL THEN NULL ELSE COALESCE(m.report_url, s.report_url) END \
     FROM part p JOIN message m ON m.root = p.root AND m.account = p.account AND m.id = p.message \
     LEFT JOIN messaging s ON s.root = p.root AND s.account = p.account";

impl FromRow for Part {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Part {
            id: row.next()?,
            scope: Scope { root: row.next()?, account: row.next()? },
            message: row.next()?,
            to: row.next()?,
            number: row.next()?,
            currency: row.next()?,
            price: row.next()?,
            cost: row.next()?,
            accepted: row.next()?,
            originator: row.next()?,
            body: row.next()?,
            coding: row.next()?,
            format: row.next()?,
            parts: row.next()?,
            class: row.next()?,
            udh: row.next()?,
            validity: row.next()?,
            expires: row.next()?,
            reports_to: row.next::<Option<String>>()?.filter(|url| !url.is_empty()),
        })
    }
}

impl Part {
    /// The price of all parts of its message.
    pub(super) fn of_all(&self) -> Amount {
        let each = if self.number == WHOLE { 1 } else { self.parts };
        self.price.times(each).unwrap_or(self.price)
    }

    pub(super) fn charge(&self) -> Charge {
        Charge { scope: self.scope, currency: self.currency, price: self.price, cost: self.cost }
    }
}

/// Who works on which carrier's parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shift {
    /// The carrier.
    pub carrier: CarrierId,
    /// The process.
    pub holder: Holder,
}

/// What a process without the lease is told; another one has it.
fn lost() -> Error {
    Error::Unavailable("another process works on this lane".into())
}

pub(super) async fn on_shift(tx: &mut Tx, shift: &Shift) -> Result<()> {
    if lease::take(tx, &(lane(shift.carrier), shift.holder)).await? { Ok(()) } else { Err(lost()) }
}

/// What a carrier is given next.
#[derive(Debug, Default)]
pub struct Claimed {
    /// Marked as handed over from now on, in the order of the lane.
    pub parts: Vec<Part>,
    /// How many were met beside them and may not be sent: those of suspended accounts, and to who has opted out since.
    /// Behind them there may be more.
    pub aside: usize,
}

/// Takes the next waiting parts. Those of suspended accounts are put aside.
pub async fn claim(tx: &mut Tx, (shift, most): &(Shift, usize)) -> Result<Claimed> {
    // All tenants: a carrier's lane is everybody's, in the order of time.
    on_shift(tx, shift).await?;
    let most = i64::try_from(*most).unwrap_or(i64::MAX);
    let now: Timestamp = tx.now();
    let marked: Vec<(PartId, i64)> = tx
        .all(
            sql!(
                "UPDATE part SET marked = CASE WHEN EXISTS (SELECT 1 FROM account a
                     WHERE a.id IN (part.account, part.root) AND a.status = 'suspended') THEN -1 ELSE CAST($3 AS BIGINT) END
                 WHERE carrier = $1 AND marked = 0 AND id IN (SELECT id FROM part
                     WHERE carrier = $1 AND marked = 0 AND reference IS NULL AND marked >= 0 ORDER BY id LIMIT $2)
                 RETURNING id, marked"
            ),
            &[&shift.carrier, &most, &now],
        )
        .await?;
    let taken: HashSet<PartId> =
        marked.iter().filter(|(_, mark)| *mark != PARKED).map(|(id, _)| *id).collect();
    let (Some(first), Some(last)) = (taken.iter().min(), taken.iter().max()) else {
        return Ok(Claimed { parts: Vec::new(), aside: marked.len() });
    };
    let parts: Vec<Part> = tx
        .all(
            sql!(
                "SELECT ",
                COLUMNS,
                " WHERE p.carrier = $1 AND p.id >= $2 AND p.id <= $3 AND p.marked = $4 AND p.reference IS NULL
                 ORDER BY p.id"
            ),
            &[&shift.carrier, first, last, &now],
        )
        .await?;
    // One that an earlier turn of the same microsecond has marked is not this turn's.
    let claimed = parts.into_iter().filter(|part| taken.contains(&part.id)).collect();
    let parts = drop_opted_out(tx, shift.carrier, claimed).await?;
    Ok(Claimed { aside: marked.len() - parts.len(), parts })
}

/// Ends parts to those who have opted out since their message was accepted; answers the others. Their price is released.
async fn drop_opted_out(tx: &mut Tx, carrier: CarrierId, claimed: Vec<Part>) -> Result<Vec<Part>> {
    // All tenants: a carrier's lane is everybody's; each part is held against its own account's list.
    let (Some(first), Some(last)) = (claimed.first(), claimed.last()) else { return Ok(claimed) };
    let refused: Vec<PartId> = tx
        .all(
            sql!(
                "SELECT p.id FROM part p
                 JOIN opt_out o ON o.root = p.root AND o.account = p.account AND o.msisdn = p.msisdn
                 WHERE p.carrier = $1 AND p.id >= $2 AND p.id <= $3 AND p.marked > 0 AND p.reference IS NULL"
            ),
            &[&carrier, &first.id, &last.id],
        )
        .await?;
    let refused: HashSet<PartId> = refused.into_iter().collect();
    let (dropped, claimed): (Vec<Part>, Vec<Part>) =
        claimed.into_iter().partition(|part| refused.contains(&part.id));
    let mut money = Settlement::default();
    let outcome =
        Outcome { status: Status::Failed, reason: Reason::OptedOut, error: Some(super::opt_out::ERROR) };
    let ended: Vec<(&Part, Outcome)> = dropped.iter().map(|part| (part, outcome)).collect();
    receipt::finish(tx, carrier, &ended, &mut money).await?;
    for part in &dropped {
        tx.put(
            sql!(
                "UPDATE recipient SET price = price - $5
                 WHERE root = $1 AND account = $2 AND message = $3 AND msisdn = $4 AND reason = 'opted out'"
            ),
            &[&part.scope.root, &part.scope.account, &part.message, &part.to, &part.price],
        )
        .await?;
    }
    money.apply(tx).await?;
    Ok(claimed)
}

/// Lets parts that were handed over by a process that is gone wait again, for a carrier that takes the same part twice
/// as once; answers whether there may be more. Only with a fresh lease.
pub async fn take_back(tx: &mut Tx, shift: &Shift) -> Result<bool> {
    // All tenants: a carrier's lane is everybody's.
    on_shift(tx, shift).await?;
    let some = i64::try_from(BATCH).unwrap_or(i64::MAX);
    let back = tx
        .exec(
            sql!(
                "UPDATE part SET marked = 0 WHERE carrier = $1 AND id IN (SELECT id FROM part
                     WHERE carrier = $1 AND marked > 0 AND reference IS NULL AND marked >= 0 ORDER BY id LIMIT $2)"
            ),
            &[&shift.carrier, &some],
        )
        .await?;
    Ok(back == BATCH.try_into().unwrap_or(u64::MAX))
}

/// What a carrier said about a part that it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It has it, and will report under this reference.
    Accepted(String),
    /// The same, and it can be asked what became of it.
    Askable(String, Askable),
    /// It does not take it.
    Refused {
        /// Why.
        reason: Reason,
        /// The carrier's code.
        error: Option<i64>,
    },
}

/// The reference of a part to which its carrier gives none, or one that it has given before.
pub fn own_reference(part: PartId) -> String {
    format!("-{part}")
}

/// Records what a carrier said: what it accepted is paid, what it refused is released.
pub async fn answered(tx: &mut Tx, (shift, answers): &(Shift, Vec<(Part, Answer)>)) -> Result<()> {
    on_shift(tx, shift).await?;
    let mut money = Settlement::default();
    let (mut accepted, mut refused) = (Vec::new(), Vec::new());
    for (part, answer) in answers {
        match answer {
            Answer::Accepted(reference) => accepted.push((part, reference, None)),
            Answer::Askable(reference, askable) => accepted.push((part, reference, Some(askable))),
            Answer::Refused { reason, error } => {
                refused.push((part, Outcome { status: Status::Failed, reason: *reason, error: *error }));
            }
        }
    }
    // A carrier that gives a name twice would else stop all that it has answered beside it.
    let now: Timestamp = tx.now();
    let named: Vec<_> = accepted
        .iter()
        .map(|(part, reference, askable)| {
            let asked = askable.map(|askable| (askable.name.clone(), askable.first(part, now))).unzip();
            (*part, *reference, own_reference(part.id), asked)
        })
        .collect();
    // All tenants: a part is found by its carrier and its id.
    let firsts = tx
        .exec_each(
            sql!(
                "UPDATE part SET expires = expires + $4, reference = CASE WHEN EXISTS (SELECT 1 FROM part o
                     WHERE o.carrier = $1 AND o.reference = CAST($3 AS TEXT)) THEN CAST($5 AS TEXT) ELSE CAST($3 AS TEXT) END,
                     name = $6, ask = $7
                 WHERE carrier = $1 AND id = $2 AND marked > 0 AND reference IS NULL"
            ),
            &named,
            |(part, reference, own, (name, ask))| {
                [&shift.carrier, &part.id, *reference, &GRACE_US, own, name, ask]
            },
        )
        .await?;
    let sent = Outcome { status: Status::Sent, reason: Reason::Pending, error: None };
    for ((part, ..), _) in accepted.iter().zip(firsts).filter(|(_, first)| *first == 1) {
        money.settle(part.charge());
        if part.number <= 1 {
            receipt::report(tx, part, sent).await?;
        }
    }
    receipt::finish(tx, shift.carrier, &refused, &mut money).await?;
    let references: Vec<&String> = accepted.iter().map(|(_, reference, _)| *reference).collect();
    receipt::catch_up(tx, shift.carrier, &references, &mut money).await?;
    money.apply(tx).await
}

/// Lets parts wait again that their carrier did not want just now.
pub async fn put_back(tx: &mut Tx, (shift, parts): &(Shift, Vec<PartId>)) -> Result<()> {
    // All tenants: a part is found by its carrier and its id.
    on_shift(tx, shift).await?;
    for id in parts {
        tx.put(
            sql!(
                "UPDATE part SET marked = 0
                 WHERE carrier = $1 AND id = $2 AND marked > 0 AND reference IS NULL"
            ),
            &[&shift.carrier, id],
        )
        .await?;
    }
    Ok(())
}

/// Parts of which nobody knows whether their carrier has them.
#[derive(Debug, Clone)]
pub struct InDoubt {
    /// Whose carrier it is.
    pub shift: Shift,
    /// Which; none for all that were handed over and not answered: only with a fresh lease.
    pub parts: Option<Vec<PartId>>,
    /// What becomes of them.
    pub doubt: Doubt,
}

/// Decides about parts in doubt as the carrier's settings say: each is handed over once more, or has failed, or waits.
/// Answers whether there may be more.
pub async fn resolve(tx: &mut Tx, InDoubt { shift, parts, doubt }: &InDoubt) -> Result<bool> {
    // All tenants: a part is found by its carrier and its id.
    on_shift(tx, shift).await?;
    if *doubt == Doubt::Wait {
        return Ok(false);
    }
    let some = i64::try_from(BATCH).unwrap_or(i64::MAX);
    let ids = match parts {
        Some(parts) => parts.clone(),
        None => {
            tx.all(
                sql!(
                    "SELECT id FROM part WHERE carrier = $1 AND marked > 0 AND reference IS NULL AND marked >= 0
                     ORDER BY id LIMIT $2"
                ),
                &[&shift.carrier, &some],
            )
            .await?
        }
    };
    let again = if *doubt == Doubt::Resend {
        tx.exec_each(
            sql!(
                "UPDATE part SET marked = 0, repeats = repeats + 1
                 WHERE carrier = $1 AND id = $2 AND marked > 0 AND reference IS NULL AND repeats = 0"
            ),
            &ids,
            |id| [&shift.carrier, id],
        )
        .await?
    } else {
        vec![0; ids.len()]
    };
    let left: Vec<PartId> =
        ids.iter().zip(again).filter(|(_, again)| *again == 0).map(|(id, _)| *id).collect();
    give_up(tx, shift.carrier, &left).await?;
    Ok(parts.is_none() && ids.len() == BATCH)
}

/// Lets parts have failed, unpaid, that were handed over and not answered.
async fn give_up(tx: &mut Tx, carrier: CarrierId, ids: &[PartId]) -> Result<()> {
    // All tenants: a part is found by its carrier and its id.
    let parts: Vec<Option<Part>> = tx
        .maybe_each(
            sql!(
                "SELECT ",
                COLUMNS,
                " WHERE p.carrier = $1 AND p.id = $2 AND p.marked > 0 AND p.reference IS NULL"
            ),
            ids,
            |id| [&carrier, id],
        )
        .await?;
    let lost = Outcome { status: Status::Failed, reason: Reason::Timeout, error: None };
    let parts: Vec<(&Part, Outcome)> = parts.iter().flatten().map(|part| (part, lost)).collect();
    let mut money = Settlement::default();
    receipt::finish(tx, carrier, &parts, &mut money).await?;
    money.apply(tx).await
}

/// Gives what waits for a carrier that is down to those that take its numbers in its place; answers whether there may be
/// more. What nobody else takes goes on waiting.
pub async fn reroute(tx: &mut Tx, (shift, after): &(Shift, PartId)) -> Result<Option<PartId>> {
    // All tenants: a carrier's lane is everybody's, in the order of time.
    on_shift(tx, shift).await?;
    move_on(tx, shift.carrier, *after, true).await
}

/// Moves a batch of waiting parts after one to the carriers that take their numbers now; answers the last looked at.
async fn move_on(tx: &mut Tx, carrier: CarrierId, after: PartId, alike: bool) -> Result<Option<PartId>> {
    // All tenants: a carrier's lane is everybody's, in the order of time.
    let some = i64::try_from(BATCH).unwrap_or(i64::MAX);
    let waiting: Vec<(PartId, Msisdn, i64, bool)> = tx
        .all(
            sql!(
                "SELECT id, msisdn, number, EXISTS (SELECT 1 FROM message m
                     WHERE m.root = part.root AND m.account = part.account AND m.id = part.message AND m.parts > 1)
                 FROM part WHERE carrier = $1 AND id > $2 AND marked = 0 AND reference IS NULL AND marked >= 0
                 ORDER BY id LIMIT $3 FOR UPDATE"
            ),
            &[&carrier, &after, &some],
        )
        .await?;
    let numbers: Vec<Msisdn> = waiting.iter().map(|(_, to, ..)| *to).collect();
    let routes = route::routes_to(tx, &numbers).await?;
    let (mut moved, mut stuck) = (Vec::new(), Vec::new());
    for (id, to, number, is_long) in &waiting {
        let way = Way { carrier, is_whole: *number == WHOLE };
        let other = if alike { routes.instead(*to, way, *is_long) } else { routes.after(*to, way, *is_long) };
        match other {
            Some(other) => moved.push((*id, other)),
            None => stuck.push(*id),
        }
    }
    tx.exec_each(
        sql!("UPDATE part SET carrier = $3 WHERE carrier = $1 AND id = $2 AND marked = 0"),
        &moved,
        |(id, other)| [&carrier, id, other],
    )
    .await?;
    if !alike {
        // Nobody else will ever take them: their carrier is gone.
        tx.exec_each(
            sql!("UPDATE part SET marked = $3 WHERE carrier = $1 AND id = $2 AND marked = 0"),
            &stuck,
            |id| [&carrier, id, &1i64],
        )
        .await?;
        give_up(tx, carrier, &stuck).await?;
    }
    Ok(waiting.last().filter(|_| waiting.len() == BATCH).map(|(id, ..)| *id))
}

/// Finds new carriers for what waits for one that was removed, and gives up what nobody takes; answers whether there may
/// be more.
pub async fn abandon(tx: &mut Tx, (): &()) -> Result<bool> {
    // All tenants: the sweep works for everybody. One step of the recursion finds the next carrier in the key.
    let gone: Vec<CarrierId> = tx
        .all(
            sql!(
                "WITH RECURSIVE next (carrier) AS (
                     SELECT * FROM (SELECT carrier FROM part ORDER BY carrier LIMIT 1) first
                     UNION ALL
                     SELECT (SELECT p.carrier FROM part p WHERE p.carrier > next.carrier ORDER BY p.carrier LIMIT 1)
                     FROM next WHERE next.carrier IS NOT NULL
                 )
                 SELECT carrier FROM next WHERE carrier IS NOT NULL
                 AND NOT EXISTS (SELECT 1 FROM carrier c WHERE c.id = next.carrier) ORDER BY carrier"
            ),
            &[],
        )
        .await?;
    let now: Timestamp = tx.now();
    let mut more = false;
    for carrier in gone {
        more |= move_on(tx, carrier, PartId::from([0; 16]), false).await?.is_some();
        let lost: Vec<PartId> = tx
            .all(
                sql!(
                    "SELECT id FROM part WHERE carrier = $1 AND marked > 0 AND marked < $3 AND reference IS NULL
                     AND marked >= 0 ORDER BY id LIMIT $2"
                ),
                &[
                    &carrier,
                    &i64::try_from(BATCH).unwrap_or(i64::MAX),
                    &now.0.saturating_sub(ANSWERS_WITHIN_US),
                ],
            )
            .await?;
        give_up(tx, carrier, &lost).await?;
        more |= lost.len() == BATCH;
    }
    Ok(more)
}

/// Gives up parts whose time is over: those that wait expire and are released, those that the carrier has not reported on
/// have failed, as has, some time later, what is still in doubt. Answers whether there may be more.
pub async fn expire(tx: &mut Tx, (): &()) -> Result<bool> {
    // All tenants: the sweep works for everybody, the oldest first.
    let now: Timestamp = tx.now();
    let some = i64::try_from(BATCH).unwrap_or(i64::MAX);
    let over: Vec<(CarrierId, PartId, bool)> = tx
        .all(
            sql!(
                "SELECT carrier, id, marked > 0 AND reference IS NULL FROM part
                 WHERE expires <= $1 AND (marked <= 0 OR reference IS NOT NULL OR expires <= $1 - CAST($3 AS BIGINT))
                 ORDER BY expires, carrier, id LIMIT $2 FOR UPDATE"
            ),
            &[&now, &some, &GRACE_US],
        )
        .await?;
    let parts: Vec<Option<Part>> = tx
        .maybe_each(
            sql!("SELECT ", COLUMNS, " WHERE p.carrier = $1 AND p.id = $2"),
            &over,
            |(carrier, id, _)| [carrier, id],
        )
        .await?;
    let mut by_carrier: BTreeMap<CarrierId, Vec<(&Part, Outcome)>> = BTreeMap::new();
    for ((carrier, _, in_doubt), part) in over.iter().zip(&parts) {
        let Some(part) = part else { continue };
        let (status, reason) = if part.accepted {
            (Status::Failed, Reason::NoReceipt)
        } else if *in_doubt {
            (Status::Failed, Reason::Timeout)
        } else {
            (Status::Expired, Reason::Expired)
        };
        by_carrier.entry(*carrier).or_default().push((part, Outcome { status, reason, error: None }));
    }
    let mut money = Settlement::default();
    for (carrier, parts) in by_carrier {
        receipt::finish(tx, carrier, &parts, &mut money).await?;
    }
    money.apply(tx).await?;
    Ok(over.len() == BATCH)
}

/// Lets parts go on of an account that may act again; answers whether there may be more.
pub async fn unpark(tx: &mut Tx, (): &()) -> Result<bool> {
    // All tenants: the sweep works for everybody. One step of the recursion finds the next account in the index.
    let free: Option<AccountId> = tx
        .maybe(
            sql!(
                "WITH RECURSIVE next (account) AS (
                     SELECT * FROM (SELECT account FROM part WHERE marked = -1 ORDER BY account LIMIT 1) first
                     UNION ALL
                     SELECT (SELECT p.account FROM part p WHERE p.marked = -1 AND p.account > next.account
                             ORDER BY p.account LIMIT 1)
                     FROM next WHERE next.account IS NOT NULL
                 )
                 SELECT account FROM next WHERE account IS NOT NULL
                 AND NOT EXISTS (SELECT 1 FROM account a JOIN account r ON r.id = a.root
                     WHERE a.id = next.account AND 'suspended' IN (a.status, r.status)) LIMIT 1"
            ),
            &[],
        )
        .await?;
    let Some(account) = free else { return Ok(false) };
    let some = i64::try_from(BATCH).unwrap_or(i64::MAX);
    tx.exec(
        sql!(
            "UPDATE part SET marked = 0 WHERE account = $1 AND marked = -1 AND id IN (
                 SELECT id FROM part WHERE account = $1 AND marked = -1 ORDER BY id LIMIT $2)"
        ),
        &[&account, &some],
    )
    .await?;
    // Of this account, or of the next.
    Ok(true)
}

/// What a carrier has accepted and not finished, in the order of its lane, after a part: for one that lives in this
/// process and so must be reminded after a start.
pub async fn unreported(
    rx: &mut Rx,
    (carrier, after): &(CarrierId, PartId),
) -> Result<Vec<(PartId, Msisdn, AccountId, String, Timestamp)>> {
    // All tenants: a carrier's lane is everybody's.
    let some = i64::try_from(BATCH).unwrap_or(i64::MAX);
    Ok(rx
        .all(
            sql!(
                "SELECT id, msisdn, account, reference, marked FROM part
                 WHERE carrier = $1 AND id > $2 AND reference IS NOT NULL ORDER BY id LIMIT $3"
            ),
            &[carrier, after, &some],
        )
        .await?)
}
