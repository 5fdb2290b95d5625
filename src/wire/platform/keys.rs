//! Keys and signing keys of an account: made, brought along, narrowed, replaced with time for both, made void.

use super::fields::{Fields, plain};
use super::limits::{Given, given};
use super::page::{List, Page, PageParams};
use super::who::Who;
use super::{moment, nothing};
use crate::core::account::AccountId;
use crate::core::api_key::{self, About, Held, NETWORKS_MAX, OVERLAP_MAX, Patch, Rotation};
use crate::core::audit::{Act, audited};
use crate::core::key::{KeyId, NAME_MAX, NewKey, Role};
use crate::core::rights::{Right, Rights};
use crate::core::secret::Secret;
use crate::core::signing_key;
use crate::core::{Code, Error, Noun, Timestamp};
use crate::wire::Shared;
use crate::wire::idempotency::Once;
use crate::wire::refusal::Refusal;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use ipnet::IpNet;
use serde::Serialize;
use std::net::IpAddr;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Latest moment from which another signing key may sign: a year ahead, in seconds.
const ROTATION_MAX: i64 = 366 * 86_400;
/// Fastest limit of a key's own.
const REQUESTS_MAX: i64 = 10_000;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(view, update, revoke))
        .routes(routes!(rotate))
        .routes(routes!(signing, cancel_signing))
        .routes(routes!(rotate_signing))
}

/// A key, without its text.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct KeyBody {
    /// A UUID.
    id: String,
    /// What it opens: `live` and `test` the vendors' APIs for the account, `partner` the partner API, `platform` this one,
    /// `channel` the messages of one channel.
    mode: &'static str,
    name: String,
    /// What it may do; `admin` is everything.
    scopes: Vec<&'static str>,
    /// Networks from which it may come; from anywhere if there is none.
    allowed_networks: Vec<String>,
    /// Requests a second, if it has a limit of its own.
    #[schema(required = true)]
    requests_per_second: Option<i64>,
    /// Its other limits; null where there is none.
    #[schema(required = true)]
    messages_per_second: Option<i64>,
    #[schema(required = true)]
    max_price: Option<String>,
    #[schema(required = true)]
    allowed_countries: Option<Vec<String>>,
    #[schema(required = true)]
    recipients_per_country_and_day: Option<i64>,
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was last used, to the minute.
    #[schema(required = true, format = DateTime)]
    last_used_at: Option<String>,
    /// When it ends by itself.
    #[schema(required = true, format = DateTime)]
    expires_at: Option<String>,
    /// When it was made void.
    #[schema(required = true, format = DateTime)]
    revoked_at: Option<String>,
}

impl From<Held> for KeyBody {
    fn from(held: Held) -> Self {
        KeyBody {
            id: held.id.hyphenated(),
            mode: held.role.name(),
            name: held.name,
            scopes: held.rights.words(),
            allowed_networks: held.networks.iter().map(IpNet::to_string).collect(),
            requests_per_second: held.requests,
            messages_per_second: held.limits.messages,
            max_price: held.limits.price.map(|price| price.to_string()),
            allowed_countries: held.limits.countries,
            recipients_per_country_and_day: held.limits.per_country,
            created_at: moment(held.created),
            last_used_at: held.used.map(moment),
            expires_at: held.expires.map(moment),
            revoked_at: held.revoked.map(moment),
        }
    }
}

/// A key with its text, which is shown this once.
#[derive(Serialize, ToSchema)]
pub(super) struct NewKeyBody {
    /// A UUID.
    id: String,
    /// Its text; null for one that was brought along.
    #[schema(required = true)]
    key: Option<String>,
    /// What it opens.
    mode: &'static str,
    /// What it may do.
    scopes: Vec<&'static str>,
}

impl NewKeyBody {
    /// One with these rights.
    pub(super) fn of(made: &NewKey, rights: Rights) -> Self {
        NewKeyBody {
            id: made.id.hyphenated(),
            key: Some(made.text.reveal().to_owned()),
            mode: made.role.name(),
            scopes: rights.words(),
        }
    }
}

/// A key to make or to bring along.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `create` reads")]
struct CreateKeyRequest {
    /// `live`, `test`, `platform`, or for a partner `partner`.
    #[schema(value_type = KeyMode)]
    mode: String,
    #[schema(max_length = 255)]
    name: Option<String>,
    /// One that the customer has already: 16 to 64 printable characters without blanks. Nobody may have it yet.
    #[schema(min_length = 16, max_length = 64, pattern = "^[!-~]+$")]
    key: Option<String>,
    /// What it may do; what the caller may do, if it is not given. Nobody gives more than it has.
    #[schema(value_type = Option<Vec<ScopeWord>>, max_items = 10)]
    scopes: Option<Vec<String>>,
    /// Addresses or networks, such as `203.0.113.7` or `2001:db8::/32`.
    #[schema(max_items = 50)]
    allowed_networks: Option<Vec<String>>,
    #[schema(minimum = 1, maximum = 10_000)]
    requests_per_second: Option<i64>,
    /// On top of the account's own limits, on all servers together, as its successors share it: 429 beyond.
    #[schema(minimum = 1, maximum = 100_000)]
    messages_per_second: Option<i64>,
    /// Of one part; 422 beyond.
    #[schema(pattern = r"^\d{1,12}(\.\d{1,6})?$")]
    max_price: Option<String>,
    /// Two letters each; 422 elsewhere.
    #[schema(max_items = 300)]
    allowed_countries: Option<Vec<String>>,
    /// In any one country in a day of UTC; 422 beyond.
    #[schema(minimum = 0, maximum = 1_000_000_000)]
    recipients_per_country_and_day: Option<i64>,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// What a key opens.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes what `create` reads")]
enum KeyMode {
    Live,
    Test,
    Partner,
    Platform,
}

/// One right.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes what `create` reads")]
enum ScopeWord {
    Read,
    Send,
    Contacts,
    Accounts,
    Keys,
    Money,
    Limits,
    Webhooks,
    Users,
    Admin,
}

/// What is changed of a key; null takes a limit away.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `update` reads")]
struct UpdateKeyRequest {
    #[schema(max_length = 255)]
    name: Option<String>,
    #[schema(value_type = Vec<ScopeWord>, max_items = 10, required = false)]
    scopes: Option<Vec<String>>,
    #[schema(max_items = 50, value_type = Vec<String>, required = false)]
    allowed_networks: Option<Vec<String>>,
    #[schema(minimum = 1, maximum = 10_000)]
    requests_per_second: Option<i64>,
    /// On top of the account's own limits, on all servers together, as its successors share it: 429 beyond.
    #[schema(minimum = 1, maximum = 100_000)]
    messages_per_second: Option<i64>,
    /// Of one part; 422 beyond.
    #[schema(pattern = r"^\d{1,12}(\.\d{1,6})?$")]
    max_price: Option<String>,
    /// Two letters each; 422 elsewhere.
    #[schema(max_items = 300)]
    allowed_countries: Option<Vec<String>>,
    /// In any one country in a day of UTC; 422 beyond.
    #[schema(minimum = 0, maximum = 1_000_000_000)]
    recipients_per_country_and_day: Option<i64>,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// How a key is replaced.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `rotate` reads")]
struct RotateKeyRequest {
    /// For how long the old key still opens: up to 30 days; 0 makes it void now.
    #[schema(minimum = 0, maximum = 2_592_000)]
    overlap_seconds: i64,
}

fn right(word: &str) -> Result<Right, Code> {
    Right::ALL.iter().find(|right| right.name() == word).copied().ok_or(Code::Invalid)
}

/// A network, or an address for the network of that alone.
fn network(text: &str) -> Result<IpNet, Code> {
    let alone = text.parse::<IpAddr>().map(IpNet::from);
    text.parse::<IpNet>().or(alone).map(|network| network.trunc()).map_err(|_| Code::Invalid)
}

fn patch(state: &Shared, fields: &mut Fields) -> Patch {
    let now = Timestamp(state.now_us());
    let name = fields.text("name", |text| plain(text, NAME_MAX));
    let rights = fields.list("scopes", Right::ALL.len(), right).map(|rights| Rights::of(&rights));
    let networks = fields.list("allowedNetworks", NETWORKS_MAX, network);
    let requests = fields.clearable_integer("requestsPerSecond", 1, REQUESTS_MAX);
    let expires = fields
        .clearable("expiresAt", |text| Timestamp::parse(text).filter(|at| *at > now).ok_or(Code::Invalid));
    let Given { messages, price, countries, per_country } = given(fields);
    Patch {
        name,
        rights,
        networks,
        expires,
        requests,
        messages,
        price,
        countries,
        per_country,
        ..Patch::default()
    }
}

/// The countries of a key, as the audit log has them.
fn countries(held: &Held) -> String {
    held.limits.countries.as_ref().map(|all| all.join(" ")).unwrap_or_default()
}

fn key_id(text: &str) -> Result<KeyId, Refusal> {
    KeyId::parse(text).ok_or_else(|| Error::NotFound(Noun::Key).into())
}

/// The account of a path; for the operator 0 is its own, which is no account.
async fn owner(state: &Shared, who: &Who, account: &str, right: Right) -> Result<AccountId, Refusal> {
    if who.is_operator() && account == "0" {
        who.need(right)?;
        return Ok(AccountId(0));
    }
    Ok(who.with(state, account, right).await?.account.id)
}

/// List keys
///
/// Oldest first, those that have ended included. The operator's own are those of account 0. Scope: `read`.
#[utoipa::path(get, path = "/accounts/{account}/keys", tag = "Keys",
    params(("account" = String, Path, description = "Its number, or `me`"), PageParams),
    responses((status = 200, body = List<KeyBody>)))]
async fn list(
    State(state): State<Shared>,
    who: Who,
    Path(account): Path<String>,
    page: Page,
) -> Result<Json<List<KeyBody>>, Refusal> {
    let id = owner(&state, &who, &account, Right::Read).await?;
    let after = page.after(KeyId::parse)?;
    let found = state.store.read((id, after, page.probe()), api_key::list).await?;
    Ok(Json(List::of(found, &page, |held| held.id.hyphenated(), KeyBody::from)))
}

/// Create or import a key
///
/// Its text is shown this once. Scope: `keys`.
#[utoipa::path(post, path = "/accounts/{account}/keys", tag = "Keys", request_body = CreateKeyRequest,
    params(("account" = String, Path, description = "Its number, or `me`")),
    responses((status = 201, body = NewKeyBody)))]
async fn create(
    State(state): State<Shared>,
    who: Who,
    once: Once,
    Path(account): Path<String>,
    mut fields: Fields,
) -> Result<Response, Refusal> {
    let account = owner(&state, &who, &account, Right::Keys).await?;
    let mode = fields.text("mode", |word| match (word, account) {
        ("operator", AccountId(0)) => Ok(Role::Operator),
        (_, AccountId(0)) => Err(Code::Invalid),
        ("live", _) => Ok(Role::Live),
        ("test", _) => Ok(Role::Test),
        ("partner", _) => Ok(Role::Partner),
        ("platform", _) => Ok(Role::Platform),
        _ => Err(Code::Invalid),
    });
    let mode = fields.required("mode", mode);
    let text = fields.text("key", Secret::imported_key);
    let patch = patch(&state, &mut fields);
    fields.finish()?;
    let role = mode.ok_or_else(|| Refusal::bug("a mode that was not read"))?;
    let imported = text.is_some();
    let new = api_key::New { by: who.mandate(), account, role, text, patch };
    let about = move |new: &api_key::New, (made, held): &(NewKey, Held)| {
        Act::on(new.account, if imported { "key.import" } else { "key.create" })
            .object(made.id.hyphenated())
            .with("mode", held.role.name())
            .with("name", &held.name)
            .with("scopes", held.rights.words().join(" "))
    };
    let unit = audited(who.actor, api_key::create, about);
    let body = move |(made, held): (NewKey, Held)| {
        let body = NewKeyBody::of(&made, held.rights);
        if imported { NewKeyBody { key: None, ..body } } else { body }
    };
    once.create(&state, new, unit, body).await
}

/// View a key
///
/// Scope: `read`.
#[utoipa::path(get, path = "/accounts/{account}/keys/{key}", tag = "Keys",
    params(("account" = String, Path, description = "Its number, or `me`"), ("key" = String, Path)),
    responses((status = 200, body = KeyBody)))]
async fn view(
    State(state): State<Shared>,
    who: Who,
    Path((account, key)): Path<(String, String)>,
) -> Result<Json<KeyBody>, Refusal> {
    let id = owner(&state, &who, &account, Right::Read).await?;
    Ok(Json(state.store.read((id, key_id(&key)?), api_key::find).await?.into()))
}

/// Change a key
///
/// What is not given stays; null takes a limit away. Nobody gives a key more than it has, nor changes one that may do more.
/// Scope: `keys`.
#[utoipa::path(patch, path = "/accounts/{account}/keys/{key}", tag = "Keys", request_body = UpdateKeyRequest,
    params(("account" = String, Path, description = "Its number, or `me`"), ("key" = String, Path)),
    responses((status = 200, body = KeyBody)))]
async fn update(
    State(state): State<Shared>,
    who: Who,
    Path((account, key)): Path<(String, String)>,
    mut fields: Fields,
) -> Result<Json<KeyBody>, Refusal> {
    let account = owner(&state, &who, &account, Right::Keys).await?;
    let id = key_id(&key)?;
    let patch = patch(&state, &mut fields);
    fields.finish()?;
    let about = |(About { account, id, .. }, patch): &(About, Patch), held: &Held| {
        let networks = patch.networks.as_ref().map(|_| held.networks.iter().map(IpNet::to_string));
        Act::on(*account, "key.update")
            .object(id.hyphenated())
            .with_given("name", patch.name.as_ref())
            .with_given("scopes", patch.rights.map(|rights| rights.words().join(" ")))
            .with_given("allowedNetworks", networks.map(|all| all.collect::<Vec<_>>().join(" ")))
            .with_given("expiresAt", patch.expires.map(|at| at.map(moment).unwrap_or_default()))
            .with_given("requestsPerSecond", patch.requests.map(Option::unwrap_or_default))
            .with_given("messagesPerSecond", patch.messages.map(Option::unwrap_or_default))
            .with_given(
                "maxPrice",
                patch.price.map(|price| price.map(|it| it.to_string()).unwrap_or_default()),
            )
            .with_given("allowedCountries", patch.countries.as_ref().map(|_| countries(held)))
            .with_given("recipientsPerCountryAndDay", patch.per_country.map(Option::unwrap_or_default))
    };
    let asked = About { by: who.mandate(), account, id };
    let unit = audited(who.actor, api_key::update, about);
    let held = state.store.write((asked, patch), unit).await?;
    state.forget_keys().await?;
    Ok(Json(held.into()))
}

/// Replace a key
///
/// Makes another one that opens the same, under the same name, scopes and limits; the old one ends after the overlap.
/// Scope: `keys`.
#[utoipa::path(post, path = "/accounts/{account}/keys/{key}/rotate", tag = "Keys", request_body = RotateKeyRequest,
    params(("account" = String, Path, description = "Its number, or `me`"), ("key" = String, Path)),
    responses((status = 201, body = NewKeyBody)))]
async fn rotate(
    State(state): State<Shared>,
    who: Who,
    once: Once,
    Path((account, key)): Path<(String, String)>,
    mut fields: Fields,
) -> Result<Response, Refusal> {
    let account = owner(&state, &who, &account, Right::Keys).await?;
    let id = key_id(&key)?;
    let overlap = fields.integer("overlapSeconds", 0, OVERLAP_MAX);
    let overlap = fields.required("overlapSeconds", overlap).unwrap_or_default();
    fields.finish()?;
    let rotation = Rotation { about: About { by: who.mandate(), account, id }, overlap };
    let about = |rotation: &Rotation, (made, _): &(NewKey, Held)| {
        Act::on(rotation.about.account, "key.rotate")
            .object(rotation.about.id.hyphenated())
            .with("overlapSeconds", rotation.overlap)
            .with("successor", made.id.hyphenated())
    };
    let unit = audited(who.actor, api_key::rotate, about);
    let response =
        once.create(&state, rotation, unit, |(made, held)| NewKeyBody::of(&made, held.rights)).await?;
    state.forget_keys().await?;
    Ok(response)
}

/// Make a key void
///
/// Everywhere within a second, for good. Scope: `keys`.
#[utoipa::path(delete, path = "/accounts/{account}/keys/{key}", tag = "Keys",
    params(("account" = String, Path, description = "Its number, or `me`"), ("key" = String, Path)),
    responses((status = 204)))]
async fn revoke(
    State(state): State<Shared>,
    who: Who,
    Path((account, key)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let account = owner(&state, &who, &account, Right::Keys).await?;
    let about = |asked: &About, (): &()| Act::on(asked.account, "key.revoke").object(asked.id.hyphenated());
    let asked = About { by: who.mandate(), account, id: key_id(&key)? };
    let unit = audited(who.actor, api_key::revoke, about);
    state.store.write(asked, unit).await?;
    state.forget_keys().await?;
    Ok(nothing())
}

/// What callbacks are signed with, without the keys themselves.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SigningBody {
    /// Since when the present key signs.
    #[schema(format = DateTime)]
    since: String,
    /// When the next one begins to sign, if there is one.
    #[schema(required = true, format = DateTime)]
    next_at: Option<String>,
}

/// The next signing key, which is shown this once.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct NewSigningKey {
    /// 32 characters.
    signing_key: String,
    /// From when on callbacks are signed with it.
    #[schema(format = DateTime)]
    signs_from: String,
}

/// When the next signing key begins.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `rotate_signing` reads")]
struct RotateSigningRequest {
    /// For how long the present key still signs: up to 366 days; 0 is now.
    #[schema(minimum = 0, maximum = 31_622_400)]
    overlap_seconds: i64,
}

/// View the signing key's state
///
/// Scope: `read`.
#[utoipa::path(get, path = "/accounts/{account}/signing-key", tag = "Keys",
    params(("account" = String, Path, description = "Its number, or `me`")),
    responses((status = 200, body = SigningBody)))]
async fn signing(
    State(state): State<Shared>,
    who: Who,
    Path(account): Path<String>,
) -> Result<Json<SigningBody>, Refusal> {
    let scope = who.with(&state, &account, Right::Read).await?.account.scope();
    let sealed = state.store.read(scope, signing_key::of).await?;
    let (since, next) = sealed.state(Timestamp(state.now_us()));
    Ok(Json(SigningBody { since: moment(since), next_at: next.map(moment) }))
}

/// Rotate the signing key
///
/// The next key is shown this once; the present one signs until the overlap is over, so that receivers have time to learn
/// the new one. A next key that was to come already is replaced. Scope: `keys`.
#[utoipa::path(post, path = "/accounts/{account}/signing-key/rotate", tag = "Keys", request_body = RotateSigningRequest,
    params(("account" = String, Path, description = "Its number, or `me`")),
    responses((status = 201, body = NewSigningKey)))]
async fn rotate_signing(
    State(state): State<Shared>,
    who: Who,
    once: Once,
    Path(account): Path<String>,
    mut fields: Fields,
) -> Result<Response, Refusal> {
    let account = who.with(&state, &account, Right::Keys).await?.account.id;
    let overlap = fields.integer("overlapSeconds", 0, ROTATION_MAX);
    let overlap = fields.required("overlapSeconds", overlap).unwrap_or_default();
    fields.finish()?;
    let at = Timestamp(state.now_us().saturating_add(overlap.saturating_mul(1_000_000)));
    let rotation = signing_key::Rotation { account, at, vault: state.vault.clone() };
    let about = |rotation: &signing_key::Rotation, (_, at): &(Secret, Timestamp)| {
        Act::on(rotation.account, "signing-key.rotate").with("signsFrom", moment(*at))
    };
    let unit = audited(who.actor, signing_key::rotate, about);
    let body = |(text, at): (Secret, Timestamp)| NewSigningKey {
        signing_key: text.reveal().to_owned(),
        signs_from: moment(at),
    };
    once.create(&state, rotation, unit, body).await
}

/// Take the next signing key back
///
/// Before its moment; the present one stays. Scope: `keys`.
#[utoipa::path(delete, path = "/accounts/{account}/signing-key", tag = "Keys",
    params(("account" = String, Path, description = "Its number, or `me`")),
    responses((status = 204)))]
async fn cancel_signing(
    State(state): State<Shared>,
    who: Who,
    Path(account): Path<String>,
) -> Result<Response, Refusal> {
    let account = who.with(&state, &account, Right::Keys).await?.account.id;
    let about = |account: &AccountId, (): &()| Act::on(*account, "signing-key.cancel");
    state.store.write(account, audited(who.actor, signing_key::cancel, about)).await?;
    Ok(nothing())
}
