//! The desks of transports that are spoken to over HTTP: one task each, which holds the transport's lease, sends what waits
//! for it, asks for the numbers that were shared, and fetches files that came in. What the network tells comes to the server by
//! itself (`wire/transport_reports.rs`), in any process.
//!
//! A message is marked before its request leaves. What certainly was not taken waits again; what left and was not answered
//! is in doubt, and the transport's settings say what becomes of it.

mod words;

use super::Stopped;
use super::clerk::{IDLE, Means, OTHERS};
use super::egress::{self, Egress};
use super::pace::Pace;
use crate::core::chat::{self, Answer, Part};
use crate::core::event::Dialect;
use crate::core::http_transport::HttpTransport;
use crate::core::lease;
use crate::core::media::{self, Fetched, Wanted};
use crate::core::secret::Vault;
use crate::core::sharing::{self, Found, Open};
use crate::core::smpp_carrier::Doubt;
use crate::core::transport::{self, Transport, TransportId, TransportKind, Which};
use crate::core::{Error, Result};
use hyper::Method;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use words::Verdict;

/// Between two looks at the list of transports.
const LOOKS_EVERY: Duration = Duration::from_secs(2);
/// Between two renewals of the lease, which lasts three seconds.
const KEEPS_US: i64 = 1_000_000;
/// A connection that is not made by then will not be.
const CONNECTED_WITHIN: Duration = Duration::from_secs(5);
/// At a stop answers are waited for this long; what is unanswered then is in doubt.
const ANSWERED_WITHIN: Duration = Duration::from_secs(8);
/// Largest file that is fetched: what the network allows for sounds and films.
const FILE_MAX: usize = 16 * 1024 * 1024;
/// Longest pause that a network may ask for.
const REST_MAX_US: i64 = 3_600_000_000;

/// What the tasks work with.
pub(super) struct Office {
    pub(super) means: Means,
    pub(super) vault: Vault,
    pub(super) dialect: Dialect,
}

/// A transport's task, and what it was started for.
struct Job {
    of: Transport,
    task: AbortHandle,
    /// Its end tells the task to stop.
    _stop: watch::Sender<bool>,
}

/// Runs every transport's task: starts those of new ones, ends those of removed ones, and begins anew where something has
/// changed.
pub(super) async fn run(office: Office, mut stopped: Stopped) {
    let mut tasks = JoinSet::new();
    let mut jobs: HashMap<TransportId, Job> = HashMap::new();
    // A transport has one task at a time.
    let mut ending: HashMap<TransportId, AbortHandle> = HashMap::new();
    loop {
        match office.means.store.read((), transport::all).await {
            Ok(transports) => {
                let same = |job: &Job| transports.iter().any(|one| alike(one, &job.of));
                for (id, job) in jobs.extract_if(|_, job| job.task.is_finished() || !same(job)) {
                    ending.insert(id, job.task);
                }
                ending.retain(|_, task| !task.is_finished());
                for one in transports.into_iter().filter(|one| one.kind == TransportKind::Http) {
                    if jobs.contains_key(&one.id) || ending.contains_key(&one.id) {
                        continue;
                    }
                    let (stop, until) = watch::channel(false);
                    if let Some(desk) = office.desk(&one) {
                        let task = tasks.spawn(desk.run(Stopped(until)));
                        jobs.insert(one.id, Job { of: one, task, _stop: stop });
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "transports cannot be read; trying again"),
        }
        if stopped.after(LOOKS_EVERY).await {
            break;
        }
        while tasks.try_join_next().is_some() {}
    }
    drop(jobs);
    while tasks.join_next().await.is_some() {}
}

/// Whether nothing has changed that a task was started with.
fn alike(one: &Transport, other: &Transport) -> bool {
    one.id == other.id && one.settings == other.settings && one.token == other.token
}

impl Office {
    /// A transport's desk; none if it cannot work, which is said.
    fn desk(&self, of: &Transport) -> Option<Desk> {
        let name = &of.name;
        let settings = HttpTransport::read(&of.settings)
            .inspect_err(|wrong| {
                tracing::error!(transport = %name, setting = wrong.field, "a transport's setting is wrong; set it with `rookery transport set`");
            })
            .ok()?;
        let opened = self.vault.open(Which::Token.place(of.id), of.token.as_deref().unwrap_or_default());
        let Some(token) = opened.ok().and_then(|bytes| String::from_utf8(bytes).ok()) else {
            tracing::error!(transport = %name, "a transport's token does not open; set it anew");
            return None;
        };
        let way = Egress::with(egress::Options {
            allow_private: settings.is_private,
            within: settings.response_timeout,
            connected_within: CONNECTED_WITHIN.min(settings.response_timeout / 2),
            ..egress::Options::default()
        });
        let egress = way
            .inspect_err(|error| tracing::error!(transport = %name, %error, "there is no way to a transport"))
            .ok()?;
        tracing::info!(transport = %name, "transport");
        let now = self.means.clock.now_us();
        let line = Line {
            of: of.id,
            name: name.as_str().into(),
            settings,
            token: token.into(),
            egress,
            means: self.means.clone(),
            dialect: self.dialect,
        };
        Some(Desk {
            pace: Pace::new(line.settings.throughput, now),
            line: Arc::new(line),
            under_way: JoinSet::new(),
            errand: JoinSet::new(),
            said: Vec::new(),
            kept_at: None,
            is_warned: false,
        })
    }
}

/// What every request to a transport needs.
struct Line {
    of: TransportId,
    /// For the log.
    name: Arc<str>,
    settings: HttpTransport,
    token: Arc<str>,
    egress: Egress,
    means: Means,
    dialect: Dialect,
}

/// One transport's work.
struct Desk {
    line: Arc<Line>,
    /// Requests without an answer yet.
    under_way: JoinSet<(Part, Verdict)>,
    /// What is done beside the messages: one thing at a time.
    errand: JoinSet<Result<bool>>,
    said: Vec<(Part, Answer)>,
    pace: Pace,
    /// When the lease was renewed, if this process has had the lane since it last lost it.
    kept_at: Option<i64>,
    /// Whether it was said that the credentials are not accepted.
    is_warned: bool,
}

impl Desk {
    /// Works while this process has the lease, until it is time to stop.
    async fn run(mut self, mut stopped: Stopped) {
        loop {
            match self.work(&mut stopped).await {
                Ok(()) => break,
                Err(error) => {
                    if self.kept_at.take().is_some() {
                        tracing::warn!(transport = %self.line.name, %error, "a transport's work stopped; trying again");
                    }
                    // Whoever has the lease next decides about what was not answered.
                    self.under_way.shutdown().await;
                    self.errand.shutdown().await;
                    self.said.clear();
                }
            }
            if stopped.after(OTHERS).await {
                break;
            }
        }
        let lane = (chat::lane(self.line.of), self.line.means.holder);
        let given: Result<()> = self.line.means.store.write(lane, lease::give_back).await;
        if let Err(error) = given {
            tracing::debug!(%error, "a lease was not given back; it ends by itself");
        }
    }

    async fn work(&mut self, stopped: &mut Stopped) -> Result<()> {
        let mut wake = self.line.means.wake.clone();
        let mut leave_at: Option<Instant> = None;
        loop {
            self.keep().await?;
            self.record().await?;
            if leave_at.is_none() {
                self.take().await?;
                self.run_errands();
            }
            let leaving = leave_at.is_some();
            if leaving && self.under_way.is_empty() && self.said.is_empty() {
                return Ok(());
            }
            let last = leave_at.unwrap_or_else(|| Instant::now() + IDLE);
            tokio::select! {
                Some(done) = self.under_way.join_next() => self.answered(done.ok()),
                Some(done) = self.errand.join_next(), if !leaving => {
                    if let Ok(Err(error)) = done {
                        tracing::warn!(transport = %self.line.name, %error, "what a transport has could not be looked at; trying again");
                        tokio::time::sleep(IDLE).await;
                    }
                }
                () = wake.on_parts(), if !leaving => {}
                stop = stopped.after(IDLE), if !leaving => if stop {
                    leave_at = Some(Instant::now() + ANSWERED_WITHIN);
                },
                () = tokio::time::sleep_until(last), if leaving => {
                    tracing::warn!(transport = %self.line.name, requests = self.under_way.len(), "a transport does not answer before the stop");
                    self.under_way.shutdown().await;
                }
            }
            while self.said.len() < SAID_MAX
                && let Some(done) = self.under_way.try_join_next()
            {
                self.answered(done.ok());
            }
        }
    }

    /// Renews the lease when it is time. Takes the lane over if this process has not had it, and decides about what whoever
    /// had it left unanswered.
    async fn keep(&mut self) -> Result<()> {
        let Line { of, means, settings, dialect, .. } = &*self.line;
        let now = means.clock.now_us();
        match self.kept_at {
            Some(kept_at) if now.saturating_sub(kept_at) < KEEPS_US => return Ok(()),
            Some(_) => {
                if !means.store.write((chat::lane(*of), means.holder), lease::keep).await? {
                    return Err(Error::Unavailable("another process has the lane".into()));
                }
            }
            None => {
                while means.store.write((*of, means.holder, settings.doubt, *dialect), chat::resolve).await?
                    > 0
                {}
            }
        }
        self.kept_at = Some(now);
        Ok(())
    }

    /// Records what was said.
    async fn record(&mut self) -> Result<()> {
        if self.said.is_empty() {
            return Ok(());
        }
        let done: Result<()> =
            self.line.means.store.write((self.said.clone(), self.line.dialect), chat::answered).await;
        done?;
        self.said.clear();
        self.line.means.wake.callbacks();
        Ok(())
    }

    /// Takes as much as there is room for and sends it.
    async fn take(&mut self) -> Result<()> {
        let now = self.line.means.clock.now_us();
        let free = self.line.settings.window.saturating_sub(self.under_way.len());
        let room = self.pace.room(free, now);
        let Ok(most @ 1..) = i64::try_from(room) else { return Ok(()) };
        let Line { of, means, .. } = &*self.line;
        let parts = means.store.write((*of, means.holder, most.min(chat::BATCH)), chat::claim).await?;
        self.pace.took(parts.len());
        for part in parts {
            let line = Arc::clone(&self.line);
            self.under_way.spawn(async move {
                let verdict = line.send(&part).await;
                (part, verdict)
            });
        }
        Ok(())
    }

    /// Takes in what became of a request; nothing of one that was ended.
    fn answered(&mut self, sent: Option<(Part, Verdict)>) {
        let Some((part, verdict)) = sent else { return };
        let now = self.line.means.clock.now_us();
        let answer = match verdict {
            Verdict::Said(answer) => {
                if matches!(answer, Answer::Accepted(..)) {
                    self.pace.fine(now);
                    self.is_warned = false;
                }
                answer
            }
            Verdict::Rest(rest) => {
                match rest.and_then(|rest| rest.trim().parse::<i64>().ok()).filter(|rest| *rest > 0) {
                    Some(seconds) => self.pace.rest(now, seconds.saturating_mul(1_000_000).min(REST_MAX_US)),
                    None => self.pace.too_fast(now),
                }
                Answer::Later
            }
            Verdict::NotKnown => {
                self.pace.too_fast(now);
                if !std::mem::replace(&mut self.is_warned, true) {
                    tracing::warn!(transport = %self.line.name, "a transport does not accept our token, or it may not do this; set it with `rookery transport set --token-env`");
                }
                Answer::Later
            }
            Verdict::Doubt => {
                tracing::warn!(transport = %self.line.name, "a transport did not answer");
                self.pace.too_fast(now);
                match self.line.settings.doubt {
                    Doubt::Resend => Answer::Later,
                    Doubt::Fail => Answer::Refused(None),
                    // Its report will say, or its time will be over.
                    Doubt::Wait => return,
                }
            }
        };
        self.said.push((part, answer));
    }

    /// Numbers that were shared, and files that came in.
    fn run_errands(&mut self) {
        if self.errand.is_empty() {
            let line = Arc::clone(&self.line);
            self.errand.spawn(async move {
                let did = line.find_numbers().await? | line.fetch_file().await?;
                if !did {
                    tokio::time::sleep(IDLE).await;
                }
                Ok(did)
            });
        }
    }
}

/// What was said is recorded together.
const SAID_MAX: usize = 64;

impl Line {
    /// Sends a message, its file first.
    async fn send(&self, part: &Part) -> Verdict {
        if part.chat.status == chat::Status::Received {
            return self.asked(words::read(&self.settings, &self.token, part)).await;
        }
        let mut known = None;
        if let Some(id) = words::file(&part.chat) {
            match self.upload(part, id).await {
                Ok(name) => known = Some(name),
                // A file that could not be given leaves nothing in doubt: no message has left.
                Err(Verdict::Doubt) => return Verdict::Said(Answer::Later),
                Err(verdict) => return verdict,
            }
        }
        let request = words::message(&self.settings, &self.token, part, known.as_deref());
        match request {
            Some(request) => self.asked(request).await,
            None => Verdict::Said(Answer::Refused(None)),
        }
    }

    async fn asked(&self, request: egress::Outgoing) -> Verdict {
        match self.egress.send(request).await {
            Ok(answer) => words::verdict(&answer),
            Err(failure) => words::unanswered(failure),
        }
    }

    /// What the network calls a file of ours; it is given to it if it does not know it yet.
    async fn upload(&self, part: &Part, id: String) -> std::result::Result<String, Verdict> {
        let (scope, channel) = (part.chat.scope, part.chat.channel.clone());
        let gone = |error: Error| match error {
            Error::NotFound(_) => Verdict::Said(Answer::Refused(None)),
            _ => Verdict::Said(Answer::Later),
        };
        let file = (scope, channel, id);
        let store = &self.means.store;
        if let Some(name) = store.read(file.clone(), media::reference).await.map_err(gone)? {
            return Ok(name);
        }
        let (kind, content) = store.read(file.clone(), media::content).await.map_err(gone)?;
        let request = words::upload(&self.settings, &self.token, &part.from, &kind, &content);
        let answer = self.egress.send(request).await.map_err(words::unanswered)?;
        let Some(name) = words::said(&answer, "/id").filter(|_| answer.status == 200) else {
            return Err(match words::verdict(&answer) {
                Verdict::Said(Answer::Accepted(..)) => Verdict::Said(Answer::Later),
                verdict => verdict,
            });
        };
        let (scope, _, id) = file;
        let noted: Result<()> = store.write((scope, id, name.clone()), media::named).await;
        noted.map_err(gone)?;
        Ok(name)
    }

    /// Asks for the numbers of business accounts that were shared; whether there were any.
    async fn find_numbers(&self) -> Result<bool> {
        let store = &self.means.store;
        let due = store.read(self.of, sharing::due).await?;
        let did = !due.is_empty();
        for open in due {
            let numbers = self.numbers(&open).await.filter(|numbers| !numbers.is_empty());
            if let Some(numbers) = numbers {
                let found = Found { open, numbers, permitted: true, dialect: self.dialect };
                store.write(found, sharing::complete).await?;
                self.means.wake.callbacks();
            } else {
                let put_off: Result<()> = store.write(open, sharing::put_off).await;
                put_off?;
            }
        }
        Ok(did)
    }

    async fn numbers(&self, open: &Open) -> Option<Vec<sharing::Number>> {
        let request = words::numbers(&self.settings, &self.token, &open.external);
        match self.egress.send(request).await {
            Ok(answer) => {
                let listed = words::listed(&answer, open);
                if listed.is_none() {
                    tracing::warn!(transport = %self.name, status = answer.status, "a transport does not tell a business account's numbers");
                }
                listed
            }
            Err(failure) => {
                tracing::warn!(transport = %self.name, %failure, "a transport cannot be asked");
                None
            }
        }
    }

    /// Fetches the next file that came in; whether there was one.
    async fn fetch_file(&self) -> Result<bool> {
        let store = &self.means.store;
        let Some(wanted) = store.read(self.of, media::wanted).await? else { return Ok(false) };
        let file = self.file(&wanted).await.map(|(kind, content)| (kind, media::hash(&content), content));
        if file.is_none() {
            tracing::warn!(transport = %self.name, "a file that came in could not be fetched");
        }
        let fetched: Result<()> =
            store.bulk(Fetched { wanted, file, dialect: self.dialect }, media::fetched).await;
        fetched?;
        self.means.wake.callbacks();
        Ok(true)
    }

    /// A file's media type and bytes.
    async fn file(&self, wanted: &Wanted) -> Option<(String, Vec<u8>)> {
        let view = self.egress.send(words::view(&self.settings, &self.token, &wanted.id)).await.ok()?;
        let url = words::said(&view, "/url").filter(|_| view.status == 200)?;
        let kind = words::said(&view, "/mime_type")
            .filter(|kind| kind.len() <= 128 && kind.bytes().all(|byte| (32..127).contains(&byte)))?;
        let request = words::ask(Method::GET, url, &self.token, None);
        let answer = self.egress.send_for(request, FILE_MAX + 1).await.ok()?;
        (answer.status == 200 && answer.body.len() <= FILE_MAX).then_some((kind, answer.body))
    }
}
