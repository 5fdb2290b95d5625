//! `carrier`, `route`.

use super::{Failure, Outcome, say};
use crate::core::account::AccountId;
use crate::core::audit::{Act, Actor, audited};
use crate::core::carrier::{self, Carrier, CarrierId, CarrierKind, Change, NewCarrier, Settings};
use crate::core::http_carrier;
use crate::core::route::{self, Route};
use crate::core::secret::{Secret, Vault};
use crate::installation::Installation;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

#[derive(Subcommand)]
pub(super) enum CarrierCommand {
    /// Add a carrier
    ///
    /// Settings that have no option of their own are given as --set NAME=VALUE; docs/carriers.md and
    /// docs/carriers-http.md list them. doubt=resend, fail, wait or query says what becomes of a message
    /// of which nobody knows whether the carrier has it; query, over SMPP, also asks about messages that
    /// it has taken and not reported on for query-seconds.
    #[command(verbatim_doc_comment)]
    Add(Box<New>),
    /// List the carriers
    List {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Change settings of a carrier; a running server follows within five seconds
    Set {
        /// Its name
        name: String,
        /// Such as window=50; window= for the default
        #[arg(required_unless_present = "password_env", value_name = "NAME=VALUE")]
        settings: Vec<String>,
        /// The environment variable that holds the new password, or what {secret} stands for
        #[arg(long, value_name = "VAR")]
        password_env: Option<String>,
    },
    /// Remove a carrier with its routes; what waits for it goes to whoever takes those numbers then
    Remove {
        /// Its name
        name: String,
    },
}

/// How a carrier is spoken to.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct Kind {
    /// Speaks SMPP 3.4 as a client of this server
    #[arg(long, value_name = "HOST:PORT", requires = "system_id")]
    smpp: Option<String>,
    /// Speaks the carrier's own HTTP interface; a template of the URL
    #[arg(long, value_name = "URL")]
    http: Option<String>,
    /// Reaches no phone, see docs/simulated-carrier.md
    #[arg(long)]
    simulated: bool,
}

#[derive(Args)]
pub(super) struct New {
    /// Letters, digits, dashes
    name: String,
    #[command(flatten)]
    kind: Kind,
    /// What an SMPP carrier knows this client by
    #[arg(long, value_name = "ID")]
    system_id: Option<String>,
    /// The environment variable that holds the password, or what {secret} stands for in templates
    #[arg(long, value_name = "VAR")]
    password_env: Option<String>,
    /// Unanswered messages of one connection, or requests at once
    #[arg(long, value_name = "N")]
    window: Option<u32>,
    /// Messages a second
    #[arg(long, value_name = "N")]
    throughput: Option<u32>,
    /// SMPP connections at once
    #[arg(long, value_name = "N")]
    binds: Option<u32>,
    /// SMPP over TLS
    #[arg(long)]
    tls: bool,
    /// Routes every number to it that no longer prefix claims
    #[arg(long)]
    default: bool,
    /// Any other setting
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
pub(super) enum RouteCommand {
    /// Give numbers that begin with a prefix, or that are of a network, to a carrier
    ///
    /// The longest prefix that has routes decides. Among its routes the lowest priority number comes first; the next is
    /// taken while that carrier is down. Weights share numbers out between routes of the same priority. Routes of a
    /// network come before those of its country, and these before prefixes; `rookery number prefixes import` says which
    /// number is of which network.
    #[command(verbatim_doc_comment, allow_missing_positional = true)]
    Add {
        /// First digits; an empty text for all numbers
        #[arg(required_unless_present = "mcc")]
        prefix: Option<String>,
        /// The carrier's name
        carrier: String,
        /// Mobile country code of the network, in place of a prefix
        #[arg(long, conflicts_with = "prefix")]
        mcc: Option<String>,
        /// Mobile network code; without it all networks of the country
        #[arg(long, requires = "mcc")]
        mnc: Option<String>,
        /// The lowest comes first
        #[arg(long, default_value_t = 0)]
        priority: i64,
        /// Its share among equals
        #[arg(long, default_value_t = 1)]
        weight: i64,
    },
    /// List the routes
    List {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Remove a route
    #[command(allow_missing_positional = true)]
    Remove {
        /// Its prefix
        #[arg(required_unless_present = "mcc")]
        prefix: Option<String>,
        /// The carrier's name
        carrier: String,
        /// Its mobile country code, in place of a prefix
        #[arg(long, conflicts_with = "prefix")]
        mcc: Option<String>,
        /// Its mobile network code
        #[arg(long, requires = "mcc")]
        mnc: Option<String>,
    },
}

fn pair(text: &str) -> Result<(&str, &str), Failure> {
    text.split_once('=').ok_or_else(|| Failure(format!("{text}: NAME=VALUE is needed, such as window=50")))
}

impl New {
    fn kind(&self) -> CarrierKind {
        match (&self.kind.smpp, &self.kind.http) {
            (Some(_), _) => CarrierKind::Smpp,
            (None, Some(_)) => CarrierKind::Http,
            (None, None) => CarrierKind::Simulated,
        }
    }

    fn settings(&self) -> Result<Settings, Failure> {
        let mut settings = Settings::default();
        if let Some(address) = &self.kind.smpp {
            let split = address.rsplit_once(':').filter(|(host, _)| !host.is_empty());
            let (host, port) = split.unwrap_or((address, "2775"));
            settings.set("host", host.trim_start_matches('[').trim_end_matches(']'));
            settings.set("port", port);
        }
        let mut given = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                settings.set(name, value);
            }
        };
        given("url", self.kind.http.clone());
        given("system-id", self.system_id.clone());
        given("window", self.window.map(|number| number.to_string()));
        given("throughput", self.throughput.map(|number| number.to_string()));
        given("binds", self.binds.map(|number| number.to_string()));
        given("tls", self.tls.then(|| "true".to_owned()));
        for text in &self.set {
            let (name, value) = pair(text)?;
            settings.set(name, value);
        }
        Ok(settings)
    }
}

fn secret(variable: &str) -> Result<Secret, Failure> {
    let value = std::env::var(variable)
        .map_err(|_| Failure(format!("{variable} is not set: put the carrier's password into it")))?;
    Ok(Secret::new(value))
}

/// A setting must be known, and what is read as JSON elsewhere must be JSON, whatever a message says.
fn check(kind: CarrierKind, settings: &Settings) -> Result<(), Failure> {
    if let Some((name, _)) = settings.all().find(|(name, _)| !kind.knows(name)) {
        let known = match kind.settings() {
            [] => "none".to_owned(),
            some => some.join(", "),
        };
        let kind = kind.name();
        return Err(Failure(format!(
            "{name} is no setting of a carrier of the kind {kind}, which has: {known}"
        )));
    }
    let Some((_, json)) = settings.all().find(|(name, json)| *name == "json" && !json.is_empty()) else {
        return Ok(());
    };
    let sample = http_carrier::sample(json).map_err(crate::core::Error::from)?;
    match serde_json::from_str::<Value>(&sample) {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure(format!(
            "json is invalid ({error}): a placeholder of a text stands between quotation marks"
        ))),
    }
}

/// Where an HTTP carrier reports to.
fn report_url(carrier: &Carrier, vault: &Vault, public_url: Option<&str>) -> Option<String> {
    let token = (carrier.kind == CarrierKind::Http).then(|| http_carrier::report_token(carrier, vault))?;
    let begin = public_url.unwrap_or_default().trim_end_matches('/');
    Some(format!("{begin}/_carrier/{}/{token}", carrier.name))
}

fn shown(carrier: &Carrier, report_url: Option<&str>) -> Value {
    let settings: Map<String, Value> =
        carrier.settings.all().map(|(name, value)| (name.to_owned(), value.into())).collect();
    json!({
        "id": carrier.id.0,
        "name": carrier.name,
        "kind": carrier.kind.name(),
        "settings": settings,
        "reportUrl": report_url,
        "downSince": carrier.down.map(crate::core::Timestamp::rfc3339_offset),
    })
}

pub(super) async fn carrier(
    installation: &Installation,
    public_url: Option<String>,
    command: CarrierCommand,
) -> Outcome {
    let store = &installation.store;
    let public_url = public_url.or_else(|| std::env::var("ROOKERY_PUBLIC_URL").ok());
    let report_url = |carrier: &Carrier| report_url(carrier, &installation.vault, public_url.as_deref());
    match command {
        CarrierCommand::Add(new) => {
            let secret = new.password_env.as_deref().map(secret).transpose()?;
            let command = NewCarrier {
                name: new.name.clone(),
                kind: new.kind(),
                settings: new.settings()?,
                secret,
                vault: installation.vault.clone(),
                is_default: new.default,
            };
            check(command.kind, &command.settings)?;
            let about = |_: &NewCarrier, made: &Carrier| {
                own("carrier.add", &made.name).with("kind", made.kind.name())
            };
            let made = store.write(command, audited(Actor::command_line(), carrier::add, about)).await?;
            let report_url = report_url(&made);
            if new.json {
                say(&shown(&made, report_url.as_deref()).to_string());
            } else {
                say(&format!("carrier {} added", made.name));
                if let Some(url) = report_url {
                    say(&format!("it reports to {url}"));
                }
            }
        }
        CarrierCommand::List { json } => {
            let carriers = store.read((), carrier::all).await?;
            if json {
                let all = carriers.iter().map(|carrier| shown(carrier, report_url(carrier).as_deref()));
                say(&Value::Array(all.collect()).to_string());
                return Ok(());
            }
            for carrier in &carriers {
                let state = match (carrier.kind, carrier.down) {
                    (CarrierKind::Simulated, _) => "reaches no phone".to_owned(),
                    (_, Some(since)) => format!("down since {}", since.rfc3339_offset()),
                    (_, None) => "up".to_owned(),
                };
                let settings: Vec<String> =
                    carrier.settings.all().map(|(name, value)| format!("{name}={value}")).collect();
                let (name, kind) = (&carrier.name, carrier.kind.name());
                say(format!("{name:<20} {kind:<10} {state:<20} {}", settings.join(" ")).trim_end());
            }
        }
        CarrierCommand::Set { name, settings, password_env } => {
            let carrier = store.read(name.clone(), carrier::by_name).await?;
            let mut changes = Settings::default();
            for text in &settings {
                let (name, value) = pair(text)?;
                changes.set(name, value);
            }
            check(carrier.kind, &changes)?;
            let secret = password_env.as_deref().map(secret).transpose()?;
            let vault = installation.vault.clone();
            let about = |change: &Change, _: &Carrier| {
                let names: Vec<String> = change.settings.all().map(|(name, _)| name.to_string()).collect();
                own("carrier.set", &change.name)
                    .with("settings", names.join(" "))
                    .with("secret", change.secret.is_some())
            };
            let unit = audited(Actor::command_line(), carrier::set, about);
            store.write(Change { name, settings: changes, secret, vault }, unit).await?;
        }
        CarrierCommand::Remove { name } => {
            let about = |name: &String, (): &()| own("carrier.remove", name);
            store.write(name, audited(Actor::command_line(), carrier::remove, about)).await?;
        }
    }
    Ok(())
}

/// Something that the operator does for itself. Settings go by name: a value may be a secret.
fn own(action: &'static str, object: &str) -> Act {
    Act::on(AccountId(0), action).object(object)
}

/// A prefix, or what stands for a network in its place.
fn place(prefix: Option<String>, mcc: Option<&str>, mnc: Option<&str>) -> String {
    match mcc {
        Some(mcc) => route::of_network(mcc, mnc),
        None => prefix.unwrap_or_default(),
    }
}

pub(super) async fn route(installation: &Installation, command: RouteCommand) -> Outcome {
    let store = &installation.store;
    match command {
        RouteCommand::Add { prefix, carrier, mcc, mnc, priority, weight } => {
            let prefix = place(prefix, mcc.as_deref(), mnc.as_deref());
            let route = Route { prefix, carrier: CarrierId(0), priority, weight };
            let about = |(carrier, route): &(String, Route), (): &()| {
                own("route.add", &route.prefix).with("carrier", carrier).with("priority", route.priority)
            };
            store.write((carrier, route), audited(Actor::command_line(), route::add, about)).await?;
        }
        RouteCommand::List { json } => {
            let (routes, carriers) = (store.read((), route::all).await?, store.read((), carrier::all).await?);
            let name = |id: CarrierId| {
                carriers.iter().find(|carrier| carrier.id == id).map_or("?", |carrier| carrier.name.as_str())
            };
            if json {
                let all: Vec<Value> = routes
                    .iter()
                    .map(|route| {
                        let mut shown = json!({"prefix": route.prefix, "carrier": name(route.carrier),
                            "priority": route.priority, "weight": route.weight});
                        if let Some((mcc, mnc)) = route::network(&route.prefix) {
                            shown["prefix"] = Value::Null;
                            shown["mcc"] = json!(mcc);
                            shown["mnc"] = json!(mnc);
                        }
                        shown
                    })
                    .collect();
                say(&Value::Array(all).to_string());
                return Ok(());
            }
            for Route { prefix, carrier, priority, weight } in &routes {
                let prefix = match (prefix.as_str(), route::network(prefix)) {
                    ("", _) => "(all)".to_owned(),
                    (_, Some((mcc, mnc))) => format!("network {mcc} {}", mnc.unwrap_or("(all)")),
                    (prefix, None) => prefix.to_owned(),
                };
                say(&format!("{prefix:<16} {:<20} priority {priority:<4} weight {weight}", name(*carrier)));
            }
        }
        RouteCommand::Remove { prefix, carrier, mcc, mnc } => {
            let prefix = place(prefix, mcc.as_deref(), mnc.as_deref());
            let about = |(prefix, carrier): &(String, String), (): &()| {
                own("route.remove", prefix).with("carrier", carrier)
            };
            store.write((prefix, carrier), audited(Actor::command_line(), route::remove, about)).await?;
        }
    }
    Ok(())
}
