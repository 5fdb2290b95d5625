//! The pages on which a partner's clients share their numbers: docs/spec/32-360-webhooks-onboarding.md sections 4 and 5.
//!
//! A client signs up or signs in, says which of its numbers the partner may make keys for, and is led back to the partner.
//! Nothing of it lies in a cookie: what is known of a visitor goes along in the forms, and what opens an account is a
//! token that ends soon.

use super::page::{Page, escaped};
use super::{EVENTS, id};
use crate::core::account::{self, AccountId, ChildOf};
use crate::core::audit::{Act, audited, record};
use crate::core::channel::{self, Permit, View};
use crate::core::client::{self, Details, NewClient};
use crate::core::key::{NewKey, Role};
use crate::core::partner::{self, Handle, Partner, check_url};
use crate::core::password::Password;
use crate::core::person::{self, NewPerson, Person, SignIn};
use crate::core::phone::Msisdn;
use crate::core::secret::{self, Place, Secret};
use crate::core::sharing::{self, Request};
use crate::core::{Code, Error, Noun, Result as CoreResult, Scope, Violation, onboarding as links};
use crate::wire::acting;
use crate::wire::attributes::{Attributes, at_most, filled};
use crate::wire::caller::attempt;
use crate::wire::refusal::Refusal;
use crate::wire::{Context, Shared};
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, Response, StatusCode};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha512;
use std::net::IpAddr;
use std::sync::Arc;
use store::Tx;
use subtle::ConstantTimeEq;
use url::Url;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The three paths by which the vendor's buttons come (section 4.1). These are pages and no API, so they stand in no
/// description of one.
pub(super) fn routes() -> OpenApiRouter<Shared> {
    let pages = || OpenApiRouter::new().routes(routes!(show, submit));
    OpenApiRouter::new()
        .nest("/dashboard/app/{partner_id}/permissions", pages())
        .nest("/dashboard/app/{partner_id}", pages())
        .nest("/onboarding/{partner_id}", pages())
}

/// A refusal as a page.
pub(in crate::wire) fn render_page(refusal: &Refusal, request_id: &str) -> Response<Body> {
    let status = super::error::render(refusal, request_id).status();
    let text = match refusal {
        Refusal::NoSuchPath | Refusal::Core(Error::NotFound(_)) => "There is no such page.",
        Refusal::Core(Error::Forbidden) => {
            "This link is not valid, or no longer. Start again where you came from."
        }
        Refusal::Core(Error::Unauthenticated) => "This took too long. Start again where you came from.",
        Refusal::Core(Error::Limited { .. }) => "Too many tries. Wait a while.",
        Refusal::Core(Error::Unavailable(_)) => "Not available right now. Try again in a moment.",
        Refusal::Malformed(what) => what,
        _ => "This cannot be done.",
    };
    Page::new("Not possible").paragraph(text).answer(status, None)
}

/// How a visitor came: what the link said.
#[derive(Debug, Clone, Default)]
struct Visit {
    number: String,
    email: String,
    name: String,
    payload: Option<String>,
    state: Option<String>,
    redirect: Option<String>,
    signature: String,
    timestamp: String,
    login: bool,
}

impl Visit {
    fn read(attributes: &Attributes) -> Result<Visit, Refusal> {
        let mut reader = attributes.reader();
        let mut text = |name: &'static str| reader.optional(&[name], at_most(TEXT_MAX));
        let visit = Visit {
            number: text("number").unwrap_or_default(),
            email: text("email").unwrap_or_default(),
            name: text("name").unwrap_or_default(),
            payload: text("partner").filter(|text| !text.is_empty()),
            state: text("state").filter(|text| !text.is_empty()),
            redirect: text("redirect_url").filter(|text| !text.is_empty()),
            signature: text("io_signature").unwrap_or_default(),
            timestamp: text("io_timestamp").unwrap_or_default(),
            login: text("next").as_deref() == Some("login"),
        };
        reader.finish()?;
        Ok(visit)
    }

    /// What every form takes along.
    fn hidden(&self) -> Vec<(&'static str, &str)> {
        let mut hidden = Vec::new();
        for (name, value) in [
            ("partner", self.payload.as_deref()),
            ("state", self.state.as_deref()),
            ("redirect_url", self.redirect.as_deref()),
            ("io_signature", Some(self.signature.as_str())),
            ("io_timestamp", Some(self.timestamp.as_str())),
        ] {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                hidden.push((name, value));
            }
        }
        hidden
    }
}

/// Longest text that a link may say.
const TEXT_MAX: usize = 2_048;
/// A signature holds for so many seconds (section 5).
const FRESH: i64 = 300;
/// Somebody who has signed in has so many seconds to decide.
const LASTS: i64 = 900;
/// A client's business account of its own begins so.
const OWN_BUSINESS: &str = "7020";

/// The partner, and where its visitors are led back to.
struct Host {
    id: AccountId,
    partner: Partner,
    back: Url,
    secret: Option<Vec<u8>>,
}

impl Host {
    /// Checks all that a link must have before anything is shown.
    async fn of(state: &Shared, handle: &str, visit: &Visit) -> Result<Host, Refusal> {
        let id = state.store.read(Handle::new(handle), partner::by_handle).await?;
        let owner = state.store.read(id, account::find).await?;
        if owner.status != account::Status::Active {
            return Err(Error::NotFound(Noun::Account).into());
        }
        let partner = state.store.read(id, partner::view).await?;
        let back = partner.redirect_url.as_deref().and_then(|url| Url::parse(url).ok());
        let Some(mut back) = back else {
            return Err(Refusal::Malformed("The partner has not said where to lead you afterwards."));
        };
        if let Some(wanted) = &visit.redirect {
            let wanted = Url::parse(wanted).ok().filter(|_| check_url(wanted).is_ok());
            match wanted.filter(|wanted| wanted.origin() == back.origin()) {
                Some(wanted) => back = wanted,
                None => {
                    return Err(Refusal::Malformed(
                        "The link leads back to a place that is not the partner's.",
                    ));
                }
            }
        }
        let sealed = state.store.read(id, partner::sealed_secret).await?;
        let secret = match sealed {
            Some(sealed) => Some(
                state
                    .vault
                    .open(Place::PlatformSecret(id.0), &sealed)
                    .map_err(|_| Refusal::bug("a platform secret does not open"))?,
            ),
            None => None,
        };
        let host = Host { id, partner, back, secret };
        let rules = state.store.read(id, partner::rules).await?;
        if (rules.signed_onboarding || !visit.signature.is_empty()) && !host.is_signed(visit, state.now_us())
        {
            return Err(Error::Forbidden.into());
        }
        Ok(host)
    }

    fn handle(&self) -> &str {
        self.partner.handle.as_str()
    }

    /// HMAC-SHA512 of the partner and the moment.
    fn signature(&self, seconds: i64) -> Option<String> {
        let mut mac = Hmac::<Sha512>::new_from_slice(self.secret.as_deref()?).ok()?;
        mac.update(format!("{}|{seconds}", self.handle()).as_bytes());
        Some(secret::hex(&mac.finalize().into_bytes()))
    }

    fn is_signed(&self, visit: &Visit, now_us: i64) -> bool {
        let Ok(seconds) = visit.timestamp.parse::<i64>() else { return false };
        let Some(expected) = self.signature(seconds) else { return false };
        let fresh = (now_us / 1_000_000).saturating_sub(seconds).abs() <= FRESH;
        let given = visit.signature.to_ascii_lowercase();
        fresh && bool::from(expected.as_bytes().ct_eq(given.as_bytes()))
    }

    /// Where a visitor is led back to: ids in brackets, without quotes and blanks (section 4.2).
    fn redirect(
        &self,
        visit: &Visit,
        client: AccountId,
        channels: &[String],
        revoked: &[String],
        seconds: i64,
    ) -> Response<Body> {
        let list = |ids: &[String]| {
            let ids: Vec<String> = ids.iter().map(|id| id::ending(id, id::CHANNEL)).collect();
            format!("[{}]", ids.join(","))
        };
        let mut query = format!("client={}&channels={}", id::client(client), list(channels));
        if !revoked.is_empty() {
            query.extend(["&revoked=", &list(revoked)]);
        }
        if let Some(state) = &visit.state {
            let state: String = form_urlencoded::byte_serialize(state.as_bytes()).collect();
            query.extend(["&state=", &state]);
        }
        if let Some(signature) = self.signature(seconds) {
            query.extend(["&io_timestamp=", &seconds.to_string(), "&io_signature=", &signature]);
        }
        let mut back = self.back.clone();
        let whole = match back.query().filter(|query| !query.is_empty()) {
            Some(before) => format!("{before}&{query}"),
            None => query,
        };
        back.set_query(Some(&whole));
        let mut response = Page::new("Done").paragraph("You are led back.").answer(StatusCode::FOUND, None);
        if let Ok(location) = HeaderValue::from_str(back.as_str()) {
            response.headers_mut().insert(LOCATION, location);
        }
        response
    }
}

/// The first page: sign up, or sign in.
fn entrance(host: &Host, visit: &Visit, problem: Option<&str>) -> Response<Body> {
    let brand = escaped(&host.partner.brand);
    let may_add = host.partner.clients_add_numbers;
    let mut page = Page::new(&format!("Connect your number with {}", host.partner.brand));
    if let Some(problem) = problem {
        page = page.problem(problem);
    }
    let sign_up = |page: Page| {
        page.form(
            "Sign up",
            &[&visit.hidden()[..], &[("step", "sign-up")]].concat(),
            &[
                ("name", "text", "Company", visit.name.as_str()),
                ("contact", "text", "Your name", ""),
                ("email", "email", "E-mail address", visit.email.as_str()),
                ("password", "password", "Password, at least 8 characters", ""),
                ("number", "tel", "Phone number, with country code", visit.number.as_str()),
            ],
            &format!("By going on you let {brand} create API keys for this number and accept its terms."),
        )
    };
    let sign_in = |page: Page| {
        page.form(
            "Sign in",
            &[&visit.hidden()[..], &[("step", "sign-in")]].concat(),
            &[
                ("email", "email", "E-mail address", visit.email.as_str()),
                ("password", "password", "Password", ""),
            ],
            "If you have signed up before.",
        )
    };
    page = if !may_add {
        sign_in(
            page.paragraph("No numbers can be added at the moment. You can change the permissions of yours."),
        )
    } else if visit.login {
        sign_up(sign_in(page))
    } else {
        sign_in(sign_up(page))
    };
    page.answer(StatusCode::OK, Some(&host.back))
}

/// The second page, for those who have signed in: which numbers, and maybe one more.
fn permissions(host: &Host, visit: &Visit, token: &str, views: &[View]) -> Response<Body> {
    let mut hidden = visit.hidden();
    hidden.extend([("step", "permissions"), ("token", token)]);
    let boxes: Vec<(String, String, bool)> = views
        .iter()
        .filter(|view| view.channel.terminated.is_none())
        .map(|view| {
            let channel = &view.channel;
            (channel.id.clone(), format!("+{} {}", channel.msisdn, channel.name), channel.permitted)
        })
        .collect();
    let fields: &[(&str, &str, &str, &str)] = if host.partner.clients_add_numbers {
        &[("number", "tel", "One more phone number, with country code", visit.number.as_str())]
    } else {
        &[]
    };
    Page::new(&format!("Your numbers and {}", host.partner.brand))
        .paragraph("Tick the numbers that API keys may be created for.")
        .boxes(&hidden, &boxes, fields)
        .answer(StatusCode::OK, Some(&host.back))
}

/// Begin an onboarding
#[utoipa::path(get, path = "/", params(("partner_id" = String, Path)), responses((status = 200)))]
async fn show(
    State(state): State<Shared>,
    Path(handle): Path<String>,
    attributes: Attributes,
) -> Result<Response<Body>, Refusal> {
    let visit = Visit::read(&attributes)?;
    let host = Host::of(&state, &handle, &visit).await?;
    Ok(entrance(&host, &visit, None))
}

/// Go on with an onboarding
#[utoipa::path(post, path = "/", params(("partner_id" = String, Path)), responses((status = 302)))]
async fn submit(
    State(state): State<Shared>,
    Extension(context): Extension<Arc<Context>>,
    Path(handle): Path<String>,
    attributes: Attributes,
) -> Result<Response<Body>, Refusal> {
    let attributes = attributes.body_only();
    let visit = Visit::read(&attributes)?;
    let host = Host::of(&state, &handle, &visit).await?;
    let mut reader = attributes.reader();
    let step = reader.optional(&["step"], at_most(TEXT_MAX)).unwrap_or_default();
    match step.as_str() {
        "sign-up" => sign_up(&state, &host, &visit, &attributes, &context).await,
        "sign-in" => sign_in(&state, &host, &visit, &attributes, &context).await,
        "permissions" => permit(&state, &host, &visit, &attributes, &context).await,
        _ => Ok(entrance(&host, &visit, None)),
    }
}

/// What a sign-up makes, in one unit.
#[derive(Clone)]
struct SignUp {
    client: NewClient,
    person: NewPerson,
    number: Msisdn,
    signatures: Signatures,
    from: IpAddr,
}

/// The signature that somebody came by, and the one that leads back: that proves the redirect and opens nothing.
#[derive(Clone)]
struct Signatures {
    came: Option<[u8; 32]>,
    leads: Option<[u8; 32]>,
}

impl Signatures {
    fn of(host: &Host, visit: &Visit, seconds: i64) -> Signatures {
        let hash = |signature: &str| secret::hash(&signature.to_ascii_lowercase());
        let came = Some(visit.signature.as_str()).filter(|signature| !signature.is_empty()).map(hash);
        Signatures { came, leads: host.signature(seconds).as_deref().map(hash) }
    }

    async fn spend(&self, tx: &mut Tx, partner: AccountId) -> CoreResult<()> {
        if let Some(hash) = self.came
            && !links::spend(tx, &(partner, hash)).await?
        {
            return Err(Error::Forbidden);
        }
        if let Some(hash) = self.leads {
            // Others who were led back in this second have spent it already.
            links::spend(tx, &(partner, hash)).await?;
        }
        Ok(())
    }
}

/// The client, its person and its channel: all, or nothing.
async fn sign_up_unit(tx: &mut Tx, asked: &SignUp) -> CoreResult<(AccountId, Vec<String>)> {
    let partner = asked.client.partner;
    asked.signatures.spend(tx, partner).await?;
    let (made, is_new) = client::create(tx, &asked.client).await?;
    if !is_new {
        return Err(Violation::new("email", Code::Taken).into());
    }
    let child = made.account.id;
    let id = person::create(tx, &NewPerson { account: child, ..asked.person.clone() }).await?;
    let act = Act::on(child, "account.create").with("name", &asked.client.name);
    record(tx, &acting::person(id, asked.from), &act).await?;
    let channels = add_number(tx, partner, child, asked.number).await?;
    Ok((child, channels))
}

/// A number of a client's own, permitted by whoever has typed it.
async fn add_number(
    tx: &mut Tx,
    partner: AccountId,
    child: AccountId,
    number: Msisdn,
) -> CoreResult<Vec<String>> {
    let request = Request {
        partner,
        client: Some(child),
        owner: None,
        business: format!("{OWN_BUSINESS}{child}"),
        number: Some(number.to_string()),
        solution: String::new(),
        plan: None,
        phone: Some(number),
        permitted: true,
        dialect: EVENTS,
    };
    Ok(sharing::complete_at_once(tx, &request).await?.unwrap_or_default())
}

async fn sign_up(
    state: &Shared,
    host: &Host,
    visit: &Visit,
    attributes: &Attributes,
    context: &Context,
) -> Result<Response<Body>, Refusal> {
    let mut reader = attributes.reader();
    let name = reader.optional(&["name"], |text| account::check_name(text).map(|()| text.to_owned()));
    let contact = reader.optional(&["contact"], filled(at_most(account::NAME_MAX))).flatten();
    let email = reader.optional(&["email"], person::email);
    let password = reader.optional(&["password"], at_most(TEXT_MAX)).map(Password::chosen);
    let number = reader.optional(&["number"], Msisdn::parse);
    let refuse = |why: &str| Ok(entrance(host, visit, Some(why)));
    let Some(name) = name else { return refuse("Say what your company is called.") };
    let Some(email) = email else { return refuse("That is no e-mail address.") };
    let Some(Ok(password)) = password else { return refuse("The password needs 8 to 256 characters.") };
    let Some(number) = number else {
        return refuse("That is no phone number: give it with its country code.");
    };
    if !host.partner.clients_add_numbers {
        return refuse("No numbers can be added at the moment.");
    }
    // Not given back: each costs a hash, and may make an account.
    attempt(state, context.client.address, &tried_as(host, &email))?;
    let password = state.passwords.hash(password, &state.entropy).await?;
    let client = NewClient {
        partner: host.id,
        name,
        email: email.clone(),
        details: Details {
            contact_name: contact.clone(),
            phone: Some(number.to_string()),
            ..Details::default()
        },
        payload: visit.payload.clone(),
        vault: state.vault.clone(),
        dialect: EVENTS,
    };
    let person = NewPerson {
        account: host.id,
        email,
        name: contact.unwrap_or_default(),
        role: person::Role::Owner,
        password,
    };
    let seconds = state.now_us() / 1_000_000;
    let (signatures, from) = (Signatures::of(host, visit, seconds), context.client.address);
    let asked = SignUp { client, person, number, signatures, from };
    match state.store.write(asked, sign_up_unit).await {
        Ok((child, channels)) => {
            state.wake.callbacks();
            Ok(host.redirect(visit, child, &channels, &[], seconds))
        }
        // Which of the two it was would tell who is here.
        Err(Error::Invalid(_)) => refuse(
            "This address or this number cannot be signed up. If you have signed up before, sign in below.",
        ),
        Err(error) => Err(error.into()),
    }
}

async fn sign_in(
    state: &Shared,
    host: &Host,
    visit: &Visit,
    attributes: &Attributes,
    context: &Context,
) -> Result<Response<Body>, Refusal> {
    let mut reader = attributes.reader();
    let email = reader.optional(&["email"], person::email).unwrap_or_default();
    let password = reader.optional(&["password"], at_most(TEXT_MAX)).unwrap_or_default();
    let tried = attempt(state, context.client.address, &tried_as(host, &email))?;
    let found = state.store.read((host.id, email), person::of_clients).await?;
    let stored = found.as_ref().map(|person| person.password.clone());
    let fits = state.passwords.fits(Password::typed(password), stored).await?;
    let Some(person) = found.filter(|_| fits) else {
        return Ok(entrance(host, visit, Some("Wrong e-mail address or password.")));
    };
    tried.forgive();
    let child = ChildOf { partner: host.id, child: person.scope.account };
    if state.store.read(child, client::find).await?.account.status != account::Status::Active {
        return Ok(entrance(host, visit, Some("This account is suspended.")));
    }
    let mut chance = [0; 32];
    state.entropy.fill(&mut chance);
    let token = secret::hex(&chance);
    let sign_in = SignIn {
        person: Person { ..person },
        token: Secret::new(token.clone()),
        opens: Role::Onboarding,
        lasts: LASTS,
    };
    let scope = sign_in.person.scope;
    let actor = acting::person(sign_in.person.id, context.client.address);
    let about = |asked: &SignIn, made: &NewKey| {
        let act = Act::on(asked.person.scope.account, "session.begin").object(made.id.hyphenated());
        act.with("mode", made.role.name())
    };
    state.store.write(sign_in, audited(actor, person::sign_in, about)).await?;
    let views = channels_of(state, scope).await?;
    Ok(permissions(host, visit, &token, &views))
}

/// Stands for somebody whose password is tried: addresses are a partner's own.
fn tried_as(host: &Host, email: &str) -> String {
    format!("{} {email}", host.handle())
}

async fn channels_of(state: &Shared, scope: Scope) -> Result<Vec<View>, Refusal> {
    Ok(state.store.scan(scope, channel::list_of).await?)
}

/// What a decision changes, in one unit.
#[derive(Clone)]
struct Decision {
    permit: Permit,
    number: Option<Msisdn>,
    signatures: Signatures,
}

async fn decide(tx: &mut Tx, decision: &Decision) -> CoreResult<(Vec<String>, Vec<String>)> {
    let Permit { client, granted, revoked, .. } = &decision.permit;
    decision.signatures.spend(tx, client.partner).await?;
    let mut added = match decision.number {
        Some(number) => add_number(tx, client.partner, client.child, number).await?,
        None => Vec::new(),
    };
    let changed = channel::permit(tx, &decision.permit).await?;
    let mut permitted = granted.clone();
    added.retain(|id| !permitted.contains(id) && !revoked.contains(id));
    permitted.append(&mut added);
    let withdrawn = revoked.iter().filter(|id| changed.contains(id)).cloned().collect();
    Ok((permitted, withdrawn))
}

async fn permit(
    state: &Shared,
    host: &Host,
    visit: &Visit,
    attributes: &Attributes,
    context: &Context,
) -> Result<Response<Body>, Refusal> {
    let mut reader = attributes.reader();
    let token = reader.optional(&["token"], at_most(TEXT_MAX)).unwrap_or_default();
    let number = reader.optional(&["number"], filled(Msisdn::parse)).flatten();
    let chosen = reader.list("channel", false).unwrap_or_default();
    reader.finish()?;
    let hash = secret::hash(&token);
    let entry = state.keys.look_up(&state.store, hash).await?;
    let entry = entry.filter(|entry| {
        let principal = &entry.principal;
        let lives = principal.expires.is_some_and(|ends| ends.0 > state.now_us());
        principal.role == Role::Onboarding
            && lives
            && principal.scope.root == host.id
            && principal.status == account::Status::Active
    });
    let Some(entry) = entry else { return Err(Error::Unauthenticated.into()) };
    let scope = entry.principal.scope;
    let views = channels_of(state, scope).await?;
    let open = views.iter().filter(|view| view.channel.terminated.is_none());
    let (granted, revoked): (Vec<&View>, Vec<&View>) =
        open.partition(|view| chosen.contains(&view.channel.id));
    let ids = |views: &[&View]| views.iter().map(|view| view.channel.id.clone()).collect::<Vec<_>>();
    let seconds = state.now_us() / 1_000_000;
    let decision = Decision {
        permit: Permit {
            client: ChildOf { partner: scope.root, child: scope.account },
            granted: ids(&granted),
            revoked: ids(&revoked),
            dialect: EVENTS,
        },
        number: number.filter(|_| host.partner.clients_add_numbers),
        signatures: Signatures::of(host, visit, seconds),
    };
    let about = |decision: &Decision, (permitted, withdrawn): &(Vec<String>, Vec<String>)| {
        let act = Act::on(decision.permit.client.child, "channel.permit");
        act.with("permitted", permitted.join(" ")).with("withdrawn", withdrawn.join(" "))
    };
    let actor = acting::holder(&entry.principal, context.client.address);
    let (permitted, withdrawn) = state.store.write(decision, audited(actor, decide, about)).await?;
    state.forget_keys().await?;
    state.wake.callbacks();
    Ok(host.redirect(visit, scope.account, &permitted, &withdrawn, seconds))
}
