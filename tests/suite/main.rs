//! The product's tests: one binary, run once per engine (`ROOKERY_TEST_ENGINE`), from the same source.
//!
//! Most drive the real router in this process through `support::TestApp`, with a clock that the test moves and ids from
//! a seed; `command_line`, `server` and `sdk` start the real binary.

mod support;

mod smoke;
mod units;
