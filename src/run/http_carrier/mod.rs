//! The desk of a carrier with its own HTTP interface: holds the carrier's lease, sends its parts as requests, and records
//! what the answers say. Reports come to the server by themselves (`wire/carrier_reports.rs`), in any process.
//!
//! A part is marked before its request leaves. What certainly did not leave waits again; what left and was not answered is
//! in doubt, and the carrier's settings say what becomes of it.

mod words;

use super::Stopped;
use super::clerk::{Clerk, IDLE, Means, OTHERS, Said, Standing};
use super::egress::{self, Answer, Egress, Failure};
use super::pace::Pace;
use crate::core::carrier::Carrier;
use crate::core::http_carrier::HttpSettings;
use crate::core::message::Reason;
use crate::core::part::{self, BATCH, Part};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use words::Said as Words;

/// Between two looks whether a carrier can be reached again.
const REACH_EVERY_US: i64 = 1_000_000;
/// A connection that is not made by then will not be.
const CONNECTED_WITHIN: Duration = Duration::from_secs(5);
/// At a stop answers are waited for this long; what is unanswered then is in doubt.
const ANSWERED_WITHIN: Duration = Duration::from_secs(8);

/// What became of a request.
type Sent = (Part, std::result::Result<Answer, Failure>);

/// One carrier's work.
pub(super) struct Desk {
    clerk: Clerk,
    settings: HttpSettings,
    secret: Arc<str>,
    egress: Egress,
    /// Requests without an answer yet.
    under_way: JoinSet<Sent>,
    said: Said,
    pace: Pace,
    /// The look whether it can be reached, while there is one.
    look: JoinSet<std::result::Result<(), Failure>>,
    look_at: i64,
    /// The last refusal of all that we say: told once.
    warned: Option<u16>,
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
        Desk {
            clerk: Clerk::new(means, carrier, settings.doubt),
            pace: Pace::new(settings.throughput, now),
            settings,
            secret: secret.into(),
            egress,
            under_way: JoinSet::new(),
            said: Said::default(),
            look: JoinSet::new(),
            look_at: now,
            warned: None,
        }
    }

    /// Works while this process has the lease, until it is time to stop.
    pub(super) async fn run(mut self, mut stopped: Stopped) {
        loop {
            if self.clerk.begin().await.is_ok() {
                if !self.clerk.is_down() {
                    // Its first request shows how it stands.
                    self.clerk.away_since = None;
                }
                self.work(&mut stopped).await;
                self.under_way.shutdown().await;
                self.said = Said::default();
            }
            if stopped.after(OTHERS).await {
                break;
            }
        }
        self.clerk.leave().await;
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
                () = self.clerk.means.wake.on_parts(), if !leaving => {}
                stop = stopped.after(pause), if !leaving => if stop {
                    leave_at = Some(Instant::now() + ANSWERED_WITHIN);
                },
                () = tokio::time::sleep_until(last), if leaving => {
                    // Whoever has the lease next decides about what was not answered.
                    tracing::warn!(carrier = %self.clerk.carrier, requests = self.under_way.len(), "a carrier does not answer before the stop");
                    self.under_way.shutdown().await;
                }
            }
            while self.said.answers.len() < BATCH
                && let Some(done) = self.under_way.try_join_next()
            {
                self.answered(done.ok());
            }
            match self.cycle(leave_at.is_some()).await {
                Standing::Well => {}
                Standing::Failing => tokio::time::sleep(IDLE).await,
                Standing::Lost => return,
            }
            if leave_at.is_some() && self.under_way.is_empty() && self.said.is_empty() {
                return;
            }
        }
    }

    /// Records what was said and takes what there is room for.
    async fn cycle(&mut self, leaving: bool) -> Standing {
        let kept = self.clerk.keep().await;
        if kept != Standing::Well {
            return kept;
        }
        self.look();
        let room = if leaving { 0 } else { self.room() };
        let said = std::mem::take(&mut self.said);
        let ((left, recorded), taken) = tokio::join!(self.clerk.record(said), self.clerk.take(room));
        // Nothing was said meanwhile: this task is the only one that listens.
        self.said = left;
        let taken = taken.map(|parts| {
            self.pace.took(parts.len());
            for part in parts {
                self.send(part);
            }
        });
        self.clerk.end(recorded.and(taken)).await
    }

    fn pause(&self) -> Duration {
        let now = self.clerk.now();
        let next = self.pace.next_at(now).map_or(i64::MAX, |at| at.saturating_sub(now).max(1_000));
        Duration::from_micros(next.unsigned_abs()).min(IDLE)
    }

    /// How many parts may be taken now.
    fn room(&mut self) -> usize {
        if self.clerk.away_since.is_some() {
            return 0;
        }
        let free = self.settings.window.saturating_sub(self.under_way.len());
        self.pace.room(free.min(BATCH), self.clerk.now())
    }

    fn send(&mut self, part: Part) {
        let Some(request) = words::request(&part, &self.settings, &self.secret, self.clerk.now()) else {
            let refused = part::Answer::Refused { reason: Reason::Rejected, error: None };
            self.said.answers.push((part, refused));
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
        let now = self.clerk.now();
        let answer = match answer {
            Ok(answer) => answer,
            Err(failure) => return self.failed(part, failure, now),
        };
        self.clerk.away_since = None;
        if matches!(answer.status, 401 | 403) && self.warned.replace(answer.status).is_none() {
            tracing::warn!(carrier = %self.clerk.carrier, status = answer.status, "a carrier does not know us; check its secret and headers");
        }
        match words::said(&answer, &part, &self.settings, now) {
            Words::Accepted(reference) => {
                self.warned = None;
                self.pace.fine(now);
                self.said.answers.push((part, part::Answer::Accepted(reference)));
            }
            Words::Refused(error) => {
                let refused = part::Answer::Refused { reason: Reason::Rejected, error };
                self.said.answers.push((part, refused));
            }
            Words::TooMuch(rest) => {
                match rest {
                    Some(us) => self.pace.rest(now, us),
                    None => self.pace.too_fast(now),
                }
                self.said.back.push(part.id);
            }
            Words::Failed => {
                tracing::warn!(carrier = %self.clerk.carrier, status = answer.status, "a carrier failed");
                self.pace.too_fast(now);
                self.said.doubtful.push(part.id);
            }
        }
    }

    /// Whether a request has left depends on why it has no answer.
    fn failed(&mut self, part: Part, failure: Failure, now: i64) {
        match failure {
            Failure::NotAUrl | Failure::NotAHeader => {
                let refused = part::Answer::Refused { reason: Reason::Rejected, error: None };
                self.said.answers.push((part, refused));
            }
            Failure::Forbidden | Failure::NotFound | Failure::Unreachable | Failure::Tls => {
                self.said.back.push(part.id);
                self.away(failure, now);
            }
            Failure::TimedOut | Failure::BrokeOff => {
                tracing::warn!(carrier = %self.clerk.carrier, %failure, "a carrier did not answer");
                self.pace.too_fast(now);
                self.said.doubtful.push(part.id);
            }
        }
    }

    fn away(&mut self, failure: Failure, now: i64) {
        if self.clerk.away_since.is_none() {
            let hint = if failure == Failure::Forbidden { "; `private=true` allows that" } else { "" };
            tracing::warn!(carrier = %self.clerk.carrier, "a carrier cannot be reached, looking again every second: {failure}{hint}");
            self.clerk.away_since = Some(now);
            self.look_at = now.saturating_add(REACH_EVERY_US);
        }
    }

    /// While it is out of reach, looks whether it still is.
    fn look(&mut self) {
        let now = self.clerk.now();
        if self.clerk.away_since.is_some() && self.look.is_empty() && now >= self.look_at {
            self.look_at = now.saturating_add(REACH_EVERY_US);
            let (egress, base) = (self.egress.clone(), self.settings.base.clone());
            self.look.spawn(async move { egress.reach(&base).await });
        }
    }

    fn looked(&mut self, reached: Option<std::result::Result<(), Failure>>) {
        if reached == Some(Ok(())) {
            self.clerk.away_since = None;
        }
    }
}
