//! The `gateways` command: Rookery beside other gateways, each from HTTP over SMPP to the callback about the receipt, in
//! one run, on the same cores, against the same SMSC and the same sink.
//!
//! What is compared is not the same work. Rookery answers when the message is on disk and charged, and calls twice for
//! each message, signed; Kannel keeps nothing on disk that a power cut would leave, charges nothing and calls once.
//! Jasmin is not here: version 0.11.1 as published loses every receipt, so that it has no rate end to end.

mod gateway;
mod kannel;
mod smsc;
mod table;

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Serialize;

use self::gateway::{Gateway, Run};
use self::kannel::Storage;
use crate::args;
use crate::keeper::Keeper;
use crate::machine::Machine;
use crate::progress::Progress;
use crate::session;
use crate::stats::float;

/// Unanswered submissions of a gateway.
const WINDOW: usize = 100;
/// Between two measurings, for what the last one left to do in the background.
const PAUSE: Duration = Duration::from_millis(500);

/// What a run found out.
#[derive(Serialize)]
pub(crate) struct Report {
    machine: Machine,
    connections: u32,
    accounts: u32,
    rounds: u32,
    seconds: f64,
    gateways: Vec<Measured>,
    faults: Vec<String>,
}

/// A gateway's run with the median rate end to end.
#[derive(Serialize)]
struct Measured {
    name: &'static str,
    #[serde(flatten)]
    run: Run,
    /// Rates end to end of all rounds.
    rates: Vec<f64>,
    /// Rookery's rate end to end is so many times this one's.
    times: f64,
}

pub(crate) async fn run(options: args::Gateways) -> anyhow::Result<()> {
    let measure = async |keeper: &Keeper, progress: &Progress| measure(&options, keeper, progress).await;
    let report = session::run(&options.session, table::show, measure).await?;
    if !report.faults.is_empty() {
        bail!("{} things are wrong that no figure makes up for", report.faults.len());
    }
    Ok(())
}

async fn measure(options: &args::Gateways, keeper: &Keeper, progress: &Progress) -> anyhow::Result<Report> {
    let mut machine = Machine::look(keeper.scratch())?;
    let length = Duration::try_from_secs_f64(options.seconds).context("a length of time")?;
    progress.show(0.0, "setting up");
    let mut gateways = vec![Gateway::rookery(options, keeper).await?];
    for storage in [Storage::Memory, Storage::Spool] {
        gateways.push(Gateway::kannel(storage, keeper).await?);
    }
    let mut runs: Vec<Vec<Run>> = gateways.iter().map(|_| Vec::new()).collect();
    let all = float(u64::try_from(gateways.len())?) * f64::from(options.rounds);
    let mut done = 0.0;
    for round in 0..options.rounds {
        for (gateway, runs) in gateways.iter().zip(&mut runs) {
            progress
                .show(done / all, &format!("round {} of {}: {}", round + 1, options.rounds, gateway.name));
            tokio::time::sleep(PAUSE).await;
            runs.push(gateway.measure(options.connections, length).await?);
            done += 1.0;
        }
    }
    let mut report = Report {
        connections: options.connections,
        accounts: options.accounts,
        rounds: options.rounds,
        seconds: options.seconds,
        gateways: Vec::new(),
        faults: Vec::new(),
        machine: {
            machine.look_again()?;
            machine
        },
    };
    for (gateway, runs) in gateways.into_iter().zip(runs) {
        let rates: Vec<f64> = runs.iter().map(|run| run.journey.delivered.per_s).collect();
        let run = median(runs)?;
        let own = report.gateways.first().map_or(&run, |rookery| &rookery.run);
        let times = own.journey.delivered.per_s / run.journey.delivered.per_s.max(1e-6);
        report.gateways.push(Measured { name: gateway.name, run, rates, times });
        report.faults.extend(gateway.close().await?);
    }
    Ok(report)
}

fn median(mut runs: Vec<Run>) -> anyhow::Result<Run> {
    runs.sort_by(|one, other| one.journey.delivered.per_s.total_cmp(&other.journey.delivered.per_s));
    let middle = runs.len() / 2;
    runs.into_iter().nth(middle).context("a run")
}
