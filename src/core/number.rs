//! Numbers that phones write to: whose each one is, and who shares it by the first word of a text.
//!
//! A number belongs to one account. A keyword leads texts that begin with it to another account; a text without one goes
//! on with whoever of the number's accounts wrote to that phone last, and else to the number's own.

use super::account::{self, AccountId};
use super::error::Code;
use super::phone::Msisdn;
use super::words::words;
use super::{Error, Noun, Result, Scope, Timestamp, Violation, partner};
use store::{FromRow, Row, Rx, Tx, sql};

/// Digits of the shortest short code and of the longest number (3GPP 23.003 section 3.3).
const DIGITS: std::ops::RangeInclusive<usize> = 3..=15;
/// The smallest number that is no short code.
const LONG: i64 = 1_000_000;
/// Longest keyword, in characters.
pub const KEYWORD_MAX: usize = 40;
/// Keywords of one number.
const KEYWORDS_MAX: usize = 1_000;
/// Accounts of a shared number that are asked whether a text goes on with one of them.
const SHARED_MAX: i64 = 50;
/// Messages to a phone that are looked through for the last one from a number.
const THREAD_MAX: i64 = 50;
/// Numbers that one read lists.
pub const LISTED_MAX: i64 = 500;

words! {
    /// How a received message is forwarded.
    Form {
        /// A GET request.
        Get = "get",
        /// A POST request with a form.
        Post = "post",
        /// A POST request with JSON.
        Json = "json",
    }
}

impl Form {
    /// Reads the stored word.
    pub fn parse(text: &str) -> std::result::Result<Form, Code> {
        Form::ALL.iter().copied().find(|form| form.name() == text).ok_or(Code::Invalid)
    }
}

/// Reads a number that phones write to: as [`Msisdn::parse`], or a short code of three to six digits.
pub fn parse(text: &str) -> std::result::Result<Msisdn, Code> {
    let digits = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(code) if digits && DIGITS.contains(&text.len()) => Ok(Msisdn(code)),
        _ => Msisdn::parse(text),
    }
}

/// Whether it is a short code rather than a number of some country.
pub fn is_short_code(msisdn: Msisdn) -> bool {
    msisdn.0 < LONG
}

/// A keyword as it is compared: case folded, letters and digits only.
pub fn keyword(text: &str) -> std::result::Result<String, Code> {
    let word = fold(text);
    let fits = (1..=KEYWORD_MAX).contains(&word.chars().count()) && !word.contains(' ');
    if fits { Ok(word) } else { Err(Code::Invalid) }
}

/// A text as its words are compared: case folded, letters and digits, one blank between words.
pub(super) fn fold(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|c| if c.is_alphanumeric() || is_mark(c) { c } else { ' ' })
        .flat_map(char::to_lowercase)
        .collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Marks that stand in words of some scripts (combining diacritics, Devanagari's vowel signs) without being letters.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36F}' | '\u{93A}'..='\u{94F}' | '\u{E31}'..='\u{E4E}')
}

/// A number or a keyword of one, and where it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    /// The number.
    pub msisdn: Msisdn,
    /// The keyword, if it is one.
    pub word: Option<String>,
    /// Whose texts these are.
    pub scope: Scope,
    /// Where they are forwarded to, if not where the account's are.
    pub inbound_url: Option<String>,
    /// How, if not as the account's are.
    pub form: Option<Form>,
}

impl FromRow for Number {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Number {
            msisdn: row.next()?,
            word: row.next()?,
            scope: Scope { root: row.next()?, account: row.next()? },
            inbound_url: row.next()?,
            form: row.next()?,
        })
    }
}

/// Gives a number to an account.
#[derive(Debug, Clone)]
pub struct Add {
    /// The number.
    pub msisdn: Msisdn,
    /// The keyword, to give only texts that begin with it.
    pub word: Option<String>,
    /// To whom.
    pub account: AccountId,
    /// See [`Number::inbound_url`].
    pub inbound_url: Option<String>,
    /// See [`Number::form`].
    pub form: Option<Form>,
}

/// Gives a number or a keyword to an account; given again to the same account, it is only changed.
pub async fn add(tx: &mut Tx, add: &Add) -> Result<Number> {
    let Add { msisdn, word, account, inbound_url, form } = add;
    partner::check_url(inbound_url.as_deref().unwrap_or_default())
        .map_err(|code| Violation::new("inbound-url", code))?;
    let owner = account::lock(tx, account).await?;
    if owner.status == account::Status::Deleted {
        return Err(Error::NotFound(Noun::Account));
    }
    let (scope, now): (Scope, Timestamp) = (owner.scope(), tx.now());
    let taken = match word {
        None => {
            // What a deleted account had is free.
            tx.exec(
                sql!(
                    "INSERT INTO number (msisdn, root, account, inbound_url, inbound_form, created)
                     VALUES ($1, $2, $3, $4, $5, $6)
                     ON CONFLICT (msisdn) DO UPDATE SET root = $2, account = $3, inbound_url = $4, inbound_form = $5
                     WHERE number.account = $3
                     OR EXISTS (SELECT 1 FROM account a WHERE a.id = number.account AND a.status = 'deleted')"
                ),
                &[msisdn, &scope.root, &scope.account, inbound_url, form, &now],
            )
            .await?
        }
        Some(word) => {
            let owned: Option<Msisdn> =
                tx.maybe(sql!("SELECT msisdn FROM number WHERE msisdn = $1 FOR UPDATE"), &[msisdn]).await?;
            owned.ok_or(Error::NotFound(Noun::Number))?;
            let count: i64 = tx
                .one(sql!("SELECT CAST(count(*) AS BIGINT) FROM keyword WHERE msisdn = $1"), &[msisdn])
                .await?;
            if usize::try_from(count).is_ok_and(|count| count >= KEYWORDS_MAX) {
                return Err(Violation::new("keyword", Code::TooMany(KEYWORDS_MAX)).into());
            }
            tx.exec(
                sql!(
                    "INSERT INTO keyword (msisdn, word, root, account, inbound_url, inbound_form, created)
                     VALUES ($1, $2, $3, $4, $5, $6, $7)
                     ON CONFLICT (msisdn, word) DO UPDATE SET root = $3, account = $4, inbound_url = $5, inbound_form = $6
                     WHERE keyword.account = $4
                     OR EXISTS (SELECT 1 FROM account a WHERE a.id = keyword.account AND a.status = 'deleted')"
                ),
                &[msisdn, word, &scope.root, &scope.account, inbound_url, form, &now],
            )
            .await?
        }
    };
    if taken == 0 {
        let field = if word.is_some() { "keyword" } else { "number" };
        return Err(Violation::new(field, Code::Taken).into());
    }
    let (inbound_url, form) = (inbound_url.clone(), *form);
    Ok(Number { msisdn: *msisdn, word: word.clone(), scope, inbound_url, form })
}

/// Takes a keyword away, or a number with all its keywords; answers whose it was.
pub async fn remove(tx: &mut Tx, (msisdn, word): &(Msisdn, Option<String>)) -> Result<AccountId> {
    if let Some(word) = word {
        let gone = sql!("DELETE FROM keyword WHERE msisdn = $1 AND word = $2 RETURNING account");
        return tx.maybe(gone, &[msisdn, word]).await?.ok_or(Error::NotFound(Noun::Keyword));
    }
    let gone = sql!("DELETE FROM number WHERE msisdn = $1 RETURNING account");
    let whose: AccountId = tx.maybe(gone, &[msisdn]).await?.ok_or(Error::NotFound(Noun::Number))?;
    tx.put(sql!("DELETE FROM keyword WHERE msisdn = $1"), &[msisdn]).await?;
    Ok(whose)
}

/// The numbers of an account, or of everybody, in their order after one; at most [`LISTED_MAX`].
pub async fn list(rx: &mut Rx, (account, after): &(Option<AccountId>, Msisdn)) -> Result<Vec<Number>> {
    Ok(rx
        .all(
            sql!(
                "SELECT msisdn, NULL, root, account, inbound_url, inbound_form FROM number
                 WHERE msisdn > $2 AND (CAST($1 AS BIGINT) IS NULL OR account = $1) ORDER BY msisdn LIMIT $3"
            ),
            &[account, after, &LISTED_MAX],
        )
        .await?)
}

/// The keywords of an account, or of everybody, in their order after one; at most [`LISTED_MAX`].
pub async fn keywords(
    rx: &mut Rx,
    (account, number, word): &(Option<AccountId>, Msisdn, String),
) -> Result<Vec<Number>> {
    Ok(rx
        .all(
            sql!(
                "SELECT msisdn, word, root, account, inbound_url, inbound_form FROM keyword
                 WHERE (msisdn, word) > ($2, $3) AND (CAST($1 AS BIGINT) IS NULL OR account = $1)
                 ORDER BY msisdn, word LIMIT $4"
            ),
            &[account, number, word, &LISTED_MAX],
        )
        .await?)
}

/// Whose a text from a phone to a number is; `None` if nobody's who is still there.
pub(super) async fn route(
    rx: &mut Rx,
    to: Msisdn,
    from: Option<Msisdn>,
    text: &str,
) -> Result<Option<Number>> {
    let word = fold(text).split(' ').next().unwrap_or_default().to_owned();
    let by_keyword: Option<Number> = rx
        .maybe(
            sql!(
                "SELECT k.msisdn, k.word, k.root, k.account, k.inbound_url, k.inbound_form FROM keyword k
                 JOIN account a ON a.id = k.account WHERE k.msisdn = $1 AND k.word = $2 AND a.status <> 'deleted'"
            ),
            &[&to, &word],
        )
        .await?;
    if by_keyword.is_some() {
        return Ok(by_keyword);
    }
    let own: Option<Number> = rx
        .maybe(
            sql!(
                "SELECT n.msisdn, NULL, n.root, n.account, n.inbound_url, n.inbound_form FROM number n
                 JOIN account a ON a.id = n.account WHERE n.msisdn = $1 AND a.status <> 'deleted'"
            ),
            &[&to],
        )
        .await?;
    let (Some(own), Some(from)) = (&own, from) else { return Ok(own) };
    let sharing: Vec<Number> = rx
        .all(
            sql!(
                "SELECT k.msisdn, k.word, k.root, k.account, k.inbound_url, k.inbound_form FROM keyword k
                 JOIN account a ON a.id = k.account WHERE k.msisdn = $1 AND a.status <> 'deleted'
                 ORDER BY k.word LIMIT $2"
            ),
            &[&to, &SHARED_MAX],
        )
        .await?;
    if sharing.is_empty() {
        return Ok(Some(own.clone()));
    }
    let mut latest = None;
    for number in std::iter::once(own).chain(&sharing) {
        let last = last_to(rx, &number.scope, to, from).await?;
        let last = last.map(|(message, _)| (message, number));
        latest = [latest, last].into_iter().flatten().max_by_key(|(message, _)| *message);
    }
    Ok(Some(latest.map_or(own, |(_, number)| number).clone()))
}

/// The last message that an account sent to a phone from a number, and its reference.
pub(super) async fn last_to(
    rx: &mut Rx,
    scope: &Scope,
    from: Msisdn,
    to: Msisdn,
) -> Result<Option<([u8; 16], Option<String>)>> {
    Ok(rx
        .maybe(
            sql!(
                "SELECT m.id, m.reference FROM (SELECT message FROM recipient
                     WHERE root = $1 AND account = $2 AND msisdn = $3 ORDER BY message DESC LIMIT $5) latest
                 JOIN message m ON m.root = $1 AND m.account = $2 AND m.id = latest.message
                 WHERE m.direction = 'out' AND m.originator = $4 ORDER BY m.id DESC LIMIT 1"
            ),
            &[&scope.root, &scope.account, &to, &from.to_string(), &THREAD_MAX],
        )
        .await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_short_codes_are_read() {
        for (text, number, short) in [
            ("31655500099", 31_655_500_099, false),
            ("+31 655500099", 31_655_500_099, false),
            ("1008", 1_008, true),
        ] {
            let read = parse(text).unwrap();
            assert_eq!((read.0, is_short_code(read)), (number, short), "{text}");
        }
        for bad in ["", "12", "0123", "Bakery", "+1008", "1234567890123456"] {
            assert_eq!(parse(bad), Err(Code::Invalid), "{bad}");
        }
    }

    #[test]
    fn words_are_compared_without_case_and_punctuation() {
        for (text, folded) in [
            (" Stop! ", "stop"),
            ("»ARRÊT«", "arrêt"),
            ("stop   ALL.", "stop all"),
            ("СТОП", "стоп"),
            ("退订", "退订"),
            ("", ""),
        ] {
            assert_eq!(fold(text), folded);
        }
        assert_eq!(keyword("Pizza").as_deref(), Ok("pizza"));
        for bad in ["", "!", "two words", &"x".repeat(41)] {
            assert_eq!(keyword(bad), Err(Code::Invalid), "{bad}");
        }
    }
}
