//! What is said to a network over HTTP and what its answers mean: the paths and bodies of Meta's Cloud API, version 21
//! and later. Here is nothing but making and reading; `mod.rs` sends.

use crate::core::chat::{Answer as Said, Chat, Part};
use crate::core::http_transport::HttpTransport;
use crate::core::phone::Msisdn;
use crate::core::sharing::{NUMBERS_MAX, Number, Open};
use crate::run::egress::{Answer, Failure, Outgoing};
use hyper::Method;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName};
use serde_json::{Value, json};

/// Kinds of messages whose object may name a file.
const FILES: [&str; 5] = ["image", "video", "audio", "document", "sticker"];
/// Codes by which the network says that the operator's credentials are wrong or may not do this: the fault is not the
/// message's.
const NOT_KNOWN: [i64; 4] = [0, 3, 10, 190];
/// That all of it is too much: of an application, of a business account, of a number.
const TOO_MUCH: [i64; 3] = [4, 80_007, 130_429];
/// That this one cannot be taken just now: unknown, down, too many to one phone.
const NOT_NOW: [i64; 4] = [1, 2, 131_000, 131_056];

/// A request to the network with the operator's token.
pub(super) fn ask(method: Method, url: String, token: &str, body: Option<(&str, Vec<u8>)>) -> Outgoing {
    let mut headers: Vec<(HeaderName, String)> = vec![(AUTHORIZATION, format!("Bearer {token}"))];
    let body = body.map(|(kind, body)| {
        headers.push((CONTENT_TYPE, kind.to_owned()));
        body
    });
    Outgoing { method, url, headers, body: body.unwrap_or_default() }
}

/// A piece of a path; what would be more than that is nothing that the network has.
fn piece(id: &str) -> &str {
    let fits = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if fits { id } else { "0" }
}

/// The id of the file that a message names.
pub(super) fn file(chat: &Chat) -> Option<String> {
    let content: Value = serde_json::from_str(&chat.content).ok()?;
    let named = FILES.contains(&chat.kind.as_str()).then(|| content[&chat.kind]["id"].as_str())?;
    named.map(str::to_owned)
}

/// The request that tells that a message which came in was read.
pub(super) fn read(settings: &HttpTransport, token: &str, part: &Part) -> Outgoing {
    let body = json!({"messaging_product": "whatsapp", "status": "read", "message_id": part.chat.reference});
    let url = format!("{}/{}/messages", settings.url, piece(&part.from));
    ask(Method::POST, url, token, Some(("application/json", body.to_string().into_bytes())))
}

/// The request that sends a part, whose file the network knows by this name. Our own id goes along, and comes back with
/// each report.
pub(super) fn message(
    settings: &HttpTransport,
    token: &str,
    part: &Part,
    file: Option<&str>,
) -> Option<Outgoing> {
    let mut body: Value = serde_json::from_str(&part.chat.content).ok()?;
    if let Some(file) = file {
        body[&part.chat.kind]["id"] = file.into();
    }
    body["biz_opaque_callback_data"] = part.chat.id.to_string().into();
    let url = format!("{}/{}/messages", settings.url, piece(&part.from));
    Some(ask(Method::POST, url, token, Some(("application/json", body.to_string().into_bytes()))))
}

/// The request that gives the network a file of a number.
pub(super) fn upload(
    settings: &HttpTransport,
    token: &str,
    number: &str,
    kind: &str,
    content: &[u8],
) -> Outgoing {
    // No file is likely to hold this, and none is read as anything but bytes.
    const BOUNDARY: &str = "rookery-6f1d3a0c57e94b28";
    let mut body = Vec::with_capacity(content.len() + 512);
    for (name, value) in [("messaging_product", "whatsapp"), ("type", kind)] {
        let part =
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend_from_slice(part.as_bytes());
    }
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"file\"\r\nContent-Type: {kind}\r\n\r\n"
    );
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(content);
    body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    let url = format!("{}/{}/media", settings.url, piece(number));
    ask(Method::POST, url, token, Some((&format!("multipart/form-data; boundary={BOUNDARY}"), body)))
}

/// The request for a file's URL and type.
pub(super) fn view(settings: &HttpTransport, token: &str, id: &str) -> Outgoing {
    ask(Method::GET, format!("{}/{}", settings.url, piece(id)), token, None)
}

/// The request for the numbers of a business account.
pub(super) fn numbers(settings: &HttpTransport, token: &str, business: &str) -> Outgoing {
    let fields = "id,display_phone_number,verified_name";
    let url =
        format!("{}/{}/phone_numbers?fields={fields}&limit={NUMBERS_MAX}", settings.url, piece(business));
    ask(Method::GET, url, token, None)
}

/// A text in an answer of JSON.
pub(super) fn said(answer: &Answer, path: &str) -> Option<String> {
    let body: Value = serde_json::from_slice(&answer.body).ok()?;
    match body.pointer(path)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The numbers of an answer that were asked for, by their id or, where somebody has typed the number, by that.
pub(super) fn listed(answer: &Answer, open: &Open) -> Option<Vec<Number>> {
    let body: Value = serde_json::from_slice(&answer.body).ok().filter(|_| answer.status == 200)?;
    let read = |one: &Value| {
        let msisdn = Msisdn::parse(one["display_phone_number"].as_str()?).ok()?;
        let external = one["id"].as_str()?.to_owned();
        let name = one["verified_name"].as_str().unwrap_or_default().chars().take(255).collect();
        Some(Number { external, msisdn, name })
    };
    let is_asked = |one: &Number| {
        open.number.is_empty() || one.external == open.number || open.phone == Some(one.msisdn)
    };
    let numbers = body["data"].as_array()?.iter().filter_map(read).filter(is_asked);
    Some(numbers.take(NUMBERS_MAX).collect())
}

/// What an answer to a message means.
#[derive(Debug)]
pub(super) enum Verdict {
    /// What is recorded.
    Said(Said),
    /// It was not taken, and nothing is to be asked for a while.
    Rest(Option<String>),
    /// It was not taken: the operator's credentials are not accepted.
    NotKnown,
    /// Nobody knows whether it was taken.
    Doubt,
}

/// Reads an answer. One with an error of the network's own was certainly not taken.
pub(super) fn verdict(answer: &Answer) -> Verdict {
    let code = said(answer, "/error/code").and_then(|code| code.parse::<i64>().ok());
    match (answer.status, code) {
        (200..300, None) => match said(answer, "/messages/0/id") {
            Some(id) if !id.contains(char::is_control) && id.len() <= 255 => {
                Verdict::Said(Said::Accepted(id, Vec::new()))
            }
            // That a message was read has no name.
            None if is_success(answer) => Verdict::Said(Said::Accepted(String::new(), Vec::new())),
            _ => Verdict::Doubt,
        },
        (429, _) => Verdict::Rest(answer.retry_after.clone()),
        (_, Some(code)) if TOO_MUCH.contains(&code) => Verdict::Rest(answer.retry_after.clone()),
        (_, Some(code)) if NOT_KNOWN.contains(&code) || (200..300).contains(&code) => Verdict::NotKnown,
        (_, Some(code)) if NOT_NOW.contains(&code) => Verdict::Said(Said::Later),
        (500.., Some(_)) | (408 | 503, None) => Verdict::Said(Said::Later),
        (_, Some(code)) => Verdict::Said(Said::Refused(Some(code))),
        (401 | 403, None) => Verdict::NotKnown,
        (500.., None) => Verdict::Doubt,
        (status, None) => Verdict::Said(Said::Refused(Some(i64::from(status)))),
    }
}

fn is_success(answer: &Answer) -> bool {
    serde_json::from_slice::<Value>(&answer.body).is_ok_and(|body| body["success"] == true)
}

/// Whether a request that has no answer has left depends on why.
pub(super) fn unanswered(failure: Failure) -> Verdict {
    match failure {
        Failure::NotAUrl | Failure::NotAHeader => Verdict::Said(Said::Refused(None)),
        Failure::Forbidden | Failure::NotFound | Failure::Unreachable | Failure::Tls => Verdict::Rest(None),
        Failure::TimedOut | Failure::BrokeOff => Verdict::Doubt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &str) -> Verdict {
        verdict(&Answer { status, retry_after: None, body: body.as_bytes().to_vec() })
    }

    #[test]
    fn answers_are_read_by_status_and_by_the_networks_code() {
        let sent = r#"{"messaging_product":"whatsapp","contacts":[{"input":"1","wa_id":"1"}],"messages":[{"id":"wamid.X"}]}"#;
        assert!(matches!(of(200, sent), Verdict::Said(Said::Accepted(id, _)) if id == "wamid.X"));
        let error =
            |code: i64| format!(r#"{{"error":{{"message":"m","type":"OAuthException","code":{code}}}}}"#);
        assert!(matches!(of(400, &error(131_047)), Verdict::Said(Said::Refused(Some(131_047)))));
        for code in [4, 80_007, 130_429] {
            assert!(matches!(of(400, &error(code)), Verdict::Rest(_)), "{code}");
        }
        for code in [0, 10, 190, 200, 299] {
            assert!(matches!(of(401, &error(code)), Verdict::NotKnown), "{code}");
        }
        for (status, code) in [(500, 131_000), (503, 2), (400, 131_056), (500, 100)] {
            assert!(matches!(of(status, &error(code)), Verdict::Said(Said::Later)), "{code}");
        }
        assert!(matches!(of(404, ""), Verdict::Said(Said::Refused(Some(404)))));
        assert!(matches!((of(502, "<html>"), of(200, "{}")), (Verdict::Doubt, Verdict::Doubt)));
        assert!(matches!((of(429, ""), of(403, "")), (Verdict::Rest(_), Verdict::NotKnown)));
    }
}
