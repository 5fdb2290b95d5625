//! The SMPP server: customers' own systems bind with the credentials of an SMPP user (`core/smpp_user.rs`), send, and get
//! receipts and what phones answer. docs/smpp-server.md is what is promised.
//!
//! [`Server`] knows who is bound in this process: it judges binds, and unbinds whoever may no longer be bound. A
//! connection is driven by `connection.rs`; what it sends goes the way of POST /messages (`submit.rs`); what it gets comes
//! out of the outbox of callbacks (`report.rs`).

mod connection;
mod door;
mod report;
mod submit;

use super::limit::{Bucket, Rate};
use super::{Common, Keys, Options};
use crate::core::account::Status as Standing;
use crate::core::lease::Lane;
use crate::core::secret::Vault;
use crate::core::smpp_outbox;
use crate::core::smpp_user::{self, SystemId, User};
use crate::core::terms::Book;
use crate::core::wake::Wake;
use crate::core::{AccountId, Error, Result};
use ::smpp::session::{Bind, BindKind};
use ::smpp::short_message::ShortMessage;
use ::smpp::status::Status;
use door::Door;
pub use door::Stranger;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use quick_cache::sync::Cache;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::{Clock, Entropy, Store};
use tokio::sync::{Notify, mpsc, oneshot, watch};

/// What the server calls itself in answers to binds.
const NAME: &str = "Rookery";
/// Messages a second of a user of which nothing else was said, as for a key.
const MESSAGES: i64 = 500;
/// System ids remembered.
const REMEMBERED_MAX: usize = 100_000;
/// How often it is looked whether those who are bound still may be. With the look at the generations it keeps the promise
/// of one second.
const LOOKS: Duration = Duration::from_millis(100);
/// Users that one read looks at.
const AT_ONCE: usize = 128;
/// From a hint to the look for receipts, so that a look serves many hints.
const HINTS: Duration = Duration::from_millis(5);
/// Between two looks for receipts when nobody hints.
const IDLE: Duration = Duration::from_millis(200);

/// The SMPP server of a process.
pub struct Server {
    store: Store,
    vault: Vault,
    keys: Arc<Keys>,
    terms: Arc<Book>,
    wake: Wake,
    clock: Clock,
    entropy: Entropy,
    limits: bool,
    /// Originators that nobody may use.
    reserved: Vec<String>,
    door: Door,
    bound: Mutex<HashMap<SystemId, Arc<Desk>>>,
    /// What each user sends is metered across its binds.
    meters: Cache<SystemId, Arc<Bucket>>,
    reporting: mpsc::UnboundedSender<Arc<Desk>>,
    to_report: Mutex<Option<mpsc::UnboundedReceiver<Arc<Desk>>>>,
}

/// A message on its way to a user, for whichever of its binds has room.
struct Job {
    message: ShortMessage,
    /// Whether a bind has it.
    taken: Arc<AtomicBool>,
    done: oneshot::Sender<Heard>,
}

/// What a user's system said to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    /// It has it.
    Taken,
    /// It does not take it now.
    Refused(Status),
    /// It said nothing: it may have it.
    Nothing,
    /// It was not sent.
    Unsent,
}

/// A user that is bound here, with all its binds.
struct Desk {
    user: User,
    /// Of what there is to tell it.
    lane: Lane,
    meter: Arc<Bucket>,
    binds: Mutex<Binds>,
    /// How many binds receive.
    receivers: watch::Sender<usize>,
    jobs: mpsc::Sender<Job>,
    queue: tokio::sync::Mutex<mpsc::Receiver<Job>>,
    /// There may be something to tell.
    hint: Notify,
    /// It may no longer be bound.
    dismissed: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Binds {
    count: i64,
    /// Whether somebody works on its receipts.
    reported: bool,
}

impl Desk {
    fn new(user: User, meter: Arc<Bucket>) -> Desk {
        let (jobs, queue) = mpsc::channel(1);
        Desk {
            lane: smpp_outbox::lane(user.scope, user.system_id.as_str()),
            user,
            meter,
            binds: Mutex::default(),
            receivers: watch::Sender::new(0),
            jobs,
            queue: tokio::sync::Mutex::new(queue),
            hint: Notify::new(),
            dismissed: watch::Sender::new(false),
        }
    }

    fn binds(&self) -> MutexGuard<'_, Binds> {
        self.binds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Messages that one bind may have unanswered, each way.
    fn window(&self) -> usize {
        usize::try_from(self.user.window).unwrap_or(1).max(1)
    }
}

/// A bind's place at its user's desk; dropped with the connection.
struct Seat {
    server: Arc<Server>,
    desk: Arc<Desk>,
    receives: bool,
}

impl Seat {
    /// From here on it gets nothing more.
    fn receive_no_more(&mut self) {
        if std::mem::take(&mut self.receives) {
            let _binds = self.desk.binds();
            self.desk.receivers.send_modify(|count| *count = count.saturating_sub(1));
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.receive_no_more();
        let mut bound = self.server.bound();
        let mut binds = self.desk.binds();
        binds.count -= 1;
        let id = &self.desk.user.system_id;
        if binds.count == 0 && bound.get(id).is_some_and(|desk| Arc::ptr_eq(desk, &self.desk)) {
            bound.remove(id);
        }
    }
}

impl Server {
    /// A server on a store whose schema is up to date.
    pub fn new(
        store: Store,
        vault: Vault,
        common: Common,
        options: &Options,
        clock: Clock,
        entropy: Entropy,
    ) -> Self {
        let limits = options.rate_limits;
        let (reporting, to_report) = mpsc::unbounded_channel();
        Server {
            store,
            vault,
            keys: common.keys,
            terms: common.terms,
            wake: common.wake,
            clock,
            entropy,
            limits,
            reserved: options.reserved_originators.clone(),
            door: Door::new(limits),
            bound: Mutex::default(),
            meters: Cache::new(REMEMBERED_MAX),
            reporting,
            to_report: Mutex::new(Some(to_report)),
        }
    }

    fn bound(&self) -> MutexGuard<'_, HashMap<SystemId, Arc<Desk>>> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What runs beside the connections: unbinds who may no longer be bound, and tells what there is to tell. Ends with
    /// `stop`, when what was under way has been recorded.
    pub async fn run(self: Arc<Self>, stop: watch::Receiver<bool>) {
        let desks = self.to_report.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut desks) = desks else { return };
        let mut reports = FuturesUnordered::new();
        let (watch, hints) = (self.watch(stop.clone()), self.hints(stop.clone()));
        let (mut watch, mut hints) = (std::pin::pin!(watch), std::pin::pin!(hints));
        let (mut watching, mut hinting, mut stopped) = (true, true, stop.clone());
        while watching || hinting || !reports.is_empty() {
            tokio::select! {
                () = &mut watch, if watching => watching = false,
                () = &mut hints, if hinting => hinting = false,
                Some(desk) = desks.recv(), if !*stopped.borrow_and_update() => {
                    reports.push(Box::pin(report::run(Arc::clone(&self), desk, stop.clone())));
                }
                Some(()) = reports.next(), if !reports.is_empty() => {}
            }
        }
    }

    /// Looks what there is to tell, once for all who are bound here, and hints to whom; until the stop.
    async fn hints(&self, mut stop: watch::Receiver<bool>) {
        loop {
            let hinted = async {
                self.wake.on_receipts().await;
                tokio::time::sleep(HINTS).await;
            };
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                _ = tokio::time::timeout(IDLE, hinted) => {}
            }
            if let Err(error) = self.hint().await {
                tracing::warn!(%error, "receipts by SMPP cannot be looked for; trying again");
                tokio::time::sleep(IDLE).await;
            }
        }
    }

    async fn hint(&self) -> Result<()> {
        let receives = |desk: &&Arc<Desk>| *desk.receivers.borrow() > 0;
        let desks: HashMap<Lane, Arc<Desk>> =
            self.bound().values().filter(receives).map(|desk| (desk.lane, Arc::clone(desk))).collect();
        let mut after = smpp_outbox::BEFORE;
        while !desks.is_empty() {
            let due = self.store.read(after, smpp_outbox::due_lanes).await?;
            for desk in due.iter().filter_map(|lane| desks.get(lane)) {
                desk.hint.notify_one();
            }
            match due.last() {
                Some(last) if due.len() >= smpp_outbox::LANES => after = *last,
                _ => break,
            }
        }
        Ok(())
    }

    /// Unbinds whoever may no longer be bound, until the stop.
    async fn watch(&self, mut stop: watch::Receiver<bool>) {
        let mut seen = self.keys.generation();
        while tokio::time::timeout(LOOKS, stop.wait_for(|stop| *stop)).await.is_err() {
            // Taken before the look: what changes during it is looked at again.
            let generation = self.keys.generation();
            if generation == seen {
                continue;
            }
            match self.look().await {
                Ok(()) => seen = generation,
                Err(error) => tracing::warn!(%error, "SMPP users cannot be read; trying again"),
            }
        }
    }

    async fn look(&self) -> Result<()> {
        let desks: Vec<Arc<Desk>> = self.bound().values().cloned().collect();
        for some in desks.chunks(AT_ONCE) {
            let ids: Arc<[SystemId]> = some.iter().map(|desk| desk.user.system_id.clone()).collect();
            let standings = self.store.read(ids, smpp_user::standings).await?;
            for (desk, standing) in some.iter().zip(standings) {
                let may = standing.is_some_and(|standing| {
                    standing.status == Standing::Active && standing.user == desk.user
                });
                if !may {
                    desk.dismissed.send_replace(true);
                }
            }
        }
        Ok(())
    }

    /// A place for a connection from there on which nobody is bound yet; `None` if there are too many.
    pub fn stranger(&self, from: IpAddr) -> Option<Stranger> {
        self.door.stranger(from)
    }

    /// Judges a bind; the status says why not.
    async fn admit(self: &Arc<Self>, bind: &Bind, from: IpAddr) -> std::result::Result<Seat, Status> {
        let tried = self.door.may_try(&bind.system_id, from, self.clock.now_us());
        let Some(mut tried) = tried else { return Err(Status::BIND_FAILED) };
        let judged = self.judge(bind).await;
        match &judged {
            Err(Status::INVALID_PASSWORD) => {}
            Err(_) => tried.take_back(),
            Ok(seat) => {
                tried.take_back();
                self.door.knows(seat.desk.user.system_id.clone(), from);
            }
        }
        judged
    }

    async fn judge(self: &Arc<Self>, bind: &Bind) -> std::result::Result<Seat, Status> {
        let Ok(id) = SystemId::parse(&bind.system_id) else { return Err(Status::INVALID_PASSWORD) };
        // Taken before the read: who is told of a later change is whoever has a place by then.
        let generation = self.keys.generation();
        let standing = self.standing(&id).await?;
        // Of a system id that is nobody's no more is said than of a wrong password.
        let right = standing.filter(|standing| standing.has_password(&self.vault, &bind.password));
        let Some(standing) = right else { return Err(Status::INVALID_PASSWORD) };
        if standing.status != Standing::Active {
            return Err(Status::BIND_FAILED);
        }
        let seat = self.seat(standing.user, bind.kind).ok_or(Status::BIND_FAILED)?;
        if self.keys.generation() != generation {
            let now = self.standing(&id).await?;
            let may = now.is_some_and(|now| now.status == Standing::Active && now.user == seat.desk.user);
            if !may {
                return Err(Status::BIND_FAILED);
            }
        }
        Ok(seat)
    }

    async fn standing(&self, id: &SystemId) -> std::result::Result<Option<smpp_user::Standing>, Status> {
        self.store.read(id.clone(), smpp_user::standing).await.map_err(|error: Error| {
            tracing::warn!(%error, "an SMPP user cannot be read");
            Status::SYSTEM_ERROR
        })
    }

    /// A place at the user's desk, if it has not too many already.
    fn seat(self: &Arc<Self>, user: User, kind: BindKind) -> Option<Seat> {
        let mut bound = self.bound();
        let there = bound.get(&user.system_id).filter(|desk| desk.user == user).cloned();
        let desk = there.unwrap_or_else(|| {
            let meter = self.meters.get(&user.system_id).unwrap_or_else(|| {
                let fresh = Arc::new(Bucket::default());
                self.meters.insert(user.system_id.clone(), Arc::clone(&fresh));
                fresh
            });
            let fresh = Arc::new(Desk::new(user, meter));
            if let Some(old) = bound.insert(fresh.user.system_id.clone(), Arc::clone(&fresh)) {
                // The user was made anew.
                old.dismissed.send_replace(true);
            }
            fresh
        });
        let mut binds = desk.binds();
        if binds.count >= desk.user.binds || *desk.dismissed.borrow() {
            return None;
        }
        binds.count += 1;
        if kind.receives() {
            desk.receivers.send_modify(|count| *count += 1);
            if !std::mem::replace(&mut binds.reported, true) {
                // Nobody listening means that the process stops.
                let _ = self.reporting.send(Arc::clone(&desk));
            }
        }
        drop(binds);
        Some(Seat { server: Arc::clone(self), desk, receives: kind.receives() })
    }

    /// Takes one message from a user's meter.
    fn meter(&self, desk: &Desk) -> bool {
        let rate = match desk.user.throughput {
            Some(count) => count,
            None if self.limits => MESSAGES,
            None => return true,
        };
        desk.meter.take(Rate::per_second(rate.max(1)), self.clock.now_us()).is_ok()
    }

    async fn terms(&self, account: AccountId) -> Result<Arc<crate::core::terms::Terms>> {
        self.terms.of(&self.store, account).await
    }
}

impl Job {
    fn is_wanted(&self) -> bool {
        !self.done.is_closed()
    }

    /// A bind sends it now.
    fn take(self) -> (ShortMessage, oneshot::Sender<Heard>) {
        self.taken.store(true, Ordering::Release);
        (self.message, self.done)
    }
}
