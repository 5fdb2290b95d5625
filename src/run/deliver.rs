//! Sends callbacks to customers' URLs and records every attempt. Lanes are worked on side by side, a few calls of one lane
//! at once, so that one slow party blocks only itself.

use super::Stopped;
use super::egress::{Egress, Outgoing};
use crate::core::callback::{self, Attempt, Batch, Dialect, Due, Signing};
use crate::core::lease::{Holder, Lane};
use crate::core::message::{Message, Status};
use crate::core::secret::{Place, Vault};
use crate::core::wake::Wake;
use crate::core::{Error, Result, Timestamp, smpp_outbox};
use futures_util::StreamExt;
use hyper::Method;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use store::{Clock, Entropy, Store};
use tokio::task::JoinSet;

/// Between two looks when nobody hints.
const IDLE: Duration = Duration::from_millis(200);
/// From a hint to the look, so that a look serves many hints.
const LOOKS: Duration = Duration::from_millis(5);
/// What is under way at a stop may take this long.
const FINISH_WITHIN: Duration = Duration::from_secs(10);
/// Before every lane of web addresses; what is told by SMPP has the lanes before them.
const FIRST: Lane = smpp_outbox::LAST;
/// Lanes worked on at once.
const LANES_MAX: usize = 256;
/// Calls of one lane at once.
const CALLS_MAX: usize = 16;

/// What sending takes.
pub struct Courier {
    /// Where callbacks stand.
    pub store: Store,
    /// Opens signing keys.
    pub vault: Vault,
    /// The only way out.
    pub egress: Egress,
    /// How callbacks look.
    pub dialect: Dialect,
    /// The moment of sending.
    pub clock: Clock,
    /// What makes each token another one.
    pub entropy: Entropy,
    /// This process.
    pub holder: Holder,
}

/// Looks for lanes with something due and works on them.
pub(super) async fn run(courier: Arc<Courier>, wake: Wake, mut stopped: Stopped) {
    let mut stopped_by = stopped.clone();
    let mut at_work = JoinSet::new();
    let mut busy = HashSet::new();
    // Where the last look ended: with more lanes than fit, everybody's turn comes.
    let mut after = FIRST;
    loop {
        match courier.due_lanes(after).await {
            Ok(lanes) => {
                after = lanes.last().copied().filter(|_| lanes.len() >= LANES_MAX).unwrap_or(FIRST);
                for lane in lanes {
                    if busy.len() < LANES_MAX && busy.insert(lane) {
                        let (courier, stopped) = (Arc::clone(&courier), stopped.clone());
                        at_work.spawn(async move { (lane, courier.work(lane, stopped).await) });
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "callbacks cannot be read; trying again"),
        }
        let stop = tokio::select! {
            stop = stopped.after(IDLE) => stop,
            // Hints come by the hundred a second; a look at a time is enough.
            stop = async { wake.on_callbacks().await; stopped_by.after(LOOKS).await } => stop,
            Some(ended) = at_work.join_next(), if !busy.is_empty() => {
                ended_work(&mut busy, ended);
                false
            }
        };
        while let Some(ended) = at_work.try_join_next() {
            ended_work(&mut busy, ended);
        }
        if stop {
            break;
        }
    }
    // What is cut off was recorded as nothing and is sent again: at least once is the promise.
    let finished = async { while at_work.join_next().await.is_some() {} };
    if tokio::time::timeout(FINISH_WITHIN, finished).await.is_err() {
        tracing::warn!(
            "some callbacks were still under way and are cut off; they are repeated after the next start"
        );
    }
}

type Ended = std::result::Result<(Lane, Result<()>), tokio::task::JoinError>;

fn ended_work(busy: &mut HashSet<Lane>, ended: Ended) {
    match ended {
        Ok((lane, worked)) => {
            busy.remove(&lane);
            if let Err(error) = worked {
                tracing::warn!(%error, "callbacks could not be worked on; trying again");
            }
        }
        Err(error) => {
            tracing::error!(%error, "a lane's work broke off");
            // Which one is not known; a lane that is still at work is refused by its lease.
            busy.clear();
        }
    }
}

type Call = (Due, Option<Message>);

/// Calls about the same recipient of a message come one after another, what was first told first.
fn by_recipient(calls: impl Iterator<Item = Call>) -> Vec<Vec<Call>> {
    let mut places = HashMap::new();
    let mut groups: Vec<Vec<Call>> = Vec::new();
    for call in calls {
        let about = (call.0.message, call.0.recipient.msisdn);
        let place = *places.entry(about).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(call),
            None => groups.push(vec![call]),
        }
    }
    for group in &mut groups {
        let stage = |status: Status| (status != Status::Sent, status.is_final());
        group.sort_by_key(|(due, _)| (due.recipient.changed, stage(due.recipient.status)));
    }
    groups
}

impl Courier {
    /// The lanes after one that have something due, up to what is worked on at once.
    pub async fn due_lanes(&self, after: Lane) -> Result<Vec<Lane>> {
        let mut lanes: Vec<Lane> = Vec::new();
        loop {
            let after = lanes.last().copied().unwrap_or(after);
            let some = self.store.read(after, callback::due_lanes).await?;
            let is_last = some.len() < 64;
            lanes.extend(some);
            if is_last || lanes.len() >= LANES_MAX {
                return Ok(lanes);
            }
        }
    }

    async fn work(&self, lane: Lane, stopped: Stopped) -> Result<()> {
        while !stopped.now() && self.turn(lane).await? {}
        Ok(())
    }

    /// Sends what is due in a lane now, at most a batch; whether there was anything.
    pub async fn turn(&self, lane: Lane) -> Result<bool> {
        let Some(batch) = self.store.write((lane, self.holder), callback::take).await? else {
            return Ok(false);
        };
        let Some(first) = batch.due.first() else { return Ok(false) };
        let place = Place::SigningKey(first.scope.account.0);
        let key = self.vault.open(place, &batch.signing_key);
        let key = key.map_err(|_| Error::Internal("a signing key does not open".into()))?;
        let Batch { due, messages, legacy, .. } = batch;
        let calls = by_recipient(due.into_iter().zip(messages)).into_iter().map(|calls| async {
            let mut attempts = Vec::with_capacity(calls.len());
            for (due, message) in calls {
                attempts.push(self.call(due, message, &key, legacy).await);
            }
            attempts
        });
        let mut done = futures_util::stream::iter(calls).buffer_unordered(CALLS_MAX).ready_chunks(CALLS_MAX);
        while let Some(attempts) = done.next().await {
            let attempts: Vec<Attempt> = attempts.into_iter().flatten().collect();
            self.store.write(attempts, callback::attempted).await?;
        }
        Ok(true)
    }

    async fn call(&self, due: Due, message: Option<Message>, key: &[u8], legacy: bool) -> Attempt {
        let at = Timestamp(self.clock.now_us());
        let rendered = due
            .rendered
            .clone()
            .or_else(|| message.as_ref().and_then(|message| (self.dialect.render)(&due, message)));
        let Some(url) = rendered else {
            let answer = Err("the URL cannot be called".to_owned());
            return Attempt { rendered: due.url.clone(), callback: due, at, took_ms: 0, answer };
        };
        let mut chance = [0; 16];
        self.entropy.fill(&mut chance);
        let headers = (self.dialect.sign)(&Signing { key, legacy, url: &url, body: &[], now: at, chance });
        let headers =
            headers.into_iter().filter_map(|(name, value)| Some((name.parse().ok()?, value))).collect();
        let request = Outgoing { method: Method::GET, url: url.clone(), headers, body: Vec::new() };
        let sent = self.egress.send(request).await;
        let took_ms = self.clock.now_us().saturating_sub(at.0) / 1_000;
        let answer = sent.map(|answer| answer.status).map_err(|failure| failure.to_string());
        Attempt { callback: due, rendered: url, at, took_ms, answer }
    }
}
