//! What a key with less than all rights may do at the vendors' products. The platform's own API asks for each endpoint's
//! right where it is served.

use super::origin::Surface;
use super::refusal::Refusal;
use crate::core::Error;
use crate::core::key::Principal;
use crate::core::rights::Right;
use axum::http::Method;
use axum::http::request::Parts;

/// Refuses what the key's rights do not cover.
pub(super) fn check(surface: Surface, parts: &Parts, principal: &Principal) -> Result<(), Refusal> {
    let reads = parts.method == Method::GET || parts.method == Method::HEAD;
    let area = parts.uri.path().split('/').nth(1).unwrap_or_default();
    // Whoever may change something may look at it.
    let any: &[Right] = match (surface, area, reads) {
        (Surface::Rest, "contacts" | "groups", true) => &[Right::Read, Right::Contacts],
        (Surface::Rest, "contacts" | "groups", false) => &[Right::Contacts],
        (Surface::Rest | Surface::Channel, _, true) => &[Right::Read, Right::Send],
        (Surface::Rest, "messages", false) | (Surface::Channel, _, false) => &[Right::Send],
        (Surface::PartnerAccounts, _, true) => &[Right::Read, Right::Accounts],
        (Surface::PartnerAccounts, _, false) => &[Right::Accounts],
        (Surface::Hub, _, true) => &[Right::Read],
        (Surface::Rest | Surface::Hub, _, false) => &[Right::Admin],
        _ => return Ok(()),
    };
    if any.iter().any(|right| principal.rights.allows(*right)) {
        Ok(())
    } else {
        Err(Error::Forbidden.into())
    }
}
