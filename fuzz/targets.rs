//! What the fuzz targets do with their input. `cargo test` runs the same functions over the corpus, so that what was
//! found once stays found.

use smpp::concatenation::{self, Part};
use smpp::encoding::{Coding, Content, DefaultAlphabet};
use smpp::receipt::{self, IdForm, Receipt};
use smpp::session::{Bind, BindKind, Event, Options, Queried, Query, Session};
use smpp::short_message::{Address, EsmClass, MessageState, ShortMessage};
use smpp::status::Status;

/// A target: a function of whatever there is.
type Target = fn(&[u8]);

/// Each target with the name of its corpus.
pub(crate) const ALL: [(&str, Target); 3] = [("session", session), ("receipt", receipt), ("text", text)];

const DEFAULTS: [DefaultAlphabet; 4] =
    [DefaultAlphabet::Gsm7, DefaultAlphabet::Gsm7Packed, DefaultAlphabet::Latin1, DefaultAlphabet::Ascii];

/// A peer that says anything: the first octet chooses the role and how the rest is cut.
pub(crate) fn session(input: &[u8]) {
    let Some((choice, octets)) = input.split_first() else { return };
    let options = Options { window: 4, inbound: 4, takes_queries: true, ..Options::default() };
    let mut session: Session<u8> = if choice & 1 == 0 {
        let mut session = Session::esme(options, 0);
        let sent = session.bind(&Bind::new(BindKind::Transceiver, "rookery", "secret"), 0);
        assert!(sent.is_ok());
        if choice & 2 != 0 {
            session.received(&[0, 0, 0, 17, 0x80, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 0], 0);
            assert!(session.bound().is_some());
        }
        session
    } else {
        Session::smsc(options, 0)
    };
    let piece = usize::from(choice >> 4).max(1);
    let mut now = 0;
    for octets in octets.chunks(if piece == 1 { octets.len().max(1) } else { piece }) {
        now += 1_000_000;
        session.received(octets, now);
        settle(&mut session, now);
    }
    // It comes to its end by time alone.
    for _ in 0..1_000 {
        let Some(deadline) = session.deadline() else { break };
        now = now.max(deadline);
        session.tick(now);
        settle(&mut session, now);
    }
    if !session.is_ended() {
        session.closed();
        settle(&mut session, now);
    }
    assert!(session.deadline().is_none() && session.free() == 0);
}

/// Does with each event what a program would, and sends as much as it may.
fn settle(session: &mut Session<u8>, now: i64) {
    while let Some(event) = session.event() {
        match event {
            Event::BindRequested(_) => {
                let is_accepted = session.accept_bind("server", now);
                assert!(is_accepted || session.is_ended());
            }
            Event::Received { handle, message, .. } => {
                look(&message);
                let is_answered = if message.octets.len() % 2 == 0 {
                    session.accept(handle, "1")
                } else {
                    session.refuse(handle, Status::SYSTEM_ERROR)
                };
                assert!(is_answered || session.is_ended());
            }
            Event::QueryRequested { handle, query } => {
                assert!(!session.accept(handle, "1"));
                let queried = Queried { id: query.id, done: None, state: MessageState::Enroute, error: 0 };
                assert!(session.tell(handle, &queried) || session.is_ended());
            }
            _ => {}
        }
    }
    let query = Query { id: "1".to_owned(), source: Address::default() };
    if session.free() > 2 {
        let _ = session.query(1, &query, now);
    }
    let message = ShortMessage { octets: b"Hello".to_vec(), ..ShortMessage::default() };
    while session.free() > 0 && session.in_flight() < 3 {
        let sent = session.submit(0, &message, now).or_else(|_| session.deliver(0, &message, now));
        assert!(sent.is_ok());
    }
    session.written(session.output().len());
}

fn look(message: &ShortMessage) {
    for default in DEFAULTS {
        let content = concatenation::content(message, default);
        let parts: Vec<Part> = Part::of(message).into_iter().collect();
        assert!(concatenation::join(&parts, default).is_empty());
        if let (Content::Text(text), None) = (&content, message.sar) {
            assert!(text.chars().count() <= message.octets.len() * 8 / 7);
        }
    }
    let _ = receipt::read(message);
}

/// The text of a receipt.
pub(crate) fn receipt(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Some(receipt) = Receipt::from_text(&text) {
        assert!(!receipt.id.is_empty());
        for form in [IdForm::Text, IdForm::Decimal, IdForm::Hexadecimal] {
            let id = receipt::normalise(&receipt.id, form);
            assert_eq!(receipt::normalise(&id, IdForm::Text), id);
        }
        let again = Receipt::from_text(&receipt.to_text());
        assert!(again.is_some_and(|again| again.id == receipt.id && again.error == receipt.error));
    }
    let message = ShortMessage {
        octets: input.to_vec(),
        esm_class: EsmClass::DELIVERY_RECEIPT,
        ..ShortMessage::default()
    };
    let _ = receipt::read(&message);
}

/// Content in any coding: the first two octets are `data_coding` and `esm_class`.
pub(crate) fn text(input: &[u8]) {
    let [data_coding, esm_class, octets @ ..] = input else { return };
    let message = ShortMessage {
        data_coding: *data_coding,
        esm_class: EsmClass(*esm_class),
        octets: octets.to_vec(),
        ..ShortMessage::default()
    };
    look(&message);
    for default in DEFAULTS {
        let coding = Coding::of(*data_coding, default);
        if let Content::Text(text) = coding.read(octets, 0) {
            // What was read is written and read again the same, but for what the coding lacks.
            let again = coding.write(&text);
            if !text.contains(char::REPLACEMENT_CHARACTER) && coding != Coding::Gsm7Packed {
                assert_eq!(coding.read(&again, 0), Content::Text(text));
            }
        }
    }
}
