//! What is written is read by the types of another implementation, and what it writes is read here.

use crate::link::{Frame, bound, deliver, drain, message, options, pair, request};
use proptest::prelude::*;
use rusmpp::decode::DecodeWithLength;
use rusmpp::encode::{Encode, Length};
use rusmpp::pdus::{BindTransceiver, DeliverSm, SubmitSm};
use rusmpp::tlvs::{MessageDeliveryRequestTlvValue as Delivered, TlvValue};
use rusmpp::types::{AnyOctetString, COctetString, OctetString};
use rusmpp::values::{InterfaceVersion, MessagePayload, Npi, ServiceType, Ton, UserMessageReference};
use rusmpp::{Command, CommandStatus, Pdu};
use smpp::moment::Moment;
use smpp::receipt::{self, Receipt};
use smpp::session::{Bind, BindKind, Event, Session};
use smpp::short_message::{
    Address, EsmClass, MessageState, NetworkError, Place, RegisteredDelivery, ShortMessage,
};

fn read(octets: &[u8]) -> Command {
    let mut rest = bytes::BytesMut::from(&octets[4..]);
    let (command, size) = Command::decode(&mut rest, octets.len() - 4).unwrap();
    assert_eq!(size, octets.len() - 4);
    command
}

fn written(pdu: impl Into<Pdu>, sequence: u32) -> Vec<u8> {
    let command = Command::new(CommandStatus::EsmeRok, sequence, pdu);
    let mut octets = u32::try_from(command.length() + 4).unwrap().to_be_bytes().to_vec();
    octets.resize(4 + command.length(), 0);
    command.encode(&mut octets[4..]);
    octets
}

fn string<const MAX: usize>(text: &str) -> COctetString<1, MAX> {
    COctetString::from_string(text.to_owned()).unwrap()
}

#[test]
fn a_bind_is_the_same_to_both() {
    let mut session: Session<u32> = Session::esme(options(), 0);
    session.bind(&Bind::new(BindKind::Transceiver, "rookery", "secret"), 0).unwrap();
    let command = read(session.output());
    let expected = BindTransceiver::builder()
        .system_id(string("rookery"))
        .password(string("secret"))
        .interface_version(InterfaceVersion::Smpp3_4)
        .build();
    assert_eq!(command.pdu(), Some(&Pdu::BindTransceiver(expected.clone())));
    assert_eq!(written(expected, 1), session.output());
}

#[test]
fn answers_are_the_same_to_both() {
    let (mut client, mut server) = pair(options());
    client.submit(1, &message(), 0).unwrap();
    server.deliver(1, &message(), 0).unwrap();
    crate::link::carry(&mut client, &mut server, 0);
    for (session, id) in [(&mut client, ""), (&mut server, "42")] {
        let Some(Event::Received { handle, .. }) = session.event() else { panic!("no message") };
        assert!(session.accept(handle, id));
        let command = read(session.output());
        match command.pdu() {
            Some(Pdu::DeliverSmResp(answer)) => assert_eq!(answer.message_id().as_str(), id),
            Some(Pdu::SubmitSmResp(answer)) => assert_eq!(answer.message_id().as_str(), id),
            other => panic!("{other:?}"),
        }
    }
}

/// A `deliver_sm` with one parameter more, written by hand.
fn with_parameter(tag: u16, length: u16, value: &[u8]) -> Vec<u8> {
    let mut frame = deliver(1, b"id:9 stat:DELIVRD");
    frame.splice(..16, []);
    // Marked as a receipt: behind the three strings and their kinds.
    frame[22] = 4;
    frame.extend(tag.to_be_bytes());
    frame.extend(length.to_be_bytes());
    frame.extend(value);
    request(5, 1, &frame)
}

fn received(frame: &[u8]) -> ShortMessage {
    let mut session = bound();
    session.received(frame, 0);
    match session.event() {
        Some(Event::Received { message, .. }) => *message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_the_other_refuses_is_read_all_the_same() {
    let refused = |frame: &[u8]| {
        let mut rest = bytes::BytesMut::from(&frame[4..]);
        !Command::decode(&mut rest, frame.len() - 4).is_ok_and(|(_, size)| size == frame.len() - 4)
    };
    // The id in a receipt's parameter without its zero: behind it the frame ends.
    let frame = with_parameter(0x001E, 2, b"9A");
    assert!(refused(&frame));
    assert_eq!(received(&frame).receipted_message_id.as_deref(), Some("9A"));
    // A parameter of another length than it can have, and one that is cut off.
    for frame in [
        with_parameter(0x0427, 2, &[0, 2]),
        with_parameter(0x020C, 1, &[7]),
        with_parameter(0x1400, 9, b"cut"),
    ] {
        assert!(refused(&frame));
        let message = received(&frame);
        assert!(message.message_state.is_none() && message.sar.is_none());
        assert_eq!(receipt::read(&message).unwrap().id, "9");
    }
    // Strings longer than the standard's, with other characters, and a time that is none.
    let mut body = b"\0\x05\0Caf\xE9\0\x01\x01".to_vec();
    body.extend([b'3'; 30]);
    body.extend(b"\0\0\0\x002026-11-22\0\0\0\0\0\0\x02Hi");
    let frame = request(5, 1, &body);
    assert!(refused(&frame));
    let message = received(&frame);
    assert_eq!((message.source.value.as_str(), message.destination.value.len()), ("Caf?", 20));
    assert_eq!((message.octets.as_slice(), message.schedule), (&b"Hi"[..], Some(Moment::Unreadable)));
    // One without tenths and offset is read, though the codec does not take it.
    let body = b"\0\x05\0A\0\x01\x013161\0\0\0\x00261122090558\0soon\0\0\0\0\0\x02Hi";
    let frame = request(5, 1, body);
    assert!(refused(&frame));
    let message = received(&frame);
    assert_eq!(message.schedule, Some(Moment::Absolute(1_795_338_358_000_000)));
    assert_eq!((message.validity, message.octets.as_slice()), (Some(Moment::Unreadable), &b"Hi"[..]));
}

#[test]
fn a_receipt_written_here_is_one_to_both() {
    let receipt = Receipt {
        id: "77".into(),
        state: MessageState::Undeliverable,
        error: Some("027".into()),
        network_error: Some(NetworkError { network: 3, code: 27 }),
        submitted: Some(0),
        done: Some(0),
        text: String::new(),
    };
    let (mut client, mut server) = pair(options());
    server.deliver(1, &receipt.message(&message()), 0).unwrap();
    let command = read(server.output());
    let Some(Pdu::DeliverSm(deliver)) = command.pdu() else { panic!("{command:?}") };
    let values: Vec<_> = deliver.tlvs().iter().filter_map(|tlv| tlv.value().cloned()).collect();
    assert!(values.contains(&TlvValue::ReceiptedMessageId(string("77"))), "{values:?}");
    assert!(
        values.contains(&TlvValue::MessageState(rusmpp::values::MessageState::Undeliverable)),
        "{values:?}"
    );
    crate::link::carry(&mut client, &mut server, 0);
    let Some(Event::Received { message, .. }) = client.event() else { panic!("no message") };
    let read = receipt::read(&message).unwrap();
    assert_eq!((read.id, read.state, read.error), (receipt.id, receipt.state, receipt.error));
}

fn addresses() -> impl Strategy<Value = Address> {
    (0u8..8, 0u8..20, "[ -~]{0,20}").prop_map(|(ton, npi, value)| Address {
        ton: smpp::short_message::Ton(ton),
        npi: smpp::short_message::Npi(npi),
        value,
    })
}

proptest! {
    #[test]
    fn submissions_mean_the_same_to_both(
        source in addresses(), destination in addresses(), octets in prop::collection::vec(any::<u8>(), 0..254),
        esm_class in any::<u8>(), data_coding in any::<u8>(), registered in any::<u8>(), protocol_id in any::<u8>(),
        sar in proptest::option::of((any::<u16>(), any::<u8>(), any::<u8>())), reference in proptest::option::of(any::<u16>()),
    ) {
        let sent = ShortMessage {
            source, destination, octets, protocol_id, data_coding,
            esm_class: EsmClass(esm_class),
            registered_delivery: RegisteredDelivery(registered),
            sar: sar.map(|(reference, total, number)| Place { reference, total, number }),
            user_message_reference: reference,
            ..ShortMessage::default()
        };
        let mut session = bound();
        session.submit(1, &sent, 0).unwrap();
        let command = read(session.output());
        let Some(Pdu::SubmitSm(pdu)) = command.pdu() else { panic!("{command:?}") };
        prop_assert_eq!(u8::from(pdu.source_addr_ton), sent.source.ton.0);
        prop_assert_eq!(u8::from(pdu.dest_addr_npi), sent.destination.npi.0);
        prop_assert_eq!(pdu.source_addr.as_str(), &sent.source.value);
        prop_assert_eq!(pdu.destination_addr.as_str(), &sent.destination.value);
        prop_assert_eq!(u8::from(pdu.esm_class), esm_class);
        prop_assert_eq!(u8::from(pdu.data_coding), data_coding);
        prop_assert_eq!(u8::from(pdu.registered_delivery), registered);
        prop_assert_eq!(pdu.short_message().as_ref(), &sent.octets[..]);
        let said = pdu.tlvs().iter().filter_map(|tlv| tlv.value()).any(|value| match value {
            TlvValue::UserMessageReference(value) => Some(value.value) == reference,
            _ => false,
        });
        prop_assert_eq!(said, reference.is_some());

        // The same frame, as it reaches a server, and as the other side writes it.
        let (mut client, mut server) = pair(options());
        client.submit(1, &sent, 0).unwrap();
        crate::link::carry(&mut client, &mut server, 0);
        let Some(Event::Received { message, .. }) = server.event() else { panic!("no message") };
        prop_assert!(*message == sent);
        let (_, mut server) = pair(options());
        server.received(&written(pdu.clone(), 5), 0);
        let Some(Event::Received { message, .. }) = server.event() else { panic!("no message") };
        prop_assert!(*message == sent);
    }

    #[test]
    fn deliveries_of_the_other_are_read(
        from in "[0-9]{0,20}", content in prop::collection::vec(any::<u8>(), 0..254), payload in prop::collection::vec(any::<u8>(), 1..2000),
        id in "[0-9a-f]{0,64}", state in 0u8..20, number in any::<u16>(), unknown in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let pdu = DeliverSm::builder()
            .service_type(ServiceType::new(string("CMT")))
            .source_addr_ton(Ton::International)
            .source_addr_npi(Npi::Isdn)
            .source_addr(string(&from))
            .esm_class(4.into())
            .short_message(OctetString::from_vec(content.clone()).unwrap())
            .tlvs(vec![
                Delivered::ReceiptedMessageId(string(&id)),
                Delivered::MessageState(state.into()),
                Delivered::UserMessageReference(UserMessageReference::new(number)),
                Delivered::MessagePayload(MessagePayload::new(AnyOctetString::from_vec(payload.clone()))),
                Delivered::Other { tag: 0x1500.into(), value: AnyOctetString::from_vec(unknown.clone()) },
            ])
            .build();
        let message = received(&written(pdu, 5));
        prop_assert_eq!(&message.source, &Address::international(from));
        prop_assert_eq!(&message.octets, if content.is_empty() { &payload } else { &content });
        prop_assert_eq!(message.receipted_message_id, Some(id));
        prop_assert_eq!(message.message_state, Some(MessageState::from(state)));
        prop_assert_eq!(message.user_message_reference, Some(number));
        prop_assert_eq!(message.parameters, [(0x1500, unknown)]);
    }
}

#[test]
fn the_other_reads_all_that_a_session_writes() {
    let (mut client, mut server) = pair(options());
    client.submit(1, &message(), 0).unwrap();
    client.unbind(0);
    client.tick(100_000_000);
    server.tick(31_000_000);
    for session in [&mut client, &mut server] {
        let octets = session.output().to_vec();
        let frames = Frame::take(session);
        let mut rest = octets.as_slice();
        for frame in &frames {
            let (one, others) = rest.split_at(16 + frame.body.len());
            assert_eq!(u32::from(read(one).id()), frame.command);
            rest = others;
        }
        assert!(!frames.is_empty());
        drain(session);
    }
    // And a message without any content.
    let mut session = bound();
    session.submit(1, &ShortMessage::default(), 0).unwrap();
    assert_eq!(read(session.output()).pdu(), Some(&Pdu::SubmitSm(plain())));
}

fn plain() -> SubmitSm {
    // Its own default says that the message is an acknowledgement.
    SubmitSm::builder().esm_class(0.into()).registered_delivery(0.into()).build()
}
