//! The product's tests: one binary, run once per engine (`ROOKERY_TEST_ENGINE`), from the same source.
//!
//! Most drive the real router in this process through `support::TestApp`, with a clock that the test moves and ids from
//! a seed; `command_line`, `server` and `sdk` start the real binary.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says what it expects; that it panics is the point"
)]

mod support;

mod alerts;
mod audit;
mod authentication;
mod bad_input;
mod balance;
mod batches;
mod binary;
mod bodies;
mod bounds_units;
mod carriers;
mod child_accounts;
mod command_line;
mod contacts;
mod conventions;
mod edges;
mod egress;
mod erasure;
mod exact;
mod groups;
mod home;
mod http_carrier;
mod hub;
mod hub_chats;
mod hub_edges;
mod hub_events;
mod hub_onboarding;
mod hub_people;
mod hub_transport;
mod hub_units;
mod idempotency;
mod inbound;
mod journey;
mod key_limits;
mod killed;
mod lanes;
mod limits;
mod log_watch;
mod matrix;
mod messages;
mod month_end;
mod networks;
mod openapi;
mod opt_out;
mod own_pages;
mod partner_api;
mod platform;
mod platform_keys;
mod platform_limits;
mod platform_matrix;
mod platform_money;
mod platform_people;
mod platform_webhooks;
mod pricing;
mod questions;
mod recovery_codes;
mod reports;
mod samples;
mod scheduled;
mod sdk;
mod server;
mod signing;
mod simulation;
mod smoke;
mod smpp_clients;
mod smpp_octets;
mod smpp_parts;
mod smpp_peers;
mod smpp_server;
mod spending;
mod startup;
mod statements;
mod storms;
mod tidy;
mod units;
mod webhooks;
