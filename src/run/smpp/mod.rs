//! An SMPP carrier's desk: holds the carrier's lease, gives its parts to the links, and records what those tell.
//!
//! Each cycle runs its units side by side: what the carrier said, and the next parts for the room that its windows have.
//! A part is marked before it leaves; what the carrier delivers is acknowledged after it is stored; what was not answered
//! when a link broke is in doubt, and the carrier's settings say what becomes of it; what it has named and not reported on
//! may be asked about (`asking`).

mod asking;
mod link;
mod words;

use super::Stopped;
use super::clerk::{Clerk, IDLE, OTHERS, Said};
pub use super::clerk::{Means, Standing};
use super::pace::Pace;
use crate::core::again::{self, Connection, Text};
use crate::core::carrier::{Carrier, CarrierId};
use crate::core::inbound::Taken;
use crate::core::message::Reason;
use crate::core::part::{self, BATCH, Part, PartId};
use crate::core::query::Askable;
use crate::core::receipt::{self, Receipt};
use crate::core::smpp_carrier::{Doubt, SmppSettings};
use crate::core::{Result, Timestamp};
use ::smpp::receipt::normalise;
use ::smpp::session::{Answer, BindKind, Handle, QueryAnswer};
use ::smpp::short_message::ShortMessage;
pub use asking::MOST_ASKED;
use asking::{Asked, Asking};
pub use link::{Command, Conversation, Ears, Note, Way};
use rustls::ClientConfig;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use words::Delivered;

/// Notes that wait for the desk; links wait when there are more.
const NOTES: usize = 1_024;

/// What the carrier says beside its answers, to be recorded.
#[derive(Default)]
struct Brought {
    receipts: Vec<Receipt>,
    /// What to acknowledge when the receipts are stored.
    handles: Vec<(usize, Handle)>,
    /// Of phones, each with what to acknowledge when it is stored.
    texts: Vec<((usize, Handle), again::Brought)>,
}

/// One of the connections, as the desk sees it.
struct Line {
    commands: mpsc::UnboundedSender<Command>,
    can_submit: bool,
    is_up: bool,
    /// Since when it is up, and when its connection before that ended.
    over: Connection,
    /// When it was last up.
    ended: Option<Timestamp>,
    unanswered: usize,
}

/// One carrier's work. `Desk::run` is all of it; its pieces are open to a simulation, which has no sockets.
pub struct Desk {
    clerk: Clerk,
    way: Way,
    lines: Vec<Line>,
    /// With the carrier, and not answered.
    given: HashMap<PartId, (Part, usize)>,
    /// Not answered in time and left to wait, each with its link: what is answered late still counts.
    late: VecDeque<(Part, usize)>,
    said: Said,
    brought: Brought,
    asking: Asking,
    pace: Pace,
}

impl Desk {
    /// The desk of a carrier; with `tls` its connections are encrypted.
    pub fn new(
        means: Means,
        carrier: &Carrier,
        settings: SmppSettings,
        password: &str,
        tls: Option<Arc<ClientConfig>>,
    ) -> Desk {
        let now = means.clock.now_us();
        let way = Way {
            carrier: carrier.name.as_str().into(),
            password: password.into(),
            kind: BindKind::Transceiver,
            tls,
            clock: means.clock.clone(),
            settings: Arc::new(settings),
        };
        Desk {
            clerk: Clerk::new(means, carrier, way.settings.doubt),
            pace: Pace::new(way.settings.throughput, now),
            asking: Asking::new(Arc::clone(&way.carrier), way.settings.asks_after),
            way,
            lines: Vec::new(),
            given: HashMap::new(),
            late: VecDeque::new(),
            said: Said::default(),
            brought: Brought::default(),
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
        self.clerk.leave().await;
    }

    /// Takes the lane over.
    pub async fn begin(&mut self) -> Result<()> {
        self.clerk.begin().await
    }

    /// What another process decides about from now on.
    pub fn forget(&mut self) {
        self.lines.clear();
        self.given.clear();
        self.late.clear();
        self.said = Said::default();
        self.brought = Brought::default();
        self.asking.forget();
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
            let over = Connection { since: Timestamp(0), before: None };
            self.lines.push(Line { commands, can_submit, is_up: false, over, ended: None, unanswered: 0 });
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
                () = self.clerk.means.wake.on_parts(), if !leaving => true,
                stop = stopped.after(pause), if !leaving => {
                    leaving = stop;
                    true
                }
                _ = links.join_next(), if leaving => true,
            };
            while more
                && self.said.answers.len() + self.brought.receipts.len() + self.brought.texts.len() < BATCH
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
        let kept = self.clerk.keep().await;
        if kept != Standing::Well {
            return kept;
        }
        let mut room = if leaving { 0 } else { self.room() };
        room -= self.ask(room);
        let (said, brought) = (std::mem::take(&mut self.said), std::mem::take(&mut self.brought));
        let (learned, now) = (std::mem::take(&mut self.asking.learned), self.clerk.now());
        let (store, shift) = (&self.clerk.means.store, self.clerk.shift);
        let has_learned = !learned.is_empty();
        let ((mut left, recorded), (behind, acknowledged, stored), taken, (unlearned, told), looked) = tokio::join!(
            self.clerk.record(said),
            store_brought(store, shift.carrier, brought),
            self.clerk.take(room),
            asking::record(store, shift.carrier, learned),
            self.asking.look(store, shift, room, now),
        );
        self.asking.learned.extend(unlearned);
        if has_learned || !acknowledged.is_empty() {
            self.clerk.means.wake.callbacks();
        }
        for (line, handle) in acknowledged {
            self.tell(line, Command::Acknowledge(handle, true));
        }
        let taken = taken.map(|parts| {
            self.pace.took(parts.len());
            for part in parts {
                self.submit(part);
            }
        });
        // What could not be recorded comes first the next time.
        left.append(std::mem::take(&mut self.said));
        (self.said, self.brought) = (left, behind);
        self.clerk.end(recorded.and(stored).and(taken).and(told).and(looked)).await
    }

    fn pause(&self) -> Duration {
        let now = self.clerk.now();
        let next = self.pace.next_at(now).map_or(i64::MAX, |at| at.saturating_sub(now).max(1_000));
        Duration::from_micros(next.unsigned_abs()).min(IDLE)
    }

    /// How many parts may be taken now.
    fn room(&mut self) -> usize {
        let now = self.clerk.now();
        let window = self.way.settings.window;
        let lines = self.lines.iter().filter(|line| line.is_up && line.can_submit);
        let free = lines.map(|line| window.saturating_sub(line.unanswered)).sum::<usize>();
        self.pace.room(free.min(BATCH), now)
    }

    /// The link that has most room.
    fn line(&self) -> Option<usize> {
        let window = self.way.settings.window;
        let lines = self.lines.iter().enumerate();
        let free = lines.filter(|(_, line)| line.is_up && line.can_submit && line.unanswered < window);
        free.min_by_key(|(_, line)| line.unanswered).map(|(number, _)| number)
    }

    /// Asks about parts in their share of the room; answers how many.
    fn ask(&mut self, room: usize) -> usize {
        let mut count = 0;
        for _ in 0..self.asking.share(room) {
            let Some(number) = self.line() else { break };
            let Some(question) = self.asking.next(number) else { break };
            self.lines[number].unanswered += 1;
            let query = words::query(&question, &self.way.settings);
            self.tell(number, Command::Query(question.part, Box::new(query)));
            count += 1;
        }
        self.pace.took(count);
        count
    }

    fn submit(&mut self, part: Part) {
        let Some(message) = words::submission(&part, &self.way.settings, self.clerk.now()) else {
            let answer = part::Answer::Refused { reason: Reason::Rejected, error: None };
            self.said.answers.push((part, answer));
            return;
        };
        let Some(number) = self.line() else {
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
    fn taken_back(&mut self, part: PartId) -> Option<(Part, usize)> {
        let (part, number) = self.given.remove(&part)?;
        if let Some(line) = self.lines.get_mut(number) {
            line.unanswered = line.unanswered.saturating_sub(1);
        }
        Some((part, number))
    }

    /// Takes in what a link tells.
    pub fn note(&mut self, note: Note) {
        let now = self.clerk.now();
        match note {
            Note::Up(line) => {
                if let Some(line) = self.lines.get_mut(line) {
                    line.is_up = true;
                    line.over = Connection { since: Timestamp(now), before: line.ended };
                }
            }
            Note::Down(line, in_doubt) => {
                if let Some(line) = self.lines.get_mut(line) {
                    // One that could not be made has brought nothing.
                    if std::mem::take(&mut line.is_up) {
                        line.ended = Some(Timestamp(now));
                    }
                }
                self.late.retain(|(_, of)| *of != line);
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
                if let Some((part, _)) = self.taken_back(id) {
                    let refused = part::Answer::Refused { reason: Reason::Rejected, error: None };
                    self.said.answers.push((part, refused));
                }
            }
            Note::Overdue(id) => self.overdue(id),
            Note::Answered(id, answer) => {
                // One that was in doubt has been decided about: its late answer tells nothing new.
                if let Some((part, _)) = self.taken_back(id) {
                    self.answered(part, answer, now);
                }
            }
            Note::Late(id, answer) => {
                if let Some(at) = self.late.iter().position(|(part, _)| part.id == id)
                    && let Some((part, _)) = self.late.remove(at)
                {
                    self.answered(part, answer, now);
                }
            }
            Note::Told(id, answer) => self.told(id, &answer, now),
            Note::Delivered(line, handle, message) => self.delivered(line, handle, &message),
        }
        let is_alone = !self.lines.iter().any(|line| line.is_up && line.can_submit);
        self.clerk.away_since = if is_alone { self.clerk.away_since.or(Some(now)) } else { None };
    }

    fn doubt(&mut self, id: PartId) {
        if self.taken_back(id).is_some() {
            self.said.doubtful.push(id);
        }
    }

    /// A part's time for an answer is over. If it is to wait, a late one still names it.
    fn overdue(&mut self, id: PartId) {
        let settings = &self.way.settings;
        if settings.doubt != Doubt::Wait {
            return self.doubt(id);
        }
        let most = settings.window.saturating_mul(self.lines.len());
        if let Some(given) = self.taken_back(id) {
            self.late.push_back(given);
            // No link remembers more.
            while self.late.len() > most {
                self.late.pop_front();
            }
        }
    }

    /// A question is answered, or will not be. What is not final is asked again when its time has come.
    fn told(&mut self, id: PartId, answer: &QueryAnswer, now: i64) {
        let Some(Asked { reference, name, link }) = self.asking.answered(id, answer) else { return };
        if let Some(line) = self.lines.get_mut(link) {
            line.unanswered = line.unanswered.saturating_sub(1);
        }
        match answer {
            QueryAnswer::Known(queried) => {
                // An answer about another message says nothing about this one.
                let form = self.way.settings.answer_ids;
                let is_meant =
                    queried.id.is_empty() || normalise(&queried.id, form) == normalise(&name, form);
                let outcome = words::known(queried).filter(|_| is_meant);
                self.asking.learned.extend(outcome.map(|outcome| Receipt { reference, outcome }));
            }
            QueryAnswer::Throttled { .. } => self.pace.too_fast(now),
            QueryAnswer::Refused { .. } | QueryAnswer::Nothing => {}
        }
    }

    fn answered(&mut self, part: Part, answer: Answer, now: i64) {
        let answer = match answer {
            Answer::Throttled { .. } => {
                self.pace.too_fast(now);
                self.said.back.push(part.id);
                return;
            }
            Answer::Accepted { id } => {
                self.pace.fine(now);
                let reference = normalise(&id, self.way.settings.answer_ids);
                match self.way.settings.asks_after {
                    // Without a name no receipt will ever find it; it needs one of its own all the same.
                    _ if reference.is_empty() => part::Answer::Accepted(part::own_reference(part.id)),
                    Some(after) => {
                        let after_us = i64::try_from(after.as_micros()).unwrap_or(i64::MAX);
                        part::Answer::Askable(reference, Askable { name: id, after_us })
                    }
                    None => part::Answer::Accepted(reference),
                }
            }
            Answer::Refused { status } => {
                part::Answer::Refused { reason: words::refusal(status), error: Some(i64::from(status.0)) }
            }
        };
        self.said.answers.push((part, answer));
    }

    fn brought_text(&mut self, handle: (usize, Handle), message: &ShortMessage, text: Text) {
        let Some(line) = self.lines.get(handle.0) else { return };
        let (carrier, key) = (self.clerk.shift.carrier, words::key(message));
        self.brought.texts.push((handle, again::Brought { text, carrier, key, over: line.over }));
    }

    fn delivered(&mut self, line: usize, handle: Handle, message: &ShortMessage) {
        match words::delivered(message, &self.way.settings, self.clerk.shift.carrier) {
            Delivered::Receipt(receipt) => {
                self.brought.receipts.push(receipt);
                self.brought.handles.push((line, handle));
            }
            Delivered::Text(text) => self.brought_text((line, handle), message, Text::Whole(text)),
            Delivered::Fragment(part) => self.brought_text((line, handle), message, Text::Part(part)),
            Delivered::Nowhere => {
                tracing::warn!(carrier = %self.way.carrier, "a carrier brought a text to what is no number");
                self.tell(line, Command::Acknowledge(handle, true));
            }
        }
    }
}

/// Takes what a phone wrote.
async fn take(store: &Store, brought: again::Brought) -> Result<()> {
    let to = match &brought.text {
        Text::Whole(text) => text.to,
        Text::Part(part) => part.to,
    };
    if store.write(brought, again::take).await? == Some(Taken::Stray) {
        tracing::warn!(to = %to.masked(), "a text came to a number that nobody has; give it to an account with `rookery number add`");
    }
    Ok(())
}

/// Stores receipts and texts; what could not be stored comes back, with the handles of what was.
async fn store_brought(
    store: &Store,
    carrier: CarrierId,
    mut brought: Brought,
) -> (Brought, Vec<(usize, Handle)>, Result<()>) {
    let (mut handles, mut outcome) = (Vec::new(), Ok(()));
    if !brought.receipts.is_empty() {
        match store.write((carrier, brought.receipts.clone()), receipt::heard).await {
            Ok(_) => {
                brought.receipts.clear();
                handles = std::mem::take(&mut brought.handles);
            }
            Err(error) => outcome = Err(error),
        }
    }
    let texts = std::mem::take(&mut brought.texts);
    let taken = futures_util::future::join_all(texts.iter().map(|(_, text)| take(store, text.clone()))).await;
    for (text, taken) in texts.into_iter().zip(taken) {
        match taken {
            Ok(()) => handles.push(text.0),
            Err(error) => {
                brought.texts.push(text);
                outcome = Err(error);
            }
        }
    }
    (brought, handles, outcome)
}
