//! Balance and usage: docs/spec/30-360-partner.md section 6, docs/spec/31-360-clients-channels.md section 7.

use super::clients::child_of;
use super::error::MetaError;
use super::id;
use super::json::Json;
use super::partner::own;
use crate::core::account::ChildOf;
use crate::core::channel::{self, Of};
use crate::core::ledger;
use crate::core::money::Amount;
use crate::core::usage::{self, Asked, CATEGORIES, Category, Row};
use crate::core::{Code, Scope, Timestamp, client};
use crate::wire::Shared;
use crate::wire::attributes::{Query, integer};
use crate::wire::caller::PartnerCaller;
use crate::wire::refusal::Refusal;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use std::collections::BTreeMap;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(partner)).routes(routes!(client)).routes(routes!(channel))
}

/// An amount as a JSON number, written from the integer.
fn number(amount: Amount) -> Box<RawValue> {
    RawValue::from_string(amount.shortest()).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// What a partner has of one currency.
#[derive(Serialize, ToSchema)]
struct Total {
    currency: String,
    #[schema(value_type = f64)]
    total: Box<RawValue>,
}

/// Retrieve partner balance
#[utoipa::path(get, path = "/{partner_id}/balance", tag = "Balance",
    security(("PartnerApiKey" = []), ("Bearer" = [])), params(("partner_id" = String, Path)),
    responses((status = 200, body = Vec<Total>), (status = 401, body = MetaError), (status = 403, body = MetaError)))]
async fn partner(
    State(state): State<Shared>,
    caller: PartnerCaller,
    Path(partner): Path<String>,
) -> Result<Json<Vec<Total>>, Refusal> {
    let (partner, _) = own(&state, caller, &partner).await?;
    let balance = state.store.read(Scope { root: partner, account: partner }, ledger::balance).await?;
    let total =
        Total { currency: balance.currency.as_str().to_lowercase(), total: number(balance.available()) };
    Ok(Json(StatusCode::OK, vec![total]))
}

/// The default end of the time that is asked about: 2099-12-31T00:00:00Z (section 7.1).
const END: i64 = 4_102_358_400;
const DAY: i64 = 86_400;

/// The stretch of time and its pieces.
fn asked(query: &Query, of: ChildOf, channel: Option<String>) -> Result<(Asked, bool), Refusal> {
    let mut reader = query.0.reader();
    let from = reader.optional(&["start_date"], integer(i64::MIN, i64::MAX)).unwrap_or(0);
    let to = reader.optional(&["end_date"], integer(i64::MIN, i64::MAX)).unwrap_or(END);
    let by_day = reader.optional(&["granularity"], |text| match text.to_ascii_lowercase().as_str() {
        "day" => Ok(true),
        "month" => Ok(false),
        _ => Err(Code::Invalid),
    });
    reader.finish()?;
    let asked =
        Asked { scope: client::scope(&of), channel, from: from.div_euclid(DAY), to: to.div_euclid(DAY) };
    Ok((asked, by_day.unwrap_or(false)))
}

struct Sum {
    quantity: i64,
    paid: i64,
    price: Amount,
}

impl Sum {
    const NONE: Sum = Sum { quantity: 0, paid: 0, price: Amount::ZERO };

    fn add(&mut self, row: &Row) {
        self.quantity = self.quantity.saturating_add(row.quantity);
        self.paid = self.paid.saturating_add(row.paid);
        self.price = [self.price, row.price].into_iter().sum();
    }
}

/// The first day of the piece of time that a day is in.
fn period(day: i64, by_day: bool) -> String {
    let date = Timestamp(day.saturating_mul(DAY * 1_000_000)).rfc3339_utc();
    if by_day { date } else { format!("{}-01T00:00:00Z", &date[..7]) }
}

/// A document whose numbers are written as they are, its keys in order.
type Document = BTreeMap<String, Box<RawValue>>;

fn raw<T: Serialize>(value: &T) -> Box<RawValue> {
    to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// The pieces of time in which something was sent; nothing in them is `null` (section 7.1).
fn usage_rows(rows: &[Row], by_day: bool) -> Vec<Document> {
    let mut periods: BTreeMap<String, (Sum, BTreeMap<&'static str, Sum>)> = BTreeMap::new();
    for row in rows {
        let (all, each) =
            periods.entry(period(row.day, by_day)).or_insert_with(|| (Sum::NONE, BTreeMap::new()));
        all.add(row);
        each.entry(row.category.name()).or_insert(Sum::NONE).add(row);
        let side = if row.category == Category::Service { "user_initiated" } else { "business_initiated" };
        each.entry(side).or_insert(Sum::NONE).add(row);
    }
    let mut out = Vec::with_capacity(periods.len());
    for (date, (all, each)) in periods {
        let mut row = Document::new();
        let mut put = |name: String, value: Box<RawValue>| row.insert(name, value);
        for (name, count) in [
            ("free_entry_point", 0),
            ("free_quantity", all.quantity - all.paid),
            ("free_tier", 0),
            ("paid_quantity", all.paid),
            ("quantity", all.quantity),
        ] {
            put(name.to_owned(), raw(&count));
        }
        put("period_date".to_owned(), raw(&date));
        put("total_price".to_owned(), number(all.price));
        for name in CATEGORIES.iter().map(|one| one.name()).chain(["business_initiated", "user_initiated"]) {
            let sum = each.get(name).unwrap_or(&Sum::NONE);
            put(format!("{name}_quantity"), raw(&sum.quantity));
            put(format!("{name}_paid_quantity"), raw(&sum.paid));
            put(format!("{name}_price"), number(sum.price));
        }
        out.push(row);
    }
    out
}

async fn answer(state: &Shared, (asked, by_day): (Asked, bool)) -> Result<Json<Document>, Refusal> {
    let scope = asked.scope;
    let balance = state.store.read(scope, ledger::balance).await?;
    let renewal = state.store.read(scope, usage::last_credit).await?;
    let prices = state.store.read(scope, usage::typical).await?;
    let rows = state.store.scan(asked, usage::rows).await?;
    let mut body = Document::new();
    let mut put = |name: &str, value: Box<RawValue>| body.insert(name.to_owned(), value);
    put("balance", number(balance.available()));
    put("bi_price_for_currency_and_client_country", number(prices.initiated));
    put("currency", raw(&balance.currency.as_str().to_lowercase()));
    put("estimated_template_cost", number(prices.initiated));
    put("granularity", raw(&if by_day { "day" } else { "month" }));
    put("ui_price_for_currency_and_client_country", number(prices.service));
    put("usage", raw(&usage_rows(&rows, by_day)));
    if let Some((date, amount)) = renewal {
        let renewal = Document::from([
            ("amount".to_owned(), number(amount)),
            ("date".to_owned(), raw(&date.rfc3339_utc())),
        ]);
        put("last_renewal", raw(&renewal));
    }
    Ok(Json(StatusCode::OK, body))
}

/// Retrieve a client's balance and usage
#[utoipa::path(get, path = "/{partner_id}/clients/{client_id}/info/balance", tag = "Balance",
    security(("PartnerApiKey" = []), ("Bearer" = [])),
    params(("partner_id" = String, Path), ("client_id" = String, Path), ("start_date" = Option<i64>, Query),
        ("end_date" = Option<i64>, Query), ("granularity" = Option<String>, Query)),
    responses((status = 200, body = Value), (status = 400, body = MetaError), (status = 401, body = MetaError),
        (status = 403, body = MetaError), (status = 404, body = MetaError)))]
async fn client(
    State(state): State<Shared>,
    caller: PartnerCaller,
    Path((partner, client)): Path<(String, String)>,
    query: Query,
) -> Result<Json<Document>, Refusal> {
    let (partner, _) = own(&state, caller, &partner).await?;
    let of = child_of(partner, &client)?;
    state.store.read(of, client::find).await?;
    answer(&state, asked(&query, of, None)?).await
}

/// Retrieve a channel's balance and usage
#[utoipa::path(get, path = "/{partner_id}/clients/{client_id}/channels/{channel_id}/info/balance", tag = "Balance",
    security(("PartnerApiKey" = []), ("Bearer" = [])),
    params(("partner_id" = String, Path), ("client_id" = String, Path), ("channel_id" = String, Path),
        ("start_date" = Option<i64>, Query), ("end_date" = Option<i64>, Query), ("granularity" = Option<String>, Query)),
    responses((status = 200, body = Value), (status = 400, body = MetaError), (status = 401, body = MetaError),
        (status = 403, body = MetaError), (status = 404, body = MetaError)))]
async fn channel(
    State(state): State<Shared>,
    caller: PartnerCaller,
    Path((partner, client, channel)): Path<(String, String, String)>,
    query: Query,
) -> Result<Json<Document>, Refusal> {
    let (partner, _) = own(&state, caller, &partner).await?;
    let of = child_of(partner, &client)?;
    let id = id::without(&channel, id::CHANNEL);
    let asked = asked(&query, of, Some(id.clone()))?;
    state.store.read(Of { client: of, id }, channel::of_client).await?;
    answer(&state, asked).await
}
