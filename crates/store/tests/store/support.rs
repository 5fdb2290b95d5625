//! A database for each test, and the units that the tests share.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use store::{Engine, Error, Migration, Options, Rx, Store, Tx, sql};

/// Runs an `async fn(Db)` on both engines.
macro_rules! both {
    ($($name:ident)*) => {$(
        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn sqlite() {
                super::$name(crate::support::Db::sqlite()).await;
            }
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn postgres() {
                super::$name(crate::support::Db::postgres().await).await;
            }
        }
    )*};
}
pub(crate) use both;

pub(crate) const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "test",
    sql: "-- oldest: 1
CREATE TABLE account (
    id BIGINT NOT NULL PRIMARY KEY,
    held BIGINT NOT NULL CHECK (held >= 0),
    name TEXT NOT NULL,
    active BOOLEAN NOT NULL
);
CREATE TABLE item (account BIGINT NOT NULL, id BYTEA NOT NULL, body TEXT, PRIMARY KEY (account, id)) CLUSTERED;
CREATE UNIQUE INDEX account_by_name ON account (name) WHERE active;
",
}];

/// An empty database, removed with this.
pub(crate) struct Db {
    pub(crate) url: String,
    pub(crate) engine: Engine,
    folder: tempfile::TempDir,
    server: Option<(String, String)>,
}

impl Db {
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder for the test");
        let url = format!("sqlite:{}", folder.path().join("test.db").display());
        Self { url, engine: Engine::Sqlite, folder, server: None }
    }

    pub(crate) async fn postgres() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("store_{}_{number}", std::process::id());
        let server = server();
        admin(server, &format!("CREATE DATABASE {name}")).await;
        let (base, _) = server.rsplit_once('/').expect("a database in the URL");
        Self {
            url: format!("{base}/{name}"),
            engine: Engine::Postgres,
            folder: tempfile::tempdir().expect("a folder for the test"),
            server: Some((server.to_owned(), name)),
        }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Opened, without tables.
    pub(crate) async fn bare(&self, options: Options) -> Store {
        Store::open(&self.url, options).await.expect("a store")
    }

    pub(crate) async fn with(&self, options: Options) -> Store {
        let store = self.bare(options).await;
        store.migrate(MIGRATIONS).await.expect("tables");
        store
    }

    pub(crate) async fn store(&self) -> Store {
        self.with(Options::default()).await
    }

    /// Runs a statement on a connection of its own.
    pub(crate) async fn admin(&self, text: &str) {
        admin(&self.url, text).await;
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        if let Some((server, name)) = self.server.take() {
            let text = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
            let dropped = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime").block_on(admin(&server, &text));
            });
            drop(dropped.join());
        }
    }
}

pub(crate) async fn admin(url: &str, text: &str) {
    let (client, connection) =
        tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("a connection");
    let connection = async {
        // Ends with an error when the test ends its own session.
        drop(connection.await);
    };
    let work = async {
        let done = client.batch_execute(text).await;
        drop(client);
        done
    };
    let (done, ()) = tokio::join!(work, connection);
    done.unwrap_or_else(|e| panic!("{text}: {e}"));
}

/// The URL of a server that this process may fill with databases.
fn server() -> &'static str {
    static SERVER: OnceLock<String> = OnceLock::new();
    SERVER.get_or_init(|| std::env::var("ROOKERY_TEST_POSTGRES").unwrap_or_else(|_| start()))
}

/// Starts a private server. It ends with this process, however that ends: the shell that stops it
/// waits for the end of its input.
fn start() -> String {
    private(&["max_connections=300"]).1
}

/// A private server, its folder and its URL.
pub(crate) fn private(settings: &[&str]) -> (PathBuf, String) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/postgres");
    // Short, on a disk, and reachable by the user that the server runs as.
    let folder =
        tempfile::Builder::new().prefix("store-test.").tempdir_in("/var/tmp").expect("a folder").keep();
    let started = Command::new(script)
        .arg("start")
        .arg(&folder)
        .args(settings)
        .output()
        .expect("scripts/postgres runs");
    assert!(
        started.status.success(),
        "these tests need a PostgreSQL server (Debian: apt-get install postgresql), or ROOKERY_TEST_POSTGRES \
         with the URL of one where databases may be created: {}",
        String::from_utf8_lossy(&started.stderr)
    );
    let watch = Command::new("sh")
        .args(["-c", r#"cat; "$0" stop "$1"; rm -rf "$1""#, script])
        .arg(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell");
    std::mem::forget(watch);
    let url = String::from_utf8(started.stdout).expect("a URL").trim().to_owned();
    (folder, url)
}

/// What units of a program fail with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Domain {
    Refused,
    Store(Error),
}

impl From<Error> for Domain {
    fn from(e: Error) -> Self {
        Self::Store(e)
    }
}

/// A unit: a new account.
pub(crate) async fn create(tx: &mut Tx, id: &i64) -> Result<i64, Error> {
    let name = format!("n{id}");
    tx.put(
        sql!("INSERT INTO account (id, held, name, active) VALUES ($1, $2, $3, $4)"),
        &[id, &0_i64, &name, &true],
    )
    .await?;
    Ok(*id)
}

/// A read: how many accounts there are.
pub(crate) async fn count(rx: &mut Rx, (): &()) -> Result<i64, Error> {
    rx.one(sql!("SELECT CAST(count(*) AS BIGINT) FROM account"), &[]).await
}

pub(crate) async fn held(rx: &mut Rx, id: &i64) -> Result<Option<i64>, Error> {
    rx.maybe(sql!("SELECT held FROM account WHERE id = $1"), &[id]).await
}

/// The writer busy for a while, begun before this returns.
pub(crate) async fn busy(store: &Store, ms: u64) -> tokio::task::JoinHandle<()> {
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let store = store.clone();
    let begun = std::sync::Mutex::new(Some(begun));
    let task = tokio::spawn(async move {
        let unit = async move |_: &mut Tx, ms: &u64| {
            if let Some(begun) = begun.lock().expect("no panic").take() {
                begun.send(()).expect("somebody waits");
            }
            std::thread::sleep(std::time::Duration::from_millis(*ms));
            Ok::<(), Error>(())
        };
        store.write(ms, unit).await.expect("a slow unit");
    });
    has_begun.await.expect("it begins");
    task
}
