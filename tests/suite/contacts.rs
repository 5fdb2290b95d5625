//! Contacts on the wire (docs/spec/05-contacts.md): every answer as a snapshot, and the rules that SDKs rely on as
//! assertions. The refusals that all endpoints of the rest host share are here too.

use crate::support::record::Record;
use crate::support::{Answer, Call, TestApp, live, test};
use rookery::core::account::{self, NewAccount};
use rookery::wire::Options;
use serde_json::{Value, json};

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

    /// Makes a contact and answers its id.
    async fn contact(&self, body: &Value) -> String {
        let made = self.call("POST", "/contacts").json(body).send().await.expect(201);
        made["id"].as_str().expect("an id").to_owned()
    }

    /// Makes a group with these contacts and answers its id.
    async fn group(&self, name: &str, contacts: &[&str]) -> String {
        let made = self.call("POST", "/groups").json(&json!({"name": name})).send().await.expect(201);
        let id = made["id"].as_str().expect("an id").to_owned();
        let added =
            self.call("PUT", &format!("/groups/{id}/contacts")).json(&json!({"ids": contacts})).send().await;
        assert_eq!(added.status, 204);
        id
    }

    async fn view(&self, id: &str) -> Value {
        self.call("GET", &format!("/contacts/{id}")).send().await.expect(200)
    }
}

/// The first names of a list, in its order.
fn names(list: &Answer) -> Vec<String> {
    let list = list.expect(200);
    let items = list["items"].as_array().expect("items");
    items.iter().map(|item| item["firstName"].as_str().expect("a name").to_owned()).collect()
}

#[tokio::test]
async fn create() {
    let (book, mut record) = (Book::new().await, Record::new());
    let full = json!({"msisdn": "31655500123", "firstName": "Ada", "lastName": "Byron", "custom1": "gold",
        "custom2": "news", "custom3": "3", "custom4": "4"});
    let made = record.send("everything", book.call("POST", "/contacts").json(&full)).await.expect(201);
    assert_eq!(made["createdDatetime"], made["updatedDatetime"]);
    assert_eq!(made["msisdn"], json!(31_655_500_123_i64), "a number, not a text");
    assert_eq!(book.view(made["id"].as_str().unwrap()).await, made, "what is answered is what is stored");

    let least = json!({"msisdn": 31_655_500_124_i64});
    record
        .send("a number as a JSON number, nothing else", book.call("POST", "/contacts").json(&least))
        .await
        .expect(201);
    let ruby = "msisdn=%2B31+6+5550-0125&first_name=Grace&last_name=Hopper&custom1=x";
    record.send("Ruby's form and names", book.call("POST", "/contacts/").form(ruby)).await.expect(201);
    let java = json!({"msisdn": "31655500126", "firstName": "Jean", "customDetails": {"custom1": "a", "custom4": "d"}});
    record.send("a nested customDetails", book.call("POST", "/contacts").json(&java)).await.expect(201);
    let bracketed = "msisdn=31655500127&customDetails[custom2]=b";
    record.send("the same in a form", book.call("POST", "/contacts").form(bracketed)).await.expect(201);
    let php = json!({"id": null, "href": null, "msisdn": "31655500128", "firstName": null, "lastName": null,
        "custom1": null, "custom2": null, "custom3": null, "custom4": null, "groups": null, "createdDatetime": null});
    record.send("PHP's nulls", book.call("POST", "/contacts").json(&php)).await.expect(201);
    let query = "/contacts?_method=POST&msisdn=31655500129&firstName=Alan";
    record.send("all in the query", book.call("GET", query)).await.expect(201);
    let nordic = json!({"msisdn": "4512345678", "firstName": "Ærø \u{1f1e9}\u{1f1f0}", "lastName": "\"<>\\ \t\u{1f600}",
        "custom1": "日本", "unknown": {"is": "ignored"}});
    let made = record
        .send("beyond ASCII, and an unknown attribute", book.call("POST", "/contacts").json(&nordic))
        .await;
    assert_eq!(made.expect(201)["lastName"], nordic["lastName"]);
    let untyped = book.call("POST", "/contacts").body("", r#" {"msisdn":"0031655500130"}"#);
    record.send("no content type; a leading 00 is digits", untyped).await.expect(201);

    let list = book.call("GET", "/contacts").send().await.expect(200);
    assert_eq!(list["totalCount"], 9);
    book.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn create_refused() {
    let (book, mut record) = (Book::new().await, Record::new());
    book.contact(&json!({"msisdn": "31655500123"})).await;
    let long = "x".repeat(256);
    let bodies = [
        ("no number", json!({"firstName": "Ada"}), vec![9]),
        ("null is no number", json!({"msisdn": null}), vec![9]),
        ("an empty object", json!({}), vec![9]),
        ("an array", json!(["31655500123"]), vec![9]),
        ("an empty number", json!({"msisdn": ""}), vec![10]),
        ("letters", json!({"msisdn": "not-a-number"}), vec![10]),
        ("6 digits", json!({"msisdn": "123456"}), vec![10]),
        ("16 digits", json!({"msisdn": "1234567890123456"}), vec![10]),
        ("a fraction", json!({"msisdn": 31_655_500_123.5}), vec![10]),
        ("a whole number in another form", json!({"msisdn": 31_655_500_123.0}), vec![101]),
        ("an object for a number", json!({"msisdn": {"a": 1}}), vec![10]),
        ("a number that is there already", json!({"msisdn": "+31 655500123"}), vec![101]),
        ("a long first name", json!({"msisdn": "31655500124", "firstName": long}), vec![10]),
        ("a list for a name", json!({"msisdn": "31655500124", "lastName": [["x"]]}), vec![10]),
        ("a NUL", json!({"msisdn": "31655500124", "custom3": "a\u{0}b"}), vec![10]),
        (
            "several at once",
            json!({"firstName": long, "lastName": long, "custom1": long, "custom2": long, "custom3": long, "custom4": long}),
            vec![9, 10, 10, 10, 10, 10, 10],
        ),
        ("wrong in customDetails", json!({"msisdn": "1", "customDetails": {"custom2": long}}), vec![10, 10]),
    ];
    for (title, body, codes) in bodies {
        let refused = record.send(title, book.call("POST", "/contacts").json(&body)).await;
        assert_eq!((refused.status.as_u16(), refused.codes()), (422, codes), "{title}");
    }
    for (title, kind, body) in [
        ("broken JSON", "application/json", br#"{"msisdn":"#.as_slice()),
        ("JSON that is no object", "application/json", b"\"31655500124\""),
        ("not UTF-8", "application/json", b"{\"msisdn\":\"\xff\"}"),
        ("a broken multipart body", "multipart/form-data; boundary=x", b"--x\r\n"),
    ] {
        let refused = record.send(title, book.call("POST", "/contacts").body(kind, body)).await;
        assert_eq!((refused.status.as_u16(), refused.codes()), (422, vec![21]), "{title}");
    }
    let packed = book.call("POST", "/contacts").header("content-encoding", "gzip").json(&json!({}));
    assert_eq!(record.send("a content encoding", packed).await.codes(), [21]);
    record.send("no body at all", book.call("POST", "/contacts")).await.expect(422);
    let list = book.call("GET", "/contacts").send().await.expect(200);
    assert_eq!(list["totalCount"], 1, "what is refused is not stored");
    book.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn lengths_count_characters_not_bytes() {
    let book = Book::new().await;
    for (number, unit) in ["x", "é", "字", "\u{1f600}"].iter().enumerate() {
        for field in ["firstName", "lastName", "custom1", "custom2", "custom3", "custom4"] {
            let msisdn = format!("3165550{number:04}");
            let body = |length| json!({"msisdn": msisdn, field: unit.repeat(length)});
            let refused = book.call("POST", "/contacts").json(&body(256)).send().await;
            assert_eq!((refused.status.as_u16(), refused.codes()), (422, vec![10]), "256 {unit} in {field}");
            let made = book.call("POST", "/contacts").json(&body(255)).send().await.expect(201);
            let id = made["id"].as_str().unwrap();
            let shown = book.view(id).await;
            let shown =
                if field.starts_with("custom") { &shown["customDetails"][field] } else { &shown[field] };
            assert_eq!(*shown, json!(unit.repeat(255)));
            let patched = book.call("PATCH", &format!("/contacts/{id}")).json(&body(256)).send().await;
            assert_eq!(patched.codes(), [10]);
            assert_eq!(book.call("DELETE", &format!("/contacts/{id}")).send().await.status, 204);
        }
    }
    book.app.settle().await;
}

#[tokio::test]
async fn one_number_once_in_an_account() {
    let book = Book::new().await;
    let other = book.app.child(book.partner.account.id, "Harbour Cafe").await;
    let body = json!({"msisdn": "31655500123"});
    book.contact(&body).await;
    for key in [live(&other), live(&book.partner)] {
        book.app.request("POST", "/contacts").key(key).json(&body).send().await.expect(201);
    }
    for same in [json!("+31655500123"), json!(31_655_500_123_i64), json!(" (31) 6.5550-0123 ")] {
        let again = book.call("POST", "/contacts").json(&json!({"msisdn": same})).send().await;
        assert_eq!((again.status.as_u16(), again.codes()), (422, vec![101]), "{same}");
    }
    book.app.settle().await;
}

#[tokio::test]
async fn list() {
    let (book, mut record) = (Book::new().await, Record::new());
    record.send("an empty list", book.call("GET", "/contacts")).await.expect(200);
    record
        .send("beyond the end of an empty list", book.call("GET", "/contacts?offset=40&limit=10"))
        .await
        .expect(200);
    for (number, name) in ["Ada", "Bea", "Cem", "Dan", "Eva"].iter().enumerate() {
        book.contact(&json!({"msisdn": format!("3165550010{number}"), "firstName": name})).await;
    }
    let first = record.send("the first page of three", book.call("GET", "/contacts?limit=2")).await;
    assert_eq!(names(&first), ["Eva", "Dan"], "newest first");
    let middle = record.send("the second", book.call("GET", "/contacts?offset=2&limit=2")).await;
    assert_eq!(names(&middle), ["Cem", "Bea"]);
    let last = record.send("the last", book.call("GET", "/contacts?limit=2&offset=4")).await;
    assert_eq!(names(&last), ["Ada"]);
    let beyond = record.send("beyond the end", book.call("GET", "/contacts?limit=2&offset=99")).await;
    assert_eq!(names(&beyond), Vec::<String>::new());
    let zero = record.send("Ruby's zeros", book.call("GET", "/contacts?limit=0&offset=0")).await.expect(200);
    assert_eq!((&zero["limit"], &zero["count"]), (&json!(20), &json!(5)));
    let empty = book.call("GET", "/contacts/?limit=&offset=").send().await;
    assert_eq!(empty.expect(200), zero, "empty is not given");
    let most = book.call("GET", "/contacts?limit=1000").send().await.expect(200);
    assert_eq!(most["limit"], 1000);

    for query in
        ["limit=1001", "limit=-1", "limit=ten", "limit=1.5", "offset=-1", "offset=x", "offset=1000000001"]
    {
        let refused = record.send("bad paging", book.call("GET", &format!("/contacts?{query}"))).await;
        assert_eq!((refused.status.as_u16(), refused.codes()), (422, vec![10]), "{query}");
    }
    let both = record.send("both bad", book.call("GET", "/contacts?limit=x&offset=y")).await;
    assert_eq!(both.codes(), [10, 10]);
    book.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn following_the_links_meets_every_contact_once() {
    let book = Book::new().await;
    let mut made = Vec::new();
    for number in 0..7 {
        made.push(book.contact(&json!({"msisdn": format!("3165550010{number}"), "firstName": "Ann"})).await);
    }
    made.reverse();
    let (mut seen, mut target) = (Vec::new(), Some("/contacts?name=AN&limit=3".to_owned()));
    while let Some(next) = target {
        let page = book.call("GET", &next).send().await.expect(200);
        seen.extend(
            page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()),
        );
        target = page["links"]["next"]
            .as_str()
            .map(|link| link.strip_prefix("http://localhost").unwrap().to_owned());
    }
    assert_eq!(seen, made);
    book.app.settle().await;
}

#[tokio::test]
async fn filters() {
    let (book, mut record) = (Book::new().await, Record::new());
    for (msisdn, first, last) in [
        ("31655500101", "Ada", "Byron"),
        ("31655500102", "Bea", "van  Dam"),
        ("31655500103", "Amanda", ""),
        ("31655500104", "", "Ærø"),
    ] {
        book.contact(&json!({"msisdn": msisdn, "firstName": first, "lastName": last})).await;
    }
    let by_number = record.send("a number", book.call("GET", "/contacts?msisdn=31655500101")).await;
    assert_eq!(names(&by_number), ["Ada"]);
    for form in ["%2B31655500101", "+31655500101", "31%20655500101"] {
        let same = book.call("GET", &format!("/contacts?msisdn={form}")).send().await;
        assert_eq!(same.expect(200), by_number.expect(200), "{form}");
    }
    record
        .send("a number that nobody has", book.call("GET", "/contacts?msisdn=31655500199"))
        .await
        .expect(200);
    let bad = record.send("no number", book.call("GET", "/contacts?msisdn=nobody&limit=-1")).await;
    assert_eq!(bad.codes(), [10, 10]);
    for (text, expected) in [
        ("AD", vec!["Ada"]),
        ("a", vec!["Amanda", "Bea", "Ada"]),
        ("ea+van+d", vec!["Bea"]),
        ("da%20BYR", vec!["Ada"]),
        ("dam", vec!["Bea"]),
        ("%C3%86R", vec![""]),
        ("byron+ada", vec![]),
        ("%25", vec![]),
        ("_", vec![]),
        ("%20", vec!["", "Amanda", "Bea", "Ada"]),
    ] {
        let found = book.call("GET", &format!("/contacts?name={text}")).send().await;
        assert_eq!(names(&found), expected, "name={text}");
    }
    let paged = "/contacts?name=A&limit=1&offset=1";
    record.send("a name, with links", book.call("GET", paged)).await.expect(200);
    let odd = "/contacts?name=%26%20%C3%A9%23";
    record.send("a name that nobody has", book.call("GET", odd)).await.expect(200);
    let both = record.send("number and name", book.call("GET", "/contacts?name=BY&msisdn=31655500101")).await;
    assert_eq!(names(&both), ["Ada"]);
    let neither = book.call("GET", "/contacts?name=bea&msisdn=31655500101").send().await;
    assert_eq!(neither.expect(200)["totalCount"], 0, "filters narrow together");
    let long = format!("/contacts?name={}", "x".repeat(256));
    assert_eq!(record.send("a long name", book.call("GET", &long)).await.codes(), [10]);
    book.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn links_carry_no_key_and_no_method() {
    let book = Book::new().await;
    book.contact(&json!({"msisdn": "31655500101", "firstName": "Ada"})).await;
    let key = live(&book.owner);
    let target = format!("/contacts?access_key={key}&_method=GET&name=ad&limit=1&other=1");
    let list = book.app.request("GET", &target).send().await;
    let links = list.expect(200)["links"].to_string();
    assert!(links.contains("offset=0&limit=1&name=ad") && !links.contains("other"), "{links}");
    assert!(!links.contains(key) && !links.contains("access_key") && !links.contains("_method"), "{links}");
    book.app.settle().await;
}

#[tokio::test]
async fn view() {
    let (book, mut record) = (Book::new().await, Record::new());
    let ada = book.contact(&json!({"msisdn": "31655500101", "firstName": "Ada", "lastName": "Byron"})).await;
    book.contact(&json!({"msisdn": "31655500102", "firstName": "Ada", "lastName": "Yonath"})).await;
    let by_id = record.send("by its id", book.call("GET", &format!("/contacts/{ada}"))).await.expect(200);
    for other in [
        format!("/contacts/{ada}/"),
        format!("/contacts/{ada}?msisdn=31655500102&name=x"),
        "/contacts/31655500101".into(),
        "/contacts/+31655500101".into(),
        "/contacts/ada%20BYRON".into(),
        "/contacts/byron".into(),
    ] {
        assert_eq!(book.call("GET", &other).send().await.expect(200), by_id, "{other}");
    }
    for body in ["null", r#"{"msisdn":"31655500102"}"#, "{broken"] {
        let go = book.call("GET", &format!("/contacts/{ada}")).body("application/json", body).send().await;
        assert_eq!(go.expect(200), by_id, "a body of a GET is ignored");
    }
    let ambiguous = record.send("a name that two have", book.call("GET", "/contacts/ada")).await;
    assert_eq!((ambiguous.status.as_u16(), ambiguous.codes()), (422, vec![102]));
    for unknown in ["0123456789abcdef0123456789abcdef", "31655500199", "nobody", "ad", "%00", "%F0%9F%98%80"]
    {
        let gone = record.send("not there", book.call("GET", &format!("/contacts/{unknown}"))).await;
        assert_eq!((gone.status.as_u16(), gone.codes()), (404, vec![20]), "{unknown}");
    }
    let other = book.app.child(book.partner.account.id, "Harbour Cafe").await;
    for key in [live(&other), live(&book.partner)] {
        for target in [format!("/contacts/{ada}"), "/contacts/31655500101".into(), "/contacts/byron".into()] {
            let hidden = book.app.request("GET", &target).key(key).send().await;
            assert_eq!(
                (hidden.status.as_u16(), hidden.codes()),
                (404, vec![20]),
                "another account's {target}"
            );
        }
    }
    book.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn update() {
    let (book, mut record) = (Book::new().await, Record::new());
    let id = book
        .contact(
            &json!({"msisdn": "31655500101", "firstName": "Ada", "lastName": "Byron", "custom1": "gold"}),
        )
        .await;
    book.contact(&json!({"msisdn": "31655500102"})).await;
    let target = format!("/contacts/{id}");
    let changed = json!({"lastName": "Lovelace", "custom4": "news"});
    let after = record.send("some members", book.call("PATCH", &target).json(&changed)).await.expect(200);
    assert_ne!(after["updatedDatetime"], after["createdDatetime"]);
    assert_eq!(book.view(&id).await, after);
    let moved = book.call("PATCH", &target).json(&json!({"msisdn": "31655500103", "custom1": ""}));
    let after = record.send("another number; an empty text clears", moved).await.expect(200);
    assert_eq!(after["customDetails"]["custom1"], "");
    let form = "firstName=Augusta&customDetails[custom2]=b&last_name=King";
    record.send("Ruby's form", book.call("PATCH", &target).form(form)).await.expect(200);
    let put = book.call("PUT", &target).json(&json!({"custom3": "c"}));
    record.send("PUT is the same", put).await.expect(200);
    let overridden = book.call("GET", &format!("{target}?_method=PATCH&firstName=Ada"));
    let present = record.send("in the query", overridden).await.expect(200);
    assert_eq!(present["firstName"], "Ada");
    let by_name = book.call("GET", "/contacts?name=ada%20king").send().await.expect(200);
    assert_eq!(by_name["totalCount"], 1, "a search finds the new name");

    let php = present.clone();
    for (title, body) in [
        ("nothing", json!({})),
        ("nulls", json!({"msisdn": null, "firstName": null, "custom1": null, "customDetails": null})),
        ("its own number", json!({"msisdn": "+31655500103"})),
        ("the same texts", json!({"firstName": "Ada", "custom3": "c"})),
        ("PHP's whole object", php),
    ] {
        let same = record.send(title, book.call("PATCH", &target).json(&body)).await.expect(200);
        assert_eq!(same, present, "{title} changes nothing, not even updatedDatetime");
    }
    assert_eq!(
        book.call("PATCH", &target).send().await.expect(200),
        present,
        "no body at all changes nothing"
    );
    book.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn update_refused() {
    let (book, mut record) = (Book::new().await, Record::new());
    let id = book.contact(&json!({"msisdn": "31655500101", "firstName": "Ada"})).await;
    book.contact(&json!({"msisdn": "31655500102", "firstName": "Bea"})).await;
    let before = book.view(&id).await;
    let long = "x".repeat(256);
    for (title, body, codes) in [
        ("another's number", json!({"msisdn": "31655500102", "firstName": "Eve"}), vec![101]),
        ("no number", json!({"msisdn": "", "firstName": "Eve"}), vec![10]),
        ("several", json!({"msisdn": "x", "firstName": long, "custom4": long}), vec![10, 10, 10]),
    ] {
        let refused = record.send(title, book.call("PATCH", &format!("/contacts/{id}")).json(&body)).await;
        assert_eq!((refused.status.as_u16(), refused.codes()), (422, codes), "{title}");
    }
    let broken = book.call("PATCH", &format!("/contacts/{id}")).body("application/json", "{");
    assert_eq!(record.send("broken JSON", broken).await.codes(), [21]);
    assert_eq!(book.view(&id).await, before, "all or nothing");
    // A number in place of the id is for viewing only.
    for unknown in ["0123456789abcdef0123456789abcdef", "31655500101", "Bea"] {
        let body = json!({"firstName": "Eve"});
        let gone =
            record.send("not there", book.call("PATCH", &format!("/contacts/{unknown}")).json(&body)).await;
        assert_eq!((gone.status.as_u16(), gone.codes()), (404, vec![20]), "{unknown}");
    }
    let other = book.app.child(book.partner.account.id, "Harbour Cafe").await;
    let stranger =
        book.app.request("PATCH", &format!("/contacts/{id}")).key(live(&other)).form("firstName=Eve");
    assert_eq!(stranger.send().await.codes(), [20]);
    assert_eq!(book.view(&id).await, before);
    book.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn delete() {
    let (book, mut record) = (Book::new().await, Record::new());
    let ada = book.contact(&json!({"msisdn": "31655500101", "firstName": "Ada"})).await;
    let bea = book.contact(&json!({"msisdn": "31655500102", "firstName": "Bea"})).await;
    let group = book.group("Regulars", &[&ada, &bea]).await;
    let other = book.app.child(book.partner.account.id, "Harbour Cafe").await;
    let stranger = book.app.request("DELETE", &format!("/contacts/{ada}")).key(live(&other)).send().await;
    assert_eq!((stranger.status.as_u16(), stranger.codes()), (404, vec![20]));

    let python = book.call("DELETE", &format!("/contacts/{ada}")).json(&json!({}));
    record.send("a contact, with Python's body", python).await;
    record.send("again", book.call("DELETE", &format!("/contacts/{ada}"))).await.expect(404);
    record.send("by its number", book.call("DELETE", "/contacts/31655500102")).await.expect(404);
    let gone = record.send("its view", book.call("GET", &format!("/contacts/{ada}"))).await;
    assert_eq!(gone.codes(), [20]);
    let seen = record.send("its group", book.call("GET", &format!("/groups/{group}"))).await.expect(200);
    assert_eq!(seen["contacts"]["totalCount"], 1, "it has left its groups");
    let members = book.call("GET", &format!("/groups/{group}/contacts")).send().await;
    assert_eq!(names(&members), ["Bea"]);
    assert_eq!(names(&book.call("GET", "/contacts").send().await), ["Bea"]);
    assert_eq!(names(&book.call("GET", "/contacts?name=ada").send().await), Vec::<String>::new());

    let query = format!("/contacts/{bea}?_method=DELETE");
    record.send("by the query", book.call("GET", &query)).await;
    let again = book.contact(&json!({"msisdn": "31655500101"})).await;
    assert_ne!(again, ada, "the number is free again");
    book.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn groups_of_a_contact() {
    let (book, mut record) = (Book::new().await, Record::new());
    let ada = book.contact(&json!({"msisdn": "31655500101", "firstName": "Ada"})).await;
    let target = format!("/contacts/{ada}/groups");
    record.send("none", book.call("GET", &target)).await.expect(200);
    for name in ["Regulars", "Staff", "Press"] {
        book.group(name, &[&ada]).await;
    }
    let page = record
        .send("a page of two", book.call("GET", &format!("{target}?limit=1&offset=1")))
        .await
        .expect(200);
    assert_eq!(page["items"][0]["name"], "Staff", "newest first");
    let page = record.send("all", book.call("GET", &target)).await.expect(200);
    assert_eq!(page["totalCount"], 3);
    assert_eq!(book.view(&ada).await["groups"]["totalCount"], 3);
    record.send("bad paging", book.call("GET", &format!("{target}?limit=x"))).await.expect(422);
    for unknown in ["0123456789abcdef0123456789abcdef", "31655500101"] {
        let gone =
            record.send("no such contact", book.call("GET", &format!("/contacts/{unknown}/groups"))).await;
        assert_eq!((gone.status.as_u16(), gone.codes()), (404, vec![20]));
    }
    book.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn a_test_key_works_on_the_real_address_book() {
    let book = Book::new().await;
    let key = test(&book.owner);
    let made =
        book.app.request("POST", "/contacts").key(key).form("msisdn=31655500101").send().await.expect(201);
    let id = made["id"].as_str().unwrap();
    assert_eq!(book.view(id).await, made);
    let gone = book.app.request("DELETE", &format!("/contacts/{id}")).key(key).send().await;
    assert_eq!(gone.status, 204);
    book.app.settle().await;
}

#[tokio::test]
async fn links_begin_with_what_the_client_called() {
    let (book, mut record) = (Book::new().await, Record::new());
    book.contact(&json!({"msisdn": "31655500101"})).await;
    let labelled = book.call("GET", "/contacts?limit=1").header("host", "rest.acme.example:8443");
    let links =
        record.send("a host of the product's own", labelled).await.expect(200)["links"]["first"].clone();
    assert_eq!(links, "http://rest.acme.example:8443/contacts?offset=0&limit=1");
    let prefixed =
        record.send("the product's prefix", book.call("GET", "/_rest/contacts?limit=1")).await.expect(200);
    assert_eq!(prefixed["links"]["first"], "http://localhost/_rest/contacts?offset=0&limit=1");
    assert!(
        prefixed["items"][0]["groups"]["href"]
            .as_str()
            .unwrap()
            .starts_with("http://localhost/_rest/contacts/")
    );
    book.app.settle().await;

    let options = Options {
        public_url: Some("https://sms.acme.example".into()),
        rate_limits: false,
        ..Options::default()
    };
    let app = TestApp::with(options).await;
    let partner = app.partner("Acme").await;
    let made = app
        .request("POST", "/contacts")
        .key(live(&partner))
        .form("msisdn=31655500101")
        .send()
        .await
        .expect(201);
    assert!(made["href"].as_str().unwrap().starts_with("https://sms.acme.example/contacts/"));
    app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn who_is_let_in() {
    let (book, mut record) = (Book::new().await, Record::new());
    let key = live(&book.owner);
    record.name("key", key);
    let app = &book.app;
    record.send("no key", app.request("GET", "/contacts")).await.expect(401);
    record
        .send("a wrong key", app.request("GET", "/contacts").key("Vq7LmT2xYbN4sKd8RwZ0fGhJc"))
        .await
        .expect(401);
    let bearer = app.request("GET", "/contacts").header("authorization", &format!("Bearer {key}"));
    record.send("another scheme", bearer).await.expect(401);
    let unknown = app.request("GET", "/nothing").key("wrong");
    assert_eq!(record.send("a wrong key comes before a wrong path", unknown).await.codes(), [2]);
    let invalid = app.request("POST", "/contacts").key("wrong").json(&json!({}));
    assert_eq!(record.send("and before wrong attributes", invalid).await.codes(), [2]);

    let lower = app.request("GET", "/contacts").header("authorization", &format!("accesskey   {key} "));
    assert_eq!(lower.send().await.status, 200, "the scheme's case and blanks do not matter");
    assert_eq!(app.request("GET", &format!("/contacts?access_key={key}")).send().await.status, 200);
    let header_wins = app.request("GET", &format!("/contacts?access_key={key}")).key("wrong").send().await;
    assert_eq!(header_wins.status, 401, "the header wins over the query");
    let in_form =
        app.request("POST", "/contacts").form(&format!("access_key={key}&msisdn=31655500101")).send().await;
    assert_eq!(in_form.status, 201, "a key in a form");

    app.store.write(book.owner.account.id, account::suspend).await.unwrap();
    app.notice_changes().await;
    let suspended = record.send("a suspended account", book.call("GET", "/contacts")).await;
    assert_eq!((suspended.status.as_u16(), suspended.codes()), (401, vec![2]));
    app.store.write(book.owner.account.id, account::resume).await.unwrap();
    app.store.write(book.partner.account.id, account::suspend).await.unwrap();
    app.notice_changes().await;
    let above = record.send("a suspended partner's child", book.call("GET", "/contacts")).await;
    assert_eq!((above.status.as_u16(), above.codes()), (401, vec![2]));
    app.store.write(book.partner.account.id, account::resume).await.unwrap();
    app.notice_changes().await;
    assert_eq!(book.call("GET", "/contacts").send().await.expect(200)["totalCount"], 1);
    app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn what_the_rest_host_does_not_have() {
    let (book, mut record) = (Book::new().await, Record::new());
    let id = book.contact(&json!({"msisdn": "31655500101"})).await;
    for path in ["/nothing", "/contacts/x/y/z", &format!("/contacts/{id}/calls"), "/%ff", "/contacts/%ff"] {
        let absent = record.send("no such path", book.call("GET", path)).await;
        assert_eq!((absent.status.as_u16(), absent.codes()), (404, vec![98]), "{path}");
    }
    let voice = book.call("GET", "/calls").header("host", "voice.acme.example");
    assert_eq!(record.send("a product that is not served", voice).await.codes(), [98]);
    for (method, path) in [
        ("DELETE", "/contacts"),
        ("PATCH", "/contacts"),
        ("POST", "/contacts/0123456789abcdef0123456789abcdef"),
        ("POST", "/contacts/0123456789abcdef0123456789abcdef/groups"),
        ("GET", "/contacts?_method=DELETE"),
        ("GET", "/contacts?_method=TRACE"),
        ("OPTIONS", "/contacts"),
        ("POST", "/balance"),
        ("PUT", "/groups"),
        ("POST", "/groups/0123456789abcdef0123456789abcdef/contacts"),
        ("PUT", "/groups/0123456789abcdef0123456789abcdef/contacts/0123456789abcdef0123456789abcdef"),
    ] {
        let refused = record.send("another method", book.call(method, path)).await;
        assert_eq!((refused.status.as_u16(), refused.codes()), (405, vec![98]), "{method} {path}");
        assert!(!refused.header("allow").is_empty(), "{method} {path}");
    }
    book.app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn limits_on_bodies_and_on_wrong_keys() {
    let app = TestApp::with(Options { body_limit: 100, ..Options::default() }).await;
    let (partner, mut record) = (app.partner("Acme").await, Record::new());
    let large =
        app.request("POST", "/contacts").key(live(&partner)).form(&format!("msisdn={}", "1".repeat(101)));
    assert_eq!(record.send("a large body", large).await.codes(), [21]);
    let wrong = || app.request("GET", "/contacts").key("wrong").from("198.51.100.9");
    let (tries, limited) = record.send_until(429, "too many wrong keys", wrong).await;
    assert!(tries >= 20, "{tries} tries are few");
    assert_eq!((limited.status.as_u16(), limited.codes()), (429, vec![21]));
    let elsewhere = app.request("GET", "/contacts").key("wrong").from("198.51.100.10").send().await;
    assert_eq!(elsewhere.status, 401, "another address is not limited");
    app.settle().await;
    insta::assert_snapshot!(record.text());
}
