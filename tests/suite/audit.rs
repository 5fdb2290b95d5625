//! The audit log over all surfaces: what changes an account leaves a line, or it is said here why not; and what is written
//! is what docs/platform-api.md says.

use crate::hub::{Hub, WABA, text};
use crate::support::channels::channel_key;
use crate::support::database::Home;
use crate::support::platform::{Levels, platform_key};
use crate::support::process::{finish_with, rookery, run};
use crate::support::{live, partner_api};
use rookery::core::AccountId;
use rookery::core::audit::{self, Line, Stretch};
use rookery::core::partner::Patch;
use rookery::core::rights::Rights;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Routes that change nothing of an account, by the file below `src/wire` and the path, and why no line tells of them.
const UNTOLD: &[(&str, &str, &str)] = &[
    ("messagebird/messages.rs", "/messages", "messages are data, and tell of themselves"),
    ("messagebird/batches.rs", "/messages/batches", "messages"),
    ("messagebird/contacts.rs", "/contacts", "contacts are the account's data, and name people"),
    ("messagebird/groups.rs", "/groups", "groups of contacts"),
    ("d360/messaging/chats.rs", "/messages", "messages"),
    ("d360/messaging/files.rs", "/media", "files of messages"),
    ("d360/messaging/files.rs", "/{media_id}", "files of messages"),
    ("d360/messaging/templates.rs", "/configs/templates", "templates are what messages are made of"),
    ("d360/businesses.rs", "/{partner_id}/waba_accounts/{waba_account_id}/waba_templates", "templates"),
    ("platform/webhooks.rs", "/accounts/{account}/webhooks/verify", "changes nothing"),
];

/// Every command, with what it writes or why it writes nothing.
const COMMANDS: &[(&str, Result<&str, &str>)] = &[
    ("serve", Err("the server")),
    ("partner create", Ok("account.create")),
    ("child create", Ok("account.create")),
    ("account suspend", Ok("account.suspend")),
    ("account resume", Ok("account.resume")),
    ("account restore", Ok("account.restore")),
    ("account delete", Ok("account.delete")),
    ("account set", Ok("account.update")),
    ("account show", Err("looks")),
    ("key list", Err("looks")),
    ("key create", Ok("key.create")),
    ("key import", Ok("key.import")),
    ("key revoke", Ok("key.revoke")),
    ("signing-key import", Ok("signing-key.import")),
    ("signing-key rotate", Ok("signing-key.rotate")),
    ("signing-key cancel-rotation", Ok("signing-key.cancel")),
    ("signing-key show-state", Err("looks")),
    ("smpp-user create", Ok("smpp-user.create")),
    ("smpp-user import", Ok("smpp-user.import")),
    ("smpp-user list", Err("looks")),
    ("smpp-user revoke", Ok("smpp-user.revoke")),
    ("operator-key create", Ok("key.create")),
    ("user create", Ok("user.create")),
    ("user list", Err("looks")),
    ("user password", Ok("user.password")),
    ("user remove", Ok("user.remove")),
    ("user reset-totp", Ok("user.totp-remove")),
    ("platform-secret rotate", Ok("platform-secret.rotate")),
    ("credit", Ok("money.top-up")),
    ("rate set", Ok("rates.set")),
    ("rate import", Ok("rates.import")),
    ("carrier add", Ok("carrier.add")),
    ("carrier list", Err("looks")),
    ("carrier set", Ok("carrier.set")),
    ("carrier remove", Ok("carrier.remove")),
    ("route add", Ok("route.add")),
    ("route list", Err("looks")),
    ("route remove", Ok("route.remove")),
    ("transport add", Ok("transport.add")),
    ("transport list", Err("looks")),
    ("transport set", Ok("transport.set")),
    ("transport remove", Ok("transport.remove")),
    ("number describe", Err("looks")),
    ("number prefixes import", Err("what is known of networks is no account's")),
    ("number prefixes clear", Err("what is known of networks is no account's")),
    ("number add", Ok("number.add")),
    ("number remove", Ok("number.remove")),
    ("number list", Err("looks")),
    ("number keyword add", Ok("number.add")),
    ("number keyword remove", Ok("number.remove")),
    ("number strays", Err("looks")),
    ("number receive", Err("a message")),
    ("opt-out add", Err("names people; every entry has its source and time")),
    ("opt-out remove", Err("names people")),
    ("opt-out list", Err("looks")),
    ("opt-out import", Err("names people; every entry has its source and time")),
    ("webhook log", Err("looks")),
    ("webhook show", Err("looks")),
    ("webhook replay", Ok("webhook.replay")),
    ("webhook replay-since", Ok("webhook.replay-many")),
    ("webhook endpoints", Err("looks")),
    ("webhook resume", Ok("webhook.resume")),
    ("erase", Err("its receipt tells of it, and names nobody")),
    ("report usage", Err("looks")),
    ("doctor", Err("looks")),
    ("openapi", Err("looks")),
    ("dev smsc", Err("has no database")),
];

/// Those that need more than a command to have something to do; their actions are looked for in the source.
const UNTRIED: [&str; 4] = ["webhook.replay", "webhook.replay-many", "webhook.resume", "user.totp-remove"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The sources below a folder, by their path there.
fn sources(folder: &str) -> BTreeMap<String, String> {
    fn walk(base: &Path, folder: &Path, found: &mut BTreeMap<String, String>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(base, &path, found);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let name = path.strip_prefix(base).expect("below").to_string_lossy().into_owned();
                found.insert(name, std::fs::read_to_string(&path).expect("a source"));
            }
        }
    }
    let (base, mut found) = (root().join(folder), BTreeMap::new());
    walk(&base, &base, &mut found);
    found
}

/// The text of a function of a source, from its name to its end.
fn function<'a>(source: &'a str, name: &str) -> Option<&'a str> {
    let at = source.find(&format!("fn {name}(")).or_else(|| source.find(&format!("fn {name}<")))?;
    source[at..].split("\n}\n").next()
}

/// Whether a function writes a line, itself or by another one of its file.
fn tells(source: &str, body: &str, depth: usize) -> bool {
    if body.contains("audited(") || body.contains("record(tx, ") {
        return true;
    }
    let names = source.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
    let called = names.filter(|name| !name.is_empty() && body.contains(&format!("{name}(")));
    depth > 0
        && called.into_iter().any(|name| {
            function(source, name).is_some_and(|other| other != body && tells(source, other, depth - 1))
        })
}

#[test]
fn every_route_that_changes_an_account_writes_a_line() {
    let (mut routes, mut silent) = (0, Vec::new());
    let mut unused: BTreeSet<(&str, &str)> = UNTOLD.iter().map(|(file, path, _)| (*file, *path)).collect();
    for (file, source) in sources("src/wire") {
        for route in source.split("#[utoipa::path(").skip(1) {
            let method = route.split(',').next().unwrap_or_default();
            if !["post", "put", "patch", "delete"].contains(&method) {
                continue;
            }
            routes += 1;
            let path = route.split("path = \"").nth(1).and_then(|rest| rest.split('"').next());
            let path = path.expect("a path");
            let body = route.split("\n}\n").next().unwrap_or_default();
            let is_below = |known: &str| {
                path == known || path.strip_prefix(known).is_some_and(|rest| rest.starts_with('/'))
            };
            let untold = UNTOLD.iter().find(|(of, known, _)| *of == file && is_below(known));
            match untold {
                Some((of, known, _)) => {
                    assert!(!tells(&source, body, 0), "{method} {path} of {file} does write a line");
                    unused.remove(&(*of, *known));
                }
                None if tells(&source, body, 2) => {}
                None => silent.push(format!("{method} {path} of {file}")),
            }
        }
    }
    assert!(routes > 70, "{routes} routes");
    assert!(
        silent.is_empty(),
        "these change something and write no line of the audit log; `core::audit::audited` does, or UNTOLD in \
         tests/suite/audit.rs says why not: {silent:#?}"
    );
    assert!(unused.is_empty(), "no such route: {unused:?}");
}

/// The actions that the sources write: a noun, a dot, a verb.
fn actions() -> BTreeSet<String> {
    let all = ["src/wire", "src/cli", "src/core"].map(sources);
    let told = all.iter().flat_map(BTreeMap::values).filter(|source| source.contains("Act::on("));
    let texts = told.flat_map(|source| source.split("#[cfg(test)]").next().unwrap_or_default().split('"'));
    let is_action = |text: &&str| {
        let word = |word: &str| {
            !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
        };
        text.split_once('.')
            .is_some_and(|(noun, verb)| word(noun) && word(verb) && !["csv", "id", "crossed"].contains(&verb))
    };
    texts.filter(is_action).map(str::to_owned).collect()
}

#[test]
fn what_is_written_is_what_the_documentation_says() {
    let page = std::fs::read_to_string(root().join("docs/platform-api.md")).expect("the page");
    let table = page.split("### What is recorded").nth(1).expect("the table of actions");
    let table = table.split("\n#").next().unwrap_or_default();
    let said: BTreeSet<String> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect();
    assert_eq!(said, actions());
    for (command, told) in COMMANDS {
        assert!(
            told.is_err_and(|why| !why.is_empty()) || said.contains(told.unwrap_or_default()),
            "{command}"
        );
    }
}

/// The commands below one, by their help.
fn leaves(home: &Home, above: &str, found: &mut BTreeSet<String>) {
    let mut args: Vec<&str> = above.split(' ').filter(|word| !word.is_empty()).collect();
    args.push("--help");
    let help = run(home, &args).ok().stdout;
    let below = help.split("Commands:\n").nth(1).and_then(|list| list.split("\n\n").next());
    let Some(below) = below else {
        found.insert(above.to_owned());
        return;
    };
    let names = below.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    for name in names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help") {
        leaves(home, format!("{above} {name}").trim(), found);
    }
}

#[tokio::test]
async fn every_command_is_known_to_write_a_line_or_not_to() {
    let home = Home::new().await;
    let mut found = BTreeSet::new();
    leaves(&home, "", &mut found);
    let known: BTreeSet<String> = COMMANDS.iter().map(|(command, _)| (*command).to_owned()).collect();
    assert_eq!(
        found, known,
        "COMMANDS in tests/suite/audit.rs says what each command writes, or why nothing"
    );
}

/// All lines of a tree, oldest first; 0 is the operator's.
async fn lines(store: &store::Store, root: i64) -> Vec<Line> {
    let all = Stretch { root: AccountId(root), account: None, before: None, limit: 500 };
    let mut lines = store.read(all, audit::list).await.expect("the log");
    lines.reverse();
    lines
}

#[tokio::test]
async fn commands_write_what_they_do() {
    let home = Home::new().await;
    let partner = run(&home, &["partner", "create", "Acme", "--json"]).json();
    let partner = partner["id"].to_string();
    let child = run(&home, &["child", "create", &partner, "Bakery", "--json"]).json()["id"].to_string();
    let rates = home.folder().join("rates.csv");
    std::fs::write(&rates, "prefix,price\n49,0.07\n").expect("a file");
    let rates = rates.to_string_lossy().into_owned();
    let with = |args: &[&str], input: &str| finish_with(rookery(&home).args(args), input).ok();
    let made = run(&home, &["key", "create", &child, "--mode", "live", "--json"]).json();
    with(&["key", "import", &child, "--mode", "live"], "an-old-key-of-25-letters");
    run(&home, &["key", "revoke", made["id"].as_str().expect("an id")]).ok();
    with(&["signing-key", "import", &child], "a-signing-key-of-at-least-32-characters");
    with(&["user", "create", &child, "ada@bakery.example"], "correct horse battery");
    with(&["user", "password", &child, "ada@bakery.example"], "another horse battery");
    with(&["smpp-user", "import", &child, "bakery2"], "secret88");
    for command in [
        format!("account set {child} report-url=https://hooks.example/?token=hidden name=Baker"),
        format!("signing-key rotate {child} --in 1h"),
        format!("signing-key cancel-rotation {child}"),
        format!("user remove {child} ada@bakery.example"),
        format!("smpp-user create {child} bakery1"),
        "smpp-user revoke bakery1".to_owned(),
        "operator-key create first".to_owned(),
        format!("platform-secret rotate {partner}"),
        format!("credit {partner} 5"),
        format!("rate set {child} 31 0.05"),
        format!("rate set {child} 31 0.05 --category marketing"),
        format!("rate import {child} {rates}"),
        "carrier add second --simulated".to_owned(),
        "route add 32 second".to_owned(),
        "route remove 32 second".to_owned(),
        "carrier remove second".to_owned(),
        format!("number add 31612345678 {child}"),
        format!("number keyword add 31612345678 pizza {child}"),
        "number keyword remove 31612345678 pizza".to_owned(),
        "number remove 31612345678".to_owned(),
        format!("account suspend {child}"),
        format!("account resume {child}"),
    ] {
        run(&home, &command.split(' ').collect::<Vec<_>>()).ok();
    }
    finish_with(
        rookery(&home).args(["carrier", "add", "smsc", "--smpp", "smsc.example:2775", "--system-id", "us"]),
        "",
    )
    .ok();
    run(&home, &["carrier", "set", "smsc", "window=5"]).ok();
    let transport = |args: &[&str]| finish_with(rookery(&home).env("TOKEN", "a-secret-token").args(args), "");
    transport(&["transport", "add", "cloud", "--http", "https://graph.example", "--token-env", "TOKEN"]).ok();
    transport(&["transport", "set", "cloud", "--token-env", "TOKEN"]).ok();
    transport(&["transport", "remove", "cloud"]).ok();
    // What a partner has closed the operator may restore, and nobody restores what is not closing.
    run(&home, &["account", "restore", &child]).fails("is not about to be deleted");
    let store = store::Store::open(home.url(), store::Options::default()).await.expect("the database");
    let of = AccountId(child.parse().expect("a number"));
    let sight = rookery::core::reach::Sight::operators(of);
    let close = rookery::core::closing::Close { sight, days: 3 };
    store.write(close, rookery::core::closing::close).await.expect("closing");
    run(&home, &["account", "resume", &child]).fails("`rookery account restore` undoes that");
    let shown = run(&home, &["account", "show", &child, "--json"]).json();
    assert_eq!((&shown["suspendedBy"], &shown["closedBy"]), (&Value::Null, &json!("operator")));
    run(&home, &["account", "restore", &child]).ok();
    run(&home, &["account", "delete", &child]).ok();

    let mut all = lines(&store, partner.parse().expect("a number")).await;
    all.extend(lines(&store, 0).await);
    let written: BTreeSet<&str> = all.iter().map(|line| line.action.as_str()).collect();
    let promised = COMMANDS.iter().filter_map(|(_, told)| told.ok()).filter(|told| !UNTRIED.contains(told));
    assert_eq!(written, promised.collect());
    let hidden = ["hidden", "a-secret-token", "an-old-key", "a-signing-key-of", "horse", "secret88"];
    for line in &all {
        assert_eq!(line.actor.kind.name(), "command-line");
        let text = format!("{line:?}");
        assert!(hidden.iter().all(|secret| !text.contains(secret)), "{text}");
    }
    store.close().await;
}

#[tokio::test]
async fn the_vendors_surfaces_write_who_did_what() {
    let hub = Hub::new().await;
    let key = live(&hub.partner).to_owned();
    let rest = async |method: &str, path: &str, body: Value| {
        hub.app.request(method, path).key(&key).json(&body).send().await
    };
    let made = rest("POST", "/child-accounts", json!({"name": "Wool Shop"})).await.expect(201);
    let wool = format!("/child-accounts/{}", made["id"]);
    rest("PATCH", &wool, json!({"name": "Wool & Co"})).await.expect(200);
    rest("PATCH", &wool, json!({})).await.expect(200);
    rest("DELETE", &wool, json!({})).await.expect(200);
    // A test key only rehearses.
    let test = crate::support::test(&hub.partner);
    let rehearsed = hub.app.request("POST", "/child-accounts").key(test).json(&json!({"name": "None"}));
    rehearsed.send().await.expect(201);
    rest("POST", "/contacts", json!({"msisdn": "31612345678"})).await.expect(201);

    let post = async |below: &str, body: Value| hub.call("POST", below).json(&body).send().await;
    hub.call("PATCH", "")
        .json(&json!({"partner_redirect_url": "https://acme.example/"}))
        .send()
        .await
        .expect(200);
    hub.call("PATCH", "").json(&json!({})).send().await.expect(200);
    post("/webhook_url", json!({"webhook_url": "https://acme.example/?token=hidden"})).await.expect(200);
    let (client, channel) = hub.channel().await;
    hub.client_again("it@bakery.example").await;
    let payload = json!({"partner_payload": "hidden", "max_channels": 3});
    hub.call("PATCH", &format!("/clients/{client}")).json(&payload).send().await.expect(200);
    let keys = format!("/channels/{channel}/api_keys");
    post(&keys, json!({})).await.expect(201);
    hub.call("DELETE", &keys).send().await.expect(200);
    let control = format!("/clients/{client}/channels/{channel}/control");
    post(&format!("{control}/cancellation_request"), json!({"enabled": true})).await.expect(200);
    post(&format!("{control}/cancellation_request"), json!({"enabled": false})).await.expect(200);
    post(&format!("{control}/reactivate"), json!({})).await.expect(200);
    hub.user("ada@acme.example", "correct horse battery").await;
    hub.set(Patch { token_sign_in: Some(true), ..Patch::default() }).await;
    let sign_in = json!({"username": "ada@acme.example", "password": "correct horse battery"});
    hub.app.request("POST", "/api/v2/token").json(&sign_in).send().await.expect(200);
    let (channel_key, _) = channel_key(&hub.app, &hub.partner, "Bakery BV", 77).await;
    let own = async |path: &str, body: Value| {
        let call = hub.app.request("POST", path).header("d360-api-key", &channel_key);
        call.json(&body).send().await.expect(200)
    };
    own("/_waba-v2/v1/configs/webhook", json!({"url": "https://bakery.example/?token=hidden"})).await;

    let partner = hub.partner.account.id.0;
    let all = lines(&hub.app.store, partner).await;
    let told: Vec<(&str, &str)> =
        all.iter().map(|line| (line.action.as_str(), line.actor.kind.name())).collect();
    let expected = [
        ("account.create", "key"),
        ("account.update", "key"),
        ("account.delete", "key"),
        ("partner.update", "key"),
        ("partner.update", "key"),
        ("account.create", "key"),
        ("channel.request", "key"),
        ("client.update", "key"),
        ("key.create", "key"),
        ("key.revoke", "key"),
        ("channel.cancel", "key"),
        ("channel.keep", "key"),
        ("channel.reactivate", "key"),
        ("session.begin", "user"),
        ("channel.request", "key"),
        ("key.create", "key"),
        ("channel.update", "key"),
    ];
    assert_eq!(told, expected);
    assert!(all.iter().all(|line| line.actor.address.as_deref() == Some("127.0.0.1")));
    assert!(!format!("{all:?}").contains("hidden"));
    assert!(WABA.len() > 1 && text(&json!(client)).ends_with("CL"));

    // The partner reads them in its own API.
    let platform = platform_key(&hub.app, hub.partner.account.id, Rights::ALL).await;
    let read =
        crate::support::platform::call(&hub.app, "GET", "/audit?limit=1", &platform, Value::Null).await;
    let newest = &read.expect(200)["items"][0];
    assert_eq!((&newest["action"], &newest["actorKind"]), (&json!("channel.update"), &json!("key")));
    assert!(partner_api(&hub.partner).1.ends_with("PA"));
    hub.app.settle().await;
}

/// What the operator did to a child its partner cannot undo, whatever surface it tries.
#[tokio::test]
async fn what_the_operator_did_only_the_operator_undoes() {
    let world = Levels::new().await;
    let (operator, partner) = (&world.operator, &world.partner_key);
    let post = async |verb: &str, key: &str| world.post(&world.of_child(verb), key, json!({})).await;
    let code = crate::support::platform::code;
    let held = (403, "held_by_operator".to_owned());

    let stopped = post("/suspend", operator).await.expect(200);
    assert_eq!((&stopped["suspendedBy"], &stopped["closedBy"]), (&json!("operator"), &Value::Null));
    let refused = post("/resume", partner).await;
    assert_eq!(code(&refused), held);
    assert!(refused.json()["error"]["message"].as_str().unwrap().contains("suspended by the operator"));
    assert_eq!(post("/suspend", partner).await.expect(200)["suspendedBy"], "operator");
    assert_eq!(code(&post("/resume", partner).await), held);
    assert_eq!(post("/resume", operator).await.expect(200)["status"], "active");
    assert_eq!(post("/suspend", partner).await.expect(200)["suspendedBy"], "partner");
    assert_eq!(post("/resume", operator).await.expect(200)["suspendedBy"], Value::Null);

    world.call("DELETE", &world.of_child(""), operator, Value::Null).await.expect(200);
    assert_eq!(code(&post("/restore", partner).await), held);
    let now = world.of_child("?graceDays=0");
    assert_eq!(code(&world.call("DELETE", &now, partner, Value::Null).await), held);
    let vendors = format!("/child-accounts/{}", world.child.account.id);
    assert_eq!(world.app.request("DELETE", &vendors).key(live(&world.partner)).send().await.status, 404);
    assert_eq!(post("/restore", operator).await.expect(200)["status"], "active");

    // Limits and caps can be made stricter, not looser; those of a partner's own the operator replaces.
    let limits = world.of_child("/limits");
    let set = async |key: &str, body: Value| world.call("PATCH", &limits, key, body).await;
    set(partner, json!({"messagesPerSecond": 50})).await.expect(200);
    let all =
        set(operator, json!({"messagesPerSecond": 10, "allowedCountries": ["NL", "BE"]})).await.expect(200);
    assert_eq!((&all["messagesPerSecond"], &all["operator"]["messagesPerSecond"]), (&json!(10), &json!(10)));
    let fields = crate::support::platform::fields;
    for looser in [
        json!({"messagesPerSecond": 11}),
        json!({"messagesPerSecond": null}),
        json!({"allowedCountries": ["NL", "DE"]}),
        json!({"allowedCountries": null}),
    ] {
        let refused = fields(&set(partner, looser.clone()).await);
        assert_eq!((refused.len(), refused[0].1.as_str()), (1, "operator_limit"), "{looser}");
    }
    let all =
        set(partner, json!({"messagesPerSecond": 5, "allowedCountries": ["NL"], "maxPrice": "0.10"})).await;
    assert_eq!(all.expect(200)["messagesPerSecond"], 5);
    set(partner, json!({"messagesPerSecond": 10, "maxPrice": null})).await.expect(200);
    let balance = world.of_child("/balance");
    let cap = async |key: &str, body: Value| world.call("PATCH", &balance, key, body).await;
    cap(operator, json!({"dayCap": "10.00"})).await.expect(200);
    for looser in [json!({"dayCap": "10.01"}), json!({"dayCap": null})] {
        let refused = fields(&cap(partner, looser).await);
        assert_eq!(refused, [("dayCap".to_owned(), "operator_limit".to_owned())]);
    }
    let all = cap(partner, json!({"dayCap": "9.00", "monthCap": "90.00"})).await.expect(200);
    assert_eq!((&all["dayCap"], &all["operatorDayCap"]), (&json!("9.00"), &json!("10.00")));
    let all = cap(operator, json!({"dayCap": null})).await.expect(200);
    assert_eq!((&all["dayCap"], &all["operatorDayCap"]), (&Value::Null, &Value::Null));
    cap(partner, json!({"dayCap": "1000.00"})).await.expect(200);
    world.app.settle().await;
}
