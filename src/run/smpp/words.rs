//! What a part is as a `submit_sm`, and what a `deliver_sm` says.

use crate::core::again;
use crate::core::carrier::CarrierId;
use crate::core::fragment::{self, Fragment};
use crate::core::inbound::Inbound;
use crate::core::message::{self, Format, Reason, Status};
use crate::core::part::{Part, WHOLE};
use crate::core::phone::Originator;
use crate::core::query::Question;
use crate::core::receipt::{Outcome, Receipt};
use crate::core::smpp_carrier::SmppSettings;
use crate::core::{binary, number};
use smpp::concatenation::{self, Method};
use smpp::encoding::{Coding, Content, DefaultAlphabet};
use smpp::moment::Moment;
use smpp::receipt::{self, normalise};
use smpp::session::{Queried, Query};
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
    Moment::Relative(left.max(Duration::from_mins(1)))
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

/// The question about a part, which is said to come from whom it was said to come when it was submitted.
pub(super) fn query(question: &Question, settings: &SmppSettings) -> Query {
    let source = with(originator(question.originator.as_str()), settings.source);
    Query { id: question.name.clone(), source }
}

/// What has become of a part that was asked about, if nothing more will happen to it. That a carrier does not know says
/// nothing: it may have forgotten.
pub(super) fn known(queried: &Queried) -> Option<Outcome> {
    let is_known = queried.state.is_final() && queried.state != MessageState::Unknown;
    is_known.then(|| ended(queried.state, Some(i64::from(queried.error)).filter(|code| *code > 0)))
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

/// What a text is known by, since the carrier has no name for it: all that it says.
pub(super) fn key(message: &ShortMessage) -> String {
    let ShortMessage { source, destination, esm_class, data_coding, octets, sar, .. } = message;
    let place = sar.map(|Place { reference, total, number }| {
        let [high, low] = reference.to_be_bytes();
        [high, low, total, number]
    });
    again::key(&[
        source.value.as_bytes(),
        destination.value.as_bytes(),
        &[esm_class.0, *data_coding],
        place.as_ref().map_or(&[], |place| place.as_slice()),
        octets,
    ])
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
    // A text may have letters where the network has a number.
    let said = receipt.error.as_deref().and_then(|error| error.parse::<i64>().ok());
    let network = receipt.network_error.map(|error| i64::from(error.code));
    ended(receipt.state, said.or(network).filter(|code| *code > 0))
}

fn ended(state: MessageState, error: Option<i64>) -> Outcome {
    let failed = |reason| Outcome { status: Status::Failed, reason, error };
    match state {
        MessageState::Delivered => {
            Outcome { status: Status::Delivered, reason: Reason::Delivered, error: None }
        }
        MessageState::Expired => Outcome { status: Status::Expired, reason: Reason::Expired, error },
        MessageState::Rejected => failed(Reason::Rejected),
        state if state.is_final() => failed(error.map_or(Reason::Generic, Reason::of_code)),
        _ => Outcome { status: Status::Buffered, reason: Reason::Pending, error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::carrier::Settings;
    use crate::core::message::{Coding as Asked, MessageId};
    use crate::core::money::{Amount, Currency};
    use crate::core::part::PartId;
    use crate::core::phone::Msisdn;
    use crate::core::{AccountId, Scope, Timestamp};
    use smpp::short_message::{EsmClass, NetworkError};

    fn settings(pairs: &[(&str, &str)]) -> SmppSettings {
        let mut settings = Settings::default();
        settings.set("host", "smsc.example.com");
        settings.set("system-id", "rookery");
        for (name, value) in pairs {
            settings.set(*name, *value);
        }
        SmppSettings::read(&settings).expect("settings")
    }

    fn part(body: &str) -> Part {
        let parts = i64::try_from(smpp::text::parts(body, Alphabet::Gsm7)).expect("a count");
        Part {
            id: PartId([1; 16]),
            scope: Scope { root: AccountId(1), account: AccountId(2) },
            message: MessageId([7; 16]),
            to: Msisdn(31_612_345_678),
            number: 1,
            currency: Currency::EUR,
            price: Amount::ZERO,
            cost: Amount::ZERO,
            accepted: false,
            originator: Originator::parse("FarmShop").expect("an originator"),
            body: body.into(),
            coding: Asked::Plain,
            format: Format::Sms,
            parts,
            class: 1,
            udh: None,
            validity: None,
            expires: Timestamp(0),
            reports_to: None,
        }
    }

    fn sent(part: &Part, pairs: &[(&str, &str)]) -> ShortMessage {
        submission(part, &settings(pairs), 0).expect("a submission")
    }

    #[test]
    fn addresses_say_what_they_are_unless_the_carrier_wants_otherwise() {
        let message = sent(&part("Hi"), &[]);
        assert_eq!((message.source.ton, message.destination.ton), (Ton::ALPHANUMERIC, Ton::INTERNATIONAL));
        assert_eq!(message.destination.value, "31612345678");
        let code = Part { originator: Originator::parse("1234").expect("digits"), ..part("Hi") };
        assert_eq!(sent(&code, &[]).source, Address::short_code("1234"));
        let own = sent(&part("Hi"), &[("source-ton", "0"), ("destination-npi", "9")]);
        assert_eq!((own.source.ton, own.destination.npi), (Ton(0), Npi(9)));
    }

    #[test]
    fn every_part_is_sent_as_it_was_priced() {
        let body = "Your crate is ready, all of it. ".repeat(14);
        for long in ["udh", "udh16", "sar", "payload"] {
            let first = part(&body);
            let texts: Vec<ShortMessage> = (1..=first.parts)
                .map(|number| sent(&Part { number, ..first.clone() }, &[("long", long)]))
                .collect();
            let kept: Vec<_> = texts.iter().filter_map(concatenation::Part::of).collect();
            assert_eq!(kept.len(), 3, "{long}");
            let whole = concatenation::join(&kept, DefaultAlphabet::Gsm7).pop().expect("a whole message");
            assert_eq!(whole.content, Content::Text(body.clone()), "{long}");
            assert!(submission(&Part { number: 4, ..first }, &settings(&[("long", long)]), 0).is_none());
        }
        let whole = sent(&Part { number: WHOLE, ..part(&body) }, &[("long", "payload")]);
        assert!(whole.is_payload && whole.octets.len() == body.len());
    }

    #[test]
    fn octets_travel_with_their_own_header_or_one_for_each_part() {
        let binary = |body: &str, udh: Option<&str>, parts| Part {
            format: Format::Binary,
            udh: udh.map(str::to_owned),
            parts,
            ..part(body)
        };
        let own = sent(&binary("00ff7a", Some("0605040b8423f0"), 1), &[]);
        assert_eq!(own.octets, [6, 5, 4, 0x0B, 0x84, 0x23, 0xF0, 0x00, 0xFF, 0x7A]);
        assert!(own.esm_class.has_header() && own.data_coding == 4);
        let last = Part { number: 2, ..binary(&"ab".repeat(200), None, 2) };
        let last = sent(&last, &[("long", "udh16")]);
        assert_eq!(last.octets.len(), 6 + 66, "of 134 and 66");
        assert_eq!(&last.octets[..3], [5, 0, 3]);
    }

    #[test]
    fn flash_and_validity_are_said() {
        let flash = Part { format: Format::Flash, ..part("At once") };
        assert_eq!(sent(&flash, &[]).data_coding, 0x10);
        let hour = Part { validity: Some(3_600), expires: Timestamp(3_600_000_000), ..part("Soon") };
        assert_eq!(sent(&hour, &[]).validity, Some(Moment::Relative(Duration::from_hours(1))));
        let late = submission(&hour, &settings(&[]), 3_599_000_000).expect("a submission");
        assert_eq!(late.validity, Some(Moment::Relative(Duration::from_mins(1))));
        assert_eq!(sent(&part("Whenever"), &[]).validity, None);
    }

    #[test]
    fn a_carriers_own_alphabet_is_used_where_it_has_every_character() {
        let latin = [("alphabet", "latin1")];
        let plain = sent(&part("Grüße"), &latin);
        assert_eq!((plain.data_coding, plain.octets.as_slice()), (0, &b"Gr\xFC\xDFe"[..]));
        assert_eq!(sent(&part("5 €"), &latin).data_coding, 0xF1, "GSM 03.38, and said so");
        let unicode = Part { coding: Asked::Unicode, ..part("5 €") };
        assert_eq!(sent(&unicode, &latin).data_coding, 8);
    }

    #[test]
    fn receipts_end_or_do_not() {
        let receipt = |state: MessageState, text: &str| ShortMessage {
            esm_class: EsmClass::DELIVERY_RECEIPT,
            receipted_message_id: Some("00AB".into()),
            message_state: Some(state),
            octets: text.as_bytes().to_vec(),
            ..ShortMessage::default()
        };
        let heard = |message: &ShortMessage| match delivered(message, &settings(&[]), CarrierId(1)) {
            Delivered::Receipt(receipt) => (receipt.reference, receipt.outcome),
            other => panic!("{other:?}"),
        };
        let cases = [
            (MessageState::Delivered, "err:000", Status::Delivered, Reason::Delivered, None),
            (MessageState::Expired, "err:000", Status::Expired, Reason::Expired, None),
            (MessageState::Undeliverable, "err:027", Status::Failed, Reason::UnavailableSubscriber, Some(27)),
            (MessageState::Undeliverable, "err:0xB", Status::Failed, Reason::Generic, None),
            (MessageState::Rejected, "", Status::Failed, Reason::Rejected, None),
            (MessageState::Unknown, "", Status::Failed, Reason::Generic, None),
            (MessageState::Enroute, "", Status::Buffered, Reason::Pending, None),
            (MessageState::Accepted, "", Status::Buffered, Reason::Pending, None),
        ];
        for (state, text, status, reason, error) in cases {
            let (reference, outcome) = heard(&receipt(state, &format!("id:ab stat:X {text}")));
            assert_eq!((reference.as_str(), outcome), ("ab", Outcome { status, reason, error }), "{state:?}");
        }
        let network = ShortMessage {
            network_error: Some(NetworkError { network: 3, code: 11 }),
            ..receipt(MessageState::Undeliverable, "id:ab err:00B")
        };
        assert_eq!(heard(&network).1.error, Some(11));
    }

    #[test]
    fn a_text_in_a_receipts_form_is_one_only_where_the_carrier_marks_none() {
        let message = ShortMessage {
            source: Address::international("31612345678"),
            destination: Address::international("31655500099"),
            octets: b"id:ab sub:001 dlvrd:001 stat:DELIVRD err:000".to_vec(),
            ..ShortMessage::default()
        };
        assert!(matches!(delivered(&message, &settings(&[]), CarrierId(1)), Delivered::Text(_)));
        let unmarked = settings(&[("unmarked-receipts", "true")]);
        assert!(matches!(delivered(&message, &unmarked, CarrierId(1)), Delivered::Receipt(_)));
        let nowhere = ShortMessage { destination: Address::alphanumeric("Nobody"), ..message };
        assert!(matches!(delivered(&nowhere, &settings(&[]), CarrierId(1)), Delivered::Nowhere));
    }
}
