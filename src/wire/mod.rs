//! Every shape promised to someone outside. One folder per vendor; what they share stands here.
//!
//! [`Service`] takes every request: it finds the product, the method, the caller, and buffers the body, within limits
//! each; then the product's router runs the handler. Refusals of any kind come back to it and are rendered once, in the
//! product's shape. `wire` calls `core` and never `run`.

mod acting;
mod attributes;
mod caller;
mod carrier_reports;
mod client;
mod d360;
mod idempotency;
mod limit;
mod messagebird;
mod metrics;
mod openapi;
mod origin;
mod platform;
mod refusal;
mod rights;
pub mod smpp;
mod system;
mod transport_reports;

pub use client::Connection;
pub use d360::EVENTS;
// Tests hold it against the vendor's vectors.
pub use messagebird::signature;
pub use metrics::Metrics;

use crate::core::callback::Dialect;
use crate::core::cap::Reached;
use crate::core::change::{self, Kind};
use crate::core::idempotency::Claim;
use crate::core::key::{Directory, Entry, Role};
use crate::core::password::Passwords;
use crate::core::secret::Vault;
use crate::core::terms::Book;
use crate::core::wake::Wake;
use crate::core::{AccountId, Scope, alert};
use axum::Router;
use axum::body::Body;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW,
    AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, HOST, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, request};
use caller::{Buckets, Scheme};
use client::Client;
use futures_util::FutureExt;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use idempotency::UnderWay;
use ipnet::IpNet;
use origin::{Origin, Surface};
use quick_cache::sync::Cache;
use refusal::Refusal;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use store::{Clock, Entropy, Store};
use tower::ServiceExt;

/// Default of [`Options::body_within`].
const BODY_WITHIN: Duration = Duration::from_secs(30);
/// Default of [`Options::answered_within`]: the Node SDK gives up at 5 s.
const ANSWERED_WITHIN: Duration = Duration::from_secs(4);
/// Default of [`Options::recipients_max`].
const RECIPIENTS_MAX: usize = 50_000;
/// Every answer says under which id the log knows it.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What the operator decides about the wire.
#[derive(Debug, Clone)]
pub struct Options {
    /// Begins absolute links; the request's own scheme and host otherwise.
    pub public_url: Option<String>,
    /// Whose forwarding headers count.
    pub trusted_proxies: Vec<IpNet>,
    /// Origins whose pages may call; `*` for any.
    pub cors_origins: Vec<String>,
    /// Most bytes of a request's body.
    pub body_limit: usize,
    /// Whether keys and addresses are limited in rate.
    pub rate_limits: bool,
    /// Whether `/metrics` here answers loopback only; it is off when metrics have a listener of their own.
    pub metrics_here: bool,
    /// Whether a child account may be created without a name (docs/spec/02-partner-accounts.md section 2.1).
    pub nameless_children: bool,
    /// Most recipients of one message or batch, those of its groups included.
    pub recipients_max: usize,
    /// Originators that nobody may use, such as the operator's own name (docs/spec/10-sms.md section 2.3).
    pub reserved_originators: Vec<String>,
    /// The whole body of a request must have arrived within this time.
    pub body_within: Duration,
    /// A request whose body is there must have been answered within this time.
    pub answered_within: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            public_url: None,
            trusted_proxies: Vec::new(),
            cors_origins: Vec::new(),
            body_limit: 1 << 20,
            rate_limits: true,
            metrics_here: true,
            nameless_children: false,
            recipients_max: RECIPIENTS_MAX,
            reserved_originators: Vec::new(),
            body_within: BODY_WITHIN,
            answered_within: ANSWERED_WITHIN,
        }
    }
}

/// What handlers need.
pub struct State {
    store: Store,
    vault: Vault,
    keys: Arc<Directory<Buckets>>,
    terms: Arc<Book>,
    passwords: Passwords,
    under_way: UnderWay,
    wake: Wake,
    wrong_keys: Cache<IpAddr, Arc<limit::Bucket>>,
    passwords_tried: Cache<[u8; 32], Arc<limit::Bucket>>,
    /// Of accounts with a limit of requests.
    account_rates: Cache<AccountId, Arc<limit::Bucket>>,
    limits: bool,
    options: Options,
    clock: Clock,
    entropy: Entropy,
    metrics: Arc<Metrics>,
    openapi: Arc<str>,
    platform_openapi: Arc<str>,
}

impl State {
    fn now_us(&self) -> i64 {
        self.clock.now_us()
    }

    /// Makes this process refuse at once what a unit has just made void; the others learn of it within a second.
    async fn forget_keys(&self) -> Result<(), Refusal> {
        self.keys.advance(self.store.read(Kind::Access, change::generation).await?);
        Ok(())
    }
}

type Shared = Arc<State>;

/// What is known of a request beside its own head and body.
struct Context {
    /// What its links begin with.
    origin: Origin,
    client: Client,
    /// The method on the wire, before `_method` changed it.
    sent: Method,
    /// The caller's key; a vendor's handler never runs without.
    entry: Option<Arc<Entry<Buckets>>>,
    /// The claim of a POST with a key of its own.
    claim: Option<Claim>,
}

impl Context {
    fn of(parts: &request::Parts) -> Result<&Context, Refusal> {
        let context = parts.extensions.get::<Arc<Context>>();
        context.map(|context| &**context).ok_or_else(|| Refusal::bug("a request without its context"))
    }
}

/// Whether an answer stands whatever was answered before: a success, and that the caller may not do it any more.
fn is_final(answered: &Result<Response<Body>, Refusal>) -> bool {
    match answered {
        Ok(answer) => answer.status().is_success(),
        Err(refusal) => matches!(
            refusal,
            Refusal::Core(crate::core::Error::Forbidden | crate::core::Error::Unauthenticated)
        ),
    }
}

/// How callbacks look; `serve` hands it to what sends, since `run` does not see `wire`.
pub const DIALECT: Dialect = Dialect {
    render: messagebird::callbacks::render,
    alert: platform::alerts::render,
    sign: messagebird::callbacks::sign,
};

/// Answers every HTTP request of a process.
pub struct Service {
    state: Shared,
    rest: Router,
    partner_accounts: Router,
    hub: Router,
    token: Router,
    channel: Router,
    alive: Router,
    onboarding: Router,
    platform: Router,
    platform_open: Router,
    absent: Router,
    system: Router,
}

/// One method and path of a product, as the router has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The product's name, such as `rest`.
    pub surface: &'static str,
    /// In capitals.
    pub method: String,
    /// With `{placeholders}`.
    pub path: String,
}

/// What every process keeps in memory of keys; `run` tells it when to forget.
pub type Keys = Directory<Buckets>;

/// What both sides of a process have in common: what is remembered of the database, which `run` makes forget, and hints.
#[derive(Clone, Default)]
pub struct Common {
    /// Whose a key is.
    pub keys: Arc<Keys>,
    /// What an account sends under.
    pub terms: Arc<Book>,
    /// That something may be due.
    pub wake: Wake,
}

impl Service {
    /// A service on a store whose schema is up to date.
    pub fn new(
        store: Store,
        vault: Vault,
        common: Common,
        metrics: Arc<Metrics>,
        options: Options,
        clock: Clock,
        entropy: Entropy,
    ) -> Self {
        common.terms.trust(vault.clone());
        let state = Arc::new(State {
            store,
            vault,
            keys: common.keys,
            terms: common.terms,
            passwords: Passwords::default(),
            under_way: UnderWay::default(),
            wake: common.wake,
            wrong_keys: Cache::new(caller::ADDRESSES_MAX),
            passwords_tried: Cache::new(caller::ADDRESSES_MAX),
            account_rates: Cache::new(caller::ADDRESSES_MAX),
            limits: options.rate_limits,
            options,
            clock,
            entropy,
            metrics,
            openapi: openapi::json().into(),
            platform_openapi: openapi::platform_json().into(),
        });
        let router = |routes: utoipa_axum::router::OpenApiRouter<Shared>| {
            let (router, _) = routes.split_for_parts();
            router.fallback(no_such_path).layer(metrics::RouteLayer).with_state(Arc::clone(&state))
        };
        Service {
            rest: router(messagebird::rest()),
            partner_accounts: router(messagebird::partner_accounts()),
            hub: router(d360::hub()),
            token: router(d360::token()),
            channel: router(d360::messaging::routes()),
            alive: router(d360::messaging::alive()),
            onboarding: router(d360::onboarding()),
            platform: router(platform::routes()),
            platform_open: router(platform::open()),
            absent: router(utoipa_axum::router::OpenApiRouter::new()),
            system: router(
                system::routes().merge(carrier_reports::routes()).merge(transport_reports::routes()),
            ),
            state,
        }
    }

    /// The OpenAPI document of everything that is served, as JSON.
    pub fn openapi() -> String {
        openapi::json()
    }

    /// The OpenAPI document of the platform's own API, as JSON.
    pub fn platform_openapi() -> String {
        openapi::platform_json()
    }

    /// Every endpoint of the platform's own API.
    pub fn platform_endpoints() -> Vec<Endpoint> {
        openapi::platform_endpoints()
    }

    /// Every endpoint of the vendors' products, read from the routers' own description.
    pub fn endpoints() -> Vec<Endpoint> {
        openapi::endpoints()
    }

    /// Answers one request. Never fails and never panics.
    pub async fn handle(&self, connection: Connection, request: Request<Body>) -> Response<Body> {
        let mut id = [0u8; 8];
        self.state.entropy.fill(&mut id);
        let id = format!("{:016x}", u64::from_be_bytes(id));
        let started_us = self.state.now_us();
        let (mut parts, body) = request.into_parts();
        let client = client::identify(connection, &parts.headers, &self.state.options.trusted_proxies);
        let host = client.host.as_deref().or_else(|| host(&parts)).unwrap_or_default();
        let place = origin::locate(host, parts.uri.path());
        let surface = place.surface;
        let public_url = self.state.options.public_url.as_deref();
        let origin = Origin::new(public_url, client.scheme, host, place.prefix);
        let within = (place.path != parts.uri.path()).then(|| within(&parts.uri, place.path)).flatten();
        let cors = self.cors(&parts.headers);

        let mut spender = None;
        let outcome = if parts.method == Method::OPTIONS && cors.is_some() {
            Ok(preflight())
        } else {
            if let Some(uri) = within {
                parts.uri = uri;
            }
            let sent = parts.method.clone();
            self.dispatch(
                surface,
                Context { origin, client, sent, entry: None, claim: None },
                parts,
                body,
                &mut spender,
            )
            .await
        };
        let (mut response, refusal) = match outcome {
            Ok(response) => intercept(response),
            Err(refusal) => (Response::new(Body::empty()), Some(Arc::new(refusal))),
        };
        let mut route = response.extensions_mut().remove::<metrics::Route>();
        if let Some(refusal) = refusal {
            if let Refusal::Core(crate::core::Error::Internal(what)) = &*refusal {
                tracing::error!(request_id = %id, surface = surface.name(), error = %what, "a request failed");
            }
            if let Refusal::Core(crate::core::Error::Cap(reached)) = &*refusal
                && let Some(scope) = spender
            {
                Box::pin(tell_refused(&self.state.store, &self.state.wake, scope, *reached)).await;
            }
            response = render(surface, &refusal, &id);
        }
        let headers = response.headers_mut();
        if let Ok(value) = HeaderValue::from_str(&id) {
            headers.insert(REQUEST_ID, value);
        }
        if surface != Surface::System {
            headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache, must-revalidate"));
            headers.entry(VARY).or_insert(HeaderValue::from_static("Authorization"));
        }
        if let Some(origin) = cors {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
        let taken_us = self.state.now_us().saturating_sub(started_us);
        self.state.metrics.request(surface.name(), route.take(), response.status(), taken_us);
        response
    }

    /// Everything between finding the product and rendering its answer.
    async fn dispatch(
        &self,
        surface: Surface,
        mut context: Context,
        mut parts: request::Parts,
        body: Body,
        spender: &mut Option<Scope>,
    ) -> Result<Response<Body>, Refusal> {
        let (router, scheme) = match surface {
            Surface::System => {
                let path = parts.uri.path();
                let body = if carrier_reports::is_called(path) || transport_reports::is_called(path) {
                    Body::from(self.buffer(&parts.headers, body).await?)
                } else {
                    body
                };
                parts.extensions.insert(Arc::new(context));
                let request = Request::from_parts(parts, body);
                return self.in_time(run(&self.system, request)).await;
            }
            Surface::Rest => (&self.rest, Scheme::AccessKey),
            Surface::PartnerAccounts => (&self.partner_accounts, Scheme::AccessKey),
            Surface::Absent => (&self.absent, Scheme::AccessKey),
            Surface::Hub if parts.headers.contains_key("x-api-key") => (&self.hub, Scheme::ApiKey),
            Surface::Hub if parts.headers.contains_key(AUTHORIZATION) => (&self.hub, Scheme::Bearer),
            Surface::Hub => (&self.hub, Scheme::ApiKey),
            Surface::Channel if parts.uri.path() == d360::messaging::ALIVE => {
                parts.extensions.insert(Arc::new(context));
                return self.in_time(run(&self.alive, Request::from_parts(parts, body))).await;
            }
            Surface::Channel => (&self.channel, Scheme::ChannelKey),
            Surface::Platform if !platform::is_open(&parts) => (&self.platform, Scheme::Platform),
            // Whoever comes here has no key yet.
            Surface::Token | Surface::Onboarding | Surface::Platform => {
                let router = match surface {
                    Surface::Token => &self.token,
                    Surface::Platform => &self.platform_open,
                    _ => &self.onboarding,
                };
                let bytes = self.buffer(&parts.headers, body).await?;
                parts.extensions.insert(Arc::new(context));
                return self.in_time(run(router, Request::from_parts(parts, Body::from(bytes)))).await;
            }
        };
        let mut key = caller::presented(scheme, &parts.headers, parts.uri.query());
        let mut bytes = None;
        if key.is_none() && scheme == Scheme::AccessKey && is_form(&parts.headers) {
            let body = self.buffer(&parts.headers, body).await?;
            key = caller::in_pairs(&body);
            bytes = Some(body);
        } else if context.sent != Method::GET && context.sent != Method::HEAD {
            // Read before the key is judged, so that the connection can be used again; the limit bounds it.
            bytes = Some(self.buffer(&parts.headers, body).await?);
        }
        // One limit for both, since both wait for the database.
        self.in_time(async {
            let entry =
                caller::authenticate(&self.state, scheme, key.as_deref(), context.client.address).await?;
            *spender = Some(entry.principal.scope);
            if surface.is_messagebird() {
                parts.method = overridden(&parts)?;
            }
            rights::check(surface, &parts, &entry.principal)?;
            caller::meter(&self.state, &entry, &parts.method)?;
            caller::check(&entry, &parts.method)?;
            if parts.method == Method::POST {
                let of = &entry.principal;
                // A channel's keys, and those of people and programs with rights of their own, share no answers.
                let within = match surface {
                    Surface::Platform => Some(of.key.hyphenated()),
                    _ => of.subject.clone().filter(|_| of.role == Role::Channel),
                };
                context.claim = idempotency::claim(of.scope, within.as_deref(), &parts, bytes.as_ref())?;
            }
            let claim = context.claim;
            let _turn = claim.map(|claim| self.state.under_way.begin(claim)).transpose()?;
            context.entry = Some(entry);
            parts.extensions.insert(Arc::new(context));
            let request = Request::from_parts(parts, Body::from(bytes.unwrap_or_default()));
            let answered = run(router, request).await;
            match claim {
                // Whoever asks again does not succeed: the unit finds its key taken, if nothing stops it before that. So
                // only then it is worth looking for the answer that was given.
                Some(claim) if !is_final(&answered) => {
                    Box::pin(idempotency::earlier(&self.state, claim)).await?.map_or(answered, Ok)
                }
                _ => answered,
            }
        })
        .await
    }

    /// Ends what takes too long as unavailable.
    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
        let late = |_| Err(crate::core::Error::Unavailable("the request took too long".into()).into());
        tokio::time::timeout(self.state.options.answered_within, work).await.unwrap_or_else(late)
    }

    /// The whole body, within the limit and in time.
    async fn buffer(&self, headers: &HeaderMap, body: Body) -> Result<axum::body::Bytes, Refusal> {
        let limit = self.state.options.body_limit;
        let announced = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|length| length > limit) {
            return Err(Refusal::TooLarge(limit));
        }
        match tokio::time::timeout(self.state.options.body_within, Limited::new(body, limit).collect()).await
        {
            Ok(Ok(collected)) => Ok(collected.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::TooLarge(limit)),
            Ok(Err(_)) => Err(Refusal::Malformed("the body broke off")),
            Err(_) => Err(Refusal::SlowBody),
        }
    }

    /// The origin to allow, if pages of the request's origin may call.
    fn cors(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(ORIGIN)?;
        let allowed = &self.state.options.cors_origins;
        allowed
            .iter()
            .any(|allowed| allowed == "*" || allowed.as_bytes() == origin.as_bytes())
            .then(|| origin.clone())
    }
}

/// The host that the request names: in HTTP/2 and in absolute form by its target, else by its header.
fn host(parts: &request::Parts) -> Option<&str> {
    let named = || parts.headers.get(HOST)?.to_str().ok();
    parts.uri.authority().map(axum::http::uri::Authority::as_str).or_else(named)
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind =
        headers.get(axum::http::header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    kind.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded")
}

/// The same query behind another path, which is a part of the old one and so parses as that did.
fn within(uri: &Uri, path: &str) -> Option<Uri> {
    match uri.query() {
        Some(query) => format!("{path}?{query}").parse().ok(),
        None => path.parse().ok(),
    }
}

/// The method that `_method` in the query asks for; the documentation's sample doubles the `=`, which is forgiven.
fn overridden(parts: &request::Parts) -> Result<Method, Refusal> {
    let may = parts.method == Method::GET || parts.method == Method::POST;
    let query = parts.uri.query().unwrap_or_default();
    if !may || !query.contains("_method") {
        return Ok(parts.method.clone());
    }
    let asked = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "_method");
    let Some((_, word)) = asked else { return Ok(parts.method.clone()) };
    match word.trim_start_matches('=').to_ascii_uppercase().as_str() {
        "GET" => Ok(Method::GET),
        "POST" => Ok(Method::POST),
        "PUT" => Ok(Method::PUT),
        "PATCH" => Ok(Method::PATCH),
        "DELETE" => Ok(Method::DELETE),
        _ => Err(Refusal::MethodNotAllowed {
            allow: HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE"),
        }),
    }
}

/// Runs a router and turns a panic into an internal error.
async fn run(router: &Router, request: Request<Body>) -> Result<Response<Body>, Refusal> {
    match AssertUnwindSafe(router.clone().oneshot(request)).catch_unwind().await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(never)) => match never {},
        Err(_) => Err(Refusal::bug("a handler panicked")),
    }
}

/// Takes out the refusal that a handler, an extractor or the framework itself answered.
fn intercept(mut response: Response<Body>) -> (Response<Body>, Option<Arc<Refusal>>) {
    if let Some(refusal) = response.extensions_mut().remove::<Arc<Refusal>>() {
        return (response, Some(refusal));
    }
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        let allow = response.headers().get(ALLOW).cloned().unwrap_or(HeaderValue::from_static(""));
        return (response, Some(Arc::new(Refusal::MethodNotAllowed { allow })));
    }
    if response.status().is_client_error() || response.status().is_server_error() {
        let own = response.extensions_mut().remove::<Own>().is_some();
        if !own {
            // A text of the framework's, such as an undecodable path.
            return (response, Some(Arc::new(Refusal::NoSuchPath)));
        }
    }
    (response, None)
}

/// Marks an answer with an error status as ours, so that it goes out as it is.
#[derive(Debug, Clone, Copy)]
struct Own;

async fn no_such_path() -> Refusal {
    Refusal::NoSuchPath
}

/// Has whoever wants to know it told that a cap has refused a message. The refusal stands whatever comes of it.
async fn tell_refused(store: &Store, wake: &Wake, scope: Scope, reached: Reached) {
    let told = async {
        if store.read((scope, reached), alert::waits_for).await? {
            store.write((scope, reached), alert::refused).await?;
            wake.callbacks();
        }
        Ok::<_, crate::core::Error>(())
    };
    if let Err(error) = told.await {
        tracing::warn!(%error, "that a cap is reached could not be told; the next refusal tries again");
    }
}

fn render(surface: Surface, refusal: &Refusal, request_id: &str) -> Response<Body> {
    match surface {
        Surface::Rest | Surface::Absent | Surface::System => messagebird::error::render(refusal, request_id),
        Surface::PartnerAccounts => messagebird::error::render_partner(refusal, request_id),
        Surface::Hub => d360::error::render(refusal, request_id),
        Surface::Channel => d360::messaging::render(refusal, request_id),
        Surface::Token => d360::error::render_token(refusal, request_id),
        Surface::Onboarding => d360::render_page(refusal, request_id),
        Surface::Platform => platform::error::render(refusal, request_id),
    }
}

/// The seconds of a `Retry-After` header: at least 1, rounded up.
fn retry_after(wait: Duration) -> HeaderValue {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    HeaderValue::from(seconds.max(1))
}

fn preflight() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    let methods = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE");
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    let allowed =
        HeaderValue::from_static("Authorization, Content-Type, X-API-Key, D360-API-KEY, Idempotency-Key");
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    response
}
