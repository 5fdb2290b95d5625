//! Delivery receipts: read from parameters and from every layout of text in use, and written (SMPP 3.4, appendix B).
//!
//! The standard gives the text as an example only, so every carrier has its own:
//! `id:IIIIIIIIII sub:SSS dlvrd:DDD submit date:YYMMDDhhmm done date:YYMMDDhhmm stat:DDDDDDD err:E text:…`

use crate::moment::utc;
use crate::short_message::{EsmClass, MessageState, NetworkError, ShortMessage};
use crate::{concatenation, encoding, text};
use jiff::tz::Offset;
use std::fmt;

/// What became of a message.
#[derive(Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The carrier's name for the message, as the receipt has it: compare by [`normalise`]. Never empty.
    pub id: String,
    /// What became of it.
    pub state: MessageState,
    /// The carrier's code for why, as the text has it, or the number that the network said. None where nothing is wrong
    /// (`000`), and where nothing is said.
    pub error: Option<String>,
    /// What the network said, with whose code it is.
    pub network_error: Option<NetworkError>,
    /// When the carrier took it, in microseconds since 1970, the text's clock taken for UTC.
    pub submitted: Option<i64>,
    /// When it ended so, in microseconds since 1970, the text's clock taken for UTC.
    pub done: Option<i64>,
    /// The beginning of what it said.
    pub text: String,
}

/// Does not show what the message said.
impl fmt::Debug for Receipt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Receipt")
            .field("id", &self.id)
            .field("state", &self.state)
            .field("error", &self.error)
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}

/// How a carrier writes the ids of messages: one form in `submit_sm_resp` and perhaps another in receipts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum IdForm {
    /// Any characters.
    #[default]
    Text,
    /// A decimal number.
    Decimal,
    /// A hexadecimal number.
    Hexadecimal,
}

/// Characters of an id that count: the longest that its field has room for (SMPP 3.4, 5.2.23).
const ID_MAX: usize = 64;

/// The one form in which the id of an answer and that of a receipt are equal: without spaces and leading zeros, small
/// letters, and decimal where the carrier's form is known to be a number. What is not in that form is taken as text. Of
/// a longer one than the standard allows the first 64 characters count.
pub fn normalise(id: &str, form: IdForm) -> String {
    let id = id.trim_matches(|each: char| each.is_whitespace() || each.is_control());
    let id = id.char_indices().nth(ID_MAX).map_or(id, |(end, _)| id.get(..end).unwrap_or_default());
    let number = match form {
        IdForm::Text => None,
        IdForm::Decimal => id.parse::<u128>().ok().filter(|_| !id.starts_with('+')),
        IdForm::Hexadecimal => {
            let digits = id.strip_prefix("0x").or_else(|| id.strip_prefix("0X")).unwrap_or(id);
            u128::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))
        }
    };
    if let Some(number) = number {
        return number.to_string();
    }
    let shorter = id.trim_start_matches('0');
    if shorter.is_empty() { id.get(..1).unwrap_or_default().to_owned() } else { shorter.to_ascii_lowercase() }
}

/// What a message is a receipt about: parameters say more than text, and text fills in what they do not say. None if the
/// message is no receipt or names no message.
///
/// A message that is not marked as a receipt, by `esm_class` or by the parameter that names a message, is never one:
/// else whoever sends a text in that form to one of the numbers could forge receipts. For a carrier that does not mark
/// them there is [`Receipt::from_text`].
pub fn read(message: &ShortMessage) -> Option<Receipt> {
    let named = message.receipted_message_id.as_deref().map(str::trim).filter(|id| !id.is_empty());
    if !message.esm_class.is_receipt() && named.is_none() {
        return None;
    }
    let text = text_of(message);
    let mut receipt = match named {
        Some(id) => Receipt { id: id.to_owned(), ..Fields::of(&text).receipt() },
        None => Receipt::from_text(&text)?,
    };
    if let Some(state) = message.message_state {
        receipt.state = state;
    } else if receipt.state == MessageState::Unknown && message.esm_class.is_intermediate() {
        receipt.state = MessageState::Enroute;
    }
    receipt.network_error = message.network_error;
    if receipt.error.is_none() {
        receipt.error =
            message.network_error.filter(|error| error.code != 0).map(|error| error.code.to_string());
    }
    Some(receipt)
}

/// The text of a receipt. Its `data_coding` says little: digits and Latin letters stand in the same place everywhere,
/// except in UCS-2, which shows by its zeros.
fn text_of(message: &ShortMessage) -> String {
    let (_, header) = concatenation::place(message);
    let octets = message.octets.get(header..).unwrap_or_default();
    let coding = match octets {
        [0, _, 0, _, ..] => encoding::Coding::Ucs2,
        _ => encoding::Coding::Latin1,
    };
    match coding.read(octets, 0) {
        encoding::Content::Text(text) => text,
        encoding::Content::Binary(_) => String::new(),
    }
}

/// The names that fields have in receipts, in small letters and without spaces, `_` and `-`.
const NAMES: [(&str, Name); 18] = [
    ("id", Name::Id),
    ("messageid", Name::Id),
    ("msgid", Name::Id),
    ("sub", Name::Other),
    ("dlvrd", Name::Other),
    ("submitdate", Name::Submitted),
    ("submitted", Name::Submitted),
    ("sdate", Name::Submitted),
    ("donedate", Name::Done),
    ("done", Name::Done),
    ("ddate", Name::Done),
    ("stat", Name::State),
    ("state", Name::State),
    ("status", Name::State),
    ("err", Name::Error),
    ("error", Name::Error),
    ("text", Name::Text),
    ("msg", Name::Text),
];
/// The longest name, with what may stand between its letters.
const LONGEST: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Id,
    Submitted,
    Done,
    State,
    Error,
    Text,
    Other,
}

/// The fields of a receipt's text.
#[derive(Default)]
struct Fields<'a> {
    id: Option<&'a str>,
    submitted: Option<&'a str>,
    done: Option<&'a str>,
    state: Option<&'a str>,
    error: Option<&'a str>,
    text: Option<&'a str>,
}

impl<'a> Fields<'a> {
    /// The first of each name counts: behind `text:` stands what a customer wrote, which may look like fields.
    fn of(text: &'a str) -> Fields<'a> {
        let mut fields = Fields::default();
        let mut found = Vec::new();
        let mut at = 0;
        while at < text.len() {
            match name_at(text, at) {
                Some((name, length)) => {
                    found.push((name, at, at + length));
                    at += length;
                }
                None => at += text.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8),
            }
        }
        for (index, (name, _, begin)) in found.iter().enumerate() {
            let end = found.get(index + 1).map_or(text.len(), |(_, next, _)| *next);
            let value = text.get(*begin..end).unwrap_or_default().trim_matches(is_between);
            let field = match name {
                Name::Id => &mut fields.id,
                Name::Submitted => &mut fields.submitted,
                Name::Done => &mut fields.done,
                Name::State => &mut fields.state,
                Name::Error => &mut fields.error,
                Name::Text => &mut fields.text,
                Name::Other => continue,
            };
            field.get_or_insert(value);
        }
        fields
    }

    fn receipt(&self) -> Receipt {
        let error = self.error.map(first_word).filter(|code| !code.trim_start_matches('0').is_empty());
        Receipt {
            id: self.id.map(first_word).unwrap_or_default().to_owned(),
            state: self.state.map_or(MessageState::Unknown, state),
            error: error.map(str::to_owned),
            network_error: None,
            submitted: self.submitted.and_then(date),
            done: self.done.and_then(date),
            text: self.text.unwrap_or_default().to_owned(),
        }
    }
}

fn is_between(character: char) -> bool {
    character.is_whitespace() || character.is_control() || matches!(character, ',' | ';' | '|' | '"' | '\'')
}

fn first_word(value: &str) -> &str {
    value.split(is_between).next().unwrap_or_default()
}

/// The name that begins here, and how long it is with its `:` or `=`. A name begins the text or stands behind a
/// character that is in no word.
fn name_at(text: &str, at: usize) -> Option<(Name, usize)> {
    let before = text.get(..at)?.chars().next_back();
    if before.is_some_and(char::is_alphanumeric) {
        return None;
    }
    let mut name = String::new();
    for (offset, octet) in text.bytes().skip(at).enumerate().take(LONGEST) {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' => name.push(char::from(octet.to_ascii_lowercase())),
            b' ' | b'_' | b'-' if !name.is_empty() => {}
            b':' | b'=' => {
                let (_, known) = NAMES.iter().find(|(known, _)| *known == name)?;
                return Some((*known, offset + 1));
            }
            _ => return None,
        }
    }
    None
}

/// The state that a word says. Carriers write at most seven letters of it, or all.
fn state(word: &str) -> MessageState {
    let word = first_word(word).to_ascii_uppercase();
    let says = |beginnings: &[&str]| beginnings.iter().any(|beginning| word.starts_with(beginning));
    if let Ok(number) = word.parse::<u8>() {
        return number.into();
    }
    if says(&["DELIV", "DLVR"]) {
        MessageState::Delivered
    } else if says(&["EXPIR"]) {
        MessageState::Expired
    } else if says(&["DELET", "CANCEL"]) {
        MessageState::Deleted
    } else if says(&["UNDEL", "FAIL", "NOTDEL"]) {
        MessageState::Undeliverable
    } else if says(&["ACCEP", "ACCPT", "ACKED"]) {
        MessageState::Accepted
    } else if says(&["REJEC"]) {
        MessageState::Rejected
    } else if says(&["ENROU", "BUFF", "QUEUE", "SUBMIT"]) {
        MessageState::Enroute
    } else if says(&["SKIP"]) {
        MessageState::Skipped
    } else if says(&["SCHED"]) {
        MessageState::Scheduled
    } else {
        MessageState::Unknown
    }
}

/// The word for a state in the standard layout, seven letters.
fn word(state: MessageState) -> &'static str {
    match state {
        MessageState::Scheduled => "SCHEDLD",
        MessageState::Enroute => "ENROUTE",
        MessageState::Delivered => "DELIVRD",
        MessageState::Expired => "EXPIRED",
        MessageState::Deleted => "DELETED",
        MessageState::Undeliverable => "UNDELIV",
        MessageState::Accepted => "ACCEPTD",
        MessageState::Unknown | MessageState::Other(_) => "UNKNOWN",
        MessageState::Rejected => "REJECTD",
        MessageState::Skipped => "SKIPPED",
    }
}

/// Reads a date of 10 (`YYMMDDhhmm`), 12 (with seconds, or with the whole year) or 14 digits, whatever stands between.
fn date(text: &str) -> Option<i64> {
    let digits: Vec<u32> = text.chars().take(24).filter_map(|each| each.to_digit(10)).collect();
    let pair = |at: usize| Some(digits.get(at)? * 10 + digits.get(at + 1)?);
    let short = |seconds| {
        utc([2000 + pair(0)?, pair(2)?, pair(4)?, pair(6)?, pair(8)?, if seconds { pair(10)? } else { 0 }])
    };
    let long = |seconds| {
        let year = pair(0)? * 100 + pair(2)?;
        utc([year, pair(4)?, pair(6)?, pair(8)?, pair(10)?, if seconds { pair(12)? } else { 0 }])
    };
    match digits.len() {
        10 => short(false),
        12 => short(true).or_else(|| long(false)),
        14 => long(true),
        _ => None,
    }
}

/// A date as the standard layout has it, to the minute; zeros for what it cannot say.
fn written(micros: Option<i64>) -> String {
    let time = micros.and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok());
    let Some(time) = time.map(|time| Offset::UTC.to_datetime(time)) else { return "0000000000".to_owned() };
    let (year, month, day) = (time.year().rem_euclid(100), time.month(), time.day());
    format!("{year:02}{month:02}{day:02}{:02}{:02}", time.hour(), time.minute())
}

impl Receipt {
    /// Reads a text, whatever the message was marked as. None if it names no message or no state.
    pub fn from_text(text: &str) -> Option<Receipt> {
        let fields = Fields::of(text);
        let receipt = fields.receipt();
        (fields.state.is_some() && !receipt.id.is_empty()).then_some(receipt)
    }

    /// The text in the standard layout.
    pub fn to_text(&self) -> String {
        let is_delivered = u8::from(self.state == MessageState::Delivered);
        let text: String = self.text.chars().take(20).collect();
        format!(
            "id:{} sub:001 dlvrd:{is_delivered:03} submit date:{} done date:{} stat:{} err:{} text:{text}",
            self.id,
            written(self.submitted),
            written(self.done),
            word(self.state),
            self.error.as_deref().unwrap_or("000"),
        )
    }

    /// The message that brings this receipt to who sent the original: its addresses are turned round, and what became of
    /// it stands in the text as well as in the parameters.
    pub fn message(&self, original: &ShortMessage) -> ShortMessage {
        let text = Receipt { text: text::replaced(&self.text).into_owned(), ..self.clone() }.to_text();
        ShortMessage {
            service_type: original.service_type.clone(),
            source: original.destination.clone(),
            destination: original.source.clone(),
            esm_class: EsmClass::DELIVERY_RECEIPT,
            octets: encoding::Coding::Gsm7.write(&text),
            receipted_message_id: Some(self.id.clone()),
            message_state: Some(self.state),
            network_error: self.network_error,
            user_message_reference: original.user_message_reference,
            ..ShortMessage::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2026-11-22T09:05:00Z.
    const THEN: i64 = 1_795_338_300_000_000;

    fn marked(text: &str) -> ShortMessage {
        ShortMessage {
            esm_class: EsmClass::DELIVERY_RECEIPT,
            octets: text.as_bytes().to_vec(),
            ..ShortMessage::default()
        }
    }

    #[test]
    fn layouts_in_use_are_read() {
        for (text, id, state, error, done) in [
            (
                "id:0123456789 sub:001 dlvrd:001 submit date:2611220900 done date:2611220905 stat:DELIVRD err:000 text:Hello",
                "0123456789",
                MessageState::Delivered,
                None,
                Some(THEN),
            ),
            (
                "id:a1b2-c3 sub:001 dlvrd:000 submit date:261122090000 done date:261122090500 stat:UNDELIV err:0x1F Text:",
                "a1b2-c3",
                MessageState::Undeliverable,
                Some("0x1F"),
                Some(THEN),
            ),
            (
                "Id=77 Stat=EXPIRED Done date=20261122090500 Err=69",
                "77",
                MessageState::Expired,
                Some("69"),
                Some(THEN),
            ),
            (
                "ID: 77 SUB: 001 STAT: REJECTD ERR: E12 DONE DATE: 202611220905",
                "77",
                MessageState::Rejected,
                Some("E12"),
                Some(THEN),
            ),
            ("stat:ACCEPTD id:77 donedate:2611220905", "77", MessageState::Accepted, None, Some(THEN)),
            (
                "stat:UNKNOWN,id:77,done_date:26-11-22 09:05,err:0",
                "77",
                MessageState::Unknown,
                None,
                Some(THEN),
            ),
            ("id:77\nstat:DELETED\ndone date:soon\nerr:\ntext:", "77", MessageState::Deleted, None, None),
            ("id:77 stat:ENROUTE", "77", MessageState::Enroute, None, None),
            ("id:77 stat:2", "77", MessageState::Delivered, None, None),
            ("id:77 status:Delivered", "77", MessageState::Delivered, None, None),
            ("id:77 stat:BUFFERED", "77", MessageState::Enroute, None, None),
            ("id:77 stat:SKIPPED", "77", MessageState::Skipped, None, None),
            ("id:77 stat:SCHEDULED", "77", MessageState::Scheduled, None, None),
            // The customer's own words say nothing.
            (
                "id:77 stat:UNDELIV err:5 text:id:1 stat:DELIVRD err:0",
                "77",
                MessageState::Undeliverable,
                Some("5"),
                None,
            ),
        ] {
            let receipt = read(&marked(text)).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((receipt.id.as_str(), receipt.state), (id, state), "{text}");
            assert_eq!((receipt.error.as_deref(), receipt.done), (error, done), "{text}");
        }
    }

    #[test]
    fn what_names_no_message_or_is_not_marked_is_none() {
        for text in ["", "Hello", "stat:DELIVRD", "id: stat:DELIVRD", "id:77", "paid:77 instat:DELIVRD"] {
            assert_eq!(read(&marked(text)), None, "{text}");
        }
        let forged = ShortMessage { esm_class: EsmClass(0), ..marked("id:77 stat:DELIVRD") };
        assert_eq!(read(&forged), None);
        assert!(Receipt::from_text("id:77 stat:DELIVRD").is_some());
    }

    #[test]
    fn parameters_say_more_than_text() {
        let message = ShortMessage {
            receipted_message_id: Some("9A".into()),
            message_state: Some(MessageState::Undeliverable),
            network_error: Some(NetworkError { network: 3, code: 27 }),
            ..marked("id:154 stat:DELIVRD done date:2611220905")
        };
        let receipt = read(&message).unwrap();
        assert_eq!((receipt.id.as_str(), receipt.state), ("9A", MessageState::Undeliverable));
        assert_eq!((receipt.error.as_deref(), receipt.done), (Some("27"), Some(THEN)));
        // Without any text, and without the mark.
        let bare = ShortMessage { octets: Vec::new(), esm_class: EsmClass(0), ..message };
        assert_eq!(read(&bare).unwrap().state, MessageState::Undeliverable);
        // In UCS-2.
        let wide = ShortMessage {
            octets: encoding::Coding::Ucs2.write("id:77 stat:DELIVRD"),
            data_coding: 8,
            ..marked("")
        };
        assert_eq!(read(&wide).unwrap().id, "77");
    }

    #[test]
    fn ids_of_answers_and_receipts_meet() {
        for (answer, said, receipt, written) in [
            ("9A", IdForm::Hexadecimal, "154", IdForm::Decimal),
            ("0000009a", IdForm::Hexadecimal, "0000000154", IdForm::Decimal),
            ("154", IdForm::Decimal, "0x9A", IdForm::Hexadecimal),
            ("00AbC-1", IdForm::Text, " abc-1 ", IdForm::Text),
            ("not-a-number", IdForm::Decimal, "NOT-A-NUMBER", IdForm::Hexadecimal),
            ("0", IdForm::Text, "000", IdForm::Decimal),
        ] {
            assert_eq!(normalise(answer, said), normalise(receipt, written), "{answer} {receipt}");
        }
        assert_eq!(normalise("", IdForm::Text), "");
        assert_eq!(normalise(&"xé".repeat(2_000), IdForm::Text), "xé".repeat(32));
        assert_ne!(normalise("10", IdForm::Hexadecimal), normalise("10", IdForm::Decimal));
    }

    #[test]
    fn a_receipt_is_written_in_the_standard_layout() {
        let receipt = Receipt {
            id: "77".into(),
            state: MessageState::Delivered,
            error: None,
            network_error: None,
            submitted: Some(THEN - 300_000_000),
            done: Some(THEN),
            text: "Your crate is ready, come and see".into(),
        };
        assert_eq!(
            receipt.to_text(),
            "id:77 sub:001 dlvrd:001 submit date:2611220900 done date:2611220905 stat:DELIVRD err:000 \
             text:Your crate is ready,"
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            id in "[0-9a-zA-Z-]{1,20}", state in 0u8..10, error in proptest::option::of("[1-9A-F][0-9A-F]{2}"),
            minutes in 0i64..50_000_000, text in "[ -~]{0,30}",
        ) {
            let receipt = Receipt {
                id, state: state.into(), error, network_error: None,
                submitted: Some((946_684_800 + minutes * 60) * 1_000_000), done: Some((946_684_860 + minutes * 60) * 1_000_000),
                text,
            };
            let message = receipt.message(&ShortMessage::default());
            let read = read(&message).unwrap();
            prop_assert_eq!((&read.id, read.state, &read.error), (&receipt.id, receipt.state, &receipt.error));
            prop_assert_eq!((read.submitted, read.done), (receipt.submitted, receipt.done));
            let said = Receipt::from_text(&receipt.to_text()).unwrap();
            prop_assert_eq!((said.id, said.state, said.error), (receipt.id, receipt.state, receipt.error));
        }

        #[test]
        fn anything_is_looked_at(text in "\\PC{0,300}", octets in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Receipt::from_text(&text);
            let _ = read(&ShortMessage { octets, ..marked("") });
            let _ = normalise(&text, IdForm::Hexadecimal);
        }

        #[test]
        fn texts_like_receipts_are_looked_at(text in "((id|stat|err|done date|submit date|text|sub)[ :=]{0,3}[0-9A-Zé:]{0,14}[ ,]?){0,12}") {
            let _ = Receipt::from_text(&text);
        }
    }
}
