//! `transport`.

use super::{Failure, Outcome, say};
use crate::core::account::AccountId;
use crate::core::audit::{Act, Actor, audited};
use crate::core::carrier::Settings;
use crate::core::http_transport::report_token;
use crate::core::secret::{Secret, Vault};
use crate::core::transport::{self, NewTransport, Patch, Transport, TransportKind};
use crate::installation::Installation;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

#[derive(Subcommand)]
pub(super) enum TransportCommand {
    /// Add a transport
    ///
    /// Settings that have no option of their own are given as --set NAME=VALUE; docs/channels.md lists them.
    #[command(verbatim_doc_comment)]
    Add(Box<New>),
    /// List the transports
    List {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Change a transport; a running server follows within five seconds
    Set(Box<Change>),
    /// Remove a transport that carries no channel
    Remove {
        /// Its name
        name: String,
    },
}

#[derive(Args)]
pub(super) struct New {
    /// Letters, digits, dashes
    name: String,
    /// What all paths of the network's Cloud API begin with, such as `https://graph.facebook.com/v21.0`
    #[arg(long, value_name = "URL")]
    http: String,
    /// The environment variable that holds the token by which it knows us
    #[arg(long, value_name = "VAR")]
    token_env: String,
    /// The environment variable that holds the application's secret, with which it signs what it tells
    #[arg(long, value_name = "VAR")]
    secret_env: Option<String>,
    /// Requests at once
    #[arg(long, value_name = "N")]
    window: Option<u32>,
    /// Messages a second
    #[arg(long, value_name = "N")]
    throughput: Option<u32>,
    /// Carries new channels from now on
    #[arg(long)]
    preferred: bool,
    /// Any other setting
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct Change {
    /// Its name
    name: String,
    /// The environment variable that holds another token
    #[arg(long, value_name = "VAR")]
    token_env: Option<String>,
    /// The environment variable that holds another secret
    #[arg(long, value_name = "VAR")]
    secret_env: Option<String>,
    /// Carries new channels from now on
    #[arg(long)]
    preferred: bool,
    /// Such as window=50
    #[arg(value_name = "NAME=VALUE")]
    settings: Vec<String>,
}

fn secret(variable: &str) -> Result<Secret, Failure> {
    let value = std::env::var(variable).ok().filter(|value| !value.is_empty());
    value.map(Secret::new).ok_or_else(|| Failure(format!("{variable} is not set: put the secret into it")))
}

fn read(texts: &[String], settings: &mut Settings) -> Outcome {
    for text in texts {
        let Some((name, value)) = text.split_once('=') else {
            return Err(Failure(format!("{text}: NAME=VALUE is needed, such as window=50")));
        };
        settings.set(name, value);
    }
    Ok(())
}

/// Where it tells what has become of messages, and what it must show.
fn webhook(of: &Transport, vault: &Vault, public_url: Option<&str>) -> Option<(String, String)> {
    let token = (of.kind == TransportKind::Http).then(|| report_token(of, vault))?;
    let begin = public_url.unwrap_or_default().trim_end_matches('/');
    Some((format!("{begin}/_transport/{}/{token}", of.name), token))
}

fn shown(of: &Transport, webhook: Option<&(String, String)>) -> Value {
    let settings: Map<String, Value> =
        of.settings.all().map(|(name, value)| (name.to_owned(), value.into())).collect();
    json!({
        "id": of.id.0,
        "name": of.name,
        "kind": of.kind.name(),
        "preferred": of.preferred,
        "settings": settings,
        "isSigned": of.secret.is_some(),
        "webhookUrl": webhook.map(|(url, _)| url),
        "verifyToken": webhook.map(|(_, token)| token),
    })
}

pub(super) async fn run(
    installation: &Installation,
    public_url: Option<String>,
    command: TransportCommand,
) -> Outcome {
    let store = &installation.store;
    let public_url = public_url.or_else(|| std::env::var("ROOKERY_PUBLIC_URL").ok());
    let webhook = |of: &Transport| webhook(of, &installation.vault, public_url.as_deref());
    match command {
        TransportCommand::Add(new) => {
            let mut settings = Settings::default();
            settings.set("url", new.http.as_str());
            for (name, number) in [("window", new.window), ("throughput", new.throughput)] {
                if let Some(number) = number {
                    settings.set(name, number.to_string());
                }
            }
            read(&new.set, &mut settings)?;
            let command = NewTransport {
                name: new.name.clone(),
                settings,
                token: secret(&new.token_env)?,
                secret: new.secret_env.as_deref().map(secret).transpose()?,
                vault: installation.vault.clone(),
                preferred: new.preferred,
            };
            let about = |_: &NewTransport, made: &Transport| own("transport.add", &made.name);
            let made = store.write(command, audited(Actor::command_line(), transport::add, about)).await?;
            let webhook = webhook(&made);
            if new.json {
                say(&shown(&made, webhook.as_ref()).to_string());
            } else if let Some((url, token)) = webhook {
                say(&format!("transport {} added\nit calls {url}\nwith the verify token {token}", made.name));
            }
        }
        TransportCommand::List { json } => {
            let all = store.read((), transport::all).await?;
            if json {
                let all = all.iter().map(|one| shown(one, webhook(one).as_ref()));
                say(&Value::Array(all.collect()).to_string());
                return Ok(());
            }
            for one in &all {
                let state = if one.preferred { "preferred" } else { "" };
                let settings: Vec<String> =
                    one.settings.all().map(|(name, value)| format!("{name}={value}")).collect();
                let line =
                    format!("{:<20} {:<10} {state:<10} {}", one.name, one.kind.name(), settings.join(" "));
                say(line.trim_end());
            }
        }
        TransportCommand::Set(change) => {
            let mut settings = Settings::default();
            read(&change.settings, &mut settings)?;
            let patch = Patch {
                name: change.name.clone(),
                settings,
                token: change.token_env.as_deref().map(secret).transpose()?,
                secret: change.secret_env.as_deref().map(secret).transpose()?,
                vault: installation.vault.clone(),
                preferred: change.preferred,
            };
            let about = |patch: &Patch, _: &Transport| {
                let names: Vec<String> = patch.settings.all().map(|(name, _)| name.to_string()).collect();
                own("transport.set", &patch.name)
                    .with("settings", names.join(" "))
                    .with("token", patch.token.is_some())
                    .with("secret", patch.secret.is_some())
            };
            store.write(patch, audited(Actor::command_line(), transport::set, about)).await?;
        }
        TransportCommand::Remove { name } => {
            let about = |name: &String, (): &()| own("transport.remove", name);
            store.write(name, audited(Actor::command_line(), transport::remove, about)).await?;
        }
    }
    Ok(())
}

/// Something that the operator does for itself. Settings go by name: a value may be a secret.
fn own(action: &'static str, object: &str) -> Act {
    Act::on(AccountId(0), action).object(object)
}
