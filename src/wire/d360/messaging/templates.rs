//! Templates on the host of the messages: docs/spec/33-360-messaging.md section 6.

use super::super::businesses::{KNOWN, NAME_TAKEN, asked_template, make, render_template};
use super::super::error::{self, MetaError};
use super::super::fields::Fields;
use super::super::json::{Json, answer};
use super::super::listing::{Asked, sorted};
use super::view;
use crate::core::partner;
use crate::core::template::{self, Template};
use crate::wire::Shared;
use crate::wire::attributes::{Query, integer};
use crate::wire::caller::ChannelCaller;
use crate::wire::idempotency::Once;
use crate::wire::refusal::Refusal;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(delete))
}

/// The network's own form, without the prefix.
pub(super) fn bare() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(pages))
}

/// List templates
#[utoipa::path(get, path = "/configs/templates", tag = "Messaging", security(("ChannelKey" = [])),
    params(("limit" = Option<i64>, Query), ("offset" = Option<i64>, Query), ("sort" = Option<String>, Query),
        ("filters" = Option<String>, Query)),
    responses((status = 200, body = Value), (status = 400, body = MetaError), (status = 401, body = super::WrongKey)))]
async fn list(
    State(state): State<Shared>,
    caller: ChannelCaller,
    asked: Asked,
) -> Result<Json<Value>, Refusal> {
    let listing = asked.read(&KNOWN)?;
    let found = view(&state, &caller).await?;
    let handle = state.store.read(caller.scope.root, partner::view).await?.handle;
    let templates = state.store.scan((caller.scope.root, found.business.id), template::list).await?;
    listing.envelope("waba_templates", templates, move |one| render_template(one, handle.as_str())).await
}

/// What creating answers here: less than on the hub.
const SHORT: [&str; 9] = [
    "category",
    "components",
    "external_id",
    "id",
    "language",
    "name",
    "namespace",
    "rejected_reason",
    "status",
];

/// Create a template
#[utoipa::path(post, path = "/configs/templates", tag = "Messaging", security(("ChannelKey" = [])), request_body = Value,
    responses((status = 201, body = Value), (status = 400, body = MetaError), (status = 401, body = super::WrongKey)))]
async fn create(
    State(state): State<Shared>,
    caller: ChannelCaller,
    once: Once,
    fields: Fields,
) -> Result<Response, Refusal> {
    let found = view(&state, &caller).await?;
    let new = asked_template(fields, (caller.scope.root, found.business.id))?;
    let render = |made: Option<Template>| {
        let Some(made) = made else { return Ok(error::meta(StatusCode::BAD_REQUEST, NAME_TAKEN)) };
        let whole = render_template(&made, "");
        let short: Value = SHORT.iter().map(|name| ((*name).to_owned(), whole[*name].clone())).collect();
        Ok(answer(StatusCode::CREATED, &sorted(short)))
    };
    Ok(error::own(once.answer(&state, new, make, render).await?))
}

/// Delete a template by its name, in all its languages
#[utoipa::path(delete, path = "/configs/templates/{name}", tag = "Messaging", security(("ChannelKey" = [])),
    params(("name" = String, Path)),
    responses((status = 200, body = MetaError), (status = 401, body = super::WrongKey), (status = 404, body = MetaError)))]
async fn delete(
    State(state): State<Shared>,
    caller: ChannelCaller,
    Path(name): Path<String>,
) -> Result<Json<MetaError>, Refusal> {
    let found = view(&state, &caller).await?;
    let of = (caller.scope.root, found.business.id);
    state.store.write((of, name), template::delete_by_name).await?;
    Ok(error::done("Template deleted"))
}

/// Templates on a page.
const PAGE: usize = 100;

/// List templates in the network's own form
#[utoipa::path(get, path = "/message_templates", tag = "Messaging", security(("ChannelKey" = [])),
    params(("after" = Option<String>, Query), ("limit" = Option<i64>, Query)),
    responses((status = 200, body = Value), (status = 400, body = MetaError), (status = 401, body = super::WrongKey)))]
async fn pages(
    State(state): State<Shared>,
    caller: ChannelCaller,
    query: Query,
) -> Result<Json<Value>, Refusal> {
    let mut reader = query.0.reader();
    let after = reader.optional(&["after"], integer(0, i64::from(i32::MAX))).unwrap_or(0);
    let limit = reader.optional(&["limit"], integer(1, i64::from(i32::MAX)));
    reader.finish()?;
    let found = view(&state, &caller).await?;
    let all = state.store.scan((caller.scope.root, found.business.id), template::list).await?;
    let begin = usize::try_from(after).unwrap_or(usize::MAX);
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE).min(PAGE);
    let page: Vec<Value> = all
        .iter()
        .skip(begin)
        .take(limit)
        .map(|one| {
            let components: Value = serde_json::from_str(&one.components).unwrap_or_else(|_| json!([]));
            json!({"category": one.category, "components": components, "id": one.external,
                "language": one.language, "name": one.name, "status": one.status.name().to_uppercase()})
        })
        .collect();
    let end = begin.saturating_add(page.len());
    let mut paging = json!({"cursors": {"after": end.to_string(), "before": begin.to_string()}});
    if end < all.len() {
        paging["next"] = format!("https://waba-v2.360dialog.io/message_templates?after={end}").into();
    }
    Ok(Json(StatusCode::OK, json!({"data": page, "paging": paging})))
}
