//! Questions about messages, in both roles, and as the codec's own types have them.

use crate::link::{Frame, SECOND, bound_as, carry, drain, options, pair, request, respond, text};
use rusmpp::Pdu;
use rusmpp::decode::DecodeWithLength;
use smpp::moment::Moment;
use smpp::session::{BindKind, End, Event, NotSent, Options, Queried, Query, QueryAnswer, Session};
use smpp::short_message::{Address, MessageState, Unwritable};
use smpp::status::Status;

/// 2026-11-22T09:05:00Z.
const THEN: i64 = 1_795_338_300_000_000;

fn query(id: &str) -> Query {
    Query { id: id.into(), source: Address::alphanumeric("Rookery") }
}

fn told() -> (Session<u32>, Session<u32>) {
    pair(Options { takes_queries: true, ..options() })
}

fn pdu(octets: &[u8]) -> Pdu {
    let mut rest = bytes::BytesMut::from(&octets[4..]);
    let length = rest.len();
    let (command, _) = rusmpp::Command::decode(&mut rest, length).unwrap();
    command.pdu().unwrap().clone()
}

#[test]
fn a_question_is_answered_with_what_is_known() {
    let (mut client, mut server) = told();
    client.query(1, &query("00AbC-1"), 0).unwrap();
    let Pdu::QuerySm(said) = pdu(client.output()) else { panic!("no question") };
    assert_eq!((said.message_id.as_ref(), said.source_addr.as_ref()), (&b"00AbC-1\0"[..], &b"Rookery\0"[..]));
    assert_eq!((u8::from(said.source_addr_ton), u8::from(said.source_addr_npi)), (5, 0));
    carry(&mut client, &mut server, 1);
    let Some(Event::QueryRequested { handle, query: asked }) = server.event() else { panic!("no question") };
    assert_eq!(asked, query("00AbC-1"));
    let known = Queried {
        id: asked.id,
        done: Some(Moment::Absolute(THEN)),
        state: MessageState::Undeliverable,
        error: 27,
    };
    assert!(!server.accept(handle, "1"), "a question is no message");
    assert!(server.tell(handle, &known));
    assert!(!server.tell(handle, &known) && !server.refuse(handle, Status::QUERY_FAILED));
    let Pdu::QuerySmResp(said) = pdu(server.output()) else { panic!("no answer") };
    assert_eq!((said.final_date.as_str(), said.error_code), ("261122090500000+", 27));
    assert_eq!(u8::from(said.message_state), 5);
    carry(&mut client, &mut server, 2);
    assert_eq!(drain(&mut client), [Event::Queried { token: 1, answer: QueryAnswer::Known(known) }]);
    assert_eq!(client.in_flight(), 0);
}

#[test]
fn what_is_said_otherwise_is_told_as_it_is() {
    for (status, body, expected) in [
        (0x67, &b""[..], QueryAnswer::Refused { status: Status::QUERY_FAILED }),
        (0x58, b"", QueryAnswer::Throttled { status: Status::THROTTLED }),
        (0, b"77", QueryAnswer::Refused { status: Status::UNKNOWN_ERROR }),
        (0, b"77\0\0", QueryAnswer::Refused { status: Status::UNKNOWN_ERROR }),
    ] {
        let mut client = bound_as(BindKind::Transmitter, options());
        client.query(7, &query("77"), 0).unwrap();
        let sequence = Frame::take(&mut client)[0].sequence;
        client.received(&respond(3, status, sequence, body), 1);
        assert_eq!(drain(&mut client), [Event::Queried { token: 7, answer: expected }], "{status} {body:?}");
    }
    // Without the last field, and with a time that is none.
    let mut client = bound_as(BindKind::Transmitter, options());
    client.query(7, &query("77"), 0).unwrap();
    let sequence = Frame::take(&mut client)[0].sequence;
    client.received(&respond(3, 0, sequence, b"77\0soon\0\x02"), 1);
    let [Event::Queried { answer: QueryAnswer::Known(known), .. }] = &drain(&mut client)[..] else {
        panic!("not known")
    };
    assert_eq!(
        (known.state, known.done, known.error),
        (MessageState::Delivered, Some(Moment::Unreadable), 0)
    );
}

#[test]
fn a_question_without_an_answer_is_told_once_and_leaves_nothing_in_doubt() {
    let (mut client, _) = told();
    client.query(1, &query("1"), 0).unwrap();
    client.submit(2, &text("Hello"), 0).unwrap();
    let sequence = Frame::take(&mut client)[0].sequence;
    client.tick(10 * SECOND);
    let nothing = |token| Event::Queried { token, answer: QueryAnswer::Nothing };
    assert_eq!(drain(&mut client), [nothing(1), Event::Overdue { token: 2 }]);
    client.received(&respond(3, 0, sequence, b"1\0\0\x02\0"), 10 * SECOND);
    assert_eq!(drain(&mut client), [], "it comes too late");
    client.query(3, &query("1"), 10 * SECOND).unwrap();
    client.submit(4, &text("Hello"), 10 * SECOND).unwrap();
    client.closed();
    assert_eq!(drain(&mut client), [nothing(3), Event::Ended { reason: End::Closed, in_doubt: vec![4] }]);
}

#[test]
fn questions_take_slots_of_the_window_and_need_a_transmitter() {
    let mut client = bound_as(BindKind::Transceiver, Options { window: 1, ..options() });
    client.query(1, &query("1"), 0).unwrap();
    assert_eq!(client.submit(2, &text("Hello"), 0), Err(NotSent::Full));
    let mut receiver = bound_as(BindKind::Receiver, options());
    assert_eq!(receiver.query(1, &query("1"), 0), Err(NotSent::NotBound));
    let (mut client, mut server) = told();
    assert_eq!(client.query(1, &query(&"1".repeat(65)), 0), Err(NotSent::Unwritable(Unwritable::MessageId)));
    assert_eq!(server.query(1, &query("1"), 0), Err(NotSent::NotBound));
    assert_eq!(client.in_flight(), 0);
}

#[test]
fn who_tells_nothing_refuses_and_what_cannot_be_read_does_not_end_the_bind() {
    let asked = request(3, 9, b"77\0\x05\0Rookery\0");
    let status = |session: &mut Session<u32>| {
        let frames = Frame::take(session);
        (frames[0].command, frames[0].status, frames[0].body.len())
    };
    let (_, mut silent) = pair(options());
    silent.received(&asked, 0);
    assert_eq!((status(&mut silent), drain(&mut silent)), ((0x8000_0003, 3, 0), vec![]));
    let (_, mut server) = told();
    server.received(&request(3, 9, b"77"), 0);
    assert_eq!(status(&mut server), (0x8000_0003, 2, 0));
    assert!(matches!(drain(&mut server)[..], [Event::Malformed { command: 3, .. }]));
    server.received(&asked, 0);
    let Some(Event::QueryRequested { handle, .. }) = server.event() else { panic!("no question") };
    assert!(server.refuse(handle, Status::QUERY_FAILED));
    assert_eq!(status(&mut server), (0x8000_0003, 0x67, 0));
    // What a carrier may not ask.
    let mut client = bound_as(BindKind::Transceiver, Options { takes_queries: true, ..options() });
    client.received(&asked, 0);
    assert_eq!(status(&mut client), (0x8000_0003, 3, 0));
    // From a receiver.
    let mut server: Session<u32> = Session::smsc(Options { takes_queries: true, ..options() }, 0);
    server.received(&request(1, 1, b"rookery\0secret\0\0\x34\0\0\0"), 0);
    assert!(matches!(server.event(), Some(Event::BindRequested(_))));
    assert!(server.accept_bind("carrier", 0));
    server.received(&asked, 0);
    assert_eq!(Frame::take(&mut server)[1].status, Status::INVALID_BIND_STATE.0);
}
