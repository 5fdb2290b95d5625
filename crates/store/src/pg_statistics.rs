//! `PostgreSQL`'s statistics of tables that are still new.
//!
//! A statement is planned once for each connection and again after its tables were analysed. The server's own autovacuum
//! looks once a minute; until then a table that was empty when its statements were planned may have grown by ten thousands
//! of rows. On an empty table all indexes that share a first column cost the same, and the plan may read all rows of an
//! account for one: a new installation took a fourth of the messages in its first minute, and fewer with every second.
//! So tables are analysed here whenever they have grown by [`GROWTH`], which soon is never.

use std::time::Duration;

use tokio_postgres::SimpleQueryMessage;

use crate::Error;
use crate::pg::Conn;
use crate::pg_connect::{Connector, Role};

/// How often the tables' sizes are looked at: a look at some tens of files.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long it rests after a server has refused: it would do so again.
const REFUSED: Duration = Duration::from_mins(1);
/// By how much a table grows between two analyses, first from one page.
const GROWTH: u32 = 8;

/// Keeps looking; never ends.
pub(crate) async fn keep(connector: &Connector) {
    let mut idle: Option<Conn> = None;
    let mut rest = LOOK_EVERY;
    loop {
        tokio::time::sleep(rest).await;
        rest = LOOK_EVERY;
        let conn = match idle.take() {
            Some(conn) if conn.alive() => conn,
            _ => match connector.connect(Role::Write).await {
                Ok(conn) => conn,
                // The lane says it.
                Err(_) => continue,
            },
        };
        match look(&conn).await {
            Ok(()) => idle = Some(conn),
            Err(error) => {
                tracing::warn!(%error, "PostgreSQL does not analyse a table");
                rest = REFUSED;
            }
        }
    }
}

async fn look(conn: &Conn) -> Result<(), Error> {
    let grown = format!(
        "SELECT oid::regclass FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace
         AND pg_has_role(relowner, 'USAGE') AND pg_relation_size(oid) >= {GROWTH} * current_setting('block_size')::bigint * greatest(relpages, 1)"
    );
    let answer = conn.simple(&grown).await?;
    for message in answer {
        if let SimpleQueryMessage::Row(row) = message
            && let Some(table) = row.get(0)
        {
            // Quoted by the server. One that autovacuum is at needs nothing from here.
            conn.simple(&format!("ANALYZE (SKIP_LOCKED) {table}")).await?;
        }
    }
    Ok(())
}
