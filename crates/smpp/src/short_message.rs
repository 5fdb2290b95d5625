//! A short message with all that `submit_sm`, `deliver_sm` and `data_sm` say about it (SMPP 3.4, 4.4.1, 4.6.1, 4.7.1).

use crate::moment::Moment;
use std::fmt;

/// `addr_ton`: what kind of number an address is (SMPP 3.4, 5.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Ton(pub u8);

impl Ton {
    /// Nobody knows.
    pub const UNKNOWN: Ton = Ton(0);
    /// With country code, without plus.
    pub const INTERNATIONAL: Ton = Ton(1);
    /// Without country code.
    pub const NATIONAL: Ton = Ton(2);
    /// Means something in one network only, as short codes do.
    pub const NETWORK_SPECIFIC: Ton = Ton(3);
    /// A name.
    pub const ALPHANUMERIC: Ton = Ton(5);
    /// A short code.
    pub const ABBREVIATED: Ton = Ton(6);
}

/// `addr_npi`: which plan an address is from (SMPP 3.4, 5.2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Npi(pub u8);

impl Npi {
    /// Nobody knows; that of names.
    pub const UNKNOWN: Npi = Npi(0);
    /// The telephone numbering plan.
    pub const E164: Npi = Npi(1);
    /// A country's own.
    pub const NATIONAL: Npi = Npi(8);
    /// A network's own.
    pub const PRIVATE: Npi = Npi(9);
}

/// Where a message comes from or goes to.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Address {
    /// What kind of number it is.
    pub ton: Ton,
    /// Which plan it is from.
    pub npi: Npi,
    /// Digits, or a name: at most 20 ASCII characters.
    pub value: String,
}

impl Address {
    /// A number with country code, without plus.
    pub fn international(digits: impl Into<String>) -> Address {
        Address { ton: Ton::INTERNATIONAL, npi: Npi::E164, value: digits.into() }
    }

    /// A name.
    pub fn alphanumeric(name: impl Into<String>) -> Address {
        Address { ton: Ton::ALPHANUMERIC, npi: Npi::UNKNOWN, value: name.into() }
    }

    /// A short code.
    pub fn short_code(digits: impl Into<String>) -> Address {
        Address { ton: Ton::NETWORK_SPECIFIC, npi: Npi::UNKNOWN, value: digits.into() }
    }
}

/// Shows the last two characters: a full number belongs into no log.
impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.value.char_indices().rev().nth(1).map_or("", |(at, _)| &self.value[at..]);
        write!(formatter, "Address({}/{} …{end})", self.ton.0, self.npi.0)
    }
}

/// `esm_class`: how a message is treated and what it is (SMPP 3.4, 5.2.12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct EsmClass(pub u8);

impl EsmClass {
    /// The receipt that a carrier makes.
    pub const DELIVERY_RECEIPT: EsmClass = EsmClass(0x04);
    const KIND: u8 = 0x3C;
    const HEADER: u8 = 0x40;

    /// Whether the message is a delivery receipt, final or in between, or a phone's own acknowledgement, which has the
    /// form of one.
    pub fn is_receipt(self) -> bool {
        self.0 & 0x2C != 0
    }

    /// Whether it is about a message that is still on its way.
    pub fn is_intermediate(self) -> bool {
        self.0 & Self::KIND == 0x20
    }

    /// Whether the content begins with a user data header.
    pub fn has_header(self) -> bool {
        self.0 & Self::HEADER != 0
    }

    /// The same, with or without the mark that the content begins with a user data header.
    #[must_use]
    pub fn with_header(self, has_header: bool) -> EsmClass {
        if has_header { EsmClass(self.0 | Self::HEADER) } else { EsmClass(self.0 & !Self::HEADER) }
    }
}

/// `registered_delivery`: which receipts are asked for (SMPP 3.4, 5.2.17).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RegisteredDelivery(pub u8);

impl RegisteredDelivery {
    /// None.
    pub const NONE: RegisteredDelivery = RegisteredDelivery(0);
    /// One, however it ends.
    pub const FINAL: RegisteredDelivery = RegisteredDelivery(1);
    /// One when it fails.
    pub const ON_FAILURE: RegisteredDelivery = RegisteredDelivery(2);

    /// Whether a receipt is wanted for a message that ended like this.
    pub fn wants(self, is_delivered: bool) -> bool {
        match self.0 & 0x03 {
            1 => true,
            2 => !is_delivered,
            // Reserved in 3.4; success only in 5.0.
            3 => is_delivered,
            _ => false,
        }
    }
}

/// `message_state`: what became of a message (SMPP 3.4, 5.2.28; 5.0 added the first and the last).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageState {
    /// Waits for its time.
    Scheduled,
    /// On its way.
    Enroute,
    /// On the phone.
    Delivered,
    /// Its validity is over.
    Expired,
    /// Cancelled.
    Deleted,
    /// Cannot be delivered.
    Undeliverable,
    /// Read on the subscriber's behalf. Some carriers mean that it went on to the next network.
    Accepted,
    /// Nobody knows.
    Unknown,
    /// Refused on the way.
    Rejected,
    /// Left out on purpose.
    Skipped,
    /// A number without a meaning.
    Other(u8),
}

impl MessageState {
    /// Whether nothing more will happen to the message.
    pub fn is_final(self) -> bool {
        match self {
            MessageState::Delivered
            | MessageState::Expired
            | MessageState::Deleted
            | MessageState::Undeliverable
            | MessageState::Unknown
            | MessageState::Rejected
            | MessageState::Skipped => true,
            MessageState::Scheduled
            | MessageState::Enroute
            | MessageState::Accepted
            | MessageState::Other(_) => false,
        }
    }
}

impl From<u8> for MessageState {
    fn from(number: u8) -> MessageState {
        match number {
            0 => MessageState::Scheduled,
            1 => MessageState::Enroute,
            2 => MessageState::Delivered,
            3 => MessageState::Expired,
            4 => MessageState::Deleted,
            5 => MessageState::Undeliverable,
            6 => MessageState::Accepted,
            7 => MessageState::Unknown,
            8 => MessageState::Rejected,
            9 => MessageState::Skipped,
            other => MessageState::Other(other),
        }
    }
}

impl From<MessageState> for u8 {
    fn from(state: MessageState) -> u8 {
        match state {
            MessageState::Scheduled => 0,
            MessageState::Enroute => 1,
            MessageState::Delivered => 2,
            MessageState::Expired => 3,
            MessageState::Deleted => 4,
            MessageState::Undeliverable => 5,
            MessageState::Accepted => 6,
            MessageState::Unknown => 7,
            MessageState::Rejected => 8,
            MessageState::Skipped => 9,
            MessageState::Other(other) => other,
        }
    }
}

/// `network_error_code`: what a network says about a failure (SMPP 3.4, 5.3.2.31).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NetworkError {
    /// Whose code it is: 3 is GSM.
    pub network: u8,
    /// The code.
    pub code: u16,
}

/// Which part of a longer message this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// The same for all parts of a message, between one sender and one receiver.
    pub reference: u16,
    /// How many parts there are.
    pub total: u8,
    /// Which one this is, from 1.
    pub number: u8,
}

/// The content of a `submit_sm`, `deliver_sm` or `data_sm`. `data_sm` has no room for the fields marked so: they are
/// their defaults when it is read.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ShortMessage {
    /// At most five ASCII characters; empty is the carrier's default.
    pub service_type: String,
    /// Where it comes from.
    pub source: Address,
    /// Where it goes to.
    pub destination: Address,
    /// How it is treated, what it is, and whether it has a user data header.
    pub esm_class: EsmClass,
    /// TP-PID of GSM networks. Not in `data_sm`.
    pub protocol_id: u8,
    /// 0 to 3. Not in `data_sm`.
    pub priority: u8,
    /// When it is to be delivered; at once if none. Not in `data_sm`.
    pub schedule: Option<Moment>,
    /// Until when it is worth delivering; the carrier's default if none. Not in `data_sm`.
    pub validity: Option<Moment>,
    /// Which receipts are asked for.
    pub registered_delivery: RegisteredDelivery,
    /// Whether it takes the place of one that has not been delivered. Not in `data_sm`.
    pub replaces: bool,
    /// What the octets stand for: [`crate::encoding::Coding::of`].
    pub data_coding: u8,
    /// A message that the carrier has prepared. Not in `data_sm`.
    pub prepared: u8,
    /// The content, a user data header at its beginning included.
    pub octets: Vec<u8>,
    /// Whether the content travels as `message_payload`. Above 254 octets it does in any case.
    pub is_payload: bool,
    /// Which part it is, where parameters say so (`sar_*`) and not a user data header.
    pub sar: Option<Place>,
    /// The message that a receipt is about.
    pub receipted_message_id: Option<String>,
    /// What became of it.
    pub message_state: Option<MessageState>,
    /// What a network said about its failure.
    pub network_error: Option<NetworkError>,
    /// The sender's own number for it.
    pub user_message_reference: Option<u16>,
    /// All other optional parameters, as they are.
    pub parameters: Vec<(u16, Vec<u8>)>,
}

/// Shows neither content nor full numbers: they belong into no log.
impl fmt::Debug for ShortMessage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ShortMessage")
            .field("source", &self.source)
            .field("destination", &self.destination)
            .field("esm_class", &self.esm_class.0)
            .field("registered_delivery", &self.registered_delivery.0)
            .field("data_coding", &self.data_coding)
            .field("octets", &self.octets.len())
            .field("is_payload", &self.is_payload)
            .field("sar", &self.sar)
            .field("message_state", &self.message_state)
            .finish_non_exhaustive()
    }
}

/// Why a message cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// An address is longer than 20 characters, or has others than ASCII.
    #[error("an address of at most 20 ASCII characters is needed")]
    Address,
    /// The service type is longer than 5 characters, or has others than ASCII.
    #[error("a service type of at most 5 ASCII characters is needed")]
    ServiceType,
    /// A time lies outside what the wire can say.
    #[error("the time lies beyond the years 2000 to 2099")]
    Moment,
    /// A message id is longer than 64 characters, or has others than ASCII.
    #[error("a message id of at most 64 ASCII characters is needed")]
    MessageId,
    /// The content or a parameter is longer than its length can say.
    #[error("the content is longer than 65535 octets")]
    Octets,
}
