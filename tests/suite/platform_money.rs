//! Money by the platform's own API: top-up, transfers, credit limit, caps that hold under concurrency, the books.

use crate::support::live;
use crate::support::platform::{Levels, code, fields, now};
use futures_util::future::join_all;
use rookery::core::account::{self, Setting};
use rookery::core::money::Amount;
use rookery::core::rate;
use rookery::core::terms::MessagingSetting;
use rookery::core::{AccountId, Timestamp};
use serde_json::{Value, json};
use std::time::Duration;

/// The price of a part to any number.
pub async fn price(world: &Levels, account: AccountId, amount: i64) {
    let set = rate::Set { account, prefix: String::new(), amount: Amount(amount), currency: None };
    world.app.store.write(set, rate::set).await.unwrap();
    world.app.notice_changes().await;
}

pub async fn send(world: &Levels, recipients: i64) -> u16 {
    let to: Vec<i64> = (0..recipients).map(|number| 31_612_345_000 + number).collect();
    let body = json!({"originator": "Bakery", "recipients": to, "body": "Hello"});
    world.app.request("POST", "/messages").key(live(&world.child)).json(&body).send().await.status.as_u16()
}

async fn view(world: &Levels) -> Value {
    world.get(&world.of_child("/balance"), &world.partner_key).await.expect(200)
}

pub async fn top_up(world: &Levels, account: AccountId, amount: &str) {
    let target = format!("/accounts/{account}/top-ups");
    world.post(&target, &world.operator, json!({"amount": amount})).await.expect(201);
}

#[tokio::test]
async fn money_goes_from_the_operator_to_the_partner_to_the_child_and_back() {
    let world = Levels::new().await;
    let partner = world.partner.account.id;
    let target = format!("/accounts/{partner}/top-ups");
    let made = world
        .post(&target, &world.operator, json!({"amount": "100.00", "note": "Invoice 7", "currency": "eur"}))
        .await
        .expect(201);
    assert_eq!(
        (&made["amount"], &made["reason"], &made["counterparty"]),
        (&json!("100.00"), &json!("credit"), &Value::Null)
    );
    assert_eq!(
        code(&world.post(&target, &world.partner_key, json!({"amount": "1"})).await),
        (403, "forbidden".into())
    );
    for (body, field, wrong) in [
        (json!({"amount": "0.00"}), "amount", "invalid"),
        (json!({"amount": 5}), "amount", "invalid"),
        (json!({"amount": "1e3"}), "amount", "invalid"),
        (json!({}), "amount", "required"),
        (json!({"amount": "5", "currency": "USD"}), "currency", "currency"),
    ] {
        assert_eq!(fields(&world.post(&target, &world.operator, body).await), [(field.into(), wrong.into())]);
    }

    let transfers = world.of_child("/transfers");
    let given = world
        .post(&transfers, &world.partner_key, json!({"amount": "30.5", "note": "=Start"}))
        .await
        .expect(201);
    assert_eq!((&given["amount"], &given["counterparty"]), (&json!("30.50"), &json!(partner.0)));
    let more = world.post(&transfers, &world.partner_key, json!({"amount": "69.51"})).await;
    assert_eq!(code(&more), (422, "not_enough_balance".into()));
    world.post(&transfers, &world.partner_key, json!({"amount": "-0.5"})).await.expect(201);
    let back = world.post(&transfers, &world.partner_key, json!({"amount": "-30.000001"})).await;
    assert_eq!(code(&back), (422, "not_enough_balance".into()));
    assert_eq!(
        code(&world.post(&transfers, &world.child_key, json!({"amount": "1"})).await),
        (403, "forbidden".into())
    );
    let seen = view(&world).await;
    assert_eq!(
        (&seen["balance"], &seen["available"], &seen["currency"]),
        (&json!("30.00"), &json!("30.00"), &json!("EUR"))
    );

    let ledger = world.get(&world.of_child("/ledger"), &world.child_key).await.expect(200);
    let amounts: Vec<&str> =
        ledger["items"].as_array().unwrap().iter().map(|entry| entry["amount"].as_str().unwrap()).collect();
    assert_eq!(amounts, ["-0.50", "30.50"]);
    let own = world.get("/accounts/me/ledger?limit=2", &world.partner_key).await.expect(200);
    let next = own["next"].as_str().unwrap();
    let rest =
        world.get(&format!("/accounts/me/ledger?limit=2&after={next}"), &world.partner_key).await.expect(200);
    assert_eq!((&rest["items"][0]["note"], &rest["next"]), (&json!("Invoice 7"), &Value::Null));
    let table = world.get(&world.of_child("/ledger.csv"), &world.child_key).await;
    let text = String::from_utf8(table.body).unwrap();
    assert!(
        text.starts_with("id,at,amount,currency,reason,counterparty,note\r\n")
            && text.contains(",30.50,EUR,transfer,"),
        "{text}"
    );
    assert!(text.contains("'=Start"), "{text}");
    let later = Timestamp(now(&world.app).0 + 1_000_000).rfc3339_utc();
    let none =
        world.get(&world.of_child(&format!("/ledger?from={later}")), &world.child_key).await.expect(200);
    assert_eq!(none["items"], json!([]));
    world.app.settle().await;
}

#[tokio::test]
async fn a_credit_limit_lets_an_account_go_below_zero_by_so_much() {
    let world = Levels::new().await;
    price(&world, world.child.account.id, 1_000_000).await;
    assert_eq!(send(&world, 1).await, 422);
    let terms = json!({"creditLimit": "2.50", "payment": "postpaid"});
    let set = world.call("PATCH", &world.of_child("/balance"), &world.operator, terms).await.expect(200);
    assert_eq!((&set["creditLimit"], &set["payment"]), (&json!("2.50"), &json!("postpaid")));
    assert_eq!((send(&world, 2).await, send(&world, 1).await), (201, 422));
    // Nobody lifts its own limit, and what a child pays on credit would come to its partner as money.
    for key in [&world.child_key, &world.partner_key] {
        for terms in [json!({"creditLimit": "99"}), json!({"payment": "prepaid"})] {
            let answer = world.call("PATCH", &world.of_child("/balance"), key, terms).await;
            assert_eq!(code(&answer), (403, "forbidden".to_owned()));
        }
    }
    let huge = json!({"creditLimit": "9000000000000"});
    assert_eq!(code(&world.call("PATCH", &world.of_child("/balance"), &world.operator, huge).await).0, 422);
    let own =
        world.call("PATCH", "/accounts/me/balance", &world.partner_key, json!({"creditLimit": "99"})).await;
    assert_eq!(code(&own), (403, "forbidden".into()));
    let wrong = world
        .call(
            "PATCH",
            &world.of_child("/balance"),
            &world.operator,
            json!({"creditLimit": "-1", "dayCap": "x"}),
        )
        .await;
    assert_eq!(
        fields(&wrong),
        [("creditLimit".into(), "invalid".into()), ("dayCap".into(), "invalid".into())]
    );
    world.app.settle().await;
}

#[tokio::test]
async fn caps_count_by_the_accounts_own_day_and_month() {
    let world = Levels::new().await;
    let child = world.child.account.id;
    let zone = Setting::Messaging(MessagingSetting::TimeZone("Asia/Tokyo".into()));
    world.app.store.write((child, vec![zone]), account::set_all).await.unwrap();
    price(&world, child, 1_000_000).await;
    top_up(&world, child, "100").await;
    // What was spent before the cap was set counts.
    assert_eq!(send(&world, 2).await, 201);
    let caps = json!({"dayCap": "5", "monthCap": "8"});
    world.call("PATCH", &world.of_child("/balance"), &world.partner_key, caps).await.expect(200);
    assert_eq!((send(&world, 4).await, send(&world, 3).await, send(&world, 1).await), (422, 201, 422));
    let seen = view(&world).await;
    assert_eq!((&seen["daySpent"], &seen["monthSpent"]), (&json!("5.00"), &json!("5.00")));
    // 08:15 UTC is 17:15 in Tokyo: its day ends at 15:00 UTC.
    assert_eq!(
        (&seen["dayEndsAt"], &seen["monthEndsAt"]),
        (&json!("2024-03-05T15:00:00Z"), &json!("2024-03-31T15:00:00Z"))
    );
    world.app.pass(Duration::from_hours(6)).await;
    assert_eq!(send(&world, 1).await, 422);
    world.app.pass(Duration::from_hours(1)).await;
    assert_eq!(view(&world).await["daySpent"], "0.00");
    assert_eq!((send(&world, 4).await, send(&world, 3).await), (422, 201), "the month has 3 left");
    world.app.pass(Duration::from_hours(24)).await;
    assert_eq!(send(&world, 1).await, 422);
    world.app.pass(Duration::from_hours(624)).await;
    assert_eq!(send(&world, 5).await, 201);
    world
        .call(
            "PATCH",
            &world.of_child("/balance"),
            &world.partner_key,
            json!({"dayCap": null, "monthCap": null}),
        )
        .await
        .expect(200);
    assert_eq!(send(&world, 20).await, 201);
    let seen = view(&world).await;
    assert_eq!((&seen["dayCap"], &seen["daySpent"]), (&Value::Null, &json!("25.00")));
    world.app.settle().await;
}

/// Sixty-four requests at once, half of them in another process, and room for ten.
#[tokio::test]
async fn a_cap_holds_under_concurrency_in_several_processes() {
    let world = Levels::new().await;
    let child = world.child.account.id;
    price(&world, child, 1_000_000).await;
    top_up(&world, child, "1000").await;
    world
        .call("PATCH", &world.of_child("/balance"), &world.partner_key, json!({"dayCap": "10"}))
        .await
        .expect(200);
    let another = crate::platform::Another::beside(&world.app);
    let body =
        json!({"originator": "Bakery", "recipients": [31_612_345_678_i64], "body": "Hello"}).to_string();
    let sent = join_all((0..64).map(|number| {
        let service = if number % 2 == 0 { &world.app.service } else { another.service() };
        let request = axum::http::Request::post("/messages")
            .header("authorization", format!("AccessKey {}", live(&world.child)))
            .header("content-type", "application/json");
        crate::exact::send(service, request, body.clone())
    }))
    .await;
    let accepted = sent.iter().filter(|answer| answer.status == 201).count();
    let refused = sent.iter().filter(|answer| answer.codes() == [25]).count();
    assert_eq!((accepted, refused), (10, 54));
    assert_eq!(view(&world).await["daySpent"], "10.00");
    world.app.settle().await;
}

async fn import(world: &Levels, query: &str, table: &str) -> crate::support::Answer {
    let target = format!("/platform/v1{}{query}", world.of_child("/rates.csv"));
    let call =
        world.app.request("PUT", &target).header("authorization", &format!("Bearer {}", world.partner_key));
    call.body("text/csv", table.to_owned()).send().await
}

#[tokio::test]
async fn rate_cards_are_imported_with_a_markup() {
    let world = Levels::new().await;
    let table = "prefix,amount\r\n31,0.06\r\n3161,0.075001\r\n,0.1\r\n";
    assert_eq!(import(&world, "?markupPercent=12.5&markupAmount=0.001", table).await.expect(200)["count"], 3);
    let list = world.get(&world.of_child("/rates?limit=2"), &world.child_key).await.expect(200);
    assert_eq!(
        list["items"],
        json!([{"prefix": "", "amount": "0.1135"}, {"prefix": "31", "amount": "0.0685"}])
    );
    assert_eq!(list["next"], "31");
    let next = world.get(&world.of_child("/rates?limit=2&after=31"), &world.child_key).await.expect(200);
    assert_eq!(next["items"], json!([{"prefix": "3161", "amount": "0.085376"}]));
    let out = world.app.request("GET", &format!("/platform/v1{}", world.of_child("/rates.csv")));
    let out = out.header("authorization", &format!("Bearer {}", world.child_key)).send().await;
    assert_eq!(
        String::from_utf8(out.body).unwrap(),
        "prefix,amount\r\n,0.1135\r\n31,0.0685\r\n3161,0.085376\r\n"
    );
    // Nothing of a table with a wrong line is set.
    let wrong = import(&world, "", "31,0.5\nsoap\n32,x\n33,-1\n").await;
    let told: Vec<(String, String)> =
        [("[2].amount", "required"), ("[3].amount", "invalid"), ("[4].amount", "invalid")]
            .map(|(field, code)| (field.to_owned(), code.to_owned()))
            .to_vec();
    assert_eq!((code(&wrong).0, fields(&wrong)), (422, told));
    assert_eq!(
        world.get(&world.of_child("/rates"), &world.child_key).await.expect(200)["items"][1]["amount"],
        "0.0685"
    );
    world.app.notice_changes().await;
    top_up(&world, world.child.account.id, "1").await;
    assert_eq!(send(&world, 2).await, 201);
    assert_eq!(view(&world).await["held"], "0.170752");
    world.app.settle().await;
}

#[tokio::test]
async fn a_months_statement_adds_up() {
    let world = Levels::new().await;
    let child = world.child.account.id;
    price(&world, child, 1_000_000).await;
    top_up(&world, child, "10").await;
    assert_eq!(send(&world, 3).await, 201);
    world.app.settle().await;
    world.app.pass(Duration::from_hours(720)).await;
    top_up(&world, child, "5").await;
    let at = async |month: &str| {
        world.get(&world.of_child(&format!("/statements/{month}")), &world.child_key).await
    };
    let march = at("2024-03").await.expect(200);
    assert_eq!((&march["opening"], &march["closing"]), (&json!("0.00"), &json!("7.00")));
    assert_eq!(
        march["lines"],
        json!([{"reason": "credit", "count": 1, "amount": "10.00"}, {"reason": "messages", "count": 1, "amount": "-3.00"}])
    );
    let april = at("2024-04").await.expect(200);
    assert_eq!((&april["opening"], &april["closing"]), (&json!("7.00"), &json!("12.00")));
    for bad in ["2024-13", "soap", "2024-05"] {
        assert_eq!(fields(&at(bad).await), [("month".into(), "invalid".into())], "{bad}");
    }
    let page = world.get(&world.of_child("/statements/2024-03/page"), &world.child_key).await;
    let text = String::from_utf8(page.body.clone()).unwrap();
    assert!(text.contains("<td>messages<td>1<td>-3.00 EUR") && text.contains("Corner Bakery"), "{text}");
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let table = world.get(&world.of_child("/statements/2024-03/csv"), &world.child_key).await;
    let text = String::from_utf8(table.body.clone()).unwrap();
    assert_eq!(text.lines().last(), Some("closing balance,,7.00,EUR"));
    world.app.settle().await;
}
