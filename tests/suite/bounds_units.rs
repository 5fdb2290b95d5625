//! Pairs of units about alerts, caps, limits of keys and recovery codes, statement by statement, as two nodes would run
//! them: each crossing is told once, each code opens once. On SQLite one runs after the other.

use crate::support::database::is_postgres;
use crate::support::{TestApp, books};
use futures_util::{StreamExt, stream};
use rookery::core::account::{self, Setting};
use rookery::core::alert::{self, Kind, New, Of};
use rookery::core::cap::{self, Caps, Period, Reached};
use rookery::core::ledger::{self, Charge, Grant};
use rookery::core::money::{Amount, Currency};
use rookery::core::person::{self, NewPerson, Role};
use rookery::core::second_factor::{self, Proof, Try};
use rookery::core::{Error, Result, Scope, Timestamp, recovery_code};
use std::sync::atomic::{AtomicUsize, Ordering};
use store::stepped::Step;
use store::{Rx, Tx, sql};
use totp_rs::{Builder, Secret};

const AT_ONCE: usize = 6;

/// What one side does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    /// Spends so much.
    Hold(i64),
    Grant(i64),
    SetAlert(Kind, i64),
    Change(i64),
    Remove,
    DayCap(i64),
    Refused,
    Delete,
}

use Act::{Change, DayCap, Delete, Hold, Refused, Remove, SetAlert};

/// The alerts, both sides, and how often is told.
type Pair = (&'static [(Kind, i64)], (Act, Act), usize);

/// Of a child that has 100, spends at most 200 a day, and whose day is over, with these alerts: what two sides do, and how
/// often is told whatever comes first.
const PAIRS: &[Pair] = &[
    (&[(Kind::Balance, 60)], (Hold(30), Hold(30)), 1),
    (&[(Kind::Balance, 80)], (Hold(30), Hold(30)), 1),
    (&[(Kind::Balance, 80), (Kind::Balance, 60)], (Hold(30), Hold(30)), 2),
    (&[(Kind::Balance, 30)], (Hold(30), Hold(30)), 0),
    (&[(Kind::Day, 25)], (Hold(30), Hold(30)), 1),
    (&[(Kind::Day, 15), (Kind::Day, 30)], (Hold(30), Hold(30)), 2),
    (&[(Kind::Day, 15), (Kind::Month, 15)], (Hold(30), Hold(30)), 1),
    (&[], (Hold(30), SetAlert(Kind::Balance, 80)), 1),
    (&[], (Hold(30), SetAlert(Kind::Day, 15)), 1),
    (&[], (SetAlert(Kind::Balance, 120), SetAlert(Kind::Balance, 120)), 2),
    (&[(Kind::Day, 15)], (Hold(20), DayCap(100)), 1),
    (&[(Kind::Day, 90)], (DayCap(10), DayCap(10)), 0),
    (&[(Kind::Balance, 50)], (Hold(30), Change(80)), 1),
    (&[(Kind::Balance, 120)], (Hold(30), Act::Grant(5)), 1),
    (&[(Kind::Balance, 20)], (Hold(30), Remove), 0),
    (&[(Kind::Balance, 20)], (Remove, Remove), 0),
    (&[(Kind::Day, 100)], (Refused, Refused), 1),
    (&[(Kind::Balance, 20)], (Delete, Act::Grant(5)), 0),
    (&[(Kind::Balance, 20)], (Delete, Hold(30)), 0),
];

#[derive(Clone)]
struct World {
    scope: Scope,
    alert: Option<alert::AlertId>,
    reached: Reached,
}

fn new(scope: Scope, kind: Kind, value: i64) -> New {
    New { scope, tells: scope.account, kind, value, url: "http://127.0.0.1:9/".into() }
}

async fn world(app: &TestApp, alerts: &[(Kind, i64)], begins: bool) -> World {
    let partner = app.partner("Partner").await.account.id;
    let scope = app.child(partner, "Child").await.account.scope();
    let grant = Grant { account: scope.account, amount: Amount(100), currency: None };
    app.store.write(grant, ledger::grant).await.expect("money");
    let caps = Caps { day: Some(Some(Amount(200))), ..Caps::default() };
    app.store.write((scope, caps), cap::set).await.expect("a cap");
    let mut alert = None;
    for (kind, value) in alerts {
        alert = Some(app.store.write(new(scope, *kind, *value), alert::create).await.expect("an alert").id);
    }
    if begins {
        // As the first message of the day does.
        app.store.write((scope, 1), hold).await.expect("a day");
        app.store.write((scope, 1), give_back).await.expect("nothing held");
    }
    let until = app.store.read(scope, cap::of).await.expect("a day").day_ends;
    let reached = Reached { period: Period::Day, cap: Amount(200), currency: Currency::EUR, until };
    World { scope, alert, reached }
}

async fn hold(tx: &mut Tx, (scope, amount): &(Scope, i64)) -> Result<()> {
    let price = Amount(*amount);
    ledger::hold(tx, &Charge { scope: *scope, currency: Currency::EUR, price, cost: price }).await
}

/// What is held would not be found in the books.
async fn give_back(tx: &mut Tx, (scope, amount): &(Scope, i64)) -> Result<()> {
    let back = sql!("UPDATE balance SET held = held - $3 WHERE root = $1 AND account = $2");
    tx.put(back, &[&scope.root, &scope.account, amount]).await?;
    Ok(())
}

async fn perform(tx: &mut Tx, (world, act): &(World, Act)) -> Result<()> {
    let World { scope, alert, reached } = world;
    let of = Of { scope: *scope, tells: None };
    let done = match *act {
        Hold(amount) => hold(tx, &(*scope, amount)).await,
        Act::Grant(amount) => {
            let grant = Grant { account: scope.account, amount: Amount(amount), currency: None };
            ledger::grant(tx, &grant).await.map(drop)
        }
        SetAlert(kind, value) => alert::create(tx, &new(*scope, kind, value)).await.map(drop),
        Change(value) => {
            let id = alert.expect("an alert");
            alert::update(tx, &alert::Change { of, id, value: Some(value), url: None }).await.map(drop)
        }
        Remove => alert::remove(tx, &(of, alert.expect("an alert"))).await,
        DayCap(amount) => {
            account::set_all(tx, &(scope.account, Vec::<Setting>::new())).await?;
            let caps = Caps { day: Some(Some(Amount(amount))), ..Caps::default() };
            cap::set(tx, &(*scope, caps)).await
        }
        Refused => alert::refused(tx, &(*scope, *reached)).await,
        Delete => account::delete(tx, &scope.account).await,
    };
    match done {
        // What the other side made impossible is refused.
        Err(Error::Balance | Error::NotFound(_)) => Ok(()),
        other => other,
    }
}

/// How often is told, and what the balance holds.
async fn told(rx: &mut Rx, scope: &Scope) -> Result<(i64, i64)> {
    Ok(rx
        .one(
            sql!(
                "SELECT (SELECT CAST(count(*) AS BIGINT) FROM callback WHERE root = $1 AND kind = 'alert'), held
                 FROM balance WHERE root = $1 AND account = $2"
            ),
            &[&scope.root, &scope.account],
        )
        .await?)
}

async fn both(app: &TestApp, at: usize, (a, b): (Act, Act), lead: usize) -> bool {
    let (alerts, _, wanted) = PAIRS[at];
    // What a refusal tells of is a day that goes on; all others begin one.
    let world = world(app, alerts, a == Refused).await;
    let mut over = false;
    if is_postgres() {
        let mut first = app.store.stepped((world.clone(), a), perform).expect("a stepped unit");
        let mut second = app.store.stepped((world.clone(), b), perform).expect("a stepped unit");
        for _ in 0..lead {
            if first.step().await == Step::Done {
                over = true;
                break;
            }
        }
        while second.step().await == Step::Paused {}
        let (first, second) = tokio::join!(first.finish(), second.finish());
        first.and(second).expect("both end");
    } else {
        app.store.write((world.clone(), a), perform).await.expect("the first ends");
        app.store.write((world.clone(), b), perform).await.expect("the second ends");
        over = true;
    }
    let (count, held) = app.store.read(world.scope, told).await.expect("a count");
    assert_eq!(usize::try_from(count), Ok(wanted), "{alerts:?}: {a:?} and {b:?} after {lead} steps");
    app.store.write((world.scope, held), give_back).await.expect("nothing held");
    over
}

#[tokio::test]
async fn each_crossing_is_told_once_whoever_comes_first() {
    let app = TestApp::new().await;
    let pairs = (0..PAIRS.len()).flat_map(|at| {
        let (a, b) = PAIRS[at].1;
        if a == b { vec![(at, (a, b))] } else { vec![(at, (a, b)), (at, (b, a))] }
    });
    stream::iter(pairs)
        .for_each_concurrent(AT_ONCE, async |(at, pair)| {
            let mut lead = 1;
            while !both(&app, at, pair, lead).await {
                lead += 1;
            }
        })
        .await;
    books::check(&app.store).await;
}

/// Somebody with a second factor, the codes, and the seed.
async fn somebody(app: &TestApp) -> (second_factor::Of, Vec<String>) {
    static PEOPLE: AtomicUsize = AtomicUsize::new(0);
    let scope = app.partner("Acme").await.account.scope();
    let email = format!("{}@acme.example", PEOPLE.fetch_add(1, Ordering::Relaxed));
    let person = NewPerson {
        account: scope.account,
        email,
        name: String::new(),
        role: Role::Owner,
        password: String::new(),
    };
    let person = app.store.write(person, person::create).await.expect("somebody");
    let of = second_factor::Of { scope, person };
    let seed = app.store.write((of, app.vault.clone()), second_factor::enrol).await.expect("a seed");
    let seconds = u64::try_from(Timestamp(app.clock.now_us()).0 / 1_000_000).expect("a moment");
    let codes = Builder::new().with_secret(Secret::try_from_base32(&seed).expect("a seed")).build();
    let code = codes.expect("codes").generate(seconds).to_string();
    let tried = Try { of, code: Some(code), vault: app.vault.clone() };
    let confirmed = app.store.write(tried, second_factor::confirm).await.expect("a unit");
    (of, confirmed.expect("codes"))
}

async fn renew(tx: &mut Tx, tried: &Try) -> Result<bool> {
    match second_factor::renew_codes(tx, tried).await? {
        Ok(codes) => Ok(codes.len() == recovery_code::CODES),
        Err(Proof::Wrong) => Ok(false),
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_recovery_code_is_spent_once_and_ten_are_left_by_whoever_renews() {
    let app = TestApp::new().await;
    for lead in if is_postgres() { 0..12 } else { 0..1 } {
        let (of, codes) = somebody(&app).await;
        for (one, other) in [(0, 0), (1, 2)] {
            let tried = |at: usize| Try { of, code: Some(codes[at].clone()), vault: app.vault.clone() };
            let good = if is_postgres() {
                let mut first = app.store.stepped(tried(one), renew).expect("a stepped unit");
                let mut second = app.store.stepped(tried(other), renew).expect("a stepped unit");
                for _ in 0..lead {
                    if first.step().await == Step::Done {
                        break;
                    }
                }
                while second.step().await == Step::Paused {}
                let (first, second) = tokio::join!(first.finish(), second.finish());
                [first.expect("a unit"), second.expect("a unit")]
            } else {
                let first = app.store.write(tried(one), renew).await.expect("a unit");
                [first, app.store.write(tried(other), renew).await.expect("a unit")]
            };
            // The first that renews ends all codes, the other's as well; in the second round all of these are old.
            let wanted = usize::from(one == other);
            assert_eq!(good.iter().filter(|good| **good).count(), wanted, "{one} {other} {lead}");
            assert_eq!(app.store.read(of, recovery_code::left).await.expect("a count"), 10);
        }
    }
}
