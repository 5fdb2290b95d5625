//! Sends callbacks to customers' URLs and records every attempt. Lanes are worked on side by side, a few calls of one lane
//! at once, so that one slow party blocks only itself.

use super::Stopped;
use super::egress::{Egress, Outgoing};
pub use super::rota::Rota;
use crate::core::callback::{self, Attempt, Batch, Dialect, Due, Kind, Signing};
use crate::core::endpoint::{self, Heard};
use crate::core::event;
use crate::core::lease::{Lane, Leases};
use crate::core::message::{Message, MessageId, Status};
use crate::core::network::Networks;
use crate::core::rendered::Rendered;
use crate::core::secret::{Place, Vault};
use crate::core::signing_key::{self, Open};
use crate::core::terms::Book;
use crate::core::wake::Wake;
use crate::core::{Result, Scope, Timestamp, alert};
use futures_util::StreamExt;
use futures_util::future::OptionFuture;
use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderName};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use store::{Clock, Entropy, Store};
use tokio::sync::Semaphore;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

/// Between two looks when nobody hints.
const IDLE: Duration = Duration::from_millis(200);
/// From one look to the next at least, however many hints come, …
const LOOKS: Duration = Duration::from_millis(5);
/// … and at least so many times what the look took: with very many lanes it must not become the work.
const LOOKS_TAKE_AT_MOST: u32 = 20;
/// What is under way at a stop may take this long.
const FINISH_WITHIN: Duration = Duration::from_secs(10);
/// Batches that are read at once: PostgreSQL's connections for reading are there for whoever waits for an answer, too.
pub const READS_MAX: usize = 4;
/// Calls of one lane at once.
const CALLS_MAX: usize = 16;
/// While calls are under way the lane's lease is renewed, and its keys are read again, this often.
const RENEWS: Duration = Duration::from_millis(800);
/// Batches of one lane before the others get their turn.
const TURNS_MAX: usize = 8;
/// A lane that another process has is left alone for this time.
const OTHERS: Duration = Duration::from_millis(500);
/// The same for one whose account is suspended, …
const SUSPENDED: Duration = Duration::from_secs(5);
/// … and for one whose work failed.
const FAILED: Duration = Duration::from_secs(1);
/// Bytes of an answer's body that are kept in the log.
const SAID_MAX: usize = 1024;

/// What sending takes.
pub struct Courier {
    /// Where callbacks stand.
    pub store: Store,
    /// Knows the networks of numbers.
    pub terms: Arc<Book>,
    /// Opens signing keys.
    pub vault: Vault,
    /// The only way out.
    pub egress: Egress,
    /// How callbacks look.
    pub dialect: Dialect,
    /// How events are signed.
    pub events: event::Dialect,
    /// The moment of sending.
    pub clock: Clock,
    /// What makes each token another one.
    pub entropy: Entropy,
    /// The lanes that this process has.
    pub leases: Leases,
    /// Of [`READS_MAX`].
    pub reads: Semaphore,
}

/// Looks for lanes with something due and works on them.
pub(super) async fn run(courier: Arc<Courier>, wake: Wake, mut stopped: Stopped) {
    let mut at_work = JoinSet::new();
    let (mut rota, mut lanes_of) = (Rota::default(), HashMap::new());
    loop {
        let begun = Instant::now();
        match courier.look(&mut rota).await {
            Ok(lanes) => {
                for lane in lanes {
                    let (courier, stopped) = (Arc::clone(&courier), stopped.clone());
                    let task = at_work.spawn(async move { courier.work(lane, stopped).await });
                    lanes_of.insert(task.id(), lane);
                }
            }
            Err(error) => tracing::warn!(%error, "callbacks cannot be read; trying again"),
        }
        let looks_at = Instant::now() + (begun.elapsed() * LOOKS_TAKE_AT_MOST).clamp(LOOKS, IDLE);
        let mut stop = tokio::select! {
            stop = stopped.after(IDLE) => stop,
            () = wake.on_callbacks() => false,
            Some(ended) = at_work.join_next_with_id(), if !rota.is_idle() => {
                ended_work(&mut rota, &mut lanes_of, ended, courier.clock.now_us());
                false
            }
        };
        if !stop {
            stop = stopped.after(looks_at.saturating_duration_since(Instant::now())).await;
        }
        while let Some(ended) = at_work.try_join_next_with_id() {
            ended_work(&mut rota, &mut lanes_of, ended, courier.clock.now_us());
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

type Ended = std::result::Result<(Id, Result<Turn>), JoinError>;

fn ended_work(rota: &mut Rota, lanes_of: &mut HashMap<Id, Lane>, ended: Ended, now: i64) {
    let (task, rests) = match ended {
        Ok((task, Ok(Turn::More | Turn::Sent | Turn::Done))) => (task, None),
        Ok((task, Ok(Turn::Rests(rests)))) => (task, Some(rests)),
        Ok((task, Err(error))) => {
            tracing::warn!(%error, "callbacks could not be worked on; trying again");
            (task, Some(FAILED))
        }
        Err(error) => {
            tracing::error!(%error, "a lane's work broke off");
            (error.id(), Some(FAILED))
        }
    };
    let Some(lane) = lanes_of.remove(&task) else { return };
    rota.ended(&lane);
    if let Some(rests) = rests {
        rota.rests(lane, now.saturating_add(i64::try_from(rests.as_micros()).unwrap_or(i64::MAX)));
    }
}

/// What is to be done for a lane after a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// A whole batch was sent: perhaps there is more.
    More,
    /// All that was due was sent. What has come meanwhile was hinted at.
    Sent,
    /// Nothing was due.
    Done,
    /// Nothing for this time.
    Rests(Duration),
}

type Call = (Due, Option<Message>, Option<event::Outgoing>);

/// Calls about the same recipient of a message come one after another, what was first told first.
fn by_recipient(calls: impl Iterator<Item = Call>) -> Vec<Vec<Call>> {
    let mut places = HashMap::new();
    let mut groups: Vec<Vec<Call>> = Vec::new();
    for call in calls {
        let about = match &call.2 {
            Some(event) => (MessageId::from(event.order), call.0.recipient.msisdn),
            None => (call.0.message, call.0.recipient.msisdn),
        };
        let place = *places.entry(about).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(call),
            None => groups.push(vec![call]),
        }
    }
    for group in &mut groups {
        let stage = |status: Status| (status != Status::Sent, status.is_final());
        group.sort_by_key(|(due, ..)| (due.recipient.changed, stage(due.recipient.status)));
    }
    groups
}

impl Courier {
    /// The lanes whose turn it is: with something due, as many as may be worked on beside those that are.
    pub async fn look(&self, rota: &mut Rota) -> Result<Vec<Lane>> {
        let mut lanes = Vec::new();
        while let Some(after) = rota.asks() {
            let some = self.store.read(after, callback::open_lanes).await?;
            lanes.extend(rota.takes(&some, self.clock.now_us()));
        }
        Ok(lanes)
    }

    async fn work(&self, lane: Lane, stopped: Stopped) -> Result<Turn> {
        let mut turn = Turn::More;
        for _ in 0..TURNS_MAX {
            if turn != Turn::More || stopped.now() {
                break;
            }
            turn = self.send_some(lane, &|| stopped.now()).await?;
        }
        Ok(turn)
    }

    /// Sends what is due in a lane now, at most a batch; whether there was anything.
    pub async fn turn(&self, lane: Lane) -> Result<bool> {
        Ok(matches!(self.send_some(lane, &|| false).await?, Turn::More | Turn::Sent))
    }

    async fn send_some(&self, lane: Lane, stops: &(dyn Fn() -> bool + Send + Sync)) -> Result<Turn> {
        if !self.leases.take(&self.store, lane).await? {
            return Ok(Turn::Rests(OTHERS));
        }
        // Beside the units, not in one.
        let batch = {
            let _turn = self.reads.acquire().await;
            self.store.read(lane, callback::batch).await?
        };
        if batch.is_suspended {
            return Ok(Turn::Rests(SUSPENDED));
        }
        let Some(scope) = batch.due.first().map(|due| due.scope) else { return Ok(Turn::Done) };
        let Batch { due, messages, events, signing_key, legacy, time_zone, standing, .. } = batch;
        let is_full = i64::try_from(due.len()).is_ok_and(|count| count >= callback::BATCH);
        let seal = Seal {
            keys: RwLock::new(Open::new(&self.vault, scope.account, &signing_key)?),
            legacy,
            zone: time_zone,
        };
        let networks = &*self.terms.networks(&self.store).await?;
        // What was read may have waited for a connection; from here on the lease is renewed.
        if !self.leases.take(&self.store, lane).await? {
            return Ok(Turn::Rests(OTHERS));
        }
        let all =
            due.into_iter().zip(messages).zip(events).map(|((due, message), event)| (due, message, event));
        let calls = by_recipient(all).into_iter().map(|calls| async {
            let mut attempts = Vec::with_capacity(calls.len());
            for (due, message, event) in calls {
                if stops() {
                    break;
                }
                attempts.push(match event {
                    Some(event) => self.tell(due, event).await,
                    None if due.kind == Kind::Event => self.forgotten(due),
                    None if due.kind == Kind::Alert && due.rendered.is_none() => {
                        match self.store.read((due.scope, due.message), alert::crossing).await {
                            Ok(Some(crossing)) => {
                                let rendered = (self.dialect.alert)(&due.url, &crossing);
                                let rendered = rendered.map(|rendered| rendered.text());
                                self.call(Due { rendered, ..due }, None, networks, &seal).await
                            }
                            Ok(None) => self.forgotten(due),
                            // It stays due.
                            Err(error) => {
                                tracing::warn!(%error, "what an alert tells cannot be read; trying again");
                                continue;
                            }
                        }
                    }
                    None => self.call(due, message, networks, &seal).await,
                });
            }
            attempts
        });
        let mut done = futures_util::stream::iter(calls).buffer_unordered(CALLS_MAX).ready_chunks(CALLS_MAX);
        let mut renewal = tokio::time::interval_at(Instant::now() + RENEWS, RENEWS);
        // Calls go on while earlier ones are recorded.
        let (mut heard, mut recording, mut is_over) = (Vec::new(), None, false);
        loop {
            if recording.is_none() && !heard.is_empty() {
                recording = Some(Box::pin(self.record(lane, standing, std::mem::take(&mut heard))));
            }
            if is_over && recording.is_none() {
                break;
            }
            tokio::select! {
                some = done.next(), if !is_over => match some {
                    Some(attempts) => heard.extend(attempts.into_iter().flatten()),
                    None => is_over = true,
                },
                recorded = OptionFuture::from(recording.as_mut()), if recording.is_some() => {
                    recording = None;
                    recorded.unwrap_or(Ok(()))?;
                }
                _ = renewal.tick(), if !is_over => match self.renew(lane, scope, &seal).await {
                    Ok(true) => {}
                    Ok(false) => {
                        tracing::warn!("a lane of callbacks went to another process; its calls are repeated there");
                        is_over = true;
                    }
                    // What is under way is worth more than the lease: recording is guarded anyway.
                    Err(error) => tracing::debug!(%error, "a lease could not be renewed; trying again"),
                }
            }
        }
        Ok(if is_full { Turn::More } else { Turn::Sent })
    }

    /// A customer may take longer than a lease lasts, and a key may be changed meanwhile. Whether the lane is still ours.
    async fn renew(&self, lane: Lane, scope: Scope, seal: &Seal) -> Result<bool> {
        let kept = self.leases.take(&self.store, lane).await;
        let sealed = self.store.read(scope, signing_key::of).await?;
        let keys = Open::new(&self.vault, scope.account, &sealed)?;
        *seal.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        kept
    }

    /// A failed probe is the endpoint's matter alone, anything else a callback's first.
    async fn record(&self, lane: Lane, standing: endpoint::Standing, attempts: Vec<Attempt>) -> Result<()> {
        // An event has a schedule of its own, of a day: it says nothing about whether its endpoint is to be paused.
        let told = || attempts.iter().filter(|attempt| attempt.callback.kind != Kind::Event);
        let fails = told().any(|attempt| !attempt.is_done());
        let heard = (fails || standing.fails && told().next().is_some()).then(|| Heard {
            lane,
            standing,
            attempts: told().cloned().collect(),
        });
        let attempts: Vec<Attempt> =
            attempts.into_iter().filter(|attempt| !standing.is_probe() || attempt.is_done()).collect();
        if !attempts.is_empty() {
            self.store.write(attempts, callback::attempted).await?;
        }
        let Some(heard) = heard else { return Ok(()) };
        match self.store.write(heard, endpoint::heard).await? {
            Some(endpoint::Turn::Paused { account, origin, failures }) => tracing::warn!(
                %account, %origin, failures,
                "an endpoint of callbacks keeps failing and is paused; it is tried now and then, see `rookery webhook endpoints`"
            ),
            Some(endpoint::Turn::Resumed { account, origin }) => {
                tracing::info!(%account, %origin, "an endpoint of callbacks answers again and is resumed");
            }
            None => {}
        }
        Ok(())
    }

    fn forgotten(&self, due: Due) -> Attempt {
        let at = Timestamp(self.clock.now_us());
        told(due, at, 0, Err("what it told is forgotten".to_owned()), Vec::new(), String::new())
    }

    async fn call(&self, due: Due, message: Option<Message>, networks: &Networks, seal: &Seal) -> Attempt {
        let at = Timestamp(self.clock.now_us());
        let rendered = due.rendered.as_deref().map(Rendered::parse).or_else(|| {
            message.as_ref().and_then(|message| (self.dialect.render)(&due, message, networks, &seal.zone))
        });
        let Some(rendered) = rendered else {
            let answer = Err("the URL cannot be called".to_owned());
            let rendered = Rendered::get(due.url.clone());
            return Attempt {
                rendered,
                callback: due,
                headers: Vec::new(),
                at,
                took_ms: 0,
                answer,
                said: String::new(),
            };
        };
        let mut chance = [0; 16];
        self.entropy.fill(&mut chance);
        let (kind, body) = rendered.body.clone().unzip();
        let body = body.unwrap_or_default().into_bytes();
        let signed = {
            let keys = seal.keys.read().unwrap_or_else(PoisonError::into_inner);
            let (key, legacy, url) = (keys.at(at), seal.legacy, rendered.url.as_str());
            (self.dialect.sign)(&Signing { key, legacy, url, body: &body, now: at, chance })
        };
        let mut names: Vec<&'static str> = signed.iter().map(|(name, _)| *name).collect();
        let mut headers: Vec<_> =
            signed.into_iter().filter_map(|(name, value)| Some((name.parse().ok()?, value))).collect();
        if let Some(kind) = kind {
            names.push("Content-Type");
            headers.push((CONTENT_TYPE, kind));
        }
        let method = if rendered.body.is_some() { Method::POST } else { Method::GET };
        let sent = self.egress.send(Outgoing { method, url: rendered.url.clone(), headers, body }).await;
        let took_ms = self.clock.now_us().saturating_sub(at.0) / 1_000;
        let said = sent.as_ref().map_or_else(|_| String::new(), |answer| beginning(&answer.body));
        let answer = sent.map(|answer| answer.status).map_err(|failure| failure.to_string());
        Attempt { callback: due, rendered, headers: names, at, took_ms, answer, said }
    }

    /// Sends an event: its own bytes, with a signature if there is a secret, and the headers that go with it.
    async fn tell(&self, due: Due, event: event::Outgoing) -> Attempt {
        let at = Timestamp(self.clock.now_us());
        let mut headers = Vec::new();
        let mut add = |name: &str, value: String| {
            if let Ok(name) = name.parse::<HeaderName>() {
                headers.push((name, value));
            }
        };
        add("content-type", "application/json".to_owned());
        let mut names = vec!["Content-Type"];
        let mut unopened = false;
        if let Some(sealed) = &event.secret {
            match self.vault.open(Place::PlatformSecret(due.scope.root.0), sealed) {
                Ok(secret) => {
                    for (name, value) in (self.events.sign)(&secret, event.body.as_bytes(), event.prefix) {
                        names.push(name);
                        add(name, value);
                    }
                }
                Err(_) => unopened = true,
            }
        }
        if let Some((place, sealed)) = event.headers {
            match self.vault.open(place, &sealed) {
                Ok(lines) => {
                    for line in String::from_utf8_lossy(&lines).lines() {
                        if let Some((name, value)) = line.split_once(": ") {
                            add(name, value.to_owned());
                        }
                    }
                }
                Err(_) => unopened = true,
            }
        }
        if unopened {
            let answer = Err("a secret of this callback does not open".to_owned());
            return told(due, at, 0, answer, Vec::new(), String::new());
        }
        let request =
            Outgoing { method: Method::POST, url: due.url.clone(), headers, body: event.body.into_bytes() };
        let sent = self.egress.send(request).await;
        let took_ms = self.clock.now_us().saturating_sub(at.0) / 1_000;
        let said = sent.as_ref().map_or_else(|_| String::new(), |answer| beginning(&answer.body));
        let answer = sent.map(|answer| answer.status).map_err(|failure| failure.to_string());
        told(due, at, took_ms, answer, names, said)
    }
}

/// An attempt to tell an event; its body stands with the event, and of its headers those that are the customer's own are
/// not named.
fn told(
    due: Due,
    at: Timestamp,
    took_ms: i64,
    answer: Answered,
    headers: Vec<&'static str>,
    said: String,
) -> Attempt {
    let rendered = Rendered::get(due.url.clone());
    Attempt { callback: due, rendered, headers, at, took_ms, answer, said }
}

/// The status that was answered, or why there was none.
type Answered = std::result::Result<u16, String>;

/// What a batch is signed and rendered with.
struct Seal {
    keys: RwLock<Open>,
    legacy: bool,
    zone: String,
}

/// The beginning of an answer, as text.
fn beginning(body: &[u8]) -> String {
    String::from_utf8_lossy(body.get(..SAID_MAX).unwrap_or(body)).into_owned()
}
