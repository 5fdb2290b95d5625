//! How an ESME introduces itself to an SMSC (SMPP 3.4, 4.1).

use crate::pdu::CommandId;
use crate::short_message::Address;
use std::fmt;

/// Which way messages go on a bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum BindKind {
    /// From the ESME only.
    Transmitter,
    /// To the ESME only.
    Receiver,
    /// Both ways.
    #[default]
    Transceiver,
}

impl BindKind {
    pub(crate) fn command(self) -> CommandId {
        match self {
            BindKind::Transmitter => CommandId::BIND_TRANSMITTER,
            BindKind::Receiver => CommandId::BIND_RECEIVER,
            BindKind::Transceiver => CommandId::BIND_TRANSCEIVER,
        }
    }

    pub(crate) fn of(command: CommandId) -> Option<BindKind> {
        match command {
            CommandId::BIND_TRANSMITTER => Some(BindKind::Transmitter),
            CommandId::BIND_RECEIVER => Some(BindKind::Receiver),
            CommandId::BIND_TRANSCEIVER => Some(BindKind::Transceiver),
            _ => None,
        }
    }

    /// Whether the ESME may submit.
    pub fn transmits(self) -> bool {
        self != BindKind::Receiver
    }

    /// Whether the SMSC may deliver.
    pub fn receives(self) -> bool {
        self != BindKind::Transmitter
    }
}

/// How an ESME introduces itself (SMPP 3.4, 4.1).
#[derive(Clone, PartialEq, Eq)]
pub struct Bind {
    /// Which way messages go.
    pub kind: BindKind,
    /// Who it is. The standard has at most 15 characters.
    pub system_id: String,
    /// What proves it. The standard has at most 8 characters, and some carriers more.
    pub password: String,
    /// What it is. Mostly empty; the standard has at most 12 characters.
    pub system_type: String,
    /// 0x34 is version 3.4.
    pub interface_version: u8,
    /// The addresses that it receives for. Mostly empty.
    pub range: Address,
}

/// Does not show the password.
impl fmt::Debug for Bind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Bind")
            .field("kind", &self.kind)
            .field("system_id", &self.system_id)
            .field("system_type", &self.system_type)
            .field("interface_version", &self.interface_version)
            .finish_non_exhaustive()
    }
}

impl Bind {
    /// Octets of a field of a bind; what is longer is no name or password anywhere.
    const LONGEST: usize = 64;

    /// A bind in version 3.4.
    pub fn new(kind: BindKind, system_id: impl Into<String>, password: impl Into<String>) -> Bind {
        Bind {
            kind,
            system_id: system_id.into(),
            password: password.into(),
            system_type: String::new(),
            interface_version: 0x34,
            range: Address::default(),
        }
    }

    pub(crate) fn is_writable(&self) -> bool {
        let fields = [&self.system_id, &self.password, &self.system_type, &self.range.value];
        fields.iter().all(|field| {
            field.len() <= Self::LONGEST && field.bytes().all(|octet| octet.is_ascii() && octet != 0)
        })
    }
}
