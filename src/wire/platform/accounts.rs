//! Accounts: a partner's children, and the operator's partners. Semantics: an account acts only if it and its partner are
//! active; every change is in force on every process within a second.

use super::fields::{Fields, plain};
use super::keys::NewKeyBody;
use super::page::{List, Page, PageParams};
use super::who::Who;
use super::{done, moment};
use crate::core::account::{
    self, Account, AccountId, NAME_MAX, NewAccount, NewChild, NewPartner, Setting, Status,
};
use crate::core::api_key;
use crate::core::audit::{Act, audited};
use crate::core::ceiling;
use crate::core::closing::{self, Close, DAYS, DAYS_MAX};
use crate::core::money::Currency;
use crate::core::reach::{self, Asked, Found, Sight, View};
use crate::core::rights::{Right, Rights};
use crate::core::suspension::{self, Level};
use crate::core::terms::{self, MessagingSetting};
use crate::core::{Code, Error, Noun, Result as CoreResult};
use crate::wire::Shared;
use crate::wire::idempotency::Once;
use crate::wire::refusal::Refusal;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Serialize;
use store::Tx;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Longest text to search for.
const SEARCH_MAX: usize = 100;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(view, update, delete))
        .routes(routes!(suspend))
        .routes(routes!(resume))
        .routes(routes!(restore))
}

/// An account.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AccountBody {
    id: i64,
    /// The partner that owns it; null for a partner.
    #[schema(required = true)]
    partner: Option<i64>,
    name: String,
    /// May be empty.
    email: String,
    /// ISO 4217; of everything it pays.
    currency: String,
    /// Its own: `active`, `suspended` or `deleted`.
    status: &'static str,
    /// Its own or its partner's, whichever is worse: only an `active` account acts.
    effective_status: &'static str,
    /// Who has suspended it, if somebody has: `operator` or `partner`. What the operator did only the operator undoes.
    #[schema(required = true)]
    suspended_by: Option<&'static str>,
    /// When it is deleted for good, if that was asked for.
    #[schema(required = true, format = DateTime)]
    closes_at: Option<String>,
    /// Who has asked for that: `operator` or `partner`.
    #[schema(required = true)]
    closed_by: Option<&'static str>,
    /// Whether its usage is put on its partner's invoice.
    invoice_aggregation: bool,
    #[schema(format = DateTime)]
    created_at: String,
}

impl From<View> for AccountBody {
    fn from(view: View) -> Self {
        let effective = view.effective();
        let View { account: Account { id, root, name, email, currency, status, .. }, closes, .. } = &view;
        AccountBody {
            id: id.0,
            partner: (id != root).then_some(root.0),
            name: name.clone(),
            email: email.clone(),
            currency: currency.to_string(),
            status: status.name(),
            effective_status: effective.name(),
            suspended_by: view.held_by.map(Level::name),
            closes_at: closes.map(moment),
            closed_by: view.closed_by.map(Level::name),
            invoice_aggregation: view.account.invoice_aggregation,
            created_at: moment(view.account.created),
        }
    }
}

/// An account just made, with the secrets that are shown this once.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct NewAccountBody {
    account: AccountBody,
    /// A live and a test key, and for a partner the key of the partner API.
    keys: Vec<NewKeyBody>,
    /// What its callbacks are signed with; 32 characters.
    signing_key: String,
    /// A partner's handle in the partner API; null for a child.
    #[schema(required = true)]
    partner_handle: Option<String>,
}

impl NewAccountBody {
    fn new(made: &NewAccount, rights: Rights) -> Self {
        let (account, above) = (made.account.clone(), Status::Active);
        let view = View { account, closes: None, above, held_by: None, closed_by: None };
        let own = made.keys.iter();
        let partner = made.partner.as_ref();
        NewAccountBody {
            account: view.into(),
            keys: own.chain(partner.map(|(_, key)| key)).map(|made| NewKeyBody::of(made, rights)).collect(),
            signing_key: made.signing_key.reveal().to_owned(),
            partner_handle: partner.map(|(handle, _)| handle.as_str().to_owned()),
        }
    }
}

/// An account to make.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `create` reads")]
struct CreateAccountRequest {
    /// Printed on invoices.
    #[schema(min_length = 1, max_length = 255, pattern = r"\S")]
    name: String,
    #[schema(max_length = 255)]
    email: Option<String>,
    /// Only the operator says it: whose child. Without it the operator makes a partner.
    partner: Option<i64>,
    /// Only for a partner: ISO 4217, of everything it and its children pay. EUR, if it is not given.
    #[schema(pattern = "^[A-Za-z]{3}$")]
    currency: Option<String>,
}

/// What is changed of an account.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `update` reads")]
struct UpdateAccountRequest {
    #[schema(min_length = 1, max_length = 255, pattern = r"\S")]
    name: Option<String>,
    #[schema(max_length = 255)]
    email: Option<String>,
    invoice_aggregation: Option<bool>,
    /// An IANA name, in whose days and months caps are counted.
    #[schema(max_length = 64)]
    time_zone: Option<String>,
}

/// Which accounts.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `list` reads")]
struct ListParams {
    /// Part of a name or an e-mail address, or the beginning of a number.
    #[param(max_length = 100)]
    search: Option<String>,
    /// `active` or `suspended`, of their own.
    status: Option<String>,
    /// Only the operator says it: the children of this partner. Without it the operator sees the partners.
    partner: Option<i64>,
}

/// List accounts
///
/// A partner's children; the operator's partners, or the children of one. One request looks at 2,000 of them at most: a page
/// may have fewer elements than its limit, or none, and there are more as long as `next` is given. Scope: `read`.
#[utoipa::path(get, path = "/accounts", tag = "Accounts", params(ListParams, PageParams),
    responses((status = 200, body = List<AccountBody>)))]
async fn list(State(state): State<Shared>, who: Who, page: Page) -> Result<Json<List<AccountBody>>, Refusal> {
    who.need(Right::Read)?;
    let search = page.param("search", |text| plain(text, SEARCH_MAX).map(|text| text.to_lowercase()))?;
    let status = page.param("status", |word| {
        [Status::Active, Status::Suspended]
            .into_iter()
            .find(|status| status.name() == word)
            .ok_or(Code::Invalid)
    })?;
    let partner = page.param("partner", |text| AccountId::parse(text).ok_or(Code::Invalid))?;
    let of = match partner {
        Some(partner) => {
            let seen = state.store.read(who.sight(partner), reach::find).await?;
            seen.account.id
        }
        None => who.scope.account,
    };
    let after = page.after(AccountId::parse)?.unwrap_or(AccountId(0));
    let limit = usize::try_from(page.limit).unwrap_or(1);
    let asked = Asked { of, search: search.filter(|text| !text.is_empty()), status, after, limit };
    let Found { accounts, next } = state.store.scan(asked, reach::list).await?;
    let items = accounts.into_iter().map(AccountBody::from).collect();
    Ok(Json(List { items, next: next.map(|id| id.to_string()) }))
}

/// Create an account
///
/// A partner makes a child in its own currency. The operator makes a partner, or with `partner` that one's child. The
/// keys and the signing key are shown this once. Scope: `accounts`.
#[utoipa::path(post, path = "/accounts", tag = "Accounts", request_body = CreateAccountRequest,
    responses((status = 201, body = NewAccountBody)))]
async fn create(
    State(state): State<Shared>,
    who: Who,
    once: Once,
    mut fields: Fields,
) -> Result<Response, Refusal> {
    who.need(Right::Accounts)?;
    let name = fields.text("name", |text| account::check_name(text).map(|()| text.to_owned()));
    let name = fields.required("name", name).unwrap_or_default();
    let email = fields.text("email", |text| plain(text, NAME_MAX)).unwrap_or_default();
    let partner = fields.integer("partner", 1, i64::from(i32::MAX)).map(AccountId);
    let currency = fields.text("currency", Currency::parse);
    let makes_partner = who.is_operator() && partner.is_none();
    if currency.is_some() && !makes_partner {
        fields.refuse("currency", Code::Currency);
    }
    fields.finish()?;
    let (vault, rights, by) = (state.vault.clone(), who.rights, who.mandate());
    if makes_partner {
        let new = NewPartner { name, currency: currency.unwrap_or(Currency::EUR), vault };
        let unit = async move |tx: &mut Tx, new: &NewPartner| {
            let made = account::create_partner(tx, new).await?;
            let id = made.account.id;
            account::set(tx, &(id, Setting::Email(email.clone()))).await?;
            api_key::narrow(tx, &(id, by)).await?;
            Ok(made)
        };
        let about = |_: &NewPartner, made: &NewAccount| made_act(made);
        let unit = audited(who.actor, unit, about);
        return once.create(&state, new, unit, move |made| NewAccountBody::new(&made, rights)).await;
    }
    let partner = match partner {
        Some(partner) => state.store.read(who.sight(partner), reach::find).await?.account.id,
        None => who.scope.account,
    };
    if !who.is_operator() && partner != who.scope.account {
        return Err(Error::NotFound(Noun::Account).into());
    }
    let new = NewChild { partner, name: Some(name), email, vault };
    let unit = async move |tx: &mut Tx, new: &NewChild| {
        let made = account::create_child(tx, new).await?;
        api_key::narrow(tx, &(made.account.id, by)).await?;
        Ok(made)
    };
    let unit = audited(who.actor, unit, |_: &NewChild, made: &NewAccount| made_act(made));
    once.create(&state, new, unit, move |made| NewAccountBody::new(&made, rights)).await
}

fn made_act(made: &NewAccount) -> Act {
    Act::on(made.account.id, "account.create").with("name", &made.account.name)
}

/// View an account
///
/// `me` is the caller's own. Scope: `read`.
#[utoipa::path(get, path = "/accounts/{account}", tag = "Accounts",
    params(("account" = String, Path, description = "Its number, or `me`")),
    responses((status = 200, body = AccountBody)))]
async fn view(
    State(state): State<Shared>,
    who: Who,
    Path(account): Path<String>,
) -> Result<Json<AccountBody>, Refusal> {
    Ok(Json(who.with(&state, &account, Right::Read).await?.into()))
}

/// Change an account
///
/// What is not given stays. The account is below the caller's own. Scope: `accounts`.
#[utoipa::path(patch, path = "/accounts/{account}", tag = "Accounts", request_body = UpdateAccountRequest,
    params(("account" = String, Path, description = "Its number")),
    responses((status = 200, body = AccountBody)))]
async fn update(
    State(state): State<Shared>,
    who: Who,
    Path(account): Path<String>,
    mut fields: Fields,
) -> Result<Json<AccountBody>, Refusal> {
    let id = who.above(&state, &account, Right::Accounts).await?.account.id;
    let mut settings = Vec::new();
    let name = fields.text("name", |text| account::check_name(text).map(|()| text.to_owned()));
    settings.extend(name.map(Setting::Name));
    settings.extend(fields.text("email", |text| plain(text, NAME_MAX)).map(Setting::Email));
    settings.extend(fields.flag("invoiceAggregation").map(Setting::InvoiceAggregation));
    let zone = fields.text("timeZone", |text| terms::check_zone(text).map(|()| text.to_owned()));
    settings.extend(zone.map(|zone| Setting::Messaging(MessagingSetting::TimeZone(zone))));
    fields.finish()?;
    let sight = who.sight(id);
    let unit = async move |tx: &mut Tx, settings: &Vec<Setting>| {
        ceiling::leaves_days(tx, &sight, settings).await?;
        account::set_all(tx, &(id, settings.clone())).await?;
        reach::find(tx, &sight).await
    };
    let about = move |settings: &Vec<Setting>, _: &View| {
        settings.iter().fold(Act::on(id, "account.update"), |act, setting| match setting {
            Setting::Name(name) => act.with("name", name),
            Setting::Email(email) => act.with("email", email),
            Setting::InvoiceAggregation(on) => act.with("invoiceAggregation", on),
            Setting::Messaging(MessagingSetting::TimeZone(zone)) => act.with("timeZone", zone),
            _ => act,
        })
    };
    let view = state.store.write(settings, audited(who.actor, unit, about)).await?;
    Ok(Json(view.into()))
}

/// How an account ends.
#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `delete` reads")]
struct DeleteParams {
    /// For how many days it can be undone: 30, if it is not given; 0 deletes now and for good.
    #[param(minimum = 0, maximum = 90)]
    grace_days: Option<i64>,
}

/// Delete an account
///
/// It stops at once: its keys are refused, what it has accepted waits. After the days of grace it is gone: its keys are
/// void, what it has left goes to its partner, its books stay. Until then `restore` undoes it. Scope: `accounts`.
#[utoipa::path(delete, path = "/accounts/{account}", tag = "Accounts",
    params(("account" = String, Path, description = "Its number"), DeleteParams),
    responses((status = 200, body = AccountBody)))]
async fn delete(
    State(state): State<Shared>,
    who: Who,
    Path(account): Path<String>,
    page: Page,
) -> Result<Json<AccountBody>, Refusal> {
    let id = who.above(&state, &account, Right::Accounts).await?.account.id;
    let days = page.param("graceDays", |text| {
        let days = text.parse().ok().filter(|days| (0..=DAYS_MAX).contains(days));
        days.ok_or(Code::OutOfRange(0, DAYS_MAX))
    })?;
    let close = Close { sight: who.sight(id), days: days.unwrap_or(DAYS) };
    let about = |close: &Close, _: &View| {
        let action = if close.days == 0 { "account.delete" } else { "account.close" };
        Act::on(close.sight.at, action).with("graceDays", close.days)
    };
    let view = state.store.write(close, audited(who.actor, closing::close, about)).await?;
    state.forget_keys().await?;
    Ok(Json(view.into()))
}

/// Changes whether an account may act, for whoever is above it.
async fn moved(
    (state, who, once): (Shared, Who, Once),
    account: &str,
    fields: Fields,
    action: &'static str,
    unit: impl for<'t, 'c> AsyncFn(&'t mut Tx, &'c Sight) -> CoreResult<View> + Send + 'static,
) -> Result<Response, Refusal> {
    let id = who.above(&state, account, Right::Accounts).await?.account.id;
    fields.finish()?;
    let sight = who.sight(id);
    let unit = audited(who.actor, unit, move |sight: &Sight, _: &View| Act::on(sight.at, action));
    let response = once.answer(&state, sight, unit, |view| done(&AccountBody::from(view))).await?;
    state.forget_keys().await?;
    Ok(response)
}

/// Suspend an account
///
/// Its keys and, if it is a partner, those of its children are refused on every process within a second. What was accepted
/// and not yet sent waits; reports and received messages are still recorded. Suspending twice is once. One that is about
/// to be deleted stays suspended if that is undone. Scope: `accounts`.
#[utoipa::path(post, path = "/accounts/{account}/suspend", tag = "Accounts",
    params(("account" = String, Path, description = "Its number")),
    responses((status = 200, body = AccountBody)))]
async fn suspend(
    State(state): State<Shared>,
    who: Who,
    once: Once,
    Path(account): Path<String>,
    fields: Fields,
) -> Result<Response, Refusal> {
    moved((state, who, once), &account, fields, "account.suspend", suspension::suspend).await
}

/// Resume an account
///
/// Its children get the state that each had. What the operator has suspended only the operator resumes. An account that is
/// about to be deleted is restored instead. Scope: `accounts`.
#[utoipa::path(post, path = "/accounts/{account}/resume", tag = "Accounts",
    params(("account" = String, Path, description = "Its number")),
    responses((status = 200, body = AccountBody)))]
async fn resume(
    State(state): State<Shared>,
    who: Who,
    once: Once,
    Path(account): Path<String>,
    fields: Fields,
) -> Result<Response, Refusal> {
    moved((state, who, once), &account, fields, "account.resume", suspension::resume).await
}

/// Undo the deletion of an account
///
/// Until its days of grace are over: it acts again, unless it is suspended as well. What the operator deletes only the
/// operator restores. Scope: `accounts`.
#[utoipa::path(post, path = "/accounts/{account}/restore", tag = "Accounts",
    params(("account" = String, Path, description = "Its number")),
    responses((status = 200, body = AccountBody)))]
async fn restore(
    State(state): State<Shared>,
    who: Who,
    once: Once,
    Path(account): Path<String>,
    fields: Fields,
) -> Result<Response, Refusal> {
    moved((state, who, once), &account, fields, "account.restore", closing::reopen).await
}
