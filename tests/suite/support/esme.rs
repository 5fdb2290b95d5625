//! A customer's own system: a client of the SMPP server on a real socket, and the account that it sends for.

use super::authority::Authority;
use super::books;
use super::database::Home;
use super::http;
use super::process::{Server, child, key_of, partner, run};
use serde_json::Value;
use smpp::session::{Answer, Bind, BindKind, End, Event, Handle, Options, Session};
use smpp::short_message::{Address, RegisteredDelivery, ShortMessage};
use smpp::status::Status;
use std::collections::{HashMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Longer than anything here should take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(15);
/// The time-out of one read.
const STEP: Duration = Duration::from_millis(10);
/// What one part to a number that begins with 31 costs; to others nothing.
pub const PRICE: &str = "0.061";

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// The client. It acknowledges what it gets as soon as it gets it, unless it is told not to.
pub struct Esme {
    stream: Box<dyn Stream>,
    session: Session<u64>,
    begun: Instant,
    tokens: u64,
    answers: HashMap<u64, Answer>,
    got: VecDeque<(Handle, ShortMessage)>,
    pub acknowledges: bool,
    pub ended: Option<End>,
}

impl Esme {
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).expect("the server is there"))
    }

    /// Connects from another address of this machine.
    pub async fn connect_from(from: IpAddr, address: SocketAddr) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::new(from, 0)).expect("an address");
        let stream =
            socket.connect(address).await.expect("the server is there").into_std().expect("a stream");
        stream.set_nonblocking(false).expect("a blocking stream");
        Self::over(stream)
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(STEP)).expect("a time-out");
        stream.set_nodelay(true).expect("no delay");
        Self::on(Box::new(stream))
    }

    pub fn encrypted(address: SocketAddr, authority: &Authority) -> Self {
        let stream = authority.stream(address, "localhost", &[]).expect("a TLS connection");
        stream.sock.set_read_timeout(Some(STEP)).expect("a time-out");
        Self::on(Box::new(stream))
    }

    fn on(stream: Box<dyn Stream>) -> Self {
        let options = Options { window: 1_000, ..Options::default() };
        Esme {
            stream,
            session: Session::esme(options, 0),
            begun: Instant::now(),
            tokens: 0,
            answers: HashMap::new(),
            got: VecDeque::new(),
            acknowledges: true,
            ended: None,
        }
    }

    fn now(&self) -> i64 {
        i64::try_from(self.begun.elapsed().as_micros()).expect("a time")
    }

    /// Writes what there is to write and takes in what came, for a moment.
    pub fn step(&mut self) {
        let now = self.now();
        self.session.tick(now);
        self.flush();
        let mut buffer = [0; 16_384];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.session.closed(),
            Ok(count) => self.session.received(&buffer[..count], now),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => self.session.closed(),
        }
        while let Some(event) = self.session.event() {
            match event {
                Event::Received { handle, message, .. } => {
                    if self.acknowledges {
                        self.session.accept(handle, "");
                    }
                    self.got.push_back((handle, *message));
                }
                Event::Answered { token, answer, .. } => _ = self.answers.insert(token, answer),
                Event::Ended { reason, .. } => self.ended = Some(reason),
                _ => {}
            }
        }
        self.flush();
    }

    fn flush(&mut self) {
        let output = self.session.output();
        if !output.is_empty() {
            let count = output.len();
            if self.stream.write_all(output).and_then(|()| self.stream.flush()).is_err() {
                self.session.closed();
            }
            self.session.written(count);
        }
    }

    #[track_caller]
    fn until<T>(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(value) = done(self) {
                return value;
            }
            assert!(begun.elapsed() < PATIENCE, "{what} never came; ended: {:?}", self.ended);
            self.step();
        }
    }

    /// Binds, or says why not.
    pub fn bind(&mut self, kind: BindKind, system_id: &str, password: &str) -> Result<(), Status> {
        let now = self.now();
        self.session.bind(&Bind::new(kind, system_id, password), now).expect("a bind is sent");
        self.until("an answer to the bind", |it| match it.ended {
            Some(End::BindRefused(status)) => Some(Err(status)),
            Some(other) => panic!("{other:?} instead of an answer to a bind"),
            None => it.session.bound().map(|_| Ok(())),
        })
    }

    /// Sends without waiting for the answer.
    pub fn submit(&mut self, message: &ShortMessage) -> u64 {
        self.tokens += 1;
        let now = self.now();
        self.session.submit(self.tokens, message, now).expect("a message is sent");
        self.tokens
    }

    /// What was answered.
    #[track_caller]
    pub fn answer(&mut self, token: u64) -> Result<String, Status> {
        match self.until("an answer", |it| it.answers.remove(&token)) {
            Answer::Accepted { id } => Ok(id),
            Answer::Throttled { status } | Answer::Refused { status } => Err(status),
        }
    }

    /// Sends and waits for the answer.
    #[track_caller]
    pub fn send(&mut self, message: &ShortMessage) -> Result<String, Status> {
        let token = self.submit(message);
        self.answer(token)
    }

    /// The next receipt or message.
    #[track_caller]
    pub fn get(&mut self) -> ShortMessage {
        self.until("a message", |it| it.got.pop_front()).1
    }

    /// So many receipts or messages.
    #[track_caller]
    pub fn get_all(&mut self, count: usize) -> Vec<ShortMessage> {
        (0..count).map(|_| self.get()).collect()
    }

    /// What has come within some time.
    pub fn got_within(&mut self, time: Duration) -> Vec<ShortMessage> {
        let begun = Instant::now();
        while begun.elapsed() < time {
            self.step();
        }
        self.got.drain(..).map(|(_, message)| message).collect()
    }

    /// Acknowledges, or refuses, what was got and not acknowledged yet; answers it.
    pub fn acknowledge(&mut self, with: Result<(), Status>) -> Vec<ShortMessage> {
        let got: Vec<_> = self.got.drain(..).collect();
        for (handle, _) in &got {
            match with {
                Ok(()) => self.session.accept(*handle, ""),
                Err(status) => self.session.refuse(*handle, status),
            };
        }
        self.flush();
        got.into_iter().map(|(_, message)| message).collect()
    }

    /// Waits for the end of the connection.
    #[track_caller]
    pub fn end(&mut self) -> End {
        self.until("the end", |it| it.ended)
    }

    pub fn unbind(&mut self) {
        let now = self.now();
        self.session.unbind(now);
    }
}

/// A message from a name to a number.
pub fn text(to: &str, body: &str) -> ShortMessage {
    ShortMessage {
        source: Address::alphanumeric("Bakery"),
        destination: Address::international(to),
        octets: smpp::encoding::Coding::Gsm7.write(body),
        ..ShortMessage::default()
    }
}

/// The same with a receipt, however it ends.
pub fn reported(to: &str, body: &str) -> ShortMessage {
    ShortMessage { registered_delivery: RegisteredDelivery::FINAL, ..text(to, body) }
}

/// A server with an account that has credit, a price and an SMPP user.
pub struct Line {
    pub home: Home,
    pub server: Server,
    pub account: Value,
    pub partner: Value,
    pub system_id: String,
    pub password: String,
}

/// How the server runs.
pub const SERVES: [&str; 6] =
    ["--listen", "127.0.0.1:0", "--smpp-listen", "127.0.0.1:0", "--no-demo", "--no-rate-limit"];

impl Line {
    pub async fn new() -> Self {
        Self::with(&SERVES, &[]).await
    }

    /// With these options of `serve`, and these of `smpp-user create`.
    pub async fn with(serves: &[&str], user: &[&str]) -> Self {
        let home = Home::new().await;
        let partner = partner(&home, "Acme");
        let account = child(&home, &partner, "Corner Bakery");
        let id = account["id"].to_string();
        run(&home, &["credit", &id, "10"]).ok();
        run(&home, &["rate", "set", &id, "31", PRICE]).ok();
        let made = make_user(&home, &id, user);
        let server = Server::with(&home, serves);
        let text = |name: &str| made[name].as_str().expect("a text").to_owned();
        Line { system_id: text("systemId"), password: text("password"), home, server, account, partner }
    }

    pub fn id(&self) -> String {
        self.account["id"].to_string()
    }

    /// Runs `rookery ARGS` on the same database.
    pub fn run(&self, args: &[&str]) -> super::process::Done {
        run(&self.home, args)
    }

    /// A bound client.
    #[track_caller]
    pub fn bound(&self, kind: BindKind) -> Esme {
        self.bound_at(self.server.smpp_address(), kind)
    }

    #[track_caller]
    pub fn bound_at(&self, address: SocketAddr, kind: BindKind) -> Esme {
        let mut esme = Esme::connect(address);
        esme.bind(kind, &self.system_id, &self.password).expect("the user is bound");
        esme
    }

    /// What the account's key sees.
    pub fn view(&self, target: &str) -> Value {
        http::get(self.server.address(), target, key_of(&self.account, "live")).json()
    }

    /// What the account has and holds, as texts.
    pub fn balance(&self) -> (String, String) {
        let shown = self.run(&["account", "show", &self.id(), "--json"]).json();
        let text = |name: &str| shown[name].as_str().expect("an amount").to_owned();
        (text("balance"), text("held"))
    }

    /// The books and the kept counts.
    pub async fn check(&self) {
        let store =
            store::Store::open(self.home.url(), store::Options::default()).await.expect("the database");
        books::check(&store).await;
        store.close().await;
    }
}

/// What `smpp-user create ACCOUNT OPTIONS --json` prints.
pub fn make_user(home: &Home, account: &str, options: &[&str]) -> Value {
    let args = [&["smpp-user", "create", account], options, &["--json"]].concat();
    run(home, &args).json()
}
