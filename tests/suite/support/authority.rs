//! A certificate authority of a test's own, and a TLS client that trusts nobody else.

use super::http::Client;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto};

/// The vendor's names that the official SDKs ask for, and what a test on this machine asks for.
const NAMES: [&str; 7] = [
    "rest.messagebird.com",
    "partner-accounts.messagebird.com",
    "conversations.messagebird.com",
    "voice.messagebird.com",
    "numbers.messagebird.com",
    "hub.360dialog.io",
    "localhost",
];

/// An authority, and the files of the certificates it signs.
pub struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    roots: RootCertStore,
}

/// A TLS connection with HTTP/1.1 in it.
pub type Encrypted = Client<StreamOwned<ClientConnection, TcpStream>>;

impl Authority {
    /// A fresh authority, whose certificate is `ca.pem` in the folder.
    pub fn new(folder: &Path) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "Authority of one test");
        params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        std::fs::write(folder.join("ca.pem"), certificate.pem()).expect("ca.pem is written");
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).expect("the authority is trusted");
        Authority { folder: folder.to_owned(), issuer: Issuer::new(params, key), roots }
    }

    /// The authority's own certificate.
    pub fn file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Signs a certificate for the vendor's names and writes it over `cert.pem` and `key.pem`; answers its bytes.
    pub fn sign(&self) -> Vec<u8> {
        let mut params = CertificateParams::new(NAMES.map(str::to_owned)).expect("names");
        params.subject_alt_names.push(rcgen::SanType::IpAddress(std::net::Ipv4Addr::LOCALHOST.into()));
        params.distinguished_name.push(rcgen::DnType::CommonName, "Rookery under test");
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        std::fs::write(self.folder.join("key.pem"), key.serialize_pem()).expect("key.pem is written");
        std::fs::write(self.folder.join("cert.pem"), certificate.pem()).expect("cert.pem is written");
        certificate.der().to_vec()
    }

    /// The options of `serve` that name the signed certificate.
    pub fn options(&self) -> [String; 4] {
        let path = |name: &str| self.folder.join(name).display().to_string();
        ["--tls-cert".into(), path("cert.pem"), "--tls-key".into(), path("key.pem")]
    }

    /// Connects, trusting this authority alone, and offers these application protocols.
    pub fn connect(
        &self,
        address: SocketAddr,
        name: &'static str,
        alpn: &[&[u8]],
    ) -> std::io::Result<Encrypted> {
        Ok(Client::over(self.stream(address, name, alpn)?))
    }

    /// The same without HTTP in it.
    pub fn stream(
        &self,
        address: SocketAddr,
        name: &'static str,
        alpn: &[&[u8]],
    ) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let provider = Arc::new(crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        let name = ServerName::try_from(name).expect("a name");
        let mut connection = ClientConnection::new(Arc::new(config), name).map_err(std::io::Error::other)?;
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        Ok(StreamOwned::new(connection, stream))
    }
}

impl Encrypted {
    /// The certificate that the server showed.
    pub fn certificate(&self) -> Vec<u8> {
        let chain = self.inner().conn.peer_certificates().expect("a certificate");
        chain[0].to_vec()
    }

    /// The application protocol that the server chose.
    pub fn protocol(&self) -> Option<&[u8]> {
        self.inner().conn.alpn_protocol()
    }
}
