//! The disk's yardstick: what a sync costs in these minutes, which decides every durable figure beside it.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;

use super::{Measure, Task, length, not_mine};
use crate::stats::{Meter, Sample, Window};

pub(super) struct Disk {
    path: PathBuf,
}

impl Disk {
    pub(super) fn new(folder: &Path) -> Self {
        Self { path: folder.join("sync") }
    }
}

impl Measure for Disk {
    fn engine(&mut self) -> anyhow::Result<String> {
        Ok("fdatasync".to_owned())
    }

    fn measure(&mut self, task: Task) -> anyhow::Result<Sample> {
        let Task::Sync { seconds } = task else { return not_mine(task) };
        let window = Window::opening(length(seconds)?);
        let mut meter = Meter::new(window)?;
        let mut file =
            File::create(&self.path).with_context(|| format!("creating {}", self.path.display()))?;
        loop {
            let started = Instant::now();
            file.write_all(&[b'x'; 400]).context("appending")?;
            file.sync_data().context("fdatasync")?;
            if !meter.record(started, Instant::now()) {
                return Ok(meter.sample());
            }
        }
    }
}
