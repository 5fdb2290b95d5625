//! Recovery codes: what opens once in place of a second factor's code, for somebody who has lost the device.
//!
//! Ten are made when the second factor is switched on, and shown this once. They have 80 random bits each, so a plain hash
//! keeps them; using one removes its row, and whoever removes it decides.

use super::Result;
use super::second_factor::Of;
use super::secret;
use store::{Rx, Tx, sql};

/// Codes of a person.
pub const CODES: usize = 10;
/// Characters of a code, shown in groups of four.
const CHARS: usize = 16;
/// Base 32 (RFC 4648 section 6): nothing that looks like something else in there.
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// A code without what people type between its characters; `None` for what cannot be one, such as six digits.
fn normal(typed: &str) -> Option<String> {
    let code: String =
        typed.chars().filter(|c| !matches!(c, ' ' | '-')).map(|c| c.to_ascii_uppercase()).collect();
    let fits = code.len() == CHARS && code.bytes().all(|byte| ALPHABET.contains(&byte));
    fits.then_some(code)
}

/// Whether it has the form of a code.
pub(super) fn is_one(typed: &str) -> bool {
    normal(typed).is_some()
}

/// Of the person and the code, so that the same code of two people would be two hashes.
fn hash(of: &Of, code: &str) -> [u8; 32] {
    secret::hash(&format!("{} {code}", of.person))
}

/// Makes new codes; the old ones open nothing any more. The row of the second factor is locked.
pub(super) async fn issue(tx: &mut Tx, of: &Of) -> Result<Vec<String>> {
    remove(tx, of).await?;
    let mut codes = Vec::with_capacity(CODES);
    for _ in 0..CODES {
        let mut chance = [0; CHARS];
        tx.random(&mut chance);
        let code: String = chance.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect();
        tx.put(
            sql!("INSERT INTO recovery_code (root, person, hash, account) VALUES ($1, $2, $3, $4)"),
            &[&of.scope.root, &of.person, &hash(of, &code), &of.scope.account],
        )
        .await?;
        codes.push([&code[..4], &code[4..8], &code[8..12], &code[12..]].join("-"));
    }
    Ok(codes)
}

/// Uses a code up; whether it was one that opened.
pub(super) async fn spend(tx: &mut Tx, of: &Of, typed: &str) -> Result<bool> {
    let Some(code) = normal(typed) else { return Ok(false) };
    let gone = tx
        .exec(
            sql!("DELETE FROM recovery_code WHERE root = $1 AND person = $2 AND hash = $3"),
            &[&of.scope.root, &of.person, &hash(of, &code)],
        )
        .await?;
    Ok(gone == 1)
}

/// How many codes still open.
pub async fn left(rx: &mut Rx, of: &Of) -> Result<i64> {
    Ok(rx
        .one(
            sql!("SELECT CAST(count(*) AS BIGINT) FROM recovery_code WHERE root = $1 AND person = $2"),
            &[&of.scope.root, &of.person],
        )
        .await?)
}

/// Takes all codes away: with the second factor they end.
pub(super) async fn remove(tx: &mut Tx, of: &Of) -> Result<()> {
    tx.put(sql!("DELETE FROM recovery_code WHERE root = $1 AND person = $2"), &[&of.scope.root, &of.person])
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_people_type_it() {
        let code = Some("ABCDEFGH234567AB".to_owned());
        for typed in ["ABCD-EFGH-2345-67AB", "abcd efgh 2345 67ab", "ABCDEFGH234567AB"] {
            assert_eq!(normal(typed), code, "{typed}");
        }
        for typed in ["", "123456", "ABCD-EFGH-2345-67A", "ABCD-EFGH-2345-67A1", "ABCD-EFGH-2345-67AB-C"] {
            assert_eq!(normal(typed), None, "{typed}");
        }
    }
}
