//! The real loop that sends callbacks, with very many lanes, customers that never answer, and a stop in the middle of it.

use crate::support::TestApp;
use crate::support::correspondent::Shop;
use crate::support::customer::{Customer, SILENCE};
use futures_util::future::BoxFuture;
use rookery::core::account::NewAccount;
use rookery::core::callback::{self, About, Kind};
use rookery::core::lease::{self, Holder, Lane, Leases};
use rookery::core::message::{MessageId, Reason, Recipient, Status};
use rookery::core::money::Amount;
use rookery::core::phone::Msisdn;
use rookery::core::{Result, Scope, Timestamp};
use rookery::run::deliver::{Courier, READS_MAX, Rota};
use rookery::run::egress::{self, Egress};
use rookery::run::{Duties, Means, Tasks};
use rookery::wire::{DIALECT, EVENTS};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::{Clock, Entropy, Tx, sql};
use tokio::sync::Semaphore;

/// A way out on which every name is this customer's.
fn all_to(customer: &Customer, within: Duration) -> Egress {
    let address = customer.address();
    let resolve = move |_, port| -> BoxFuture<'static, std::io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(vec![SocketAddr::new(address.ip(), port)]) })
    };
    let options =
        egress::Options { allow_private: true, within, resolve: Arc::new(resolve), ..Default::default() };
    Egress::with(options).expect("a client")
}

/// The tasks of a process that sends callbacks only.
fn tasks(shop: &Shop, egress: Egress) -> Tasks {
    let means = Means {
        store: shop.app.store.clone(),
        keys: Arc::clone(&shop.app.common.keys),
        terms: Arc::clone(&shop.app.common.terms),
        vault: shop.app.vault.clone(),
        clock: shop.app.clock.clone(),
        entropy: Entropy::seeded(8),
        wake: shop.app.common.wake.clone(),
        dialect: DIALECT,
        events: EVENTS,
        egress,
    };
    Tasks::start(means, Duties { submit: false, deliver: true })
}

async fn push_all(tx: &mut Tx, (scope, message, urls): &(Scope, MessageId, Vec<String>)) -> Result<()> {
    let recipient = Recipient {
        msisdn: Msisdn(31_655_500_011),
        status: Status::Delivered,
        reason: Some(Reason::Delivered),
        error: None,
        changed: Timestamp(0),
        price: Amount::ZERO,
    };
    for url in urls {
        let about = About { message: *message, recipient: recipient.clone() };
        callback::push(tx, *scope, Kind::Status, url, &about).await?;
    }
    Ok(())
}

/// A callback to each of so many hosts, about a message of the account.
async fn push(shop: &Shop, of: &NewAccount, name: &str, count: usize) {
    let key = crate::support::live(of);
    let body =
        json!({"originator": "Bakery", "recipients": [31_655_500_011_i64], "body": "Hi", "reference": "x"});
    let sent = shop.app.request("POST", "/messages").key(key).json(&body).send().await.expect(201);
    let message: MessageId = sent["id"].as_str().expect("an id").parse().expect("an id");
    let port = shop.customer.address().port();
    let urls = (0..count).map(|number| format!("http://{name}-{number}.example:{port}/")).collect();
    shop.app.store.write((of.account.scope(), message, urls), push_all).await.expect("callbacks");
}

/// The hosts that were called so far, once there are so many.
async fn hosts(shop: &Shop, count: usize) -> Vec<String> {
    let begun = Instant::now();
    let mut hosts = Vec::new();
    while hosts.len() < count {
        let called = shop.customer.calls().into_iter();
        hosts.extend(called.map(|call| call.header("host").expect("a host").to_owned()));
        assert!(begun.elapsed() < Duration::from_secs(30), "{} of {count} were called", hosts.len());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    hosts
}

async fn open(shop: &Shop) -> (i64, i64) {
    let count: Result<(i64, i64)> = shop
        .app
        .store
        .write((), async |tx: &mut Tx, (): &()| {
            Ok(tx
                .one(
                    sql!(
                        "SELECT CAST(count(*) AS BIGINT), CAST(COALESCE(sum(attempts), 0) AS BIGINT)
                         FROM callback WHERE open"
                    ),
                    &[],
                )
                .await?)
        })
        .await;
    count.expect("a count")
}

#[tokio::test]
async fn more_lanes_than_places_are_all_served() {
    let shop = Shop::new().await;
    for number in 0..10 {
        let account = shop.app.child(shop.partner.account.id, "Shop").await;
        push(&shop, &account, &format!("shop{number}"), 30).await;
    }
    push(&shop, &shop.sender, "large", 100).await;
    let tasks = tasks(&shop, all_to(&shop.customer, Duration::from_secs(10)));
    let mut called = hosts(&shop, 400).await;
    tasks.stop().await;
    called.sort();
    called.dedup();
    assert_eq!((called.len(), open(&shop).await.0), (400, 0), "each once");
}

#[tokio::test]
async fn an_account_whose_customers_are_silent_delays_nobody_and_not_the_stop() {
    let shop = Shop::new().await;
    shop.customer.answer([SILENCE; 33]);
    push(&shop, &shop.sender, "silent", 300).await;
    let tasks = tasks(&shop, all_to(&shop.customer, Duration::from_mins(1)));
    let called = hosts(&shop, 32).await;
    assert!(called.iter().all(|host| host.starts_with("silent")));
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(shop.customer.calls().is_empty(), "an account has 32 places and no more");
    let other = shop.app.child(shop.partner.account.id, "Other").await;
    shop.customer.answers_well();
    push(&shop, &other, "other", 1).await;
    let begun = Instant::now();
    assert!(hosts(&shop, 1).await[0].starts_with("other"));
    assert!(begun.elapsed() < Duration::from_secs(3), "at once");
    // They answer in a minute at the earliest; the stop waits for ten seconds, and what is cut off is still to be sent.
    tasks.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert_eq!(open(&shop).await, (300, 0));
}

#[tokio::test]
async fn a_lease_is_renewed_while_a_customer_takes_its_time() {
    let shop = Shop::new().await;
    shop.customer.answer([SILENCE]);
    push(&shop, &shop.sender, "slow", 1).await;
    let courier = Courier {
        store: shop.app.store.clone(),
        terms: std::sync::Arc::clone(&shop.app.common.terms),
        vault: shop.app.vault.clone(),
        egress: all_to(&shop.customer, Duration::from_secs(6)),
        dialect: DIALECT,
        events: EVENTS,
        clock: shop.app.clock.clone(),
        entropy: Entropy::seeded(8),
        leases: Leases::new(Holder([1; 16]), shop.app.clock.clone()),
        reads: Semaphore::new(READS_MAX),
    };
    let lanes = courier.look(&mut Rota::default()).await.expect("lanes");
    let [lane] = lanes[..] else { panic!("{lanes:?}") };
    let others = async {
        for second in 0..5 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            shop.app.clock.advance(Duration::from_secs(1));
            let taken: Result<bool> = shop.app.store.write((lane, Holder([2; 16])), lease::take).await;
            assert!(!taken.expect("an answer"), "lost after {second} seconds");
        }
    };
    let (turn, ()) = tokio::join!(courier.turn(lane), others);
    assert!(turn.expect("a turn"));
    assert_eq!(open(&shop).await, (1, 1), "recorded as failed, to be repeated");
}

/// A lane that was just taken costs no unit when it is taken again, which shows where its lease is gone; one that is not
/// fresh any more is asked for, and not had by two.
#[tokio::test]
async fn what_is_known_to_be_ours_is_not_asked_for() {
    let app = TestApp::new().await;
    let leases = |holder: u8| Leases::new(Holder([holder; 16]), app.clock.clone());
    let (one, other) = (leases(1), leases(2));
    let lane = Lane([0x80; 16]);
    let take = async |leases: &Leases| leases.take(&app.store, lane).await.expect("an answer");
    assert!(take(&one).await);
    assert!(!take(&other).await, "it is taken");
    app.clock.advance(Duration::from_secs(1));
    app.store.raw_batch("DELETE FROM lease").await.expect("no leases");
    assert!(take(&one).await, "known to be fresh");
    assert!(take(&other).await, "asked for at once by who does not have it");
    app.clock.advance(Duration::from_millis(600));
    assert!(!take(&one).await, "asked for when half of its time is over");
    other.give_back(&app.store, lane).await.expect("given back");
    assert!(take(&one).await);
    assert!(!take(&other).await, "what was given back is not known any more");
}

/// Whoever's clock is set back does not believe in its lease for as long.
#[tokio::test]
async fn a_clock_that_is_set_back_makes_nobody_keep_a_lane() {
    let app = TestApp::new().await;
    let lane = Lane([0x80; 16]);
    // An hour behind the one by which leases are written.
    let back = Clock::manual(app.clock.now_us() - 3_600_000_000);
    let one = Leases::new(Holder([1; 16]), back);
    assert!(one.take(&app.store, lane).await.expect("an answer"));
    app.clock.advance(Duration::from_secs(4));
    let other = Leases::new(Holder([2; 16]), app.clock.clone());
    assert!(other.take(&app.store, lane).await.expect("an answer"), "its time is over");
    assert!(!one.take(&app.store, lane).await.expect("an answer"), "it asks, and is told so");
}
