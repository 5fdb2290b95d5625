//! Pages of lists: `limit` elements after the one that `after` names, which is the `next` of the page before.

use crate::core::{Code, Error, Violation};
use crate::wire::refusal::Refusal;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::Serialize;
use std::collections::HashMap;
use utoipa::{IntoParams, ToSchema};

/// Elements of a page, unless the request says otherwise.
const LIMIT: i64 = 50;
/// Most of them.
const LIMIT_MAX: i64 = 100;

/// A page of a list.
#[derive(Serialize, ToSchema)]
pub(super) struct List<T> {
    pub items: Vec<T>,
    /// What `after` is for the page that follows; null on the last one.
    #[schema(required = true)]
    pub next: Option<String>,
}

impl<T> List<T> {
    /// All of them, where there are few.
    pub(super) fn whole<S: Into<T>>(found: Vec<S>) -> Self {
        List { items: found.into_iter().map(Into::into).collect(), next: None }
    }

    /// Of one element more than fits, if there are more.
    pub(super) fn of<S>(
        mut found: Vec<S>,
        page: &Page,
        cursor: impl Fn(&S) -> String,
        body: impl Fn(S) -> T,
    ) -> Self {
        let more = found.len() > page.most();
        found.truncate(page.most());
        let next = found.last().filter(|_| more).map(cursor);
        List { items: found.into_iter().map(body).collect(), next }
    }
}

/// Where in a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `Page` reads")]
pub(super) struct PageParams {
    /// Elements of the page.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// The `next` of the page before.
    after: Option<String>,
}

/// The parameters of a query, and the page that they ask for.
pub(super) struct Page {
    pub limit: i64,
    given: HashMap<String, String>,
}

impl<S: Sync> FromRequestParts<S> for Page {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let query = parts.uri.query().unwrap_or_default();
        let given: HashMap<String, String> = form_urlencoded::parse(query.as_bytes())
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        let mut page = Page { limit: LIMIT, given };
        let limit = page.param("limit", |text| {
            let limit = text.parse::<i64>().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
            limit.ok_or(Code::OutOfRange(1, LIMIT_MAX))
        })?;
        page.limit = limit.unwrap_or(LIMIT);
        Ok(page)
    }
}

impl Page {
    /// One more than the page has, which tells whether another follows.
    pub(super) fn probe(&self) -> i64 {
        self.limit + 1
    }

    fn most(&self) -> usize {
        usize::try_from(self.limit).unwrap_or(1)
    }

    /// A parameter of the query.
    pub(super) fn param<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&str) -> Result<T, Code>,
    ) -> Result<Option<T>, Refusal> {
        let Some(text) = self.given.get(name) else { return Ok(None) };
        let text = if text.contains('\0') { Err(Code::Invalid) } else { Ok(text) };
        let read = text.and_then(|text| read(text));
        read.map(Some).map_err(|code| Error::from(Violation::new(name, code)).into())
    }

    /// The cursor.
    pub(super) fn after<T>(&self, read: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, Refusal> {
        self.param("after", |text| read(text).ok_or(Code::Invalid))
    }
}
