//! `SQLite`'s write-ahead log: who copies it into the database, and when it begins anew.
//!
//! A thread copies while the writer goes on ([`Copier`]), by size rather than by time: a page that many
//! commits touch is copied once. It never catches up with a busy writer, so once the log is long enough
//! and almost all of it is copied, the writer copies the rest between two batches and begins the log
//! anew, in the same blocks of the same file: growing a file costs a commit more than writing into it.
//! (Truncating instead cost 100 ms at a time and a fifth of the throughput.)
//!
//! On a disk or a machine that is too slow for both, the copier falls behind. The writer counts the
//! log's pages itself and, where they are too many, waits for the copier's turn to end and copies all:
//! what it writes never costs more disk than [`OVERFULL_PAGES`], readers aside.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::hooks::Wal;

use crate::Error;
use crate::lite::{Conn, WRITER_BUSY, failed};
use crate::lite_run::spawn;

/// Pages (of 4 KiB) that wait to be copied before a copy begins: 8 MiB. More at once holds up the writer's own sync.
const COPY_PAGES: i64 = 2_048;
/// The log begins anew above this many pages: 48 MiB..
const FULL_PAGES: i64 = 12_288;
/// ..once no more than this is left for the writer to copy.
const LEFT_PAGES: i64 = 512;
/// Above this many pages, 64 MiB, whatever is left: as large as the file may stay.
const OVERFULL_PAGES: i32 = 16_384;
/// A file that a long reader made grow is cut to this when it begins anew.
pub(crate) const FILE_MAX: &str = "PRAGMA journal_size_limit = 67108864";
/// How often the copier looks at the log's length..
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// ..how long it rests after a copy that a reader held up..
const HELD_UP: Duration = Duration::from_millis(100);
/// ..and after which rest of the writer it copies whatever there is.
const QUIET: Duration = Duration::from_secs(1);
/// How long the writer waits for readers of the old log before it puts the new one off..
const RESTART_BUSY: Duration = Duration::from_millis(5);
/// ..and for how long.
const RESTART_AGAIN: Duration = Duration::from_millis(100);

/// The log's pages: all, and those that are copied.
struct Length {
    all: i64,
    copied: i64,
}

impl Length {
    fn left(&self) -> i64 {
        self.all - self.copied
    }
}

fn run(db: &Connection, checkpoint: &'static str) -> rusqlite::Result<(bool, Length)> {
    db.query_row(checkpoint, [], |row| {
        Ok((row.get::<_, i64>(0)? != 0, Length { all: row.get(1)?, copied: row.get(2)? }))
    })
}

/// What the writer and the copier tell each other.
#[derive(Default)]
struct Shared {
    written: AtomicBool,
    full: AtomicBool,
    /// The log's pages after the writer's last commit.
    pages: AtomicI32,
    /// Held while one of them copies: `SQLite` refuses the other at once instead of letting it wait.
    turn: Mutex<()>,
}

/// The copier, as the writer knows it.
pub(crate) struct Copier {
    shared: Arc<Shared>,
    not_before: Instant,
    /// Dropped to end the thread.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Copier {
    /// `writer` is the connection that [`Copier::written`] gets.
    pub(crate) fn start(path: &Path, writer: &mut Connection) -> Result<Self, Error> {
        let mut copier = Self::without_thread(writer)?;
        let (conn, shared) = (Conn::writer(path)?, Arc::clone(&copier.shared));
        let (stop, stopped) = mpsc::channel();
        copier.thread = Some(spawn("store-checkpoint", move || copy(&conn, &shared, &stopped))?);
        copier.stop = Some(stop);
        Ok(copier)
    }

    fn without_thread(writer: &mut Connection) -> Result<Self, Error> {
        let shared = Arc::<Shared>::default();
        let count = Arc::clone(&shared);
        let count = move |_: &mut Wal, pages| {
            count.pages.store(pages, Ordering::Relaxed);
            Ok(())
        };
        writer.wal_hook(Some(count)).map_err(|e| failed("wal_hook", &e))?;
        Ok(Self { shared, not_before: Instant::now(), stop: None, thread: None })
    }

    /// After each batch: says that there is something to copy and begins the log anew when it is time.
    pub(crate) fn written(&mut self, db: &Connection) {
        let Shared { written, full, pages, turn } = &*self.shared;
        written.store(true, Ordering::Relaxed);
        let is_time = full.load(Ordering::Relaxed) || pages.load(Ordering::Relaxed) >= OVERFULL_PAGES;
        if is_time && Instant::now() >= self.not_before {
            let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
            if finish(db, "PRAGMA wal_checkpoint(RESTART)") {
                full.store(false, Ordering::Relaxed);
                pages.store(0, Ordering::Relaxed);
            } else {
                self.not_before = Instant::now() + RESTART_AGAIN;
            }
        }
    }

    /// Ends the thread and empties the log.
    pub(crate) fn end(mut self, db: &Connection) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing to say; a panic in it was printed.
            let _ = thread.join();
        }
        finish(db, "PRAGMA wal_checkpoint(TRUNCATE)");
    }
}

/// A checkpoint by the writer itself; false when readers or another process hold it up.
fn finish(db: &Connection, checkpoint: &'static str) -> bool {
    let done = db.busy_timeout(RESTART_BUSY).and_then(|()| run(db, checkpoint));
    if let Err(error) = db.busy_timeout(WRITER_BUSY) {
        tracing::error!(%error, "SQLite refuses a busy time-out");
    }
    match done {
        Ok((busy, _)) => !busy,
        Err(error) => {
            tracing::warn!(%error, "A checkpoint failed");
            false
        }
    }
}

/// Copies the whole log and cuts it to nothing; false if that was held up for as long as a writer waits.
pub(crate) fn empty(path: &Path) -> Result<bool, Error> {
    let conn = Conn::writer(path)?;
    let (busy, _) = run(&conn.db, "PRAGMA wal_checkpoint(TRUNCATE)").map_err(|e| failed("checkpoint", &e))?;
    Ok(!busy)
}

fn copy(conn: &Conn, shared: &Shared, stopped: &mpsc::Receiver<()>) {
    let mut rest = LOOK_EVERY;
    let mut quiet_since = None;
    while stopped.recv_timeout(rest) == Err(RecvTimeoutError::Timeout) {
        rest = LOOK_EVERY;
        let written = shared.written.swap(false, Ordering::Relaxed);
        if written {
            quiet_since = Some(Instant::now());
        }
        let is_quiet = quiet_since.is_some_and(|since| since.elapsed() >= QUIET);
        // What is full waits for the writer, unless that writes no more.
        let may_copy = written && !shared.full.load(Ordering::Relaxed);
        if !(may_copy || is_quiet) {
            continue;
        }
        match look_and_copy(&conn.db, &shared.turn, is_quiet) {
            Ok(Next::Look) => {}
            Ok(Next::HeldUp) => rest = HELD_UP,
            Ok(Next::Full) => shared.full.store(true, Ordering::Relaxed),
            Err(error) => {
                tracing::warn!(%error, "A checkpoint failed");
                rest = HELD_UP;
            }
        }
        if is_quiet && rest == LOOK_EVERY {
            quiet_since = None;
        }
    }
}

enum Next {
    /// Look again when more is written.
    Look,
    /// A reader keeps pages from being copied.
    HeldUp,
    /// The writer may begin the log anew.
    Full,
}

fn look_and_copy(db: &Connection, turn: &Mutex<()>, is_quiet: bool) -> rusqlite::Result<Next> {
    let (_, mut length) = run(db, "PRAGMA wal_checkpoint(NOOP)")?;
    let wanted = |length: &Length| {
        let (left, is_full) = (length.left(), length.all >= FULL_PAGES);
        left >= COPY_PAGES || is_full && left > LEFT_PAGES || is_quiet && left > 0
    };
    while wanted(&length) {
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        let before = length.left();
        run(db, "PRAGMA wal_checkpoint(PASSIVE)")?;
        length = run(db, "PRAGMA wal_checkpoint(NOOP)")?.1;
        if wanted(&length) && length.left() > before / 2 {
            return Ok(Next::HeldUp);
        }
    }
    Ok(if length.all >= FULL_PAGES { Next::Full } else { Next::Look })
}

#[cfg(test)]
mod tests {
    use super::{Conn, Copier, OVERFULL_PAGES};

    /// The worst copier is one that never has its turn.
    #[test]
    fn a_copier_that_falls_behind_does_not_let_the_log_grow() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("test.db");
        let mut conn = Conn::writer(&path).unwrap();
        conn.db.execute_batch("CREATE TABLE item (body BLOB)").unwrap();
        let mut copier = Copier::without_thread(&mut conn.db).unwrap();
        let page = 4_096 + 24;
        let most = u64::try_from(OVERFULL_PAGES).unwrap() * page + (3 << 20);
        for n in 0..200 {
            conn.db.execute("INSERT INTO item VALUES (zeroblob(1000000))", []).unwrap();
            copier.written(&conn.db);
            let log = path.with_file_name("test.db-wal").metadata().unwrap().len();
            assert!(log < most, "{log} after {n}");
        }
        copier.end(&conn.db);
    }
}
