//! Looking at the books: the entries of one account. What they sum to is told by its statements.

use super::account::AccountId;
use super::ledger::TransferId;
use super::money::{Amount, Currency};
use super::{Result, Scope, Timestamp};
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
pub(super) fn first_id(at: Timestamp) -> TransferId {
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
