//! What tests stand on: an installation in this process, with the real router, on the engine of this run.
//!
//! Time stands still but for one second a request, and ids come from a seed, so the same test sees the same bytes on
//! both engines, every time.

pub mod authority;
pub mod books;
pub mod channels;
pub mod correspondent;
pub mod customer;
pub mod database;
pub mod esme;
pub mod http;
pub mod paying;
pub mod platform;
pub mod process;
pub mod provider;
pub mod record;
pub mod shop;
pub mod smsc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, Method, Request, StatusCode};
use futures_util::future::BoxFuture;
use rookery::core::account::{self, NewAccount, NewChild, NewPartner};
use rookery::core::carrier::CarrierId;
use rookery::core::lease::{Holder, Leases};
use rookery::core::money::Currency;
use rookery::core::part::{self, BATCH, Claimed, Shift};
use rookery::core::schema::MIGRATIONS;
use rookery::core::secret::{Secret, Vault};
use rookery::core::smpp_user::{self, SystemId};
use rookery::core::wake::Wake;
use rookery::core::{AccountId, Result};
use rookery::run::clerk::Means;
use rookery::run::deliver::{Courier, READS_MAX, Rota};
use rookery::run::egress::{self, Egress};
use rookery::run::post::Post;
use rookery::run::simulated::Desk;
use rookery::run::{changes, grow, sweep};
use rookery::wire::{Common, Connection, DIALECT, EVENTS, Metrics, Options, Service};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use store::{Clock, Entropy, Store};
use tokio::sync::{Mutex, Semaphore};

/// 2024-03-05T08:15:30Z, the moment at which every test begins.
pub const BEGIN_US: i64 = 1_709_626_530_000_000;

/// An installation without sockets.
pub struct TestApp {
    pub service: Service,
    pub store: Store,
    pub vault: Vault,
    pub clock: Clock,
    pub common: Common,
    desk: Mutex<Desk>,
    pub courier: Courier,
    post: Mutex<Post>,
    home: database::Home,
}

impl TestApp {
    /// With default options, but without rate limits.
    pub async fn new() -> Self {
        Self::with(Options { rate_limits: false, ..Options::default() }).await
    }

    pub async fn with(options: Options) -> Self {
        let clock = Clock::manual(BEGIN_US);
        let entropy = Entropy::seeded(7);
        let home = database::Home::new().await;
        let store_options =
            store::Options { clock: clock.clone(), entropy: entropy.clone(), ..store::Options::default() };
        let store = Store::open(home.url(), store_options).await.expect("the test's database opens");
        store.migrate(MIGRATIONS).await.expect("the schema is made");
        let vault = Vault::new(&[9; 32]);
        let common = Common::default();
        let service = Service::new(
            store.clone(),
            vault.clone(),
            common.clone(),
            Arc::new(Metrics::default()),
            options,
            clock.clone(),
            entropy.clone(),
        );
        let holder = Holder([1; 16]);
        let desk = Desk::new(means(&store, &clock, holder), CarrierId(1));
        let courier = Courier {
            store: store.clone(),
            terms: Arc::clone(&common.terms),
            vault: vault.clone(),
            egress: Egress::with(nowhere()).expect("a client"),
            dialect: DIALECT,
            events: EVENTS,
            clock: clock.clone(),
            entropy,
            leases: Leases::new(holder, clock.clone()),
            reads: Semaphore::new(READS_MAX),
        };
        let post = Post::new(store.clone(), clock.clone(), EVENTS, holder);
        let post = Mutex::new(post);
        TestApp { post, service, store, vault, clock, common, desk: Mutex::new(desk), courier, home }
    }

    /// Where its data lives.
    pub fn home(&self) -> &database::Home {
        &self.home
    }

    /// A partner, with its secrets.
    pub async fn partner(&self, name: &str) -> NewAccount {
        let new = NewPartner { name: name.into(), currency: Currency::EUR, vault: self.vault.clone() };
        self.store.write(new, account::create_partner).await.expect("a partner is made")
    }

    /// A child of a partner, with its secrets.
    pub async fn child(&self, partner: AccountId, name: &str) -> NewAccount {
        let new =
            NewChild { partner, name: Some(name.into()), email: String::new(), vault: self.vault.clone() };
        self.store.write(new, account::create_child).await.expect("a child is made")
    }

    /// Begins a request to `http://localhost` + `target`.
    pub fn request(&self, method: &str, target: &str) -> Call<'_> {
        Call {
            app: self,
            method: method.parse().expect("a method"),
            target: target.into(),
            headers: HeaderMap::new(),
            body: Vec::new(),
            peer: "127.0.0.1".into(),
        }
    }

    /// Makes this process forget what it knows of keys, as `run` does after a change by another process.
    pub async fn notice_changes(&self) {
        changes::look(&self.store, &self.common.keys, &self.common.terms).await.expect("the generations");
    }

    /// Does what `run` does by itself and is due now, until nothing is left, then checks the books and the kept counts.
    pub async fn settle(&self) {
        let mut desk = self.desk.lock().await;
        loop {
            let mut did = sweep::turn(&self.store, true).await.expect("the sweep works");
            did |= desk.turn().await.expect("the carrier works");
            did |= grow::turn(&self.store, EVENTS).await.expect("channels go on");
            did |= self.post.lock().await.turn().await.expect("channels' messages go out");
            for lane in self.courier.look(&mut Rota::default()).await.expect("lanes") {
                did |= self.courier.turn(lane).await.expect("callbacks are sent");
            }
            if !did {
                break;
            }
        }
        books::check(&self.store).await;
    }

    /// Another process hands all that waits to the carrier and dies before it hears anything.
    pub async fn abandon(&self) {
        let shift = Shift { carrier: CarrierId(1), holder: Holder([2; 16]) };
        // The lease of the process before has ended by then.
        self.clock.advance(Duration::from_secs(5));
        let taken: Result<Claimed> = self.store.write((shift, BATCH), part::claim).await;
        assert!(!taken.expect("the other process works").parts.is_empty());
        self.clock.advance(Duration::from_secs(5));
        let mut desk = self.desk.lock().await;
        *desk = Desk::new(means(&self.store, &self.clock, Holder([1; 16])), CarrierId(1));
    }

    /// Lets time pass, then does what is due.
    pub async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        self.settle().await;
    }
}

/// What a desk works with.
fn means(store: &Store, clock: &Clock, holder: Holder) -> Means {
    Means { store: store.clone(), clock: clock.clone(), wake: Wake::default(), holder }
}

/// A way out that leads to this machine only.
fn nowhere() -> egress::Options {
    let resolve = |_, _| -> BoxFuture<'static, std::io::Result<Vec<SocketAddr>>> {
        Box::pin(async { Err(std::io::Error::other("tests know no names")) })
    };
    egress::Options { allow_private: true, resolve: Arc::new(resolve), ..egress::Options::default() }
}

/// Makes an SMPP user of an account.
pub async fn smpp_user(app: &TestApp, account: &NewAccount, name: &str) {
    let new = smpp_user::New {
        account: account.account.id,
        system_id: Some(SystemId::parse(name).expect("a system id")),
        password: None,
        is_test: false,
        binds: 1,
        window: 1,
        throughput: None,
        vault: app.vault.clone(),
    };
    let made: Result<(smpp_user::User, Secret)> = app.store.write(new, smpp_user::create).await;
    made.expect("an SMPP user");
}

/// The text of the live key of an account.
pub fn live(account: &NewAccount) -> &str {
    account.keys[0].text.reveal()
}

/// The text of the test key of an account.
pub fn test(account: &NewAccount) -> &str {
    account.keys[1].text.reveal()
}

/// The `X-API-Key` and the id of a partner.
pub fn partner_api(account: &NewAccount) -> (&str, &str) {
    let (handle, key) = account.partner.as_ref().expect("a partner");
    (key.text.reveal(), handle.as_str())
}

/// A request being written.
pub struct Call<'a> {
    app: &'a TestApp,
    method: Method,
    target: String,
    headers: HeaderMap,
    body: Vec<u8>,
    peer: String,
}

impl Call<'_> {
    /// `Authorization: AccessKey …`
    pub fn key(self, key: &str) -> Self {
        self.header("authorization", &format!("AccessKey {key}"))
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(HeaderName::from_static(name), value.parse().expect("a header value"));
        self
    }

    pub fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    pub fn form(self, body: &str) -> Self {
        self.body("application/x-www-form-urlencoded", body)
    }

    /// `kind` is the content type; an empty one is not sent.
    pub fn body(mut self, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        if kind.is_empty() { self } else { self.header("content-type", kind) }
    }

    /// The other end's address.
    pub fn from(mut self, peer: &str) -> Self {
        self.peer = peer.into();
        self
    }

    pub async fn send(self) -> Answer {
        let mut request = Request::new(Body::from(self.body));
        *request.method_mut() = self.method;
        *request.uri_mut() = self.target.parse().expect("a request target");
        *request.headers_mut() = self.headers;
        request.headers_mut().entry("host").or_insert("localhost".parse().expect("a host"));
        self.app.clock.advance(Duration::from_secs(1));
        let connection = Connection { peer: self.peer.parse().expect("an address"), is_tls: false };
        let response = Box::pin(self.app.service.handle(connection, request)).await;
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
        Answer { status: parts.status, headers: parts.headers, body: body.into() }
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; `null` if it is empty.
    pub fn json(&self) -> Value {
        if self.body.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("{} {}: {error}", self.status, String::from_utf8_lossy(&self.body))
        })
    }

    /// Insists on a status and hands over the JSON.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }

    /// The codes of the error array.
    pub fn codes(&self) -> Vec<i64> {
        let errors = self.json()["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().filter_map(|error| error["code"].as_i64()).collect()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}
