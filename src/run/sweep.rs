//! Finishes what was too much for one unit, and ends what nobody else ends: time that is over, answers and logs that are
//! old. Each piece is one small unit in the queue of imports.

use super::Stopped;
use crate::core::wake::Wake;
use crate::core::{
    Error, Result, alert, archive, callback, closing, endpoint, event, expansion, fragment, group,
    idempotency, inbound, key, lease, ledger, media, onboarding, part, receipt, report, rollup, schedule,
    signing_key, smpp_outbox, smpp_part, statement,
};
use std::time::Duration;
use store::Store;

/// Between two looks when there is nothing to do.
const IDLE: Duration = Duration::from_millis(500);
/// Between two pieces, so that others get their turn.
const BUSY: Duration = Duration::from_millis(1);
/// Between two looks at the books.
const BOOKS_IDLE: Duration = Duration::from_secs(30);
/// What can wait longest is looked at once in so many looks.
const RARE: u32 = 60;

pub(super) async fn run(store: Store, wake: Wake, stopped: Stopped) {
    tokio::join!(pieces(&store, &wake, stopped.clone()), books(&store, stopped));
}

/// Carries the books forward, beside the pieces: a busy account's day is many reads, and nothing waits for it.
async fn books(store: &Store, mut stopped: Stopped) {
    loop {
        let pause = match statement::carry_some(store).await {
            Ok(true) => BUSY,
            Ok(false) => BOOKS_IDLE,
            Err(error) => {
                tracing::warn!(%error, "some books could not be carried forward; trying again");
                BOOKS_IDLE
            }
        };
        if stopped.after(pause).await {
            return;
        }
    }
}

async fn pieces(store: &Store, wake: &Wake, mut stopped: Stopped) {
    let mut looks = 0u32;
    loop {
        let more = some(store, looks.is_multiple_of(RARE)).await.result();
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

/// One piece of each kind, the books among the rare ones; whether there may be more.
pub async fn turn(store: &Store, rare: bool) -> Result<bool> {
    let mut done = some(store, rare).await;
    if rare {
        done.note(statement::carry_some(store).await);
    }
    done.result()
}

/// One piece of each kind. One that fails does not keep the others from their turn.
async fn some(store: &Store, rare: bool) -> Done {
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
        done.note(store.bulk((), ledger::wind_up).await);
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
    done
}

/// What came of some pieces.
#[derive(Default)]
struct Done {
    more: bool,
    failed: Option<Error>,
}

impl Done {
    fn result(self) -> Result<bool> {
        self.failed.map_or(Ok(self.more), Err)
    }

    fn note(&mut self, piece: Result<bool>) {
        match piece {
            Ok(more) => self.more |= more,
            Err(error) => {
                self.failed.get_or_insert(error);
            }
        }
    }
}
