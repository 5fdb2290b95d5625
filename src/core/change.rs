//! How caches in every process learn of a change: a generation per kind, raised in the unit that changes an account or a
//! key, and read by each process every 250 ms (`run/changes.rs`).

use super::Result;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use store::{Rx, Tx, sql};
use tokio::sync::Mutex;

/// What is cached outside of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Who a key belongs to and whether its account may act.
    Access,
    /// Settings, rates and routes.
    Terms,
    /// Which network a number is of.
    Networks,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Access => "access",
            Kind::Terms => "terms",
            Kind::Networks => "networks",
        }
    }
}

/// Tells every process that something of this kind has changed. Part of the unit that changes it.
pub async fn raise(tx: &mut Tx, kind: Kind) -> Result<()> {
    tx.put(
        sql!(
            "INSERT INTO change (kind, generation) VALUES ($1, 1)
             ON CONFLICT (kind) DO UPDATE SET generation = change.generation + 1"
        ),
        &[&kind.name()],
    )
    .await?;
    Ok(())
}

/// The present generation; 0 before the first change.
pub async fn generation(rx: &mut Rx, kind: &Kind) -> Result<i64> {
    let found =
        rx.maybe::<i64>(sql!("SELECT generation FROM change WHERE kind = $1"), &[&kind.name()]).await?;
    Ok(found.unwrap_or(0))
}

/// One thing that a process remembers for as long as its generation stands.
#[derive(Debug)]
pub(super) struct Remembered<T> {
    found: RwLock<Option<(i64, Arc<T>)>>,
    generation: AtomicI64,
    reading: Mutex<()>,
}

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Remembered { found: RwLock::new(None), generation: AtomicI64::new(0), reading: Mutex::new(()) }
    }
}

impl<T> Remembered<T> {
    fn found(&self, generation: i64) -> Option<Arc<T>> {
        let found = self.found.read().unwrap_or_else(PoisonError::into_inner);
        found.as_ref().filter(|(of, _)| *of == generation).map(|(_, thing)| Arc::clone(thing))
    }

    /// What is remembered, read again if it has changed.
    pub(super) async fn get(&self, read: impl AsyncFnOnce() -> Result<T>) -> Result<Arc<T>> {
        if let Some(thing) = self.found(self.generation.load(Ordering::Acquire)) {
            return Ok(thing);
        }
        // One reads, the others wait for it. The generation is taken before the read: what is read may be older than a
        // change that is learnt of meanwhile.
        let _turn = self.reading.lock().await;
        let generation = self.generation.load(Ordering::Acquire);
        if let Some(thing) = self.found(generation) {
            return Ok(thing);
        }
        let thing = Arc::new(read().await?);
        *self.found.write().unwrap_or_else(PoisonError::into_inner) = Some((generation, Arc::clone(&thing)));
        Ok(thing)
    }

    /// Forgets what was read before this generation.
    pub(super) fn advance(&self, generation: i64) {
        self.generation.fetch_max(generation, Ordering::AcqRel);
    }
}
