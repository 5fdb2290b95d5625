//! The partner's control over several real servers on one database: suspensions, caps and transfers by one while others
//! send, and books that are right after each.

use crate::support::books;
use crate::support::database::Home;
use crate::support::http::{Client, Reply};
use crate::support::paying::{Payer, balances, unfinished};
use crate::support::process::{Server, child, partner, run, within_a_second};
use rookery::core::Result;
use serde_json::{Value, json};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{ScopedJoinHandle, scope, sleep};
use std::time::{Duration, Instant};
use store::{Store, Tx, sql};

const SERVERS: usize = 3;
/// Senders or hands at each server.
const EACH: usize = 6;
/// Whatever has not happened by then never will.
const PATIENCE: Duration = Duration::from_mins(1);
/// In which a change is in force in every process.
const IN_FORCE: Duration = Duration::from_secs(1);

/// A partner with a key of the platform's own API, two children that can send, and servers.
struct Family {
    home: Home,
    servers: Vec<Server>,
    operator: String,
    partner: i64,
    key: String,
    children: [Payer; 2],
}

impl Family {
    async fn new() -> Self {
        let home = Home::new().await;
        let acme = partner(&home, "Acme");
        let children = ["Bakery", "Wool Shop"].map(|name| Payer::new(&home, &child(&home, &acme, name), "1"));
        let made = run(&home, &["operator-key", "create", "Storms", "--json"]).json();
        let operator = made["key"].as_str().expect("a key").to_owned();
        let servers: Vec<Server> = (0..SERVERS).map(|_| Server::start(&home)).collect();
        let id = acme["id"].as_i64().expect("an id");
        let body = json!({"mode": "platform"});
        let made =
            call(&mut Client::new(servers[0].address()), "POST", &format!("/{id}/keys"), &operator, &body);
        assert_eq!(made.status, 201, "{made:?}");
        let key = made.json()["key"].as_str().expect("a key").to_owned();
        Family { home, servers, operator, partner: id, key, children }
    }

    /// A connection to a server, by turns.
    fn client(&self, turn: usize) -> Client {
        Client::new(self.servers[turn % SERVERS].address())
    }

    /// The operator gives an account money.
    fn top_up(&self, account: i64, amount: &str) {
        let body = json!({"amount": amount});
        let made = call(&mut self.client(0), "POST", &format!("/{account}/top-ups"), &self.operator, &body);
        assert_eq!(made.status, 201, "{made:?}");
    }

    /// Waits until everything is finished, ends the servers and checks the books.
    async fn settle(self) -> (Store, Home) {
        let Family { home, mut servers, .. } = self;
        let store = Store::open(home.url(), store::Options::default()).await.expect("the store");
        let begun = Instant::now();
        while unfinished(&store).await != (0, 0) {
            assert!(begun.elapsed() < PATIENCE, "{:?} are left", unfinished(&store).await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for server in &mut servers {
            server.signal("TERM");
            assert!(server.wait().success(), "{}", server.log());
        }
        books::check(&store).await;
        (store, home)
    }
}

/// A request below `/platform/v1/accounts`.
fn call(client: &mut Client, method: &str, path: &str, key: &str, body: &Value) -> Reply {
    call_once(client, method, path, key, body, "")
}

/// The same with further header lines.
fn call_once(client: &mut Client, method: &str, path: &str, key: &str, body: &Value, more: &str) -> Reply {
    let body = body.to_string();
    client.send(
        format!(
            "{method} /platform/v1/accounts{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n{more}\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .as_bytes(),
    );
    client.read()
}

/// A message of one part.
fn send(client: &mut Client, key: &str) -> Reply {
    client.post("/messages", key, "originator=Rookery&recipients=31612345678&body=Hello")
}

/// How many messages of an account were delivered, and how many there are.
async fn delivered(store: &Store, account: i64) -> (i64, i64) {
    let counts: Result<(i64, i64)> = store
        .write(account, async |tx: &mut Tx, account: &i64| {
            let counted = sql!(
                "SELECT CAST(count(CASE WHEN status = 'delivered' THEN 1 END) AS BIGINT), CAST(count(*) AS BIGINT)
                 FROM recipient WHERE account = $1"
            );
            Ok(tx.one(counted, &[account]).await?)
        })
        .await;
    counts.expect("the counts")
}

/// While a child sends through every server, its partner suspends and resumes it through one after another, and then
/// from many sides at once.
#[tokio::test]
async fn a_suspension_is_in_force_everywhere_within_a_second_and_loses_nothing() {
    let family = Family::new().await;
    let child = &family.children[0];
    family.top_up(child.id, "1000000");
    let (over, accepted) = (AtomicBool::new(false), AtomicUsize::new(0));
    // When the child's requests had to be refused: from a second after the answer to the suspension.
    let shut: Mutex<Vec<(Instant, Instant)>> = Mutex::default();
    let turn = |client: &mut Client, what: &str| {
        let done = call(client, "POST", &format!("/{}/{what}", child.id), &family.key, &json!({}));
        assert_eq!(done.status, 200, "{what}: {done:?}");
    };
    let sent = scope(|threads| {
        let senders: Vec<ScopedJoinHandle<'_, Vec<(Instant, u16)>>> = (0..SERVERS * 2)
            .map(|at| {
                let (over, accepted) = (&over, &accepted);
                let mut client = family.client(at);
                threads.spawn(move || {
                    let mut sent = Vec::new();
                    while !over.load(Ordering::Relaxed) {
                        let begun = Instant::now();
                        let answer = send(&mut client, &child.key);
                        assert!(matches!(answer.status, 201 | 401), "{answer:?}");
                        accepted.fetch_add(usize::from(answer.status == 201), Ordering::Relaxed);
                        sent.push((begun, answer.status));
                        sleep(Duration::from_millis(5));
                    }
                    sent
                })
            })
            .collect();
        let everywhere = |status: u16| {
            for server in 0..SERVERS {
                let mut client = family.client(server);
                within_a_second(status, || client.get("/balance", &child.key).status);
            }
        };
        for round in 0..SERVERS {
            let mut client = family.client(round);
            turn(&mut client, "suspend");
            let from = Instant::now() + IN_FORCE;
            everywhere(401);
            sleep(IN_FORCE + Duration::from_millis(200));
            shut.lock().expect("the windows").push((from, Instant::now()));
            turn(&mut client, "resume");
            everywhere(200);
        }
        let hands: Vec<_> = (0..SERVERS * EACH)
            .map(|at| {
                let mut client = family.client(at);
                threads.spawn(move || {
                    for what in 0..4 {
                        turn(&mut client, ["suspend", "resume"][(at + what) % 2]);
                    }
                })
            })
            .collect();
        for hand in hands {
            hand.join().expect("a hand");
        }
        turn(&mut family.client(1), "suspend");
        everywhere(401);
        turn(&mut family.client(2), "resume");
        everywhere(200);
        over.store(true, Ordering::Relaxed);
        senders.into_iter().flat_map(|sender| sender.join().expect("a sender")).collect::<Vec<_>>()
    });
    for (from, until) in shut.into_inner().expect("the windows") {
        let late = sent.iter().filter(|(begun, status)| (from..until).contains(begun) && *status == 201);
        assert_eq!(late.count(), 0, "accepted more than a second after the suspension");
        assert!(sent.iter().any(|(begun, _)| (from..until).contains(begun)), "somebody tried");
    }
    let id = child.id;
    let accepted = i64::try_from(accepted.into_inner()).expect("a count");
    assert!(accepted > 0);
    let (store, _home) = family.settle().await;
    assert_eq!(
        delivered(&store, id).await,
        (accepted, accepted),
        "all that was accepted arrived, and only that"
    );
    assert_eq!(balances(&store).await[&id], (1_000_000_000_000 - accepted * 1_000_000, 0));
    store.close().await;
}

/// A cap of ten, raised to twenty-five in the midst of it, through other servers than those that send.
#[tokio::test]
async fn a_cap_is_spent_to_its_last_message_by_many_processes() {
    let family = Family::new().await;
    let child = &family.children[0];
    family.top_up(child.id, "1000");
    let cap = |client: &mut Client, cap: &str| {
        let set =
            call(client, "PATCH", &format!("/{}/balance", child.id), &family.key, &json!({"dayCap": cap}));
        assert_eq!(set.status, 200, "{set:?}");
        set.json()
    };
    cap(&mut family.client(1), "10");
    let rush = |changes: Option<&str>| {
        scope(|threads| {
            let senders: Vec<_> = (0..SERVERS * EACH)
                .map(|at| {
                    let mut client = family.client(at);
                    threads.spawn(move || {
                        let answers = (0..4).map(|_| send(&mut client, &child.key));
                        answers
                            .filter(|answer| {
                                let capped = answer.status == 422 && answer.json()["errors"][0]["code"] == 25;
                                assert!(answer.status == 201 || capped, "{answer:?}");
                                answer.status == 201
                            })
                            .count()
                    })
                })
                .collect();
            if let Some(changed) = changes {
                cap(&mut family.client(2), changed);
            }
            senders.into_iter().map(|sender| sender.join().expect("a sender")).sum::<usize>()
        })
    };
    assert_eq!(rush(None), 10);
    let some = rush(Some("25"));
    assert!(some <= 15, "{some}");
    assert_eq!(some + rush(None), 15, "what was left when the cap had been raised");
    assert_eq!(cap(&mut family.client(0), "5")["daySpent"], "25.00");
    assert_eq!(rush(None), 0);
    let id = child.id;
    let (store, _home) = family.settle().await;
    assert_eq!(delivered(&store, id).await, (25, 25));
    store.close().await;
}

/// Many hands move money between a partner and two children through every server; some say the same twice at once.
#[tokio::test]
async fn transfers_by_many_hands_make_and_lose_no_money() {
    let family = Family::new().await;
    family.top_up(family.partner, "100");
    let moved = scope(|threads| {
        let hands: Vec<_> = (0..SERVERS * EACH)
            .map(|at| {
                let family = &family;
                threads.spawn(move || {
                    // Two hands beside each other, at different servers, do the same once.
                    let (pair, mut client) = (at / 2, family.client(at));
                    let mut done = Vec::new();
                    for turn in 0..6 {
                        let child = (pair + turn) % 2;
                        let amount = i64::try_from((pair * 7 + turn * 5) % 23 + 1).expect("a sum");
                        let amount = if (pair + turn) % 3 == 2 { -amount } else { amount };
                        let body = json!({"amount": amount.to_string()});
                        let once = format!("Idempotency-Key: transfer-{pair}-{turn}\r\n");
                        let path = format!("/{}/transfers", family.children[child].id);
                        let begun = Instant::now();
                        let answer = loop {
                            let answer = call_once(&mut client, "POST", &path, &family.key, &body, &once);
                            if answer.status != 429 {
                                break answer;
                            }
                            assert!(begun.elapsed() < PATIENCE, "{answer:?}");
                            sleep(Duration::from_millis(20));
                        };
                        match answer.status {
                            201 => done.push((pair, turn, child, amount, answer.json()["id"].to_string())),
                            422 => assert_eq!(answer.json()["error"]["code"], "not_enough_balance"),
                            _ => panic!("{answer:?}"),
                        }
                    }
                    done
                })
            })
            .collect();
        hands.into_iter().flat_map(|hand| hand.join().expect("a hand")).collect::<Vec<_>>()
    });
    let once: std::collections::BTreeSet<_> = moved.iter().cloned().collect();
    let entries: std::collections::BTreeSet<_> = once.iter().map(|(.., id)| id).collect();
    assert_eq!(entries.len(), once.len(), "what was said twice under one key was done once");
    let mut wanted = [0; 2];
    for (_, _, child, amount, _) in &once {
        wanted[*child] += amount * 1_000_000;
    }
    let ids = [0, 1].map(|at| family.children[at].id);
    let partner = family.partner;
    let (store, _home) = family.settle().await;
    let left = balances(&store).await;
    assert_eq!(ids.map(|id| left[&id]), wanted.map(|posted| (posted, 0)));
    assert_eq!(left[&partner], (100_000_000 - wanted[0] - wanted[1], 0));
    assert!(left.iter().all(|(account, (posted, _))| *account == 0 || *posted >= 0), "{left:?}");
    store.close().await;
}
