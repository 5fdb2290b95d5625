//! The server under test: the real binary, told everything on its command line, nothing inherited.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::process::Signal;
use serde::Deserialize;

use crate::cpu;
use crate::http::Connection;
use crate::keeper::{Keeper, Wiring};
use crate::load::Target;
use crate::memory::Memory;
use crate::postgres::Cluster;

pub(crate) struct Server<'k> {
    keeper: &'k Keeper,
    binary: PathBuf,
    folder: PathBuf,
    database: Option<String>,
    master_key: String,
    address: SocketAddr,
    process: Cell<Option<u32>>,
}

/// An account of the server under test, and how to ask in its name.
pub(crate) struct Account {
    pub(crate) id: u64,
    pub(crate) target: Target,
}

/// What the server tells about an account that it has made, by command and over HTTP alike.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    id: u64,
    access_keys: Vec<AccessKey>,
}

#[derive(Deserialize)]
struct AccessKey {
    key: String,
    mode: String,
}

impl<'k> Server<'k> {
    /// A server on an empty database: a new `SQLite` file, or the `PostgreSQL` database of this URL.
    pub(crate) fn new(keeper: &'k Keeper, binary: &Path, database: Option<String>) -> anyhow::Result<Self> {
        let binary =
            binary.canonicalize().with_context(|| format!("the server binary {}", binary.display()))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let folder = keeper.folder("server")?;
        let master_key = hexadecimal(64)?;
        Ok(Self { keeper, binary, folder, database, master_key, address, process: Cell::new(None) })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        // Whoever runs this may have a real installation's settings around: neither their environment
        // nor a rookery.toml in their folder must reach the server.
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"ROOKERY_") {
                command.env_remove(name);
            }
        }
        command.current_dir(&self.folder);
        command.env("ROOKERY_DATA_DIR", self.folder.join("data"));
        if let Some(database) = &self.database {
            command.env("ROOKERY_DATABASE", database).env("ROOKERY_MASTER_KEY", &self.master_key);
        }
        command
    }

    /// Starts it and tells how long it took until the first 200.
    pub(crate) async fn start(&self) -> anyhow::Result<Duration> {
        let mut serve = self.command();
        serve.args([
            "serve",
            "--no-demo",
            "--no-rate-limit",
            "--allow-private-webhooks",
            "--listen",
            &self.address.to_string(),
        ]);
        let begin = Instant::now();
        let log = Wiring::Log(self.folder.join("log"), Signal::TERM);
        let started = self.keeper.start("the server", serve, log)?;
        self.process.set(Some(started.id));
        loop {
            if let Ok(200) = self.status_of("/readyz", None).await {
                return Ok(begin.elapsed());
            }
            self.keeper.must_live(started.id)?;
            if begin.elapsed() > Duration::from_mins(1) {
                bail!("the server was not ready within 60 seconds\n{}", self.keeper.log_end(started.id));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub(crate) async fn stop(&self) -> anyhow::Result<()> {
        let status = self.keeper.stop(self.id()?).await?;
        self.process.set(None);
        ensure!(status.success(), "the server was asked to end and ended with {status}");
        Ok(())
    }

    /// Runs a command beside the server and tells what it printed.
    pub(crate) async fn tell(&self, arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
        let mut command = self.command();
        command.args(arguments);
        let output = tokio::process::Command::from(command).output().await;
        let output = output.with_context(|| format!("running {}", arguments.join(" ")))?;
        ensure!(
            output.status.success(),
            "{}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(output.stdout)
    }

    /// Makes a partner and waits until its key works.
    pub(crate) async fn partner(&self) -> anyhow::Result<Account> {
        let partner = self.account(&self.tell(&["partner", "create", "bench", "--json"]).await?)?;
        let patience = Instant::now() + Duration::from_secs(5);
        loop {
            match self.status_of("/contacts?limit=1", partner.target.authorization.as_deref()).await? {
                200 => return Ok(partner),
                status if Instant::now() > patience => bail!("the new key is answered with {status}"),
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Makes a child account of a partner, as a partner does it.
    pub(crate) async fn child(&self, partner: &Account, name: &str) -> anyhow::Result<Account> {
        let body = format!(r#"{{"name":"{name}"}}"#);
        let request = format!(
            "POST /child-accounts HTTP/1.1\r\nHost: {}\r\nAuthorization: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.address,
            partner.target.authorization.as_deref().unwrap_or_default(),
            body.len()
        );
        let mut connection = Connection::open(self.address).await?;
        let response = connection.exchange(request.as_bytes()).await?;
        ensure!(response.status == 201, "POST /child-accounts: {} {}", response.status, response.excerpt());
        self.account(response.body)
    }

    fn account(&self, made: &[u8]) -> anyhow::Result<Account> {
        let made: Made = serde_json::from_slice(made).context("a new account")?;
        let live = made.access_keys.into_iter().find(|key| key.mode == "live").context("a live key")?;
        let authorization: Arc<str> = format!("AccessKey {}", live.key).into();
        Ok(Account {
            id: made.id,
            target: Target { address: self.address, authorization: Some(authorization) },
        })
    }

    /// How many contacts the account has, by the server's own count.
    pub(crate) async fn contacts(&self, target: &Target) -> anyhow::Result<u64> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Page {
            total_count: u64,
        }
        let request = self.request("/contacts?limit=1", target.authorization.as_deref());
        let mut connection = Connection::open(self.address).await?;
        let response = connection.exchange(request.as_bytes()).await?;
        ensure!(response.status == 200, "GET /contacts: {} {}", response.status, response.excerpt());
        let page: Page = serde_json::from_slice(response.body).context("a page of contacts")?;
        Ok(page.total_count)
    }

    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        Memory::of(self.id()?)
    }

    /// Time on processors so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        cpu::spent(self.id()?)
    }

    /// The size of its database, which is the cluster's of this name or an `SQLite` file.
    pub(crate) async fn database_bytes(&self, cluster: Option<&Cluster>, name: &str) -> anyhow::Result<u64> {
        match cluster {
            Some(cluster) => cluster.bytes(name).await,
            None => self.bytes(),
        }
    }

    /// The `SQLite` database's size, its log included. Only exact while the server is stopped.
    fn bytes(&self) -> anyhow::Result<u64> {
        let mut bytes = 0;
        for entry in std::fs::read_dir(self.folder.join("data")).context("the data folder")? {
            let entry = entry.context("the data folder")?;
            if entry.file_name().as_encoded_bytes().starts_with(b"rookery.db") {
                bytes += entry.metadata().context("the database file")?.len();
            }
        }
        Ok(bytes)
    }

    /// What the server's log says, for beside an error; fails by itself when the server is gone.
    pub(crate) fn explain(&self) -> String {
        match self.id().and_then(|id| self.keeper.must_live(id).map(|()| id)) {
            Ok(id) => self.keeper.log_end(id),
            Err(gone) => format!("{gone:#}"),
        }
    }

    pub(crate) fn id(&self) -> anyhow::Result<u32> {
        self.process.get().context("the server is not running")
    }

    fn request(&self, path: &str, authorization: Option<&str>) -> String {
        let key = authorization.map(|value| format!("Authorization: {value}\r\n")).unwrap_or_default();
        format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{key}\r\n", self.address)
    }

    async fn status_of(&self, path: &str, authorization: Option<&str>) -> anyhow::Result<u16> {
        let request = self.request(path, authorization);
        let mut connection = Connection::open(self.address).await?;
        Ok(connection.exchange(request.as_bytes()).await?.status)
    }
}

/// A port that was free a moment ago: nothing else on a machine that is fit for measuring will take it meanwhile.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port")?;
    Ok(listener.local_addr().context("looking for a free port")?.port())
}

/// Random digits, for secrets that live as long as the run.
pub(crate) fn hexadecimal(digits: usize) -> anyhow::Result<String> {
    use std::io::Read as _;
    let mut random = vec![0; digits];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut random))
        .context("/dev/urandom")?;
    let digit = |byte: &u8| char::from_digit(u32::from(byte % 16), 16);
    Ok(random.iter().filter_map(digit).collect())
}
