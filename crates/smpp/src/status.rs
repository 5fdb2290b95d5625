//! Command statuses: how a request was answered (SMPP 3.4, 5.1.3).

use std::fmt;

/// A `command_status`. Carriers add their own from 0x400 on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Status(pub u32);

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $word:literal;)*) => {
        impl Status {
            $($(#[$doc])* pub const $name: Status = Status($code);)*

            /// The name that the standard has for it; none for a carrier's own.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($code => Some($word),)*
                    _ => None,
                }
            }
        }
    };
}

statuses! {
    /// No error.
    OK = 0x00, "ESME_ROK";
    /// The message's length is wrong.
    INVALID_MESSAGE_LENGTH = 0x01, "ESME_RINVMSGLEN";
    /// The frame's length is wrong, or too short for its fields.
    INVALID_COMMAND_LENGTH = 0x02, "ESME_RINVCMDLEN";
    /// The command is unknown, or not offered.
    INVALID_COMMAND_ID = 0x03, "ESME_RINVCMDID";
    /// The command is not for this state of the bind.
    INVALID_BIND_STATE = 0x04, "ESME_RINVBNDSTS";
    /// A second bind on one connection.
    ALREADY_BOUND = 0x05, "ESME_RALYBND";
    /// The priority is none.
    INVALID_PRIORITY = 0x06, "ESME_RINVPRTFLG";
    /// The request for receipts is none.
    INVALID_REGISTERED_DELIVERY = 0x07, "ESME_RINVREGDLVFLG";
    /// Something failed at the other side.
    SYSTEM_ERROR = 0x08, "ESME_RSYSERR";
    /// The source address is none.
    INVALID_SOURCE = 0x0A, "ESME_RINVSRCADR";
    /// The destination address is none.
    INVALID_DESTINATION = 0x0B, "ESME_RINVDSTADR";
    /// There is no such message.
    INVALID_MESSAGE_ID = 0x0C, "ESME_RINVMSGID";
    /// Binding failed.
    BIND_FAILED = 0x0D, "ESME_RBINDFAIL";
    /// The password is wrong.
    INVALID_PASSWORD = 0x0E, "ESME_RINVPASWD";
    /// The system id is unknown.
    INVALID_SYSTEM_ID = 0x0F, "ESME_RINVSYSID";
    /// The queue is full: try again later.
    QUEUE_FULL = 0x14, "ESME_RMSGQFUL";
    /// The service type is none.
    INVALID_SERVICE_TYPE = 0x15, "ESME_RINVSERTYP";
    /// The `esm_class` is none.
    INVALID_ESM_CLASS = 0x43, "ESME_RINVESMCLASS";
    /// Submitting failed.
    SUBMIT_FAILED = 0x45, "ESME_RSUBMITFAIL";
    /// The system type is none.
    INVALID_SYSTEM_TYPE = 0x53, "ESME_RINVSYSTYP";
    /// More messages than were agreed: slow down.
    THROTTLED = 0x58, "ESME_RTHROTTLED";
    /// The time of delivery is none.
    INVALID_SCHEDULE = 0x61, "ESME_RINVSCHED";
    /// The validity period is none.
    INVALID_VALIDITY = 0x62, "ESME_RINVEXPIRY";
    /// The receiver failed for now: deliver it again later.
    RECEIVER_TEMPORARY_ERROR = 0x64, "ESME_RX_T_APPN";
    /// The receiver will never take this message.
    RECEIVER_PERMANENT_ERROR = 0x65, "ESME_RX_P_APPN";
    /// The receiver refuses the message.
    RECEIVER_REJECTS = 0x66, "ESME_RX_R_APPN";
    /// Asking for a message failed.
    QUERY_FAILED = 0x67, "ESME_RQUERYFAIL";
    /// An optional parameter's value is none.
    INVALID_PARAMETER = 0xC4, "ESME_RINVOPTPARAMVAL";
    /// Delivery failed.
    DELIVERY_FAILED = 0xFE, "ESME_RDELIVERYFAILURE";
    /// Something nobody has a name for.
    UNKNOWN_ERROR = 0xFF, "ESME_RUNKNOWNERR";
}

impl Status {
    /// Whether nothing is wrong.
    pub fn is_ok(self) -> bool {
        self == Status::OK
    }

    /// Whether the same request is welcome later: the message is not at fault, the sender is too fast.
    pub fn is_throttling(self) -> bool {
        matches!(self, Status::THROTTLED | Status::QUEUE_FULL)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => formatter.write_str(name),
            None => write!(formatter, "{:#010x}", self.0),
        }
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Status({self})")
    }
}
