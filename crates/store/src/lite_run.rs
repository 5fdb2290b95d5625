//! `SQLite`'s threads: the one that writes, and those that scan. (The one that checkpoints is in `lite_wal`.)
//!
//! **Group commit.** The writer takes units until its queue is empty, 256 are done or 12 ms are gone,
//! commits once, and answers all of them after that. Units run bare: a savepoint around each cost a tenth
//! of the writer's time. One that fails after it has written spoils the batch: all is undone, and this
//! batch and some after it run with a savepoint around each unit, which lets it fail alone.
//! Every batch begins `IMMEDIATE`: a transaction that reads first and writes later fails at once when
//! another process writes in between.
//!
//! **The pause.** While jobs wait, the writer sleeps a moment after each batch. Without that another
//! process on the same file waits until the load ends.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use rusqlite::ErrorCode;

use crate::job::{self, Job, Queue};
use crate::lite::{Conn, failed, snapshot};
use crate::lite_wal::Copier;
use crate::store::Options;
use crate::tx::Link;
use crate::{Clock, Error, Rx, Tx};

/// Units in one commit. More does not make it faster, and each waits for the last.
pub(crate) const BATCH_UNITS: usize = 256;
/// How long a batch takes more units. A commit costs some milliseconds, so shorter batches spend more on commits than
/// whoever waits gains.
const BATCH_TIME: Duration = Duration::from_millis(12);
/// Batches that run with savepoints after one was spoilt: who makes units fail after writing does so again soon.
const CAREFUL_BATCHES: u32 = 64;
/// Another process's turn. Costs 3 % under full load.
const PAUSE: Duration = Duration::from_micros(200);
/// Threads for scans.
const SCAN_THREADS: usize = 2;
/// Virtual machine steps of `SQLite` between two looks at the clock: some tens of microseconds.
const SCAN_STEPS: i32 = 4_000;

/// What became of a unit, its transaction aside.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ran {
    /// It said `Ok`, and so did its statements.
    Kept,
    /// It failed by its own decision, or by a statement's error.
    Failed,
    /// It panicked or awaited something foreign: it is not run again.
    Dead,
}

/// Runs one unit.
fn run(tx: &mut Tx, job: &mut dyn Job<Tx>, now_us: i64) -> Ran {
    tx.start(now_us);
    let polled = catch_unwind(AssertUnwindSafe(|| job::inside(|| job.run(tx).now_or_never())));
    let (ran, failure) = match polled {
        Ok(Some(true)) => match &tx.poison {
            None => (Ran::Kept, None),
            Some(swallowed) => (Ran::Failed, Some(swallowed.clone())),
        },
        // The unit's own error is its answer.
        Ok(Some(false)) => (Ran::Failed, None),
        Ok(None) => (Ran::Dead, Some(Error::Foreign)),
        Err(_) => (Ran::Dead, Some(Error::Panicked)),
    };
    if let Some(failure) = failure {
        job.fail(failure);
    }
    ran
}

/// Runs one unit in its savepoint. An error means that the transaction itself is gone.
fn guarded(tx: &mut Tx, job: &mut dyn Job<Tx>, now_us: i64) -> Result<(), Error> {
    let control = |tx: &Tx, text| tx.lite().control(text).map_err(|e| failed(text, &e));
    control(tx, "SAVEPOINT unit")?;
    let ran = run(tx, job, now_us);
    alive(tx)?;
    if ran != Ran::Kept {
        control(tx, "ROLLBACK TO unit")?;
    }
    control(tx, "RELEASE unit")
}

/// Some errors (a full disk) end the whole transaction under the unit's feet.
fn alive(tx: &Tx) -> Result<(), Error> {
    if tx.lite().db.is_autocommit() {
        let gone = || Error::unavailable("SQLite gave up the transaction");
        Err(tx.poison.clone().unwrap_or_else(gone))
    } else {
        Ok(())
    }
}

fn begin(tx: &Tx) -> Result<(), Error> {
    tx.lite().control("BEGIN IMMEDIATE").map_err(|e| batch_error(&failed("BEGIN IMMEDIATE", &e)))
}

/// Batches that are still run with a savepoint around each unit.
#[derive(Default)]
pub(crate) struct Care(u32);

/// Runs units in one transaction, answers them after its end. `next` is told whether there is room for
/// more of the usual kind.
fn batch(
    tx: &mut Tx,
    clock: &Clock,
    care: &mut Care,
    mut next: impl FnMut(bool) -> Option<Box<dyn Job<Tx>>>,
) {
    // Only a rollback that failed earlier can have left one open.
    tx.lite().reset();
    if let Err(error) = begin(tx) {
        // Another process holds the file; those behind would wait as long for the same answer.
        // All are taken before one is told: who hears of it and tries again is not among them.
        let mut waiting = Vec::new();
        while let Some(job) = next(waiting.len() < BATCH_UNITS) {
            waiting.push(job);
        }
        for job in waiting {
            refuse(job, &error);
        }
        return;
    }
    let started = Instant::now();
    let (mut jobs, mut dead) = (Vec::new(), Vec::new());
    let mut fate = Ok(());
    let mut careful = care.0 > 0;
    care.0 = care.0.saturating_sub(1);
    while fate.is_ok()
        && let Some(mut job) = next(jobs.len() + dead.len() < BATCH_UNITS && started.elapsed() < BATCH_TIME)
    {
        if careful {
            fate = guarded(tx, &mut *job, clock.now_us());
            jobs.push(job);
            continue;
        }
        let ran = run(tx, &mut *job, clock.now_us());
        let spoilt = tx.wrote && ran != Ran::Kept;
        match ran {
            Ran::Kept | Ran::Failed => jobs.push(job),
            Ran::Dead => dead.push(job),
        }
        fate = alive(tx);
        if fate.is_ok() && spoilt {
            // What it wrote cannot be told from what the others wrote: all is undone, and they run again.
            (careful, care.0) = (true, CAREFUL_BATCHES);
            tx.lite().reset();
            fate = begin(tx);
            for job in &mut jobs {
                fate = fate.and_then(|()| guarded(tx, &mut **job, clock.now_us()));
            }
        }
    }
    if fate.is_ok() {
        fate = tx.lite().control("COMMIT").map_err(|e| match e.sqlite_error_code() {
            // The frames may have reached the file though the sync failed.
            Some(ErrorCode::SystemIoFailure) => Error::Unknown,
            _ => batch_error(&failed("COMMIT", &e)),
        });
    }
    tx.lite().reset();
    if let Err(error) = &fate {
        tracing::error!(%error, units = jobs.len(), "A batch was undone");
    }
    dead.into_iter().for_each(<dyn Job<Tx>>::reply);
    for mut job in jobs {
        // What failed units saw was never committed either, so their own errors do not count.
        if let Err(error) = &fate {
            job.fail(batch_error(error));
        }
        job.reply();
    }
}

/// The others of a batch must not be told one unit's error.
fn batch_error(error: &Error) -> Error {
    if error.is_unavailable() { error.clone() } else { Error::unavailable(error.to_string()) }
}

/// Answers a job that is not run.
pub(crate) fn refuse<H>(mut job: Box<dyn Job<H>>, error: &Error) {
    job.fail(error.clone());
    job.reply();
}

/// A batch of one, on the caller's thread ([`Store::inline`](crate::Store::inline)).
pub(crate) fn alone(tx: &mut Tx, clock: &Clock, job: Box<dyn Job<Tx>>) {
    let mut job = Some(job);
    batch(tx, clock, &mut Care::default(), |_| job.take());
}

pub(crate) struct Writer {
    tx: Tx,
    clock: Clock,
    main: Queue<Tx>,
    bulk: Queue<Tx>,
    care: Care,
    copier: Copier,
}

impl Writer {
    pub(crate) fn new(
        path: &Path,
        mut conn: Conn,
        options: &Options,
        main: Queue<Tx>,
        bulk: Queue<Tx>,
    ) -> Result<Self, Error> {
        let copier = Copier::start(path, &mut conn.db)?;
        Ok(Self {
            tx: Tx::new(Link::Lite(conn), options.entropy.clone()),
            clock: options.clock.clone(),
            main,
            bulk,
            care: Care::default(),
            copier,
        })
    }

    /// Works until both queues are closed and empty.
    pub(crate) fn serve(mut self) {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        while let Some((first, first_is_bulk)) = self.wait(&waker) {
            let (mut first, mut bulk_done) = (Some(first), first_is_bulk);
            let Self { tx, clock, main, bulk, care, .. } = &mut self;
            batch(tx, clock, care, |more| {
                if let Some(first) = first.take() {
                    return Some(first);
                }
                let next = if more { ready(main) } else { None };
                if next.is_none() && !bulk_done {
                    // At most one a batch, and at its end: imports never hold up single units twice.
                    bulk_done = true;
                    return ready(bulk);
                }
                next
            });
            self.copier.written(&self.tx.lite().db);
            if !(self.main.is_empty() && self.bulk.is_empty()) {
                thread::sleep(PAUSE);
            }
        }
        self.copier.end(&self.tx.lite().db);
    }

    /// The next job whose caller still waits, and whether it is bulk.
    fn wait(&mut self, waker: &Waker) -> Option<(Box<dyn Job<Tx>>, bool)> {
        let mut cx = Context::from_waker(waker);
        loop {
            let main = self.main.poll_recv(&mut cx);
            let (job, is_bulk) = match (main, &mut self.bulk) {
                (Poll::Ready(Some(job)), _) => (job, false),
                (main, bulk) => match (main, bulk.poll_recv(&mut cx)) {
                    (_, Poll::Ready(Some(job))) => (job, true),
                    (Poll::Ready(None), Poll::Ready(None)) => return None,
                    _ => {
                        thread::park();
                        continue;
                    }
                },
            };
            if !job.gone() {
                return Some((job, is_bulk));
            }
        }
    }
}

/// The next job whose caller still waits, if there is one now.
pub(crate) fn ready<H>(queue: &mut Queue<H>) -> Option<Box<dyn Job<H>>> {
    loop {
        let job = queue.try_recv().ok()?;
        if !job.gone() {
            return Some(job);
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Starts the threads for scans; they end when the queue is closed and empty.
pub(crate) fn scanners(
    path: &Path,
    options: &Options,
    queue: Queue<Rx>,
    ended: &tokio::sync::mpsc::Sender<()>,
) -> Result<(), Error> {
    let queue = Arc::new(Mutex::new(queue));
    for _ in 0..SCAN_THREADS {
        let (queue, ended) = (Arc::clone(&queue), ended.clone());
        let mut rx = Rx::new(Link::Lite(Conn::reader(path)?));
        let (clock, limit) = (options.clock.clone(), options.scan_limit);
        spawn("store-scan", move || {
            loop {
                // One waits for the queue, the other for the lock: the same to a scan.
                let job = queue.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
                let Some(job) = job else { break };
                scan(&mut rx, job, clock.now_us(), limit);
            }
            drop((rx, ended));
        })?;
    }
    Ok(())
}

fn scan(rx: &mut Rx, mut job: Box<dyn Job<Rx>>, now_us: i64, limit: Duration) {
    if job.gone() {
        return;
    }
    rx.start(now_us);
    let deadline = Instant::now() + limit;
    if let Err(e) = rx.lite_mut().db.progress_handler(SCAN_STEPS, Some(move || Instant::now() >= deadline)) {
        return refuse(job, &failed("progress_handler", &e));
    }
    let run = |rx: &mut Rx| job.run(rx).now_or_never().map(|ok| if ok { Ok(()) } else { Err(None) });
    let result = catch_unwind(AssertUnwindSafe(|| snapshot::<(), Option<Error>>(rx, run)));
    match result {
        Ok(Ok(()) | Err(None)) => {}
        Ok(Err(Some(error))) => job.fail(error),
        Err(_) => job.fail(Error::Panicked),
    }
    rx.lite().reset();
    job.reply();
}

/// A named thread, or why the system has none left.
pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    let started = thread::Builder::new().name(name.into()).spawn(run);
    started.map_err(|e| Error::Open(format!("no thread {name}: {e}")))
}

/// A scan on the caller's thread, without a limit: a simulation must not depend on the machine's speed.
pub(crate) fn scan_alone(inline: &crate::lite::Inline, clock: &Clock, mut job: Box<dyn Job<Rx>>) {
    let result = inline.read::<(), Option<Error>>(clock, |rx| {
        job.run(rx).now_or_never().map(|ok| if ok { Ok(()) } else { Err(None) })
    });
    if let Err(Some(error)) = result {
        job.fail(error);
    }
    job.reply();
}
