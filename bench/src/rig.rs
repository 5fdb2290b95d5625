//! Everything that a run measures, set up and filled: the bare handler, the probes, and one server per engine and
//! size. All of it stays up for the whole run, so that a round can visit every cell within a few minutes.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout};

use crate::args::{self, Engine};
use crate::keeper::{Keeper, Wiring};
use crate::load::{self, Id, Target, Work};
use crate::postgres::Cluster;
use crate::probe::{Ready, Task};
use crate::progress::Progress;
use crate::server::Server;
use crate::stats::{Sample, Window, float, median};

/// Connections while filling and emptying, where nothing is measured.
const MANY: u32 = 128;
/// A restart is a cheap measurement; several make a median.
const STARTS: u32 = 3;

pub(crate) struct Rig<'k> {
    pub(crate) hello: Target,
    pub(crate) disk: Yardstick<'k>,
    pub(crate) stands: Vec<Stand<'k>>,
    _hello_lives: ChildStdin,
}

/// One server with its contacts, and the probe that holds as many.
pub(crate) struct Stand<'k> {
    pub(crate) engine: Engine,
    pub(crate) size: u64,
    pub(crate) probe: Yardstick<'k>,
    pub(crate) facts: Facts,
    server: Server<'k>,
    target: Target,
    ids: Arc<Vec<Id>>,
    next: Arc<AtomicU64>,
}

/// What is not a rate.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Facts {
    pub(crate) seeded_per_s: f64,
    pub(crate) start_empty_ms: f64,
    pub(crate) start_full_ms: f64,
    pub(crate) idle_bytes: u64,
    /// The most that was seen after reads.
    pub(crate) anonymous_bytes: u64,
    pub(crate) disk_bytes_per_contact: f64,
}

/// A probe that is told what to measure.
pub(crate) struct Yardstick<'k> {
    pub(crate) engine: String,
    keeper: &'k Keeper,
    id: u32,
    tell: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl<'k> Rig<'k> {
    pub(crate) async fn set_up(
        options: &args::Contacts,
        keeper: &'k Keeper,
        progress: &Progress,
    ) -> anyhow::Result<Self> {
        let engines = options.engine.each();
        let mut cluster = None;
        if engines.contains(&Engine::Postgres) {
            cluster = Some(Cluster::start(keeper).await?);
        }
        let folder = keeper.folder("disk")?;
        let disk = Yardstick::start(keeper, &["disk", "--dir", &text(&folder)?], None)?.ready().await?;
        let (hello, hello_lives) = hello(keeper).await?;
        let mut stands = Vec::new();
        for &engine in engines {
            for &size in &options.size {
                let cluster = cluster.as_ref().filter(|_| engine == Engine::Postgres);
                stands.push(Stand::set_up(engine, size, cluster, options, keeper, progress).await?);
            }
        }
        Ok(Self { hello, disk, stands, _hello_lives: hello_lives })
    }
}

impl<'k> Stand<'k> {
    async fn set_up(
        engine: Engine,
        size: u64,
        cluster: Option<&Cluster>,
        options: &args::Contacts,
        keeper: &'k Keeper,
        progress: &Progress,
    ) -> anyhow::Result<Self> {
        let label = format!("{} with {size} contacts", engine.name());
        let names = [format!("rookery_{size}"), format!("probe_{size}")];
        let (mut database, mut probe_url) = (None, None);
        if let Some(cluster) = cluster {
            database = Some(cluster.create(&names[0]).await?);
            probe_url = Some(cluster.create(&names[1]).await?);
        }
        // The probe fills itself while the server is filled.
        let rows = size.to_string();
        let probe = if probe_url.is_some() {
            Yardstick::start(keeper, &["postgres", "--rows", &rows], probe_url.as_deref())?
        } else {
            let folder = text(&keeper.folder("probe")?)?;
            Yardstick::start(keeper, &["sqlite", "--dir", &folder, "--rows", &rows], None)?
        };

        progress.show(0.0, &format!("{label}: starting"));
        let server = Server::new(keeper, &options.rookery, database)?;
        let start_empty = server.start().await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let memory = server.memory()?;
        let target = server.partner().await?;
        let empty = bytes(&server, cluster, &names[0]).await?;
        let seeded =
            seed(&server, &target, size, |part| progress.show(part, &format!("{label}: filling"))).await?;
        progress.show(1.0, &format!("{label}: restarting"));
        let (start_full_ms, full) = restart(&server, cluster, &names[0]).await?;
        progress.show(1.0, &format!("{label}: waiting for the probe's rows"));
        let probe = probe.ready().await?;

        let facts = Facts {
            seeded_per_s: seeded.sample.per_s,
            start_empty_ms: start_empty.as_secs_f64() * 1000.0,
            start_full_ms,
            idle_bytes: memory.anonymous + memory.file,
            anonymous_bytes: 0,
            disk_bytes_per_contact: float(full.saturating_sub(empty)) / float(size),
        };
        let ids = Arc::new(seeded.created);
        let next = Arc::new(AtomicU64::new(size));
        Ok(Self { engine, size, probe, facts, server, target, ids, next })
    }

    /// One measurement of random views.
    pub(crate) async fn view(&mut self, connections: u32, length: Duration) -> anyhow::Result<Sample> {
        let sample = self.measure(&Work::View(Arc::clone(&self.ids)), connections, length).await?.sample;
        self.facts.anonymous_bytes = self.facts.anonymous_bytes.max(self.server.memory()?.anonymous);
        Ok(sample)
    }

    /// One measurement of the first page.
    pub(crate) async fn list(&mut self, connections: u32, length: Duration) -> anyhow::Result<Sample> {
        Ok(self.measure(&Work::List, connections, length).await?.sample)
    }

    /// One measurement of creating contacts, which are deleted again so that the next cell finds the same table.
    pub(crate) async fn create(&mut self, connections: u32, length: Duration) -> anyhow::Result<Sample> {
        let work = Work::Create { next: Arc::clone(&self.next), end: u64::MAX };
        let outcome = self.measure(&work, connections, length).await?;
        let work = Work::Delete { ids: Arc::new(outcome.created), next: Arc::new(AtomicUsize::new(0)) };
        self.run(&work, MANY, Window::unbounded()).await?;
        Ok(outcome.sample)
    }

    /// Everything that was answered with success is there, and nothing else.
    pub(crate) async fn must_be_whole(&self) -> anyhow::Result<()> {
        let contacts = self.server.contacts(&self.target).await?;
        ensure!(contacts == self.size, "{} contacts are there and should be {}", contacts, self.size);
        Ok(())
    }

    async fn measure(
        &self,
        work: &Work,
        connections: u32,
        length: Duration,
    ) -> anyhow::Result<load::Outcome> {
        self.run(work, connections, Window::opening(length)).await
    }

    async fn run(&self, work: &Work, connections: u32, window: Window) -> anyhow::Result<load::Outcome> {
        let outcome = load::run(&self.target, work, connections, window).await;
        outcome.with_context(|| {
            format!(
                "{}, {} contacts, {}\n{}",
                self.engine.name(),
                self.size,
                work.name(),
                self.server.explain()
            )
        })
    }
}

async fn seed(
    server: &Server<'_>,
    target: &Target,
    size: u64,
    show: impl Fn(f64),
) -> anyhow::Result<load::Outcome> {
    let next = Arc::new(AtomicU64::new(0));
    let work = Work::Create { next: Arc::clone(&next), end: size };
    let watch = async {
        loop {
            show(float(next.load(Relaxed).min(size)) / float(size));
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let outcome = tokio::select! {
        outcome = load::run(target, &work, MANY, Window::unbounded()) => outcome,
        () = watch => unreachable!("the watch has no end"),
    };
    let outcome = outcome.with_context(|| format!("filling the server\n{}", server.explain()))?;
    let (created, counted) = (outcome.created.len(), server.contacts(target).await?);
    ensure!(u64::try_from(created)? == size, "{created} contacts were created instead of {size}");
    ensure!(counted == size, "{size} contacts were created and the server counts {counted}");
    Ok(outcome)
}

/// Stops and starts the full server; tells the median start in milliseconds and the size of its database.
async fn restart(
    server: &Server<'_>,
    cluster: Option<&Cluster>,
    database: &str,
) -> anyhow::Result<(f64, u64)> {
    let mut starts = Vec::new();
    server.stop().await?;
    let full = bytes(server, cluster, database).await?;
    for start in 1..=STARTS {
        starts.push(server.start().await?.as_secs_f64() * 1000.0);
        if start < STARTS {
            // How a server ends that has hardly begun is for tests to ask.
            tokio::time::sleep(Duration::from_millis(100)).await;
            server.stop().await?;
        }
    }
    Ok((median(&starts).context("a start")?, full))
}

async fn bytes(server: &Server<'_>, cluster: Option<&Cluster>, database: &str) -> anyhow::Result<u64> {
    match cluster {
        Some(cluster) => cluster.bytes(database).await,
        None => server.bytes(),
    }
}

impl<'k> Yardstick<'k> {
    fn start(keeper: &'k Keeper, arguments: &[&str], url: Option<&str>) -> anyhow::Result<Self> {
        let mut command = itself()?;
        command.arg("probe").args(arguments);
        if let Some(url) = url {
            command.env("ROOKERY_BENCH_URL", url);
        }
        let started = keeper.start("a probe", command, Wiring::Pipes)?;
        let (tell, out) = started.pipes.context("a probe's pipes")?;
        Ok(Self { engine: String::new(), keeper, id: started.id, tell, answers: BufReader::new(out).lines() })
    }

    async fn ready(mut self) -> anyhow::Result<Self> {
        let ready: Ready = self.answer().await?;
        self.engine = ready.engine;
        Ok(self)
    }

    pub(crate) async fn measure(&mut self, task: Task) -> anyhow::Result<Sample> {
        let mut line = serde_json::to_vec(&task).context("a task")?;
        line.push(b'\n');
        self.tell.write_all(&line).await.context("telling a probe")?;
        self.answer().await
    }

    async fn answer<T: DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        let line = self.answers.next_line().await.context("a probe's answer")?;
        let Some(line) = line else {
            // Its last words are on standard error; its status is worth telling as well.
            self.keeper.must_live(self.id)?;
            anyhow::bail!("a probe closed its output");
        };
        serde_json::from_str(&line).with_context(|| format!("a probe's answer: {line}"))
    }
}

/// The handler's address, and the pipe that keeps it serving while it is open.
async fn hello(keeper: &Keeper) -> anyhow::Result<(Target, ChildStdin)> {
    let mut command = itself()?;
    command.arg("hello");
    let started = keeper.start("the bare handler", command, Wiring::Pipes)?;
    let (tell, out) = started.pipes.context("the bare handler's pipes")?;
    let line = BufReader::new(out).lines().next_line().await.context("the bare handler's address")?;
    let address: SocketAddr = line.context("the bare handler's address")?.parse().context("an address")?;
    Ok((Target { address, authorization: None }, tell))
}

fn itself() -> anyhow::Result<Command> {
    Ok(Command::new(std::env::current_exe().context("the own binary")?))
}

fn text(path: &Path) -> anyhow::Result<String> {
    path.to_str().map(str::to_owned).with_context(|| format!("{} is not UTF-8", path.display()))
}
