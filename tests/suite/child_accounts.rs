//! Child accounts on the wire (docs/spec/02-partner-accounts.md): every answer as a snapshot; who may do what, and what
//! becomes of a child's keys, as assertions.

use crate::support::record::Record;
use crate::support::{Answer, Call, TestApp, live, partner_api, test};
use rookery::core::account::{self, NewAccount};
use rookery::core::{AccountId, Result};
use rookery::wire::Options;
use serde_json::{Value, json};
use store::{Tx, sql};

/// An installation with one partner.
struct Office {
    app: TestApp,
    partner: NewAccount,
}

impl Office {
    async fn new() -> Self {
        let app = TestApp::new().await;
        let partner = app.partner("Acme").await;
        Office { app, partner }
    }

    /// A request with the partner's live key.
    fn call(&self, method: &str, target: &str) -> Call<'_> {
        self.app.request(method, target).key(live(&self.partner))
    }

    /// A request with the partner's test key.
    fn test_call(&self, method: &str, target: &str) -> Call<'_> {
        self.app.request(method, target).key(test(&self.partner))
    }

    async fn child(&self, name: &str) -> Value {
        self.call("POST", "/child-accounts").json(&json!({"name": name})).send().await.expect(201)
    }

    /// The ids of all children, in the list's order.
    async fn ids(&self) -> Vec<i64> {
        ids(&self.call("GET", "/child-accounts").send().await)
    }

    /// The status that a key gets on the rest host.
    async fn status(&self, key: &str) -> u16 {
        self.app.request("GET", "/balance").key(key).send().await.status.as_u16()
    }
}

fn ids(list: &Answer) -> Vec<i64> {
    list.expect(200)
        .as_array()
        .expect("a bare array")
        .iter()
        .map(|child| child["id"].as_i64().unwrap())
        .collect()
}

fn key(child: &Value, place: usize) -> &str {
    child["accessKeys"][place]["key"].as_str().expect("a key")
}

fn target(child: &Value) -> String {
    format!("/child-accounts/{}", child["id"])
}

/// Whether a text is so many letters and digits.
fn is_random(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// Shows a made child's secrets and number under names.
fn name_secrets(record: &mut Record, who: &str, made: &Value) {
    record.name(&format!("{who}'s id"), &made["id"]);
    record.name(&format!("{who}'s live key"), key(made, 0));
    record.name(&format!("{who}'s test key"), key(made, 1));
    record.name(&format!("{who}'s signing key"), made["signingKey"].as_str().unwrap());
}

#[tokio::test]
async fn create() {
    let (office, mut record) = (Office::new().await, Record::new());
    let call = || office.call("POST", "/child-accounts");
    let made = record.send("JSON", call().json(&json!({"name": "Corner Bakery Ltd"}))).await.expect(201);
    name_secrets(&mut record, "Corner Bakery", &made);
    assert!((1_000_000..1 << 31).contains(&made["id"].as_i64().unwrap()));
    assert!(is_random(key(&made, 0), 25), "a live key is 25 letters and digits");
    assert!(key(&made, 1).strip_prefix("test_").is_some_and(|rest| is_random(rest, 25)));
    assert!(is_random(made["signingKey"].as_str().unwrap(), 32));
    for place in 0..2 {
        assert_eq!(
            made["accessKeys"][place]["key"], made["accessKeys"][place]["access_key"],
            "Java's name for it"
        );
        assert_eq!(office.status(key(&made, place)).await, 200, "both keys work");
    }
    let go = office
        .call("POST", "/v1/child-accounts/")
        .json(&json!({"name": "Ærø \u{1f950}", "email": "a@b.example"}));
    let second = record.send("Go's path; an e-mail address", go).await.expect(201);
    name_secrets(&mut record, "Ærø", &second);
    let third = record.send("a form", call().form("name=Harbour+Cafe")).await.expect(201);
    name_secrets(&mut record, "Harbour Cafe", &third);
    let query =
        record.send("a query", office.call("GET", "/child-accounts?_method=POST&name=Q")).await.expect(201);
    name_secrets(&mut record, "Q", &query);
    let labelled = office.call("POST", "/child-accounts").header("host", "partner-accounts.acme.example");
    let last =
        labelled.json(&json!({"name": "字".repeat(255), "email": "e".repeat(255)})).send().await.expect(201);
    assert_eq!(last["name"], "字".repeat(255));
    assert_eq!(office.ids().await.len(), 5);
    office.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn create_refused() {
    let (office, mut record) = (Office::new().await, Record::new());
    let long = "x".repeat(256);
    for (title, body) in [
        ("no name, as Go sends", json!({})),
        ("null", json!({"name": null})),
        ("an empty name", json!({"name": ""})),
        ("blanks", json!({"name": " \n"})),
        ("256 characters", json!({"name": long})),
        ("an object for a name", json!({"name": {}})),
        ("several at once", json!({"email": long})),
        ("both too long", json!({"name": long, "email": long})),
    ] {
        record.send(title, office.call("POST", "/child-accounts").json(&body)).await.expect(422);
    }
    let broken = office.call("POST", "/child-accounts").body("application/json", "{\"name\":");
    record.send("broken JSON", broken).await.expect(422);
    assert_eq!(office.ids().await, Vec::<i64>::new());
    office.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn a_child_without_a_name_where_the_operator_allows_it() {
    let options = Options { nameless_children: true, rate_limits: false, ..Options::default() };
    let app = TestApp::with(options).await;
    let partner = app.partner("Acme").await;
    let call = |body: Value| app.request("POST", "/v1/child-accounts").key(live(&partner)).json(&body);
    let made = call(json!({})).send().await.expect(201);
    assert_eq!(made["name"], format!("Child account {}", made["id"]));
    assert_eq!(call(json!({"name": "Named"})).send().await.expect(201)["name"], "Named");
    call(json!({"name": ""})).send().await.expect(422);
    app.settle().await;
}

#[tokio::test]
async fn list() {
    let (office, mut record) = (Office::new().await, Record::new());
    let empty = record.send("no children", office.call("GET", "/child-accounts")).await;
    assert_eq!(empty.body, b"[]");
    for _ in 0..3 {
        office.child("Corner Bakery").await;
    }
    let all = record.send("three, of one name", office.call("GET", "/child-accounts")).await;
    let sorted = ids(&all);
    assert!(sorted.len() == 3 && sorted.is_sorted(), "by id: {sorted:?}");
    for (place, id) in sorted.iter().enumerate() {
        record.name(&format!("id {}", place + 1), id);
    }
    for (query, expected) in [
        ("page=1&limit=2", &sorted[..2]),
        ("page=0&limit=2", &sorted[..2]),
        ("page=2&limit=2", &sorted[2..]),
        ("page=3&limit=2", &[]),
        ("offset=1&limit=1", &sorted[1..2]),
        ("offset=1", &sorted[1..]),
        ("page=1&offset=2&limit=1", &sorted[..1]),
        ("limit=0", &sorted[..]),
        ("limit=101", &sorted[..]),
        ("limit=1000000", &sorted[..]),
    ] {
        let page = record.send("a part", office.call("GET", &format!("/v1/child-accounts?{query}"))).await;
        assert_eq!(ids(&page), expected, "{query}");
    }
    for query in ["limit=-1", "limit=x", "page=-1", "page=x&offset=y", "offset=-1"] {
        record.send("bad paging", office.call("GET", &format!("/child-accounts?{query}"))).await.expect(422);
    }
    office.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn a_page_has_at_most_a_hundred_children() {
    let office = Office::new().await;
    for number in 0..103 {
        office.app.child(office.partner.account.id, &format!("Child {number}")).await;
    }
    let first = office.ids().await;
    assert_eq!(first.len(), 100, "the default");
    let clamped = office.call("GET", "/child-accounts?limit=500").send().await;
    assert_eq!(ids(&clamped), first, "more is cut to 100");
    let second = ids(&office.call("GET", "/child-accounts?limit=500&page=2").send().await);
    assert_eq!(second.len(), 3, "and pages follow the cut limit");
    assert!(first.last() < second.first());
    assert_eq!(ids(&office.call("GET", "/child-accounts?limit=100&offset=100").send().await), second);
    office.app.settle().await;
}

#[tokio::test]
async fn view_and_edit() {
    let (office, mut record) = (Office::new().await, Record::new());
    let made = office.child("Corner Bakery Ltd").await;
    name_secrets(&mut record, "the child", &made);
    let target = target(&made);
    let seen = record.send("a child", office.call("GET", &target)).await.expect(200);
    assert_eq!(seen.as_object().unwrap().len(), 3, "no secrets");
    let edited = office.call("PATCH", &target).json(&json!({"name": "Corner Bakery and Cafe"}));
    let edited = record.send("another name", edited).await.expect(200);
    for (title, body) in
        [("Go's empty object", json!({})), ("null", json!({"name": null})), ("others", json!({"id": 7}))]
    {
        let same =
            record.send(title, office.call("PATCH", &format!("/v1{target}")).json(&body)).await.expect(200);
        assert_eq!(same, edited, "{title} changes nothing");
    }
    assert_eq!(office.call("PATCH", &target).send().await.expect(200), edited, "no body changes nothing");
    for (title, name) in
        [("an empty name", json!("")), ("256 characters", json!("x".repeat(256))), ("a list", json!([[]]))]
    {
        record.send(title, office.call("PATCH", &target).json(&json!({"name": name}))).await.expect(422);
    }
    let longest =
        office.call("PATCH", &target).form(&format!("name={}", "x".repeat(255))).send().await.expect(200);
    assert_eq!(longest["name"], "x".repeat(255));
    let query = format!("{target}?_method=PATCH&name=By%20query");
    assert_eq!(office.call("GET", &query).send().await.expect(200)["name"], "By query");
    assert_eq!(office.call("GET", &target).send().await.expect(200)["name"], "By query");
    let broken = office.call("PATCH", &target).body("application/json", "{");
    record.send("broken JSON", broken).await.expect(422);
    office.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn not_found() {
    let (office, mut record) = (Office::new().await, Record::new());
    let rival = office.app.partner("Rival").await;
    let theirs = office.app.child(rival.account.id, "Harbour Cafe").await;
    let own = office.partner.account.id;
    record.name("a rival's child", theirs.account.id);
    record.name("the partner itself", own);
    for unknown in
        ["1", "abc", "0x10", "-7", "99999999999999999999", &theirs.account.id.to_string(), &own.to_string()]
    {
        for method in ["GET", "PATCH", "DELETE"] {
            let call = office.call(method, &format!("/child-accounts/{unknown}")).json(&json!({"name": "X"}));
            let gone = record.send("no child", call).await.expect(404);
            assert_eq!(gone["detail"], "Account Not found");
        }
    }
    let list = office.app.request("GET", "/child-accounts").key(live(&rival)).send().await;
    assert_eq!(list.expect(200)[0]["name"], "Harbour Cafe", "the rival's child is as it was");
    office.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn delete() {
    let (office, mut record) = (Office::new().await, Record::new());
    let (made, other) = (office.child("Corner Bakery").await, office.child("Harbour Cafe").await);
    name_secrets(&mut record, "the child", &made);
    let target = target(&made);
    let contact =
        office.app.request("POST", "/contacts").key(key(&made, 0)).form("msisdn=31655500123").send().await;
    contact.expect(201);

    let gone = record.send("a child", office.call("DELETE", &target)).await;
    assert_eq!((gone.status.as_u16(), gone.body.as_slice()), (200, b"{}".as_slice()));
    let refused = record.send("its key", office.app.request("GET", "/contacts").key(key(&made, 0))).await;
    assert_eq!((refused.status.as_u16(), refused.codes()), (401, vec![2]));
    assert_eq!(office.status(key(&made, 1)).await, 401, "its test key too");
    record.send("again", office.call("DELETE", &target)).await.expect(404);
    record.send("its view", office.call("GET", &target)).await.expect(404);
    let edit = office.call("PATCH", &target).json(&json!({"name": "X"}));
    record.send("its edit", edit).await.expect(404);
    assert_eq!(office.ids().await, [other["id"].as_i64().unwrap()]);
    assert_eq!(office.status(key(&other, 0)).await, 200, "the other child's key works");
    let query = format!("/child-accounts/{}?_method=DELETE", other["id"]);
    assert_eq!(office.call("GET", &query).send().await.expect(200), json!({}));
    office.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn writes_with_a_test_key_are_answered_and_not_stored() {
    let (office, mut record) = (Office::new().await, Record::new());
    let real = office.child("Corner Bakery").await;
    name_secrets(&mut record, "the child", &real);
    let create = office.test_call("POST", "/child-accounts").json(&json!({"name": "Rehearsed"}));
    let fake = record.send("create", create).await.expect(201);
    name_secrets(&mut record, "the rehearsed", &fake);
    assert_eq!(office.status(key(&fake, 0)).await, 401, "its keys open nothing");
    record.send("its view", office.test_call("GET", &target(&fake))).await.expect(404);
    let edit = office.test_call("PATCH", &target(&real)).json(&json!({"name": "Rehearsed"}));
    assert_eq!(record.send("edit", edit).await.expect(200)["name"], "Rehearsed");
    record.send("delete", office.test_call("DELETE", &target(&real))).await.expect(200);
    let seen = record.send("reads work", office.test_call("GET", &target(&real))).await.expect(200);
    assert_eq!(seen["name"], "Corner Bakery", "nothing was stored");
    assert_eq!(ids(&office.test_call("GET", "/child-accounts").send().await), office.ids().await);
    assert_eq!(office.ids().await.len(), 1);
    assert_eq!(office.status(key(&real, 0)).await, 200);

    let invalid = office.test_call("POST", "/child-accounts").json(&json!({"name": ""}));
    record.send("what is wrong is refused all the same", invalid).await.expect(422);
    let missing = office.test_call("DELETE", "/child-accounts/1");
    record.send("what is not there is not found", missing).await.expect(404);
    office.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn who_is_let_in() {
    let (office, mut record) = (Office::new().await, Record::new());
    let child = office.child("Corner Bakery").await;
    let app = &office.app;
    let endpoints = [
        ("GET", "/child-accounts".to_owned()),
        ("POST", "/child-accounts".to_owned()),
        ("GET", target(&child)),
        ("PATCH", target(&child)),
        ("DELETE", target(&child)),
    ];
    name_secrets(&mut record, "the child", &child);
    for (method, target) in &endpoints {
        let body = json!({"name": "X"});
        let refused = app.request(method, target).key(key(&child, 0)).json(&body);
        record.send("a child's key", refused).await.expect(403);
        app.request(method, target).key(key(&child, 1)).json(&body).send().await.expect(403);
        let refused = app.request(method, target).json(&body);
        assert_eq!(record.send("no key", refused).await.codes(), [2]);
        let (api_key, _) = partner_api(&office.partner);
        let refused = app.request(method, target).key(api_key).json(&body).send().await;
        assert_eq!((refused.status.as_u16(), refused.codes()), (401, vec![2]), "the partner API's key");
    }
    assert_eq!(office.call("GET", &target(&child)).send().await.expect(200)["name"], "Corner Bakery");

    app.store.write(office.partner.account.id, account::suspend).await.unwrap();
    app.notice_changes().await;
    for (method, target) in &endpoints {
        let refused =
            record.send("a suspended partner", office.call(method, target).json(&json!({"name": "X"}))).await;
        assert_eq!((refused.status.as_u16(), refused.codes()), (401, vec![2]), "{method} {target}");
    }
    assert_eq!(office.status(key(&child, 0)).await, 401, "its children cannot act either");
    app.store.write(office.partner.account.id, account::resume).await.unwrap();
    app.notice_changes().await;
    assert_eq!(office.status(key(&child, 0)).await, 200);
    assert_eq!(office.ids().await.len(), 1);

    app.store.write(office.partner.account.id, account::delete).await.unwrap();
    app.notice_changes().await;
    assert_eq!(record.send("a deleted partner", office.call("GET", "/child-accounts")).await.codes(), [2]);
    assert_eq!(office.status(key(&child, 0)).await, 401);
    app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn a_suspended_child_is_seen_by_its_partner_and_cannot_act() {
    let office = Office::new().await;
    let child = office.child("Corner Bakery").await;
    let id = AccountId(child["id"].as_i64().unwrap());
    office.app.store.write(id, account::suspend).await.unwrap();
    office.app.notice_changes().await;
    assert_eq!(office.status(key(&child, 0)).await, 401);
    assert_eq!(office.call("GET", &target(&child)).send().await.expect(200)["name"], "Corner Bakery");
    let held = office.call("DELETE", &target(&child)).send().await;
    let why = held.json()["detail"].clone();
    assert_eq!((held.status.as_u16(), why), (403, json!("Request not allowed (suspended by the operator)")));
    office.app.store.write(id, account::resume).await.unwrap();
    assert_eq!(office.call("DELETE", &target(&child)).send().await.expect(200), json!({}));
    office.app.settle().await;
}

#[tokio::test]
async fn what_the_partner_host_does_not_have() {
    let (office, mut record) = (Office::new().await, Record::new());
    for path in ["/contacts", "/child-accounts/7/keys", "/v2/child-accounts", "/"] {
        let call = office.call("GET", path).header("host", "partner-accounts.acme.example");
        record.send("no such path", call).await.expect(404);
    }
    for (method, path) in [
        ("PUT", "/child-accounts"),
        ("DELETE", "/v1/child-accounts"),
        ("POST", "/child-accounts/7"),
        ("PUT", "/child-accounts/7"),
        ("GET", "/child-accounts?_method=X"),
    ] {
        let refused = record.send("another method", office.call(method, path)).await;
        refused.expect(405);
        assert!(!refused.header("allow").is_empty(), "{method} {path}");
    }
    office.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn too_many_wrong_keys() {
    let (app, mut record) = (TestApp::with(Options::default()).await, Record::new());
    let wrong = || app.request("GET", "/child-accounts").key("wrong").from("198.51.100.9");
    let (tries, limited) = record.send_until(429, "too many wrong keys", wrong).await;
    assert!(tries >= 20, "{tries} tries are few");
    assert!(!limited.header("retry-after").is_empty());
    app.settle().await;
    insta::assert_snapshot!(record.text());
}

/// Stores what no unit would: a currency of six letters.
async fn spoil(tx: &mut Tx, id: &AccountId) -> Result<()> {
    tx.put(sql!("UPDATE account SET currency = 'broken' WHERE id = $1"), &[id]).await?;
    Ok(())
}

#[tokio::test]
async fn an_unexpected_failure_tells_its_request_id_and_nothing_else() {
    let (office, mut record) = (Office::new().await, Record::new());
    let child = office.child("Corner Bakery").await;
    name_secrets(&mut record, "the child", &child);
    office.app.store.write(AccountId(child["id"].as_i64().unwrap()), spoil).await.unwrap();
    let failed = record.send("a row that cannot be read", office.call("GET", &target(&child))).await;
    let id = failed.header("x-request-id");
    assert!(failed.expect(500)["detail"].as_str().unwrap().ends_with(id));
    record.name("request id", id);
    office.app.settle().await;
    insta::assert_snapshot!(record.text());
}
