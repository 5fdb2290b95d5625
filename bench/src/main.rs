//! `rookery-bench`: what a real server does per second, beside what the machine could do in the same minutes.
//!
//! `contacts`, `messages` and `gateways` are the commands for people. `hello` and `probe` are the bare yardsticks; they run as processes of
//! their own so that they share nothing with the load generator but the cores, and are hidden because only
//! these start them.

mod args;
mod contacts;
mod cpu;
mod gateways;
mod hello;
mod http;
mod keeper;
mod load;
mod machine;
mod memory;
mod messages;
mod people;
mod postgres;
mod probe;
mod progress;
mod report;
mod rig;
mod server;
mod session;
mod stats;
mod table;
mod targets;
mod yardstick;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;

// The server under test allocates with mimalloc too: the bare handler beside it must not pay more for memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let outcome = match args::Cli::parse().command {
        args::Command::Contacts(options) => {
            one_thread().and_then(|thread| thread.block_on(contacts::run(options)))
        }
        args::Command::Messages(options) => {
            one_thread().and_then(|thread| thread.block_on(messages::run(options)))
        }
        args::Command::Gateways(options) => {
            one_thread().and_then(|thread| thread.block_on(gateways::run(options)))
        }
        args::Command::Hello => hello::run(),
        args::Command::Probe(which) => probe::run(&which),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rookery-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The load generator gets one thread; whatever it measures gets the rest of the machine.
fn one_thread() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("a runtime")
}
