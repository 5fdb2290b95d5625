//! Alerts: thresholds of an account's money, whose crossing is told once by a callback of the account or of its partner.
//!
//! What is to be looked at next stands in the balance's row, so the statement that moves money compares it and nothing
//! more is run where nothing is crossed. What is crossed is judged in the same unit, under the row's lock, so each crossing
//! is told once whatever the number of processes. A balance is told again after it has recovered, a share of a cap after
//! its day or month has ended.

use super::account::{AccountId, Status};
use super::callback;
use super::cap::{Period, Reached};
use super::message::{self, MessageId, Recipient};
use super::money::{Amount, Currency};
use super::phone::Msisdn;
use super::words::words;
use super::{Code, Error, Noun, Result, Scope, Timestamp, Violation};
use store::{FromRow, Row, Rx, Tx, sql};

store::id! {
    /// An alert's id.
    AlertId
}

store::id! {
    /// Of one crossing: the same in every repetition of what is told.
    CrossingId
}

/// Alerts of one account.
pub const ALERTS_MAX: i64 = 20;
/// What a share of a cap is a part of.
pub const WHOLE: i64 = 100;

words! {
    /// What a threshold is about.
    Kind {
        /// What can be spent without credit.
        Balance = "balance",
        /// A share of the day's cap.
        Day = "day",
        /// A share of the month's.
        Month = "month",
    }
}

impl Kind {
    fn of(period: Period) -> Kind {
        match period {
            Period::Day => Kind::Day,
            Period::Month => Kind::Month,
        }
    }
}

/// A threshold, and who is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Its id.
    pub id: AlertId,
    /// Who is told: the account itself or its partner.
    pub tells: AccountId,
    /// What it is about.
    pub kind: Kind,
    /// Micro-units below which the balance is told of; of caps a share in percent.
    pub value: i64,
    /// Where it is told.
    pub url: String,
    /// Until when it is not told again.
    told_until: Timestamp,
    /// When it was last crossed.
    pub crossed: Option<Timestamp>,
    /// When it was set.
    pub created: Timestamp,
}

impl FromRow for Alert {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Alert {
            id: row.next()?,
            tells: row.next()?,
            kind: row.next()?,
            value: row.next()?,
            url: row.next()?,
            told_until: row.next()?,
            crossed: row.next()?,
            created: row.next()?,
        })
    }
}

impl Alert {
    /// Whether it was told and is not told again before the balance recovers or the period ends.
    pub fn is_crossed(&self, now: Timestamp) -> bool {
        self.told_until > now
    }
}

const COLUMNS: &str = "id, tells, kind, value, url, told_until, crossed, created";
/// Until a balance recovers.
const RECOVERS: Timestamp = Timestamp(i64::MAX);

/// Whose alerts, and who looks: an account sees those that tell itself, whoever is above it all.
#[derive(Debug, Clone, Copy)]
pub struct Of {
    /// The account.
    pub scope: Scope,
    /// Only those that tell this one.
    pub tells: Option<AccountId>,
}

/// The alerts of an account after one of them, oldest first.
pub async fn list(rx: &mut Rx, (of, after, limit): &(Of, Option<AlertId>, i64)) -> Result<Vec<Alert>> {
    let after = after.unwrap_or(AlertId([0; 16]));
    Ok(rx
        .all(
            sql!(
                "SELECT ",
                COLUMNS,
                " FROM alert WHERE root = $1 AND account = $2 AND (CAST($3 AS BIGINT) IS NULL OR tells = $3)
                 AND id > $4 ORDER BY id LIMIT $5"
            ),
            &[&of.scope.root, &of.scope.account, &of.tells, &after, limit],
        )
        .await?)
}

/// One alert.
pub async fn find(rx: &mut Rx, (of, id): &(Of, AlertId)) -> Result<Alert> {
    rx.maybe(
        sql!(
            "SELECT ",
            COLUMNS,
            " FROM alert WHERE root = $1 AND account = $2 AND (CAST($3 AS BIGINT) IS NULL OR tells = $3) AND id = $4"
        ),
        &[&of.scope.root, &of.scope.account, &of.tells, id],
    )
    .await?
    .ok_or(Error::NotFound(Noun::Alert))
}

/// Locks the balance's row, under which everything about alerts is decided.
async fn lock(tx: &mut Tx, scope: &Scope) -> Result<()> {
    let locked: Option<AccountId> = tx
        .maybe(
            sql!("SELECT account FROM balance WHERE root = $1 AND account = $2 FOR UPDATE"),
            &[&scope.root, &scope.account],
        )
        .await?;
    locked.map(|_| ()).ok_or(Error::NotFound(Noun::Account))
}

/// Asks for an alert.
#[derive(Debug, Clone)]
pub struct New {
    /// About whose money.
    pub scope: Scope,
    /// See [`Alert::tells`].
    pub tells: AccountId,
    /// See [`Alert::kind`].
    pub kind: Kind,
    /// See [`Alert::value`].
    pub value: i64,
    /// See [`Alert::url`].
    pub url: String,
}

/// Sets an alert. One that is crossed already is told at once.
pub async fn create(tx: &mut Tx, new: &New) -> Result<Alert> {
    let New { scope, tells, kind, value, url } = new;
    lock(tx, scope).await?;
    let count: i64 = tx
        .one(
            sql!("SELECT CAST(count(*) AS BIGINT) FROM alert WHERE root = $1 AND account = $2"),
            &[&scope.root, &scope.account],
        )
        .await?;
    if count >= ALERTS_MAX {
        return Err(Violation::new("alerts", Code::TooMany(usize::try_from(ALERTS_MAX).unwrap_or(0))).into());
    }
    let (id, now): (AlertId, Timestamp) = (tx.id(), tx.now());
    tx.put(
        sql!(
            "INSERT INTO alert (root, account, id, tells, kind, value, url, told_until, created)
             VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8)"
        ),
        &[&scope.root, &scope.account, &id, tells, kind, value, url, &now],
    )
    .await?;
    judge(tx, *scope, None).await?;
    find(tx, &(Of { scope: *scope, tells: None }, id)).await
}

/// What is changed of an alert; `None` leaves it.
#[derive(Debug, Clone)]
pub struct Change {
    /// Whose, and who changes it.
    pub of: Of,
    /// Which.
    pub id: AlertId,
    /// Another threshold is judged anew.
    pub value: Option<i64>,
    /// Where it is told.
    pub url: Option<String>,
}

/// Changes an alert.
pub async fn update(tx: &mut Tx, change: &Change) -> Result<Alert> {
    let Change { of, id, value, url } = change;
    lock(tx, &of.scope).await?;
    let before = find(tx, &(*of, *id)).await?;
    let value = value.unwrap_or(before.value);
    let told_until = if value == before.value { before.told_until } else { Timestamp(0) };
    tx.put(
        sql!("UPDATE alert SET value = $4, url = $5, told_until = $6 WHERE root = $1 AND account = $2 AND id = $3"),
        &[
            &of.scope.root,
            &of.scope.account,
            id,
            &value,
            url.as_ref().unwrap_or(&before.url),
            &told_until,
        ],
    )
    .await?;
    judge(tx, of.scope, None).await?;
    find(tx, &(*of, *id)).await
}

/// Takes an alert away. What was crossed and is not told yet is told.
pub async fn remove(tx: &mut Tx, (of, id): &(Of, AlertId)) -> Result<()> {
    lock(tx, &of.scope).await?;
    let gone = tx
        .exec(
            sql!(
                "DELETE FROM alert WHERE root = $1 AND account = $2 AND (CAST($3 AS BIGINT) IS NULL OR tells = $3)
                 AND id = $4"
            ),
            &[&of.scope.root, &of.scope.account, &of.tells, id],
        )
        .await?;
    if gone == 0 {
        return Err(Error::NotFound(Noun::Alert));
    }
    judge(tx, of.scope, None).await
}

/// Tells of a whole cap that has refused a message: what it leaves may be less than any message costs, so it would never be
/// spent to the end. A unit of its own, after the one that was refused.
pub async fn refused(tx: &mut Tx, (scope, reached): &(Scope, Reached)) -> Result<()> {
    judge(tx, *scope, Some(reached)).await
}

/// Whether somebody is to be told that a whole cap is reached, so that most refusals cost a read and no more.
pub async fn waits_for(rx: &mut Rx, (scope, reached): &(Scope, Reached)) -> Result<bool> {
    let found: Option<AlertId> = rx
        .maybe(
            sql!(
                "SELECT id FROM alert WHERE root = $1 AND account = $2 AND kind = $3 AND value = $4 AND told_until < $5
                 LIMIT 1"
            ),
            &[&scope.root, &scope.account, &Kind::of(reached.period), &WHOLE, &reached.until],
        )
        .await?;
    Ok(found.is_some())
}

/// The money of an account, as its row has it.
struct Seen {
    currency: Currency,
    available: Amount,
    caps: [(Option<Amount>, Amount, Timestamp); 2],
}

impl FromRow for Seen {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        let (currency, available) = (row.next()?, row.next()?);
        let day = (row.next()?, row.next()?, row.next()?);
        let month = (row.next()?, row.next()?, row.next()?);
        Ok(Seen { currency, available, caps: [day, month] })
    }
}

/// The smallest amount that is at least so many percent of a cap, and more than nothing.
fn share(cap: Amount, percent: i64) -> Amount {
    let part = (i128::from(cap.0) * i128::from(percent) + i128::from(WHOLE - 1)) / i128::from(WHOLE);
    Amount(i64::try_from(part).unwrap_or(i64::MAX).max(1))
}

/// Tells what has been crossed, arms what has recovered, and writes into the balance's row what is to be looked at next.
/// The row is locked, here at the latest.
pub(super) async fn judge(tx: &mut Tx, scope: Scope, reached: Option<&Reached>) -> Result<()> {
    let now: Timestamp = tx.now();
    let seen: Seen = tx
        .one(
            sql!(
                "SELECT currency, posted - held, day_cap, day_spent, day_ends, month_cap, month_spent, month_ends
                 FROM balance WHERE root = $1 AND account = $2 FOR UPDATE"
            ),
            &[&scope.root, &scope.account],
        )
        .await?;
    let alerts: Vec<Alert> = tx
        .all(
            sql!("SELECT ", COLUMNS, " FROM alert WHERE root = $1 AND account = $2 ORDER BY id"),
            &[&scope.root, &scope.account],
        )
        .await?;
    // What a deleted account has left goes to its partner: nobody wants to be told of that.
    let deleted: Option<AccountId> = tx
        .maybe(
            sql!("SELECT id FROM account WHERE id = $1 AND status = $2"),
            &[&scope.account, &Status::Deleted],
        )
        .await?;
    let mut next = Next::default();
    if deleted.is_none() {
        for alert in &alerts {
            let crossed = next.note(alert, &seen, reached, now);
            let Some(told_until) = crossed else { continue };
            let told = told_until > now;
            tx.put(
                sql!(
                    "UPDATE alert SET told_until = $4, crossed = CASE WHEN $5 THEN CAST($6 AS BIGINT) ELSE crossed END
                     WHERE root = $1 AND account = $2 AND id = $3"
                ),
                &[&scope.root, &scope.account, &alert.id, &told_until, &told, &now],
            )
            .await?;
            if told {
                tell(tx, scope, alert, &seen).await?;
            }
        }
    }
    let Next { below, from, periods: [day, month] } = next;
    let count = i64::try_from(alerts.len()).unwrap_or(i64::MAX);
    tx.put(
        sql!(
            "UPDATE balance SET alerts = $3, alert_below = $4, alert_from = $5, alert_day = $6, alert_month = $7
             WHERE root = $1 AND account = $2"
        ),
        &[&scope.root, &scope.account, &count, &below, &from, &day, &month],
    )
    .await?;
    Ok(())
}

/// What is to be looked at next.
#[derive(Debug, Default)]
struct Next {
    /// The highest threshold that the balance is not below.
    below: Option<Amount>,
    /// The lowest that it is below.
    from: Option<Amount>,
    /// What is spent when the next share of a cap is reached.
    periods: [Option<Amount>; 2],
}

impl Next {
    /// Judges an alert: until when it is told from now on, if that changes.
    fn note(
        &mut self,
        alert: &Alert,
        seen: &Seen,
        reached: Option<&Reached>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let at = match alert.kind {
            Kind::Balance => {
                let threshold = Amount(alert.value);
                let is_below = seen.available < threshold;
                if is_below {
                    self.from = Some(self.from.map_or(threshold, |other| other.min(threshold)));
                } else {
                    self.below = Some(self.below.map_or(threshold, |other| other.max(threshold)));
                }
                let until = if is_below { RECOVERS } else { Timestamp(0) };
                return Some(until).filter(|_| is_below != alert.is_crossed(now));
            }
            Kind::Day => 0,
            Kind::Month => 1,
        };
        let (cap, spent, ends) = seen.caps[at];
        // A period that is over begins anew with the next that is spent, and `cap::roll` judges it then. A trigger set now
        // would be met by the spent of the old one at every movement.
        if ends <= now {
            return None;
        }
        let cap = cap?;
        if alert.is_crossed(now) {
            return None;
        }
        let from = share(cap, alert.value);
        let is_refused = alert.value == WHOLE
            && reached.is_some_and(|reached| {
                (Kind::of(reached.period), reached.cap, reached.until) == (alert.kind, cap, ends)
            });
        if spent >= from || is_refused {
            return Some(ends);
        }
        self.periods[at] = Some(self.periods[at].map_or(from, |other| other.min(from)));
        None
    }
}

/// A crossing, as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crossing {
    /// Its id.
    pub id: CrossingId,
    /// Of which alert.
    pub alert: AlertId,
    /// Whose money.
    pub about: AccountId,
    /// What the threshold is about.
    pub kind: Kind,
    /// See [`Alert::value`].
    pub value: i64,
    /// Of all amounts.
    pub currency: Currency,
    /// What can be spent, or what is spent of the cap.
    pub amount: Amount,
    /// The cap.
    pub cap: Option<Amount>,
    /// When the cap's period ends.
    pub until: Option<Timestamp>,
    /// When it was crossed.
    pub at: Timestamp,
}

impl FromRow for Crossing {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Crossing {
            id: row.next()?,
            alert: row.next()?,
            about: row.next()?,
            kind: row.next()?,
            value: row.next()?,
            currency: row.next()?,
            amount: row.next()?,
            cap: row.next()?,
            until: row.next()?,
            at: row.next()?,
        })
    }
}

/// Puts a crossing into the outbox of whoever is told.
async fn tell(tx: &mut Tx, scope: Scope, alert: &Alert, seen: &Seen) -> Result<()> {
    let (id, now): (CrossingId, Timestamp) = (tx.id(), tx.now());
    let (amount, cap, until) = match alert.kind {
        Kind::Balance => (seen.available, None, None),
        Kind::Day | Kind::Month => {
            let (cap, spent, ends) = seen.caps[usize::from(alert.kind == Kind::Month)];
            (spent, cap, Some(ends))
        }
    };
    let told = Scope { root: scope.root, account: alert.tells };
    tx.put(
        sql!(
            "INSERT INTO crossing (root, account, id, alert, about, kind, value, currency, amount, cap, until, at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
        ),
        &[
            &told.root,
            &told.account,
            &id,
            &alert.id,
            &scope.account,
            &alert.kind,
            &alert.value,
            &seen.currency,
            &amount,
            &cap,
            &until,
            &now,
        ],
    )
    .await?;
    // It is about no message and nobody's number.
    let recipient = Recipient {
        msisdn: Msisdn(0),
        status: message::Status::Sent,
        reason: None,
        error: None,
        changed: now,
        price: Amount::ZERO,
    };
    let about = callback::About { message: MessageId::from(id.0), recipient };
    callback::push(tx, told, callback::Kind::Alert, &alert.url, &about).await
}

/// The crossing that a callback tells, if it is still kept.
pub async fn crossing(rx: &mut Rx, (scope, id): &(Scope, MessageId)) -> Result<Option<Crossing>> {
    Ok(rx
        .maybe(
            sql!(
                "SELECT id, alert, about, kind, value, currency, amount, cap, until, at FROM crossing
                 WHERE root = $1 AND account = $2 AND id = $3"
            ),
            &[&scope.root, &scope.account, id],
        )
        .await?)
}

/// Crossings that one unit forgets.
const FORGOTTEN_MAX: i64 = 128;
/// A crossing outlives its callback, which waits for a suspended account and is kept for 30 days after its last attempt.
const KEPT_US: i64 = 31 * 86_400 * 1_000_000;

/// Removes crossings whose callbacks are gone; answers whether there may be more.
pub async fn forget(tx: &mut Tx, (): &()) -> Result<bool> {
    // All tenants: the sweep works for everybody, the oldest first.
    let now: Timestamp = tx.now();
    let gone = tx
        .exec(
            sql!(
                "DELETE FROM crossing WHERE (root, account, id) IN (
                     SELECT x.root, x.account, x.id FROM crossing x WHERE x.at < $1 AND NOT EXISTS (
                         SELECT 1 FROM callback c WHERE c.root = x.root AND c.account = x.account AND c.message = x.id
                         AND c.kind = 'alert')
                     ORDER BY x.at LIMIT $2)"
            ),
            &[&now.0.saturating_sub(KEPT_US), &FORGOTTEN_MAX],
        )
        .await?;
    Ok(gone >= FORGOTTEN_MAX.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_up_and_never_nothing() {
        for (cap, percent, wanted) in
            [(100, 80, 80), (101, 80, 81), (1, 1, 1), (0, 100, 1), (i64::MAX, 100, i64::MAX)]
        {
            assert_eq!(share(Amount(cap), percent), Amount(wanted), "{percent} % of {cap}");
        }
    }
}
