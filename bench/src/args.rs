//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;

/// Measures a Rookery server beside bare yardsticks, in one run.
#[derive(Parser)]
#[command(name = "rookery-bench", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Contacts: create, view and list, on each engine and at each size, as medians of interleaved rounds.
    Contacts(Contacts),
    /// Messages: accepted, carried by the simulated carrier and reported to a webhook, on each engine.
    Messages(Messages),
    /// Gateways side by side: Rookery and Kannel, each from HTTP over SMPP to the callback about the receipt.
    Gateways(Gateways),
    /// Serves a fixed JSON answer until standard input ends (started by the other commands).
    #[command(hide = true)]
    Hello,
    /// Measures one storage engine bare, by commands on standard input (started by the other commands).
    #[command(hide = true)]
    Probe(Probe),
}

/// What stands around every measuring.
#[derive(Args)]
pub(crate) struct Session {
    /// Where the temporary databases go: the disk that is measured [default: /var/tmp].
    #[arg(long, value_name = "DIR")]
    pub(crate) scratch: Option<PathBuf>,
    /// Gives up, and cleans up, after this long.
    #[arg(long, value_name = "MINUTES", default_value_t = 120)]
    pub(crate) max_minutes: u32,
    /// Prints one JSON document instead of tables.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct Contacts {
    /// The server binary to measure (a release build).
    #[arg(long, value_name = "PATH")]
    pub(crate) rookery: PathBuf,
    /// Which storage engines to measure.
    #[arg(long, value_enum, default_value = "both")]
    pub(crate) engine: Engines,
    /// Contacts in the account before the first request is measured.
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "10000,1000000",
          value_parser = clap::value_parser!(u64).range(100..=20_000_000))]
    pub(crate) size: Vec<u64>,
    /// Keep-alive connections, one request in flight on each.
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "32,128",
          value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) connections: Vec<u32>,
    /// How often every cell is measured; the printed figure is the median.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// How long a cell is measured each round (after a warm-up of a tenth).
    #[arg(long, value_name = "S", default_value_t = 3.0, value_parser = seconds)]
    pub(crate) seconds: f64,
    #[command(flatten)]
    pub(crate) session: Session,
    /// Ends with status 1 when a figure is below its floor.
    #[arg(long)]
    pub(crate) gate: bool,
}

#[derive(Args)]
pub(crate) struct Messages {
    /// The server binary to measure (a release build).
    #[arg(long, value_name = "PATH")]
    pub(crate) rookery: PathBuf,
    /// Which storage engines to measure.
    #[arg(long, value_enum, default_value = "both")]
    pub(crate) engine: Engines,
    /// Child accounts that send, in turns.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) accounts: u32,
    /// Keep-alive connections of the accept cells, one request in flight on each.
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "32,128",
          value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) connections: Vec<u32>,
    /// How often every accept cell is measured; the printed figure is the median.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// How long an accept cell is measured each round (after a warm-up of a tenth).
    #[arg(long, value_name = "S", default_value_t = 2.0, value_parser = seconds)]
    pub(crate) accept_seconds: f64,
    /// How long messages are sent end to end, and how long in the open loop.
    #[arg(long, value_name = "S", default_value_t = 10.0, value_parser = seconds)]
    pub(crate) seconds: f64,
    /// Messages a second in the open loop.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) rate: u32,
    #[command(flatten)]
    pub(crate) session: Session,
    /// Ends with status 1 when a figure is below its floor.
    #[arg(long)]
    pub(crate) gate: bool,
}

#[derive(Args)]
pub(crate) struct Gateways {
    /// The server binary to measure (a release build).
    #[arg(long, value_name = "PATH")]
    pub(crate) rookery: PathBuf,
    /// Child accounts of Rookery that send, in turns; Kannel has no accounts.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) accounts: u32,
    /// Keep-alive connections, one request in flight on each.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) connections: u32,
    /// How often every gateway is measured, in turns; the printed run is the one with the median rate end to end.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// How long messages are sent each time.
    #[arg(long, value_name = "S", default_value_t = 10.0, value_parser = seconds)]
    pub(crate) seconds: f64,
    #[command(flatten)]
    pub(crate) session: Session,
}

#[derive(Args)]
pub(crate) struct Probe {
    #[command(subcommand)]
    pub(crate) what: ProbeKind,
}

#[derive(Subcommand)]
pub(crate) enum ProbeKind {
    /// One `SQLite` file, one writer thread.
    Sqlite {
        #[arg(long)]
        dir: PathBuf,
        #[arg(long)]
        rows: u64,
    },
    /// One `PostgreSQL` connection, named by the environment variable `ROOKERY_BENCH_URL`.
    Postgres {
        #[arg(long, env = "ROOKERY_BENCH_URL", hide_env_values = true)]
        url: String,
        #[arg(long)]
        rows: u64,
    },
    /// The disk alone.
    Disk {
        #[arg(long)]
        dir: PathBuf,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engines {
    Sqlite,
    Postgres,
    Both,
}

/// A storage engine of the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

impl Engines {
    pub(crate) fn each(self) -> &'static [Engine] {
        match self {
            Self::Sqlite => &[Engine::Sqlite],
            Self::Postgres => &[Engine::Postgres],
            Self::Both => &[Engine::Sqlite, Engine::Postgres],
        }
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|e| format!("{e}"))?;
    if (0.1..=600.0).contains(&seconds) { Ok(seconds) } else { Err("must be between 0.1 and 600".to_owned()) }
}
