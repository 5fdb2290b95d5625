//! Prices of what is sent: docs/spec/19-pricing.md. A test key gets the same answer.
//!
//! Nothing here carries MMS or reads texts aloud, so their lists are there and empty: who asks for all lists gets all.

use super::error::Errors;
use crate::core::money::Amount;
use crate::core::price_list::{self, Entry, Of};
use crate::core::smpp_user;
use crate::core::{Error, Noun};
use crate::wire::Shared;
use crate::wire::caller::Caller;
use crate::wire::refusal::Refusal;
use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(outbound))
        .routes(routes!(outbound_smpp))
        .routes(routes!(outbound_mms))
        .routes(routes!(outbound_tts))
}

/// What the row of everything else is called.
const DEFAULT: &str = "Default Rate";

/// The whole list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Prices {
    /// The carrier of numbers that no route claims; 0 without one.
    gateway: i64,
    currency_code: String,
    total_count: usize,
    #[serde(rename = "prices")]
    rows: Vec<PriceRow>,
}

/// The price of a part.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PriceRow {
    /// A decimal number with six decimals.
    price: String,
    currency_code: String,
    /// `0` for what has no row of its own, the mobile country code of a country, or that and the mobile network code.
    mccmnc: String,
    mcc: String,
    #[schema(required = true)]
    mnc: Option<String>,
    country_name: String,
    /// `XX` for what has no row of its own.
    country_iso_code: String,
    #[schema(required = true)]
    operator_name: Option<String>,
}

impl PriceRow {
    fn new(entry: &Entry, currency: &str) -> Self {
        let Entry { price, of, mcc, country } = entry;
        let (price, mcc) = (*price, mcc.clone());
        let (iso, name) = country.unwrap_or(("XX", DEFAULT));
        let (mccmnc, mcc, mnc, operator) = match of {
            Of::Rest => ("0".into(), "0".into(), None, Some(DEFAULT.into())),
            Of::Country => (mcc.clone(), mcc, None, None),
            Of::Network(network) => {
                let mccmnc = format!("{mcc}{}", network.mnc);
                (mccmnc, mcc, Some(network.mnc.clone()), Some(network.operator.clone()))
            }
        };
        PriceRow {
            price: six_decimals(price),
            currency_code: currency.to_owned(),
            mccmnc,
            mcc,
            mnc,
            country_name: name.to_owned(),
            country_iso_code: iso.to_owned(),
            operator_name: operator,
        }
    }
}

fn six_decimals(amount: Amount) -> String {
    let text = amount.to_string();
    let decimals = text.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    format!("{text}{}", "0".repeat(6_usize.saturating_sub(decimals)))
}

/// List the prices of outbound SMS
#[utoipa::path(get, path = "/pricing/sms/outbound", tag = "Pricing", security(("AccessKey" = [])),
    responses((status = 200, body = Prices), (status = 401, body = Errors)))]
async fn outbound(State(state): State<Shared>, caller: Caller) -> Result<Json<Prices>, Refusal> {
    let (terms, list) = state.terms.price_list(&state.store, caller.scope.account).await?;
    let currency = terms.currency.to_string();
    let rows: Vec<PriceRow> = list.iter().map(|entry| PriceRow::new(entry, &currency)).collect();
    let gateway = price_list::main_carrier(&terms).map_or(0, |carrier| carrier.0);
    Ok(Json(Prices { gateway, currency_code: currency, total_count: rows.len(), rows }))
}

/// List the prices of outbound SMS of an SMPP user
///
/// They are those of its account.
#[utoipa::path(get, path = "/pricing/sms/outbound/smpp/{username}", tag = "Pricing", security(("AccessKey" = [])),
    params(("username" = String, Path)),
    responses((status = 200, body = Prices), (status = 401, body = Errors), (status = 404, body = Errors)))]
async fn outbound_smpp(
    state: State<Shared>,
    caller: Caller,
    Path(username): Path<String>,
) -> Result<Json<Prices>, Refusal> {
    let users = state.store.read(caller.scope.account, smpp_user::list).await?;
    let is_there = users.iter().any(|user| user.revoked.is_none() && user.system_id.to_string() == username);
    if is_there { outbound(state, caller).await } else { Err(Error::NotFound(Noun::Person).into()) }
}

/// The list of what is not sent here.
async fn nothing(state: &Shared, caller: &Caller) -> Result<Json<Prices>, Refusal> {
    let currency_code = state.terms.of(&state.store, caller.scope.account).await?.currency.to_string();
    Ok(Json(Prices { gateway: 0, currency_code, total_count: 0, rows: Vec::new() }))
}

/// List the prices of outbound MMS
///
/// There are none: nothing here carries them.
#[utoipa::path(get, path = "/pricing/mms/outbound", tag = "Pricing", security(("AccessKey" = [])),
    responses((status = 200, body = Prices), (status = 401, body = Errors)))]
async fn outbound_mms(State(state): State<Shared>, caller: Caller) -> Result<Json<Prices>, Refusal> {
    nothing(&state, &caller).await
}

/// List the prices of outbound voice messages
///
/// There are none: nothing here makes calls.
#[utoipa::path(get, path = "/pricing/tts/outbound", tag = "Pricing", security(("AccessKey" = [])),
    responses((status = 200, body = Prices), (status = 401, body = Errors)))]
async fn outbound_tts(State(state): State<Shared>, caller: Caller) -> Result<Json<Prices>, Refusal> {
    nothing(&state, &caller).await
}
