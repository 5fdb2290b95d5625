//! One SQL text for two engines, made at compile time.
//!
//! `SQLite` reads `$1` as a *named* parameter, numbered by first appearance, so that `SELECT $2, $1`
//! bound by position comes back the wrong way round, silently. [`sql!`](crate::sql!) therefore makes
//! a second spelling with `?1`. Every statement registers itself in [`STATEMENTS`], which is what lets
//! one test prepare each text the program can ever send, assembled texts included.

/// A statement in both spellings. Only [`sql!`](crate::sql!) makes one.
#[derive(Debug)]
pub struct Sql {
    pub(crate) pg: &'static str,
    pub(crate) lite: &'static str,
    pub(crate) at: &'static str,
}

/// Every statement linked into this program.
#[linkme::distributed_slice]
pub static STATEMENTS: [&'static Sql];

impl Sql {
    #[doc(hidden)]
    pub const fn new(pg: &'static str, lite: &'static str, at: &'static str) -> Self {
        Self { pg, lite, at }
    }

    /// `file:line` of the `sql!`.
    pub fn at(&self) -> &'static str {
        self.at
    }

    /// The text as written (`PostgreSQL`'s spelling).
    pub fn text(&self) -> &'static str {
        self.pg
    }

    /// Whether the statement cannot change a row. `WITH` counts as a change, to be safe.
    pub(crate) fn reads(&self) -> bool {
        self.first_word().eq_ignore_ascii_case("SELECT")
    }

    /// Whether it changes rows and answers them.
    pub(crate) fn returns(&self) -> bool {
        matches!(self.first_word(), "INSERT" | "UPDATE" | "DELETE") && self.pg.contains("RETURNING")
    }

    pub(crate) fn first_word(&self) -> &'static str {
        let text = self.pg.trim_start();
        text.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or(text)
    }

    /// The numbers of the parameters that the text names: how many different ones, and the highest.
    pub(crate) fn parameters(&self) -> (usize, usize) {
        let mut seen = std::collections::BTreeSet::new();
        let mut quoted = false;
        let mut rest = self.pg;
        while let Some(at) = rest.find(['\'', '$']) {
            let (hit, after) = rest[at..].split_at(1);
            if hit == "'" {
                quoted = !quoted;
            } else if !quoted {
                let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
                seen.extend(after[..digits].parse::<usize>());
            }
            rest = after;
        }
        (seen.len(), seen.last().copied().unwrap_or(0))
    }
}

/// A statement of one or more constant pieces, as `&'static Sql`:
///
/// ```
/// const COLUMNS: &str = "id, name";
/// let by_id = store::sql!("SELECT ", COLUMNS, " FROM contact WHERE id = $1 FOR UPDATE");
/// assert_eq!(by_id.text(), "SELECT id, name FROM contact WHERE id = $1 FOR UPDATE");
/// ```
///
/// Each piece is a constant `&str` expression. Parameters are `$1`, `$2`.. `FOR UPDATE` and
/// `SKIP LOCKED` (upper case) are blanked for `SQLite`, which has one writer and needs no row locks.
#[macro_export]
macro_rules! sql {
    ($($piece:expr),+ $(,)?) => {{
        const PIECES: &[&str] = &[$($piece),+];
        const PG: [u8; $crate::sql::len(PIECES)] = $crate::sql::join(PIECES);
        const LITE: [u8; PG.len()] = $crate::sql::lite(PG);
        static SQL: $crate::Sql = $crate::Sql::new(
            $crate::sql::text(&PG),
            $crate::sql::text(&LITE),
            concat!(file!(), ":", line!()),
        );
        #[$crate::__linkme::distributed_slice($crate::STATEMENTS)]
        #[linkme(crate = $crate::__linkme)]
        #[allow(unsafe_code, clippy::allow_attributes, reason = "link_section, which linkme checks")]
        static ENTRY: &'static $crate::Sql = &SQL;
        &SQL
    }};
}

#[doc(hidden)]
pub const fn len(pieces: &[&str]) -> usize {
    let (mut n, mut i) = (0, 0);
    while i < pieces.len() {
        n += pieces[i].len();
        i += 1;
    }
    n
}

#[doc(hidden)]
pub const fn join<const N: usize>(pieces: &[&str]) -> [u8; N] {
    let mut out = [0; N];
    let (mut n, mut i) = (0, 0);
    while i < pieces.len() {
        let piece = pieces[i].as_bytes();
        let mut j = 0;
        while j < piece.len() {
            out[n] = piece[j];
            n += 1;
            j += 1;
        }
        i += 1;
    }
    out
}

/// `$1` becomes `?1`, row locks become blanks, and what stands in single quotes stays.
#[doc(hidden)]
pub const fn lite<const N: usize>(mut text: [u8; N]) -> [u8; N] {
    let mut quoted = false;
    let mut i = 0;
    while i < N {
        match text[i] {
            b'\'' => quoted = !quoted,
            b'$' if !quoted => text[i] = b'?',
            b' ' | b'\n' if !quoted => {
                text = blank(text, i + 1, b"FOR UPDATE");
                text = blank(text, i + 1, b"SKIP LOCKED");
            }
            _ => {}
        }
        i += 1;
    }
    text
}

const fn blank<const N: usize>(mut text: [u8; N], at: usize, word: &[u8]) -> [u8; N] {
    let end = at + word.len();
    if end > N || (end < N && text[end].is_ascii_alphanumeric()) {
        return text;
    }
    let mut i = 0;
    while i < word.len() {
        if text[at + i] != word[i] {
            return text;
        }
        i += 1;
    }
    i = at;
    while i < end {
        text[i] = b' ';
        i += 1;
    }
    text
}

#[doc(hidden)]
pub const fn text(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => panic!("pieces of text joined are text"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &str = "id, 'it''s $1'";

    #[test]
    fn both_spellings() {
        let sql = sql!("SELECT ", COLUMNS, " FROM t WHERE a = $2 AND b = $1 FOR UPDATE");
        assert_eq!(sql.pg, "SELECT id, 'it''s $1' FROM t WHERE a = $2 AND b = $1 FOR UPDATE");
        assert_eq!(sql.lite, "SELECT id, 'it''s $1' FROM t WHERE a = ?2 AND b = ?1           ");
        assert!(sql.at.contains("sql.rs:"), "{}", sql.at);
        assert_eq!(sql.parameters(), (2, 2));
        assert!(sql.reads() && !sql!("UPDATE t SET a = 'FOR UPDATE' WHERE b = $3").reads());
        assert!(STATEMENTS.iter().any(|s| std::ptr::eq(*s, sql)));
    }

    #[test]
    fn row_locks_are_blanked_only_where_they_are_locks() {
        let lite = |sql: &'static Sql| sql.lite.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(
            lite(sql!(
                "UPDATE q SET a = 1 WHERE id IN (SELECT id FROM q LIMIT 9\nFOR UPDATE SKIP LOCKED) RETURNING id"
            )),
            "UPDATE q SET a = 1 WHERE id IN (SELECT id FROM q LIMIT 9 ) RETURNING id"
        );
        assert_eq!(lite(sql!("SELECT ' FOR UPDATE', x FOR UPDATED")), "SELECT ' FOR UPDATE', x FOR UPDATED");
        assert_eq!(sql!("SELECT '$9', $1, $3").parameters(), (2, 3));
    }
}
