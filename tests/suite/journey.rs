//! A message's life on the simulated carrier: what becomes of it, what is told about it and when, and what it costs.

use crate::support::shop::{COST, CREDIT, PRICE, Shop};
use rookery::core::account;
use rookery::core::carrier::CarrierId;
use rookery::core::lease::Holder;
use rookery::core::ledger::{self, Grant};
use rookery::core::money::Amount;
use rookery::core::part::{self, Claimed, Shift};
use rookery::core::terms::MessagingSetting;
use rookery::core::{AccountId, Result};
use serde_json::{Value, json};
use std::time::Duration;
use store::{Tx, sql};

#[tokio::test]
async fn a_message_is_sent_charged_delivered_and_reported() {
    let shop = Shop::new().await;
    let id = shop.send(&json!([31_655_500_011_i64])).await;
    let held = shop.balance(&shop.sender).await;
    assert_eq!((held.posted, held.held), (CREDIT, PRICE), "held, not paid");
    let shown = shop.call("GET", "/balance").send().await.expect(200);
    assert_eq!(shown["amount"], json!(9.93), "what is held cannot be spent: 10 - 0.061, cut to cents");
    assert_eq!(shop.state(&id).await.0, "sent");

    shop.app.settle().await;
    assert_eq!(shop.state(&id).await, ("delivered".into(), json!("successfully delivered"), Value::Null));
    let (child, partner) = (shop.balance(&shop.sender).await, shop.balance(&shop.partner).await);
    assert_eq!((child.posted.0, child.held.0), (CREDIT.0 - PRICE.0, 0));
    assert_eq!((partner.posted.0, partner.held.0), (PRICE.0 - COST.0, 0), "the margin is the partner's");

    let calls = shop.customer.calls();
    assert_eq!(calls.len(), 2);
    let shown = format!(
        "/dlr?datacoding=plain&id={id}&messageLength=19&messagePartCount=1&price%5Bamount%5D=0.061\
         &price%5Bcurrency%5D=EUR&recipient=31655500011&reference=order-8841&shop=7&status=delivered\
         &statusDatetime=2024-03-05T08%3A15%3A33%2B00%3A00&statusReason=successfully+delivered"
    );
    assert_eq!(calls[1].target, shown);
    assert_eq!(calls[0].parameter("status").as_deref(), Some("sent"));
    for call in &calls {
        for name in ["messagebird-signature-jwt", "messagebird-signature", "messagebird-request-timestamp"] {
            assert!(call.header(name).is_some(), "{name}");
        }
    }
    shop.app.pass(Duration::from_hours(1)).await;
    assert!(shop.customer.calls().is_empty(), "told once");
}

#[tokio::test]
async fn magic_numbers_choose_what_becomes_of_it() {
    let shop = Shop::new().await;
    for (number, status, reason, code, paid) in [
        (99_900_000_000_i64, "delivered", "successfully delivered", Value::Null, true),
        (99_900_001_000, "delivery_failed", "unknown subscriber", json!(1), true),
        (99_900_006_000, "delivery_failed", "unavailable subscriber", json!(6), true),
        (99_900_034_000, "delivery_failed", "received network error", json!(34), true),
        (99_900_077_000, "delivery_failed", "generic delivery failure", json!(77), true),
        (99_900_103_000, "delivery_failed", "opted out", json!(103), true),
        (99_900_201_000, "delivery_failed", "incorrect number", Value::Null, true),
        (99_900_202_000, "expired", "expired", Value::Null, true),
        (99_900_203_000, "delivery_failed", "timeout", Value::Null, true),
        (99_900_204_000, "delivery_failed", "generic delivery failure", Value::Null, true),
        (99_900_301_000, "delivery_failed", "carrier rejected", Value::Null, false),
    ] {
        let before = shop.paid().await;
        let id = shop.send(&json!([number])).await;
        shop.app.settle().await;
        assert_eq!(shop.state(&id).await, (status.into(), json!(reason), code.clone()), "{number}");
        let paid_now = shop.paid().await.0 - before.0;
        assert_eq!(paid_now, if paid { PRICE.0 } else { 0 }, "{number}: what the carrier refuses is free");
        assert_eq!(shop.balance(&shop.sender).await.held, Amount::ZERO, "{number}");
        let expected: &[&str] = if paid { &["sent", status] } else { &[status] };
        let calls = shop.customer.calls();
        let told: Vec<_> = calls.iter().filter_map(|call| call.parameter("status")).collect();
        assert_eq!(told, expected, "{number}");
        let told_code = calls.last().expect("a call").parameter("statusErrorCode");
        assert_eq!(
            told_code.map(|code| json!(code.parse::<i64>().expect("digits"))).unwrap_or_default(),
            code
        );
    }
}

#[tokio::test]
async fn reports_come_late_twice_or_never() {
    let shop = Shop::new().await;
    let late = shop.send(&json!([99_900_000_007_i64])).await;
    shop.app.settle().await;
    assert_eq!(shop.state(&late).await, ("sent".into(), json!("pending DLR"), Value::Null));
    shop.app.pass(Duration::from_secs(7)).await;
    assert_eq!(
        (shop.state(&late).await.0.as_str(), shop.told()),
        ("delivered", vec!["sent".into(), "delivered".into()])
    );

    let buffered = shop.send(&json!([99_900_403_005_i64])).await;
    shop.app.settle().await;
    assert_eq!(shop.state(&buffered).await, ("buffered".into(), json!("unavailable subscriber"), json!(27)));
    shop.app.pass(Duration::from_secs(5)).await;
    assert_eq!(shop.told(), ["sent", "buffered", "delivered"]);

    let twice = shop.send(&json!([99_900_402_000_i64])).await;
    shop.app.settle().await;
    shop.app.pass(Duration::from_secs(5)).await;
    assert_eq!(
        (shop.state(&twice).await.0.as_str(), shop.told()),
        ("delivered", vec!["sent".into(), "delivered".into()])
    );

    let never = shop.send(&json!([99_900_401_000_i64])).await;
    shop.app.settle().await;
    shop.app.pass(Duration::from_hours(47)).await;
    assert_eq!(shop.state(&never).await.0, "sent");
    shop.app.pass(Duration::from_hours(2)).await;
    assert_eq!(shop.state(&never).await, ("delivery_failed".into(), json!("DLR not received"), Value::Null));
    assert_eq!(shop.paid().await.0, 4 * PRICE.0, "the carrier took it, so it is paid");
}

#[tokio::test]
async fn a_long_message_is_one_with_several_parts() {
    let shop = Shop::new().await;
    let body = json!({"originator": "Bakery", "recipients": "31655500011,99900001000,99900301000",
        "body": "x".repeat(161), "reference": "long", "reportUrl": shop.customer.url("/dlr")});
    let sent = shop.call("POST", "/messages").json(&body).send().await.expect(201);
    assert_eq!(sent["recipients"]["items"][0]["messagePartCount"], 2);
    assert_eq!(sent["recipients"]["items"][0]["price"], json!({"amount": 0.122, "currency": "EUR"}));
    assert_eq!(shop.balance(&shop.sender).await.held.0, 6 * PRICE.0);
    shop.app.settle().await;
    let seen = shop.view(sent["id"].as_str().unwrap()).await;
    let statuses: Vec<_> =
        seen["recipients"]["items"].as_array().unwrap().iter().map(|item| item["status"].clone()).collect();
    assert_eq!(statuses, ["delivered", "delivery_failed", "delivery_failed"]);
    assert_eq!(shop.paid().await.0, 4 * PRICE.0);
    assert_eq!(shop.balance(&shop.sender).await.held, Amount::ZERO);
    let mut told: Vec<_> = shop
        .customer
        .calls()
        .iter()
        .map(|call| (call.parameter("recipient").unwrap(), call.parameter("status").unwrap()))
        .collect();
    told.sort();
    let expected = [
        ("31655500011", "delivered"),
        ("31655500011", "sent"),
        ("99900001000", "delivery_failed"),
        ("99900001000", "sent"),
        ("99900301000", "delivery_failed"),
    ];
    assert_eq!(told, expected.map(|(to, status)| (to.to_owned(), status.to_owned())), "once per recipient");
}

#[tokio::test]
async fn failed_calls_are_repeated_with_fresh_tokens_and_given_up_at_last() {
    let shop = Shop::new().await;
    shop.set(MessagingSetting::LegacySignature(false)).await;
    shop.customer.answer([500, 200, 302, 200]);
    shop.send(&json!([31_655_500_011_i64])).await;
    shop.app.settle().await;
    let first = shop.customer.calls();
    assert_eq!(first.len(), 2, "sent: 500, delivered: 200");
    assert!(first.iter().all(|call| call.header("messagebird-signature").is_none()), "switched off");
    shop.app.pass(Duration::from_millis(900)).await;
    assert!(shop.customer.calls().is_empty(), "too early");
    shop.app.pass(Duration::from_millis(400)).await;
    let second = shop.customer.calls();
    assert_eq!((second.len(), &second[0].target), (1, &first[0].target), "the same bytes");
    let token =
        |call: &crate::support::customer::Call| call.header("messagebird-signature-jwt").map(str::to_owned);
    assert_ne!(token(&second[0]), token(&first[0]), "a fresh token");
    // A redirect is not followed: it is a failure like any other.
    shop.app.pass(Duration::from_secs(7)).await;
    assert_eq!(shop.customer.calls().len(), 1);
    shop.app.pass(Duration::from_secs(100_000)).await;
    assert!(shop.customer.calls().is_empty(), "done");

    shop.customer.answer([503; 40]);
    shop.send(&json!([99_900_301_000_i64])).await;
    shop.app.settle().await;
    let mut attempts = shop.customer.calls().len();
    for _ in 0..12 {
        shop.app.pass(Duration::from_secs(20_000)).await;
        attempts += shop.customer.calls().len();
    }
    assert_eq!(attempts, 10, "given up after the tenth");
}

#[tokio::test]
async fn nothing_is_told_without_a_reference_or_somewhere_to_tell_it() {
    let shop = Shop::new().await;
    let post = async |body: Value| shop.call("POST", "/messages").json(&body).send().await.expect(201);
    let to = json!([31_655_500_011_i64]);
    post(
        json!({"originator": "Bakery", "recipients": to, "body": "Hi", "reportUrl": shop.customer.url("/a")}),
    )
    .await;
    post(json!({"originator": "Bakery", "recipients": to, "body": "Hi", "reference": "x"})).await;
    shop.app.settle().await;
    assert!(shop.customer.calls().is_empty());
    shop.set(MessagingSetting::ReportUrl(Some(shop.customer.url("/account")))).await;
    post(json!({"originator": "Bakery", "recipients": to, "body": "Hi", "reference": "x"})).await;
    post(json!({"originator": "Bakery", "recipients": to, "body": "Hi", "reference": "x",
        "reportUrl": shop.customer.url("/own")}))
    .await;
    shop.app.settle().await;
    let mut paths: Vec<String> =
        shop.customer.calls().iter().map(|call| call.target.split('?').next().unwrap().to_owned()).collect();
    paths.sort();
    assert_eq!(paths, ["/account", "/account", "/own", "/own"]);
}

#[tokio::test]
async fn a_reply_is_stored_and_forwarded() {
    let shop = Shop::new().await;
    shop.set(MessagingSetting::InboundUrl(Some(shop.customer.url("/in?a=1")))).await;
    shop.send(&json!([99_900_501_000_i64])).await;
    shop.app.settle().await;
    shop.app.pass(Duration::from_secs(2)).await;
    let calls = shop.customer.calls();
    let reply = calls.iter().find(|call| call.target.starts_with("/in?")).expect("a reply");
    let shown = ["originator", "recipient", "body", "a"].map(|name| reply.parameter(name).unwrap());
    assert_eq!(shown, ["99900501000", "31655500099", "Re: Your crate is ready", "1"]);
    let id = reply.parameter("id").unwrap();
    let seen = shop.view(&id).await;
    assert_eq!((&seen["direction"], &seen["originator"]), (&json!("mo"), &json!("99900501000")));
    assert_eq!(seen["createdDatetime"], json!(reply.parameter("createdDatetime").unwrap()));
    let list = shop.call("GET", "/messages?direction=mo").send().await.expect(200);
    assert_eq!((&list["totalCount"], &list["items"][0]["id"]), (&json!(1), &json!(id)));
}

#[tokio::test]
async fn a_suspended_account_waits_and_goes_on() {
    let shop = Shop::new().await;
    let id = shop.send(&json!([31_655_500_011_i64])).await;
    for of in [&shop.sender, &shop.partner] {
        shop.app.store.write(of.account.id, account::suspend).await.expect("suspended");
        shop.app.settle().await;
        assert!(shop.customer.calls().is_empty());
        assert_eq!(shop.balance(&shop.sender).await.held, PRICE, "still held");
    }
    shop.app.store.write(shop.sender.account.id, account::resume).await.expect("resumed");
    shop.app.settle().await;
    assert_eq!(shop.balance(&shop.sender).await.held, PRICE, "its partner is still suspended");
    shop.app.store.write(shop.partner.account.id, account::resume).await.expect("resumed");
    shop.app.notice_changes().await;
    shop.app.settle().await;
    assert_eq!(shop.state(&id).await.0, "delivered");
    assert_eq!(shop.told(), ["sent", "delivered"]);

    // Accepted by the carrier before, reported on during: settled, and told afterwards.
    shop.send(&json!([99_900_000_009_i64])).await;
    shop.app.settle().await;
    assert_eq!(shop.told(), ["sent"]);
    shop.app.store.write(shop.sender.account.id, account::suspend).await.expect("suspended");
    shop.app.pass(Duration::from_secs(10)).await;
    assert!(shop.customer.calls().is_empty(), "callbacks wait");
    shop.app.store.write(shop.sender.account.id, account::resume).await.expect("resumed");
    shop.app.pass(Duration::from_secs(6)).await;
    assert_eq!(shop.told(), ["delivered"]);
}

#[tokio::test]
async fn validity_runs_while_a_message_waits() {
    let shop = Shop::new().await;
    let body = json!({"originator": "Bakery", "recipients": [31_655_500_011_i64], "body": "Hi", "validity": 60,
        "reference": "x", "reportUrl": shop.customer.url("/dlr")});
    let sent = shop.call("POST", "/messages").json(&body).send().await.expect(201);
    let id = sent["id"].as_str().unwrap();
    shop.app.store.write(shop.sender.account.id, account::suspend).await.expect("suspended");
    shop.app.settle().await;
    shop.app.pass(Duration::from_secs(61)).await;
    shop.app.store.write(shop.sender.account.id, account::resume).await.expect("resumed");
    shop.app.notice_changes().await;
    shop.app.pass(Duration::from_secs(6)).await;
    assert_eq!(shop.state(id).await, ("expired".into(), json!("expired"), Value::Null));
    assert_eq!((shop.paid().await, shop.told()), (Amount::ZERO, vec!["expired".to_owned()]));
}

#[tokio::test]
async fn a_message_to_very_many_is_accepted_at_once_and_sent_in_pieces() {
    let shop = Shop::new().await;
    let grant = Grant { account: shop.sender.account.id, amount: Amount(100_000_000), currency: None };
    shop.app.store.write(grant, ledger::grant).await.expect("credit");
    let group = shop.call("POST", "/groups").form("name=Regulars").send().await.expect(201);
    let group = group["id"].as_str().unwrap().to_owned();
    let mut ids = Vec::new();
    for number in 0..460_i64 {
        let contact = json!({"msisdn": 31_655_510_000_i64 + number});
        let made = shop.call("POST", "/contacts").json(&contact).send().await.expect(201);
        ids.push(made["id"].as_str().unwrap().to_owned());
    }
    for some in ids.chunks(50) {
        let added =
            shop.call("PUT", &format!("/groups/{group}/contacts")).json(&json!({"ids": some})).send().await;
        assert_eq!(added.status, 204);
    }
    // One number is named besides and in the group, one is new, one group is nobody's.
    let body = json!({"originator": "Bakery", "recipients": ["31655510000", 31_655_520_000_i64, group],
        "groupIds": ["0123456789abcdef0123456789abcdef"], "body": "Hi"});
    let sent = shop.call("POST", "/messages").json(&body).send().await.expect(201);
    assert_eq!(sent["recipients"]["totalCount"], 461);
    assert_eq!(shop.balance(&shop.sender).await.held.0, 461 * PRICE.0, "all of it, at once");
    crate::support::books::check(&shop.app.store).await;
    shop.app.settle().await;
    let seen = shop.view(sent["id"].as_str().unwrap()).await;
    let counts = ["totalCount", "totalSentCount", "totalDeliveredCount", "totalDeliveryFailedCount"]
        .map(|name| seen["recipients"][name].as_i64().unwrap());
    assert_eq!(counts, [461, 461, 461, 0]);
    assert_eq!(seen["recipients"]["items"].as_array().unwrap().len(), 461);
    assert_eq!(shop.balance(&shop.sender).await.held, Amount::ZERO);

    let contact = shop.call("GET", "/contacts/31655510003").send().await.expect(200);
    assert_eq!(contact["messages"]["totalCount"], 1);
}

#[tokio::test]
async fn a_deleted_message_goes_on_and_is_in_no_view() {
    let shop = Shop::new().await;
    let id = shop.send(&json!([99_900_000_003_i64])).await;
    assert_eq!(shop.call("DELETE", &format!("/messages/{id}")).send().await.status, 204);
    assert_eq!(shop.call("DELETE", &format!("/messages/{id}")).send().await.codes(), [20]);
    assert_eq!(shop.call("GET", &format!("/messages/{id}")).send().await.codes(), [20]);
    assert_eq!(shop.call("GET", "/messages").send().await.expect(200)["totalCount"], 0);
    shop.app.settle().await;
    shop.app.pass(Duration::from_secs(5)).await;
    assert_eq!((shop.told(), shop.paid().await), (vec!["sent".into(), "delivered".into()], PRICE));
    shop.app.pass(Duration::from_hours(48)).await;
    crate::support::books::check(&shop.app.store).await;
}

#[tokio::test]
async fn texts_are_forgotten_when_an_account_wants_that() {
    let shop = Shop::new().await;
    let old = shop.send(&json!([31_655_500_011_i64])).await;
    shop.set(MessagingSetting::RetentionDays(Some(2))).await;
    shop.app.pass(Duration::from_hours(48)).await;
    let new = shop.send(&json!([31_655_500_011_i64])).await;
    shop.app.pass(Duration::from_hours(2)).await;
    assert_eq!(shop.view(&old).await["body"], "");
    assert_eq!(shop.view(&new).await["body"], "Your crate is ready");
}

#[tokio::test]
async fn a_carriers_work_goes_on_where_a_dead_process_left_it() {
    let shop = Shop::new().await;
    let late = shop.send(&json!([99_900_000_005_i64])).await;
    let other = shop.send(&json!([31_655_500_011_i64])).await;
    // A process takes both over to the carrier and dies before it hears anything.
    shop.app.abandon().await;
    let again = shop.send(&json!([31_655_500_012_i64])).await;
    shop.app.settle().await;
    shop.app.pass(Duration::from_secs(10)).await;
    for id in [late, other, again] {
        assert_eq!(shop.state(&id).await.0, "delivered");
    }
    assert_eq!(shop.paid().await.0, 3 * PRICE.0);
}

#[tokio::test]
async fn a_report_on_a_deleted_message_is_told_however_long_it_waits() {
    let shop = Shop::new().await;
    let deleted = shop.send(&json!([99_900_000_003_i64])).await;
    shop.app.settle().await;
    assert_eq!(shop.told(), ["sent"]);
    assert_eq!(shop.call("DELETE", &format!("/messages/{deleted}")).send().await.status, 204);
    let left = async || {
        let count: Result<i64> = shop
            .app
            .store
            .write(shop.sender.account.id, async |tx: &mut Tx, account: &AccountId| {
                let rows = sql!(
                    "SELECT CAST((SELECT count(*) FROM message WHERE account = $1 AND hidden)
                     + (SELECT count(*) FROM callback c JOIN message m ON m.id = c.message
                        WHERE m.account = $1 AND m.hidden) AS BIGINT)"
                );
                Ok(tx.one(rows, &[account]).await?)
            })
            .await;
        count.expect("a count")
    };
    // Its last report waits for the account to be resumed, for longer than a deleted message is kept.
    shop.app.store.write(shop.sender.account.id, account::suspend).await.expect("suspended");
    shop.app.pass(Duration::from_hours(48)).await;
    assert_eq!(left().await, 3, "the message, what was said and what is still to be said");
    shop.app.store.write(shop.sender.account.id, account::resume).await.expect("resumed");
    shop.app.notice_changes().await;
    shop.send(&json!([31_655_500_011_i64])).await;
    shop.app.pass(Duration::from_secs(6)).await;
    let mut told = shop.told();
    told.sort();
    assert_eq!(told, ["delivered", "delivered", "sent"], "the other's and the last of the deleted one");
    shop.app.pass(Duration::from_hours(1)).await;
    assert_eq!(left().await, 0, "the message goes as soon as all is said, and what was said with it");
}

#[tokio::test]
async fn what_waits_of_a_suspended_account_is_put_aside_and_told() {
    let shop = Shop::new().await;
    for _ in 0..3 {
        shop.send(&json!([31_655_500_011_i64])).await;
    }
    shop.app.store.write(shop.sender.account.id, account::suspend).await.expect("suspended");
    let shift = Shift { carrier: CarrierId(1), holder: Holder([7; 16]) };
    let claim = async |most: usize| {
        let claimed: Result<Claimed> = shop.app.store.write((shift, most), part::claim).await;
        let Claimed { parts, aside } = claimed.expect("a claim");
        (parts.len(), aside)
    };
    assert_eq!(
        (claim(2).await, claim(2).await, claim(2).await),
        ((0, 2), (0, 1), (0, 0)),
        "there may be more behind"
    );
    let unpark = async || shop.app.store.write((), part::unpark).await.expect("the sweep works");
    assert!(!unpark().await, "it is still suspended");
    shop.app.store.write(shop.sender.account.id, account::resume).await.expect("resumed");
    assert!(unpark().await && !unpark().await, "all at once");
    assert_eq!(claim(9).await, (3, 0));
}
