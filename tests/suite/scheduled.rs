//! Messages for later: sent when their hour has come and not before, once, and not at all when they are cancelled.

use crate::support::database::Home;
use crate::support::http::Client;
use crate::support::process::{Server, child, key_of, partner, run};
use crate::support::shop::{CREDIT, PRICE, Shop};
use crate::support::{TestApp, books, live, test};
use rookery::core::money::Amount;
use rookery::core::terms::MessagingSetting;
use rookery::core::{account, schedule};
use rookery::run::sweep;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The tests begin at 08:15:30, and every request takes a second.
const HOUR: &str = "2024-03-05T09:30:00+00:00";

impl Shop {
    fn later(&self, recipients: &Value, hour: &str) -> Value {
        json!({"originator": "Bakery", "recipients": recipients, "body": "Your crate is ready", "reference": "later",
            "reportUrl": self.customer.url("/dlr"), "scheduledDatetime": hour})
    }

    async fn schedule(&self, body: &Value) -> Value {
        self.call("POST", "/messages").json(body).send().await.expect(201)
    }

    async fn is_free(&self) {
        assert_eq!(self.balance(&self.sender).await.held, Amount::ZERO);
        assert_eq!(self.balance(&self.partner).await.held, Amount::ZERO);
        books::check(&self.app.store).await;
    }
}

fn id(message: &Value) -> &str {
    message["id"].as_str().expect("an id")
}

#[tokio::test]
async fn a_message_waits_for_its_hour_and_is_sent_once() {
    let shop = Shop::new().await;
    let made = shop.schedule(&shop.later(&json!([31_655_500_011_i64, 31_655_500_012_i64]), HOUR)).await;
    assert_eq!(made["scheduledDatetime"], HOUR);
    assert_eq!(shop.view(id(&made)).await, made, "shown as it was answered");
    let recipients = &made["recipients"];
    assert_eq!((&recipients["totalCount"], &recipients["totalSentCount"]), (&json!(2), &json!(0)));
    for item in recipients["items"].as_array().unwrap() {
        assert_eq!((&item["status"], &item["statusDatetime"]), (&json!("scheduled"), &Value::Null));
        assert_eq!((&item["statusReason"], &item["price"]["amount"]), (&Value::Null, &json!(0.061)));
    }
    shop.app.settle().await;
    shop.app.pass(Duration::from_mins(70)).await;
    assert_eq!(shop.state(id(&made)).await.0, "scheduled");
    assert_eq!(shop.balance(&shop.sender).await.held.0, 2 * PRICE.0, "the price is held from the beginning");
    let list = shop.call("GET", "/messages?status=scheduled&recipient=31655500012").send().await.expect(200);
    assert_eq!((&list["totalCount"], &list["items"][0]["id"]), (&json!(1), &made["id"]));
    assert!(shop.told().is_empty());

    shop.app.pass(Duration::from_mins(5)).await;
    let sent = shop.view(id(&made)).await;
    assert_eq!(
        (&sent["recipients"]["totalSentCount"], &sent["scheduledDatetime"]),
        (&json!(2), &json!(HOUR))
    );
    assert_eq!(shop.state(id(&made)).await.0, "delivered");
    let mut told = shop.told();
    told.sort();
    assert_eq!(told, ["delivered", "delivered", "sent", "sent"]);
    assert_eq!(shop.paid().await.0, 2 * PRICE.0);
    shop.app.pass(Duration::from_hours(72)).await;
    assert_eq!((shop.told(), shop.paid().await.0), (Vec::new(), 2 * PRICE.0), "once");
    shop.is_free().await;
}

#[tokio::test]
async fn a_cancelled_message_is_never_sent_and_costs_nothing() {
    let shop = Shop::new().await;
    let made = shop.schedule(&shop.later(&json!([31_655_500_011_i64]), HOUR)).await;
    shop.app.settle().await;
    let target = format!("/messages/{}", id(&made));
    let with_test_key = shop.app.request("DELETE", &target).key(test(&shop.sender)).send().await;
    assert_eq!(with_test_key.status, 204);
    assert_eq!(shop.balance(&shop.sender).await.held, PRICE, "a test key cancels nothing");
    let deleted = shop.call("DELETE", &target).send().await;
    assert_eq!((deleted.status.as_u16(), deleted.body.len()), (204, 0));
    shop.is_free().await;
    assert_eq!(shop.call("GET", &target).send().await.codes(), [20]);
    assert_eq!(shop.call("DELETE", &target).send().await.codes(), [20]);
    shop.app.pass(Duration::from_hours(48)).await;
    assert_eq!((shop.told(), shop.paid().await), (Vec::new(), Amount::ZERO));
    shop.is_free().await;
}

#[tokio::test]
async fn hours_are_read_in_the_accounts_time_zone() {
    let shop = Shop::new().await;
    let read = async |hour: &str| {
        let call = shop.call("POST", "/messages").json(&shop.later(&json!(31_655_500_011_i64), hour));
        let answer = call.send().await;
        if answer.status == 201 {
            Ok(answer.json()["scheduledDatetime"].as_str().expect("an hour").to_owned())
        } else {
            assert_eq!(answer.json()["errors"][0]["parameter"], "scheduledDatetime", "{hour}");
            Err(answer.codes())
        }
    };
    assert_eq!(read("2024-03-06T10:00:00").await.unwrap(), "2024-03-06T10:00:00+00:00");
    shop.set(MessagingSetting::TimeZone("Europe/Amsterdam".into())).await;
    for (given, shown) in [
        ("2024-03-06T10:00:00", "2024-03-06T09:00:00+00:00"),
        ("2024-07-06 10:00:00", "2024-07-06T08:00:00+00:00"),
        ("2024-03-06T10:00:00+01:00", "2024-03-06T09:00:00+00:00"),
        ("2024-03-06T10:00:00Z", "2024-03-06T10:00:00+00:00"),
        ("2024-03-06T10:00:00.750-05:00", "2024-03-06T15:00:00+00:00"),
        ("2024-03-05T07:45:00Z", "2024-03-05T07:45:00+00:00"),
    ] {
        assert_eq!(read(given).await.as_deref(), Ok(shown), "{given}");
    }
    for bad in [
        "tomorrow",
        "2024-03-06",
        "2024-02-30T10:00:00Z",
        "2024-03-05T06:00:00Z",
        "2025-03-07T10:00:00Z",
        "0",
    ] {
        assert_eq!(read(bad).await, Err(vec![10]), "{bad}");
    }
    // One that has passed within the last hour was sent at once, like one without an hour.
    shop.app.settle().await;
    let list = shop.call("GET", "/messages?status=delivered").send().await.expect(200);
    assert_eq!(list["items"][0]["scheduledDatetime"], "2024-03-05T07:45:00+00:00");
    for nothing in [json!(null), json!("")] {
        let mut body = shop.later(&json!(31_655_500_011_i64), HOUR);
        body["scheduledDatetime"] = nothing;
        let made = shop.schedule(&body).await;
        assert_eq!(
            (&made["scheduledDatetime"], &made["recipients"]["totalSentCount"]),
            (&json!(null), &json!(1))
        );
    }
}

#[tokio::test]
async fn validity_begins_with_the_hour() {
    let shop = Shop::new().await;
    let mut body = shop.later(&json!([31_655_500_011_i64]), HOUR);
    body["validity"] = json!(3_600);
    let [in_time, too_late] = [shop.schedule(&body).await, {
        body["scheduledDatetime"] = json!("2024-03-06T09:30:00+00:00");
        shop.schedule(&body).await
    }];
    shop.app.pass(Duration::from_mins(2 * 60 + 10)).await;
    assert_eq!(shop.state(id(&in_time)).await.0, "delivered", "55 minutes late");
    assert_eq!(shop.told(), ["sent", "delivered"]);
    // Nothing was running at the hour, nor for the whole validity after it: no carrier sees it.
    shop.app.pass(Duration::from_hours(25)).await;
    assert_eq!(shop.state(id(&too_late)).await, ("expired".into(), json!("expired"), Value::Null));
    assert_eq!((shop.told(), shop.paid().await), (vec!["expired".to_owned()], PRICE));
    shop.is_free().await;
}

#[tokio::test]
async fn a_suspended_accounts_message_waits_and_its_validity_runs() {
    let shop = Shop::new().await;
    let hour = shop.later(&json!([31_655_500_011_i64]), HOUR);
    let mut short = hour.clone();
    short["validity"] = json!(60);
    let (goes_on, expires) = (shop.schedule(&hour).await, shop.schedule(&short).await);
    shop.app.store.write(shop.sender.account.id, account::suspend).await.expect("suspended");
    shop.app.pass(Duration::from_mins(90)).await;
    assert!(shop.told().is_empty());
    shop.app.store.write(shop.sender.account.id, account::resume).await.expect("resumed");
    shop.app.notice_changes().await;
    shop.app.pass(Duration::from_secs(6)).await;
    assert_eq!(shop.state(id(&goes_on)).await.0, "delivered");
    assert_eq!(shop.state(id(&expires)).await.0, "expired");
    assert_eq!(shop.paid().await, PRICE);
    shop.is_free().await;
}

#[tokio::test]
async fn a_deleted_accounts_message_is_not_sent_and_its_money_goes_to_the_partner() {
    let shop = Shop::new().await;
    shop.schedule(&shop.later(&json!([31_655_500_011_i64]), HOUR)).await;
    shop.app.store.write(shop.sender.account.id, account::delete).await.expect("deleted");
    assert_eq!(shop.balance(&shop.sender).await.posted, PRICE, "what is held stays");
    shop.app.pass(Duration::from_hours(2)).await;
    assert!(shop.told().is_empty());
    let left = shop.balance(&shop.sender).await;
    assert_eq!((left.posted, left.held), (Amount::ZERO, Amount::ZERO));
    assert_eq!(shop.balance(&shop.partner).await.posted, CREDIT);
    shop.is_free().await;
}

/// A message to a group of so many.
async fn to_a_group(shop: &Shop, members: i64, hour: &str) -> Value {
    let group = shop.call("POST", "/groups").form("name=Regulars").send().await.expect(201);
    let mut ids = Vec::new();
    for number in 0..members {
        let contact = json!({"msisdn": 31_655_510_000_i64 + number});
        let made = shop.call("POST", "/contacts").json(&contact).send().await.expect(201);
        ids.push(made["id"].as_str().unwrap().to_owned());
    }
    for some in ids.chunks(50) {
        let target = format!("/groups/{}/contacts", id(&group));
        assert_eq!(shop.call("PUT", &target).json(&json!({"ids": some})).send().await.status, 204);
    }
    let mut body = shop.later(&json!([group["id"]]), hour);
    body["reference"] = Value::Null;
    shop.schedule(&body).await
}

#[tokio::test]
async fn a_message_to_very_many_waits_in_pieces() {
    let shop = Shop::new().await;
    let grant = rookery::core::ledger::Grant {
        account: shop.sender.account.id,
        amount: Amount(100_000_000),
        currency: None,
    };
    shop.app.store.write(grant, rookery::core::ledger::grant).await.expect("credit");
    let made = to_a_group(&shop, 410, HOUR).await;
    let counts = |message: &Value| {
        let recipients = &message["recipients"];
        let items = recipients["items"].as_array().unwrap().len();
        (recipients["totalCount"].as_i64(), recipients["totalSentCount"].as_i64(), items)
    };
    assert_eq!(counts(&made), (Some(410), Some(0), 410));
    books::check(&shop.app.store).await;
    assert_eq!(counts(&shop.view(id(&made)).await), (Some(410), Some(0), 0), "not listed yet");
    shop.app.settle().await;
    assert_eq!(counts(&shop.view(id(&made)).await), (Some(410), Some(0), 410));
    assert_eq!(shop.balance(&shop.sender).await.held.0, 410 * PRICE.0);
    shop.app.pass(Duration::from_hours(2)).await;
    assert_eq!(counts(&shop.view(id(&made)).await), (Some(410), Some(410), 410));
    assert_eq!(shop.state(id(&made)).await.0, "delivered");
    assert_eq!(shop.balance(&shop.sender).await.held, Amount::ZERO);

    // The next one is cancelled when a part of it has been sent: the rest never is.
    let again = json!({"originator": "Bakery", "body": "Hi", "scheduledDatetime": "2024-03-06T09:30:00Z",
        "groupIds": shop.call("GET", "/groups").send().await.expect(200)["items"][0]["id"]});
    let again = shop.schedule(&again).await;
    shop.app.settle().await;
    let before = shop.balance(&shop.sender).await.posted.0;
    shop.app.clock.advance(Duration::from_hours(24));
    shop.app.store.bulk((), schedule::release_some).await.expect("a piece");
    let deleted = shop.call("DELETE", &format!("/messages/{}", id(&again))).send().await;
    assert_eq!(deleted.status, 204);
    shop.app.settle().await;
    let paid = before - shop.balance(&shop.sender).await.posted.0;
    assert!(0 < paid && paid < 410 * PRICE.0 && paid % PRICE.0 == 0, "{paid}");
    shop.is_free().await;
    shop.app.pass(Duration::from_hours(48)).await;
    shop.is_free().await;
}

#[tokio::test]
async fn many_at_the_same_hour_go_in_bounded_units() {
    let shop = Shop::new().await;
    for number in 0..150 {
        shop.schedule(&shop.later(&json!([99_900_000_000_i64 + number]), HOUR)).await;
    }
    shop.app.clock.advance(Duration::from_hours(2));
    let mut turns = 0;
    while shop.app.store.bulk((), schedule::release_some).await.expect("a piece") {
        turns += 1;
        let left = shop.call("GET", "/messages?status=scheduled").send().await.expect(200);
        assert!(left["totalCount"].as_i64() < Some(150 - turns * 100 + 100), "{turns}");
    }
    assert_eq!(turns, 2, "up to 128 messages a unit");
    shop.app.settle().await;
    assert_eq!(shop.paid().await.0, 150 * PRICE.0);
    shop.is_free().await;
}

#[tokio::test]
async fn two_sweeps_and_a_dead_process_send_it_once() {
    let shop = Shop::new().await;
    let mut ids = Vec::new();
    for number in 0..20 {
        let made = shop.schedule(&shop.later(&json!([31_655_500_000_i64 + number]), HOUR)).await;
        ids.push(id(&made).to_owned());
    }
    shop.app.clock.advance(Duration::from_hours(2));
    let (one, two) = tokio::join!(sweep::turn(&shop.app.store, true), sweep::turn(&shop.app.store, true));
    one.and(two).expect("both sweeps work");
    // A process takes them over to the carrier and dies before it hears anything.
    shop.app.abandon().await;
    shop.app.settle().await;
    shop.app.pass(Duration::from_mins(1)).await;
    for id in &ids {
        assert_eq!(shop.state(id).await.0, "delivered");
    }
    assert_eq!(shop.paid().await.0, 20 * PRICE.0);
    let told = shop.told();
    assert_eq!(told.iter().filter(|status| *status == "delivered").count(), 20);
    shop.is_free().await;
}

#[tokio::test]
async fn a_scheduled_text_is_kept_until_its_hour() {
    let shop = Shop::new().await;
    shop.set(MessagingSetting::RetentionDays(Some(1))).await;
    let made = shop.schedule(&shop.later(&json!([31_655_500_011_i64]), "2024-03-09T09:30:00Z")).await;
    let plain = shop.send(&json!([31_655_500_012_i64])).await;
    shop.app.pass(Duration::from_hours(72)).await;
    assert_eq!(
        (&shop.view(&plain).await["body"], &shop.view(id(&made)).await["body"]),
        (&json!(""), &made["body"])
    );
    shop.app.pass(Duration::from_hours(24 + 2)).await;
    assert_eq!(shop.state(id(&made)).await.0, "delivered");
    assert_eq!(shop.view(id(&made)).await["body"], made["body"]);
    shop.app.pass(Duration::from_hours(26)).await;
    assert_eq!(shop.view(id(&made)).await["body"], "");
}

#[tokio::test]
async fn a_test_key_schedules_nothing() {
    let app = TestApp::new().await;
    let partner = app.partner("Acme").await;
    let body =
        json!({"originator": "Bakery", "recipients": "31655500011", "body": "Hi", "scheduledDatetime": HOUR});
    let made = app.request("POST", "/messages").key(test(&partner)).json(&body).send().await.expect(201);
    assert_eq!(
        (&made["scheduledDatetime"], &made["recipients"]["items"][0]["status"]),
        (&json!(HOUR), &json!("scheduled"))
    );
    app.pass(Duration::from_hours(2)).await;
    let list = app.request("GET", "/messages").key(live(&partner)).send().await.expect(200);
    assert_eq!(list["totalCount"], 0);
}

/// The real server: killed before the hour, and two that run side by side at the hour.
#[tokio::test]
async fn a_server_that_was_killed_sends_it_after_its_next_start() {
    let home = Home::new().await;
    let account = child(&home, &partner(&home, "Acme"), "Corner Bakery");
    let number = account["id"].to_string();
    run(&home, &["credit", &number, "1"]).ok();
    run(&home, &["rate", "set", &number, "", "0.01"]).ok();
    let key = key_of(&account, "live").to_owned();
    let mut first = Server::start(&home);
    let in_seconds = |seconds: i64| {
        rookery::core::Timestamp(store::Clock::system().now_us() + seconds * 1_000_000).rfc3339_offset()
    };
    let send = |server: &Server, hour: String| {
        let body = json!({"originator": "Bakery", "recipients": "31655500011", "body": "Hi", "scheduledDatetime": hour});
        let answer = Client::new(server.address()).post("/messages", &key, &body.to_string());
        assert_eq!(answer.status, 201, "{}", answer.json());
        answer.json()["id"].as_str().expect("an id").to_owned()
    };
    let ids = [send(&first, in_seconds(2)), send(&first, in_seconds(3)), send(&first, in_seconds(3_600))];
    first.kill();
    let (second, third) = (Server::start(&home), Server::start(&home));
    let state = |server: &Server, id: &str| {
        let seen = Client::new(server.address()).get(&format!("/messages/{id}"), &key).json();
        seen["recipients"]["items"][0]["status"].as_str().expect("a status").to_owned()
    };
    let begun = Instant::now();
    while ids[..2].iter().any(|id| state(&second, id) != "delivered") {
        assert!(begun.elapsed() < Duration::from_secs(20), "not sent: {}", second.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(state(&third, &ids[2]), "scheduled");
    let balance = Client::new(third.address()).get("/balance", &key).json();
    assert_eq!(balance["amount"], json!(0.97), "two paid once, one held");
}
