//! Bringing the schema forward, and saying whether program and schema fit each other.
//!
//! A migration is portable text, recorded with its checksum in the table `migration`; once applied it
//! never changes and is never taken back. All that are missing are applied in one unit, so on either
//! engine a start that fails leaves nothing behind. Several processes may start at once: on `SQLite`
//! the writer's lock makes one wait, on `PostgreSQL` the row with version 0.
//!
//! Old and new programs run beside each other during an upgrade. Each migration therefore begins with
//! `-- oldest: N`: a program has to know version N to work beside it.
//!
//! The text is rewritten token by token, never by replacing text, so that strings, comments and names
//! stay as they are. What is not portable is refused rather than passed on.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::tx::Link;
use crate::{Engine, Error, Rx, Store, Tx, sql};

/// One step of the schema. Steps are listed by ascending version.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// From 1 upwards.
    pub version: u32,
    /// For people.
    pub name: &'static str,
    /// The text. Its first line is `-- oldest: N`.
    pub sql: &'static str,
}

/// How the database's schema and this program stand to each other. They work together, or there would
/// have been an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schema {
    /// The highest version in the database; 0 before the first.
    pub found: u32,
    /// The highest version that the program knows.
    pub known: u32,
    /// How many of the program's migrations are not in the database yet. With any, the program is not
    /// ready.
    pub pending: usize,
}

/// Starts at the same time collide in a few ways that a second look resolves.
const ATTEMPTS: u32 = 8;

struct Step {
    version: i64,
    name: &'static str,
    oldest: i64,
    checksum: String,
    sql: &'static str,
}

impl Store {
    /// Applies what is missing.
    ///
    /// # Errors
    /// [`Error::Schema`] when an applied migration was changed or left out, when a newer one does not
    /// tolerate this program, or when the text is not portable; otherwise what the engine says.
    pub async fn migrate(&self, migrations: &[Migration]) -> Result<(), Error> {
        let mut attempt = 1;
        loop {
            let result = self.write(steps(migrations)?, apply).await;
            match &result {
                Err(error) if attempt < ATTEMPTS && collided(error) => {
                    tracing::info!(%error, attempt, "Another process migrates; trying again");
                    attempt += 1;
                }
                _ => return result,
            }
        }
    }

    /// Looks at the schema without changing it.
    ///
    /// # Errors
    /// As [`Store::migrate`]; [`Error::Unavailable`] when the database does not answer.
    pub async fn schema(&self, migrations: &[Migration]) -> Result<Schema, Error> {
        let steps = steps(migrations)?;
        let applied = match self.read((), applied).await {
            Err(error) if no_table(&error) => Vec::new(),
            other => other?,
        };
        let pending = pending(&steps, &applied)?.len();
        let top = |version: Option<i64>| version.and_then(|v| u32::try_from(v).ok()).unwrap_or(0);
        Ok(Schema {
            found: top(applied.last().map(|a| a.0)),
            known: top(steps.last().map(|s| s.version)),
            pending,
        })
    }
}

/// `CREATE TABLE IF NOT EXISTS` by two processes at once violates a unique index of `PostgreSQL`'s
/// catalogue (23505), finds the table there after all (42P07) or updated under it (XX000).
fn collided(error: &Error) -> bool {
    match error {
        Error::Sql { code, .. } => ["23505", "42P07", "XX000"].contains(&code.as_str()),
        Error::Unavailable { .. } => true,
        _ => false,
    }
}

fn no_table(error: &Error) -> bool {
    matches!(error, Error::Sql { code, message, .. } if code == "42P01" || message.starts_with("no such table"))
}

fn steps(migrations: &[Migration]) -> Result<Vec<Step>, Error> {
    let mut steps: Vec<Step> = Vec::new();
    for m in migrations {
        let bad = |why: &str| Error::Schema(format!("migration {} ({}) {why}", m.version, m.name));
        let version = i64::from(m.version);
        if version <= steps.last().map_or(0, |s| s.version) {
            return Err(bad("is not in ascending order"));
        }
        let first = m.sql.lines().next().and_then(|l| l.strip_prefix("-- oldest:"));
        let oldest = first.and_then(|n| n.trim().parse::<u32>().ok()).map(i64::from);
        let oldest = oldest.ok_or_else(|| bad("does not begin with a line \"-- oldest: N\""))?;
        if oldest > version {
            return Err(bad("tolerates no program at all: oldest is above its version"));
        }
        // A checkout with other line ends is the same migration.
        let digest = Sha256::digest(m.sql.replace("\r\n", "\n"));
        let mut checksum = String::new();
        for byte in digest {
            // Writing to a string cannot fail.
            let _ = write!(checksum, "{byte:02x}");
        }
        steps.push(Step { version, name: m.name, oldest, checksum, sql: m.sql });
    }
    Ok(steps)
}

type Applied = (i64, String, i64);

async fn applied(rx: &mut Rx, (): &()) -> Result<Vec<Applied>, Error> {
    rx.all(sql!("SELECT version, checksum, oldest FROM migration WHERE version > 0 ORDER BY version"), &[])
        .await
}

/// Which steps are missing, or why program and schema do not fit.
fn pending<'s>(steps: &'s [Step], applied: &[Applied]) -> Result<Vec<&'s Step>, Error> {
    let known = steps.last().map_or(0, |s| s.version);
    for (version, checksum, oldest) in applied {
        match steps.iter().find(|s| s.version == *version) {
            Some(step) if step.checksum != *checksum => {
                return Err(Error::Schema(format!(
                    "migration {version} ({}) was changed after it was applied; put its text back and add a new one",
                    step.name
                )));
            }
            None if *version < known => {
                return Err(Error::Schema(format!(
                    "migration {version} is in the database, but not in this program"
                )));
            }
            None if *oldest > known => {
                return Err(Error::Schema(format!(
                    "the database has version {version}, which works beside programs that know version {oldest} or \
                     later; this one knows {known}: start a newer release"
                )));
            }
            Some(_) | None => {}
        }
    }
    let found = applied.last().map_or(0, |a| a.0);
    let missing: Vec<&Step> = steps.iter().filter(|s| !applied.iter().any(|a| a.0 == s.version)).collect();
    if let Some(gap) = missing.iter().find(|s| s.version < found) {
        return Err(Error::Schema(format!("migration {} was never applied, but {found} was", gap.version)));
    }
    Ok(missing)
}

const TABLE: &str = "CREATE TABLE IF NOT EXISTS migration (
    version BIGINT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    oldest BIGINT NOT NULL,
    applied BIGINT NOT NULL
);";

#[expect(clippy::ptr_arg, reason = "a unit takes its command by reference, whatever the command is")]
async fn apply(tx: &mut Tx, steps: &Vec<Step>) -> Result<(), Error> {
    let engine = match &tx.link {
        Link::Lite(_) => Engine::Sqlite,
        Link::Pg(_) => Engine::Postgres,
    };
    if engine == Engine::Postgres {
        // Another process may need a while for its migrations.
        tx.script("SET LOCAL lock_timeout = '60s'").await?;
    }
    tx.script(&rewrite(engine, TABLE).map_err(Error::Schema)?).await?;
    let now: i64 = tx.now();
    tx.put(
        sql!(
            "INSERT INTO migration (version, name, checksum, oldest, applied) VALUES (0, 'lock', '', 0, $1) ",
            "ON CONFLICT (version) DO NOTHING"
        ),
        &[&now],
    )
    .await?;
    let _: i64 = tx.one(sql!("SELECT version FROM migration WHERE version = 0 FOR UPDATE"), &[]).await?;
    let applied = applied(tx, &()).await?;
    for step in pending(steps, &applied)? {
        let text = rewrite(engine, step.sql)
            .map_err(|why| Error::Schema(format!("migration {} ({}): {why}", step.version, step.name)))?;
        tx.script(&text).await?;
        tx.put(
            sql!(
                "INSERT INTO migration (version, name, checksum, oldest, applied) VALUES ($1, $2, $3, $4, $5)"
            ),
            &[&step.version, &step.name, &step.checksum, &step.oldest, &now],
        )
        .await?;
        tracing::info!(version = step.version, name = step.name, "Migrated");
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Blanks and comments.
    Space,
    Word,
    /// Strings, quoted names, numbers, and single signs.
    Other,
}

/// Cuts `text` into tokens. Together they are the text.
fn tokens(text: &str) -> Vec<(Kind, &str)> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let run = |inside: fn(char) -> bool| rest.find(|c| !inside(c)).unwrap_or(rest.len());
        let (kind, len) = match c {
            _ if c.is_whitespace() => (Kind::Space, run(char::is_whitespace)),
            _ if rest.starts_with("--") => (Kind::Space, run(|c| c != '\n')),
            _ if rest.starts_with("/*") => (Kind::Space, rest.find("*/").map_or(rest.len(), |end| end + 2)),
            // A doubled quote ends one string and begins the next: the same to us.
            '\'' | '"' => (Kind::Other, rest[1..].find(c).map_or(rest.len(), |end| end + 2)),
            _ if c.is_alphabetic() || c == '_' => (Kind::Word, run(|c| c.is_alphanumeric() || c == '_')),
            _ if c.is_ascii_digit() => (Kind::Other, run(|c| c.is_ascii_alphanumeric() || c == '.')),
            _ => (Kind::Other, c.len_utf8()),
        };
        let (token, after) = rest.split_at(len);
        tokens.push((kind, token));
        rest = after;
    }
    tokens
}

/// The spelling of a portable type.
fn column_type(engine: Engine, column: &str, name: &str) -> Result<String, String> {
    Ok(match (name.to_ascii_uppercase().as_str(), engine) {
        ("BIGINT", Engine::Sqlite) => "INTEGER".into(),
        ("BYTEA", Engine::Sqlite) => "BLOB".into(),
        ("BOOLEAN", Engine::Sqlite) => format!("INTEGER CHECK ({column} IN (0, 1))"),
        ("TEXT", Engine::Postgres) => "TEXT COLLATE \"C\"".into(),
        ("BIGINT" | "BYTEA" | "BOOLEAN" | "TEXT", _) => name.into(),
        _ => return Err(format!("column {column} is {name}: use BIGINT, TEXT, BYTEA or BOOLEAN")),
    })
}

/// Writes a portable text for one engine: column types, `STRICT`, and `CLUSTERED`.
fn rewrite(engine: Engine, text: &str) -> Result<String, String> {
    let tokens = tokens(text);
    let mut out = String::new();
    // Of the current statement: its first tokens in upper case, and how deep in parentheses we are.
    let mut head: Vec<String> = Vec::new();
    let mut depth = 0_usize;
    // Of the current item in a list of columns: how many tokens there were, and the first.
    let mut item = 0;
    let mut column = String::new();
    for (i, &(kind, token)) in tokens.iter().enumerate() {
        let upper = token.to_ascii_uppercase();
        if kind == Kind::Space || upper == "CLUSTERED" && depth == 0 && create_table(&head) {
            out.push_str(if kind == Kind::Space { token } else { "" });
            continue;
        }
        if kind == Kind::Word && ["REFERENCES", "FOREIGN"].contains(&upper.as_str()) {
            return Err("foreign keys are not used".into());
        }
        let at_type = match head.as_slice() {
            [alter, table, _, add, word, name]
                if [alter, table, add, word] == ["ALTER", "TABLE", "ADD", "COLUMN"] =>
            {
                column.clone_from(name);
                true
            }
            _ => false,
        };
        let listed = depth == 1 && create_table(&head);
        match token {
            "(" => depth += 1,
            ")" => depth = depth.checked_sub(1).ok_or("a parenthesis too many")?,
            _ => {}
        }
        if (token == "(" && depth == 1) || (token == "," && listed) {
            item = 0;
        } else if listed && depth == 1 {
            item += 1;
            if item == 1 {
                token.clone_into(&mut column);
            }
        }
        let constraint =
            ["PRIMARY", "UNIQUE", "CHECK", "CONSTRAINT"].iter().any(|c| c.eq_ignore_ascii_case(&column));
        if at_type || listed && depth == 1 && item == 2 && !constraint && token != "," {
            out.push_str(&column_type(engine, &column, token)?);
        } else {
            out.push_str(token);
        }
        if token == ")" && listed && depth == 0 && engine == Engine::Sqlite {
            let next = tokens[i + 1..].iter().find(|t| t.0 != Kind::Space);
            let clustered = next.is_some_and(|t| t.1.eq_ignore_ascii_case("CLUSTERED"));
            out.push_str(if clustered { " WITHOUT ROWID, STRICT" } else { " STRICT" });
        }
        if token == ";" && depth == 0 {
            head.clear();
        } else {
            head.push(if kind == Kind::Word && head.len() != 2 && head.len() != 5 {
                upper
            } else {
                token.into()
            });
        }
    }
    if depth == 0 { Ok(out) } else { Err("a parenthesis is not closed".into()) }
}

fn create_table(head: &[String]) -> bool {
    head.len() >= 2 && head[0] == "CREATE" && head[1] == "TABLE"
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn both(text: &str) -> (String, String) {
        (rewrite(Engine::Sqlite, text).unwrap(), rewrite(Engine::Postgres, text).unwrap())
    }

    #[test]
    fn types_are_rewritten_where_they_are_types() {
        let (lite, pg) = both(
            "create table if not exists t (text TEXT NOT NULL DEFAULT 'TEXT, (BIGINT', bigint bigint, -- a BYTEA, (\n\
             \"flag\" BOOLEAN NOT NULL, b BYTEA CHECK (octet_length(b) IN (16, 32)), PRIMARY KEY (text, bigint));\n\
             CREATE INDEX i ON t (text) WHERE flag AND bigint > 3;",
        );
        assert_eq!(
            lite,
            "create table if not exists t (text TEXT NOT NULL DEFAULT 'TEXT, (BIGINT', bigint INTEGER, -- a BYTEA, (\n\
             \"flag\" INTEGER CHECK (\"flag\" IN (0, 1)) NOT NULL, b BLOB CHECK (octet_length(b) IN (16, 32)), PRIMARY KEY (text, bigint)) STRICT;\n\
             CREATE INDEX i ON t (text) WHERE flag AND bigint > 3;",
        );
        assert_eq!(
            pg,
            "create table if not exists t (text TEXT COLLATE \"C\" NOT NULL DEFAULT 'TEXT, (BIGINT', bigint bigint, -- a BYTEA, (\n\
             \"flag\" BOOLEAN NOT NULL, b BYTEA CHECK (octet_length(b) IN (16, 32)), PRIMARY KEY (text, bigint));\n\
             CREATE INDEX i ON t (text) WHERE flag AND bigint > 3;",
        );
    }

    #[test]
    fn clustered_and_added_columns() {
        let (lite, pg) = both("CREATE TABLE q (lane BYTEA, id BIGINT, PRIMARY KEY (lane, id)) CLUSTERED;");
        assert_eq!(
            lite,
            "CREATE TABLE q (lane BLOB, id INTEGER, PRIMARY KEY (lane, id)) WITHOUT ROWID, STRICT ;"
        );
        assert_eq!(pg, "CREATE TABLE q (lane BYTEA, id BIGINT, PRIMARY KEY (lane, id)) ;");
        let (lite, pg) = both("ALTER TABLE t ADD COLUMN text BOOLEAN; alter table t add column Name text;");
        assert_eq!(
            lite,
            "ALTER TABLE t ADD COLUMN text INTEGER CHECK (text IN (0, 1)); alter table t add column Name text;"
        );
        assert_eq!(
            pg,
            "ALTER TABLE t ADD COLUMN text BOOLEAN; alter table t add column Name TEXT COLLATE \"C\";"
        );
    }

    #[test]
    fn what_is_not_portable_is_refused() {
        for bad in [
            "CREATE TABLE t (a VARCHAR(9));",
            "CREATE TABLE t (a SERIAL PRIMARY KEY);",
            "CREATE TABLE t (a BIGINT REFERENCES u (b));",
            "CREATE TABLE t (a BIGINT;",
            "CREATE TABLE t (a BIGINT));",
            "ALTER TABLE t ADD COLUMN a JSONB;",
        ] {
            assert!(
                rewrite(Engine::Sqlite, bad).is_err() && rewrite(Engine::Postgres, bad).is_err(),
                "{bad}"
            );
        }
    }

    fn step(version: u32, oldest: u32) -> Migration {
        let sql = Box::leak(format!("-- oldest: {oldest}\n").into_boxed_str());
        Migration { version, name: "x", sql }
    }

    #[test]
    fn old_programs_beside_new_schemas() {
        let new = steps(&[step(1, 1), step(2, 1), step(3, 2)]).unwrap();
        let all: Vec<Applied> = new.iter().map(|s| (s.version, s.checksum.clone(), s.oldest)).collect();
        assert!(pending(&new, &all).unwrap().is_empty());
        assert_eq!(pending(&new, &all[..1]).unwrap().len(), 2);
        assert!(pending(&new[..2], &all).unwrap().is_empty(), "3 tolerates a program that knows 2");
        let refused = pending(&new[..1], &all).err().unwrap().to_string();
        assert!(refused.contains("version 3") && refused.contains("knows 1"), "{refused}");
        assert!(pending(&new, &all[1..]).is_err(), "1 is missing under 2");
        let changed = [(1, "other".to_owned(), 1)];
        assert!(pending(&new, &changed).err().unwrap().to_string().contains("changed"));
        for bad in [vec![step(1, 2)], vec![step(2, 1), step(1, 1)], vec![step(0, 0)]] {
            assert!(steps(&bad).is_err());
        }
        assert!(steps(&[Migration { version: 1, name: "x", sql: "SELECT 1" }]).is_err());
    }

    proptest! {
        #[test]
        fn tokens_are_the_text(text in "[-a-zA-Z0-9 '\"(),;/*\n\u{e9}_.]{0,60}") {
            let joined: String = tokens(&text).iter().map(|t| t.1).collect();
            prop_assert_eq!(joined, text);
        }

        #[test]
        fn strings_and_comments_stay(text in "[-a-zA-Z0-9 (),;*\"]{0,40}") {
            let sql = format!("INSERT INTO t VALUES ('{text} BIGINT'); -- TEXT {text}\n/* BOOLEAN {text} */");
            for engine in [Engine::Sqlite, Engine::Postgres] {
                prop_assert_eq!(rewrite(engine, &sql), Ok(sql.clone()));
            }
        }
    }
}
