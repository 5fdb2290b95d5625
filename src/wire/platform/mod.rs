//! The platform's own API, `/platform/v1`: what a reseller runs its business on and what no vendor's API offers
//! (docs/platform-api.md). It works on the same accounts, keys and books as the vendors' products do.
//!
//! Every handler takes a [`who::Who`], which says what its key may do, and finds accounts through it: what is out of its
//! reach is not found. Every change writes a line of the audit log in its own unit.

mod accounts;
pub(super) mod alerts;
mod audit_log;
pub(super) mod error;
mod fields;
mod keys;
mod limits;
mod me;
mod money;
mod page;
mod rates;
mod sessions;
mod statements;
mod users;
mod webhooks;
mod who;

use super::Shared;
use super::refusal::Refusal;
use crate::core::idempotency::Answer;
use crate::core::{Error, Timestamp};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;

/// What every path begins with.
const BASE: &str = "/platform/v1";
/// Where the document of this API is served.
const DOCUMENT: &str = "/platform/v1/openapi.json";

/// Where people sign in, who have no key yet.
const SIGN_IN: &str = "/platform/v1/sessions";

/// Everything that needs a key.
pub(super) fn routes() -> OpenApiRouter<Shared> {
    let all = OpenApiRouter::new()
        .merge(me::routes())
        .merge(accounts::routes())
        .merge(keys::routes())
        .merge(sessions::routes())
        .merge(users::routes())
        .merge(money::routes())
        .merge(rates::routes())
        .merge(statements::routes())
        .merge(limits::routes())
        .merge(alerts::routes())
        .merge(webhooks::routes())
        .merge(audit_log::routes());
    OpenApiRouter::new().nest(BASE, all)
}

/// What nobody needs a key for.
pub(super) fn open() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().nest(BASE, sessions::open()).route(DOCUMENT, get(document))
}

/// Whether a request is for [`open`].
pub(super) fn is_open(parts: &Parts) -> bool {
    let reads = parts.method == Method::GET || parts.method == Method::HEAD;
    (parts.uri.path() == DOCUMENT && reads) || (parts.uri.path() == SIGN_IN && parts.method == Method::POST)
}

async fn document(State(state): State<Shared>) -> Response {
    ([(CONTENT_TYPE, "application/json")], state.platform_openapi.to_string()).into_response()
}

/// An answer that can be kept for repeated requests.
fn answer<T: Serialize>(status: StatusCode, body: &T) -> crate::core::Result<Answer> {
    let body = serde_json::to_vec(body).map_err(|_| Error::Internal("an answer is no JSON".into()))?;
    Ok(Answer { status: status.as_u16(), body })
}

/// 200 with an object, as a POST that makes nothing answers.
fn done<T: Serialize>(body: &T) -> crate::core::Result<Answer> {
    answer(StatusCode::OK, body)
}

/// A moment as this API writes it: `2024-03-05T08:15:30Z`.
fn moment(at: Timestamp) -> String {
    at.rfc3339_utc()
}

/// Nothing to say.
fn nothing() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// Text that a spreadsheet opens. A field that it would take for a formula begins with a quotation mark (CWE-1236).
fn csv(name: &str, rows: impl Iterator<Item = Vec<String>>) -> Result<Response, Refusal> {
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| csv_cell(cell)).collect();
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    }
    let named = format!("attachment; filename=\"{name}\"");
    let response = Response::builder()
        .header(CONTENT_TYPE, "text/csv; charset=utf-8")
        .header(axum::http::header::CONTENT_DISPOSITION, named)
        .body(text.into());
    response.map_err(|_| Refusal::bug("a table cannot be answered"))
}

fn csv_cell(cell: &str) -> String {
    let digits = |rest: &str| rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let amount = cell.strip_prefix('-').is_some_and(digits);
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && !amount;
    let text = if formula { format!("'{cell}") } else { cell.to_owned() };
    if text.contains(['"', ',', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::csv_cell;

    #[test]
    fn a_cell_is_quoted_and_is_no_formula() {
        for (cell, shown) in [
            ("Acme", "Acme"),
            ("-1.50", "-1.50"),
            ("=1+1", "'=1+1"),
            ("-cmd", "'-cmd"),
            ("-2+3+cmd|' /C calc'!A0", "'-2+3+cmd|' /C calc'!A0"),
            ("a,\"b\"", "\"a,\"\"b\"\"\""),
        ] {
            assert_eq!(csv_cell(cell), shown);
        }
    }
}
