//! The server as its clients meet it: over sockets. What it listens on, how long it waits, how it stops, what survives
//! SIGKILL, and what it makes of bytes that are not HTTP.

use crate::support::authority::Authority;
use crate::support::books;
use crate::support::database::Home;
use crate::support::http::{self, Client};
use crate::support::process::{Server, child, finish, key_of, partner, rookery, run, within_a_second};
use std::net::TcpStream;
use std::process::Command;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A server, and the live key of an account in it.
async fn server() -> (Home, Server, String) {
    let home = Home::new().await;
    let account = partner(&home, "Acme");
    let server = Server::start(&home);
    (home, server, key_of(&account, "live").to_owned())
}

/// A server with TLS only, and its authority.
async fn encrypted() -> (Home, Server, Authority) {
    let home = Home::new().await;
    let authority = Authority::new(home.folder());
    authority.sign();
    let options = authority.options();
    let mut args = vec!["--tls-listen", "127.0.0.1:0", "--no-demo"];
    args.extend(options.iter().map(String::as_str));
    let server = Server::with(&home, &args);
    (home, server, authority)
}

#[tokio::test]
async fn tls_is_served_and_links_say_so() {
    let (home, server, authority) = encrypted().await;
    let key = key_of(&partner(&home, "Acme"), "live").to_owned();
    let mut client = authority.connect(server.tls_address(), "rest.messagebird.com", &[b"http/1.1"]).unwrap();
    let form = "msisdn=31612345678";
    client.send(
        format!(
            "POST /contacts HTTP/1.1\r\nHost: rest.messagebird.com\r\nAuthorization: AccessKey {key}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        )
        .as_bytes(),
    );
    let made = client.read();
    assert_eq!(made.status, 201, "{made:?}");
    let href = made.json()["href"].as_str().unwrap().to_owned();
    assert!(href.starts_with("https://rest.messagebird.com/contacts/"), "{href}");
    assert_eq!(client.get("/healthz", "").status, 200, "the connection is kept");
    let plain = Client::new(server.tls_address()).try_send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(plain.is_ok());
    assert_eq!(client.get("/healthz", "").status, 200, "plain HTTP on this port harms nobody else");
}

#[tokio::test]
async fn http_2_is_agreed_on_in_the_handshake() {
    let (home, server, authority) = encrypted().await;
    let chosen = |offered: &[&[u8]]| {
        let client = authority.connect(server.tls_address(), "localhost", offered).unwrap();
        client.protocol().map(<[u8]>::to_vec)
    };
    assert_eq!(chosen(&[b"h2", b"http/1.1"]), Some(b"h2".to_vec()));
    assert_eq!(chosen(&[b"http/1.1"]), Some(b"http/1.1".to_vec()));
    let key = key_of(&partner(&home, "Acme"), "live").to_owned();
    let asked = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--http2",
            "--noproxy",
            "*",
            "--write-out",
            "\n%{http_version} %{http_code}",
        ])
        .args(["--cacert", &authority.file().display().to_string()])
        .args(["--connect-to", &format!("rest.messagebird.com:443:{}", server.tls_address())])
        .args(["-H", &format!("Authorization: AccessKey {key}")])
        .args(["-d", "msisdn=31612345678", "https://rest.messagebird.com/contacts"])
        .output()
        .expect("curl runs");
    let text = String::from_utf8(asked.stdout).unwrap();
    assert!(text.ends_with("\n2 201"), "{text} {}", String::from_utf8_lossy(&asked.stderr));
    assert!(text.contains("\"href\":\"https://rest.messagebird.com/contacts/"), "{text}");
}

#[tokio::test]
async fn a_changed_certificate_is_shown_without_a_restart() {
    let (_home, server, authority) = encrypted().await;
    let shown = || authority.connect(server.tls_address(), "localhost", &[]).unwrap().certificate();
    let first = shown();
    let mut old = authority.connect(server.tls_address(), "localhost", &[]).unwrap();
    let second = authority.sign();
    assert_ne!(first, second);
    let begun = Instant::now();
    while shown() != second {
        assert!(begun.elapsed() < Duration::from_secs(6), "still the old one:\n{}", server.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(old.get("/healthz", "").status, 200, "connections of before go on");
    std::fs::write(authority.file().with_file_name("key.pem"), "soap").unwrap();
    std::thread::sleep(Duration::from_millis(2_100));
    assert_eq!(shown(), second, "a broken file leaves the old one in place");
    assert_eq!(shown(), second);
    assert!(server.log().contains("cannot be used"), "{}", server.log());
}

#[tokio::test]
async fn tls_without_a_certificate_is_refused_and_says_what_is_missing() {
    let home = Home::new().await;
    let refused = |args: &[&str], complaint: &str| {
        let done = finish(rookery(&home).arg("serve").args(args));
        assert!(matches!(done.status, Some(1 | 2)) && done.stderr.contains(complaint), "{done:?}");
    };
    refused(&["--tls-listen", "127.0.0.1:0"], "--tls-cert");
    refused(
        &["--tls-listen", "127.0.0.1:0", "--tls-cert", "absent.pem", "--tls-key", "absent.pem"],
        "absent.pem",
    );
    // The address on the command line and the certificate in the file are one setting each.
    let authority = Authority::new(home.folder());
    authority.sign();
    let [_, certificate, _, key] = authority.options();
    let text = format!("tls-cert = '{certificate}'\ntls-key = '{key}'\nno-demo = true\n");
    std::fs::write(home.folder().join("rookery.toml"), text).unwrap();
    let server = Server::with(&home, &["--tls-listen", "127.0.0.1:0"]);
    assert!(authority.connect(server.tls_address(), "localhost", &[]).is_ok());
}

#[tokio::test]
async fn several_addresses_of_both_families_are_listened_on() {
    let home = Home::new().await;
    let addresses = ["--listen", "127.0.0.1:0,[::1]:0", "--listen", "127.0.0.2:0"];
    let server = Server::with(&home, &[&addresses[..], &["--no-demo"]].concat());
    assert_eq!(server.addresses().len(), 3, "{}", server.log());
    assert!(server.addresses().iter().any(std::net::SocketAddr::is_ipv6));
    for address in server.addresses() {
        assert_eq!(http::get(*address, "/healthz", "").status, 200, "{address}");
    }
    let v6 = server.addresses().iter().find(|address| address.is_ipv6()).unwrap();
    assert_eq!(http::get(*v6, "/metrics", "").status, 200, "::1 is loopback as well");
}

#[tokio::test]
async fn metrics_have_a_listener_of_their_own_if_wanted() {
    let (home, server, key) = server().await;
    assert_eq!(http::get(server.address(), "/balance", &key).status, 200);
    let here = http::get(server.address(), "/metrics", "");
    assert_eq!(here.status, 200);
    let counted =
        "rookery_http_requests_total{surface=\"rest\",method=\"GET\",route=\"/balance\",status=\"200\"} 1";
    assert!(here.body.contains(counted), "{}", here.body);
    drop(server);

    let args = ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--no-demo"];
    let server = Server::with(&home, &args);
    assert_eq!(http::get(server.address(), "/metrics", "").status, 404);
    let log = server.log();
    let line = log.lines().find(|line| line.contains(" metrics address=")).unwrap_or_else(|| panic!("{log}"));
    let address = line.rsplit_once("address=").unwrap().1.parse().unwrap();
    let there = http::get(address, "/metrics", "");
    assert!(there.status == 200 && there.body.contains("rookery_http_requests"), "{there:?}");
}

#[tokio::test]
async fn a_connection_is_used_again_after_every_kind_of_answer() {
    let (_home, server, key) = server().await;
    let mut client = Client::new(server.address());
    for _ in 0..3 {
        assert_eq!(client.get("/healthz", "").status, 200);
        assert_eq!(client.get("/contacts", "").status, 401);
        assert_eq!(client.get("/no/such/path", &key).status, 404);
        assert_eq!(client.ask("PUT", "/balance", &key, Some("x=1")).status, 405);
        assert_eq!(client.post("/contacts", &key, "msisdn=soap").status, 422);
        assert_eq!(
            client.post("/contacts", "wrong", &"x".repeat(100_000)).status,
            401,
            "the body was read all the same"
        );
        assert_eq!(
            client.ask("DELETE", &format!("/contacts/{}", "f".repeat(32)), &key, Some("a=b")).status,
            404
        );
        assert_eq!(client.get("/balance", &key).status, 200);
    }
    client.send(format!("GET /balance HTTP/1.0\r\nAuthorization: AccessKey {key}\r\n\r\n").as_bytes());
    assert_eq!(client.read().status, 200);
    assert!(client.is_closed(), "HTTP/1.0 keeps nothing alive");
}

#[tokio::test]
async fn a_body_is_asked_for_when_the_client_expects_that() {
    let (_home, server, key) = server().await;
    let mut client = Client::new(server.address());
    let form = "msisdn=31612345678";
    client.send(
        format!(
            "POST /contacts HTTP/1.1\r\nHost: localhost\r\nAuthorization: AccessKey {key}\r\nExpect: 100-continue\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n",
            form.len()
        )
        .as_bytes(),
    );
    assert_eq!(client.read().status, 100);
    client.send(form.as_bytes());
    assert_eq!(client.read().status, 201);
    let head = "POST /contacts HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 9000000\r\n\r\n";
    client.send(head.as_bytes());
    let refused = client.read();
    assert!(
        refused.status == 422 && refused.body.contains("larger than"),
        "said before the body is sent: {refused:?}"
    );
}

#[tokio::test]
async fn a_chunked_body_is_read() {
    let (_home, server, key) = server().await;
    let mut client = Client::new(server.address());
    client.send(
        format!(
            "POST /contacts HTTP/1.1\r\nHost: localhost\r\nAuthorization: AccessKey {key}\r\n\
             Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n\
             b\r\n{{\"msisdn\":3\r\nb\r\n1612345678}}\r\n0\r\n\r\n"
        )
        .as_bytes(),
    );
    let made = client.read();
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.json()["msisdn"], 31_612_345_678_i64);
}

#[tokio::test]
async fn brackets_in_the_target_are_taken_as_they_are() {
    let (_home, server, key) = server().await;
    let mut client = Client::new(server.address());
    let contact = client.post("/contacts", &key, "msisdn=31612345678").json();
    let group = client.post("/groups", &key, "name=Regulars").json();
    let (contact, group) = (contact["id"].as_str().unwrap(), group["id"].as_str().unwrap());
    let added = client.get(&format!("/groups/{group}/contacts?_method=PUT&ids[]={contact}"), &key);
    assert_eq!(added.status, 204, "{added:?}");
    let members = client.get(&format!("/groups/{group}/contacts"), &key).json();
    assert_eq!(members["totalCount"], 1);
    assert_eq!(client.get("/contacts/[x]?a[b][]={c}|d", &key).status, 404);
}

#[tokio::test]
async fn what_is_not_http_is_refused_and_harms_nobody() {
    let (_home, server, key) = server().await;
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000));
    let headers = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(1_000));
    let bad: [(&[u8], u16); 9] = [
        (b"HELLO\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET /\x01 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: soap\r\n\r\n", 400),
        (long.as_bytes(), 414),
        (headers.as_bytes(), 431),
    ];
    for (bytes, status) in bad {
        let mut client = Client::new(server.address());
        client.send(bytes);
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]);
        assert_eq!(client.read().status, status, "{shown}");
        assert!(client.is_closed(), "{shown}");
    }
    let both = b"POST /contacts HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n";
    let mut client = Client::new(server.address());
    client.send(both);
    let answer = client.read();
    assert!(matches!(answer.status, 400 | 401), "{answer:?}");
    // A body that breaks off: the client says that it will send no more.
    let mut client = Client::new(server.address());
    client.send(
        format!(
            "POST /contacts HTTP/1.1\r\nAuthorization: AccessKey {key}\r\nContent-Length: 50\r\n\r\nmsisdn"
        )
        .as_bytes(),
    );
    client.shut();
    let answer = client.try_read();
    assert!(answer.as_ref().map_or(true, |answer| answer.status == 422), "{answer:?}");
    assert_eq!(http::get(server.address(), "/balance", &key).status, 200);
    let total = http::get(server.address(), "/contacts", &key).json();
    assert_eq!(total["totalCount"], 0, "half a body made no contact");
}

#[tokio::test]
async fn slow_and_silent_connections_are_cut_after_ten_seconds() {
    let (_home, server, _) = server().await;
    let begin = |bytes: &[u8]| {
        let mut client = Client::new(server.address());
        client.send(bytes);
        client
    };
    // Half a head, half an HTTP/2 preface, nothing at all, and nothing after a first answer.
    let mut slow = [begin(b"GET /healthz HTTP/1.1\r\nHost: lo"), begin(b"PRI * HT"), begin(b"")];
    let mut idle = begin(b"");
    assert_eq!(idle.get("/healthz", "").status, 200);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let waiting = slow.iter_mut().chain([&mut idle]).enumerate();
        let waiting: Vec<_> = waiting
            .map(|(at, client)| {
                scope.spawn(move || {
                    while client.try_read().is_ok() {}
                    (at, begun.elapsed())
                })
            })
            .collect();
        for thread in waiting {
            let (at, taken) = thread.join().unwrap();
            let limits = Duration::from_secs(9)..Duration::from_secs(12);
            assert!(limits.contains(&taken), "connection {at} was cut after {taken:?}");
        }
    });
    assert_eq!(http::get(server.address(), "/healthz", "").status, 200);
}

/// A request whose body is on its way while the server is told to stop is answered, then the server ends with 0.
async fn stops_gracefully(signal: &str) {
    let (home, mut server, key) = server().await;
    let mut idle = Client::new(server.address());
    assert_eq!(idle.get("/healthz", "").status, 200);
    let mut client = Client::new(server.address());
    client.send(
        format!(
            "POST /contacts HTTP/1.1\r\nHost: localhost\r\nAuthorization: AccessKey {key}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 18\r\n\r\nmsisdn=316"
        )
        .as_bytes(),
    );
    // Until the head has been read, it is not in flight.
    std::thread::sleep(Duration::from_millis(300));
    server.signal(signal);
    assert!(idle.is_closed(), "an idle connection is closed at once");
    within_a_second(true, || TcpStream::connect(server.address()).is_err());
    client.send(b"12345678");
    let made = client.read();
    assert_eq!(made.status, 201, "{made:?}");
    assert!(client.is_closed());
    let status = server.wait();
    assert_eq!(status.code(), Some(0), "{}", server.log());
    assert!(server.log().contains("stopped"), "{}", server.log());

    let again = Server::start(&home);
    let kept = http::get(again.address(), "/contacts", &key).json();
    assert_eq!(kept["totalCount"], 1);
}

#[tokio::test]
async fn sigterm_lets_requests_in_flight_finish() {
    stops_gracefully("TERM").await;
}

#[tokio::test]
async fn sigint_lets_requests_in_flight_finish() {
    stops_gracefully("INT").await;
}

#[tokio::test]
async fn a_stop_right_after_the_start_is_graceful() {
    let home = Home::new().await;
    let mut server = Server::start(&home);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
}

#[tokio::test]
async fn nothing_that_was_answered_is_lost_by_sigkill() {
    const WANTED: usize = 300;
    let (home, mut server, key) = server().await;
    let (address, stop, count) = (server.address(), AtomicBool::new(false), AtomicUsize::new(0));
    let answered: Vec<(String, u64)> = std::thread::scope(|scope| {
        let (count, stop, key) = (&count, &stop, &key);
        let clients: Vec<_> = (0..8_u64)
            .map(|client| {
                scope.spawn(move || {
                    let (mut connection, mut made) = (Client::new(address), Vec::new());
                    for number in 0.. {
                        let msisdn = 31_600_000_000 + client * 1_000_000 + number;
                        let form = format!("msisdn={msisdn}&firstName=Ada");
                        let request = format!(
                            "POST /contacts HTTP/1.1\r\nHost: localhost\r\nAuthorization: AccessKey {key}\r\n\
                             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
                            form.len()
                        );
                        let answer = connection.try_send(request.as_bytes()).and_then(|()| connection.try_read());
                        match answer {
                            Ok(answer) => {
                                assert_eq!(answer.status, 201, "{answer:?}");
                                made.push((answer.json()["id"].as_str().unwrap().to_owned(), msisdn));
                                count.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(_) if stop.load(Ordering::Relaxed) => return made,
                            Err(error) => panic!("{error} before the server was killed"),
                        }
                    }
                    made
                })
            })
            .collect();
        let begun = Instant::now();
        while count.load(Ordering::Relaxed) < WANTED {
            assert!(begun.elapsed() < Duration::from_mins(1), "too slow: {count:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
        stop.store(true, Ordering::Relaxed);
        server.kill();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    assert!(answered.len() >= WANTED);

    let server = Server::start(&home);
    let mut client = Client::new(server.address());
    for (id, msisdn) in &answered {
        let kept = client.get(&format!("/contacts/{id}"), &key);
        assert_eq!(kept.status, 200, "{id} was answered with 201 and is gone");
        assert_eq!(kept.json()["msisdn"], *msisdn);
    }
    let total = client.get("/contacts", &key).json()["totalCount"].as_u64().unwrap();
    let most = u64::try_from(answered.len()).unwrap() + 8;
    assert!(total <= most, "{total} contacts, {most} at most were asked for");
    drop(server);
    let store = store::Store::open(home.url(), store::Options::default()).await.unwrap();
    books::check(&store).await;
    store.close().await;
}

#[tokio::test]
async fn an_address_in_use_is_named_and_nothing_is_touched() {
    let (_home, server, key) = server().await;
    let other = Home::new().await;
    let taken = server.address().to_string();
    let done = run(&other, &["serve", "--listen", &taken]);
    done.fails(&format!("{taken} cannot be listened on"));
    assert!(!other.folder().join("rookery.db").exists() && !other.folder().join("master.key").exists());
    assert_eq!(http::get(server.address(), "/balance", &key).status, 200);
}

#[tokio::test]
async fn two_servers_on_one_database_see_each_others_changes() {
    let (home, one, key) = server().await;
    let two = Server::start(&home);
    let made = Client::new(one.address()).post("/contacts", &key, "msisdn=31612345678").json();
    let id = made["id"].as_str().unwrap();
    assert_eq!(http::get(two.address(), &format!("/contacts/{id}"), &key).status, 200, "data at once");

    let mut partner = Client::new(one.address());
    let child = partner.post("/child-accounts", &key, "name=Corner Bakery");
    assert_eq!(child.status, 201, "{child:?}");
    let child = child.json();
    let (number, childs) = (&child["id"], child["accessKeys"][0]["key"].as_str().unwrap());
    let balance = |server: &Server| http::get(server.address(), "/balance", childs).status;
    assert_eq!((balance(&one), balance(&two)), (200, 200));
    let deleted = partner.ask("DELETE", &format!("/child-accounts/{number}"), &key, None);
    assert!((200..300).contains(&deleted.status), "{deleted:?}");
    assert_eq!(balance(&one), 401, "at once where it was done");
    within_a_second(401, || balance(&two));
}

#[tokio::test]
async fn two_servers_write_at_once_and_all_counts_are_right() {
    let (home, one, key) = server().await;
    let two = Server::start(&home);
    std::thread::scope(|scope| {
        for (at, server) in [&one, &two, &two, &one].into_iter().enumerate() {
            let key = &key;
            scope.spawn(move || {
                let mut client = Client::new(server.address());
                for number in 0..25 {
                    let form = format!(
                        "msisdn={}",
                        31_610_000_000_u64 + u64::try_from(at % 2).unwrap() * 100 + number
                    );
                    let status = client.post("/contacts", key, &form).status;
                    assert!(matches!(status, 201 | 422), "{status}");
                }
            });
        }
    });
    // Each number was asked for through both servers; it is kept once.
    let total = http::get(two.address(), "/contacts", &key).json();
    assert_eq!(total["totalCount"], 50);
    let child = child(&home, &partner(&home, "Beta"), "Wool Shop");
    assert_eq!(http::get(one.address(), "/contacts", key_of(&child, "live")).json()["totalCount"], 0);
    drop((one, two));
    let store = store::Store::open(home.url(), store::Options::default()).await.unwrap();
    books::check(&store).await;
    store.close().await;
}

/// The reader is shown by a browser that reaches nothing but the server: all that it needs is in the binary.
#[tokio::test]
async fn the_documentation_is_shown_by_a_browser_without_the_internet() {
    let home = Home::new().await;
    let server = Server::start(&home);
    let folder = tempfile::tempdir().expect("a folder");
    let browser = std::env::var("ROOKERY_CHROMIUM").unwrap_or_else(|_| "chromium".into());
    let shown = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom"])
        .arg("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
        .arg(format!("--user-data-dir={}", folder.path().display()))
        .arg(format!("http://{}/docs", server.address()))
        .output()
        .expect("Chromium starts");
    let page = String::from_utf8_lossy(&shown.stdout);
    let told = String::from_utf8_lossy(&shown.stderr);
    // Not in the page as it is sent: the reader has read the document and laid it out.
    for part in
        ["opblock-tag-section", "data-path=\"/messages\"", "data-path=\"/child-accounts\"", "Send a message"]
    {
        assert!(page.contains(part), "{part} is missing from\n{page}\n{told}");
    }
    let sections: Vec<usize> = ["SMS", "Contacts", "Messaging"]
        .iter()
        .map(|tag| page.find(&format!("data-tag=\"{tag}\"")).expect("a section"))
        .collect();
    assert!(sections.is_sorted(), "what most are looking for comes first: {sections:?}");
}
