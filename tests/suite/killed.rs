//! SIGKILL at random instants, again and again, with a thousand messages in flight: nothing that was answered is lost,
//! nothing is done twice that counts once, every recipient ends as its number calls for, and the money is exact.
//!
//! `ROOKERY_TEST_KILLS` is the number of kills, `ROOKERY_TEST_SEED` repeats the choices of a run that failed.

use crate::support::books;
use crate::support::database::{Home, is_postgres};
use crate::support::http::{Client, Reply};
use crate::support::paying::{Payer, balances, unfinished};
use crate::support::process::{Server, child, partner};
use rookery::core::Result;
use rookery::core::message::{MessageId, Status};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};
use store::{Entropy, Store, Tx, sql};

/// Messages that are in flight whenever the server is killed …
const IN_FLIGHT: u64 = 1_000;
/// … and above which nobody sends more, since all of them have to end.
const IN_FLIGHT_MAX: u64 = 1_300;
const SENDERS: u64 = 8;
/// Whatever has not happened by then never will.
const PATIENCE: Duration = Duration::from_mins(1);

/// Numbers of the simulated carrier and how a message to them ends. The last three digits of most are its seconds.
const NUMBERS: [(i64, Status); 12] = [
    (31_612_345_678, Status::Delivered),
    (99_900_000_000, Status::Delivered),
    (99_900_000_000, Status::Delivered),
    (99_900_001_000, Status::Failed),
    (99_900_103_000, Status::Failed),
    (99_900_201_000, Status::Failed),
    (99_900_202_000, Status::Expired),
    (99_900_204_000, Status::Failed),
    (REFUSED, Status::Failed),
    (SILENT, Status::Sent),
    (99_900_402_000, Status::Delivered),
    (99_900_403_000, Status::Delivered),
];
/// The carrier does not take it, so nobody pays.
const REFUSED: i64 = 99_900_301_000;
/// Nobody ever reports on it.
const SILENT: i64 = 99_900_401_000;

/// Who sends: a partner; a child that pays more than the partner does for it, and one that pays less. Micro-units.
const PRICES: [i64; 3] = [30_000, 50_000, 20_000];
const COST: i64 = PRICES[0];
const CREDIT: i64 = 10_000_000_000;

/// The number without seconds.
fn kind(number: i64) -> i64 {
    if number < NUMBERS[1].0 { number } else { number - number % 1_000 }
}

fn end(number: i64) -> Status {
    NUMBERS.iter().find(|(known, _)| *known == kind(number)).expect("a number that is sent to").1
}

/// Which choices a run took; told when it fails.
struct Seed(u64);

impl Seed {
    fn new() -> Self {
        Seed(setting("ROOKERY_TEST_SEED").unwrap_or_else(|| chance(&Entropy::system(), u64::MAX)))
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("ROOKERY_TEST_SEED={}", self.0);
        }
    }
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text}")))
}

/// A number below `most`.
fn chance(entropy: &Entropy, most: u64) -> u64 {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes);
    u64::from_be_bytes(bytes) % most
}

/// A message that somebody wants to send. It is known by its key, which is its body's first word as well.
struct Wanted {
    key: String,
    payer: usize,
    numbers: Vec<i64>,
    parts: i64,
    /// Reports are told under the key as reference.
    reported: bool,
}

impl Wanted {
    fn choose(entropy: &Entropy, sender: u64, number: usize, seconds: u64) -> Self {
        let mut numbers = HashSet::new();
        for _ in 0..if chance(entropy, 8) == 0 { 3 } else { 1 } {
            let (mut to, _) = NUMBERS[usize::try_from(chance(entropy, 12)).unwrap()];
            if ![NUMBERS[0].0, REFUSED, SILENT].contains(&to) {
                to += i64::try_from(seconds).unwrap();
            }
            numbers.insert(to);
        }
        Wanted {
            key: format!("{sender}-{number}"),
            payer: usize::try_from(chance(entropy, 3)).unwrap(),
            numbers: numbers.into_iter().collect(),
            parts: if chance(entropy, 6) == 0 { 2 } else { 1 },
            reported: chance(entropy, 4) == 0,
        }
    }

    /// It cannot end sooner after it was accepted.
    fn takes(&self) -> Duration {
        let seconds = self.numbers.iter().map(|number| number - kind(*number)).max().unwrap_or_default();
        Duration::from_secs(seconds.unsigned_abs())
    }

    fn request(&self, world: &World) -> String {
        let Wanted { key, numbers, reported, .. } = self;
        let text = if self.parts == 2 { "x".repeat(200) } else { String::new() };
        let numbers: Vec<String> = numbers.iter().map(i64::to_string).collect();
        let mut form = format!("originator=Rookery&body={key}+{text}.&recipients={}", numbers.join(","));
        if *reported {
            write!(form, "&reference={key}&reportUrl=http://{}/reports", world.sink.address).unwrap();
        }
        format!(
            "POST /messages HTTP/1.1\r\nHost: localhost\r\nAuthorization: AccessKey {}\r\nIdempotency-Key: {key}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            world.payers[self.payer].key,
            form.len()
        )
    }
}

/// The customers' server: what it was told about each message and number.
struct Sink {
    address: SocketAddr,
    told: Mutex<HashMap<(String, i64), Vec<String>>>,
    calls: AtomicUsize,
}

impl Sink {
    fn new() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let sink = Arc::new(Sink {
            address: listener.local_addr().expect("its address"),
            told: Mutex::default(),
            calls: AtomicUsize::new(0),
        });
        let serving = Arc::downgrade(&sink);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Some(sink) = serving.upgrade() else { break };
                std::thread::spawn(move || sink.converse(stream.expect("a connection")));
            }
        });
        sink
    }

    /// Answers until the other side has gone, or was killed.
    fn converse(&self, stream: TcpStream) {
        stream.set_nodelay(true).expect("no delay");
        let mut reader = BufReader::new(stream);
        let mut target = String::new();
        let mut line = String::new();
        while matches!(reader.read_line(&mut line), Ok(1..)) {
            if let Some(rest) = line.strip_prefix("GET ") {
                rest.split(' ').next().unwrap_or_default().clone_into(&mut target);
            }
            if line == "\r\n" {
                // Now and then it is out of order.
                let fails = self.calls.fetch_add(1, Ordering::Relaxed) % 64 == 63;
                if !fails {
                    self.note(&target);
                }
                let status = if fails { "503 Service Unavailable" } else { "200 OK" };
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                if reader.get_mut().write_all(answer.as_bytes()).is_err() {
                    break;
                }
            }
            line.clear();
        }
    }

    fn note(&self, target: &str) {
        let query = target.split_once('?').expect("a query").1;
        let mut fields: HashMap<_, _> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let mut field = |name: &str| fields.remove(name).expect("a field of the report");
        let (reference, number) = (field("reference"), field("recipient").parse().expect("a number"));
        let status = field("status");
        self.told.lock().expect("what was told").entry((reference, number)).or_default().push(status);
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // Whoever waits for the next connection sees that there is nobody left to serve.
        let _ = TcpStream::connect(self.address);
    }
}

fn is_final(word: &str) -> bool {
    matches!(word, "delivered" | "delivery_failed" | "expired")
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Failed => "delivery_failed",
        other => other.name(),
    }
}

/// What the senders and whoever kills the server share.
struct World {
    payers: Vec<Payer>,
    sink: Arc<Sink>,
    /// `None` while there is no server.
    address: Mutex<Option<SocketAddr>>,
    kills: AtomicU64,
    stop: AtomicBool,
    /// For each message that was answered the moment before which it cannot end.
    flying: Mutex<BinaryHeap<Reverse<Instant>>>,
    answered: AtomicU64,
    cut_off: AtomicU64,
    begun: Instant,
}

impl World {
    fn new(home: &Home) -> Self {
        let acme = partner(home, "Acme");
        let children = [child(home, &acme, "Dear"), child(home, &acme, "Cheap")];
        let payer = |(made, rate)| Payer::new(home, made, rate).with_credit(home, "10000");
        let payers = [(&acme, "0.03"), (&children[0], "0.05"), (&children[1], "0.02")].map(payer);
        World {
            payers: payers.into(),
            sink: Sink::new(),
            address: Mutex::new(None),
            kills: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            flying: Mutex::default(),
            answered: AtomicU64::new(0),
            cut_off: AtomicU64::new(0),
            begun: Instant::now(),
        }
    }

    fn serve(&self, home: &Home) -> Server {
        let options = ["--listen", "127.0.0.1:0", "--no-demo", "--no-rate-limit", "--allow-private-webhooks"];
        let server = Server::with(home, &options);
        *self.address.lock().expect("the address") = Some(server.address());
        server
    }

    /// At least so many messages are in flight.
    fn in_flight(&self) -> u64 {
        let (mut flying, now) = (self.flying.lock().expect("the messages"), Instant::now());
        while flying.peek().is_some_and(|Reverse(end)| *end <= now) {
            flying.pop();
        }
        flying.len().try_into().expect("a number")
    }

    fn note(&self, wanted: &Wanted) {
        self.flying.lock().expect("the messages").push(Reverse(Instant::now() + wanted.takes()));
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    /// How long a message takes so that enough are in flight: the longer, the slower this machine is.
    fn seconds(&self) -> u64 {
        let answered = self.answered.load(Ordering::Relaxed).max(1);
        (3 * IN_FLIGHT * self.begun.elapsed().as_secs() / 2 / answered).clamp(4, 60)
    }

    fn kill(&self, server: &mut Server) {
        *self.address.lock().expect("the address") = None;
        self.kills.fetch_add(1, Ordering::SeqCst);
        server.kill();
    }

    /// Sends until it is told to stop and nothing is left unknown; answers what was wanted and the id that it got.
    fn send(&self, entropy: &Entropy, sender: u64) -> Vec<(Wanted, MessageId)> {
        let mut connection: Option<(Client, u64)> = None;
        let (mut made, mut unknown) = (Vec::new(), None);
        let mut answered = Instant::now();
        loop {
            assert!(answered.elapsed() < PATIENCE, "nothing has been answered for a long time");
            let stop = self.stop.load(Ordering::Relaxed);
            if unknown.is_none() && (stop || self.in_flight() >= IN_FLIGHT_MAX) {
                if stop {
                    return made;
                }
                answered = Instant::now();
                sleep(Duration::from_millis(2));
                continue;
            }
            let kills = self.kills.load(Ordering::SeqCst);
            if connection.is_none() {
                let address = *self.address.lock().expect("the address");
                connection = address.and_then(connect).map(|client| (client, kills));
            }
            let Some((client, since)) = &mut connection else {
                sleep(Duration::from_millis(5));
                continue;
            };
            let wanted =
                unknown.take().unwrap_or_else(|| Wanted::choose(entropy, sender, made.len(), self.seconds()));
            match exchange(client, &wanted.request(self)) {
                Ok(reply) => {
                    assert_eq!(reply.status, 201, "{}: {reply:?}", wanted.key);
                    self.note(&wanted);
                    let id = reply.json()["id"].as_str().expect("an id").parse().expect("an id");
                    made.push((wanted, id));
                    answered = Instant::now();
                }
                Err(error) => {
                    let killed = self.kills.load(Ordering::SeqCst) > *since;
                    assert!(killed, "{}: {error}, and nobody killed the server", wanted.key);
                    self.cut_off.fetch_add(1, Ordering::Relaxed);
                    (connection, unknown) = (None, Some(wanted));
                }
            }
        }
    }
}

fn connect(address: SocketAddr) -> Option<Client> {
    let stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream.set_nodelay(true).expect("no delay");
    Some(Client::over(stream))
}

fn exchange(client: &mut Client, request: &str) -> std::io::Result<Reply> {
    client.try_send(request.as_bytes())?;
    client.try_read()
}

/// Looks until it is so.
fn until(what: &str, world: &World, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        let (flying, cut_off) = (world.in_flight(), world.cut_off.load(Ordering::Relaxed));
        assert!(begun.elapsed() < PATIENCE, "not {what}; {flying} in flight, {cut_off} were cut off");
        sleep(Duration::from_millis(1));
    }
}

/// Kills the server over and over and lets the last one finish.
fn ordeal(world: &World, home: &Home, seed: u64, kills: u64) -> (Server, Vec<(Wanted, MessageId)>) {
    let instants = Entropy::seeded(seed);
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let entropy = Entropy::seeded(seed.wrapping_add(1 + sender));
                scope.spawn(move || world.send(&entropy, sender))
            })
            .collect();
        for _ in 0..kills {
            let mut server = world.serve(home);
            // The dead process still has its leases for three seconds. Every other kill comes while the next one waits for
            // them, the rest after it has begun to hand over, to record and to report.
            let calls = world.sink.calls.load(Ordering::Relaxed);
            if chance(&instants, 2) == 0 {
                until("at work again", world, || world.sink.calls.load(Ordering::Relaxed) > calls);
            }
            sleep(Duration::from_micros(chance(&instants, 700_000)));
            until("in flight", world, || world.in_flight() >= IN_FLIGHT);
            world.kill(&mut server);
        }
        let server = world.serve(home);
        world.stop.store(true, Ordering::Relaxed);
        let made = senders.into_iter().flat_map(|sender| sender.join().expect("a sender")).collect();
        (server, made)
    })
}

#[tokio::test]
async fn nothing_is_lost_doubled_or_free_however_often_the_server_is_killed() {
    let seed = Seed::new();
    let kills = setting("ROOKERY_TEST_KILLS").unwrap_or(if is_postgres() { 6 } else { 20 });
    let home = Home::new().await;
    let world = World::new(&home);
    let (mut server, made) = ordeal(&world, &home, seed.0, kills);

    let store = Store::open(home.url(), store::Options::default()).await.unwrap();
    let silent = made.iter().filter(|(wanted, _)| wanted.numbers.contains(&SILENT));
    let silent: i64 = silent.map(|(wanted, _)| wanted.parts).sum();
    let begun = Instant::now();
    while unfinished(&store).await != (silent, 0) {
        assert!(begun.elapsed() < PATIENCE, "{:?} are left, not {silent}", unfinished(&store).await);
        sleep(Duration::from_millis(20));
    }
    server.signal("TERM");
    assert!(server.wait().success(), "{}", server.log());

    every_key_has_its_one_message(&store, &world, &made).await;
    every_recipient_has_ended_as_it_should(&store, &made).await;
    everybody_was_told(&world, &made);
    the_money_is_what_the_messages_cost(&store, &world, &made).await;
    books::check(&store).await;
    store.close().await;
}

async fn every_key_has_its_one_message(store: &Store, world: &World, made: &[(Wanted, MessageId)]) {
    type Row = (MessageId, i64, String, i64, i64);
    let rows: Result<Vec<Row>> = store
        .write((), async |tx: &mut Tx, (): &()| {
            Ok(tx.all(sql!("SELECT id, account, body, parts, recipients FROM message"), &[]).await?)
        })
        .await;
    let mut found = HashMap::new();
    for (id, account, body, parts, recipients) in rows.unwrap() {
        let key = body.split(' ').next().unwrap_or_default().to_owned();
        let twice = found.insert(key.clone(), (id, account, parts, recipients));
        assert_eq!(twice, None, "{key} was sent twice");
    }
    for (Wanted { key, payer, numbers, parts, .. }, id) in made {
        let wanted = (*id, world.payers[*payer].id, *parts, i64::try_from(numbers.len()).unwrap());
        assert_eq!(found.remove(key), Some(wanted), "{key}");
    }
    assert!(found.is_empty(), "nobody was answered for {found:?}");
}

async fn every_recipient_has_ended_as_it_should(store: &Store, made: &[(Wanted, MessageId)]) {
    type Row = (MessageId, i64, Status, i64, i64);
    let rows: Result<Vec<Row>> = store
        .write((), async |tx: &mut Tx, (): &()| {
            Ok(tx.all(sql!("SELECT message, msisdn, status, open, price FROM recipient"), &[]).await?)
        })
        .await;
    let mut found: HashMap<_, _> = rows
        .unwrap()
        .into_iter()
        .map(|(message, number, status, open, price)| ((message, number), (status, open, price)))
        .collect();
    for (Wanted { key, payer, numbers, parts, .. }, id) in made {
        for number in numbers {
            let open = if *number == SILENT { *parts } else { 0 };
            let wanted = (end(*number), open, PRICES[*payer] * parts);
            assert_eq!(found.remove(&(*id, *number)), Some(wanted), "{key} to {number}");
        }
    }
    assert!(found.is_empty(), "nobody asked for {found:?}");
}

fn everybody_was_told(world: &World, made: &[(Wanted, MessageId)]) {
    let mut told = world.sink.told.lock().expect("what was told");
    for (Wanted { key, numbers, reported, .. }, _) in made {
        for number in numbers {
            let told = told.remove(&(key.clone(), *number)).unwrap_or_default();
            let ends: HashSet<&str> =
                told.iter().map(String::as_str).filter(|status| is_final(status)).collect();
            let wanted = Some(end(*number)).filter(|end| *reported && end.is_final()).map(word);
            assert_eq!(ends, wanted.into_iter().collect(), "{key} to {number}: {told:?}");
        }
    }
    assert!(told.is_empty(), "nobody wanted to be told {told:?}");
}

async fn the_money_is_what_the_messages_cost(store: &Store, world: &World, made: &[(Wanted, MessageId)]) {
    let mut wanted: BTreeMap<i64, (i64, i64)> =
        world.payers.iter().map(|payer| (payer.id, (CREDIT, 0))).collect();
    wanted.insert(0, (-3 * CREDIT, 0));
    for (Wanted { payer, numbers, parts, .. }, _) in made {
        let taken = numbers.iter().filter(|number| **number != REFUSED).count();
        let parts = parts * i64::try_from(taken).unwrap();
        let mut post = |account: i64, amount: i64| wanted.get_mut(&account).unwrap().0 += amount * parts;
        // Whoever sends pays the partner, and the partner pays the operator; the partner itself only the latter.
        if *payer > 0 {
            post(world.payers[*payer].id, -PRICES[*payer]);
            post(world.payers[0].id, PRICES[*payer]);
        }
        post(world.payers[0].id, -COST);
        post(0, COST);
    }
    assert_eq!(balances(store).await, wanted);
}
