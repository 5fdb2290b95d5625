//! A customer's server on a real socket: answers calls as it is told and keeps what it was sent.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// In place of a status: it never answers.
pub const SILENCE: u16 = 0;
/// What it says with anything but 200.
pub const SAID: &str = "no\tto \"that\"\n";

/// A call that arrived.
#[derive(Debug, Clone)]
pub struct Call {
    pub method: String,
    /// Path and query, as they stood in the request line.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Call {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A parameter of the query, decoded.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let query = self.target.split_once('?')?.1;
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
    }

    /// The body, which is text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    /// The fields of the query, or of the form in the body, decoded and by name.
    pub fn fields(&self) -> Vec<(String, String)> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        let text = if self.method == "POST" { self.text() } else { query };
        let mut fields: Vec<(String, String)> =
            form_urlencoded::parse(text.as_bytes()).into_owned().collect();
        fields.sort();
        fields
    }
}

/// The server. Answers 200, or what is next in its list.
pub struct Customer {
    address: SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
    answers: Arc<Mutex<VecDeque<u16>>>,
    _serving: JoinSet<()>,
}

impl Customer {
    pub async fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (calls, answers) = (Arc::<Mutex<Vec<Call>>>::default(), Arc::<Mutex<VecDeque<u16>>>::default());
        let mut serving = JoinSet::new();
        let (kept, told) = (Arc::clone(&calls), Arc::clone(&answers));
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let (kept, told) = (Arc::clone(&kept), Arc::clone(&told));
                connections.spawn(async move {
                    let (read, mut write) = stream.split();
                    let mut read = BufReader::new(read);
                    while let Some(first) = line(&mut read).await {
                        let mut words = first.split(' ').map(str::to_owned);
                        let (method, target) =
                            (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                        let mut headers = Vec::new();
                        while let Some(line) = line(&mut read).await {
                            let Some((name, value)) = line.split_once(':') else { break };
                            headers.push((name.to_lowercase(), value.trim().to_owned()));
                        }
                        let length = headers.iter().find(|(name, _)| name == "content-length");
                        let length = length.and_then(|(_, length)| length.parse().ok()).unwrap_or(0);
                        let mut body = vec![0; length];
                        if read.read_exact(&mut body).await.is_err() {
                            break;
                        }
                        kept.lock().expect("calls").push(Call { method, target, headers, body });
                        let status = told.lock().expect("answers").pop_front().unwrap_or(200);
                        if status == SILENCE {
                            std::future::pending::<()>().await;
                        }
                        let said = if status == 200 { "" } else { SAID };
                        let length = said.len();
                        let answer =
                            format!("HTTP/1.1 {status} Whatever\r\nContent-Length: {length}\r\n\r\n{said}");
                        if write.write_all(answer.as_bytes()).await.is_err() {
                            break;
                        }
                    }
                });
            }
        });
        Customer { address, calls, answers, _serving: serving }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What the next calls are answered.
    pub fn answer(&self, statuses: impl IntoIterator<Item = u16>) {
        self.answers.lock().expect("answers").extend(statuses);
    }

    /// From now on all is well.
    pub fn answers_well(&self) {
        self.answers.lock().expect("answers").clear();
    }

    /// What has arrived since the last look.
    pub fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut *self.calls.lock().expect("calls"))
    }
}

/// A line without its end; nothing at the end of the connection.
async fn line(read: &mut (impl AsyncBufRead + Unpin)) -> Option<String> {
    let mut line = String::new();
    match read.read_line(&mut line).await {
        Ok(count) if count > 0 => Some(line.trim_end().to_owned()),
        _ => None,
    }
}
