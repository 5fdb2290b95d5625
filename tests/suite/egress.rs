//! The way out to customers' URLs: what is sent, what is read, and where it does not lead. Nothing leaves this machine.

use crate::support::authority::Authority;
use futures_util::future::BoxFuture;
use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderName, LOCATION};
use proptest::prelude::*;
use rookery::run::egress::{
    ANSWER_MAX, Answer, Dial, Egress, Failure, Options, Outgoing, Resolve, is_public,
};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto};

/// A public address that no test ever reaches.
const PUBLIC: IpAddr = IpAddr::V4(Ipv4Addr::new(93, 184, 215, 14));
/// For what has to take too long.
const SOON: Duration = Duration::from_millis(200);

/// A server of one test: answers each request with the same bytes, and keeps what it was sent.
struct Customer {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Vec<String>>>>,
    _serving: JoinSet<()>,
}

impl Customer {
    async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        Self::serving(None, answer.into()).await
    }

    async fn serving(tls: Option<TlsAcceptor>, answer: Vec<u8>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut serving = JoinSet::new();
        let kept = Arc::clone(&seen);
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let number = kept.lock().unwrap().len();
                kept.lock().unwrap().push(Vec::new());
                let (tls, kept, answer) = (tls.clone(), Arc::clone(&kept), answer.clone());
                connections.spawn(async move {
                    let keep = |request| kept.lock().unwrap()[number].push(request);
                    match tls {
                        None => converse(stream, &answer, keep).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                converse(stream, &answer, keep).await;
                            }
                        }
                    }
                });
            }
        });
        Customer { address, seen, _serving: serving }
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The requests of each connection.
    fn seen(&self) -> Vec<Vec<String>> {
        self.seen.lock().unwrap().clone()
    }
}

/// Reads requests and answers each, until the other end has enough.
async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &[u8], keep: impl Fn(String)) {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let head = read.windows(4).position(|bytes| bytes == b"\r\n\r\n").map(|at| at + 4);
        if let Some(head) = head {
            let text = String::from_utf8_lossy(&read[..head]).to_ascii_lowercase();
            let length = text.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            let whole = head + length.map_or(0, |length| length.parse::<usize>().unwrap());
            if read.len() >= whole {
                keep(String::from_utf8_lossy(&read[..whole]).into_owned());
                read.drain(..whole);
                if answer.is_empty() || stream.write_all(answer).await.is_err() {
                    return;
                }
                continue;
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(length) => read.extend_from_slice(&buffer[..length]),
        }
    }
}

fn get(url: &str) -> Outgoing {
    Outgoing { method: Method::GET, url: url.into(), headers: Vec::new(), body: Vec::new() }
}

fn private() -> Egress {
    Egress::new(true).expect("the system has authorities")
}

fn hasty() -> Egress {
    Egress::with(Options { allow_private: true, within: SOON, ..Options::default() }).unwrap()
}

/// The addresses that were dialled, in order.
type Dialled = Arc<Mutex<Vec<SocketAddr>>>;

/// Takes note of what is dialled; leads what is public to one address of this machine, and nothing else anywhere.
fn switchboard(to: SocketAddr) -> (Dial, Dialled) {
    let dialled = Dialled::default();
    let note = Arc::clone(&dialled);
    let dial = move |address: SocketAddr| -> BoxFuture<'static, io::Result<TcpStream>> {
        note.lock().unwrap().push(address);
        Box::pin(async move {
            if address.ip() == PUBLIC {
                TcpStream::connect(to).await
            } else {
                Err(io::ErrorKind::HostUnreachable.into())
            }
        })
    };
    (Arc::new(dial), dialled)
}

/// Answers each question with the next of these, and the last of them for ever.
fn names(answers: &[&[IpAddr]]) -> Resolve {
    let answers: Vec<Vec<IpAddr>> = answers.iter().map(|answer| answer.to_vec()).collect();
    let asked = Mutex::new(0);
    Arc::new(move |_, port| {
        let mut asked = asked.lock().unwrap();
        let answer = &answers[(*asked).min(answers.len() - 1)];
        let addresses = answer.iter().map(|ip| SocketAddr::new(*ip, port)).collect();
        *asked += 1;
        Box::pin(async move { Ok(addresses) })
    })
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const OK_AND_GOODBYE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

#[tokio::test]
async fn a_request_goes_out_as_it_stands_over_one_connection() {
    let customer = Customer::answering(OK).await;
    let egress = private();
    let url = format!("http://{}/a%20b/%5B?b=2+3&a=%2f", customer.address);
    let post = Outgoing {
        method: Method::POST,
        url: url.clone(),
        headers: vec![
            (CONTENT_TYPE, "application/json".into()),
            (HeaderName::from_static("messagebird-signature-jwt"), "a.b.c".into()),
        ],
        body: b"{\"a\":1}".to_vec(),
    };
    let answer = egress.send(post).await;
    assert_eq!(answer, Ok(Answer { status: 200, retry_after: None, body: b"ok".to_vec() }));
    assert!(egress.clone().send(get(&url)).await.is_ok());
    let host = customer.address;
    assert_eq!(
        customer.seen(),
        [[
            format!(
                "POST /a%20b/%5B?b=2+3&a=%2f HTTP/1.1\r\ncontent-type: application/json\r\n\
                 messagebird-signature-jwt: a.b.c\r\nhost: {host}\r\ncontent-length: 7\r\n\r\n{{\"a\":1}}"
            ),
            format!("GET /a%20b/%5B?b=2+3&a=%2f HTTP/1.1\r\nhost: {host}\r\n\r\n"),
        ]]
    );
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let inside = Customer::answering(OK).await;
    let answer = format!("HTTP/1.1 302 Found\r\n{LOCATION}: {}\r\nContent-Length: 0\r\n\r\n", inside.url());
    let customer = Customer::answering(answer).await;
    let answer = private().send(get(&customer.url())).await;
    assert_eq!(answer, Ok(Answer { status: 302, retry_after: None, body: Vec::new() }));
    assert!(inside.seen().is_empty());
}

#[tokio::test]
async fn whatever_status_comes_is_an_answer() {
    for status in [204, 404, 500, 599] {
        let customer = Customer::answering(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n")).await;
        assert_eq!(private().send(get(&customer.url())).await.unwrap().status, status);
    }
}

#[tokio::test]
async fn a_slow_answer_is_given_up() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    assert_eq!(hasty().send(get(&url)).await, Err(Failure::TimedOut));
    // A beginning is not an answer either.
    let beginning = Customer::answering("HTTP/1.1 2").await;
    assert_eq!(hasty().send(get(&beginning.url())).await, Err(Failure::TimedOut));
    let half = Customer::answering("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await;
    assert_eq!(hasty().send(get(&half.url())).await, Err(Failure::TimedOut));
    // Nor does a handshake have longer.
    let url = url.replace("http:", "https:");
    assert_eq!(hasty().send(get(&url)).await, Err(Failure::TimedOut));
}

#[tokio::test]
async fn a_name_that_nobody_answers_for_is_given_up() {
    let resolve: Resolve = Arc::new(|_, _| Box::pin(std::future::pending()));
    let egress = Egress::with(Options { within: SOON, resolve, ..Options::default() }).unwrap();
    assert_eq!(egress.send(get("http://example.com/")).await, Err(Failure::TimedOut));
    let dial: Dial = Arc::new(|_| Box::pin(std::future::pending()));
    let resolve = names(&[&[PUBLIC]]);
    let egress = Egress::with(Options { within: SOON, resolve, dial, ..Options::default() }).unwrap();
    assert_eq!(egress.send(get("http://example.com/")).await, Err(Failure::Unreachable));
}

#[tokio::test]
async fn an_address_that_does_not_answer_leaves_time_for_the_next() {
    let customer = Customer::answering(OK).await;
    let (to, silent) = (customer.address, IpAddr::from([8, 8, 8, 8]));
    let dial: Dial = Arc::new(move |address| {
        Box::pin(async move {
            if address.ip() == silent {
                std::future::pending::<()>().await;
            }
            TcpStream::connect(to).await
        })
    });
    let (within, resolve) = (Duration::from_secs(3), names(&[&[silent, PUBLIC]]));
    let egress = Egress::with(Options { within, resolve, dial, ..Options::default() }).unwrap();
    assert_eq!(egress.send(get("http://example.com/")).await.unwrap().status, 200);
}

#[tokio::test]
async fn an_endless_body_is_cut_off() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let mut endless = JoinSet::new();
    endless.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // The request comes first: a client listens to no answer before it.
        assert_ne!(stream.read(&mut [0; 1024]).await.unwrap(), 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
        let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
        while stream.write_all(chunk.as_bytes()).await.is_ok() {}
    });
    let answer = private().send(get(&url)).await.unwrap();
    assert_eq!((answer.status, answer.body), (200, vec![b'x'; ANSWER_MAX]));
    // It ends only because the connection does.
    let ended = tokio::time::timeout(Duration::from_secs(10), endless.join_next()).await;
    ended.expect("the connection is dropped").unwrap().unwrap();
}

#[tokio::test]
async fn a_body_of_just_the_limit_is_whole() {
    let body = "y".repeat(ANSWER_MAX);
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {ANSWER_MAX}\r\n\r\n{body}");
    let customer = Customer::answering(answer).await;
    let egress = private();
    for _ in 0..2 {
        assert_eq!(egress.send(get(&customer.url())).await.unwrap().body, body.as_bytes());
    }
    assert_eq!(customer.seen().len(), 1, "the connection is kept");
}

#[tokio::test]
async fn what_is_not_an_answer_fails() {
    for answer in ["", "nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"] {
        let customer = Customer::answering(answer).await;
        assert_eq!(private().send(get(&customer.url())).await, Err(Failure::BrokeOff), "{answer:?}");
    }
    let many = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: {}\r\n\r\n", "a".repeat(300_000));
    let customer = Customer::answering(many).await;
    assert_eq!(private().send(get(&customer.url())).await, Err(Failure::BrokeOff));
}

#[tokio::test]
async fn only_urls_that_can_be_called_are() {
    let egress = private();
    for url in [
        "",
        "/",
        "example.com",
        "//example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "http://",
        "http:///",
        "http://user@example.com/",
        "http://user:secret@example.com/",
        "http://example.com/#top",
        "http://example.com/é",
        "http://exämple.com/",
        "http://example.com/a b",
        "http://example.com/\r\nX: y",
        "http://example.com:99999/",
        "http://[::1/",
        "http://1.2.3.4.5/",
        "http://256.0.0.1/",
    ] {
        assert_eq!(egress.send(get(url)).await, Err(Failure::NotAUrl), "{url}");
    }
    let mut request = get("http://example.com/");
    request.headers.push((CONTENT_TYPE, "text/plain\r\nX: y".into()));
    assert_eq!(egress.send(request).await, Err(Failure::NotAHeader));
}

#[tokio::test]
async fn no_spelling_of_a_private_address_leads_there() {
    let inside = Customer::answering(OK).await;
    let (dial, dialled) = switchboard(inside.address);
    // As the system's resolver would: it reads some of these spellings as addresses as well.
    let resolve = names(&[&[Ipv4Addr::LOCALHOST.into()]]);
    let egress = Egress::with(Options { dial, resolve, ..Options::default() }).unwrap();
    for host in [
        "127.0.0.1",
        "127.1",
        "127.0.0.1.",
        "0x7f.1",
        "0x7f000001",
        "0177.0.0.1",
        "017700000001",
        "2130706433",
        "%31%32%37.0.0.1",
        "0",
        "0.0.0.0",
        "10.1.2.3",
        "169.254.169.254",
        "0xa9fea9fe",
        "192.168.1.1",
        "172.31.255.255",
        "100.100.100.200",
        "255.255.255.255",
        "[::]",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::10.0.0.1]",
        "[64:ff9b:1::8.8.8.8]",
        "[2002:7f00:1::]",
        "[2001:0:0:0::1]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "localhost",
        "LOCALHOST.",
        "internal.example",
    ] {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}:{}/", inside.address.port());
            let answer = egress.send(get(&url)).await;
            // What is not even a URL is refused before it could be an address.
            let expected = if host.contains('%') { Failure::NotAUrl } else { Failure::Forbidden };
            assert_eq!(answer, Err(expected), "{url}");
        }
    }
    assert!(dialled.lock().unwrap().is_empty(), "{dialled:?}");
    assert!(inside.seen().is_empty());
}

#[tokio::test]
async fn a_name_that_changes_its_mind_gains_nothing() {
    let customer = Customer::answering(OK_AND_GOODBYE).await;
    let (dial, dialled) = switchboard(customer.address);
    let resolve = names(&[&[PUBLIC], &[Ipv4Addr::LOCALHOST.into()]]);
    let egress = Egress::with(Options { dial, resolve, ..Options::default() }).unwrap();
    let url = "http://rebinding.example:8080/";
    // Asked once for a connection: the second answer is not heard until there has to be another one.
    assert_eq!(egress.send(get(url)).await.unwrap().status, 200);
    assert_eq!(egress.send(get(url)).await, Err(Failure::Forbidden));
    assert_eq!(*dialled.lock().unwrap(), [SocketAddr::new(PUBLIC, 8080)]);
    assert_eq!(customer.seen().len(), 1);
}

#[tokio::test]
async fn of_a_names_addresses_only_public_ones_are_tried_in_turn() {
    let customer = Customer::answering(OK).await;
    let (dial, dialled) = switchboard(customer.address);
    let silent: IpAddr = "2606:2800:21f::1".parse().unwrap();
    let resolve = names(&[&["10.0.0.1".parse().unwrap(), silent, "::1".parse().unwrap(), PUBLIC]]);
    let egress = Egress::with(Options { dial, resolve, ..Options::default() }).unwrap();
    assert_eq!(egress.send(get("http://example.com/")).await.unwrap().status, 200);
    assert_eq!(*dialled.lock().unwrap(), [SocketAddr::new(silent, 80), SocketAddr::new(PUBLIC, 80)]);
    assert!(customer.seen()[0][0].contains("\r\nhost: example.com\r\n"), "{:?}", customer.seen());
}

#[tokio::test]
async fn a_host_that_is_not_there_is_told() {
    let (dial, _) = switchboard(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)));
    let sent = |resolve: Resolve| {
        let egress =
            Egress::with(Options { dial: Arc::clone(&dial), resolve, ..Options::default() }).unwrap();
        async move { egress.send(get("http://example.com/")).await }
    };
    assert_eq!(sent(names(&[&[]])).await, Err(Failure::NotFound));
    let failing: Resolve = Arc::new(|_, _| Box::pin(async { Err(io::ErrorKind::NotFound.into()) }));
    assert_eq!(sent(failing).await, Err(Failure::NotFound));
    assert_eq!(sent(names(&[&["8.8.8.8".parse().unwrap()]])).await, Err(Failure::Unreachable));
}

#[tokio::test]
async fn a_certificate_must_be_the_hosts_and_from_an_authority() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path());
    authority.sign();
    let provider = Arc::new(crypto::ring::default_provider());
    let chain = CertificateDer::pem_file_iter(folder.path().join("cert.pem")).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            chain.collect::<Result<_, _>>().unwrap(),
            PrivateKeyDer::from_pem_file(folder.path().join("key.pem")).unwrap(),
        )
        .unwrap();
    let customer = Customer::serving(Some(TlsAcceptor::from(Arc::new(config))), OK.into()).await;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::from_pem_file(authority.file()));
    let trusting = Options {
        allow_private: true,
        authorities: Some(roots),
        resolve: names(&[&[Ipv4Addr::LOCALHOST.into()]]),
        ..Options::default()
    };
    let trusting = Egress::with(trusting).unwrap();
    let url = |host: &str| format!("https://{host}:{}/", customer.address.port());
    for host in ["localhost", "127.0.0.1"] {
        assert_eq!(trusting.send(get(&url(host))).await.unwrap().body, b"ok", "{host}");
    }
    assert_eq!(trusting.send(get(&url("elsewhere.example"))).await, Err(Failure::Tls));
    assert_eq!(private().send(get(&url("127.0.0.1"))).await, Err(Failure::Tls));
    // A server without TLS at all.
    let clear = Customer::answering(OK).await;
    let url = clear.url().replace("http:", "https:");
    assert_eq!(hasty().send(get(&url)).await, Err(Failure::TimedOut));
}

#[test]
fn the_borders_of_what_is_public() {
    for (ip, expected) in [
        ("0.255.255.255", false),
        ("1.0.0.0", true),
        ("9.255.255.255", true),
        ("10.0.0.0", false),
        ("10.255.255.255", false),
        ("11.0.0.0", true),
        ("100.63.255.255", true),
        ("100.64.0.0", false),
        ("100.127.255.255", false),
        ("100.128.0.0", true),
        ("126.255.255.255", true),
        ("127.0.0.0", false),
        ("127.255.255.255", false),
        ("128.0.0.0", true),
        ("169.253.255.255", true),
        ("169.254.0.0", false),
        ("169.254.169.254", false),
        ("169.255.0.0", true),
        ("172.15.255.255", true),
        ("172.16.0.0", false),
        ("172.31.255.255", false),
        ("172.32.0.0", true),
        ("191.255.255.255", true),
        ("192.0.0.0", false),
        ("192.0.0.255", false),
        ("192.0.1.0", true),
        ("192.0.2.0", false),
        ("192.0.3.0", true),
        ("192.88.99.1", false),
        ("192.167.255.255", true),
        ("192.168.0.0", false),
        ("192.169.0.0", true),
        ("198.17.255.255", true),
        ("198.18.0.0", false),
        ("198.19.255.255", false),
        ("198.20.0.0", true),
        ("198.51.100.7", false),
        ("203.0.113.7", false),
        ("223.255.255.255", true),
        ("224.0.0.0", false),
        ("239.255.255.255", false),
        ("240.0.0.0", false),
        ("255.255.255.255", false),
        ("::", false),
        ("::1", false),
        ("::2", false),
        ("::10.0.0.1", false),
        ("::ffff:10.0.0.1", false),
        ("::ffff:8.8.8.8", true),
        ("::ffff:0:8.8.8.8", false),
        ("64:ff9b::127.0.0.1", false),
        ("64:ff9b::8.8.8.8", true),
        ("64:ff9b:1::8.8.8.8", false),
        ("100::1", false),
        ("1fff:ffff::", false),
        ("2000::", true),
        ("2001::1", false),
        ("2001:1ff:ffff::", false),
        ("2001:200::", true),
        ("2001:4860:4860::8888", true),
        ("2001:db8::1", false),
        ("2001:db9::1", true),
        ("2002:7f00:1::1", false),
        ("2002:c0a8:101::1", false),
        ("2002:808:808::1", true),
        ("3fff:fff::1", false),
        ("3fff:1000::1", true),
        ("4000::", false),
        ("5f00::1", false),
        ("fc00::1", false),
        ("fdff::1", false),
        ("fe80::1", false),
        ("febf::1", false),
        ("fec0::1", false),
        ("ff02::1", false),
    ] {
        assert_eq!(is_public(ip.parse().unwrap()), expected, "{ip}");
    }
}

#[test]
fn failures_are_told_in_one_line() {
    for failure in [
        Failure::NotAUrl,
        Failure::NotAHeader,
        Failure::Forbidden,
        Failure::NotFound,
        Failure::Unreachable,
        Failure::Tls,
        Failure::TimedOut,
        Failure::BrokeOff,
    ] {
        let text = failure.to_string();
        assert!(text.contains(": ") && text.len() < 120 && !text.contains('\n'), "{text}");
    }
}

proptest! {
    #[test]
    fn an_embedded_address_is_judged_like_itself(bits: u32) {
        let ip = Ipv4Addr::from(bits);
        let expected = is_public(ip.into());
        let wide = u128::from(bits);
        for (prefix, shift) in
            [(0u128, 0), (0xFFFF << 32, 0), (0x0064_FF9B << 96, 0), (0x2002 << 112, 80)]
        {
            let embedding = Ipv6Addr::from(prefix | wide << shift);
            prop_assert_eq!(is_public(embedding.into()), expected, "{} in {}", ip, embedding);
        }
        let known = ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_multicast()
            || ip.is_broadcast() || ip.is_documentation() || ip.is_unspecified();
        prop_assert!(!(known && expected), "{}", ip);
    }

    #[test]
    fn what_the_standard_library_calls_local_is_not_public(bits: u128, kind in 0u8..4) {
        let ip = Ipv6Addr::from(match kind {
            0 => bits >> 7 | 0xFC << 120,
            1 => bits >> 10 | 0x3FA << 118,
            2 => bits | 0xFF << 120,
            _ => bits,
        });
        let known = ip.is_loopback() || ip.is_multicast() || ip.is_unique_local()
            || ip.is_unicast_link_local() || ip.is_unspecified();
        prop_assert!(kind == 3 || known, "{}", ip);
        prop_assert!(!(known && is_public(ip.into())), "{}", ip);
    }
}
