//! What the storage probes write for one contact. THIS FILE FOLLOWS THE PRODUCT'S TABLES: when a migration changes
//! what `POST /contacts` writes, change the schema, the statements and `writes` here, and nothing else.
//!
//! One text for both engines, as in the migrations; at the end of the constants, what makes each engine's own of it.

use crate::people::Person;

/// From the migrations, letter for letter: the tables that a new contact touches.
const SCHEMA: &str = "
CREATE TABLE tally (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    contacts BIGINT NOT NULL,
    groups BIGINT NOT NULL,
    PRIMARY KEY (root, account)
) CLUSTERED;
CREATE TABLE contact (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    id BYTEA NOT NULL,
    msisdn BIGINT NOT NULL,
    first_name TEXT NOT NULL,
    last_name TEXT NOT NULL,
    custom1 TEXT NOT NULL,
    custom2 TEXT NOT NULL,
    custom3 TEXT NOT NULL,
    custom4 TEXT NOT NULL,
    groups BIGINT NOT NULL,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    PRIMARY KEY (root, account, id)
);
CREATE UNIQUE INDEX contact_by_msisdn ON contact (root, account, msisdn);
CREATE TABLE contact_word (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    word TEXT NOT NULL,
    contact BYTEA NOT NULL,
    PRIMARY KEY (root, account, word, contact)
) CLUSTERED;";

/// Run once, after the schema.
pub(super) const BEFORE: &str =
    "INSERT INTO tally (root, account, contacts, groups) VALUES (7310428, 7310428, 0, 0);";

/// What `writes` refers to by position.
pub(super) const STATEMENTS: [&str; 3] = [
    "INSERT INTO contact (root, account, id, msisdn, first_name, last_name, custom1, custom2, custom3, custom4,
        groups, created, updated) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, $11, $11)
        ON CONFLICT (root, account, msisdn) DO NOTHING",
    "INSERT INTO contact_word (root, account, word, contact) VALUES ($1, $2, $3, $4)",
    "UPDATE tally SET contacts = contacts + $3 WHERE root = $1 AND account = $2",
];

/// One contact by its key, for `PostgreSQL`: root, account and id.
pub(super) const SELECT: &str =
    "SELECT msisdn, first_name, last_name, custom1, custom2, custom3, custom4, groups,
    created, updated FROM contact WHERE root = $1 AND account = $2 AND id = $3";

/// Takes away what was written after the first `$1` contacts (an id that comes after all of theirs).
pub(super) const RESET: [&str; 2] =
    ["DELETE FROM contact WHERE id >= $1", "DELETE FROM contact_word WHERE contact >= $1"];

/// The schema for `SQLite`.
pub(super) fn lite_schema() -> String {
    let typed = SCHEMA.replace("BIGINT", "INTEGER").replace("BYTEA", "BLOB");
    typed.replace("\n) CLUSTERED;", "\n) STRICT, WITHOUT ROWID;").replace("\n);", "\n) STRICT;")
}

/// A statement for `SQLite`.
pub(super) fn lite(statement: &str) -> String {
    statement.replace('$', "?")
}

/// The schema for `PostgreSQL`.
pub(super) fn postgres_schema() -> String {
    SCHEMA.replace(" CLUSTERED", "")
}

const ACCOUNT: i64 = 7_310_428;

/// A parameter.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Int(i64),
    Text(String),
    Bytes([u8; 16]),
}

/// One statement with its parameters.
pub(super) struct Write {
    /// Which of `STATEMENTS`.
    pub(super) statement: usize,
    pub(super) values: Vec<Value>,
}

/// Everything that is written for contact number `n`.
pub(super) fn writes(n: u64) -> [Write; 4] {
    let person = Person::number(n);
    let int = |n: u64| Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
    let own = || Value::Int(ACCOUNT);
    let contact = id(n);
    let word = |name: &str| Write {
        statement: 1,
        values: vec![own(), own(), Value::Text(name.to_lowercase()), Value::Bytes(contact)],
    };
    let words = [word(&person.first_name), word(&person.last_name)];
    let row = Write {
        statement: 0,
        values: vec![
            own(),
            own(),
            Value::Bytes(contact),
            int(person.msisdn),
            Value::Text(person.first_name),
            Value::Text(person.last_name),
            Value::Text(person.custom1),
            Value::Text(person.custom2),
            Value::Text(String::new()),
            Value::Text(String::new()),
            int(1_700_000_000_000_000 + n),
        ],
    };
    let [first, last] = words;
    [row, first, last, Write { statement: 2, values: vec![own(), own(), Value::Int(1)] }]
}

/// The parameters of `SELECT` for contact number `n`.
pub(super) fn key(n: u64) -> [Value; 3] {
    [Value::Int(ACCOUNT), Value::Int(ACCOUNT), Value::Bytes(id(n))]
}

/// Ids begin with the time, as the server's do: later contacts have later ids.
pub(super) fn id(n: u64) -> [u8; 16] {
    let tail = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    let mut id = [0; 16];
    id[..8].copy_from_slice(&(0x0190_0000_0000_0000 + n).to_be_bytes());
    id[8..].copy_from_slice(&tail);
    id
}

/// For `RESET`: comes before the id of contact `n` and after the ids of all earlier ones.
pub(super) fn boundary(n: u64) -> [u8; 16] {
    let mut id = id(n);
    id[8..].fill(0);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_those_of_the_migrations() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations");
        let mut migrations = String::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            migrations += &std::fs::read_to_string(entry.unwrap().path()).unwrap();
        }
        for statement in SCHEMA.trim().split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
            assert!(migrations.contains(statement), "no migration says any more: {statement}");
        }
    }

    #[test]
    fn ids_come_in_the_order_of_the_contacts() {
        for n in [0, 1, 255, 256, 9_999_999] {
            assert!(id(n) < boundary(n + 1) && boundary(n + 1) <= id(n + 1), "{n}");
        }
    }
}
