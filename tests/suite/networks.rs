//! Countries and networks of recipients: from the numbering plan, and from the operator's prefix file.

use crate::support::database::Home;
use crate::support::http::Client;
use crate::support::process::{Server, child, finish, key_of, partner, rookery, run, within_a_second};
use crate::support::shop::Shop;
use rookery::core::network::{self, Network, Prefix};
use serde_json::{Value, json};

async fn import(shop: &Shop, prefixes: &[(&str, &str, &str, &str)]) {
    let prefix = |(digits, mcc, mnc, operator): &(&str, &str, &str, &str)| Prefix {
        digits: (*digits).into(),
        network: Network { mcc: (*mcc).into(), mnc: (*mnc).into(), operator: (*operator).into() },
    };
    let prefixes: Vec<Prefix> = prefixes.iter().map(prefix).collect();
    shop.app.store.write(prefixes, network::set_all).await.expect("prefixes");
    shop.app.notice_changes().await;
}

/// Country, prefix, operator, mccmnc, mcc and mnc of a message's recipients.
fn shown(message: &Value) -> Vec<Value> {
    let items = message["recipients"]["items"].as_array().expect("items");
    let names = ["recipientCountry", "recipientCountryPrefix", "recipientOperator", "mccmnc", "mcc", "mnc"];
    items.iter().map(|item| Value::from(names.map(|name| item[name].clone()).to_vec())).collect()
}

#[tokio::test]
async fn recipients_have_a_country_and_perhaps_a_network() {
    let shop = Shop::new().await;
    let id = shop
        .send(&json!([31_655_500_011_i64, 18_765_550_123_i64, 77_011_234_567_i64, 99_900_000_000_i64]))
        .await;
    let plain = shop.view(&id).await;
    assert_eq!(
        shown(&plain),
        [
            json!(["Jamaica", 1, null, null, "338", null]),
            json!(["Netherlands", 31, null, null, "204", null]),
            json!(["Kazakhstan", 7, null, null, "401", null]),
            json!([null, null, null, null, null, null]),
        ]
    );
    import(&shop, &[("31", "204", "08", "Wide"), ("3165", "204", "04", "Near"), ("999", "901", "070", "")])
        .await;
    let known = shop.view(&id).await;
    assert_eq!(shown(&known)[1], json!(["Netherlands", 31, "Near", "20404", "204", "04"]), "zeros are kept");
    assert_eq!(shown(&known)[3], json!([null, null, "", "901070", "901", "070"]));
    let order: Vec<String> = known["recipients"]["items"][1].as_object().unwrap().keys().cloned().collect();
    let items = shop.call("GET", &format!("/messages/{id}")).send().await;
    let text = String::from_utf8(items.body).unwrap();
    let places: Vec<usize> = [
        "recipient",
        "originator",
        "status",
        "statusDatetime",
        "statusReason",
        "statusErrorCode",
        "recipientCountry",
        "recipientCountryPrefix",
        "recipientOperator",
        "messageLength",
        "messagePartCount",
        "price",
        "mccmnc",
        "mcc",
        "mnc",
    ]
    .iter()
    .map(|name| text[text.find("items").unwrap()..].find(&format!("\"{name}\":")).unwrap())
    .collect();
    assert!(places.is_sorted() && order.len() == 15, "in the order of the specification: {text}");

    shop.app.settle().await;
    let calls = shop.customer.calls();
    for (number, code) in
        [("31655500011", Some("20404")), ("18765550123", None), ("99900000000", Some("901070"))]
    {
        let about =
            calls.iter().find(|call| call.parameter("recipient").as_deref() == Some(number)).expect("a call");
        assert_eq!(about.parameter("mccmnc").as_deref(), code, "{number}");
    }
    let contact = json!({"msisdn": 31_655_500_011_i64});
    let contact = shop.call("POST", "/contacts").json(&contact).send().await.expect(201);
    let target = format!("/contacts/{}/messages", contact["id"].as_str().unwrap());
    let listed = shop.call("GET", &target).send().await.expect(200);
    assert_eq!(shown(&listed["items"][0])[1][2], "Near");

    while shop.app.store.write((), network::clear_some).await.expect("less") > 0 {}
    shop.app.notice_changes().await;
    assert_eq!(shown(&shop.view(&id).await), shown(&plain));
}

#[tokio::test]
async fn prefixes_are_imported_by_command_and_known_within_a_second() {
    let home = Home::new().await;
    let account = child(&home, &partner(&home, "Acme"), "Corner Bakery");
    let key = key_of(&account, "live");
    let server = Server::start(&home);
    let mut client = Client::new(server.address());
    let sent = client.post("/messages", key, "originator=Bakery&recipients=31655500011&body=Hi");
    assert_eq!(sent.status, 201);
    let target = format!("/messages/{}", sent.json()["id"].as_str().unwrap());
    let mut operator =
        || client.get(&target, key).json()["recipients"]["items"][0]["recipientOperator"].clone();
    assert_eq!(operator(), Value::Null);
    let file = home.folder().join("prefixes.csv");
    let import = |text: &str| {
        std::fs::write(&file, text).unwrap();
        run(&home, &["number", "prefixes", "import", file.to_str().unwrap()])
    };
    let done = import("\u{feff}prefix,mcc,mnc,operator\r\n31655,204,08,\"Near, \"\"Far\"\" & Sons\"\r\n\r\n4915,262,01,Example\n").ok();
    assert_eq!(done.stdout, "2 prefixes set\n");
    within_a_second(json!("Near, \"Far\" & Sons"), &mut operator);
    let many: Vec<String> = (1_200..1_450).map(|prefix| format!("{prefix},310,260,Example")).collect();
    assert_eq!(import(&many.join("\n")).ok().stdout, "250 prefixes set\n");
    for (text, what) in [
        ("31655,204,08,Near\n31,204\n", "line 2: PREFIX,MCC,MNC,OPERATOR is needed"),
        ("31655,20,08,Near\n", "line 1: mcc is invalid"),
        ("31655,204,8,Near\n", "line 1: mnc is invalid"),
        ("+31655,204,08,Near\n4x,204,08,Near\n", "line 2: prefix is invalid"),
        ("1234567890123456,204,08,Near\n", "line 1: prefix is invalid"),
    ] {
        import(text).fails(what);
    }
    run(&home, &["number", "prefixes", "import", "nowhere.csv"]).fails("nowhere.csv");
    assert_eq!(run(&home, &["number", "prefixes", "clear"]).ok().stdout, "252 prefixes removed\n");
    within_a_second(Value::Null, &mut operator);
}

#[tokio::test]
async fn a_network_may_have_routes_of_its_own() {
    let home = Home::new().await;
    let account = child(&home, &partner(&home, "Acme"), "Corner Bakery");
    let key = key_of(&account, "live");
    let server = Server::start(&home);
    let mut client = Client::new(server.address());
    let mut own = rookery(&home);
    own.args(["carrier", "add", "own", "--smpp", "127.0.0.1:1", "--system-id", "rookery"]);
    own.args(["--password-env", "SMSC_PASSWORD", "--json"]).env("SMSC_PASSWORD", "secret");
    let own = finish(&mut own).json()["id"].clone();
    let mut gateway = |to: &str| {
        let sent = client.post("/messages", key, &format!("originator=Bakery&recipients={to}&body=Hi"));
        sent.json()["gateway"].clone()
    };
    run(&home, &["route", "add", "--mcc", "204", "--mnc", "08", "own"]).ok();
    run(&home, &["route", "add", "--mcc", "20", "own"]).fails("mcc is invalid");
    run(&home, &["route", "add", "--mcc", "204", "--mnc", "8", "own"]).fails("mnc is invalid");
    let listed = run(&home, &["route", "list", "--json"]).json();
    let wanted =
        json!({"prefix": null, "mcc": "204", "mnc": "08", "carrier": "own", "priority": 0, "weight": 1});
    assert!(listed.as_array().expect("a list").contains(&wanted), "{listed}");
    assert!(run(&home, &["route", "list"]).ok().stdout.contains("network 204 08"));
    assert_ne!(gateway("31655500011"), own, "nobody says whose the number is");
    let file = home.folder().join("prefixes.csv");
    std::fs::write(&file, "31655,204,08,Near\n316551,204,04,Far\n").expect("a file");
    run(&home, &["number", "prefixes", "import", file.to_str().expect("a path")]).ok();
    within_a_second(own.clone(), || gateway("31655500011"));
    assert_ne!(gateway("31655100011"), own, "of another network");
    run(&home, &["route", "remove", "--mcc", "204", "--mnc", "08", "own"]).ok();
    within_a_second(false, || gateway("31655500011") == own);
}
