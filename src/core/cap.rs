//! Spending caps: how much an account may spend in a day and in a month of its own calendar.
//!
//! What is spent stands in the balance's row, so that the statement that holds money judges it too: whatever the number of
//! processes, no two of them spend the same rest. What counts is what was held, when it was held: what is released later
//! is not given back to a day that may be over. A partner's caps count its own messages, not its children's.

use super::money::{Amount, Currency};
use super::words::words;
use super::{Code, Error, Result, Scope, Timestamp, Violation, alert, terms};
use jiff::ToSpan;
use jiff::tz::TimeZone;
use store::{FromRow, Row, Rx, Tx, sql};

words! {
    /// For how long a cap counts.
    Period {
        /// A day of the account's calendar.
        Day = "day",
        /// A month of it.
        Month = "month",
    }
}

/// A cap that leaves too little for what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// Of which period.
    pub period: Period,
    /// Most that may be spent in it.
    pub cap: Amount,
    /// Of the cap.
    pub currency: Currency,
    /// When the period ends.
    pub until: Timestamp,
}

impl std::fmt::Display for Reached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Reached { period, cap, currency, until } = self;
        let (period, until) = (period.name(), until.rfc3339_utc());
        write!(f, "the spending cap of {cap} {currency} a {period} is reached until {until}")
    }
}

/// What an account may spend and has spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spending {
    /// Most in a day; `None` for no limit.
    pub day_cap: Option<Amount>,
    /// Most in a month.
    pub month_cap: Option<Amount>,
    /// Of the present day.
    pub day_spent: Amount,
    /// Of the present month.
    pub month_spent: Amount,
    /// When the present day ends.
    pub day_ends: Timestamp,
    /// When the present month ends.
    pub month_ends: Timestamp,
}

impl FromRow for Spending {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Spending {
            day_cap: row.next()?,
            month_cap: row.next()?,
            day_spent: row.next()?,
            month_spent: row.next()?,
            day_ends: row.next()?,
            month_ends: row.next()?,
        })
    }
}

/// When the day and the month end in which a moment lies, by a zone's clock; UTC's if the zone is not known. `before` is
/// when those before them ended.
fn ends(now: Timestamp, before: (Timestamp, Timestamp), zone: &str) -> (Timestamp, Timestamp) {
    let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
    let end = |months: bool, not_before: i64| {
        let now = now.0.max(not_before);
        let date = jiff::Timestamp::from_microsecond(now).ok()?.to_zoned(zone.clone()).date();
        let next =
            if months { date.first_of_month().checked_add(1.month()) } else { date.tomorrow() }.ok()?;
        Some(Timestamp(next.to_zoned(zone.clone()).ok()?.timestamp().as_microsecond()))
    };
    let (day, month) = before;
    (
        end(false, day.0.saturating_add(SHORTEST_DAY_US)).unwrap_or(now),
        end(true, month.0.saturating_add(SHORTEST_MONTH_US)).unwrap_or(now),
    )
}

/// A day is at least so long, whatever becomes of the account's zone: by changing that, a cap could be spent every hour.
const SHORTEST_DAY_US: i64 = 20 * 3_600 * 1_000_000;
/// The same of a month.
const SHORTEST_MONTH_US: i64 = 27 * 86_400 * 1_000_000;

const COLUMNS: &str = "day_cap, month_cap, day_spent, month_spent, day_ends, month_ends";

/// What an account may spend and has spent in the day and month of now.
pub async fn of(rx: &mut Rx, scope: &Scope) -> Result<Spending> {
    let now: Timestamp = rx.now();
    let mut spending: Spending = rx
        .one(
            sql!("SELECT ", COLUMNS, " FROM balance WHERE root = $1 AND account = $2"),
            &[&scope.root, &scope.account],
        )
        .await?;
    let zone = terms::messaging(rx, scope).await?.time_zone;
    let (day_ends, month_ends) = ends(now, (spending.day_ends, spending.month_ends), &zone);
    if spending.day_ends <= now {
        (spending.day_spent, spending.day_ends) = (Amount::ZERO, day_ends);
    }
    if spending.month_ends <= now {
        (spending.month_spent, spending.month_ends) = (Amount::ZERO, month_ends);
    }
    Ok(spending)
}

/// What an account has in hand, credit included, and what it may spend of it.
struct InHand(Amount, Spending);

impl FromRow for InHand {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(InHand(row.next()?, Spending::from_row(row)?))
    }
}

/// Why a hold was refused whose row is locked: if there is money enough, a cap; of two the one that counts longer.
pub(super) async fn refusal(tx: &mut Tx, scope: Scope, currency: Currency, amount: Amount) -> Result<Error> {
    let seen: Option<InHand> = tx
        .maybe(
            sql!(
                "SELECT posted - held + credit_limit, ",
                COLUMNS,
                " FROM balance WHERE root = $1 AND account = $2 AND currency = $3 FOR UPDATE"
            ),
            &[&scope.root, &scope.account, &currency],
        )
        .await?;
    let Some(InHand(in_hand, spending)) = seen else { return Ok(Error::Balance) };
    if in_hand < amount {
        return Ok(Error::Balance);
    }
    let Spending { day_cap, month_cap, day_spent, month_spent, day_ends, month_ends } = spending;
    for (period, cap, spent, until) in
        [(Period::Month, month_cap, month_spent, month_ends), (Period::Day, day_cap, day_spent, day_ends)]
    {
        if let Some(cap) = cap.filter(|cap| spent.0.saturating_add(amount.0) > cap.0) {
            return Ok(Error::Cap(Reached { period, cap, currency, until }));
        }
    }
    Ok(Error::Balance)
}

/// Locks the balance's row and begins a new day or month in it if its own is over.
pub(super) async fn roll(tx: &mut Tx, scope: Scope, currency: Currency) -> Result<()> {
    let now: Timestamp = tx.now();
    let until: Option<(Timestamp, Timestamp, i64)> = tx
        .maybe(
            sql!(
                "SELECT day_ends, month_ends, alerts FROM balance WHERE root = $1 AND account = $2 AND currency = $3
                 FOR UPDATE"
            ),
            &[&scope.root, &scope.account, &currency],
        )
        .await?;
    let Some((day, month, alerts)) = until.filter(|(day, month, _)| *day <= now || *month <= now) else {
        return Ok(());
    };
    let zone = terms::messaging(tx, &scope).await?.time_zone;
    let (day_ends, month_ends) = ends(now, (day, month), &zone);
    tx.put(
        sql!(
            "UPDATE balance SET
             day_spent = CASE WHEN day_ends <= $3 THEN 0 ELSE day_spent END,
             month_spent = CASE WHEN month_ends <= $3 THEN 0 ELSE month_spent END,
             day_ends = CASE WHEN day_ends <= $3 THEN CAST($4 AS BIGINT) ELSE day_ends END,
             month_ends = CASE WHEN month_ends <= $3 THEN CAST($5 AS BIGINT) ELSE month_ends END
             WHERE root = $1 AND account = $2 AND currency = $6"
        ),
        &[&scope.root, &scope.account, &now, &day_ends, &month_ends, &currency],
    )
    .await?;
    // What was told of the period that is over may be told of the new one.
    if alerts > 0 { alert::judge(tx, scope, None).await } else { Ok(()) }
}

/// What is said about caps: `None` leaves, an inner `None` takes away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Caps {
    /// Of a day.
    pub day: Option<Option<Amount>>,
    /// Of a month.
    pub month: Option<Option<Amount>>,
}

/// Sets an account's caps. What was spent today and this month counts.
pub async fn set(tx: &mut Tx, (scope, caps): &(Scope, Caps)) -> Result<()> {
    for (name, cap) in [("dayCap", caps.day), ("monthCap", caps.month)] {
        if cap.flatten().is_some_and(|cap| cap < Amount::ZERO) {
            return Err(Violation::new(name, Code::OutOfRange(0, i64::MAX)).into());
        }
    }
    let before: Spending = tx
        .one(
            sql!("SELECT ", COLUMNS, " FROM balance WHERE root = $1 AND account = $2 FOR UPDATE"),
            &[&scope.root, &scope.account],
        )
        .await?;
    let (day, month) = (caps.day.unwrap_or(before.day_cap), caps.month.unwrap_or(before.month_cap));
    tx.put(
        sql!("UPDATE balance SET day_cap = $3, month_cap = $4 WHERE root = $1 AND account = $2"),
        &[&scope.root, &scope.account, &day, &month],
    )
    .await?;
    alert::judge(tx, *scope, None).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_months_end_by_the_zones_clock() {
        let at = |text: &str| Timestamp::parse(text).unwrap();
        for (now, zone, day, month) in [
            ("2024-03-05T08:15:30Z", "UTC", "2024-03-06T00:00:00Z", "2024-04-01T00:00:00Z"),
            ("2024-03-05T23:30:00Z", "Europe/Amsterdam", "2024-03-06T23:00:00Z", "2024-03-31T22:00:00Z"),
            ("2024-12-31T12:00:00Z", "Asia/Tokyo", "2024-12-31T15:00:00Z", "2024-12-31T15:00:00Z"),
            // The day on which summer begins has 23 hours.
            ("2024-03-31T05:00:00Z", "Europe/Amsterdam", "2024-03-31T22:00:00Z", "2024-03-31T22:00:00Z"),
            ("2024-03-05T08:15:30Z", "Nowhere/Town", "2024-03-06T00:00:00Z", "2024-04-01T00:00:00Z"),
        ] {
            let never = (Timestamp(0), Timestamp(0));
            assert_eq!(ends(at(now), never, zone), (at(day), at(month)), "{now} {zone}");
        }
    }

    #[test]
    fn another_zone_makes_no_short_days_or_months() {
        let at = |text: &str| Timestamp::parse(text).unwrap();
        let before = (at("2024-03-31T22:00:00Z"), at("2024-03-31T22:00:00Z"));
        for (now, zone, day, month) in [
            // The zone that it was, on the day after summer begins.
            ("2024-03-31T22:00:01Z", "Europe/Amsterdam", "2024-04-01T22:00:00Z", "2024-04-30T22:00:00Z"),
            // Midnight is two hours later there, and the month as well.
            ("2024-03-31T22:00:01Z", "UTC", "2024-04-02T00:00:00Z", "2024-05-01T00:00:00Z"),
            // What had not been spent for long begins by the new clock.
            ("2024-06-10T12:00:00Z", "UTC", "2024-06-11T00:00:00Z", "2024-07-01T00:00:00Z"),
        ] {
            assert_eq!(ends(at(now), before, zone), (at(day), at(month)), "{now} {zone}");
        }
    }
}
