//! Everything that an account holds, as lines that can be compared.

use super::control;
use rookery::core::{AccountId, Result};
use store::{Tx, sql};

/// Everything below the partner, without ids and times, in a fixed order.
pub(super) async fn contents(tx: &mut Tx, root: &AccountId) -> Result<Vec<String>> {
    type Kept = (String, String, i64, i64, i64, i64, bool, i64);
    let mut lines = Vec::new();
    let accounts: Vec<Kept> = tx
        .all(
            sql!(
                "SELECT a.name, a.status, t.contacts, t.groups, t.messages, b.posted, b.postpaid, b.held FROM account a
                 JOIN tally t ON t.root = a.root AND t.account = a.id
                 JOIN balance b ON b.root = a.root AND b.account = a.id WHERE a.root = $1"
            ),
            &[root],
        )
        .await?;
    lines.extend(accounts.iter().map(|row| format!("account {row:?}")));
    let spent: Vec<(i64, i64)> =
        tx.all(sql!("SELECT day_spent, month_spent FROM balance WHERE root = $1"), &[root]).await?;
    lines.extend(spent.iter().map(|row| format!("spent {row:?}")));
    let contacts: Vec<(i64, String, i64)> =
        tx.all(sql!("SELECT msisdn, first_name, groups FROM contact WHERE root = $1"), &[root]).await?;
    lines.extend(contacts.iter().map(|row| format!("contact {row:?}")));
    let words: Vec<String> = tx.all(sql!("SELECT word FROM contact_word WHERE root = $1"), &[root]).await?;
    lines.extend(words.iter().map(|row| format!("word {row:?}")));
    let groups: Vec<(String, i64)> =
        tx.all(sql!("SELECT name, members FROM contact_group WHERE root = $1"), &[root]).await?;
    lines.extend(groups.iter().map(|row| format!("group {row:?}")));
    let keys: Vec<(String, String, bool)> =
        tx.all(sql!("SELECT role, name, revoked IS NULL FROM access_key WHERE root = $1"), &[root]).await?;
    lines.extend(keys.iter().map(|row| format!("key {row:?}")));
    let rates: Vec<(String, i64)> =
        tx.all(sql!("SELECT prefix, amount FROM rate WHERE root = $1"), &[root]).await?;
    lines.extend(rates.iter().map(|row| format!("rate {row:?}")));
    let messages: Vec<(i64, bool)> =
        tx.all(sql!("SELECT parts, hidden FROM message WHERE root = $1"), &[root]).await?;
    lines.extend(messages.iter().map(|row| format!("message {row:?}")));
    let recipients: Vec<(String, Option<String>, i64, i64)> =
        tx.all(sql!("SELECT status, reason, price, open FROM recipient WHERE root = $1"), &[root]).await?;
    lines.extend(recipients.iter().map(|row| format!("recipient {row:?}")));
    let parts: Vec<(i64, bool, bool)> = tx
        .all(sql!("SELECT number, marked > 0, reference IS NOT NULL FROM part WHERE root = $1"), &[root])
        .await?;
    lines.extend(parts.iter().map(|row| format!("part {row:?}")));
    let later: Vec<(i64, bool, i64, i64)> =
        tx.all(sql!("SELECT number, listed, price, cost FROM schedule WHERE root = $1"), &[root]).await?;
    lines.extend(later.iter().map(|row| format!("later {row:?}")));
    let callbacks: Vec<(String, bool, i64, String)> =
        tx.all(sql!("SELECT status, open, attempts, log FROM callback WHERE root = $1"), &[root]).await?;
    lines.extend(callbacks.iter().map(|row| format!("callback {row:?}")));
    let out: Vec<i64> = tx
        .all(
            sql!(
                "SELECT t.opt_outs FROM opt_out o JOIN tally t ON t.root = o.root AND t.account = o.account
                 WHERE o.root = $1"
            ),
            &[root],
        )
        .await?;
    lines.extend(out.iter().map(|row| format!("opted out {row:?}")));
    let rotations: Vec<bool> =
        tx.all(sql!("SELECT next IS NOT NULL FROM signing_key WHERE root = $1"), &[root]).await?;
    lines.extend(rotations.iter().map(|row| format!("next key {row:?}")));
    let failing: Vec<i64> = tx.all(sql!("SELECT failures FROM endpoint WHERE root = $1"), &[root]).await?;
    lines.extend(failing.iter().map(|row| format!("failures {row:?}")));
    let kept: Vec<i64> = tx.all(sql!("SELECT status FROM idempotency WHERE root = $1"), &[root]).await?;
    lines.extend(kept.iter().map(|row| format!("kept {row:?}")));
    let moved: Vec<(String, i64)> =
        tx.all(sql!("SELECT reason, amount FROM transfer WHERE root = $1"), &[root]).await?;
    lines.extend(moved.iter().map(|row| format!("transfer {row:?}")));
    let users: Vec<(i64, bool)> =
        tx.all(sql!("SELECT binds, revoked IS NULL FROM smpp_user WHERE root = $1"), &[root]).await?;
    lines.extend(users.iter().map(|row| format!("user {row:?}")));
    let waiting: Vec<(i64, i64, bool, bool)> = tx
        .all(
            sql!("SELECT total, number, waits, message IS NOT NULL FROM smpp_waiting WHERE root = $1"),
            &[root],
        )
        .await?;
    lines.extend(waiting.iter().map(|row| format!("waiting {row:?}")));
    lines.extend(control::contents(tx, root).await?);
    lines.sort();
    Ok(lines)
}
