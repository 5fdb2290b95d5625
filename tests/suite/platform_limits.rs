//! Limits of an account by the platform's own API, and that they hold where messages are accepted.

use crate::exact;
use crate::platform::Another;
use crate::support::live;
use crate::support::platform::{Levels, code, fields};
use futures_util::future::join_all;
use rookery::core::money::Amount;
use rookery::core::rate;
use serde_json::{Value, json};
use std::time::Duration;

pub const DUTCH: i64 = 31_612_345_678;
pub const GERMAN: i64 = 4_915_112_345_678;

async fn set(world: &Levels, limits: Value) -> Value {
    let set = world.call("PATCH", &world.of_child("/limits"), &world.partner_key, limits).await.expect(200);
    world.app.notice_changes().await;
    set
}

async fn send(world: &Levels, to: &[i64]) -> (u16, String) {
    let body = json!({"originator": "Bakery", "recipients": to, "body": "Hello"}).to_string();
    let request = axum::http::Request::post("/messages")
        .header("authorization", format!("AccessKey {}", live(&world.child)))
        .header("content-type", "application/json");
    let answer = exact::send(&world.app.service, request, body).await;
    (answer.status.as_u16(), answer.header("retry-after").to_owned())
}

#[tokio::test]
async fn countries_and_prices_are_limited() {
    let world = Levels::new().await;
    let none = world.get(&world.of_child("/limits"), &world.child_key).await.expect(200);
    let (own, operators) = (none.as_object().unwrap(), none["operator"].as_object().unwrap());
    let values = own.iter().filter(|(name, _)| *name != "operator").chain(operators);
    assert!(values.map(|(_, value)| value).all(Value::is_null), "{none}");
    set(&world, json!({"allowedCountries": ["nl", "BE"]})).await;
    assert_eq!((send(&world, &[DUTCH]).await.0, send(&world, &[DUTCH, GERMAN]).await.0), (201, 422));
    let kept = set(&world, json!({"maxPrice": "0.05"})).await;
    assert_eq!((&kept["allowedCountries"], &kept["maxPrice"]), (&json!(["NL", "BE"]), &json!("0.05")));
    set(&world, json!({"allowedCountries": null})).await;
    assert_eq!(send(&world, &[GERMAN]).await.0, 201);
    let (account, prefix) = (world.child.account.id, "49".to_owned());
    let dear = rate::Set { account, prefix, amount: Amount(60_000), currency: None };
    world.app.store.write(dear, rate::set).await.unwrap();
    world.app.notice_changes().await;
    assert_eq!((send(&world, &[GERMAN]).await.0, send(&world, &[DUTCH]).await.0), (422, 201));
    world.app.settle().await;
}

#[tokio::test]
async fn recipients_in_a_country_are_counted_by_the_day() {
    let world = Levels::new().await;
    set(&world, json!({"recipientsPerCountryAndDay": 3})).await;
    let dutch: Vec<i64> = (0..4).map(|number| DUTCH + number).collect();
    assert_eq!(send(&world, &dutch).await.0, 422);
    assert_eq!((send(&world, &dutch[..2]).await.0, send(&world, &dutch[..2]).await.0), (201, 422));
    assert_eq!((send(&world, &dutch[..1]).await.0, send(&world, &dutch[..1]).await.0), (201, 422));
    assert_eq!(send(&world, &[GERMAN]).await.0, 201);
    world.app.pass(Duration::from_hours(24)).await;
    assert_eq!((send(&world, &dutch[..3]).await.0, send(&world, &dutch[..1]).await.0), (201, 422));
    world.app.settle().await;
}

#[tokio::test]
async fn messages_a_second_are_limited_for_all_processes_together() {
    let world = Levels::new().await;
    set(&world, json!({"messagesPerSecond": 4})).await;
    let another = Another::beside(&world.app);
    let body = json!({"originator": "Bakery", "recipients": [DUTCH], "body": "Hello"}).to_string();
    let sent = join_all((0..12).map(|number| {
        let service = if number % 2 == 0 { &world.app.service } else { another.service() };
        let request = axum::http::Request::post("/messages")
            .header("authorization", format!("AccessKey {}", live(&world.child)))
            .header("content-type", "application/json");
        exact::send(service, request, body.clone())
    }))
    .await;
    let with = |status: u16| sent.iter().filter(|answer| answer.status == status).count();
    assert_eq!((with(201), with(429)), (4, 8));
    assert_eq!(send(&world, &[DUTCH]).await, (429, "1".into()));
    world.app.clock.advance(Duration::from_millis(250));
    assert_eq!((send(&world, &[DUTCH]).await.0, send(&world, &[DUTCH]).await.0), (201, 429));
    // More than a second holds waits for an empty one and fills the following.
    world.app.clock.advance(Duration::from_secs(1));
    let many: Vec<i64> = (0..10).map(|number| DUTCH + number).collect();
    assert_eq!(send(&world, &many).await.0, 201);
    assert_eq!(send(&world, &[DUTCH]).await, (429, "2".into()));
    set(&world, json!({"messagesPerSecond": null})).await;
    assert_eq!(send(&world, &[DUTCH]).await.0, 201);
    world.app.settle().await;
}

#[tokio::test]
async fn requests_a_second_are_limited_over_all_keys_of_an_account() {
    let world = Levels::new().await;
    set(&world, json!({"requestsPerSecond": 3})).await;
    let ask = async |number: usize| {
        let key = world.child.keys[number % 2].text.reveal();
        let request = exact::get("/balance").header("authorization", format!("AccessKey {key}"));
        exact::send(&world.app.service, request, "").await
    };
    for number in 0..3 {
        assert_eq!(ask(number).await.status, 200);
    }
    let refused = ask(3).await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (429, "1"));
    let partner =
        exact::get("/balance").header("authorization", format!("AccessKey {}", live(&world.partner)));
    assert_eq!(exact::send(&world.app.service, partner, "").await.status, 200);
    world.app.settle().await;
}

#[tokio::test]
async fn nobody_sets_its_own_limits() {
    let world = Levels::new().await;
    for (target, key) in
        [(world.of_child("/limits"), &world.child_key), ("/accounts/me/limits".into(), &world.partner_key)]
    {
        let refused = world.call("PATCH", &target, key, json!({"maxPrice": null})).await;
        assert_eq!(code(&refused), (403, "forbidden".into()));
    }
    let wrong = json!({"requestsPerSecond": 0, "maxPrice": "-1", "allowedCountries": ["NLD"], "messagesPerSecond": "4"});
    let wrong = world.call("PATCH", &world.of_child("/limits"), &world.partner_key, wrong).await;
    let told = [
        ("requestsPerSecond", "out_of_range"),
        ("messagesPerSecond", "invalid"),
        ("maxPrice", "invalid"),
        ("allowedCountries", "invalid"),
    ];
    assert_eq!(fields(&wrong), told.map(|(field, code)| (field.to_owned(), code.to_owned())));
    world.app.settle().await;
}

#[tokio::test]
async fn a_partners_limits_hold_for_what_its_children_send() {
    let world = Levels::new().await;
    let path = format!("/accounts/{}/limits", world.partner.account.id);
    let limit = async |limits: Value| {
        world.call("PATCH", &path, &world.operator, limits).await.expect(200);
        world.app.notice_changes().await;
    };
    limit(json!({"allowedCountries": ["NL"]})).await;
    assert_eq!((send(&world, &[DUTCH]).await.0, send(&world, &[GERMAN]).await.0), (201, 422));
    // Nowhere is nowhere, numbers of no country included.
    limit(json!({"allowedCountries": []})).await;
    assert_eq!((send(&world, &[DUTCH]).await.0, send(&world, &[88_213_123_456_789]).await.0), (422, 422));
    limit(json!({"allowedCountries": null, "recipientsPerCountryAndDay": 2})).await;
    assert_eq!((send(&world, &[DUTCH, DUTCH + 1]).await.0, send(&world, &[DUTCH + 2]).await.0), (201, 422));
    // What a part costs the partner counts, whatever the child is asked for it.
    let account = world.partner.account.id;
    let dear = rate::Set { account, prefix: "49".to_owned(), amount: Amount(60_000), currency: None };
    world.app.store.write(dear, rate::set).await.unwrap();
    limit(json!({"recipientsPerCountryAndDay": null, "maxPrice": "0.05"})).await;
    assert_eq!((send(&world, &[GERMAN]).await.0, send(&world, &[DUTCH]).await.0), (422, 201));
}
