//! Reports of what was sent and received: docs/spec/03-reporting.md. No public source says what the paths, filters and items
//! are called, so all of it is our own design and stands here alone.

use super::error::Errors;
use super::messages::status_word;
use crate::core::account::{self, ChildOf};
use crate::core::key::Entry;
use crate::core::message::{Direction, Format, Status};
use crate::core::money::Currency;
use crate::core::report::{self, Dimension, Kept, Line, Question, Step, Whose};
use crate::core::secret::{hash, hex};
use crate::core::{AccountId, Code, Error, Noun, Scope, Timestamp, Violation};
use crate::wire::attributes::{Query, Reader, integer};
use crate::wire::caller::{Buckets, Caller};
use crate::wire::limit::Rate;
use crate::wire::refusal::Refusal;
use crate::wire::{Context, Shared};
use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(sms)).routes(routes!(voice)).routes(routes!(conversations))
}

/// Reports that one key may ask for in a second, and have under way at once (docs/spec/03-reporting.md section 1).
const RATE: Rate = Rate::per_second(5);
const AT_ONCE: usize = 5;
const LIMIT_DEFAULT: i64 = 100;
const LIMIT_MAX: i64 = 1_000;
const OFFSET_MAX: i64 = 1_000_000_000;
const GROUPS_MAX: usize = 4;
/// Children that one request may name.
const ACCOUNTS_MAX: usize = 100;
const DAY_US: i64 = 86_400 * 1_000_000;
const HOURS_MAX_US: i64 = 31 * DAY_US;
const DAYS_MAX_US: i64 = 366 * DAY_US;

/// One of the few reports of a key that may be under way at once; it ends with this.
struct Turn {
    entry: Arc<Entry<Buckets>>,
    counts: bool,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.counts {
            self.entry.beside.reporting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl FromRequestParts<Shared> for Turn {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, Refusal> {
        let entry = Context::of(parts)?.entry.clone().ok_or(Error::Unauthenticated)?;
        if !state.limits {
            return Ok(Turn { entry, counts: false });
        }
        let limited = |retry_after: Duration| Refusal::from(Error::Limited { retry_after });
        let under_way = entry.beside.reporting.fetch_add(1, Ordering::Relaxed);
        let turn = Turn { entry, counts: true };
        if under_way >= AT_ONCE {
            return Err(limited(Duration::from_secs(1)));
        }
        turn.entry.beside.reports.take(RATE, state.now_us()).map_err(limited)?;
        Ok(turn)
    }
}

/// What can be grouped and filtered by, under its name here.
type Named = (&'static str, Dimension);

const SMS: &[Named] = &[
    ("direction", Dimension::Direction),
    ("status", Dimension::Status),
    ("country", Dimension::Country),
    ("mccmnc", Dimension::Network),
    ("originator", Dimension::Originator),
    ("type", Dimension::Format),
    ("reference", Dimension::Reference),
    ("gateway", Dimension::Carrier),
    ("accountId", Dimension::Account),
];
/// Nothing of these is here yet, so only their names count.
const VOICE: &[Named] = &[
    ("direction", Dimension::Direction),
    ("status", Dimension::Status),
    ("country", Dimension::Country),
    ("originator", Dimension::Originator),
    ("accountId", Dimension::Account),
];
const CONVERSATIONS: &[Named] = &[
    ("direction", Dimension::Direction),
    ("status", Dimension::Status),
    ("type", Dimension::Format),
    ("channelId", Dimension::Carrier),
    ("platform", Dimension::Network),
    ("accountId", Dimension::Account),
];

fn direction_word(direction: Direction) -> &'static str {
    match direction {
        Direction::Out => "sent",
        Direction::In => "received",
    }
}

/// The stored word of a value of a filter.
fn stored(of: Dimension, text: &str) -> Result<String, Code> {
    let stored = match of {
        Dimension::Direction => {
            Direction::ALL.iter().find(|one| direction_word(**one) == text).map(|one| one.name().to_owned())
        }
        Dimension::Status => {
            Status::ALL.iter().find(|one| status_word(**one) == text).map(|one| one.name().to_owned())
        }
        Dimension::Format => {
            Format::ALL.iter().find(|one| one.name() == text).map(|one| one.name().to_owned())
        }
        Dimension::Country => {
            let letters = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic());
            letters.then(|| text.to_ascii_uppercase())
        }
        Dimension::Network | Dimension::Carrier => {
            let digits = text.len() <= 18 && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.to_owned())
        }
        Dimension::Account | Dimension::Originator | Dimension::Reference => Some(text.to_owned()),
    };
    stored.ok_or(Code::Invalid)
}

/// A value as it is shown, in JSON.
fn shown(of: Dimension, value: &str) -> String {
    let word = match of {
        Dimension::Direction => {
            Direction::ALL.iter().find(|one| one.name() == value).map(|one| direction_word(*one))
        }
        Dimension::Status => Status::ALL.iter().find(|one| one.name() == value).map(|one| status_word(*one)),
        Dimension::Account | Dimension::Carrier => {
            return if value == "0" { "null".into() } else { value.to_owned() };
        }
        _ => Some(value).filter(|value| !value.is_empty()),
    };
    word.map_or_else(|| "null".into(), |word| serde_json::Value::from(word).to_string())
}

/// What the query asks for.
#[derive(Debug)]
struct Asked {
    begin: Timestamp,
    /// As it was given: the present, if it was not.
    end: Option<Timestamp>,
    offset_seconds: i64,
    step: Step,
    by: Vec<Named>,
    only: Vec<(Dimension, Vec<String>)>,
    accounts: Option<Vec<String>>,
}

/// Which page.
struct Pages {
    offset: i64,
    limit: i64,
    earlier: Option<String>,
}

fn datetime(text: &str) -> Result<(Timestamp, i64), Code> {
    let at = Timestamp::parse(text).ok_or(Code::Invalid)?;
    Ok((at, Timestamp::written_offset(text)))
}

fn read(reader: &mut Reader<'_>, known: &'static [Named]) -> (Option<Asked>, Pages) {
    let begin = reader.required(&["periodStart"], datetime);
    let end = reader.optional(&["periodEnd"], |text| datetime(text).map(|(at, _)| at));
    let step = reader.optional(&["periodGroup"], |text| match Step::parse(text) {
        Some(step @ (Step::Hour | Step::Day | Step::Month)) => Ok(step),
        _ => Err(Code::Invalid),
    });
    let mut by: Vec<Named> = Vec::new();
    for name in reader.list("groupBy", false).unwrap_or_default() {
        match known.iter().find(|(known, _)| *known == name) {
            Some(named) if !by.contains(named) => by.push(*named),
            Some(_) => {}
            None => reader.reject("groupBy", Code::Invalid),
        }
    }
    if by.len() > GROUPS_MAX {
        reader.reject("groupBy", Code::TooMany(GROUPS_MAX));
    }
    let mut only = Vec::new();
    for (name, of) in known.iter().filter(|(name, _)| *name != "accountId") {
        let Some(values) = reader.list(name, false).filter(|values| !values.is_empty()) else { continue };
        match values.iter().map(|value| stored(*of, value)).collect::<Result<Vec<_>, _>>() {
            Ok(values) => only.push((*of, values)),
            // What is not served has no values that could be known.
            Err(_) if known != SMS => {}
            Err(code) => reader.reject(name, code),
        }
    }
    let accounts = reader.list("accountId", false).filter(|accounts| !accounts.is_empty());
    if accounts.as_ref().is_some_and(|accounts| accounts.len() > ACCOUNTS_MAX) {
        reader.reject("accountId", Code::TooMany(ACCOUNTS_MAX));
    }
    let offset = reader.optional(&["offset"], integer(0, OFFSET_MAX)).unwrap_or(0);
    let limit = reader.optional(&["limit"], integer(1, LIMIT_MAX)).unwrap_or(LIMIT_DEFAULT);
    let earlier = reader.optional(&["ref"], |text| {
        let fits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if fits { Ok(text.to_ascii_lowercase()) } else { Err(Code::Invalid) }
    });
    if let (Some((begin, _)), Some(end)) = (begin, end)
        && end <= begin
    {
        reader.reject("periodEnd", Code::Invalid);
    }
    let asked = begin.map(|(begin, offset_seconds)| Asked {
        begin,
        end,
        offset_seconds,
        step: step.unwrap_or(Step::Whole),
        by,
        only,
        accounts,
    });
    (asked, Pages { offset, limit, earlier })
}

/// A page of a report.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Report {
    offset: i64,
    limit: i64,
    count: usize,
    total_count: usize,
    /// Asks for further pages of the same moment, for one hour.
    r#ref: String,
    #[schema(value_type = Vec<Item>)]
    items: Vec<Box<RawValue>>,
}

/// Sums; beside these the dimensions that were grouped by.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `item` writes")]
#[schema(rename_all = "camelCase")]
struct Item {
    #[schema(format = DateTime)]
    period_start: String,
    direction: Option<String>,
    status: Option<String>,
    country: Option<String>,
    mccmnc: Option<String>,
    originator: Option<String>,
    r#type: Option<String>,
    reference: Option<String>,
    gateway: Option<i64>,
    account_id: Option<i64>,
    count: i64,
    parts: i64,
    price: super::Price,
}

/// The parameters of every report, for the OpenAPI document.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, non_snake_case, reason = "describes what `read` reads")]
struct ReportParams {
    /// From then on, RFC 3339, in quarters of an hour.
    periodStart: String,
    /// Until then; the present, if not given.
    periodEnd: Option<String>,
    /// `hour`, `day` or `month`; without it one bucket.
    periodGroup: Option<String>,
    /// Up to four dimensions between commas.
    groupBy: Option<String>,
    /// Children of a partner between commas, or `all`.
    accountId: Option<String>,
    #[param(minimum = 0)]
    offset: Option<i64>,
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
    /// Of an earlier page.
    r#ref: Option<String>,
}

/// The filters of messages, for the OpenAPI document.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `read` reads")]
struct SmsFilters {
    /// `sent`, `received`.
    direction: Option<String>,
    status: Option<String>,
    /// ISO 3166-1, two letters.
    country: Option<String>,
    mccmnc: Option<String>,
    originator: Option<String>,
    /// `sms`, `binary`, `flash`.
    r#type: Option<String>,
    reference: Option<String>,
    /// A carrier's id.
    gateway: Option<i64>,
}

/// Report messages
#[utoipa::path(get, path = "/reporting/sms", tag = "Reporting", security(("AccessKey" = [])),
    params(ReportParams, SmsFilters),
    responses((status = 200, body = Report), (status = 401, body = Errors), (status = 403, body = Errors),
        (status = 404, body = Errors), (status = 422, body = Errors), (status = 429, body = Errors)))]
async fn sms(
    state: State<Shared>,
    caller: Caller,
    turn: Turn,
    query: Query,
) -> Result<Json<Report>, Refusal> {
    answer(state, caller, turn, query, ("sms", SMS)).await
}

/// Report calls
///
/// There are none yet.
#[utoipa::path(get, path = "/reporting/voice", tag = "Reporting", security(("AccessKey" = [])), params(ReportParams),
    responses((status = 200, body = Report), (status = 401, body = Errors), (status = 403, body = Errors),
        (status = 404, body = Errors), (status = 422, body = Errors), (status = 429, body = Errors)))]
async fn voice(
    state: State<Shared>,
    caller: Caller,
    turn: Turn,
    query: Query,
) -> Result<Json<Report>, Refusal> {
    answer(state, caller, turn, query, ("voice", VOICE)).await
}

/// Report messages of conversations
///
/// There are none yet.
#[utoipa::path(get, path = "/reporting/conversations", tag = "Reporting", security(("AccessKey" = [])),
    params(ReportParams),
    responses((status = 200, body = Report), (status = 401, body = Errors), (status = 403, body = Errors),
        (status = 404, body = Errors), (status = 422, body = Errors), (status = 429, body = Errors)))]
async fn conversations(
    state: State<Shared>,
    caller: Caller,
    turn: Turn,
    query: Query,
) -> Result<Json<Report>, Refusal> {
    answer(state, caller, turn, query, ("conversations", CONVERSATIONS)).await
}

async fn answer(
    State(state): State<Shared>,
    caller: Caller,
    _turn: Turn,
    Query(query): Query,
    (report, known): (&'static str, &'static [Named]),
) -> Result<Json<Report>, Refusal> {
    let mut reader = query.reader();
    let (asked, pages) = read(&mut reader, known);
    let now = Timestamp(state.now_us());
    if let Some(asked) = &asked {
        let end = asked.end.unwrap_or(now);
        let span = end.0.saturating_sub(asked.begin.0);
        if asked.end.is_none() && span <= 0 {
            reader.reject("periodEnd", Code::Invalid);
        }
        let too_long =
            asked.step == Step::Hour && span > HOURS_MAX_US || asked.step == Step::Day && span > DAYS_MAX_US;
        if too_long {
            reader.reject("periodEnd", Code::Invalid);
        }
    }
    reader.finish()?;
    let asked = asked.ok_or_else(|| Refusal::bug("a question that was read is not there"))?;
    let whose = whose(&state, caller.scope, asked.accounts.as_deref()).await?;
    let print = hash(&format!("{report} {asked:?}"));
    let earlier = pages.earlier.as_deref().and_then(|text| u64::from_str_radix(text, 16).ok());
    let whole = of_whole(&print);
    let (id, lines) = if let Some(id) = earlier.map(u64::to_be_bytes).filter(|id| *id != whole) {
        let kept = state.store.read((caller.scope, id, print), report::kept).await?;
        (id, kept.ok_or(Violation::new("ref", Code::Invalid))?)
    } else {
        let lines = if known == SMS { figures(&state, &asked, whose, now).await? } else { String::new() };
        let is_whole =
            pages.offset == 0 && i64::try_from(lines.lines().count()).is_ok_and(|count| count <= pages.limit);
        // What was answered at once is not asked for again.
        if is_whole {
            (whole, lines)
        } else {
            let mut id = [0; 8];
            state.entropy.fill(&mut id);
            let kept = Kept { scope: caller.scope, id, asked: print, lines };
            // Megabytes, maybe, for which no message waits.
            state.store.bulk(kept.clone(), report::keep).await?;
            (id, kept.lines)
        }
    };
    let skip = usize::try_from(pages.offset).unwrap_or(usize::MAX);
    let take = usize::try_from(pages.limit).unwrap_or(usize::MAX);
    let page: Result<Vec<_>, _> =
        lines.lines().skip(skip).take(take).map(|line| RawValue::from_string(line.to_owned())).collect();
    let items = page.map_err(|_| Refusal::bug("a kept report is no JSON"))?;
    Ok(Json(Report {
        offset: pages.offset,
        limit: pages.limit,
        count: items.len(),
        total_count: lines.lines().count(),
        r#ref: hex(&id),
        items,
    }))
}

/// The `ref` of reports to a question that were answered at once: nothing was kept, and asking by it asks anew.
fn of_whole(print: &[u8; 32]) -> [u8; 8] {
    let mut id = [0; 8];
    id.copy_from_slice(&print[..8]);
    id
}

/// Whose figures a caller may see (docs/spec/03-reporting.md section 2.2).
async fn whose(state: &Shared, scope: Scope, accounts: Option<&[String]>) -> Result<Whose, Refusal> {
    let own = Whose::Some(scope.root, vec![scope.account]);
    let Some(accounts) = accounts else { return Ok(own) };
    if accounts.iter().all(|account| AccountId::parse(account) == Some(scope.account)) {
        return Ok(own);
    }
    if scope.root != scope.account {
        return Err(Error::Forbidden.into());
    }
    if accounts == ["all"] {
        return Ok(Whose::All(scope.root));
    }
    let mut children = Vec::new();
    for account in accounts {
        let id = AccountId::parse(account).ok_or(Error::NotFound(Noun::Account))?;
        if id != scope.account {
            state.store.read(ChildOf { partner: scope.account, child: id }, account::child).await?;
        }
        if !children.contains(&id) {
            children.push(id);
        }
    }
    Ok(Whose::Some(scope.root, children))
}

/// The items of a report, each in a line.
async fn figures(state: &Shared, asked: &Asked, whose: Whose, now: Timestamp) -> Result<String, Refusal> {
    let question = Question {
        whose,
        begin: asked.begin,
        end: asked.end.unwrap_or(now),
        offset: asked.offset_seconds,
        step: asked.step,
        by: asked.by.iter().map(|(_, of)| *of).collect(),
        only: asked.only.clone(),
    };
    let currency = state.terms.of(&state.store, account_of(&question)).await?.currency;
    // Too much is too much of what is grouped or of the time: both are narrowed by asking for less time.
    let lines = report::ask(&state.store, &question).await.map_err(|error| match error {
        Error::Invalid(_) => Violation::new("periodStart", Code::TooBroad).into(),
        other => other,
    })?;
    Ok(lines.iter().map(|line| item(line, asked, currency) + "\n").collect())
}

/// All accounts of a question have the currency of their root.
fn account_of(question: &Question) -> AccountId {
    match &question.whose {
        Whose::Some(root, _) | Whose::All(root) => *root,
    }
}

fn item(line: &Line, asked: &Asked, currency: Currency) -> String {
    let begin = Timestamp(line.begin.0.saturating_add(asked.offset_seconds.saturating_mul(1_000_000)));
    let (sign, ahead) =
        (if asked.offset_seconds < 0 { '-' } else { '+' }, asked.offset_seconds.unsigned_abs());
    let clock = format!("{sign}{:02}:{:02}", ahead / 3_600, ahead / 60 % 60);
    let begin = begin.rfc3339_offset().replace("+00:00", &clock);
    let dimensions = asked.by.iter().zip(&line.values);
    let dimensions = dimensions
        .fold(String::new(), |text, ((name, of), value)| format!("{text}\"{name}\":{},", shown(*of, value)));
    format!(
        "{{\"periodStart\":\"{begin}\",{dimensions}\"count\":{},\"parts\":{},\"price\":{{\"amount\":{},\"currency\":\"{currency}\"}}}}",
        line.messages,
        line.parts,
        line.price.shortest()
    )
}
