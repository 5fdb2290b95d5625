//! A minimal HTTP/1.1 client that sends exactly the bytes it is told to and reads one answer at a time.

use serde_json::Value;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than any of the server's own limits that these tests wait for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection that is kept alive.
pub struct Client<S = TcpStream> {
    stream: BufReader<S>,
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub body: String,
}

impl Reply {
    /// The body.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Client {
    /// Connects.
    pub fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream.set_nodelay(true).expect("no delay");
        Client::over(stream)
    }

    /// Says that nothing more will be sent.
    pub fn shut(&self) {
        self.stream.get_ref().shutdown(std::net::Shutdown::Write).expect("the sending half is shut");
    }
}

impl<S: Read + Write> Client<S> {
    /// Speaks over a stream that is open already.
    pub fn over(stream: S) -> Self {
        Client { stream: BufReader::new(stream) }
    }

    /// The stream under it.
    pub fn inner(&self) -> &S {
        self.stream.get_ref()
    }

    /// `GET`, with a key unless it is empty.
    pub fn get(&mut self, target: &str, key: &str) -> Reply {
        self.ask("GET", target, key, None)
    }

    /// `POST` of a form.
    pub fn post(&mut self, target: &str, key: &str, form: &str) -> Reply {
        self.ask("POST", target, key, Some(form))
    }

    /// Any method, with a form if there is one.
    pub fn ask(&mut self, method: &str, target: &str, key: &str, form: Option<&str>) -> Reply {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n");
        if !key.is_empty() {
            write!(head, "Authorization: AccessKey {key}\r\n").unwrap();
        }
        if let Some(form) = form {
            let length = form.len();
            write!(head, "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n")
                .unwrap();
        }
        self.send(format!("{head}\r\n{}", form.unwrap_or_default()).as_bytes());
        self.read()
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).expect("the bytes are sent");
    }

    /// Sends bytes as they are, to a server that may go away.
    pub fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes)?;
        self.stream.get_mut().flush()
    }

    /// Reads one answer.
    #[track_caller]
    pub fn read(&mut self) -> Reply {
        self.try_read().unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    /// Reads one answer from a server that may go away.
    pub fn try_read(&mut self) -> std::io::Result<Reply> {
        let head = self.line()?;
        let status =
            head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| broken(&head))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| broken(&line))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let header =
            |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        if header("transfer-encoding").is_some() {
            return Err(broken("an answer in chunks, which this client does not read"));
        }
        let length =
            header("content-length").map_or(Ok(0), str::parse).map_err(|_| broken("content-length"))?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        let body = String::from_utf8(body).map_err(|_| broken("the body is not UTF-8"))?;
        Ok(Reply { status, body })
    }

    /// Whether the server has closed the connection; waits for it.
    pub fn is_closed(&mut self) -> bool {
        match self.stream.fill_buf() {
            Ok(rest) => rest.is_empty(),
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

fn broken(what: &str) -> std::io::Error {
    std::io::Error::other(format!("not HTTP: {what}"))
}

/// An answer to one `GET` on a connection of its own.
pub fn get(address: SocketAddr, target: &str, key: &str) -> Reply {
    Client::new(address).get(target, key)
}
