//! Finishes what was too much for one unit, and ends what nobody else ends: time that is over, answers and logs that are
//! old. Each piece is one small unit in the queue of imports.

use super::Stopped;
use crate::core::wake::Wake;
use crate::core::{
    Error, Result, alert, archive, callback, closing, endpoint, event, expansion, fragment, group,
    idempotency, inbound, key, lease, media, onboarding, part, receipt, report, rollup, schedule,
    signing_key, smpp_outbox, smpp_part,
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
            Ok(false) => IDLE,
            Err(error) => {
                tracing::warn!(%error, "what is left over could not be worked on; trying again");
                IDLE
            }
        };
        looks = looks.wrapping_add(1);
        if stopped.after(pause).await {
            return;
        }
    }
}

/// One piece of each kind; whether there may be more. One that fails does not keep the others from their turn.
pub async fn turn(store: &Store, rare: bool) -> Result<bool> {
    let mut done = Done::default();
    done.note(store.bulk((), group::sweep).await);
    done.note(store.bulk((), expansion::expand_some).await);
    done.note(store.bulk((), schedule::release_some).await);
    done.note(store.bulk((), part::expire).await);
    done.note(store.bulk((), part::unpark).await);
    done.note(store.bulk(rare, receipt::catch_up_all).await);
    done.note(store.bulk((), part::abandon).await);
    done.note(store.bulk((), smpp_part::give_up).await);
    done.note(rollup::count_some(store).await);
    if rare {
        done.note(store.bulk((), fragment::take_incomplete).await);
        done.note(store.bulk((), archive::remove_hidden).await);
        done.note(store.bulk((), archive::forget_bodies).await);
        done.note(store.bulk((), callback::forget).await);
        done.note(store.bulk((), closing::finish).await);
        done.note(store.bulk((), endpoint::give_up).await);
        done.note(store.bulk((), receipt::forget_early).await);
        done.note(store.bulk((), signing_key::finish).await);
        done.note(store.bulk((), inbound::forget).await);
        done.note(store.bulk((), alert::forget).await);
        done.note(store.bulk((), event::forget).await);
        done.note(store.bulk((), key::forget).await);
        done.note(store.bulk((), media::forget).await);
        done.note(store.bulk((), onboarding::forget).await);
        done.note(store.bulk((), idempotency::forget).await);
        done.note(store.bulk((), smpp_part::forget).await);
        done.note(store.bulk((), report::forget).await);
        done.note(store.bulk((), smpp_outbox::give_up).await);
        let forgotten: Result<()> = store.bulk((), lease::forget).await;
        done.note(forgotten.map(|()| false));
    }
    done.failed.map_or(Ok(done.more), Err)
}

/// What came of some pieces.
#[derive(Default)]
struct Done {
    more: bool,
    failed: Option<Error>,
}

impl Done {
    fn note(&mut self, piece: Result<bool>) {
        match piece {
            Ok(more) => self.more |= more,
            Err(error) => {
                self.failed.get_or_insert(error);
            }
        }
    }
}
