//! Carriers: who takes messages to phones, and which of them takes which number.

use super::Result;
use super::phone::Msisdn;
use super::words::words;
use std::collections::HashMap;
use store::{Rx, sql};

/// A carrier's number in this installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CarrierId(pub i64);
store::int!(CarrierId);

words! {
    /// How a carrier is spoken to.
    CarrierKind {
        /// Not at all: it lives in this process, see docs/simulated-carrier.md.
        Simulated = "simulated",
    }
}

/// All carriers.
pub async fn all(rx: &mut Rx, (): &()) -> Result<Vec<(CarrierId, String, CarrierKind)>> {
    Ok(rx.all(sql!("SELECT id, name, kind FROM carrier ORDER BY id"), &[]).await?)
}

/// Which carrier takes a number: that of the longest prefix that has one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routes(HashMap<String, CarrierId>);

impl Routes {
    /// The carrier for a number, if any takes it.
    pub fn carrier(&self, to: Msisdn) -> Option<CarrierId> {
        longest_prefix(&self.0, to)
    }
}

/// All routes.
pub async fn routes(rx: &mut Rx, (): &()) -> Result<Routes> {
    let rows: Vec<(String, CarrierId)> =
        rx.all(sql!("SELECT prefix, carrier FROM route ORDER BY prefix, carrier"), &[]).await?;
    Ok(Routes(rows.into_iter().collect()))
}

/// The value of the longest prefix of a number.
pub(super) fn longest_prefix<T: Copy>(by_prefix: &HashMap<String, T>, to: Msisdn) -> Option<T> {
    let digits = to.to_string();
    (0..=digits.len()).rev().find_map(|length| by_prefix.get(digits.get(..length)?).copied())
}
