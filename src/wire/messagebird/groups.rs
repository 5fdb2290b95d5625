//! Groups: docs/spec/06-groups.md, with all six forms in which the SDKs add contacts.

use super::contacts::ContactBody;
use super::error::Errors;
use super::page::{self, List, PageParams};
use super::{Counted, Datetime};
use crate::core::contact::ContactId;
use crate::core::group::{self, BATCH_MAX, Group, GroupId, Members, NAME_MAX};
use crate::core::{Code, Error, Noun, Scope};
use crate::wire::Shared;
use crate::wire::attributes::{Attributes, Query, Reader, at_most};
use crate::wire::caller::Caller;
use crate::wire::idempotency::Once;
use crate::wire::origin::Origin;
use crate::wire::refusal::Refusal;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(view, rename, put, delete))
        .routes(routes!(contacts, add_contacts, remove_contacts))
        .routes(routes!(remove_contact))
}

/// A group.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct GroupBody {
    /// 32 hexadecimal digits.
    id: String,
    href: String,
    name: String,
    contacts: Counted,
    #[schema(format = DateTime)]
    created_datetime: Datetime,
    #[schema(format = DateTime)]
    updated_datetime: Datetime,
}

impl GroupBody {
    pub(super) fn new(group: Group, origin: &Origin) -> Self {
        let Group { id, name, members, created, updated } = group;
        let href = origin.link(format_args!("/groups/{id}"));
        GroupBody {
            id: id.to_string(),
            name,
            contacts: Counted { total_count: members, href: format!("{href}/contacts") },
            href,
            created_datetime: Datetime(created),
            updated_datetime: Datetime(updated),
        }
    }
}

/// A group to make or to rename.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the reader takes")]
struct GroupRequest {
    #[schema(min_length = 1, max_length = 255)]
    name: String,
}

/// Contacts to add or to remove: a JSON array, repeated or bracketed form fields, or a query.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the reader takes")]
struct IdsRequest {
    #[schema(min_items = 1, max_items = 50)]
    ids: Vec<String>,
}

fn name(reader: &mut Reader<'_>) -> Option<String> {
    let checked = |text: &str| {
        if text.trim().is_empty() { Err(Code::Blank) } else { at_most(NAME_MAX)(text) }
    };
    reader.required(&["name"], checked)
}

fn read_name(attributes: &Attributes) -> Result<String, Refusal> {
    let mut reader = attributes.reader();
    let name = name(&mut reader);
    reader.finish()?;
    name.ok_or_else(|| Refusal::bug("a missing name was not noted"))
}

fn group_id(text: &str) -> Result<GroupId, Refusal> {
    text.parse().map_err(|_| Error::NotFound(Noun::Group).into())
}

/// The contacts of an add or remove call. An id that no contact can have is a contact that is not found.
fn members(scope: Scope, group: &str, attributes: &Attributes) -> Result<Members, Refusal> {
    let group = group_id(group)?;
    let mut reader = attributes.reader();
    let ids = reader.list("ids", true);
    match &ids {
        Some(ids) if ids.len() > BATCH_MAX => reader.reject("ids", Code::TooMany(BATCH_MAX)),
        Some(ids) if ids.is_empty() => reader.reject("ids", Code::Required),
        _ => {}
    }
    if ids.is_none() && !attributes.has("ids") {
        reader.reject("ids", Code::Required);
    }
    reader.finish()?;
    let parsed: Result<Vec<ContactId>, _> = ids.unwrap_or_default().iter().map(|id| id.parse()).collect();
    let contacts = parsed.map_err(|_| Error::NotFound(Noun::Contact))?;
    Ok(Members { scope, group, contacts })
}

/// Create a group
#[utoipa::path(post, path = "/groups", tag = "Groups", security(("AccessKey" = [])), request_body = GroupRequest,
    responses((status = 201, body = GroupBody), (status = 401, body = Errors), (status = 422, body = Errors)))]
async fn create(
    State(state): State<Shared>,
    caller: Caller,
    origin: Origin,
    once: Once,
    attributes: Attributes,
) -> Result<Response, Refusal> {
    let name = read_name(&attributes)?;
    once.create(&state, (caller.scope, name), group::create, move |group| GroupBody::new(group, &origin))
        .await
}

/// List groups
#[utoipa::path(get, path = "/groups", tag = "Groups", security(("AccessKey" = [])), params(PageParams),
    responses((status = 200, body = List<GroupBody>), (status = 401, body = Errors), (status = 422, body = Errors)))]
async fn list(
    State(state): State<Shared>,
    caller: Caller,
    origin: Origin,
    Query(query): Query,
) -> Result<Json<List<GroupBody>>, Refusal> {
    let page = page::of(&query)?;
    let listing = group::list(&state.store, caller.scope, page).await?;
    Ok(Json(page::envelope(&origin, "/groups", &[], page, listing, |group| GroupBody::new(group, &origin))))
}

/// View a group
#[utoipa::path(get, path = "/groups/{id}", tag = "Groups", security(("AccessKey" = [])), params(("id" = String, Path)),
    responses((status = 200, body = GroupBody), (status = 401, body = Errors), (status = 404, body = Errors)))]
async fn view(
    State(state): State<Shared>,
    caller: Caller,
    origin: Origin,
    Path(id): Path<String>,
) -> Result<Json<GroupBody>, Refusal> {
    let group = state.store.read((caller.scope, group_id(&id)?), group::view).await?;
    Ok(Json(GroupBody::new(group, &origin)))
}

/// Rename a group
#[utoipa::path(patch, path = "/groups/{id}", tag = "Groups", security(("AccessKey" = [])), request_body = GroupRequest,
    params(("id" = String, Path)),
    responses((status = 200, body = GroupBody), (status = 401, body = Errors), (status = 404, body = Errors),
        (status = 422, body = Errors)))]
async fn rename(
    State(state): State<Shared>,
    caller: Caller,
    origin: Origin,
    Path(id): Path<String>,
    attributes: Attributes,
) -> Result<Json<GroupBody>, Refusal> {
    let id = group_id(&id)?;
    let name = read_name(&attributes)?;
    let group = state.store.write((caller.scope, id, name), group::rename).await?;
    Ok(Json(GroupBody::new(group, &origin)))
}

/// Add contacts to a group
///
/// What Python, C# and Ruby send (docs/spec/06-groups.md section 8, forms E and F). With `name` and without `ids` it
/// renames.
#[utoipa::path(put, path = "/groups/{id}", tag = "Groups", security(("AccessKey" = [])), request_body = IdsRequest,
    params(("id" = String, Path)),
    responses((status = 200, body = GroupBody), (status = 204), (status = 401, body = Errors),
        (status = 404, body = Errors), (status = 422, body = Errors)))]
async fn put(
    state: State<Shared>,
    caller: Caller,
    origin: Origin,
    id: Path<String>,
    attributes: Attributes,
) -> Result<Response, Refusal> {
    if attributes.has("name") && !attributes.has("ids") {
        return Ok(rename(state, caller, origin, id, attributes).await?.into_response());
    }
    Ok(add_contacts(state, caller, id, attributes).await?.into_response())
}

/// Delete a group
#[utoipa::path(delete, path = "/groups/{id}", tag = "Groups", security(("AccessKey" = [])), params(("id" = String, Path)),
    responses((status = 204), (status = 401, body = Errors), (status = 404, body = Errors)))]
async fn delete(
    State(state): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    state.store.write((caller.scope, group_id(&id)?), group::delete).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List the contacts of a group
#[utoipa::path(get, path = "/groups/{id}/contacts", tag = "Groups", security(("AccessKey" = [])),
    params(("id" = String, Path), PageParams),
    responses((status = 200, body = List<ContactBody>), (status = 401, body = Errors), (status = 404, body = Errors),
        (status = 422, body = Errors)))]
async fn contacts(
    State(state): State<Shared>,
    caller: Caller,
    origin: Origin,
    Path(id): Path<String>,
    Query(query): Query,
) -> Result<Json<List<ContactBody>>, Refusal> {
    let id = group_id(&id)?;
    let page = page::of(&query)?;
    let listing = group::contacts(&state.store, caller.scope, id, page).await?;
    let path = format!("/groups/{id}/contacts");
    Ok(Json(page::envelope(&origin, &path, &[], page, listing, |contact| ContactBody::new(contact, &origin))))
}

/// Add contacts to a group
///
/// At most 50 in a call, all or none; adding a member again is no error.
#[utoipa::path(put, path = "/groups/{id}/contacts", tag = "Groups", security(("AccessKey" = [])), request_body = IdsRequest,
    params(("id" = String, Path)),
    responses((status = 204), (status = 401, body = Errors), (status = 404, body = Errors), (status = 422, body = Errors)))]
async fn add_contacts(
    State(state): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
    attributes: Attributes,
) -> Result<StatusCode, Refusal> {
    let members = members(caller.scope, &id, &attributes)?;
    state.store.write(members, group::add).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Remove contacts from a group
///
/// At most 50 in a call, all or none.
#[utoipa::path(delete, path = "/groups/{id}/contacts", tag = "Groups", security(("AccessKey" = [])),
    request_body = IdsRequest, params(("id" = String, Path)),
    responses((status = 204), (status = 401, body = Errors), (status = 404, body = Errors), (status = 422, body = Errors)))]
async fn remove_contacts(
    State(state): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
    attributes: Attributes,
) -> Result<StatusCode, Refusal> {
    let members = members(caller.scope, &id, &attributes)?;
    state.store.write(members, group::remove).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Remove a contact from a group
#[utoipa::path(delete, path = "/groups/{id}/contacts/{contact}", tag = "Groups", security(("AccessKey" = [])),
    params(("id" = String, Path), ("contact" = String, Path)),
    responses((status = 204), (status = 401, body = Errors), (status = 404, body = Errors)))]
async fn remove_contact(
    State(state): State<Shared>,
    caller: Caller,
    Path((id, contact)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let group = group_id(&id)?;
    let contact = contact.parse().map_err(|_| Error::NotFound(Noun::Contact))?;
    let members = Members { scope: caller.scope, group, contacts: vec![contact] };
    state.store.write(members, group::remove).await?;
    Ok(StatusCode::NO_CONTENT)
}
