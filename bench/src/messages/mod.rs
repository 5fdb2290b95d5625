//! The `messages` command: a message's whole way through the server, from its acceptance to the signed webhook that
//! says that it was delivered, on each engine.

pub(crate) mod accounts;
pub(crate) mod journey;
mod report;
pub(crate) mod request;
pub(crate) mod send;
pub(crate) mod sink;
mod stand;
mod table;

use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::process::ChildStdin;

use self::report::{Cell, Report, Served, What};
use self::stand::Stand;
use crate::args::{self, Engine};
use crate::keeper::Keeper;
use crate::load::{self, Target, Work};
use crate::machine::Machine;
use crate::postgres::Cluster;
use crate::probe::Task;
use crate::progress::Progress;
use crate::session;
use crate::stats::{Sample, Window, float};
use crate::targets::below_floor;
use crate::yardstick::{self, Yardstick};

/// Connections of the closed loop end to end.
const END_TO_END: u32 = 64;
/// Between two cells, for what the last one left to do in the background.
const PAUSE: Duration = Duration::from_millis(300);

pub(crate) async fn run(mut options: args::Messages) -> anyhow::Result<()> {
    options.connections.sort_unstable();
    options.connections.dedup();
    let measure = async |keeper: &Keeper, progress: &Progress| measure(&options, keeper, progress).await;
    let report = session::run(&options.session, table::show, measure).await?;
    if !report.faults.is_empty() {
        bail!("{} things are wrong that no figure makes up for", report.faults.len());
    }
    let below = below_floor(&report.verdicts);
    if options.gate && below > 0 {
        bail!("{below} figures are below their floors");
    }
    Ok(())
}

/// Everything that is measured, set up.
struct Bench<'k> {
    disk: Yardstick<'k>,
    hello: Target,
    stands: Vec<Stand<'k>>,
    cluster: Option<Cluster>,
    _hello_lives: ChildStdin,
}

async fn measure(options: &args::Messages, keeper: &Keeper, progress: &Progress) -> anyhow::Result<Report> {
    let mut report = Report::begin(options, Machine::look(keeper.scratch())?);
    progress.show(0.0, "setting up");
    let mut bench = Bench::set_up(options, keeper).await?;
    report.engines = bench.stands.iter().map(|stand| stand.probe.engine.clone()).collect();
    report.rounds(&bench.rounds(options, progress).await?);
    let length = seconds(options.seconds)?;
    for stand in &bench.stands {
        let name = stand.engine.name();
        tokio::time::sleep(PAUSE).await;
        progress.show(1.0, &format!("{name}: end to end"));
        let end_to_end = stand.end_to_end(END_TO_END, length).await?;
        tokio::time::sleep(PAUSE).await;
        progress.show(1.0, &format!("{name}: open loop"));
        let open_loop = stand.open_loop(options.rate, length).await?;
        let facts = stand.close(bench.cluster_of(stand.engine)).await?;
        report.servers.push(Served { engine: stand.engine, end_to_end, open_loop, facts });
    }
    report.machine.look_again()?;
    report.judge();
    Ok(report)
}

impl<'k> Bench<'k> {
    async fn set_up(options: &args::Messages, keeper: &'k Keeper) -> anyhow::Result<Self> {
        let engines = options.engine.each();
        let cluster =
            if engines.contains(&Engine::Postgres) { Some(Cluster::start(keeper).await?) } else { None };
        let disk = Yardstick::disk(keeper).await?;
        let (hello, hello_lives) = yardstick::hello(keeper).await?;
        let mut bench = Self { disk, hello, stands: Vec::new(), cluster, _hello_lives: hello_lives };
        for &engine in engines {
            let stand = Stand::set_up(engine, bench.cluster_of(engine), options, keeper).await?;
            bench.stands.push(stand);
        }
        Ok(bench)
    }

    fn cluster_of(&self, engine: Engine) -> Option<&Cluster> {
        self.cluster.as_ref().filter(|_| engine == Engine::Postgres)
    }

    async fn rounds(
        &mut self,
        options: &args::Messages,
        progress: &Progress,
    ) -> anyhow::Result<Vec<(Cell, Vec<Sample>)>> {
        let mut cells: Vec<_> = plan(options).into_iter().map(|cell| (cell, Vec::new())).collect();
        let all = float(u64::try_from(cells.len())?) * f64::from(options.rounds);
        let mut done = 0.0;
        for round in 0..options.rounds {
            let mut order: Vec<usize> = (0..cells.len()).collect();
            if round % 2 == 1 {
                // There and back again: no cell always runs in the wake of the same other.
                order.reverse();
            }
            for at in order {
                let (cell, samples) = &mut cells[at];
                let label = format!("{}, c={}", cell.what.name(), cell.connections);
                progress.show(done / all, &format!("round {} of {}: {label}", round + 1, options.rounds));
                tokio::time::sleep(PAUSE).await;
                samples.push(self.one(cell, options.accept_seconds).await.context(label)?);
                done += 1.0;
            }
        }
        Ok(cells)
    }

    async fn one(&mut self, cell: &Cell, length: f64) -> anyhow::Result<Sample> {
        let connections = cell.connections;
        let stand = self.stands.iter_mut().find(|stand| Some(stand.engine) == cell.engine);
        match (cell.what, stand) {
            (What::Sync, _) => self.disk.measure(Task::Sync { seconds: length.min(1.0) }).await,
            (What::Hello, _) => {
                let window = Window::opening(seconds(length)?);
                Ok(load::run(&self.hello, &Work::Hello, connections, window).await?.sample)
            }
            (What::Group, Some(stand)) => {
                stand.probe.measure(Task::Group { waiters: connections, seconds: length }).await
            }
            (What::Accept, Some(stand)) => stand.accept(connections, seconds(length)?).await,
            (what, None) => bail!("{} belongs to a server", what.name()),
        }
    }
}

/// Every cell of a round: what is compared stands close together.
fn plan(options: &args::Messages) -> Vec<Cell> {
    let mut cells = vec![Cell { what: What::Sync, engine: None, connections: 1 }];
    for &connections in &options.connections {
        cells.push(Cell { what: What::Hello, engine: None, connections });
    }
    for &engine in options.engine.each() {
        for &connections in &options.connections {
            for what in [What::Group, What::Accept] {
                cells.push(Cell { what, engine: Some(engine), connections });
            }
        }
    }
    cells
}

fn seconds(length: f64) -> anyhow::Result<Duration> {
    Duration::try_from_secs_f64(length).context("a length of time")
}
