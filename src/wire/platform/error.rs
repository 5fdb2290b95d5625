//! Errors of the platform's own API: one shape, a closed set of codes, every broken rule with its field.

use crate::core::{Code, Error, Noun, Violation};
use crate::wire::refusal::Refusal;
use crate::wire::retry_after;
use axum::body::Body;
use axum::http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

/// Why a request was not done.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    error: Fault,
}

/// What is wrong.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Fault {
    /// For programs: `unauthenticated`, `forbidden`, `held_by_operator`, `account_suspended`, `not_found`,
    /// `no_such_path`, `method_not_allowed`, `invalid`, `malformed`, `too_large`, `timeout`, `not_enough_balance`,
    /// `cap_reached`, `rate_limited`, `unavailable` or `internal`.
    code: &'static str,
    /// For people.
    message: String,
    /// The broken rules; empty unless the code is `invalid`.
    fields: Vec<Broken>,
    /// Under which the operator's log knows the request.
    request_id: String,
}

/// A rule that a field breaks.
#[derive(Serialize, ToSchema)]
struct Broken {
    /// The member of the body, the parameter of the query, or the header.
    field: String,
    /// For programs: `required`, `blank`, `invalid`, `too_long`, `too_many`, `out_of_range`, `not_url`, `not_bool`,
    /// `taken`, `ambiguous`, `too_broad`, `no_recipients`, `no_route`, `other_request`, `unsupported`, `currency`, `not_allowed`,
    /// `operator_limit` or `last_owner`.
    code: &'static str,
    /// For people.
    message: String,
}

fn word(code: Code) -> &'static str {
    match code {
        Code::Required => "required",
        Code::NoRecipients => "no_recipients",
        Code::NoRoute => "no_route",
        Code::OtherRequest => "other_request",
        Code::Unsupported => "unsupported",
        Code::Blank => "blank",
        Code::Invalid => "invalid",
        Code::TooLong(_) => "too_long",
        Code::TooMany(_) => "too_many",
        Code::OutOfRange(..) => "out_of_range",
        Code::NotUrl => "not_url",
        Code::NotBool => "not_bool",
        Code::Taken => "taken",
        Code::Ambiguous => "ambiguous",
        Code::TooBroad => "too_broad",
        Code::Currency => "currency",
        Code::NotAllowed => "not_allowed",
        Code::Ceiling => "operator_limit",
        Code::LastOwner => "last_owner",
    }
}

fn broken(at: Option<usize>, violation: &Violation) -> Broken {
    let Violation { field, code } = violation;
    let field = at.map_or_else(|| (*field).to_owned(), |at| format!("[{at}].{field}"));
    Broken { message: format!("{field} {code}"), code: word(*code), field }
}

/// The body of an error.
pub(crate) fn render(refusal: &Refusal, request_id: &str) -> Response<Body> {
    let mut fields = Vec::new();
    let mut header: Option<(HeaderName, HeaderValue)> = None;
    let (status, code, message) = match refusal {
        Refusal::Core(Error::Invalid(violations)) => {
            fields = violations.iter().map(|violation| broken(None, violation)).collect();
            (StatusCode::UNPROCESSABLE_ENTITY, "invalid", "the request breaks rules".to_owned())
        }
        Refusal::Elements(violations) => {
            fields = violations.iter().map(|(at, violation)| broken(Some(*at), violation)).collect();
            (StatusCode::UNPROCESSABLE_ENTITY, "invalid", "the request breaks rules".to_owned())
        }
        Refusal::Core(Error::Unauthenticated) => {
            header = Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
            let message = "no key, a wrong one, or one that has ended: `Authorization: Bearer KEY` is needed";
            (StatusCode::UNAUTHORIZED, "unauthenticated", message.to_owned())
        }
        Refusal::Core(Error::Suspended) => {
            (StatusCode::FORBIDDEN, "account_suspended", "the account is suspended".to_owned())
        }
        Refusal::Core(Error::Forbidden) => {
            (StatusCode::FORBIDDEN, "forbidden", "the key may not do this".to_owned())
        }
        Refusal::Core(Error::Held(hold)) => {
            let message = format!("the account is {}, and only the operator changes that", hold.text());
            (StatusCode::FORBIDDEN, "held_by_operator", message)
        }
        Refusal::Core(Error::NotFound(noun)) => {
            let noun = if *noun == Noun::Record { "what was asked for" } else { noun.name() };
            (StatusCode::NOT_FOUND, "not_found", format!("{noun} was not found"))
        }
        Refusal::Core(Error::Limited { retry_after: wait }) => {
            header = Some((RETRY_AFTER, retry_after(*wait)));
            (StatusCode::TOO_MANY_REQUESTS, "rate_limited", "too many requests".to_owned())
        }
        Refusal::Core(Error::Balance) => {
            let message = "the balance with its credit limit does not cover it";
            (StatusCode::UNPROCESSABLE_ENTITY, "not_enough_balance", message.to_owned())
        }
        Refusal::Core(Error::Cap(reached)) => {
            (StatusCode::UNPROCESSABLE_ENTITY, "cap_reached", reached.to_string())
        }
        Refusal::Core(Error::Unavailable(_)) => {
            header = Some((RETRY_AFTER, HeaderValue::from_static("1")));
            (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "not possible now, try again".to_owned())
        }
        Refusal::Core(Error::Internal(_)) => {
            let message = format!("a failure of the server; its log has it as request {request_id}");
            (StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
        }
        Refusal::NoSuchPath => (StatusCode::NOT_FOUND, "no_such_path", "no such path".to_owned()),
        Refusal::MethodNotAllowed { allow } => {
            header = Some((ALLOW, allow.clone()));
            (
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "the path does not have this method".to_owned(),
            )
        }
        Refusal::Malformed(what) => (StatusCode::BAD_REQUEST, "malformed", (*what).to_owned()),
        Refusal::TooLarge(limit) => {
            (StatusCode::PAYLOAD_TOO_LARGE, "too_large", format!("the body is larger than {limit} bytes"))
        }
        Refusal::SlowBody => {
            (StatusCode::REQUEST_TIMEOUT, "timeout", "the body did not arrive in time".to_owned())
        }
    };
    let error = Fault { code, message, fields, request_id: request_id.to_owned() };
    let mut response = (status, axum::Json(ErrorBody { error })).into_response();
    if let Some((name, value)) = header {
        response.headers_mut().insert(name, value);
    }
    response
}
