//! Who wants nothing more: told by text or by command, heeded when a message is accepted and again before it is handed over.

use crate::support::correspondent::{CREDIT, OWN, PRICE, Shop};
use crate::support::test;
use rookery::core::opt_out::{self, Source};
use rookery::core::phone::Msisdn;
use rookery::core::terms::MessagingSetting;
use serde_json::{Value, json};
use std::time::Duration;

const PHONE: i64 = 31_655_500_011;

async fn list(shop: &Shop) -> Vec<(i64, &'static str)> {
    let list = shop.app.store.read((shop.scope(), Msisdn(0)), opt_out::list).await.expect("a list");
    list.iter().map(|one| (one.msisdn.0, one.source.name())).collect()
}

async fn add(shop: &Shop, numbers: &[i64]) -> u64 {
    let numbers = numbers.iter().copied().map(Msisdn).collect();
    let added = shop.app.store.write((shop.scope(), numbers, Source::Command), opt_out::add).await;
    added.expect("numbers are added")
}

/// Status, reason, code and price of each recipient.
fn items(message: &Value) -> Vec<(i64, String, Value, Value, f64)> {
    let items = message["recipients"]["items"].as_array().expect("items");
    let item = |item: &Value| {
        (
            item["recipient"].as_i64().expect("a number"),
            item["status"].as_str().expect("a status").to_owned(),
            item["statusReason"].clone(),
            item["statusErrorCode"].clone(),
            item["price"]["amount"].as_f64().expect("an amount"),
        )
    };
    items.iter().map(item).collect()
}

fn refused(number: i64) -> (i64, String, Value, Value, f64) {
    (number, "delivery_failed".into(), json!("opted out"), json!(103), 0.0)
}

#[tokio::test]
async fn stop_is_heeded_until_start() {
    let shop = Shop::new().await;
    shop.number(OWN, None, &shop.sender, None, None).await.expect("a number");
    shop.receive(&PHONE.to_string(), OWN, "Stop!").await;
    shop.receive(&PHONE.to_string(), OWN, "stop").await;
    assert_eq!(list(&shop).await, [(PHONE, "inbound")]);
    shop.app.notice_changes().await;

    let sent = shop.send(&json!([PHONE, 31_655_500_012_i64])).await;
    assert_eq!(items(&sent)[0], refused(PHONE));
    assert_eq!(sent["recipients"]["totalDeliveryFailedCount"], 1);
    assert_eq!(shop.balance().await.held, PRICE, "of the other alone");
    shop.app.settle().await;
    let seen = shop.view(sent["id"].as_str().unwrap()).await;
    assert_eq!((items(&seen)[0].clone(), items(&seen)[1].1.as_str()), (refused(PHONE), "delivered"));
    let mut told: Vec<_> = shop
        .customer
        .calls()
        .iter()
        .map(|call| {
            ["recipient", "status", "statusErrorCode", "price[amount]"].map(|name| call.parameter(name))
        })
        .collect();
    told.sort();
    let text = |texts: [&str; 4]| texts.map(|text| Some(text.to_owned()).filter(|text| !text.is_empty()));
    let wanted = [
        text(["31655500011", "delivery_failed", "103", "0.000"]),
        text(["31655500012", "delivered", "", "0.061"]),
        text(["31655500012", "sent", "", "0.061"]),
    ];
    assert_eq!(told, wanted);
    assert_eq!(CREDIT.0 - shop.balance().await.posted.0, PRICE.0);

    let body = json!({"originator": OWN, "recipients": [PHONE], "body": "Hi"});
    let tried = shop.app.request("POST", "/messages").key(test(&shop.sender)).json(&body).send().await;
    assert_eq!(items(&tried.expect(201)), [refused(PHONE)], "the test key says so as well");

    shop.receive(&PHONE.to_string(), OWN, "START").await;
    assert!(list(&shop).await.is_empty());
    shop.app.notice_changes().await;
    let sent = shop.send(&json!([PHONE])).await;
    shop.app.settle().await;
    assert_eq!(items(&shop.view(sent["id"].as_str().unwrap()).await)[0].1, "delivered");
}

#[tokio::test]
async fn an_account_has_words_of_its_own_and_a_list_of_its_own() {
    let shop = Shop::new().await;
    shop.number(OWN, None, &shop.sender, None, None).await.expect("a number");
    shop.set(MessagingSetting::StopWords(Some("Genug".into()))).await;
    for (text, count) in [("unsubscribe", 0), ("Enough. Genug", 0), ("GENUG!", 1)] {
        shop.receive(&PHONE.to_string(), OWN, text).await;
        assert_eq!(list(&shop).await.len(), count, "{text}");
    }
    shop.app.notice_changes().await;
    // Its partner may still write to the number.
    let body = json!({"originator": "Acme", "recipients": [PHONE], "body": "Hi"});
    let key = crate::support::live(&shop.partner);
    let sent = shop.app.request("POST", "/messages").key(key).json(&body).send().await.expect(201);
    assert_eq!(items(&sent)[0].1, "sent");
}

#[tokio::test]
async fn whoever_opts_out_before_the_carrier_has_it_gets_nothing_and_costs_nothing() {
    let shop = Shop::new().await;
    let body = json!({"originator": "Bakery", "recipients": [PHONE, 31_655_500_012_i64], "body": "x".repeat(161),
        "reference": "long", "reportUrl": shop.customer.url("/dlr")});
    let sent = shop.call("POST", "/messages").json(&body).send().await.expect(201);
    assert_eq!(shop.balance().await.held.0, 4 * PRICE.0);
    assert_eq!(add(&shop, &[PHONE, PHONE]).await, 1);
    shop.app.settle().await;
    let seen = shop.view(sent["id"].as_str().unwrap()).await;
    assert_eq!((items(&seen)[0].clone(), items(&seen)[1].1.as_str()), (refused(PHONE), "delivered"));
    let balance = shop.balance().await;
    assert_eq!((CREDIT.0 - balance.posted.0, balance.held.0), (2 * PRICE.0, 0));
    let calls = shop.customer.calls();
    let told: Vec<_> =
        calls.iter().filter(|call| call.parameter("recipient") == Some(PHONE.to_string())).collect();
    assert_eq!(told.len(), 1);
    let values = ["status", "statusReason", "statusErrorCode", "price[amount]"]
        .map(|name| told[0].parameter(name).expect("a value"));
    assert_eq!(values, ["delivery_failed", "opted out", "103", "0.000"]);
}

#[tokio::test]
async fn a_group_is_sent_to_without_those_who_have_opted_out() {
    let shop = Shop::new().await;
    let group = shop.call("POST", "/groups").form("name=Regulars").send().await.expect(201);
    let group = group["id"].as_str().unwrap().to_owned();
    let mut ids = Vec::new();
    for number in 0..460_i64 {
        let contact = json!({"msisdn": 31_655_510_000_i64 + number});
        let made = shop.call("POST", "/contacts").json(&contact).send().await.expect(201);
        ids.push(made["id"].as_str().unwrap().to_owned());
    }
    for some in ids.chunks(50) {
        let target = format!("/groups/{group}/contacts");
        let added = shop.call("PUT", &target).json(&json!({"ids": some})).send().await;
        assert_eq!(added.status, 204);
    }
    let out: Vec<i64> = (0..60).map(|number| 31_655_510_000 + number * 7).collect();
    assert_eq!(add(&shop, &out).await, 60);
    shop.app.notice_changes().await;
    shop.set(MessagingSetting::ReportUrl(Some(shop.customer.url("/dlr")))).await;
    let body = json!({"originator": "Bakery", "groupIds": [group], "body": "Hi", "reference": "all"});
    let sent = shop.call("POST", "/messages").json(&body).send().await.expect(201);
    assert_eq!(sent["recipients"]["totalCount"], 460);
    assert_eq!(shop.balance().await.held.0, 400 * PRICE.0);
    crate::support::books::check(&shop.app.store).await;
    shop.app.settle().await;
    let seen = shop.view(sent["id"].as_str().unwrap()).await;
    let counts = ["totalCount", "totalDeliveredCount", "totalDeliveryFailedCount"]
        .map(|name| seen["recipients"][name].as_i64().unwrap());
    assert_eq!(counts, [460, 400, 60]);
    assert_eq!(items(&seen).iter().filter(|item| **item == refused(item.0)).count(), 60);
    let failed = shop.customer.calls();
    let failed = failed.iter().filter(|call| call.parameter("status").as_deref() == Some("delivery_failed"));
    assert_eq!(failed.count(), 60);
    assert_eq!(CREDIT.0 - shop.balance().await.posted.0, 400 * PRICE.0);
    // All of them alone: nothing is held, nothing waits.
    let body = json!({"originator": "Bakery", "recipients": &out[..50], "body": "Hi"});
    let sent = shop.call("POST", "/messages").json(&body).send().await.expect(201);
    assert_eq!(items(&sent).len(), 50);
    assert_eq!(shop.balance().await.held.0, 0);
    shop.app.settle().await;
}

#[tokio::test]
async fn a_simulated_phone_opts_out() {
    let shop = Shop::new().await;
    shop.send(&json!([99_900_502_000_i64])).await;
    shop.app.settle().await;
    shop.app.pass(Duration::from_secs(2)).await;
    assert_eq!(list(&shop).await, [(99_900_502_000, "inbound")]);
}
