//! The carrier protocol: what is spoken with those who bring short messages to phones (SMPP 3.4), and what is in a short
//! message.
//!
//! Knows nothing of accounts, money or SQL. [`session`] is a connection in either role, without input or output: octets, time
//! and commands go in, octets and events come out; [`socket`] moves those octets for it; [`short_message`] what travels on it; [`encoding`] and
//! [`text`] its characters; [`concatenation`] its parts; [`receipt`] what became of it.

mod bind;
pub mod concatenation;
pub mod encoding;
mod event;
pub mod moment;
mod octets;
mod options;
mod pdu;
mod query;
pub mod receipt;
pub mod session;
pub mod short_message;
pub mod socket;
mod stand_in;
pub mod status;
pub mod text;
