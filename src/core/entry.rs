//! Looking at the books: the entries of one account, and what they sum to in a month.

use super::account::AccountId;
use super::ledger::TransferId;
use super::money::{Amount, Currency};
use super::{Result, Scope, Timestamp};
use jiff::ToSpan;
use jiff::tz::TimeZone;
use store::{FromRow, Row, Rx, sql};

/// An entry: one amount that moved from one account to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id; later ones have larger ones.
    pub id: TransferId,
    /// Who paid; the operator is 0.
    pub debit: AccountId,
    /// Who got it.
    pub credit: AccountId,
    /// In what.
    pub currency: Currency,
    /// How much; never negative.
    pub amount: Amount,
    /// Why.
    pub reason: String,
    /// When.
    pub created: Timestamp,
    /// What whoever moved it said.
    pub note: Option<String>,
}

impl FromRow for Entry {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Entry {
            id: row.next()?,
            debit: row.next()?,
            credit: row.next()?,
            currency: row.next()?,
            amount: row.next()?,
            reason: row.next()?,
            created: row.next()?,
            note: row.next()?,
        })
    }
}

/// The first id of a millisecond.
fn first_id(at: Timestamp) -> TransferId {
    let ms = u128::try_from(at.0.div_euclid(1_000)).unwrap_or(0).min((1 << 48) - 1);
    TransferId::from((ms << 80).to_be_bytes())
}

/// Asks for entries.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// Whose.
    pub scope: Scope,
    /// From this moment on.
    pub from: Timestamp,
    /// Before this one.
    pub until: Timestamp,
    /// Only older ones than this.
    pub before: Option<TransferId>,
    /// Most of them.
    pub limit: i64,
}

const COLUMNS: &str = "id, debit, credit, currency, amount, reason, created, note";

/// An account's entries, the newest first.
pub async fn list(rx: &mut Rx, asked: &Asked) -> Result<Vec<Entry>> {
    let Asked { scope, from, until, before, limit } = asked;
    let end = first_id(*until);
    let end = before.filter(|before| before.0 < end.0).unwrap_or(end);
    let mut all: Vec<Entry> = rx
        .all(
            sql!(
                "SELECT ",
                COLUMNS,
                " FROM transfer WHERE root = $1 AND debit = $2 AND id >= $3 AND id < $4 ORDER BY id DESC LIMIT $5"
            ),
            &[&scope.root, &scope.account, &first_id(*from), &end, limit],
        )
        .await?;
    let credits: Vec<Entry> = rx
        .all(
            sql!(
                "SELECT ",
                COLUMNS,
                " FROM transfer WHERE root = $1 AND credit = $2 AND id >= $3 AND id < $4 ORDER BY id DESC LIMIT $5"
            ),
            &[&scope.root, &scope.account, &first_id(*from), &end, limit],
        )
        .await?;
    all.extend(credits);
    all.sort_by_key(|entry| std::cmp::Reverse(entry.id.0));
    all.truncate(usize::try_from(*limit).unwrap_or(0));
    Ok(all)
}

/// One entry of an account's tree.
pub(super) async fn find(rx: &mut Rx, (scope, id): &(Scope, TransferId)) -> Result<Entry> {
    Ok(rx
        .one(sql!("SELECT ", COLUMNS, " FROM transfer WHERE root = $1 AND id = $2"), &[&scope.root, id])
        .await?)
}

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
    /// What moved in it, by reason.
    pub sums: Vec<Sum>,
    /// What was posted when it ended.
    pub closing: Amount,
}

async fn sums(rx: &mut Rx, scope: &Scope, from: Timestamp, until: Timestamp) -> Result<Vec<Sum>> {
    let mut all = Vec::new();
    let paid: Vec<(String, i64, i64)> = rx
        .all(
            sql!(
                "SELECT reason, CAST(count(*) AS BIGINT), CAST(sum(amount) AS BIGINT) FROM transfer
                 WHERE root = $1 AND debit = $2 AND id >= $3 AND id < $4 GROUP BY reason ORDER BY reason"
            ),
            &[&scope.root, &scope.account, &first_id(from), &first_id(until)],
        )
        .await?;
    let got: Vec<(String, i64, i64)> = rx
        .all(
            sql!(
                "SELECT reason, CAST(count(*) AS BIGINT), CAST(sum(amount) AS BIGINT) FROM transfer
                 WHERE root = $1 AND credit = $2 AND id >= $3 AND id < $4 GROUP BY reason ORDER BY reason"
            ),
            &[&scope.root, &scope.account, &first_id(from), &first_id(until)],
        )
        .await?;
    for (rows, sign) in [(got, 1), (paid, -1)] {
        let each = rows.into_iter().map(|(reason, count, sum)| Sum {
            reason,
            count,
            amount: Amount(sum.saturating_mul(sign)),
        });
        all.extend(each);
    }
    Ok(all)
}

/// What an account had when a stretch of time began, what moved, and what it had when it ended. Sums what has moved since,
/// so it belongs to the reader threads.
pub async fn statement(
    rx: &mut Rx,
    (scope, from, until): &(Scope, Timestamp, Timestamp),
) -> Result<Statement> {
    let posted: Amount = rx
        .one(
            sql!("SELECT posted FROM balance WHERE root = $1 AND account = $2"),
            &[&scope.root, &scope.account],
        )
        .await?;
    let total = |sums: &[Sum]| sums.iter().fold(0i64, |total, sum| total.saturating_add(sum.amount.0));
    let later = total(&sums(rx, scope, *until, Timestamp(i64::MAX)).await?);
    let sums = sums(rx, scope, *from, *until).await?;
    let closing = posted.0.saturating_sub(later);
    let opening = Amount(closing.saturating_sub(total(&sums)));
    Ok(Statement { opening, sums, closing: Amount(closing) })
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
