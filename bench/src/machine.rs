//! Where it was measured: what stands at the head of a report, so that nobody compares two machines.

use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct Machine {
    pub(crate) processors: usize,
    pub(crate) kernel: String,
    /// Of the last minute, before and after the run.
    pub(crate) load: [String; 2],
    /// A disk that is memory makes every durable figure worthless.
    pub(crate) disk_is_memory: bool,
}

impl Machine {
    pub(crate) fn look(scratch: &Path) -> anyhow::Result<Self> {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").context("the kernel's version")?;
        Ok(Self {
            processors: std::thread::available_parallelism().context("the number of processors")?.get(),
            kernel: format!("Linux {}", kernel.trim()),
            load: [load()?, String::new()],
            disk_is_memory: is_memory(scratch)?,
        })
    }

    /// Once more, when the measuring is over.
    pub(crate) fn look_again(&mut self) -> anyhow::Result<()> {
        self.load[1] = load()?;
        Ok(())
    }
}

fn load() -> anyhow::Result<String> {
    let load = std::fs::read_to_string("/proc/loadavg").context("the machine's load")?;
    Ok(load.split(' ').next().unwrap_or_default().to_owned())
}

/// Whether the folder lies on a tmpfs, by the longest mount point above it.
fn is_memory(folder: &Path) -> anyhow::Result<bool> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").context("the mounts")?;
    let over = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (point, kind) = (fields.next()?, fields.next()?);
        folder.starts_with(point).then_some((point.len(), kind))
    });
    Ok(over.max_by_key(|(length, _)| *length).is_some_and(|(_, kind)| kind == "tmpfs" || kind == "ramfs"))
}
