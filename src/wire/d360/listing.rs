//! Lists as the hub answers them (docs/spec/30-360-partner.md section 1.2): filters, order and stretch in all the shapes
//! that clients send, and the envelope.

use super::json::Json;
use crate::core::{Code, Error, Violation};
use crate::wire::attributes::pairs;
use crate::wire::refusal::Refusal;
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde_json::{Map, Value, json};
use std::cmp::Ordering;
use std::convert::Infallible;

/// Default and largest number of objects in one answer.
const LIMIT_MAX: usize = 1_000;

/// Most values of which one is to be there.
const ANY_MAX: usize = 100;
/// So many objects are rendered and sorted where they are asked for; more, on a thread of their own.
const AT_ONCE_MAX: usize = 50;

/// The query of a request, still to be read.
pub(super) struct Asked(String);

impl<S: Sync> FromRequestParts<S> for Asked {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Asked(parts.uri.query().unwrap_or_default().to_owned()))
    }
}

/// What a list is asked for.
#[derive(Debug)]
pub(super) struct Listing {
    limit: usize,
    offset: usize,
    sort: Vec<String>,
    /// As they are echoed.
    filters: Map<String, Value>,
    /// Dotted paths and what is expected there.
    wanted: Vec<(String, Value)>,
}

/// What a collection can be asked by.
pub(super) struct Known {
    /// Keys of filters, dotted.
    pub filters: &'static [&'static str],
    /// Beginnings of keys whose members are all known.
    pub below: &'static [&'static str],
}

impl Known {
    fn has(&self, key: &str) -> bool {
        self.filters.contains(&key) || self.below.iter().any(|root| key.starts_with(root))
    }
}

impl Asked {
    /// Reads the query against what the collection knows.
    pub(super) fn read(&self, known: &Known) -> Result<Listing, Refusal> {
        let given = pairs(self.0.as_bytes());
        let given = |name: &str| {
            let found = given.iter().rev().find(|(known, _)| known == name);
            found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
        };
        let mut violations = Vec::new();
        let mut number = |name: &'static str, default: usize| match given(name).map(str::parse::<u32>) {
            None => default,
            Some(Ok(number)) => usize::try_from(number).unwrap_or(usize::MAX),
            Some(Err(_)) => {
                violations.push(Violation::new(name, Code::OutOfRange(0, u32::MAX.into())));
                default
            }
        };
        let limit = number("limit", LIMIT_MAX).min(LIMIT_MAX);
        let offset = number("offset", 0);
        if !violations.is_empty() {
            return Err(Error::Invalid(violations).into());
        }
        let mut sort: Vec<String> = Vec::new();
        for key in given("sort").into_iter().flat_map(|keys| keys.split(',')).map(str::trim) {
            let name = key.strip_prefix('-').unwrap_or(key);
            if key.is_empty() {
                continue;
            }
            if !known.has(name) {
                return Err(Refusal::Malformed("sort has a key that this list does not know"));
            }
            sort.push(key.to_owned());
        }
        if sort.is_empty() {
            sort.push("id".to_owned());
        }
        let filters = given("filters").map_or_else(|| Ok(Map::new()), object)?;
        let mut wanted = Vec::new();
        flatten("", &filters, &mut wanted);
        if wanted.iter().any(|(_, value)| value.as_array().is_some_and(|any| any.len() > ANY_MAX)) {
            return Err(Refusal::Malformed("filters has a list of more than 100 values"));
        }
        if wanted.iter().any(|(key, _)| !known.has(key)) {
            return Err(Refusal::Malformed("filters has a key that this list does not know"));
        }
        Ok(Listing { limit, offset, sort, filters, wanted })
    }
}

/// JSON, or what Python prints of the same.
fn object(text: &str) -> Result<Map<String, Value>, Refusal> {
    let read = |text: &str| match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    };
    let as_python = || {
        let swapped = text.replace('\'', "\"");
        let words =
            swapped.replace(": None", ": null").replace(": True", ": true").replace(": False", ": false");
        read(&words)
    };
    read(text).or_else(as_python).ok_or(Refusal::Malformed("filters is not a JSON object"))
}

fn flatten(root: &str, object: &Map<String, Value>, into: &mut Vec<(String, Value)>) {
    for (key, value) in object {
        let path = if root.is_empty() { key.clone() } else { format!("{root}.{key}") };
        match value {
            Value::Object(inner) => flatten(&path, inner, into),
            _ => into.push((path, value.clone())),
        }
    }
}

/// What stands at a dotted path; `null` where there is nothing.
fn at<'a>(object: &'a Value, path: &str) -> &'a Value {
    let path = path.strip_prefix("business_templates.").unwrap_or(path);
    path.split('.').try_fold(object, |object, key| object.get(key)).unwrap_or(&Value::Null)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Whether a value is what is expected: equal, one of a list, or nothing. Addresses are the same in any case.
fn is(path: &str, found: &Value, wanted: &Value) -> bool {
    match wanted {
        Value::Array(any) => any.iter().any(|one| is(path, found, one)),
        Value::Null => found.is_null(),
        _ if found.is_null() => false,
        _ if path.ends_with("email") => text(found).eq_ignore_ascii_case(&text(wanted)),
        _ if path.ends_with("phone_number") => text(found) == text(wanted).trim_start_matches('+'),
        _ => text(found) == text(wanted),
    }
}

/// Where free text is looked for.
const SEARCHED: [&str; 6] =
    ["id", "external_id", "client.name", "client.id", "setup_info.phone_name", "setup_info.phone_number"];

impl Listing {
    /// The value of a filter that asks for equality.
    pub(super) fn exactly(&self, key: &str) -> Option<&str> {
        self.wanted.iter().find(|(path, _)| path == key).and_then(|(_, value)| value.as_str())
    }

    fn fits(&self, object: &Value) -> bool {
        self.wanted.iter().all(|(path, wanted)| match path.as_str() {
            "q" => {
                let wanted = text(wanted).to_lowercase();
                SEARCHED.iter().any(|path| text(at(object, path)).to_lowercase().contains(&wanted))
            }
            _ => is(path, at(object, path), wanted),
        })
    }

    fn order(&self, one: &Value, other: &Value) -> Ordering {
        for key in &self.sort {
            let path = key.strip_prefix('-').unwrap_or(key);
            let by = compare(at(one, path), at(other, path));
            let by = if key.starts_with('-') { by.reverse() } else { by };
            if by != Ordering::Equal {
                return by;
            }
        }
        compare(at(one, "id"), at(other, "id"))
    }

    /// The envelope around the objects that are asked for of those that were found.
    pub(super) async fn envelope<T: Send + 'static>(
        self,
        collection: &'static str,
        found: Vec<T>,
        render: impl Fn(&T) -> Value + Send + 'static,
    ) -> Result<Json<Value>, Refusal> {
        let is_small = found.len() <= AT_ONCE_MAX;
        let work = move || self.whole(collection, found.iter().map(render));
        if is_small {
            return Ok(work());
        }
        tokio::task::spawn_blocking(work).await.map_err(|_| Refusal::bug("a list could not be rendered"))
    }

    fn whole(self, collection: &'static str, objects: impl Iterator<Item = Value>) -> Json<Value> {
        let mut objects: Vec<Value> = objects.filter(|object| self.fits(object)).collect();
        objects.sort_by(|one, other| self.order(one, other));
        let total = objects.len();
        let page: Vec<Value> = objects.into_iter().skip(self.offset).take(self.limit).collect();
        let mut envelope = json!({"count": page.len(), "filters": self.filters, "limit": self.limit,
            "offset": self.offset, "sort": self.sort, "total": total});
        envelope[collection] = Value::Array(page);
        Json(StatusCode::OK, sorted(envelope))
    }
}

/// What an id leads to, as a list.
pub(super) fn one<T>(found: crate::core::Result<T>) -> Result<Vec<T>, Refusal> {
    match found {
        Ok(found) => Ok(vec![found]),
        Err(Error::NotFound(_)) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Nothing first, then numbers by value, then texts by their bytes.
fn compare(one: &Value, other: &Value) -> Ordering {
    match (one, other) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Less,
        (_, Value::Null) => Ordering::Greater,
        (Value::Number(a), Value::Number(b)) => a.as_i64().cmp(&b.as_i64()),
        _ => text(one).cmp(&text(other)),
    }
}

/// The same with the keys of every object in order.
pub(super) fn sorted(value: Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        Value::Object(object) => {
            let mut members: Vec<(String, Value)> = object.into_iter().collect();
            members.sort_by(|(one, _), (other, _)| one.cmp(other));
            Value::Object(members.into_iter().map(|(key, value)| (key, sorted(value))).collect())
        }
        scalar => scalar,
    }
}
