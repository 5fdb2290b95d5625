//! How a transport is spoken to over HTTP: the settings of `transport add --http`, with their bounds, and who may tell
//! something for it. docs/channels.md shows all of it at work.

use super::carrier::Settings;
use super::secret::Vault;
use super::smpp_carrier::Doubt;
use super::transport::Transport;
use super::{Code, Violation};
use std::time::Duration;
use url::Url;

/// The settings' names.
const NAMES: &[&str] = &["url", "window", "throughput", "response-seconds", "doubt", "report-key", "private"];

/// How a transport is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpTransport {
    /// What all paths begin with, without a slash at the end.
    pub url: String,
    /// Requests at once.
    pub window: usize,
    /// Messages a second.
    pub throughput: Option<u32>,
    /// How long an answer may take.
    pub response_timeout: Duration,
    /// What becomes of what is in doubt.
    pub doubt: Doubt,
    /// Whether it may stand in a private network.
    pub is_private: bool,
}

impl HttpTransport {
    /// Reads the settings; the first that is wrong is told.
    pub fn read(settings: &Settings) -> Result<HttpTransport, Violation> {
        settings.only(NAMES)?;
        let text = settings.needed("url")?;
        let wrong = || Violation::new("url", Code::NotUrl);
        let url = Url::parse(&text).map_err(|_| wrong())?;
        let fits = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
            && text.is_ascii();
        if !fits {
            return Err(wrong());
        }
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
        Ok(HttpTransport {
            url: text.trim_end_matches('/').to_owned(),
            window: usize::try_from(number("window", 1, 1_000, 10)?).unwrap_or(10),
            throughput: settings.number("throughput", (1, 100_000))?.and_then(|n| u32::try_from(n).ok()),
            response_timeout: Duration::from_secs(number("response-seconds", 1, 300, 30)?.unsigned_abs()),
            doubt,
            is_private: settings.read::<bool>("private")?.unwrap_or(false),
        })
    }
}

/// What the transport must know to tell us something: the end of the URL that it calls, and what it shows when that URL is
/// given to it. It follows from the master key, so that it is stored nowhere; another `report-key` makes another one.
pub fn report_token(transport: &Transport, vault: &Vault) -> String {
    let key = transport.settings.text("report-key").unwrap_or_default();
    vault.token(&["transport-reports", &transport.id.0.to_string(), &transport.name, key])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Result<HttpTransport, Violation> {
        let mut settings = Settings::default();
        settings.set("url", "https://graph.example/v21.0/");
        for (name, value) in pairs {
            settings.set(*name, *value);
        }
        HttpTransport::read(&settings)
    }

    #[test]
    fn what_is_not_said_has_a_default_and_what_is_wrong_is_named() {
        let plain = with(&[]).expect("defaults");
        assert_eq!(
            (plain.url.as_str(), plain.window, plain.doubt),
            ("https://graph.example/v21.0", 10, Doubt::Resend)
        );
        for (name, value, field) in [
            ("widnow", "1", "setting"),
            ("url", "graph.example", "url"),
            ("url", "ftp://graph.example", "url"),
            ("url", "https://user:x@graph.example", "url"),
            ("url", "https://graph.example/?a=b", "url"),
            ("window", "0", "window"),
            ("doubt", "forget", "doubt"),
            ("private", "yes", "private"),
        ] {
            assert_eq!(with(&[(name, value)]).expect_err(value).field, field, "{name}={value}");
        }
    }
}
