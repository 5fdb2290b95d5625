//! Webhooks of an account: what was sent to its URLs and what came back, sending it again, endpoints that fail, a test,
//! and a look at signatures.

use super::fields::{Fields, plain};
use super::page::{List, Page, PageParams};
use super::who::Who;
use super::{done, moment};
use crate::core::audit::{Act, audited};
use crate::core::callback::{self, CallbackId};
use crate::core::callback_log::{self, BATCH, Entry, ReplaySome, Stretch, first_id};
use crate::core::endpoint::{self, Endpoint};
use crate::core::partner::{URL_MAX, check_url};
use crate::core::rendered::Rendered;
use crate::core::rights::Right;
use crate::core::signing_key::{self, Open};
use crate::core::{Code, Error, Noun, Scope, Timestamp};
use crate::wire::Shared;
use crate::wire::idempotency::Once;
use crate::wire::messagebird::signature::canonical;
use crate::wire::messagebird::verify::{Received, verify};
use crate::wire::refusal::Refusal;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Longest body and header that is looked at.
const BODY_MAX: usize = 1 << 18;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(endpoints))
        .routes(routes!(resume))
        .routes(routes!(log))
        .routes(routes!(entry))
        .routes(routes!(replay))
        .routes(routes!(replay_some))
        .routes(routes!(test))
        .routes(routes!(check))
}

/// An endpoint that fails: scheme, host and port of some URLs.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EndpointBody {
    origin: String,
    /// In a row.
    failures: i64,
    #[schema(format = DateTime)]
    failing_since: String,
    #[schema(format = DateTime)]
    last_failure_at: String,
    last_answer: String,
    /// Since when nothing is sent but a try now and then.
    #[schema(required = true, format = DateTime)]
    paused_since: Option<String>,
    #[schema(required = true, format = DateTime)]
    next_try_at: Option<String>,
    /// Callbacks that wait, up to 1,000.
    waiting: i64,
}

impl From<Endpoint> for EndpointBody {
    fn from(endpoint: Endpoint) -> Self {
        EndpointBody {
            origin: endpoint.origin,
            failures: endpoint.failures,
            failing_since: moment(endpoint.since),
            last_failure_at: moment(endpoint.latest),
            last_answer: endpoint.answer,
            paused_since: endpoint.paused.map(moment),
            next_try_at: endpoint.probe.map(moment),
            waiting: endpoint.waiting,
        }
    }
}

/// List endpoints that fail
///
/// One that works is not in the list. Scope: `read`.
#[utoipa::path(get, path = "/accounts/{account}/webhooks/endpoints", tag = "Webhooks",
    params(("account" = String, Path, description = "Its number, or `me`")),
    responses((status = 200, body = List<EndpointBody>)))]
async fn endpoints(
    State(state): State<Shared>,
    who: Who,
    Path(account): Path<String>,
) -> Result<Json<List<EndpointBody>>, Refusal> {
    let id = who.with(&state, &account, Right::Read).await?.account.id;
    let found = state.store.scan(Some(id), endpoint::failing).await?;
    Ok(Json(List::whole(found)))
}

/// An endpoint to resume.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `resume` reads")]
struct ResumeRequest {
    /// Scheme, host and port, such as `https://hooks.example`.
    #[schema(max_length = 2048)]
    origin: String,
}

/// What was done about webhooks.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ReplayBody {
    /// Callbacks that are sent again.
    count: u64,
    /// What `after` is to go on; null if that was all.
    #[schema(required = true)]
    next: Option<String>,
}

fn url(text: &str) -> Result<String, Code> {
    if text.is_empty() { Err(Code::Blank) } else { check_url(text).map(|()| text.to_owned()) }
}

/// Resume a failing endpoint
///
/// What waits for it is sent at once. Scope: `webhooks`.
#[utoipa::path(post, path = "/accounts/{account}/webhooks/endpoints/resume", tag = "Webhooks", request_body = ResumeRequest,
    params(("account" = String, Path, description = "Its number, or `me`")),
    responses((status = 200, body = ReplayBody)))]
async fn resume(
    State(state): State<Shared>,
    who: Who,
    once: Once,
    Path(account): Path<String>,
    mut fields: Fields,
) -> Result<Response, Refusal> {
    let scope = who.with(&state, &account, Right::Webhooks).await?.account.scope();
    let origin = fields.text("origin", url);
    let origin = fields.required("origin", origin).unwrap_or_default();
    fields.finish()?;
    let about =
        |(scope, origin): &(Scope, String), (): &()| Act::on(scope.account, "webhook.resume").object(origin);
    let unit = audited(who.actor, endpoint::resume, about);
    let response =
        once.answer(&state, (scope, origin), unit, |()| done(&ReplayBody { count: 0, next: None })).await?;
    state.wake.callbacks();
    Ok(response)
}

/// A callback.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CallbackBody {
    id: String,
    /// `status`, `inbound`, `inbound form`, `inbound json` or `event`.
    kind: &'static str,
    /// The message or event that it is about.
    about: String,
    /// The values of the customer's own parameters are hidden: they may be secrets.
    url: String,
    /// `delivered`, `waiting` or `given up`.
    state: &'static str,
    #[schema(format = DateTime)]
    created_at: String,
    /// When it is tried next.
    #[schema(required = true, format = DateTime)]
    next_try_at: Option<String>,
    attempts: Vec<AttemptBody>,
}

/// One try.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AttemptBody {
    #[schema(format = DateTime)]
    at: String,
    took_ms: i64,
    /// What was answered.
    #[schema(required = true)]
    status: Option<u16>,
    /// Why nothing was.
    #[schema(required = true)]
    failure: Option<String>,
    /// The names of the headers that were sent.
    headers: Vec<String>,
    /// The beginning of the answer.
    answer: String,
}

impl From<Entry> for CallbackBody {
    fn from(entry: Entry) -> Self {
        let state = match (entry.open, entry.is_done()) {
            (true, _) => "waiting",
            (false, true) => "delivered",
            (false, false) => "given up",
        };
        let created_at = moment(entry.created());
        let attempts = entry.attempts.into_iter().map(|line| AttemptBody {
            at: moment(line.at),
            took_ms: line.took_ms,
            status: line.answer.as_ref().ok().copied(),
            failure: line.answer.err(),
            headers: line.headers,
            answer: line.said,
        });
        CallbackBody {
            id: entry.id.to_string(),
            kind: entry.kind.name(),
            about: entry.message.to_string(),
            url: Rendered::get(entry.url.clone()).shown_url(&entry.url),
            state,
            created_at,
            next_try_at: entry.open.then(|| moment(entry.due)),
            attempts: attempts.collect(),
        }
    }
}

/// A callback with what was sent.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CallbackDetail {
    callback: CallbackBody,
    /// Null before the first try.
    #[schema(required = true)]
    request: Option<RequestBody>,
}

/// What is sent at each try, but for its signatures.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RequestBody {
    method: &'static str,
    url: String,
    #[schema(required = true)]
    content_type: Option<String>,
    #[schema(required = true)]
    body: Option<String>,
}

/// Which callbacks.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `log` reads")]
struct LogParams {
    /// Made from this moment on.
    #[param(format = DateTime)]
    from: Option<String>,
    /// Made before this one.
    #[param(format = DateTime)]
    until: Option<String>,
}

/// List callbacks
///
/// Newest first, with every try. Scope: `read`.
#[utoipa::path(get, path = "/accounts/{account}/webhooks/log", tag = "Webhooks",
    params(("account" = String, Path, description = "Its number, or `me`"), LogParams, PageParams),
    responses((status = 200, body = List<CallbackBody>)))]
async fn log(
    State(state): State<Shared>,
    who: Who,
    Path(account): Path<String>,
    page: Page,
) -> Result<Json<List<CallbackBody>>, Refusal> {
    let scope = who.with(&state, &account, Right::Read).await?.account.scope();
    let read = |text: &str| Timestamp::parse(text).map(first_id).ok_or(Code::Invalid);
    let from = page.param("from", read)?.unwrap_or(CallbackId([0; 16]));
    let until = page.param("until", read)?.unwrap_or(CallbackId([0xff; 16]));
    let after = page.after(|text| text.parse::<CallbackId>().ok())?;
    let until = after.filter(|after| after.0 < until.0).unwrap_or(until);
    let mut found = state.store.read(Stretch { scope, from, until }, callback_log::newest).await?;
    let limit = usize::try_from(page.limit.min(BATCH)).unwrap_or(1);
    let more = found.len() > limit || i64::try_from(found.len()).is_ok_and(|count| count >= BATCH);
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|last| last.id.to_string());
    Ok(Json(List { items: found.into_iter().map(CallbackBody::from).collect(), next }))
}

fn callback_id(text: &str) -> Result<CallbackId, Refusal> {
    text.parse().map_err(|_| Error::NotFound(Noun::Callback).into())
}

/// View a callback
///
/// With what is sent. Scope: `read`.
#[utoipa::path(get, path = "/accounts/{account}/webhooks/log/{callback}", tag = "Webhooks",
    params(("account" = String, Path, description = "Its number, or `me`"), ("callback" = String, Path)),
    responses((status = 200, body = CallbackDetail)))]
async fn entry(
    State(state): State<Shared>,
    who: Who,
    Path((account, callback)): Path<(String, String)>,
) -> Result<Json<CallbackDetail>, Refusal> {
    let scope = who.with(&state, &account, Right::Read).await?.account.scope();
    let mut found = state.store.read((scope, callback_id(&callback)?), callback_log::find).await?;
    let configured = found.url.clone();
    let request = found.rendered.take().map(|rendered| {
        let (method, url) = (rendered.method(), rendered.shown_url(&configured));
        let (content_type, body) = rendered.body.unzip();
        RequestBody { method, url, content_type, body }
    });
    Ok(Json(CallbackDetail { callback: found.into(), request }))
}

/// Send a callback again
///
/// The same bytes with fresh signatures, on a schedule that begins anew. Scope: `webhooks`.
#[utoipa::path(post, path = "/accounts/{account}/webhooks/log/{callback}/replay", tag = "Webhooks",
    params(("account" = String, Path, description = "Its number, or `me`"), ("callback" = String, Path)),
    responses((status = 200, body = ReplayBody)))]
async fn replay(
    State(state): State<Shared>,
    who: Who,
    once: Once,
    Path((account, callback)): Path<(String, String)>,
    fields: Fields,
) -> Result<Response, Refusal> {
    let scope = who.with(&state, &account, Right::Webhooks).await?.account.scope();
    let id = callback_id(&callback)?;
    fields.finish()?;
    let about =
        |(scope, id): &(Scope, CallbackId), (): &()| Act::on(scope.account, "webhook.replay").object(id);
    let unit = audited(who.actor, callback_log::replay, about);
    let body = |()| done(&ReplayBody { count: 1, next: None });
    let response = once.answer(&state, (scope, id), unit, body).await?;
    state.wake.callbacks();
    Ok(response)
}

/// Which callbacks are sent again.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `replay_some` reads")]
struct ReplayRequest {
    /// Made from this moment on.
    #[schema(format = DateTime)]
    from: String,
    /// Made before this one; now, if it is not given.
    #[schema(format = DateTime, required = false)]
    until: String,
    /// Only those whose last try failed.
    #[schema(required = false)]
    failed_only: bool,
    /// The `next` of the answer before.
    #[schema(pattern = "^[0-9a-f]{32}$", required = false)]
    after: String,
}

/// Send many callbacks again
///
/// The oldest of a stretch of time, 100 at most; `next` says where to go on. Scope: `webhooks`.
#[utoipa::path(post, path = "/accounts/{account}/webhooks/replay", tag = "Webhooks", request_body = ReplayRequest,
    params(("account" = String, Path, description = "Its number, or `me`")),
    responses((status = 200, body = ReplayBody)))]
async fn replay_some(
    State(state): State<Shared>,
    who: Who,
    once: Once,
    Path(account): Path<String>,
    mut fields: Fields,
) -> Result<Response, Refusal> {
    let scope = who.with(&state, &account, Right::Webhooks).await?.account.scope();
    let read = |text: &str| Timestamp::parse(text).ok_or(Code::Invalid);
    let from = fields.text("from", read);
    let from = fields.required("from", from).unwrap_or(Timestamp(0));
    // What is made while this runs is sent anyway.
    let now = Timestamp(state.now_us().saturating_add(1_000));
    let until = fields.text("until", read).unwrap_or(now);
    let failed = fields.flag("failedOnly").unwrap_or_default();
    let after = fields.text("after", |text| text.parse::<CallbackId>().map_err(|_| Code::Invalid));
    fields.finish()?;
    let stretch = Stretch { scope, from: after.unwrap_or(first_id(from)), until: first_id(until) };
    let about = move |_: &ReplaySome, (count, _): &(u64, Option<CallbackId>)| {
        Act::on(scope.account, "webhook.replay-many").with("from", moment(from)).with("count", count)
    };
    let unit = audited(who.actor, callback_log::replay_some, about);
    let body = |(count, next): (u64, Option<CallbackId>)| {
        done(&ReplayBody { count, next: next.map(|next| next.to_string()) })
    };
    let response = once.answer(&state, ReplaySome { stretch, failed }, unit, body).await?;
    state.wake.callbacks();
    Ok(response)
}

/// Where a test goes.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `test` reads")]
struct TestRequest {
    /// Absolute, http or https.
    #[schema(max_length = 2048)]
    url: String,
}

/// A test that is on its way.
#[derive(Serialize, ToSchema)]
struct TestBody {
    /// What came of it stands in the log under this id.
    id: String,
}

/// Send a test event
///
/// A status report about no message, with `reference=test`, signed as all others are. Scope: `webhooks`.
#[utoipa::path(post, path = "/accounts/{account}/webhooks/test", tag = "Webhooks", request_body = TestRequest,
    params(("account" = String, Path, description = "Its number, or `me`")),
    responses((status = 201, body = TestBody)))]
async fn test(
    State(state): State<Shared>,
    who: Who,
    once: Once,
    Path(account): Path<String>,
    mut fields: Fields,
) -> Result<Response, Refusal> {
    let scope = who.with(&state, &account, Right::Webhooks).await?.account.scope();
    let url = fields.text("url", url);
    let url = fields.required("url", url).unwrap_or_default();
    let now = Timestamp(state.now_us()).rfc3339_offset();
    let pairs = [
        ("id", "00000000000000000000000000000000"),
        ("recipient", "31612345678"),
        ("reference", "test"),
        ("status", "delivered"),
        ("statusDatetime", now.as_str()),
    ];
    let called = canonical(&url, &pairs);
    if called.is_none() && !url.is_empty() {
        fields.refuse("url", Code::NotUrl);
    }
    fields.finish()?;
    let rendered = Rendered::get(called.unwrap_or_default());
    let command = (scope, url, rendered);
    let about = |(scope, url, _): &(Scope, String, Rendered), id: &CallbackId| {
        Act::on(scope.account, "webhook.test")
            .object(id)
            .with("url", url.split('?').next().unwrap_or_default())
    };
    let unit = audited(who.actor, callback::push_rendered, about);
    let response = once.create(&state, command, unit, |id| TestBody { id: id.to_string() }).await?;
    state.wake.callbacks();
    Ok(response)
}

/// A request as its receiver saw it.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `check` reads")]
struct VerifyRequest {
    /// With its query, as the receiver believes that it was called.
    #[schema(max_length = 2048)]
    url: String,
    /// As it arrived; empty for a GET request.
    #[schema(max_length = 262_144, required = false)]
    body: String,
    /// The header `MessageBird-Signature-JWT`.
    #[schema(max_length = 262_144, required = false)]
    token: String,
    /// The header `MessageBird-Signature`, the older one.
    #[schema(max_length = 262_144, required = false)]
    signature: String,
    /// The header `MessageBird-Request-Timestamp`.
    #[schema(max_length = 64, required = false)]
    timestamp: String,
    /// When it was received; now, if it is not given.
    #[schema(format = DateTime, required = false)]
    received_at: String,
}

/// What holds of a signed request.
#[derive(Serialize, ToSchema)]
struct VerifyBody {
    /// Whether everything does.
    valid: bool,
    checks: Vec<CheckBody>,
}

/// One thing that was looked at.
#[derive(Serialize, ToSchema)]
struct CheckBody {
    /// `form`, `alg`, `signature`, `iss`, `nbf`, `exp`, `url_hash`, `payload_hash`, `legacy_timestamp`, `legacy_signature`
    /// or `header`.
    claim: &'static str,
    holds: bool,
    /// What stands there.
    #[schema(required = true)]
    found: Option<String>,
    /// What should stand there.
    #[schema(required = true)]
    expected: Option<String>,
    /// What was hashed or compared, and what to do about it.
    about: String,
}

/// Look at a signature
///
/// Says which claim of a signed request does not hold and what was hashed, by the account's signing key of that moment.
/// Changes nothing. Scope: `webhooks`.
#[utoipa::path(post, path = "/accounts/{account}/webhooks/verify", tag = "Webhooks", request_body = VerifyRequest,
    params(("account" = String, Path, description = "Its number, or `me`")),
    responses((status = 200, body = VerifyBody)))]
async fn check(
    State(state): State<Shared>,
    who: Who,
    Path(account): Path<String>,
    mut fields: Fields,
) -> Result<Json<VerifyBody>, Refusal> {
    let scope = who.with(&state, &account, Right::Webhooks).await?.account.scope();
    let url = fields.text("url", |text| plain(text, URL_MAX));
    let url = fields.required("url", url).unwrap_or_default();
    let body = fields.text("body", |text| plain(text, BODY_MAX)).unwrap_or_default().into_bytes();
    let token = fields.text("token", |text| plain(text, BODY_MAX));
    let signature = fields.text("signature", |text| plain(text, BODY_MAX));
    let timestamp = fields.text("timestamp", |text| plain(text, 64));
    let at = fields.text("receivedAt", |text| Timestamp::parse(text).ok_or(Code::Invalid));
    fields.finish()?;
    let at = at.unwrap_or(Timestamp(state.now_us()));
    let sealed = state.store.read(scope, signing_key::of).await?;
    let keys = Open::new(&state.vault, scope.account, &sealed)?;
    let received = Received { url, body, token, signature, timestamp, at: at.0.div_euclid(1_000_000) };
    let checks = verify(keys.at(at), &received);
    let valid = checks.iter().all(|check| check.holds);
    let checks = checks.into_iter().map(|check| CheckBody {
        claim: check.claim,
        holds: check.holds,
        found: check.found,
        expected: check.expected,
        about: check.about,
    });
    Ok(Json(VerifyBody { valid, checks: checks.collect() }))
}
