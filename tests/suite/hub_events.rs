//! What a partner is told (docs/spec/32-360-webhooks-onboarding.md sections 1 and 2): once for each change, signed, with
//! the headers that it chose, the same bytes in every repetition.

use crate::hub::{Hub, WABA, text};
use crate::support::customer::{Call, Customer};
use crate::support::database::Home;
use crate::support::http::Client;
use crate::support::process::{Server, finish, partner as new_partner, rookery, run};
use crate::support::provider::{Provider, Verdict};
use hmac::{Hmac, KeyInit, Mac};
use rookery::core::partner::{self, Patch};
use rookery::core::secret::Secret;
use serde_json::json;
use sha2::Sha256;
use std::time::Duration;

fn names(calls: &[Call]) -> Vec<String> {
    calls.iter().map(|call| text(&call.json()["event"])).collect()
}

/// A hub whose events go to a server of the partner's, with headers of its own.
async fn told() -> (Hub, Customer) {
    let (hub, customer) = (Hub::new().await, Customer::new().await);
    let body =
        json!({"webhook_url": customer.url("/hook?secret=1"), "headers": {"X-Partner-Auth": "abc def"}});
    hub.call("POST", "/webhook_url").json(&body).send().await.expect(200);
    (hub, customer)
}

fn signature(secret: &Secret, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()).unwrap();
    mac.update(body);
    rookery::core::secret::hex(&mac.finalize().into_bytes())
}

#[tokio::test]
async fn a_partner_is_told_once_of_each_change() {
    let (hub, customer) = Box::pin(told()).await;
    let client = hub.client("it@bakery.example").await;
    hub.share(&client, WABA).await.expect(200);
    hub.app.settle().await;
    let calls = customer.calls();
    let expected = [
        "client_created",
        "channel_created",
        "channel_ready",
        "channel_running",
        "channel_permission_granted",
        "channel_live",
    ];
    assert_eq!(names(&calls), expected);
    let ids: std::collections::BTreeSet<String> = calls.iter().map(|call| text(&call.json()["id"])).collect();
    assert_eq!(ids.len(), calls.len(), "each has an id of its own");
    let channel = hub.get("/channels").await["partner_channels"][0].clone();
    for call in &calls {
        assert_eq!(
            (call.target.as_str(), call.header("content-type")),
            ("/hook?secret=1", Some("application/json"))
        );
        assert_eq!(call.header("x-partner-auth"), Some("abc def"));
        assert_eq!(call.header("x-360dialog-signature"), None, "there is no secret yet");
        let body = call.json();
        assert_eq!(body.as_object().unwrap().len(), 3);
        if body["event"] != "client_created" {
            assert_eq!((&body["data"]["id"], &body["data"]["client_id"]), (&channel["id"], &json!(client)));
            assert_eq!(body["data"]["phone_number"], channel["setup_info"]["phone_number"]);
        }
    }
    assert_eq!(calls[0].json()["data"]["client"]["id"], client.as_str());
    assert_eq!(calls[4].json()["data"]["status"], "ready");
    let mut live = calls[5].json()["data"].clone();
    for name in ["phone_name", "phone_number"] {
        live.as_object_mut().unwrap().remove(name);
    }
    assert_eq!(live, channel, "the last event shows the channel as it is");
    // Nothing is told twice.
    hub.client_again("it@bakery.example").await;
    hub.share(&client, WABA).await.expect(200);
    hub.app.pass(Duration::from_hours(2)).await;
    assert_eq!(names(&customer.calls()), Vec::<String>::new());

    let id = text(&channel["id"]);
    let control = format!("/clients/{client}/channels/{id}/control/cancellation_request");
    for enabled in [true, true, false, false, true] {
        hub.call("POST", &control).json(&json!({"enabled": enabled})).send().await.expect(200);
        hub.app.settle().await;
    }
    hub.app.pass(Duration::from_hours(24 * 31)).await;
    hub.call("POST", &control.replace("cancellation_request", "reactivate")).send().await.expect(200);
    hub.app.settle().await;
    let told = [
        "cancellation_request",
        "cancellation_revoke",
        "cancellation_request",
        "cancellation_processed",
        "channel_live",
    ];
    assert_eq!(names(&customer.calls()), told);
    let template = json!({"name": "order", "category": "UTILITY", "language": "en", "components": []});
    let waba = text(&channel["waba_account_id"]);
    let all = format!("/waba_accounts/{waba}/waba_templates");
    hub.call("POST", &all).json(&template).send().await.expect(201);
    hub.app.pass(Duration::from_secs(2)).await;
    let calls = customer.calls();
    assert_eq!(names(&calls), ["waba_template_status_changed"]);
    let data = &calls[0].json()["data"];
    assert_eq!((&data["id"], &data["template"]["new_status"]), (&json!(WABA), &json!("APPROVED")));
}

#[tokio::test]
async fn events_are_signed_over_their_bytes_with_a_secret_that_can_be_rotated() {
    let (hub, customer) = Box::pin(told()).await;
    let rotate = async || {
        let command = (hub.partner.account.id, hub.app.vault.clone());
        hub.app.store.write(command, partner::rotate_secret).await.unwrap()
    };
    let first = rotate().await;
    hub.client("a@bakery.example").await;
    hub.app.settle().await;
    let call = customer.calls().remove(0);
    assert_eq!(call.header("x-360dialog-signature"), Some(signature(&first, &call.body).as_str()));
    let second = rotate().await;
    assert!(first != second);
    hub.set(Patch { signature_prefix: Some(true), ..Patch::default() }).await;
    hub.client("b@bakery.example").await;
    hub.app.settle().await;
    let call = customer.calls().remove(0);
    let expected = format!("sha256={}", signature(&second, &call.body));
    assert_eq!(call.header("x-360dialog-signature"), Some(expected.as_str()));
}

#[tokio::test]
async fn a_failed_event_is_repeated_with_the_same_bytes_for_a_day() {
    let (hub, customer) = Box::pin(told()).await;
    customer.answer(std::iter::repeat_n(500, 3));
    hub.client("it@bakery.example").await;
    hub.app.settle().await;
    hub.app.pass(Duration::from_secs(13)).await;
    hub.app.pass(Duration::from_secs(40)).await;
    hub.app.pass(Duration::from_secs(80)).await;
    let calls = customer.calls();
    assert_eq!(calls.len(), 4);
    assert!(calls.iter().all(|call| call.body == calls[0].body), "the same id and bytes");
    hub.app.pass(Duration::from_hours(2)).await;
    assert!(customer.calls().is_empty(), "it has arrived");
    // One that never arrives is given up after a day.
    customer.answer(std::iter::repeat_n(503, 100));
    hub.client("other@bakery.example").await;
    for _ in 0..40 {
        hub.app.pass(Duration::from_mins(73)).await;
    }
    assert_eq!(customer.calls().len(), 29, "once, and 28 times more");
}

#[tokio::test]
async fn what_nobody_wants_to_hear_is_not_kept() {
    let hub = Hub::new().await;
    let (_, channel) = hub.channel().await;
    let customer = Customer::new().await;
    let body = json!({"webhook_url": customer.url("/late")});
    hub.call("POST", "/webhook_url").json(&body).send().await.expect(200);
    hub.app.pass(Duration::from_hours(1)).await;
    assert!(customer.calls().is_empty(), "{channel} was there before");
}

#[tokio::test]
async fn events_are_looked_at_and_sent_again_by_command() {
    let home = Home::new().await;
    let made = new_partner(&home, "Acme");
    let account = made["id"].to_string();
    let secret = run(&home, &["platform-secret", "rotate", &account, "--json"]).json();
    let customer = Provider::new(|_, _| Verdict::Answer(200, "", "thanks".to_owned()));
    let mut command = rookery(&home);
    let options =
        ["serve", "--listen", "127.0.0.1:0", "--no-demo", "--no-rate-limit", "--allow-private-webhooks"];
    let server = Server::serving(command.args(options), 1);
    let post = |below: &str, body: &serde_json::Value| {
        let (handle, key, body) = (text(&made["partnerId"]), text(&made["partnerApiKey"]), body.to_string());
        let mut client = Client::new(server.address());
        let request = format!(
            "POST /api/v2/partners/{handle}{below} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        client.send(request.as_bytes());
        assert!(client.read().status < 300);
    };
    let called = || {
        let begun = std::time::Instant::now();
        loop {
            if let Some(call) = customer.calls().pop() {
                return call;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "nothing was told");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let url = format!("http://{}/hook", customer.address());
    post("/webhook_url", &json!({"webhook_url": url, "headers": {"X-Partner-Auth": "abc"}}));
    post("/account_sharing/clients", &json!({"name": "Bakery", "email": "it@bakery.example"}));
    let first = called();
    let log = || run(&home, &["webhook", "log", &account, "--json"]).json();
    while log()[0]["state"] != "told" {
        std::thread::sleep(Duration::from_millis(20));
    }
    let id = text(&log()[0]["id"]);
    assert_eq!((&log()[0]["kind"], &log()[0]["attempts"]), (&json!("event"), &json!(1)));
    let shown = run(&home, &["webhook", "show", &account, &id, "--json"]).json();
    assert_eq!((&shown["method"], text(&shown["body"]).as_bytes()), (&json!("POST"), first.body.as_slice()));
    assert_eq!(
        shown["attempts"][0]["headers"],
        json!(["Content-Type", "x-360dialog-signature"]),
        "not the partner's own"
    );
    assert!(!shown.to_string().contains("abc"));
    run(&home, &["webhook", "replay", &account, &id]).ok();
    let again = called();
    assert_eq!((again.method.as_str(), &again.target, &again.body), ("POST", &first.target, &first.body));
    let mut mac = Hmac::<Sha256>::new_from_slice(text(&secret["platformSecret"]).as_bytes()).unwrap();
    mac.update(&again.body);
    let digest = rookery::core::secret::hex(&mac.finalize().into_bytes());
    assert_eq!(
        (again.header("x-360dialog-signature"), again.header("x-partner-auth")),
        (Some(digest.as_str()), Some("abc"))
    );
    run(&home, &["webhook", "replay-since", &account, "1h"]).ok();
    assert_eq!(called().body, first.body);
    finish(rookery(&home).args(["webhook", "replay", &account, "x"])).fails("no callback's id");
}
