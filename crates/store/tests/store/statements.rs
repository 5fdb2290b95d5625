//! Preparing everything on both engines finds each planted mistake, and nothing else.

use store::{STATEMENTS, sql};

use crate::support::{Db, both};

both! { mistakes_are_found }

/// Never run. On one engine, on the other, on both.
const PLANTED: [(&str, bool, bool); 7] = [
    ("no_such_table", true, true),
    ("\"no_such_column\"", true, true),
    ("sum", false, true),
    ("gap", true, true),
    ("unknown type", false, true),
    ("ambiguous", false, true),
    ("COMMIT", true, true),
];

#[expect(dead_code, reason = "its statements register themselves without it")]
fn planted() -> [&'static store::Sql; 7] {
    [
        sql!("SELECT id FROM no_such_table"),
        sql!("SELECT \"no_such_column\" FROM account"),
        sql!("SELECT sum(held) FROM account"),
        sql!("SELECT CAST($1 AS BIGINT), CAST($3 AS BIGINT), 'gap'"),
        sql!("SELECT id FROM account WHERE $1 IS NULL /* unknown type */"),
        sql!(
            "INSERT INTO account (id, held, name, active) VALUES (1, 0, 'ambiguous', TRUE) ON CONFLICT (id) DO UPDATE SET held = held + 1"
        ),
        sql!("COMMIT"),
    ]
}

async fn mistakes_are_found(db: Db) {
    let lite = db.engine == store::Engine::Sqlite;
    let store = db.store().await;
    let wrong = store.check_statements().await.unwrap_err();
    let mut unexpected = wrong.clone();
    for (mark, on_lite, on_pg) in PLANTED {
        let sql =
            STATEMENTS.iter().find(|s| s.at().contains("statements.rs") && s.text().contains(mark)).unwrap();
        let found = wrong.iter().any(|line| line.starts_with(&format!("{}: ", sql.at())));
        assert_eq!(found, if lite { on_lite } else { on_pg }, "{mark}: {wrong:#?}");
        unexpected.retain(|line| !line.starts_with(&format!("{}: ", sql.at())));
    }
    assert_eq!(unexpected, Vec::<String>::new());
    store.close().await;
}
