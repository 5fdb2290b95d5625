//! Everything that a run measures, set up and filled: the bare handler, the probes, and one server per engine and
//! size. All of it stays up for the whole run, so that a round can visit every cell within a few minutes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::Serialize;
use tokio::process::ChildStdin;

use crate::args::{self, Engine};
use crate::keeper::Keeper;
use crate::load::{self, Id, Target, Work};
use crate::postgres::Cluster;
use crate::progress::Progress;
use crate::server::Server;
use crate::stats::{Sample, Window, float, median};
use crate::yardstick::{self, Yardstick};

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
        let disk = Yardstick::disk(keeper).await?;
        let (hello, hello_lives) = yardstick::hello(keeper).await?;
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
        let probe = Yardstick::engine(keeper, size, probe_url.as_deref())?;

        progress.show(0.0, &format!("{label}: starting"));
        let server = Server::new(keeper, &options.rookery, database)?;
        let start_empty = server.start().await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let memory = server.memory()?;
        let target = server.partner().await?.target;
        let empty = server.database_bytes(cluster, &names[0]).await?;
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
    let full = server.database_bytes(cluster, database).await?;
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
