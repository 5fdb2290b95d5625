//! The carrier protocol: what is spoken with those who bring short messages to phones.
//!
//! Knows nothing of accounts, money or SQL. So far it has the text: which alphabet a message can be sent in, and into
//! which parts it falls.

mod stand_in;
pub mod text;
