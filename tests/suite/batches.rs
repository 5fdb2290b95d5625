//! Batches (docs/spec/12-sms-batch.md): all messages or none, in the order of the request, and each on its own afterwards.

use crate::support::record::Record;
use crate::support::shop::{PRICE, Shop};
use crate::support::{TestApp, books, live, test};
use rookery::core::batch::MESSAGES_MAX;
use rookery::core::ledger::{self, Grant};
use rookery::core::money::Amount;
use rookery::wire::Options;
use serde_json::{Value, json};
use std::time::Duration;

fn one(to: &Value, body: &str) -> Value {
    json!({"originator": "FarmShop", "recipients": to, "body": body})
}

#[tokio::test]
async fn create() {
    let (shop, mut record) = (Shop::new().await, Record::new());
    let mut first = one(&json!(["31655500011"]), "Crate 1 is ready");
    first["reference"] = json!("c-1");
    first["reportUrl"] = json!(shop.customer.url("/dlr"));
    record.name("customer", shop.customer.url(""));
    let mut second = one(&json!(["4915550000222", "4915550000333"]), "Kiste 2 ist fertig");
    second["datacoding"] = json!("auto");
    let mut third = one(&json!("31655500012"), "Crate 3 comes later");
    third["scheduledDatetime"] = json!("2024-03-05T10:00:00Z");
    let messages =
        json!({"messages": [first, second, third, one(&json!("31655500011"), "Crate 1 is ready")]});
    let made = record
        .send("four messages", shop.call("POST", "/messages/batches").json(&messages))
        .await
        .expect(201);
    let made = made.as_array().expect("a bare array");
    assert_eq!(made.len(), 4);
    assert_eq!(shop.balance(&shop.sender).await.held.0, 5 * PRICE.0);
    for message in made {
        assert_eq!(
            shop.view(message["id"].as_str().unwrap()).await,
            *message,
            "each as if it were sent alone"
        );
    }
    shop.app.settle().await;
    let states = async || {
        let mut states = Vec::new();
        for message in made {
            states.push(shop.state(message["id"].as_str().unwrap()).await.0);
        }
        states
    };
    assert_eq!(states().await, ["delivered", "delivered", "scheduled", "delivered"]);
    assert_eq!(shop.told(), ["sent", "delivered"], "only one has a reference");
    let third = format!("/messages/{}", made[2]["id"].as_str().unwrap());
    assert_eq!(shop.call("DELETE", &third).send().await.status, 204);
    shop.app.pass(Duration::from_hours(3)).await;
    assert_eq!(shop.paid().await.0, 4 * PRICE.0);
    assert_eq!(shop.call("GET", "/messages").send().await.expect(200)["totalCount"], 3);
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn create_refused() {
    let (shop, mut record) = (Shop::new().await, Record::new());
    let good = one(&json!("31655500011"), "Hi");
    let many: Vec<i64> = (0..51).map(|number| 31_655_500_000 + number).collect();
    for (title, body, parameters) in [
        ("an empty object", json!({}), vec!["messages"]),
        ("no array", json!({"messages": "31655500011"}), vec!["messages"]),
        ("an empty array", json!({"messages": []}), vec!["messages"]),
        ("null", json!({"messages": null}), vec!["messages"]),
        ("too many", json!({"messages": vec![good.clone(); MESSAGES_MAX + 1]}), vec!["messages"]),
        (
            "an element that is no object",
            json!({"messages": [good, "Hi", 7]}),
            vec!["messages[1]", "messages[2]"],
        ),
        (
            "an empty element: recipients and originator",
            json!({"messages": [good, {}]}),
            vec!["messages[1].recipients", "messages[1].originator"],
        ),
        (
            "wrong in several places",
            json!({"messages": [one(&json!(many), "Hi"), good, {"originator": "ab", "recipients": "31655500011", "body": "Hi"},
                one(&json!("31655500011"), "")]}),
            vec!["messages[0].recipients", "messages[2].originator", "messages[3].body"],
        ),
        (
            "an unknown group",
            json!({"messages": [good, {"originator": "FarmShop", "groupIds": ["f".repeat(32)], "body": "Hi"}]}),
            vec!["messages[1].recipients"],
        ),
    ] {
        let refused = record.send(title, shop.call("POST", "/messages/batches").json(&body)).await;
        let errors = refused.expect(422)["errors"].clone();
        let shown: Vec<_> =
            errors.as_array().unwrap().iter().map(|error| error["parameter"].as_str().unwrap()).collect();
        assert_eq!(shown, parameters, "{title}");
    }
    let form =
        shop.call("POST", "/messages/batches").form("originator=FarmShop&recipients=31655500011&body=Hi");
    assert_eq!(record.send("JSON only", form).await.codes(), [9]);
    // 165 messages of a part each cost 10.065, the credit is 10.
    let dear = json!({"messages": vec![good.clone(); 165]});
    let refused = shop.call("POST", "/messages/batches").json(&dear).send().await;
    assert_eq!((refused.status.as_u16(), refused.codes()), (422, vec![25]), "all or none");
    for method in ["GET", "PUT", "PATCH", "DELETE"] {
        let refused = record.send("another verb", shop.call(method, "/messages/batches")).await;
        assert_eq!(refused.status, 405, "{method}");
    }
    assert_eq!(shop.call("GET", "/messages").send().await.expect(200)["totalCount"], 0, "nothing was made");
    assert_eq!(shop.balance(&shop.sender).await.held, Amount::ZERO);
    books::check(&shop.app.store).await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn a_large_batch_is_accepted_at_once_and_sent_in_pieces() {
    let shop = Shop::new().await;
    let grant = Grant { account: shop.sender.account.id, amount: Amount(1_000_000_000), currency: None };
    shop.app.store.write(grant, ledger::grant).await.expect("credit");
    let element = |number: usize| {
        let to: Vec<usize> =
            (0..if number.is_multiple_of(10) { 50 } else { 1 }).map(|at| 31_655_500_000 + at).collect();
        one(&json!(to), &format!("Message {number}"))
    };
    let messages: Vec<Value> = (0..MESSAGES_MAX).map(element).collect();
    let made =
        shop.call("POST", "/messages/batches").json(&json!({"messages": messages})).send().await.expect(201);
    let made = made.as_array().unwrap();
    let bodies: Vec<_> = made.iter().map(|message| message["body"].as_str().unwrap().to_owned()).collect();
    assert_eq!(bodies, (0..MESSAGES_MAX).map(|number| format!("Message {number}")).collect::<Vec<_>>());
    assert_eq!(shop.balance(&shop.sender).await.held.0, 1_180 * PRICE.0);
    books::check(&shop.app.store).await;
    shop.app.settle().await;
    assert_eq!(shop.balance(&shop.sender).await.held, Amount::ZERO);
    let list = shop.call("GET", "/messages?status=delivered&limit=1000").send().await.expect(200);
    assert_eq!(list["totalCount"], MESSAGES_MAX);
    for sent in made {
        let shown = shop.view(sent["id"].as_str().unwrap()).await;
        let (now, then) = (&shown["recipients"], &sent["recipients"]);
        assert_eq!((&shown["body"], &now["totalCount"]), (&sent["body"], &then["totalCount"]));
        assert_eq!(now["totalDeliveredCount"], then["totalCount"]);
    }
}

#[tokio::test]
async fn a_batch_has_no_more_recipients_than_a_message() {
    let app = TestApp::with(Options { rate_limits: false, recipients_max: 3, ..Options::default() }).await;
    let partner = app.partner("Acme").await;
    let two = one(&json!("31655500011,31655500012"), "Hi");
    let send = async |messages: Value| {
        let call =
            app.request("POST", "/messages/batches").key(live(&partner)).json(&json!({"messages": messages}));
        call.send().await
    };
    let refused = send(json!([two, two])).await;
    assert_eq!((refused.status.as_u16(), refused.codes()), (422, vec![10]));
    assert_eq!(refused.json()["errors"][0]["parameter"], "messages[1].recipients");
    send(json!([two])).await.expect(201);
    app.settle().await;
}

#[tokio::test]
async fn a_test_key_makes_nothing() {
    let shop = Shop::new().await;
    let key = test(&shop.sender);
    let body = json!({"messages": [one(&json!("31655500011"), "Hi"), one(&json!("31655500012"), "Hi")]});
    let made = shop.app.request("POST", "/messages/batches").key(key).json(&body).send().await.expect(201);
    assert_eq!(made[1]["recipients"]["items"][0]["price"]["amount"], 0);
    let target = format!("/messages/{}", made[0]["id"].as_str().unwrap());
    assert_eq!(shop.app.request("GET", &target).key(key).send().await.codes(), [20]);
    assert_eq!(shop.balance(&shop.sender).await.held, Amount::ZERO);
}
