//! How a carrier is spoken to over its own HTTP interface: the settings of `carrier add --http`, with their bounds.
//!
//! A request is made from templates. `{to}`, `{from}`, `{text}`, `{id}`, `{part}`, `{parts}` and `{secret}` stand for what
//! is known of a part; each is written as its place demands, in a URL or form by percent, in JSON as the inside of a string.

use super::carrier::Settings;
use super::smpp_carrier::Doubt;
use super::{Code, Violation};
use std::time::Duration;
use url::Url;

/// The settings' names; besides, `header-NAME` is a header of each request.
const NAMES: &[&str] = &[
    "url",
    "method",
    "form",
    "json",
    "id",
    "window",
    "throughput",
    "response-seconds",
    "doubt",
    "report-id",
    "report-status",
    "report-error",
    "delivered",
    "failed",
    "expired",
    "private",
];
const HEADER: &str = "header-";

/// What a request's body is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    Empty,
    /// `application/x-www-form-urlencoded`.
    Form(String),
    /// `application/json`.
    Json(String),
}

/// How an HTTP carrier is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// A template.
    pub url: String,
    /// `GET`, `POST` or `PUT`.
    pub method: String,
    /// Names and templates.
    pub headers: Vec<(String, String)>,
    /// A template.
    pub body: Body,
    /// Where in the answer the carrier's name for the message stands: a path such as `messages.0.id`; none takes the
    /// whole answer as text.
    pub id: Option<String>,
    /// Requests at once.
    pub window: usize,
    /// Requests a second.
    pub throughput: Option<u32>,
    /// How long an answer may take.
    pub response_timeout: Duration,
    /// What becomes of what is in doubt.
    pub doubt: Doubt,
    /// Where in a report that name stands, a field or path.
    pub report_id: String,
    /// Where in a report the status stands.
    pub report_status: String,
    /// Where in a report the code of an error stands.
    pub report_error: Option<String>,
    /// Statuses, in small letters, that say that it has arrived, has failed, was given up. All others say that it is on its way.
    pub delivered: Vec<String>,
    /// See [`HttpSettings::delivered`].
    pub failed: Vec<String>,
    /// See [`HttpSettings::delivered`].
    pub expired: Vec<String>,
    /// Whether it may stand in a private network.
    pub is_private: bool,
}

impl HttpSettings {
    /// Reads the settings; the first that is wrong is told.
    pub fn read(settings: &Settings) -> Result<HttpSettings, Violation> {
        if let Some((name, _)) =
            settings.all().find(|(name, _)| !NAMES.contains(name) && !name.starts_with(HEADER))
        {
            return Err(Violation::new(if name.is_empty() { "name" } else { "setting" }, Code::Invalid));
        }
        let url = settings.needed("url")?;
        let plain = url.replace(['{', '}'], "");
        Url::parse(&plain)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .ok_or(Violation::new("url", Code::NotUrl))?;
        let body = match (settings.text("form"), settings.text("json")) {
            (Some(_), Some(_)) => return Err(Violation::new("form", Code::Ambiguous)),
            (Some(form), None) => Body::Form(form.to_owned()),
            (None, Some(json)) => Body::Json(json.to_owned()),
            (None, None) => Body::Empty,
        };
        let usual = if body == Body::Empty { "GET" } else { "POST" };
        let method = settings.text("method").unwrap_or(usual).to_ascii_uppercase();
        if !["GET", "POST", "PUT"].contains(&method.as_str()) {
            return Err(Violation::new("method", Code::Invalid));
        }
        let headers = settings.all().filter_map(|(name, value)| Some((name.strip_prefix(HEADER)?, value)));
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
        let number = |name, least, most, default: i64| {
            settings.number(name, (least, most)).map(|number| number.unwrap_or(default))
        };
        Ok(HttpSettings {
            url,
            method,
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            body,
            id: settings.text("id").map(str::to_owned),
            window: usize::try_from(number("window", 1, 1_000, 10)?).unwrap_or(10),
            throughput: settings.number("throughput", (1, 100_000))?.and_then(|n| u32::try_from(n).ok()),
            response_timeout: Duration::from_secs(number("response-seconds", 1, 300, 30)?.unsigned_abs()),
            doubt,
            report_id: settings.text("report-id").unwrap_or("id").to_owned(),
            report_status: settings.text("report-status").unwrap_or("status").to_owned(),
            report_error: settings.text("report-error").map(str::to_owned),
            delivered: list("delivered", "delivered,delivrd,read"),
            failed: list("failed", "failed,undelivered,undeliv,rejected,rejectd,delivery_failed"),
            expired: list("expired", "expired"),
            is_private: settings.read::<bool>("private")?.unwrap_or(false),
        })
    }
}
