//! Transports: who carries channels, as carriers do short messages. So far there is one, which lives in this process.

use super::{Error, Noun, Result};
use store::{Rx, sql};

/// A transport's number in this installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransportId(pub i64);
store::int!(TransportId);

/// The transport that every installation has.
pub const SIMULATED: TransportId = TransportId(1);

/// Who carries new channels.
pub async fn preferred(rx: &mut Rx) -> Result<TransportId> {
    rx.maybe(sql!("SELECT id FROM transport WHERE preferred ORDER BY id DESC LIMIT 1"), &[])
        .await?
        .ok_or(Error::NotFound(Noun::Transport))
}
