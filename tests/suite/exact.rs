//! Requests written exactly: bytes that no client library lets through, any connection, and a clock that stands still.
//! `TestApp::request` is for everything else.

use crate::support::Answer;
use axum::body::Body;
use axum::http::Request;
use axum::http::request::Builder;
use rookery::wire::{Connection, Service};

/// Begins a request to `http://localhost` + `target`; another `Host` is added by hand.
pub fn get(target: &str) -> Builder {
    ask("GET", target)
}

/// The same with another method.
pub fn ask(method: &str, target: &str) -> Builder {
    Request::builder().method(method).uri(target)
}

/// Has a service answer it, as if it came from `127.0.0.1` without TLS.
pub async fn send(service: &Service, request: Builder, body: impl Into<Body>) -> Answer {
    from(service, "127.0.0.1", request, body).await
}

/// The same from another address.
pub async fn from(service: &Service, peer: &str, request: Builder, body: impl Into<Body>) -> Answer {
    let mut request = request.body(body.into()).expect("a request that can be written");
    request.headers_mut().entry("host").or_insert("localhost".parse().expect("a host"));
    let connection = Connection { peer: peer.parse().expect("an address"), is_tls: false };
    let (parts, body) = Box::pin(service.handle(connection, request)).await.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
    Answer { status: parts.status, headers: parts.headers, body: body.into() }
}
