//! Errors in 360dialog's shape: one `meta` object (docs/spec/30-360-partner.md section 2). Validation is 400; `details` is
//! an array of strings or absent, since a typed client fails on anything else.

use super::json::{Json, answer};
use crate::core::idempotency::Answer;
use crate::core::{Code, Error, Violation};
use crate::wire::refusal::Refusal;
use crate::wire::{Own, retry_after};
use axum::body::Body;
use axum::http::header::{ALLOW, RETRY_AFTER};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

/// The only top-level member.
#[derive(Serialize, ToSchema)]
pub(crate) struct MetaError {
    meta: Meta,
}

#[derive(Serialize, ToSchema)]
struct Meta {
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Vec<String>>,
    developer_message: String,
    http_code: u16,
    success: bool,
}

/// What was done, where no object is answered (section 2.3).
pub(super) fn done(message: &str) -> Json<MetaError> {
    let meta = Meta { details: None, developer_message: message.to_owned(), http_code: 200, success: true };
    Json(StatusCode::OK, MetaError { meta })
}

/// A refusal with words of its own.
pub(super) fn meta(status: StatusCode, message: &str) -> Answer {
    let success = status.is_success();
    let meta =
        Meta { details: None, developer_message: message.to_owned(), http_code: status.as_u16(), success };
    answer(status, &MetaError { meta })
}

/// Marks an answer that may be a refusal as ours.
pub(super) fn own(mut response: Response<Body>) -> Response<Body> {
    response.extensions_mut().insert(Own);
    response
}

/// Refusals of the token's endpoint, in the form of OAuth 2 (section 3.1).
#[derive(Serialize, ToSchema)]
pub(super) struct TokenError {
    error: &'static str,
    error_description: String,
}

/// A refusal of the token's endpoint.
pub(crate) fn render_token(refusal: &Refusal, request_id: &str) -> Response<Body> {
    // The words are those of the other endpoints; the form is another.
    let meta = render(refusal, request_id);
    let status = meta.status();
    let (error, description) = match refusal {
        Refusal::Core(Error::Unauthenticated) => ("invalid_grant", "Wrong email or password."),
        Refusal::Core(Error::Invalid(_)) => ("invalid_request", "username and password are required."),
        Refusal::Core(Error::Forbidden) => ("unauthorized_client", "Signing in for tokens is switched off."),
        Refusal::Core(Error::Suspended | Error::Held(_)) => ("access_denied", "The account is suspended."),
        Refusal::Core(Error::Limited { .. }) => ("temporarily_unavailable", "Too many tries, wait a while."),
        Refusal::Core(Error::Unavailable(_) | Error::Internal(_)) => {
            ("temporarily_unavailable", "Try again later.")
        }
        Refusal::Core(Error::NotFound(_) | Error::Balance | Error::Cap(_))
        | Refusal::Elements(_)
        | Refusal::NoSuchPath
        | Refusal::MethodNotAllowed { .. }
        | Refusal::Malformed(_)
        | Refusal::TooLarge(_)
        | Refusal::SlowBody => ("invalid_request", "The request cannot be read: send username and password."),
    };
    let body = TokenError { error, error_description: description.to_owned() };
    let mut response = Json(status, body).into_response();
    for name in [RETRY_AFTER, ALLOW] {
        if let Some(value) = meta.headers().get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

/// The `meta` body.
pub(crate) fn render(refusal: &Refusal, request_id: &str) -> Response<Body> {
    let mut details = None;
    let mut header = None;
    let (status, message) = match refusal {
        Refusal::Core(Error::Invalid(violations)) => {
            details = Some(violations.iter().map(detail).collect());
            (StatusCode::BAD_REQUEST, "Wrong payload".to_owned())
        }
        Refusal::Core(Error::Unauthenticated) => {
            (StatusCode::UNAUTHORIZED, "Invalid or missing API key".to_owned())
        }
        Refusal::Core(Error::Suspended) => (StatusCode::FORBIDDEN, "The account is suspended".to_owned()),
        Refusal::Core(Error::Forbidden) => (StatusCode::FORBIDDEN, "Forbidden".to_owned()),
        Refusal::Core(Error::Held(hold)) => (StatusCode::FORBIDDEN, format!("Forbidden: {}", hold.text())),
        Refusal::Core(Error::NotFound(noun)) => (StatusCode::NOT_FOUND, format!("{} not found", noun.name())),
        Refusal::Core(Error::Limited { retry_after: wait }) => {
            header = Some((RETRY_AFTER, retry_after(*wait)));
            (StatusCode::TOO_MANY_REQUESTS, "Rate limit exceeded".to_owned())
        }
        Refusal::Core(Error::Balance) => (StatusCode::PAYMENT_REQUIRED, "Not enough balance".to_owned()),
        Refusal::Core(Error::Cap(reached)) => {
            (StatusCode::PAYMENT_REQUIRED, format!("Not enough balance ({reached})"))
        }
        Refusal::Core(Error::Unavailable(_)) => {
            header = Some((RETRY_AFTER, HeaderValue::from_static("1")));
            (StatusCode::SERVICE_UNAVAILABLE, "Service unavailable, try again later".to_owned())
        }
        Refusal::Core(Error::Internal(_)) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("Internal error, the operator's log has it as request {request_id}"),
        ),
        Refusal::Elements(violations) => {
            details = Some(violations.iter().map(|(_, violation)| detail(violation)).collect());
            (StatusCode::BAD_REQUEST, "Wrong payload".to_owned())
        }
        Refusal::NoSuchPath => (StatusCode::NOT_FOUND, "No such path".to_owned()),
        Refusal::MethodNotAllowed { allow } => {
            header = Some((ALLOW, allow.clone()));
            (StatusCode::METHOD_NOT_ALLOWED, "Method not allowed".to_owned())
        }
        Refusal::Malformed(what) => (StatusCode::BAD_REQUEST, format!("Bad request: {what}")),
        Refusal::TooLarge(limit) => {
            (StatusCode::BAD_REQUEST, format!("Bad request: the body is larger than {limit} bytes"))
        }
        Refusal::SlowBody => (StatusCode::REQUEST_TIMEOUT, "The body did not arrive in time".to_owned()),
    };
    let meta = Meta { details, developer_message: message, http_code: status.as_u16(), success: false };
    let mut response = Json(status, MetaError { meta }).into_response();
    if let Some((name, value)) = header {
        response.headers_mut().insert(name, value);
    }
    response
}

fn detail(violation: &Violation) -> String {
    let Violation { field, code } = violation;
    match code {
        Code::Required => format!("{field}: Missing data for required field."),
        Code::NotUrl => format!("{field}: Not a valid URL."),
        Code::NotBool => format!("{field}: Not a valid boolean."),
        Code::Invalid | Code::Blank => format!("{field}: Not a valid string."),
        Code::TooLong(max) => format!("{field}: Longer than maximum length {max}."),
        Code::TooMany(_)
        | Code::OutOfRange(..)
        | Code::Taken
        | Code::Ambiguous
        | Code::TooBroad
        | Code::NoRecipients
        | Code::NoRoute
        | Code::OtherRequest
        | Code::Unsupported
        | Code::NotAllowed
        | Code::Ceiling
        | Code::LastOwner
        | Code::Currency => format!("{field}: {code}."),
    }
}
