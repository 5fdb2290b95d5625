//! The 360dialog Partner API beyond the partner object (docs/spec/30-360-partner.md, 31-360-clients-channels.md): clients,
//! sharing, channels, keys, business accounts, templates, balances and tokens, in the shapes that its clients send.

use crate::support::record::Record;
use crate::support::{Answer, Call, TestApp, live, partner_api};
use rookery::core::account::{self, NewAccount, Setting};
use rookery::core::ledger::{self, Grant};
use rookery::core::money::Amount;
use rookery::core::partner::Patch;
use rookery::core::password::{Password, Passwords};
use rookery::core::person::{self, NewPerson, Role};
use serde_json::{Value, json};
use std::time::Duration;

/// An installation with a partner.
pub struct Hub {
    pub app: TestApp,
    pub partner: NewAccount,
}

pub const WABA: &str = "702100000000011";

impl Hub {
    pub async fn new() -> Self {
        Self::of(TestApp::new().await).await
    }

    /// A partner of an installation.
    pub async fn of(app: TestApp) -> Self {
        let partner = app.partner("Acme Chat").await;
        Hub { app, partner }
    }

    /// A path below the partner's own.
    pub fn path(&self, below: &str) -> String {
        format!("/api/v2/partners/{}{below}", partner_api(&self.partner).1)
    }

    /// A request with the partner's key, to a path below its own.
    pub fn call(&self, method: &str, below: &str) -> Call<'_> {
        self.app.request(method, &self.path(below)).header("x-api-key", partner_api(&self.partner).0)
    }

    pub async fn get(&self, below: &str) -> Value {
        self.call("GET", below).send().await.expect(200)
    }

    /// The id of a client made over the wire.
    pub async fn client(&self, email: &str) -> String {
        let body = json!({"name": "Bakery BV", "email": email});
        let made = self.call("POST", "/account_sharing/clients").json(&body).send().await.expect(201);
        text(&made["client_id"])
    }

    /// Asks for a client that is there already.
    pub async fn client_again(&self, email: &str) {
        let body = json!({"name": "Bakery BV", "email": email});
        self.call("POST", "/account_sharing/clients").json(&body).send().await.expect(200);
    }

    /// Shares a business account's numbers.
    pub async fn share(&self, client: &str, waba: &str) -> Answer {
        let body = json!({"client_id": client, "solution_id": "70110000000001", "tier": "regular",
            "waba_external_id": waba});
        self.call("POST", "/account_sharing/numbers").json(&body).send().await
    }

    /// A client with a channel that is live: both ids.
    pub async fn channel(&self) -> (String, String) {
        let client = self.client("it@bakery.example").await;
        self.share(&client, WABA).await.expect(200);
        self.app.settle().await;
        let all = self.get("/channels").await;
        (client, text(&all["partner_channels"][0]["id"]))
    }

    pub async fn set(&self, patch: Patch) {
        let command = (self.partner.account.id, Setting::Partner(patch));
        self.app.store.write(command, account::set).await.expect("the setting is changed");
    }

    /// A user of the partner who may do everything.
    pub async fn user(&self, email: &str, password: &str) {
        self.user_as(Role::Owner, email, password).await;
    }

    /// A user of the partner.
    pub async fn user_as(&self, role: Role, email: &str, password: &str) {
        let hashed = Password::chosen(password.to_owned()).expect("a password");
        let password = Passwords::default().hash(hashed, &store::Entropy::seeded(3)).await.expect("a hash");
        let new = NewPerson {
            account: self.partner.account.id,
            email: email.to_owned(),
            name: String::new(),
            role,
            password,
        };
        self.app.store.write(new, person::create).await.expect("a user");
    }

    /// A record that shows what chance has made under names.
    fn record(&self) -> Record {
        let mut record = Record::new();
        record.name("partner", partner_api(&self.partner).1);
        record
    }
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[tokio::test]
async fn clients_are_the_child_accounts() {
    let hub = Hub::new().await;
    let mut record = hub.record();
    let child = hub.app.child(hub.partner.account.id, "Corner Bakery").await;
    let listed = record.send("a child made elsewhere", hub.call("GET", "/clients")).await.expect(200);
    let corner = text(&listed["clients"][0]["id"]);
    record.name("corner", &corner);
    assert!(corner.len() == 10 && corner.ends_with("CL"), "{corner}");
    let body = json!({"name": "Bakery BV", "email": "IT@Bakery.example", "user_name": "John Doe", "hosting_type": "x"});
    let made =
        record.send("a client", hub.call("POST", "/account_sharing/clients").json(&body)).await.expect(201);
    let bakery = text(&made["client_id"]);
    record.name("bakery", &bakery);
    assert_eq!(made["id"], made["client_id"]);
    let children = hub.app.request("GET", "/child-accounts").key(live(&hub.partner)).send().await.expect(200);
    let names: Vec<&Value> = children.as_array().unwrap().iter().map(|child| &child["name"]).collect();
    assert!(names.contains(&&json!("Bakery BV")) && names.contains(&&json!("Corner Bakery")), "{names:?}");

    let again = record
        .send("the same address", hub.call("POST", "/account_sharing/clients").json(&body))
        .await
        .expect(200);
    assert_eq!(again["id"], made["id"]);
    record.send("one client", hub.call("GET", &format!("/clients/{bakery}"))).await.expect(200);
    let patch = json!({"partner_payload": "crm-118", "max_channels": 5});
    let patched = record
        .send("a change", hub.call("PATCH", &format!("/clients/{bakery}")).json(&patch))
        .await
        .expect(200);
    let nulls = json!({"partner_payload": null, "max_channels": null});
    let same = hub.call("PATCH", &format!("/clients/{bakery}")).json(&nulls).send().await.expect(200);
    assert_eq!(same, patched, "null leaves as it is");
    for wrong in [json!({"max_channels": -1}), json!({"max_channels": 1.5}), json!({"max_channels": "many"})]
    {
        let refused = hub.call("PATCH", &format!("/clients/{bakery}")).json(&wrong).send().await;
        assert_eq!(refused.expect(400)["meta"]["success"], false, "{wrong}");
    }
    // A child that has only an account takes a change as well.
    let patched = hub.call("PATCH", &format!("/clients/{corner}")).json(&patch).send().await.expect(200);
    assert_eq!(patched["partner_payload"], "crm-118");
    for (title, body) in [
        ("nothing", json!({})),
        ("no address", json!({"name": "x", "email": "x"})),
        ("a number for a name", json!({"name": [1], "email": "a@b.example"})),
    ] {
        let refused = record.send(title, hub.call("POST", "/account_sharing/clients").json(&body)).await;
        refused.expect(400);
    }
    record
        .send("deleting is not served", hub.call("DELETE", &format!("/clients/{bakery}")))
        .await
        .expect(405);
    hub.app.store.write(child.account.id, account::delete).await.unwrap();
    hub.call("GET", &format!("/clients/{corner}")).send().await.expect(404);
    assert_eq!(hub.get("/clients").await["total"], 1);
    hub.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn the_address_is_free_again_after_deleting_and_the_rule_is_a_switch() {
    let hub = Hub::new().await;
    let body = json!({"name": "Bakery BV", "email": "it@bakery.example"});
    let make = async || hub.call("POST", "/account_sharing/clients").json(&body).send().await;
    let first = make().await.expect(201);
    let children = hub.app.request("GET", "/child-accounts").key(live(&hub.partner)).send().await.expect(200);
    let number = &children[0]["id"];
    hub.app
        .request("DELETE", &format!("/child-accounts/{number}"))
        .key(live(&hub.partner))
        .send()
        .await
        .expect(200);
    let second = make().await.expect(201);
    assert_ne!(first["id"], second["id"]);
    assert_eq!(make().await.expect(200)["id"], second["id"]);
    hub.set(Patch { clients_by_email: Some(false), ..Patch::default() }).await;
    assert_ne!(make().await.expect(201)["id"], second["id"]);
    hub.app.settle().await;
}

#[tokio::test]
async fn lists_take_every_shape_of_filters_and_order() {
    let hub = Hub::new().await;
    let mut ids = Vec::new();
    for name in ["ada", "bob", "cid"] {
        let body = json!({"name": format!("{name} & co"), "email": format!("{name}@x.example")});
        let made = hub.call("POST", "/account_sharing/clients").json(&body).send().await.expect(201);
        ids.push(text(&made["id"]));
    }
    let total = async |query: String| {
        let answer = hub.get(&format!("/clients?{query}")).await;
        assert_eq!(answer["count"], json!(answer["clients"].as_array().unwrap().len()), "{query}");
        answer["total"].as_i64().unwrap()
    };
    let id = &ids[1];
    for (filters, wanted) in [
        // What clients leave as it is; the rest is encoded by every HTTP library.
        (format!("{{%22id%22:%22{id}%22}}"), 1),
        (format!("{{'id':%20'{id}'}}"), 1),
        (encoded(&format!("{{\"id\": \"{id}\"}}")), 1),
        (encoded(&format!("{{'id': '{id}'}}")), 1),
        (encoded("{\"contact_info.email\":\"BOB@x.example\"}"), 1),
        (encoded("{\"contact_info\":{\"email\":\"bob@x.example\"}}"), 1),
        (encoded(&format!("{{\"id\":[\"{id}\",\"{}\"]}}", ids[0])), 2),
        (encoded("{\"partner_payload\":null}"), 3),
        (encoded("{'partner_payload': None, 'suspicious': False}"), 3),
        (encoded("{\"name\":\"bob & co\",\"status\":\"active\"}"), 1),
        (encoded("{\"id\":\"nothing\"}"), 0),
        (encoded("{}"), 3),
        (String::new(), 3),
    ] {
        assert_eq!(total(format!("filters={filters}")).await, wanted, "{filters}");
    }
    let names = async |query: &str| {
        let answer = hub.get(&format!("/clients?{query}")).await;
        let clients = answer["clients"].as_array().unwrap().clone();
        (clients.iter().map(|one| text(&one["name"])[..3].to_owned()).collect::<Vec<_>>().join(" "), answer)
    };
    assert_eq!(names("sort=name").await.0, "ada bob cid");
    let (order, answer) = names("sort=-name,created_at&limit=2").await;
    assert_eq!((order.as_str(), &answer["sort"]), ("cid bob", &json!(["-name", "created_at"])));
    assert_eq!((&answer["count"], &answer["total"], &answer["limit"]), (&json!(2), &json!(3), &json!(2)));
    assert_eq!(names("sort=name&offset=2&limit=200").await.0, "cid");
    assert_eq!(names("limit=0").await.0, "");
    let default = hub.get("/clients").await;
    assert_eq!(
        (&default["sort"], &default["filters"], &default["limit"]),
        (&json!(["id"]), &json!({}), &json!(1000))
    );
    for wrong in [
        "limit=-1",
        "limit=x",
        "offset=1.5",
        "sort=unknown",
        "filters=%7B",
        "filters=7",
        "filters=%7B%22unknown%22%3A1%7D",
        &format!("filters={}", encoded(&json!({"id": vec!["x"; 101]}).to_string())),
    ] {
        let refused = hub.call("GET", &format!("/clients?{wrong}")).send().await.expect(400);
        assert_eq!(refused["meta"]["http_code"], 400, "{wrong}");
    }
    hub.app.settle().await;
}

#[tokio::test]
async fn a_shared_number_becomes_a_channel_with_keys() {
    let hub = Hub::new().await;
    let mut record = hub.record();
    let client = hub.client("it@bakery.example").await;
    record.name("client", &client);
    let body = json!({"client_id": client, "solution_id": "70110000000001", "tier": "regular",
        "waba_external_id": WABA, "waba_business_id": "703200000000022"});
    let shared =
        record.send("share", hub.call("POST", "/account_sharing/numbers").json(&body)).await.expect(200);
    assert_eq!(shared, body);
    hub.app.settle().await;
    let listed = record.send("channels", hub.call("GET", "/channels")).await.expect(200);
    let channel = text(&listed["partner_channels"][0]["id"]);
    let waba = text(&listed["partner_channels"][0]["waba_account"]["id"]);
    let app = text(&listed["partner_channels"][0]["integration"]["app_id"]);
    let namespace = text(&listed["partner_channels"][0]["waba_account"]["namespace"]);
    for (name, value) in [("channel", &channel), ("waba", &waba), ("app", &app), ("namespace", &namespace)] {
        record.name(name, value);
    }
    assert!(channel.len() == 8 && channel.ends_with("CH") && waba.len() == 8 && waba.ends_with("WA"));
    let one = hub.get(&format!("/channels/{channel}")).await;
    assert_eq!(one, listed["partner_channels"][0]);
    assert_eq!((&one["status"], &one["hub_status"]), (&json!("ready"), &json!("live")));
    record.send("the business account", hub.call("GET", &format!("/waba_accounts/{waba}"))).await.expect(200);
    for filter in [
        json!({"id": channel}),
        json!({"client_id": client}),
        json!({"client.contact_info.email": "it@bakery.example"}),
        json!({"waba_account.id": waba, "waba_account.fb_account_status": "verified"}),
        json!({"q": "bakery"}),
        json!({"terminated_at": null, "setup_info.phone_number": format!("+{}", text(&one["setup_info"]["phone_number"]))}),
    ] {
        let found = hub.get(&format!("/channels?filters={}", encoded(&filter.to_string()))).await;
        assert_eq!(found["total"], 1, "{filter}");
    }
    let none = hub.get(&format!("/channels?filters={}", encoded("{\"id\":\"nothing\"}"))).await;
    assert_eq!(none["total"], 0);

    let keys = format!("/channels/{channel}/api_keys");
    let first = record.send("a key", hub.call("POST", &keys)).await.expect(201);
    record.name("key", text(&first["api_key"]));
    record.name("key's number", text(&first["id"]));
    assert_eq!(first["address"], "http://localhost/_waba-v2");
    let labelled = hub.call("POST", &keys).header("host", "hub.acme.example").body("application/json", "{}");
    assert_eq!(labelled.send().await.expect(201)["address"], "http://waba-v2.acme.example");
    let list = hub.get(&keys).await;
    assert_eq!(
        (list["api_keys"].as_array().unwrap().len(), &list["api_keys"][0]["api_key"]),
        (1, &json!("********"))
    );
    record.send("revoke", hub.call("DELETE", &keys).body("application/json", "{}")).await.expect(200);
    assert_eq!(hub.get(&keys).await, json!({"api_keys": []}));
    let shared = hub.get(&format!("/clients/{client}/shared_client_numbers")).await;
    assert_eq!(shared, json!({"channels": [channel]}));
    let settings = format!("/clients/{client}/channels/{channel}/whatsapp_commerce_settings");
    assert_eq!(hub.get(&settings).await["data"][0]["id"], one["external_id"]);
    hub.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn sharing_is_refused_whole_and_repeated_without_doubles() {
    let hub = Hub::new().await;
    let client = hub.client("it@bakery.example").await;
    let other = hub.client("it@other.example").await;
    for _ in 0..5 {
        hub.share(&client, WABA).await.expect(200);
    }
    hub.app.settle().await;
    hub.share(&client, WABA).await.expect(200);
    hub.app.settle().await;
    assert_eq!(hub.get("/channels").await["total"], 1);
    let taken = hub.share(&other, WABA).await.expect(400);
    assert_eq!(taken["meta"]["details"][0], "waba_external_id: is in use already.");
    for body in [
        json!({"solution_id": "1", "waba_external_id": "2"}),
        json!({"client_id": client, "solution_id": "x", "waba_external_id": "2"}),
        json!({"client_id": client, "waba_external_id": "2"}),
        json!({"client_id": client, "solution_id": "1", "waba_external_id": "2", "tier": "gold"}),
    ] {
        hub.call("POST", "/account_sharing/numbers").json(&body).send().await.expect(400);
    }
    let by_owner =
        json!({"solution_id": "1", "waba_external_id": "702100000000099", "waba_business_id": "7"});
    hub.call("POST", "/account_sharing/numbers").json(&by_owner).send().await.expect(404);
    hub.share("00000000CL", "1").await.expect(404);
    // A full client, and one whose partner lets nobody add numbers.
    let full = json!({"max_channels": 1});
    hub.call("PATCH", &format!("/clients/{client}")).json(&full).send().await.expect(200);
    hub.share(&client, "702100000000012").await.expect(403);
    hub.share(&client, WABA).await.expect(200);
    hub.set(Patch { clients_add_numbers: Some(false), ..Patch::default() }).await;
    hub.share(&other, "702100000000013").await.expect(403);
    hub.app.settle().await;
    assert_eq!(hub.get("/channels").await["total"], 1);
}

#[tokio::test]
async fn a_retry_storm_makes_one_client_and_one_channel() {
    let hub = Hub::new().await;
    let body = json!({"name": "Bakery BV", "email": "storm@bakery.example"});
    let make = || hub.call("POST", "/account_sharing/clients").json(&body).send();
    let answers = futures_util::future::join_all((0..24).map(|_| make())).await;
    let ids: std::collections::BTreeSet<String> =
        answers.iter().map(|answer| text(&answer.json()["client_id"])).collect();
    assert_eq!(ids.len(), 1);
    let created = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(created, 1, "one creates, the others find");
    let client = ids.first().unwrap();
    let answers = futures_util::future::join_all((0..24).map(|_| hub.share(client, WABA))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    hub.app.settle().await;
    assert_eq!(hub.get("/clients").await["total"], 1);
    assert_eq!(hub.get("/channels").await["total"], 1);
}

#[tokio::test]
async fn keys_need_a_running_channel_and_permission() {
    let hub = Hub::new().await;
    let client = hub.client("it@bakery.example").await;
    hub.share(&client, WABA).await.expect(200);
    // One step: the channel is made, and takes its first step.
    rookery::run::grow::turn(&hub.app.store, rookery::wire::EVENTS).await.unwrap();
    let channel = text(&hub.get("/channels").await["partner_channels"][0]["id"]);
    let keys = format!("/channels/{channel}/api_keys");
    let early = hub.call("POST", &keys).send().await.expect(400);
    assert!(text(&early["meta"]["developer_message"]).contains("running"), "{early}");
    hub.app.settle().await;
    hub.call("POST", &keys).send().await.expect(201);
    hub.call("POST", "/channels/000000CH/api_keys").send().await.expect(404);
    hub.call("GET", "/channels/000000CH/api_keys").send().await.expect(404);
    // Its end is asked for, taken back, asked for again, and comes after 30 days.
    let control = format!("/clients/{client}/channels/{channel}/control");
    let cancel = format!("{control}/cancellation_request");
    let asked = hub.call("POST", &cancel).body("", "").send().await.expect(200);
    assert!(asked.get("terminated_at").is_none() && asked["id"] == channel.as_str(), "{asked}");
    let back = hub.call("POST", &cancel).json(&json!({"enabled": false})).send().await.expect(200);
    assert!(back.get("cancelled_at").is_none());
    hub.call("POST", &cancel).json(&json!({"enabled": true})).send().await.expect(200);
    hub.app.pass(Duration::from_hours(24 * 31)).await;
    let ended = hub.get(&format!("/channels/{channel}")).await;
    assert!(ended["terminated_at"].is_string() && ended["hub_status"] == "terminated");
    assert_eq!(hub.get(&keys).await, json!({"api_keys": []}), "its keys end with it");
    hub.call("POST", &keys).send().await.expect(400);
    let revived =
        hub.call("POST", &format!("{control}/reactivate")).json(&json!({})).send().await.expect(200);
    assert_eq!(revived["status"], "ready");
    hub.call("POST", &keys).send().await.expect(201);
    hub.app.settle().await;
}

#[tokio::test]
async fn templates() {
    let hub = Hub::new().await;
    let mut record = hub.record();
    let (_, channel) = hub.channel().await;
    let view = hub.get(&format!("/channels/{channel}")).await;
    let waba = text(&view["waba_account_id"]);
    record.name("waba", &waba);
    record.name("namespace", text(&view["waba_account"]["namespace"]));
    let all = format!("/waba_accounts/{waba}/waba_templates");
    let body = json!({"name": "order_shipped", "category": "UTILITY", "language": "en", "allow_category_change": true,
        "components": {"type": "BODY", "text": "Order {{1}} shipped", "example": {"body_text": [["A-17"]]}}});
    let made = record.send("create", hub.call("POST", &all).json(&body)).await.expect(201);
    let id = text(&made["id"]);
    record.name("template", &id);
    record.name("external", text(&made["external_id"]));
    assert!(id.len() == 22 && id.ends_with("WT"), "{id}");
    assert_eq!((&made["status"], &made["rejected_reason"]), (&json!("submitted"), &Value::Null));
    assert!(made["components"].is_array(), "one object alone is wrapped");
    let taken = record.send("the name is taken", hub.call("POST", &all).json(&body)).await.expect(400);
    let words = "is already in use. Please choose a different name for your template.";
    assert!(text(&taken["meta"]["developer_message"]).contains(words));
    let rejected = json!({"name": "reject_me", "category": "marketing", "language": "de",
        "components": [{"type": "BODY", "text": "x"}]});
    hub.call("POST", &all).json(&rejected).send().await.expect(201);
    hub.app.pass(Duration::from_secs(2)).await;
    let listed = record.send("list", hub.call("GET", &format!("{all}?sort=-name"))).await.expect(200);
    record.name("rejected", text(&listed["waba_templates"][0]["id"]));
    record.name("rejected external", text(&listed["waba_templates"][0]["external_id"]));
    assert_eq!(listed["waba_templates"][0]["status"], "rejected");
    assert_eq!(listed["waba_templates"][1]["status"], "approved");
    for filter in [
        "{\"business_templates.name\":\"order_shipped\"}",
        "{\"name\":\"order_shipped\"}",
        "{\"language\":\"de\"}",
    ] {
        assert_eq!(hub.get(&format!("{all}?filters={}", encoded(filter))).await["total"], 1, "{filter}");
    }
    let changed = json!({"components": [{"type": "BODY", "text": "new"}], "allow_category_change": true});
    let old = hub.path(&format!("{all}/{id}")).replace("/api/v2", "/v1");
    let patched =
        hub.app.request("PATCH", &old).header("x-api-key", partner_api(&hub.partner).0).json(&changed);
    assert_eq!(patched.send().await.expect(200), json!({"success": true}));
    let seen = hub.get(&format!("{all}/{id}")).await;
    assert_eq!((&seen["status"], &seen["components"][0]["text"]), (&json!("submitted"), &json!("new")));
    for wrong in [
        json!({}),
        json!({"name": "Bad Name", "category": "UTILITY", "language": "en", "components": []}),
        json!({"name": "x", "category": "OTHER", "language": "en", "components": []}),
        json!({"name": "x", "category": "UTILITY", "language": "english", "components": []}),
        json!({"name": "x", "category": "UTILITY", "language": "en", "components": "x"}),
    ] {
        hub.call("POST", &all).json(&wrong).send().await.expect(400);
    }
    record
        .send("delete", hub.call("DELETE", &format!("{all}/{id}")).body("application/json", "{}"))
        .await
        .expect(200);
    hub.call("DELETE", &format!("{all}/{id}")).send().await.expect(404);
    hub.call("GET", "/waba_accounts/000000WA/waba_templates").send().await.expect(404);
    hub.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn balances() {
    let hub = Hub::new().await;
    let mut record = hub.record();
    let (client, channel) = hub.channel().await;
    record.name("client", &client);
    record.name("channel", &channel);
    let children = hub.app.request("GET", "/child-accounts").key(live(&hub.partner)).send().await.expect(200);
    let child = rookery::core::AccountId(children[0]["id"].as_i64().unwrap());
    for (account, amount) in [(hub.partner.account.id, 812_400_000), (child, 42_500_000)] {
        let grant = Grant { account, amount: Amount(amount), currency: None };
        hub.app.store.write(grant, ledger::grant).await.unwrap();
    }
    let partner = record.send("the partner's", hub.call("GET", "/balance")).await.expect(200);
    assert_eq!(partner, json!([{"currency": "eur", "total": 812.4}]));
    let of_client = format!("/clients/{client}/info/balance");
    let balance = record.send("a client's", hub.call("GET", &of_client)).await.expect(200);
    assert_eq!((&balance["balance"], &balance["usage"]), (&json!(42.5), &json!([])));
    let query = "?start_date=0&end_date=4102358400&granularity=DAY&from_month=3&from_year=2024";
    assert_eq!(hub.get(&format!("{of_client}{query}")).await["granularity"], "day");
    hub.call("GET", &format!("{of_client}?granularity=week")).send().await.expect(400);
    let of_channel = format!("/clients/{client}/channels/{channel}/info/balance");
    assert_eq!(hub.get(&of_channel).await["balance"], 42.5);
    hub.call("GET", "/clients/00000000CL/info/balance").send().await.expect(404);
    hub.call("GET", &format!("/clients/{client}/channels/000000CH/info/balance")).send().await.expect(404);
    hub.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn people_sign_in_for_tokens() {
    let hub = Hub::new().await;
    hub.user("ops@acme.example", "not-a-real-password").await;
    let sign_in = async |body: Value| hub.app.request("POST", "/api/v2/token").json(&body).send().await;
    let good = json!({"username": "OPS@acme.example", "password": "not-a-real-password"});
    let token = sign_in(good.clone()).await.expect(200);
    assert_eq!((&token["expires_in"], &token["token_type"]), (&json!(86400), &json!("Bearer")));
    assert!(text(&token["access_token"]).split('.').count() == 3 && token["refresh_token"].is_string());
    let bearer = async |scheme: &str, token: &str| {
        let call = hub.app.request("GET", &hub.path(""));
        call.header("authorization", &format!("{scheme} {token}")).send().await.status.as_u16()
    };
    let access = text(&token["access_token"]);
    assert_eq!((bearer("Bearer", &access).await, bearer("bearer", &access).await), (200, 200));
    assert_eq!(bearer("Bearer", "x.y.z").await, 401);
    assert_eq!(bearer("Bearer", partner_api(&hub.partner).0).await, 401, "a key is no token");
    let as_key = hub.app.request("GET", &hub.path("")).header("x-api-key", &access).send().await;
    assert_eq!(as_key.status, 401, "a token is no key");
    // Where both are sent the key counts.
    let both = hub.call("GET", "").header("authorization", "Bearer wrong").send().await;
    assert_eq!(both.status, 200);
    for (body, status, error) in [
        (json!({"username": "ops@acme.example", "password": "wrong"}), 401, "invalid_grant"),
        (json!({"username": "nobody@acme.example", "password": "wrong"}), 401, "invalid_grant"),
        (json!({"username": "ops@acme.example"}), 400, "invalid_request"),
        (json!({}), 400, "invalid_request"),
    ] {
        let refused = sign_in(body).await;
        let refused = refused.expect(status);
        assert_eq!((&refused["error"], refused.get("meta")), (&json!(error), None));
        assert!(refused["error_description"].is_string());
    }
    let other = hub.app.request("GET", "/api/v2/token").send().await;
    assert_eq!(other.expect(405)["error"], "invalid_request");
    // It lasts as long as it says, and ends.
    hub.app.clock.advance(Duration::from_secs(86_000));
    assert_eq!(bearer("Bearer", &access).await, 200);
    hub.app.clock.advance(Duration::from_secs(500));
    assert_eq!(bearer("Bearer", &access).await, 401);
    let access = text(&sign_in(good.clone()).await.expect(200)["access_token"]);
    hub.set(Patch { token_sign_in: Some(false), ..Patch::default() }).await;
    hub.app.notice_changes().await;
    assert_eq!(bearer("Bearer", &access).await, 401, "switched off");
    assert_eq!(sign_in(good.clone()).await.expect(403)["error"], "unauthorized_client");
    hub.set(Patch { token_sign_in: Some(true), ..Patch::default() }).await;
    let access = text(&sign_in(good).await.expect(200)["access_token"]);
    let people = hub.app.store.read(hub.partner.account.scope(), person::list).await.unwrap();
    hub.app.store.write((people[0].scope, people[0].id), person::remove).await.unwrap();
    hub.app.notice_changes().await;
    assert_eq!(bearer("Bearer", &access).await, 401, "its person is gone");
    hub.app.settle().await;
}

#[tokio::test]
async fn the_webhook_url_is_that_of_the_partner_object() {
    let hub = Hub::new().await;
    assert_eq!(hub.get("/webhook_url").await, json!({}));
    let body =
        json!({"webhook_url": "https://acme.example/hook?secret=1", "headers": {"X-Partner-Auth": "abc"}});
    let set = hub.call("POST", "/webhook_url").json(&body).send().await.expect(200);
    assert_eq!(set, hub.get("").await);
    assert_eq!(hub.get("/webhook_url").await, json!({"webhook_url": "https://acme.example/hook?secret=1"}));
    for wrong in [
        json!({}),
        json!({"webhook_url": "x"}),
        json!({"webhook_url": "https://a.example", "headers": {"Host": "x"}}),
        json!({"webhook_url": "https://a.example", "headers": {"X-A": "a\nb"}}),
        json!({"webhook_url": "https://a.example", "headers": ["x"]}),
    ] {
        hub.call("POST", "/webhook_url").json(&wrong).send().await.expect(400);
    }
    assert_eq!(hub.get("").await, set);
    hub.app.settle().await;
}

/// Not found and not yours are the same answer: another partner asks by its own path for the ids of this one.
#[tokio::test]
async fn another_partners_objects_do_not_exist() {
    let hub = Hub::new().await;
    let (client, channel) = hub.channel().await;
    let waba = text(&hub.get(&format!("/channels/{channel}")).await["waba_account_id"]);
    let all = format!("/waba_accounts/{waba}/waba_templates");
    let body = json!({"name": "order", "category": "UTILITY", "language": "en", "components": []});
    let template = text(&hub.call("POST", &all).json(&body).send().await.expect(201)["id"]);
    let rival = hub.app.partner("Rival").await;
    let (key, handle) = partner_api(&rival);
    let before = (hub.get("/clients").await, hub.get("/channels").await, hub.get(&all).await);
    let ask = async |method: &str, below: String| {
        let call = hub.app.request(method, &format!("/api/v2/partners/{handle}{below}"));
        let answer = call.header("x-api-key", key).json(&json!({"components": []})).send().await;
        (answer.status.as_u16(), answer.body)
    };
    for (method, mine, ghost) in [
        ("GET", format!("/clients/{client}"), "/clients/00000000CL".to_owned()),
        ("PATCH", format!("/clients/{client}"), "/clients/00000000CL".to_owned()),
        ("GET", format!("/clients/{client}/info/balance"), "/clients/00000000CL/info/balance".to_owned()),
        (
            "GET",
            format!("/clients/{client}/shared_client_numbers"),
            "/clients/00000000CL/shared_client_numbers".to_owned(),
        ),
        ("GET", format!("/channels/{channel}"), "/channels/000000CH".to_owned()),
        ("POST", format!("/channels/{channel}/api_keys"), "/channels/000000CH/api_keys".to_owned()),
        ("GET", format!("/channels/{channel}/api_keys"), "/channels/000000CH/api_keys".to_owned()),
        ("DELETE", format!("/channels/{channel}/api_keys"), "/channels/000000CH/api_keys".to_owned()),
        (
            "POST",
            format!("/clients/{client}/channels/{channel}/control/cancellation_request"),
            "/clients/00000000CL/channels/000000CH/control/cancellation_request".to_owned(),
        ),
        ("GET", format!("/waba_accounts/{waba}"), "/waba_accounts/000000WA".to_owned()),
        ("GET", all.clone(), "/waba_accounts/000000WA/waba_templates".to_owned()),
        ("GET", format!("{all}/{template}"), "/waba_accounts/000000WA/waba_templates/xWT".to_owned()),
        ("PATCH", format!("{all}/{template}"), "/waba_accounts/000000WA/waba_templates/xWT".to_owned()),
        ("DELETE", format!("{all}/{template}"), "/waba_accounts/000000WA/waba_templates/xWT".to_owned()),
    ] {
        let (status, theirs) = ask(method, mine.clone()).await;
        assert_eq!((status, &theirs), (404, &ask(method, ghost).await.1), "{method} {mine}");
    }
    let share = json!({"client_id": client, "solution_id": "1", "waba_external_id": "2"});
    let call = hub.app.request("POST", &format!("/api/v2/partners/{handle}/account_sharing/numbers"));
    call.header("x-api-key", key).json(&share).send().await.expect(404);
    for list in ["/clients", "/channels"] {
        assert!(String::from_utf8_lossy(&ask("GET", list.to_owned()).await.1).contains("\"total\":0"));
    }
    assert_eq!((hub.get("/clients").await, hub.get("/channels").await, hub.get(&all).await), before);
    hub.app.settle().await;
}
