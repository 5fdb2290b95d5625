//! The command line: one command, one function of the domain. Public interface, see docs/command-line.md.
//!
//! Exit status: 0 done, 1 failed with one line on standard error, 2 wrong usage. `--json` prints exactly one document on
//! standard output. Secrets come from standard input, never as an argument.

mod accounts;
mod carriers;
mod dev;
mod doctor;
mod erasures;
mod keys;
mod money;
mod numbers;
mod opt_outs;
mod people;
mod reports;
mod smpp_users;
mod transports;
mod webhooks;

use crate::core::account::AccountId;
use crate::core::audit::{Act, Actor, audited};
use crate::core::{Error, Result as CoreResult, Timestamp, partner};
use crate::installation::Installation;
use crate::serve;
use crate::settings::{LogFormat, ServeSettings, Settings};
use clap::{Parser, Subcommand};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use store::Tx;
use tracing_subscriber::EnvFilter;

/// A communications platform that a company runs itself.
///
/// It speaks the classic MessageBird APIs and the 360dialog Partner API. `rookery serve` runs the server; every other
/// command works on the database directly, beside a running server or without one.
#[derive(Parser)]
#[command(name = "rookery", version, propagate_version = true, arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  rookery serve
  rookery partner create Acme --json
  rookery child create 7310428 'Corner Bakery'
  rookery credit 7310428 25.00 EUR
  printf %s \"$OLD_KEY\" | rookery key import 7310428 --mode live

Settings are taken from options, then the environment, then ./rookery.toml.
ROOKERY_MASTER_KEY (64 hexadecimal digits) encrypts stored secrets: made by itself
with the embedded database, to be given with PostgreSQL.";

#[derive(Subcommand)]
enum Command {
    /// Run the server
    Serve(Box<ServeSettings>),
    /// Make partner accounts
    #[command(subcommand)]
    Partner(accounts::PartnerCommand),
    /// Make child accounts of a partner
    #[command(subcommand)]
    Child(accounts::ChildCommand),
    /// Look at accounts, stop them, change them
    #[command(subcommand)]
    Account(accounts::AccountCommand),
    /// Make, list, import and revoke keys
    #[command(subcommand)]
    Key(keys::KeyCommand),
    /// What callbacks are signed with: bring it along, rotate it
    #[command(subcommand)]
    SigningKey(keys::SigningKeyCommand),
    /// Make, list, import and revoke the users by which accounts' own systems bind over SMPP
    #[command(subcommand)]
    SmppUser(smpp_users::SmppUserCommand),
    /// Make keys with the operator's rights
    #[command(subcommand)]
    OperatorKey(keys::OperatorKeyCommand),
    /// Add, list and remove those who sign in with a password
    #[command(subcommand)]
    User(people::UserCommand),
    /// Make what a partner's events and onboarding links are signed with
    #[command(subcommand)]
    PlatformSecret(people::PlatformSecretCommand),
    /// Add prepaid balance to an account, or take it back with a negative amount
    Credit(money::Credit),
    /// Prices
    #[command(subcommand)]
    Rate(money::RateCommand),
    /// Carriers: who takes messages to phones
    #[command(subcommand)]
    Carrier(carriers::CarrierCommand),
    /// Which carrier takes which number
    #[command(subcommand)]
    Route(carriers::RouteCommand),
    /// Transports: who carries the messages of channels
    #[command(subcommand)]
    Transport(transports::TransportCommand),
    /// Numbers that phones write to, and what is known about any number
    #[command(subcommand)]
    Number(numbers::NumberCommand),
    /// Who wants nothing more from an account
    #[command(subcommand)]
    OptOut(opt_outs::OptOutCommand),
    /// Look at callbacks, send them again, resume endpoints
    #[command(subcommand)]
    Webhook(webhooks::WebhookCommand),
    /// Remove a person, known by a number, from everything that an account keeps
    Erase(erasures::Erase),
    /// What was sent and received
    #[command(subcommand)]
    Report(reports::ReportCommand),
    /// Check the installation and say what to do about each finding
    Doctor(doctor::Doctor),
    /// Print the OpenAPI document of everything that is served
    Openapi,
    /// Tools for developing and testing
    #[command(subcommand)]
    Dev(dev::DevCommand),
}

/// Why a command ends without being done.
#[derive(Debug)]
struct Failure(String);

type Outcome = Result<(), Failure>;

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Failure(text)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure(error.to_string())
    }
}

/// Parses the arguments, runs the command, and tells how it ended.
pub fn main() -> ExitCode {
    let Cli { settings, command } = Cli::parse();
    let serve = match &command {
        Command::Serve(serve) => Some((**serve).clone()),
        _ => None,
    };
    let settings = match settings.with_file(serve) {
        Ok(settings) => settings,
        Err(error) => return failed(&error),
    };
    if let Err(error) = log(&settings) {
        return failed(&error);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.to_string()),
    };
    match runtime.block_on(run(settings, command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(text)) => failed(&text),
    }
}

#[expect(clippy::print_stderr, reason = "this is how a command says that it failed")]
fn failed(text: &str) -> ExitCode {
    eprintln!("rookery: {text}");
    ExitCode::FAILURE
}

/// Answers a line. Whoever reads only the beginning (`| head -1`) has what they want.
fn say(text: &str) {
    let written = writeln!(std::io::stdout(), "{text}");
    if written.is_err_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe) {
        std::process::exit(0);
    }
}

fn log(settings: &Settings) -> Result<(), String> {
    let filter = settings.log.as_deref().unwrap_or("info");
    let filter = EnvFilter::try_new(filter).map_err(|error| format!("--log {filter}: {error}"))?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match settings.log_format.unwrap_or(LogFormat::Text) {
        LogFormat::Text => subscriber.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => subscriber.json().flatten_event(true).init(),
    }
    Ok(())
}

async fn run(settings: Settings, command: Command) -> Outcome {
    if let Command::Serve(_) = command {
        return Ok(serve::run(&settings).await?);
    }
    if let Command::Openapi = command {
        say(crate::wire::Service::openapi().trim_end());
        return Ok(());
    }
    if let Command::Number(numbers::NumberCommand::Describe { msisdn, json }) = &command {
        return numbers::describe(msisdn, *json);
    }
    if let Command::Doctor(command) = &command {
        return doctor::run(&settings, command).await;
    }
    if let Command::Dev(command) = command {
        return dev::run(command).await;
    }
    let installation = Installation::open(&settings).await?;
    let outcome = match command {
        Command::Partner(command) => accounts::partner(&installation, command).await,
        Command::Child(command) => accounts::child(&installation, command).await,
        Command::Account(command) => accounts::account(&installation, command).await,
        Command::Key(command) => keys::key(&installation, command).await,
        Command::SigningKey(command) => keys::signing_key(&installation, command).await,
        Command::SmppUser(command) => smpp_users::run(&installation, command).await,
        Command::OperatorKey(command) => keys::operator_key(&installation, command).await,
        Command::User(command) => people::user(&installation, command).await,
        Command::PlatformSecret(command) => people::platform_secret(&installation, command).await,
        Command::Credit(command) => money::credit(&installation, command).await,
        Command::Rate(command) => money::rate(&installation, command).await,
        Command::Carrier(command) => {
            let public_url = settings.serve.public_url.clone();
            carriers::carrier(&installation, public_url, command).await
        }
        Command::Route(command) => carriers::route(&installation, command).await,
        Command::Transport(command) => {
            let public_url = settings.serve.public_url.clone();
            transports::run(&installation, public_url, command).await
        }
        Command::Number(command) => numbers::run(&installation, command).await,
        Command::OptOut(command) => opt_outs::run(&installation, command).await,
        Command::Erase(command) => erasures::erase(&installation, command).await,
        Command::Report(command) => reports::run(&installation, command).await,
        Command::Webhook(command) => webhooks::run(&installation, command).await,
        Command::Serve(_) | Command::Doctor(_) | Command::Openapi | Command::Dev(_) => Ok(()),
    };
    installation.store.close().await;
    outcome
}

/// A unit on an account that writes its line of the audit log as well.
fn noted<C: 'static, O: 'static>(
    unit: impl for<'t, 'c> AsyncFn(&'t mut Tx, &'c C) -> CoreResult<O> + Send + 'static,
    action: &'static str,
    account: impl Fn(&C, &O) -> AccountId + Send + 'static,
) -> impl for<'t, 'c> AsyncFn(&'t mut Tx, &'c C) -> CoreResult<O> + Send + 'static {
    audited(Actor::command_line(), unit, move |command, done| Act::on(account(command, done), action))
}

/// A moment in RFC 3339, or a span from now (`direction` 1) or ago (-1) such as 30s, 15m, 24h or 7d.
fn moment(text: &str, now: Timestamp, direction: i64) -> Result<Timestamp, Failure> {
    if let Some(at) = Timestamp::parse(text) {
        return Ok(at);
    }
    let span = text.char_indices().last().and_then(|(at, unit)| {
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return None,
        };
        let count: i64 = text[..at].parse::<u32>().ok()?.into();
        count.checked_mul(seconds * 1_000_000)
    });
    let at = span.and_then(|span| now.0.checked_add(span * direction)).map(Timestamp);
    at.ok_or_else(|| {
        Failure(format!("{text}: a time such as 2026-11-22T08:00:00Z or a span such as 24h is needed"))
    })
}

/// Finds an account by its number or a partner's id.
async fn account_id(installation: &Installation, text: &str) -> CoreResult<AccountId> {
    match AccountId::parse(text) {
        Some(id) => Ok(id),
        None => installation.store.read(partner::Handle::new(text), partner::by_handle).await,
    }
}
