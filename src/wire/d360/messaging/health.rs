//! Whether a channel can send: docs/spec/33-360-messaging.md section 7.

use super::super::json::Json;
use super::view;
use crate::wire::Shared;
use crate::wire::caller::ChannelCaller;
use crate::wire::refusal::Refusal;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(status))
}

/// Tell whether the channel can send
#[utoipa::path(get, path = "/health_status", tag = "Messaging", security(("ChannelKey" = [])),
    responses((status = 200, body = Value), (status = 401, body = super::WrongKey)))]
async fn status(State(state): State<Shared>, caller: ChannelCaller) -> Result<Json<Value>, Refusal> {
    let found = view(&state, &caller).await?;
    let (channel, business) = (&found.channel, &found.business);
    let word = if channel.is_running() { "AVAILABLE" } else { "BLOCKED" };
    let mut number = json!({"can_send_message": word, "entity_type": "PHONE_NUMBER", "id": channel.external});
    if !channel.is_running() {
        number["errors"] = json!([{"error_code": 141_000, "error_description": "The number is not running.",
            "possible_solution": "Wait until the channel is running, or reactivate it."}]);
    }
    let mut entities = vec![
        number,
        json!({"can_send_message": "AVAILABLE", "entity_type": "WABA", "id": business.external}),
    ];
    if let Some(owner) = &business.owner {
        entities.push(json!({"can_send_message": "AVAILABLE", "entity_type": "BUSINESS", "id": owner}));
    }
    entities
        .push(json!({"can_send_message": "AVAILABLE", "entity_type": "APP", "id": channel.app.to_string()}));
    Ok(Json(
        StatusCode::OK,
        json!({"health_status": {"can_send_message": word, "entities": entities}, "id": channel.external}),
    ))
}

/// Tell whether this host answers
#[utoipa::path(get, path = "/health", tag = "Messaging", responses((status = 200, body = Value)))]
pub(super) async fn alive() -> Json<Value> {
    Json(StatusCode::OK, json!({"status": "ok"}))
}
