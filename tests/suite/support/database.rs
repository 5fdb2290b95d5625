//! A fresh database for each test, on the engine of this run: a file in a temporary folder, or a database of its own on
//! the private PostgreSQL server that `./test` starts.

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
