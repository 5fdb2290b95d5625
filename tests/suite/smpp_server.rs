//! The SMPP server: who may bind, what is accepted and refused, what is told, and who is told nothing. A session of our own
//! on real sockets; `smpp_parts` has long messages, `smpp_clients` those whom others have written.

use crate::support::authority::Authority;
use crate::support::database::is_postgres;
use crate::support::esme::{Esme, Line, SERVES, make_user, reported, text};
use crate::support::process::{Server, child, finish_with, rookery, run, within_a_second};
use serde_json::{Value, json};
use smpp::moment::Moment;
use smpp::receipt;
use smpp::session::{BindKind, End};
use smpp::short_message::{Address, EsmClass, MessageState, RegisteredDelivery, ShortMessage};
use smpp::status::Status;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const NO_BALANCE: Status = Status(0x0400);

fn by(kind: RegisteredDelivery, to: &str) -> ShortMessage {
    ShortMessage { registered_delivery: kind, ..text(to, "Hi") }
}

#[tokio::test]
async fn a_message_is_sent_charged_delivered_and_reported() {
    let line = Line::new().await;
    let mut esme = line.bound(BindKind::Transceiver);
    let sent = ShortMessage {
        user_message_reference: Some(8_841),
        ..reported("31655500011", "Your crate is ready")
    };
    let id = esme.send(&sent).expect("it is taken");
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    let told = esme.get();
    let receipt = receipt::read(&told).expect("a receipt");
    assert_eq!(
        (receipt.id.as_str(), receipt.state, receipt.error),
        (id.as_str(), MessageState::Delivered, None)
    );
    assert_eq!(receipt.text, "Your crate is ready");
    assert!(receipt.submitted.is_some() && receipt.done.is_some());
    assert_eq!((told.source.value.as_str(), told.destination.value.as_str()), ("31655500011", "Bakery"));
    assert_eq!((told.esm_class, told.user_message_reference), (EsmClass::DELIVERY_RECEIPT, Some(8_841)));
    assert_eq!(
        (told.receipted_message_id.as_deref(), told.message_state),
        (Some(id.as_str()), Some(MessageState::Delivered))
    );
    assert!(esme.got_within(Duration::from_millis(500)).is_empty(), "told once, and not that it was sent");

    let seen = line.view(&format!("/messages/{id}"));
    assert_eq!(
        (&seen["body"], &seen["originator"], &seen["reference"]),
        (&json!("Your crate is ready"), &json!("Bakery"), &json!("8841"))
    );
    assert_eq!(seen["recipients"]["items"][0]["status"], "delivered");
    assert_eq!(line.balance(), ("9.939".into(), "0.00".into()));
    esme.unbind();
    assert_eq!(esme.end(), End::Unbound);
    line.check().await;
}

fn credentials(line: &Line) -> Vec<u8> {
    [line.system_id.as_bytes(), b"\0", line.password.as_bytes(), b"\0\0\x34\0\0\0"].concat()
}

/// Sends a request that no client would, and reads the answer's command and status.
fn ask(mut stream: &TcpStream, command: u32, body: &[u8]) -> (u32, Status) {
    let length = u32::try_from(16 + body.len()).expect("a length");
    let head: Vec<u8> = [length, command, 0, 7].iter().flat_map(|word| word.to_be_bytes()).collect();
    stream.write_all(&[&head, body].concat()).expect("some octets");
    let mut answer = [0; 16];
    stream.read_exact(&mut answer).expect("an answer");
    let word = |at: usize| u32::from_be_bytes(answer[at..at + 4].try_into().expect("four octets"));
    let rest = usize::try_from(word(0)).expect("a length") - 16;
    stream.read_exact(&mut vec![0; rest]).expect("the rest of it");
    (word(4), Status(word(8)))
}

fn raw_receiver(line: &Line) -> TcpStream {
    let stream = TcpStream::connect(line.server.smpp_address()).expect("a connection");
    assert_eq!(ask(&stream, 0x04, b""), (0x8000_0004, Status::INVALID_BIND_STATE), "nobody is bound");
    assert_eq!(ask(&stream, 0x01, &credentials(line)), (0x8000_0001, Status::OK));
    stream
}

#[tokio::test]
async fn a_bind_is_refused_without_saying_too_much() {
    let line = Line::with(&SERVES, &["--binds", "2"]).await;
    let address = line.server.smpp_address();
    let bind = |system_id: &str, password: &str| {
        Esme::connect(address).bind(BindKind::Transceiver, system_id, password)
    };
    let (id, password) = (line.system_id.as_str(), line.password.as_str());
    for (system_id, password) in
        [(id, "wrong"), (id, ""), ("nobody", password), ("", ""), ("not a name", password)]
    {
        assert_eq!(bind(system_id, password), Err(Status::INVALID_PASSWORD), "{system_id} {password}");
    }
    let (mut one, two) = (line.bound(BindKind::Transmitter), raw_receiver(&line));
    assert_eq!(bind(id, password), Err(Status::BIND_FAILED), "two binds at most");
    assert_eq!(ask(&two, 0x04, b""), (0x8000_0004, Status::INVALID_BIND_STATE), "a receiver does not submit");
    assert_eq!(ask(&two, 0x01, &credentials(&line)), (0x8000_0001, Status::ALREADY_BOUND));
    assert_eq!(ask(&two, 0x03, b""), (0x8000_0003, Status::INVALID_COMMAND_ID), "query_sm is not offered");
    one.unbind();
    one.end();
    let mut three = line.bound(BindKind::Transceiver);
    assert!(three.send(&text("31655500011", "Hi")).is_ok());
    // Whoever cannot keep to the protocol harms nobody else.
    let mut stranger = TcpStream::connect(address).expect("a connection");
    stranger.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("some octets");
    let mut answer = Vec::new();
    stranger.read_to_end(&mut answer).expect("an answer and the end");
    assert_eq!(answer[4..8], [0x80, 0, 0, 0], "generic_nack");
    assert!(three.send(&text("31655500011", "Hi")).is_ok());
    assert!(!line.server.log().contains(&line.password));
}

#[tokio::test]
async fn wrong_passwords_are_limited_and_lock_out_nobody() {
    let serves = ["--listen", "127.0.0.1:0", "--smpp-listen", "127.0.0.1:0", "--no-demo"];
    let line = Line::with(&serves, &[]).await;
    let address = line.server.smpp_address();
    let (id, password) = (line.system_id.as_str(), line.password.as_str());
    let from = async |last: u8, password: &str| {
        let mut esme = Esme::connect_from([127, 0, 0, last].into(), address).await;
        esme.bind(BindKind::Transmitter, id, password)
    };
    assert_eq!(from(2, password).await, Ok(()));
    let mut answers = Vec::new();
    for _ in 0..30 {
        answers.push(from(3, "wrong").await);
    }
    let wrong = answers.iter().filter(|answer| **answer == Err(Status::INVALID_PASSWORD)).count();
    // One comes back every three seconds.
    assert!(
        (20..=25).contains(&wrong)
            && wrong + answers.iter().filter(|a| **a == Err(Status::BIND_FAILED)).count() == 30,
        "{answers:?}"
    );
    assert_eq!(
        from(3, password).await,
        Err(Status::BIND_FAILED),
        "a right guess is not told from a wrong one"
    );
    assert_eq!(
        from(4, password).await,
        Err(Status::BIND_FAILED),
        "guesses at one system id count from everywhere"
    );
    assert_eq!(from(2, password).await, Ok(()), "from where it was bound before, it is");
}

#[tokio::test]
async fn receipts_say_what_became_of_a_message() {
    let line = Line::new().await;
    let mut esme = line.bound(BindKind::Transceiver);
    for (to, state, error, word) in [
        ("99900000000", MessageState::Delivered, None, "DELIVRD"),
        ("99900001000", MessageState::Undeliverable, Some("001"), "UNDELIV"),
        ("99900103000", MessageState::Undeliverable, Some("103"), "UNDELIV"),
        ("99900201000", MessageState::Undeliverable, None, "UNDELIV"),
        ("99900202000", MessageState::Expired, None, "EXPIRED"),
        ("99900203000", MessageState::Undeliverable, None, "UNDELIV"),
        ("99900301000", MessageState::Rejected, None, "REJECTD"),
        ("99900402000", MessageState::Delivered, None, "DELIVRD"),
    ] {
        let id = esme.send(&reported(to, "Hi")).expect("it is taken");
        let told = esme.get();
        let receipt = receipt::read(&told).expect("a receipt");
        assert_eq!((receipt.id, receipt.state, receipt.error.as_deref()), (id, state, error), "{to}");
        assert_eq!(
            told.network_error.map(|error| (error.network, error.code.to_string())),
            error.map(|code| (3, code.trim_start_matches('0').to_owned()))
        );
        let written = String::from_utf8(told.octets.clone()).expect("ASCII");
        assert!(written.contains(&format!("stat:{word} err:{}", error.unwrap_or("000"))), "{written}");
    }
    // Never reported on: the validity ends it, ten minutes later than the carrier may take.
    let never = ShortMessage {
        validity: Some(Moment::Relative(Duration::from_secs(1))),
        ..reported("99900401000", "Hi")
    };
    let id = esme.send(&never).expect("it is taken");
    assert_eq!(line.view(&format!("/messages/{id}"))["validity"], 1);
    line.check().await;
}

#[tokio::test]
async fn only_receipts_that_are_asked_for_are_told() {
    let line = Line::new().await;
    let mut esme = line.bound(BindKind::Transceiver);
    let on_success = RegisteredDelivery(3);
    for kind in [RegisteredDelivery::NONE, RegisteredDelivery::ON_FAILURE] {
        esme.send(&by(kind, "31655500011")).expect("it is taken");
    }
    esme.send(&by(on_success, "99900001000")).expect("it is taken");
    let failed = esme.send(&by(RegisteredDelivery::ON_FAILURE, "99900001000")).expect("it is taken");
    let delivered = esme.send(&by(on_success, "31655500012")).expect("it is taken");
    let told: BTreeSet<_> = esme
        .got_within(Duration::from_secs(2))
        .iter()
        .map(|it| it.receipted_message_id.clone().expect("an id"))
        .collect();
    assert_eq!(told, BTreeSet::from([failed, delivered]));

    let id = esme.send(&by(RegisteredDelivery(0x11), "99900403001")).expect("it is taken");
    let [first, last] = esme.get_all(2).try_into().expect("two");
    assert_eq!(
        (first.message_state, first.esm_class, first.receipted_message_id.as_ref()),
        (Some(MessageState::Enroute), EsmClass(0x20), Some(&id))
    );
    assert_eq!(
        (last.message_state, last.esm_class, last.receipted_message_id.as_ref()),
        (Some(MessageState::Delivered), EsmClass(0x04), Some(&id))
    );
    line.check().await;
}

#[tokio::test]
async fn every_alphabet_is_read() {
    let line = Line::new().await;
    let mut esme = line.bound(BindKind::Transmitter);
    let ucs2 = |text: &str| smpp::encoding::Coding::Ucs2.write(text);
    for (data_coding, octets, body, coding, kind) in [
        (0, smpp::encoding::Coding::Gsm7.write("5 € {ok} é"), "5 € {ok} é", "plain", "sms"),
        (1, b"ASCII".to_vec(), "ASCII", "auto", "sms"),
        (3, vec![0xE7, 0xE0, b'!'], "çà!", "auto", "sms"),
        (8, ucs2("Привет 😀"), "Привет 😀", "unicode", "sms"),
        (8, ucs2("plain"), "plain", "unicode", "sms"),
        (0x10, b"now".to_vec(), "now", "auto", "flash"),
        (0x18, ucs2("☕"), "☕", "unicode", "flash"),
        (0, b"ends with zero: @\x00".to_vec(), "ends with zero: ¡@", "plain", "sms"),
    ] {
        let message = ShortMessage { data_coding, octets, ..text("31655500011", "") };
        let id = esme.send(&message).expect("it is taken");
        let seen = line.view(&format!("/messages/{id}"));
        assert_eq!((&seen["body"], &seen["type"]), (&json!(body), &json!(kind)));
        if coding == "unicode" {
            assert_eq!(seen["datacoding"], "unicode", "{body}");
        }
    }
    // A long text as one message_payload, from a number and from a short code.
    let long = "x".repeat(400);
    for (source, shown) in
        [(Address::international("31655500099"), "31655500099"), (Address::short_code("1234"), "1234")]
    {
        let message = ShortMessage { source, is_payload: true, ..text("31655500011", &long) };
        let id = esme.send(&message).expect("it is taken");
        let seen = line.view(&format!("/messages/{id}"));
        assert_eq!((&seen["body"], &seen["originator"]), (&json!(long), &json!(shown)));
        assert_eq!(seen["recipients"]["items"][0]["messagePartCount"], 3);
    }
    line.check().await;
}

#[tokio::test]
async fn what_cannot_be_sent_says_why() {
    let line = Line::new().await;
    let mut esme = line.bound(BindKind::Transceiver);
    let good = text("31655500011", "Hi");
    let cases = [
        (ShortMessage { source: Address::default(), ..good.clone() }, Status::INVALID_SOURCE),
        (
            ShortMessage { source: Address::alphanumeric("twelve chars"), ..good.clone() },
            Status::INVALID_SOURCE,
        ),
        (text("", "Hi"), Status::INVALID_DESTINATION),
        (text("0123", "Hi"), Status::INVALID_DESTINATION),
        (text("31655500011", ""), Status::INVALID_MESSAGE_LENGTH),
        (
            ShortMessage { is_payload: true, ..text("31655500011", &"x".repeat(1_378)) },
            Status::INVALID_MESSAGE_LENGTH,
        ),
        (
            ShortMessage { schedule: Some(Moment::Relative(Duration::from_hours(367 * 24))), ..good.clone() },
            Status::INVALID_SCHEDULE,
        ),
        (
            ShortMessage { validity: Some(Moment::Relative(Duration::ZERO)), ..good.clone() },
            Status::INVALID_VALIDITY,
        ),
        (
            ShortMessage { validity: Some(Moment::Absolute(1_000_000_000_000_000)), ..good.clone() },
            Status::INVALID_VALIDITY,
        ),
        (ShortMessage { data_coding: 5, ..good.clone() }, Status(0x0104)),
        (ShortMessage { data_coding: 0x20, ..good.clone() }, Status(0x0104)),
        (
            ShortMessage { data_coding: 4, is_payload: true, octets: vec![7; 1_207], ..good.clone() },
            Status::INVALID_MESSAGE_LENGTH,
        ),
        (ShortMessage { esm_class: EsmClass(0x08), ..good.clone() }, Status::INVALID_ESM_CLASS),
        (
            ShortMessage { esm_class: EsmClass(0x40), octets: vec![6, 5, 4, 0, 1, 0, 2, 65], ..good.clone() },
            Status::INVALID_ESM_CLASS,
        ),
        (ShortMessage { replaces: true, ..good.clone() }, Status(0x0054)),
        (ShortMessage { prepared: 7, ..good.clone() }, Status(0x0063)),
    ];
    for (message, status) in cases {
        assert_eq!(esme.send(&message), Err(status));
    }
    let part = |number| ShortMessage {
        esm_class: EsmClass(0x40),
        octets: vec![5, 0, 3, 9, 3, number, b'x'],
        ..text("34655500011", "")
    };
    run(&line.home, &["rate", "set", &line.id(), "34", "5.01"]).ok();
    run(&line.home, &["rate", "set", &line.id(), "32", "9.99"]).ok();
    run(&line.home, &["rate", "set", &line.id(), "33", "10.01"]).ok();
    within_a_second(Err(NO_BALANCE), || esme.send(&text("33655500011", "Hi")));
    assert!(esme.send(&part(1)).is_ok());
    assert_eq!(esme.send(&part(2)), Err(NO_BALANCE), "what cannot be paid for does not wait");
    let before = line.view("/messages?limit=1")["totalCount"].as_i64().expect("a count");
    assert!(esme.send(&text("32655500011", "Hi")).is_ok());
    assert_eq!(esme.send(&good), Err(NO_BALANCE), "0.01 is left");
    assert_eq!(line.view("/messages?limit=1")["totalCount"], before + 1);
    line.check().await;
    // The default originator stands in.
    run(&line.home, &["account", "set", &line.id(), "originator=Default"]).ok();
    let nameless = ShortMessage { source: Address::default(), ..text("99900000000", "Hi") };
    within_a_second(true, || esme.send(&nameless).is_ok());
}

#[tokio::test]
async fn octets_are_sent_as_they_are() {
    let line = Line::new().await;
    let mut esme = line.bound(BindKind::Transceiver);
    let octets = |data_coding, esm_class, octets: &[u8]| ShortMessage {
        data_coding,
        esm_class: EsmClass(esm_class),
        octets: octets.to_vec(),
        ..reported("31655500011", "")
    };
    // Ports beside the place: each is a message of its own, which the phone joins.
    let push = [0x0B, 5, 4, 0x0B, 0x84, 0x23, 0xF0, 0, 3, 7, 2, 1, 0xFE];
    for (message, body, udh) in [
        (octets(4, 0, &[0, 0xFF, 0x7A]), "00ff7a", None),
        (octets(0xF5, 0x40, &push), "fe", Some("0b05040b8423f0000307".to_owned() + "0201")),
    ] {
        let id = esme.send(&message).expect("it is taken");
        let seen = line.view(&format!("/messages/{id}"));
        assert_eq!((&seen["type"], &seen["body"]), (&json!("binary"), &json!(body)));
        assert_eq!(seen["typeDetails"]["udh"].as_str(), udh.as_deref());
        let receipt = receipt::read(&esme.get()).expect("a receipt");
        assert_eq!((receipt.id, receipt.state, receipt.text.as_str()), (id, MessageState::Delivered, ""));
    }
    // Parts that say nothing else are joined.
    let part = |number: u8| octets(4, 0x40, &[5, 0, 3, 9, 2, number, number]);
    esme.send(&part(2)).expect("it is kept");
    let id = esme.send(&part(1)).expect("it is taken");
    assert_eq!(line.view(&format!("/messages/{id}"))["body"], "0102");
    line.check().await;
}

#[tokio::test]
async fn who_has_opted_out_is_reported_on_without_a_reference() {
    let line = Line::new().await;
    line.run(&["opt-out", "add", &line.id(), "31655500011"]).ok();
    let mut esme = line.bound(BindKind::Transceiver);
    let id = esme.send(&reported("31655500011", "Hi")).expect("it is taken");
    let receipt = receipt::read(&esme.get()).expect("a receipt");
    let said = (receipt.id, receipt.state, receipt.error.as_deref());
    assert_eq!(said, (id, MessageState::Undeliverable, Some("103")));
    line.check().await;
}

#[tokio::test]
async fn nobody_may_have_a_reserved_originator_here_either() {
    let serves = [&SERVES[..], &["--reserved-originators", "The Bank,Bakery"]].concat();
    let line = Line::with(&serves, &[]).await;
    let mut esme = line.bound(BindKind::Transceiver);
    for (name, answer) in [("Bakery", false), ("THE BANK", false), ("Bakeries", true)] {
        let message = ShortMessage { source: Address::alphanumeric(name), ..text("31655500011", "Hi") };
        let expected = if answer { Ok(()) } else { Err(Status::INVALID_SOURCE) };
        assert_eq!(esme.send(&message).map(drop), expected, "{name}");
    }
}

#[tokio::test]
async fn a_users_throughput_is_kept_to() {
    let line = Line::with(&SERVES, &["--throughput", "5"]).await;
    let (mut one, mut two) = (line.bound(BindKind::Transmitter), line.bound(BindKind::Transmitter));
    let begun = Instant::now();
    let tokens: Vec<u64> = (0..20).map(|_| one.submit(&text("31655500011", "Hi"))).collect();
    let other: Vec<u64> = (0..20).map(|_| two.submit(&text("31655500011", "Hi"))).collect();
    let mut answers: Vec<_> = tokens.iter().map(|token| one.answer(*token)).collect();
    answers.extend(other.iter().map(|token| two.answer(*token)));
    let taken = answers.iter().filter(|answer| answer.is_ok()).count();
    let throttled = answers.iter().filter(|answer| **answer == Err(Status::THROTTLED)).count();
    let most = 5 + 1 + usize::try_from(begun.elapsed().as_millis() / 200).expect("a count");
    assert!(taken >= 5 && taken <= most && taken + throttled == 40, "{taken} of {most}, {throttled}");
    assert_eq!(line.view("/messages?limit=1")["totalCount"], taken);
}

#[tokio::test]
async fn a_window_makes_wait_and_refuses_nothing() {
    let line = Line::with(&SERVES, &["--window", "2"]).await;
    let mut esme = line.bound(BindKind::Transceiver);
    esme.acknowledges = false;
    let tokens: Vec<u64> = (0..300)
        .map(|number| {
            esme.submit(&if number < 10 { reported("31655500011", "Hi") } else { text("99900000000", "Hi") })
        })
        .collect();
    let ids: BTreeSet<String> =
        tokens.iter().map(|token| esme.answer(*token).expect("it is taken")).collect();
    assert_eq!(ids.len(), 300);
    // No more than two receipts are on their way at a time.
    let mut told = 0;
    while told < 10 {
        let begun = Instant::now();
        let mut got = Vec::new();
        while got.is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(10), "{told} receipts and no more");
            for _ in 0..10 {
                esme.step();
            }
            got = esme.acknowledge(Ok(()));
        }
        assert!(got.len() <= 2, "{}", got.len());
        told += got.len();
    }
    line.check().await;
}

#[tokio::test]
async fn what_waited_is_told_after_the_next_bind() {
    let line = Line::new().await;
    let mut transmitter = line.bound(BindKind::Transmitter);
    let ids: BTreeSet<String> =
        (0..5).map(|_| transmitter.send(&reported("31655500011", "Hi")).expect("it is taken")).collect();
    assert!(transmitter.got_within(Duration::from_millis(500)).is_empty(), "a transmitter gets nothing");
    // The first receiver goes away without a word.
    let mut rude = line.bound(BindKind::Receiver);
    rude.acknowledges = false;
    rude.get();
    drop(rude);
    let mut receiver = line.bound(BindKind::Receiver);
    let told: BTreeSet<String> =
        receiver.get_all(5).into_iter().map(|it| it.receipted_message_id.expect("an id")).collect();
    assert_eq!(told, ids);
    // One that cannot take it now gets it again.
    receiver.acknowledges = false;
    let id = transmitter.send(&reported("31655500011", "Hi")).expect("it is taken");
    receiver.get();
    drop(receiver);
    let mut busy = line.bound(BindKind::Receiver);
    busy.acknowledges = false;
    for _ in 0..2 {
        let begun = Instant::now();
        let refused = loop {
            busy.step();
            let refused = busy.acknowledge(Err(Status::RECEIVER_TEMPORARY_ERROR));
            if !refused.is_empty() || begun.elapsed() > Duration::from_secs(9) {
                break refused;
            }
        };
        assert_eq!(refused.len(), 1);
        assert_eq!(refused[0].receipted_message_id.as_ref(), Some(&id));
    }
    line.check().await;
}

#[tokio::test]
async fn who_may_no_longer_be_bound_is_unbound_within_a_second() {
    let line = Line::new().await;
    let id = line.id();
    let ended = |esme: &mut Esme| {
        within_a_second(true, || {
            esme.step();
            esme.ended.is_some()
        });
    };
    let mut esme = line.bound(BindKind::Transceiver);
    let sent = esme.send(&reported("99900000002", "Hi")).expect("it is taken");
    line.run(&["account", "suspend", &id]).ok();
    ended(&mut esme);
    let refused = || {
        Esme::connect(line.server.smpp_address()).bind(BindKind::Transceiver, &line.system_id, &line.password)
    };
    assert_eq!(refused(), Err(Status::BIND_FAILED));
    line.run(&["account", "resume", &id]).ok();
    let mut esme = line.bound(BindKind::Transceiver);
    assert_eq!(esme.get().receipted_message_id, Some(sent), "its receipts waited");

    let handle = line.partner["id"].to_string();
    line.run(&["account", "suspend", &handle]).ok();
    ended(&mut esme);
    line.run(&["account", "resume", &handle]).ok();

    // One that answers nothing is cut off just the same.
    let mut esme = line.bound(BindKind::Transceiver);
    esme.acknowledges = false;
    esme.send(&reported("31655500011", "Hi")).expect("it is taken");
    esme.get();
    line.run(&["smpp-user", "revoke", &line.system_id]).ok();
    ended(&mut esme);
    assert_eq!(refused(), Err(Status::INVALID_PASSWORD));
    line.run(&["smpp-user", "revoke", &line.system_id]).fails("is no SMPP user that works");
    let again = make_user(&line.home, &id, &[&line.system_id]);
    assert_eq!(refused(), Err(Status::INVALID_PASSWORD), "the old password is void");
    let mut esme = Esme::connect(line.server.smpp_address());
    assert_eq!(
        esme.bind(BindKind::Transceiver, &line.system_id, again["password"].as_str().expect("a password")),
        Ok(())
    );
    line.run(&["account", "delete", &id]).ok();
    ended(&mut esme);
    line.check().await;
}

#[tokio::test]
async fn a_test_user_is_answered_and_nothing_else() {
    let line = Line::with(&SERVES, &["--test"]).await;
    let mut esme = line.bound(BindKind::Transceiver);
    let id = esme.send(&reported("31655500011", "Hi")).expect("it is taken");
    assert_eq!(id.len(), 32);
    assert_eq!(esme.send(&text("", "Hi")), Err(Status::INVALID_DESTINATION));
    let part = |number| ShortMessage {
        esm_class: EsmClass(0x40),
        octets: vec![5, 0, 3, 9, 2, number, b'x'],
        ..reported("31655500011", "")
    };
    assert!(esme.send(&part(1)).is_ok() && esme.send(&part(2)).is_ok());
    assert!(esme.got_within(Duration::from_millis(700)).is_empty());
    assert_eq!(line.view("/messages")["totalCount"], 0);
    assert_eq!(line.balance(), ("10.00".into(), "0.00".into()));
    // What a live user of the name has begun it does not complete.
    line.run(&["smpp-user", "revoke", &line.system_id]).ok();
    let live = make_user(&line.home, &line.id(), &[&line.system_id]);
    let again = |made: &Value| {
        let mut esme = Esme::connect(line.server.smpp_address());
        let password = made["password"].as_str().expect("a password");
        within_a_second(Ok(()), || esme.bind(BindKind::Transceiver, &line.system_id, password));
        esme
    };
    assert!(again(&live).send(&part(1)).is_ok());
    line.run(&["smpp-user", "revoke", &line.system_id]).ok();
    let test = make_user(&line.home, &line.id(), &[&line.system_id, "--test"]);
    assert!(again(&test).send(&part(2)).is_ok());
    assert_eq!(line.view("/messages")["totalCount"], 0);
    line.check().await;
}

#[tokio::test]
async fn received_messages_go_to_the_accounts_own_user_only() {
    let line = Line::new().await;
    let other = child(&line.home, &line.partner, "Wool Shop");
    let stranger = make_user(&line.home, &other["id"].to_string(), &["woolshop"]);
    let url = format!("inbound-url=smpp:{}", line.system_id);
    line.run(&["account", "set", &other["id"].to_string(), &url]).fails("is no SMPP user of this account");
    line.run(&["account", "set", &line.id(), "inbound-url=smpp:nobody"])
        .fails("is no SMPP user of this account");
    line.run(&["account", "set", &line.id(), &url]).ok();
    std::thread::sleep(Duration::from_secs(1));

    let mut esme = line.bound(BindKind::Transceiver);
    let mut nosy = Esme::connect(line.server.smpp_address());
    nosy.bind(BindKind::Transceiver, "woolshop", stranger["password"].as_str().expect("a password"))
        .expect("bound");
    let from = Address::international("31655500099");
    esme.send(&ShortMessage { source: from.clone(), ..text("99900501000", "Is it ready?") })
        .expect("it is taken");
    let got = esme.get();
    assert_eq!((got.source.value.as_str(), got.destination.value.as_str()), ("99900501000", "31655500099"));
    assert_eq!(
        (got.octets.as_slice(), got.esm_class, got.data_coding),
        (&b"Re: Is it ready?"[..], EsmClass(0), 0)
    );

    let long: String = "Привет ".repeat(14);
    let octets = smpp::encoding::Coding::Ucs2.write(&long);
    esme.send(&ShortMessage {
        source: from,
        data_coding: 8,
        is_payload: true,
        octets,
        ..text("99900501000", "")
    })
    .expect("it is taken");
    let parts: Vec<_> = esme
        .get_all(2)
        .iter()
        .map(|it| {
            assert_eq!(it.data_coding, 8);
            smpp::concatenation::Part::of(it).expect("a part")
        })
        .collect();
    let joined = smpp::concatenation::join(&parts, smpp::encoding::DefaultAlphabet::Gsm7);
    assert_eq!(joined[0].content, smpp::encoding::Content::Text(format!("Re: {long}")));
    assert!(nosy.got_within(Duration::from_millis(300)).is_empty(), "somebody else's");
    line.check().await;
}

#[tokio::test]
async fn a_receipt_finds_its_way_from_any_server() {
    // On PostgreSQL two processes; on SQLite one that listens twice.
    let twice = [
        "--listen",
        "127.0.0.1:0",
        "--smpp-listen",
        "127.0.0.1:0,127.0.0.1:0",
        "--no-demo",
        "--no-rate-limit",
    ];
    let line = Line::with(&twice, &[]).await;
    let second = is_postgres().then(|| Server::with(&line.home, &SERVES));
    let here = line.server.smpp_addresses("smpp", 2);
    let there = second.as_ref().map_or(here[1], Server::smpp_address);
    let mut transmitter = line.bound_at(here[0], BindKind::Transmitter);
    let mut receiver = line.bound_at(there, BindKind::Receiver);
    let send = |esme: &mut Esme| -> BTreeSet<String> {
        let tokens: Vec<u64> = (0..50).map(|_| esme.submit(&reported("31655500011", "Hi"))).collect();
        tokens.iter().map(|token| esme.answer(*token).expect("it is taken")).collect()
    };
    let told = |all: Vec<ShortMessage>| -> BTreeSet<String> {
        all.into_iter().map(|it| it.receipted_message_id.expect("an id")).collect()
    };
    let ids = send(&mut transmitter);
    assert_eq!(told(receiver.get_all(50)), ids);
    // Two receivers share the work; when one goes the other has all of it.
    let mut beside = line.bound_at(here[0], BindKind::Receiver);
    receiver.unbind();
    receiver.end();
    let ids = send(&mut transmitter);
    assert_eq!(told(beside.get_all(50)), ids);
    // Parts of one message may come over several servers.
    let mut sender = line.bound_at(there, BindKind::Transmitter);
    let part = |number| ShortMessage {
        esm_class: EsmClass(0x40),
        octets: vec![5, 0, 3, 9, 2, number, b'a' + number],
        ..reported("31655500011", "")
    };
    let first = sender.send(&part(2)).expect("it is kept");
    let last = transmitter.send(&part(1)).expect("it is taken");
    assert_eq!(told(beside.get_all(2)), BTreeSet::from([first, last.clone()]));
    assert_eq!(line.view(&format!("/messages/{last}"))["body"], "bc");
    line.check().await;
}

#[tokio::test]
async fn tls_has_the_certificate_of_https() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path());
    authority.sign();
    let options = authority.options();
    let mut serves =
        vec!["--listen", "127.0.0.1:0", "--smpp-tls-listen", "127.0.0.1:0", "--no-demo", "--no-rate-limit"];
    serves.extend(options.iter().map(String::as_str));
    let line = Line::with(&serves, &[]).await;
    let address = line.server.smpp_addresses("smpps", 1)[0];
    let mut esme = Esme::encrypted(address, &authority);
    esme.bind(BindKind::Transceiver, &line.system_id, &line.password).expect("it is bound");
    let tokens: Vec<u64> = (0..100).map(|_| esme.submit(&reported("31655500011", "Hi"))).collect();
    let ids: BTreeSet<_> = tokens.iter().map(|token| esme.answer(*token).expect("it is taken")).collect();
    let told: BTreeSet<_> =
        esme.get_all(100).into_iter().map(|it| it.receipted_message_id.expect("an id")).collect();
    assert_eq!(told, ids);
    line.check().await;
}

#[tokio::test]
async fn a_stop_unbinds_and_loses_nothing() {
    let mut line = Line::new().await;
    let mut esme = line.bound(BindKind::Transceiver);
    let tokens: Vec<u64> = (0..200).map(|_| esme.submit(&reported("99900000000", "Hi"))).collect();
    esme.step();
    line.server.signal("TERM");
    let mut taken = BTreeSet::new();
    for token in tokens {
        match esme.answer(token) {
            Ok(id) => _ = taken.insert(id),
            Err(status) => assert_eq!(status, Status::THROTTLED, "later"),
        }
    }
    assert_eq!(esme.end(), End::UnboundByPeer);
    assert!(line.server.wait().success(), "{}", line.server.log());
    line.check().await;
    // Whatever was answered is there, and told in the end.
    let told = esme.got_within(Duration::ZERO).into_iter().filter_map(|it| it.receipted_message_id);
    let mut told: BTreeSet<String> = told.collect();
    line.server = Server::with(&line.home, &SERVES);
    let mut esme = line.bound(BindKind::Receiver);
    while told.len() < taken.len() {
        told.insert(esme.get().receipted_message_id.expect("an id"));
    }
    assert!(taken.is_subset(&told));
    line.check().await;
}

#[tokio::test]
async fn a_stop_waits_for_nobody_for_ever() {
    let mut line = Line::new().await;
    let mut esme = line.bound(BindKind::Transceiver);
    esme.acknowledges = false;
    let id = esme.send(&reported("31655500011", "Hi")).expect("it is taken");
    esme.get();
    // From here on it says nothing, not even to the unbind.
    let begun = Instant::now();
    line.server.signal("TERM");
    assert!(line.server.wait().success(), "{}", line.server.log());
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    line.server = Server::with(&line.home, &SERVES);
    let mut esme = line.bound(BindKind::Receiver);
    assert_eq!(esme.get().receipted_message_id, Some(id), "in doubt, so told again");
    line.check().await;
}

#[tokio::test]
async fn users_are_made_imported_listed_and_checked() {
    let line = Line::new().await;
    let id = line.id();
    let import = |system_id: &str, password: &str| {
        finish_with(
            rookery(&line.home).args(["smpp-user", "import", &id, system_id, "--window", "7", "--json"]),
            password,
        )
    };
    let made = import("old-one", "s3cr3t.!\n").json();
    let names: Vec<&String> = made.as_object().expect("an object").keys().collect();
    assert_eq!(
        names,
        [
            "systemId",
            "account",
            "mode",
            "binds",
            "window",
            "throughput",
            "createdDatetime",
            "revokedDatetime"
        ]
    );
    assert_eq!(
        (&made["mode"], &made["window"], &made["throughput"]),
        (&json!("live"), &json!(7), &Value::Null)
    );
    assert_eq!(
        Esme::connect(line.server.smpp_address()).bind(BindKind::Receiver, "old-one", "s3cr3t.!"),
        Ok(())
    );
    import("old-one", "another1").fails("is in use already");
    import("short", "12345").fails("6 to 64");
    import("has blank", "123456").fails("letters, digits");
    line.run(&["smpp-user", "create", &id, "--binds", "0"]).fails("binds is invalid");
    line.run(&["smpp-user", "create", "1"]).fails("account not found");
    assert_eq!(line.password.len(), 8);
    assert!(line.system_id.starts_with(&id) && line.system_id.len() <= 15, "{}", line.system_id);
    let partners = line.partner["id"].to_string();
    line.run(&["smpp-user", "create", &partners, "old-one"]).fails("is in use already");
    line.run(&["smpp-user", "revoke", "old-one"]).ok();
    line.run(&["smpp-user", "create", &partners, "old-one"]).fails("is in use already");
    let listed = line.run(&["smpp-user", "list", &id, "--json"]).json();
    let of = |listed: &Value| {
        listed
            .as_array()
            .expect("a list")
            .iter()
            .map(|it| it["systemId"].as_str().expect("a name").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(of(&listed), [line.system_id.clone(), "old-one".into()]);
    assert!(listed[1]["revokedDatetime"].is_string());
    let shown = line.run(&["smpp-user", "list", &id]).ok().stdout;
    assert!(shown.lines().count() == 2 && !shown.contains(&line.password), "{shown}");

    let doctor = |command: &mut std::process::Command| -> Value {
        let found: Value =
            serde_json::from_str(&crate::support::process::finish(command).stdout).expect("JSON");
        found
            .as_array()
            .expect("a list")
            .iter()
            .find(|it| it["subject"] == "smpp")
            .expect("a finding")
            .clone()
    };
    assert_eq!(doctor(rookery(&line.home).args(["doctor", "--json"]))["result"], "look");
    let listening =
        doctor(rookery(&line.home).args(["doctor", "--json"]).env("ROOKERY_SMPP_LISTEN", "127.0.0.1:2775"));
    assert_eq!(
        (&listening["result"], &listening["text"]),
        (&json!("ok"), &json!("1 users may bind at 127.0.0.1:2775"))
    );
}
