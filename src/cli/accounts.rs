//! `partner`, `child`, `account`.

use super::{Failure, Outcome, account_id, noted, say};
use crate::core::account::{self, Account, NewAccount, NewChild, NewPartner, Setting};
use crate::core::audit::{Act, Actor, audited};
use crate::core::closing;
use crate::core::ledger::{self, Balance};
use crate::core::money::{Amount, Currency};
use crate::core::number::Form;
use crate::core::partner::{self, Partner, Patch, check_url};
use crate::core::phone::Originator;
use crate::core::reach::{self, Sight, View};
use crate::core::suspension::Level;
use crate::core::terms::{self, Messaging, MessagingSetting};
use crate::core::{AccountId, Code, Error, Timestamp, Violation, smpp_outbox, smpp_user};
use crate::installation::Installation;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

#[derive(Subcommand)]
pub(super) enum PartnerCommand {
    /// Make a partner account; its secrets are shown this once
    Create(CreatePartner),
}

#[derive(Args)]
pub(super) struct CreatePartner {
    /// Its name, printed on invoices
    name: String,
    /// Of everything it and its children pay
    #[arg(long, default_value = "EUR")]
    currency: String,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
pub(super) enum ChildCommand {
    /// Make a child account; its secrets are shown this once
    Create(CreateChild),
}

#[derive(Args)]
pub(super) struct CreateChild {
    /// The partner's account number or partner id
    partner_id: String,
    /// Its name, printed on invoices
    name: String,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
pub(super) enum AccountCommand {
    /// Stop an account and, if it is a partner, its children; its partner cannot resume it
    Suspend {
        /// Account number or partner id
        id: String,
    },
    /// Let a suspended account act again, whoever suspended it
    Resume {
        /// Account number or partner id
        id: String,
    },
    /// Undo the deletion of an account that is about to end, whoever asked for it
    Restore {
        /// Account number or partner id
        id: String,
    },
    /// Delete an account: its keys are void, its remainder goes to its partner, its books stay
    Delete {
        /// Account number or partner id
        id: String,
    },
    /// Change a setting
    ///
    /// For every account: name, email, payment (prepaid or postpaid), credit-limit, invoice-aggregation.
    /// For its messages: originator, report-url, inbound-url, inbound-form (get, post or json), time-zone (such as
    /// Europe/Amsterdam), legacy-signature (true or false), retention-days (of texts), stop-words and start-words (such
    /// as stop-words=lang:de,genug); an empty value clears. inbound-url may name an SMPP user, as smpp:ID.
    /// For partners: country (two letters), logo-url, webhook-url, redirect-url, clients-add-numbers, and true or false
    /// each: token-sign-in, clients-by-email, signed-onboarding, signature-prefix.
    #[command(verbatim_doc_comment)]
    Set {
        /// Account number or partner id
        id: String,
        /// For example payment=postpaid
        #[arg(value_name = "NAME=VALUE", required = true)]
        settings: Vec<String>,
    },
    /// Show an account
    Show {
        /// Account number or partner id
        id: String,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn partner(installation: &Installation, command: PartnerCommand) -> Outcome {
    let PartnerCommand::Create(CreatePartner { name, currency, json }) = command;
    let currency = Currency::parse(&currency)
        .map_err(|_| Violation::new("currency", Code::Invalid))
        .map_err(Error::from)?;
    let new = NewPartner { name, currency, vault: installation.vault.clone() };
    let made = installation
        .store
        .write(new, noted(account::create_partner, "account.create", |_, made: &NewAccount| made.account.id))
        .await?;
    show_made(&made, json);
    Ok(())
}

pub(super) async fn child(installation: &Installation, command: ChildCommand) -> Outcome {
    let ChildCommand::Create(CreateChild { partner_id, name, json }) = command;
    let partner = account_id(installation, &partner_id).await?;
    let vault = installation.vault.clone();
    let new = NewChild { partner, name: Some(name), email: String::new(), vault };
    let unit = noted(account::create_child, "account.create", |_, made: &NewAccount| made.account.id);
    let made = match installation.store.write(new, unit).await {
        Err(Error::Forbidden) => {
            return Err(Failure(format!("{partner_id} is not a partner, only partners own accounts")));
        }
        other => other?,
    };
    show_made(&made, json);
    Ok(())
}

fn show_made(made: &NewAccount, json: bool) {
    let NewAccount { account, keys, signing_key, partner } = made;
    if json {
        let keys: Vec<Value> = keys
            .iter()
            .map(|key| json!({"id": key.id.hyphenated(), "key": key.text.reveal(), "mode": key.role.name()}))
            .collect();
        let mut document = json!({"id": account.id.0});
        if let Some((handle, _)) = partner {
            document["partnerId"] = handle.as_str().into();
        }
        document["name"] = account.name.as_str().into();
        document["accessKeys"] = keys.into();
        document["signingKey"] = signing_key.reveal().into();
        if let Some((_, key)) = partner {
            document["partnerApiKey"] = key.text.reveal().into();
        }
        say(&document.to_string());
        return;
    }
    say(&format!("id             {}", account.id));
    if let Some((handle, _)) = partner {
        say(&format!("partner id     {}", handle.as_str()));
    }
    say(&format!("name           {}", account.name));
    for key in keys {
        say(&format!("{:<4} key       {}", key.role.name(), key.text.reveal()));
    }
    say(&format!("signing key    {}", signing_key.reveal()));
    if let Some((_, key)) = partner {
        say(&format!("X-API-Key      {}", key.text.reveal()));
    }
    say("The secrets are shown this once.");
}

pub(super) async fn account(installation: &Installation, command: AccountCommand) -> Outcome {
    let store = &installation.store;
    match command {
        AccountCommand::Suspend { id } => {
            let id = account_id(installation, &id).await?;
            store.write(id, noted(account::suspend, "account.suspend", |id, ()| *id)).await?;
        }
        AccountCommand::Resume { id } => {
            let id = account_id(installation, &id).await?;
            let resumed = store.write(id, noted(account::resume, "account.resume", |id, ()| *id)).await;
            if let Err(error) = resumed {
                return Err(match error {
                    Error::Invalid(_) => {
                        Failure(format!("{id} is about to be deleted: `rookery account restore` undoes that"))
                    }
                    other => other.into(),
                });
            }
        }
        AccountCommand::Restore { id } => {
            let id = account_id(installation, &id).await?;
            let unit = noted(closing::reopen, "account.restore", |sight, _| sight.at);
            if let Err(error) = store.write(Sight::operators(id), unit).await {
                return Err(match error {
                    Error::Invalid(_) => Failure(format!("{id} is not about to be deleted")),
                    other => other.into(),
                });
            }
        }
        AccountCommand::Delete { id } => {
            let id = account_id(installation, &id).await?;
            store.write(id, noted(account::delete, "account.delete", |id, ()| *id)).await?;
        }
        AccountCommand::Set { id, settings } => {
            let id = account_id(installation, &id).await?;
            // By name: a URL may hold a secret.
            let names: Vec<&str> =
                settings.iter().map(|text| text.split('=').next().unwrap_or_default()).collect();
            let names = names.join(" ");
            let settings = settings.iter().map(|text| setting(text)).collect::<Result<Vec<_>, _>>()?;
            for setting in &settings {
                check_user(installation, id, setting).await?;
            }
            let about = move |(id, _): &(AccountId, Vec<Setting>), (): &()| {
                Act::on(*id, "account.update").with("settings", &names)
            };
            let unit = audited(Actor::command_line(), account::set_all, about);
            store.write((id, settings), unit).await?;
        }
        AccountCommand::Show { id, json } => {
            let id = account_id(installation, &id).await?;
            let account = store.read(id, account::find).await?;
            let balance = store.read(account.scope(), ledger::balance).await?;
            let partner =
                if account.is_partner() { Some(store.read(account.id, partner::view).await?) } else { None };
            let messaging = store.read(account.scope(), terms::messaging).await?;
            let standing = store.read(Sight::operators(id), reach::find).await.ok();
            show((&account, standing.as_ref()), &balance, &messaging, partner.as_ref(), json);
        }
    }
    Ok(())
}

/// Received messages can go to the account's own SMPP users only.
async fn check_user(installation: &Installation, id: AccountId, setting: &Setting) -> Outcome {
    let Setting::Messaging(MessagingSetting::InboundUrl(Some(url))) = setting else { return Ok(()) };
    let Some(system_id) = smpp_outbox::system_id(url) else { return Ok(()) };
    let standing = installation.store.read(system_id.clone(), smpp_user::standing).await?;
    if standing.is_some_and(|standing| standing.user.scope.account == id) {
        Ok(())
    } else {
        Err(Failure(format!(
            "{system_id} is no SMPP user of this account; `rookery smpp-user create` makes one"
        )))
    }
}

fn setting(text: &str) -> Result<Setting, Failure> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| Failure(format!("{text}: NAME=VALUE is needed, such as payment=postpaid")))?;
    let wrong = |code: Code| Failure(format!("{name} {code}"));
    let yes = || match value {
        "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        _ => Err(wrong(Code::NotBool)),
    };
    let url = || check_url(value).map(|()| Some(value.to_owned())).map_err(wrong);
    Ok(match name {
        "name" => Setting::Name(value.to_owned()),
        "email" => Setting::Email(value.to_owned()),
        "payment" => match value {
            "prepaid" => Setting::Postpaid(false),
            "postpaid" => Setting::Postpaid(true),
            _ => return Err(Failure("payment is prepaid or postpaid".into())),
        },
        "credit-limit" => Setting::CreditLimit(Amount::parse(value).map_err(wrong)?),
        "invoice-aggregation" => Setting::InvoiceAggregation(yes()?),
        "originator" if value.is_empty() => Setting::Messaging(MessagingSetting::Originator(None)),
        "originator" => {
            let originator = Originator::parse(value).map_err(wrong)?;
            Setting::Messaging(MessagingSetting::Originator(Some(originator)))
        }
        "report-url" => Setting::Messaging(MessagingSetting::ReportUrl(url()?.filter(|url| !url.is_empty()))),
        "inbound-url" if smpp_outbox::system_id(value).is_some() => {
            Setting::Messaging(MessagingSetting::InboundUrl(Some(value.to_owned())))
        }
        "inbound-url" => {
            Setting::Messaging(MessagingSetting::InboundUrl(url()?.filter(|url| !url.is_empty())))
        }
        "time-zone" => Setting::Messaging(MessagingSetting::TimeZone(value.to_owned())),
        "legacy-signature" => Setting::Messaging(MessagingSetting::LegacySignature(yes()?)),
        "retention-days" if value.is_empty() => Setting::Messaging(MessagingSetting::RetentionDays(None)),
        "retention-days" => {
            let days = value.parse().map_err(|_| wrong(Code::Invalid))?;
            Setting::Messaging(MessagingSetting::RetentionDays(Some(days)))
        }
        "inbound-form" => {
            let form = if value.is_empty() { Form::Get } else { Form::parse(value).map_err(wrong)? };
            Setting::Messaging(MessagingSetting::InboundForm(form))
        }
        "stop-words" => Setting::Messaging(MessagingSetting::StopWords(filled(value))),
        "start-words" => Setting::Messaging(MessagingSetting::StartWords(filled(value))),
        "country" => Setting::Partner(Patch { country: Some(value.to_owned()), ..Patch::default() }),
        "logo-url" => Setting::Partner(Patch { logo_url: url()?, ..Patch::default() }),
        "webhook-url" => Setting::Partner(Patch { webhook_url: url()?, ..Patch::default() }),
        "redirect-url" => Setting::Partner(Patch { redirect_url: url()?, ..Patch::default() }),
        "clients-add-numbers" => {
            Setting::Partner(Patch { clients_add_numbers: Some(yes()?), ..Patch::default() })
        }
        "token-sign-in" => Setting::Partner(Patch { token_sign_in: Some(yes()?), ..Patch::default() }),
        "clients-by-email" => Setting::Partner(Patch { clients_by_email: Some(yes()?), ..Patch::default() }),
        "signed-onboarding" => {
            Setting::Partner(Patch { signed_onboarding: Some(yes()?), ..Patch::default() })
        }
        "signature-prefix" => Setting::Partner(Patch { signature_prefix: Some(yes()?), ..Patch::default() }),
        _ => {
            return Err(Failure(format!("{name} is no setting; `rookery account set --help` lists them")));
        }
    })
}

fn filled(value: &str) -> Option<String> {
    Some(value.to_owned()).filter(|value| !value.is_empty())
}

fn show(
    (account, standing): (&Account, Option<&View>),
    balance: &Balance,
    messaging: &Messaging,
    partner: Option<&Partner>,
    json: bool,
) {
    let payment = if balance.postpaid { "postpaid" } else { "prepaid" };
    let mut document = json!({
        "id": account.id.0,
        "name": account.name,
        "email": account.email,
        "status": account.status.name(),
        "suspendedBy": standing.and_then(|view| view.held_by).map(Level::name),
        "closesDatetime": standing.and_then(|view| view.closes).map(Timestamp::rfc3339_offset),
        "closedBy": standing.and_then(|view| view.closed_by).map(Level::name),
        "currency": account.currency.as_str(),
        "payment": payment,
        "balance": balance.posted.to_string(),
        "held": balance.held.to_string(),
        "creditLimit": balance.credit_limit.to_string(),
        "invoiceAggregation": account.invoice_aggregation,
        "originator": messaging.originator.as_ref().map(Originator::as_str),
        "reportUrl": messaging.report_url,
        "inboundUrl": messaging.inbound_url,
        "timeZone": messaging.time_zone,
        "legacySignature": messaging.legacy_signature,
        "retentionDays": messaging.retention_days,
        "inboundForm": messaging.inbound_form.name(),
        "stopWords": messaging.stop_words,
        "startWords": messaging.start_words,
        "createdDatetime": account.created.rfc3339_offset(),
    });
    match partner {
        Some(partner) => {
            document["partnerId"] = partner.handle.as_str().into();
            document["country"] = partner.country.as_str().into();
            document["logoUrl"] = partner.logo_url.as_deref().into();
            document["webhookUrl"] = partner.webhook_url.as_deref().into();
            document["redirectUrl"] = partner.redirect_url.as_deref().into();
            document["clientsAddNumbers"] = partner.clients_add_numbers.into();
        }
        None => document["partner"] = account.root.0.into(),
    }
    if json {
        say(&document.to_string());
    } else if let Value::Object(fields) = document {
        for (name, value) in fields {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            say(&format!("{name:<20}{text}"));
        }
    }
}
