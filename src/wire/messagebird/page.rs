//! Lists: what `limit` and `offset` ask for and the envelope around the items (docs/spec/00-overview.md section 7).

use crate::core::{Code, Listing, Page};
use crate::wire::attributes::{Attributes, Reader, integer};
use crate::wire::origin::Origin;
use crate::wire::refusal::Refusal;
use serde::Serialize;
use std::fmt::Write;
use utoipa::{IntoParams, ToSchema};

const LIMIT_DEFAULT: i64 = 20;
/// Above it a client that steps by its own limit would skip items if the limit were only cut.
const LIMIT_MAX: i64 = 1_000;
const OFFSET_MAX: i64 = 1_000_000_000;

/// The parameters of every list, for the OpenAPI document.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `page` reads")]
pub(super) struct PageParams {
    /// Items a page, 1 to 1000; 20 if not given or 0.
    #[param(minimum = 0, maximum = 1000)]
    limit: Option<i64>,
    /// Items to pass over.
    #[param(minimum = 0, maximum = 1_000_000_000)]
    offset: Option<i64>,
}

/// Reads the page that is asked for; what is wrong is noted.
pub(super) fn read(reader: &mut Reader<'_>) -> Page {
    let or_empty = |parse: fn(&str) -> Result<i64, Code>| {
        move |text: &str| if text.trim().is_empty() { Ok(0) } else { parse(text) }
    };
    // Ruby's default list calls send limit=0.
    let limit =
        reader.optional(&["limit"], or_empty(|text| integer(0, LIMIT_MAX)(text))).filter(|limit| *limit > 0);
    let offset = reader.optional(&["offset"], or_empty(|text| integer(0, OFFSET_MAX)(text)));
    Page { limit: limit.unwrap_or(LIMIT_DEFAULT), offset: offset.unwrap_or(0) }
}

/// Reads the page of a list without filters.
pub(super) fn of(query: &Attributes) -> Result<Page, Refusal> {
    let mut reader = query.reader();
    let page = read(&mut reader);
    reader.finish()?;
    Ok(page)
}

/// The envelope.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct List<T> {
    offset: i64,
    limit: i64,
    count: usize,
    total_count: i64,
    links: Links,
    items: Vec<T>,
}

/// Absolute URLs, `null` where there is no such page; all four for an empty list.
#[derive(Serialize, ToSchema)]
struct Links {
    #[schema(required = true)]
    first: Option<String>,
    #[schema(required = true)]
    previous: Option<String>,
    #[schema(required = true)]
    next: Option<String>,
    #[schema(required = true)]
    last: Option<String>,
}

/// Puts a page of items into the envelope. `filters` are carried along in the links, in the given order; nothing else of
/// the query is, so that a key in it never is.
pub(super) fn envelope<T, U>(
    origin: &Origin,
    path: &str,
    filters: &[(&str, &str)],
    page: Page,
    listing: Listing<T>,
    item: impl Fn(T) -> U,
) -> List<U> {
    let Page { limit, offset } = page;
    let total = listing.total;
    let link = |offset: i64| {
        let mut target = format!("{path}?offset={offset}&limit={limit}");
        for (name, value) in filters {
            let value = form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>();
            // Writing to a string does not fail.
            let _ = write!(target, "&{name}={value}");
        }
        origin.link(target)
    };
    let last = (total - 1).max(0) / limit * limit;
    let some = |there: bool, offset: i64| (there && total > 0).then(|| link(offset));
    let links = Links {
        first: some(true, 0),
        previous: some(offset > 0, (offset - limit).clamp(0, last)),
        next: some(offset.saturating_add(limit) < total, offset.saturating_add(limit)),
        last: some(true, last),
    };
    let items: Vec<U> = listing.items.into_iter().map(item).collect();
    List { offset, limit, count: items.len(), total_count: total, links, items }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn links(limit: i64, offset: i64, total: i64) -> [Option<String>; 4] {
        let origin = Origin::new(None, "https", "rest.example", "");
        let listing = Listing { items: Vec::<i64>::new(), total };
        let Links { first, previous, next, last } =
            envelope(&origin, "/x", &[("name", "a b&c")], Page { limit, offset }, listing, |i| i).links;
        [first, previous, next, last].map(|link| {
            link.map(|link| link.replace("https://rest.example/x?offset=", "").replace("&name=a+b%26c", ""))
        })
    }

    fn some(texts: [&str; 4]) -> [Option<String>; 4] {
        texts.map(|text| (!text.is_empty()).then(|| text.to_owned()))
    }

    #[test]
    fn links_lead_to_pages_that_exist() {
        assert_eq!(links(20, 0, 0), some(["", "", "", ""]));
        assert_eq!(links(20, 0, 20), some(["0&limit=20", "", "", "0&limit=20"]));
        assert_eq!(links(20, 20, 45), some(["0&limit=20", "0&limit=20", "40&limit=20", "40&limit=20"]));
        assert_eq!(links(20, 100, 45), some(["0&limit=20", "40&limit=20", "", "40&limit=20"]));
        assert_eq!(links(20, 7, 45), some(["0&limit=20", "0&limit=20", "27&limit=20", "40&limit=20"]));
    }

    proptest! {
        #[test]
        fn following_next_meets_every_item_once(limit in 1i64..50, total in 0i64..300) {
            let (mut offset, mut seen) = (0, 0);
            loop {
                seen += limit.min(total - offset).max(0);
                match &links(limit, offset, total)[2] {
                    Some(next) => offset = next.split('&').next().unwrap().parse().unwrap(),
                    None => break,
                }
            }
            prop_assert_eq!(seen, total);
        }
    }
}
