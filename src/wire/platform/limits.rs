//! Limits of an account, set by whoever is above it.

use super::fields::Fields;
use super::who::Who;
use crate::core::audit::{Act, audited};
use crate::core::ceiling::{self, Ceiling, Patch};
use crate::core::limits::{self, Limits, PER_SECOND_MAX, RECIPIENTS_MAX};
use crate::core::money::Amount;
use crate::core::rights::Right;
use crate::core::suspension::Level;
use crate::core::{Code, Scope};
use crate::wire::Shared;
use crate::wire::refusal::Refusal;
use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Countries of one list: there are fewer.
const COUNTRIES_MAX: usize = 300;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(view, set))
}

/// The limits of an account, and those of them that the operator has set: they can only be made stricter.
#[derive(Serialize, ToSchema)]
struct LimitsBody {
    #[serde(flatten)]
    limits: LimitValues,
    operator: LimitValues,
}

impl LimitsBody {
    fn new(limits: Limits, ceiling: Ceiling) -> Self {
        LimitsBody { limits: limits.into(), operator: ceiling.limits.into() }
    }
}

/// Limits; null where there is none.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct LimitValues {
    #[schema(required = true)]
    requests_per_second: Option<i64>,
    #[schema(required = true)]
    messages_per_second: Option<i64>,
    #[schema(required = true)]
    max_price: Option<String>,
    #[schema(required = true)]
    allowed_countries: Option<Vec<String>>,
    #[schema(required = true)]
    recipients_per_country_and_day: Option<i64>,
}

impl From<Limits> for LimitValues {
    fn from(limits: Limits) -> Self {
        LimitValues {
            requests_per_second: limits.requests,
            messages_per_second: limits.messages,
            max_price: limits.price.map(|price| price.to_string()),
            allowed_countries: limits.countries,
            recipients_per_country_and_day: limits.per_country,
        }
    }
}

/// What is changed of the limits; what is not given stays, null takes a limit away.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `set` reads")]
struct LimitsRequest {
    /// By all keys of the account together, at each server: 429 beyond.
    #[schema(minimum = 1, maximum = 100_000)]
    requests_per_second: Option<i64>,
    /// Each recipient counts. What a second holds may come at once: 429 beyond.
    #[schema(minimum = 1, maximum = 100_000)]
    messages_per_second: Option<i64>,
    /// Most that one part of a message may cost: 422 beyond.
    #[schema(pattern = r"^\d{1,12}(\.\d{1,6})?$")]
    max_price: Option<String>,
    /// Where messages may go: two letters each (ISO 3166-1). 422 elsewhere.
    #[schema(max_items = 300)]
    allowed_countries: Option<Vec<String>>,
    /// Recipients in any one country in a day of UTC: 422 beyond.
    #[schema(minimum = 0, maximum = 1_000_000_000)]
    recipients_per_country_and_day: Option<i64>,
}

/// View the limits
///
/// Scope: `read`.
#[utoipa::path(get, path = "/accounts/{account}/limits", tag = "Limits",
    params(("account" = String, Path, description = "Its number, or `me`")),
    responses((status = 200, body = LimitsBody)))]
async fn view(
    State(state): State<Shared>,
    who: Who,
    Path(account): Path<String>,
) -> Result<Json<LimitsBody>, Refusal> {
    let scope = who.with(&state, &account, Right::Read).await?.account.scope();
    let limits = state.store.read(scope, limits::of).await?;
    Ok(Json(LimitsBody::new(limits, state.store.read(scope, ceiling::of).await?)))
}

fn country(text: &str) -> Result<String, Code> {
    let fits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    if fits { Ok(text.to_ascii_uppercase()) } else { Err(Code::Invalid) }
}

/// What is said about sending: not given, null, or a value.
#[expect(clippy::option_option, reason = "not given, null, and a value are three things")]
pub(super) struct Given {
    pub messages: Option<Option<i64>>,
    pub price: Option<Option<Amount>>,
    pub countries: Option<Option<Vec<String>>>,
    pub per_country: Option<Option<i64>>,
}

/// Reads what is said about sending, of an account or of a key.
pub(super) fn given(fields: &mut Fields) -> Given {
    Given {
        messages: fields.clearable_integer("messagesPerSecond", 1, PER_SECOND_MAX),
        price: fields.clearable("maxPrice", |text| {
            Amount::parse(text)
                .and_then(|price| if price < Amount::ZERO { Err(Code::Invalid) } else { Ok(price) })
        }),
        countries: fields.clearable_list("allowedCountries", COUNTRIES_MAX, country),
        per_country: fields.clearable_integer("recipientsPerCountryAndDay", 0, RECIPIENTS_MAX),
    }
}

/// Set the limits
///
/// Of an account below the caller's own, in force on every server within a second. What the operator has limited a partner
/// can only make stricter. Scope: `limits`.
#[utoipa::path(patch, path = "/accounts/{account}/limits", tag = "Limits", request_body = LimitsRequest,
    params(("account" = String, Path, description = "Its number")),
    responses((status = 200, body = LimitsBody)))]
async fn set(
    State(state): State<Shared>,
    who: Who,
    Path(account): Path<String>,
    mut fields: Fields,
) -> Result<Json<LimitsBody>, Refusal> {
    let scope = who.above(&state, &account, Right::Limits).await?.account.scope();
    let requests = fields.clearable_integer("requestsPerSecond", 1, PER_SECOND_MAX);
    let Given { messages, price, countries, per_country } = given(&mut fields);
    fields.finish()?;
    let patch = Patch { requests, messages, price, countries, per_country };
    let about = |(scope, ..): &(Scope, Level, Patch), (after, _): &(Limits, Ceiling)| {
        Act::on(scope.account, "limits.update")
            .with_given("requestsPerSecond", after.requests)
            .with_given("messagesPerSecond", after.messages)
            .with_given("maxPrice", after.price)
            .with_given("allowedCountries", after.countries.as_ref().map(|all| all.join(" ")))
            .with_given("recipientsPerCountryAndDay", after.per_country)
    };
    let asked = (scope, who.sight(scope.account).level(), patch);
    let (after, ceiling) = state.store.write(asked, audited(who.actor, ceiling::limit, about)).await?;
    state.forget_keys().await?;
    Ok(Json(LimitsBody::new(after, ceiling)))
}
