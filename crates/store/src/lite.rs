//! `SQLite`: connections, statements, and reads on the spot.
//!
//! A connection is owned by whoever uses it at the moment (`rusqlite`'s is `Send`, not `Sync`), and no
//! statement outlives a call, so nothing here waits. Readers are `query_only` and always return with
//! no transaction open: one left open would keep the WAL from ever being reused.

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, ErrorCode, OpenFlags};

use crate::lite_wal::FILE_MAX;
use crate::tx::Link;
use crate::value::{FromRow, Param, Row, Val};
use crate::{Clock, Error, Rx, Sql, job};

/// How long a writer waits for another process (the command line beside the server).
pub(crate) const WRITER_BUSY: Duration = Duration::from_secs(10);
/// A reader only ever waits while another process recovers the file, and it waits on a worker thread.
const READER_BUSY: Duration = Duration::from_secs(1);
/// Prepared statements kept by a connection: more than a program has. (The driver's default is 16.)
const STATEMENTS_KEPT: usize = 512;
/// 32 MiB of pages for the one writer: what random keys touch in a large index is not read again for each batch.
const WRITER_CACHE: &str = "PRAGMA cache_size = -32768";
/// Readers map the file: any write makes a reader's own cache void, and a mapped page costs no system call. It is the
/// system's memory, not the process's own.
const READER_MAP: &str = "PRAGMA mmap_size = 2147418112";
/// What is removed is overwritten: otherwise it stays in the file until its room is needed.
const SECURE_DELETE: &str = "PRAGMA secure_delete = ON";
/// Idle readers kept. More are opened when more run at once, and closed after.
const READERS_KEPT: usize = 16;
/// `SQLITE_CONSTRAINT_DATATYPE`: a STRICT table refuses, among others, the REAL that an integer
/// overflow became.
const CONSTRAINT_DATATYPE: i32 = 3091;

pub(crate) struct Conn {
    pub(crate) db: Connection,
}

impl Conn {
    /// The connection that writes. Creates the file, readable by its owner only.
    pub(crate) fn writer(path: &Path) -> Result<Self, Error> {
        create(path)?;
        let conn = Self::open(path, WRITER_BUSY)?;
        // Answered by the new mode, so it cannot go through `execute`.
        let mode: String = conn
            .db
            .query_row("PRAGMA journal_mode = WAL", [], |r| r.get(0))
            .map_err(|e| refused("journal_mode", &e))?;
        if !mode.eq_ignore_ascii_case("wal") {
            return Err(Error::Open(format!("SQLite answers journal mode {mode}, WAL is needed")));
        }
        conn.set("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA foreign_keys = OFF")?;
        conn.set(WRITER_CACHE)?;
        // What a savepoint may have to take back stays in memory, not in a file beside.
        conn.set("PRAGMA temp_store = MEMORY")?;
        conn.set(FILE_MAX)?;
        conn.set(SECURE_DELETE)?;
        Ok(conn)
    }

    /// A connection that reads.
    pub(crate) fn reader(path: &Path) -> Result<Self, Error> {
        let conn = Self::open(path, READER_BUSY)?;
        conn.set("PRAGMA query_only = ON; PRAGMA wal_autocheckpoint = 0")?;
        conn.set(READER_MAP)?;
        Ok(conn)
    }

    /// A database in memory, for simulation.
    pub(crate) fn memory() -> Result<Self, Error> {
        let db = Connection::open_in_memory().map_err(|e| refused("memory", &e))?;
        let conn = Self { db }.with_stable_plans()?;
        conn.set("PRAGMA foreign_keys = OFF")?;
        Ok(conn)
    }

    fn open(path: &Path, busy: Duration) -> Result<Self, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags).map_err(|e| refused("file", &e))?;
        // First of all: several processes may switch a new file to WAL at the same time.
        db.busy_timeout(busy).map_err(|e| refused("busy_timeout", &e))?;
        Self { db }.with_stable_plans()
    }

    /// With its statements kept, and planned once: otherwise a statement is planned again whenever a parameter is bound that
    /// a partial index could depend on.
    fn with_stable_plans(self) -> Result<Self, Error> {
        self.db.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        self.db
            .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
            .map_err(|e| refused("stable plans", &e))?;
        Ok(self)
    }

    fn set(&self, pragmas: &str) -> Result<(), Error> {
        self.db.execute_batch(pragmas).map_err(|e| refused("pragma", &e))
    }

    /// `BEGIN`, `COMMIT` and the like.
    pub(crate) fn control(&self, text: &'static str) -> rusqlite::Result<()> {
        self.db.prepare_cached(text)?.raw_execute().map(drop)
    }

    /// Ends a transaction that may be open, whatever happened in it.
    pub(crate) fn reset(&self) {
        if !self.db.is_autocommit()
            && let Err(error) = self.control("ROLLBACK")
        {
            tracing::error!(%error, "SQLite cannot roll back");
        }
    }

    fn prepare(&self, sql: &'static Sql) -> Result<CachedStatement<'_>, Error> {
        self.db.prepare_cached(sql.lite).map_err(|e| failed(sql.at, &e))
    }

    fn bind(
        statement: &mut CachedStatement<'_>,
        sql: &'static Sql,
        params: &[&dyn Param],
    ) -> Result<(), Error> {
        let wanted = statement.parameter_count();
        if wanted != params.len() {
            return Err(Error::Parameters { at: sql.at, wanted, given: params.len() });
        }
        for (i, param) in params.iter().enumerate() {
            let value = ToSqlOutput::Borrowed(match param.val() {
                Val::Null => ValueRef::Null,
                Val::Int(n) => ValueRef::Integer(n),
                Val::Bool(b) => ValueRef::Integer(b.into()),
                Val::Text(t) => ValueRef::Text(t.as_bytes()),
                Val::Bytes(b) => ValueRef::Blob(b),
            });
            statement.raw_bind_parameter(i + 1, value).map_err(|e| failed(sql.at, &e))?;
        }
        Ok(())
    }

    pub(crate) fn rows<T: FromRow>(&self, sql: &'static Sql, params: &[&dyn Param]) -> Result<Vec<T>, Error> {
        Self::step(&mut self.prepare(sql)?, sql, params)
    }

    fn step<T: FromRow>(
        statement: &mut CachedStatement<'_>,
        sql: &'static Sql,
        params: &[&dyn Param],
    ) -> Result<Vec<T>, Error> {
        Self::bind(statement, sql, params)?;
        let columns = statement.column_count();
        let mut rows = statement.raw_query();
        let mut out = Vec::new();
        while let Some(row) = rows.next().map_err(|e| failed(sql.at, &e))? {
            out.push(Row::lite(row, columns, sql.at).decode()?);
        }
        Ok(out)
    }

    /// The rows of each answer.
    pub(crate) fn rows_each<T: FromRow, const N: usize>(
        &self,
        sql: &'static Sql,
        each: &[[&dyn Param; N]],
    ) -> Result<Vec<Vec<T>>, Error> {
        let mut statement = self.prepare(sql)?;
        each.iter().map(|params| Self::step(&mut statement, sql, params)).collect()
    }

    pub(crate) fn exec_each<const N: usize>(
        &self,
        sql: &'static Sql,
        each: &[[&dyn Param; N]],
    ) -> Result<Vec<u64>, Error> {
        let mut statement = self.prepare(sql)?;
        each.iter().map(|params| Self::run(&mut statement, sql, params)).collect()
    }

    pub(crate) fn exec(&self, sql: &'static Sql, params: &[&dyn Param]) -> Result<u64, Error> {
        Self::run(&mut self.prepare(sql)?, sql, params)
    }

    fn run(
        statement: &mut CachedStatement<'_>,
        sql: &'static Sql,
        params: &[&dyn Param],
    ) -> Result<u64, Error> {
        Self::bind(statement, sql, params)?;
        let changed = statement.raw_execute().map_err(|e| failed(sql.at, &e))?;
        Ok(u64::try_from(changed).unwrap_or(u64::MAX))
    }

    pub(crate) fn script(&self, text: &str) -> Result<(), Error> {
        self.db.execute_batch(text).map_err(|e| failed("migration", &e))
    }

    /// The number of parameters and columns of a statement, or why it cannot be prepared.
    pub(crate) fn describe(&self, sql: &'static Sql) -> Result<(usize, usize), String> {
        let statement = self.db.prepare(sql.lite).map_err(|e| failed(sql.at, &e).to_string())?;
        Ok((statement.parameter_count(), statement.column_count()))
    }
}

/// An empty file with the owner's permissions only: it will hold keys and telephone numbers. (The
/// `-wal` and `-shm` files take theirs from it.)
fn create(path: &Path) -> Result<(), Error> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(Error::Open(format!("{}: {e}", path.display()))),
    }
}

fn refused(what: &str, e: &rusqlite::Error) -> Error {
    Error::Open(format!("SQLite refuses: {what}: {e}"))
}

/// A column as a value. `REAL` can only come from an integer overflow: no column has that type.
pub(crate) fn column<'r>(row: &'r rusqlite::Row<'r>, i: usize, at: &'static str) -> Result<Val<'r>, Error> {
    Ok(match row.get_ref(i).map_err(|e| failed(at, &e))? {
        ValueRef::Null => Val::Null,
        ValueRef::Integer(n) => Val::Int(n),
        ValueRef::Real(_) => return Err(Error::Overflow { at }),
        ValueRef::Blob(b) => Val::Bytes(b),
        ValueRef::Text(t) => Val::Text(
            std::str::from_utf8(t)
                .map_err(|_| Error::Decode { at, why: format!("column {}: not UTF-8", i + 1) })?,
        ),
    })
}

/// What a failed statement means.
pub(crate) fn failed(at: &'static str, e: &rusqlite::Error) -> Error {
    let rusqlite::Error::SqliteFailure(cause, message) = e else {
        return Error::Sql { at, code: "driver".into(), message: e.to_string() };
    };
    let message = message.clone().unwrap_or_else(|| cause.to_string());
    match cause.code {
        ErrorCode::OperationInterrupted => Error::TooSlow,
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::DiskFull
        | ErrorCode::SystemIoFailure
        | ErrorCode::CannotOpen
        | ErrorCode::OutOfMemory => Error::unavailable(message),
        _ if message == "integer overflow" => Error::Overflow { at },
        _ if cause.extended_code == CONSTRAINT_DATATYPE && message.contains("REAL value") => {
            Error::Overflow { at }
        }
        _ => Error::Sql { at, code: cause.extended_code.to_string(), message },
    }
}

/// Runs `poll` (one poll of a unit or a read) and turns what came of it into a result: pending is a
/// foreign await, and `Ok` in spite of a failed statement is that statement's error.
pub(crate) fn settle<O, E: From<Error>>(
    rx: &mut Rx,
    poll: impl FnOnce(&mut Rx) -> Option<Result<O, E>>,
) -> Result<O, E> {
    match job::inside(|| poll(rx)) {
        Some(Ok(value)) => rx.sound().map(|()| value).map_err(E::from),
        Some(Err(e)) => Err(e),
        None => Err(Error::Foreign.into()),
    }
}

/// One read in one snapshot.
pub(crate) fn snapshot<O, E: From<Error>>(
    rx: &mut Rx,
    poll: impl FnOnce(&mut Rx) -> Option<Result<O, E>>,
) -> Result<O, E> {
    rx.lite().control("BEGIN").map_err(|e| E::from(failed("BEGIN", &e)))?;
    let result = settle(rx, poll);
    // Some errors have ended it already; what was read stays true either way.
    if rx.lite().control("COMMIT").is_err() {
        rx.lite().reset();
    }
    result
}

/// The connections of point reads: a stack, so that the warmest is taken first. When none is idle another
/// is opened, so there are as many as polls run at once.
pub(crate) struct Readers {
    path: PathBuf,
    /// None once the store is closed.
    idle: Mutex<Option<Vec<Rx>>>,
}

impl Readers {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, idle: Mutex::new(Some(Vec::new())) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn lend(&self) -> Result<Lent<'_>, Error> {
        let idle = match &mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(idle) => idle.pop(),
            None => return Err(Error::unavailable("the store is closed")),
        };
        let rx = match idle {
            Some(rx) => rx,
            None => Rx::new(Link::Lite(Conn::reader(&self.path)?)),
        };
        Ok(Lent { readers: self, rx: Some(rx) })
    }

    /// Closes the idle ones and lends no more, so that the last of all can remove the WAL.
    pub(crate) fn clear(&self) {
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// A reader on loan; comes back without a transaction even when the read panics.
pub(crate) struct Lent<'a> {
    readers: &'a Readers,
    rx: Option<Rx>,
}

impl Lent<'_> {
    /// The reader. There is one until the loan is dropped.
    pub(crate) fn read<O, E: From<Error>>(
        mut self,
        now_us: i64,
        poll: impl FnOnce(&mut Rx) -> Option<Result<O, E>>,
    ) -> Result<O, E> {
        match &mut self.rx {
            Some(rx) => {
                rx.start(now_us);
                snapshot(rx, poll)
            }
            None => Err(Error::unavailable("the reader was given back").into()),
        }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(rx) = self.rx.take() {
            rx.lite().reset();
            let mut idle = self.readers.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(idle) = &mut *idle
                && idle.len() < READERS_KEPT
                && rx.lite().db.is_autocommit()
            {
                idle.push(rx);
            }
        }
    }
}

/// One connection in memory without a thread: everything runs at once on the task that asks.
pub(crate) struct Inline {
    pub(crate) tx: Mutex<crate::Tx>,
}

impl Inline {
    /// Reads see what was committed, in the same connection, and are kept from writing.
    pub(crate) fn read<O, E: From<Error>>(
        &self,
        clock: &Clock,
        poll: impl FnOnce(&mut Rx) -> Option<Result<O, E>>,
    ) -> Result<O, E> {
        let mut tx = self.tx.lock().unwrap_or_else(PoisonError::into_inner);
        tx.start(clock.now_us());
        let only = |tx: &crate::Tx, on: &'static str| {
            tx.lite().control(on).map_err(|e| E::from(failed("PRAGMA", &e)))
        };
        only(&tx, "PRAGMA query_only = ON")?;
        let result = std::panic::catch_unwind(AssertUnwindSafe(|| snapshot(&mut tx, poll)));
        tx.lite().reset();
        only(&tx, "PRAGMA query_only = OFF")?;
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}
