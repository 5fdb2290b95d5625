//! Clients and sharing: docs/spec/31-360-clients-channels.md section 1.

use super::error::MetaError;
use super::fields::{Fields, filled};
use super::id;
use super::json::{Json, answer};
use super::listing::{Asked, Known, one, sorted};
use super::partner::own;
use crate::core::account::{self, AccountId, ChildOf};
use crate::core::audit::{Act, Actor, audited};
use crate::core::client::{self, Client, Details, NewClient, PAYLOAD_MAX, Patch};
use crate::core::idempotency::Answer;
use crate::core::sharing::{self, Request};
use crate::core::{Code, Error, Noun, Result as CoreResult, channel, person};
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
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(view, update))
        .routes(routes!(shared_numbers))
        .routes(routes!(create))
        .routes(routes!(share))
}

/// Who made everything that no person made.
pub(super) fn system() -> Value {
    json!({"user_id": "system", "user_name": "system"})
}

/// A client as the hub shows it.
pub(super) fn render(client: &Client) -> Value {
    let Client { account, details, payload, channels_max, modified } = client;
    let nobody = Value::Null;
    let email = Some(account.email.as_str()).filter(|email| !email.is_empty());
    json!({
        "contact_info": {"city": nobody, "country": details.country, "email": email,
            "full_name": details.contact_name, "language": nobody, "phone": details.phone, "street_name": nobody,
            "webpage_url": nobody, "zip_code": nobody},
        "contact_user": {"email": email, "name": details.contact_name, "phone": details.phone},
        "created_at": account.created.rfc3339_utc(),
        "created_by": system(),
        "id": id::client(account.id),
        "max_channels": channels_max,
        "meta_info": {"about": nobody, "business_description": nobody, "business_vertical": nobody,
            "timezone": nobody, "use_case": nobody},
        "modified_at": modified.rfc3339_utc(),
        "modified_by": system(),
        "name": account.name,
        "organisation": details.organisation.as_ref().unwrap_or(&account.name),
        "partner_payload": payload,
        "status": account.status.name(),
        "suspicious": false,
    })
}

const KNOWN: Known = Known {
    filters: &[
        "id",
        "name",
        "status",
        "organisation",
        "partner_payload",
        "max_channels",
        "suspicious",
        "created_at",
        "modified_at",
    ],
    below: &["meta_info.", "contact_info.", "contact_user."],
};

/// A client's account; an id that is none is one that is not found.
pub(super) fn child_of(partner: AccountId, text: &str) -> Result<ChildOf, Refusal> {
    let child = id::account(text).ok_or(Error::NotFound(Noun::Client))?;
    Ok(ChildOf { partner, child })
}

/// List clients
#[utoipa::path(get, path = "/{partner_id}/clients", tag = "Client Management",
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
    let clients = match listing.exactly("id") {
        Some(id) => match id::account(id) {
            Some(child) => one(state.store.read(ChildOf { partner, child }, client::find).await)?,
            None => Vec::new(),
        },
        None => state.store.scan(partner, client::list).await?,
    };
    listing.envelope("clients", clients, render).await
}

/// View a client
#[utoipa::path(get, path = "/{partner_id}/clients/{client_id}", tag = "Client Management",
    security(("PartnerApiKey" = []), ("Bearer" = [])),
    params(("partner_id" = String, Path), ("client_id" = String, Path)),
    responses((status = 200, body = Value), (status = 401, body = MetaError), (status = 403, body = MetaError),
        (status = 404, body = MetaError)))]
async fn view(
    State(state): State<Shared>,
    caller: PartnerCaller,
    Path((partner, client)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    let (partner, _) = own(&state, caller, &partner).await?;
    let found = state.store.read(child_of(partner, &client)?, client::find).await?;
    Ok(Json(StatusCode::OK, sorted(render(&found))))
}

/// Update a client
///
/// `null` leaves as it is.
#[utoipa::path(patch, path = "/{partner_id}/clients/{client_id}", tag = "Client Management",
    security(("PartnerApiKey" = []), ("Bearer" = [])), request_body = Value,
    params(("partner_id" = String, Path), ("client_id" = String, Path)),
    responses((status = 200, body = Value), (status = 400, body = MetaError), (status = 401, body = MetaError),
        (status = 403, body = MetaError), (status = 404, body = MetaError)))]
async fn update(
    State(state): State<Shared>,
    caller: PartnerCaller,
    actor: Actor,
    Path((partner, client)): Path<(String, String)>,
    mut fields: Fields,
) -> Result<Json<Value>, Refusal> {
    let (partner, _) = own(&state, caller, &partner).await?;
    let client = child_of(partner, &client)?;
    let payload = fields.text("partner_payload", |text| {
        if text.chars().count() > PAYLOAD_MAX { Err(Code::TooLong(PAYLOAD_MAX)) } else { Ok(text.to_owned()) }
    });
    let channels_max = fields.integer("max_channels", 0, i64::from(i32::MAX));
    fields.finish()?;
    let about = |patch: &Patch, _: &Client| {
        let Patch { client, payload, channels_max } = patch;
        let act = Act::on(client.child, "client.update").with_given("max_channels", *channels_max);
        let act = act.with_given("settings", payload.as_ref().map(|_| "partner_payload"));
        (!act.detail.is_empty()).then_some(act)
    };
    let unit = audited(actor, client::update, about);
    let changed = state.store.write(Patch { client, payload, channels_max }, unit).await?;
    Ok(Json(StatusCode::OK, sorted(render(&changed))))
}

/// List the numbers of a client that keys may be made for
#[utoipa::path(get, path = "/{partner_id}/clients/{client_id}/shared_client_numbers", tag = "Client Management",
    security(("PartnerApiKey" = []), ("Bearer" = [])),
    params(("partner_id" = String, Path), ("client_id" = String, Path)),
    responses((status = 200, body = Value), (status = 401, body = MetaError), (status = 403, body = MetaError),
        (status = 404, body = MetaError)))]
async fn shared_numbers(
    State(state): State<Shared>,
    caller: PartnerCaller,
    Path((partner, client)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    let (partner, _) = own(&state, caller, &partner).await?;
    let permitted = state.store.read(child_of(partner, &client)?, channel::permitted).await?;
    let channels: Vec<String> = permitted.iter().map(|id| id::ending(id, id::CHANNEL)).collect();
    Ok(Json(StatusCode::OK, json!({"channels": channels})))
}

/// Create a client
///
/// The same e-mail address under one partner answers the same client, with 200.
#[utoipa::path(post, path = "/{partner_id}/account_sharing/clients", tag = "Account Sharing",
    security(("PartnerApiKey" = []), ("Bearer" = [])), request_body = Value, params(("partner_id" = String, Path)),
    responses((status = 200, body = Value), (status = 201, body = Value), (status = 400, body = MetaError),
        (status = 401, body = MetaError), (status = 403, body = MetaError)))]
async fn create(
    State(state): State<Shared>,
    caller: PartnerCaller,
    actor: Actor,
    Path(partner): Path<String>,
    once: Once,
    mut fields: Fields,
) -> Result<Response, Refusal> {
    let (partner, _) = own(&state, caller, &partner).await?;
    let name = fields.required("name", |text| account::check_name(text).map(|()| text.to_owned()));
    let email = fields.required("email", person::email);
    let contact_name = fields.text("user_name", filled(account::NAME_MAX));
    let payload = fields.text("partner_payload", filled(PAYLOAD_MAX));
    fields.finish()?;
    let new = NewClient {
        partner,
        name: name.unwrap_or_default(),
        email: email.unwrap_or_default(),
        details: Details { contact_name, ..Details::default() },
        payload,
        vault: state.vault.clone(),
        dialect: super::EVENTS,
    };
    let render = |(client, is_new): (Client, bool)| {
        let mut body = render(&client);
        body["client_id"] = body["id"].clone();
        Ok(answer(if is_new { StatusCode::CREATED } else { StatusCode::OK }, &sorted(body)))
    };
    let about = |_: &NewClient, (client, is_new): &(Client, bool)| {
        let account = &client.account;
        is_new.then(|| Act::on(account.id, "account.create").with("name", &account.name))
    };
    let made = once.answer(&state, new, audited(actor, client::create, about), render).await?;
    state.wake.callbacks();
    Ok(made)
}

/// The network's ids are digits.
fn digits(text: &str) -> Result<String, Code> {
    let fits = (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if fits { Ok(text.to_owned()) } else { Err(Code::Invalid) }
}

const TIERS: [&str; 3] = ["basic", "regular", "premium"];

/// Share a client's numbers
///
/// Channels follow by themselves, with events that tell of them. Asking again changes nothing.
#[utoipa::path(post, path = "/{partner_id}/account_sharing/numbers", tag = "Account Sharing",
    security(("PartnerApiKey" = []), ("Bearer" = [])), request_body = Value, params(("partner_id" = String, Path)),
    responses((status = 200, body = Value), (status = 400, body = MetaError), (status = 401, body = MetaError),
        (status = 403, body = MetaError), (status = 404, body = MetaError)))]
async fn share(
    State(state): State<Shared>,
    caller: PartnerCaller,
    actor: Actor,
    Path(partner): Path<String>,
    once: Once,
    mut fields: Fields,
) -> Result<Response, Refusal> {
    let (partner, _) = own(&state, caller, &partner).await?;
    let solution = fields.required("solution_id", digits);
    let business = fields.required("waba_external_id", digits);
    let owner = fields.text("waba_business_id", digits);
    let client = fields.text("client_id", |text| Ok(text.to_owned()));
    let plan = fields
        .text("tier", |text| if TIERS.contains(&text) { Ok(text.to_owned()) } else { Err(Code::Invalid) });
    let number = fields.text("channel_external_id", digits);
    if client.is_none() && owner.is_none() {
        fields.reject("client_id", Code::Required);
    }
    fields.finish()?;
    let client_account = match &client {
        Some(client) => Some(child_of(partner, client)?.child),
        None => None,
    };
    let (solution, business) = (solution.unwrap_or_default(), business.unwrap_or_default());
    let mut echo = json!({"solution_id": solution, "waba_external_id": business});
    for (name, value) in [
        ("client_id", &client),
        ("waba_business_id", &owner),
        ("tier", &plan),
        ("channel_external_id", &number),
    ] {
        if let Some(value) = value {
            echo[name] = value.as_str().into();
        }
    }
    let request = Request {
        partner,
        client: client_account,
        owner,
        business,
        number,
        solution,
        plan,
        phone: None,
        permitted: true,
        dialect: super::EVENTS,
    };
    let echo = sorted(echo);
    let about = |request: &Request, child: &AccountId| {
        Act::on(*child, "channel.request").object(&request.business).with("solution", &request.solution)
    };
    let done = move |_| Ok::<Answer, Error>(answer(StatusCode::OK, &echo));
    once.answer(&state, request, audited(actor, take, about), done).await
}

/// Takes a request for numbers, and answers whose they are; violations name the hub's fields.
async fn take(tx: &mut Tx, request: &Request) -> CoreResult<AccountId> {
    match sharing::request(tx, request).await {
        Ok((_, child)) => Ok(child),
        Err(Error::Invalid(mut broken)) => {
            for one in &mut broken {
                one.field = if one.field == "business" { "waba_external_id" } else { "client_id" };
            }
            Err(Error::Invalid(broken))
        }
        Err(error) => Err(error),
    }
}
