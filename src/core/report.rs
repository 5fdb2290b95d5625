//! Reports: what an account and its children have sent and received in some time, summed by what is asked for.
//!
//! Figures come from the rollups, a stretch of time to a read, so that none grows with the length of the report. What the
//! rollups do not know, the originator and the account's own reference, is looked up in the index of messages and bounded.

use super::archive::first_id;
use super::carrier::CarrierId;
use super::message::{Direction, Format, MessageId, Status};
use super::money::Amount;
use super::phone::{Msisdn, Originator};
use super::rollup::{self, QUARTER_US};
use super::words::words;
use super::{AccountId, Code, Error, Result, Scope, Timestamp, Violation};
use std::collections::{BTreeMap, BTreeSet};
use store::{FromRow, Row, Rx, Store, Tx, sql};

words! {
    /// By what figures can be told apart.
    Dimension {
        /// The account's number.
        Account = "account",
        /// The word of a [`Direction`].
        Direction = "direction",
        /// The word of a [`Status`].
        Status = "status",
        /// Two letters of ISO 3166-1; empty for numbers of no country.
        Country = "country",
        /// Mobile country code and mobile network code; empty where the operator's prefixes do not say.
        Network = "network",
        /// The word of a [`Format`].
        Format = "type",
        /// The carrier's id; 0 until it is known and for what never had one.
        Carrier = "carrier",
        /// Whom it was from.
        Originator = "originator",
        /// The account's own reference; empty without.
        Reference = "reference",
    }
}

impl Dimension {
    /// Whether rollups do not know it.
    fn is_detail(self) -> bool {
        matches!(self, Dimension::Originator | Dimension::Reference)
    }
}

words! {
    /// How time is divided.
    Step {
        /// Not at all.
        Whole = "whole",
        /// Into quarters of an hour.
        Quarter = "quarter",
        /// Into hours.
        Hour = "hour",
        /// Into days.
        Day = "day",
        /// Into months.
        Month = "month",
    }
}

impl Step {
    /// Reads the stored word.
    pub fn parse(text: &str) -> Option<Step> {
        Step::ALL.iter().copied().find(|step| step.name() == text)
    }

    /// What is summed in one row; months are summed from days.
    fn width_us(self) -> i64 {
        match self {
            // Wider than all of time.
            Step::Whole => i64::MAX,
            Step::Quarter => QUARTER_US,
            Step::Hour => 4 * QUARTER_US,
            Step::Day | Step::Month => 96 * QUARTER_US,
        }
    }
}

/// Whose figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// These accounts of one root.
    Some(AccountId, Vec<AccountId>),
    /// A partner and all its children, former ones included.
    All(AccountId),
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Whose figures.
    pub whose: Whose,
    /// From the quarter of an hour on that this is in.
    pub begin: Timestamp,
    /// To the end of the quarter that is under way then.
    pub end: Timestamp,
    /// Seconds by which the clock is ahead of UTC in which hours, days and months begin.
    pub offset: i64,
    /// How time is divided.
    pub step: Step,
    /// What is told apart.
    pub by: Vec<Dimension>,
    /// Only what has one of these values.
    pub only: Vec<(Dimension, Vec<String>)>,
}

/// A line of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When its time begins.
    pub begin: Timestamp,
    /// The values of what is told apart, in the order that was asked for.
    pub values: Vec<String>,
    /// Recipients.
    pub messages: i64,
    /// Parts to all of them.
    pub parts: i64,
    /// What they cost, as their messages show it.
    pub price: Amount,
}

/// Most lines of a report.
pub const LINES_MAX: usize = 50_000;
/// Most recipients that are looked at for what the rollups do not know.
const DETAILS_MAX: usize = 20_000;
/// Of these one read gives so many.
const DETAILS_PAGE: i64 = 1_000;
/// Sums that one read of the rollups gives: one that has more is of less time.
const FACTS_MAX: usize = LINES_MAX;
/// Time that one read of the rollups covers, at first.
const STRETCH_US: i64 = 7 * 96 * QUARTER_US;

/// Too much: less time or fewer distinctions are needed.
fn too_broad() -> Error {
    Violation::new("period", Code::TooBroad).into()
}

/// What was counted in one row, before it is summed.
struct Fact {
    at: Timestamp,
    account: AccountId,
    direction: String,
    status: String,
    country: String,
    network: String,
    format: String,
    carrier: CarrierId,
    originator: String,
    reference: String,
    messages: i64,
    parts: i64,
    price: Amount,
}

impl Fact {
    fn value(&self, of: Dimension) -> String {
        match of {
            Dimension::Account => self.account.to_string(),
            Dimension::Direction => self.direction.clone(),
            Dimension::Status => self.status.clone(),
            Dimension::Country => self.country.clone(),
            Dimension::Network => self.network.clone(),
            Dimension::Format => self.format.clone(),
            Dimension::Carrier => self.carrier.0.to_string(),
            Dimension::Originator => self.originator.clone(),
            Dimension::Reference => self.reference.clone(),
        }
    }
}

/// When a line begins, and its values, each led by what sorts it.
type Place = (Timestamp, Vec<(usize, String)>);
/// Recipients, parts and price.
type Figures = (i64, i64, i64);

/// Sums that grow.
struct Sums<'q> {
    question: &'q Question,
    /// By begin and by values; numbers are in the order of numbers, so their length comes first.
    sums: BTreeMap<Place, Figures>,
}

impl Sums<'_> {
    fn add(&mut self, fact: &Fact) -> Result<()> {
        let wanted = |(of, values): &(Dimension, Vec<String>)| values.contains(&fact.value(*of));
        if !self.question.only.iter().all(wanted) {
            return Ok(());
        }
        let begin = match self.question.step {
            Step::Whole => self.question.begin,
            Step::Month => first_of_month(fact.at, self.question.offset),
            Step::Quarter | Step::Hour | Step::Day => fact.at,
        };
        let value = |of: &Dimension| {
            let value = fact.value(*of);
            let is_number = matches!(of, Dimension::Account | Dimension::Carrier);
            (if is_number { value.len() } else { 0 }, value)
        };
        let values = self.question.by.iter().map(value).collect();
        let (messages, parts, price) = self.sums.entry((begin, values)).or_default();
        *messages = messages.saturating_add(fact.messages);
        *parts = parts.saturating_add(fact.parts);
        *price = price.saturating_add(fact.price.0);
        if self.sums.len() > LINES_MAX { Err(too_broad()) } else { Ok(()) }
    }

    fn lines(self) -> Vec<Line> {
        let lines = self.sums.into_iter().filter(|(_, (messages, ..))| *messages != 0);
        let line = |((begin, values), (messages, parts, price)): (Place, Figures)| {
            let values = values.into_iter().map(|(_, value)| value).collect();
            Line { begin, values, messages, parts, price: Amount(price) }
        };
        lines.map(line).collect()
    }
}

/// The last beginning of an hour or a day by a clock that is ahead by so many seconds.
fn aligned(at: Timestamp, width_us: i64, offset: i64) -> Timestamp {
    let ahead = offset.saturating_mul(1_000_000);
    let begin = at.0.saturating_add(ahead).div_euclid(width_us).saturating_mul(width_us);
    // At the end of all time what cannot be told exactly is at least not later.
    Timestamp(begin.saturating_sub(ahead).min(at.0))
}

/// The first midnight of a month by a clock that is ahead by so many seconds.
fn first_of_month(at: Timestamp, offset: i64) -> Timestamp {
    let ahead = offset.saturating_mul(1_000_000);
    let Ok(local) = jiff::Timestamp::from_microsecond(at.0.saturating_add(ahead)) else { return at };
    let days = i64::from(jiff::tz::Offset::UTC.to_datetime(local).day()) - 1;
    Timestamp(aligned(at, 96 * QUARTER_US, offset).0.saturating_sub(days.saturating_mul(96 * QUARTER_US)))
}

/// Answers a question. What is counted of the last seconds may still be missing.
pub async fn ask(store: &Store, question: &Question) -> Result<Vec<Line>> {
    let mut sums = Sums { question, sums: BTreeMap::new() };
    let asked: BTreeSet<&str> =
        question.by.iter().chain(question.only.iter().map(|(of, _)| of)).map(|of| of.name()).collect();
    if Dimension::ALL.iter().any(|of| of.is_detail() && asked.contains(of.name())) {
        details(store, &mut sums).await?;
        return Ok(sums.lines());
    }
    let accounts: Vec<(AccountId, Option<AccountId>)> = match &question.whose {
        Whose::Some(root, accounts) => accounts.iter().map(|account| (*root, Some(*account))).collect(),
        Whose::All(root) => vec![(*root, None)],
    };
    for (root, account) in accounts {
        let Some((first, last)) = store.read((root, account), span).await? else { continue };
        let begin = rollup::bucket(question.begin).max(first);
        let end = Timestamp(question.end.0.saturating_add(QUARTER_US - 1));
        let end = rollup::bucket(end).min(Timestamp(last.0.saturating_add(QUARTER_US)));
        let width_us = question.step.width_us();
        let origin = match question.step {
            Step::Whole => Timestamp(0),
            _ => aligned(begin, width_us, question.offset),
        };
        let slice = Slice {
            root,
            account,
            begin,
            end,
            origin,
            width_us,
            by: [
                Dimension::Direction,
                Dimension::Status,
                Dimension::Country,
                Dimension::Network,
                Dimension::Format,
                Dimension::Carrier,
            ]
            .map(|of| asked.contains(of.name())),
        };
        in_stretches(store, slice, &mut sums).await?;
    }
    Ok(sums.lines())
}

/// Some time of somebody's rollups.
#[derive(Debug, Clone)]
struct Slice {
    root: AccountId,
    account: Option<AccountId>,
    begin: Timestamp,
    end: Timestamp,
    origin: Timestamp,
    width_us: i64,
    by: [bool; 6],
}

/// Reads stretch by stretch, shorter ones where one takes too long or has too much.
async fn in_stretches(store: &Store, whole: Slice, sums: &mut Sums<'_>) -> Result<()> {
    let (mut begin, mut stretch) = (whole.begin, STRETCH_US);
    while begin < whole.end {
        let end = Timestamp(begin.0.saturating_add(stretch)).min(whole.end);
        let slice = Slice { begin, end, ..whole.clone() };
        let is_divisible = stretch > QUARTER_US;
        match store.scan(slice, facts).await {
            Ok(facts) if facts.len() <= FACTS_MAX => {
                facts.iter().try_for_each(|fact| sums.add(fact))?;
                begin = end;
            }
            Ok(_) | Err(Error::Unavailable(_)) if is_divisible => {
                stretch = (stretch / 2).div_euclid(QUARTER_US).max(1) * QUARTER_US;
            }
            Ok(_) => return Err(too_broad()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The first and the last bucket that there is anything in.
async fn span(
    rx: &mut Rx,
    (root, account): &(AccountId, Option<AccountId>),
) -> Result<Option<(Timestamp, Timestamp)>> {
    let found: (Option<Timestamp>, Option<Timestamp>) = match account {
        Some(account) => {
            rx.one(
                sql!(
                    "SELECT (SELECT bucket FROM rollup WHERE root = $1 AND account = $2 ORDER BY bucket LIMIT 1),
                     (SELECT bucket FROM rollup WHERE root = $1 AND account = $2 ORDER BY bucket DESC LIMIT 1)"
                ),
                &[root, account],
            )
            .await?
        }
        None => {
            rx.one(
                sql!(
                    "SELECT (SELECT bucket FROM rollup WHERE root = $1 ORDER BY bucket LIMIT 1),
                     (SELECT bucket FROM rollup WHERE root = $1 ORDER BY bucket DESC LIMIT 1)"
                ),
                &[root],
            )
            .await?
        }
    };
    Ok(found.0.zip(found.1))
}

/// A row of the rollups' sums.
struct Summed(i64, Fact);

impl FromRow for Summed {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Summed(
            row.next()?,
            Fact {
                at: Timestamp(0),
                account: row.next()?,
                direction: row.next()?,
                status: row.next()?,
                country: row.next()?,
                network: row.next()?,
                format: row.next()?,
                carrier: row.next()?,
                originator: String::new(),
                reference: String::new(),
                messages: row.next()?,
                parts: row.next()?,
                price: row.next()?,
            },
        ))
    }
}

/// Only what is asked for is told apart, so that the answer is no longer than it must be.
const SUMS: &str = "SELECT (bucket - $3) / $4, account,
    CASE WHEN $5 THEN direction ELSE '' END, CASE WHEN $6 THEN status ELSE '' END,
    CASE WHEN $7 THEN country ELSE '' END, CASE WHEN $8 THEN network ELSE '' END,
    CASE WHEN $9 THEN kind ELSE '' END, CASE WHEN $10 THEN carrier ELSE 0 END,
    CAST(sum(messages) AS BIGINT), CAST(sum(parts) AS BIGINT), CAST(sum(price) AS BIGINT)
    FROM rollup WHERE bucket >= $1 AND bucket < $2 AND root = $11";
const GROUPED: &str = " GROUP BY 1, 2, 3, 4, 5, 6, 7, 8 LIMIT $12";

async fn facts(rx: &mut Rx, slice: &Slice) -> Result<Vec<Fact>> {
    let Slice { root, account, begin, end, origin, width_us, by } = slice;
    let [direction, status, country, network, format, carrier] = by;
    let most = i64::try_from(FACTS_MAX).unwrap_or(i64::MAX).saturating_add(1);
    let asked: [&dyn store::Param; 13] = [
        begin, end, origin, width_us, direction, status, country, network, format, carrier, root, &most,
        account,
    ];
    let summed: Vec<Summed> = match account {
        Some(_) => rx.all(sql!(SUMS, " AND account = $13", GROUPED), &asked).await?,
        None => rx.all(sql!(SUMS, GROUPED), &asked[..12]).await?,
    };
    let at = |number: i64| Timestamp(origin.0.saturating_add(number.saturating_mul(*width_us)));
    Ok(summed.into_iter().map(|Summed(number, fact)| Fact { at: at(number), ..fact }).collect())
}

/// A recipient with what the rollups do not know.
struct Detail {
    message: MessageId,
    created: Timestamp,
    direction: Direction,
    format: Format,
    originator: Originator,
    reference: Option<String>,
    parts: i64,
    to: Msisdn,
    status: Status,
    price: Amount,
    carrier: CarrierId,
    network: Option<String>,
}

impl FromRow for Detail {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Detail {
            message: row.next()?,
            created: row.next()?,
            direction: row.next()?,
            format: row.next()?,
            originator: row.next()?,
            reference: row.next()?,
            parts: row.next()?,
            to: row.next()?,
            status: row.next()?,
            price: row.next()?,
            carrier: row.next()?,
            network: row.next()?,
        })
    }
}

/// Sums what the rollups do not know, from the messages themselves.
async fn details(store: &Store, sums: &mut Sums<'_>) -> Result<()> {
    let question = sums.question;
    let Whose::Some(root, accounts) = &question.whose else { return Err(too_broad()) };
    let value_of = |wanted: Dimension| {
        question
            .only
            .iter()
            .find(|(of, values)| *of == wanted && values.len() == 1)
            .map(|(_, v)| v[0].clone())
    };
    let (originator, reference) = (value_of(Dimension::Originator), value_of(Dimension::Reference));
    let begin = rollup::bucket(question.begin);
    let end = rollup::bucket(Timestamp(question.end.0.saturating_add(QUARTER_US - 1)));
    let width_us = question.step.width_us();
    let mut looked_at = 0;
    for account in accounts {
        let scope = Scope { root: *root, account: *account };
        let mut after = (first_id(begin), Msisdn(-1));
        loop {
            let wanted =
                Wanted { scope, after, end, originator: originator.clone(), reference: reference.clone() };
            let found = store.scan(wanted, looked_up).await?;
            looked_at += found.len();
            if looked_at > DETAILS_MAX {
                return Err(too_broad());
            }
            let last = found.last().map(|one| (one.message, one.to));
            let is_last = i64::try_from(found.len()).is_ok_and(|found| found < DETAILS_PAGE);
            for one in found {
                let at = match question.step {
                    Step::Whole => one.created,
                    _ => aligned(one.created, width_us, question.offset),
                };
                sums.add(&one.fact(*account, at))?;
            }
            match last.filter(|_| !is_last) {
                Some(last) => after = last,
                None => break,
            }
        }
    }
    Ok(())
}

impl Detail {
    fn fact(self, account: AccountId, at: Timestamp) -> Fact {
        let price = if self.status == Status::Scheduled { Amount::ZERO } else { self.price };
        let remote = rollup::remote(self.direction, self.to, &self.originator);
        Fact {
            at,
            account,
            direction: self.direction.name().to_owned(),
            status: self.status.name().to_owned(),
            country: rollup::country_of(remote),
            network: self.network.unwrap_or_default(),
            format: self.format.name().to_owned(),
            carrier: self.carrier,
            originator: self.originator.as_str().to_owned(),
            reference: self.reference.unwrap_or_default(),
            messages: 1,
            parts: self.parts,
            price,
        }
    }
}

/// Messages first: a family's recipients of a stretch of time are many more than one account's messages.
const DETAILS: &str =
    "SELECT m.id, m.created, m.direction, m.kind, m.originator, m.reference, m.parts, r.msisdn, r.status, \
    r.price, r.carrier, r.network
    FROM message m CROSS JOIN recipient r
    WHERE r.root = m.root AND r.account = m.account AND r.message = m.id AND m.root = $1 AND m.account = $2 AND m.id >= $3 AND m.id < $4 AND (m.id > $3 OR r.msisdn > $5)";
const PAGED: &str = " ORDER BY m.id, r.msisdn LIMIT $6";

/// Some recipients of somebody's messages, after one.
struct Wanted {
    scope: Scope,
    after: (MessageId, Msisdn),
    end: Timestamp,
    originator: Option<String>,
    reference: Option<String>,
}

async fn looked_up(rx: &mut Rx, wanted: &Wanted) -> Result<Vec<Detail>> {
    let Wanted { scope, after: (first, to), end, originator, reference } = wanted;
    let last = first_id(*end);
    let of = reference.as_ref().or(originator.as_ref());
    let mut asked: Vec<&dyn store::Param> =
        vec![&scope.root, &scope.account, first, &last, to, &DETAILS_PAGE];
    asked.extend(of.map(|of| -> &dyn store::Param { of }));
    let text = match (originator, reference) {
        (_, Some(_)) => sql!(DETAILS, " AND m.reference = $7", PAGED),
        (Some(_), None) => sql!(DETAILS, " AND m.originator = $7", PAGED),
        (None, None) => sql!(DETAILS, PAGED),
    };
    Ok(rx.all(text, &asked).await?)
}

/// A report of which not all lines were answered at once: the rest is of the same moment.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Who asked.
    pub scope: Scope,
    /// By what it is asked for again.
    pub id: [u8; 8],
    /// The SHA-256 of the question: another one has no such report.
    pub asked: [u8; 32],
    /// A line of text for each of the report's, as they are answered.
    pub lines: String,
}

/// A report is kept for this time (docs/spec/03-reporting.md section 2.1).
const KEPT_US: i64 = 3_600 * 1_000_000;
/// Reports kept for one account.
const KEPT_MAX: i64 = 20;

/// Keeps a report; of too many the oldest goes.
pub async fn keep(tx: &mut Tx, kept: &Kept) -> Result<()> {
    let Kept { scope, id, asked, lines } = kept;
    let now: Timestamp = tx.now();
    tx.put(
        sql!(
            "DELETE FROM report_result WHERE root = $1 AND account = $2 AND id IN (
                 SELECT id FROM report_result WHERE root = $1 AND account = $2 ORDER BY expires DESC, id LIMIT 1000 OFFSET $3)"
        ),
        &[&scope.root, &scope.account, &(KEPT_MAX - 1)],
    )
    .await?;
    tx.put(
        sql!(
            "INSERT INTO report_result (root, account, id, asked, lines, expires) VALUES ($1, $2, $3, $4, $5, $6)"
        ),
        &[&scope.root, &scope.account, id, asked, lines, &now.0.saturating_add(KEPT_US)],
    )
    .await?;
    Ok(())
}

/// The lines of a report that was kept, if it was this question's.
pub async fn kept(rx: &mut Rx, (scope, id, asked): &(Scope, [u8; 8], [u8; 32])) -> Result<Option<String>> {
    let now: Timestamp = rx.now();
    Ok(rx
        .maybe(
            sql!(
                "SELECT lines FROM report_result
                 WHERE root = $1 AND account = $2 AND id = $3 AND asked = $4 AND expires > $5"
            ),
            &[&scope.root, &scope.account, id, asked, &now],
        )
        .await?)
}

/// Forgets old reports; answers whether there may be more.
pub async fn forget(tx: &mut Tx, (): &()) -> Result<bool> {
    // All tenants: the sweep works for everybody, the oldest first.
    let now: Timestamp = tx.now();
    let gone = tx
        .exec(
            sql!(
                "DELETE FROM report_result WHERE (root, account, id) IN (
                     SELECT root, account, id FROM report_result WHERE expires <= $1 ORDER BY expires LIMIT $2)"
            ),
            &[&now, &KEPT_MAX],
        )
        .await?;
    Ok(gone >= KEPT_MAX.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_months_begin_by_their_own_clock() {
        let at = Timestamp::parse("2024-03-31T23:30:00Z").unwrap_or(Timestamp(0));
        let shown = |at: Timestamp| at.rfc3339_utc();
        assert_eq!(shown(aligned(at, Step::Day.width_us(), 0)), "2024-03-31T00:00:00Z");
        assert_eq!(shown(aligned(at, Step::Day.width_us(), 3_600)), "2024-03-31T23:00:00Z");
        assert_eq!(shown(aligned(at, Step::Hour.width_us(), 19_800)), "2024-03-31T23:30:00Z");
        assert_eq!(shown(first_of_month(at, 0)), "2024-03-01T00:00:00Z");
        assert_eq!(shown(first_of_month(at, 3_600)), "2024-03-31T23:00:00Z");
        assert_eq!(shown(first_of_month(at, -3_600)), "2024-03-01T01:00:00Z");
        assert_eq!(aligned(Timestamp(i64::MIN), QUARTER_US, -1), Timestamp(i64::MIN));
    }
}
