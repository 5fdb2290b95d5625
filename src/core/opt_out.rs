//! Who wants nothing more from an account: told by the words of a text, by command or from a file.
//!
//! Asked twice. When a message is accepted, so that who has opted out gets nothing and costs nothing; an account that nobody
//! has opted out from does not ask. And again right before a part is handed over (`part::claim`), which is what counts:
//! whoever has opted out by then is sent nothing any more.

use super::account::{self, AccountId};
use super::change::{self, Kind};
use super::error::Code;
use super::number::fold;
use super::phone::Msisdn;
use super::secret::Vault;
use super::terms::{Messaging, Terms};
use super::words::words;
use super::{Error, Noun, Result, Scope, Timestamp, Violation};
use std::collections::HashSet;
use store::{FromRow, Param, Row, Rx, Store, Tx, sql};

/// Numbers that one unit adds or removes.
pub const BATCH: usize = 100;
/// Numbers that one statement asks for.
const ASKED: usize = 50;
/// Numbers that one read lists.
pub const LISTED_MAX: i64 = 500;
/// The network's code of a recipient that has opted out (spec 10 section 5).
pub const ERROR: i64 = 103;
/// Words of one setting, and characters of one word.
const WORDS_MAX: usize = 100;
const WORD_MAX: usize = 40;

words! {
    /// Who said so.
    Source {
        /// The recipient, by a text.
        Inbound = "inbound",
        /// Somebody, by command.
        Command = "command",
        /// A file.
        Import = "import",
    }
}

/// What always counts, whatever an account has set.
const STOP: &str = "stop";
const START: &str = "start";
/// What counts in each language unless an account has set its own: its code, the words that stop, the words that start.
/// Folded, as `number::fold` does it.
const LANGUAGES: [(&str, &[&str], &[&str]); 21] = [
    (
        "en",
        &["stop", "stopall", "stop all", "unsubscribe", "cancel", "end", "quit", "opt out", "optout"],
        &["start", "unstop", "subscribe"],
    ),
    ("nl", &["stop", "stoppen", "afmelden", "uitschrijven"], &["aanmelden", "inschrijven"]),
    ("de", &["stopp", "stoppen", "abmelden", "abbestellen"], &["anmelden"]),
    ("fr", &["arret", "arrêt", "desabonner", "désabonner"], &["abonner"]),
    ("es", &["baja", "alto", "parar", "cancelar"], &["alta"]),
    ("it", &["disiscrivi", "cancellami", "annulla"], &["iscrivi"]),
    ("pt", &["parar", "sair", "cancelar"], &["iniciar"]),
    ("pl", &["rezygnuje", "rezygnuję", "wypisz"], &["zapisz"]),
    ("cs", &["odhlasit", "odhlásit"], &["prihlasit", "přihlásit"]),
    ("ro", &["dezabonare"], &["abonare"]),
    ("hu", &["leiratkozas", "leiratkozás"], &["feliratkozas", "feliratkozás"]),
    ("sv", &["stopp", "avsluta"], &["starta"]),
    ("da", &["afmeld"], &["tilmeld"]),
    ("fi", &["lopeta", "peru"], &["aloita"]),
    ("tr", &["iptal", "ret", "dur"], &["basla", "başla"]),
    ("el", &["στοπ", "διακοπη", "διακοπή"], &["εναρξη", "έναρξη"]),
    ("ru", &["стоп", "отписаться"], &["старт"]),
    ("uk", &["стоп", "відписатися"], &["старт"]),
    ("ar", &["توقف", "إيقاف", "الغاء", "إلغاء"], &["ابدأ", "اشتراك"]),
    ("hi", &["रोकें", "बंद"], &["शुरू"]),
    ("zh", &["退订", "退訂", "取消", "td"], &["订阅", "訂閱"]),
];

/// What a text asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// To be sent nothing more.
    Stop,
    /// To be sent to again.
    Start,
}

/// What a whole text asks for by the account's words; most ask for nothing. `STOP` and `START` always count.
pub fn said(settings: &Messaging, text: &str) -> Option<Said> {
    // Longer than any word can be: not worth folding.
    if text.len() > 4 * WORD_MAX {
        return None;
    }
    let text = fold(text);
    if is_among(&text, STOP, settings.stop_words.as_deref(), |(_, stop, _)| stop) {
        Some(Said::Stop)
    } else if is_among(&text, START, settings.start_words.as_deref(), |(_, _, start)| start) {
        Some(Said::Start)
    } else {
        None
    }
}

type Language = (&'static str, &'static [&'static str], &'static [&'static str]);

fn is_among(
    text: &str,
    always: &str,
    set: Option<&str>,
    of: fn(&Language) -> &'static [&'static str],
) -> bool {
    let Some(set) = set else {
        return text == always || LANGUAGES.iter().any(|language| of(language).contains(&text));
    };
    text == always
        || set.split(',').map(str::trim).any(|entry| match entry.strip_prefix("lang:") {
            Some(code) => LANGUAGES.iter().any(|language| language.0 == code && of(language).contains(&text)),
            None => fold(entry) == text,
        })
}

/// Checks a setting: words or short phrases between commas, or `lang:de` for all that a language has by default.
pub(super) fn check_words(set: &str) -> std::result::Result<(), Code> {
    let entries: Vec<&str> = set.split(',').map(str::trim).collect();
    if entries.len() > WORDS_MAX {
        return Err(Code::TooMany(WORDS_MAX));
    }
    let good = |entry: &&str| match entry.strip_prefix("lang:") {
        Some(code) => LANGUAGES.iter().any(|language| language.0 == code),
        None => (1..=WORD_MAX).contains(&fold(entry).chars().count()),
    };
    if entries.iter().all(good) { Ok(()) } else { Err(Code::Invalid) }
}

/// Puts numbers on an account's list, at most [`BATCH`]; answers how many were not on it.
pub async fn add(tx: &mut Tx, (scope, numbers, source): &(Scope, Vec<Msisdn>, Source)) -> Result<u64> {
    let now: Timestamp = tx.now();
    let mut added = 0;
    for number in numbers {
        tx.put(
            sql!("DELETE FROM opt_in WHERE root = $1 AND account = $2 AND msisdn = $3"),
            &[&scope.root, &scope.account, number],
        )
        .await?;
        added += tx
            .exec(
                sql!(
                    "INSERT INTO opt_out (root, account, msisdn, source, created) VALUES ($1, $2, $3, $4, $5)
                     ON CONFLICT (root, account, msisdn) DO NOTHING"
                ),
                &[&scope.root, &scope.account, number, source, &now],
            )
            .await?;
    }
    count(tx, scope, i64::try_from(added).unwrap_or(0)).await?;
    Ok(added)
}

/// Takes numbers off an account's list, at most [`BATCH`]; answers how many were on it.
pub async fn remove(tx: &mut Tx, (scope, numbers): &(Scope, Vec<Msisdn>)) -> Result<u64> {
    let mut removed = 0;
    for number in numbers {
        tx.put(
            sql!(
                "INSERT INTO opt_in (root, account, msisdn)
                 SELECT CAST($1 AS BIGINT), CAST($2 AS BIGINT), CAST($3 AS BIGINT)
                 WHERE EXISTS (SELECT 1 FROM opt_out WHERE root = $1 AND account = $2 AND msisdn < 0)
                 ON CONFLICT (root, account, msisdn) DO NOTHING"
            ),
            &[&scope.root, &scope.account, number],
        )
        .await?;
        removed += tx
            .exec(
                sql!("DELETE FROM opt_out WHERE root = $1 AND account = $2 AND msisdn = $3"),
                &[&scope.root, &scope.account, number],
            )
            .await?;
    }
    count(tx, scope, -i64::try_from(removed).unwrap_or(0)).await?;
    Ok(removed)
}

/// Keeps the count. Whether it is zero is part of what everybody remembers of an account's terms.
async fn count(tx: &mut Tx, scope: &Scope, by: i64) -> Result<()> {
    if by == 0 {
        return Ok(());
    }
    let after: Option<i64> = tx
        .maybe(
            sql!("UPDATE tally SET opt_outs = opt_outs + $3 WHERE root = $1 AND account = $2 RETURNING opt_outs"),
            &[&scope.root, &scope.account, &by],
        )
        .await?;
    let after = after.ok_or(Error::NotFound(Noun::Account))?;
    if after == by || after == 0 { change::raise(tx, Kind::Terms).await } else { Ok(()) }
}

/// The same by an account's number, for commands: the account must be there.
pub async fn scope_of(rx: &mut Rx, id: &AccountId) -> Result<Scope> {
    let found = account::find(rx, id).await?;
    if found.status == account::Status::Deleted {
        return Err(Error::NotFound(Noun::Account));
    }
    Ok(found.scope())
}

/// Whether anybody has opted out from an account.
pub(super) async fn has_any(rx: &mut Rx, scope: &Scope) -> Result<bool> {
    let count: Option<i64> = rx
        .maybe(
            sql!("SELECT opt_outs FROM tally WHERE root = $1 AND account = $2"),
            &[&scope.root, &scope.account],
        )
        .await?;
    Ok(count.is_some_and(|count| count > 0))
}

/// The parameters `$3` to `$52`.
const FIFTY: &str = "\
    $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, \
    $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41, $42, $43, \
    $44, $45, $46, $47, $48, $49, $50, $51, $52";

async fn some_among(rx: &mut Rx, (scope, numbers): &(Scope, Vec<Msisdn>)) -> Result<Vec<Msisdn>> {
    let Some(last) = numbers.last() else { return Ok(Vec::new()) };
    let mut asked: Vec<&dyn Param> = vec![&scope.root, &scope.account];
    asked.extend(numbers.iter().map(|number| -> &dyn Param { number }));
    // The rest asks for the last one again.
    asked.resize(2 + ASKED, last);
    Ok(rx
        .all(
            sql!("SELECT msisdn FROM opt_out WHERE root = $1 AND account = $2 AND msisdn IN (", FIFTY, ")"),
            &asked,
        )
        .await?)
}

/// Those of some numbers that have opted out, fifty to a statement.
pub async fn among(store: &Store, terms: &Terms, numbers: &[Msisdn]) -> Result<HashSet<Msisdn>> {
    let scope = terms.scope;
    let mut found = HashSet::new();
    for some in numbers.chunks(ASKED) {
        found.extend(store.read((scope, some.to_vec()), some_among).await?);
    }
    // Only then: an entry that becomes a hash meanwhile is met as what it was or as what it is.
    if !store.read(scope, has_hidden).await? {
        return Ok(found);
    }
    let vault = terms.vault.as_ref().ok_or_else(|| Error::Internal("hashes without their key".into()))?;
    for some in numbers.chunks(ASKED) {
        let hashes: Vec<Msisdn> = some.iter().map(|number| hidden(vault, scope, *number)).collect();
        let behind = store.read((scope, some.to_vec(), hashes.clone()), hidden_among).await?;
        found.extend(some.iter().zip(&hashes).filter(|(_, hash)| behind.contains(hash)).map(|(to, _)| *to));
    }
    Ok(found)
}

/// Whether an account's list has entries that are hashes.
async fn has_hidden(rx: &mut Rx, scope: &Scope) -> Result<bool> {
    let any: Option<i64> = rx
        .maybe(
            sql!("SELECT msisdn FROM opt_out WHERE root = $1 AND account = $2 AND msisdn < 0 LIMIT 1"),
            &[&scope.root, &scope.account],
        )
        .await?;
    Ok(any.is_some())
}

/// Which of the hashes of some numbers are on the list, as far as those have not come back.
async fn hidden_among(
    rx: &mut Rx,
    (scope, numbers, hashes): &(Scope, Vec<Msisdn>, Vec<Msisdn>),
) -> Result<Vec<Msisdn>> {
    let mut behind = some_among(rx, &(*scope, hashes.clone())).await?;
    if !behind.is_empty() {
        let back: Vec<Option<Msisdn>> = rx
            .maybe_each(
                sql!("SELECT msisdn FROM opt_in WHERE root = $1 AND account = $2 AND msisdn = $3"),
                numbers,
                |number| [&scope.root, &scope.account, number],
            )
            .await?;
        let back: Vec<Msisdn> =
            hashes.iter().zip(back).filter(|(_, back)| back.is_some()).map(|(hash, _)| *hash).collect();
        behind.retain(|hash| !back.contains(hash));
    }
    Ok(behind)
}

/// What stands on an account's list in place of a number that was erased: a keyed hash. No number is negative.
pub(super) fn hidden(vault: &Vault, scope: Scope, number: Msisdn) -> Msisdn {
    let token = vault.token(&["opt-out", &scope.account.to_string(), &number.to_string()]);
    let hash = token.get(..15).and_then(|digits| i64::from_str_radix(digits, 16).ok()).unwrap_or(0);
    Msisdn(-1 - hash)
}

/// Puts a keyed hash in a number's place on an account's list; answers whether the number was known here.
pub(super) async fn hide(tx: &mut Tx, scope: &Scope, number: Msisdn, hash: Msisdn) -> Result<bool> {
    let Scope { root, account } = scope;
    let back = tx
        .exec(
            sql!("DELETE FROM opt_in WHERE root = $1 AND account = $2 AND msisdn = $3"),
            &[root, account, &number],
        )
        .await?;
    if back > 0 {
        // Who came back is not on the list: neither is the hash any more.
        let gone = tx
            .exec(
                sql!("DELETE FROM opt_out WHERE root = $1 AND account = $2 AND msisdn = $3"),
                &[root, account, &hash],
            )
            .await?;
        count(tx, scope, -i64::try_from(gone).unwrap_or(0)).await?;
    }
    let gone: Option<(Source, Timestamp)> = tx
        .maybe(
            sql!("DELETE FROM opt_out WHERE root = $1 AND account = $2 AND msisdn = $3 RETURNING source, created"),
            &[root, account, &number],
        )
        .await?;
    let Some((source, created)) = gone else { return Ok(back > 0) };
    let put = tx
        .exec(
            sql!(
                "INSERT INTO opt_out (root, account, msisdn, source, created) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (root, account, msisdn) DO NOTHING"
            ),
            &[root, account, &hash, &source, &created],
        )
        .await?;
    count(tx, scope, i64::try_from(put).unwrap_or(0) - 1).await?;
    change::raise(tx, Kind::Terms).await?;
    Ok(true)
}

/// A number on an account's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptOut {
    /// The number.
    pub msisdn: Msisdn,
    /// Who said so.
    pub source: Source,
    /// When.
    pub created: Timestamp,
}

impl FromRow for OptOut {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(OptOut { msisdn: row.next()?, source: row.next()?, created: row.next()? })
    }
}

/// An account's list in the order of numbers, after one; at most [`LISTED_MAX`].
pub async fn list(rx: &mut Rx, (scope, after): &(Scope, Msisdn)) -> Result<Vec<OptOut>> {
    Ok(rx
        .all(
            sql!(
                "SELECT msisdn, source, created FROM opt_out WHERE root = $1 AND account = $2 AND msisdn > $3
                 ORDER BY msisdn LIMIT $4"
            ),
            &[&scope.root, &scope.account, after, &LISTED_MAX],
        )
        .await?)
}

/// Reads the numbers of a file: the first field of each line. A first line that does not begin with a number is its title.
pub fn read_file(text: &str) -> std::result::Result<Vec<Msisdn>, (usize, Violation)> {
    let mut numbers = Vec::new();
    for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let field = line.split([',', ';', '\t']).next().unwrap_or_default().trim().trim_matches('"');
        if field.is_empty() || at == 0 && !field.starts_with(|c: char| c.is_ascii_digit() || "+(".contains(c))
        {
            continue;
        }
        numbers.push(Msisdn::parse(field).map_err(|code| (at + 1, Violation::new("number", code)))?);
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(stop: Option<&str>, start: Option<&str>) -> Messaging {
        Messaging {
            stop_words: stop.map(str::to_owned),
            start_words: start.map(str::to_owned),
            ..Messaging::default()
        }
    }

    #[test]
    fn a_whole_text_stops_or_starts() {
        let (stop, start) = (Some(Said::Stop), Some(Said::Start));
        for (text, asks) in [
            ("STOP", stop),
            (" stop. ", stop),
            ("Stop all", stop),
            ("ARRÊT", stop),
            ("Abmelden!", stop),
            ("СТОП", stop),
            ("退订", stop),
            ("start", start),
            ("UNSTOP", start),
            ("Stop by at five", None),
            ("please don't stop", None),
            ("", None),
            (&"stop ".repeat(60), None),
        ] {
            assert_eq!(said(&Messaging::default(), text), asks, "{text}");
        }
    }

    #[test]
    fn every_default_word_is_written_as_it_is_compared() {
        for (code, stop, start) in &LANGUAGES {
            for word in stop.iter().chain(*start) {
                assert_eq!(&fold(word), word, "{code}");
            }
            assert!(stop.iter().all(|word| !start.contains(word)), "{code}");
        }
    }

    #[test]
    fn an_account_has_its_own_words() {
        let own = with(Some("lang:de, Genug!"), Some("Weiter"));
        for (text, asks) in [
            ("genug", Some(Said::Stop)),
            ("abbestellen", Some(Said::Stop)),
            ("stop", Some(Said::Stop)),
            ("unsubscribe", None),
            ("weiter", Some(Said::Start)),
            ("start", Some(Said::Start)),
            ("anmelden", None),
        ] {
            assert_eq!(said(&own, text), asks, "{text}");
        }
        for (set, good) in [("lang:de,genug", true), ("lang:xx", false), ("a,,b", false), ("!", false)] {
            assert_eq!(check_words(set).is_ok(), good, "{set}");
        }
    }

    #[test]
    fn a_file_has_a_number_to_a_line() {
        let text = "\u{feff}Number,Since\n+31 6 55500011,yesterday\n\n\"31655500012\";x\n";
        assert_eq!(read_file(text), Ok(vec![Msisdn(31_655_500_011), Msisdn(31_655_500_012)]));
        assert_eq!(read_file("31655500011\nBakery").map_err(|(line, _)| line), Err(2));
    }
}
