//! Whoever acts, as the audit log names it: by the key or session that the request came with.

use super::Context;
use super::refusal::Refusal;
use crate::core::Error;
use crate::core::audit::{Actor, ActorKind};
use crate::core::key::{Principal, Role};
use crate::core::person::PersonId;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use std::net::IpAddr;

/// Somebody who is known by more than a key.
pub(super) fn person(id: PersonId, from: IpAddr) -> Actor {
    Actor { kind: ActorKind::User, id: id.to_string(), address: Some(from.to_string()) }
}

/// Whoever has this key.
pub(super) fn holder(principal: &Principal, from: IpAddr) -> Actor {
    let key = || principal.key.hyphenated();
    let (kind, id) = match (principal.role, &principal.subject) {
        (Role::Operator, _) => (ActorKind::Operator, key()),
        (Role::Session | Role::Viewing | Role::Onboarding | Role::SignIn, Some(person)) => {
            (ActorKind::User, person.clone())
        }
        _ => (ActorKind::Key, key()),
    };
    Actor { kind, id, address: Some(from.to_string()) }
}

impl<S: Sync> FromRequestParts<S> for Actor {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let context = Context::of(parts)?;
        let entry = context.entry.as_deref().ok_or(Error::Unauthenticated)?;
        Ok(holder(&entry.principal, context.client.address))
    }
}
