//! What carriers with their own HTTP interface tell: what has become of messages, and texts of phones. They call
//! `/_carrier/NAME/TOKEN`, by GET or POST, on any process that serves the API.
//!
//! The carrier's settings say where in a request, or in each element of its list, what stands (`core/http_carrier.rs`).
//! A request is answered after what it says is on disk; told twice it counts once, so a carrier may repeat it at will.

use super::Shared;
use super::attributes::Attributes;
use super::refusal::Refusal;
use crate::core::carrier::{self, Carrier, CarrierId, CarrierKind};
use crate::core::http_carrier::{HttpSettings, reference, report_token};
use crate::core::inbound::{self, Inbound, Taken};
use crate::core::part::BATCH;
use crate::core::phone::Originator;
use crate::core::receipt::{self, Receipt};
use crate::core::{Error, Noun, number};
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::StatusCode;
use axum::routing::get;
use subtle::ConstantTimeEq;
use utoipa_axum::router::OpenApiRouter;

/// Whom a text is from that says nothing which could be told.
const NOBODY: &str = "unknown";
/// Digits that an error's code has at most: larger ones are no code.
const CODE_DIGITS: usize = 9;

/// No vendor's API, so not in the OpenAPI document.
pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().route("/_carrier/{name}/{token}", get(take).post(take))
}

/// What one record says.
#[derive(Debug, PartialEq, Eq)]
enum Record {
    Receipt(Receipt),
    /// About a message, but nothing new.
    Nothing,
    Text(Box<Inbound>),
}

async fn take(
    State(state): State<Shared>,
    Path((name, token)): Path<(String, String)>,
    request: Request,
) -> Result<StatusCode, Refusal> {
    let found: crate::core::Result<Carrier> = state.store.read(name, carrier::by_name).await;
    let carrier = match found {
        Ok(carrier) if carrier.kind == CarrierKind::Http => carrier,
        Ok(_) | Err(Error::NotFound(Noun::Carrier)) => return Err(Refusal::NoSuchPath),
        Err(error) => return Err(error.into()),
    };
    let expected = report_token(&carrier, &state.vault);
    if !bool::from(expected.as_bytes().ct_eq(token.as_bytes())) {
        return Err(Refusal::NoSuchPath);
    }
    let settings = HttpSettings::read(&carrier.settings)
        .map_err(|_| Error::Unavailable("a carrier's settings are wrong".into()))?;
    let attributes = Attributes::from_request(request, &state).await?;
    if attributes.is_empty() {
        // Somebody asks whether anybody is here.
        return Ok(StatusCode::OK);
    }
    let records = attributes.into_records(settings.report_list.as_deref());
    let told: Vec<Option<Record>> = records.iter().map(|it| read(it, &settings, carrier.id)).collect();
    let unread = told.iter().filter(|record| record.is_none()).count();
    if unread > 0 {
        tracing::warn!(carrier = %carrier.name, unread, "a carrier told what is neither a report nor a text; check its settings `report-…` and `inbound-…`");
    }
    if unread == told.len() {
        return Err(Refusal::Malformed("there is no report and no text"));
    }
    let (mut receipts, mut texts) = (Vec::new(), Vec::new());
    for record in told.into_iter().flatten() {
        match record {
            Record::Receipt(receipt) => receipts.push(receipt),
            Record::Text(text) => texts.push(*text),
            Record::Nothing => {}
        }
    }
    for some in receipts.chunks(BATCH) {
        let early: crate::core::Result<usize> =
            state.store.write((carrier.id, some.to_vec()), receipt::heard).await;
        early?;
    }
    for text in texts {
        let to = text.to;
        let taken: crate::core::Result<Taken> = state.store.write(text, inbound::receive).await;
        if taken? == Taken::Stray {
            tracing::warn!(to = %to.masked(), "a text came to a number that nobody has; give it to an account with `rookery number add`");
        }
    }
    state.wake.callbacks();
    Ok(StatusCode::OK)
}

/// What a record says; none if it is neither a report nor a text.
fn read(record: &Attributes, settings: &HttpSettings, carrier: CarrierId) -> Option<Record> {
    if let Some(paths) = &settings.inbound
        && let (Some(from), Some(to), Some(body)) =
            (record.scalar(&paths.from), to(record, &paths.to), record.scalar(&paths.text))
    {
        let Ok(to) = number::parse(to.trim().trim_start_matches('+')) else { return None };
        let from = Originator::parse(from.trim()).or_else(|_| Originator::parse(NOBODY)).ok()?;
        let reference = record.scalar(&paths.id).and_then(|id| reference(&id));
        let text = Inbound { carrier, reference, from, to, body, otherwise: None };
        return Some(Record::Text(Box::new(text)));
    }
    let reference = reference(&record.scalar(&settings.report_id)?)?;
    let status = record.scalar(&settings.report_status)?;
    let error = settings.report_error.as_deref().and_then(|path| record.scalar(path));
    let outcome = settings.outcome(&status, error.as_deref().and_then(code));
    Some(outcome.map_or(Record::Nothing, |outcome| Record::Receipt(Receipt { reference, outcome })))
}

/// The number that a text came to.
fn to(record: &Attributes, path: &str) -> Option<String> {
    if path.starts_with('+') { Some(path.to_owned()) } else { record.scalar(path) }
}

fn code(text: &str) -> Option<i64> {
    let text = text.trim();
    if text.len() <= CODE_DIGITS { text.parse().ok() } else { None }
}

/// Whether a path is one that carriers call: their requests have bodies.
pub(super) fn is_called(path: &str) -> bool {
    path.starts_with("/_carrier/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::carrier::Settings;
    use crate::core::message::Status;
    use crate::core::phone::Msisdn;

    fn settings(pairs: &[(&str, &str)]) -> HttpSettings {
        let mut settings = Settings::default();
        settings.set("url", "https://sms.example.com/send");
        for (name, value) in pairs {
            settings.set(*name, *value);
        }
        HttpSettings::read(&settings).expect("settings")
    }

    fn records(settings: &HttpSettings, query: &str) -> Vec<Option<Record>> {
        let attributes = Attributes::of_query(Some(query));
        let records = attributes.into_records(settings.report_list.as_deref());
        records.iter().map(|it| read(it, settings, CarrierId(2))).collect()
    }

    #[test]
    fn a_report_has_a_name_and_a_status() {
        let settings = settings(&[
            ("report-id", "MessageSid"),
            ("report-status", "MessageStatus"),
            ("report-error", "ErrorCode"),
        ]);
        let found = records(&settings, "MessageSid=SM1&MessageStatus=undelivered&ErrorCode=1");
        let [Some(Record::Receipt(receipt))] = &found[..] else { panic!("{found:?}") };
        assert_eq!(
            (receipt.reference.as_str(), receipt.outcome.status, receipt.outcome.error),
            ("SM1", Status::Failed, Some(1))
        );
        assert_eq!(records(&settings, "MessageSid=SM1&MessageStatus=sent"), [Some(Record::Nothing)]);
        for without in ["MessageSid=SM1", "MessageStatus=sent", "MessageSid=&MessageStatus=sent", "a=b"] {
            assert_eq!(records(&settings, without), [None], "{without}");
        }
        assert_eq!((code("27"), code("x"), code("1234567890")), (Some(27), None, None));
    }

    #[test]
    fn a_text_has_all_that_is_said_of_one() {
        let settings = settings(&[("inbound-from", "From"), ("inbound-to", "To"), ("inbound-text", "Body")]);
        let found = records(&settings, "From=%2B31612345678&To=%2B3197012345&Body=&id=MO1");
        let [Some(Record::Text(text))] = &found[..] else { panic!("{found:?}") };
        assert_eq!(
            (text.from.as_str(), text.to, text.reference.as_deref()),
            ("31612345678", Msisdn(3_197_012_345), Some("MO1"))
        );
        assert_eq!(records(&settings, "From=1&To=Bakery&Body=x"), [None], "no number");
    }
}
