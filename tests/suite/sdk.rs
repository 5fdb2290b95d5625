//! The vendor's official SDKs, unmodified, over real sockets: the programs in `tests/sdk` make every call they have.

use crate::support::authority::Authority;
use crate::support::database::Home;
use crate::support::process::{Server, child, key_of, partner, run};
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;

/// What the account has; the programs compare it.
const BALANCE: &str = "25.5";
/// What one part to a number that begins with 31 costs; the programs compare it.
const PRICE: &str = "0.061";
/// How the server runs: the programs ask fast, and take callbacks on this machine.
const SERVES: [&str; 3] = ["--no-demo", "--no-rate-limit", "--allow-private-webhooks"];

/// An account with nothing but some balance and a price.
fn account(home: &Home) -> Value {
    let account = child(home, &partner(home, "Acme"), "Corner Bakery");
    let id = account["id"].to_string();
    run(home, &["credit", &id, BALANCE]).ok();
    run(home, &["rate", "set", &id, "31", PRICE]).ok();
    account
}

/// `tests/sdk/run PROGRAM` with what it needs, and the `ok` lines that it printed.
fn program(name: &str, account: &Value, variables: &[(&str, String)]) -> Vec<String> {
    let sdks = std::env::var("ROOKERY_SDK_DIR")
        .expect("ROOKERY_SDK_DIR names the folder with the official SDKs; ./test installs them and sets it");
    let done = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/run"))
        .arg(name)
        .env("ROOKERY_SDK_DIR", sdks)
        .env("ROOKERY_KEY", key_of(account, "live"))
        .env("ROOKERY_TEST_KEY", key_of(account, "test"))
        .env("ROOKERY_SIGNING_KEY", account["signingKey"].as_str().expect("a signing key"))
        .env("ROOKERY_BALANCE", BALANCE)
        .envs(variables.iter().map(|(name, value)| (*name, value.as_str())))
        .output()
        .expect("the program starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{name} ended with {}:\n{stdout}\n{stderr}", done.status);
    stdout.lines().filter(|line| line.starts_with("ok ")).map(str::to_owned).collect()
}

/// An address of this run's own on port 443, where the Node SDK insists on calling; any port where that is refused. Each
/// program has a network of its own, since they run side by side.
fn tls_address(network: u8) -> SocketAddr {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let own = SocketAddr::from((Ipv4Addr::new(127, network, high, low), 443));
    if TcpListener::bind(own).is_ok() { own } else { SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) }
}

/// The `ok` lines of a program that the Node SDK is in.
async fn node(name: &str, network: u8) -> Vec<String> {
    let home = Home::new().await;
    let account = account(&home);
    let authority = Authority::new(home.folder());
    authority.sign();
    let (address, options) = (tls_address(network).to_string(), authority.options());
    let mut args = vec!["--tls-listen", address.as_str()];
    args.extend(SERVES);
    args.extend(options.iter().map(String::as_str));
    let server = Server::with(&home, &args);
    let variables = [
        ("ROOKERY_TLS_ADDR", server.tls_address().to_string()),
        ("ROOKERY_CA", authority.file().display().to_string()),
    ];
    program(name, &account, &variables)
}

/// The `ok` lines of a program that the Python SDK is in.
async fn python(name: &str) -> Vec<String> {
    let home = Home::new().await;
    let account = account(&home);
    let mut args = vec!["--listen", "127.0.0.1:0"];
    args.extend(SERVES);
    let server = Server::with(&home, &args);
    program(name, &account, &[("ROOKERY_ADDR", server.address().to_string())])
}

/// The `ok` lines of a program that receives what a phone wrote to three numbers, each forwarded in another form. What
/// comes before it listens is repeated on the usual schedule.
async fn receiving(name: &str, network: u8) -> Vec<String> {
    const TEXT: &str = "Grüße, 日本 & (more)*!";
    let home = Home::new().await;
    let account = account(&home);
    let id = account["id"].to_string();
    // Of this run's own, as for TLS.
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let receives = format!("127.{network}.{high}.{low}:8099");
    let mut args = vec!["--listen", "127.0.0.1:0"];
    args.extend(SERVES);
    let _server = Server::with(&home, &args);
    for form in ["get", "post", "json"] {
        let url = format!("http://{receives}/{form}?shop=7");
        run(&home, &["number", "add", "31655500099", &id, "--inbound-url", &url, "--inbound-form", form])
            .ok();
        run(&home, &["number", "receive", "31655500099", "31655500011", TEXT]).ok();
    }
    program(name, &account, &[("ROOKERY_RECEIVES", receives), ("ROOKERY_TEXT", TEXT.to_owned())])
}

#[track_caller]
fn at_least(count: usize, lines: &[String]) {
    assert!(lines.len() >= count, "{} lines: {lines:#?}", lines.len());
}

#[tokio::test]
async fn the_node_sdk_makes_all_its_calls() {
    at_least(60, &node("node", 44).await);
}

#[tokio::test]
async fn the_python_sdk_makes_all_its_calls() {
    at_least(40, &python("python").await);
}

#[tokio::test]
async fn the_node_sdk_sends_messages_and_validates_callbacks() {
    at_least(45, &node("node-messages", 45).await);
}

#[tokio::test]
async fn the_python_sdk_sends_messages_and_validates_callbacks() {
    at_least(25, &python("python-messages").await);
}

#[tokio::test]
async fn the_node_sdk_validates_what_phones_wrote() {
    at_least(3, &receiving("node-inbound", 46).await);
}

#[tokio::test]
async fn the_python_sdk_validates_what_phones_wrote() {
    at_least(3, &receiving("python-inbound", 47).await);
}

/// The `ok` lines of a program that is a partner's.
async fn of_partner(name: &str) -> Vec<String> {
    let home = Home::new().await;
    let partner = partner(&home, "Acme");
    let mut args = vec!["--listen", "127.0.0.1:0"];
    args.extend(SERVES);
    let server = Server::with(&home, &args);
    let text = |name: &str| partner[name].as_str().expect("a text").to_owned();
    let variables = [
        ("ROOKERY_ADDR", server.address().to_string()),
        ("ROOKERY_PARTNER_ID", text("partnerId")),
        ("ROOKERY_PARTNER_KEY", text("partnerApiKey")),
    ];
    program(name, &partner, &variables)
}

#[tokio::test]
async fn the_connect_button_leads_through_the_onboarding_page() {
    at_least(7, &of_partner("connect-button").await);
}

#[tokio::test]
async fn the_n8n_node_sends_and_receives_by_a_channel() {
    at_least(14, &of_partner("n8n").await);
}

#[tokio::test]
async fn the_python_client_of_channels_makes_all_its_calls() {
    at_least(5, &of_partner("waba-360").await);
}
