//! Learns what other processes have changed: reads the generations every 250 ms and makes what is remembered forget.

use super::Stopped;
use crate::core::change::{self, Kind};
use crate::core::key::{self, Directory};
use crate::core::terms::Book;
use crate::core::{Error, Result};
use std::sync::Arc;
use std::time::Duration;
use store::Store;

/// Four looks a second keep the promise that a change is known everywhere within one.
const EVERY: Duration = Duration::from_millis(250);

pub(super) async fn watch<T: Default>(
    store: Store,
    keys: Arc<Directory<T>>,
    terms: Arc<Book>,
    mut stopped: Stopped,
) {
    let mut failing = false;
    loop {
        match look(&store, &keys, &terms).await {
            Ok(()) => failing = false,
            Err(error) if !failing => {
                tracing::error!(%error, "changes cannot be read; revoked keys may still be accepted until they can");
                failing = true;
            }
            Err(_) => {}
        }
        if stopped.after(EVERY).await {
            return;
        }
    }
}

/// One look.
pub async fn look<T: Default>(store: &Store, keys: &Directory<T>, terms: &Book) -> Result<()> {
    let generation =
        async |kind| -> std::result::Result<i64, Error> { store.read(kind, change::generation).await };
    keys.advance(generation(Kind::Access).await?);
    terms.advance(generation(Kind::Terms).await?);
    terms.advance_networks(generation(Kind::Networks).await?);
    let uses = keys.take_uses();
    if !uses.is_empty() {
        // A use that is lost with an error is told again by the next one.
        let recorded: Result<()> = store.bulk(uses, key::record_uses).await;
        recorded?;
    }
    Ok(())
}
