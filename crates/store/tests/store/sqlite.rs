//! What only `SQLite` has: a file that others write too, and a WAL that must not grow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use store::{Engine, Error, Options, Rx, Store, Tx, sql};

use crate::support::{Db, Domain, MIGRATIONS, count, create};

#[tokio::test]
async fn the_file_is_private_and_safe() {
    use std::os::unix::fs::PermissionsExt;
    let db = Db::sqlite();
    let store = db.store().await;
    assert_eq!(store.engine(), Engine::Sqlite);
    store.write(1, create).await.unwrap();
    for name in ["test.db", "test.db-wal", "test.db-shm"] {
        let mode = std::fs::metadata(db.file(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    store.close().await;
    assert!(!db.file("test.db-wal").exists(), "the last one to close takes the WAL along");
    for bad in ["sqlite:", "sqlite::memory:", "sqlite:/no/such/folder/x.db", "mysql://x", ""] {
        assert!(matches!(Store::open(bad, Options::default()).await, Err(Error::Open(_))), "{bad}");
    }
}

/// Keeps `callers` callers writing until told to stop. Gives the number of units done.
fn load(store: &Store, callers: i64, stop: &Arc<AtomicBool>) -> Vec<tokio::task::JoinHandle<u64>> {
    (0..callers)
        .map(|caller| {
            let (store, stop) = (store.clone(), Arc::clone(stop));
            tokio::spawn(async move {
                let mut done = 0;
                while !stop.load(Ordering::Relaxed) {
                    store.write(caller * 1_000_000 + done, create).await.unwrap();
                    done += 1;
                }
                u64::try_from(done).unwrap()
            })
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_gets_its_turn() {
    let db = Db::sqlite();
    let store = db.store().await;
    let stop = Arc::new(AtomicBool::new(false));
    let load = load(&store, 64, &stop);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let child = tokio::task::spawn_blocking({
        let url = db.url.clone();
        move || {
            std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "sqlite::other_process", "--nocapture"])
                .env("STORE_TEST_CHILD", url)
                .output()
                .unwrap()
        }
    });
    let child = child.await.unwrap();
    stop.store(true, Ordering::Relaxed);
    let done: u64 = join_all(load).await.into_iter().map(Result::unwrap).sum();
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(child.status.success(), "{said}{}", String::from_utf8_lossy(&child.stderr));
    let longest: u64 =
        said.split("longest_us=").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    assert!(longest < 5_000_000, "the longest wait of the other process: {longest} us");
    assert_eq!(store.read((), count).await, Ok(i64::try_from(done).unwrap() + 50));
    store.close().await;
}

/// The other process of the test above; nothing by itself.
#[tokio::test]
async fn other_process() {
    let Ok(url) = std::env::var("STORE_TEST_CHILD") else { return };
    let store = Store::open(&url, Options::default()).await.unwrap();
    store.migrate(MIGRATIONS).await.unwrap();
    let mut longest = Duration::ZERO;
    for id in 0..50 {
        let started = Instant::now();
        store.write(-1 - id, create).await.unwrap();
        longest = longest.max(started.elapsed());
    }
    println!("longest_us={} ", longest.as_micros());
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wal_stays_bounded_and_a_reader_only_delays_it() {
    let db = Db::sqlite();
    let store = db.store().await;
    let wal = db.file("test.db-wal");
    let (stop, most) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let watch = {
        let (stop, most, wal) = (Arc::clone(&stop), Arc::clone(&most), wal.clone());
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                most.fetch_max(std::fs::metadata(&wal).map_or(0, |m| m.len()), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(2));
            }
        })
    };
    let write = async |tx: &mut Tx, n: &i64| {
        let (id, body): ([u8; 16], String) = (tx.id(), "x".repeat(50_000));
        tx.put(sql!("INSERT INTO item (account, id, body) VALUES ($1, $2, $3)"), &[n, &id, &body]).await
    };
    // 250 MB in all.
    for round in 0..50 {
        let results = join_all((0..100).map(|n| store.write(round * 100 + n, write))).await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    }
    stop.store(true, Ordering::Relaxed);
    watch.join().unwrap();
    let most = most.load(Ordering::Relaxed) >> 20;
    assert!((10..80).contains(&most), "the WAL grew to {most} MiB");
    store.close().await;
}

/// A full disk (here: a limit of pages) refuses units and harms nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_and_survived() {
    let db = Db::sqlite();
    let store = db.store().await;
    store.write(1, create).await.unwrap();
    store.raw_batch("PRAGMA max_page_count = 200").await.unwrap();
    let unit = async |tx: &mut Tx, (): &()| {
        let id: [u8; 16] = tx.id();
        let body = "x".repeat(10_000);
        tx.put(sql!("UPDATE account SET held = held + 1 WHERE id = 1"), &[]).await?;
        tx.put(sql!("INSERT INTO item (account, id, body) VALUES (1, $1, $2)"), &[&id, &body]).await?;
        Ok::<(), Domain>(())
    };
    let mut done = 0;
    for _ in 0..10 {
        for result in join_all((0..30).map(|_| store.write((), unit))).await {
            match result {
                Ok(()) => done += 1,
                Err(Domain::Store(error)) => assert!(error.is_unavailable(), "{error}"),
                Err(Domain::Refused) => unreachable!(),
            }
        }
    }
    assert!(done > 10 && done < 200, "{done}");
    let both = async |rx: &mut Rx, (): &()| {
        rx.one::<(i64, i64)>(
            sql!("SELECT held, (SELECT CAST(count(*) AS BIGINT) FROM item) FROM account WHERE id = 1"),
            &[],
        )
        .await
    };
    assert_eq!(store.read((), both).await, Ok((done, done)));
    store.raw_batch("PRAGMA max_page_count = 1000000").await.unwrap();
    store.write((), unit).await.unwrap();
    assert_eq!(store.read((), both).await, Ok((done + 1, done + 1)));
}

/// Somebody else holds the file: jobs wait for him, and are then told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_go_on_while_another_process_writes() {
    let db = Db::sqlite();
    let store = db.store().await;
    let other = rusqlite::Connection::open(db.file("test.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE; INSERT INTO account VALUES (9, 0, 'other', 1)").unwrap();
    let write = tokio::spawn({
        let store = store.clone();
        async move { store.write(1, create).await }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(store.read((), count).await, Ok(0));
    assert!(!write.is_finished());
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(write.await.unwrap(), Ok(1));
    assert_eq!(store.read((), count).await, Ok(2));
}

/// Longer than anybody should: the jobs are told, and the store goes on afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_never_let_go() {
    let db = Db::sqlite();
    let store = db.store().await;
    let other = rusqlite::Connection::open(db.file("test.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let started = Instant::now();
    let results = join_all((0..5).map(|id| store.write(id, create))).await;
    assert!(results.iter().all(|r| r.as_ref().is_err_and(Error::is_unavailable)), "{results:?}");
    assert!(
        (9..15).contains(&started.elapsed().as_secs()),
        "all of them after one wait: {:?}",
        started.elapsed()
    );
    other.execute_batch("ROLLBACK").unwrap();
    let after = Instant::now();
    assert_eq!(store.write(1, create).await, Ok(1), "{:?}", after.elapsed());
}

/// A read sees one state of the database, whatever is committed between its statements.
#[tokio::test]
async fn a_read_is_a_snapshot() {
    let db = Db::sqlite();
    let store = db.store().await;
    let other = Arc::new(std::sync::Mutex::new(rusqlite::Connection::open(db.file("test.db")).unwrap()));
    let read = async move |rx: &mut Rx, (): &()| {
        let before = count(rx, &()).await?;
        other.lock().unwrap().execute_batch("INSERT INTO account VALUES (9, 0, 'other', 1)").unwrap();
        Ok::<_, Error>((before, count(rx, &()).await?))
    };
    assert_eq!(store.read((), read).await, Ok((0, 0)));
    assert_eq!(store.read((), count).await, Ok(1));
}
