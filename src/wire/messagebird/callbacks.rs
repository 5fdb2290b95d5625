//! What customers' URLs are told, in MessageBird's shape: docs/spec/11-sms-webhooks.md.

use super::messages::{coding_word, outcome};
use super::signature;
use crate::core::callback::{Dialect, Due, Kind, Signing};
use crate::core::message::Message;
use crate::core::money::Amount;

/// The URL that a callback is told by: all of it stands in the query (sections 1.1 and 2.1). `None` for a URL that cannot
/// be called.
fn render(due: &Due, message: &Message) -> Option<String> {
    let id = message.id.to_string();
    let created = message.created.rfc3339_offset();
    let recipient = due.recipient.msisdn.to_string();
    let originator = message.originator.as_str();
    let mut pairs: Vec<(&str, String)> = vec![("id", id), ("recipient", recipient)];
    match due.kind {
        Kind::Status => {
            let (status, reason) = outcome(&due.recipient);
            pairs.push(("reference", message.reference.clone().unwrap_or_default()));
            pairs.push(("status", status.to_owned()));
            pairs.push(("statusDatetime", due.recipient.changed.rfc3339_offset()));
            pairs.extend(reason.map(|reason| ("statusReason", reason.to_owned())));
            // Receivers read it as a number, so it is left out when there is none.
            pairs.extend(due.recipient.error.map(|code| ("statusErrorCode", code.to_string())));
            pairs.push(("messageLength", message.length.to_string()));
            pairs.push(("messagePartCount", message.parts.to_string()));
            pairs.push(("datacoding", coding_word(message.coding).to_owned()));
            pairs.push(("price[amount]", three_decimals(due.recipient.price)));
            pairs.push(("price[currency]", message.currency.to_string()));
        }
        Kind::Inbound => {
            pairs.push(("originator", originator.to_owned()));
            pairs.push(("body", message.body.clone()));
            pairs.push(("createdDatetime", created));
        }
        // Carries its own body.
        Kind::Event => return None,
    }
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
    signature::canonical(&due.url, &pairs)
}

/// The headers of spec 01, on the URL as it is called.
fn sign(signing: &Signing<'_>) -> Vec<(&'static str, String)> {
    let Signing { key, legacy, url, body, now, chance } = *signing;
    signature::Signer::new(key, legacy).headers(url, body, now.0.div_euclid(1_000_000), chance)
}

/// How callbacks look here; `serve` hands it to what sends, since `run` does not see `wire`.
pub const DIALECT: Dialect = Dialect { render, sign };

/// `0.061`, `0.000`: at least three decimals, and as many as there are.
fn three_decimals(amount: Amount) -> String {
    let text = amount.to_string();
    let decimals = text.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    format!("{text}{}", "0".repeat(3usize.saturating_sub(decimals)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_has_at_least_three_decimals() {
        for (micro, shown) in [(61_000, "0.061"), (0, "0.000"), (1_500_000, "1.500"), (1, "0.000001")] {
            assert_eq!(three_decimals(Amount(micro)), shown);
        }
    }
}
