//! A fresh database for each test, on the engine of this run: a file in a temporary folder, or a database of its own on
//! the private PostgreSQL server that `./test` starts.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// Whether this run is on PostgreSQL.
pub fn is_postgres() -> bool {
    match std::env::var("ROOKERY_TEST_ENGINE").as_deref() {
        Ok("postgres") => true,
        Ok("sqlite") | Err(_) => false,
        Ok(other) => panic!("ROOKERY_TEST_ENGINE is sqlite or postgres, not {other}"),
    }
}

/// Where a test's data lives; gone with it.
pub struct Home {
    url: String,
    folder: TempDir,
}

impl Home {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = if is_postgres() {
            let server = std::env::var("ROOKERY_TEST_POSTGRES")
                .expect("ROOKERY_TEST_POSTGRES names the server to test on; ./test starts one and sets it");
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("rookery_{}_{number}", std::process::id());
            create(&server, &name).await;
            on(&server, &name)
        } else {
            format!("sqlite:{}", folder.path().join("rookery.db").display())
        };
        Home { url, folder }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

impl Home {
    /// Every row of every table, as text with its binary columns in hexadecimal digits.
    pub async fn rows(&self) -> Vec<String> {
        if is_postgres() {
            rows_of_postgres(&self.url).await
        } else {
            rows_of_sqlite(&self.folder.path().join("rookery.db"))
        }
    }
}

fn rows_of_sqlite(path: &Path) -> Vec<String> {
    let db = rusqlite::Connection::open(path).expect("the file opens");
    let texts = |sql: &str| -> Vec<String> {
        let mut statement = db.prepare(sql).expect("a statement");
        let rows = statement.query_map([], |row| row.get(0)).expect("rows");
        rows.map(|row| row.expect("a text")).collect()
    };
    let mut all = Vec::new();
    for table in texts("SELECT name FROM sqlite_schema WHERE type = 'table'") {
        let columns = texts(&format!("SELECT 'quote(\"' || name || '\")' FROM pragma_table_info('{table}')"));
        let row = columns.join(" || ',' || ");
        all.extend(texts(&format!("SELECT '{table}: ' || {row} FROM \"{table}\"")));
    }
    all
}

async fn rows_of_postgres(url: &str) -> Vec<String> {
    let (client, connection) =
        tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("the server answers");
    #[expect(clippy::disallowed_methods, reason = "awaited below")]
    let driver = tokio::spawn(connection);
    let tables = client.query("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'", &[]);
    let mut all = Vec::new();
    for table in tables.await.expect("tables") {
        let table: String = table.get(0);
        let rows = client
            .query(&format!("SELECT '{table}: ' || t::text FROM \"{table}\" t"), &[])
            .await
            .expect("rows");
        all.extend(rows.iter().map(|row| row.get::<_, String>(0)));
    }
    drop(client);
    driver.await.expect("the connection's task").expect("the connection ends");
    all
}

/// The URL of another database on the same server.
fn on(server: &str, database: &str) -> String {
    let mut url = url::Url::parse(server).expect("ROOKERY_TEST_POSTGRES is a URL");
    url.set_path(&format!("/{database}"));
    url.into()
}

async fn create(server: &str, name: &str) {
    let (client, connection) =
        tokio_postgres::connect(server, tokio_postgres::NoTls).await.expect("the test server answers");
    #[expect(clippy::disallowed_methods, reason = "awaited below")]
    let driver = tokio::spawn(connection);
    client.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("a database is made");
    drop(client);
    driver.await.expect("the connection's task").expect("the connection ends");
}
