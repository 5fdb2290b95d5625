//! Checks that hold at every moment: the ledger is balanced, and every kept count is what counting gives.

use rookery::core::Result;
use rookery::core::ledger::{self, Audit};
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
    Ok(wrong)
}
