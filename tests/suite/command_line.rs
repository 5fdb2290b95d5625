//! The commands of the public interface, run as processes: what each prints, its exit status, what it changes, and what
//! a running server makes of it. `startup` has settings, keys to the database and demo accounts.

use crate::support::books;
use crate::support::database::Home;
use crate::support::http;
use crate::support::process::{
    MASTER_KEY, Server, bare, child, finish, finish_with, key_of, partner, rookery, run, within_a_second,
};
use serde_json::{Value, json};

/// The names of an object's members, in their order.
fn names(object: &Value) -> Vec<&str> {
    object.as_object().expect("an object").keys().map(String::as_str).collect()
}

fn id(account: &Value) -> String {
    account["id"].to_string()
}

/// Whether a text is letters and digits only, so many of them.
fn is_alphanumeric(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn check_keys(account: &Value) {
    let keys = account["accessKeys"].as_array().unwrap();
    assert_eq!(keys.iter().map(|key| key["mode"].as_str().unwrap()).collect::<Vec<_>>(), ["live", "test"]);
    for key in keys {
        assert_eq!(names(key), ["id", "key", "mode"]);
        let uuid = key["id"].as_str().unwrap();
        let dashes: Vec<usize> = uuid.match_indices('-').map(|(at, _)| at).collect();
        assert_eq!((uuid.len(), dashes), (36, vec![8, 13, 18, 23]), "{uuid}");
    }
    assert!(is_alphanumeric(key_of(account, "live"), 25));
    assert!(is_alphanumeric(key_of(account, "test").strip_prefix("test_").unwrap(), 25));
    assert!(is_alphanumeric(account["signingKey"].as_str().unwrap(), 32));
    let number = account["id"].as_i64().unwrap();
    assert!((1_000_000..1_000_000_000).contains(&number) && number < 1 << 31, "{number}");
}

#[tokio::test]
async fn partner_and_child_are_created_in_an_empty_database_and_printed_as_promised() {
    let home = Home::new().await;
    let partner = partner(&home, "Acme");
    let all = ["id", "partnerId", "name", "accessKeys", "signingKey", "partnerApiKey"];
    assert_eq!(names(&partner), all);
    check_keys(&partner);
    let handle = partner["partnerId"].as_str().unwrap();
    assert!(is_alphanumeric(handle, 8) && handle.ends_with("PA"), "{handle}");
    assert!(is_alphanumeric(partner["partnerApiKey"].as_str().unwrap(), 40));
    assert_eq!(partner["name"], "Acme");

    let by_number = child(&home, &partner, "Corner Bakery");
    assert_eq!(names(&by_number), ["id", "name", "accessKeys", "signingKey"]);
    check_keys(&by_number);
    let by_handle = run(&home, &["child", "create", handle, "Wool Shop", "--json"]).json();
    assert_eq!(by_handle["name"], "Wool Shop");
    let nested = run(&home, &["child", "create", &id(&by_number), "Grandchild", "--json"]);
    nested.fails("is not a partner");

    let shown = run(&home, &["partner", "create", "Shown to people"]).ok().stdout;
    for word in
        ["id ", "partner id ", "live key ", "test key ", "signing key ", "X-API-Key ", "shown this once"]
    {
        assert!(shown.contains(word), "{word:?} is not in:\n{shown}");
    }
    run(&home, &["partner", "create", " ", "--json"]).fails("name");
    run(&home, &["partner", "create", "Acme", "--currency", "EURO"]).fails("currency");
}

#[tokio::test]
async fn a_childs_currency_is_its_partners_and_another_is_refused() {
    let home = Home::new().await;
    let partner = run(&home, &["partner", "create", "Acme", "--currency", "usd", "--json"]).json();
    let child = child(&home, &partner, "Corner Bakery");
    let shown = run(&home, &["account", "show", &id(&child), "--json"]).json();
    assert_eq!(shown["currency"], "USD");
    run(&home, &["credit", &id(&child), "5", "EUR"]).fails("is not the account's currency");
    run(&home, &["rate", "set", &id(&child), "31", "0.05", "EUR"]).fails("is not the account's currency");
    let credited = run(&home, &["credit", &id(&child), "5", "USD", "--json"]).json();
    assert_eq!(credited, json!({"id": child["id"], "balance": "5.00", "currency": "USD"}));
}

#[tokio::test]
async fn credit_moves_money_in_the_books() {
    let home = Home::new().await;
    let partner = partner(&home, "Acme");
    let handle = partner["partnerId"].as_str().unwrap();
    assert_eq!(run(&home, &["credit", handle, "25.00", "EUR"]).ok().stdout, "balance 25.00 EUR\n");
    assert_eq!(run(&home, &["credit", handle, "-0.000001"]).ok().stdout, "balance 24.999999 EUR\n");
    run(&home, &["credit", handle, "0"]).fails("amount");
    run(&home, &["credit", handle, "1,5"]).fails("an amount such as 25.50 is needed");
    run(&home, &["credit", handle, "0.0000001"]).fails("at most six decimals");
    run(&home, &["credit", handle, "9000000000000"]).fails("amount");
    run(&home, &["credit", "1", "5"]).fails("account not found");
    let shown = run(&home, &["account", "show", handle, "--json"]).json();
    assert_eq!(shown["balance"], "24.999999");
    let store = store::Store::open(home.url(), store::Options::default()).await.unwrap();
    books::check(&store).await;
    store.close().await;
}

#[tokio::test]
async fn rates_are_set_by_prefix() {
    let home = Home::new().await;
    let id = id(&partner(&home, "Acme"));
    for args in [["31", "0.075"], ["", "0.1"], ["31", "0"]] {
        let done = run(&home, &["rate", "set", &id, args[0], args[1]]).ok();
        assert_eq!(done.stdout, "");
    }
    run(&home, &["rate", "set", &id, "+31", "0.05"]).fails("prefix");
    run(&home, &["rate", "set", &id, "31", "--", "-0.05"]).fails("amount");
    run(&home, &["rate", "set", &id, "31", "cheap"]).fails("an amount such as 25.50 is needed");
}

#[tokio::test]
async fn an_account_is_shown_and_set() {
    let home = Home::new().await;
    let partner = partner(&home, "Acme");
    let child = child(&home, &partner, "Corner Bakery");
    let handle = partner["partnerId"].as_str().unwrap();
    let shown = run(&home, &["account", "show", handle, "--json"]).json();
    let common = "id name email status suspendedBy closesDatetime closedBy currency payment balance held \
                  creditLimit invoiceAggregation originator reportUrl inboundUrl timeZone legacySignature \
                  retentionDays inboundForm stopWords startWords createdDatetime";
    let common: Vec<&str> = common.split(' ').collect();
    let partners = ["partnerId", "country", "logoUrl", "webhookUrl", "redirectUrl", "clientsAddNumbers"];
    assert_eq!(names(&shown), [&common[..], &partners[..]].concat());
    let created = shown["createdDatetime"].clone();
    let expected = json!({
        "id": partner["id"], "name": "Acme", "email": "", "status": "active", "suspendedBy": null,
        "closesDatetime": null, "closedBy": null, "currency": "EUR", "payment": "prepaid",
        "balance": "0.00", "held": "0.00", "creditLimit": "0.00", "invoiceAggregation": true,
        "originator": null, "reportUrl": null, "inboundUrl": null, "timeZone": "UTC", "legacySignature": true,
        "retentionDays": null, "inboundForm": "get", "stopWords": null, "startWords": null,
        "createdDatetime": created, "partnerId": handle, "country": "ZZ", "logoUrl": null, "webhookUrl": null,
        "redirectUrl": null, "clientsAddNumbers": true,
    });
    assert_eq!(shown, expected);

    let settings = [
        "name=Acme Ltd",
        "email=ops@acme.example",
        "payment=postpaid",
        "credit-limit=50",
        "invoice-aggregation=false",
        "originator=Acme",
        "report-url=https://acme.example/dlr?a=b",
        "inbound-url=https://acme.example/in",
        "time-zone=Europe/Amsterdam",
        "legacy-signature=no",
        "retention-days=30",
        "country=NL",
        "webhook-url=https://acme.example/hook",
        "clients-add-numbers=no",
    ];
    let done = run(&home, &[&["account", "set", handle][..], &settings[..]].concat()).ok();
    assert_eq!(done.stdout, "");
    let seen = run(&home, &["account", "show", &id(&partner), "--json"]).json();
    for (name, value) in [
        ("name", json!("Acme Ltd")),
        ("email", json!("ops@acme.example")),
        ("payment", json!("postpaid")),
        ("creditLimit", json!("50.00")),
        ("invoiceAggregation", json!(false)),
        ("originator", json!("Acme")),
        ("reportUrl", json!("https://acme.example/dlr?a=b")),
        ("inboundUrl", json!("https://acme.example/in")),
        ("timeZone", json!("Europe/Amsterdam")),
        ("legacySignature", json!(false)),
        ("retentionDays", json!(30)),
        ("country", json!("NL")),
        ("webhookUrl", json!("https://acme.example/hook")),
        ("clientsAddNumbers", json!(false)),
    ] {
        assert_eq!(seen[name], value, "{name}");
    }
    for (setting, complaint) in [
        ("nmae=x", "nmae is no setting"),
        ("originator=x", "originator is invalid"),
        ("report-url=ftp://acme.example", "report-url is invalid"),
        ("time-zone=Mars/Olympus", "time-zone is invalid"),
        ("retention-days=0", "retention-days is invalid"),
        ("name", "NAME=VALUE is needed"),
        ("name=", "name must not be empty"),
        ("payment=cash", "payment is prepaid or postpaid"),
        ("credit-limit=-5", "credit-limit"),
        ("country=Netherlands", "country"),
        ("webhook-url=ftp://acme.example", "webhook-url"),
        ("invoice-aggregation=perhaps", "true or false"),
    ] {
        run(&home, &["account", "set", handle, setting]).fails(complaint);
    }
    run(&home, &["account", "set", &id(&child), "country=NL"]).fails("not found");
    let shown = run(&home, &["account", "show", &id(&child), "--json"]).json();
    assert_eq!(names(&shown), [&common[..], &["partner"]].concat());
    assert_eq!(shown["partner"], partner["id"]);
    let text = run(&home, &["account", "show", &id(&child)]).ok().stdout;
    assert!(text.contains("Corner Bakery") && text.contains("prepaid"), "{text}");
    run(&home, &["account", "show", "4040404", "--json"]).fails("account not found");
    run(&home, &["account", "show", "NoSuchPA"]).fails("account not found");
}

#[tokio::test]
async fn several_settings_are_set_together_or_not_at_all() {
    let home = Home::new().await;
    let id = id(&partner(&home, "Acme"));
    run(&home, &["account", "set", &id, "email=a@acme.example", "country=nowhere"]).fails("country");
    let shown = run(&home, &["account", "show", &id, "--json"]).json();
    assert_eq!(shown["email"], "", "the first setting was kept though the second was refused");
}

#[tokio::test]
async fn keys_are_listed_created_and_revoked() {
    let home = Home::new().await;
    let partner = partner(&home, "Acme");
    let child = child(&home, &partner, "Corner Bakery");
    let made =
        run(&home, &["key", "create", &id(&child), "--mode", "live", "--name", "shop", "--json"]).json();
    assert_eq!((names(&made), &made["mode"]), (vec!["id", "key", "mode"], &json!("live")));
    let test = run(&home, &["key", "create", &id(&child), "--mode", "test", "--json"]).json();
    assert!(test["key"].as_str().unwrap().starts_with("test_"));
    let handle = partner["partnerId"].as_str().unwrap();
    let api = run(&home, &["key", "create", handle, "--mode", "partner", "--json"]).json();
    assert_eq!(api["mode"], "partner");
    run(&home, &["key", "create", &id(&child), "--mode", "partner"]).fails("is not a partner");
    assert_eq!(run(&home, &["key", "create", &id(&child), "--mode", "operator"]).status, Some(2));

    let shop = made["id"].as_str().unwrap();
    assert_eq!(run(&home, &["key", "revoke", shop]).ok().stdout, "");
    run(&home, &["key", "revoke", shop]).fails("key not found");
    run(&home, &["key", "revoke", "soap"]).fails("soap is no key id");
    let listed = run(&home, &["key", "list", &id(&child), "--json"]).json();
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len(), 4);
    assert_eq!(names(&listed[0]), ["id", "mode", "name", "createdDatetime", "revokedDatetime"]);
    let shown = listed.iter().find(|key| key["id"] == shop).unwrap();
    assert_eq!(shown["name"], "shop");
    assert!(shown["revokedDatetime"].is_string() && listed[0]["revokedDatetime"].is_null());
    let text = run(&home, &["key", "list", &id(&child)]).ok().stdout;
    assert!(text.contains("works") && text.contains("revoked 20"), "{text}");
    let every = [made["key"].as_str().unwrap(), key_of(&child, "live"), key_of(&child, "test")];
    assert!(every.iter().all(|secret| !text.contains(secret)), "a list shows no secret");
    run(&home, &["key", "list", "4040404"]).fails("account not found");
}

#[tokio::test]
async fn existing_keys_are_imported_from_standard_input_only() {
    let home = Home::new().await;
    let partner = partner(&home, "Acme");
    let (id, other) = (id(&partner), id(&child(&home, &partner, "Corner Bakery")));
    let import = |account: &str, text: &str| {
        finish_with(rookery(&home).args(["key", "import", account, "--mode", "live", "--json"]), text)
    };
    for text in
        ["short", "fifteen-of-them", "", &"x".repeat(65), "with blanks in the middle", "sixteen-ö-and-mo"]
    {
        import(&id, text).fails("16 to 64 printable characters");
    }
    for text in ["sixteen-of-them!", &"y".repeat(64), "with-a-line-end-0\r\n"] {
        let made = import(&id, text).json();
        assert_eq!(names(&made), ["id", "mode"], "the text is not repeated");
    }
    import(&id, "sixteen-of-them!").fails("in use already");
    import(&other, "sixteen-of-them!").fails("in use already");
    import(&other, key_of(&partner, "live")).fails("in use already");
    // A secret is no argument: other users of the machine could read it.
    let argument = run(&home, &["key", "import", &id, "eighteen-of-them!!", "--mode", "live"]);
    assert_eq!(argument.status, Some(2));

    let signing = |text: &str| finish_with(rookery(&home).args(["signing-key", "import", &other]), text);
    signing(&"s".repeat(31)).fails("32 to 128 printable characters");
    assert_eq!(signing(&"s".repeat(32)).ok().stdout, "");

    let server = Server::start(&home);
    for text in ["sixteen-of-them!", &"y".repeat(64), "with-a-line-end-0"] {
        assert_eq!(http::get(server.address(), "/balance", text).status, 200, "{text}");
    }
}

#[tokio::test]
async fn an_operators_key_is_created_and_opens_no_vendors_api() {
    let home = Home::new().await;
    let made = run(&home, &["operator-key", "create", "night shift", "--json"]).json();
    assert_eq!(names(&made), ["id", "key"]);
    let key = made["key"].as_str().unwrap();
    assert!(is_alphanumeric(key, 40));
    let server = Server::start(&home);
    assert_eq!(http::get(server.address(), "/balance", key).status, 401);
    run(&home, &["key", "revoke", made["id"].as_str().unwrap()]).ok();
}

#[tokio::test]
async fn a_number_is_described_without_a_database() {
    let home = Home::new().await;
    let mut command = bare(home.folder());
    let described = finish(command.args(["number", "describe", "+31612345678", "--json"])).json();
    let all = ["country", "callingCode", "type", "valid", "e164", "international", "national", "rfc3966"];
    assert_eq!(names(&described), all);
    assert_eq!((&described["country"], &described["type"]), (&json!("NL"), &json!("mobile")));
    assert_eq!((&described["e164"], &described["valid"]), (&json!("+31612345678"), &json!(true)));
    let text = finish(bare(home.folder()).args(["number", "describe", "31612345678"])).ok().stdout;
    assert!(text.contains("country        NL"), "{text}");
    finish(bare(home.folder()).args(["number", "describe", "12"])).fails("7 to 15 digits");
    assert!(!home.folder().join("rookery-data").exists(), "no data folder was made");
}

#[tokio::test]
async fn the_doctor_says_what_to_do() {
    let home = Home::new().await;
    partner(&home, "Acme");
    let found = run(&home, &["doctor", "--json"]).json();
    let found = found.as_array().unwrap();
    assert!(found.iter().all(|one| names(one) == ["result", "subject", "text"]));
    for subject in ["configuration", "master key", "database", "clock", "books"] {
        let one = found
            .iter()
            .find(|one| one["subject"] == subject)
            .unwrap_or_else(|| panic!("{subject}: {found:?}"));
        assert_eq!(one["result"], "ok", "{one}");
    }
    let text = run(&home, &["doctor"]).ok().stdout;
    assert!(text.lines().all(|line| line.starts_with("ok ")), "{text}");

    let wrong = finish(
        rookery(&home).env("ROOKERY_MASTER_KEY", MASTER_KEY.replace('0', "f")).args(["doctor", "--json"]),
    );
    assert_eq!((wrong.status, wrong.complaints().len()), (Some(1), 1), "{wrong:?}");
    let found: Value = serde_json::from_str(&wrong.stdout).unwrap();
    let failed = found.as_array().unwrap().iter().find(|one| one["result"] == "failed").unwrap();
    assert!(failed["text"].as_str().unwrap().contains("master key"), "{failed}");
}

#[tokio::test]
async fn the_openapi_document_is_printed() {
    let home = Home::new().await;
    let printed = finish(bare(home.folder()).arg("openapi")).ok().stdout;
    assert_eq!(printed, rookery::wire::Service::openapi());
}

/// Every command, by the words that name it.
const COMMANDS: [&[&str]; 22] = [
    &["serve"],
    &["partner"],
    &["partner", "create"],
    &["child"],
    &["child", "create"],
    &["account"],
    &["account", "suspend"],
    &["account", "resume"],
    &["account", "delete"],
    &["account", "set"],
    &["account", "show"],
    &["key"],
    &["key", "list"],
    &["key", "create"],
    &["key", "import"],
    &["key", "revoke"],
    &["signing-key", "import"],
    &["operator-key", "create"],
    &["credit"],
    &["rate", "set"],
    &["number", "describe"],
    &["doctor"],
];

#[tokio::test]
async fn help_names_every_command_option_and_variable() {
    let home = Home::new().await;
    let whole = finish(bare(home.folder()).arg("--help")).ok().stdout;
    for command in COMMANDS.iter().filter(|words| words.len() == 1) {
        assert!(whole.contains(command[0]), "{command:?} is not in:\n{whole}");
    }
    for word in ["--database", "ROOKERY_DATABASE", "ROOKERY_DATA_DIR", "ROOKERY_MASTER_KEY", "rookery.toml"] {
        assert!(whole.contains(word), "{word} is not in:\n{whole}");
    }
    for command in COMMANDS {
        let help = finish(bare(home.folder()).arg("help").args(command)).ok();
        assert!(help.stdout.contains("Usage: rookery") && help.stderr.is_empty(), "{command:?}: {help:?}");
    }
    let serve = finish(bare(home.folder()).args(["help", "serve"])).ok().stdout;
    for option in [
        "listen",
        "public-url",
        "tls-listen",
        "tls-cert",
        "tls-key",
        "trusted-proxy",
        "metrics-listen",
        "cors-origin",
        "body-limit",
        "roles",
        "no-demo",
        "no-rate-limit",
        "allow-private-webhooks",
    ] {
        let variable = format!("ROOKERY_{}", option.replace('-', "_").to_uppercase());
        assert!(
            serve.contains(&format!("--{option}")) && serve.contains(&variable),
            "{option} is not in:\n{serve}"
        );
    }
    let version = finish(bare(home.folder()).arg("--version")).ok().stdout;
    assert_eq!(version, format!("rookery {}\n", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn wrong_usage_is_2_and_prints_nothing_on_standard_output() {
    let home = Home::new().await;
    for args in [
        &[][..],
        &["fly"],
        &["partner", "create"],
        &["partner", "create", "Acme", "--colour", "red"],
        &["account", "set", "1"],
        &["key", "create", "1"],
        &["serve", "--listen", "nowhere"],
        &["serve", "--body-limit", "much"],
        &["serve", "--roles", "sing"],
    ] {
        let done = finish(bare(home.folder()).args(args));
        assert_eq!((done.status, done.stdout.as_str()), (Some(2), ""), "{args:?}: {done:?}");
        assert!(!done.stderr.is_empty(), "{args:?}");
    }
    assert!(!home.folder().join("rookery-data").exists(), "nothing was touched");
}

/// What `GET /balance` answers to a key.
fn opens(server: &Server, key: &str) -> u16 {
    http::get(server.address(), "/balance", key).status
}

#[tokio::test]
async fn a_running_server_takes_up_every_change_within_a_second() {
    let home = Home::new().await;
    let server = Server::start(&home);
    let partner = partner(&home, "Acme");
    let child = child(&home, &partner, "Corner Bakery");
    let (own, childs) = (key_of(&partner, "live"), key_of(&child, "live"));
    let (partner_id, child_id) = (id(&partner), id(&child));
    let both = || (opens(&server, own), opens(&server, childs));
    assert_eq!(both(), (200, 200), "keys made beside a running server work at once");

    let more = run(&home, &["key", "create", &child_id, "--mode", "live", "--json"]).json();
    let (more_id, more) = (more["id"].as_str().unwrap(), more["key"].as_str().unwrap());
    assert_eq!(opens(&server, more), 200);
    run(&home, &["key", "revoke", more_id]).ok();
    within_a_second(401, || opens(&server, more));
    assert_eq!(both(), (200, 200), "the other keys go on working");

    run(&home, &["account", "suspend", &child_id]).ok();
    within_a_second((200, 401), both);
    run(&home, &["account", "resume", &child_id]).ok();
    within_a_second((200, 200), both);

    run(&home, &["account", "suspend", partner["partnerId"].as_str().unwrap()]).ok();
    within_a_second((401, 401), both);
    run(&home, &["account", "suspend", &child_id]).ok();
    run(&home, &["account", "resume", &partner_id]).ok();
    within_a_second((200, 401), both);
    run(&home, &["account", "resume", &child_id]).ok();
    within_a_second((200, 200), both);

    run(&home, &["credit", &child_id, "3.50"]).ok();
    let balance = http::get(server.address(), "/balance", childs).json();
    assert_eq!(balance["amount"].to_string(), "3.5");
    run(&home, &["account", "delete", &child_id]).ok();
    within_a_second((200, 401), both);
    let shown = run(&home, &["account", "show", &child_id, "--json"]).json();
    assert_eq!((&shown["status"], &shown["balance"]), (&json!("deleted"), &json!("0.00")));
    let left = run(&home, &["account", "show", &partner_id, "--json"]).json();
    assert_eq!(left["balance"], "3.50", "the remainder is the partner's");
    for command in ["suspend", "resume", "delete"] {
        run(&home, &["account", command, &child_id]).fails("account not found");
    }
    run(&home, &["credit", &child_id, "1"]).fails("account not found");
    run(&home, &["key", "create", &child_id, "--mode", "live"]).fails("account not found");
    let store = store::Store::open(home.url(), store::Options::default()).await.unwrap();
    books::check(&store).await;
    store.close().await;
}

#[tokio::test]
async fn no_secret_is_logged_by_commands_or_the_server() {
    let home = Home::new().await;
    let server = Server::with(&home, &["--listen", "127.0.0.1:0", "--no-demo", "--log", "trace"]);
    let made = finish(rookery(&home).args(["--log", "trace", "partner", "create", "Acme", "--json"]));
    let partner = made.json();
    let key = key_of(&partner, "live");
    assert_eq!(opens(&server, key), 200);
    let in_query = http::get(server.address(), &format!("/balance?access_key={key}"), "");
    assert_eq!(in_query.status, 200, "{in_query:?}");
    let imported = "brought-along-by-a-customer";
    let mut import = rookery(&home);
    import.args(["--log", "trace", "key", "import", &id(&partner), "--mode", "live"]);
    let import = finish_with(&mut import, imported).ok().stderr;
    let api = partner["partnerApiKey"].as_str().unwrap();
    let signing = partner["signingKey"].as_str().unwrap();
    assert!(server.log().contains("Rookery is serving"), "the log was read");
    for log in [&made.stderr, &import, &server.log()] {
        for secret in [key, key_of(&partner, "test"), api, signing, imported] {
            assert!(!log.contains(secret), "a secret in the log:\n{log}");
        }
    }
}

#[tokio::test]
async fn rates_are_imported_from_a_file() {
    let home = Home::new().await;
    let partner = partner(&home, "Acme");
    let file = home.folder().join("rates.csv");
    let import = |text: &str| {
        std::fs::write(&file, text).unwrap();
        run(&home, &["rate", "import", &id(&partner), file.to_str().unwrap()])
    };
    let mut lines = "\u{feff}Prefix,Price\r\n,0.2\r\n31, 0.061\r\n\r\n".to_owned();
    lines.extend((0..250).map(|number| format!("49{number:03},0.0{number:03}\n")));
    assert_eq!(import(&lines).ok().stdout, "252 rates set\n");
    for (text, complaint) in [
        ("31,0.06\n4x,0.07", "line 2: prefix is invalid"),
        ("31,0.06\n49,cheap", "line 2: amount is invalid"),
        ("31,-1", "line 1: amount is invalid"),
        ("31;0.06", "line 1: PREFIX,AMOUNT is needed"),
    ] {
        let failed = import(text);
        assert_eq!(failed.status, Some(1), "{text}");
        assert!(failed.stderr.contains(complaint), "{}", failed.stderr);
    }
    let missing = run(&home, &["rate", "import", &id(&partner), "/nowhere/rates.csv"]);
    assert!(missing.status == Some(1) && missing.stderr.contains("/nowhere/rates.csv"));
}

#[tokio::test]
async fn what_becomes_of_received_messages_is_set() {
    let home = Home::new().await;
    let account = id(&partner(&home, "Acme"));
    let set = |settings: &[&str]| run(&home, &[&["account", "set", &account][..], settings].concat());
    let shown = || {
        let shown = run(&home, &["account", "show", &account, "--json"]).json();
        ["inboundForm", "stopWords", "startWords"].map(|name| shown[name].clone())
    };
    set(&["inbound-form=json", "stop-words=lang:nl,Genoeg", "start-words=Weer"]).ok();
    assert_eq!(shown(), [json!("json"), json!("lang:nl,Genoeg"), json!("Weer")]);
    set(&["inbound-form=", "stop-words=", "start-words="]).ok();
    assert_eq!(shown(), [json!("get"), Value::Null, Value::Null]);
    set(&["inbound-form=xml"]).fails("inbound-form is invalid");
    set(&["stop-words=lang:xx"]).fails("stop-words is invalid");
}

#[tokio::test]
async fn numbers_are_given_listed_and_written_to() {
    let home = Home::new().await;
    let partner = partner(&home, "Acme");
    let (bakery, pizza) = (child(&home, &partner, "Corner Bakery"), child(&home, &partner, "Pizza"));
    let (bakery_id, pizza_id) = (id(&bakery), id(&pizza));
    let url = "https://hooks.example/in";
    let add = [
        "number",
        "add",
        "+31 655500099",
        &bakery_id,
        "--inbound-url",
        url,
        "--inbound-form",
        "post",
        "--json",
    ];
    let made = run(&home, &add).json();
    let wanted = json!({"number": "31655500099", "keyword": null, "account": bakery["id"], "inboundUrl": url,
        "inboundForm": "post"});
    assert_eq!(made, wanted);
    assert_eq!(run(&home, &["number", "add", "1008", &bakery_id]).ok().stdout, "");
    run(&home, &["number", "add", "1008", &pizza_id]).fails("number is in use already");
    run(&home, &["number", "add", "12", &pizza_id]).fails("short code");
    run(&home, &["number", "add", "31655500098", &pizza_id, "--inbound-url", "ftp://x"]).fails("inbound-url");
    run(&home, &["number", "keyword", "add", "31655500099", "Pizza", &pizza_id]).ok();
    run(&home, &["number", "keyword", "add", "31655500098", "Pizza", &pizza_id]).fails("number not found");
    run(&home, &["number", "keyword", "add", "31655500099", "two words", &pizza_id]).fails("one word");
    let listed = run(&home, &["number", "list", "--json"]).json();
    let shown: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["number"].as_str().unwrap(), one["keyword"].as_str(), one["account"].clone()))
        .collect();
    let wanted = [
        ("1008", None, bakery["id"].clone()),
        ("31655500099", None, bakery["id"].clone()),
        ("31655500099", Some("pizza"), pizza["id"].clone()),
    ];
    assert_eq!(shown, wanted);
    assert_eq!(run(&home, &["number", "list", &pizza_id]).ok().stdout.lines().count(), 1);

    let done = run(&home, &["number", "receive", "31655500099", "31655500011", "STOP"]).ok();
    assert_eq!(done.stdout.trim().len(), 32);
    run(&home, &["number", "receive", "31655500077", "31655500011", "Hello"]).fails("number not found");
    let strays = run(&home, &["number", "strays", "--json"]).json();
    assert_eq!((&strays[0]["number"], &strays[0]["messages"]), (&json!("31655500077"), &json!(1)));
    assert!(run(&home, &["doctor"]).ok().stdout.contains("1 numbers that nobody has"));
    let list = run(&home, &["opt-out", "list", &bakery_id, "--json"]).json();
    assert_eq!((&list[0]["number"], &list[0]["source"]), (&json!("31655500011"), &json!("inbound")));

    run(&home, &["number", "keyword", "remove", "31655500099", "PIZZA"]).ok();
    run(&home, &["number", "remove", "31655500099"]).ok();
    run(&home, &["number", "remove", "31655500099"]).fails("number not found");
}

#[tokio::test]
async fn opt_outs_are_added_imported_listed_and_heeded_by_a_running_server() {
    let home = Home::new().await;
    let account = partner(&home, "Acme");
    let account_id = id(&account);
    let server = Server::start(&home);
    let form = "originator=Bakery&recipients=31655500011&body=Hi";
    let send = || {
        let sent = http::Client::new(server.address()).post("/messages", key_of(&account, "live"), form);
        let sent = sent.json();
        sent["recipients"]["items"][0]["status"].as_str().unwrap_or("none").to_owned()
    };
    assert_eq!(send(), "sent");
    run(&home, &["opt-out", "add", &account_id, "+31655500011", "31655500012"]).ok();
    within_a_second("delivery_failed".to_owned(), send);
    let file = home.folder().join("list.csv");
    std::fs::write(&file, "number,why\n31655500012,asked\n31655500013,asked\n").unwrap();
    let done = run(&home, &["opt-out", "import", &account_id, file.to_str().unwrap()]).ok();
    assert_eq!(done.stdout, "2 numbers read, 1 added\n");
    let list = run(&home, &["opt-out", "list", &account_id]).ok().stdout;
    let shown: Vec<String> =
        list.lines().map(|line| line.split(',').take(2).collect::<Vec<_>>().join(",")).collect();
    assert_eq!(shown, ["number,source", "31655500011,command", "31655500012,command", "31655500013,import"]);
    // What is listed can be imported.
    std::fs::write(&file, list).unwrap();
    let again = run(&home, &["opt-out", "import", &account_id, file.to_str().unwrap()]).ok();
    assert_eq!(again.stdout, "3 numbers read, 0 added\n");
    std::fs::write(&file, "31655500014\nBakery\n").unwrap();
    run(&home, &["opt-out", "import", &account_id, file.to_str().unwrap()])
        .fails("line 2: number is invalid");
    run(&home, &["opt-out", "remove", &account_id, "31655500011"]).ok();
    within_a_second("sent".to_owned(), send);
    run(&home, &["opt-out", "add", "4040404", "31655500011"]).fails("account not found");
}

#[tokio::test]
async fn signing_keys_are_rotated_and_callbacks_looked_at_by_command() {
    let home = Home::new().await;
    let account = partner(&home, "Acme");
    let account_id = id(&account);
    let made = run(&home, &["signing-key", "rotate", &account_id, "--in", "24h", "--json"]).json();
    assert_eq!(names(&made), ["id", "nextSigningKey", "validFromDatetime"]);
    assert!(is_alphanumeric(made["nextSigningKey"].as_str().unwrap(), 32));
    let state = run(&home, &["signing-key", "show-state", &account_id, "--json"]).json();
    assert_eq!(state["nextFromDatetime"], made["validFromDatetime"]);
    assert!(!state.to_string().contains(made["nextSigningKey"].as_str().unwrap()));
    run(&home, &["signing-key", "cancel-rotation", &account_id]).ok();
    run(&home, &["signing-key", "cancel-rotation", &account_id]).fails("next signing key not found");
    run(&home, &["signing-key", "rotate", &account_id, "--at", "2020-01-01T00:00:00Z"]).fails("in the past");
    run(&home, &["signing-key", "rotate", &account_id, "--in", "soon"]).fails("a span such as 24h");
    assert_eq!(run(&home, &["signing-key", "rotate", &account_id]).status, Some(2));

    let made = run(&home, &["signing-key", "rotate", &account_id, "--in", "0s", "--json"]).json();
    let state = run(&home, &["signing-key", "show-state", &account_id, "--json"]).json();
    assert_eq!(state["currentSinceDatetime"], made["validFromDatetime"], "at once");

    // Nothing listens there: the call fails, and says so.
    let server = Server::with(&home, &["--listen", "127.0.0.1:0", "--no-demo", "--allow-private-webhooks"]);
    let form = "originator=Bakery&recipients=99900301000&body=Hi&reference=x&reportUrl=http://127.0.0.1:9/dlr?key=s3cret";
    let sent = http::Client::new(server.address()).post("/messages", key_of(&account, "live"), form).json();
    let log = || run(&home, &["webhook", "log", &account_id, "--since", "1h", "--failed", "--json"]).json();
    within_a_second(1, || log().as_array().unwrap().len());
    let one = log()[0].clone();
    assert_eq!((&one["message"], &one["state"]), (&sent["id"], &json!("waits")));
    assert!(one["url"].as_str().unwrap().contains("key=***"), "{one}");
    let callback = one["id"].as_str().unwrap();
    let shown = run(&home, &["webhook", "show", &account_id, callback, "--json"]).json();
    assert!(
        shown["attempts"][0]["error"].as_str().unwrap().contains("no connection could be made"),
        "{shown}"
    );
    assert_eq!(shown["method"], "GET");
    let text = run(&home, &["webhook", "show", &account_id, callback]).ok().stdout;
    assert!(text.contains("MessageBird-Signature-JWT") && !text.contains("s3cret"), "{text}");
    assert!(run(&home, &["webhook", "log", &account_id]).ok().stdout.contains(callback));
    let endpoints = run(&home, &["webhook", "endpoints", &account_id, "--json"]).json();
    assert_eq!(
        (&endpoints[0]["origin"], &endpoints[0]["pausedDatetime"]),
        (&json!("http://127.0.0.1:9"), &Value::Null)
    );
    assert!(run(&home, &["doctor"]).ok().stdout.contains("http://127.0.0.1:9"));
    run(&home, &["webhook", "replay", &account_id, callback]).ok();
    run(&home, &["webhook", "replay", &account_id, "nonsense"]).fails("no callback's id");
    let done = run(&home, &["webhook", "replay-since", &account_id, "1h", "--failed"]).ok();
    assert_eq!(done.stdout, "1 callbacks are sent again\n");
    run(&home, &["webhook", "resume", &account_id, "http://127.0.0.1:9"]).ok();
    run(&home, &["webhook", "resume", &account_id, "http://127.0.0.1:8"]).fails("failing endpoint not found");
}

#[tokio::test]
async fn users_sign_in_with_the_password_from_standard_input() {
    let home = Home::new().await;
    let partner = partner(&home, "Acme");
    let id = partner["partnerId"].as_str().unwrap();
    let create = |email: &str, password: &str| {
        finish_with(
            rookery(&home).args(["user", "create", id, email, "--role", "developer", "--json"]),
            password,
        )
    };
    create("ops@acme.example", "short").fails("8 to 256 characters");
    create("ops", "long enough").fails("e-mail");
    let made = create("Ops@Acme.example", "long enough\n").json();
    assert_eq!((&made["email"], &made["role"]), (&json!("ops@acme.example"), &json!("developer")));
    create("ops@acme.example", "long enough").fails("in use already");
    let listed = run(&home, &["user", "list", id, "--json"]).json();
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["id"]), (1, &made["id"]));
    finish_with(rookery(&home).args(["user", "password", id, "ops@acme.example"]), "another one").ok();
    run(&home, &["user", "remove", id, "ops@acme.example"]).ok();
    run(&home, &["user", "remove", id, "ops@acme.example"]).fails("no user");
    let secret = || run(&home, &["platform-secret", "rotate", id, "--json"]).json()["platformSecret"].clone();
    let first = secret();
    assert!(is_alphanumeric(first.as_str().unwrap(), 40));
    assert_ne!(first, secret());
    run(&home, &["rate", "set", id, "31", "0.075", "--category", "marketing"]).ok();
    run(&home, &["rate", "set", id, "31", "0.075", "--category", "other"]).fails("utility");
    run(&home, &["account", "set", id, "token-sign-in=false", "signature-prefix=true"]).ok();
}
