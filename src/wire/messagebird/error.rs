//! Errors in MessageBird's shapes: docs/spec/00-overview.md section 5 and docs/spec/02-partner-accounts.md section 3.
//!
//! The matches are exhaustive on purpose: a new refusal or code must be decided here. Client mistakes answer 401, 404, 405
//! or 422 only, the statuses whose bodies all seven SDKs read; 408, 429 and 5xx are kept for what they are.

use crate::core::{Code, Error, Violation};
use crate::wire::refusal::Refusal;
use crate::wire::retry_after;
use axum::body::Body;
use axum::http::header::{ALLOW, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use serde::Serialize;
use std::borrow::Cow;
use utoipa::ToSchema;

/// The error array, alone in its object: C# cannot read a body with anything beside it.
#[derive(Serialize, ToSchema)]
pub(crate) struct Errors {
    errors: Vec<Item>,
}

/// One error.
#[derive(Serialize, ToSchema)]
struct Item {
    /// 2 not allowed, 9 missing, 10 invalid, 20 not found, 21 bad request, 25 balance, 98 no such API, 99 internal,
    /// 100 unavailable, 101 duplicate, 102 ambiguous.
    code: u16,
    description: String,
    /// The attribute it is about.
    #[schema(required = true)]
    parameter: Option<Cow<'static, str>>,
}

impl Item {
    fn new(code: u16, description: impl Into<String>, parameter: Option<&'static str>) -> Self {
        Item { code, description: description.into(), parameter: parameter.map(Cow::Borrowed) }
    }
}

struct Rendered {
    status: StatusCode,
    errors: Vec<Item>,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Rendered {
    fn one(status: StatusCode, code: u16, description: impl Into<String>) -> Self {
        Rendered { status, errors: vec![Item::new(code, description, None)], header: None }
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some((name, value));
        self
    }
}

/// The error array of the rest host.
pub(crate) fn render(refusal: &Refusal, request_id: &str) -> Response<Body> {
    let rendered = array(refusal, request_id);
    respond(rendered.status, rendered.header, &Errors { errors: rendered.errors })
}

fn respond(
    status: StatusCode,
    header: Option<(HeaderName, HeaderValue)>,
    body: &impl Serialize,
) -> Response<Body> {
    let mut response = (status, axum::Json(body)).into_response();
    if let Some((name, value)) = header {
        response.headers_mut().insert(name, value);
    }
    response
}

fn array(refusal: &Refusal, request_id: &str) -> Rendered {
    const NOT_FOUND: StatusCode = StatusCode::NOT_FOUND;
    const UNPROCESSABLE: StatusCode = StatusCode::UNPROCESSABLE_ENTITY;
    match refusal {
        Refusal::Core(Error::Invalid(violations)) => Rendered {
            status: UNPROCESSABLE,
            errors: violations.iter().map(violation).collect(),
            header: None,
        },
        // A suspended account's key is refused like a wrong one: other statuses hide the reason from three SDKs.
        Refusal::Core(Error::Unauthenticated | Error::Suspended) => Rendered {
            status: StatusCode::UNAUTHORIZED,
            errors: vec![Item::new(2, "Request not allowed (incorrect access_key)", Some("access_key"))],
            header: None,
        },
        Refusal::Core(Error::Forbidden) => {
            Rendered::one(StatusCode::FORBIDDEN, 2, "Request not allowed (insufficient permissions)")
        }
        Refusal::Core(Error::Held(hold)) => {
            let text = format!("Request not allowed ({})", hold.text());
            Rendered::one(StatusCode::FORBIDDEN, 2, text)
        }
        Refusal::Core(Error::NotFound(noun)) => {
            Rendered::one(NOT_FOUND, 20, format!("{} not found", noun.name()))
        }
        Refusal::Core(Error::Limited { retry_after: wait }) => {
            Rendered::one(StatusCode::TOO_MANY_REQUESTS, 21, "Too many requests")
                .with(RETRY_AFTER, retry_after(*wait))
        }
        Refusal::Core(Error::Balance) => Rendered::one(UNPROCESSABLE, 25, "Not enough balance"),
        Refusal::Core(Error::Cap(reached)) => {
            Rendered::one(UNPROCESSABLE, 25, format!("Not enough balance ({reached})"))
        }
        Refusal::Core(Error::Unavailable(_)) => {
            let second = HeaderValue::from_static("1");
            Rendered::one(StatusCode::SERVICE_UNAVAILABLE, 100, "Service unavailable, try again later")
                .with(RETRY_AFTER, second)
        }
        Refusal::Core(Error::Internal(_)) => Rendered::one(
            StatusCode::INTERNAL_SERVER_ERROR,
            99,
            format!("Internal error, the operator's log has it as request {request_id}"),
        ),
        Refusal::Elements(violations) => Rendered {
            status: UNPROCESSABLE,
            errors: violations.iter().map(|(at, violation)| element(*at, violation)).collect(),
            header: None,
        },
        Refusal::NoSuchPath => Rendered::one(NOT_FOUND, 98, "API not found"),
        Refusal::MethodNotAllowed { allow } => {
            Rendered::one(StatusCode::METHOD_NOT_ALLOWED, 98, "Method not allowed").with(ALLOW, allow.clone())
        }
        Refusal::Malformed(what) => Rendered::one(UNPROCESSABLE, 21, format!("Bad request ({what})")),
        Refusal::TooLarge(limit) => {
            Rendered::one(UNPROCESSABLE, 21, format!("Bad request (the body is larger than {limit} bytes)"))
        }
        Refusal::SlowBody => {
            Rendered::one(StatusCode::REQUEST_TIMEOUT, 21, "Bad request (the body did not arrive in time)")
        }
    }
}

/// The place of a list's element stands before the attribute: `messages[1].recipients` (docs/spec/12-sms-batch.md).
fn element(at: usize, broken: &Violation) -> Item {
    let dot = if broken.field.is_empty() { "" } else { "." };
    let parameter = format!("messages[{at}]{dot}{}", broken.field);
    let mut item = violation(broken);
    if broken.field.is_empty() {
        item.description = format!("{parameter} {}", broken.code);
    }
    Item { parameter: Some(parameter.into()), ..item }
}

fn violation(violation: &Violation) -> Item {
    let Violation { field, code } = violation;
    match code {
        Code::Required => Item::new(9, format!("{field} is required"), Some(field)),
        Code::NoRecipients => Item::new(9, "no (correct) recipients found", Some(field)),
        Code::Taken if *field == "msisdn" => {
            Item::new(101, "contact with this msisdn already exists in your contact list", Some(field))
        }
        Code::Taken => Item::new(101, format!("{field} {code}"), Some(field)),
        Code::Ambiguous => Item::new(102, format!("{field} {code}"), Some(field)),
        Code::Blank | Code::Invalid => Item::new(10, format!("{field} is invalid"), Some(field)),
        Code::TooLong(_)
        | Code::TooMany(_)
        | Code::OutOfRange(..)
        | Code::NotUrl
        | Code::NotBool
        | Code::TooBroad
        | Code::NoRoute
        | Code::OtherRequest
        | Code::Unsupported
        | Code::NotAllowed
        | Code::Ceiling
        | Code::LastOwner
        | Code::Currency => Item::new(10, format!("{field} {code}"), Some(field)),
    }
}

/// The account is not a partner (docs/spec/02-partner-accounts.md section 3.1).
#[derive(Serialize, ToSchema)]
pub(crate) struct NotPrivileged {
    message: &'static str,
}

/// Any other error of the partner host (docs/spec/02-partner-accounts.md section 3.2).
#[derive(Serialize, ToSchema)]
pub(crate) struct Problem {
    r#type: &'static str,
    title: &'static str,
    detail: String,
}

/// The shapes of the partner-accounts host: a bad key in the common array, no privilege in a message, and a problem object.
pub(crate) fn render_partner(refusal: &Refusal, request_id: &str) -> Response<Body> {
    let detail = match refusal {
        Refusal::Core(Error::Unauthenticated | Error::Suspended) => return render(refusal, request_id),
        Refusal::Core(Error::Forbidden) => {
            let body = NotPrivileged { message: "Not privileged to request the resource." };
            return respond(StatusCode::FORBIDDEN, None, &body);
        }
        Refusal::Core(Error::NotFound(_)) => "Account Not found".to_owned(),
        Refusal::Core(Error::Invalid(violations)) => {
            violations.iter().map(sentence).collect::<Vec<_>>().join(" ")
        }
        Refusal::Core(
            Error::Held(_)
            | Error::Limited { .. }
            | Error::Balance
            | Error::Cap(_)
            | Error::Unavailable(_)
            | Error::Internal(_),
        )
        | Refusal::Elements(_)
        | Refusal::NoSuchPath
        | Refusal::MethodNotAllowed { .. }
        | Refusal::Malformed(_)
        | Refusal::TooLarge(_)
        | Refusal::SlowBody => {
            array(refusal, request_id).errors.pop().map(|item| item.description).unwrap_or_default()
        }
    };
    let Rendered { status, header, .. } = array(refusal, request_id);
    let problem = Problem {
        r#type: "https://tools.ietf.org/html/rfc2616#section-10",
        title: "An error occurred",
        detail,
    };
    respond(status, header, &problem)
}

fn sentence(violation: &Violation) -> String {
    let Violation { field, code } = violation;
    match code {
        Code::Required | Code::Blank => format!("{field}: This value should not be blank."),
        Code::TooLong(max) => {
            format!("{field}: This value is too long. It should have {max} characters or less.")
        }
        Code::Invalid
        | Code::TooMany(_)
        | Code::OutOfRange(..)
        | Code::NotUrl
        | Code::NotBool
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
        | Code::Currency => format!("{field}: This value {code}."),
    }
}
