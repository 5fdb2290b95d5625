//! Two engines, `SQLite` and `PostgreSQL`, behind one door.
//!
//! The SQL text is the same for both, written once beside its noun; what differs between the engines
//! is the driver's call, and that is what this crate hides. No repositories, no ORM, no mocks. Every
//! change is a *unit*, a plain `async fn(&mut Tx, &Command) -> Result<Output, Error>`, run on the
//! store's own threads, so that a unit once started runs to its end though its caller has gone:
//!
//! ```
//! use store::{Error, Options, Rx, Store, Tx, sql};
//!
//! store::id!(ContactId);
//! struct New { name: String }
//!
//! async fn create(tx: &mut Tx, new: &New) -> Result<ContactId, Error> {
//!     let id: ContactId = tx.id();
//!     tx.put(sql!("INSERT INTO contact (id, name) VALUES ($1, $2)"), &[&id, &new.name]).await?;
//!     Ok(id)
//! }
//!
//! async fn name(rx: &mut Rx, id: &ContactId) -> Result<Option<String>, Error> {
//!     rx.maybe(sql!("SELECT name FROM contact WHERE id = $1"), &[id]).await
//! }
//!
//! const MIGRATIONS: &[store::Migration] = &[store::Migration {
//!     version: 1,
//!     name: "contact",
//!     sql: "-- oldest: 1\nCREATE TABLE contact (id BYTEA NOT NULL PRIMARY KEY, name TEXT NOT NULL);",
//! }];
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Error> {
//! let store = Store::inline(Options::default()).await?;
//! store.migrate(MIGRATIONS).await?;
//! let id = store.write(New { name: "Ada".into() }, create).await?;
//! assert_eq!(store.read(id, name).await?.as_deref(), Some("Ada"));
//! # Ok(())
//! # }
//! ```
//!
//! Invariants, each tested on both engines:
//! - an answer means that the change is on disk; [`Error::Unknown`] is the one exception, and says so;
//! - a unit is applied whole or not at all, whatever it swallowed;
//! - a unit awaits nothing but its own statements, and takes time and chance from its `Tx` only;
//! - reads see every change that was answered before they began, and cannot write;
//! - no error text holds a parameter's value.
//!
//! The rules for portable SQL and for the order of locks are in the crate's README.

mod env;
mod error;
mod job;
mod lite;
mod lite_run;
mod lite_wal;
mod migrate;
mod pg;
mod pg_connect;
mod pg_run;
mod pg_statistics;
#[doc(hidden)]
pub mod sql;
#[doc(hidden)]
pub mod stepped;
mod store;
mod tx;
mod value;

pub use env::{Clock, Entropy};
pub use error::Error;
pub use migrate::{Migration, Schema};
pub use sql::{STATEMENTS, Sql};
pub use store::{Description, Engine, Options, Store};
pub use tx::{Rx, Tx};
pub use value::{BadId, Column, FromRow, Param, Row, Val};

#[doc(hidden)]
pub use linkme as __linkme;
#[doc(hidden)]
pub use value::parse_hex as __parse_hex;
