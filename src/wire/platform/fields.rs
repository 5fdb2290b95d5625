//! The body of a request: one JSON object, whose members have one type each. All broken rules are reported together; a
//! member that is not known is refused, so that a misspelt one is not passed over.

use crate::core::{Code, Violation};
use crate::wire::refusal::Refusal;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use serde_json::{Map, Value};

/// The members of a body that were not read yet, and what was wrong with those that were.
pub(super) struct Fields {
    members: Map<String, Value>,
    wrong: Vec<Violation>,
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.unwrap_or("application/json").to_ascii_lowercase();
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|_| Refusal::Malformed("the body broke off"))?;
        let members = if bytes.is_empty() {
            Map::new()
        } else if kind.split(';').next().map(str::trim) == Some("application/json") {
            match serde_json::from_slice(&bytes) {
                Ok(Value::Object(members)) => members,
                Ok(_) => return Err(Refusal::Malformed("the body is no JSON object")),
                Err(_) => return Err(Refusal::Malformed("the body is no JSON")),
            }
        } else {
            return Err(Refusal::Malformed("the body's type is not application/json"));
        };
        Ok(Fields { members, wrong: Vec::new() })
    }
}

/// A text that a database can hold.
pub(super) fn plain(text: &str, most: usize) -> Result<String, Code> {
    if text.contains('\0') {
        Err(Code::Invalid)
    } else if text.chars().count() > most {
        Err(Code::TooLong(most))
    } else {
        Ok(text.to_owned())
    }
}

impl Fields {
    fn read<T>(&mut self, name: &'static str, check: impl FnOnce(&Value) -> Result<T, Code>) -> Option<T> {
        let value = self.members.remove(name)?;
        match check(&value) {
            Ok(read) => Some(read),
            Err(code) => {
                self.wrong.push(Violation::new(name, code));
                None
            }
        }
    }

    /// Insists on a member that was read.
    pub(super) fn required<T>(&mut self, name: &'static str, read: Option<T>) -> Option<T> {
        let said = self.wrong.iter().any(|violation| violation.field == name);
        if read.is_none() && !said {
            self.wrong.push(Violation::new(name, Code::Required));
        }
        read
    }

    /// Notes a rule that is about several members, or about one that was read well.
    pub(super) fn refuse(&mut self, name: &'static str, code: Code) {
        self.wrong.push(Violation::new(name, code));
    }

    /// A text.
    pub(super) fn text<T>(
        &mut self,
        name: &'static str,
        check: impl FnOnce(&str) -> Result<T, Code>,
    ) -> Option<T> {
        self.read(name, |value| {
            let text = value.as_str().filter(|text| !text.contains('\0')).ok_or(Code::Invalid)?;
            check(text)
        })
    }

    /// A text or null, which takes the value away.
    #[expect(clippy::option_option, reason = "not given, null, and a value are three things")]
    pub(super) fn clearable<T>(
        &mut self,
        name: &'static str,
        check: impl FnOnce(&str) -> Result<T, Code>,
    ) -> Option<Option<T>> {
        self.read(name, |value| {
            if value.is_null() {
                return Ok(None);
            }
            let text = value.as_str().filter(|text| !text.contains('\0')).ok_or(Code::Invalid)?;
            check(text).map(Some)
        })
    }

    /// An integer within bounds.
    pub(super) fn integer(&mut self, name: &'static str, low: i64, high: i64) -> Option<i64> {
        self.read(name, |value| bounded(value, low, high))
    }

    /// An integer within bounds, or null.
    #[expect(clippy::option_option, reason = "not given, null, and a value are three things")]
    pub(super) fn clearable_integer(
        &mut self,
        name: &'static str,
        low: i64,
        high: i64,
    ) -> Option<Option<i64>> {
        self.read(name, |value| if value.is_null() { Ok(None) } else { bounded(value, low, high).map(Some) })
    }

    /// Yes or no.
    pub(super) fn flag(&mut self, name: &'static str) -> Option<bool> {
        self.read(name, |value| value.as_bool().ok_or(Code::NotBool))
    }

    /// Several texts, each checked, or null.
    #[expect(clippy::option_option, reason = "not given, null, and a value are three things")]
    pub(super) fn clearable_list<T>(
        &mut self,
        name: &'static str,
        most: usize,
        check: impl Fn(&str) -> Result<T, Code>,
    ) -> Option<Option<Vec<T>>> {
        if self.members.get(name).is_some_and(Value::is_null) {
            self.members.remove(name);
            return Some(None);
        }
        let before = self.wrong.len();
        let read = self.list(name, most, check);
        if self.wrong.len() > before { None } else { read.map(Some) }
    }

    /// Several texts, each checked.
    pub(super) fn list<T>(
        &mut self,
        name: &'static str,
        most: usize,
        check: impl Fn(&str) -> Result<T, Code>,
    ) -> Option<Vec<T>> {
        self.read(name, |value| {
            let items = value.as_array().ok_or(Code::Invalid)?;
            if items.len() > most {
                return Err(Code::TooMany(most));
            }
            items.iter().map(|item| check(item.as_str().ok_or(Code::Invalid)?)).collect()
        })
    }

    /// Nothing else may be there, and nothing may be wrong.
    pub(super) fn finish(self) -> Result<(), Refusal> {
        if !self.members.is_empty() {
            return Err(Refusal::Malformed("the body has a member that is not known here"));
        }
        if self.wrong.is_empty() { Ok(()) } else { Err(crate::core::Error::Invalid(self.wrong).into()) }
    }
}

fn bounded(value: &Value, low: i64, high: i64) -> Result<i64, Code> {
    // A number such as 5.0 is an integer to JSON Schema.
    let whole = value.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < 9e15);
    let read = value.as_i64().or_else(|| whole.and_then(|number| format!("{number:.0}").parse().ok()));
    let number = read.ok_or(if value.is_number() { Code::OutOfRange(low, high) } else { Code::Invalid })?;
    if (low..=high).contains(&number) { Ok(number) } else { Err(Code::OutOfRange(low, high)) }
}
