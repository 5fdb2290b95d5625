//! Reads everything that this process logs, at the finest level, and remembers the lines that hold what no log may.
//!
//! It is the process's one subscriber, since the store logs from threads of its own; so it sees all tests' lines, those of
//! libraries included (the driver of `PostgreSQL` prints parameters, which the store must have made harmless).

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

#[derive(Default)]
struct Watched {
    secrets: Vec<String>,
    leaks: Vec<String>,
    failures: Vec<String>,
    lines: usize,
}

static WATCHED: Mutex<Option<Watched>> = Mutex::new(None);

fn watched() -> MutexGuard<'static, Option<Watched>> {
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins to watch for these texts as well.
pub fn start(secrets: impl IntoIterator<Item = String>) {
    static STARTED: OnceLock<()> = OnceLock::new();
    STARTED.get_or_init(|| {
        let lines = fmt::layer().with_ansi(false).with_writer(Lines).with_filter(LevelFilter::TRACE);
        tracing_subscriber::registry().with(lines).try_init().expect("nothing else reads this process's log");
    });
    watched().get_or_insert_default().secrets.extend(secrets);
}

/// The lines so far that hold one of the texts.
pub fn leaks() -> Vec<String> {
    watched().get_or_insert_default().leaks.clone()
}

/// The error lines so far that hold a text.
pub fn failures_with(text: &str) -> Vec<String> {
    let failures = watched().get_or_insert_default().failures.clone();
    failures.into_iter().filter(|line| line.contains(text)).collect()
}

/// How many lines there were.
pub fn lines() -> usize {
    watched().get_or_insert_default().lines
}

struct Lines;

impl MakeWriter<'_> for Lines {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line
    }
}

/// The formatter writes each event in one piece.
struct Line;

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(bytes);
        let mut watched = watched();
        let Watched { secrets, leaks, failures, lines } = watched.get_or_insert_default();
        *lines += 1;
        if secrets.iter().any(|secret| line.contains(secret.as_str())) {
            leaks.push(line.clone().into_owned());
        }
        if line.contains("ERROR") {
            failures.push(line.into_owned());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
