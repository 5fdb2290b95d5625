//! The `contacts` command: visits every cell once a round, and hands what was measured to the report.

use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::args;
use crate::keeper::Keeper;
use crate::load::{self, Work};
use crate::probe::Task;
use crate::progress::Progress;
use crate::report::{Cell, Measured, Report, What};
use crate::rig::Rig;
use crate::session;
use crate::stats::{Sample, Window, float};
use crate::table;
use crate::targets::below_floor;

/// Between two cells, for what the last one left to do in the background.
const PAUSE: Duration = Duration::from_millis(300);

pub(crate) async fn run(mut options: args::Contacts) -> anyhow::Result<()> {
    options.size.sort_unstable();
    options.size.dedup();
    options.connections.sort_unstable();
    options.connections.dedup();
    let measure = async |keeper: &Keeper, progress: &Progress| measure(&options, keeper, progress).await;
    let report = session::run(&options.session, table::show, measure).await?;
    let below = below_floor(&report.verdicts);
    if options.gate && below > 0 {
        bail!("{below} figures are below their floors");
    }
    Ok(())
}

async fn measure(options: &args::Contacts, keeper: &Keeper, progress: &Progress) -> anyhow::Result<Report> {
    let mut report = Report::begin(options, keeper.scratch())?;
    let mut rig = Rig::set_up(options, keeper, progress).await?;
    let mut cells: Vec<Measured> = plan(options).into_iter().map(Measured::nothing_yet).collect();
    let all = float(u64::try_from(cells.len())?) * f64::from(options.rounds);
    let mut done = 0.0;
    for round in 0..options.rounds {
        let mut order: Vec<usize> = (0..cells.len()).collect();
        if round % 2 == 1 {
            // There and back again: no cell always runs in the wake of the same other.
            order.reverse();
        }
        for at in order {
            let measured = &mut cells[at];
            progress
                .show(done / all, &format!("round {} of {}: {}", round + 1, options.rounds, measured.cell));
            tokio::time::sleep(PAUSE).await;
            let sample = one(&mut rig, &measured.cell, options.seconds).await;
            measured.rounds.push(sample.with_context(|| measured.cell.to_string())?);
            done += 1.0;
        }
    }
    for stand in &rig.stands {
        stand.must_be_whole().await?;
    }
    report.finish(&cells, &rig)?;
    Ok(report)
}

/// Every cell of a round: what is compared stands close together.
fn plan(options: &args::Contacts) -> Vec<Cell> {
    let mut cells = vec![Cell { stand: None, what: What::Sync, connections: 1 }];
    for &connections in &options.connections {
        cells.push(Cell { stand: None, what: What::Hello, connections });
    }
    let stands = options.engine.each().iter().flat_map(|&e| options.size.iter().map(move |&s| (e, s)));
    for (position, (engine, size)) in stands.enumerate() {
        let stand = Some(crate::report::StandName { position, engine, size });
        if engine == args::Engine::Sqlite {
            cells.push(Cell { stand, what: What::Ceiling, connections: 1 });
        }
        for &connections in &options.connections {
            cells.push(Cell { stand, what: What::View, connections });
            if engine == args::Engine::Postgres {
                cells.push(Cell { stand, what: What::Select, connections });
            }
            for what in [What::List, What::Create, What::Group] {
                cells.push(Cell { stand, what, connections });
            }
        }
    }
    cells
}

async fn one(rig: &mut Rig<'_>, cell: &Cell, seconds: f64) -> anyhow::Result<Sample> {
    let length = Duration::try_from_secs_f64(seconds).context("a length of time")?;
    let Cell { connections, .. } = *cell;
    let Some(name) = cell.stand else {
        return match cell.what {
            What::Sync => rig.disk.measure(Task::Sync { seconds: seconds.min(1.0) }).await,
            _ => Ok(load::run(&rig.hello, &Work::Hello, connections, Window::opening(length)).await?.sample),
        };
    };
    let stand = rig.stands.get_mut(name.position).context("a stand of the plan")?;
    match cell.what {
        What::View => stand.view(connections, length).await,
        What::List => stand.list(connections, length).await,
        What::Create => stand.create(connections, length).await,
        What::Group => stand.probe.measure(Task::Group { waiters: connections, seconds }).await,
        What::Select => stand.probe.measure(Task::Select { readers: connections, seconds }).await,
        What::Ceiling => stand.probe.measure(Task::Ceiling { seconds }).await,
        What::Sync | What::Hello => bail!("{} belongs to no server", cell.what.name()),
    }
}
