//! `Idempotency-Key`: on every POST the same request counts once, whatever it makes.

use crate::exact::{get, send};
use crate::home::{Home, status_and_codes};
use crate::support::{Answer, live, partner_api, test};
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
        _ if path.starts_with("/_waba-v2") => match path.rsplit('/').next()? {
            "messages" => {
                let body = |text: &str| json!({"to": "31655500011", "type": "text", "text": {"body": text}});
                (body("one"), body("two"))
            }
            "webhook" | "waba_webhook" => {
                (json!({"url": "https://a.example"}), json!({"url": "https://b.example"}))
            }
            "templates" => {
                let body = |name: &str| json!({"name": name, "category": "UTILITY", "language": "en", "components": []});
                (body("one"), body("two"))
            }
            "whatsapp_business_profile" => (json!({"about": "one"}), json!({"about": "two"})),
            "whatsapp_business_encryption" => {
                let body = |key: &str| json!({"business_public_key": format!("-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----")});
                (body("one"), body("two"))
            }
            "media" => (json!("one"), json!("two")),
            _ => return None,
        },
        _ => {
            let (_, below) = path.split_once("{partner_id}")?;
            return hub_bodies(below);
        }
    })
}

fn hub_bodies(below: &str) -> Option<(Value, Value)> {
    let template =
        |name: &str| json!({"name": name, "category": "UTILITY", "language": "en", "components": []});
    Some(match below {
        "/webhook_url" => {
            (json!({"webhook_url": "https://a.example"}), json!({"webhook_url": "https://b.example"}))
        }
        "/account_sharing/clients" => (
            json!({"name": "One", "email": "one@x.example"}),
            json!({"name": "Two", "email": "two@x.example"}),
        ),
        "/account_sharing/numbers" => (
            json!({"solution_id": "1", "waba_external_id": "11"}),
            json!({"solution_id": "1", "waba_external_id": "12"}),
        ),
        "/waba_accounts/{waba_account_id}/waba_templates" => (template("one"), template("two")),
        "/clients/{client_id}/channels/{channel_id}/control/cancellation_request" => {
            (json!({}), json!({"enabled": false}))
        }
        "/channels/{channel_id}/api_keys"
        | "/clients/{client_id}/channels/{channel_id}/control/reactivate" => (json!({}), json!({"other": 1})),
        _ => return None,
    })
}

async fn post(home: &Home, path: &str, key: &str, body: &Value) -> Answer {
    if path.starts_with("/_waba-v2") {
        let (_, channel, _) = shared(home).await;
        let (api_key, handle) = partner_api(&home.partner);
        let keys = format!("/api/v2/partners/{handle}/channels/{channel}/api_keys");
        // Each time another key of the same channel: what is kept belongs to the account.
        let made = home.app.request("POST", &keys).header("x-api-key", api_key).send().await.expect(201);
        let call = home.app.request("POST", path).header("idempotency-key", key);
        let call = call.header("d360-api-key", made["api_key"].as_str().unwrap());
        let sent = body.to_string();
        return if path.ends_with("/media") { call.body("image/png", sent) } else { call.json(body) }
            .send()
            .await;
    }
    if let Some((_, below)) = path.split_once("{partner_id}") {
        let (api_key, handle) = partner_api(&home.partner);
        let (client, channel, business) = shared(home).await;
        let below = below
            .replace("{client_id}", &client)
            .replace("{channel_id}", &channel)
            .replace("{waba_account_id}", &business);
        let call = home.app.request("POST", &format!("/api/v2/partners/{handle}{below}"));
        let mut body = body.clone();
        if below.ends_with("numbers") {
            body["client_id"] = client.into();
        }
        return call.header("x-api-key", api_key).header("idempotency-key", key).json(&body).send().await;
    }
    let owner = if path.contains("child-accounts") { &home.partner } else { &home.child };
    home.app.request("POST", path).key(live(owner)).header("idempotency-key", key).json(body).send().await
}

/// A client with a running channel and its business account; the same however often it is asked for.
async fn shared(home: &Home) -> (String, String, String) {
    let (api_key, handle) = partner_api(&home.partner);
    let call = async |method: &str, below: &str, body: Value| {
        let call = home.app.request(method, &format!("/api/v2/partners/{handle}{below}"));
        call.header("x-api-key", api_key).json(&body).send().await.json()
    };
    let body = json!({"name": "Shared", "email": "shared@x.example"});
    let client = call("POST", "/account_sharing/clients", body).await["id"].as_str().unwrap().to_owned();
    let body = json!({"client_id": client, "solution_id": "1", "waba_external_id": "1"});
    call("POST", "/account_sharing/numbers", body).await;
    home.app.settle().await;
    let filter = format!("/channels?sort=created_at&filters=%7B%22client_id%22:%22{client}%22%7D");
    let channel = call("GET", &filter, Value::Null).await["partner_channels"][0].clone();
    let text = |name: &str| channel[name].as_str().unwrap().to_owned();
    (client, text("id"), text("waba_account_id"))
}

#[tokio::test]
async fn every_post_counts_once_under_a_key() {
    let posts: BTreeSet<String> = Service::endpoints()
        .into_iter()
        // Nobody has signed in yet, so there is no account to keep an answer for.
        .filter(|endpoint| endpoint.method == "POST" && endpoint.surface != "token")
        .map(|endpoint| endpoint.path)
        .collect();
    assert!(posts.len() >= 5, "{posts:?}");
    for path in posts {
        let (body, other) = bodies(&path).unwrap_or_else(|| {
            panic!("{path}: what does it take? Add it to `bodies` in tests/suite/idempotency.rs.")
        });
        let home = Home::new().await;
        let first = post(&home, &path, "k-1", &body).await;
        let is_hub = path.contains("{partner_id}") || path.starts_with("/_waba-v2");
        assert!(first.status.is_success(), "{path}: {}", first.json());
        assert!(is_hub || first.status == 201);
        let again = post(&home, &path, "k-1", &body).await;
        assert_eq!((again.status, &again.body), (first.status, &first.body), "{path}");
        assert_eq!((first.header("idempotent-replayed"), again.header("idempotent-replayed")), ("", "true"));
        let mixed_up = post(&home, &path, "k-1", &other).await;
        assert_eq!(mixed_up.status, if is_hub { 400 } else { 422 }, "{path}");
        if is_hub {
            let second = post(&home, &path, "k-2", &other).await;
            assert!(second.status.is_success(), "{path}: {}", second.json());
            assert_eq!(second.header("idempotent-replayed"), "");
            home.app.settle().await;
            continue;
        }
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
