//! What is refused though nothing is wrong with it: for its rate, for time, and for failures of ours
//! (docs/spec/00-overview.md sections 5 and 6).

use crate::exact::{self, ask, get, send};
use crate::home::{Home, status_and_codes};
use crate::log_watch;
use crate::support::database::is_postgres;
use crate::support::{Answer, live, partner_api, test};
use axum::body::{Body, Bytes};
use rookery::core::account::{self};
use rookery::wire::Options;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use store::Tx;
use tokio::task::JoinSet;

#[tokio::test]
async fn reads_and_writes_of_a_key_are_limited_and_the_clock_refills() {
    let home = Home::with(Options::default()).await;
    for _ in 0..50 {
        home.read("/balance").await.expect(200);
    }
    let refused = home.read("/balance").await;
    assert_eq!(
        refused.expect(429),
        json!({"errors": [{"code": 21, "description": "Too many requests", "parameter": null}]})
    );
    assert_eq!(refused.header("retry-after"), "1");
    // Unknown paths cost too; writes, other keys of the account and other accounts have buckets of their own.
    assert_eq!(home.read("/nothing").await.status, 429);
    let service = &home.app.service;
    let authorization = |key: &str| get("/balance").header("authorization", format!("AccessKey {key}"));
    send(service, authorization(test(&home.child)), "").await.expect(200);
    send(service, authorization(live(&home.partner)), "").await.expect(200);
    let post = || ask("POST", "/contacts").header("authorization", home.authorization());
    for _ in 0..500 {
        send(service, post(), "").await.expect(422);
    }
    let refused = send(service, post(), "").await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (429, "1"));
    // Asking for a write by a read is a write.
    assert_eq!(home.read("/contacts?_method=POST").await.status, 429);

    home.app.clock.advance(Duration::from_millis(20));
    home.read("/balance").await.expect(200);
    assert_eq!(home.read("/balance").await.status, 429);
    for _ in 0..10 {
        send(service, post(), "").await.expect(422);
    }
    assert_eq!(send(service, post(), "").await.status, 429);
    home.app.clock.advance(Duration::from_mins(1));
    for _ in 0..50 {
        home.read("/balance").await.expect(200);
    }
    assert_eq!(home.read("/balance").await.status, 429);
}

#[tokio::test]
async fn a_limit_is_said_in_the_shape_of_the_product() {
    let home = Home::with(Options::default()).await;
    let (service, (api_key, handle)) = (&home.app.service, partner_api(&home.partner));
    let child =
        || get("/child-accounts").header("authorization", format!("AccessKey {}", live(&home.partner)));
    let hub = || get(&format!("/api/v2/partners/{handle}")).header("x-api-key", api_key);
    for _ in 0..50 {
        send(service, child(), "").await.expect(200);
        send(service, hub(), "").await.expect(200);
    }
    let refused = send(service, child(), "").await;
    let problem = json!({
        "type": "https://tools.ietf.org/html/rfc2616#section-10",
        "title": "An error occurred",
        "detail": "Too many requests",
    });
    assert_eq!((refused.expect(429), refused.header("retry-after")), (problem, "1"));
    let refused = send(service, hub(), "").await;
    let meta =
        json!({"meta": {"developer_message": "Rate limit exceeded", "http_code": 429, "success": false}});
    assert_eq!((refused.expect(429), refused.header("retry-after")), (meta, "1"));
}

#[tokio::test]
async fn an_address_may_try_twenty_wrong_keys_a_minute() {
    let home = Home::with(Options::default()).await;
    let service = &home.app.service;
    let balance = async |peer: &str, key: &str| {
        exact::from(service, peer, get("/balance").header("authorization", format!("AccessKey {key}")), "")
            .await
    };
    let (bad, good) = ("198.51.100.9", "203.0.113.7");
    balance(bad, home.key()).await.expect(200);
    for number in 0..20 {
        assert_eq!(status_and_codes(&balance(bad, &format!("wrong-key-{number}")).await), (401, vec![2]));
    }
    let refused = balance(bad, "wrong-key-20").await;
    assert_eq!((status_and_codes(&refused), refused.header("retry-after")), ((429, vec![21]), "3"));
    // The right key is no answer either: or else guessing would go on.
    assert_eq!(balance(bad, test(&home.child)).await.status, 429);
    // What is known to be good works on, also when all keys must be looked up again.
    balance(bad, home.key()).await.expect(200);
    home.app.store.write(home.partner.account.id, account::suspend).await.expect("suspended");
    home.app.store.write(home.partner.account.id, account::resume).await.expect("resumed");
    home.app.notice_changes().await;
    balance(bad, home.key()).await.expect(200);
    // Others are not affected, and no key at all is no try.
    assert_eq!(balance(good, "wrong-key-20").await.status, 401);
    balance(good, test(&home.child)).await.expect(200);
    assert_eq!(exact::from(service, bad, get("/balance"), "").await.status, 401);
    // The hub counts with the rest.
    let hub = get("/api/v2/partners/x").header("x-api-key", "wrong-key-21");
    assert_eq!(exact::from(service, bad, hub, "").await.expect(429)["meta"]["http_code"], 429);

    home.app.clock.advance(Duration::from_secs(3));
    assert_eq!(balance(bad, "wrong-key-22").await.status, 401);
    assert_eq!(balance(bad, "wrong-key-23").await.status, 429);
    home.app.clock.advance(Duration::from_mins(1));
    assert_eq!(balance(bad, "wrong-key-24").await.status, 401);
}

#[tokio::test]
async fn an_unexpected_failure_tells_its_id_and_nothing_else() {
    let home = Home::new().await;
    let (app, partner, (api_key, handle)) = (&home.app, live(&home.partner), partner_api(&home.partner));
    log_watch::start([home.key(), partner, api_key].map(str::to_owned));
    let hub = || app.request("GET", &format!("/api/v2/partners/{handle}")).header("x-api-key", api_key);
    app.request("GET", "/balance").key(home.key()).send().await.expect(200);
    app.request("GET", "/child-accounts").key(partner).send().await.expect(200);
    hub().send().await.expect(200);
    for table in ["contact", "account", "partner"] {
        app.store.raw_batch(&format!("DROP TABLE {table}")).await.expect("a table is dropped");
    }
    let rest = app.request("POST", "/contacts").key(home.key()).form("msisdn=31655500001").send().await;
    let child = app.request("GET", "/child-accounts").key(partner).send().await;
    let hub = hub().send().await;
    let sentence = |answer: &Answer| {
        format!("Internal error, the operator's log has it as request {}", answer.header("x-request-id"))
    };
    assert_eq!(
        rest.expect(500),
        json!({"errors": [{"code": 99, "description": sentence(&rest), "parameter": null}]})
    );
    assert_eq!(child.expect(500)["detail"], sentence(&child));
    let meta = json!({"developer_message": sentence(&hub), "http_code": 500, "success": false});
    assert_eq!(hub.expect(500), json!({"meta": meta}));
    for answer in [&rest, &child, &hub] {
        let lines = log_watch::failures_with(answer.header("x-request-id"));
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].contains("a request failed") && lines[0].contains("core/"),
            "the log says what and where: {}",
            lines[0]
        );
        assert!(!lines[0].contains("31655500001"), "{}", lines[0]);
        let body = String::from_utf8_lossy(&answer.body);
        for word in ["contact", "SELECT", "INSERT", "table", "core/", "relation"] {
            assert!(!body.contains(word), "{body}");
        }
    }
    // A key that is not remembered needs what is gone: a failure too, and not a wrong key.
    let unknown = app.request("GET", "/balance").key(test(&home.child)).send().await;
    assert_eq!(status_and_codes(&unknown), (500, vec![99]));
    assert_eq!(log_watch::leaks(), Vec::<String>::new());
}

#[tokio::test]
async fn without_the_database_the_answer_is_to_try_again() {
    let home = Home::new().await;
    let (app, (api_key, handle)) = (&home.app, partner_api(&home.partner));
    let hub = |method| {
        app.request(method, &format!("/api/v2/partners/{handle}"))
            .header("x-api-key", api_key)
            .json(&json!({}))
    };
    let children = |method| {
        app.request(method, "/child-accounts").key(live(&home.partner)).json(&json!({"name": "Newcomer"}))
    };
    let contacts = || app.request("POST", "/contacts").key(home.key()).form("msisdn=31655500001");
    // So that the keys are known: what follows is about the handlers.
    home.read("/balance").await.expect(200);
    children("GET").send().await.expect(200);
    hub("GET").send().await.expect(200);
    app.request("GET", "/readyz").send().await.expect(200);
    app.store.close().await;

    let again = |answer: &Answer| {
        let error =
            json!({"code": 100, "description": "Service unavailable, try again later", "parameter": null});
        assert_eq!((answer.expect(503), answer.header("retry-after")), (json!({"errors": [error]}), "1"));
    };
    let problem = |answer: &Answer| {
        assert_eq!(
            (&answer.expect(503)["title"], answer.header("retry-after")),
            (&json!("An error occurred"), "1")
        );
    };
    let meta = |answer: &Answer| {
        assert_eq!(
            (&answer.expect(503)["meta"]["http_code"], answer.header("retry-after")),
            (&json!(503), "1")
        );
    };
    again(&contacts().send().await);
    again(&home.read("/contacts/Ada").await);
    problem(&children("POST").send().await);
    meta(&hub("PATCH").send().await);
    again(&home.read("/balance").await);
    again(&app.request("GET", "/balance").key(test(&home.child)).send().await);
    problem(&children("GET").send().await);
    meta(&hub("GET").send().await);
    assert_eq!(app.request("GET", "/readyz").send().await.expect(503)["status"], "not ready");
    app.request("GET", "/healthz").send().await.expect(200);
}

const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_body_that_does_not_end_is_given_up() {
    let body_within = SHORT;
    assert_eq!(Options::default().body_within, Duration::from_secs(30));
    let home = Home::with(Options { body_within, rate_limits: false, ..Options::default() }).await;
    let endless = || {
        let first =
            futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"{\"msisdn\":"))]);
        Body::from_stream(futures_util::StreamExt::chain(first, futures_util::stream::pending()))
    };
    let post = ask("POST", "/contacts").header("authorization", home.authorization());
    let rest = send(&home.app.service, post, endless()).await;
    assert_eq!(status_and_codes(&rest), (408, vec![21]));
    // A form could hold the key; without the body nobody knows.
    let form = get("/balance").header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(send(&home.app.service, form, endless()).await.status, 408);
    let (api_key, handle) = partner_api(&home.partner);
    let patch = ask("PATCH", &format!("/api/v2/partners/{handle}")).header("x-api-key", api_key);
    assert_eq!(send(&home.app.service, patch, endless()).await.expect(408)["meta"]["http_code"], 408);
    // A read does not wait for what it does not read.
    let read = get("/balance").header("authorization", home.authorization());
    send(&home.app.service, read, endless()).await.expect(200);
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_given_up() {
    assert_eq!(Options::default().answered_within, Duration::from_secs(4), "the Node SDK gives up at 5 s");
    let home = Home::with(Options { answered_within: SHORT, rate_limits: false, ..Options::default() }).await;
    home.read("/balance").await.expect(200);
    // A unit that does not end holds up every other.
    let (begun, has_begun) = mpsc::channel();
    let (end, ended) = mpsc::channel::<()>();
    let mut units = JoinSet::new();
    let store = home.app.store.clone();
    units.spawn(async move {
        let gate = std::sync::Mutex::new((begun, ended));
        let held: Result<(), store::Error> = store
            .write(gate, async |_: &mut Tx, gate: &std::sync::Mutex<_>| {
                let gate: std::sync::MutexGuard<'_, (mpsc::Sender<()>, mpsc::Receiver<()>)> =
                    gate.lock().expect("once");
                gate.0.send(()).expect("the test waits");
                gate.1.recv().expect("the test lets go");
                Ok(())
            })
            .await;
        held
    });
    tokio::task::yield_now().await;
    has_begun.recv().expect("the unit has begun");
    let post = || ask("POST", "/contacts").header("authorization", home.authorization());
    let answer = send(&home.app.service, post(), "msisdn=31655500001").await;
    assert_eq!((status_and_codes(&answer), answer.header("retry-after")), ((503, vec![100]), "1"));
    end.send(()).expect("the unit waits");
    units.join_next().await.expect("a unit").expect("it ends").expect("it is committed");
    // What was given up while it waited is either not done or done whole; either way the number is there once.
    let again = send(&home.app.service, post(), "msisdn=31655500001").await;
    assert!([201, 422].contains(&again.status.as_u16()), "{again:?}");
    home.app.settle().await;
}

#[tokio::test]
async fn looking_up_a_key_is_given_up_as_well() {
    let home = Home::with(Options { answered_within: SHORT, rate_limits: false, ..Options::default() }).await;
    let mut units = JoinSet::new();
    if is_postgres() {
        // Reads go on beside everything else but this.
        let store = home.app.store.clone();
        units.spawn(async move {
            store.raw_batch("LOCK TABLE access_key IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(1.5)").await
        });
    }
    let begun = Instant::now();
    let mut answers = BTreeSet::new();
    for number in 0.. {
        if begun.elapsed() > Duration::from_secs(1) {
            break;
        }
        let asked = Instant::now();
        let request =
            get("/balance").header("authorization", format!("AccessKey never-seen-before-{number}"));
        answers.insert(send(&home.app.service, request, "").await.status.as_u16());
        assert!(asked.elapsed() < Duration::from_secs(1), "a look-up holds up its request");
    }
    assert!(answers.contains(if is_postgres() { &503 } else { &401 }), "{answers:?}");
    assert!(answers.is_subset(&BTreeSet::from([401, 503])), "{answers:?}");
    units.join_all().await;
}
