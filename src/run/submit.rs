//! Gives parts to their carriers and records what those say. One task for each carrier; it holds the carrier's lease.
//!
//! Nothing is sent first and recorded later: a part is marked in a unit of its own before the carrier sees it, and what
//! the carrier answers is recorded before anything follows from it.

use super::Stopped;
use super::simulated::{Event, Reply, Simulated};
use crate::core::carrier::{self, CarrierId, CarrierKind};
use crate::core::inbound::{self, Inbound};
use crate::core::lease::{self, Holder};
use crate::core::part::{self, Answer, BATCH, Part, PartId, Receipt, Shift};
use crate::core::wake::Wake;
use crate::core::{Error, Result, Timestamp};
use std::collections::HashSet;
use std::time::Duration;
use store::{Clock, Store};
use tokio::task::JoinSet;

/// Between two looks at the list of carriers.
const CARRIERS_EVERY: Duration = Duration::from_secs(2);
/// Between two looks at a lane when nobody hints.
const IDLE: Duration = Duration::from_millis(200);
/// Until the next try for a lane that another process has.
const OTHERS: Duration = Duration::from_millis(500);

/// Runs every carrier's task.
pub(super) async fn run(store: Store, clock: Clock, wake: Wake, holder: Holder, mut stopped: Stopped) {
    let mut tasks = JoinSet::new();
    let mut running = HashSet::new();
    loop {
        match store.read((), carrier::all).await {
            Ok(carriers) => {
                for (id, name, kind) in carriers {
                    if running.insert(id) {
                        tracing::info!(carrier = %name, kind = kind.name(), "carrier");
                        let CarrierKind::Simulated = kind;
                        let desk = Desk::new(store.clone(), clock.clone(), wake.clone(), id, holder);
                        tasks.spawn(desk.run(stopped.clone()));
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "carriers cannot be read; trying again"),
        }
        if stopped.after(CARRIERS_EVERY).await {
            break;
        }
    }
    while tasks.join_next().await.is_some() {}
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
        let unknown = self.store.write((self.shift.carrier, receipts), part::reported).await?;
        if unknown > 0 {
            tracing::debug!(carrier = self.shift.carrier.0, unknown, "receipts about nothing that is open");
        }
        self.wake.callbacks();
        Ok(true)
    }
}
