//! The migrations of the product, embedded in the binary. Each one's first line names the oldest schema version that a
//! binary must know to work beside it.

use store::Migration;

/// All migrations, oldest first.
pub const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "frame", sql: include_str!("../../migrations/0001_frame.sql") },
    Migration { version: 2, name: "messages", sql: include_str!("../../migrations/0002_messages.sql") },
    Migration { version: 3, name: "hooks", sql: include_str!("../../migrations/0003_hooks.sql") },
    Migration { version: 4, name: "carriers", sql: include_str!("../../migrations/0004_carriers.sql") },
    Migration { version: 5, name: "sms", sql: include_str!("../../migrations/0005_sms.sql") },
    Migration { version: 6, name: "channels", sql: include_str!("../../migrations/0006_channels.sql") },
    Migration { version: 7, name: "smpp server", sql: include_str!("../../migrations/0007_smpp_server.sql") },
    Migration { version: 8, name: "reports", sql: include_str!("../../migrations/0008_reports.sql") },
    Migration { version: 9, name: "platform", sql: include_str!("../../migrations/0009_platform.sql") },
    Migration { version: 10, name: "books", sql: include_str!("../../migrations/0010_books.sql") },
    Migration { version: 11, name: "bounds", sql: include_str!("../../migrations/0011_bounds.sql") },
];
