//! A `PostgreSQL` server of the run's own: temporary, loopback only, default settings, `fsync` on.

use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::process::Signal;
use tokio_postgres::{Client, NoTls};

use crate::keeper::{Keeper, Wiring};

pub(crate) struct Cluster {
    port: u16,
    password: String,
}

/// Whom `PostgreSQL` runs as when this program runs as root, which `PostgreSQL` refuses to run as.
struct Account {
    user: u32,
    group: u32,
}

impl Cluster {
    pub(crate) async fn start(keeper: &Keeper) -> anyhow::Result<Self> {
        let programs = programs()?;
        let account = account()?;
        let home = keeper.folder("postgres")?;
        // Any local user reaches the port: without the password it is of no use to them.
        let password = crate::server::hexadecimal(32)?;
        let secret = home.join("password");
        std::fs::write(&secret, &password).context("the password file")?;
        if let Some(Account { user, group }) = account {
            for path in [&home, &secret] {
                std::os::unix::fs::chown(path, Some(user), Some(group))
                    .context("giving PostgreSQL its folder")?;
            }
        }
        let data = home.join("data");
        let mut initdb = program(&programs, "initdb", account.as_ref(), &home);
        initdb.args([
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C",
            "--username=bench",
            "--auth=scram-sha-256",
        ]);
        initdb.arg("--pwfile").arg(&secret).arg("-D").arg(&data);
        let made = initdb.output().context("running initdb")?;
        ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));

        let port = crate::server::free_port()?;
        let mut postgres = program(&programs, "postgres", account.as_ref(), &home);
        postgres.arg("-D").arg(&data).args(["-p", &port.to_string()]);
        for setting in
            ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=on", "synchronous_commit=on"]
        {
            postgres.args(["-c", setting]);
        }
        // SIGINT is PostgreSQL's fast shutdown: it does not wait for clients to leave.
        let log = keeper.folder("postgres-log")?.join("log");
        let started = keeper.start("PostgreSQL", postgres, Wiring::Log(log, Signal::INT))?;
        let cluster = Self { port, password };
        let patience = Instant::now() + Duration::from_secs(30);
        while let Err(error) = cluster.client("postgres").await {
            keeper.must_live(started.id)?;
            if Instant::now() > patience {
                return Err(error.context("PostgreSQL did not answer within 30 seconds"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(cluster)
    }

    /// Makes an empty database and tells its URL.
    pub(crate) async fn create(&self, database: &str) -> anyhow::Result<String> {
        let client = self.client("postgres").await?;
        client.batch_execute(&format!("CREATE DATABASE {database}")).await.context("CREATE DATABASE")?;
        Ok(self.url(database))
    }

    pub(crate) async fn bytes(&self, database: &str) -> anyhow::Result<u64> {
        let client = self.client(database).await?;
        let row = client.query_one("SELECT pg_database_size(current_database())", &[]).await;
        let bytes: i64 = row.and_then(|row| row.try_get(0)).context("the database's size")?;
        u64::try_from(bytes).context("the database's size")
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://bench:{}@{}:{}/{database}", self.password, Ipv4Addr::LOCALHOST, self.port)
    }

    async fn client(&self, database: &str) -> anyhow::Result<Client> {
        connect(&self.url(database)).await
    }
}

/// A client without TLS: the server is on this machine.
#[expect(clippy::disallowed_methods, reason = "the connection's task ends when the client is dropped")]
pub(crate) async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) =
        tokio_postgres::connect(url, NoTls).await.context("connecting to PostgreSQL")?;
    tokio::spawn(connection);
    Ok(client)
}

fn program(folder: &Path, name: &str, account: Option<&Account>, home: &Path) -> Command {
    let mut command = Command::new(folder.join(name));
    command.current_dir(home).env("LC_ALL", "C");
    if let Some(Account { user, group }) = account {
        command.gid(*group).uid(*user);
    }
    command
}

/// The folder of `initdb` and `postgres`: what `pg_config` says, or Debian's newest.
fn programs() -> anyhow::Result<PathBuf> {
    let has_both = |folder: &Path| ["initdb", "postgres"].iter().all(|name| folder.join(name).is_file());
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        if has_both(&folder) {
            return Ok(folder);
        }
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|v| v.path().join("bin")).filter(|f| has_both(f)).collect();
    folders.sort();
    folders.pop().context(
        "PostgreSQL's server programs are needed (Debian: the package postgresql), or --engine sqlite",
    )
}

fn account() -> anyhow::Result<Option<Account>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let id = |which: &str| -> anyhow::Result<u32> {
        let output = Command::new("id").args([which, "postgres"]).output().context("running id")?;
        let Ok(id) = String::from_utf8_lossy(&output.stdout).trim().parse() else {
            bail!("run as root, this needs the user postgres to run PostgreSQL as");
        };
        Ok(id)
    };
    Ok(Some(Account { user: id("-u")?, group: id("-g")? }))
}
