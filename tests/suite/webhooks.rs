//! Callbacks looked back at and sent again, endpoints that are paused, and signing keys that change at a chosen moment.

use crate::support::correspondent::{Shop, is_signed_by};
use crate::support::customer::{Call, SAID};
use rookery::core::account;
use rookery::core::callback::CallbackId;
use rookery::core::callback_log::{self, Entry, ReplaySome, Stretch, first_id};
use rookery::core::endpoint::{self, Endpoint, PROBES};
use rookery::core::secret::Secret;
use rookery::core::signing_key::{self, Rotation};
use rookery::core::{Error, Timestamp};
use serde_json::json;
use std::time::Duration;

const PHONE: i64 = 31_655_500_011;
const LAST: CallbackId = CallbackId([0xFF; 16]);

fn stretch(shop: &Shop, from: CallbackId) -> Stretch {
    Stretch { scope: shop.scope(), from, until: LAST }
}

/// The account's callbacks, the oldest first.
async fn log(shop: &Shop) -> Vec<Entry> {
    let all = stretch(shop, CallbackId([0; 16]));
    let mut log = shop.app.store.read(all, callback_log::newest).await.expect("a log");
    log.reverse();
    log
}

async fn failing(shop: &Shop) -> Vec<Endpoint> {
    let account = Some(shop.sender.account.id);
    shop.app.store.read(account, endpoint::failing).await.expect("endpoints")
}

#[tokio::test]
async fn every_attempt_is_logged_with_what_was_sent_and_what_came_back() {
    let shop = Shop::new().await;
    shop.customer.answer([503]);
    let sent = shop.send(&json!([99_900_301_000_i64])).await;
    shop.app.settle().await;
    shop.app.pass(Duration::from_secs(2)).await;
    let calls = shop.customer.calls();
    let log = log(&shop).await;
    let [entry] = &log[..] else { panic!("{log:?}") };
    assert_eq!(
        (entry.message.to_string(), entry.recipient.0),
        (sent["id"].as_str().unwrap().into(), 99_900_301_000)
    );
    assert!(entry.is_done() && !entry.has_failed() && !entry.open);
    let answers: Vec<_> =
        entry.attempts.iter().map(|line| (line.answer.clone(), line.said.as_str())).collect();
    assert_eq!(answers, [(Ok(503), SAID), (Ok(200), "")]);
    let names = ["MessageBird-Signature-JWT", "MessageBird-Signature", "MessageBird-Request-Timestamp"];
    assert!(entry.attempts.iter().all(|line| line.headers == names));
    let waited = entry.attempts[1].at.0 - entry.attempts[0].at.0;
    assert!((1_000_000..=2_000_000).contains(&waited), "{waited}");
    let rendered = entry.rendered.clone().expect("what was sent");
    assert_eq!((rendered.url.clone(), rendered.method()), (shop.customer.url(&calls[0].target), "GET"));
    let shown = rendered.shown_url(&entry.url);
    assert!(shown.contains("shop=***") && shown.contains("status=delivery_failed"), "{shown}");

    let one = shop.app.store.read((shop.scope(), entry.id), callback_log::find).await.expect("a callback");
    assert_eq!(one, *entry);
    let elsewhere = (shop.partner.account.scope(), entry.id);
    assert!(matches!(shop.app.store.read(elsewhere, callback_log::find).await, Err(Error::NotFound(_))));
    // What is old is forgotten.
    shop.app.pass(Duration::from_hours(24 * 31)).await;
    assert!(self::log(&shop).await.is_empty());
}

#[tokio::test]
async fn one_is_sent_again_and_everything_since_a_time_is() {
    let shop = Shop::new().await;
    shop.send(&json!([99_900_301_000_i64])).await;
    shop.app.settle().await;
    shop.app.clock.advance(Duration::from_mins(10));
    let time = Timestamp(shop.app.clock.now_us());
    // The first of these is told at the second attempt, the others are given up.
    shop.customer.answer([500, 200]);
    shop.send(&json!([99_900_301_001_i64])).await;
    shop.app.settle().await;
    shop.app.pass(Duration::from_secs(2)).await;
    shop.customer.answer([500; 20]);
    shop.send(&json!([99_900_301_002_i64, 99_900_301_003_i64])).await;
    shop.app.settle().await;
    for _ in 0..9 {
        shop.app.pass(Duration::from_secs(20_000)).await;
    }
    let before = shop.customer.calls();
    let done = log(&shop).await;
    let state = |entry: &Entry| (entry.open, entry.is_done(), entry.attempts.len());
    let states: Vec<_> = done.iter().map(state).collect();
    assert_eq!(states, [(false, true, 1), (false, true, 2), (false, false, 10), (false, false, 10)]);
    // Twenty failures in a row over days: paused, but whoever sends again wants it tried now.
    assert!(failing(&shop).await[0].paused.is_some());

    shop.app.store.write((shop.scope(), done[0].id), callback_log::replay).await.expect("a replay");
    shop.app.settle().await;
    let again = shop.customer.calls();
    assert_eq!((again.len(), &again[0].target), (1, &before[0].target), "the same bytes");
    let token = |call: &Call| call.header("messagebird-signature-jwt").map(str::to_owned);
    assert_ne!(token(&again[0]), token(&before[0]));
    assert_eq!(log(&shop).await[0].attempts.len(), 2, "the log goes on");
    let nobody = (shop.scope(), CallbackId([1; 16]));
    assert!(matches!(shop.app.store.write(nobody, callback_log::replay).await, Err(Error::NotFound(_))));

    for (failed, count) in [(true, 2), (false, 3), (true, 0)] {
        let some = ReplaySome { stretch: stretch(&shop, first_id(time)), failed };
        let (replayed, next) = shop.app.store.bulk(some, callback_log::replay_some).await.expect("replays");
        assert_eq!((replayed, next), (count, None));
        shop.app.settle().await;
        assert_eq!(shop.customer.calls().len(), usize::try_from(count).unwrap());
    }
    assert!(log(&shop).await.iter().all(Entry::is_done));
    // A schedule of its own again.
    shop.customer.answer([500]);
    shop.app.store.write((shop.scope(), done[2].id), callback_log::replay).await.expect("a replay");
    shop.app.settle().await;
    shop.app.pass(Duration::from_secs(2)).await;
    assert_eq!((shop.customer.calls().len(), log(&shop).await[2].is_done()), (2, true));
}

#[tokio::test]
async fn very_many_are_sent_again_in_pieces() {
    let shop = Shop::new().await;
    for hundred in 0..3_i64 {
        let to: Vec<i64> = (0..50).map(|number| 99_900_301_000 + hundred * 50 + number).collect();
        shop.send(&json!(to)).await;
    }
    shop.app.settle().await;
    shop.customer.calls();
    let mut some = ReplaySome { stretch: stretch(&shop, CallbackId([0; 16])), failed: false };
    let mut counts = Vec::new();
    loop {
        let (count, next) = shop.app.store.bulk(some, callback_log::replay_some).await.expect("replays");
        counts.push(count);
        let Some(next) = next else { break };
        some.stretch.from = next;
    }
    assert_eq!(counts, [100, 50]);
    shop.app.settle().await;
    assert_eq!(shop.customer.calls().len(), 150);
}

#[tokio::test]
async fn an_endpoint_that_keeps_failing_is_paused_tried_now_and_then_and_resumed() {
    let shop = Shop::new().await;
    shop.customer.answer([503; 4_000]);
    // Too few in too short a time: nothing but a note.
    shop.send(&json!([99_900_301_000_i64, 99_900_301_001_i64, 99_900_301_002_i64])).await;
    shop.app.settle().await;
    let [endpoint] = &failing(&shop).await[..] else { panic!("one") };
    assert_eq!((endpoint.failures, endpoint.paused, endpoint.answer.as_str()), (3, None, "503"));
    assert_eq!(format!("{}/", endpoint.origin), shop.customer.url("/"));
    for _ in 0..6 {
        shop.app.pass(Duration::from_mins(1)).await;
        shop.send(&json!([99_900_301_003_i64])).await;
        shop.app.settle().await;
    }
    let [endpoint] = &failing(&shop).await[..] else { panic!("one") };
    assert!(endpoint.paused.is_some() && endpoint.failures >= 20, "{endpoint:?}");
    assert_eq!(endpoint.waiting, 9);
    // Paused: what is new waits, and in six hours there are few calls, one at a time, always the oldest.
    shop.customer.calls();
    shop.send(&json!([99_900_301_004_i64])).await;
    shop.app.settle().await;
    assert!(shop.customer.calls().is_empty());
    let mut probes = Vec::new();
    for minutes in [1; 60].into_iter().chain([10; 30]) {
        shop.app.pass(Duration::from_mins(minutes)).await;
        let calls = shop.customer.calls();
        assert!(calls.len() <= 1);
        probes.extend(calls);
    }
    assert!((8..=14).contains(&probes.len()), "{} in six hours", probes.len());
    assert!(probes.iter().all(|call| call.target == probes[0].target));
    let [endpoint] = &failing(&shop).await[..] else { panic!("one") };
    let gap = endpoint.probe.expect("a probe").0 - endpoint.latest.0;
    assert_eq!((gap, endpoint.waiting), (PROBES[7] * 1_000_000, 10));
    // Another endpoint of the account is none the worse.
    let other = crate::support::customer::Customer::new().await;
    let body = json!({"originator": "Bakery", "recipients": [99_900_301_000_i64], "body": "Hi", "reference": "x",
        "reportUrl": other.url("/dlr")});
    shop.call("POST", "/messages").json(&body).send().await.expect(201);
    shop.app.settle().await;
    assert_eq!(other.calls().len(), 1);
    // Its first success resumes it: all that waits comes at once, in order, and nothing was given up.
    shop.customer.answers_well();
    shop.app.pass(Duration::from_hours(1)).await;
    let told: Vec<_> = shop.customer.calls().iter().filter_map(|call| call.parameter("recipient")).collect();
    assert_eq!(
        (told.len(), told.first()),
        (10, probes[0].parameter("recipient").as_ref()),
        "the oldest first"
    );
    assert!(failing(&shop).await.is_empty());
    let log = log(&shop).await;
    assert_eq!((log.len(), log.iter().filter(|entry| entry.is_done()).count()), (11, 11));
}

#[tokio::test]
async fn a_paused_endpoint_is_resumed_by_command_and_what_waits_too_long_is_given_up() {
    let shop = Shop::new().await;
    let pause = async || {
        shop.customer.answer([503; 400]);
        let to: Vec<i64> = (0..20).map(|number| 99_900_301_000 + number).collect();
        shop.send(&json!(to)).await;
        shop.app.settle().await;
        shop.app.pass(Duration::from_mins(6)).await;
        assert!(failing(&shop).await[0].paused.is_some());
    };
    pause().await;
    let origin = failing(&shop).await[0].origin.clone();
    shop.customer.answers_well();
    shop.customer.calls();
    let nowhere = (shop.scope(), "https://nowhere.example".to_owned());
    assert!(matches!(shop.app.store.write(nowhere, endpoint::resume).await, Err(Error::NotFound(_))));
    shop.app.store.write((shop.scope(), origin), endpoint::resume).await.expect("resumed");
    shop.app.pass(Duration::from_hours(5)).await;
    assert!(failing(&shop).await.is_empty());
    assert!(log(&shop).await.iter().all(Entry::is_done));

    pause().await;
    shop.customer.answer([503; 400]);
    for _ in 0..60 {
        shop.app.pass(Duration::from_hours(1)).await;
    }
    assert_eq!(failing(&shop).await[0].waiting, 20, "nothing is given up for its attempts");
    for _ in 0..20 {
        shop.app.pass(Duration::from_hours(1)).await;
    }
    assert_eq!(failing(&shop).await[0].waiting, 0);
    let log = log(&shop).await;
    assert_eq!(log.iter().filter(|entry| !entry.open && !entry.is_done()).count(), 20);
    shop.app.pass(Duration::from_hours(24 * 8)).await;
    assert!(failing(&shop).await.is_empty(), "forgotten");
}

#[tokio::test]
async fn the_next_signing_key_signs_from_its_moment_on_and_the_old_one_is_void() {
    let shop = Shop::new().await;
    let (id, vault) = (shop.sender.account.id, shop.app.vault.clone());
    let signed_by = async |key: &str| {
        shop.send(&json!([99_900_301_000_i64])).await;
        shop.app.settle().await;
        let calls = shop.customer.calls();
        assert_eq!(calls.len(), 1);
        assert!(calls[0].header("messagebird-signature").is_some(), "both schemes");
        is_signed_by(&calls[0], &shop.customer.url(&calls[0].target), key)
    };
    let state = async || {
        let sealed = shop.app.store.read(shop.scope(), signing_key::of).await.expect("keys");
        (sealed.state(Timestamp(shop.app.clock.now_us())).1, sealed)
    };
    let old = shop.sender.signing_key.reveal().to_owned();
    assert!(signed_by(&old).await);
    let at = Timestamp(shop.app.clock.now_us() + 3_600_000_000);
    let rotation = Rotation { account: id, at, vault: vault.clone() };
    let (first, _) = shop.app.store.write(rotation.clone(), signing_key::rotate).await.expect("a key");
    let (next, _) = shop.app.store.write(rotation, signing_key::rotate).await.expect("another in its place");
    assert_eq!((state().await.0, next.reveal().len()), (Some(at), 32));
    assert!(signed_by(&old).await, "until then the old one");
    // To the microsecond: a call that begins right before, and one at the moment.
    let (_, sealed) = state().await;
    let keys = signing_key::Open::new(&vault, id, &sealed).expect("they open");
    assert_eq!(keys.at(Timestamp(at.0 - 1)), old.as_bytes());
    assert_eq!(keys.at(at), next.reveal().as_bytes());
    shop.app.clock.advance(Duration::from_hours(1));
    assert!(signed_by(next.reveal()).await);
    assert!(!signed_by(&old).await && !signed_by(first.reveal()).await);
    let (to_come, sealed) = state().await;
    assert_eq!((to_come, sealed.next, sealed.created), (None, None, at), "the sweep removed the old one");
    // A callback that failed under the old key is repeated under the new one.
    shop.customer.answer([500]);
    shop.send(&json!([99_900_301_000_i64])).await;
    shop.app.settle().await;
    let soon = Timestamp(shop.app.clock.now_us() + 500_000);
    let rotation = Rotation { account: id, at: soon, vault: vault.clone() };
    let (third, _) = shop.app.store.write(rotation.clone(), signing_key::rotate).await.expect("a key");
    shop.app.pass(Duration::from_secs(2)).await;
    let calls = shop.customer.calls();
    let by = |call: &Call, key: &str| is_signed_by(call, &shop.customer.url(&call.target), key);
    assert!(by(&calls[0], next.reveal()) && by(&calls[1], third.reveal()));
    let past = Rotation { at: Timestamp(soon.0 - 3_600_000_000), ..rotation.clone() };
    assert!(matches!(shop.app.store.write(past, signing_key::rotate).await, Err(Error::Invalid(_))));
    // A moment ago is at once.
    let (fourth, at) = shop.app.store.write(rotation, signing_key::rotate).await.expect("a key");
    assert_eq!(at, Timestamp(shop.app.clock.now_us()));
    assert!(signed_by(fourth.reveal()).await);

    // Taken back, or replaced at once by one that is brought along.
    assert!(matches!(shop.app.store.write(id, signing_key::cancel).await, Err(Error::NotFound(_))));
    let at = Timestamp(shop.app.clock.now_us() + 3_600_000_000);
    let rotation = Rotation { account: id, at, vault: vault.clone() };
    shop.app.store.write(rotation.clone(), signing_key::rotate).await.expect("a key");
    shop.app.store.write(id, signing_key::cancel).await.expect("taken back");
    assert_eq!(state().await.0, None);
    shop.app.store.write(rotation, signing_key::rotate).await.expect("a key");
    let own = Secret::imported_signing_key(&"k".repeat(40)).expect("a key");
    shop.app.store.write((id, own.clone(), vault), account::set_signing_key).await.expect("imported");
    shop.app.clock.advance(Duration::from_hours(2));
    assert!(signed_by(own.reveal()).await);
    assert_eq!(state().await.0, None);
}

#[tokio::test]
async fn sent_and_delivered_stay_in_order_while_an_endpoint_fails() {
    let shop = Shop::new().await;
    shop.customer.answer([503]);
    shop.send(&json!([PHONE])).await;
    shop.app.settle().await;
    shop.app.pass(Duration::from_secs(2)).await;
    let told: Vec<_> = shop.customer.calls().iter().filter_map(|call| call.parameter("status")).collect();
    assert_eq!(told, ["sent", "delivered", "sent"]);
    assert!(failing(&shop).await.is_empty(), "one success is enough");
}
