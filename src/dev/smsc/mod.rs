//! An SMSC to test against: it takes what is submitted, answers and reports at a chosen pace, says what became of messages,
//! and errs as often as is asked for. `rookery dev smsc`; docs/dev-smsc.md.
//!
//! It is the server's side of `smpp::session` and keeps everything in memory.

mod connection;
mod hub;
mod record;
mod verdict;

pub use hub::Figures;
pub use verdict::{Ids, Mix};

use hub::Hub;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;
use store::Clock;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Connections that are told to end have so long.
const ENDS_WITHIN: Duration = Duration::from_secs(2);

/// What the SMSC does.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The only system id that may bind; any if none.
    pub system_id: Option<String>,
    /// What a bind must bring; anything if none.
    pub password: Option<String>,
    /// Submissions answered a second; as many as come if none.
    pub rate: Option<NonZeroU64>,
    /// Between a submission and its answer.
    pub delay: Duration,
    /// Between an answer and its receipt.
    pub receipt_delay: Duration,
    /// How often what goes wrong.
    pub mix: Mix,
    /// Every so many submissions, the connection is cut instead of an answer.
    pub drop_every: Option<NonZeroU64>,
    /// How ids are written.
    pub ids: Ids,
    /// What chance begins with.
    pub seed: u64,
    /// Messages and receipts that a receiver may leave unanswered.
    pub window: usize,
    /// How often [`Report::Running`] comes.
    pub report_every: Duration,
}

/// What it says while it runs.
#[derive(Debug, Clone, Copy)]
pub enum Report {
    /// It listens.
    Listening(SocketAddr),
    /// What was counted so far.
    Running(Figures),
    /// What was counted in all.
    Ended(Figures),
}

/// What it is told while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Somebody sends a text to whoever receives.
    Inbound {
        /// The phone.
        from: String,
        /// The number that it writes to.
        to: String,
        /// What it says.
        text: String,
    },
    /// Every connection is cut.
    Cut,
}

impl Order {
    /// Reads a line: `mo FROM TO TEXT` or `drop`.
    pub fn read(line: &str) -> Result<Order, String> {
        let wrong = || format!("{line:?} is neither 'mo FROM TO TEXT' nor 'drop'");
        if line.trim() == "drop" {
            return Ok(Order::Cut);
        }
        let mut words = line.trim().splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("mo"), Some(from), Some(to), Some(text)) if from.len() <= 20 && to.len() <= 20 => {
                Ok(Order::Inbound { from: from.into(), to: to.into(), text: text.into() })
            }
            _ => Err(wrong()),
        }
    }
}

/// Runs until SIGTERM or SIGINT. The error says what to do.
pub async fn run(
    options: Options,
    clock: Clock,
    mut orders: mpsc::Receiver<Order>,
    report: impl Fn(Report),
) -> Result<(), String> {
    let listen = options.listen;
    let cannot = |error: std::io::Error| format!("cannot listen on {listen}: {error}");
    let listener = TcpListener::bind(listen).await.map_err(cannot)?;
    let (mut terminated, mut interrupted) = (
        signal(SignalKind::terminate()).map_err(|error| error.to_string())?,
        signal(SignalKind::interrupt()).map_err(|error| error.to_string())?,
    );
    report(Report::Listening(listener.local_addr().map_err(cannot)?));
    let mut tick = tokio::time::interval(options.report_every.max(Duration::from_millis(10)));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    tick.tick().await;
    let hub = Arc::new(Hub::new(options, clock));
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut takes_orders = true;
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection::serve(Arc::clone(&hub), stream, stopped.clone()));
                }
                // Out of file descriptors, mostly: others end in a while.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            order = orders.recv(), if takes_orders => match order {
                Some(Order::Inbound { from, to, text }) => hub.inbound(&from, &to, &text),
                Some(Order::Cut) => hub.cut_all(),
                None => takes_orders = false,
            },
            _ = tick.tick() => report(Report::Running(hub.figures())),
            _ = terminated.recv() => break,
            _ = interrupted.recv() => break,
        }
    }
    drop(listener);
    // Nobody listens any more if every connection has ended.
    let _ = stop.send(true);
    let ended = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(ENDS_WITHIN, ended).await;
    connections.abort_all();
    while connections.join_next().await.is_some() {}
    report(Report::Ended(hub.figures()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read() {
        let inbound =
            |text: &str| Order::Inbound { from: "316".into(), to: "1234".into(), text: text.into() };
        assert_eq!(Order::read("mo 316 1234 STOP  it now\n"), Ok(inbound("STOP  it now")));
        assert_eq!(Order::read(" drop "), Ok(Order::Cut));
        for line in ["", "mo", "mo 316 1234", "mo 123456789012345678901 1 x", "hello"] {
            assert!(Order::read(line).is_err(), "{line}");
        }
    }
}
