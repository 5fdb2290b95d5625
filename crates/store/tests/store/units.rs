//! Units: whole or not at all, answered when they are on disk, in a queue that says when it is full.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use store::{Clock, Entropy, Error, Options, Rx, Tx, sql};

use crate::support::{Db, Domain, both, busy, count, create, held};

both! {
    own_writes_are_read
    a_failing_unit_is_undone_alone
    a_swallowed_error_fails_the_unit
    a_put_fails_its_unit_and_no_other
    a_panic_is_undone
    a_foreign_await_fails
    a_caller_that_goes_away
    a_full_queue_says_so
    imports_have_their_own_queue
    counts_are_exact_under_load
    time_and_ids
    units_compose
    one_statement_for_many_rows
    closing_finishes_what_waits
    readers_cannot_write
    a_scan_has_a_limit
    a_unit_needs_no_send
    spawned_from_anywhere
}

async fn own_writes_are_read(db: Db) {
    let store = db.store().await;
    for id in 0..300 {
        store.write(id, create).await.unwrap();
        assert_eq!(store.read(id, held).await, Ok(Some(0)));
    }
    assert_eq!(store.scan((), count).await, Ok(300));
    assert_eq!(store.read(300, held).await, Ok(None));
}

async fn create_or_refuse(tx: &mut Tx, id: &i64) -> Result<i64, Domain> {
    create(tx, id).await?;
    if id % 5 == 0 { Err(Domain::Refused) } else { Ok(*id) }
}

async fn a_failing_unit_is_undone_alone(db: Db) {
    let store = db.store().await;
    let slow = busy(&store, 50).await;
    let results = join_all((0..50).map(|id| store.write(id, create_or_refuse))).await;
    slow.await.unwrap();
    for (id, result) in (0..).zip(results) {
        assert_eq!(result, if id % 5 == 0 { Err(Domain::Refused) } else { Ok(id) });
        assert_eq!(store.read(id, held).await, Ok(if id % 5 == 0 { None } else { Some(0) }));
    }
    assert_eq!(store.read((), count).await, Ok(40));
}

#[expect(clippy::ptr_arg, reason = "a unit gets its command as it was given")]
async fn raise_each(tx: &mut Tx, ids: &Vec<i64>) -> Result<(Vec<u64>, Vec<Option<i64>>), Error> {
    let changed =
        tx.exec_each(sql!("UPDATE account SET held = held + 1 WHERE id = $1"), ids, |id| [id]).await?;
    let held = tx.maybe_each(sql!("SELECT held FROM account WHERE id = $1"), ids, |id| [id]).await?;
    Ok((changed, held))
}

#[expect(clippy::ptr_arg, reason = "a unit gets its command as it was given")]
async fn lower_each(tx: &mut Tx, ids: &Vec<i64>) -> Result<Vec<u64>, Error> {
    tx.exec_each(sql!("UPDATE account SET held = held - 1 WHERE id = $1"), ids, |id| [id]).await
}

async fn one_statement_for_many_rows(db: Db) {
    let store = db.store().await;
    for id in 1..=700 {
        store.write(id, create).await.unwrap();
    }
    let raised = store.write(vec![1, 900, 2, 1], raise_each).await;
    assert_eq!(raised, Ok((vec![1, 0, 1, 1], vec![Some(2), None, Some(1), Some(2)])), "in their order");
    assert_eq!(store.write(Vec::new(), raise_each).await, Ok((Vec::new(), Vec::new())));
    // More than fit between two looks at the answers.
    let (changed, now) = store.write((3..=700).collect(), raise_each).await.unwrap();
    assert_eq!((changed, now), (vec![1; 698], vec![Some(1); 698]));
    // A row that fails, fails the unit with all the others.
    let failed = store.write(vec![1, 2, 2, 3], lower_each).await.unwrap_err();
    assert!(matches!(&failed, Error::Sql { at, .. } if at.contains("units.rs:")), "{failed}");
    for (id, kept) in [(1, 2), (2, 1), (3, 1)] {
        assert_eq!(store.read(id, held).await, Ok(Some(kept)));
    }
}

async fn create_twice(tx: &mut Tx, id: &i64) -> Result<(), Error> {
    create(tx, id).await?;
    let again =
        tx.exec(sql!("INSERT INTO account (id, held, name, active) VALUES ($1, 0, 'x', FALSE)"), &[id]).await;
    assert!(matches!(again, Err(Error::Sql { .. })), "{again:?}");
    let after: Result<i64, Error> = count(tx, &()).await;
    assert_eq!(after.unwrap_err(), again.unwrap_err(), "later statements repeat the first error");
    Ok(())
}

async fn a_swallowed_error_fails_the_unit(db: Db) {
    let store = db.store().await;
    let slow = busy(&store, 50).await;
    let (before, twice, after) =
        tokio::join!(store.write(1, create), store.write(2, create_twice), store.write(3, create));
    slow.await.unwrap();
    assert_eq!((before, after), (Ok(1), Ok(3)));
    let error = twice.unwrap_err();
    assert!(matches!(&error, Error::Sql { at, .. } if at.contains("units.rs:")), "{error}");
    assert_eq!(store.read((), count).await, Ok(2));
}

async fn a_put_fails_its_unit_and_no_other(db: Db) {
    let store = db.store().await;
    store.write(1, create).await.unwrap();
    let slow = busy(&store, 50).await;
    let results = join_all([7, 1, 8, 1, 9].map(|id| store.write(id, create))).await;
    slow.await.unwrap();
    assert_eq!((&results[0], &results[2], &results[4]), (&Ok(7), &Ok(8), &Ok(9)));
    for failed in [&results[1], &results[3]] {
        let Err(Error::Sql { at, message, .. }) = failed else { panic!("{failed:?}") };
        assert!(at.contains("support.rs:") && !message.contains("n1"), "{message}");
    }
    assert_eq!(store.read((), count).await, Ok(4));
}

async fn a_panic_is_undone(db: Db) {
    let store = db.store().await;
    let panicking = async |tx: &mut Tx, id: &i64| {
        create(tx, id).await?;
        assert!(*id < 0, "on purpose");
        Ok::<(), Error>(())
    };
    let slow = busy(&store, 50).await;
    let (a, b, c) = tokio::join!(store.write(1, create), store.write(2, panicking), store.write(3, create));
    slow.await.unwrap();
    assert_eq!((a, b, c), (Ok(1), Err(Error::Panicked), Ok(3)));
    assert_eq!(store.read((), count).await, Ok(2));
    let scan = async |_: &mut Rx, (): &()| -> Result<(), Error> { panic!("on purpose") };
    assert_eq!(store.scan((), scan).await, Err(Error::Panicked));
    assert_eq!(store.scan((), count).await, Ok(2));
}

async fn a_foreign_await_fails(db: Db) {
    let store = db.store().await;
    let yields = async |tx: &mut Tx, id: &i64| {
        create(tx, id).await?;
        tokio::task::yield_now().await;
        Ok::<(), Error>(())
    };
    assert_eq!(store.write(1, yields).await, Err(Error::Foreign));
    let waits = async |rx: &mut Rx, (): &()| {
        let n = count(rx, &()).await?;
        std::future::pending::<()>().await;
        Ok::<i64, Error>(n)
    };
    assert_eq!(store.read((), waits).await, Err(Error::Foreign));
    assert_eq!(store.scan((), waits).await, Err(Error::Foreign));
    // The store is as foreign as anything else: it would wait for itself.
    let inner = store.clone();
    let nested = async move |_: &mut Tx, id: &i64| inner.write(*id, create).await;
    assert_eq!(store.write(2, nested).await, Err(Error::Foreign));
    let inner = store.clone();
    let nested = async move |_: &mut Tx, (): &()| inner.read((), count).await;
    assert_eq!(store.write((), nested).await, Err(Error::Foreign));
    assert_eq!(store.read((), count).await, Ok(0));
}

async fn a_caller_that_goes_away(db: Db) {
    let store = db.store().await;
    // Before its unit has started: it is called off.
    let slow = busy(&store, 500).await;
    let gone = tokio::time::timeout(Duration::from_millis(20), store.write(1, create)).await;
    assert!(gone.is_err());
    slow.await.unwrap();
    store.write(2, create).await.unwrap();
    assert_eq!(store.read((), count).await, Ok(1));
    // After that: it commits all the same.
    let late = async |tx: &mut Tx, id: &i64| {
        std::thread::sleep(Duration::from_millis(600));
        create(tx, id).await
    };
    let gone = tokio::time::timeout(Duration::from_millis(200), store.write(3, late)).await;
    assert!(gone.is_err());
    store.write(4, create).await.unwrap();
    assert_eq!(store.read((), count).await, Ok(3));
}

async fn a_full_queue_says_so(db: Db) {
    let store = db.with(Options { queue_max: 3, ..Options::default() }).await;
    let slow = busy(&store, 100).await;
    let results = join_all((0..10).map(|id| store.write(id, create))).await;
    slow.await.unwrap();
    let refused: Vec<_> = results.iter().filter_map(|r| r.as_ref().err()).collect();
    assert_eq!(refused.len(), 7, "{results:?}");
    assert!(refused.iter().all(|e| e.is_unavailable() && e.to_string().contains("queue is full")));
    assert_eq!(store.read((), count).await, Ok(3));
}

async fn imports_have_their_own_queue(db: Db) {
    let store = db.store().await;
    let import = async |tx: &mut Tx, from: &i64| {
        for id in *from..*from + 100 {
            create(tx, &id).await?;
        }
        Ok::<(), Error>(())
    };
    let imports = join_all((0..20).map(|i| store.bulk(1_000 + i * 100, import)));
    let singles = join_all((0..200).map(|id| store.write(id, create)));
    let (imports, singles) = tokio::join!(imports, singles);
    assert!(imports.iter().all(Result::is_ok) && singles.iter().all(Result::is_ok), "{imports:?}");
    assert_eq!(store.read((), count).await, Ok(2_200));
}

async fn hold(tx: &mut Tx, (account, most): &(i64, i64)) -> Result<i64, Domain> {
    let held: Option<i64> = tx
        .maybe(
            sql!("UPDATE account SET held = held + 1 WHERE id = $1 AND held < $2 RETURNING held"),
            &[account, most],
        )
        .await?;
    held.ok_or(Domain::Refused)
}

/// Decisions in the statement that writes: as many as there is room for, each told its own number.
async fn counts_are_exact_under_load(db: Db) {
    let store = db.store().await;
    store.write(1, create).await.unwrap();
    let results = join_all((0..400).map(|_| store.write((1, 250), hold))).await;
    let mut got: Vec<i64> = results.iter().filter_map(|r| r.as_ref().ok().copied()).collect();
    got.sort_unstable();
    assert_eq!(got, (1..=250).collect::<Vec<_>>());
    assert!(results.iter().all(|r| matches!(r, Ok(_) | Err(Domain::Refused))));
    assert_eq!(store.read(1, held).await, Ok(Some(250)));
}

store::id!(ItemId);
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
struct Micros(i64);
store::int!(Micros);
impl From<i64> for Micros {
    fn from(us: i64) -> Self {
        Self(us)
    }
}

async fn time_and_ids(db: Db) {
    let clock = Clock::manual(1_700_000_000_123_456);
    let options = Options { clock: clock.clone(), entropy: Entropy::seeded(1), ..Options::default() };
    let store = db.with(options).await;
    let unit = async move |tx: &mut Tx, (): &()| {
        let before: Micros = tx.now();
        clock.advance(Duration::from_millis(5));
        let mut secret = [0; 32];
        tx.random(&mut secret);
        Ok::<_, Error>((before == tx.now(), before, tx.id::<ItemId>(), secret))
    };
    let unit = Arc::new(unit);
    let (mut ids, mut last) = (Vec::new(), 0);
    for _ in 0..20 {
        let unit = Arc::clone(&unit);
        let (still, now, id, secret) =
            store.write((), async move |tx: &mut Tx, (): &()| unit(tx, &()).await).await.unwrap();
        assert!(still && now.0 > last && secret != [0; 32]);
        assert!(id.to_string().starts_with(&format!("{:012x}", now.0 / 1000)), "{id}");
        last = now.0;
        ids.push(id);
    }
    assert!(ids.is_sorted());
    let read = async |rx: &mut Rx, (): &()| Ok::<Micros, Error>(rx.now());
    assert!(store.read((), read).await.unwrap().0 > last);
}

async fn move_one(tx: &mut Tx, (from, to): &(i64, i64)) -> Result<(), Domain> {
    let taken =
        tx.exec(sql!("UPDATE account SET held = held - 1 WHERE id = $1 AND held > 0"), &[from]).await?;
    if taken != 1 {
        return Err(Domain::Refused);
    }
    hold(tx, &(*to, i64::MAX)).await.map(drop)
}

async fn units_compose(db: Db) {
    let store = db.store().await;
    for id in 0..4 {
        store.write(id, create).await.unwrap();
    }
    for _ in 0..10 {
        store.write((0, 100), hold).await.unwrap();
    }
    let moves = (0..200).map(|i| store.write((i % 4, (i * 7 + 1) % 4), move_one));
    let results = join_all(moves).await;
    assert!(results.iter().all(|r| matches!(r, Ok(()) | Err(Domain::Refused))), "{results:?}");
    let total = async |rx: &mut Rx, (): &()| {
        rx.one::<i64>(sql!("SELECT CAST(sum(held) AS BIGINT) FROM account"), &[]).await
    };
    assert_eq!(store.read((), total).await, Ok(10), "nothing is lost or made");
}

async fn closing_finishes_what_waits(db: Db) {
    let store = db.store().await;
    let busy = busy(&store, 200).await;
    let writes: Vec<_> = (0..100)
        .map(|id| {
            let store = store.clone();
            tokio::spawn(async move { store.write(id, create).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    store.close().await;
    busy.await.unwrap();
    let mut done = 0;
    for write in writes {
        match write.await.unwrap() {
            Ok(_) => done += 1,
            Err(error) => assert!(error.is_unavailable(), "{error}"),
        }
    }
    assert!(done > 0);
    assert!(store.write(1_000, create).await.unwrap_err().is_unavailable());
    store.close().await;
    let again = db.store().await;
    assert_eq!(again.read((), count).await, Ok(done));
    again.close().await;
}

async fn readers_cannot_write(db: Db) {
    let store = db.store().await;
    store.write(1, create).await.unwrap();
    let write = async |rx: &mut Rx, (): &()| {
        rx.all::<i64>(sql!("UPDATE account SET held = 9 RETURNING id"), &[]).await.map(drop)
    };
    assert!(matches!(store.read((), write).await, Err(Error::Sql { .. })));
    assert!(matches!(store.scan((), write).await, Err(Error::Sql { .. })));
    assert_eq!(store.read(1, held).await, Ok(Some(0)));
}

async fn long(rx: &mut Rx, n: &i64) -> Result<i64, Error> {
    rx.one(
        sql!(
            "WITH RECURSIVE n (i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < $1) ",
            "SELECT CAST(count(*) AS BIGINT) FROM n"
        ),
        &[n],
    )
    .await
}

async fn a_scan_has_a_limit(db: Db) {
    let store = db.with(Options { scan_limit: Duration::from_millis(200), ..Options::default() }).await;
    assert_eq!(store.scan(1_000, long).await, Ok(1_000));
    let started = std::time::Instant::now();
    let slow = join_all((0..4).map(|_| store.scan(1_000_000_000, long))).await;
    assert!(slow.iter().all(|r| *r == Err(Error::TooSlow)), "{slow:?}");
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    // Many statements, each within the limit.
    let many = async |rx: &mut Rx, (): &()| {
        for _ in 0..100_000 {
            long(rx, &1_000).await?;
        }
        Ok::<(), Error>(())
    };
    assert_eq!(store.scan((), many).await, Err(Error::TooSlow));
    assert_eq!(store.scan(1_000, long).await, Ok(1_000));
}

async fn a_unit_needs_no_send(db: Db) {
    let store = db.store().await;
    let unit = async |tx: &mut Tx, id: &i64| {
        let shared = std::rc::Rc::new(*id);
        create(tx, &shared).await?;
        Ok::<i64, Error>(*shared)
    };
    let started = Arc::new(AtomicUsize::new(0));
    let task = {
        let (store, started) = (store.clone(), Arc::clone(&started));
        tokio::spawn(async move {
            started.fetch_add(1, Ordering::Relaxed);
            store.write(1, unit).await
        })
    };
    assert_eq!(task.await.unwrap(), Ok(1));
}

/// What handlers do: the futures of all four calls are `Send`.
async fn spawned_from_anywhere(db: Db) {
    let store = db.store().await;
    let task = tokio::spawn(async move {
        store.write(1, create).await?;
        store.bulk(2, create).await?;
        assert_eq!(store.read((), count).await?, 2);
        assert_eq!(store.read(1, async |rx: &mut Rx, id: &i64| held(rx, id).await).await?, Some(0));
        store.scan((), count).await
    });
    assert_eq!(task.await.unwrap(), Ok(2));
}
