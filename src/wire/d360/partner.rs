//! The partner object: docs/spec/30-360-partner.md section 4.

use super::error::MetaError;
use super::fields::Fields;
use super::json::{Json, answer};
use crate::core::Error;
use crate::core::account::AccountId;
use crate::core::audit::{Act, Actor, audited};
use crate::core::partner::{self, Hook, Partner, Patch, check_url};
use crate::wire::Shared;
use crate::wire::attributes::Attributes;
use crate::wire::caller::PartnerCaller;
use crate::wire::idempotency::Once;
use crate::wire::refusal::Refusal;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(view, update)).routes(routes!(hook, set_hook))
}

/// The thirteen fields; an unset URL is left out, an unset logo is `null`.
#[derive(Serialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "the vendor's fields")]
struct PartnerOut {
    allow_client_to_add_phone_no: bool,
    billing_system: &'static str,
    blocked_new_submission: bool,
    brand_name: String,
    country: String,
    id: String,
    #[schema(required = true)]
    logo_url: Option<String>,
    onboarding_deeplink_add_params: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    partner_redirect_url: Option<String>,
    payment_required: bool,
    #[schema(required = true)]
    publishable_key: Option<String>,
    #[schema(value_type = Object)]
    settings: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_url: Option<String>,
}

impl PartnerOut {
    fn new(partner: Partner) -> Result<Self, Refusal> {
        let Partner {
            handle,
            brand,
            country,
            logo_url,
            webhook_url,
            redirect_url,
            clients_add_numbers,
            settings,
        } = partner;
        Ok(PartnerOut {
            allow_client_to_add_phone_no: clients_add_numbers,
            billing_system: "none",
            blocked_new_submission: false,
            brand_name: brand,
            country,
            id: handle.as_str().to_owned(),
            logo_url,
            onboarding_deeplink_add_params: false,
            partner_redirect_url: redirect_url,
            payment_required: false,
            publishable_key: None,
            settings: RawValue::from_string(settings)
                .map_err(|_| Refusal::bug("stored settings are no JSON"))?,
            webhook_url,
        })
    }
}

/// What may be changed; `null` leaves as it is, an empty URL clears.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the reader takes")]
struct PartnerIn {
    webhook_url: Option<String>,
    partner_redirect_url: Option<String>,
    allow_client_to_add_phone_no: Option<bool>,
}

/// The credential's own partner; any other id is refused, whether it exists or not.
pub(super) async fn own(
    state: &Shared,
    caller: PartnerCaller,
    id: &str,
) -> Result<(AccountId, Partner), Refusal> {
    let partner = state.store.read(caller.partner, partner::view).await?;
    if partner.handle.as_str() == id { Ok((caller.partner, partner)) } else { Err(Error::Forbidden.into()) }
}

/// Retrieve partner
#[utoipa::path(get, path = "/{partner_id}", tag = "Partner Management", security(("PartnerApiKey" = []), ("Bearer" = [])),
    params(("partner_id" = String, Path)),
    responses((status = 200, body = PartnerOut), (status = 401, body = MetaError), (status = 403, body = MetaError)))]
async fn view(
    State(state): State<Shared>,
    caller: PartnerCaller,
    Path(id): Path<String>,
) -> Result<Json<PartnerOut>, Refusal> {
    let (_, partner) = own(&state, caller, &id).await?;
    Ok(Json(StatusCode::OK, PartnerOut::new(partner)?))
}

/// Update partner
#[utoipa::path(patch, path = "/{partner_id}", tag = "Partner Management", security(("PartnerApiKey" = []), ("Bearer" = [])),
    request_body = PartnerIn, params(("partner_id" = String, Path)),
    responses((status = 200, body = PartnerOut), (status = 400, body = MetaError), (status = 401, body = MetaError),
        (status = 403, body = MetaError)))]
async fn update(
    State(state): State<Shared>,
    caller: PartnerCaller,
    actor: Actor,
    Path(id): Path<String>,
    attributes: Attributes,
) -> Result<Json<PartnerOut>, Refusal> {
    let (account, _) = own(&state, caller, &id).await?;
    let attributes = attributes.body_only();
    let mut reader = attributes.reader();
    let patch = Patch {
        webhook_url: reader.text("webhook_url", check_url),
        redirect_url: reader.text("partner_redirect_url", check_url),
        clients_add_numbers: reader.bool("allow_client_to_add_phone_no"),
        ..Patch::default()
    };
    reader.finish()?;
    // By name: a URL may hold a secret.
    let about = |(account, patch): &(AccountId, Patch), _: &Partner| {
        let given = [
            ("webhook_url", patch.webhook_url.is_some()),
            ("partner_redirect_url", patch.redirect_url.is_some()),
            ("allow_client_to_add_phone_no", patch.clients_add_numbers.is_some()),
        ];
        let given: Vec<&str> = given.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
        (!given.is_empty()).then(|| Act::on(*account, "partner.update").with("settings", given.join(" ")))
    };
    let unit = audited(actor, partner::update, about);
    let partner = state.store.write((account, patch), unit).await?;
    Ok(Json(StatusCode::OK, PartnerOut::new(partner)?))
}

/// Where the partner's events go; left out when they go nowhere.
#[derive(Serialize, ToSchema)]
struct HookOut {
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_url: Option<String>,
}

/// Retrieve webhook URL
#[utoipa::path(get, path = "/{partner_id}/webhook_url", tag = "Webhook Management",
    security(("PartnerApiKey" = []), ("Bearer" = [])), params(("partner_id" = String, Path)),
    responses((status = 200, body = HookOut), (status = 401, body = MetaError), (status = 403, body = MetaError)))]
async fn hook(
    State(state): State<Shared>,
    caller: PartnerCaller,
    Path(id): Path<String>,
) -> Result<Json<HookOut>, Refusal> {
    let (_, partner) = own(&state, caller, &id).await?;
    Ok(Json(StatusCode::OK, HookOut { webhook_url: partner.webhook_url }))
}

/// Set webhook URL
///
/// With `headers`, an object of texts, that go with every event.
#[utoipa::path(post, path = "/{partner_id}/webhook_url", tag = "Webhook Management",
    security(("PartnerApiKey" = []), ("Bearer" = [])), request_body = Value, params(("partner_id" = String, Path)),
    responses((status = 200, body = PartnerOut), (status = 400, body = MetaError), (status = 401, body = MetaError),
        (status = 403, body = MetaError)))]
async fn set_hook(
    State(state): State<Shared>,
    caller: PartnerCaller,
    actor: Actor,
    Path(id): Path<String>,
    once: Once,
    mut fields: Fields,
) -> Result<Response, Refusal> {
    let (partner, _) = own(&state, caller, &id).await?;
    let url = fields.required("webhook_url", |text| check_url(text).map(|()| text.to_owned()));
    let headers = fields.headers("headers");
    fields.finish()?;
    let hook = Hook { partner, url: url.unwrap_or_default(), headers, vault: state.vault.clone() };
    let render = |partner: Partner| {
        let body =
            PartnerOut::new(partner).map_err(|_| Error::Internal("stored settings are no JSON".into()))?;
        Ok(answer(StatusCode::OK, &body))
    };
    let about = |hook: &Hook, _: &Partner| {
        let given = if hook.headers.is_some() { "webhook_url headers" } else { "webhook_url" };
        Act::on(hook.partner, "partner.update").with("settings", given)
    };
    once.answer(&state, hook, audited(actor, partner::set_hook, about), render).await
}
