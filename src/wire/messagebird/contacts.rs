//! Contacts: docs/spec/05-contacts.md, but for a contact's messages.

use super::error::Errors;
use super::groups::GroupBody;
use super::messages::MessageBody;
use super::page::{self, List, PageParams};
use super::{Counted, Datetime};
use crate::core::contact::{self, Contact, ContactId, Details, Filter, New, Patch, TEXT_MAX};
use crate::core::phone::Msisdn;
use crate::core::{Error, Noun, Page, archive, group};
use crate::wire::Shared;
use crate::wire::attributes::{Attributes, Query, Reader, at_most, filled};
use crate::wire::caller::Caller;
use crate::wire::idempotency::Once;
use crate::wire::origin::Origin;
use crate::wire::refusal::Refusal;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(messages))
        .routes(routes!(create, list))
        .routes(routes!(view, update, replace, delete))
        .routes(routes!(groups))
}

/// A contact.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContactBody {
    /// 32 hexadecimal digits.
    id: String,
    href: String,
    msisdn: i64,
    first_name: String,
    last_name: String,
    custom_details: CustomDetails,
    groups: Counted,
    messages: Counted,
    #[schema(format = DateTime)]
    created_datetime: Datetime,
    #[schema(format = DateTime)]
    updated_datetime: Datetime,
}

/// Four fields of the account's own meaning, empty if not set.
#[derive(Serialize, ToSchema)]
struct CustomDetails {
    custom1: String,
    custom2: String,
    custom3: String,
    custom4: String,
}

impl ContactBody {
    pub(super) fn new(contact: Contact, origin: &Origin) -> Self {
        let Contact { id, msisdn, details, groups, messages, created, updated } = contact;
        let Details { first_name, last_name, custom: [custom1, custom2, custom3, custom4] } = details;
        let href = origin.link(format_args!("/contacts/{id}"));
        ContactBody {
            id: id.to_string(),
            msisdn: msisdn.0,
            first_name,
            last_name,
            custom_details: CustomDetails { custom1, custom2, custom3, custom4 },
            groups: Counted { total_count: groups, href: format!("{href}/groups") },
            messages: Counted { total_count: messages, href: format!("{href}/messages") },
            href,
            created_datetime: Datetime(created),
            updated_datetime: Datetime(updated),
        }
    }
}

/// A contact to make or to change. Custom fields may also stand in a `customDetails` object.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what the reader takes")]
struct ContactRequest {
    /// 7 to 15 digits, a plus and separators are dropped. Required to create.
    msisdn: Option<String>,
    #[schema(max_length = 255)]
    first_name: Option<String>,
    #[schema(max_length = 255)]
    last_name: Option<String>,
    #[schema(max_length = 255)]
    custom1: Option<String>,
    #[schema(max_length = 255)]
    custom2: Option<String>,
    #[schema(max_length = 255)]
    custom3: Option<String>,
    #[schema(max_length = 255)]
    custom4: Option<String>,
}

/// Names and custom fields as far as they are given.
struct Given {
    first_name: Option<String>,
    last_name: Option<String>,
    custom: [Option<String>; 4],
}

/// Ruby's names are taken too, and Java's and C#'s nested object.
fn given(reader: &mut Reader<'_>) -> Given {
    let mut text = |names: &[&'static str]| reader.optional(names, at_most(TEXT_MAX));
    Given {
        first_name: text(&["firstName", "first_name"]),
        last_name: text(&["lastName", "last_name"]),
        custom: [
            text(&["custom1", "customDetails.custom1"]),
            text(&["custom2", "customDetails.custom2"]),
            text(&["custom3", "customDetails.custom3"]),
            text(&["custom4", "customDetails.custom4"]),
        ],
    }
}

/// Create a contact
#[utoipa::path(post, path = "/contacts", tag = "Contacts", security(("AccessKey" = [])), request_body = ContactRequest,
    responses((status = 201, body = ContactBody), (status = 401, body = Errors), (status = 422, body = Errors)))]
async fn create(
    State(state): State<Shared>,
    caller: Caller,
    origin: Origin,
    once: Once,
    attributes: Attributes,
) -> Result<Response, Refusal> {
    let mut reader = attributes.reader();
    reader.whole("msisdn");
    let msisdn = reader.required(&["msisdn"], Msisdn::parse);
    let Given { first_name, last_name, custom } = given(&mut reader);
    reader.finish()?;
    let msisdn = msisdn.ok_or_else(|| Refusal::bug("a missing number was not noted"))?;
    let details = Details {
        first_name: first_name.unwrap_or_default(),
        last_name: last_name.unwrap_or_default(),
        custom: custom.map(Option::unwrap_or_default),
    };
    let new = New { scope: caller.scope, msisdn, details };
    once.create(&state, new, contact::create, move |contact| ContactBody::new(contact, &origin)).await
}

/// What narrows the list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `list` reads")]
struct Filters {
    /// The contact with this number.
    msisdn: Option<String>,
    /// Contacts with this text in their name, in any case.
    name: Option<String>,
}

/// List contacts
#[utoipa::path(get, path = "/contacts", tag = "Contacts", security(("AccessKey" = [])), params(PageParams, Filters),
    responses((status = 200, body = List<ContactBody>), (status = 401, body = Errors), (status = 422, body = Errors)))]
async fn list(
    State(state): State<Shared>,
    caller: Caller,
    origin: Origin,
    Query(query): Query,
) -> Result<Json<List<ContactBody>>, Refusal> {
    let mut reader = query.reader();
    let page = page::read(&mut reader);
    let filter = Filter {
        msisdn: reader.optional(&["msisdn"], filled(Msisdn::parse)).flatten(),
        name: reader.optional(&["name"], at_most(TEXT_MAX)).filter(|name| !name.trim().is_empty()),
    };
    reader.finish()?;
    let msisdn = filter.msisdn.map(|msisdn| msisdn.to_string());
    let name = filter.name.clone();
    let filters: Vec<(&str, &str)> = [("msisdn", msisdn.as_deref()), ("name", name.as_deref())]
        .into_iter()
        .filter_map(|(n, v)| Some((n, v?)))
        .collect();
    let listing = contact::list(&state.store, caller.scope, filter, page).await?;
    Ok(Json(page::envelope(&origin, "/contacts", &filters, page, listing, |contact| {
        ContactBody::new(contact, &origin)
    })))
}

fn contact_id(text: &str) -> Result<ContactId, Refusal> {
    text.parse().map_err(|_| Error::NotFound(Noun::Contact).into())
}

/// View a contact
///
/// In place of the id, a number of 7 to 15 digits or a name may be given.
#[utoipa::path(get, path = "/contacts/{id}", tag = "Contacts", security(("AccessKey" = [])), params(("id" = String, Path)),
    responses((status = 200, body = ContactBody), (status = 401, body = Errors), (status = 404, body = Errors),
        (status = 422, body = Errors)))]
async fn view(
    State(state): State<Shared>,
    caller: Caller,
    origin: Origin,
    Path(id): Path<String>,
) -> Result<Json<ContactBody>, Refusal> {
    let scope = caller.scope;
    let contact = if let Ok(id) = id.parse::<ContactId>() {
        state.store.read((scope, id), contact::view).await?
    } else if let Ok(msisdn) = Msisdn::parse(&id) {
        state.store.read((scope, msisdn), contact::by_msisdn).await?
    } else if id.contains('\0') || id.chars().count() > 2 * TEXT_MAX + 1 {
        return Err(Error::NotFound(Noun::Contact).into());
    } else {
        state.store.scan((scope, id), contact::by_name).await?
    };
    Ok(Json(ContactBody::new(contact, &origin)))
}

/// Update a contact
///
/// Only what is given changes; an empty text clears.
#[utoipa::path(patch, path = "/contacts/{id}", tag = "Contacts", security(("AccessKey" = [])), request_body = ContactRequest,
    params(("id" = String, Path)),
    responses((status = 200, body = ContactBody), (status = 401, body = Errors), (status = 404, body = Errors),
        (status = 422, body = Errors)))]
async fn update(
    State(state): State<Shared>,
    caller: Caller,
    origin: Origin,
    Path(id): Path<String>,
    attributes: Attributes,
) -> Result<Json<ContactBody>, Refusal> {
    let id = contact_id(&id)?;
    let mut reader = attributes.reader();
    reader.whole("msisdn");
    let msisdn = reader.optional(&["msisdn"], Msisdn::parse);
    let Given { first_name, last_name, custom } = given(&mut reader);
    reader.finish()?;
    let patch = Patch { scope: caller.scope, id, msisdn, first_name, last_name, custom };
    let contact = state.store.write(patch, contact::update).await?;
    Ok(Json(ContactBody::new(contact, &origin)))
}

/// Update a contact
///
/// The same as PATCH.
#[utoipa::path(put, path = "/contacts/{id}", tag = "Contacts", security(("AccessKey" = [])), request_body = ContactRequest,
    params(("id" = String, Path)),
    responses((status = 200, body = ContactBody), (status = 401, body = Errors), (status = 404, body = Errors),
        (status = 422, body = Errors)))]
async fn replace(
    state: State<Shared>,
    caller: Caller,
    origin: Origin,
    id: Path<String>,
    attributes: Attributes,
) -> Result<Json<ContactBody>, Refusal> {
    update(state, caller, origin, id, attributes).await
}

/// Delete a contact
#[utoipa::path(delete, path = "/contacts/{id}", tag = "Contacts", security(("AccessKey" = [])), params(("id" = String, Path)),
    responses((status = 204), (status = 401, body = Errors), (status = 404, body = Errors)))]
async fn delete(
    State(state): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    let id = contact_id(&id)?;
    state.store.write((caller.scope, id), contact::delete).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List the groups of a contact
#[utoipa::path(get, path = "/contacts/{id}/groups", tag = "Contacts", security(("AccessKey" = [])),
    params(("id" = String, Path), PageParams),
    responses((status = 200, body = List<GroupBody>), (status = 401, body = Errors), (status = 404, body = Errors),
        (status = 422, body = Errors)))]
async fn groups(
    State(state): State<Shared>,
    caller: Caller,
    origin: Origin,
    Path(id): Path<String>,
    Query(query): Query,
) -> Result<Json<List<GroupBody>>, Refusal> {
    let id = contact_id(&id)?;
    let page: Page = page::of(&query)?;
    let listing = group::of_contact(&state.store, caller.scope, id, page).await?;
    let path = format!("/contacts/{id}/groups");
    Ok(Json(page::envelope(&origin, &path, &[], page, listing, |group| GroupBody::new(group, &origin))))
}

/// List the messages to a contact
#[utoipa::path(get, path = "/contacts/{id}/messages", tag = "Contacts", security(("AccessKey" = [])),
    params(("id" = String, Path), PageParams),
    responses((status = 200, body = List<MessageBody>), (status = 401, body = Errors), (status = 404, body = Errors),
        (status = 422, body = Errors)))]
async fn messages(
    State(state): State<Shared>,
    caller: Caller,
    origin: Origin,
    Path(id): Path<String>,
    Query(query): Query,
) -> Result<Json<List<MessageBody>>, Refusal> {
    let id = contact_id(&id)?;
    let page: Page = page::of(&query)?;
    let (number, listing) = archive::of_contact(&state.store, caller.scope, id, page).await?;
    let number = number.to_string();
    let networks = state.terms.networks(&state.store).await?;
    Ok(Json(super::messages::envelope(&origin, &networks, &[("recipient", &number)], page, listing)))
}
