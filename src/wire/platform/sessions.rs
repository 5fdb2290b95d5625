//! Signing in: sessions of people, their passwords and second factors.

use super::fields::{Fields, plain};
use super::page::List;
use super::who::Who;
use super::{moment, nothing};
use crate::core::account::{self, AccountId, Status};
use crate::core::audit::{Act, audited, record};
use crate::core::key::KeyId;
use crate::core::password::Password;
use crate::core::person::{self, Person, PersonId};
use crate::core::rights::Rights;
use crate::core::second_factor::{self, Of, Proof, Try};
use crate::core::secret::Secret;
use crate::core::session::{self, Asked, Begun, Session};
use crate::core::{Code, Error, Noun, Scope, Violation, partner};
use crate::wire::acting;
use crate::wire::caller::attempt;
use crate::wire::idempotency::Once;
use crate::wire::refusal::Refusal;
use crate::wire::{Context, Shared};
use axum::Json;
use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use std::sync::Arc;
use store::Tx;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Longest password that is looked at.
const PASSWORD_MAX: usize = 256;
/// Longest code that is looked at, with what people type between its characters.
const CODE_MAX: usize = 32;
/// Who issues codes, as an app shows it.
const ISSUER: &str = "Rookery";

/// Where somebody signs in, who has no key yet.
pub(super) fn open() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(sign_in))
}

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(sessions, end_all))
        .routes(routes!(end))
        .routes(routes!(password))
        .routes(routes!(factor, enrol, give_up))
        .routes(routes!(confirm))
        .routes(routes!(renew_codes))
}

/// Who signs in.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `sign_in` reads")]
struct SignInRequest {
    #[schema(max_length = 255)]
    email: String,
    #[schema(max_length = 256)]
    password: String,
    /// For people of a child account: its partner's number or handle.
    #[schema(max_length = 64)]
    partner: Option<String>,
    /// If the second factor is on: six digits, or one of the recovery codes.
    #[schema(max_length = 32)]
    code: Option<String>,
}

/// A session that has begun.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct NewSession {
    /// Goes as `Authorization: Bearer …`; shown this once.
    token: String,
    id: String,
    #[schema(format = DateTime)]
    expires_at: String,
    account: i64,
    user: String,
    role: &'static str,
    scopes: Vec<&'static str>,
    /// If one was used up: how many are left.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = i64, required = false)]
    recovery_codes_left: Option<i64>,
}

/// Sign in
///
/// With e-mail address, password and, if the second factor is on, a code. The token opens what the user's role may do, for
/// twelve hours. Needs no key; too many wrong tries from one address, or wrong codes for one user, are refused for a while.
#[utoipa::path(post, path = "/sessions", tag = "Access", request_body = SignInRequest, security(()),
    responses((status = 201, body = NewSession)))]
async fn sign_in(
    State(state): State<Shared>,
    Extension(context): Extension<Arc<Context>>,
    mut fields: Fields,
) -> Result<Response, Refusal> {
    let from = context.client.address;
    let email = fields.text("email", |text| Ok(person::email(text).unwrap_or_default()));
    let email = fields.required("email", email).unwrap_or_default();
    let password = fields.text("password", |text| plain(text, PASSWORD_MAX));
    let password = fields.required("password", password).unwrap_or_default();
    let partner = fields.text("partner", |text| plain(text, 64));
    let code = fields.text("code", |text| plain(text, CODE_MAX));
    fields.finish()?;
    let tried = attempt(&state, from, &email)?;
    let found = find(&state, email, partner).await?;
    let stored = found.as_ref().map(|person| person.password.clone());
    let fits = state.passwords.fits(Password::typed(password), stored).await?;
    let Some(person) = found.filter(|_| fits) else { return Err(Error::Unauthenticated.into()) };
    for id in [person.scope.account, person.scope.root] {
        match state.store.read(id, account::find).await?.status {
            Status::Active => {}
            Status::Suspended => return Err(Error::Suspended.into()),
            Status::Deleted => return Err(Error::Unauthenticated.into()),
        }
    }
    let mut chance = [0; 32];
    state.entropy.fill(&mut chance);
    let token = URL_SAFE_NO_PAD.encode(chance);
    let (user, account) = (person.id, person.scope.account);
    let actor = acting::person(user, from);
    let asked = Asked {
        person,
        token: Secret::new(token.clone()),
        code,
        address: from.to_string(),
        vault: state.vault.clone(),
    };
    let unit = async move |tx: &mut Tx, asked: &Asked| {
        let begun = session::begin(tx, asked).await?;
        if let Ok(Begun { key, codes_left, .. }) = &begun {
            record(tx, &actor, &Act::on(account, "session.begin").object(key.id.hyphenated())).await?;
            if let Some(left) = codes_left {
                record(tx, &actor, &Act::on(account, "totp.recovery-code").object(user).with("left", left))
                    .await?;
            }
        }
        Ok::<_, Error>(begun)
    };
    let begun = state.store.write(asked, unit).await?;
    let Begun { key, ends, role, codes_left } = match begun {
        Ok(begun) => begun,
        // A wrong code is a try like a wrong password; who is only asked for one has the right password.
        Err(proof) => {
            if proof == Proof::Missing {
                tried.forgive();
            }
            return Err(unproved(proof));
        }
    };
    tried.forgive();
    let body = NewSession {
        token,
        id: key.id.hyphenated(),
        expires_at: moment(ends),
        account: account.0,
        user: user.to_string(),
        role: role.name(),
        scopes: Rights::of_role(role).words(),
        recovery_codes_left: codes_left,
    };
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

async fn find(state: &Shared, email: String, partner: Option<String>) -> Result<Option<Person>, Refusal> {
    let Some(partner) = partner else { return Ok(state.store.read(email, person::of_partners).await?) };
    let id = match AccountId::parse(&partner) {
        Some(id) => Ok(id),
        None => state.store.read(partner::Handle::new(partner), partner::by_handle).await,
    };
    match id {
        Ok(id) => Ok(state.store.read((id, email), person::of_clients).await?),
        // A partner that is not there has no people: the answer is that of a wrong password.
        Err(Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What is answered when the second factor was not proved.
fn unproved(proof: Proof) -> Refusal {
    match proof {
        Proof::Missing => Violation::new("code", Code::Required).into(),
        Proof::Locked(wait) => Error::Limited { retry_after: wait }.into(),
        Proof::Good | Proof::Recovered | Proof::Wrong => Error::Unauthenticated.into(),
    }
}

/// The person that has signed in.
fn myself(who: &Who) -> Result<(Scope, PersonId), Refusal> {
    let person = who.person.as_ref().and_then(|person| person.parse().ok());
    person.map(|person| (who.scope, person)).ok_or_else(|| Error::Forbidden.into())
}

/// A session.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SessionBody {
    id: String,
    /// From where it began.
    address: String,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    expires_at: String,
    /// To the minute.
    #[schema(required = true, format = DateTime)]
    last_used_at: Option<String>,
}

impl From<Session> for SessionBody {
    fn from(session: Session) -> Self {
        SessionBody {
            id: session.id.hyphenated(),
            address: session.address,
            created_at: moment(session.created),
            expires_at: moment(session.expires),
            last_used_at: session.used.map(moment),
        }
    }
}

/// List one's own sessions
///
/// For somebody who has signed in.
#[utoipa::path(get, path = "/me/sessions", tag = "Access",
    responses((status = 200, body = List<SessionBody>)))]
async fn sessions(State(state): State<Shared>, who: Who) -> Result<Json<List<SessionBody>>, Refusal> {
    let found = state.store.read(myself(&who)?, session::list).await?;
    Ok(Json(List::whole(found)))
}

/// End one's other sessions
///
/// All but the one that asks.
#[utoipa::path(delete, path = "/me/sessions", tag = "Access", responses((status = 204)))]
async fn end_all(State(state): State<Shared>, who: Who) -> Result<Response, Refusal> {
    let (scope, person) = myself(&who)?;
    let about = move |_: &_, (): &()| Act::on(scope.account, "session.end-others");
    let unit = audited(who.actor, session::end_others, about);
    state.store.write((scope, person, Some(who.key)), unit).await?;
    state.forget_keys().await?;
    Ok(nothing())
}

/// End one of one's own sessions
///
/// `current` is the one that asks: signing out.
#[utoipa::path(delete, path = "/me/sessions/{session}", tag = "Access",
    params(("session" = String, Path, description = "Its id, or `current`")), responses((status = 204)))]
async fn end(State(state): State<Shared>, who: Who, Path(id): Path<String>) -> Result<Response, Refusal> {
    let (scope, person) = myself(&who)?;
    let id = match id.as_str() {
        "current" => who.key,
        other => KeyId::parse(other).ok_or(Error::NotFound(Noun::Session))?,
    };
    let about = move |_: &_, (): &()| Act::on(scope.account, "session.end").object(id.hyphenated());
    state.store.write((scope, person, id), audited(who.actor, session::end, about)).await?;
    state.forget_keys().await?;
    Ok(nothing())
}

/// A password to change.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `password` reads")]
struct PasswordRequest {
    /// The present one.
    #[schema(max_length = 256)]
    current: String,
    #[schema(min_length = 8, max_length = 256)]
    password: String,
}

/// Change one's own password
///
/// All other sessions and tokens end.
#[utoipa::path(put, path = "/me/password", tag = "Access", request_body = PasswordRequest,
    responses((status = 204)))]
async fn password(
    State(state): State<Shared>,
    Extension(context): Extension<Arc<Context>>,
    who: Who,
    mut fields: Fields,
) -> Result<Response, Refusal> {
    let (scope, person) = myself(&who)?;
    let current = fields.text("current", |text| plain(text, PASSWORD_MAX));
    let current = fields.required("current", current).unwrap_or_default();
    let password = chosen(&mut fields);
    fields.finish()?;
    let from = context.client.address;
    let tried = attempt(&state, from, &person.to_string())?;
    let known = state.store.read((scope, person), person::find).await?;
    if !state.passwords.fits(Password::typed(current), Some(known.password.clone())).await? {
        // The key is good, so it is not the answer of a wrong one; the try counts as one all the same.
        return Err(Violation::new("current", Code::Invalid).into());
    }
    tried.forgive();
    let password = password.ok_or_else(|| Refusal::bug("a password that was not read"))?;
    let hash = state.passwords.hash(password, &state.entropy).await?;
    let about = move |_: &_, (): &()| Act::on(scope.account, "user.password").object(person);
    let unit = audited(who.actor, session::change_password, about);
    state.store.write((known, hash, who.key), unit).await?;
    state.forget_keys().await?;
    Ok(nothing())
}

/// A password that somebody chooses.
pub(super) fn chosen(fields: &mut Fields) -> Option<Password> {
    let password =
        fields.text("password", |text| Password::chosen(text.to_owned()).map_err(|_| Code::Invalid));
    fields.required("password", password)
}

/// The seed of a second factor, which is shown this once.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Seed {
    /// In base 32, to be typed into an app.
    secret: String,
    /// The same for an app that reads it from a QR code.
    url: String,
}

/// A code of the second factor.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `confirm` reads")]
struct CodeRequest {
    /// Six digits; where the second factor is on already, a recovery code will do.
    #[schema(max_length = 32)]
    code: String,
}

/// Begin to use a second factor
///
/// Makes the seed of time-based codes (RFC 6238). It is asked for only after a first code has confirmed it.
#[utoipa::path(post, path = "/me/totp", tag = "Access", responses((status = 201, body = Seed)))]
async fn enrol(
    State(state): State<Shared>,
    who: Who,
    once: Once,
    fields: Fields,
) -> Result<Response, Refusal> {
    let (scope, person) = myself(&who)?;
    fields.finish()?;
    let email = state.store.read((scope, person), person::find).await?.email;
    let about = move |_: &_, _: &String| Act::on(scope.account, "totp.begin").object(person);
    let unit = audited(who.actor, second_factor::enrol, about);
    let encoded: String = form_urlencoded::byte_serialize(email.as_bytes()).collect();
    let body = move |secret: String| {
        let url = format!("otpauth://totp/{ISSUER}:{encoded}?secret={secret}&issuer={ISSUER}");
        Seed { secret, url }
    };
    once.create(&state, (Of { scope, person }, state.vault.clone()), unit, body).await
}

/// Codes that open once each in place of the second factor's, shown this once.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RecoveryCodes {
    recovery_codes: Vec<String>,
}

/// A second factor.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Factor {
    /// Whether signing in asks for a code.
    confirmed: bool,
    recovery_codes_left: i64,
}

/// View the second factor
///
/// Whether one is on, and how many recovery codes are left.
#[utoipa::path(get, path = "/me/totp", tag = "Access", responses((status = 200, body = Factor)))]
async fn factor(State(state): State<Shared>, who: Who) -> Result<Json<Factor>, Refusal> {
    let (scope, person) = myself(&who)?;
    let (confirmed, left) = state.store.read(Of { scope, person }, second_factor::state).await?;
    Ok(Json(Factor { confirmed, recovery_codes_left: left }))
}

/// Proves the second factor by a code and notes what was done by it. A wrong code is counted, so its unit does not fail.
async fn prove<O: Send + 'static>(
    state: &Shared,
    who: Who,
    mut fields: Fields,
    action: &'static str,
    unit: impl for<'t, 'c> AsyncFn(&'t mut Tx, &'c Try) -> crate::core::Result<Result<O, Proof>> + Send + 'static,
) -> Result<O, Refusal> {
    let (scope, person) = myself(&who)?;
    let code = fields.text("code", |text| plain(text, CODE_MAX));
    let code = fields.required("code", code);
    fields.finish()?;
    let tried = Try { of: Of { scope, person }, code, vault: state.vault.clone() };
    let noted = async move |tx: &mut Tx, tried: &Try| {
        let done = unit(tx, tried).await?;
        if done.is_ok() {
            record(tx, &who.actor, &Act::on(scope.account, action).object(person)).await?;
        }
        Ok::<_, Error>(done)
    };
    match state.store.write(tried, noted).await? {
        Ok(done) => Ok(done),
        Err(Proof::Wrong) => Err(Violation::new("code", Code::Invalid).into()),
        Err(other) => Err(unproved(other)),
    }
}

/// Confirm the second factor
///
/// By a first code: from now on signing in asks for one. Answers the recovery codes, which are shown this once.
#[utoipa::path(post, path = "/me/totp/confirm", tag = "Access", request_body = CodeRequest,
    responses((status = 200, body = RecoveryCodes)))]
async fn confirm(
    State(state): State<Shared>,
    who: Who,
    fields: Fields,
) -> Result<Json<RecoveryCodes>, Refusal> {
    let recovery_codes = prove(&state, who, fields, "totp.confirm", second_factor::confirm).await?;
    Ok(Json(RecoveryCodes { recovery_codes }))
}

/// Make new recovery codes
///
/// Proved by a code once more. They are shown this once; the old ones open nothing any more.
#[utoipa::path(post, path = "/me/totp/recovery-codes", tag = "Access", request_body = CodeRequest,
    responses((status = 200, body = RecoveryCodes)))]
async fn renew_codes(
    State(state): State<Shared>,
    who: Who,
    fields: Fields,
) -> Result<Json<RecoveryCodes>, Refusal> {
    let recovery_codes =
        prove(&state, who, fields, "totp.recovery-codes", second_factor::renew_codes).await?;
    Ok(Json(RecoveryCodes { recovery_codes }))
}

/// Give the second factor up
///
/// Proved by a code once more. Somebody who has lost it is helped by whoever manages users.
#[utoipa::path(delete, path = "/me/totp", tag = "Access", request_body = CodeRequest,
    responses((status = 204)))]
async fn give_up(State(state): State<Shared>, who: Who, fields: Fields) -> Result<Response, Refusal> {
    prove(&state, who, fields, "totp.remove", second_factor::give_up).await?;
    Ok(nothing())
}
