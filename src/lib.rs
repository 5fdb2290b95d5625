//! Rookery: a communications platform that a company runs itself.
//!
//! Three folders are the architecture: `wire` (every shape promised to someone outside) and `run` (what runs by itself)
//! call `core` (the domain); `core` calls neither, and `wire` and `run` never see each other: they meet in tables. The
//! files beside them start a process: `settings`, `installation` (database and master key), `serve`, `listen`, `cli`.
//! `dev` is for testing only.
//! ARCHITECTURE.md has the map.

pub mod cli;
pub mod core;
pub mod dev;
pub mod installation;
pub mod listen;
pub mod run;
pub mod serve;
pub mod settings;
pub mod wire;
