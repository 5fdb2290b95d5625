//! The SMPP server and what no session of ours would send it: frames made by hand, all at once, and never read.

use crate::support::database::Home;
use crate::support::esme::{Line, SERVES};
use crate::support::process::{Server, finish, rookery};
use smpp::status::Status;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

const SUBMIT: u32 = 4;
const DELIVER: u32 = 5;
const UNBIND: u32 = 6;
const BIND: u32 = 9;
const ENQUIRE: u32 = 0x15;
const ANSWER: u32 = 0x8000_0000;

fn frame(command: u32, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(16 + body.len()).expect("a length");
    let mut octets: Vec<u8> =
        [length, command, 0, sequence].iter().flat_map(|word| word.to_be_bytes()).collect();
    octets.extend(body);
    octets
}

/// A `submit_sm` with these times.
fn submit(sequence: u32, schedule: &str, validity: &str) -> Vec<u8> {
    let mut body = b"\0\x05\0Bakery\0\x01\x0199900000000\0\0\0\0".to_vec();
    for time in [schedule, validity] {
        body.extend(time.as_bytes());
        body.push(0);
    }
    body.extend(b"\0\0\0\0\x02Hi");
    frame(SUBMIT, sequence, &body)
}

/// The next frame: its command, status and number.
fn read(stream: &mut TcpStream) -> (u32, Status, u32) {
    let mut head = [0; 16];
    stream.read_exact(&mut head).expect("an answer");
    let word = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().expect("four octets"));
    let rest = usize::try_from(word(0)).expect("a length") - 16;
    stream.read_exact(&mut vec![0; rest]).expect("the rest of it");
    (word(4), Status(word(8)), word(12))
}

fn bound(line: &Line) -> TcpStream {
    let mut stream = TcpStream::connect(line.server.smpp_address()).expect("a connection");
    let body = [line.system_id.as_bytes(), b"\0", line.password.as_bytes(), b"\0\0\x34\0\0\0"].concat();
    stream.write_all(&frame(BIND, 1, &body)).expect("a bind");
    assert_eq!(read(&mut stream), (BIND | ANSWER, Status::OK, 1));
    stream
}

#[tokio::test]
async fn what_came_before_an_unbind_is_answered_before_it() {
    let line = Line::with(&SERVES, &["--window", "2"]).await;
    let mut stream = bound(&line);
    let mut octets: Vec<u8> = (2..102).flat_map(|number| submit(number, "", "")).collect();
    octets.extend(frame(UNBIND, 102, b""));
    stream.write_all(&octets).expect("all of it");
    let answers: Vec<_> = (2..103).map(|_| read(&mut stream)).collect();
    assert_eq!(answers.last(), Some(&(UNBIND | ANSWER, Status::OK, 102)));
    let taken =
        answers.iter().filter(|(command, status, _)| (*command, *status) == (SUBMIT | ANSWER, Status::OK));
    assert_eq!(taken.count(), 100);
    assert_eq!(stream.read(&mut [0; 16]).expect("the end"), 0);
    assert_eq!(line.view("/messages?limit=1")["totalCount"], 100);
    line.check().await;
}

#[tokio::test]
async fn what_was_meant_for_a_time_that_nobody_can_read_is_not_sent_at_once() {
    let line = Line::new().await;
    let mut stream = bound(&line);
    let soon = store::Clock::system().now_us() + 7_200_000_000;
    let soon = jiff::Timestamp::from_microsecond(soon).expect("a time");
    let soon = soon.strftime("%y%m%d%H%M%S").to_string();
    for (number, (schedule, validity, status)) in (2..).zip([
        ("", "", Status::OK),
        ("soon", "", Status::INVALID_SCHEDULE),
        ("2026-11-22 10:00", "", Status::INVALID_SCHEDULE),
        ("0000000000000000", "", Status::INVALID_SCHEDULE),
        ("", "48", Status::INVALID_VALIDITY),
        (soon.as_str(), "", Status::OK),
        (soon.as_str(), soon.as_str(), Status::INVALID_VALIDITY),
        ("000000000000000R", "000001000000000R", Status::OK),
    ]) {
        stream.write_all(&submit(number, schedule, validity)).expect("a message");
        assert_eq!(read(&mut stream), (SUBMIT | ANSWER, status, number), "{schedule} {validity}");
    }
    let all = line.view("/messages?limit=10");
    let items = all["items"].as_array().expect("a list");
    let later = items.iter().filter(|it| it["recipients"]["items"][0]["status"] == "scheduled").count();
    assert_eq!((items.len(), later), (3, 1));
}

#[tokio::test]
async fn whoever_never_reads_is_no_longer_read() {
    let line = Line::new().await;
    let mut stream = bound(&line);
    stream.set_write_timeout(Some(Duration::from_millis(700))).expect("a time-out");
    // Questions, each of which has an answer of the same length, until nothing more is taken.
    let some: Vec<u8> = (0..4_096).flat_map(|number| frame(ENQUIRE, number, b"")).collect();
    let (mut sent, begun) = (0, Instant::now());
    loop {
        match stream.write(&some[sent % some.len()..]) {
            Ok(count) => sent += count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            Err(error) => panic!("cut off after {sent} octets: {error}"),
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{sent} octets, and it goes on");
    }
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out");
    for _ in 0..sent / 16 {
        assert_eq!(read(&mut stream).0, ENQUIRE | ANSWER);
    }
}

async fn connect_from(from: IpAddr, address: SocketAddr) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::new(from, 0)).expect("an address");
    let stream = socket.connect(address).await.expect("a connection").into_std().expect("a stream");
    stream.set_nonblocking(false).expect("a blocking stream");
    stream
}

#[tokio::test]
async fn one_address_does_not_have_all_connections() {
    let line = Line::new().await;
    let address = line.server.smpp_address();
    let mut silent = Vec::new();
    for _ in 0..103 {
        let stream = connect_from([127, 0, 0, 9].into(), address).await;
        stream.set_nonblocking(true).expect("it does not wait");
        silent.push(stream);
    }
    let is_cut = |mut stream: &TcpStream| stream.read(&mut [0; 1]).is_ok();
    let cut = || silent.iter().filter(|stream| is_cut(stream)).count();
    let begun = Instant::now();
    while cut() < 3 {
        assert!(begun.elapsed() < Duration::from_secs(5), "{} are cut", cut());
        std::thread::sleep(Duration::from_millis(20));
    }
    bound(&line);
    assert_eq!(cut(), 3, "the others have their ten seconds");
    drop(silent);
}

#[tokio::test]
async fn who_does_not_answer_does_not_listen() {
    let (taken, home) = (Line::new().await, Home::new().await);
    let (http, smpp) = (taken.server.address().to_string(), taken.server.smpp_address().to_string());
    let args = ["serve", "--roles", "submit", "--listen", &http, "--smpp-listen", &smpp, "--no-demo"];
    let mut server = Server::spawn(rookery(&home).args(args).args(["--metrics-listen", "127.0.0.1:0"]));
    let begun = Instant::now();
    while !server.log().contains("metrics") && begun.elapsed() < Duration::from_secs(15) {
        std::thread::sleep(Duration::from_millis(20));
    }
    server.signal("TERM");
    assert!(server.wait().success(), "{}", server.log());
}

/// A carrier's side of a connection, once the server has bound to it.
fn bound_by(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().expect("a connection");
    let (command, _, sequence) = read(&mut stream);
    assert_eq!(command, BIND);
    stream.write_all(&frame(BIND | ANSWER, sequence, b"old\0")).expect("an answer");
    stream
}

/// Brings a text of a phone and waits until it is acknowledged.
fn bring(stream: &mut TcpStream, sequence: u32, head: &[u8], text: &[u8]) {
    let mut body = b"\0\x01\x0131655500077\0\x01\x0131655500099\0".to_vec();
    body.push(if head.is_empty() { 0 } else { 0x40 });
    body.extend(b"\0\0\0\0\0\0\0\0");
    body.push(u8::try_from(head.len() + text.len()).expect("a short text"));
    body.extend([head, text].concat());
    stream.write_all(&frame(DELIVER, sequence, &body)).expect("a text");
    assert_eq!(read(stream), (DELIVER | ANSWER, Status::OK, sequence));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_carrier_repeats_over_a_new_connection_counts_once() {
    let line = Line::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = listener.local_addr().expect("an address").to_string();
    line.run(&["number", "add", "31655500099", &line.id()]).ok();
    let add = ["carrier", "add", "old", "--smpp", &address, "--system-id", "rookery"];
    let mut add_it = rookery(&line.home);
    add_it.args(add).args(["--password-env", "SMSC_PASSWORD"]).env("SMSC_PASSWORD", "secret");
    finish(&mut add_it).ok();
    let (first, second) = ([5, 0, 3, 7, 2, 1], [5, 0, 3, 7, 2, 2]);

    let mut stream = bound_by(&listener);
    bring(&mut stream, 1, &[], b"Yes");
    bring(&mut stream, 2, &first, b"Yes, ");
    bring(&mut stream, 3, &second, b"tomorrow");
    // It never learns that they arrived.
    drop(stream);
    let mut stream = bound_by(&listener);
    bring(&mut stream, 1, &[], b"Yes");
    bring(&mut stream, 2, &first, b"Yes, ");
    bring(&mut stream, 3, &second, b"tomorrow");
    bring(&mut stream, 4, &[], b"No");
    // The phone's owner writes it once more.
    bring(&mut stream, 5, &[], b"Yes");
    let all = line.view("/messages?direction=mo&limit=100");
    let items = all["items"].as_array().expect("a list");
    let mut bodies: Vec<_> = items.iter().map(|it| it["body"].as_str().expect("a text")).collect();
    bodies.sort_unstable();
    assert_eq!(bodies, ["No", "Yes", "Yes", "Yes, tomorrow"]);
}
