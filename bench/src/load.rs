//! The closed loop: N connections, each sends its next request when the last one is answered.
//!
//! Any answer that is not the expected one fails the run: a fast server that answers wrongly has no figure.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail, ensure};
use tokio::task::JoinSet;

use crate::http::{Connection, Response};
use crate::people::Person;
use crate::stats::{Meter, Sample, Window};

/// A contact's id as it stands in JSON and paths: 32 hexadecimal digits.
pub(crate) type Id = [u8; 32];

/// What to ask of the server.
#[derive(Clone)]
pub(crate) enum Work {
    /// The bare handler.
    Hello,
    /// `GET /contacts/{id}`, any of these.
    View(Arc<Vec<Id>>),
    /// `GET /contacts?limit=20`.
    List,
    /// `POST /contacts` with the people from `next` up to `end`.
    Create { next: Arc<AtomicU64>, end: u64 },
    /// `DELETE /contacts/{id}`, all of these, once.
    Delete { ids: Arc<Vec<Id>>, next: Arc<AtomicUsize> },
}

/// Where to ask, as whom.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// The value of `Authorization`; the bare handler needs none.
    pub(crate) authorization: Option<Arc<str>>,
}

/// What came of it.
pub(crate) struct Outcome {
    pub(crate) sample: Sample,
    /// Everything created, the warm-up's included.
    pub(crate) created: Vec<Id>,
}

/// Runs until the window closes or the work is used up, whichever is first.
pub(crate) async fn run(
    target: &Target,
    work: &Work,
    connections: u32,
    window: Window,
) -> anyhow::Result<Outcome> {
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        clients.spawn(client(target.clone(), work.clone(), window));
    }
    let patience = window.end.saturating_duration_since(Instant::now()) + Duration::from_secs(30);
    let all = async {
        let mut total = Meter::new(window)?;
        let mut created = Vec::new();
        while let Some(one) = clients.join_next().await {
            let (meter, ids) = one.context("a client task")??;
            total.add(&meter)?;
            created.extend(ids);
        }
        Ok(Outcome { sample: total.sample(), created })
    };
    // Dropping the set ends the other clients.
    tokio::time::timeout(patience, all)
        .await
        .unwrap_or_else(|_| Err(anyhow!("no answer for 30 seconds after the time was up")))
}

async fn client(target: Target, work: Work, window: Window) -> anyhow::Result<(Meter, Vec<Id>)> {
    let mut connection = Connection::open(target.address).await?;
    let mut meter = Meter::new(window)?;
    let mut created = Vec::new();
    let mut random = fastrand::Rng::new();
    let mut writer = RequestWriter::new(&target);
    let mut started = Instant::now();
    loop {
        let wanted = match writer.write(&work, &mut random) {
            Asked::About(id) => Some(id),
            Asked::Anything => None,
            Asked::Nothing => break,
        };
        let response = connection.exchange(writer.bytes.as_bytes()).await?;
        if let Some(id) = check(&work, wanted.as_ref(), &response)? {
            created.push(id);
        }
        let ended = Instant::now();
        if !meter.record(started, ended) {
            break;
        }
        started = ended;
    }
    Ok((meter, created))
}

/// What the written request asks for.
enum Asked {
    About(Id),
    Anything,
    /// The work is used up, and no request was written.
    Nothing,
}

/// Builds requests in one buffer, so that the loop does not allocate.
struct RequestWriter {
    bytes: String,
    body: String,
    headers: String,
}

impl RequestWriter {
    fn new(target: &Target) -> Self {
        let mut headers = format!(" HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\n", target.address);
        if let Some(authorization) = &target.authorization {
            headers.push_str("Authorization: ");
            headers.push_str(authorization);
            headers.push_str("\r\n");
        }
        Self { bytes: String::with_capacity(2048), body: String::with_capacity(1024), headers }
    }

    /// The next request.
    fn write(&mut self, work: &Work, random: &mut fastrand::Rng) -> Asked {
        match work {
            Work::Hello => self.fixed("GET /hello"),
            Work::List => self.fixed("GET /contacts?limit=20"),
            Work::View(ids) => {
                let Some(id) = random.choice(ids.iter()) else { return Asked::Nothing };
                self.by_id("GET", id);
                return Asked::About(*id);
            }
            Work::Delete { ids, next } => {
                let Some(id) = ids.get(next.fetch_add(1, Relaxed)) else { return Asked::Nothing };
                self.by_id("DELETE", id);
                return Asked::About(*id);
            }
            Work::Create { next, end } => {
                let n = next.fetch_add(1, Relaxed);
                if n >= *end {
                    return Asked::Nothing;
                }
                self.body.clear();
                Person::number(n).write_json(&mut self.body);
                self.start("POST /contacts");
                self.bytes.push_str("Content-Type: application/json\r\nContent-Length: ");
                self.bytes.push_str(&self.body.len().to_string());
                self.bytes.push_str("\r\n\r\n");
                self.bytes.push_str(&self.body);
            }
        }
        Asked::Anything
    }

    fn start(&mut self, line: &str) {
        self.bytes.clear();
        self.bytes.push_str(line);
        self.bytes.push_str(&self.headers);
    }

    fn fixed(&mut self, line: &str) {
        if self.bytes.is_empty() {
            self.start(line);
            self.bytes.push_str("\r\n");
        }
    }

    fn by_id(&mut self, method: &str, id: &Id) {
        self.bytes.clear();
        self.bytes.push_str(method);
        self.bytes.push_str(" /contacts/");
        self.bytes.extend(id.iter().map(|&digit| char::from(digit)));
        self.bytes.push_str(&self.headers);
        self.bytes.push_str("\r\n");
    }
}

fn check(work: &Work, wanted: Option<&Id>, response: &Response<'_>) -> anyhow::Result<Option<Id>> {
    let expected = match work {
        Work::Hello | Work::List | Work::View(_) => 200,
        Work::Create { .. } => 201,
        Work::Delete { .. } => 204,
    };
    if response.status != expected {
        bail!("{} answered {} instead of {expected}: {}", work.name(), response.status, response.excerpt());
    }
    match work {
        Work::View(_) => {
            let id = id_of(response.body)?;
            ensure!(
                Some(&id) == wanted,
                "GET /contacts/{{id}} answered another contact: {}",
                response.excerpt()
            );
            Ok(None)
        }
        Work::Create { .. } => id_of(response.body).map(Some),
        Work::Hello | Work::List | Work::Delete { .. } => Ok(None),
    }
}

/// The first `"id"` in the body, without parsing the rest.
fn id_of(body: &[u8]) -> anyhow::Result<Id> {
    const NAME: &[u8] = br#""id":""#;
    body.windows(NAME.len())
        .position(|window| window == NAME)
        .and_then(|at| body.get(at + NAME.len()..))
        .and_then(|rest| rest.first_chunk::<32>())
        .filter(|id| id.iter().all(u8::is_ascii_hexdigit))
        .copied()
        .with_context(|| format!("no contact id in {}", String::from_utf8_lossy(body)))
}

impl Work {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Hello => "GET /hello",
            Self::View(_) => "GET /contacts/{id}",
            Self::List => "GET /contacts?limit=20",
            Self::Create { .. } => "POST /contacts",
            Self::Delete { .. } => "DELETE /contacts/{id}",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_and_nothing_else_is() -> anyhow::Result<()> {
        let id = *b"0123456789abcdef0123456789abcdef";
        assert_eq!(id_of(br#"{"id":"0123456789abcdef0123456789abcdef","href":"x"}"#)?, id);
        assert!(id_of(br#"{"id":"0123"}"#).is_err());
        assert!(id_of(br#"{"id":"0123456789abcdef0123456789abcde/"}"#).is_err());
        Ok(())
    }
}
