//! `user`, `platform-secret`.

use super::{Failure, Outcome, account_id, noted, say};
use crate::core::audit::{Act, Actor, audited};
use crate::core::key::KeyId;
use crate::core::password::Password;
use crate::core::person::{self, NewPerson, PersonId, Role};
use crate::core::second_factor::{self, Of};
use crate::core::{Code, Scope, account, partner, session};
use crate::installation::Installation;
use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};
use store::Tx;

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum RoleName {
    /// Everything
    Owner,
    /// Everything but users' roles
    Admin,
    /// Keys, callbacks and messages
    Developer,
    /// Money
    Billing,
    /// Looks only
    ReadOnly,
}

impl RoleName {
    fn role(self) -> Role {
        match self {
            RoleName::Owner => Role::Owner,
            RoleName::Admin => Role::Admin,
            RoleName::Developer => Role::Developer,
            RoleName::Billing => Role::Billing,
            RoleName::ReadOnly => Role::ReadOnly,
        }
    }
}

#[derive(Subcommand)]
pub(super) enum UserCommand {
    /// Add a user who signs in with an e-mail address and the password read from standard input (8 to 256 characters)
    Create {
        /// Account number or partner id
        id: String,
        /// E-mail address
        email: String,
        /// What to call the user
        #[arg(long, default_value = "")]
        name: String,
        /// What the user may do
        #[arg(long, default_value = "owner")]
        role: RoleName,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// List the users of an account
    List {
        /// Account number or partner id
        id: String,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Give a user the password read from standard input; tokens of the old one are void
    Password {
        /// Account number or partner id
        id: String,
        /// E-mail address
        email: String,
    },
    /// Take a user's second factor and recovery codes away, for one who has lost them; its sessions are void
    ResetTotp {
        /// Account number or partner id
        id: String,
        /// E-mail address
        email: String,
    },
    /// Remove a user; its tokens are void
    Remove {
        /// Account number or partner id
        id: String,
        /// E-mail address
        email: String,
    },
}

#[derive(Subcommand)]
pub(super) enum PlatformSecretCommand {
    /// Make what a partner's events and onboarding links are signed with anew; it is shown this once
    Rotate {
        /// Account number or partner id
        id: String,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
}

async fn hashed(installation: &Installation) -> Result<String, Failure> {
    let wrong = |_| Failure("the password is not 8 to 256 characters long".into());
    let password = Password::chosen(super::keys::from_input()?).map_err(wrong)?;
    let passwords = crate::core::password::Passwords::default();
    Ok(passwords.hash(password, &installation.entropy).await?)
}

fn address(text: &str) -> Result<String, Failure> {
    person::email(text).map_err(|code: Code| Failure(format!("{text}: the e-mail address {code}")))
}

async fn found(
    installation: &Installation,
    id: &str,
    email: &str,
) -> Result<(account::Account, PersonId), Failure> {
    let account = account_id(installation, id).await?;
    let owner = installation.store.read(account, account::find).await?;
    let email = address(email)?;
    let people = installation.store.read(owner.scope(), person::list).await?;
    let person = people.iter().find(|person| person.email == email);
    let person = person.ok_or_else(|| Failure(format!("{email} is no user of {id}")))?.id;
    Ok((owner, person))
}

pub(super) async fn user(installation: &Installation, command: UserCommand) -> Outcome {
    let store = &installation.store;
    match command {
        UserCommand::Create { id, email, name, role, json } => {
            let account = account_id(installation, &id).await?;
            let email = address(&email)?;
            let password = hashed(installation).await?;
            let role = role.role();
            let new = NewPerson { account, email: email.clone(), name, role, password };
            let about = |new: &NewPerson, id: &PersonId| {
                let act = Act::on(new.account, "user.create").object(id);
                act.with("email", &new.email).with("role", new.role.name())
            };
            let made = store.write(new, audited(Actor::command_line(), person::create, about)).await?;
            if json {
                say(&json!({"id": made.to_string(), "email": email, "role": role.name()}).to_string());
            } else {
                say(&format!("id  {made}"));
            }
        }
        UserCommand::List { id, json } => {
            let account = account_id(installation, &id).await?;
            let owner = store.read(account, account::find).await?;
            let people = store.read(owner.scope(), person::list).await?;
            if json {
                let all = people.iter().map(|person| {
                    json!({"id": person.id.to_string(), "email": person.email, "name": person.name,
                        "role": person.role.name()})
                });
                say(&Value::Array(all.collect()).to_string());
            } else {
                for person in people {
                    say(&format!("{}  {:<10}{}", person.id, person.role.name(), person.email));
                }
            }
        }
        UserCommand::Password { id, email } => {
            let (owner, person) = found(installation, &id, &email).await?;
            let password = hashed(installation).await?;
            let about = |(scope, id, ..): &(Scope, PersonId, String, Option<KeyId>), (): &()| {
                Act::on(scope.account, "user.password").object(id)
            };
            let unit = audited(Actor::command_line(), session::set_password, about);
            store.write((owner.scope(), person, password, None), unit).await?;
        }
        UserCommand::ResetTotp { id, email } => {
            let (owner, person) = found(installation, &id, &email).await?;
            let unit = async |tx: &mut Tx, of: &Of| {
                second_factor::remove(tx, of).await?;
                person::sign_out(tx, &(of.scope, of.person)).await
            };
            let about = |of: &Of, (): &()| Act::on(of.scope.account, "user.totp-remove").object(of.person);
            let unit = audited(Actor::command_line(), unit, about);
            store.write(Of { scope: owner.scope(), person }, unit).await?;
        }
        UserCommand::Remove { id, email } => {
            let (owner, person) = found(installation, &id, &email).await?;
            let about =
                |(scope, id): &(Scope, PersonId), (): &()| Act::on(scope.account, "user.remove").object(id);
            let unit = audited(Actor::command_line(), person::remove, about);
            store.write((owner.scope(), person), unit).await?;
        }
    }
    Ok(())
}

pub(super) async fn platform_secret(installation: &Installation, command: PlatformSecretCommand) -> Outcome {
    let PlatformSecretCommand::Rotate { id, json } = command;
    let account = account_id(installation, &id).await?;
    let unit = noted(partner::rotate_secret, "platform-secret.rotate", |(account, _), _| *account);
    let made = installation.store.write((account, installation.vault.clone()), unit).await?;
    if json {
        say(&json!({"platformSecret": made.reveal()}).to_string());
    } else {
        say(&format!("secret  {}\nThe secret is shown this once.", made.reveal()));
    }
    Ok(())
}
