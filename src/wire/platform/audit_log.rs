//! The audit log: who did what to which object.

use super::page::{List, Page, PageParams};
use super::who::Who;
use super::{CSV_PAGE, csv_next, csv_pages, moment};
use crate::core::account::AccountId;
use crate::core::audit::{self, Actor, AuditId, Line, Stretch};
use crate::core::rights::Right;
use crate::core::{Code, Error, Noun};
use crate::wire::Shared;
use crate::wire::refusal::Refusal;
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(export))
}

/// Something that was done.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AuditLine {
    id: String,
    #[schema(format = DateTime)]
    at: String,
    /// Whose object; 0 for the operator's own.
    account: i64,
    /// `operator`, `key`, `user`, `command-line` or `system`.
    actor_kind: &'static str,
    /// The id of the key or the user; empty for the last two.
    actor: String,
    /// The address that it came from, if it came over the network.
    #[schema(required = true)]
    address: Option<String>,
    /// A noun and a verb, such as `key.revoke`.
    action: String,
    /// The object's id; empty for the account itself.
    object: String,
    /// What was asked for. No secrets.
    detail: BTreeMap<String, String>,
}

impl From<Line> for AuditLine {
    fn from(line: Line) -> Self {
        let Line { id, account, at, actor: Actor { kind, id: actor, address }, action, object, detail } =
            line;
        AuditLine {
            id: id.to_string(),
            at: moment(at),
            account: account.0,
            actor_kind: kind.name(),
            actor,
            address,
            action,
            object,
            detail: detail.into_iter().collect(),
        }
    }
}

/// Whose lines.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `list` reads")]
struct ListParams {
    /// Of one account. Without it: of the partner and its children; for the operator, what it did for itself.
    account: Option<i64>,
}

async fn stretch(state: &Shared, who: &Who, page: &Page, limit: i64) -> Result<Stretch, Refusal> {
    who.need(Right::Read)?;
    let account = page.param("account", |text| AccountId::parse(text).ok_or(Code::Invalid))?;
    let before = page.after(|text| text.parse::<AuditId>().ok())?;
    let is_child = who.scope.root != who.scope.account;
    let (root, account) = match account {
        Some(AccountId(0)) if who.is_operator() => (AccountId(0), None),
        Some(AccountId(0)) => return Err(Error::NotFound(Noun::Account).into()),
        Some(id) => {
            let seen = who.at(state, &id.to_string()).await?.account;
            (seen.root, Some(seen.id))
        }
        None if is_child => (who.scope.root, Some(who.scope.account)),
        None => (who.scope.root, None),
    };
    Ok(Stretch { root, account, before, limit })
}

/// List what was done
///
/// Newest first. Scope: `read`.
#[utoipa::path(get, path = "/audit", tag = "Audit", params(ListParams, PageParams),
    responses((status = 200, body = List<AuditLine>)))]
async fn list(State(state): State<Shared>, who: Who, page: Page) -> Result<Json<List<AuditLine>>, Refusal> {
    let stretch = stretch(&state, &who, &page, page.probe()).await?;
    let found = state.store.read(stretch, audit::list).await?;
    Ok(Json(List::of(found, &page, |line| line.id.to_string(), AuditLine::from)))
}

/// Export what was done
///
/// All lines as a table, newest first: the answer is sent as it is read. With `after`, an id, only older ones. Scope: `read`.
#[utoipa::path(get, path = "/audit.csv", tag = "Audit", params(ListParams, PageParams),
    responses((status = 200, body = String, content_type = "text/csv")))]
async fn export(State(state): State<Shared>, who: Who, page: Page) -> Result<Response, Refusal> {
    let stretch = stretch(&state, &who, &page, CSV_PAGE).await?;
    let head = ["id", "at", "account", "actorKind", "actor", "address", "action", "object", "detail"];
    let row = |line| {
        let line = AuditLine::from(line);
        let detail: Vec<String> = line.detail.iter().map(|(name, value)| format!("{name}={value}")).collect();
        vec![
            line.id,
            line.at,
            line.account.to_string(),
            line.actor_kind.to_owned(),
            line.actor,
            line.address.unwrap_or_default(),
            line.action,
            line.object,
            detail.join("; "),
        ]
    };
    let read = move |before| {
        let store = state.store.clone();
        async move {
            let found = store.scan(Stretch { before, ..stretch }, audit::list).await?;
            let next = csv_next(&found, |line| Some(line.id));
            Ok((found.into_iter().map(row).collect(), next))
        }
    };
    csv_pages("audit.csv", &head, stretch.before, read).await
}
