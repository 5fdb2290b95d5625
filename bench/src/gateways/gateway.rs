//! One gateway with its SMSC and the sink that its reports go to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Serialize;

use super::WINDOW;
use super::kannel::{self, Storage};
use super::smsc::Smsc;
use crate::args;
use crate::cpu;
use crate::keeper::Keeper;
use crate::load::Target;
use crate::memory::Memory;
use crate::messages::accounts::Accounts;
use crate::messages::journey::{self, Journey};
use crate::messages::request::Requests;
use crate::messages::send::{self, Sender};
use crate::messages::sink::{Sink, Tally};
use crate::server::Server;
use crate::stats::{Sample, Window};

pub(crate) struct Gateway<'k> {
    pub(crate) name: &'static str,
    keeper: &'k Keeper,
    sender: Sender,
    sink: Sink,
    smsc: Smsc,
    processes: Vec<u32>,
    idle: u64,
    own: Option<(Server<'k>, Accounts)>,
}

/// One measuring of one gateway.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Run {
    #[serde(flatten)]
    pub(crate) journey: Journey,
    /// From acceptance to the submission to the SMSC.
    pub(crate) submitted: Sample,
    /// Anonymous memory of its processes: idle before anything, and now.
    pub(crate) memory: [u64; 2],
    /// Requests to the sink, all told.
    pub(crate) webhooks: u64,
}

impl<'k> Gateway<'k> {
    pub(crate) async fn rookery(options: &args::Gateways, keeper: &'k Keeper) -> anyhow::Result<Self> {
        let smsc = Smsc::start()?;
        let server = Server::new(keeper, &options.rookery, None)?;
        server.start().await?;
        let (address, window) = (smsc.address.to_string(), WINDOW.to_string());
        let carrier =
            ["carrier", "add", "bench", "--smpp", &address, "--system-id", "bench", "--window", &window];
        server.tell(&[&carrier[..], &["--default"]].concat()).await?;
        let accounts = Accounts::make(&server, options.accounts).await?;
        // A carrier is taken up within five seconds.
        tokio::time::sleep(Duration::from_secs(6)).await;
        let sink = Sink::start()?;
        let target = accounts.children.first().context("an account")?.target.clone();
        let requests = Requests::new(&accounts.children, &sink.url);
        let write = Arc::new(move |n, to: &mut String, body: &mut String| requests.write(n, to, body));
        let sender = Sender { target, write, accepts: 201, next: Arc::new(AtomicU64::new(0)) };
        let processes = vec![server.id()?];
        Self {
            name: "Rookery",
            keeper,
            sender,
            sink,
            smsc,
            processes,
            idle: 0,
            own: Some((server, accounts)),
        }
        .at_rest()
    }

    pub(crate) async fn kannel(storage: Storage, keeper: &'k Keeper) -> anyhow::Result<Self> {
        let smsc = Smsc::start()?;
        let sink = Sink::start()?;
        let (address, processes) = kannel::start(keeper, storage, smsc.address).await?;
        let sender = Sender {
            target: Target { address, authorization: None },
            write: kannel::requests(address, &sink.url),
            accepts: 202,
            next: Arc::new(AtomicU64::new(0)),
        };
        Self { name: storage.name(), keeper, sender, sink, smsc, processes, idle: 0, own: None }.at_rest()
    }

    fn at_rest(mut self) -> anyhow::Result<Self> {
        self.idle = self.memory()?;
        Ok(self)
    }

    /// As many messages as so many connections get accepted, to the last report.
    pub(crate) async fn measure(&self, connections: u32, length: Duration) -> anyhow::Result<Run> {
        let before = self.cpu()?;
        let begin = Instant::now();
        let window = Window { begin, end: begin + length };
        let accepted = self.explained(send::closed(&self.sender, connections, window).await)?;
        let expected = self.sender.next.load(Relaxed);
        let both = self.own.is_some();
        let told = |tally: &Tally| if both { tally.sent.min(tally.delivered) } else { tally.delivered };
        self.explained(journey::reported(&self.sink, expected, told).await)?;
        let cpu = self.cpu()?.saturating_sub(before);
        let submitted = self.smsc.submitted_at(accepted.messages.iter().map(|(n, _)| *n));
        let (submitted, _) = journey::stretch(&accepted, &submitted).context("a submission")?;
        let journey = Journey::of(&accepted, &self.sink, cpu)?;
        let webhooks = self.sink.tally().requests;
        Ok(Run { journey, submitted, memory: [self.idle, self.memory()?], webhooks })
    }

    /// Ends it; what no figure makes up for.
    pub(crate) async fn close(self) -> anyhow::Result<Vec<String>> {
        let mut faults = Vec::new();
        let tally = self.sink.tally();
        if tally.strange > 0 {
            faults.push(format!("{}: {} reports on no message of this run", self.name, tally.strange));
        }
        if let Some((server, accounts)) = self.own {
            faults.extend(accounts.audit(&server, self.sender.next.load(Relaxed)).await?.faults);
            if tally.unsigned > 0 {
                faults.push(format!("{} webhooks had no signature", tally.unsigned));
            }
            server.stop().await?;
        } else {
            for process in self.processes.into_iter().rev() {
                self.keeper.stop(process).await?;
            }
        }
        Ok(faults)
    }

    fn memory(&self) -> anyhow::Result<u64> {
        self.processes.iter().map(|process| Ok(Memory::of(*process)?.anonymous)).sum()
    }

    fn cpu(&self) -> anyhow::Result<Duration> {
        self.processes.iter().map(|process| cpu::spent(*process)).sum()
    }

    fn explained<T>(&self, outcome: anyhow::Result<T>) -> anyhow::Result<T> {
        outcome.with_context(|| {
            let logs = self.processes.iter().map(|process| self.keeper.log_end(*process));
            format!("{}\n{}", self.name, logs.collect::<Vec<_>>().join("\n"))
        })
    }
}
