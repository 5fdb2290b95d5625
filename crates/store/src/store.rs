//! The door: what the rest of the program calls.
//!
//! A unit's future never lives in the caller's: command and unit are boxed and go to a lane, so that
//! cancelling the caller cannot stop a unit half-way, on either engine, and nothing has to be `Send`
//! inside a unit. Point reads are the exception, they run where they are asked.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{mpsc, oneshot};

use crate::job::{self, Lane, job, refuse_inside};
use crate::lite::{self, Readers};
use crate::pg_connect::Connector;
use crate::sql::{STATEMENTS, Sql};
use crate::tx::Link;
use crate::{Clock, Entropy, Error, Rx, Tx, lite_run, lite_wal, pg, pg_run};

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// The time that units see.
    pub clock: Clock,
    /// The chance that units see.
    pub entropy: Entropy,
    /// How long a [`Store::scan`] may take before it ends as [`Error::TooSlow`].
    pub scan_limit: Duration,
    /// `PostgreSQL` behind a transaction pooler: no named statement, no session setting, every read in
    /// a transaction of its own. Slower; types of parameters are stated, not inferred.
    pub unnamed_statements: bool,
    /// Jobs that may wait in each queue before the answer is [`Error::Unavailable`].
    pub queue_max: usize,
    /// Connections to `PostgreSQL` for point reads. A read waits for one.
    pub postgres_readers: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: Clock::system(),
            entropy: Entropy::system(),
            scan_limit: SCAN_LIMIT,
            unnamed_statements: false,
            queue_max: QUEUE_MAX,
            postgres_readers: POSTGRES_READERS,
        }
    }
}

/// Longer than any answer that a person waits for should take, and shorter than it takes for a few
/// scans to hold up everything else.
const SCAN_LIMIT: Duration = Duration::from_millis(250);
/// About a second's work of the slower engine: whoever waits longer should hear so.
const QUEUE_MAX: usize = 4_096;
/// More connections than cores of a usual server do not read faster.
const POSTGRES_READERS: usize = 12;

/// Which engine a store uses. For logs and for the health page; no SQL may depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// One file, one writer.
    Sqlite,
    /// A server.
    Postgres,
}

/// What an engine says about a registered statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// `file:line`.
    pub at: &'static str,
    /// Its number of parameters.
    pub parameters: usize,
    /// Its number of result columns.
    pub columns: usize,
}

/// An open database. Clones share it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    options: Options,
    source: Source,
    /// None for an inline store.
    lanes: Option<Lanes>,
}

struct Lanes {
    write: Lane<Tx>,
    bulk: Lane<Tx>,
    scan: Lane<Rx>,
    /// Each thread holds the other end until it ends.
    ended: Mutex<Option<mpsc::Receiver<()>>>,
}

enum Source {
    Inline(lite::Inline),
    Lite(Readers),
    Pg(pg::Pool),
}

/// Boxes a unit, hands it to a lane (or runs it, inline) and awaits its answer.
macro_rules! submit {
    ($self:ident, $lane:ident, $cmd:ident, $unit:ident, $inline:expr) => {{
        refuse_inside()?;
        let (job, answer) = job($cmd, $unit);
        match (&$self.0.lanes, &$self.0.source) {
            (Some(lanes), _) => lanes.$lane.send(job)?,
            (None, Source::Inline(inline)) => $inline(inline, &$self.0.options.clock, job),
            (None, _) => return Err(Error::unavailable("it has no lanes").into()),
        }
        // Without an answer the job was dropped: its thread died, or never started it.
        answer.await.unwrap_or_else(|_| Err(Error::unavailable("its thread gave no answer").into()))
    }};
}

impl Store {
    /// Opens `sqlite:PATH` (created if it is not there, its folder is not) or `postgres://..`.
    ///
    /// # Errors
    /// [`Error::Open`] when that is not possible, or when the server is set up to lose what it has
    /// acknowledged (`fsync` or `synchronous_commit` off); [`Error::Unavailable`] when it cannot be
    /// reached.
    pub async fn open(url: &str, options: Options) -> Result<Self, Error> {
        let (write, main) = Lane::new(options.queue_max);
        let (bulk, imports) = Lane::new(options.queue_max);
        let (scan, scans) = Lane::new(options.queue_max);
        let (ended, ends) = mpsc::channel(1);
        let source = if let Some(path) = url.strip_prefix("sqlite:") {
            let path = PathBuf::from(path);
            if path.as_os_str().is_empty() || path.as_os_str() == ":memory:" {
                return Err(Error::Open("sqlite: needs the path of a file".into()));
            }
            let conn = lite::Conn::writer(&path)?;
            let writer = lite_run::Writer::new(&path, conn, &options, main, imports)?;
            lite_run::scanners(&path, &options, scans, &ended)?;
            lite_run::spawn("store-writer", move || {
                writer.serve();
                drop(ended);
            })?;
            Source::Lite(Readers::new(path))
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Source::Pg(pg_run::open(url, &options, main, imports, scans, ended).await?)
        } else {
            return Err(Error::Open("the database's URL begins with sqlite: or postgres://".into()));
        };
        let lanes = Lanes { write, bulk, scan, ended: Mutex::new(Some(ends)) };
        Ok(Self(Arc::new(Inner { options, source, lanes: Some(lanes) })))
    }

    /// A database in memory with one connection and no thread, for simulation and doc tests: writes,
    /// reads and scans run on the caller's task, at once, without the scan limit. The same seed, clock
    /// and commands give the same rows.
    #[expect(clippy::unused_async, reason = "opened like the other kinds")]
    pub async fn inline(options: Options) -> Result<Self, Error> {
        let tx = Tx::new(Link::Lite(lite::Conn::memory()?), options.entropy.clone());
        let source = Source::Inline(lite::Inline { tx: Mutex::new(tx) });
        Ok(Self(Arc::new(Inner { options, source, lanes: None })))
    }

    /// Runs a unit and answers after its change is on disk. A caller that goes away before the unit
    /// has started calls it off; once started it commits. A unit may run more than once
    /// (`PostgreSQL`), each time from the start in a transaction of its own.
    ///
    /// # Errors
    /// The unit's own, and [`Error`] for what happened to it.
    pub async fn write<C, O, E, F>(&self, cmd: C, unit: F) -> Result<O, E>
    where
        C: Send + 'static,
        O: Send + 'static,
        E: From<Error> + Send + 'static,
        F: for<'t, 'c> AsyncFn(&'t mut Tx, &'c C) -> Result<O, E> + Send + 'static,
    {
        submit!(self, write, cmd, unit, run_inline)
    }

    /// Like [`Store::write`], for imports: a queue of its own, of which `SQLite` does at most one a
    /// batch and which has a connection of its own on `PostgreSQL`. About 100 rows a unit.
    pub async fn bulk<C, O, E, F>(&self, cmd: C, unit: F) -> Result<O, E>
    where
        C: Send + 'static,
        O: Send + 'static,
        E: From<Error> + Send + 'static,
        F: for<'t, 'c> AsyncFn(&'t mut Tx, &'c C) -> Result<O, E> + Send + 'static,
    {
        submit!(self, bulk, cmd, unit, run_inline)
    }

    /// A point read, run where it is asked: on `SQLite` at once and in one snapshot; on `PostgreSQL` on
    /// a pooled connection, each statement with a snapshot of its own. May run twice when the
    /// connection was lost.
    pub async fn read<C, O, E, F>(&self, cmd: C, f: F) -> Result<O, E>
    where
        E: From<Error>,
        F: for<'t, 'c> AsyncFn(&'t mut Rx, &'c C) -> Result<O, E>,
    {
        refuse_inside()?;
        let clock = &self.0.options.clock;
        match &self.0.source {
            Source::Inline(inline) => inline.read(clock, |rx| f(rx, &cmd).now_or_never()),
            Source::Lite(readers) => {
                let lent = readers.lend()?;
                lent.read(clock.now_us(), |rx| f(rx, &cmd).now_or_never())
            }
            Source::Pg(pool) => pool.read(clock, &cmd, &f).await,
        }
    }

    /// Anything that may look at many rows: on threads of its own, and stopped with
    /// [`Error::TooSlow`] at [`Options::scan_limit`]. In one snapshot on both engines.
    pub async fn scan<C, O, E, F>(&self, cmd: C, f: F) -> Result<O, E>
    where
        C: Send + 'static,
        O: Send + 'static,
        E: From<Error> + Send + 'static,
        F: for<'t, 'c> AsyncFn(&'t mut Rx, &'c C) -> Result<O, E> + Send + 'static,
    {
        submit!(self, scan, cmd, f, lite_run::scan_alone)
    }

    /// Refuses new jobs, does and commits those that wait, ends the threads. Clones are closed too.
    pub async fn close(&self) {
        let Some(lanes) = &self.0.lanes else { return };
        lanes.write.close();
        lanes.bulk.close();
        lanes.scan.close();
        match &self.0.source {
            Source::Inline(_) => {}
            // First, so that the writer's is the last connection and takes the WAL with it.
            Source::Lite(readers) => readers.clear(),
            Source::Pg(pool) => pool.close(),
        }
        let ends = lanes.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut ends) = ends {
            // None, when the last thread has let go of the other end.
            let _ = ends.recv().await;
        }
    }

    /// Copies all of the log into the database and empties it, so that nothing that was removed is left in a file; false if
    /// readers or another process held that up for ten seconds. Where there is no such file there is nothing to do.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the file cannot be opened.
    pub async fn empty_log(&self) -> Result<bool, Error> {
        let Source::Lite(readers) = &self.0.source else { return Ok(true) };
        let path = readers.path().to_owned();
        let (answer, emptied) = oneshot::channel();
        lite_run::spawn("store-empty", move || {
            // Nobody waits for it any more: it is done all the same.
            _ = answer.send(lite_wal::empty(&path));
        })?;
        emptied.await.unwrap_or_else(|_| Err(Error::unavailable("its thread gave no answer")))
    }

    /// The engine behind this store.
    pub fn engine(&self) -> Engine {
        if matches!(self.0.source, Source::Pg(_)) { Engine::Postgres } else { Engine::Sqlite }
    }

    /// Prepares every statement of the program ([`STATEMENTS`]) on this engine, after the migrations.
    ///
    /// # Errors
    /// One line for each that is refused: by the engine; for parameters that are not `$1` to `$n`; for
    /// controlling transactions; on `PostgreSQL` for result types other than `int8`, `int4`, `text`,
    /// `bytea` and `bool`.
    pub async fn check_statements(&self) -> Result<(), Vec<String>> {
        self.describe_statements().await.map(drop)
    }

    /// What [`Store::check_statements`] found, so that a test can compare the engines.
    ///
    /// # Errors
    /// As there.
    pub async fn describe_statements(&self) -> Result<Vec<Description>, Vec<String>> {
        let checked = self.read((), describe).await.map_err(|e: Error| vec![e.to_string()])?;
        let (mut found, mut wrong) = (Vec::new(), Vec::new());
        for one in checked {
            match one {
                Ok(description) => found.push(description),
                Err(why) => wrong.push(why),
            }
        }
        if wrong.is_empty() { Ok(found) } else { Err(wrong) }
    }

    /// Runs a script as a unit, as it stands. For tests, which set traps with it.
    #[doc(hidden)]
    pub async fn raw_batch(&self, text: &str) -> Result<(), Error> {
        self.write(text.to_owned(), async |tx: &mut Tx, text: &String| tx.script(text).await).await
    }

    /// What a stepped unit needs.
    pub(crate) fn postgres(&self) -> Option<(&Arc<Connector>, &Options)> {
        match &self.0.source {
            Source::Pg(pool) => Some((&pool.connector, &self.0.options)),
            Source::Inline(_) | Source::Lite(_) => None,
        }
    }
}

fn run_inline(inline: &lite::Inline, clock: &Clock, job: Box<dyn job::Job<Tx>>) {
    let mut tx = inline.tx.lock().unwrap_or_else(PoisonError::into_inner);
    lite_run::alone(&mut tx, clock, job);
}

/// What would end the unit's transaction under it, or have another meaning on each engine.
const FORBIDDEN: [&str; 8] = ["BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE", "SET", "PRAGMA"];

async fn describe(rx: &mut Rx, (): &()) -> Result<Vec<Result<Description, String>>, Error> {
    let mut all = Vec::new();
    for sql in STATEMENTS.iter().copied() {
        let said = match &mut rx.link {
            Link::Lite(conn) => conn.describe(sql),
            Link::Pg(conn) => conn.describe(sql).await,
        };
        all.push(said.and_then(|(parameters, columns)| describe_one(sql, parameters, columns)));
    }
    Ok(all)
}

fn describe_one(sql: &'static Sql, parameters: usize, columns: usize) -> Result<Description, String> {
    let at = sql.at;
    let (different, highest) = sql.parameters();
    if different != highest {
        return Err(format!("{at}: the parameters are not $1 to ${highest}"));
    }
    if parameters != highest {
        return Err(format!("{at}: the text has {highest} parameters, the engine finds {parameters}"));
    }
    if FORBIDDEN.iter().any(|word| sql.first_word().eq_ignore_ascii_case(word)) {
        return Err(format!("{at}: {} is not for units", sql.first_word()));
    }
    Ok(Description { at, parameters, columns })
}
