//! The messages of a channel: docs/spec/33-360-messaging.md. One key is one channel, so no path names it.

mod chats;
mod config;
mod files;
mod health;
mod templates;

pub(super) use chats::told;
pub(in crate::wire) use chats::wamid;

use super::error::own;
use super::json::Json;
use crate::core::channel::View;
use crate::core::idempotency::Answer;
use crate::core::{Error, chat};
use crate::wire::Shared;
use crate::wire::caller::ChannelCaller;
use crate::wire::refusal::Refusal;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Answers without a key.
pub(in crate::wire) const ALIVE: &str = "/health";

/// The paths are served bare and, for older clients, under `/v1` (section 1).
pub(in crate::wire) fn routes() -> OpenApiRouter<Shared> {
    let both = || chats::routes().merge(config::routes()).merge(health::routes());
    OpenApiRouter::new()
        .merge(both())
        .merge(files::routes())
        .merge(templates::bare())
        .nest("/v1", both().merge(files::old_routes()).merge(templates::routes()))
}

/// What answers without a key.
pub(in crate::wire) fn alive() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(health::alive))
}

/// What is said to a wrong key.
#[derive(Serialize, ToSchema)]
struct WrongKey {
    error: &'static str,
}

/// Refusals: a text for a wrong key, the hub's form for all else (section 1).
pub(in crate::wire) fn render(refusal: &Refusal, request_id: &str) -> Response<Body> {
    match refusal {
        Refusal::Core(Error::Unauthenticated) => {
            own(Json(StatusCode::UNAUTHORIZED, WrongKey { error: "Invalid api key" }).into_response())
        }
        _ => super::error::render(refusal, request_id),
    }
}

/// The channel of a key.
async fn view(state: &Shared, caller: &ChannelCaller) -> Result<View, Refusal> {
    Ok(state.store.read((caller.scope, caller.channel.clone()), chat::own).await?)
}

/// A refusal in the network's own form (section 1).
fn graph(status: StatusCode, code: i64, message: &str, details: &str) -> Answer {
    let body: Value = json!({"error": {
        "code": code,
        "error_data": {"details": details, "messaging_product": "whatsapp"},
        "fbtrace_id": "rookery",
        "message": format!("(#{code}) {message}"),
        "type": "OAuthException",
    }});
    super::json::answer(status, &body)
}
