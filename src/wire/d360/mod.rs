//! The 360dialog Partner API: docs/spec/30-360-partner.md, as far as the partner object.

pub(super) mod error;
mod json;
mod partner;

use super::Shared;
use utoipa_axum::router::OpenApiRouter;

/// The hub host: its paths are served under `/api/v2/partners` and, for one known client, `/v1/partners`.
pub(super) fn hub() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().nest("/api/v2/partners", partner::routes()).nest("/v1/partners", partner::routes())
}
