//! How a process finds its settings, its database and the master key, and what it makes of an empty database.

use crate::support::database::{Home, is_postgres};
use crate::support::http::{self, Client};
use crate::support::process::{MASTER_KEY, Server, bare, finish, key_of, partner, rookery, run};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use store::{Rx, Store, sql};

/// The number of accounts in a test's database.
async fn accounts(home: &Home) -> i64 {
    let store = Store::open(home.url(), store::Options::default()).await.unwrap();
    let counted =
        async |rx: &mut Rx, (): &()| rx.one(sql!("SELECT CAST(count(*) AS BIGINT) FROM account"), &[]).await;
    let count: Result<i64, store::Error> = store.read((), counted).await;
    store.close().await;
    count.unwrap()
}

/// The file from which a test's processes take their settings.
fn settings(home: &Home, name: &str, text: &str) -> String {
    let path = home.folder().join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// How many bytes a server takes in a body at most.
fn body_limit(server: &Server) -> usize {
    [100, 200, 300, 400]
        .into_iter()
        .find(|size| {
            let form = "x".repeat(*size);
            Client::new(server.address()).post("/contacts", "", &form).body.contains("larger than")
        })
        .unwrap_or(usize::MAX)
}

#[tokio::test]
async fn settings_come_from_options_then_environment_then_file_then_default() {
    let home = Home::new().await;
    let text = "listen = ['127.0.0.1:0']\nno-demo = true\nbody-limit = 350\nno-rate-limit = true\n";
    settings(&home, "rookery.toml", text);
    let start = |args: &[&str], variable: Option<&str>| {
        let mut command = rookery(&home);
        command.arg("serve").args(args);
        if let Some(value) = variable {
            command.env("ROOKERY_BODY_LIMIT", value);
        }
        body_limit(&Server::serving(&mut command, 1))
    };
    assert_eq!(start(&[], None), 400, "the file in the working directory");
    assert_eq!(start(&[], Some("250")), 300, "the environment before the file");
    assert_eq!(start(&["--body-limit", "150"], Some("250")), 200, "an option before the environment");
    assert_eq!(accounts(&home).await, 0, "no-demo from the file");

    let other =
        settings(&home, "other.toml", "listen = ['127.0.0.1:0']\nno-demo = true\nbody-limit = '0KiB'\n");
    assert_eq!(start(&["--config", &other], None), 100, "the named file instead of rookery.toml");
    std::fs::remove_file(home.folder().join("rookery.toml")).unwrap();
    let default = start(&["--listen", "127.0.0.1:0", "--no-demo"], None);
    assert_eq!(default, usize::MAX, "the default is 1 MiB");
}

#[tokio::test]
async fn settings_of_every_kind_can_stand_in_the_file() {
    let home = Home::new().await;
    let folder = home.folder().join("kept-here");
    let text = format!(
        "database = '{}'\ndata-dir = '{}'\nmaster-key = '{MASTER_KEY}'\n",
        home.url(),
        folder.display()
    );
    settings(&home, "rookery.toml", &text);
    finish(bare(home.folder()).args(["partner", "create", "Acme"])).ok();
    assert_eq!(accounts(&home).await, 1);
    // The same database with the key of the file given in the environment, so that was the key.
    finish(bare(home.folder()).env("ROOKERY_MASTER_KEY", MASTER_KEY).args(["partner", "create", "Acme"]))
        .ok();
    assert!(!folder.join("master.key").exists(), "a key that is given is not stored");
}

#[tokio::test]
async fn mistakes_in_the_file_are_named() {
    let home = Home::new().await;
    for (text, complaint) in [
        ("lisen = ['127.0.0.1:0']\n", "lisen"),
        ("listen = ['nowhere']\n", "nowhere"),
        ("body-limit = 'much'\n", "much"),
        ("no-demo = \n", "rookery.toml"),
    ] {
        settings(&home, "rookery.toml", text);
        let done = run(&home, &["serve"]);
        assert_eq!((done.status, done.stdout.as_str()), (Some(1), ""), "{done:?}");
        assert!(done.stderr.contains(complaint) && done.stderr.contains("rookery.toml"), "{done:?}");
    }
    std::fs::remove_file(home.folder().join("rookery.toml")).unwrap();
    run(&home, &["--config", "absent.toml", "partner", "create", "Acme"]).fails("absent.toml");
}

#[tokio::test]
async fn switches_take_1_and_0_from_the_environment() {
    let home = Home::new().await;
    for value in ["1", "0"] {
        let done = finish(rookery(&home).env("ROOKERY_UNNAMED_STATEMENTS", value).args(["key", "list", "1"]));
        done.fails("account not found");
    }
    for (value, made) in [("1", 0), ("0", 2)] {
        let mut command = rookery(&home);
        command.env("ROOKERY_NO_DEMO", value).env("ROOKERY_LISTEN", "127.0.0.1:0").arg("serve");
        Server::serving(&mut command, 1);
        assert_eq!(accounts(&home).await, made, "ROOKERY_NO_DEMO={value}");
    }
}

#[tokio::test]
async fn the_master_key_is_made_at_first_use_for_its_owner_only() {
    let home = Home::new().await;
    let folder = home.folder().join("data");
    let database = format!("sqlite:{}", folder.join("rookery.db").display());
    let command = |args: &[&str]| {
        let mut command = bare(home.folder());
        finish(command.env("ROOKERY_DATA_DIR", &folder).args(args))
    };
    command(&["partner", "create", "Acme"]).ok();
    assert!(folder.join("rookery.db").exists(), "{database}");
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let file = folder.join("master.key");
    assert_eq!((mode(&file), mode(&folder)), (0o600, 0o700));
    let key = std::fs::read_to_string(&file).unwrap();
    assert!(key.trim().len() == 64 && key.trim().bytes().all(|byte| byte.is_ascii_hexdigit()));
    command(&["partner", "create", "Beta"]).ok();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), key, "it is made once");

    std::fs::remove_file(&file).unwrap();
    command(&["partner", "create", "Gamma"]).fails("the master key is not the one of this database");
    std::fs::write(&file, "soap\n").unwrap();
    command(&["partner", "create", "Gamma"]).fails("64 hexadecimal digits are needed");
    std::fs::write(&file, key).unwrap();
    command(&["partner", "create", "Gamma"]).ok();
}

#[tokio::test]
async fn a_wrong_master_key_refuses_to_start() {
    let home = Home::new().await;
    partner(&home, "Acme");
    let with = |key: &str, args: &[&str]| finish(rookery(&home).env("ROOKERY_MASTER_KEY", key).args(args));
    let wrong = "f".repeat(64);
    with(&wrong, &["serve", "--listen", "127.0.0.1:0"])
        .fails("the master key is not the one of this database");
    with(&wrong, &["partner", "create", "Beta"]).fails("the master key is not the one of this database");
    with("0badcafe", &["partner", "create", "Beta"]).fails("64 hexadecimal digits are needed");
    assert_eq!(accounts(&home).await, 1);
}

#[tokio::test]
async fn postgres_needs_a_master_key_and_real_commits() {
    let home = Home::new().await;
    if !is_postgres() {
        // What the embedded engine does instead: it makes a key by itself.
        finish(rookery(&home).args(["partner", "create", "Acme"])).ok();
        assert!(home.folder().join("master.key").exists());
        return;
    }
    let missing = finish(rookery(&home).env_remove("ROOKERY_MASTER_KEY").args(["partner", "create", "Acme"]));
    missing.fails("ROOKERY_MASTER_KEY is not set");
    assert!(!home.folder().join("master.key").exists(), "a key beside a shared database would be lost");

    let (client, connection) = tokio_postgres::connect(home.url(), tokio_postgres::NoTls).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "awaited below")]
    let driver = tokio::spawn(connection);
    let name = client.query_one("SELECT current_database()", &[]).await.unwrap().get::<_, String>(0);
    let alter = |value: &str| format!("ALTER DATABASE {name} SET synchronous_commit = {value}");
    client.batch_execute(&alter("off")).await.unwrap();
    run(&home, &["partner", "create", "Acme"]).fails("synchronous_commit = off");
    run(&home, &["serve", "--listen", "127.0.0.1:0"]).fails("synchronous_commit = off");
    client.batch_execute(&alter("on")).await.unwrap();
    partner(&home, "Acme");
    drop(client);
    driver.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_database_that_cannot_be_opened_is_named_without_its_password() {
    let home = Home::new().await;
    for (url, complaint) in [
        ("postgres://rookery:correct-horse@127.0.0.1:1/rookery", "the database cannot be opened"),
        ("mysql://rookery:correct-horse@127.0.0.1/rookery", "the database cannot be opened"),
        ("sqlite:/proc/nowhere/rookery.db", "/proc/nowhere"),
    ] {
        let done = run(&home, &["--database", url, "partner", "create", "Acme"]);
        done.fails(complaint);
        assert!(!done.stderr.contains("correct-horse"), "{done:?}");
    }
}

#[tokio::test]
async fn a_demo_is_made_in_an_empty_database_and_its_curl_line_works() {
    let home = Home::new().await;
    let server = Server::with(&home, &["--listen", "127.0.0.1:0"]);
    let shown = server.stdout_with("curl ");
    let url = format!("http://{}", server.address());
    for word in [url.as_str(), &format!("{url}/docs"), "live", "test", "signing", "X-API-Key"] {
        assert!(shown.contains(word), "{word} is not in:\n{shown}");
    }
    assert_eq!(accounts(&home).await, 2);
    let line = shown.lines().find(|line| line.trim().starts_with("curl ")).unwrap().trim();
    let pasted = Command::new("sh").args(["-c", line]).stderr(Stdio::null()).output().unwrap();
    let made: serde_json::Value =
        serde_json::from_slice(&pasted.stdout).unwrap_or_else(|error| panic!("{error}: {line}"));
    assert_eq!(
        (&made["recipients"]["items"][0]["recipient"], &made["body"]),
        (&json!(31_612_345_678_i64), &json!("Hello"))
    );
    let key = line.split("AccessKey ").nth(1).unwrap().split('\'').next().unwrap();
    let balance = http::get(server.address(), "/balance", key).json();
    assert_eq!(balance, json!({"payment": "prepaid", "type": "euros", "amount": 100}));
    drop(server);

    let server = Server::with(&home, &["--listen", "127.0.0.1:0"]);
    assert_eq!(http::get(server.address(), "/balance", key).status, 200);
    assert_eq!((server.stdout().as_str(), accounts(&home).await), ("", 2), "no second demo");
}

#[tokio::test]
async fn no_demo_where_there_is_an_account_or_none_is_wanted() {
    let home = Home::new().await;
    let server = Server::with(&home, &["--listen", "127.0.0.1:0", "--no-demo"]);
    assert_eq!((server.stdout().as_str(), accounts(&home).await), ("", 0));
    drop(server);
    let acme = partner(&home, "Acme");
    let server = Server::with(&home, &["--listen", "127.0.0.1:0"]);
    assert_eq!(http::get(server.address(), "/balance", key_of(&acme, "live")).status, 200);
    assert_eq!((server.stdout().as_str(), accounts(&home).await), ("", 1));
}

#[tokio::test]
async fn servers_that_start_at_once_on_an_empty_database_share_one_demo() {
    let home = Home::new().await;
    // The first use makes the key; of several processes at once one makes it and the others read it.
    let start = || {
        let mut command = rookery(&home);
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        command
    };
    let mut commands = [start(), start(), start()];
    let servers: Vec<Server> = std::thread::scope(|scope| {
        let started: Vec<_> =
            commands.iter_mut().map(|command| scope.spawn(|| Server::serving(command, 1))).collect();
        started.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for server in &servers {
        assert_eq!(http::get(server.address(), "/readyz", "").status, 200, "{}", server.log());
    }
    assert_eq!(accounts(&home).await, 2, "one demo partner with one child");
    let demos = servers.iter().filter(|server| server.stdout().contains("curl ")).count();
    assert_eq!(demos, 1, "whoever made the demo shows its keys");
}

#[tokio::test]
async fn commands_at_once_on_an_empty_database_all_work() {
    let home = Home::new().await;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| partner(&home, "Acme"));
        }
    });
    assert_eq!(accounts(&home).await, 4);
}
