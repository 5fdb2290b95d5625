//! An SMPP carrier's desk: holds the carrier's lease, gives its parts to the links, and records what those tell.
//!
//! Each cycle runs its units side by side: what the carrier said, and the next parts for the room that its windows have.
//! A part is marked before it leaves; what the carrier delivers is acknowledged after it is stored; what was not answered
//! when a link broke is in doubt, and the carrier's settings say what becomes of it.

mod link;
mod words;

use super::Stopped;
use super::pace::Pace;
use crate::core::carrier::{self, Carrier};
use crate::core::fragment::{self, Fragment};
use crate::core::inbound::{self, Inbound, Taken};
use crate::core::lease::{self, Holder};
use crate::core::message::Reason;
use crate::core::part::{self, BATCH, InDoubt, Part, PartId, Shift};
use crate::core::receipt::{self, Receipt};
use crate::core::smpp_carrier::{Doubt, SmppSettings};
use crate::core::wake::Wake;
use crate::core::{Error, Result};
use ::smpp::receipt::normalise;
use ::smpp::session::{Answer, BindKind, Handle};
use ::smpp::short_message::ShortMessage;
pub use link::{Command, Conversation, Ears, Note, Way};
use rustls::ClientConfig;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use store::{Clock, Store};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use words::Delivered;

/// Between two looks at the lane when nobody hints; it renews the lease as well.
const IDLE: Duration = Duration::from_millis(200);
/// Until the next try for a lane that another process has, or after a failure of the database.
const OTHERS: Duration = Duration::from_millis(500);
/// Between two renewals of the lease, which lasts three seconds.
const KEEPS_US: i64 = 1_000_000;
/// What is not recorded for so long is left to whoever has the lease by then.
const LOST_US: i64 = 3_000_000;
/// Without any link for so long a carrier is down, and others take its numbers.
const DOWN_US: i64 = 5_000_000;
/// Notes that wait for the desk; links wait when there are more.
const NOTES: usize = 1_024;

/// What a desk works with.
pub struct Means {
    /// Where the parts stand.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// Hints.
    pub wake: Wake,
    /// This process.
    pub holder: Holder,
    /// For connections with TLS.
    pub tls: Option<Arc<ClientConfig>>,
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

/// What is to be recorded.
#[derive(Default)]
struct Said {
    answers: Vec<(Part, part::Answer)>,
    back: Vec<PartId>,
    doubtful: Vec<PartId>,
    receipts: Vec<Receipt>,
    /// What to acknowledge when the receipts are stored.
    handles: Vec<(usize, Handle)>,
    /// Of phones, each with what to acknowledge when it is stored.
    texts: Vec<((usize, Handle), Text)>,
}

/// What a phone wrote.
#[derive(Clone)]
enum Text {
    Whole(Inbound),
    Part(Fragment),
}

impl Said {
    fn is_empty(&self) -> bool {
        self.answers.is_empty()
            && self.back.is_empty()
            && self.doubtful.is_empty()
            && self.receipts.is_empty()
            && self.texts.is_empty()
    }
}

/// One of the connections, as the desk sees it.
struct Line {
    commands: mpsc::UnboundedSender<Command>,
    can_submit: bool,
    is_up: bool,
    unanswered: usize,
}

/// One carrier's work. `Desk::run` is all of it; its pieces are open to a simulation, which has no sockets.
pub struct Desk {
    means: Means,
    shift: Shift,
    way: Way,
    lines: Vec<Line>,
    /// With the carrier, and not answered.
    given: HashMap<PartId, (Part, usize)>,
    said: Said,
    pace: Pace,
    /// Since when no link is up; none while one is.
    alone_since: Option<i64>,
    is_down: bool,
    /// Since when nothing could be recorded.
    failing_since: Option<i64>,
    /// When the lease was renewed.
    kept_at: i64,
}

impl Desk {
    /// The desk of a carrier.
    pub fn new(means: Means, carrier: &Carrier, settings: SmppSettings, password: &str) -> Desk {
        let now = means.clock.now_us();
        let way = Way {
            carrier: carrier.name.as_str().into(),
            password: password.into(),
            kind: BindKind::Transceiver,
            tls: means.tls.clone(),
            clock: means.clock.clone(),
            settings: Arc::new(settings),
        };
        Desk {
            shift: Shift { carrier: carrier.id, holder: means.holder },
            pace: Pace::new(way.settings.throughput, now),
            means,
            way,
            lines: Vec::new(),
            given: HashMap::new(),
            said: Said::default(),
            alone_since: Some(now),
            is_down: carrier.down.is_some(),
            failing_since: None,
            kept_at: now,
        }
    }

    /// Works while this process has the lease, until it is time to stop.
    pub(super) async fn run(mut self, mut stopped: Stopped) {
        loop {
            if self.begin().await.is_ok() {
                let (notes, heard) = mpsc::channel(NOTES);
                let mut links = JoinSet::new();
                for (way, ears) in self.open(&notes) {
                    links.spawn(link::run(way, ears, stopped.clone()));
                }
                drop(notes);
                self.work(heard, &mut links, &mut stopped).await;
                links.shutdown().await;
                self.forget();
            }
            if stopped.after(OTHERS).await {
                break;
            }
        }
        let given: Result<()> = self
            .means
            .store
            .write((part::lane(self.shift.carrier), self.shift.holder), lease::give_back)
            .await;
        if let Err(error) = given {
            tracing::debug!(%error, "a lease was not given back; it ends by itself");
        }
    }

    /// Takes the lane over and decides about what whoever had it left unanswered.
    pub async fn begin(&mut self) -> Result<()> {
        let doubt = self.way.settings.doubt;
        while self.means.store.write(InDoubt { shift: self.shift, parts: None, doubt }, part::resolve).await?
        {
        }
        // Whoever had the lane before may have said that the carrier is down, or up again.
        let carriers: Vec<Carrier> = self.means.store.read((), carrier::all).await?;
        let known = carriers.iter().find(|carrier| carrier.id == self.shift.carrier);
        self.is_down = known.is_some_and(|carrier| carrier.down.is_some());
        self.alone_since = Some(self.means.clock.now_us());
        // Even a lease that was taken long before this is renewed at once.
        self.kept_at = i64::MIN;
        Ok(())
    }

    /// What another process decides about from now on.
    pub fn forget(&mut self) {
        self.lines.clear();
        self.given.clear();
        self.said = Said::default();
        self.failing_since = None;
    }

    /// The links that the carrier is to have, each with the desk's end of it.
    pub fn open(&mut self, notes: &mpsc::Sender<Note>) -> Vec<(Way, Ears)> {
        let settings = Arc::clone(&self.way.settings);
        let kinds: &[BindKind] = if settings.is_pair {
            &[BindKind::Transmitter, BindKind::Receiver]
        } else {
            &[BindKind::Transceiver]
        };
        let kinds = std::iter::repeat_n(kinds, settings.binds).flatten();
        let mut links = Vec::new();
        for (number, kind) in kinds.enumerate() {
            let (commands, asked) = mpsc::unbounded_channel();
            let way = Way { kind: *kind, ..self.way.clone() };
            links.push((way, Ears { number, commands: asked, notes: notes.clone() }));
            let can_submit = kind.transmits();
            self.lines.push(Line { commands, can_submit, is_up: false, unanswered: 0 });
        }
        links
    }

    async fn work(
        &mut self,
        mut heard: mpsc::Receiver<Note>,
        links: &mut JoinSet<()>,
        stopped: &mut Stopped,
    ) {
        let mut leaving = false;
        loop {
            let pause = self.pause();
            let more = tokio::select! {
                note = heard.recv() => match note {
                    Some(note) => {
                        self.note(note);
                        true
                    }
                    // Every link has ended, which they do at a stop.
                    None => break,
                },
                () = self.means.wake.on_parts(), if !leaving => true,
                stop = stopped.after(pause), if !leaving => {
                    leaving = stop;
                    true
                }
                _ = links.join_next(), if leaving => true,
            };
            while more
                && self.said.answers.len() + self.said.receipts.len() < BATCH
                && let Ok(note) = heard.try_recv()
            {
                self.note(note);
            }
            match self.cycle(leaving).await {
                Standing::Well => {}
                Standing::Failing => tokio::time::sleep(IDLE).await,
                Standing::Lost => return,
            }
        }
        self.cycle(true).await;
    }

    /// Records what was said and takes what there is room for.
    pub async fn cycle(&mut self, leaving: bool) -> Standing {
        let now = self.means.clock.now_us();
        if now.saturating_sub(self.kept_at) >= KEEPS_US {
            match self.keep_lane(now).await {
                Ok(true) => {}
                Ok(false) => return self.lost(),
                Err(error) => return self.failed(now, &error),
            }
        }
        let room = if leaving { 0 } else { self.room(now) };
        let said = std::mem::take(&mut self.said);
        let (store, shift) = (self.means.store.clone(), self.shift);
        let doubt = self.way.settings.doubt;
        let recording = record(&store, shift, doubt, said);
        let taking =
            async { if room > 0 { store.write((shift, room), part::claim).await } else { Ok(Vec::new()) } };
        let ((left, acknowledged, recorded), taken) = tokio::join!(recording, taking);
        for (line, handle) in acknowledged {
            self.tell(line, Command::Acknowledge(handle, true));
        }
        let taken: Result<Vec<Part>> = taken;
        let outcome = match taken {
            Ok(parts) => {
                self.pace.took(parts.len());
                for part in parts {
                    self.submit(part);
                }
                recorded
            }
            Err(error) => recorded.and(Err(error)),
        };
        self.keep(left);
        let outcome = match outcome {
            Ok(()) => self.watch(now).await,
            failed => failed,
        };
        match outcome {
            Ok(()) => {
                self.failing_since = None;
                Standing::Well
            }
            Err(error) => match self.keep_lane(now).await {
                Ok(false) => self.lost(),
                _ => self.failed(now, &error),
            },
        }
    }

    /// Renews the lease, however much room there is: what is under way is nobody else's meanwhile. False if another process
    /// has had the lane since.
    async fn keep_lane(&mut self, now: i64) -> Result<bool> {
        let lane = part::lane(self.shift.carrier);
        let kept = self.means.store.write((lane, self.shift.holder), lease::keep).await?;
        self.kept_at = now;
        Ok(kept)
    }

    fn lost(&self) -> Standing {
        tracing::warn!(carrier = %self.way.carrier, "another process works for a carrier now");
        Standing::Lost
    }

    fn failed(&mut self, now: i64, error: &Error) -> Standing {
        let since = *self.failing_since.get_or_insert(now);
        tracing::warn!(carrier = %self.way.carrier, %error, "a carrier's work cannot be recorded; trying again");
        if now.saturating_sub(since) < LOST_US { Standing::Failing } else { Standing::Lost }
    }

    /// What could not be recorded comes first the next time.
    fn keep(&mut self, mut left: Said) {
        let later = std::mem::take(&mut self.said);
        left.answers.extend(later.answers);
        left.back.extend(later.back);
        left.doubtful.extend(later.doubtful);
        left.receipts.extend(later.receipts);
        left.handles.extend(later.handles);
        left.texts.extend(later.texts);
        self.said = left;
    }

    /// Says that the carrier is down when it has been alone for long, and lets others take what waits.
    async fn watch(&mut self, now: i64) -> Result<()> {
        let alone = self.alone_since.is_some_and(|since| now.saturating_sub(since) >= DOWN_US);
        if alone != self.is_down {
            let noted: Result<()> = self.means.store.write((self.shift, alone), carrier::note).await;
            noted?;
            self.is_down = alone;
            if alone {
                tracing::warn!(carrier = %self.way.carrier, "a carrier is down; others take its numbers, where there are any");
            } else {
                tracing::info!(carrier = %self.way.carrier, "a carrier is up again");
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
        let window = self.way.settings.window;
        let lines = self.lines.iter().filter(|line| line.is_up && line.can_submit);
        let free = lines.map(|line| window.saturating_sub(line.unanswered)).sum::<usize>();
        self.pace.room(free.min(BATCH), now)
    }

    fn submit(&mut self, part: Part) {
        let window = self.way.settings.window;
        let Some(message) = words::submission(&part, &self.way.settings, self.means.clock.now_us()) else {
            let answer = part::Answer::Refused { reason: Reason::Rejected, error: None };
            self.said.answers.push((part, answer));
            return;
        };
        let lines = self.lines.iter().enumerate();
        let line = lines
            .filter(|(_, line)| line.is_up && line.can_submit && line.unanswered < window)
            .min_by_key(|(_, line)| line.unanswered)
            .map(|(number, _)| number);
        let Some(number) = line else {
            // The link broke while the parts were taken: nothing has left.
            self.said.back.push(part.id);
            return;
        };
        let id = part.id;
        self.given.insert(id, (part, number));
        self.lines[number].unanswered += 1;
        self.tell(number, Command::Submit(id, Box::new(message)));
    }

    fn tell(&self, line: usize, command: Command) {
        // A link that has ended has told what it did not send.
        if let Some(line) = self.lines.get(line) {
            let _ = line.commands.send(command);
        }
    }

    /// A part is no longer with the carrier, as far as its link knows.
    fn taken_back(&mut self, part: PartId) -> Option<Part> {
        let (part, line) = self.given.remove(&part)?;
        if let Some(line) = self.lines.get_mut(line) {
            line.unanswered = line.unanswered.saturating_sub(1);
        }
        Some(part)
    }

    /// Takes in what a link tells.
    pub fn note(&mut self, note: Note) {
        let now = self.means.clock.now_us();
        match note {
            Note::Up(line) => {
                if let Some(line) = self.lines.get_mut(line) {
                    line.is_up = true;
                }
            }
            Note::Down(line, in_doubt) => {
                if let Some(line) = self.lines.get_mut(line) {
                    line.is_up = false;
                }
                for id in in_doubt {
                    self.doubt(id);
                }
            }
            Note::Unsent(id) => {
                if self.taken_back(id).is_some() {
                    self.said.back.push(id);
                }
            }
            Note::Unwritable(id) => {
                if let Some(part) = self.taken_back(id) {
                    let refused = part::Answer::Refused { reason: Reason::Rejected, error: None };
                    self.said.answers.push((part, refused));
                }
            }
            Note::Overdue(id) => self.doubt(id),
            Note::Answered(id, answer) => self.answered(id, answer, now),
            Note::Delivered(line, handle, message) => self.delivered(line, handle, &message),
        }
        let is_alone = !self.lines.iter().any(|line| line.is_up && line.can_submit);
        self.alone_since = if is_alone { self.alone_since.or(Some(now)) } else { None };
    }

    fn doubt(&mut self, id: PartId) {
        if self.taken_back(id).is_some() {
            self.said.doubtful.push(id);
        }
    }

    fn answered(&mut self, id: PartId, answer: Answer, now: i64) {
        // One that was in doubt has been decided about: its late answer tells nothing new.
        let Some(part) = self.taken_back(id) else { return };
        let answer = match answer {
            Answer::Throttled { .. } => {
                self.pace.too_fast(now);
                self.said.back.push(id);
                return;
            }
            Answer::Accepted { id } => {
                self.pace.fine(now);
                let reference = normalise(&id, self.way.settings.answer_ids);
                // Without a name no receipt will ever find it; it needs one of its own all the same.
                let reference = if reference.is_empty() { format!("-{}", part.id) } else { reference };
                part::Answer::Accepted(reference)
            }
            Answer::Refused { status } => {
                part::Answer::Refused { reason: words::refusal(status), error: Some(i64::from(status.0)) }
            }
        };
        self.said.answers.push((part, answer));
    }

    fn delivered(&mut self, line: usize, handle: Handle, message: &ShortMessage) {
        match words::delivered(message, &self.way.settings, self.shift.carrier) {
            Delivered::Receipt(receipt) => {
                self.said.receipts.push(receipt);
                self.said.handles.push((line, handle));
            }
            Delivered::Text(text) => self.said.texts.push(((line, handle), Text::Whole(text))),
            Delivered::Fragment(part) => self.said.texts.push(((line, handle), Text::Part(*part))),
            Delivered::Nowhere => {
                tracing::warn!(carrier = %self.way.carrier, "a carrier brought a text to what is no number");
                self.tell(line, Command::Acknowledge(handle, true));
            }
        }
    }
}

/// Takes what a phone wrote.
async fn take(store: &Store, text: Text) -> Result<()> {
    let taken = match text {
        Text::Whole(text) => {
            let to = text.to;
            store.write(text, inbound::receive).await.map(|taken| (to, Some(taken)))?
        }
        Text::Part(part) => {
            let to = part.to;
            store.write(part, fragment::gather).await.map(|taken| (to, taken))?
        }
    };
    if let (to, Some(Taken::Stray)) = taken {
        tracing::warn!(to = %to.masked(), "a text came to a number that nobody has; give it to an account with `rookery number add`");
    }
    Ok(())
}

/// Records what was said; what could not be recorded comes back, with the handles of what was.
async fn record(
    store: &Store,
    shift: Shift,
    doubt: Doubt,
    mut said: Said,
) -> (Said, Vec<(usize, Handle)>, Result<()>) {
    if said.is_empty() {
        return (said, Vec::new(), Ok(()));
    }
    let answers = async {
        if said.answers.is_empty() {
            return Ok(());
        }
        store.write((shift, said.answers.clone()), part::answered).await
    };
    let back = async {
        if said.back.is_empty() {
            return Ok(());
        }
        store.write((shift, said.back.clone()), part::put_back).await
    };
    let doubtful = async {
        if said.doubtful.is_empty() {
            return Ok(());
        }
        let parts = Some(said.doubtful.clone());
        store.write(InDoubt { shift, parts, doubt }, part::resolve).await.map(drop)
    };
    let receipts = async {
        if said.receipts.is_empty() {
            return Ok(());
        }
        store.write((shift.carrier, said.receipts.clone()), receipt::heard).await.map(drop)
    };
    let (answers, back, doubtful, receipts): (Result<()>, Result<()>, Result<()>, Result<()>) =
        tokio::join!(answers, back, doubtful, receipts);
    let mut outcome: Result<()> = Ok(());
    let mut done = |result: Result<()>| {
        let is_done = result.is_ok();
        if let Err(error) = result {
            outcome = Err(error);
        }
        is_done
    };
    if done(answers) {
        said.answers.clear();
    }
    if done(back) {
        said.back.clear();
    }
    if done(doubtful) {
        said.doubtful.clear();
    }
    let mut handles = if done(receipts) {
        said.receipts.clear();
        std::mem::take(&mut said.handles)
    } else {
        Vec::new()
    };
    let texts = std::mem::take(&mut said.texts);
    let taken = futures_util::future::join_all(texts.iter().map(|(_, text)| take(store, text.clone()))).await;
    for (text, taken) in texts.into_iter().zip(taken) {
        if done(taken) { handles.push(text.0) } else { said.texts.push(text) }
    }
    (said, handles, outcome)
}
