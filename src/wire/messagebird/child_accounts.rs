//! Child accounts of a partner: docs/spec/02-partner-accounts.md. A test key's writes are rehearsed and answered.

use super::Created;
use super::error::{Errors, NotPrivileged, Problem};
use crate::core::account::{self, Account, AccountId, ChildOf, NAME_MAX, NewAccount, NewChild};
use crate::core::audit::{Act, Actor, audited};
use crate::core::key::NewKey;
use crate::core::{Code, Error, Noun, Page, api_key, rehearse};
use crate::wire::Shared;
use crate::wire::attributes::{Attributes, Query, at_most, integer};
use crate::wire::caller::PartnerCaller;
use crate::wire::idempotency::Once;
use crate::wire::refusal::Refusal;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use store::Tx;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Default and largest number of children on a page.
const LIMIT_MAX: i64 = 100;
const PAGES_MAX: i64 = 10_000_000;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(view, update, delete))
}

/// A child as creating it answers, the only time that its secrets are shown.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CreatedChild {
    id: i64,
    name: String,
    access_keys: Vec<AccessKeyBody>,
    /// 32 characters.
    signing_key: String,
    invoice_aggregation: bool,
}

/// A key; its text stands under two names, because Java's SDK reads the second.
#[derive(Serialize, ToSchema)]
struct AccessKeyBody {
    id: String,
    key: String,
    access_key: String,
    /// `live` or `test`.
    mode: &'static str,
}

impl AccessKeyBody {
    fn new(key: &NewKey) -> Self {
        AccessKeyBody {
            id: key.id.hyphenated(),
            key: key.text.reveal().to_owned(),
            access_key: key.text.reveal().to_owned(),
            mode: key.role.name(),
        }
    }
}

impl CreatedChild {
    fn new(made: &NewAccount) -> Self {
        CreatedChild {
            id: made.account.id.0,
            name: made.account.name.clone(),
            access_keys: made.keys.iter().map(AccessKeyBody::new).collect(),
            signing_key: made.signing_key.reveal().to_owned(),
            invoice_aggregation: made.account.invoice_aggregation,
        }
    }
}

/// A child.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Child {
    id: i64,
    name: String,
    invoice_aggregation: bool,
}

/// A child in a list and after an edit.
#[derive(Serialize, ToSchema)]
struct ChildName {
    id: i64,
    name: String,
}

impl From<Account> for ChildName {
    fn from(account: Account) -> Self {
        ChildName { id: account.id.0, name: account.name }
    }
}

/// Nothing, in an object: Go and PHP cannot do without a body.
#[derive(Serialize, ToSchema)]
struct Nothing {}

/// A child to make or to change.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the reader takes")]
struct ChildRequest {
    /// Printed on invoices.
    #[schema(min_length = 1, max_length = 255)]
    name: String,
    email: Option<String>,
}

fn checked_name(text: &str) -> Result<String, Code> {
    account::check_name(text).map(|()| text.to_owned())
}

/// An id that is no number is an account that is not found.
fn child_of(caller: PartnerCaller, id: &str) -> Result<ChildOf, Refusal> {
    let child = AccountId::parse(id).ok_or(Error::NotFound(Noun::Account))?;
    Ok(ChildOf { partner: caller.partner, child })
}

/// Create a child account
#[utoipa::path(post, path = "/child-accounts", tag = "Partner Accounts", security(("AccessKey" = [])),
    request_body = ChildRequest,
    responses((status = 201, body = CreatedChild), (status = 401, body = Errors), (status = 403, body = NotPrivileged),
        (status = 422, body = Problem)))]
async fn create(
    State(state): State<Shared>,
    caller: PartnerCaller,
    actor: Actor,
    once: Once,
    attributes: Attributes,
) -> Result<Response, Refusal> {
    let mut reader = attributes.reader();
    let name = if state.options.nameless_children {
        reader.optional(&["name"], checked_name)
    } else {
        reader.required(&["name"], checked_name)
    };
    let email = reader.optional(&["email"], at_most(NAME_MAX)).unwrap_or_default();
    reader.finish()?;
    let new = NewChild { partner: caller.partner, name, email, vault: state.vault.clone() };
    if caller.is_test {
        let made = rehearse(&state.store, new, account::create_child).await?;
        return Ok(Created(CreatedChild::new(&made)).into_response());
    }
    let by = caller.by;
    let unit = async move |tx: &mut Tx, new: &NewChild| {
        let made = account::create_child(tx, new).await?;
        api_key::narrow(tx, &(made.account.id, by)).await?;
        Ok(made)
    };
    let about = |_: &NewChild, made: &NewAccount| {
        Act::on(made.account.id, "account.create").with("name", &made.account.name)
    };
    once.create(&state, new, audited(actor, unit, about), |made| CreatedChild::new(&made)).await
}

/// Where in the list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `list` reads")]
struct ChildPage {
    /// From 1; it wins over `offset`.
    page: Option<i64>,
    /// Accounts a page, at most 100, which is also the default.
    limit: Option<i64>,
    /// Accounts to pass over.
    offset: Option<i64>,
}

/// List child accounts
#[utoipa::path(get, path = "/child-accounts", tag = "Partner Accounts", security(("AccessKey" = [])), params(ChildPage),
    responses((status = 200, body = Vec<ChildName>), (status = 401, body = Errors),
        (status = 403, body = NotPrivileged), (status = 422, body = Problem)))]
async fn list(
    State(state): State<Shared>,
    caller: PartnerCaller,
    Query(query): Query,
) -> Result<Json<Vec<ChildName>>, Refusal> {
    let mut reader = query.reader();
    let number = integer(0, LIMIT_MAX * PAGES_MAX);
    let limit =
        reader.optional(&["limit"], &number).filter(|limit| *limit > 0).unwrap_or(LIMIT_MAX).min(LIMIT_MAX);
    let page = reader.optional(&["page"], integer(0, PAGES_MAX));
    let offset = reader.optional(&["offset"], &number);
    reader.finish()?;
    let offset = match page {
        Some(page) => (page.max(1) - 1) * limit,
        None => offset.unwrap_or(0),
    };
    let command = (caller.partner, Page { limit, offset });
    let children = if command.1.is_near() {
        state.store.read(command, account::children).await?
    } else {
        state.store.scan(command, account::children).await?
    };
    Ok(Json(children.into_iter().map(ChildName::from).collect()))
}

/// View a child account
#[utoipa::path(get, path = "/child-accounts/{id}", tag = "Partner Accounts", security(("AccessKey" = [])),
    params(("id" = i64, Path)),
    responses((status = 200, body = Child), (status = 401, body = Errors), (status = 403, body = NotPrivileged),
        (status = 404, body = Problem)))]
async fn view(
    State(state): State<Shared>,
    caller: PartnerCaller,
    Path(id): Path<String>,
) -> Result<Json<Child>, Refusal> {
    let child = state.store.read(child_of(caller, &id)?, account::child).await?;
    Ok(Json(Child { id: child.id.0, name: child.name, invoice_aggregation: child.invoice_aggregation }))
}

/// Edit a child account
///
/// An empty object changes nothing.
#[utoipa::path(patch, path = "/child-accounts/{id}", tag = "Partner Accounts", security(("AccessKey" = [])),
    request_body = ChildRequest, params(("id" = i64, Path)),
    responses((status = 200, body = ChildName), (status = 401, body = Errors), (status = 403, body = NotPrivileged),
        (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn update(
    State(state): State<Shared>,
    caller: PartnerCaller,
    actor: Actor,
    Path(id): Path<String>,
    attributes: Attributes,
) -> Result<Json<ChildName>, Refusal> {
    let child = child_of(caller, &id)?;
    let mut reader = attributes.reader();
    let name = reader.optional(&["name"], checked_name);
    reader.finish()?;
    let renamed = if caller.is_test {
        rehearse(&state.store, (child, name), account::rename_child).await?
    } else {
        let about = |(child, name): &(ChildOf, Option<String>), _: &Account| {
            let named = name.as_ref();
            named.map(|name| Act::on(child.child, "account.update").with("name", name))
        };
        state.store.write((child, name), audited(actor, account::rename_child, about)).await?
    };
    Ok(Json(renamed.into()))
}

/// Delete a child account
///
/// Its keys stop working at once.
#[utoipa::path(delete, path = "/child-accounts/{id}", tag = "Partner Accounts", security(("AccessKey" = [])),
    params(("id" = i64, Path)),
    responses((status = 200, body = Nothing), (status = 401, body = Errors), (status = 403, body = NotPrivileged),
        (status = 404, body = Problem)))]
async fn delete(
    State(state): State<Shared>,
    caller: PartnerCaller,
    actor: Actor,
    Path(id): Path<String>,
) -> Result<Json<Nothing>, Refusal> {
    let child = child_of(caller, &id)?;
    if caller.is_test {
        rehearse(&state.store, child, account::delete_child).await?;
    } else {
        let about = |child: &ChildOf, (): &()| Act::on(child.child, "account.delete");
        state.store.write(child, audited(actor, account::delete_child, about)).await?;
        state.forget_keys().await?;
    }
    Ok(Json(Nothing {}))
}
