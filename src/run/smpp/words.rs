//! What a part is as a `submit_sm`, and what a `deliver_sm` says.

use crate::core::message::{self, Format, Reason, Status};
use crate::core::part::{Part, WHOLE};
use crate::core::receipt::{Outcome, Receipt};
use crate::core::smpp_carrier::SmppSettings;
use smpp::concatenation::{self, Method};
use smpp::encoding::{Coding, Content, DefaultAlphabet};
use smpp::receipt::{self, normalise};
use smpp::short_message::{Address, MessageState, Npi, RegisteredDelivery, ShortMessage, Ton};
use smpp::status::Status as CommandStatus;
use smpp::text::Alphabet;

/// Digits of the longest short code.
const SHORT_CODE: usize = 6;

/// The `submit_sm` that brings a part.
pub(super) fn submission(part: &Part, settings: &SmppSettings) -> Option<ShortMessage> {
    let coding = coding(part, settings.alphabet);
    let class = (part.format == Format::Flash).then_some(0);
    let template = ShortMessage {
        service_type: settings.service_type.clone(),
        source: with(originator(part.originator.as_str()), settings.source),
        destination: with(Address::international(part.to.to_string()), settings.destination),
        registered_delivery: RegisteredDelivery::FINAL,
        data_coding: coding
            .data_coding(class, settings.alphabet)
            .or(coding.data_coding(None, settings.alphabet))?,
        ..ShortMessage::default()
    };
    let id = part.message.0;
    let reference = u16::from_be_bytes([id[14], id[15]]);
    if part.number == WHOLE {
        return concatenation::segment(&template, &part.body, coding, Method::Payload, reference).ok()?.pop();
    }
    let number = usize::try_from(part.number).ok()?.checked_sub(1)?;
    let parts = |method| concatenation::segment(&template, &part.body, coding, method, reference).ok();
    // What was priced as so many parts is sent as so many: a longer header has room for less.
    let fits = |parts: &Vec<ShortMessage>| i64::try_from(parts.len()) == Ok(part.parts);
    let long = if settings.long == Method::Payload { Method::Header8 } else { settings.long };
    let parts = parts(long).filter(fits).or_else(|| parts(Method::Header8))?;
    parts.into_iter().nth(number)
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
    /// A message of a phone, or a part of one.
    Message(Box<ShortMessage>),
}

/// What a `deliver_sm` or `data_sm` is.
pub(super) fn delivered(message: ShortMessage, settings: &SmppSettings) -> Delivered {
    let unmarked = || match concatenation::content(&message, settings.alphabet) {
        Content::Text(text) if settings.unmarked_receipts => receipt::Receipt::from_text(&text),
        _ => None,
    };
    let Some(receipt) = receipt::read(&message).or_else(unmarked) else {
        return Delivered::Message(Box::new(message));
    };
    let reference = normalise(&receipt.id, settings.receipt_ids);
    Delivered::Receipt(Receipt { reference, outcome: outcome(&receipt) })
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
