//! The balance: docs/spec/04-balance.md.

use super::error::Errors;
use crate::core::ledger;
use crate::core::money::{Amount, Currency};
use crate::wire::Shared;
use crate::wire::caller::Caller;
use crate::wire::refusal::Refusal;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(view))
}

/// What the account has.
#[derive(Serialize, ToSchema)]
struct Balance {
    /// `prepaid` or `postpaid`.
    payment: &'static str,
    /// `euros`, `pounds`, `dollars`, or the currency's ISO 4217 code.
    r#type: String,
    /// Cut to cents; 0 for postpaid.
    #[schema(value_type = f64)]
    amount: Box<RawValue>,
}

/// View the balance
#[utoipa::path(get, path = "/balance", tag = "Balance", security(("AccessKey" = [])),
    responses((status = 200, body = Balance), (status = 401, body = Errors)))]
async fn view(State(state): State<Shared>, caller: Caller) -> Result<Json<Balance>, Refusal> {
    let balance = state.store.read(caller.scope, ledger::balance).await?;
    let (payment, amount) =
        if balance.postpaid { ("postpaid", Amount::ZERO) } else { ("prepaid", balance.available()) };
    // A number from the integer, never through a float.
    let amount =
        RawValue::from_string(amount.cents()).map_err(|_| Refusal::bug("an amount is no JSON number"))?;
    Ok(Json(Balance { payment, r#type: word(balance.currency), amount }))
}

fn word(currency: Currency) -> String {
    match currency.as_str() {
        "EUR" => "euros".into(),
        "USD" => "dollars".into(),
        "GBP" => "pounds".into(),
        code => code.into(),
    }
}
