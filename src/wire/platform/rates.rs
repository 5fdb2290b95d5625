//! Rate cards: what one part of a message costs an account, by the longest prefix of the number.

use super::page::{List, Page, PageParams};
use super::who::Who;
use super::{CSV_PAGE, csv_next, csv_pages};
use crate::core::audit::{Act, audited};
use crate::core::money::Amount;
use crate::core::rate::{self, IMPORT, Markup, Set};
use crate::core::rights::Right;
use crate::core::{Code, Error, Violation};
use crate::wire::Shared;
use crate::wire::refusal::Refusal;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Lines of one table.
const LINES_MAX: usize = 5_000;
/// Largest markup: a hundredfold.
const MARKUP_MAX: Amount = Amount(10_000_000_000);

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(table, import))
}

/// A price.
#[derive(Serialize, ToSchema)]
struct RateBody {
    /// First digits of the number; empty for all numbers.
    prefix: String,
    /// Of one part, in the account's currency.
    amount: String,
}

impl From<(String, Amount)> for RateBody {
    fn from((prefix, amount): (String, Amount)) -> Self {
        RateBody { prefix, amount: amount.to_string() }
    }
}

/// List prices
///
/// In the order of their prefixes. Scope: `read`.
#[utoipa::path(get, path = "/accounts/{account}/rates", tag = "Money",
    params(("account" = String, Path, description = "Its number, or `me`"), PageParams),
    responses((status = 200, body = List<RateBody>)))]
async fn list(
    State(state): State<Shared>,
    who: Who,
    Path(account): Path<String>,
    page: Page,
) -> Result<Json<List<RateBody>>, Refusal> {
    let scope = who.with(&state, &account, Right::Read).await?.account.scope();
    let after = page.after(|text| Some(text.to_owned()))?;
    let found = state.store.read((scope, after, page.probe()), rate::list).await?;
    Ok(Json(List::of(found, &page, |(prefix, _)| prefix.clone(), RateBody::from)))
}

/// Export prices
///
/// All of them as a table `prefix,amount`. Scope: `read`.
#[utoipa::path(get, path = "/accounts/{account}/rates.csv", tag = "Money",
    params(("account" = String, Path, description = "Its number, or `me`")),
    responses((status = 200, body = String, content_type = "text/csv")))]
async fn table(
    State(state): State<Shared>,
    who: Who,
    Path(account): Path<String>,
) -> Result<Response, Refusal> {
    let scope = who.with(&state, &account, Right::Read).await?.account.scope();
    let read = move |after| {
        let store = state.store.clone();
        async move {
            let found = store.scan((scope, after, CSV_PAGE), rate::list).await?;
            let next = csv_next(&found, |(prefix, _)| Some(prefix.clone()));
            let row = |(prefix, amount): (String, Amount)| vec![prefix, amount.to_string()];
            Ok((found.into_iter().map(row).collect(), next))
        }
    };
    csv_pages("rates.csv", &["prefix", "amount"], None, read).await
}

/// What is put on the prices of the table.
#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `import` reads")]
struct MarkupParams {
    /// Such as `15` or `12.5`; each price is rounded half up to the sixth decimal.
    #[param(pattern = r"^-?\d{1,5}(\.\d{1,4})?$")]
    markup_percent: Option<String>,
    /// Put on each price after that, such as `0.002`.
    #[param(pattern = r"^-?\d{1,5}(\.\d{1,6})?$")]
    markup_amount: Option<String>,
}

/// What was imported.
#[derive(Serialize, ToSchema)]
struct ImportBody {
    /// Prices that were set.
    count: usize,
}

/// Import prices
///
/// A table `prefix,amount` of 5,000 lines at most; a first line that does not begin with a digit or a comma is passed over.
/// Nothing is set if a line is wrong, which the answer names by its number; prefixes that the table does not name keep
/// their price. Of an account below the caller's own. Scope: `money`.
#[utoipa::path(put, path = "/accounts/{account}/rates.csv", tag = "Money",
    request_body(content = String, content_type = "text/csv"),
    params(("account" = String, Path, description = "Its number"), MarkupParams),
    responses((status = 200, body = ImportBody)))]
async fn import(
    State(state): State<Shared>,
    who: Who,
    Path(account): Path<String>,
    page: Page,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<ImportBody>, Refusal> {
    let id = who.above(&state, &account, Right::Money).await?.account.id;
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("text/csv");
    if kind.split(';').next().map(str::trim) != Some("text/csv") {
        return Err(Refusal::Malformed("the body's type is not text/csv"));
    }
    let bounded = |text: &str| {
        let amount = Amount::parse(text)?;
        let fits = (-MARKUP_MAX.0..=MARKUP_MAX.0).contains(&amount.0);
        if fits { Ok(amount) } else { Err(Code::Invalid) }
    };
    // Percent in micro-units are a hundredth of millionths each.
    let part = page.param("markupPercent", bounded)?.map_or(0, |percent| percent.0 / 100);
    let fixed = page.param("markupAmount", bounded)?.unwrap_or(Amount::ZERO);
    let markup = Markup { part, fixed };
    let text = std::str::from_utf8(&body).map_err(|_| Refusal::Malformed("the table is not in UTF-8"))?;
    let rates = read(text, markup)?;
    let count = rates.len();
    let sets: Vec<Set> = rates
        .into_iter()
        .map(|(prefix, amount)| Set { account: id, prefix, amount, currency: None })
        .collect();
    for some in sets.chunks(IMPORT) {
        let about = move |some: &Vec<Set>, (): &()| {
            let first = some.first().map(|set| set.prefix.clone()).unwrap_or_default();
            Act::on(id, "rates.import").with("count", some.len()).with("firstPrefix", first)
        };
        state.store.bulk(some.to_vec(), audited(who.actor.clone(), rate::set_all, about)).await?;
    }
    Ok(Json(ImportBody { count }))
}

/// The lines of a table with the markup on their prices, or what is wrong with each.
fn read(text: &str, markup: Markup) -> Result<Vec<(String, Amount)>, Refusal> {
    let (mut rates, mut wrong) = (Vec::new(), Vec::new());
    for (number, line) in text.lines().enumerate() {
        let line = line.trim().trim_start_matches('\u{feff}');
        let heading = number == 0 && !line.starts_with(|c: char| c.is_ascii_digit() || c == ',');
        if line.is_empty() || heading {
            continue;
        }
        let one = || {
            let (prefix, amount) =
                line.split_once(',').ok_or_else(|| Violation::new("amount", Code::Required))?;
            let amount = Amount::parse(amount.trim()).map_err(|code| Violation::new("amount", code))?;
            let marked = markup.on(amount).ok_or_else(|| Violation::new("amount", Code::Invalid))?;
            rate::check(prefix.trim(), marked)?;
            Ok::<_, Violation>((prefix.trim().to_owned(), marked))
        };
        match one() {
            Ok(rate) => rates.push(rate),
            Err(violation) if wrong.len() < 100 => wrong.push((number + 1, violation)),
            Err(_) => {}
        }
    }
    if rates.len() > LINES_MAX {
        return Err(Error::from(Violation::new("body", Code::TooMany(LINES_MAX))).into());
    }
    if wrong.is_empty() { Ok(rates) } else { Err(Refusal::Elements(wrong)) }
}
