//! Binary messages, classes and alphabets (docs/spec/10-sms.md sections 2.4 to 2.6 and 6): what is answered, how it is
//! counted, and what a carrier is given.

use crate::support::record::Record;
use crate::support::shop::{PRICE, Shop};
use rookery::core::carrier::CarrierId;
use rookery::core::lease::Holder;
use rookery::core::message::{Coding, Format};
use rookery::core::part::{self, BATCH, Claimed, Part, Shift};
use rookery::core::{Result, Timestamp};
use serde_json::{Value, json};

const UDH: &str = "050003340201";

fn message(fields: &Value) -> Value {
    let mut body = json!({"originator": "Bakery", "recipients": [31_655_500_011_i64], "body": "00FFDDbb"});
    for (name, value) in fields.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

/// What the carrier is given next.
async fn claimed(shop: &Shop) -> Vec<Part> {
    let shift = Shift { carrier: CarrierId(1), holder: Holder([2; 16]) };
    let claimed: Result<Claimed> = shop.app.store.write((shift, BATCH), part::claim).await;
    claimed.expect("parts").parts
}

#[tokio::test]
async fn created() {
    let (shop, mut record) = (Shop::new().await, Record::new());
    let header = json!({"udh": UDH});
    for (title, fields) in [
        ("with a header", json!({"type": "binary", "typeDetails": header, "datacoding": "unicode"})),
        ("without one", json!({"type": "binary", "typeDetails": [], "mclass": 1})),
        ("shown at once", json!({"type": "binary", "mclass": 0})),
        ("a text has no header", json!({"typeDetails": header})),
    ] {
        let made =
            record.send(title, shop.call("POST", "/messages").json(&message(&fields))).await.expect(201);
        assert_eq!(shop.view(made["id"].as_str().unwrap()).await, made, "{title}");
    }
    let form = "originator=Bakery&recipients=31655500011&type=binary&typeDetails[udh]=00&body=ff";
    let made = record.send("as a form", shop.call("POST", "/messages").form(form)).await.expect(201);
    assert_eq!(made["typeDetails"], json!({"udh": "00"}));
    for (title, fields, parameter) in [
        ("no digits", json!({"body": "Hello there"}), "body"),
        ("half an octet", json!({"body": "abc"}), "body"),
        ("nothing", json!({"body": ""}), "body"),
        ("too long for nine parts", json!({"body": "a5".repeat(1_207)}), "body"),
        ("too long beside a header", json!({"body": "a5".repeat(135), "typeDetails": header}), "body"),
        ("a header that is too short", json!({"typeDetails": {"udh": "0500033402"}}), "typeDetails.udh"),
        ("a header that is none", json!({"typeDetails": {"udh": "zz"}}), "typeDetails.udh"),
    ] {
        let mut body = message(&fields);
        body["type"] = json!("binary");
        let refused = record.send(title, shop.call("POST", "/messages").json(&body)).await;
        let first = refused.json()["errors"][0].clone();
        let code = if title == "nothing" { 9 } else { 10 };
        assert_eq!(
            (refused.status.as_u16(), &first["parameter"], &first["code"]),
            (422, &json!(parameter), &json!(code))
        );
    }
    let list = shop.call("GET", "/messages?type=binary").send().await.expect(200);
    assert_eq!(list["totalCount"], 4);
    shop.app.settle().await;
    assert_eq!(shop.paid().await.0, 5 * PRICE.0);
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn parts_are_counted_in_octets() {
    let shop = Shop::new().await;
    for (octets, udh, parts) in [
        (1, None, 1),
        (140, None, 1),
        (141, None, 2),
        (268, None, 2),
        (269, None, 3),
        (1_206, None, 9),
        (134, Some(UDH), 1),
    ] {
        let body =
            message(&json!({"type": "binary", "body": "a5".repeat(octets), "typeDetails": {"udh": udh}}));
        let made = shop.call("POST", "/messages").json(&body).send().await.expect(201);
        let item = &made["recipients"]["items"][0];
        assert_eq!(
            (&item["messagePartCount"], &item["messageLength"]),
            (&json!(parts), &json!(octets * 2)),
            "{octets}"
        );
    }
    shop.app.settle().await;
    let list = shop.call("GET", "/messages?status=delivered").send().await.expect(200);
    assert_eq!(list["totalCount"], 7);
}

#[tokio::test]
async fn a_carrier_is_given_everything_that_it_needs() {
    let shop = Shop::new().await;
    for fields in [
        json!({"type": "binary", "typeDetails": {"udh": UDH}, "validity": 60}),
        json!({"type": "flash", "mclass": 1}),
        json!({"mclass": 2, "datacoding": "auto", "body": "жук"}),
        json!({"scheduledDatetime": "2024-03-05T08:20:00Z", "validity": 3600}),
    ] {
        shop.call("POST", "/messages").json(&message(&fields)).send().await.expect(201);
    }
    let begin = crate::support::BEGIN_US;
    let parts = claimed(&shop).await;
    assert_eq!(parts.len(), 3, "what waits for its hour cannot be seen");
    let shown: Vec<_> = parts
        .iter()
        .map(|part| {
            (part.format, part.class, part.udh.as_deref(), part.body.as_str(), part.coding, part.validity)
        })
        .collect();
    assert_eq!(
        shown,
        [
            (Format::Binary, 1, Some(UDH), "00FFDDbb", Coding::Plain, Some(60)),
            (Format::Flash, 0, None, "00FFDDbb", Coding::Plain, None),
            (Format::Sms, 2, None, "жук", Coding::Auto, None),
        ]
    );
    assert_eq!(parts[0].expires, Timestamp(begin + 61_000_000), "a minute after the first request");
    shop.app.clock.advance(std::time::Duration::from_mins(10));
    rookery::run::sweep::turn(&shop.app.store, false).await.expect("the sweep works");
    let later = claimed(&shop).await;
    assert_eq!(later[0].validity, Some(3_600));
    let hour = Timestamp::parse("2024-03-05T09:20:00Z").unwrap();
    assert_eq!(later[0].expires, hour, "an hour after its hour");
}

#[tokio::test]
async fn nobody_may_have_a_reserved_originator() {
    use crate::support::{TestApp, live};
    use rookery::wire::Options;
    let reserved = vec!["Rookery".to_owned(), "The Bank".to_owned()];
    let app =
        TestApp::with(Options { rate_limits: false, reserved_originators: reserved, ..Options::default() })
            .await;
    let partner = app.partner("Acme").await;
    for (originator, status) in
        [("Rookery", 422), ("ROOKERY", 422), ("the bank", 422), ("Rookeries", 201), ("31655500099", 201)]
    {
        let body = json!({"originator": originator, "recipients": "31655500011", "body": "Hi"});
        let answer = app.request("POST", "/messages").key(live(&partner)).json(&body).send().await;
        assert_eq!(answer.status, status, "{originator}");
        if status == 422 {
            let first = &answer.json()["errors"][0];
            assert_eq!(
                (&first["code"], &first["description"]),
                (&json!(10), &json!("originator is invalid"))
            );
        }
    }
    app.settle().await;
}
