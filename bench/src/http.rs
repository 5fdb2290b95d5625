//! A client that costs next to nothing: one keep-alive HTTP/1.1 connection, one request in flight.
//!
//! It understands a status line and `Content-Length`, and refuses anything else: the server is known, and every
//! cycle spent here is taken from it.

use std::net::SocketAddr;

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(crate) struct Connection {
    stream: TcpStream,
    inbox: Vec<u8>,
}

pub(crate) struct Response<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

impl Response<'_> {
    /// The beginning of the body, for a message about what went wrong.
    pub(crate) fn excerpt(&self) -> String {
        String::from_utf8_lossy(&self.body[..self.body.len().min(300)]).into_owned()
    }
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true).context("TCP_NODELAY")?;
        Ok(Self { stream, inbox: Vec::with_capacity(64 * 1024) })
    }

    pub(crate) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Response<'_>> {
        self.inbox.clear();
        self.stream.write_all(request).await.context("sending a request")?;
        let (head, status, length) = loop {
            let read = self.stream.read_buf(&mut self.inbox).await.context("reading an answer")?;
            ensure!(read > 0, "the server closed the connection instead of answering");
            if let Some(end) = self.inbox.windows(4).position(|w| w == b"\r\n\r\n") {
                let (status, length) = parse(&self.inbox[..end])?;
                break (end + 4, status, length);
            }
            ensure!(self.inbox.len() < 64 * 1024, "an answer's head did not end within 64 KiB");
        };
        while self.inbox.len() < head + length {
            let read = self.stream.read_buf(&mut self.inbox).await.context("reading an answer's body")?;
            ensure!(read > 0, "the server closed the connection in the middle of an answer");
        }
        ensure!(self.inbox.len() == head + length, "more bytes arrived than the answer announced");
        Ok(Response { status, body: &self.inbox[head..] })
    }
}

/// Status and body length out of a head without its final empty line.
fn parse(head: &[u8]) -> anyhow::Result<(u16, usize)> {
    let mut lines = head.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = lines.next().unwrap_or_default();
    let status = first
        .strip_prefix(b"HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .and_then(|digits| digits.parse().ok())
        .with_context(|| format!("not a status line: {}", String::from_utf8_lossy(first)))?;
    if status == 204 {
        return Ok((status, 0));
    }
    for line in lines {
        if let Some((name, value)) = line.split_at_checked(15)
            && name.eq_ignore_ascii_case(b"content-length:")
        {
            let value = std::str::from_utf8(value).context("a Content-Length")?;
            return Ok((status, value.trim().parse().context("a Content-Length")?));
        }
    }
    bail!("status {status} without Content-Length: this client reads nothing else")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() -> anyhow::Result<()> {
        assert_eq!(parse(b"HTTP/1.1 201 Created\r\nX: y\r\ncontent-LENGTH: 42\r\nA: b")?, (201, 42));
        assert_eq!(parse(b"HTTP/1.1 204 No Content\r\nX: y")?, (204, 0));
        assert!(parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked").is_err());
        assert!(parse(b"SSH-2.0-nope").is_err());
        Ok(())
    }
}
