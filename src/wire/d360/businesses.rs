//! Business accounts and their templates: docs/spec/31-360-clients-channels.md sections 4 and 5.

use super::clients::system;
use super::error::{self, MetaError};
use super::fields::Fields;
use super::id;
use super::json::{Json, answer};
use super::listing::{Asked, Known, sorted};
use super::partner::own;
use crate::core::account::AccountId;
use crate::core::business::{self, Business};
use crate::core::template::{self, COMPONENTS_MAX, Fault, New, Template};
use crate::core::{Code, Error, Result as CoreResult};
use crate::wire::Shared;
use crate::wire::caller::PartnerCaller;
use crate::wire::idempotency::Once;
use crate::wire::refusal::Refusal;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use store::Tx;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(view)).routes(routes!(list, create)).routes(routes!(
        view_template,
        update,
        delete
    ))
}

fn render(business: &Business) -> Value {
    json!({
        "client_id": id::client(business.scope.account),
        "consents": {},
        "created_at": business.created.rfc3339_utc(),
        "created_by": system(),
        "external_id": business.external,
        "fb_account_status": "verified",
        "fb_business_id": business.owner,
        "id": id::ending(&business.id, id::BUSINESS),
        "modified_at": business.modified.rfc3339_utc(),
        "modified_by": system(),
        "name": business.name,
        "namespace": business.namespace,
        "on_behalf_of_business_info": {"id": business.owner, "name": business.name, "status": "approved",
            "type": "SELF"},
        "settings": {},
        "status": "approved",
        "timezone_id": "1",
    })
}

fn business_of(partner: AccountId, text: &str) -> (AccountId, String) {
    (partner, id::without(text, id::BUSINESS))
}

/// View a business account
#[utoipa::path(get, path = "/{partner_id}/waba_accounts/{waba_account_id}", tag = "WABA Account Management",
    security(("PartnerApiKey" = []), ("Bearer" = [])),
    params(("partner_id" = String, Path), ("waba_account_id" = String, Path)),
    responses((status = 200, body = Value), (status = 401, body = MetaError), (status = 403, body = MetaError),
        (status = 404, body = MetaError)))]
async fn view(
    State(state): State<Shared>,
    caller: PartnerCaller,
    Path((handle, waba)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    let (partner, _) = own(&state, caller, &handle).await?;
    let found = state.store.read(business_of(partner, &waba), business::find).await?;
    let mut body = render(&found);
    body["partner_id"] = handle.into();
    Ok(Json(StatusCode::OK, sorted(body)))
}

/// The network's words for what is wrong with a template.
pub(super) fn fault(fault: Option<Fault>) -> Option<&'static str> {
    fault.map(|fault| match fault {
        Fault::Nothing => "NONE",
        Fault::Format => "INVALID_FORMAT",
    })
}

/// A template as the hub shows it (section 5.1).
pub(super) fn render_template(template: &Template, partner: &str) -> Value {
    let components: Value = serde_json::from_str(&template.components).unwrap_or_else(|_| json!([]));
    let looked_at = template.fault.is_some();
    json!({
        "category": template.category,
        "components": components,
        "created_at": template.created.rfc3339_utc(),
        "created_by": system(),
        "external_id": template.external,
        "id": id::ending(&template.id, id::TEMPLATE),
        "language": template.language,
        "modified_at": template.modified.rfc3339_utc(),
        "modified_by": system(),
        "name": template.name,
        "namespace": template.namespace,
        "partner_id": partner,
        "quality_score": if looked_at { json!({"reasons": null, "score": "UNKNOWN"}) } else { Value::Null },
        "rejected_reason": fault(template.fault),
        "status": template.status.name(),
        "updated_external": true,
        "waba_account_id": id::ending(&template.business, id::BUSINESS),
    })
}

/// What templates can be asked by, here and on the host of the messages.
pub(super) const KNOWN: Known = Known {
    filters: &[
        "id",
        "partner_id",
        "business_templates.name",
        "name",
        "status",
        "category",
        "language",
        "waba_account_id",
        "rejected_reason",
        "namespace",
        "external_id",
        "created_at",
        "modified_at",
    ],
    below: &[],
};

/// List templates
#[utoipa::path(get, path = "/{partner_id}/waba_accounts/{waba_account_id}/waba_templates",
    tag = "Templates Management", security(("PartnerApiKey" = []), ("Bearer" = [])),
    params(("partner_id" = String, Path), ("waba_account_id" = String, Path), ("limit" = Option<i64>, Query),
        ("offset" = Option<i64>, Query), ("sort" = Option<String>, Query), ("filters" = Option<String>, Query)),
    responses((status = 200, body = Value), (status = 400, body = MetaError), (status = 401, body = MetaError),
        (status = 403, body = MetaError), (status = 404, body = MetaError)))]
async fn list(
    State(state): State<Shared>,
    caller: PartnerCaller,
    Path((handle, waba)): Path<(String, String)>,
    asked: Asked,
) -> Result<Json<Value>, Refusal> {
    let (partner, _) = own(&state, caller, &handle).await?;
    let listing = asked.read(&KNOWN)?;
    let found = state.store.scan(business_of(partner, &waba), template::list).await?;
    listing.envelope("waba_templates", found, move |one| render_template(one, &handle)).await
}

const CATEGORIES: [&str; 3] = ["MARKETING", "UTILITY", "AUTHENTICATION"];

/// `en`, `en_US`, `zh_Hant_TW`.
fn language(text: &str) -> Result<String, Code> {
    let mut parts = text.split('_');
    let first = parts.next().unwrap_or_default();
    let begins = (2..=3).contains(&first.len()) && first.bytes().all(|byte| byte.is_ascii_lowercase());
    let goes_on = parts
        .all(|part| (2..=4).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphabetic()));
    if begins && goes_on { Ok(text.to_owned()) } else { Err(Code::Invalid) }
}

/// An array of objects; one object alone is taken for an array of it.
fn components(fields: &mut Fields) -> Option<String> {
    let given = match fields.any("components")? {
        Value::Array(list) if list.iter().all(Value::is_object) => Value::Array(list.clone()),
        Value::Object(one) => Value::Array(vec![Value::Object(one.clone())]),
        _ => {
            fields.reject("components", Code::Invalid);
            return None;
        }
    };
    let text = given.to_string();
    if text.len() > COMPONENTS_MAX {
        fields.reject("components", Code::TooLong(COMPONENTS_MAX));
        return None;
    }
    Some(text)
}

/// What a request for a template says.
pub(super) fn asked_template(mut fields: Fields, of: (AccountId, String)) -> Result<New, Refusal> {
    let name = fields.required("name", |text| template::check_name(text).map(|()| text.to_owned()));
    let category = fields.required("category", |text| {
        let text = text.to_ascii_uppercase();
        if CATEGORIES.contains(&text.as_str()) { Ok(text) } else { Err(Code::Invalid) }
    });
    let language = fields.required("language", language);
    if fields.any("components").is_none() {
        fields.reject("components", Code::Required);
    }
    let components = components(&mut fields);
    fields.finish()?;
    Ok(New {
        of,
        name: name.unwrap_or_default(),
        language: language.unwrap_or_default(),
        category: category.unwrap_or_default(),
        components: components.unwrap_or_default(),
    })
}

/// A template, or that its name is taken.
pub(super) async fn make(tx: &mut Tx, new: &New) -> CoreResult<Option<Template>> {
    match template::create(tx, new).await {
        Ok(made) => Ok(Some(made)),
        Err(Error::Invalid(broken)) if broken.iter().any(|one| one.code == Code::Taken) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a client looks for when a name is taken.
pub(super) const NAME_TAKEN: &str =
    "The name of this template is already in use. Please choose a different name for your template.";

/// Create a template
#[utoipa::path(post, path = "/{partner_id}/waba_accounts/{waba_account_id}/waba_templates",
    tag = "Templates Management", security(("PartnerApiKey" = []), ("Bearer" = [])), request_body = Value,
    params(("partner_id" = String, Path), ("waba_account_id" = String, Path)),
    responses((status = 201, body = Value), (status = 400, body = MetaError), (status = 401, body = MetaError),
        (status = 403, body = MetaError), (status = 404, body = MetaError)))]
async fn create(
    State(state): State<Shared>,
    caller: PartnerCaller,
    Path((handle, waba)): Path<(String, String)>,
    once: Once,
    fields: Fields,
) -> Result<Response, Refusal> {
    let (partner, _) = own(&state, caller, &handle).await?;
    let new = asked_template(fields, business_of(partner, &waba))?;
    let render = move |made: Option<Template>| {
        Ok(match made {
            Some(made) => answer(StatusCode::CREATED, &sorted(render_template(&made, &handle))),
            None => error::meta(StatusCode::BAD_REQUEST, NAME_TAKEN),
        })
    };
    Ok(error::own(once.answer(&state, new, make, render).await?))
}

fn template_of(partner: AccountId, waba: &str, template: &str) -> ((AccountId, String), String) {
    (business_of(partner, waba), id::without(template, id::TEMPLATE))
}

/// View a template
#[utoipa::path(get, path = "/{partner_id}/waba_accounts/{waba_account_id}/waba_templates/{template_id}",
    tag = "Templates Management", security(("PartnerApiKey" = []), ("Bearer" = [])),
    params(("partner_id" = String, Path), ("waba_account_id" = String, Path), ("template_id" = String, Path)),
    responses((status = 200, body = Value), (status = 401, body = MetaError), (status = 403, body = MetaError),
        (status = 404, body = MetaError)))]
async fn view_template(
    State(state): State<Shared>,
    caller: PartnerCaller,
    Path((handle, waba, template)): Path<(String, String, String)>,
) -> Result<Json<Value>, Refusal> {
    let (partner, _) = own(&state, caller, &handle).await?;
    let found = state.store.read(template_of(partner, &waba, &template), template::find).await?;
    Ok(Json(StatusCode::OK, sorted(render_template(&found, &handle))))
}

/// Change a template's components
///
/// It is looked at anew.
#[utoipa::path(patch, path = "/{partner_id}/waba_accounts/{waba_account_id}/waba_templates/{template_id}",
    tag = "Templates Management", security(("PartnerApiKey" = []), ("Bearer" = [])), request_body = Value,
    params(("partner_id" = String, Path), ("waba_account_id" = String, Path), ("template_id" = String, Path)),
    responses((status = 200, body = Value), (status = 400, body = MetaError), (status = 401, body = MetaError),
        (status = 403, body = MetaError), (status = 404, body = MetaError)))]
async fn update(
    State(state): State<Shared>,
    caller: PartnerCaller,
    Path((handle, waba, template)): Path<(String, String, String)>,
    mut fields: Fields,
) -> Result<Json<Value>, Refusal> {
    let (partner, _) = own(&state, caller, &handle).await?;
    let components = components(&mut fields);
    fields.finish()?;
    let (of, id) = template_of(partner, &waba, &template);
    state.store.write((of, id, components), template::update).await?;
    Ok(Json(StatusCode::OK, json!({"success": true})))
}

/// Delete a template
#[utoipa::path(delete, path = "/{partner_id}/waba_accounts/{waba_account_id}/waba_templates/{template_id}",
    tag = "Templates Management", security(("PartnerApiKey" = []), ("Bearer" = [])),
    params(("partner_id" = String, Path), ("waba_account_id" = String, Path), ("template_id" = String, Path)),
    responses((status = 200, body = MetaError), (status = 401, body = MetaError), (status = 403, body = MetaError),
        (status = 404, body = MetaError)))]
async fn delete(
    State(state): State<Shared>,
    caller: PartnerCaller,
    Path((handle, waba, template)): Path<(String, String, String)>,
) -> Result<Json<MetaError>, Refusal> {
    let (partner, _) = own(&state, caller, &handle).await?;
    state.store.write(template_of(partner, &waba, &template), template::delete).await?;
    Ok(error::done("Template deleted"))
}
