//! How caches in every process learn of a change: a generation per kind, raised in the unit that changes an account or a
//! key, and read by each process every 250 ms (`run/changes.rs`).

use super::Result;
use store::{Rx, Tx, sql};

/// What is cached outside of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Who a key belongs to and whether its account may act.
    Access,
    /// Settings, rates and routes.
    Terms,
    /// Which network a number is of.
    Networks,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Access => "access",
            Kind::Terms => "terms",
            Kind::Networks => "networks",
        }
    }
}

/// Tells every process that something of this kind has changed. Part of the unit that changes it.
pub async fn raise(tx: &mut Tx, kind: Kind) -> Result<()> {
    tx.put(
        sql!(
            "INSERT INTO change (kind, generation) VALUES ($1, 1)
             ON CONFLICT (kind) DO UPDATE SET generation = change.generation + 1"
        ),
        &[&kind.name()],
    )
    .await?;
    Ok(())
}

/// The present generation; 0 before the first change.
pub async fn generation(rx: &mut Rx, kind: &Kind) -> Result<i64> {
    let found =
        rx.maybe::<i64>(sql!("SELECT generation FROM change WHERE kind = $1"), &[&kind.name()]).await?;
    Ok(found.unwrap_or(0))
}
