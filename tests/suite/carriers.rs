//! Carriers over SMPP, end to end: a real server, real sockets, and an SMSC of another program's on the other side.

use crate::support::authority::Authority;
use crate::support::books;
use crate::support::database::Home;
use crate::support::http::Client;
use crate::support::paying::{Payer, balances, unfinished};
use crate::support::process::{Server, child, finish, partner, rookery, run};
use crate::support::smsc::{WITHIN, carrier, ended, smsc};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::{Options, Rx, Store, sql};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};

/// What a part costs, in micro-units.
const PRICE: i64 = 50_000;

/// An installation with an account that can send, before its server starts.
struct Place {
    home: Home,
    payer: Payer,
}

impl Place {
    async fn new() -> Place {
        let home = Home::new().await;
        let partner = partner(&home, "Acme");
        Payer::new(&home, &partner, "0.02").with_credit(&home, "100");
        let made = child(&home, &partner, "Corner Bakery");
        let payer = Payer::new(&home, &made, "0.05").with_credit(&home, "100");
        Place { home, payer }
    }

    /// Adds a carrier at an address.
    fn add(&self, name: &str, address: SocketAddr, args: &[&str]) -> Value {
        let mut command = rookery(&self.home);
        command.args(["carrier", "add", name, "--smpp", &address.to_string(), "--system-id", "rookery"]);
        command.args(["--password-env", "SMSC_PASSWORD", "--json"]).args(args);
        finish(command.env("SMSC_PASSWORD", "secret")).json()
    }

    fn serve(&self) -> Serving<'_> {
        let server = Server::start(&self.home);
        let client = Client::new(server.address());
        Serving { place: self, server, client }
    }

    /// Serves where the system trusts this authority.
    fn serve_trusting(&self, authority: &Authority) -> Serving<'_> {
        let mut command = rookery(&self.home);
        command.args(["serve", "--listen", "127.0.0.1:0", "--no-demo", "--no-rate-limit"]);
        let server = Server::serving(command.env("SSL_CERT_FILE", authority.file()), 1);
        let client = Client::new(server.address());
        Serving { place: self, server, client }
    }

    async fn store(&self) -> Store {
        Store::open(self.home.url(), Options::default()).await.expect("the database")
    }

    /// The books, and that nothing is left over.
    async fn check(&self) {
        let store = self.store().await;
        books::check(&store).await;
        assert_eq!(unfinished(&store).await, (0, 0), "parts and callbacks that are not finished");
        store.close().await;
    }

    /// Parts whose carrier has named them, so that it can be asked about them.
    async fn named(&self) -> i64 {
        let store = self.store().await;
        let count: Result<i64, store::Error> = store
            .read((), async |rx: &mut Rx, (): &()| {
                rx.one(sql!("SELECT CAST(count(*) AS BIGINT) FROM part WHERE name IS NOT NULL"), &[]).await
            })
            .await;
        store.close().await;
        count.expect("a count")
    }

    /// What the sender has paid, in parts.
    async fn paid(&self) -> i64 {
        let store = self.store().await;
        let (posted, held) = balances(&store).await[&self.payer.id];
        store.close().await;
        assert_eq!(held, 0, "nothing is held at the end");
        (100_000_000 - posted) / PRICE
    }
}

struct Serving<'p> {
    place: &'p Place,
    server: Server,
    client: Client,
}

impl Serving<'_> {
    fn send(&mut self, form: &str) -> String {
        let sent = self.client.post("/messages", &self.place.payer.key, form);
        assert_eq!(sent.status, 201, "{sent:?}");
        sent.json()["id"].as_str().expect("an id").to_owned()
    }

    fn recipients(&mut self, id: &str) -> Vec<Value> {
        let seen = self.client.get(&format!("/messages/{id}"), &self.place.payer.key).json();
        seen["recipients"]["items"].as_array().expect("items").clone()
    }

    /// Waits until a message has ended at all its recipients; how, by number.
    fn ends(&mut self, id: &str) -> BTreeMap<i64, (String, Value)> {
        let begun = Instant::now();
        loop {
            let items = self.recipients(id);
            let is_open =
                |item: &Value| matches!(item["status"].as_str(), Some("sent" | "buffered" | "scheduled"));
            if !items.is_empty() && !items.iter().any(is_open) {
                let state = |item: &Value| {
                    let status = item["status"].as_str().expect("a status").to_owned();
                    (item["recipient"].as_i64().expect("a number"), (status, item["statusErrorCode"].clone()))
                };
                return items.iter().map(state).collect();
            }
            assert!(begun.elapsed() < WITHIN, "still open: {items:#?}\n{}", self.server.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the log has a word so many times.
    fn logs(&self, word: &str, times: usize) {
        let begun = Instant::now();
        while self.server.log().matches(word).count() < times {
            assert!(begun.elapsed() < WITHIN, "no {word:?}:\n{}", self.server.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What phones wrote to the account, the newest first.
    fn inbox(&mut self, count: usize) -> Vec<Value> {
        let begun = Instant::now();
        loop {
            let target = "/messages?direction=mo&limit=100";
            let list = self.client.get(target, &self.place.payer.key).json();
            let items = list["items"].as_array().expect("items").clone();
            if items.len() >= count {
                return items;
            }
            assert!(begun.elapsed() < WITHIN, "only {items:#?}\n{}", self.server.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn stop(mut self) {
        self.server.signal("TERM");
        assert!(self.server.wait().success(), "{}", self.server.log());
    }
}

fn form(recipients: &str, body: &str) -> String {
    form_urlencoded::Serializer::new(String::new())
        .append_pair("originator", "FarmShop")
        .append_pair("recipients", recipients)
        .append_pair("body", body)
        .finish()
}

/// Puts TLS in front of a carrier that has none.
async fn encrypted(authority: &Authority, carrier: SocketAddr) -> (SocketAddr, JoinSet<()>) {
    authority.sign();
    let [_, certificate, _, key] = authority.options();
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(certificate).expect("a file").map(|each| each.expect("PEM")).collect();
    let key = PrivateKeyDer::from_pem_file(key).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate");
    let tls = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((near, _)) = listener.accept().await {
            let tls = tls.clone();
            connections.spawn(async move {
                let Ok(mut near) = tls.accept(near).await else { return };
                let mut far = TcpStream::connect(carrier).await.expect("the carrier listens");
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    (address, serving)
}

fn delivered() -> (String, Value) {
    ("delivered".into(), Value::Null)
}

#[tokio::test(flavor = "multi_thread")]
async fn npm_smpp_carries_every_kind_of_message() {
    let place = Place::new().await;
    let (peer, address) = carrier("node-smsc-server");
    // Its ids are hexadecimal in answers and decimal in receipts.
    let settings = ["--default", "--set", "answer-ids=hex", "--set", "receipt-ids=decimal"];
    place.add("npm", address, &settings);
    let mut serving = place.serve();
    let long = "Ein langer Satz mit Umlauten: ä ö ü. ".repeat(12);
    let unicode = "сообщение ".repeat(12);
    let sent = [
        serving.send(&form("31612345601,31612345602", "Your crate is ready")),
        serving.send(&form("31612345603", &long)),
        serving.send(&format!("{}&datacoding=unicode", form("31612345604", &unicode))),
        serving.send(&format!("{}&type=flash", form("31612345605", "At once"))),
        serving.send(&format!("{}&type=binary", form("31612345606", "00ff7a"))),
        serving.send(&format!("{}&validity=3600", form("31612345607", "For an hour"))),
    ];
    let parts = [2, 3, 2, 1, 1, 1];
    for id in &sent {
        for (number, state) in serving.ends(id) {
            assert_eq!(state, delivered(), "{number}");
        }
    }
    let refused = serving.send(&form("31612345608", "refuse"));
    assert_eq!(serving.ends(&refused)[&31_612_345_608], ("delivery_failed".into(), json!(11)));
    serving.stop();
    drop(peer);
    place.check().await;
    assert_eq!(place.paid().await, parts.iter().sum::<i64>(), "what was refused costs nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_over_tls_is_known_by_its_certificate() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path());
    let place = Place::new().await;
    let (peer, plain) = carrier("node-smsc-server");
    let (address, _serving) = encrypted(&authority, plain).await;
    let known = ["--default", "--tls", "--set", "tls-name=localhost", "--set", "answer-ids=hex"];
    place.add("known", address, &[&known[..], &["--set", "receipt-ids=decimal"]].concat());
    place.add("stranger", address, &["--tls", "--set", "tls-name=smsc.example.com"]);
    let mut serving = place.serve_trusting(&authority);
    let long = "Ein langer Satz mit Umlauten: ä ö ü. ".repeat(12);
    let id = serving.send(&form("31612345601,31612345602", &long));
    for (number, state) in serving.ends(&id) {
        assert_eq!(state, delivered(), "{number}");
    }
    serving.logs("a carrier cannot be reached; trying again carrier=stranger", 1);
    assert!(!serving.server.log().contains("bound carrier=stranger"), "{}", serving.server.log());
    serving.stop();
    drop(peer);
    place.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pairs_of_binds_carry_long_messages_in_every_way() {
    let place = Place::new().await;
    let (mut smsc, address) = smsc(&[]);
    let ways = [("udh16", "3161"), ("sar", "3162"), ("payload", "3163")];
    for (long, prefix) in ways {
        // Receipts go to whoever has the name of who sent.
        let (way, own) = (format!("long={long}"), format!("system-id={long}"));
        let args = ["--binds", "2", "--set", "mode=tx-rx", "--set", &way, "--set", &own];
        place.add(long, address, &args);
        run(&place.home, &["route", "add", prefix, long]).ok();
    }
    let mut serving = place.serve();
    let text = "Your crate is ready, all of it. ".repeat(14);
    let id = serving.send(&form("31612345601,31622345601,31632345601", &text));
    for (number, state) in serving.ends(&id) {
        assert_eq!(state, delivered(), "{number}");
    }
    serving.stop();
    let counted = ended(&mut smsc);
    assert_eq!((&counted["binds"], &counted["accepted"]), (&json!(12), &json!(7)), "{counted}");
    place.check().await;
    assert_eq!(place.paid().await, 9, "whole or in parts, it costs the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn pypi_smpp34_reports_in_parameters() {
    let place = Place::new().await;
    let (peer, address) = carrier("python-smsc-server");
    place.add("python", address, &["--default", "--window", "3"]);
    let mut serving = place.serve();
    let id = serving.send(&form("31612345601,31612345602,31612345603,31612345604,31612345605", "Hi"));
    let states = serving.ends(&id);
    assert_eq!(states.len(), 5);
    for (number, (status, code)) in states {
        assert_eq!((status.as_str(), code), ("delivery_failed", json!(11)), "{number}");
    }
    serving.stop();
    drop(peer);
    place.check().await;
    assert_eq!(place.paid().await, 5, "the carrier took them");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_on_a_bad_day_loses_and_doubles_nothing() {
    let place = Place::new().await;
    let errors = "throttled=3%,refused=5%,undelivered=10%,twice=10%,early=20%";
    let (mut bad, address) =
        smsc(&["--errors", errors, "--seed", "5", "--delay", "5ms", "--drop-every", "97"]);
    place.add("bad", address, &["--default", "--window", "20", "--binds", "2"]);
    let mut serving = place.serve();
    let numbers: Vec<i64> = (0..200).map(|n| 31_612_340_000 + n).collect();
    let mut sent = Vec::new();
    for some in numbers.chunks(40) {
        let some: Vec<String> = some.iter().map(i64::to_string).collect();
        sent.push(serving.send(&form(&some.join(","), "Your crate is ready")));
    }
    let mut states: BTreeMap<String, usize> = BTreeMap::new();
    for id in &sent {
        for (_, (status, _)) in serving.ends(id) {
            *states.entry(status).or_default() += 1;
        }
    }
    assert_eq!(states.values().sum::<usize>(), 200, "{states:?}");
    assert!(states["delivered"] > 140, "{states:?}");
    assert!(states["delivery_failed"] > 10, "{states:?}");
    serving.stop();
    let counted = ended(&mut bad);
    assert!(counted["throttled"].as_i64() > Some(0) && counted["cut"].as_i64() > Some(0), "{counted}");
    place.check().await;
    let paid = place.paid().await;
    assert!(paid <= 200 && paid <= counted["accepted"].as_i64().expect("a count"), "{paid}: {counted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_names_what_waits_for_it() {
    let place = Place::new().await;
    let (mut late, address) = smsc(&["--delay", "1500ms"]);
    place.add("late", address, &["--default", "--set", "response-seconds=1", "--set", "doubt=wait"]);
    let mut serving = place.serve();
    let id = serving.send(&form("31612345601,31612345602", "Your crate is ready"));
    for (number, state) in serving.ends(&id) {
        assert_eq!(state, delivered(), "{number}");
    }
    serving.stop();
    assert_eq!(ended(&mut late)["accepted"], json!(2), "each was handed over once");
    place.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn npm_smpp_is_asked_about_what_it_does_not_report() {
    let place = Place::new().await;
    let (peer, address) = carrier("node-smsc-server");
    let ids = ["--default", "--set", "answer-ids=hex", "--set", "receipt-ids=decimal"];
    place.add("npm", address, &[&ids[..], &["--set", "doubt=query", "--set", "query-seconds=1"]].concat());
    let mut serving = place.serve();
    let reported = serving.send(&form("31612345601", "Your crate is ready"));
    let forgotten = serving.send(&form("31612345602,31612345603", "forget"));
    let lost = serving.send(&form("31612345604", "forget what is lost"));
    assert_eq!(serving.ends(&reported)[&31_612_345_601], delivered());
    for (number, state) in serving.ends(&forgotten) {
        assert_eq!(state, delivered(), "{number}");
    }
    assert_eq!(serving.ends(&lost)[&31_612_345_604], ("delivery_failed".into(), json!(27)));
    serving.stop();
    drop(peer);
    place.check().await;
    assert_eq!(place.paid().await, 4, "the carrier took them all");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_receipt_tells_is_asked_whoever_is_left_to_ask() {
    let place = Place::new().await;
    let errors = ["--errors", "no-receipt=100%,undelivered=30%", "--ids", "hex", "--seed", "5"];
    let (mut silent, address) = smsc(&errors);
    let ids = ["--default", "--set", "answer-ids=hex", "--set", "receipt-ids=decimal", "--window", "3"];
    place.add("silent", address, &[&ids[..], &["--set", "doubt=query", "--set", "query-seconds=2"]].concat());
    let numbers: Vec<String> = (0..40).map(|n| (31_612_340_000_i64 + n).to_string()).collect();
    let mut serving = place.serve();
    let id = serving.send(&form(&numbers.join(","), "Your crate is ready"));
    // It dies when all were taken and none was asked about, or some; the next one asks.
    let begun = Instant::now();
    while place.named().await < 40 {
        assert!(begun.elapsed() < WITHIN, "{}", serving.server.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    serving.server.signal("KILL");
    serving.server.wait();
    let mut serving = place.serve();
    let mut states: BTreeMap<String, usize> = BTreeMap::new();
    for (_, (status, code)) in serving.ends(&id) {
        assert!(code == if status == "delivered" { Value::Null } else { json!(27) }, "{status} {code}");
        *states.entry(status).or_default() += 1;
    }
    assert!(states["delivered"] > 15 && states["delivery_failed"] > 3, "{states:?}");
    serving.stop();
    let counted = ended(&mut silent);
    assert_eq!((&counted["accepted"], &counted["delivered"]), (&json!(40), &json!(0)), "{counted}");
    assert!(counted["queries"].as_i64() >= Some(40), "{counted}");
    place.check().await;
    assert_eq!(place.paid().await, 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn phones_write_in_parts_and_whole() {
    let place = Place::new().await;
    let (mut phones, address) = smsc(&[]);
    place.add("phones", address, &[]);
    run(&place.home, &["number", "add", "31655500099", &place.payer.id.to_string()]).ok();
    let mut serving = place.serve();
    serving.logs("bound carrier=phones", 1);
    let long = "Long words of a phone. ".repeat(20);
    phones.say("mo 31612345678 31655500099 Where is my crate?");
    phones.say(&format!("mo 31612345678 31655500099 {}", long.trim()));
    phones.say("mo 31612345678 31655500000 To nobody");
    let inbox = serving.inbox(2);
    let mut bodies: Vec<&str> =
        inbox.iter().map(|message| message["body"].as_str().expect("a text")).collect();
    bodies.sort_unstable();
    assert_eq!(bodies, [long.trim(), "Where is my crate?"]);
    assert_eq!(inbox[0]["originator"], json!("31612345678"));
    serving.logs("a text came to a number that nobody has", 1);
    assert!(!serving.server.log().contains("31655500000"), "numbers are masked in the log");
    serving.stop();
    place.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_down_is_stood_in_for_and_what_was_removed_is_passed_on() {
    let place = Place::new().await;
    let (mut first, one) = smsc(&[]);
    let (second, two) = smsc(&[]);
    place.add("first", one, &[]);
    place.add("second", two, &[]);
    run(&place.home, &["route", "add", "31", "first", "--priority", "10"]).ok();
    run(&place.home, &["route", "add", "31", "second", "--priority", "20"]).ok();
    let mut serving = place.serve();
    serving.logs("bound carrier=first", 1);
    let before = serving.send(&form("31612345601", "By the first"));
    assert_eq!(serving.ends(&before)[&31_612_345_601], delivered());
    let counted = ended(&mut first);
    assert_eq!(counted["accepted"], json!(1), "the second has seen nothing: {counted}");
    // Waits for the first until that is known to be down, then goes by the second.
    let after = serving.send(&form("31612345602", "By the second"));
    assert_eq!(serving.ends(&after)[&31_612_345_602], delivered());
    let carriers = run(&place.home, &["carrier", "list", "--json"]);
    let carriers = carriers.json();
    let first = &carriers.as_array().expect("carriers")[1];
    assert!(first["name"] == json!("first") && first["downSince"].is_string(), "{first}");
    let doctor = run(&place.home, &["doctor"]);
    assert!(doctor.status == Some(1) && doctor.stdout.contains("first is down since"), "{doctor:?}");
    drop(second);
    serving.logs("a carrier is down", 2);
    // Nobody takes it until the simulated carrier gets the numbers of those that are removed.
    let last = serving.send(&form("31612345603", "By whoever is left"));
    run(&place.home, &["carrier", "remove", "first"]).ok();
    run(&place.home, &["carrier", "remove", "second"]).ok();
    assert_eq!(serving.ends(&last)[&31_612_345_603], delivered());
    serving.stop();
    place.check().await;
}
