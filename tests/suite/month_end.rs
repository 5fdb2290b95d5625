//! What the books carry from day to day: statements are what the entries say, cost what their month holds, and nothing stays
//! on accounts that are gone.

use crate::support::platform::Levels;
use crate::support::{BEGIN_US, TestApp, live};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rookery::core::account;
use rookery::core::ledger::{self, Grant, Payment};
use rookery::core::limits::{self, Limits};
use rookery::core::money::Amount;
use rookery::core::rate;
use rookery::core::statement::{self, Statement};
use rookery::core::{AccountId, Result, Scope, Timestamp};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use store::{Clock, Entropy, Rx, Store, Tx, sql};

const ZONES: [&str; 5] =
    ["UTC", "Europe/Amsterdam", "Asia/Kolkata", "America/St_Johns", "Pacific/Kiritimati"];

/// When, from whom, to whom, why, how much.
type Raw = (i64, i64, i64, String, i64);

async fn raw(store: &Store) -> Vec<Raw> {
    let all: Result<Vec<Raw>> = store
        .write((), async |tx: &mut Tx, (): &()| {
            Ok(tx.all(sql!("SELECT created, debit, credit, reason, amount FROM transfer"), &[]).await?)
        })
        .await;
    all.expect("the entries")
}

/// A statement computed from all entries there are, by their own time.
fn recomputed(all: &[Raw], account: AccountId, from: Timestamp, until: Timestamp) -> Statement {
    let mut opening = 0;
    let mut moved: BTreeMap<(bool, String), (i64, i64)> = BTreeMap::new();
    for (at, debit, credit, reason, amount) in all {
        let pays = *debit == account.0;
        let by = if pays { -amount } else { *amount };
        if (!pays && *credit != account.0) || *at >= until.0 {
            continue;
        }
        if *at < from.0 {
            opening += by;
        } else {
            let (count, sum) = moved.entry((pays, reason.clone())).or_default();
            (*count, *sum) = (*count + 1, *sum + by);
        }
    }
    let closing = opening + moved.values().map(|(_, sum)| sum).sum::<i64>();
    let sums = moved.into_iter().map(|((_, reason), (count, sum))| statement::Sum {
        reason,
        count,
        amount: Amount(sum),
    });
    Statement { opening: Amount(opening), sums: sums.collect(), closing: Amount(closing) }
}

/// Every month of every zone, of each account.
async fn check(store: &Store, accounts: &[Scope]) {
    let all = raw(store).await;
    for scope in accounts {
        for zone in ZONES {
            for month in ["2024-02", "2024-03", "2024-04", "2024-05", "2024-06", "2024-07", "2024-08"] {
                let (from, until) = statement::month(month, zone).expect("a month");
                let told = statement::of(store, *scope, from, until).await.expect("a statement");
                let wanted = recomputed(&all, scope.account, from, until);
                assert_eq!(told, wanted, "{} in {month} of {zone}", scope.account);
            }
        }
    }
}

/// A process on the same database whose clock is behind.
async fn behind(app: &TestApp, by: i64) -> Store {
    let clock = Clock::manual(app.clock.now_us() - by);
    let options = store::Options { clock, entropy: Entropy::seeded(99), ..store::Options::default() };
    Store::open(app.home().url(), options).await.expect("the same database")
}

async fn carry(store: &Store) {
    while statement::carry_some(store).await.expect("the books are carried") {}
}

async fn unclosed(store: &Store) -> i64 {
    let count: Result<i64> = store
        .write((), async |tx: &mut Tx, (): &()| {
            let now: Timestamp = tx.now();
            let today = now.0.div_euclid(86_400_000_000);
            let behind = sql!("SELECT CAST(count(*) AS BIGINT) FROM balance WHERE unclosed < $1");
            Ok(tx.one(behind, &[&today]).await?)
        })
        .await;
    count.expect("a count")
}

#[tokio::test]
async fn statements_are_what_the_entries_say_in_every_zone() {
    let app = TestApp::new().await;
    let partner = app.partner("Acme").await;
    let one = app.child(partner.account.id, "Bakery").await;
    let two = app.child(partner.account.id, "Wool Shop").await;
    let scopes = [partner.account.scope(), one.account.scope(), two.account.scope()];
    let mut dice = StdRng::seed_from_u64(26);
    for round in 0..240 {
        let minutes = if dice.random_ratio(1, 12) {
            dice.random_range(0..60 * 24 * 12)
        } else {
            dice.random_range(0..60 * 14)
        };
        app.clock.advance(Duration::from_mins(minutes) + Duration::from_micros(dice.random_range(0..2_000)));
        let amount = Amount(dice.random_range(-3_000_000..9_000_000_i64));
        let child = if dice.random() { &one } else { &two };
        // What is refused for want of money moves nothing, which is right as well.
        if dice.random() {
            let to = if dice.random() { &partner } else { child };
            let grant = Grant { account: to.account.id, amount, currency: None };
            _ = app.store.write(grant, ledger::grant).await;
        } else {
            let from = partner.account.scope();
            let payment = Payment { from, to: child.account.id, amount, note: None };
            _ = app.store.write(payment, ledger::pay).await;
        }
        if dice.random_ratio(1, 9) {
            carry(&app.store).await;
        }
        // Somebody's clock is days behind: the entry belongs to a day that may have been carried.
        if round % 48 == 40 {
            let late = behind(&app, 5 * 86_400_000_000).await;
            let grant = Grant { account: one.account.id, amount: Amount(77), currency: None };
            late.write(grant, ledger::grant).await.expect("a late entry");
            check(&app.store, &scopes).await;
        }
    }
    check(&app.store, &scopes).await;
    app.clock.advance(Duration::from_hours(26));
    carry(&app.store).await;
    assert_eq!(unclosed(&app.store).await, 0, "all days that are over are carried");
    check(&app.store, &scopes).await;
    assert!(app.clock.now_us() > BEGIN_US + 120 * 86_400_000_000, "the test has lived through some months");
}

#[tokio::test]
async fn a_statement_reads_nothing_of_the_months_before() {
    let world = Levels::new().await;
    let (app, scope) = (&world.app, world.child.account.scope());
    let grant = |amount| Grant { account: scope.account, amount: Amount(amount), currency: None };
    for day in 0..70 {
        app.store.write(grant(1_000 + day), ledger::grant).await.expect("credit");
        app.clock.advance(Duration::from_hours(24));
    }
    carry(&app.store).await;
    let (from, until) = statement::month("2024-05", "Asia/Kolkata").expect("a month");
    let told = statement::of(&app.store, scope, from, until).await.expect("a statement");
    assert_eq!(told, recomputed(&raw(&app.store).await, scope.account, from, until));
    assert_eq!(told.sums[0].count, 13);
    // What is more than a day older than the month is not looked at any more, so nobody would miss it.
    let gone: Result<u64> = app
        .store
        .write((), async |tx: &mut Tx, (): &()| {
            let old = Timestamp::parse("2024-04-30T00:00:00Z").expect("a moment");
            Ok(tx.exec(sql!("DELETE FROM transfer WHERE created < $1"), &[&old]).await?)
        })
        .await;
    assert_eq!(gone.expect("gone"), 56);
    assert_eq!(statement::of(&app.store, scope, from, until).await.expect("a statement"), told);
}

#[tokio::test]
async fn a_partner_who_earns_nothing_by_a_child_has_the_entries_in_its_statement() {
    let world = Levels::new().await;
    let app = &world.app;
    let (partner, child) = (world.partner.account.scope(), world.child.account.scope());
    for scope in [partner, child] {
        let set = rate::Set {
            account: scope.account,
            prefix: String::new(),
            amount: Amount(500_000),
            currency: None,
        };
        app.store.write(set, rate::set).await.expect("a rate");
    }
    let grant = Grant { account: child.account, amount: Amount(5_000_000), currency: None };
    app.store.write(grant, ledger::grant).await.expect("credit");
    app.notice_changes().await;
    carry(&app.store).await;
    let body = json!({"originator": "Bakery", "recipients": [31_612_345_678_i64], "body": "Hello"});
    app.request("POST", "/messages").key(live(&world.child)).json(&body).send().await.expect(201);
    app.pass(Duration::from_secs(5)).await;
    app.pass(Duration::from_hours(48)).await;
    assert_eq!(unclosed(&app.store).await, 0);
    check(&app.store, &[partner, child]).await;
    let (from, until) = statement::month("2024-03", "UTC").expect("a month");
    let told = statement::of(&app.store, partner, from, until).await.expect("a statement");
    assert_eq!((told.closing, told.sums.len()), (Amount::ZERO, 2));
}

async fn rows(store: &Store, scope: Scope) -> (i64, i64, i64) {
    let counted: Result<(i64, i64, i64)> = store
        .write(scope, async |tx: &mut Tx, scope: &Scope| {
            let of: &[&dyn store::Param] = &[&scope.root, &scope.account];
            Ok(tx
                .one(
                    sql!(
                        "SELECT (SELECT CAST(count(*) AS BIGINT) FROM allowance WHERE root = $1 AND account = $2),
                         (SELECT CAST(count(*) AS BIGINT) FROM country_count WHERE root = $1 AND account = $2),
                         (SELECT CAST(count(*) AS BIGINT) FROM departed WHERE root = $1 AND account = $2)"
                    ),
                    of,
                )
                .await?)
        })
        .await;
    counted.expect("counts")
}

#[tokio::test]
async fn what_a_deleted_accounts_last_holds_leave_goes_to_its_partner() {
    let world = Levels::new().await;
    let (app, scope) = (&world.app, world.child.account.scope());
    let set = rate::Set {
        account: scope.account,
        prefix: String::new(),
        amount: Amount(1_000_000),
        currency: None,
    };
    app.store.write(set, rate::set).await.expect("a rate");
    let limits = Limits { messages: Some(50), per_country: Some(100), ..Limits::default() };
    app.store.write((scope, limits), limits::set).await.expect("limits");
    // More than one piece of the sweep takes: keys that counted in some countries each.
    let counted = async |tx: &mut Tx, scope: &Scope| {
        for key in 0..600_i64 {
            let bounds: [u8; 16] = tx.id();
            tx.put(
                sql!(
                    "INSERT INTO country_count (root, account, country, day, recipients, bounds)
                     VALUES ($1, $2, 'NL', $3, 1, $4)"
                ),
                &[&scope.root, &scope.account, &key, &bounds],
            )
            .await?;
        }
        Ok::<_, rookery::core::Error>(())
    };
    app.store.write(scope, counted).await.expect("counts");
    let grant = Grant { account: scope.account, amount: Amount(10_000_000), currency: None };
    app.store.write(grant, ledger::grant).await.expect("credit");
    app.notice_changes().await;
    // One is delivered, one is refused by the carrier, one is for later, three were handed over when a process died.
    let send = async |to: &[i64], at: Option<&str>| {
        let mut body = json!({"originator": "Bakery", "recipients": to, "body": "Hello"});
        if let Some(at) = at {
            body["scheduledDatetime"] = json!(at);
        }
        app.request("POST", "/messages").key(live(&world.child)).json(&body).send().await.expect(201);
    };
    send(&[31_612_345_678, 99_900_301_000], None).await;
    send(&[31_612_345_679], Some("2024-03-06T08:00:00Z")).await;
    send(&[99_900_301_001, 99_900_301_002, 31_612_345_680], None).await;
    app.store.write(scope.account, account::delete).await.expect("deleted");
    let seen = async |scope: Scope| app.store.read(scope, ledger::balance).await.expect("a balance");
    assert_eq!((seen(scope).await.posted.0, seen(scope).await.held.0), (6_000_000, 6_000_000));
    assert_eq!(seen(scope.of_root()).await.posted.0, 4_000_000);
    assert_eq!(rows(&app.store, scope).await.2, 1);
    for hours in [1, 12, 24, 24, 24, 24, 24] {
        app.pass(Duration::from_hours(hours)).await;
    }
    let (child, partner) = (seen(scope).await, seen(scope.of_root()).await);
    assert_eq!((child.posted, child.held), (Amount::ZERO, Amount::ZERO));
    let paid: i64 = raw(&app.store).await.iter().filter(|row| row.2 == 0).map(|row| row.4).sum();
    let paid_to_partner: i64 = raw(&app.store)
        .await
        .iter()
        .filter(|row| row.1 == scope.account.0 && row.2 == scope.root.0)
        .map(|row| row.4)
        .sum();
    assert_eq!((paid_to_partner, partner.posted.0 + paid), (10_000_000, 10_000_000), "nothing is lost");
    assert_eq!(rows(&app.store, scope).await, (0, 0, 0), "and nothing is kept of it");
    check(&app.store, &[scope, scope.of_root()]).await;
}

/// Writes entries of one account, one a unit of a hundred.
async fn enter(app: &TestApp, account: AccountId, count: usize) {
    for some in 0..count / 100 {
        let unit = async |tx: &mut Tx, (account, some): &(AccountId, usize)| {
            for number in 0..100 {
                let amount = Amount(i64::try_from(some * 100 + number + 1).unwrap_or(1));
                ledger::grant(tx, &Grant { account: *account, amount, currency: None }).await?;
            }
            Ok::<_, rookery::core::Error>(())
        };
        app.store.write((account, some), unit).await.expect("credit");
        app.clock.advance(Duration::from_millis(1));
    }
}

#[tokio::test]
async fn tables_of_any_length_are_answered_whole() {
    let world = Levels::new().await;
    enter(&world.app, world.child.account.id, 2_500).await;
    let table = world.get(&world.of_child("/ledger.csv"), &world.child_key).await;
    let text = String::from_utf8(table.body).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2_501);
    let ids: Vec<&str> = lines[1..].iter().filter_map(|line| line.split(',').next()).collect();
    assert!(ids.is_sorted_by(|a, b| a > b), "newest first, each once");
    let after = ids[2_400];
    let rest = world.get(&world.of_child(&format!("/ledger.csv?after={after}")), &world.child_key).await;
    assert_eq!(String::from_utf8(rest.body).expect("text").lines().count(), 100);
    let wrong = world.get(&world.of_child("/ledger.csv?after=soap"), &world.child_key).await;
    assert_eq!(wrong.status.as_u16(), 422);
}

/// What a read looks at of all that there is.
async fn page(rx: &mut Rx, asked: &rookery::core::reach::Asked) -> Result<rookery::core::reach::Found> {
    rookery::core::reach::list(rx, asked).await
}

#[tokio::test]
async fn a_search_without_matches_looks_at_some_accounts_and_goes_on() {
    let world = Levels::new().await;
    let root = world.partner.account.id;
    // Many children, written as rows: their keys and balances do not matter here.
    for chunk in 0..50 {
        let unit = async |tx: &mut Tx, (root, chunk): &(AccountId, i64)| {
            for number in 0..100 {
                let id = AccountId(1_000_000_000 + chunk * 100 + number);
                let name = if id.0 == 1_000_004_321 { "Needle" } else { "Straw" };
                tx.put(
                    sql!(
                        "INSERT INTO account (id, root, name, email, currency, status, invoice_aggregation, created, updated)
                         VALUES ($1, $2, $3, '', 'EUR', 'active', $4, 0, 0)"
                    ),
                    &[&id, root, &name, &true],
                )
                .await?;
            }
            Ok::<_, rookery::core::Error>(())
        };
        world.app.store.write((root, chunk), unit).await.expect("accounts");
    }
    let (mut after, mut requests, mut names) = (String::new(), 0, Vec::new());
    loop {
        let target = format!("/accounts?search=needle&limit=10{after}");
        let answer = world.get(&target, &world.partner_key).await.expect(200);
        requests += 1;
        names.extend(answer["items"].as_array().expect("items").iter().map(|item| item["name"].clone()));
        let Some(next) = answer["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!((names, requests), (vec![json!("Needle")], 3), "2,000 accounts a request, of 5,001");
    // Pages without a search have as many as were asked for, each account once.
    let (mut after, mut seen) = (AccountId(0), Vec::new());
    loop {
        let asked = rookery::core::reach::Asked { of: root, search: None, status: None, after, limit: 700 };
        let found = world.app.store.scan(asked, page).await.expect("a page");
        seen.extend(found.accounts.iter().map(|view| view.account.id));
        let Some(next) = found.next else { break };
        assert_eq!(found.accounts.len(), 700);
        after = next;
    }
    assert!(seen.is_sorted_by(|a, b| a < b) && seen.len() == 5_001);
}
