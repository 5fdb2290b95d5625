//! Channels that a network carries: the real server and an endpoint that speaks as Meta's Cloud API does (its
//! documentation of version 21), from the numbers that were shared to the statuses that are told, with what goes wrong
//! between the two.

use crate::hub::{WABA, text};
use crate::support::books;
use crate::support::customer::Call;
use crate::support::database::Home;
use crate::support::http::{Client, Reply};
use crate::support::process::{Server, finish, partner, rookery, run};
use crate::support::provider::{Provider, Verdict};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use store::Store;

/// What has not happened by then never will.
const WITHIN: Duration = Duration::from_secs(30);
const TOKEN: &str = "EAAG-operators-token";
const SECRET: &str = "the applications secret";
const NUMBER: &str = "1906385232743451";

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

fn ok(body: &Value) -> Verdict {
    Verdict::Answer(200, "Content-Type: application/json\r\n", body.to_string())
}

fn refused(status: u16, code: i64) -> Verdict {
    let error = json!({"error": {"message": format!("(#{code}) No"), "type": "OAuthException", "code": code,
        "error_data": {"messaging_product": "whatsapp", "details": "no"}, "fbtrace_id": "x"}});
    Verdict::Answer(status, "", error.to_string())
}

/// What the network answers to messages, in turn; when there is nothing left, that it has them.
type Script = Arc<Mutex<Vec<Verdict>>>;

/// An endpoint of the Cloud API.
fn network(script: &Script) -> Provider {
    let script = Arc::clone(script);
    let own: Arc<Mutex<Option<SocketAddr>>> = Arc::default();
    let address = Arc::clone(&own);
    let provider = Provider::new(move |before, call| {
        let path = call.target.split('?').next().unwrap_or_default();
        match (call.method.as_str(), path) {
            ("GET", "/v21.0/702100000000011/phone_numbers") => ok(&json!({"data": [
                {"verified_name": "Jasper's Market", "display_phone_number": "+1 631-555-5555", "id": NUMBER,
                 "quality_rating": "GREEN"}]})),
            ("POST", "/v21.0/1906385232743451/messages") => {
                let mut script = script.lock().expect("a script");
                if call.json()["status"] == "read" {
                    ok(&json!({"success": true}))
                } else if script.is_empty() {
                    ok(&json!({"messaging_product": "whatsapp", "contacts": [{"input": "1", "wa_id": "1"}],
                        "messages": [{"id": format!("wamid.N{before}"), "message_status": "accepted"}]}))
                } else {
                    script.remove(0)
                }
            }
            ("POST", "/v21.0/1906385232743451/media") => ok(&json!({"id": "9001"})),
            ("GET", "/v21.0/7777") => {
                let address = address.lock().expect("an address").expect("its address");
                ok(
                    &json!({"messaging_product": "whatsapp", "url": format!("http://{address}/attachments/?mid=7777&ext=1"),
                    "mime_type": "image/jpeg", "sha256": "x", "file_size": 9, "id": "7777"}),
                )
            }
            ("GET", "/attachments/") => {
                Verdict::Answer(200, "Content-Type: image/jpeg\r\n", "JPEGBYTES".to_owned())
            }
            _ => refused(404, 100),
        }
    });
    *own.lock().expect("an address") = Some(provider.address());
    provider
}

struct Site {
    home: Home,
    server: Server,
    network: Provider,
    script: Script,
    customer: Provider,
    partner: Value,
    /// What the network calls: path and token.
    hook: (String, String),
    key: String,
}

impl Site {
    async fn new(settings: &[&str]) -> Site {
        let home = Home::new().await;
        let partner = partner(&home, "Acme");
        let script = Script::default();
        let network = network(&script);
        let customer = Provider::new(|_, _| Verdict::Answer(200, "", String::new()));
        let mut command = rookery(&home);
        let url = format!("http://{}/v21.0", network.address());
        command.args([
            "transport",
            "add",
            "meta",
            "--http",
            &url,
            "--token-env",
            "META_TOKEN",
            "--secret-env",
            "META_SECRET",
        ]);
        command
            .args(["--preferred", "--json", "--set", "private=true"])
            .env("META_TOKEN", TOKEN)
            .env("META_SECRET", SECRET);
        for setting in settings {
            command.args(["--set", setting]);
        }
        let made = finish(&mut command).json();
        let hook = (text(&made["webhookUrl"]), text(&made["verifyToken"]));
        let mut command = rookery(&home);
        command.args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--no-demo",
            "--no-rate-limit",
            "--allow-private-webhooks",
        ]);
        let server = Server::serving(&mut command, 1);
        let mut site = Site { home, server, network, script, customer, partner, hook, key: String::new() };
        site.open();
        site
    }

    fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut head =
            format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        let mut client = Client::new(self.server.address());
        client.send(format!("{head}\r\n{body}").as_bytes());
        client.read()
    }

    fn hub(&self, method: &str, below: &str, body: &Value) -> Value {
        let target = format!("/api/v2/partners/{}{below}", text(&self.partner["partnerId"]));
        let reply = self.ask(
            method,
            &target,
            &[("X-API-Key", &text(&self.partner["partnerApiKey"]))],
            &body.to_string(),
        );
        assert!(reply.status < 300, "{reply:?}");
        reply.json()
    }

    fn channel(&self, method: &str, path: &str, kind: &str, body: &str) -> Reply {
        let headers = [("D360-API-KEY", self.key.as_str()), ("Content-Type", kind)];
        self.ask(method, &format!("/_waba-v2{path}"), &headers, body)
    }

    /// Shares the network's number, waits for its channel and has everything told to the customer.
    fn open(&mut self) {
        let body = json!({"name": "Bakery", "email": "it@bakery.example"});
        let client = self.hub("POST", "/account_sharing/clients", &body);
        let body = json!({"client_id": client["id"], "solution_id": "1", "waba_external_id": WABA});
        self.hub("POST", "/account_sharing/numbers", &body);
        let channel = until("a channel", || {
            let one = self.hub("GET", "/channels", &Value::Null)["partner_channels"][0].clone();
            (one["hub_status"] == "live").then_some(one)
        });
        assert_eq!(
            (
                &channel["external_id"],
                &channel["setup_info"]["phone_number"],
                &channel["setup_info"]["phone_name"]
            ),
            (&json!(NUMBER), &json!("16315555555"), &json!("Jasper's Market"))
        );
        let asked = self.network.calls().remove(0);
        assert_eq!(asked.header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
        let made = self.hub("POST", &format!("/channels/{}/api_keys", text(&channel["id"])), &json!({}));
        self.key = text(&made["api_key"]);
        let hook = json!({"url": format!("http://{}/wa", self.customer.address())});
        assert_eq!(
            self.channel("POST", "/v1/configs/webhook", "application/json", &hook.to_string()).status,
            200
        );
    }

    /// Sends and answers the name that the customer knows it by.
    fn send(&self, body: &Value) -> String {
        let sent = self.channel("POST", "/messages", "application/json", &body.to_string());
        assert_eq!(sent.status, 200, "{sent:?}");
        text(&sent.json()["messages"][0]["id"])
    }

    fn text(&self) -> String {
        self.send(&json!({"to": "31611112222", "type": "text", "text": {"body": "Hi"}}))
    }

    /// The next request with a message that the network gets.
    fn sent(&self) -> Call {
        let mut rest = Vec::new();
        until("a message at the network", || {
            rest.extend(self.network.calls().into_iter().filter(|call| call.target.ends_with("/messages")));
            (!rest.is_empty()).then(|| rest.remove(0))
        })
    }

    /// Tells something as the network does.
    fn tell(&self, value: &Value) -> u16 {
        let body = json!({"object": "whatsapp_business_account", "entry": [{"id": WABA, "changes": [
            {"field": "messages", "value": value}]}]})
        .to_string();
        self.tell_signed(&self.hook.0, &body, &signature(&body))
    }

    fn tell_signed(&self, path: &str, body: &str, signature: &str) -> u16 {
        let headers = [("X-Hub-Signature-256", signature), ("Content-Type", "application/json")];
        self.ask("POST", path, &headers, body).status
    }

    fn status(&self, reference: &str, status: &str, own: Option<&str>) {
        let mut one = json!({"id": reference, "status": status, "timestamp": "1750263773", "recipient_id": "31611112222"});
        if let Some(own) = own {
            one["biz_opaque_callback_data"] = own.into();
        }
        let value = json!({"messaging_product": "whatsapp", "metadata": {"phone_number_id": NUMBER}, "statuses": [one]});
        assert_eq!(self.tell(&value), 200);
    }

    /// What the customer is told next: the `value`.
    fn told(&self) -> Value {
        let call = until("a call", || {
            let mut calls = self.customer.calls();
            assert!(calls.len() < 2, "more than one: {calls:?}");
            calls.pop()
        });
        call.json()["entry"][0]["changes"][0]["value"].clone()
    }

    /// Waits for the next status of a message that the customer is told.
    fn told_status(&self, id: &str) -> (String, Value) {
        let status = self.told()["statuses"][0].clone();
        assert_eq!(status["id"], id, "{status}");
        (text(&status["status"]), status["errors"][0]["code"].clone())
    }

    async fn check(&self) {
        let store = Store::open(self.home.url(), store::Options::default()).await.unwrap();
        books::check(&store).await;
        store.close().await;
    }
}

fn signature(body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    format!("sha256={}", rookery::core::secret::hex(&mac.finalize().into_bytes()))
}

fn status_of(told: (String, Value)) -> String {
    told.0
}

#[tokio::test]
async fn messages_go_out_and_come_in_through_the_network() {
    let site = Site::new(&[]).await;
    let id = site.text();
    let call = site.sent();
    let body = call.json();
    assert_eq!(call.header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
    assert_eq!(
        (&body["messaging_product"], &body["to"], &body["text"]["body"]),
        (&json!("whatsapp"), &json!("31611112222"), &json!("Hi"))
    );
    assert_eq!(status_of(site.told_status(&id)), "sent");
    // The reference is the network's answer; a status is told once, and never back.
    let known = format!("wamid.N{}", site.network.count() - 1);
    for (status, told) in
        [("sent", false), ("delivered", true), ("delivered", false), ("read", true), ("delivered", false)]
    {
        site.status(&known, status, None);
        if told {
            assert_eq!(status_of(site.told_status(&id)), status);
        }
    }
    // Somebody answers to it: the message is named as its owner knows it, whoever tells it again.
    let message = json!({"from": "31611112222", "id": "wamid.IN1", "timestamp": "1750263773", "type": "text",
        "text": {"body": "Does it?"}, "context": {"from": "16315555555", "id": known}});
    let value = json!({"messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "16315555555", "phone_number_id": NUMBER},
        "contacts": [{"profile": {"name": "Sam"}, "wa_id": "31611112222"}], "messages": [message]});
    assert_eq!((site.tell(&value), site.tell(&value)), (200, 200));
    let told = site.told();
    assert_eq!(
        (&told["messages"][0]["text"]["body"], &told["contacts"][0]["profile"]["name"]),
        (&json!("Does it?"), &json!("Sam"))
    );
    assert_eq!(
        (&told["messages"][0]["context"]["id"], &told["messages"][0]["id"]),
        (&json!(id), &json!("wamid.IN1"))
    );
    let read = json!({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.IN1"});
    let marked = site.channel("POST", "/messages", "application/json", &read.to_string());
    assert_eq!((marked.status, marked.json()), (200, json!({"success": true})));
    assert_eq!(site.sent().json(), read);
    // And is answered: the network gets its own name of what we sent.
    site.send(
        &json!({"to": "31611112222", "type": "text", "text": {"body": "Yes"}, "context": {"message_id": id}}),
    );
    assert_eq!(site.sent().json()["context"]["message_id"], known.as_str());
    assert_eq!(site.told()["statuses"][0]["status"], "sent");
    // A number that is nobody's, and other fields, are taken and told to nobody.
    let mut stray = value.clone();
    stray["metadata"]["phone_number_id"] = "1".into();
    assert_eq!(site.tell(&stray), 200);
    let other = json!({"object": "whatsapp_business_account", "entry": [{"id": WABA, "changes": [{"field": "account_update", "value": {}}]}]});
    assert_eq!(site.tell_signed(&site.hook.0, &other.to_string(), &signature(&other.to_string())), 200);
    site.check().await;
}

#[tokio::test]
async fn files_go_to_the_network_and_come_from_it() {
    let site = Site::new(&[]).await;
    let up = site.channel("POST", "/media", "image/png", "PNGBYTES");
    let file = text(&up.json()["id"]);
    let image = json!({"to": "31611112222", "type": "image", "image": {"id": file, "caption": "x"}});
    let ids = [site.send(&image), site.send(&image)];
    let calls = {
        let mut calls = Vec::new();
        until("two messages", || {
            calls.extend(site.network.calls());
            (calls.iter().filter(|call| call.target.ends_with("/messages")).count() == 2).then_some(())
        });
        calls
    };
    for call in calls.iter().filter(|call| call.target.ends_with("/messages")) {
        assert_eq!(call.json()["image"], json!({"id": "9001", "caption": "x"}));
    }
    let upload = calls.iter().find(|call| call.target.ends_with("/media")).expect("an upload");
    let form = upload.text();
    assert!(
        upload.header("content-type").is_some_and(|kind| kind.starts_with("multipart/form-data; boundary="))
    );
    for part in [
        "name=\"messaging_product\"\r\n\r\nwhatsapp\r\n",
        "Content-Type: image/png\r\n\r\nPNGBYTES\r\n",
        "name=\"type\"\r\n\r\nimage/png\r\n",
    ] {
        assert!(form.contains(part), "{form}");
    }
    let mut told = Vec::new();
    until("both are told", || {
        told.extend(site.customer.calls());
        (told.len() == ids.len()).then_some(())
    });
    // One that comes in is told when its file is here.
    let message = json!({"from": "31611112222", "id": "wamid.IN2", "timestamp": "1750263773", "type": "image",
        "image": {"id": "7777", "mime_type": "image/jpeg", "sha256": "x", "caption": "look"}});
    let value = json!({"messaging_product": "whatsapp", "metadata": {"phone_number_id": NUMBER}, "messages": [message]});
    assert_eq!(site.tell(&value), 200);
    let told = site.told();
    let id = text(&told["messages"][0]["image"]["id"]);
    let view = site.channel("GET", &format!("/{id}"), "", "");
    assert_eq!(
        (view.status, &view.json()["mime_type"], &view.json()["file_size"]),
        (200, &json!("image/jpeg"), &json!(9))
    );
    let down = site.channel("GET", &format!("/v1/media/{id}"), "", "");
    assert_eq!((down.status, down.body.as_str()), (200, "JPEGBYTES"));
    site.check().await;
}

#[tokio::test]
async fn what_goes_wrong_at_the_network_is_told_or_tried_again() {
    let site = Site::new(&[]).await;
    let say = |verdicts: Vec<Verdict>| *site.script.lock().expect("a script") = verdicts;
    say(vec![refused(400, 131_047)]);
    let id = site.text();
    assert_eq!(site.told_status(&id), ("failed".to_owned(), json!(131_047)));
    // Too much, not now, broken off: it waits and goes out.
    for verdicts in
        [vec![refused(400, 130_429), Verdict::Break], vec![refused(500, 131_000), refused(401, 190)]]
    {
        say(verdicts);
        let before = site.network.count();
        let id = site.text();
        assert_eq!(status_of(site.told_status(&id)), "sent");
        assert_eq!(site.network.count(), before + 3);
    }
    site.check().await;
}

#[tokio::test]
async fn what_is_in_doubt_waits_for_its_report_or_fails_as_the_operator_says() {
    let site = Site::new(&["doubt=wait"]).await;
    *site.script.lock().expect("a script") = vec![Verdict::Break];
    let id = site.text();
    let own = text(&site.sent().json()["biz_opaque_callback_data"]);
    site.status("wamid.LATER", "delivered", Some(&own));
    let statuses = {
        let mut calls = Vec::new();
        until("two statuses", || {
            calls.extend(site.customer.calls());
            (calls.len() == 2).then_some(())
        });
        let of = |call: &Call| call.json()["entry"][0]["changes"][0]["value"]["statuses"][0].clone();
        calls.iter().map(of).collect::<Vec<_>>()
    };
    assert!(statuses.iter().all(|status| status["id"] == id.as_str()));
    assert_eq!((&statuses[0]["status"], &statuses[1]["status"]), (&json!("sent"), &json!("delivered")));
    // From now on it is known by the network's name.
    site.status("wamid.LATER", "read", None);
    assert_eq!(status_of(site.told_status(&id)), "read");
    run(&site.home, &["transport", "set", "meta", "doubt=fail"]).ok();
    std::thread::sleep(Duration::from_secs(5));
    *site.script.lock().expect("a script") = vec![Verdict::Break];
    let id = site.text();
    assert_eq!(status_of(site.told_status(&id)), "failed");
    site.check().await;
}

#[tokio::test]
async fn only_the_network_is_listened_to() {
    let site = Site::new(&[]).await;
    let (path, token) = &site.hook;
    let ask = |query: &str| site.ask("GET", &format!("{path}?{query}"), &[], "");
    let right = ask(&format!("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={token}"));
    assert_eq!((right.status, right.body.as_str()), (200, "1158201444"));
    assert_eq!(ask("hub.mode=subscribe&hub.challenge=1&hub.verify_token=x").status, 403);
    assert_eq!(ask("").status, 403);
    let body = json!({"object": "whatsapp_business_account", "entry": []}).to_string();
    assert_eq!(site.tell_signed(path, &body, &signature(&body)), 200);
    for wrong in [signature("x"), "sha256=".to_owned(), String::new()] {
        assert_eq!(site.tell_signed(path, &body, &wrong), 403, "{wrong}");
    }
    for elsewhere in [
        path.replace(token.as_str(), "x"),
        path.replace("meta", "none"),
        path.replace("meta", "simulated"),
        "/_transport".to_owned(),
    ] {
        assert_eq!(site.tell_signed(&elsewhere, &body, &signature(&body)), 404, "{elsewhere}");
    }
    for broken in ["", "{", "{}", "[]", r#"{"object":"page"}"#] {
        assert_eq!(site.tell_signed(path, broken, &signature(broken)), 422, "{broken}");
    }
    // What has another shape below is passed over.
    for odd in [
        r#"{"object":"whatsapp_business_account","entry":7}"#,
        r#"{"object":"whatsapp_business_account","entry":[{"changes":[{"field":"messages","value":{"messages":[7,{}],"statuses":"x"}}]}]}"#,
    ] {
        assert_eq!(site.tell_signed(path, odd, &signature(odd)), 200, "{odd}");
    }
}

#[tokio::test]
async fn transports_are_managed_by_command() {
    let home = Home::new().await;
    let add = |name: &str, more: &[&str]| {
        let mut command = rookery(&home);
        command.args([
            "transport",
            "add",
            name,
            "--http",
            "https://graph.example/v21.0",
            "--token-env",
            "META_TOKEN",
        ]);
        command.args(more).env("META_TOKEN", TOKEN);
        finish(&mut command)
    };
    let made = add("meta", &["--json", "--window", "20"]).json();
    assert_eq!(
        (&made["isSigned"], &made["settings"]["window"], &made["preferred"]),
        (&json!(false), &json!("20"), &json!(false))
    );
    assert!(!made.to_string().contains(TOKEN));
    add("meta", &[]).fails("name is in use");
    add("other", &["--set", "wndow=1"]).fails("setting is invalid");
    add("other", &["--set", "url=x"]).fails("url is");
    let list = || run(&home, &["transport", "list", "--json"]).json();
    assert_eq!((&list()[0]["preferred"], &list()[1]["name"]), (&json!(true), &json!("meta")));
    run(&home, &["transport", "set", "meta", "throughput=80", "--preferred"]).ok();
    assert_eq!(
        (&list()[0]["preferred"], &list()[1]["preferred"], &list()[1]["settings"]["throughput"]),
        (&json!(false), &json!(true), &json!("80"))
    );
    let before = text(&list()[1]["verifyToken"]);
    run(&home, &["transport", "set", "meta", "report-key=2"]).ok();
    assert_ne!(list()[1]["verifyToken"], before.as_str());
    run(&home, &["transport", "set", "none", "window=1"]).fails("transport not found");
    run(&home, &["transport", "set", "meta", "window=0"]).fails("window");
    run(&home, &["transport", "remove", "simulated"]).fails("name is in use");
    run(&home, &["transport", "remove", "meta"]).ok();
    assert_eq!((list().as_array().unwrap().len(), &list()[0]["preferred"]), (1, &json!(true)));
}
