//! What transports over HTTP tell: what has become of messages, and messages that came in. They call
//! `/_transport/NAME/TOKEN` on any process that serves the API, in the form of Meta's Cloud API
//! (docs/spec/33-360-messaging.md section 4): a GET with `hub.challenge` when the URL is given to them, then POSTs, signed by
//! `X-Hub-Signature-256` with the application's secret.
//!
//! A request is answered after what it says is on disk; told twice it counts once, so it may be repeated at will.

use super::Shared;
use super::d360::EVENTS;
use super::refusal::Refusal;
use crate::core::chat::{self, Chat, Received, Report, Status};
use crate::core::http_transport::report_token;
use crate::core::phone::Msisdn;
use crate::core::transport::{self, Transport, TransportId, TransportKind, Which};
use crate::core::{Error, Noun, Result as CoreResult};
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value};
use sha2::Sha256;
use std::time::Duration;
use subtle::ConstantTimeEq;
use utoipa_axum::router::OpenApiRouter;

/// Longest name of the network's for a message, and for a file.
const REFERENCE_MAX: usize = 255;
/// Reports that one unit takes.
const BATCH: usize = 32;
/// A report may come before the answer to its message is recorded.
const AGAIN: Duration = Duration::from_millis(500);
/// Kinds of messages that come with a file.
const FILES: [&str; 5] = ["image", "video", "audio", "document", "sticker"];

/// No vendor's API, so not in the OpenAPI document.
pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().route("/_transport/{name}/{token}", get(challenge).post(take))
}

/// Whether a path is one that transports call: their requests have bodies.
pub(super) fn is_called(path: &str) -> bool {
    path.starts_with("/_transport/")
}

fn same(one: &str, other: &str) -> bool {
    bool::from(one.as_bytes().ct_eq(other.as_bytes()))
}

/// The transport of a path, if the token is its own.
async fn called(state: &Shared, (name, token): (String, String)) -> Result<Transport, Refusal> {
    let found: CoreResult<Transport> = state.store.read(name, transport::by_name).await;
    match found {
        Ok(found)
            if found.kind == TransportKind::Http && same(&report_token(&found, &state.vault), &token) =>
        {
            Ok(found)
        }
        Ok(_) | Err(Error::NotFound(Noun::Transport | Noun::Record)) => Err(Refusal::NoSuchPath),
        Err(error) => Err(error.into()),
    }
}

/// Shows that this URL is the operator's: the network asks for it when it is given the URL.
async fn challenge(
    State(state): State<Shared>,
    Path((name, token)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<String, Refusal> {
    called(&state, (name, token.clone())).await?;
    let query = query.unwrap_or_default();
    let of = |name: &str| {
        form_urlencoded::parse(query.as_bytes()).find(|(known, _)| known == name).map(|(_, value)| value)
    };
    let fits = of("hub.mode").as_deref() == Some("subscribe")
        && of("hub.verify_token").is_some_and(|given| same(&given, &token));
    if fits { Ok(of("hub.challenge").unwrap_or_default().into_owned()) } else { Err(Error::Forbidden.into()) }
}

/// Whether a body is signed as it should be: `sha256=` and an HMAC in hexadecimal.
fn is_signed(secret: &[u8], headers: &HeaderMap, body: &[u8]) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return false };
    mac.update(body);
    let expected = format!("sha256={}", crate::core::secret::hex(&mac.finalize().into_bytes()));
    let given = headers.get("x-hub-signature-256").and_then(|value| value.to_str().ok()).unwrap_or_default();
    same(&expected, &given.to_ascii_lowercase())
}

async fn take(
    State(state): State<Shared>,
    Path(path): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    let of = called(&state, path).await?;
    if let Some(sealed) = &of.secret {
        let secret = state.vault.open(Which::Secret.place(of.id), sealed);
        let secret = secret.map_err(|_| Refusal::bug("a transport's secret does not open"))?;
        if !is_signed(&secret, &headers, &body) {
            tracing::warn!(transport = %of.name, "what a transport tells is not signed with its secret; set it with `rookery transport set --secret-env`");
            return Err(Error::Forbidden.into());
        }
    }
    let told: Value =
        serde_json::from_slice(&body).map_err(|_| Refusal::Malformed("the body is not JSON"))?;
    if told["object"] != "whatsapp_business_account" {
        return Err(Refusal::Malformed("object is not whatsapp_business_account"));
    }
    let (mut reports, mut messages) = (Vec::new(), Vec::new());
    let entries = told["entry"].as_array().into_iter().flatten();
    for change in entries.flat_map(|entry| entry["changes"].as_array().into_iter().flatten()) {
        if change["field"] != "messages" {
            continue;
        }
        let value = &change["value"];
        reports.extend(list(value, "statuses").filter_map(|status| report(status, of.id)));
        let number = text(&value["metadata"]["phone_number_id"]).unwrap_or_default();
        messages
            .extend(list(value, "messages").filter_map(|message| received(message, value, of.id, &number)));
    }
    for some in reports.chunks(BATCH) {
        let unknown: usize = state.store.write((some.to_vec(), EVENTS), chat::reported).await?;
        if unknown > 0 {
            tokio::time::sleep(AGAIN).await;
            let unknown: usize = state.store.write((some.to_vec(), EVENTS), chat::reported).await?;
            tracing::debug!(transport = %of.name, unknown, "reports about nothing that is known");
        }
    }
    for mut message in messages {
        name_ours(&state, &mut message).await?;
        let to = message.to.clone();
        let taken: bool = state.store.write((message, EVENTS), chat::received).await?;
        if !taken {
            tracing::debug!(transport = %of.name, number = %to, "a message that is known, or for no channel");
        }
    }
    state.wake.callbacks();
    Ok(StatusCode::OK)
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value[name].as_array().into_iter().flatten()
}

/// A name that can be kept; numbers are names as well.
fn text(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let fits = !text.is_empty() && text.len() <= REFERENCE_MAX && !text.contains(char::is_control);
    fits.then_some(text)
}

/// What has become of a message; none if it is nothing that is told of.
fn report(status: &Value, transport: TransportId) -> Option<Report> {
    let word = match status["status"].as_str()? {
        "sent" => Status::Sent,
        "delivered" => Status::Delivered,
        "read" | "played" => Status::Read,
        "failed" => Status::Failed,
        _ => return None,
    };
    let error = status["errors"][0]["code"].as_i64().filter(|_| word == Status::Failed);
    let own = status["biz_opaque_callback_data"].as_str().and_then(|own| own.parse().ok());
    Some(Report { transport, reference: text(&status["id"])?, own, status: word, error })
}

/// A message that came in to a number.
fn received(message: &Value, value: &Value, transport: TransportId, number: &str) -> Option<Received> {
    let from = Msisdn::parse(message["from"].as_str()?).ok()?;
    let kind = text(&message["type"]).filter(|kind| kind.len() <= 32)?;
    let mut content: Map<String, Value> = message.as_object()?.clone();
    for name in ["from", "id", "timestamp"] {
        content.remove(name);
    }
    let sender = list(value, "contacts").find(|one| one["wa_id"] == message["from"]);
    if let Some(name) = sender.and_then(|sender| sender["profile"]["name"].as_str()) {
        content.insert("profile_name".to_owned(), name.into());
    }
    let object = &message[&kind];
    let file = FILES
        .contains(&kind.as_str())
        .then(|| Some((text(&object["id"])?, text(&object["mime_type"]).unwrap_or_default())))
        .flatten();
    Some(Received {
        transport,
        to: number.to_owned(),
        from,
        reference: text(&message["id"])?,
        kind,
        content: Value::Object(content).to_string(),
        file,
    })
}

/// Where a message is about one of ours, calls that by the name that its owner knows.
async fn name_ours(state: &Shared, message: &mut Received) -> Result<(), Refusal> {
    let Ok(mut content) = serde_json::from_str::<Value>(&message.content) else { return Ok(()) };
    let mut changed = false;
    for path in ["/context/id", "/reaction/message_id"] {
        let Some(slot) = content.pointer_mut(path) else { continue };
        let Some(name) = text(slot) else { continue };
        let found: CoreResult<Chat> =
            state.store.read((message.transport, message.to.clone(), name), chat::sent_as).await;
        match found {
            Ok(ours) => {
                *slot = super::d360::messaging::wamid(ours.id).into();
                changed = true;
            }
            Err(Error::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if changed {
        message.content = content.to_string();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_body_is_signed_with_the_applications_secret() {
        // RFC 4231 section 4.3 has the digest of the same key and text.
        let digest = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let mut headers = HeaderMap::new();
        assert!(!is_signed(b"Jefe", &headers, b"what do ya want for nothing?"));
        headers.insert("x-hub-signature-256", digest.parse().expect("a value"));
        assert!(is_signed(b"Jefe", &headers, b"what do ya want for nothing?"));
        assert!(!is_signed(b"Jefe", &headers, b"what do ya want for nothing!"));
    }

    #[test]
    fn reports_and_messages_are_read() {
        let own = "0b".repeat(16);
        let status = json!({"id": "wamid.X", "status": "failed", "timestamp": "1", "recipient_id": "31611112222",
            "biz_opaque_callback_data": own, "errors": [{"code": 131_026, "title": "x"}]});
        let read = report(&status, TransportId(2)).expect("a report");
        assert_eq!(
            (read.reference.as_str(), read.status, read.error),
            ("wamid.X", Status::Failed, Some(131_026))
        );
        assert_eq!(read.own.map(|id| id.to_string()), Some(own));
        for none in [
            json!({"id": "x", "status": "warning"}),
            json!({"status": "sent"}),
            json!({"id": "\0", "status": "sent"}),
        ] {
            assert!(report(&none, TransportId(2)).is_none(), "{none}");
        }
        let value = json!({"contacts": [{"profile": {"name": "Sam"}, "wa_id": "31611112222"}]});
        let message = json!({"from": "31611112222", "id": "wamid.IN", "timestamp": "1", "type": "image",
            "image": {"id": "706", "mime_type": "image/png", "caption": "x"}});
        let read = received(&message, &value, TransportId(2), "704").expect("a message");
        assert_eq!(read.file, Some(("706".to_owned(), "image/png".to_owned())));
        let content: Value = serde_json::from_str(&read.content).expect("JSON");
        assert_eq!((&content["profile_name"], content.get("from")), (&json!("Sam"), None));
        assert!(
            received(&json!({"from": "x", "id": "1", "type": "text"}), &value, TransportId(2), "704")
                .is_none()
        );
    }
}
