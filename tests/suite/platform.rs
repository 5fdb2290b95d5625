//! The platform's own API: its conventions, accounts and their life cycle, the audit log.

use crate::support::platform::{Levels, code, fields, platform_key};
use crate::support::{TestApp, live};
use axum::body::Body;
use axum::http::Request;
use rookery::core::rights::{Right, Rights};
use rookery::run::changes;
use rookery::wire::{Common, Connection, Metrics, Options, Service};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use store::Entropy;

/// Another process on the same database.
pub struct Another {
    service: Service,
    common: Common,
}

impl Another {
    pub fn beside(app: &TestApp) -> Self {
        let common = Common::default();
        let options = Options { rate_limits: false, ..Options::default() };
        let service = Service::new(
            app.store.clone(),
            app.vault.clone(),
            common.clone(),
            Arc::new(Metrics::default()),
            options,
            app.clock.clone(),
            Entropy::seeded(11),
        );
        Another { service, common }
    }

    /// Its router.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// The balance, with an access key.
    async fn balance(&self, key: &str) -> u16 {
        let request = Request::get("/balance").header("host", "localhost");
        let request =
            request.header("authorization", format!("AccessKey {key}")).body(Body::empty()).unwrap();
        let connection = Connection { peer: "127.0.0.1".parse().unwrap(), is_tls: false };
        Box::pin(self.service.handle(connection, request)).await.status().as_u16()
    }

    /// What `run` does every 250 ms.
    async fn look(&self, app: &TestApp) {
        changes::look(&app.store, &self.common.keys, &self.common.terms).await.unwrap();
    }
}

async fn balance(app: &TestApp, key: &str) -> u16 {
    app.request("GET", "/balance").key(key).send().await.status.as_u16()
}

#[tokio::test]
async fn everybody_learns_who_they_are() {
    let world = Levels::new().await;
    let me = world.get("/me", &world.operator).await.expect(200);
    assert_eq!(
        (&me["kind"], &me["account"], &me["scopes"]),
        (&json!("operator"), &Value::Null, &json!(["admin"]))
    );
    let me = world.get("/me", &world.partner_key).await.expect(200);
    assert_eq!(
        (&me["kind"], &me["account"], &me["partner"]),
        (&json!("key"), &json!(world.partner.account.id.0), &Value::Null)
    );
    let me = world.get("/me", &world.child_key).await.expect(200);
    assert_eq!(
        (&me["account"], &me["partner"]),
        (&json!(world.child.account.id.0), &json!(world.partner.account.id.0))
    );
    let narrow = world.partners(&[Right::Money, Right::Read]).await;
    assert_eq!(world.get("/me", &narrow).await.expect(200)["scopes"], json!(["read", "money"]));
    world.app.settle().await;
}

#[tokio::test]
async fn errors_have_one_shape() {
    let world = Levels::new().await;
    let nobody = world.get("/me", "").await;
    assert_eq!(code(&nobody), (401, "unauthenticated".into()));
    assert_eq!(nobody.header("www-authenticate"), "Bearer");
    assert_eq!(nobody.json()["error"]["requestId"], nobody.header("x-request-id"));
    let key = &world.partner_key;
    assert_eq!(code(&world.get("/nothing", key).await), (404, "no_such_path".into()));
    let wrong = world.call("PUT", "/me", key, json!({})).await;
    assert_eq!((code(&wrong), wrong.header("allow")), ((405, "method_not_allowed".into()), "GET,HEAD"));
    let call = |body: &str, kind: &str| {
        let call = world.app.request("POST", "/platform/v1/accounts");
        call.header("authorization", &format!("Bearer {key}")).body(kind, body.to_owned()).send()
    };
    for (body, kind) in [("{", "application/json"), ("[]", "application/json"), ("name=x", "text/plain")] {
        assert_eq!(code(&call(body, kind).await), (400, "malformed".into()), "{body}");
    }
    let unknown = world.post("/accounts", key, json!({"name": "One", "nmae": "Two"})).await;
    assert_eq!(code(&unknown), (400, "malformed".into()));
    let bad = world.post("/accounts", key, json!({"name": " ", "email": 5, "currency": "EUR"})).await;
    assert_eq!(code(&bad), (422, "invalid".into()));
    let wrong = [("name", "blank"), ("email", "invalid"), ("currency", "currency")];
    assert_eq!(fields(&bad), wrong.map(|(field, code)| (field.to_owned(), code.to_owned())));
    let large = world.post("/accounts", key, json!({"name": "x".repeat(2 << 20)})).await;
    assert_eq!(code(&large), (413, "too_large".into()));
    assert_eq!(fields(&world.get("/accounts?limit=0", key).await), [("limit".into(), "out_of_range".into())]);
    world.app.settle().await;
}

#[tokio::test]
async fn a_partner_runs_its_children() {
    let world = Levels::new().await;
    let key = &world.partner_key;
    let made = world
        .post("/accounts", key, json!({"name": "Flower Shop", "email": "f@shop.example"}))
        .await
        .expect(201);
    let id = made["account"]["id"].as_i64().unwrap();
    assert_eq!(
        (&made["account"]["partner"], &made["account"]["currency"]),
        (&json!(world.partner.account.id.0), &json!("EUR"))
    );
    let modes: Vec<&str> =
        made["keys"].as_array().unwrap().iter().map(|key| key["mode"].as_str().unwrap()).collect();
    assert_eq!((modes, made["signingKey"].as_str().unwrap().len()), (vec!["live", "test"], 32));
    assert_eq!(balance(&world.app, made["keys"][0]["key"].as_str().unwrap()).await, 200);
    assert_eq!(world.get(&format!("/accounts/{id}"), key).await.expect(200), made["account"]);
    let changed =
        json!({"name": "Flowers & Co", "invoiceAggregation": false, "timeZone": "Europe/Amsterdam"});
    let changed = world.call("PATCH", &format!("/accounts/{id}"), key, changed).await.expect(200);
    assert_eq!(
        (&changed["name"], &changed["invoiceAggregation"], &changed["email"]),
        (&json!("Flowers & Co"), &json!(false), &json!("f@shop.example"))
    );
    let wrong =
        world.call("PATCH", &format!("/accounts/{id}"), key, json!({"timeZone": "Nowhere/Town"})).await;
    assert_eq!(fields(&wrong), [("timeZone".into(), "invalid".into())]);

    for (search, count) in
        [("flowers%20%26", 1), ("BAKERY", 1), ("shop.example", 1), (&id.to_string(), 1), ("nobody", 0)]
    {
        let found = world.get(&format!("/accounts?search={search}"), key).await.expect(200);
        assert_eq!(found["items"].as_array().unwrap().len(), count, "{search}");
    }
    world.app.settle().await;
}

#[tokio::test]
async fn pages_follow_each_other_by_cursor() {
    let world = Levels::new().await;
    for number in 0..6 {
        world
            .post("/accounts", &world.partner_key, json!({"name": format!("Child {number}")}))
            .await
            .expect(201);
    }
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = world.get(&format!("/accounts?limit=3{after}"), &world.partner_key).await.expect(200);
        let items = page["items"].as_array().unwrap();
        seen.extend(items.iter().map(|item| item["id"].as_i64().unwrap()));
        let Some(next) = page["next"].as_str() else { break };
        assert_eq!(items.len(), 3);
        after = format!("&after={next}");
    }
    let mut sorted = seen.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!((seen.len(), &sorted), (7, &seen));
    let partners = world.get("/accounts", &world.operator).await.expect(200);
    assert_eq!(partners["items"][0]["id"], world.partner.account.id.0);
    assert_eq!(partners["items"].as_array().unwrap().len(), 1);
    let of = format!("/accounts?partner={}", world.partner.account.id);
    assert_eq!(world.get(&of, &world.operator).await.expect(200)["items"].as_array().unwrap().len(), 7);
    assert_eq!(code(&world.get(&of, &world.child_key).await), (404, "not_found".into()));
    world.app.settle().await;
}

#[tokio::test]
async fn the_operator_makes_partners_and_their_children() {
    let world = Levels::new().await;
    let made = world
        .post(
            "/accounts",
            &world.operator,
            json!({"name": "Globex", "currency": "usd", "email": "g@globex.example"}),
        )
        .await
        .expect(201);
    assert_eq!((&made["account"]["partner"], &made["account"]["currency"]), (&Value::Null, &json!("USD")));
    assert_eq!(made["keys"][2]["mode"], "partner");
    let id = made["account"]["id"].as_i64().unwrap();
    let view = world.get(&format!("/accounts/{id}"), &world.operator).await.expect(200);
    assert_eq!(view["email"], "g@globex.example");
    let child = world
        .post("/accounts", &world.operator, json!({"name": "Globex Shop", "partner": id}))
        .await
        .expect(201);
    assert_eq!(child["account"]["currency"], "USD");
    for key in [&world.partner_key, &world.child_key] {
        let refused = world.post("/accounts", key, json!({"name": "Mine", "partner": id})).await;
        assert_eq!(code(&refused), (404, "not_found".into()));
    }
    assert_eq!(
        code(&world.post("/accounts", &world.child_key, json!({"name": "Mine"})).await),
        (403, "forbidden".into())
    );
    world.app.settle().await;
}

#[tokio::test]
async fn suspending_is_in_force_here_at_once_and_elsewhere_after_one_look() {
    let world = Levels::new().await;
    let another = Another::beside(&world.app);
    let key = live(&world.child);
    assert_eq!((balance(&world.app, key).await, another.balance(key).await), (200, 200));
    let suspended =
        world.post(&world.of_child("/suspend"), &world.partner_key, Value::Null).await.expect(200);
    assert_eq!(
        (&suspended["status"], &suspended["effectiveStatus"]),
        (&json!("suspended"), &json!("suspended"))
    );
    assert_eq!(balance(&world.app, key).await, 401);
    another.look(&world.app).await;
    assert_eq!(another.balance(key).await, 401);
    assert_eq!(code(&world.get("/me", &world.child_key).await), (403, "account_suspended".into()));

    // The partner is suspended and resumed: the child has the state that it had.
    let partner = format!("/accounts/{}", world.partner.account.id);
    world.post(&format!("{partner}/suspend"), &world.operator, json!({})).await.expect(200);
    assert_eq!(code(&world.get("/me", &world.partner_key).await), (403, "account_suspended".into()));
    world.post(&world.of_child("/resume"), &world.operator, json!({})).await.expect(200);
    let view = world.get(&world.of_child(""), &world.operator).await.expect(200);
    assert_eq!((&view["status"], &view["effectiveStatus"]), (&json!("active"), &json!("suspended")));
    assert_eq!(balance(&world.app, key).await, 401);
    world.post(&format!("{partner}/resume"), &world.operator, json!({})).await.expect(200);
    another.look(&world.app).await;
    assert_eq!((balance(&world.app, key).await, another.balance(key).await), (200, 200));
    world.app.settle().await;
}

#[tokio::test]
async fn a_deletion_can_be_undone_until_its_days_are_over() {
    let world = Levels::new().await;
    let (key, target) = (live(&world.child), world.of_child(""));
    world.post(&world.of_child("/suspend"), &world.partner_key, json!({})).await.expect(200);
    let closing = world
        .call("DELETE", &format!("{target}?graceDays=10"), &world.partner_key, Value::Null)
        .await
        .expect(200);
    assert_eq!(
        (&closing["status"], &closing["closesAt"]),
        (&json!("suspended"), &json!("2024-03-15T08:15:32Z"))
    );
    let refused = world.post(&world.of_child("/resume"), &world.partner_key, json!({})).await;
    assert_eq!(code(&refused), (422, "invalid".into()));
    let listed =
        world.app.request("GET", "/child-accounts").key(live(&world.partner)).send().await.expect(200);
    assert_eq!(listed, json!([]), "the vendor's API knows no such state");
    world.app.pass(Duration::from_hours(216)).await;
    let restored = world.post(&world.of_child("/restore"), &world.partner_key, json!({})).await.expect(200);
    assert_eq!(
        (&restored["status"], &restored["closesAt"]),
        (&json!("suspended"), &Value::Null),
        "as it was before"
    );
    assert_eq!(
        code(&world.post(&world.of_child("/restore"), &world.partner_key, json!({})).await),
        (422, "invalid".into())
    );
    world.post(&world.of_child("/resume"), &world.partner_key, json!({})).await.expect(200);
    assert_eq!(balance(&world.app, key).await, 200);

    world.call("DELETE", &target, &world.partner_key, Value::Null).await.expect(200);
    assert_eq!(balance(&world.app, key).await, 401);
    world.app.pass(Duration::from_hours(696)).await;
    world.get(&target, &world.partner_key).await.expect(200);
    world.app.pass(Duration::from_hours(48)).await;
    for refused in [
        world.get(&target, &world.partner_key).await,
        world.post(&world.of_child("/restore"), &world.partner_key, json!({})).await,
    ] {
        assert_eq!(code(&refused), (404, "not_found".into()));
    }
    let log = world.get("/audit?limit=1", &world.partner_key).await.expect(200);
    assert_eq!(
        (&log["items"][0]["action"], &log["items"][0]["actorKind"]),
        (&json!("account.delete"), &json!("system"))
    );
    world.app.settle().await;
}

#[tokio::test]
async fn a_deletion_without_grace_is_at_once_and_gives_the_remainder_back() {
    let world = Levels::new().await;
    let gone = format!("{}?graceDays=0", world.of_child(""));
    let gone = world.call("DELETE", &gone, &world.partner_key, Value::Null).await.expect(200);
    assert_eq!(gone["status"], "deleted");
    assert_eq!(balance(&world.app, live(&world.child)).await, 401);
    assert_eq!(code(&world.get(&world.of_child(""), &world.partner_key).await), (404, "not_found".into()));
    world.app.settle().await;
}

#[tokio::test]
async fn every_change_is_in_the_audit_log_with_who_and_what() {
    let world = Levels::new().await;
    let made = world.post("/accounts", &world.partner_key, json!({"name": "=Shop"})).await.expect(201);
    let id = made["account"]["id"].as_i64().unwrap();
    world.post(&format!("/accounts/{id}/suspend"), &world.operator, json!({})).await.expect(200);
    world
        .post(
            &format!("/accounts/{id}/keys"),
            &world.partner_key,
            json!({"mode": "live", "name": "Till\tone\n"}),
        )
        .await
        .expect(201);
    let refused =
        world.post(&format!("/accounts/{id}/keys"), &world.partner_key, json!({"mode": "partner"})).await;
    assert_eq!(code(&refused), (403, "forbidden".into()), "what was not done is not in the log");
    let log = world.get("/audit", &world.partner_key).await.expect(200);
    let lines = log["items"].as_array().unwrap();
    let told: Vec<(&str, &str)> = lines
        .iter()
        .map(|line| (line["action"].as_str().unwrap(), line["actorKind"].as_str().unwrap()))
        .collect();
    assert_eq!(told, [("key.create", "key"), ("account.suspend", "operator"), ("account.create", "key")]);
    let me = world.get("/me", &world.partner_key).await.expect(200);
    assert_eq!((&lines[0]["actor"], &lines[0]["address"]), (&me["id"], &json!("127.0.0.1")));
    assert_eq!(
        (&lines[0]["detail"]["name"], &lines[2]["detail"]["name"]),
        (&json!("Till\tone\n"), &json!("=Shop"))
    );

    let table = world.get("/audit.csv", &world.partner_key).await;
    let text = String::from_utf8(table.body.clone()).unwrap();
    assert_eq!((table.status.as_u16(), table.header("content-type")), (200, "text/csv; charset=utf-8"));
    assert!(
        text.starts_with("id,at,account,") && text.contains("account.create") && text.contains("name==Shop"),
        "{text}"
    );
    // A child sees its own lines, another partner none of them.
    let child = platform_key(&world.app, rookery::core::AccountId(id), Rights::ALL).await;
    world.post(&format!("/accounts/{id}/resume"), &world.operator, json!({})).await.expect(200);
    assert_eq!(world.get("/audit", &child).await.expect(200)["items"].as_array().unwrap().len(), 4);
    assert_eq!(world.get("/audit", &world.child_key).await.expect(200)["items"], json!([]));
    let stranger = world.app.partner("Globex").await;
    let stranger = platform_key(&world.app, stranger.account.id, Rights::ALL).await;
    assert_eq!(world.get("/audit", &stranger).await.expect(200)["items"], json!([]));
    assert_eq!(code(&world.get(&format!("/audit?account={id}"), &stranger).await), (404, "not_found".into()));
    world.app.settle().await;
}

#[tokio::test]
async fn a_post_counts_once_under_a_key_of_its_own() {
    let world = Levels::new().await;
    let post = async |path: &str, once: &str, body: Value| {
        let call = world.app.request("POST", &format!("/platform/v1{path}"));
        let call = call.header("authorization", &format!("Bearer {}", world.partner_key));
        call.header("idempotency-key", once).json(&body).send().await
    };
    let credit = format!("/accounts/{}/top-ups", world.partner.account.id);
    world.post(&credit, &world.operator, json!({"amount": "10"})).await.expect(201);
    for (path, body, other) in [
        ("/accounts".to_owned(), json!({"name": "One"}), json!({"name": "Two"})),
        (world.of_child("/keys"), json!({"mode": "live"}), json!({"mode": "test"})),
        (world.of_child("/transfers"), json!({"amount": "1"}), json!({"amount": "2"})),
        (world.of_child("/suspend"), json!({}), json!({"x": 1})),
    ] {
        let first = post(&path, "k-1", body.clone()).await;
        assert!(first.status.is_success(), "{path}: {}", first.json());
        let again = post(&path, "k-1", body).await;
        assert_eq!((again.status, &again.body), (first.status, &first.body), "{path}");
        assert_eq!((first.header("idempotent-replayed"), again.header("idempotent-replayed")), ("", "true"));
        let mixed_up = post(&path, "k-1", other).await;
        assert!(matches!(mixed_up.status.as_u16(), 400 | 422), "{path}: {}", mixed_up.status);
    }
    let balance = world.get(&world.of_child("/balance"), &world.partner_key).await.expect(200);
    assert_eq!(balance["balance"], "1.00");
    world.app.settle().await;
}
