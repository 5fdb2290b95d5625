//! Limits of a key beside those of its account, and that both hold for SMS, batches, SMPP and the messages of channels.

use crate::alerts::operator_of;
use crate::exact;
use crate::hub_chats::Chats;
use crate::platform::Another;
use crate::platform_limits::{DUTCH, GERMAN};
use crate::support::esme::{self, Line};
use crate::support::live;
use crate::support::platform::{Levels, code, fields, platform_key};
use crate::support::process::within_a_second;
use futures_util::future::join_all;
use rookery::core::money::Amount;
use rookery::core::rate;
use rookery::core::rights::Rights;
use rookery::core::usage::{self, Category, Rate};
use serde_json::{Value, json};
use smpp::session::BindKind;
use smpp::status::Status;
use std::time::Duration;

/// A live key of the child with these limits: its id and its text.
async fn key(world: &Levels, mut limits: Value) -> (String, String) {
    limits["mode"] = "live".into();
    let made = world.post(&world.of_child("/keys"), &world.child_key, limits).await.expect(201);
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("id"), text("key"))
}

async fn patch(world: &Levels, id: &str, limits: Value) -> Value {
    let target = world.of_child(&format!("/keys/{id}"));
    world.call("PATCH", &target, &world.child_key, limits).await.expect(200)
}

fn message(to: &[i64]) -> Value {
    json!({"originator": "Bakery", "recipients": to, "body": "Hello"})
}

async fn send(world: &Levels, key: &str, to: &[i64]) -> (u16, String) {
    // At the same moment as the one before.
    let request = exact::ask("POST", "/messages").header("content-type", "application/json");
    let request = request.header("authorization", format!("AccessKey {key}"));
    let answer = Box::pin(exact::send(&world.app.service, request, message(to).to_string())).await;
    (answer.status.as_u16(), answer.header("retry-after").to_owned())
}

#[tokio::test]
async fn a_key_has_limits_of_its_own() {
    let world = Levels::new().await;
    let limits = json!({"allowedCountries": ["nl"], "maxPrice": "0.05", "recipientsPerCountryAndDay": 3});
    let (id, text) = key(&world, limits).await;
    let seen = world.get(&world.of_child(&format!("/keys/{id}")), &world.child_key).await.expect(200);
    assert_eq!(
        (&seen["allowedCountries"], &seen["maxPrice"], &seen["recipientsPerCountryAndDay"]),
        (&json!(["NL"]), &json!("0.05"), &json!(3))
    );
    assert_eq!(seen["messagesPerSecond"], Value::Null);
    assert_eq!(
        (send(&world, &text, &[GERMAN]).await.0, send(&world, &text, &[DUTCH, DUTCH + 1]).await.0),
        (422, 201)
    );
    assert_eq!(send(&world, live(&world.child), &[GERMAN]).await.0, 201, "another key has no limits");
    let batch = json!({"messages": [message(&[DUTCH]), message(&[DUTCH + 1])]});
    let batch = world.app.request("POST", "/messages/batches").key(&text).json(&batch).send().await;
    assert_eq!(batch.status, 422, "one is left");
    assert_eq!((send(&world, &text, &[DUTCH]).await.0, send(&world, &text, &[DUTCH]).await.0), (201, 422));
    world.app.pass(Duration::from_hours(24)).await;
    assert_eq!(send(&world, &text, &[DUTCH]).await.0, 201);
    let account = world.child.account.id;
    let dear = rate::Set { account, prefix: "31".into(), amount: Amount(60_000), currency: None };
    world.app.store.write(dear, rate::set).await.unwrap();
    world.app.notice_changes().await;
    assert_eq!(send(&world, &text, &[DUTCH]).await.0, 422);
    let kept = patch(&world, &id, json!({"maxPrice": null})).await;
    assert_eq!((&kept["maxPrice"], &kept["allowedCountries"]), (&Value::Null, &json!(["NL"])));
    // There is no money for it, so the price is no longer what refuses.
    let call = world.app.request("POST", "/messages").key(&text).json(&message(&[DUTCH]));
    assert_eq!(call.send().await.codes(), [25]);
    let wrong = json!({"mode": "live", "messagesPerSecond": 0, "allowedCountries": ["NLD"]});
    let wrong = world.post(&world.of_child("/keys"), &world.child_key, wrong).await;
    let told = [("messagesPerSecond", "out_of_range"), ("allowedCountries", "invalid")];
    assert_eq!(fields(&wrong), told.map(|(field, code)| (field.to_owned(), code.to_owned())));
    world.app.settle().await;
}

#[tokio::test]
async fn a_key_and_its_successor_share_a_limit_in_all_processes() {
    let world = Levels::new().await;
    let (id, old) = key(&world, json!({"messagesPerSecond": 4})).await;
    let rotate = world.of_child(&format!("/keys/{id}/rotate"));
    let new = world.post(&rotate, &world.child_key, json!({"overlapSeconds": 600})).await.expect(201);
    let new = new["key"].as_str().unwrap().to_owned();
    let another = Another::beside(&world.app);
    let sent = join_all((0..12).map(|number| {
        let service = if number % 2 == 0 { &world.app.service } else { another.service() };
        let key = if number % 3 == 0 { &old } else { &new };
        let request = axum::http::Request::post("/messages")
            .header("authorization", format!("AccessKey {key}"))
            .header("content-type", "application/json");
        exact::send(service, request, message(&[DUTCH]).to_string())
    }))
    .await;
    let with = |status: u16| sent.iter().filter(|answer| answer.status == status).count();
    assert_eq!((with(201), with(429)), (4, 8));
    assert_eq!(send(&world, &new, &[DUTCH]).await, (429, "1".into()));
    assert_eq!(send(&world, live(&world.child), &[DUTCH]).await.0, 201);
    patch(&world, &id, json!({"messagesPerSecond": null})).await;
    assert_eq!(send(&world, &new, &[DUTCH]).await.0, 201, "what is set for one holds for both");
    world.app.settle().await;
}

#[tokio::test]
async fn a_key_does_not_lift_its_own_limits() {
    let world = Levels::new().await;
    let me = world.get("/me", &world.child_key).await.expect(200);
    let target = world.of_child(&format!("/keys/{}", me["id"].as_str().unwrap()));
    for limit in
        [json!({"messagesPerSecond": 5}), json!({"maxPrice": null}), json!({"allowedCountries": null})]
    {
        let refused = world.call("PATCH", &target, &world.child_key, limit).await;
        assert_eq!(code(&refused), (403, "forbidden".into()));
    }
    world.app.settle().await;
}

#[tokio::test]
async fn the_messages_of_channels_are_under_the_limits_of_account_and_key() {
    let chats = Box::pin(Chats::new()).await;
    let app = &chats.hub.app;
    let (account, partner) = (chats.account().await, chats.hub.partner.account.id);
    let platform = platform_key(app, partner, Rights::ALL).await;
    let call = async |method: &str, below: &str, body: Value| {
        let path = format!("/accounts/{account}{below}");
        let answer = crate::support::platform::call(app, method, &path, &platform, body).await.expect(200);
        app.notice_changes().await;
        answer
    };
    let send = async |to: &str| {
        let body = json!({"messaging_product": "whatsapp", "to": to, "type": "text", "text": {"body": "Hi"}});
        let request = exact::ask("POST", "/messages").header("host", "waba-v2.acme.example");
        let request = request.header("d360-api-key", &chats.key).header("content-type", "application/json");
        let answer = Box::pin(exact::send(&app.service, request, body.to_string())).await;
        (answer.status.as_u16(), answer.header("retry-after").to_owned())
    };
    let (dutch, german) = ("31611112222", "4915112345678");
    let refused = (400, String::new());
    call("PATCH", "/limits", json!({"allowedCountries": ["NL"]})).await;
    assert_eq!((send(dutch).await.0, send(german).await), (200, refused.clone()));
    call("PATCH", "/limits", json!({"allowedCountries": null, "messagesPerSecond": 1})).await;
    assert_eq!((send(dutch).await.0, send(dutch).await), (200, (429, "1".to_owned())));
    call("PATCH", "/limits", json!({"messagesPerSecond": null})).await;

    let keys = call("GET", "/keys", Value::Null).await;
    let own = keys["items"].as_array().unwrap().iter().find(|key| key["mode"] == "channel").unwrap();
    let own = format!("/keys/{}", own["id"].as_str().unwrap());
    call("PATCH", &own, json!({"recipientsPerCountryAndDay": 1})).await;
    assert_eq!((send(dutch).await.0, send(dutch).await, send(german).await.0), (200, refused.clone(), 200));
    // A key that replaces it goes on where it has stopped.
    let made =
        chats.hub.call("POST", &format!("/channels/{}/api_keys", chats.channel)).send().await.expect(201);
    let next = Chats { key: made["api_key"].as_str().unwrap().to_owned(), ..chats };
    let body = json!({"messaging_product": "whatsapp", "to": dutch, "type": "text", "text": {"body": "Hi"}});
    assert_eq!(next.send(&body).await.status, 400);
    let rate = Rate { account, category: Category::Service, prefix: String::new(), amount: Amount(60_000) };
    next.hub.app.store.write(rate, usage::set_rate).await.unwrap();
    let price = async |most: &str| {
        let path = format!("/accounts/{account}/limits");
        let body = json!({"maxPrice": most});
        crate::support::platform::call(&next.hub.app, "PATCH", &path, &platform, body).await.expect(200);
        next.hub.app.notice_changes().await;
        let body = json!({"messaging_product": "whatsapp", "to": "32470123456", "type": "text", "text": {"body": "Hi"}});
        next.send(&body).await.status.as_u16()
    };
    assert_eq!(
        (price("0.05").await, price("0.06").await),
        (400, 402),
        "too dear, and then there is no balance"
    );
    next.hub.app.settle().await;
}

#[tokio::test]
async fn what_comes_by_smpp_counts_against_the_accounts_limits() {
    let line = Line::new().await;
    let call = operator_of(&line);
    let mut esme = line.bound(BindKind::Transceiver);
    assert!(esme.send(&esme::text("31655500011", "Hi")).is_ok());
    assert_eq!(call("PATCH", "/limits", &json!({"messagesPerSecond": 1})).status, 200);
    within_a_second(Err(Status::THROTTLED), || esme.send(&esme::text("31655500011", "Hi")));
    let countries = json!({"messagesPerSecond": null, "allowedCountries": ["BE"]});
    assert_eq!(call("PATCH", "/limits", &countries).status, 200);
    within_a_second(Err(Status::SUBMIT_FAILED), || esme.send(&esme::text("31655500011", "Hi")));
    esme.unbind();
    line.check().await;
}
