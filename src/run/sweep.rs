//! Finishes what was too much for one unit, and ends what nobody else ends: time that is over, answers and logs that are
//! old. Each piece is one small unit in the queue of imports.

use super::Stopped;
use crate::core::wake::Wake;
use crate::core::{
    Result, archive, callback, closing, endpoint, event, fragment, group, idempotency, inbound, key, lease,
    media, message, onboarding, part, receipt, schedule, signing_key, smpp_outbox, smpp_part,
};
use std::time::Duration;
use store::Store;

/// Between two looks when there is nothing to do.
const IDLE: Duration = Duration::from_millis(500);
/// Between two pieces, so that others get their turn.
const BUSY: Duration = Duration::from_millis(1);
/// What can wait longest is looked at once in so many looks.
const RARE: u32 = 60;

pub(super) async fn run(store: Store, wake: Wake, mut stopped: Stopped) {
    let mut looks = 0u32;
    loop {
        let more = turn(&store, looks.is_multiple_of(RARE)).await;
        let pause = match more {
            Ok(true) => {
                wake.parts();
                wake.callbacks();
                BUSY
            }
            Ok(false) => {
                looks = looks.wrapping_add(1);
                IDLE
            }
            Err(error) => {
                tracing::warn!(%error, "what is left over could not be worked on; trying again");
                IDLE
            }
        };
        if stopped.after(pause).await {
            return;
        }
    }
}

/// One piece of each kind; whether there may be more.
pub async fn turn(store: &Store, rare: bool) -> Result<bool> {
    let mut more = store.bulk((), group::sweep).await?;
    more |= store.bulk((), message::expand_some).await?;
    more |= store.bulk((), schedule::release_some).await?;
    more |= store.bulk((), part::expire).await?;
    more |= store.bulk((), part::unpark).await?;
    more |= store.bulk((), receipt::catch_up_all).await?;
    more |= store.bulk((), part::abandon).await?;
    more |= store.bulk((), smpp_part::give_up).await?;
    if rare {
        more |= store.bulk((), fragment::take_incomplete).await?;
        more |= store.bulk((), archive::remove_hidden).await?;
        more |= store.bulk((), archive::forget_bodies).await?;
        more |= store.bulk((), callback::forget).await?;
        more |= store.bulk((), closing::finish).await?;
        more |= store.bulk((), endpoint::give_up).await?;
        more |= store.bulk((), signing_key::finish).await?;
        more |= store.bulk((), inbound::forget).await?;
        more |= store.bulk((), event::forget).await?;
        more |= store.bulk((), key::forget).await?;
        more |= store.bulk((), media::forget).await?;
        more |= store.bulk((), onboarding::forget).await?;
        more |= store.bulk((), idempotency::forget).await?;
        more |= store.bulk((), smpp_part::forget).await?;
        more |= store.bulk((), smpp_outbox::give_up).await?;
        let forgotten: Result<()> = store.bulk((), lease::forget).await;
        forgotten?;
    }
    Ok(more)
}
