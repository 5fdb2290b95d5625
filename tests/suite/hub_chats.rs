//! The messages of a channel (docs/spec/33-360-messaging.md): sending, what is told of it, webhooks, files, templates and
//! health, under a channel's key.

use crate::hub::{Hub, text};
use crate::support::customer::{Call as Told, Customer};
use crate::support::record::Record;
use crate::support::{Answer, Call, partner_api};
use rookery::core::ledger::{self, Grant};
use rookery::core::money::Amount;
use rookery::core::usage::{self, Category, Rate};
use rookery::core::{AccountId, Scope, account};
use serde_json::{Value, json};
use std::time::Duration;

/// A hub with one live channel and its key.
pub struct Chats {
    pub hub: Hub,
    pub client: String,
    pub channel: String,
    pub key: String,
}

impl Chats {
    pub async fn new() -> Self {
        let hub = Hub::new().await;
        let (client, channel) = hub.channel().await;
        let made = hub.call("POST", &format!("/channels/{channel}/api_keys")).send().await.expect(201);
        Chats { key: text(&made["api_key"]), hub, client, channel }
    }

    pub fn call(&self, method: &str, path: &str) -> Call<'_> {
        let call = self.hub.app.request(method, path).header("host", "waba-v2.acme.example");
        call.header("d360-api-key", &self.key)
    }

    pub async fn send(&self, body: &Value) -> Answer {
        self.call("POST", "/messages").json(body).send().await
    }

    /// Sends a text and answers the name of the message.
    pub async fn text(&self, to: &str) -> String {
        let body = json!({"messaging_product": "whatsapp", "to": to, "type": "text", "text": {"body": "Hi"}});
        text(&self.send(&body).await.expect(200)["messages"][0]["id"])
    }

    /// A server of the owner's that the channel tells everything.
    pub async fn told(&self) -> Customer {
        let customer = Customer::new().await;
        let body = json!({"url": customer.url("/wa"), "headers": {"X-Own": "abc"}});
        let set = self.call("POST", "/v1/configs/webhook").json(&body).send().await.expect(200);
        assert_eq!(set, body);
        customer
    }

    /// The account behind the channel.
    pub async fn account(&self) -> AccountId {
        let call =
            self.hub.app.request("GET", "/child-accounts").key(crate::support::live(&self.hub.partner));
        AccountId(call.send().await.expect(200)[0]["id"].as_i64().unwrap())
    }
}

fn statuses(calls: &[Told]) -> Vec<(String, String)> {
    let one = |call: &Told| {
        let status = call.json()["entry"][0]["changes"][0]["value"]["statuses"][0].clone();
        (text(&status["id"]), text(&status["status"]))
    };
    calls.iter().map(one).collect()
}

#[tokio::test]
async fn a_message_goes_out_and_its_owner_is_told() {
    let chats = Box::pin(Chats::new()).await;
    let customer = chats.told().await;
    let body = json!({"messaging_product": "whatsapp", "recipient_type": "individual", "to": "+31 6 11112222",
        "type": "text", "text": {"body": "Hi", "preview_url": false}});
    let sent = chats.send(&body).await.expect(200);
    assert_eq!(sent["contacts"], json!([{"input": "+31 6 11112222", "wa_id": "31611112222"}]));
    let id = text(&sent["messages"][0]["id"]);
    assert!(id.starts_with("wamid."), "{id}");
    chats.hub.app.settle().await;
    let calls = customer.calls();
    assert_eq!(statuses(&calls), [(id.clone(), "sent".to_owned()), (id, "delivered".to_owned())]);
    let view = chats.hub.get(&format!("/channels/{}", chats.channel)).await;
    let told = calls[0].json();
    assert_eq!(
        (&told["object"], &told["entry"][0]["id"]),
        (&json!("whatsapp_business_account"), &view["waba_account"]["external_id"])
    );
    let value = &told["entry"][0]["changes"][0]["value"];
    let number = json!({"display_phone_number": view["setup_info"]["phone_number"], "phone_number_id": view["external_id"]});
    assert_eq!((&value["metadata"], &value["statuses"][0]["recipient_id"]), (&number, &json!("31611112222")));
    assert_eq!((calls[0].target.as_str(), calls[0].header("x-own")), ("/wa", Some("abc")));

    // The older form, on the older path, without the product.
    let old =
        json!({"to": "31611112222", "type": "text", "recipient_type": "individual", "text": {"body": "Hi"}});
    chats.call("POST", "/v1/messages").json(&old).send().await.expect(200);
    let prefixed = chats.hub.app.request("POST", "/_waba-v2/messages").header("d360-api-key", &chats.key);
    prefixed.json(&old).send().await.expect(200);
    chats.hub.app.settle().await;
    assert_eq!(customer.calls().len(), 4);
}

#[tokio::test]
async fn numbers_choose_what_the_simulated_transport_does() {
    let chats = Box::pin(Chats::new()).await;
    let customer = chats.told().await;
    for (to, expected) in [
        ("99900301000", &["failed"][..]),
        ("99900201000", &["sent", "failed"]),
        ("99900401000", &["sent"]),
        ("99900402000", &["sent", "delivered", "read"]),
    ] {
        let id = chats.text(to).await;
        chats.hub.app.settle().await;
        let calls = customer.calls();
        let expected: Vec<(String, String)> =
            expected.iter().map(|status| (id.clone(), (*status).to_owned())).collect();
        assert_eq!(statuses(&calls), expected, "{to}");
        if expected[expected.len() - 1].1 == "failed" {
            let value = calls[calls.len() - 1].json()["entry"][0]["changes"][0]["value"].clone();
            assert_eq!(value["statuses"][0]["errors"][0]["code"], 131_026);
        }
    }
    // Somebody answers.
    chats.text("99900501000").await;
    chats.hub.app.settle().await;
    let calls = customer.calls();
    let values: Vec<Value> =
        calls.iter().map(|call| call.json()["entry"][0]["changes"][0]["value"].clone()).collect();
    let came = values.iter().find(|value| value.get("messages").is_some()).expect("a message came in");
    let message = &came["messages"][0];
    assert_eq!((&message["from"], &message["text"]["body"]), (&json!("99900501000"), &json!("Re: Hi")));
    assert_eq!(came["contacts"][0]["wa_id"], "99900501000");
    let read = json!({"messaging_product": "whatsapp", "status": "read", "message_id": message["id"]});
    assert_eq!(chats.send(&read).await.expect(200), json!({"success": true}));
    // The 24 hours are over: refused at once, but for templates.
    let body = json!({"to": "99900470000", "type": "text", "text": {"body": "Hi"}});
    assert_eq!(chats.send(&body).await.expect(400)["error"]["code"], 131_047);
    chats.hub.app.settle().await;
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_in_the_networks_form() {
    let chats = Box::pin(Chats::new()).await;
    for body in [
        json!({}),
        json!({"to": "x", "type": "text", "text": {"body": "Hi"}}),
        json!({"to": "31611112222", "type": "smoke", "smoke": {}}),
        json!({"to": "31611112222", "type": "text"}),
        json!({"to": "31611112222", "type": "text", "text": "Hi"}),
        json!({"to": "31611112222", "type": "text", "text": {"body": ""}}),
        json!({"to": "31611112222", "type": "text", "text": {"body": "x".repeat(4_097)}}),
        json!({"to": "31611112222", "type": "image", "image": {}}),
        json!({"to": "31611112222", "type": "image", "image": {"id": "1"}}),
        json!({"to": "31611112222", "type": "template", "template": {"name": "x"}}),
        json!({"messaging_product": "sms", "to": "31611112222", "type": "text", "text": {"body": "Hi"}}),
        json!({"status": "read", "message_id": "wamid.nothing"}),
    ] {
        let refused = chats.send(&body).await.expect(400);
        assert_eq!((&refused["error"]["code"], refused.get("meta")), (&json!(100), None), "{body}");
    }
    let unknown = json!({"to": "31611112222", "type": "template", "template": {"name": "x", "language": {"code": "en"}}});
    assert_eq!(chats.send(&unknown).await.expect(404)["error"]["code"], 132_001);
    chats.hub.app.settle().await;
}

#[tokio::test]
async fn a_key_is_one_channels_and_ends_with_it() {
    let chats = Box::pin(Chats::new()).await;
    let app = &chats.hub.app;
    let ask = async |name: &'static str, key: &str| {
        let call = app.request("GET", "/_waba-v2/health_status").header(name, key);
        call.send().await
    };
    let status = ask("d360-api-key", &chats.key).await.expect(200);
    assert_eq!(status["health_status"]["can_send_message"], "AVAILABLE");
    for (name, key) in [
        ("d360-api-key", "wrong"),
        ("x-api-key", chats.key.as_str()),
        ("d360-api-key", partner_api(&chats.hub.partner).0),
        ("d360-api-key", crate::support::live(&chats.hub.partner)),
    ] {
        let refused = ask(name, key).await;
        assert_eq!(refused.expect(401), json!({"error": "Invalid api key"}), "{name}");
    }
    app.request("GET", "/_waba-v2/health").send().await.expect(200);
    assert_eq!(
        app.request("GET", "/contacts").key(&chats.key).send().await.status,
        401,
        "it opens nothing else"
    );
    // The next key takes the place of the first.
    let keys = format!("/channels/{}/api_keys", chats.channel);
    let next = text(&chats.hub.call("POST", &keys).send().await.expect(201)["api_key"]);
    ask("d360-api-key", &chats.key).await.expect(401);
    ask("d360-api-key", &next).await.expect(200);
    let child = chats.account().await;
    app.store.write(child, account::suspend).await.unwrap();
    app.notice_changes().await;
    assert_eq!(ask("d360-api-key", &next).await.status, 403);
    app.store.write(child, account::resume).await.unwrap();
    app.notice_changes().await;
    chats.hub.call("DELETE", &keys).send().await.expect(200);
    ask("d360-api-key", &next).await.expect(401);
    app.settle().await;
}

#[tokio::test]
async fn webhooks_of_a_channel_and_of_its_business_account() {
    let chats = Box::pin(Chats::new()).await;
    let (own, business) = (Customer::new().await, Customer::new().await);
    let get = async |path: &str| chats.call("GET", path).send().await.expect(200);
    assert_eq!(get("/v1/configs/webhook").await, json!({"headers": {}, "url": null}));
    let body = json!({"url": business.url("/b"), "headers": {"X-B": "1"}});
    assert_eq!(chats.call("POST", "/waba_webhook").json(&body).send().await.expect(200), body);
    assert_eq!(get("/waba_webhook").await, body);
    chats.text("31611112222").await;
    chats.hub.app.settle().await;
    let calls = business.calls();
    assert_eq!((calls.len(), calls[0].header("x-b")), (2, Some("1")));
    let body = json!({"url": own.url("/o")});
    chats.call("POST", "/configs/webhook").json(&body).send().await.expect(200);
    assert_eq!(get("/configs/webhook").await["url"], body["url"]);
    chats.text("31611112222").await;
    chats.hub.app.settle().await;
    assert_eq!((own.calls().len(), business.calls().len()), (2, 0), "the channel's own wins");
    for wrong in [
        json!({}),
        json!({"url": "x"}),
        json!({"url": 7}),
        json!({"url": "https://a.example", "headers": "x"}),
    ] {
        let refused = chats.call("POST", "/v1/configs/webhook").json(&wrong).send().await.expect(400);
        assert_eq!(refused["meta"]["success"], false);
    }
    chats.hub.app.settle().await;
}

#[tokio::test]
async fn files_go_up_and_come_down() {
    let chats = Box::pin(Chats::new()).await;
    let body = "--x\r\nContent-Disposition: form-data; name=\"messaging_product\"\r\n\r\nwhatsapp\r\n--x\r\n\
        Content-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n\
        \u{1}PNG\r\n--x--\r\n";
    let up = || chats.call("POST", "/media").body("multipart/form-data; boundary=x", body);
    let id = text(&up().send().await.expect(200)["id"]);
    let view = chats.call("GET", &format!("/{id}")).send().await.expect(200);
    assert_eq!((&view["mime_type"], &view["file_size"]), (&json!("image/png"), &json!(4)));
    let url = text(&view["url"]);
    let path = url.strip_prefix("https://lookaside.fbsbx.com").expect("a host to be replaced");
    for path in [path, &format!("/v1/media/{id}")] {
        let bytes = chats.call("GET", path).send().await;
        assert_eq!((bytes.status.as_u16(), bytes.body.as_slice()), (200, &b"\x01PNG"[..]), "{path}");
        assert_eq!(
            (bytes.header("content-type"), bytes.header("x-content-type-options")),
            ("image/png", "nosniff")
        );
    }
    let image = json!({"to": "31611112222", "type": "image", "image": {"id": id, "caption": "x"}});
    chats.send(&image).await.expect(200);
    assert_eq!(chats.call("DELETE", &format!("/{id}")).send().await.expect(200), json!({"success": true}));
    chats.call("GET", &format!("/{id}")).send().await.expect(404);
    let raw = chats.call("POST", "/v1/media").body("image/jpeg", "JPEG").send().await.expect(200);
    assert!(raw["id"].is_string());
    for (kind, body) in
        [("multipart/form-data; boundary=x", "--x--\r\n"), ("application/json", "{}"), ("", "")]
    {
        chats.call("POST", "/media").body(kind, body).send().await.expect(400);
    }
    chats.hub.app.pass(Duration::from_hours(24 * 31)).await;
    chats.call("GET", &format!("/{}", text(&raw["id"]))).send().await.expect(404);
}

#[tokio::test]
async fn templates_on_the_host_of_the_messages() {
    let chats = Box::pin(Chats::new()).await;
    let mut record = Record::new();
    let body = json!({"name": "order_shipped", "category": "UTILITY", "language": "en",
        "components": [{"type": "BODY", "text": "Order {{1}} shipped"}]});
    let all = "/v1/configs/templates";
    let made = record.send("create", chats.call("POST", all).json(&body)).await.expect(201);
    for (name, field) in [("template", "id"), ("external", "external_id"), ("namespace", "namespace")] {
        record.name(name, text(&made[field]));
    }
    record.name("partner", partner_api(&chats.hub.partner).1);
    chats.hub.app.pass(Duration::from_secs(2)).await;
    let listed = chats.call("GET", all).send().await.expect(200);
    assert_eq!((&listed["count"], &listed["waba_templates"][0]["status"]), (&json!(1), &json!("approved")));
    record.send("the network's form", chats.call("GET", "/message_templates")).await.expect(200);
    let template = json!({"to": "31611112222", "type": "template", "category": "UTILITY", "template": {
        "namespace": "x", "name": "order_shipped", "language": {"policy": "deterministic", "code": "en"},
        "components": []}});
    chats.send(&template).await.expect(200);
    record.send("delete by name", chats.call("DELETE", &format!("{all}/order_shipped"))).await.expect(200);
    chats.call("DELETE", &format!("{all}/order_shipped")).send().await.expect(404);
    for number in 0..101 {
        let body =
            json!({"name": format!("t{number}"), "category": "UTILITY", "language": "en", "components": []});
        chats.call("POST", all).json(&body).send().await.expect(201);
    }
    let first = chats.call("GET", "/message_templates").send().await.expect(200);
    assert!(first["data"].as_array().unwrap().len() == 100 && first["paging"]["next"].is_string());
    let after = text(&first["paging"]["cursors"]["after"]);
    let last = chats.call("GET", &format!("/message_templates?after={after}")).send().await.expect(200);
    assert!(last["data"].as_array().unwrap().len() == 1 && last["paging"].get("next").is_none());
    chats.hub.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn a_message_is_paid_when_its_transport_takes_it() {
    let chats = Box::pin(Chats::new()).await;
    let (store, child) = (&chats.hub.app.store, chats.account().await);
    let partner = chats.hub.partner.account.id;
    for (account, amount) in [(child, 100_000), (partner, 60_000)] {
        let rate = Rate { account, category: Category::Service, prefix: "31".into(), amount: Amount(amount) };
        store.write(rate, usage::set_rate).await.unwrap();
    }
    let body = json!({"to": "31611112222", "type": "text", "text": {"body": "Hi"}});
    assert_eq!(chats.send(&body).await.status, 402, "there is no balance");
    for account in [child, partner] {
        let grant = Grant { account, amount: Amount(150_000), currency: None };
        store.write(grant, ledger::grant).await.unwrap();
    }
    chats.send(&body).await.expect(200);
    let scope = Scope { root: partner, account: child };
    let held = store.read(scope, ledger::balance).await.unwrap();
    assert_eq!((held.posted, held.held), (Amount(150_000), Amount(100_000)));
    assert_eq!(chats.send(&body).await.status, 402, "what is held cannot be spent twice");
    chats.hub.app.settle().await;
    let paid = store.read(scope, ledger::balance).await.unwrap();
    assert_eq!((paid.posted, paid.held), (Amount(50_000), Amount(0)));
    let refused = json!({"to": "99900301000", "type": "text", "text": {"body": "Hi"}});
    chats.send(&refused).await.expect(200);
    chats.hub.app.settle().await;
    assert_eq!(store.read(scope, ledger::balance).await.unwrap(), paid, "what is refused costs nothing");
    let usage = chats.hub.get(&format!("/clients/{}/info/balance", chats.client)).await;
    assert_eq!((&usage["balance"], &usage["usage"][0]["total_price"]), (&json!(0.05), &json!(0.1)));
    assert_eq!(
        (&usage["usage"][0]["service_quantity"], &usage["usage"][0]["paid_quantity"]),
        (&json!(1), &json!(1))
    );
    let of_channel = format!("/clients/{}/channels/{}/info/balance", chats.client, chats.channel);
    assert_eq!(chats.hub.get(&of_channel).await["usage"], usage["usage"]);
}

#[tokio::test]
async fn what_belongs_to_a_suspended_account_waits_and_what_is_too_old_is_given_up() {
    let chats = Box::pin(Chats::new()).await;
    let customer = chats.told().await;
    let child = chats.account().await;
    chats.text("31611112222").await;
    chats.hub.app.store.write(child, account::suspend).await.unwrap();
    chats.hub.app.pass(Duration::from_hours(1)).await;
    assert!(customer.calls().is_empty());
    chats.hub.app.store.write(child, account::resume).await.unwrap();
    chats.hub.app.pass(Duration::from_secs(10)).await;
    assert_eq!(customer.calls().len(), 2);
    chats.hub.app.notice_changes().await;
    let id = chats.text("31611112222").await;
    chats.hub.app.store.write(child, account::suspend).await.unwrap();
    chats.hub.app.pass(Duration::from_hours(25)).await;
    chats.hub.app.store.write(child, account::resume).await.unwrap();
    chats.hub.app.pass(Duration::from_secs(10)).await;
    assert_eq!(statuses(&customer.calls()), [(id, "failed".to_owned())]);
}
