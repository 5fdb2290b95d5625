//! Messages on the wire (docs/spec/10-sms.md): every answer as a snapshot, and the rules that SDKs rely on as assertions.
//! What becomes of a message is in `journey.rs`.

use crate::support::record::Record;
use crate::support::{Call, TestApp, live, test};
use rookery::core::account::{self, NewAccount, Setting};
use rookery::core::ledger::{self, Grant};
use rookery::core::money::Amount;
use rookery::core::phone::Originator;
use rookery::core::rate;
use rookery::core::terms::MessagingSetting;
use rookery::wire::Options;
use serde_json::{Value, json};

struct Outbox {
    app: TestApp,
    sender: NewAccount,
}

impl Outbox {
    async fn new() -> Self {
        let app = TestApp::new().await;
        let partner = app.partner("Acme").await;
        let sender = app.child(partner.account.id, "Corner Bakery").await;
        Outbox { app, sender }
    }

    fn call(&self, method: &str, target: &str) -> Call<'_> {
        self.app.request(method, target).key(live(&self.sender))
    }

    fn post(&self, body: &Value) -> Call<'_> {
        self.call("POST", "/messages").json(body)
    }

    async fn sent(&self, body: &Value) -> Value {
        self.post(body).send().await.expect(201)
    }

    async fn rate(&self, prefix: &str, amount: i64) {
        let account = self.sender.account.id;
        let rate = rate::Set { account, prefix: prefix.into(), amount: Amount(amount), currency: None };
        self.app.store.write(rate, rate::set).await.expect("a rate");
        self.app.notice_changes().await;
    }
}

fn items(message: &Value) -> Vec<i64> {
    let items = message["recipients"]["items"].as_array().expect("items");
    items.iter().map(|item| item["recipient"].as_i64().expect("a number")).collect()
}

#[tokio::test]
async fn create() {
    let (outbox, mut record) = (Outbox::new().await, Record::new());
    let plain = json!({"originator": "FarmShop", "recipients": [31_655_500_011_i64, "+4915550000222"],
        "body": "Your crate is ready", "reference": "order-8841", "reportUrl": "http://127.0.0.1:1/dlr"});
    let made = record.send("an array of numbers and texts", outbox.post(&plain)).await.expect(201);
    let seen = record
        .send("the same, viewed", outbox.call("GET", &format!("/messages/{}", made["id"].as_str().unwrap())))
        .await;
    assert_eq!(seen.expect(200), made);

    let shapes = [
        (
            "one text with commas",
            json!("31655500011, 31655500012,31655500011"),
            vec![31_655_500_011, 31_655_500_012],
        ),
        ("one number", json!(31_655_500_011_i64), vec![31_655_500_011]),
        ("twice is once", json!(["31655500011", "+31 655-500-011"]), vec![31_655_500_011]),
        (
            "what is no number is passed over",
            json!(["31655500011", "12", "nobody", ""]),
            vec![31_655_500_011],
        ),
    ];
    for (title, recipients, expected) in shapes {
        let body = json!({"originator": 31_655_500_099_i64, "recipients": recipients, "body": "Hi"});
        let made = record.send(title, outbox.post(&body)).await.expect(201);
        assert_eq!(items(&made), expected, "{title}");
        assert_eq!(made["originator"], "31655500099", "a text, even when it is a number");
    }
    let ruby = "originator=%2B31655500099&body=Hi+there&recipients=31655500011,31655500012&type=sms&mclass=1";
    record.send("Ruby's form", outbox.call("POST", "/messages/").form(ruby)).await.expect(201);
    let query =
        "/messages?_method=POST&originator=Bakery&recipients[]=31655500011&recipients[]=31655500012&body=Hi";
    assert_eq!(items(&record.send("all in the query", outbox.call("GET", query)).await.expect(201)).len(), 2);
    let php = json!({"originator": "Bakery", "recipients": [31_655_500_011_i64], "body": "Hi", "type": "sms",
        "reference": null, "validity": null, "gateway": null, "typeDetails": [], "datacoding": "plain", "mclass": 1,
        "scheduledDatetime": null, "reportUrl": null, "direction": null, "createdDatetime": null, "id": null});
    record.send("PHP's nulls and its empty array", outbox.post(&php)).await.expect(201);
    let go = json!({"originator": "Bakery", "recipients": ["31655500011"], "groupIds": null, "body": "Hi",
        "shortenUrls": false, "type": "flash"});
    let flash = record.send("Go's flash message", outbox.post(&go)).await.expect(201);
    assert_eq!((&flash["type"], &flash["mclass"]), (&json!("flash"), &json!(0)));
    let unicode = json!({"originator": "Bakery", "recipients": "31655500011", "body": "Brød \u{1f35e}",
        "datacoding": "unicode", "validity": "3600", "gateway": 12, "mclass": 3});
    let made = record
        .send("unicode, validity as a text, a class that Java does not know", outbox.post(&unicode))
        .await;
    assert_eq!(made.expect(201)["mclass"], 1);
    outbox.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn create_refused() {
    let (outbox, mut record) = (Outbox::new().await, Record::new());
    let many: Vec<i64> = (0..51).map(|number| 31_655_500_000 + number).collect();
    let to = json!("31655500011");
    let bodies = [
        ("an empty object: recipients and originator, not the body", json!({}), vec![9, 9]),
        ("no body", json!({"originator": "Bakery", "recipients": to}), vec![9]),
        ("an empty body", json!({"originator": "Bakery", "recipients": to, "body": ""}), vec![9]),
        ("no originator", json!({"recipients": to, "body": "Hi"}), vec![9]),
        ("13 letters", json!({"originator": "ThirteenChars", "recipients": to, "body": "Hi"}), vec![10]),
        ("2 letters", json!({"originator": "ab", "recipients": to, "body": "Hi"}), vec![10]),
        ("18 digits", json!({"originator": "123456789012345678", "recipients": to, "body": "Hi"}), vec![10]),
        (
            "no usable number",
            json!({"originator": "Bakery", "recipients": ["12", "nobody"], "body": "Hi"}),
            vec![9],
        ),
        ("a fraction", json!({"originator": "Bakery", "recipients": [3_165_550.5], "body": "Hi"}), vec![10]),
        (
            "an unknown group",
            json!({"originator": "Bakery", "groupIds": ["f".repeat(32)], "body": "Hi"}),
            vec![9],
        ),
        ("51 recipients", json!({"originator": "Bakery", "recipients": many, "body": "Hi"}), vec![10]),
        ("too long", json!({"originator": "Bakery", "recipients": to, "body": "x".repeat(1378)}), vec![10]),
        (
            "too long in unicode",
            json!({"originator": "Bakery", "recipients": to, "body": "x".repeat(604), "datacoding": "unicode"}),
            vec![10],
        ),
        (
            "everything else wrong at once",
            json!({"originator": "Bakery", "recipients": to, "body": "Hi", "type": "carrier pigeon", "datacoding": "morse",
                "mclass": 4, "reference": "x".repeat(129), "reportUrl": "nowhere", "validity": 0, "gateway": "x"}),
            vec![10; 7],
        ),
        (
            "what is not served is refused",
            json!({"originator": "Bakery", "recipients": to, "body": "Hi", "type": "premium"}),
            vec![10],
        ),
    ];
    for (title, body, codes) in bodies {
        let refused = record.send(title, outbox.post(&body)).await;
        assert_eq!((refused.status.as_u16(), refused.codes()), (422, codes), "{title}");
    }
    let long = json!({"originator": "Bakery", "recipients": to, "body": "x".repeat(1377)});
    assert_eq!(outbox.sent(&long).await["recipients"]["items"][0]["messagePartCount"], 9);
    outbox.rate("", 61_000).await;
    let dear = json!({"originator": "Bakery", "recipients": to, "body": "Hi"});
    let refused = record.send("no balance", outbox.post(&dear)).await;
    assert_eq!((refused.status.as_u16(), refused.codes()), (422, vec![25]));
    assert_eq!(
        outbox.call("GET", "/messages").send().await.expect(200)["totalCount"],
        1,
        "only the long one"
    );
    outbox.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn a_price_is_that_of_the_longest_prefix() {
    let outbox = Outbox::new().await;
    let grant = Grant { account: outbox.sender.account.id, amount: Amount(1_000_000), currency: None };
    outbox.app.store.write(grant, ledger::grant).await.expect("credit");
    for (prefix, amount) in [("", 100_000), ("31", 60_000), ("316555", 50_000), ("49", 0)] {
        outbox.rate(prefix, amount).await;
    }
    let body = json!({"originator": "Bakery", "recipients": "31655500011,31612345678,4915550000222,12025550123",
        "body": "Hi"});
    let sent = outbox.sent(&body).await;
    let prices: Vec<Value> = sent["recipients"]["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["price"]["amount"].clone())
        .collect();
    assert_eq!(prices, [json!(0.05), json!(0.06), json!(0), json!(0.1)]);
    outbox.app.settle().await;
}

#[tokio::test]
async fn an_accounts_own_originator_stands_in() {
    let outbox = Outbox::new().await;
    let own = MessagingSetting::Originator(Some(Originator::parse("Bakery").unwrap()));
    let command = (outbox.sender.account.id, Setting::Messaging(own));
    outbox.app.store.write(command, account::set).await.expect("a setting");
    outbox.app.notice_changes().await;
    let to = json!({"recipients": "31655500011", "body": "Hi"});
    assert_eq!(outbox.sent(&to).await["originator"], "Bakery");
    let given = json!({"recipients": "31655500011", "body": "Hi", "originator": "Other"});
    assert_eq!(outbox.sent(&given).await["originator"], "Other");
    outbox.app.settle().await;
}

#[tokio::test]
async fn a_test_key_sends_nothing_and_stores_nothing() {
    let (outbox, mut record) = (Outbox::new().await, Record::new());
    outbox.rate("", 61_000).await;
    let body = json!({"originator": "Bakery", "recipients": "31655500011", "body": "Hi", "reference": "x"});
    let key = test(&outbox.sender);
    let call = outbox.app.request("POST", "/messages").key(key).json(&body);
    let made = record.send("without any balance", call).await.expect(201);
    let target = format!("/messages/{}", made["id"].as_str().unwrap());
    for method in ["GET", "DELETE"] {
        let absent = record.send("it is not there", outbox.app.request(method, &target).key(key)).await;
        assert_eq!((absent.status.as_u16(), absent.codes()), (404, vec![20]));
    }
    let wrong = outbox.app.request("POST", "/messages").key(key).json(&json!({}));
    assert_eq!(record.send("it is checked all the same", wrong).await.codes(), [9, 9]);
    assert_eq!(outbox.call("GET", "/messages").send().await.expect(200)["totalCount"], 0);
    outbox.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn lists() {
    let (outbox, mut record) = (Outbox::new().await, Record::new());
    assert_eq!(record.send("nothing", outbox.call("GET", "/messages?")).await.expect(200)["totalCount"], 0);
    let contact = outbox.call("POST", "/contacts").form("msisdn=31655500012").send().await.expect(201);
    let contact = contact["id"].as_str().unwrap().to_owned();
    for (originator, to, kind) in [
        ("Bakery", "31655500011", "sms"),
        ("Bakery", "31655500012,99900001000", "flash"),
        ("31655500099", "31655500012", "sms"),
        ("Brewery", "4915550000222", "sms"),
    ] {
        outbox.sent(&json!({"originator": originator, "recipients": to, "body": "Hi", "type": kind})).await;
    }
    outbox.app.settle().await;
    let list = record.send("all, newest first", outbox.call("GET", "/messages/?limit=2")).await.expect(200);
    assert_eq!((&list["totalCount"], &list["items"][0]["originator"]), (&json!(4), &json!("Brewery")));
    for (filter, total) in [
        ("originator=Bakery".to_owned(), 2),
        ("originator=%2B31655500099".to_owned(), 1),
        ("recipient=31655500012".to_owned(), 2),
        ("recipient=31655500012&originator=Bakery".to_owned(), 1),
        ("recipient=31699999999".to_owned(), 0),
        ("direction=mt".to_owned(), 4),
        ("direction=mo".to_owned(), 0),
        ("searchterm=akery".to_owned(), 2),
        ("searchterm=31655500".to_owned(), 3),
        ("searchterm=".to_owned(), 4),
        ("type=flash".to_owned(), 1),
        ("type=binary".to_owned(), 0),
        (format!("contact_id={contact}"), 2),
        (format!("contact_id={}", "f".repeat(32)), 0),
        ("contact_id=nobody".to_owned(), 0),
        ("status=delivered".to_owned(), 4),
        ("status=delivery_failed".to_owned(), 1),
        ("status=scheduled".to_owned(), 0),
        ("status=".to_owned(), 4),
        ("from=2024-03-05T08:15:34Z".to_owned(), 3),
        ("until=2024-03-05T08:15:34%2B00:00".to_owned(), 2),
        ("from=2024-03-05T08:15:34+00:00&until=2024-03-05T08:15:35.5Z".to_owned(), 2),
        ("status=delivered&originator=Bakery&searchterm=999".to_owned(), 1),
    ] {
        let list = outbox.call("GET", &format!("/messages?{filter}")).send().await.expect(200);
        let counts = (list["totalCount"].as_i64().unwrap(), list["count"].as_i64().unwrap());
        assert_eq!(counts, (total, total), "{filter}");
    }
    record
        .send(
            "filters are carried along",
            outbox.call("GET", "/messages?status=delivered&limit=1&originator=Bakery"),
        )
        .await
        .expect(200);
    record
        .send("a contact's", outbox.call("GET", &format!("/contacts/{contact}/messages?limit=1")))
        .await
        .expect(200);
    let nobodys = outbox.call("GET", "/contacts/0123456789abcdef0123456789abcdef/messages");
    assert_eq!(record.send("of a contact that is not there", nobodys).await.codes(), [20]);
    let wrong = "/messages?status=lost&direction=up&type=fax&recipient=x&from=yesterday&until=&limit=-1";
    let refused = record.send("wrong filters", outbox.call("GET", wrong)).await;
    assert_eq!((refused.status.as_u16(), refused.codes()), (422, vec![10; 6]));
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn no_more_recipients_than_the_operator_allows() {
    let app = TestApp::with(Options { rate_limits: false, recipients_max: 2, ..Options::default() }).await;
    let partner = app.partner("Acme").await;
    let body =
        json!({"originator": "Acme", "recipients": "31655500011,31655500012,31655500013", "body": "Hi"});
    let refused = app.request("POST", "/messages").key(live(&partner)).json(&body).send().await;
    assert_eq!((refused.status.as_u16(), refused.codes()), (422, vec![10]));
}
