//! Why a request was not done: the domain's errors and those of the transport, on their way to one renderer per vendor.
//!
//! A handler or an extractor returns a [`Refusal`]; it travels in the response's extensions to `wire::Service`, which
//! knows the product and has it rendered in that vendor's shape. So no framework text reaches a client, and a new kind of
//! refusal does not compile until every vendor has decided.

use crate::core::{Error, Violation};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// Why a request was not done.
#[derive(Debug)]
pub enum Refusal {
    /// The domain refused.
    Core(Error),
    /// Elements of a list break rules, each named by its place from 0.
    Elements(Vec<(usize, Violation)>),
    /// No such path.
    NoSuchPath,
    /// The path exists and has other methods.
    MethodNotAllowed {
        /// The methods it has, as the `Allow` header lists them.
        allow: HeaderValue,
    },
    /// The request cannot be read. The text says what is wrong with it, without quoting it.
    Malformed(&'static str),
    /// The body is larger than this many bytes.
    TooLarge(usize),
    /// The body did not arrive in time.
    SlowBody,
}

impl Refusal {
    /// An impossible state of our own: an internal error for the client, a line in the log for us.
    pub fn bug(what: &'static str) -> Self {
        Refusal::Core(Error::Internal(what.to_owned()))
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal::Core(error)
    }
}

impl From<Violation> for Refusal {
    fn from(violation: Violation) -> Self {
        Refusal::Core(violation.into())
    }
}

impl IntoResponse for Refusal {
    /// A placeholder that carries the refusal to the renderer.
    fn into_response(self) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}
