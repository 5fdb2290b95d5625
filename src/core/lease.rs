//! Leases: which process works on a lane of an outbox. One that stops renewing loses its lane to whoever asks next.

use super::{Result, Timestamp};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use store::{Clock, Store, Tx, sql};

/// A lane: of a carrier, or of an account's callbacks to one origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lane(pub [u8; 16]);

/// A process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder(pub [u8; 16]);

/// A lease that is not renewed ends after this time.
const LASTS_US: i64 = 3_000_000;

/// Whether a lease lasts long enough to begin work with.
fn is_fresh(until: Timestamp, now: Timestamp) -> bool {
    until.0 > now.0.saturating_add(LASTS_US / 2)
}

/// The same for one that is remembered: what lasts longer than a lease was taken before this process's clock was set back.
fn is_known(until: Timestamp, now: Timestamp) -> bool {
    is_fresh(until, now) && until.0 <= now.0.saturating_add(LASTS_US)
}

/// Takes a free lane or renews one's own; false if another process has it.
pub async fn take(tx: &mut Tx, asked: &(Lane, Holder)) -> Result<bool> {
    Ok(take_until(tx, asked).await?.is_some())
}

/// The same; answers until when.
async fn take_until(tx: &mut Tx, (lane, holder): &(Lane, Holder)) -> Result<Option<Timestamp>> {
    let now: Timestamp = tx.now();
    // Nobody else can take it before its time, so one that is fresh enough need not be written again. It is locked all the
    // same: two units of one lane come one after the other.
    let held: Option<Timestamp> = tx
        .maybe(
            sql!("SELECT until FROM lease WHERE lane = $1 AND holder = $2 FOR UPDATE"),
            &[&lane.0, &holder.0],
        )
        .await?;
    if held.is_some_and(|until| is_fresh(until, now)) {
        return Ok(held);
    }
    let until = Timestamp(now.0.saturating_add(LASTS_US));
    let taken = tx
        .exec(
            sql!(
                "INSERT INTO lease (lane, holder, until) VALUES ($1, $2, $3)
                 ON CONFLICT (lane) DO UPDATE SET holder = $2, until = $3
                 WHERE lease.holder = $2 OR lease.until < $4"
            ),
            &[&lane.0, &holder.0, &until, &now],
        )
        .await?;
    Ok((taken == 1).then_some(until))
}

/// Lanes that are remembered before those whose time is over are forgotten.
const REMEMBERED: usize = 1_024;

/// The lanes that a process knows to have. Nobody else takes one before its time, as far as clocks agree to half of it, so
/// there is nothing to ask the tables about one that is fresh: work on a lane costs a unit about twice in three seconds,
/// however often it is looked at.
#[derive(Debug)]
pub struct Leases {
    holder: Holder,
    clock: Clock,
    until: Mutex<HashMap<Lane, Timestamp>>,
}

impl Leases {
    /// Those of a process, which has none yet.
    pub fn new(holder: Holder, clock: Clock) -> Self {
        Leases { holder, clock, until: Mutex::default() }
    }

    /// [`take`], unless the lane is known to be one's own for long enough.
    pub async fn take(&self, store: &Store, lane: Lane) -> Result<bool> {
        let now = Timestamp(self.clock.now_us());
        let known = self.known(|until| until.get(&lane).copied());
        if known.is_some_and(|until| is_known(until, now)) {
            return Ok(true);
        }
        let taken = store.write((lane, self.holder), take_until).await?;
        self.known(|known| {
            if known.len() >= REMEMBERED {
                known.retain(|_, until| is_known(*until, now));
            }
            match taken {
                Some(until) => known.insert(lane, until),
                None => known.remove(&lane),
            };
        });
        Ok(taken.is_some())
    }

    /// Gives a lane back.
    pub async fn give_back(&self, store: &Store, lane: Lane) -> Result<()> {
        self.known(|known| known.remove(&lane));
        store.write((lane, self.holder), give_back).await
    }

    fn known<T>(&self, ask: impl FnOnce(&mut HashMap<Lane, Timestamp>) -> T) -> T {
        ask(&mut self.until.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Renews one's own lease, over or not; false if anybody else has had the lane since: what was under way is decided about.
pub async fn keep(tx: &mut Tx, (lane, holder): &(Lane, Holder)) -> Result<bool> {
    let now: Timestamp = tx.now();
    let kept = tx
        .exec(
            sql!("UPDATE lease SET until = $3 WHERE lane = $1 AND holder = $2"),
            &[&lane.0, &holder.0, &now.0.saturating_add(LASTS_US)],
        )
        .await?;
    Ok(kept == 1)
}

/// Gives a lane back.
pub async fn give_back(tx: &mut Tx, (lane, holder): &(Lane, Holder)) -> Result<()> {
    tx.put(sql!("DELETE FROM lease WHERE lane = $1 AND holder = $2"), &[&lane.0, &holder.0]).await?;
    Ok(())
}

/// Forgets a lane that is no more.
pub(super) async fn forget_lane(tx: &mut Tx, lane: Lane) -> Result<()> {
    tx.put(sql!("DELETE FROM lease WHERE lane = $1"), &[&lane.0]).await?;
    Ok(())
}

/// A lease that ended is forgotten after this time.
const KEPT_US: i64 = 3_600 * 1_000_000;

/// Forgets leases that ended long ago.
pub async fn forget(tx: &mut Tx, (): &()) -> Result<()> {
    let now: Timestamp = tx.now();
    tx.put(sql!("DELETE FROM lease WHERE until < $1"), &[&now.0.saturating_sub(KEPT_US)]).await?;
    Ok(())
}
