//! Where a channel's messages go, and what it says of itself: docs/spec/33-360-messaging.md sections 3 and 7.

use super::super::error::MetaError;
use super::super::fields::Fields;
use super::super::json::{Json, answer};
use super::view;
use crate::core::audit::{Act, Actor, audited};
use crate::core::channel;
use crate::core::hook::{self, Hook, Owner, place};
use crate::core::partner::check_url;
use crate::core::secret::Vault;
use crate::core::{Code, Scope};
use crate::wire::Shared;
use crate::wire::attributes::{Attributes, at_most};
use crate::wire::caller::ChannelCaller;
use crate::wire::idempotency::Once;
use crate::wire::refusal::Refusal;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(own_hook, set_hook))
        .routes(routes!(business_hook, set_business_hook))
        .routes(routes!(number))
        .routes(routes!(set_profile))
        .routes(routes!(public_key, set_public_key))
}

/// Headers as they are stored, as an object.
fn headers(lines: &str) -> Value {
    let pairs = lines.lines().filter_map(|line| line.split_once(": "));
    Value::Object(pairs.map(|(name, value)| (name.to_owned(), value.into())).collect::<Map<_, _>>())
}

fn opened(vault: &Vault, scope: Scope, of: &str, sealed: Option<Vec<u8>>) -> Result<Value, Refusal> {
    let Some(sealed) = sealed else { return Ok(json!({})) };
    let lines = vault.open(place(scope, of), &sealed).map_err(|_| Refusal::bug("headers do not open"))?;
    Ok(headers(&String::from_utf8_lossy(&lines)))
}

/// View the channel's webhook
#[utoipa::path(get, path = "/configs/webhook", tag = "Messaging", security(("ChannelKey" = [])),
    responses((status = 200, body = Value), (status = 401, body = super::WrongKey)))]
async fn own_hook(State(state): State<Shared>, caller: ChannelCaller) -> Result<Json<Value>, Refusal> {
    let found = view(&state, &caller).await?;
    let of = (caller.scope, Owner::Channel, caller.channel.clone());
    let sealed = state.store.read(of, hook::headers).await?;
    let headers = opened(&state.vault, caller.scope, &caller.channel, sealed)?;
    Ok(Json(StatusCode::OK, json!({"headers": headers, "url": found.channel.webhook_url})))
}

/// The URL and headers of a request.
fn asked(mut fields: Fields, hook: (Scope, Owner, String, Vault)) -> Result<(Hook, Value), Refusal> {
    let url = fields.required("url", |text| check_url(text).map(|()| text.to_owned())).unwrap_or_default();
    let lines = fields.headers("headers").unwrap_or_default();
    fields.finish()?;
    let shown = if url.is_empty() { Value::Null } else { url.as_str().into() };
    let echo = json!({"headers": headers(&lines), "url": shown});
    let (scope, owner, of, vault) = hook;
    Ok((Hook { scope, owner, of, url, headers: lines, vault }, echo))
}

/// By name: a URL and headers may hold secrets.
fn hooked(hook: &Hook) -> Act {
    let action = match hook.owner {
        Owner::Channel => "channel.update",
        Owner::Business => "business.update",
    };
    Act::on(hook.scope.account, action).object(&hook.of).with("settings", "webhook_url headers")
}

fn changed(setting: &'static str) -> impl Fn(&(Scope, String, String), &()) -> Act + Send + 'static {
    move |(scope, channel, _), ()| {
        Act::on(scope.account, "channel.update").object(channel).with("settings", setting)
    }
}

/// Set the channel's webhook
///
/// An empty URL takes it away.
#[utoipa::path(post, path = "/configs/webhook", tag = "Messaging", security(("ChannelKey" = [])), request_body = Value,
    responses((status = 200, body = Value), (status = 400, body = MetaError), (status = 401, body = super::WrongKey)))]
async fn set_hook(
    State(state): State<Shared>,
    caller: ChannelCaller,
    actor: Actor,
    once: Once,
    fields: Fields,
) -> Result<Response, Refusal> {
    let (hook, echo) = asked(fields, (caller.scope, Owner::Channel, caller.channel, state.vault.clone()))?;
    let done = move |()| Ok(answer(StatusCode::OK, &echo));
    once.answer(&state, hook, audited(actor, hook::set, |hook: &Hook, (): &()| hooked(hook)), done).await
}

/// View the webhook of the channel's business account
#[utoipa::path(get, path = "/waba_webhook", tag = "Messaging", security(("ChannelKey" = [])),
    responses((status = 200, body = Value), (status = 401, body = super::WrongKey)))]
async fn business_hook(State(state): State<Shared>, caller: ChannelCaller) -> Result<Json<Value>, Refusal> {
    let found = view(&state, &caller).await?;
    let of = (caller.scope, Owner::Business, found.business.id.clone());
    let sealed = state.store.read(of, hook::headers).await?;
    let headers = opened(&state.vault, caller.scope, &found.business.id, sealed)?;
    Ok(Json(StatusCode::OK, json!({"headers": headers, "url": found.business.webhook_url})))
}

/// Set the webhook of the channel's business account
///
/// It counts for all its channels that have none of their own.
#[utoipa::path(post, path = "/waba_webhook", tag = "Messaging", security(("ChannelKey" = [])), request_body = Value,
    responses((status = 200, body = Value), (status = 400, body = MetaError), (status = 401, body = super::WrongKey)))]
async fn set_business_hook(
    State(state): State<Shared>,
    caller: ChannelCaller,
    actor: Actor,
    once: Once,
    fields: Fields,
) -> Result<Response, Refusal> {
    let found = view(&state, &caller).await?;
    let (hook, echo) =
        asked(fields, (caller.scope, Owner::Business, found.business.id, state.vault.clone()))?;
    let done = move |()| Ok(answer(StatusCode::OK, &echo));
    once.answer(&state, hook, audited(actor, hook::set, |hook: &Hook, (): &()| hooked(hook)), done).await
}

/// View the channel's number
#[utoipa::path(get, path = "/configs/phone_number", tag = "Messaging", security(("ChannelKey" = [])),
    responses((status = 200, body = Value), (status = 401, body = super::WrongKey)))]
async fn number(State(state): State<Shared>, caller: ChannelCaller) -> Result<Json<Value>, Refusal> {
    let found = view(&state, &caller).await?;
    Ok(Json(StatusCode::OK, json!({"phone_number": found.channel.msisdn.to_string()})))
}

/// What a channel may say of itself.
const PROFILE: [&str; 6] = ["about", "address", "description", "email", "vertical", "websites"];
const PROFILE_MAX: usize = 512;

/// Set what the channel says of itself
#[utoipa::path(post, path = "/whatsapp_business_profile", tag = "Messaging", security(("ChannelKey" = [])),
    request_body = Value,
    responses((status = 200, body = Value), (status = 400, body = MetaError), (status = 401, body = super::WrongKey)))]
async fn set_profile(
    State(state): State<Shared>,
    caller: ChannelCaller,
    actor: Actor,
    once: Once,
    attributes: Attributes,
) -> Result<Response, Refusal> {
    let found = view(&state, &caller).await?;
    let attributes = attributes.body_only();
    let mut reader = attributes.reader();
    let mut profile: Value = serde_json::from_str(&found.channel.profile).unwrap_or_else(|_| json!({}));
    for name in PROFILE {
        if let Some(text) = reader.optional(&[name], at_most(PROFILE_MAX)) {
            profile[name] = text.into();
        }
    }
    reader.finish()?;
    let command = (caller.scope, caller.channel, profile.to_string());
    let done = |()| Ok(answer(StatusCode::OK, &json!({"success": true})));
    once.answer(&state, command, audited(actor, channel::set_profile, changed("profile")), done).await
}

/// Longest public key, in PEM: one of 4,096 bits has some 800 characters.
const KEY_MAX: usize = 2_048;

/// View the public key for encrypted forms
#[utoipa::path(get, path = "/whatsapp_business_encryption", tag = "Messaging", security(("ChannelKey" = [])),
    responses((status = 200, body = Value), (status = 401, body = super::WrongKey)))]
async fn public_key(State(state): State<Shared>, caller: ChannelCaller) -> Result<Json<Value>, Refusal> {
    let key = state.store.read((caller.scope, caller.channel), channel::public_key).await?;
    let keys: Vec<Value> = key
        .map(|key| json!({"business_public_key": key, "business_public_key_signature_status": "VALID"}))
        .into_iter()
        .collect();
    Ok(Json(StatusCode::OK, json!({"data": keys})))
}

/// Set the public key for encrypted forms
#[utoipa::path(post, path = "/whatsapp_business_encryption", tag = "Messaging", security(("ChannelKey" = [])),
    request_body = Value,
    responses((status = 200, body = Value), (status = 400, body = MetaError), (status = 401, body = super::WrongKey)))]
async fn set_public_key(
    State(state): State<Shared>,
    caller: ChannelCaller,
    actor: Actor,
    once: Once,
    mut fields: Fields,
) -> Result<Response, Refusal> {
    let key = fields.required("business_public_key", |text| {
        let text = text.trim();
        let is_pem =
            text.starts_with("-----BEGIN PUBLIC KEY-----") && text.ends_with("-----END PUBLIC KEY-----");
        if text.len() > KEY_MAX {
            Err(Code::TooLong(KEY_MAX))
        } else if is_pem {
            Ok(text.to_owned())
        } else {
            Err(Code::Invalid)
        }
    });
    fields.finish()?;
    let command = (caller.scope, caller.channel, key.unwrap_or_default());
    let done = |()| Ok(answer(StatusCode::OK, &json!({"success": true})));
    once.answer(&state, command, audited(actor, channel::set_public_key, changed("public_key")), done).await
}
