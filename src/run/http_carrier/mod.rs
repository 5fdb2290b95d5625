//! The desk of a carrier with its own HTTP interface: holds the carrier's lease, sends its parts as requests, and records
//! what the answers say. Reports come to the server by themselves (`wire/carrier_reports.rs`), in any process.
//!
//! A part is marked before its request leaves. What certainly did not leave waits again; what left and was not answered is
//! in doubt, and the carrier's settings say what becomes of it.

mod words;

use super::Stopped;
use super::egress::{self, Answer, Egress, Failure};
use super::pace::Pace;
use crate::core::Result;
use crate::core::carrier::{self, Carrier};
use crate::core::http_carrier::HttpSettings;
use crate::core::lease::{self, Holder};
use crate::core::message::Reason;
use crate::core::part::{self, BATCH, InDoubt, Part, PartId, Shift};
use crate::core::smpp_carrier::Doubt;
use crate::core::wake::Wake;
use std::sync::Arc;
use std::time::Duration;
use store::{Clock, Store};
use tokio::task::JoinSet;
use tokio::time::Instant;
use words::Said;

/// Between two looks at the lane when nobody hints; it renews the lease as well.
const IDLE: Duration = Duration::from_millis(200);
/// Until the next try for a lane that another process has, or after a failure of the database.
const OTHERS: Duration = Duration::from_millis(500);
/// What is not recorded for so long is left to whoever has the lease by then.
const LOST_US: i64 = 3_000_000;
/// Out of reach for so long a carrier is down, and others take its numbers.
const DOWN_US: i64 = 5_000_000;
/// Between two looks whether a carrier can be reached again.
const REACH_EVERY_US: i64 = 1_000_000;
/// A connection that is not made by then will not be.
const CONNECTED_WITHIN: Duration = Duration::from_secs(5);
/// At a stop answers are waited for this long; what is unanswered then is in doubt.
const ANSWERED_WITHIN: Duration = Duration::from_secs(8);

/// What a desk works with.
pub(super) struct Means {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) wake: Wake,
    pub(super) holder: Holder,
}

/// What is to be recorded.
#[derive(Default)]
struct Told {
    answers: Vec<(Part, part::Answer)>,
    back: Vec<PartId>,
    doubtful: Vec<PartId>,
}

impl Told {
    fn is_empty(&self) -> bool {
        self.answers.is_empty() && self.back.is_empty() && self.doubtful.is_empty()
    }
}

/// What became of a request.
type Sent = (Part, std::result::Result<Answer, Failure>);

/// One carrier's work.
pub(super) struct Desk {
    means: Means,
    shift: Shift,
    carrier: Arc<str>,
    settings: HttpSettings,
    secret: Arc<str>,
    egress: Egress,
    /// Requests without an answer yet.
    under_way: JoinSet<Sent>,
    told: Told,
    pace: Pace,
    /// The look whether it can be reached, while there is one.
    look: JoinSet<std::result::Result<(), Failure>>,
    look_at: i64,
    /// Since when nothing reaches it; none while something does.
    away_since: Option<i64>,
    is_down: bool,
    /// The last refusal of all that we say: told once.
    warned: Option<u16>,
    /// Since when nothing could be recorded.
    failing_since: Option<i64>,
}

/// The way to a carrier.
pub(super) fn way(settings: &HttpSettings) -> std::result::Result<Egress, String> {
    Egress::with(egress::Options {
        allow_private: settings.is_private,
        within: settings.response_timeout,
        connected_within: CONNECTED_WITHIN.min(settings.response_timeout / 2),
        ..egress::Options::default()
    })
}

impl Desk {
    pub(super) fn new(
        means: Means,
        carrier: &Carrier,
        settings: HttpSettings,
        secret: &str,
        egress: Egress,
    ) -> Desk {
        let now = means.clock.now_us();
        let is_down = carrier.down.is_some();
        Desk {
            shift: Shift { carrier: carrier.id, holder: means.holder },
            carrier: carrier.name.as_str().into(),
            pace: Pace::new(settings.throughput, now),
            settings,
            secret: secret.into(),
            egress,
            under_way: JoinSet::new(),
            told: Told::default(),
            look: JoinSet::new(),
            look_at: now,
            // One that was down stays so until it is seen to be up.
            away_since: is_down.then(|| now.saturating_sub(DOWN_US)),
            is_down,
            warned: None,
            failing_since: None,
            means,
        }
    }

    /// Works while this process has the lease, until it is time to stop.
    pub(super) async fn run(mut self, mut stopped: Stopped) {
        loop {
            if self.begin().await.is_ok() {
                self.work(&mut stopped).await;
                self.under_way.shutdown().await;
                self.told = Told::default();
                self.failing_since = None;
            }
            if stopped.after(OTHERS).await {
                break;
            }
        }
        let lane = (part::lane(self.shift.carrier), self.shift.holder);
        let given: Result<()> = self.means.store.write(lane, lease::give_back).await;
        if let Err(error) = given {
            tracing::debug!(%error, "a lease was not given back; it ends by itself");
        }
    }

    /// Takes the lane over and decides about what whoever had it left unanswered.
    async fn begin(&mut self) -> Result<()> {
        let (shift, doubt) = (self.shift, self.settings.doubt);
        while self.means.store.write(InDoubt { shift, parts: None, doubt }, part::resolve).await? {}
        Ok(())
    }

    async fn work(&mut self, stopped: &mut Stopped) {
        let mut leave_at: Option<Instant> = None;
        loop {
            let leaving = leave_at.is_some();
            let pause = self.pause();
            let last = leave_at.unwrap_or_else(|| Instant::now() + IDLE);
            tokio::select! {
                Some(done) = self.under_way.join_next() => self.answered(done.ok()),
                Some(reached) = self.look.join_next() => self.looked(reached.ok()),
                () = self.means.wake.on_parts(), if !leaving => {}
                stop = stopped.after(pause), if !leaving => if stop {
                    leave_at = Some(Instant::now() + ANSWERED_WITHIN);
                },
                () = tokio::time::sleep_until(last), if leaving => {
                    // Whoever has the lease next decides about what was not answered.
                    tracing::warn!(carrier = %self.carrier, requests = self.under_way.len(), "a carrier does not answer before the stop");
                    self.under_way.shutdown().await;
                }
            }
            while self.told.answers.len() < BATCH
                && let Some(done) = self.under_way.try_join_next()
            {
                self.answered(done.ok());
            }
            if !self.cycle(leave_at.is_some()).await {
                return;
            }
            if leave_at.is_some() && self.under_way.is_empty() && self.told.is_empty() {
                return;
            }
        }
    }

    /// Records what was said and takes what there is room for; whether the lease is still ours as far as is known.
    async fn cycle(&mut self, leaving: bool) -> bool {
        let now = self.means.clock.now_us();
        self.look(now);
        let room = if leaving { 0 } else { self.room(now) };
        let told = std::mem::take(&mut self.told);
        let (store, shift) = (self.means.store.clone(), self.shift);
        let (recorded, taken) = tokio::join!(
            record(&store, shift, self.settings.doubt, told),
            // With no room it takes nothing and renews the lease.
            async {
                let taken: Result<Vec<Part>> = store.write((shift, room), part::claim).await;
                taken
            },
        );
        let (left, recorded) = recorded;
        // Nothing was said meanwhile: this task is the only one that listens.
        self.told = left;
        let outcome = match taken {
            Ok(parts) => {
                self.pace.took(parts.len());
                for part in parts {
                    self.send(part);
                }
                recorded
            }
            Err(error) => recorded.and(Err(error)),
        };
        let outcome = match outcome {
            Ok(()) => self.watch(now).await,
            failed => failed,
        };
        match outcome {
            Ok(()) => {
                self.failing_since = None;
                true
            }
            Err(error) => {
                let since = *self.failing_since.get_or_insert(now);
                tracing::warn!(carrier = %self.carrier, %error, "a carrier's work cannot be recorded; trying again");
                tokio::time::sleep(IDLE).await;
                now.saturating_sub(since) < LOST_US
            }
        }
    }

    /// Says that the carrier is down when it has been out of reach for long, and lets others take what waits.
    async fn watch(&mut self, now: i64) -> Result<()> {
        let away = self.away_since.is_some_and(|since| now.saturating_sub(since) >= DOWN_US);
        if away != self.is_down {
            let noted: Result<()> = self.means.store.write((self.shift, away), carrier::note).await;
            noted?;
            self.is_down = away;
            if away {
                tracing::warn!(carrier = %self.carrier, "a carrier is down; others take its numbers, where there are any");
            } else {
                tracing::info!(carrier = %self.carrier, "a carrier is up again");
            }
        }
        if self.is_down {
            let mut after = PartId::from([0; 16]);
            while let Some(last) = self.means.store.write((self.shift, after), part::reroute).await? {
                after = last;
            }
        }
        Ok(())
    }

    fn pause(&self) -> Duration {
        let now = self.means.clock.now_us();
        let next = self.pace.next_at(now).map_or(i64::MAX, |at| at.saturating_sub(now).max(1_000));
        Duration::from_micros(next.unsigned_abs()).min(IDLE)
    }

    /// How many parts may be taken now.
    fn room(&mut self, now: i64) -> usize {
        if self.away_since.is_some() {
            return 0;
        }
        let free = self.settings.window.saturating_sub(self.under_way.len());
        self.pace.room(free.min(BATCH), now)
    }

    fn send(&mut self, part: Part) {
        let Some(request) = words::request(&part, &self.settings, &self.secret) else {
            let refused = part::Answer::Refused { reason: Reason::Rejected, error: None };
            self.told.answers.push((part, refused));
            return;
        };
        let egress = self.egress.clone();
        self.under_way.spawn(async move {
            let answer = egress.send(request).await;
            (part, answer)
        });
    }

    /// Takes in what became of a request; nothing of one that was ended.
    fn answered(&mut self, sent: Option<Sent>) {
        let Some((part, answer)) = sent else { return };
        let now = self.means.clock.now_us();
        let answer = match answer {
            Ok(answer) => answer,
            Err(failure) => return self.failed(part, failure, now),
        };
        self.away_since = None;
        if matches!(answer.status, 401 | 403) && self.warned.replace(answer.status).is_none() {
            tracing::warn!(carrier = %self.carrier, status = answer.status, "a carrier does not know us; check its secret and headers");
        }
        match words::said(&answer, &part, &self.settings, now) {
            Said::Accepted(reference) => {
                self.warned = None;
                self.pace.fine(now);
                self.told.answers.push((part, part::Answer::Accepted(reference)));
            }
            Said::Refused(error) => {
                let refused = part::Answer::Refused { reason: Reason::Rejected, error };
                self.told.answers.push((part, refused));
            }
            Said::TooMuch(rest) => {
                match rest {
                    Some(us) => self.pace.rest(now, us),
                    None => self.pace.too_fast(now),
                }
                self.told.back.push(part.id);
            }
            Said::Failed => {
                tracing::warn!(carrier = %self.carrier, status = answer.status, "a carrier failed");
                self.pace.too_fast(now);
                self.told.doubtful.push(part.id);
            }
        }
    }

    /// Whether a request has left depends on why it has no answer.
    fn failed(&mut self, part: Part, failure: Failure, now: i64) {
        match failure {
            Failure::NotAUrl | Failure::NotAHeader => {
                let refused = part::Answer::Refused { reason: Reason::Rejected, error: None };
                self.told.answers.push((part, refused));
            }
            Failure::Forbidden | Failure::NotFound | Failure::Unreachable | Failure::Tls => {
                self.told.back.push(part.id);
                self.away(failure, now);
            }
            Failure::TimedOut | Failure::BrokeOff => {
                tracing::warn!(carrier = %self.carrier, %failure, "a carrier did not answer");
                self.pace.too_fast(now);
                self.told.doubtful.push(part.id);
            }
        }
    }

    fn away(&mut self, failure: Failure, now: i64) {
        if self.away_since.is_none() {
            let hint = if failure == Failure::Forbidden { "; `private=true` allows that" } else { "" };
            tracing::warn!(carrier = %self.carrier, "a carrier cannot be reached, looking again every second: {failure}{hint}");
            self.away_since = Some(now);
            self.look_at = now.saturating_add(REACH_EVERY_US);
        }
    }

    /// While it is out of reach, looks whether it still is.
    fn look(&mut self, now: i64) {
        if self.away_since.is_some() && self.look.is_empty() && now >= self.look_at {
            self.look_at = now.saturating_add(REACH_EVERY_US);
            let (egress, base) = (self.egress.clone(), self.settings.base.clone());
            self.look.spawn(async move { egress.reach(&base).await });
        }
    }

    fn looked(&mut self, reached: Option<std::result::Result<(), Failure>>) {
        if reached == Some(Ok(())) {
            self.away_since = None;
        }
    }
}

/// Records what was said; what could not be recorded comes back.
async fn record(store: &Store, shift: Shift, doubt: Doubt, mut told: Told) -> (Told, Result<()>) {
    let answers = async {
        if told.answers.is_empty() {
            return Ok(());
        }
        store.write((shift, told.answers.clone()), part::answered).await
    };
    let back = async {
        if told.back.is_empty() {
            return Ok(());
        }
        store.write((shift, told.back.clone()), part::put_back).await
    };
    let doubtful = async {
        if told.doubtful.is_empty() {
            return Ok(());
        }
        let parts = Some(told.doubtful.clone());
        store.write(InDoubt { shift, parts, doubt }, part::resolve).await.map(drop)
    };
    let (answers, back, doubtful): (Result<()>, Result<()>, Result<()>) =
        tokio::join!(answers, back, doubtful);
    if answers.is_ok() {
        told.answers.clear();
    }
    if back.is_ok() {
        told.back.clear();
    }
    if doubtful.is_ok() {
        told.doubtful.clear();
    }
    (told, answers.and(back).and(doubtful))
}
