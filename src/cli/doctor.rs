//! `doctor`: looks at an installation and says what to do about each finding.

use super::{Failure, Outcome, say};
use crate::core::carrier::{self, CarrierKind};
use crate::core::endpoint::{self, Endpoint};
use crate::core::inbound;
use crate::core::ledger::{self, Audit};
use crate::core::schema::MIGRATIONS;
use crate::core::smpp_user;
use crate::installation::Installation;
use crate::listen::Tls;
use crate::settings::Settings;
use clap::Args;
use serde_json::{Value, json};
use std::io::IsTerminal;

#[derive(Args)]
pub(super) struct Doctor {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Grade {
    Good,
    Odd,
    Bad,
}

struct Finding {
    grade: Grade,
    subject: &'static str,
    text: String,
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn good(&mut self, subject: &'static str, text: impl Into<String>) {
        self.0.push(Finding { grade: Grade::Good, subject, text: text.into() });
    }

    fn odd(&mut self, subject: &'static str, text: impl Into<String>) {
        self.0.push(Finding { grade: Grade::Odd, subject, text: text.into() });
    }

    fn bad(&mut self, subject: &'static str, text: impl Into<String>) {
        self.0.push(Finding { grade: Grade::Bad, subject, text: text.into() });
    }
}

/// Failing endpoints that are named one by one.
const SHOWN_MAX: usize = 20;
/// 2025-01-01: a clock before it has never been set.
const CLOCK_SANE_US: i64 = 1_735_689_600_000_000;

pub(super) async fn run(settings: &Settings, command: &Doctor) -> Outcome {
    let mut findings = Findings::default();
    configuration(settings, &mut findings);
    match Installation::open(settings).await {
        Err(error) => findings.bad("database", error),
        Ok(installation) => {
            database(settings, &installation, &mut findings).await;
            installation.store.close().await;
        }
    }
    report(&findings, command.json);
    let failed = findings.0.iter().filter(|finding| finding.grade == Grade::Bad).count();
    if failed == 0 { Ok(()) } else { Err(Failure(format!("{failed} of the checks failed"))) }
}

fn configuration(settings: &Settings, findings: &mut Findings) {
    let serve = &settings.serve;
    let mut fine = true;
    if serve.public_url.is_none() && serve.listen.iter().any(|address| !address.ip().is_loopback()) {
        findings
            .odd("configuration", "links use the Host header of each request; set --public-url to fix them");
        fine = false;
    }
    if serve.no_rate_limit == Some(true) {
        findings.odd("configuration", "rate limits are off; leave out --no-rate-limit but for tests");
        fine = false;
    }
    if serve.allow_private_webhooks == Some(true) {
        findings.odd(
            "configuration",
            "callbacks may go to private addresses; leave out --allow-private-webhooks but for tests",
        );
        fine = false;
    }
    if let (Some(certificate), Some(key)) = (&serve.tls_cert, &serve.tls_key) {
        match Tls::open(certificate, key) {
            Ok(_) => findings.good("certificate", "can be read and fits its key"),
            Err(error) => findings.bad("certificate", format!("{error}; give a PEM chain and its key")),
        }
    }
    if fine {
        findings.good("configuration", "nothing unusual");
    }
}

/// Where customers' own systems bind, and who may.
async fn smpp(settings: &Settings, store: &store::Store, findings: &mut Findings) {
    let users = match store.read((), smpp_user::count).await {
        Ok(users) => users,
        Err(error) => return findings.bad("smpp", format!("users cannot be read: {error}")),
    };
    let serve = &settings.serve;
    // `doctor` is not told of the options of `serve`; the environment is the same for both.
    let variables = ["ROOKERY_SMPP_LISTEN", "ROOKERY_SMPP_TLS_LISTEN"].map(|name| std::env::var(name).ok());
    let mut addresses: Vec<String> =
        serve.smpp_listen.iter().chain(&serve.smpp_tls_listen).map(ToString::to_string).collect();
    addresses.extend(variables.into_iter().flatten());
    match (users, addresses.is_empty()) {
        (0, true) => findings.good("smpp", "is not used"),
        (_, true) => findings.odd(
            "smpp",
            format!("{users} users may bind, but no address is set; give --smpp-listen to `serve`"),
        ),
        (0, false) => findings.odd(
            "smpp",
            format!(
                "listens on {}, but nobody may bind; see `rookery smpp-user create`",
                addresses.join(", ")
            ),
        ),
        (_, false) => findings.good("smpp", format!("{users} users may bind at {}", addresses.join(", "))),
    }
}

async fn database(settings: &Settings, installation: &Installation, findings: &mut Findings) {
    let Installation { store, clock, .. } = installation;
    findings.good("master key", "is the one of this database");
    match store.schema(MIGRATIONS).await {
        Ok(schema) => {
            findings.good("database", format!("{:?} answers, schema {}", store.engine(), schema.found));
        }
        Err(error) => findings.bad("database", error.to_string()),
    }
    if clock.now_us() < CLOCK_SANE_US {
        findings.bad("clock", "is before 2025: set it, and keep it set with an NTP service");
    } else {
        findings.good("clock", "is plausible");
    }
    smpp(settings, store, findings).await;
    match store.read((), carrier::all).await {
        Ok(carriers) => {
            for carrier in carriers {
                let name = &carrier.name;
                match (carrier.kind, carrier.down) {
                    (CarrierKind::Simulated, _) => findings
                        .good("carrier", format!("{name} is simulated: no message reaches a phone through it")),
                    (_, None) => findings.good("carrier", format!("{name} is up, or has not been tried yet")),
                    (_, Some(since)) => findings.bad(
                        "carrier",
                        format!(
                            "{name} is down since {}: look for it in the server's log, check host, port and password",
                            since.rfc3339_offset()
                        ),
                    ),
                }
            }
        }
        Err(error) => findings.bad("carrier", format!("carriers cannot be read: {error}")),
    }
    heard(installation, findings).await;
    let audit = store.write((), async |tx: &mut store::Tx, (): &()| ledger::audit(tx, &()).await).await;
    match audit {
        Ok(audit) if audit == Audit::default() => {
            findings.good(
                "books",
                "balance, every balance is its transfers' sum, and what is held is what is open",
            );
        }
        Ok(audit) => {
            findings.bad("books", format!("do not balance: {audit:?}; stop the server and report this"));
        }
        Err(error) => findings.odd("books", format!("could not be checked: {error}")),
    }
}

/// What comes in and what goes out to customers.
async fn heard(Installation { store, .. }: &Installation, findings: &mut Findings) {
    match store.scan(None, endpoint::failing).await {
        Ok(failing) if failing.is_empty() => findings.good("webhooks", "no endpoint fails"),
        Ok(failing) => {
            for endpoint in failing.iter().take(SHOWN_MAX) {
                let Endpoint { account, origin, failures, answer, .. } = endpoint;
                let state = if endpoint.paused.is_some() { "is paused" } else { "fails" };
                let text = format!(
                    "{origin} of account {account} {state} after {failures} failures, the last: {answer}; \
                     tell its owner, then `rookery webhook resume {account} {origin}`"
                );
                findings.odd("webhooks", text);
            }
            if failing.len() > SHOWN_MAX {
                let text =
                    format!("{} endpoints fail; `rookery webhook endpoints` lists them", failing.len());
                findings.odd("webhooks", text);
            }
        }
        Err(error) => findings.odd("webhooks", format!("could not be checked: {error}")),
    }
    match store.read((), inbound::strays).await {
        Ok(strays) if strays.is_empty() => {}
        Ok(strays) => findings.odd(
            "numbers",
            format!(
                "texts came to {} numbers that nobody has; see `rookery number strays`, give them to accounts with \
                 `rookery number add`",
                strays.len()
            ),
        ),
        Err(error) => findings.odd("numbers", format!("could not be checked: {error}")),
    }
}

fn report(findings: &Findings, json: bool) {
    let word = |grade| match grade {
        Grade::Good => "ok",
        Grade::Odd => "look",
        Grade::Bad => "failed",
    };
    if json {
        let all: Vec<Value> = findings
            .0
            .iter()
            .map(|Finding { grade, subject, text }| json!({"result": word(*grade), "subject": subject, "text": text}))
            .collect();
        say(&Value::Array(all).to_string());
        return;
    }
    let colour = std::io::stdout().is_terminal();
    for Finding { grade, subject, text } in &findings.0 {
        let (on, off) = match (colour, grade) {
            (false, _) => ("", ""),
            (true, Grade::Good) => ("\u{1b}[32m", "\u{1b}[0m"),
            (true, Grade::Odd) => ("\u{1b}[33m", "\u{1b}[0m"),
            (true, Grade::Bad) => ("\u{1b}[31m", "\u{1b}[0m"),
        };
        say(&format!("{on}{:<8}{off}{subject:<15}{text}", word(*grade)));
    }
}
