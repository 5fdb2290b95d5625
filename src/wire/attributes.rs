//! The attributes of a request, wherever they came: one reader for JSON, form and multipart bodies and for the query.
//!
//! docs/spec/00-overview.md section 3: the body wins over the query, a JSON `null` counts as absent, numbers may be
//! strings and strings numbers, arrays come in four shapes, and a missing or wrong `Content-Type` is made good by looking
//! at the first byte.

use super::refusal::Refusal;
use crate::core::{Code, Error, Violation};
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use serde_json::{Map, Number, Value};
use std::borrow::Cow;

/// Most attributes of one request: a form of many tiny fields must not cost more than a large one.
const ATTRIBUTES_MAX: usize = 1_000;

/// What a request says.
#[derive(Debug, Default)]
pub struct Attributes {
    body: Body,
    query: Vec<(String, String)>,
}

#[derive(Debug, Default)]
enum Body {
    #[default]
    None,
    Object(Map<String, Value>),
    List(Vec<Value>),
    Form(Vec<(String, String)>),
}

/// What was given under one name.
#[derive(Debug, PartialEq)]
enum Given<'a> {
    Text(Cow<'a, str>),
    Texts(Vec<Cow<'a, str>>),
    Bool(bool),
    /// An object, or a list with something in it that is no scalar.
    Odd,
}

/// The pairs of a query or a form.
pub fn pairs(text: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(text).take(ATTRIBUTES_MAX).map(|(n, v)| (n.into_owned(), v.into_owned())).collect()
}

impl Attributes {
    /// Only what the query says: for reads, whose bodies are ignored.
    pub fn of_query(query: Option<&str>) -> Self {
        Attributes { body: Body::None, query: pairs(query.unwrap_or_default().as_bytes()) }
    }

    async fn read(headers: &HeaderMap, query: Option<&str>, bytes: Bytes) -> Result<Self, Refusal> {
        let mut attributes = Self::of_query(query);
        let kind = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        if let Some(encoding) = headers.get(CONTENT_ENCODING)
            && encoding != "identity"
        {
            return Err(Refusal::Malformed("Content-Encoding is not supported, send the body as it is"));
        }
        if let Ok(boundary) = multer::parse_boundary(kind) {
            attributes.body = Body::Form(multipart(boundary, bytes).await?);
            return Ok(attributes);
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| Refusal::Malformed("the body is not UTF-8"))?;
        let text = text.trim_start_matches('\u{feff}').trim();
        let json = kind.to_ascii_lowercase().contains("json");
        attributes.body = if text.is_empty() {
            Body::None
        } else if text.starts_with(['{', '[']) || (json && !looks_like_form(text)) {
            match serde_json::from_str(text) {
                Ok(Value::Object(object)) => Body::Object(object),
                Ok(Value::Array(list)) => Body::List(list),
                Ok(Value::Null) => Body::None,
                Ok(_) => return Err(Refusal::Malformed("the body is not a JSON object")),
                Err(_) => return Err(Refusal::Malformed("the body is not valid JSON")),
            }
        } else {
            Body::Form(pairs(text.as_bytes()))
        };
        Ok(attributes)
    }

    /// Without what the query says, for products whose attributes stand in bodies only.
    pub fn body_only(mut self) -> Self {
        self.query.clear();
        self
    }

    /// The objects of a JSON array, each with the attributes that it holds itself; `None` in place of one that is no
    /// object, and nothing at all if there is no such array.
    pub fn into_objects(self, name: &str) -> Vec<Option<Attributes>> {
        let Body::Object(mut object) = self.body else { return Vec::new() };
        let Some(Value::Array(list)) = object.remove(name) else { return Vec::new() };
        let one = |value| match value {
            Value::Object(object) => Some(Attributes { body: Body::Object(object), query: Vec::new() }),
            _ => None,
        };
        list.into_iter().map(one).collect()
    }

    /// Whether nothing was given at all.
    pub fn is_empty(&self) -> bool {
        matches!(self.body, Body::None) && self.query.is_empty()
    }

    /// The objects of a JSON array, which is the body or stands in it at a path; else the request itself.
    pub fn into_records(mut self, list: Option<&str>) -> Vec<Attributes> {
        let inner = match (&mut self.body, list) {
            (Body::List(values), _) => Some(std::mem::take(values)),
            (Body::Object(object), Some(path)) => {
                let (outer, inner) = path.split_once('.').unwrap_or((path, ""));
                let value = object.get_mut(outer).and_then(|value| value.pointer_mut(&pointer(inner)));
                value.and_then(Value::as_array_mut).map(std::mem::take)
            }
            _ => None,
        };
        let Some(values) = inner else { return vec![self] };
        let objects = values.into_iter().filter_map(|value| match value {
            Value::Object(object) => Some(Attributes { body: Body::Object(object), query: Vec::new() }),
            _ => None,
        });
        objects.collect()
    }

    /// The text, number or truth under a name or at a path of any depth, such as `results.0.status`; of several the last.
    pub fn scalar(&self, path: &str) -> Option<String> {
        let deep = match (&self.body, path.split_once('.')) {
            (Body::Object(object), Some((outer, inner))) if !object.contains_key(path) => {
                object.get(outer).and_then(|value| value.pointer(&pointer(inner))).and_then(given_by_json)
            }
            (Body::Object(object), _) => object.get(path).and_then(given_by_json),
            _ => None,
        };
        let text = match deep.or_else(|| self.given(path))? {
            Given::Text(text) => text.into_owned(),
            Given::Texts(mut texts) => texts.pop()?.into_owned(),
            Given::Bool(truth) => truth.to_string(),
            Given::Odd => return None,
        };
        // A NUL can stand in no text that is stored.
        if text.contains('\0') { None } else { Some(text) }
    }

    /// Begins to read, collecting everything that is wrong.
    pub fn reader(&self) -> Reader<'_> {
        Reader { attributes: self, violations: Vec::new() }
    }

    /// Whether something other than `null` was given under this name.
    pub fn has(&self, name: &str) -> bool {
        self.given(name).is_some()
    }

    /// What was given under a name, which may be `outer.inner`: by the body, else by the query.
    fn given(&self, name: &str) -> Option<Given<'_>> {
        let in_body = match &self.body {
            Body::None | Body::List(_) => None,
            Body::Object(object) => member(object, name).and_then(given_by_json),
            Body::Form(pairs) => given_by_pairs(pairs, name),
        };
        in_body.or_else(|| given_by_pairs(&self.query, name))
    }
}

/// A path such as `results.0.status` in the form of RFC 6901.
fn pointer(path: &str) -> String {
    let steps = path.split('.').filter(|step| !step.is_empty());
    steps.flat_map(|step| ["/".to_owned(), step.replace('~', "~0").replace('/', "~1")]).collect()
}

/// `a=1&b=2` under a JSON content type: several clients set that header on everything.
fn looks_like_form(text: &str) -> bool {
    text.contains('=') && !text.starts_with('"')
}

fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    match name.split_once('.') {
        Some((outer, inner)) => object.get(outer)?.as_object()?.get(inner),
        None => object.get(name),
    }
}

fn given_by_json(value: &Value) -> Option<Given<'_>> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(bool) => Given::Bool(*bool),
        Value::String(text) => Given::Text(text.into()),
        Value::Number(number) => Given::Text(digits(number).into()),
        Value::Array(list) => scalars(list).map_or(Given::Odd, Given::Texts),
        Value::Object(_) => Given::Odd,
    })
}

/// A number as a person would write it: `3.1655500123e10` and `31655500123.0` are whole numbers.
fn digits(number: &Number) -> String {
    match number.as_f64() {
        Some(value) if number.is_f64() && value.fract() == 0.0 => format!("{value:.0}"),
        _ => number.to_string(),
    }
}

fn scalars(list: &[Value]) -> Option<Vec<Cow<'_, str>>> {
    list.iter()
        .map(|value| match value {
            Value::String(text) => Some(text.into()),
            // A fraction's dot would pass for a separator where digits are read.
            Value::Number(number) if number.as_f64().is_none_or(|n| n.fract() == 0.0) => {
                Some(digits(number).into())
            }
            _ => None,
        })
        .collect()
}

/// `name`, `name[]`, `name[0]`, and `outer[inner]` for `outer.inner`. One value is a text, several or a bracketed one are
/// a list.
fn given_by_pairs<'a>(pairs: &'a [(String, String)], name: &str) -> Option<Given<'a>> {
    let nested = name.split_once('.');
    let mut values: Vec<Cow<'a, str>> = Vec::new();
    let mut is_list = false;
    for (key, value) in pairs {
        let bare = key == name;
        let bracket = match nested {
            Some((outer, inner)) => {
                let inside = key
                    .strip_prefix(outer)
                    .and_then(|k| k.strip_prefix('['))
                    .and_then(|k| k.strip_suffix(']'));
                if inside == Some(inner) {
                    values.push(value.into());
                }
                false
            }
            None => key.strip_prefix(name).is_some_and(|rest| {
                let inside = rest.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
                inside.is_some_and(|index| index.bytes().all(|b| b.is_ascii_digit()))
            }),
        };
        if bare || bracket {
            values.push(value.into());
            is_list |= bracket;
        }
    }
    match values.len() {
        0 => None,
        1 if !is_list => values.pop().map(Given::Text),
        _ => Some(Given::Texts(values)),
    }
}

async fn multipart(boundary: String, bytes: Bytes) -> Result<Vec<(String, String)>, Refusal> {
    const BROKEN: Refusal = Refusal::Malformed("the multipart body is broken");
    let body = futures_util::stream::once(async move { Ok::<_, std::convert::Infallible>(bytes) });
    let mut parts = multer::Multipart::new(body, boundary);
    let mut pairs = Vec::new();
    while let Some(field) = parts.next_field().await.map_err(|_| BROKEN)? {
        let name = field.name().map(str::to_owned);
        let text = field.bytes().await.map_err(|_| BROKEN)?;
        let text =
            String::from_utf8(text.into()).map_err(|_| Refusal::Malformed("a part is not UTF-8 text"))?;
        if let Some(name) = name
            && pairs.len() < ATTRIBUTES_MAX
        {
            pairs.push((name, text));
        }
    }
    Ok(pairs)
}

impl<S: Send + Sync> FromRequest<S> for Attributes {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        if super::Context::of(&parts)?.sent == Method::GET {
            return Ok(Self::of_query(parts.uri.query()));
        }
        // The service has buffered the body, within its limit and time.
        let bytes =
            axum::body::to_bytes(body, usize::MAX).await.map_err(|_| Refusal::bug("an unbuffered body"))?;
        Self::read(&parts.headers, parts.uri.query(), bytes).await
    }
}

/// The attributes of the query alone.
#[derive(Debug)]
pub struct Query(pub Attributes);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Ok(Query(Attributes::of_query(parts.uri.query())))
    }
}

/// Reads attributes one by one and remembers everything that is wrong with them.
pub struct Reader<'a> {
    attributes: &'a Attributes,
    violations: Vec<Violation>,
}

impl Reader<'_> {
    /// Whether nothing was wrong so far.
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    /// Notes a violation.
    pub fn reject(&mut self, field: &'static str, code: Code) {
        self.violations.push(Violation::new(field, code));
    }

    /// One value under the first of several names that is given. `None` if absent, or noted as wrong. Violations name the
    /// first name.
    pub fn optional<T>(
        &mut self,
        names: &[&'static str],
        parse: impl Fn(&str) -> Result<T, Code>,
    ) -> Option<T> {
        let field = names[0];
        let read = match names.iter().find_map(|name| self.attributes.given(name))? {
            Given::Text(text) => parse_text(&text, parse),
            Given::Bool(bool) => parse(if bool { "true" } else { "false" }),
            // Repeated scalars: the last one counts, as for the forms of most frameworks.
            Given::Texts(texts) => texts.last().map_or(Err(Code::Invalid), |text| parse_text(text, parse)),
            Given::Odd => Err(Code::Invalid),
        };
        read.map_err(|code| self.reject(field, code)).ok()
    }

    /// The same, but noted as missing if it is absent.
    pub fn required<T>(
        &mut self,
        names: &[&'static str],
        parse: impl Fn(&str) -> Result<T, Code>,
    ) -> Option<T> {
        let before = self.violations.len();
        let value = self.optional(names, parse);
        if value.is_none() && self.violations.len() == before {
            self.reject(names[0], Code::Required);
        }
        value
    }

    /// Refuses a JSON number with a fraction: where digits are read, its dot would pass for a separator.
    pub fn whole(&mut self, name: &'static str) {
        if let Body::Object(object) = &self.attributes.body
            && let Some(Value::Number(number)) = object.get(name)
            && number.is_f64()
            && number.as_f64().is_none_or(|value| value.fract() != 0.0)
        {
            self.reject(name, Code::Invalid);
        }
    }

    /// A list: a JSON array, repeated names, bracketed names, or one text with commas. A body that is an array itself
    /// counts if `is_body`.
    pub fn list(&mut self, name: &'static str, is_body: bool) -> Option<Vec<String>> {
        let texts = match (&self.attributes.body, is_body) {
            (Body::List(list), true) => Some(scalars(list).map_or(Given::Odd, Given::Texts)),
            _ => self.attributes.given(name),
        };
        let texts = match texts? {
            Given::Text(text) => vec![text],
            Given::Texts(texts) => texts,
            Given::Bool(_) | Given::Odd => {
                self.reject(name, Code::Invalid);
                return None;
            }
        };
        let split =
            texts.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|text| !text.is_empty());
        Some(split.map(str::to_owned).collect())
    }

    /// A real boolean of JSON, or a word for one in a form or query.
    pub fn bool(&mut self, name: &'static str) -> Option<bool> {
        let from_json = matches!(self.attributes.body, Body::Object(_));
        let read = match self.attributes.given(name)? {
            Given::Bool(bool) => Some(bool),
            Given::Text(text) if !from_json => match text.as_ref() {
                "true" | "1" => Some(true),
                "false" | "0" => Some(false),
                _ => None,
            },
            _ => None,
        };
        if read.is_none() {
            self.reject(name, Code::NotBool);
        }
        read
    }

    /// A text that really is one, not a number or a boolean in JSON.
    pub fn text(&mut self, name: &'static str, check: impl Fn(&str) -> Result<(), Code>) -> Option<String> {
        if let Body::Object(object) = &self.attributes.body
            && object.get(name).is_some_and(|value| !value.is_string() && !value.is_null())
        {
            self.reject(name, Code::Invalid);
            return None;
        }
        self.optional(&[name], |text| check(text).map(|()| text.to_owned()))
    }

    /// Everything that is wrong, if anything is.
    pub fn finish(self) -> Result<(), Refusal> {
        if self.violations.is_empty() { Ok(()) } else { Err(Error::Invalid(self.violations).into()) }
    }
}

/// A NUL can stand in no text that is stored (PostgreSQL refuses it), so it is refused for all.
fn parse_text<T>(text: &str, parse: impl Fn(&str) -> Result<T, Code>) -> Result<T, Code> {
    if text.contains('\0') { Err(Code::Invalid) } else { parse(text) }
}

/// Any text up to a length in characters.
pub fn at_most(max: usize) -> impl Fn(&str) -> Result<String, Code> {
    move |text| if text.chars().count() > max { Err(Code::TooLong(max)) } else { Ok(text.to_owned()) }
}

/// An empty text is none.
pub fn filled<T>(parse: impl Fn(&str) -> Result<T, Code>) -> impl Fn(&str) -> Result<Option<T>, Code> {
    move |text| if text.trim().is_empty() { Ok(None) } else { parse(text).map(Some) }
}

/// A whole number within bounds.
pub fn integer(low: i64, high: i64) -> impl Fn(&str) -> Result<i64, Code> {
    move |text| {
        let number = text.trim().parse::<i64>().map_err(|_| Code::Invalid)?;
        if (low..=high).contains(&number) { Ok(number) } else { Err(Code::OutOfRange(low, high)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    async fn attributes(kind: &str, query: &str, body: &str) -> Result<Attributes, Refusal> {
        let mut headers = HeaderMap::new();
        if !kind.is_empty() {
            headers.insert(CONTENT_TYPE, kind.parse().unwrap());
        }
        Attributes::read(&headers, Some(query), body.to_owned().into()).await
    }

    #[expect(clippy::unnecessary_wraps, reason = "the form of a parser")]
    fn as_is(text: &str) -> Result<String, Code> {
        Ok(text.to_owned())
    }

    #[tokio::test]
    async fn a_list_comes_in_every_shape() {
        for (kind, query, body) in [
            ("application/x-www-form-urlencoded", "", "ids[]=a&ids[]=b"),
            ("", "", "ids[]=a&ids[]=b"),
            ("application/json", "", "ids[]=a&ids[]=b"),
            ("", "", "ids=a,b"),
            ("", "", "ids=a&ids=b"),
            ("", "", "ids%5B0%5D=a&ids%5B1%5D=b"),
            ("application/json", "", r#"{"ids":["a","b"]}"#),
            ("text/plain", "", r#"{"ids":"a,b"}"#),
            ("application/json", "ids[]=a&ids[]=b", "{}"),
            ("application/json", "ids=a,b", ""),
            ("application/json", "ids=a,b", "null"),
            ("application/json", "", r#"["a","b"]"#),
            (
                "multipart/form-data; boundary=x",
                "",
                "--x\r\nContent-Disposition: form-data; name=\"ids[]\"\r\n\r\na\r\n--x\r\nContent-Disposition: form-data; name=\"ids[]\"\r\n\r\nb\r\n--x--\r\n",
            ),
        ] {
            let attributes = attributes(kind, query, body).await.unwrap();
            let list = attributes.reader().list("ids", true);
            assert_eq!(list, Some(vec!["a".to_owned(), "b".to_owned()]), "{kind} {query} {body}");
        }
    }

    #[tokio::test]
    async fn the_body_wins_over_the_query_and_null_is_absent() {
        let attributes =
            attributes("", "a=1&b=2", r#"{"a":"x","b":null,"n":7,"customDetails":{"custom1":"c"}}"#)
                .await
                .unwrap();
        let mut reader = attributes.reader();
        assert_eq!(reader.optional(&["a"], as_is).as_deref(), Some("x"));
        assert_eq!(reader.optional(&["b"], as_is).as_deref(), Some("2"));
        assert_eq!(reader.optional(&["n"], as_is).as_deref(), Some("7"));
        assert_eq!(reader.optional(&["custom1", "customDetails.custom1"], as_is).as_deref(), Some("c"));
        assert_eq!(reader.required(&["missing"], as_is), None);
        assert!(
            matches!(reader.finish(), Err(Refusal::Core(Error::Invalid(v))) if v == [Violation::new("missing", Code::Required)])
        );
    }

    #[tokio::test]
    async fn records_are_the_elements_of_a_list_or_the_request() {
        let ids = |attributes: Attributes, list| {
            attributes.into_records(list).iter().map(|it| it.scalar("status.id")).collect::<Vec<_>>()
        };
        let body =
            r#"{"a":{"b":[{"status":{"id":7}},{"status":[]},null,{"status.id":"x"}]},"status":{"id":true}}"#;
        let json = async |body| attributes("", "status[id]=q", body).await.unwrap();
        assert_eq!(ids(json(body).await, Some("a.b")), [Some("7".into()), None, Some("x".into())]);
        assert_eq!(ids(json(body).await, Some("a.c")), [Some("true".into())]);
        assert_eq!(ids(json(r#"[{"status":{"id":"y"}}]"#).await, None), [Some("y".into())]);
        assert_eq!(ids(json("status[id]=1&status[id]=2").await, None), [Some("2".into())]);
        assert_eq!(ids(json("").await, None), [Some("q".into())]);
        let deep = json(r#"{"r":[{"s":{"n":"ok"}}],"nul":"a\u0000"}"#).await;
        assert_eq!(
            (deep.scalar("r.0.s.n"), deep.scalar("r.1.s.n"), deep.scalar("nul")),
            (Some("ok".into()), None, None)
        );
        assert!(attributes("", "", "").await.unwrap().is_empty() && !deep.is_empty());
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_said_to_be() {
        for (kind, body) in [
            ("application/json", "{"),
            ("", "[1,"),
            ("application/json", "\"text\""),
            ("application/json", "7"),
        ] {
            assert!(matches!(attributes(kind, "", body).await, Err(Refusal::Malformed(_))), "{body}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(kind in ".{0,40}", query in ".{0,60}", body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut headers = HeaderMap::new();
            if let Ok(kind) = kind.parse() {
                headers.insert(CONTENT_TYPE, kind);
            }
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            if let Ok(attributes) = runtime.block_on(Attributes::read(&headers, Some(&query), body.into())) {
                let mut reader = attributes.reader();
                let _ = (reader.optional(&["a"], as_is), reader.list("ids", true), reader.bool("b"));
            }
        }
    }
}
