//! What partners are told: docs/spec/32-360-webhooks-onboarding.md sections 1 and 2.

use super::businesses::fault;
use super::json::bytes;
use super::listing::sorted;
use super::{channels, clients, id};
use crate::core::event::{About, Dialect, EventId, Kind};
use crate::core::secret::hex;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

/// How events look here; `serve` hands it to what makes them go on, since `run` does not see `wire`.
pub const EVENTS: Dialect = Dialect { partner, chat: super::messaging::told, sign };

/// The names of the catalogue.
fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::ClientCreated => "client_created",
        Kind::ChannelCreated => "channel_created",
        Kind::ChannelReady => "channel_ready",
        Kind::ChannelRunning => "channel_running",
        Kind::ChannelLive => "channel_live",
        Kind::PermissionGranted => "channel_permission_granted",
        Kind::PermissionRevoked => "channel_permission_revoked",
        Kind::CancellationRequested => "cancellation_request",
        Kind::CancellationRevoked => "cancellation_revoke",
        Kind::CancellationProcessed => "cancellation_processed",
        Kind::TemplateStatus => "waba_template_status_changed",
    }
}

/// One object of `id`, `event` and `data`.
fn partner(event: &EventId, kind: Kind, about: &About<'_>) -> String {
    let data = match about {
        About::Client(client) => {
            let shown = clients::render(client);
            json!({"client": shown, "client_id": shown["id"], "id": shown["id"]})
        }
        About::Channel(view) => {
            let mut shown = channels::render(view);
            // Some receivers look for these one level higher (section 2.1).
            for name in ["phone_name", "phone_number"] {
                shown[name] = shown["setup_info"][name].clone();
            }
            shown
        }
        About::Template(template, business) => json!({
            "id": business,
            "template": {
                "external_id": template.external,
                "id": id::ending(&template.id, id::TEMPLATE),
                "language": template.language,
                "name": template.name,
                "new_status": template.status.name().to_uppercase(),
                "rejected_reason": fault(template.fault).unwrap_or("NONE"),
            },
        }),
    };
    body(&json!({"data": data, "event": name(kind), "id": event.to_string()}))
}

/// The bytes of a body, keys in order.
pub(super) fn body(value: &Value) -> String {
    let bytes = bytes(&sorted(value.clone())).unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default().trim_end().to_owned()
}

/// HMAC-SHA256 over the raw body, in hexadecimal (section 1.1).
fn sign(secret: &[u8], body: &[u8], prefix: bool) -> Vec<(&'static str, String)> {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return Vec::new() };
    mac.update(body);
    let digest = hex(&mac.finalize().into_bytes());
    let value = if prefix { format!("sha256={digest}") } else { digest };
    vec![("x-360dialog-signature", value)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_vector() {
        let expected = "51a15e54f3b10f89630292239903d01b22012de847aa2434f0d87422104022a9";
        assert_eq!(sign(b"s3cr3t", br#"{"id":"e1"}"#, false)[0].1, expected);
        assert_eq!(sign(b"s3cr3t", br#"{"id":"e1"}"#, true)[0].1, format!("sha256={expected}"));
    }
}
