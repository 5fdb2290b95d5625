//! What runs by itself: tasks that look at tables and do what is due. `run` calls `core` and never `wire`.
//!
//! Every task is a loop that wakes up by the clock, does one bounded piece of work and tolerates an error by logging it and
//! trying again at the next turn; the database is the truth, so a task that dies with its process loses nothing.

pub mod changes;
pub mod clerk;
pub mod deliver;
pub mod egress;
pub mod grow;
mod http_carrier;
mod http_transport;
mod pace;
pub mod post;
mod rota;
pub mod simulated;
pub mod smpp;
pub mod submit;
pub mod sweep;

use crate::core::callback::Dialect;
use crate::core::event;
use crate::core::key::Directory;
use crate::core::lease::{Holder, Leases};
use crate::core::secret::Vault;
use crate::core::terms::Book;
use crate::core::wake::Wake;
use deliver::Courier;
use egress::Egress;
use std::sync::Arc;
use store::{Clock, Entropy, Store};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// What the tasks of a process work with.
pub struct Means<T> {
    /// The tables.
    pub store: Store,
    /// What to make forget what others have changed.
    pub keys: Arc<Directory<T>>,
    /// The same.
    pub terms: Arc<Book>,
    /// Opens signing keys.
    pub vault: Vault,
    /// The time.
    pub clock: Clock,
    /// Chance.
    pub entropy: Entropy,
    /// Hints.
    pub wake: Wake,
    /// How callbacks look.
    pub dialect: Dialect,
    /// How events look.
    pub events: event::Dialect,
    /// The only way to customers' URLs.
    pub egress: Egress,
}

/// Which kinds of work a process does.
#[derive(Debug, Clone, Copy)]
pub struct Duties {
    /// Gives messages to carriers.
    pub submit: bool,
    /// Sends callbacks.
    pub deliver: bool,
}

/// The tasks of a process. Dropping it aborts them; [`Tasks::stop`] lets each finish its piece.
pub struct Tasks {
    running: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl Tasks {
    /// Starts everything that a process of these duties does by itself.
    pub fn start<T: Default + Send + Sync + 'static>(means: Means<T>, duties: Duties) -> Self {
        let Means { store, keys, terms, vault, clock, entropy, wake, dialect, events, egress } = means;
        let (stop, stopped) = watch::channel(false);
        let stopped = Stopped(stopped);
        let mut holder = Holder([0; 16]);
        entropy.fill(&mut holder.0);
        let mut running = JoinSet::new();
        running.spawn(changes::watch(store.clone(), keys, Arc::clone(&terms), stopped.clone()));
        running.spawn(sweep::run(store.clone(), wake.clone(), stopped.clone()));
        running.spawn(grow::run(store.clone(), events, wake.clone(), stopped.clone()));
        if duties.submit {
            let post = post::Post::new(store.clone(), clock.clone(), events, holder);
            running.spawn(post::run(post, wake.clone(), stopped.clone()));
            let means =
                clerk::Means { store: store.clone(), clock: clock.clone(), wake: wake.clone(), holder };
            let office =
                http_transport::Office { means: means.clone(), vault: vault.clone(), dialect: events };
            running.spawn(http_transport::run(office, stopped.clone()));
            let office = submit::Office { means, vault: vault.clone() };
            running.spawn(submit::run(office, stopped.clone()));
        }
        if duties.deliver {
            let leases = Leases::new(holder, clock.clone());
            let reads = Semaphore::new(deliver::READS_MAX);
            let courier =
                Courier { store, terms, vault, egress, dialect, events, clock, entropy, leases, reads };
            running.spawn(deliver::run(Arc::new(courier), wake, stopped));
        }
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
#[derive(Clone)]
struct Stopped(watch::Receiver<bool>);

impl Stopped {
    /// Whether it is time to stop.
    fn now(&self) -> bool {
        *self.0.borrow()
    }

    /// Sleeps; answers whether it is time to stop.
    async fn after(&mut self, pause: std::time::Duration) -> bool {
        // An error means that the sender is gone, which is a stop as well.
        tokio::time::timeout(pause, self.0.wait_for(|stop| *stop)).await.is_ok()
    }
}
