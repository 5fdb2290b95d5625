//! Whatever is started is ended: every child process and temporary folder of a run is kept here.
//!
//! `close` ends the processes by their own ids, last started first, and removes the folders. It is called on
//! success, failure, Ctrl-C and time-out alike; should the program panic, dropping the children still kills them.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

pub(crate) struct Keeper {
    scratch: PathBuf,
    children: RefCell<Vec<Kept>>,
    folders: RefCell<Vec<TempDir>>,
}

struct Kept {
    name: String,
    id: u32,
    child: Child,
    stop: Signal,
    log: Option<PathBuf>,
}

/// A started child: its process id and, if it is one that is spoken to, its pipes.
pub(crate) struct Started {
    pub(crate) id: u32,
    pub(crate) pipes: Option<(ChildStdin, ChildStdout)>,
}

/// How a child is connected and asked to end.
pub(crate) enum Wiring {
    /// It reads commands from a pipe, answers on one, and ends when the pipe does.
    Pipes,
    /// It has no input, its output goes to this file, and it ends on this signal.
    Log(PathBuf, Signal),
}

impl Keeper {
    pub(crate) fn new(scratch: Option<&Path>) -> anyhow::Result<Self> {
        let scratch = scratch.map_or_else(usual_scratch, Path::to_path_buf);
        let scratch = scratch.canonicalize().with_context(|| format!("the folder {}", scratch.display()))?;
        Ok(Self { scratch, children: RefCell::default(), folders: RefCell::default() })
    }

    pub(crate) fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// A new empty folder that lives as long as the run.
    pub(crate) fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = tempfile::Builder::new()
            .prefix(&format!("rookery-bench-{name}-"))
            .tempdir_in(&self.scratch)
            .with_context(|| format!("a temporary folder in {}", self.scratch.display()))?;
        let path = folder.path().to_path_buf();
        self.folders.borrow_mut().push(folder);
        Ok(path)
    }

    pub(crate) fn start(
        &self,
        name: &str,
        mut command: std::process::Command,
        wiring: Wiring,
    ) -> anyhow::Result<Started> {
        use std::os::unix::process::CommandExt as _;
        // A group of its own: Ctrl-C reaches this program alone, which then ends the children in order.
        command.process_group(0);
        let mut stop = Signal::TERM;
        let mut log = None;
        match wiring {
            Wiring::Pipes => {
                command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
            }
            Wiring::Log(path, signal) => {
                let file = std::fs::File::options()
                    .append(true)
                    .create(true)
                    .open(&path)
                    .with_context(|| format!("the log {}", path.display()))?;
                let twin = file.try_clone().context("a second handle of the log")?;
                command.stdin(Stdio::null()).stdout(twin).stderr(file);
                stop = signal;
                log = Some(path);
            }
        }
        let program = command.get_program().to_string_lossy().into_owned();
        let mut command = Command::from(command);
        let mut child = command.kill_on_drop(true).spawn().with_context(|| format!("starting {program}"))?;
        let id = child.id().with_context(|| format!("{name} ended at once"))?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        self.children.borrow_mut().push(Kept { name: name.to_owned(), id, child, stop, log });
        Ok(Started { id, pipes })
    }

    /// Fails, with the end of its log, when the child is no longer there.
    pub(crate) fn must_live(&self, id: u32) -> anyhow::Result<()> {
        let mut children = self.children.borrow_mut();
        let kept = children.iter_mut().find(|k| k.id == id).context("a process of this run")?;
        match kept.child.try_wait().context("looking after a process")? {
            None => Ok(()),
            Some(status) => bail!("{} ended by itself: {status}\n{}", kept.name, kept.log_end()),
        }
    }

    /// The end of the child's log, to be read beside an error.
    pub(crate) fn log_end(&self, id: u32) -> String {
        self.children.borrow().iter().find(|k| k.id == id).map(Kept::log_end).unwrap_or_default()
    }

    /// Asks a child to end and waits for it; one that does not end in time is killed, and that is an error.
    pub(crate) async fn stop(&self, id: u32) -> anyhow::Result<ExitStatus> {
        let kept = {
            let mut children = self.children.borrow_mut();
            let at = children.iter().position(|k| k.id == id).context("a process of this run")?;
            children.remove(at)
        };
        kept.end().await
    }

    /// Ends everything and removes the folders; troubles are told, and do not keep the rest from being ended.
    pub(crate) async fn close(&self) {
        let children = self.children.take();
        for kept in children.into_iter().rev() {
            if let Err(error) = kept.end().await {
                eprintln!("rookery-bench: {error:#}");
            }
        }
        for folder in self.folders.take().into_iter().rev() {
            let path = folder.path().to_path_buf();
            if let Err(error) = folder.close() {
                eprintln!("rookery-bench: {} could not be removed: {error}", path.display());
            }
        }
    }
}

/// Where temporary files lie on a disk; `/tmp` may be memory.
fn usual_scratch() -> PathBuf {
    let on_disk = PathBuf::from("/var/tmp");
    if on_disk.is_dir() { on_disk } else { std::env::temp_dir() }
}

impl Kept {
    async fn end(mut self) -> anyhow::Result<ExitStatus> {
        if let Some(status) = self.child.try_wait().context("looking after a process")? {
            return Ok(status);
        }
        let pid = i32::try_from(self.id).ok().and_then(Pid::from_raw).context("a process id")?;
        // Not waited for yet, so the id cannot have become another process's.
        kill_process(pid, self.stop).with_context(|| format!("ending {}", self.name))?;
        if let Ok(status) = tokio::time::timeout(Duration::from_secs(20), self.child.wait()).await {
            return status.with_context(|| format!("waiting for {} to end", self.name));
        }
        self.child.kill().await.with_context(|| format!("killing {}", self.name))?;
        Err(anyhow!("{} did not end within 20 seconds and was killed\n{}", self.name, self.log_end()))
    }

    fn log_end(&self) -> String {
        let Some(text) = self.log.as_ref().and_then(|path| std::fs::read(path).ok()) else {
            return String::new();
        };
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        let end = &lines[lines.len().saturating_sub(15)..];
        format!("the end of its log:\n  {}", end.join("\n  "))
    }
}
