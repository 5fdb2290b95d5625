//! `submit_sm` and `data_sm`: read, and accepted as POST /messages accepts. docs/smpp-server.md has the statuses.

use super::Server;
use crate::core::ledger::{self, Charge};
use crate::core::message::{self, Coding, Draft, Format, Message, Plan, VALIDITY_MAX};
use crate::core::phone::{Msisdn, Originator};
use crate::core::schedule::{AHEAD_MAX_US, PAST_MAX_US};
use crate::core::secret::hex;
use crate::core::smpp_outbox::Receipts;
use crate::core::smpp_part::{self, Arrived, Completion, Series};
use crate::core::smpp_user::User;
use crate::core::terms::Terms;
use crate::core::{Code, Error, Timestamp, Violation, binary, rehearse};
use crate::wire::tell_refused;
use ::smpp::concatenation::{self, Part};
use ::smpp::encoding::{Coding as DataCoding, Content, DefaultAlphabet, message_class};
use ::smpp::moment::Moment;
use ::smpp::short_message::ShortMessage;
use ::smpp::status::Status;
use std::sync::Arc;

/// The balance does not cover it: of the range that is left to carriers (SMPP 3.4 section 5.1.3).
pub const NO_BALANCE: Status = Status(0x0400);
/// A spending cap leaves too little until its day or month ends: again one of our own, since clients repeat at once what is
/// answered with `ESME_RTHROTTLED` or `ESME_RMSGQFUL`.
pub const CAP_REACHED: Status = Status(0x0401);
/// The `data_coding` is not offered. SMPP 5.0 gave it this number, and clients know it.
const INVALID_DATA_CODING: Status = Status(0x0104);
/// Messages are not replaced (`replace_if_present_flag`).
const INVALID_REPLACE_FLAG: Status = Status(0x0054);
/// There are no messages that the server has prepared (`sm_default_msg_id`).
const INVALID_PREPARED: Status = Status(0x0063);
/// The bits of `esm_class` that say what a message is; only 0, a message, is one for us.
const KIND: u8 = 0x3C;
/// Looks at the parts of a message before its sender is told to try again.
const LOOKS: usize = 16;
/// The `data_coding` of ASCII.
const ASCII: u8 = 1;
/// What `data_coding` 0 means here.
const DEFAULT: DefaultAlphabet = DefaultAlphabet::Gsm7;

/// A message that a user sends.
pub(super) struct Submission {
    pub(super) server: Arc<Server>,
    pub(super) user: User,
    pub(super) message: Box<ShortMessage>,
}

/// Accepts a message, or keeps a part of one; answers its id once that is on disk.
pub(super) async fn accept(submission: Submission) -> Result<String, Status> {
    let Submission { server, user, mut message } = submission;
    if message.data_coding == ASCII && is_gsm(&message) {
        message.data_coding = 0;
    }
    let terms = server.terms(user.scope.account).await.map_err(|error| status(&error))?;
    let head = read(&message, &terms, &server.reserved, server.clock.now_us())?;
    // What a header of its own says about parts is the sender's affair, and the phone's.
    let part = if head.udh.is_none() { Part::of(&message) } else { None };
    let id = if let Some(part) = part {
        in_parts(&server, &user, &terms, head, &message, part).await?
    } else {
        let content = concatenation::content(&message, DEFAULT);
        let draft = head.draft(&user, content, message.data_coding)?;
        let plan = plan(&server, &terms, draft).await?;
        let made = if user.is_test {
            rehearse(&server.store, plan.free(), message::accept).await
        } else {
            server.store.write(plan, message::accept).await
        };
        match made {
            Ok(made) => made.id,
            Err(error) => return Err(refused(&server, &user, &error).await),
        }
    };
    if !user.is_test {
        server.wake.parts();
    }
    Ok(id.to_string())
}

/// Whether what is said to be ASCII is GSM 03.38 all the same, as npm `smpp` sends it: there are octets that ASCII has no
/// characters for, or signs of ASCII in the middle of words, where GSM 03.38 has letters.
fn is_gsm(message: &ShortMessage) -> bool {
    let (_, header) = concatenation::place(message);
    let octets = message.octets.get(header..).unwrap_or_default();
    let is_control = |octet: &u8| octet.is_ascii_control() && !matches!(octet, b'\n' | b'\r' | b'\t' | 0x7F);
    let has_letter = |words: &[u8]| {
        let [before, sign, after] = words else { return false };
        let is_letter = matches!(sign, 0x5B..=0x5E | 0x7B..=0x7F);
        is_letter && before.is_ascii_alphabetic() && after.is_ascii_alphabetic()
    };
    // The zero that ends a string is no `@`.
    let octets = octets.strip_suffix(b"\0").unwrap_or(octets);
    octets.iter().any(is_control) || octets.windows(3).any(has_letter)
}

async fn plan(server: &Server, terms: &Terms, draft: Draft) -> Result<Plan, Status> {
    message::plan(&server.store, terms, draft, 1).await.map_err(|error| status(&error))
}

/// What a message says beside its content.
#[derive(Clone)]
struct Head {
    originator: Originator,
    to: Msisdn,
    /// When to send it, if that is still to come.
    hour: Option<Timestamp>,
    /// Seconds from its hour.
    validity: Option<i64>,
    /// The header that octets bring along, in hexadecimal digits.
    udh: Option<String>,
    receipts: Receipts,
    reference: Option<String>,
}

fn read(message: &ShortMessage, terms: &Terms, reserved: &[String], now_us: i64) -> Result<Head, Status> {
    // What stands for no characters that are known here (JIS, Cyrillic, Hebrew, what is reserved) would arrive as others.
    if !matches!(message.data_coding, 0x00..=0x04 | 0x08 | 0x10..=0x1B | 0xC0..=0xFF) {
        return Err(INVALID_DATA_CODING);
    }
    if message.replaces {
        return Err(INVALID_REPLACE_FLAG);
    }
    if message.prepared != 0 {
        return Err(INVALID_PREPARED);
    }
    if message.esm_class.0 & KIND != 0 {
        return Err(Status::INVALID_ESM_CLASS);
    }
    let udh = own_header(message)?;
    let originator = match (message.source.value.as_str(), &terms.messaging.originator) {
        ("", Some(default)) => default.clone(),
        (given, _) => Originator::parse_unless(given, reserved).map_err(|_| Status::INVALID_SOURCE)?,
    };
    let to = Msisdn::parse(&message.destination.value).map_err(|_| Status::INVALID_DESTINATION)?;
    let hour = message.schedule.map(|schedule| hour(schedule, now_us)).transpose()?.flatten();
    let from_us = hour.map_or(now_us, |hour| hour.0);
    Ok(Head {
        originator,
        to,
        hour,
        validity: message.validity.map(|validity| seconds(validity, now_us, from_us)).transpose()?,
        udh,
        receipts: Receipts::asked(message.registered_delivery),
        reference: message.user_message_reference.map(|reference| reference.to_string()),
    })
}

/// The user data header of octets, in hexadecimal digits, if it says more than which part of a longer message they are.
/// What else could stand there (ports, national alphabets, pictures) makes a text something else than text.
fn own_header(message: &ShortMessage) -> Result<Option<String>, Status> {
    let (_, length) = concatenation::place(message);
    let header = message.octets.get(..length).unwrap_or_default();
    match header {
        [] if !message.esm_class.has_header() => return Ok(None),
        [5, 0, 3, _, _, _] | [6, 8, 4, _, _, _, _] => return Ok(None),
        _ => {}
    }
    let header = hex(header);
    let is_binary = DataCoding::of(message.data_coding, DEFAULT) == DataCoding::Binary;
    // What the parameters say about parts would be lost.
    if is_binary && message.sar.is_none() && binary::check_header(&header).is_ok() {
        Ok(Some(header))
    } else {
        Err(Status::INVALID_ESM_CLASS)
    }
}

/// The point in time that a field says.
fn point(moment: Moment, now_us: i64) -> Option<i64> {
    match moment {
        Moment::Relative(after) => {
            Some(now_us.saturating_add(i64::try_from(after.as_micros()).unwrap_or(i64::MAX)))
        }
        Moment::Absolute(at) => Some(at),
        Moment::Unreadable => None,
    }
}

/// When a message is to be sent; none for at once. To send at once what was meant for an hour that nobody can read would
/// be worse than to refuse it.
fn hour(schedule: Moment, now_us: i64) -> Result<Option<Timestamp>, Status> {
    let (past, ahead) = (now_us.saturating_sub(PAST_MAX_US), now_us.saturating_add(AHEAD_MAX_US));
    let at =
        point(schedule, now_us).filter(|at| (past..=ahead).contains(at)).ok_or(Status::INVALID_SCHEDULE)?;
    Ok(Some(Timestamp(at)).filter(|_| at > now_us))
}

/// The seconds that a message is worth delivering from its hour on, at most what any may be. The field counts from now.
fn seconds(validity: Moment, now_us: i64, from_us: i64) -> Result<i64, Status> {
    let until = point(validity, now_us).ok_or(Status::INVALID_VALIDITY)?;
    let seconds = until.saturating_sub(from_us).div_euclid(1_000_000);
    if seconds < 1 { Err(Status::INVALID_VALIDITY) } else { Ok(seconds.min(VALIDITY_MAX)) }
}

impl Head {
    fn draft(self, user: &User, content: Content, data_coding: u8) -> Result<Draft, Status> {
        let class = message_class(data_coding).map_or(1, i64::from);
        let (body, format, coding) = match content {
            Content::Binary(octets) => (hex(&octets), Format::Binary, Coding::Plain),
            Content::Text(mut body) => {
                // Some clients send the zero that ends a string with it.
                body.retain(|character| character != '\0');
                let is_ucs2 = DataCoding::of(data_coding, DEFAULT) == DataCoding::Ucs2;
                let format = if class == 0 { Format::Flash } else { Format::Sms };
                (body, format, if is_ucs2 { Coding::Unicode } else { Coding::Auto })
            }
        };
        if body.is_empty() {
            return Err(Status::INVALID_MESSAGE_LENGTH);
        }
        Ok(Draft {
            originator: self.originator,
            body,
            format,
            coding,
            class,
            reference: self.reference,
            report_url: self.receipts.url(&user.system_id),
            validity: self.validity,
            udh: self.udh,
            gateway: None,
            scheduled: self.hour,
            numbers: vec![self.to],
            groups: Vec::new(),
        })
    }
}

/// Takes a part of a long message: keeps it, or makes the message if it is the last.
async fn in_parts(
    server: &Server,
    user: &User,
    terms: &Terms,
    head: Head,
    message: &ShortMessage,
    part: Part,
) -> Result<message::MessageId, Status> {
    if usize::from(part.place.total) > message::PARTS_MAX {
        return Err(Status::INVALID_MESSAGE_LENGTH);
    }
    let failed = |error: Error| status(&error);
    let quote = terms.quote(head.to).ok_or(Status::INVALID_DESTINATION)?;
    if user.is_test {
        // It must not complete what a live user of the same name has begun.
        return rehearse(&server.store, (), smpp_part::rehearsed).await.map_err(failed);
    }
    let series = Series::of(user.scope, &user.system_id, &message.source.value, head.to, part.place);
    let arrived = Arrived { series: series.clone(), part: part.clone(), receipts: head.receipts };
    for _ in 0..LOOKS {
        let there = server.store.read(series.clone(), smpp_part::waiting).await.map_err(failed)?;
        let same = there.iter().find(|waiting| waiting.part.place.number == part.place.number);
        match same {
            // The answer to it was lost.
            Some(same) if same.part == part => return Ok(same.id),
            Some(_) => {
                let superseded: crate::core::Result<()> =
                    server.store.write(series.clone(), smpp_part::supersede).await;
                superseded.map_err(failed)?;
                continue;
            }
            None => {}
        }
        let mut parts: Vec<Part> = there.iter().map(|waiting| waiting.part.clone()).collect();
        parts.push(part.clone());
        let Some(joined) = concatenation::join(&parts, DEFAULT).into_iter().next() else {
            // Whoever cannot pay for as much as is there will not pay for the whole.
            let so_far = i64::try_from(parts.len()).unwrap_or(i64::MAX);
            let (price, cost) = quote.price.times(so_far).zip(quote.cost.times(so_far)).ok_or(NO_BALANCE)?;
            let charge = Charge { scope: user.scope, currency: terms.currency, price, cost };
            if !server.store.read(charge, ledger::covers).await.map_err(failed)? {
                return Err(NO_BALANCE);
            }
            let kept = server.store.write(arrived.clone(), smpp_part::keep).await.map_err(failed)?;
            match kept {
                Some(id) => return Ok(id),
                None => continue,
            }
        };
        let receipts = there.iter().fold(head.receipts, |all, waiting| all.and(waiting.receipts));
        let draft = Head { receipts, ..head.clone() }.draft(user, joined.content, joined.data_coding)?;
        let completion = Completion {
            last: arrived.clone(),
            others: there.iter().map(|waiting| waiting.id).collect(),
            plan: plan(server, terms, draft).await?,
        };
        let made: crate::core::Result<Option<Message>> =
            server.store.write(completion, smpp_part::complete).await;
        match made {
            Ok(Some(made)) => return Ok(made.id),
            Ok(None) => {}
            Err(error) => return Err(refused(server, user, &error).await),
        }
    }
    Err(Status::SYSTEM_ERROR)
}

/// What a client is told whose message was not accepted. Others may be told of the cap that refused it.
async fn refused(server: &Server, user: &User, error: &Error) -> Status {
    if let Error::Cap(reached) = error {
        tell_refused(&server.store, &server.wake, user.scope, *reached).await;
    }
    status(error)
}

/// What a client is told of an error.
fn status(error: &Error) -> Status {
    match error {
        Error::Invalid(violations) => match violations.first() {
            Some(Violation { field: "recipients", code: Code::NoRoute }) => Status::INVALID_DESTINATION,
            Some(Violation { field: "body", .. }) => Status::INVALID_MESSAGE_LENGTH,
            _ => Status::SUBMIT_FAILED,
        },
        Error::Balance => NO_BALANCE,
        Error::Cap(_) => CAP_REACHED,
        Error::Limited { .. } => Status::THROTTLED,
        Error::Unavailable(_) => Status::SYSTEM_ERROR,
        Error::Internal(what) => {
            tracing::error!(error = %what, "a message by SMPP failed");
            Status::SYSTEM_ERROR
        }
        Error::Unauthenticated
        | Error::Suspended
        | Error::Forbidden
        | Error::Held(_)
        | Error::NotFound(_) => Status::SUBMIT_FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::smpp::short_message::EsmClass;
    use std::time::Duration;

    #[test]
    fn validity_is_seconds_from_now() {
        let now = 1_795_338_300_000_000;
        let relative = |seconds| Moment::Relative(Duration::from_secs(seconds));
        let (at_once, too_late) = (|validity| seconds(validity, now, now), Err(Status::INVALID_VALIDITY));
        assert_eq!(at_once(relative(60)), Ok(60));
        assert_eq!(at_once(relative(u64::MAX)), Ok(VALIDITY_MAX));
        assert_eq!(at_once(Moment::Absolute(now + 90_000_000)), Ok(90));
        for none in [relative(0), Moment::Absolute(now), Moment::Absolute(i64::MIN), Moment::Unreadable] {
            assert_eq!(at_once(none), too_late, "{none:?}");
        }
        // The books count it from the hour.
        let in_an_hour = |validity| seconds(validity, now, now + 3_600_000_000);
        assert_eq!(in_an_hour(relative(3_660)), Ok(60));
        assert_eq!(in_an_hour(relative(3_600)), too_late);
    }

    #[test]
    fn an_hour_is_one_that_any_message_may_have() {
        let now = 1_795_338_300_000_000;
        let (hour_us, absolute) = (3_600_000_000, |at| hour(Moment::Absolute(at), now));
        assert_eq!(absolute(now + hour_us), Ok(Some(Timestamp(now + hour_us))));
        assert_eq!(hour(Moment::Relative(Duration::from_hours(1)), now), absolute(now + hour_us));
        assert_eq!((absolute(now), absolute(now - hour_us)), (Ok(None), Ok(None)), "for at once");
        for wrong in [now - hour_us - 1, now + 367 * 24 * hour_us, i64::MAX, i64::MIN] {
            assert_eq!(absolute(wrong), Err(Status::INVALID_SCHEDULE));
        }
        assert_eq!(hour(Moment::Unreadable, now), Err(Status::INVALID_SCHEDULE));
    }

    #[test]
    fn what_is_called_ascii_may_be_gsm() {
        let says =
            |octets: &[u8]| is_gsm(&ShortMessage { octets: octets.to_vec(), ..ShortMessage::default() });
        for gsm in [&b"Gr~\x1Ee"[..], b"f~r", b"a\0b", b"5 \x1Be"] {
            assert!(says(gsm), "{gsm:?}");
        }
        for ascii in [&b"Hello {name}, [1] ~5\r\n"[..], b"me@acme.example", b"ends with zero\0", b""] {
            assert!(!says(ascii), "{ascii:?}");
        }
    }

    #[test]
    fn only_headers_of_parts_are_known_and_octets_may_have_others() {
        let with = |octets: &[u8], esm_class| ShortMessage {
            octets: octets.to_vec(),
            esm_class: EsmClass(esm_class),
            ..ShortMessage::default()
        };
        let has_known_header = |message: &ShortMessage| own_header(message) == Ok(None);
        for known in
            [with(b"Hi", 0), with(&[5, 0, 3, 7, 2, 1, 65], 0x40), with(&[6, 8, 4, 0, 7, 2, 1, 65], 0x40)]
        {
            assert!(has_known_header(&known));
        }
        // A single part, and headers with ports, of nothing, and that are cut off.
        assert!(has_known_header(&with(&[5, 0, 3, 7, 1, 1, 65], 0x40)));
        for strange in [&[6, 5, 4, 0, 1, 0, 2, 65][..], &[0, 65], &[], &[9, 0, 3]] {
            let text = with(strange, 0x40);
            assert_eq!(own_header(&text), Err(Status::INVALID_ESM_CLASS), "{strange:?}");
            let octets = ShortMessage { data_coding: 4, ..text };
            let is_whole = strange.first().is_some_and(|length| usize::from(*length) < strange.len());
            assert_eq!(own_header(&octets).is_ok(), is_whole, "{strange:?}");
        }
        let ports = ShortMessage { data_coding: 4, ..with(&[6, 5, 4, 0x0B, 0x84, 0x23, 0xF0, 65], 0x40) };
        assert_eq!(own_header(&ports), Ok(Some("0605040b8423f0".into())));
    }
}
