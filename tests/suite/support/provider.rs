//! A provider of messages with an HTTP interface, on a real socket and threads of its own: answers as its script says and
//! keeps what it was asked.

use super::customer::Call;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// What it does with a request.
pub enum Verdict {
    /// Answers: status, further header lines, body.
    Answer(u16, &'static str, String),
    /// Never answers.
    Silence,
    /// Breaks the connection.
    Break,
}

type Script = Box<dyn FnMut(usize, &Call) -> Verdict + Send>;

struct Inner {
    script: Mutex<Script>,
    calls: Mutex<Vec<Call>>,
    count: Mutex<usize>,
    is_closed: AtomicBool,
}

pub struct Provider {
    address: SocketAddr,
    inner: Arc<Inner>,
    listening: Option<JoinHandle<()>>,
}

impl Provider {
    /// On a free port. The script is told how many requests there were before.
    pub fn new(script: impl FnMut(usize, &Call) -> Verdict + Send + 'static) -> Self {
        Self::at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), script)
    }

    /// On a given address.
    pub fn at(address: SocketAddr, script: impl FnMut(usize, &Call) -> Verdict + Send + 'static) -> Self {
        let listener = TcpListener::bind(address).expect("a port");
        let address = listener.local_addr().expect("an address");
        let inner = Arc::new(Inner {
            script: Mutex::new(Box::new(script)),
            calls: Mutex::default(),
            count: Mutex::default(),
            is_closed: AtomicBool::new(false),
        });
        let shared = Arc::clone(&inner);
        let listening = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.is_closed.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let shared = Arc::clone(&shared);
                // Ends when the other side closes.
                std::thread::spawn(move || serve(&shared, stream));
            }
        });
        Provider { address, inner, listening: Some(listening) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it was asked since the last look.
    pub fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut *self.inner.calls.lock().expect("calls"))
    }

    /// How often it was asked in all.
    pub fn count(&self) -> usize {
        *self.inner.count.lock().expect("a count")
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.inner.is_closed.store(true, Ordering::SeqCst);
        // Wakes whoever listens.
        drop(TcpStream::connect(self.address));
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
    }
}

fn serve(inner: &Inner, stream: TcpStream) -> Option<()> {
    let mut write = stream.try_clone().ok()?;
    let mut read = BufReader::new(stream);
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if read.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end().to_owned();
            if line.is_empty() {
                break;
            }
            lines.push(line);
        }
        let mut words = lines.first()?.split(' ').map(str::to_owned);
        let (method, target) = (words.next()?, words.next()?);
        let headers: Vec<(String, String)> = lines
            .iter()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let mut body = vec![0; length.map_or(0, |(_, value)| value.parse().expect("a length"))];
        read.read_exact(&mut body).ok()?;
        let call = Call { method, target, headers, body };
        let before = {
            let mut count = inner.count.lock().expect("a count");
            *count += 1;
            *count - 1
        };
        let verdict = (inner.script.lock().expect("a script"))(before, &call);
        inner.calls.lock().expect("calls").push(call);
        match verdict {
            Verdict::Answer(status, more, body) => {
                let length = body.len();
                let answer =
                    format!("HTTP/1.1 {status} Whatever\r\n{more}Content-Length: {length}\r\n\r\n{body}");
                write.write_all(answer.as_bytes()).ok()?;
            }
            Verdict::Silence => loop {
                std::thread::park();
            },
            Verdict::Break => return None,
        }
    }
}
