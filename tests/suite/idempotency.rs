//! `Idempotency-Key`: on every POST the same request counts once, whatever it makes.

use crate::exact::{get, send};
use crate::home::{Home, status_and_codes};
use crate::support::{Answer, live, test};
use rookery::core::idempotency::{self, Claim};
use rookery::wire::Service;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use store::{Rx, sql};

/// What each POST takes. A new one that is not here fails the first test.
fn bodies(path: &str) -> Option<(Value, Value)> {
    Some(match path {
        "/contacts" => (json!({"msisdn": "31655500011"}), json!({"msisdn": "31655500012"})),
        "/groups" => (json!({"name": "Regulars"}), json!({"name": "Others"})),
        "/messages" => (
            json!({"originator": "Bakery", "recipients": "31655500011", "body": "secret words"}),
            json!({"originator": "Bakery", "recipients": "31655500011", "body": "other words"}),
        ),
        "/messages/batches" => (
            json!({"messages": [{"originator": "Bakery", "recipients": ["31655500011"], "body": "one"}]}),
            json!({"messages": [{"originator": "Bakery", "recipients": ["31655500011"], "body": "two"}]}),
        ),
        "/child-accounts" | "/v1/child-accounts" => (json!({"name": "One"}), json!({"name": "Two"})),
        _ => return None,
    })
}

async fn post(home: &Home, path: &str, key: &str, body: &Value) -> Answer {
    let owner = if path.contains("child-accounts") { &home.partner } else { &home.child };
    home.app.request("POST", path).key(live(owner)).header("idempotency-key", key).json(body).send().await
}

#[tokio::test]
async fn every_post_counts_once_under_a_key() {
    let posts: BTreeSet<String> = Service::endpoints()
        .into_iter()
        .filter(|endpoint| endpoint.method == "POST")
        .map(|endpoint| endpoint.path)
        .collect();
    assert!(posts.len() >= 5, "{posts:?}");
    for path in posts {
        let (body, other) = bodies(&path).unwrap_or_else(|| {
            panic!("{path}: what does it take? Add it to `bodies` in tests/suite/idempotency.rs.")
        });
        let home = Home::new().await;
        let first = post(&home, &path, "k-1", &body).await;
        first.expect(201);
        let again = post(&home, &path, "k-1", &body).await;
        assert_eq!((again.status, &again.body), (first.status, &first.body), "{path}");
        assert_eq!((first.header("idempotent-replayed"), again.header("idempotent-replayed")), ("", "true"));
        let mixed_up = post(&home, &path, "k-1", &other).await;
        assert_eq!(mixed_up.status, 422, "{path}");
        if !path.contains("child-accounts") {
            assert_eq!(
                (mixed_up.codes(), &mixed_up.json()["errors"][0]["parameter"]),
                (vec![10], &json!("Idempotency-Key"))
            );
        }
        let second = post(&home, &path, "k-2", &other).await;
        assert_ne!(second.expect(201), first.json(), "{path}: another key is another request");
        let made = |answer: &Answer| answer.json()["totalCount"].as_i64();
        if !path.contains("child-accounts") {
            let list = home.read(path.strip_suffix("/batches").unwrap_or(&path)).await;
            assert_eq!(made(&list), Some(2), "{path}");
        }
        home.app.settle().await;
    }
}

#[tokio::test]
async fn what_failed_may_be_tried_again_under_the_same_key() {
    let home = Home::new().await;
    let wrong = post(&home, "/contacts", "k", &json!({"msisdn": "x"})).await;
    assert_eq!(status_and_codes(&wrong), (422, vec![10]));
    let (body, _) = bodies("/contacts").unwrap();
    post(&home, "/contacts", "k", &body).await.expect(201);
    // A failure of the unit itself is not kept either.
    assert_eq!(post(&home, "/contacts", "k2", &body).await.codes(), [101]);
    post(&home, "/contacts", "k2", &json!({"msisdn": "31655500099"})).await.expect(201);
}

#[tokio::test]
async fn a_key_belongs_to_an_account_a_method_and_a_path() {
    let home = Home::new().await;
    let sibling = home.app.child(home.partner.account.id, "Sibling").await;
    let (body, _) = bodies("/groups").unwrap();
    let first = post(&home, "/groups", "k", &body).await.expect(201);
    let theirs =
        home.app.request("POST", "/groups").key(live(&sibling)).header("idempotency-key", "k").json(&body);
    assert_ne!(theirs.send().await.expect(201)["id"], first["id"]);
    let (contact, _) = bodies("/contacts").unwrap();
    post(&home, "/contacts", "k", &contact).await.expect(201);
    // A test key's requests are not kept: nothing of them is.
    let (message, _) = bodies("/messages").unwrap();
    let tested = async || {
        let call =
            home.app.request("POST", "/messages").key(test(&home.child)).header("idempotency-key", "t");
        call.json(&message).send().await.expect(201)["id"].clone()
    };
    assert_ne!(tested().await, tested().await);
    // Other methods take no notice of it.
    let call = home.app.request("GET", "/groups").key(home.key()).header("idempotency-key", "k");
    call.send().await.expect(200);
}

#[tokio::test]
async fn a_key_is_kept_for_a_day() {
    let home = Home::new().await;
    let (body, other) = bodies("/groups").unwrap();
    post(&home, "/groups", "k", &body).await.expect(201);
    home.app.pass(Duration::from_mins(24 * 60 - 1)).await;
    assert_eq!(post(&home, "/groups", "k", &other).await.codes(), [10]);
    home.app.clock.advance(Duration::from_mins(2));
    post(&home, "/groups", "k", &other).await.expect(201);
    home.app.pass(Duration::from_hours(25)).await;
    let left: rookery::core::Result<i64> = home
        .app
        .store
        .read((), async |rx: &mut Rx, (): &()| {
            Ok(rx.one(sql!("SELECT CAST(count(*) AS BIGINT) FROM idempotency"), &[]).await?)
        })
        .await;
    assert_eq!(left.unwrap(), 0, "old keys are forgotten");
}

#[tokio::test]
async fn bad_keys_are_refused() {
    let home = Home::new().await;
    let (body, _) = bodies("/groups").unwrap();
    for key in ["", " ", &"x".repeat(256)] {
        assert_eq!(status_and_codes(&post(&home, "/groups", key, &body).await), (422, vec![10]), "{key:?}");
    }
    post(&home, "/groups", &"x".repeat(255), &body).await.expect(201);
}

#[tokio::test]
async fn the_same_request_at_the_same_time_is_told_to_come_again() {
    let home = Home::new().await;
    let (body, _) = bodies("/messages").unwrap();
    let ask = async || {
        let request = get("/messages").method("POST").header("authorization", home.authorization());
        let request = request.header("idempotency-key", "k").header("content-type", "application/json");
        send(&home.app.service, request, body.to_string()).await
    };
    let (first, second) = tokio::join!(ask(), ask());
    // Which of the two comes first is nobody's promise.
    let (first, second) = if first.status == 201 { (first, second) } else { (second, first) };
    first.expect(201);
    assert_eq!((status_and_codes(&second), second.header("retry-after")), ((429, vec![21]), "1"));
    assert_eq!(ask().await.expect(201), first.json(), "and then it gets the answer");
    home.app.settle().await;
}

#[tokio::test]
async fn kept_answers_are_sealed() {
    let home = Home::new().await;
    let (body, _) = bodies("/messages").unwrap();
    post(&home, "/messages", "k", &body).await.expect(201);
    let kept: rookery::core::Result<Vec<u8>> = home
        .app
        .store
        .read((), async |rx: &mut Rx, (): &()| {
            Ok(rx.one(sql!("SELECT answer FROM idempotency"), &[]).await?)
        })
        .await;
    let kept = kept.unwrap();
    assert!(kept.len() > 100 && !kept.windows(6).any(|window| window == b"secret"));
    // Copied to another account's row it does not open: the place is part of the seal.
    let claim = Claim::new(home.partner.account.scope(), "POST", "/messages", "k", &[]);
    let earlier = home.app.store.read((claim, home.app.vault.clone()), idempotency::earlier).await;
    assert_eq!(earlier.unwrap(), None);
}
