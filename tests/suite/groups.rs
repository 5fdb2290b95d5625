//! Groups on the wire (docs/spec/06-groups.md): every answer as a snapshot, and all the forms in which clients add
//! contacts as assertions.

use crate::support::record::Record;
use crate::support::{Answer, Call, TestApp, live, test};
use rookery::core::account::NewAccount;
use serde_json::{Value, json};

const NOBODY: &str = "0123456789abcdef0123456789abcdef";

/// An installation with one account that has nothing yet.
struct Book {
    app: TestApp,
    partner: NewAccount,
    owner: NewAccount,
}

impl Book {
    async fn new() -> Self {
        let app = TestApp::new().await;
        let partner = app.partner("Acme").await;
        let owner = app.child(partner.account.id, "Corner Bakery").await;
        Book { app, partner, owner }
    }

    /// A request with the account's live key.
    fn call(&self, method: &str, target: &str) -> Call<'_> {
        self.app.request(method, target).key(live(&self.owner))
    }

    /// Makes so many contacts and answers their ids, oldest first.
    async fn contacts(&self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for number in 0..count {
            let body = json!({"msisdn": format!("3165550{number:04}"), "firstName": format!("N{number}")});
            ids.push(id(&self.call("POST", "/contacts").json(&body).send().await.expect(201)));
        }
        ids
    }

    async fn group(&self, name: &str) -> String {
        id(&self.call("POST", "/groups").json(&json!({"name": name})).send().await.expect(201))
    }

    async fn add(&self, group: &str, ids: &[String]) {
        let call = self.call("PUT", &format!("/groups/{group}/contacts")).json(&json!({"ids": ids}));
        assert_eq!(call.send().await.status, 204);
    }

    /// The ids of a group's contacts, newest first; checks that the group's count says the same.
    async fn members(&self, group: &str) -> Vec<String> {
        let list = self.call("GET", &format!("/groups/{group}/contacts?limit=1000")).send().await.expect(200);
        let ids: Vec<String> = list["items"].as_array().unwrap().iter().map(id).collect();
        let seen = self.call("GET", &format!("/groups/{group}")).send().await.expect(200);
        assert_eq!(
            (&seen["contacts"]["totalCount"], &list["totalCount"]),
            (&json!(ids.len()), &json!(ids.len()))
        );
        ids
    }
}

fn id(object: &Value) -> String {
    object["id"].as_str().expect("an id").to_owned()
}

/// `ids[]=a&ids[]=b`
fn bracketed(ids: &[String]) -> String {
    ids.iter().map(|id| format!("ids[]={id}")).collect::<Vec<_>>().join("&")
}

fn assert_refused(answer: &Answer, status: u16, codes: &[i64]) {
    assert_eq!((answer.status.as_u16(), answer.codes().as_slice()), (status, codes));
}

#[tokio::test]
async fn create() {
    let (book, mut record) = (Book::new().await, Record::new());
    let json = book.call("POST", "/groups").json(&json!({"name": "Regulars"}));
    let made = record.send("JSON", json).await.expect(201);
    assert_eq!(made["createdDatetime"], made["updatedDatetime"]);
    assert_eq!(book.call("GET", &format!("/groups/{}", id(&made))).send().await.expect(200), made);
    record.send("a form", book.call("POST", "/groups").form("name=Staff+%26+friends")).await.expect(201);
    record.send("a query", book.call("GET", "/groups?_method=POST&name=Press")).await.expect(201);
    let doubled = book.call("GET", "/groups?_method==POST&name=Doubled");
    record.send("the documentation's doubled sign", doubled).await.expect(201);
    let parts = "--x\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nMultipart\r\n--x--\r\n";
    let multipart = book.call("POST", "/groups/").body("multipart/form-data; boundary=x", parts);
    record.send("multipart, with a slash at the end", multipart).await.expect(201);
    let twice =
        record.send("a name that is there already", book.call("POST", "/groups").form("name=Regulars")).await;
    assert_ne!(twice.expect(201)["id"], made["id"]);
    let odd = json!({"name": " Stammgäste \u{1f950}\n\"'<"});
    let made = record.send("beyond ASCII", book.call("POST", "/groups").json(&odd)).await.expect(201);
    assert_eq!(made["name"], odd["name"]);
    record
        .send("a number for a name", book.call("POST", "/groups").json(&json!({"name": 7})))
        .await
        .expect(201);
    for unit in ["x", "\u{1f950}"] {
        let long = book.call("POST", "/groups").json(&json!({"name": unit.repeat(255)}));
        record.send("255 characters", long).await.expect(201);
        let longer = book.call("POST", "/groups").json(&json!({"name": unit.repeat(256)}));
        assert_refused(&record.send("256 characters", longer).await, 422, &[10]);
    }
    for (title, body, code) in [
        ("no name", json!({}), 9),
        ("null", json!({"name": null}), 9),
        ("an empty name", json!({"name": ""}), 10),
        ("blanks", json!({"name": " \t"}), 10),
        ("an object", json!({"name": {}}), 10),
    ] {
        assert_refused(&record.send(title, book.call("POST", "/groups").json(&body)).await, 422, &[code]);
    }
    let broken = book.call("POST", "/groups").body("application/json", "{\"name\"");
    assert_refused(&record.send("broken JSON", broken).await, 422, &[21]);
    assert_eq!(book.call("GET", "/groups").send().await.expect(200)["totalCount"], 10);
    book.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn list() {
    let (book, mut record) = (Book::new().await, Record::new());
    record.send("an empty list", book.call("GET", "/groups")).await.expect(200);
    for name in ["A", "B", "C"] {
        book.group(name).await;
    }
    let names = |page: &Value| -> Vec<String> {
        page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|group| group["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let first =
        record.send("the first page of two", book.call("GET", "/groups?offset=0&limit=2")).await.expect(200);
    assert_eq!(names(&first), ["C", "B"], "newest first");
    let second = record.send("the second", book.call("GET", "/groups?limit=2&offset=2")).await.expect(200);
    assert_eq!(names(&second), ["A"]);
    let beyond =
        record.send("beyond the end", book.call("GET", "/groups?limit=2&offset=7")).await.expect(200);
    assert_eq!(names(&beyond), Vec::<String>::new());
    let zero = book.call("GET", "/groups?limit=0").send().await.expect(200);
    assert_eq!((&zero["limit"], names(&zero).len()), (&json!(20), 3));
    assert_refused(
        &record.send("bad paging", book.call("GET", "/groups?limit=1001&offset=-1")).await,
        422,
        &[10, 10],
    );
    let other = book.app.child(book.partner.account.id, "Harbour Cafe").await;
    let others = book.app.request("GET", "/groups").key(live(&other)).send().await.expect(200);
    assert_eq!(others["totalCount"], 0, "another account has none of these");
    book.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn view_and_rename() {
    let (book, mut record) = (Book::new().await, Record::new());
    let group = book.group("Regulars").await;
    let ids = book.contacts(2).await;
    book.add(&group, &ids).await;
    let target = format!("/groups/{group}");
    let seen = record.send("a group", book.call("GET", &target)).await.expect(200);
    assert_eq!(seen["contacts"]["totalCount"], 2);
    assert_eq!(seen["updatedDatetime"], seen["createdDatetime"], "members do not change the group");

    let renamed =
        record.send("PATCH", book.call("PATCH", &target).json(&json!({"name": "Regular guests"}))).await;
    assert_ne!(renamed.expect(200)["updatedDatetime"], seen["updatedDatetime"]);
    record.send("Ruby's form", book.call("PATCH", &target).form("name=Guests")).await.expect(200);
    record
        .send("PUT with a name", book.call("PUT", &target).json(&json!({"name": "By PUT"})))
        .await
        .expect(200);
    let query = format!("{target}?_method=PATCH&name=By%20query");
    record.send("a query", book.call("GET", &query)).await.expect(200);
    let post = format!("{target}?_method=put");
    let last =
        record.send("an overridden POST", book.call("POST", &post).form("name=By+POST")).await.expect(200);
    assert_eq!(last["contacts"]["totalCount"], 2);
    assert_eq!(book.call("GET", &target).send().await.expect(200), last);

    for (title, body, code) in [
        ("no name", json!({}), 9),
        ("an empty name", json!({"name": ""}), 10),
        ("256 characters", json!({"name": "x".repeat(256)}), 10),
    ] {
        assert_refused(&record.send(title, book.call("PATCH", &target).json(&body)).await, 422, &[code]);
    }
    let other = book.app.child(book.partner.account.id, "Harbour Cafe").await;
    for (method, body) in [("GET", ""), ("PATCH", "name=X"), ("PUT", "name=X"), ("DELETE", "")] {
        for unknown in [NOBODY, "regulars", &NOBODY[1..]] {
            let gone = record
                .send("no such group", book.call(method, &format!("/groups/{unknown}")).form(body))
                .await;
            assert_refused(&gone, 404, &[20]);
        }
        let stranger = book.app.request(method, &target).key(live(&other)).form(body).send().await;
        assert_refused(&stranger, 404, &[20]);
    }
    assert_eq!(book.call("GET", &target).send().await.expect(200), last);
    book.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn delete() {
    let (book, mut record) = (Book::new().await, Record::new());
    let group = book.group("Regulars").await;
    let ids = book.contacts(2).await;
    book.add(&group, &ids).await;
    let gone = record.send("a group", book.call("DELETE", &format!("/groups/{group}"))).await;
    assert_eq!(gone.status, 204);
    record.send("again", book.call("DELETE", &format!("/groups/{group}"))).await.expect(404);
    record.send("its view", book.call("GET", &format!("/groups/{group}"))).await.expect(404);
    record.send("its contacts", book.call("GET", &format!("/groups/{group}/contacts"))).await.expect(404);
    let stays =
        record.send("a contact stays", book.call("GET", &format!("/contacts/{}", ids[0]))).await.expect(200);
    assert_eq!(stays["groups"]["totalCount"], 0);
    let query = format!("/groups/{}?_method=DELETE", book.group("Staff").await);
    assert_eq!(book.call("GET", &query).send().await.status, 204);
    assert_eq!(book.call("GET", "/groups").send().await.expect(200)["totalCount"], 0);
    book.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn a_large_group_goes_with_all_its_memberships() {
    let book = Book::new().await;
    let ids = book.contacts(205).await;
    let (large, small) = (book.group("Large").await, book.group("Small").await);
    for part in ids.chunks(50) {
        book.add(&large, part).await;
    }
    book.add(&small, &ids[..3]).await;
    assert_eq!(book.call("DELETE", &format!("/groups/{large}")).send().await.status, 204);
    book.app.settle().await;
    for (place, id) in ids.iter().enumerate() {
        let seen = book.call("GET", &format!("/contacts/{id}")).send().await.expect(200);
        assert_eq!(seen["groups"]["totalCount"], json!(i32::from(place < 3)), "contact {place}");
    }
    assert_eq!(book.members(&small).await.len(), 3);
}

#[tokio::test]
async fn contacts_of_a_group() {
    let (book, mut record) = (Book::new().await, Record::new());
    let group = book.group("Regulars").await;
    let target = format!("/groups/{group}/contacts");
    record.send("none", book.call("GET", &target)).await.expect(200);
    let ids = book.contacts(3).await;
    book.add(&group, &[ids[2].clone(), ids[0].clone()]).await;
    book.add(&group, &ids[1..2]).await;
    let page = record
        .send("the first page of two", book.call("GET", &format!("{target}?limit=2")))
        .await
        .expect(200);
    assert_eq!(
        (id(&page["items"][0]), id(&page["items"][1])),
        (ids[2].clone(), ids[1].clone()),
        "newest first"
    );
    let page =
        record.send("the second", book.call("GET", &format!("{target}?limit=2&offset=2"))).await.expect(200);
    assert_eq!(id(&page["items"][0]), ids[0]);
    assert_refused(
        &record.send("bad paging", book.call("GET", &format!("{target}?offset=x"))).await,
        422,
        &[10],
    );
    for unknown in [NOBODY, "regulars"] {
        let gone =
            record.send("no such group", book.call("GET", &format!("/groups/{unknown}/contacts"))).await;
        assert_refused(&gone, 404, &[20]);
    }
    book.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn every_form_of_adding_contacts() {
    let (book, mut record) = (Book::new().await, Record::new());
    let ids = book.contacts(2).await;
    let wanted: Vec<String> = ids.iter().rev().cloned().collect();
    let (form, comma) = (bracketed(&ids), ids.join(","));
    let escaped = form.replace('[', "%5B").replace(']', "%5D");
    let numbered = format!("ids[0]={}&ids[1]={}", ids[0], ids[1]);
    let repeated = form.replace("[]", "");
    let urlencoded = "application/x-www-form-urlencoded";
    let (list, empty) = (json!({"ids": ids}).to_string(), "{}".to_owned());
    for (title, method, path, query, kind, body) in [
        ("A: Go's form with bare brackets", "PUT", "/contacts", "", urlencoded, form.clone()),
        (
            "B: Node's JSON",
            "PUT",
            "/contacts",
            "",
            "application/json",
            json!({"groupId": "x", "ids": ids}).to_string(),
        ),
        ("C: PHP's JSON", "PUT", "/contacts", "", "application/json", list.clone()),
        ("D: Java's query", "GET", "/contacts", &format!("_method=PUT&{form}"), "", String::new()),
        ("E: C#'s and Ruby's query", "GET", "", &format!("_method=PUT&{form}"), "", String::new()),
        ("F: Python's query and empty object", "PUT", "", &escaped, "application/json", empty.clone()),
        ("F with bare brackets", "PUT", "", &form, "application/json", empty),
        ("a bare array", "PUT", "/contacts", "", "application/json", json!(ids).to_string()),
        ("commas", "PUT", "/contacts", "", urlencoded, format!("ids={comma}")),
        ("commas in the query", "GET", "", &format!("_method=PUT&ids={comma}"), "", String::new()),
        ("repeated names", "PUT", "/contacts/", "", urlencoded, repeated),
        ("numbered names", "PUT", "/contacts", "", urlencoded, numbered),
        ("a form under a JSON type", "PUT", "/contacts", "", "application/json", form.clone()),
        ("JSON under a text type", "PUT", "/contacts", "", "text/plain", list),
        ("an overridden POST", "POST", "/contacts", "_method=PUT", urlencoded, escaped.clone()),
    ] {
        let group = book.group("Regulars").await;
        let mut target = format!("/groups/{group}{path}");
        if !query.is_empty() {
            target = format!("{target}?{query}");
        }
        let added = record.send(title, book.call(method, &target).body(kind, body)).await;
        assert_eq!(added.status, 204, "{title}");
        assert_eq!(book.members(&group).await, wanted, "{title}");
    }
    book.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn adding_is_all_or_nothing_and_adding_again_is_nothing() {
    let (book, mut record) = (Book::new().await, Record::new());
    let ids = book.contacts(51).await;
    let group = book.group("Regulars").await;
    let target = format!("/groups/{group}/contacts");
    let put = |body: &Value| book.call("PUT", &target).json(body);
    for again in [json!([ids[0]]), json!([ids[0]]), json!([ids[0], ids[0], ids[1], ids[0]])] {
        assert_eq!(put(&json!({"ids": again})).send().await.status, 204);
    }
    let present = book.members(&group).await;
    assert_eq!(present.len(), 2);

    let other = book.app.child(book.partner.account.id, "Harbour Cafe").await;
    let theirs = book
        .app
        .request("POST", "/contacts")
        .key(live(&other))
        .form("msisdn=31655500999")
        .send()
        .await
        .expect(201);
    for (title, unknown) in [
        ("a contact that never was", NOBODY),
        ("a text that is no id", "nobody"),
        ("a number in place of an id", "31655500003"),
        ("another account's contact", &id(&theirs)),
    ] {
        let refused = record.send(title, put(&json!({"ids": [ids[2], unknown, ids[3]]}))).await;
        assert_refused(&refused, 404, &[20]);
        assert_eq!(book.members(&group).await, present, "{title}: nothing is added");
    }
    for (title, body, code) in [
        ("no ids", json!({}), 9),
        ("null", json!({"ids": null}), 9),
        ("an empty list", json!({"ids": []}), 9),
        ("an empty array", json!([]), 9),
        ("an empty text", json!({"ids": ""}), 9),
        ("an object", json!({"ids": {"a": ids[2]}}), 10),
        ("a list of lists", json!({"ids": [[ids[2]]]}), 10),
        ("a boolean", json!({"ids": true}), 10),
    ] {
        assert_refused(&record.send(title, put(&body)).await, 422, &[code]);
    }
    let many = book.call("PUT", &target).json(&json!({"ids": ids})).send().await;
    let too_many =
        json!([{"code": 10, "description": "ids is invalid (at most 50 elements)", "parameter": "ids"}]);
    assert_eq!(many.expect(422)["errors"], too_many);
    assert_eq!(book.members(&group).await, present, "51 are refused whole");
    book.add(&group, &ids[..50]).await;
    assert_eq!(book.members(&group).await.len(), 50);

    let nowhere = book.call("PUT", &format!("/groups/{NOBODY}/contacts")).form(&bracketed(&ids[..1]));
    assert_refused(&record.send("no such group", nowhere).await, 404, &[20]);
    let broken = book.call("PUT", &target).body("application/json", "{\"ids\":");
    assert_refused(&record.send("broken JSON", broken).await, 422, &[21]);
    let both = book
        .call("PUT", &format!("/groups/{group}"))
        .json(&json!({"name": "X", "ids": [ids[50]]}))
        .send()
        .await;
    assert_eq!(both.status, 204, "ids win over a name");
    assert_eq!(book.members(&group).await.len(), 51);
    book.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn remove_one() {
    let (book, mut record) = (Book::new().await, Record::new());
    let ids = book.contacts(3).await;
    let group = book.group("Regulars").await;
    book.add(&group, &ids[..2]).await;
    let of = |contact: &str| format!("/groups/{group}/contacts/{contact}");
    let python = book.call("DELETE", &of(&ids[0])).json(&json!({}));
    assert_eq!(record.send("a member, with Python's body", python).await.status, 204);
    assert_eq!(book.members(&group).await, [ids[1].clone()]);
    for (title, contact) in [
        ("a contact that has left already", ids[0].as_str()),
        ("a contact that was never in", &ids[2]),
        ("no such contact", NOBODY),
        ("a text that is no id", "nobody"),
    ] {
        assert_refused(&record.send(title, book.call("DELETE", &of(contact))).await, 404, &[20]);
    }
    let nowhere = book.call("DELETE", &format!("/groups/{NOBODY}/contacts/{}", ids[1]));
    assert_refused(&record.send("no such group", nowhere).await, 404, &[20]);
    let query = book.call("GET", &format!("{}?_method=DELETE", of(&ids[1])));
    assert_eq!(record.send("in the query", query).await.status, 204);
    assert_eq!(book.members(&group).await, Vec::<String>::new());
    assert_eq!(book.call("GET", "/contacts").send().await.expect(200)["totalCount"], 3, "the contacts stay");
    book.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn remove_several() {
    let (book, mut record) = (Book::new().await, Record::new());
    let ids = book.contacts(51).await;
    let group = book.group("Regulars").await;
    book.add(&group, &ids[..4]).await;
    let target = format!("/groups/{group}/contacts");
    let refused = book.call("DELETE", &target).json(&json!({"ids": [ids[0], ids[5]]}));
    assert_refused(&record.send("one is no member", refused).await, 404, &[20]);
    assert_eq!(book.members(&group).await.len(), 4, "all or nothing");
    let form = book.call("DELETE", &target).form(&bracketed(&[ids[0].clone(), ids[0].clone()]));
    assert_eq!(record.send("a form; twice is once", form).await.status, 204);
    let query = book.call("DELETE", &format!("{target}?{}", bracketed(&ids[1..2])));
    assert_eq!(record.send("a query", query).await.status, 204);
    let list = book.call("DELETE", &target).json(&json!(ids[2..3]));
    assert_eq!(record.send("an array", list).await.status, 204);
    assert_eq!(book.members(&group).await, [ids[3].clone()]);
    assert_refused(&record.send("no ids", book.call("DELETE", &target)).await, 422, &[9]);
    assert_refused(&book.call("DELETE", &target).json(&json!({"ids": ids})).send().await, 422, &[10]);
    assert_eq!(book.members(&group).await.len(), 1);
    book.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn another_accounts_group_takes_and_loses_nobody() {
    let book = Book::new().await;
    let ids = book.contacts(2).await;
    let group = book.group("Regulars").await;
    book.add(&group, &ids[..1]).await;
    let other = book.app.child(book.partner.account.id, "Harbour Cafe").await;
    let key = live(&other);
    let theirs = id(&book
        .app
        .request("POST", "/contacts")
        .key(key)
        .form("msisdn=31655500999")
        .send()
        .await
        .expect(201));
    for (method, target) in [
        ("PUT", format!("/groups/{group}/contacts?ids={theirs}")),
        ("PUT", format!("/groups/{group}?ids={theirs}")),
        ("DELETE", format!("/groups/{group}/contacts?ids={}", ids[0])),
        ("DELETE", format!("/groups/{group}/contacts/{}", ids[0])),
        ("GET", format!("/groups/{group}/contacts")),
    ] {
        assert_refused(&book.app.request(method, &target).key(key).send().await, 404, &[20]);
    }
    assert_eq!(book.members(&group).await, ids[..1]);
    book.app.settle().await;
}

#[tokio::test]
async fn a_test_key_works_on_real_groups() {
    let book = Book::new().await;
    let key = test(&book.owner);
    let made = book.app.request("POST", "/groups").key(key).form("name=Regulars").send().await.expect(201);
    assert_eq!(book.call("GET", &format!("/groups/{}", id(&made))).send().await.expect(200), made);
    book.app.settle().await;
}
