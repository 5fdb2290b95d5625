//! The 360dialog partner object on the wire (docs/spec/30-360-partner.md sections 1 to 4): every answer with its very
//! bytes, since the hub's layout (sorted keys, escapes, one newline) is a part of the promise.

use crate::support::record::Record;
use crate::support::{Answer, Call, TestApp, live, partner_api};
use rookery::core::account::{self, NewAccount, Setting};
use rookery::core::partner::Patch;
use rookery::core::{AccountId, Result};
use rookery::wire::Options;
use serde_json::{Value, json};
use store::{Tx, sql};

/// An installation with one partner.
struct Hub {
    app: TestApp,
    partner: NewAccount,
}

impl Hub {
    async fn new(brand: &str) -> Self {
        let app = TestApp::new().await;
        let partner = app.partner(brand).await;
        Hub { app, partner }
    }

    fn target(&self) -> String {
        format!("/api/v2/partners/{}", partner_api(&self.partner).1)
    }

    /// A request with the partner's key.
    fn call(&self, method: &str, target: &str) -> Call<'_> {
        self.app.request(method, target).header("x-api-key", partner_api(&self.partner).0)
    }

    /// A change of the partner's own object.
    fn patch(&self, body: &Value) -> Call<'_> {
        self.call("PATCH", &self.target()).json(body)
    }

    async fn view(&self) -> Value {
        self.call("GET", &self.target()).send().await.expect(200)
    }

    /// A record that shows the partner's id under a name.
    fn record(&self) -> Record {
        let mut record = Record::new();
        record.name("handle", partner_api(&self.partner).1);
        record
    }

    async fn set(&self, setting: Setting) {
        let command = (self.partner.account.id, setting);
        self.app.store.write(command, account::set).await.expect("the setting is changed");
    }
}

/// The layout of every body of the hub: sorted keys, ASCII only, no blanks, one newline at the end.
fn assert_layout(answer: &Answer) {
    let text = std::str::from_utf8(&answer.body).unwrap();
    assert!(text.is_ascii() && text.ends_with('\n') && text.matches('\n').count() == 1, "{text}");
    assert_sorted(&answer.json());
    let plain: String = answer.json().to_string().encode_utf16().map(escaped).collect();
    assert_eq!(text.trim_end_matches('\n'), plain, "compact");
}

fn escaped(unit: u16) -> String {
    match u8::try_from(unit) {
        Ok(byte) if byte.is_ascii() => char::from(byte).to_string(),
        _ => format!("\\u{unit:04x}"),
    }
}

fn assert_sorted(json: &Value) {
    if let Value::Object(members) = json {
        let keys: Vec<&String> = members.keys().collect();
        assert!(keys.is_sorted(), "{keys:?}");
        members.values().for_each(assert_sorted);
    }
}

/// An error: the `meta` object alone, its code the status, `details` an array of texts or absent.
fn assert_meta(answer: &Answer, status: u16) {
    let body = answer.expect(status);
    assert_layout(answer);
    assert_eq!(body.as_object().unwrap().len(), 1);
    assert_eq!((&body["meta"]["http_code"], &body["meta"]["success"]), (&json!(status), &json!(false)));
    assert!(body["meta"]["developer_message"].is_string());
    let details = body["meta"].get("details");
    assert!(details.is_none_or(|list| list.as_array().unwrap().iter().all(Value::is_string)));
    assert_eq!(details.is_some(), status == 400 && body["meta"]["developer_message"] == "Wrong payload");
}

#[tokio::test]
async fn view() {
    let hub = Hub::new("Acme Chat").await;
    let mut record = hub.record();
    let seen = record.send("as it is at first", hub.call("GET", &hub.target())).await;
    assert_layout(&seen);
    let handle = partner_api(&hub.partner).1;
    assert!(handle.len() == 8 && handle.ends_with("PA"), "{handle}");
    for other in [
        format!("{}/", hub.target()),
        hub.target().replace("/api/v2", "/v1"),
        format!("/_hub{}", hub.target()),
    ] {
        assert_eq!(hub.call("GET", &other).send().await.body, seen.body, "{other}");
    }
    let labelled = hub.call("GET", &hub.target()).header("host", "hub.acme.example").send().await;
    assert_eq!(labelled.body, seen.body);

    let urls = Patch {
        country: Some("NL".into()),
        logo_url: Some("https://acme.example/logo.png".into()),
        ..Patch::default()
    };
    hub.set(Setting::Partner(urls)).await;
    hub.set(Setting::Name("Ærø \"Chat\" \u{1f4ac}".into())).await;
    let body = json!({"webhook_url": "https://acme.example/hooks", "partner_redirect_url": "https://acme.example/connected"});
    hub.patch(&body).send().await.expect(200);
    let full = record.send("with everything set", hub.call("GET", &hub.target())).await;
    assert_layout(&full);
    assert_eq!(full.expect(200).as_object().unwrap().len(), 13);
    let text = String::from_utf8(full.body.clone()).unwrap();
    assert!(text.contains(r#""brand_name":"\u00c6r\u00f8 \"Chat\" \ud83d\udcac"#), "{text}");
    hub.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn update() {
    let hub = Hub::new("Acme Chat").await;
    let mut record = hub.record();
    let one = json!({"webhook_url": "http://127.0.0.1:8000/hooks?x=1"});
    let answer = record.send("one URL", hub.patch(&one)).await;
    assert_layout(&answer);
    assert_eq!(hub.view().await, answer.expect(200), "the answer is the whole object as it is stored");
    let all = json!({"webhook_url": "https://acme.example/é", "partner_redirect_url": "https://acme.example/c",
        "allow_client_to_add_phone_no": false});
    let after = record.send("all three", hub.patch(&all)).await.expect(200);
    for (title, body) in [
        ("an empty object", json!({})),
        (
            "nulls",
            json!({"webhook_url": null, "partner_redirect_url": null, "allow_client_to_add_phone_no": null}),
        ),
        (
            "what cannot be changed",
            json!({"id": "x", "brand_name": "x", "settings": {"a": 1}, "country": "XX", "new": 1}),
        ),
        ("the same again", all.clone()),
    ] {
        let same = record.send(title, hub.patch(&body)).await.expect(200);
        assert_eq!(same, after, "{title} changes nothing");
    }
    for kind in ["", "application/json"] {
        let empty = hub.call("PATCH", &hub.target()).body(kind, "").send().await.expect(200);
        assert_eq!(empty, after, "an empty body changes nothing");
    }
    let cleared = json!({"webhook_url": "", "partner_redirect_url": null});
    let cleared = record.send("an empty URL is cleared and left out", hub.patch(&cleared)).await.expect(200);
    assert!(cleared.get("webhook_url").is_none() && cleared.get("partner_redirect_url").is_some());
    let form =
        hub.call("PATCH", &hub.target()).form("allow_client_to_add_phone_no=true&partner_redirect_url=");
    let form = record.send("a form", form).await.expect(200);
    assert_eq!(form["allow_client_to_add_phone_no"], true);
    assert!(form.get("partner_redirect_url").is_none());
    let alias =
        hub.call("PATCH", &hub.target().replace("/api/v2", "/v1")).json(&one).send().await.expect(200);
    assert_eq!(alias, hub.view().await);
    let long = format!("https://a.example/{}", "x".repeat(2_048 - "https://a.example/".len()));
    let longest = hub.patch(&json!({"webhook_url": long})).send().await.expect(200);
    assert_eq!(longest["webhook_url"], long, "2048 characters");
    hub.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn update_refused() {
    let hub = Hub::new("Acme Chat").await;
    let mut record = hub.record();
    let before = hub.view().await;
    for (title, body) in [
        ("no URL", json!({"webhook_url": "not a url"})),
        ("no scheme", json!({"webhook_url": "acme.example/hooks"})),
        ("another scheme", json!({"partner_redirect_url": "ftp://acme.example/"})),
        ("a script", json!({"partner_redirect_url": "javascript:alert(1)"})),
        ("a number for a URL", json!({"webhook_url": 7})),
        ("a list for a URL", json!({"webhook_url": ["https://acme.example"]})),
        ("an object for a URL", json!({"webhook_url": {}})),
        ("a boolean for a URL", json!({"webhook_url": true})),
        ("a NUL", json!({"webhook_url": "https://acme.example/\u{0}"})),
        ("a text for a boolean", json!({"allow_client_to_add_phone_no": "true"})),
        ("a number for a boolean", json!({"allow_client_to_add_phone_no": 1})),
        ("2049 characters", json!({"webhook_url": format!("https://a.example/{}", "x".repeat(2_031))})),
        (
            "several at once, one of them good",
            json!({"webhook_url": "x", "partner_redirect_url": "https://acme.example/", "allow_client_to_add_phone_no": "no"}),
        ),
    ] {
        let refused = record.send(title, hub.patch(&body)).await;
        assert_meta(&refused, 400);
        assert!(refused.json()["meta"]["details"].is_array(), "{title}");
    }
    for (title, kind, body) in [
        ("broken JSON", "application/json", "{\"webhook_url\":"),
        ("JSON that is no object", "application/json", "7"),
    ] {
        let refused = record.send(title, hub.call("PATCH", &hub.target()).body(kind, body)).await;
        assert_meta(&refused, 400);
    }
    assert_eq!(hub.view().await, before, "all or nothing");
    hub.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn who_is_let_in() {
    let hub = Hub::new("Acme Chat").await;
    let mut record = hub.record();
    let rival = hub.app.partner("Rival").await;
    let (rivals_key, rivals_handle) = partner_api(&rival);
    record.name("rival's handle", rivals_handle);
    let child = hub.app.child(hub.partner.account.id, "Corner Bakery").await;
    let body = json!({"webhook_url": "https://evil.example/"});
    let before = hub.view().await;
    for method in ["GET", "PATCH"] {
        let own = hub.target();
        let call = |key: &str| hub.app.request(method, &own).header("x-api-key", key).json(&body);
        let none = hub.app.request(method, &own).json(&body);
        assert_meta(&record.send("no key", none).await, 401);
        for key in ["wrong", "", live(&hub.partner), live(&child)] {
            assert_meta(&call(key).send().await, 401);
        }
        let access_key = hub.app.request(method, &own).key(live(&hub.partner)).json(&body);
        assert_meta(&record.send("an access key", access_key).await, 401);
        let in_query = format!("{own}?access_key={}", partner_api(&hub.partner).0);
        assert_meta(&hub.app.request(method, &in_query).json(&body).send().await, 401);
        for other in [rivals_handle, "q8ZrT2PA", "x", "%00"] {
            let foreign = hub.call(method, &format!("/api/v2/partners/{other}")).json(&body);
            assert_meta(&record.send("another id, whether it exists or not", foreign).await, 403);
        }
        assert_meta(&record.send("a rival's key", call(rivals_key)).await, 403);
    }
    let existing = hub.call("GET", &format!("/api/v2/partners/{rivals_handle}")).send().await;
    let missing = hub.call("GET", "/api/v2/partners/q8ZrT2PA").send().await;
    assert_eq!(existing.body, missing.body, "nobody learns whether an id exists");

    hub.app.store.write(hub.partner.account.id, account::suspend).await.unwrap();
    hub.app.notice_changes().await;
    for method in ["GET", "PATCH"] {
        let suspended = record.send("a suspended partner", hub.call(method, &hub.target()).json(&body)).await;
        assert_meta(&suspended, 403);
    }
    hub.app.store.write(hub.partner.account.id, account::resume).await.unwrap();
    hub.app.notice_changes().await;
    assert_eq!(hub.view().await, before);
    hub.app.store.write(hub.partner.account.id, account::delete).await.unwrap();
    hub.app.notice_changes().await;
    assert_meta(&record.send("a deleted partner", hub.call("GET", &hub.target())).await, 401);
    hub.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn what_the_hub_does_not_have() {
    let hub = Hub::new("Acme Chat").await;
    let mut record = hub.record();
    for path in ["/api/v2/nothing", "/api/v2/partners", "/v1/partners/a/b", "/api/v2/partners/%ff"] {
        assert_meta(&record.send("no such path", hub.call("GET", path)).await, 404);
    }
    let rest = hub.call("GET", "/contacts").header("host", "hub.acme.example");
    assert_meta(&record.send("another product's path", rest).await, 404);
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let refused = record.send("another method", hub.call(method, &hub.target())).await;
        assert_meta(&refused, 405);
        assert!(refused.header("allow").contains("PATCH"));
    }
    let query = format!("{}?_method=PATCH&webhook_url=https://evil.example/", hub.target());
    let before = hub.view().await;
    assert_eq!(hub.call("GET", &query).send().await.expect(200), before, "the hub knows no _method");
    hub.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn limits_on_bodies_and_on_wrong_keys() {
    let app = TestApp::with(Options { body_limit: 100, ..Options::default() }).await;
    let hub = Hub { partner: app.partner("Acme Chat").await, app };
    let mut record = hub.record();
    let large = hub.patch(&json!({"webhook_url": format!("https://a.example/{}", "x".repeat(100))}));
    assert_meta(&record.send("a large body", large).await, 400);
    let wrong =
        || hub.app.request("GET", "/api/v2/partners/x").header("x-api-key", "wrong").from("198.51.100.9");
    let (tries, limited) = record.send_until(429, "too many wrong keys", wrong).await;
    assert!(tries >= 20, "{tries} tries are few");
    assert_meta(&limited, 429);
    assert!(!limited.header("retry-after").is_empty());
    hub.app.settle().await;
    insta::assert_snapshot!(record.text());
}

/// Stores what no unit would: settings that are no JSON.
async fn spoil(tx: &mut Tx, id: &AccountId) -> Result<()> {
    tx.put(sql!("UPDATE partner SET settings = 'broken' WHERE root = $1"), &[id]).await?;
    Ok(())
}

#[tokio::test]
async fn an_unexpected_failure_tells_its_request_id_and_nothing_else() {
    let hub = Hub::new("Acme Chat").await;
    let mut record = hub.record();
    hub.app.store.write(hub.partner.account.id, spoil).await.unwrap();
    let failed = record.send("a row that cannot be read", hub.call("GET", &hub.target())).await;
    assert_meta(&failed, 500);
    let id = failed.header("x-request-id");
    assert!(String::from_utf8_lossy(&failed.body).contains(id));
    record.name("request id", id);
    hub.app.settle().await;
    insta::assert_snapshot!(record.text());
}
