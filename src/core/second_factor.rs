//! What somebody who signs in proves beside the password: codes of time (RFC 6238) from an app that knows the seed.
//!
//! A step of time counts once, so a code that somebody looked at opens nothing more (section 5.2). Codes are short, so
//! few wrong ones in a row stop the trying for a while; the counting is in the database, for all processes together.

use super::person::PersonId;
use super::recovery_code;
use super::secret::{Place, Vault};
use super::{Code, Error, Noun, Result, Scope, Timestamp, Violation};
use std::time::Duration;
use store::{Tx, sql};
use totp_rs::{Builder, Secret, Totp};
use zeroize::Zeroize;

/// Bytes of a seed: RFC 4226 section 4 recommends 160 bits.
const SEED_BYTES: usize = 20;
/// Wrong codes in a row …
const WRONG_MAX: i64 = 5;
/// … stop the trying for this time.
const LOCKED_US: i64 = 15 * 60 * 1_000_000;

/// Six digits each 30 seconds by SHA-1, and the step before and after, which is what the apps know.
fn codes(seed: [u8; SEED_BYTES]) -> Totp {
    Builder::new().with_secret(Secret::from(seed.as_slice())).build_noncompliant()
}

/// Whose second factor.
#[derive(Debug, Clone, Copy)]
pub struct Of {
    /// The account.
    pub scope: Scope,
    /// The person.
    pub person: PersonId,
}

/// Whether a person has a second factor.
pub(super) async fn is_on(rx: &mut store::Rx, scope: &Scope, person: PersonId) -> Result<bool> {
    let found: Option<PersonId> = rx
        .maybe(
            sql!("SELECT person FROM second_factor WHERE root = $1 AND person = $2 AND confirmed"),
            &[&scope.root, &person],
        )
        .await?;
    Ok(found.is_some())
}

/// Makes a seed that is not asked for before it is confirmed, and answers it in base 32 (RFC 4648 section 6).
pub async fn enrol(tx: &mut Tx, (of, vault): &(Of, Vault)) -> Result<String> {
    let Of { scope, person } = of;
    let mut seed = [0; SEED_BYTES];
    tx.random(&mut seed);
    let sealed = vault.seal(tx, Place::SecondFactor(person.0), &seed);
    let text = Secret::from(seed.as_slice()).to_base32();
    seed.zeroize();
    let stored = tx
        .exec(
            sql!(
                "INSERT INTO second_factor (root, person, account, sealed, confirmed, step, failures, locked)
                 VALUES ($1, $2, $3, $4, $5, 0, 0, 0) ON CONFLICT (root, person) DO UPDATE
                 SET sealed = $4, step = 0 WHERE NOT second_factor.confirmed"
            ),
            &[&scope.root, person, &scope.account, &sealed, &false],
        )
        .await?;
    if stored == 0 { Err(Violation::new("totp", Code::Taken).into()) } else { Ok(text) }
}

/// What came of a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// There is no second factor, or its code is right.
    Good,
    /// A recovery code is right, and used up.
    Recovered,
    /// A code is needed.
    Missing,
    /// The code is wrong, or was used.
    Wrong,
    /// Too many were wrong; worth trying again after this time.
    Locked(Duration),
}

impl Proof {
    /// Whether it is one.
    pub fn is_good(self) -> bool {
        matches!(self, Proof::Good | Proof::Recovered)
    }
}

/// A try.
#[derive(Debug, Clone)]
pub struct Try {
    /// Whose.
    pub of: Of,
    /// What was typed.
    pub code: Option<String>,
    /// Opens the seed.
    pub vault: Vault,
}

/// Judges a code. What it answers is counted, so a unit that calls it must not fail because of it.
pub(super) async fn prove(tx: &mut Tx, tried: &Try, confirmed: bool) -> Result<Proof> {
    let Of { scope, person } = &tried.of;
    let found: Option<(Vec<u8>, i64, i64, i64)> = tx
        .maybe(
            sql!(
                "SELECT sealed, step, failures, locked FROM second_factor
                 WHERE root = $1 AND person = $2 AND confirmed = $3 FOR UPDATE"
            ),
            &[&scope.root, person, &confirmed],
        )
        .await?;
    let Some((sealed, last, failures, locked)) = found else { return Ok(Proof::Good) };
    let now: Timestamp = tx.now();
    if locked > now.0 {
        return Ok(Proof::Locked(Duration::from_micros((locked - now.0).unsigned_abs())));
    }
    let Some(code) = &tried.code else { return Ok(Proof::Missing) };
    if confirmed && recovery_code::is_one(code) && recovery_code::spend(tx, &tried.of, code).await? {
        tx.put(
            sql!("UPDATE second_factor SET failures = 0 WHERE root = $1 AND person = $2"),
            &[&scope.root, person],
        )
        .await?;
        return Ok(Proof::Recovered);
    }
    let opened = tried.vault.open(Place::SecondFactor(person.0), &sealed);
    let seed: [u8; SEED_BYTES] =
        opened.ok().and_then(|seed| seed.as_slice().try_into().ok()).ok_or_else(broken)?;
    let seconds = u64::try_from(now.0 / 1_000_000).unwrap_or(0);
    let step = codes(seed).check(code, seconds).and_then(|step| i64::try_from(step).ok());
    if let Some(step) = step.filter(|step| *step > last) {
        tx.put(
            sql!("UPDATE second_factor SET step = $3, failures = 0 WHERE root = $1 AND person = $2"),
            &[&scope.root, person, &step],
        )
        .await?;
        return Ok(Proof::Good);
    }
    let (failures, locked) =
        if failures + 1 >= WRONG_MAX { (0, now.0.saturating_add(LOCKED_US)) } else { (failures + 1, 0) };
    tx.put(
        sql!("UPDATE second_factor SET failures = $3, locked = $4 WHERE root = $1 AND person = $2"),
        &[&scope.root, person, &failures, &locked],
    )
    .await?;
    Ok(Proof::Wrong)
}

fn broken() -> Error {
    Error::Internal("the seed of a second factor does not open".into())
}

/// Confirms a seed by a first code: from now on signing in asks for one. Answers the recovery codes.
pub async fn confirm(tx: &mut Tx, tried: &Try) -> Result<std::result::Result<Vec<String>, Proof>> {
    let Of { scope, person } = &tried.of;
    let waiting: Option<bool> = tx
        .maybe(
            sql!("SELECT confirmed FROM second_factor WHERE root = $1 AND person = $2 FOR UPDATE"),
            &[&scope.root, person],
        )
        .await?;
    match waiting {
        None => return Err(Error::NotFound(Noun::Person)),
        Some(true) => return Err(Violation::new("totp", Code::Taken).into()),
        Some(false) => {}
    }
    let proof = prove(tx, tried, false).await?;
    if proof != Proof::Good {
        return Ok(Err(proof));
    }
    tx.put(
        sql!("UPDATE second_factor SET confirmed = $3 WHERE root = $1 AND person = $2"),
        &[&scope.root, person, &true],
    )
    .await?;
    Ok(Ok(recovery_code::issue(tx, &tried.of).await?))
}

/// Makes new recovery codes for somebody who proves the second factor once more; the old ones open nothing any more.
pub async fn renew_codes(tx: &mut Tx, tried: &Try) -> Result<std::result::Result<Vec<String>, Proof>> {
    let on: Option<i64> = tx
        .maybe(
            sql!("SELECT CAST(1 AS BIGINT) FROM second_factor WHERE root = $1 AND person = $2 AND confirmed FOR UPDATE"),
            &[&tried.of.scope.root, &tried.of.person],
        )
        .await?;
    if on.is_none() {
        return Err(Error::NotFound(Noun::SecondFactor));
    }
    let proof = prove(tx, tried, true).await?;
    if !proof.is_good() {
        return Ok(Err(proof));
    }
    Ok(Ok(recovery_code::issue(tx, &tried.of).await?))
}

/// Whether somebody has a second factor, and how many recovery codes are left.
pub async fn state(rx: &mut store::Rx, of: &Of) -> Result<(bool, i64)> {
    Ok((is_on(rx, &of.scope, of.person).await?, recovery_code::left(rx, of).await?))
}

/// Takes the second factor away from somebody who proves it once more.
pub async fn give_up(tx: &mut Tx, tried: &Try) -> Result<std::result::Result<(), Proof>> {
    let proof = prove(tx, tried, true).await?;
    if !proof.is_good() {
        return Ok(Err(proof));
    }
    remove(tx, &tried.of).await?;
    Ok(Ok(()))
}

/// Takes the second factor away, for somebody who has lost it; answers nothing if there is none.
pub async fn remove(tx: &mut Tx, of: &Of) -> Result<()> {
    tx.put(sql!("DELETE FROM second_factor WHERE root = $1 AND person = $2"), &[&of.scope.root, &of.person])
        .await?;
    recovery_code::remove(tx, of).await
}

/// The people of an account who have one.
pub async fn holders(rx: &mut store::Rx, scope: &Scope) -> Result<Vec<PersonId>> {
    Ok(rx
        .all(
            sql!("SELECT person FROM second_factor WHERE root = $1 AND account = $2 AND confirmed ORDER BY person"),
            &[&scope.root, &scope.account],
        )
        .await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238 appendix B, cut to six digits.
    #[test]
    fn codes_are_those_of_the_standard() {
        let codes = codes(*b"12345678901234567890");
        for (seconds, code) in
            [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924"), (2_000_000_000, "279037")]
        {
            assert_eq!(codes.generate(seconds).to_string(), code);
            assert_eq!(codes.check(code, seconds), Some(seconds / 30));
            assert_eq!(codes.check(code, seconds + 90), None);
        }
    }
}
