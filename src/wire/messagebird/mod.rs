//! The classic MessageBird APIs: docs/spec/00-overview.md and the files beside it.

mod balance;
mod batches;
pub(super) mod callbacks;
mod child_accounts;
mod contacts;
pub(super) mod error;
mod groups;
mod messages;
mod page;
mod pricing;
mod reporting;
pub mod signature;
pub(super) mod verify;

use super::Shared;
use crate::core::Timestamp;
use crate::core::money::{Amount, Currency};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;

/// The rest host.
pub(super) fn rest() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .merge(balance::routes())
        .merge(batches::routes())
        .merge(contacts::routes())
        .merge(groups::routes())
        .merge(messages::routes())
        .merge(pricing::routes())
        .merge(reporting::routes())
}

/// The partner-accounts host: its paths are served with and without `/v1`.
pub(super) fn partner_accounts() -> OpenApiRouter<Shared> {
    child_accounts::routes().merge(OpenApiRouter::new().nest("/v1", child_accounts::routes()))
}

/// The date form of the rest host.
struct Datetime(Timestamp);

impl Serialize for Datetime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.rfc3339_offset())
    }
}

impl PartialSchema for Datetime {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        String::schema()
    }
}

impl ToSchema for Datetime {}

/// An amount of money.
#[derive(Serialize, ToSchema)]
struct Price {
    /// With all its decimals.
    #[schema(value_type = f64)]
    amount: Box<RawValue>,
    /// ISO 4217.
    currency: String,
}

impl Price {
    /// A number from the integer, never through a float.
    fn new(amount: Amount, currency: Currency) -> Self {
        let number = RawValue::from_string(amount.shortest());
        Price { amount: number.unwrap_or_else(|_| RawValue::NULL.to_owned()), currency: currency.to_string() }
    }
}

/// How many there are and where to read them.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Counted {
    total_count: i64,
    href: String,
}

/// 201 with an object.
struct Created<T>(T);

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, axum::Json(self.0)).into_response()
    }
}
