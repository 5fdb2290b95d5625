//! What runs by itself: tasks that look at tables and do what is due. `run` calls `core` and never `wire`.
//!
//! Every task is a loop that wakes up by the clock, does one bounded piece of work and tolerates an error by logging it and
//! trying again at the next turn; the database is the truth, so a task that dies with its process loses nothing.

mod changes;
pub mod egress;
mod sweep;

use crate::core::key::Directory;
use std::sync::Arc;
use store::Store;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The tasks of a process. Dropping it aborts them; [`Tasks::stop`] lets each finish its piece.
pub struct Tasks {
    running: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl Tasks {
    /// Starts everything that a process of these roles does by itself.
    pub fn start<T: Default + Send + Sync + 'static>(store: &Store, keys: &Arc<Directory<T>>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut running = JoinSet::new();
        running.spawn(changes::watch(store.clone(), Arc::clone(keys), Stopped(stopped.clone())));
        running.spawn(sweep::run(store.clone(), Stopped(stopped)));
        Tasks { running, stop }
    }

    /// Tells every task to stop and waits for all of them.
    pub async fn stop(mut self) {
        // Nobody listening means that all have ended already.
        let _ = self.stop.send(true);
        while self.running.join_next().await.is_some() {}
    }
}

/// Tells a task when to stop.
struct Stopped(watch::Receiver<bool>);

impl Stopped {
    /// Sleeps; answers whether it is time to stop.
    async fn after(&mut self, pause: std::time::Duration) -> bool {
        // An error means that the sender is gone, which is a stop as well.
        tokio::time::timeout(pause, self.0.wait_for(|stop| *stop)).await.is_ok()
    }
}
