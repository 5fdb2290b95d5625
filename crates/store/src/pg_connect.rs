//! `PostgreSQL`: how a connection is made, and what it must promise before it is used.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Config, NoTls, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::pg::Conn;
use crate::{Error, Options};

/// Unless the URL says otherwise (`connect_timeout`).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Unless the URL says otherwise (`keepalives_idle`, `tcp_user_timeout`): a server that vanished
/// without a word is noticed within half a minute, not two hours.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// What a writer's session gets. Locks are waited for no longer than a caller waits, and a process that
/// froze inside a transaction does not keep its locks.
const WRITER: &str = "lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '30s'; SET client_min_messages = warning";

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    Write,
    Read,
    Scan,
}

pub(crate) struct Connector {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    pub(crate) unnamed: bool,
    scan_limit: Duration,
}

impl Connector {
    /// TLS as the URL says: `sslmode=disable`, or `require`, which always verifies the server's name
    /// and its certificate, against the authorities of the file `sslrootcert=`, or else the system's.
    /// Without `sslmode`, a server on this machine is spoken to in the clear and any other as with
    /// `require`.
    pub(crate) fn new(url: &str, options: &Options) -> Result<Self, Error> {
        let (url, authorities) = split_authorities(url);
        let url = url.as_str();
        // The driver's text would quote parts of the URL, which holds a password.
        let mut config = Config::from_str(url).map_err(|_| {
            Error::Open("the PostgreSQL URL cannot be read (are special characters encoded?)".into())
        })?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(SILENCE_MAX);
        }
        if !url.contains("keepalives_idle=") {
            config.keepalives_idle(SILENCE_MAX).keepalives_interval(SILENCE_MAX / 3);
        }
        if config.get_application_name().is_none() {
            config.application_name(env!("CARGO_PKG_NAME"));
        }
        if !url.contains("sslmode=") {
            let here = config.get_hosts().iter().all(local);
            config.ssl_mode(if here { SslMode::Disable } else { SslMode::Require });
        }
        let tls = match config.get_ssl_mode() {
            SslMode::Disable => None,
            _ => Some(tls(authorities.as_deref())?),
        };
        let (unnamed, scan_limit) = (options.unnamed_statements, options.scan_limit);
        Ok(Self { config, tls, unnamed, scan_limit })
    }

    #[expect(clippy::disallowed_methods, reason = "the driver's task ends with the connection it drives")]
    pub(crate) async fn connect(&self, role: Role) -> Result<Conn, Error> {
        let client = match &self.tls {
            None => {
                let (client, connection) = self.config.connect(NoTls).await.map_err(|e| unreachable(&e))?;
                tokio::spawn(drive(connection));
                client
            }
            Some(tls) => {
                let (client, connection) =
                    self.config.connect(tls.clone()).await.map_err(|e| unreachable(&e))?;
                tokio::spawn(drive(connection));
                client
            }
        };
        if role == Role::Write {
            durable(&client).await?;
        }
        let session = match role {
            // A pooler would hand the setting on to somebody else's transaction.
            _ if self.unnamed => None,
            Role::Write => Some(format!("SET {WRITER}")),
            // A point read that takes seconds is a mistake, but not this one's to punish.
            Role::Read => {
                Some("SET default_transaction_read_only = on; SET statement_timeout = '10s'".into())
            }
            Role::Scan => None,
        };
        if let Some(session) = session {
            client.batch_execute(&session).await.map_err(|e| unreachable(&e))?;
        }
        Ok(Conn::new(client, self.unnamed))
    }

    /// `BEGIN` for units. The isolation is stated: the server's default may be another.
    pub(crate) fn begin_write(&self) -> String {
        let begin = "BEGIN ISOLATION LEVEL READ COMMITTED";
        if self.unnamed {
            format!("{begin}; SET LOCAL {}", WRITER.replace("SET ", "SET LOCAL "))
        } else {
            begin.into()
        }
    }

    /// `BEGIN` for point reads, where they need a transaction.
    pub(crate) fn begin_read(&self) -> Option<String> {
        self.unnamed.then(|| "BEGIN READ ONLY; SET LOCAL statement_timeout = '10s'".into())
    }

    /// `BEGIN` for scans: one snapshot, and every statement stopped at the limit.
    pub(crate) fn begin_scan(&self) -> String {
        let ms = self.scan_limit.as_millis().max(1);
        format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = {ms}")
    }
}

/// Nobody can listen in on the way to these.
fn local(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

/// Takes `sslrootcert=FILE` out of the URL: `libpq` knows it, the driver does not.
fn split_authorities(url: &str) -> (String, Option<String>) {
    let Some((base, query)) = url.split_once('?') else { return (url.to_owned(), None) };
    let (found, rest): (Vec<&str>, Vec<&str>) =
        query.split('&').partition(|pair| pair.starts_with("sslrootcert="));
    let file = found.last().and_then(|pair| pair.split_once('=')).map(|(_, file)| file.replace("%2F", "/"));
    (format!("{base}?{}", rest.join("&")), file)
}

fn tls(file: Option<&str>) -> Result<MakeRustlsConnect, Error> {
    let certificates = match file {
        None => rustls_native_certs::load_native_certs().certs,
        Some(file) => CertificateDer::pem_file_iter(file)
            .and_then(Iterator::collect)
            .map_err(|e| Error::Open(format!("TLS: sslrootcert: {e}")))?,
    };
    let mut roots = rustls::RootCertStore::empty();
    let (found, _) = roots.add_parsable_certificates(certificates);
    if found == 0 {
        return Err(Error::Open(
            "TLS: no certificate authorities were found; name a file with sslrootcert=".into(),
        ));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::Open(format!("TLS: {e}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

async fn drive(connection: impl Future<Output = Result<(), tokio_postgres::Error>>) {
    if connection.await.is_err() {
        // Whoever uses it is told by the statement.
        tracing::debug!("A connection to PostgreSQL ended");
    }
}

/// Why there is no connection. `Display` of the driver's error says too little (its cause is apart)
/// and holds no values.
fn unreachable(e: &tokio_postgres::Error) -> Error {
    let cause = std::error::Error::source(e).map_or_else(String::new, |c| format!(": {c}"));
    let text = format!("PostgreSQL: {e}{cause}");
    match e.code() {
        // Waiting will not help against a wrong password or name.
        Some(code) if code.code().starts_with("28") || code.code().starts_with("3D") => Error::Open(text),
        _ => Error::unavailable(text),
    }
}

/// Refuses a server that would lose what it has acknowledged, or that keeps text in another encoding.
async fn durable(client: &tokio_postgres::Client) -> Result<(), Error> {
    for (setting, wrong, advice) in [
        ("fsync", "off", "set fsync = on in postgresql.conf"),
        (
            "synchronous_commit",
            "off",
            "set synchronous_commit = on for the server, the database and the role",
        ),
        ("server_encoding", "SQL_ASCII", "create the database with ENCODING 'UTF8'"),
    ] {
        let answer = client.simple_query(&format!("SHOW {setting}")).await.map_err(|e| unreachable(&e))?;
        let value = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        if value == Some(wrong) {
            return Err(Error::Open(format!("PostgreSQL has {setting} = {wrong}: {advice}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_another_machine_is_encrypted() {
        let tls = |url: &str| Connector::new(url, &Options::default()).map(|c| c.tls.is_some());
        for clear in ["postgres://localhost/x", "postgres://127.0.0.1/x", "postgres://%2Frun%2Fpg/x?user=u"] {
            assert_eq!(tls(clear), Ok(false), "{clear}");
        }
        assert_eq!(tls("postgres://db.example/x?sslmode=disable"), Ok(false));
        assert!(matches!(tls("postgres://db.example/x"), Ok(true) | Err(Error::Open(_))));
        let error = tls("postgres://db.example/x?sslrootcert=/no/such/file&sslmode=require").unwrap_err();
        assert!(error.to_string().contains("sslrootcert"), "{error}");
    }

    #[test]
    fn sslrootcert_is_taken_out() {
        let split = |url: &str| split_authorities(url);
        assert_eq!(
            split("postgres://h/x?a=1&sslrootcert=%2Fca.pem&b=2"),
            ("postgres://h/x?a=1&b=2".into(), Some("/ca.pem".into()))
        );
        assert_eq!(split("postgres://h/x"), ("postgres://h/x".into(), None));
    }
}
