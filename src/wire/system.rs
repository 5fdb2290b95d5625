//! What every installation has: health, readiness, metrics, the OpenAPI document and its offline reader.

use super::Context;
use super::refusal::Refusal;
use super::{Own, Shared};
use crate::core::schema::MIGRATIONS;
use axum::extract::{Extension, Path, State};
use axum::http::header::{ACCEPT, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use std::sync::Arc;
use std::sync::LazyLock;
use utoipa_axum::router::OpenApiRouter;

/// No vendor's API, so not in the OpenAPI document.
pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .route("/", get(front))
        .route("/healthz", get(async || axum::Json(json!({"status": "ok"}))))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/openapi.json", get(openapi))
        // The reader's files lie beside its page, so the page needs a name of its own.
        .route("/docs", get(async || (StatusCode::SEE_OTHER, [(LOCATION, "/docs/index.html")])))
        .route("/docs/{file}", get(reader))
}

async fn front(headers: HeaderMap) -> Response {
    let browser = headers.get(ACCEPT).and_then(|v| v.to_str().ok()).is_some_and(|v| v.contains("text/html"));
    if browser {
        return (StatusCode::SEE_OTHER, [(LOCATION, "/docs/index.html")]).into_response();
    }
    let about = json!({"name": "Rookery", "version": env!("CARGO_PKG_VERSION"), "documentation": "/docs"});
    axum::Json(about).into_response()
}

async fn ready(State(state): State<Shared>) -> Response {
    let reason = match state.store.schema(MIGRATIONS).await {
        Ok(schema) if schema.pending == 0 => return axum::Json(json!({"status": "ready"})).into_response(),
        Ok(schema) => format!("{} migrations are not applied yet", schema.pending),
        Err(error) => error.to_string(),
    };
    let reason = json!({"status": "not ready", "reason": reason});
    let mut response = (StatusCode::SERVICE_UNAVAILABLE, axum::Json(reason)).into_response();
    response.extensions_mut().insert(Own);
    response
}

async fn metrics(
    State(state): State<Shared>,
    Extension(context): Extension<Arc<Context>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    // A proxy on this machine that is not trusted speaks for somebody else.
    let forwarded = ["forwarded", "x-forwarded-for"].iter().any(|name| headers.contains_key(*name));
    if !state.options.metrics_here || !context.client.address.is_loopback() || forwarded {
        return Err(Refusal::NoSuchPath);
    }
    Ok(super::Metrics::response(&state.metrics))
}

impl super::Metrics {
    /// The answer to a scrape.
    pub fn response(&self) -> Response {
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        ([(CONTENT_TYPE, kind)], self.text()).into_response()
    }
}

async fn openapi(State(state): State<Shared>) -> Response {
    ([(CONTENT_TYPE, "application/json")], state.openapi.to_string()).into_response()
}

/// The reader asks nobody else: not even for a badge.
static READER: LazyLock<std::sync::Arc<utoipa_swagger_ui::Config<'static>>> = LazyLock::new(|| {
    let config =
        utoipa_swagger_ui::Config::new(["/openapi.json"]).validator_url("none").try_it_out_enabled(true);
    std::sync::Arc::new(config)
});

async fn reader(Path(file): Path<String>) -> Result<Response, Refusal> {
    match utoipa_swagger_ui::serve(&file, std::sync::Arc::clone(&READER)) {
        Ok(Some(found)) => {
            let policy = "default-src 'self'; style-src 'self' 'unsafe-inline'; script-src 'self'; img-src 'self' data:";
            let headers = [(CONTENT_TYPE, found.content_type.as_str()), (CONTENT_SECURITY_POLICY, policy)];
            Ok((headers, found.bytes.into_owned()).into_response())
        }
        Ok(None) | Err(_) => Err(Refusal::NoSuchPath),
    }
}
