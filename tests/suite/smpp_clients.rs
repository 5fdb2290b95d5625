//! Clients that others have written, unmodified, as customers of the SMPP server: npm `smpp`, `PyPI` `smpplib`, and Kannel.

use crate::support::customer::{Call, Customer};
use crate::support::esme::Line;
use crate::support::http;
use serde_json::json;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything here should take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A line whose inbound messages come back to its own user.
async fn line() -> Line {
    let line = Line::new().await;
    line.run(&["account", "set", &line.id(), &format!("inbound-url=smpp:{}", line.system_id)]).ok();
    line
}

/// The `ok` lines of `tests/sdk/run PROGRAM`, as the user of a line.
fn program(name: &str, line: &Line) -> Vec<String> {
    let sdks = std::env::var("ROOKERY_SDK_DIR")
        .expect("ROOKERY_SDK_DIR names the folder with the SDKs; ./test installs them and sets it");
    let done = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/run"))
        .arg(name)
        .env("ROOKERY_SDK_DIR", sdks)
        .env("ROOKERY_SMPP", line.server.smpp_address().to_string())
        .env("ROOKERY_SYSTEM_ID", &line.system_id)
        .env("ROOKERY_PASSWORD", &line.password)
        .output()
        .expect("the program starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{name} ended with {}:\n{stdout}\n{stderr}", done.status);
    stdout.lines().filter(|line| line.starts_with("ok ")).map(str::to_owned).collect()
}

#[tokio::test]
async fn npm_smpp_is_a_customer() {
    let line = line().await;
    let lines = program("node-smpp", &line);
    assert!(lines.len() >= 14, "{lines:#?}");
    line.check().await;
}

#[tokio::test]
async fn smpplib_is_a_customer() {
    let line = line().await;
    let lines = program("python-smpp", &line);
    assert!(lines.len() >= 9, "{lines:#?}");
    line.check().await;
}

/// Kannel, with its two programs; both are killed by their ids when it is dropped.
struct Kannel {
    children: Vec<Child>,
    sendsms: SocketAddr,
    folder: tempfile::TempDir,
}

impl Kannel {
    /// Kannel as a customer's gateway: bound to a line, telling a customer's server of receipts and inbound texts.
    fn start(line: &Line, customer: &Customer) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let [admin, inner, sendsms] = free_ports();
        let smsc = line.server.smpp_address();
        let configuration = format!(
            "group = core\nadmin-port = {admin}\nadmin-password = secret\nadmin-interface = 127.0.0.1\n\
             smsbox-port = {inner}\nsmsbox-interface = 127.0.0.1\nlog-level = 0\ndlr-storage = internal\n\n\
             group = smsc\nsmsc = smpp\nsmsc-id = rookery\nhost = {}\nport = {}\nsmsc-username = \"{}\"\n\
             smsc-password = \"{}\"\nsystem-type = \"\"\ntransceiver-mode = true\nmax-pending-submits = 50\n\
             source-addr-ton = 5\nsource-addr-npi = 0\ndest-addr-ton = 1\ndest-addr-npi = 1\n\n\
             group = smsbox\nbearerbox-host = 127.0.0.1\nsendsms-port = {sendsms}\nsendsms-interface = 127.0.0.1\n\
             log-level = 0\n\n\
             group = sendsms-user\nusername = bakery\npassword = secret\nmax-messages = 9\nconcatenation = true\n\n\
             group = sms-service\nkeyword = default\nget-url = \"{}\"\nmax-messages = 0\ncatch-all = true\n",
            smsc.ip(),
            smsc.port(),
            line.system_id,
            line.password,
            customer.url("/in?from=%p&to=%P&text=%a"),
        );
        std::fs::write(folder.path().join("kannel.conf"), configuration).expect("kannel.conf is written");
        let mut kannel = Kannel { children: Vec::new(), sendsms: local(sendsms), folder };
        kannel.run("bearerbox", local(inner));
        kannel.run("smsbox", local(sendsms));
        kannel
    }

    /// Starts one of its programs and waits until it listens.
    fn run(&mut self, name: &str, address: SocketAddr) {
        // On Debian neither is in the path of everybody.
        let program = Path::new("/usr/sbin").join(name);
        assert!(program.exists(), "Kannel is missing: ./test installs it, or apt-get install kannel");
        let log = std::fs::File::create(self.folder.path().join(format!("{name}.log"))).expect("a log");
        let mut command = Command::new(program);
        command.args(["-v", "1", "kannel.conf"]).current_dir(self.folder.path()).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("the log")).stderr(log);
        self.children.push(command.spawn().expect("it starts"));
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(begun.elapsed() < PATIENCE, "{name} does not listen:\n{}", self.log(name));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(format!("{name}.log"))).unwrap_or_default()
    }

    /// Has it send a text, with receipts of all kinds to the customer's server.
    fn send(&self, customer: &Customer, name: &str, to: &str, from: &str, text: &str, more: &str) {
        let told = customer.url(&format!("/dlr?name={name}&type=%d&answer=%A"));
        let pairs =
            [("username", "bakery"), ("password", "secret"), ("to", to), ("from", from), ("text", text)];
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(pairs)
            .extend_pairs([("charset", "UTF-8"), ("dlr-mask", "31"), ("dlr-url", told.as_str())])
            .finish();
        let answer = http::get(self.sendsms, &format!("/cgi-bin/sendsms?{query}{more}"), "");
        assert_eq!(answer.status, 202, "{}\n{}", answer.body, self.log("smsbox"));
    }
}

impl Drop for Kannel {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            // It may have ended already; either way nobody is left behind.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Ports that were free a moment ago.
fn free_ports() -> [u16; 3] {
    let taken = [(); 3].map(|()| TcpListener::bind(local(0)).expect("a port"));
    taken.map(|listener| listener.local_addr().expect("an address").port())
}

/// Collects calls until so many fit.
async fn calls(
    customer: &Customer,
    kannel: &Kannel,
    count: usize,
    fits: impl Fn(&Call) -> bool,
) -> Vec<Call> {
    let (begun, mut found) = (Instant::now(), Vec::new());
    while found.len() < count {
        found.extend(customer.calls().into_iter().filter(&fits));
        let (outer, inner) = (kannel.log("smsbox"), kannel.log("bearerbox"));
        assert!(begun.elapsed() < PATIENCE, "{} of {count}:\n{found:#?}\n{outer}\n{inner}", found.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    found
}

#[tokio::test]
async fn kannel_is_a_customer() {
    let line = line().await;
    let customer = Customer::new().await;
    let kannel = Kannel::start(&line, &customer);
    // Kannel's own words: 1 delivered, 2 failed, 8 taken by the carrier, 16 refused by it.
    let told = |name: &'static str, kind: &'static str| {
        move |call: &Call| {
            call.parameter("name").as_deref() == Some(name) && call.parameter("type").as_deref() == Some(kind)
        }
    };
    kannel.send(&customer, "short", "31655500011", "Bakery", "5 € für dich", "");
    calls(&customer, &kannel, 1, told("short", "1")).await;
    kannel.send(&customer, "failed", "99900001000", "Bakery", "x", "");
    calls(&customer, &kannel, 1, told("failed", "2")).await;
    let long = "Ein langer Satz mit Umlauten: äöü. ".repeat(12);
    kannel.send(&customer, "long", "31655500012", "Bakery", long.trim_end(), "");
    calls(&customer, &kannel, 1, told("long", "1")).await;
    let wide = "Привет, это длинное сообщение. ".repeat(4);
    kannel.send(&customer, "wide", "31655500013", "Bakery", wide.trim_end(), "&coding=2");
    calls(&customer, &kannel, 1, told("wide", "1")).await;
    kannel.send(&customer, "refused", "31655500014", "far too long a name", "x", "");
    calls(&customer, &kannel, 1, told("refused", "16")).await;

    let listed = line.view("/messages?limit=100");
    let bodies: Vec<_> =
        listed["items"].as_array().expect("a list").iter().rev().map(|it| it["body"].clone()).collect();
    assert_eq!(bodies, [json!("5 € für dich"), json!("x"), json!(long.trim_end()), json!(wide.trim_end())]);

    kannel.send(&customer, "reply", "99900501000", "31655500099", "Ready?", "");
    let inbound = calls(&customer, &kannel, 1, |call| call.target.starts_with("/in?")).await;
    let shown = ["from", "to", "text"].map(|name| inbound[0].parameter(name).expect("a parameter"));
    assert!(shown[0].ends_with("99900501000") && shown[1].ends_with("31655500099"), "{shown:?}");
    assert_eq!(shown[2], "Re: Ready?");
    line.check().await;
}
