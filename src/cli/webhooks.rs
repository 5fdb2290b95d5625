//! `webhook`: looking at callbacks, sending them again, and the endpoints that they go to.

use super::{Failure, Outcome, account_id, moment, say};
use crate::core::audit::{Act, Actor, audited};
use crate::core::callback::CallbackId;
use crate::core::callback_log::{self, Entry, Line, ReplaySome, Stretch, first_id};
use crate::core::endpoint::{self, COUNTED_MAX, Endpoint};
use crate::core::rendered::Rendered;
use crate::core::{Result as CoreResult, Scope, Timestamp, account, event};
use crate::installation::Installation;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

#[derive(Subcommand)]
pub(super) enum WebhookCommand {
    /// List an account's callbacks, the newest first
    Log(Log),
    /// Show one callback with every attempt: when, what was sent, what came back
    Show {
        /// Account number or partner id
        account_id: String,
        /// The callback's id, as `webhook log` shows it
        id: String,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Send one callback again: the same bytes with fresh signatures
    Replay {
        /// Account number or partner id
        account_id: String,
        /// The callback's id, as `webhook log` shows it
        id: String,
    },
    /// Send all callbacks of an account again that were made since a time
    ReplaySince {
        /// Account number or partner id
        account_id: String,
        /// Such as 2026-11-22T08:00:00Z, or 2h for two hours ago
        time: String,
        /// Only those whose last attempt failed
        #[arg(long)]
        failed: bool,
    },
    /// List the endpoints that fail, and which of them are paused
    Endpoints {
        /// Account number or partner id; all accounts without it
        account_id: Option<String>,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Send what waits for a failing endpoint at once
    Resume {
        /// Account number or partner id
        account_id: String,
        /// Its scheme, host and port, such as `https://hooks.example`
        url_origin: String,
    },
}

#[derive(Args)]
pub(super) struct Log {
    /// Account number or partner id
    account_id: String,
    /// Only those made since then: such as 2026-11-22T08:00:00Z, or 2h for two hours ago
    #[arg(long)]
    since: Option<String>,
    /// Only those whose last attempt failed
    #[arg(long)]
    failed: bool,
    /// At most so many
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// After every id.
const LAST: CallbackId = CallbackId([0xFF; 16]);

pub(super) async fn run(installation: &Installation, command: WebhookCommand) -> Outcome {
    let store = &installation.store;
    match command {
        WebhookCommand::Log(log) => show_log(installation, log).await?,
        WebhookCommand::Show { account_id: account, id, json } => {
            let scope = scope(installation, &account).await?;
            let id = callback_id(&id)?;
            let mut entry = store.read((scope, id), callback_log::find).await?;
            // What an event tells stands with it.
            if let Some((_, body)) = store.read((scope, id), event::view).await? {
                let url = entry.url.clone();
                entry.rendered = Some(Rendered { url, body: Some(("application/json".to_owned(), body)) });
            }
            show(&entry, json);
        }
        WebhookCommand::Replay { account_id: account, id } => {
            let scope = scope(installation, &account).await?;
            let about = |(scope, id): &(Scope, CallbackId), (): &()| {
                Act::on(scope.account, "webhook.replay").object(id)
            };
            let unit = audited(Actor::command_line(), callback_log::replay, about);
            store.write((scope, callback_id(&id)?), unit).await?;
        }
        WebhookCommand::ReplaySince { account_id: account, time, failed } => {
            let scope = scope(installation, &account).await?;
            let now = Timestamp(installation.clock.now_us());
            let from = first_id(past(&time, now)?);
            // What is made while this runs is sent anyway.
            let mut stretch =
                Stretch { scope, from, until: first_id(Timestamp(now.0.saturating_add(1_000))) };
            let mut count = 0;
            loop {
                let about = |asked: &ReplaySome, (count, _): &(u64, Option<CallbackId>)| {
                    (*count > 0).then(|| {
                        Act::on(asked.stretch.scope.account, "webhook.replay-many").with("count", count)
                    })
                };
                let unit = audited(Actor::command_line(), callback_log::replay_some, about);
                let (some, next) = store.bulk(ReplaySome { stretch, failed }, unit).await?;
                count += some;
                match next {
                    Some(next) => stretch.from = next,
                    None => break,
                }
            }
            say(&format!("{count} callbacks are sent again"));
        }
        WebhookCommand::Endpoints { account_id: account, json } => {
            let account = match account {
                Some(id) => Some(account_id(installation, &id).await?),
                None => None,
            };
            endpoints(&store.scan(account, endpoint::failing).await?, json);
        }
        WebhookCommand::Resume { account_id: account, url_origin } => {
            let scope = scope(installation, &account).await?;
            let about = |(scope, origin): &(Scope, String), (): &()| {
                Act::on(scope.account, "webhook.resume").object(origin)
            };
            store.write((scope, url_origin), audited(Actor::command_line(), endpoint::resume, about)).await?;
        }
    }
    Ok(())
}

async fn scope(installation: &Installation, id: &str) -> CoreResult<Scope> {
    let id = account_id(installation, id).await?;
    Ok(installation.store.read(id, account::find).await?.scope())
}

fn callback_id(text: &str) -> Result<CallbackId, Failure> {
    text.parse().map_err(|_| Failure(format!("{text} is no callback's id; `webhook log` shows them")))
}

/// A moment, or so long ago.
fn past(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    moment(text, now, -1)
}

async fn show_log(installation: &Installation, log: Log) -> Outcome {
    let Log { account_id: account, since, failed, limit, json } = log;
    let scope = scope(installation, &account).await?;
    let now = Timestamp(installation.clock.now_us());
    let from = since.map(|since| past(&since, now)).transpose()?.map_or(CallbackId([0; 16]), first_id);
    let mut stretch = Stretch { scope, from, until: LAST };
    let mut shown: Vec<Entry> = Vec::new();
    while shown.len() < limit {
        let some = installation.store.read(stretch, callback_log::newest).await?;
        let Some(last) = some.last() else { break };
        stretch.until = last.id;
        shown.extend(some.into_iter().filter(|entry| !failed || entry.has_failed()));
    }
    shown.truncate(limit);
    if json {
        say(&Value::Array(shown.iter().map(summary).collect()).to_string());
        return Ok(());
    }
    for entry in &shown {
        let (made, kind, state) = (entry.created().rfc3339_offset(), entry.kind.name(), state(entry));
        let last = entry.attempts.last().map(answer).unwrap_or_default();
        let line = format!("{}  {made}  {kind:<13} {state:<9} {:>2}  {last}", entry.id, entry.attempts.len());
        say(line.trim_end());
    }
    Ok(())
}

fn state(entry: &Entry) -> &'static str {
    match (entry.open, entry.is_done()) {
        (true, _) => "waits",
        (false, true) => "told",
        (false, false) => "given up",
    }
}

fn answer(line: &Line) -> String {
    line.answer.as_ref().map_or_else(Clone::clone, u16::to_string)
}

fn url(entry: &Entry) -> String {
    let rendered = entry.rendered.clone().unwrap_or_else(|| Rendered::get(entry.url.clone()));
    rendered.shown_url(&entry.url)
}

fn summary(entry: &Entry) -> Value {
    json!({
        "id": entry.id.to_string(),
        "kind": entry.kind.name(),
        "state": state(entry),
        "message": entry.message.to_string(),
        "recipient": entry.recipient.to_string(),
        "status": entry.status.name(),
        "url": url(entry),
        "attempts": entry.attempts.len(),
        "answer": entry.attempts.last().map(answer),
        "createdDatetime": entry.created().rfc3339_offset(),
        "dueDatetime": entry.open.then(|| entry.due.rfc3339_offset()),
    })
}

fn show(entry: &Entry, json: bool) {
    let body = entry.rendered.as_ref().and_then(|rendered| rendered.body.clone());
    let method = entry.rendered.as_ref().map(Rendered::method);
    if json {
        let mut document = summary(entry);
        document["method"] = method.into();
        document["contentType"] = body.as_ref().map(|(kind, _)| kind.as_str()).into();
        document["body"] = body.as_ref().map(|(_, body)| body.as_str()).into();
        let attempts = entry.attempts.iter().map(|line| {
            json!({
                "datetime": line.at.rfc3339_offset(),
                "durationMs": line.took_ms,
                "status": line.answer.as_ref().ok(),
                "error": line.answer.as_ref().err(),
                "headers": line.headers,
                "answer": line.said,
            })
        });
        document["attempts"] = attempts.collect();
        say(&document.to_string());
        return;
    }
    say(&format!("id       {}\nstate    {}\nmessage  {}", entry.id, state(entry), entry.message));
    say(&format!("request  {} {}", method.unwrap_or("GET"), url(entry)));
    if let Some((kind, body)) = body {
        say(&format!("         {kind}: {body}"));
    }
    for line in &entry.attempts {
        say(&format!("\n{}  {} ms  {}", line.at.rfc3339_offset(), line.took_ms, answer(line)));
        if !line.headers.is_empty() {
            say(&format!("  with {}", line.headers.join(", ")));
        }
        if !line.said.is_empty() {
            say(&format!("  {}", line.said));
        }
    }
}

fn endpoints(endpoints: &[Endpoint], json: bool) {
    let time = |at: Option<Timestamp>| at.map(Timestamp::rfc3339_offset);
    if json {
        let all = endpoints.iter().map(|endpoint| {
            json!({
                "account": endpoint.account.0,
                "origin": endpoint.origin,
                "failures": endpoint.failures,
                "sinceDatetime": endpoint.since.rfc3339_offset(),
                "latestDatetime": endpoint.latest.rfc3339_offset(),
                "answer": endpoint.answer,
                "pausedDatetime": time(endpoint.paused),
                "probeDatetime": time(endpoint.probe),
                "waiting": endpoint.waiting,
            })
        });
        say(&Value::Array(all.collect()).to_string());
        return;
    }
    for endpoint in endpoints {
        let Endpoint { account, origin, failures, waiting, answer, .. } = endpoint;
        let state = match (time(endpoint.paused), time(endpoint.probe)) {
            (Some(since), Some(next)) => format!("paused since {since}, tried next at {next}"),
            _ => format!("fails since {}", endpoint.since.rfc3339_offset()),
        };
        let waiting =
            if *waiting < COUNTED_MAX { waiting.to_string() } else { format!("{COUNTED_MAX} or more") };
        say(&format!("{account}  {origin}  {state}; {failures} failures, {waiting} wait; last: {answer}"));
    }
}
