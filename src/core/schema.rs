//! The migrations of the product, embedded in the binary. Each one's first line names the oldest schema version that a
//! binary must know to work beside it.

use store::Migration;

/// All migrations, oldest first.
pub const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "frame", sql: include_str!("../../migrations/0001_frame.sql") },
    Migration { version: 2, name: "messages", sql: include_str!("../../migrations/0002_messages.sql") },
    Migration { version: 3, name: "smpp server", sql: include_str!("../../migrations/0003_smpp_server.sql") },
];
