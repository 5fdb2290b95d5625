//! The 360dialog Partner API: docs/spec/30-360-partner.md to 32-360-webhooks-onboarding.md.

mod balance;
mod businesses;
mod channels;
mod clients;
pub(super) mod error;
mod events;
mod fields;
mod id;
mod json;
mod listing;
pub(super) mod messaging;
mod onboarding;
mod page;
mod partner;
mod token;

pub use events::EVENTS;
pub(super) use onboarding::render_page;

use super::Shared;
use utoipa_axum::router::OpenApiRouter;

/// The hub host: its paths are served under `/api/v2/partners` and, for one known client, `/v1/partners`.
pub(super) fn hub() -> OpenApiRouter<Shared> {
    let partners = || {
        partner::routes()
            .merge(clients::routes())
            .merge(channels::routes())
            .merge(businesses::routes())
            .merge(balance::routes())
    };
    OpenApiRouter::new().nest("/api/v2/partners", partners()).nest("/v1/partners", partners())
}

/// Where people sign in for tokens of the hub.
pub(super) fn token() -> OpenApiRouter<Shared> {
    token::routes()
}

/// The pages on which a partner's clients share their numbers.
pub(super) fn onboarding() -> OpenApiRouter<Shared> {
    onboarding::routes()
}
