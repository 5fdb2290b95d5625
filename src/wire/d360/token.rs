//! Tokens for people: docs/spec/30-360-partner.md section 3.1. A token looks like a JWT, since clients may look into one;
//! what it opens is looked up by its hash, so that it can be made void.

use super::error::TokenError;
use super::fields::Fields;
use super::json::Json;
use crate::core::audit::{Act, audited};
use crate::core::key::NewKey;
use crate::core::password::Password;
use crate::core::person::{self, SignIn};
use crate::core::secret::Secret;
use crate::core::{Error, account, partner};
use crate::wire::acting;
use crate::wire::caller::attempt;
use crate::wire::refusal::Refusal;
use crate::wire::{Context, Shared};
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// How long a token opens, in seconds.
const LASTS: i64 = 86_400;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(create))
}

/// A token.
#[derive(Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the names of OAuth")]
struct Token {
    access_token: String,
    expires_in: i64,
    refresh_token: String,
    token_type: &'static str,
}

/// Who signs in.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the reader takes")]
struct Credentials {
    /// E-mail address of one of the partner's users.
    username: String,
    password: String,
}

/// Sign in
///
/// The token goes as `Authorization: Bearer …` for 24 hours.
#[utoipa::path(post, path = "/api/v2/token", tag = "Token", request_body = Credentials,
    responses((status = 200, body = Token), (status = 400, body = TokenError), (status = 401, body = TokenError),
        (status = 403, body = TokenError)))]
async fn create(
    State(state): State<Shared>,
    Extension(context): Extension<Arc<Context>>,
    mut fields: Fields,
) -> Result<Json<Token>, Refusal> {
    let from = context.client.address;
    let username = fields.required("username", |text| Ok(text.to_owned())).unwrap_or_default();
    let password = fields.required("password", |text| Ok(text.to_owned())).unwrap_or_default();
    fields.finish()?;
    let email = person::email(&username).unwrap_or_default();
    let tried = attempt(&state, from, &email)?;
    let found = state.store.read(email, person::of_partners).await?;
    let stored = found.as_ref().map(|person| person.password.clone());
    let fits = state.passwords.fits(Password::typed(password), stored).await?;
    let Some(person) = found.filter(|_| fits) else { return Err(Error::Unauthenticated.into()) };
    tried.forgive();
    let owner = state.store.read(person.scope.account, account::find).await?;
    match owner.status {
        account::Status::Active => {}
        account::Status::Suspended => return Err(Error::Suspended.into()),
        account::Status::Deleted => return Err(Error::Unauthenticated.into()),
    }
    if !state.store.read(person.scope.account, partner::rules).await?.token_sign_in {
        return Err(Error::Forbidden.into());
    }
    let now = state.now_us() / 1_000_000;
    let mut chance = [0; 32];
    state.entropy.fill(&mut chance);
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let subject = person.id.to_string();
    let text = format!(
        "{}.{}.{}",
        part(json!({"alg": "HS256", "typ": "JWT"})),
        part(json!({"exp": now + LASTS, "iat": now, "sub": subject})),
        URL_SAFE_NO_PAD.encode(chance)
    );
    // No call takes it (section 3.1): it is there because clients' types want it, and opens nothing.
    let mut chance = [0; 24];
    state.entropy.fill(&mut chance);
    let refresh_token = URL_SAFE_NO_PAD.encode(chance);
    let token = Secret::new(text.clone());
    let sign_in = SignIn { opens: person.role.opens(), person, token, lasts: LASTS };
    let actor = acting::person(sign_in.person.id, from);
    let about = |asked: &SignIn, made: &NewKey| {
        let act = Act::on(asked.person.scope.account, "session.begin").object(made.id.hyphenated());
        act.with("mode", made.role.name())
    };
    state.store.write(sign_in, audited(actor, person::sign_in, about)).await?;
    Ok(Json(
        StatusCode::OK,
        Token { access_token: text, expires_in: LASTS, refresh_token, token_type: "Bearer" },
    ))
}
