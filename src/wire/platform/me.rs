//! Who the caller is, as the server sees it.

use super::error::ErrorBody;
use super::moment;
use super::who::Who;
use crate::wire::Shared;
use crate::wire::refusal::Refusal;
use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(me))
}

/// The caller.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Me {
    /// `operator`, `key` or `user`.
    kind: &'static str,
    /// Of the key or the user.
    id: String,
    /// Its account; null for the operator.
    #[schema(required = true)]
    account: Option<i64>,
    /// Its account's partner; null for the operator and for partners.
    #[schema(required = true)]
    partner: Option<i64>,
    /// What it may do: `read`, `send`, `contacts`, `accounts`, `keys`, `money`, `limits`, `webhooks`, `users`; or `admin`,
    /// which is all of it.
    scopes: Vec<&'static str>,
    /// When the key or session ends by itself.
    #[schema(required = true, format = DateTime)]
    expires_at: Option<String>,
}

/// Who am I
///
/// Needs no scope.
#[utoipa::path(get, path = "/me", tag = "Access",
    responses((status = 200, body = Me), (status = 401, body = ErrorBody)))]
async fn me(who: Who) -> Result<Json<Me>, Refusal> {
    let operator = who.is_operator();
    let is_child = who.scope.root != who.scope.account;
    let scopes = who.rights.words();
    Ok(Json(Me {
        kind: who.actor.kind.name(),
        id: who.actor.id.clone(),
        account: (!operator).then_some(who.scope.account.0),
        partner: is_child.then_some(who.scope.root.0),
        scopes,
        expires_at: who.expires.map(moment),
    }))
}
