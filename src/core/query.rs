//! Asking carriers what became of parts that they have accepted and not reported on.
//!
//! A carrier knows a part by the name that stood in its answer, so only what was answered can be asked about. The part's row
//! says when it is asked next, and that is moved on before a question leaves: whoever dies, and whoever hears no answer, asks
//! again then. What the carrier says comes back by `receipt::reported`, like a receipt.

use super::part::{self, GRACE_US, Part, PartId, Shift};
use super::phone::Originator;
use super::{Result, Timestamp};
use store::{FromRow, Row, Tx, sql};

/// Between two questions about a part whose validity is over, in microseconds: a few before it is given up.
const AGAIN_US: i64 = 120 * 1_000_000;

/// How a part can be asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Askable {
    /// The carrier's name for it, exactly as it was said.
    pub name: String,
    /// It is asked about when nothing was reported for so long, in microseconds, and again after as long.
    pub after_us: i64,
}

impl Askable {
    /// When a part that is accepted now is asked about first: no later than when its validity is over.
    pub(super) fn first(&self, part: &Part, now: Timestamp) -> i64 {
        let over = part.expires.0.max(now.0.saturating_add(AGAIN_US));
        now.0.saturating_add(self.after_us).min(over)
    }
}

/// A question about a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Which part.
    pub part: PartId,
    /// The carrier's name for it.
    pub name: String,
    /// The name under which its receipts come.
    pub reference: String,
    /// Whom it is from.
    pub originator: Originator,
}

impl FromRow for Question {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Question { part: row.next()?, name: row.next()?, reference: row.next()?, originator: row.next()? })
    }
}

/// Takes the next questions, at most so many; each is asked again after so many microseconds, or, when the part's validity
/// is over, every two minutes until it is given up.
pub async fn claim(tx: &mut Tx, (shift, after_us, most): &(Shift, i64, usize)) -> Result<Vec<Question>> {
    // All tenants: a carrier's lane is everybody's; the row says whose it is.
    part::on_shift(tx, shift).await?;
    let now: Timestamp = tx.now();
    let most = i64::try_from(*most).unwrap_or(i64::MAX);
    let due: Vec<PartId> = tx
        .all(
            sql!(
                "UPDATE part SET ask = CASE WHEN expires - CAST($4 AS BIGINT) <= CAST($2 AS BIGINT)
                         THEN CAST($2 AS BIGINT) + CAST($5 AS BIGINT)
                     WHEN expires - CAST($4 AS BIGINT) < CAST($2 AS BIGINT) + CAST($6 AS BIGINT)
                         THEN expires - CAST($4 AS BIGINT)
                     ELSE CAST($2 AS BIGINT) + CAST($6 AS BIGINT) END
                 WHERE carrier = $1 AND ask <= CAST($2 AS BIGINT) AND id IN (SELECT id FROM part
                     WHERE carrier = $1 AND ask <= CAST($2 AS BIGINT) ORDER BY ask, id LIMIT $3)
                 RETURNING id"
            ),
            &[&shift.carrier, &now, &most, &GRACE_US, &AGAIN_US, after_us],
        )
        .await?;
    let questions: Vec<Option<Question>> = tx
        .maybe_each(
            sql!(
                "SELECT p.id, p.name, p.reference, m.originator FROM part p
                 JOIN message m ON m.root = p.root AND m.account = p.account AND m.id = p.message
                 WHERE p.carrier = $1 AND p.id = $2 AND p.name IS NOT NULL AND p.reference IS NOT NULL"
            ),
            &due,
            |id| [&shift.carrier, id],
        )
        .await?;
    // Where the carrier has given a name twice, nobody knows of which of them it speaks.
    Ok(questions.into_iter().flatten().filter(|it| it.reference != part::own_reference(it.part)).collect())
}
