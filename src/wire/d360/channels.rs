//! Channels, what controls them and their keys: docs/spec/31-360-clients-channels.md sections 2, 3 and 8.

use super::clients::{child_of, render as render_client};
use super::error::{self, MetaError};
use super::fields::Fields;
use super::id;
use super::json::{Json, answer};
use super::listing::{Asked, Known, one, sorted};
use super::partner::own;
use crate::core::account::AccountId;
use crate::core::audit::{Act, Actor, audited};
use crate::core::business::Business;
use crate::core::channel::{self, Cancel, MadeKey, Of, Quality, Stage, View};
use crate::core::event::Dialect;
use crate::core::idempotency::Answer;
use crate::core::key::KeyId;
use crate::core::{Error, Scope, Timestamp};
use crate::wire::Shared;
use crate::wire::caller::PartnerCaller;
use crate::wire::idempotency::Once;
use crate::wire::origin::Origin;
use crate::wire::refusal::Refusal;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(view))
        .routes(routes!(list_keys, create_key, delete_keys))
        .routes(routes!(cancel))
        .routes(routes!(reactivate))
        .routes(routes!(commerce))
}

/// A business account as the hub shows it inside of a channel.
pub(super) fn render_nested(business: &Business) -> Value {
    json!({
        "external_id": business.external,
        "fb_account_status": "verified",
        "fb_business_id": business.owner,
        "id": id::ending(&business.id, id::BUSINESS),
        "name": business.name,
        "namespace": business.namespace,
        "on_behalf_of_business_info": {"id": business.owner, "name": business.name, "status": "approved",
            "type": "SELF"},
    })
}

fn time(at: Option<Timestamp>) -> Value {
    at.map(Timestamp::rfc3339_utc).into()
}

/// The words of section 2.1: a channel that is live is `ready`.
fn status(stage: Stage) -> &'static str {
    match stage {
        Stage::Created => "created",
        Stage::Ready => "verified",
        Stage::Running | Stage::Live | Stage::Terminated => "ready",
    }
}

/// The network's words for what people think of a channel.
fn rating(quality: Quality) -> &'static str {
    match quality {
        Quality::High => "GREEN",
        Quality::Medium => "YELLOW",
        Quality::Low => "RED",
    }
}

/// The network's words for how many people a channel may write to first.
fn limit(reach: i64) -> String {
    match reach {
        ..1_000 => format!("TIER_{reach}"),
        1_000..1_000_000 => format!("TIER_{}K", reach / 1_000),
        _ => "TIER_UNLIMITED".to_owned(),
    }
}

/// A channel as the hub shows it.
pub(super) fn render(view: &View) -> Value {
    let View { channel, business, client } = view;
    let client = render_client(client);
    let running = channel.is_running();
    let profile: Value = serde_json::from_str(&channel.profile).unwrap_or_else(|_| json!({}));
    let said = |name: &str| profile.get(name).cloned().unwrap_or_default();
    json!({
        "account_mode": "live",
        "availability_status": if running { "available" } else { "unavailable" },
        "billing_started_at": time(channel.billed),
        "cancelled_at": time(channel.cancelled),
        "client": {"contact_info": client["contact_info"], "id": client["id"], "name": client["name"],
            "partner_payload": client["partner_payload"]},
        "client_id": client["id"],
        "created_at": channel.created.rfc3339_utc(),
        "current_limit": channel.reach.map(limit),
        "current_quality_rating": channel.quality.map(rating),
        "external_id": channel.external,
        "has_inbox": false,
        "hub_status": channel.stage.name(),
        "id": id::ending(&channel.id, id::CHANNEL),
        "integration": {"app_id": channel.app.to_string(), "enabled": running,
            "state": if running { "running" } else { "stopped" }},
        "is_migrated": false,
        "is_oba": false,
        "is_on_biz_app": false,
        "meta_status": if channel.terminated.is_some() { "DISCONNECTED" } else { "CONNECTED" },
        "modified_at": channel.modified.rfc3339_utc(),
        "profile_info": {"about_text": said("about"), "business_description": said("description"),
            "business_vertical": said("vertical"), "contact_email": said("email")},
        "project": null,
        "setup_info": {"certificate": null, "configuration_type": null, "default_language": "en", "error": null,
            "has_integration_layer": true, "ivr": false, "new_name_status": null, "phone_name": channel.name,
            "phone_number": channel.msisdn.to_string(), "region": null, "shards_number": 1,
            "verification_method": "sms", "was_in_use": false},
        "status": status(channel.stage),
        "terminated_at": time(channel.terminated),
        "tier": channel.plan,
        "type": "waba",
        "version": 2,
        "waba_account": render_nested(business),
        "waba_account_id": id::ending(&business.id, id::BUSINESS),
    })
}

const KNOWN: Known = Known {
    filters: &[
        "q",
        "id",
        "type",
        "status",
        "client_id",
        "version",
        "is_migrated",
        "is_oba",
        "is_on_biz_app",
        "has_inbox",
        "account_mode",
        "hub_status",
        "meta_status",
        "terminated_at",
        "cancelled_at",
        "billing_started_at",
        "current_limit",
        "current_quality_rating",
        "availability_status",
        "created_at",
        "modified_at",
        "external_id",
        "waba_account_id",
        "project",
    ],
    below: &["profile_info.", "setup_info.", "project.", "client.", "waba_account.", "integration."],
};

/// A channel of a partner, as core asks for it.
pub(super) fn channel_of(partner: AccountId, text: &str) -> (AccountId, String) {
    (partner, id::without(text, id::CHANNEL))
}

fn of_client(partner: AccountId, client: &str, channel: &str) -> Result<Of, Refusal> {
    Ok(Of { client: child_of(partner, client)?, id: id::without(channel, id::CHANNEL) })
}

/// List channels
#[utoipa::path(get, path = "/{partner_id}/channels", tag = "Channel Management",
    security(("PartnerApiKey" = []), ("Bearer" = [])),
    params(("partner_id" = String, Path), ("limit" = Option<i64>, Query), ("offset" = Option<i64>, Query),
        ("sort" = Option<String>, Query), ("filters" = Option<String>, Query)),
    responses((status = 200, body = Value), (status = 400, body = MetaError), (status = 401, body = MetaError),
        (status = 403, body = MetaError)))]
async fn list(
    State(state): State<Shared>,
    caller: PartnerCaller,
    Path(partner): Path<String>,
    asked: Asked,
) -> Result<Json<Value>, Refusal> {
    let (partner, _) = own(&state, caller, &partner).await?;
    let listing = asked.read(&KNOWN)?;
    let client = listing.exactly("client_id").or_else(|| listing.exactly("client.id"));
    let found = match (listing.exactly("id"), client) {
        (Some(text), _) => one(state.store.read(channel_of(partner, text), channel::find).await)?,
        (None, Some(text)) => match id::account(text) {
            Some(account) => state.store.scan(Scope { root: partner, account }, channel::list_of).await?,
            None => Vec::new(),
        },
        (None, None) => state.store.scan(partner, channel::list).await?,
    };
    listing.envelope("partner_channels", found, render).await
}

/// View a channel
#[utoipa::path(get, path = "/{partner_id}/channels/{channel_id}", tag = "Channel Management",
    security(("PartnerApiKey" = []), ("Bearer" = [])),
    params(("partner_id" = String, Path), ("channel_id" = String, Path)),
    responses((status = 200, body = Value), (status = 401, body = MetaError), (status = 403, body = MetaError),
        (status = 404, body = MetaError)))]
async fn view(
    State(state): State<Shared>,
    caller: PartnerCaller,
    Path((partner, channel)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    let (partner, _) = own(&state, caller, &partner).await?;
    let found = state.store.read(channel_of(partner, &channel), channel::find).await?;
    Ok(Json(StatusCode::OK, sorted(render(&found))))
}

/// The host of the messages that a client calls, as the hub tells it.
fn address(origin: &Origin) -> String {
    origin.of("hub", "waba-v2")
}

/// A key's id as the hub shows it: digits, which lead nowhere else.
fn number(key: &KeyId) -> String {
    let mut bytes = [0; 8];
    bytes[2..].copy_from_slice(&key.0[10..]);
    u64::from_be_bytes(bytes).to_string()
}

/// Create a channel's key
///
/// All earlier keys of the channel are void from then on.
#[utoipa::path(post, path = "/{partner_id}/channels/{channel_id}/api_keys", tag = "Channel Management",
    security(("PartnerApiKey" = []), ("Bearer" = [])),
    params(("partner_id" = String, Path), ("channel_id" = String, Path)),
    responses((status = 201, body = Value), (status = 400, body = MetaError), (status = 401, body = MetaError),
        (status = 403, body = MetaError), (status = 404, body = MetaError)))]
async fn create_key(
    State(state): State<Shared>,
    caller: PartnerCaller,
    actor: Actor,
    Path((partner, channel)): Path<(String, String)>,
    origin: Origin,
    once: Once,
    fields: Fields,
) -> Result<Response, Refusal> {
    let (partner, _) = own(&state, caller, &partner).await?;
    fields.finish()?;
    let address = address(&origin);
    let render = move |made: MadeKey| -> Result<Answer, Error> {
        Ok(match made {
            MadeKey::Made(key, view) => answer(
                StatusCode::CREATED,
                &json!({"address": address, "api_key": key.text.reveal(), "app_id": view.channel.app.to_string(),
                    "id": number(&key.id)}),
            ),
            MadeKey::NotRunning => error::meta(
                StatusCode::BAD_REQUEST,
                "API keys can be created as soon as the channel is running",
            ),
        })
    };
    let about = |(_, channel): &(AccountId, String), made: &MadeKey| match made {
        MadeKey::Made(key, view) => Some(
            Act::on(view.channel.scope.account, "key.create")
                .object(key.id.hyphenated())
                .with("mode", key.role.name())
                .with("channel", channel),
        ),
        MadeKey::NotRunning => None,
    };
    let unit = audited(actor, channel::make_key, about);
    let made = once.answer(&state, channel_of(partner, &channel), unit, render).await?;
    state.forget_keys().await?;
    Ok(error::own(made))
}

/// List a channel's keys
///
/// Their texts are shown once, when they are made.
#[utoipa::path(get, path = "/{partner_id}/channels/{channel_id}/api_keys", tag = "Channel Management",
    security(("PartnerApiKey" = []), ("Bearer" = [])),
    params(("partner_id" = String, Path), ("channel_id" = String, Path)),
    responses((status = 200, body = Value), (status = 401, body = MetaError), (status = 403, body = MetaError),
        (status = 404, body = MetaError)))]
async fn list_keys(
    State(state): State<Shared>,
    caller: PartnerCaller,
    Path((partner, channel)): Path<(String, String)>,
    origin: Origin,
) -> Result<Json<Value>, Refusal> {
    let (partner, _) = own(&state, caller, &partner).await?;
    let (view, keys) = state.store.read(channel_of(partner, &channel), channel::keys).await?;
    let keys: Vec<Value> = keys
        .iter()
        .map(|key| {
            json!({"address": address(&origin), "api_key": "********", "app_id": view.channel.app.to_string(),
                "id": number(key)})
        })
        .collect();
    Ok(Json(StatusCode::OK, json!({"api_keys": keys})))
}

/// Revoke a channel's keys
#[utoipa::path(delete, path = "/{partner_id}/channels/{channel_id}/api_keys", tag = "Channel Management",
    security(("PartnerApiKey" = []), ("Bearer" = [])),
    params(("partner_id" = String, Path), ("channel_id" = String, Path)),
    responses((status = 200, body = MetaError), (status = 401, body = MetaError), (status = 403, body = MetaError),
        (status = 404, body = MetaError)))]
async fn delete_keys(
    State(state): State<Shared>,
    caller: PartnerCaller,
    actor: Actor,
    Path((partner, channel)): Path<(String, String)>,
) -> Result<Json<MetaError>, Refusal> {
    let (partner, _) = own(&state, caller, &partner).await?;
    let about = |(_, channel): &(AccountId, String), of: &Scope| {
        Act::on(of.account, "key.revoke").with("mode", "channel").with("channel", channel)
    };
    let unit = audited(actor, channel::revoke_keys, about);
    state.store.write(channel_of(partner, &channel), unit).await?;
    state.forget_keys().await?;
    Ok(error::done("API keys revoked"))
}

/// What the controls answer: dates that are not set are left out (section 8.1).
fn controlled(view: &View) -> Value {
    let whole = render(view);
    let mut part = json!({});
    for name in [
        "id",
        "client_id",
        "account_mode",
        "billing_started_at",
        "terminated_at",
        "cancelled_at",
        "status",
        "client",
        "setup_info",
        "waba_account",
        "integration",
    ] {
        if !whole[name].is_null() {
            part[name] = whole[name].clone();
        }
    }
    part
}

/// Ask for a channel's end, or take that back
#[utoipa::path(post, path = "/{partner_id}/clients/{client_id}/channels/{channel_id}/control/cancellation_request",
    tag = "Channel Management", security(("PartnerApiKey" = []), ("Bearer" = [])), request_body = Value,
    params(("partner_id" = String, Path), ("client_id" = String, Path), ("channel_id" = String, Path)),
    responses((status = 200, body = Value), (status = 400, body = MetaError), (status = 401, body = MetaError),
        (status = 403, body = MetaError), (status = 404, body = MetaError)))]
async fn cancel(
    State(state): State<Shared>,
    caller: PartnerCaller,
    actor: Actor,
    Path((partner, client, channel)): Path<(String, String, String)>,
    once: Once,
    mut fields: Fields,
) -> Result<Response, Refusal> {
    let (partner, _) = own(&state, caller, &partner).await?;
    let enabled = fields.bool("enabled").unwrap_or(true);
    fields.finish()?;
    let cancel = Cancel { of: of_client(partner, &client, &channel)?, enabled, dialect: super::EVENTS };
    let render = |view: View| Ok(answer(StatusCode::OK, &sorted(controlled(&view))));
    let about = |asked: &Cancel, _: &View| {
        let action = if asked.enabled { "channel.cancel" } else { "channel.keep" };
        Act::on(asked.of.client.child, action).object(&asked.of.id)
    };
    let done = once.answer(&state, cancel, audited(actor, channel::cancel, about), render).await?;
    state.wake.callbacks();
    Ok(done)
}

/// Take a channel's end back, before it or after
#[utoipa::path(post, path = "/{partner_id}/clients/{client_id}/channels/{channel_id}/control/reactivate",
    tag = "Channel Management", security(("PartnerApiKey" = []), ("Bearer" = [])),
    params(("partner_id" = String, Path), ("client_id" = String, Path), ("channel_id" = String, Path)),
    responses((status = 200, body = Value), (status = 401, body = MetaError), (status = 403, body = MetaError),
        (status = 404, body = MetaError)))]
async fn reactivate(
    State(state): State<Shared>,
    caller: PartnerCaller,
    actor: Actor,
    Path((partner, client, channel)): Path<(String, String, String)>,
    once: Once,
    fields: Fields,
) -> Result<Response, Refusal> {
    let (partner, _) = own(&state, caller, &partner).await?;
    fields.finish()?;
    let of = of_client(partner, &client, &channel)?;
    let render = |view: View| Ok(answer(StatusCode::OK, &sorted(controlled(&view))));
    let about =
        |(of, _): &(Of, Dialect), _: &View| Act::on(of.client.child, "channel.reactivate").object(&of.id);
    let unit = audited(actor, channel::reactivate, about);
    let done = once.answer(&state, (of, super::EVENTS), unit, render).await?;
    state.wake.callbacks();
    Ok(done)
}

/// View the shop settings of a channel
#[utoipa::path(get, path = "/{partner_id}/clients/{client_id}/channels/{channel_id}/whatsapp_commerce_settings",
    tag = "Channel Management", security(("PartnerApiKey" = []), ("Bearer" = [])),
    params(("partner_id" = String, Path), ("client_id" = String, Path), ("channel_id" = String, Path)),
    responses((status = 200, body = Value), (status = 401, body = MetaError), (status = 403, body = MetaError),
        (status = 404, body = MetaError)))]
async fn commerce(
    State(state): State<Shared>,
    caller: PartnerCaller,
    Path((partner, client, channel)): Path<(String, String, String)>,
) -> Result<Json<Value>, Refusal> {
    let (partner, _) = own(&state, caller, &partner).await?;
    let found = state.store.read(of_client(partner, &client, &channel)?, channel::of_client).await?;
    let settings =
        json!({"id": found.channel.external, "is_cart_enabled": false, "is_catalog_visible": false});
    Ok(Json(StatusCode::OK, json!({"data": [settings]})))
}
