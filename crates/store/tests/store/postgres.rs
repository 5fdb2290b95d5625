//! What only `PostgreSQL` has: a server that goes away, refuses, deadlocks, or answers too late.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use store::stepped::{Run, Step};
use store::{Engine, Error, Options, Rx, Store, Tx, sql};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::support::{Db, Domain, MIGRATIONS, admin, busy, count, create, held, private};

const TERMINATE: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                         WHERE datname = current_database() AND pid <> pg_backend_pid()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_come_back() {
    let db = Db::postgres().await;
    let store = db.store().await;
    assert_eq!(store.engine(), Engine::Postgres);
    for id in 0..5 {
        store.write(id * 10, create).await.unwrap();
        store.bulk(id * 10 + 1, create).await.unwrap();
        assert_eq!(store.scan((), count).await, Ok(id * 2 + 2));
        assert_eq!(store.read((), count).await, Ok(id * 2 + 2));
        db.admin(TERMINATE).await;
        // At once, before the driver may have noticed, and later.
        if id % 2 == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(store.read((), count).await, Ok(id * 2 + 2));
    }
    store.write(100, create).await.unwrap();
    store.close().await;
}

/// Ended in the middle of a unit, before `COMMIT`: nothing was applied, so it is run again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_survives_the_loss_of_its_connection() {
    let db = Db::postgres().await;
    let store = db.store().await;
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let unit = async move |tx: &mut Tx, id: &i64| {
        create(tx, id).await?;
        if counted.fetch_add(1, Ordering::Relaxed) == 0 {
            std::thread::sleep(Duration::from_secs(1));
        }
        count(tx, &()).await
    };
    let write = tokio::spawn({
        let store = store.clone();
        async move { store.write(1, unit).await }
    });
    while runs.load(Ordering::Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    db.admin(TERMINATE).await;
    assert_eq!(write.await.unwrap(), Ok(1));
    assert_eq!(runs.load(Ordering::Relaxed), 2);
}

/// A server in between that passes everything on and, when told to, hangs up after passing `COMMIT`.
async fn proxy(url: &str, cut: Arc<AtomicBool>) -> String {
    let config: tokio_postgres::Config = url.parse().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (host, to_port) =
        (config.get_hosts()[0].clone(), config.get_ports().first().copied().unwrap_or(5432));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let cut = Arc::clone(&cut);
            match &host {
                tokio_postgres::config::Host::Unix(folder) => {
                    let path = folder.join(format!(".s.PGSQL.{to_port}"));
                    let server = tokio::net::UnixStream::connect(path).await.unwrap();
                    tokio::spawn(pass(client, server, cut));
                }
                tokio_postgres::config::Host::Tcp(name) => {
                    let server = tokio::net::TcpStream::connect((name.as_str(), to_port)).await.unwrap();
                    tokio::spawn(pass(client, server, cut));
                }
            }
        }
    });
    let user = config.get_user().unwrap_or("postgres");
    let password =
        config.get_password().map_or(String::new(), |p| format!(":{}", String::from_utf8_lossy(p)));
    format!("postgres://{user}{password}@127.0.0.1:{port}/{}", config.get_dbname().unwrap())
}

async fn pass<S: AsyncRead + AsyncWrite>(client: tokio::net::TcpStream, server: S, cut: Arc<AtomicBool>) {
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (tokio::io::split(client), tokio::io::split(server));
    let silent = AtomicBool::new(false);
    let forth = async {
        let mut buffer = vec![0; 65536];
        loop {
            let n = from_client.read(&mut buffer).await.unwrap_or(0);
            let commit = buffer[..n].windows(6).any(|w| w == b"COMMIT");
            let hang_up = commit && cut.swap(false, Ordering::SeqCst);
            // Before the server has it: its answer must not come through.
            silent.fetch_or(hang_up, Ordering::SeqCst);
            if n == 0 || to_server.write_all(&buffer[..n]).await.is_err() {
                return;
            }
            if hang_up {
                tokio::time::sleep(Duration::from_millis(100)).await;
                return;
            }
        }
    };
    let back = async {
        let mut buffer = vec![0; 65536];
        loop {
            let n = from_server.read(&mut buffer).await.unwrap_or(0);
            let silent = silent.load(Ordering::SeqCst);
            if n == 0 || !silent && to_client.write_all(&buffer[..n]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! { () = forth => (), () = back => () }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_without_an_answer_is_unknown_and_not_repeated() {
    let db = Db::postgres().await;
    let cut = Arc::new(AtomicBool::new(false));
    let url = proxy(&db.url, Arc::clone(&cut)).await;
    let direct = db.store().await;
    let store = Store::open(&url, Options::default()).await.unwrap();
    store.write(1, create).await.unwrap();
    direct.write(5, create).await.unwrap();
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let unit = async move |tx: &mut Tx, id: &i64| {
        counted.fetch_add(1, Ordering::Relaxed);
        create(tx, id).await
    };
    cut.store(true, Ordering::SeqCst);
    let result = store.write(2, unit).await;
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    assert_eq!(result, Err(Error::Unknown));
    assert!(Error::Unknown.is_unavailable() && Error::Unknown.to_string().contains("may or may not"));
    assert_eq!(direct.read(2, held).await, Ok(Some(0)), "here it was applied");
    store.write(3, create).await.unwrap();
    assert_eq!(store.read((), count).await, Ok(4));
}

#[tokio::test]
async fn servers_that_lose_acknowledged_changes_are_refused() {
    let db = Db::postgres().await;
    db.admin("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$").await;
    let error = Store::open(&db.url, Options::default()).await.err().unwrap();
    assert!(matches!(&error, Error::Open(why) if why.contains("set synchronous_commit = on")), "{error}");
    let error =
        Store::open("postgres://nobody:secret@127.0.0.1:1/x", Options::default()).await.err().unwrap();
    assert!(error.is_unavailable() && !error.to_string().contains("secret"), "{error}");
    let error = Store::open("postgres://u:p%ss@h/x?nonsense=1", Options::default()).await.err().unwrap();
    assert!(matches!(&error, Error::Open(why) if !why.contains("p%ss")), "{error}");
}

/// With a certificate that is verified, and not otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_verified() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (folder, url) = private(&["listen_addresses=127.0.0.1", &format!("port={port}")]);
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let owner = std::fs::metadata(folder.join("data")).unwrap();
    for file in [&cert, &key] {
        chown(file, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    let unix = format!("{}:{port}/postgres", url.rsplit_once('/').unwrap().0);
    for text in [
        format!("ALTER SYSTEM SET ssl_cert_file = '{}'", cert.display()),
        format!("ALTER SYSTEM SET ssl_key_file = '{}'", key.display()),
    ] {
        admin(&unix, &text).await;
    }
    let open = async |host: &str, more: &str| {
        Store::open(&format!("postgres://postgres@{host}:{port}/postgres?{more}"), Options::default()).await
    };
    let roots = format!("sslmode=require&sslrootcert={}", cert.display());
    assert!(open("localhost", &roots).await.err().unwrap().is_unavailable(), "the server has no TLS yet");
    admin(&unix, "ALTER SYSTEM SET ssl = on").await;
    admin(&unix, "SELECT pg_reload_conf()").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let store = open("localhost", &roots).await.unwrap();
    store.migrate(MIGRATIONS).await.unwrap();
    store.write(1, create).await.unwrap();
    assert_eq!(store.read((), count).await, Ok(1));
    store.close().await;
    for (host, more) in [("localhost", "sslmode=require"), ("127.0.0.1", roots.as_str())] {
        let error = open(host, more).await.err().unwrap();
        assert!(error.to_string().contains("certificate"), "{host} {more}: {error}");
    }
}

/// A lock that somebody else holds stops a lane for a while, not for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_is_not_waited_for_without_end() {
    let db = Db::postgres().await;
    let store = db.store().await;
    store.write(1, create).await.unwrap();
    let url = db.url.clone();
    let hold = tokio::spawn(async move {
        admin(&url, "BEGIN; UPDATE account SET held = 7 WHERE id = 1; SELECT pg_sleep(14)").await;
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let started = std::time::Instant::now();
    let error = store.write(1, guarded).await.unwrap_err();
    assert!(error.is_unavailable() && error.to_string().contains("55P03"), "{error}");
    assert!((8..13).contains(&started.elapsed().as_secs()));
    store.write(2, create).await.unwrap();
    hold.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unnamed_statements_and_no_session() {
    let db = Db::postgres().await;
    let store = db.with(Options { unnamed_statements: true, ..Options::default() }).await;
    let results = join_all((0..50).map(|id| store.write(id % 40, create))).await;
    assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 40);
    let null = async |tx: &mut Tx, body: &Option<String>| {
        let id: [u8; 16] = tx.id();
        tx.put(sql!("INSERT INTO item (account, id, body) VALUES (1, $1, $2)"), &[&id, body]).await?;
        tx.one::<(i64, Option<String>)>(sql!("SELECT account, body FROM item WHERE id = $1"), &[&id]).await
    };
    assert_eq!(store.write(None, null).await, Ok((1, None)));
    assert_eq!(store.write(Some("é".into()), null).await, Ok((1, Some("é".into()))));
    assert_eq!(store.read((), count).await, Ok(40));
    assert_eq!(store.read(1, held).await, Ok(Some(0)));
    assert_eq!(store.scan((), count).await, Ok(40));
    let write =
        async |rx: &mut Rx, (): &()| rx.all::<i64>(sql!("DELETE FROM account RETURNING id"), &[]).await;
    assert!(store.read((), write).await.is_err() && store.scan((), write).await.is_err());
    assert_eq!(store.read((), count).await, Ok(40));
    let wrong = store.check_statements().await.unwrap_err();
    assert!(wrong.iter().all(|line| line.contains("statements.rs:")), "{wrong:#?}");
    // No prepared statement and no setting stays behind in the session for a pooler to trip over.
    let left = async |rx: &mut Rx, (): &()| {
        rx.one::<(i64, String)>(sql!("SELECT CAST($1 AS BIGINT), CAST($2 AS TEXT)"), &[&0_i64, &""]).await
    };
    assert_eq!(store.read((), left).await, Ok((0, String::new())));
    store.close().await;
}

async fn raise(tx: &mut Tx, (first, second): &(i64, i64)) -> Result<(), Domain> {
    for id in [first, second] {
        let changed = tx.exec(sql!("UPDATE account SET held = held + 1 WHERE id = $1"), &[id]).await?;
        assert_eq!(changed, 1);
    }
    Ok(())
}

/// Two nodes that lock in opposite orders: against the rules, and still nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn deadlocks_are_retried() {
    let db = Db::postgres().await;
    let (one, two) = (db.store().await, db.store().await);
    for id in [1, 2] {
        one.write(id, create).await.unwrap();
    }
    let (a, b) = tokio::join!(
        join_all((0..10).map(|_| one.write((1, 2), raise))),
        join_all((0..10).map(|_| two.write((2, 1), raise)))
    );
    let done = i64::try_from(a.iter().chain(&b).filter(|r| r.is_ok()).count()).unwrap();
    assert!(
        a.iter().chain(&b).all(|r| matches!(r, Ok(()) | Err(Domain::Store(Error::Unavailable { .. })))),
        "{a:?} {b:?}"
    );
    assert!(done >= 10, "{done}");
    assert_eq!((one.read(1, held).await, one.read(2, held).await), (Ok(Some(done)), Ok(Some(done))));
}

/// One transaction for many, and again one by one when one of them spoils it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spoilt_batch_runs_again_one_by_one() {
    let db = Db::postgres().await;
    let store = db.store().await;
    let runs = Arc::new(AtomicUsize::new(0));
    let unit = |runs: Arc<AtomicUsize>| {
        async move |tx: &mut Tx, id: &i64| {
            runs.fetch_add(1, Ordering::Relaxed);
            create(tx, id).await?;
            if *id % 10 == 5 { Err(Domain::Refused) } else { Ok(()) }
        }
    };
    // A slow machine may cut a batch before the one that spoils it; ten times in a row it does not.
    for round in 0..10 {
        // The busy one takes up a batch's time, so that the ten begin the next one together.
        let slow = busy(&store, 50).await;
        let writes = (round * 10..round * 10 + 10).map(|id| store.write(id, unit(Arc::clone(&runs))));
        let results = join_all(writes).await;
        slow.await.unwrap();
        assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 9);
        assert_eq!(results[5], Err(Domain::Refused));
        assert_eq!(store.read((), count).await, Ok(round * 9 + 9));
    }
    let runs = runs.load(Ordering::Relaxed);
    // As a rule six in the batch, those six again one by one, and then the other four.
    assert!((101..=200).contains(&runs), "{runs}");
}

async fn read_then_write(tx: &mut Tx, id: &i64) -> Result<(), Error> {
    let before = held(tx, id).await?.unwrap_or(0) + 1;
    tx.put(sql!("UPDATE account SET held = $2 WHERE id = $1"), &[id, &before]).await
}

async fn guarded(tx: &mut Tx, id: &i64) -> Result<(), Error> {
    tx.exec(sql!("UPDATE account SET held = held + 1 WHERE id = $1"), &[id]).await.map(drop)
}

/// Runs two copies in every order that `bits` can say, a bit a step; gives what was held after.
async fn interleave<F>(db: &Db, store: &Store, unit: F, bits: u32) -> (i64, bool)
where
    F: for<'t, 'c> AsyncFn(&'t mut Tx, &'c i64) -> Result<(), Error> + Send + Copy + 'static,
{
    db.admin("UPDATE account SET held = 0").await;
    let mut runs: [Run<(), Error>; 2] = [store.stepped(1, unit).unwrap(), store.stepped(1, unit).unwrap()];
    let (mut blocked, mut turn) = (false, 0);
    let mut done = [false; 2];
    while done != [true; 2] {
        let first = usize::from(bits >> (turn % 32) & 1 == 1);
        let who = if done[first] { 1 - first } else { first };
        turn += 1;
        match runs[who].step().await {
            Step::Done => done[who] = true,
            Step::Blocked => {
                blocked = true;
                done[1 - who] |= runs[1 - who].step().await == Step::Done;
            }
            Step::Paused => {}
        }
        assert!(turn < 100, "no end in sight");
    }
    for run in runs {
        run.finish().await.unwrap();
    }
    (store.read(1, held).await.unwrap().unwrap(), blocked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stepping_shows_a_race_and_its_absence() {
    let db = Db::postgres().await;
    let store = db.store().await;
    store.write(1, create).await.unwrap();
    let (mut lost, mut waited) = (0, 0);
    for bits in 0..32 {
        let (held, _) = interleave(&db, &store, read_then_write, bits).await;
        lost += i32::from(held != 2);
        let (held, blocked) = interleave(&db, &store, guarded, bits).await;
        assert_eq!(held, 2, "order {bits:b}");
        waited += i32::from(blocked);
    }
    assert!(lost > 0, "a decision on an earlier read loses an update in some order");
    assert!(waited > 0, "and a lock is seen to be waited for");
    assert!(matches!(Db::sqlite().store().await.stepped(1, guarded), Err(Error::Open(_))));
}

/// A new table that grows is analysed long before the server's autovacuum would have its turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_grows_is_analysed() {
    let db = Db::postgres().await;
    let store = db.store().await;
    // Otherwise this could pass by the server's own doing.
    db.admin("ALTER TABLE item SET (autovacuum_enabled = off)").await;
    let rows = async |tx: &mut Tx, from: &i64| {
        for n in *from..from + 500 {
            let id: [u8; 16] = tx.id();
            tx.put(sql!("INSERT INTO item (account, id, body) VALUES ($1, $2, 'x')"), &[&n, &id]).await?;
        }
        Ok::<(), Domain>(())
    };
    // It may be looked at while it grows, so not all rows need be known.
    for (from, until, known) in [(0, 2_000, 0), (2_000, 34_000, 2_000)] {
        for from in (from..until).step_by(500) {
            store.write(from, rows).await.unwrap();
        }
        let wait = format!(
            "DO $$ BEGIN FOR i IN 1..300 LOOP
                 IF (SELECT reltuples FROM pg_class WHERE relname = 'item') > {known} THEN RETURN; END IF;
                 PERFORM pg_sleep(0.1);
             END LOOP; RAISE 'item was not analysed'; END $$"
        );
        db.admin(&wait).await;
    }
    store.close().await;
}
