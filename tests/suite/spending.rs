//! Many senders against little money, through two servers on one database: what is there is spent to the last message
//! that it covers and never further, nobody sends for free, and each pays what it has to pay and nothing else.

use crate::support::books;
use crate::support::database::Home;
use crate::support::http::Client;
use crate::support::paying::{Payer, balances, unfinished};
use crate::support::process::{Server, child, partner};
use rookery::core::Result;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use store::{Store, Tx, sql};

const SENDERS: usize = 64;
const EACH: usize = 20;
/// Whatever has not happened by then never will.
const PATIENCE: Duration = Duration::from_mins(1);
/// The simulated carrier refuses it, so that what was held is given back.
const REFUSED: i64 = 99_900_301_000;

/// A message of one part to one number, which the carrier takes.
fn plain(_: usize) -> String {
    "originator=Rookery&recipients=31612345678&body=Hello".into()
}

/// One or two parts to one or several numbers, of which the carrier takes most.
fn mixed(number: usize) -> String {
    let text = "x".repeat(if number.is_multiple_of(3) { 200 } else { 20 });
    let to = ["31612345678", "99900301000", "31612345678,31612345679,99900301000", "99900001000"][number % 4];
    format!("originator=Rookery&recipients={to}&body={text}")
}

/// Everybody sends at once; answers how many messages of each payer were accepted. All others lacked money, and nobody
/// ever had less than nothing.
fn rush(servers: &[Server], payers: &[&Payer], watched: &[&Payer], form: fn(usize) -> String) -> Vec<usize> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                // Every payer sends through every server.
                let at = sender / servers.len() % payers.len();
                let (server, key) = (&servers[sender % servers.len()], &payers[at].key);
                scope.spawn(move || {
                    let mut client = Client::new(server.address());
                    let accepted = (0..EACH).filter(|number| {
                        let answer = client.post("/messages", key, &form(sender + number));
                        let lacks = answer.status == 422 && answer.json()["errors"][0]["code"] == 25;
                        assert!(answer.status == 201 || lacks, "{answer:?}");
                        answer.status == 201
                    });
                    (at, accepted.count())
                })
            })
            .collect();
        let watch = scope.spawn(|| {
            let mut client = Client::new(servers[0].address());
            while !over.load(Ordering::Relaxed) {
                for payer in watched {
                    let balance = client.get("/balance", &payer.key).json();
                    assert!(balance["amount"].as_f64().is_some_and(|amount| amount >= 0.0), "{balance}");
                }
            }
        });
        let counts: Vec<_> = senders.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        over.store(true, Ordering::Relaxed);
        watch.join().expect("whoever watches");
        let mut accepted = vec![0; payers.len()];
        for count in counts {
            let (at, count) = count.expect("a sender");
            accepted[at] += count;
        }
        accepted
    })
}

fn two_servers(home: &Home) -> [Server; 2] {
    [Server::start(home), Server::start(home)]
}

/// Waits until everything is finished and checks the books; the store is for more questions.
async fn finished(home: &Home, servers: [Server; 2]) -> Store {
    let store = Store::open(home.url(), store::Options::default()).await.unwrap();
    let begun = Instant::now();
    while unfinished(&store).await != (0, 0) {
        assert!(begun.elapsed() < PATIENCE, "{:?} are left", unfinished(&store).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for mut server in servers {
        server.signal("TERM");
        assert!(server.wait().success(), "{}", server.log());
    }
    books::check(&store).await;
    store
}

/// For each account: its messages, and what the carrier took of them cost.
async fn sent(store: &Store) -> BTreeMap<i64, (i64, i64)> {
    let rows: Result<Vec<(i64, i64, i64)>> = store
        .write((), async |tx: &mut Tx, (): &()| {
            Ok(tx
                .all(
                    sql!(
                        "SELECT account, CAST(count(DISTINCT message) AS BIGINT),
                         CAST(sum(CASE WHEN msisdn = $1 THEN 0 ELSE price END) AS BIGINT) FROM recipient GROUP BY account"
                    ),
                    &[&REFUSED],
                )
                .await?)
        })
        .await;
    rows.unwrap().into_iter().map(|(account, messages, price)| (account, (messages, price))).collect()
}

/// The sum of all entries of one kind.
async fn entered(store: &Store, reason: &'static str) -> i64 {
    let sum: Result<i64> = store
        .write(reason, async |tx: &mut Tx, reason: &&str| {
            let entries = sql!("SELECT CAST(sum(amount) AS BIGINT) FROM transfer WHERE reason = $1");
            Ok(tx.one(entries, &[reason]).await?)
        })
        .await;
    sum.unwrap()
}

#[tokio::test]
async fn a_balance_is_spent_to_the_last_message_that_it_covers() {
    let home = Home::new().await;
    let acme = partner(&home, "Acme");
    // The partner has nothing: it earns on every message, so it needs nothing.
    let partner = Payer::new(&home, &acme, "0.05");
    let child = Payer::new(&home, &child(&home, &acme, "Bakery"), "0.07").with_credit(&home, "21.06");
    let servers = two_servers(&home);
    assert_eq!(rush(&servers, &[&child], &[&child, &partner], plain), [300]);

    let store = finished(&home, servers).await;
    assert_eq!(sent(&store).await, [(child.id, (300, 21_000_000))].into());
    let wanted = [(0, (-6_060_000, 0)), (partner.id, (6_000_000, 0)), (child.id, (60_000, 0))];
    assert_eq!(balances(&store).await, wanted.into());
    store.close().await;
}

#[tokio::test]
async fn children_that_pay_less_than_their_partner_never_overdraw_it() {
    let home = Home::new().await;
    let acme = partner(&home, "Acme");
    let partner = Payer::new(&home, &acme, "0.05").with_credit(&home, "4.01");
    let [one, two] = ["Bakery", "Wool Shop"]
        .map(|name| Payer::new(&home, &child(&home, &acme, name), "0.03").with_credit(&home, "100"));
    let servers = two_servers(&home);
    let accepted = rush(&servers, &[&one, &two], &[&partner, &one, &two], plain);
    assert_eq!(accepted.iter().sum::<usize>(), 200, "the partner adds 0.02 to each of {accepted:?}");

    let store = finished(&home, servers).await;
    let [first, second] = [0, 1].map(|at| i64::try_from(accepted[at]).unwrap());
    let paid = |messages: i64| (messages, 30_000 * messages);
    let mut wanted: BTreeMap<_, _> = [(one.id, paid(first)), (two.id, paid(second))].into();
    wanted.retain(|_, (messages, _)| *messages > 0);
    assert_eq!(sent(&store).await, wanted);
    let left = |messages: i64| (100_000_000 - 30_000 * messages, 0);
    let wanted =
        [(0, (-194_010_000, 0)), (partner.id, (10_000, 0)), (one.id, left(first)), (two.id, left(second))];
    assert_eq!(balances(&store).await, wanted.into());
    store.close().await;
}

#[tokio::test]
async fn a_partner_pays_for_its_own_messages_once() {
    let home = Home::new().await;
    let partner = Payer::new(&home, &partner(&home, "Acme"), "0.05").with_credit(&home, "10.04");
    let servers = two_servers(&home);
    assert_eq!(rush(&servers, &[&partner], &[&partner], plain), [200]);

    let store = finished(&home, servers).await;
    assert_eq!(sent(&store).await, [(partner.id, (200, 10_000_000))].into());
    assert_eq!(entered(&store, "messages").await, 10_000_000);
    assert_eq!(balances(&store).await, [(0, (-40_000, 0)), (partner.id, (40_000, 0))].into());
    store.close().await;
}

#[tokio::test]
async fn a_family_that_spends_earns_and_is_refused_at_once_pays_what_was_taken() {
    let home = Home::new().await;
    let acme = partner(&home, "Acme");
    let partner = Payer::new(&home, &acme, "0.05").with_credit(&home, "10");
    let dear = Payer::new(&home, &child(&home, &acme, "Bakery"), "0.08").with_credit(&home, "15");
    let cheap = Payer::new(&home, &child(&home, &acme, "Wool Shop"), "0.01").with_credit(&home, "3");
    let servers = two_servers(&home);
    let everybody = [&partner, &dear, &cheap];
    let accepted = rush(&servers, &everybody, &everybody, mixed);

    let store = finished(&home, servers).await;
    let sent = sent(&store).await;
    let mut wanted: BTreeMap<_, _> = [
        (0, (-28_000_000, 0)),
        (partner.id, (10_000_000, 0)),
        (dear.id, (15_000_000, 0)),
        (cheap.id, (3_000_000, 0)),
    ]
    .into();
    for ((payer, price), accepted) in everybody.iter().zip([50_000, 80_000, 10_000]).zip(accepted) {
        let (messages, paid) = sent.get(&payer.id).copied().unwrap_or_default();
        assert_eq!(messages, i64::try_from(accepted).unwrap());
        assert_eq!(paid % price, 0);
        let cost = paid / price * 50_000;
        let mut post = |account: i64, amount: i64| wanted.get_mut(&account).unwrap().0 += amount;
        if payer.id != partner.id {
            post(payer.id, -paid);
            post(partner.id, paid);
        }
        post(partner.id, -cost);
        post(0, cost);
    }
    let balances = balances(&store).await;
    assert_eq!(balances, wanted);
    assert!(balances.iter().all(|(account, (posted, _))| *account == 0 || *posted >= 0), "{balances:?}");
    store.close().await;
}

#[tokio::test]
async fn strangers_do_not_stand_in_each_others_way() {
    let home = Home::new().await;
    let payers = ["Acme", "Beta", "Gamma"]
        .map(|name| Payer::new(&home, &partner(&home, name), "0.05").with_credit(&home, "100"));
    let payers: Vec<&Payer> = payers.iter().collect();
    let servers = two_servers(&home);
    let accepted = rush(&servers, &payers, &[], plain);
    assert_eq!(accepted.iter().sum::<usize>(), SENDERS * EACH);

    let store = finished(&home, servers).await;
    let paid: i64 = sent(&store).await.values().map(|(_, paid)| paid).sum();
    assert_eq!(paid, 64_000_000);
    store.close().await;
}
