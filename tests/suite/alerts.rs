//! Alerts: that crossing a threshold is told once, signed, to whom it belongs, and what a cap says that refuses.

use crate::platform::Another;
use crate::platform_money::{price, send, top_up};
use crate::platform_webhooks::received;
use crate::support::customer::Customer;
use crate::support::esme::{Line, text};
use crate::support::http::{Client, Reply};
use crate::support::live;
use crate::support::platform::{Levels, code, fields};
use futures_util::future::join_all;
use serde_json::{Value, json};
use smpp::session::BindKind;
use smpp::status::Status;
use std::time::Duration;

async fn set(world: &Levels, key: &str, alert: Value) -> Value {
    world.post(&world.of_child("/alerts"), key, alert).await.expect(201)
}

async fn view(world: &Levels, alert: &Value) -> Value {
    let target = world.of_child(&format!("/alerts/{}", alert["id"].as_str().unwrap()));
    world.get(&target, &world.partner_key).await.expect(200)
}

async fn caps(world: &Levels, caps: Value) {
    world.call("PATCH", &world.of_child("/balance"), &world.partner_key, caps).await.expect(200);
}

/// What the customer was told, after all that is due was done.
async fn told(world: &Levels, customer: &Customer) -> Vec<Value> {
    world.app.settle().await;
    customer.calls().iter().map(crate::support::customer::Call::json).collect()
}

#[tokio::test]
async fn a_balance_is_told_of_once_until_it_has_recovered() {
    let world = Levels::new().await;
    let (customer, child) = (Customer::new().await, world.child.account.id);
    price(&world, child, 1_000_000).await;
    top_up(&world, child, "10").await;
    let alert = json!({"kind": "balance", "below": "8", "url": customer.url("/money?own=1")});
    let alert = set(&world, &world.child_key, alert).await;
    assert_eq!(
        (&alert["crossed"], &alert["below"], &alert["tells"]),
        (&json!(false), &json!("8.00"), &json!("account"))
    );
    assert_eq!((send(&world, 2).await, told(&world, &customer).await.len()), (201, 0), "8 is not below 8");
    assert_eq!(send(&world, 1).await, 201);
    world.app.settle().await;
    let calls = customer.calls();
    let (body, seen) = (calls[0].json(), view(&world, &alert).await);
    assert_eq!((calls.len(), calls[0].method.as_str(), &seen["crossed"]), (1, "POST", &json!(true)));
    let wanted = json!({"type": "alert.crossed", "id": body["id"], "alert": alert["id"], "account": child.0,
        "at": seen["crossedAt"], "kind": "balance", "currency": "EUR", "below": "8.00", "available": "7.00"});
    assert_eq!(body, wanted);
    // Signed with the account's key, as its webhooks are.
    let at: i64 = calls[0].header("messagebird-request-timestamp").unwrap().parse().unwrap();
    let mut seen = received(&customer, &calls[0], at);
    seen["body"] = calls[0].text().into();
    let verified = world.post(&world.of_child("/webhooks/verify"), &world.child_key, seen).await.expect(200);
    assert_eq!(verified["valid"], true, "{verified}");

    assert_eq!(
        (send(&world, 2).await, told(&world, &customer).await.len()),
        (201, 0),
        "5 is below 8 already"
    );
    top_up(&world, child, "3").await;
    assert_eq!(
        (&view(&world, &alert).await["crossed"], told(&world, &customer).await.len()),
        (&json!(false), 0)
    );
    assert_eq!(send(&world, 1).await, 201);
    assert_eq!(told(&world, &customer).await[0]["available"], "7.00");
    // What is given back by a carrier that refuses counts as well.
    top_up(&world, child, "1").await;
    let body = json!({"originator": "Bakery", "recipients": [99_900_301_000_i64], "body": "Hello"});
    let sent = world.app.request("POST", "/messages").key(live(&world.child)).json(&body).send().await;
    sent.expect(201);
    assert_eq!(told(&world, &customer).await.len(), 1);
    assert_eq!(view(&world, &alert).await["crossed"], false);
}

#[tokio::test]
async fn shares_of_caps_are_told_once_a_period_whatever_the_number_of_processes() {
    let world = Levels::new().await;
    let (customer, child) = (Customer::new().await, world.child.account.id);
    price(&world, child, 1_000_000).await;
    top_up(&world, child, "1000").await;
    caps(&world, json!({"dayCap": "20", "monthCap": "30"})).await;
    for (kind, percent) in [("dayCap", 80), ("dayCap", 100), ("monthCap", 50), ("monthCap", 90)] {
        let alert = json!({"kind": kind, "percent": percent, "url": customer.url("/money")});
        set(&world, &world.partner_key, alert).await;
    }
    let another = Another::beside(&world.app);
    let body =
        json!({"originator": "Bakery", "recipients": [31_612_345_678_i64], "body": "Hello"}).to_string();
    let sent = join_all((0..48).map(|number| {
        let service = if number % 2 == 0 { &world.app.service } else { another.service() };
        let request = axum::http::Request::post("/messages")
            .header("authorization", format!("AccessKey {}", live(&world.child)))
            .header("content-type", "application/json");
        crate::exact::send(service, request, body.clone())
    }))
    .await;
    assert_eq!(sent.iter().filter(|answer| answer.status == 201).count(), 20);
    let mut crossed: Vec<(String, i64, String, String)> = told(&world, &customer)
        .await
        .iter()
        .map(|body| {
            let text = |name: &str| body[name].as_str().unwrap().to_owned();
            (text("kind"), body["percent"].as_i64().unwrap(), text("spent"), text("until"))
        })
        .collect();
    crossed.sort();
    let crossing = |kind: &str, percent, spent: &str, until: &str| {
        (kind.to_owned(), percent, spent.to_owned(), until.to_owned())
    };
    let (day, month) = ("2024-03-06T00:00:00Z", "2024-04-01T00:00:00Z");
    assert_eq!(
        crossed,
        [
            crossing("dayCap", 80, "16.00", day),
            crossing("dayCap", 100, "20.00", day),
            crossing("monthCap", 50, "15.00", month),
        ]
    );
    world.app.pass(Duration::from_hours(24)).await;
    assert_eq!((send(&world, 6).await, told(&world, &customer).await.len()), (201, 0));
    // The month's cap leaves four more.
    assert_eq!(send(&world, 4).await, 201);
    let told_now = told(&world, &customer).await;
    assert_eq!(
        (told_now.len(), &told_now[0]["kind"], &told_now[0]["percent"]),
        (1, &json!("monthCap"), &json!(90))
    );
    caps(&world, json!({"monthCap": null})).await;
    assert_eq!(send(&world, 6).await, 201);
    let told_now = told(&world, &customer).await;
    assert_eq!((told_now.len(), &told_now[0]["percent"]), (1, &json!(80)), "a new day");
}

#[tokio::test]
async fn a_cap_that_refuses_is_an_error_of_its_own_and_reached() {
    let world = Levels::new().await;
    let (customer, child) = (Customer::new().await, world.child.account.id);
    price(&world, child, 3_000_000).await;
    top_up(&world, child, "11").await;
    caps(&world, json!({"dayCap": "10", "monthCap": "100"})).await;
    let alert = json!({"kind": "dayCap", "percent": 100, "url": customer.url("/money")});
    set(&world, &world.partner_key, alert).await;
    assert_eq!((send(&world, 3).await, told(&world, &customer).await.len()), (201, 0));
    let body = json!({"originator": "Bakery", "recipients": [31_612_345_678_i64], "body": "Hello"});
    let refuse = async || {
        let call = world.app.request("POST", "/messages").key(live(&world.child)).json(&body);
        call.send().await.expect(422)["errors"][0].clone()
    };
    let lacking = json!({"code": 25, "description": "Not enough balance", "parameter": null});
    assert_eq!(refuse().await, lacking, "2 are left, and a message costs 3");
    assert_eq!(told(&world, &customer).await.len(), 0);
    top_up(&world, child, "5").await;
    let words =
        "Not enough balance (the spending cap of 10.00 EUR a day is reached until 2024-03-06T00:00:00Z)";
    let capped = json!({"code": 25, "description": words, "parameter": null});
    assert_eq!((refuse().await, refuse().await), (capped.clone(), capped));
    let told_now = told(&world, &customer).await;
    assert_eq!(
        (told_now.len(), &told_now[0]["spent"], &told_now[0]["cap"]),
        (1, &json!("9.00"), &json!("10.00"))
    );
    // Of two caps the one that counts longer is named.
    caps(&world, json!({"monthCap": "9"})).await;
    let words =
        "Not enough balance (the spending cap of 9.00 EUR a month is reached until 2024-04-01T00:00:00Z)";
    assert_eq!(refuse().await["description"], words);
    world.app.settle().await;
}

#[tokio::test]
async fn who_is_told_sees_and_changes_an_alert() {
    let world = Levels::new().await;
    let (partners, childs) = (Customer::new().await, Customer::new().await);
    top_up(&world, world.child.account.id, "5").await;
    let path = world.of_child("/alerts");
    // What is crossed already is told at once.
    let alert = json!({"kind": "balance", "below": "6", "url": partners.url("/p")});
    let partners_own = set(&world, &world.partner_key, alert).await;
    assert_eq!((&partners_own["tells"], &partners_own["crossed"]), (&json!("partner"), &json!(true)));
    let alert = json!({"kind": "balance", "below": "-1.5", "url": childs.url("/c"), "tells": "account"});
    let childs_own = set(&world, &world.operator, alert).await;
    assert_eq!((told(&world, &partners).await.len(), childs.calls().len()), (1, 0));
    let of = async |key: &str| world.get(&path, key).await.expect(200)["items"].as_array().unwrap().len();
    assert_eq!((of(&world.partner_key).await, of(&world.child_key).await), (2, 1));
    let foreign = format!("{path}/{}", partners_own["id"].as_str().unwrap());
    assert_eq!(code(&world.get(&foreign, &world.child_key).await), (404, "not_found".into()));
    assert_eq!(world.call("DELETE", &foreign, &world.child_key, Value::Null).await.status, 404);
    let own = format!("{path}/{}", childs_own["id"].as_str().unwrap());
    let changed = world.call("PATCH", &own, &world.child_key, json!({"below": "5.01"})).await.expect(200);
    assert_eq!((&changed["below"], &changed["crossed"]), (&json!("5.01"), &json!(true)));
    assert_eq!(told(&world, &childs).await.len(), 1);
    world.call("PATCH", &own, &world.child_key, json!({"url": childs.url("/d")})).await.expect(200);
    assert_eq!(told(&world, &childs).await.len(), 0, "where it is told is no other threshold");
    for _ in 2..20 {
        let alert = json!({"kind": "monthCap", "percent": 7, "url": childs.url("/c")});
        set(&world, &world.child_key, alert).await;
    }
    let full = json!({"kind": "monthCap", "percent": 8, "url": childs.url("/c")});
    assert_eq!(
        fields(&world.post(&path, &world.child_key, full).await),
        [("alerts".into(), "too_many".into())]
    );
    assert_eq!(world.call("DELETE", &own, &world.partner_key, Value::Null).await.status, 204);
    assert_eq!(world.get(&own, &world.child_key).await.status, 404);
    for (body, wanted) in [
        (json!({}), vec![("kind", "required"), ("url", "required")]),
        (json!({"kind": "balance", "url": "soap"}), vec![("below", "required"), ("url", "not_url")]),
        (
            json!({"kind": "dayCap", "percent": 101, "url": "http://a.example"}),
            vec![("percent", "out_of_range")],
        ),
        (
            json!({"kind": "dayCap", "percent": 9, "below": "1", "url": "http://a.example"}),
            vec![("below", "invalid")],
        ),
        (
            json!({"kind": "balance", "below": "1", "url": "http://a.example", "tells": "partner"}),
            vec![("tells", "not_allowed")],
        ),
    ] {
        let refused = world.post(&path, &world.child_key, body).await;
        let wanted: Vec<(String, String)> =
            wanted.iter().map(|(field, code)| ((*field).to_owned(), (*code).to_owned())).collect();
        assert_eq!((code(&refused).0, fields(&refused)), (422, wanted));
    }
    // What a deleted account has left goes to its partner, and nobody is told.
    let gone = world.of_child("?graceDays=0");
    world.call("DELETE", &gone, &world.partner_key, Value::Null).await;
    assert_eq!((told(&world, &partners).await.len(), childs.calls().len()), (0, 0));
}

/// What the operator asks of the platform's own API about a line's account.
pub fn operator_of(line: &Line) -> impl Fn(&str, &str, &Value) -> Reply {
    let key = line.run(&["operator-key", "create", "first", "--json"]).json();
    let operator = format!("Bearer {}", key["key"].as_str().expect("a key"));
    let (address, account) = (line.server.address(), line.id());
    move |method, below, body| {
        let (body, mut client) = (body.to_string(), Client::new(address));
        let length = body.len();
        let head = format!("{method} /platform/v1/accounts/{account}{below} HTTP/1.1\r\nHost: localhost");
        let kind = format!("Content-Type: application/json\r\nContent-Length: {length}");
        client.send(format!("{head}\r\nAuthorization: {operator}\r\n{kind}\r\n\r\n{body}").as_bytes());
        client.read()
    }
}

#[tokio::test]
async fn an_smpp_client_is_told_that_a_cap_is_reached() {
    let line = Line::new().await;
    let call = operator_of(&line);
    assert_eq!(call("PATCH", "/balance", &json!({"dayCap": "0.10"})).status, 200);
    let alert = json!({"kind": "dayCap", "percent": 100, "url": "https://hooks.example/money"});
    assert_eq!(call("POST", "/alerts", &alert).status, 201);
    let crossed = || call("GET", "/alerts", &Value::Null).json()["items"][0]["crossed"].clone();
    let mut esme = line.bound(BindKind::Transceiver);
    assert!(esme.send(&text("31655500011", "Hi")).is_ok());
    assert_eq!(crossed(), false);
    assert_eq!(esme.send(&text("31655500011", "Hi")), Err(Status(0x0401)));
    assert_eq!(crossed(), true);
    esme.unbind();
    line.check().await;
}
