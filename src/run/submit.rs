//! Gives parts to their carriers and records what those say. One task for each carrier; it holds the carrier's lease.
//! Here is who works for which carrier, and the desk of the simulated one; `smpp` is the desk of those that speak SMPP,
//! `http_carrier` of those with an HTTP interface of their own.
//!
//! Nothing is sent first and recorded later: a part is marked in a unit of its own before the carrier sees it, and what
//! the carrier answers is recorded before anything follows from it.

use super::Stopped;
use super::simulated::{Event, Reply, Simulated};
use super::{http_carrier, smpp};
use crate::core::carrier::{self, Carrier, CarrierId, CarrierKind};
use crate::core::http_carrier::HttpSettings;
use crate::core::inbound::{self, Inbound};
use crate::core::lease::{self, Holder};
use crate::core::part::{self, Answer, BATCH, Part, PartId, Shift};
use crate::core::receipt::{self, Receipt};
use crate::core::secret::{Place, Vault};
use crate::core::smpp_carrier::SmppSettings;
use crate::core::wake::Wake;
use crate::core::{Error, Result, Timestamp};
use std::collections::HashMap;
use std::time::Duration;
use store::{Clock, Store};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// Between two looks at the list of carriers.
const CARRIERS_EVERY: Duration = Duration::from_secs(2);
/// Between two looks at a lane when nobody hints.
const IDLE: Duration = Duration::from_millis(200);
/// Until the next try for a lane that another process has.
const OTHERS: Duration = Duration::from_millis(500);

/// What the carriers' tasks work with.
pub(super) struct Office {
    pub(super) store: Store,
    pub(super) vault: Vault,
    pub(super) clock: Clock,
    pub(super) wake: Wake,
    pub(super) holder: Holder,
}

/// A carrier's task, and what it was started for.
struct Job {
    of: Carrier,
    task: AbortHandle,
    /// Its end tells the task to stop.
    _stop: watch::Sender<bool>,
}

/// Runs every carrier's task: starts those of new carriers, ends those of removed ones, and begins anew where settings
/// have changed.
pub(super) async fn run(office: Office, mut stopped: Stopped) {
    let mut tasks = JoinSet::new();
    let mut jobs: HashMap<CarrierId, Job> = HashMap::new();
    // A carrier has one task at a time: the next begins when the one before has given back what it has.
    let mut ending: HashMap<CarrierId, AbortHandle> = HashMap::new();
    loop {
        match office.store.read((), carrier::all).await {
            Ok(carriers) => {
                let same = |job: &Job| carriers.iter().any(|carrier| alike(carrier, &job.of));
                for (id, job) in jobs.extract_if(|_, job| job.task.is_finished() || !same(job)) {
                    ending.insert(id, job.task);
                }
                ending.retain(|_, task| !task.is_finished());
                for carrier in carriers {
                    if jobs.contains_key(&carrier.id) || ending.contains_key(&carrier.id) {
                        continue;
                    }
                    let (stop, until) = watch::channel(false);
                    if let Some(task) = office.start(&carrier, &mut tasks, Stopped(until)) {
                        jobs.insert(carrier.id, Job { of: carrier, task, _stop: stop });
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "carriers cannot be read; trying again"),
        }
        if stopped.after(CARRIERS_EVERY).await {
            break;
        }
        while tasks.try_join_next().is_some() {}
    }
    drop(jobs);
    while tasks.join_next().await.is_some() {}
}

/// Whether nothing has changed that a task was started with.
fn alike(one: &Carrier, other: &Carrier) -> bool {
    one.id == other.id
        && one.kind == other.kind
        && one.settings == other.settings
        && one.secret == other.secret
}

impl Office {
    /// What a carrier knows us by, which may be nothing; none if it does not open, which is said.
    fn secret(&self, carrier: &Carrier) -> Option<String> {
        let Some(sealed) = carrier.secret.as_deref().filter(|sealed| !sealed.is_empty()) else {
            return Some(String::new());
        };
        let opened = self.vault.open(Place::Carrier(carrier.id.0), sealed).ok();
        let secret = opened.and_then(|bytes| String::from_utf8(bytes).ok());
        if secret.is_none() {
            tracing::error!(carrier = %carrier.name, "a carrier's password does not open; set it anew");
        }
        secret
    }

    /// Starts a carrier's task; none if it cannot work, which is said.
    fn start(&self, carrier: &Carrier, tasks: &mut JoinSet<()>, stopped: Stopped) -> Option<AbortHandle> {
        let Office { store, clock, wake, holder, .. } = self;
        tracing::info!(carrier = %carrier.name, kind = carrier.kind.name(), "carrier");
        match carrier.kind {
            CarrierKind::Simulated => {
                let desk = Desk::new(store.clone(), clock.clone(), wake.clone(), carrier.id, *holder);
                Some(tasks.spawn(desk.run(stopped)))
            }
            CarrierKind::Smpp => {
                let settings = match SmppSettings::read(&carrier.settings) {
                    Ok(settings) => settings,
                    Err(wrong) => {
                        tracing::error!(carrier = %carrier.name, setting = wrong.field, "a carrier's setting is wrong; set it with `rookery carrier set`");
                        return None;
                    }
                };
                let password = self.secret(carrier)?;
                let tls = match settings.tls.is_some().then(super::egress::tls_client).transpose() {
                    Ok(tls) => tls,
                    Err(error) => {
                        tracing::error!(carrier = %carrier.name, %error, "a carrier's TLS cannot be set up");
                        return None;
                    }
                };
                let means = smpp::Means {
                    store: store.clone(),
                    clock: clock.clone(),
                    wake: wake.clone(),
                    holder: *holder,
                    tls,
                };
                Some(tasks.spawn(smpp::Desk::new(means, carrier, settings, &password).run(stopped)))
            }
            CarrierKind::Http => {
                let settings = match HttpSettings::read(&carrier.settings) {
                    Ok(settings) => settings,
                    Err(wrong) => {
                        tracing::error!(carrier = %carrier.name, setting = wrong.field, "a carrier's setting is wrong; set it with `rookery carrier set`");
                        return None;
                    }
                };
                let secret = self.secret(carrier)?;
                let egress = match http_carrier::way(&settings) {
                    Ok(egress) => egress,
                    Err(error) => {
                        tracing::error!(carrier = %carrier.name, %error, "there is no way to a carrier");
                        return None;
                    }
                };
                let means = http_carrier::Means {
                    store: store.clone(),
                    clock: clock.clone(),
                    wake: wake.clone(),
                    holder: *holder,
                };
                let desk = http_carrier::Desk::new(means, carrier, settings, &secret, egress);
                Some(tasks.spawn(desk.run(stopped)))
            }
        }
    }
}

/// One carrier's work.
pub struct Desk {
    store: Store,
    clock: Clock,
    wake: Wake,
    shift: Shift,
    carrier: Simulated,
    /// Whether this process has had the lane since it last lost it.
    begun: bool,
}

impl Desk {
    /// The desk of a simulated carrier.
    pub fn new(store: Store, clock: Clock, wake: Wake, carrier: CarrierId, holder: Holder) -> Self {
        let shift = Shift { carrier, holder };
        Desk { store, clock, wake, shift, carrier: Simulated::default(), begun: false }
    }

    async fn run(mut self, mut stopped: Stopped) {
        loop {
            let pause = match self.turn().await {
                Ok(true) => Duration::ZERO,
                Ok(false) => self.pause(),
                Err(error) => {
                    if self.begun {
                        tracing::warn!(carrier = self.shift.carrier.0, %error, "a carrier's work stopped; trying again");
                    }
                    self.begun = false;
                    OTHERS
                }
            };
            let stop = tokio::select! {
                stop = stopped.after(pause) => stop,
                () = self.wake.on_parts(), if pause == IDLE => false,
            };
            if stop {
                break;
            }
        }
        let shift = self.shift;
        let given: Result<()> =
            self.store.write((part::lane(shift.carrier), shift.holder), lease::give_back).await;
        if let Err(error) = given {
            tracing::debug!(%error, "a lease was not given back; it ends by itself");
        }
    }

    fn pause(&self) -> Duration {
        let now = self.clock.now_us();
        let next = self.carrier.next_at().map_or(i64::MAX, |at| at.0.saturating_sub(now).max(1_000));
        Duration::from_micros(next.unsigned_abs()).min(IDLE)
    }

    /// One piece of work; whether there was any.
    pub async fn turn(&mut self) -> Result<bool> {
        if !self.begun {
            self.begin().await?;
        }
        let parts = self.store.write((self.shift, BATCH), part::claim).await?;
        let mut did = !parts.is_empty();
        if did {
            let now = Timestamp(self.clock.now_us());
            let answers: Vec<(Part, Answer)> = parts
                .into_iter()
                .map(|part| {
                    let answer = self.carrier.submit(&part, now);
                    (part, answer)
                })
                .collect();
            self.store.write((self.shift, answers), part::answered).await?;
            self.wake.callbacks();
        }
        did |= self.listen().await?;
        Ok(did)
    }

    /// Takes the lane over: what was handed to this carrier by a process that is gone never left, since the carrier lived
    /// in that process; it waits again. What it had accepted it will report on.
    async fn begin(&mut self) -> Result<()> {
        while self.store.write(self.shift, part::take_back).await? {}
        self.carrier = Simulated::default();
        let mut after = PartId::from([0; 16]);
        loop {
            let known = self.store.read((self.shift.carrier, after), part::unreported).await?;
            for part in &known {
                self.carrier.recall(part);
            }
            match known.last() {
                Some((last, ..)) => after = *last,
                None => break,
            }
        }
        self.begun = true;
        Ok(())
    }

    /// Records what the carrier says now.
    async fn listen(&mut self) -> Result<bool> {
        let events = self.carrier.due(Timestamp(self.clock.now_us()), BATCH);
        if events.is_empty() {
            return Ok(false);
        }
        let mut receipts: Vec<Receipt> = Vec::new();
        for event in events {
            match event {
                Event::Receipt(receipt) => receipts.push(receipt),
                Event::Reply(reply) => {
                    let Reply { to_whom, from, to, body } = reply;
                    let text = Inbound {
                        carrier: self.shift.carrier,
                        reference: None,
                        from: from.into(),
                        to,
                        body,
                        otherwise: Some(to_whom),
                    };
                    let received: std::result::Result<_, Error> =
                        self.store.write(text, inbound::receive).await;
                    received?;
                }
            }
        }
        let unknown = self.store.write((self.shift.carrier, receipts), receipt::reported).await?;
        if unknown > 0 {
            tracing::debug!(carrier = self.shift.carrier.0, unknown, "receipts about nothing that is open");
        }
        self.wake.callbacks();
        Ok(true)
    }
}
