//! Webhooks by the platform's own API: a test, the log, sending again, endpoints that fail, and a look at signatures.

use crate::support::customer::{Call, Customer, SAID};
use crate::support::platform::{Levels, code, fields};
use rookery::core::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;

async fn test(world: &Levels, url: &str) -> String {
    let made = world
        .post(&world.of_child("/webhooks/test"), &world.child_key, json!({"url": url}))
        .await
        .expect(201);
    world.app.settle().await;
    made["id"].as_str().unwrap().to_owned()
}

pub fn received(customer: &Customer, call: &Call, at: i64) -> Value {
    json!({
        "url": customer.url(&call.target),
        "token": call.header("messagebird-signature-jwt").unwrap(),
        "signature": call.header("messagebird-signature").unwrap(),
        "timestamp": call.header("messagebird-request-timestamp").unwrap(),
        "receivedAt": Timestamp(at * 1_000_000).rfc3339_utc(),
    })
}

#[tokio::test]
async fn a_test_is_sent_signed_logged_and_sent_again() {
    let world = Levels::new().await;
    let customer = Customer::new().await;
    customer.answer([503]);
    let id = test(&world, &customer.url("/hook?own=s3cret")).await;
    let target = world.of_child(&format!("/webhooks/log/{id}"));
    let waiting = world.get(&target, &world.child_key).await.expect(200);
    assert_eq!(
        (&waiting["callback"]["state"], &waiting["callback"]["attempts"][0]["status"]),
        (&json!("waiting"), &json!(503))
    );
    assert_eq!(waiting["callback"]["attempts"][0]["answer"], SAID);
    world.app.pass(Duration::from_secs(5)).await;
    let told = world.get(&target, &world.partner_key).await.expect(200);
    assert_eq!(
        (&told["callback"]["state"], &told["callback"]["nextTryAt"]),
        (&json!("delivered"), &Value::Null)
    );
    assert!(!told.to_string().contains("s3cret"), "the customer's own parameters are hidden: {told}");
    assert!(told["request"]["url"].as_str().unwrap().contains("reference=test"), "{told}");
    let first = customer.calls();
    assert_eq!((&told["request"]["method"], first.len()), (&json!("GET"), 2));

    let again = world.post(&format!("{target}/replay"), &world.child_key, Value::Null).await.expect(200);
    assert_eq!(again["count"], 1);
    world.app.settle().await;
    let calls = customer.calls();
    assert_eq!((calls.len(), &calls[0].target), (1, &first[1].target));
    assert_ne!(calls[0].header("messagebird-signature-jwt"), first[1].header("messagebird-signature-jwt"));

    let all = world.get(&world.of_child("/webhooks/log"), &world.child_key).await.expect(200);
    assert_eq!(
        (all["items"][0]["id"].as_str().unwrap(), all["items"].as_array().unwrap().len()),
        (id.as_str(), 1)
    );
    let body = json!({"from": "2024-01-01T00:00:00Z", "failedOnly": true});
    let none = world.post(&world.of_child("/webhooks/replay"), &world.child_key, body).await.expect(200);
    assert_eq!((&none["count"], &none["next"]), (&json!(0), &Value::Null));
    let body = json!({"from": "2024-01-01T00:00:00Z"});
    let one = world.post(&world.of_child("/webhooks/replay"), &world.child_key, body).await.expect(200);
    assert_eq!(one["count"], 1);
    world.app.settle().await;
    assert_eq!(customer.calls().len(), 1);
    for bad in [json!({"url": "soap"}), json!({"url": ""}), json!({})] {
        let refused = world.post(&world.of_child("/webhooks/test"), &world.child_key, bad).await;
        assert_eq!((code(&refused).0, fields(&refused)[0].0.as_str()), (422, "url"));
    }
    let foreign = format!("/accounts/me/webhooks/log/{id}");
    assert_eq!(code(&world.get(&foreign, &world.partner_key).await), (404, "not_found".into()));
    world.app.settle().await;
}

#[tokio::test]
async fn pages_of_the_log_follow_each_other() {
    let world = Levels::new().await;
    let customer = Customer::new().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.insert(0, test(&world, &customer.url("/hook")).await);
    }
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = world
            .get(&world.of_child(&format!("/webhooks/log?limit=2{after}")), &world.child_key)
            .await
            .expect(200);
        seen.extend(
            page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(seen, ids);
    world.app.settle().await;
}

#[tokio::test]
async fn a_failing_endpoint_is_listed_and_resumed() {
    let world = Levels::new().await;
    let customer = Customer::new().await;
    customer.answer([500]);
    let list = world.of_child("/webhooks/endpoints");
    assert_eq!(world.get(&list, &world.child_key).await.expect(200)["items"], json!([]));
    test(&world, &customer.url("/hook")).await;
    let failing = world.get(&list, &world.child_key).await.expect(200)["items"][0].clone();
    assert_eq!(
        (&failing["failures"], &failing["waiting"], &failing["pausedSince"]),
        (&json!(1), &json!(1), &Value::Null)
    );
    let origin = json!({"origin": failing["origin"]});
    let resume = format!("{list}/resume");
    world.post(&resume, &world.child_key, origin.clone()).await.expect(200);
    assert_eq!(world.get(&list, &world.child_key).await.expect(200)["items"], json!([]));
    assert_eq!(code(&world.post(&resume, &world.child_key, origin).await), (404, "not_found".into()));
    world.app.settle().await;
}

#[tokio::test]
async fn the_debugger_names_the_claim_that_does_not_hold() {
    let world = Levels::new().await;
    let customer = Customer::new().await;
    test(&world, &customer.url("/hook?b=2&a=1")).await;
    let call = customer.calls().remove(0);
    let at: i64 = call.header("messagebird-request-timestamp").unwrap().parse().unwrap();
    let verify = world.of_child("/webhooks/verify");
    let ask = async |body: Value| {
        let answer = world.post(&verify, &world.child_key, body).await.expect(200);
        let checks = answer["checks"].as_array().unwrap().clone();
        let failing = checks.iter().filter(|check| check["holds"] == false);
        let failing: Vec<String> = failing.map(|check| check["claim"].as_str().unwrap().to_owned()).collect();
        assert_eq!(answer["valid"], failing.is_empty());
        (failing, checks)
    };
    let whole = received(&customer, &call, at);
    let (failing, checks) = ask(whole.clone()).await;
    assert_eq!((failing, checks.len()), (Vec::<String>::new(), 8));
    for (change, value, wanted) in [
        ("url", json!(customer.url("/hook?a=1")), vec!["url_hash", "legacy_signature"]),
        ("body", json!("x"), vec!["payload_hash", "legacy_signature"]),
        ("receivedAt", json!(Timestamp((at + 600) * 1_000_000).rfc3339_utc()), vec!["exp"]),
        ("receivedAt", json!(Timestamp((at - 600) * 1_000_000).rfc3339_utc()), vec!["nbf"]),
        ("token", json!("soap"), vec!["form"]),
    ] {
        let mut changed = whole.clone();
        changed[change] = value;
        assert_eq!(ask(changed).await.0, wanted, "{change}");
    }
    // Another account's key did not sign it.
    let other = world.post("/accounts/me/webhooks/verify", &world.partner_key, whole).await.expect(200);
    let failing = other["checks"].as_array().unwrap().iter().filter(|check| check["holds"] == false).count();
    assert_eq!((failing, other["valid"].clone()), (2, json!(false)));
    world.app.settle().await;
}
