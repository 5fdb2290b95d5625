//! SMPP against those who did not write it: the session of `crates/smpp` as a client of npm `smpp` and of `PyPI` `smpp34`;
//! `rookery dev smsc` as the server of npm `smpp`, of `PyPI` `smpplib` and of the session itself.

use crate::support::smsc::{WITHIN, carrier, ended, peer, smsc};
use serde_json::Value;
use smpp::concatenation::{self, Joined, Method, Part};
use smpp::encoding::{Coding, Content, DefaultAlphabet};
use smpp::receipt::{self, IdForm, normalise};
use smpp::session::{Answer, Bind, BindKind, End, Event, Options, Session};
use smpp::short_message::{Address, MessageState, NetworkError, RegisteredDelivery, ShortMessage};
use smpp::status::Status;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const LONG: &str = "Ein langer Satz mit Ümlauten und 5 € {extra}. Ein langer Satz mit Ümlauten und 5 € {extra}. \
                    Ein langer Satz mit Ümlauten und 5 € {extra}. Ein langer Satz mit Ümlauten und 5 € {extra}. ";

/// The session as a client, on TCP.
struct Client {
    stream: TcpStream,
    session: Session<u32>,
    begun: Instant,
    answers: BTreeMap<u32, Answer>,
    /// What came, and how many answers were known then.
    received: Vec<(ShortMessage, usize)>,
    in_doubt: Vec<u32>,
    bound: Option<String>,
    end: Option<End>,
}

impl Client {
    async fn connect(address: SocketAddr, bind: &Bind) -> Client {
        let stream = TcpStream::connect(address).await.expect("it listens");
        stream.set_nodelay(true).expect("an option");
        let options = Options { window: 50, ..Options::default() };
        let mut session = Session::esme(options, 0);
        session.bind(bind, 0).expect("a bind");
        let mut client = Client {
            stream,
            session,
            begun: Instant::now(),
            answers: BTreeMap::new(),
            received: Vec::new(),
            in_doubt: Vec::new(),
            bound: None,
            end: None,
        };
        client.until(|client| client.bound.is_some() || client.end.is_some()).await;
        client
    }

    async fn bound(address: SocketAddr) -> Client {
        let client = Client::connect(address, &Bind::new(BindKind::Transceiver, "rookery", "secret")).await;
        assert!(client.bound.is_some(), "{:?}", client.end);
        client
    }

    fn now(&self) -> i64 {
        i64::try_from(self.begun.elapsed().as_micros()).expect("a short test")
    }

    async fn submit(&mut self, token: u32, message: &ShortMessage) {
        self.until(|client| client.session.free() > 0).await;
        let now = self.now();
        self.session.submit(token, message, now).expect("a slot is free");
    }

    /// Reads and writes until this holds.
    async fn until(&mut self, holds: impl Fn(&Client) -> bool) {
        let all = async {
            let mut buffer = vec![0; 64 * 1024];
            loop {
                while let Some(event) = self.session.event() {
                    self.happened(event);
                }
                if !self.session.output().is_empty() {
                    // Whoever was cut off is told when reading.
                    let _ = self.stream.write_all(self.session.output()).await;
                    self.session.written(self.session.output().len());
                }
                if holds(self) {
                    return;
                }
                let wait = self
                    .session
                    .deadline()
                    .map_or(WITHIN, |at| Duration::from_micros(u64::try_from(at - self.now()).unwrap_or(0)));
                match tokio::time::timeout(wait, self.stream.read(&mut buffer)).await {
                    Ok(Ok(length @ 1..)) => {
                        let now = self.now();
                        self.session.received(&buffer[..length], now);
                    }
                    Ok(_) => self.session.closed(),
                    Err(_) => {
                        let now = self.now();
                        self.session.tick(now);
                    }
                }
            }
        };
        tokio::time::timeout(WITHIN, all).await.expect("it happens in time");
    }

    fn happened(&mut self, event: Event<u32>) {
        match event {
            Event::Bound { system_id, .. } => self.bound = Some(system_id),
            Event::Answered { token, answer, .. } => {
                assert!(self.answers.insert(token, answer).is_none(), "{token} is answered twice");
            }
            Event::Received { handle, message, .. } => {
                self.received.push((*message, self.answers.len()));
                assert!(self.session.accept(handle, ""));
            }
            Event::Overdue { token } => self.in_doubt.push(token),
            Event::Ended { reason, in_doubt } => {
                self.end = Some(reason);
                self.in_doubt.extend(in_doubt);
            }
            Event::BindRequested(_)
            | Event::Malformed { .. }
            | Event::Queried { .. }
            | Event::QueryRequested { .. } => panic!("{event:?}"),
        }
    }

    fn id(&self, token: u32) -> &str {
        match &self.answers[&token] {
            Answer::Accepted { id } => id,
            other => panic!("{token}: {other:?}"),
        }
    }

    async fn unbind(&mut self) {
        let now = self.now();
        self.session.unbind(now);
        self.until(|client| client.end.is_some()).await;
        assert_eq!((self.end, self.in_doubt.len()), (Some(End::Unbound), 0));
    }
}

fn text(text: &str) -> ShortMessage {
    ShortMessage {
        source: Address::alphanumeric("Rookery"),
        destination: Address::international("31612345678"),
        registered_delivery: RegisteredDelivery::FINAL,
        octets: Coding::Gsm7.write(text),
        ..ShortMessage::default()
    }
}

fn silent(body: &str) -> ShortMessage {
    ShortMessage { registered_delivery: RegisteredDelivery::NONE, ..text(body) }
}

fn states(client: &Client) -> Vec<MessageState> {
    client
        .received
        .iter()
        .filter_map(|(message, _)| receipt::read(message))
        .map(|receipt| receipt.state)
        .collect()
}

#[tokio::test]
async fn the_session_speaks_with_npm_smpp() {
    let (mut carrier, address) = carrier("node-smsc-server");
    let wrong = Client::connect(address, &Bind::new(BindKind::Transceiver, "rookery", "wrong")).await;
    assert_eq!(wrong.end, Some(End::BindRefused(Status::INVALID_PASSWORD)));

    let mut client = Client::bound(address).await;
    assert_eq!(client.bound.as_deref(), Some("npm"));
    let parts = concatenation::segment(&text(""), LONG, Coding::Gsm7, Method::Header8, 0x1234).unwrap();
    assert_eq!(parts.len(), 2);
    for (token, part) in (0..).zip(&parts) {
        client.submit(token, part).await;
    }
    let payload = concatenation::segment(&text(""), LONG, Coding::Gsm7, Method::Payload, 0).unwrap();
    client.submit(2, &payload[0]).await;
    client.submit(3, &silent("refuse")).await;
    client.submit(4, &silent("throttle")).await;
    client.submit(5, &silent("inbound")).await;
    client.until(|client| client.answers.len() == 6 && client.received.len() == 5).await;

    assert_eq!(client.answers[&3], Answer::Refused { status: Status::INVALID_DESTINATION });
    assert_eq!(client.answers[&4], Answer::Throttled { status: Status::THROTTLED });
    // What arrived there: headers that it understood, and texts of that length.
    let receipts: Vec<_> = client.received.iter().filter_map(|(message, _)| receipt::read(message)).collect();
    let length = LONG.chars().count();
    let said: BTreeMap<_, _> = receipts.iter().map(|it| (normalise(&it.id, IdForm::Decimal), it)).collect();
    let first = concatenation::content(&parts[0], DefaultAlphabet::Gsm7);
    let Content::Text(first) = first else { panic!("{first:?}") };
    let first = first.chars().count();
    for (token, expected) in [
        (0, format!("0003340201 {first}")),
        (1, format!("0003340202 {}", length - first)),
        (2, format!("none {length}")),
    ] {
        let receipt = said[&normalise(client.id(token), IdForm::Hexadecimal)];
        assert_eq!((receipt.state, receipt.done), (MessageState::Delivered, Some(1_795_338_300_000_000)));
        assert_eq!(receipt.text, expected);
    }
    // The parts of an inbound text, which came the wrong way round.
    let parts: Vec<Part> = client.received.iter().filter_map(|(message, _)| Part::of(message)).collect();
    assert_eq!(parts.iter().map(|part| part.place.number).collect::<Vec<_>>(), [2, 1]);
    let [Joined { content, .. }] = &concatenation::join(&parts, DefaultAlphabet::Gsm7)[..] else {
        panic!("one text")
    };
    assert_eq!(*content, Content::Text("Parts come in any order".into()));
    client.unbind().await;
    carrier.rest();
}

#[tokio::test]
async fn the_session_speaks_with_pypi_smpp34() {
    let (mut carrier, address) = carrier("python-smsc-server");
    let mut client = Client::bound(address).await;
    assert_eq!(client.bound.as_deref(), Some("smpp34"));
    for token in 0..200 {
        client.submit(token, &text(&format!("Hello {token}"))).await;
    }
    client.submit(200, &silent("refuse")).await;
    client.submit(201, &silent("throttle")).await;
    client.until(|client| client.answers.len() == 202 && client.received.len() == 200).await;
    assert_eq!(client.answers[&200], Answer::Refused { status: Status::INVALID_DESTINATION });
    assert_eq!(client.answers[&201], Answer::Throttled { status: Status::THROTTLED });
    let ids: Vec<_> = (0..200).map(|token| normalise(client.id(token), IdForm::Text)).collect();
    for (message, _) in &client.received {
        let receipt = receipt::read(message).expect("a receipt");
        assert!(ids.contains(&normalise(&receipt.id, IdForm::Text)));
        assert_eq!((receipt.state, receipt.error.as_deref()), (MessageState::Undeliverable, Some("00B")));
        assert_eq!(receipt.network_error, Some(NetworkError { network: 3, code: 11 }));
        assert_eq!(message.parameters, [(0x1400, b"a carrier's own".to_vec())]);
    }
    client.unbind().await;
    carrier.rest();
}

#[test]
fn npm_smpp_is_served() {
    let (mut smsc, address) = smsc(&["--system-id", "rookery", "--password-env", "SMSC_PASSWORD"]);
    let mut client = peer("node-smsc-client", Some(address));
    let (_, mut lines) = client.line("ready");
    smsc.say("nonsense");
    smsc.say("mo 31600000001 1234 STOP € {it}");
    lines.extend(client.rest());
    assert_eq!(lines.iter().filter(|line| line.starts_with("ok ")).count(), 13, "{lines:#?}");
    let figures = ended(&mut smsc);
    assert_eq!(
        (&figures["submits"], &figures["accepted"]),
        (&Value::from(507), &Value::from(507)),
        "{figures}"
    );
    assert_eq!((&figures["binds"], &figures["delivered"]), (&Value::from(3), &Value::from(7)), "{figures}");
}

#[test]
fn pypi_smpplib_is_served() {
    let (mut smsc, address) = smsc(&["--system-id", "rookery", "--password-env", "SMSC_PASSWORD"]);
    let lines = peer("python-smsc-client", Some(address)).rest();
    assert_eq!(lines.iter().filter(|line| line.starts_with("ok ")).count(), 6, "{lines:#?}");
    let figures = ended(&mut smsc);
    assert_eq!((&figures["submits"], &figures["delivered"]), (&Value::from(2), &Value::from(2)), "{figures}");
}

#[tokio::test]
async fn the_smsc_errs_as_often_as_it_is_asked_to() {
    let errors = "throttled=10%,refused=10%,undelivered=20%,no-receipt=10%,twice=10%,early=10%";
    let (mut smsc, address) = smsc(&["--errors", errors, "--seed", "7", "--delay", "5ms", "--ids", "hex"]);
    let mut client = Client::bound(address).await;
    for token in 0..1_000 {
        client.submit(token, &text("Hello")).await;
    }
    client.until(|client| client.answers.len() == 1_000).await;
    let count = |is: fn(&Answer) -> bool| client.answers.values().filter(|answer| is(answer)).count();
    let throttled = count(|answer| matches!(answer, Answer::Throttled { status: Status::THROTTLED }));
    let refused = count(|answer| matches!(answer, Answer::Refused { status: Status::SUBMIT_FAILED }));
    let accepted = count(|answer| matches!(answer, Answer::Accepted { .. }));
    assert!((60..140).contains(&throttled) && (60..140).contains(&refused), "{throttled} {refused}");
    assert_eq!(accepted + throttled + refused, 1_000);

    client.unbind().await;
    let figures = ended(&mut smsc);
    assert_eq!(
        (&figures["throttled"], &figures["refused"]),
        (&throttled.into(), &refused.into()),
        "{figures}"
    );
    assert_eq!(figures["waiting"], 0, "{figures}");
    assert_eq!(figures["delivered"], client.received.len(), "{figures}");

    // In answers hexadecimal, in receipts decimal: each accepted message has none, one or two.
    let mut receipts: BTreeMap<String, u32> = BTreeMap::new();
    for (message, _) in &client.received {
        let receipt = receipt::read(message).expect("a receipt");
        *receipts.entry(normalise(&receipt.id, IdForm::Decimal)).or_default() += 1;
        let is_delivered = receipt.state == MessageState::Delivered;
        assert_eq!(receipt.error.as_deref(), if is_delivered { None } else { Some("027") });
    }
    let mut times = [0; 3];
    for answer in client.answers.values() {
        if let Answer::Accepted { id } = answer {
            let id = normalise(id, IdForm::Hexadecimal);
            times[usize::try_from(receipts.remove(&id).unwrap_or(0)).unwrap()] += 1;
        }
    }
    assert!(receipts.is_empty(), "{receipts:?}");
    assert!((50..130).contains(&times[0]) && (50..130).contains(&times[2]), "{times:?}");
    let failed = states(&client).iter().filter(|state| **state == MessageState::Undeliverable).count();
    assert!((100..250).contains(&failed), "{failed}");
}

#[tokio::test]
async fn a_receipt_may_come_before_its_answer() {
    let (_smsc, address) = smsc(&["--errors", "early=100%", "--delay", "100ms"]);
    let mut client = Client::bound(address).await;
    client.submit(0, &text("Hello")).await;
    client.until(|client| client.answers.len() == 1).await;
    let (message, answers) = &client.received[0];
    assert_eq!((receipt::read(message).unwrap().id.as_str(), *answers), (client.id(0), 0));
}

#[tokio::test]
async fn a_cut_connection_leaves_messages_in_doubt() {
    let (mut smsc, address) = smsc(&["--drop-every", "40", "--delay", "20ms", "--receipt-delay", "50ms"]);
    let mut receipts = 0;
    for round in 0..10 {
        let mut client = Client::bound(address).await;
        for token in 0..40 {
            client.submit(token, &text("Hello")).await;
        }
        client.until(|client| client.end.is_some()).await;
        assert_eq!(client.end, Some(End::Closed), "round {round}");
        assert_eq!(client.answers.len() + client.in_doubt.len(), 40);
        assert!(client.in_doubt.contains(&39));
        receipts += client.received.len();
    }
    // Who comes back gets the receipts of what was taken.
    let mut client = Client::bound(address).await;
    client.until(|client| receipts + client.received.len() >= 391).await;
    drop(client);
    let figures = ended(&mut smsc);
    assert_eq!((&figures["cut"], &figures["submits"]), (&Value::from(10), &Value::from(400)), "{figures}");
}

#[tokio::test]
async fn answers_keep_the_rate() {
    let (_smsc, address) = smsc(&["--rate", "400"]);
    let mut client = Client::bound(address).await;
    let begun = Instant::now();
    for token in 0..101 {
        client.submit(token, &silent("Hello")).await;
    }
    client.until(|client| client.answers.len() == 101).await;
    assert!(begun.elapsed() >= Duration::from_millis(250), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_order_cuts_every_connection_and_a_signal_unbinds() {
    let (mut smsc, address) = smsc(&[]);
    let mut client = Client::bound(address).await;
    smsc.say("drop");
    client.until(|client| client.end.is_some()).await;
    assert_eq!(client.end, Some(End::Closed));
    let mut client = Client::bound(address).await;
    let told = Command::new("kill").args(["-s", "INT", &smsc.id().to_string()]).status();
    assert!(told.expect("kill runs").success());
    client.until(|client| client.end.is_some()).await;
    assert_eq!(client.end, Some(End::UnboundByPeer));
    drop(client);
    smsc.rest();
}
