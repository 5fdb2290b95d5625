//! Rollups and reports (docs/spec/03-reporting.md): what is summed is what the messages say, whoever counts, and when.

use crate::exact::{get, send};
use crate::support::books;
use crate::support::correspondent::{OWN, Shop};
use crate::support::database::{Home, is_postgres};
use crate::support::process::{child, partner, run};
use crate::support::{TestApp, live, test};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rookery::core::network::{self, Network, Prefix};
use rookery::core::{Result, rollup};
use rookery::wire::Options;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Mutex, mpsc};
use std::time::Duration;
use store::stepped::Step;
use store::{Tx, sql};
use tokio::task::JoinSet;

const BEGIN: &str = "periodStart=2024-03-05T00:00:00Z";

/// What an independent count of the messages' own rows gives: by account, country, network, kind, direction and status.
async fn recount(shop: &Shop) -> BTreeMap<Vec<String>, (i64, i64, i64)> {
    type Row = (i64, String, String, String, String, i64, i64, i64, i64);
    let rows: Result<Vec<Row>> = shop
        .app
        .store
        .write((), async |tx: &mut Tx, (): &()| {
            Ok(tx
                .all(
                    sql!(
                        "SELECT m.account, m.direction, m.kind, r.status, m.originator, r.msisdn, m.parts, r.price, m.created
                         FROM recipient r JOIN message m ON m.root = r.root AND m.account = r.account AND m.id = r.message"
                    ),
                    &[],
                )
                .await?)
        })
        .await;
    let mut counted: BTreeMap<Vec<String>, (i64, i64, i64)> = BTreeMap::new();
    for (account, direction, kind, status, from, to, parts, price, created) in rows.expect("rows") {
        let far = if direction == "in" { from } else { to.to_string() };
        let (country, network) = match far.get(..2) {
            Some("31") => ("NL", if far.starts_with("3165") { "20404" } else { "20408" }),
            Some("49") => ("DE", ""),
            _ => ("", ""),
        };
        let bucket = created / 900_000_000 * 900_000_000;
        let place = [
            account.to_string(),
            bucket.to_string(),
            direction,
            kind,
            country.into(),
            network.into(),
            status,
        ];
        let figures = counted.entry(place.to_vec()).or_default();
        let price = if place[6] == "scheduled" { 0 } else { price };
        *figures = (figures.0 + 1, figures.1 + parts, figures.2 + price);
    }
    counted
}

/// The rollups in the same form.
async fn rolled_up(shop: &Shop) -> BTreeMap<Vec<String>, (i64, i64, i64)> {
    type Row = (i64, i64, String, String, String, String, String, i64, i64, i64);
    let rows: Result<Vec<Row>> = shop
        .app
        .store
        .write((), async |tx: &mut Tx, (): &()| {
            Ok(tx
                .all(
                    sql!(
                        "SELECT account, bucket, direction, kind, country, network, status, CAST(sum(messages) AS BIGINT),
                         CAST(sum(parts) AS BIGINT), CAST(sum(price) AS BIGINT) FROM rollup
                         GROUP BY account, bucket, direction, kind, country, network, status"
                    ),
                    &[],
                )
                .await?)
        })
        .await;
    let rows = rows.expect("rows").into_iter();
    rows.map(|(account, bucket, direction, kind, country, network, status, messages, parts, price)| {
        let place = [account.to_string(), bucket.to_string(), direction, kind, country, network, status];
        (place.to_vec(), (messages, parts, price))
    })
    .collect()
}

/// Recipients that stand in the rollups otherwise than they are.
async fn uncounted(shop: &Shop) -> i64 {
    let count: Result<i64> = shop
        .app
        .store
        .write((), async |tx: &mut Tx, (): &()| {
            let text = sql!(
                "SELECT CAST(count(*) AS BIGINT) FROM recipient
                 WHERE counted IS NULL OR counted <> status OR counted_price <> price"
            );
            Ok(tx.one(text, &[]).await?)
        })
        .await;
    count.expect("a count")
}

async fn import(shop: &Shop) {
    let prefix = |digits: &str, mnc: &str| Prefix {
        digits: digits.into(),
        network: Network { mcc: "204".into(), mnc: mnc.into(), operator: String::new() },
    };
    let prefixes = vec![prefix("31", "08"), prefix("3165", "04")];
    shop.app.store.write(prefixes, network::set_all).await.expect("prefixes");
}

/// Numbers of all kinds of ends, the prefix of each being of a network or of none.
fn numbers(from: i64, count: i64) -> Vec<i64> {
    let ends =
        [99_900_000_000, 99_900_001_000, 99_900_202_003, 99_900_301_000, 99_900_403_020, 99_900_401_000];
    let plain = (from..from + count)
        .map(|at| if at % 3 == 0 { 4_915_150_000_000 + at } else { 31_649_999_000 + at * 700 });
    plain.chain(ends).collect()
}

#[tokio::test]
async fn the_rollups_are_what_an_independent_count_of_the_messages_gives() {
    let shop = Shop::new().await;
    import(&shop).await;
    shop.number(OWN, None, &shop.sender, None, None).await.expect("a number");
    for at in 0..6 {
        shop.send(&json!(numbers(at * 20, 20))).await;
        shop.receive("31655500011", OWN, "Where is my crate?").await;
        shop.receive("Postbank", OWN, "Your code").await;
        let long =
            json!({"originator": OWN, "recipients": numbers(1_000 + at, 2), "body": "long ".repeat(60)});
        shop.call("POST", "/messages").json(&long).send().await.expect(201);
        let later = json!({"originator": OWN, "recipients": numbers(2_000 + at, 3), "body": "Later",
            "scheduledDatetime": "2024-03-05T18:00:00+00:00"});
        let kept = shop.call("POST", "/messages").json(&later).send().await.expect(201);
        if at % 2 == 0 {
            let id = kept["id"].as_str().expect("an id");
            shop.call("DELETE", &format!("/messages/{id}")).send().await.expect(204);
        }
        // Some are counted before they have ended, by several at a time; then they end.
        shop.app.clock.advance(Duration::from_secs(5));
        let store = &shop.app.store;
        let (one, two, three) =
            tokio::join!(rollup::count_some(store), rollup::count_some(store), rollup::count_some(store));
        for counted in [one, two, three] {
            counted.expect("rollups are counted");
        }
        let kept: Result<_> = store.write((), async |tx: &mut Tx, (): &()| books::rollups(tx).await).await;
        let (kept, counted) = kept.expect("figures");
        assert_eq!(kept, counted, "at every moment the rollups are what the rows were counted as");
        assert!(!kept.is_empty());
        shop.app.pass(Duration::from_secs(700)).await;
    }
    for hours in [0, 10, 20, 30] {
        shop.app.pass(Duration::from_hours(hours)).await;
        // Something may end in any moment: what has ended is counted some seconds later.
        while rolled_up(&shop).await.is_empty() || uncounted(&shop).await > 0 {
            shop.app.pass(Duration::from_secs(6)).await;
        }
        // A day after their deletion the rows of cancelled messages go; what was counted stays.
        if hours < 20 {
            let (rolled_up, counted) = (rolled_up(&shop).await, recount(&shop).await);
            let other: Vec<_> =
                rolled_up.iter().filter(|(place, by)| counted.get(*place) != Some(by)).collect();
            let missing: Vec<_> =
                counted.iter().filter(|(place, by)| rolled_up.get(*place) != Some(by)).collect();
            assert!(other.is_empty() && missing.is_empty(), "{hours}: {other:?}, not {missing:?}");
        }
    }
    let all: i64 = rolled_up(&shop).await.values().map(|(messages, ..)| messages).sum();
    assert_eq!(all, 6 * (26 + 8 + 9 + 2), "every recipient once");
}

#[tokio::test]
async fn a_deleted_message_is_counted_as_it_ended_before_its_rows_go() {
    let shop = Shop::new().await;
    let sent = shop.send(&json!([99_900_401_000_i64])).await;
    shop.app.pass(Duration::from_secs(6)).await;
    let id = sent["id"].as_str().expect("an id");
    shop.call("DELETE", &format!("/messages/{id}")).send().await.expect(204);
    // Its validity ends and the sweep meets the ended row in the same turn.
    shop.app.pass(Duration::from_hours(49)).await;
    shop.app.pass(Duration::from_secs(6)).await;
    let figures = rolled_up(&shop).await;
    let states: Vec<&str> = figures.keys().map(|place| place[6].as_str()).collect();
    assert_eq!(states, ["failed"], "{figures:?}");
    let left: Result<i64> = shop
        .app
        .store
        .write((), async |tx: &mut Tx, (): &()| {
            Ok(tx.one(sql!("SELECT CAST(count(*) AS BIGINT) FROM recipient"), &[]).await?)
        })
        .await;
    assert_eq!(left.expect("a count"), 0, "and then they went");
}

#[tokio::test]
async fn two_processes_that_count_the_same_rows_at_the_same_moment_count_them_once() {
    let shop = Shop::new().await;
    let store = &shop.app.store;
    let mut sent = 0;
    for lead in 1.. {
        shop.send(&json!([31_655_500_011_i64, 99_900_001_000_i64])).await;
        sent += 2;
        shop.app.clock.advance(Duration::from_secs(6));
        let seen = store.read((), rollup::uncounted).await.expect("what is to be counted");
        assert_eq!(seen.len(), 2);
        let mut is_over = !is_postgres();
        if is_over {
            let count: Result<()> = store.write(seen.clone(), rollup::count).await;
            count.expect("it is counted");
            let again: Result<()> = store.write(seen, rollup::count).await;
            again.expect("and not again");
        } else {
            let mut first = store.stepped(seen.clone(), rollup::count).expect("a stepped unit");
            let mut second = store.stepped(seen, rollup::count).expect("a stepped unit");
            for _ in 0..lead {
                is_over |= first.step().await == Step::Done;
            }
            while second.step().await == Step::Paused {}
            let (first, second): (Result<()>, Result<()>) = tokio::join!(first.finish(), second.finish());
            first.and(second).expect("both end");
        }
        let figures: Result<_> = store.write((), async |tx: &mut Tx, (): &()| books::rollups(tx).await).await;
        let (kept, counted) = figures.expect("figures");
        assert_eq!(kept, counted, "after {lead} steps");
        assert_eq!(kept.values().map(|(messages, ..)| messages).sum::<i64>(), sent);
        shop.app.pass(Duration::from_secs(6)).await;
        shop.app.pass(Duration::from_secs(6)).await;
        if is_over {
            break;
        }
    }
}

async fn report(shop: &Shop, query: &str) -> Value {
    shop.call("GET", &format!("/reporting/sms?{BEGIN}&{query}")).send().await.expect(200)
}

async fn traded() -> Shop {
    let shop = Shop::new().await;
    import(&shop).await;
    for recipients in
        [json!([31_655_500_011_i64, 31_612_345_678_i64]), json!([99_900_001_000_i64, 4_915_150_000_001_i64])]
    {
        shop.send(&recipients).await;
        shop.app.pass(Duration::from_hours(20)).await;
    }
    shop.app.pass(Duration::from_secs(6)).await;
    shop
}

#[tokio::test]
async fn a_report_sums_by_what_is_asked_for() {
    let shop = traded().await;
    let price = |amount: f64| json!({"amount": amount, "currency": "EUR"});
    let whole = report(&shop, "").await;
    let items =
        json!([{"periodStart": "2024-03-05T00:00:00+00:00", "count": 4, "parts": 4, "price": price(0.244)}]);
    assert_eq!((&whole["items"], &whole["totalCount"], &whole["count"]), (&items, &json!(1), &json!(1)));
    assert_eq!((&whole["offset"], &whole["limit"]), (&json!(0), &json!(100)));
    assert_eq!(whole["ref"].as_str().map(str::len), Some(16));
    assert!(whole.get("links").is_none());

    let days = report(&shop, "periodGroup=day&groupBy=country,status").await;
    let item = |day: &str, country: Value, status: &str, count: i64, amount: f64| {
        json!({"periodStart": format!("2024-03-{day}T00:00:00+00:00"), "country": country, "status": status,
            "count": count, "parts": count, "price": price(amount)})
    };
    let wanted = json!([
        item("05", json!("NL"), "delivered", 2, 0.122),
        item("06", Value::Null, "delivery_failed", 1, 0.061),
        item("06", json!("DE"), "delivered", 1, 0.061),
    ]);
    assert_eq!(days["items"], wanted);
    let raw = shop
        .call("GET", &format!("/reporting/sms?{BEGIN}&periodGroup=day&groupBy=status,country"))
        .send()
        .await;
    let raw = String::from_utf8(raw.body).expect("text");
    let first = r#"{"periodStart":"2024-03-05T00:00:00+00:00","status":"delivered","country":"NL","count":2,"parts":2,"price":{"amount":0.122,"currency":"EUR"}}"#;
    assert!(raw.contains(first), "in the order that was asked for: {raw}");

    let networks = report(&shop, "groupBy[]=mccmnc&groupBy[]=gateway&status=delivered&country=nl").await;
    let network = |code: &str| {
        json!({"periodStart": "2024-03-05T00:00:00+00:00", "mccmnc": code, "gateway": 1, "count": 1, "parts": 1,
            "price": price(0.061)})
    };
    assert_eq!(networks["items"], json!([network("20404"), network("20408")]));

    // By a clock that is half a day ahead all of it is on the two days after.
    let ahead =
        shop.call("GET", "/reporting/sms?periodStart=2024-03-05T00%3A00%3A00%2B12%3A00&periodGroup=day");
    let ahead = ahead.send().await.expect(200);
    let begins: Vec<_> =
        ahead["items"].as_array().expect("items").iter().map(|item| item["periodStart"].clone()).collect();
    assert_eq!(begins, [json!("2024-03-05T00:00:00+12:00"), json!("2024-03-06T00:00:00+12:00")]);
    let months = report(&shop, "periodGroup=month&direction=sent&type=sms").await;
    assert_eq!(months["items"][0]["periodStart"], json!("2024-03-01T00:00:00+00:00"));
    assert_eq!(months["items"][0]["count"], json!(4));
    assert_eq!(report(&shop, "direction=received").await["items"], json!([]));
    assert_eq!(report(&shop, "periodEnd=2024-03-05T08:00:00Z").await["items"], json!([]));
}

#[tokio::test]
async fn originators_and_references_are_looked_up_in_an_index() {
    let shop = traded().await;
    let other = json!({"originator": "Bakery", "recipients": [31_655_500_012_i64], "body": "Hello", "reference": "order-9"});
    shop.call("POST", "/messages").json(&other).send().await.expect(201);
    let by = report(&shop, "groupBy=originator,reference").await;
    let rows: Vec<_> = by["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| (item["originator"].clone(), item["reference"].clone(), item["count"].clone()))
        .collect();
    let own = OWN.to_string();
    assert_eq!(
        rows,
        [(json!(own), json!("order-8841"), json!(4)), (json!("Bakery"), json!("order-9"), json!(1))]
    );
    assert_eq!(report(&shop, "reference=order-9").await["items"][0]["count"], json!(1));
    let filtered = report(&shop, &format!("originator={own}&groupBy=country&status=delivered")).await;
    let counts: Vec<_> =
        filtered["items"].as_array().expect("items").iter().map(|item| item["count"].clone()).collect();
    assert_eq!(counts, [json!(1), json!(2)]);
}

#[tokio::test]
async fn pages_of_a_report_are_of_one_moment() {
    let shop = traded().await;
    let query = "periodGroup=day&groupBy=country,status";
    let first = report(&shop, &format!("{query}&limit=1")).await;
    assert_eq!((&first["totalCount"], &first["count"]), (&json!(3), &json!(1)));
    let token = first["ref"].as_str().expect("a ref").to_owned();
    shop.send(&json!([31_655_500_013_i64])).await;
    shop.app.pass(Duration::from_secs(6)).await;
    let rest = report(&shop, &format!("{query}&limit=5&offset=1&ref={token}")).await;
    assert_eq!((&rest["totalCount"], &rest["count"], &rest["ref"]), (&json!(3), &json!(2), &json!(token)));
    assert_ne!(report(&shop, query).await["totalCount"], json!(3), "a new question is of now");
    for wrong in ["groupBy=country", "periodGroup=day&groupBy=country,status&status=sent"] {
        let answer = shop.call("GET", &format!("/reporting/sms?{BEGIN}&{wrong}&ref={token}")).send().await;
        assert_eq!(answer.expect(422)["errors"][0]["parameter"], json!("ref"), "{wrong}");
    }
    let target = format!("/reporting/sms?{BEGIN}&{query}&ref={token}");
    let stranger = shop.app.request("GET", &target).key(live(&shop.partner)).send().await;
    assert_eq!(stranger.expect(422)["errors"][0]["parameter"], json!("ref"), "somebody else's");
    shop.app.pass(Duration::from_hours(1)).await;
    assert_eq!(shop.call("GET", &target).send().await.expect(422)["errors"][0]["parameter"], json!("ref"));
}

#[tokio::test]
async fn a_partner_sees_its_children_and_nobody_elses() {
    let shop = traded().await;
    let ask = async |query: &str| {
        let target = format!("/reporting/sms?{BEGIN}&{query}");
        shop.app.request("GET", &target).key(live(&shop.partner)).send().await
    };
    let (partner, child) = (shop.partner.account.id.0, shop.sender.account.id.0);
    assert_eq!(ask("").await.expect(200)["items"], json!([]), "the partner itself has sent nothing");
    let all = ask("accountId=all&groupBy=accountId").await.expect(200);
    assert_eq!((&all["items"][0]["accountId"], &all["items"][0]["count"]), (&json!(child), &json!(4)));
    let one = ask(&format!("accountId={child},{partner}&groupBy=accountId")).await.expect(200);
    assert_eq!(one["items"], all["items"]);
    let other = shop.app.partner("Other").await;
    let foreign = shop.app.child(other.account.id, "Foreign").await;
    let answer = ask(&format!("accountId={}", foreign.account.id.0)).await;
    assert_eq!((answer.status.as_u16(), answer.codes()), (404, vec![20]));
    let forbidden = shop.call("GET", &format!("/reporting/sms?{BEGIN}&accountId=all")).send().await;
    assert_eq!((forbidden.status.as_u16(), forbidden.codes()), (403, vec![2]));
    assert_eq!(report(&shop, &format!("accountId={child}")).await["items"][0]["count"], json!(4));
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let shop = Shop::new().await;
    for (query, code, parameter) in [
        ("", 9, "periodStart"),
        ("periodStart=yesterday", 10, "periodStart"),
        ("periodStart=2024-03-05T00:00:00Z&periodEnd=2024-03-04T00:00:00Z", 10, "periodEnd"),
        ("periodStart=2025-03-05T00:00:00Z", 10, "periodEnd"),
        ("periodStart=2024-01-01T00:00:00Z&periodGroup=hour", 10, "periodEnd"),
        ("periodStart=2022-01-01T00:00:00Z&periodGroup=day", 10, "periodEnd"),
        ("periodStart=2024-03-05T00:00:00Z&periodGroup=week", 10, "periodGroup"),
        ("periodStart=2024-03-05T00:00:00Z&groupBy=colour", 10, "groupBy"),
        ("periodStart=2024-03-05T00:00:00Z&groupBy=status,type,country,mccmnc,gateway", 10, "groupBy"),
        ("periodStart=2024-03-05T00:00:00Z&status=lost", 10, "status"),
        ("periodStart=2024-03-05T00:00:00Z&country=Holland", 10, "country"),
        ("periodStart=2024-03-05T00:00:00Z&limit=0", 10, "limit"),
        ("periodStart=2024-03-05T00:00:00Z&limit=1001", 10, "limit"),
        ("periodStart=2024-03-05T00:00:00Z&ref=xyz", 10, "ref"),
        ("periodStart=2024-03-05T00:00:00Z&ref=0123456789abcdef", 10, "ref"),
    ] {
        let answer = shop.call("GET", &format!("/reporting/sms?{query}")).send().await;
        let body = answer.expect(422);
        assert_eq!(
            (&body["errors"][0]["code"], &body["errors"][0]["parameter"]),
            (&json!(code), &json!(parameter)),
            "{query}"
        );
    }
    assert_eq!(shop.call("GET", "/reporting/fax").send().await.codes(), [98]);
    for report in ["voice", "conversations"] {
        let empty =
            shop.call("GET", &format!("/reporting/{report}?{BEGIN}&groupBy=status")).send().await.expect(200);
        assert_eq!((&empty["items"], &empty["totalCount"]), (&json!([]), &json!(0)));
        let wrong = shop.call("GET", &format!("/reporting/{report}?{BEGIN}&groupBy=gateway")).send().await;
        assert_eq!(wrong.codes(), [10]);
    }
}

#[tokio::test]
async fn a_key_may_have_five_reports_under_way() {
    let app = TestApp::with(Options::default()).await;
    let partner = app.partner("Acme").await;
    // What is not answered whole is kept, and a unit that does not end holds that up.
    let (begun, has_begun) = mpsc::channel();
    let (end, ended) = mpsc::channel::<()>();
    let store = app.store.clone();
    let mut units = JoinSet::new();
    units.spawn(async move {
        let gate = Mutex::new((begun, ended));
        let held: Result<()> = store
            .bulk(gate, async |_: &mut Tx, gate: &Mutex<(mpsc::Sender<()>, mpsc::Receiver<()>)>| {
                let gate = gate.lock().expect("once");
                gate.0.send(()).expect("the test waits");
                gate.1.recv().expect("the test lets go");
                Ok(())
            })
            .await;
        held.expect("the unit ends");
    });
    tokio::task::yield_now().await;
    has_begun.recv().expect("the unit has begun");
    let target = "/reporting/sms?periodStart=2024-03-05T00:00:00Z&offset=1";
    let ask = || app.request("GET", target).key(live(&partner)).send();
    let mut asked: FuturesUnordered<_> = (0..7).map(|_| ask()).collect();
    let mut answers = vec![asked.next().await.expect("an answer"), asked.next().await.expect("an answer")];
    end.send(()).expect("the unit waits");
    answers.extend(asked.collect::<Vec<_>>().await);
    units.join_next().await.expect("a unit").expect("it ends");
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429, 429]);
    let refused = answers.iter().find(|answer| answer.status.as_u16() == 429).expect("one is refused");
    assert_eq!((refused.header("retry-after"), refused.codes()), ("1", vec![21]));
    assert_eq!(ask().await.status.as_u16(), 200, "and then there is room again");
}

#[tokio::test]
async fn a_key_may_ask_for_five_reports_a_second() {
    let app = TestApp::with(Options::default()).await;
    let partner = app.partner("Acme").await;
    let other = app.child(partner.account.id, "Wool Shop").await;
    // The clock stands still between these.
    let call = async |target: &str, key: &str| {
        send(&app.service, get(target).header("authorization", format!("AccessKey {key}")), "").await
    };
    let ask = async |report: &str, key: &str| {
        call(&format!("/reporting/{report}?periodStart=2024-03-05T00:00:00Z"), key).await
    };
    for report in ["sms", "voice", "conversations", "sms", "sms"] {
        ask(report, live(&partner)).await.expect(200);
    }
    let refused = ask("voice", live(&partner)).await;
    assert_eq!(
        (refused.status.as_u16(), refused.header("retry-after"), refused.codes()),
        (429, "1", vec![21])
    );
    ask("sms", live(&other)).await.expect(200);
    ask("sms", test(&partner)).await.expect(200);
    call("/balance", live(&partner)).await.expect(200);
    // The bucket gets one back every fifth of a second.
    app.clock.advance(Duration::from_millis(200));
    ask("sms", live(&partner)).await.expect(200);
    assert_eq!(ask("sms", live(&partner)).await.status.as_u16(), 429);
    app.clock.advance(Duration::from_secs(1));
    for _ in 0..5 {
        ask("sms", live(&partner)).await.expect(200);
    }
    assert_eq!(ask("sms", live(&partner)).await.status.as_u16(), 429);
}

#[tokio::test]
async fn usage_is_exported_as_csv_and_as_json() {
    let home = Home::new().await;
    let partner = partner(&home, "Acme");
    let made = child(&home, &partner, "Corner Bakery");
    let id = made["id"].to_string();
    let empty = run(&home, &["report", "usage", &id, "--from", "7d"]).ok();
    assert_eq!(
        empty.stdout.trim(),
        "begin,direction,type,country,network,status,messages,parts,price,currency"
    );
    let json = run(&home, &["report", "usage", &id, "--json", "--step", "month", "--by", "status"]).json();
    assert_eq!(json, json!([]));
    run(&home, &["report", "usage", &id, "--by", "colour"]).fails("colour");
    run(&home, &["report", "usage", &id, "--step", "week"]).fails("week");
    run(&home, &["report", "usage", &id, "--children"]).fails("partner");
    run(&home, &["report", "usage", &partner["id"].to_string(), "--children", "--json"]).json();
}
