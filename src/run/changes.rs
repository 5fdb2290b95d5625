//! Learns what other processes have changed: reads the generation every 250 ms and makes the key directory forget.

use super::Stopped;
use crate::core::change::{self, Kind};
use crate::core::key::Directory;
use std::sync::Arc;
use std::time::Duration;
use store::Store;

/// Four looks a second keep the promise that a change is known everywhere within one.
const EVERY: Duration = Duration::from_millis(250);

pub(super) async fn watch<T: Default>(store: Store, keys: Arc<Directory<T>>, mut stopped: Stopped) {
    let mut failing = false;
    loop {
        match store.read(Kind::Access, change::generation).await {
            Ok(generation) => {
                keys.advance(generation);
                failing = false;
            }
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
