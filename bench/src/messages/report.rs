//! What a run of `messages` found out, with its ratios and verdicts.

use serde::Serialize;

use super::journey::Journey;
use super::stand::Facts;
use crate::args::{self, Engine};
use crate::machine::Machine;
use crate::stats::{Sample, Summary, float, percent};
use crate::targets::{self, Judged, judge};

/// Said beside every figure, so that no rate is taken for a comparison that was not made.
pub(crate) const BESIDE: &str = "The carrier is simulated, in the server's process: no SMPP. `gateways` measures through a real one, beside others.";

/// One thing that is measured once a round.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Cell {
    pub(crate) what: What,
    /// Whose; nobody's for the bare handler and the disk.
    pub(crate) engine: Option<Engine>,
    pub(crate) connections: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum What {
    Sync,
    Hello,
    Group,
    Accept,
}

#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) beside: &'static str,
    pub(crate) machine: Machine,
    pub(crate) engines: Vec<String>,
    pub(crate) accounts: u32,
    pub(crate) rounds: u32,
    pub(crate) accept_seconds: f64,
    pub(crate) seconds: f64,
    pub(crate) rate: u32,
    pub(crate) cells: Vec<Row>,
    pub(crate) servers: Vec<Served>,
    pub(crate) verdicts: Vec<Judged>,
    pub(crate) faults: Vec<String>,
}

/// A cell with all its rounds.
#[derive(Serialize)]
pub(crate) struct Row {
    #[serde(flatten)]
    pub(crate) cell: Cell,
    pub(crate) percent_of_hello: Option<f64>,
    pub(crate) percent_of_probe: Option<f64>,
    #[serde(flatten)]
    pub(crate) summary: Summary,
}

/// What is measured once for each server.
#[derive(Serialize)]
pub(crate) struct Served {
    pub(crate) engine: Engine,
    pub(crate) end_to_end: Journey,
    pub(crate) open_loop: Journey,
    #[serde(flatten)]
    pub(crate) facts: Facts,
}

impl Report {
    pub(crate) fn begin(options: &args::Messages, machine: Machine) -> Self {
        Self {
            beside: BESIDE,
            machine,
            engines: Vec::new(),
            accounts: options.accounts,
            rounds: options.rounds,
            accept_seconds: options.accept_seconds,
            seconds: options.seconds,
            rate: options.rate,
            cells: Vec::new(),
            servers: Vec::new(),
            verdicts: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// Takes in the rounds of all cells.
    pub(crate) fn rounds(&mut self, cells: &[(Cell, Vec<Sample>)]) {
        let find = |wanted: Cell| cells.iter().find(|(cell, _)| *cell == wanted).map(|(_, rounds)| rounds);
        for (cell, rounds) in cells {
            let of = |what, engine| {
                let beside = find(Cell { what, engine, ..*cell }).filter(|_| cell.what == What::Accept)?;
                percent(rounds, beside)
            };
            let Some(summary) = Summary::of(rounds.clone()) else { continue };
            self.cells.push(Row {
                cell: *cell,
                percent_of_hello: of(What::Hello, None),
                percent_of_probe: of(What::Group, cell.engine),
                summary,
            });
        }
    }

    /// Holds everything against its limits.
    pub(crate) fn judge(&mut self) {
        const MIB: f64 = 1024.0 * 1024.0;
        let found = &mut self.verdicts;
        for Row { cell, summary, .. } in &self.cells {
            if let Cell { what: What::Accept, engine: Some(engine), connections: 32 } = cell {
                let figure = format!("{}, POST /messages, c=32", engine.name());
                judge(found, figure, Some(summary.per_s), Some(targets::MESSAGES_ACCEPTED));
            }
        }
        for Served { engine, end_to_end, open_loop, facts } in &self.servers {
            let figure = |name: &str| format!("{}, {name}", engine.name());
            let rate = end_to_end.delivered.per_s;
            judge(found, figure("end to end"), Some(rate), Some(targets::MESSAGES_END_TO_END));
            let p99 = float(open_loop.accepted.p99_us) / 1000.0;
            judge(found, figure("open loop, p99 of accept"), Some(p99), Some(targets::MESSAGES_OPEN_P99));
            let idle = float(facts.memory_before.anonymous + facts.memory_before.file) / MIB;
            judge(found, figure("idle memory"), Some(idle), Some(targets::MEMORY_IDLE));
            self.faults.extend(facts.faults().into_iter().map(|fault| format!("{}: {fault}", engine.name())));
        }
    }
}

impl What {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sync => "append and fdatasync",
            Self::Hello => "bare handler",
            Self::Group => "group-commit probe",
            Self::Accept => "POST /messages",
        }
    }
}
