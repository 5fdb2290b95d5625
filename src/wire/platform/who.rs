//! Who calls: what its key or session may do, and which accounts are within its reach.

use crate::core::account::AccountId;
use crate::core::audit::Actor;
use crate::core::key::{KeyId, Role};
use crate::core::mandate::Mandate;
use crate::core::reach::{self, Sight, View};
use crate::core::rights::{Right, Rights};
use crate::core::{Error, Noun, Scope, Timestamp};
use crate::wire::acting::holder;
use crate::wire::refusal::Refusal;
use crate::wire::{Context, Shared};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;

/// The caller's own account in a path.
const ME: &str = "me";

/// A caller of the platform's own API.
#[derive(Debug, Clone)]
pub(super) struct Who {
    /// The operator's is account 0.
    pub scope: Scope,
    /// What it may do.
    pub rights: Rights,
    /// The key, or that of the session.
    pub key: KeyId,
    /// The person, if somebody has signed in.
    pub person: Option<String>,
    /// When the key or session ends by itself.
    pub expires: Option<Timestamp>,
    /// As the audit log names it.
    pub actor: Actor,
}

impl<S: Sync> FromRequestParts<S> for Who {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let context = Context::of(parts)?;
        let entry = context.entry.as_deref().ok_or(Error::Unauthenticated)?;
        let principal = &entry.principal;
        let person = match (principal.role, &principal.subject) {
            (Role::Operator | Role::Platform, _) => None,
            (Role::SignIn, Some(person)) => Some(person.clone()),
            _ => return Err(Error::Unauthenticated.into()),
        };
        Ok(Who {
            scope: principal.scope,
            rights: principal.rights,
            key: principal.key,
            person,
            expires: principal.expires,
            actor: holder(principal, context.client.address),
        })
    }
}

impl Who {
    /// Whether it is the operator.
    pub(super) fn is_operator(&self) -> bool {
        self.scope.account == AccountId(0)
    }

    /// Insists on a right.
    pub(super) fn need(&self, right: Right) -> Result<(), Refusal> {
        if self.rights.allows(right) { Ok(()) } else { Err(Error::Forbidden.into()) }
    }

    /// On whose behalf its units run.
    pub(super) fn mandate(&self) -> Mandate {
        Mandate { from: self.scope, key: self.key }
    }

    /// What it sees of an account.
    pub(super) fn sight(&self, at: AccountId) -> Sight {
        Sight { from: self.scope, at }
    }

    /// An account within reach by its number, or its own as `me`.
    pub(super) async fn at(&self, state: &Shared, text: &str) -> Result<View, Refusal> {
        let id = match text {
            ME if !self.is_operator() => Some(self.scope.account),
            other => AccountId::parse(other),
        };
        let id = id.filter(|id| *id != AccountId(0)).ok_or(Error::NotFound(Noun::Account))?;
        Ok(state.store.read(self.sight(id), reach::find).await?)
    }

    /// An account within reach, with a right on it.
    pub(super) async fn with(&self, state: &Shared, text: &str, right: Right) -> Result<View, Refusal> {
        // In this order: whoever may not do it learns no more by it than by a wrong number.
        let view = self.at(state, text).await?;
        self.need(right)?;
        Ok(view)
    }

    /// An account that is below the caller's own, with a right on it: nobody lifts its own limits.
    pub(super) async fn above(&self, state: &Shared, text: &str, right: Right) -> Result<View, Refusal> {
        let view = self.with(state, text, right).await?;
        if view.account.id == self.scope.account { Err(Error::Forbidden.into()) } else { Ok(view) }
    }
}
