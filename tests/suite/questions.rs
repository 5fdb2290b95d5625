//! Asking carriers about what they have taken and not reported on: when, by whom, and what comes of it.

use crate::support::books;
use crate::support::correspondent::{CREDIT, PRICE, Shop};
use rookery::core::carrier::CarrierId;
use rookery::core::lease::Holder;
use rookery::core::message::{Reason, Status};
use rookery::core::part::{self, Answer, BATCH, Claimed, Shift};
use rookery::core::query::{self, Askable, Question};
use rookery::core::receipt::{self, Outcome, Receipt};
use rookery::core::{Error, Result};
use serde_json::{Value, json};
use std::time::Duration;

const PHONE: i64 = 31_655_500_011;
const SHIFT: Shift = Shift { carrier: CarrierId(1), holder: Holder([7; 16]) };
const MINUTE_US: i64 = 60_000_000;

/// Sends a message of this validity, which the carrier takes under these names.
async fn sent(shop: &Shop, recipients: &[i64], validity: i64, names: &[&str]) -> String {
    let body = json!({"originator": "Bakery", "recipients": recipients, "body": "Hi", "validity": validity});
    let sent = shop.call("POST", "/messages").json(&body).send().await.expect(201);
    let Claimed { parts, .. } = shop.app.store.write((SHIFT, BATCH), part::claim).await.expect("parts");
    let answers = parts.into_iter().zip(names).map(|(part, name)| {
        let askable = Askable { name: (*name).to_owned(), after_us: 60 * MINUTE_US };
        (part, Answer::Askable(name.to_lowercase(), askable))
    });
    let done: Result<()> = shop.app.store.write((SHIFT, answers.collect()), part::answered).await;
    done.expect("answers");
    sent["id"].as_str().expect("an id").to_owned()
}

async fn asked(shop: &Shop) -> Vec<String> {
    let questions: Vec<Question> =
        shop.app.store.write((SHIFT, 60 * MINUTE_US, BATCH), query::claim).await.expect("questions");
    for question in &questions {
        assert_eq!(question.originator.as_str(), "Bakery");
    }
    questions.into_iter().map(|question| question.name).collect()
}

/// Time passes, minute by minute, and with it what is renewed and given up.
async fn pass(shop: &Shop, minutes: u64) {
    shop.app.clock.advance(Duration::from_mins(minutes));
    while shop.app.store.write((), part::expire).await.expect("the sweep works") {}
}

async fn state(shop: &Shop, id: &str) -> (Value, Value) {
    let seen = shop.call("GET", &format!("/messages/{id}")).send().await.expect(200);
    let item = &seen["recipients"]["items"][0];
    (item["status"].clone(), item["statusReason"].clone())
}

#[tokio::test]
async fn what_is_not_reported_is_asked_about_each_hour_and_often_at_the_end() {
    let shop = Shop::new().await;
    let id = sent(&shop, &[PHONE], 2 * 3_600 + 1_800, &["00AB"]).await;
    pass(&shop, 59).await;
    assert!(asked(&shop).await.is_empty());
    pass(&shop, 1).await;
    assert_eq!(asked(&shop).await, ["00AB"], "as the carrier wrote it");
    assert!(asked(&shop).await.is_empty(), "it is noted before it leaves");
    pass(&shop, 60).await;
    assert_eq!(asked(&shop).await, ["00AB"]);
    pass(&shop, 29).await;
    assert!(asked(&shop).await.is_empty());
    // Its validity is over: nobody waits for another hour.
    let mut times = 0;
    while state(&shop, &id).await.0 == "sent" {
        pass(&shop, 1).await;
        times += asked(&shop).await.len();
    }
    assert!((4..=6).contains(&times), "{times}");
    assert_eq!(state(&shop, &id).await, (json!("delivery_failed"), json!("DLR not received")));
    assert!(asked(&shop).await.is_empty());
}

#[tokio::test]
async fn what_is_told_ends_a_part_once_and_its_price_is_paid() {
    let shop = Shop::new().await;
    let id = sent(&shop, &[PHONE], 3_600, &["AB"]).await;
    pass(&shop, 60).await;
    assert_eq!(asked(&shop).await, ["AB"]);
    let told = |status, reason| {
        let outcome = Outcome { status, reason, error: None };
        (SHIFT.carrier, vec![Receipt { reference: "ab".into(), outcome }])
    };
    let unknown = shop.app.store.write(told(Status::Delivered, Reason::Delivered), receipt::reported).await;
    assert_eq!(unknown.expect("what was told"), 0);
    // Its receipt comes after all.
    let unknown = shop.app.store.write(told(Status::Failed, Reason::Generic), receipt::reported).await;
    assert_eq!(unknown.expect("what was told"), 1);
    assert_eq!(state(&shop, &id).await, (json!("delivered"), json!("successfully delivered")));
    let balance = shop.balance().await;
    assert_eq!((balance.posted.0, balance.held.0), (CREDIT.0 - PRICE.0, 0));
    pass(&shop, 120).await;
    assert!(asked(&shop).await.is_empty());
    books::check(&shop.app.store).await;
}

#[tokio::test]
async fn nobody_asks_about_a_name_that_was_given_twice_or_without_the_lease() {
    let shop = Shop::new().await;
    sent(&shop, &[PHONE, PHONE + 1], 86_400, &["AB", "AB"]).await;
    pass(&shop, 60).await;
    let other = Shift { holder: Holder([8; 16]), ..SHIFT };
    shop.app.store.write((SHIFT, BATCH), part::claim).await.expect("the lease is renewed");
    let refused = shop.app.store.write((other, MINUTE_US, BATCH), query::claim).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    assert_eq!(asked(&shop).await, ["AB"], "the first of the two");
}
