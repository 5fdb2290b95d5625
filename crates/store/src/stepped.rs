//! For one test only: running units of two callers against each other on `PostgreSQL`, statement by
//! statement, in every order that the test wants.
//!
//! A stepped unit has a connection and a transaction of its own, as on another node, and stops before
//! each statement and before `COMMIT`. [`Run::step`] lets it go on to the next stop. Where it waits for
//! a lock that the other holds, it does not arrive, and that is reported as [`Step::Blocked`]: the test
//! moves the other one then. Retries (deadlock, serialisation) happen by themselves, as in a lane, and
//! stop at each statement again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::job::job;
use crate::pg_connect::Role;
use crate::pg_run::{Lane, thread};
use crate::{Error, Store, Tx};

/// A statement that has not come back after this waits for a lock.
const BLOCKED_AFTER: Duration = Duration::from_millis(50);

/// Where a unit stops and asks.
pub(crate) struct Gate {
    arrived: mpsc::UnboundedSender<()>,
    go: mpsc::UnboundedReceiver<()>,
}

impl Gate {
    /// Without anybody at the other end the way is free.
    pub(crate) async fn pass(&mut self) {
        if self.arrived.send(()).is_ok() {
            let _ = self.go.recv().await;
        }
    }
}

/// Where a step has led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It stands before a statement or before `COMMIT`.
    Paused,
    /// It has not come to its next stop; most likely it waits for a lock. Step again to look again.
    Blocked,
    /// It has ended; [`Run::finish`] gives the result.
    Done,
}

/// A unit under way.
pub struct Run<O, E> {
    arrived: mpsc::UnboundedReceiver<()>,
    go: Option<mpsc::UnboundedSender<()>>,
    answer: oneshot::Receiver<Result<O, E>>,
    paused: bool,
}

impl Store {
    /// Starts a unit that moves by [`Run::step`] only. It stands before its first statement when the
    /// first step has been taken.
    ///
    /// # Errors
    /// [`Error::Open`] on `SQLite`, which runs one unit at a time; otherwise what connecting says.
    #[doc(hidden)]
    pub fn stepped<C, O, E, F>(&self, cmd: C, unit: F) -> Result<Run<O, E>, Error>
    where
        C: Send + 'static,
        O: Send + 'static,
        E: From<Error> + Send + 'static,
        F: for<'t, 'c> AsyncFn(&'t mut Tx, &'c C) -> Result<O, E> + Send + 'static,
    {
        let (connector, options) =
            self.postgres().ok_or_else(|| Error::Open("units are stepped on PostgreSQL".into()))?;
        let (connector, options) = (Arc::clone(connector), options.clone());
        let (arrived_to, arrived) = mpsc::unbounded_channel();
        let (go, go_to) = mpsc::unbounded_channel();
        let (mut job, answer) = job::<Tx, C, O, E, F>(cmd, unit);
        thread("store-stepped", async move || match connector.connect(Role::Write).await {
            Err(error) => {
                job.fail(error);
                job.reply();
            }
            Ok(mut conn) => {
                conn.gate = Some(Gate { arrived: arrived_to, go: go_to });
                let mut lane = Lane::new(&connector, &options, 1);
                lane.adopt(conn);
                lane.alone(job).await;
            }
        })?;
        Ok(Run { arrived, go: Some(go), answer, paused: false })
    }
}

impl<O, E: From<Error>> Run<O, E> {
    /// Lets it go on to its next stop, and says whether it got there.
    pub async fn step(&mut self) -> Step {
        if self.paused
            && let Some(go) = &self.go
        {
            // It may have ended; then it does not arrive either.
            let _ = go.send(());
        }
        self.paused = false;
        match tokio::time::timeout(BLOCKED_AFTER, self.arrived.recv()).await {
            Ok(Some(())) => {
                self.paused = true;
                Step::Paused
            }
            Ok(None) => Step::Done,
            Err(_) => Step::Blocked,
        }
    }

    /// Lets it run to its end.
    ///
    /// # Errors
    /// The unit's own, as from [`Store::write`].
    pub async fn finish(mut self) -> Result<O, E> {
        self.arrived.close();
        self.go = None;
        self.answer.await.unwrap_or_else(|_| Err(Error::unavailable("its thread gave no answer").into()))
    }
}
