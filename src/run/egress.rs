//! The way out to customers' URLs: one HTTP client, which reaches public addresses only.
//!
//! A customer names any URL, and the server stands where its owner's other machines can be reached. So the address is
//! judged where it is connected to, by the connector itself: a name is resolved once for a connection, and what was
//! judged is what is dialled. A name that changes its mind, an odd spelling of an address or a redirect gains nothing;
//! redirects are not followed at all, since a signature holds for one URL (docs/spec/01-signing.md section 4).

use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use ipnet::{Ipv4Net, Ipv6Net};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

/// Default of [`Options::within`].
const WITHIN: Duration = Duration::from_secs(10);
/// Most bytes that are read of an answer's body.
pub const ANSWER_MAX: usize = 64 * 1024;
/// Most bytes that an answer's head may leave unfinished.
const HEAD_MAX: usize = 64 * 1024;
/// An idle connection is kept for less than the 5 s after which Node's server closes it, so that a request seldom meets
/// a connection that is being closed.
const IDLE_MAX: Duration = Duration::from_secs(4);
/// Idle connections kept for one host.
const IDLE_PER_HOST: usize = 256;
/// Most addresses of a name that are tried.
const ADDRESSES_MAX: usize = 8;

/// Finds the addresses of a host.
pub type Resolve = Arc<dyn Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;
/// Connects to an address.
pub type Dial = Arc<dyn Fn(SocketAddr) -> BoxFuture<'static, io::Result<TcpStream>> + Send + Sync>;

/// What the operator decides about the way out, and what tests put in place of the network.
pub struct Options {
    /// Whether addresses are reached that are not public.
    pub allow_private: bool,
    /// From finding the address to the last byte of the answer.
    pub within: Duration,
    /// From finding the address to where a request could be sent. What fails by then has not left; a time shorter than
    /// `within` makes sure that it is known.
    pub connected_within: Duration,
    /// Whose certificates count; the system's authorities if there are none.
    pub authorities: Option<RootCertStore>,
    /// The system's resolver, by default.
    pub resolve: Resolve,
    /// TCP, by default.
    pub dial: Dial,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            allow_private: false,
            within: WITHIN,
            connected_within: WITHIN,
            authorities: None,
            resolve: Arc::new(|host, port| {
                Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
            }),
            dial: Arc::new(|address| {
                Box::pin(async move {
                    let stream = TcpStream::connect(address).await?;
                    // Requests are small and written whole: waiting for more to send only delays them.
                    stream.set_nodelay(true)?;
                    Ok(stream)
                })
            }),
        }
    }
}

/// A request to a customer's URL.
#[derive(Clone)]
pub struct Outgoing {
    /// Its method.
    pub method: Method,
    /// Absolute; sent exactly as it stands here.
    pub url: String,
    /// Beside `Host` and `Content-Length`, which come by themselves.
    pub headers: Vec<(HeaderName, String)>,
    /// Sent as it is, without compression.
    pub body: Vec<u8>,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Whatever it is: a redirect is an answer like any other.
    pub status: u16,
    /// When to try again, as the answer has it.
    pub retry_after: Option<String>,
    /// At most as many bytes as were asked for, usually [`ANSWER_MAX`]; what lies behind is not read.
    pub body: Vec<u8>,
}

/// Why there is no answer. None names an address or a part of an answer: whoever gave the URL is told, and would learn
/// what stands beside this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The URL is not one that can be called.
    #[error(
        "the URL cannot be called: give an absolute http or https URL in ASCII, without a user or a fragment"
    )]
    NotAUrl,
    /// A header's value holds what HTTP forbids.
    #[error("a header cannot be sent: take line breaks and other control characters out of its value")]
    NotAHeader,
    /// The host has no public address.
    #[error(
        "the URL leads to an address that is not public: use a public one, or have the operator allow private ones"
    )]
    Forbidden,
    /// The host has no address.
    #[error("the URL's host was not found: check its spelling and its DNS records")]
    NotFound,
    /// Nobody answered at the address.
    #[error(
        "no connection could be made: check that the server runs and that its port is open to the Internet"
    )]
    Unreachable,
    /// The server could not show who it is.
    #[error(
        "TLS failed: give the server a certificate for the URL's host, with its chain, from a known authority"
    )]
    Tls,
    /// There was not all of an answer in time.
    #[error("there was no whole answer in time: answer first and work afterwards")]
    TimedOut,
    /// The connection ended before the answer did, or what came was not HTTP.
    #[error(
        "the connection broke off before there was a whole answer: check that the URL's port speaks HTTP/1.1"
    )]
    BrokeOff,
}

/// Sends requests to customers' URLs. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Egress {
    client: Client<Connector, Full<Bytes>>,
    connector: Connector,
    within: Duration,
}

impl Egress {
    /// The way out of a process. Fails if the system has no certificate authorities.
    pub fn new(allow_private: bool) -> Result<Self, String> {
        Self::with(Options { allow_private, ..Options::default() })
    }

    /// With every decision taken by the caller.
    pub fn with(options: Options) -> Result<Self, String> {
        let within = options.within;
        let connector = Connector::new(options)?;
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .http1_max_buf_size(HEAD_MAX)
            .build(connector.clone());
        Ok(Egress { client, connector, within })
    }

    /// Whether a request to this URL could be sent: makes a connection and closes it.
    pub async fn reach(&self, url: &str) -> Result<(), Failure> {
        let uri: Uri = url.parse().map_err(|_| Failure::NotAUrl)?;
        self.connector.connected(&uri).await.map(drop)
    }

    /// Sends a request once and waits for its answer. Redirects are not followed.
    pub async fn send(&self, request: Outgoing) -> Result<Answer, Failure> {
        self.send_for(request, ANSWER_MAX).await
    }

    /// The same for an answer of which so many bytes are read.
    pub async fn send_for(&self, request: Outgoing, answer_max: usize) -> Result<Answer, Failure> {
        let request = prepared(request)?;
        let answered = tokio::time::timeout(self.within, async {
            let response = self.client.request(request).await.map_err(|error| cause(&error))?;
            let (parts, mut rest) = response.into_parts();
            let mut body = Vec::new();
            while let Some(frame) = rest.frame().await {
                let Ok(data) = frame.map_err(|_| Failure::BrokeOff)?.into_data() else { continue };
                let room = answer_max - body.len();
                body.extend_from_slice(data.get(..room).unwrap_or(&data));
                if data.len() > room {
                    // Dropped with its end unread, the body takes its connection with it.
                    break;
                }
            }
            let retry_after = parts.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            Ok(Answer { status: parts.status.as_u16(), retry_after: retry_after.map(str::to_owned), body })
        });
        answered.await.unwrap_or(Err(Failure::TimedOut))
    }
}

/// The request as the client takes it.
fn prepared(outgoing: Outgoing) -> Result<Request<Full<Bytes>>, Failure> {
    // The client would cut off a fragment, and take a port that is none for the usual one.
    let exact = outgoing.url.is_ascii() && !outgoing.url.contains('#') && Url::parse(&outgoing.url).is_ok();
    let uri: Uri = match outgoing.url.parse() {
        Ok(uri) if exact => uri,
        _ => return Err(Failure::NotAUrl),
    };
    let has_user = uri.authority().is_none_or(|authority| authority.as_str().contains('@'));
    if !matches!(uri.scheme_str(), Some("http" | "https")) || has_user {
        return Err(Failure::NotAUrl);
    }
    let mut request = Request::new(Full::new(Bytes::from(outgoing.body)));
    *request.method_mut() = outgoing.method;
    *request.uri_mut() = uri;
    for (name, value) in outgoing.headers {
        let value = HeaderValue::try_from(value).map_err(|_| Failure::NotAHeader)?;
        request.headers_mut().append(name, value);
    }
    Ok(request)
}

/// What the connector said, wherever the client has wrapped it.
fn cause(error: &(dyn std::error::Error + 'static)) -> Failure {
    std::iter::successors(Some(error), |error| error.source())
        .find_map(|error| error.downcast_ref::<Failure>().copied())
        .unwrap_or(Failure::BrokeOff)
}

/// Makes the client's connections: judges each address, and connects to no other.
#[derive(Clone)]
struct Connector {
    options: Arc<Options>,
    tls: Arc<ClientConfig>,
}

impl Connector {
    fn new(mut options: Options) -> Result<Self, String> {
        let roots = options.authorities.take().map_or_else(system_authorities, Ok)?;
        let mut tls = client(roots)?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Connector { options: Arc::new(options), tls: Arc::new(tls) })
    }

    /// A connection, in its time.
    async fn connected(&self, uri: &Uri) -> Result<Line, Failure> {
        let Options { within, connected_within, .. } = *self.options;
        let late = if connected_within < within { Failure::Unreachable } else { Failure::TimedOut };
        let connecting = tokio::time::timeout(connected_within.min(within), self.connect(uri));
        connecting.await.unwrap_or(Err(late))
    }

    async fn connect(&self, uri: &Uri) -> Result<Line, Failure> {
        let host = Host::parse(uri.host().ok_or(Failure::NotAUrl)?).map_err(|_| Failure::NotAUrl)?;
        let encrypted = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        let addresses = self.addresses(&host, port).await?;
        let stream = self.dial(&addresses).await?;
        if !encrypted {
            return Ok(Line(Box::new(stream)));
        }
        let name = match host {
            Host::Domain(name) => ServerName::try_from(name).map_err(|_| Failure::NotAUrl)?,
            Host::Ipv4(ip) => ServerName::from(IpAddr::V4(ip)),
            Host::Ipv6(ip) => ServerName::from(IpAddr::V6(ip)),
        };
        match TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await {
            Ok(stream) => Ok(Line(Box::new(stream))),
            Err(error) => {
                tracing::debug!(%error, "a customer's server failed in TLS");
                Err(Failure::Tls)
            }
        }
    }

    /// The host's addresses that may be connected to: at least one.
    async fn addresses(&self, host: &Host, port: u16) -> Result<Vec<SocketAddr>, Failure> {
        let mut addresses = match host {
            Host::Domain(name) => {
                (self.options.resolve)(name.clone(), port).await.map_err(|_| Failure::NotFound)?
            }
            Host::Ipv4(ip) => vec![SocketAddr::from((*ip, port))],
            Host::Ipv6(ip) => vec![SocketAddr::from((*ip, port))],
        };
        if addresses.is_empty() {
            return Err(Failure::NotFound);
        }
        addresses.retain(|address| self.options.allow_private || is_public(address.ip()));
        addresses.truncate(ADDRESSES_MAX);
        if addresses.is_empty() { Err(Failure::Forbidden) } else { Ok(addresses) }
    }

    /// Connects to the first address that answers; each has its share of the time, as has what comes after.
    async fn dial(&self, addresses: &[SocketAddr]) -> Result<TcpStream, Failure> {
        let shares = u32::try_from(addresses.len() + 1).unwrap_or(u32::MAX);
        let share = self.options.within.min(self.options.connected_within) / shares;
        for address in addresses {
            if let Ok(Ok(stream)) = tokio::time::timeout(share, (self.options.dial)(*address)).await {
                return Ok(stream);
            }
        }
        Err(Failure::Unreachable)
    }
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<Line>;
    type Error = Failure;
    type Future = BoxFuture<'static, Result<Self::Response, Failure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            // The client goes on with a connection that nobody waits for any more: it needs an end of its own.
            connector.connected(&uri).await.map(TokioIo::new)
        })
    }
}

fn client(roots: RootCertStore) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let tls = versions.map_err(|error| format!("TLS: {error}"))?;
    Ok(tls.with_root_certificates(roots).with_no_client_auth())
}

/// TLS to whom the operator has named, by the authorities that the system trusts.
pub(super) fn tls_client() -> Result<Arc<ClientConfig>, String> {
    client(system_authorities()?).map(Arc::new)
}

/// The authorities that the system trusts.
fn system_authorities() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let (found, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if found == 0 {
        return Err("TLS: no certificate authorities were found: install the package ca-certificates".into());
    }
    Ok(roots)
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection, in the clear or encrypted.
struct Line(Box<dyn Stream>);

impl Connection for Line {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

const fn v4(a: u8, b: u8, c: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, 0), length)
}

const fn v6(a: u16, b: u16, length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), length)
}

/// What is not public of IPv4, from IANA's registry of special-purpose addresses.
const NOT_PUBLIC: [Ipv4Net; 15] = [
    v4(0, 0, 0, 8),       // this network, and unspecified (RFC 791)
    v4(10, 0, 0, 8),      // private (RFC 1918)
    v4(100, 64, 0, 10),   // behind carriers' address translation (RFC 6598)
    v4(127, 0, 0, 8),     // loopback (RFC 1122)
    v4(169, 254, 0, 16),  // link-local, where clouds have their metadata (RFC 3927)
    v4(172, 16, 0, 12),   // private
    v4(192, 0, 0, 24),    // protocol assignments (RFC 6890)
    v4(192, 0, 2, 24),    // documentation (RFC 5737)
    v4(192, 88, 99, 24),  // relays into 6to4, given up (RFC 7526)
    v4(192, 168, 0, 16),  // private
    v4(198, 18, 0, 15),   // benchmarks (RFC 2544)
    v4(198, 51, 100, 24), // documentation
    v4(203, 0, 113, 24),  // documentation
    v4(224, 0, 0, 4),     // multicast (RFC 5771)
    v4(240, 0, 0, 4),     // reserved, and broadcast (RFC 1112)
];
/// What is public of IPv6 (RFC 4291 section 2.4): all that is loopback, local, multicast or reserved lies outside …
const GLOBAL: Ipv6Net = v6(0x2000, 0, 3);
/// … and these inside.
const NOT_GLOBAL: [Ipv6Net; 3] = [
    v6(0x2001, 0, 23),      // protocol assignments, Teredo among them (RFC 2928)
    v6(0x2001, 0x0DB8, 32), // documentation (RFC 3849)
    v6(0x3FFF, 0, 20),      // documentation (RFC 9637)
];
/// An IPv4 address follows after 96 bits: mapped and compatible (RFC 4291 section 2.5.5), and by translation (RFC 6052).
/// The prefix for translation within a network (RFC 8215) is refused whole: where its address stands is the network's own
/// matter.
const EMBEDDING: [Ipv6Net; 3] =
    [Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0xFFFF, 0, 0), 96), v6(0, 0, 96), v6(0x64, 0xFF9B, 96)];
/// An IPv4 address follows after 16 bits (RFC 3056).
const SIX_TO_FOUR: Ipv6Net = v6(0x2002, 0, 16);

/// Whether an address belongs to the Internet. An IPv6 address that leads to an IPv4 one is judged by that.
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !NOT_PUBLIC.iter().any(|net| net.contains(&ip)),
        IpAddr::V6(ip) => {
            let octets = ip.octets();
            let within = |at: usize| {
                let [a, b, c, d] = [octets[at], octets[at + 1], octets[at + 2], octets[at + 3]];
                is_public(Ipv4Addr::new(a, b, c, d).into())
            };
            if EMBEDDING.iter().any(|net| net.contains(&ip)) {
                within(12)
            } else if SIX_TO_FOUR.contains(&ip) {
                within(2)
            } else {
                GLOBAL.contains(&ip) && !NOT_GLOBAL.iter().any(|net| net.contains(&ip))
            }
        }
    }
}
