//! `key`, `signing-key`, `operator-key`.

use super::{Failure, Outcome, account_id, moment, noted, say};
use crate::core::api_key;
use crate::core::audit::{Act, Actor, audited};
use crate::core::key::{self, KeyId, NewKey, Role};
use crate::core::secret::Secret;
use crate::core::signing_key::{self, Rotation};
use crate::core::{AccountId, Error, Timestamp, account};
use crate::installation::Installation;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::io::Read;

/// Longest secret that is read from standard input.
const INPUT_MAX: u64 = 4_096;

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Mode {
    /// For real
    Live,
    /// Validated and answered, never sent, charged or stored
    Test,
    /// For the partner API, in the header X-API-Key
    Partner,
    /// For the platform's own API, as a bearer token
    Platform,
}

impl Mode {
    fn role(self) -> Role {
        match self {
            Mode::Live => Role::Live,
            Mode::Test => Role::Test,
            Mode::Partner => Role::Partner,
            Mode::Platform => Role::Platform,
        }
    }
}

#[derive(Subcommand)]
pub(super) enum KeyCommand {
    /// List the keys of an account; their texts are not stored
    List {
        /// Account number or partner id; 0 for the operator's keys
        id: String,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Make one more key for an account; it is shown this once
    Create {
        /// Account number or partner id
        id: String,
        #[command(flatten)]
        new: New,
    },
    /// Store a key that a customer brings along, read from standard input (16 to 64 printable characters)
    Import {
        /// Account number or partner id
        id: String,
        #[command(flatten)]
        new: New,
    },
    /// Make a key void, everywhere within a second
    Revoke {
        /// The key's id, as `key list` shows it
        key_id: String,
    },
}

#[derive(Args)]
pub(super) struct New {
    /// What the key opens
    #[arg(long)]
    mode: Mode,
    /// What to call it
    #[arg(long, default_value = "")]
    name: String,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
pub(super) enum SigningKeyCommand {
    /// Replace an account's signing key by the one read from standard input (at least 32 printable characters)
    Import {
        /// Account number or partner id
        id: String,
    },
    /// Make the next signing key, shown this once; callbacks are signed with the current one until the chosen moment
    ///
    /// From then on the next one signs and the old one is void. A next key that was to come already is replaced.
    Rotate {
        /// Account number or partner id
        id: String,
        #[command(flatten)]
        when: When,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Take the next signing key back before its moment
    CancelRotation {
        /// Account number or partner id
        id: String,
    },
    /// Show since when the signing key is used and when the next one will be
    ShowState {
        /// Account number or partner id
        id: String,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
#[group(required = true, multiple = false)]
pub(super) struct When {
    /// The moment, such as 2026-12-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// How long from now, such as 24h; 0s for at once
    #[arg(long = "in", value_name = "SPAN")]
    span: Option<String>,
}

#[derive(Subcommand)]
pub(super) enum OperatorKeyCommand {
    /// Make a key with the operator's rights; it is shown this once
    Create {
        /// What to call it
        name: String,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn key(installation: &Installation, command: KeyCommand) -> Outcome {
    let store = &installation.store;
    match command {
        KeyCommand::List { id, json } => {
            let id = account_id(installation, &id).await?;
            // The operator is 0 and no account.
            if id != AccountId(0) {
                store.read(id, account::find).await?;
            }
            list(&store.read(id, key::list).await?, json);
        }
        KeyCommand::Create { id, new: New { mode, name, json } } => {
            let account = account_id(installation, &id).await?;
            let unit = audited(Actor::command_line(), key::create_for, |(account, ..), key| {
                made_act(*account, "key.create", key)
            });
            let made = store.write((account, mode.role(), name), unit).await;
            show(&explained(made, &id)?, json);
        }
        KeyCommand::Import { id, new: New { mode, name, json } } => {
            let account = account_id(installation, &id).await?;
            let wrong = |_| Failure("the key is not 16 to 64 printable characters without blanks".into());
            let text = Secret::imported_key(&from_input()?).map_err(wrong)?;
            let unit = audited(Actor::command_line(), key::import, |(account, ..), key| {
                made_act(*account, "key.import", key)
            });
            let made = explained(store.write((account, mode.role(), name, text), unit).await, &id)?;
            if json {
                say(&json!({"id": made.id.hyphenated(), "mode": made.role.name()}).to_string());
            } else {
                say(&format!("imported as {}", made.id.hyphenated()));
            }
        }
        KeyCommand::Revoke { key_id } => {
            let id = KeyId::parse(&key_id)
                .ok_or_else(|| Failure(format!("{key_id} is no key id; `key list` shows them")))?;
            let about =
                |id: &KeyId, account: &AccountId| Act::on(*account, "key.revoke").object(id.hyphenated());
            store.write(id, audited(Actor::command_line(), api_key::revoke_any, about)).await?;
        }
    }
    Ok(())
}

fn made_act(account: AccountId, action: &'static str, key: &NewKey) -> Act {
    Act::on(account, action).object(key.id.hyphenated()).with("mode", key.role.name())
}

fn explained(made: Result<NewKey, Error>, id: &str) -> Result<NewKey, Failure> {
    match made {
        Err(Error::Forbidden) => {
            Err(Failure(format!("{id} is not a partner, only partners have keys of that mode")))
        }
        other => Ok(other?),
    }
}

/// A secret from standard input, without the line's end.
pub(super) fn from_input() -> Result<String, Failure> {
    let mut text = String::new();
    let read = std::io::stdin().take(INPUT_MAX).read_to_string(&mut text);
    read.map_err(|error| Failure(format!("standard input: {error}")))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn show(made: &NewKey, json: bool) {
    let (id, key) = (made.id.hyphenated(), made.text.reveal());
    if json {
        say(&json!({"id": id, "key": key, "mode": made.role.name()}).to_string());
    } else {
        say(&format!("id   {id}\nkey  {key}\nThe key is shown this once."));
    }
}

fn list(keys: &[key::Key], json: bool) {
    if json {
        let keys: Vec<Value> = keys
            .iter()
            .map(|key| {
                json!({
                    "id": key.id.hyphenated(),
                    "mode": key.role.name(),
                    "name": key.name,
                    "createdDatetime": key.created.rfc3339_offset(),
                    "revokedDatetime": key.revoked.map(Timestamp::rfc3339_offset),
                })
            })
            .collect();
        say(&Value::Array(keys).to_string());
        return;
    }
    for key in keys {
        let state = key.revoked.map_or("works".to_owned(), |at| format!("revoked {}", at.rfc3339_offset()));
        say(&format!("{}  {:<8}{:<34}{}", key.id.hyphenated(), key.role.name(), state, key.name));
    }
}

pub(super) async fn signing_key(installation: &Installation, command: SigningKeyCommand) -> Outcome {
    let store = &installation.store;
    match command {
        SigningKeyCommand::Import { id } => {
            let id = account_id(installation, &id).await?;
            let wrong =
                |_| Failure("the signing key is not 32 to 128 printable characters without blanks".into());
            let text = Secret::imported_signing_key(&from_input()?).map_err(wrong)?;
            let unit = noted(account::set_signing_key, "signing-key.import", |(id, ..), ()| *id);
            store.write((id, text, installation.vault.clone()), unit).await?;
        }
        SigningKeyCommand::Rotate { id, when, json } => {
            let account = account_id(installation, &id).await?;
            let text = when.at.as_deref().or(when.span.as_deref()).unwrap_or_default();
            let at = moment(text, Timestamp(installation.clock.now_us()), 1)?;
            let rotation = Rotation { account, at, vault: installation.vault.clone() };
            let about = |rotation: &Rotation, (_, at): &(Secret, Timestamp)| {
                Act::on(rotation.account, "signing-key.rotate").with("signsFrom", at.rfc3339_utc())
            };
            let unit = audited(Actor::command_line(), signing_key::rotate, about);
            let (key, at) = match store.write(rotation, unit).await {
                Err(Error::Invalid(_)) => return Err(Failure(format!("{text} is in the past"))),
                other => other?,
            };
            let (key, at) = (key.reveal(), at.rfc3339_offset());
            if json {
                say(&json!({"id": account.0, "nextSigningKey": key, "validFromDatetime": at}).to_string());
            } else {
                say(&format!("next signing key  {key}\nsigns from        {at}\nThe key is shown this once."));
            }
        }
        SigningKeyCommand::CancelRotation { id } => {
            let id = account_id(installation, &id).await?;
            store.write(id, noted(signing_key::cancel, "signing-key.cancel", |id, ()| *id)).await?;
        }
        SigningKeyCommand::ShowState { id, json } => {
            let id = account_id(installation, &id).await?;
            let scope = store.read(id, account::find).await?.scope();
            let keys = store.read(scope, signing_key::of).await?;
            let now = Timestamp(installation.clock.now_us());
            let (since, next) = keys.state(now);
            let (since, next) = (since.rfc3339_offset(), next.map(Timestamp::rfc3339_offset));
            if json {
                let document = json!({"id": id.0, "currentSinceDatetime": since, "nextFromDatetime": next});
                say(&document.to_string());
            } else {
                say(&format!("current since  {since}\nnext from      {}", next.as_deref().unwrap_or("none")));
            }
        }
    }
    Ok(())
}

pub(super) async fn operator_key(installation: &Installation, command: OperatorKeyCommand) -> Outcome {
    let OperatorKeyCommand::Create { name, json } = command;
    let about = |_: &String, key: &NewKey| made_act(AccountId(0), "key.create", key);
    let unit = audited(Actor::command_line(), key::create_operator, about);
    let made = installation.store.write(name, unit).await?;
    if json {
        say(&json!({"id": made.id.hyphenated(), "key": made.text.reveal()}).to_string());
    } else {
        show(&made, false);
    }
    Ok(())
}
