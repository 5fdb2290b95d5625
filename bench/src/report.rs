//! What a run found out: every cell with its rounds, the ratios, and the verdicts.
//!
//! A ratio is taken within each round, where both sides saw the same neighbours, and the median of these is shown.

use std::fmt;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

use crate::args::{self, Engine};
use crate::machine::Machine;
use crate::rig::{Facts, Rig};
use crate::stats::{Sample, Summary, float, median, percent};
use crate::table::thousands;
use crate::targets::{self, Judged, judge};

/// One thing that is measured once a round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cell {
    /// Whose; nobody's for the yardsticks that know of no contacts.
    pub(crate) stand: Option<StandName>,
    pub(crate) what: What,
    pub(crate) connections: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct StandName {
    pub(crate) position: usize,
    pub(crate) engine: Engine,
    pub(crate) size: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum What {
    Sync,
    Hello,
    View,
    List,
    Create,
    Group,
    Select,
    Ceiling,
}

/// A cell and what its rounds gave so far.
pub(crate) struct Measured {
    pub(crate) cell: Cell,
    pub(crate) rounds: Vec<Sample>,
}

#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) rounds: u32,
    pub(crate) seconds: f64,
    pub(crate) engines: Vec<String>,
    pub(crate) cells: Vec<Row>,
    pub(crate) servers: Vec<ServerFacts>,
    pub(crate) verdicts: Vec<Judged>,
}

/// A cell of the report.
#[derive(Serialize)]
pub(crate) struct Row {
    pub(crate) what: What,
    pub(crate) engine: Option<Engine>,
    pub(crate) contacts: Option<u64>,
    pub(crate) connections: u32,
    pub(crate) percent_of_hello: Option<f64>,
    pub(crate) percent_of_probe: Option<f64>,
    #[serde(flatten)]
    pub(crate) summary: Summary,
}

#[derive(Serialize)]
pub(crate) struct ServerFacts {
    pub(crate) engine: Engine,
    pub(crate) contacts: u64,
    #[serde(flatten)]
    pub(crate) facts: Facts,
}

impl Report {
    pub(crate) fn begin(options: &args::Contacts, scratch: &Path) -> anyhow::Result<Self> {
        let machine = Machine::look(scratch)?;
        Ok(Self {
            machine,
            rounds: options.rounds,
            seconds: options.seconds,
            engines: Vec::new(),
            cells: Vec::new(),
            servers: Vec::new(),
            verdicts: Vec::new(),
        })
    }

    pub(crate) fn finish(&mut self, cells: &[Measured], rig: &Rig<'_>) -> anyhow::Result<()> {
        self.machine.look_again()?;
        for stand in &rig.stands {
            if !self.engines.contains(&stand.probe.engine) {
                self.engines.push(stand.probe.engine.clone());
            }
            let (engine, contacts, facts) = (stand.engine, stand.size, stand.facts.clone());
            self.servers.push(ServerFacts { engine, contacts, facts });
        }
        self.verdicts = Judge { cells, servers: &self.servers }.all();
        for Measured { cell, rounds } in cells {
            let of = |what, stand| Some(find(cells, what, stand, cell.connections)?.rounds.as_slice());
            let served = matches!(cell.what, What::View | What::List | What::Create);
            let hello = of(What::Hello, None).filter(|_| served);
            let probe = match cell.what {
                What::Create => of(What::Group, cell.stand),
                What::View => of(What::Select, cell.stand),
                _ => None,
            };
            self.cells.push(Row {
                what: cell.what,
                engine: cell.stand.map(|stand| stand.engine),
                contacts: cell.stand.map(|stand| stand.size),
                connections: cell.connections,
                percent_of_hello: hello.and_then(|hello| percent(rounds, hello)),
                percent_of_probe: probe.and_then(|probe| percent(rounds, probe)),
                summary: Summary::of(rounds.clone()).context("a round")?,
            });
        }
        Ok(())
    }
}

/// Holds what was measured against the targets.
struct Judge<'r> {
    cells: &'r [Measured],
    servers: &'r [ServerFacts],
}

impl Judge<'_> {
    fn all(&self) -> Vec<Judged> {
        let mut found = Vec::new();
        let sync_p99 = p99(find(self.cells, What::Sync, None, 1)).unwrap_or_default();
        for measured in self.cells {
            self.cell(measured, sync_p99, &mut found);
        }
        for engine in [Engine::Sqlite, Engine::Postgres] {
            self.facts(engine, &mut found);
        }
        found
    }

    fn cell(&self, measured: &Measured, sync_p99: f64, found: &mut Vec<Judged>) {
        let Measured { cell, rounds } = measured;
        let of =
            |what, stand, connections| percent(rounds, &find(self.cells, what, stand, connections)?.rounds);
        let c = cell.connections;
        let figure = |name: &str| format!("{cell}, {name}");
        match cell.what {
            What::View => {
                judge(found, figure("of hello"), of(What::Hello, None, c), Some(targets::VIEW_OF_HELLO));
                judge(found, figure("p99"), p99(Some(measured)), targets::view_p99(c));
            }
            What::Create => {
                judge(
                    found,
                    figure("of the probe"),
                    of(What::Group, cell.stand, c),
                    Some(targets::CREATE_OF_PROBE),
                );
                if c == 128 {
                    let ceiling = of(What::Ceiling, cell.stand, 1);
                    judge(found, figure("of the batch ceiling"), ceiling, Some(targets::CREATE_OF_CEILING));
                }
                judge(found, figure("p99"), p99(Some(measured)), targets::create_p99(c, sync_p99));
            }
            What::List => {}
            What::Sync | What::Hello | What::Group | What::Select | What::Ceiling => return,
        }
        let smaller = self.smallest_of_same_engine(cell).filter(|smaller| smaller.cell != *cell);
        if let Some(smaller) = smaller {
            let size = smaller.cell.stand.map_or(0, |stand| stand.size);
            let name = format!("of its rate at {}", thousands(float(size)));
            judge(found, figure(&name), percent(rounds, &smaller.rounds), Some(targets::FLATNESS));
        }
    }

    /// The same request at the same connections with the fewest contacts.
    fn smallest_of_same_engine(&self, cell: &Cell) -> Option<&Measured> {
        let engine = cell.stand?.engine;
        self.cells
            .iter()
            .filter(|other| other.cell.what == cell.what && other.cell.connections == cell.connections)
            .filter(|other| other.cell.stand.is_some_and(|stand| stand.engine == engine))
            .min_by_key(|other| other.cell.stand.map(|stand| stand.size))
    }

    fn facts(&self, engine: Engine, found: &mut Vec<Judged>) {
        const MIB: f64 = 1024.0 * 1024.0;
        let of_engine = || self.servers.iter().filter(|server| server.engine == engine);
        let Some(largest) = of_engine().max_by_key(|server| server.contacts) else { return };
        let over_all =
            |pick: fn(&Facts) -> f64| median(&of_engine().map(|s| pick(&s.facts)).collect::<Vec<_>>());
        let figure = |name: &str| format!("{}, {name}", engine.name());
        let at = |name: &str| {
            format!("{}, {} contacts, {name}", engine.name(), thousands(float(largest.contacts)))
        };
        let facts = &largest.facts;
        judge(found, figure("start on nothing"), over_all(|f| f.start_empty_ms), Some(targets::START_EMPTY));
        judge(found, at("start"), Some(facts.start_full_ms), Some(targets::START_FULL));
        judge(
            found,
            figure("idle memory"),
            over_all(|f| float(f.idle_bytes) / MIB),
            Some(targets::MEMORY_IDLE),
        );
        let loaded = float(facts.anonymous_bytes) / MIB;
        judge(found, at("memory after reads"), Some(loaded), Some(targets::MEMORY_LOADED));
        if engine == Engine::Sqlite {
            judge(found, at("disk per contact"), Some(facts.disk_bytes_per_contact), Some(targets::DISK));
        }
    }
}

fn p99(measured: Option<&Measured>) -> Option<f64> {
    Summary::of(measured?.rounds.clone()).map(|summary| summary.p99_ms)
}

fn find(cells: &[Measured], what: What, stand: Option<StandName>, connections: u32) -> Option<&Measured> {
    let wanted = Cell { stand, what, connections };
    cells.iter().find(|measured| measured.cell == wanted)
}

impl What {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sync => "append and fdatasync",
            Self::Hello => "bare handler",
            Self::View => "GET /contacts/{id}",
            Self::List => "GET /contacts?limit=20",
            Self::Create => "POST /contacts",
            Self::Group => "group-commit probe",
            Self::Select => "select by key, bare",
            Self::Ceiling => "batches of 256, bare",
        }
    }
}

impl Measured {
    pub(crate) fn nothing_yet(cell: Cell) -> Self {
        Self { cell, rounds: Vec::new() }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(StandName { engine, size, .. }) = self.stand {
            write!(f, "{}, {} contacts, ", engine.name(), thousands(float(size)))?;
        }
        write!(f, "{}, c={}", self.what.name(), self.connections)
    }
}
