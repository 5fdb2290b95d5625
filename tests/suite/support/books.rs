//! Checks that hold at every moment: the ledger is balanced, and every kept count is what counting gives.

use rookery::core::Result;
use rookery::core::ledger::{self, Audit};
use std::collections::BTreeMap;
use store::{Rx, Store, Tx, sql};

pub async fn check(store: &Store) {
    // In a unit, since a scan's deadline is for requests.
    let wrong: Result<(Audit, Vec<String>)> = store
        .write((), async |tx: &mut Tx, (): &()| Ok((ledger::audit(tx, &()).await?, counts(tx).await?)))
        .await;
    let (audit, counts) = wrong.expect("the checks run");
    assert_eq!(audit, Audit::default(), "the books");
    assert!(counts.is_empty(), "kept counts that are wrong: {counts:?}");
}

async fn counts(rx: &mut Rx) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let mut note = |what: &str, rows: Vec<(i64, i64, i64)>| {
        wrong.extend(
            rows.iter().map(|(account, kept, counted)| format!("{what} of {account}: {kept}, not {counted}")),
        );
    };
    let rows = rx
        .all(
            sql!(
                "SELECT t.account, t.contacts, CAST(count(c.id) AS BIGINT) FROM tally t
                 LEFT JOIN contact c ON c.root = t.root AND c.account = t.account
                 GROUP BY t.root, t.account, t.contacts HAVING t.contacts <> count(c.id)"
            ),
            &[],
        )
        .await?;
    note("contacts", rows);
    let rows = rx
        .all(
            sql!(
                "SELECT t.account, t.groups, CAST(count(g.id) AS BIGINT) FROM tally t
                 LEFT JOIN contact_group g ON g.root = t.root AND g.account = t.account
                 GROUP BY t.root, t.account, t.groups HAVING t.groups <> count(g.id)"
            ),
            &[],
        )
        .await?;
    note("groups", rows);
    let rows = rx
        .all(
            sql!(
                "SELECT t.account, t.opt_outs, CAST(count(o.msisdn) AS BIGINT) FROM tally t
                 LEFT JOIN opt_out o ON o.root = t.root AND o.account = t.account
                 GROUP BY t.root, t.account, t.opt_outs HAVING t.opt_outs <> count(o.msisdn)"
            ),
            &[],
        )
        .await?;
    note("opt-outs", rows);
    let rows = rx
        .all(
            sql!(
                "SELECT g.account, g.members, CAST(count(m.contact) AS BIGINT) FROM contact_group g
                 LEFT JOIN membership m ON m.root = g.root AND m.account = g.account AND m.grp = g.id
                 GROUP BY g.root, g.account, g.id, g.members HAVING g.members <> count(m.contact)"
            ),
            &[],
        )
        .await?;
    note("members of a group", rows);
    let rows = rx
        .all(
            sql!(
                "SELECT c.account, c.groups, CAST(count(m.grp) AS BIGINT) FROM contact c
                 LEFT JOIN membership m ON m.root = c.root AND m.account = c.account AND m.contact = c.id
                 GROUP BY c.root, c.account, c.id, c.groups HAVING c.groups <> count(m.grp)"
            ),
            &[],
        )
        .await?;
    note("groups of a contact", rows);
    let rows = rx
        .all(
            sql!(
                "SELECT m.account, CAST(0 AS BIGINT), CAST(count(m.contact) AS BIGINT) FROM membership m
                 LEFT JOIN contact c ON c.root = m.root AND c.account = m.account AND c.id = m.contact
                 LEFT JOIN contact_group g ON g.root = m.root AND g.account = m.account AND g.id = m.grp
                 WHERE c.id IS NULL OR g.id IS NULL GROUP BY m.account"
            ),
            &[],
        )
        .await?;
    note("memberships without a side", rows);
    // Deleted messages stay in the rollups after their rows have gone, so that there may be more than rows say.
    let (kept, counted) = rollups(rx).await?;
    for (place, figures) in counted {
        let rolled_up = kept.get(&place).copied().unwrap_or_default();
        if rolled_up.0 < figures.0 || rolled_up.1 < figures.1 {
            wrong.push(format!("rollup {place:?}: {rolled_up:?}, not {figures:?}"));
        }
    }
    Ok(wrong)
}

/// What the rollups hold, and what the rows say that they were counted as, without countries: by root, account, quarter of
/// an hour, direction, kind, network, carrier and status; then recipients, parts and prices.
pub type Figures = BTreeMap<(i64, i64, i64, String, String, String, i64, String), (i64, i64, i64)>;

/// The rollups, and the same computed from the rows of recipients.
pub async fn rollups(rx: &mut Rx) -> Result<(Figures, Figures)> {
    type Row = (i64, i64, i64, String, String, String, i64, String, i64, i64, i64);
    let kept = rx
        .all(
            sql!(
                "SELECT root, account, bucket, direction, kind, network, carrier, status,
                 CAST(sum(messages) AS BIGINT), CAST(sum(parts) AS BIGINT), CAST(sum(price) AS BIGINT)
                 FROM rollup GROUP BY root, account, bucket, direction, kind, network, carrier, status"
            ),
            &[],
        )
        .await?;
    let counted = rx
        .all(
            sql!(
                "SELECT r.root, r.account, m.created - m.created % 900000000, m.direction, m.kind,
                 COALESCE(r.network, ''),
                 CASE WHEN r.counted IN ('scheduled', 'sent', 'buffered') THEN 0 ELSE r.carrier END, r.counted,
                 CAST(count(*) AS BIGINT), CAST(sum(m.parts) AS BIGINT),
                 CAST(sum(CASE WHEN r.counted = 'scheduled' THEN 0 ELSE r.counted_price END) AS BIGINT)
                 FROM recipient r JOIN message m ON m.root = r.root AND m.account = r.account AND m.id = r.message
                 WHERE r.counted IS NOT NULL GROUP BY 1, 2, 3, 4, 5, 6, 7, 8"
            ),
            &[],
        )
        .await?;
    let figures = |rows: Vec<Row>| {
        let rows = rows.into_iter();
        rows.map(
            |(root, account, bucket, direction, kind, network, carrier, status, messages, parts, price)| {
                let key = (root, account, bucket, direction, kind, network, carrier, status);
                (key, (messages, parts, price))
            },
        )
        .collect()
    };
    Ok((figures(kept), figures(counted)))
}
