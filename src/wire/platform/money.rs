//! Money of an account: what it has and may spend, what is moved to it, and the books.

use super::fields::{Fields, plain};
use super::page::{List, Page, PageParams};
use super::who::Who;
use super::{CSV_PAGE, csv_next, csv_pages, moment};
use crate::core::account::{self, AccountId, Setting};
use crate::core::audit::{Act, audited};
use crate::core::cap::{self, Caps, Spending};
use crate::core::ceiling::{self, Ceiling};
use crate::core::entry::{self, Asked, Entry};
use crate::core::ledger::{self, Balance, Payment, TransferId};
use crate::core::money::{Amount, Currency};
use crate::core::reach::View;
use crate::core::rights::Right;
use crate::core::{Code, Error, Scope, Timestamp, terms};
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

/// Longest note to a payment.
const NOTE_MAX: usize = 255;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(balance, set_terms))
        .routes(routes!(top_up))
        .routes(routes!(transfer))
        .routes(routes!(entries))
        .routes(routes!(table))
}

/// What an account has and may spend. Amounts are texts of decimals, exact to the sixth.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct BalanceBody {
    /// ISO 4217.
    currency: String,
    /// The sum of its entries.
    balance: String,
    /// What accepted messages may still cost.
    held: String,
    /// The balance less what is held.
    available: String,
    /// How far below zero `available` may go.
    credit_limit: String,
    /// `prepaid` or `postpaid`.
    payment: &'static str,
    /// Most that its messages may cost in a day of its time zone; null for no limit.
    #[schema(required = true)]
    day_cap: Option<String>,
    /// Most in a month.
    #[schema(required = true)]
    month_cap: Option<String>,
    /// The operator's, which a partner can only make stricter.
    #[schema(required = true)]
    operator_day_cap: Option<String>,
    #[schema(required = true)]
    operator_month_cap: Option<String>,
    /// What it has accepted today.
    day_spent: String,
    month_spent: String,
    /// When its day ends.
    #[schema(format = DateTime)]
    day_ends_at: String,
    #[schema(format = DateTime)]
    month_ends_at: String,
    /// An IANA name.
    time_zone: String,
}

impl BalanceBody {
    fn new(balance: &Balance, spending: &Spending, ceiling: &Ceiling, time_zone: String) -> Self {
        BalanceBody {
            currency: balance.currency.to_string(),
            balance: balance.posted.to_string(),
            held: balance.held.to_string(),
            available: balance.available().to_string(),
            credit_limit: balance.credit_limit.to_string(),
            payment: if balance.postpaid { "postpaid" } else { "prepaid" },
            day_cap: spending.day_cap.map(|cap| cap.to_string()),
            month_cap: spending.month_cap.map(|cap| cap.to_string()),
            operator_day_cap: ceiling.day_cap.map(|cap| cap.to_string()),
            operator_month_cap: ceiling.month_cap.map(|cap| cap.to_string()),
            day_spent: spending.day_spent.to_string(),
            month_spent: spending.month_spent.to_string(),
            day_ends_at: moment(spending.day_ends),
            month_ends_at: moment(spending.month_ends),
            time_zone,
        }
    }
}

async fn shown(state: &Shared, scope: Scope) -> Result<Json<BalanceBody>, Refusal> {
    let balance = state.store.read(scope, ledger::balance).await?;
    let spending = state.store.read(scope, cap::of).await?;
    let ceiling = state.store.read(scope, ceiling::of).await?;
    let zone = state.store.read(scope, terms::messaging).await?.time_zone;
    Ok(Json(BalanceBody::new(&balance, &spending, &ceiling, zone)))
}

/// View the balance
///
/// And what is spent of the caps. Scope: `read`.
#[utoipa::path(get, path = "/accounts/{account}/balance", tag = "Money",
    params(("account" = String, Path, description = "Its number, or `me`")),
    responses((status = 200, body = BalanceBody)))]
async fn balance(
    State(state): State<Shared>,
    who: Who,
    Path(account): Path<String>,
) -> Result<Json<BalanceBody>, Refusal> {
    let scope = who.with(&state, &account, Right::Read).await?.account.scope();
    shown(&state, scope).await
}

/// How an account pays; what is not given stays, null takes a cap away.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `set_terms` reads")]
struct TermsRequest {
    /// How far below zero it may go; such as `250.00`.
    #[schema(pattern = r"^\d{1,12}(\.\d{1,6})?$", required = false)]
    credit_limit: String,
    /// `prepaid` or `postpaid`.
    #[schema(value_type = PaymentKind, required = false)]
    payment: String,
    #[schema(pattern = r"^\d{1,12}(\.\d{1,6})?$")]
    day_cap: Option<String>,
    #[schema(pattern = r"^\d{1,12}(\.\d{1,6})?$")]
    month_cap: Option<String>,
}

/// When an account pays.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes what `set_terms` reads")]
enum PaymentKind {
    Prepaid,
    Postpaid,
}

/// Set credit limit and caps
///
/// Of an account below the caller's own. A cap holds whatever the number of servers: what a message costs counts when it
/// is accepted, also one for later, and is not given back if it fails. A cap that the operator has set a partner can only
/// make stricter. Scope: `money`.
#[utoipa::path(patch, path = "/accounts/{account}/balance", tag = "Money", request_body = TermsRequest,
    params(("account" = String, Path, description = "Its number")),
    responses((status = 200, body = BalanceBody)))]
async fn set_terms(
    State(state): State<Shared>,
    who: Who,
    Path(account): Path<String>,
    mut fields: Fields,
) -> Result<Json<BalanceBody>, Refusal> {
    let scope = who.above(&state, &account, Right::Money).await?.account.scope();
    let credit = fields.text("creditLimit", unsigned);
    let postpaid = fields.text("payment", |word| match word {
        "prepaid" => Ok(false),
        "postpaid" => Ok(true),
        _ => Err(Code::Invalid),
    });
    let caps =
        Caps { day: fields.clearable("dayCap", unsigned), month: fields.clearable("monthCap", unsigned) };
    fields.finish()?;
    // What a child pays on credit comes to its partner as money: whoever gains by it may not grant it.
    if (credit.is_some() || postpaid.is_some()) && !who.is_operator() {
        return Err(Error::Forbidden.into());
    }
    let settings: Vec<Setting> =
        postpaid.map(Setting::Postpaid).into_iter().chain(credit.map(Setting::CreditLimit)).collect();
    let level = who.sight(scope.account).level();
    let unit = async move |tx: &mut Tx, settings: &Vec<Setting>| {
        ceiling::cap(tx, &(scope, level, caps)).await?;
        account::set_all(tx, &(scope.account, settings.clone())).await?;
        cap::set(tx, &(scope, caps)).await
    };
    let about = move |_: &Vec<Setting>, (): &()| {
        let cap = |cap: Option<Option<Amount>>| {
            cap.map(|cap| cap.map_or_else(|| "none".to_owned(), |cap| cap.to_string()))
        };
        Act::on(scope.account, "balance.terms")
            .with_given("creditLimit", credit)
            .with_given("postpaid", postpaid)
            .with_given("dayCap", cap(caps.day))
            .with_given("monthCap", cap(caps.month))
    };
    state.store.write(settings, audited(who.actor, unit, about)).await?;
    shown(&state, scope).await
}

/// An amount that is not negative.
fn unsigned(text: &str) -> Result<Amount, Code> {
    Amount::parse(text).and_then(|amount| if amount < Amount::ZERO { Err(Code::Invalid) } else { Ok(amount) })
}

/// Money to move.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `top_up` and `transfer` read")]
struct PaymentRequest {
    /// Such as `25.00`; a negative one takes back. Not zero.
    #[schema(pattern = r"^-?\d{1,11}(\.\d{1,6})?$")]
    amount: String,
    /// If given, it must be the account's own.
    #[schema(pattern = "^[A-Za-z]{3}$", required = false)]
    currency: String,
    /// Shown with the entry on both sides.
    #[schema(max_length = 255, required = false)]
    note: String,
}

/// An entry of an account's books.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EntryBody {
    id: String,
    #[schema(format = DateTime)]
    at: String,
    /// What the account got; negative for what it paid.
    amount: String,
    currency: String,
    /// `credit` (the operator's), `transfer` (between a partner and its child), `messages` or `closing`.
    reason: String,
    /// The account on the other side; null for the operator.
    #[schema(required = true)]
    counterparty: Option<i64>,
    #[schema(required = true)]
    note: Option<String>,
}

impl EntryBody {
    fn new(of: AccountId, entry: Entry) -> Self {
        let (other, amount) = if entry.debit == of {
            (entry.credit, Amount(entry.amount.0.saturating_neg()))
        } else {
            (entry.debit, entry.amount)
        };
        EntryBody {
            id: entry.id.to_string(),
            at: moment(entry.created),
            amount: amount.to_string(),
            currency: entry.currency.to_string(),
            reason: entry.reason,
            counterparty: (other != AccountId(0)).then_some(other.0),
            note: entry.note,
        }
    }
}

async fn pay(
    state: &Shared,
    who: Who,
    once: Once,
    view: View,
    from: Scope,
    mut fields: Fields,
) -> Result<Response, Refusal> {
    let amount = fields.text("amount", |text| {
        Amount::parse(text)
            .and_then(|amount| if amount == Amount::ZERO { Err(Code::Invalid) } else { Ok(amount) })
    });
    let amount = fields.required("amount", amount).unwrap_or(Amount::ZERO);
    let currency = fields.text("currency", Currency::parse);
    if currency.is_some_and(|currency| currency != view.account.currency) {
        fields.refuse("currency", Code::Currency);
    }
    let note = fields.text("note", |text| plain(text, NOTE_MAX)).filter(|note| !note.is_empty());
    fields.finish()?;
    let to = view.account.id;
    let payment = Payment { from, to, amount, note };
    let about = |payment: &Payment, _: &Entry| {
        let action = if payment.from.account == AccountId(0) { "money.top-up" } else { "money.transfer" };
        Act::on(payment.to, action).with("amount", payment.amount).with_given("note", payment.note.as_ref())
    };
    once.create(state, payment, audited(who.actor, ledger::pay, about), move |entry| {
        EntryBody::new(to, entry)
    })
    .await
}

/// Grant credit
///
/// Prepaid balance that the operator grants to any account. Scope: `money`, of the operator.
#[utoipa::path(post, path = "/accounts/{account}/top-ups", tag = "Money", request_body = PaymentRequest,
    params(("account" = String, Path, description = "Its number")),
    responses((status = 201, body = EntryBody)))]
async fn top_up(
    State(state): State<Shared>,
    who: Who,
    once: Once,
    Path(account): Path<String>,
    fields: Fields,
) -> Result<Response, Refusal> {
    let view = who.with(&state, &account, Right::Money).await?;
    if !who.is_operator() {
        return Err(Error::Forbidden.into());
    }
    let operator = Scope { root: AccountId(0), account: AccountId(0) };
    pay(&state, who, once, view, operator, fields).await
}

/// Move money between a partner and its child
///
/// From the partner to the child, by an amount that the partner has or may owe; back, by a negative amount, only what the
/// child has. Scope: `money`.
#[utoipa::path(post, path = "/accounts/{account}/transfers", tag = "Money", request_body = PaymentRequest,
    params(("account" = String, Path, description = "The child's number")),
    responses((status = 201, body = EntryBody)))]
async fn transfer(
    State(state): State<Shared>,
    who: Who,
    once: Once,
    Path(account): Path<String>,
    fields: Fields,
) -> Result<Response, Refusal> {
    let view = who.above(&state, &account, Right::Money).await?;
    let root = view.account.root;
    if view.account.is_partner() {
        return Err(Error::Forbidden.into());
    }
    pay(&state, who, once, view, Scope { root, account: root }, fields).await
}

/// Which entries.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `asked` reads")]
struct StretchParams {
    /// From this moment on.
    #[param(format = DateTime)]
    from: Option<String>,
    /// Before this one.
    #[param(format = DateTime)]
    until: Option<String>,
}

fn asked(scope: Scope, page: &Page, limit: i64) -> Result<Asked, Refusal> {
    let read = |text: &str| Timestamp::parse(text).ok_or(Code::Invalid);
    let from = page.param("from", read)?.unwrap_or(Timestamp(0));
    let until = page.param("until", read)?.unwrap_or(Timestamp(i64::MAX));
    let before = page.after(|text| text.parse::<TransferId>().ok())?;
    Ok(Asked { scope, from, until, before, limit })
}

/// List the entries of the books
///
/// Newest first. Scope: `read`.
#[utoipa::path(get, path = "/accounts/{account}/ledger", tag = "Money",
    params(("account" = String, Path, description = "Its number, or `me`"), StretchParams, PageParams),
    responses((status = 200, body = List<EntryBody>)))]
async fn entries(
    State(state): State<Shared>,
    who: Who,
    Path(account): Path<String>,
    page: Page,
) -> Result<Json<List<EntryBody>>, Refusal> {
    let scope = who.with(&state, &account, Right::Read).await?.account.scope();
    let found = state.store.read(asked(scope, &page, page.probe())?, entry::list).await?;
    let of = scope.account;
    Ok(Json(List::of(found, &page, |entry| entry.id.to_string(), |entry| EntryBody::new(of, entry))))
}

/// Export the entries of the books
///
/// Those of a stretch of time as a table, newest first, however many there are: the answer is sent as it is read. With
/// `after`, an id, only older ones. Scope: `read`.
#[utoipa::path(get, path = "/accounts/{account}/ledger.csv", tag = "Money",
    params(("account" = String, Path, description = "Its number, or `me`"), StretchParams, PageParams),
    responses((status = 200, body = String, content_type = "text/csv")))]
async fn table(
    State(state): State<Shared>,
    who: Who,
    Path(account): Path<String>,
    page: Page,
) -> Result<Response, Refusal> {
    let scope = who.with(&state, &account, Right::Read).await?.account.scope();
    let asked = asked(scope, &page, CSV_PAGE)?;
    let head = ["id", "at", "amount", "currency", "reason", "counterparty", "note"];
    let row = move |entry| {
        let entry = EntryBody::new(scope.account, entry);
        let other = entry.counterparty.map(|other| other.to_string()).unwrap_or_default();
        let note = entry.note.unwrap_or_default();
        vec![entry.id, entry.at, entry.amount, entry.currency, entry.reason, other, note]
    };
    let read = move |before| {
        let store = state.store.clone();
        async move {
            let found = store.scan(Asked { before, ..asked }, entry::list).await?;
            let next = csv_next(&found, |entry| Some(entry.id));
            Ok((found.into_iter().map(row).collect(), next))
        }
    };
    csv_pages("ledger.csv", &head, asked.before, read).await
}
