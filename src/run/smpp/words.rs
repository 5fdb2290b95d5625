//! What a part is as a `submit_sm`, and what a `deliver_sm` says.

use crate::core::carrier::CarrierId;
use crate::core::fragment::{self, Fragment};
use crate::core::inbound::Inbound;
use crate::core::message::{self, Format, Reason, Status};
use crate::core::part::{Part, WHOLE};
use crate::core::phone::Originator;
use crate::core::receipt::{Outcome, Receipt};
use crate::core::smpp_carrier::SmppSettings;
use crate::core::{binary, number};
use smpp::concatenation::{self, Method};
use smpp::encoding::{Coding, Content, DefaultAlphabet};
use smpp::moment::Moment;
use smpp::receipt::{self, normalise};
use smpp::short_message::{Address, MessageState, Npi, Place, RegisteredDelivery, ShortMessage, Ton};
use smpp::status::Status as CommandStatus;
use smpp::text::Alphabet;
use std::time::Duration;

/// Digits of the longest short code.
const SHORT_CODE: usize = 6;

/// The `submit_sm` that brings a part.
pub(super) fn submission(part: &Part, settings: &SmppSettings, now: i64) -> Option<ShortMessage> {
    let is_binary = part.format == Format::Binary;
    let coding = if is_binary { Coding::Binary } else { coding(part, settings.alphabet) };
    let class = if part.format == Format::Flash { Some(0) } else { class(part.class) };
    let validity = part.validity.map(|_| remaining(part.expires.0, now));
    let template = ShortMessage {
        service_type: settings.service_type.clone(),
        source: with(originator(part.originator.as_str()), settings.source),
        destination: with(Address::international(part.to.to_string()), settings.destination),
        registered_delivery: RegisteredDelivery::FINAL,
        data_coding: coding
            .data_coding(class, settings.alphabet)
            .or(coding.data_coding(None, settings.alphabet))?,
        validity,
        ..ShortMessage::default()
    };
    let id = part.message.0;
    let reference = u16::from_be_bytes([id[14], id[15]]);
    if is_binary {
        return octets(part, template, settings.long, reference);
    }
    if part.number == WHOLE {
        return concatenation::segment(&template, &part.body, coding, Method::Payload, reference).ok()?.pop();
    }
    let number = usize::try_from(part.number).ok()?.checked_sub(1)?;
    let parts = |method| concatenation::segment(&template, &part.body, coding, method, reference).ok();
    // What was priced as so many parts is sent as so many: a longer header has room for less.
    let fits = |parts: &Vec<ShortMessage>| i64::try_from(parts.len()) == Ok(part.parts);
    let parts = parts(cut(settings.long)).filter(fits).or_else(|| parts(Method::Header8))?;
    parts.into_iter().nth(number)
}

/// How parts say that they are, for one that is not sent whole.
fn cut(method: Method) -> Method {
    if method == Method::Payload { Method::Header8 } else { method }
}

/// A class that says more than none does: 1 is every phone's own.
fn class(class: i64) -> Option<u8> {
    u8::try_from(class).ok().filter(|class| *class != 1)
}

/// What is left of a part's time, at least a minute: carriers do not know less.
fn remaining(expires: i64, now: i64) -> Moment {
    let left = Duration::from_micros(expires.saturating_sub(now).max(0).unsigned_abs());
    Moment::Relative(left.max(Duration::from_secs(60)))
}

/// A part of a binary message, with the header that it brings along or the one of its part.
fn octets(part: &Part, template: ShortMessage, long: Method, reference: u16) -> Option<ShortMessage> {
    let body = binary::octets(&part.body)?;
    if let Some(header) = &part.udh {
        let octets = [binary::octets(header)?, body].concat();
        let esm_class = template.esm_class.with_header(true);
        return Some(ShortMessage { octets, esm_class, ..template });
    }
    if part.number == WHOLE {
        return Some(ShortMessage { octets: body, is_payload: true, ..template });
    }
    let parts = binary::segment(&body);
    let place =
        Place { reference, total: u8::try_from(parts.len()).ok()?, number: u8::try_from(part.number).ok()? };
    let own = parts.get(usize::from(place.number).checked_sub(1)?)?;
    let mut message = ShortMessage { octets: own.to_vec(), ..template };
    if parts.len() > 1 {
        // Six octets are set aside for the header, which a reference of 16 bits does not leave.
        let method = if cut(long) == Method::Sar { Method::Sar } else { Method::Header8 };
        concatenation::mark(&mut message, place, method);
    }
    Some(message)
}

/// In which octets a part travels: those of the carrier's own alphabet if it has every character.
fn coding(part: &Part, default: DefaultAlphabet) -> Coding {
    match (message::alphabet(part.coding, &part.body), default) {
        (Alphabet::Ucs2, _) => Coding::Ucs2,
        (Alphabet::Gsm7, DefaultAlphabet::Gsm7Packed) => Coding::Gsm7Packed,
        (Alphabet::Gsm7, DefaultAlphabet::Latin1) if part.body.chars().all(|c| u32::from(c) < 0x100) => {
            Coding::Latin1
        }
        (Alphabet::Gsm7, DefaultAlphabet::Ascii) if part.body.is_ascii() => Coding::Ascii,
        (Alphabet::Gsm7, _) => Coding::Gsm7,
    }
}

fn originator(text: &str) -> Address {
    let is_number = text.bytes().all(|b| b.is_ascii_digit());
    match text.len() {
        _ if !is_number => Address::alphanumeric(text),
        ..=SHORT_CODE => Address::short_code(text),
        _ => Address::international(text),
    }
}

fn with(address: Address, (ton, npi): (Option<u8>, Option<u8>)) -> Address {
    Address { ton: ton.map_or(address.ton, Ton), npi: npi.map_or(address.npi, Npi), ..address }
}

/// What a refusal means (SMPP 3.4, 5.1.3).
pub(super) fn refusal(status: CommandStatus) -> Reason {
    match status {
        CommandStatus::INVALID_DESTINATION => Reason::IncorrectNumber,
        _ => Reason::Rejected,
    }
}

/// What a carrier delivers.
#[derive(Debug)]
pub(super) enum Delivered {
    /// What became of a part.
    Receipt(Receipt),
    /// A message of a phone.
    Text(Inbound),
    /// A part of one.
    Fragment(Box<Fragment>),
    /// A message to what is no number.
    Nowhere,
}

/// What a `deliver_sm` or `data_sm` is.
pub(super) fn delivered(message: &ShortMessage, settings: &SmppSettings, carrier: CarrierId) -> Delivered {
    let unmarked = || match concatenation::content(message, settings.alphabet) {
        Content::Text(text) if settings.unmarked_receipts => receipt::Receipt::from_text(&text),
        _ => None,
    };
    let Some(receipt) = receipt::read(message).or_else(unmarked) else {
        return text(message, settings, carrier);
    };
    let reference = normalise(&receipt.id, settings.receipt_ids);
    Delivered::Receipt(Receipt { reference, outcome: outcome(&receipt) })
}

/// Whom a message is from that says nothing which could be told.
const NOBODY: &str = "unknown";

fn text(message: &ShortMessage, settings: &SmppSettings, carrier: CarrierId) -> Delivered {
    let digits = message.destination.value.trim_start_matches('+');
    let Ok(to) = number::parse(digits) else { return Delivered::Nowhere };
    let named = Originator::parse(&message.source.value).or_else(|_| Originator::parse(NOBODY));
    let Ok(from) = named else { return Delivered::Nowhere };
    if let Some(part) = concatenation::Part::of(message) {
        let alphabet = settings.alphabet;
        return Delivered::Fragment(Box::new(Fragment { carrier, from, to, part, alphabet }));
    }
    let body = fragment::text(concatenation::content(message, settings.alphabet));
    Delivered::Text(Inbound { carrier, reference: None, from, to, body, otherwise: None })
}

fn outcome(receipt: &receipt::Receipt) -> Outcome {
    let error = receipt.error.as_deref().and_then(|error| error.parse::<i64>().ok()).filter(|code| *code > 0);
    let failed = |reason| Outcome { status: Status::Failed, reason, error };
    match receipt.state {
        MessageState::Delivered => {
            Outcome { status: Status::Delivered, reason: Reason::Delivered, error: None }
        }
        MessageState::Expired => Outcome { status: Status::Expired, reason: Reason::Expired, error },
        MessageState::Rejected => failed(Reason::Rejected),
        state if state.is_final() => failed(error.map_or(Reason::Generic, Reason::of_code)),
        _ => Outcome { status: Status::Buffered, reason: Reason::Pending, error },
    }
}
