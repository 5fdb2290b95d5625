//! `rookery serve`: starts the parts of a process in order and stops them in the opposite one.

use crate::core::account::{self, NewAccount, NewChild, NewPartner};
use crate::core::change::{self, Kind};
use crate::core::ledger::{self, Grant};
use crate::core::money::{Amount, Currency};
use crate::core::{Error, Result as CoreResult};
use crate::installation::Installation;
use crate::listen::{self, Answers, Tls};
use crate::run::egress::Egress;
use crate::run::{Duties, Means, Tasks};
use crate::settings::{Role, ServeSettings, Settings};
use crate::wire::{Common, DIALECT, EVENTS, Metrics, Options, Service, smpp};
use std::net::SocketAddr;
use std::sync::Arc;
use store::Tx;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What a demo account can spend.
const DEMO_CREDIT: Amount = Amount(100_000_000);

/// Runs a server until SIGTERM or SIGINT. The error says what to do.
pub async fn run(settings: &Settings) -> Result<(), String> {
    let serve = &settings.serve;
    // Bound first: a second server on the same addresses fails before it touches anything.
    let none = Vec::new();
    let answering = |addresses| if serve.has(Role::Api) { addresses } else { &none };
    let listen = default_listen(serve);
    let plain = bind(answering(&listen)).await?;
    let encrypted = bind(answering(&serve.tls_listen)).await?;
    let scraped = bind(&serve.metrics_listen).await?;
    let tls = || match (&serve.tls_cert, &serve.tls_key) {
        (Some(certificate), Some(key)) => Tls::open(certificate, key),
        _ => Err("--tls-listen and --smpp-tls-listen need --tls-cert and --tls-key".into()),
    };
    let encrypted =
        encrypted.into_iter().map(|listener| Ok((listener, tls()?))).collect::<Result<Vec<_>, String>>()?;

    let smpp = bind(answering(&serve.smpp_listen)).await?.into_iter().map(|listener| (listener, None));
    let mut smpp: Vec<(TcpListener, Option<Tls>)> = smpp.collect();
    for listener in bind(answering(&serve.smpp_tls_listen)).await? {
        smpp.push((listener, Some(tls()?)));
    }

    let installation = Installation::open(settings).await?;
    let demo = if serve.no_demo.unwrap_or(false) { None } else { demo(&installation).await? };
    let common = Common::default();
    let egress = Egress::new(serve.allow_private_webhooks.unwrap_or(false))?;
    let metrics = Arc::new(Metrics::default());
    let Installation { store, vault, clock, entropy } = installation;
    let means = Means {
        store: store.clone(),
        keys: Arc::clone(&common.keys),
        terms: Arc::clone(&common.terms),
        vault: vault.clone(),
        clock: clock.clone(),
        entropy: entropy.clone(),
        wake: common.wake.clone(),
        dialect: DIALECT,
        events: EVENTS,
        egress,
    };
    let duties = Duties { submit: serve.has(Role::Submit), deliver: serve.has(Role::Deliver) };
    let tasks = Tasks::start(means, duties);
    let options = options(serve);
    let smpp_server = smpp::Server::new(
        store.clone(),
        vault.clone(),
        common.clone(),
        &options,
        clock.clone(),
        entropy.clone(),
    );
    let service = Service::new(store.clone(), vault, common, Arc::clone(&metrics), options, clock, entropy);
    let answers = Answers::Service(Arc::new(service));

    // Before anybody can see that this serves: a signal that comes right then is a graceful stop as well.
    let (mut terminated, mut interrupted) = (
        signal(SignalKind::terminate()).map_err(|error| error.to_string())?,
        signal(SignalKind::interrupt()).map_err(|error| error.to_string())?,
    );
    let (stop, stopped) = watch::channel(false);
    let mut listeners = JoinSet::new();
    let mut shown = Vec::new();
    if serve.has(Role::Api) {
        for listener in plain {
            shown.push(format!("http://{}", local(&listener)?));
            listeners.spawn(listen::run(listener, None, answers.clone(), stopped.clone()));
        }
        for (listener, tls) in encrypted {
            shown.push(format!("https://{}", local(&listener)?));
            listeners.spawn(listen::run(listener, Some(tls), answers.clone(), stopped.clone()));
        }
        let server = Arc::new(smpp_server);
        if !smpp.is_empty() {
            listeners.spawn(Arc::clone(&server).run(stopped.clone()));
        }
        for (listener, tls) in smpp {
            let scheme = if tls.is_some() { "smpps" } else { "smpp" };
            shown.push(format!("{scheme}://{}", local(&listener)?));
            let answers = Answers::Smpp(Arc::clone(&server));
            listeners.spawn(listen::run(listener, tls, answers, stopped.clone()));
        }
    }
    for listener in scraped {
        tracing::info!(address = %local(&listener)?, "metrics");
        listeners.spawn(listen::run(listener, None, Answers::Metrics(Arc::clone(&metrics)), stopped.clone()));
    }
    for address in &shown {
        tracing::info!(version = env!("CARGO_PKG_VERSION"), %address, "Rookery is serving");
    }
    if let (Some(demo), Some(url)) = (demo, shown.first()) {
        getting_started(&demo, serve.public_url.as_deref().unwrap_or(url));
    }

    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    tracing::info!("stopping: finishing what is in flight");
    // Nobody listening means that all listeners have ended already.
    let _ = stop.send(true);
    while listeners.join_next().await.is_some() {}
    tasks.stop().await;
    store.close().await;
    tracing::info!("stopped");
    Ok(())
}

fn default_listen(serve: &ServeSettings) -> Vec<SocketAddr> {
    if serve.listen.is_empty() && serve.tls_listen.is_empty() {
        vec![SocketAddr::from(([127, 0, 0, 1], 8080))]
    } else {
        serve.listen.clone()
    }
}

async fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, String> {
    let mut bound = Vec::new();
    for address in addresses {
        let failed = |error| format!("{address} cannot be listened on: {error}");
        bound.push(TcpListener::bind(address).await.map_err(failed)?);
    }
    Ok(bound)
}

fn local(listener: &TcpListener) -> Result<SocketAddr, String> {
    listener.local_addr().map_err(|error| error.to_string())
}

fn options(serve: &ServeSettings) -> Options {
    let default = Options::default();
    Options {
        public_url: serve.public_url.clone(),
        trusted_proxies: serve.trusted_proxy.clone(),
        cors_origins: serve.cors_origin.clone(),
        body_limit: serve.body_limit.map_or(default.body_limit, |size| size.0),
        rate_limits: !serve.no_rate_limit.unwrap_or(false),
        metrics_here: serve.metrics_listen.is_empty(),
        nameless_children: serve.nameless_children.unwrap_or(false),
        recipients_max: serve.recipients_max.unwrap_or(default.recipients_max),
        reserved_originators: serve.reserved_originators.clone(),
        ..default
    }
}

/// A demo partner with one child, in an empty database only.
struct Demo {
    partner: NewAccount,
    child: NewAccount,
}

async fn demo(installation: &Installation) -> Result<Option<Demo>, String> {
    let failed = |error: Error| format!("the demo accounts cannot be made: {error}");
    installation.store.write(installation.vault.clone(), make_demo).await.map_err(failed)
}

async fn make_demo(tx: &mut Tx, vault: &crate::core::secret::Vault) -> CoreResult<Option<Demo>> {
    // Written first: of several processes that start at once, one goes on and the others wait here for what it makes.
    change::raise(tx, Kind::Access).await?;
    if !account::none_exists(tx, &()).await? {
        return Ok(None);
    }
    let partner = NewPartner { name: "Demo partner".into(), currency: Currency::EUR, vault: vault.clone() };
    let partner = account::create_partner(tx, &partner).await?;
    let child = NewChild {
        partner: partner.account.id,
        name: Some("Demo customer".into()),
        email: String::new(),
        vault: vault.clone(),
    };
    let child = account::create_child(tx, &child).await?;
    for account in [partner.account.id, child.account.id] {
        ledger::grant(tx, &Grant { account, amount: DEMO_CREDIT, currency: None }).await?;
    }
    Ok(Some(Demo { partner, child }))
}

#[expect(clippy::print_stdout, reason = "the contract prints a getting-started block")]
fn getting_started(Demo { partner, child }: &Demo, url: &str) {
    let [live, test] = &child.keys;
    println!();
    println!("  Rookery is ready, with a demo partner and one child account.");
    println!("  These secrets are shown this once.");
    println!();
    println!("  URL                       {url}");
    println!("  Documentation             {url}/docs");
    println!("  Child {:<10}  live    {}", child.account.id, live.text.reveal());
    println!("                    test    {}", test.text.reveal());
    println!("                    signing {}", child.signing_key.reveal());
    println!("  Partner {:<10}live    {}", partner.account.id, partner.keys[0].text.reveal());
    if let Some((handle, key)) = &partner.partner {
        println!("  Partner {:<10}X-API-Key {}", handle.as_str(), key.text.reveal());
    }
    println!();
    println!("  Try it:");
    println!(
        "  curl -H 'Authorization: AccessKey {}' -d originator=Rookery -d recipients=31612345678 -d body=Hello {url}/messages",
        live.text.reveal()
    );
    println!();
}
