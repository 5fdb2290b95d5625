//! Bodies as clients send them to the hub (docs/spec/30-360-partner.md section 1): JSON objects, forms where they are flat,
//! or nothing, with any content type.

use crate::core::{Code, Error, Violation};
use crate::wire::attributes::pairs;
use crate::wire::refusal::Refusal;
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_ENCODING;
use serde_json::{Map, Value};

/// The members of a body, and what is wrong with them.
#[derive(Debug)]
pub(super) struct Fields {
    object: Map<String, Value>,
    violations: Vec<Violation>,
}

impl<S: Sync> FromRequest<S> for Fields {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        if parts.headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
            return Err(Refusal::Malformed("Content-Encoding is not supported, send the body as it is"));
        }
        // The service has buffered the body, within its limit and time.
        let bytes =
            axum::body::to_bytes(body, usize::MAX).await.map_err(|_| Refusal::bug("an unbuffered body"))?;
        let text = std::str::from_utf8(&bytes).map_err(|_| Refusal::Malformed("the body is not UTF-8"))?;
        Fields::read(text.trim_start_matches('\u{feff}').trim())
    }
}

impl Fields {
    fn read(text: &str) -> Result<Self, Refusal> {
        let object = if text.is_empty() {
            Map::new()
        } else if text.starts_with(['{', '[', '"']) || !text.contains('=') {
            match serde_json::from_str(text) {
                Ok(Value::Object(object)) => object,
                Ok(Value::Null) => Map::new(),
                Ok(_) => return Err(Refusal::Malformed("the body is not a JSON object")),
                Err(_) => return Err(Refusal::Malformed("the body is not valid JSON")),
            }
        } else {
            pairs(text.as_bytes()).into_iter().map(|(name, value)| (name, Value::String(value))).collect()
        };
        Ok(Fields { object, violations: Vec::new() })
    }

    /// Notes a violation.
    pub(super) fn reject(&mut self, field: &'static str, code: Code) {
        self.violations.push(Violation::new(field, code));
    }

    /// What stands under a name; `null` counts as absent.
    pub(super) fn any(&self, name: &str) -> Option<&Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    /// A text, which may be a whole number where ids are meant.
    pub(super) fn text<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, Code>,
    ) -> Option<T> {
        let text = match self.any(name)? {
            Value::String(text) => text.clone(),
            Value::Number(number) if number.is_i64() || number.is_u64() => number.to_string(),
            _ => {
                self.reject(name, Code::Invalid);
                return None;
            }
        };
        let parsed = if text.contains('\0') { Err(Code::Invalid) } else { parse(&text) };
        parsed.map_err(|code| self.reject(name, code)).ok()
    }

    /// The same, but noted as missing if it is absent.
    pub(super) fn required<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, Code>,
    ) -> Option<T> {
        if self.any(name).is_none() {
            self.reject(name, Code::Required);
            return None;
        }
        self.text(name, parse)
    }

    /// A whole number within bounds; in a form, its digits.
    pub(super) fn integer(&mut self, name: &'static str, low: i64, high: i64) -> Option<i64> {
        let number = match self.any(name)? {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let number = number.filter(|number| (low..=high).contains(number));
        if number.is_none() {
            self.reject(name, Code::OutOfRange(low, high));
        }
        number
    }

    /// `true` or `false`; in a form, the words.
    pub(super) fn bool(&mut self, name: &'static str) -> Option<bool> {
        let bool = match self.any(name)? {
            Value::Bool(bool) => Some(*bool),
            Value::String(text) if text == "true" => Some(true),
            Value::String(text) if text == "false" => Some(false),
            _ => None,
        };
        if bool.is_none() {
            self.reject(name, Code::NotBool);
        }
        bool
    }

    /// Headers, as they are stored: lines of name and value.
    pub(super) fn headers(&mut self, name: &'static str) -> Option<String> {
        let Value::Object(headers) = self.any(name)?.clone() else {
            self.reject(name, Code::Invalid);
            return None;
        };
        let mut lines = String::new();
        for (header, value) in &headers {
            let known = header.parse::<axum::http::HeaderName>().ok();
            let fits = known.is_some_and(|known| !FORBIDDEN.contains(&known.as_str()));
            let value = value.as_str().filter(|value| {
                value.bytes().all(|byte| (32..127).contains(&byte)) && value.trim() == *value
            });
            let Some(value) = value.filter(|_| fits) else {
                self.reject(name, Code::Invalid);
                return None;
            };
            lines.extend([header.as_str(), ": ", value, "\n"]);
        }
        if headers.len() > HEADERS_MAX || lines.len() > HEADERS_BYTES {
            self.reject(name, Code::TooMany(HEADERS_MAX));
            return None;
        }
        Some(lines)
    }

    /// Everything that is wrong, if anything is.
    pub(super) fn finish(self) -> Result<(), Refusal> {
        if self.violations.is_empty() { Ok(()) } else { Err(Error::Invalid(self.violations).into()) }
    }
}

/// Most headers that go with one URL's calls, and their bytes.
const HEADERS_MAX: usize = 20;
const HEADERS_BYTES: usize = 4_096;
/// Those that the way out sets itself.
const FORBIDDEN: [&str; 8] = [
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "x-360dialog-signature",
];

/// Any text up to a length in characters, not blank.
pub(super) fn filled(max: usize) -> impl Fn(&str) -> Result<String, Code> {
    move |text| {
        if text.trim().is_empty() {
            Err(Code::Blank)
        } else if text.chars().count() > max {
            Err(Code::TooLong(max))
        } else {
            Ok(text.to_owned())
        }
    }
}
