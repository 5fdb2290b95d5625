//! The store against both engines. Every test in `units`, `values` and `migrations` runs on each, from
//! the same source; `sqlite`, `postgres` and `inline` hold what only one of them has.
//!
//! `PostgreSQL` is the server of `ROOKERY_TEST_POSTGRES` or a private one, started here. Without
//! either, the tests fail: they are never skipped.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]
#![expect(clippy::disallowed_methods, reason = "a test's tasks end with the test")]

mod inline;
mod migrations;
mod postgres;
mod sqlite;
mod statements;
mod support;
mod units;
mod values;
