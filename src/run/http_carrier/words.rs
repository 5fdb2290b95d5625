//! What a part is as a request, and what the answer says.

use crate::core::binary;
use crate::core::http_carrier::{Body, HttpSettings, reference};
use crate::core::message::{self, Format};
use crate::core::part::{Part, WHOLE};
use crate::core::request_template::{Field, Template, Values};
use crate::run::egress::{Answer, Outgoing};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, USER_AGENT};
use serde_json::Value;
use smpp::text::{self, Alphabet};

const SECOND_US: i64 = 1_000_000;
/// The longest rest that a carrier may ask for.
const REST_MAX_US: i64 = 3_600 * SECOND_US;

/// The request that brings a part; none if this carrier has no way to say what it holds.
pub(super) fn request(part: &Part, settings: &HttpSettings, secret: &str, now: i64) -> Option<Outgoing> {
    let content = Content::of(part)?;
    if !content.data.is_empty() && !templates(settings).any(|template| template.names(Field::Data)) {
        return None;
    }
    let id = part.id.to_string();
    let values = Values {
        to: part.to,
        from: part.originator.as_str(),
        text: &content.text,
        id: &id,
        part: part.number.max(1),
        parts: part.parts,
        secret,
        udh: &content.header,
        data: &content.data,
        class: if part.format == Format::Flash { 0 } else { part.class },
        validity: part.expires.0.saturating_sub(now).div_euclid(SECOND_US).max(1),
    };
    let mut headers = Vec::new();
    for (name, value) in &settings.headers {
        headers.push((HeaderName::from_bytes(name.as_bytes()).ok()?, value.fill(&values)));
    }
    let (kind, body) = match &settings.body {
        Body::Empty => (None, String::new()),
        Body::Form(form) => (Some("application/x-www-form-urlencoded"), form.fill(&values)),
        Body::Json(json) => (Some("application/json"), json.fill(&values)),
    };
    let basic =
        settings.user.as_ref().map(|user| format!("Basic {}", STANDARD.encode(format!("{user}:{secret}"))));
    let agent = concat!("Rookery/", env!("CARGO_PKG_VERSION"));
    let usual = [
        (AUTHORIZATION, basic),
        (CONTENT_TYPE, kind.map(str::to_owned)),
        (ACCEPT, Some("application/json".to_owned())),
        (USER_AGENT, Some(agent.to_owned())),
    ];
    for (name, value) in usual {
        if let Some(value) = value
            && !headers.iter().any(|(given, _)| *given == name)
        {
            headers.push((name, value));
        }
    }
    Some(Outgoing {
        method: Method::from_bytes(settings.method.as_bytes()).ok()?,
        url: settings.url.fill(&values),
        headers,
        body: body.into_bytes(),
    })
}

fn templates(settings: &HttpSettings) -> impl Iterator<Item = &Template> {
    let body = match &settings.body {
        Body::Empty => None,
        Body::Form(template) | Body::Json(template) => Some(template),
    };
    let headers = settings.headers.iter().map(|(_, template)| template);
    std::iter::once(&settings.url).chain(body).chain(headers)
}

/// What a part holds.
#[derive(Debug, Default, PartialEq, Eq)]
struct Content {
    text: String,
    header: String,
    data: String,
}

impl Content {
    fn of(part: &Part) -> Option<Content> {
        let place = usize::try_from(part.number).ok()?.checked_sub(1);
        // A message with a header of its own is one part, whatever that says about others.
        let is_alone = part.number == WHOLE || part.parts == 1;
        let header = match (&part.udh, is_alone) {
            (Some(own), _) => own.clone(),
            (None, true) => String::new(),
            (None, false) => {
                // 3GPP TS 23.040, 9.2.3.24.1
                let id = part.message.0;
                format!("050003{:02x}{:02x}{:02x}", id[15], part.parts, part.number)
            }
        };
        if part.format == Format::Binary {
            let data = match place {
                _ if is_alone => part.body.to_ascii_lowercase(),
                Some(place) => hex(binary::segment(&binary::octets(&part.body)?).get(place)?),
                None => return None,
            };
            return Some(Content { text: String::new(), header, data });
        }
        let alphabet = message::alphabet(part.coding, &part.body);
        let text = match place {
            Some(place) if !is_alone => {
                text::decode(text::segment(&part.body, alphabet).get(place)?, alphabet)
            }
            // What was priced in this alphabet is sent in it.
            _ if alphabet == Alphabet::Gsm7 => text::replaced(&part.body).into_owned(),
            _ => part.body.clone(),
        };
        Some(Content { text, header, data: String::new() })
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |text, octet| format!("{text}{octet:02x}"))
}

/// What an answer means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It has the part, under this name.
    Accepted(String),
    /// It does not take it, with this code.
    Refused(Option<i64>),
    /// Not just now; with microseconds to wait if it says how long.
    TooMuch(Option<i64>),
    /// It failed; nobody knows how far it had come.
    Failed,
}

/// Reads an answer. Without a name of the carrier's own the part's is its name: reports can say that.
pub(super) fn said(answer: &Answer, part: &Part, settings: &HttpSettings, now: i64) -> Said {
    let status = i64::from(answer.status);
    match answer.status {
        200..=299 => {}
        // It takes nobody's message before it knows us, and may know us again when its secret is mended: what waits is kept.
        401 | 408 | 429 | 503 => {
            return Said::TooMuch(answer.retry_after.as_deref().and_then(|text| rest(text, now)));
        }
        500.. => return Said::Failed,
        // A redirect is none of an API's: the message has not been taken.
        _ => return Said::Refused(Some(status)),
    }
    let told: Told = Told::read(&answer.body);
    if let Some(word) = settings.answer_status.as_deref().and_then(|path| told.at(path)) {
        let word = word.trim().to_lowercase();
        if settings.throttled.contains(&word) {
            return Said::TooMuch(answer.retry_after.as_deref().and_then(|text| rest(text, now)));
        }
        if !settings.accepted.contains(&word) {
            return Said::Refused(word.parse().ok());
        }
    }
    let name = settings.id.as_deref().and_then(|path| told.at(path)).and_then(|name| reference(&name));
    Said::Accepted(name.unwrap_or_else(|| part.id.to_string()))
}

/// How long to rest: seconds, or a date (RFC 9110 section 10.2.3).
fn rest(text: &str, now: i64) -> Option<i64> {
    let text = text.trim();
    let us = if let Ok(seconds) = text.parse::<u32>() {
        i64::from(seconds) * SECOND_US
    } else {
        let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
        at.as_microsecond().saturating_sub(now)
    };
    Some(us.clamp(0, REST_MAX_US))
}

/// An answer's body: JSON, or lines or pairs such as `ID: 4711` and `id=4711&status=0`.
enum Told {
    Json(Value),
    Pairs(Vec<(String, String)>),
}

impl Told {
    fn read(body: &[u8]) -> Told {
        if let Ok(json) = serde_json::from_slice(body) {
            return Told::Json(json);
        }
        let text = String::from_utf8_lossy(body);
        let pairs = text.split(['\n', '&', ';']).filter_map(|line| line.split_once([':', '=']));
        Told::Pairs(pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect())
    }

    /// The text, number or truth at a path such as `messages.0.id`.
    fn at(&self, path: &str) -> Option<String> {
        match self {
            Told::Json(json) => {
                let steps = path.split('.').map(|step| step.replace('~', "~0").replace('/', "~1"));
                let path: String = steps.flat_map(|step| ["/".to_owned(), step]).collect();
                match json.pointer(&path)? {
                    Value::String(text) => Some(text.clone()),
                    Value::Number(number) => Some(number.to_string()),
                    Value::Bool(truth) => Some(truth.to_string()),
                    _ => None,
                }
            }
            Told::Pairs(pairs) => {
                pairs.iter().find(|(name, _)| name.eq_ignore_ascii_case(path)).map(|(_, value)| value.clone())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::carrier::Settings;
    use crate::core::message::{Coding, MessageId};
    use crate::core::money::{Amount, Currency};
    use crate::core::part::PartId;
    use crate::core::phone::{Msisdn, Originator};
    use crate::core::{AccountId, Scope, Timestamp};

    fn part(body: &str, (number, parts): (i64, i64)) -> Part {
        Part {
            id: PartId::from([0xAB; 16]),
            scope: Scope { root: AccountId(1), account: AccountId(2) },
            message: MessageId::from([0x34; 16]),
            to: Msisdn(31_612_345_678),
            number,
            currency: Currency::EUR,
            price: Amount::ZERO,
            cost: Amount::ZERO,
            accepted: false,
            originator: Originator::parse("Bakery").expect("an originator"),
            body: body.to_owned(),
            coding: Coding::Plain,
            format: Format::Sms,
            parts,
            class: 1,
            udh: None,
            validity: None,
            expires: Timestamp(0),
            reports_to: None,
        }
    }

    fn with(pairs: &[(&str, &str)]) -> HttpSettings {
        let mut settings = Settings::default();
        settings.set("url", "https://sms.example.com/send?k={secret}");
        for (name, value) in pairs {
            settings.set(*name, *value);
        }
        HttpSettings::read(&settings).expect("settings")
    }

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, retry_after: None, body: body.as_bytes().to_vec() }
    }

    #[test]
    fn a_request_is_filled_and_has_its_headers_once() {
        let settings = with(&[
            ("form", "To={+to}&From={from}&Body={text}&ref={id}"),
            ("user", "AC1"),
            ("header-accept", "text/plain"),
        ]);
        let made = request(&part("5 € & more", (1, 1)), &settings, "to/ken", 0).expect("a request");
        assert_eq!(
            (made.method, made.url.as_str()),
            (Method::POST, "https://sms.example.com/send?k=to%2Fken")
        );
        let id = "ab".repeat(16);
        let body = format!("To=%2B31612345678&From=Bakery&Body=5%20%E2%82%AC%20%26%20more&ref={id}");
        assert_eq!(made.body, body.as_bytes());
        let header = |name| {
            made.headers.iter().filter(|(it, _)| it == name).map(|(_, v)| v.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(header(AUTHORIZATION), ["Basic QUMxOnRvL2tlbg=="]);
        assert_eq!((header(ACCEPT), header(CONTENT_TYPE).len()), (vec!["text/plain"], 1));
    }

    #[test]
    fn class_and_validity_are_told_if_the_template_asks() {
        let settings = with(&[("json", r#"{"class":{class},"seconds":{validity}}"#)]);
        let hour = Part { expires: Timestamp(3_600 * SECOND_US), ..part("Hi", (1, 1)) };
        let told = |part: &Part, now| request(part, &settings, "", now * SECOND_US).expect("a request").body;
        assert_eq!(told(&hour, 60), br#"{"class":1,"seconds":3540}"#);
        let flash = Part { format: Format::Flash, class: 1, ..hour };
        assert_eq!(told(&flash, 3_700), br#"{"class":0,"seconds":1}"#);
    }

    #[test]
    fn long_messages_are_whole_or_in_parts_that_say_so() {
        let long = "a".repeat(160) + "{}";
        let whole = Content::of(&part(&long, (WHOLE, 2))).expect("content");
        assert_eq!((whole.text.len(), whole.header.as_str()), (164 - 2, ""));
        let second = Content::of(&part(&long, (2, 2))).expect("content");
        assert_eq!((second.text.as_str(), second.header.as_str()), ("aaaaaaa{}", "050003340202"));
        assert_eq!(Content::of(&part("ś", (1, 1))).expect("content").text, "s", "as it was priced");

        let binary = |number, octets: usize| Part {
            format: Format::Binary,
            body: "A5".repeat(octets),
            ..part("", (number, if octets > 140 { 2 } else { 1 }))
        };
        let one = Content::of(&binary(1, 3)).expect("content");
        assert_eq!((one.data.as_str(), one.header.as_str(), one.text.as_str()), ("a5a5a5", "", ""));
        let last = Content::of(&binary(2, 135 + 10)).expect("content");
        assert_eq!((last.data.len(), last.header.as_str()), (22, "050003340202"));
        assert!(
            request(&binary(1, 3), &with(&[("form", "t={text}")]), "", 0).is_none(),
            "no place for octets"
        );
        let hex = request(&binary(1, 3), &with(&[("form", "h={udh}&d={data}")]), "", 0).expect("a request");
        assert_eq!(hex.body, b"h=&d=a5a5a5");
    }

    #[test]
    fn answers_are_read_by_paths_and_statuses() {
        let settings = with(&[("id", "messages.0.id")]);
        let said = |status, body: &str| said(&answer(status, body), &part("x", (1, 1)), &settings, 0);
        let own = Said::Accepted("ab".repeat(16));
        assert_eq!(said(202, r#"{"messages":[{"id":"m-1"}]}"#), Said::Accepted("m-1".into()));
        assert_eq!(said(200, r#"{"messages":[{"id":4711}]}"#), Said::Accepted("4711".into()));
        for without in
            ["", "{}", "null", r#"{"messages":[]}"#, r#"{"messages":[{"id":{}}]}"#, "<xml/>", "\u{0}"]
        {
            assert_eq!(said(200, without), own, "{without}");
        }
        assert_eq!(said(403, ""), Said::Refused(Some(403)));
        assert_eq!(said(401, ""), Said::TooMuch(None));
        assert_eq!(said(302, ""), Said::Refused(Some(302)));
        assert_eq!((said(500, ""), said(504, "")), (Said::Failed, Said::Failed));
        assert_eq!((said(408, ""), said(503, "")), (Said::TooMuch(None), Said::TooMuch(None)));
    }

    #[test]
    fn a_carrier_may_say_in_the_body_that_it_took_nothing() {
        let settings = with(&[("id", "id"), ("answer-status", "status"), ("throttled", "1")]);
        let said = |body: &str| said(&answer(200, body), &part("x", (1, 1)), &settings, 0);
        assert_eq!(said("id=m-1&status=0"), Said::Accepted("m-1".into()));
        assert_eq!(said("ID: m-2\r\nStatus: OK\r\n"), Said::Accepted("m-2".into()));
        assert_eq!(said(r#"{"status":"1"}"#), Said::TooMuch(None));
        assert_eq!(said(r#"{"status":29}"#), Said::Refused(Some(29)));
        assert_eq!(said(r#"{"status":"no"}"#), Said::Refused(None));
    }

    #[test]
    fn a_rest_is_in_seconds_or_until_a_date() {
        assert_eq!(rest(" 7 ", 0), Some(7 * SECOND_US));
        assert_eq!(rest("999999", 0), Some(REST_MAX_US));
        let now = 1_445_412_470 * SECOND_US;
        assert_eq!(rest("Wed, 21 Oct 2015 07:28:00 GMT", now), Some(10 * SECOND_US));
        assert_eq!(rest("Wed, 21 Oct 2015 07:28:00 GMT", i64::MAX), Some(0));
        assert_eq!((rest("soon", 0), rest("-1", 0)), (None, None));
    }
}
