//! A unit on its way: the command, the unit and the place for the answer, with their types erased.
//!
//! The command and the unit stay in the job, so that it can run again (`PostgreSQL` undoes a whole
//! batch when one of its units spoils the transaction). A job is answered only after the fate of its
//! transaction is known, and exactly once: dropped without an answer, its caller is told "unavailable".

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Poll;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use tokio::sync::{mpsc, oneshot};

use crate::Error;

/// A unit (`H` is `Tx`) or a scan (`H` is `Rx`) waiting for its turn.
pub(crate) trait Job<H>: Send {
    /// Nobody waits for the answer any more. Once started, a job goes on all the same.
    fn gone(&self) -> bool;
    /// Runs it and keeps its result; true when that is `Ok`.
    fn run<'a>(&'a mut self, on: &'a mut H) -> LocalBoxFuture<'a, bool>;
    /// Replaces the result: the transaction did not do what the unit believed.
    fn fail(&mut self, error: Error);
    /// Sends the result to the caller.
    fn reply(self: Box<Self>);
}

struct Work<C, O, E, F> {
    cmd: C,
    unit: F,
    result: Option<Result<O, E>>,
    answer: oneshot::Sender<Result<O, E>>,
}

pub(crate) fn job<H, C, O, E, F>(cmd: C, unit: F) -> (Box<dyn Job<H>>, oneshot::Receiver<Result<O, E>>)
where
    C: Send + 'static,
    O: Send + 'static,
    E: From<Error> + Send + 'static,
    F: for<'t, 'c> AsyncFn(&'t mut H, &'c C) -> Result<O, E> + Send + 'static,
{
    let (answer, receiver) = oneshot::channel();
    (Box::new(Work { cmd, unit, result: None, answer }), receiver)
}

impl<H, C, O, E, F> Job<H> for Work<C, O, E, F>
where
    C: Send,
    O: Send,
    E: From<Error> + Send,
    F: for<'t, 'c> AsyncFn(&'t mut H, &'c C) -> Result<O, E> + Send,
{
    fn gone(&self) -> bool {
        self.answer.is_closed()
    }

    fn run<'a>(&'a mut self, on: &'a mut H) -> LocalBoxFuture<'a, bool> {
        async move {
            let result = (self.unit)(on, &self.cmd).await;
            let ok = result.is_ok();
            self.result = Some(result);
            ok
        }
        .boxed_local()
    }

    fn fail(&mut self, error: Error) {
        self.result = Some(Err(error.into()));
    }

    fn reply(self: Box<Self>) {
        if let Some(result) = self.result {
            // A caller that has gone does not want to know.
            let _ = self.answer.send(result);
        }
    }
}

/// The bounded way into a runner's queue.
pub(crate) struct Lane<H>(Mutex<Option<mpsc::Sender<Box<dyn Job<H>>>>>);

/// The runner's end of a [`Lane`].
pub(crate) type Queue<H> = mpsc::Receiver<Box<dyn Job<H>>>;

impl<H> Lane<H> {
    pub(crate) fn new(max: usize) -> (Self, Queue<H>) {
        let (sender, queue) = mpsc::channel(max.max(1));
        (Self(Mutex::new(Some(sender))), queue)
    }

    /// Never waits: a full queue is an answer ("unavailable"), not a place to pile up.
    pub(crate) fn send(&self, job: Box<dyn Job<H>>) -> Result<(), Error> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Err(Error::unavailable("it is closed")),
            Some(sender) => sender.try_send(job).map_err(|e| match e {
                mpsc::error::TrySendError::Full(_) => Error::unavailable("its queue is full"),
                mpsc::error::TrySendError::Closed(_) => Error::unavailable("its thread has ended"),
            }),
        }
    }

    /// No more jobs; the runner ends when it has done those it has.
    pub(crate) fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

thread_local! {
    /// Set while a unit or a read is polled on this thread: calling the store from inside one is as
    /// foreign as any other await (and would wait for itself).
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Polls belong in here.
pub(crate) fn inside<R>(poll: impl FnOnce() -> R) -> R {
    struct Reset;
    impl Drop for Reset {
        fn drop(&mut self) {
            INSIDE.set(false);
        }
    }
    INSIDE.set(true);
    let _reset = Reset;
    poll()
}

/// Refuses a call of the store out of a unit.
pub(crate) fn refuse_inside() -> Result<(), Error> {
    if INSIDE.get() { Err(Error::Foreign) } else { Ok(()) }
}

/// Awaits a unit on `PostgreSQL`. `waiting` is set while one of its own statements is under way, so a
/// unit that is pending without it waits for something else: that fails here as it does on `SQLite`.
pub(crate) async fn guarded<T>(unit: impl Future<Output = T>, waiting: &AtomicBool) -> Result<T, Error> {
    let mut unit = pin!(unit);
    poll_fn(|cx| match inside(|| unit.as_mut().poll(cx)) {
        Poll::Ready(value) => Poll::Ready(Ok(value)),
        Poll::Pending if waiting.load(Ordering::Relaxed) => Poll::Pending,
        Poll::Pending => Poll::Ready(Err(Error::Foreign)),
    })
    .await
}
