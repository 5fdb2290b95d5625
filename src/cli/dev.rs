//! `dev`: tools for developing and testing.

use super::{Outcome, say};
use crate::dev::smsc::{self, Figures, Ids, Mix, Order, Report};
use clap::{Args, Subcommand};
use serde_json::json;
use std::cell::Cell;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};
use store::Clock;
use tokio::sync::mpsc;

#[derive(Subcommand)]
pub(super) enum DevCommand {
    /// Run an SMSC to test against: it takes messages over SMPP, answers, reports and errs as asked
    #[command(after_help = EXAMPLES)]
    Smsc(Box<Smsc>),
}

const EXAMPLES: &str = "Examples:
  rookery dev smsc
  rookery dev smsc --rate 500 --delay 20ms --receipt-delay 2s
  rookery dev smsc --errors 'throttled=1%,refused=2%,undelivered=5%,no-receipt=1%,twice=1%,early=1%'
  rookery dev smsc --drop-every 1000 --ids hex --seed 7
  SMSC_PASSWORD=secret rookery dev smsc --system-id rookery --password-env SMSC_PASSWORD
  echo 'mo 31612345678 1234 STOP' | rookery dev smsc --stdin

Anyone may bind, in all three ways. Receipts go to any bind of the same system id that
receives, with their parameters and as text; what is not acknowledged is brought again.
Who asks by query_sm, with id and source, is told what became of the latest 200,000 messages.

Errors, each a share of all submissions:
  throttled    answered with ESME_RTHROTTLED
  refused      answered with ESME_RSUBMITFAIL
  undelivered  the receipt says UNDELIV, error 027
  no-receipt   no receipt ever comes; query_sm tells
  twice        the receipt comes twice
  early        the receipt comes before the answer

Commands, a line each, with --stdin:
  mo FROM TO TEXT   somebody sends a text, to any bind that receives
  drop              every connection is cut

It listens until SIGINT or SIGTERM. Ids are new in every run; what goes wrong is the same
for the same seed and the same order of submissions.";

#[derive(Args)]
pub(super) struct Smsc {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:2775", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The only system id that may bind [default: any]
    #[arg(long, value_name = "ID")]
    system_id: Option<String>,
    /// Environment variable with the password that a bind must bring [default: any password]
    #[arg(long, value_name = "VARIABLE")]
    password_env: Option<String>,
    /// Submissions answered a second [default: as many as come]
    #[arg(long, value_name = "N")]
    rate: Option<NonZeroU64>,
    /// Between a submission and its answer
    #[arg(long, default_value = "0ms", value_parser = duration, value_name = "TIME")]
    delay: Duration,
    /// Between an answer and its receipt
    #[arg(long, default_value = "0ms", value_parser = duration, value_name = "TIME")]
    receipt_delay: Duration,
    /// How often what goes wrong, see below
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME=PERCENT,...")]
    errors: Mix,
    /// Cut the connection instead of answering every Nth submission; half of these were taken
    #[arg(long, value_name = "N")]
    drop_every: Option<NonZeroU64>,
    /// How ids are written
    #[arg(long, value_enum, default_value_t = Ids::Decimal)]
    ids: Ids,
    /// What chance begins with
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Receipts and messages that a receiver may leave unanswered
    #[arg(long, default_value_t = 100, value_parser = window, value_name = "N")]
    window: usize,
    /// How often figures are printed
    #[arg(long, default_value = "1s", value_parser = duration, value_name = "TIME")]
    stats_every: Duration,
    /// Read commands from standard input, see below
    #[arg(long)]
    stdin: bool,
    /// Print figures as JSON, a document a line
    #[arg(long)]
    json: bool,
}

/// Reads `250ms`, `2s` or `1m`.
fn duration(text: &str) -> Result<Duration, String> {
    let number = text.trim_end_matches(|each: char| each.is_ascii_lowercase());
    let unit = match text.get(number.len()..) {
        Some("ms") => 1,
        Some("s") => 1_000,
        Some("m") => 60_000,
        _ => return Err("a time such as 250ms, 2s or 1m is needed".into()),
    };
    let count: u32 = number.parse().map_err(|_| "a time such as 250ms, 2s or 1m is needed".to_owned())?;
    Ok(Duration::from_millis(u64::from(count) * unit))
}

fn window(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|window| (1..=100_000).contains(window))
        .ok_or_else(|| "1 to 100000 is needed".into())
}

pub(super) async fn run(command: DevCommand) -> Outcome {
    let DevCommand::Smsc(args) = command;
    let password = match &args.password_env {
        Some(name) => Some(std::env::var(name).map_err(|_| format!("--password-env: {name} is not set"))?),
        None => None,
    };
    let (sender, orders) = mpsc::channel(16);
    if args.stdin {
        // It reads for as long as the process lives: nobody can wake a thread from its read.
        std::thread::spawn(move || take_orders(&sender));
    }
    let options = smsc::Options {
        listen: args.listen,
        system_id: args.system_id,
        password,
        rate: args.rate,
        delay: args.delay,
        receipt_delay: args.receipt_delay,
        mix: args.errors,
        drop_every: args.drop_every,
        ids: args.ids,
        seed: args.seed,
        window: args.window,
        report_every: args.stats_every,
    };
    let shown = Shown { json: args.json, last: Cell::new((Figures::default(), Instant::now())) };
    Ok(smsc::run(options, Clock::system(), orders, |report| shown.show(report)).await?)
}

#[expect(clippy::print_stderr, reason = "whoever types an order is told what is wrong with it")]
fn take_orders(sender: &mpsc::Sender<Order>) {
    for line in std::io::stdin().lines().map_while(Result::ok).filter(|line| !line.trim().is_empty()) {
        match Order::read(&line) {
            Ok(order) => {
                if sender.blocking_send(order).is_err() {
                    return;
                }
            }
            Err(text) => eprintln!("rookery: {text}"),
        }
    }
}

/// What was printed last, and when.
struct Shown {
    json: bool,
    last: Cell<(Figures, Instant)>,
}

impl Shown {
    fn show(&self, report: Report) {
        let is_terminal = std::io::stdout().is_terminal();
        let (figures, ends) = match report {
            Report::Listening(address) if self.json => {
                return say(&json!({ "listening": address }).to_string());
            }
            Report::Listening(address) => return say(&format!("listening on {address}")),
            Report::Running(figures) => (figures, false),
            Report::Ended(figures) => (figures, true),
        };
        let (before, at) = self.last.replace((figures, Instant::now()));
        let per_second = rate(figures.submits - before.submits, at.elapsed());
        if self.json {
            say(&document(figures, per_second).to_string());
        } else if is_terminal {
            // One line that changes; whoever stops reading has what they want.
            let _ = write!(std::io::stdout(), "\r\x1b[K{}", line(figures, per_second));
            let _ = std::io::stdout().flush();
            if ends {
                say("");
            }
        } else if figures != before || ends {
            say(&line(figures, per_second));
        }
    }
}

fn rate(count: u64, during: Duration) -> u64 {
    u64::try_from(u128::from(count) * 1_000_000 / during.as_micros().max(1)).unwrap_or(u64::MAX)
}

fn document(figures: Figures, per_second: u64) -> serde_json::Value {
    json!({
        "connections": figures.connections,
        "binds": figures.binds,
        "submits": figures.submits,
        "submitsPerSecond": per_second,
        "accepted": figures.accepted,
        "throttled": figures.throttled,
        "refused": figures.refused,
        "queries": figures.queries,
        "cut": figures.cut,
        "delivered": figures.delivered,
        "returned": figures.returned,
        "waiting": figures.waiting,
    })
}

fn line(figures: Figures, per_second: u64) -> String {
    let Figures { connections, submits, accepted, throttled, refused, cut, delivered, waiting, .. } = figures;
    format!(
        "{connections} connected  {submits} submits ({per_second}/s): {accepted} accepted, {throttled} throttled, \
         {refused} refused, {cut} cut  {delivered} delivered, {waiting} waiting"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, millis) in [("0ms", 0), ("250ms", 250), ("2s", 2_000), ("1m", 60_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "ms", "-1s", "1.5s", "1h", "99999999999s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
