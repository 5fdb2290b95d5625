//! Bringing the schema forward.

use futures_util::future::join_all;
use store::{Error, Migration, Options, Rx, Schema, Tx, sql};

use crate::support::{Db, MIGRATIONS, both, count, create};

both! {
    several_start_at_once
    what_was_applied_stays
    old_beside_new
    a_failure_leaves_nothing
    cached_statements_survive
}

const SECOND: Migration = Migration {
    version: 2,
    name: "more",
    sql: "-- oldest: 1\nALTER TABLE account ADD COLUMN note TEXT; -- BIGINT\nUPDATE account SET note = 'TEXT; BIGINT';",
};
const THIRD: Migration = Migration {
    version: 3,
    name: "other",
    sql: "-- oldest: 2\nCREATE TABLE later (id BYTEA PRIMARY KEY) CLUSTERED;",
};

async fn several_start_at_once(db: Db) {
    let all = [MIGRATIONS[0], SECOND, THIRD];
    let stores = join_all((0..6).map(|_| db.bare(Options::default()))).await;
    for result in join_all(stores.iter().map(|store| store.migrate(&all))).await {
        result.unwrap();
    }
    let schema = stores[0].schema(&all).await;
    assert_eq!(schema, Ok(Schema { found: 3, known: 3, pending: 0 }));
    join_all(stores.iter().map(store::Store::close)).await;
}

async fn what_was_applied_stays(db: Db) {
    let store = db.bare(Options::default()).await;
    assert_eq!(store.schema(MIGRATIONS).await, Ok(Schema { found: 0, known: 1, pending: 1 }));
    store.migrate(MIGRATIONS).await.unwrap();
    store.write(1, create).await.unwrap();
    store.migrate(&[MIGRATIONS[0], SECOND]).await.unwrap();
    store.migrate(&[MIGRATIONS[0], SECOND]).await.unwrap();
    let note = async |rx: &mut Rx, (): &()| rx.one::<i64>(sql!("SELECT id FROM account"), &[]).await;
    assert_eq!(store.read((), note).await, Ok(1));
    let changed = Migration { sql: "-- oldest: 1\nALTER TABLE account ADD COLUMN other TEXT;", ..SECOND };
    for result in [
        store.migrate(&[MIGRATIONS[0], changed]).await,
        store.schema(&[MIGRATIONS[0], changed]).await.map(drop),
    ] {
        let Err(Error::Schema(why)) = result else { panic!("{result:?}") };
        assert!(why.contains("migration 2 (more) was changed"), "{why}");
    }
}

async fn old_beside_new(db: Db) {
    let store = db.bare(Options::default()).await;
    store.migrate(&[MIGRATIONS[0], SECOND, THIRD]).await.unwrap();
    // A program that knows version 2 works beside version 3, one that knows only 1 does not.
    assert_eq!(store.schema(&[MIGRATIONS[0], SECOND]).await, Ok(Schema { found: 3, known: 2, pending: 0 }));
    store.migrate(&[MIGRATIONS[0], SECOND]).await.unwrap();
    for result in [store.migrate(MIGRATIONS).await, store.schema(MIGRATIONS).await.map(drop)] {
        let Err(Error::Schema(why)) = result else { panic!("{result:?}") };
        assert!(why.contains("version 3") && why.contains("start a newer release"), "{why}");
    }
}

async fn a_failure_leaves_nothing(db: Db) {
    let store = db.bare(Options::default()).await;
    let bad = Migration {
        version: 2,
        name: "bad",
        sql: "-- oldest: 1\nCREATE TABLE x (id BIGINT);\nDROP TABLE nothing;",
    };
    assert!(matches!(store.migrate(&[MIGRATIONS[0], bad]).await, Err(Error::Sql { .. })));
    let unportable = Migration { sql: "-- oldest: 1\nCREATE TABLE x (id UUID);", ..bad };
    assert!(matches!(store.migrate(&[MIGRATIONS[0], unportable]).await, Err(Error::Schema(_))));
    assert_eq!(store.schema(MIGRATIONS).await, Ok(Schema { found: 0, known: 1, pending: 1 }));
    store.migrate(MIGRATIONS).await.unwrap();
    assert_eq!(store.read((), count).await, Ok(0));
}

/// The old program's statements go on working while a new one changes the tables under them.
async fn cached_statements_survive(db: Db) {
    let (old, new) = (db.store().await, db.bare(Options::default()).await);
    let star =
        async |rx: &mut Rx, (): &()| rx.all::<i64>(sql!("SELECT id FROM account ORDER BY id"), &[]).await;
    let unit = async |tx: &mut Tx, id: &i64| {
        create(tx, id).await?;
        tx.all::<i64>(sql!("SELECT id FROM (SELECT * FROM account) AS a ORDER BY id"), &[]).await
    };
    assert_eq!(old.write(1, unit).await, Ok(vec![1]));
    assert_eq!(old.read((), star).await, Ok(vec![1]));
    new.migrate(&[MIGRATIONS[0], SECOND]).await.unwrap();
    assert_eq!(old.write(2, unit).await, Ok(vec![1, 2]));
    assert_eq!(old.read((), star).await, Ok(vec![1, 2]));
}
