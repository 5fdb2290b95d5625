//! Gives the messages of channels to their transports and records what those say. The transport's lane is leased, each
//! message is marked before a byte leaves.
//!
//! The simulated transport lives in this process. Numbers that begin with 99900, which no country has, choose what it does,
//! as they do for short messages: docs/simulated-carrier.md.

use super::Stopped;
use crate::core::chat::{self, Answer, Part, Received, Status};
use crate::core::event::Dialect;
use crate::core::lease::{self, Holder};
use crate::core::phone::Msisdn;
use crate::core::transport::SIMULATED;
use crate::core::wake::Wake;
use crate::core::{Error, Result};
use serde_json::{Value, json};
use std::time::Duration;
use store::{Clock, Store};

/// Between two looks when nobody hints.
const IDLE: Duration = Duration::from_millis(200);
/// Until the next try for a lane that another process has.
const OTHERS: Duration = Duration::from_millis(500);
/// The network's code for a message that cannot be delivered.
const UNDELIVERABLE: i64 = 131_026;

/// Between two renewals of the lease, which lasts three seconds.
const KEEPS_US: i64 = 1_000_000;

/// Gives what waits to the simulated transport.
pub struct Post {
    store: Store,
    clock: Clock,
    dialect: Dialect,
    holder: Holder,
    /// When the lease was renewed, if this process has had the lane since it last lost it.
    kept_at: Option<i64>,
}

pub(super) async fn run(mut post: Post, mut wake: Wake, mut stopped: Stopped) {
    loop {
        let pause = match post.turn().await {
            Ok(true) => {
                wake.callbacks();
                Duration::ZERO
            }
            Ok(false) => IDLE,
            Err(error) => {
                if post.kept_at.take().is_some() {
                    tracing::warn!(%error, "the messages of channels stopped; trying again");
                }
                OTHERS
            }
        };
        let stop = tokio::select! {
            stop = stopped.after(pause) => stop,
            () = wake.on_parts(), if pause == IDLE => false,
        };
        if stop {
            break;
        }
    }
    let given: Result<()> = post.store.write((chat::lane(SIMULATED), post.holder), lease::give_back).await;
    if let Err(error) = given {
        tracing::debug!(%error, "a lease was not given back; it ends by itself");
    }
}

impl Post {
    /// The work of a process.
    pub fn new(store: Store, clock: Clock, dialect: Dialect, holder: Holder) -> Post {
        Post { store, clock, dialect, holder, kept_at: None }
    }

    /// One piece of work; whether there was any.
    pub async fn turn(&mut self) -> Result<bool> {
        self.keep().await?;
        let parts = self.store.write((SIMULATED, self.holder, chat::BATCH), chat::claim).await?;
        let did = !parts.is_empty();
        let replies: Vec<Received> = parts.iter().filter_map(reply).collect();
        let answers: Vec<(Part, Answer)> =
            parts.into_iter().map(|part| (part.clone(), simulated(&part))).collect();
        if did {
            let done: std::result::Result<(), Error> =
                self.store.write((answers, self.dialect), chat::answered).await;
            done?;
        }
        for reply in replies {
            self.store.write((reply, self.dialect), chat::received).await?;
        }
        let more = self.store.bulk(self.dialect, chat::expire).await?;
        Ok(did | more)
    }

    /// Renews the lease when it is time; takes the lane over if another process has had it since: what that one had marked
    /// never left, since this transport lives in its process.
    async fn keep(&mut self) -> Result<()> {
        let now = self.clock.now_us();
        match self.kept_at {
            Some(kept_at) if now.saturating_sub(kept_at) < KEEPS_US => return Ok(()),
            Some(_) if self.store.write((chat::lane(SIMULATED), self.holder), lease::keep).await? => {}
            _ => while self.store.write((SIMULATED, self.holder), chat::take_back).await? > 0 {},
        }
        self.kept_at = Some(now);
        Ok(())
    }
}

/// What a number asks for: `99900` and three digits.
fn wish(to: Msisdn) -> i64 {
    if to.0 / 1_000_000 == 99_900 { to.0 / 1_000 % 1_000 } else { 0 }
}

/// What the simulated transport says, and what follows.
fn simulated(part: &Part) -> Answer {
    let reference = format!("wamid.SIMULATED{}", part.chat.id);
    match wish(part.chat.peer) {
        301 => Answer::Refused(Some(UNDELIVERABLE)),
        1..=99 | 201..=204 => Answer::Accepted(reference, vec![(Status::Failed, Some(UNDELIVERABLE))]),
        401 => Answer::Accepted(reference, Vec::new()),
        402 => Answer::Accepted(reference, vec![(Status::Delivered, None), (Status::Read, None)]),
        _ => Answer::Accepted(reference, vec![(Status::Delivered, None)]),
    }
}

/// The phone's answer, where the number asks for one.
fn reply(part: &Part) -> Option<Received> {
    if wish(part.chat.peer) != 501 {
        return None;
    }
    let content: Value = serde_json::from_str(&part.chat.content).ok()?;
    let quoted: String =
        content["text"]["body"].as_str().unwrap_or(&part.chat.kind).chars().take(100).collect();
    Some(Received {
        transport: part.transport,
        to: part.from.clone(),
        from: part.chat.peer,
        reference: format!("wamid.REPLY{}", part.chat.id),
        kind: "text".to_owned(),
        content: json!({"text": {"body": format!("Re: {quoted}")}, "type": "text"}).to_string(),
        file: None,
    })
}
