//! Monthly statements: what an account had, what moved, and what it had afterwards; for programs, for spreadsheets and on
//! a page to print.

use super::csv;
use super::moment;
use super::who::Who;
use crate::core::reach::View;
use crate::core::rights::Right;
use crate::core::statement::{self, Statement};
use crate::core::{Code, Error, Timestamp, Violation, terms};
use crate::wire::Shared;
use crate::wire::refusal::Refusal;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::fmt::Write;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(view)).routes(routes!(table)).routes(routes!(page))
}

/// A month of an account's books.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct StatementBody {
    account: i64,
    name: String,
    currency: String,
    #[schema(format = DateTime)]
    from: String,
    #[schema(format = DateTime)]
    until: String,
    /// An IANA name, by whose clock the month is meant.
    time_zone: String,
    /// What it had when the month began.
    opening: String,
    /// What moved, by reason.
    lines: Vec<StatementLine>,
    /// What it had when the month ended, or has now.
    closing: String,
}

/// What moved for one reason in one direction.
#[derive(Serialize, ToSchema)]
struct StatementLine {
    /// `credit`, `transfer`, `messages` or `closing`.
    reason: String,
    /// How many entries.
    count: i64,
    /// Negative for what was paid.
    amount: String,
}

async fn made(state: &Shared, who: &Who, account: &str, month: &str) -> Result<StatementBody, Refusal> {
    let View { account, .. } = who.with(state, account, Right::Read).await?;
    let scope = account.scope();
    let time_zone = state.store.read(scope, terms::messaging).await?.time_zone;
    let stretch = statement::month(month, &time_zone);
    let (from, until) = stretch.ok_or_else(|| Error::from(Violation::new("month", Code::Invalid)))?;
    if from > Timestamp(state.now_us()) {
        return Err(Error::from(Violation::new("month", Code::Invalid)).into());
    }
    let Statement { opening, sums, closing } = statement::of(&state.store, scope, from, until).await?;
    let lines = sums.into_iter().map(|sum| StatementLine {
        reason: sum.reason,
        count: sum.count,
        amount: sum.amount.to_string(),
    });
    Ok(StatementBody {
        account: account.id.0,
        name: account.name,
        currency: account.currency.to_string(),
        from: moment(from),
        until: moment(until),
        time_zone,
        opening: opening.to_string(),
        lines: lines.collect(),
        closing: closing.to_string(),
    })
}

/// View a month's statement
///
/// Scope: `read`.
#[utoipa::path(get, path = "/accounts/{account}/statements/{month}", tag = "Money",
    params(("account" = String, Path, description = "Its number, or `me`"),
        ("month" = String, Path, description = "Such as `2026-11`")),
    responses((status = 200, body = StatementBody)))]
async fn view(
    State(state): State<Shared>,
    who: Who,
    Path((account, month)): Path<(String, String)>,
) -> Result<Json<StatementBody>, Refusal> {
    Ok(Json(made(&state, &who, &account, &month).await?))
}

/// Export a month's statement
///
/// As a table. Scope: `read`.
#[utoipa::path(get, path = "/accounts/{account}/statements/{month}/csv", tag = "Money",
    params(("account" = String, Path, description = "Its number, or `me`"),
        ("month" = String, Path, description = "Such as `2026-11`")),
    responses((status = 200, body = String, content_type = "text/csv")))]
async fn table(
    State(state): State<Shared>,
    who: Who,
    Path((account, month)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let made = made(&state, &who, &account, &month).await?;
    let row = |reason: &str, count: String, amount: &str| {
        vec![reason.to_owned(), count, amount.to_owned(), made.currency.clone()]
    };
    let head = ["reason", "count", "amount", "currency"].map(str::to_owned).to_vec();
    let mut rows = vec![head, row("opening", String::new(), &made.opening)];
    rows.extend(made.lines.iter().map(|line| row(&line.reason, line.count.to_string(), &line.amount)));
    rows.push(row("closing balance", String::new(), &made.closing));
    csv(&format!("statement-{}-{month}.csv", made.account), rows.into_iter())
}

/// Text in a page.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Print a month's statement
///
/// A page without scripts. Scope: `read`.
#[utoipa::path(get, path = "/accounts/{account}/statements/{month}/page", tag = "Money",
    params(("account" = String, Path, description = "Its number, or `me`"),
        ("month" = String, Path, description = "Such as `2026-11`")),
    responses((status = 200, body = String, content_type = "text/html")))]
async fn page(
    State(state): State<Shared>,
    who: Who,
    Path((account, month)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let made = made(&state, &who, &account, &month).await?;
    let (name, month) = (escaped(&made.name), escaped(&month));
    let mut rows = String::new();
    let mut row = |what: &str, count: &str, amount: &str| {
        // Writing to a String does not fail.
        _ = writeln!(rows, "<tr><td>{}<td>{count}<td>{amount} {}", escaped(what), made.currency);
    };
    row("Opening balance", "", &made.opening);
    for line in &made.lines {
        row(&line.reason, &line.count.to_string(), &line.amount);
    }
    row("Closing balance", "", &made.closing);
    let page = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Statement {month}: {name}</title>\n\
         <style>body{{font:12pt serif;margin:3em}}table{{border-collapse:collapse}}td,th{{border-bottom:1px solid;\
         padding:.3em 1em;text-align:left}}td:nth-child(n+2){{text-align:right}}</style>\n\
         <h1>Statement {month}</h1>\n<p>{name}, account {}<br>{} to {} ({})\n\
         <table><tr><th>Reason<th>Entries<th>Amount\n{rows}</table>\n</html>\n",
        made.account,
        made.from,
        made.until,
        escaped(&made.time_zone)
    );
    let policy = "default-src 'none'; style-src 'unsafe-inline'";
    Ok(([(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, policy)], page)
        .into_response())
}
