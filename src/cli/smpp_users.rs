//! `smpp-user`.

use super::{Failure, Outcome, account_id, keys, say};
use crate::core::account;
use crate::core::audit::{Act, Actor, audited};
use crate::core::secret::Secret;
use crate::core::smpp_user::{self, BINDS, New, SystemId, User, WINDOW};
use crate::core::{AccountId, Error, Timestamp};
use crate::installation::Installation;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use store::Tx;

#[derive(Subcommand)]
pub(super) enum SmppUserCommand {
    /// Make a user; its password is shown this once
    Create {
        /// Account number or partner id
        id: String,
        /// 1 to 15 letters, digits, dots, dashes and underscores; made of the account's number if left out
        system_id: Option<String>,
        #[command(flatten)]
        new: Limits,
    },
    /// Make a user with the password that a customer brings along, read from standard input (6 to 64 printable characters)
    Import {
        /// Account number or partner id
        id: String,
        /// 1 to 15 letters, digits, dots, dashes and underscores
        system_id: String,
        #[command(flatten)]
        new: Limits,
    },
    /// List the users of an account; their passwords are not shown
    List {
        /// Account number or partner id
        id: String,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Make a user void: it is unbound within a second; `create` with the same system id makes it anew
    Revoke {
        /// The user
        system_id: String,
    },
}

#[derive(Args)]
pub(super) struct Limits {
    /// Binds at once, in each server process
    #[arg(long, value_name = "COUNT", default_value_t = BINDS)]
    binds: i64,
    /// Messages each way that one bind may have unanswered
    #[arg(long, value_name = "COUNT", default_value_t = WINDOW)]
    window: i64,
    /// Messages a second, in each server process [default: 500, as for a key]
    #[arg(long, value_name = "COUNT")]
    throughput: Option<i64>,
    /// What it sends is validated and answered, never sent, charged or stored
    #[arg(long)]
    test: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(installation: &Installation, command: SmppUserCommand) -> Outcome {
    let store = &installation.store;
    match command {
        SmppUserCommand::Create { id, system_id, new } => {
            let account = account_id(installation, &id).await?;
            let system_id = system_id.as_deref().map(parsed).transpose()?;
            make(installation, account, system_id, None, &new).await?;
        }
        SmppUserCommand::Import { id, system_id, new } => {
            let account = account_id(installation, &id).await?;
            let system_id = parsed(&system_id)?;
            let wrong = |_| Failure("the password is not 6 to 64 printable characters without blanks".into());
            let password = smpp_user::imported_password(&keys::from_input()?).map_err(wrong)?;
            make(installation, account, Some(system_id), Some(password), &new).await?;
        }
        SmppUserCommand::List { id, json } => {
            let id = account_id(installation, &id).await?;
            store.read(id, account::find).await?;
            list(&store.read(id, smpp_user::list).await?, json);
        }
        SmppUserCommand::Revoke { system_id } => {
            let unit = async |tx: &mut Tx, id: &SystemId| {
                let whose = smpp_user::standing(tx, id).await?.map(|standing| standing.user.scope.account);
                let was = smpp_user::revoke(tx, id).await?;
                Ok::<_, Error>(whose.filter(|_| was))
            };
            let about = |id: &SystemId, whose: &Option<AccountId>| {
                whose.map(|account| Act::on(account, "smpp-user.revoke").object(id))
            };
            let unit = audited(Actor::command_line(), unit, about);
            if store.write(parsed(&system_id)?, unit).await?.is_none() {
                return Err(Failure(format!("{system_id} is no SMPP user that works")));
            }
        }
    }
    Ok(())
}

fn parsed(text: &str) -> Result<SystemId, Failure> {
    let wrong =
        |_| Failure(format!("{text}: 1 to 15 letters, digits, dots, dashes and underscores are needed"));
    SystemId::parse(text).map_err(wrong)
}

async fn make(
    installation: &Installation,
    account: AccountId,
    system_id: Option<SystemId>,
    password: Option<Secret>,
    limits: &Limits,
) -> Outcome {
    let is_imported = password.is_some();
    let new = New {
        account,
        system_id,
        password,
        is_test: limits.test,
        binds: limits.binds,
        window: limits.window,
        throughput: limits.throughput,
        vault: installation.vault.clone(),
    };
    let action = if is_imported { "smpp-user.import" } else { "smpp-user.create" };
    let about =
        move |new: &New, (user, _): &(User, Secret)| Act::on(new.account, action).object(&user.system_id);
    let unit = audited(Actor::command_line(), smpp_user::create, about);
    let (user, password) = installation.store.write(new, unit).await?;
    if limits.json {
        let mut document = shown(&user);
        if !is_imported {
            document["password"] = password.reveal().into();
        }
        say(&document.to_string());
    } else if is_imported {
        say(&format!("imported as {}", user.system_id));
    } else {
        say(&format!(
            "system id  {}\npassword   {}\nThe password is shown this once.",
            user.system_id,
            password.reveal()
        ));
    }
    Ok(())
}

fn shown(user: &User) -> Value {
    json!({
        "systemId": user.system_id.as_str(),
        "account": user.scope.account.0,
        "mode": user.mode(),
        "binds": user.binds,
        "window": user.window,
        "throughput": user.throughput,
        "createdDatetime": user.created.rfc3339_offset(),
        "revokedDatetime": user.revoked.map(Timestamp::rfc3339_offset),
    })
}

fn list(users: &[User], json: bool) {
    if json {
        say(&Value::Array(users.iter().map(shown).collect()).to_string());
        return;
    }
    for user in users {
        let state = user.revoked.map_or("works".to_owned(), |at| format!("revoked {}", at.rfc3339_offset()));
        say(&format!("{:<17}{:<6}{state}", user.system_id.as_str(), user.mode()));
    }
}
