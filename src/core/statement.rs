//! Statements: what an account had when a stretch of time began, what moved in it, and what it had when it ended.
//!
//! Books grow for ever; a statement must not. A sweep carries forward what an account's entries sum to at the end of each day
//! of UTC that had some, by reason and direction, so that a statement reads two such lines and the entries of the two days in
//! which its ends lie. No unit of a message writes a line. It only says, once a day, that its day has entries; a unit that
//! commits late says so as well, and what was carried beyond its day does not count until it is carried again. So no entry
//! is passed over, in whatever order units commit.

use super::AccountId;
use super::entry::first_id;
use super::ledger::TransferId;
use super::money::Amount;
use super::{Error, Result, Scope, Timestamp};
use jiff::ToSpan;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use store::{Rx, Store, Tx, sql};

const DAY_US: i64 = 86_400 * 1_000_000;
/// A day is carried when it has been over for so long: units that began in it have ended, whose process's clock is not
/// further behind than that.
const OVER_US: i64 = 3_600 * 1_000_000;
/// Accounts whose days one turn carries.
const ACCOUNTS: i64 = 20;
/// Days of each: a unit writes a line for each reason of each day.
const DAYS: usize = 50;
/// The stretch that entries are first summed by, the shortest and the longest one.
const STRETCH_US: (i64, i64, i64) = (DAY_US, 1_000_000, 64 * DAY_US);

/// Entries of one reason in one direction, summed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sum {
    /// Why.
    pub reason: String,
    /// How many.
    pub count: i64,
    /// How much: what the account got, or less than nothing for what it paid.
    pub amount: Amount,
}

/// A stretch of an account's books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// What was posted when it began.
    pub opening: Amount,
    /// What moved in it, by reason: first what the account got, then what it paid.
    pub sums: Vec<Sum>,
    /// What was posted when it ended.
    pub closing: Amount,
}

/// How many entries, and how much.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Flow {
    count: i64,
    amount: i64,
}

impl Flow {
    fn add(&mut self, count: i64, amount: i64) {
        self.count = self.count.saturating_add(count);
        self.amount = self.amount.saturating_add(amount);
    }

    fn less(self, other: Flow) -> Flow {
        Flow {
            count: self.count.saturating_sub(other.count),
            amount: self.amount.saturating_sub(other.amount),
        }
    }
}

/// What was got and what was paid, by reason.
type Flows = BTreeMap<String, (Flow, Flow)>;

/// What all of it leaves.
fn balance(flows: &Flows) -> i64 {
    flows.values().fold(0i64, |sum, (got, paid)| sum.saturating_add(got.amount).saturating_sub(paid.amount))
}

/// What an account had when a stretch of time began, what moved, and what it had when it ended. Costs what lies between the
/// ends and the last days that were carried before them, however long the account has lived.
pub async fn of(store: &Store, scope: Scope, from: Timestamp, until: Timestamp) -> Result<Statement> {
    let before = until_moment(store, scope, from).await?;
    let after = until_moment(store, scope, until).await?;
    let (opening, closing) = (Amount(balance(&before)), Amount(balance(&after)));
    let moved = |reason: &String, (got, paid): &(Flow, Flow)| {
        let (got_before, paid_before) = before.get(reason).copied().unwrap_or_default();
        (got.less(got_before), paid.less(paid_before))
    };
    let (mut sums, mut all_paid) = (Vec::new(), Vec::new());
    for (reason, flows) in &after {
        let (got, paid) = moved(reason, flows);
        let sum =
            |flow: Flow, amount| Sum { reason: reason.clone(), count: flow.count, amount: Amount(amount) };
        sums.extend((got.count > 0).then(|| sum(got, got.amount)));
        all_paid.extend((paid.count > 0).then(|| sum(paid, paid.amount.saturating_neg())));
    }
    sums.extend(all_paid);
    Ok(Statement { opening, sums, closing })
}

/// What an account's entries before a moment sum to.
async fn until_moment(store: &Store, scope: Scope, at: Timestamp) -> Result<Flows> {
    let day = at.0.div_euclid(DAY_US);
    let (carried, mut flows) = store.scan((scope, day), carried_before).await?;
    add_entries(store, scope, start_of(carried), at, &mut flows).await?;
    Ok(flows)
}

/// The first moment of a day.
fn start_of(day: i64) -> Timestamp {
    Timestamp(day.saturating_mul(DAY_US))
}

/// The sums that were last carried before a day, and the day from which on entries are not in them.
async fn carried_before(rx: &mut Rx, (scope, day): &(Scope, i64)) -> Result<(i64, Flows)> {
    let lines: Vec<(i64, String, i64, i64, i64, i64)> = rx
        .all(
            sql!(
                "SELECT day, reason, got_count, got, paid_count, paid FROM carried
                 WHERE root = $1 AND account = $2 AND day = (SELECT c.day FROM carried c
                     WHERE c.root = $1 AND c.account = $2 AND c.day < $3
                     AND c.day < COALESCE((SELECT b.unclosed FROM balance b WHERE b.root = $1 AND b.account = $2),
                         CAST($3 AS BIGINT)) ORDER BY c.day DESC LIMIT 1)"
            ),
            &[&scope.root, &scope.account, day],
        )
        .await?;
    let next = lines.first().map_or(0, |(day, ..)| day + 1);
    let flow = |count, amount| Flow { count, amount };
    let lines = lines.into_iter().map(|(_, reason, got_count, got, paid_count, paid)| {
        (reason, (flow(got_count, got), flow(paid_count, paid)))
    });
    Ok((next, lines.collect()))
}

/// Adds the entries of a stretch, read in as many pieces as it takes: a long one is many short reads.
async fn add_entries(
    store: &Store,
    scope: Scope,
    from: Timestamp,
    until: Timestamp,
    flows: &mut Flows,
) -> Result<()> {
    let (mut stretch, shortest, longest) = STRETCH_US;
    let mut begin = from;
    while begin < until {
        // Time without entries is passed over.
        let Some(first) = store.scan((scope, begin, until), first_entry).await? else { return Ok(()) };
        begin = first.max(begin);
        let end = Timestamp(begin.0.saturating_add(stretch)).min(until);
        match store.scan((scope, begin, end), entries).await {
            Ok((got, paid)) => {
                for (reason, count, amount) in got {
                    flows.entry(reason).or_default().0.add(count, amount);
                }
                for (reason, count, amount) in paid {
                    flows.entry(reason).or_default().1.add(count, amount);
                }
                begin = end;
                stretch = stretch.saturating_mul(2).min(longest);
            }
            // More than one look may take.
            Err(Error::Unavailable(_)) if stretch > shortest => stretch = (stretch / 4).max(shortest),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// When the first entry of a stretch was made, to the millisecond.
async fn first_entry(
    rx: &mut Rx,
    (scope, from, until): &(Scope, Timestamp, Timestamp),
) -> Result<Option<Timestamp>> {
    let found: (Option<TransferId>, Option<TransferId>) = rx
        .one(
            sql!(
                "SELECT (SELECT id FROM transfer WHERE root = $1 AND debit = $2 AND id >= $3 AND id < $4 ORDER BY id LIMIT 1),
                 (SELECT id FROM transfer WHERE root = $1 AND credit = $2 AND id >= $3 AND id < $4 ORDER BY id LIMIT 1)"
            ),
            &[&scope.root, &scope.account, &first_id(*from), &first_id(*until)],
        )
        .await?;
    let made = |id: TransferId| {
        let ms = id.0[..6].iter().fold(0i64, |ms, byte| (ms << 8) | i64::from(*byte));
        Timestamp(ms.saturating_mul(1_000))
    };
    Ok([found.0, found.1].into_iter().flatten().map(made).min())
}

/// Reason, number and sum.
type Summed = Vec<(String, i64, i64)>;

/// The sums of what an account got and paid in a stretch.
async fn entries(
    rx: &mut Rx,
    (scope, from, until): &(Scope, Timestamp, Timestamp),
) -> Result<(Summed, Summed)> {
    let paid = rx
        .all(
            sql!(
                "SELECT reason, CAST(count(*) AS BIGINT), CAST(sum(amount) AS BIGINT) FROM transfer
                 WHERE root = $1 AND debit = $2 AND id >= $3 AND id < $4 GROUP BY reason"
            ),
            &[&scope.root, &scope.account, &first_id(*from), &first_id(*until)],
        )
        .await?;
    let got = rx
        .all(
            sql!(
                "SELECT reason, CAST(count(*) AS BIGINT), CAST(sum(amount) AS BIGINT) FROM transfer
                 WHERE root = $1 AND credit = $2 AND id >= $3 AND id < $4 GROUP BY reason"
            ),
            &[&scope.root, &scope.account, &first_id(*from), &first_id(*until)],
        )
        .await?;
    Ok((got, paid))
}

/// The day of a moment, as the books are carried.
pub(super) fn day(at: Timestamp) -> i64 {
    at.0.div_euclid(DAY_US)
}

/// Says that the present day of an account has entries. Part of the unit that writes one, after it has moved the balance,
/// whose row it holds by then; writes the first time in a day.
pub(super) async fn reopen(tx: &mut Tx, scope: Scope) -> Result<()> {
    // The operator has no statements.
    if scope.account == AccountId(0) {
        return Ok(());
    }
    let day = day(tx.now());
    tx.put(
        sql!(
            "UPDATE balance SET unclosed = $3 WHERE root = $1 AND account = $2
             AND (unclosed IS NULL OR unclosed > CAST($3 AS BIGINT))"
        ),
        &[&scope.root, &scope.account, &day],
    )
    .await?;
    Ok(())
}

/// Days that are over and not carried yet.
#[derive(Debug, Clone, Copy)]
struct Due {
    scope: Scope,
    /// From this day on.
    from: i64,
    /// Up to this day, without it.
    until: i64,
}

/// Carries some days that are over; answers whether there may be more. It reads as others do and writes small units.
pub async fn carry_some(store: &Store) -> Result<bool> {
    let all = store.scan((), due).await?;
    let mut more = i64::try_from(all.len()).is_ok_and(|found| found >= ACCOUNTS);
    let mut failed = None;
    for one in all {
        match carry(store, one).await {
            Ok(is_unfinished) => more |= is_unfinished,
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(more), Err)
}

/// Accounts with days to carry, the longest waiting first.
async fn due(rx: &mut Rx, (): &()) -> Result<Vec<Due>> {
    // All tenants: the sweep works for everybody.
    let now: Timestamp = rx.now();
    let until = now.0.saturating_sub(OVER_US).div_euclid(DAY_US);
    let found: Vec<(AccountId, AccountId, i64)> = rx
        .all(
            sql!(
                "SELECT root, account, unclosed FROM balance
                 WHERE unclosed IS NOT NULL AND unclosed < $1 AND account <> 0 ORDER BY unclosed LIMIT $2"
            ),
            &[&until, &ACCOUNTS],
        )
        .await?;
    let due = |(root, account, from)| Due { scope: Scope { root, account }, from, until };
    Ok(found.into_iter().map(due).collect())
}

/// What one unit carries.
struct Carried {
    due: Due,
    /// The day that is next.
    next: i64,
    days: Vec<(i64, Flows)>,
}

/// Carries days of one account; answers whether there are more.
async fn carry(store: &Store, due: Due) -> Result<bool> {
    let Due { scope, from, until } = due;
    // Days without a line between the last one and this had no entries.
    let (_, mut flows) = store.scan((scope, from), carried_before).await?;
    let mut next = from;
    let mut days: Vec<(i64, Flows)> = Vec::new();
    while days.len() < DAYS && next < until {
        let first = store.scan((scope, start_of(next), start_of(until)), first_entry).await?;
        let Some(first) = first else {
            next = until;
            break;
        };
        let day = first.0.div_euclid(DAY_US);
        add_entries(store, scope, start_of(day), start_of(day + 1), &mut flows).await?;
        days.push((day, flows.clone()));
        next = day + 1;
    }
    store.bulk(Carried { due, next, days }, keep).await?;
    Ok(next < until)
}

/// Keeps the sums of some days, unless another process was faster or an entry of an earlier day has come.
async fn keep(tx: &mut Tx, carried: &Carried) -> Result<()> {
    let Carried { due: Due { scope, from, .. }, next, days } = carried;
    let Scope { root, account } = scope;
    let same: Option<i64> = tx
        .maybe(
            sql!(
                "SELECT unclosed FROM balance WHERE root = $1 AND account = $2 AND unclosed = $3 FOR UPDATE"
            ),
            &[root, account, from],
        )
        .await?;
    if same.is_none() {
        return Ok(());
    }
    for (day, flows) in days {
        for (reason, (got, paid)) in flows {
            tx.put(
                sql!(
                    "INSERT INTO carried (root, account, day, reason, got_count, got, paid_count, paid)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
                     ON CONFLICT (root, account, day, reason) DO UPDATE SET got_count = $5, got = $6, paid_count = $7,
                     paid = $8"
                ),
                &[
                    root,
                    account,
                    day,
                    reason,
                    &got.count,
                    &got.amount,
                    &paid.count,
                    &paid.amount,
                ],
            )
            .await?;
        }
    }
    // The row is locked: whoever writes an entry from here on says so.
    tx.put(
        sql!(
            "UPDATE balance SET unclosed = CASE WHEN
                 EXISTS (SELECT 1 FROM transfer WHERE root = $1 AND debit = $2 AND id >= $4)
                 OR EXISTS (SELECT 1 FROM transfer WHERE root = $1 AND credit = $2 AND id >= $4)
                 THEN CAST($3 AS BIGINT) ELSE NULL END WHERE root = $1 AND account = $2"
        ),
        &[root, account, next, &first_id(start_of(*next))],
    )
    .await?;
    Ok(())
}

/// When a month such as `2024-03` begins and ends by a zone's clock.
pub fn month(text: &str, zone: &str) -> Option<(Timestamp, Timestamp)> {
    let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
    let (year, month) = text.split_once('-')?;
    let digits = |text: &str, count| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(year, 4) || !digits(month, 2) {
        return None;
    }
    let first = jiff::civil::Date::new(year.parse().ok()?, month.parse().ok()?, 1).ok()?;
    let next = first.checked_add(1.month()).ok()?;
    let moment = |date: jiff::civil::Date| {
        Some(Timestamp(date.to_zoned(zone.clone()).ok()?.timestamp().as_microsecond()))
    };
    Some((moment(first)?, moment(next)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_that_of_the_zone() {
        let at = |text: &str| Timestamp::parse(text).unwrap();
        let march = month("2024-03", "Europe/Amsterdam");
        assert_eq!(march, Some((at("2024-02-29T23:00:00Z"), at("2024-03-31T22:00:00Z"))));
        for bad in ["", "2024", "2024-13", "2024-3", "24-03", "2024-03-01", "+024-03"] {
            assert_eq!(month(bad, "UTC"), None, "{bad}");
        }
    }
}
