//! The specification's own samples: each is read from docs/spec when the test runs, and our answer must have the same
//! fields in the same order with the same JSON types. So an answer cannot drift from what clients were written for, and a
//! sample cannot vanish unnoticed.

use crate::support::{Answer, Call, TestApp, live, partner_api};
use rookery::core::account::{self, NewAccount, Setting};
use rookery::core::ledger::{self, Grant};
use rookery::core::money::Amount;
use rookery::wire::Options;
use serde_json::{Value, json};

/// One file of the specification.
struct Spec(String);

impl Spec {
    fn open(file: &str) -> Self {
        let path = format!("{}/docs/spec/{file}.md", env!("CARGO_MANIFEST_DIR"));
        Spec(std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}")))
    }

    /// The lines below a heading, up to the next one.
    fn section(&self, heading: &str) -> Vec<&str> {
        let mut lines = self.0.lines().skip_while(|line| *line != heading);
        assert!(lines.next().is_some(), "no heading {heading:?}");
        let mut is_fenced = false;
        let inside = lines.take_while(|line| {
            is_fenced ^= line.starts_with("```");
            is_fenced || !line.starts_with('#')
        });
        inside.collect()
    }

    /// The fenced blocks of a kind below a heading.
    fn fenced(&self, heading: &str, kind: &str) -> Vec<String> {
        let (mut blocks, mut open) = (Vec::new(), None::<Vec<&str>>);
        for line in self.section(heading) {
            match (&mut open, line.strip_prefix("```")) {
                (None, Some(word)) => open = Some(vec![word]),
                (Some(block), Some(_)) => {
                    if block[0] == kind {
                        blocks.push(block[1..].join("\n"));
                    }
                    open = None;
                }
                (Some(block), None) => block.push(line),
                (None, None) => {}
            }
        }
        blocks
    }

    /// The JSON block below a heading, counted from 0.
    fn json(&self, heading: &str, place: usize) -> Value {
        let blocks = self.fenced(heading, "json");
        let block = blocks.get(place).unwrap_or_else(|| panic!("no JSON sample {place} below {heading:?}"));
        serde_json::from_str(block).unwrap_or_else(|error| panic!("{heading}: {error}: {block}"))
    }

    /// The JSON in backticks below a heading that begins so.
    fn inline(&self, heading: &str, begin: &str) -> Value {
        let text = self.section(heading).join("\n");
        let mut spans = text.split('`').skip(1).step_by(2).filter(|span| span.starts_with(begin));
        let span = spans.next().unwrap_or_else(|| panic!("nothing begins with {begin} below {heading:?}"));
        serde_json::from_str(span).unwrap_or_else(|error| panic!("{heading}: {error}: {span}"))
    }

    /// The method, path and body of the request sample below a heading.
    fn request(&self, heading: &str) -> (String, String, Value) {
        let blocks = self.fenced(heading, "http");
        let block = blocks.first().unwrap_or_else(|| panic!("no request sample below {heading:?}"));
        let (method, path) =
            block.lines().next().and_then(|line| line.split_once(' ')).expect("a request line");
        let body = block
            .find("\n{")
            .map_or(Value::Null, |from| serde_json::from_str(&block[from..]).expect("a body"));
        (method.to_owned(), path.to_owned(), body)
    }
}

/// Insists on the sample's fields, order and types; what differs is listed with its place.
#[track_caller]
fn assert_like(sample: &Value, ours: &Value) {
    let mut wrong = Vec::new();
    compare("", sample, ours, &mut wrong);
    assert!(wrong.is_empty(), "{wrong:#?}\nsample: {sample}\nours:   {ours}");
}

fn compare(at: &str, sample: &Value, ours: &Value, wrong: &mut Vec<String>) {
    match (sample, ours) {
        (Value::Object(sample), Value::Object(ours)) => {
            let (expected, present): (Vec<_>, Vec<_>) = (sample.keys().collect(), ours.keys().collect());
            if expected != present {
                wrong.push(format!("{at}: {present:?}, not {expected:?}"));
            }
            for (name, value) in sample {
                compare(&format!("{at}.{name}"), value, ours.get(name).unwrap_or(value), wrong);
            }
        }
        (Value::Array(sample), Value::Array(ours)) => {
            if sample.len().min(1) != ours.len().min(1) {
                wrong.push(format!("{at}: {} elements, not {}", ours.len(), sample.len()));
            }
            for (place, value) in ours.iter().enumerate() {
                compare(&format!("{at}[{place}]"), sample.first().unwrap_or(value), value, wrong);
            }
        }
        (sample, ours) if kind(sample) != kind(ours) => {
            wrong.push(format!("{at}: {}, not {}", kind(ours), kind(sample)));
        }
        (Value::String(sample), Value::String(ours)) if form(sample) != form(ours) => {
            wrong.push(format!("{at}: {ours}, not of the form of {sample}"));
        }
        _ => {}
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number with a fraction",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// What texts of one form have in common: the path and query of a link of the rest host, the layout of a datetime, an id
/// or a UUID. Other texts are free.
fn form(text: &str) -> String {
    let is_hex =
        |word: &str| word.len() == 32 && word.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let links = ["https://rest.messagebird.com", "http://localhost"];
    if let Some(path) = links.iter().find_map(|origin| text.strip_prefix(origin)) {
        let words = path.split_inclusive(['/', '?']).map(|word| {
            let bare = word.trim_end_matches(['/', '?']);
            if is_hex(bare) { word.replace(bare, "ID") } else { word.to_owned() }
        });
        return words.collect();
    }
    let layout: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    if is_hex(text) {
        "ID".into()
    } else if layout.starts_with("0000-00-00T") {
        layout
    } else if text.len() == 36 && text.split('-').map(str::len).eq([8, 4, 4, 4, 12]) {
        "UUID".into()
    } else {
        String::new()
    }
}

/// An installation with a partner whose live key the calls have.
struct Book {
    app: TestApp,
    partner: NewAccount,
}

impl Book {
    async fn new() -> Self {
        let app = TestApp::new().await;
        let partner = app.partner("Acme Chat").await;
        Book { app, partner }
    }

    fn call(&self, method: &str, target: &str) -> Call<'_> {
        self.app.request(method, target).key(live(&self.partner))
    }

    /// Sends the request sample below a heading; `path` stands in for the sample's, which names an invented id.
    async fn sample(&self, spec: &Spec, heading: &str, path: Option<&str>) -> Answer {
        let (method, sampled, body) = spec.request(heading);
        let mut call = self.call(&method, path.unwrap_or(&sampled));
        if !body.is_null() {
            call = call.json(&body);
        }
        call.send().await
    }

    async fn get(&self, target: &str) -> Value {
        self.call("GET", target).send().await.expect(200)
    }
}

fn path_of(object: &Value) -> String {
    object["href"].as_str().unwrap().strip_prefix("http://localhost").unwrap().to_owned()
}

#[test]
fn a_difference_is_seen() {
    let sample = json!({"id": "0123456789abcdef0123456789abcdef", "n": 1, "list": [{"a": null}]});
    let differences = |ours: Value| {
        let mut wrong = Vec::new();
        compare("", &sample, &ours, &mut wrong);
        wrong.len()
    };
    let id = "fedcba9876543210fedcba9876543210";
    assert_eq!(differences(json!({"id": id, "n": 2, "list": [{"a": null}, {"a": null}]})), 0);
    for ours in [
        json!({"n": 1, "id": id, "list": [{"a": null}]}),
        json!({"id": id, "n": 1, "list": [{"a": null}], "more": 1}),
        json!({"id": id, "list": [{"a": null}]}),
        json!({"id": id, "n": "1", "list": [{"a": null}]}),
        json!({"id": id, "n": 1.5, "list": [{"a": null}]}),
        json!({"id": id, "n": null, "list": [{"a": null}]}),
        json!({"id": id.to_uppercase(), "n": 1, "list": [{"a": null}]}),
        json!({"id": id, "n": 1, "list": []}),
        json!({"id": id, "n": 1, "list": [{"a": null}, {"a": ""}]}),
        json!({"id": id, "n": 1, "list": {"a": null}}),
    ] {
        assert_eq!(differences(ours.clone()), 1, "{ours}");
    }
    assert_ne!(form("2024-03-05T08:15:30+00:00"), form("2024-03-05T08:15:30Z"));
    assert_ne!(
        form("https://rest.messagebird.com/groups?offset=0"),
        form("http://localhost/groups?offset=0&limit=1")
    );
}

#[tokio::test]
async fn conventions() {
    let (book, spec) = (Book::new().await, Spec::open("00-overview"));
    let array = r#"{"errors":"#;
    let stranger = book.app.request("GET", "/balance").send().await;
    assert_eq!(stranger.expect(401), spec.inline("## 2. Authentication", array));
    let invalid = book.call("POST", "/groups").json(&json!({})).send().await.expect(422);
    assert_like(&spec.json("### 5.1 Envelope (rest, conversations, numbers, contacts v2)", 0), &invalid);
    let another_verb = book.call("POST", "/balance").send().await;
    assert_eq!(another_verb.expect(405), spec.inline("### 5.3 HTTP statuses", array));

    let mut sample = spec.json("## 7. Pagination", 0);
    // The section goes on to say that the limit stands in the links too; items are any object with an id.
    let with_limit = sample["links"].to_string().replace("offset=0", "offset=0&limit=20");
    sample["links"] = serde_json::from_str(&with_limit).unwrap();
    book.call("POST", "/groups").form("name=Regulars").send().await.expect(201);
    let mut list = book.get("/groups").await;
    assert!(list["items"][0]["id"].is_string() && sample["items"][0]["id"].is_string());
    sample["items"] = json!([]);
    list["items"] = json!([]);
    assert_like(&sample, &list);
    book.app.settle().await;
}

#[tokio::test]
async fn too_many_requests() {
    let (app, spec) = (TestApp::with(Options::default()).await, Spec::open("00-overview"));
    let sample = spec.inline("## 6. Rate limits", r#"{"errors":"#);
    let mut last = app.request("GET", "/balance").key("wrong").send().await;
    for _ in 0..60 {
        if last.status == 429 {
            break;
        }
        last = app.request("GET", "/balance").key("wrong").send().await;
    }
    assert_eq!(last.expect(429), sample);
    app.settle().await;
}

#[tokio::test]
async fn contacts() {
    let (book, spec) = (Book::new().await, Spec::open("05-contacts"));
    let made = book.sample(&spec, "## 2. Create", None).await.expect(201);
    assert_like(&spec.json("## 2. Create", 0), &made);
    assert_like(&spec.json("## 3. List", 0), &book.get("/contacts").await);
    let path = path_of(&made);
    assert_like(&spec.json("## 2. Create", 0), &book.get(&path).await);
    let missing = book.call("GET", "/contacts/0123456789abcdef0123456789abcdef").send().await;
    assert_eq!(missing.expect(404), spec.json("## 4. View", 0));
    let updated = book.sample(&spec, "## 5. Update", Some(&path)).await.expect(200);
    assert_like(&spec.json("## 2. Create", 0), &updated);
    let group = book.call("POST", "/groups").form("name=Regulars").send().await.expect(201);
    let add = format!("{}/contacts?ids={}", path_of(&group), made["id"].as_str().unwrap());
    assert_eq!(book.call("PUT", &add).send().await.status, 204);
    assert_like(&spec.json("## 7. Groups of a contact", 0), &book.get(&format!("{path}/groups")).await);
    let members = book.get(&format!("{}/contacts", path_of(&group))).await;
    assert_like(&spec.json("## 3. List", 0)["items"], &members["items"]);
    book.app.settle().await;
}

#[tokio::test]
async fn groups() {
    let (book, spec) = (Book::new().await, Spec::open("06-groups"));
    let made = book.sample(&spec, "## 2. Create", None).await.expect(201);
    assert_like(&spec.json("## 2. Create", 0), &made);
    assert_like(&spec.json("## 3. List", 0), &book.get("/groups?limit=10").await);
    let path = path_of(&made);
    assert_like(&spec.json("## 2. Create", 0), &book.get(&path).await);
    let missing = book.call("GET", "/groups/0123456789abcdef0123456789abcdef").send().await;
    assert_eq!(missing.expect(404), spec.inline("## 4. View", r#"{"errors":"#));
    let renamed = book.sample(&spec, "## 5. Rename", Some(&path)).await.expect(200);
    assert_like(&spec.json("## 5. Rename", 0), &renamed);
    let empty = spec.json("## 7. List the contacts of a group", 0);
    assert_eq!(book.get(&format!("{path}/contacts")).await, empty);
    assert_like(&empty, &book.get(&format!("{path}/contacts")).await);
    book.app.settle().await;
}

#[tokio::test]
async fn balance() {
    let (book, spec) = (Book::new().await, Spec::open("04-balance"));
    let id = book.partner.account.id;
    let credit = Grant { account: id, amount: Amount::parse("84.2").unwrap(), currency: None };
    book.app.store.write(credit, ledger::grant).await.unwrap();
    let (method, path, _) = spec.request("## View the balance");
    let seen = book.call(&method, &path).send().await.expect(200);
    assert_like(&spec.json("## View the balance", 0), &seen);
    book.app.store.write((id, Setting::Postpaid(true)), account::set).await.unwrap();
    let postpaid = book.sample(&spec, "## View the balance", None).await.expect(200);
    assert_eq!(postpaid, spec.json("## View the balance", 1));
    assert_like(&spec.json("## View the balance", 1), &postpaid);
    book.app.settle().await;
}

#[tokio::test]
async fn child_accounts() {
    let (book, spec) = (Book::new().await, Spec::open("02-partner-accounts"));
    let made = book.sample(&spec, "### 2.1 Create", None).await.expect(201);
    let sample = spec.json("### 2.1 Create", 0);
    assert_like(&sample, &made);
    for place in 0..2 {
        let (sampled, ours) = (&sample["accessKeys"][place], &made["accessKeys"][place]);
        let length = |key: &Value| key["key"].as_str().unwrap().len();
        assert_eq!(
            (&sampled["mode"], length(sampled)),
            (&ours["mode"], length(ours)),
            "live first, then test"
        );
    }
    let path = format!("/child-accounts/{}", made["id"]);
    assert_like(&spec.json("### 2.2 List", 0), &book.get("/child-accounts").await);
    assert_like(&spec.json("### 2.3 View", 0), &book.get(&path).await);
    let edit =
        book.call("PATCH", &path).json(&json!({"name": "Corner Bakery and Cafe"})).send().await.expect(200);
    assert_like(&spec.json("### 2.4 Edit", 0), &edit);
    let deleted = book.call("DELETE", &path).send().await.expect(200);
    assert_eq!(deleted, spec.inline("### 2.5 Delete", "{}"));

    let child = book.app.child(book.partner.account.id, "Harbour Cafe").await;
    let refused = book.app.request("GET", "/child-accounts").key(live(&child)).send().await.expect(403);
    assert_eq!(refused, spec.inline("## 3. Errors", r#"{"message":"#));
    let problem = spec.inline("## 3. Errors", r#"{"type":"#);
    let missing = book.call("GET", &path).send().await.expect(404);
    assert_like(&problem, &missing);
    assert_eq!(missing, problem);
    let stranger = book.app.request("GET", "/child-accounts").send().await.expect(401);
    assert_eq!(stranger, spec.inline("## 3. Errors", r#"{"errors":"#));
    book.app.settle().await;
}

#[tokio::test]
async fn partner_object() {
    let (book, spec) = (Book::new().await, Spec::open("30-360-partner"));
    let (key, handle) = partner_api(&book.partner);
    let hub = |method: &str, handle: &str| {
        book.app.request(method, &format!("/api/v2/partners/{handle}")).header("x-api-key", key)
    };
    let (method, path, body) = spec.request("### 4.3 PATCH /api/v2/partners/{partner_id}");
    assert!((method.as_str(), path.starts_with("/api/v2/partners/")) == ("PATCH", true));
    let patched = hub("PATCH", handle).json(&body).send().await.expect(200);
    assert_eq!(patched["webhook_url"], body["webhook_url"]);
    let redirect = json!({"partner_redirect_url": "https://acme.example/connected"});
    hub("PATCH", handle).json(&redirect).send().await.expect(200);
    let sample = spec.json("### 4.2 GET /api/v2/partners/{partner_id}", 0);
    assert_like(&sample, &hub("GET", handle).send().await.expect(200));
    assert_eq!(sample["brand_name"], book.partner.account.name.as_str());

    let error = spec.json("### 2.1 Standard error body (everything except the token endpoint)", 0);
    for refused in [
        hub("GET", "q8ZrT2PA").send().await.expect(403),
        hub("DELETE", handle).send().await.expect(405),
        book.app.request("GET", &path).send().await.expect(401),
    ] {
        assert_like(&error, &refused);
    }
    let invalid = hub("PATCH", handle).json(&json!({"webhook_url": "x"})).send().await.expect(400);
    let text = spec.section("### 4.3 PATCH /api/v2/partners/{partner_id}").join("\n");
    let details = text
        .split_once("`details:")
        .and_then(|(_, rest)| rest.split_once('`'))
        .expect("a sample of details")
        .0;
    assert_eq!(invalid["meta"]["details"], serde_json::from_str::<Value>(details).unwrap());
    book.app.settle().await;
}
