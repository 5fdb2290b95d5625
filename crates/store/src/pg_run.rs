//! `PostgreSQL`'s threads: one for the lanes that write, one for scans. (What the first also analyses is in `pg_statistics`.)
//!
//! **A lane** is one connection that runs units one after another and, while more wait, in one
//! transaction: order and meaning are `SQLite`'s, a hot row costs nothing, and two units of a lane
//! cannot deadlock. Imports have a lane of their own, with a transaction each.
//!
//! **When a unit spoils the transaction**, by a statement's error or by failing after it wrote,
//! everything is undone and all units of the batch run again, one by one, each in its own transaction.
//! A unit must therefore be safe to run twice. One that failed before it wrote just gets its error.
//!
//! **Retries**: a serialisation failure, a deadlock, or a connection lost before `COMMIT` was sent is
//! tried again. Once `COMMIT` is under way and the connection is lost, the outcome is unknown, and
//! that is the answer: running the unit again could apply it twice.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{FutureExt, join, join_all, select};
use tokio::sync::{Mutex, mpsc};

use crate::job::{Job, Queue, guarded};
use crate::lite_run::{BATCH_UNITS, ready, refuse, spawn};
use crate::pg::{Conn, Pool};
use crate::pg_connect::{Connector, Role};
use crate::pg_statistics;
use crate::tx::Link;
use crate::{Clock, Error, Options, Rx, Tx};

/// How long a batch takes more units: a few round trips to a server that is not next door.
const BATCH_TIME: Duration = Duration::from_millis(20);
/// How often a unit that cannot be serialised is run before it is given up.
const ATTEMPTS: u32 = 8;
/// Between two attempts to connect, doubled up to the second.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// Scans at a time, each on a connection of its own.
const SCANS: usize = 4;
/// A scan of many statements may exceed its limit by this; a single statement is stopped by the server.
const SCAN_GRACE: Duration = Duration::from_millis(50);

/// Connects once, to say early what is wrong, and starts the threads.
pub(crate) async fn open(
    url: &str,
    options: &Options,
    main: Queue<Tx>,
    bulk: Queue<Tx>,
    scans: Queue<Rx>,
    ended: mpsc::Sender<()>,
) -> Result<Pool, Error> {
    let connector = Arc::new(Connector::new(url, options)?);
    // Not kept: it belongs to the caller's runtime.
    connector.connect(Role::Write).await?;
    let mut lane = Lane::new(&connector, options, BATCH_UNITS);
    let mut imports = Lane::new(&connector, options, 1);
    let (end, writer) = (ended.clone(), Arc::clone(&connector));
    thread("store-lane", async move || {
        let work = pin!(join(lane.serve(main), imports.serve(bulk)));
        select(work, pin!(pg_statistics::keep(&writer))).await;
        drop(end);
    })?;
    let (shared, clock, limit) = (Arc::clone(&connector), options.clock.clone(), options.scan_limit);
    thread("store-scan", async move || {
        let queue = Mutex::new(scans);
        join_all((0..SCANS).map(|_| scans_of(&shared, &clock, limit, &queue))).await;
        drop(ended);
    })?;
    Ok(Pool::new(connector, options.postgres_readers))
}

/// A thread with a runtime of its own. `work` is made on it and need not be `Send` in between.
pub(crate) fn thread(name: &str, work: impl AsyncFnOnce() + Send + 'static) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::Open(format!("no runtime for {name}: {e}")))?;
    spawn(name, move || runtime.block_on(work())).map(drop)
}

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

pub(crate) struct Lane {
    connector: Arc<Connector>,
    clock: Clock,
    options: Options,
    units: usize,
    /// None while there is no connection.
    tx: Option<Tx>,
    /// After a failed attempt: not before this, and how long to wait after the next.
    reconnect: Option<(Instant, Duration)>,
}

impl Lane {
    pub(crate) fn new(connector: &Arc<Connector>, options: &Options, units: usize) -> Self {
        Self {
            connector: Arc::clone(connector),
            clock: options.clock.clone(),
            options: options.clone(),
            units,
            tx: None,
            reconnect: None,
        }
    }

    /// Works until the queue is closed and empty.
    pub(crate) async fn serve(&mut self, mut queue: Queue<Tx>) {
        while let Some(first) = queue.recv().await {
            if first.gone() {
                continue;
            }
            match self.connected().await {
                Ok(()) => self.batch(first, &mut queue).await,
                Err(error) => {
                    // Nobody waits for a server that is away. All are taken before one is told: who hears
                    // of it and tries again is not among them.
                    let mut waiting = vec![first];
                    waiting.extend(std::iter::from_fn(|| ready(&mut queue)));
                    for job in waiting {
                        refuse(job, &error);
                    }
                }
            }
        }
    }

    async fn connected(&mut self) -> Result<(), Error> {
        if self.tx.as_ref().is_some_and(|tx| tx.alive()) {
            return Ok(());
        }
        self.tx = None;
        let pause = match self.reconnect {
            Some((after, _)) if Instant::now() < after => {
                return Err(Error::unavailable("there is no connection to PostgreSQL"));
            }
            Some((_, pause)) => pause,
            None => RECONNECT.0,
        };
        match self.connector.connect(Role::Write).await {
            Ok(conn) => {
                self.adopt(conn);
                Ok(())
            }
            Err(error) => {
                tracing::warn!(%error, "PostgreSQL cannot be reached");
                self.reconnect = Some((Instant::now() + pause, (pause * 2).min(RECONNECT.1)));
                // A server that came back with other settings is away, too.
                Err(if error.is_unavailable() { error } else { Error::unavailable(error.to_string()) })
            }
        }
    }

    pub(crate) fn adopt(&mut self, conn: Conn) {
        self.tx = Some(Tx::new(Link::Pg(conn), self.options.entropy.clone()));
        self.reconnect = None;
    }

    /// Many units, one transaction.
    async fn batch(&mut self, first: Box<dyn Job<Tx>>, queue: &mut Queue<Tx>) {
        let Some(tx) = &mut self.tx else { return };
        let started = Instant::now();
        let mut spoilt = tx.pg_mut().begin(self.connector.begin_write()).await.is_err();
        // With each job, whether its result is `Ok` and stands or falls with the commit.
        let (mut jobs, mut dead) = (Vec::new(), Vec::new());
        let mut next = Some(first);
        while let Some(mut job) = next.take() {
            let ran = run(tx, &mut *job, self.clock.now_us()).await;
            spoilt |= tx.pg_mut().aborted || tx.wrote && ran != Ran::Kept;
            match ran {
                Ran::Kept | Ran::Failed => jobs.push((job, ran == Ran::Kept)),
                Ran::Dead => dead.push(job),
            }
            if !spoilt && jobs.len() + dead.len() < self.units && started.elapsed() < BATCH_TIME {
                next = ready(queue);
                // Two nodes' batches that lock the same rows in different orders wait for each other. Whoever holds
                // locks of other units gives way long before the server would look for a deadlock.
                if next.is_some() && jobs.len() + dead.len() == 1 {
                    spoilt |= tx.pg_mut().wait_little().await.is_err();
                }
            }
        }
        let conn = tx.pg_mut();
        let mut failure = Error::unavailable("the transaction was undone");
        if !spoilt {
            match conn.commit().await {
                Ok(()) => {}
                Err(_) if conn.lost => jobs.iter_mut().for_each(|(job, _)| job.fail(Error::Unknown)),
                Err(error) => (spoilt, failure) = (true, error),
            }
        }
        let single = jobs.len() + dead.len() == 1;
        dead.into_iter().for_each(<dyn Job<Tx>>::reply);
        if !spoilt {
            for (job, _) in jobs {
                job.reply();
            }
            return;
        }
        conn.rollback().await;
        let again = !single || conn.retry || conn.lost;
        for (mut job, kept) in jobs {
            if again {
                self.alone(job).await;
                continue;
            }
            // It had the transaction to itself, so its failure is its own.
            if kept {
                job.fail(failure.clone());
            }
            job.reply();
        }
    }

    /// One unit in its own transaction, again as long as that can help.
    pub(crate) async fn alone(&mut self, mut job: Box<dyn Job<Tx>>) {
        for attempt in 1..=ATTEMPTS {
            if let Err(error) = self.connected().await {
                job.fail(error);
                break;
            }
            let Some(tx) = &mut self.tx else { break };
            let begun = tx.pg_mut().begin(self.connector.begin_write()).await;
            let ran = run(tx, &mut *job, self.clock.now_us()).await;
            let conn = tx.pg_mut();
            if let (Ok(()), Ran::Kept) = (begun, &ran) {
                match conn.commit().await {
                    Ok(()) => break,
                    Err(_) if conn.lost => {
                        job.fail(Error::Unknown);
                        break;
                    }
                    Err(error) => job.fail(error),
                }
            }
            // Takes the answers that are still out, so that every mark is set.
            conn.rollback().await;
            if matches!(ran, Ran::Dead) || !(conn.retry || conn.lost) {
                break;
            }
            if attempt == ATTEMPTS {
                job.fail(Error::unavailable("PostgreSQL could not serialise the unit"));
            }
        }
        job.reply();
    }
}

/// Polls a unit to its end.
async fn run(tx: &mut Tx, job: &mut dyn Job<Tx>, now_us: i64) -> Ran {
    tx.start(now_us);
    let waiting = Arc::clone(&tx.pg_mut().waiting);
    let polled = AssertUnwindSafe(guarded(job.run(tx), &waiting)).catch_unwind().await;
    let (ran, failure) = match polled {
        Ok(Ok(true)) => match tx.sound() {
            Ok(()) => (Ran::Kept, None),
            Err(swallowed) => (Ran::Failed, Some(swallowed)),
        },
        Ok(Ok(false)) => (Ran::Failed, None),
        Ok(Err(foreign)) => (Ran::Dead, Some(foreign)),
        Err(_) => (Ran::Dead, Some(Error::Panicked)),
    };
    if let Some(failure) = failure {
        job.fail(failure);
    }
    ran
}

/// One of the connections that scan.
async fn scans_of(connector: &Connector, clock: &Clock, limit: Duration, queue: &Mutex<Queue<Rx>>) {
    let mut idle: Option<Rx> = None;
    loop {
        let job = queue.lock().await.recv().await;
        let Some(mut job) = job else { return };
        if job.gone() {
            continue;
        }
        let mut rx = match idle.take() {
            Some(rx) if rx.alive() => rx,
            _ => match connector.connect(Role::Scan).await {
                Ok(conn) => Rx::new(Link::Pg(conn)),
                Err(error) => {
                    refuse(job, &error);
                    continue;
                }
            },
        };
        match tokio::time::timeout(limit + SCAN_GRACE, scan(&mut rx, connector, clock, &mut *job)).await {
            Ok(Ok(())) => idle = Some(rx),
            Ok(Err(error)) => job.fail(error),
            Err(_) => job.fail(Error::TooSlow),
        }
        job.reply();
    }
}

/// An error means that the connection is not used again.
async fn scan(rx: &mut Rx, connector: &Connector, clock: &Clock, job: &mut dyn Job<Rx>) -> Result<(), Error> {
    rx.start(clock.now_us());
    rx.pg_mut().begin(connector.begin_scan()).await?;
    let waiting = Arc::clone(&rx.pg_mut().waiting);
    let polled = AssertUnwindSafe(guarded(job.run(rx), &waiting)).catch_unwind().await;
    let ok = polled.map_err(|_| Error::Panicked)??;
    if ok && let Err(swallowed) = rx.sound() {
        job.fail(swallowed);
    }
    // Read only: what `COMMIT` says does not matter, only that the transaction is over.
    rx.pg_mut().rollback().await;
    Ok(())
}
