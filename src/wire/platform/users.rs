//! The people of an account: who signs in, and what each may do. Nobody gives a role, a password or a way in to somebody
//! who may do more than itself.

use super::fields::{Fields, plain};
use super::nothing;
use super::page::{List, Page, PageParams};
use super::sessions::{SessionBody, chosen};
use super::who::Who;
use crate::core::account::NAME_MAX;
use crate::core::audit::{Act, audited};
use crate::core::mandate::Mandate;
use crate::core::people::{self, About};
use crate::core::person::{self, Asked, Change, Listed, NewPerson, Person, PersonId, Role};
use crate::core::rights::{Right, Rights};
use crate::core::second_factor;
use crate::core::session;
use crate::core::{Code, Error, Noun, Scope};
use crate::wire::Shared;
use crate::wire::idempotency::Once;
use crate::wire::refusal::Refusal;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Serialize;
use store::Tx;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(view, update, remove))
        .routes(routes!(password))
        .routes(routes!(sessions, end_sessions))
        .routes(routes!(take_totp))
}

/// Somebody who signs in.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct UserBody {
    id: String,
    email: String,
    /// May be empty.
    name: String,
    /// `owner`, `admin`, `developer`, `billing` or `read-only`.
    role: &'static str,
    /// What the role may do.
    scopes: Vec<&'static str>,
    /// Whether signing in asks for a code.
    totp: bool,
}

impl UserBody {
    fn new(person: Person, totp: bool) -> Self {
        UserBody {
            id: person.id.to_string(),
            email: person.email,
            name: person.name,
            role: person.role.name(),
            scopes: Rights::of_role(person.role).words(),
            totp,
        }
    }
}

/// What somebody may do for the account.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
#[expect(dead_code, reason = "describes what `create` reads")]
enum UserRole {
    Owner,
    Admin,
    Developer,
    Billing,
    ReadOnly,
}

/// Somebody to add.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `create` reads")]
struct CreateUserRequest {
    /// Of a partner's people unique in the installation, of a child's in the partner's tree.
    #[schema(max_length = 255, pattern = r"^[^\s@]+@[^\s@]{3,}$")]
    email: String,
    #[schema(max_length = 255)]
    name: Option<String>,
    #[schema(value_type = UserRole)]
    role: String,
    #[schema(min_length = 8, max_length = 256)]
    password: String,
}

/// What is changed of somebody.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `update` reads")]
struct UpdateUserRequest {
    #[schema(max_length = 255)]
    name: Option<String>,
    /// All sessions end when it changes.
    #[schema(value_type = UserRole, required = false)]
    role: Option<String>,
}

/// A password to set.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `password` reads")]
struct SetPasswordRequest {
    #[schema(min_length = 8, max_length = 256)]
    password: String,
}

fn role(word: &str) -> Result<Role, Code> {
    Role::ALL.iter().find(|role| role.name() == word).copied().ok_or(Code::Invalid)
}

/// Refuses early what the unit, which judges what is so when it runs, would refuse as well.
fn covers(who: &Who, role: Role) -> Result<(), Refusal> {
    if who.rights.covers(Rights::of_role(role)) { Ok(()) } else { Err(Error::Forbidden.into()) }
}

async fn person_of(
    state: &Shared,
    who: &Who,
    account: &str,
    user: &str,
    right: Right,
) -> Result<Person, Refusal> {
    let scope = who.with(state, account, right).await?.account.scope();
    let id: PersonId = user.parse().map_err(|_| Error::NotFound(Noun::Person))?;
    let person = state.store.read((scope, id), person::find).await?;
    if right == Right::Users {
        covers(who, person.role)?;
    }
    Ok(person)
}

async fn body(state: &Shared, person: Person) -> Result<UserBody, Refusal> {
    let holders = state.store.read(person.scope, second_factor::holders).await?;
    let totp = holders.contains(&person.id);
    Ok(UserBody::new(person, totp))
}

/// List users
///
/// Oldest first. Scope: `read`.
#[utoipa::path(get, path = "/accounts/{account}/users", tag = "Users",
    params(("account" = String, Path, description = "Its number, or `me`"), PageParams),
    responses((status = 200, body = List<UserBody>)))]
async fn list(
    State(state): State<Shared>,
    who: Who,
    Path(account): Path<String>,
    page: Page,
) -> Result<Json<List<UserBody>>, Refusal> {
    let scope = who.with(&state, &account, Right::Read).await?.account.scope();
    let after = page.after(|text| text.parse::<PersonId>().ok())?;
    let asked = Asked { scope, after, limit: page.probe() };
    let found = state.store.read(asked, person::page).await?;
    let body = |Listed(person, totp)| UserBody::new(person, totp);
    Ok(Json(List::of(found, &page, |Listed(person, _)| person.id.to_string(), body)))
}

/// Add a user
///
/// Scope: `users`, and everything that the role may do.
#[utoipa::path(post, path = "/accounts/{account}/users", tag = "Users", request_body = CreateUserRequest,
    params(("account" = String, Path, description = "Its number, or `me`")),
    responses((status = 201, body = UserBody)))]
async fn create(
    State(state): State<Shared>,
    who: Who,
    once: Once,
    Path(account): Path<String>,
    mut fields: Fields,
) -> Result<Response, Refusal> {
    let scope = who.with(&state, &account, Right::Users).await?.account.scope();
    let email = fields.text("email", person::email);
    let email = fields.required("email", email).unwrap_or_default();
    let name = fields.text("name", |text| plain(text, NAME_MAX)).unwrap_or_default();
    let role = fields.text("role", role);
    let role = fields.required("role", role).unwrap_or(Role::ReadOnly);
    let password = chosen(&mut fields);
    fields.finish()?;
    covers(&who, role)?;
    let password = password.ok_or_else(|| Refusal::bug("a password that was not read"))?;
    let password = state.passwords.hash(password, &state.entropy).await?;
    let new = NewPerson { account: scope.account, email, name, role, password };
    let about = |_: &(Mandate, Scope, NewPerson), made: &Person| {
        Act::on(made.scope.account, "user.create")
            .object(made.id)
            .with("email", &made.email)
            .with("role", made.role.name())
    };
    let asked = (who.mandate(), scope, new);
    let unit = audited(who.actor, people::create, about);
    once.create(&state, asked, unit, |made| UserBody::new(made, false)).await
}

/// View a user
///
/// Scope: `read`.
#[utoipa::path(get, path = "/accounts/{account}/users/{user}", tag = "Users",
    params(("account" = String, Path, description = "Its number, or `me`"), ("user" = String, Path)),
    responses((status = 200, body = UserBody)))]
async fn view(
    State(state): State<Shared>,
    who: Who,
    Path((account, user)): Path<(String, String)>,
) -> Result<Json<UserBody>, Refusal> {
    let person = person_of(&state, &who, &account, &user, Right::Read).await?;
    Ok(Json(body(&state, person).await?))
}

/// Change a user
///
/// Another role ends all its sessions. The last owner stays one, unless whoever is above the account says otherwise. Scope: `users`, and everything that the old and the new role may do.
#[utoipa::path(patch, path = "/accounts/{account}/users/{user}", tag = "Users", request_body = UpdateUserRequest,
    params(("account" = String, Path, description = "Its number, or `me`"), ("user" = String, Path)),
    responses((status = 200, body = UserBody)))]
async fn update(
    State(state): State<Shared>,
    who: Who,
    Path((account, user)): Path<(String, String)>,
    mut fields: Fields,
) -> Result<Json<UserBody>, Refusal> {
    let person = person_of(&state, &who, &account, &user, Right::Users).await?;
    let name = fields.text("name", |text| plain(text, NAME_MAX));
    let role = fields.text("role", role);
    fields.finish()?;
    if let Some(role) = role {
        covers(&who, role)?;
    }
    let change = Change { scope: person.scope, id: person.id, name, role };
    let about = |(_, change): &(Mandate, Change), _: &Person| {
        Act::on(change.scope.account, "user.update")
            .object(change.id)
            .with_given("name", change.name.as_ref())
            .with_given("role", change.role.map(Role::name))
    };
    let asked = (who.mandate(), change);
    let changed = state.store.write(asked, audited(who.actor, people::update, about)).await?;
    state.forget_keys().await?;
    Ok(Json(body(&state, changed).await?))
}

async fn done_to(
    state: &Shared,
    who: Who,
    person: &Person,
    action: &'static str,
    unit: impl for<'t, 'c> AsyncFn(&'t mut Tx, &'c About) -> crate::core::Result<()> + Send + 'static,
) -> Result<Response, Refusal> {
    let done = move |about: &About, (): &()| Act::on(about.scope.account, action).object(about.id);
    let about = About { by: who.mandate(), scope: person.scope, id: person.id };
    state.store.write(about, audited(who.actor, unit, done)).await?;
    state.forget_keys().await?;
    Ok(nothing())
}

/// Remove a user
///
/// All its sessions and tokens end. The last owner is removed only by whoever is above the account. Scope: `users`, and everything that the role may do.
#[utoipa::path(delete, path = "/accounts/{account}/users/{user}", tag = "Users",
    params(("account" = String, Path, description = "Its number, or `me`"), ("user" = String, Path)),
    responses((status = 204)))]
async fn remove(
    State(state): State<Shared>,
    who: Who,
    Path((account, user)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let person = person_of(&state, &who, &account, &user, Right::Users).await?;
    done_to(&state, who, &person, "user.remove", people::remove).await
}

/// Set a user's password
///
/// All its sessions and tokens end. Scope: `users`, and everything that the role may do.
#[utoipa::path(put, path = "/accounts/{account}/users/{user}/password", tag = "Users", request_body = SetPasswordRequest,
    params(("account" = String, Path, description = "Its number, or `me`"), ("user" = String, Path)),
    responses((status = 204)))]
async fn password(
    State(state): State<Shared>,
    who: Who,
    Path((account, user)): Path<(String, String)>,
    mut fields: Fields,
) -> Result<Response, Refusal> {
    let person = person_of(&state, &who, &account, &user, Right::Users).await?;
    let password = chosen(&mut fields);
    fields.finish()?;
    let password = password.ok_or_else(|| Refusal::bug("a password that was not read"))?;
    let hash = state.passwords.hash(password, &state.entropy).await?;
    let unit =
        async move |tx: &mut Tx, about: &About| people::set_password(tx, &(*about, hash.clone())).await;
    done_to(&state, who, &person, "user.password", unit).await
}

/// List a user's sessions
///
/// Scope: `read`.
#[utoipa::path(get, path = "/accounts/{account}/users/{user}/sessions", tag = "Users",
    params(("account" = String, Path, description = "Its number, or `me`"), ("user" = String, Path)),
    responses((status = 200, body = List<SessionBody>)))]
async fn sessions(
    State(state): State<Shared>,
    who: Who,
    Path((account, user)): Path<(String, String)>,
) -> Result<Json<List<SessionBody>>, Refusal> {
    let person = person_of(&state, &who, &account, &user, Right::Read).await?;
    let found = state.store.read((person.scope, person.id), session::list).await?;
    Ok(Json(List::whole(found)))
}

/// End a user's sessions
///
/// All of them, and its tokens of the partner API, everywhere within a second. Scope: `users`, and everything that the
/// role may do.
#[utoipa::path(delete, path = "/accounts/{account}/users/{user}/sessions", tag = "Users",
    params(("account" = String, Path, description = "Its number, or `me`"), ("user" = String, Path)),
    responses((status = 204)))]
async fn end_sessions(
    State(state): State<Shared>,
    who: Who,
    Path((account, user)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let person = person_of(&state, &who, &account, &user, Right::Users).await?;
    done_to(&state, who, &person, "user.sign-out", people::sign_out).await
}

/// Take a user's second factor away
///
/// For somebody who has lost it; all its sessions end. Scope: `users`, and everything that the role may do.
#[utoipa::path(delete, path = "/accounts/{account}/users/{user}/totp", tag = "Users",
    params(("account" = String, Path, description = "Its number, or `me`"), ("user" = String, Path)),
    responses((status = 204)))]
async fn take_totp(
    State(state): State<Shared>,
    who: Who,
    Path((account, user)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let person = person_of(&state, &who, &account, &user, Right::Users).await?;
    done_to(&state, who, &person, "user.totp-remove", people::take_second_factor).await
}
