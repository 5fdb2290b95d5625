//! What goes in comes out, and what does not fit is refused on both engines alike: the traps of two
//! engines that the crate or the migrator answers.

use store::{Error, FromRow, Param, Row, Rx, Tx, sql};

use crate::support::{Db, both, count, create};

both! {
    round_trip
    parameters_are_numbered
    rows_are_read_whole
    the_number_of_parameters
    a_nul_is_refused
    overflow
    kinds_are_not_mixed
    text_is_ordered_by_bytes
    one_maybe_all
    errors_hold_no_values
    upserts
}

#[derive(Debug, PartialEq)]
struct Item {
    account: i64,
    id: [u8; 16],
    body: Option<String>,
}

impl FromRow for Item {
    fn from_row(r: &mut Row<'_>) -> Result<Self, Error> {
        Ok(Self { account: r.next()?, id: r.next()?, body: r.next()? })
    }
}

async fn round_trip(db: Db) {
    let store = db.store().await;
    let unit = async |tx: &mut Tx, (): &()| {
        for (n, body) in [(1, None), (i64::MAX, Some("é \u{1f426} '' $1")), (i64::MIN, Some(""))] {
            let id: [u8; 16] = tx.id();
            let changed = tx
                .exec(sql!("INSERT INTO item (account, id, body) VALUES ($1, $2, $3)"), &[&n, &id, &body])
                .await?;
            assert_eq!(changed, 1);
            let back: Item =
                tx.one(sql!("SELECT account, id, body FROM item WHERE account = $1"), &[&n]).await?;
            assert_eq!(back, Item { account: n, id, body: body.map(str::to_owned) });
            let tuple: (Vec<u8>, bool) =
                tx.one(sql!("SELECT id, body IS NULL FROM item WHERE account = $1"), &[&n]).await?;
            assert_eq!(tuple, (id.to_vec(), body.is_none()));
        }
        let gone = tx.exec(sql!("DELETE FROM item WHERE account > $1"), &[&0_i64]).await?;
        assert_eq!(gone, 2);
        Ok::<(), Error>(())
    };
    store.write((), unit).await.unwrap();
}

async fn parameters_are_numbered(db: Db) {
    let store = db.store().await;
    let unit = async |rx: &mut Rx, (): &()| {
        rx.one::<(i64, i64)>(sql!("SELECT CAST($2 AS BIGINT), CAST($1 AS BIGINT)"), &[&1_i64, &2_i64]).await
    };
    assert_eq!(store.read((), unit).await, Ok((2, 1)));
    let twice = async |rx: &mut Rx, name: &Option<String>| {
        rx.all::<i64>(sql!("SELECT id FROM account WHERE CAST($1 AS TEXT) IS NULL OR name = $1"), &[name])
            .await
    };
    store.write(3, create).await.unwrap();
    assert_eq!(store.read(None, twice).await, Ok(vec![3]));
    assert_eq!(store.read(Some("n4".to_owned()), twice).await, Ok(vec![]));
}

async fn rows_are_read_whole(db: Db) {
    let store = db.store().await;
    store.write(1, create).await.unwrap();
    let less = async |rx: &mut Rx, (): &()| rx.one::<i64>(sql!("SELECT id, held FROM account"), &[]).await;
    let more = async |rx: &mut Rx, (): &()| {
        rx.one::<(i64, i64)>(sql!("SELECT id FROM account"), &[]).await.map(|r| r.0)
    };
    let other = async |rx: &mut Rx, (): &()| rx.one::<i64>(sql!("SELECT name FROM account"), &[]).await;
    let null = async |rx: &mut Rx, (): &()| rx.one::<i64>(sql!("SELECT CAST(NULL AS BIGINT)"), &[]).await;
    for error in [
        store.read((), less).await.unwrap_err(),
        store.read((), more).await.unwrap_err(),
        store.read((), other).await.unwrap_err(),
        store.read((), null).await.unwrap_err(),
    ] {
        assert!(matches!(&error, Error::Decode { at, .. } if at.contains("values.rs:")), "{error}");
    }
}

async fn the_number_of_parameters(db: Db) {
    let store = db.store().await;
    let unit = async |tx: &mut Tx, n: &usize| {
        let all: [&dyn Param; 2] = [&1_i64, &2_i64];
        tx.exec(sql!("UPDATE account SET held = 0 WHERE id = $1"), &all[..*n]).await
    };
    assert_eq!(store.write(1, unit).await, Ok(0));
    for given in [0, 2] {
        let error = store.write(given, unit).await.unwrap_err();
        assert!(matches!(error, Error::Parameters { wanted: 1, given: g, .. } if g == given), "{error}");
    }
}

async fn overflow(db: Db) {
    let store = db.store().await;
    store.write(i64::MAX, create).await.unwrap();
    let read = async |rx: &mut Rx, (): &()| rx.one::<i64>(sql!("SELECT id + 1 FROM account"), &[]).await;
    assert!(matches!(store.read((), read).await, Err(Error::Overflow { .. })));
    let store_it = async |tx: &mut Tx, (): &()| tx.exec(sql!("UPDATE account SET held = id + 1"), &[]).await;
    assert!(matches!(store.write((), store_it).await, Err(Error::Overflow { .. })));
    let put = async |tx: &mut Tx, (): &()| tx.put(sql!("UPDATE account SET held = id + 1"), &[]).await;
    assert!(matches!(store.write((), put).await, Err(Error::Overflow { .. })));
}

async fn a_nul_is_refused(db: Db) {
    let store = db.store().await;
    store.write(1, create).await.unwrap();
    let find = async |rx: &mut Rx, name: &String| {
        rx.maybe::<i64>(sql!("SELECT id FROM account WHERE name = $1"), &[name]).await
    };
    let rename =
        async |tx: &mut Tx, name: &String| tx.put(sql!("UPDATE account SET name = $1"), &[name]).await;
    let each = async |tx: &mut Tx, names: &Vec<String>| {
        tx.exec_each(sql!("UPDATE account SET name = $1"), names, |name| [name]).await
    };
    let nul = || "a\0".to_owned();
    assert!(matches!(store.read(nul(), find).await, Err(Error::Nul { .. })));
    assert!(matches!(store.write(nul(), rename).await, Err(Error::Nul { .. })));
    assert!(matches!(store.write(vec!["b".to_owned(), nul()], each).await, Err(Error::Nul { .. })));
    assert_eq!(store.read("b".to_owned(), find).await, Ok(None), "nothing is kept of such a unit");
}

async fn kinds_are_not_mixed(db: Db) {
    let store = db.store().await;
    // `SQLite` itself would take 7 as a boolean, and store 12 for '12'.
    let flag = async |tx: &mut Tx, (): &()| {
        tx.exec(sql!("INSERT INTO account (id, held, name, active) VALUES (1, 0, 'a', $1)"), &[&7_i64]).await
    };
    assert!(matches!(store.write((), flag).await, Err(Error::Sql { .. })));
    let bytes = async |tx: &mut Tx, (): &()| {
        tx.exec(sql!("INSERT INTO account (id, held, name, active) VALUES (1, 0, $1, TRUE)"), &[&[1_u8; 3]])
            .await
    };
    assert!(matches!(store.write((), bytes).await, Err(Error::Sql { .. })));
    let text = async |tx: &mut Tx, (): &()| {
        tx.exec(sql!("INSERT INTO account (id, held, name, active) VALUES ($1, 0, 'a', TRUE)"), &[&"x12"])
            .await
    };
    assert!(matches!(store.write((), text).await, Err(Error::Sql { .. })));
    assert_eq!(store.read((), count).await, Ok(0));
}

async fn text_is_ordered_by_bytes(db: Db) {
    let store = db.store().await;
    let unit = async |tx: &mut Tx, (): &()| {
        for (n, name) in (0_i64..).zip(["é", "b", "a-", "B", "ab", "Z"]) {
            tx.put(
                sql!("INSERT INTO account (id, held, name, active) VALUES ($1, 0, $2, TRUE)"),
                &[&n, &name],
            )
            .await?;
        }
        tx.all::<String>(sql!("SELECT name FROM account WHERE name >= $1 ORDER BY name"), &[&"B"]).await
    };
    assert_eq!(store.write((), unit).await.unwrap(), ["B", "Z", "a-", "ab", "b", "é"]);
}

async fn one_maybe_all(db: Db) {
    let store = db.store().await;
    let one = async |rx: &mut Rx, (): &()| rx.one::<i64>(sql!("SELECT id FROM account"), &[]).await;
    let maybe = async |rx: &mut Rx, (): &()| rx.maybe::<i64>(sql!("SELECT id FROM account"), &[]).await;
    assert!(matches!(store.read((), one).await, Err(Error::Missing { .. })));
    assert_eq!(store.read((), maybe).await, Ok(None));
    store.write(1, create).await.unwrap();
    assert_eq!((store.read((), one).await, store.read((), maybe).await), (Ok(1), Ok(Some(1))));
    store.write(2, create).await.unwrap();
    assert!(matches!(store.read((), one).await, Err(Error::Several { .. })));
    assert!(matches!(store.read((), maybe).await, Err(Error::Several { .. })));
}

async fn errors_hold_no_values(db: Db) {
    const PHONE: &str = "31612345678";
    let store = db.store().await;
    let twice = async |tx: &mut Tx, (): &()| {
        for id in [1_i64, 2] {
            tx.put(
                sql!("INSERT INTO account (id, held, name, active) VALUES ($1, 0, $2, TRUE)"),
                &[&id, &PHONE],
            )
            .await?;
        }
        Ok::<(), Error>(())
    };
    let error = store.write((), twice).await.unwrap_err();
    assert!(matches!(error, Error::Sql { .. }) && !format!("{error} {error:?}").contains(PHONE), "{error:?}");
    let cast = async |rx: &mut Rx, (): &()| {
        rx.one::<bool>(sql!("SELECT CAST(CAST($1 AS TEXT) AS BIGINT) > 0"), &[&"+31612345678x"]).await
    };
    if let Err(error) = store.read((), cast).await {
        assert!(!format!("{error} {error:?}").contains(PHONE), "{error:?}");
    }
    let check = async |tx: &mut Tx, (): &()| {
        tx.exec(sql!("INSERT INTO account (id, held, name, active) VALUES (3, -1, $1, TRUE)"), &[&PHONE])
            .await
    };
    let error = store.write((), check).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains(PHONE), "{error:?}");
}

async fn upserts(db: Db) {
    let store = db.store().await;
    let unit = async |tx: &mut Tx, (): &()| {
        let upsert = sql!(
            "INSERT INTO account (id, held, name, active) VALUES ($1, 1, $2, TRUE) ",
            "ON CONFLICT (name) WHERE active DO UPDATE SET held = account.held + 1 RETURNING held"
        );
        assert_eq!(tx.one::<i64>(upsert, &[&1_i64, &"a"]).await?, 1);
        assert_eq!(tx.one::<i64>(upsert, &[&2_i64, &"a"]).await?, 2);
        let ignore = sql!(
            "INSERT INTO account (id, held, name, active) VALUES (1, 0, 'b', TRUE) ON CONFLICT DO NOTHING"
        );
        assert_eq!(tx.exec(ignore, &[]).await?, 0);
        let locked: Vec<i64> =
            tx.all(sql!("SELECT id FROM account WHERE id = $1 FOR UPDATE"), &[&1_i64]).await?;
        assert_eq!(locked, [1]);
        Ok::<(), Error>(())
    };
    store.write((), unit).await.unwrap();
}
