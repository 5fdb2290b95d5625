//! Has channels and templates go on by themselves: what was shared becomes channels, channels take their steps, the
//! simulated network decides on templates.

use super::Stopped;
use crate::core::event::Dialect;
use crate::core::sharing::{self, Found, Open};
use crate::core::transport::SIMULATED;
use crate::core::wake::Wake;
use crate::core::{Result, account, channel, template};
use std::time::Duration;
use store::Store;

/// Between two looks when there is nothing to do.
const IDLE: Duration = Duration::from_millis(250);
/// Between two pieces, so that others get their turn.
const BUSY: Duration = Duration::from_millis(1);

pub(super) async fn run(store: Store, dialect: Dialect, wake: Wake, mut stopped: Stopped) {
    loop {
        let pause = match turn(&store, dialect).await {
            Ok(true) => {
                wake.callbacks();
                BUSY
            }
            Ok(false) => IDLE,
            Err(error) => {
                tracing::warn!(%error, "channels could not go on; trying again");
                IDLE
            }
        };
        if stopped.after(pause).await {
            return;
        }
    }
}

/// One piece of each kind; whether there may be more. A request that cannot be looked at holds nothing else up.
pub async fn turn(store: &Store, dialect: Dialect) -> Result<bool> {
    let mut did = false;
    for open in store.read(SIMULATED, sharing::due).await? {
        if let Err(error) = complete(store, dialect, open.clone()).await {
            tracing::warn!(%error, "numbers that are shared could not be looked at; trying again later");
            let put_off: Result<()> = store.write(open, sharing::put_off).await;
            put_off?;
        }
        did = true;
    }
    did |= store.write(dialect, channel::advance).await?;
    did |= store.write(dialect, template::decide).await?;
    Ok(did)
}

async fn complete(store: &Store, dialect: Dialect, open: Open) -> Result<()> {
    let name = store.read(open.scope.account, account::find).await?.name;
    let numbers = vec![sharing::simulated(&open, &name)];
    let found = Found { open, numbers, permitted: true, dialect };
    store.write(found, sharing::complete).await.map(drop)
}
