//! Finishes what was too much for one unit: the memberships of deleted groups and contacts with very many of them.

use super::Stopped;
use crate::core::{Result, group};
use std::time::Duration;
use store::Store;

/// Between two looks when there is nothing to do.
const IDLE: Duration = Duration::from_millis(500);
/// Between two pieces, so that others get their turn.
const BUSY: Duration = Duration::from_millis(1);

pub(super) async fn run(store: Store, mut stopped: Stopped) {
    loop {
        let more: Result<bool> = store.bulk((), group::sweep).await;
        let pause = match more {
            Ok(true) => BUSY,
            Ok(false) => IDLE,
            Err(error) => {
                tracing::warn!(%error, "memberships of deleted groups could not be removed; trying again");
                IDLE
            }
        };
        if stopped.after(pause).await {
            return;
        }
    }
}
