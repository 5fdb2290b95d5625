//! What the desks of all carriers that are somewhere else do alike: take the lane over and keep it, take parts, record what
//! was said, and note that the carrier is down. How a carrier is spoken to is each desk's own.

use crate::core::carrier::{self, Carrier};
use crate::core::lease::{self, Holder};
use crate::core::part::{self, Answer, BATCH, Claimed, InDoubt, Part, PartId, Shift};
use crate::core::smpp_carrier::Doubt;
use crate::core::wake::Wake;
use crate::core::{Error, Result};
use std::sync::Arc;
use std::time::Duration;
use store::{Clock, Store};

/// Between two looks at the lane when nobody hints.
pub(super) const IDLE: Duration = Duration::from_millis(200);
/// Until the next try for a lane that another process has, or after a failure of the database.
pub(super) const OTHERS: Duration = Duration::from_millis(500);
/// Between two renewals of the lease, which lasts three seconds.
const KEEPS_US: i64 = 1_000_000;
/// What cannot be recorded for so long, though the database can be reached, is left to whoever begins anew.
const LOST_US: i64 = 3_000_000;
/// Out of reach for so long a carrier is down, and others take its numbers.
pub(super) const DOWN_US: i64 = 5_000_000;
/// While a carrier is down, between two looks whether others take what waits.
const REROUTES_US: i64 = 5_000_000;

/// What a desk works with.
#[derive(Clone)]
pub struct Means {
    /// Where the parts stand.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// Hints.
    pub wake: Wake,
    /// This process.
    pub holder: Holder,
}

/// How a desk stands after a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// What was said is recorded.
    Well,
    /// Something could not be recorded and is kept for the next time.
    Failing,
    /// Another process decides about the parts from now on.
    Lost,
}

/// What was said about parts, to be recorded.
#[derive(Default)]
pub(super) struct Said {
    /// What the carrier answered.
    pub(super) answers: Vec<(Part, Answer)>,
    /// What it did not want just now, or what never left.
    pub(super) back: Vec<PartId>,
    /// What it may have or not.
    pub(super) doubtful: Vec<PartId>,
}

impl Said {
    pub(super) fn is_empty(&self) -> bool {
        self.answers.is_empty() && self.back.is_empty() && self.doubtful.is_empty()
    }

    /// Puts what came later behind.
    pub(super) fn append(&mut self, mut later: Said) {
        self.answers.append(&mut later.answers);
        self.back.append(&mut later.back);
        self.doubtful.append(&mut later.doubtful);
    }
}

/// The part of a desk that deals with the tables.
pub(super) struct Clerk {
    pub(super) means: Means,
    pub(super) shift: Shift,
    /// The carrier's name, for the log.
    pub(super) carrier: Arc<str>,
    doubt: Doubt,
    /// Since when nothing can be given to the carrier; none while something can.
    pub(super) away_since: Option<i64>,
    is_down: bool,
    /// Since when nothing could be recorded.
    failing_since: Option<i64>,
    /// When the lease was renewed.
    kept_at: i64,
    reroute: Reroute,
}

/// How far the look is whether others take what waits.
#[derive(Default)]
struct Reroute {
    /// The last part that was looked at.
    after: Option<PartId>,
    /// When the next look begins.
    rests_until: i64,
}

impl Clerk {
    pub(super) fn new(means: Means, carrier: &Carrier, doubt: Doubt) -> Clerk {
        Clerk {
            shift: Shift { carrier: carrier.id, holder: means.holder },
            carrier: carrier.name.as_str().into(),
            doubt,
            away_since: None,
            is_down: carrier.down.is_some(),
            failing_since: None,
            kept_at: i64::MIN,
            reroute: Reroute::default(),
            means,
        }
    }

    pub(super) fn now(&self) -> i64 {
        self.means.clock.now_us()
    }

    /// Takes the lane over and decides about what whoever had it left unanswered.
    pub(super) async fn begin(&mut self) -> Result<()> {
        let (shift, doubt) = (self.shift, self.doubt);
        while self.means.store.write(InDoubt { shift, parts: None, doubt }, part::resolve).await? {}
        // Whoever had the lane before may have said that the carrier is down, or up again.
        let carriers: Vec<Carrier> = self.means.store.read((), carrier::all).await?;
        let known = carriers.iter().find(|carrier| carrier.id == shift.carrier);
        self.is_down = known.is_some_and(|carrier| carrier.down.is_some());
        // One that was down stays so until it is seen to be up; one that was up has some time to show it.
        let now = self.now();
        self.away_since = Some(if self.is_down { now.saturating_sub(DOWN_US) } else { now });
        self.failing_since = None;
        // Even a lease that was taken long before this is renewed at once.
        self.kept_at = i64::MIN;
        Ok(())
    }

    /// Whether the tables say that the carrier is down.
    pub(super) fn is_down(&self) -> bool {
        self.is_down
    }

    /// Gives the lane back.
    pub(super) async fn leave(&self) {
        let lane = (part::lane(self.shift.carrier), self.shift.holder);
        let given: Result<()> = self.means.store.write(lane, lease::give_back).await;
        if let Err(error) = given {
            tracing::debug!(%error, "a lease was not given back; it ends by itself");
        }
    }

    /// Renews the lease when it is time, however much room there is: what is under way is nobody else's meanwhile. Anything
    /// but [`Standing::Well`] ends the cycle.
    pub(super) async fn keep(&mut self) -> Standing {
        let now = self.now();
        if now.saturating_sub(self.kept_at) < KEEPS_US {
            return Standing::Well;
        }
        match self.renew(now).await {
            Ok(true) => Standing::Well,
            Ok(false) => self.lost(),
            Err(error) => self.failed(now, &error),
        }
    }

    /// Renews the lease; false if another process has had the lane since.
    async fn renew(&mut self, now: i64) -> Result<bool> {
        let lane = part::lane(self.shift.carrier);
        let kept = self.means.store.write((lane, self.shift.holder), lease::keep).await?;
        self.kept_at = now;
        Ok(kept)
    }

    /// The next parts, if there is room for any.
    pub(super) async fn take(&self, room: usize) -> Result<Vec<Part>> {
        if room == 0 {
            return Ok(Vec::new());
        }
        loop {
            let Claimed { parts, aside } =
                self.means.store.write((self.shift, room.min(BATCH)), part::claim).await?;
            // What may not be sent does not keep the others waiting until the next cycle.
            if !parts.is_empty() || aside == 0 {
                return Ok(parts);
            }
        }
    }

    /// Records what was said, a batch a unit; what could not be recorded comes back.
    pub(super) async fn record(&self, mut said: Said) -> (Said, Result<()>) {
        let (store, shift, doubt) = (&self.means.store, self.shift, self.doubt);
        let is_empty = said.is_empty();
        let answers = async {
            while !said.answers.is_empty() {
                let some = said.answers[..said.answers.len().min(BATCH)].to_vec();
                let count = some.len();
                let done: Result<()> = store.write((shift, some), part::answered).await;
                done?;
                said.answers.drain(..count);
            }
            Ok(())
        };
        let back = async {
            while !said.back.is_empty() {
                let some = said.back[..said.back.len().min(BATCH)].to_vec();
                let count = some.len();
                let done: Result<()> = store.write((shift, some), part::put_back).await;
                done?;
                said.back.drain(..count);
            }
            Ok(())
        };
        let doubtful = async {
            while !said.doubtful.is_empty() {
                let some = said.doubtful[..said.doubtful.len().min(BATCH)].to_vec();
                let count = some.len();
                store.write(InDoubt { shift, parts: Some(some), doubt }, part::resolve).await?;
                said.doubtful.drain(..count);
            }
            Ok(())
        };
        let (answers, back, doubtful): (Result<()>, Result<()>, Result<()>) =
            tokio::join!(answers, back, doubtful);
        if !is_empty {
            self.means.wake.callbacks();
        }
        (said, answers.and(back).and(doubtful))
    }

    /// Ends a cycle: what came of its units decides how the desk stands. A carrier that has been away for long is down, and
    /// others take what waits for it.
    pub(super) async fn end(&mut self, outcome: Result<()>) -> Standing {
        let now = self.now();
        let outcome = match outcome {
            Ok(()) => self.watch(now).await,
            failed => failed,
        };
        match outcome {
            Ok(()) => {
                self.failing_since = None;
                Standing::Well
            }
            Err(error) => match self.renew(now).await {
                Ok(false) => self.lost(),
                Ok(true) => self.failed(now, &error),
                // Nobody can be told anything: what is known is kept until somebody can.
                Err(_) => self.failing(&error),
            },
        }
    }

    fn lost(&self) -> Standing {
        tracing::warn!(carrier = %self.carrier, "another process works for a carrier now");
        Standing::Lost
    }

    fn failed(&mut self, now: i64, error: &Error) -> Standing {
        if matches!(error, Error::Unavailable(_)) {
            return self.failing(error);
        }
        let since = *self.failing_since.get_or_insert(now);
        let standing = self.failing(error);
        if now.saturating_sub(since) < LOST_US { standing } else { Standing::Lost }
    }

    fn failing(&self, error: &Error) -> Standing {
        tracing::warn!(carrier = %self.carrier, %error, "a carrier's work cannot be recorded; trying again");
        Standing::Failing
    }

    async fn watch(&mut self, now: i64) -> Result<()> {
        let away = self.away_since.is_some_and(|since| now.saturating_sub(since) >= DOWN_US);
        if away != self.is_down {
            let noted: Result<()> = self.means.store.write((self.shift, away), carrier::note).await;
            noted?;
            self.is_down = away;
            self.reroute = Reroute::default();
            if away {
                tracing::warn!(carrier = %self.carrier, "a carrier is down; others take its numbers, where there are any");
            } else {
                tracing::info!(carrier = %self.carrier, "a carrier is up again");
            }
        }
        if self.is_down && now >= self.reroute.rests_until {
            // A batch a cycle, so that the carrier's answers are recorded meanwhile.
            let after = self.reroute.after.take().unwrap_or(PartId::from([0; 16]));
            self.reroute.after = self.means.store.write((self.shift, after), part::reroute).await?;
            if self.reroute.after.is_none() {
                self.reroute.rests_until = now.saturating_add(REROUTES_US);
            }
        }
        Ok(())
    }
}
