//! Answers as the hub writes them: compact, keys sorted, beyond ASCII escaped, one newline at the end
//! (docs/spec/30-360-partner.md section 1). Structs list their fields in alphabetical order.

use crate::core::idempotency::Answer;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use std::io::{self, Write};

/// An answer with a status.
pub(super) struct Json<T>(pub StatusCode, pub T);

/// The bytes of an answer.
pub(super) fn bytes<T: Serialize>(value: &T) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(512);
    value.serialize(&mut Serializer::with_formatter(&mut bytes, Ascii)).ok()?;
    bytes.push(b'\n');
    Some(bytes)
}

/// An answer that can be kept for repeated requests.
pub(super) fn answer<T: Serialize>(status: StatusCode, value: &T) -> Answer {
    Answer { status: status.as_u16(), body: bytes(value).unwrap_or_default() }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        let Some(bytes) = bytes(&self.1) else {
            return super::super::refusal::Refusal::bug("an answer cannot be written as JSON")
                .into_response();
        };
        (self.0, [(CONTENT_TYPE, "application/json")], bytes).into_response()
    }
}

struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut units = [0u16; 2];
        for c in fragment.chars() {
            if c.is_ascii() {
                writer.write_all(c.encode_utf8(&mut [0; 4]).as_bytes())?;
            } else {
                for unit in c.encode_utf16(&mut units) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}
