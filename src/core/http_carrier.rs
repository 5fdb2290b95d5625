//! How a carrier is spoken to over its own HTTP interface: the settings of `carrier add --http`, with their bounds, and
//! who may report for it.
//!
//! A request is made from templates (`request_template.rs`); answers and reports are read by paths such as `messages.0.id`, and
//! the carrier's words for what has become of a message are lists. docs/carriers-http.md shows all of it at work.

use super::carrier::{Carrier, CarrierKind, Settings};
use super::message::{Reason, Status};
use super::receipt::Outcome;
use super::request_template::{Place, SAMPLE, Template};
use super::secret::Vault;
use super::smpp_carrier::Doubt;
use super::{Code, Violation, number};
use std::time::Duration;
use url::Url;

/// The settings' names; besides, `header-NAME` is a header of each request.
pub(super) const NAMES: &[&str] = &[
    "url",
    "method",
    "form",
    "json",
    "user",
    "id",
    "answer-status",
    "accepted",
    "throttled",
    "parts",
    "window",
    "throughput",
    "response-seconds",
    "doubt",
    "report-list",
    "report-id",
    "report-status",
    "report-error",
    "report-key",
    "delivered",
    "failed",
    "expired",
    "buffered",
    "inbound-from",
    "inbound-to",
    "inbound-text",
    "inbound-id",
    "private",
    HEADER,
];
const HEADER: &str = "header-";
/// Headers that follow from the request.
const OWN_HEADERS: &[&str] = &["host", "content-length", "transfer-encoding", "connection"];
/// Longest name of a carrier's for a message; one that is longer is not kept.
pub const REFERENCE_MAX: usize = 255;

/// What a request's body is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    Empty,
    /// `application/x-www-form-urlencoded`.
    Form(Template),
    /// `application/json`.
    Json(Template),
}

/// Where in what a carrier brings the text of a phone stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundPaths {
    /// Whom it is from.
    pub from: String,
    /// The number that it came to; with a plus, that number itself, for carriers that do not say it.
    pub to: String,
    /// What it says.
    pub text: String,
    /// The carrier's own name of it.
    pub id: String,
}

/// How an HTTP carrier is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// Scheme and host are no placeholders'.
    pub url: Template,
    /// Scheme, host and port, with a slash: where it can be asked whether anybody is there.
    pub base: String,
    /// `GET`, `POST` or `PUT`.
    pub method: String,
    /// Names, in small letters, and templates.
    pub headers: Vec<(String, Template)>,
    /// Its user in basic authentication, whose password is the carrier's secret.
    pub user: Option<String>,
    /// A template.
    pub body: Body,
    /// Where in the answer the carrier's name for the message stands; without one our own name is its name.
    pub id: Option<String>,
    /// Where in the answer stands whether it was taken, for carriers that say so with any status.
    pub answer_status: Option<String>,
    /// Words, in small letters, that say there that it was.
    pub accepted: Vec<String>,
    /// Words that say there that it is too much just now.
    pub throttled: Vec<String>,
    /// Requests at once.
    pub window: usize,
    /// Requests a second.
    pub throughput: Option<u32>,
    /// How long an answer may take.
    pub response_timeout: Duration,
    /// What becomes of what is in doubt.
    pub doubt: Doubt,
    /// Where in what it brings a list of reports stands, if they do not come alone.
    pub report_list: Option<String>,
    /// Where in a report that name stands.
    pub report_id: String,
    /// Where in a report the status stands.
    pub report_status: String,
    /// Where in a report the code of an error stands.
    pub report_error: Option<String>,
    /// Statuses, in small letters, that say that it has arrived, has failed, was given up, or that the carrier goes on
    /// trying. All others say nothing new.
    pub delivered: Vec<String>,
    /// See [`HttpSettings::delivered`].
    pub failed: Vec<String>,
    /// See [`HttpSettings::delivered`].
    pub expired: Vec<String>,
    /// See [`HttpSettings::delivered`].
    pub buffered: Vec<String>,
    /// How texts of phones come, if they do.
    pub inbound: Option<InboundPaths>,
    /// Whether it may stand in a private network.
    pub is_private: bool,
}

impl HttpSettings {
    /// Reads the settings; the first that is wrong is told.
    pub fn read(settings: &Settings) -> Result<HttpSettings, Violation> {
        settings.only(NAMES)?;
        let (url, base) = url(&settings.needed("url")?)?;
        let template = |name: &'static str, place| {
            let read = settings.text(name).map(|text| Template::read(text, place)).transpose();
            read.map_err(|code| Violation::new(name, code))
        };
        let body = match (template("form", Place::Percent)?, template("json", Place::Json)?) {
            (Some(_), Some(_)) => return Err(Violation::new("form", Code::Ambiguous)),
            (Some(form), None) => Body::Form(form),
            (None, Some(json)) => Body::Json(json),
            (None, None) => Body::Empty,
        };
        let usual = if body == Body::Empty { "GET" } else { "POST" };
        let method = settings.text("method").unwrap_or(usual).to_ascii_uppercase();
        if !["GET", "POST", "PUT"].contains(&method.as_str()) {
            return Err(Violation::new("method", Code::Invalid));
        }
        let text = |name: &str| settings.text(name).filter(|text| !text.is_empty()).map(str::to_owned);
        let list = |name: &str, usual: &str| -> Vec<String> {
            let text = settings.text(name).unwrap_or(usual).to_lowercase();
            text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
        };
        let doubt = match settings.text("doubt") {
            None => Doubt::Resend,
            Some(word) => *Doubt::ALL
                .iter()
                .find(|doubt| doubt.name() == word)
                .ok_or(Violation::new("doubt", Code::Invalid))?,
        };
        if !matches!(settings.text("parts"), None | Some("whole" | "separate")) {
            return Err(Violation::new("parts", Code::Invalid));
        }
        let number = |name, least, most, default: i64| {
            settings.number(name, (least, most)).map(|number| number.unwrap_or(default))
        };
        let report_id = text("report-id").unwrap_or_else(|| "id".to_owned());
        Ok(HttpSettings {
            url,
            base,
            method,
            headers: headers(settings)?,
            user: text("user"),
            body,
            id: text("id"),
            answer_status: text("answer-status"),
            accepted: list("accepted", "0,ok,accepted,success,queued,sent"),
            throttled: list("throttled", ""),
            window: usize::try_from(number("window", 1, 1_000, 10)?).unwrap_or(10),
            throughput: settings.number("throughput", (1, 100_000))?.and_then(|n| u32::try_from(n).ok()),
            response_timeout: Duration::from_secs(number("response-seconds", 1, 300, 30)?.unsigned_abs()),
            doubt,
            report_list: text("report-list"),
            report_status: text("report-status").unwrap_or_else(|| "status".to_owned()),
            report_error: text("report-error"),
            delivered: list("delivered", "delivered,delivrd,read"),
            failed: list(
                "failed",
                "failed,undelivered,undeliverable,undeliv,rejected,rejectd,delivery_failed,sending_failed",
            ),
            expired: list("expired", "expired"),
            buffered: list("buffered", "buffered,enroute"),
            inbound: inbound(settings, &report_id)?,
            report_id,
            is_private: settings.read::<bool>("private")?.unwrap_or(false),
        })
    }

    /// What a status means; none if it says nothing new. `error` is the carrier's code.
    pub fn outcome(&self, status: &str, error: Option<i64>) -> Option<Outcome> {
        let status = status.trim().to_lowercase();
        let is = |words: &[String]| words.contains(&status);
        let known = error.filter(|code| *code > 0);
        if is(&self.delivered) {
            Some(Outcome { status: Status::Delivered, reason: Reason::Delivered, error: None })
        } else if is(&self.failed) {
            let reason = known.map_or(Reason::Generic, Reason::of_code);
            Some(Outcome { status: Status::Failed, reason, error: known })
        } else if is(&self.expired) {
            Some(Outcome { status: Status::Expired, reason: Reason::Expired, error: known })
        } else if is(&self.buffered) {
            Some(Outcome { status: Status::Buffered, reason: Reason::Pending, error: known })
        } else {
            None
        }
    }
}

/// Reads the URL, and what it begins with: where the secret goes is no matter of a message's.
fn url(text: &str) -> Result<(Template, String), Violation> {
    let wrong = |code| Violation::new("url", code);
    let template = Template::read(text, Place::Percent).map_err(wrong)?;
    let (_, place) = template.head().split_once("://").ok_or(wrong(Code::NotUrl))?;
    let filled = template.fill(&SAMPLE);
    let url = Url::parse(&filled).map_err(|_| wrong(Code::NotUrl))?;
    let is_fixed = template.is_plain() || place.contains(['/', '?']);
    let fits = matches!(url.scheme(), "http" | "https")
        && is_fixed
        && filled.is_ascii()
        && !filled.contains(['#', ' '])
        && url.username().is_empty()
        && url.password().is_none();
    let base = format!("{}/", url.origin().ascii_serialization());
    if fits { Ok((template, base)) } else { Err(wrong(Code::NotUrl)) }
}

fn headers(settings: &Settings) -> Result<Vec<(String, Template)>, Violation> {
    let wrong = |code| Violation::new("header", code);
    let given = settings.all().filter_map(|(name, value)| Some((name.strip_prefix(HEADER)?, value)));
    given
        .map(|(name, value)| {
            let name = name.to_ascii_lowercase();
            let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            let fits =
                !name.is_empty() && name.bytes().all(is_token) && !OWN_HEADERS.contains(&name.as_str());
            if !fits || value.contains(char::is_control) {
                return Err(wrong(Code::Invalid));
            }
            Ok((name, Template::read(value, Place::Header).map_err(wrong)?))
        })
        .collect()
}

/// Texts of phones come if it is said where all of one stands.
fn inbound(settings: &Settings, report_id: &str) -> Result<Option<InboundPaths>, Violation> {
    if !settings.all().any(|(name, _)| name.starts_with("inbound-")) {
        return Ok(None);
    }
    let to = settings.needed("inbound-to")?;
    if to.starts_with('+') && number::parse(&to[1..]).is_err() {
        return Err(Violation::new("inbound-to", Code::Invalid));
    }
    Ok(Some(InboundPaths {
        from: settings.needed("inbound-from")?,
        to,
        text: settings.needed("inbound-text")?,
        id: settings.text("inbound-id").unwrap_or(report_id).to_owned(),
    }))
}

/// A body of JSON with everything filled in that is hard to write: what makes it is right if this is JSON.
pub fn sample(json: &str) -> Result<String, Violation> {
    let template = Template::read(json, Place::Json).map_err(|code| Violation::new("json", code))?;
    Ok(template.fill(&SAMPLE))
}

/// Whether a carrier takes a long message whole and cuts it itself.
pub(super) fn takes_whole(carrier: &Carrier) -> bool {
    carrier.kind == CarrierKind::Http && carrier.settings.text("parts") != Some("separate")
}

/// What the carrier must know to report: the end of the URL that it calls. It follows from the master key, so that it is
/// stored nowhere; another `report-key` makes another one.
pub fn report_token(carrier: &Carrier, vault: &Vault) -> String {
    let key = carrier.settings.text("report-key").unwrap_or_default();
    vault.token(&["carrier-reports", &carrier.id.0.to_string(), &carrier.name, key])
}

/// A carrier's name for a message, if it can be kept.
pub fn reference(text: &str) -> Option<String> {
    let text = text.trim();
    let fits = !text.is_empty() && text.len() <= REFERENCE_MAX && !text.contains(char::is_control);
    fits.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Result<HttpSettings, Violation> {
        let mut settings = Settings::default();
        settings.set("url", "https://sms.example.com/send");
        for (name, value) in pairs {
            settings.set(*name, *value);
        }
        HttpSettings::read(&settings)
    }

    #[test]
    fn what_is_not_said_has_a_default_and_what_is_wrong_is_named() {
        let plain = with(&[]).expect("defaults");
        assert_eq!((plain.method.as_str(), plain.window, plain.doubt), ("GET", 10, Doubt::Resend));
        assert_eq!(with(&[("form", "to={to}")]).expect("a form").method, "POST");
        for (name, value, field) in [
            ("widnow", "1", "setting"),
            ("url", "sms.example.com/{to}", "url"),
            ("url", "https://{from}.example.com/", "url"),
            ("url", "https://sms.example.com{to}", "url"),
            ("url", "https://sms.example.com:{part}/", "url"),
            ("url", "https://user:{secret}@sms.example.com/", "url"),
            ("url", "ftp://sms.example.com/", "url"),
            ("url", "https://sms.example.com/#{to}", "url"),
            ("url", "https://sms.example.com/{nobody}", "url"),
            ("form", "to={nobody}", "form"),
            ("json", "{\"to\":\"{nobody}\"}", "json"),
            ("method", "DELETE", "method"),
            ("parts", "some", "parts"),
            ("window", "0", "window"),
            ("doubt", "forget", "doubt"),
            ("header-host", "x", "header"),
            ("header-a b", "x", "header"),
            ("header-a", "x\ny", "header"),
            ("inbound-text", "text", "inbound-to"),
            ("inbound-to", "+31", "inbound-to"),
            ("private", "yes", "private"),
        ] {
            assert_eq!(with(&[(name, value)]).expect_err(value).field, field, "{name}={value}");
        }
        let both = with(&[("form", "a=b"), ("json", "{}")]).expect_err("two bodies");
        assert_eq!(both, Violation::new("form", Code::Ambiguous));
        let base = with(&[("url", "https://sms.example.com:8443/{to}?k={secret}")]).expect("a URL").base;
        assert_eq!(base, "https://sms.example.com:8443/");
    }

    #[test]
    fn statuses_are_the_carriers_own_words() {
        let settings = with(&[("delivered", "Arrived, 1"), ("failed", "lost")]).expect("settings");
        let status = |word, error| settings.outcome(word, error).map(|it| (it.status, it.reason, it.error));
        assert_eq!(status("ARRIVED", Some(0)), Some((Status::Delivered, Reason::Delivered, None)));
        assert_eq!(status(" 1", None), Some((Status::Delivered, Reason::Delivered, None)));
        assert_eq!(status("lost", Some(1)), Some((Status::Failed, Reason::UnknownSubscriber, Some(1))));
        assert_eq!(status("lost", None), Some((Status::Failed, Reason::Generic, None)));
        assert_eq!(status("expired", None), Some((Status::Expired, Reason::Expired, None)));
        assert_eq!(status("sent", None), None, "nothing new");
    }

    #[test]
    fn a_reference_is_kept_if_a_database_can() {
        assert_eq!(reference(" a-1 "), Some("a-1".into()));
        for bad in ["", "  ", "a\0b", &"x".repeat(256)] {
            assert_eq!(reference(bad), None);
        }
    }
}
