//! Erasure: nothing that names a person, and nothing that was said to them, is left in any table, file or log.

use crate::log_watch;
use crate::support::correspondent::{OWN, Shop};
use crate::support::database::{Home, is_postgres};
use crate::support::platform::platform_key;
use crate::support::process::{Server, child, finish_with, key_of, partner, rookery, run};
use crate::support::{TestApp, books, channels, live};
use rookery::core::erasure::{self, Order, Outcome, Receipt};
use rookery::core::key;
use rookery::core::phone::Msisdn;
use rookery::core::rights::Rights;
use rookery::core::{Result, Scope};
use serde_json::json;
use std::path::Path;
use std::time::Duration;
use store::Tx;

const NUMBER: i64 = 31_655_512_345;
const WORDS: &str = "Quillwort";

async fn erase(app: &TestApp, scope: Scope, number: i64) -> Outcome {
    let order = Order::new(scope, Msisdn(number), &app.vault);
    erasure::erase(&app.store, &order).await.expect("an erasure")
}

fn done(outcome: Outcome) -> Receipt {
    match outcome {
        Outcome::Erased(receipt) => receipt,
        Outcome::UnderWay(count) => panic!("{count} messages are on their way"),
    }
}

fn removed(receipt: &Receipt) -> Vec<(&'static str, i64)> {
    receipt.removed.iter().map(|(what, count)| (what.name(), *count)).collect()
}

/// Every value of every table, as text.
async fn dump(app: &TestApp) -> Vec<String> {
    app.home().rows().await
}

/// Whatever of these is in a text.
fn found<'a>(rows: &'a [String], wanted: &[&str]) -> Vec<&'a String> {
    rows.iter()
        .filter(|row| wanted.iter().any(|one| row.to_lowercase().contains(&one.to_lowercase())))
        .collect()
}

/// The forms in which a number may stand in a file: its digits, and its integer in as many bytes as `SQLite` gives it.
fn traces(number: i64) -> Vec<Vec<u8>> {
    let bytes = number.to_be_bytes();
    vec![number.to_string().into_bytes(), bytes[2..].to_vec()]
}

fn files_with(folder: &Path, wanted: &[Vec<u8>]) -> Vec<String> {
    let mut hits = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            hits.extend(files_with(&path, wanted));
            continue;
        }
        let bytes = std::fs::read(&path).expect("a file");
        for one in wanted {
            if let Some(at) = bytes.windows(one.len()).position(|window| window == one.as_slice()) {
                hits.push(format!("{} has {one:?} at {at}", path.display()));
            }
        }
    }
    hits
}

/// A person who is in everything: contacts, groups, messages of every kind and direction, callbacks, answers.
async fn acquainted(shop: &Shop) {
    let app = &shop.app;
    shop.number(OWN, None, &shop.sender, Some(shop.customer.url("/in?shop=7")), None)
        .await
        .expect("a number");
    let contact = json!({"msisdn": NUMBER, "firstName": "Quillwort", "lastName": "Fern", "custom1": "Quillwort's door"});
    let made = shop
        .call("POST", "/contacts")
        .header("idempotency-key", "c-1")
        .json(&contact)
        .send()
        .await
        .expect(201);
    let group = shop.call("POST", "/groups").json(&json!({"name": "Bread"})).send().await.expect(201);
    let target = format!("/groups/{}/contacts", group["id"].as_str().expect("an id"));
    shop.call("PUT", &target).json(&json!({"ids": [made["id"]]})).send().await.expect(204);
    for at in 0..30 {
        let own = json!({"originator": OWN, "recipients": [NUMBER], "body": format!("{WORDS} {at}: your crate is ready"),
            "reference": format!("{WORDS}-{at}"), "reportUrl": shop.customer.url("/dlr")});
        let key = format!("m-{at}");
        shop.call("POST", "/messages").header("idempotency-key", &key).json(&own).send().await.expect(201);
        shop.receive(&NUMBER.to_string(), OWN, &format!("{WORDS} again {at}")).await;
        // Others, so that pages split and rows move.
        let others: Vec<i64> = (0..20).map(|other| 31_611_000_000 + at * 7_919 * 20 + other * 13).collect();
        let all = json!({"originator": OWN, "recipients": others, "body": "Fresh bread today", "reference": "all",
            "reportUrl": shop.customer.url("/dlr")});
        shop.call("POST", "/messages").json(&all).send().await.expect(201);
        shop.receive("31622000000", OWN, "Thank you").await;
        if at % 10 == 0 {
            app.pass(Duration::from_secs(6)).await;
        }
    }
    let shared = json!({"originator": OWN, "recipients": [NUMBER, 31_611_000_001_i64], "body": "Bread for all", "reference": "shared",
        "reportUrl": shop.customer.url("/dlr")});
    shop.call("POST", "/messages").json(&shared).send().await.expect(201);
    let named = json!({"originator": OWN, "recipients": [NUMBER, 31_611_000_002_i64], "body": "Call +31 6 555-12345 for bread"});
    shop.call("POST", "/messages").json(&named).send().await.expect(201);
    let later = json!({"originator": OWN, "recipients": [NUMBER, 31_611_000_003_i64], "body": "Later bread",
        "scheduledDatetime": "2024-03-09T08:00:00Z"});
    shop.call("POST", "/messages").json(&later).send().await.expect(201);
    let alone = json!({"originator": OWN, "recipients": [NUMBER], "body": format!("{WORDS} for later"),
        "scheduledDatetime": "2024-03-09T08:00:00Z"});
    shop.call("POST", "/messages").json(&alone).send().await.expect(201);
    let forged =
        json!({"originator": NUMBER, "recipients": [31_611_000_004_i64], "body": "From a borrowed name"});
    shop.call("POST", "/messages").json(&forged).send().await.expect(201);
    app.pass(Duration::from_secs(6)).await;
    let deleted = json!({"originator": OWN, "recipients": [NUMBER], "body": format!("{WORDS} deleted"), "reference": "gone",
        "reportUrl": shop.customer.url("/dlr")});
    let id = shop.call("POST", "/messages").json(&deleted).send().await.expect(201);
    app.pass(Duration::from_secs(6)).await;
    let id = id["id"].as_str().expect("an id");
    shop.call("DELETE", &format!("/messages/{id}")).send().await.expect(204);
    typed(shop).await;
    shop.call("GET", "/reporting/sms?periodStart=2024-03-01T00:00:00Z&groupBy=originator,reference&limit=1")
        .send()
        .await
        .expect(200);
}

/// What people type beside payments; the audit log says it too.
async fn typed(shop: &Shop) {
    let (app, partner) = (&shop.app, shop.partner.account.id);
    let operator = app.store.write(String::new(), key::create_operator).await.expect("a key");
    let partners = platform_key(app, partner, Rights::ALL).await;
    let pay = async |target: String, key: &str, note: &str| {
        let target = format!("/platform/v1{target}");
        let call = app.request("POST", &target).header("authorization", &format!("Bearer {key}"));
        let call = call.header("idempotency-key", note);
        call.json(&json!({"amount": "1.00", "note": note})).send().await.expect(201);
    };
    let top_ups = format!("/accounts/{partner}/top-ups");
    pay(top_ups.clone(), operator.text.reveal(), "For +31 (655) 512-345, and 31655512345 again").await;
    pay(top_ups, operator.text.reveal(), "Invoice 31").await;
    let transfers = format!("/accounts/{}/transfers", shop.sender.account.id);
    for at in 0..45 {
        pay(transfers.clone(), &partners, &format!("{at}: refund of 31655512345")).await;
        if at == 0 {
            pay(transfers.clone(), &partners, "Refund of 31655512346").await;
        }
        pay(transfers.clone(), &partners, &format!("{at}: back")).await;
        let back = json!({"amount": "-2.00"});
        let call = app.request("POST", &format!("/platform/v1{transfers}"));
        call.header("authorization", &format!("Bearer {partners}")).json(&back).send().await.expect(201);
    }
}

#[tokio::test]
async fn nothing_of_a_person_is_left_anywhere() {
    log_watch::start([NUMBER.to_string()]);
    let shop = Shop::new().await;
    let app = &shop.app;
    acquainted(&shop).await;
    let (digits, words) = (NUMBER.to_string(), WORDS.to_lowercase());
    let before = dump(app).await;
    assert!(found(&before, &[&digits]).len() > 100 && found(&before, &[&words]).len() > 60);
    let paid = shop.balance().await.posted;

    let receipt = done(erase(app, shop.scope(), NUMBER).await);
    let removed = removed(&receipt);
    let of = |what: &str| removed.iter().find(|(of, _)| *of == what).map_or(0, |(_, count)| *count);
    assert_eq!(of("contacts"), 1);
    assert_eq!((of("messages sent"), of("messages received")), (32, 30), "{removed:?}");
    assert_eq!((of("recipients of shared messages"), of("texts of shared messages")), (3, 1));
    assert_eq!((of("messages for later"), of("originators"), of("kept reports")), (2, 1, 1));
    assert_eq!(of("kept answers"), 31 + 46);
    assert_eq!((of("notes to payments"), of("lines of the audit log")), (46, 46));
    assert!(of("callbacks") > 60, "{removed:?}");
    assert!(receipt.log_emptied);

    let after = dump(app).await;
    assert_eq!(found(&after, &[&digits, &words, "512345", &format!("{NUMBER:016x}")]), Vec::<&String>::new());
    if !is_postgres() {
        let mut wanted = traces(NUMBER);
        wanted.push(WORDS.as_bytes().to_vec());
        assert_eq!(files_with(app.home().folder(), &wanted), Vec::<String>::new());
    }
    assert_eq!(found(&log_watch::leaks(), &[&digits]), Vec::<&String>::new(), "the log");
    assert_eq!(shop.balance().await.posted, paid, "the books are as they were");
    assert_eq!(found(&after, &["For [erased], and [erased] again"]).len(), 2, "the entry and the log's line");
    assert_eq!(found(&after, &["Refund of 31655512346"]).len(), 2, "somebody else's");
    books::check(&app.store).await;
    let rollups: Result<_> = app.store.write((), async |tx: &mut Tx, (): &()| books::rollups(tx).await).await;
    let (kept, counted) = rollups.expect("figures");
    let sum = |figures: &books::Figures| figures.values().map(|(messages, ..)| messages).sum::<i64>();
    assert_eq!(sum(&kept), sum(&counted), "the person is in no rollup");
    assert!(
        found(&after, &["Bread for all"]).len() == 1 && !found(&after, &["Fresh bread today"]).is_empty()
    );

    // What the others get later goes out; the hold of the erased one is free.
    app.pass(Duration::from_hours(24 * 5)).await;
    assert_eq!(shop.balance().await.held.0, 0);
    let again = done(erase(app, shop.scope(), NUMBER).await);
    assert_eq!((again.removed, again.subject), (Vec::new(), receipt.subject), "nothing is left to remove");
}

#[tokio::test]
async fn what_is_on_its_way_is_waited_for() {
    let shop = Shop::new().await;
    let number = 99_900_000_020;
    shop.send(&json!([number])).await;
    shop.app.settle().await;
    shop.send(&json!([number])).await;
    assert_eq!(erase(&shop.app, shop.scope(), number).await, Outcome::UnderWay(2));
    let rows = dump(&shop.app).await;
    assert!(!found(&rows, &[&number.to_string()]).is_empty(), "and nothing was removed");
    shop.app.pass(Duration::from_secs(30)).await;
    shop.app.pass(Duration::from_secs(30)).await;
    assert_eq!(removed(&done(erase(&shop.app, shop.scope(), number).await))[1], ("messages sent", 2));
}

#[tokio::test]
async fn the_last_of_a_shared_messages_recipients_takes_it_along() {
    let shop = Shop::new().await;
    let other = NUMBER + 1;
    let body = json!({"originator": "Bakery", "recipients": [NUMBER, other], "body": "Bread for both"});
    shop.call("POST", "/messages").json(&body).send().await.expect(201);
    let hour = json!({"originator": "Bakery", "recipients": [NUMBER, other], "body": "Bread for both later",
        "scheduledDatetime": "2024-03-09T08:00:00Z"});
    shop.call("POST", "/messages").json(&hour).send().await.expect(201);
    shop.app.pass(Duration::from_secs(6)).await;
    let one = removed(&done(erase(&shop.app, shop.scope(), NUMBER).await));
    assert_eq!(one, [("messages for later", 1), ("recipients of shared messages", 2)]);
    assert_eq!(found(&dump(&shop.app).await, &["Bread for both"]).len(), 2);
    let last = removed(&done(erase(&shop.app, shop.scope(), other).await));
    assert_eq!(last, [("messages for later", 1), ("messages sent", 2)]);
    assert_eq!(found(&dump(&shop.app).await, &["Bread for both"]), Vec::<&String>::new());
    shop.app.pass(Duration::from_hours(24 * 5)).await;
    assert_eq!(shop.balance().await.held.0, 0, "nothing is sent and nothing is held");
    assert_eq!(shop.call("GET", "/messages").send().await.expect(200)["totalCount"], json!(0));
}

#[tokio::test]
async fn an_accounts_own_number_is_no_persons() {
    let shop = Shop::new().await;
    shop.number(OWN, None, &shop.sender, None, None).await.expect("a number");
    let order = Order::new(shop.scope(), Msisdn(OWN), &shop.app.vault);
    erasure::erase(&shop.app.store, &order).await.expect_err("it is refused");
}

#[tokio::test]
async fn an_opt_out_stays_in_force_as_a_hash_and_can_be_taken_back() {
    let shop = Shop::new().await;
    let app = &shop.app;
    shop.number(OWN, None, &shop.sender, None, None).await.expect("a number");
    let phone = NUMBER.to_string();
    let status = async || {
        app.notice_changes().await;
        let sent = shop.send(&json!([NUMBER, 31_611_000_001_i64])).await;
        app.pass(Duration::from_secs(6)).await;
        let seen = shop.view(sent["id"].as_str().expect("an id")).await;
        let items = seen["recipients"]["items"].as_array().expect("items").clone();
        let mine = items.iter().find(|item| item["recipient"] == json!(NUMBER)).expect("the number").clone();
        let other = items.iter().find(|item| item["recipient"] != json!(NUMBER)).expect("another").clone();
        assert_eq!(other["status"], "delivered");
        mine["status"].as_str().expect("a status").to_owned()
    };
    shop.receive(&phone, OWN, "STOP").await;
    assert_eq!(status().await, "delivery_failed");
    let receipt = done(erase(app, shop.scope(), NUMBER).await);
    assert!(removed(&receipt).contains(&("opt-outs, kept as a keyed hash", 1)), "{receipt:?}");
    assert_eq!(found(&dump(app).await, &[&phone]), Vec::<&String>::new());
    assert_eq!(status().await, "delivery_failed", "still in force");
    // Erasing again what that sending has left changes nothing about it.
    done(erase(app, shop.scope(), NUMBER).await);
    assert_eq!(status().await, "delivery_failed");
    shop.receive(&phone, OWN, "START").await;
    assert_eq!(status().await, "delivered", "who writes START is written to");
    shop.receive(&phone, OWN, "STOP").await;
    assert_eq!(status().await, "delivery_failed");
    let other = app.child(shop.partner.account.id, "Wool Shop").await;
    let free = json!({"originator": "Wool", "recipients": [NUMBER], "body": "Wool"});
    let sent = app.request("POST", "/messages").key(live(&other)).json(&free).send().await.expect(201);
    assert_eq!(sent["recipients"]["items"][0]["status"], "sent", "the other account's list is its own");
    books::check(&app.store).await;
}

#[tokio::test]
async fn messages_of_channels_go_as_well() {
    let app = TestApp::new().await;
    let partner = app.partner("Acme").await;
    let child = app.child(partner.account.id, "Corner Bakery").await;
    let (key, _) = channels::channel_key(&app, &partner, "Corner Bakery", 1).await;
    let body =
        json!({"to": NUMBER.to_string(), "type": "text", "text": {"body": format!("{WORDS} by channel")}});
    let call = app.request("POST", "/_waba-v2/messages").header("d360-api-key", &key);
    call.json(&body).send().await.expect(200);
    app.settle().await;
    assert!(!found(&dump(&app).await, &[WORDS]).is_empty());
    let receipt = done(erase(&app, child.account.scope(), NUMBER).await);
    assert!(removed(&receipt).iter().any(|(what, _)| *what == "messages of channels"), "{receipt:?}");
    assert_eq!(found(&dump(&app).await, &[WORDS, &NUMBER.to_string()]), Vec::<&String>::new());
}

#[tokio::test]
async fn every_look_up_of_an_erasure_and_of_a_report_goes_by_an_index() {
    let app = TestApp::new().await;
    if is_postgres() {
        // SQLite's planner chooses by what indexes there are; PostgreSQL's by how much there is, and here is nothing.
        return;
    }
    let db = rusqlite::Connection::open(app.home().folder().join("rookery.db")).expect("the file opens");
    let mut seen = 0;
    // Settings of the operator's, of which there are few, and what a bounded look-up within the statement has found.
    let few = ["carrier", "network", "CONSTANT", "first", "r", "a", "b", "c", "d"];
    let files = ["erasure", "rollup", "report", "opt_out"].map(|noun| format!("src/core/{noun}.rs"));
    for sql in store::STATEMENTS {
        let is_one = files.iter().any(|file| sql.at().starts_with(file.as_str()));
        if !(is_one || sql.at().starts_with("src/") && sql.text().contains("recipient ")) {
            continue;
        }
        let text = format!("EXPLAIN QUERY PLAN {}", sql.text().replace("FOR UPDATE", ""));
        let mut statement = db.prepare(&text).unwrap_or_else(|error| panic!("{}: {error}", sql.at()));
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().expect("a plan") {
            let detail: String = row.get(3).expect("a text");
            let of = detail.strip_prefix("SCAN ").and_then(|of| of.split(' ').next());
            let is_scan = of.is_some_and(|of| !of.starts_with('(') && !few.contains(&of));
            assert!(
                !is_one || !is_scan || detail.contains("recipient_uncounted"),
                "{}: {detail} in {}",
                sql.at(),
                sql.text()
            );
            // By the whole family is as bad as by nothing, as is by a whole account.
            let of_recipients =
                ["recipient ", "r "].iter().any(|of| detail.starts_with(&format!("SEARCH {of}")));
            let is_wide = ["(root=?)", "(root=? AND account=?)", "(root=? AND message>?"]
                .iter()
                .any(|wide| detail.contains(wide));
            assert!(!(of_recipients && is_wide), "{}: {detail} in {}", sql.at(), sql.text());
            seen += 1;
        }
    }
    assert!(seen > 50, "{seen}");
}

#[tokio::test]
async fn the_command_prints_a_receipt_and_leaves_nothing_in_the_files_beside_a_running_server() {
    let home = Home::new().await;
    let acme = partner(&home, "Acme");
    let made = child(&home, &acme, "Corner Bakery");
    let id = made["id"].to_string();
    let server = Server::start(&home);
    let mut client = crate::support::http::Client::new(server.address());
    let key = key_of(&made, "live");
    for at in 0..20 {
        let form = format!("originator=Bakery&recipients={NUMBER}&body={WORDS}+{at}");
        assert_eq!(client.post("/messages", key, &form).status, 201);
    }
    let done = finish_with(
        rookery(&home).args(["erase", &id, "-", "--wait", "--json", "--backup-days", "7"]),
        &NUMBER.to_string(),
    );
    let receipts = done.json();
    assert_eq!(receipts[0]["removed"]["messages sent"], json!(20), "{receipts}");
    assert!(receipts[0]["backupsUntil"].as_str() > receipts[0]["erasedDatetime"].as_str());
    assert!(!receipts.to_string().contains(&NUMBER.to_string()));
    if !is_postgres() {
        let mut wanted = traces(NUMBER);
        wanted.push(WORDS.as_bytes().to_vec());
        assert_eq!(files_with(home.folder(), &wanted), Vec::<String>::new());
    }
    assert!(!server.log().contains(&NUMBER.to_string()));
    run(&home, &["erase", &id, "12"]).fails("7 to 15 digits");
    run(&home, &["erase", &id, "31655512345", "--children"]).fails("partner");
    let both = run(&home, &["erase", &acme["id"].to_string(), "31655512345", "--children", "--json"]).json();
    assert_eq!(both.as_array().map(Vec::len), Some(2));
}
