//! Whatever is thrown at an endpoint, it answers soon, in its product's shape, without a failure of ours, and logs no
//! secret: property tests over every endpoint that the routers know. The cases come from a fixed seed, so a run repeats
//! the one before.

use crate::support::platform::{call, platform_key};
use crate::support::{Answer, TestApp, live, partner_api, test};
use crate::{exact, log_watch};
use axum::http::Uri;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use rookery::core::rights::Rights;
use rookery::run::grow;
use rookery::wire::{EVENTS, Endpoint, Service};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

const CASES: u32 = 64;
const SOON: Duration = Duration::from_secs(2);
/// A number and a name that are sent and may be in no log.
const NUMBER: &str = "31687654321";
const NAME: &str = "Xyloquine";

/// Attributes that some endpoint reads, and those that the conventions give a meaning.
const NAMES: &[&str] = &[
    "msisdn",
    "firstName",
    "first_name",
    "lastName",
    "custom1",
    "customDetails",
    "name",
    "ids",
    "ids[]",
    "ids[0]",
    "ids[99999999999999999999]",
    "customDetails[custom1]",
    "email",
    "originator",
    "recipients",
    "groupIds",
    "body",
    "type",
    "typeDetails",
    "typeDetails[udh]",
    "scheduledDatetime",
    "messages",
    "limit",
    "offset",
    "page",
    "webhook_url",
    "partner_redirect_url",
    "allow_client_to_add_phone_no",
    "_method",
    "access_key",
    "[]",
    "]",
    "",
];

/// Values that somebody's parser has once failed on.
const ODD: &[&str] = &[
    "",
    " ",
    "0",
    "-1",
    "1e400",
    "-9223372036854775809",
    "9223372036854775807",
    "99999999999999999999999",
    "0x10",
    "NaN",
    "true",
    "null",
    "\0",
    "a\0b",
    "\u{feff}",
    "\u{202e}gnp",
    "\u{1f600}",
    "'; DROP TABLE contact; --",
    "%",
    "_",
    "\\",
    "../../etc/passwd",
    "=POST",
    "DELETE",
    "FOO",
    "https://",
    "http://a b/",
    "javascript:alert(1)",
    "+31 (0) 6",
    NUMBER,
    NAME,
    "ffffffffffffffffffffffffffffffff",
    "\r\n\r\n",
];

const KINDS: &[&str] = &[
    "",
    "application/json",
    "application/json; charset=utf-16",
    "APPLICATION/JSON",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "multipart/form-data",
    "multipart/form-data; boundary=",
    "text/plain",
    "text/xml",
    "application/octet-stream",
    ";",
    "json",
    "\u{fc}/\u{fc}",
];

/// JSON that some parser reads otherwise than another, or not at all.
const ODD_JSON: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-0",
    "-0.0",
    "1e400",
    "1.5",
    "123456789012345678901234567890",
    NUMBER,
    "1E-400",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"\\",
    "01",
    "{}",
    "[]",
];

/// Pieces of a path as they stand in a target.
const ODD_SEGMENTS: &[&str] = &[
    "%", "%2", "%zz", "%00", "%ff", "..", ".", "%2e%2e", "%2f", "null", "*", ":", "{id}", "a;b", "'",
    "%252f", NUMBER, NAME,
];

/// One request, but for its endpoint.
#[derive(Debug, Clone)]
struct Case {
    /// What stands behind each placeholder; `None` for an object that exists.
    segments: Vec<Option<String>>,
    trailing: &'static str,
    query: String,
    kind: &'static str,
    encoding: Option<&'static str>,
    body: Vec<u8>,
    key: Key,
}

#[derive(Debug, Clone)]
enum Key {
    InHeader,
    InQuery,
    Bad(String),
    None,
}

/// A text, often of the odd ones, often one that holds what no log may.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => select(ODD).prop_map(str::to_owned),
        1 => Just(format!("{NAME} {NUMBER}")),
        1 => any::<String>(),
        1 => vec(select(ODD), 2..5).prop_map(|odd| odd.join(",")),
        1 => (select(ODD), 1usize..400).prop_map(|(odd, times)| odd.repeat(times)),
    ]
}

/// JSON as text, since a `Value` cannot hold every number that a text can.
fn jsons() -> impl Strategy<Value = String> {
    let quoted = |text: String| Value::from(text).to_string();
    let many = move |(odd, times): (&str, usize)| {
        let items = vec![quoted(odd.to_owned()); times];
        format!("[{}]", items.join(","))
    };
    let leaf = prop_oneof![
        3 => texts().prop_map(quoted),
        1 => select(ODD_JSON).prop_map(str::to_owned),
        1 => any::<i64>().prop_map(|number| number.to_string()),
        1 => (select(ODD), 0usize..80).prop_map(many),
        1 => (1usize..2_000).prop_map(|deep| format!("{}{}", "[".repeat(deep), "]".repeat(deep))),
        1 => (1usize..2_000).prop_map(|deep| format!("{}1{}", "{\"name\":".repeat(deep), "}".repeat(deep))),
    ];
    let value = leaf.prop_recursive(3, 24, 5, move |inner| {
        let member =
            (select(NAMES), inner.clone()).prop_map(|(name, value)| format!("{}:{value}", Value::from(name)));
        prop_oneof![
            vec(inner, 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            vec(member, 0..8).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    });
    let member =
        (select(NAMES), value.clone()).prop_map(|(name, value)| format!("{}:{value}", Value::from(name)));
    let object = vec(member, 0..8).prop_map(|members| format!("{{{}}}", members.join(",")));
    prop_oneof![4 => object, 1 => value]
}

/// `a=b&c=d`, encoded or not; not all of it may stand in a target.
fn pairs() -> impl Strategy<Value = String> {
    let encoded = |text: String| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let value = prop_oneof![
        texts().prop_map(encoded),
        texts(),
        select(&["%", "%zz", "%00", "%ff%fe", "%f0%9f", "&&", "a=b=c", ";"][..]).prop_map(str::to_owned)
    ];
    vec((select(NAMES), value).prop_map(|(name, value)| format!("{name}={value}")), 0..5)
        .prop_map(|pairs| pairs.join("&"))
}

fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let part = |(name, value): (&str, String)| {
        format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let whole = |parts: Vec<String>| format!("{}--x--\r\n", parts.concat()).into_bytes();
    prop_oneof![
        4 => jsons().prop_map(String::into_bytes),
        2 => pairs().prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..60),
        1 => vec((select(NAMES), texts()).prop_map(part), 0..4).prop_map(whole),
        1 => (jsons(), any::<prop::sample::Index>()).prop_map(|(json, end)| {
            let mut bytes = json.into_bytes();
            bytes.truncate(end.index(bytes.len() + 1));
            bytes
        }),
    ]
}

/// A piece of a path, with its slashes and question marks encoded.
fn segments() -> impl Strategy<Value = String> {
    let encoded =
        |bytes: Vec<u8>| bytes.iter().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat();
    prop_oneof![
        2 => texts().prop_map(String::into_bytes).prop_map(encoded),
        1 => vec(any::<u8>(), 1..40).prop_map(encoded),
        1 => any::<u64>().prop_map(|number| number.to_string()),
        1 => select(ODD_SEGMENTS).prop_map(str::to_owned),
    ]
}

fn cases() -> impl Strategy<Value = Case> {
    let key = prop_oneof![
        8 => Just(Key::InHeader),
        2 => Just(Key::InQuery),
        1 => texts().prop_map(Key::Bad),
        1 => Just(Key::None),
    ];
    let segments = vec(prop::option::weighted(0.5, segments()), 4);
    let encoding =
        prop_oneof![9 => Just(None), 1 => select(&["gzip", "identity", "br, gzip"][..]).prop_map(Some)];
    (segments, select(&["", "/", "//"][..]), pairs(), select(KINDS), encoding, bodies(), key).prop_map(
        |(segments, trailing, query, kind, encoding, body, key)| Case {
            segments,
            trailing,
            query,
            kind,
            encoding,
            body,
            key,
        },
    )
}

/// What may stand in a request's target: the rest is refused by the HTTP library, before any code of ours.
fn writable(target: &str) -> String {
    target.chars().filter(|c| c.is_alphanumeric() || format!("/?{c}").parse::<Uri>().is_ok()).collect()
}

/// The account that throws, and what exists of it.
struct Thrower {
    app: TestApp,
    live: String,
    partner_live: String,
    api_key: String,
    handle: String,
    channel_key: std::sync::OnceLock<String>,
    /// Of the partner, for the platform's own API.
    platform_key: String,
}

impl Thrower {
    async fn new() -> Self {
        let app = TestApp::new().await;
        let partner = app.partner("Acme").await;
        let child = app.child(partner.account.id, "Corner Bakery").await;
        let (api_key, handle) = partner_api(&partner);
        let keys = [live(&partner), test(&partner), live(&child), test(&child), api_key];
        let secrets = keys.into_iter().chain([NUMBER, NAME, child.signing_key.reveal()]);
        log_watch::start(secrets.map(str::to_owned));
        Thrower {
            live: live(&child).to_owned(),
            partner_live: live(&partner).to_owned(),
            api_key: api_key.to_owned(),
            handle: handle.to_owned(),
            channel_key: std::sync::OnceLock::new(),
            platform_key: platform_key(&app, partner.account.id, Rights::ALL).await,
            app,
        }
    }

    fn key(&self, surface: &str) -> &str {
        match surface {
            "rest" => &self.live,
            "partner-accounts" => &self.partner_live,
            "waba-v2" => self.channel_key.get().map_or("none yet", String::as_str),
            "platform" => &self.platform_key,
            // Where people sign in a key is nothing.
            "hub" | "token" => &self.api_key,
            other => panic!("whose key opens {other}? Add it to `key` in tests/suite/bad_input.rs."),
        }
    }

    /// An object for each placeholder; made anew, since the endpoint before may have deleted it.
    async fn objects(&self, endpoint: &Endpoint) -> Vec<String> {
        let id = |answer: Answer| answer.expect(201)["id"].to_string().trim_matches('"').to_owned();
        let key = self.key(endpoint.surface);
        match endpoint.surface {
            "rest" => {
                // A number of its own: the endpoints before have made contacts too.
                let count = self.app.clock.now_us() / 1_000_000 % 100_000_000;
                let contact = json!({"msisdn": 49_150_000_000_000 + count});
                let contact = id(self.app.request("POST", "/contacts").key(key).json(&contact).send().await);
                let group =
                    id(self.app.request("POST", "/groups").key(key).form("name=Regulars").send().await);
                let target = format!("/groups/{group}/contacts");
                self.app
                    .request("PUT", &target)
                    .key(key)
                    .form(&format!("ids={contact}"))
                    .send()
                    .await
                    .expect(204);
                if endpoint.path.starts_with("/groups") { vec![group, contact] } else { vec![contact] }
            }
            "partner-accounts" => {
                vec![id(self
                    .app
                    .request("POST", "/child-accounts")
                    .key(key)
                    .form("name=Newcomer")
                    .send()
                    .await)]
            }
            "hub" => self.hub_objects(endpoint).await,
            "platform" => self.platform_objects(endpoint).await,
            "waba-v2" => self.channel_objects(endpoint).await,
            _ => Vec::new(),
        }
    }

    /// What an endpoint of a channel names: a file, or a template.
    async fn channel_objects(&self, endpoint: &Endpoint) -> Vec<String> {
        if self.channel_key.get().is_none() {
            let one = Endpoint { surface: "hub", method: "GET".into(), path: "/{channel_id}".into() };
            let channel = self.hub_objects(&one).await.remove(0);
            let target = format!("/api/v2/partners/{}/channels/{channel}/api_keys", self.handle);
            let made = self.app.request("POST", &target).header("x-api-key", &self.api_key).send().await;
            let key = made.expect(201)["api_key"].as_str().expect("a key").to_owned();
            self.channel_key.set(key).expect("the first");
        }
        let call = self.app.request("POST", "/_waba-v2/media").header("d360-api-key", self.key("waba-v2"));
        let media =
            call.body("image/png", "PNG").send().await.expect(200)["id"].as_str().expect("an id").to_owned();
        if endpoint.path.contains("{name}") { vec!["order".into()] } else { vec![media] }
    }

    /// The partner and what an endpoint of the hub names below it, made once.
    async fn hub_objects(&self, endpoint: &Endpoint) -> Vec<String> {
        let call = async |method: &str, below: &str, body: Value| {
            let call = self.app.request(method, &format!("/api/v2/partners/{}{below}", self.handle));
            call.header("x-api-key", &self.api_key).json(&body).send().await.json()
        };
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        // A number of its own: the cases before may have changed what was made for them.
        let count = self.app.clock.now_us() / 1_000_000 % 100_000_000;
        let body = json!({"name": "Newcomer", "email": format!("n{count}@x.example")});
        let client = text(&call("POST", "/account_sharing/clients", body).await["id"]);
        let body = json!({"client_id": client, "solution_id": "1", "waba_external_id": count.to_string()});
        call("PATCH", "", json!({"allow_client_to_add_phone_no": true})).await;
        call("POST", "/account_sharing/numbers", body).await;
        for _ in 0..4 {
            grow::turn(&self.app.store, EVENTS).await.expect("channels go on");
        }
        let filter = format!("/channels?filters=%7B%22client_id%22:%22{client}%22%7D");
        let channel = call("GET", &filter, Value::Null).await["partner_channels"][0].clone();
        let business = text(&channel["waba_account_id"]);
        let all = format!("/waba_accounts/{business}/waba_templates");
        let body = json!({"name": "order", "category": "UTILITY", "language": "en", "components": []});
        let template = text(&call("POST", &all, body).await["id"]);
        let named = |part: &str| match part {
            "{partner_id}" => Some(self.handle.clone()),
            "{client_id}" => Some(client.clone()),
            "{channel_id}" => Some(text(&channel["id"])),
            "{waba_account_id}" => Some(business.clone()),
            "{template_id}" => Some(template.clone()),
            _ => None,
        };
        endpoint.path.split('/').filter_map(named).collect()
    }

    /// A child of its own, since what is thrown may end it, and what an endpoint names below it.
    async fn platform_objects(&self, endpoint: &Endpoint) -> Vec<String> {
        let post = async |path: &str, body: Value| {
            call(&self.app, "POST", path, &self.platform_key, body).await.expect(201)
        };
        let text = |value: &Value| value.to_string().trim_matches('"').to_owned();
        let account = text(&post("/accounts", json!({"name": "Newcomer"})).await["account"]["id"]);
        let own = |below: &str| format!("/accounts/{account}{below}");
        let mut objects = Vec::new();
        for part in endpoint.path.split('/').filter(|part| part.starts_with('{')) {
            objects.push(match part {
                "{account}" => account.clone(),
                "{key}" => text(&post(&own("/keys"), json!({"mode": "live"})).await["id"]),
                "{user}" => {
                    let email = format!("{account}@new.example");
                    let user =
                        json!({"email": email, "role": "billing", "password": "correct horse battery"});
                    text(&post(&own("/users"), user).await["id"])
                }
                "{alert}" => {
                    let alert = json!({"kind": "balance", "below": "-7", "url": "http://127.0.0.1:9/"});
                    text(&post(&own("/alerts"), alert).await["id"])
                }
                "{callback}" => {
                    text(&post(&own("/webhooks/test"), json!({"url": "http://127.0.0.1:9/"})).await["id"])
                }
                "{month}" => "2024-03".into(),
                "{session}" => "018e0dae-b428-75df-a17b-979ea5f39611".into(),
                other => {
                    panic!("an object for {other}? Add it to `platform_objects` in tests/suite/bad_input.rs")
                }
            });
        }
        objects
    }

    async fn throw(&self, endpoint: &Endpoint, objects: &[String], case: &Case) -> Result<(), TestCaseError> {
        let key = self.key(endpoint.surface);
        let mut placeholders = objects.iter().zip(&case.segments);
        let path = endpoint.path.split('/').map(|part| match part.strip_prefix('{') {
            Some(_) => {
                let next = placeholders.next().map(|(real, thrown)| thrown.as_ref().unwrap_or(real).clone());
                next.expect("an object for each placeholder; add it to `objects` in tests/suite/bad_input.rs")
            }
            None => part.to_owned(),
        });
        let path = path.collect::<Vec<_>>().join("/");
        let query = match &case.key {
            Key::InQuery => format!("access_key={key}&{}", case.query),
            Key::InHeader | Key::Bad(_) | Key::None => case.query.clone(),
        };
        let target = writable(&format!("{path}{}?{query}", case.trailing));
        let mut request = exact::ask(&endpoint.method, &target);
        let sent = match &case.key {
            Key::InHeader => Some(key),
            Key::Bad(text) => Some(text.as_str()),
            Key::InQuery | Key::None => None,
        };
        // Line ends and control characters cannot be in a header; the HTTP library refuses them.
        let presentable =
            |text: &str| text.bytes().filter(|byte| *byte >= 32 && *byte != 127).collect::<Vec<u8>>();
        if let Some(sent) = sent {
            request = match endpoint.surface {
                "hub" | "token" => request.header("x-api-key", presentable(sent)),
                "waba-v2" => request.header("d360-api-key", presentable(sent)),
                "platform" => request.header("authorization", presentable(&format!("Bearer {sent}"))),
                _ => request.header("authorization", presentable(&format!("AccessKey {sent}"))),
            };
        }
        if !case.kind.is_empty() {
            request = request.header("content-type", presentable(case.kind));
        }
        if let Some(encoding) = case.encoding {
            request = request.header("content-encoding", encoding);
        }
        self.app.clock.advance(Duration::from_millis(100));
        let begun = Instant::now();
        let answer = exact::send(&self.app.service, request, case.body.clone()).await;
        let taken = begun.elapsed();
        prop_assert!(taken < SOON, "{} {target} took {taken:?}", endpoint.method);
        well_formed(endpoint.surface, &answer)
            .map_err(|why| TestCaseError::fail(format!("{} {target}: {why}: {answer:?}", endpoint.method)))?;
        let shown = format!("{:?} {}", answer.headers, String::from_utf8_lossy(&answer.body));
        prop_assert!(!shown.contains(key), "the key is in the answer");
        Ok(())
    }
}

/// Whether an answer is one that every client of the product can read.
fn well_formed(surface: &str, answer: &Answer) -> Result<(), &'static str> {
    let must = |right: bool, why: &'static str| if right { Ok(()) } else { Err(why) };
    let status = answer.status.as_u16();
    must(!answer.header("x-request-id").is_empty(), "no request id")?;
    must(
        (200..300).contains(&status) || (400..500).contains(&status),
        "a status that means our failure, or a redirect",
    )?;
    must(status != 408 && status != 429, "a status for slow and busy clients")?;
    if status == 204 {
        return must(answer.body.is_empty(), "a 204 with a body");
    }
    if surface == "waba-v2" && status == 200 && answer.header("content-disposition") == "attachment" {
        return Ok(());
    }
    if surface == "platform" && status == 200 && answer.header("content-type").starts_with("text/") {
        return Ok(());
    }
    must(answer.header("content-type") == "application/json", "not called JSON")?;
    must(
        !answer.body.windows(4).any(|four| four == b"\r\n\r\n"),
        "a blank line that the PHP SDK stumbles over",
    )?;
    let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else { return Err("not JSON") };
    if status < 300 {
        return Ok(());
    }
    match surface {
        "rest" => must([401, 404, 405, 422].contains(&status) && is_array(&body), "not the error array"),
        "partner-accounts" => match status {
            401 => must(is_array(&body), "not the error array"),
            403 => must(has_only(&body, &["message"]), "not the message"),
            404 | 405 | 422 => must(has_only(&body, &["type", "title", "detail"]), "not the problem"),
            _ => Err("a status that this host does not use"),
        },
        "hub" => {
            must([400, 401, 403, 404, 405].contains(&status) && is_meta(&body, status), "not the meta object")
        }
        "waba-v2" if status == 401 => must(has_only(&body, &["error"]), "not the text for a wrong key"),
        "waba-v2" => must(
            [400, 403, 404, 405].contains(&status)
                && (is_meta(&body, status) || body["error"]["code"].is_i64()),
            "neither the meta object nor the network's error",
        ),
        "platform" => {
            let error = &body["error"];
            let told =
                error["code"].is_string() && error["message"].is_string() && error["requestId"].is_string();
            let fields = error["fields"].as_array().is_some_and(|fields| {
                fields.is_empty() == (error["code"] != "invalid")
                    && fields.iter().all(|field| has_only(field, &["field", "code", "message"]))
            });
            let known = [400, 401, 403, 404, 405, 422].contains(&status);
            must(known && told && fields, "not the platform's error")
        }
        "token" => must(
            [400, 401, 403, 405].contains(&status) && has_only(&body, &["error", "error_description"]),
            "not the error of OAuth",
        ),
        other => {
            panic!("what shape have errors of {other}? Add it to `well_formed` in tests/suite/bad_input.rs.")
        }
    }
}

/// An object with these members, all texts, and no other.
fn has_only(body: &Value, names: &[&str]) -> bool {
    let is_text = |name: &&str| body.get(name).is_some_and(Value::is_string);
    body.as_object().is_some_and(|object| object.len() == names.len()) && names.iter().all(is_text)
}

fn is_array(body: &Value) -> bool {
    let is_error = |error: &Value| {
        let parameter = error.get("parameter").is_some_and(|one| one.is_null() || one.is_string());
        parameter
            && error["code"].is_u64()
            && error["description"].is_string()
            && error.as_object().is_some_and(|e| e.len() == 3)
    };
    let alone = body.as_object().is_some_and(|object| object.len() == 1);
    alone && body["errors"].as_array().is_some_and(|errors| !errors.is_empty() && errors.iter().all(is_error))
}

fn is_meta(body: &Value, status: u16) -> bool {
    let meta = &body["meta"];
    let details = match meta.get("details") {
        None => true,
        Some(details) => details.as_array().is_some_and(|details| details.iter().all(Value::is_string)),
    };
    let alone = body.as_object().is_some_and(|object| object.len() == 1);
    alone
        && details
        && meta["http_code"] == status
        && meta["success"] == false
        && meta["developer_message"].is_string()
}

fn runner(seed: u8) -> TestRunner {
    let config =
        Config { cases: CASES, failure_persistence: None, max_shrink_iters: 300, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]))
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[test]
fn every_endpoint_answers_whatever_is_thrown_at_it() {
    let runtime = runtime();
    let thrower = runtime.block_on(Thrower::new());
    let before = log_watch::lines();
    for (seed, endpoint) in (1..).zip(Service::endpoints().into_iter().chain(Service::platform_endpoints())) {
        let objects = runtime.block_on(thrower.objects(&endpoint));
        let outcome =
            runner(seed).run(&cases(), |case| runtime.block_on(thrower.throw(&endpoint, &objects, &case)));
        if let Err(error) = outcome {
            panic!("{} {} {}: {error}", endpoint.surface, endpoint.method, endpoint.path);
        }
    }
    // Proves that lines of other threads are seen, before saying that none held a secret.
    let said = std::thread::spawn(|| tracing::trace!(target: "rookery::test", "a line of the finest level"));
    said.join().expect("a line is logged");
    assert!(log_watch::lines() > before, "the log is watched");
    assert_eq!(log_watch::leaks(), Vec::<String>::new());
    runtime.block_on(thrower.app.settle());
}

/// Paths, hosts and methods that nobody serves, and the headers of proxies.
#[test]
fn anything_that_is_no_endpoint_is_refused_in_shape() {
    let runtime = runtime();
    let thrower = runtime.block_on(Thrower::new());
    let hosts = select(
        &[
            "localhost",
            "rest.acme.example",
            "voice.acme.example",
            "REST.",
            "",
            "[::1]:80",
            "a b",
            "<script>",
            "rest",
            "..",
            "\u{fc}",
        ][..],
    );
    let methods = select(
        &[
            "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "FOO", "get",
            "M-SEARCH",
        ][..],
    );
    let roots = select(
        &["", "/", "/_rest", "/_voice", "/_", "/_hub/", "/contacts/x", "/balance/x", "//", "/groups/x/y"][..],
    );
    let path =
        (roots, vec(segments(), 0..4)).prop_map(|(root, segments)| format!("{root}/{}", segments.join("/")));
    let proxies = vec(
        (select(&["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"][..]), texts()),
        0..3,
    );
    let all = (hosts, methods, path, pairs(), proxies, any::<bool>());
    let outcome = runner(99).run(&all, |(host, method, path, query, proxies, with_key)| {
        let target = writable(&format!("{path}?{query}"));
        let mut request = exact::ask(method, &target).header("host", host.as_bytes());
        if with_key {
            request = request
                .header("authorization", format!("AccessKey {}", thrower.live))
                .header("x-api-key", &thrower.api_key);
        }
        for (name, text) in proxies {
            request = request
                .header(name, text.bytes().filter(|byte| *byte >= 32 && *byte != 127).collect::<Vec<u8>>());
        }
        let begun = Instant::now();
        let answer = runtime.block_on(exact::send(&thrower.app.service, request, "{}"));
        prop_assert!(begun.elapsed() < SOON);
        prop_assert!(
            !answer.status.is_server_error() && answer.status != 408,
            "{method} {host} {target}: {answer:?}"
        );
        if answer.status.is_client_error() {
            let shapes = ["rest", "partner-accounts", "hub", "token", "waba-v2"];
            let fits = shapes.iter().any(|surface| well_formed(surface, &answer).is_ok());
            prop_assert!(fits, "{method} {host} {target}: {answer:?}");
        }
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    assert_eq!(log_watch::leaks(), Vec::<String>::new());
}
