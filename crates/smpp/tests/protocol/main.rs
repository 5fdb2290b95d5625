//! The protocol's tests: sessions against frames made by hand and against each other, against the types of another
//! implementation, and against anything at all.
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test says what it expects"))]

mod anything;
mod link;
mod oracle;
mod queries;
mod sessions;
