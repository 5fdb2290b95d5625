//! Channels for the tests that walk every endpoint: how one is made over the wire, and what the hub's endpoints take.

use super::{TestApp, partner_api};
use rookery::core::account::NewAccount;
use rookery::run::grow;
use rookery::wire::EVENTS;
use serde_json::{Value, json};

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// Gives a partner its own addresses, by which its data would be known.
pub async fn set_addresses(app: &TestApp, partner: &NewAccount) {
    let (api_key, handle) = partner_api(partner);
    let addresses = json!({
        "webhook_url": "https://ownerly.example/hook",
        "partner_redirect_url": "https://ownerly.example/back",
    });
    let call = app.request("PATCH", &format!("/api/v2/partners/{handle}")).header("x-api-key", api_key);
    call.json(&addresses).send().await.expect(200);
}

/// The key of a new channel of a partner's child, and its business account.
pub async fn channel_key(
    app: &TestApp,
    partner: &NewAccount,
    child: &str,
    number: usize,
) -> (String, String) {
    let (api_key, handle) = partner_api(partner);
    let call = async |method: &str, below: &str, body: Value| {
        let call = app.request(method, &format!("/api/v2/partners/{handle}{below}"));
        call.header("x-api-key", api_key).json(&body).send().await.json()
    };
    let clients = call("GET", "/clients", Value::Null).await["clients"].as_array().expect("clients").clone();
    let client = clients.iter().find(|client| client["name"] == child).expect("the child is a client");
    let body =
        json!({"client_id": client["id"], "solution_id": "1", "waba_external_id": format!("70{number}")});
    call("POST", "/account_sharing/numbers", body).await;
    for _ in 0..4 {
        grow::turn(&app.store, EVENTS).await.expect("channels go on");
    }
    let filter = format!("/channels?filters=%7B%22client_id%22:%22{}%22%7D", text(&client["id"]));
    let channel = call("GET", &filter, Value::Null).await["partner_channels"][0].clone();
    let made = call("POST", &format!("/channels/{}/api_keys", text(&channel["id"])), json!({})).await;
    (text(&made["api_key"]), text(&channel["waba_account_id"]))
}

/// A body that an endpoint of the hub accepts from the owner.
pub fn hub_body(method: &str, below: &str, client: &str, fresh: u64) -> Option<Value> {
    Some(match (method, below) {
        ("POST", "/webhook_url") => json!({"webhook_url": "https://ownerly.example/hook"}),
        ("PATCH", "/clients/{client_id}") => json!({"partner_payload": "new"}),
        ("POST", "/account_sharing/clients") => {
            json!({"name": "Newcomer", "email": format!("new{fresh}@newcomer.example")})
        }
        ("POST", "/account_sharing/numbers") => {
            json!({"client_id": client, "solution_id": "1", "waba_external_id": format!("9{fresh}")})
        }
        ("POST", _) if below.ends_with("cancellation_request") => json!({"enabled": true}),
        ("POST", _) if below.ends_with("waba_templates") => {
            json!({"name": format!("new_{fresh}"), "category": "UTILITY", "language": "en", "components": []})
        }
        ("PATCH", _) if below.ends_with("{template_id}") => json!({"components": []}),
        _ => return None,
    })
}
