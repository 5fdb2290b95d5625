//! Carriers with an HTTP interface: the real server and a provider that is a real HTTP server, from the request to the
//! report, with all that goes wrong between the two.

use crate::support::books;
use crate::support::customer::Call;
use crate::support::database::Home;
use crate::support::http::Client;
use crate::support::paying::{Payer, balances, unfinished};
use crate::support::process::{Server, finish, partner, rookery, run};
use crate::support::provider::{Provider, Verdict};
use rookery::core::carrier::{self, Carrier};
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use store::Store;

/// What has not happened by then never will.
const WITHIN: Duration = Duration::from_secs(30);
const SECRET: &str = "the carriers own s3cret/+";
/// Micro-units of a part.
const PRICE: i64 = 50_000;
const CREDIT: i64 = 10_000_000;

/// Waits until this holds.
#[track_caller]
fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(begun.elapsed() < WITHIN, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn ok(body: impl Into<String>) -> Verdict {
    Verdict::Answer(200, "", body.into())
}

/// A home with an account that can send, without a server yet.
struct Site {
    home: Home,
    payer: Payer,
}

impl Site {
    async fn new() -> Site {
        let home = Home::new().await;
        let made = partner(&home, "Acme");
        let payer = Payer::new(&home, &made, "0.05").with_credit(&home, "10");
        Site { home, payer }
    }

    /// Adds a carrier and answers the path that it reports to.
    fn carrier(&self, name: &str, url: &str, settings: &[&str]) -> String {
        let mut command = rookery(&self.home);
        command.args(["carrier", "add", name, "--http", url, "--password-env", "CARRIER_SECRET", "--json"]);
        command.args(["--set", "private=true"]).env("CARRIER_SECRET", SECRET);
        for setting in settings {
            command.args(["--set", setting]);
        }
        let made = finish(&mut command).json();
        made["reportUrl"].as_str().expect("where it reports to").to_owned()
    }

    fn route(&self, prefix: &str, carrier: &str, priority: &str) {
        run(&self.home, &["route", "add", prefix, carrier, "--priority", priority]).ok();
    }

    fn serve(&self) -> Desk<'_> {
        let mut command = rookery(&self.home);
        command.args(["serve", "--listen", "127.0.0.1:0", "--no-demo", "--no-rate-limit", "--log", "trace"]);
        Desk { server: Server::serving(&mut command, 1), site: self }
    }

    /// What the account has, posted and held, after the books were found right.
    async fn balance(&self) -> (i64, i64) {
        let store = Store::open(self.home.url(), store::Options::default()).await.unwrap();
        books::check(&store).await;
        let balance = balances(&store).await[&self.payer.id];
        store.close().await;
        balance
    }

    async fn open_parts(&self) -> i64 {
        let store = Store::open(self.home.url(), store::Options::default()).await.unwrap();
        let parts = unfinished(&store).await.0;
        store.close().await;
        parts
    }
}

/// A server of a site.
struct Desk<'s> {
    server: Server,
    site: &'s Site,
}

impl Desk<'_> {
    fn client(&self) -> Client {
        Client::new(self.server.address())
    }

    fn send(&self, to: &str, body: &str) -> String {
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("originator", "31655500099"), ("recipients", to), ("body", body)])
            .finish();
        let sent = self.client().post("/messages", &self.site.payer.key, &form);
        assert_eq!(sent.status, 201, "{sent:?}");
        sent.json()["id"].as_str().expect("an id").to_owned()
    }

    /// Status, reason and code.
    fn state(&self, id: &str) -> (String, Value, Value) {
        let seen = self.client().get(&format!("/messages/{id}"), &self.site.payer.key).json();
        let item = &seen["recipients"]["items"][0];
        let status = item["status"].as_str().expect("a status").to_owned();
        (status, item["statusReason"].clone(), item["statusErrorCode"].clone())
    }

    #[track_caller]
    fn becomes(&self, id: &str, status: &str) -> (Value, Value) {
        until(status, || {
            let (is, reason, code) = self.state(id);
            (is == status).then_some((reason, code))
        })
    }

    /// Reports as a provider does; answers the status.
    fn report(&self, path: &str, body: &Value) -> u16 {
        let body = body.to_string();
        let length = body.len();
        let mut client = self.client();
        client.send(format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}").as_bytes());
        client.read().status
    }

    fn texts(&self) -> Vec<Value> {
        let all = self.client().get("/messages?direction=mo", &self.site.payer.key).json();
        all["items"].as_array().expect("items").clone()
    }
}

/// The shell commands under a heading of the documentation, each as it stands there.
fn documented(begin: &str) -> String {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/carriers-http.md")).unwrap();
    let (_, behind) = text.split_once(begin).expect("the paragraph");
    let (_, block) = behind.split_once("```sh\n").expect("a block");
    block.split_once("```").expect("an end").0.to_owned()
}

/// Runs documented commands against a provider of the test's.
fn execute(home: &Home, commands: &str, provider: &str, at: &Provider) {
    let commands = commands.replace(provider, &format!("http://{}", at.address()));
    let commands = commands.trim_end().to_owned() + " --set private=true\n";
    assert!(!commands.contains("https://"), "{commands}");
    let binary = Path::new(env!("CARGO_BIN_EXE_rookery")).parent().expect("a folder");
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let own = rookery(home);
    let mut shell = Command::new("sh");
    shell.args(["-euc", &commands]).current_dir(home.folder());
    for (name, value) in own.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let done = finish(shell.env("PATH", path)).ok();
    assert!(done.stdout.contains("it reports to /_carrier/"), "{done:?}");
}

fn listed(home: &Home, name: &str) -> Value {
    let all = run(home, &["carrier", "list", "--json"]).json();
    let found = all.as_array().expect("carriers").iter().find(|carrier| carrier["name"] == name);
    found.expect("the carrier").clone()
}

#[tokio::test]
async fn the_documented_json_api_sends_and_reports() {
    let site = Site::new().await;
    let provider =
        Provider::new(|_, _| Verdict::Answer(202, "", r#"{"id":"96a0b5fa-1","status":"accepted"}"#.into()));
    execute(&site.home, &documented("A JSON API with an access key"), "https://api.bird.com", &provider);
    run(&site.home, &["number", "add", "3197010240000", &site.payer.id.to_string()]).ok();
    let path = listed(&site.home, "json-api")["reportUrl"].as_str().unwrap().to_owned();
    let desk = site.serve();
    let id = desk.send("31612345678", "Your \"crate\" is {ready}\n€");
    let call = until("a request", || provider.calls().pop());
    assert_eq!(
        (call.method.as_str(), call.target.as_str()),
        ("POST", "/workspaces/WORKSPACE/channels/CHANNEL/messages")
    );
    assert_eq!(call.header("authorization"), Some("AccessKey the access key"));
    assert_eq!(call.header("content-type"), Some("application/json"));
    let said: Value = serde_json::from_slice(&call.body).expect("JSON");
    assert_eq!(said["receiver"]["contacts"][0]["identifierValue"], "+31612345678");
    assert_eq!(said["body"]["text"]["text"], "Your \"crate\" is {ready}\n€");
    assert_eq!(desk.state(&id).0, "sent");
    // Its reports have the message itself, with its text.
    let report = |status| {
        json!({"service": "channels", "event": "sms.outbound", "payload": {"id": "96a0b5fa-1",
        "sender": {"connector": {"id": "c"}}, "receiver": {"contacts": [{"identifierValue": "+31612345678"}]},
        "body": {"type": "text", "text": {"text": "Your"}}, "status": status}})
    };
    until("the answer is recorded", || (desk.report(&path, &report("sent")) == 200).then_some(()));
    assert_eq!(desk.report(&path, &report("delivered")), 200);
    desk.becomes(&id, "delivered");
    assert_eq!(desk.report(&path, &report("delivery_failed")), 200, "late");
    assert_eq!(desk.state(&id).0, "delivered");
    // As its documentation shows a text of a phone.
    let text = json!({"service": "channels", "event": "sms.inbound", "payload": {"id": "96a0b5fa-2",
        "sender": {"contact": {"identifierKey": "phonenumber", "identifierValue": "+31612345678"}},
        "receiver": {"connector": {"id": "86cc4dc0"}}, "status": "delivered", "direction": "incoming",
        "body": {"type": "text", "text": {"text": "Sample incoming text message"}}}});
    assert_eq!((desk.report(&path, &text), desk.report(&path, &text)), (200, 200));
    let texts = desk.texts();
    assert_eq!((texts.len(), &texts[0]["body"]), (1, &json!("Sample incoming text message")), "{texts:?}");
    drop(desk);
    assert_eq!(site.balance().await, (CREDIT - PRICE, 0));
}

#[tokio::test]
async fn the_documented_form_api_sends_and_reports() {
    let site = Site::new().await;
    let provider =
        Provider::new(|_, _| Verdict::Answer(201, "", r#"{"sid":"SM7","status":"queued"}"#.into()));
    execute(
        &site.home,
        &documented("A form API with basic authentication"),
        "https://api.twilio.com",
        &provider,
    );
    run(&site.home, &["number", "add", "3197010240000", &site.payer.id.to_string()]).ok();
    let path = listed(&site.home, "form-api")["reportUrl"].as_str().unwrap().to_owned();
    let desk = site.serve();
    let id = desk.send("31612345678", "5 € & more");
    let call = until("a request", || provider.calls().pop());
    assert_eq!(
        (call.method.as_str(), call.target.as_str()),
        ("POST", "/2010-04-01/Accounts/ACCOUNT/Messages.json")
    );
    // ACCOUNT:the auth token
    assert_eq!(call.header("authorization"), Some("Basic QUNDT1VOVDp0aGUgYXV0aCB0b2tlbg=="));
    let fields = [("Body", "5 € & more"), ("From", "+31655500099"), ("To", "+31612345678")];
    assert_eq!(call.fields(), fields.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let report = "MessageSid=SM7&SmsStatus=undelivered&MessageStatus=undelivered&ErrorCode=6&To=%2B31612345678&From=%2B31655500099";
    assert_eq!(desk.client().post(&path, "", report).status, 200);
    let (reason, code) = desk.becomes(&id, "delivery_failed");
    assert_eq!((reason, code), (json!("unavailable subscriber"), json!(6)));
    let text =
        "MessageSid=SM8&SmsStatus=received&From=%2B31612345678&To=%2B3197010240000&Body=Hello+%F0%9F%90%A6";
    let answer = desk.client().post(&path, "", text);
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, ""),
        "anything else would be an answer to the phone"
    );
    assert_eq!(desk.texts()[0]["body"], "Hello \u{1F426}");
    drop(desk);
    assert_eq!(site.balance().await, (CREDIT - PRICE, 0));
}

/// Carriers that each behave in one way, on one server.
#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one server and one account's books for all of them")]
async fn each_answer_has_its_consequence_and_nothing_secret_is_logged() {
    let site = Site::new().await;
    let long = "x".repeat(200);
    let form = "form=to={to}&t={text}&id={id}&n={part}/{parts}&udh={udh}&k={secret}";
    let mut providers = Vec::new();
    let mut add = |prefix: &str, name: &str, settings: &[&str], provider: Provider| {
        let url = format!("http://{}/send?key={{secret}}", provider.address());
        let mut all = vec![form, "header-x-key={secret}"];
        all.extend(settings);
        let path = site.carrier(name, &url, &all);
        site.route(prefix, name, "0");
        providers.push(provider);
        path
    };
    let whole = add("3161", "whole", &[], Provider::new(|_, _| ok("")));
    let separate =
        add("3162", "separate", &["parts=separate", "id=id"], Provider::new(|n, _| ok(format!("id=s-{n}"))));
    add("3163", "refusing", &[], Provider::new(|_, _| Verdict::Answer(422, "", r#"{"error":"no"}"#.into())));
    let times = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&times);
    let throttled = add(
        "3164",
        "throttling",
        &["window=1", "id=id"],
        Provider::new(move |n, _| {
            noted.lock().unwrap().push(Instant::now());
            match n {
                0 => Verdict::Answer(429, "Retry-After: 2\r\n", String::new()),
                _ => ok(r#"{"id":"t-1"}"#),
            }
        }),
    );
    let again = add(
        "3165",
        "resending",
        &["id=id"],
        Provider::new(|n, _| match n {
            0 => Verdict::Answer(500, "", String::new()),
            1 => ok(r#"{"id":"r-1"}"#),
            _ => Verdict::Break,
        }),
    );
    add("3166", "failing", &["doubt=fail"], Provider::new(|_, _| Verdict::Break));
    add("3167", "waiting", &["doubt=wait", "response-seconds=1"], Provider::new(|_, _| Verdict::Silence));
    // Reports before it answers.
    let server: Arc<OnceLock<(SocketAddr, String)>> = Arc::default();
    let known = Arc::clone(&server);
    let early = add(
        "3168",
        "early",
        &["id=id"],
        Provider::new(move |_, _| {
            let (address, path) = known.get().expect("the server runs");
            assert_eq!(Client::new(*address).get(&format!("{path}?id=e-1&status=delivered"), "").status, 200);
            ok(r#"{"id":"e-1"}"#)
        }),
    );
    // Gives all messages one name, and says in the body that it has had enough.
    let same = add(
        "3169",
        "same",
        &["id=id", "answer-status=s"],
        Provider::new(|n, call| {
            if call.fields().iter().any(|(name, value)| name == "t" && value == "no") {
                ok("id=x&s=29")
            } else {
                ok(format!("id=same&s=ok&n={n}"))
            }
        }),
    );
    let desk = site.serve();
    server.set((desk.server.address(), early.clone())).unwrap();
    let client = |path: &str, query: &str| desk.client().get(&format!("{path}?{query}"), "").status;
    let calls = |at: usize, count: usize| -> Vec<Call> {
        let mut all = Vec::new();
        until("requests", || {
            all.extend(providers[at].calls());
            (all.len() >= count).then_some(())
        });
        all
    };

    let ids: Vec<String> = (1..=9).map(|n| desk.send(&format!("316{n}2345678"), &long)).collect();
    let one = &calls(0, 1)[0];
    let field = |call: &Call, name: &str| {
        call.fields().into_iter().find(|(known, _)| known == name).expect("a field").1
    };
    assert_eq!(
        (field(one, "t"), field(one, "n"), field(one, "udh")),
        (long.clone(), "1/2".into(), String::new())
    );
    assert_eq!((field(one, "k").as_str(), one.header("x-key")), (SECRET, Some(SECRET)));
    assert_eq!(one.target, "/send?key=the%20carriers%20own%20s3cret%2F%2B");
    until("the report finds it", || {
        assert_eq!(client(&whole, &format!("id={}&status=delivered", field(one, "id"))), 200);
        (desk.state(&ids[0]).0 == "delivered").then_some(())
    });

    let mut parts = calls(1, 2);
    parts.sort_by_key(|call| field(call, "n"));
    assert_eq!(parts.iter().map(|call| field(call, "n")).collect::<Vec<_>>(), ["1/2", "2/2"]);
    assert_eq!(parts.iter().map(|call| field(call, "t").len()).collect::<Vec<_>>(), [153, 47]);
    assert!(field(&parts[1], "udh").starts_with("050003") && field(&parts[1], "udh").ends_with("0202"));
    // Several in one list, the second twice.
    let list = json!([{"id": "s-0", "status": "delivered"}, {"id": "s-1", "status": "sent"},
        {"id": "s-1", "status": "delivered"}, {"id": "s-1", "status": "failed"}]);
    assert_eq!(desk.report(&separate, &list), 200);
    desk.becomes(&ids[1], "delivered");

    assert_eq!(desk.becomes(&ids[2], "delivery_failed"), (json!("carrier rejected"), json!(422)));
    calls(3, 2);
    let times = times.lock().unwrap().clone();
    let waited = times[1] - times[0];
    assert!(waited >= Duration::from_millis(1_900), "{waited:?}");
    assert_eq!(client(&throttled, "id=t-1&status=expired"), 200);
    desk.becomes(&ids[3], "expired");

    let both = calls(4, 2);
    assert_eq!(field(&both[0], "id"), field(&both[1], "id"), "the provider can tell that it is the same");
    assert_eq!(client(&again, "id=r-1&status=delivered"), 200);
    desk.becomes(&ids[4], "delivered");
    let lost = desk.send("31652345678", "x");
    assert_eq!(desk.becomes(&lost, "delivery_failed").0, "timeout");
    assert_eq!(providers[4].count(), 4, "twice and no more");
    assert_eq!(desk.becomes(&ids[5], "delivery_failed").0, "timeout");
    assert_eq!(providers[5].count(), 1);
    desk.becomes(&ids[7], "delivered");

    // The second with the same name has ours.
    let other = desk.send("31692345678", "x");
    let second = calls(8, 2).pop().expect("a request");
    until("the first", || {
        assert_eq!(client(&same, "id=same&status=delivered"), 200);
        (desk.state(&ids[8]).0 == "delivered").then_some(())
    });
    until("the second", || {
        assert_eq!(client(&same, &format!("id=-{}&status=delivered", field(&second, "id"))), 200);
        (desk.state(&other).0 == "delivered").then_some(())
    });
    let refused = desk.send("31692345678", "no");
    assert_eq!(desk.becomes(&refused, "delivery_failed"), (json!("carrier rejected"), json!(29)));

    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!((providers[6].count(), desk.state(&ids[6]).0.as_str()), (1, "sent"), "it waits");
    let log = desk.server.log();
    let tokens = [&whole, &separate, &early].map(|path| path.rsplit('/').next().unwrap().to_owned());
    let secrets = [SECRET, "the%20carriers", "31612345678", long.as_str()].map(str::to_owned);
    for secret in tokens.iter().chain(&secrets) {
        let leak = log.lines().find(|line| line.contains(secret.as_str()));
        assert!(leak.is_none(), "{secret} is logged: {leak:?}");
    }
    assert!(log.contains("TRACE"), "all of it was seen");
    drop(desk);
    // Paid: two parts each of whole, separate, throttling, resending, early and same, and one of its second.
    assert_eq!(site.balance().await, (CREDIT - 13 * PRICE, 2 * PRICE), "what waits is held");
    assert_eq!(site.open_parts().await, 1);
}

#[tokio::test]
async fn a_carrier_out_of_reach_is_down_and_others_take_its_numbers() {
    let site = Site::new().await;
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let second = Provider::new(|_, _| ok(""));
    let form = &["form=t={text}&id={id}"];
    let first_reports = site.carrier("first", &format!("http://{free}/"), form);
    let second_reports = site.carrier("second", &format!("http://{}/", second.address()), form);
    run(&site.home, &["route", "remove", "", "simulated"]).ok();
    site.route("", "first", "0");
    site.route("", "second", "1");
    let desk = site.serve();
    let begun = Instant::now();
    let ids: Vec<String> =
        (0..3).map(|n| desk.send(&format!("3161234567{n}"), &"y".repeat(170 * (n % 2) + 1))).collect();
    let mut all = Vec::new();
    until("the others take them", || {
        all.extend(second.calls());
        (all.len() == 3).then_some(())
    });
    assert!(begun.elapsed() >= Duration::from_secs(5));
    let name = |call: &Call| call.fields().into_iter().find(|(name, _)| name == "id").unwrap().1;
    until("all have arrived", || {
        for call in &all {
            desk.client().get(&format!("{second_reports}?id={}&status=delivered", name(call)), "");
        }
        ids.iter().all(|id| desk.state(id).0 == "delivered").then_some(())
    });
    assert!(listed(&site.home, "first")["downSince"].is_string());

    let first = Provider::at(free, |_, _| ok(""));
    until("it is up", || listed(&site.home, "first")["downSince"].is_null().then_some(()));
    until("it is chosen again", || {
        let id = desk.send("31612345678", "back");
        let (call, path) = until("a request", || {
            let to_first = first.calls().pop().map(|call| (call, &first_reports));
            to_first.or_else(|| second.calls().pop().map(|call| (call, &second_reports)))
        });
        assert_eq!(desk.client().get(&format!("{path}?id={}&status=delivered", name(&call)), "").status, 200);
        desk.becomes(&id, "delivered");
        (first.count() > 0).then_some(())
    });
    assert_eq!(desk.server.log().matches("a carrier is down").count(), 1);
    drop(desk);
    let (_, held) = site.balance().await;
    assert_eq!(held, 0);
}

#[tokio::test]
async fn any_server_takes_reports_from_those_who_know_where_to() {
    let site = Site::new().await;
    let provider = Provider::new(|n, _| ok(format!(r#"{{"messages":[{{"id":"m-{n}"}}]}}"#)));
    let url = format!("http://{}/{{to}}?t={{text}}", provider.address());
    let settings = ["id=messages.0.id", "report-list=results", "report-status=status.name", "failed=lost"];
    let path = site.carrier("get", &url, &settings);
    site.route("31", "get", "0");
    let desk = site.serve();
    let other = Server::start(&site.home);
    let id = desk.send("31612345678", "a b/c?");
    let call = until("a request", || provider.calls().pop());
    assert_eq!((call.method.as_str(), call.target.as_str()), ("GET", "/31612345678?t=a%20b%2Fc%3F"));

    let post = |path: &str, body: &str| {
        let mut client = Client::new(other.address());
        let length = body.len();
        client.send(
            format!(
                "POST {path} HTTP/1.1\r\nHost: sms.example.com\r\nContent-Length: {length}\r\n\r\n{body}"
            )
            .as_bytes(),
        );
        client.read().status
    };
    let body = r#"{"results":[{"id":"m-0","status":{"name":"LOST"}},{"id":"m-1","status":{"name":"x"}}]}"#;
    let token = path.rsplit('/').next().unwrap();
    let wrong = path.replace(token, &token.chars().rev().collect::<String>());
    for unknown in [
        &wrong,
        &path[..path.len() - 1],
        "/_carrier/get/",
        "/_carrier/get",
        &path.replace("/get/", "/simulated/"),
        &path.replace("/get/", "/none/"),
    ] {
        assert_eq!(post(unknown, body), 404, "{unknown}");
    }
    assert_eq!(post(&path, ""), 200, "somebody asks whether it is there");
    for bad in ["{", r#"{"results":[]}x"#, r#"{"hello":"world"}"#, "[1,2]", "a=b"] {
        assert!((400..500).contains(&post(&path, bad)), "{bad}");
    }
    assert_eq!(post(&path, body), 200);
    assert_eq!(post(&path, body), 200);
    desk.becomes(&id, "delivery_failed");

    // Another word makes another URL; the old one leads nowhere.
    run(&site.home, &["carrier", "set", "get", "report-key=2026"]).ok();
    let moved = listed(&site.home, "get")["reportUrl"].as_str().unwrap().to_owned();
    assert_eq!((post(&path, body), post(&moved, body)), (404, 200));
    let mut command = rookery(&site.home);
    let shown = finish(
        command.args(["carrier", "list", "--json"]).env("ROOKERY_PUBLIC_URL", "https://sms.example.com/"),
    );
    assert!(shown.stdout.contains(&format!("\"https://sms.example.com{moved}\"")), "{shown:?}");
    drop(desk);
    assert_eq!(site.balance().await, (CREDIT - PRICE, 0));
}

#[tokio::test]
async fn what_could_not_work_is_refused_when_it_is_added() {
    let home = Home::new().await;
    let url = "https://sms.example.com/send";
    for (settings, what) in [
        (&["json={\"to\":\"{recipient}\"}"][..], "json is invalid"),
        (&["json={\"text\":{text}}"], "json is invalid"),
        (&["json={\"text\":\"{text}\""], "json is invalid"),
        (&["form=to={to}&x={nothing}"], "form is invalid"),
        (&["form=to={to}", "json={}"], "form matches several"),
        (&["header-host=x"], "header is invalid"),
        (&["wndow=1"], "wndow is no setting of a carrier of the kind http, which has: url, method"),
    ] {
        let mut command = rookery(&home);
        command.args(["carrier", "add", "one", "--http", url]);
        for setting in settings {
            command.args(["--set", setting]);
        }
        finish(&mut command).fails(what);
    }
    let mut command = rookery(&home);
    finish(command.args(["carrier", "add", "one", "--http", "https://{to}.example.com/"]))
        .fails("url is invalid");
    run(&home, &["carrier", "add", "one", "--http", url, "--set", "json={\"text\":\"{text}\"}"]).ok();
    run(&home, &["carrier", "set", "one", "json={\"text\":{text}}"]).fails("json is invalid");
    run(&home, &["carrier", "set", "one", "windw=5"]).fails("windw is no setting");
}

#[tokio::test]
async fn settings_and_the_secret_can_be_changed_and_given_up() {
    let home = Home::new().await;
    let url = "https://sms.example.com/send";
    run(&home, &["carrier", "add", "one", "--http", url, "--window", "7", "--set", "header-x-key={secret}"])
        .ok();
    run(&home, &["carrier", "set", "one", "window=", "throughput=9"]).ok();
    let mut command = rookery(&home);
    command.args(["carrier", "set", "one", "--password-env", "NEW_SECRET"]).env("NEW_SECRET", "moonrise");
    finish(&mut command).ok();
    let listed = || run(&home, &["carrier", "list", "--json"]).json();
    let one =
        listed().as_array().expect("a list").iter().find(|one| one["name"] == "one").expect("it").clone();
    assert_eq!(one["settings"], json!({"header-x-key": "{secret}", "throughput": "9", "url": url}));
    let store = Store::open(home.url(), store::Options::default()).await.unwrap();
    let carriers: Vec<Carrier> = store.read((), carrier::all).await.expect("the carriers");
    let sealed = carriers.iter().find(|carrier| carrier.name == "one").and_then(|one| one.secret.clone());
    assert!(sealed.is_some_and(|sealed| !sealed.windows(8).any(|some| some == b"moonrise")), "sealed");
    // A number is not used again, since parts and receipts name it.
    run(&home, &["carrier", "remove", "one"]).ok();
    run(&home, &["carrier", "add", "two", "--simulated"]).ok();
    let two =
        listed().as_array().expect("a list").iter().find(|two| two["name"] == "two").expect("it").clone();
    assert!(two["id"].as_i64() > one["id"].as_i64(), "{two}");
}
