//! A simulated world: accounts that send, two processes, carriers and customers, on one thread and a clock that stands
//! until it is moved. A seed chooses all of it, and every step.

use super::dice::{Dice, Fault, Faults};
use super::node::{Calls, Ground, Node};
use super::truth::{self, Found, Sender, Truth};
use super::wire::Smsc;
use super::{Plant, STEPS};
use crate::support::BEGIN_US;
use rookery::core::account::{self, NewChild, NewPartner};
use rookery::core::callback::{self, Attempt, Batch, Due, Seen};
use rookery::core::carrier::{self, CarrierKind, NewCarrier, Settings};
use rookery::core::endpoint::{self, Heard};
use rookery::core::key::Directory;
use rookery::core::lease::Lane;
use rookery::core::ledger::{self, Grant};
use rookery::core::message::{self, Coding, Draft, Format, Message};
use rookery::core::money::{Amount, Currency};
use rookery::core::opt_out::{self, Source};
use rookery::core::phone::{Msisdn, Originator};
use rookery::core::rate;
use rookery::core::rendered::Rendered;
use rookery::core::route::{self, Route};
use rookery::core::schema::MIGRATIONS;
use rookery::core::secret::Vault;
use rookery::core::smpp_carrier::{Doubt, SmppSettings};
use rookery::core::terms::Book;
use rookery::core::{AccountId, Error, Result, Scope, Timestamp};
use rookery::run::{changes, sweep};
use rookery::wire::DIALECT;
use std::collections::BTreeSet;
use std::time::Duration;
use store::{Clock, Entropy, Store, Tx, sql};

pub struct World {
    ground: Ground,
    book: Book,
    keys: Directory<()>,
    smscs: Vec<Smsc>,
    nodes: Vec<Node>,
    senders: Vec<(Scope, Sender)>,
    suspended: Vec<AccountId>,
    numbers: i64,
    born: u8,
    turns: usize,
    customers_fail_until: i64,
}

/// What became of a seed.
pub struct Run {
    pub found: Found,
    pub faults: Faults,
    pub log: Vec<String>,
}

/// Lives through a seed.
pub async fn run(seed: u64, plant: Plant) -> Run {
    let mut world = World::new(seed, plant).await;
    let found = world.live().await;
    let Dice { faults, log, .. } = world.ground.dice;
    Run { found, faults, log }
}

impl World {
    async fn new(seed: u64, plant: Plant) -> World {
        let (clock, entropy) = (Clock::manual(BEGIN_US), Entropy::seeded(seed));
        let options = store::Options { clock: clock.clone(), entropy, ..store::Options::default() };
        let store = Store::inline(options).await.expect("a store in memory");
        store.migrate(MIGRATIONS).await.expect("the schema is made");
        let (dice, truth) = (Dice::new(seed), Truth::default());
        let ground = Ground { store, clock, dice, truth, plant };
        let mut world = World {
            ground,
            book: Book::default(),
            keys: Directory::default(),
            smscs: Vec::new(),
            nodes: Vec::new(),
            senders: Vec::new(),
            suspended: Vec::new(),
            numbers: 31_600_000_000,
            born: 0,
            turns: 0,
            customers_fail_until: 0,
        };
        world.furnish().await.expect("a world");
        for _ in 0..2 {
            let node = world.bear();
            world.nodes.push(node);
        }
        world
    }

    fn bear(&mut self) -> Node {
        self.born += 1;
        Node::new(&self.ground, &self.smscs, self.born)
    }

    fn now(&self) -> i64 {
        self.ground.clock.now_us()
    }

    /// Carriers, accounts, money and prices.
    async fn furnish(&mut self) -> Result<()> {
        let (store, vault) = (self.ground.store.clone(), Vault::new(&[9; 32]));
        let dice = &self.ground.dice;
        let count = 1 + dice.below(2);
        for number in 0..count {
            let mut settings = Settings::default();
            settings.set("host", "smsc.example.com");
            settings.set("system-id", "rookery");
            settings.set("response-seconds", "4");
            let doubt = match self.ground.plant {
                Plant::ResendAlways | Plant::SendBeforeRecord => Doubt::Fail,
                _ => dice.pick(Doubt::ALL),
            };
            if dice.one_in(4) {
                settings.set("doubt", doubt.name());
            } else {
                settings.set("doubt", "query");
                settings.set("query-else", doubt.name());
                settings.set("query-seconds", dice.pick(&["1", "3"]));
            }
            settings.set("window", dice.pick(&["1", "2", "5"]));
            settings.set("binds", dice.pick(&["1", "1", "2"]));
            settings.set("mode", dice.pick(&["trx", "trx", "tx-rx"]));
            settings.set("long", dice.pick(&["udh", "sar"]));
            if dice.one_in(3) {
                settings.set("throughput", dice.pick(&["2", "20"]));
            }
            let (name, kind) = (format!("c{number}"), CarrierKind::Smpp);
            let new = NewCarrier {
                name: name.clone(),
                kind,
                settings,
                secret: None,
                vault: vault.clone(),
                is_default: number == 0,
            };
            let carrier = store.write(new, carrier::add).await?;
            if number > 0 {
                let route = Route { prefix: String::new(), carrier: carrier.id, priority: 0, weight: 1 };
                store.write((name, route), route::add).await?;
            }
            let settings = SmppSettings::read(&carrier.settings).expect("settings");
            self.smscs.push(Smsc::new(carrier, settings));
        }
        let new = NewPartner { name: "Acme".into(), currency: Currency::EUR, vault: vault.clone() };
        let partner = store.write(new, account::create_partner).await?.account;
        let prices = [(30_000, 100_000_000), (50_000, 100_000_000), (20_000, 160_000)];
        for (at, (price, credit)) in prices.into_iter().enumerate() {
            let scope = if at == 0 {
                partner.scope()
            } else {
                let name = Some(format!("Child {at}"));
                let new = NewChild { partner: partner.id, name, email: String::new(), vault: vault.clone() };
                store.write(new, account::create_child).await?.account.scope()
            };
            let account = scope.account;
            let rate = rate::Set { account, prefix: String::new(), amount: Amount(price), currency: None };
            store.write(rate, rate::set).await?;
            store.write(Grant { account, amount: Amount(credit), currency: None }, ledger::grant).await?;
            self.senders.push((scope, Sender { account, price }));
        }
        Ok(())
    }

    async fn live(&mut self) -> Found {
        for step in 0..STEPS {
            let line = format!("step {step} at {} ms", (self.now() - BEGIN_US) / 1_000);
            self.ground.dice.note(line);
            self.step().await?;
            if step % 16 == 0 {
                truth::check(&self.ground.store, &self.ground.truth).await?;
            }
        }
        self.settle().await?;
        truth::check_end(&self.ground.store, &self.ground.truth, &self.smscs, &mut self.ground.dice).await
    }

    async fn step(&mut self) -> Found {
        match self.ground.dice.below(40) {
            0..=8 => self.accept().await,
            9..=12 => self.call().await,
            13 | 14 => {
                let at = self.ground.dice.index(self.nodes.len());
                self.nodes[at].drop_link(&mut self.ground, &mut self.smscs);
            }
            15 => {
                let at = self.ground.dice.index(self.nodes.len());
                self.crash(at).await;
            }
            16 => {
                let at = self.ground.dice.index(self.nodes.len());
                let until = self.now() + self.ground.dice.millis(1_600, 9_000);
                self.ground.dice.count(Fault::Pause);
                let line = format!("  {} stands still", self.nodes[at].name);
                self.ground.dice.note(line);
                self.nodes[at].pause(&mut self.ground, until);
            }
            17 if self.ground.dice.strikes(Fault::ClockJump, 2) => {
                let by = self.ground.dice.millis(1_600, 60_000);
                for node in &mut self.nodes {
                    node.pause(&mut self.ground, 0);
                }
                self.ground.clock.advance(Duration::from_micros(by.unsigned_abs()));
            }
            18 => self.suspend_or_resume().await,
            19 => self.opt_out().await,
            20 => {
                let at = self.ground.dice.index(self.smscs.len());
                self.ground.dice.count(Fault::CarrierUnreachable);
                self.smscs[at].unreachable_until = self.now() + self.ground.dice.millis(500, 12_000);
            }
            21 => self.customers_fail_until = self.now() + self.ground.dice.millis(1_000, 40_000),
            22..=25 => {
                let by = self.ground.dice.millis(400, 900);
                self.pass(by).await?;
            }
            _ => {
                let by = self.ground.dice.millis(5, 300);
                self.pass(by).await?;
            }
        }
        Ok(())
    }

    /// Time passes, less than a lease needs renewing after, and everybody does his work.
    async fn pass(&mut self, by: i64) -> Found {
        self.ground.clock.advance(Duration::from_micros(by.unsigned_abs()));
        let now = self.now();
        // Each has its turn at least every other time, which is often enough for its leases.
        self.turns += 1;
        for at in 0..self.nodes.len() {
            let has_turn = self.ground.dice.is_calm || at == self.turns % self.nodes.len();
            if has_turn && self.nodes[at].paused_until <= now {
                self.nodes[at].turn(&mut self.ground, &mut self.smscs).await?;
            }
        }
        self.record_calls().await;
        if self.ground.dice.is_calm || self.ground.dice.one_in(4) {
            self.sweep().await;
        }
        Ok(())
    }

    async fn sweep(&mut self) -> bool {
        let rare = self.ground.dice.one_in(12);
        sweep::turn(&self.ground.store, rare).await.expect("the sweep works")
    }

    async fn crash(&mut self, at: usize) {
        self.ground.dice.count(Fault::Crash);
        let line = format!("  {} dies", self.nodes[at].name);
        self.ground.dice.note(line);
        self.nodes[at].crash(&mut self.ground, &mut self.smscs).await;
        self.nodes[at] = self.bear();
    }

    async fn accept(&mut self) {
        let (scope, sender) = self.ground.dice.pick(&self.senders);
        let dice = &mut self.ground.dice;
        let count = dice.pick(&[1, 1, 1, 1, 2, 3]);
        let first = self.numbers;
        self.numbers += count;
        let numbers: Vec<Msisdn> = (first..self.numbers).map(Msisdn).collect();
        let length = dice.pick(&[20, 20, 20, 200, 330]);
        let scheduled = dice.strikes(Fault::Scheduled, 8).then(|| dice.millis(500, 20_000));
        let draft = Draft {
            originator: Originator::parse("Rookery").expect("a name"),
            body: "x".repeat(length),
            format: Format::Sms,
            udh: None,
            coding: Coding::Plain,
            class: 1,
            scheduled: scheduled.map(|after| Timestamp(self.ground.clock.now_us() + after)),
            reference: Some("order".into()),
            report_url: Some(format!("https://hooks{}.example/dlr", sender.price)),
            validity: dice.pick(&[None, None, None, Some(60), Some(600)]),
            gateway: None,
            numbers,
            groups: Vec::new(),
        };
        let store = self.ground.store.clone();
        changes::look(&store, &self.keys, &self.book).await.expect("the generations");
        let terms = self.book.of(&store, scope.account).await.expect("terms");
        let plan = message::plan(&store, &terms, draft, 50).await.expect("a plan");
        match store.write(plan, message::accept).await {
            Ok(_) => {
                self.ground.dice.note(format!("  {count} from {first} are accepted, {length} characters"));
                for number in first..self.numbers {
                    self.ground.truth.accepted.insert(number, sender);
                }
            }
            Err(Error::Balance) => self.ground.dice.count(Fault::NoCredit),
            Err(error) => panic!("a message is not accepted: {error}"),
        }
    }

    async fn suspend_or_resume(&mut self) {
        let store = self.ground.store.clone();
        let done: Result<()> = if let Some(account) = self.suspended.pop() {
            store.write(account, account::resume).await
        } else {
            let (_, sender) = self.ground.dice.pick(&self.senders);
            self.suspended.push(sender.account);
            self.ground.dice.count(Fault::Suspended);
            store.write(sender.account, account::suspend).await
        };
        done.expect("an account is suspended or resumed");
    }

    async fn opt_out(&mut self) {
        let some = self.numbers - 31_600_000_000;
        let back = i64::try_from(self.ground.dice.below(8)).unwrap();
        let number = self.numbers - 1 - back;
        let Some(sender) = self.ground.truth.accepted.get(&number).filter(|_| some > 0) else { return };
        let (scope, _) =
            self.senders.iter().find(|(scope, _)| scope.account == sender.account).expect("whose");
        let command = (*scope, vec![Msisdn(number)], Source::Command);
        let added: Result<u64> = self.ground.store.write(command, opt_out::add).await;
        added.expect("a number opts out");
        self.ground.dice.count(Fault::OptedOut);
    }

    /// A process calls customers about a lane that has something due.
    async fn call(&mut self) {
        let at = self.ground.dice.index(self.nodes.len());
        let store = self.ground.store.clone();
        let open: Result<Vec<Seen>> = store.read(Lane([0; 16]), callback::open_lanes).await;
        let lanes: Vec<Lane> =
            open.expect("lanes").into_iter().filter(|seen| seen.is_due).map(|seen| seen.lane).collect();
        if lanes.is_empty() || self.nodes[at].paused_until > self.now() {
            return;
        }
        let lane = self.ground.dice.pick(&lanes);
        if !self.nodes[at].leases.take(&store, lane).await.expect("a lease") {
            return;
        }
        let batch = store.read(lane, callback::batch).await.expect("what is due");
        let Batch { due, messages, time_zone, standing, .. } = batch;
        let networks = self.book.networks(&store).await.expect("networks");
        let mut attempts = Vec::new();
        for (due, message) in due.into_iter().zip(messages) {
            let rendered = match (&due.rendered, &message) {
                (Some(text), _) => Rendered::parse(text),
                (None, Some(message)) => {
                    (DIALECT.render)(&due, message, &networks, &time_zone).expect("a request")
                }
                (None, None) => panic!("a message is gone before it was told about"),
            };
            attempts.push(self.told(due, message.as_ref(), rendered));
        }
        let dice = &mut self.ground.dice;
        if dice.strikes(Fault::CallUnrecorded, 8) || attempts.is_empty() {
            return;
        }
        let after = if dice.strikes(Fault::CallLate, 5) { dice.millis(500, 8_000) } else { 0 };
        let calls = Calls { at: self.ground.clock.now_us() + after, lane, standing, attempts };
        self.nodes[at].calls.push(calls);
        self.record_calls().await;
    }

    /// A customer is called, and takes it or not.
    fn told(&mut self, callback: Due, _: Option<&Message>, rendered: Rendered) -> Attempt {
        let at = Timestamp(self.now());
        let is_down = !self.ground.dice.is_calm && at.0 < self.customers_fail_until;
        let fails = self.ground.dice.strikes(Fault::CallFailed, if is_down { 1 } else { 8 });
        let answer = match fails {
            true if self.ground.dice.one_in(2) => Err("there was no whole answer in time".to_owned()),
            true => Ok(500),
            false => {
                let query = rendered.url.split_once('?').expect("a query").1;
                let field = |name: &str| {
                    let mut pairs = form_urlencoded::parse(query.as_bytes());
                    pairs.find(|(known, _)| known == name).expect("a field").1.into_owned()
                };
                let to = field("recipient").parse().expect("a number");
                self.ground.truth.told.entry(to).or_default().push(field("status"));
                Ok(204)
            }
        };
        let (headers, said) = (Vec::new(), String::new());
        Attempt { callback, rendered, headers, at, took_ms: 3, answer, said }
    }

    /// What processes have heard from customers by now goes into the tables.
    async fn record_calls(&mut self) {
        let (now, store) = (self.now(), self.ground.store.clone());
        for node in &mut self.nodes {
            if node.paused_until > now {
                continue;
            }
            for calls in std::mem::take(&mut node.calls) {
                if calls.at > now {
                    node.calls.push(calls);
                    continue;
                }
                record(&store, calls).await.expect("calls are recorded");
            }
        }
    }

    /// Nothing more goes wrong: all that is under way comes to its end, then all times are over.
    async fn settle(&mut self) -> Found {
        self.ground.dice.note("everything settles".into());
        self.ground.dice.is_calm = true;
        while !self.suspended.is_empty() {
            self.suspend_or_resume().await;
        }
        for smsc in &mut self.smscs {
            smsc.unreachable_until = 0;
        }
        self.until_calm().await?;
        let waits = self.smscs.iter().filter(|smsc| smsc.doubt == Doubt::Wait);
        let waits: BTreeSet<_> = waits.map(|smsc| smsc.carrier.id).collect();
        truth::check_calm(&self.ground.store, &waits).await?;
        // What has not been reported on by then is given up.
        self.ground.clock.advance(Duration::from_hours(50));
        self.until_calm().await?;
        while self.sweep().await {}
        self.until_calm().await?;
        // And what has ended is counted.
        self.ground.clock.advance(Duration::from_secs(6));
        while self.sweep().await {}
        Ok(())
    }

    async fn until_calm(&mut self) -> Found {
        let (mut last, mut jump) = (String::new(), 1);
        for round in 0..900 {
            let by = if round % 8 == 7 { 900_000 } else { 200_000 };
            self.pass(by).await?;
            let waiting = waiting(&self.ground.store).await;
            if waiting.callbacks {
                for _ in 0..3 {
                    self.call().await;
                }
            }
            let quiet = self.nodes.iter().all(Node::is_quiet);
            let now = self.now();
            let owes = self.smscs.iter().any(|smsc| smsc.owes(now + 300_000_000));
            if quiet && !owes && !waiting.parts && !waiting.callbacks && !waiting.later {
                return Ok(());
            }
            last = format!("is quiet: {quiet}, carriers owe receipts: {owes}, {waiting:?}");
            if quiet && !waiting.parts {
                // Nobody has anything in hand, so nobody needs his lease.
                self.ground.clock.advance(Duration::from_secs(jump));
                jump = (jump * 2).min(60);
            } else {
                jump = 1;
            }
        }
        Err(format!("it does not come to rest: {last}"))
    }
}

/// As the product's courier records it.
async fn record(store: &Store, calls: Calls) -> Result<()> {
    let Calls { lane, standing, attempts, .. } = calls;
    let (fails, is_probe) = (standing.fails, standing.is_probe());
    let failed = attempts.iter().any(|attempt| !attempt.is_done());
    let heard = (failed || fails).then(|| Heard { lane, standing, attempts: attempts.clone() });
    let attempts: Vec<Attempt> =
        attempts.into_iter().filter(|attempt| !is_probe || attempt.is_done()).collect();
    store.write(attempts, callback::attempted).await?;
    if let Some(heard) = heard {
        store.write(heard, endpoint::heard).await?;
    }
    Ok(())
}

/// What is left to do.
#[derive(Debug)]
struct Waiting {
    parts: bool,
    /// What has its hour: messages for later, and parts that are to be asked about.
    later: bool,
    callbacks: bool,
}

async fn waiting(store: &Store) -> Waiting {
    let counts: Result<(i64, i64, i64, i64)> = store
        .write((), async |tx: &mut Tx, (): &()| {
            Ok(tx
                .one(
                    sql!(
                        "SELECT (SELECT CAST(count(*) AS BIGINT) FROM part WHERE marked <= 0),
                         (SELECT CAST(count(*) AS BIGINT) FROM part WHERE ask IS NOT NULL),
                         (SELECT CAST(count(*) AS BIGINT) FROM schedule),
                         (SELECT CAST(count(*) AS BIGINT) FROM callback WHERE open)"
                    ),
                    &[],
                )
                .await?)
        })
        .await;
    let (parts, asked, later, callbacks) = counts.expect("the counts");
    Waiting { parts: parts > 0, later: asked + later > 0, callbacks: callbacks > 0 }
}
