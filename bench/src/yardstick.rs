//! The yardsticks as this program sees them: processes of their own that are told what to measure, or asked for nothing.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout};

use crate::keeper::{Keeper, Wiring};
use crate::load::Target;
use crate::probe::{Ready, Task};
use crate::stats::Sample;

/// A probe that is told what to measure.
pub(crate) struct Yardstick<'k> {
    pub(crate) engine: String,
    keeper: &'k Keeper,
    id: u32,
    tell: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl<'k> Yardstick<'k> {
    /// The disk alone.
    pub(crate) async fn disk(keeper: &'k Keeper) -> anyhow::Result<Self> {
        let folder = text(&keeper.folder("disk")?)?;
        Self::start(keeper, &["disk", "--dir", &folder], None)?.ready().await
    }

    /// A storage engine, bare: an `SQLite` file of its own, or the `PostgreSQL` database of this URL. It fills itself
    /// with so many contacts; `ready` waits for that.
    pub(crate) fn engine(keeper: &'k Keeper, rows: u64, url: Option<&str>) -> anyhow::Result<Self> {
        let rows = rows.to_string();
        if url.is_some() {
            return Self::start(keeper, &["postgres", "--rows", &rows], url);
        }
        let folder = text(&keeper.folder("probe")?)?;
        Self::start(keeper, &["sqlite", "--dir", &folder, "--rows", &rows], None)
    }

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

    pub(crate) async fn ready(mut self) -> anyhow::Result<Self> {
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
pub(crate) async fn hello(keeper: &Keeper) -> anyhow::Result<(Target, ChildStdin)> {
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
