//! What phones write: whose it is, how it is forwarded (docs/spec/11-sms-webhooks.md section 2), and that it counts once.

use crate::support::correspondent::{OWN, Shop, is_signed_by};
use crate::support::customer::Call;
use rookery::core::account;
use rookery::core::callback::CallbackId;
use rookery::core::callback_log::{self, Stretch};
use rookery::core::inbound::{self, Taken};
use rookery::core::number::{self, Form};
use rookery::core::phone::Msisdn;
use rookery::core::terms::MessagingSetting;
use serde_json::{Value, json};
use std::time::Duration;

const PHONE: &str = "31655500011";
const TEXT: &str = "Naïve? 日本 & more~";

fn fields(call: &Call) -> Vec<(String, String)> {
    call.fields()
}

fn owned(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut fields: Vec<_> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    fields.sort();
    fields
}

/// The only call that was made, signed as it came.
async fn only(shop: &Shop) -> Call {
    shop.app.settle().await;
    let mut calls = shop.customer.calls();
    assert_eq!(calls.len(), 1, "{calls:?}");
    let call = calls.remove(0);
    let url = shop.customer.url(&call.target);
    assert!(is_signed_by(&call, &url, shop.sender.signing_key.reveal()), "{call:?}");
    assert!(!is_signed_by(
        &Call { body: "x".into(), ..call.clone() },
        &url,
        shop.sender.signing_key.reveal()
    ));
    call
}

fn stored(taken: Taken) -> String {
    match taken {
        Taken::Stored(id) => id.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_long_number_is_forwarded_in_every_form() {
    let shop = Shop::new().await;
    shop.set(MessagingSetting::TimeZone("Europe/Amsterdam".into())).await;
    let sender = &shop.sender;
    for (form, path) in [(Form::Get, "/get?a=1"), (Form::Post, "/post?b=2&a=x y"), (Form::Json, "/json")] {
        shop.number(OWN, None, sender, Some(shop.customer.url(path)), Some(form)).await.expect("a number");
        let id = stored(shop.receive(PHONE, OWN, TEXT).await);
        let call = only(&shop).await;
        let seen = shop.view(&id).await;
        assert_eq!(
            [
                &seen["direction"],
                &seen["originator"],
                &seen["body"],
                &seen["recipients"]["items"][0]["recipient"]
            ],
            [&json!("mo"), &json!(PHONE), &json!(TEXT), &json!(OWN)]
        );
        let created = seen["createdDatetime"].as_str().expect("a time");
        let seconds = created.parse::<jiff::Timestamp>().expect("a time").as_second();
        let (date, date_utc) = ((seconds + 3_600).to_string(), seconds.to_string());
        match form {
            Form::Get => {
                let wanted = owned(&[
                    ("a", "1"),
                    ("id", &id),
                    ("recipient", "31655500099"),
                    ("originator", PHONE),
                    ("body", TEXT),
                    ("createdDatetime", created),
                ]);
                assert_eq!((call.method.as_str(), call.text(), fields(&call)), ("GET", "", wanted));
            }
            Form::Post => {
                assert_eq!((call.method.as_str(), call.target.as_str()), ("POST", "/post?a=x+y&b=2"));
                assert_eq!(call.header("content-type"), Some("application/x-www-form-urlencoded"));
                assert!(call.body.is_ascii());
                let mut told = fields(&call);
                let thread = told.iter().position(|(name, _)| name == "reference").expect("a thread");
                assert_eq!(told.remove(thread).1.len(), 11, "of a thread without a message from here");
                let wanted = owned(&[
                    ("id", &id),
                    ("message_id", &id),
                    ("recipient", "31655500099"),
                    ("receiver", "31655500099"),
                    ("originator", PHONE),
                    ("sender", PHONE),
                    ("body", TEXT),
                    ("message", TEXT),
                    ("payload", TEXT),
                    ("createdDatetime", created),
                    ("CreatedDatetime", created),
                    ("date", &date),
                    ("date_utc", &date_utc),
                ]);
                assert_eq!(told, wanted);
            }
            Form::Json => {
                assert_eq!((call.method.as_str(), call.target.as_str()), ("POST", "/json"));
                assert_eq!(call.header("content-type"), Some("application/json"));
                assert!(call.body.is_ascii(), "one SDK reads bodies as Latin-1");
                let told: Value = serde_json::from_slice(&call.body).expect("JSON");
                let wanted = json!({
                    "receiver": "31655500099", "sender": PHONE, "message": TEXT, "body": TEXT, "payload": TEXT,
                    "date": seconds + 3_600, "date_utc": seconds, "reference": told["reference"], "id": id,
                    "message_id": id, "recipient": "31655500099", "originator": PHONE,
                    "createdDatetime": created, "mms": false, "mediaUrls": [], "mediaContentTypes": [],
                    "subject": "",
                });
                assert_eq!(told.to_string(), wanted.to_string(), "in this order");
            }
        }
    }
    let list = shop.call("GET", "/messages?direction=mo").send().await.expect(200);
    assert_eq!(list["totalCount"], 3);
}

#[tokio::test]
async fn a_short_code_has_names_of_its_own() {
    let shop = Shop::new().await;
    let url = Some(shop.customer.url("/code"));
    for (form, method) in [(Form::Get, "GET"), (Form::Post, "POST")] {
        shop.number(1_008, None, &shop.sender, url.clone(), Some(form)).await.expect("a number");
        let id = stored(shop.receive(PHONE, 1_008, "Vote 7").await);
        let call = only(&shop).await;
        let seen = shop.view(&id).await;
        let received: String =
            seen["createdDatetime"].as_str().unwrap()[..19].chars().filter(char::is_ascii_digit).collect();
        let documented = [
            ("mid", id.as_str()),
            ("shortcode", "1008"),
            ("keyword", "Vote"),
            ("originator", PHONE),
            ("message", "Vote 7"),
            ("receive_datetime", &received),
        ];
        let mut told = fields(&call);
        told.retain(|(name, _)| !["date", "date_utc", "reference"].contains(&name.as_str()));
        let mut wanted = documented.to_vec();
        if form == Form::Post {
            wanted.extend([("id", id.as_str()), ("recipient", "1008"), ("body", "Vote 7")]);
        }
        assert_eq!((call.method.as_str(), told), (method, owned(&wanted)));
    }
}

#[tokio::test]
async fn a_reply_names_the_message_that_it_answers_and_repetitions_are_the_same_bytes() {
    let shop = Shop::new().await;
    shop.set(MessagingSetting::InboundUrl(Some(shop.customer.url("/in")))).await;
    shop.set(MessagingSetting::InboundForm(Form::Post)).await;
    shop.number(OWN, None, &shop.sender, None, None).await.expect("a number");
    shop.send(&json!([31_655_500_011_i64])).await;
    shop.app.settle().await;
    shop.customer.calls();
    shop.customer.answer([500]);
    let id = stored(shop.receive(PHONE, OWN, "Thanks").await);
    let first = only(&shop).await;
    assert!(fields(&first).contains(&("reference".into(), "order-8841".into())));
    assert_eq!(shop.view(&id).await["reference"], "order-8841");
    shop.app.clock.advance(Duration::from_secs(2));
    let second = only(&shop).await;
    assert_eq!((&second.target, &second.body), (&first.target, &first.body));
    assert_ne!(second.header("messagebird-signature-jwt"), first.header("messagebird-signature-jwt"));
    // From a name rather than a number: stored and forwarded like any other.
    stored(shop.receive("NetworkCo", OWN, "STOP").await);
    assert!(fields(&only(&shop).await).contains(&("originator".into(), "NetworkCo".into())));
}

#[tokio::test]
async fn a_shared_number_leads_by_word_then_by_thread_then_to_its_owner() {
    let shop = Shop::new().await;
    let pizza = shop.app.child(shop.partner.account.id, "Pizza").await;
    let flowers = shop.app.child(shop.partner.account.id, "Flowers").await;
    shop.number(OWN, Some("pizza"), &pizza, None, None).await.expect_err("nobody has the number");
    shop.number(OWN, None, &shop.sender, None, None).await.expect("a number");
    shop.number(OWN, Some("PIZZA"), &pizza, None, None).await.expect("a keyword");
    shop.number(OWN, Some("fleurs"), &flowers, None, None).await.expect("a keyword");
    shop.number(OWN, Some("pizza"), &flowers, None, None).await.expect_err("taken");
    shop.number(OWN, None, &flowers, None, None).await.expect_err("taken");
    let count = async |of: &rookery::core::account::NewAccount| {
        let key = crate::support::live(of);
        let list = shop.app.request("GET", "/messages?direction=mo").key(key).send().await.expect(200);
        list["totalCount"].as_i64().unwrap()
    };
    let counts = async || [count(&shop.sender).await, count(&pizza).await, count(&flowers).await];
    for (text, wanted) in [
        ("Pizza, please", [0, 1, 0]),
        ("  fleurs!", [0, 1, 1]),
        ("Pizzas", [1, 1, 1]),
        ("I want pizza", [2, 1, 1]),
        ("", [3, 1, 1]),
    ] {
        stored(shop.receive(PHONE, OWN, text).await);
        assert_eq!(counts().await, wanted, "{text:?}");
    }
    // Pizza answers on the number: what the phone says next without a word is for Pizza.
    let body = json!({"originator": OWN, "recipients": [PHONE], "body": "Which size?"});
    let sent =
        shop.app.request("POST", "/messages").key(crate::support::live(&pizza)).json(&body).send().await;
    sent.expect(201);
    stored(shop.receive(PHONE, OWN, "A large one").await);
    assert_eq!(counts().await, [3, 2, 1]);
    stored(shop.receive("31655500012", OWN, "A large one").await);
    assert_eq!(counts().await, [4, 2, 1], "another phone");
    let own = (Msisdn(OWN), Some("pizza".to_owned()));
    shop.app.store.write(own.clone(), number::remove).await.expect("removed");
    shop.app.store.write(own, number::remove).await.expect_err("gone");
    stored(shop.receive(PHONE, OWN, "pizza").await);
    assert_eq!(counts().await, [5, 2, 1]);
    crate::support::books::check(&shop.app.store).await;
}

#[tokio::test]
async fn what_is_brought_twice_counts_once_and_what_is_nobodys_is_counted_only() {
    let shop = Shop::new().await;
    shop.number(OWN, None, &shop.sender, Some(shop.customer.url("/in")), None).await.expect("a number");
    stored(shop.receive_as(PHONE, OWN, "One", Some("mo-1")).await);
    assert_eq!(shop.receive_as(PHONE, OWN, "One", Some("mo-1")).await, Taken::Repeated);
    stored(shop.receive_as(PHONE, OWN, "One", Some("mo-2")).await);
    shop.app.settle().await;
    assert_eq!(shop.customer.calls().len(), 2);
    // Names are not remembered for ever.
    shop.app.pass(Duration::from_hours(24 * 8)).await;
    stored(shop.receive_as(PHONE, OWN, "One", Some("mo-1")).await);

    let strays = async || {
        let strays = shop.app.store.read((), inbound::strays).await.expect("strays");
        strays.iter().map(|stray| (stray.msisdn.0, stray.messages)).collect::<Vec<_>>()
    };
    for _ in 0..2 {
        assert_eq!(shop.receive(PHONE, 31_655_500_088, "Hello?").await, Taken::Stray);
    }
    assert_eq!(strays().await, [(31_655_500_088, 2)]);
    // A deleted account has no numbers, and others may have them.
    shop.app.store.write(shop.sender.account.id, account::delete).await.expect("deleted");
    assert_eq!(shop.receive(PHONE, OWN, "Hello?").await, Taken::Stray);
    shop.number(OWN, None, &shop.sender, None, None).await.expect_err("deleted");
    shop.number(OWN, None, &shop.partner, None, None).await.expect("free");
    stored(shop.receive(PHONE, OWN, "Hello?").await);
    shop.app.pass(Duration::from_hours(24 * 91)).await;
    assert!(strays().await.is_empty(), "forgotten");
}

#[tokio::test]
async fn a_suspended_accounts_texts_are_stored_and_forwarded_later() {
    let shop = Shop::new().await;
    shop.number(OWN, None, &shop.sender, Some(shop.customer.url("/in")), None).await.expect("a number");
    shop.app.store.write(shop.sender.account.id, account::suspend).await.expect("suspended");
    let id = stored(shop.receive(PHONE, OWN, "Hello?").await);
    shop.app.settle().await;
    assert!(shop.customer.calls().is_empty());
    shop.app.store.write(shop.sender.account.id, account::resume).await.expect("resumed");
    shop.app.notice_changes().await;
    shop.app.clock.advance(Duration::from_secs(6));
    assert_eq!(only(&shop).await.parameter("id"), Some(id));
}

#[tokio::test]
async fn a_forgotten_text_is_in_no_callback_either() {
    let shop = Shop::new().await;
    shop.number(OWN, None, &shop.sender, Some(shop.customer.url("/in")), Some(Form::Post))
        .await
        .expect("a number");
    let sent = async || {
        let all = Stretch { scope: shop.scope(), from: CallbackId([0; 16]), until: CallbackId([0xFF; 16]) };
        let log = shop.app.store.read(all, callback_log::newest).await.expect("a log");
        log.into_iter().map(|entry| entry.rendered.is_some()).collect::<Vec<_>>()
    };
    let id = stored(shop.receive(PHONE, OWN, "My secret").await);
    shop.set(MessagingSetting::RetentionDays(Some(2))).await;
    shop.app.pass(Duration::from_hours(48)).await;
    stored(shop.receive(PHONE, OWN, "Another").await);
    shop.app.settle().await;
    assert_eq!(sent().await, [true, true]);
    shop.app.pass(Duration::from_hours(2)).await;
    assert_eq!((sent().await, &shop.view(&id).await["body"]), (vec![true, false], &json!("")));
}
