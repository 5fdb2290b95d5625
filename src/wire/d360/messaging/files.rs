//! Files: docs/spec/33-360-messaging.md section 5.

use super::super::error::{MetaError, own};
use super::super::json::{Json, answer};
use crate::core::media::{self, New};
use crate::core::{Code, Violation};
use crate::wire::Shared;
use crate::wire::attributes::Query;
use crate::wire::caller::ChannelCaller;
use crate::wire::idempotency::Once;
use crate::wire::refusal::Refusal;
use axum::body::Body;
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Response, StatusCode};
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The bare paths.
pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(upload)).routes(routes!(view, delete)).routes(routes!(attachment))
}

/// The paths of older clients: there the id leads to the bytes.
pub(super) fn old_routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(upload)).routes(routes!(download, remove))
}

/// A file that is sent along: its media type and its bytes.
struct Upload {
    kind: String,
    content: Vec<u8>,
}

/// What is not said is bytes.
const BYTES: &str = "application/octet-stream";

impl<S: Sync> FromRequest<S> for Upload {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        const BROKEN: Refusal = Refusal::Malformed("the multipart body is broken");
        let (parts, body) = request.into_parts();
        let kind = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let bytes =
            axum::body::to_bytes(body, usize::MAX).await.map_err(|_| Refusal::bug("an unbuffered body"))?;
        let Ok(boundary) = multer::parse_boundary(kind) else {
            // Older clients send the bytes alone.
            if bytes.is_empty() || kind.is_empty() || kind.contains("json") || kind.contains("form") {
                return Err(Violation::new("file", Code::Required).into());
            }
            return Ok(Upload { kind: checked(kind)?, content: bytes.into() });
        };
        let stream = futures_util::stream::once(async move { Ok::<_, std::convert::Infallible>(bytes) });
        let mut parts = multer::Multipart::new(stream, boundary);
        let mut found = None;
        let mut named = None;
        while let Some(field) = parts.next_field().await.map_err(|_| BROKEN)? {
            let name = field.name().unwrap_or_default().to_owned();
            let kind = field.content_type().map(ToString::to_string);
            let content = field.bytes().await.map_err(|_| BROKEN)?;
            match name.as_str() {
                "file" => found = Some((kind, content)),
                "type" => named = String::from_utf8(content.into()).ok(),
                _ => {}
            }
        }
        let Some((kind, content)) = found else { return Err(Violation::new("file", Code::Required).into()) };
        let kind = kind.or(named).unwrap_or_else(|| BYTES.to_owned());
        Ok(Upload { kind: checked(&kind)?, content: content.into() })
    }
}

/// A media type that may stand in a header.
fn checked(kind: &str) -> Result<String, Refusal> {
    let fits = kind.len() <= 128 && kind.contains('/') && kind.bytes().all(|byte| (32..127).contains(&byte));
    if fits { Ok(kind.to_owned()) } else { Err(Violation::new("file", Code::Invalid).into()) }
}

/// Upload a file
#[utoipa::path(post, path = "/media", tag = "Messaging", security(("ChannelKey" = [])),
    request_body(content = Value, content_type = "multipart/form-data"),
    responses((status = 200, body = Value), (status = 400, body = MetaError), (status = 401, body = super::WrongKey)))]
async fn upload(
    State(state): State<Shared>,
    caller: ChannelCaller,
    once: Once,
    upload: Upload,
) -> Result<Response<Body>, Refusal> {
    let Upload { kind, content } = upload;
    let new = New::of((caller.scope, caller.channel), kind, content);
    once.answer(&state, new, media::store, |id| Ok(answer(StatusCode::OK, &json!({"id": id})))).await
}

/// View a file
#[utoipa::path(get, path = "/{media_id}", tag = "Messaging", security(("ChannelKey" = [])),
    params(("media_id" = String, Path)),
    responses((status = 200, body = Value), (status = 401, body = super::WrongKey), (status = 404, body = MetaError)))]
async fn view(
    State(state): State<Shared>,
    caller: ChannelCaller,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let found = state.store.read((caller.scope, caller.channel, id), media::find).await?;
    // Clients put our host in place of this one and keep the rest (section 5).
    let url = format!("https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid={}", found.id);
    let hash = crate::core::secret::hex(&found.hash);
    Ok(Json(
        StatusCode::OK,
        json!({"file_size": found.length, "id": found.id, "messaging_product": "whatsapp",
            "mime_type": found.kind, "sha256": hash, "url": url}),
    ))
}

/// The bytes of a file, never shown by a browser on this origin.
async fn bytes(state: &Shared, caller: ChannelCaller, id: String) -> Result<Response<Body>, Refusal> {
    let (kind, content) = state.store.read((caller.scope, caller.channel, id), media::content).await?;
    let mut response = Response::new(Body::from(content));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_str(&kind).unwrap_or(HeaderValue::from_static(BYTES)));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(own(response))
}

/// Download a file by the URL of its view
#[utoipa::path(get, path = "/whatsapp_business/attachments", tag = "Messaging", security(("ChannelKey" = [])),
    params(("mid" = String, Query)),
    responses((status = 200, content_type = "application/octet-stream"), (status = 401, body = super::WrongKey),
        (status = 404, body = MetaError)))]
async fn attachment(
    State(state): State<Shared>,
    caller: ChannelCaller,
    query: Query,
) -> Result<Response<Body>, Refusal> {
    let mut reader = query.0.reader();
    let id = reader.required(&["mid"], |text| Ok(text.to_owned()));
    reader.finish()?;
    bytes(&state, caller, id.unwrap_or_default()).await
}

/// Download a file
#[utoipa::path(get, path = "/media/{media_id}", tag = "Messaging", security(("ChannelKey" = [])),
    params(("media_id" = String, Path)),
    responses((status = 200, content_type = "application/octet-stream"), (status = 401, body = super::WrongKey),
        (status = 404, body = MetaError)))]
async fn download(
    State(state): State<Shared>,
    caller: ChannelCaller,
    Path(id): Path<String>,
) -> Result<Response<Body>, Refusal> {
    bytes(&state, caller, id).await
}

async fn gone(state: &Shared, caller: ChannelCaller, id: String) -> Result<Json<Value>, Refusal> {
    state.store.write((caller.scope, caller.channel, id), media::delete).await?;
    Ok(Json(StatusCode::OK, json!({"success": true})))
}

/// Delete a file
#[utoipa::path(delete, path = "/{media_id}", tag = "Messaging", security(("ChannelKey" = [])),
    params(("media_id" = String, Path)),
    responses((status = 200, body = Value), (status = 401, body = super::WrongKey), (status = 404, body = MetaError)))]
async fn delete(
    State(state): State<Shared>,
    caller: ChannelCaller,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    gone(&state, caller, id).await
}

/// Delete a file
#[utoipa::path(delete, path = "/media/{media_id}", tag = "Messaging", security(("ChannelKey" = [])),
    params(("media_id" = String, Path)),
    responses((status = 200, body = Value), (status = 401, body = super::WrongKey), (status = 404, body = MetaError)))]
async fn remove(
    State(state): State<Shared>,
    caller: ChannelCaller,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    gone(&state, caller, id).await
}
