//! What is on the wire: frames read into our types and written from them.
//!
//! The layout of PDUs is the codec's (`rusmpp`), whose types stay in this file. It is strict, and carriers are not:
//! a receipt whose one parameter lacks its final zero must still be read. So a message that the codec refuses is read
//! once more without its parameters and with its strings brought into the form that the codec demands; the parameters
//! are then read one by one. Binds and the bodies of answers are read here, since passwords longer than the standard's
//! eight characters are in use, and since nothing about an answer may make it unreadable.

use crate::bind::{Bind, BindKind};
use crate::concatenation::SHORT_MESSAGE;
use crate::moment::Moment;
use crate::octets::{Octets, ascii};
use crate::query::{Queried, Query};
use crate::short_message::{
    Address, EsmClass, MessageState, NetworkError, Npi, Place, RegisteredDelivery, ShortMessage, Ton,
    Unwritable,
};
use crate::status::Status;
use bytes::{Bytes, BytesMut};
use rusmpp::encode::{Encode, Length};
use rusmpp::pdus::{DataSm, DeliverSm, SubmitSm};
use rusmpp::tlvs::{MessageDeliveryRequestTlvValue, MessageSubmissionRequestTlvValue, Tlv, TlvTag};
use rusmpp::types::{AnyOctetString, COctetString, EmptyOrFullCOctetString, OctetString};
use rusmpp::values::ServiceType;
use rusmpp::{Command, CommandStatus};

/// Octets before the body: length, command, status, sequence number.
pub(crate) const HEADER: usize = 16;

/// `command_id` (SMPP 3.4, 5.1.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct CommandId(pub(crate) u32);

impl CommandId {
    pub(crate) const BIND_RECEIVER: CommandId = CommandId(0x01);
    pub(crate) const BIND_TRANSMITTER: CommandId = CommandId(0x02);
    pub(crate) const QUERY_SM: CommandId = CommandId(0x03);
    pub(crate) const SUBMIT_SM: CommandId = CommandId(0x04);
    pub(crate) const DELIVER_SM: CommandId = CommandId(0x05);
    pub(crate) const UNBIND: CommandId = CommandId(0x06);
    pub(crate) const REPLACE_SM: CommandId = CommandId(0x07);
    pub(crate) const CANCEL_SM: CommandId = CommandId(0x08);
    pub(crate) const BIND_TRANSCEIVER: CommandId = CommandId(0x09);
    pub(crate) const OUTBIND: CommandId = CommandId(0x0B);
    pub(crate) const ENQUIRE_LINK: CommandId = CommandId(0x15);
    pub(crate) const SUBMIT_MULTI: CommandId = CommandId(0x21);
    pub(crate) const ALERT_NOTIFICATION: CommandId = CommandId(0x102);
    pub(crate) const DATA_SM: CommandId = CommandId(0x103);
    pub(crate) const GENERIC_NACK: CommandId = CommandId(0x8000_0000);
    const RESPONSE: u32 = 0x8000_0000;

    pub(crate) const fn response(self) -> CommandId {
        CommandId(self.0 | Self::RESPONSE)
    }

    pub(crate) fn is_response(self) -> bool {
        self.0 & Self::RESPONSE != 0
    }
}

/// The beginning of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) length: u32,
    pub(crate) command: CommandId,
    pub(crate) status: Status,
    pub(crate) sequence: u32,
}

impl Header {
    /// None as long as it is not all there.
    pub(crate) fn of(octets: &[u8]) -> Option<Header> {
        let (words, _) = octets.get(..HEADER)?.as_chunks::<4>();
        let [length, command, status, sequence] = words else { return None };
        Some(Header {
            length: u32::from_be_bytes(*length),
            command: CommandId(u32::from_be_bytes(*command)),
            status: Status(u32::from_be_bytes(*status)),
            sequence: u32::from_be_bytes(*sequence),
        })
    }
}

// ---- Reading.

/// Reads a bind. The three kinds have the same fields (SMPP 3.4, 4.1).
pub(crate) fn read_bind(kind: BindKind, body: &[u8]) -> Option<Bind> {
    let mut fields = Octets(body);
    let (system_id, password, system_type) = (fields.string()?, fields.string()?, fields.string()?);
    let (interface_version, ton, npi) = (fields.octet()?, fields.octet()?, fields.octet()?);
    Some(Bind {
        kind,
        system_id: ascii(system_id),
        password: ascii(password),
        system_type: ascii(system_type),
        interface_version,
        // Some leave the last field out.
        range: Address { ton: Ton(ton), npi: Npi(npi), value: ascii(fields.last_string()) },
    })
}

/// Reads the one field of the answers to binds and messages: the other side's name, or the message's. Empty if missing.
pub(crate) fn read_name(body: &[u8]) -> String {
    ascii(Octets(body).last_string())
}

/// Reads the version that a bind's answer says, if it says one.
pub(crate) fn read_version(body: &[u8]) -> Option<u8> {
    const SC_INTERFACE_VERSION: u16 = 0x0210;
    let mut fields = Octets(body);
    fields.last_string();
    while let Some((tag, value)) = fields.parameter() {
        if let (SC_INTERFACE_VERSION, [version]) = (tag, value) {
            return Some(*version);
        }
    }
    None
}

/// Reads a question.
pub(crate) fn read_query(body: &[u8]) -> Option<Query> {
    let mut fields = Octets(body);
    let (id, ton, npi) = (fields.string()?, fields.octet()?, fields.octet()?);
    let source = Address { ton: Ton(ton), npi: Npi(npi), value: ascii(fields.last_string()) };
    Some(Query { id: ascii(id), source })
}

/// Reads what is said to a question; none if it does not say a state.
pub(crate) fn read_queried(body: &[u8]) -> Option<Queried> {
    let mut fields = Octets(body);
    let (id, done) = (fields.string()?, fields.string()?);
    let state = fields.octet()?.into();
    // Some leave the last field out.
    let error = fields.octet().unwrap_or_default();
    Some(Queried { id: ascii(id), done: Moment::of(&ascii(done)), state, error })
}

/// Reads the message in a whole frame. What cannot be read is answered with a status.
pub(crate) fn read_message(header: Header, frame: &[u8]) -> Result<ShortMessage, Status> {
    let rest = frame.get(4..).unwrap_or_default();
    if let Some((message, parameters)) = decode(rest) {
        return Ok(with_parameters(message, parameters.iter().map(|(tag, value)| (*tag, value.as_slice()))));
    }
    let (mended, [schedule, validity], mut parameters) = mend(header.command, frame)?;
    let (message, _) = decode(&mended).ok_or(Status::INVALID_COMMAND_LENGTH)?;
    let message = ShortMessage { schedule, validity, ..message };
    Ok(with_parameters(message, std::iter::from_fn(|| parameters.parameter())))
}

/// A message without its parameters, and the parameters.
type Decoded = (ShortMessage, Vec<(u16, Vec<u8>)>);

/// What the codec makes of a frame without its length; none if it refuses.
fn decode(frame: &[u8]) -> Option<Decoded> {
    use rusmpp::decode::DecodeWithLength;
    let mut octets = BytesMut::from(frame);
    let (command, size) = Command::decode(&mut octets, frame.len()).ok()?;
    if size != frame.len() {
        return None;
    }
    let (message, tlvs) = match command.pdu()? {
        rusmpp::Pdu::SubmitSm(pdu) => (from_submit(pdu), pdu.tlvs()),
        rusmpp::Pdu::DeliverSm(pdu) => (from_deliver(pdu), pdu.tlvs()),
        rusmpp::Pdu::DataSm(pdu) => (from_data(pdu), pdu.tlvs()),
        _ => return None,
    };
    Some((message, tlvs.iter().map(parameter).collect::<Option<_>>()?))
}

/// A parameter's tag and octets. The codec reads fixed values without looking at their length: where the two differ it
/// has lost its place.
fn parameter(tlv: &Tlv) -> Option<(u16, Vec<u8>)> {
    let length = usize::from(tlv.value_length());
    let value = match tlv.value() {
        Some(value) if value.length() == length => encoded(value),
        None if length == 0 => Vec::new(),
        Some(_) | None => return None,
    };
    Some((tlv.tag().into(), value))
}

fn encoded(value: &impl Encode) -> Vec<u8> {
    let mut octets = vec![0; value.length()];
    value.encode(&mut octets);
    octets
}

fn text<const MIN: usize, const MAX: usize>(string: &COctetString<MIN, MAX>) -> String {
    ascii(Octets(string.as_ref()).last_string())
}

fn moment(string: &EmptyOrFullCOctetString<17>) -> Option<Moment> {
    Moment::of(string.as_str())
}

fn address(ton: rusmpp::values::Ton, npi: rusmpp::values::Npi, value: &COctetString<1, 21>) -> Address {
    Address { ton: Ton(ton.into()), npi: Npi(npi.into()), value: text(value) }
}

/// `submit_sm` and `deliver_sm` have the same fields under the same names.
macro_rules! message {
    ($pdu:ident) => {
        ShortMessage {
            service_type: text($pdu.service_type.value()),
            source: address($pdu.source_addr_ton, $pdu.source_addr_npi, &$pdu.source_addr),
            destination: address($pdu.dest_addr_ton, $pdu.dest_addr_npi, &$pdu.destination_addr),
            esm_class: EsmClass($pdu.esm_class.into()),
            protocol_id: $pdu.protocol_id,
            priority: $pdu.priority_flag.into(),
            schedule: moment(&$pdu.schedule_delivery_time),
            validity: moment(&$pdu.validity_period),
            registered_delivery: RegisteredDelivery($pdu.registered_delivery.into()),
            replaces: u8::from($pdu.replace_if_present_flag) == 1,
            data_coding: $pdu.data_coding.into(),
            prepared: $pdu.sm_default_msg_id,
            octets: $pdu.short_message().as_ref().to_vec(),
            ..ShortMessage::default()
        }
    };
}

fn from_submit(pdu: &SubmitSm) -> ShortMessage {
    message!(pdu)
}

fn from_deliver(pdu: &DeliverSm) -> ShortMessage {
    message!(pdu)
}

fn from_data(pdu: &DataSm) -> ShortMessage {
    ShortMessage {
        service_type: text(pdu.service_type.value()),
        source: address(pdu.source_addr_ton, pdu.source_addr_npi, &pdu.source_addr),
        destination: address(pdu.dest_addr_ton, pdu.dest_addr_npi, &pdu.destination_addr),
        esm_class: EsmClass(pdu.esm_class.into()),
        registered_delivery: RegisteredDelivery(pdu.registered_delivery.into()),
        data_coding: pdu.data_coding.into(),
        ..ShortMessage::default()
    }
}

const RECEIPTED_MESSAGE_ID: u16 = 0x001E;
const USER_MESSAGE_REFERENCE: u16 = 0x0204;
const SAR_MSG_REF_NUM: u16 = 0x020C;
const SAR_TOTAL_SEGMENTS: u16 = 0x020E;
const SAR_SEGMENT_SEQNUM: u16 = 0x020F;
const NETWORK_ERROR_CODE: u16 = 0x0423;
const MESSAGE_PAYLOAD: u16 = 0x0424;
const MESSAGE_STATE: u16 = 0x0427;

/// A message with what its parameters say. One of a length that it cannot have stays as it is.
fn with_parameters<'a>(
    mut message: ShortMessage,
    parameters: impl Iterator<Item = (u16, &'a [u8])>,
) -> ShortMessage {
    let (mut reference, mut total, mut number) = (None, None, None);
    for (tag, value) in parameters {
        match (tag, value) {
            (RECEIPTED_MESSAGE_ID, id) => {
                message.receipted_message_id = Some(ascii(Octets(id).last_string()));
            }
            (USER_MESSAGE_REFERENCE, [high, low]) => {
                message.user_message_reference = Some(u16::from_be_bytes([*high, *low]));
            }
            (SAR_MSG_REF_NUM, [high, low]) => reference = Some(u16::from_be_bytes([*high, *low])),
            (SAR_TOTAL_SEGMENTS, [octet]) => total = Some(*octet),
            (SAR_SEGMENT_SEQNUM, [octet]) => number = Some(*octet),
            (NETWORK_ERROR_CODE, [network, high, low]) => {
                let code = u16::from_be_bytes([*high, *low]);
                message.network_error = Some(NetworkError { network: *network, code });
            }
            (MESSAGE_STATE, [octet]) => message.message_state = Some(MessageState::from(*octet)),
            // It takes the place of the other field, which should be empty then; where it is not, it is all there is.
            (MESSAGE_PAYLOAD, payload) if message.octets.is_empty() => {
                message.octets = payload.to_vec();
                message.is_payload = true;
            }
            (MESSAGE_PAYLOAD, _) => {}
            (tag, value) => message.parameters.push((tag, value.to_vec())),
        }
    }
    if let (Some(reference), Some(total), Some(number)) = (reference, total, number) {
        message.sar = Some(Place { reference, total, number });
    }
    message
}

/// What [`mend`] answers: the frame, the two times, and the octets of the parameters.
type Mended<'a> = (Vec<u8>, [Option<Moment>; 2], Octets<'a>);

/// A frame, without its length, in the form that the codec demands: strings cut to what they may have, in ASCII; no
/// times, no parameters. Those stand beside it. A frame that ends before its fields do, or whose `sm_length` says more
/// than there is, is answered with a status.
fn mend(command: CommandId, frame: &[u8]) -> Result<Mended<'_>, Status> {
    const SERVICE_TYPE: usize = 5;
    const ADDRESS: usize = 20;
    let short = Status::INVALID_COMMAND_LENGTH;
    let mut fields = Octets(frame.get(HEADER..).ok_or(short)?);
    let mut mended = frame.get(4..HEADER).ok_or(short)?.to_vec();
    let string = |fields: &mut Octets<'_>, mended: &mut Vec<u8>, most: usize| {
        let string = fields.string()?;
        mended.extend(string.iter().take(most).map(|octet| if octet.is_ascii() { *octet } else { b'?' }));
        mended.push(0);
        Some(())
    };
    string(&mut fields, &mut mended, SERVICE_TYPE).ok_or(short)?;
    for _ in 0..2 {
        mended.extend(fields.take(2).ok_or(short)?);
        string(&mut fields, &mut mended, ADDRESS).ok_or(short)?;
    }
    if command == CommandId::DATA_SM {
        mended.extend(fields.take(3).ok_or(short)?);
        return Ok((mended, [None, None], fields));
    }
    mended.extend(fields.take(3).ok_or(short)?);
    let mut times = [None; 2];
    for time in &mut times {
        *time = Moment::of(&ascii(fields.string().ok_or(short)?));
        mended.push(0);
    }
    mended.extend(fields.take(4).ok_or(short)?);
    let length = fields.octet().ok_or(short)?;
    mended.push(length);
    mended.extend(fields.take(usize::from(length)).ok_or(Status::INVALID_MESSAGE_LENGTH)?);
    Ok((mended, times, fields))
}

// ---- Writing.

/// Writes a frame without a body: requests about the link, and answers that only have a status.
pub(crate) fn write_bare(command: CommandId, status: Status, sequence: u32, out: &mut Vec<u8>) {
    for word in [16, command.0, status.0, sequence] {
        out.extend(word.to_be_bytes());
    }
}

fn write(pdu: impl Into<rusmpp::Pdu>, status: Status, sequence: u32, out: &mut Vec<u8>) {
    let command = Command::new(CommandStatus::from(status.0), sequence, pdu);
    let (begin, length) = (out.len(), 4 + command.length());
    out.resize(begin + length, 0);
    let (size, rest) = out[begin..].split_at_mut(4);
    size.copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    command.encode(rest);
}

/// Writes a bind.
pub(crate) fn write_bind(bind: &Bind, sequence: u32, out: &mut Vec<u8>) {
    let begin = out.len();
    write_bare(bind.kind.command(), Status::OK, sequence, out);
    for string in [&bind.system_id, &bind.password, &bind.system_type] {
        out.extend(string.bytes());
        out.push(0);
    }
    out.extend([bind.interface_version, bind.range.ton.0, bind.range.npi.0]);
    out.extend(bind.range.value.bytes());
    out.push(0);
    let length = u32::try_from(out.len() - begin).unwrap_or(u32::MAX);
    if let Some(size) = out.get_mut(begin..begin + 4) {
        size.copy_from_slice(&length.to_be_bytes());
    }
}

/// Writes the answer that takes a bind, with our version. The name is cut to the fifteen characters it may have.
pub(crate) fn write_bound(kind: BindKind, system_id: &str, sequence: u32, out: &mut Vec<u8>) {
    use rusmpp::pdus::{BindReceiverResp, BindTransceiverResp, BindTransmitterResp};
    let name: String = ascii(system_id.as_bytes()).chars().filter(|each| *each != '\0').take(15).collect();
    let name = COctetString::from_string(name).unwrap_or_else(|_| COctetString::null());
    let version = Some(rusmpp::values::InterfaceVersion::Smpp3_4);
    match kind {
        BindKind::Transmitter => write(BindTransmitterResp::new(name, version), Status::OK, sequence, out),
        BindKind::Receiver => write(BindReceiverResp::new(name, version), Status::OK, sequence, out),
        BindKind::Transceiver => write(BindTransceiverResp::new(name, version), Status::OK, sequence, out),
    }
}

/// Writes the answer that takes a message. An id that does not fit its field is an error on our side, and said so.
pub(crate) fn write_taken(command: CommandId, id: &str, sequence: u32, out: &mut Vec<u8>) {
    use rusmpp::pdus::{DataSmResp, DeliverSmResp, SubmitSmResp};
    let Ok(id) = string::<65>(id) else {
        return write_bare(command.response(), Status::SYSTEM_ERROR, sequence, out);
    };
    match command {
        CommandId::DELIVER_SM => write(DeliverSmResp::new(id, Vec::new()), Status::OK, sequence, out),
        CommandId::DATA_SM => write(DataSmResp::new(id, Vec::new()), Status::OK, sequence, out),
        _ => write(SubmitSmResp::new(id, Vec::new()), Status::OK, sequence, out),
    }
}

/// Writes a question.
pub(crate) fn write_query(query: &Query, sequence: u32, out: &mut Vec<u8>) -> Result<(), Unwritable> {
    let id = string(&query.id).map_err(|()| Unwritable::MessageId)?;
    let source = string(&query.source.value).map_err(|()| Unwritable::Address)?;
    let (ton, npi) = (query.source.ton.0.into(), query.source.npi.0.into());
    write(rusmpp::pdus::QuerySm::new(id, ton, npi, source), Status::OK, sequence, out);
    Ok(())
}

/// Writes what is said to a question. What does not fit its field is an error on our side, and said so.
pub(crate) fn write_queried(queried: &Queried, sequence: u32, out: &mut Vec<u8>) {
    let (Ok(id), Ok(done)) = (string(&queried.id), time(queried.done)) else {
        return write_bare(CommandId::QUERY_SM.response(), Status::SYSTEM_ERROR, sequence, out);
    };
    let state = u8::from(queried.state).into();
    write(rusmpp::pdus::QuerySmResp::new(id, done, state, queried.error), Status::OK, sequence, out);
}

/// Writes the answer that refuses a message. `deliver_sm_resp` has its empty field in any case (SMPP 3.4, 4.6.2).
pub(crate) fn write_refused(command: CommandId, status: Status, sequence: u32, out: &mut Vec<u8>) {
    if command == CommandId::DELIVER_SM {
        let empty = rusmpp::pdus::DeliverSmResp::new(COctetString::null(), Vec::new());
        write(empty, status, sequence, out);
    } else {
        write_bare(command.response(), status, sequence, out);
    }
}

/// A string field of so many octets, its final zero included.
fn string<const MAX: usize>(text: &str) -> Result<COctetString<1, MAX>, ()> {
    COctetString::from_string(text.to_owned()).map_err(|_| ())
}

fn time(moment: Option<Moment>) -> Result<EmptyOrFullCOctetString<17>, Unwritable> {
    let Some(moment) = moment else { return Ok(EmptyOrFullCOctetString::null()) };
    let text = moment.write().ok_or(Unwritable::Moment)?;
    EmptyOrFullCOctetString::from_string(text).map_err(|_| Unwritable::Moment)
}

/// A message's parameters. Their order is that of the standard's table of `submit_sm`, the content last.
fn parameters(message: &ShortMessage, is_payload: bool) -> Result<Vec<(u16, Vec<u8>)>, Unwritable> {
    let mut all = Vec::new();
    if let Some(reference) = message.user_message_reference {
        all.push((USER_MESSAGE_REFERENCE, reference.to_be_bytes().to_vec()));
    }
    if let Some(place) = message.sar {
        all.push((SAR_MSG_REF_NUM, place.reference.to_be_bytes().to_vec()));
        all.push((SAR_TOTAL_SEGMENTS, vec![place.total]));
        all.push((SAR_SEGMENT_SEQNUM, vec![place.number]));
    }
    if let Some(id) = &message.receipted_message_id {
        let id = string::<65>(id).map_err(|()| Unwritable::MessageId)?;
        all.push((RECEIPTED_MESSAGE_ID, id.into_vec()));
    }
    if let Some(state) = message.message_state {
        all.push((MESSAGE_STATE, vec![state.into()]));
    }
    if let Some(NetworkError { network, code }) = message.network_error {
        let [high, low] = code.to_be_bytes();
        all.push((NETWORK_ERROR_CODE, vec![network, high, low]));
    }
    all.extend(message.parameters.iter().cloned());
    if is_payload {
        all.push((MESSAGE_PAYLOAD, message.octets.clone()));
    }
    if all.iter().any(|(_, value)| u16::try_from(value.len()).is_err()) {
        return Err(Unwritable::Octets);
    }
    Ok(all)
}

/// Sets the fields that `submit_sm` and `deliver_sm` share.
macro_rules! fill {
    ($builder:expr, $message:ident, $content:ident) => {
        $builder
            .service_type(ServiceType::new(
                string(&$message.service_type).map_err(|()| Unwritable::ServiceType)?,
            ))
            .source_addr_ton($message.source.ton.0.into())
            .source_addr_npi($message.source.npi.0.into())
            .source_addr(string(&$message.source.value).map_err(|()| Unwritable::Address)?)
            .dest_addr_ton($message.destination.ton.0.into())
            .dest_addr_npi($message.destination.npi.0.into())
            .destination_addr(string(&$message.destination.value).map_err(|()| Unwritable::Address)?)
            .esm_class($message.esm_class.0.into())
            .protocol_id($message.protocol_id)
            .priority_flag($message.priority.into())
            .schedule_delivery_time(time($message.schedule)?)
            .validity_period(time($message.validity)?)
            .registered_delivery($message.registered_delivery.0.into())
            .replace_if_present_flag(u8::from($message.replaces).into())
            .data_coding($message.data_coding.into())
            .sm_default_msg_id($message.prepared)
            .short_message($content)
    };
}

/// Writes a message as `submit_sm` or `deliver_sm`. Nothing is written if it cannot be.
pub(crate) fn write_message(
    command: CommandId,
    message: &ShortMessage,
    sequence: u32,
    out: &mut Vec<u8>,
) -> Result<(), Unwritable> {
    let is_payload = message.is_payload || message.octets.len() > SHORT_MESSAGE;
    let octets = if is_payload { Bytes::new() } else { Bytes::copy_from_slice(&message.octets) };
    let content = OctetString::from_bytes(octets).map_err(|_| Unwritable::Octets)?;
    let parameters = parameters(message, is_payload)?;
    let raw =
        parameters.into_iter().map(|(tag, value)| (TlvTag::Other(tag), AnyOctetString::from_vec(value)));
    if command == CommandId::DELIVER_SM {
        let other = |(tag, value)| MessageDeliveryRequestTlvValue::Other { tag, value };
        let pdu = fill!(DeliverSm::builder(), message, content).tlvs(raw.map(other).collect()).build();
        write(pdu, Status::OK, sequence, out);
    } else {
        let other = |(tag, value)| MessageSubmissionRequestTlvValue::Other { tag, value };
        let pdu = fill!(SubmitSm::builder(), message, content).tlvs(raw.map(other).collect()).build();
        write(pdu, Status::OK, sequence, out);
    }
    Ok(())
}
