//! What an operator decides about a process: command line, then environment, then `rookery.toml`, then the default.
//!
//! One struct is both the command line's options and the file's keys, so the two cannot drift apart. Unknown keys of the
//! file are errors.

use clap::{Args, ValueEnum};
use ipnet::IpNet;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Everything that can be set. `None` and empty mean: not said here.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Settings file; ./rookery.toml is read if it is there.
    #[arg(long, global = true, value_name = "FILE", env = "ROOKERY_CONFIG")]
    #[serde(skip)]
    pub config: Option<PathBuf>,

    /// Database: sqlite:PATH or postgres://… [default: `sqlite:DATA_DIR/rookery.db`]
    #[arg(long, global = true, value_name = "URL", env = "ROOKERY_DATABASE", hide_env_values = true)]
    pub database: Option<String>,

    /// Where the embedded database and the master key live. [default: ./rookery-data]
    #[arg(long, global = true, value_name = "DIR", env = "ROOKERY_DATA_DIR")]
    pub data_dir: Option<PathBuf>,

    /// Run every statement unnamed: for PostgreSQL behind a pooler that shares connections by transaction.
    #[arg(long, global = true, env = "ROOKERY_UNNAMED_STATEMENTS", num_args = 0..=1, default_missing_value = "true", value_parser = flag)]
    pub unnamed_statements: Option<bool>,

    /// What to log: error, warn, info, debug, trace, or by module. [default: info]
    #[arg(long, global = true, value_name = "FILTER", env = "ROOKERY_LOG")]
    pub log: Option<String>,

    /// How to log. [default: text]
    #[arg(long, global = true, value_name = "FORMAT", env = "ROOKERY_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,

    /// The master key, 64 hexadecimal digits: environment `ROOKERY_MASTER_KEY` or file only, never an option.
    #[arg(skip)]
    #[serde(default)]
    pub master_key: Option<String>,

    /// What only `serve` needs.
    #[arg(skip)]
    #[serde(flatten)]
    pub serve: ServeSettings,
}

/// What only `serve` needs.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct ServeSettings {
    /// Addresses for HTTP, separated by commas; IPv6 as `[::1]:8080`. [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS", env = "ROOKERY_LISTEN", value_delimiter = ',')]
    pub listen: Vec<SocketAddr>,

    /// What absolute links begin with, such as <https://sms.example.com>. [default: scheme and host of the request]
    #[arg(long, value_name = "URL", env = "ROOKERY_PUBLIC_URL")]
    pub public_url: Option<String>,

    /// Addresses for HTTPS.
    #[arg(long, value_name = "ADDRESS", env = "ROOKERY_TLS_LISTEN", value_delimiter = ',')]
    pub tls_listen: Vec<SocketAddr>,

    /// Certificate chain in PEM; read again when it changes.
    #[arg(long, value_name = "FILE", env = "ROOKERY_TLS_CERT")]
    pub tls_cert: Option<PathBuf>,

    /// Private key in PEM.
    #[arg(long, value_name = "FILE", env = "ROOKERY_TLS_KEY")]
    pub tls_key: Option<PathBuf>,

    /// Addresses for SMPP, at which customers' own systems bind. [default: none]
    #[arg(long, value_name = "ADDRESS", env = "ROOKERY_SMPP_LISTEN", value_delimiter = ',')]
    pub smpp_listen: Vec<SocketAddr>,

    /// Addresses for SMPP over TLS, with the certificate of HTTPS.
    #[arg(long, value_name = "ADDRESS", env = "ROOKERY_SMPP_TLS_LISTEN", value_delimiter = ',')]
    pub smpp_tls_listen: Vec<SocketAddr>,

    /// Networks of proxies whose Forwarded and X-Forwarded-* headers count.
    #[arg(long, value_name = "CIDR", env = "ROOKERY_TRUSTED_PROXY", value_delimiter = ',')]
    pub trusted_proxy: Vec<IpNet>,

    /// Addresses for /metrics alone. [default: none, /metrics answers loopback on the main addresses]
    #[arg(long, value_name = "ADDRESS", env = "ROOKERY_METRICS_LISTEN", value_delimiter = ',')]
    pub metrics_listen: Vec<SocketAddr>,

    /// Origins whose pages may call the APIs; * for any. [default: none]
    #[arg(long, value_name = "ORIGIN", env = "ROOKERY_CORS_ORIGIN", value_delimiter = ',')]
    pub cors_origin: Vec<String>,

    /// Largest request body, such as 1MiB or 500000. [default: 1MiB]
    #[arg(long, value_name = "SIZE", env = "ROOKERY_BODY_LIMIT")]
    pub body_limit: Option<ByteSize>,

    /// What this process does: api, submit, deliver. [default: api,submit,deliver]
    #[arg(long, value_name = "ROLES", env = "ROOKERY_ROLES", value_delimiter = ',')]
    pub roles: Vec<Role>,

    /// Leave an empty database empty: no demo accounts.
    #[arg(long, env = "ROOKERY_NO_DEMO", num_args = 0..=1, default_missing_value = "true", value_parser = flag)]
    pub no_demo: Option<bool>,

    /// No limits on requests a second and on wrong keys.
    #[arg(long, env = "ROOKERY_NO_RATE_LIMIT", num_args = 0..=1, default_missing_value = "true", value_parser = flag)]
    pub no_rate_limit: Option<bool>,

    /// Let callbacks go to loopback, private and link-local addresses.
    #[arg(long, env = "ROOKERY_ALLOW_PRIVATE_WEBHOOKS", num_args = 0..=1, default_missing_value = "true", value_parser = flag)]
    pub allow_private_webhooks: Option<bool>,

    /// Name a child account after its number when the request has no name, which the Go SDK never sends.
    #[arg(long, env = "ROOKERY_NAMELESS_CHILDREN", num_args = 0..=1, default_missing_value = "true", value_parser = flag)]
    pub nameless_children: Option<bool>,

    /// Most recipients of one message, those of its groups included [default: 50000].
    #[arg(long, env = "ROOKERY_RECIPIENTS_MAX", value_name = "COUNT")]
    pub recipients_max: Option<usize>,

    /// Originators that no message may have, in letters of either case, such as the operator's own name. [default: none]
    #[arg(long, env = "ROOKERY_RESERVED_ORIGINATORS", value_name = "NAMES", value_delimiter = ',')]
    pub reserved_originators: Vec<String>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// A part of what a server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Answers HTTP and SMPP.
    Api,
    /// Submits to carriers.
    Submit,
    /// Delivers callbacks.
    Deliver,
}

/// A number of bytes: `500000`, `64KiB`, `1MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "toml::Value")]
pub struct ByteSize(pub usize);

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text}: a number of bytes such as 500000, 64KiB or 1MiB is needed");
        let text = text.trim();
        let (digits, factor) = [("KiB", 1usize << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)]
            .into_iter()
            .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))
            .unwrap_or((text, 1));
        let count = digits.trim().parse::<usize>().map_err(|_| wrong())?;
        count.checked_mul(factor).map(ByteSize).ok_or_else(wrong)
    }
}

impl TryFrom<toml::Value> for ByteSize {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Self, String> {
        match value {
            toml::Value::Integer(bytes) => {
                usize::try_from(bytes).map(ByteSize).map_err(|_| format!("{bytes}: not a number of bytes"))
            }
            toml::Value::String(text) => text.parse(),
            _ => Err("a number of bytes or a text such as \"1MiB\" is needed".into()),
        }
    }
}

/// `1` and `0` are what environment variables hold.
fn flag(text: &str) -> Result<bool, String> {
    match text {
        "1" | "true" | "yes" | "on" => Ok(true),
        "" | "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("1 or 0 is needed".into()),
    }
}

impl Settings {
    /// Adds what the file says where the command line and the environment said nothing.
    pub fn with_file(mut self, serve: Option<ServeSettings>) -> Result<Self, String> {
        let file = match &self.config {
            Some(path) => Self::read(path)?,
            None if Path::new("rookery.toml").exists() => Self::read(Path::new("rookery.toml"))?,
            None => Settings::default(),
        };
        self.serve = serve.unwrap_or_default().or(file.serve);
        self.database = self.database.or(file.database);
        self.data_dir = self.data_dir.or(file.data_dir);
        self.unnamed_statements = self.unnamed_statements.or(file.unnamed_statements);
        self.log = self.log.or(file.log);
        self.log_format = self.log_format.or(file.log_format);
        self.master_key =
            std::env::var("ROOKERY_MASTER_KEY").ok().filter(|key| !key.is_empty()).or(file.master_key);
        Ok(self)
    }

    fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Where the embedded database and the master key live.
    pub fn data_dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| PathBuf::from("./rookery-data"))
    }

    /// The database's URL.
    pub fn database(&self) -> String {
        match &self.database {
            Some(url) => url.clone(),
            None => format!("sqlite:{}", self.data_dir().join("rookery.db").display()),
        }
    }
}

impl ServeSettings {
    /// Fills what is not said here with what is said there.
    fn or(self, other: Self) -> Self {
        fn list<T>(own: Vec<T>, other: Vec<T>) -> Vec<T> {
            if own.is_empty() { other } else { own }
        }
        ServeSettings {
            listen: list(self.listen, other.listen),
            public_url: self.public_url.or(other.public_url),
            tls_listen: list(self.tls_listen, other.tls_listen),
            tls_cert: self.tls_cert.or(other.tls_cert),
            tls_key: self.tls_key.or(other.tls_key),
            smpp_listen: list(self.smpp_listen, other.smpp_listen),
            smpp_tls_listen: list(self.smpp_tls_listen, other.smpp_tls_listen),
            trusted_proxy: list(self.trusted_proxy, other.trusted_proxy),
            metrics_listen: list(self.metrics_listen, other.metrics_listen),
            cors_origin: list(self.cors_origin, other.cors_origin),
            body_limit: self.body_limit.or(other.body_limit),
            roles: list(self.roles, other.roles),
            no_demo: self.no_demo.or(other.no_demo),
            no_rate_limit: self.no_rate_limit.or(other.no_rate_limit),
            allow_private_webhooks: self.allow_private_webhooks.or(other.allow_private_webhooks),
            nameless_children: self.nameless_children.or(other.nameless_children),
            recipients_max: self.recipients_max.or(other.recipients_max),
            reserved_originators: list(self.reserved_originators, other.reserved_originators),
        }
    }

    /// Whether this process does that part.
    pub fn has(&self, role: Role) -> bool {
        self.roles.is_empty() || self.roles.contains(&role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_fills_what_was_not_said() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            file.path(),
            "database = 'sqlite:/tmp/x.db'\nlisten = ['[::1]:80']\nbody-limit = '2MiB'\nlog-format = 'json'\n",
        )
        .unwrap();
        let said =
            Settings { config: Some(file.path().into()), log: Some("debug".into()), ..Settings::default() };
        let serve = ServeSettings { body_limit: Some(ByteSize(5)), ..ServeSettings::default() };
        let settings = said.with_file(Some(serve)).unwrap();
        assert_eq!(settings.database(), "sqlite:/tmp/x.db");
        assert_eq!(settings.serve.listen, ["[::1]:80".parse().unwrap()]);
        assert_eq!(settings.serve.body_limit, Some(ByteSize(5)), "the command line wins");
        assert_eq!((settings.log.as_deref(), settings.log_format), (Some("debug"), Some(LogFormat::Json)));
    }

    #[test]
    fn an_unknown_key_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "lisen = ['127.0.0.1:1']\n").unwrap();
        let said = Settings { config: Some(file.path().into()), ..Settings::default() };
        assert!(said.with_file(None).unwrap_err().contains("lisen"));
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!("64KiB".parse(), Ok(ByteSize(65_536)));
        assert_eq!("500000".parse(), Ok(ByteSize(500_000)));
        for bad in ["", "1MB", "-1", "99999999999999999999", "18446744073709551615GiB"] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad}");
        }
    }
}
