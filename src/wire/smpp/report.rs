//! Receipts and received messages on their way to a user that is bound to receive: out of the outbox, over whichever of
//! its binds has room, and recorded when it has answered. At least once, and in order for each recipient of a message.

use super::{Desk, Heard, Job, Server};
use crate::core::callback::{self, Attempt, Due, Kind};
use crate::core::lease::{Holder, Leases};
use crate::core::message::{Format, Message, MessageId, Reason, Recipient, Status};
use crate::core::smpp_outbox::{self, Told};
use crate::core::{Result, Timestamp};
use ::smpp::concatenation::{self, Method};
use ::smpp::encoding::{Coding, DefaultAlphabet};
use ::smpp::receipt::Receipt;
use ::smpp::short_message::{Address, EsmClass, MessageState, NetworkError, ShortMessage};
use futures_util::StreamExt;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// Between two looks while another process works on it.
const IDLE: Duration = Duration::from_millis(200);
/// A lease that is in use is taken again after this time.
const RENEWS: Duration = Duration::from_secs(1);
/// Recipients that are told at once, and attempts recorded together.
const AT_ONCE: usize = 128;
/// `esm_class` of a receipt about a message that is still on its way (SMPP 3.4 section 5.2.12).
const INTERMEDIATE: EsmClass = EsmClass(0x20);
/// The code of GSM networks (SMPP 3.4 section 5.3.2.31).
const GSM: u8 = 3;
/// Digits of the longest short code; a longer number has its country code.
const SHORT_CODE_MAX: usize = 6;

/// Tells a user what there is to tell, as long as it is bound to receive here and until the stop.
pub(super) async fn run(server: Arc<Server>, desk: Arc<Desk>, mut stop: watch::Receiver<bool>) {
    // Its own: a user that was made anew while the old one still works on it is as another process.
    let mut holder = Holder([0; 16]);
    server.entropy.fill(&mut holder.0);
    let leases = Leases::new(holder, server.clock.clone());
    let mut receivers = desk.receivers.subscribe();
    loop {
        match turn(&server, &desk, &leases).await {
            Ok(Turn::More) => {}
            Ok(Turn::Nothing) => tokio::select! {
                () = desk.hint.notified() => {}
                _ = receivers.wait_for(|count| *count == 0) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            },
            Ok(Turn::Elsewhere) => tokio::time::sleep(IDLE).await,
            Err(error) => {
                tracing::warn!(%error, "receipts by SMPP cannot be worked on; trying again");
                tokio::time::sleep(IDLE).await;
            }
        }
        let stopped = *stop.borrow_and_update();
        let mut binds = desk.binds();
        if stopped || *desk.receivers.borrow() == 0 {
            binds.reported = false;
            break;
        }
    }
    if let Err(error) = leases.give_back(&server.store, desk.lane).await {
        tracing::debug!(%error, "a lease could not be given back; it ends by itself");
    }
}

enum Turn {
    /// Something was told, and there may be more.
    More,
    Nothing,
    /// Another process works on it.
    Elsewhere,
}

/// Tells what is due now, at most a batch.
async fn turn(server: &Server, desk: &Desk, leases: &Leases) -> Result<Turn> {
    let lane = desk.lane;
    if *desk.receivers.borrow() == 0 || !server.store.read(lane, smpp_outbox::is_due).await? {
        return Ok(Turn::Nothing);
    }
    if !leases.take(&server.store, lane).await? {
        return Ok(Turn::Elsewhere);
    }
    let told = server.store.read(lane, smpp_outbox::batch).await?;
    // It may have waited for a connection.
    if !leases.take(&server.store, lane).await? {
        return Ok(Turn::Elsewhere);
    }
    if told.is_empty() {
        return Ok(Turn::Nothing);
    }
    let groups = by_recipient(told).into_iter().map(|group| tell_in_order(server, desk, group));
    let mut done = futures_util::stream::iter(groups).buffer_unordered(AT_ONCE).ready_chunks(AT_ONCE);
    let mut renewal = tokio::time::interval_at(tokio::time::Instant::now() + RENEWS, RENEWS);
    let mut any = false;
    loop {
        let attempts = tokio::select! {
            attempts = done.next() => attempts,
            _ = renewal.tick() => {
                // If it is lost, another process tells the rest as well: more than once is allowed.
                if let Err(error) = leases.take(&server.store, lane).await {
                    tracing::debug!(%error, "a lease could not be renewed; trying again");
                }
                continue;
            }
        };
        let Some(attempts) = attempts else { break };
        let attempts: Vec<Attempt> = attempts.into_iter().flatten().collect();
        if !attempts.is_empty() {
            any = true;
            server.store.write(attempts, callback::attempted).await?;
        }
    }
    Ok(if any { Turn::More } else { Turn::Nothing })
}

/// What is about the same recipient of a message comes one after another, what happened first first.
fn by_recipient(told: Vec<Told>) -> Vec<Vec<Told>> {
    let mut places = HashMap::new();
    let mut groups: Vec<Vec<Told>> = Vec::new();
    for one in told {
        let about = (one.due.message, one.due.recipient.msisdn);
        let place = *places.entry(about).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(one),
            None => groups.push(vec![one]),
        }
    }
    for group in &mut groups {
        group.sort_by_key(|one| (one.due.recipient.changed, one.due.recipient.status.is_final()));
    }
    groups
}

async fn tell_in_order(server: &Server, desk: &Desk, group: Vec<Told>) -> Vec<Attempt> {
    let mut attempts = Vec::with_capacity(group.len());
    for told in group {
        let at = Timestamp(server.clock.now_us());
        let answer = match rendered(&told) {
            Some(messages) => tell(desk, messages).await,
            None => Some(Err("the message is gone".to_owned())),
        };
        // What was not sent was not tried: it waits for the next bind.
        let Some(answer) = answer else { break };
        let took_ms = server.clock.now_us().saturating_sub(at.0) / 1_000;
        let failed = answer.is_err();
        attempts.push(smpp_outbox::attempt(told.due, at, took_ms, answer));
        if failed {
            break;
        }
    }
    attempts
}

/// Sends all that tells one thing; `None` if it did not leave.
async fn tell(desk: &Desk, messages: Vec<ShortMessage>) -> Option<std::result::Result<(), String>> {
    for message in messages {
        match send(desk, message).await {
            Heard::Taken => {}
            Heard::Refused(status) => return Some(Err(status.to_string())),
            Heard::Nothing => return Some(Err("no answer".to_owned())),
            Heard::Unsent => return None,
        }
    }
    Some(Ok(()))
}

async fn send(desk: &Desk, message: ShortMessage) -> Heard {
    let (done, mut heard) = oneshot::channel();
    let taken = Arc::new(AtomicBool::new(false));
    let job = Job { message, taken: Arc::clone(&taken), done };
    let mut receivers = desk.receivers.subscribe();
    tokio::select! {
        biased;
        sent = desk.jobs.send(job) => if sent.is_err() {
            return Heard::Unsent;
        },
        _ = receivers.wait_for(|count| *count == 0) => return Heard::Unsent,
    }
    tokio::select! {
        biased;
        // A connection that ends answers all that it has; one whose task broke off answers nothing.
        heard = &mut heard => return heard.unwrap_or(Heard::Nothing),
        _ = receivers.wait_for(|count| *count == 0) => {}
    }
    // Whoever has it will say what became of it; else nobody takes it any more.
    if taken.load(Ordering::Acquire) {
        return heard.await.unwrap_or(Heard::Nothing);
    }
    heard.close();
    if taken.load(Ordering::Acquire) { Heard::Nothing } else { Heard::Unsent }
}

/// The messages that tell it. `None` if what it is about is gone.
fn rendered(told: &Told) -> Option<Vec<ShortMessage>> {
    let Told { due, message, pieces } = told;
    match (message, pieces.first()) {
        (Some(message), _) if due.kind == Kind::Status => {
            let original = ShortMessage {
                source: address(message.originator.as_str()),
                destination: Address::international(due.recipient.msisdn.to_string()),
                user_message_reference: message.reference.as_deref().and_then(|text| text.parse().ok()),
                ..ShortMessage::default()
            };
            let named = smpp_outbox::names(told).into_iter();
            // The digits of octets are no text.
            let text = if message.format == Format::Binary { "" } else { message.body.as_str() };
            Some(named.map(|id| receipt(id, due, message.created, text, &original)).collect())
        }
        (Some(message), _) => Some(inbound(due, message)),
        // A part whose others never came.
        (None, Some(piece)) => {
            let original = ShortMessage {
                source: address(&piece.source),
                destination: Address::international(due.recipient.msisdn.to_string()),
                ..ShortMessage::default()
            };
            Some(vec![receipt(piece.id, due, piece.created, "", &original)])
        }
        (None, None) => None,
    }
}

fn receipt(
    id: MessageId,
    due: &Due,
    submitted: Timestamp,
    text: &str,
    original: &ShortMessage,
) -> ShortMessage {
    let Recipient { error, changed, .. } = due.recipient;
    let state = state(&due.recipient);
    let network =
        error.and_then(|code| u16::try_from(code).ok()).map(|code| NetworkError { network: GSM, code });
    let receipt = Receipt {
        id: id.to_string(),
        state,
        error: error.map(|code| format!("{code:03}")),
        network_error: network,
        submitted: Some(submitted.0),
        done: Some(changed.0),
        text: text.to_owned(),
    };
    let mut message = receipt.message(original);
    if state == MessageState::Enroute {
        message.esm_class = INTERMEDIATE;
    }
    message
}

fn state(recipient: &Recipient) -> MessageState {
    match (recipient.status, recipient.reason) {
        (Status::Delivered, _) => MessageState::Delivered,
        (Status::Expired, _) => MessageState::Expired,
        (Status::Failed, Some(Reason::Rejected)) => MessageState::Rejected,
        // The carrier took it and never said what became of it.
        (Status::Failed, Some(Reason::NoReceipt)) => MessageState::Unknown,
        (Status::Failed, _) => MessageState::Undeliverable,
        _ => MessageState::Enroute,
    }
}

/// A message that a phone sent, in parts if it is long.
fn inbound(due: &Due, message: &Message) -> Vec<ShortMessage> {
    let coding = if ::smpp::text::is_gsm7(&message.body) { Coding::Gsm7 } else { Coding::Ucs2 };
    let template = ShortMessage {
        source: address(message.originator.as_str()),
        destination: address(&due.recipient.msisdn.to_string()),
        data_coding: coding.data_coding(None, DefaultAlphabet::Gsm7).unwrap_or_default(),
        ..ShortMessage::default()
    };
    let [.., high, low] = message.id.0;
    let reference = u16::from_be_bytes([high, low]);
    concatenation::segment(&template, &message.body, coding, Method::Header8, reference)
        // Longer than 255 parts: what is stored is what a phone sent, which is not.
        .unwrap_or_default()
}

/// A number, a short code or a name, as it stands in an address.
fn address(text: &str) -> Address {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        // An address has one octet a character: what GSM 03.38 has beyond ASCII cannot stand there.
        return Address::alphanumeric(
            text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect::<String>(),
        );
    }
    if text.len() <= SHORT_CODE_MAX { Address::short_code(text) } else { Address::international(text) }
}
