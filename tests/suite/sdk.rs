//! The vendor's official SDKs, unmodified, over real sockets: the programs in `tests/sdk` make every call they have.

use crate::support::authority::Authority;
use crate::support::database::Home;
use crate::support::process::{Server, child, key_of, partner, run};
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;

/// What the account has; the programs compare it.
const BALANCE: &str = "25.5";

/// An account with an empty address book and some balance.
fn account(home: &Home) -> Value {
    let account = child(home, &partner(home, "Acme"), "Corner Bakery");
    run(home, &["credit", &account["id"].to_string(), BALANCE]).ok();
    account
}

/// `tests/sdk/run LANGUAGE` with what it needs, and the `ok` lines that it printed.
fn program(language: &str, account: &Value, variables: &[(&str, String)]) -> Vec<String> {
    let sdks = std::env::var("ROOKERY_SDK_DIR")
        .expect("ROOKERY_SDK_DIR names the folder with the official SDKs; ./test installs them and sets it");
    let done = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/run"))
        .arg(language)
        .env("ROOKERY_SDK_DIR", sdks)
        .env("ROOKERY_KEY", key_of(account, "live"))
        .env("ROOKERY_TEST_KEY", key_of(account, "test"))
        .env("ROOKERY_BALANCE", BALANCE)
        .envs(variables.iter().map(|(name, value)| (*name, value.as_str())))
        .output()
        .expect("the program starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{language} ended with {}:\n{stdout}\n{stderr}", done.status);
    stdout.lines().filter(|line| line.starts_with("ok ")).map(str::to_owned).collect()
}

/// An address of this run's own on port 443, where the Node SDK insists on calling; any port where that is refused.
fn tls_address() -> SocketAddr {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let own = SocketAddr::from((Ipv4Addr::new(127, 44, high, low), 443));
    if TcpListener::bind(own).is_ok() { own } else { SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) }
}

#[tokio::test]
async fn the_node_sdk_makes_all_its_calls() {
    let home = Home::new().await;
    let account = account(&home);
    let authority = Authority::new(home.folder());
    authority.sign();
    let (address, options) = (tls_address().to_string(), authority.options());
    let mut args = vec!["--tls-listen", address.as_str(), "--no-demo", "--no-rate-limit"];
    args.extend(options.iter().map(String::as_str));
    let server = Server::with(&home, &args);
    let variables = [
        ("ROOKERY_TLS_ADDR", server.tls_address().to_string()),
        ("ROOKERY_CA", authority.file().display().to_string()),
    ];
    let lines = program("node", &account, &variables);
    assert!(lines.len() >= 60, "{} lines: {lines:#?}", lines.len());
}

#[tokio::test]
async fn the_python_sdk_makes_all_its_calls() {
    let home = Home::new().await;
    let account = account(&home);
    let server = Server::start(&home);
    let lines = program("python", &account, &[("ROOKERY_ADDR", server.address().to_string())]);
    assert!(lines.len() >= 40, "{} lines: {lines:#?}", lines.len());
}
