//! `key`, `signing-key`, `operator-key`.

use super::{Failure, Outcome, account_id, say};
use crate::core::key::{self, KeyId, NewKey, Role};
use crate::core::secret::Secret;
use crate::core::{AccountId, Error, account};
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
}

impl Mode {
    fn role(self) -> Role {
        match self {
            Mode::Live => Role::Live,
            Mode::Test => Role::Test,
            Mode::Partner => Role::Partner,
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
            let made = store.write((account, mode.role(), name), key::create_for).await;
            show(&explained(made, &id)?, json);
        }
        KeyCommand::Import { id, new: New { mode, name, json } } => {
            let account = account_id(installation, &id).await?;
            let wrong = |_| Failure("the key is not 16 to 64 printable characters without blanks".into());
            let text = Secret::imported_key(&from_input()?).map_err(wrong)?;
            let made = explained(store.write((account, mode.role(), name, text), key::import).await, &id)?;
            if json {
                say(&json!({"id": made.id.hyphenated(), "mode": made.role.name()}).to_string());
            } else {
                say(&format!("imported as {}", made.id.hyphenated()));
            }
        }
        KeyCommand::Revoke { key_id } => {
            let id = KeyId::parse(&key_id)
                .ok_or_else(|| Failure(format!("{key_id} is no key id; `key list` shows them")))?;
            store.write(id, key::revoke).await?;
        }
    }
    Ok(())
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
                    "revokedDatetime": key.revoked.map(super::super::core::time::Timestamp::rfc3339_offset),
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
    let SigningKeyCommand::Import { id } = command;
    let id = account_id(installation, &id).await?;
    let wrong = |_| Failure("the signing key is not 32 to 128 printable characters without blanks".into());
    let text = Secret::imported_signing_key(&from_input()?).map_err(wrong)?;
    installation.store.write((id, text, installation.vault.clone()), account::set_signing_key).await?;
    Ok(())
}

pub(super) async fn operator_key(installation: &Installation, command: OperatorKeyCommand) -> Outcome {
    let OperatorKeyCommand::Create { name, json } = command;
    let made = installation.store.write(name, key::create_operator).await?;
    if json {
        say(&json!({"id": made.id.hyphenated(), "key": made.text.reveal()}).to_string());
    } else {
        show(&made, false);
    }
    Ok(())
}
