//! What the kernel says about a process's memory.

use anyhow::Context as _;
use serde::Serialize;

/// Resident memory in bytes. File pages are shared and given back at will: `anonymous` is what a process costs.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Memory {
    pub(crate) anonymous: u64,
    pub(crate) file: u64,
}

impl Memory {
    pub(crate) fn of(process: u32) -> anyhow::Result<Self> {
        let path = format!("/proc/{process}/status");
        let status = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let bytes = |name: &str| -> anyhow::Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")).map(str::trim);
            let kib = kib.with_context(|| format!("no {name} in {path}"))?;
            Ok(kib.parse::<u64>().with_context(|| format!("{name} in {path}"))? * 1024)
        };
        Ok(Self { anonymous: bytes("RssAnon:")?, file: bytes("RssFile:")? })
    }
}
