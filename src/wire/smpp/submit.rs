//! `submit_sm` and `data_sm`: read, and accepted as POST /messages accepts. docs/smpp-server.md has the statuses.

use super::Server;
use crate::core::message::{self, Coding, Draft, Format, Message, Plan, VALIDITY_MAX};
use crate::core::phone::{Msisdn, Originator};
use crate::core::smpp_outbox::Receipts;
use crate::core::smpp_part::{self, Arrived, Completion, Series};
use crate::core::smpp_user::User;
use crate::core::terms::Terms;
use crate::core::{Code, Error, Violation, rehearse};
use ::smpp::concatenation::{self, Part};
use ::smpp::encoding::{Coding as DataCoding, Content, DefaultAlphabet, message_class};
use ::smpp::moment::Moment;
use ::smpp::short_message::ShortMessage;
use ::smpp::status::Status;
use std::sync::Arc;

/// The balance does not cover it: of the range that is left to carriers (SMPP 3.4 section 5.1.3).
pub const NO_BALANCE: Status = Status(0x0400);
/// The `data_coding` is not offered: binary. SMPP 5.0 gave it this number, and clients know it.
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
    let head = read(&message, &terms, server.clock.now_us())?;
    let id = if let Some(part) = Part::of(&message) {
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
        made.map_err(|error| status(&error))?.id
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
    validity: Option<i64>,
    receipts: Receipts,
    reference: Option<String>,
}

fn read(message: &ShortMessage, terms: &Terms, now_us: i64) -> Result<Head, Status> {
    if message.schedule.is_some() {
        // To send at once what was meant for later would be worse than to refuse it.
        return Err(Status::INVALID_SCHEDULE);
    }
    if message.replaces {
        return Err(INVALID_REPLACE_FLAG);
    }
    if message.prepared != 0 {
        return Err(INVALID_PREPARED);
    }
    if message.esm_class.0 & KIND != 0 || !has_known_header(message) {
        return Err(Status::INVALID_ESM_CLASS);
    }
    let originator = match (message.source.value.as_str(), &terms.messaging.originator) {
        ("", Some(default)) => default.clone(),
        (given, _) => Originator::parse(given).map_err(|_| Status::INVALID_SOURCE)?,
    };
    let to = Msisdn::parse(&message.destination.value).map_err(|_| Status::INVALID_DESTINATION)?;
    Ok(Head {
        originator,
        to,
        validity: message.validity.map(|validity| seconds(validity, now_us)).transpose()?,
        receipts: Receipts::asked(message.registered_delivery),
        reference: message.user_message_reference.map(|reference| reference.to_string()),
    })
}

/// Whether a user data header, if there is one, says nothing but which part this is: what else could stand there (ports,
/// national alphabets, pictures) makes the content something else than text.
fn has_known_header(message: &ShortMessage) -> bool {
    match concatenation::place(message) {
        (_, 0) => !message.esm_class.has_header(),
        (_, 6) => matches!(message.octets.as_slice(), [5, 0, 3, ..]),
        (_, 7) => matches!(message.octets.as_slice(), [6, 8, 4, ..]),
        _ => false,
    }
}

/// The seconds that a message is worth delivering, at most what any may be.
fn seconds(validity: Moment, now_us: i64) -> Result<i64, Status> {
    let seconds = match validity {
        Moment::Relative(after) => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
        Moment::Absolute(until) => until.saturating_sub(now_us).div_euclid(1_000_000),
    };
    if seconds < 1 { Err(Status::INVALID_VALIDITY) } else { Ok(seconds.min(VALIDITY_MAX)) }
}

impl Head {
    fn draft(self, user: &User, content: Content, data_coding: u8) -> Result<Draft, Status> {
        let Content::Text(mut body) = content else { return Err(INVALID_DATA_CODING) };
        // Some clients send the zero that ends a string with it.
        body.retain(|character| character != '\0');
        if body.is_empty() {
            return Err(Status::INVALID_MESSAGE_LENGTH);
        }
        let class = message_class(data_coding).map_or(1, i64::from);
        Ok(Draft {
            originator: self.originator,
            body,
            format: if class == 0 { Format::Flash } else { Format::Sms },
            coding: match DataCoding::of(data_coding, DEFAULT) {
                DataCoding::Ucs2 => Coding::Unicode,
                _ => Coding::Auto,
            },
            class,
            reference: self.reference,
            report_url: self.receipts.url(&user.system_id),
            validity: self.validity,
            udh: None,
            gateway: None,
            scheduled: None,
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
    if DataCoding::of(part.data_coding, DEFAULT) == DataCoding::Binary {
        return Err(INVALID_DATA_CODING);
    }
    let series = Series::of(user.scope, &user.system_id, &message.source.value, head.to, part.place);
    let arrived = Arrived { series: series.clone(), part: part.clone(), receipts: head.receipts };
    let failed = |error: Error| status(&error);
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
            let kept = keep(server, user, arrived.clone()).await.map_err(failed)?;
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
        let made: Option<Message> =
            server.store.write(completion, smpp_part::complete).await.map_err(failed)?;
        if let Some(made) = made {
            return Ok(made.id);
        }
    }
    Err(Status::SYSTEM_ERROR)
}

async fn keep(
    server: &Server,
    user: &User,
    arrived: Arrived,
) -> crate::core::Result<Option<message::MessageId>> {
    if user.is_test {
        return rehearse(&server.store, arrived, smpp_part::keep).await;
    }
    server.store.write(arrived, smpp_part::keep).await
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
        Error::Limited { .. } => Status::THROTTLED,
        Error::Unavailable(_) => Status::SYSTEM_ERROR,
        Error::Internal(what) => {
            tracing::error!(error = %what, "a message by SMPP failed");
            Status::SYSTEM_ERROR
        }
        Error::Unauthenticated | Error::Suspended | Error::Forbidden | Error::NotFound(_) => {
            Status::SUBMIT_FAILED
        }
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
        assert_eq!(seconds(relative(60), now), Ok(60));
        assert_eq!(seconds(relative(u64::MAX), now), Ok(VALIDITY_MAX));
        assert_eq!(seconds(relative(0), now), Err(Status::INVALID_VALIDITY));
        assert_eq!(seconds(Moment::Absolute(now + 90_000_000), now), Ok(90));
        assert_eq!(seconds(Moment::Absolute(now), now), Err(Status::INVALID_VALIDITY));
        assert_eq!(seconds(Moment::Absolute(i64::MIN), now), Err(Status::INVALID_VALIDITY));
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
    fn only_headers_of_parts_are_known() {
        let with = |octets: &[u8], esm_class| ShortMessage {
            octets: octets.to_vec(),
            esm_class: EsmClass(esm_class),
            ..ShortMessage::default()
        };
        for known in
            [with(b"Hi", 0), with(&[5, 0, 3, 7, 2, 1, 65], 0x40), with(&[6, 8, 4, 0, 7, 2, 1, 65], 0x40)]
        {
            assert!(has_known_header(&known));
        }
        // A single part, and headers with ports, of nothing, and that are cut off.
        assert!(has_known_header(&with(&[5, 0, 3, 7, 1, 1, 65], 0x40)));
        for strange in [&[6, 5, 4, 0, 1, 0, 2, 65][..], &[0, 65], &[], &[9, 0, 3]] {
            assert!(!has_known_header(&with(strange, 0x40)), "{strange:?}");
        }
    }
}
