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
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::{StreamExt, stream};
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
    csv_answer(name, csv_lines(rows).into())
}

/// Lines that one read of a long table gives.
const CSV_PAGE: i64 = 1_000;

/// Some lines of a long table, and where those that follow begin; `None` after the last ones.
type CsvPage<C> = (Vec<Vec<String>>, Option<C>);

/// A table of any length: it is read page by page, as fast as the client takes it, and only one page is in memory. What
/// fails after the first page breaks the answer off.
async fn csv_pages<C, F>(
    name: &str,
    head: &[&str],
    first: C,
    read: impl Fn(C) -> F + Send + 'static,
) -> Result<Response, Refusal>
where
    C: Send + 'static,
    F: Future<Output = crate::core::Result<CsvPage<C>>> + Send + 'static,
{
    let (rows, next) = read(first).await?;
    let head = head.iter().map(|cell| (*cell).to_owned()).collect();
    let begun = csv_lines(std::iter::once(head).chain(rows));
    let rest = stream::try_unfold(next, move |next| {
        let page = next.map(&read);
        async move {
            let Some(page) = page else { return Ok::<_, Error>(None) };
            let (rows, next) = page.await.inspect_err(|error| {
                tracing::warn!(%error, "a table broke off");
            })?;
            Ok(Some((csv_lines(rows.into_iter()), next)))
        }
    });
    let all = stream::once(async { Ok(begun) }).chain(rest);
    csv_answer(name, Body::from_stream(all))
}

fn csv_lines(rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| csv_cell(cell)).collect();
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    }
    text
}

fn csv_answer(name: &str, body: Body) -> Result<Response, Refusal> {
    let named = format!("attachment; filename=\"{name}\"");
    let response = Response::builder()
        .header(CONTENT_TYPE, "text/csv; charset=utf-8")
        .header(axum::http::header::CONTENT_DISPOSITION, named)
        .body(body);
    response.map_err(|_| Refusal::bug("a table cannot be answered"))
}

/// Where the page after some elements begins: after the last one, if there were as many as a page has.
fn csv_next<T, C>(found: &[T], cursor: impl FnOnce(&T) -> C) -> Option<C> {
    let is_full = i64::try_from(found.len()).is_ok_and(|length| length >= CSV_PAGE);
    found.last().filter(|_| is_full).map(cursor)
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
