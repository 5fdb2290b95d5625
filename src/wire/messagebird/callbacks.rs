//! What customers' URLs are told, in MessageBird's shape: docs/spec/11-sms-webhooks.md.

use super::messages::{coding_word, mccmnc, outcome};
use super::signature;
use crate::core::Timestamp;
use crate::core::callback::{Due, Kind, Signing};
use crate::core::message::Message;
use crate::core::money::Amount;
use crate::core::network::Networks;
use crate::core::number;
use crate::core::rendered::Rendered;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

type Pairs<'a> = Vec<(&'a str, String)>;

/// The request that a callback is told by. `None` for a URL that cannot be called.
pub(in crate::wire) fn render(
    due: &Due,
    message: &Message,
    networks: &Networks,
    zone: &str,
) -> Option<Rendered> {
    let called = |pairs: &Pairs<'_>| {
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
        signature::canonical(&due.url, &pairs)
    };
    let inbound = || Inbound::new(due, message, zone);
    let body = match due.kind {
        Kind::Status => return called(&report(due, message, networks)).map(Rendered::get),
        Kind::Inbound => return called(&inbound().documented()).map(Rendered::get),
        Kind::InboundForm => {
            let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(inbound().all()).finish();
            ("application/x-www-form-urlencoded".to_owned(), form)
        }
        Kind::InboundJson => ("application/json".to_owned(), inbound().json()),
        // Carries its own body.
        Kind::Event | Kind::Alert => return None,
    };
    Some(Rendered { url: called(&Vec::new())?, body: Some(body) })
}

/// A status report (section 1.1).
fn report<'a>(due: &Due, message: &Message, networks: &Networks) -> Pairs<'a> {
    let (status, reason) = outcome(&due.recipient);
    let mut pairs: Pairs<'_> = vec![
        ("id", message.id.to_string()),
        ("recipient", due.recipient.msisdn.to_string()),
        ("reference", message.reference.clone().unwrap_or_default()),
        ("status", status.to_owned()),
        ("statusDatetime", due.recipient.changed.rfc3339_offset()),
    ];
    pairs.extend(reason.map(|reason| ("statusReason", reason.to_owned())));
    // Receivers read it as a number, so it is left out when there is none.
    pairs.extend(due.recipient.error.map(|code| ("statusErrorCode", code.to_string())));
    pairs.extend(networks.of(due.recipient.msisdn).map(|network| ("mccmnc", mccmnc(network))));
    pairs.push(("messageLength", message.length.to_string()));
    pairs.push(("messagePartCount", message.parts.to_string()));
    pairs.push(("datacoding", coding_word(message.coding).to_owned()));
    pairs.push(("price[amount]", three_decimals(due.recipient.price)));
    pairs.push(("price[currency]", message.currency.to_string()));
    pairs
}

/// What is told about a received message (section 2).
struct Inbound<'a> {
    message: &'a Message,
    recipient: String,
    is_short: bool,
    /// Unix seconds, UTC.
    date_utc: i64,
    /// The same by the account's clock.
    date: i64,
    /// Of the last message that went the other way, or else a number for the two parties.
    reference: String,
}

impl<'a> Inbound<'a> {
    fn new(due: &Due, message: &'a Message, zone: &str) -> Self {
        let recipient = due.recipient.msisdn;
        let date_utc = message.created.0.div_euclid(1_000_000);
        Inbound {
            recipient: recipient.to_string(),
            is_short: number::is_short_code(recipient),
            date_utc,
            date: date_utc + message.created.offset_seconds(zone),
            reference: message.reference.clone().unwrap_or_else(|| {
                thread(&[&due.scope.account.to_string(), &recipient.to_string(), message.originator.as_str()])
            }),
            message,
        }
    }

    fn id(&self) -> String {
        self.message.id.to_string()
    }

    fn originator(&self) -> String {
        self.message.originator.as_str().to_owned()
    }

    fn created(&self) -> String {
        self.message.created.rfc3339_offset()
    }

    /// What the documentation has: of a long number (section 2.1) or a short code (section 2.2), whose operator is not known.
    fn documented(&self) -> Pairs<'static> {
        let body = self.message.body.clone();
        if self.is_short {
            let received = Timestamp(self.date.saturating_mul(1_000_000)).digits();
            let keyword = body.split_whitespace().next().unwrap_or_default().to_owned();
            return vec![
                ("mid", self.id()),
                ("shortcode", self.recipient.clone()),
                ("keyword", keyword),
                ("originator", self.originator()),
                ("message", body),
                ("receive_datetime", received),
            ];
        }
        vec![
            ("id", self.id()),
            ("recipient", self.recipient.clone()),
            ("originator", self.originator()),
            ("body", body),
            ("createdDatetime", self.created()),
        ]
    }

    /// The same with every other name under which forms were seen to carry it.
    fn all(&self) -> Pairs<'static> {
        let (body, date, date_utc) = (&self.message.body, self.date.to_string(), self.date_utc.to_string());
        let mut pairs = self.documented();
        if self.is_short {
            pairs.extend([("id", self.id()), ("recipient", self.recipient.clone()), ("body", body.clone())]);
        } else {
            pairs.extend([
                ("message", body.clone()),
                ("payload", body.clone()),
                ("receiver", self.recipient.clone()),
                ("sender", self.originator()),
                ("message_id", self.id()),
                ("CreatedDatetime", self.created()),
            ]);
        }
        pairs.extend([("date", date), ("date_utc", date_utc), ("reference", self.reference.clone())]);
        pairs
    }

    /// Section 2.4, in ASCII alone: one SDK's validator reads bodies as Latin-1 (docs/spec/01-signing.md section 3.2).
    fn json(&self) -> String {
        let (id, body, recipient, originator) =
            (self.id(), &self.message.body, &self.recipient, self.originator());
        let document = json!({
            "receiver": recipient, "sender": originator, "message": body, "body": body, "payload": body,
            "date": self.date, "date_utc": self.date_utc, "reference": self.reference, "id": id,
            "message_id": id, "recipient": recipient, "originator": originator, "createdDatetime": self.created(),
            "mms": false, "mediaUrls": [], "mediaContentTypes": [], "subject": "",
        });
        let mut ascii = String::new();
        for c in document.to_string().chars() {
            if c.is_ascii() {
                ascii.push(c);
            } else {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing to a String does not fail.
                    _ = write!(ascii, "\\u{unit:04x}");
                }
            }
        }
        ascii
    }
}

/// The same eleven digits for the same parties, always.
fn thread(parties: &[&str]) -> String {
    let hash = Sha256::digest(parties.join("/"));
    let number = hash.iter().take(8).fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    (10_000_000_000 + number % 90_000_000_000).to_string()
}

/// The headers of spec 01, on the URL as it is called.
pub(in crate::wire) fn sign(signing: &Signing<'_>) -> Vec<(&'static str, String)> {
    let Signing { key, legacy, url, body, now, chance } = *signing;
    signature::Signer::new(key, legacy).headers(url, body, now.0.div_euclid(1_000_000), chance)
}

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
    fn a_thread_has_a_number_of_its_own() {
        let one = thread(&["7310428", "31655500099", "31655500011"]);
        assert_eq!((one.len(), thread(&["7310428", "31655500099", "31655500011"])), (11, one.clone()));
        assert_ne!(thread(&["7310428", "31655500099", "31655500012"]), one);
    }

    #[test]
    fn a_price_has_at_least_three_decimals() {
        for (micro, shown) in [(61_000, "0.061"), (0, "0.000"), (1_500_000, "1.500"), (1, "0.000001")] {
            assert_eq!(three_decimals(Amount(micro)), shown);
        }
    }
}
