//! Sessions in both roles, against each other and against frames made by hand. Time is what each test says it is.

use crate::link::{
    BOUND, Frame, SECOND, bound, bound_as, carry, deliver, drain, esme, message, options, pair, request,
    respond, smsc, text,
};
use smpp::session::{Answer, Arrival, Bind, BindKind, End, Event, NotSent, Options, Session};
use smpp::short_message::{MessageState, NetworkError, Place, ShortMessage, Unwritable};
use smpp::status::Status;
use std::time::Duration;

fn ended(events: &[Event<u32>]) -> Option<(End, &[u32])> {
    events.iter().find_map(|event| match event {
        Event::Ended { reason, in_doubt } => Some((*reason, in_doubt.as_slice())),
        _ => None,
    })
}

#[test]
fn a_bind_says_version_34_and_what_it_is_for() {
    for (kind, command) in [(BindKind::Receiver, 1), (BindKind::Transmitter, 2), (BindKind::Transceiver, 9)] {
        let mut session = esme();
        session.bind(&Bind::new(kind, "rookery", "secret"), 0).unwrap();
        let frames = Frame::all(session.output());
        assert_eq!((frames[0].command, frames[0].sequence), (command, 1));
        assert_eq!(frames[0].body, b"rookery\0secret\0\0\x34\0\0\0");
        session.written(session.output().len());
        session.received(&respond(command, 0, 1, b"carrier\0\x02\x10\x00\x01\x34"), 0);
        assert_eq!(
            session.event(),
            Some(Event::Bound { system_id: "carrier".into(), interface_version: Some(0x34) })
        );
        assert_eq!(session.free(), if kind.transmits() { 10 } else { 0 });
        assert_eq!(session.bound(), Some(kind));
    }
}

#[test]
fn a_bind_that_is_refused_or_unanswered_ends_the_session() {
    for (answer, status) in
        [(respond(9, 0x0E, 1, b""), 0x0E), (Frame::bytes(0x8000_0000, 0x0D, 1, b""), 0x0D)]
    {
        let mut session = esme();
        session.bind(&Bind::new(BindKind::Transceiver, "rookery", "wrong"), 0).unwrap();
        session.received(&answer, 0);
        assert_eq!(ended(&drain(&mut session)), Some((End::BindRefused(Status(status)), &[][..])));
        assert!(session.is_ended() && session.deadline().is_none());
    }
    let mut session = esme();
    session.bind(&Bind::new(BindKind::Transceiver, "rookery", "secret"), 5).unwrap();
    assert_eq!(session.deadline(), Some(5 + 10 * SECOND));
    session.tick(4 + 10 * SECOND);
    assert!(!session.is_ended());
    session.tick(5 + 10 * SECOND);
    assert_eq!(ended(&drain(&mut session)), Some((End::BindTimeout, &[][..])));
    // And a server that nobody binds to.
    let mut session = smsc();
    assert_eq!(session.deadline(), Some(10 * SECOND));
    session.tick(10 * SECOND);
    assert_eq!(ended(&drain(&mut session)), Some((End::BindTimeout, &[][..])));
}

#[test]
fn what_cannot_be_said_in_a_bind_is_not_sent() {
    let mut session = esme();
    for bind in [
        Bind::new(BindKind::Transceiver, "x".repeat(65), ""),
        Bind::new(BindKind::Transceiver, "a\0b", ""),
        Bind::new(BindKind::Transceiver, "a", "é"),
    ] {
        assert_eq!(session.bind(&bind, 0), Err(NotSent::Bind));
    }
    assert!(session.output().is_empty());
    // Longer than the standard's eight: some carriers have such.
    session.bind(&Bind::new(BindKind::Transceiver, "rookery", "a-long-password"), 0).unwrap();
    assert_eq!(session.bind(&Bind::new(BindKind::Transceiver, "rookery", ""), 0), Err(NotSent::NotBound));
}

#[test]
fn a_server_takes_or_refuses_a_bind() {
    let mut session = smsc();
    let asked = b"rookery\0a-long-password\0VMA\0\x34\x01\x01^49\0";
    session.received(&request(9, 7, asked), 0);
    let Some(Event::BindRequested(bind)) = session.event() else { panic!("no bind") };
    assert_eq!((bind.system_id.as_str(), bind.password.as_str()), ("rookery", "a-long-password"));
    assert_eq!(
        (bind.system_type.as_str(), bind.range.value.as_str(), bind.interface_version),
        ("VMA", "^49", 0x34)
    );
    assert!(!format!("{bind:?}").contains("a-long"));
    // Until it is decided, and afterwards, nothing else binds.
    session.received(&request(1, 8, asked), 0);
    assert!(session.accept_bind("rookery-test-server", 0));
    assert!(!session.accept_bind("again", 0));
    session.received(&request(2, 9, asked), 0);
    let frames = Frame::take(&mut session);
    let said: Vec<_> = frames.iter().map(|it| (it.command, it.status, it.sequence)).collect();
    assert_eq!(said, [(0x8000_0001, 5, 8), (0x8000_0009, 0, 7), (0x8000_0002, 5, 9)]);
    assert_eq!(frames[1].body, b"rookery-test-se\0\x02\x10\x00\x01\x34");

    let mut session = smsc();
    session.received(&request(9, 7, asked), 0);
    assert!(session.refuse_bind(Status::INVALID_PASSWORD));
    let frames = Frame::take(&mut session);
    assert_eq!((frames[0].status, frames[0].body.len()), (0x0E, 0));
    let events = drain(&mut session);
    assert_eq!(ended(&events), Some((End::BindRefused(Status::INVALID_PASSWORD), &[][..])));
}

#[test]
fn the_window_bounds_what_is_unanswered() {
    let mut session = bound();
    for token in 0..10 {
        session.submit(token, &message(), 0).unwrap();
    }
    assert_eq!((session.free(), session.in_flight()), (0, 10));
    assert_eq!(session.submit(10, &message(), 0), Err(NotSent::Full));
    let frames = Frame::take(&mut session);
    assert_eq!(frames.len(), 10);
    // In any order; each frees its slot.
    for (at, status) in [(7, 0x00), (2, 0x58), (0, 0x14), (9, 0x45), (1, 0x0000_0500)] {
        session.received(&respond(4, status, frames[at].sequence, b"abc\0"), 0);
    }
    assert_eq!(session.free(), 5);
    let answers: Vec<_> = drain(&mut session)
        .into_iter()
        .map(|event| match event {
            Event::Answered { token, answer, is_late: false } => (token, answer),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        answers,
        [
            (7, Answer::Accepted { id: "abc".into() }),
            (2, Answer::Throttled { status: Status::THROTTLED }),
            (0, Answer::Throttled { status: Status::QUEUE_FULL }),
            (9, Answer::Refused { status: Status::SUBMIT_FAILED }),
            (1, Answer::Refused { status: Status(0x500) }),
        ]
    );
}

#[test]
fn an_answer_may_have_any_body_or_none() {
    for (frame, expected) in [
        (respond(4, 0, BOUND, b""), Answer::Accepted { id: String::new() }),
        (respond(4, 0, BOUND, b"no-end"), Answer::Accepted { id: "no-end".into() }),
        (respond(4, 0, BOUND, b"caf\xE9\0\x00\x1D"), Answer::Accepted { id: "caf?".into() }),
        (respond(4, 0, BOUND, &[b'1'; 300]), Answer::Accepted { id: "1".repeat(300) }),
        (respond(4, 0x58, BOUND, b"\0"), Answer::Throttled { status: Status::THROTTLED }),
        (Frame::bytes(0x8000_0000, 3, BOUND, b""), Answer::Refused { status: Status::INVALID_COMMAND_ID }),
        (Frame::bytes(0x8000_0000, 0x58, BOUND, b""), Answer::Throttled { status: Status::THROTTLED }),
        (Frame::bytes(0x8000_0000, 0, BOUND, b""), Answer::Refused { status: Status::UNKNOWN_ERROR }),
        (Frame::bytes(0x8000_0103, 0, BOUND, b"d\0"), Answer::Accepted { id: "d".into() }),
    ] {
        let mut session = bound();
        session.submit(5, &message(), 0).unwrap();
        session.received(&frame, 0);
        assert_eq!(session.event(), Some(Event::Answered { token: 5, answer: expected, is_late: false }));
    }
}

#[test]
fn answers_to_nothing_are_counted() {
    let mut session = bound();
    session.received(&respond(4, 0, 99, b"x\0"), 0);
    session.received(&Frame::bytes(0x8000_0000, 3, 0, b""), 0);
    session.received(&respond(6, 0, 1, b""), 0);
    assert_eq!((session.counters().unmatched, session.event()), (3, None));
    assert!(Frame::take(&mut session).is_empty() && !session.is_ended());
}

#[test]
fn what_is_not_answered_in_time_is_in_doubt_and_frees_its_slot() {
    let mut session = bound();
    session.submit(1, &message(), 0).unwrap();
    session.submit(2, &message(), SECOND).unwrap();
    assert_eq!(session.deadline(), Some(10 * SECOND));
    session.tick(10 * SECOND);
    assert_eq!(drain(&mut session), [Event::Overdue { token: 1 }]);
    assert_eq!((session.in_flight(), session.deadline()), (1, Some(11 * SECOND)));
    session.tick(20 * SECOND);
    assert_eq!(drain(&mut session), [Event::Overdue { token: 2 }]);
    assert_eq!(session.free(), 10);
    // The answer comes after all.
    session.received(&respond(4, 0, BOUND, b"late\0"), 21 * SECOND);
    let answer = Answer::Accepted { id: "late".into() };
    assert_eq!(session.event(), Some(Event::Answered { token: 1, answer, is_late: true }));
    // What was told as in doubt is not told again.
    session.closed();
    assert_eq!(drain(&mut session), [Event::Ended { reason: End::Closed, in_doubt: vec![] }]);
}

#[test]
fn late_answers_are_remembered_for_one_window() {
    let mut session = bound();
    for token in 0..30 {
        let now = i64::from(token) * 11 * SECOND;
        session.tick(now);
        session.received(&request(0x15, 1, b""), now);
        session.submit(token, &message(), now).unwrap();
    }
    session.tick(30 * 11 * SECOND);
    let before = drain(&mut session);
    assert_eq!(before.iter().filter(|event| matches!(event, Event::Overdue { .. })).count(), 30);
    session.received(&respond(4, 0, BOUND, b"x\0"), 330 * SECOND);
    assert_eq!((session.counters().unmatched, session.event()), (1, None));
    session.received(&respond(4, 0, BOUND + 29, b"x\0"), 330 * SECOND);
    assert!(matches!(session.event(), Some(Event::Answered { token: 29, is_late: true, .. })));
}

#[test]
fn the_end_names_what_is_in_doubt_in_order() {
    let mut session = bound();
    for token in [30, 10, 20] {
        session.submit(token, &message(), 0).unwrap();
    }
    session.received(&respond(4, 0, BOUND + 1, b"x\0"), 0);
    drain(&mut session);
    session.closed();
    session.closed();
    assert_eq!(drain(&mut session), [Event::Ended { reason: End::Closed, in_doubt: vec![30, 20] }]);
    assert_eq!(session.submit(1, &message(), 0), Err(NotSent::NotBound));
    session.received(&request(0x15, 1, b""), 0);
    session.tick(i64::MAX);
    session.unbind(i64::MAX);
    assert_eq!((session.event(), session.deadline()), (None, None));
}

#[test]
fn silence_is_asked_about_and_then_given_up() {
    let mut session = bound();
    assert_eq!(session.deadline(), Some(30 * SECOND));
    session.tick(29 * SECOND);
    assert!(session.output().is_empty());
    for attempt in 0..3 {
        session.tick((30 + attempt * 10) * SECOND);
        let frames = Frame::take(&mut session);
        assert_eq!((frames.len(), frames[0].command), (1, 0x15), "{attempt}");
        assert_eq!(session.deadline(), Some((40 + attempt * 10) * SECOND));
    }
    session.tick(60 * SECOND);
    assert_eq!(ended(&drain(&mut session)), Some((End::Silent, &[][..])));

    // Asked before its time.
    let mut session = bound();
    session.enquire(5 * SECOND);
    assert_eq!(Frame::take(&mut session)[0].command, 0x15);
    assert_eq!(session.deadline(), Some(15 * SECOND));
    let mut session = esme();
    session.enquire(5 * SECOND);
    assert!(session.output().is_empty());

    // Any word will do.
    let mut session = bound();
    session.tick(30 * SECOND);
    session.received(&respond(0x15, 0, 2, b""), 31 * SECOND);
    assert_eq!((session.event(), session.deadline()), (None, Some(61 * SECOND)));
}

#[test]
fn questions_are_answered_in_every_state() {
    for mut session in [smsc(), bound(), esme()] {
        session.received(&request(0x15, 77, b""), 0);
        let frames = Frame::take(&mut session);
        assert_eq!((frames[0].command, frames[0].status, frames[0].sequence), (0x8000_0015, 0, 77));
    }
}

#[test]
fn unbinding_waits_for_what_is_unanswered() {
    let mut session = bound();
    session.submit(1, &message(), 0).unwrap();
    session.received(&deliver(5, &[]), 0);
    let Some(Event::Received { handle, .. }) = session.event() else { panic!("no message") };
    Frame::take(&mut session);
    session.unbind(0);
    assert!(session.output().is_empty());
    assert_eq!((session.free(), session.submit(2, &message(), 0)), (0, Err(NotSent::NotBound)));
    // Nothing more is taken.
    session.received(&deliver(6, &[]), 0);
    assert_eq!(Frame::take(&mut session)[0].status, 0x64);
    session.received(&respond(4, 0, BOUND, b"id\0"), 0);
    assert!(matches!(session.event(), Some(Event::Answered { token: 1, .. })));
    assert!(session.output().is_empty());
    assert!(session.accept(handle, ""));
    assert!(session.deadline() <= Some(0), "it is to be called at once");
    session.tick(1);
    let frames = Frame::take(&mut session);
    assert_eq!(frames.iter().map(|it| it.command).collect::<Vec<_>>(), [0x8000_0005, 6]);
    session.received(&respond(6, 0, frames[1].sequence, b""), 2);
    assert_eq!(ended(&drain(&mut session)), Some((End::Unbound, &[][..])));

    // Who closes the connection instead of answering means the same.
    let mut session = bound();
    session.unbind(0);
    session.closed();
    assert_eq!(ended(&drain(&mut session)), Some((End::Unbound, &[][..])));

    // Who never answers is not waited for.
    let mut session = bound();
    session.submit(1, &message(), 0).unwrap();
    Frame::take(&mut session);
    session.unbind(SECOND);
    session.tick(11 * SECOND);
    assert_eq!(Frame::take(&mut session)[0].command, 6);
    session.tick(21 * SECOND);
    assert_eq!(
        drain(&mut session),
        [Event::Overdue { token: 1 }, Event::Ended { reason: End::Unbound, in_doubt: vec![] }]
    );
}

#[test]
fn the_other_side_may_unbind() {
    let mut session = bound();
    session.received(&request(6, 9, b""), 0);
    let frames = Frame::take(&mut session);
    assert_eq!((frames[0].command, frames[0].sequence), (0x8000_0006, 9));
    assert_eq!(ended(&drain(&mut session)), Some((End::UnboundByPeer, &[][..])));

    // What it has is waited for, and the unbind answered last; or closed, or after the time that an answer may take.
    for end in ["answer", "time", "close"] {
        let mut session = bound();
        session.submit(4, &message(), 0).unwrap();
        Frame::take(&mut session);
        session.received(&request(6, 9, b""), 0);
        assert!(session.output().is_empty() && session.free() == 0 && !session.is_ended());
        let in_doubt: &[u32] = match end {
            "answer" => {
                session.received(&respond(4, 0, BOUND, b"id\0"), 1);
                &[]
            }
            "time" => {
                session.tick(10 * SECOND);
                &[]
            }
            _ => {
                session.closed();
                &[4]
            }
        };
        let frames = Frame::take(&mut session);
        assert_eq!(
            frames.iter().map(|it| it.command).collect::<Vec<_>>(),
            [0x8000_0006][..in_doubt.is_empty().into()]
        );
        assert_eq!(ended(&drain(&mut session)), Some((End::UnboundByPeer, in_doubt)), "{end}");
    }
}

#[test]
fn what_came_before_an_unbind_is_answered_before_it() {
    let (_, mut session) = pair(options());
    session.deliver(1, &message(), 0).unwrap();
    Frame::take(&mut session);
    let mut submit = deliver(4, b"one");
    submit[7] = 4;
    session.received(&[submit, request(6, 9, b"")].concat(), 0);
    let events = drain(&mut session);
    let [Event::Received { handle, .. }] = events.as_slice() else { panic!("{events:?}") };
    assert!(session.output().is_empty(), "the message comes first");
    assert!(session.accept(*handle, "id"));
    session.tick(0);
    let frames = Frame::take(&mut session);
    assert_eq!(frames.iter().map(|it| it.command).collect::<Vec<_>>(), [0x8000_0004, 0x8000_0006]);
    // Who leaves does not say any more whether it has what was delivered.
    assert_eq!(ended(&drain(&mut session)), Some((End::UnboundByPeer, &[1][..])));
}

#[test]
fn a_stranger_cannot_make_it_keep_much() {
    let mut session = smsc();
    session.received(&[0, 0, 4, 1, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1], 0);
    assert_eq!(ended(&drain(&mut session)), Some((End::Framing { length: 1_025 }, &[][..])));
    let (_, mut session) = pair(options());
    session.received(&[0, 1, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 1], 0);
    assert!(!session.is_ended(), "a long message of somebody who is bound");
}

#[test]
fn a_message_is_answered_when_the_caller_says_so() {
    let mut session = bound();
    session.received(&[deliver(5, b"one"), deliver(6, b"two")].concat(), 0);
    let handles: Vec<_> = drain(&mut session)
        .into_iter()
        .map(|event| match event {
            Event::Received { handle, arrival: Arrival::Deliver, .. } => handle,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(session.output().is_empty());
    assert!(session.refuse(handles[1], Status::RECEIVER_TEMPORARY_ERROR));
    assert!(session.accept(handles[0], ""));
    assert!(!session.accept(handles[0], "") && !session.refuse(handles[1], Status::OK));
    let frames = Frame::take(&mut session);
    let said: Vec<_> =
        frames.iter().map(|it| (it.command, it.status, it.sequence, it.body.as_slice())).collect();
    assert_eq!(said, [(0x8000_0005, 0x64, 6, &b"\0"[..]), (0x8000_0005, 0, 5, &b"\0"[..])]);
    // A handle of another session on the same carrier answers nothing.
    let mut next = bound();
    next.received(&deliver(5, b"other"), 0);
    assert!(!next.accept(handles[0], "") && next.output().is_empty());
}

#[test]
fn no_more_wait_for_their_answers_than_was_said() {
    let mut session = bound_as(BindKind::Transceiver, Options { inbound: 2, ..options() });
    for sequence in 0..5 {
        session.received(&deliver(sequence, b"x"), 0);
    }
    let frames = Frame::take(&mut session);
    assert_eq!(frames.iter().map(|it| it.status).collect::<Vec<_>>(), [0x64; 3]);
    assert_eq!((drain(&mut session).len(), session.counters().turned_away), (2, 3));
}

#[test]
fn a_body_that_cannot_be_read_does_not_end_the_bind() {
    let mut session = bound();
    for (frame, command, status) in [
        (request(5, 1, b""), 0x8000_0005, 0x02),
        (request(5, 2, b"only a string without end"), 0x8000_0005, 0x02),
        (request(5, 3, b"\0\x01\x01\x31\0\x01\x01\x32\0\0\0\0\0\0\0\0\0\0\x7Fshort"), 0x8000_0005, 0x01),
        (request(0x103, 4, b"\0"), 0x8000_0103, 0x02),
        (request(0x0999, 5, b"whatever"), 0x8000_0000, 0x03),
        (request(4, 6, b""), 0x8000_0004, 0x03),
        (request(3, 7, b""), 0x8000_0003, 0x03),
        (request(9, 8, b"a\0b\0c\0\x34\0\0\0"), 0x8000_0009, 0x03),
    ] {
        session.received(&frame, 0);
        let said = Frame::take(&mut session);
        assert_eq!((said.len(), said[0].command, said[0].status), (1, command, status));
    }
    session.received(&request(0x102, 9, b"junk"), 0);
    session.received(&request(0x0B, 9, b"junk"), 0);
    assert!(session.output().is_empty());
    let seen = drain(&mut session);
    assert!(seen.iter().all(|event| matches!(event, Event::Malformed { .. })), "{seen:?}");
    assert_eq!((session.counters().malformed, session.counters().ignored), (6, 3));
    assert_eq!((session.free(), session.is_ended()), (10, false));
}

#[test]
fn a_length_that_none_can_have_ends_the_session() {
    for length in [0u32, 15, 70_001, u32::MAX, u32::from_be_bytes(*b"GET ")] {
        let mut session = bound();
        session.submit(3, &message(), 0).unwrap();
        Frame::take(&mut session);
        let mut frame = request(0x15, 1, b"");
        frame[..4].copy_from_slice(&length.to_be_bytes());
        session.received(&frame, 0);
        let said = Frame::take(&mut session);
        assert_eq!((said[0].command, said[0].status), (0x8000_0000, 2));
        assert_eq!(ended(&drain(&mut session)), Some((End::Framing { length }, &[3][..])));
    }
}

#[test]
fn who_asks_and_does_not_read_is_left() {
    let mut session = bound_as(BindKind::Transceiver, Options { largest_output: 1_000, ..options() });
    for sequence in 0..100 {
        session.received(&request(0x15, sequence, b""), 0);
    }
    assert_eq!(ended(&drain(&mut session)), Some((End::Stalled, &[][..])));
}

#[test]
fn messages_go_only_the_way_of_the_bind() {
    let mut session = bound_as(BindKind::Receiver, options());
    assert_eq!(session.submit(1, &message(), 0), Err(NotSent::NotBound));
    assert_eq!(session.deliver(1, &message(), 0), Err(NotSent::NotBound));
    let mut server = smsc();
    server.received(&request(4, 1, b""), 0);
    assert_eq!(Frame::take(&mut server)[0].status, 4);
    server.received(&request(1, 2, b"rookery\0\0\0\x34\0\0\0"), 0);
    server.event();
    server.accept_bind("server", 0);
    Frame::take(&mut server);
    server.received(&request(4, 3, b""), 0);
    assert_eq!(Frame::take(&mut server)[0].status, 4);
    server.deliver(1, &message(), 0).unwrap();
}

/// Makes a message wrong in one way.
type Change = fn(&mut ShortMessage);

#[test]
fn a_message_that_does_not_fit_is_not_sent() {
    let mut session = bound();
    let changes: [(Change, Unwritable); 7] = [
        (|it| it.source.value = "1".repeat(21), Unwritable::Address),
        (|it| it.destination.value = "é".into(), Unwritable::Address),
        (|it| it.service_type = "123456".into(), Unwritable::ServiceType),
        (|it| it.validity = Some(smpp::moment::Moment::Absolute(-1)), Unwritable::Moment),
        (|it| it.receipted_message_id = Some("1".repeat(65)), Unwritable::MessageId),
        (|it| it.octets = vec![0; 65_536], Unwritable::Octets),
        (|it| it.parameters = vec![(0x1400, vec![0; 65_536])], Unwritable::Octets),
    ];
    for (change, expected) in changes {
        let mut wrong = message();
        change(&mut wrong);
        assert_eq!(session.submit(1, &wrong, 0), Err(NotSent::Unwritable(expected)));
    }
    assert!(session.output().is_empty() && session.in_flight() == 0);
    let mut right = message();
    right.source.value = "1".repeat(20);
    right.octets = vec![0; 65_535];
    session.submit(1, &right, 0).unwrap();
}

#[test]
fn an_id_that_does_not_fit_is_our_error() {
    let (mut client, mut server) = pair(options());
    client.submit(1, &message(), 0).unwrap();
    carry(&mut client, &mut server, 0);
    let Some(Event::Received { handle, .. }) = server.event() else { panic!("no message") };
    assert!(server.accept(handle, &"1".repeat(65)));
    carry(&mut client, &mut server, 0);
    let answer = Answer::Refused { status: Status::SYSTEM_ERROR };
    assert_eq!(client.event(), Some(Event::Answered { token: 1, answer, is_late: false }));
}

#[test]
fn everything_about_a_message_arrives() {
    let full = ShortMessage {
        service_type: "CMT".into(),
        protocol_id: 0x7F,
        priority: 2,
        schedule: Some(smpp::moment::Moment::Absolute(1_795_338_358_000_000)),
        validity: Some(smpp::moment::Moment::Relative(Duration::from_hours(72))),
        replaces: true,
        prepared: 9,
        sar: Some(Place { reference: 513, total: 3, number: 2 }),
        receipted_message_id: Some("abc".into()),
        message_state: Some(MessageState::Rejected),
        network_error: Some(NetworkError { network: 3, code: 0x1234 }),
        user_message_reference: Some(0xFFFE),
        parameters: vec![(0x1400, vec![1, 2, 3]), (0x0426, vec![1]), (0x1401, vec![])],
        ..text("Hello")
    };
    for (is_payload, length) in [(false, 5), (false, 254), (true, 5), (true, 60_000)] {
        let full = ShortMessage { is_payload, octets: vec![b'x'; length], ..full.clone() };
        let (mut client, mut server) = pair(options());
        client.submit(1, &full, 0).unwrap();
        server.deliver(2, &full, 0).unwrap();
        carry(&mut client, &mut server, 0);
        for session in [&mut client, &mut server] {
            let Some(Event::Received { message, .. }) = session.event() else { panic!("no message") };
            assert!(*message == full);
        }
    }
    // Longer than the field, the content moves by itself.
    let (mut client, mut server) = pair(options());
    client.submit(1, &ShortMessage { octets: vec![b'x'; 255], ..text("") }, 0).unwrap();
    carry(&mut client, &mut server, 0);
    let Some(Event::Received { message, .. }) = server.event() else { panic!("no message") };
    assert_eq!((message.is_payload, message.octets.len()), (true, 255));
    let shown = format!("{message:?} {full:?}");
    assert!(
        !shown.contains("31612345678") && !shown.contains("xxx") && !shown.contains("120, 120"),
        "{shown}"
    );
}

#[test]
fn numbers_of_requests_wrap() {
    let mut session: Session<u32> = Session::esme(Options { first_sequence: 0x7FFF_FFFE, ..options() }, 0);
    session.bind(&Bind::new(BindKind::Transceiver, "r", ""), 0).unwrap();
    session.received(&respond(9, 0, 0x7FFF_FFFE, b"\0"), 0);
    Frame::take(&mut session);
    drain(&mut session);
    for token in 0..3 {
        session.submit(token, &message(), 0).unwrap();
    }
    let sequences: Vec<_> = Frame::take(&mut session).iter().map(|it| it.sequence).collect();
    assert_eq!(sequences, [0x7FFF_FFFF, 1, 2]);
}
