//! What the tests of sessions share: frames made and read by hand, and two sessions joined without a network.

use smpp::session::{Bind, BindKind, Event, Options, Session};
use smpp::short_message::{Address, RegisteredDelivery, ShortMessage};

pub(crate) const SECOND: i64 = 1_000_000;
/// The number of a bound session's first request: its bind had 1.
pub(crate) const BOUND: u32 = 2;

pub(crate) fn options() -> Options {
    Options::default()
}

pub(crate) fn esme() -> Session<u32> {
    Session::esme(options(), 0)
}

pub(crate) fn smsc() -> Session<u32> {
    Session::smsc(options(), 0)
}

/// A client that is bound, with nothing left to read or write.
pub(crate) fn bound() -> Session<u32> {
    bound_as(BindKind::Transceiver, options())
}

pub(crate) fn bound_as(kind: BindKind, options: Options) -> Session<u32> {
    let mut session = Session::esme(options, 0);
    session.bind(&Bind::new(kind, "rookery", "secret"), 0).unwrap();
    let command = Frame::take(&mut session)[0].command;
    session.received(&respond(command, 0, 1, b"carrier\0"), 0);
    drain(&mut session);
    session
}

/// A client and a server, bound to each other.
pub(crate) fn pair(options: Options) -> (Session<u32>, Session<u32>) {
    let (mut client, mut server) = (Session::esme(options.clone(), 0), Session::smsc(options, 0));
    client.bind(&Bind::new(BindKind::Transceiver, "rookery", "secret"), 0).unwrap();
    carry(&mut client, &mut server, 0);
    assert!(matches!(server.event(), Some(Event::BindRequested(_))));
    assert!(server.accept_bind("carrier", 0));
    carry(&mut client, &mut server, 0);
    assert!(matches!(client.event(), Some(Event::Bound { .. })));
    (client, server)
}

/// Brings to each side what the other has written.
pub(crate) fn carry(client: &mut Session<u32>, server: &mut Session<u32>, now: i64) {
    let octets = client.output().to_vec();
    client.written(octets.len());
    server.received(&octets, now);
    let octets = server.output().to_vec();
    server.written(octets.len());
    client.received(&octets, now);
}

pub(crate) fn drain(session: &mut Session<u32>) -> Vec<Event<u32>> {
    std::iter::from_fn(|| session.event()).collect()
}

pub(crate) fn text(text: &str) -> ShortMessage {
    ShortMessage {
        source: Address::alphanumeric("Rookery"),
        destination: Address::international("31612345678"),
        registered_delivery: RegisteredDelivery::FINAL,
        octets: text.as_bytes().to_vec(),
        ..ShortMessage::default()
    }
}

pub(crate) fn message() -> ShortMessage {
    text("Hello")
}

/// A frame, read by hand.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) command: u32,
    pub(crate) status: u32,
    pub(crate) sequence: u32,
    pub(crate) body: Vec<u8>,
}

impl Frame {
    pub(crate) fn all(octets: &[u8]) -> Vec<Frame> {
        let (mut frames, mut rest) = (Vec::new(), octets);
        while !rest.is_empty() {
            let word = |at: usize| u32::from_be_bytes(rest[at..at + 4].try_into().unwrap());
            let length = usize::try_from(word(0)).unwrap();
            let body = rest[16..length].to_vec();
            frames.push(Frame { command: word(4), status: word(8), sequence: word(12), body });
            rest = &rest[length..];
        }
        frames
    }

    /// What a session has to write, as written.
    pub(crate) fn take<T: Clone>(session: &mut Session<T>) -> Vec<Frame> {
        let frames = Frame::all(session.output());
        session.written(session.output().len());
        frames
    }

    pub(crate) fn bytes(command: u32, status: u32, sequence: u32, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(16 + body.len()).unwrap();
        let mut octets: Vec<u8> =
            [length, command, status, sequence].iter().flat_map(|it| it.to_be_bytes()).collect();
        octets.extend(body);
        octets
    }
}

pub(crate) fn request(command: u32, sequence: u32, body: &[u8]) -> Vec<u8> {
    Frame::bytes(command, 0, sequence, body)
}

pub(crate) fn respond(command: u32, status: u32, sequence: u32, body: &[u8]) -> Vec<u8> {
    Frame::bytes(command | 0x8000_0000, status, sequence, body)
}

/// A `deliver_sm` with a text.
pub(crate) fn deliver(sequence: u32, text: &[u8]) -> Vec<u8> {
    let mut body = b"\0\x01\x0131612345678\0\x00\x011234\0\0\0\0\0\0\0\0\0\0".to_vec();
    body.push(u8::try_from(text.len()).unwrap());
    body.extend(text);
    request(5, sequence, &body)
}
