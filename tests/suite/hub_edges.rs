//! The edges of the hub: what is deleted, cancelled, taken or repeated at the wrong moment, and what is forgotten.

use crate::hub::{Hub, WABA, text};
use crate::hub_chats::Chats;
use crate::support::customer::Customer;
use crate::support::{TestApp, live, partner_api};
use rookery::core::account::{self, Setting};
use rookery::core::lease::Holder;
use rookery::core::terms::MessagingSetting;
use rookery::core::transport::SIMULATED;
use rookery::core::{Error, Result, chat, template};
use rookery::run::grow;
use rookery::run::post::Post;
use rookery::wire::EVENTS;
use serde_json::{Value, json};
use std::time::Duration;
use store::{Rx, Tx, sql};

/// A number that the database answers.
async fn number(app: &TestApp, sql: &'static store::Sql) -> i64 {
    let read = async move |rx: &mut Rx, (): &()| Ok::<i64, Error>(rx.one(sql, &[]).await?);
    app.store.read((), read).await.expect("a number")
}

#[tokio::test]
async fn a_client_that_is_deleted_right_after_sharing_holds_nobody_up() {
    let hub = Hub::new().await;
    let client = hub.client("it@bakery.example").await;
    hub.share(&client, WABA).await.expect(200);
    let children = hub.app.request("GET", "/child-accounts").key(live(&hub.partner)).send().await.expect(200);
    let path = format!("/child-accounts/{}", children[0]["id"]);
    hub.app.request("DELETE", &path).key(live(&hub.partner)).send().await.expect(200);
    let other = hub.client("it@other.example").await;
    hub.share(&other, "702100000000012").await.expect(200);
    hub.app.settle().await;
    let all = hub.get("/channels").await;
    assert_eq!((&all["total"], &all["partner_channels"][0]["hub_status"]), (&json!(1), &json!("live")));
    let open = number(&hub.app, sql!("SELECT CAST(count(*) AS BIGINT) FROM sharing WHERE open")).await;
    assert_eq!(open, 0, "the request of the deleted one is closed");
}

#[tokio::test]
async fn a_channel_that_is_cancelled_before_it_is_live_ends_in_time() {
    let hub = Hub::new().await;
    let client = hub.client("it@bakery.example").await;
    hub.share(&client, WABA).await.expect(200);
    grow::turn(&hub.app.store, EVENTS).await.expect("channels go on");
    let channel = hub.get("/channels").await["partner_channels"][0].clone();
    assert_ne!(channel["hub_status"], "live");
    let id = text(&channel["id"]);
    let control = format!("/clients/{client}/channels/{id}/control/cancellation_request");
    hub.call("POST", &control).json(&json!({"enabled": true})).send().await.expect(200);
    hub.app.settle().await;
    let ended = async || hub.get(&format!("/channels/{id}")).await["terminated_at"].clone();
    hub.app.pass(Duration::from_hours(24 * 29)).await;
    assert_eq!(ended().await, Value::Null);
    hub.app.pass(Duration::from_hours(24 * 2)).await;
    assert!(ended().await.is_string());
}

#[tokio::test]
async fn a_client_has_no_more_channels_than_it_may() {
    let hub = Hub::new().await;
    let (client, channel) = hub.channel().await;
    let limit = async |max: i64| {
        let call = hub.call("PATCH", &format!("/clients/{client}")).json(&json!({"max_channels": max}));
        call.send().await.expect(200);
    };
    limit(2).await;
    hub.share(&client, "702100000000012").await.expect(200);
    hub.share(&client, "702100000000013").await.expect(403);
    hub.app.settle().await;
    assert_eq!(hub.get("/channels").await["total"], 2);
    let control = format!("/clients/{client}/channels/{channel}/control");
    let cancel = hub.call("POST", &format!("{control}/cancellation_request")).json(&json!({"enabled": true}));
    cancel.send().await.expect(200);
    hub.app.pass(Duration::from_hours(24 * 31)).await;
    limit(1).await;
    let reactivate = async || hub.call("POST", &format!("{control}/reactivate")).send().await;
    reactivate().await.expect(403);
    limit(2).await;
    reactivate().await.expect(200);
    hub.app.settle().await;
}

#[tokio::test]
async fn a_number_is_one_clients_in_the_whole_installation() {
    let hub = Hub::new().await;
    let (client, channel) = hub.channel().await;
    let other = hub.app.partner("Other Chat").await;
    let (key, handle) = partner_api(&other);
    let call = async |method: &str, below: &str, body: Value| {
        let call = hub.app.request(method, &format!("/api/v2/partners/{handle}{below}"));
        call.header("x-api-key", key).json(&body).send().await
    };
    let body = json!({"name": "Thief", "email": "it@thief.example"});
    let thief = call("POST", "/account_sharing/clients", body).await.expect(201);
    let body = json!({"client_id": thief["id"], "solution_id": "1", "waba_external_id": WABA});
    call("POST", "/account_sharing/numbers", body.clone()).await.expect(200);
    hub.app.settle().await;
    assert_eq!(call("GET", "/channels", Value::Null).await.expect(200)["total"], 0);
    let open = number(&hub.app, sql!("SELECT CAST(count(*) AS BIGINT) FROM sharing WHERE open")).await;
    assert_eq!(open, 0, "the request is over");
    // Once the channel has ended its number is free, and taken when it is to come back.
    let control = format!("/clients/{client}/channels/{channel}/control");
    let cancel = hub.call("POST", &format!("{control}/cancellation_request")).json(&json!({"enabled": true}));
    cancel.send().await.expect(200);
    hub.app.pass(Duration::from_hours(24 * 31)).await;
    let body = json!({"client_id": thief["id"], "solution_id": "1", "waba_external_id": WABA,
        "channel_external_id": hub.get(&format!("/channels/{channel}")).await["external_id"]});
    call("POST", "/account_sharing/numbers", body).await.expect(200);
    hub.app.settle().await;
    assert_eq!(call("GET", "/channels", Value::Null).await.expect(200)["total"], 1);
    hub.call("POST", &format!("{control}/reactivate")).send().await.expect(400);
    hub.app.settle().await;
}

#[tokio::test]
async fn a_refusal_under_a_key_is_not_kept() {
    let chats = Box::pin(Chats::new()).await;
    let send = async |key: &str, body: &Value| {
        chats.call("POST", "/messages").header("idempotency-key", key).json(body).send().await
    };
    let wrong = json!({"to": "x", "type": "text", "text": {"body": "Hi"}});
    for _ in 0..2 {
        assert_eq!(send("k", &wrong).await.expect(400)["error"]["code"], 100);
    }
    // What could not be done then can be done now, under the same key.
    let template = json!({"name": "order", "category": "UTILITY", "language": "en", "components": []});
    let sent = json!({"to": "31611112222", "type": "template", "template": {"name": "order", "language": {"code": "en"}}});
    assert_eq!(send("t", &sent).await.expect(404)["error"]["code"], 132_001);
    chats.call("POST", "/v1/configs/templates").json(&template).send().await.expect(201);
    chats.hub.app.pass(Duration::from_secs(2)).await;
    let first = send("t", &sent).await.expect(200);
    assert_eq!(send("t", &sent).await.expect(200), first);
    chats.hub.app.settle().await;
    let count = sql!("SELECT CAST(count(*) AS BIGINT) FROM channel_message");
    assert_eq!(number(&chats.hub.app, count).await, 1);
}

#[tokio::test]
async fn two_channels_of_one_client_and_two_products_have_keys_of_their_own() {
    let chats = Box::pin(Chats::new()).await;
    let hub = &chats.hub;
    hub.share(&chats.client, "702100000000012").await.expect(200);
    hub.app.settle().await;
    let all = hub.get("/channels").await["partner_channels"].clone();
    let other = all.as_array().unwrap().iter().find(|one| one["id"] != chats.channel.as_str()).unwrap();
    let made =
        hub.call("POST", &format!("/channels/{}/api_keys", text(&other["id"]))).send().await.expect(201);
    let other = text(&made["api_key"]);
    let body = json!({"to": "31611112222", "type": "text", "text": {"body": "Hi"}});
    let mut ids = Vec::new();
    for key in [&chats.key, &other] {
        let call = hub.app.request("POST", "/_waba-v2/messages").header("d360-api-key", key);
        let sent = call.header("idempotency-key", "one").json(&body).send().await.expect(200);
        ids.push(text(&sent["messages"][0]["id"]));
    }
    assert_ne!(ids[0], ids[1]);
    hub.app.settle().await;
}

#[tokio::test]
async fn a_process_that_loses_its_lane_takes_back_what_the_next_one_left() {
    let chats = Box::pin(Chats::new()).await;
    let app = &chats.hub.app;
    let desk = |holder: u8| Post::new(app.store.clone(), app.clock.clone(), EVENTS, Holder([holder; 16]));
    let (mut first, next) = (desk(5), Holder([6; 16]));
    app.clock.advance(Duration::from_secs(5));
    assert!(!first.turn().await.expect("nothing waits"));
    // It stalls. The next one takes the lane and a message, and dies.
    app.clock.advance(Duration::from_secs(5));
    chats.text("31611112222").await;
    let taken: Result<Vec<chat::Part>> = app.store.write((SIMULATED, next, chat::BATCH), chat::claim).await;
    assert_eq!(taken.expect("the lane is free").len(), 1);
    assert!(matches!(first.turn().await, Err(Error::Unavailable(_))), "the lane is another's");
    app.clock.advance(Duration::from_secs(5));
    assert!(first.turn().await.expect("the lane is free again"), "what was left goes out");
    let waiting = sql!("SELECT CAST(count(*) AS BIGINT) FROM channel_part");
    assert_eq!(number(app, waiting).await, 0);
    app.clock.advance(Duration::from_secs(5));
    app.settle().await;
}

#[tokio::test]
async fn numbers_and_names_that_are_none_are_refused() {
    let chats = Box::pin(Chats::new()).await;
    for body in [
        r#"{"to": 31611112222.5, "type": "text", "text": {"body": "Hi"}}"#,
        r#"{"to": 3.16e10, "type": "text", "text": {"body": "Hi"}}"#,
        r#"{"to": -31611112222, "type": "text", "text": {"body": "Hi"}}"#,
        r#"{"to": ["31611112222"], "type": "text", "text": {"body": "Hi"}}"#,
        r#"{"status": "read", "message_id": "wamid.\u0000"}"#,
        r#"{"to": "31611112222", "type": "image", "image": {"id": "1\u0000"}}"#,
    ] {
        let refused = chats.call("POST", "/messages").body("application/json", body).send().await;
        assert_eq!(refused.expect(400)["error"]["code"], 100, "{body}");
    }
    let whole = r#"{"to": 31611112222, "type": "text", "text": {"body": "Hi"}}"#;
    chats.call("POST", "/messages").body("application/json", whole).send().await.expect(200);
    chats.hub.app.settle().await;
}

#[tokio::test]
async fn texts_of_channels_are_kept_as_long_as_the_account_says() {
    let chats = Box::pin(Chats::new()).await;
    let customer = chats.told().await;
    let child = chats.account().await;
    let days = Setting::Messaging(MessagingSetting::RetentionDays(Some(7)));
    chats.hub.app.store.write((child, days), account::set).await.unwrap();
    chats.text("99900501000").await;
    let id = text(&chats.call("POST", "/media").body("image/png", "PNG").send().await.expect(200)["id"]);
    chats.hub.app.settle().await;
    assert!(!customer.calls().is_empty());
    let texts = sql!(
        "SELECT CAST(count(*) AS BIGINT) FROM (SELECT content FROM channel_message WHERE content <> ''
         UNION ALL SELECT body FROM event WHERE account <> root) kept"
    );
    assert!(number(&chats.hub.app, texts).await >= 4);
    chats.hub.app.pass(Duration::from_hours(24 * 6)).await;
    chats.call("GET", &format!("/{id}")).send().await.expect(200);
    assert!(number(&chats.hub.app, texts).await >= 4);
    chats.hub.app.pass(Duration::from_hours(24 * 2)).await;
    assert_eq!(number(&chats.hub.app, texts).await, 0);
    chats.call("GET", &format!("/{id}")).send().await.expect(404);
}

#[tokio::test]
async fn headers_go_nowhere_but_where_they_belong() {
    let hub = Hub::new().await;
    let (old, new) = (Customer::new().await, Customer::new().await);
    let hook = async |body: Value| hub.call("POST", "/webhook_url").json(&body).send().await.expect(200);
    hook(json!({"webhook_url": old.url("/a"), "headers": {"X-Secret": "old"}})).await;
    hub.client("a@bakery.example").await;
    // It waits for the old place; the secret of the new one is not for that.
    hook(json!({"webhook_url": new.url("/b"), "headers": {"X-Secret": "new"}})).await;
    hub.client("b@bakery.example").await;
    hub.app.settle().await;
    assert_eq!((old.calls()[0].header("x-secret"), new.calls()[0].header("x-secret")), (None, Some("new")));
    // Another path of the same place keeps them, another place does not.
    hub.call("PATCH", "").json(&json!({"webhook_url": new.url("/c")})).send().await.expect(200);
    hub.client("c@bakery.example").await;
    hub.app.settle().await;
    assert_eq!(new.calls()[0].header("x-secret"), Some("new"));
    hub.call("PATCH", "").json(&json!({"webhook_url": old.url("/d")})).send().await.expect(200);
    hub.client("d@bakery.example").await;
    hub.app.settle().await;
    assert_eq!(old.calls()[0].header("x-secret"), None);
}

#[tokio::test]
async fn a_business_account_has_no_more_than_a_thousand_templates() {
    let chats = Box::pin(Chats::new()).await;
    let fill = async |tx: &mut Tx, (): &()| {
        let all = sql!(
            "INSERT INTO template (root, id, account, business, external, name, language, category, components, status,
             next, created, modified)
             SELECT b.root, 't' || CAST(n.n AS TEXT), b.account, b.id, '1', 't' || CAST(n.n AS TEXT), 'en', 'UTILITY', '[]',
             'approved', 0, 0, 0 FROM business b,
             (WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 999) SELECT n FROM n) n"
        );
        tx.put(all, &[]).await?;
        Ok::<(), Error>(())
    };
    let filled: Result<()> = chats.hub.app.store.write((), fill).await;
    filled.expect("templates");
    let make = async |name: &str| {
        let body = json!({"name": name, "category": "UTILITY", "language": "en", "components": []});
        chats.call("POST", "/v1/configs/templates").json(&body).send().await
    };
    make("one_more").await.expect(201);
    make("too_many").await.expect(400);
    let sent = json!({"to": "31611112222", "type": "template", "template": {"name": "t7", "language": {"code": "en"}}});
    chats.send(&sent).await.expect(200);
    let scope = chats.hub.partner.account.scope();
    let nothing = ((scope.root, "none".to_owned()), "t7".to_owned(), "en".to_owned());
    assert!(chats.hub.app.store.read(nothing, template::named).await.is_err());
    let listed = chats.call("GET", "/v1/configs/templates?limit=2").send().await.expect(200);
    assert_eq!((&listed["total"], &listed["count"]), (&json!(1000), &json!(2)));
    chats.hub.app.settle().await;
}

#[tokio::test]
async fn keys_that_were_replaced_are_forgotten() {
    let chats = Box::pin(Chats::new()).await;
    let keys = format!("/channels/{}/api_keys", chats.channel);
    for _ in 0..3 {
        chats.hub.call("POST", &keys).send().await.expect(201);
    }
    let all = sql!("SELECT CAST(count(*) AS BIGINT) FROM access_key WHERE role = 'channel'");
    assert_eq!(number(&chats.hub.app, all).await, 4);
    chats.hub.app.pass(Duration::from_hours(24 * 8)).await;
    assert_eq!(number(&chats.hub.app, all).await, 1);
}

#[tokio::test]
async fn a_channel_keeps_its_public_key() {
    let chats = Box::pin(Chats::new()).await;
    let path = "/whatsapp_business_encryption";
    assert_eq!(chats.call("GET", path).send().await.expect(200), json!({"data": []}));
    let key = "-----BEGIN PUBLIC KEY-----\nMIIB+w==\n-----END PUBLIC KEY-----";
    let form: String = form_urlencoded::byte_serialize(key.as_bytes()).collect();
    let set = chats.call("POST", path).form(&format!("business_public_key={form}")).send().await.expect(200);
    assert_eq!(set, json!({"success": true}));
    assert_eq!(
        chats.call("GET", &format!("/v1{path}")).send().await.expect(200)["data"][0]["business_public_key"],
        key
    );
    for wrong in [json!({}), json!({"business_public_key": "x"}), json!({"business_public_key": 7})] {
        chats.call("POST", path).json(&wrong).send().await.expect(400);
    }
    chats.hub.app.settle().await;
}
