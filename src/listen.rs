//! Listening: plain and encrypted HTTP/1.1 and HTTP/2, within limits, until told to stop.

use crate::wire::smpp::Stranger;
use crate::wire::{Connection, Service};
use axum::body::Body;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The head of a request must have arrived within this time; an idle connection is closed after it as well.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// A TLS handshake must be done within this time.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// What is in flight at a stop may take this long.
const FINISH_WITHIN: Duration = Duration::from_secs(10);
/// Connections at once; more wait to be accepted. Each costs some 30 KiB at most when idle.
const CONNECTIONS_MAX: usize = 20_000;
/// How often the certificate's files are looked at.
const CERTIFICATE_EVERY: Duration = Duration::from_secs(2);

/// What answers on a listener.
#[derive(Clone)]
pub enum Answers {
    /// The whole product.
    Service(Arc<Service>),
    /// The metrics alone.
    Metrics(Arc<crate::wire::Metrics>),
    /// SMPP.
    Smpp(Arc<crate::wire::smpp::Server>),
}

/// Accepts connections and serves them until `stop`, then lets what is in flight finish.
pub async fn run(listener: TcpListener, tls: Option<Tls>, answers: Answers, mut stop: watch::Receiver<bool>) {
    let graceful = GracefulShutdown::new();
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut tls = tls;
    loop {
        let seat = Arc::clone(&seats).acquire_owned();
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = async { (seat.await, listener.accept().await) } => accepted,
        };
        let (Ok(seat), accepted) = accepted else { break };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, mostly: waiting lets some be closed.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let acceptor = tls.as_mut().map(Tls::acceptor);
        let (answers, watcher, stopped) = (answers.clone(), graceful.watcher(), stop.clone());
        #[expect(
            clippy::disallowed_methods,
            reason = "the graceful shutdown waits for it, and its seat bounds it"
        )]
        tokio::spawn(async move {
            connection(stream, peer, acceptor, answers, watcher, stopped).await;
            drop(seat);
        });
    }
    drop(listener);
    if tokio::time::timeout(FINISH_WITHIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests were still in flight and are cut off");
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    answers: Answers,
    watcher: hyper_util::server::graceful::Watcher,
    stop: watch::Receiver<bool>,
) {
    // Answers are small and written whole: waiting for more to send only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was refused");
    }
    let stranger = match &answers {
        Answers::Smpp(server) => match server.stranger(peer.ip()) {
            None => return tracing::debug!(from = %peer.ip(), "too many connections without a bind"),
            stranger => stranger,
        },
        Answers::Service(_) | Answers::Metrics(_) => None,
    };
    match acceptor {
        None => {
            let connection = Connection { peer: peer.ip(), is_tls: false };
            serve(stream, connection, answers, stranger, watcher, stop).await;
        }
        Some(acceptor) => match tokio::time::timeout(HANDSHAKE_WITHIN, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                serve(stream, Connection { peer: peer.ip(), is_tls: true }, answers, stranger, watcher, stop)
                    .await;
            }
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        },
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    connection: Connection,
    answers: Answers,
    stranger: Option<Stranger>,
    watcher: hyper_util::server::graceful::Watcher,
    stop: watch::Receiver<bool>,
) {
    if let Answers::Smpp(server) = answers {
        if let Some(stranger) = stranger {
            server.serve(stream, stranger, stop).await;
        }
        // The graceful shutdown waits for it.
        return drop(watcher);
    }
    let asked = Arc::new(AtomicBool::new(false));
    let asking = Arc::clone(&asked);
    let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        asking.store(true, Ordering::Relaxed);
        let answers = answers.clone();
        async move {
            Ok::<_, Infallible>(match answers {
                Answers::Service(service) => service.handle(connection, request.map(Body::new)).await,
                Answers::Metrics(metrics) => metrics.response(),
                // Taken above.
                Answers::Smpp(_) => hyper::Response::default(),
            })
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(200).keep_alive_interval(HEAD_WITHIN);
    let serving = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    // Until its first bytes tell HTTP/1.1 from HTTP/2 a connection is under neither's own limit.
    let silent = async {
        tokio::time::sleep(HEAD_WITHIN).await;
        if asked.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        ended = watcher.watch(serving) => if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended with an error");
        },
        () = silent => tracing::debug!("a connection asked for nothing"),
    }
}

/// A certificate and its key, read again when their files change.
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    config: Arc<ServerConfig>,
    read: (Option<SystemTime>, Option<SystemTime>),
    looked: Instant,
}

impl Tls {
    /// Reads the two files.
    pub fn open(certificate: &Path, key: &Path) -> Result<Self, String> {
        Ok(Tls {
            config: config(certificate, key)?,
            read: (changed(certificate), changed(key)),
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            looked: Instant::now(),
        })
    }

    fn acceptor(&mut self) -> TlsAcceptor {
        if self.looked.elapsed() >= CERTIFICATE_EVERY {
            self.looked = Instant::now();
            let now = (changed(&self.certificate), changed(&self.key));
            if now != self.read {
                match config(&self.certificate, &self.key) {
                    Ok(config) => {
                        tracing::info!("the certificate was read again");
                        self.config = config;
                        self.read = now;
                    }
                    // Between the writes of the two files they may not fit each other: the next look decides.
                    Err(error) => {
                        tracing::error!(%error, "the changed certificate cannot be used; the old one stays");
                    }
                }
            }
        }
        TlsAcceptor::from(Arc::clone(&self.config))
    }
}

fn changed(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|file| file.modified()).ok()
}

fn config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, String> {
    let failed = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| failed(certificate, &error))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| failed(key, &error))?;
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
        .map_err(|error| failed(certificate, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
