//! Bodies in every form that clients send them, and those that cannot be read (docs/spec/00-overview.md section 3).

use crate::exact::{ask, send};
use crate::home::{Home, status_and_codes};
use crate::support::{live, partner_api};
use axum::body::{Body, Bytes};
use rookery::wire::Options;
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[tokio::test]
async fn a_list_may_come_in_every_shape() {
    let home = Home::new().await;
    let (a, b) = (home.contact("31655500001").await, home.contact("31655500002").await);
    let members = async |group: &str| {
        let list = home
            .app
            .request("GET", &format!("/groups/{group}/contacts"))
            .key(home.key())
            .send()
            .await
            .expect(200);
        let ids = list["items"]
            .as_array()
            .expect("items")
            .iter()
            .map(|item| item["id"].as_str().expect("an id").to_owned());
        ids.collect::<BTreeSet<_>>()
    };
    let both = BTreeSet::from([a.clone(), b.clone()]);
    for (kind, body) in [
        ("application/json", format!(r#"{{"ids":["{a}","{b}"]}}"#)),
        ("application/json", format!(r#"{{"ids":"{a},{b}"}}"#)),
        ("application/json", format!(r#"["{a}","{b}"]"#)),
        ("text/plain", format!(r#"{{"ids":["{a}","{b}"]}}"#)),
        ("", format!(r#" {{"ids":["{a}","{b}"]}}"#)),
        ("application/x-www-form-urlencoded", format!("ids[]={a}&ids[]={b}")),
        ("application/x-www-form-urlencoded", format!("ids%5B%5D={a}&ids%5B%5D={b}")),
        ("application/x-www-form-urlencoded", format!("ids[0]={a}&ids[1]={b}")),
        ("application/x-www-form-urlencoded", format!("ids={a}&ids={b}")),
        ("application/x-www-form-urlencoded", format!("ids={a},{b}")),
        ("application/json", format!("ids[]={a}&ids[]={b}")),
        ("", format!("ids[]={a}&ids[]={b}")),
        ("multipart/form-data; boundary=x", multipart("ids[]", &[&a, &b])),
    ] {
        let group = home.group().await;
        let call = home
            .app
            .request("PUT", &format!("/groups/{group}/contacts"))
            .key(home.key())
            .body(kind, body.clone());
        assert_eq!(call.send().await.status, 204, "{kind} {body}");
        assert_eq!(members(&group).await, both, "{kind} {body}");
    }
    for query in [
        format!("ids[]={a}&ids[]={b}"),
        format!("ids%5B%5D={a}&ids%5B%5D={b}"),
        format!("ids[0]={a}&ids[1]={b}"),
        format!("ids={a},{b}"),
    ] {
        for (method, more) in [("PUT", ""), ("GET", "_method=PUT&"), ("POST", "_method=PUT&")] {
            let group = home.group().await;
            let call = home.app.request(method, &format!("/groups/{group}?{more}{query}")).key(home.key());
            assert_eq!(call.send().await.status, 204, "{method} {query}");
            assert_eq!(members(&group).await, both, "{method} {query}");
        }
    }
    home.app.settle().await;
}

fn multipart(name: &str, values: &[&str]) -> String {
    let part =
        |value: &&str| format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    format!("{}--x--\r\n", values.iter().map(part).collect::<String>())
}

#[tokio::test]
async fn bodies_of_reads_and_deletes_are_passed_over() {
    let home = Home::new().await;
    for (number, body) in ["null", "{}", "", "[]", "null\n"].into_iter().enumerate() {
        let contact = format!("/contacts/{}", home.contact(&format!("3165550000{number}")).await);
        for kind in ["application/json", "application/json; charset=UTF-8", "text/plain", ""] {
            let call = home.app.request("GET", &contact).key(home.key()).body(kind, body);
            assert_eq!(call.send().await.status, 200, "{kind} {body}");
        }
        let call = home.app.request("DELETE", &contact).key(home.key()).body("application/json", body);
        assert_eq!(call.send().await.status, 204, "{body}");
    }
    // Even what could not be read.
    for body in [&b"{"[..], b"\xff\xfe"] {
        let call = home.app.request("GET", "/balance").key(home.key()).body("application/json", body);
        assert_eq!(call.send().await.status, 200);
    }
    // A query is not overruled by the body of a read.
    let call = home.app.request("GET", "/contacts?limit=3").key(home.key()).json(&json!({"limit": 7}));
    assert_eq!(call.send().await.expect(200)["limit"], 3);
}

#[tokio::test]
async fn a_missing_or_odd_content_type_is_made_good() {
    let home = Home::new().await;
    let json = |msisdn| format!(r#"  {{"msisdn":{msisdn},"firstName":"Ada"}}"#);
    let form = |msisdn| format!("msisdn={msisdn}&firstName=Ada");
    let kinds = [
        "",
        "text/plain",
        "application/octet-stream",
        "application/json",
        "application/x-www-form-urlencoded",
        "json",
        ";;;",
    ];
    for (number, kind) in (31_655_501_000_i64..).step_by(10).zip(kinds) {
        for (more, body) in
            [json(number), form(number + 1), format!("\u{feff}{}", json(number + 2))].into_iter().enumerate()
        {
            let made = home
                .app
                .request("POST", "/contacts")
                .key(home.key())
                .body(kind, body)
                .send()
                .await
                .expect(201);
            assert_eq!(
                (&made["firstName"], &made["msisdn"]),
                (&json!("Ada"), &json!(number + i64::try_from(more).expect("small"))),
                "{kind}"
            );
        }
    }
    let parts = format!(
        "{}{}",
        multipart("msisdn", &["31655509999"]).trim_end_matches("--x--\r\n"),
        multipart("firstName", &["Ada"])
    );
    let made = home
        .app
        .request("POST", "/contacts")
        .key(home.key())
        .body("multipart/form-data; boundary=\"x\"", parts)
        .send()
        .await;
    assert_eq!(made.expect(201)["firstName"], "Ada");
}

#[tokio::test]
async fn what_cannot_be_read_is_a_bad_request() {
    let home = Home::new().await;
    let (partner, (api_key, handle)) = (live(&home.partner), partner_api(&home.partner));
    for (kind, encoding, body) in [
        ("application/json", "", &b"{"[..]),
        ("application/json", "", b"{\"msisdn\":31655500001"),
        ("application/json", "", b"[1,"),
        ("application/json", "", b"7"),
        ("application/json", "", b"\"text\""),
        ("", "", b"{'msisdn': 1}"),
        ("application/json", "", b"{\"msisdn\":\"\xff\"}"),
        ("application/x-www-form-urlencoded", "", b"msisdn=31655500001&firstName=\xe9"),
        ("application/json; charset=utf-16", "", b"\xff\xfe{\0}\0"),
        ("multipart/form-data; boundary=x", "", b"--x\r\nbroken"),
        (
            "multipart/form-data; boundary=x",
            "",
            b"--x\r\nContent-Disposition: form-data; name=\"msisdn\"\r\n\r\n\xff\r\n--x--\r\n",
        ),
        ("application/json", "gzip", b"\x1f\x8b\x08\0"),
        ("application/json", "br", b"{}"),
    ] {
        let ask = async |target: &str, method: &str| {
            let mut call = home.app.request(method, target).header("x-api-key", api_key).body(kind, body);
            if !encoding.is_empty() {
                call = call.header("content-encoding", encoding);
            }
            let key = if target == "/contacts" { home.key() } else { partner };
            call.key(key).send().await
        };
        let text = String::from_utf8_lossy(body);
        let rest = ask("/contacts", "POST").await;
        assert_eq!(status_and_codes(&rest), (422, vec![21]), "{kind} {encoding} {text}");
        assert_eq!(rest.json()["errors"][0]["parameter"], Value::Null);
        let partner = ask("/child-accounts", "POST").await.expect(422);
        assert_eq!(partner["title"], "An error occurred", "{kind} {encoding} {text}");
        let hub = ask(&format!("/api/v2/partners/{handle}"), "PATCH").await.expect(400);
        assert_eq!(hub["meta"]["http_code"], 400, "{kind} {encoding} {text}");
    }
    let list = home.app.request("GET", "/contacts").key(home.key()).send().await.expect(200);
    assert_eq!(list["totalCount"], 0);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_a_bad_request_announced_or_not() {
    let home = Home::with(Options { body_limit: 1_000, rate_limits: false, ..Options::default() }).await;
    let body = |length: usize| {
        let rest = r#"{"msisdn":31655500001,"other":""}"#;
        rest.replace("\"\"", &format!("\"{}\"", "x".repeat(length - rest.len())))
    };
    let post = || ask("POST", "/contacts").header("authorization", home.authorization());
    let streamed = |text: String| {
        let pieces: Vec<_> = text
            .into_bytes()
            .chunks(100)
            .map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece)))
            .collect();
        Body::from_stream(futures_util::stream::iter(pieces))
    };
    let service = &home.app.service;
    for (what, answer) in [
        ("whole", send(service, post(), body(1_001)).await),
        ("streamed", send(service, post(), streamed(body(1_001))).await),
        ("announced, and not even begun", {
            let silent = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
            send(service, post().header("content-length", "1001"), silent).await
        }),
        (
            "announced too low",
            send(service, post().header("content-length", "5"), streamed(body(1_001))).await,
        ),
    ] {
        assert_eq!(status_and_codes(&answer), (422, vec![21]), "{what}");
    }
    let broken = vec![Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("reset by peer"))];
    let answer = send(service, post(), Body::from_stream(futures_util::stream::iter(broken))).await;
    assert_eq!(status_and_codes(&answer), (422, vec![21]));
    assert!(!String::from_utf8_lossy(&answer.body).contains("peer"), "no detail of ours");

    let (api_key, handle) = partner_api(&home.partner);
    let hub = ask("PATCH", &format!("/api/v2/partners/{handle}")).header("x-api-key", api_key);
    assert_eq!(send(service, hub, body(1_001)).await.expect(400)["meta"]["http_code"], 400);
    let child =
        ask("POST", "/child-accounts").header("authorization", format!("AccessKey {}", live(&home.partner)));
    assert_eq!(send(service, child, body(1_001)).await.expect(422)["title"], "An error occurred");

    send(service, post(), body(1_000)).await.expect(201);
}
