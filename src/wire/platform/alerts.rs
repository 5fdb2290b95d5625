//! Alerts: thresholds of an account's money, and what is sent when one is crossed.

use super::fields::Fields;
use super::page::{List, Page, PageParams};
use super::who::Who;
use super::{moment, nothing};
use crate::core::account::AccountId;
use crate::core::alert::{self, Alert, AlertId, Change, Crossing, Kind, New, Of, WHOLE};
use crate::core::audit::{Act, audited};
use crate::core::money::Amount;
use crate::core::partner::check_url;
use crate::core::reach::View;
use crate::core::rendered::Rendered;
use crate::core::rights::Right;
use crate::core::{Code, Error, Noun, Scope, Timestamp};
use crate::wire::Shared;
use crate::wire::idempotency::Once;
use crate::wire::messagebird::signature::canonical;
use crate::wire::refusal::Refusal;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(view, update, remove))
}

/// The word of a kind here.
fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Balance => "balance",
        Kind::Day => "dayCap",
        Kind::Month => "monthCap",
    }
}

/// A balance has a threshold, a cap has a share.
fn split(kind: Kind, value: i64) -> (Option<String>, Option<i64>) {
    match kind {
        Kind::Balance => (Some(Amount(value).to_string()), None),
        Kind::Day | Kind::Month => (None, Some(value)),
    }
}

/// What is sent when a threshold is crossed: a POST with this body, signed as all webhooks of whoever is told are.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CrossingBody {
    /// The same in every repetition.
    id: String,
    r#type: &'static str,
    alert: String,
    account: i64,
    at: String,
    kind: &'static str,
    currency: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    below: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    available: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    percent: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cap: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

/// The request that tells a crossing. `None` for a URL that cannot be called.
pub(in crate::wire) fn render(url: &str, crossing: &Crossing) -> Option<Rendered> {
    let (below, percent) = split(crossing.kind, crossing.value);
    let amount = crossing.amount.to_string();
    let (available, spent) = if below.is_some() { (Some(amount), None) } else { (None, Some(amount)) };
    let body = CrossingBody {
        id: crossing.id.to_string(),
        r#type: "alert.crossed",
        alert: crossing.alert.to_string(),
        account: crossing.about.0,
        at: moment(crossing.at),
        kind: word(crossing.kind),
        currency: crossing.currency.to_string(),
        below,
        available,
        percent,
        cap: crossing.cap.map(|cap| cap.to_string()),
        spent,
        until: crossing.until.map(moment),
    };
    let body = serde_json::to_string(&body).ok()?;
    Some(Rendered { url: canonical(url, &[])?, body: Some(("application/json".to_owned(), body)) })
}

/// A threshold that somebody is told of.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AlertBody {
    id: String,
    /// `balance`, `dayCap` or `monthCap`.
    #[schema(value_type = AlertKind)]
    kind: &'static str,
    /// Of a balance: told when less than this can be spent without credit.
    #[schema(required = true)]
    below: Option<String>,
    /// Of a cap: told when so much of it is spent.
    #[schema(required = true)]
    percent: Option<i64>,
    url: String,
    /// Who is told, and with whose signing key: `account` or its `partner`.
    #[schema(value_type = AlertTells)]
    tells: &'static str,
    /// Whether it has been told and is not told again before the balance has recovered or the cap's period has ended.
    crossed: bool,
    /// When it was last crossed.
    #[schema(required = true, format = DateTime)]
    crossed_at: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
}

impl AlertBody {
    fn new(about: AccountId, now: Timestamp, alert: Alert) -> Self {
        let (below, percent) = split(alert.kind, alert.value);
        AlertBody {
            id: alert.id.to_string(),
            kind: word(alert.kind),
            below,
            percent,
            crossed: alert.is_crossed(now),
            url: alert.url,
            tells: if alert.tells == about { "account" } else { "partner" },
            crossed_at: alert.crossed.map(moment),
            created_at: moment(alert.created),
        }
    }
}

/// What a threshold is about.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `create` reads")]
enum AlertKind {
    Balance,
    DayCap,
    MonthCap,
}

/// Who is told.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `create` reads")]
enum AlertTells {
    Account,
    Partner,
}

/// A threshold to set.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `create` reads")]
struct CreateAlertRequest {
    #[schema(value_type = AlertKind)]
    kind: String,
    /// For `balance`: an amount such as `10.00`, negative for what is spent on credit.
    #[schema(pattern = r"^-?\d{1,12}(\.\d{1,6})?$", required = false)]
    below: String,
    /// For a cap: 100 is told at the latest when it refuses a message.
    #[schema(minimum = 1, maximum = 100, required = false)]
    percent: i64,
    /// Absolute, http or https.
    #[schema(max_length = 2048)]
    url: String,
    /// Whoever asks, if it is not given; for the operator the account.
    #[schema(value_type = AlertTells, required = false)]
    tells: String,
}

/// What is changed of an alert; what is not given stays.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `update` reads")]
struct UpdateAlertRequest {
    /// Another threshold is judged anew.
    #[schema(pattern = r"^-?\d{1,12}(\.\d{1,6})?$", required = false)]
    below: String,
    #[schema(minimum = 1, maximum = 100, required = false)]
    percent: i64,
    #[schema(max_length = 2048, required = false)]
    url: String,
}

fn url(text: &str) -> Result<String, Code> {
    if text.is_empty() { Err(Code::Blank) } else { check_url(text).map(|()| text.to_owned()) }
}

fn value(fields: &mut Fields, kind: Option<Kind>) -> Option<i64> {
    let below = fields.text("below", Amount::parse).map(|amount| amount.0);
    let percent = fields.integer("percent", 1, WHOLE);
    match kind {
        Some(Kind::Balance) if percent.is_some() => fields.refuse("percent", Code::Invalid),
        Some(Kind::Day | Kind::Month) if below.is_some() => fields.refuse("below", Code::Invalid),
        _ => {}
    }
    below.or(percent)
}

/// What a caller sees of an account's alerts: of its own account those that tell itself.
fn of(who: &Who, view: &View) -> Of {
    let scope = view.account.scope();
    let own = who.scope.account == scope.account;
    Of { scope, tells: own.then_some(scope.account) }
}

fn alert_id(text: &str) -> Result<AlertId, Refusal> {
    text.parse().map_err(|_| Error::NotFound(Noun::Alert).into())
}

/// List alerts
///
/// An account sees those that tell itself, whoever is above it all. Scope: `read`.
#[utoipa::path(get, path = "/accounts/{account}/alerts", tag = "Money",
    params(("account" = String, Path, description = "Its number, or `me`"), PageParams),
    responses((status = 200, body = List<AlertBody>)))]
async fn list(
    State(state): State<Shared>,
    who: Who,
    Path(account): Path<String>,
    page: Page,
) -> Result<Json<List<AlertBody>>, Refusal> {
    let of = of(&who, &who.with(&state, &account, Right::Read).await?);
    let after = page.after(|text| text.parse().ok())?;
    let found = state.store.read((of, after, page.probe()), alert::list).await?;
    let (about, now) = (of.scope.account, Timestamp(state.now_us()));
    Ok(Json(List::of(found, &page, |alert| alert.id.to_string(), |alert| AlertBody::new(about, now, alert))))
}

/// Set an alert
///
/// Crossing it is told once: a balance again only after it has recovered, a share of a cap only after the cap's day or month
/// has ended. What is crossed already is told at once. Scope: `money`.
#[utoipa::path(post, path = "/accounts/{account}/alerts", tag = "Money", request_body = CreateAlertRequest,
    params(("account" = String, Path, description = "Its number, or `me`")),
    responses((status = 201, body = AlertBody)))]
async fn create(
    State(state): State<Shared>,
    who: Who,
    once: Once,
    Path(account): Path<String>,
    mut fields: Fields,
) -> Result<Response, Refusal> {
    let scope = who.with(&state, &account, Right::Money).await?.account.scope();
    let kind = fields.text("kind", |text| {
        Kind::ALL.iter().find(|kind| word(**kind) == text).copied().ok_or(Code::Invalid)
    });
    let kind = fields.required("kind", kind);
    let value = value(&mut fields, kind);
    if let (Some(kind), None) = (kind, value) {
        fields.required::<i64>(if kind == Kind::Balance { "below" } else { "percent" }, None);
    }
    let url = fields.text("url", url);
    let url = fields.required("url", url);
    let tells = fields.text("tells", |text| match text {
        "account" => Ok(scope.account),
        // Nobody has its partner told, and a partner has none.
        "partner" if who.scope.account != scope.account && scope.root != scope.account => Ok(scope.root),
        "partner" => Err(Code::NotAllowed),
        _ => Err(Code::Invalid),
    });
    fields.finish()?;
    let (Some(kind), Some(value), Some(url)) = (kind, value, url) else {
        return Err(Refusal::bug("an alert that was not read"));
    };
    let whoever_asks = if who.is_operator() { scope.account } else { who.scope.account };
    let new = New { scope, tells: tells.unwrap_or(whoever_asks), kind, value, url };
    let about = |new: &New, alert: &Alert| noted(new.scope, "alert.create", alert);
    let unit = audited(who.actor, alert::create, about);
    let now = Timestamp(state.now_us());
    let response =
        once.create(&state, new, unit, move |alert| AlertBody::new(scope.account, now, alert)).await?;
    state.wake.callbacks();
    Ok(response)
}

/// As the audit log has it: without the URL's query, which may be a secret.
fn noted(scope: Scope, action: &'static str, alert: &Alert) -> Act {
    let (below, percent) = split(alert.kind, alert.value);
    Act::on(scope.account, action)
        .object(alert.id)
        .with("kind", word(alert.kind))
        .with_given("below", below)
        .with_given("percent", percent)
        .with("url", alert.url.split('?').next().unwrap_or_default())
}

/// View an alert
///
/// Scope: `read`.
#[utoipa::path(get, path = "/accounts/{account}/alerts/{alert}", tag = "Money",
    params(("account" = String, Path, description = "Its number, or `me`"), ("alert" = String, Path)),
    responses((status = 200, body = AlertBody)))]
async fn view(
    State(state): State<Shared>,
    who: Who,
    Path((account, alert)): Path<(String, String)>,
) -> Result<Json<AlertBody>, Refusal> {
    let of = of(&who, &who.with(&state, &account, Right::Read).await?);
    let found = state.store.read((of, alert_id(&alert)?), alert::find).await?;
    Ok(Json(AlertBody::new(of.scope.account, Timestamp(state.now_us()), found)))
}

/// Change an alert
///
/// Scope: `money`.
#[utoipa::path(patch, path = "/accounts/{account}/alerts/{alert}", tag = "Money", request_body = UpdateAlertRequest,
    params(("account" = String, Path, description = "Its number, or `me`"), ("alert" = String, Path)),
    responses((status = 200, body = AlertBody)))]
async fn update(
    State(state): State<Shared>,
    who: Who,
    Path((account, alert)): Path<(String, String)>,
    mut fields: Fields,
) -> Result<Json<AlertBody>, Refusal> {
    let of = of(&who, &who.with(&state, &account, Right::Money).await?);
    let id = alert_id(&alert)?;
    // What an alert is about never changes.
    let kind = state.store.read((of, id), alert::find).await?.kind;
    let value = value(&mut fields, Some(kind));
    let url = fields.text("url", url);
    fields.finish()?;
    let about = |change: &Change, alert: &Alert| noted(change.of.scope, "alert.update", alert);
    let unit = audited(who.actor, alert::update, about);
    let after = state.store.write(Change { of, id, value, url }, unit).await?;
    state.wake.callbacks();
    Ok(Json(AlertBody::new(of.scope.account, Timestamp(state.now_us()), after)))
}

/// Take an alert away
///
/// Scope: `money`.
#[utoipa::path(delete, path = "/accounts/{account}/alerts/{alert}", tag = "Money",
    params(("account" = String, Path, description = "Its number, or `me`"), ("alert" = String, Path)),
    responses((status = 204)))]
async fn remove(
    State(state): State<Shared>,
    who: Who,
    Path((account, alert)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let of = of(&who, &who.with(&state, &account, Right::Money).await?);
    let about = |(of, id): &(Of, AlertId), (): &()| Act::on(of.scope.account, "alert.delete").object(id);
    state.store.write((of, alert_id(&alert)?), audited(who.actor, alert::remove, about)).await?;
    Ok(nothing())
}
